//! What must be true of every run: one promise per file, named after it.

pub mod acked_never_lost;
pub mod converged;
pub mod linearizable;
pub mod on_a_quorum;
pub mod one_effect;
pub mod one_life_per_reign;
pub mod one_root_per_size;
pub mod prefixes;
