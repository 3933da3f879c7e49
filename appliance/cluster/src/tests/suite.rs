//! openraft's conformance suite on our log and the machine adapter.

use super::world::Recorder;
use crate::log_store::{LogEnd, LogStore};
use crate::machine::MachineAdapter;
use crate::standing::Standing;
use crate::types::TypeConfig;
use ledger::{Disk, StdDisk};
use openraft::testing::{StoreBuilder, Suite};
use openraft::{StorageError, StorageIOError};
use std::sync::Arc;
use tempfile::TempDir;

struct Builder;

impl StoreBuilder<TypeConfig, LogStore, MachineAdapter<Recorder>, TempDir> for Builder {
    async fn build(
        &self,
    ) -> Result<(TempDir, LogStore, MachineAdapter<Recorder>), StorageError<u64>> {
        let dir = TempDir::new().map_err(|e| StorageIOError::write(&e))?;
        let fault = |e: std::io::Error| StorageIOError::write(&e);
        let (standing, inline) = (Standing::new(1), false);
        let disk: Arc<dyn Disk> = Arc::new(StdDisk);
        let end = LogEnd::default();
        let log = LogStore::open(&disk, dir.path(), standing.clone(), &end, inline);
        let log = log.map_err(fault)?;
        let (path, machine) = (dir.path().join("snapshot"), Arc::new(Recorder::default()));
        let adapter = MachineAdapter::open(&StdDisk, &path, machine, standing.clone(), inline);
        let adapter = adapter.map_err(fault)?;
        // The suite purges without snapshots.
        standing.snapshot_stored(Some(u64::MAX));
        Ok((dir, log, adapter))
    }
}

type StorageSuite = Suite<TypeConfig, LogStore, MachineAdapter<Recorder>, Builder, TempDir>;

/// One test per case of `Suite::test_all`, so that a failure has a name. Left out:
/// `get_initial_state_membership_from_log_and_sm`, which appends entries below the first one of a
/// log. Raft never does, and our log refuses it.
macro_rules! suite {
    ($($case:ident)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() {
            let (_dir, log, machine) = Builder.build().await.unwrap();
            StorageSuite::$case(log, machine).await.unwrap();
        }
    )*};
}

suite! {
    last_membership_in_log_initial
    last_membership_in_log
    last_membership_in_log_multi_step
    get_membership_initial
    get_membership_from_log_and_empty_sm
    get_membership_from_empty_log_and_sm
    get_membership_from_log_le_sm_last_applied
    get_membership_from_log_gt_sm_last_applied_1
    get_membership_from_log_gt_sm_last_applied_2
    get_initial_state_without_init
    get_initial_state_with_state
    get_initial_state_last_log_gt_sm
    get_initial_state_last_log_lt_sm
    get_initial_state_log_ids
    get_initial_state_re_apply_committed
    save_vote
    get_log_entries
    limited_get_log_entries
    try_get_log_entry
    initial_logs
    get_log_state
    get_log_id
    last_id_in_log
    last_applied_state
    purge_logs_upto_0
    purge_logs_upto_5
    purge_logs_upto_20
    delete_logs_since_11
    delete_logs_since_0
    append_to_log
    snapshot_meta
    apply_single
    apply_multiple
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transfer_snapshot() {
    StorageSuite::transfer_snapshot(&Builder).await.unwrap();
}
