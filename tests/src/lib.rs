//! The product, run the way its user would: processes, sockets, files, stock clients.
//!
//! `node` starts and ends the program, `standalone` serves as an appliance does, `appliance` is a
//! machine with the `image`, `terminal` and `desk` type at any of them and `transcript` keeps
//! what they answer, `client` talks KMIP, `web` is a visitor of the web admin, `load` works on
//! many connections at once, `oracle` remembers what was promised and judges what came of it,
//! `python` keeps the stock clients, `sshd` is an OpenSSH server to which closed logs go, `power`
//! loads the preload shim of `tests/lossy` and cuts the power, `dice` makes choices from a seed,
//! `sim` is a whole cluster in one thread, `storm` one of simulated hosts with openraft and all.
//! The suites are in `tests/tests/`, one file per thing promised.
//!
//! `$STRONGROOM_FULL` (set by `scripts/test --full`) asks for the figures of the promises where a
//! plain run takes fewer; `$STRONGROOM_ROUNDS` and `$STRONGROOM_EVENTS` overrule both, and
//! `$STRONGROOM_SEED` repeats a run.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout)] // test code panics

pub mod appliance;
pub mod client;
pub mod desk;
pub mod dice;
pub mod fleet;
pub mod image;
pub mod linear;
pub mod load;
pub mod netns;
pub mod node;
pub mod oracle;
pub mod power;
pub mod python;
pub mod sim;
pub mod sshd;
pub mod standalone;
pub mod storm;
pub mod terminal;
pub mod transcript;
pub mod web;

/// Whether the figures of the promises are asked for, whatever time they take.
pub fn is_full() -> bool {
    std::env::var_os("STRONGROOM_FULL").is_some_and(|value| !value.is_empty())
}

/// A bound of a suite: what the environment variable says, else the figure of this kind of run.
pub fn bound(variable: &str, plain: u64, full: u64) -> u64 {
    match std::env::var(variable) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{variable} must be a number: {text}")),
        Err(_) if is_full() => full,
        Err(_) => plain,
    }
}
