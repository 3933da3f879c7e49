//! Commands and reads at any node of a healthy cluster.

use super::world::{World, plain};
use crate::types::COMMAND_BYTES_MAX;
use crate::{ProposeFault, Role};
use std::collections::BTreeSet;
use tokio::task::JoinSet;

#[tokio::test(start_paused = true)]
async fn every_node_takes_commands_and_all_apply_the_same() {
    for size in [3, 5] {
        let world = World::of(size).await;
        let mut proposals = JoinSet::new();
        for n in 0..300u32 {
            let cluster = world.running[&(u64::from(n) % size + 1)].clone();
            proposals.spawn(async move {
                let command = n.to_be_bytes().to_vec();
                let reply = cluster.propose(plain(command.clone())).await;
                assert_eq!(reply.unwrap(), command);
            });
        }
        proposals.join_all().await;
        world.settle().await;
        let commands = world.machines[&size].commands();
        assert_eq!(commands.len(), 300);
        assert_eq!(commands.iter().collect::<BTreeSet<_>>().len(), 300);
        let status = world.running[&2].status();
        assert!(status.members.iter().all(|m| m.voter), "{status:#?}");
        // Packing works from other nodes, too: far fewer entries than commands.
        assert!(status.last_entry.unwrap() < 150, "{status:#?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_answered_anywhere_is_seen_after_a_barrier_everywhere() {
    let world = World::of(3).await;
    for n in 0..60u8 {
        let writer = u64::from(n) % 3 + 1;
        world.propose(writer, [n]).await;
        for (node, cluster) in &world.running {
            cluster.read_barrier().await.unwrap();
            let seen = world.machines[node].commands();
            assert!(seen.contains(&vec![n]), "node {node} after {n}: {seen:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn readers_share_a_round_and_a_quorum_is_in_touch_while_idle() {
    let world = World::of(3).await;
    let began = tokio::time::Instant::now();
    let mut readers = JoinSet::new();
    for _ in 0..200 {
        let cluster = world.running[&2].clone();
        readers.spawn(async move { cluster.read_barrier().await.unwrap() });
    }
    readers.join_all().await;
    // One round is four ways of one millisecond; 200 of their own would take 800.
    assert!(began.elapsed().as_millis() < 40, "{:?}", began.elapsed());
    super::world::pause(10_000).await;
    for cluster in world.running.values() {
        let age = cluster.quorum_contact().unwrap().elapsed();
        assert!(age.as_millis() < 1_500, "{age:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_comes_while_a_round_runs_gets_the_next_one() {
    let world = World::of(3).await;
    super::world::pause(100).await;
    // To the leader and back, and from there to the others and back: four milliseconds.
    let early = world.running[&2].clone();
    let early = tokio::spawn(async move { early.read_barrier().await.unwrap() });
    super::world::pause(2).await;
    let began = tokio::time::Instant::now();
    world.running[&2].read_barrier().await.unwrap();
    assert!(early.is_finished());
    assert!(began.elapsed().as_millis() >= 5, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn the_leader_asks_its_machine_about_commands_of_others() {
    let world = World::of(3).await;
    *world.machines[&1].forbidden.lock() = Some(b'x');
    let fault = world.running[&2].propose(plain("xyz")).await.unwrap_err();
    assert!(matches!(fault, ProposeFault::Refused { .. }), "{fault}");
    world.propose(1, "xyz").await;
    world.propose(2, "abc").await;
    world.settle().await;
    assert_eq!(world.machines[&3].commands().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_follower_that_was_away_gets_megabytes_in_messages_that_fit() {
    let mut world = World::of(3).await;
    world.stop(3).await;
    for n in 0..24u8 {
        world.propose(2, vec![n; COMMAND_BYTES_MAX]).await;
    }
    world.start(3).await;
    world.settle().await;
    assert_eq!(world.machines[&3].commands().len(), 24);
    let fault = world.running[&3].propose(plain(vec![0; COMMAND_BYTES_MAX + 1]));
    let fault = fault.await.unwrap_err();
    assert!(matches!(fault, ProposeFault::TooLarge { .. }), "{fault}");
}

#[tokio::test(start_paused = true)]
async fn entries_too_large_for_a_heartbeat_cross_a_slow_link_without_an_election() {
    let mut world = World::of(3).await;
    world.stop(3).await;
    for n in 0..8u8 {
        world.propose(1, vec![n; COMMAND_BYTES_MAX]).await;
    }
    let term = world.running[&1].status().term;
    // One entry takes two seconds, twenty times what openraft waits for an answer.
    *world.ether.bytes_per_second.lock() = 512 << 10;
    world.start(3).await;
    super::world::pause(25_000).await;
    assert_eq!(world.machines[&3].commands().len(), 8);
    assert_eq!(world.running[&1].status().term, term);
    world.propose(3, "small again").await;
    world.settle().await;
}

#[tokio::test(start_paused = true)]
async fn a_cluster_whose_every_node_was_down_goes_on() {
    let mut world = World::of(5).await;
    for n in 0..50u8 {
        world.propose(u64::from(n) % 5 + 1, [n]).await;
    }
    for node in 1..=5 {
        world.stop(node).await;
    }
    for node in 1..=5 {
        world.start(node).await;
    }
    let leader = world.leader().await;
    world.propose(leader % 5 + 1, "after").await;
    world.settle().await;
    let commands = world.machines[&3].commands();
    assert_eq!(commands.len(), 51);
    assert!(world.running.values().all(|c| !c.status().fenced));
    assert!(world.running[&1].status().role == Role::Voter);
}
