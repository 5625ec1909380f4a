//! Where passwords are hashed: on blocking threads, few at a time, in memory that is reused.
//!
//! A hash takes 19 MiB. Without a bound a rush of logins takes that many times as much, and an allocator need not give it back.

use std::{
    num::NonZero,
    sync::{Arc, LazyLock, Mutex, PoisonError},
    thread,
};

use argon2::{Block, Params};
use tokio::sync::Semaphore;

use crate::{Error, Result};

/// The blocks that one hash works in.
type Memory = Vec<Block>;

/// One for the process, since the laptop cloud runs several functions that hash.
static HASHING: LazyLock<Hashing> = LazyLock::new(|| {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    Hashing::new(cores)
});

/// Hashes that are under way, and the memory of those that are not.
#[derive(Clone)]
struct Hashing {
    permits: Arc<Semaphore>,
    idle: Arc<Mutex<Vec<Memory>>>,
}

impl Hashing {
    fn new(at_a_time: usize) -> Self {
        Self { permits: Arc::new(Semaphore::new(at_a_time)), idle: Arc::default() }
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce(&mut Memory) -> T + Send + 'static) -> Result<T> {
        let permit = self.permits.clone().acquire_owned().await.map_err(Error::internal)?;
        let idle = self.idle.clone();
        let work = move || {
            let mut memory = idle.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
            let done = work(&mut memory);
            // A hash from elsewhere may have wanted more than ours do.
            memory.truncate(Params::DEFAULT.block_count());
            memory.shrink_to_fit();
            idle.lock().unwrap_or_else(PoisonError::into_inner).push(memory);
            // Not before: the caller may have given up while the work went on.
            drop(permit);
            done
        };
        tokio::task::spawn_blocking(work).await.map_err(Error::internal)
    }
}

/// Does such work once it is its turn.
///
/// # Errors
/// When its thread fails.
pub(crate) async fn run<T: Send + 'static>(work: impl FnOnce(&mut Memory) -> T + Send + 'static) -> Result<T> {
    HASHING.run(work).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[tokio::test]
    async fn memory_does_not_grow_with_those_who_wait() {
        let hashing = Hashing::new(2);
        let [running, most] = [(); 2].map(|()| Arc::new(AtomicUsize::new(0)));
        let jobs = (0..40).map(|_| {
            let (running, most) = (running.clone(), most.clone());
            hashing.run(move |memory| {
                most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                memory.resize(Params::DEFAULT.block_count() + 1, Block::new());
                thread::yield_now();
                running.fetch_sub(1, Ordering::SeqCst);
            })
        });
        futures_util::future::try_join_all(jobs).await.unwrap();
        assert!(most.load(Ordering::SeqCst) <= 2);
        let idle = hashing.idle.lock().unwrap();
        assert!((1..=2).contains(&idle.len()));
        assert!(idle.iter().all(|memory| memory.capacity() == Params::DEFAULT.block_count()));
    }

    #[tokio::test]
    async fn work_that_panics_makes_room_for_the_next() {
        let hashing = Hashing::new(1);
        assert!(hashing.run(|_| panic!("as it may")).await.is_err());
        assert_eq!(hashing.run(|_| 7).await.unwrap(), 7);
    }
}
