//! What is damaged, lost or rolled back on one node is put right from the others, and said so; one
//! member goes on alone when the others are lost, and takes in what only an old folder has.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // test code

use anyhow::{Context, Result, ensure};
use domain::Uid;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;
use tests::fleet::look::{WITHIN, ensure_equal, wait_for};
use tests::fleet::{Fleet, Ground, copy_folder};
use vault::store::SealedStore;

/// Keys that each test looks at.
const KEYS: usize = 24;

/// What the log of a node says was repaired.
fn repairs(fleet: &Fleet, number: u8) -> Result<Vec<Value>> {
    let log = fleet.run(number, &["log", "show", "--json"])?;
    let records = log.lines().map(serde_json::from_str::<Value>);
    let records: Vec<Value> = records.collect::<Result<_, _>>()?;
    let is_repair = |record: &Value| record.to_string().contains("Repaired");
    Ok(records.into_iter().filter(is_repair).collect())
}

fn await_repair(fleet: &Fleet, number: u8, what: &str) -> Result<()> {
    wait_for(&format!("a record of the repair of {what}"), || {
        let repairs = repairs(fleet, number)?;
        Ok(repairs
            .iter()
            .any(|record| record.to_string().contains(what)))
    })
    .with_context(|| fleet.tails())
}

fn flip(file: &Path, at: usize) -> Result<()> {
    use std::os::unix::fs::FileExt;
    let opened = fs::OpenOptions::new().read(true).write(true).open(file)?;
    let (mut byte, at) = ([0], u64::try_from(at)?);
    opened.read_exact_at(&mut byte, at)?;
    opened.write_all_at(&[byte[0] ^ 0x40], at)?;
    Ok(opened.sync_all()?)
}

/// Where in a file some bytes stand.
fn places(file: &Path, bytes: &[u8]) -> Result<Vec<usize>> {
    let content = fs::read(file)?;
    let windows = content.windows(bytes.len()).enumerate();
    let found = windows.filter(|(_, window)| *window == bytes);
    Ok(found.map(|(at, _)| at).collect())
}

/// Damages one object wherever the store of a stopped node has its sealed bytes.
fn damage_object(fleet: &Fleet, number: u8, uid: &str) -> Result<()> {
    let file = fleet.site(number).dir().join("data/sealed.redb");
    let uid = Uid::parse(uid).context("a uid")?;
    let sealed = {
        let store = SealedStore::open(&file)?;
        store.get(&uid)?.context("the object is in the store")?
    };
    let places = places(&file, &sealed)?;
    ensure!(!places.is_empty(), "the sealed bytes stand in the file");
    for at in places {
        flip(&file, at + sealed.len() / 2)?;
    }
    Ok(())
}

fn segment(fleet: &Fleet, number: u8, log: &str) -> PathBuf {
    let folder = fleet.site(number).dir().join("data").join(log);
    folder.join("0000000000000000.seg")
}

/// A place in the middle of what was written to a segment.
fn middle(file: &Path) -> Result<usize> {
    let content = fs::read(file)?;
    let used = content.iter().rposition(|byte| *byte != 0);
    Ok(used.context("the segment has records")? / 2)
}

