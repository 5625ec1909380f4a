//! The table's stream, and reconciliation: what follows from a change of the table is done once more from here, in case
//! the request that made the change was cut off.

use std::collections::BTreeMap;

use futures_util::{StreamExt, future, stream};
use serde::Deserialize;
use serde_dynamo::Item;

use crate::{
    Confab, Error, Result,
    accounts::deletion::DELETION,
    chats::{
        entry::{Entry, ImportMark},
        ephemeral::EphemeralEvent,
        member::{MEMBER, Member},
    },
    ids::{ChatUri, ConnectionId, EntryId, SequenceNumber, UserId},
    json,
    key::{Key, Partition},
    realtime::{presence::PresenceChange, subscription::NewSubscription},
};

/// Follow-ups that are processed concurrently.
const CONCURRENT_FOLLOW_UPS: usize = 10;

/// A change of one item.
#[derive(Clone, Debug)]
pub struct StreamRecord {
    /// The position in the stream.
    pub sequence_number: SequenceNumber,
    /// The item's key.
    pub key: Key,
    /// The item as it is now; `None` if it was deleted.
    pub item: Option<Item>,
    /// The item as it was; `None` if it is new.
    pub old: Option<Item>,
}

/// What may follow from a change.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum FollowUp {
    /// Tokens of a user were revoked: close their sockets.
    Revocation(UserId),
    /// A user's account was deleted: erase it.
    Erasure(UserId),
    /// A user joined a chat: notify their sockets.
    Joining(ChatUri, UserId),
    /// A user left a chat: end their subscriptions.
    Leaving(ChatUri, UserId),
}

/// What follows from some records, with the place of the record to retry from.
#[derive(Default)]
struct FollowUps {
    each: BTreeMap<FollowUp, usize>,
    subscriptions: BTreeMap<NewSubscription, usize>,
    /// Users who may have come online or gone offline.
    presence: BTreeMap<(ChatUri, UserId), usize>,
    /// The read markers of each chat that moved, and where to.
    markers: BTreeMap<ChatUri, (usize, BTreeMap<UserId, EntryId>)>,
}

impl FollowUps {
    fn of(records: &[StreamRecord]) -> Self {
        let mut follow_ups = Self::default();
        for (place, record) in records.iter().enumerate() {
            // The last of several records with one follow-up sees what all of them have led to.
            follow_ups.each.extend(record.follow_up().map(|follow_up| (follow_up, place)));
            follow_ups.subscriptions.extend(record.new_subscription().map(|subscription| (subscription, place)));
            if let Some((uri, SubscribedUser { user_id, .. })) = record.subscriber() {
                follow_ups.presence.insert((uri, user_id), place);
            }
            if let Some((uri, MarkedMember { user_id, read_id })) = record.moved_marker() {
                // Here each record adds a member, so a retry begins with the first.
                let (_, read) = follow_ups.markers.entry(uri).or_insert_with(|| (place, BTreeMap::new()));
                read.insert(user_id, read_id);
            }
        }
        follow_ups
    }
}

/// The part of a member that matters here.
#[derive(Deserialize)]
struct MarkedMember {
    user_id: UserId,
    read_id: EntryId,
}

/// The part of a subscriber that matters here.
#[derive(Deserialize)]
struct SubscribedUser {
    user_id: UserId,
    connection_id: ConnectionId,
}

impl StreamRecord {
    /// What may follow from this change: of a token that was deleted, a profile that changed, as it does with a new
    /// password, an account that was deleted, or a member who came or went.
    fn follow_up(&self) -> Option<FollowUp> {
        let Key { pk, sk } = &self.key;
        let user = |id: &str| id.parse().ok().map(UserId);
        let (partition, id) = Partition::parse(pk)?;
        match (partition, &self.item) {
            (Partition::Tokens, None) => user(id).map(FollowUp::Revocation),
            (Partition::User, Some(_)) if sk == "PROFILE" => user(id).map(FollowUp::Revocation),
            (Partition::User, Some(_)) if sk == DELETION => user(id).map(FollowUp::Erasure),
            (Partition::Chat, item) => {
                let (uri, user_id) = (id.parse().ok()?, user(sk.strip_prefix(MEMBER)?)?);
                match (item, &self.old) {
                    (None, _) => Some(FollowUp::Leaving(uri, user_id)),
                    (Some(_), None) => Some(FollowUp::Joining(uri, user_id)),
                    (Some(_), Some(_)) => None,
                }
            }
            _ => None,
        }
    }

