//! The canary law: what is destroyed cannot be brought back with yesterday's data and today's keys.
//!
//! An attacker has an image of the data folder from before the destruction, and everything the node
//! holds now: the keys folder, the key file, and the memory of the running vault. The controls show
//! that the same attacker succeeds with yesterday's keys, so that the search is known to find.

use super::*;
use crate::seal::Sealer;
use crate::store::{SealedStore, StoreOp};
use std::convert::Infallible;
use std::fs;

pub(super) fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    assert!(needle.len() >= 16, "a short needle proves nothing");
    haystack
        .windows(needle.len())
        .any(|window| window == needle)
}

/// Every byte in the keys folder and in the key file's folder, whatever the file is called.
pub(super) fn everything_under(folder: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let more = if path.is_dir() {
            everything_under(&path)
        } else {
            fs::read(&path).unwrap()
        };
        bytes.extend(more);
    }
    bytes
}

/// Tries each key as the KEK of the object, and directly as the key that wraps it.
fn attack(keys: &[Vec<u8>], epoch: Epoch, uid: &Uid, sealed: &[u8], commitment: &[u8; 32]) -> bool {
    keys.iter().any(|key| {
        let kek = Secret::copy_of(key);
        let sealer = Sealer {
            kek: &kek,
            epoch,
            cluster: &CLUSTER,
            uid,
        };
        let direct = provider::unwrap(&kek, &sealed[5..]);
        sealer.open(sealed, commitment).is_ok() || direct.is_ok()
    })
}

struct Yesterday {
    data: tempfile::TempDir,
    node: Node,
    kek: Vec<u8>,
    /// What stood in the keys folder and must not stand there any more.
    wrapped: Vec<Vec<u8>>,
}

fn yesterday(node: &Node, vault: &Vault, store_path: &Path) -> Yesterday {
    let data = tempfile::tempdir().unwrap();
    fs::copy(store_path, data.path().join("sealed.redb")).unwrap();
    let copy = WholeCopy::parse(&fs::read(node.keys().join("keys.a")).unwrap()).unwrap();
    let key_file = fs::read(node.key_file()).unwrap();
    let root = vault.keys.lock().root.key().expose().to_vec();
    let wrapped = vec![copy.body.ring[&1].to_vec(), copy.body.config, key_file];
    assert!(
        !contains(&everything_under(node.0.path()), &root),
        "a root is never in the clear"
    );
    let kek = vault.danger_kek(Epoch(1)).unwrap();
    Yesterday {
        data,
        node: node.image(),
        kek,
        wrapped,
    }
}

/// The objects of the test: a small and a large one that are destroyed, and one that survives.
struct Objects {
    doomed: [(Uid, Sealed); 2],
    survivor: Sealed,
}

fn fill(vault: &Vault, store: &SealedStore) -> Objects {
    let small = vault.generate(&uid(1), 256).unwrap();
    let large = vault
        .seal(&uid(2), &Secret::copy_of(&[0xCA; 5000]))
        .unwrap();
    let survivor = vault.generate(&uid(3), 256).unwrap();
    let put = |uid: Uid, sealed: &Sealed| StoreOp::Put {
        uid,
        sealed: sealed.bytes.clone(),
    };
    let ops = [
        put(uid(1), &small),
        put(uid(2), &large),
        put(uid(3), &survivor),
    ];
    store.apply(1, &ops).unwrap();
    store.flush().unwrap();
    Objects {
        doomed: [(uid(1), small), (uid(2), large)],
        survivor,
    }
}

fn destroy_and_rotate(vault: &Vault, store: &SealedStore) {
    store
        .apply(2, &[1, 2].map(|n| StoreOp::Delete { uid: uid(n) }))
        .unwrap();
    let epoch = vault.open_epoch().unwrap();
    let reseal = |uid: &Uid, old: &[u8]| Ok::<_, Infallible>(vault.reseal(uid, old).unwrap());
    while store.reseal_batch(epoch, 1, reseal).unwrap().remaining > 0 {}
    store.flush().unwrap();
    assert!(!store.epoch_counts().unwrap().contains_key(&Epoch(1)));
    let report = vault.retire_epoch(Epoch(1)).unwrap();
    assert!(report.root_renewed && report.left_behind.is_empty());
}

