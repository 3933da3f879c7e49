//! The keys folder: slots, ring and named secrets, in one format written twice.
//!
//! ```text
//! keys.a, keys.b = "SRKEYS\0\x01" ‖ copy bytes (u32) ‖ sequence (u64) ‖ body bytes (u32)
//!                  ‖ body (CBOR) ‖ HMAC-SHA-256(folder key, sequence ‖ body) ‖ zeros
//!                  ‖ SHA-256(everything before)                       integers are big-endian
//! ```
//!
//! The digest tells a torn copy from a whole one before anything is unlocked; the HMAC, under a key
//! derived from the root, tells an edited copy from one that this program wrote. The newer whole
//! copy wins. A change is written into the other copy first, in place, synced, and then into the
//! winner: at every moment one copy is whole, and afterwards neither holds the previous state. A
//! copy never shrinks, so the new bytes always cover the old.
//!
//! The folder is not part of the data folder, and must not be in the same backup: together they
//! hold everything but the credential of a slot.

use crate::disk::Disk;
use crate::provider::{self, DIGEST_BYTES, ProviderFault};
use crate::ring::{Ring, Root};
use crate::secret::Secret;
use crate::slots::SlotRecord;
use domain::codec;
use domain::{ClusterId, Epoch};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use subtle::ConstantTimeEq;

const MAGIC: &[u8; 8] = b"SRKEYS\0\x01";
const HEAD_BYTES: usize = MAGIC.len() + 4 + 8 + 4;
/// Copies grow by whole blocks, so that overwriting reaches the same sectors.
const BLOCK_BYTES: usize = 4096;
/// Largest copy, in bytes: two of them and a file system fit the 16 MiB keys partition many times,
/// and the 256 named secrets allowed need a third of it.
pub(crate) const COPY_BYTES_MAX: usize = 4 * 1024 * 1024;
const COPY_NAMES: [&str; 2] = ["keys.a", "keys.b"];

/// What the folder holds. Everything secret in it is wrapped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Body {
    pub(crate) cluster: ClusterId,
    /// The id of the next slot; ids are never used again, so a log line names one slot for ever.
    pub(crate) next_slot: u32,
    pub(crate) slots: Vec<SlotRecord>,
    pub(crate) ring: BTreeMap<u32, serde_bytes::ByteBuf>,
    #[serde(with = "serde_bytes")]
    pub(crate) config: Vec<u8>,
    pub(crate) secrets: BTreeMap<String, serde_bytes::ByteBuf>,
    /// Wrapped KEKs that may become an epoch's, the oldest first.
    #[serde(default)]
    pub(crate) candidates: Vec<(u32, serde_bytes::ByteBuf)>,
    /// No epoch up to this one is ever taken in again. Absent in folders from before clusters.
    #[serde(default)]
    pub(crate) retired_to: Option<u32>,
    /// The node has joined and not yet received the ring; otherwise an empty ring is damage.
    #[serde(default)]
    pub(crate) awaits_ring: bool,
}

impl Body {
    /// Takes over the ring, wrapped under `root`.
    pub(crate) fn set_ring(&mut self, ring: &Ring, root: &Root) -> Result<(), ProviderFault> {
        self.ring = ring
            .keks()
            .map(|(epoch, kek)| Ok((epoch.0, root.wrap_kek(epoch, kek.key())?.into())))
            .collect::<Result<_, ProviderFault>>()?;
        self.candidates = ring
            .candidates()
            .map(|(epoch, kek)| Ok((epoch.0, root.wrap_candidate(epoch, kek.key())?.into())))
            .collect::<Result<_, ProviderFault>>()?;
        self.awaits_ring &= ring.is_empty();
        Ok(())
    }

    /// The newest epoch whose KEK was destroyed here. A folder from before clusters belongs to the
    /// only node of its cluster: whatever is older than its oldest KEK was retired there.
    pub(crate) fn retired_to(&self) -> Epoch {
        let oldest = self.ring.keys().next().copied().unwrap_or(0);
        Epoch(self.retired_to.unwrap_or(oldest.saturating_sub(1)))
    }
}

/// What is wrong with one copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CopyFault {
    #[error("is missing")]
    Missing,
    #[error("is not a keys file of this version")]
    Foreign,
    #[error("is torn or altered: its digest does not match")]
    Torn,
    #[error("has an unreadable body")]
    Body,
}

/// Why the keys folder cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum KeysFileFault {
    /// The operating system refused.
    #[error("the keys folder {} cannot be read: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is nothing to unlock.
    #[error("there are no keys in {}: initialise the appliance first", .0.display())]
    Absent(PathBuf),
    /// Neither copy is whole.
    #[error(
        "both copies in {} are unusable: keys.a {a}, keys.b {b}; restore the keys partition or \
         recover the node from its cluster",
        folder.display()
    )]
    BothDamaged {
        /// The folder.
        folder: PathBuf,
        /// What is wrong with `keys.a`.
        a: String,
        /// What is wrong with `keys.b`.
        b: String,
    },
}

