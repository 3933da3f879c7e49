//! The simulated cluster: more of it than a check has time for, and the proof that it is not blind.
//!
//! Four bugs are in our own code behind the feature `danger_bugs`; the fifth is openraft 0.9.24,
//! which can commit without a quorum. For that one the tree is copied under the target folder and
//! pinned to the old version there, so that nothing of it can ever get into a build of the product.

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The test that judges every seed of the weather, and the one of changing members.
const WEATHER: &str = "every_seed_keeps_every_promise";
const CHURN: &str = "members_change_under_load";

/// What stands in `Cargo.toml`, and what the copy has instead.
const PINS: [&str; 2] = ["\"=0.9.25\"", "\"=0.9.24\""];

/// The version with the bug, as cargo wants to hear it.
const BROKEN: &str = "0.9.24";

/// Seeds of changing members within which the old openraft must break a promise.
const BROKEN_SEEDS: u64 = 60;

/// What to simulate. Without arguments: as much as a plain check does.
#[derive(Args)]
pub(crate) struct Options {
    /// Runs the seeds from 0 on, so many of them.
    #[arg(long, conflicts_with_all = ["seed", "bugs"])]
    seeds: Option<u64>,
    /// Runs one seed and prints what happened.
    #[arg(long, conflicts_with = "bugs")]
    seed: Option<u64>,
    /// Changes members instead of the weather.
    #[arg(long, conflicts_with = "bugs")]
    churn: bool,
    /// Puts five bugs back in, one after the other: each must be found.
    #[arg(long)]
    bugs: bool,
}

/// Runs what was asked for.
///
/// # Errors
/// When a promise was broken, a bug was not found, or it does not build.
pub(crate) fn run(options: &Options) -> Result<()> {
    if options.bugs {
        ours_are_found()?;
        return openraft_is_found();
    }
    let mut command = storm(&crate::root());
    for (name, value) in [
        ("STRONGROOM_ROUNDS", options.seeds),
        ("STRONGROOM_SEED", options.seed),
    ] {
        if let Some(value) = value {
            command.env(name, value.to_string());
        }
    }
    command.args(["--", "--nocapture", "--exact"]);
    command.arg(if options.churn { CHURN } else { WEATHER });
    let status = command.status().context("cannot start cargo")?;
    ensure!(status.success(), "the simulated cluster broke a promise");
    Ok(())
}

/// The suite, of a tree.
fn storm(tree: &Path) -> Command {
    let mut command = Command::new("cargo");
    command
        .args(["test", "--quiet", "--locked", "--profile=sim"])
        .args(["--package=tests", "--test=storm"])
        .current_dir(tree)
        .env("RUST_BACKTRACE", "0");
    command
}

fn ours_are_found() -> Result<()> {
    let mut command = storm(&crate::root());
    command.args(["--features=danger_bugs", "--", "--nocapture", "bugs::"]);
    let status = command.status().context("cannot start cargo")?;
    ensure!(status.success(), "a bug was put back in and not found");
    Ok(())
}

/// Runs the suite on the old openraft, which must fail.
fn openraft_is_found() -> Result<()> {
    let folder = crate::target_folder().join("storm");
    let tree = folder.join("tree");
    copy(&tree)?;
    let mut command = storm(&tree);
    command.env("CARGO_TARGET_DIR", folder.join("built"));
    command.env("STRONGROOM_ROUNDS", BROKEN_SEEDS.to_string());
    // What does not build must not pass for a bug that was found.
    let built = storm(&tree)
        .env("CARGO_TARGET_DIR", folder.join("built"))
        .arg("--no-run")
        .status()?;
    ensure!(
        built.success(),
        "the copy with openraft {BROKEN} does not build"
    );
    let output = command.args(["--", "--exact", CHURN]).output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    let promise = said.lines().find(|line| line.starts_with("seed "));
    match (output.status.success(), promise) {
        (false, Some(promise)) => println!("openraft {BROKEN}: {promise}"),
        (true, _) => bail!("openraft {BROKEN} was NOT found within {BROKEN_SEEDS} seeds"),
        (false, None) => bail!("openraft {BROKEN} ended the suite without a word:\n{said}"),
    }
    Ok(())
}

/// Copies the sources of the tree, as they stand, and pins the old openraft there.
fn copy(tree: &Path) -> Result<()> {
    let root = crate::root();
    let listed = Command::new("git")
        .args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ])
        .current_dir(&root)
        .output()
        .context("cannot start git")?;
    ensure!(listed.status.success(), "git does not list the tree");
    for name in String::from_utf8(listed.stdout)?.split_terminator('\0') {
        let (from, to) = (root.join(name), tree.join(name));
        if from.is_file() {
            copy_file(&from, &to)?;
        }
    }
    let manifest = tree.join("Cargo.toml");
    let text = std::fs::read_to_string(&manifest)?;
    let [ours, broken] = PINS;
    ensure!(
        text.matches(ours).count() == 1,
        "Cargo.toml no longer pins openraft {ours}"
    );
    std::fs::write(&manifest, text.replace(ours, broken))?;
    let status = Command::new("cargo")
        .args([
            "update",
            "--quiet",
            "--package=openraft",
            "--precise",
            BROKEN,
        ])
        .current_dir(tree)
        .status()?;
    ensure!(status.success(), "openraft {BROKEN} cannot be had");
    Ok(())
}

/// Copies a file unless the same is there: cargo builds anew what is newer.
fn copy_file(from: &PathBuf, to: &PathBuf) -> Result<()> {
    let bytes = std::fs::read(from).with_context(|| from.display().to_string())?;
    if std::fs::read(to).is_ok_and(|there| there == bytes) {
        return Ok(());
    }
    if let Some(folder) = to.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(to, bytes)?;
    Ok(())
}
