//! A PKCS#11 token as a seal slot, with SoftHSM2 in a worker process that is killed and frozen.
//!
//! Needs the Debian package `softhsm2`. Where it is absent the test says so and passes: the
//! appliance itself does not depend on it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout)]

use domain::{ClusterId, Epoch, Uid};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};
use vault::hsm::{ANSWER_TIME_MAX, Hsm, HsmFault, HsmSettings, WorkerCommand};
use vault::{
    ChangeFault, Credential, NewSlot, PassphraseCost, Sealed, Secret, SlotFault, SlotId,
    UnlockFault, Vault,
};

const MODULES: [&str; 3] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
];
const PIN: &str = "918273";
const PASSPHRASE: &str = "correct horse battery staple";
const CLUSTER: ClusterId = ClusterId::from_bytes([0xC1; 16]);
const UID: Uid = Uid::from_bytes([1; 16]);

/// A reader with tokens of its own.
struct Reader {
    folder: tempfile::TempDir,
    module: PathBuf,
}

impl Reader {
    fn new() -> Option<Self> {
        let module = MODULES.iter().map(PathBuf::from).find(|path| path.exists());
        let Some(module) = module else {
            println!("softhsm2 is not installed (apt-get install softhsm2): nothing was tested");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let tokens = folder.path().join("tokens");
        std::fs::create_dir(&tokens).unwrap();
        let text = format!(
            "directories.tokendir = {}\nobjectstore.backend = file\n",
            tokens.display()
        );
        std::fs::write(folder.path().join("softhsm2.conf"), text).unwrap();
        Some(Self { folder, module })
    }

    fn conf(&self) -> PathBuf {
        self.folder.path().join("softhsm2.conf")
    }

    fn softhsm2_util(&self, arguments: &[&str]) -> String {
        let output = Command::new("softhsm2-util")
            .args(arguments)
            .env("SOFTHSM2_CONF", self.conf())
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Makes a token and gives its serial number.
    fn token(&self, label: &str) -> String {
        let made = [
            "--init-token",
            "--free",
            "--label",
            label,
            "--so-pin",
            "12345678",
            "--pin",
            PIN,
        ];
        self.softhsm2_util(&made);
        let slots = self.softhsm2_util(&["--show-slots"]);
        let value = |line: &str| line.split_once(':').unwrap().1.trim().to_owned();
        let mut serial = String::new();
        for line in slots.lines() {
            if line.trim_start().starts_with("Serial number") {
                serial = value(line);
            }
            if line.trim_start().starts_with("Label") && value(line) == label {
                return serial;
            }
        }
        panic!("no token {label} in {slots}");
    }

    fn hsm(&self, serial: &str) -> Arc<Hsm> {
        self.hsm_with(serial, PIN, ANSWER_TIME_MAX)
    }

    fn hsm_with(&self, serial: &str, pin: &str, answer_time_max: Duration) -> Arc<Hsm> {
        Arc::new(Hsm::new(HsmSettings {
            module: self.module.clone(),
            token_serial: serial.to_owned(),
            pin: Secret::copy_of(pin.as_bytes()),
            worker: WorkerCommand {
                program: env!("CARGO_BIN_EXE_hsm_worker").into(),
                arguments: Vec::new(),
                environment: vec![("SOFTHSM2_CONF".into(), self.conf().into())],
            },
            answer_time_max,
        }))
    }

    /// Number of files in which the token keeps objects (SoftHSM stores one file per object).
    fn objects(&self) -> usize {
        fn count(folder: &Path) -> usize {
            let entries = std::fs::read_dir(folder)
                .unwrap()
                .map(|entry| entry.unwrap().path());
            entries
                .map(|path| match path.is_dir() {
                    true => count(&path),
                    false => usize::from(
                        path.extension().is_some_and(|ext| ext == "object")
                            && path.file_name().is_some_and(|name| name != "token.object"),
                    ),
                })
                .sum()
        }
        count(&self.folder.path().join("tokens"))
    }
}

fn passphrase_slot() -> NewSlot {
    NewSlot::new(passphrase())
        .at_cost(PassphraseCost::danger_quick())
        .for_recovery()
}

fn passphrase() -> Credential {
    Credential::Passphrase(Secret::copy_of(PASSPHRASE.as_bytes()))
}

fn signal(name: &str, pid: u32) {
    let status = Command::new("kill")
        .args([name, &pid.to_string()])
        .status()
        .unwrap();
    assert!(status.success());
}

fn opens(vault: &Vault, sealed: &Sealed) {
    let key = vault.open(&UID, &sealed.bytes, &sealed.commitment).unwrap();
    assert_eq!(key.len(), 32);
}

#[test]
fn a_token_is_enrolled_unlocks_and_is_left_again() {
    let Some(reader) = Reader::new() else { return };
    let serial = reader.token("node-1");
    let folder = tempfile::tempdir().unwrap();
    let slot = NewSlot::new(Credential::Pkcs11(reader.hsm(&serial))).labelled("token of node 1");
    let vault = Vault::initialise(folder.path(), CLUSTER, slot).unwrap();
    let sealed = vault.generate(&UID, 256).unwrap();
    drop(vault);

    let hsm = reader.hsm(&serial);
    let vault = Vault::unlock(folder.path(), &Credential::Pkcs11(hsm.clone())).unwrap();
    opens(&vault, &sealed);
    assert_eq!(reader.objects(), 1);

    // A renewed root gets a fresh key in the token, and the old one is destroyed there.
    vault.open_epoch().unwrap();
    let moved = vault.reseal(&UID, &sealed.bytes).unwrap();
    let moved = Sealed {
        bytes: moved,
        ..sealed
    };
    let report = vault.retire_epoch(Epoch(1)).unwrap();
    assert!(
        report.root_renewed && report.left_behind.is_empty(),
        "{report:?}"
    );
    assert_eq!(reader.objects(), 1);
    let again = Vault::unlock(folder.path(), &Credential::Pkcs11(reader.hsm(&serial))).unwrap();
    opens(&again, &moved);
    drop(again);

    // Leaving the token: another slot first, then the token's own; its key is destroyed.
    assert!(matches!(
        vault.remove_slot(SlotId(1)),
        Err(ChangeFault::LastSlot(_))
    ));
    vault.add_slot(passphrase_slot()).unwrap();
    assert!(vault.remove_slot(SlotId(1)).unwrap().is_none());
    assert_eq!(reader.objects(), 0);
    drop((vault, hsm));
    let vault = Vault::unlock(folder.path(), &passphrase()).unwrap();
    opens(&vault, &moved);
    let gone = Vault::unlock(folder.path(), &Credential::Pkcs11(reader.hsm(&serial)));
    assert!(matches!(gone, Err(UnlockFault::NoSlotOfKind { .. })));
}

#[test]
fn a_worker_that_is_killed_or_hangs_costs_one_call() {
    let Some(reader) = Reader::new() else { return };
    let serial = reader.token("node-1");
    let folder = tempfile::tempdir().unwrap();
    let vault = Vault::initialise(folder.path(), CLUSTER, passphrase_slot()).unwrap();
    let sealed = vault.generate(&UID, 256).unwrap();
    let deadline = Duration::from_secs(2);
    let hsm = reader.hsm_with(&serial, PIN, deadline);
    let slot = || NewSlot::new(Credential::Pkcs11(hsm.clone()));
    let first = vault.add_slot(slot()).unwrap();

    // Killed in the middle of an operation: frozen, so that the call is under way, then killed.
    let pid = hsm.worker_pid().unwrap();
    signal("-STOP", pid);
    std::thread::scope(|scope| {
        let call = scope.spawn(|| vault.add_slot(slot()));
        std::thread::sleep(Duration::from_millis(300));
        assert!(!call.is_finished(), "the call is not under way");
        // Meanwhile the vault serves.
        opens(&vault, &sealed);
        signal("-KILL", pid);
        let fault = call.join().unwrap().unwrap_err();
        let died = matches!(
            fault,
            ChangeFault::Slot(SlotFault::Hsm(HsmFault::WorkerDied))
        );
        assert!(died, "{fault}");
    });
    assert!(hsm.worker_pid().is_none());
    // The next call works, in a new process.
    let second = vault.add_slot(slot()).unwrap();
    let restarted = hsm.worker_pid().unwrap();
    assert_ne!(restarted, pid);

    // Killed between two calls: nobody notices.
    signal("-KILL", restarted);
    std::thread::sleep(Duration::from_millis(100));
    vault.remove_slot(second).unwrap();

    // Hung: the call ends at its deadline and takes the process with it.
    signal("-STOP", hsm.worker_pid().unwrap());
    let began = Instant::now();
    let fault = vault.add_slot(slot()).unwrap_err();
    let late = matches!(
        fault,
        ChangeFault::Slot(SlotFault::Hsm(HsmFault::Deadline(_)))
    );
    assert!(late, "{fault}");
    assert!(began.elapsed() >= deadline && began.elapsed() < 3 * deadline);
    opens(&vault, &sealed);
    let again = Vault::unlock(folder.path(), &Credential::Pkcs11(hsm.clone())).unwrap();
    opens(&again, &sealed);

    // Gone while a root is to be renewed: the epoch is retired all the same, the slot still works.
    let pid = hsm.worker_pid().unwrap();
    std::fs::rename(reader.conf(), reader.folder.path().join("away")).unwrap();
    signal("-KILL", pid);
    std::thread::sleep(Duration::from_millis(100));
    vault.open_epoch().unwrap();
    let report = vault.retire_epoch(Epoch(1)).unwrap();
    assert!(!report.root_renewed);
    assert_eq!(report.not_renewed[0].slot, first);
    std::fs::rename(reader.folder.path().join("away"), reader.conf()).unwrap();
    Vault::unlock(folder.path(), &Credential::Pkcs11(hsm)).unwrap();
    Vault::unlock(folder.path(), &passphrase()).unwrap();
}

#[test]
fn another_token_is_refused() {
    let Some(reader) = Reader::new() else { return };
    let (right, other) = (reader.token("right"), reader.token("other"));
    let folder = tempfile::tempdir().unwrap();
    let slot = NewSlot::new(Credential::Pkcs11(reader.hsm(&right)));
    Vault::initialise(folder.path(), CLUSTER, slot).unwrap();
    let unlock = |serial: &str| {
        let credential = Credential::Pkcs11(reader.hsm(serial));
        Vault::unlock(folder.path(), &credential).unwrap_err()
    };
    // Present, but not the one the slot was made with.
    let fault = unlock(&other);
    assert!(
        matches!(fault, UnlockFault::Slot(SlotFault::WrongToken { .. })),
        "{fault}"
    );
    // In the settings, but not in the reader.
    let absent = reader.hsm("0000000000000000");
    let elsewhere = tempfile::tempdir().unwrap();
    let slot = NewSlot::new(Credential::Pkcs11(absent));
    let fault = Vault::initialise(elsewhere.path(), CLUSTER, slot)
        .unwrap_err()
        .to_string();
    assert!(
        fault.contains("0000000000000000") && fault.contains(&right),
        "{fault}"
    );
}

#[test]
fn a_wrong_pin_is_tried_once() {
    let Some(reader) = Reader::new() else { return };
    let serial = reader.token("node-1");
    let folder = tempfile::tempdir().unwrap();
    let vault = Vault::initialise(folder.path(), CLUSTER, passphrase_slot()).unwrap();
    let wrong = reader.hsm_with(&serial, "000000", ANSWER_TIME_MAX);
    for _ in 0..3 {
        let fault = vault
            .add_slot(NewSlot::new(Credential::Pkcs11(wrong.clone())))
            .unwrap_err();
        let refused = matches!(
            fault,
            ChangeFault::Slot(SlotFault::Hsm(HsmFault::PinRefused))
        );
        assert!(refused, "{fault}");
        // No process was started for the second and third try.
        assert!(wrong.worker_pid().is_none());
    }
    vault
        .add_slot(NewSlot::new(Credential::Pkcs11(reader.hsm(&serial))))
        .unwrap();
}

#[test]
fn a_library_or_a_worker_that_is_not_there_is_a_fault_with_a_name() {
    let folder = tempfile::tempdir().unwrap();
    let settings = |program: PathBuf| HsmSettings {
        module: "/nonexistent/pkcs11.so".into(),
        token_serial: "1".into(),
        pin: Secret::copy_of(b"1234"),
        worker: WorkerCommand {
            program,
            arguments: Vec::new(),
            environment: Vec::new(),
        },
        answer_time_max: ANSWER_TIME_MAX,
    };
    let fault = |program: &str| {
        let hsm = Arc::new(Hsm::new(settings(program.into())));
        let slot = NewSlot::new(Credential::Pkcs11(hsm));
        Vault::initialise(folder.path(), CLUSTER, slot)
            .unwrap_err()
            .to_string()
    };
    assert!(fault(env!("CARGO_BIN_EXE_hsm_worker")).contains("could not be loaded"));
    assert!(fault("/nonexistent/worker").contains("could not be started"));
    // A program that is no worker: it ends, or answers nonsense.
    assert!(fault("/bin/true").contains("died"));
    assert!(fault("/bin/echo").contains("died"));
    // Nothing was founded by the failures.
    Vault::initialise(folder.path(), CLUSTER, passphrase_slot()).unwrap();
}
