//! What a member of a cluster is: its role, where it stands between asking to join and being gone,
//! and what a node says of itself when it asks.

use crate::{Denial, Fingerprint, Hash};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// The newest format of asks and events that this program understands. A cluster uses a format
/// when every member understands it ([`crate::State::format`]).
pub const FORMAT: u32 = 5;

/// The format that brought the doors of operators: what approved-algorithms mode forbids, the
/// status port, administrators who make keys for users and end their lives, rotation and transfer.
pub const DOORS_FORMAT: u32 = 5;

/// The format of programs that do not say theirs: one node, no cluster.
pub const FIRST_FORMAT: u32 = 1;

/// Longest sealing key in bytes: an uncompressed point of P-521 (SEC 1 §2.3.3), one step beyond
/// the P-384 that nodes make.
pub const SEALING_KEY_BYTES_MAX: usize = 133;

/// Longest address of a member in bytes: a DNS name of 253 (RFC 1035 §2.3.4), a colon, a port.
const ADDRESS_BYTES_MAX: usize = 253 + 1 + 5;

/// What a member does in the cluster.
///
/// *Warning:* stored in the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum MemberRole {
    /// Holds keys and votes.
    Voter,
    /// Holds keys and does not vote: a far site, or a node that catches up.
    Learner,
    /// Votes and holds events, never material nor the keys that seal it.
    Witness,
}

impl MemberRole {
    /// Whether it holds sealed material and the KEKs.
    pub const fn holds_keys(self) -> bool {
        matches!(self, Self::Voter | Self::Learner)
    }

    /// Whether its vote counts.
    pub const fn votes(self) -> bool {
        matches!(self, Self::Voter | Self::Witness)
    }

    /// The word that people read and type.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Voter => "voter",
            Self::Learner => "learner",
            Self::Witness => "witness",
        }
    }
}

/// Where a member stands. Each moves forward only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MemberPhase {
    /// Admitted; it fetches what it lacks and does not count yet.
    Joining,
    /// In full standing.
    Member,
    /// Going: its word no longer counts, and what it holds is made useless by a new epoch.
    Leaving,
    /// Gone. Its number stays taken.
    Removed,
}

impl MemberPhase {
    /// The word that people read.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Joining => "joining",
            Self::Member => "member",
            Self::Leaving => "leaving",
            Self::Removed => "removed",
        }
    }
}

/// What a node says of itself when it asks to be let in.
///
/// *Warning:* stored in the ledger and in the Raft log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// SHA-256 of the SubjectPublicKeyInfo of its TLS key: what people compare, and what a peer's
    /// certificate is held against.
    pub key: Fingerprint,
    /// Public key (ECDH) to which the KEK ring is encrypted, 1 to 133 bytes, SEC 1 form.
    #[serde(with = "serde_bytes")]
    pub sealing_key: Vec<u8>,
    /// Ed25519 public key with which it will sign checkpoints.
    pub log_key: Hash,
    /// Where its peers reach it: `host:port`.
    pub address: String,
    /// Version of its program.
    pub version: String,
    /// Newest format that its program understands.
    #[serde(default = "first_format", skip_serializing_if = "is_first_format")]
    pub format: u32,
    /// What it is to become.
    pub role: MemberRole,
}

pub(crate) const fn first_format() -> u32 {
    FIRST_FORMAT
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes fields by reference"
)]
pub(crate) const fn is_first_format(format: &u32) -> bool {
    *format == FIRST_FORMAT
}

/// Checks that an address has the form `host:port`. An IPv6 address stands in brackets
/// (RFC 3986 §3.2.2).
///
/// # Errors
/// [`Denial::InvalidField`].
pub fn check_address(address: &str) -> Result<(), Denial> {
    let invalid = |why: &str| {
        let shown: String = address
            .chars()
            .take(64)
            .flat_map(char::escape_default)
            .collect();
        let reason = format!("address \"{shown}\": {why}; write it as host:port");
        Err(Denial::InvalidField { reason })
    };
    if address.len() > ADDRESS_BYTES_MAX {
        return invalid(&format!("it has more than {ADDRESS_BYTES_MAX} bytes"));
    }
    let Some((host, port)) = address.rsplit_once(':') else {
        return invalid("it has no port");
    };
    let inner = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let fits = match inner {
        Some(v6) => v6.parse::<core::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.chars().all(allowed),
    };
    if !fits {
        return invalid("the host is neither a name nor an address");
    }
    // One way to write a port, so that equal addresses are equal texts.
    match port.parse::<u16>() {
        Ok(number) if number != 0 && number.to_string() == port => Ok(()),
        _ => invalid("the port is no number from 1 to 65535"),
    }
}

/// Checks the length of a sealing key.
///
/// # Errors
/// [`Denial::InvalidField`].
pub(crate) fn check_sealing_key(key: &[u8]) -> Result<(), Denial> {
    if (1..=SEALING_KEY_BYTES_MAX).contains(&key.len()) {
        return Ok(());
    }
    let reason = format!(
        "the sealing key has {} bytes; 1 to {SEALING_KEY_BYTES_MAX} are allowed",
        key.len()
    );
    Err(Denial::InvalidField { reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_host_and_port() {
        for good in [
            "a:1",
            "node-2.site_b.example:9001",
            "192.0.2.1:65535",
            "[::1]:9001",
        ] {
            assert_eq!(check_address(good), Ok(()), "{good}");
        }
        let long = format!("{}:9001", "a".repeat(260));
        for bad in [
            "", "a", ":9001", "a:", "a:0", "a:09001", "a:+1", "a:65536", "a b:1", "::1:9001",
            "[::g]:1", "[a]:1", "a\n:1", "a/b:1", "user@a:1", &long,
        ] {
            assert!(check_address(bad).is_err(), "{bad}");
        }
    }
}
