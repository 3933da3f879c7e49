//! The face of the vault: founding, unlocking, slots, epochs, secrets, and many threads.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod canary;
mod failing_disk;
mod shares;
mod transfer;

use super::*;
use crate::keys_file::KeysFileFault;
use crate::slots::{PASSPHRASE_ITERATIONS_MIN, PassphraseCost, SlotKind};
use std::path::PathBuf;

const CLUSTER: ClusterId = ClusterId::from_bytes([0xC1; 16]);
const PASSPHRASE: &str = "correct horse battery staple";

fn uid(n: u8) -> Uid {
    Uid::from_bytes([n; 16])
}

fn passphrase(text: &str) -> Credential {
    Credential::Passphrase(Secret::copy_of(text.as_bytes()))
}

fn passphrase_slot(text: &str) -> NewSlot {
    NewSlot::new(passphrase(text)).at_cost(PassphraseCost::danger_quick())
}

/// A node's folder: `keys/` and, beside it, a key file.
struct Node(tempfile::TempDir);

impl Node {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn keys(&self) -> PathBuf {
        self.0.path().join("keys")
    }

    fn key_file(&self) -> PathBuf {
        self.0.path().join("unlock.key")
    }

    fn credential(&self) -> Credential {
        Credential::KeyFile(self.key_file())
    }

    fn initialise(&self) -> Vault {
        Vault::initialise(&self.keys(), CLUSTER, NewSlot::new(self.credential())).unwrap()
    }

    fn unlock(&self) -> Vault {
        Vault::unlock(&self.keys(), &self.credential()).unwrap()
    }

    /// The node's files as they are now.
    fn image(&self) -> Self {
        let copy = Self::new();
        std::fs::create_dir(copy.keys()).unwrap();
        for name in ["keys/keys.a", "keys/keys.b", "unlock.key"] {
            let from = self.0.path().join(name);
            if from.exists() {
                std::fs::copy(from, copy.0.path().join(name)).unwrap();
            }
        }
        copy
    }
}

fn assert_send_sync<T: Send + Sync>() {}

#[test]
fn a_vault_comes_back_with_everything_in_it() {
    assert_send_sync::<Vault>();
    let node = Node::new();
    let vault = node.initialise();
    let sealed = vault.generate(&uid(1), 256).unwrap();
    let key = vault
        .open(&uid(1), &sealed.bytes, &sealed.commitment)
        .unwrap();
    assert_eq!(
        (key.len(), sealed.epoch, vault.epoch()),
        (32, Epoch(1), Epoch(1))
    );
    vault
        .secret_put("scp.backup", &Secret::copy_of(b"hunter2"))
        .unwrap();
    let log_key = vault.log_signer().unwrap().public_key();
    drop(vault);
    let vault = node.unlock();
    assert_eq!(vault.cluster(), CLUSTER);
    let again = vault
        .open(&uid(1), &sealed.bytes, &sealed.commitment)
        .unwrap();
    assert!(again.ct_eq(&key));
    assert_eq!(
        vault.secret_get("scp.backup").unwrap().unwrap().expose(),
        b"hunter2"
    );
    assert_eq!(vault.log_signer().unwrap().public_key(), log_key);
}

#[test]
fn two_vaults_share_no_key() {
    let [a, b] = [Node::new(), Node::new()].map(|node| node.initialise());
    let keys = a.danger_all_keys();
    assert!(b.danger_all_keys().iter().all(|key| !keys.contains(key)));
}

#[test]
fn founding_twice_is_refused() {
    let node = Node::new();
    node.initialise();
    let again = Vault::initialise(&node.keys(), CLUSTER, passphrase_slot(PASSPHRASE));
    assert!(matches!(again, Err(InitialiseFault::Occupied(_))));
    // A damaged folder is not an empty one.
    std::fs::write(node.keys().join("keys.a"), b"torn").unwrap();
    std::fs::write(node.keys().join("keys.b"), b"torn").unwrap();
    let again = Vault::initialise(&node.keys(), CLUSTER, passphrase_slot(PASSPHRASE));
    assert!(matches!(again, Err(InitialiseFault::Occupied(_))));
}

