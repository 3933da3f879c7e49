//! Servers that let the node in and then lie, and ways that are slow: each has its clear event and
//! its alarm, costs little memory and time, and loses no log.

use crate::liar::{Liar, Lie, Side};
use crate::way::Way;
use crate::{arrived, connected, own_key, put, retry, standing};
use crate::{trusted, wait, wait_for, wait_for_problem};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};
use tests::node::{Node, Site};
use tests::sshd::{Kind, Sshd, stranger_accepts};
use tokio::runtime::Runtime;

/// A lie, how the failure is called, and some of its words.
type Row = (Lie, &'static str, &'static str);

const SFTP: &[Row] = &[
    (Lie::Endless, "misbehaves", "which was not asked"),
    (Lie::Giant, "misbehaves", "4294967295 bytes long"),
    (Lie::WrongIds, "misbehaves", "which was not asked"),
    (Lie::LongHandle, "misbehaves", "calls a file by 60000 bytes"),
    (Lie::NoHandle, "misbehaves", "says yes where it was to open"),
    (Lie::OtherBytes, "receipt", "is not what was sent"),
    (Lie::Forgets, "receipt", "): 0 of "),
    (Lie::KeepsTheName, "receipt", "is not there after renaming"),
    (Lie::Silent, "misbehaves", "slowly"),
    (Lie::Drips, "misbehaves", "slowly"),
    (Lie::Leaves, "unreachable", "closed in the middle"),
    (Lie::Intrudes, "misbehaves", "opens channels"),
];

const SCP: &[Row] = &[
    (Lie::Warns, "refused", "not today"),
    (Lie::Full, "no-room", "No space left"),
    (Lie::Noise, "misbehaves", "does not speak the scp protocol"),
    (Lie::EndlessText, "misbehaves", "without end"),
    (Lie::OtherBytes, "receipt", "is not what was sent"),
    (Lie::Silent, "misbehaves", "slowly"),
    (Lie::Leaves, "refused", "ended with status 1"),
];

/// How much memory all of them together may cost, above what the node has at rest.
const MEMORY_MAX: u64 = 64 << 20;

fn save(node: &Node, name: &str, liar: &Liar) -> Result<()> {
    let put = ["log", "transfer", "put", name, "--to", &liar.account()];
    let how = ["--host-key", liar.fingerprint(), "--logs", "audit"];
    let rest = ["--directory", "logs", "--untested"];
    node.run(&[&put[..], &how, &rest].concat()).map(drop)
}

/// Summaries of the System records that say something of a destination.
fn told_of(node: &Node, name: &str) -> Result<Vec<String>> {
    let records = node.json_lines(&["log", "show", "--view", "system"])?;
    let words = records
        .iter()
        .filter_map(|record| record["summary"].as_str());
    let of = format!("to {name} (");
    Ok(words
        .filter(|w| w.contains(&of))
        .map(str::to_owned)
        .collect())
}

/// All the liars of a table at once, and an honest server among them.
fn withstand(side: Side, rows: &[Row]) -> Result<()> {
    let (site, runtime) = (Site::new()?, Runtime::new()?);
    let node = site.start()?;
    let mut town = Vec::new();
    for (seed, row) in (1..).zip(rows) {
        let liar = runtime.block_on(Liar::start(side, row.0, seed))?;
        let name = format!("{:?}", row.0).to_lowercase();
        save(&node, &name, &liar)?;
        town.push((name, liar, *row));
    }
    let honest = runtime.block_on(Liar::start(side, Lie::None, 0))?;
    save(&node, "honest", &honest)?;
    node.client()?.create(Some("before"), 256)?;
    let at_rest = node.resident_bytes()?;
    let began = Instant::now();
    node.run(&["log", "rotate", "audit"])?;
    // The others hold up nobody.
    wait("the honest one", || Ok(honest.kept().is_some()))?;
    for (name, _, (lie, why, words)) in &town {
        let marker = format!("({why}): ");
        wait(&format!("{lie:?}: {why}"), || {
            Ok(told_of(&node, name)?
                .iter()
                .any(|said| said.contains(&marker)))
        })?;
        let told = told_of(&node, name)?;
        let that = told.iter().filter(|said| said.contains(&marker));
        ensure!(that.clone().count() == 1, "{lie:?}: {told:?}");
        ensure!(
            that.clone().all(|said| said.contains(words)),
            "{lie:?}: {told:?}"
        );
        let faults = node.json(&["status"])?["faults"].to_string();
        ensure!(
            faults.contains(&format!("log transfer to {name}: ")),
            "{lie:?}: {faults}"
        );
    }
    let cost = node.resident_bytes()?.saturating_sub(at_rest);
    println!(
        "{} liars: {:?}, {} KiB more",
        rows.len(),
        began.elapsed(),
        cost >> 10
    );
    ensure!(cost < MEMORY_MAX, "it has {cost} bytes more than at rest");
    node.client()?.create(Some("during"), 256)?;
    // Nothing was lost by it: all have the same file in the end.
    town.iter().for_each(|(_, liar, _)| liar.repent());
    node.run(&["log", "transfer", "retry"])?;
    let sent = honest.kept().context("nothing was kept")?;
    for (name, liar, _) in &town {
        wait(&format!("the file at {name}"), || Ok(liar.kept().is_some()))?;
        ensure!(liar.kept() == Some(sent.clone()), "{name} has another file");
    }
    wait("every receipt", || {
        let shown = node.json(&["log", "transfer", "show"])?;
        let all = shown["destinations"].as_array().context("destinations")?;
        Ok(all
            .iter()
            .all(|to| to["waiting"] == 0 && to["problem"].is_null()))
    })?;
    let file = site.beside("received.tar");
    fs::write(&file, &sent)?;
    stranger_accepts(&file, &trusted(&node)?)?;
    node.terminate()
}

