//! What a member knows: quorums, followers, proposals.

use super::world::{Recorder, plain};
use crate::machine::MachineAdapter;
use crate::standing::{Outcome, Standing, quorum_contact};
use crate::types::{Batch, Command, Member, Reign};
use ledger::MemDisk;
use openraft::storage::RaftStateMachine;
use openraft::{Entry, EntryPayload, LogId, Membership};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

fn entry(term: u64, node: u64, index: u64) -> LogId<u64> {
    LogId::new(Reign::new(term, node), index)
}

fn membership(sets: &[&[u64]]) -> Membership<u64, Member> {
    let sets: Vec<BTreeSet<u64>> = sets.iter().map(|s| s.iter().copied().collect()).collect();
    let nodes: BTreeMap<u64, Member> = (1..6).map(|n| (n, Member::default())).collect();
    Membership::new(sets, nodes)
}

proptest! {
    #[test]
    fn a_quorum_contact_is_the_latest_that_a_majority_of_each_set_has_reached(
        sets in prop::collection::vec(prop::collection::btree_set(1u64..6, 1..6), 1..3),
        heard in prop::collection::btree_map(2u64..6, 0u64..10, 0..5),
    ) {
        let start = Instant::now();
        let at = |ticks: u64| start + Duration::from_secs(ticks);
        let contacts = heard.iter().map(|(node, ticks)| (*node, at(*ticks))).collect();
        let found = quorum_contact(&sets, 1, at(10), &contacts);
        // By trial: node 1 itself is reached at 10.
        let later = |node: &u64, ticks| heard.get(node).is_some_and(|t| *t >= ticks);
        let reached = |node: &u64, ticks| *node == 1 || later(node, ticks);
        let majority = |set: &BTreeSet<u64>, ticks| {
            2 * set.iter().filter(|node| reached(node, ticks)).count() > set.len()
        };
        let expected = (0..=10).rev().find(|ticks| sets.iter().all(|s| majority(s, *ticks)));
        prop_assert_eq!(found, expected.map(at));
    }
}

#[tokio::test]
async fn a_proposal_is_settled_by_its_entry_or_by_any_later_reign() {
    let standing = Standing::new(1);
    let (first, second) = (Reign::new(4, 1), Reign::new(4, 2));
    let mut done = standing.await_proposal([1; 16], first);
    let mut expired = standing.await_proposal([2; 16], first);
    let mut later = standing.await_proposal([3; 16], second);
    let batch = Batch {
        reign: first,
        ids: [serde_bytes::ByteArray::new([1; 16])].into(),
        commands: [Command::default()].into(),
    };
    standing.answer(&batch, 5, vec![b"reply".to_vec()]);
    standing.applied(entry(4, 1, 5));
    let reply = b"reply".to_vec();
    assert_eq!(done.outcome().await, Outcome::Done { reply, index: 5 });
    // Another node may lead in the same term; its entries come after all of the first.
    standing.applied(entry(4, 2, 6));
    assert_eq!(expired.outcome().await, Outcome::Expired);
    let waiting = tokio::time::timeout(Duration::from_millis(20), later.outcome());
    assert!(waiting.await.is_err());
    // Who comes too late is told at once.
    let mut late = standing.await_proposal([4; 16], first);
    assert_eq!(late.outcome().await, Outcome::Expired);
    standing.settle_all(&Outcome::Unseen);
    assert_eq!(later.outcome().await, Outcome::Unseen);
}

#[tokio::test]
async fn a_batch_in_an_entry_of_another_reign_has_no_effect() {
    let (standing, machine) = (Standing::new(1), Arc::new(Recorder::default()));
    let (path, disk) = (Path::new("/snapshot"), MemDisk::new());
    let adapter = MachineAdapter::open(&disk, path, machine.clone(), standing.clone(), true);
    let mut adapter = adapter.unwrap();
    let reign = Reign::new(4, 1);
    let batch = |id, command: &str| {
        EntryPayload::Normal(Batch {
            reign,
            ids: [serde_bytes::ByteArray::new([id; 16])].into(),
            commands: [plain(command)].into(),
        })
    };
    let mut counted = standing.await_proposal([1; 16], reign);
    let mut stale = standing.await_proposal([2; 16], reign);
    // Node 1 lost its reign after it had packed the second batch, and got another one.
    let entries = [(4, 1, batch(1, "counts")), (6, 2, batch(2, "stale"))];
    let entries = entries.map(|(term, index, payload)| Entry {
        log_id: entry(term, 1, index),
        payload,
    });
    adapter.apply(entries).await.unwrap();
    assert_eq!(machine.commands(), [b"counts".to_vec()]);
    assert!(matches!(
        counted.outcome().await,
        Outcome::Done { index: 1, .. }
    ));
    assert_eq!(stale.outcome().await, Outcome::Expired);
}

#[test]
fn only_committed_entries_are_remembered_and_only_within_a_reign_held_against_a_follower() {
    let standing = Standing::new(1);
    let (first, second) = (Reign::new(1, 1), Reign::new(3, 1));
    standing.matched(2, first, Some(entry(1, 1, 10)));
    assert_eq!(standing.remembered(2), None);
    standing.committed(Some(7));
    assert_eq!(standing.remembered(2), Some(7));
    // Probing beyond what it has reported is no reversion; lacking what it had, is.
    assert!(standing.conflict(2, first, Some(entry(1, 1, 11))).is_ok());
    let reversion = standing
        .conflict(2, first, Some(entry(1, 1, 10)))
        .unwrap_err();
    assert_eq!(
        (reversion.node, reversion.had, reversion.missing),
        (2, 10, 10)
    );
    assert_eq!(standing.reversions().len(), 1);
    // In between another leader may have replaced entries 8 to 10.
    assert!(standing.conflict(2, second, Some(entry(1, 1, 9))).is_ok());
    assert_eq!(standing.remembered(2), Some(7));
    standing.forget(2);
    assert_eq!(standing.remembered(2), None);
}

#[test]
fn a_read_needs_no_round_only_while_this_node_is_the_only_voter() {
    let standing = Standing::new(1);
    standing.membership_appended(entry(0, 0, 0), &membership(&[&[1]]));
    standing.membership_applied(entry(0, 0, 0), &membership(&[&[1]]));
    assert!(
        !standing.is_undisputed(),
        "nothing of its own reign is applied"
    );
    standing.applied(entry(1, 1, 1));
    assert!(standing.is_undisputed());
    // From the moment the other voter could have heard of it.
    standing.membership_appended(entry(1, 1, 2), &membership(&[&[1], &[1, 2]]));
    assert!(!standing.is_undisputed());
    standing.applied(entry(1, 1, 2));
    assert!(!standing.is_undisputed());
    // Back to one; an older entry applied late changes nothing.
    standing.membership_appended(entry(1, 1, 5), &membership(&[&[1]]));
    standing.membership_applied(entry(1, 1, 4), &membership(&[&[1]]));
    standing.applied(entry(1, 1, 4));
    assert!(!standing.is_undisputed());
    standing.membership_applied(entry(1, 1, 5), &membership(&[&[1]]));
    standing.applied(entry(1, 1, 5));
    assert!(standing.is_undisputed());
}
