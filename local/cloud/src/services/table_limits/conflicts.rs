//! Conflicts between transactions and writes that are in progress on the same item at the same time
//! (<https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis.html#transaction-conflict-handling>).

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use super::{items::ItemKey, operation::Operation};

/// The operations in progress, by item.
#[derive(Clone, Default)]
pub(super) struct Conflicts(Arc<Mutex<HashMap<ItemKey, InProgress>>>);

#[derive(Default)]
struct InProgress {
    transaction: Option<Token>,
    writes: usize,
}

/// The client request token of a transaction, if it has one.
#[derive(Clone, PartialEq, Eq)]
struct Token(Option<String>);

/// Why an operation does not begin.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Conflict {
    /// The same transaction is in progress, by its client request token.
    SameTransaction,
    /// Other operations are in progress on the items where this is true.
    Items(Vec<bool>),
}

/// An operation in progress. It ends when this is dropped.
pub(super) struct Progress {
    conflicts: Conflicts,
    keys: Vec<ItemKey>,
    is_transaction: bool,
    /// The items that a batch leaves out, since transactions are in progress on them.
    pub(super) left_out: Vec<bool>,
}

impl InProgress {
    /// Whether another operation conflicts with these. Writes that are not transactions follow each other, and reads
    /// that are not transactions conflict with nothing.
    fn conflict_with(&self, operation: Operation) -> bool {
        let with_transaction = operation.is_write() || operation.is_transaction();
        self.transaction.is_some() && with_transaction || self.writes > 0 && operation.is_transaction()
    }
}

impl Conflicts {
    /// Begins an operation on these items, unless it conflicts with others.
    pub(super) fn begin(
        &self,
        operation: Operation,
        keys: &[ItemKey],
        token: Option<&str>,
    ) -> Result<Progress, Conflict> {
        let is_transaction = operation == Operation::TransactWrite;
        let token = Token(token.map(str::to_owned));
        let mut items = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_same = |key| items.get(key).is_some_and(|item| item.transaction.as_ref() == Some(&token));
        if is_transaction && token.0.is_some() && keys.iter().any(is_same) {
            return Err(Conflict::SameTransaction);
        }
        let in_use = |key| items.get(key).is_some_and(|item| item.conflict_with(operation));
        let left_out: Vec<bool> = keys.iter().map(in_use).collect();
        if left_out.contains(&true) && operation.unprocessed().is_none() {
            return Err(Conflict::Items(left_out));
        }
        let taken = keys.iter().zip(&left_out).filter(|(_, left_out)| operation.is_write() && !**left_out);
        let keys: Vec<ItemKey> = taken.map(|(key, _)| key.clone()).collect();
        for key in &keys {
            let item = items.entry(key.clone()).or_default();
            if is_transaction {
                item.transaction = Some(token.clone());
            } else {
                item.writes += 1;
            }
        }
        Ok(Progress { conflicts: self.clone(), keys, is_transaction, left_out })
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        let mut items = self.conflicts.0.lock().unwrap_or_else(PoisonError::into_inner);
        for key in &self.keys {
            // A transaction that names an item twice is invalid, and ends here, too.
            let Some(item) = items.get_mut(key) else { continue };
            if self.is_transaction {
                item.transaction = None;
            } else {
                item.writes -= 1;
            }
            if item.transaction.is_none() && item.writes == 0 {
                items.remove(key);
            }
        }
    }
}
