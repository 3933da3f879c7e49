//! Getting over a disk that failed.
//!
//! A node that could not write stops writing for good: after a failed fsync nobody knows what is on
//! the disk. Existing keys stay served as long as their records can be written. When the disk works
//! again, the node begins anew from what is really there; on an appliance PID 1 would do that, and
//! `dev` does it itself.

use crate::engine::Engine;
use crate::layout::Layout;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often the node is looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Trials in a row that must succeed before the disk is believed again.
const GOOD_TRIALS: u32 = 2;

/// Bytes of one trial write: more than the last free block may hide.
const TRIAL_BYTES: usize = 64 * 1024;

/// Returns when the node has stopped writing and its disk works again.
pub(crate) async fn disk_works_again(engine: &Engine, layout: &Layout) {
    let mut good = 0;
    loop {
        tokio::time::sleep(LOOK_INTERVAL).await;
        let stopped = engine.cluster().status().stopped;
        let access = engine.access().fault().map(|fault| fault.to_string());
        let Some(reason) = stopped.or(access) else {
            continue;
        };
        if good == 0 {
            tracing::error!("the node has stopped writing: {reason}");
        }
        let places = places(layout);
        let tried =
            tokio::task::spawn_blocking(move || places.iter().try_for_each(|p| try_disk(p)));
        good = if matches!(tried.await, Ok(Ok(()))) {
            good + 1
        } else {
            0
        };
        if good == GOOD_TRIALS {
            return;
        }
    }
}

/// A trial file beside each thing that must be written.
fn places(layout: &Layout) -> Vec<PathBuf> {
    let written = [
        layout.raft(),
        layout.cluster_log(),
        layout.access_log(),
        layout.sealed_store(),
    ];
    written
        .into_iter()
        .map(|path| path.with_extension("trial"))
        .collect()
}

fn try_disk(path: &Path) -> io::Result<()> {
    let written = write_trial(path);
    // A trial that failed may not have made the file.
    let removed = std::fs::remove_file(path);
    written.and(removed)
}

fn write_trial(path: &Path) -> io::Result<()> {
    let mut file: File = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .open(path)?;
    file.write_all(&[0; TRIAL_BYTES])?;
    file.sync_all()
}
