//! The slot that recovery shares open: made, opened, renewed, removed, and what it leaves on disk.

use super::*;
use crate::shares::{self, Share};

/// Shares as people type them in, from the texts that they wrote down.
fn typed(texts: &[&String]) -> Credential {
    let shares: Vec<Share> = texts.iter().map(|text| text.parse().unwrap()).collect();
    Credential::Shares(shares::combine(&shares).unwrap())
}

fn slot_of(key: &Secret) -> NewSlot {
    NewSlot::new(Credential::Shares(Secret::copy_of(key.expose()))).for_recovery()
}

/// A node with a recovery slot: its vault, the shares on paper, the key that they give.
fn with_shares(node: &Node) -> (Vault, Vec<String>, Secret) {
    let vault = node.initialise();
    let (key, shares) = shares::recovery_shares().unwrap();
    vault.add_slot(slot_of(&key)).unwrap();
    let texts = shares.iter().map(Share::to_string).collect();
    (vault, texts, key)
}

#[test]
fn three_shares_unlock_when_nothing_else_does() {
    let node = Node::new();
    let (vault, texts, _) = with_shares(&node);
    let sealed = vault.generate(&uid(1), 256).unwrap();
    let slots = vault.slots();
    assert!(slots[1].kind == SlotKind::Shamir && slots[1].recovery && slots[1].supported);
    assert!(vault.slot_health().meets_policy);
    assert_eq!(vault.approved(), Standing::ApprovedAlgorithm);
    drop(vault);
    std::fs::remove_file(node.key_file()).unwrap();

    let credential = typed(&[&texts[4], &texts[0], &texts[2]]);
    let vault = Vault::unlock(&node.keys(), &credential).unwrap();
    vault
        .open(&uid(1), &sealed.bytes, &sealed.commitment)
        .unwrap();
    let held: Vec<bool> = vault.slots().iter().map(|slot| slot.held).collect();
    assert_eq!(held, [false, true]);
}

#[test]
fn shares_of_another_appliance_do_not_unlock() {
    let node = Node::new();
    let (_, others) = shares::recovery_shares().unwrap();
    let others: Vec<String> = others.iter().map(Share::to_string).collect();
    drop(with_shares(&node));
    let credential = typed(&others.iter().take(3).collect::<Vec<_>>());
    let fault = Vault::unlock(&node.keys(), &credential).unwrap_err();
    assert!(
        matches!(fault, UnlockFault::Refused(SlotKind::Shamir)),
        "{fault}"
    );
}

#[test]
fn only_a_whole_key_makes_a_slot() {
    let node = Node::new();
    let vault = node.initialise();
    for bytes in [0, 16, 33] {
        let short = Secret::init_with(bytes, |_| {});
        let fault = vault.add_slot(slot_of(&short)).unwrap_err();
        let said = format!("the key of a Shamir slot has 32 bytes; this one has {bytes}");
        assert_eq!(fault.to_string(), said);
    }
    assert_eq!(vault.slots().len(), 1);
}

/// A slot of shares that were not used in this run keeps the root; shown to the running node, they
/// take part in the next renewal, and the same shares open the new root.
#[test]
fn shares_survive_the_renewal_of_the_root() {
    let node = Node::new();
    let (vault, texts, _) = with_shares(&node);
    let credential = || typed(&[&texts[1], &texts[2], &texts[3]]);
    drop(vault);
    let vault = node.unlock();
    vault.open_epoch().unwrap();
    let report = vault.retire_epoch(Epoch(1)).unwrap();
    assert!(!report.root_renewed);
    assert_eq!(report.not_renewed[0].slot, SlotId(2));

    let root = vault.keys.lock().root.key().expose().to_vec();
    assert_eq!(vault.present(&credential()).unwrap(), SlotId(2));
    vault.open_epoch().unwrap();
    assert!(vault.retire_epoch(Epoch(2)).unwrap().root_renewed);
    assert_ne!(vault.keys.lock().root.key().expose(), root);
    drop(vault);
    let vault = Vault::unlock(&node.keys(), &credential()).unwrap();
    assert_eq!(vault.epochs(), [Epoch(3)]);
    node.unlock();

    // Split anew: the old shares are worth nothing then.
    let (key, _) = shares::recovery_shares().unwrap();
    vault.add_slot(slot_of(&key)).unwrap();
    assert!(vault.remove_slot(SlotId(2)).unwrap().is_none());
    let fault = Vault::unlock(&node.keys(), &credential()).unwrap_err();
    assert!(
        matches!(fault, UnlockFault::Refused(SlotKind::Shamir)),
        "{fault}"
    );
}

/// Neither the key nor any share is in the keys folder or in what the types show of themselves.
#[test]
fn the_keys_folder_holds_nothing_of_the_shares() {
    let node = Node::new();
    let (vault, texts, key) = with_shares(&node);
    let bytes = canary::everything_under(node.0.path());
    assert!(!canary::contains(&bytes, key.expose()));
    for text in &texts {
        let share: Share = text.parse().unwrap();
        for window in text.as_bytes().windows(16).skip(4) {
            assert!(!canary::contains(&bytes, window));
        }
        let shown = format!("{share:?}");
        assert!(shown.len() < 40 && !text.contains(&shown), "{shown}");
    }
    // The search is known to find: the key file's bytes are there in the clear.
    let key_file = std::fs::read(node.key_file()).unwrap();
    assert!(canary::contains(&bytes, &key_file));
    // The running vault holds the key, because the root may have to be wrapped anew.
    let held = vault.danger_all_keys();
    assert!(held.iter().any(|one| one == key.expose()));
}
