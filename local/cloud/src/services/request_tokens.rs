//! The client request tokens of transactions: one that comes again within ten minutes is not applied again
//! (<https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html#DDB-TransactWriteItems-request-ClientRequestToken>).
//!
//! The engine does the same, but goes through all its tokens at each transaction, and stores a response with each.

use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::content::Content;

const WINDOW: Duration = Duration::from_secs(600);

/// The tokens of the last ten minutes.
#[derive(Default)]
pub(super) struct RequestTokens(Mutex<Tokens>);

#[derive(Default)]
struct Tokens {
    transactions: HashMap<Arc<str>, Transaction>,
    /// Those that are complete, the oldest first.
    complete: VecDeque<(Instant, Arc<str>)>,
}

struct Transaction {
    content: Content,
    is_complete: bool,
}

/// What a token is known for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// Nothing; its transaction begins now.
    New,
    /// The same transaction, which is in progress.
    InProgress,
    /// The same transaction, which is complete.
    Complete,
    /// Another transaction.
    Other,
}

impl RequestTokens {
    /// Begins a transaction if its token is new.
    pub(super) fn begin(&self, token: &str, content: Content) -> Known {
        let mut tokens = self.lock();
        tokens.forget_expired();
        match tokens.transactions.entry(token.into()) {
            Entry::Vacant(entry) => {
                entry.insert(Transaction { content, is_complete: false });
                Known::New
            }
            Entry::Occupied(entry) => match entry.get() {
                known if known.content != content => Known::Other,
                known if known.is_complete => Known::Complete,
                _ => Known::InProgress,
            },
        }
    }

    /// Ends a transaction. One that failed may be tried again.
    pub(super) fn end(&self, token: &str, succeeded: bool) {
        let mut tokens = self.lock();
        if !succeeded {
            tokens.transactions.remove(token);
        } else if let Some((token, _)) = tokens.transactions.get_key_value(token) {
            let token = token.clone();
            tokens.transactions.entry(token.clone()).and_modify(|transaction| transaction.is_complete = true);
            tokens.complete.push_back((Instant::now(), token));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Tokens> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tokens {
    fn forget_expired(&mut self) {
        let now = Instant::now();
        while let Some((_, token)) = self.complete.pop_front_if(|(since, _)| now.duration_since(*since) >= WINDOW) {
            self.transactions.remove(&token);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_token_stands_for_one_transaction() {
        let tokens = RequestTokens::default();
        let [content, other] = ["[1]", "[2]"].map(|items| serde_json::from_str::<Content>(items).unwrap());
        assert_eq!(tokens.begin("a", content), Known::New);
        assert_eq!(tokens.begin("a", content), Known::InProgress);
        tokens.end("a", false);
        assert_eq!(tokens.begin("a", other), Known::New);
        tokens.end("a", true);
        assert_eq!(tokens.begin("a", other), Known::Complete);
        assert_eq!(tokens.begin("a", content), Known::Other);
        assert_eq!(tokens.begin("b", content), Known::New);
        tokens.lock().complete[0].0 -= WINDOW;
        assert_eq!(tokens.begin("a", content), Known::New);
    }
}
