//! The memory of Strongroom: an append-only log of opaque records that anybody can check.
//!
//! * [`disk`]: the calls on which durability hangs, real and failing.
//! * [`segments`]: a log as a folder of files; what is on disk is described in `frame.rs`.
//! * [`tree`]: the RFC 6962 Merkle tree over the records.
//! * [`ledger`]: both together.
//! * [`checkpoint`]: signed statements about size and root (C2SP).
//! * [`bundle`]: the export, and its verification with and without this program.
//!
//! What is absent on purpose: a clock, randomness, private keys, threads and sockets, and any
//! understanding of what a record says.

pub mod bundle;
pub mod checkpoint;
pub mod disk;
mod frame;
pub mod ledger;
pub mod segments;
pub mod tree;

pub use bundle::{
    BundleFormat, BundleSource, ExportError, ExportSigner, Finding, FindingKind, LogKey, LogReport,
    LogSource, Render, Report, STATUS_NAMESPACE, SizeRange, StateError, Trust, VerifierState,
    VerifyOptions, ViewRange, Written, allowed_signers, openssh_public_key, sign_status,
    verify_bundle, verify_tar_bytes, write_bundle,
};
pub use checkpoint::{
    Checkpoint, CheckpointFile, CheckpointFileError, NoteError, NoteKey, NoteKeyError, NoteSigner,
    SignFault, SignatureKind, Signed, Verified,
};
pub use disk::{Disk, DiskFile, Fault, MemDisk, StdDisk, make_durable_dir};
pub use ledger::Ledger;
pub use segments::{
    Corruption, CorruptionKind, OpenError, Records, Recovery, Rewrite, Segments, SegmentsConfig,
    SegmentsReader, TornTail,
};
pub use tree::{
    Frontier, Hash, ProofError, Tree, TreeError, leaf_hash, node_hash, verify_consistency,
    verify_inclusion,
};
