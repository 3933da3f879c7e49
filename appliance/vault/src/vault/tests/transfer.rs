//! Two and three vaults that hand each other the ring, candidates and the CAs.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use super::uid;
use crate::envelope::{EnvelopeFault, EnvelopePurpose};
use crate::ring::CANDIDATES_MAX;
use crate::testing::{CLUSTER, Node, cluster_of, days};
use crate::{CaFault, EpochFault, OpenFault, SealFault, Secret, TransferFault, check_spki};
use domain::{ClusterId, Epoch};

const STRANGE: ClusterId = ClusterId::from_bytes([0x0F; 16]);

fn sealing_key(node: &Node) -> Vec<u8> {
    node.vault.node_identity().unwrap().sealing_key
}

#[test]
fn a_member_without_a_ring_refuses_and_serves_after_the_import() {
    let (founder, member) = (Node::founder(CLUSTER), Node::member(CLUSTER));
    let sealed = founder.vault.generate(&uid(1), 256).unwrap();
    let member = member.restarted();
    let vault = &member.vault;
    assert_eq!((vault.epoch(), vault.epochs()), (Epoch(0), vec![]));
    let fault = vault
        .open(&uid(1), &sealed.bytes, &sealed.commitment)
        .unwrap_err();
    assert_eq!(fault, OpenFault::EpochNotHeld(Epoch(1)));
    let fault = vault.reseal(&uid(1), &sealed.bytes).unwrap_err();
    assert_eq!(fault, OpenFault::EpochNotHeld(Epoch(1)));
    assert_eq!(vault.generate(&uid(2), 256), Err(SealFault::NoRing));
    assert!(matches!(vault.open_epoch(), Err(EpochFault::NoRing)));
    assert!(matches!(vault.draw_kek(Epoch(1)), Err(EpochFault::NoRing)));
    let fault = vault.retire_epoch(Epoch(1)).unwrap_err();
    assert!(matches!(fault, EpochFault::Unknown(_)));
    let fault = vault.export_keks(&sealing_key(&founder)).unwrap_err();
    assert!(matches!(
        fault,
        TransferFault::NothingHeld(EnvelopePurpose::Keks)
    ));
    // Its own log key and secrets work all the same: a witness lives like this.
    assert_ne!(
        vault.log_signer().unwrap().public_key(),
        founder.vault.log_signer().unwrap().public_key()
    );
    vault.secret_put("a", &Secret::copy_of(b"x")).unwrap();

    assert_eq!(founder.hand_keks_to(&member), [Epoch(1)]);
    for member in [&member.vault, &member_again(&member)] {
        let key = member.open(&uid(1), &sealed.bytes, &sealed.commitment);
        let own = founder
            .vault
            .open(&uid(1), &sealed.bytes, &sealed.commitment);
        assert!(key.unwrap().ct_eq(&own.unwrap()));
    }
    // The same again is nothing new.
    assert_eq!(founder.hand_keks_to(&member), []);
}

fn member_again(node: &Node) -> crate::Vault {
    crate::Vault::unlock(&node.keys(), &node.credential()).unwrap()
}

/// Law 6 in small: what two nodes re-seal is the same bytes.
#[test]
fn members_reseal_to_the_same_bytes() {
    let [a, b, c] = three();
    let sealed = a.vault.generate(&uid(1), 256).unwrap();
    let check = a.vault.draw_kek(Epoch(2)).unwrap();
    a.hand_keks_to(&b);
    b.hand_keks_to(&c);
    let moved: Vec<Vec<u8>> = [&a, &b, &c]
        .into_iter()
        .map(|node| {
            node.vault.adopt_epoch(Epoch(2), &check).unwrap();
            node.vault.reseal(&uid(1), &sealed.bytes).unwrap()
        })
        .collect();
    assert!(moved[0] == moved[1] && moved[1] == moved[2]);
    assert_ne!(moved[0], sealed.bytes);
}

/// Three members with the founder's ring.
fn three() -> [Node; 3] {
    let a = Node::founder(CLUSTER);
    let [b, c] = [Node::member(CLUSTER), Node::member(CLUSTER)];
    a.hand_keks_to(&b);
    a.hand_keks_to(&c);
    [a, b, c]
}