#[test]
fn sftp_servers_that_lie_lose_no_log() -> Result<()> {
    withstand(Side::Sftp, SFTP)
}

#[test]
fn scp_servers_that_lie_lose_no_log() -> Result<()> {
    withstand(Side::Scp, SCP)
}

#[test]
fn who_keeps_a_connection_busy_before_the_sign_in_is_hung_up() -> Result<()> {
    let (site, busy) = (Site::new()?, Way::busy()?);
    let node = site.start()?;
    let to = format!("logs@{}", busy.address());
    let output = node.cli(&["log", "transfer", "test", "x", "--to", &to])?;
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(
        !output.status.success() && told.contains("slowly"),
        "{told}"
    );
    wait("the end of the connection", || {
        Ok(busy.open_connections() == 0)
    })?;
    node.terminate()
}

#[test]
fn a_way_that_is_too_slow_is_named_and_a_slow_one_is_taken() -> Result<()> {
    let (site, server) = (Site::new()?, Sshd::start(Kind::Sftp)?);
    let way = Way::to(&server.address())?;
    let node = connected(&site, &server, &way.address(), "activity")?;
    let mut client = node.client()?;
    let uid = client.create(Some("kept"), 256)?;
    (0..300).try_for_each(|_| client.get(&uid).map(drop))?;
    way.slow_down(1_000);
    node.run(&["log", "rotate", "activity"])?;
    wait_for_problem(&node, "misbehaves", "slowly")?;
    ensure!(arrived(&server.inbox())?.is_empty(), "it was not slow");
    way.slow_down(40_000);
    retry(&node)?;
    let began = Instant::now();
    let files = wait_for(&server.inbox(), 1)?;
    let bytes = fs::metadata(&files[0])?.len();
    println!("{bytes} bytes in {:?}", began.elapsed());
    // There and back at that pace, for what was not there yet.
    ensure!(
        began.elapsed() > Duration::from_millis(bytes / 40),
        "it was not slow"
    );
    stranger_accepts(&files[0], &trusted(&node)?)?;
    node.terminate()
}

#[test]
fn a_password_is_asked_for_and_another_one_gets_nothing() -> Result<()> {
    let site = Site::new()?;
    let server = Sshd::with_password("open sesame")?;
    let node = site.start()?;
    let put =
        |name: &str, password: &str| -> Result<String> { site_put(&node, &server, name, password) };
    let told = put("there", "open barley")?;
    ensure!(told.contains("does not accept the password"), "{told}");
    ensure!(standing(&node)?.is_null(), "it was saved");
    let told = put("there", "open sesame")?;
    ensure!(told.contains("read it back"), "{told}");
    node.run(&["log", "rotate", "audit"])?;
    let files = wait_for(&server.inbox(), 1)?;
    stranger_accepts(&files[0], &trusted(&node)?)?;
    // It is nowhere in the clear: not in what the node says, and not in its folder.
    let said = String::from_utf8_lossy(&node.said()).into_owned();
    ensure!(!said.contains("sesame"), "the password was told");
    let found = Command::new("grep")
        .args(["-rl", "sesame"])
        .arg(node.dir())
        .output()?;
    ensure!(
        found.stdout.is_empty(),
        "{}",
        String::from_utf8_lossy(&found.stdout)
    );
    // It is another one there since.
    server.set_password("close sesame")?;
    node.run(&["log", "rotate", "audit"])?;
    wait_for_problem(&node, "sign-in", "does not accept the password")?;
    put("there", "close sesame")?;
    wait_for(&server.inbox(), 2)?;
    node.terminate()
}

/// Describes a destination with a password on standard input; gives all that was said.
fn site_put(node: &Node, server: &Sshd, name: &str, password: &str) -> Result<String> {
    let (to, folder) = (server.account_with_password(), server.inbox());
    let folder = folder.to_str().context("a path")?;
    let put = [
        "log",
        "transfer",
        "put",
        name,
        "--to",
        &to,
        "--directory",
        folder,
    ];
    let how = [
        "--host-key",
        &server.fingerprint()?,
        "--logs",
        "audit",
        "--password",
    ];
    let output = node.cli_with(&[&put[..], &how].concat(), password)?;
    let told = [output.stdout, output.stderr].concat();
    Ok(String::from_utf8(told)?)
}

#[test]
fn the_key_of_somebody_else_gets_nobody_in() -> Result<()> {
    let (site, server) = (Site::new()?, Sshd::start(Kind::Sftp)?);
    let node = site.start()?;
    let other = Site::new()?;
    let stranger = other.start()?;
    server.let_in(&own_key(&stranger)?)?;
    stranger.terminate()?;
    let refused = put(&node, &server, &server.address(), "audit");
    let told = refused.err().context("it was let in")?.to_string();
    ensure!(
        told.contains("does not accept the key of this node"),
        "{told}"
    );
    ensure!(standing(&node)? == Value::Null, "it was saved");
    node.terminate()
}
