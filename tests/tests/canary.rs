//! Key bytes stay where they belong (laws 3 and 5): a key value known to the test is looked for in
//! every file of the node, in its exports and in everything it printed, in several encodings, and
//! so are the sealed bytes of every object.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout)] // test code

use anyhow::{Context, Result, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use redb::{ReadableDatabase, ReadableTable, TableDefinition};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tests::client::Client;
use tests::node::{Node, Site};

/// Where the sealed store keeps its values (`docs/formats.md`).
const SEALED: TableDefinition<'_, &[u8; 16], &[u8]> = TableDefinition::new("sealed");
/// Epoch and form in front of the wrapped bytes; they are the same for all objects.
const SEALED_HEAD_BYTES: usize = 5;
/// A rotation purges the Raft log behind it.
const PURGED_WITHIN: Duration = Duration::from_secs(60);

/// Byte strings to look for, each with what it is; found by their first 8 bytes.
#[derive(Default)]
struct Needles {
    by_head: BTreeMap<[u8; 8], Vec<(String, Vec<u8>)>>,
}

impl Needles {
    fn add(&mut self, what: impl Into<String>, bytes: &[u8]) {
        let head = *bytes.first_chunk().expect("a needle has at least 8 bytes");
        self.by_head
            .entry(head)
            .or_default()
            .push((what.into(), bytes.to_vec()));
    }

    /// Plain, hexadecimal of both cases, and base64 of both alphabets at all three alignments.
    fn add_all_forms(&mut self, what: &str, bytes: &[u8]) {
        self.add(format!("{what}, plain"), bytes);
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        self.add(format!("{what}, hex"), hex.as_bytes());
        self.add(format!("{what}, HEX"), hex.to_uppercase().as_bytes());
        for skip in 0..3 {
            let whole = &bytes[skip..];
            let whole = &whole[..whole.len() / 3 * 3];
            self.add(format!("{what}, base64"), STANDARD.encode(whole).as_bytes());
            self.add(
                format!("{what}, base64url"),
                URL_SAFE.encode(whole).as_bytes(),
            );
        }
        let decimals: Vec<String> = bytes.iter().map(u8::to_string).collect();
        self.add(
            format!("{what}, list of numbers"),
            decimals.join(", ").as_bytes(),
        );
        self.add(
            format!("{what}, list of numbers"),
            decimals.join(",").as_bytes(),
        );
    }

    fn look_in(&self, hay: &[u8], place: &str, found: &mut Vec<String>) {
        for (at, head) in hay.windows(8).enumerate() {
            let head: &[u8; 8] = head.try_into().expect("a window of 8");
            for (what, needle) in self.by_head.get(head).into_iter().flatten() {
                if hay[at..].starts_with(needle) {
                    found.push(format!("{what} at byte {at} of {place}"));
                }
            }
        }
    }

    /// Looks into every file below a folder, or into one file.
    fn look_below(&self, path: &Path, found: &mut Vec<String>) -> Result<usize> {
        if !path.is_dir() {
            self.look_in(&fs::read(path)?, &path.display().to_string(), found);
            return Ok(1);
        }
        let mut files = 0;
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() || kind.is_file() {
                files += self.look_below(&entry.path(), found)?;
            }
        }
        Ok(files)
    }
}

/// Ends the node and reads all sealed values, by identifier; on a copy, so that nothing changes.
fn sealed_values(site: &Site) -> Result<BTreeMap<[u8; 16], Vec<u8>>> {
    let copy = site.beside("sealed-copy.redb");
    fs::copy(site.dir().join("data/sealed.redb"), &copy)?;
    let database = redb::Database::open(&copy)?;
    let table = database.begin_read()?.open_table(SEALED)?;
    let mut values = BTreeMap::new();
    for row in table.iter()? {
        let (uid, value) = row?;
        values.insert(*uid.value(), value.value().to_vec());
    }
    Ok(values)
}

/// A key that no other bytes are like.
fn canary(number: u8) -> Vec<u8> {
    (0..32)
        .map(|n: u8| n.wrapping_mul(37).wrapping_add(number).rotate_left(3) ^ 0xA5)
        .collect()
}

struct Planted {
    uids: Vec<String>,
    needles: Needles,
}

/// Registers two known keys, creates two more and reads all of them, in several ways, also badly.
fn plant(client: &mut Client) -> Result<Planted> {
    let mut needles = Needles::default();
    let mut uids = Vec::new();
    for number in 0..2 {
        let key = canary(number);
        uids.push(client.register(&format!("canary-{number}"), &key)?);
        needles.add_all_forms(&format!("canary {number}"), &key);
    }
    for number in 0..2 {
        let uid = client.create(Some(&format!("made-{number}")), 256)?;
        needles.add_all_forms(&format!("made key {number}"), &client.get(&uid)?);
        uids.push(uid);
    }
    for uid in &uids {
        client.get(uid)?;
        client.activate(uid)?;
        // Refusals are recorded too, with what was asked.
        ensure!(client.destroy(uid).is_err(), "an active key was destroyed");
    }
    Ok(Planted { uids, needles })
}

