//! All chance of a run: one seed, and a source of its own for each concern.
//!
//! A concern that draws more often than before must not change what the others draw, or a small
//! change of the workload would be another run altogether.

use crate::dice::Dice;

/// The sources of a run.
#[derive(Debug, Clone)]
pub struct Chances {
    /// Which kinds of trouble there are, and how much.
    pub mix: Dice,
    /// What happens next.
    pub schedule: Dice,
    /// What clients ask.
    pub workload: Dice,
    /// What goes wrong.
    pub faults: Dice,
}

impl Chances {
    /// The sources that belong to a seed.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        let mut root = Dice::new(seed);
        Self {
            mix: root.child(),
            schedule: root.child(),
            workload: root.child(),
            faults: root.child(),
        }
    }
}

/// True in `percent` of a hundred cases.
pub fn percent(dice: &mut Dice, percent: u64) -> bool {
    dice.below(100) < percent
}

/// A position below `end`.
pub fn position(dice: &mut Dice, end: usize) -> usize {
    usize::try_from(dice.below(end as u64)).expect("a position below a usize")
}