#[test]
fn generate_makes_whole_bytes_only() {
    let node = Node::new();
    let vault = node.initialise();
    for (bits, bytes) in [
        (8, 1),
        (112, 14),
        (128, 16),
        (256, 32),
        (4096, 512),
        (65_536, 8192),
    ] {
        let sealed = vault.generate(&uid(1), bits).unwrap();
        let key = vault
            .open(&uid(1), &sealed.bytes, &sealed.commitment)
            .unwrap();
        assert_eq!(key.len(), bytes);
    }
    for bits in [0, 1, 7, 255] {
        assert_eq!(
            vault.generate(&uid(1), bits).unwrap_err(),
            SealFault::Length { bits }
        );
    }
    let long = vault.generate(&uid(1), u32::MAX - 7).unwrap_err();
    assert!(matches!(long, SealFault::TooLong { .. }));
}

#[test]
fn credentials_that_do_not_open() {
    let node = Node::new();
    Vault::initialise(&node.keys(), CLUSTER, passphrase_slot(PASSPHRASE)).unwrap();
    let unlock = |credential| {
        Vault::unlock(&node.keys(), &credential)
            .map(drop)
            .unwrap_err()
    };
    for wrong in [
        "correct horse battery stapl",
        "correct horse battery staple ",
        "",
    ] {
        let fault = unlock(passphrase(wrong));
        assert!(
            matches!(fault, UnlockFault::Refused(SlotKind::Passphrase)),
            "{wrong:?}"
        );
    }
    let fault = unlock(Credential::KeyFile(node.key_file()));
    assert!(matches!(
        fault,
        UnlockFault::NoSlotOfKind {
            kind: SlotKind::KeyFile,
            ..
        }
    ));
    assert_eq!(
        fault.to_string(),
        "no key file slot in this vault; it has: passphrase"
    );
    let fault = Vault::unlock(node.0.path(), &passphrase(PASSPHRASE)).unwrap_err();
    assert!(matches!(
        fault,
        UnlockFault::Folder(KeysFileFault::Absent(_))
    ));
}

#[test]
fn passphrases_and_labels_that_are_refused() {
    let node = Node::new();
    let vault = node.initialise();
    let long = "x".repeat(1025);
    for bad in ["", "thirteen char", "äöüäöüäöüäöüä", &long] {
        let fault = vault.add_slot(passphrase_slot(bad)).unwrap_err();
        assert!(
            matches!(fault, ChangeFault::Slot(SlotFault::Passphrase)),
            "{bad:?}"
        );
    }
    vault.add_slot(passphrase_slot("fourteen chars")).unwrap();
    let not_text = Credential::Passphrase(Secret::copy_of(&[0xFF; 20]));
    assert!(vault.add_slot(NewSlot::new(not_text)).is_err());
    for bad in ["", "two\nlines", &"x".repeat(65)] {
        let fault = vault
            .add_slot(passphrase_slot(PASSPHRASE).labelled(bad))
            .unwrap_err();
        assert!(
            matches!(fault, ChangeFault::Slot(SlotFault::Label)),
            "{bad:?}"
        );
    }
}

#[test]
fn costs_below_the_standard_cannot_be_asked_for() {
    assert_eq!(
        PassphraseCost::iterations(PASSPHRASE_ITERATIONS_MIN - 1),
        None
    );
    let standard = PassphraseCost::iterations(PASSPHRASE_ITERATIONS_MIN);
    assert_eq!(standard, Some(PassphraseCost::STANDARD));
    assert_eq!(PassphraseCost::iterations(u32::MAX), None);
}

