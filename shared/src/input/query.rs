//! Query strings.

use std::{borrow::Cow, collections::BTreeMap, ops::RangeInclusive};

use crate::{
    Error, Result,
    error::Invalid,
    ids::{EntryId, LAST_ID},
};

/// The parameters of a query string. Of a parameter that is repeated the last counts, as in Django.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query(BTreeMap<String, String>);

impl Query {
    /// Reads a query string.
    ///
    /// # Errors
    /// [`Error::Malformed`] where a name or value is not UTF-8.
    pub fn read(query: &str) -> Result<Self> {
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        pairs.map(|(name, value)| Ok((decoded(name)?, decoded(value)?))).collect::<Result<_>>().map(Self)
    }

    /// The value of a parameter.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The value of a parameter as a number in `range`; another value is a problem of that parameter.
    pub fn number(&self, name: &'static str, range: RangeInclusive<u64>, invalid: &mut Invalid) -> Option<u64> {
        let number = self.text(name)?.parse().ok().filter(|number| range.contains(number));
        if number.is_none() {
            invalid.add(name, format!("A whole number from {} to {} is required.", range.start(), range.end()));
        }
        number
    }

    /// The size of a page: the parameter `limit`, from 1 to `most`, or else `default`.
    pub fn limit(&self, default: usize, most: usize, invalid: &mut Invalid) -> usize {
        self.number("limit", 1..=most as u64, invalid).map_or(default, |limit| limit as usize)
    }

    /// The value of a parameter as the number of a log entry, or 0.
    pub fn entry_id(&self, name: &'static str, invalid: &mut Invalid) -> Option<EntryId> {
        self.number(name, 0..=LAST_ID, invalid).map(EntryId)
    }
}

fn decoded(text: &str) -> Result<String> {
    let text = text.replace('+', " ");
    let text = percent_encoding::percent_decode_str(&text).decode_utf8().map(Cow::into_owned);
    text.map_err(|_| Error::Malformed("Query string parse error - it is not UTF-8".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn parameters_survive_encoding(name in "\\PC{1,10}", value in "\\PC{0,10}") {
            let query = form_urlencoded::Serializer::new(String::new()).append_pair(&name, &value).finish();
            prop_assert_eq!(Query::read(&query).unwrap(), Query(BTreeMap::from([(name, value)])));
        }
    }

    #[test]
    fn the_last_of_several_counts() {
        let query = Query::read("limit=x&limit=5&after=1&limit=7").unwrap();
        let mut invalid = Invalid::default();
        assert_eq!(query.number("limit", 1..=1000, &mut invalid), Some(7));
        assert_eq!(query.number("after", 1..=1000, &mut invalid), Some(1));
        assert!(invalid.is_empty());
    }

    #[test]
    fn a_query_that_is_not_utf8_is_rejected() {
        for query in ["q=%FF", "%C3=x", "q=caf%E9"] {
            assert_eq!(Query::read(query).unwrap_err().status(), 400, "{query}");
        }
    }
}
