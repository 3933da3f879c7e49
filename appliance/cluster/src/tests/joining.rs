//! Nodes that join with an empty disk: by the log, by a snapshot, far and near.

use super::world::{World, member, pause, plain};
use crate::{MembershipFault, ProposeFault, Role};

#[tokio::test(start_paused = true)]
async fn a_learner_catches_up_by_the_log_and_then_votes() {
    let mut world = World::founded().await;
    for n in 0..100u8 {
        world.propose(1, [n]).await;
    }
    world.start(2).await;
    assert!(world.running[&2].status().fenced);
    world.admit(2, Role::Voter).await;
    world.running[&1].promote(2).await.unwrap();
    // It has every entry the leader had: the promotion itself has seen to that.
    assert!(world.running[&2].status().last_entry >= Some(100));
    world.settle().await;
    assert_eq!(world.machines[&2].commands().len(), 100);
    let status = world.running[&1].status();
    assert!(status.members[1].voter, "{status:#?}");
    assert_eq!(status.members[1].epoch, 20);
    assert_eq!(world.running[&1].remembered(2), status.applied_entry);
    world.propose(2, "from two").await;
}

#[tokio::test(start_paused = true)]
async fn a_learner_catches_up_by_a_snapshot_while_the_cluster_goes_on() {
    let mut world = World::of(2).await;
    for n in 0..100u8 {
        world.propose(1, [n]).await;
    }
    world.running[&1].forget_entries().await.unwrap();
    assert!(world.running[&1].status().purged_entry > Some(100));
    world.start(3).await;
    world.admit(3, Role::Voter).await;
    // Fetching takes 20 s here; commands and reads go on, and node 3 answers meanwhile.
    for n in 0..50u8 {
        world.propose(2, [100, n]).await;
        world.running[&1].read_barrier().await.unwrap();
        pause(100).await;
    }
    assert_eq!(world.machines[&3].commands().len(), 0);
    world.running[&1].promote(3).await.unwrap();
    world.settle().await;
    assert_eq!(world.machines[&3].commands().len(), 150);
    // What was installed is still there after a restart.
    world.stop(3).await;
    world.start(3).await;
    world.propose(3, "again").await;
    world.settle().await;
}

#[tokio::test(start_paused = true)]
async fn fetching_that_fails_is_tried_again_and_does_not_end_the_node() {
    let mut world = World::founded().await;
    world.propose(1, "one").await;
    world.running[&1].forget_entries().await.unwrap();
    world.start(2).await;
    *world.machines[&2].fetch_fails.lock() = true;
    world.admit(2, Role::Learner).await;
    pause(70_000).await;
    assert_eq!(world.running[&2].status().stopped, None);
    assert_eq!(world.machines[&2].commands().len(), 0);
    *world.machines[&2].fetch_fails.lock() = false;
    pause(70_000).await;
    assert_eq!(world.machines[&2].commands().len(), 1);
    world.settle().await;
}

#[tokio::test(start_paused = true)]
async fn a_follower_away_for_long_comes_back_by_a_snapshot() {
    let mut world = World::of(3).await;
    world.propose(3, "early").await;
    world.stop(3).await;
    for n in 0..30u8 {
        world.propose(1, [n]).await;
    }
    for node in [1, 2] {
        world.running[&node].forget_entries().await.unwrap();
    }
    world.start(3).await;
    pause(60_000).await;
    world.settle().await;
    assert_eq!(world.machines[&3].commands().len(), 31);
}

#[tokio::test(start_paused = true)]
async fn a_far_learner_proposes_and_reads_and_never_votes() {
    let mut world = World::of(2).await;
    world.start(3).await;
    world.admit(3, Role::Learner).await;
    let fault = world.running[&1].promote(3).await.unwrap_err();
    assert!(
        matches!(fault, MembershipFault::Unfit { node: 3, .. }),
        "{fault}"
    );
    world.propose(3, "from afar").await;
    world.running[&3].read_barrier().await.unwrap();
    assert_eq!(world.machines[&3].commands().len(), 1);
    // It makes no quorum.
    world.isolate(2, true);
    pause(1_000).await;
    let fault = world.running[&3].propose(plain("no")).await.unwrap_err();
    assert!(matches!(fault, ProposeFault::NotReady { .. }), "{fault}");
    assert!(world.running[&1].read_barrier().await.is_err());
    world.heal();
    world.settle().await;
}

#[tokio::test(start_paused = true)]
async fn a_node_that_lags_is_not_promoted() {
    let mut world = World::founded().await;
    world.start(2).await;
    world.admit(2, Role::Voter).await;
    world.settle().await;
    world.cut(1, 2, true);
    world.propose(1, "unseen").await;
    let fault = world.running[&1].promote(2).await.unwrap_err();
    assert!(
        matches!(fault, MembershipFault::Behind { node: 2, .. }),
        "{fault}"
    );
    world.heal();
    world.running[&1].promote(2).await.unwrap();
    let added = world.running[&2].add_learner(3, member(3, Role::Voter));
    let fault = added.await.unwrap_err();
    assert!(
        matches!(fault, MembershipFault::NotLeader { leader: Some(1) }),
        "{fault}"
    );
}

/// The one that comes back had led, wrote entries that nobody else got, and knows after its restart
/// of no entry that it is committed.
#[tokio::test(start_paused = true)]
async fn a_snapshot_takes_the_place_of_a_tail_that_nobody_else_has() {
    let mut world = World::of(3).await;
    world.propose(1, "early").await;
    world.settle().await;
    world.isolate(1, true);
    let mut alone = tokio::task::JoinSet::new();
    for n in 0..40u8 {
        let cluster = world.running[&1].clone();
        alone.spawn(async move { cluster.propose(plain([1, n])).await });
        pause(5).await;
    }
    let tail = world.running[&1].status().last_entry;
    world.stop(1).await;
    alone.join_all().await;
    let leader = world.leader().await;
    world.propose(leader, "late").await;
    for node in [2, 3] {
        world.running[&node].forget_entries().await.unwrap();
    }
    let purged = world.running[&leader].status().purged_entry;
    assert!(purged.is_some() && purged < tail, "{purged:?} {tail:?}");
    world.heal();
    world.start(1).await;
    assert_eq!(world.running[&1].status().last_entry, tail);
    assert_eq!(world.running[&1].status().applied_entry, None);
    *world.machines[&1].fetch_is_quick.lock() = true;
    world.propose(1, "again").await;
    world.settle().await;
    let all: Vec<_> = ["early", "late", "again"]
        .map(|c| c.as_bytes().to_vec())
        .into();
    assert_eq!(world.machines[&1].commands(), all);
}
