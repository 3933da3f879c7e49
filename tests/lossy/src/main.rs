//! `lossy-cut`: turns a folder whose process was killed under the shim into what a power cut might
//! have left of it.
#![allow(clippy::cast_possible_truncation)] // a test program for 64-bit machines

use anyhow::{Context, Result, bail};
use std::path::PathBuf;

mod cut;
#[allow(dead_code)] // the encoding half is the shim's
mod journal;

const USAGE: &str = "usage: lossy-cut ROOT JOURNAL SEED
  undoes what was not durable: SEED 0 all of it, any other a random part of it";

#[allow(clippy::print_stdout)] // a program for test logs
fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [root, journal, seed] = arguments.as_slice() else {
        bail!(USAGE)
    };
    let seed = seed
        .parse()
        .with_context(|| format!("SEED must be a number, not {seed}"))?;
    let report = cut::cut(&PathBuf::from(root), &PathBuf::from(journal), seed)?;
    println!("{report}");
    Ok(())
}
