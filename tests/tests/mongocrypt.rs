//! libmongocrypt's own KMIP 1.0 state machine (MongoDB field level encryption) against a node: a
//! new TLS connection for each message.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout)] // test code

use anyhow::{Result, ensure};
use tests::node::Site;
use tests::python;

#[test]
fn a_data_key_under_a_new_master_key() -> Result<()> {
    let site = Site::new()?;
    let node = site.start()?;
    let said = python::flow("mongocrypt_flow.py", &node)?;
    println!("{said}");
    let steps = said.lines().filter(|line| line.starts_with("ok ")).count();
    ensure!(steps == 6, "{steps} steps in place of 6:\n{said}");
    node.terminate()
}

#[test]
fn the_same_after_a_restart() -> Result<()> {
    let site = Site::new()?;
    for _ in 0..2 {
        let node = site.start()?;
        python::flow("mongocrypt_flow.py", &node)?;
        node.kill()?;
    }
    site.start()?.terminate()
}