#[test]
fn an_epoch_is_opened_by_three() {
    let [a, b, c] = three();
    let nodes = [&a, &b, &c];
    // Two nodes draw at the same time; the log will choose the second.
    let loser = a.vault.draw_kek(Epoch(2)).unwrap();
    let check = b.vault.draw_kek(Epoch(2)).unwrap();
    assert_ne!(loser, check);
    assert!(a.vault.holds_candidate(Epoch(2), &loser));
    assert!(!a.vault.holds_candidate(Epoch(2), &check));
    assert!(!a.vault.holds_candidate(Epoch(3), &loser));
    a.hand_keks_to(&b);
    b.hand_keks_to(&a);
    // A candidate seals nothing and is no epoch.
    for node in [&a, &b] {
        assert_eq!(node.vault.epochs(), [Epoch(1)]);
        assert_eq!(node.vault.epoch(), Epoch(1));
        assert_eq!(node.vault.kek_check(Epoch(2)), None);
        assert!(node.vault.holds_candidate(Epoch(2), &loser));
        assert!(node.vault.holds_candidate(Epoch(2), &check));
    }
    // The third was away: it learns of the choice before it has the candidate.
    let fault = c.vault.adopt_epoch(Epoch(2), &check).unwrap_err();
    assert!(matches!(fault, EpochFault::NoCandidate(Epoch(2))));
    for node in [&a, &b] {
        node.vault.adopt_epoch(Epoch(2), &check).unwrap();
        node.vault.adopt_epoch(Epoch(2), &check).unwrap();
        let other = node.vault.adopt_epoch(Epoch(2), &loser).unwrap_err();
        assert!(matches!(other, EpochFault::Conflict(Epoch(2))));
        assert!(!node.vault.holds_candidate(Epoch(2), &loser));
        assert!(!node.vault.holds_candidate(Epoch(2), &check));
    }
    assert_eq!(b.hand_keks_to(&c), [Epoch(2)]);
    c.vault.adopt_epoch(Epoch(2), &check).unwrap();
    for node in nodes {
        assert_eq!(node.vault.kek_check(Epoch(2)), Some(check));
        assert_eq!(node.vault.kek_check(Epoch(1)), a.vault.kek_check(Epoch(1)));
        assert_eq!(node.vault.generate(&uid(9), 128).unwrap().epoch, Epoch(2));
    }
    let sealed = a.vault.generate(&uid(1), 256).unwrap();
    for node in [a, b, c].map(Node::restarted) {
        assert_eq!(node.vault.kek_check(Epoch(2)), Some(check));
        node.vault
            .open(&uid(1), &sealed.bytes, &sealed.commitment)
            .unwrap();
    }
}

#[test]
fn candidates_survive_a_restart_and_a_renewed_root() {
    let a = Node::founder(CLUSTER);
    a.vault.open_epoch().unwrap();
    let first = a.vault.draw_kek(Epoch(3)).unwrap();
    let second = a.vault.draw_kek(Epoch(3)).unwrap();
    assert!(a.vault.retire_epoch(Epoch(1)).unwrap().root_renewed);
    let a = a.restarted();
    assert!(a.vault.holds_candidate(Epoch(3), &first));
    a.vault.adopt_epoch(Epoch(3), &second).unwrap();
    let a = a.restarted();
    assert_eq!(a.vault.epochs(), [Epoch(2), Epoch(3)]);
    assert!(!a.vault.holds_candidate(Epoch(3), &first));
}

#[test]
fn a_kek_is_drawn_for_the_next_epoch_only() {
    let a = Node::founder(CLUSTER);
    for asked in [0, 1, 3, u32::MAX].map(Epoch) {
        let fault = a.vault.draw_kek(asked).unwrap_err();
        assert!(matches!(fault, EpochFault::NotNext { next, .. } if next == Epoch(2)));
    }
    a.vault.draw_kek(Epoch(2)).unwrap();
    // Opening alone takes a KEK of its own and leaves no candidate behind.
    let check = a.vault.draw_kek(Epoch(2)).unwrap();
    assert_eq!(a.vault.open_epoch().unwrap(), Epoch(2));
    assert_ne!(a.vault.kek_check(Epoch(2)), Some(check));
    assert_eq!(a.vault.ring().candidates().count(), 0);
}

