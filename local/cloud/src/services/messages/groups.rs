//! The messages of a FIFO queue by message group. A receive takes as many as possible of one group before it goes on
//! with the next, and a group with messages in flight is not received from
//! (<https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/FIFO-queues-understanding-logic.html>).

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    time::{SystemTime, UNIX_EPOCH},
};

use rustack_sqs_model::types::Message;
use tokio::time::Instant;

/// The messages that wait or are in flight.
#[derive(Default)]
pub(super) struct Groups {
    waiting: BTreeMap<String, VecDeque<Queued>>,
    in_flight: HashMap<String, InFlight>,
}

/// A message with all its attributes.
#[derive(Clone)]
pub(super) struct Queued {
    pub(super) message: Message,
    /// How often it has been received.
    pub(super) receives: u64,
}

struct InFlight {
    queued: Queued,
    visible_at: Instant,
}

impl Queued {
    pub(super) fn attribute(&self, name: &str) -> &str {
        self.message.attributes.get(name).map(String::as_str).unwrap_or_default()
    }

    fn group(&self) -> &str {
        self.attribute("MessageGroupId")
    }

    /// In 20 digits, so it sorts as a text.
    fn sequence_number(&self) -> &str {
        self.attribute("SequenceNumber")
    }

    /// Counts a receive, and sets what the receiver sees.
    fn receive(&mut self) -> String {
        self.receives += 1;
        let receipt = uuid::Uuid::new_v4().to_string();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis().to_string();
        let attributes = &mut self.message.attributes;
        attributes.insert("ApproximateReceiveCount".to_owned(), self.receives.to_string());
        if self.receives == 1 {
            attributes.insert("ApproximateFirstReceiveTimestamp".to_owned(), now);
        }
        self.message.receipt_handle = Some(receipt.clone());
        receipt
    }
}

impl Groups {
    /// Adds a message in the order of its group.
    pub(super) fn add(&mut self, queued: Queued) {
        let group = self.waiting.entry(queued.group().to_owned()).or_default();
        let place = group.partition_point(|other| other.sequence_number() < queued.sequence_number());
        group.insert(place, queued);
    }

    /// Takes up to `most` messages, which are in flight until `visible_at`.
    pub(super) fn receive(&mut self, most: usize, visible_at: Instant) -> Vec<Message> {
        self.return_expired();
        let blocked: HashSet<String> =
            self.in_flight.values().map(|in_flight| in_flight.queued.group().to_owned()).collect();
        let mut free: Vec<(String, String)> = self
            .waiting
            .iter()
            .filter(|(group, _)| !blocked.contains(*group))
            .filter_map(|(group, queued)| Some((queued.front()?.sequence_number().to_owned(), group.clone())))
            .collect();
        // The group with the oldest message is first.
        free.sort();
        let mut received = Vec::new();
        for (_, group) in free {
            let Some(waiting) = self.waiting.get_mut(&group) else { continue };
            for mut queued in waiting.drain(..waiting.len().min(most - received.len())) {
                let receipt = queued.receive();
                received.push(queued.message.clone());
                self.in_flight.insert(receipt, InFlight { queued, visible_at });
            }
        }
        self.waiting.retain(|_, waiting| !waiting.is_empty());
        received
    }

    /// Takes the waiting messages that have had their last receive, and whose group is not in flight.
    pub(super) fn take_exhausted(&mut self, most_receives: u64) -> Vec<Queued> {
        self.return_expired();
        let blocked: HashSet<&str> = self.in_flight.values().map(|in_flight| in_flight.queued.group()).collect();
        let mut exhausted = Vec::new();
        for (group, waiting) in &mut self.waiting {
            while !blocked.contains(group.as_str())
                && let Some(queued) = waiting.pop_front_if(|queued| queued.receives >= most_receives)
            {
                exhausted.push(queued);
            }
        }
        exhausted
    }

    /// Deletes a message in flight; `false` if there is no such.
    pub(super) fn delete(&mut self, receipt: &str) -> bool {
        self.return_expired();
        self.in_flight.remove(receipt).is_some()
    }

    /// Changes when a message in flight is visible again; `false` if there is no such.
    pub(super) fn change_visibility(&mut self, receipt: &str, visible_at: Instant) -> bool {
        self.return_expired();
        let Some(in_flight) = self.in_flight.get_mut(receipt) else { return false };
        in_flight.visible_at = visible_at;
        true
    }

    /// When the next message in flight is visible again.
    pub(super) fn next_visible(&self) -> Option<Instant> {
        self.in_flight.values().map(|in_flight| in_flight.visible_at).min()
    }

    /// How many messages wait, and how many are in flight.
    pub(super) fn count(&self) -> (usize, usize) {
        (self.waiting.values().map(VecDeque::len).sum(), self.in_flight.len())
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    fn return_expired(&mut self) {
        let now = Instant::now();
        let expired: Vec<InFlight> =
            self.in_flight.extract_if(|_, in_flight| in_flight.visible_at <= now).map(|(_, expired)| expired).collect();
        for InFlight { queued, .. } in expired {
            self.add(queued);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn groups(messages: &[(&str, u64)]) -> Groups {
        let mut groups = Groups::default();
        for (group, number) in messages {
            let attributes = [("MessageGroupId", (*group).to_owned()), ("SequenceNumber", format!("{number:020}"))];
            let attributes = attributes.map(|(name, value)| (name.to_owned(), value)).into();
            let message = Message { body: Some(format!("{group}{number}")), attributes, ..Message::default() };
            groups.add(Queued { message, receives: 0 });
        }
        groups
    }

    fn bodies(received: &[Message]) -> Vec<&str> {
        received.iter().map(|message| message.body.as_deref().unwrap()).collect()
    }

    fn later() -> Instant {
        Instant::now() + Duration::from_secs(600)
    }

    #[test]
    fn a_receive_takes_as_many_of_a_group_as_possible_and_blocks_it() {
        let mut groups = groups(&[("b", 1), ("a", 2), ("b", 3), ("a", 4), ("a", 5), ("c", 6)]);
        let first = groups.receive(4, later());
        assert_eq!(bodies(&first), ["b1", "b3", "a2", "a4"]);
        let second = groups.receive(4, later());
        assert_eq!(bodies(&second), ["c6"]);
        assert!(groups.delete(first[2].receipt_handle.as_deref().unwrap()));
        assert!(groups.receive(4, later()).is_empty());
        assert!(groups.delete(first[3].receipt_handle.as_deref().unwrap()));
        assert_eq!(bodies(&groups.receive(4, later())), ["a5"]);
    }

    #[test]
    fn messages_return_in_order_and_are_exhausted() {
        let mut groups = groups(&[("a", 1), ("a", 2), ("a", 3)]);
        let received = groups.receive(2, later());
        let [first, second] = [0, 1].map(|place: usize| received[place].receipt_handle.clone().unwrap());
        assert!(groups.change_visibility(&second, Instant::now()));
        assert!(groups.receive(10, later()).is_empty());
        assert!(groups.change_visibility(&first, Instant::now()));
        assert!(!groups.delete(&first));
        let again = groups.receive(10, Instant::now());
        assert_eq!(bodies(&again), ["a1", "a2", "a3"]);
        let counts = again.iter().map(|message| message.attributes["ApproximateReceiveCount"].as_str());
        assert_eq!(counts.collect::<Vec<_>>(), ["2", "2", "1"]);
        assert_eq!(groups.take_exhausted(2).len(), 2);
        assert_eq!(groups.count(), (1, 0));
    }
}
