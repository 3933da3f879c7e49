//! Fuzzing with libFuzzer on the pinned stable toolchain (docs/decisions/0011).
//!
//! `cargo fuzz` asks for nightly only because of the address sanitizer. Coverage feedback itself is
//! an LLVM pass that stable rustc can be told to run; our code has no `unsafe` for the sanitizer to
//! watch, and every panic, overflow, hang and memory bound is caught without it.

use anyhow::{Context as _, Result, bail, ensure};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Seconds per target unless told otherwise: enough to run all seeds and some thousand mutations.
pub(crate) const SMOKE_SECONDS: u32 = 10;

/// The target that has a bug on purpose.
const CANARY: &str = "canary";

/// Seconds within which the canary's bug has to be found; it takes well under one with coverage
/// feedback, and 2^32 tries without.
const CANARY_SECONDS: u32 = 30;

/// What `cargo fuzz --sanitizer none` passes, plus the checks that a release build leaves out.
const RUSTFLAGS: &str = "--cfg fuzzing \
    -C passes=sancov-module \
    -C llvm-args=-sanitizer-coverage-level=4 \
    -C llvm-args=-sanitizer-coverage-inline-8bit-counters \
    -C llvm-args=-sanitizer-coverage-pc-table \
    -C llvm-args=-sanitizer-coverage-trace-compares \
    -C codegen-units=1 \
    -C debug-assertions \
    -C overflow-checks";

/// Naming the target keeps the flags above from build scripts, which have no fuzzer to link with.
const TRIPLE: &str = "x86_64-unknown-linux-gnu";

/// Bounds for one input, given to libFuzzer: longest input in bytes (a segment or a message of
/// many batch items fits), longest run in seconds, largest resident set in MiB.
const LIMITS: [&str; 3] = ["-max_len=65536", "-timeout=10", "-rss_limit_mb=1024"];

/// Fuzzes `target`, or all of them after the canary.
///
/// # Errors
/// When a target found something (its input is kept and named), when the canary was not caught,
/// or when the targets do not build.
pub(crate) fn fuzz(target: Option<&str>, seconds: u32) -> Result<()> {
    let targets = targets()?;
    if let Some(name) = target {
        ensure!(
            targets.iter().any(|t| t == name),
            "no fuzz target `{name}`; there are: {}",
            targets.join(", ")
        );
    }
    build()?;
    let programs = target_folder().join(TRIPLE).join("release");
    seed(&programs.join("seed"))?;
    catch_canary(&programs.join(CANARY))?;
    let mut failed = 0u32;
    let chosen: Vec<_> = targets
        .iter()
        .filter(|t| *t != CANARY && target.is_none_or(|name| name == *t))
        .collect();
    for name in &chosen {
        if let Err(finding) = run(&programs.join(name), name, seconds) {
            println!("{finding:#}");
            failed += 1;
        }
    }
    // The canary counts: a harness that finds nothing proves nothing.
    let passed = u32::try_from(chosen.len())? + 1 - failed;
    let verdict = if failed == 0 { "ok" } else { "FAILED" };
    println!("test result: {verdict}. {passed} passed; {failed} failed");
    ensure!(failed == 0, "{failed} fuzz target(s) with a finding");
    Ok(())
}

fn folder() -> PathBuf {
    crate::root().join("tests/fuzz")
}

fn target_folder() -> PathBuf {
    crate::target_folder().join("fuzz")
}

/// Names of all targets, the canary among them.
fn targets() -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder().join("targets"))? {
        if let Some(stem) = entry?.path().file_stem().and_then(|s| s.to_str()) {
            names.push(stem.to_owned());
        }
    }
    names.sort();
    Ok(names)
}

fn build() -> Result<()> {
    let status = Command::new("cargo")
        .args(["build", "--release", "--locked", "--target", TRIPLE])
        .current_dir(folder())
        .env("CARGO_TARGET_DIR", target_folder())
        .env("RUSTFLAGS", RUSTFLAGS)
        .status()
        .context("cannot start cargo")?;
    ensure!(status.success(), "the fuzz targets do not build");
    Ok(())
}

/// Writes the seed inputs: made by our own encoders, so they never go stale.
fn seed(program: &Path) -> Result<()> {
    let status = Command::new(program)
        .arg(folder().join("corpus"))
        .status()?;
    ensure!(status.success(), "the seed inputs could not be written");
    Ok(())
}

fn libfuzzer(program: &Path, name: &str, seconds: u32) -> Result<Output> {
    let corpus = folder().join("corpus").join(name);
    let artifacts = folder().join("artifacts").join(name);
    std::fs::create_dir_all(&corpus)?;
    std::fs::create_dir_all(&artifacts)?;
    Command::new(program)
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .args(LIMITS)
        .arg(corpus)
        .output()
        .with_context(|| format!("cannot start {}", program.display()))
}

/// Runs the target whose bug has to be found.
fn catch_canary(program: &Path) -> Result<()> {
    let output = libfuzzer(program, CANARY, CANARY_SECONDS)?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() || !said.contains("the canary was found") {
        bail!(
            "the canary was NOT caught within {CANARY_SECONDS} s: the fuzz harness finds nothing, \
             whatever the targets say\n{said}"
        );
    }
    println!("{CANARY:<16} caught, as it must be");
    Ok(())
}

/// Runs one target; a finding is an error that says how to repeat it.
fn run(program: &Path, name: &str, seconds: u32) -> Result<()> {
    let output = libfuzzer(program, name, seconds)?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() {
        let runs = said
            .lines()
            .rfind(|l| l.starts_with("Done"))
            .unwrap_or("finished");
        println!("{name:<16} {runs}");
        return Ok(());
    }
    let input = said
        .lines()
        .find_map(|l| {
            l.split_once("Test unit written to ")
                .map(|(_, path)| path.trim())
        })
        .unwrap_or("(no input was written)");
    bail!(
        "{said}\n{name}: a finding. Repeat it with\n  {} {input}",
        program.display()
    )
}