    /// The member whose read marker moved with this change. The marker of who joins follows from the log.
    fn moved_marker(&self) -> Option<(ChatUri, MarkedMember)> {
        let (Partition::Chat, uri) = Partition::parse(&self.key.pk)? else { return None };
        self.key.sk.strip_prefix(MEMBER)?;
        let [old, new] = [&self.old, &self.item];
        let member = |item: &Option<Item>| serde_dynamo::from_item::<_, MarkedMember>(item.clone()?).ok();
        let (old, new) = (member(old)?, member(new)?);
        (new.read_id > old.read_id).then_some((uri.parse().ok()?, new))
    }

    /// The subscription that was registered with this change.
    fn new_subscription(&self) -> Option<NewSubscription> {
        self.item.as_ref()?;
        let (uri, SubscribedUser { user_id, connection_id }) = self.subscriber()?;
        Some(NewSubscription { uri, user_id, connection_id })
    }

    /// The subscriber who came or went.
    fn subscriber(&self) -> Option<(ChatUri, SubscribedUser)> {
        let (Partition::Subscribers, uri) = Partition::parse(&self.key.pk)? else { return None };
        let subscriber = self.item.as_ref().or(self.old.as_ref())?;
        Some((uri.parse().ok()?, serde_dynamo::from_item(subscriber.clone()).ok()?))
    }

    /// Whether it is an imported log entry.
    pub(super) fn is_imported(&self) -> bool {
        let mark = self.item.clone().and_then(|item| serde_dynamo::from_item::<_, ImportMark>(item).ok());
        mark.is_some_and(|mark| mark.imported)
    }

    /// The log entry that was written with this change.
    pub(super) fn entry(&self) -> Option<(ChatUri, Entry)> {
        let (Partition::Log, uri) = Partition::parse(&self.key.pk)? else { return None };
        Some((uri.parse().ok()?, serde_dynamo::from_item(self.item.clone()?).ok()?))
    }
}

impl Confab {
    /// Does what follows from changes of the table, each follow-up once, and returns the sequence number of the first
    /// record to retry.
    pub async fn reconcile(&self, records: &[StreamRecord]) -> Option<SequenceNumber> {
        let FollowUps { each, subscriptions, presence, markers } = FollowUps::of(records);
        let unchecked = self.check_subscriptions(subscriptions).await;
        // Concurrently: what is not done before the function's time-out is done again, all of it.
        let each = stream::iter(each).map(async |(follow_up, place)| (place, self.follow_up(&follow_up).await));
        let markers = stream::iter(markers)
            .map(async |(uri, (place, read))| (place, self.broadcast_read_markers(&uri, &read).await));
        let (each, presence, markers) = future::join3(
            each.buffer_unordered(CONCURRENT_FOLLOW_UPS).collect::<Vec<_>>(),
            self.reconcile_presence(records, presence),
            markers.buffer_unordered(CONCURRENT_FOLLOW_UPS).collect::<Vec<_>>(),
        )
        .await;
        let done = each.into_iter().chain(presence).chain(markers);
        let failed = done.filter_map(|(place, done)| done.inspect_err(Error::log).err().map(|_| place));
        failed.chain(unchecked).min().map(|place| records[place].sequence_number.clone())
    }

    async fn reconcile_presence(
        &self,
        records: &[StreamRecord],
        presence: BTreeMap<(ChatUri, UserId), usize>,
    ) -> Vec<(usize, Result<()>)> {
        let (changes, places): (Vec<PresenceChange>, Vec<usize>) = presence
            .into_iter()
            .map(|((uri, user_id), place)| {
                let occasion = records[place].sequence_number.clone();
                (PresenceChange { uri, user_id, occasion }, place)
            })
            .unzip();
        places.into_iter().zip(self.broadcast_presence(&changes).await).collect()
    }

    async fn follow_up(&self, follow_up: &FollowUp) -> Result<()> {
        match follow_up {
            FollowUp::Revocation(user_id) => self.close_unauthorized_sockets(*user_id).await,
            FollowUp::Erasure(user_id) => self.request_erasure(*user_id, &user_id.to_string()).await,
            FollowUp::Joining(uri, user_id) => self.notify_newcomer(uri, *user_id).await,
            FollowUp::Leaving(uri, user_id) => self.evict(uri, *user_id).await,
        }
    }

