//! `cargo xtask record`: runs suites that put each service of the appliance to work under
//! strace(1), and writes down what the services did: `initramfs/data/calls-NAME.txt` and
//! `initramfs/data/paths-NAME.txt`. The tests of package `init` compare them with the table of
//! services; `initramfs/README.md` says how to read the files.
//!
//! The suites know nothing of it: strace follows every process they start, and the services are
//! found by the programs that were executed.

mod call;
mod service;

use anyhow::{Context as _, Result, ensure};
use call::Calls;
use service::{Instance, NAMES};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::Command;

/// Suites in which the services do all that they do, by package and name.
const SUITES: [(&str, &str); 4] = [
    ("network", "namespaces"),
    ("tests", "first_run"),
    ("tests", "transcript"),
    // Three processes of the daemon that join, agree, and bring each other up to date.
    ("tests", "cluster_stale"),
];

/// What one service did.
#[derive(Default)]
struct Deeds {
    calls: BTreeSet<String>,
    paths: BTreeSet<String>,
}

/// Records everything anew.
///
/// # Errors
/// A suite fails, strace is missing, or a service was never started.
pub(crate) fn run() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut deeds: BTreeMap<&str, Deeds> = BTreeMap::new();
    for (package, suite) in SUITES {
        let log = folder.path().join(suite);
        trace(package, suite, &log)?;
        digest(&log, &mut deeds).with_context(|| format!("the record of {suite}"))?;
        fs::remove_file(&log)?;
    }
    let data = crate::root().join("initramfs/data");
    for name in NAMES {
        let done = deeds.get(name).with_context(|| {
            format!("{name} was never started: did a suite skip its tests? (see above)")
        })?;
        for (kind, lines) in [("calls", &done.calls), ("paths", &done.paths)] {
            let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
            fs::write(data.join(format!("{kind}-{name}.txt")), text)?;
        }
        println!(
            "{name}: {} calls, {} paths",
            done.calls.len(),
            done.paths.len()
        );
    }
    Ok(())
}

/// Runs a suite under strace. It is built before, since a compiler is not to be recorded.
fn trace(package: &str, suite: &str, log: &Path) -> Result<()> {
    let cargo = [
        "test",
        "--locked",
        "--quiet",
        "--package",
        package,
        "--test",
        suite,
    ];
    let built = Command::new("cargo")
        .args(cargo)
        .arg("--no-run")
        .current_dir(crate::root())
        .status()?;
    ensure!(built.success(), "{suite} cannot be built");
    // Numbers of calls and of flags, paths of descriptors; strings long enough for command lines.
    let status = Command::new("strace")
        .args([
            "-f",
            "-qq",
            "-n",
            "-y",
            "-X",
            "raw",
            "-s",
            "1000",
            "-e",
            "signal=none",
            "-o",
        ])
        .arg(log)
        .arg("cargo")
        .args(cargo)
        .current_dir(crate::root())
        .status()
        .context("strace (Debian package strace)")?;
    ensure!(status.success(), "{suite} failed under strace");
    Ok(())
}

/// Adds what the services of one log did.
fn digest(log: &Path, deeds: &mut BTreeMap<&'static str, Deeds>) -> Result<()> {
    let mut services: BTreeMap<u32, Option<Instance>> = BTreeMap::new();
    // A thread may be seen at work before the call that made it returns.
    let parents = parents(log)?;
    let mut calls = Calls::default();
    for line in BufReader::new(File::open(log)?).split(b'\n') {
        let line = String::from_utf8_lossy(&line?).into_owned();
        let Some(call) = calls.whole(&line) else {
            continue;
        };
        if call.name == "execve" && call.succeeded() {
            services.insert(call.thread, Instance::started_by(&call));
        }
        let known = lineage(call.thread, &parents).find_map(|thread| services.get(&thread));
        let Some(Some(service)) = known else {
            continue;
        };
        let done = deeds.entry(service.name).or_default();
        done.calls.insert(call.recorded());
        done.paths.extend(service.paths(&call));
    }
    Ok(())
}

/// A thread, the one that made it, and so on.
fn lineage(thread: u32, parents: &BTreeMap<u32, u32>) -> impl Iterator<Item = u32> {
    std::iter::successors(Some(thread), |thread| parents.get(thread).copied())
}

/// Which thread made which.
fn parents(log: &Path) -> Result<BTreeMap<u32, u32>> {
    let mut parents = BTreeMap::new();
    let mut calls = Calls::default();
    for line in BufReader::new(File::open(log)?).split(b'\n') {
        let line = String::from_utf8_lossy(&line?).into_owned();
        if let Some(call) = calls.whole(&line)
            && matches!(call.name.as_str(), "clone" | "clone3" | "vfork" | "fork")
            && let Ok(child) = call.result.parse()
        {
            parents.insert(child, call.thread);
        }
    }
    Ok(parents)
}
