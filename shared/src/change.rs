//! Changes of the table, as its stream tells of them, and what they mean here.

use serde_dynamo::Item;

use crate::{log::Entry, session::Uri, table::Key, user::UserId};

/// A change of one item.
#[derive(Clone, Debug)]
pub struct Change {
    /// Its place in the stream.
    pub sequence_number: String,
    /// Which item.
    pub key: Key,
    /// The item as it is now; `None` if it has gone.
    pub item: Option<Item>,
}

/// A right that may have ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// One or all of a user's tokens.
    Tokens(UserId),
    /// A user's membership of a chat.
    Membership(Uri, UserId),
}

impl Change {
    /// What may have ended with this change: a token or a member that has gone, or a profile that has changed, as it does with a new
    /// password.
    pub(crate) fn ended(&self) -> Option<Ended> {
        let Key { pk, sk } = &self.key;
        let user = |id: &str| id.parse().ok().map(UserId);
        match (pk.split_once('#')?, sk.as_str(), &self.item) {
            (("TOKENS", id), _, None) => user(id).map(Ended::Tokens),
            (("USER", id), "PROFILE", Some(_)) => user(id).map(Ended::Tokens),
            (("CHAT", uri), sk, None) => {
                let user_id = user(sk.strip_prefix("MEMBER#")?)?;
                Some(Ended::Membership(uri.parse().ok()?, user_id))
            }
            _ => None,
        }
    }

    /// The log entry that was written with this change.
    pub(crate) fn entry(&self) -> Option<(Uri, Entry)> {
        let uri = self.key.pk.strip_prefix("LOG#")?.parse().ok()?;
        Some((uri, serde_dynamo::from_item(self.item.clone()?).ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn change(pk: &str, sk: &str, item: Option<Item>) -> Change {
        Change { sequence_number: "1".into(), key: Key::new(pk, sk), item }
    }

    #[test]
    fn what_ends_with_a_change() {
        let uri = "0123456789abcde";
        let some = Some(Item::default());
        assert_eq!(change("TOKENS#7", "hash", None).ended(), Some(Ended::Tokens(UserId(7))));
        assert_eq!(change("TOKENS#7", "hash", some.clone()).ended(), None);
        assert_eq!(change("USER#7", "PROFILE", some.clone()).ended(), Some(Ended::Tokens(UserId(7))));
        assert_eq!(change("USER#7", "CHAT#x", None).ended(), None);
        let left = Some(Ended::Membership(uri.parse().unwrap(), UserId(7)));
        assert_eq!(change(&format!("CHAT#{uri}"), "MEMBER#7", None).ended(), left);
        assert_eq!(change(&format!("CHAT#{uri}"), "SESSION", None).ended(), None);
    }

    proptest! {
        #[test]
        fn any_key_gives_an_answer(pk in "(TOKENS|USER|CHAT|LOG|)#?[0-9a-f#]{0,16}", sk in "(MEMBER#|PROFILE|)[0-9x]{0,30}", gone: bool) {
            let change = change(&pk, &sk, (!gone).then(Item::default));
            let _ = change.ended();
            prop_assert!(change.entry().is_none());
        }
    }
}
