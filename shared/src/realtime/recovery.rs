//! What a client missed in the chats that it subscribes to, as far as it fits one frame.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use futures_util::{StreamExt, TryStreamExt, future, stream};
use serde::Serialize;
use serde_json::value::RawValue;

use super::frame::FRAME_BYTES;
use crate::{
    Confab, Error, Result,
    chats::{
        chat::Chat,
        entry::Entry,
        event::EventContext,
        member::{MEMBERS_SHOWN, Member},
        snapshot::ChatSnapshot,
    },
    ids::{ChatUri, EntryId, UserId},
    json,
};

/// The least bytes of an event. Chats whose missed events cannot fit are not read.
const EVENT_BYTES: u64 = 160;
/// Chats that are read concurrently.
const CONCURRENT_READS: usize = 16;

/// A chat that a client has subscribed to, with what it missed.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "type", rename = "subscribed")]
pub(crate) struct Recovery {
    uri: ChatUri,
    last_id: EntryId,
    recovered: bool,
    entries: Vec<Box<RawValue>>,
    #[serde(flatten)]
    standing: Option<Standing>,
}

/// What is not in the log, for a client that comes back and has missed the events. In chats of more than
/// [`MEMBERS_SHOWN`] members it is not tracked.
#[derive(Clone, Debug, Default, Serialize)]
struct Standing {
    /// How far each member has read.
    read: Option<BTreeMap<UserId, EntryId>>,
    /// The members who are online.
    online: Option<BTreeSet<UserId>>,
}

/// What was read of a chat.
struct Missed {
    /// The last visible entry.
    last_id: EntryId,
    /// `None` where the events cannot fit, or the client has seen another log.
    entries: Option<Vec<Entry>>,
    standing: Option<Standing>,
}

impl Recovery {
    /// Without anything that may be left out: the client gets it over HTTP.
    fn least(&self) -> Self {
        Self { recovered: false, entries: Vec::new(), standing: None, ..self.clone() }
    }

    /// With the events only.
    fn without_standing(&self) -> Self {
        Self { standing: None, ..self.clone() }
    }

    /// The size on the wire, with a comma.
    fn bytes(&self) -> Result<usize> {
        Ok(json::to_line(self)?.len() + 1)
    }
}

impl Confab {
    /// What a client missed in chats since the entry that it has of each, if it names one, in at most `bytes`. Smaller
    /// parts come first, so that as few chats as possible are left to HTTP. The chats are as they were after the
    /// registration of the subscriptions: what is written later comes as events.
    pub(crate) async fn recover(
        &self,
        snapshots: &[(ChatSnapshot, Option<EntryId>)],
        bytes: usize,
    ) -> Result<Vec<Recovery>> {
        let chats: Vec<(&Chat, Option<EntryId>)> =
            snapshots.iter().map(|(snapshot, after)| (&snapshot.chat, *after)).collect();
        let gaps: Vec<Option<u64>> =
            chats.iter().map(|(chat, after)| chat.last_id.0.checked_sub(after.unwrap_or(chat.last_id).0)).collect();
        let is_read = worth_reading(&gaps, bytes);
        let reads = snapshots.iter().zip(is_read);
        let reads = reads.map(|((snapshot, after), is_read)| self.missed(snapshot, *after, is_read));
        // Collected first, since the compiler cannot see through a stream that borrows as it goes.
        let reads: Vec<_> = reads.collect();
        let missed: Vec<Missed> = stream::iter(reads).buffered(CONCURRENT_READS).try_collect().await?;
        let entries = chats.iter().zip(&missed);
        let entries = entries.map(|((chat, _), missed)| (&chat.uri, missed.entries.as_deref().unwrap_or_default()));
        let entries: Vec<(&ChatUri, &[Entry])> = entries.collect();
        let context = self.event_context(&entries, HashMap::new()).await?;
        let recoveries = chats.iter().zip(missed);
        let recoveries = recoveries.map(|((chat, after), missed)| recovery(&chat.uri, *after, missed, &context));
        fit(recoveries.collect::<Result<_>>()?, bytes)
    }

