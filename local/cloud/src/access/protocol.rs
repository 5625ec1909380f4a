//! The protocols of the services.

/// The protocol of a service, which decides how requests are signed and errors are formatted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    DynamoDb,
    Sns,
    Sqs,
    Ses,
    Connections,
}

impl Protocol {
    /// The service's name in a signature.
    pub(super) fn scope(self) -> &'static str {
        match self {
            Self::DynamoDb => "dynamodb",
            Self::Sns => "sns",
            Self::Sqs => "sqs",
            Self::Ses => "ses",
            Self::Connections => "execute-api",
        }
    }
}
