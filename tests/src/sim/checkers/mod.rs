//! The promises, one file each; the statement is the file's head.
//!
//! A checker looks at the whole world, also at what no node could know. It changes nothing but
//! what it remembers itself.

pub mod acked_never_lost;
pub mod audit_before_key;
pub mod chain_verifies;
pub mod equal_states;
pub mod liveness;
pub mod monotonic;
pub mod no_plaintext;
pub mod released_key_is_right;
pub mod reply_after_commit;

use super::world::{Note, World};
use std::fmt;

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which promise: the name of its file, or what else went wrong.
    pub promise: &'static str,
    /// What was seen.
    pub what: String,
}

impl Violation {
    /// A broken promise.
    #[must_use]
    pub fn new(promise: &'static str, what: String) -> Self {
        Self { promise, what }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.promise, self.what)
    }
}

/// What the checkers remember between steps.
#[derive(Debug, Default)]
pub struct Memory {
    pub(super) chains: chain_verifies::Chains,
    pub(super) positions: monotonic::Positions,
}

/// What must hold after every step.
pub(super) fn after_step(world: &mut World) -> Result<(), Violation> {
    chain_verifies::check(world)?;
    monotonic::check(world)
}

/// What must hold once all trouble is over and everything had its time.
pub(super) fn at_the_end(world: &mut World) -> Note {
    liveness::converged(world)?;
    chain_verifies::from_the_beginning(world)?;
    equal_states::everywhere(world)?;
    acked_never_lost::everywhere(world)?;
    reply_after_commit::everywhere(world)?;
    let served = liveness::serves(world)?;
    released_key_is_right::everywhere(world)?;
    audit_before_key::everywhere(world)?;
    no_plaintext::check(world)?;
    Ok(served)
}
