//! The relay: from the table's stream to the exchange, so that every log entry is published at least once.

use std::collections::{BTreeMap, HashMap};

use futures_util::future;

use super::stream::StreamRecord;
use crate::{
    Confab, Error, Result,
    chats::entry::Entry,
    ids::{ChatUri, SequenceNumber},
};

impl Confab {
    /// Publishes the log entries among some stream records, whether or not they have been published: the exchange drops
    /// what it has had in the last five minutes, and the fan-out what it has delivered. Imported entries are not
    /// published. Returns the sequence number of the first record to retry.
    pub async fn relay(&self, records: &[StreamRecord]) -> Option<SequenceNumber> {
        let mut chats: BTreeMap<ChatUri, (usize, Vec<Entry>)> = BTreeMap::new();
        for (place, record) in records.iter().enumerate().filter(|(_, record)| !record.is_imported()) {
            match record.entry() {
                Some((uri, entry)) => chats.entry(uri).or_insert_with(|| (place, Vec::new())).1.push(entry),
                // A retry would not make an entry of it, and would block all records behind it.
                None => tracing::error!(sequence_number = %record.sequence_number, "a record that is not a log entry"),
            }
        }
        let all: Vec<(&ChatUri, &[Entry])> =
            chats.iter().map(|(uri, (_, entries))| (uri, entries.as_slice())).collect();
        let published = self.relay_chats(&all).await.into_iter().zip(chats.values());
        let failed = published
            .filter_map(|(published, (place, _))| published.inspect_err(Error::log).err().map(|_| *place))
            .min();
        failed.map(|place| records[place].sequence_number.clone())
    }

    /// Publishes the entries of some chats. What the events need is read for all at once; if that fails, for each chat
    /// by itself, so that a chat that keeps failing takes no other with it when its records are put aside.
    async fn relay_chats(&self, chats: &[(&ChatUri, &[Entry])]) -> Vec<Result<()>> {
        match self.event_context(chats, HashMap::new()).await {
            Ok(context) => {
                let published = chats.iter().map(|(uri, entries)| self.publish_events(uri, entries, &context));
                future::join_all(published).await
            }
            // Each chat by itself, so that one that fails takes no other with it; the failures of these are logged.
            Err(_) if chats.len() > 1 => {
                future::join_all(chats.iter().map(|(uri, entries)| self.relay_chat(uri, entries))).await
            }
            Err(error) => vec![Err(error)],
        }
    }

    async fn relay_chat(&self, uri: &ChatUri, entries: &[Entry]) -> Result<()> {
        let context = self.event_context(&[(uri, entries)], HashMap::new()).await?;
        self.publish_events(uri, entries, &context).await
    }
}
