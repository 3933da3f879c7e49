//! What a node is recognised by at its doors, and the time of its machine.

use crate::transfer::check_host_key;
use crate::{Fingerprint, Time};
use alloc::string::String;
use serde::{Deserialize, Serialize};

/// How far a member that has others may set its clock from the time that it acts by, in
/// milliseconds: it goes by theirs, and a minute is what the comparison of clocks allows.
pub(crate) const OWN_CLOCK_MS_MAX: i64 = 60_000;

/// What a node shows of itself to those who come to its doors, made anew.
///
/// *Warning:* stored in the ledger and in the Raft log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DoorIdentity {
    /// The key by which SSH clients know it.
    SshHostKey {
        /// The one of before, `SHA256:` and 43 digits of base64.
        was: String,
        /// The new one.
        is: String,
    },
    /// The certificate of the KMIP, web and status ports.
    ServerCertificate {
        /// SHA-256 of the new one.
        certificate: Fingerprint,
        /// Serial number, hexadecimal.
        serial: String,
        /// End of validity.
        not_after: Time,
    },
}

impl DoorIdentity {
    /// What people call it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::SshHostKey { .. } => "SSH host key",
            Self::ServerCertificate { .. } => "certificate of the KMIP, web and status ports",
        }
    }

    /// Whether it is in its canonical form.
    ///
    /// # Errors
    /// What is wrong: one line for people.
    pub(crate) fn check(&self) -> Result<(), String> {
        match self {
            Self::SshHostKey { was, is } => {
                check_host_key(was)?;
                check_host_key(is)
            }
            Self::ServerCertificate { serial, .. } => {
                let is_hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
                match (1..=64).contains(&serial.len()) && serial.chars().all(is_hex) {
                    true => Ok(()),
                    false => Err("a serial number has 1 to 64 hexadecimal digits".into()),
                }
            }
        }
    }
}
