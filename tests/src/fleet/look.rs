//! What clients and operators look at on a fleet without faults: keys, members, and a scrub.

use super::Fleet;
use crate::client::Client;
use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// For everything that a healthy cluster does by itself.
pub const WITHIN: Duration = Duration::from_secs(40);
/// Between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// A key and what a client was given for it.
#[derive(Clone, Debug)]
pub struct Key {
    /// Its identifier.
    pub uid: String,
    /// Its bytes.
    pub material: Vec<u8>,
}

/// Looks again until something holds.
///
/// # Errors
/// It does not within [`WITHIN`]; with the last look.
pub fn wait_for(what: &str, mut holds: impl FnMut() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + WITHIN;
    loop {
        let last = holds();
        if matches!(last, Ok(true)) {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("{what}: not within {WITHIN:?} ({last:?})");
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}

/// A scrub found the same everywhere, and nothing wrong with the node that was asked.
///
/// # Errors
/// The report, if it says otherwise.
pub fn ensure_equal(report: &Value, members: usize) -> Result<()> {
    ensure!(report["states_equal"] == true, "{report:#}");
    ensure!(report["stores_equal"] == true, "{report:#}");
    ensure!(report["awaited"] == json!([]), "{report:#}");
    let states = report["states"]
        .as_object()
        .map_or(0, |states| states.len());
    ensure!(states == members, "{report:#}");
    ensure!(report["faults"] == json!([]), "{report:#}");
    Ok(())
}

impl Fleet {
    /// A connection to one node, as user `demo`.
    ///
    /// # Errors
    /// The node takes none.
    pub fn client(&self, number: u8) -> Result<Client> {
        Client::connect(self.kmip(number), &self.identity("demo"))
    }

    /// Makes keys through one node.
    ///
    /// # Errors
    /// It refuses.
    pub fn make_keys(&self, number: u8, name: &str, count: usize) -> Result<Vec<Key>> {
        let mut client = self.client(number)?;
        let mut keys = Vec::new();
        for n in 0..count {
            let uid = client.create(Some(&format!("{name}-{n}")), 256)?;
            let material = client.get(&uid)?;
            keys.push(Key { uid, material });
        }
        Ok(keys)
    }

    /// One node serves each of these keys, and its bytes are right.
    ///
    /// # Errors
    /// The first that it does not.
    pub fn check_keys(&self, number: u8, keys: &[Key]) -> Result<()> {
        let mut client = self.client(number)?;
        for key in keys {
            let material = client.get(&key.uid);
            let material = material.with_context(|| format!("key {} at node {number}", key.uid))?;
            ensure!(material == key.material, "key {} is another", key.uid);
        }
        Ok(())
    }

    /// The members and where each stands, as one node sees it.
    ///
    /// # Errors
    /// The node does not answer.
    pub fn phases(&self, number: u8) -> Result<Vec<(u64, String)>> {
        let status = self.json(number, &["cluster", "status"])?;
        let members = status["members"].as_array().context("members")?;
        let phase = |member: &Value| {
            let phase = member["phase"].as_str().unwrap_or_default();
            (member["node"].as_u64().unwrap_or(0), phase.to_owned())
        };
        Ok(members.iter().map(phase).collect())
    }

    /// Waits until exactly these nodes are members in good standing.
    ///
    /// # Errors
    /// They are not within [`WITHIN`].
    pub fn await_members(&self, number: u8, nodes: &[u64]) -> Result<()> {
        wait_for(&format!("members {nodes:?}"), || {
            let phases = self.phases(number)?;
            let settled = phases.iter().all(|(_, phase)| phase == "member");
            let found: Vec<u64> = phases.iter().map(|(node, _)| *node).collect();
            ensure!(settled && found == nodes, "{phases:?}");
            Ok(true)
        })
        .with_context(|| self.tails())
    }

    /// A scrub on demand.
    ///
    /// # Errors
    /// The node does not answer.
    pub fn scrub(&self, number: u8) -> Result<Value> {
        self.json(number, &["cluster", "scrub"])
    }
}