#[test]
fn key_files_that_are_refused() {
    let node = Node::new();
    let vault = node.initialise();
    let again = vault.add_slot(NewSlot::new(node.credential())).unwrap_err();
    assert!(matches!(
        again,
        ChangeFault::Slot(SlotFault::KeyFileExists(_))
    ));
    drop(vault);
    for len in [0, 31, 33, 63, 65, 4096] {
        std::fs::write(node.key_file(), vec![1; len]).unwrap();
        let fault = Vault::unlock(&node.keys(), &node.credential()).unwrap_err();
        assert!(
            matches!(fault, UnlockFault::Slot(SlotFault::NotAKeyFile { .. })),
            "{len}"
        );
    }
    std::fs::write(node.key_file(), [1; 32]).unwrap();
    let fault = Vault::unlock(&node.keys(), &node.credential()).unwrap_err();
    assert!(matches!(fault, UnlockFault::Refused(SlotKind::KeyFile)));
    std::fs::remove_file(node.key_file()).unwrap();
    let fault = Vault::unlock(&node.keys(), &node.credential()).unwrap_err();
    assert!(matches!(fault, UnlockFault::Refused(SlotKind::KeyFile)));
}

/// A founding that a power cut stopped between the key file and the keys can be repeated.
#[test]
fn a_founding_adopts_the_key_file_of_an_earlier_attempt() {
    let node = Node::new();
    std::fs::write(node.key_file(), [7; 32]).unwrap();
    node.initialise();
    assert_eq!(std::fs::read(node.key_file()).unwrap(), [7; 32]);
    node.unlock();
}

#[test]
fn only_the_owner_can_read_what_holds_keys() {
    use std::os::unix::fs::PermissionsExt;
    let node = Node::new();
    let vault = node.initialise();
    vault.open_epoch().unwrap();
    vault.retire_epoch(Epoch(1)).unwrap();
    let files = [
        node.keys().join("keys.a"),
        node.keys().join("keys.b"),
        node.key_file(),
    ];
    for file in files {
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", file.display());
    }
}

#[test]
fn slots_come_and_go_while_the_vault_runs() {
    let node = Node::new();
    let vault = node.initialise();
    assert!(!vault.slot_health().meets_policy);
    assert!(matches!(
        vault.remove_slot(SlotId(1)),
        Err(ChangeFault::LastSlot(SlotId(1)))
    ));
    assert!(matches!(
        vault.remove_slot(SlotId(9)),
        Err(ChangeFault::NoSuchSlot(SlotId(9)))
    ));
    let new = passphrase_slot(PASSPHRASE)
        .for_recovery()
        .labelled("envelope in the safe");
    let recovery = vault.add_slot(new).unwrap();
    let health = vault.slot_health();
    assert!(health.meets_policy && health.stale.is_empty() && !health.unsettled);
    drop(vault);
    let vault = Vault::unlock(&node.keys(), &passphrase(PASSPHRASE)).unwrap();
    let slots = vault.slots();
    assert_eq!(slots[1].label, "envelope in the safe");
    assert!(slots[1].recovery && slots[1].held && !slots[0].held);
    assert!(vault.remove_slot(SlotId(1)).unwrap().is_none());
    assert!(Vault::unlock(&node.keys(), &node.credential()).is_err());
    // Numbers are not used again.
    std::fs::remove_file(node.key_file()).unwrap();
    let next = vault.add_slot(NewSlot::new(node.credential())).unwrap();
    assert_eq!((recovery, next), (SlotId(2), SlotId(3)));
    for _ in 2..SLOTS_MAX {
        vault.add_slot(passphrase_slot(PASSPHRASE)).unwrap();
    }
    let full = vault.add_slot(passphrase_slot(PASSPHRASE));
    assert!(matches!(full, Err(ChangeFault::TooManySlots)));
    node.unlock();
}

