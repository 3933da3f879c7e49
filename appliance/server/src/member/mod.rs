//! This node as a member of a cluster: who it is, whom it lets speak to it, what it answers.
//!
//! * `place`: what the node knows of its membership before it has read its log
//! * `gate`: judges who may talk to us (law: nothing of a foreign or reverted node reaches Raft)
//! * `messages`: what members ask each other beside Raft
//! * `desk`: answers them
//! * `colleagues`: asks them
//! * `catch_up`: fetches what this node misses
//! * `ticket`, `join`: how a newcomer becomes a member
//! * `mend`: makes a damaged node whole before it takes part; `store_care`: while it does
//! * `shared_secrets`: verifiers and passwords that every member needs
//! * `rejoin`: a member that must not vote with what it has comes back under a new number
//! * `recover`: one member goes on after the majority was lost; `salvage`: objects of an old member

pub(crate) mod catch_up;
pub(crate) mod colleagues;
pub(crate) mod desk;
pub(crate) mod gate;
pub(crate) mod join;
pub(crate) mod mend;
pub(crate) mod messages;
pub(crate) mod place;
pub(crate) mod recover;
pub(crate) mod rejoin;
pub(crate) mod salvage;
pub(crate) mod shared_secrets;
pub(crate) mod store_care;
pub(crate) mod ticket;
