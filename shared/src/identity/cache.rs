//! An issuer's keys in the memory of a sandbox, and when to fetch them again.

use http::Uri;
use tokio::sync::Mutex;

use super::{
    fetch::fetch,
    keys::{KeySet, PublicKey},
};
use crate::{Error, Result, date::Date};

/// How long fetched keys are used without a look at the issuer.
const FRESH_SECONDS: i64 = 600;
/// How long they are used if the issuer does not answer.
const USABLE_SECONDS: i64 = 24 * 3600;
/// The time between two fetches for the sake of unknown keys, and between two attempts while an issuer does not answer.
const PAUSE_SECONDS: i64 = 60;
/// The time between two attempts while there are no keys at all.
const SHORT_PAUSE_SECONDS: i64 = 5;

/// The keys at an address.
#[derive(Debug)]
pub(super) struct RemoteKeys {
    url: Uri,
    /// Locked during a fetch, so that concurrent requests make one.
    cached: Mutex<Cached>,
}

#[derive(Debug, Default)]
struct Cached {
    keys: KeySet,
    /// When the keys were fetched, in seconds since 1970. Lambda stops monotonic clocks between invocations.
    fetched: Option<i64>,
    /// The last attempt that failed.
    failed: Option<i64>,
    /// The last fetch for an unknown key.
    searched: Option<i64>,
}

impl RemoteKeys {
    pub(super) fn new(url: Uri) -> Self {
        Self { url, cached: Mutex::default() }
    }

    /// The key that a token names.
    ///
    /// # Errors
    /// [`Error::Busy`] if there are no keys and the issuer does not answer.
    pub(super) async fn find(&self, id: Option<&str>) -> Result<Option<PublicKey>> {
        let mut cached = self.cached.lock().await;
        let now = Date::now().epoch_seconds();
        if cached.needs_fetch(id, now) {
            match fetch(&self.url).await {
                Ok(keys) => cached.fetched(keys, now),
                Err(error) => {
                    error.log();
                    cached.failed = Some(now);
                }
            }
        }
        match cached.is_usable(now) {
            true => Ok(cached.keys.find(id).cloned()),
            false => Err(Error::Busy(None)),
        }
    }
}

impl Cached {
    fn is_usable(&self, now: i64) -> bool {
        self.fetched.is_some_and(|fetched| now - fetched < USABLE_SECONDS)
    }

    /// Whether to fetch the keys, and to count that if it is for an unknown one.
    fn needs_fetch(&mut self, id: Option<&str>, now: i64) -> bool {
        let pause = if self.is_usable(now) { PAUSE_SECONDS } else { SHORT_PAUSE_SECONDS };
        if self.failed.is_some_and(|failed| now - failed < pause) {
            return false;
        }
        let is_fresh = self.fetched.is_some_and(|fetched| now - fetched < FRESH_SECONDS);
        if !is_fresh {
            return true;
        }
        let is_due = self.searched.is_none_or(|searched| now - searched >= PAUSE_SECONDS);
        let searches = is_due && self.keys.find(id).is_none();
        if searches {
            self.searched = Some(now);
        }
        searches
    }

    fn fetched(&mut self, keys: KeySet, now: i64) {
        self.keys = keys;
        self.fetched = Some(now);
        self.failed = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn keys() -> KeySet {
        let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
        KeySet::read(json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": x, "kid": "a"}]})).unwrap()
    }

    #[test]
    fn keys_are_fetched_every_ten_minutes() {
        let mut cached = Cached::default();
        assert!(cached.needs_fetch(Some("a"), 0));
        cached.fetched(keys(), 0);
        assert!(!cached.needs_fetch(Some("a"), 599));
        assert!(cached.needs_fetch(Some("a"), 600));
    }

    #[test]
    fn unknown_keys_are_searched_once_a_minute() {
        let mut cached = Cached::default();
        cached.fetched(keys(), 0);
        let searches: Vec<i64> = (0..200).filter(|now| cached.needs_fetch(Some("b"), *now)).collect();
        assert_eq!(searches, [0, 60, 120, 180]);
    }

    #[test]
    fn an_issuer_that_does_not_answer_is_asked_once_a_minute_and_its_keys_are_used_for_a_day() {
        let mut cached = Cached::default();
        cached.fetched(keys(), 0);
        for now in [600, 660, 720] {
            assert!(cached.needs_fetch(Some("a"), now));
            cached.failed = Some(now);
            assert!(!cached.needs_fetch(Some("a"), now + 59) && !cached.needs_fetch(Some("b"), now + 59));
        }
        assert!(cached.is_usable(86_399) && !cached.is_usable(86_400));
        let mut cached = Cached { failed: Some(0), ..Cached::default() };
        assert!(!cached.needs_fetch(Some("a"), 4) && cached.needs_fetch(Some("a"), 5) && !cached.is_usable(5));
    }
}
