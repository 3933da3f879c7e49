//! `kill -9` and power cuts under load: what was acknowledged is there, what was destroyed stays
//! destroyed, the state is that of a full replay, and a stranger can verify the log.
//!
//! 50 rounds of kills and 20 of power cuts with `$STRONGROOM_FULL`, fewer without. A failure prints
//! its seed and the command that repeats it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout)] // test code

use anyhow::{Context, Result, ensure};
use std::path::PathBuf;
use std::time::Duration;
use tests::dice::Dice;
use tests::load::Load;
use tests::node::{Node, Site, build, profile_folder, strongroom};
use tests::oracle::Counts;
use tests::{bound, is_full};

/// Older objects that are looked at again after each round; the last round looks at all.
const SAMPLE: usize = 200;
/// A round works for up to this long before the kill.
const ROUND_MILLIS_MAX: u64 = 700;

/// How a round ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// The process dies; the page cache lives.
    Kill,
    /// The process dies and what it had not synced goes.
    PowerCut,
}

struct Trial {
    end: End,
    rounds: u64,
    program: PathBuf,
}

impl Trial {
    fn run(&self, seed: u64) -> Result<Counts> {
        let mut dice = Dice::new(seed);
        let mut site = Site::new()?;
        // A first start makes keys and certificates; whether that survives a cut is a test of its
        // own below, here the promises begin with the first READY.
        site.start_program(&self.program)?.terminate()?;
        if self.end == End::PowerCut {
            site.watch_power()?;
        }
        let mut load = Load::new("crash");
        for round in 1..=self.rounds {
            let node = site
                .start_program(&self.program)
                .with_context(|| format!("round {round}"))?;
            let running = load.begin(node.kmip(), &node.identity("demo"), &mut dice);
            running.go_on_for(Duration::from_millis(20 + dice.below(ROUND_MILLIS_MAX)));
            node.kill()?;
            load = running
                .collect()
                .with_context(|| format!("round {round}"))?;
            if self.end == End::PowerCut {
                // Every third cut loses all that may be lost, the others a random part.
                site.cut_power(if round % 3 == 0 { 0 } else { dice.roll() | 1 })?;
            }
            let node = site
                .start_program(&self.program)
                .with_context(|| format!("round {round}"))?;
            let sample = if round == self.rounds {
                usize::MAX
            } else {
                SAMPLE
            };
            self.judge(&site, &node, &mut load, &mut dice, sample, round)
                .with_context(|| format!("round {round}\n{}", node.tail()))?;
            node.terminate()?;
        }
        Ok(load.counts())
    }

    fn judge(
        &self,
        site: &Site,
        node: &Node,
        load: &mut Load,
        dice: &mut Dice,
        sample: usize,
        round: u64,
    ) -> Result<()> {
        load.judge(&mut node.client()?, dice, sample)?;
        let denied = load.counts().denied;
        ensure!(
            denied == 0,
            "{denied} operations denied, the last: {:?}",
            load.last_denial()
        );
        node.replayed_digest()?;
        let bundle = site.beside(&format!("bundle-{round}"));
        node.verified_bundle(&bundle)?;
        std::fs::remove_dir_all(bundle)?;
        Ok(())
    }
}

/// Runs a trial and, when it fails, says how to repeat it.
fn trial(test: &str, end: End, rounds: u64) -> Result<()> {
    let seed = Dice::seed_of_run();
    let repeat = format!(
        "STRONGROOM_SEED={seed} STRONGROOM_ROUNDS={rounds} cargo test -p tests --test crash {test}"
    );
    let counts = Trial {
        end,
        rounds,
        program: strongroom()?,
    }
    .run(seed)
    .with_context(|| format!("REPEAT WITH {repeat}"))?;
    println!("{test}: {rounds} rounds, seed {seed}: {counts:?}");
    ensure!(
        counts.created > 10 * rounds,
        "the load hardly worked: {counts:?}"
    );
    ensure!(
        counts.got > rounds && counts.destroyed > rounds,
        "one-sided load: {counts:?}"
    );
    Ok(())
}

#[test]
fn killed_under_load() -> Result<()> {
    trial(
        "killed_under_load",
        End::Kill,
        bound("STRONGROOM_ROUNDS", 10, 50),
    )
}

#[test]
fn power_cut_under_load() -> Result<()> {
    let rounds = bound("STRONGROOM_ROUNDS", 6, 20);
    trial("power_cut_under_load", End::PowerCut, rounds)
}

/// The control: a node that answers before its fsync must be caught. It is a build of its own, so
/// only a full run has the time.
#[test]
fn a_node_that_answers_too_early_is_caught() -> Result<()> {
    if !is_full() {
        println!("SKIPPED: STRONGROOM_FULL=1 builds a node that lies and tries to catch it");
        return Ok(());
    }
    let profile = profile_folder()?;
    let target = profile.parent().context("a target folder")?.join("danger");
    let feature = "danger_ack_before_fsync";
    build(
        &["-p", "server", "--bin", "strongroom", "--features", feature],
        &target,
    )?;
    let program = target
        .join(profile.file_name().context("a profile")?)
        .join("strongroom");
    let trial = Trial {
        end: End::PowerCut,
        rounds: 6,
        program: wrapper(program)?,
    };
    let outcome = trial.run(Dice::seed_of_run());
    let caught = outcome
        .err()
        .context("six power cuts did not catch a node that lies")?;
    let told = format!("{caught:#}");
    let kinds = [
        "not served",
        "is gone",
        "is served",
        "digest",
        "not ready",
        "before it was ready",
    ];
    ensure!(
        kinds.iter().any(|kind| told.contains(kind)),
        "caught something else: {told}"
    );
    Ok(())
}

/// A program that starts the lying build with its switch on.
fn wrapper(program: PathBuf) -> Result<PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::TempDir::with_prefix("lying-")?.keep();
    let path = folder.join("strongroom");
    let text = format!(
        "#!/bin/sh\nexec env STRONGROOM_TEST_ACK_BEFORE_FSYNC=1 '{}' \"$@\"\n",
        program.display()
    );
    std::fs::write(&path, text)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700))?;
    Ok(path)
}

/// A first start that is cut off leaves a folder in which the next start succeeds: either nothing
/// had begun, or it goes on.
#[test]
fn a_first_start_may_be_cut_at_any_change() -> Result<()> {
    let mut dice = Dice::new(Dice::seed_of_run());
    for _ in 0..bound("STRONGROOM_ROUNDS", 8, 40) {
        let mut site = Site::new()?;
        site.watch_power()?;
        let at = 1 + dice.below(120);
        site.set("LOSSY_KILL_AT", at.to_string());
        let seed = if at.is_multiple_of(3) {
            0
        } else {
            dice.roll() | 1
        };
        // It may need fewer changes than that, and then it serves.
        if let Ok(node) = site.start() {
            node.kill()?;
        }
        let report = site.cut_power(seed)?;
        site.unset("LOSSY_KILL_AT");
        site.watch_power()?;
        let case = format!("LOSSY_KILL_AT={at} cut seed {seed}: {report}");
        let node = site.start().with_context(|| case.clone())?;
        let uid = node.client()?.create(Some("first"), 256).context(case)?;
        node.client()?.get(&uid)?;
        node.terminate()?;
    }
    Ok(())
}
