//! The async runtime of openraft: tokio, with a random source that can be seeded.
//!
//! Everything is handed on to tokio. Only the random numbers (election timeouts, command ids) come
//! from a generator of ours, kept per thread: seeded by the operating system in the product, by
//! [`seed`] in the simulator, where the same seed must give the same trace.

use openraft::AsyncRuntime;
use openraft::impls::TokioRuntime;
use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};
use std::cell::RefCell;
use std::future::Future;
use std::time::Duration;

thread_local! {
    static RANDOM: RefCell<StdRng> = RefCell::new(StdRng::from_entropy());
}

/// Makes every random choice of this crate on this thread follow from a number. For simulations.
pub fn seed(seed: u64) {
    RANDOM.with_borrow_mut(|random| *random = StdRng::seed_from_u64(seed));
}

/// A number that no other command has: 128 random bits.
pub(crate) fn random_id() -> [u8; 16] {
    let mut id = [0; 16];
    RANDOM.with_borrow_mut(|random| random.fill_bytes(&mut id));
    id
}

/// Tokio with the random source of this module.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Runtime;

/// The generator of the thread that draws from it.
#[derive(Debug)]
pub(crate) struct ThreadRandom;

impl RngCore for ThreadRandom {
    fn next_u32(&mut self) -> u32 {
        RANDOM.with_borrow_mut(StdRng::next_u32)
    }

    fn next_u64(&mut self) -> u64 {
        RANDOM.with_borrow_mut(StdRng::next_u64)
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        RANDOM.with_borrow_mut(|random| random.fill_bytes(bytes));
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), rand::Error> {
        self.fill_bytes(bytes);
        Ok(())
    }
}

type Tokio = TokioRuntime;

impl AsyncRuntime for Runtime {
    type JoinError = <Tokio as AsyncRuntime>::JoinError;
    type JoinHandle<T: Send + 'static> = <Tokio as AsyncRuntime>::JoinHandle<T>;
    type Sleep = <Tokio as AsyncRuntime>::Sleep;
    type Instant = <Tokio as AsyncRuntime>::Instant;
    type TimeoutError = <Tokio as AsyncRuntime>::TimeoutError;
    type Timeout<R, T: Future<Output = R> + Send> = <Tokio as AsyncRuntime>::Timeout<R, T>;
    type ThreadLocalRng = ThreadRandom;
    type OneshotSender<T: Send> = <Tokio as AsyncRuntime>::OneshotSender<T>;
    type OneshotReceiver<T: Send> = <Tokio as AsyncRuntime>::OneshotReceiver<T>;
    type OneshotReceiverError = <Tokio as AsyncRuntime>::OneshotReceiverError;

    fn spawn<T>(future: T) -> Self::JoinHandle<T::Output>
    where
        T: Future + Send + 'static,
        T::Output: Send + 'static,
    {
        Tokio::spawn(future)
    }

    fn sleep(duration: Duration) -> Self::Sleep {
        Tokio::sleep(duration)
    }

    fn sleep_until(deadline: Self::Instant) -> Self::Sleep {
        Tokio::sleep_until(deadline)
    }

    fn timeout<R, F: Future<Output = R> + Send>(time: Duration, future: F) -> Self::Timeout<R, F> {
        Tokio::timeout(time, future)
    }

    fn timeout_at<R, F: Future<Output = R> + Send>(
        deadline: Self::Instant,
        future: F,
    ) -> Self::Timeout<R, F> {
        Tokio::timeout_at(deadline, future)
    }

    fn is_panic(join_error: &Self::JoinError) -> bool {
        Tokio::is_panic(join_error)
    }

    fn thread_rng() -> Self::ThreadLocalRng {
        ThreadRandom
    }

    fn oneshot<T: Send>() -> (Self::OneshotSender<T>, Self::OneshotReceiver<T>) {
        Tokio::oneshot()
    }
}
