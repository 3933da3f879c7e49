//! The one-thread world: a thousand clusters in which everything goes wrong, each from its seed.
//!
//! What must hold is in `tests/src/sim/checkers/`, one file a promise. A failure prints the seed;
//! `cargo xtask sim --seed N` repeats it, records its steps and shortens them.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout)] // test code

use std::path::Path;
use tests::sim::plant::Plant;
use tests::sim::record;
use tests::sim::run::{self, Figures};

/// Seeds of a plain run, and of a full one.
const SEEDS: (u64, u64) = (1_000, 10_000);

/// Seeds within which each planted bug must be found. The rarest needs a rotation, a crash between
/// two of its steps and an object that lives through both.
const PLANTED_SEEDS: u64 = 300;

/// Runs that may go into shortening one that failed.
const SHORTENING_RUNS: usize = 300;

/// No seed breaks a promise.
#[test]
fn a_thousand_seeds() {
    let seeds = tests::bound("STRONGROOM_ROUNDS", SEEDS.0, SEEDS.1);
    let mut all = Figures::default();
    for seed in 0..seeds {
        let run = run::run(seed, None);
        all.add(&run.figures);
        if let Some(broken) = &run.broken {
            let last = run.trace.iter().rev().take(12).rev();
            last.for_each(|line| println!("{line}"));
            panic!("{broken}\nrepeat it with: cargo xtask sim --seed {seed}");
        }
    }
    println!("{all:?}");
    // A world in which nothing happens breaks no promise either.
    assert!(all.entries > 20 * all.runs, "{all:?}");
    assert!(all.released > 10 * all.runs, "{all:?}");
    assert!(all.destroyed > all.runs, "{all:?}");
    assert!(all.terms > 2 * all.runs, "{all:?}");
    assert!(all.rotations * 5 > all.runs, "{all:?}");
    assert!(all.crashes > all.runs, "{all:?}");
    assert!(all.installed * 2 > all.runs, "{all:?}");
    assert!(all.wiped * 20 > all.runs, "{all:?}");
}

/// The simulator is not blind: each planted bug breaks a promise within a bounded number of seeds.
#[test]
fn planted_bugs_are_found() {
    let missed: Vec<_> = Plant::ALL
        .into_iter()
        .filter(|plant| {
            let found = (0..PLANTED_SEEDS).find_map(|seed| {
                let broken = run::run(seed, Some(*plant)).broken?;
                Some((seed, broken))
            });
            if let Some((seed, broken)) = &found {
                println!("{}: seed {seed}: {broken}", plant.name());
            }
            found.is_none()
        })
        .collect();
    assert!(missed.is_empty(), "not found: {missed:?}");
}

/// The same seed gives the same run, to the last note in its trace.
#[test]
fn the_same_seed_twice_is_the_same_run() {
    for seed in 0..60 {
        let (first, second) = (run::run(seed, None), run::run(seed, None));
        assert_eq!(first.trace, second.trace, "seed {seed}");
        assert_eq!(first.steps, second.steps, "seed {seed}");
        assert_eq!(first.figures, second.figures, "seed {seed}");
    }
}

/// A run is repeated by its recorded steps alone, with the same notes.
#[test]
fn recorded_steps_repeat_a_run() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.jsonl");
    for (seed, planted) in [(3, None), (4, None), (5, Some(Plant::LocalClock))] {
        let run = run::run(seed, planted);
        record::write(Path::new(&path), &run).unwrap();
        let (setting, steps) = record::read(&path).unwrap();
        let again = run::replay(setting, &steps, usize::MAX);
        assert_eq!(again.trace, run.trace, "seed {seed}");
        assert_eq!(again.broken, run.broken, "seed {seed}");
        // Up to a step means exactly so many.
        let half = steps.len() / 2;
        let begun = run::replay(setting, &steps, half);
        assert_eq!(begun.trace[..], run.trace[..half.min(run.trace.len())]);
    }
}

/// A failed run is made shorter and still fails in the same way.
#[test]
fn a_failed_run_is_shortened() {
    let (long, promise) = (0..PLANTED_SEEDS)
        .find_map(|seed| {
            let run = run::run(seed, Some(Plant::ReadWithoutBarrier));
            let promise = run.broken.as_ref()?.promise;
            Some((run, promise))
        })
        .unwrap();
    let steps = long.steps.len();
    let short = run::shortened(long, SHORTENING_RUNS);
    assert_eq!(short.broken.map(|broken| broken.promise), Some(promise));
    assert!(
        short.steps.len() * 2 < steps,
        "{} of {steps}",
        short.steps.len()
    );
}
