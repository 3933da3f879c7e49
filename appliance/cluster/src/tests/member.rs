//! A cluster of one: what was answered is there after a restart, and purge forgets entries.

use super::world::{Recorder, plain};
use crate::{Cluster, ClusterConfig, LogEnd, Member, ProposeFault, StartFault, Timing};
use ledger::disk::Failure;
use ledger::{MemDisk, StdDisk};
use std::sync::Arc;
use std::time::Duration;

fn config(dir: &std::path::Path) -> ClusterConfig {
    ClusterConfig {
        dir: dir.to_owned(),
        node: 1,
        name: "test".into(),
        founding: Some(Member::default()),
        disk: Arc::new(StdDisk),
        timing: Timing::default(),
        log_end: LogEnd::default(),
        inline_io: false,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replies_come_back_in_pairs_with_their_commands() {
    let dir = tempfile::tempdir().unwrap();
    let machine = Arc::new(Recorder::default());
    let cluster = Cluster::start(config(dir.path()), machine.clone(), None)
        .await
        .unwrap();
    let mut waiting = tokio::task::JoinSet::new();
    for n in 0..500u32 {
        let cluster = cluster.clone();
        waiting.spawn(async move {
            let command = n.to_be_bytes().to_vec();
            assert_eq!(
                cluster.propose(plain(command.clone())).await.unwrap(),
                command
            );
        });
    }
    while let Some(done) = waiting.join_next().await {
        done.unwrap();
    }
    assert_eq!(machine.commands().len(), 500);
    // Packing works: far fewer entries than commands.
    assert!(
        cluster.status().last_entry.unwrap() < 250,
        "{:?}",
        cluster.status()
    );
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_applies_what_was_committed_and_a_purge_forgets_it() {
    let dir = tempfile::tempdir().unwrap();
    {
        let cluster = Cluster::start(config(dir.path()), Arc::<Recorder>::default(), None)
            .await
            .unwrap();
        for n in 0..20u8 {
            cluster.propose(plain([n])).await.unwrap();
        }
        cluster.shutdown().await;
    }
    // A machine that kept nothing gets everything again, in order.
    let machine = Arc::new(Recorder::default());
    let cluster = Cluster::start(config(dir.path()), machine.clone(), None)
        .await
        .unwrap();
    let seen: Vec<u8> = machine.commands().iter().map(|c| c[0]).collect();
    assert_eq!(seen, (0..20).collect::<Vec<u8>>());
    cluster.forget_entries().await.unwrap();
    assert!(cluster.status().purged_entry >= Some(19));
    cluster.propose(plain([20])).await.unwrap();
    cluster.shutdown().await;
    drop(cluster);
    // One that lost what the log has forgotten must not begin.
    let lost = Cluster::start(config(dir.path()), Arc::<Recorder>::default(), None).await;
    let fault = lost.map(|_| ()).unwrap_err();
    assert!(fault.to_string().contains("nothing was fetched"), "{fault}");
}

/// Whichever call of the disk fails, nobody waits for what never comes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_fails_is_told_to_those_who_wait() {
    for nth in 0..4 {
        let disk = Arc::new(MemDisk::new());
        let mut config = config(std::path::Path::new("/raft"));
        config.disk = disk.clone();
        let cluster = Cluster::start(config, Arc::<Recorder>::default(), None)
            .await
            .unwrap();
        cluster.propose(plain([1])).await.unwrap();
        disk.fail_at(nth, Failure::Full);
        let told = async {
            loop {
                if let Err(fault) = cluster.propose(plain([2])).await {
                    return fault;
                }
            }
        };
        let told = tokio::time::timeout(Duration::from_secs(10), told).await;
        let fault = told.expect("an answer");
        assert!(matches!(fault, ProposeFault::Stopped { .. }), "{fault}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_ahead_of_the_log_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let machine = Arc::new(Recorder::default());
    machine.history.lock().push((77, plain([1])));
    let fault = Cluster::start(config(dir.path()), machine, None)
        .await
        .map(|_| ())
        .unwrap_err();
    assert!(
        matches!(fault, StartFault::LogBehind { applied: 77, .. }),
        "{fault}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_oversize_command_is_refused_before_it_travels() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(config(dir.path()), Arc::<Recorder>::default(), None)
        .await
        .unwrap();
    let fault = cluster
        .propose(plain(vec![0; crate::COMMAND_BYTES_MAX + 1]))
        .await
        .unwrap_err();
    assert!(fault.to_string().contains("are allowed"), "{fault}");
    cluster.shutdown().await;
}
