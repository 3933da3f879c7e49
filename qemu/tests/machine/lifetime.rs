//! No program of ours outlives what it was started for; no machine ends before.

use crate::SOON;
use crate::guest::{ask, bare, builder, disk_file, started};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::openpty;
use nix::sys::termios::{LocalFlags, tcgetattr};
use qemu::{Boot, Disk, Fault, Format, Kernel, Machine, Nic};
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Names the folder of the guest's disk to a process that a test starts.
const FOLDER: &str = "QEMU_TEST_FOLDER";

/// Whether a process runs. One that was killed and that nobody asks about any more does not.
fn runs(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat
        .rsplit(") ")
        .next()
        .and_then(|rest| rest.chars().next());
    !matches!(state, None | Some('Z' | 'X'))
}

fn until_gone(pid: u32) {
    let begin = Instant::now();
    while runs(pid) {
        assert!(begin.elapsed() < SOON, "process {pid} still runs");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Runs one of the ignored tests below in a process of its own.
fn process(test: &str, folder: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--ignored", "--nocapture"]);
    // What a killed process leaves behind is deleted with the folder of the test.
    command.env(FOLDER, folder).env("TMPDIR", folder);
    command.env("QEMU_ACCEL", "tcg");
    command
}

#[test]
#[ignore = "a part of killed_process_leaves_nothing_behind"]
fn holds_a_machine() {
    let folder = std::env::var_os(FOLDER).unwrap();
    let folder = Path::new(&folder);
    let machine = started(builder(folder).tpm(folder.join("tpm")));
    println!("pids {} {}", machine.pid(), machine.tpm_pid().unwrap());
    std::thread::sleep(SOON * 4);
}

#[test]
fn killed_process_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let mut holder = process("lifetime::holds_a_machine", folder.path());
    let mut holder = holder.stdout(Stdio::piped()).spawn().unwrap();
    let output = BufReader::new(holder.stdout.take().unwrap());
    let pids = output.lines().find_map(|line| {
        let line = line.unwrap();
        let pids = line.split("pids ").nth(1)?.split(' ');
        Some(pids.map(|pid| pid.parse().unwrap()).collect::<Vec<u32>>())
    });
    let pids = pids.unwrap();
    assert_eq!(pids.len(), 2);
    assert!(pids.iter().all(|&pid| runs(pid)));
    holder.kill().unwrap();
    holder.wait().unwrap();
    pids.into_iter().for_each(until_gone);
}

#[test]
fn machine_outlives_the_thread_that_started_it() {
    let folder = tempfile::tempdir().unwrap();
    let builder = builder(folder.path());
    let machine = std::thread::spawn(|| started(builder)).join().unwrap();
    assert_eq!(ask(&machine, "e here"), "here");
}

#[test]
fn dropped_machine_takes_its_tpm_and_its_files_along() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("deep/tpm");
    let machine = started(builder(folder.path()).tpm(&state));
    let (work, pids) = (
        machine.folder().to_owned(),
        [machine.pid(), machine.tpm_pid().unwrap()],
    );
    assert!(pids.into_iter().all(runs));
    assert!(machine.resident_bytes().unwrap() > 1 << 20);
    drop(machine);
    pids.into_iter().for_each(until_gone);
    assert!(!work.exists());
    assert!(
        state.join("tpm2-00.permall").exists(),
        "the TPM has kept nothing"
    );
    // A second start takes the same state.
    started(builder(folder.path()).tpm(&state));
}

#[test]
fn what_cannot_start_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let kernel = Kernel {
        kernel: "/nowhere/vmlinuz".into(),
        initrd: None,
        cmdline: String::new(),
    };
    let error = Machine::builder("none", Boot::Kernel(kernel))
        .start()
        .unwrap_err();
    assert!(error.to_string().contains("/nowhere/vmlinuz"), "{error}");
    let missing = Disk::writable(folder.path().join("missing"), Format::Raw);
    let error = bare().disk(missing).start().unwrap_err();
    assert!(error.to_string().contains("missing"), "{error}");
    let user = Nic::user;
    let error = bare()
        .nic(user())
        .nic(user())
        .nic(user())
        .start()
        .unwrap_err();
    assert!(matches!(error, Fault::Settings(_)), "{error}");
}

#[test]
#[ignore = "a part of console_is_the_terminal_until_its_key"]
fn shows_the_console() {
    let folder = std::env::var_os(FOLDER).unwrap();
    let disk = Disk::snapshot(disk_file(Path::new(&folder)), Format::Raw);
    let mut machine = bare().disk(disk).start().unwrap();
    let left = machine.interactive().unwrap();
    println!("left: {left:?}");
}

/// A process with the console on a new terminal; dropping it kills it.
struct Console {
    child: Child,
    terminal: File,
}

impl Console {
    fn open(folder: &Path) -> Self {
        let terminal = openpty(None, None).unwrap();
        let mut command = process("lifetime::shows_the_console", folder);
        let input = terminal.slave.try_clone().unwrap();
        let child = command.stdin(input).stdout(terminal.slave).spawn();
        Self {
            child: child.unwrap(),
            terminal: File::from(terminal.master),
        }
    }

    /// Reads the terminal until a text comes.
    fn read_until(&mut self, text: &str) {
        let wait = PollTimeout::try_from(SOON).unwrap();
        let (mut seen, mut byte) = (String::new(), [0]);
        while !seen.contains(text) {
            let mut ready = [PollFd::new(self.terminal.as_fd(), PollFlags::POLLIN)];
            assert_eq!(poll(&mut ready, wait), Ok(1), "no {text:?} after {seen}");
            assert_eq!(self.terminal.read(&mut byte).unwrap(), 1);
            seen.push(char::from(byte[0]));
        }
    }

    fn type_keys(&mut self, keys: &[u8]) {
        self.terminal.write_all(keys).unwrap();
    }

    fn flags(&self) -> LocalFlags {
        tcgetattr(&self.terminal).unwrap().local_flags
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        // Both fail only if the process has ended and was waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn console_is_the_terminal_until_its_key() {
    let folder = tempfile::tempdir().unwrap();
    let mut console = Console::open(folder.path());
    console.read_until("[command]: ");
    let cooked = LocalFlags::ICANON | LocalFlags::ECHO | LocalFlags::ISIG;
    assert!(
        !console.flags().intersects(cooked),
        "every key has to go to the guest"
    );
    console.type_keys(b"e typed\r");
    console.read_until("\r\ntyped\r\n");
    // The guest does not hear a BREAK while it prints.
    console.read_until("[command]: ");
    console.type_keys(b"\x01b");
    console.read_until("BREAK");
    console.type_keys(b"\x1d");
    console.read_until("left: ByKey");
    assert!(
        console.flags().contains(cooked),
        "the terminal was not put back"
    );
    assert!(console.child.wait().unwrap().success());
}

#[test]
fn console_ends_with_the_machine() {
    let folder = tempfile::tempdir().unwrap();
    let mut console = Console::open(folder.path());
    console.read_until("[command]: ");
    console.type_keys(b"o\r");
    console.read_until("left: Off");
    assert!(console.child.wait().unwrap().success());
}
