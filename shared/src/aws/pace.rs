//! The pace at which a process sends frames, by what became of the latest ones.
//!
//! It is unlimited until the gateway throttles. Then it is halved with each round of 429 answers, and grows by one
//! percent with each frame that is written. A time-out is the socket's own failure and does not set the pace.
//! The SDK's adaptive retries would slow down for one socket whose buffer is full, and count their waiting as the
//! socket's.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::ids::ConnectionId;

/// How long an outcome counts.
const WINDOW: Duration = Duration::from_secs(5);
/// The most outcomes that count.
const OUTCOMES: usize = 256;
/// At this share of failures (one in this number) they are no exception: if they are 429 answers, the gateway throttles.
const FAILING: usize = 10;
/// The pace, in frames a second: the first one when the gateway throttles, the slowest, and the one above which it is
/// unlimited again.
const FIRST: f64 = 500.0;
const SLOWEST: f64 = 5.0;
const UNLIMITED: f64 = 1000.0;
const GROWTH: f64 = 1.01;
/// 429 answers within this time count as one, since the frames were sent before the first of them was known.
const ROUND: Duration = Duration::from_millis(100);
/// Without 429 answers for this time, the pace is unlimited again.
const FORGET: Duration = Duration::from_secs(10);

/// The pace of all frames that a process sends.
#[derive(Debug, Default)]
pub(super) struct Pace(Mutex<State>);

/// What became of the latest frames to other sockets than one that could not be written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Others {
    /// There were none.
    None,
    Written,
    /// Some of them could not be written either.
    Failing,
}

#[derive(Debug, Default)]
struct State {
    /// Frames a second; `None` for unlimited.
    rate: Option<f64>,
    /// When the next frame may be sent.
    next: Option<Instant>,
    /// When the pace was last slowed down.
    slowed: Option<Instant>,
    outcomes: VecDeque<Outcome>,
}

#[derive(Debug)]
struct Outcome {
    connection_id: ConnectionId,
    at: Instant,
    result: Posted,
}

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Posted {
    /// It was written, or the gateway answered that the socket is gone.
    Written,
    /// The gateway answered 429.
    Throttled,
    /// There was another error, or no answer in time.
    Failed,
}

impl Pace {
    /// Waits until a frame may be sent. `false` if that is not before the deadline.
    pub(super) async fn admit(&self, deadline: Instant) -> bool {
        let at = self.lock().reserve(Instant::now(), deadline);
        match at {
            Some(at) => {
                tokio::time::sleep_until(at.into()).await;
                true
            }
            None => false,
        }
    }

    /// A frame was written to a socket, or the gateway answered that the socket is gone.
    pub(super) fn written(&self, connection_id: &ConnectionId) {
        self.lock().written(connection_id, Instant::now());
    }

    /// A frame could not be written to a socket, or not in time.
    pub(super) fn failed(&self, connection_id: &ConnectionId) {
        self.lock().record(connection_id, Instant::now(), Posted::Failed);
    }

    /// The gateway answered 429 for a socket. Returns whether it seems to throttle: if no other socket got such an
    /// answer, the socket's buffer is full.
    pub(super) fn throttled(&self, connection_id: &ConnectionId) -> bool {
        self.lock().throttled(connection_id, Instant::now())
    }

    /// The gateway throttles for certain: it answered 429 to a call that writes to no socket.
    pub(super) fn slow_down(&self) {
        self.lock().slow_down(Instant::now());
    }

