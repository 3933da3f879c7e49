//! A disk that fails at the n-th write, for every n, in every change of the keys folder.
//!
//! After each failure two lives are tried: the program goes on and repeats the change, and the
//! machine loses power and starts again from what is on the disk. In both, the vault unlocks with
//! its key file and its passphrase, and is either as before the change or as after it.

use super::*;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{fs, io};

/// How the n-th write fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    /// Nothing reaches the disk.
    Before,
    /// The first half does.
    Torn,
    /// Everything does, but the program is told otherwise.
    After,
}

struct FailingDisk {
    writes: Arc<AtomicUsize>,
    fails_at: Arc<AtomicUsize>,
    failure: Failure,
    /// Whether every later write fails as well: the disk is gone, or the machine.
    for_good: bool,
}

impl FailingDisk {
    fn write(&self, path: &Path, bytes: &[u8], in_place: bool) -> io::Result<()> {
        let write = self.writes.fetch_add(1, Ordering::SeqCst);
        let fails_at = self.fails_at.load(Ordering::SeqCst);
        if write < fails_at || (write > fails_at && !self.for_good) {
            return fs::write(path, bytes);
        }
        if write == fails_at {
            match self.failure {
                Failure::Before => {}
                Failure::After => fs::write(path, bytes)?,
                // A replacement is a rename: there is no half of it.
                Failure::Torn if !in_place => {}
                Failure::Torn => {
                    let mut torn = fs::read(path).unwrap_or_default();
                    torn.resize(torn.len().max(bytes.len()), 0);
                    torn[..bytes.len() / 2].copy_from_slice(&bytes[..bytes.len() / 2]);
                    fs::write(path, torn)?;
                }
            }
        }
        Err(io::Error::other("the disk of this test fails"))
    }
}

impl Disk for FailingDisk {
    fn read(&self, path: &Path, limit: u64) -> io::Result<Option<Vec<u8>>> {
        NodeDisk.read(path, limit)
    }

    fn overwrite(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.write(path, bytes, true)
    }

    fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.write(path, bytes, false)
    }
}

type Change = fn(&Node, &Vault) -> Result<(), String>;

fn text<E: ToString>(fault: E) -> String {
    fault.to_string()
}

const CHANGES: [(&str, Change); 6] = [
    ("store a secret", |_, vault| {
        vault
            .secret_put("s", &Secret::copy_of(b"new"))
            .map_err(text)
    }),
    ("add a passphrase", |_, vault| {
        vault
            .add_slot(passphrase_slot("another passphrase"))
            .map(drop)
            .map_err(text)
    }),
    ("add a key file", |node, vault| {
        let path = node.0.path().join("second.key");
        // An attempt that failed may have left the file; the operator deletes it.
        let _ = fs::remove_file(&path);
        vault
            .add_slot(NewSlot::new(Credential::KeyFile(path)))
            .map(drop)
            .map_err(text)
    }),
    ("remove a slot", |_, vault| {
        match vault.remove_slot(SlotId(3)) {
            Err(ChangeFault::NoSuchSlot(_)) => vault.settle().map_err(text),
            other => other.map(drop).map_err(text),
        }
    }),
    ("open an epoch", |_, vault| {
        vault.open_epoch().map(drop).map_err(text)
    }),
    ("retire an epoch", |_, vault| {
        vault.retire_epoch(Epoch(1)).map(drop).map_err(text)
    }),
];

/// A vault with two epochs, three slots, a secret and an object, on a disk that works.
fn prepare(node: &Node) -> Sealed {
    let vault = node.initialise();
    vault.add_slot(passphrase_slot(PASSPHRASE)).unwrap();
    vault
        .add_slot(passphrase_slot("a third way to unlock"))
        .unwrap();
    vault.secret_put("s", &Secret::copy_of(b"old")).unwrap();
    vault.open_epoch().unwrap();
    vault.generate(&uid(1), 256).unwrap()
}

fn check(node: &Node, sealed: &Sealed, what: &str) {
    for credential in [node.credential(), passphrase(PASSPHRASE)] {
        let vault = Vault::unlock(&node.keys(), &credential)
            .unwrap_or_else(|fault| panic!("{what}: {fault}"));
        vault
            .open(&uid(1), &sealed.bytes, &sealed.commitment)
            .expect(what);
        let secret = vault.secret_get("s").unwrap().unwrap();
        assert!([&b"old"[..], b"new"].contains(&secret.expose()), "{what}");
        vault.log_signer().expect(what);
        assert!(!vault.slot_health().unsettled, "{what}");
        let [a, b] = ["keys.a", "keys.b"].map(|name| fs::read(node.keys().join(name)).unwrap());
        assert_eq!(a, b, "{what}: not healed");
    }
    assert_eq!(
        fs::read(node.key_file()).unwrap().len(),
        32,
        "{what}: key file not tidied"
    );
}

