//! A linearizability checker: could what the clients saw have come from one object that did one
//! operation at a time, each at some instant between its call and its return?
//!
//! The search is the one of Wing and Gong ("Testing and verifying concurrent objects", JPDC 1993)
//! in the just-in-time form with memoised configurations of Lowe ("Testing for linearizability",
//! 2017, §5), which porcupine and knossos use too. Objects are judged one by one, because a history
//! is linearizable exactly if its part for each object is (Herlihy and Wing 1990, theorem 1).
//!
//! An operation without an answer (*unknown*) may take effect at any time after its call, or never.
//! `search` walks the history, `key` is the object that our clients see, `tests` judges the judge.

pub mod key;
mod search;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt::{self, Debug, Write};

pub use search::CONFIGURATIONS_MAX;

/// A sequential object: what each operation may answer in each state, and what it leaves behind.
pub trait Model {
    /// The whole state of one object. Ordered, because configurations are kept in a map.
    type State: Clone + Ord + Debug;
    /// What was asked for, with its arguments.
    type Ask: Clone + PartialEq + Debug;
    /// What came back.
    type Answer: Clone + PartialEq + Debug;

    /// The state before the first operation.
    fn initial(&self) -> Self::State;

    /// The state after `ask` was answered with `answer`; `None` when the object in this state
    /// would not answer so.
    fn step(
        &self,
        state: &Self::State,
        ask: &Self::Ask,
        answer: &Self::Answer,
    ) -> Option<Self::State>;

    /// The state after `ask` took effect and nobody saw the answer. The same state when it would
    /// have been refused or only reads.
    fn effect(&self, state: &Self::State, ask: &Self::Ask) -> Self::State;

    /// True for an operation that never changes the state. An unknown one says nothing and is left
    /// out.
    fn only_reads(&self, ask: &Self::Ask) -> bool;

    /// True when an operation that was answered so changed nothing, whatever the state was. It may
    /// be left out of a report when the rest is impossible without it.
    fn left_alone(&self, ask: &Self::Ask, answer: &Self::Answer) -> bool;
}

/// How an operation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome<R> {
    /// An answer came.
    Returned {
        /// When, in nanoseconds since the history began.
        at: u64,
        /// What it said.
        answer: R,
    },
    /// No answer came: it took effect at any time after the call, or never.
    Unknown,
}

/// One operation of one client on one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation<A, R> {
    /// Which client; only for the report.
    pub client: u32,
    /// Where it was sent, for the report: `node 2`, or nothing.
    pub place: String,
    /// When it was called, in nanoseconds since the history began.
    pub call: u64,
    /// What was asked.
    pub ask: A,
    /// What came of it.
    pub outcome: Outcome<R>,
}

impl<A, R> Operation<A, R> {
    fn returned_at(&self) -> Option<u64> {
        match self.outcome {
            Outcome::Returned { at, .. } => Some(at),
            Outcome::Unknown => None,
        }
    }
}

/// The operations of one model, in any order.
pub type Operations<M> = Vec<Operation<<M as Model>::Ask, <M as Model>::Answer>>;

/// Operations by the object they were on.
pub type History<M> = BTreeMap<String, Operations<M>>;

/// What came of a check.
#[derive(Debug)]
pub enum Verdict<M: Model> {
    /// There is an order that explains everything.
    Linearizable,
    /// There is none.
    Impossible(Violation<M>),
    /// More than [`CONFIGURATIONS_MAX`] configurations were open at once; nothing was decided.
    Undecided {
        /// The object whose history was too ambiguous.
        object: String,
        /// Operations whose outcome is unknown in it.
        unknown: usize,
    },
}

/// A shortest part of a history that no order explains, for people to read.
pub struct Violation<M: Model> {
    /// The object.
    pub object: String,
    /// Operations up to the first return that nothing explains, without those that do not matter.
    /// Those that were still open then have become [`Outcome::Unknown`]. In the order of calls.
    pub operations: Operations<M>,
    /// Every state in which the object may have been before that return.
    pub states: Vec<M::State>,
}

impl<M: Model> Verdict<M> {
    /// True only when an order was found.
    pub fn is_linearizable(&self) -> bool {
        matches!(self, Self::Linearizable)
    }

    /// An error with the whole report unless an order was found.
    ///
    /// # Errors
    /// The violation in a readable form, or that nothing could be decided.
    pub fn demand(&self) -> anyhow::Result<()> {
        match self {
            Self::Linearizable => Ok(()),
            Self::Impossible(violation) => anyhow::bail!("not linearizable\n{violation}"),
            Self::Undecided { object, unknown } => anyhow::bail!(
                "{object}: {unknown} unknown operations leave more than {CONFIGURATIONS_MAX} \
                 configurations open; nothing is proven, make the load ask less per object"
            ),
        }
    }
}

