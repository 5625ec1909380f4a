//! The domain's one error type, and the status and body that each variant is answered with.
//!
//! The texts are those of Django REST framework, since clients of the original API compare against them.

use std::{collections::BTreeMap, error::Error as StdError};

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use serde_json::{Value, json};

use crate::{
    date::Date,
    ids::{InvalidUri, UserId},
    metrics::{self, Metric},
};

/// A result of the domain.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The domain's errors. [`Error::status`] and [`Error::body`] are what a caller sees; internal causes are only logged.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Credentials are required and missing: 401.
    #[error("Authentication credentials were not provided.")]
    NotAuthenticated,
    /// Invalid credentials: 401, with the reason.
    #[error("{0}")]
    BadCredentials(&'static str),
    /// The caller lacks the permission: 403.
    #[error("{0}")]
    Forbidden(&'static str),
    /// The resource does not exist, or the caller may not know that it does: 404.
    #[error("Not found.")]
    NotFound,
    /// The path does not have this method: 405.
    #[error("Method \"{method}\" not allowed.")]
    MethodNotAllowed {
        /// The method of the request.
        method: String,
        /// The methods that the path has, for the `Allow` header.
        allow: String,
    },
    /// The body is in an unsupported format: 415.
    #[error("Unsupported media type \"{0}\" in request.")]
    UnsupportedMediaType(String),
    /// The body or frame cannot be parsed: 400.
    #[error("{0}")]
    Malformed(String),
    /// Fields of the request are missing or invalid: 400, with the problems of each.
    #[error("{0}")]
    Invalid(#[from] Invalid),
    /// The request is rejected as a whole: 400, with a list of reasons.
    #[error("{0}")]
    Rejected(&'static str),
    /// This user is in as many chats as one user can be in: 403.
    #[error("This user is in as many chats as one user can be in.")]
    TooManyChats(UserId),
    /// It has not been counted yet how many chats this user is in. The domain counts and retries; no request is
    /// answered with it.
    #[error("The chats of user {0} have not been counted.")]
    Uncounted(UserId),
    /// The operation is idempotent and was done before. No request is answered with it.
    #[error("This was done before.")]
    AlreadyDone,
    /// Another append has taken the entry's id. Appending retries; no request is answered with it.
    #[error("The log has grown.")]
    Behind,
    /// What a change is based on has changed since it was read. The domain reads it again; no request is answered with
    /// it.
    #[error("It has changed since it was read.")]
    Changed,
    /// An export cannot be imported, for these reasons. No request is answered with it.
    #[error("{}", .0.join("\n"))]
    NotImported(Vec<String>),
    /// The body or frame exceeds the limit, in bytes: 413.
    #[error("The request has more than {0} bytes.")]
    TooLarge(usize),
    /// An idempotency key was used for another request: 422.
    #[error("This Idempotency-Key was used for a different request.")]
    KeyReused,
    /// The caller is rate limited: 429.
    #[error("Request was throttled. Expected available in {seconds} second{}.", if *seconds == 1 { "" } else { "s" })]
    Throttled {
        /// When to retry.
        seconds: u64,
    },
    /// A transient failure, such as contention, throttling or a time-out of AWS: 503; the same request may succeed
    /// later.
    #[error("Try again in a moment.")]
    Busy(#[source] Option<Cause>),
    /// The deployment is not configured for it: 501.
    #[error("{0}")]
    NotConfigured(&'static str),
    /// A bug or a misconfiguration: 500.
    #[error("Something went wrong.")]
    Internal(#[source] Cause),
}

/// The cause of an internal or transient failure; for the log only.
pub type Cause = Box<dyn StdError + Send + Sync>;

/// The problems of each field: `{"field": ["…"]}`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Invalid(BTreeMap<&'static str, Vec<String>>);

impl Invalid {
    /// One field with one problem.
    pub fn field(name: &'static str, problem: impl Into<String>) -> Self {
        let mut invalid = Self::default();
        invalid.add(name, problem);
        invalid
    }

    /// Adds a problem to a field.
    pub fn add(&mut self, name: &'static str, problem: impl Into<String>) {
        self.0.entry(name).or_default().push(problem.into());
    }

    /// Adds the problems of another check.
    pub fn append(&mut self, other: Self) {
        for (name, problems) in other.0 {
            self.0.entry(name).or_default().extend(problems);
        }
    }

    /// Whether there is no problem.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value, unless there is a problem.
    ///
    /// # Errors
    /// The problems that were added.
    pub fn unless_empty<T>(self, value: T) -> Result<T, Error> {
        if self.is_empty() { Ok(value) } else { Err(self.into()) }
    }

    fn json(&self) -> Value {
        json!(self.0)
    }
}

impl std::fmt::Display for Invalid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut problems = self.0.iter().flat_map(|(name, list)| list.iter().map(move |problem| (name, problem)));
        if let Some((name, problem)) = problems.next() {
            write!(f, "{name}: {problem}")?;
        }
        problems.try_for_each(|(name, problem)| write!(f, " {name}: {problem}"))
    }
}

impl StdError for Invalid {}

impl Error {
    /// A bug or a misconfiguration, with its cause.
    pub fn internal(cause: impl Into<Cause>) -> Self {
        Self::Internal(cause.into())
    }

    /// The user's account is inactive or has been deleted.
    pub(crate) fn inactive_user() -> Self {
        Self::BadCredentials("User inactive or deleted.")
    }

    /// The caller is not a member of the chat.
    pub(crate) fn not_a_member() -> Self {
        Self::Forbidden("You are not a member of this chat.")
    }

    /// The caller has used up a rate limit with windows of `window` seconds.
    pub(crate) fn limited(window: i64) -> Self {
        Self::throttled(window - Date::now().epoch_seconds() % window)
    }

    /// The caller has to wait `seconds`, at least one.
    pub(crate) fn throttled(seconds: i64) -> Self {
        Self::Throttled { seconds: u64::try_from(seconds).unwrap_or(0).max(1) }
    }

    /// In how many seconds to retry, where retrying helps.
    pub fn retry_after(&self) -> Option<u64> {
        match self {
            Self::Throttled { seconds } => Some(*seconds),
            Self::Busy(_) => Some(1),
            _ => None,
        }
    }

    /// The HTTP status, which WebSocket error frames carry too.
    pub fn status(&self) -> u16 {
        match self {
            Self::Malformed(_) | Self::Invalid(_) | Self::Rejected(_) | Self::NotImported(_) => 400,
            Self::NotAuthenticated | Self::BadCredentials(_) => 401,
            Self::Forbidden(_) | Self::TooManyChats(_) => 403,
            Self::NotFound => 404,
            Self::MethodNotAllowed { .. } => 405,
            Self::TooLarge(_) => 413,
            Self::UnsupportedMediaType(_) => 415,
            Self::KeyReused => 422,
            Self::Throttled { .. } => 429,
            Self::Internal(_) | Self::AlreadyDone | Self::Behind | Self::Changed | Self::Uncounted(_) => 500,
            Self::NotConfigured(_) => 501,
            Self::Busy(_) => 503,
        }
    }

    /// The JSON body that the caller sees.
    pub fn body(&self) -> Value {
        match self {
            Self::Invalid(fields) => fields.json(),
            Self::Rejected(reason) => json!([reason]),
            other => json!({ "detail": other.to_string() }),
        }
    }

    /// Logs the cause of an internal or transient failure, and counts an internal one; errors of the caller are not
    /// logged. Called once, where the error is handled.
    pub fn log(&self) {
        if self.status() == 500 {
            metrics::count(Metric::Failures, 1);
        }
        match self {
            Self::Internal(cause) => tracing::error!(cause = chain(cause.as_ref()), "internal error"),
            Self::AlreadyDone | Self::Behind | Self::Changed | Self::Uncounted(_) => {
                tracing::error!("unhandled: {self}");
            }
            Self::Busy(Some(cause)) => tracing::warn!(cause = chain(cause.as_ref()), "busy"),
            Self::Busy(None) => tracing::warn!("busy"),
            _ => {}
        }
    }
}

/// An error with all its sources on one line.
fn chain(error: &(dyn StdError + 'static)) -> String {
    std::iter::successors(Some(error), |error| StdError::source(*error))
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}

/// A failed call of the AWS SDK. Time-outs, throttling and failures of the service are transient; anything else is a
/// bug or a misconfiguration.
impl<E> From<SdkError<E>> for Error
where
    E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
{
    fn from(error: SdkError<E>) -> Self {
        let is_transient = match &error {
            SdkError::TimeoutError(_) | SdkError::DispatchFailure(_) | SdkError::ResponseError(_) => true,
            // A proxy in between may answer in another format, of which only the status is understood.
            SdkError::ServiceError(service) if service.raw().status().as_u16() >= 500 => true,
            SdkError::ServiceError(service) => matches!(
                service.err().code(),
                Some(
                    "Throttling"
                        | "ThrottlingException"
                        | "Throttled"
                        | "ThrottledException"
                        | "RequestLimitExceeded"
                        | "RequestThrottled"
                        | "RequestThrottledException"
                        | "TooManyRequestsException"
                        | "ProvisionedThroughputExceededException"
                        | "TransactionConflictException"
                        | "TransactionInProgressException"
                        | "LimitExceededException"
                )
            ),
            _ => false,
        };
        if is_transient { Self::Busy(Some(error.into())) } else { Self::Internal(error.into()) }
    }
}

impl From<InvalidUri> for Error {
    fn from(_: InvalidUri) -> Self {
        Self::NotFound
    }
}

impl From<serde_dynamo::Error> for Error {
    fn from(error: serde_dynamo::Error) -> Self {
        Self::internal(error)
    }
}

impl From<aws_smithy_types::error::operation::BuildError> for Error {
    fn from(error: aws_smithy_types::error::operation::BuildError) -> Self {
        Self::internal(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_never_sees_the_cause() {
        let error = Error::internal("the table arn:aws:dynamodb:… is missing");
        assert_eq!((error.status(), error.body()), (500, json!({"detail": "Something went wrong."})));
    }

    #[tokio::test]
    async fn internal_errors_count_as_failures_and_others_do_not() {
        let failures = async |error: Error| {
            let ((), metrics) = metrics::scope(async { error.log() }).await;
            metrics.metrics("Confab").map_or(0, |document| document["Failures"][0].as_i64().unwrap())
        };
        assert_eq!(failures(Error::internal("a bug")).await, 1);
        assert_eq!(failures(Error::AlreadyDone).await, 1);
        assert_eq!(failures(Error::Busy(None)).await, 0);
        assert_eq!(failures(Error::NotFound).await, 0);
    }

    #[test]
    fn fields_list_their_problems() {
        let mut invalid = Invalid::field("username", "a");
        invalid.add("username", "b");
        assert_eq!(Error::from(invalid.clone()).body(), json!({"username": ["a", "b"]}));
        assert_eq!(invalid.to_string(), "username: a username: b");
    }
}
