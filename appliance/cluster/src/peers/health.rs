//! What is known of each node's reachability, and what is counted.

use crate::peers::hello::{Lane, Refused};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::time::Instant;

/// How another node is seen from here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerHealth {
    /// Its number.
    pub node: u64,
    /// Where it is dialled, if its address is known.
    pub address: Option<String>,
    /// Whether there is any connection with it.
    pub connected: bool,
    /// Lanes on which this node has a connection to it.
    pub dialled: Vec<Lane>,
    /// Lanes on which it has a connection to this node.
    pub calling: Vec<Lane>,
    /// When the last byte came from it, on whichever connection.
    pub last_heard: Option<Instant>,
    /// Why it refused this node or this node refused it, if no connection succeeded since.
    pub last_refusal: Option<String>,
    /// Why the last attempt to connect failed, if none succeeded since.
    pub last_fault: Option<String>,
}

/// Counters since the node started, for metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerCounters {
    /// Connections that this node refused after the Hello, by [`Refused::code`].
    pub refused_here: BTreeMap<&'static str, u64>,
    /// Connections that other nodes refused to this one, by [`Refused::code`].
    pub refused_there: BTreeMap<&'static str, u64>,
    /// Incoming connections that did not finish TLS and Hello.
    pub handshakes_failed: u64,
    /// Incoming connections that gave way to newer ones before they had finished TLS and Hello.
    pub handshakes_evicted: u64,
    /// Connections that were accepted.
    pub connections_accepted: u64,
    /// Connections that ended because something came that is not of the protocol.
    pub malformed: u64,
    /// Connections that ended because nothing was heard.
    pub silent: u64,
}

/// Adds one under a key.
pub(super) fn count(of: &mut BTreeMap<&'static str, u64>, refused: &Refused) {
    let n = of.entry(refused.code()).or_insert(0);
    *n = n.saturating_add(1);
}

/// What is remembered of one node, shared by its connections.
#[derive(Clone, Debug, Default)]
pub(super) struct Record(Arc<Mutex<Remembered>>);

#[derive(Clone, Debug, Default)]
pub(super) struct Remembered {
    pub(super) heard: Option<Instant>,
    pub(super) refusal: Option<String>,
    pub(super) fault: Option<String>,
}

impl Record {
    pub(super) fn read(&self) -> Remembered {
        self.0.lock().clone()
    }

    /// A byte came.
    pub(super) fn heard(&self) {
        self.0.lock().heard = Some(Instant::now());
    }

    /// A connection stands: what was wrong before is over.
    pub(super) fn connected(&self) {
        let mut remembered = self.0.lock();
        remembered.refusal = None;
        remembered.fault = None;
    }

    pub(super) fn refused(&self, text: String) {
        self.0.lock().refusal = Some(text);
    }

    pub(super) fn failed(&self, text: String) {
        self.0.lock().fault = Some(text);
    }
}
