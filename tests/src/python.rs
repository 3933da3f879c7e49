//! The stock clients in Python: one virtual environment in the target folder, made once.

use crate::node::Node;
use anyhow::{Context, Result, ensure};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The folder with the client scripts and their pinned requirements.
fn clients() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clients")
}

/// A client script.
pub fn script(name: &str) -> PathBuf {
    clients().join(name)
}

/// The interpreter of the environment, which is made, or made anew after a change of the
/// requirements, when it has to be. Suites that run at the same time wait for each other.
pub fn interpreter() -> Result<PathBuf> {
    let test = std::env::current_exe()?;
    let target = test
        .ancestors()
        .nth(3)
        .context("a test executable lies in a target folder")?;
    let place = target.join("python");
    let lock = File::create(target.join("python.lock"))?;
    lock.lock()?;
    let requirements = fs::read_to_string(clients().join("requirements.txt"))?;
    let mark = place.join("installed-requirements.txt");
    if fs::read_to_string(&mark).ok().as_deref() != Some(&requirements) {
        let needs = "python3 with venv and pip (Debian: apt-get install python3-venv)";
        run(Command::new("python3")
            .args(["-m", "venv", "--clear"])
            .arg(&place))
        .context(needs)?;
        let list = clients().join("requirements.txt");
        run(Command::new(place.join("bin/pip"))
            .args(["install", "--quiet", "-r"])
            .arg(list))?;
        fs::write(&mark, &requirements)?;
    }
    Ok(place.join("bin/python"))
}

fn run(command: &mut Command) -> Result<()> {
    let output = command
        .output()
        .with_context(|| format!("starting {command:?}"))?;
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?} failed: {told}");
    Ok(())
}

/// Runs a client script against a node; gives its step lines, and fails with them.
pub fn flow(script: &str, node: &Node) -> Result<String> {
    flow_at(script, node.kmip().port(), node.dir()).with_context(|| node.tail())
}

/// Runs a client script against the KMIP port of this host; the clients' files lie in `dir`.
pub fn flow_at(script: &str, port: u16, dir: &Path) -> Result<String> {
    let output = Command::new(interpreter()?)
        .arg(clients().join(script))
        .args(["--port", &port.to_string(), "--dir"])
        .arg(dir)
        .output()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{script}:\n{said}{told}");
    Ok(said)
}
