//! The limits of a deployment, set by the template's parameters.

use crate::{Error, Result, environment::Environment};

const HOUR_SECONDS: i64 = 3600;
const DAY_SECONDS: i64 = 24 * HOUR_SECONDS;

/// The limits of a deployment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Seconds without use after which a token expires.
    pub(crate) token_seconds: i64,
    /// Log entries that a user may add, and chats they may start, per minute; `None` for no limit.
    pub(crate) entries_per_minute: Option<u64>,
    /// Read markers that a user may move per minute; `None` for no limit.
    pub(crate) markers_per_minute: Option<u64>,
    /// Other users' names that a user may look up per hour by inviting them; `None` for no limit.
    pub(crate) lookups_per_hour: Option<u64>,
    /// Chats that a user may be a member of; `None` for no limit.
    pub(crate) chats_per_user: Option<u64>,
    /// Open sockets allowed per user; `None` for no limit.
    pub(crate) sockets_per_user: Option<u64>,
    /// Whether the HTTP API shows the members of a chat each other's e-mail addresses.
    pub(crate) show_email: bool,
    /// Failed logins, and registrations, allowed per address and hour; `None` for no limit.
    pub(crate) attempts_per_address: Option<u64>,
    /// Seconds for which a link in a mail is valid.
    pub(crate) mail_token_seconds: i64,
    /// Subscribers above which a chat's messages are delivered in shards.
    pub(crate) large_chat: usize,
}

impl Limits {
    /// Reads `TOKEN_DAYS`, `MAIL_TOKEN_HOURS`, `LARGE_CHAT` and `SHOW_EMAIL` (`members` or `self`), and the limits of which 0 means no
    /// limit: `POSTS_PER_MINUTE`, `MARKERS_PER_MINUTE`, `LOOKUPS_PER_HOUR`, `CHATS_PER_USER`, `SOCKETS_PER_USER` and
    /// `ATTEMPTS_PER_ADDRESS`.
    pub(crate) fn new(environment: &Environment) -> Result<Self> {
        let number = |name: &str, default: u32| match environment.get(name) {
            Some(text) => text.parse().map_err(|_| Error::internal(format!("{name} is not a whole number: {text}"))),
            None => Ok(default),
        };
        let limit = |number: u32| Some(u64::from(number)).filter(|number| *number > 0);
        Ok(Self {
            token_seconds: i64::from(number("TOKEN_DAYS", 30)?) * DAY_SECONDS,
            entries_per_minute: limit(number("POSTS_PER_MINUTE", 300)?),
            markers_per_minute: limit(number("MARKERS_PER_MINUTE", 600)?),
            lookups_per_hour: limit(number("LOOKUPS_PER_HOUR", 300)?),
            chats_per_user: limit(number("CHATS_PER_USER", 1000)?),
            sockets_per_user: limit(number("SOCKETS_PER_USER", 32)?),
            show_email: environment.get("SHOW_EMAIL") != Some("self"),
            attempts_per_address: limit(number("ATTEMPTS_PER_ADDRESS", 50)?),
            mail_token_seconds: i64::from(number("MAIL_TOKEN_HOURS", 24)?) * HOUR_SECONDS,
            large_chat: number("LARGE_CHAT", 500)? as usize,
        })
    }
}
