//! The limits of messages that SNS and SQS have in common.

use std::{
    collections::{BTreeMap, HashSet},
    num::NonZeroU32,
};

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use crate::like_aws::LikeAws;

/// The number of message groups that are counted before those with full buckets are forgotten.
const GROUPS: usize = 10_000;
const ID_BYTES: usize = 80;

/// What a service allows.
pub(super) struct Limits {
    characters: bool,
    /// The most bytes of a batch, where they are checked, and so are the ids of its entries.
    batch_bytes: Option<usize>,
    /// The rate of message groups.
    rate: Option<DefaultKeyedRateLimiter<(String, String)>>,
    /// Whether the rate counts requests; otherwise it counts messages.
    counts_requests: bool,
}

/// A message that is sent.
pub(super) struct Entry {
    pub(super) id: Option<String>,
    pub(super) body: String,
    pub(super) group: Option<String>,
}

/// Why a request is rejected as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Problem {
    BatchTooLong,
    InvalidEntryId,
    Throttled,
}

impl Limits {
    /// SQS allows 1 MiB and 300 requests per second and message group
    /// (<https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html>).
    pub(super) fn of_queues(like_aws: &LikeAws) -> Self {
        Self::new(like_aws, 1024 * 1024, true)
    }

    /// SNS allows 256 KiB and 300 messages per second and message group
    /// (<https://docs.aws.amazon.com/sns/latest/dg/fifo-message-grouping.html>).
    pub(super) fn of_topics(like_aws: &LikeAws) -> Self {
        Self::new(like_aws, 256 * 1024, false)
    }

    fn new(like_aws: &LikeAws, batch_bytes: usize, counts_requests: bool) -> Self {
        let rate = like_aws.messages_group_rate.and_then(NonZeroU32::new);
        Self {
            characters: like_aws.messages_characters,
            batch_bytes: like_aws.messages_batches.then_some(batch_bytes),
            rate: rate.map(|rate| RateLimiter::keyed(Quota::per_second(rate))),
            counts_requests,
        }
    }

    /// Which messages have characters that are not allowed.
    ///
    /// # Errors
    /// When the whole request is rejected.
    pub(super) fn check(&self, destination: &str, entries: &[Entry]) -> Result<Vec<bool>, Problem> {
        if let Some(most) = self.batch_bytes {
            let ids = entries.iter().filter_map(|entry| entry.id.as_deref());
            if !ids.clone().all(is_entry_id) {
                return Err(Problem::InvalidEntryId);
            }
            let is_batch = ids.count() > 0;
            if is_batch && entries.iter().map(|entry| entry.body.len()).sum::<usize>() > most {
                return Err(Problem::BatchTooLong);
            }
        }
        if !self.admits(destination, entries) {
            return Err(Problem::Throttled);
        }
        Ok(entries.iter().map(|entry| self.characters && !entry.body.chars().all(is_allowed)).collect())
    }

    /// Takes from the rates of the groups of a request. `false` if one has too few left.
    fn admits(&self, destination: &str, entries: &[Entry]) -> bool {
        let Some(rate) = &self.rate else { return true };
        if rate.len() > GROUPS {
            rate.retain_recent();
        }
        let mut costs: BTreeMap<&str, u32> = BTreeMap::new();
        for group in entries.iter().filter_map(|entry| entry.group.as_deref()) {
            let cost = costs.entry(group).or_default();
            *cost = if self.counts_requests { 1 } else { *cost + 1 };
        }
        costs.into_iter().all(|(group, cost)| {
            let Some(cost) = NonZeroU32::new(cost) else { return true };
            let group = (destination.to_owned(), group.to_owned());
            rate.check_key_n(&group, cost).is_ok_and(|taken| taken.is_ok())
        })
    }
}

/// The characters of XML
/// (<https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html>).
fn is_allowed(character: char) -> bool {
    matches!(character, '\t' | '\n' | '\r' | '\u{20}'..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..)
}

fn is_entry_id(id: &str) -> bool {
    let is_allowed = |character: char| character.is_ascii_alphanumeric() || ['-', '_'].contains(&character);
    (1..=ID_BYTES).contains(&id.len()) && id.chars().all(is_allowed)
}

/// The ids of the entries that are invalid.
pub(super) fn invalid_ids(entries: &[Entry], invalid: &[bool]) -> HashSet<String> {
    entries.iter().zip(invalid).filter(|(_, invalid)| **invalid).filter_map(|(entry, _)| entry.id.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_are_those_of_xml() {
        for allowed in ['\t', '\n', '\r', ' ', '\u{7f}', '\u{D7FF}', '\u{E000}', '\u{FFFD}', '\u{10000}', '\u{10FFFF}']
        {
            assert!(is_allowed(allowed), "{allowed:?}");
        }
        for forbidden in ['\0', '\u{8}', '\u{b}', '\u{1f}', '\u{FFFE}', '\u{FFFF}'] {
            assert!(!is_allowed(forbidden), "{forbidden:?}");
        }
    }
}
