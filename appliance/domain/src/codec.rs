//! Deterministic CBOR: the one place that names `serde_cbor` (docs/decisions/0003).
//!
//! Types that pass through here have no maps but `BTreeMap`, no floats and no untagged enums, and
//! mark their byte strings with `serde_bytes`; so equal values have equal bytes. What was written
//! is kept and hashed as it is, never decoded and encoded again (law 7).

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use serde::{Serialize, de::DeserializeOwned};

/// Bytes that are not the CBOR form of the type asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undecodable(String);

impl fmt::Display for Undecodable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not a record of this format: {}", self.0)
    }
}

impl core::error::Error for Undecodable {}

/// Encodes a value.
pub fn to_vec<T: Serialize>(value: &T) -> Vec<u8> {
    serde_cbor::to_vec(value).expect("types of this crate have no map keys or sizes CBOR lacks")
}

/// Decodes a value; trailing bytes are an error.
pub fn from_slice<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Undecodable> {
    serde_cbor::from_slice(bytes).map_err(|e| Undecodable(e.to_string()))
}
