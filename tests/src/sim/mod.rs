//! The one-thread world: a cluster that a seed alone decides, in which everything goes wrong.
//!
//! Up to five nodes live in one thread. Real are `domain` (admit, decide, evolve, permit), `ledger`
//! (segments, recovery, tree), the sealed store and the apply logic of the server; simulated are
//! the disk ([`disk`]), the clock ([`clock`]), and the order between the nodes ([`order`], in
//! openraft's place, which has suites of its own). No step waits, nothing asks the machine for the
//! time or for chance, so a run is repeated by its seed, or by its list of steps alone.
//!
//! Read [`step`] first (what can happen), then [`world`] (how it is carried out), then the files
//! under `checkers/` (what must hold), then [`run`] (how a seed becomes a run). [`plant`] has the
//! bugs that the whole thing must be able to find.
//!
//! A run has two phases. In the first, the mix of trouble that the seed has drawn is at work; in
//! the second, from [`step::Step::Heal`] on, nothing more goes wrong and everything must come
//! right.

pub mod chance;
pub mod checkers;
pub mod clock;
pub mod disk;
pub mod keys;
pub mod mix;
pub mod node;
pub mod order;
pub mod plant;
pub mod projection;
pub mod raft_log;
pub mod record;
mod requests;
pub mod run;
pub mod site;
pub mod step;
pub mod truth;
pub mod world;

pub use checkers::Violation;
