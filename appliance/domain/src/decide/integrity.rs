//! Decisions about agreement between the members: scrubs, divergences, repairs.

use super::cluster::{check_label, check_member, out_of_order};
use crate::{Ask, Denial, Event, Hash, NodeId, State};
use alloc::format;
use alloc::vec;
use alloc::vec::Vec;

/// Decides an ask about agreement.
pub(super) fn integrity(state: &State, ask: &Ask) -> Result<Vec<Event>, Denial> {
    match ask {
        Ask::BeginScrub => {
            let last = state.scrub().map_or(0, |scrub| scrub.number);
            let scrub = last.saturating_add(1);
            Ok(vec![Event::ScrubBegun { scrub }])
        }
        Ask::ReportDigest {
            node,
            scrub,
            state: digest,
            store,
        } => report_digest(state, *node, *scrub, *digest, *store),
        Ask::ReportDivergence {
            size,
            node,
            root,
            other,
            other_root,
        } => report_divergence(state, *size, (*node, *root), (*other, *other_root)),
        Ask::ResolveDivergence { reason } => {
            check_label("reason", reason)?;
            if state.divergence().is_none() {
                return Err(out_of_order("there is no divergence to resolve".into()));
            }
            let reason = reason.clone();
            Ok(vec![Event::DivergenceResolved { reason }])
        }
        Ask::RecordRepair { node, what, items } => {
            check_member(state, *node)?;
            check_label("what was repaired", what)?;
            if *items == 0 {
                let reason = "a repair of nothing is none".into();
                return Err(Denial::InvalidField { reason });
            }
            Ok(vec![Event::Repaired {
                node: *node,
                what: what.clone(),
                items: *items,
            }])
        }
        // The caller passes the asks above only.
        _ => Err(Denial::NotPermitted),
    }
}

/// State digests of one scrub must all be equal (law 6). Stores are compared by the members
/// themselves: a damaged one is repaired, it is no disagreement about what happened.
fn report_digest(
    state: &State,
    node: NodeId,
    number: u64,
    digest: Hash,
    store: Option<Hash>,
) -> Result<Vec<Event>, Denial> {
    check_member(state, node)?;
    let Some(scrub) = state.scrub().filter(|scrub| scrub.number == number) else {
        let current = state.scrub().map_or(0, |scrub| scrub.number);
        return Err(out_of_order(format!(
            "scrub {number} is not the current one, {current}"
        )));
    };
    if let Some(said) = scrub.reports.get(&node) {
        if said.state == digest && said.store == store {
            return Ok(vec![]);
        }
        let reason = format!(
            "node {} has reported another digest for scrub {number}",
            node.0
        );
        return Err(out_of_order(reason));
    }
    let mut events = vec![Event::ScrubReported {
        node,
        scrub: number,
        state: digest,
        store,
    }];
    let differs = scrub
        .reports
        .iter()
        .find(|(_, report)| report.state != digest);
    if let Some((other, report)) = differs {
        let (one, two) = ((node, digest), (*other, report.state));
        events.extend(divergence(state, scrub.at, one, two, Some(number)));
    }
    Ok(events)
}

fn report_divergence(
    state: &State,
    size: u64,
    one: (NodeId, Hash),
    two: (NodeId, Hash),
) -> Result<Vec<Event>, Denial> {
    // A removed node may still show a root that it signed.
    for node in [one.0, two.0] {
        if state.node(node).is_none() {
            return Err(out_of_order(format!("there is no node {}", node.0)));
        }
    }
    if one.0 == two.0 || one.1 == two.1 {
        let reason = "a divergence is between two nodes with two roots".into();
        return Err(Denial::InvalidField { reason });
    }
    if size > state.records() {
        let reason = format!("the log has {} records, not {size}", state.records());
        return Err(out_of_order(reason));
    }
    Ok(divergence(state, size, one, two, None)
        .into_iter()
        .collect())
}

/// One divergence of two nodes is enough until it is resolved.
fn divergence(
    state: &State,
    size: u64,
    one: (NodeId, Hash),
    two: (NodeId, Hash),
    scrub: Option<u64>,
) -> Option<Event> {
    let known = state
        .divergences()
        .iter()
        .any(|known| known.is_between(one.0, two.0));
    (!known).then_some(Event::DivergenceFound {
        size,
        node: one.0,
        root: one.1,
        other: two.0,
        other_root: two.1,
        scrub,
    })
}