impl<M: Model> Debug for Violation<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One line per operation in the order of calls, `!` at the return that nothing explains.
impl<M: Model> fmt::Display for Violation<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let last = self
            .operations
            .iter()
            .filter_map(Operation::returned_at)
            .max();
        writeln!(f, "no order explains these operations on {}:", self.object)?;
        for operation in &self.operations {
            let is_last = last.is_some() && operation.returned_at() == last;
            writeln!(
                f,
                "{} {}",
                if is_last { '!' } else { ' ' },
                line(operation)?
            )?;
        }
        write!(f, "before the line marked ! the object was ")?;
        for (n, state) in self.states.iter().enumerate() {
            write!(f, "{}{state:?}", if n == 0 { "" } else { " or " })?;
        }
        Ok(())
    }
}

fn line<A: Debug, R: Debug>(operation: &Operation<A, R>) -> Result<String, fmt::Error> {
    let micros = |nanos: u64| nanos / 1_000;
    let mut text = String::new();
    write!(text, "{:>10} us .. ", micros(operation.call))?;
    match operation.returned_at() {
        Some(at) => write!(text, "{:>10} us", micros(at))?,
        None => text.push_str("      never   "),
    }
    write!(
        text,
        "  client {:<3} {:<8}",
        operation.client, operation.place
    )?;
    match &operation.outcome {
        Outcome::Returned { answer, .. } => write!(text, " {:?} -> {answer:?}", operation.ask)?,
        Outcome::Unknown => write!(text, " {:?} -> unknown", operation.ask)?,
    }
    Ok(text)
}

/// Judges every object of a history; stops at the first that is impossible. An undecided one is
/// told only when none is impossible.
pub fn check<M: Model>(model: &M, history: &History<M>) -> Verdict<M> {
    let mut verdict = Verdict::Linearizable;
    for (object, operations) in history {
        match check_one(model, object, operations) {
            Verdict::Linearizable => {}
            found @ Verdict::Impossible(_) => return found,
            undecided @ Verdict::Undecided { .. } => verdict = undecided,
        }
    }
    verdict
}

/// Judges one object.
pub fn check_one<M: Model>(
    model: &M,
    object: &str,
    operations: &[Operation<M::Ask, M::Answer>],
) -> Verdict<M> {
    match search::walk(model, operations) {
        search::Walk::Explained => Verdict::Linearizable,
        search::Walk::TooMany => Verdict::Undecided {
            object: object.to_owned(),
            unknown: operations
                .iter()
                .filter(|o| o.outcome == Outcome::Unknown && !model.only_reads(&o.ask))
                .count(),
        },
        search::Walk::Stuck { at } => {
            let operations = shorten(model, prefix(operations, at));
            let states = search::states_before_last(model, &operations);
            Verdict::Impossible(Violation {
                object: object.to_owned(),
                operations,
                states,
            })
        }
    }
}

/// The history as it was known at this return: what was open then is unknown.
fn prefix<A: Clone, R: Clone>(operations: &[Operation<A, R>], at: u64) -> Vec<Operation<A, R>> {
    let mut part: Vec<_> = operations
        .iter()
        .filter(|o| o.call <= at)
        .cloned()
        .collect();
    for operation in &mut part {
        if operation
            .returned_at()
            .is_some_and(|returned| returned > at)
        {
            operation.outcome = Outcome::Unknown;
        }
    }
    part.sort_by_key(|operation| operation.call);
    part
}

/// Leaves out what the impossibility does not need. Only operations that changed nothing may go:
/// they help no other operation, so what is impossible without them is impossible with them.
fn shorten<M: Model>(model: &M, mut operations: Operations<M>) -> Operations<M> {
    let may_go = |o: &Operation<M::Ask, M::Answer>| match &o.outcome {
        Outcome::Returned { answer, .. } => model.left_alone(&o.ask, answer),
        Outcome::Unknown => model.only_reads(&o.ask),
    };
    // Whole stretches first: a long history of harmless reads goes in a few walks.
    let mut stretch = operations.len().next_power_of_two();
    while stretch >= 1 {
        let mut from = 0;
        while from < operations.len() {
            let end = operations.len().min(from + stretch);
            let mut without = operations.clone();
            let mut position = 0;
            without.retain(|o| {
                let keep = !(from..end).contains(&position) || !may_go(o);
                position += 1;
                keep
            });
            let is_shorter = without.len() < operations.len();
            if is_shorter && matches!(search::walk(model, &without), search::Walk::Stuck { .. }) {
                operations = without;
            } else {
                from = end;
            }
        }
        stretch /= 2;
    }
    operations
}
