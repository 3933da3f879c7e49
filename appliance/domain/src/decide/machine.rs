//! Decisions about one node's machine: what it is recognised by, and its clock.

use super::cluster::{check_member, out_of_order};
use super::settings::invalid;
use crate::machine::OWN_CLOCK_MS_MAX;
use crate::{Ask, Denial, Event, NodeId, State, Time};

/// The event that follows.
pub(super) fn machine(state: &State, ask: &Ask, now: Time) -> Result<Event, Denial> {
    match ask {
        Ask::RenewIdentity { node, identity } => {
            check_member(state, *node)?;
            identity.check().map_err(invalid)?;
            Ok(Event::IdentityRenewed {
                node: *node,
                identity: identity.clone(),
            })
        }
        Ask::SetClock { node, to } => set_clock(state, *node, *to, now),
        // The caller passes the asks above only.
        _ => Err(Denial::NotPermitted),
    }
}

/// Time never goes back behind the log, and a member that has others goes by their clocks.
fn set_clock(state: &State, node: NodeId, to: Time, now: Time) -> Result<Event, Denial> {
    check_member(state, node)?;
    if to < state.latest_time() {
        return Err(out_of_order(
            "the last record of the log is later than that, and time does not go back behind it"
                .into(),
        ));
    }
    let moved = to.0.saturating_sub(now.0).saturating_abs();
    if state.members().count() > 1 && moved > OWN_CLOCK_MS_MAX {
        return Err(out_of_order(
            "a node that has others goes by their clocks; set this one to a time within a minute \
             of theirs"
                .into(),
        ));
    }
    Ok(Event::ClockSet {
        node,
        was: now,
        is: to,
    })
}