/// Why a change did not reach the keys folder.
#[derive(Debug, thiserror::Error)]
pub enum KeysWriteFault {
    /// The change is not in force here; whether it is after a restart is unknown until the next
    /// change succeeds, which settles it.
    #[error("the keys folder could not be written ({0}); nothing was changed in this run")]
    NotWritten(io::Error),
    /// The change is in force and durable, but the second copy still holds the state before it.
    #[error("the second copy of the keys could not be written ({0}); the change is in force")]
    Mirror(io::Error),
    /// The provider refused.
    #[error(transparent)]
    Provider(#[from] provider::ProviderFault),
    /// More than the folder can hold.
    #[error("the keys folder would need {bytes} bytes; the limit is {COPY_BYTES_MAX}")]
    TooLarge {
        /// What it would need.
        bytes: usize,
    },
}

impl KeysWriteFault {
    /// Whether the change took effect all the same.
    pub fn is_in_force(&self) -> bool {
        matches!(self, Self::Mirror(_))
    }
}

/// One whole copy: its digest is right, its HMAC not yet checked.
#[derive(Debug)]
pub(crate) struct WholeCopy {
    pub(crate) sequence: u64,
    pub(crate) body: Body,
    body_bytes: Vec<u8>,
    mac: [u8; DIGEST_BYTES],
}

impl WholeCopy {
    /// Takes a copy apart. Total: any bytes give a copy or a fault.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, CopyFault> {
        let (content, digest) = bytes
            .split_last_chunk::<DIGEST_BYTES>()
            .ok_or(CopyFault::Foreign)?;
        let (magic, rest) = content.split_first_chunk::<8>().ok_or(CopyFault::Foreign)?;
        if magic != MAGIC {
            return Err(CopyFault::Foreign);
        }
        let (copy_bytes, rest) = rest.split_first_chunk::<4>().ok_or(CopyFault::Torn)?;
        if u32::from_be_bytes(*copy_bytes) as usize != bytes.len()
            || &provider::sha256(&[content]) != digest
        {
            return Err(CopyFault::Torn);
        }
        let (sequence, rest) = rest.split_first_chunk::<8>().ok_or(CopyFault::Body)?;
        let (body_bytes, rest) = rest.split_first_chunk::<4>().ok_or(CopyFault::Body)?;
        let body_len = u32::from_be_bytes(*body_bytes) as usize;
        let (body, rest) = rest.split_at_checked(body_len).ok_or(CopyFault::Body)?;
        let (mac, _) = rest
            .split_first_chunk::<DIGEST_BYTES>()
            .ok_or(CopyFault::Body)?;
        Ok(Self {
            sequence: u64::from_be_bytes(*sequence),
            body: codec::from_slice(body).map_err(|_| CopyFault::Body)?,
            body_bytes: body.to_vec(),
            mac: *mac,
        })
    }

    /// Whether this program wrote the copy, under the root that `folder_key` comes from.
    pub(crate) fn is_authentic(&self, folder_key: &Secret) -> bool {
        let sequence = self.sequence.to_be_bytes();
        let mac = provider::hmac_sha256(folder_key, &[&sequence, &self.body_bytes]);
        mac.ct_eq(&self.mac).into()
    }
}

/// Lays a copy out in `copy_bytes` or as many blocks as it needs, whichever is more.
fn lay_out(
    sequence: u64,
    body: &Body,
    folder_key: &Secret,
    copy_bytes: usize,
) -> Result<Vec<u8>, KeysWriteFault> {
    let body = codec::to_vec(body);
    let needed = (HEAD_BYTES + body.len() + 2 * DIGEST_BYTES).next_multiple_of(BLOCK_BYTES);
    let bytes = needed.max(copy_bytes);
    let too_large = KeysWriteFault::TooLarge { bytes: needed };
    let (Ok(total), Ok(body_len)) = (u32::try_from(bytes), u32::try_from(body.len())) else {
        return Err(too_large);
    };
    if needed > COPY_BYTES_MAX {
        return Err(too_large);
    }
    let sequence = sequence.to_be_bytes();
    let mut copy = Vec::with_capacity(bytes);
    copy.extend_from_slice(MAGIC);
    copy.extend_from_slice(&total.to_be_bytes());
    copy.extend_from_slice(&sequence);
    copy.extend_from_slice(&body_len.to_be_bytes());
    copy.extend_from_slice(&body);
    copy.extend_from_slice(&provider::hmac_sha256(folder_key, &[&sequence, &body]));
    copy.resize(bytes - DIGEST_BYTES, 0);
    let digest = provider::sha256(&[&copy]);
    copy.extend_from_slice(&digest);
    Ok(copy)
}

/// The folder of a running node.
pub(crate) struct KeysFolder {
    disk: Box<dyn Disk>,
    folder: PathBuf,
    /// The highest sequence number ever tried: a failed write may have reached the disk.
    sequence: u64,
    copy_bytes: usize,
    /// Index of the copy that surely holds the state in force; the other is written first.
    winner: usize,
    /// Whether the other copy may differ from the winner.
    unsettled: bool,
}