#[test]
fn candidates_have_a_limit_and_the_oldest_gives_way() {
    let a = Node::founder(CLUSTER);
    let drawn: Vec<_> = (0..CANDIDATES_MAX + 2)
        .map(|_| a.vault.draw_kek(Epoch(2)).unwrap())
        .collect();
    let a = a.restarted();
    assert_eq!(a.vault.ring().candidates().count(), CANDIDATES_MAX);
    let held = |check| a.vault.holds_candidate(Epoch(2), check);
    assert!(drawn[..2].iter().all(|check| !held(check)));
    assert!(drawn[2..].iter().all(held));
}

/// A member that was long away and still has what the others destroyed.
#[test]
fn a_retired_epoch_never_comes_back_by_import() {
    let [a, b, c] = three();
    let check = a.vault.draw_kek(Epoch(2)).unwrap();
    a.hand_keks_to(&b);
    for node in [&a, &b] {
        node.vault.adopt_epoch(Epoch(2), &check).unwrap();
        node.vault.retire_epoch(Epoch(1)).unwrap();
    }
    // An old envelope, a lagging member, and a candidate for a retired epoch.
    assert_eq!(c.vault.epochs(), [Epoch(1)]);
    assert_eq!(c.hand_keks_to(&a), []);
    let a = a.restarted();
    assert_eq!(c.hand_keks_to(&a), []);
    assert_eq!(a.vault.epochs(), [Epoch(2)]);
    let old = c.vault.kek_check(Epoch(1)).unwrap();
    let fault = a.vault.adopt_epoch(Epoch(1), &old).unwrap_err();
    assert!(matches!(fault, EpochFault::Retired(Epoch(1))));
    // The lagging one catches up without losing what it has yet to re-seal.
    assert_eq!(a.hand_keks_to(&c), [Epoch(2)]);
    assert_eq!(c.vault.epochs(), [Epoch(1), Epoch(2)]);
    // A candidate for an epoch that came and went meanwhile stays away as well.
    let late = b.vault.draw_kek(Epoch(3)).unwrap();
    a.vault.open_epoch().unwrap();
    a.vault.open_epoch().unwrap();
    a.vault.retire_epoch(Epoch(3)).unwrap();
    b.hand_keks_to(&a);
    assert!(!a.vault.holds_candidate(Epoch(3), &late));
}

/// A folder from before clusters does not say what was retired; its ring does.
#[test]
fn a_founder_of_an_earlier_release_knows_what_it_retired() {
    let [a, _, c] = three();
    a.vault.open_epoch().unwrap();
    a.vault.retire_epoch(Epoch(1)).unwrap();
    {
        let mut keys = a.vault.keys.lock();
        let mut body = keys.body.clone();
        body.retired_to = None;
        keys.commit(body, None).unwrap();
    }
    let a = a.restarted();
    assert_eq!(c.hand_keks_to(&a), []);
    assert_eq!(a.vault.epochs(), [Epoch(2)]);
}

#[test]
fn two_keks_for_one_epoch_are_a_conflict_and_change_nothing() {
    let [a, b, _] = three();
    a.vault.open_epoch().unwrap();
    b.vault.open_epoch().unwrap();
    a.vault.open_epoch().unwrap();
    let candidate = a.vault.draw_kek(Epoch(4)).unwrap();
    let before = b.vault.kek_check(Epoch(2));
    let envelope = a.vault.export_keks(&sealing_key(&b)).unwrap();
    let fault = b.vault.import_keks(&envelope).unwrap_err();
    assert!(matches!(fault, TransferFault::Conflict(Epoch(2))));
    assert!(fault.to_string().starts_with("epoch 2 has another KEK"));
    for vault in [&b.vault, &member_again(&b)] {
        assert_eq!(vault.epochs(), [Epoch(1), Epoch(2)]);
        assert_eq!(vault.kek_check(Epoch(2)), before);
        assert!(!vault.holds_candidate(Epoch(4), &candidate));
    }
}

#[test]
fn envelopes_for_others_and_from_elsewhere_are_refused() {
    let [a, b, c] = three();
    let for_b = a.vault.export_keks(&sealing_key(&b)).unwrap();
    let fault = c.vault.import_keks(&for_b).unwrap_err();
    assert!(matches!(
        fault,
        TransferFault::Envelope(EnvelopeFault::Refused)
    ));
    // Not even the sender opens it.
    assert!(a.vault.import_keks(&for_b).is_err());
    let stranger = Node::founder(STRANGE);
    let strange = stranger.vault.export_keks(&sealing_key(&b)).unwrap();
    let fault = b.vault.import_keks(&strange).unwrap_err();
    assert!(matches!(
        fault,
        TransferFault::Envelope(EnvelopeFault::ForeignCluster { .. })
    ));
    let fault = b.vault.import_shared(&for_b).unwrap_err();
    assert!(matches!(
        fault,
        TransferFault::Envelope(EnvelopeFault::Purpose { .. })
    ));
    // A TLS key is no sealing key.
    let spki = b.vault.node_identity().unwrap().spki;
    check_spki(&spki).unwrap();
    assert!(matches!(
        a.vault.export_keks(&spki),
        Err(TransferFault::Envelope(EnvelopeFault::Recipient(_)))
    ));
}

