//! A machine that is switched on.

use crate::boot::Boot;
use crate::builder::{Builder, Options};
use crate::child::{self, Child};
use crate::fault::{self, Fault};
use crate::network::{card_name, parse_forward};
use crate::qmp::Qmp;
use crate::serial::Serial;
use crate::tpm::Tpm;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// How long QEMU may take to make its sockets; it needs 50 ms on an idle host.
const START_MAX: Duration = Duration::from_secs(30);

/// How long QEMU may take to read a saved state; it needs half a second for 100 MiB.
const RESUME_MAX: Duration = Duration::from_secs(60);

/// How long QEMU may take to end when it was asked to; it needs 50 ms.
const QUIT_MAX: Duration = Duration::from_secs(20);

/// A machine that is switched on; dropping it pulls the plug.
pub struct Machine {
    qemu: Child,
    tpm: Option<Tpm>,
    qmp: Arc<Qmp>,
    serial: Serial,
    forwards: Vec<(SocketAddr, u16)>,
    ended: Option<ExitStatus>,
    /// Deleted last: the fields above have files in it.
    work: tempfile::TempDir,
}

impl Machine {
    /// Begins to put a machine together. The name is for people, and makes the hardware addresses
    /// of its network cards.
    #[must_use]
    pub fn builder(name: &str, boot: Boot) -> Builder {
        Builder::new(name, boot)
    }

    /// The serial line.
    #[must_use]
    pub fn serial(&self) -> &Serial {
        &self.serial
    }

    /// The control connection.
    #[must_use]
    pub fn qmp(&self) -> &Qmp {
        &self.qmp
    }

    /// The folder of sockets and throw-away files; deleted with the machine.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.work.path()
    }

    /// Process id of QEMU.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.qemu.pid()
    }

    /// Process id of swtpm.
    #[must_use]
    pub fn tpm_pid(&self) -> Option<u32> {
        self.tpm.as_ref().map(Tpm::pid)
    }

    /// Where on this host TCP port `guest` is reached.
    #[must_use]
    pub fn forwarded(&self, guest: u16) -> Option<SocketAddr> {
        let found = self.forwards.iter().find(|(_, port)| *port == guest);
        found.map(|(host, _)| *host)
    }

    /// How QEMU ended; `None` while it runs.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.ended = self.ended.or_else(|| self.qemu.ended());
        self.ended
    }

    /// Waits until the guest switches the machine off.
    ///
    /// # Errors
    /// It is still on after `within`; the error has the last lines of the transcript.
    pub fn wait_end(&mut self, within: Duration) -> Result<ExitStatus, Fault> {
        if let Some(status) = self.ended {
            return Ok(status);
        }
        let status = self.qemu.wait(within).ok_or_else(|| Fault::Deadline {
            what: "end of the machine".to_owned(),
            waited: within,
            tail: fault::tail(self.serial.transcript_path()),
        })?;
        self.after_end(status);
        Ok(status)
    }

    /// Power cut: QEMU is killed without a chance to write anything more.
    pub fn power_cut(&mut self) {
        self.qemu.kill();
        if let Some(status) = self.qemu.ended() {
            self.after_end(status);
        }
    }

    /// Ends QEMU in an orderly way, which the guest learns nothing of.
    ///
    /// # Errors
    /// QEMU does not end.
    pub fn quit(&mut self) -> Result<ExitStatus, Fault> {
        // QEMU may end before its reply is read; whether it has ended is what counts.
        let _ = self.qmp.execute("quit", json!({}));
        self.wait_end(QUIT_MAX)
    }

    fn after_end(&mut self, status: ExitStatus) {
        self.ended = Some(status);
        if let Some(tpm) = &mut self.tpm {
            tpm.end();
        }
    }

    /// Presses the power button: the guest is asked to shut down (ACPI).
    ///
    /// # Errors
    /// QEMU does not answer.
    pub fn press_power(&self) -> Result<(), Fault> {
        self.tell("system_powerdown")
    }

    /// Presses the reset button.
    ///
    /// # Errors
    /// QEMU does not answer.
    pub fn reset(&self) -> Result<(), Fault> {
        self.tell("system_reset")
    }

    /// Stops the processors; the guest's time stands still.
    ///
    /// # Errors
    /// QEMU does not answer.
    pub fn stop(&self) -> Result<(), Fault> {
        self.tell("stop")
    }

    /// Lets the processors go on.
    ///
    /// # Errors
    /// QEMU does not answer.
    pub fn cont(&self) -> Result<(), Fault> {
        self.tell("cont")
    }

    /// Puts the cable of a network card in or pulls it out. Cards count from 0.
    ///
    /// # Errors
    /// There is no such card, or QEMU does not answer.
    pub fn set_link(&self, nic: usize, up: bool) -> Result<(), Fault> {
        let arguments = json!({ "name": card_name(nic), "up": up });
        self.qmp.execute("set_link", arguments)?;
        Ok(())
    }

    /// Writes a picture of the screen to a file (PNG). The machine needs [`Builder::screen`].
    ///
    /// # Errors
    /// There is no screen, or the file cannot be written.
    pub fn screendump(&self, file: &Path) -> Result<(), Fault> {
        let file = std::path::absolute(file).map_err(Fault::io("find", file))?;
        let arguments = json!({ "filename": fault::text(&file)?, "format": "png" });
        self.qmp.execute("screendump", arguments)?;
        Ok(())
    }

    /// Memory of this host that QEMU holds, in bytes.
    ///
    /// # Errors
    /// QEMU has ended.
    pub fn resident_bytes(&self) -> Result<u64, Fault> {
        let path = PathBuf::from(format!("/proc/{}/status", self.pid()));
        let status = std::fs::read_to_string(&path).map_err(Fault::io("read", &path))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        kib.map(|kib| kib * 1024)
            .ok_or_else(|| Fault::malformed("/proc/PID/status", "no VmRSS"))
    }

    /// Writes the state of the whole machine, without its disks, to a file; a machine that is put
    /// together alike goes on from there with [`Builder::resume`]. This one is stopped afterwards.
    ///
    /// # Errors
    /// The state is not written within the time.
    pub fn save(&self, file: &Path, within: Duration) -> Result<(), Fault> {
        self.stop()?;
        // The default holds back for the sake of guests that share a network.
        let fast = json!({ "max-bandwidth": i64::from(i32::MAX) });
        self.qmp.execute("migrate-set-parameters", fast)?;
        let file = std::path::absolute(file).map_err(Fault::io("find", file))?;
        let target = format!("exec:cat > {}", shell_word(fault::text(&file)?));
        self.qmp.execute("migrate", json!({ "uri": target }))?;
        self.wait_migrated("saved state", within)
    }

    fn wait_migrated(&self, what: &str, within: Duration) -> Result<(), Fault> {
        let begin = Instant::now();
        loop {
            let answer = self.qmp.execute("query-migrate", json!({}))?;
            match answer.get("status").and_then(Value::as_str) {
                Some("completed") => return Ok(()),
                Some("failed" | "cancelled") => {
                    return Err(Fault::Refused {
                        command: "migrate".to_owned(),
                        reason: answer.to_string(),
                    });
                }
                _ if begin.elapsed() < within => thread::sleep(child::LOOK_EVERY),
                _ => {
                    return Err(Fault::Deadline {
                        what: what.to_owned(),
                        waited: begin.elapsed(),
                        tail: self.qemu.said(),
                    });
                }
            }
        }
    }

    fn tell(&self, command: &str) -> Result<(), Fault> {
        self.qmp.execute(command, json!({}))?;
        Ok(())
    }

    /// Asks QEMU which ports it forwards; the free ones are known only to it.
    fn learn_forwards(&mut self) -> Result<(), Fault> {
        let answer = self.qmp.monitor("info usernet")?;
        self.forwards = answer.lines().filter_map(parse_forward).collect();
        Ok(())
    }
}

