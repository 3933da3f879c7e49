//! A TPM 2.0 by software (swtpm), started and ended with the machine.

use crate::child::Child;
use crate::fault::{self, Fault};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// How long swtpm may take to make its socket; it needs 20 ms.
const START_MAX: Duration = Duration::from_secs(20);

/// How long swtpm may take to end after its machine; it needs 10 ms.
const END_MAX: Duration = Duration::from_secs(5);

/// A running swtpm.
pub(crate) struct Tpm {
    child: Child,
    socket: PathBuf,
}

impl Tpm {
    /// Starts swtpm with its state in a folder, which is made if it is not there.
    pub(crate) fn start(state: &Path, work: &Path) -> Result<Self, Fault> {
        fs::create_dir_all(state).map_err(Fault::io("make folder", state))?;
        // swtpm answers CMD_INIT with error 9 when the path of its state is relative.
        let state = state.canonicalize().map_err(Fault::io("find", state))?;
        let socket = fault::socket(work, "tpm")?;
        let mut command = Command::new("swtpm");
        command.args(["socket", "--tpm2", "--terminate", "--tpmstate"]);
        command.arg(format!("dir={}", fault::text(&state)?));
        command.arg("--ctrl");
        command.arg(format!("type=unixio,path={}", fault::text(&socket)?));
        let mut child = Child::start(command, "swtpm", &work.join("swtpm.said"))?;
        // Connecting would use up the one connection that swtpm serves: look for the file only.
        let deadline = Instant::now() + START_MAX;
        while !socket.exists() {
            if let Some(status) = child.ended() {
                return Err(child.ended_early(status, "its socket"));
            }
            if Instant::now() >= deadline {
                return Err(Fault::Deadline {
                    what: "socket of swtpm".to_owned(),
                    waited: START_MAX,
                    tail: child.said(),
                });
            }
            std::thread::sleep(crate::child::LOOK_EVERY);
        }
        Ok(Self { child, socket })
    }

    /// QEMU's options.
    pub(crate) fn options(&self) -> Result<Vec<String>, Fault> {
        let path = fault::text(&self.socket)?.replace(',', ",,");
        Ok(vec![
            "-chardev".to_owned(),
            format!("socket,id=tpm-line,path={path}"),
            "-tpmdev".to_owned(),
            "emulator,id=tpm0,chardev=tpm-line".to_owned(),
            "-device".to_owned(),
            "tpm-crb,tpmdev=tpm0".to_owned(),
        ])
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// Waits for its end, which comes by itself when QEMU hangs up; kills it if it stays.
    pub(crate) fn end(&mut self) {
        if self.child.wait(END_MAX).is_none() {
            self.child.kill();
        }
    }
}
