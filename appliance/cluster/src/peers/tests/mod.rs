//! Nodes that talk over a network in memory, whose links can be cut, and over loopback.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod calls;
mod faults;
mod frames;
mod greeting;
mod limits;
pub(crate) mod world;
