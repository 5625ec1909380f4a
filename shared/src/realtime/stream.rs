//! Changes of the table, as its stream tells of them, what they mean here, and settling what follows from them.

use std::collections::BTreeMap;

use futures_util::{StreamExt, future, stream};
use serde::Deserialize;
use serde_dynamo::Item;
use serde_json::json;

use crate::{
    Confab, Error, Result,
    aws::table::Key,
    chats::log::Entry,
    chats::members::Member,
    ids::{ChatUri, UserId},
    import::Mark,
    json,
};

/// So many follow_ups are settled at the same time.
const CONCURRENT_FOLLOW_UPS: usize = 10;

/// A change of one item.
#[derive(Clone, Debug)]
pub struct StreamRecord {
    /// Its place in the stream.
    pub sequence_number: String,
    /// Which item.
    pub key: Key,
    /// The item as it is now; `None` if it has gone.
    pub item: Option<Item>,
    /// The item as it was; `None` if it is new.
    pub old: Option<Item>,
}

/// What a change may have consequences for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum FollowUp {
    /// A user's tokens: one has gone, or all of them with the password.
    Tokens(UserId),
    /// A user's membership of a chat, which has begun.
    Welcome(ChatUri, UserId),
    /// A user's membership of a chat, which has ended.
    Membership(ChatUri, UserId),
    /// Whether a user is present in a chat.
    Presence(ChatUri, UserId),
}

/// What is looked at of a subscriber.
#[derive(Deserialize)]
struct Subscribed {
    user_id: UserId,
}

impl StreamRecord {
    /// What this change may have consequences for: a token that has gone, a profile that has changed, as it does with a new
    /// password, a member or a subscriber who has come or gone.
    pub(crate) fn follow_up(&self) -> Option<FollowUp> {
        let Key { pk, sk } = &self.key;
        let user = |id: &str| id.parse().ok().map(UserId);
        match (pk.split_once('#')?, sk.as_str(), &self.item) {
            (("TOKENS", id), _, None) => user(id).map(FollowUp::Tokens),
            (("USER", id), "PROFILE", Some(_)) => user(id).map(FollowUp::Tokens),
            (("CHAT", uri), sk, item) => {
                let (uri, user_id) = (uri.parse().ok()?, user(sk.strip_prefix("MEMBER#")?)?);
                match (item, &self.old) {
                    (None, _) => Some(FollowUp::Membership(uri, user_id)),
                    (Some(_), None) => Some(FollowUp::Welcome(uri, user_id)),
                    (Some(_), Some(_)) => None,
                }
            }
            (("SUBSCRIBERS", uri), _, _) => {
                let subscriber = self.item.as_ref().or(self.old.as_ref())?;
                let Subscribed { user_id } = serde_dynamo::from_item(subscriber.clone()).ok()?;
                Some(FollowUp::Presence(uri.parse().ok()?, user_id))
            }
            _ => None,
        }
    }

    /// Whether it is a log entry that was imported, and happened long ago.
    pub(crate) fn is_imported(&self) -> bool {
        let mark = self.item.clone().and_then(|item| serde_dynamo::from_item::<_, Mark>(item).ok());
        mark.is_some_and(|mark| mark.imported)
    }

    /// The log entry that was written with this change.
    pub(crate) fn entry(&self) -> Option<(ChatUri, Entry)> {
        let uri = self.key.pk.strip_prefix("LOG#")?.parse().ok()?;
        Some((uri, serde_dynamo::from_item(self.item.clone()?).ok()?))
    }
}

