//! What can happen in a simulated cluster, one concrete thing at a time.
//!
//! A step needs no chance to be carried out: what was drawn for it stands in it. So a recorded run
//! is repeated by its steps alone, and a step that does not fit (because another one was taken out
//! of the list) does nothing.

use serde::{Deserialize, Serialize};

/// One step. Nodes are counted from 0; `pick` chooses among what is there, modulo its number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    /// All nodes start with empty disks and the cluster is founded, with its users.
    Found,
    /// Time goes on.
    Tick {
        /// Milliseconds.
        ms: u32,
    },
    /// A client asks a node for a change.
    Change {
        /// Asked node.
        node: usize,
        /// Number of the user.
        user: u8,
        /// What.
        what: Change,
        /// Which object.
        pick: u32,
    },
    /// A client asks a node for key material.
    Get {
        /// Asked node.
        node: usize,
        /// Number of the user.
        user: u8,
        /// Which object.
        pick: u32,
        /// Whether an old answer will do.
        stale: bool,
    },
    /// A node asks the others for their votes.
    Elect {
        /// Who wants to lead.
        node: usize,
    },
    /// The leader sends entries to a follower.
    Replicate {
        /// Follower.
        to: usize,
        /// So many entries before the first one missing: what arrives twice.
        again: u8,
        /// At most so many.
        limit: u8,
        /// Whether the leader hears that they arrived.
        heard: bool,
    },
    /// A node carries out what it knows to be committed.
    Apply {
        /// Which node.
        node: usize,
        /// At most so many entries.
        limit: u8,
    },
    /// A node does the next thing that a rotation wants of it.
    Job {
        /// Which node.
        node: usize,
        /// Objects sealed again in one go.
        batch: u8,
    },
    /// A node makes everything durable and purges its log.
    Snapshot {
        /// Which node.
        node: usize,
        /// Entries kept.
        keep: u8,
    },
    /// A node that is too far behind, or was wiped, is sent everything.
    Install {
        /// Receiver.
        to: usize,
        /// Sender.
        from: usize,
    },
    /// A node loses its search index.
    DropProjection {
        /// Which node.
        node: usize,
    },
    /// The power of a node goes.
    PowerCut {
        /// Which node.
        node: usize,
        /// Decides what of the unsynced survives.
        choice: u64,
    },
    /// The power of a node will go at a call to its disk.
    PowerCutAt {
        /// Which node.
        node: usize,
        /// Calls until then.
        calls: u16,
    },
    /// The process of a node ends; its page cache stays.
    Kill {
        /// Which node.
        node: usize,
    },
    /// A node starts.
    Start {
        /// Which node.
        node: usize,
    },
    /// A call to the disk of a node will fail.
    FailCall {
        /// Which node.
        node: usize,
        /// Calls until then.
        calls: u16,
        /// How.
        how: Failing,
    },
    /// The disk of a node fills up, or gets room again.
    Full {
        /// Which node.
        node: usize,
        /// Whether it is full.
        full: bool,
    },
    /// A bit of a node that is down rots.
    Rot {
        /// Which node.
        node: usize,
        /// Which file and which bit.
        pick: u64,
    },
    /// The next write of a node into one of its logs lands elsewhere.
    Misdirect {
        /// Which node.
        node: usize,
        /// Into which of its logs.
        log: Log,
        /// Blocks away.
        blocks: u8,
    },
    /// The way between two nodes is cut, or mended.
    Link {
        /// One.
        a: usize,
        /// The other.
        b: usize,
        /// Whether it is cut.
        cut: bool,
    },
    /// The clock of a node jumps.
    ClockJump {
        /// Which node.
        node: usize,
        /// Milliseconds, either way.
        ms: i64,
    },
    /// All trouble ends: from here on everything must come right.
    Heal,
    /// After everything came right: each node must serve, and all must hold the same.
    Finish,
}

/// How a call fails; see [`ledger::disk::Failure`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Failing {
    /// Input/output error.
    Io,
    /// No space.
    Full,
    /// Half is written, and said so.
    Short,
    /// Half is written, then an error.
    Torn,
}

/// The logs of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Log {
    /// The ordered log.
    Raft,
    /// The cluster log.
    Ledger,
}

/// What a client or an operator asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// A key.
    Create,
    /// A key with one of a few names, so that names meet.
    CreateNamed,
    /// A key that gets active, and then ends, by date.
    CreateDated,
    /// An object that the client brings.
    Register,
    /// To Active.
    Activate,
    /// To Deactivated or Compromised.
    Revoke,
    /// To Destroyed.
    Destroy,
    /// One more name.
    AddName,
    /// Groups of a user.
    PutUser,
    /// A limit.
    SetPolicy,
    /// Dates that have come.
    ApplySchedule,
    /// The head of this node's access log.
    Anchor,
    /// The next epoch.
    OpenEpoch,
}
