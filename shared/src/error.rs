//! The one enumeration of what can go wrong, and how each case is told to a caller.
//!
//! The words are those of Django REST framework, since clients of the original API compare against them.

use std::{collections::BTreeMap, error::Error as StdError};

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use serde_json::{Value, json};

use crate::{date::Date, ids::UserId};

/// What can go wrong. [`Error::status`] and [`Error::body`] are what a caller sees; internal causes are only logged.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No credentials where some are needed: 401.
    #[error("Authentication credentials were not provided.")]
    NotAuthenticated,
    /// Credentials that are no good: 401, with the reason in the original's words.
    #[error("{0}")]
    BadCredentials(&'static str),
    /// The caller may not do this: 403.
    #[error("{0}")]
    Forbidden(&'static str),
    /// There is no such thing: 404.
    #[error("Not found.")]
    NotFound,
    /// The path exists, the method does not: 405, with the methods that do.
    #[error("Method \"{method}\" not allowed.")]
    MethodNotAllowed {
        /// The method that was asked for.
        method: String,
        /// The methods that the path has, for the `Allow` header.
        allow: String,
    },
    /// The body is in a format that is not spoken here: 415.
    #[error("Unsupported media type \"{0}\" in request.")]
    UnsupportedMediaType(String),
    /// The body or frame cannot be read at all: 400.
    #[error("{0}")]
    Malformed(String),
    /// Fields of the request are missing or wrong: 400, each with what is wrong.
    #[error("{0}")]
    Invalid(#[from] Invalid),
    /// The request as a whole cannot be done: 400, a bare list of reasons.
    #[error("{0}")]
    Rejected(&'static str),
    /// This user is in as many chats as one user can be in: 403.
    #[error("This user is in as many chats as one user can be in.")]
    TooManyChats(UserId),
    /// It has not been counted yet how many chats this user is in. The domain counts and tries again; no request is answered with it.
    #[error("The chats of user {0} have not been counted.")]
    Uncounted(UserId),
    /// The same was done before, so that nothing is left to do. No request is answered with it.
    #[error("This was done before.")]
    AlreadyDone,
    /// An export cannot be imported, for these reasons. No request is answered with it.
    #[error("{}", .0.join("\n"))]
    NotImported(Vec<String>),
    /// The body or frame is larger than what is read: 413.
    #[error("The request has more than {0} bytes.")]
    TooLarge(usize),
    /// An idempotency key came back with another request: 422.
    #[error("This Idempotency-Key was used for a different request.")]
    KeyReused,
    /// The caller has asked too often: 429, with the seconds to wait.
    #[error("Request was throttled. Expected available in {seconds} second{}.", if *seconds == 1 { "" } else { "s" })]
    Throttled {
        /// How many.
        seconds: u64,
    },
    /// Too much is going on, or AWS did not answer in time; the same request will do later: 503.
    #[error("Try again in a moment.")]
    Busy(#[source] Option<Cause>),
    /// A fault of ours or of the deployment: 500.
    #[error("Something went wrong.")]
    Internal(#[source] Cause),
}

/// What caused an internal error; for the log alone.
pub type Cause = Box<dyn StdError + Send + Sync>;

/// What is wrong with each field: `{"field": ["…"]}`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Invalid(BTreeMap<&'static str, Vec<String>>);

impl Invalid {
    /// One field with one thing wrong.
    pub fn field(name: &'static str, problem: impl Into<String>) -> Self {
        let mut invalid = Self::default();
        invalid.add(name, problem);
        invalid
    }

    /// Adds a problem to a field.
    pub fn add(&mut self, name: &'static str, problem: impl Into<String>) {
        self.0.entry(name).or_default().push(problem.into());
    }

    /// Adds what another check found.
    pub fn append(&mut self, other: Self) {
        for (name, problems) in other.0 {
            self.0.entry(name).or_default().extend(problems);
        }
    }

    /// Nothing to complain about?
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value, unless there is something to complain about.
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
    /// A fault of ours, with its cause.
    pub fn internal(cause: impl Into<Cause>) -> Self {
        Self::Internal(cause.into())
    }

    /// What is for members only.
    pub(crate) fn not_a_member() -> Self {
        Self::Forbidden("You are not a member of this chat.")
    }

    /// The caller has used up what a window of `window` seconds allows, and waits for the next one.
    pub(crate) fn limited(window: i64) -> Self {
        Self::throttled(window - Date::now().epoch_seconds() % window)
    }

    /// The caller has to wait so many seconds, one at least.
    pub(crate) fn throttled(seconds: i64) -> Self {
        Self::Throttled { seconds: u64::try_from(seconds).unwrap_or(0).max(1) }
    }

    /// In how many seconds it is worth trying again, where that is all that helps.
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
            Self::Internal(_) | Self::AlreadyDone | Self::Uncounted(_) => 500,
            Self::Busy(_) => 503,
        }
    }

    /// The JSON that the caller sees.
    pub fn body(&self) -> Value {
        match self {
            Self::Invalid(fields) => fields.json(),
            Self::Rejected(reason) => json!([reason]),
            other => json!({ "detail": other.to_string() }),
        }
    }

    /// Logs the cause of a failure of ours; what a caller did wrong is no failure of ours. Called once, where the error
    /// becomes an answer.
    pub fn log(&self) {
        match self {
            Self::Internal(cause) => tracing::error!(cause = chain(cause.as_ref()), "internal error"),
            Self::Busy(Some(cause)) => tracing::warn!(cause = chain(cause.as_ref()), "busy"),
            Self::Busy(None) => tracing::warn!("busy"),
            _ => {}
        }
    }
}

/// An error with all its sources in one line.
fn chain(error: &(dyn StdError + 'static)) -> String {
    std::iter::successors(Some(error), |error| StdError::source(*error))
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}

/// A failed call of the AWS SDK. Time-outs, throttling and failures of the service pass, so the caller may try again;
/// anything else is a fault of ours.
impl<E> From<SdkError<E>> for Error
where
    E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
{
    fn from(error: SdkError<E>) -> Self {
        let passing = match &error {
            SdkError::TimeoutError(_) | SdkError::DispatchFailure(_) | SdkError::ResponseError(_) => true,
            // What stands between here and the service may answer in a format of its own, of which only the status is understood.
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
        if passing { Self::Busy(Some(error.into())) } else { Self::Internal(error.into()) }
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

    #[test]
    fn fields_list_their_problems() {
        let mut invalid = Invalid::field("username", "a");
        invalid.add("username", "b");
        assert_eq!(Error::from(invalid.clone()).body(), json!({"username": ["a", "b"]}));
        assert_eq!(invalid.to_string(), "username: a username: b");
    }
}