    /// What became of the latest frames to other sockets.
    pub(super) fn others(&self, connection_id: &ConnectionId) -> Others {
        self.lock().others(connection_id, Instant::now())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Reserves the time of the next frame, unless it is after the deadline.
    fn reserve(&mut self, now: Instant, deadline: Instant) -> Option<Instant> {
        if self.slowed.is_some_and(|slowed| now.saturating_duration_since(slowed) > FORGET) {
            self.rate = None;
        }
        let Some(rate) = self.rate else { return Some(now) };
        let at = self.next.map_or(now, |next| next.max(now));
        if at > deadline {
            return None;
        }
        self.next = Some(at + Duration::from_secs_f64(1.0 / rate));
        Some(at)
    }

    fn written(&mut self, connection_id: &ConnectionId, now: Instant) {
        self.record(connection_id, now, Posted::Written);
        self.rate = self.rate.map(|rate| rate * GROWTH).filter(|rate| *rate < UNLIMITED);
    }

    fn throttled(&mut self, connection_id: &ConnectionId, now: Instant) -> bool {
        self.record(connection_id, now, Posted::Throttled);
        let is_throttling = self.others_by(connection_id, now, &[Posted::Throttled]) == Others::Failing;
        if is_throttling {
            self.slow_down(now);
        }
        is_throttling
    }

    fn slow_down(&mut self, now: Instant) {
        if self.slowed.is_some_and(|slowed| now.saturating_duration_since(slowed) <= ROUND) {
            return;
        }
        if self.rate.is_none() {
            tracing::warn!("the gateway throttles frames");
        }
        self.rate = Some(self.rate.map_or(FIRST, |rate| (rate / 2.0).max(SLOWEST)));
        self.slowed = Some(now);
    }

    fn record(&mut self, connection_id: &ConnectionId, at: Instant, result: Posted) {
        if self.outcomes.len() == OUTCOMES {
            self.outcomes.pop_front();
        }
        self.outcomes.push_back(Outcome { connection_id: connection_id.clone(), at, result });
    }

    fn others(&self, connection_id: &ConnectionId, now: Instant) -> Others {
        self.others_by(connection_id, now, &[Posted::Throttled, Posted::Failed])
    }

    /// The same, of frames that were written or had one of these failures.
    fn others_by(&self, connection_id: &ConnectionId, now: Instant, failures: &[Posted]) -> Others {
        let is_recent = |outcome: &&Outcome| now.saturating_duration_since(outcome.at) <= WINDOW;
        let others = self.outcomes.iter().filter(is_recent).filter(|outcome| outcome.connection_id != *connection_id);
        let (mut written, mut failed) = (0, 0);
        for outcome in others {
            written += usize::from(outcome.result == Posted::Written);
            failed += usize::from(failures.contains(&outcome.result));
        }
        match (written, failed) {
            (0, 0) => Others::None,
            (written, failed) if failed * FAILING >= written + failed => Others::Failing,
            _ => Others::Written,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn socket(n: usize) -> ConnectionId {
        format!("{n}=").into()
    }

    /// Sends to 200 sockets in turn for some seconds, through a gateway that takes a number of frames a second, and
    /// returns how many it took and how many it refused.
    fn send(state: &mut State, start: Instant, seconds: u64, per_second: f64) -> (usize, usize) {
        let end = start + Duration::from_secs(seconds);
        let (mut tokens, mut filled, mut written, mut refused) = (per_second, start, 0, 0);
        let mut now = start;
        for n in 0.. {
            // Unlimited, a process sends about one frame each millisecond.
            now = match state.reserve(now + Duration::from_millis(1), end) {
                Some(at) if at < end => at,
                _ => break,
            };
            tokens = (tokens + (now - filled).as_secs_f64() * per_second).min(per_second);
            filled = now;
            if tokens >= 1.0 {
                tokens -= 1.0;
                written += 1;
                state.written(&socket(n % 200), now);
            } else {
                refused += 1;
                state.throttled(&socket(n % 200), now);
            }
        }
        (written, refused)
    }

    #[test]
    fn it_settles_near_what_the_gateway_takes_and_recovers() {
        let (mut state, start) = (State::default(), Instant::now());
        send(&mut state, start, 5, 50.0);
        let (written, refused) = send(&mut state, start + Duration::from_secs(5), 20, 50.0);
        assert!(written > 700, "{written} written, {refused} refused: it is too slow");
        assert!(refused < written, "{written} written, {refused} refused: it does not slow down");
        send(&mut state, start + Duration::from_secs(25), 20, 10_000.0);
        assert_eq!(state.rate, None);
    }

    #[test]
    fn one_socket_slows_down_no_other() {
        let (mut state, now) = (State::default(), Instant::now());
        for n in 0..1000 {
            assert!(!state.throttled(&socket(0), now));
            state.written(&socket(1 + n % 5), now);
        }
        assert_eq!((state.rate, state.others(&socket(0), now)), (None, Others::Written));
        assert_eq!(state.others(&socket(0), now + 2 * WINDOW), Others::None);
    }

    #[test]
    fn sockets_that_fail_together_are_throttled() {
        let (mut state, now) = (State::default(), Instant::now());
        assert!(!state.throttled(&socket(0), now));
        assert!(state.throttled(&socket(1), now));
        assert_eq!((state.rate, state.others(&socket(2), now)), (Some(FIRST), Others::Failing));
        assert_eq!(state.reserve(now + 2 * FORGET, now + 2 * FORGET), Some(now + 2 * FORGET), "it is forgotten");
        assert_eq!(state.rate, None);
    }

    #[test]
    fn time_outs_set_no_pace() {
        let (mut state, now) = (State::default(), Instant::now());
        for n in 0..10 {
            state.record(&socket(n), now, Posted::Failed);
        }
        assert!(!state.throttled(&socket(10), now));
        assert_eq!((state.rate, state.others(&socket(0), now)), (None, Others::Failing));
    }

    #[test]
    fn nothing_is_reserved_beyond_the_deadline() {
        let now = Instant::now();
        let mut state = State { rate: Some(10.0), slowed: Some(now), ..State::default() };
        let deadline = now + Duration::from_secs(1);
        let reserved: Vec<Instant> = std::iter::from_fn(|| state.reserve(now, deadline)).collect();
        assert_eq!(reserved.len(), 11);
        assert!(reserved.windows(2).all(|pair| pair[0] < pair[1]) && reserved[10] <= deadline);
    }
}
