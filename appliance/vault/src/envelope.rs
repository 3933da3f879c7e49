//! What one member seals for another: keys on their way between two nodes.
//!
//! ```text
//! envelope = CBOR { v: 1, purpose, cluster, ephemeral[97], wrapped[40], body }
//! context  = purpose ‖ cluster ‖ ephemeral ‖ recipient             uncompressed P-384 points
//! W        = HKDF-SHA-384(ECDH P-384(ephemeral, recipient), "strongroom envelope 1", context)
//! wrapped  = AES-256-KWP(W, data key)
//! body     = AES-256-GCM(data key, entries; AAD = context ‖ wrapped)       nonce ‖ text ‖ tag
//! entries  = (tag u8 ‖ length u32 ‖ bytes)*                               integers big-endian
//! ```
//!
//! The ephemeral key exists for one envelope, so the sender cannot open what it sent, and equal
//! content gives unequal envelopes. The envelope does not say who sealed it: whoever knows the
//! recipient's public key can make one. That it comes from a member is what the TLS connection
//! proves, and what it holds is taken in only if it contradicts nothing that is held already.
//!
//! Entries are not CBOR because an encoder that grows its buffer leaves copies behind.

use crate::provider::{self, AgreementKey, KEY_BYTES, P384_POINT_BYTES, ProviderFault};
use crate::secret::Secret;
use crate::spki::{SpkiFault, p384_point};
use domain::{ClusterId, codec};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Largest envelope, in bytes: room for thousands of KEKs, and small enough for one message.
pub(crate) const ENVELOPE_BYTES_MAX: usize = 256 * 1024;
const VERSION: u8 = 1;
const LABEL: &str = "strongroom envelope 1";
const ENTRY_HEAD_BYTES: usize = 5;

/// What an envelope is for; one purpose never opens as another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EnvelopePurpose {
    /// Object KEKs and candidates.
    Keks,
    /// The keys of the Local CA and of the cluster CA.
    Shared,
    /// One named secret of the program's settings.
    Secret,
}

impl EnvelopePurpose {
    fn tag(self) -> u8 {
        match self {
            Self::Keks => 1,
            Self::Shared => 2,
            Self::Secret => 3,
        }
    }
}

impl fmt::Display for EnvelopePurpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Keks => "object KEKs",
            Self::Shared => "shared CA keys",
            Self::Secret => "secret of that name",
        })
    }
}

