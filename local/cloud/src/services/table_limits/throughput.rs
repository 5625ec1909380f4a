//! The throughput of partition keys, in read and write units
//! (<https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-design.html>).

use std::num::NonZeroU32;

use dynoxide::types::{TRANSACTIONAL_CAPACITY_FACTOR, read_capacity_units_with_consistency, write_capacity_units};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use super::{
    items::{ItemKey, NamedItem},
    operation::Operation,
};

/// The buckets count half units, since an eventually consistent read costs half a unit.
const PARTS: u32 = 2;
/// The number of partition keys that are counted before those with full buckets are forgotten.
const KEYS: usize = 10_000;

/// Token buckets of partition keys.
pub(super) struct Throughput {
    reads: Option<Buckets>,
    writes: Option<Buckets>,
}

struct Buckets {
    limiter: DefaultKeyedRateLimiter<(String, String)>,
    capacity: NonZeroU32,
}

impl Buckets {
    fn new(units: Option<u32>) -> Option<Self> {
        let capacity = NonZeroU32::new(units?.saturating_mul(PARTS))?;
        Some(Self { limiter: RateLimiter::keyed(Quota::per_second(capacity)), capacity })
    }

    fn take(&self, key: &ItemKey, units: f64) -> bool {
        if self.limiter.len() > KEYS {
            self.limiter.retain_recent();
        }
        let parts = (units * f64::from(PARTS)).ceil() as u32;
        // A request may cost more than a full bucket; then it takes all of it.
        let Some(parts) = NonZeroU32::new(parts.min(self.capacity.get())) else { return true };
        let key = (key.table.clone(), key.partition.clone());
        self.limiter.check_key_n(&key, parts).is_ok_and(|taken| taken.is_ok())
    }
}

impl Throughput {
    pub(super) fn new(reads: Option<u32>, writes: Option<u32>) -> Self {
        Self { reads: Buckets::new(reads), writes: Buckets::new(writes) }
    }

    pub(super) fn is_unlimited(&self) -> bool {
        self.reads.is_none() && self.writes.is_none()
    }

    /// Takes the units of an operation on this item. `false` if its partition key has too few left.
    pub(super) fn admits(&self, operation: Operation, item: &NamedItem) -> bool {
        let factor = if operation.is_transaction() { TRANSACTIONAL_CAPACITY_FACTOR } else { 1.0 };
        if operation.is_write() {
            self.writes.as_ref().is_none_or(|writes| writes.take(&item.key, factor * write_capacity_units(item.size)))
        } else {
            let is_consistent = operation.is_transaction() || !item.is_eventual;
            self.admits_read(&item.key, factor * read_capacity_units_with_consistency(item.size, is_consistent))
        }
    }

    /// Takes read units of a partition key. `false` if it has too few left.
    pub(super) fn admits_read(&self, key: &ItemKey, units: f64) -> bool {
        self.reads.as_ref().is_none_or(|reads| reads.take(key, units))
    }
}
