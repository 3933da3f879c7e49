//! A value that grows, and those who wait for it to reach something.
//!
//! Tokio's `watch` would do, but it wakes those who wait in an order drawn from a source that no
//! simulation can seed. Here they wake in the order in which they began to wait.

use parking_lot::Mutex;
use tokio::sync::Notify;

/// The value, shared by who sets it and who waits for it.
#[derive(Debug, Default)]
pub(crate) struct Gauge<T> {
    value: Mutex<T>,
    changed: Notify,
}

impl<T: Copy> Gauge<T> {
    /// The value now.
    pub(crate) fn get(&self) -> T {
        *self.value.lock()
    }

    /// Sets the value and wakes who waits; gives the one before.
    pub(crate) fn replace(&self, value: T) -> T {
        let before = std::mem::replace(&mut *self.value.lock(), value);
        self.changed.notify_waiters();
        before
    }

    /// Waits until a condition holds, and gives the value for which it did.
    pub(crate) async fn wait_for(&self, mut reached: impl FnMut(&T) -> bool) -> T {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            // Enlisted before the value is read, so that no change is missed in between.
            changed.as_mut().enable();
            let value = self.get();
            if reached(&value) {
                return value;
            }
            changed.await;
        }
    }
}
