//! Publishing to the exchange: events of log entries, and events that are not in the log. The message group is the
//! chat's uri.

use std::collections::HashMap;

use serde::Serialize;

use super::{entry::Entry, event::EventContext};
use crate::{
    Confab, Result,
    auth::user::User,
    aws::topic::TopicMessage,
    ids::{ChatUri, UserId},
    json,
};

impl Confab {
    /// Publishes entries that are in the log. A failure is logged and not returned, since the request is done: the
    /// relay publishes what is in the table's stream.
    pub(crate) async fn publish_entries(&self, uri: &ChatUri, entries: &[Entry], known: HashMap<UserId, User>) {
        let published = async {
            let context = self.event_context(&[(uri, entries)], known).await?;
            self.publish_events(uri, entries, &context).await
        };
        if let Err(error) = published.await {
            error.log();
        }
    }

    /// Publishes the events of some entries of a chat, in order.
    pub(crate) async fn publish_events(&self, uri: &ChatUri, entries: &[Entry], context: &EventContext) -> Result<()> {
        let message = |entry: &Entry| {
            let deduplication_id = format!("{uri}-{}", entry.id);
            context.event(uri, entry).map(|body| TopicMessage { deduplication_id, body })
        };
        let messages = entries.iter().map(message).collect::<Result<Vec<_>>>()?;
        if messages.is_empty() { Ok(()) } else { self.topic()?.publish(&uri.to_string(), messages).await }
    }

    /// Publishes an event that is not in the log, at most once within five minutes for each deduplication id.
    ///
    /// # Errors
    /// When the topic fails.
    pub(crate) async fn publish(&self, uri: &ChatUri, deduplication_id: String, event: &impl Serialize) -> Result<()> {
        let body = json::to_line(event)?;
        self.topic()?.publish(&uri.to_string(), vec![TopicMessage { deduplication_id, body }]).await
    }

    /// Publishes an event that is not in the log, best effort: a failure is logged and not returned.
    pub(crate) async fn broadcast(&self, uri: &ChatUri, deduplication_id: String, event: &impl Serialize) {
        if let Err(error) = self.publish(uri, deduplication_id, event).await {
            error.log();
        }
    }
}
