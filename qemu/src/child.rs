//! Programs that we start, and that never outlive us.
//!
//! Two ways lead out: dropping a [`Child`] kills it, and the kernel kills it when this process ends
//! without dropping anything (abort, SIGKILL, a test that was interrupted).

mod death;

use crate::fault::{self, Fault};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::LazyLock;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

/// Time between two looks at something that only polling can tell.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(5);

/// A program that ends at the latest with this value.
pub(crate) struct Child {
    program: String,
    process: std::process::Child,
    said: PathBuf,
}

impl Child {
    /// Starts a program in a process group of its own, so that Ctrl-C on the terminal reaches only
    /// us. It reads nothing; what it prints goes to `said`.
    pub(crate) fn start(mut command: Command, package: &str, said: &Path) -> Result<Self, Fault> {
        use std::os::unix::process::CommandExt as _;
        let program = command.get_program().to_string_lossy().into_owned();
        let output = File::create(said).map_err(Fault::io("create", said))?;
        let errors = output.try_clone().map_err(Fault::io("open again", said))?;
        command.stdin(Stdio::null()).stdout(output).stderr(errors);
        command.process_group(0);
        death::dies_with_us(&mut command);
        let process = spawn(command).map_err(|source| Fault::Start {
            program: program.clone(),
            package: package.to_owned(),
            source,
        })?;
        Ok(Self {
            program,
            process,
            said: said.to_owned(),
        })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// How it ended; `None` while it runs.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.process.try_wait().ok().flatten()
    }

    /// Waits for the end; `None` when it still runs after `within`.
    pub(crate) fn wait(&mut self, within: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + within;
        loop {
            if let Some(status) = self.ended() {
                return Some(status);
            }
            if Instant::now() >= deadline {
                return None;
            }
            thread::sleep(LOOK_EVERY);
        }
    }

    /// Kills it and waits until it is gone. Nothing happens if it has ended.
    pub(crate) fn kill(&mut self) {
        // Errors mean that it is gone already, which is what is wanted.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    /// The last lines that it printed.
    pub(crate) fn said(&self) -> String {
        fault::tail(&self.said)
    }

    /// The fault of an end that was not wanted.
    pub(crate) fn ended_early(&self, status: ExitStatus, waiting: &str) -> Fault {
        Fault::Ended {
            program: self.program.clone(),
            status: status.to_string(),
            waiting: waiting.to_owned(),
            said: self.said(),
        }
    }

    /// Connects to the Unix socket that the program makes.
    ///
    /// # Errors
    /// The program ended, or there is no socket within the time.
    pub(crate) fn connect(
        &mut self,
        socket: &Path,
        within: Duration,
    ) -> Result<std::os::unix::net::UnixStream, Fault> {
        let deadline = Instant::now() + within;
        let waiting = format!("its socket {}", socket.display());
        loop {
            match std::os::unix::net::UnixStream::connect(socket) {
                Ok(stream) => return Ok(stream),
                Err(_) if Instant::now() < deadline => {}
                Err(_) => {
                    return Err(Fault::Deadline {
                        what: format!("{} of {}", waiting, self.program),
                        waited: within,
                        tail: self.said(),
                    });
                }
            }
            if let Some(status) = self.ended() {
                return Err(self.ended_early(status, &waiting));
            }
            thread::sleep(LOOK_EVERY);
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Runs a program to its end.
///
/// # Errors
/// It cannot be started, does not end in time (then it is killed), or says that it failed.
pub(crate) fn run(
    command: Command,
    package: &str,
    said: &Path,
    within: Duration,
) -> Result<(), Fault> {
    let mut child = Child::start(command, package, said)?;
    match child.wait(within) {
        Some(status) if status.success() => Ok(()),
        Some(status) => Err(child.ended_early(status, "its result")),
        None => Err(Fault::Deadline {
            what: format!("end of {}", child.program),
            waited: within,
            tail: child.said(),
        }),
    }
}

/// A program to start, and where the result goes.
type Order = (Command, SyncSender<io::Result<std::process::Child>>);

/// The thread that all programs are started by. PR_SET_PDEATHSIG means the death of the *thread*
/// that forked: a machine that a test thread makes for all tests must survive that thread.
static NURSERY: LazyLock<io::Result<SyncSender<Order>>> = LazyLock::new(|| {
    let (orders, queue) = sync_channel::<Order>(0);
    let serve = move || {
        for (mut command, result) in queue {
            // Nobody waits for the result only if the asking thread was killed.
            let _ = result.send(command.spawn());
        }
    };
    thread::Builder::new()
        .name("nursery".to_owned())
        .spawn(serve)?;
    Ok(orders)
});

fn spawn(command: Command) -> io::Result<std::process::Child> {
    let gone = || io::Error::other("the thread that starts programs is gone");
    let orders = NURSERY
        .as_ref()
        .map_err(|error| io::Error::new(error.kind(), error.to_string()))?;
    let (sender, result) = sync_channel(1);
    orders.send((command, sender)).map_err(|_| gone())?;
    result.recv().map_err(|_| gone())?
}