/// Anybody can make an envelope for a node; content that no member sends is refused whole.
#[test]
fn strange_content_is_refused_whole() {
    use crate::envelope::{Entry, seal};
    let node = Node::member(CLUSTER);
    let kek = [1; 32];
    let (epoch, zero) = (1u32.to_be_bytes(), [0; 4]);
    let good: [&[u8]; 2] = [&epoch, &kek];
    for (tag, parts) in [
        (9, good),
        (3, good),
        (1, [&zero, &kek]),
        (2, [&zero, &kek]),
        (1, [&epoch, &kek[1..]]),
        (1, [&epoch, &[1; 33]]),
        (1, [&epoch[..2], &[]]),
    ] {
        let entries = [
            Entry {
                tag: 1,
                parts: good,
            },
            Entry { tag, parts },
        ];
        let sealed = seal(
            EnvelopePurpose::Keks,
            &CLUSTER,
            &sealing_key(&node),
            &entries,
        );
        let fault = node.vault.import_keks(&sealed.unwrap()).unwrap_err();
        assert!(matches!(fault, TransferFault::Content), "tag {tag}");
        assert_eq!(node.vault.epochs(), []);
    }
    // Two KEKs for one epoch in one envelope contradict each other.
    let other: [&[u8]; 2] = [&epoch, &[2; 32]];
    let twice = [good, other].map(|parts| Entry { tag: 1, parts });
    let sealed = seal(EnvelopePurpose::Keks, &CLUSTER, &sealing_key(&node), &twice);
    let fault = node.vault.import_keks(&sealed.unwrap()).unwrap_err();
    assert!(matches!(fault, TransferFault::Conflict(Epoch(1))));
    assert_eq!(node.vault.epochs(), []);
    for (tag, bytes) in [(3, &b"no CA"[..]), (4, b"no CA"), (1, b"no CA"), (4, b"")] {
        let entries = [Entry {
            tag,
            parts: [bytes, &[]],
        }];
        let key = sealing_key(&node);
        let sealed = seal(EnvelopePurpose::Shared, &CLUSTER, &key, &entries).unwrap();
        let fault = node.vault.import_shared(&sealed).unwrap_err();
        assert!(matches!(fault, TransferFault::Content), "tag {tag}");
    }
}

#[test]
fn the_cas_arrive_with_their_keys() {
    let (founder, members) = cluster_of(2);
    founder
        .vault
        .create_local_ca("Local CA", days(0, 99))
        .unwrap();
    let [member, other] = members.try_into().ok().unwrap();
    // Until then it is like a witness.
    assert!(matches!(
        member.vault.cluster_ca(),
        Err(CaFault::NoClusterCaKey)
    ));
    founder.hand_shared_to(&member).unwrap();
    founder.hand_shared_to(&member).unwrap();
    let member = member.restarted();
    let [own, theirs] = [&founder, &member].map(|node| node.vault.local_ca().unwrap());
    assert_eq!(own.certificate(), theirs.certificate());
    let [own, theirs] = [&founder, &member].map(|node| node.vault.cluster_ca().unwrap());
    assert_eq!(own.certificate(), theirs.certificate());
    // It can admit a node now, which the founder's certificates confirm.
    other.certified_by(&member, 3);
    // And hand the CAs on in turn.
    member.hand_shared_to(&other).unwrap();
    assert!(other.vault.local_ca().is_ok());
}

