//! The search: one walk over the calls and returns of a history in the order of time, with every
//! configuration that the object may be in.
//!
//! A configuration is a state, the open operations that have taken effect in it although their
//! answer is still to come, and the unknown operations that it has used up. At each return only
//! those configurations go on in which that operation has taken effect with that answer; others
//! first let open operations take effect, in every order that ends with it (just in time: nothing
//! takes effect earlier than some return needs it to).
//!
//! What keeps it small:
//! * equal configurations are kept once (Lowe's memoisation);
//! * of two with the same state and the same open effects, the one that has used more unknown
//!   operations is dropped: nobody is ever forced to use one, so it can do nothing that the other
//!   cannot;
//! * equal unknown operations are used in the order of their calls;
//! * an unknown operation that would change nothing is not used.

use super::{Model, Operation, Outcome};
use std::collections::BTreeMap;

/// Configurations kept at once before the search gives up: about 100 bytes each, so some 50 MB.
pub const CONFIGURATIONS_MAX: usize = 1 << 19;

/// What came of a walk.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Walk {
    /// Every return has an explanation.
    Explained,
    /// The return at this time has none.
    Stuck {
        /// Nanoseconds since the history began.
        at: u64,
    },
    /// More than [`CONFIGURATIONS_MAX`] configurations.
    TooMany,
}

/// Numbers of operations, ascending.
type Set = Vec<u32>;

fn with(set: &Set, number: u32) -> Set {
    let mut more = set.clone();
    if let Err(place) = more.binary_search(&number) {
        more.insert(place, number);
    }
    more
}

fn without(set: &Set, number: u32) -> Set {
    set.iter()
        .copied()
        .filter(|other| *other != number)
        .collect()
}

fn is_subset(small: &Set, large: &Set) -> bool {
    small.len() <= large.len() && small.iter().all(|n| large.binary_search(n).is_ok())
}

/// A state with the open operations that have taken effect.
type Place<S> = (S, Set);

/// Configurations: per place, the smallest sets of used unknown operations (an antichain).
#[derive(Clone, Debug)]
struct Configurations<S> {
    places: BTreeMap<Place<S>, Vec<Set>>,
    count: usize,
}

impl<S: Clone + Ord> Configurations<S> {
    fn new() -> Self {
        Self {
            places: BTreeMap::new(),
            count: 0,
        }
    }

    /// Adds one unless one that can do as much is there; true when it was added.
    fn add(&mut self, place: Place<S>, used: Set) -> bool {
        let known = self.places.entry(place).or_default();
        if known.iter().any(|other| is_subset(other, &used)) {
            return false;
        }
        let before = known.len();
        known.retain(|other| !is_subset(&used, other));
        known.push(used);
        self.count = self.count + known.len() - before;
        true
    }

    fn each(&self) -> impl Iterator<Item = (&Place<S>, &Set)> {
        let each = |(place, sets)| std::iter::repeat(place).zip::<&Vec<Set>>(sets);
        self.places.iter().flat_map(each)
    }
}

/// An end of an operation on the line of time; calls come before returns of the same instant, so
/// that a coarse clock can only make more orders possible, never fewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    Call,
    Return,
}

fn ends<A, R>(operations: &[Operation<A, R>]) -> Vec<(u64, End, u32)> {
    let mut ends = Vec::with_capacity(2 * operations.len());
    for (number, operation) in (0_u32..).zip(operations) {
        ends.push((operation.call, End::Call, number));
        if let Some(at) = operation.returned_at() {
            ends.push((at.max(operation.call), End::Return, number));
        }
    }
    ends.sort_unstable();
    ends
}

/// The walk and where it is.
struct Walker<'a, M: Model> {
    model: &'a M,
    operations: &'a [Operation<M::Ask, M::Answer>],
    /// Called, not returned, and will return.
    open: Set,
    /// Called, will never return, and changes something.
    unknown: Vec<u32>,
    now: Configurations<M::State>,
}

/// Walks the whole history.
pub(super) fn walk<M: Model>(model: &M, operations: &[Operation<M::Ask, M::Answer>]) -> Walk {
    let mut walker = Walker::new(model, operations);
    for (at, end, number) in ends(operations) {
        match end {
            End::Call => walker.call(number),
            End::Return => {
                let Some(next) = walker.after_return(number) else {
                    return Walk::TooMany;
                };
                if next.count == 0 {
                    return Walk::Stuck { at };
                }
                walker.open = without(&walker.open, number);
                walker.now = next;
            }
        }
    }
    Walk::Explained
}

