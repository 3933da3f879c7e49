//! Disks that went back in time: the leader survives, and nothing comes back.

use super::world::{World, pause, plain};
use crate::ProposeFault;
use ledger::MemDisk;

fn copy(disk: &MemDisk) -> MemDisk {
    let copy = MemDisk::new();
    for (path, bytes) in disk.files() {
        copy.put(path, &bytes);
    }
    copy
}

#[tokio::test(start_paused = true)]
async fn a_follower_rolled_back_is_refused_and_the_leader_lives() {
    let mut world = World::of(3).await;
    world.propose(1, "early").await;
    world.settle().await;
    let old = copy(&world.disks[&3]);
    for n in 0..20u8 {
        world.propose(2, [n]).await;
    }
    world.settle().await;
    let remembered = world.running[&1].remembered(3);
    assert_eq!(remembered, world.running[&1].status().applied_entry);
    world.stop(3).await;
    world.disks.insert(3, old);
    world.start(3).await;
    let behind = world.running[&3].status().last_entry;
    assert!(behind < remembered, "{behind:?} {remembered:?}");
    pause(5_000).await;
    for n in 0..20u8 {
        world.propose(2, [n, n]).await;
    }
    let status = world.running[&1].status();
    assert_eq!((status.leader, &status.stopped), (Some(1), &None));
    let reversion = status.members[2].reversion.clone().unwrap();
    assert!(Some(reversion.had) >= remembered, "{reversion}");
    assert!(reversion.to_string().contains("join anew"), "{reversion}");
    // It got nothing more.
    assert_eq!(world.running[&3].status().last_entry, behind);
    // Removed and back under a new number it is a member like any other.
    world.running[&1].remove(3).await.unwrap();
    world.stop(3).await;
    world.start(4).await;
    world.admit(4, crate::Role::Voter).await;
    world.running[&1].promote(4).await.unwrap();
    world.settle().await;
    assert_eq!(world.machines[&4].commands().len(), 41);
}

#[tokio::test(start_paused = true)]
async fn a_leader_rolled_back_does_not_lead_on() {
    let mut world = World::of(3).await;
    world.propose(1, "early").await;
    world.settle().await;
    let old = copy(&world.disks[&1]);
    for n in 0..20u8 {
        world.propose(1, [n]).await;
    }
    world.settle().await;
    world.stop(1).await;
    world.disks.insert(1, old);
    // With its old vote it would think that it still leads, and write other entries under the ids
    // of those its followers have.
    world.start(1).await;
    assert_ne!(world.running[&1].status().leader, Some(1));
    let leader = world.leader().await;
    assert_ne!(leader, 1, "the longer log wins");
    world.propose(leader, "late").await;
    world.settle().await;
    assert_eq!(world.machines[&1].commands().len(), 22);
}

#[tokio::test(start_paused = true)]
async fn a_node_just_started_neither_votes_nor_campaigns_until_accepted() {
    let mut world = World::of(3).await;
    world.stop(3).await;
    world.isolate(3, true);
    world.start(3).await;
    pause(30_000).await;
    let status = world.running[&3].status();
    assert!(status.fenced, "{status:#?}");
    assert_eq!(status.term, world.running[&1].status().term);
    // With the leader gone, node 2 needs the vote of node 3, which nobody has accepted yet.
    world.stop(1).await;
    pause(10_000).await;
    let fault = world.running[&2].propose(plain("no")).await.unwrap_err();
    assert!(matches!(fault, ProposeFault::NotReady { .. }), "{fault}");
    world.heal();
    let leader = world.leader().await;
    assert!(!world.running[&3].status().fenced);
    world.propose(leader, "yes").await;
}

#[tokio::test(start_paused = true)]
async fn a_fenced_node_gives_its_vote_to_nobody() {
    let mut world = World::of(3).await;
    world.stop(3).await;
    world.stop(1).await;
    world.ether.shunned.lock().insert(3);
    world.start(3).await;
    // Node 2 can be heard and asks for the vote, which it needs.
    pause(10_000).await;
    assert!(world.running[&3].status().fenced);
    assert!(world.running[&2].status().term > 1);
    assert_ne!(world.running[&2].status().leader, Some(2));
    world.ether.shunned.lock().clear();
    world.leader().await;
    world.propose(3, "two of three").await;
}
