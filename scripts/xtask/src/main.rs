//! Development jobs, run as `cargo xtask <job>`.
//!
//! `check` is what has to be green before a change is taken: it never writes to the tree. `fix`
//! is the one that writes. `fuzz` feeds the decoders with what nobody would send. Setting up a
//! machine is not done here but in `scripts/test`, which then calls `check`.
#![allow(clippy::print_stdout, reason = "a program for a terminal")]

mod bench;
mod check;
mod fuzz;
mod image;
mod record;
mod sim;
mod step;
mod storm;
mod tied;
mod vm;

use anyhow::Result;
use clap::{Parser, Subcommand};
use std::path::PathBuf;

/// Development jobs of Strongroom.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    job: Job,
}

#[derive(Subcommand)]
enum Job {
    /// Runs every check and prints a table; changes nothing in the tree.
    Check {
        /// Longer fuzzing, all crash rounds, cargo-deny.
        #[arg(long)]
        full: bool,
    },
    /// Formats, and applies what clippy can mend by itself.
    Fix,
    /// Fuzzes one target, or the canary and then every target.
    Fuzz {
        /// Name of a file in tests/fuzz/targets, without `.rs`.
        target: Option<String>,
        /// How long each target runs.
        #[arg(long, default_value_t = fuzz::SMOKE_SECONDS)]
        seconds: u32,
    },
    /// Builds the image of the appliance, or prints what is in it.
    #[command(subcommand)]
    Image(image::Job),
    /// Records anew what the services of the appliance do (initramfs/data), under strace.
    Record,
    /// Simulates clusters in one thread, in which everything goes wrong, each from its seed.
    Sim(sim::Options),
    /// Simulates the cluster as it ships, with openraft and TLS, each run from its seed.
    Storm(storm::Options),
    /// Measures speed as ratios to a bare TLS echo server, or (`bench cluster`) to one node.
    Bench(bench::Options),
    /// Machines with the image in them.
    #[command(subcommand)]
    Vm(vm::Job),
    /// The echo server of the benchmark.
    #[command(hide = true)]
    Echo(bench::echo::Options),
    /// A program that ends with the process that started it.
    #[command(hide = true)]
    Tied(tied::Options),
}

fn main() -> Result<()> {
    match Arguments::parse().job {
        Job::Check { full } => check::check(full),
        Job::Image(job) => image::run(&job),
        Job::Vm(job) => vm::run(&job),
        Job::Record => record::run(),
        Job::Sim(options) => sim::run(&options),
        Job::Storm(options) => storm::run(&options),
        Job::Bench(options) => bench::run(&options),
        Job::Echo(options) => bench::echo::run(&options),
        Job::Tied(options) => Err(tied::run(&options)),
        Job::Fix => check::fix(),
        Job::Fuzz { target, seconds } => fuzz::fuzz(target.as_deref(), seconds),
    }
}

/// The folder that holds the workspace's `Cargo.toml`.
pub(crate) fn root() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).map_or(here.clone(), PathBuf::from)
}

/// The folder of build results, where Cargo puts it.
pub(crate) fn target_folder() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}
