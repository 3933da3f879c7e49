//! What members say to each other beside Raft, on the lanes Service and Bulk: one question, one
//! answer, in CBOR.
//!
//! *Warning:* members of two versions talk to each other during an upgrade: a variant or a field is
//! never renamed or reused, and a new field has a default.

use domain::{Candidate, Fingerprint, Hash, NodeId, Uid};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

/// What is asked.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) enum Question {
    /// A newcomer shows its ticket and says who it is.
    Join {
        /// The secret of the ticket.
        secret: ByteBuf,
        /// Who wants in.
        candidate: Candidate,
        /// The key to be certified, DER (RFC 5280 §4.1 SubjectPublicKeyInfo).
        spki: ByteBuf,
    },
    /// A newcomer asks what became of its request.
    JoinState {
        /// The secret of the ticket, again.
        secret: ByteBuf,
        /// The key to be certified.
        spki: ByteBuf,
    },
    /// A member whose Raft log or data went back asks to be let in anew, under a new number.
    Rejoin {
        /// Who it is from now on.
        candidate: Candidate,
        /// The key to be certified.
        spki: ByteBuf,
    },
    /// The KEK ring, sealed to the asking member.
    Keks,
    /// Local CA and cluster CA, sealed to the asking member.
    Shared,
    /// Take these KEKs, sealed to you.
    TakeKeks {
        /// The envelope.
        envelope: ByteBuf,
    },
    /// Take these CAs, sealed to you.
    TakeShared {
        /// The envelope.
        envelope: ByteBuf,
    },
    /// A secret that members share, sealed to the asking member.
    Secret {
        /// Its name.
        name: String,
    },
    /// Take this secret, sealed to you.
    TakeSecret {
        /// The envelope.
        envelope: ByteBuf,
    },
    /// Records of the cluster log from `from` on, as many as fit, with the proof that they stand in
    /// the log of `target` records.
    Records {
        /// First record.
        from: u64,
        /// Size of the log that the asking member trusts in.
        target: u64,
    },
    /// Proof that the log of `old` records is the beginning of the log of `new` records.
    Consistency {
        /// The smaller size.
        old: u64,
        /// The larger size.
        new: u64,
    },
    /// Entries of the sealed store after an identifier.
    StorePage {
        /// The last one received.
        after: Option<Uid>,
        /// Entry of the Raft log that must be in the store.
        entry: u64,
    },
    /// One entry of the sealed store.
    StoreEntry {
        /// Which.
        uid: Uid,
    },
    /// The newest cosigned checkpoint of the cluster log.
    Head,
    /// Check this signed checkpoint against your own log and cosign it.
    Cosign {
        /// The note.
        note: String,
    },
    /// The cluster agrees on this.
    Cosigned {
        /// The note with the cosignatures.
        note: String,
    },
    /// What time is it with you?
    Clock,
    /// Issue a certificate for this key, which the cluster log knows to be mine.
    Certify {
        /// The key.
        spki: ByteBuf,
    },
}

/// What is answered.
#[derive(Serialize, Deserialize)]
pub(crate) enum Answer {
    /// Done, nothing to say.
    Done,
    /// The request waits for approval.
    Waiting {
        /// Fingerprint of the cluster CA as the member sees it, for comparing.
        ca: Fingerprint,
    },
    /// The newcomer is a member.
    Admitted(Box<Admission>),
    /// An operator said no.
    Denied,
    /// An envelope sealed to the asking member.
    Envelope(ByteBuf),
    /// Records.
    Records {
        /// Their bytes, in order.
        records: Vec<ByteBuf>,
        /// Proof from the size after them to the target.
        proof: Vec<Hash>,
    },
    /// A proof of consistency.
    Proof(Vec<Hash>),
    /// Entries of the sealed store; the last page is empty.
    Entries(Vec<SealedEntry>),
    /// A signed note.
    Note(Option<String>),
    /// One line: a cosignature.
    Cosignature(String),
    /// The logs differ: what this node has at that size, signed.
    Differs {
        /// The note.
        note: String,
    },
    /// What time it is.
    Clock {
        /// Milliseconds since 1970.
        now: i64,
        /// Whether the answering node has compared its clock with others'.
        compared: bool,
    },
    /// A certificate, DER.
    Certificate(ByteBuf),
    /// Not done, and why.
    Refused(String),
}

/// One entry of the sealed store.
#[derive(Serialize, Deserialize)]
pub(crate) struct SealedEntry {
    /// Which object.
    pub(crate) uid: Uid,
    /// Its sealed bytes; none for a destroyed one.
    pub(crate) sealed: Option<ByteBuf>,
}

/// Everything a newcomer needs to be a member.
#[derive(Serialize, Deserialize)]
pub(crate) struct Admission {
    /// Its number.
    pub(crate) node: NodeId,
    /// Record of its admission.
    pub(crate) epoch: u64,
    /// Its certificate, DER.
    pub(crate) certificate: ByteBuf,
    /// The cluster CAs, DER.
    pub(crate) authorities: Vec<ByteBuf>,
    /// The members and where they are reached.
    pub(crate) members: Vec<(NodeId, String)>,
    /// KEK ring, sealed to it; none for a witness.
    pub(crate) keks: Option<ByteBuf>,
    /// Local CA and cluster CA, sealed to it; none for a witness.
    pub(crate) shared: Option<ByteBuf>,
    /// Lineage of the cluster.
    pub(crate) lineage: u32,
}
