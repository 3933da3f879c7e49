//! The storm: the cluster as it ships, under simulated hosts, network and disks.
//!
//! Three or five members, each a host of turmoil. Real are openraft, our storage, batching, fence
//! and network code, rustls on every connection, the law (`domain`), the cluster log and the sealed
//! store behind `server::machine::LedgerMachine`. Simulated are time and network (by turmoil,
//! [`net`]) and the disk ([`disk`]), all on one thread and decided by one seed, so that a run
//! repeats itself.
//!
//! A run has three parts: the cluster is founded in calm, then the weather ([`weather`]) does what
//! the seed has drawn while clients ask at every node ([`client`]), then everything is put right
//! and the cluster must converge and serve ([`run`]). What anybody saw goes into one [`chronicle`],
//! and the files under [`checkers`] say what must be true of it.
//!
//! The one-thread world ([`crate::sim`]) runs a thousand times as many steps through apply,
//! recovery and snapshots with a model in openraft's place; this one has openraft itself, and what
//! only waiting, connections and elections can do.

pub mod checkers;
pub mod chronicle;
pub mod client;
pub mod disk;
pub mod machine;
pub mod member;
pub mod net;
pub mod papers;
pub mod run;
pub mod site;
pub mod weather;

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Which promise: the name of its file.
    pub promise: &'static str,
    /// What was seen.
    pub what: String,
}

impl Broken {
    /// A promise, and what was seen instead.
    pub fn new(promise: &'static str, what: impl Into<String>) -> Self {
        let what = what.into();
        Self { promise, what }
    }
}

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.promise, self.what)
    }
}
