//! The ticket that lets one node ask to join: what an operator carries from a member to a newcomer.
//!
//! It names the cluster, pins its CA, says where members are, and holds a secret whose SHA-256
//! stands in the cluster log. It is good once, for 15 minutes, and lets nobody in by itself: an
//! operator approves with both fingerprints in view.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::{ClusterId, Fingerprint, Hash, codec};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

/// How every ticket begins, so that a wrong paste is told apart from a damaged ticket.
const PREFIX: &str = "strongroom-ticket-1.";

/// Random bytes of the secret: beyond guessing.
pub(crate) const SECRET_BYTES: usize = 32;

/// Characters of a ticket that are looked at: with three addresses it has about 250.
const TICKET_CHARS_MAX: usize = 2_000;

/// What a ticket says.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Ticket {
    /// The cluster.
    pub(crate) cluster: ClusterId,
    /// SHA-256 of the certificate of its CA.
    pub(crate) ca: Fingerprint,
    /// Lineage.
    pub(crate) lineage: u32,
    /// Where members are reached, `host:port`.
    pub(crate) addresses: Vec<String>,
    /// The secret.
    pub(crate) secret: ByteBuf,
}

/// What was given is no ticket.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TicketFault {
    /// Something else was pasted.
    #[error("a ticket begins with {PREFIX}; make one with: strongroom cluster ticket")]
    Other,
    /// Part of it is missing or changed.
    #[error("the ticket is incomplete or damaged ({0}); copy it again, in one piece")]
    Damaged(String),
}

impl Ticket {
    /// The text that people carry.
    pub(crate) fn to_text(&self) -> String {
        let bytes = codec::to_vec(self);
        let check = vault::provider::sha256(&[&bytes]);
        let mut all = bytes;
        all.extend_from_slice(check.get(..4).unwrap_or_default());
        format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(all))
    }

    /// Reads the text; white space that a terminal put in does no harm.
    pub(crate) fn parse(text: &str) -> Result<Self, TicketFault> {
        let text: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        let body = text.strip_prefix(PREFIX).ok_or(TicketFault::Other)?;
        let damaged = |why: &dyn std::fmt::Display| TicketFault::Damaged(why.to_string());
        if body.len() > TICKET_CHARS_MAX {
            return Err(damaged(&"it is too long"));
        }
        let bytes = URL_SAFE_NO_PAD.decode(body).map_err(|e| damaged(&e))?;
        let split = bytes.split_last_chunk::<4>();
        let (bytes, check) = split.ok_or_else(|| damaged(&"it is too short"))?;
        if vault::provider::sha256(&[bytes]).get(..4) != Some(check) {
            return Err(damaged(&"its checksum is wrong"));
        }
        codec::from_slice(bytes).map_err(|e| damaged(&e))
    }
}

/// SHA-256 of the secret of a ticket.
pub(crate) fn secret_hash(secret: &[u8]) -> Hash {
    Hash::from_bytes(vault::provider::sha256(&[secret]))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    fn ticket() -> Ticket {
        Ticket {
            cluster: ClusterId::from_bytes([7; 16]),
            ca: Fingerprint::from_bytes([9; 32]),
            lineage: 1,
            addresses: vec!["192.0.2.1:9001".into(), "node-b:9001".into()],
            secret: ByteBuf::from(vec![5; SECRET_BYTES]),
        }
    }

    #[test]
    fn a_ticket_survives_a_terminal() {
        let text = ticket().to_text();
        let (a, b) = text.split_at(60);
        let back = Ticket::parse(&format!("  {a}\n   {b}\r\n")).unwrap();
        assert_eq!(back.addresses, ticket().addresses);
        assert_eq!(secret_hash(&back.secret), secret_hash(&ticket().secret));
    }

    #[test]
    fn a_changed_ticket_is_told_from_something_else() {
        let text = ticket().to_text();
        for at in PREFIX.len()..text.len() {
            let mut changed: Vec<char> = text.chars().collect();
            changed[at] = if changed[at] == 'A' { 'B' } else { 'A' };
            let changed: String = changed.into_iter().collect();
            let read = Ticket::parse(&changed);
            assert!(matches!(read, Err(TicketFault::Damaged(_))), "{at}");
        }
        assert!(matches!(Ticket::parse("hello"), Err(TicketFault::Other)));
        assert!(matches!(
            Ticket::parse(PREFIX),
            Err(TicketFault::Damaged(_))
        ));
    }
}
