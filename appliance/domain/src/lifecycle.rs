//! States of a managed object and every transition between them, in one table.
//!
//! Three things move an object: an ask, a date that comes, and Destroy. Whatever wants to know what
//! may happen next reads [`TRANSITIONS`]; there is no second copy of it.

use crate::Time;
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

impl LifecycleState {
    /// Every state, in the order of the State enumeration.
    pub const ALL: [Self; 6] = [
        Self::PreActive,
        Self::Active,
        Self::Deactivated,
        Self::Compromised,
        Self::Destroyed,
        Self::DestroyedCompromised,
    ];

    /// The value of the State enumeration (KMIP 1.4 §9.1.3.2.18).
    pub const fn code(self) -> u32 {
        match self {
            Self::PreActive => 1,
            Self::Active => 2,
            Self::Deactivated => 3,
            Self::Compromised => 4,
            Self::Destroyed => 5,
            Self::DestroyedCompromised => 6,
        }
    }

    /// Reads a State enumeration value.
    pub fn from_code(code: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.code() == code)
    }

    /// True when the material is gone.
    pub const fn is_destroyed(self) -> bool {
        matches!(self, Self::Destroyed | Self::DestroyedCompromised)
    }
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

/// What may be done to the state of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verb {
    /// Activate, or the Activation Date came.
    Activate,
    /// The Deactivation Date came.
    Deactivate,
    /// Revoke with Key Compromise or CA Compromise.
    RevokeCompromised,
    /// Revoke with any other reason.
    RevokeOther,
    /// Destroy.
    Destroy,
}

impl Verb {
    /// Every verb.
    pub const ALL: [Self; 5] = [
        Self::Activate,
        Self::Deactivate,
        Self::RevokeCompromised,
        Self::RevokeOther,
        Self::Destroy,
    ];

    /// Which of the two kinds of Revoke a Revocation Reason Code is (KMIP 1.4 §3.31): Key
    /// Compromise (2) and CA Compromise (3) say that others may know the key.
    pub const fn of_revocation(reason: u32) -> Self {
        match reason {
            2 | 3 => Self::RevokeCompromised,
            _ => Self::RevokeOther,
        }
    }
}

/// One cell of the chart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    /// From this state.
    pub from: LifecycleState,
    /// By this.
    pub verb: Verb,
    /// To this state; `None` when it is refused.
    pub to: Option<LifecycleState>,
    /// The clause that says so.
    pub clause: &'static str,
}

const fn legal(
    from: LifecycleState,
    verb: Verb,
    to: LifecycleState,
    clause: &'static str,
) -> Transition {
    Transition {
        from,
        verb,
        to: Some(to),
        clause,
    }
}

const fn illegal(from: LifecycleState, verb: Verb, clause: &'static str) -> Transition {
    Transition {
        from,
        verb,
        to: None,
        clause,
    }
}

use LifecycleState::{
    Active, Compromised, Deactivated, Destroyed, DestroyedCompromised, PreActive,
};

