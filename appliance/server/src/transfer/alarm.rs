//! What is wrong with transfers, for health, status and figures.

use crate::engine::Engine;
use domain::state::Standing;
use domain::{Name, NodeId, State, Time};

/// How many closed logs wait for a destination, and since when the oldest does.
pub(crate) fn backlog(state: &State, standing: &Standing) -> (u64, Option<Time>) {
    let streams = state.streams();
    let waiting = streams.flat_map(|stream| state.waiting_for(standing, stream));
    waiting.fold((0, None), |(count, oldest), closed| {
        let oldest = oldest.map_or(closed.time, |time: Time| time.min(closed.time));
        (count + 1, Some(oldest))
    })
}

/// The most closed logs of one stream that wait for a destination.
fn longest(state: &State, standing: &Standing) -> usize {
    let streams = state.streams();
    let counts = streams.map(|stream| state.waiting_for(standing, stream).count());
    counts.max().unwrap_or(0)
}

/// What an operator is to know of one destination: a line each.
pub(crate) fn of(state: &State, node: NodeId, name: &Name, standing: &Standing) -> Vec<String> {
    let most = state.cluster_setting("log.backlog");
    let most: usize = most.and_then(|n| n.parse().ok()).unwrap_or(1);
    let mut alarms = Vec::new();
    let to = &standing.destination;
    if let Some((why, detail)) = standing.failing(node).filter(|_| to.enabled) {
        alarms.push(format!("log transfer to {name}: {}: {detail}", why.name()));
    }
    let longest = longest(state, standing);
    if longest > most {
        let off = if to.enabled { "" } else { ", which is off" };
        alarms.push(format!(
            "log transfer: {longest} closed logs of one kind wait for {name}{off}; more than \
             {most} are an alarm"
        ));
    }
    alarms
}

/// What an operator is to know of all of them.
pub(crate) fn alarms(engine: &Engine) -> Vec<String> {
    let state = engine.machine().state();
    let destinations = state.destinations();
    destinations
        .flat_map(|(name, standing)| of(&state, engine.node(), name, standing))
        .collect()
}

/// For each destination: its name, how many closed logs wait, and whether this node fails there.
pub(crate) fn figures(engine: &Engine) -> Vec<(Name, u64, bool)> {
    let state = engine.machine().state();
    let row = |(name, standing): (&Name, &Standing)| {
        let (waiting, _) = backlog(&state, standing);
        let fails = standing.failing(engine.node()).is_some();
        (name.clone(), waiting, fails)
    };
    state.destinations().map(row).collect()
}
