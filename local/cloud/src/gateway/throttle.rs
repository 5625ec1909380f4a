//! Token buckets
//! (<https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-request-throttling.html>).

use std::{collections::BTreeMap, num::NonZeroU32, time::Duration};

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

use crate::description::{RouteThrottling, Throttling};

/// A token bucket.
pub(super) enum Bucket {
    Unlimited,
    Limited(DefaultDirectRateLimiter),
    /// A rate or a burst of zero.
    Closed,
}

impl Bucket {
    /// A bucket that fills with `rate` tokens a second, up to `burst`.
    pub(super) fn new(rate: f64, burst: u32) -> Self {
        let period = Duration::try_from_secs_f64(1.0 / rate).ok();
        let quota = period.and_then(Quota::with_period).zip(NonZeroU32::new(burst));
        quota.map_or(Self::Closed, |(quota, burst)| Self::Limited(RateLimiter::direct(quota.allow_burst(burst))))
    }

    /// The bucket of a limit with these settings, each of which may be missing.
    pub(super) fn of(rate: Option<f64>, burst: Option<u32>) -> Self {
        match (rate, burst) {
            (None, None) => Self::Unlimited,
            (Some(rate), burst) => Self::new(rate, burst.unwrap_or(rate.ceil() as u32)),
            (None, Some(burst)) => Self::new(f64::from(burst), burst),
        }
    }

    /// Takes a token, if there is one.
    pub(super) fn admits(&self) -> bool {
        match self {
            Self::Unlimited => true,
            Self::Limited(limiter) => limiter.check().is_ok(),
            Self::Closed => false,
        }
    }
}

/// The buckets of a stage. AWS does not document whether the default settings are for each route or for all together; here
/// all routes without separate settings share a bucket.
pub(super) struct StageThrottle {
    routes: BTreeMap<String, Bucket>,
    default: Bucket,
}

impl StageThrottle {
    pub(super) fn unlimited() -> Self {
        Self { routes: BTreeMap::new(), default: Bucket::Unlimited }
    }

    pub(super) fn new(throttling: &Throttling) -> Self {
        let bucket = |settings: &RouteThrottling| Bucket::of(settings.rate, settings.burst);
        let routes = throttling.routes.iter().map(|(key, settings)| (key.clone(), bucket(settings)));
        Self { routes: routes.collect(), default: bucket(&throttling.default) }
    }

    /// Whether a request of a route is admitted.
    pub(super) fn admits(&self, route_key: &str) -> bool {
        self.routes.get(route_key).unwrap_or(&self.default).admits()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_admits_its_burst() {
        // It gets one token in a thousand seconds.
        let bucket = Bucket::of(Some(0.001), Some(3));
        assert_eq!([(); 5].map(|()| bucket.admits()), [true, true, true, false, false]);
        assert!(!Bucket::of(Some(0.0), Some(3)).admits() && !Bucket::of(Some(3.0), Some(0)).admits());
        assert!(Bucket::of(None, None).admits());
    }

    #[test]
    fn routes_with_settings_have_buckets_of_their_own() {
        let few = |burst| RouteThrottling { rate: Some(0.001), burst: Some(burst) };
        let throttling = Throttling { default: few(1), routes: [("GET /a".to_owned(), few(2))].into() };
        let stage = StageThrottle::new(&throttling);
        assert_eq!(["GET /a"; 3].map(|key| stage.admits(key)), [true, true, false]);
        assert_eq!(["GET /b", "GET /c"].map(|key| stage.admits(key)), [true, false]);
    }
}
