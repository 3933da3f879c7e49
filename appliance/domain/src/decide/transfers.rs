//! Decisions about closing logs and about where closed logs go.

use super::cluster::{check_member, out_of_order};
use super::settings::invalid;
use crate::transfer::{CLOSED_WAITING_MAX, DESTINATIONS_MAX, Destination, LogHead, RotationCause};
use crate::transfer::{Stream, TransferOutcome, is_detail};
use crate::{Ask, Denial, Event, Name, NodeId, State, View};
use alloc::format;

/// The event that follows; `None` when it is so already.
pub(super) fn transfers(state: &State, ask: &Ask) -> Result<Option<Event>, Denial> {
    match ask {
        Ask::RotateLog {
            node,
            log,
            head,
            cause,
        } => rotate(state, *node, *log, *head, *cause).map(Some),
        Ask::PutDestination { name, destination } => put(state, name, destination),
        Ask::RemoveDestination { name } => {
            known(state, name)?;
            Ok(Some(Event::DestinationRemoved { name: name.clone() }))
        }
        Ask::RecordTransfer {
            node,
            destination,
            log,
            number,
            outcome,
        } => record(state, *node, destination, (*log, *number), outcome),
        _ => Err(Denial::NotPermitted),
    }
}

/// Closes a log: of the cluster log what there is, of an access log what its node says there is.
fn rotate(
    state: &State,
    node: NodeId,
    log: View,
    head: Option<LogHead>,
    cause: RotationCause,
) -> Result<Event, Denial> {
    check_member(state, node)?;
    let stream = Stream::of(log, node);
    let (size, root) = match (log.is_of_cluster(), head) {
        (true, None) => (state.records(), None),
        (false, Some(head)) => (head.size, Some(head.root)),
        _ => {
            return Err(invalid(format!(
                "the head of the log {} is needed",
                log.name()
            )));
        }
    };
    let anchored = state.access_anchor(node).map_or(0, |anchor| anchor.size);
    if !log.is_of_cluster() && size < anchored {
        let node = node.0;
        let reason = format!("the access log of node {node} was anchored at size {anchored}");
        return Err(out_of_order(reason));
    }
    let last = state.last_closed(stream);
    let from = last.map_or(0, |closed| closed.size);
    if size <= from {
        let reason = format!("there is nothing new since the log {stream} was closed");
        return Err(out_of_order(reason));
    }
    if state.closed_waiting(stream) >= CLOSED_WAITING_MAX {
        let limit = format!("{CLOSED_WAITING_MAX} closed logs {stream} wait for destinations");
        return Err(Denial::LimitReached { limit });
    }
    Ok(Event::LogRotated {
        node,
        log,
        number: last.map_or(0, |closed| closed.number) + 1,
        from,
        size,
        root,
        cause,
    })
}

fn put(state: &State, name: &Name, destination: &Destination) -> Result<Option<Event>, Denial> {
    destination.check().map_err(invalid)?;
    if state.bars_encryption(destination) {
        return Err(invalid(
            "age encrypts with ChaCha20-Poly1305 and X25519, which are not approved algorithms; \
             leave out the recipients while approved is yes"
                .into(),
        ));
    }
    let known = state.destination(name);
    if known.is_some_and(|known| known.destination == *destination) {
        return Ok(None);
    }
    if known.is_none() && state.destinations().count() >= DESTINATIONS_MAX {
        let limit = format!("{DESTINATIONS_MAX} transfer destinations");
        return Err(Denial::LimitReached { limit });
    }
    Ok(Some(Event::DestinationPut {
        name: name.clone(),
        destination: destination.clone(),
    }))
}

fn known<'a>(state: &'a State, name: &Name) -> Result<&'a crate::state::Standing, Denial> {
    state.destination(name).ok_or_else(|| {
        let reason = format!("there is no transfer destination {name}");
        out_of_order(reason)
    })
}

fn record(
    state: &State,
    node: NodeId,
    destination: &Name,
    (log, number): (View, u64),
    outcome: &TransferOutcome,
) -> Result<Option<Event>, Denial> {
    check_member(state, node)?;
    let standing = known(state, destination)?;
    let stream = Stream::of(log, node);
    let done = standing.delivered(stream);
    let closed = state.last_closed(stream).map_or(0, |closed| closed.number);
    if !standing.gets(stream) || number > closed || number == 0 {
        let reason = format!("{destination} waits for no closed log {stream} {number}");
        return Err(out_of_order(reason));
    }
    match outcome {
        _ if number <= done => return Ok(None),
        TransferOutcome::Delivered { .. } if number != done + 1 => {
            let reason = format!("{destination} has the closed logs {stream} up to {done} only");
            return Err(out_of_order(reason));
        }
        TransferOutcome::Failed { detail, .. } if !is_detail(detail) => {
            return Err(invalid("the detail of a failure is one short line".into()));
        }
        TransferOutcome::Failed { why, .. }
            if standing.failing(node).is_some_and(|(last, _)| last == *why) =>
        {
            return Ok(None);
        }
        _ => {}
    }
    Ok(Some(Event::LogTransferred {
        node,
        destination: destination.clone(),
        log,
        number,
        outcome: outcome.clone(),
    }))
}
