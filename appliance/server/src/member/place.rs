//! What a node knows of its membership before it has read its log: a small file beside the log.
//!
//! A node that has just joined has an empty log, and one whose log is damaged cannot read it; both
//! must know who they are and where the others are.

use crate::layout::write_file;
use domain::NodeId;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::Path;

/// The place of a node in its cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    /// Its number.
    pub(crate) node: u64,
    /// Record of its admission; 0 for a founder.
    pub(crate) epoch: u64,
    /// Lineage that it was admitted to.
    pub(crate) lineage: u32,
    /// Where it is reached by the others, `host:port`; empty until it is known.
    pub(crate) address: String,
    /// Where the others were when this was written.
    pub(crate) members: Vec<(u64, String)>,
    /// The number that it had before it came back under this one, until it is a full member: its
    /// Raft log then begins anew, and what its ledger has already is passed over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) replaces: Option<u64>,
}

impl Place {
    /// The place of a node that founds a cluster.
    pub(crate) fn founder() -> Self {
        Self {
            node: crate::founding::FIRST_NODE.0,
            epoch: 0,
            lineage: 1,
            address: String::new(),
            members: Vec::new(),
            replaces: None,
        }
    }

    /// This node.
    pub(crate) fn id(&self) -> NodeId {
        NodeId(self.node)
    }

    /// Reads the file; a node without one is a founder.
    pub(crate) fn read(path: &Path) -> io::Result<Self> {
        match std::fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|e| {
                let text = format!("{}: {e}; it says who this node is", path.display());
                io::Error::new(io::ErrorKind::InvalidData, text)
            }),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Self::founder()),
            Err(e) => Err(e),
        }
    }

    /// Writes the file, whole or not at all.
    pub(crate) fn write(&self, path: &Path) -> io::Result<()> {
        let mut text = serde_json::to_vec_pretty(self)?;
        text.push(b'\n');
        write_file(path, &text, 0o600)
    }
}
