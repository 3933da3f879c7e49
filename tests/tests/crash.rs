//! `kill -9` and power cuts under load: what was acknowledged is there, what was destroyed stays
//! destroyed, the state is that of a full replay, and a stranger can verify the log.
//!
//! 50 rounds of kills and 20 of power cuts with `$STRONGROOM_FULL`, fewer without. A failure prints
//! its seed and the command that repeats it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout)] // test code

use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tests::client::Client;
use tests::dice::Dice;
use tests::load::Load;
use tests::node::{Node, Site, build, profile_folder, strongroom};
use tests::oracle::Counts;
use tests::{bound, is_full};

/// Older objects that are looked at again after each round; the last round looks at all.
const SAMPLE: usize = 200;
/// A round works for up to this long before the kill.
const ROUND_MILLIS_MAX: u64 = 700;

/// Changes and syncs of a first start until it serves, roughly; some cuts come later.
const FIRST_START_CHANGES: u64 = 200;

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
    /// Files whose syncs do nothing, for the controls.
    lie_about: Option<&'static str>,
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
        if let Some(part) = self.lie_about {
            site.lie_about(part);
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
        // No audit, no key: whatever a client got in any round stands in the access log.
        let (released, got) = (releases(&bundle.join("access"))?, load.counts().got);
        ensure!(
            released >= got,
            "{got} keys were released, {released} are recorded"
        );
        std::fs::remove_dir_all(bundle)?;
        Ok(())
    }
}

/// Records of released keys in an exported access log.
fn releases(log: &Path) -> Result<u64> {
    let mut count = 0;
    for entry in std::fs::read_dir(log)? {
        let text = std::fs::read_to_string(entry?.path())?;
        count += text
            .lines()
            .filter(|line| line.contains("\"Released\":"))
            .count() as u64;
    }
    Ok(count)
}

/// Runs a trial and, when it fails, says how to repeat it.
fn trial(test: &str, end: End, rounds: u64) -> Result<()> {
    let seed = Dice::seed_of_run();
    let repeat = format!(
        "STRONGROOM_SEED={seed} STRONGROOM_ROUNDS={rounds} cargo test -p tests --test crash {test}"
    );
    let counts = Trial {
        end,
        lie_about: None,
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
        lie_about: None,
        rounds: 6,
        program,
    };
    is_caught(&trial)
}

fn is_caught(trial: &Trial) -> Result<()> {
    let outcome = trial.run(Dice::seed_of_run());
    let caught = outcome
        .err()
        .context("the power cuts did not catch a missing fsync")?;
    let told = format!("{caught:#}");
    println!("caught: {}", told.lines().next().unwrap_or_default());
    let kinds = [
        "not served",
        "is gone",
        "is served",
        "digest",
        "are recorded",
        "was ready",
    ];
    ensure!(
        kinds.iter().any(|kind| told.contains(kind)),
        "caught something else: {told}"
    );
    Ok(())
}

/// The other control, which needs no build of its own: when the syncs of one part do nothing, as if
/// the program did not call them, the suite must notice.
#[test]
fn a_missing_fsync_is_caught() -> Result<()> {
    for part in ["data/raft/log", "data/access-log"] {
        let lie_about = Some(part);
        let trial = Trial {
            end: End::PowerCut,
            lie_about,
            rounds: 6,
            program: strongroom()?,
        };
        is_caught(&trial).with_context(|| part.to_owned())?;
    }
    Ok(())
}

/// A first start that is cut off leaves a folder in which the next start succeeds, with clients
/// that can connect: either nothing had begun, or it goes on.
#[test]
fn a_first_start_may_be_cut_at_any_change() -> Result<()> {
    let seed = Dice::seed_of_run();
    let mut dice = Dice::new(seed);
    for _ in 0..bound("STRONGROOM_ROUNDS", 8, 40) {
        let at = 1 + dice.below(FIRST_START_CHANGES);
        let cut = if at.is_multiple_of(3) {
            0
        } else {
            dice.roll() | 1
        };
        first_start_cut(at, cut).with_context(|| {
            format!("LOSSY_KILL_AT={at}, cut seed {cut}; REPEAT WITH STRONGROOM_SEED={seed}")
        })?;
    }
    Ok(())
}

fn first_start_cut(at: u64, cut: u64) -> Result<()> {
    let mut site = Site::new()?;
    site.watch_power()?;
    site.set("LOSSY_KILL_AT", at.to_string());
    // It may need fewer changes than that, and then it serves.
    if let Ok(node) = site.start() {
        node.kill()?;
    }
    let report = site.cut_power(cut)?;
    site.unset("LOSSY_KILL_AT");
    let node = site.start().with_context(|| report.clone())?;
    for user in ["demo", "demo2"] {
        let client = Client::connect(node.kmip(), &node.identity(user));
        let mut client = client.with_context(|| format!("{user} connects; {report}"))?;
        let uid = client.create(Some("first"), 256)?;
        client.get(&uid)?;
    }
    node.replayed_digest()?;
    node.terminate()
}
