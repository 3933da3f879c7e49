//! Two nodes that hold keys and a witness that holds none.

use super::world::{World, pause, plain};
use crate::types::Command;
use crate::{ProposeFault, Role};

const CANARY: &[u8] = b"sealed-key-bytes-canary";

fn sealed(name: &str) -> Command {
    Command {
        bytes: name.into(),
        payload: Some(CANARY.to_vec()),
    }
}

fn holds_canary(bytes: &[u8]) -> bool {
    bytes.windows(CANARY.len()).any(|window| window == CANARY)
}

async fn two_and_a_witness() -> World {
    let mut world = World::of(2).await;
    world.start(3).await;
    world.admit(3, Role::Witness).await;
    world.running[&1].promote(3).await.unwrap();
    world.settle().await;
    world
}

#[tokio::test(start_paused = true)]
async fn a_witness_never_holds_a_payload() {
    let world = two_and_a_witness().await;
    for node in [1, 2] {
        let reply = world.running[&node].propose(sealed("key")).await;
        assert_eq!(reply.unwrap(), b"key");
    }
    world.settle().await;
    for node in [1, 2] {
        let payloads = world.machines[&node].history.lock().clone();
        assert!(
            payloads
                .iter()
                .all(|(_, c)| c.payload.as_deref() == Some(CANARY))
        );
        assert!(world.disks[&node].files().values().any(|f| holds_canary(f)));
    }
    let seen = world.machines[&3].history.lock().clone();
    assert!(seen.iter().all(|(_, c)| c.payload.is_none()));
    assert_eq!(seen.len(), 2);
    assert!(!world.disks[&3].files().values().any(|f| holds_canary(f)));
    let fault = world.running[&3].propose(sealed("key")).await.unwrap_err();
    assert!(matches!(fault, ProposeFault::NotReady { .. }), "{fault}");
}

#[tokio::test(start_paused = true)]
async fn with_one_node_down_everything_works_but_new_keys() {
    let mut world = two_and_a_witness().await;
    world.stop(2).await;
    pause(2_000).await;
    world.propose(1, "revoke").await;
    world.running[&1].read_barrier().await.unwrap();
    let fault = world.running[&1].propose(sealed("key")).await.unwrap_err();
    assert!(matches!(fault, ProposeFault::NotReady { .. }), "{fault}");
    assert!(fault.to_string().contains("hold keys"), "{fault}");
    world.start(2).await;
    world.settle().await;
    pause(1_000).await;
    world.running[&1].propose(sealed("key")).await.unwrap();
    world.settle().await;
    assert_eq!(world.machines[&2].commands().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_new_key_is_not_answered_before_two_nodes_have_it() {
    let world = two_and_a_witness().await;
    // The entry reaches the witness and is committed; node 2 lacks it.
    world.cut(1, 2, true);
    let fault = world.running[&1].propose(sealed("key")).await.unwrap_err();
    assert!(matches!(fault, ProposeFault::Unknown { .. }), "{fault}");
    assert_eq!(world.machines[&3].commands().len(), 1);
    world.heal();
    world.settle().await;
    let stored = world.machines[&2].history.lock().clone();
    assert_eq!(stored[0].1.payload.as_deref(), Some(CANARY));
}

#[tokio::test(start_paused = true)]
async fn a_witness_votes_and_never_leads() {
    let mut world = two_and_a_witness().await;
    for _ in 0..4 {
        let leader = world.leader().await;
        assert_ne!(leader, 3);
        world.stop(leader).await;
        let next = world.leader().await;
        assert_eq!(next, 3 - leader);
        world.propose(3, "through the witness").await;
        world.start(leader).await;
        world.settle().await;
    }
    // Alone it does not campaign, however long it waits.
    world.stop(1).await;
    world.stop(2).await;
    let term = world.running[&3].status().term;
    pause(60_000).await;
    assert_eq!(world.running[&3].status().term, term);
    let fault = world.running[&3].propose(plain("no")).await.unwrap_err();
    assert!(matches!(fault, ProposeFault::NotReady { .. }), "{fault}");
}
