//! Identifiers and times: newtypes, so that no two of them can be mistaken for each other.

use alloc::string::{String, ToString};
use core::fmt;
use serde::{Deserialize, Serialize};

macro_rules! bytes_id {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(#[serde(with = "serde_bytes")] [u8; $len]);

        impl $name {
            /// Wraps raw bytes.
            pub const fn from_bytes(bytes: [u8; $len]) -> Self {
                Self(bytes)
            }

            /// The raw bytes.
            pub const fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }
    };
}

bytes_id!(
    /// KMIP Unique Identifier of a managed object: 16 bytes, shown as a UUID (RFC 9562). The
    /// proposer makes version 7 values, so identifiers sort by creation time.
    Uid,
    16
);
bytes_id!(
    /// Identity of a cluster, made once when it is founded; part of every key derivation.
    ClusterId,
    16
);
bytes_id!(
    /// SHA-256 over the DER form of a certificate; of a node, over the SubjectPublicKeyInfo of its
    /// TLS key, which outlives its certificates.
    Fingerprint,
    32
);
bytes_id!(
    /// A SHA-256 value: a commitment, a Merkle root, a digest.
    Hash,
    32
);

fn write_hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|b| write!(f, "{b:02x}"))
}

fn write_uuid(f: &mut fmt::Formatter<'_>, bytes: &[u8; 16]) -> fmt::Result {
    for (i, byte) in bytes.iter().enumerate() {
        if matches!(i, 4 | 6 | 8 | 10) {
            f.write_str("-")?;
        }
        write!(f, "{byte:02x}")?;
    }
    Ok(())
}

fn parse_uuid(text: &str) -> Option<[u8; 16]> {
    let mut bytes = [0u8; 16];
    let mut digits = 0usize;
    for (at, c) in text.char_indices() {
        if matches!(at, 8 | 13 | 18 | 23) {
            if c != '-' {
                return None;
            }
            continue;
        }
        let digit = u8::try_from(c.to_digit(16)?).ok()?;
        let byte = bytes.get_mut(digits / 2)?;
        *byte = (*byte << 4) | digit;
        digits += 1;
    }
    (digits == 32 && text.len() == 36).then_some(bytes)
}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_uuid(f, &self.0)
    }
}

impl Uid {
    /// Reads the UUID form (36 characters, either case). Anything else is no identifier of ours.
    pub fn parse(text: &str) -> Option<Self> {
        parse_uuid(text).map(Self)
    }

    /// A version 7 UUID from a time and ten random bytes (RFC 9562 §5.7).
    pub fn from_time(time: Time, random: [u8; 10]) -> Self {
        let millis = time.0.max(0).to_be_bytes();
        let mut bytes = [0u8; 16];
        let (head, tail) = bytes.split_at_mut(6);
        head.copy_from_slice(millis.get(2..8).unwrap_or(&[0; 6]));
        tail.copy_from_slice(&random);
        if let Some(b) = tail.get_mut(0) {
            *b = (*b & 0x0f) | 0x70;
        }
        if let Some(b) = tail.get_mut(2) {
            *b = (*b & 0x3f) | 0x80;
        }
        Self(bytes)
    }
}

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_uuid(f, &self.0)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

/// Number of a node, in the order of admission: the founder is 1. None is ever given twice.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default,
)]
#[serde(transparent)]
pub struct NodeId(pub u64);

/// Number of an object KEK. Destroying the KEK of an epoch makes everything sealed under it
/// unreadable for good.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default,
)]
#[serde(transparent)]
pub struct Epoch(pub u32);

/// Milliseconds since 1970-01-01T00:00:00Z, as the proposing node read them.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default,
)]
#[serde(transparent)]
pub struct Time(pub i64);

impl Time {
    /// Whole seconds since 1970: the resolution of a KMIP Date-Time (KMIP 1.4 §9.1.1.2).
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// The beginning of a second.
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1000))
    }
}

/// Name of a user, a group or a slot: 1 to 64 characters of `[A-Za-z0-9._-]`, not beginning with a
/// dot. The grammar keeps names safe in certificates, file names and log lines (ABUSE A16).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(String);

/// The text is not a [`Name`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidName;

impl fmt::Display for InvalidName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "a name has 1 to 64 letters, digits, dots, underscores or hyphens \
             and does not begin with a dot",
        )
    }
}

impl core::error::Error for InvalidName {}

impl Name {
    /// Checks the grammar.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if (1..=64).contains(&text.len()) && !text.starts_with('.') && text.chars().all(allowed) {
            Ok(Self(text.to_string()))
        } else {
            Err(InvalidName)
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Name {
    type Error = InvalidName;
    fn try_from(text: String) -> Result<Self, InvalidName> {
        Self::parse(&text)
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
