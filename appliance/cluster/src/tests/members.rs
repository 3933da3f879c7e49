//! Members that leave, changes that meet, and changes whose leader vanishes.

use super::world::{TIMING, World, member, pause, plain};
use crate::{MembershipFault, ProposeFault, Role};

#[tokio::test(start_paused = true)]
async fn removed_nodes_count_no_more() {
    let mut world = World::of(3).await;
    world.running[&1].remove(3).await.unwrap();
    world.stop(3).await;
    world.propose(2, "two are enough").await;
    let status = world.running[&2].status();
    assert_eq!(status.members.len(), 2, "{status:#?}");
    world.running[&1].remove(2).await.unwrap();
    world.stop(2).await;
    // A cluster of one again: no rounds, and nothing is refused.
    world.propose(1, "alone").await;
    world.running[&1].read_barrier().await.unwrap();
    let fault = world.running[&1].remove(1).await.unwrap_err();
    assert!(matches!(fault, MembershipFault::Unfit { .. }), "{fault}");
    let fault = world.running[&1].remove(9).await.unwrap_err();
    assert!(
        matches!(fault, MembershipFault::UnknownMember { node: 9 }),
        "{fault}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_leader_removes_itself() {
    let world = World::of(3).await;
    world.running[&1].remove(1).await.unwrap();
    let removed = tokio::time::Instant::now();
    // Nobody waits for one that is gone: a read finds the next leader within its own patience.
    world.running[&2].read_barrier().await.unwrap();
    let took = removed.elapsed();
    let usual = TIMING.election_max + TIMING.election_min;
    assert!(took < usual, "{took:?}, as if it had vanished");
    world.propose(2, "without one").await;
    let leader = world.running[&2].status().leader;
    assert!(leader == Some(2) || leader == Some(3), "{leader:?}");
    let fault = world.running[&1].propose(plain("no")).await.unwrap_err();
    assert!(matches!(fault, ProposeFault::NotReady { .. }), "{fault}");
}

#[tokio::test(start_paused = true)]
async fn one_change_at_a_time() {
    let mut world = World::founded().await;
    for node in [2, 3] {
        world.start(node).await;
        world.admit(node, Role::Voter).await;
    }
    world.settle().await;
    world.cut(1, 2, true);
    world.propose(1, "unseen").await;
    let cluster = world.running[&1].clone();
    let waiting = tokio::spawn(async move { cluster.promote(2).await });
    pause(500).await;
    for fault in [
        world.running[&1].promote(3).await.unwrap_err(),
        world.running[&1].remove(3).await.unwrap_err(),
        world.running[&1]
            .add_learner(4, member(4, Role::Voter))
            .await
            .unwrap_err(),
    ] {
        assert!(matches!(fault, MembershipFault::UnderWay), "{fault}");
    }
    world.heal();
    waiting.await.unwrap().unwrap();
    world.running[&1].promote(3).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_change_left_half_done_is_ended_by_the_next_leader() {
    let mut world = World::of(3).await;
    world.start(4).await;
    world.admit(4, Role::Voter).await;
    world.settle().await;
    // The leader writes the joint membership, reaches nodes 2 and 4 with it, and is gone.
    world.cut(1, 3, true);
    let cluster = world.running[&1].clone();
    let change = tokio::spawn(async move { cluster.promote(4).await });
    while world.running[&2].node_voter_sets() < 2 {
        pause(1).await;
    }
    world.isolate(1, true);
    pause(10_000).await;
    for node in [2, 3, 4] {
        let status = world.running[&node].status();
        assert_eq!(world.running[&node].node_voter_sets(), 1, "{status:#?}");
    }
    world.propose(4, "after").await;
    world.heal();
    drop(change.await.unwrap());
    world.settle().await;
    assert!(world.running[&1].status().members[3].voter);
}

#[tokio::test(start_paused = true)]
async fn every_node_is_replaced_one_by_one() {
    let mut world = World::of(3).await;
    for (old, new) in [(1, 4), (2, 5), (3, 6)] {
        world.start(new).await;
        world.admit(new, Role::Voter).await;
        let leader = world.leader().await;
        world.running[&leader].promote(new).await.unwrap();
        world.propose(new, [u8::try_from(new).unwrap()]).await;
        let leader = world.leader().await;
        world.running[&leader].remove(old).await.unwrap();
        pause(3_000).await;
        world.stop(old).await;
    }
    world.propose(5, "all new").await;
    world.settle().await;
    assert_eq!(world.machines[&6].commands().len(), 4);
    let status = world.running[&4].status();
    let members: Vec<u64> = status.members.iter().map(|m| m.node).collect();
    assert_eq!(members, [4, 5, 6]);
}
