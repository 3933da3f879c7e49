//! Decisions about the settings of the appliance.

use super::cluster::check_member;
use crate::setting::{APPROVED, Scope, Setting, SettingValue, VALUE_BYTES_MAX};
use crate::setting::{check_together, find};
use crate::{Denial, Event, NodeId, State};
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// Settings in one ask: a whole set-up file with room to grow, and far below a Raft entry.
const VALUES_MAX: usize = 64;

pub(super) fn invalid(reason: String) -> Denial {
    Denial::InvalidField { reason }
}

/// All values or none: what is refused leaves the node as it was.
pub(super) fn configure(
    state: &State,
    node: NodeId,
    values: &[SettingValue],
) -> Result<Vec<Event>, Denial> {
    check_member(state, node)?;
    if values.len() > VALUES_MAX {
        let limit = format!("{VALUES_MAX} settings at a time");
        return Err(Denial::LimitReached { limit });
    }
    let mut given = BTreeMap::new();
    let mut events = Vec::new();
    for SettingValue { id, value } in values {
        let setting = known(id)?;
        check_canonical(setting, value)?;
        if given.insert(setting.id, value.as_str()).is_some() {
            return Err(invalid(format!("{id} is given twice")));
        }
        if state.setting_or_default(node, id) == Some(value) {
            continue;
        }
        events.push(Event::SettingChanged {
            node: (setting.scope == Scope::Node).then_some(node),
            id: id.clone(),
            value: value.clone(),
        });
    }
    if given.get(APPROVED) == Some(&"yes")
        && let Some(name) = state.encrypting().next()
    {
        return Err(invalid(format!(
            "approved: the transfer destination {name} encrypts with age, which is not among the \
             approved algorithms; put it again without recipients first, and what waits for it \
             is then sent signed and not encrypted"
        )));
    }
    let after = |id: &str| match given.get(id) {
        Some(value) => Some(*value),
        // Members that do not know of a setting look at the others only.
        None if find(id).is_none_or(|setting| setting.format > state.format()) => None,
        None => state.setting_or_default(node, id),
    };
    check_together(after).map_err(invalid)?;
    Ok(events)
}

fn known(id: &str) -> Result<&'static Setting, Denial> {
    find(id).ok_or_else(|| {
        let shown: String = id.chars().take(64).flat_map(char::escape_default).collect();
        invalid(format!("there is no setting \"{shown}\""))
    })
}

/// The log and the state hold canonical values only; the door makes them so.
fn check_canonical(setting: &Setting, value: &str) -> Result<(), Denial> {
    let id = setting.id;
    let canonical = setting
        .check(value)
        .map_err(|why| invalid(format!("{id}: {why}")))?;
    if canonical == value && canonical.len() <= VALUE_BYTES_MAX {
        return Ok(());
    }
    Err(invalid(format!(
        "{id}: \"{value}\" is written \"{canonical}\""
    )))
}
