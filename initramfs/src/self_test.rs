//! The whole-device self-test: every block of the root is read once through dm-verity.
//!
//! A boot reads perhaps a third of the root; a changed block in the rest would stay unseen until
//! the day it is needed. So a thread reads all of it, past the page cache, after the services
//! have started. A block that does not match ends in the kernel (`panic_on_corruption`, with the
//! number of the block on the console) before this thread sees anything; what this thread can see
//! is a disk that does not answer.

use crate::fault::{Fault, Naming, Outcome};
use crate::report;
use crate::verity::ROOT_DEVICE;
use serde::Serialize;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// Bytes per read. Small, so that the test stands aside for the services' reads.
const STEP_BYTES: usize = 256 * 1024;
/// O_DIRECT wants memory aligned to the device's block.
const ALIGNMENT_BYTES: usize = 4096;
/// Pause between reads: at 256 KiB each a root of 64 MiB takes half a second longer.
const PAUSE: Duration = Duration::from_millis(2);
/// Let the services start first: on one processor they would wait for the test.
const HEAD_START: Duration = Duration::from_secs(3);

/// What the status says about the test.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub(crate) enum State {
    /// So far read.
    Running { bytes: u64, milliseconds: u128 },
    /// All blocks matched.
    Passed { bytes: u64, milliseconds: u128 },
    /// The disk did not answer.
    Failed { error: String, milliseconds: u128 },
}

/// Shared between the test's thread and the status.
pub(crate) type Shared = Arc<Mutex<State>>;

/// The state now.
pub(crate) fn state(shared: &Shared) -> State {
    match shared.lock() {
        Ok(state) => state.clone(),
        Err(poisoned) => poisoned.into_inner().clone(),
    }
}

/// Starts the test in a thread of its own.
///
/// # Errors
/// The thread cannot be started.
pub(crate) fn start() -> Outcome<Shared> {
    let shared: Shared = Arc::new(Mutex::new(State::Running {
        bytes: 0,
        milliseconds: 0,
    }));
    let in_thread = Arc::clone(&shared);
    let run = move || {
        thread::sleep(HEAD_START);
        let started = Instant::now();
        let read = read_all(&in_thread, started);
        let milliseconds = started.elapsed().as_millis();
        let end = match read {
            Ok(bytes) => {
                report::note(&format!("self-test 'whole root' passed: {bytes} bytes"));
                State::Passed {
                    bytes,
                    milliseconds,
                }
            }
            Err(fault) => {
                report::alarm(&format!("check 'whole root' failed: {fault}"));
                State::Failed {
                    error: fault.to_string(),
                    milliseconds,
                }
            }
        };
        set(&in_thread, end);
    };
    thread::Builder::new()
        .name("self-test".into())
        .spawn(run)
        .naming(|| "starting the self-test".into())?;
    Ok(shared)
}

fn set(shared: &Shared, state: State) {
    match shared.lock() {
        Ok(mut guard) => *guard = state,
        Err(poisoned) => *poisoned.into_inner() = state,
    }
}

/// Bytes read, which is the whole device.
fn read_all(shared: &Shared, started: Instant) -> Outcome<u64> {
    let device = File::options()
        .read(true)
        .custom_flags(libc::O_DIRECT)
        .open(ROOT_DEVICE);
    let mut device = device.naming(|| ROOT_DEVICE.into())?;
    let mut memory = vec![0; STEP_BYTES + ALIGNMENT_BYTES];
    let skip = memory.as_ptr().align_offset(ALIGNMENT_BYTES);
    let buffer = memory
        .get_mut(skip..skip + STEP_BYTES)
        .ok_or_else(|| Fault::new("no aligned memory for the self-test"))?;
    let mut bytes = 0u64;
    loop {
        match device
            .read(buffer)
            .naming(|| format!("{ROOT_DEVICE} at byte {bytes}"))?
        {
            0 => return Ok(bytes),
            count => bytes += count as u64,
        }
        let milliseconds = started.elapsed().as_millis();
        set(
            shared,
            State::Running {
                bytes,
                milliseconds,
            },
        );
        thread::sleep(PAUSE);
    }
}
