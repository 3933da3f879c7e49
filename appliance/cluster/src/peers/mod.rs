//! The way to other nodes: connections, TLS, frames, Hello, calls and answers.
//!
//! Nothing here knows Raft, nor what a message says, nor what a member is: the [`Gatekeeper`]
//! judges who may talk, the [`Answerer`] answers, and bodies are opaque bytes. Nothing here opens a
//! socket or reads a clock but through [`Net`] and tokio's time, so the same code runs in a
//! simulated world.
//!
//! * `limits`: every limit, with its reason
//! * `net`: connections, real or simulated
//! * `hello`: what nodes say of themselves, and why one is turned away
//! * `switchboard`: [`Peers`], all of it together
//! * `way`, `link`: calls: when a connection is dialled, and what happens on it
//! * `door`, `registry`, `lobby`: incoming connections, who they are, how many
//! * `greet`, `wire`: the handshake, and frames on a connection
//! * `health`: how other nodes are seen, and counters
//! * `call`: who answers a call, and how it can fail
//! * `frame`: the bytes on the wire
//! * `tls`: configurations that can be exchanged, names, fingerprints of keys
#![deny(clippy::unwrap_used, clippy::indexing_slicing)]

mod call;
mod door;
pub mod frame;
mod greet;
mod health;
mod hello;
mod limits;
mod link;
mod lobby;
mod net;
mod registry;
mod switchboard;
mod tls;
mod way;
mod wire;

pub use call::{Answerer, CallFault};
pub use health::{PeerCounters, PeerHealth};
pub use hello::{Caller, Gatekeeper, Hello, Lane, PROTOCOL, Refused};
pub use limits::{FRAME_BYTES_MAX, NEWCOMER_BYTES_MAX, SERVICE_BYTES_MAX};
pub use net::{BoxFuture, Listener, Net, Stream, TokioNet};
pub use switchboard::{Peers, call_once};
pub use tls::{PeerTls, key_of, server_name};

#[cfg(test)]
pub(crate) mod tests;