    async fn missed(&self, snapshot: &ChatSnapshot, after: Option<EntryId>, is_read: bool) -> Result<Missed> {
        let chat = &snapshot.chat;
        let Some(after) = after else {
            let last_id = self.visible_id(chat).await?;
            return Ok(Missed { last_id, entries: Some(Vec::new()), standing: None });
        };
        // An entry takes more on the wire than its message does, so this stops no reading too early.
        let too_much = |entries: &[Entry]| {
            entries.iter().filter_map(|e| e.body.message.as_ref()).map(String::len).sum::<usize>() > FRAME_BYTES
        };
        let entries = async {
            match is_read {
                true if after == chat.last_id => Ok((after, Some(Vec::new()))),
                true => {
                    let entries = self.entries_after(&chat.uri, after, too_much).await?;
                    Ok((entries.last().map_or(after, |last| last.id), Some(entries)))
                }
                false => Ok((self.visible_id(chat).await?, None)),
            }
        };
        let ((last_id, entries), standing) = future::try_join(entries, self.standing(snapshot)).await?;
        Ok(Missed { last_id, entries, standing: Some(standing) })
    }

    async fn standing(&self, ChatSnapshot { chat, members }: &ChatSnapshot) -> Result<Standing> {
        if chat.member_count > MEMBERS_SHOWN {
            return Ok(Standing::default());
        }
        let marker = |member: &Member| (member.user_id, member.read_id);
        let read = async {
            match members {
                Some(members) => Ok(members.iter().map(marker).collect()),
                None => Ok(self.members(&chat.uri).await?.iter().map(marker).collect()),
            }
        };
        let (read, online) = future::try_join(read, self.online_users(&chat.uri)).await?;
        Ok(Standing { read: Some(read), online })
    }
}

/// For each chat whether its log is worth reading, given how many entries the client is behind, or `None` where it is
/// ahead of the log: it has seen another one, from before a restore perhaps. The smallest gaps first, as far as their
/// events can fit.
fn worth_reading(gaps: &[Option<u64>], bytes: usize) -> Vec<bool> {
    let mut places: Vec<(u64, usize)> =
        gaps.iter().enumerate().filter_map(|(place, gap)| Some(((*gap)?, place))).collect();
    places.sort_unstable();
    let mut left = bytes as u64;
    let mut worth = vec![false; gaps.len()];
    for (gap, place) in places {
        let Some(rest) = left.checked_sub(gap.saturating_mul(EVENT_BYTES)) else { break };
        left = rest;
        worth[place] = true;
    }
    worth
}

fn recovery(uri: &ChatUri, after: Option<EntryId>, missed: Missed, context: &EventContext) -> Result<Recovery> {
    let Missed { mut last_id, entries, standing } = missed;
    let recovered = entries.is_some();
    let mut entries = entries.unwrap_or_default();
    let read = entries.len();
    context.cut_at_change(uri, &mut entries);
    if entries.len() < read {
        last_id = entries.last().map(|last| last.id).or(after).unwrap_or(last_id);
    }
    let event = |entry| RawValue::from_string(context.event(uri, entry)?).map_err(Error::internal);
    let entries = entries.iter().map(event).collect::<Result<_>>()?;
    Ok(Recovery { uri: uri.clone(), last_id, recovered, entries, standing })
}

/// Cuts recoveries to `bytes` in all, in which their least parts must fit. Events come first, so that as few chats as
/// possible are left to HTTP.
fn fit(recoveries: Vec<Recovery>, bytes: usize) -> Result<Vec<Recovery>> {
    let mut fitted: Vec<Recovery> = recoveries.iter().map(Recovery::least).collect();
    let mut left = bytes.saturating_sub(fitted.iter().map(Recovery::bytes).sum::<Result<usize>>()?);
    let (events, standings): (Vec<Recovery>, Vec<_>) =
        recoveries.into_iter().map(|whole| (whole.without_standing(), whole.standing)).unzip();
    let recovered = events.into_iter().enumerate().filter(|(_, events)| events.recovered).collect();
    replace_smallest_first(&mut fitted, recovered, &mut left)?;
    let with_standing = |(fitted, standing): (&Recovery, _)| Recovery { standing, ..fitted.clone() };
    let with_standing = fitted.iter().zip(standings).map(with_standing).enumerate().collect();
    replace_smallest_first(&mut fitted, with_standing, &mut left)?;
    Ok(fitted)
}

