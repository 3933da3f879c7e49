//! The state while somebody reads it.

use std::ops::Deref;

use domain::State;
use parking_lot::{RwLock, RwLockReadGuard};

/// The state, held for reading. A thread takes it once at a time: a second time would wait for a
/// writer that waits for the first, for ever. Debug builds panic instead of waiting.
#[derive(Debug)]
pub struct Held<'a> {
    state: RwLockReadGuard<'a, State>,
    #[cfg(debug_assertions)]
    _only: only::Only,
}

impl<'a> Held<'a> {
    pub(super) fn read(state: &'a RwLock<State>) -> Self {
        Self {
            #[cfg(debug_assertions)]
            _only: only::Only::take(state),
            state: state.read(),
        }
    }
}

impl Deref for Held<'_> {
    type Target = State;

    fn deref(&self) -> &State {
        &self.state
    }
}

#[cfg(debug_assertions)]
mod only {
    use std::cell::RefCell;

    thread_local! {
        /// Where the states lie that this thread holds; a test may have several nodes.
        static HELD: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
    }

    /// That this thread holds one state.
    #[derive(Debug)]
    pub(super) struct Only(usize);

    impl Only {
        pub(super) fn take<T>(lock: &T) -> Self {
            let place = std::ptr::from_ref(lock).addr();
            HELD.with_borrow_mut(|held| {
                assert!(
                    !held.contains(&place),
                    "this thread holds the state already: it would wait for itself as soon as a \
                     writer waits"
                );
                held.push(place);
            });
            Self(place)
        }
    }

    impl Drop for Only {
        fn drop(&mut self) {
            HELD.with_borrow_mut(|held| held.retain(|place| *place != self.0));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(debug_assertions)]
    fn a_thread_that_takes_the_state_twice_is_stopped() {
        let state = RwLock::new(State::default());
        drop(Held::read(&state));
        let first = Held::read(&state);
        let other = RwLock::new(State::default());
        drop(Held::read(&other));
        let again = std::panic::AssertUnwindSafe(|| drop(Held::read(&state)));
        let second = std::panic::catch_unwind(again);
        assert!(second.is_err());
        drop(first);
        drop(Held::read(&state));
    }
}
