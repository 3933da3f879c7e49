//! The one-thread simulator, built in a profile of its own: release speed, with assertions.

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use std::path::PathBuf;
use std::process::Command;

/// What to simulate. Without arguments: the first 1,000 seeds.
#[derive(Args)]
pub(crate) struct Options {
    /// Runs the seeds from 0 on, so many of them.
    #[arg(long, conflicts_with_all = ["seed", "replay"])]
    seeds: Option<u64>,
    /// Runs one seed.
    #[arg(long, conflicts_with = "replay")]
    seed: Option<u64>,
    /// Repeats a recorded list of steps and prints what came of each.
    #[arg(long)]
    replay: Option<PathBuf>,
    /// Stops after so many of its steps.
    #[arg(long, requires = "replay")]
    until: Option<usize>,
    /// Runs with a bug planted: must exit with an error, or the simulator is blind.
    #[arg(long)]
    canary: bool,
    /// Plants this bug; an unknown name prints all.
    #[arg(long)]
    plant: Option<String>,
    /// Prints what came of each step of the one seed.
    #[arg(long, requires = "seed")]
    trace: bool,
}

impl Options {
    /// The arguments of the simulator's own program.
    fn arguments(&self) -> Vec<String> {
        let mut arguments = Vec::new();
        let mut valued = |name: &str, value: Option<String>| {
            arguments.extend(value.into_iter().flat_map(|value| [name.to_owned(), value]));
        };
        valued("--seeds", self.seeds.map(|n| n.to_string()));
        valued("--seed", self.seed.map(|n| n.to_string()));
        let replay = self.replay.as_ref().map(|path| path.display().to_string());
        valued("--replay", replay);
        valued("--until", self.until.map(|n| n.to_string()));
        valued("--plant", self.plant.clone());
        for (name, is_set) in [("--canary", self.canary), ("--trace", self.trace)] {
            if is_set {
                arguments.push(name.to_owned());
            }
        }
        arguments
    }
}

/// Builds the simulator and runs it.
///
/// # Errors
/// When a promise was broken (the planted one included), or it does not build.
pub(crate) fn run(options: &Options) -> Result<()> {
    let status = Command::new("cargo")
        .args(["run", "--quiet", "--locked", "--profile=sim"])
        .args(["--package=tests", "--bin=sim", "--"])
        .args(options.arguments())
        // Panics of the product are findings here and printed as such.
        .env("RUST_BACKTRACE", "0")
        .status()
        .context("cannot start cargo")?;
    ensure!(status.success(), "the simulation failed");
    Ok(())
}
