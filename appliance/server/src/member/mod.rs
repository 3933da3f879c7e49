//! This node as a member of a cluster: who it is, whom it lets speak to it, what it answers.
//!
//! * `place`: what the node knows of its membership before it has read its log
//! * `gate`: judges who may talk to us (law: nothing of a foreign or reverted node reaches Raft)
//! * `messages`: what members ask each other beside Raft
//! * `desk`: answers them
//! * `colleagues`: asks them
//! * `catch_up`: fetches what this node misses
//! * `ticket`, `join`: how a newcomer becomes a member

pub(crate) mod catch_up;
pub(crate) mod colleagues;
pub(crate) mod desk;
pub(crate) mod gate;
pub(crate) mod join;
pub(crate) mod messages;
pub(crate) mod place;
pub(crate) mod ticket;