/// The format has room for TPMs and whatever comes; they spoil no other slot.
#[test]
fn slots_of_another_version_stay_and_are_named() {
    let node = Node::new();
    let vault = node.initialise();
    for (kind, name) in [(5, "TPM 2.0"), (6, "kind 6"), (77, "kind 77")] {
        let id = vault.danger_add_foreign_slot(kind);
        let slot = vault
            .slots()
            .into_iter()
            .find(|slot| slot.id == id)
            .unwrap();
        assert_eq!(
            (slot.kind.to_string().as_str(), slot.supported),
            (name, false)
        );
        let record = SlotRecord::of_another_version(id, kind);
        let fault = record
            .open(&NodeDisk, &CLUSTER, &passphrase(PASSPHRASE))
            .err()
            .unwrap();
        let text = format!("this build cannot open a {name} slot ({id}); use another slot");
        assert_eq!(fault.to_string(), text);
    }
    // They do not count as a way in.
    assert!(matches!(
        vault.remove_slot(SlotId(1)),
        Err(ChangeFault::LastSlot(_))
    ));
    assert!(!vault.slot_health().meets_policy);
    assert_eq!(vault.approved(), Standing::NotApproved);
    drop(vault);
    let vault = node.unlock();
    assert_eq!(vault.slots().len(), 4);
    // Nor can a root be renewed in them; so it is not, and the report says which.
    vault.open_epoch().unwrap();
    let report = vault.retire_epoch(Epoch(1)).unwrap();
    assert!(!report.root_renewed);
    assert_eq!(report.not_renewed.len(), 3);
    drop(vault);
    assert_eq!(node.unlock().epochs(), [Epoch(2)]);
}

#[test]
fn an_epoch_is_opened_and_retired() {
    let node = Node::new();
    let vault = node.initialise();
    let sealed = vault.generate(&uid(1), 256).unwrap();
    let lost = vault.generate(&uid(2), 256).unwrap();
    let key = vault
        .open(&uid(1), &sealed.bytes, &sealed.commitment)
        .unwrap();
    assert!(matches!(
        vault.retire_epoch(Epoch(1)),
        Err(EpochFault::Current(_))
    ));
    assert!(matches!(
        vault.retire_epoch(Epoch(2)),
        Err(EpochFault::Unknown(_))
    ));
    assert_eq!(vault.open_epoch().unwrap(), Epoch(2));
    assert_eq!(vault.generate(&uid(3), 128).unwrap().epoch, Epoch(2));
    let moved = vault.reseal(&uid(1), &sealed.bytes).unwrap();
    let report = vault.retire_epoch(Epoch(1)).unwrap();
    assert!(report.root_renewed && report.not_renewed.is_empty() && report.left_behind.is_empty());
    // Again: it is gone already, which is what was asked for.
    assert!(!vault.retire_epoch(Epoch(1)).unwrap().root_renewed);
    for vault in [&vault, &node.unlock()] {
        assert_eq!(vault.epochs(), [Epoch(2)]);
        let again = vault.open(&uid(1), &moved, &sealed.commitment).unwrap();
        assert!(again.ct_eq(&key));
        let gone = vault
            .open(&uid(2), &lost.bytes, &lost.commitment)
            .unwrap_err();
        assert_eq!(gone, OpenFault::EpochNotHeld(Epoch(1)));
        assert!(vault.log_signer().is_ok());
    }
}

/// A recovery passphrase that was not used in this run keeps the root, and works afterwards.
#[test]
fn a_slot_is_never_broken_by_a_rotation() {
    let node = Node::new();
    let vault = node.initialise();
    vault
        .add_slot(passphrase_slot(PASSPHRASE).for_recovery())
        .unwrap();
    drop(vault);
    let vault = node.unlock();
    assert_eq!(vault.slot_health().stale, [SlotId(2)]);
    let root = vault.keys.lock().root.key().expose().to_vec();
    vault.open_epoch().unwrap();
    let report = vault.retire_epoch(Epoch(1)).unwrap();
    assert!(!report.root_renewed);
    assert_eq!(report.not_renewed[0].slot, SlotId(2));
    assert_eq!(vault.keys.lock().root.key().expose(), root);
    Vault::unlock(&node.keys(), &passphrase(PASSPHRASE)).unwrap();
    // Presented on the running node, it is part of the next renewal.
    let wrong = vault
        .present(&passphrase("not the right passphrase"))
        .unwrap_err();
    assert!(matches!(wrong, UnlockFault::Refused(SlotKind::Passphrase)));
    assert_eq!(vault.present(&passphrase(PASSPHRASE)).unwrap(), SlotId(2));
    assert!(vault.slot_health().stale.is_empty());
    vault.open_epoch().unwrap();
    assert!(vault.retire_epoch(Epoch(2)).unwrap().root_renewed);
    assert_ne!(vault.keys.lock().root.key().expose(), root);
    Vault::unlock(&node.keys(), &passphrase(PASSPHRASE)).unwrap();
    node.unlock();
}

