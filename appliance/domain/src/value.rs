//! Attributes as the law sees them: a name and a value of one of the KMIP item types.
//!
//! Names are KMIP 2.1 tags (a number of the standard), so this crate needs no wire code: doors
//! translate one to one.

use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// A KMIP tag, `0x42xxxx` (KMIP 2.1 §11.58).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tag(pub u32);

/// An attribute value: the item types of KMIP 2.1 §11.24.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Value {
    /// 32-bit signed; also used for masks.
    Integer(i32),
    /// 64-bit signed.
    LongInteger(i64),
    /// Two's complement, big endian.
    BigInteger(#[serde(with = "serde_bytes")] Vec<u8>),
    /// A value of the enumeration that belongs to the attribute.
    Enumeration(u32),
    /// True or false.
    Boolean(bool),
    /// UTF-8.
    Text(String),
    /// Opaque bytes.
    Bytes(#[serde(with = "serde_bytes")] Vec<u8>),
    /// Seconds since 1970.
    DateTime(i64),
    /// Seconds.
    Interval(u32),
    /// Microseconds since 1970 (KMIP 2.0 and later).
    DateTimeExtended(i64),
    /// Fields in the order given.
    Structure(Vec<(Tag, Value)>),
}

/// Name of an attribute.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum AttributeName {
    /// An attribute of the standard, by its tag.
    Standard(Tag),
    /// A custom attribute. KMIP 1.x `x-Foo` is vendor `x`, name `Foo`.
    Vendor {
        /// Vendor Identification; `x` for clients, `y` for servers.
        vendor: String,
        /// Name, unique within the vendor.
        name: String,
    },
}

/// One instance of an attribute.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Attribute {
    /// Which attribute.
    pub name: AttributeName,
    /// Its value.
    pub value: Value,
}

/// Kinds of managed objects this appliance keeps (KMIP 2.1 §11.38).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ObjectType {
    /// X.509 certificate.
    Certificate,
    /// Symmetric key.
    SymmetricKey,
    /// Password or seed.
    SecretData,
    /// Bytes the server does not interpret.
    OpaqueObject,
}

impl ObjectType {
    /// The value of the Object Type enumeration.
    pub const fn code(self) -> u32 {
        match self {
            Self::Certificate => 1,
            Self::SymmetricKey => 2,
            Self::SecretData => 7,
            Self::OpaqueObject => 8,
        }
    }

    /// Reads an Object Type enumeration value.
    pub const fn from_code(code: u32) -> Option<Self> {
        Some(match code {
            1 => Self::Certificate,
            2 => Self::SymmetricKey,
            7 => Self::SecretData,
            8 => Self::OpaqueObject,
            _ => return None,
        })
    }
}

impl core::fmt::Display for ObjectType {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Certificate => "Certificate",
            Self::SymmetricKey => "Symmetric Key",
            Self::SecretData => "Secret Data",
            Self::OpaqueObject => "Opaque Object",
        })
    }
}
