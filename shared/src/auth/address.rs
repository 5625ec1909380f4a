//! E-mail addresses as they are looked up: the items that lead from an address to its users, who may be several.
//!
//! Addresses are compared without regard to case, as Django does it.

use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;

use crate::{
    Result,
    aws::table::Write,
    ids::UserId,
    key::{Key, Partition},
};

/// Longer addresses, which only imported users may have, are not found. DynamoDB rejects keys above 2 KB.
const ADDRESS_BYTES: usize = 1024;

/// The item that leads from an address to a user.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct AddressItem {
    pub(crate) user_id: UserId,
}

/// An address in the form in which it is looked up; nothing for one that is empty or too long.
pub(crate) fn normalized(email: &str) -> Option<String> {
    let normal: String = email.nfkc().flat_map(char::to_lowercase).nfkc().collect();
    (1..=ADDRESS_BYTES).contains(&normal.len()).then_some(normal)
}

fn key(email: &str, user_id: UserId) -> Option<Key> {
    normalized(email).map(|address| Partition::Address.key(address, format!("{:016}", user_id.0)))
}

/// The write that makes a user findable by an address.
pub(crate) fn list(email: &str, user_id: UserId) -> Result<Option<Write>> {
    key(email, user_id).map(|key| Write::put(key, &AddressItem { user_id })).transpose()
}

/// The writes that follow from a change of a user's address.
pub(crate) fn relist(old: &str, new: &str, user_id: UserId) -> Result<Vec<Write>> {
    let (old, new_key) = (key(old, user_id), key(new, user_id));
    // A transaction cannot write an item twice.
    if old == new_key {
        return Ok(list(new, user_id)?.into_iter().collect());
    }
    Ok(old.map(Write::delete).into_iter().chain(list(new, user_id)?).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_compared_without_regard_to_case() {
        assert_eq!(normalized("Anna@Example.COM"), normalized("anna@example.com"));
        assert_eq!(normalized("\u{DC}nal@b\u{DC}cher.example"), normalized("\u{FC}nal@b\u{FC}cher.example"));
        assert_ne!(normalized("anna@example.com"), normalized("ann@example.com"));
        assert_eq!((normalized(""), normalized(&"x".repeat(1025))), (None, None));
    }

    #[test]
    fn a_change_of_case_writes_one_item() {
        assert_eq!(relist("anna@example.com", "ANNA@example.com", UserId(1)).unwrap().len(), 1);
        assert_eq!(relist("anna@example.com", "ben@example.com", UserId(1)).unwrap().len(), 2);
        assert_eq!(relist("", "ben@example.com", UserId(1)).unwrap().len(), 1);
        assert_eq!(relist("anna@example.com", "", UserId(1)).unwrap().len(), 1);
    }
}
