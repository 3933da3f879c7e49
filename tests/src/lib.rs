//! The product, run the way its user would: processes, sockets, files, stock clients.
//!
//! `node` starts and ends the program, `client` talks KMIP to it, `load` works on many connections
//! at once, `oracle` remembers what was promised and judges what came of it, `python` keeps the
//! stock clients, `power` loads the preload shim of `tests/lossy` and cuts the power, `dice` makes
//! choices from a seed. The suites are in `tests/tests/`, one file per thing promised. Bounds come
//! from `$STRONGROOM_ROUNDS` and `$STRONGROOM_EVENTS`, which `scripts/test --full` raises, and
//! choices from `$STRONGROOM_SEED`.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout)] // test code panics

pub mod client;
pub mod dice;
pub mod load;
pub mod node;
pub mod oracle;
pub mod power;
pub mod python;

/// A bound of a suite: the environment variable of that name, or what `scripts/test` uses.
pub fn bound(variable: &str, plain: u64) -> u64 {
    match std::env::var(variable) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{variable} must be a number: {text}")),
        Err(_) => plain,
    }
}
