//! What can go wrong in a vault, one enum per operation.

use super::secrets::{RESERVED_PREFIX, SECRET_BYTES_MAX, SECRETS_MAX};
use crate::keys_file::{KeysFileFault, KeysWriteFault};
use crate::provider::ProviderFault;
use crate::slots::{SLOTS_MAX, SlotFault, SlotId, SlotKind};
use domain::Epoch;
use std::io;

/// Why a vault could not be founded.
#[derive(Debug, thiserror::Error)]
pub enum InitialiseFault {
    /// There are keys already; founding again would destroy them.
    #[error("there are keys in {0} already; unlock them, or reset the appliance first")]
    Occupied(String),
    /// The folder could not be made.
    #[error("the keys folder could not be made: {0}")]
    Folder(#[from] io::Error),
    /// The folder could not be read.
    #[error(transparent)]
    Read(#[from] KeysFileFault),
    /// The folder could not be written.
    #[error(transparent)]
    Write(#[from] KeysWriteFault),
    /// The first slot could not be made.
    #[error(transparent)]
    Slot(#[from] SlotFault),
    /// The provider refused.
    #[error(transparent)]
    Provider(#[from] ProviderFault),
}

/// Why a vault could not be unlocked.
#[derive(Debug, thiserror::Error)]
pub enum UnlockFault {
    /// The keys folder cannot be read.
    #[error(transparent)]
    Folder(#[from] KeysFileFault),
    /// No slot of the credential's kind.
    #[error("no {kind} slot in this vault; it has: {}", list(present))]
    NoSlotOfKind {
        /// The kind of the credential.
        kind: SlotKind,
        /// The kinds there are.
        present: Vec<SlotKind>,
    },
    /// The credential is wrong.
    #[error("the {0} opens no slot of this vault")]
    Refused(SlotKind),
    /// A slot could not be tried.
    #[error(transparent)]
    Slot(#[from] SlotFault),
    /// The slot opened, but the folder around it was edited.
    #[error("the keys folder was altered outside this program; restore the keys partition")]
    Altered,
    /// A wrapped key does not unwrap although the folder is authentic: a defect or a bad memory.
    #[error("the {0} in the keys folder does not unwrap")]
    Damaged(&'static str),
}

fn list(kinds: &[SlotKind]) -> String {
    kinds
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}

/// Why slots could not be changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeFault {
    /// Too many slots.
    #[error("a vault has at most {SLOTS_MAX} slots; remove one first")]
    TooManySlots,
    /// There is no such slot.
    #[error("there is no {0}")]
    NoSuchSlot(SlotId),
    /// Nothing would be left to unlock with.
    #[error("{0} is the last slot that this version can open; add another one first")]
    LastSlot(SlotId),
    /// The slot could not be made.
    #[error(transparent)]
    Slot(#[from] SlotFault),
    /// The keys folder could not be written.
    #[error(transparent)]
    Write(#[from] KeysWriteFault),
}

/// Why an epoch could not be opened, adopted or retired.
#[derive(Debug, thiserror::Error)]
pub enum EpochFault {
    /// New objects are sealed in it.
    #[error("epoch {} is the current one; open the next epoch and re-seal first", .0.0)]
    Current(Epoch),
    /// It has never been opened.
    #[error("epoch {} has never been opened here", .0.0)]
    Unknown(Epoch),
    /// A KEK is drawn for the epoch after the current one only.
    #[error("a KEK can be drawn for epoch {} only, not for epoch {}", next.0, asked.0)]
    NotNext {
        /// What was asked for.
        asked: Epoch,
        /// What follows the current epoch.
        next: Epoch,
    },
    /// This node has joined but has not received the ring.
    #[error("this node holds no object KEKs yet; import them from another member first")]
    NoRing,
    /// The KEK that the cluster chose is not among the candidates here.
    #[error("the KEK of epoch {} is not held here; import it from another member", .0.0)]
    NoCandidate(Epoch),
    /// The epoch has a KEK here, and it is not the one that was asked for.
    #[error("epoch {} has another KEK here; this node must be removed and join again", .0.0)]
    Conflict(Epoch),
    /// Its KEK was destroyed here, and that is final.
    #[error("epoch {} is retired here; its KEK never comes back", .0.0)]
    Retired(Epoch),
    /// 2³² epochs.
    #[error("there are no epoch numbers left")]
    Exhausted,
    /// The keys folder could not be written.
    #[error(transparent)]
    Write(#[from] KeysWriteFault),
    /// The provider refused.
    #[error(transparent)]
    Provider(#[from] ProviderFault),
}

/// Why a named secret could not be stored or read.
#[derive(Debug, thiserror::Error)]
pub enum SecretFault {
    /// Not a name.
    #[error("{0:?} is no name for a secret: 1 to 64 characters of [A-Za-z0-9._-]")]
    Name(String),
    /// A name of the vault itself.
    #[error("names that begin with {RESERVED_PREFIX:?} belong to the vault")]
    Reserved,
    /// Empty or too long.
    #[error("a secret has 1 to {SECRET_BYTES_MAX} bytes; this one has {0}")]
    Length(usize),
    /// Too many.
    #[error("a vault holds at most {SECRETS_MAX} named secrets")]
    TooMany,
    /// Something the vault made itself is missing or unreadable.
    #[error("the vault's own secret {0:?} is missing or damaged")]
    Damaged(String),
    /// The keys folder could not be written.
    #[error(transparent)]
    Write(#[from] KeysWriteFault),
    /// The provider refused.
    #[error(transparent)]
    Provider(#[from] ProviderFault),
}
