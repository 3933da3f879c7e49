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

/// A change of the keys folder.
struct Change {
    name: &'static str,
    make: fn(&Node, &Vault) -> Result<(), String>,
    /// Whether the vault is as after the change.
    is_made: fn(&Node, &Vault) -> bool,
}

fn text<E: ToString>(fault: E) -> String {
    fault.to_string()
}

const SLOTS: [Change; 4] = [
    Change {
        name: "store a secret",
        make: |_, vault| {
            vault
                .secret_put("s", &Secret::copy_of(b"new"))
                .map_err(text)
        },
        is_made: |_, vault| vault.secret_get("s").unwrap().unwrap().expose() == b"new",
    },
    Change {
        name: "add a passphrase",
        make: |_, vault| {
            vault
                .add_slot(passphrase_slot("another passphrase"))
                .map(drop)
                .map_err(text)
        },
        is_made: |_, vault| vault.slots().len() >= 4,
    },
    Change {
        name: "add a key file",
        make: |node, vault| {
            let path = node.0.path().join("second.key");
            // An attempt that failed may have left the file; the operator deletes it.
            let _ = fs::remove_file(&path);
            vault
                .add_slot(NewSlot::new(Credential::KeyFile(path)))
                .map(drop)
                .map_err(text)
        },
        is_made: |_, vault| vault.slots().len() >= 4,
    },
    Change {
        name: "remove a slot",
        make: |_, vault| match vault.remove_slot(SlotId(3)) {
            Err(ChangeFault::NoSuchSlot(_)) => vault.settle().map_err(text),
            other => other.map(drop).map_err(text),
        },
        is_made: |_, vault| vault.slots().len() == 2,
    },
];

const RING: [Change; 5] = [
    Change {
        name: "open an epoch",
        make: |_, vault| vault.open_epoch().map(drop).map_err(text),
        is_made: |_, vault| vault.epoch() >= Epoch(3),
    },
    Change {
        name: "retire an epoch",
        make: |_, vault| vault.retire_epoch(Epoch(1)).map(drop).map_err(text),
        is_made: |_, vault| vault.epochs() == [Epoch(2)],
    },
    Change {
        name: "draw a KEK",
        make: |_, vault| vault.draw_kek(Epoch(3)).map(drop).map_err(text),
        is_made: |_, vault| vault.ring().candidates().count() >= 2,
    },
    Change {
        name: "adopt an epoch",
        make: |node, vault| {
            let check = node.prepared("candidate").try_into().unwrap();
            vault.adopt_epoch(Epoch(3), &check).map_err(text)
        },
        is_made: |node, vault| {
            let check = vault.kek_check(Epoch(3)).map(Vec::from);
            check == Some(node.prepared("candidate")) && vault.ring().candidates().count() == 0
        },
    },
    Change {
        name: "import KEKs",
        make: |node, vault| {
            let envelope = node.prepared("keks");
            vault.import_keks(&envelope).map(drop).map_err(text)
        },
        is_made: |node, vault| {
            let check = node.prepared("next-candidate").try_into().unwrap();
            vault.epochs() == [1, 2, 3].map(Epoch) && vault.holds_candidate(Epoch(4), &check)
        },
    },
];

const GIVEN: [Change; 3] = [
    Change {
        name: "import the CAs",
        make: |node, vault| {
            let envelope = node.prepared("shared");
            vault.import_shared(&envelope).map_err(text)
        },
        is_made: |_, vault| vault.local_ca().is_ok() && vault.cluster_ca().is_ok(),
    },
    Change {
        name: "install a CA certificate",
        make: |node, vault| {
            let der = node.prepared("ca-certificate");
            vault
                .install_cluster_ca_certificates(vec![der])
                .map_err(text)
        },
        is_made: |node, vault| {
            let der = node.prepared("ca-certificate");
            vault
                .cluster_ca_certificates()
                .is_ok_and(|ders| ders == [der])
        },
    },
    Change {
        name: "create a cluster CA",
        make: |_, vault| match vault.create_cluster_ca("CA", crate::testing::days(0, 9)) {
            Err(crate::CaFault::ClusterCaExists) => vault.settle().map_err(text),
            other => other.map(drop).map_err(text),
        },
        is_made: |_, vault| vault.cluster_ca().is_ok(),
    },
];

impl Node {
    /// Something that the other members made for this node.
    fn prepared(&self, name: &str) -> Vec<u8> {
        fs::read(self.0.path().join("prepared").join(name)).unwrap()
    }

    fn prepare_file(&self, name: &str, bytes: &[u8]) {
        let folder = self.0.path().join("prepared");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(name), bytes).unwrap();
    }
}

/// A vault with two epochs, three slots, a secret, a candidate and an object, on a disk that works.
fn prepare(node: &Node) -> Sealed {
    let vault = node.initialise();
    vault.add_slot(passphrase_slot(PASSPHRASE)).unwrap();
    vault
        .add_slot(passphrase_slot("a third way to unlock"))
        .unwrap();
    vault.secret_put("s", &Secret::copy_of(b"old")).unwrap();
    vault.open_epoch().unwrap();
    let candidate = vault.draw_kek(Epoch(3)).unwrap();
    node.prepare_file("candidate", &candidate);
    prepare_transfers(node, &vault);
    vault.generate(&uid(1), 256).unwrap()
}

