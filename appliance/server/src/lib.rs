//! The world: the engine, the projections, the doors and the jobs of one node. The program
//! `strongroom` is built from it.
//!
//! Start with `node` (what happens in which order), then `engine` (the way of every request), then
//! `machine` (what follows the ordered commands), then a door.
#![warn(missing_docs)]

pub mod access_log;
mod administrators;
mod approved;
mod cli;
mod clock;
mod console;
mod contact;
pub mod counters;
pub mod doors;
pub mod engine;
mod error_state;
mod founding;
mod hsm;
pub mod jobs;
pub mod layout;
mod locate;
mod lockout;
pub mod machine;
mod member;
pub mod metrics;
pub mod node;
pub mod notary;
mod open_sessions;
mod operator_clock;
mod place_in_network;
pub mod program;
pub mod projections;
mod recovery;
pub mod render;
pub mod room;
mod selftest;
mod session;
mod setup;
mod sign_in;
mod soundness;
mod ssh;
mod ssh_host_key;
mod tls;
mod transfer;
