//! What a deployment allows: how long a token lives, and how often something may be tried. The template's parameters set it.

use crate::{Error, Result, environment::Environment};

const DAY_SECONDS: i64 = 24 * 3600;

/// The limits of a deployment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// A token that is not used for so long, in seconds, is no good any more.
    pub(crate) token_seconds: i64,
    /// So many messages a user may post a minute; `None` for any number.
    pub(crate) posts_per_minute: Option<u64>,
    /// So often an hour somebody may log in in vain, or register, from one address before they have to wait; `None` for any number.
    pub(crate) attempts_per_address: Option<u64>,
    /// A room with more subscribers than this is delivered to in shards.
    pub(crate) large_room: usize,
}

impl Limits {
    /// Reads `TOKEN_DAYS`, `LARGE_ROOM`, and `POSTS_PER_MINUTE` and `ATTEMPTS_PER_ADDRESS`, where 0 stands for no limit.
    pub(crate) fn new(environment: &Environment) -> Result<Self> {
        let number = |name: &str, default: u32| match environment.get(name) {
            Some(text) => text.parse().map_err(|_| Error::internal(format!("{name} is not a whole number: {text}"))),
            None => Ok(default),
        };
        let limit = |number: u32| Some(u64::from(number)).filter(|number| *number > 0);
        Ok(Self {
            token_seconds: i64::from(number("TOKEN_DAYS", 30)?) * DAY_SECONDS,
            posts_per_minute: limit(number("POSTS_PER_MINUTE", 300)?),
            attempts_per_address: limit(number("ATTEMPTS_PER_ADDRESS", 50)?),
            large_room: number("LARGE_ROOM", 500)? as usize,
        })
    }
}
