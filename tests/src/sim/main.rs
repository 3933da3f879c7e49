//! The simulator as a program, built in profile `sim` by `cargo xtask sim`.
#![allow(clippy::print_stdout, reason = "a program for a terminal")]

use anyhow::{Context as _, Result, bail, ensure};
use std::path::{Path, PathBuf};
use std::time::Instant;
use tests::sim::plant::Plant;
use tests::sim::record;
use tests::sim::run::{self, Figures, Run};

/// Seeds within which a planted bug must be found.
const PLANTED_SEEDS: u64 = 400;

/// Runs that may be spent on making a failed one shorter.
const SHORTENING_RUNS: usize = 400;

/// What is asked for, read by hand: xtask has checked and documented the arguments.
#[derive(Default)]
struct Options {
    seeds: Option<u64>,
    seed: Option<u64>,
    replay: Option<PathBuf>,
    until: Option<usize>,
    canary: bool,
    plant: Option<String>,
    trace: bool,
}

fn options() -> Result<Options> {
    let mut options = Options::default();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || {
            arguments
                .next()
                .with_context(|| format!("{argument} wants a value"))
        };
        match argument.as_str() {
            "--seeds" => options.seeds = Some(value()?.parse()?),
            "--seed" => options.seed = Some(value()?.parse()?),
            "--replay" => options.replay = Some(value()?.into()),
            "--until" => options.until = Some(value()?.parse()?),
            "--plant" => options.plant = Some(value()?),
            "--canary" => options.canary = true,
            "--trace" => options.trace = true,
            other => bail!("unknown argument {other}"),
        }
    }
    Ok(options)
}

fn main() -> Result<()> {
    let options = options()?;
    let planted = match options.plant.as_deref() {
        None => options.canary.then_some(Plant::AckBeforeSync),
        Some(name) => Some(Plant::parse(name).with_context(|| {
            let names: Vec<_> = Plant::ALL.iter().map(|plant| plant.name()).collect();
            format!("no planted bug {name}; there are {}", names.join(", "))
        })?),
    };
    if let Some(path) = &options.replay {
        let (setting, steps) = record::read(path)?;
        let run = run::replay(setting, &steps, options.until.unwrap_or(usize::MAX));
        run.trace.iter().for_each(|line| println!("{line}"));
        return verdict(&run);
    }
    if let Some(seed) = options.seed {
        let run = run::run(seed, planted);
        if options.trace {
            run.trace.iter().for_each(|line| println!("{line}"));
        }
        return verdict(&run);
    }
    let seeds = options.seeds.unwrap_or(if planted.is_some() {
        PLANTED_SEEDS
    } else {
        1_000
    });
    many(seeds, planted)
}

/// Runs the seeds from 0 on, up to the first that breaks a promise.
fn many(seeds: u64, planted: Option<Plant>) -> Result<()> {
    let begun = Instant::now();
    let mut all = Figures::default();
    for seed in 0..seeds {
        let run = run::run(seed, planted);
        all.add(&run.figures);
        if run.broken.is_some() {
            return verdict(&run);
        }
    }
    let took = begun.elapsed().as_secs_f64();
    println!("{seeds} seeds in {took:.1} s, no promise broken: {all:?}");
    ensure!(
        planted.is_none(),
        "the planted bug was NOT found: the simulator is blind to it"
    );
    Ok(())
}

/// Says what came of a run; one that broke a promise is written down, shortened, and an error.
fn verdict(run: &Run) -> Result<()> {
    let seed = run.setting.seed;
    let Some(broken) = &run.broken else {
        println!("seed {seed}: no promise broken: {:?}", run.figures);
        return Ok(());
    };
    let from = run.trace.len().saturating_sub(12);
    run.trace
        .iter()
        .skip(from)
        .for_each(|line| println!("  {line}"));
    println!("  {} {:?}", run.steps.len(), run.steps.last());
    println!("seed {seed} BROKE A PROMISE: {broken}");
    let whole = written(run, "whole")?;
    let again = Run {
        setting: run.setting,
        steps: run.steps.clone(),
        trace: Vec::new(),
        broken: Some(broken.clone()),
        figures: run.figures,
    };
    let short = run::shortened(again, SHORTENING_RUNS);
    let path = written(&short, "short")?;
    let plant = run
        .setting
        .planted
        .map(|plant| format!(" --plant {}", plant.name()));
    println!(
        "repeat it:    cargo xtask sim --seed {seed}{}",
        plant.unwrap_or_default()
    );
    println!(
        "step by step: cargo xtask sim --replay {} --until N",
        whole.display()
    );
    let steps = short.steps.len();
    println!(
        "in {steps} steps:  cargo xtask sim --replay {}",
        path.display()
    );
    bail!("seed {seed}: {broken}")
}

fn written(run: &Run, what: &str) -> Result<PathBuf> {
    let folder = std::env::var_os("CARGO_TARGET_DIR").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"),
        PathBuf::from,
    );
    let folder = folder.join("sim-runs");
    std::fs::create_dir_all(&folder)?;
    let path = folder.join(format!("seed-{}-{what}.jsonl", run.setting.seed));
    record::write(&path, run)?;
    Ok(path)
}
