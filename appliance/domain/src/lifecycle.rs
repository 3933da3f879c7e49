//! States of a managed object and every transition between them, in one table.

use core::fmt;
use serde::{Deserialize, Serialize};

/// State of a managed object (KMIP 2.1 §4.57, NIST SP 800-57 part 1 §7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum LifecycleState {
    /// Exists, not yet to be used.
    PreActive,
    /// In use.
    Active,
    /// No longer for protecting; still for reading what it protected.
    Deactivated,
    /// Known or feared to be known by others.
    Compromised,
    /// The material is gone.
    Destroyed,
    /// The material is gone, and it was compromised.
    DestroyedCompromised,
}

impl fmt::Display for LifecycleState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PreActive => "pre-active",
            Self::Active => "active",
            Self::Deactivated => "deactivated",
            Self::Compromised => "compromised",
            Self::Destroyed => "destroyed",
            Self::DestroyedCompromised => "destroyed (compromised)",
        })
    }
}
