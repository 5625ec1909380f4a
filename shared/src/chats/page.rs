//! Pages of responses: as many items as a response holds.

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use crate::{Error, Result};

/// A page is cut rather than exceed this size: Lambda's responses have at most 6 MB
/// (<https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>).
pub(crate) const PAGE_BYTES: usize = 4_500_000;

/// The items of a page as JSON, each with the place to continue behind it.
#[derive(Clone, Debug)]
pub(super) struct Page<T>(Vec<(T, Box<RawValue>)>);

impl<T: Clone> Page<T> {
    /// A page of items that are given with their places.
    ///
    /// # Errors
    /// When an item cannot be written as JSON.
    pub(super) fn new(items: impl IntoIterator<Item = (T, impl Serialize)>) -> Result<Self> {
        let item = |(place, item)| Ok((place, to_raw_value(&item).map_err(Error::internal)?));
        items.into_iter().map(item).collect::<Result<_>>().map(Self)
    }

    /// The places of the first and the last item.
    pub(super) fn ends(&self) -> Option<(T, T)> {
        Some((self.0.first()?.0.clone(), self.0.last()?.0.clone()))
    }

    /// The items without their places.
    pub(super) fn into_items(self) -> Vec<Box<RawValue>> {
        self.0.into_iter().map(|(_, item)| item).collect()
    }

    /// Cuts the page to at most `bytes` in a response, at its end or, `backward`, at its start. Returns the place of
    /// the item at the cut.
    pub(super) fn cut(&mut self, bytes: usize, backward: bool) -> Option<T> {
        let mut size = 0;
        let mut fits = |item: &RawValue| {
            size += response_bytes(item.get()) + 1;
            size <= bytes
        };
        let count = self.0.len();
        let kept = match backward {
            true => self.0.iter().rev().take_while(|(_, item)| fits(item)).count(),
            false => self.0.iter().take_while(|(_, item)| fits(item)).count(),
        };
        if kept == count {
            return None;
        }
        // A single item always fits a response: an item of the table has 400 KB.
        let kept = kept.max(1);
        if backward {
            self.0.drain(..count - kept);
            self.0.first().map(|(place, _)| place.clone())
        } else {
            self.0.truncate(kept);
            self.0.last().map(|(place, _)| place.clone())
        }
    }
}

/// The size of a line of JSON in a function's response, which is JSON within JSON
/// (<https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html>).
pub(crate) fn response_bytes(json: &str) -> usize {
    json.len() + json.bytes().filter(|byte| matches!(byte, b'"' | b'\\')).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_page_is_cut_to_the_size_of_a_response(sizes in proptest::collection::vec(0..40_usize, 1..12), backward: bool) {
            let bytes = 300;
            let all = Page::new((1_u64..).zip(sizes.iter().map(|size| "\u{1}".repeat(*size)))).unwrap();
            let mut kept = all.clone();
            let place = kept.cut(bytes, backward);
            let size = |page: &Page<u64>| page.0.iter().map(|(_, item)| response_bytes(item.get()) + 1).sum::<usize>();
            let places = |items: &[(u64, Box<RawValue>)]| items.iter().map(|(place, _)| *place).collect::<Vec<_>>();
            prop_assert!(size(&kept) <= bytes && !kept.0.is_empty());
            let expected = if backward { &all.0[all.0.len() - kept.0.len()..] } else { &all.0[..kept.0.len()] };
            prop_assert_eq!(places(&kept.0), places(expected));
            let (first, last) = kept.ends().unwrap();
            prop_assert_eq!(place, Some(if backward { first } else { last }).filter(|_| kept.0.len() < all.0.len()));
        }

        #[test]
        fn a_response_has_the_size_that_is_written(text in "\\PC{0,40}|[\u{0}-\u{1f}\"\\\\]{0,20}") {
            let json = serde_json::to_string(&text).unwrap();
            prop_assert_eq!(response_bytes(&json) + 2, serde_json::to_string(&json).unwrap().len());
        }
    }
}
