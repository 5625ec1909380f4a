//! Hashing on blocking threads, a few at a time, in memory that is reused or returned.
//!
//! A hash takes 19 MiB. Without a bound, a burst of logins would take a multiple, and an allocator need not return it.
//! One hash's memory is kept for the next.

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

/// What the allocator is asked for, in blocks of 1 KiB. glibc always returns more than 32 MiB to the system, and may keep
/// less (`M_MMAP_THRESHOLD`, <https://man7.org/linux/man-pages/man3/mallopt.3.html>). What is not used takes no memory.
const RETURNED_BLOCKS: usize = 33 * 1024;

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
            let memory = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let mut memory = memory.unwrap_or_else(|| Memory::with_capacity(RETURNED_BLOCKS));
            let done = work(&mut memory);
            let mut idle = idle.lock().unwrap_or_else(PoisonError::into_inner);
            // An imported hash may need more than ours do.
            if idle.is_empty() && memory.len() <= Params::DEFAULT.block_count() {
                idle.push(memory);
            }
            drop(idle);
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
                memory.resize(Params::DEFAULT.block_count(), Block::new());
                thread::yield_now();
                running.fetch_sub(1, Ordering::SeqCst);
            })
        });
        futures_util::future::try_join_all(jobs).await.unwrap();
        assert!(most.load(Ordering::SeqCst) <= 2);
        assert_eq!(hashing.idle.lock().unwrap().len(), 1);
    }

    #[tokio::test]
    async fn only_the_memory_of_our_own_hashes_is_kept() {
        let hashing = Hashing::new(1);
        let large = Params::DEFAULT.block_count() + 1;
        hashing.run(move |memory| memory.resize(large, Block::new())).await.unwrap();
        assert!(hashing.idle.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn work_that_panics_frees_its_permit() {
        let hashing = Hashing::new(1);
        assert!(hashing.run(|_| panic!("as it may")).await.is_err());
        assert_eq!(hashing.run(|_| 7).await.unwrap(), 7);
    }
}