/// Another member with the same ring goes ahead and seals what it has for this node.
fn prepare_transfers(node: &Node, vault: &Vault) {
    let validity = crate::testing::days(0, 9);
    let ahead = crate::testing::Node::member(CLUSTER);
    let ahead_key = ahead.vault.node_identity().unwrap().sealing_key;
    let ring = vault.export_keks(&ahead_key).unwrap();
    ahead.vault.import_keks(&ring).unwrap();
    ahead.vault.open_epoch().unwrap();
    let candidate = ahead.vault.draw_kek(Epoch(4)).unwrap();
    node.prepare_file("next-candidate", &candidate);
    ahead.vault.create_local_ca("Local CA", validity).unwrap();
    let ca = ahead.vault.create_cluster_ca("Cluster CA", validity);
    node.prepare_file("ca-certificate", &ca.unwrap().certificate().der);
    let own_key = vault.node_identity().unwrap().sealing_key;
    node.prepare_file("keks", &ahead.vault.export_keks(&own_key).unwrap());
    node.prepare_file("shared", &ahead.vault.export_shared(&own_key).unwrap());
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

/// Checks the node, and that the change is there if the vault said so.
fn check_made(node: &Node, change: &Change, original: &Node, sealed: &Sealed, what: &str) {
    check(node, sealed, what);
    assert!(
        (change.is_made)(original, &node.unlock()),
        "{what}: acknowledged and lost"
    );
}

/// One change with one failure; gives whether the failure was reached.
fn one(change: &Change, at: usize, failure: Failure, for_good: bool) -> bool {
    let name = change.name;
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
    let outcome = (change.make)(&node, &vault);
    let reached = writes.load(Ordering::SeqCst) > at;
    // Whatever happened, existing keys are served.
    vault
        .open(&uid(1), &sealed.bytes, &sealed.commitment)
        .expect(&what);
    // First life: the machine lost power right here.
    check(&node.image(), &sealed, &what);
    if outcome.is_ok() {
        check_made(&node.image(), change, &node, &sealed, &what);
    }
    if !reached {
        outcome.expect(&what);
        return false;
    }
    if for_good {
        // A disk that stays broken refuses again, and still serves. Only a change that was in force
        // before the disk died (an old key file was the last thing to erase) may be repeated.
        let refused = (change.make)(&node, &vault).is_err();
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
    (change.make)(&node, &vault).unwrap_or_else(|fault| panic!("{what}, repeated: {fault}"));
    let health = vault.slot_health();
    assert!(!health.unsettled, "{what}");
    drop(vault);
    check_made(&node, change, &node, &sealed, &what);
    true
}

/// Every failure of every write; gives how many were reached.
fn all_of(changes: &[Change]) -> usize {
    let mut tried = 0;
    for change in changes {
        for failure in [Failure::Before, Failure::Torn, Failure::After] {
            for for_good in [false, true] {
                let mut at = 0;
                while one(change, at, failure, for_good) {
                    at += 1;
                    assert!(at < 20, "{}: no end of writes", change.name);
                }
                assert!(at >= 2, "{}: both copies are written", change.name);
                tried += at;
            }
        }
    }
    tried
}

/// Two writes for each change, and more for those that touch a key file; six ways to fail each.
#[test]
fn every_failing_write_of_every_change() {
    let tried = all_of(&SLOTS);
    assert!(tried >= 54, "only {tried} failures were reached");
}

#[test]
fn every_failing_write_of_every_change_of_the_ring() {
    // Retiring renews the root, and with it the key file: two writes more than the others.
    let tried = all_of(&RING);
    assert!(tried >= 72, "only {tried} failures were reached");
}

#[test]
fn every_failing_write_of_what_a_member_is_given() {
    let tried = all_of(&GIVEN);
    assert!(tried >= 36, "only {tried} failures were reached");
}

/// An identity that was given out is the one that the node still has after a power cut.
#[test]
fn every_failing_write_of_an_identity() {
    for failure in [Failure::Before, Failure::Torn, Failure::After] {
        for (at, for_good) in [(0, false), (1, false), (0, true), (1, true), (2, true)] {
            let what = format!("write {at} fails {failure:?}, for good: {for_good}");
            let node = Node::new();
            drop(node.initialise());
            let disk = FailingDisk {
                writes: Arc::default(),
                fails_at: Arc::new(AtomicUsize::new(at)),
                failure,
                for_good,
            };
            let disk = Box::new(disk);
            let vault = Vault::unlock_on(disk, &node.keys(), &node.credential()).unwrap();
            let first = vault.node_identity();
            assert_eq!(first.is_ok(), at == 2, "{what}");
            let second = vault.node_identity();
            let found = node.image().unlock().node_identity().expect(&what);
            for given in [first, second].into_iter().flatten() {
                assert_eq!(given, found, "{what}");
                assert_eq!(node.unlock().node_identity().expect(&what), found);
            }
        }
    }
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
