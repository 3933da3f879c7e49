//! Agreement: one ordered stream of opaque commands, the same on every member.
//!
//! [`Cluster::propose`] takes the bytes of a command and answers with the bytes of a reply once the
//! entry that carries it is on the disks of a quorum and has been applied. What a command means is
//! the business of the [`Machine`] that is plugged in; this crate orders, stores and forgets.
//!
//! * `types`: the openraft type configuration; an entry is a *batch* of commands
//! * `log_store`: the Raft log, on the segments of the ledger crate
//! * `double_slot`: the vote and the snapshot pointer, written twice
//! * `machine`: what is plugged in, and its adapter to openraft
//! * `batcher`: packs what is waiting into one entry (openraft 0.9 flushes once per entry)
//! * [`peers`]: the way to other nodes
//! * `network`: the way to peers
//! * `node`: all of it together
#![warn(missing_docs)]
// openraft's errors are large, and its traits ask for them by value.
#![allow(clippy::result_large_err)]

mod batcher;
mod codec;
mod double_slot;
mod log_store;
mod machine;
mod network;
mod node;
pub mod peers;
mod types;

pub use machine::{Machine, MachineFault};
pub use node::{Cluster, ClusterConfig, ProposeFault, StartFault, Status};
pub use types::COMMAND_BYTES_MAX;

#[cfg(test)]
mod tests;
