//! Self-tests: that the primitives compute what their standards say, that a new pair of keys is
//! one, and that the random numbers are not stuck (FIPS 140-3 IG 10.3.A; SP 800-90B §4.4).
//!
//! The tests stand in one table, [`all`]; whoever runs the node runs them before any port opens,
//! and again when somebody asks. What fails says so and nothing more is computed with it: that is
//! for the caller to see to. Pairs of keys are tested when they are made, too ([`pairwise`]).
//!
//! Each known answer is compared through a [`Check`], and nowhere else. So a test of this file can
//! turn one bit of every answer and see that each test notices.

mod health;
mod known_answers;
mod pairwise;
#[cfg(test)]
mod tests;

pub use pairwise::{check_ed25519, observe};
pub(crate) use pairwise::{check_p256, check_p384, fresh_p256};

use std::borrow::Cow;

/// What a test looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Input and answer of a document are compared with what is computed here.
    KnownAnswer,
    /// A fresh pair of keys fits together.
    PairwiseConsistency,
    /// The random numbers have no fault that shows in a short look.
    RandomHealth,
}

impl Kind {
    /// As reports name it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::KnownAnswer => "known answer",
            Self::PairwiseConsistency => "pairwise consistency",
            Self::RandomHealth => "random numbers",
        }
    }
}

/// A self-test did not pass.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct SelfTestFault {
    what: Cow<'static, str>,
}

impl SelfTestFault {
    /// Says what is wrong.
    pub fn new(what: impl Into<Cow<'static, str>>) -> Self {
        Self { what: what.into() }
    }
}

/// Compares answers. A check of a control turns a bit of each answer first.
#[derive(Debug)]
pub struct Check {
    turns: bool,
}

impl Check {
    /// What was computed, as the test is to see it.
    pub fn seen<'a>(&self, computed: &'a [u8]) -> Cow<'a, [u8]> {
        if !self.turns {
            return Cow::Borrowed(computed);
        }
        let mut turned = computed.to_vec();
        if let Some(last) = turned.last_mut() {
            *last ^= 1;
        }
        Cow::Owned(turned)
    }

    /// Whether an answer is the known one.
    ///
    /// # Errors
    /// It is not; `what` was computed.
    pub fn same(
        &self,
        what: &'static str,
        computed: &[u8],
        known: &[u8],
    ) -> Result<(), SelfTestFault> {
        if *self.seen(computed) == *known {
            return Ok(());
        }
        Err(SelfTestFault::new(format!("{what} gives another answer")))
    }

    /// Whether it is to be seen as if a source of random numbers were stuck.
    pub(crate) const fn is_stuck(&self) -> bool {
        self.turns
    }
}

/// One self-test.
#[derive(Clone, Copy, Debug)]
pub struct SelfTest {
    /// Its name: the algorithm, and how it is used where that matters.
    pub name: &'static str,
    /// What it looks at.
    pub kind: Kind,
    /// Where the answer, or the way of looking, is from.
    pub source: &'static str,
    run: fn(&Check) -> Result<(), SelfTestFault>,
}

impl SelfTest {
    /// A row of a table of tests.
    pub const fn new(
        name: &'static str,
        kind: Kind,
        source: &'static str,
        run: fn(&Check) -> Result<(), SelfTestFault>,
    ) -> Self {
        Self {
            name,
            kind,
            source,
            run,
        }
    }

    /// Runs it.
    ///
    /// # Errors
    /// It did not pass, and what is wrong.
    pub fn run(&self) -> Result<(), SelfTestFault> {
        (self.run)(&Check {
            turns: is_broken(self.name),
        })
    }

    /// Runs it with a bit of each answer turned: it must not pass.
    ///
    /// # Errors
    /// It did not pass, as it should.
    #[doc(hidden)]
    pub fn run_control(&self) -> Result<(), SelfTestFault> {
        (self.run)(&Check { turns: true })
    }
}

/// Whether a test is broken on purpose: the file that `$STRONGROOM_BREAK_SELF_TEST` names has its
/// name. No program that is shipped looks (`tests/tests/rules/dependencies.rs`).
#[cfg(feature = "danger_broken_selftest")]
fn is_broken(name: &str) -> bool {
    let file = std::env::var_os("STRONGROOM_BREAK_SELF_TEST");
    let named = file.and_then(|file| std::fs::read_to_string(file).ok());
    named.is_some_and(|named| named.lines().any(|line| line == name))
}

#[cfg(not(feature = "danger_broken_selftest"))]
const fn is_broken(_name: &str) -> bool {
    false
}

/// Every self-test of this crate, in the order in which they run.
pub fn all() -> impl Iterator<Item = &'static SelfTest> {
    known_answers::TABLE
        .iter()
        .chain(pairwise::TABLE)
        .chain(health::TABLE)
}