#[test]
fn a_renewal_that_one_slot_refuses_changes_no_other() {
    let node = Node::new();
    let vault = node.initialise();
    let gone = node.0.path().join("gone");
    std::fs::create_dir(&gone).unwrap();
    vault
        .add_slot(NewSlot::new(Credential::KeyFile(gone.join("second.key"))))
        .unwrap();
    let before = std::fs::read(node.key_file()).unwrap();
    std::fs::remove_dir_all(&gone).unwrap();
    vault.open_epoch().unwrap();
    let report = vault.retire_epoch(Epoch(1)).unwrap();
    assert!(!report.root_renewed);
    assert_eq!(report.not_renewed[0].slot, SlotId(2));
    // The first slot had got its fresh bytes already; they are taken back.
    assert_eq!(std::fs::read(node.key_file()).unwrap(), before);
    assert_eq!(node.unlock().epochs(), [Epoch(2)]);
}

#[test]
fn a_node_that_comes_back_signs_with_another_key() {
    let node = Node::new();
    let vault = node.initialise();
    let old = vault.log_signer().unwrap().public_key();
    let new = vault.renew_log_key().unwrap().public_key();
    assert_ne!(old, new);
    assert_eq!(vault.log_signer().unwrap().public_key(), new);
    drop(vault);
    assert_eq!(node.unlock().log_signer().unwrap().public_key(), new);
}

#[test]
fn named_secrets_have_limits() {
    let node = Node::new();
    let vault = node.initialise();
    let secret = Secret::copy_of(b"x");
    for bad in ["", ".hidden", "a b", "a/b", &"x".repeat(65)] {
        let refused = vault.secret_put(bad, &secret);
        assert!(matches!(refused, Err(SecretFault::Name(_))), "{bad:?}");
    }
    let reserved = vault.secret_get(LOG_KEY_NAME);
    assert!(matches!(reserved, Err(SecretFault::Reserved)));
    assert!(matches!(
        vault.secret_remove(LOG_KEY_NAME),
        Err(SecretFault::Reserved)
    ));
    for len in [0, SECRET_BYTES_MAX + 1] {
        let refused = vault.secret_put("a", &Secret::init_with(len, |_| ()));
        assert!(matches!(refused, Err(SecretFault::Length(found)) if found == len));
    }
    vault
        .secret_put("a", &Secret::init_with(SECRET_BYTES_MAX, |_| ()))
        .unwrap();
    vault.secret_put("a", &secret).unwrap();
    assert_eq!(vault.secret_get("a").unwrap().unwrap().expose(), b"x");
    assert!(vault.secret_remove("a").unwrap() && !vault.secret_remove("a").unwrap());
    assert!(vault.secret_get("a").unwrap().is_none());
}

/// Wrapped keys that change places do not unwrap, even for an attacker who mends the digests.
#[test]
fn secrets_are_bound_to_their_names() {
    let node = Node::new();
    let vault = node.initialise();
    vault.secret_put("a", &Secret::copy_of(b"first")).unwrap();
    vault.secret_put("b", &Secret::copy_of(b"second")).unwrap();
    let mut keys = vault.keys.lock();
    let a = keys.body.secrets["a"].clone();
    keys.body.secrets.insert("b".into(), a);
    drop(keys);
    assert!(matches!(vault.secret_get("b"), Err(SecretFault::Damaged(name)) if name == "b"));
}

