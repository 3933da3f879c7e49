//! The ledger is the truth (law 2): whatever happens to the projections, the answers are the same.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout)] // test code

use anyhow::{Context, Result, ensure};
use kmip::{Tag, Value};
use std::fs;
use std::path::Path;
use tests::client::Client;
use tests::node::{Node, Site};

/// Objects of each kind of fate.
const EACH: usize = 12;

/// What a user can see: everything there is, what each name leads to, and each object's state.
type View = (Vec<String>, Vec<Vec<String>>, Vec<Vec<Value>>);

fn view(node: &Node) -> Result<View> {
    let mut client = node.client()?;
    let mut all = client.locate(None)?;
    all.sort();
    let named = names()
        .iter()
        .map(|name| client.locate(Some(name)))
        .collect::<Result<_, _>>()?;
    let states = all.iter().map(|uid| client.attribute(uid, Tag::STATE));
    let states = states.collect::<Result<_, _>>()?;
    Ok((all, named, states))
}

fn names() -> Vec<String> {
    (0..4 * EACH)
        .map(|number| format!("key-{number}"))
        .collect()
}

/// A quarter each: as created, activated, revoked, destroyed.
fn populate(client: &mut Client) -> Result<()> {
    for (number, name) in names().iter().enumerate() {
        let uid = client.create(Some(name), 256)?;
        if number % 4 > 0 {
            client.activate(&uid)?;
        }
        if number % 4 > 1 {
            client.revoke(&uid)?;
        }
        if number % 4 > 2 {
            client.destroy(&uid)?;
        }
    }
    Ok(())
}

/// Starts the node after something was done to its projections: its state must be that of a full
/// replay (starting is an event of its own, so the digest is not that of before), and the answers
/// must be the same.
fn same_after(site: &Site, what: &str, before: &View) -> Result<Node> {
    let node = site.start().with_context(|| what.to_owned())?;
    node.replayed_digest().with_context(|| what.to_owned())?;
    ensure!(view(&node)? == *before, "{what}: other answers");
    Ok(node)
}

/// What a file becomes.
type Damage = dyn Fn(Vec<u8>) -> Vec<u8>;

/// Damages every file below a folder; tells how many there were.
fn garble(folder: &Path, damage: &Damage) -> Result<usize> {
    let mut files = 0;
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            files += garble(&path, damage)?;
        } else {
            fs::write(&path, damage(fs::read(&path)?))?;
            files += 1;
        }
    }
    Ok(files)
}

#[test]
fn deleted_after_a_clean_end() -> Result<()> {
    let site = Site::new()?;
    let node = site.start()?;
    populate(&mut node.client()?)?;
    let before = view(&node)?;
    ensure!(
        before.0.len() == 3 * EACH,
        "destroyed objects are located: {}",
        before.0.len()
    );
    node.terminate()?;
    fs::remove_dir_all(site.dir().join("data/projections"))?;
    same_after(&site, "deleted", &before)?.terminate()
}

#[test]
fn deleted_after_a_crash() -> Result<()> {
    let site = Site::new()?;
    let node = site.start()?;
    populate(&mut node.client()?)?;
    let before = view(&node)?;
    node.kill()?;
    let node = same_after(&site, "killed", &before)?;
    node.kill()?;
    fs::remove_dir_all(site.dir().join("data/projections"))?;
    same_after(&site, "killed and deleted", &before)?.terminate()
}

#[test]
fn damaged_in_several_ways() -> Result<()> {
    let site = Site::new()?;
    let node = site.start()?;
    populate(&mut node.client()?)?;
    let before = view(&node)?;
    node.terminate()?;
    let projections = site.dir().join("data/projections");
    let flip = |mut bytes: Vec<u8>| {
        bytes.iter_mut().step_by(97).for_each(|byte| *byte ^= 0x55);
        bytes
    };
    let damages: [(&str, &Damage); 4] = [
        ("flipped", &flip),
        ("cut in half", &|bytes| {
            bytes.get(..bytes.len() / 2).unwrap_or_default().to_vec()
        }),
        ("emptied", &|_| Vec::new()),
        ("zeroed", &|bytes| vec![0; bytes.len()]),
    ];
    for (what, damage) in damages {
        ensure!(
            garble(&projections, damage)? > 0,
            "there are no projections to damage"
        );
        same_after(&site, what, &before)?.terminate()?;
    }
    Ok(())
}

#[test]
fn a_snapshot_of_yesterday_in_their_place() -> Result<()> {
    let site = Site::new()?;
    let projections = site.dir().join("data/projections");
    let node = site.start()?;
    populate(&mut node.client()?)?;
    node.terminate()?;
    copy(&projections, &site.beside("yesterday"))?;
    let node = site.start()?;
    let mut client = node.client()?;
    let first = client.locate(Some("key-0"))?;
    first.iter().try_for_each(|uid| client.destroy(uid))?;
    client.create(Some("key-0"), 128)?;
    let before = view(&node)?;
    node.terminate()?;
    fs::remove_dir_all(&projections)?;
    copy(&site.beside("yesterday"), &projections)?;
    same_after(&site, "older", &before)?.terminate()
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        let target = to.join(path.file_name().unwrap_or_default());
        if path.is_dir() {
            copy(&path, &target)?;
        } else {
            fs::copy(&path, &target)?;
        }
    }
    Ok(())
}
