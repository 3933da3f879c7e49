//! PyKMIP 0.11, unchanged from PyPI, against a fresh node: two users and the life of a key.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout)] // test code

use anyhow::{Result, ensure};
use tests::node::Site;
use tests::python;

/// Steps that the script has; a script that stops early must not pass.
const STEPS: usize = 32;

#[test]
fn two_users_and_the_life_of_a_key() -> Result<()> {
    let site = Site::new()?;
    let node = site.start()?;
    let said = python::flow("pykmip_flow.py", &node)?;
    println!("{said}");
    let steps = said.lines().filter(|line| line.starts_with("ok ")).count();
    ensure!(steps == STEPS, "{steps} steps in place of {STEPS}:\n{said}");
    // Everything that demo2 was refused stands in a log, under its name.
    let mut refused = 0;
    for view in ["audit", "client"] {
        refused += refusals(&node.run(&["log", "show", "--view", view])?);
    }
    ensure!(
        refused >= 5,
        "only {refused} refusals of demo2 are in the logs"
    );
    node.terminate()
}

fn refusals(log: &str) -> usize {
    let told = |line: &&str| line.contains("demo2") && line.to_lowercase().contains("refused");
    log.lines().filter(told).count()
}
