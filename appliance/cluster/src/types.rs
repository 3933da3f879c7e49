//! The openraft type configuration. Commands and replies are opaque bytes here.

use serde::{Deserialize, Serialize};
use std::io::Cursor;
use std::sync::Arc;

/// Largest command with its sealed payload: 1 MiB, twice the largest object and its envelope.
pub const COMMAND_BYTES_MAX: usize = 1 << 20;

/// Bytes of commands packed into one entry: bounds how long one flush may take. A single command
/// may exceed it up to [`COMMAND_BYTES_MAX`].
pub(crate) const BATCH_BYTES_MAX: usize = 1 << 20;

/// Commands packed into one entry: bounds how long one apply holds the state.
pub(crate) const BATCH_COMMANDS_MAX: usize = 1024;

openraft::declare_raft_types!(
    /// Raft over batches of opaque commands.
    pub(crate) TypeConfig:
        D = Batch,
        R = Replies,
);

/// Application data of one entry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Batch(#[serde(with = "shared_bytes")] pub(crate) Arc<[Vec<u8>]>);

/// One reply for each command of a batch; empty for entries that carry none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Replies(pub(crate) Vec<serde_bytes::ByteBuf>);

/// A shared list of byte strings, as a CBOR array of byte strings.
mod shared_bytes {
    use serde::{Deserialize, Deserializer, Serializer};
    use std::sync::Arc;

    pub(super) fn serialize<S: Serializer>(list: &Arc<[Vec<u8>]>, s: S) -> Result<S::Ok, S::Error> {
        s.collect_seq(list.iter().map(|bytes| serde_bytes::Bytes::new(bytes)))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Arc<[Vec<u8>]>, D::Error> {
        let list = Vec::<serde_bytes::ByteBuf>::deserialize(d)?;
        Ok(list
            .into_iter()
            .map(serde_bytes::ByteBuf::into_vec)
            .collect())
    }
}
