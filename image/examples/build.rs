//! Builds an image without the rest of the development jobs: `cargo run -p image --example build
//! -- PROFILE FOLDER [PROGRAMS]`. `cargo xtask image build` is the same with options and help.
#![allow(clippy::print_stdout, reason = "a program for a terminal")]

use image::{Options, build};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let profile = words.next().unwrap_or_else(|| "virt".to_owned());
    let output = words.next().map(PathBuf::from);
    let programs = words.next().map(PathBuf::from);
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let workspace = here.parent().unwrap_or(here).to_owned();
    let outcome = build(&Options {
        target: workspace.join("target"),
        workspace,
        profile,
        output,
        programs,
        keys: None,
        update_lock: std::env::var_os("UPDATE_LOCK").is_some(),
        progress: &|line| println!("{line}"),
    });
    match outcome {
        Ok(built) => {
            println!(
                "{} with root hash {}",
                built.folder.display(),
                built.root_hash
            );
            ExitCode::SUCCESS
        }
        Err(fault) => {
            println!("error: {fault}");
            ExitCode::FAILURE
        }
    }
}