/// Every state times every verb. The numbers are those of the arrows in the state figure of KMIP
/// 1.4 §3.22 (KMIP 2.1 §4.57), which follows NIST SP 800-57 part 1 §7; arrow 1 is creation.
pub const TRANSITIONS: &[Transition] = &[
    legal(
        PreActive,
        Verb::Activate,
        Active,
        "KMIP 1.4 §3.22 arrow 4; SP 800-57 §7.1",
    ),
    illegal(
        PreActive,
        Verb::Deactivate,
        "KMIP 1.4 §3.22: no arrow; it is not active yet",
    ),
    legal(
        PreActive,
        Verb::RevokeCompromised,
        Compromised,
        "KMIP 1.4 §3.22 arrow 3",
    ),
    illegal(
        PreActive,
        Verb::RevokeOther,
        "KMIP 1.4 §4.20: deactivates, so from Active only",
    ),
    legal(
        PreActive,
        Verb::Destroy,
        Destroyed,
        "KMIP 1.4 §3.22 arrow 2; SP 800-57 §7.1",
    ),
    illegal(
        Active,
        Verb::Activate,
        "KMIP 1.4 §4.19: only a Pre-Active object is activated",
    ),
    legal(
        Active,
        Verb::Deactivate,
        Deactivated,
        "KMIP 1.4 §3.22 arrow 6; SP 800-57 §7.4",
    ),
    legal(
        Active,
        Verb::RevokeCompromised,
        Compromised,
        "KMIP 1.4 §3.22 arrow 5",
    ),
    legal(
        Active,
        Verb::RevokeOther,
        Deactivated,
        "KMIP 1.4 §3.22 arrow 6",
    ),
    illegal(
        Active,
        Verb::Destroy,
        "KMIP 1.4 §4.21: an Active object is not destroyed",
    ),
    illegal(
        Deactivated,
        Verb::Activate,
        "KMIP 1.4 §3.22: nothing comes back",
    ),
    illegal(
        Deactivated,
        Verb::Deactivate,
        "KMIP 1.4 §3.22: it is already",
    ),
    legal(
        Deactivated,
        Verb::RevokeCompromised,
        Compromised,
        "KMIP 1.4 §3.22 arrow 8",
    ),
    illegal(
        Deactivated,
        Verb::RevokeOther,
        "KMIP 1.4 §3.22: it is already deactivated",
    ),
    legal(
        Deactivated,
        Verb::Destroy,
        Destroyed,
        "KMIP 1.4 §3.22 arrow 7; SP 800-57 §7.4",
    ),
    illegal(
        Compromised,
        Verb::Activate,
        "KMIP 1.4 §3.22: nothing comes back",
    ),
    illegal(Compromised, Verb::Deactivate, "KMIP 1.4 §3.22: no arrow"),
    illegal(
        Compromised,
        Verb::RevokeCompromised,
        "KMIP 1.4 §3.22: it is already",
    ),
    illegal(
        Compromised,
        Verb::RevokeOther,
        "KMIP 1.4 §3.22: no arrow back to Deactivated",
    ),
    legal(
        Compromised,
        Verb::Destroy,
        DestroyedCompromised,
        "KMIP 1.4 §3.22 arrow 9",
    ),
    illegal(
        Destroyed,
        Verb::Activate,
        "SP 800-57 §7.5: destroyed is for ever",
    ),
    illegal(
        Destroyed,
        Verb::Deactivate,
        "SP 800-57 §7.5: destroyed is for ever",
    ),
    legal(
        Destroyed,
        Verb::RevokeCompromised,
        DestroyedCompromised,
        "KMIP 1.4 §3.22 arrow 10",
    ),
    illegal(
        Destroyed,
        Verb::RevokeOther,
        "SP 800-57 §7.5: destroyed is for ever",
    ),
    illegal(Destroyed, Verb::Destroy, "KMIP 1.4 §4.21: it is already"),
    illegal(
        DestroyedCompromised,
        Verb::Activate,
        "SP 800-57 §7.5: destroyed is for ever",
    ),
    illegal(
        DestroyedCompromised,
        Verb::Deactivate,
        "SP 800-57 §7.5: destroyed is for ever",
    ),
    illegal(
        DestroyedCompromised,
        Verb::RevokeCompromised,
        "KMIP 1.4 §3.22: the last state",
    ),
    illegal(
        DestroyedCompromised,
        Verb::RevokeOther,
        "SP 800-57 §7.5: destroyed is for ever",
    ),
    illegal(
        DestroyedCompromised,
        Verb::Destroy,
        "KMIP 1.4 §4.21: it is already",
    ),
];

/// Where a verb leads from a state; `None` when it is refused.
pub fn next(from: LifecycleState, verb: Verb) -> Option<LifecycleState> {
    TRANSITIONS
        .iter()
        .find(|t| t.from == from && t.verb == verb)
        .and_then(|t| t.to)
}

/// The two dates that move an object, in seconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dates {
    /// Activation Date.
    pub activation: Option<i64>,
    /// Deactivation Date.
    pub deactivation: Option<i64>,
}

impl Dates {
    /// The transition that comes next by date, and when; `None` when no date moves this state.
    pub fn next_due(&self, state: LifecycleState) -> Option<(Time, Verb)> {
        let (date, verb) = match state {
            PreActive => (self.activation?, Verb::Activate),
            Active => (self.deactivation?, Verb::Deactivate),
            Deactivated | Compromised | Destroyed | DestroyedCompromised => return None,
        };
        Some((Time::from_seconds(date), verb))
    }

