//! Every limit of the way between nodes, each with its unit and reason.

use crate::peers::hello::Lane;
use std::time::Duration;

/// Largest request or answer on the Raft and Bulk lanes, in bytes: several batches of entries, or
/// a page of the sealed store.
pub const FRAME_BYTES_MAX: usize = 8 << 20;

/// Largest request or answer on the Service lane, in bytes: a command with its payload
/// ([`crate::COMMAND_BYTES_MAX`]) and room for the rest.
pub const SERVICE_BYTES_MAX: usize = 4 << 20;

/// Largest request of a newcomer, in bytes: its keys, its address and a ticket take a tenth of it.
pub const NEWCOMER_BYTES_MAX: usize = 64 << 10;

/// Largest Hello or refusal, in bytes: what somebody unproven can make us hold.
pub(super) const HELLO_BYTES_MAX: usize = 4 << 10;

/// Longest error text in an answer, in bytes: a paragraph for people.
pub(super) const TEXT_BYTES_MAX: usize = 1 << 10;

/// Time for a connection to be opened. A lost SYN is sent again after a second, so this survives
/// one loss, and is short enough that a healed link is used soon.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Time for TLS and both Hellos: ten round trips of the longest line, and no more (ABUSE A28).
pub(super) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a refusing side waits for the other to read the refusal.
pub(super) const LINGER: Duration = Duration::from_secs(1);

/// A side that has said nothing for this long says that it is alive.
pub(super) const HEARTBEAT_EVERY: Duration = Duration::from_millis(500);

/// Longest that a write of the answering side may make no progress. The side that dialled always
/// reads, so it is gone.
pub(super) const STALL_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes handed to TLS in one go, so that a stall is seen and heartbeats are not held up.
pub(super) const WRITE_BYTES: usize = 64 << 10;

/// Bytes read in one go.
pub(super) const READ_BYTES: usize = 64 << 10;

/// Frames that wait to be written on one connection. A few keep the writer busy; more would only
/// hold memory.
pub(super) const WRITE_QUEUE_FRAMES: usize = 16;

/// Calls that may wait for one node on one lane; their bodies stay with the callers until then.
pub(super) const CALLS_MAX: usize = 4_096;

/// Bytes of requests being answered on one connection: four of the largest.
pub(super) const ANSWERING_BYTES_MAX: u32 = 32 << 20;

/// Requests that a newcomer may have answered at once.
pub(super) const NEWCOMER_ANSWERING_MAX: usize = 1;

/// Requests of a newcomer on one connection: it asks to join, and asks whether it may.
pub(super) const NEWCOMER_REQUESTS_MAX: u32 = 16;

/// Longest that a newcomer's connection may last.
pub(super) const NEWCOMER_LIFE_MAX: Duration = Duration::from_secs(60);

/// Newcomers' connections from one address.
pub(super) const NEWCOMERS_PER_ADDRESS_MAX: usize = 8;

/// Newcomers' connections in all.
pub(super) const NEWCOMERS_MAX: usize = 32;

/// Unfinished handshakes of one address (ABUSE A29).
pub(super) const HANDSHAKES_PER_ADDRESS_MAX: usize = 64;

/// Unfinished handshakes in all (ABUSE A29).
pub(super) const HANDSHAKES_MAX: usize = 256;

/// Connections that one member may have open here on one lane. It uses one; a few more are those
/// that it has given up and we have not noticed, and single calls.
pub(super) const CONNECTIONS_PER_LANE_MAX: usize = 4;

/// First pause after a connection that failed; doubled each time.
pub(super) const PAUSE_FIRST: Duration = Duration::from_millis(50);

/// Longest pause between attempts.
pub(super) const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Pause after a refusal: it takes a person to change that.
pub(super) const REFUSED_PAUSE: Duration = Duration::from_secs(2);

/// A connection that lasted this long was a good one: the next attempt begins with the first pause.
pub(super) const GOOD_CONNECTION: Duration = Duration::from_secs(1);

/// Pause after a failed accept: out of file descriptors, mostly.
pub(super) const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

impl Lane {
    /// Largest body of a request or an answer, in bytes.
    pub fn body_bytes_max(self) -> usize {
        match self {
            Lane::Raft | Lane::Bulk => FRAME_BYTES_MAX,
            Lane::Service => SERVICE_BYTES_MAX,
        }
    }

    /// Longest silence of a living connection. Heartbeats come four times as often at least.
    pub(super) fn silence_max(self) -> Duration {
        match self {
            Lane::Raft => Duration::from_secs(2),
            Lane::Bulk | Lane::Service => Duration::from_secs(6),
        }
    }

    /// Requests of one connection that may be answered at once; more stay unread.
    pub(super) fn answering_max(self) -> usize {
        match self {
            Lane::Raft => 64,
            // Large ones, each of which costs disk and memory.
            Lane::Bulk => 8,
            // Small ones that wait for commits.
            Lane::Service => 512,
        }
    }
}
