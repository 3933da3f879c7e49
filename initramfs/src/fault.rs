//! What goes wrong in PID 1: one sentence that says what was wrong, with what, and what to do.
//!
//! Every fault of the boot ends at the console and then in a restart of the machine, so nobody
//! matches on kinds of faults; what counts is that the sentence can be read on a serial line.

use std::fmt::{self, Display};

/// A sentence for the console, the kernel log and the control socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault(String);

/// Success with a value, or the sentence.
pub(crate) type Outcome<T = ()> = Result<T, Fault>;

impl Fault {
    /// A fault that PID 1 found by itself.
    pub(crate) fn new(sentence: impl Into<String>) -> Self {
        Self(sentence.into())
    }
}

impl Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// Puts the name of what was tried before the reason that the system gave.
pub(crate) trait Naming<T> {
    /// `what` is evaluated only when something went wrong.
    fn naming(self, what: impl FnOnce() -> String) -> Outcome<T>;
}

impl<T, E: Display> Naming<T> for Result<T, E> {
    fn naming(self, what: impl FnOnce() -> String) -> Outcome<T> {
        self.map_err(|reason| Fault(format!("{}: {reason}", what())))
    }
}
