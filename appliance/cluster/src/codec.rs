//! CBOR of Raft entries, votes and snapshot pointers: the one place here that names `serde_cbor`.

use serde::{Serialize, de::DeserializeOwned};
use std::io;

/// Encodes a value of ours.
pub(crate) fn to_vec<T: Serialize>(value: &T) -> io::Result<Vec<u8>> {
    serde_cbor::to_vec(value).map_err(|e| io::Error::new(io::ErrorKind::InvalidInput, e))
}

/// Encodes a value of ours behind what is there already.
pub(crate) fn write<T: Serialize>(bytes: &mut Vec<u8>, value: &T) -> io::Result<()> {
    serde_cbor::to_writer(bytes, value).map_err(|e| io::Error::new(io::ErrorKind::InvalidInput, e))
}

/// Decodes; trailing bytes are an error.
pub(crate) fn from_slice<T: DeserializeOwned>(bytes: &[u8]) -> io::Result<T> {
    serde_cbor::from_slice(bytes).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))
}