/// Unlocks on a failing disk all three slots, so that the root can be renewed in them.
fn unlock_on(disk: FailingDisk, node: &Node) -> Vault {
    let vault = Vault::unlock_on(Box::new(disk), &node.keys(), &node.credential()).unwrap();
    vault.present(&passphrase(PASSPHRASE)).unwrap();
    vault.present(&passphrase("a third way to unlock")).unwrap();
    vault
}

/// One change with one failure; gives whether the failure was reached.
fn one(name: &str, change: Change, at: usize, failure: Failure, for_good: bool) -> bool {
    let what = format!("{name}, write {at} fails {failure:?}, for good: {for_good}");
    let node = Node::new();
    let sealed = prepare(&node);
    let writes = Arc::new(AtomicUsize::new(0));
    let fails_at = Arc::new(AtomicUsize::new(at));
    let disk = FailingDisk {
        writes: writes.clone(),
        fails_at: fails_at.clone(),
        failure,
        for_good,
    };
    let vault = unlock_on(disk, &node);
    let outcome = change(&node, &vault);
    let reached = writes.load(Ordering::SeqCst) > at;
    // Whatever happened, existing keys are served.
    vault
        .open(&uid(1), &sealed.bytes, &sealed.commitment)
        .expect(&what);
    // First life: the machine lost power right here.
    check(&node.image(), &sealed, &what);
    if !reached {
        outcome.expect(&what);
        return false;
    }
    if for_good {
        // A disk that stays broken refuses again, and still serves. Only a change that was in force
        // before the disk died (an old key file was the last thing to erase) may be repeated.
        let refused = change(&node, &vault).is_err();
        assert!(
            refused || outcome.is_ok(),
            "{what}: a dead disk cannot take a change"
        );
        vault
            .open(&uid(1), &sealed.bytes, &sealed.commitment)
            .expect(&what);
        check(&node.image(), &sealed, &what);
        return true;
    }
    // Second life: the disk works again, and the change is repeated.
    change(&node, &vault).unwrap_or_else(|fault| panic!("{what}, repeated: {fault}"));
    let health = vault.slot_health();
    assert!(!health.unsettled, "{what}");
    drop(vault);
    check(&node, &sealed, &what);
    true
}

#[test]
fn every_failing_write_of_every_change() {
    let mut tried = 0;
    for (name, change) in CHANGES {
        for failure in [Failure::Before, Failure::Torn, Failure::After] {
            for for_good in [false, true] {
                let mut at = 0;
                while one(name, change, at, failure, for_good) {
                    at += 1;
                    assert!(at < 20, "{name}: no end of writes");
                }
                assert!(at >= 2, "{name}: both copies are written");
                tried += at;
            }
        }
    }
    // Two writes for each of six changes, three more for those that touch a key file.
    assert!(tried >= 90, "only {tried} failures were reached");
}

/// Founding: either there is a vault afterwards, or founding again makes one.
#[test]
fn every_failing_write_of_a_founding() {
    for failure in [Failure::Before, Failure::Torn, Failure::After] {
        for at in 0..3 {
            let node = Node::new();
            fs::create_dir(node.keys()).unwrap();
            let disk = FailingDisk {
                writes: Arc::default(),
                fails_at: Arc::new(AtomicUsize::new(at)),
                failure,
                for_good: true,
            };
            let slot = NewSlot::new(node.credential());
            let ring = Ring::found(CLUSTER).unwrap();
            let fault = Vault::initialise_on(Box::new(disk), &node.keys(), ring, slot);
            assert!(fault.is_err(), "write {at} {failure:?}");
            match Vault::unlock(&node.keys(), &node.credential()) {
                Ok(vault) => assert!(vault.log_signer().is_ok()),
                Err(UnlockFault::Folder(KeysFileFault::Absent(_))) => drop(node.initialise()),
                Err(fault) => panic!("write {at} {failure:?}: {fault}"),
            }
            node.unlock();
        }
    }
}
