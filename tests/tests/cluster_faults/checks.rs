//! What must hold after every round: one log and one state on all nodes, every log verifiable by a
//! stranger and one the beginning of the other, and a record for every key that was served.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use tests::fleet::Fleet;
use tests::fleet::work::Stale;
use tests::node::strongroom;

/// How long a fleet whose faults are over may take to be one again.
pub(crate) const AGREE_WITHIN: Duration = Duration::from_secs(60);

/// What the access logs of all nodes say.
#[derive(Debug, Default)]
pub(crate) struct Reads {
    /// How often a node released a key, by node and identifier.
    pub(crate) released: BTreeMap<(u8, String), u64>,
    /// Reads answered from the past: how often each of them, told by node and record.
    stale: BTreeMap<(u8, StaleRead), u64>,
}

/// What a record of a read from the past names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum StaleRead {
    Get(String),
    Attributes(String),
    Locate,
}

impl Reads {
    /// Reads from the past that came since the last look.
    pub(crate) fn stale_since(&self, before: &Self) -> Stale {
        let mut stale = Stale::default();
        for (read, count) in &self.stale {
            if before.stale.get(read).is_some_and(|known| known == count) {
                continue;
            }
            match read.clone() {
                (node, StaleRead::Get(uid)) => {
                    stale.gets.insert((node, uid));
                }
                (node, StaleRead::Attributes(uid)) => {
                    stale.attributes.insert((node, uid));
                }
                (node, StaleRead::Locate) => {
                    stale.locates.insert(node);
                }
            }
        }
        stale
    }
}

/// All nodes agree, and each one's state is that of a full replay of its log.
pub(crate) fn one_state(fleet: &mut Fleet) -> Result<()> {
    let agreement = fleet.await_agreement(AGREE_WITHIN)?;
    for node in fleet.members() {
        let answer = fleet.json(node, &["state", "digest", "--replay"])?;
        let (live, replay) = (answer.get("digest"), answer.get("replay"));
        let same = live.is_some() && live == replay;
        ensure!(
            same,
            "node {node}: the state is not that of a replay: {answer}"
        );
    }
    println!(
        "    agreed: {} records, root {}",
        agreement.size, agreement.root
    );
    Ok(())
}

/// Exports from each node, verifies each, and proves with one memory that each log continues the
/// one before, whichever node that was of. Gives what the access logs say.
pub(crate) fn bundles(fleet: &Fleet, memory: &Path) -> Result<Reads> {
    let bundle = |node| fleet.site(node).beside("bundle");
    let signers = memory.join("signers");
    let mut known = BTreeSet::new();
    for node in fleet.members() {
        let out = bundle(node);
        let name = out.to_str().context("a path in UTF-8")?;
        fleet.run(node, &["export", "--out", name])?;
        // Each node signs its export with its own key; an operator would compare them by eye.
        let lines = fs::read_to_string(out.join("allowed_signers"))?;
        known.extend(lines.lines().map(|line| format!("{line}\n")));
    }
    fs::write(&signers, known.into_iter().collect::<String>())?;
    let mut reads = Reads::default();
    for node in fleet.members() {
        verify(&bundle(node), &memory.join("verified.json"), &signers)
            .with_context(|| format!("the bundle of node {node}"))?;
        read_access_log(node, &bundle(node).join("access"), &mut reads)?;
        fs::remove_dir_all(bundle(node))?;
    }
    Ok(reads)
}

fn verify(bundle: &Path, memory: &Path, signers: &Path) -> Result<()> {
    let output = Command::new(strongroom()?)
        .arg("verify")
        .arg(bundle)
        .arg("--state")
        .arg(memory)
        .arg("--trust")
        .arg(signers)
        .output()?;
    let told = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    ensure!(output.status.success(), "does not verify: {told}");
    Ok(())
}

fn read_access_log(node: u8, folder: &Path, reads: &mut Reads) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path
            .extension()
            .is_none_or(|extension| extension != "jsonl")
        {
            continue;
        }
        for line in fs::read_to_string(&path)?.lines() {
            let record: Value = serde_json::from_str(line)?;
            read_record(node, &record, reads).with_context(|| format!("the record {line}"))?;
        }
    }
    Ok(())
}

fn read_record(node: u8, record: &Value, reads: &mut Reads) -> Result<()> {
    let uid = |fields: &Value| {
        let uid = fields.get("uid").and_then(Value::as_str);
        uid.map(str::to_owned).context("it has no uid")
    };
    let is_stale = |fields: &Value| fields.get("stale").is_some_and(|stale| !stale.is_null());
    let mut stale = |read| *reads.stale.entry((node, read)).or_default() += 1;
    if let Some(fields) = find(record, "Released") {
        if is_stale(fields) {
            stale(StaleRead::Get(uid(fields)?));
        }
        *reads.released.entry((node, uid(fields)?)).or_default() += 1;
    } else if let Some(fields) = find(record, "AttributesRead").filter(|f| is_stale(f)) {
        stale(StaleRead::Attributes(uid(fields)?));
    } else if find(record, "Located").is_some_and(is_stale) {
        stale(StaleRead::Locate);
    }
    Ok(())
}

/// The value of a key, wherever in a document it stands.
fn find<'a>(document: &'a Value, key: &str) -> Option<&'a Value> {
    match document {
        Value::Object(fields) => {
            let here = fields.get(key);
            here.or_else(|| fields.values().find_map(|value| find(value, key)))
        }
        Value::Array(values) => values.iter().find_map(|value| find(value, key)),
        _ => None,
    }
}

/// No audit, no key: what a client got from a node stands in that node's access log.
pub(crate) fn every_release_is_recorded(
    served: &BTreeMap<(u8, String), u64>,
    reads: &Reads,
) -> Result<()> {
    for ((node, uid), count) in served {
        let recorded = reads
            .released
            .get(&(*node, uid.clone()))
            .copied()
            .unwrap_or(0);
        ensure!(
            recorded >= *count,
            "node {node} served {uid} {count} times and recorded {recorded}"
        );
    }
    Ok(())
}
