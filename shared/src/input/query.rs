//! Which part of a history is asked for, and how much of it.

use std::{borrow::Cow, collections::BTreeMap};

use crate::{
    Error, Result,
    api::http::Target,
    error::Invalid,
    ids::{EntryId, LAST_ID},
};

/// A page has so many messages at most, and so many where no limit is given.
pub const MESSAGES: usize = 1000;

/// A page of a history: the last `limit` messages before `before`, or with `after` the first ones after that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// Only messages with a lower id.
    pub before: Option<EntryId>,
    /// Only messages with a higher id, the oldest of them first.
    pub after: Option<EntryId>,
    /// So many messages at most.
    pub limit: usize,
}

impl Page {
    /// Reads `before`, `after` and `limit` from a query string.
    ///
    /// # Errors
    /// [`crate::Error::Invalid`] names the parameters that are not numbers in their range.
    pub fn read(query: &str) -> Result<Self> {
        let mut page = Self { before: None, after: None, limit: MESSAGES };
        let mut invalid = Invalid::default();
        for (name, value) in parameters(query)? {
            match name.as_str() {
                "before" => page.before = number("before", &value, 0..=LAST_ID, &mut invalid),
                "after" => page.after = number("after", &value, 0..=LAST_ID, &mut invalid),
                "limit" => {
                    let limit = number("limit", &value, 1..=MESSAGES as u64, &mut invalid);
                    page.limit = limit.map_or(MESSAGES, |limit| limit as usize);
                }
                _ => {}
            }
        }
        invalid.unless_empty(page)
    }

    /// The address of this page, given the target of another.
    pub fn link(&self, target: &Target) -> String {
        let limit = Some(self.limit as u64).filter(|limit| *limit != MESSAGES as u64);
        let parameters = [("before", self.before), ("after", self.after), ("limit", limit)];
        target.with(parameters.into_iter().filter_map(|(name, number)| Some((name, number?.to_string()))))
    }
}

/// The parameters of a query string. Of one that is given more than once the last counts, as in Django.
///
/// # Errors
/// [`Error::Malformed`] where one is not UTF-8.
pub(crate) fn parameters(query: &str) -> Result<BTreeMap<String, String>> {
    let decoded = |text: &str| {
        let text = text.replace('+', " ");
        let text = percent_encoding::percent_decode_str(&text).decode_utf8().map(Cow::into_owned);
        text.map_err(|_| Error::Malformed("Query string parse error - it is not UTF-8".to_owned()))
    };
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.map(|(name, value)| Ok((decoded(name)?, decoded(value)?))).collect()
}

/// Reads a number in its range.
pub(crate) fn number(
    name: &'static str,
    value: &str,
    range: std::ops::RangeInclusive<u64>,
    invalid: &mut Invalid,
) -> Option<u64> {
    match value.parse().ok().filter(|number| range.contains(number)) {
        Some(number) => Some(number),
        None => {
            invalid.add(name, format!("A whole number from {} to {} is required.", range.start(), range.end()));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_link_reads_back(before in proptest::option::of(0..=LAST_ID), after in proptest::option::of(0..=LAST_ID), limit in 1..=MESSAGES) {
            let page = Page { before, after, limit };
            let link = page.link(&Target::new("/api/chats/x/messages/", "limit=7"));
            let query = link.strip_prefix("/api/chats/x/messages/?").unwrap();
            prop_assert_eq!(Page::read(query).unwrap(), page);
        }

        #[test]
        fn any_query_gives_an_answer(query in "(before|after|limit|=|&|-|[0-9]|%|x){0,12}") {
            let _ = Page::read(&query);
        }

        #[test]
        fn parameters_survive_encoding(name in "\\PC{1,10}", value in "\\PC{0,10}") {
            let query = form_urlencoded::Serializer::new(String::new()).append_pair(&name, &value).finish();
            prop_assert_eq!(parameters(&query).unwrap(), BTreeMap::from([(name, value)]));
        }
    }

    #[test]
    fn the_last_of_several_counts() {
        assert_eq!(
            Page::read("limit=x&limit=5&after=1&limit=7").unwrap(),
            Page { before: None, after: Some(1), limit: 7 }
        );
    }

    #[test]
    fn a_query_that_is_not_utf8_is_refused() {
        for query in ["q=%FF", "%C3=x", "q=caf%E9"] {
            assert_eq!(parameters(query).unwrap_err().status(), 400, "{query}");
        }
    }

    #[test]
    fn out_of_range() {
        for query in ["limit=0", "limit=1001", "before=-1", "after=1e3", "after=9007199254740992", "limit="] {
            assert!(Page::read(query).is_err(), "{query}");
        }
    }
}