impl KeysFolder {
    /// Founds the folder. The first copy appears atomically: before it there is nothing to unlock,
    /// after it everything.
    pub(crate) fn found(
        disk: Box<dyn Disk>,
        folder: &Path,
        body: &Body,
        folder_key: &Secret,
    ) -> Result<Self, KeysWriteFault> {
        let mut keys = Self {
            disk,
            folder: folder.to_owned(),
            sequence: 1,
            copy_bytes: BLOCK_BYTES,
            winner: 0,
            unsettled: true,
        };
        let copy = lay_out(keys.sequence, body, folder_key, keys.copy_bytes)?;
        let first = keys.path(0);
        keys.disk
            .replace(&first, &copy)
            .map_err(KeysWriteFault::NotWritten)?;
        keys.settle(body, folder_key)?;
        Ok(keys)
    }

    /// Whether the folder holds keys, whole or damaged.
    pub(crate) fn is_occupied(disk: &dyn Disk, folder: &Path) -> Result<bool, KeysFileFault> {
        let copies = COPY_NAMES.map(|name| read(disk, &folder.join(name)));
        for copy in copies {
            if copy?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Reads both copies and gives the newer whole one.
    pub(crate) fn load(
        disk: Box<dyn Disk>,
        folder: &Path,
    ) -> Result<(Self, WholeCopy), KeysFileFault> {
        let [a, b] = COPY_NAMES.map(|name| read(&*disk, &folder.join(name)));
        let (a, b) = (a?, b?);
        let copy_bytes = [&a, &b]
            .into_iter()
            .flatten()
            .map(Vec::len)
            .max()
            .unwrap_or(0);
        let same = a.is_some() && a == b;
        let (winner, copy) = choose(a.as_deref(), b.as_deref()).map_err(|[a, b]| {
            if a == CopyFault::Missing && b == CopyFault::Missing {
                return KeysFileFault::Absent(folder.to_owned());
            }
            let (a, b) = (a.to_string(), b.to_string());
            KeysFileFault::BothDamaged {
                folder: folder.to_owned(),
                a,
                b,
            }
        })?;
        let keys = Self {
            disk,
            folder: folder.to_owned(),
            sequence: copy.sequence,
            copy_bytes: copy_bytes.min(COPY_BYTES_MAX),
            winner,
            unsettled: !same,
        };
        Ok((keys, copy))
    }

    pub(crate) fn disk(&self) -> &dyn Disk {
        &*self.disk
    }

    pub(crate) fn is_unsettled(&self) -> bool {
        self.unsettled
    }

    /// Makes `body` the content of both copies.
    pub(crate) fn write(&mut self, body: &Body, folder_key: &Secret) -> Result<(), KeysWriteFault> {
        let copy = lay_out(self.sequence + 1, body, folder_key, self.copy_bytes)?;
        let (first, second) = (1 - self.winner, self.winner);
        self.unsettled = true;
        self.sequence += 1;
        let first_path = self.path(first);
        self.disk
            .overwrite(&first_path, &copy)
            .map_err(KeysWriteFault::NotWritten)?;
        self.winner = first;
        self.copy_bytes = copy.len();
        self.disk
            .overwrite(&self.path(second), &copy)
            .map_err(KeysWriteFault::Mirror)?;
        self.unsettled = false;
        Ok(())
    }

    /// Writes the state in force again if a copy may differ from it.
    pub(crate) fn settle(
        &mut self,
        body: &Body,
        folder_key: &Secret,
    ) -> Result<(), KeysWriteFault> {
        if self.unsettled {
            self.write(body, folder_key)
        } else {
            Ok(())
        }
    }

    fn path(&self, index: usize) -> PathBuf {
        self.folder.join(COPY_NAMES.get(index).unwrap_or(&"keys.a"))
    }
}

fn read(disk: &dyn Disk, path: &Path) -> Result<Option<Vec<u8>>, KeysFileFault> {
    // One byte more than allowed, so that a longer file cannot pass for a whole copy.
    disk.read(path, COPY_BYTES_MAX as u64 + 1)
        .map_err(|source| KeysFileFault::Io {
            path: path.to_owned(),
            source,
        })
}

/// The newer whole copy with its index, or what is wrong with each.
pub(crate) fn choose(
    a: Option<&[u8]>,
    b: Option<&[u8]>,
) -> Result<(usize, WholeCopy), [CopyFault; 2]> {
    let parse = |bytes: Option<&[u8]>| bytes.ok_or(CopyFault::Missing).and_then(WholeCopy::parse);
    match (parse(a), parse(b)) {
        (Ok(a), Ok(b)) if b.sequence > a.sequence => Ok((1, b)),
        (Ok(a), _) => Ok((0, a)),
        (Err(_), Ok(b)) => Ok((1, b)),
        (Err(a), Err(b)) => Err([a, b]),
    }
}

#[cfg(test)]
mod tests;