    /// Notifies all sockets of a user that they were added to a chat, possibly by another member; even if they have
    /// been removed since, because who added them has seen their name.
    async fn notify_newcomer(&self, uri: &ChatUri, user_id: UserId) -> Result<()> {
        let is_member = self.table().get::<Member>(Member::key(uri, user_id)).await?.is_some();
        let mut frame = json::to_line(&EphemeralEvent::Added { uri })?;
        if !is_member {
            frame.push('\n');
            frame.push_str(&json::to_line(&EphemeralEvent::Unsubscribed { uri })?);
        }
        let connections = self.connections_of(user_id).await?.into_iter();
        self.sockets()?.notify(connections.map(|connection| connection.connection_id), &frame).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use proptest::prelude::*;
    use serde_dynamo::AttributeValue;

    fn record(pk: &str, sk: &str, item: Option<Item>) -> StreamRecord {
        let key = Key { pk: pk.to_owned(), sk: sk.to_owned() };
        StreamRecord { sequence_number: "1".to_owned().into(), key, item, old: None }
    }

    #[test]
    fn what_follows_from_a_change() {
        let uri = "0123456789abcde";
        let some = Some(Item::default());
        assert_eq!(record("TOKENS#7", "hash", None).follow_up(), Some(FollowUp::Revocation(UserId(7))));
        assert_eq!(record("TOKENS#7", "hash", some.clone()).follow_up(), None);
        assert_eq!(record("USER#7", "PROFILE", some.clone()).follow_up(), Some(FollowUp::Revocation(UserId(7))));
        assert_eq!(record("USER#7", "DELETION", some.clone()).follow_up(), Some(FollowUp::Erasure(UserId(7))));
        assert_eq!(record("USER#7", "DELETION", None).follow_up(), None, "it has been erased");
        assert_eq!(record("USER#7", "CHAT#x", None).follow_up(), None);
        let left = Some(FollowUp::Leaving(uri.parse().unwrap(), UserId(7)));
        assert_eq!(record(&format!("CHAT#{uri}"), "MEMBER#7", None).follow_up(), left);
        assert_eq!(record(&format!("CHAT#{uri}"), "SESSION", None).follow_up(), None);
        let joined = record(&format!("CHAT#{uri}"), "MEMBER#7", some.clone());
        assert_eq!(joined.follow_up(), Some(FollowUp::Joining(uri.parse().unwrap(), UserId(7))));
        assert_eq!(StreamRecord { old: some.clone(), ..joined }.follow_up(), None, "a read marker has moved");
    }

    #[test]
    fn markers_that_moved_are_collected_by_chat() {
        let member = |user_id: u64, read_id: u64| {
            let number = |number: u64| AttributeValue::N(number.to_string());
            Some(Item::from(HashMap::from([
                ("user_id".to_owned(), number(user_id)),
                ("read_id".to_owned(), number(read_id)),
            ])))
        };
        let change = |uri: &str, user_id, old, item| {
            let record = record(&format!("CHAT#{uri}"), &format!("MEMBER#{user_id}"), item);
            StreamRecord { old, ..record }
        };
        let (one, two) = ("0123456789abcde", "123456789abcdef");
        let records = [
            change(one, 7, None, member(7, 3)),
            change(two, 7, member(7, 1), member(7, 2)),
            change(one, 7, member(7, 3), member(7, 3)),
            change(one, 8, member(8, 1), member(8, 4)),
            change(one, 7, member(7, 3), member(7, 4)),
            change(one, 8, member(8, 4), member(8, 5)),
            change(one, 9, member(9, 4), None),
        ];
        let expected = [(one, (3, vec![(7, 4), (8, 5)])), (two, (1, vec![(7, 2)]))];
        let expected = expected.map(|(uri, (place, read))| {
            (
                uri.parse().unwrap(),
                (
                    place,
                    read.into_iter().map(|(user_id, id)| (UserId(user_id), EntryId(id))).collect::<BTreeMap<_, _>>(),
                ),
            )
        });
        assert_eq!(FollowUps::of(&records).markers, expected.into());
    }

    proptest! {
        #[test]
        fn any_key_is_read_or_ignored(pk in "(TOKENS|USER|CHAT|LOG|SUBSCRIBERS|)#?[0-9a-f#]{0,16}", sk in "(MEMBER#|PROFILE|)[0-9x]{0,30}", gone: bool) {
            let record = record(&pk, &sk, (!gone).then(Item::default));
            let _ = record.follow_up();
            prop_assert!(record.entry().is_none());
        }
    }
}
