//! One member goes on alone, with everything on its disk.

use super::world::{World, member, plain};
use crate::{Role, go_on_alone};
use ledger::Disk;
use std::path::Path;
use std::sync::Arc;

async fn go_on(world: &mut World, node: u64) {
    let disk: Arc<dyn Disk> = Arc::new(world.disks[&node].clone());
    let voter = member(node, Role::Voter);
    go_on_alone(&disk, Path::new("/raft"), node, &voter).unwrap();
    world.start(node).await;
}

#[tokio::test(start_paused = true)]
async fn nothing_on_its_disk_is_lost() {
    let mut world = World::of(3).await;
    world.propose(1, "known to all").await;
    world.settle().await;
    for node in [1, 2, 3] {
        world.stop(node).await;
    }
    go_on(&mut world, 3).await;
    world.propose(3, "alone").await;
    let commands = world.machines[&3].commands();
    assert_eq!(commands, [b"known to all".to_vec(), b"alone".to_vec()]);
    let status = world.running[&3].status();
    assert_eq!(
        (status.leader, status.members.len()),
        (Some(3), 1),
        "{status:#?}"
    );
    // A second time, and after the log was purged up to its end.
    world.running[&3].forget_entries().await.unwrap();
    world.stop(3).await;
    go_on(&mut world, 3).await;
    world.propose(3, "again").await;
    assert_eq!(world.machines[&3].commands().len(), 3);
    // It takes in others as any founder does.
    world.disks.remove(&2);
    world.machines.remove(&2);
    world.start(2).await;
    world.admit(2, Role::Voter).await;
    world.running[&3].promote(2).await.unwrap();
    world.propose(2, "two").await;
    world.settle().await;
    assert_eq!(world.machines[&2].commands().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn what_it_never_learned_to_be_committed_is_kept() {
    let mut world = World::of(3).await;
    // Node 2 gets the entry and its answer is lost on the way; nobody tells it of the commit.
    world.cut(2, 1, true);
    world.isolate(3, true);
    let leader = world.running[&1].clone();
    let asked = tokio::spawn(async move { leader.propose(plain("perhaps")).await });
    let end = world.running[&2].status().last_entry;
    for _ in 0..100 {
        super::world::pause(20).await;
        if world.running[&2].status().last_entry > end {
            break;
        }
    }
    for node in [1, 2, 3] {
        world.stop(node).await;
    }
    drop(asked.await);
    world.heal();
    go_on(&mut world, 2).await;
    world.propose(2, "after").await;
    let commands = world.machines[&2].commands();
    assert_eq!(commands, [b"perhaps".to_vec(), b"after".to_vec()]);
}