#[test]
fn many_threads_open_while_epochs_turn() {
    let node = Node::new();
    let vault = node.initialise();
    let sealed: Vec<Sealed> = (0..4)
        .map(|n| vault.generate(&uid(n), 256).unwrap())
        .collect();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for round in 0..500 {
                    let n = round % 4;
                    let uid = uid(u8::try_from(n).unwrap());
                    let Sealed {
                        bytes, commitment, ..
                    } = &sealed[n];
                    assert_eq!(vault.open(&uid, bytes, commitment).unwrap().len(), 32);
                    let moved = vault.reseal(&uid, bytes).unwrap();
                    assert_eq!(vault.open(&uid, &moved, commitment).unwrap().len(), 32);
                }
            });
        }
        for _ in 0..5 {
            vault.open_epoch().unwrap();
        }
    });
    assert_eq!(vault.epoch(), Epoch(6));
}

/// One copy damaged in any of many ways: the other opens, and heals the damaged one.
#[test]
fn one_damaged_copy_is_healed_at_unlock() {
    let node = Node::new();
    node.initialise()
        .secret_put("a", &Secret::copy_of(b"x"))
        .unwrap();
    let good = std::fs::read(node.keys().join("keys.a")).unwrap();
    for copy in ["keys.a", "keys.b"] {
        let path = node.keys().join(copy);
        let flips = (0..good.len()).step_by(97).map(|at| {
            let mut bytes = good.clone();
            bytes[at] ^= 0x10;
            Some(bytes)
        });
        let cuts = (0..good.len())
            .step_by(511)
            .map(|cut| Some(good[..cut].to_vec()));
        for damage in flips.chain(cuts).chain([None]) {
            match damage {
                Some(bytes) => std::fs::write(&path, bytes).unwrap(),
                None => std::fs::remove_file(&path).unwrap(),
            }
            let vault = node.unlock();
            assert!(vault.secret_get("a").unwrap().is_some());
            assert!(!vault.slot_health().unsettled);
            let copies = ["keys.a", "keys.b"].map(|name| std::fs::read(node.keys().join(name)));
            let [a, b] = copies.map(Result::unwrap);
            assert_eq!(a, b);
            assert_eq!(a.len(), good.len());
        }
    }
}

/// Only a node that has not received the ring may be without one.
#[test]
fn a_lost_ring_is_damage() {
    let node = Node::new();
    let vault = node.initialise();
    let mut keys = vault.keys.lock();
    let mut body = keys.body.clone();
    body.ring.clear();
    keys.commit(body, None).unwrap();
    drop(keys);
    let fault = Vault::unlock(&node.keys(), &node.credential()).unwrap_err();
    assert!(matches!(fault, UnlockFault::Damaged("ring of object KEKs")));
}

/// A candidate that an attacker with a right HMAC puts among the epochs does not unwrap there.
#[test]
fn a_candidate_cannot_pass_for_an_epoch() {
    let node = Node::new();
    let vault = node.initialise();
    vault.draw_kek(Epoch(2)).unwrap();
    let mut keys = vault.keys.lock();
    let mut body = keys.body.clone();
    let (epoch, wrapped) = body.candidates.remove(0);
    body.ring.insert(epoch, wrapped);
    keys.commit(body, None).unwrap();
    drop(keys);
    let fault = Vault::unlock(&node.keys(), &node.credential()).unwrap_err();
    assert!(matches!(fault, UnlockFault::Damaged("object KEK")));
}

#[test]
fn an_edited_folder_is_called_altered() {
    let node = Node::new();
    let vault = node.initialise();
    vault.danger_add_foreign_slot(99);
    // An attacker takes the copy of another state and mends the digest: here a slot removed.
    let mut keys = vault.keys.lock();
    let mut body = keys.body.clone();
    body.slots.pop();
    let wrong_key = Secret::copy_of(&[0; 32]);
    keys.folder.write(&body, &wrong_key).unwrap();
    drop(keys);
    let fault = Vault::unlock(&node.keys(), &node.credential()).unwrap_err();
    assert!(matches!(fault, UnlockFault::Altered));
}
