//! Faults: functions that are cut off, and services that fail.

use std::{
    fs,
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use confab_cloud::{Functions, LikeAws, Options, Template};
use fastrand::Rng;
use lambda_runtime::LambdaEvent;
use serde_json::Value;

use crate::{
    proxy::{Fault, Proxy},
    world::{World, options},
};

/// A function that is cut off after this number of polls, as if its sandbox were stopped in the middle of a wait.
struct Mortal<F> {
    life: Option<F>,
    polls: u64,
}

impl<F: Future<Output = Result<Value, lambda_runtime::Error>> + Unpin> Future for Mortal<F> {
    type Output = Result<Value, lambda_runtime::Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if self.polls == 0 {
            self.life = None;
            return Poll::Ready(Err("the sandbox was cut off".into()));
        }
        self.polls -= 1;
        Pin::new(self.life.as_mut().unwrap()).poll(context)
    }
}

/// Confab's functions. `fate` decides after how many polls each invocation is cut off.
pub fn mortal(fate: impl Fn(&str) -> u64 + Send + Sync + 'static) -> Functions {
    let fate = Arc::new(fate);
    Functions::InProcess(Arc::new(move |name, environment, client| {
        let handler = confab_functions::handler_with_http_client(name, environment, client)?;
        let (name, fate) = (name.to_owned(), fate.clone());
        Ok(Arc::new(move |event: LambdaEvent<_>| {
            let mortal = Mortal { polls: fate(&name), life: Some(handler(event)) };
            Box::pin(mortal) as futures_util::future::BoxFuture<'static, _>
        }))
    }))
}

/// The template with short visibility time-outs, so that a test does not wait as long as a deployment would.
pub fn impatient() -> Template {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("template.yaml");
    let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../template.yaml")).unwrap();
    assert_eq!(text.matches("VisibilityTimeout: 90").count(), 3);
    fs::write(&path, text.replace("VisibilityTimeout: 90", "VisibilityTimeout: 2")).unwrap();
    Template::read(&path).unwrap()
}

/// The weather between the functions and one service, or over the functions themselves: calm and storms alternate while
/// `on`.
struct Weather {
    on: Arc<AtomicBool>,
    state: Mutex<(Rng, Instant, bool)>,
}

impl Weather {
    fn new(on: &Arc<AtomicBool>, rng: Rng) -> Arc<Self> {
        Arc::new(Self { on: on.clone(), state: Mutex::new((rng, Instant::now(), true)) })
    }

    /// Whether a fault happens now, with a random generator for its kind.
    fn strikes(&self) -> Option<Rng> {
        let (rng, until, storm) = &mut *self.state.lock().unwrap();
        if !self.on.load(Ordering::Relaxed) {
            return None;
        }
        if *until < Instant::now() {
            *storm = !*storm;
            *until = Instant::now() + Duration::from_millis(rng.u64(100..if *storm { 2500 } else { 1500 }));
        }
        (rng.u32(..100) < if *storm { 80 } else { 3 }).then(|| rng.fork())
    }

    fn fault(&self) -> Fault {
        let Some(mut rng) = self.strikes() else { return Fault::None };
        match rng.u32(..14) {
            0..3 => Fault::Refuse,
            3..5 => Fault::Throttle,
            5..8 => Fault::Slow(Duration::from_millis(rng.u64(..600))),
            8..10 => Fault::Reset,
            10..13 => Fault::LoseAnswer,
            _ => Fault::Hang,
        }
    }

    fn polls(&self) -> u64 {
        self.strikes().map_or(u64::MAX, |mut rng| rng.u64(..50))
    }
}

/// Conflicts and throttling, with less capacity than AWS has, since a test posts less than a busy chat.
fn harsh() -> LikeAws {
    LikeAws {
        dynamodb_partition_reads: Some(300),
        dynamodb_partition_writes: Some(60),
        messages_group_rate: Some(10),
        ..LikeAws::preset()
    }
}

/// A cloud whose functions reach all services through bad weather, and are cut off in it.
pub async fn stormy_world(on: &Arc<AtomicBool>, rng: &mut Rng) -> World {
    let services = [Proxy::start().await, Proxy::start().await, Proxy::start().await, Proxy::start().await];
    for service in &services {
        let weather = Weather::new(on, rng.fork());
        service.inject(move |_| weather.fault());
    }
    let fate = Weather::new(on, rng.fork());
    let mut options = Options { template: impatient(), functions: mortal(move |_| fate.polls()), ..options() };
    if rng.bool() {
        options.like_aws = harsh();
    }
    options.parameters.insert("LargeChat".to_owned(), (*rng.choice(&["2", "500"]).unwrap()).to_owned());
    Proxy::before_all(&services, options).await
}