#[test]
fn the_later_rotation_of_the_cluster_ca_counts() {
    let (founder, members) = cluster_of(1);
    let member = &members[0];
    founder.hand_shared_to(member).unwrap();
    founder
        .vault
        .rotate_cluster_ca("Cluster CA", days(-1, 99))
        .unwrap();
    // An older one does not undo it, and the newer one arrives with the previous still trusted.
    member.hand_shared_to(&founder).unwrap();
    founder.hand_shared_to(member).unwrap();
    let trusted = founder.vault.cluster_ca_certificates().unwrap();
    assert_eq!(trusted.len(), 2);
    assert_eq!(member.vault.cluster_ca_certificates().unwrap(), trusted);
    // What was dropped here is not trusted again because another has not dropped it yet.
    member.vault.drop_previous_cluster_ca().unwrap();
    founder.hand_shared_to(member).unwrap();
    assert_eq!(
        member.vault.cluster_ca_certificates().unwrap(),
        trusted[..1]
    );
    // Where only certificates are known, no lagging member's CA takes their place.
    let witness = Node::member(CLUSTER);
    let (lagging, _) = cluster_of(0);
    witness
        .vault
        .install_cluster_ca_certificates(trusted.clone())
        .unwrap();
    lagging.hand_shared_to(&witness).unwrap();
    assert_eq!(witness.vault.cluster_ca_certificates().unwrap(), trusted);
    founder.hand_shared_to(&witness).unwrap();
    assert!(witness.vault.cluster_ca().is_ok());
}

#[test]
fn two_cas_where_there_can_be_one_are_a_conflict() {
    let (founder, members) = cluster_of(1);
    let member = &members[0];
    founder.hand_shared_to(member).unwrap();
    let (stranger, _) = cluster_of(0);
    let fault = stranger.hand_shared_to(member).unwrap_err();
    assert!(matches!(fault, TransferFault::ConflictingCa("cluster CA")));
    founder
        .vault
        .create_local_ca("Local CA", days(0, 9))
        .unwrap();
    member
        .vault
        .create_local_ca("Local CA", days(0, 9))
        .unwrap();
    founder
        .vault
        .rotate_cluster_ca("Cluster CA", days(-1, 99))
        .unwrap();
    let before = member.vault.cluster_ca_certificates().unwrap();
    let fault = founder.hand_shared_to(member).unwrap_err();
    assert!(matches!(fault, TransferFault::ConflictingCa("Local CA")));
    // All or nothing: the rotation that came along is not taken in either.
    assert_eq!(member.vault.cluster_ca_certificates().unwrap(), before);
    let nothing = Node::member(CLUSTER)
        .vault
        .export_shared(&sealing_key(member));
    assert!(matches!(
        nothing,
        Err(TransferFault::NothingHeld(EnvelopePurpose::Shared))
    ));
}

#[test]
fn a_named_secret_goes_to_one_member_and_is_merged_there() {
    let [a, b, c] = three();
    let secret = |text: &str| Secret::copy_of(text.as_bytes());
    let fault = a.vault.export_secret("x", &sealing_key(&b)).unwrap_err();
    assert!(matches!(
        fault,
        TransferFault::NothingHeld(EnvelopePurpose::Secret)
    ));
    a.vault.secret_put("x", &secret("one")).unwrap();
    let envelope = a.vault.export_secret("x", &sealing_key(&b)).unwrap();
    assert!(!envelope.windows(3).any(|bytes| bytes == b"one"));
    let take = |_: &str, _: Option<&Secret>, sent: &Secret| Some(Secret::copy_of(sent.expose()));
    let fault = c.vault.import_secret(&envelope, take).unwrap_err();
    assert!(matches!(
        fault,
        TransferFault::Envelope(EnvelopeFault::Refused)
    ));
    assert!(b.vault.import_keks(&envelope).is_err(), "another purpose");
    assert!(b.vault.import_secret(&envelope, take).unwrap());
    let held = b.vault.secret_get("x").unwrap().unwrap();
    assert_eq!(held.expose(), b"one");
    // What is held is shown to whoever decides, who may leave it as it is.
    b.vault.secret_put("x", &secret("two")).unwrap();
    let stored = b.vault.import_secret(&envelope, |name, held, sent| {
        assert_eq!((name, sent.expose()), ("x", &b"one"[..]));
        assert_eq!(held.unwrap().expose(), b"two");
        None
    });
    assert!(!stored.unwrap());
    let again = b.restarted();
    let held = again.vault.secret_get("x").unwrap().unwrap();
    assert_eq!(held.expose(), b"two");
    assert_eq!(again.vault.secret_names(""), ["x"]);
    // The vault's own are neither given nor taken.
    assert!(
        a.vault
            .export_secret("strongroom.log-key", &sealing_key(&c))
            .is_err()
    );
}