impl std::fmt::Debug for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Machine")
            .field("pid", &self.qemu.pid())
            .field("folder", &self.work.path())
            .field("forwards", &self.forwards)
            .finish_non_exhaustive()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.power_cut();
    }
}

impl Builder {
    /// Switches the machine on.
    ///
    /// # Errors
    /// A part is missing, does not fit, or a program does not start; the error has what it said.
    pub fn start(self) -> Result<Machine, Fault> {
        let work = tempfile::Builder::new()
            .prefix("machine-")
            .tempdir()
            .map_err(Fault::doing("make a temporary folder"))?;
        let folder = work.path();
        let mut options = Options(self.prepare(folder)?);
        let tpm = match &self.tpm {
            Some(state) => Some(Tpm::start(state, folder)?),
            None => None,
        };
        if let Some(tpm) = &tpm {
            options.0.extend(tpm.options()?);
        }
        let serial_socket = fault::socket(folder, "serial")?;
        let control_socket = fault::socket(folder, "control")?;
        let log = self.transcript.clone();
        let log = log.unwrap_or_else(|| folder.join("transcript"));
        options.lines(&serial_socket, &log, &control_socket)?;
        if let Some(saved) = &self.saved {
            let word = shell_word(fault::text(saved)?);
            options.pair("-incoming", format!("exec:cat {word}"));
        }
        let mut command = Command::new(crate::QEMU);
        command.args(&options.0);
        let mut qemu = Child::start(command, crate::QEMU_PACKAGE, &folder.join("said"))?;
        let connected = connect(&mut qemu, &control_socket, serial_socket, log);
        let (qmp, serial) = match connected {
            Ok(lines) => lines,
            Err(fault) => return Err(clearer(&mut qemu, fault)),
        };
        let mut machine = Machine {
            qemu,
            tpm,
            qmp,
            serial,
            forwards: Vec::new(),
            ended: None,
            work,
        };
        match self.set_going(&mut machine) {
            Ok(()) => Ok(machine),
            Err(fault) => Err(clearer(&mut machine.qemu, fault)),
        }
    }

    /// What is left to do once the lines are connected.
    fn set_going(&self, machine: &mut Machine) -> Result<(), Fault> {
        if self.saved.is_some() {
            machine.wait_migrated("machine to resume", RESUME_MAX)?;
        }
        if self.nics.iter().any(crate::network::Nic::forwards) {
            machine.learn_forwards()?;
        }
        machine.cont()
    }
}

fn connect(
    qemu: &mut Child,
    control_socket: &Path,
    serial_socket: PathBuf,
    log: PathBuf,
) -> Result<(Arc<Qmp>, Serial), Fault> {
    let qmp = Arc::new(Qmp::new(qemu.connect(control_socket, START_MAX)?)?);
    let line = qemu.connect(&serial_socket, START_MAX)?;
    let serial = Serial::new(line, serial_socket, log, Arc::clone(&qmp))?;
    Ok((qmp, serial))
}

/// How long QEMU may take to end after it has closed its sockets.
const GOING_MAX: Duration = Duration::from_secs(2);

/// The fault of a machine that did not start: that QEMU ended, and why, says more than that a
/// connection closed.
fn clearer(qemu: &mut Child, fault: Fault) -> Fault {
    if matches!(fault, Fault::Ended { .. } | Fault::Deadline { .. }) {
        return fault;
    }
    match qemu.wait(GOING_MAX) {
        Some(status) => qemu.ended_early(status, "the machine to start"),
        None => fault,
    }
}

/// A word that a shell takes as it is: QEMU has `exec:` run by one.
fn shell_word(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
