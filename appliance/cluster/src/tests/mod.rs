//! The storage under openraft's own suite, the double slot under torn writes, a member alone, and
//! clusters in one process under faults, on paused time.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod alone;
mod double_slot;
mod failover;
mod followers;
mod joining;
mod member;
mod members;
mod over_tls;
mod purge;
mod reversion;
mod standing;
mod suite;
mod wire;
mod witness;
mod world;
