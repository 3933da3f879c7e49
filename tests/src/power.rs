//! Power cuts and sick disks for a node: the preload shim of `tests/lossy` (its first page says
//! what it models).

use crate::node::{Site, build, profile_folder};
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;

/// A fault that the shim can play.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The disk is full: what needs new space fails.
    NoSpace,
    /// A copy-on-write disk is full: every write fails.
    NoSpaceAtAll,
    /// Writes and syncs fail.
    InputOutput,
    /// Syncs fail; what was written since the last one may be gone.
    InputOutputOnSync,
    /// Each sync takes 150 ms more.
    Slow,
}

impl Fault {
    fn name(self) -> &'static str {
        match self {
            Self::NoSpace => "enospc",
            Self::NoSpaceAtAll => "enospc-all",
            Self::InputOutput => "eio",
            Self::InputOutputOnSync => "eio-sync",
            Self::Slow => "slow",
        }
    }
}

/// The shim and its undo program, built when they are not there or may be old.
fn programs() -> Result<(PathBuf, PathBuf)> {
    static BUILT: Mutex<bool> = Mutex::new(false);
    let mut built = BUILT.lock().expect("no test panics while building");
    let profile = profile_folder()?;
    if !*built {
        let target = profile
            .parent()
            .context("a profile lies in a target folder")?;
        build(&["-p", "lossy", "--bins", "--examples"], target)?;
        *built = true;
    }
    Ok((
        profile.join("examples/liblossy.so"),
        profile.join("lossy-cut"),
    ))
}

impl Site {
    fn preload(&mut self) -> Result<()> {
        let (shim, _) = programs()?;
        fs::create_dir_all(self.dir())?;
        self.set("LD_PRELOAD", shim.display().to_string());
        self.set("LOSSY_ROOT", self.dir().display().to_string());
        Ok(())
    }

    /// From here on a kill loses what was not synced, once [`Site::cut_power`] is called.
    pub fn watch_power(&mut self) -> Result<()> {
        self.preload()?;
        let journal = self.journal().display().to_string();
        self.set("LOSSY_JOURNAL", journal);
        Ok(())
    }

    fn journal(&self) -> PathBuf {
        self.beside("journal")
    }

    /// Undoes what the killed node had not made durable; gives the shim's report. Seed 0 loses all
    /// of it, any other a part.
    pub fn cut_power(&self, seed: u64) -> Result<String> {
        let (_, cut) = programs()?;
        let output = Command::new(cut)
            .arg(fs::canonicalize(self.dir())?)
            .arg(self.journal())
            .arg(seed.to_string())
            .output()?;
        let told = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "cutting the power: {told}");
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }

    /// From here on syncs of files whose path contains `path_part` succeed and do nothing.
    pub fn lie_about(&mut self, path_part: &str) {
        self.set("LOSSY_LIE", path_part);
    }

    /// Arms a fault for files whose path contains `path_part`; it is off until switched on.
    pub fn arm_fault(&mut self, fault: Fault, path_part: &str) -> Result<()> {
        self.preload()?;
        let control = self.control().display().to_string();
        self.set("LOSSY_FAIL", fault.name());
        self.set("LOSSY_FAIL_WHEN", control);
        self.set("LOSSY_FAIL_PATH", path_part);
        Ok(())
    }

    /// From here on nodes start without the shim.
    pub fn without_shim(&mut self) {
        for (name, _) in self.variables().to_vec() {
            if name == "LD_PRELOAD" || name.starts_with("LOSSY_") {
                self.unset(&name);
            }
        }
    }

    fn control(&self) -> PathBuf {
        self.beside("fault-is-on")
    }

    /// Switches the armed fault on or off, for the running node too.
    pub fn switch_fault(&self, on: bool) -> Result<()> {
        match on {
            true => fs::write(self.control(), "")?,
            false => fs::remove_file(self.control())?,
        }
        Ok(())
    }
}
