//! Agreement: one ordered stream of opaque commands, the same on every member.
//!
//! [`Cluster::propose`] takes the bytes of a command and answers with the bytes of a reply once the
//! entry that carries it is on the disks of a quorum and has been applied. What a command means is
//! the business of the [`Machine`] that is plugged in; this crate orders, stores and forgets.
//!
//! One proposal at a follower: `propose` (number it, hand it to the leader) → `wire` → `answer` →
//! `batcher` (one entry for all that wait) → openraft → `log_store` and `network` → `machine` on
//! every node → `standing` (who waits for it here?).
//!
//! * `types`: the openraft type configuration; an entry is a *batch* of commands
//! * `runtime`: tokio, with a random source that simulations can seed
//! * `log_store`, `log_writer`: the Raft log, on the segments of the ledger crate
//! * `double_slot`: the vote and the snapshot pointer, written twice
//! * `machine`: what is plugged in, and its adapter to openraft
//! * `standing`: what this member has applied, owes an answer, and knows of its followers
//! * `batcher`: packs what is waiting into one entry (openraft 0.9 flushes once per entry)
//! * `propose`, `rounds`: commands and linearizable reads, at any node
//! * `membership`, `fence`: who belongs to the cluster, and who may vote after a start
//! * `alone`: one member goes on after the majority was lost for good; `folder`: looks at a stopped
//!   member's folder
//! * [`peers`]: the way to other nodes; `wire`, `network`, `answer`: what is said on it
//! * `node`: what these parts share; `cluster`: all of it from outside
#![warn(missing_docs)]
// openraft's errors are large, and its traits ask for them by value.
#![allow(clippy::result_large_err)]

mod alone;
mod answer;
mod batcher;
mod cluster;
mod codec;
pub mod danger;
mod double_slot;
mod fence;
mod folder;
mod gauge;
mod log_store;
mod log_writer;
mod machine;
mod membership;
mod network;
mod node;
pub mod peers;
mod propose;
mod rounds;
mod runtime;
mod standing;
mod succession;
mod types;
mod wire;

pub use alone::go_on_alone;
pub use cluster::{Cluster, ClusterConfig, MemberStatus, StartFault, Status, Timing};
pub use folder::RaftFolder;
pub use log_store::LogEnd;
pub use machine::{Machine, MachineFault};
pub use membership::MembershipFault;
pub use propose::ProposeFault;
pub use rounds::NotReady;
pub use runtime::seed;
pub use standing::Reversion;
pub use types::{COMMAND_BYTES_MAX, Command, EntryId, Member, Role};

#[cfg(test)]
mod tests;