/// Every state that is possible just before the last return takes effect, whatever unknown and
/// open operations did until then.
pub(super) fn states_before_last<M: Model>(
    model: &M,
    operations: &[Operation<M::Ask, M::Answer>],
) -> Vec<M::State> {
    let mut walker = Walker::new(model, operations);
    let ends = ends(operations);
    let last = ends.iter().rposition(|(_, end, _)| *end == End::Return);
    for (place, (_, end, number)) in ends.iter().enumerate() {
        match end {
            End::Call => walker.call(*number),
            End::Return if Some(place) == last => {
                let mut reached = walker.now.clone();
                walker.spread(&mut reached, *number);
                let mut states: Vec<_> = reached.places.into_keys().map(|(s, _)| s).collect();
                states.dedup();
                return states;
            }
            End::Return => match walker.after_return(*number) {
                Some(next) => {
                    walker.open = without(&walker.open, *number);
                    walker.now = next;
                }
                None => return Vec::new(),
            },
        }
    }
    Vec::new()
}

impl<'a, M: Model> Walker<'a, M> {
    fn new(model: &'a M, operations: &'a [Operation<M::Ask, M::Answer>]) -> Self {
        let mut now = Configurations::new();
        now.add((model.initial(), Set::new()), Set::new());
        Self {
            model,
            operations,
            open: Set::new(),
            unknown: Vec::new(),
            now,
        }
    }

    fn operation(&self, number: u32) -> &'a Operation<M::Ask, M::Answer> {
        &self.operations[number as usize]
    }

    fn call(&mut self, number: u32) {
        let operation = self.operation(number);
        match operation.outcome {
            Outcome::Returned { .. } => self.open = with(&self.open, number),
            Outcome::Unknown if !self.model.only_reads(&operation.ask) => self.unknown.push(number),
            Outcome::Unknown => {}
        }
    }

    /// The configurations in which operation `number` has taken effect; `None` when too many.
    fn after_return(&self, number: u32) -> Option<Configurations<M::State>> {
        let mut next = Configurations::new();
        let mut waiting = Configurations::new();
        for ((state, done), used) in self.now.each() {
            if done.binary_search(&number).is_ok() {
                next.add((state.clone(), without(done, number)), used.clone());
            } else {
                waiting.add((state.clone(), done.clone()), used.clone());
            }
        }
        self.spread(&mut waiting, number);
        for ((state, done), used) in waiting.each() {
            if let Some(after) = self.effect_of(state, number) {
                next.add((after, done.clone()), used.clone());
            }
        }
        (next.count.max(waiting.count) <= CONFIGURATIONS_MAX).then_some(next)
    }

    /// Lets open and unknown operations other than `number` take effect in every order. Breadth
    /// first, so that the smallest sets of used operations come first and the others are dropped.
    fn spread(&self, reached: &mut Configurations<M::State>, number: u32) {
        let mut edge: Vec<(Place<M::State>, Set)> = reached
            .each()
            .map(|(place, used)| (place.clone(), used.clone()))
            .collect();
        while !edge.is_empty() && reached.count <= CONFIGURATIONS_MAX {
            let mut farther = Vec::new();
            for (place, used) in &edge {
                for (next_place, next_used) in self.steps(place, used, number) {
                    if reached.add(next_place.clone(), next_used.clone()) {
                        farther.push((next_place, next_used));
                    }
                }
            }
            edge = farther;
        }
    }

    /// Everything that one more effect makes of a configuration.
    fn steps(
        &self,
        (state, done): &Place<M::State>,
        used: &Set,
        number: u32,
    ) -> Vec<(Place<M::State>, Set)> {
        let mut steps = Vec::new();
        for other in self.open.iter().copied().filter(|other| *other != number) {
            if done.binary_search(&other).is_err()
                && let Some(after) = self.effect_of(state, other)
            {
                steps.push(((after, with(done, other)), used.clone()));
            }
        }
        let mut tried: Vec<&M::Ask> = Vec::new();
        for other in self.unknown.iter().copied() {
            let ask = &self.operation(other).ask;
            if used.binary_search(&other).is_ok() || tried.contains(&ask) {
                continue;
            }
            tried.push(ask);
            let after = self.model.effect(state, ask);
            if after != *state {
                steps.push(((after, done.clone()), with(used, other)));
            }
        }
        steps
    }

    fn effect_of(&self, state: &M::State, number: u32) -> Option<M::State> {
        let operation = self.operation(number);
        match &operation.outcome {
            Outcome::Returned { answer, .. } => self.model.step(state, &operation.ask, answer),
            Outcome::Unknown => None,
        }
    }
}
