//! A destination that is away for an hour, under load: what arrives later covers the log without a
//! gap.

use crate::{ARRIVES_WITHIN, arrived, connected, retry};
use crate::{standing, trusted, wait, wait_for, wait_for_problem};
use anyhow::{Context, Result, ensure};
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};
use tests::client::{Client, Identity, get_request};
use tests::node::{Node, Site, strongroom};
use tests::sshd::{Kind, Sshd, stranger_accepts};

/// An hour of 1,000 records a second, and what a plain run makes of it.
const RECORDS: (u64, u64) = (36_000, 3_600_000);

/// Parts of the hour. After each the node begins anew with a clock that is so much further.
const PARTS: u64 = 6;
const PART_SECONDS: u64 = 600;

const CONNECTIONS: u64 = 8;

/// Keys that are asked for in one message.
const BATCH: u64 = 200;

/// Closed logs that are made, sent and read back, in records a second at least.
const ARRIVE_PER_SECOND: u64 = 500;

/// Gets a key so often, on several connections; each that was given has its record.
fn gets(to: SocketAddr, identity: &Identity, uid: &str, count: u64) -> Result<()> {
    let share = count / CONNECTIONS;
    let workers: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let (identity, uid) = (identity.clone(), uid.to_owned());
            thread::spawn(move || -> Result<()> {
                let mut client = Client::connect(to, &identity)?;
                let mut left = share;
                while left > 0 {
                    let some = left.min(BATCH);
                    let requests = (0..some).map(|_| get_request(&uid)).collect();
                    for answer in client.batch(requests)? {
                        answer?;
                    }
                    left -= some;
                }
                Ok(())
            })
        })
        .collect();
    for worker in workers {
        worker.join().expect("a worker panicked")?;
    }
    Ok(())
}

/// Verifies a closed log after those before it, and counts the records that say something.
fn verified(file: &Path, state: &Path, said: &str) -> Result<u64> {
    let output = Command::new(strongroom()?)
        .args(["verify", "--state"])
        .arg(state)
        .arg(file)
        .output()?;
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "{}: {told}", file.display());
    // grep ends with 1 when there are none.
    let counted = Command::new("sh")
        .args(["-c", "tar -xOf \"$1\" | grep -c -e \"$2\" || true", "count"])
        .arg(file)
        .arg(said)
        .output()?;
    Ok(String::from_utf8(counted.stdout)?.trim().parse()?)
}

#[test]
fn an_hour_without_the_destination_loses_no_record() -> Result<()> {
    let records = tests::bound("STRONGROOM_HOUR_RECORDS", RECORDS.0, RECORDS.1);
    let (site, mut server) = (Site::new()?, Sshd::start(Kind::Sftp)?);
    let mut node = connected(&site, &server, &server.address(), "activity,audit")?;
    node.run(&["log", "rotate", "audit"])?;
    wait_for(&server.inbox(), 1)?;
    server.stop()?;
    node.run(&["configure", "set", "log.activity.rotate", "hourly"])?;
    let uid = node.client()?.create(Some("kept"), 256)?;
    let began = Instant::now();
    let mut under_load = Duration::ZERO;
    for part in 1..=PARTS {
        let load = Instant::now();
        gets(node.kmip(), &node.identity("demo"), &uid, records / PARTS)?;
        under_load += load.elapsed();
        // The clock runs faster than a log is measured: nobody waits for its size here.
        node.run(&["log", "rotate", "activity"])?;
        match part {
            // A crash is an end like any other.
            3 => node.kill()?,
            _ => node.terminate()?,
        }
        let offset = part * PART_SECONDS;
        fs::write(site.dir().join("clock-offset"), offset.to_string())?;
        node = site.start()?;
    }
    wait_for_problem(&node, "unreachable", "refused")?;
    node.run(&["log", "rotate"])?;
    wait("a backlog that is an alarm", || {
        let faults = node.json(&["status"])?["faults"].to_string();
        Ok(faults.contains("unreachable") && faults.contains("more than 3 "))
    })?;
    let backlog = standing(&node)?["waiting"].as_u64().context("waiting")?;
    server.restart()?;
    retry(&node)?;
    let back = Instant::now();
    let deadline = ARRIVES_WITHIN + Duration::from_secs(records / ARRIVE_PER_SECOND);
    while standing(&node)?["waiting"] != 0 {
        ensure!(
            back.elapsed() < deadline,
            "it still waits: {}",
            standing(&node)?
        );
        thread::sleep(Duration::from_millis(500));
    }
    let delivered = back.elapsed();
    let files = arrived(&server.inbox())?;
    let (state, mut seen, mut bytes) = (site.beside("state"), 0, 0);
    for file in &files {
        stranger_accepts(file, &trusted(&node)?)?;
        // Each goes on where the one before ended: nothing lies between.
        seen += verified(file, &state, &format!("got {uid}"))?;
        bytes += fs::metadata(file)?.len();
    }
    println!(
        "{records} records in {under_load:.1?} of load over an hour of its clock; {backlog} closed \
         logs waited, {} of {} MiB arrived in {delivered:.1?}; all in {:.1?}",
        files.len(),
        bytes >> 20,
        began.elapsed()
    );
    let made = records / PARTS / CONNECTIONS * CONNECTIONS * PARTS;
    ensure!(
        seen == made,
        "{seen} of {made} are in {} closed logs",
        files.len()
    );
    node.terminate()
}

/// One that is missing in between is noticed: what the test above relies on.
#[test]
fn a_closed_log_that_is_missing_is_noticed() -> Result<()> {
    let (site, server) = (Site::new()?, Sshd::start(Kind::Sftp)?);
    let node: Node = connected(&site, &server, &server.address(), "activity")?;
    let uid = node.client()?.create(Some("kept"), 256)?;
    for count in 1..=3 {
        gets(node.kmip(), &node.identity("demo"), &uid, CONNECTIONS)?;
        node.run(&["log", "rotate", "activity"])?;
        wait_for(&server.inbox(), count)?;
    }
    let files = arrived(&server.inbox())?;
    let state = site.beside("state");
    verified(&files[0], &state, "got")?;
    let gap = verified(&files[2], &state, "got");
    ensure!(gap.is_err(), "nobody noticed that one is missing");
    verified(&files[1], &state, "got")?;
    verified(&files[2], &state, "got")?;
    node.terminate()
}