    /// The verbs whose dates have come by `now`, in order: at most Activate and then Deactivate.
    pub fn due(&self, state: LifecycleState, now: Time) -> impl Iterator<Item = Verb> + use<> {
        let (dates, mut at) = (*self, state);
        core::iter::from_fn(move || {
            let (time, verb) = dates.next_due(at)?;
            if now < time {
                return None;
            }
            at = next(at, verb)?;
            Some(verb)
        })
    }

    /// The state that counts at `now`: what is recorded, moved on by the dates that have come.
    pub fn effective(&self, state: LifecycleState, now: Time) -> LifecycleState {
        self.due(state, now)
            .fold(state, |at, verb| next(at, verb).unwrap_or(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_has_each_state_and_verb_once_and_an_enumeration_code_each() {
        for from in LifecycleState::ALL {
            for verb in Verb::ALL {
                let cells = TRANSITIONS
                    .iter()
                    .filter(|t| t.from == from && t.verb == verb);
                assert_eq!(cells.count(), 1, "{from:?} {verb:?}");
            }
            assert_eq!(LifecycleState::from_code(from.code()), Some(from));
        }
        assert_eq!(
            TRANSITIONS.len(),
            LifecycleState::ALL.len() * Verb::ALL.len()
        );
        assert_eq!(LifecycleState::from_code(7), None);
    }

    /// The chart once more, drawn: rows are states, columns the verbs in the order of `Verb::ALL`.
    #[test]
    fn chart_is_the_one_of_the_standard() {
        let drawn = [
            //          act  deact  comp  other  destroy
            (
                PreActive,
                [Some(Active), None, Some(Compromised), None, Some(Destroyed)],
            ),
            (
                Active,
                [
                    None,
                    Some(Deactivated),
                    Some(Compromised),
                    Some(Deactivated),
                    None,
                ],
            ),
            (
                Deactivated,
                [None, None, Some(Compromised), None, Some(Destroyed)],
            ),
            (
                Compromised,
                [None, None, None, None, Some(DestroyedCompromised)],
            ),
            (
                Destroyed,
                [None, None, Some(DestroyedCompromised), None, None],
            ),
            (DestroyedCompromised, [None; 5]),
        ];
        for (from, row) in drawn {
            for (verb, to) in Verb::ALL.into_iter().zip(row) {
                assert_eq!(next(from, verb), to, "{from:?} {verb:?}");
            }
        }
    }

    #[test]
    fn nothing_leads_out_of_destroyed_and_no_transition_makes_a_circle() {
        for transition in TRANSITIONS {
            if let Some(to) = transition.to {
                assert!(to > transition.from, "{transition:?}");
                assert!(
                    !transition.from.is_destroyed() || to.is_destroyed(),
                    "{transition:?}"
                );
            }
        }
    }

    #[test]
    fn dates_move_an_object_at_the_second_and_only_along_the_chart() {
        let dates = Dates {
            activation: Some(10),
            deactivation: Some(20),
        };
        let at = |millis| dates.effective(PreActive, Time(millis));
        assert_eq!(at(9_999), PreActive);
        assert_eq!(at(10_000), Active);
        assert_eq!(at(19_999), Active);
        assert_eq!(at(20_000), Deactivated);
        // A Deactivation Date alone does not touch what was never active.
        let only = Dates {
            activation: None,
            deactivation: Some(20),
        };
        assert_eq!(only.effective(PreActive, Time(i64::MAX)), PreActive);
        assert_eq!(only.effective(Active, Time(20_000)), Deactivated);
        for state in [Deactivated, Compromised, Destroyed, DestroyedCompromised] {
            assert_eq!(dates.effective(state, Time(i64::MAX)), state);
            assert_eq!(dates.next_due(state), None);
        }
        // Extremes neither wrap nor panic.
        let wild = Dates {
            activation: Some(i64::MAX),
            deactivation: Some(i64::MIN),
        };
        assert_eq!(wild.effective(PreActive, Time(0)), PreActive);
        assert_eq!(wild.effective(Active, Time(0)), Deactivated);
    }

    #[test]
    fn only_two_revocation_reasons_mean_compromise() {
        for reason in 0..=8 {
            let compromised = Verb::of_revocation(reason) == Verb::RevokeCompromised;
            assert_eq!(compromised, reason == 2 || reason == 3);
        }
    }
}