#[test]
fn what_is_damaged_on_one_node_comes_from_the_others() -> Result<()> {
    let mut fleet = Fleet::found(3, Ground::Loopback)?;
    let keys = fleet.make_keys(1, "mend", KEYS)?;
    fleet.await_agreement(WITHIN)?;
    ensure_equal(&fleet.scrub(2)?, 3).with_context(|| fleet.tails())?;

    // One object, found by a scrub and put right while the node runs.
    fleet.terminate(3)?;
    damage_object(&fleet, 3, &keys[5].uid)?;
    fleet.start(3)?;
    ensure!(
        fleet.client(3)?.get(&keys[5].uid).is_err(),
        "a damaged key must not be served"
    );
    let report = fleet.scrub(3)?;
    ensure!(report["this_node"]["repaired"] == 1, "{report:#}");
    await_repair(&fleet, 1, "sealed store")?;
    fleet.check_keys(3, &keys)?;
    ensure_equal(&fleet.scrub(3)?, 3)?;

    // A page of the store, found at the start after a crash: the store is fetched whole.
    fleet.kill(3)?;
    damage_object(&fleet, 3, &keys[7].uid)?;
    fleet.start(3)?;
    await_repair(&fleet, 1, "sealed store, whole")?;
    fleet.check_keys(3, &keys)?;

    // A segment of the cluster log of a stopped node.
    fleet.terminate(2)?;
    let log = segment(&fleet, 2, "cluster-log");
    flip(&log, middle(&log)?)?;
    fleet.start(2)?;
    await_repair(&fleet, 1, "cluster log")?;
    fleet.await_agreement(WITHIN)?;
    fleet.check_keys(2, &keys)?;
    let kept = fleet.site(2).dir().join("data/evidence/cluster-log-1");
    ensure!(kept.join("0000000000000000.seg").exists(), "no evidence");

    // The same under a running node: a scrub sees it, and the node begins anew.
    let before = repairs(&fleet, 1)?.len();
    flip(&log, middle(&log)?)?;
    // Its own answer may be cut off by the new beginning.
    drop(fleet.cli(2, &["cluster", "scrub"]));
    wait_for("a second repair of the cluster log", || {
        Ok(repairs(&fleet, 1)?.len() > before)
    })
    .with_context(|| fleet.tails())?;
    fleet.await_agreement(WITHIN)?;
    fleet.check_keys(2, &keys)?;
    wait_for("everything equal", || {
        ensure_equal(&fleet.scrub(1)?, 3).map(|()| true)
    })
    .with_context(|| fleet.tails())
}

#[test]
fn a_node_that_must_not_vote_with_what_it_has_comes_back_under_a_new_number() -> Result<()> {
    let mut fleet = Fleet::found(3, Ground::Loopback)?;
    let keys = fleet.make_keys(1, "back", KEYS)?;
    fleet.await_agreement(WITHIN)?;

    // A damaged Raft log: at the start, by itself.
    fleet.terminate(3)?;
    let log = segment(&fleet, 3, "raft/log");
    flip(&log, middle(&log)?)?;
    fleet.start(3)?;
    fleet.await_members(1, &[1, 2, 4])?;
    await_repair(&fleet, 1, "raft log")?;
    fleet.await_agreement(WITHIN)?;
    fleet.check_keys(3, &keys)?;
    let old = fleet.site(3).dir().join("data/access-log.node-3");
    ensure!(old.exists(), "the access log of the old number is kept");

    // A folder that went back in time: refused, said so, and back at the word of an operator.
    fleet.terminate(2)?;
    let snapshot = tempfile::tempdir()?;
    copy_folder(&fleet.site(2).dir(), snapshot.path())?;
    fleet.start(2)?;
    let more = fleet.make_keys(2, "later", KEYS)?;
    fleet.await_agreement(WITHIN)?;
    // The leader must have seen how far this node had come.
    sleep(Duration::from_secs(2));
    fleet.terminate(2)?;
    let dir = fleet.site(2).dir();
    fs::remove_dir_all(&dir)?;
    copy_folder(snapshot.path(), &dir)?;
    fleet.start(2)?;
    wait_for("node 2 says that it is refused", || {
        let status = fleet.json(2, &["status"])?;
        let refused = status["refused_by"].to_string();
        ensure!(refused.contains("cluster rejoin"), "{refused}");
        Ok(true)
    })
    .with_context(|| fleet.tails())?;
    ensure!(
        fleet.client(2)?.create(Some("never"), 256).is_err(),
        "a node that is refused takes no writes"
    );
    fleet.terminate(2)?;
    let told = fleet.run(2, &["cluster", "rejoin"])?;
    ensure!(told.contains("node 2 is node 5"), "{told}");
    fleet.start(2)?;
    fleet.await_members(1, &[1, 4, 5])?;
    fleet.await_agreement(WITHIN)?;
    for number in [1, 2, 3] {
        fleet.check_keys(number, &keys)?;
        fleet.check_keys(number, &more)?;
    }
    ensure_equal(&fleet.scrub(2)?, 3)
}

