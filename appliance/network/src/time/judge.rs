//! From what servers say to what the clock does. No clock, no socket: a function.

/// Answers farther than this from the median do not count: what the NTP reference implementation
/// calls a step (RFC 5905 §11.3, STEPT), far above any network's jitter.
pub const FALSE_MICROSECONDS: i64 = 128_000;
/// A clock that is farther away than this is not set by the network: RFC 5905 §11.3, PANICT.
pub const PANIC_MICROSECONDS: i64 = 1_000_000_000;
/// The kernel takes half a second at a time (MAXPHASE); more is slewed round after round.
pub const SLEW_MICROSECONDS_MAX: i64 = 500_000;

/// What one server said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// How far it is ahead of the clock, in microseconds.
    pub offset: i64,
}

/// What the clock does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// No server is configured.
    Off,
    /// There is nothing to follow yet.
    Wait {
        /// Why.
        why: &'static str,
    },
    /// Goes a little faster or slower for a while.
    Slew {
        /// The sum of it.
        microseconds: i64,
    },
    /// Is set.
    Step {
        /// By how much.
        microseconds: i64,
    },
    /// Stays: the servers are too far away.
    Refuse {
        /// How far.
        microseconds: i64,
    },
}

/// A decision and its reasons.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What the clock does.
    pub decision: Decision,
    /// How far the majority is ahead, in microseconds.
    pub offset: Option<i64>,
    /// Which answers counted, in the order of the servers.
    pub used: Vec<bool>,
}

/// Judges a round: one entry per configured server, `None` for one that gave no answer.
///
/// The median of the answers is taken, answers far from it are dropped, and those that stay must be
/// more than half of all answers. One server alone is its own majority; two that disagree are none.
#[must_use]
pub fn judge(round: &[Option<Sample>], synchronised_once: bool) -> Verdict {
    let answers: Vec<Sample> = round.iter().flatten().copied().collect();
    let Some(middle) = median(answers.iter().map(|one| one.offset).collect()) else {
        let decision = match round {
            [] => Decision::Off,
            _ => Decision::Wait {
                why: "no time server answers",
            },
        };
        return Verdict {
            decision,
            offset: None,
            used: vec![false; round.len()],
        };
    };
    let near = |one: &Sample| one.offset.abs_diff(middle) <= FALSE_MICROSECONDS.unsigned_abs();
    let agreed: Vec<i64> = answers
        .iter()
        .filter(|one| near(one))
        .map(|one| one.offset)
        .collect();
    if agreed.len() * 2 <= answers.len() {
        return Verdict {
            decision: Decision::Wait {
                why: "the time servers disagree and no majority is right",
            },
            offset: None,
            used: vec![false; round.len()],
        };
    }
    let offset = median(agreed).unwrap_or(middle);
    Verdict {
        decision: decide(offset, synchronised_once),
        offset: Some(offset),
        used: round
            .iter()
            .map(|one| one.as_ref().is_some_and(near))
            .collect(),
    }
}

fn decide(offset: i64, synchronised_once: bool) -> Decision {
    if offset.unsigned_abs() > PANIC_MICROSECONDS.unsigned_abs() {
        return Decision::Refuse {
            microseconds: offset,
        };
    }
    if !synchronised_once && offset.abs() > FALSE_MICROSECONDS {
        return Decision::Step {
            microseconds: offset,
        };
    }
    Decision::Slew {
        microseconds: offset.clamp(-SLEW_MICROSECONDS_MAX, SLEW_MICROSECONDS_MAX),
    }
}

/// The middle one; of an even number the lower of the two, which is one that a server said.
fn median(mut offsets: Vec<i64>) -> Option<i64> {
    offsets.sort_unstable();
    offsets.get(offsets.len().saturating_sub(1) / 2).copied()
}