impl Confab {
    /// Settles what changes of the table have consequences for, each follow_up once, and names the first change that has to be tried
    /// again.
    pub async fn reconcile(&self, changes: &[StreamRecord]) -> Option<String> {
        // The last of several changes with one follow_up sees what all of them have led to.
        let mut follow_ups: BTreeMap<FollowUp, usize> = BTreeMap::new();
        for (place, change) in changes.iter().enumerate() {
            if let Some(follow_up) = change.follow_up() {
                follow_ups.insert(follow_up, place);
            }
        }
        // Some at the same time: what is not done before the function's time is up is all done again.
        let settled = stream::iter(follow_ups).map(async |(follow_up, place)| {
            let settled = self.follow_up_on(&follow_up, &changes[place].sequence_number).await;
            settled.inspect_err(Error::log).err().map(|_| place)
        });
        let failed: Vec<usize> =
            settled.buffer_unordered(CONCURRENT_FOLLOW_UPS).filter_map(future::ready).collect().await;
        failed.into_iter().min().map(|place| changes[place].sequence_number.clone())
    }

    async fn follow_up_on(&self, follow_up: &FollowUp, occasion: &str) -> Result<()> {
        match follow_up {
            FollowUp::Tokens(user_id) => self.close_unauthorized_sockets(*user_id).await,
            FollowUp::Welcome(uri, user_id) => self.notify_newcomer(uri, *user_id).await,
            FollowUp::Membership(uri, user_id) => self.end_strangers_subscriptions(uri, *user_id).await,
            FollowUp::Presence(uri, user_id) => self.broadcast_presence(uri, *user_id, occasion).await,
        }
    }

    /// Tells all sockets of a user that they were brought into a chat, which need not be their own doing, even if they have been removed
    /// since: the host has seen who they are.
    async fn notify_newcomer(&self, uri: &ChatUri, user_id: UserId) -> Result<()> {
        let is_in = self.table().get::<Member>(&Member::key(uri, user_id)).await?.is_some();
        let mut frame = json::to_line(&json!({ "type": "added", "uri": uri }))?;
        if !is_in {
            frame.push('\n');
            frame.push_str(&json::to_line(&json!({ "type": "unsubscribed", "uri": uri }))?);
        }
        let connection_ids = self.connections_of(user_id).await?.into_iter().map(|owned| owned.connection_id);
        self.sockets()?.notify(connection_ids, &frame).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn change(pk: &str, sk: &str, item: Option<Item>) -> StreamRecord {
        StreamRecord { sequence_number: "1".into(), key: Key::new(pk, sk), item, old: None }
    }

    #[test]
    fn what_a_change_concerns() {
        let uri = "0123456789abcde";
        let some = Some(Item::default());
        assert_eq!(change("TOKENS#7", "hash", None).follow_up(), Some(FollowUp::Tokens(UserId(7))));
        assert_eq!(change("TOKENS#7", "hash", some.clone()).follow_up(), None);
        assert_eq!(change("USER#7", "PROFILE", some.clone()).follow_up(), Some(FollowUp::Tokens(UserId(7))));
        assert_eq!(change("USER#7", "CHAT#x", None).follow_up(), None);
        let left = Some(FollowUp::Membership(uri.parse().unwrap(), UserId(7)));
        assert_eq!(change(&format!("CHAT#{uri}"), "MEMBER#7", None).follow_up(), left);
        assert_eq!(change(&format!("CHAT#{uri}"), "SESSION", None).follow_up(), None);
        let come = change(&format!("CHAT#{uri}"), "MEMBER#7", some.clone());
        assert_eq!(come.follow_up(), Some(FollowUp::Welcome(uri.parse().unwrap(), UserId(7))));
        assert_eq!(StreamRecord { old: some.clone(), ..come }.follow_up(), None, "a read marker has moved");
    }

    proptest! {
        #[test]
        fn any_key_gives_an_answer(pk in "(TOKENS|USER|CHAT|LOG|SUBSCRIBERS|)#?[0-9a-f#]{0,16}", sk in "(MEMBER#|PROFILE|)[0-9x]{0,30}", gone: bool) {
            let change = change(&pk, &sk, (!gone).then(Item::default));
            let _ = change.follow_up();
            prop_assert!(change.entry().is_none());
        }
    }
}