/// Why an envelope was not sealed or not opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeFault {
    /// The recipient's public key.
    #[error("the recipient's sealing key is refused: {0}")]
    Recipient(#[from] SpkiFault),
    /// Not an envelope, or not of this version.
    #[error("not an envelope of version {VERSION}; the sender may run another release")]
    Malformed,
    /// More than can be sent at once.
    #[error("an envelope of {0} bytes; the limit is {ENVELOPE_BYTES_MAX}")]
    TooLarge(usize),
    /// From another cluster.
    #[error("the envelope belongs to cluster {found}, this node to {own}")]
    ForeignCluster {
        /// The cluster of the envelope.
        found: ClusterId,
        /// The cluster of this node.
        own: ClusterId,
    },
    /// For another purpose.
    #[error("the envelope holds {found}; {wanted} were expected")]
    Purpose {
        /// What it says it holds.
        found: EnvelopePurpose,
        /// What was asked for.
        wanted: EnvelopePurpose,
    },
    /// Altered, or sealed for another node.
    #[error("the envelope was sealed for another node's key, or was altered on the way")]
    Refused,
    /// The provider refused.
    #[error(transparent)]
    Provider(#[from] ProviderFault),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope {
    v: u8,
    purpose: EnvelopePurpose,
    cluster: ClusterId,
    #[serde(with = "serde_bytes")]
    ephemeral: Vec<u8>,
    #[serde(with = "serde_bytes")]
    wrapped: Vec<u8>,
    #[serde(with = "serde_bytes")]
    body: Vec<u8>,
}

/// One thing in an envelope; its bytes stay where they are.
pub(crate) struct Entry<'a> {
    pub(crate) tag: u8,
    pub(crate) parts: [&'a [u8]; 2],
}

/// Seals entries for the holder of a sealing key (P-384 SubjectPublicKeyInfo).
pub(crate) fn seal(
    purpose: EnvelopePurpose,
    cluster: &ClusterId,
    recipient: &[u8],
    entries: &[Entry<'_>],
) -> Result<Vec<u8>, EnvelopeFault> {
    let recipient = p384_point(recipient)?;
    let plain = lay_out(entries)?;
    let ephemeral = AgreementKey::generate()?;
    let context = context(purpose, cluster, ephemeral.point(), &recipient);
    let wrapping_key = ephemeral.agree(&recipient, LABEL, &[&context])?;
    let data_key = provider::random_secret(KEY_BYTES)?;
    let wrapped = provider::wrap(&wrapping_key, data_key.expose())?;
    let aad = [context.as_slice(), &wrapped].concat();
    let envelope = Envelope {
        v: VERSION,
        purpose,
        cluster: *cluster,
        ephemeral: ephemeral.point().to_vec(),
        body: provider::encrypt(&data_key, &aad, plain.expose())?,
        wrapped,
    };
    let bytes = codec::to_vec(&envelope);
    if bytes.len() > ENVELOPE_BYTES_MAX {
        return Err(EnvelopeFault::TooLarge(bytes.len()));
    }
    Ok(bytes)
}

/// Opens an envelope that was sealed for `own`. Total: any bytes give entries or a fault.
pub(crate) fn open(
    purpose: EnvelopePurpose,
    cluster: &ClusterId,
    own: &AgreementKey,
    bytes: &[u8],
) -> Result<Opened, EnvelopeFault> {
    if bytes.len() > ENVELOPE_BYTES_MAX {
        return Err(EnvelopeFault::TooLarge(bytes.len()));
    }
    let envelope: Envelope = codec::from_slice(bytes).map_err(|_| EnvelopeFault::Malformed)?;
    // CBOR has several forms for one value; only ours is taken, so that no altered byte passes.
    if envelope.v != VERSION || codec::to_vec(&envelope) != bytes {
        return Err(EnvelopeFault::Malformed);
    }
    if envelope.cluster != *cluster {
        return Err(EnvelopeFault::ForeignCluster {
            found: envelope.cluster,
            own: *cluster,
        });
    }
    if envelope.purpose != purpose {
        return Err(EnvelopeFault::Purpose {
            found: envelope.purpose,
            wanted: purpose,
        });
    }
    let ephemeral = envelope.ephemeral.as_slice().try_into();
    let ephemeral: [u8; P384_POINT_BYTES] = ephemeral.map_err(|_| EnvelopeFault::Malformed)?;
    let context = context(purpose, cluster, &ephemeral, own.point());
    let refused = |_| EnvelopeFault::Refused;
    let wrapping_key = own.agree(&ephemeral, LABEL, &[&context]).map_err(refused)?;
    let data_key = provider::unwrap(&wrapping_key, &envelope.wrapped).map_err(refused)?;
    let aad = [context.as_slice(), &envelope.wrapped].concat();
    let plain = provider::decrypt(&data_key, &aad, &envelope.body).map_err(refused)?;
    Ok(Opened(plain))
}

/// The entries of an opened envelope.
pub(crate) struct Opened(Secret);

impl Opened {
    /// The entries in the order they were sealed in.
    pub(crate) fn entries(&self) -> Result<Vec<(u8, &[u8])>, EnvelopeFault> {
        let mut entries = Vec::new();
        let mut rest = self.0.expose();
        while let Some(([tag, length @ ..], after)) = rest.split_first_chunk::<ENTRY_HEAD_BYTES>() {
            let length = u32::from_be_bytes(*length) as usize;
            let split = after.split_at_checked(length);
            let (bytes, after) = split.ok_or(EnvelopeFault::Malformed)?;
            entries.push((*tag, bytes));
            rest = after;
        }
        if rest.is_empty() {
            Ok(entries)
        } else {
            Err(EnvelopeFault::Malformed)
        }
    }
}

/// What the wrapping key is bound to.
fn context(
    purpose: EnvelopePurpose,
    cluster: &ClusterId,
    ephemeral: &[u8; P384_POINT_BYTES],
    recipient: &[u8; P384_POINT_BYTES],
) -> Vec<u8> {
    let parts: [&[u8]; 4] = [&[purpose.tag()], cluster.as_bytes(), ephemeral, recipient];
    parts.concat()
}

/// The entries one after the other, in a buffer of the final size.
fn lay_out(entries: &[Entry<'_>]) -> Result<Secret, EnvelopeFault> {
    let content = |entry: &Entry<'_>| entry.parts.iter().map(|part| part.len()).sum::<usize>();
    let bytes = entries.iter().map(|e| ENTRY_HEAD_BYTES + content(e)).sum();
    if bytes > ENVELOPE_BYTES_MAX {
        return Err(EnvelopeFault::TooLarge(bytes));
    }
    Secret::try_init_with(bytes, |buffer| {
        let mut rest = buffer;
        for entry in entries {
            let length = u32::try_from(content(entry));
            let length = length.map_err(|_| EnvelopeFault::TooLarge(content(entry)))?;
            let head: [&[u8]; 2] = [&[entry.tag], &length.to_be_bytes()];
            for part in head.into_iter().chain(entry.parts) {
                let (place, after) = std::mem::take(&mut rest).split_at_mut(part.len());
                place.copy_from_slice(part);
                rest = after;
            }
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests;
