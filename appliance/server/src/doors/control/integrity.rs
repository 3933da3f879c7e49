//! The commands of the Unix socket about the soundness of the data: scrubs, salvage, and whether
//! other members refuse this node.

use super::{Answer, ControlDoor};
use crate::member::salvage::Wreck;
use domain::state::{Scrub, ScrubReport};
use domain::{Actor, Ask, NodeId, State};
use serde_json::{Map, Value, json};
use std::path::Path;
use std::time::Duration;
use tokio::time::Instant;

/// How long a scrub on demand waits for the members that are there: the look through a million
/// objects takes longer, the digests of their states do not.
const REPORTS_TIMEOUT: Duration = Duration::from_secs(60);

/// How often it is looked whether they have come.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

impl ControlDoor {
    /// Begins a scrub; answers when every member that this node reaches has said its digest and
    /// this node has looked through its own data.
    pub(super) async fn scrub(&self, actor: &Actor) -> Answer {
        let before = self
            .engine
            .machine()
            .state()
            .scrub()
            .map_or(0, |scrub| scrub.number);
        self.change(actor, Ask::BeginScrub).await?;
        let begun = Instant::now();
        loop {
            let scrub = {
                let state = self.engine.machine().state();
                let current = state.scrub().filter(|scrub| scrub.number > before).cloned();
                current.map(|scrub| (awaited(&state, &scrub), scrub))
            };
            if let Some((awaited, scrub)) = scrub {
                let looked = self.engine.soundness().last();
                let looked = looked.filter(|found| found.scrub >= Some(scrub.number));
                let reached = self.reached(&awaited);
                let is_done = reached.is_empty() && looked.is_some();
                if is_done || begun.elapsed() > REPORTS_TIMEOUT {
                    return Ok(self.scrub_report(&scrub, &awaited));
                }
            } else if begun.elapsed() > REPORTS_TIMEOUT {
                return Err("the scrub has not come to this node yet; look again later".into());
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }

    /// Those of `nodes` that are there: this one, and the connected ones.
    fn reached(&self, nodes: &[NodeId]) -> Vec<NodeId> {
        let health = self.colleagues.peers().health();
        let is_there = |id: &&NodeId| {
            **id == self.engine.node()
                || health
                    .iter()
                    .any(|peer| peer.node == id.0 && peer.connected)
        };
        nodes.iter().filter(is_there).copied().collect()
    }

    fn scrub_report(&self, scrub: &Scrub, awaited: &[NodeId]) -> Value {
        let mut states = Map::new();
        let mut stores = Map::new();
        for (node, report) in &scrub.reports {
            states.insert(node.0.to_string(), json!(report.state.to_string()));
            let store = report.store.map(|store| store.to_string());
            stores.insert(node.0.to_string(), json!(store));
        }
        let all = |of: &dyn Fn(&ScrubReport) -> Option<domain::Hash>| {
            let mut said = scrub.reports.values().filter_map(of);
            let first = said.next();
            said.all(|digest| Some(digest) == first)
        };
        json!({
            "scrub": scrub.number,
            "at_record": scrub.at,
            "states_equal": all(&|report| Some(report.state)),
            "stores_equal": all(&|report| report.store),
            "awaited": awaited.iter().map(|node| node.0).collect::<Vec<_>>(),
            "states": states,
            "stores": stores,
            "this_node": self.engine.soundness().last(),
            "faults": self.engine.soundness().faults(),
        })
    }

    /// Lists what only an old member has, or takes it in.
    pub(super) async fn salvage(&self, actor: &Actor, from: &Path, carry_out: bool) -> Answer {
        let (engine, dir) = (self.engine.clone(), from.to_owned());
        let opened = tokio::task::spawn_blocking(move || Wreck::open(&dir, &engine));
        let wreck = opened.await.map_err(text)?.map_err(|e| format!("{e:#}"))?;
        let finds = match carry_out {
            false => wreck.list(&self.engine.machine().state()),
            true => wreck.salvage(&self.engine, actor).await,
        };
        serde_json::to_value(finds).map_err(text)
    }

    /// What the other members say against this node. It must not look as if nothing were wrong.
    pub(super) fn refusals(&self) -> Value {
        let health = self.colleagues.peers().health();
        let refused = health
            .into_iter()
            .filter_map(|peer| Some((peer.node.to_string(), json!(peer.last_refusal?))));
        Value::Object(refused.collect())
    }
}

/// The members that have not said their digest.
fn awaited(state: &State, scrub: &Scrub) -> Vec<NodeId> {
    let members = state.members().map(|(id, _)| id);
    members
        .filter(|id| !scrub.reports.contains_key(id))
        .collect()
}