/// A Register that is cut off in the middle, and one whose payload is wrong: their bytes too must
/// not be written anywhere.
fn plant_badly(node: &Node, needles: &mut Needles) -> Result<()> {
    let client = node.client()?;
    let key = canary(77);
    needles.add_all_forms("key of a broken Register", &key);
    let whole = client.encode(vec![tests::client::register_request("broken", &key)]);
    let mut other = node.client()?;
    // Object Type 0x0000FFFF in place of Symmetric Key.
    let at = whole
        .windows(3)
        .rposition(|tag| tag == [0x42, 0x00, 0x57])
        .context("object type")?;
    let mut wrong = whole.clone();
    wrong[at + 8..at + 12].copy_from_slice(&[0, 0, 0xFF, 0xFF]);
    drop(other.exchange(&wrong));
    let mut cut = node.client()?;
    use std::io::Write;
    cut.stream().write_all(&whole[..whole.len() - 8])?;
    cut.stream().flush()?;
    Ok(())
}

#[test]
fn no_key_bytes_in_logs_exports_or_output() -> Result<()> {
    let mut site = Site::new()?;
    site.set("RUST_LOG", "trace");
    let node = site.start()?;
    let mut planted = plant(&mut node.client()?)?;
    plant_badly(&node, &mut planted.needles)?;
    for view in ["system", "audit", "activity", "client"] {
        let shown = node.run(&["log", "show", "--view", view, "--json"])?;
        fs::write(site.beside(&format!("shown-{view}")), shown)?;
    }
    for uid in &planted.uids {
        fs::write(site.beside("shown-key"), node.run(&["key", "show", uid])?)?;
    }
    let bundle = site.beside("bundle");
    node.verified_bundle(&bundle)?;
    node.terminate()?;

    let mut found = Vec::new();
    let files = planted.needles.look_below(&site.dir(), &mut found)?;
    ensure!(
        files > 8,
        "only {files} files below the node's folder: the layout has changed"
    );
    planted
        .needles
        .look_below(site.beside("").as_path(), &mut found)?;
    ensure!(
        found.is_empty(),
        "key bytes in the clear:\n{}",
        found.join("\n")
    );

    let sealed = sealed_values(&site)?;
    ensure!(
        sealed.len() >= planted.uids.len(),
        "{} sealed objects",
        sealed.len()
    );
    let mut wrapped = Needles::default();
    for (uid, value) in &sealed {
        wrapped.add_all_forms(&format!("sealed {uid:02x?}"), &value[SEALED_HEAD_BYTES..]);
    }
    // The control: these needles are found where they belong.
    wrapped.look_below(&site.dir().join("data/sealed.redb"), &mut found)?;
    ensure!(
        found.len() >= sealed.len(),
        "the search does not find what is there"
    );
    found.clear();
    for place in public_places(&site, &bundle) {
        wrapped.look_below(&place, &mut found)?;
    }
    ensure!(found.is_empty(), "sealed key bytes:\n{}", found.join("\n"));
    Ok(())
}

/// What is exported, shown or read by people: no key bytes there, not even sealed ones.
fn public_places(site: &Site, bundle: &Path) -> Vec<PathBuf> {
    let mut places = vec![
        bundle.to_path_buf(),
        site.beside("stdout"),
        site.beside("stderr"),
    ];
    for inside in ["data/cluster-log", "data/access-log", "data/projections"] {
        places.push(site.dir().join(inside));
    }
    for view in ["system", "audit", "activity", "client"] {
        places.push(site.beside(&format!("shown-{view}")));
    }
    places
}

#[test]
fn after_destroy_and_rotation_the_raft_log_forgets() -> Result<()> {
    let site = Site::new()?;
    let node = site.start()?;
    let mut client = node.client()?;
    let uid = client.register("to be forgotten", &canary(3))?;
    let kept = client.create(Some("kept"), 256)?;
    let kept_key = client.get(&kept)?;
    node.terminate()?;
    let mut needles = Needles::default();
    for (uid, value) in sealed_values(&site)? {
        needles.add(format!("sealed {uid:02x?}"), &value[SEALED_HEAD_BYTES..]);
    }
    let raft = site.dir().join("data/raft");
    let mut found = Vec::new();
    needles.look_below(&raft, &mut found)?;
    // The control of what follows: sealed bytes travel in Raft entries, and are found there.
    ensure!(
        !found.is_empty(),
        "the Raft log holds no sealed bytes even before the rotation"
    );

    let node = site.start()?;
    node.client()?.destroy(&uid)?;
    node.run(&["epoch", "rotate"])?;
    let deadline = Instant::now() + PURGED_WITHIN;
    loop {
        found.clear();
        needles.look_below(&raft, &mut found)?;
        if found.is_empty() {
            break;
        }
        if Instant::now() > deadline {
            bail!("after destroy and rotation:\n{}", found.join("\n"));
        }
        std::thread::sleep(Duration::from_millis(300));
    }
    ensure!(
        node.client()?.get(&kept)? == kept_key,
        "the survivor was not re-sealed right"
    );
    ensure!(
        node.client()?.get(&uid).is_err(),
        "the destroyed key is served"
    );
    let log = node.run(&["log", "show", "--json"])?;
    ensure!(
        log.contains("DestroyFinal"),
        "no DestroyFinal in the log:\n{log}"
    );
    node.terminate()?;
    let node = site.start()?;
    ensure!(
        node.client()?.get(&kept)? == kept_key,
        "the survivor after a restart"
    );
    node.terminate()
}