/// Replaces recoveries by larger ones at the same places, as far as these fit into what is left. Chats that are
/// recovered come first, and then smaller ones.
fn replace_smallest_first(fitted: &mut [Recovery], larger: Vec<(usize, Recovery)>, left: &mut usize) -> Result<()> {
    let sized = larger.into_iter().map(|(place, larger)| Ok((!larger.recovered, larger.bytes()?, place, larger)));
    let mut sized = sized.collect::<Result<Vec<_>>>()?;
    sized.sort_by_key(|(is_left_out, size, place, _)| (*is_left_out, *size, *place));
    for (_, size, place, larger) in sized {
        let free = *left + fitted[place].bytes()?;
        if let Some(rest) = free.checked_sub(size) {
            *left = rest;
            fitted[place] = larger;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A recovery with events of these sizes, and the markers of some members.
    fn whole(number: usize, sizes: &[usize], members: u64) -> Recovery {
        let text = |size: &usize| RawValue::from_string(format!("\"{}\"", "x".repeat(*size))).unwrap();
        let read = (1..=members).map(|id| (UserId(id), EntryId(id))).collect();
        Recovery {
            uri: format!("{number:015x}").parse().unwrap(),
            last_id: EntryId(9),
            recovered: true,
            entries: sizes.iter().map(text).collect(),
            standing: Some(Standing { read: Some(read), online: Some(BTreeSet::new()) }),
        }
    }

    proptest! {
        #[test]
        fn what_is_answered_fits_one_frame(
            parts in proptest::collection::vec((proptest::collection::vec(0..3000_usize, 0..8), 0..100_u64), 1..100),
            bytes in 16_000..FRAME_BYTES,
        ) {
            let all: Vec<Recovery> =
                parts.iter().enumerate().map(|(number, (sizes, members))| whole(number, sizes, *members)).collect();
            let fitted = fit(all.clone(), bytes).unwrap();
            let size = |recovery: &Recovery| recovery.bytes().unwrap();
            let used = fitted.iter().map(size).sum::<usize>();
            prop_assert!(used <= bytes, "{} of {}", used, bytes);
            let uris = |recoveries: &[Recovery]| recoveries.iter().map(|recovery| recovery.uri.clone()).collect::<Vec<_>>();
            prop_assert_eq!(uris(&fitted), uris(&all));
            for (fitted, whole) in fitted.iter().zip(&all) {
                if fitted.recovered {
                    prop_assert_eq!(fitted.entries.len(), whole.entries.len());
                    // Its markers would not have fitted, either.
                    prop_assert!(fitted.standing.is_some() || used - size(fitted) + size(whole) > bytes);
                } else {
                    // Nor would its events.
                    prop_assert!(fitted.entries.is_empty());
                    let without_standing = size(&whole.without_standing());
                    prop_assert!(used - size(fitted) + without_standing > bytes);
                }
            }
        }

        #[test]
        fn the_smallest_gaps_are_read(gaps in proptest::collection::vec(proptest::option::of(0..400_u64), 0..100)) {
            let worth = worth_reading(&gaps, FRAME_BYTES);
            let read = || gaps.iter().zip(&worth).filter(|(_, worth)| **worth).map(|(gap, _)| gap.unwrap());
            prop_assert!(read().sum::<u64>() * EVENT_BYTES <= FRAME_BYTES as u64);
            let most = read().max().unwrap_or(0);
            let unread = || gaps.iter().zip(&worth).filter(|(_, worth)| !**worth).filter_map(|(gap, _)| *gap);
            prop_assert!(unread().all(|gap| gap >= most));
            let next = unread().min();
            prop_assert!(next.is_none_or(|gap| (read().sum::<u64>() + gap) * EVENT_BYTES > FRAME_BYTES as u64));
        }
    }
}
