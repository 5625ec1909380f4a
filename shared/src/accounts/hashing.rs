//! Hashing on blocking threads, a few at a time, in memory that is reused.
//!
//! A hash takes 19 MiB. Without a bound, a burst of logins would take a multiple, and an allocator need not return it.

use std::{
    num::NonZero,
    sync::{Arc, LazyLock, Mutex, PoisonError},
    thread,
};

use argon2::{Block, Params};
use tokio::sync::Semaphore;

use crate::{Error, Result};

/// The memory of one hash.
type Memory = Vec<Block>;

/// One for the process, since the laptop cloud runs several functions that hash.
static HASHING: LazyLock<Hashing> = LazyLock::new(|| {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    Hashing::new(cores)
});

/// A limit of concurrent hashes, and the memory that is idle.
#[derive(Clone)]
struct Hashing {
    permits: Arc<Semaphore>,
    idle: Arc<Mutex<Vec<Memory>>>,
}

impl Hashing {
    fn new(concurrent: usize) -> Self {
        Self { permits: Arc::new(Semaphore::new(concurrent)), idle: Arc::default() }
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce(&mut Memory) -> T + Send + 'static) -> Result<T> {
        let permit = self.permits.clone().acquire_owned().await.map_err(Error::internal)?;
        let idle = self.idle.clone();
        let work = move || {
            let mut memory = idle.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
            let done = work(&mut memory);
            // An imported hash may need more than ours do.
            memory.truncate(Params::DEFAULT.block_count());
            memory.shrink_to_fit();
            idle.lock().unwrap_or_else(PoisonError::into_inner).push(memory);
            // Only now: the caller may have been cancelled while the work went on.
            drop(permit);
            done
        };
        tokio::task::spawn_blocking(work).await.map_err(Error::internal)
    }
}

/// Hashes as soon as a permit is free.
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
    async fn memory_does_not_grow_with_waiting_requests() {
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
    async fn work_that_panics_frees_its_permit() {
        let hashing = Hashing::new(1);
        assert!(hashing.run(|_| panic!("as it may")).await.is_err());
        assert_eq!(hashing.run(|_| 7).await.unwrap(), 7);
    }
}