#[test]
fn a_destroyed_object_is_beyond_everything_the_node_holds() {
    let (node, data) = (Node::new(), tempfile::tempdir().unwrap());
    let vault = node.initialise();
    vault
        .add_slot(passphrase_slot(PASSPHRASE).for_recovery())
        .unwrap();
    vault
        .secret_put(
            "scp.backup",
            &Secret::copy_of(b"a password of the settings"),
        )
        .unwrap();
    let store_path = data.path().join("sealed.redb");
    let store = SealedStore::open(&store_path).unwrap();
    let objects = fill(&vault, &store);
    let yesterday = yesterday(&node, &vault, &store_path);

    // The controls: the needles are found now, and the attacker with today's memory succeeds.
    for needle in &yesterday.wrapped {
        assert!(contains(&everything_under(node.0.path()), needle));
    }
    let memory = vault.danger_all_keys();
    assert!(memory.contains(&yesterday.kek));
    for (uid, sealed) in &objects.doomed {
        assert!(attack(
            &memory,
            Epoch(1),
            uid,
            &sealed.bytes,
            &sealed.commitment
        ));
    }

    destroy_and_rotate(&vault, &store);

    // Neither the KEK nor its wrapped form, nor the old root's, nor the old key file, is anywhere.
    let now = everything_under(node.0.path());
    assert!(!contains(&now, &yesterday.kek));
    for needle in &yesterday.wrapped {
        assert!(!contains(&now, needle));
    }
    let memory = vault.danger_all_keys();
    assert!(!memory.contains(&yesterday.kek));

    // The attack: yesterday's data, with every key in memory and every 32 bytes on disk.
    let image = SealedStore::open(&yesterday.data.path().join("sealed.redb")).unwrap();
    let disk: Vec<Vec<u8>> = now.windows(32).map(<[u8]>::to_vec).collect();
    for (uid, sealed) in &objects.doomed {
        let old = image
            .get(uid)
            .unwrap()
            .expect("yesterday's image holds the object");
        assert_eq!(old, sealed.bytes);
        let fault = vault.open(uid, &old, &sealed.commitment).unwrap_err();
        assert_eq!(fault, OpenFault::EpochNotHeld(Epoch(1)));
        assert!(!attack(&memory, Epoch(1), uid, &old, &sealed.commitment));
        assert!(!attack(&disk, Epoch(1), uid, &old, &sealed.commitment));
    }
    after_a_restart(&node, &yesterday, &objects.survivor, &store);
}

fn after_a_restart(node: &Node, yesterday: &Yesterday, survivor: &Sealed, store: &SealedStore) {
    let vault = node.unlock();
    let sealed = store.get(&uid(3)).unwrap().unwrap();
    assert!(vault.open(&uid(3), &sealed, &survivor.commitment).is_ok());
    assert_eq!(store.get(&uid(1)).unwrap(), None);
    // Today's key file does not open a remnant of yesterday's keys folder: the root was renewed.
    let today = Credential::KeyFile(node.key_file());
    let fault = Vault::unlock(&yesterday.node.keys(), &today).unwrap_err();
    assert!(matches!(fault, UnlockFault::Refused(SlotKind::KeyFile)));
    // The control: yesterday's keys folder with yesterday's key file does open.
    assert_eq!(
        yesterday.node.unlock().danger_kek(Epoch(1)),
        Some(yesterday.kek.clone())
    );
}

/// Three members open an epoch, adopt it and retire the one before: no KEK, candidate, root or
/// private key is in any file or envelope in the clear, and none that was destroyed is anywhere.
#[test]
fn no_key_of_a_cluster_is_in_the_clear() {
    use crate::testing::{Node, cluster_of, days};
    let (founder, members) = cluster_of(2);
    founder
        .vault
        .create_local_ca("Local CA", days(0, 9))
        .unwrap();
    let nodes = [&founder, &members[0], &members[1]];
    let mut wire = Vec::new();
    let mut send = |from: &Node, to: &Node| {
        let key = to.vault.node_identity().unwrap().sealing_key;
        let keks = from.vault.export_keks(&key).unwrap();
        to.vault.import_keks(&keks).unwrap();
        let shared = from.vault.export_shared(&key).unwrap();
        to.vault.import_shared(&shared).unwrap();
        wire.extend([keks, shared].concat());
    };
    send(nodes[0], nodes[1]);
    let loser = nodes[1].vault.draw_kek(Epoch(2)).unwrap();
    let check = nodes[0].vault.draw_kek(Epoch(2)).unwrap();
    send(nodes[0], nodes[1]);
    send(nodes[1], nodes[2]);
    let losing = nodes[2].vault.ring().candidate(Epoch(2), &loser).cloned();
    let losing = losing.unwrap().key().expose().to_vec();
    let first = founder.vault.danger_kek(Epoch(1)).unwrap();
    let mut secrets: Vec<Vec<u8>> = nodes
        .iter()
        .flat_map(|n| n.vault.danger_all_keys())
        .collect();
    // The control: what is looked for are the keys that are in use.
    assert!(secrets.contains(&losing) && secrets.contains(&first));
    for node in nodes {
        node.vault.adopt_epoch(Epoch(2), &check).unwrap();
        assert!(node.vault.retire_epoch(Epoch(1)).unwrap().root_renewed);
    }
    let after: Vec<_> = nodes
        .iter()
        .flat_map(|n| n.vault.danger_all_keys())
        .collect();
    assert!(!after.contains(&losing) && !after.contains(&first));
    secrets.extend(after);
    for node in nodes {
        wire.extend(everything_under(&node.keys()));
    }
    // Public certificates and keys stand in the stored identities; only whole secrets count, and
    // their first and last halves, so that a cut one is found as well.
    for secret in secrets.iter().filter(|secret| secret.len() == 32) {
        assert!(!contains(&wire, &secret[..16]) && !contains(&wire, &secret[16..]));
    }
    for secret in secrets.iter().filter(|secret| secret.len() > 32) {
        assert!(!contains(&wire, secret));
    }
}
