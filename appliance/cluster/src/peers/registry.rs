//! The connections that other nodes have to this one.

use crate::peers::hello::{Caller, Lane};
use crate::peers::limits::CONNECTIONS_PER_LANE_MAX;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::Notify;

/// Who is connected.
#[derive(Debug, Default)]
pub(super) struct Registry {
    open: Arc<Mutex<Open>>,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    connections: BTreeMap<u64, Connection>,
}

#[derive(Debug)]
struct Connection {
    /// `None` for a newcomer.
    node: Option<u64>,
    lane: Lane,
    close: Arc<Notify>,
}

/// A connection in the registry, until dropped.
#[derive(Debug)]
pub(super) struct Registered {
    open: Arc<Mutex<Open>>,
    number: u64,
    close: Arc<Notify>,
}

impl Registry {
    /// Enters a connection. Of those of one node on one lane only the newest few stay: the others
    /// are what it has given up and we have not noticed yet.
    pub(super) fn enter(&self, caller: Caller, lane: Lane) -> Registered {
        let node = match caller {
            Caller::Member { node } => Some(node),
            Caller::Newcomer { .. } => None,
        };
        let mut open = self.open.lock();
        if node.is_some() {
            let same = |c: &&Connection| c.node == node && c.lane == lane;
            let before = open.connections.values().filter(same);
            // In order of their numbers, so the first is the oldest. Those that were told to
            // close and have not gone yet count too, and being told twice does no harm.
            let surplus = (before.count() + 1).saturating_sub(CONNECTIONS_PER_LANE_MAX);
            let oldest = open.connections.values().filter(same).take(surplus);
            oldest.for_each(|c| c.close.notify_one());
        }
        let number = open.next;
        open.next = open.next.wrapping_add(1);
        let close = Arc::new(Notify::new());
        let connection = Connection {
            node,
            lane,
            close: close.clone(),
        };
        open.connections.insert(number, connection);
        Registered {
            open: self.open.clone(),
            number,
            close,
        }
    }

    /// Closes the connections of a node, or all.
    pub(super) fn close(&self, node: Option<u64>) {
        let open = self.open.lock();
        let meant = |c: &&Connection| node.is_none() || c.node == node;
        for connection in open.connections.values().filter(meant) {
            connection.close.notify_one();
        }
    }

    /// Lanes on which each member is connected, each once.
    pub(super) fn lanes(&self) -> BTreeMap<u64, Vec<Lane>> {
        let mut lanes: BTreeMap<u64, Vec<Lane>> = BTreeMap::new();
        for connection in self.open.lock().connections.values() {
            if let Some(node) = connection.node {
                lanes.entry(node).or_default().push(connection.lane);
            }
        }
        for of_node in lanes.values_mut() {
            of_node.sort_unstable();
            of_node.dedup();
        }
        lanes
    }
}

impl Registered {
    /// Waits until the connection is to be closed.
    pub(super) async fn closed(&self) {
        self.close.notified().await;
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.open.lock().connections.remove(&self.number);
    }
}
