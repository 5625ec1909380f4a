//! Transactions: several writes, all or none.

use std::time::Duration;

use aws_sdk_dynamodb::{
    error::SdkError, operation::transact_write_items::TransactWriteItemsError, types::CancellationReason,
};

use super::{
    client::{Table, contention_pauses, pause},
    write::{Otherwise, Write},
};
use crate::{
    Error, Result,
    metrics::{self, Metric},
};

/// How an attempt at a transaction ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Transacted {
    /// All of it was done.
    Done,
    /// Nothing was done: another transaction was at work on the items of the writes at these places, or DynamoDB was
    /// short of capacity for them. Worth a retry.
    Conflict(Vec<usize>),
}

impl Table {
    /// Applies several writes atomically, and backs off while other transactions are at work on the same items.
    ///
    /// # Errors
    /// As [`Table::transact_once`]; [`Error::Busy`] if the items stay in use.
    pub(crate) async fn transact(&self, writes: Vec<Write>) -> Result<()> {
        self.transact_with(writes, contention_pauses()).await
    }

    /// As [`Table::transact`], with these pauses between the attempts.
    ///
    /// # Errors
    /// As [`Table::transact`], after the last pause.
    pub(crate) async fn transact_with(
        &self,
        writes: Vec<Write>,
        mut pauses: impl Iterator<Item = Duration>,
    ) -> Result<()> {
        while self.transact_once(writes.clone()).await? != Transacted::Done {
            metrics::count(Metric::TransactionRetries, 1);
            pause(&mut pauses, None).await?;
        }
        Ok(())
    }

    /// Applies several writes atomically. The SDK gives each call a token, so its retries are idempotent.
    ///
    /// # Errors
    /// The error of the first write whose condition failed ([`Write::otherwise`]); when DynamoDB fails.
    pub(crate) async fn transact_once(&self, writes: Vec<Write>) -> Result<Transacted> {
        let meanings: Vec<Otherwise> = writes.iter().map(|write| write.otherwise.clone()).collect();
        let items = writes.into_iter().map(|write| write.into_transaction_item(&self.name));
        let items = items.collect::<Result<Vec<_>>>()?;
        metrics::called_dynamodb();
        match self.client.transact_write_items().set_transact_items(Some(items)).send().await {
            Ok(_) => Ok(Transacted::Done),
            Err(SdkError::ServiceError(error))
                if matches!(error.err(), TransactWriteItemsError::TransactionCanceledException(_)) =>
            {
                let TransactWriteItemsError::TransactionCanceledException(cancelled) = error.into_err() else {
                    return Err(Error::internal("a cancelled transaction without reasons"));
                };
                cancelled_for(cancelled.cancellation_reasons.unwrap_or_default(), &meanings)
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// What a cancelled transaction means: the reasons are in the order of the writes.
fn cancelled_for(reasons: Vec<CancellationReason>, meanings: &[Otherwise]) -> Result<Transacted> {
    let (mut failed, mut in_conflict) = (None, Vec::new());
    for (place, (reason, otherwise)) in reasons.into_iter().zip(meanings).enumerate() {
        match reason.code.as_deref() {
            None | Some("None") => {}
            Some("TransactionConflict" | "ThrottlingError" | "ProvisionedThroughputExceeded") => {
                in_conflict.push(place)
            }
            Some("ConditionalCheckFailed") => failed = failed.or(Some((otherwise, reason.item))),
            Some(code) => {
                let message = reason.message.as_deref().unwrap_or_default();
                return Err(Error::internal(format!("{code}: {message}")));
            }
        }
    }
    match failed {
        Some((otherwise, item)) => Err(otherwise.error(item)),
        None => Ok(Transacted::Conflict(in_conflict)),
    }
}
