//! Which part of a history is asked for, and how much of it.

use http::Uri as Url;

use crate::{
    Result,
    error::Invalid,
    log::{EntryId, LAST_ID},
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
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match name.as_ref() {
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

    /// The address of this page, given the address of another.
    pub fn link(&self, url: &Url) -> String {
        let limit = Some(self.limit as u64).filter(|limit| *limit != MESSAGES as u64);
        let parameters = [("before", self.before), ("after", self.after), ("limit", limit)];
        address(url, parameters.into_iter().filter_map(|(name, number)| Some((name, number?.to_string()))))
    }
}

/// The address `url` with other parameters.
pub(crate) fn address(url: &Url, parameters: impl IntoIterator<Item = (&'static str, String)>) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(parameters);
    let origin = match (url.scheme_str(), url.authority()) {
        (Some(scheme), Some(authority)) => format!("{scheme}://{authority}"),
        _ => String::new(),
    };
    format!("{origin}{}?{}", url.path(), query.finish())
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
            let link = page.link(&"http://127.0.0.1:8000/api/chats/x/messages/?limit=7".parse().unwrap());
            let query = link.strip_prefix("http://127.0.0.1:8000/api/chats/x/messages/?").unwrap();
            prop_assert_eq!(Page::read(query).unwrap(), page);
        }

        #[test]
        fn any_query_gives_an_answer(query in "(before|after|limit|=|&|-|[0-9]|%|x){0,12}") {
            let _ = Page::read(&query);
        }
    }

    #[test]
    fn out_of_range() {
        for query in ["limit=0", "limit=1001", "before=-1", "after=1e3", "after=9007199254740992", "limit="] {
            assert!(Page::read(query).is_err(), "{query}");
        }
    }
}
