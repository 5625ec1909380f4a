//! The operations of DynamoDB that have latencies and limits.

/// An operation on items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Get,
    Query,
    Scan,
    BatchGet,
    Put,
    Update,
    Delete,
    BatchWrite,
    TransactGet,
    TransactWrite,
}

impl Operation {
    pub(super) fn of(name: &str) -> Option<Self> {
        Some(match name {
            "GetItem" => Self::Get,
            "Query" => Self::Query,
            "Scan" => Self::Scan,
            "BatchGetItem" => Self::BatchGet,
            "PutItem" => Self::Put,
            "UpdateItem" => Self::Update,
            "DeleteItem" => Self::Delete,
            "BatchWriteItem" => Self::BatchWrite,
            "TransactGetItems" => Self::TransactGet,
            "TransactWriteItems" => Self::TransactWrite,
            _ => return None,
        })
    }

    pub(super) fn is_write(self) -> bool {
        matches!(self, Self::Put | Self::Update | Self::Delete | Self::BatchWrite | Self::TransactWrite)
    }

    pub(super) fn is_transaction(self) -> bool {
        matches!(self, Self::TransactGet | Self::TransactWrite)
    }

    /// The member of a batch's response with what was not done, if this is a batch.
    pub(super) fn unprocessed(self) -> Option<&'static str> {
        match self {
            Self::BatchGet => Some("UnprocessedKeys"),
            Self::BatchWrite => Some("UnprocessedItems"),
            _ => None,
        }
    }
}