/// The access log is the node's own, and evidence: nobody can repair it, and nothing throws it
/// away.
#[test]
fn a_damaged_access_log_is_kept_and_the_node_comes_back() -> Result<()> {
    let mut fleet = Fleet::found(3, Ground::Loopback)?;
    let keys = fleet.make_keys(2, "own", KEYS)?;
    fleet.await_agreement(WITHIN)?;
    fleet.terminate(2)?;
    let log = segment(&fleet, 2, "access-log");
    flip(&log, middle(&log)?)?;
    ensure!(
        fleet.start(2).is_err(),
        "it starts with a damaged access log"
    );
    let told = fleet.tail(2);
    ensure!(told.contains("cluster rejoin"), "{told}");
    fleet.run(2, &["cluster", "rejoin"])?;
    fleet.start(2)?;
    fleet.await_members(1, &[1, 3, 4])?;
    fleet.await_agreement(WITHIN)?;
    fleet.check_keys(2, &keys)?;
    let old = fleet.site(2).dir().join("data/access-log.node-2");
    ensure!(old.exists(), "the access log of the old number is kept");
    Ok(())
}

#[test]
fn one_goes_on_alone_and_takes_in_what_only_an_old_folder_has() -> Result<()> {
    let mut fleet = Fleet::found(3, Ground::Loopback)?;
    let keys = fleet.make_keys(1, "all", KEYS)?;
    fleet.await_agreement(WITHIN)?;
    fleet.terminate(3)?;
    // Node 3 never hears of these.
    let unheard = fleet.make_keys(1, "unheard", 3)?;
    fleet.terminate(1)?;
    fleet.terminate(2)?;

    let refused = fleet.cli(3, &["cluster", "recover"])?;
    ensure!(!refused.status.success(), "nobody said yes");
    let told = fleet.json(3, &["cluster", "recover", "--yes"])?;
    ensure!(told["lineage"] == 2, "{told}");
    fleet.give_up(1);
    fleet.give_up(2);
    fleet.start(3)?;
    fleet.check_keys(3, &keys)?;
    let status = fleet.json(3, &["cluster", "status"])?;
    ensure!(status["lineage"] == 2, "{status}");
    let mut three = fleet.client(3)?;
    let fresh = three.create(Some("in the new lineage"), 256)?;
    three.destroy(&keys[0].uid)?;
    ensure!(fleet.client(3)?.get(&unheard[0].uid).is_err(), "not here");

    // An old member comes up, and is no member.
    fleet.start(2)?;
    ensure!(
        fleet
            .client(2)?
            .create(Some("in the old lineage"), 256)
            .is_err(),
        "an old member alone takes no writes"
    );
    fleet.await_members(3, &[3])?;
    fleet.terminate(2)?;

    // What only its folder has is listed, and taken in at the word of an operator.
    let old = fleet.site(2).dir();
    let from = old.to_str().context("a path")?;
    let listed = fleet.json(3, &["cluster", "salvage", "--from", from])?;
    let found: Vec<_> = listed.as_array().context("a list")?.iter().collect();
    ensure!(found.len() == unheard.len(), "{listed:#}");
    let taken = fleet.json(3, &["cluster", "salvage", "--from", from, "--yes"])?;
    for find in taken.as_array().context("a list")? {
        ensure!(find["outcome"] == "salvaged", "{taken:#}");
    }
    fleet.check_keys(3, &unheard)?;
    ensure!(
        fleet.client(3)?.get(&keys[0].uid).is_err(),
        "what was destroyed stays destroyed"
    );
    let again = fleet.json(3, &["cluster", "salvage", "--from", from])?;
    ensure!(again == serde_json::json!([]), "{again:#}");

    // Wiped, it joins anew.
    fs::remove_dir_all(&old)?;
    fleet.join(2, 3)?;
    fleet.await_members(3, &[3, 4])?;
    fleet.await_agreement(WITHIN)?;
    fleet.check_keys(2, &keys[1..])?;
    fleet.check_keys(2, &unheard)?;
    fleet.client(2)?.get(&fresh)?;
    ensure_equal(&fleet.scrub(2)?, 2)
}
