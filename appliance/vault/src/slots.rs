//! Seal slots: the ways in. Each slot wraps the same root key under another credential.
//!
//! ```text
//! kind 1 passphrase : W = PBKDF2-HMAC-SHA-256(passphrase, salt, iterations)   AES-KWP(W′, root)
//! kind 2 key file   : W = 32 random bytes in a file of their own              AES-KWP(W′, root)
//! kind 3 PKCS#11    : W never leaves the token        AES-256-GCM in the token, AAD = binding
//! kind 4 Shamir     : W = 32 random bytes that k of n people have shares of   AES-KWP(W′, root)
//! kind 5            : TPM 2.0: reserved; this version keeps but cannot open it
//! W′ = KBKDF(W, "strongroom slot", binding)                 binding = cluster ‖ slot id ‖ kind
//! ```
//!
//! **Renewing the root** (when an epoch is retired) means wrapping a new root in every slot. That
//! needs the wrapping key of each, so a slot that was used or made in this run keeps it in memory,
//! erased on drop: [`Held`]. It gives nothing to a reader of memory that the root key beside it
//! does not. A slot that was not used in this run (a recovery passphrase in a safe) cannot be
//! renewed; then the root stays, because a slot must never be broken silently, and the report names
//! the slot. `Vault::present` shows such a slot its credential on a running node.
//!
//! The new root is worth most where the old credential dies with the old root: a key file gets
//! fresh bytes and a token makes a fresh key and destroys the old one. A passphrase stays what it
//! is, so whoever has both it and an old copy of the keys folder can still open that old copy; so
//! do the shares of a key, which lie with their people.

use crate::disk::Disk;
use crate::hsm::{Hsm, HsmFault, TokenKeyId};
use crate::provider::{self, KEY_BYTES, ProviderFault, Standing};
use crate::secret::Secret;
use domain::{ClusterId, codec};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::fmt;
use std::io;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Most slots of a vault: each passphrase slot costs a PBKDF2 at every unlock by passphrase.
pub const SLOTS_MAX: usize = 8;
/// Fewest characters of a passphrase: the module refuses PBKDF2 below 14 bytes (SP 800-132 asks
/// for enough entropy; length is the part that can be checked).
pub const PASSPHRASE_CHARACTERS_MIN: usize = 14;
/// Longest passphrase, in bytes; longer input is a mistake, such as a whole file.
const PASSPHRASE_BYTES_MAX: usize = 1024;
/// Fewest PBKDF2 iterations: half a second on a small machine, 3 s under software emulation.
pub const PASSPHRASE_ITERATIONS_MIN: u32 = 600_000;
/// Most PBKDF2 iterations: a damaged or hostile slot must not hang the start for hours.
const PASSPHRASE_ITERATIONS_MAX: u32 = 20_000_000;
const SALT_BYTES: usize = 32;
/// Longest label, in bytes: it goes on one line of the console.
const LABEL_BYTES_MAX: usize = 64;

/// Number of a slot; never used again after the slot is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SlotId(pub u32);

impl fmt::Display for SlotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "slot {}", self.0)
    }
}

/// What opens a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SlotKind {
    /// A passphrase.
    Passphrase,
    /// A file with 32 random bytes; for `dev` only, because a file is as safe as its folder.
    KeyFile,
    /// A key inside a PKCS#11 token.
    Pkcs11,
    /// A key of which k of n people have shares ([`crate::shares`]).
    Shamir,
    /// A TPM 2.0; reserved.
    Tpm2,
    /// A kind of a later version, by its tag.
    Unknown(u8),
}

impl SlotKind {
    fn from_tag(tag: u8) -> Self {
        match tag {
            1 => Self::Passphrase,
            2 => Self::KeyFile,
            3 => Self::Pkcs11,
            4 => Self::Shamir,
            5 => Self::Tpm2,
            other => Self::Unknown(other),
        }
    }

    fn tag(self) -> u8 {
        match self {
            Self::Passphrase => 1,
            Self::KeyFile => 2,
            Self::Pkcs11 => 3,
            Self::Shamir => 4,
            Self::Tpm2 => 5,
            Self::Unknown(tag) => tag,
        }
    }

    /// Whether this version can open such a slot.
    pub fn is_supported(self) -> bool {
        matches!(
            self,
            Self::Passphrase | Self::KeyFile | Self::Pkcs11 | Self::Shamir
        )
    }

    /// What can be claimed for a slot of this kind. A token computes an approved algorithm in a
    /// module of its own, whose certificate is its vendor's affair. Shares are split and joined
    /// outside the module; what they open is wrapped like the others.
    pub fn standing(self) -> Standing {
        match self {
            Self::Passphrase | Self::KeyFile => provider::approved(),
            Self::Pkcs11 | Self::Shamir => Standing::ApprovedAlgorithm,
            Self::Tpm2 | Self::Unknown(_) => Standing::NotApproved,
        }
    }
}

impl fmt::Display for SlotKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passphrase => f.write_str("passphrase"),
            Self::KeyFile => f.write_str("key file"),
            Self::Pkcs11 => f.write_str("PKCS#11"),
            Self::Shamir => f.write_str("Shamir"),
            Self::Tpm2 => f.write_str("TPM 2.0"),
            Self::Unknown(tag) => write!(f, "kind {tag}"),
        }
    }
}

/// PBKDF2 iterations of a passphrase slot; stored in the slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PassphraseCost(NonZeroU32);

impl PassphraseCost {
    /// What an appliance uses.
    pub const STANDARD: Self = match NonZeroU32::new(PASSPHRASE_ITERATIONS_MIN) {
        Some(iterations) => Self(iterations),
        None => unreachable!(),
    };

    /// A higher cost; `None` below the standard or above what a start could bear.
    pub fn iterations(iterations: u32) -> Option<Self> {
        let allowed = PASSPHRASE_ITERATIONS_MIN..=PASSPHRASE_ITERATIONS_MAX;
        NonZeroU32::new(iterations)
            .filter(|_| allowed.contains(&iterations))
            .map(Self)
    }

    /// A cost for tests, 600 times too low for anything else.
    pub const fn danger_quick() -> Self {
        match NonZeroU32::new(1000) {
            Some(iterations) => Self(iterations),
            None => unreachable!(),
        }
    }
}

/// A slot to be made.
#[derive(Debug)]
pub struct NewSlot {
    credential: Credential,
    cost: PassphraseCost,
    recovery: bool,
    label: String,
}

impl NewSlot {
    /// A slot that this credential will open. A key file is made by this; only for the first slot
    /// of a vault may it exist already, so that a founding cut short by a power cut can be
    /// repeated.
    pub fn new(credential: Credential) -> Self {
        let label = credential.kind().to_string();
        Self {
            credential,
            cost: PassphraseCost::STANDARD,
            recovery: false,
            label,
        }
    }

    /// Marks the slot as the one for recovery: kept elsewhere, not used at every start.
    pub fn for_recovery(mut self) -> Self {
        self.recovery = true;
        self
    }

    /// Names the slot for people; at most 64 bytes, no control characters.
    pub fn labelled(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// Sets the cost of a passphrase; other kinds ignore it.
    pub fn at_cost(mut self, cost: PassphraseCost) -> Self {
        self.cost = cost;
        self
    }
}

/// What opens a vault.
#[derive(Debug)]
pub enum Credential {
    /// A passphrase, as UTF-8.
    Passphrase(Secret),
    /// Path of a key file.
    KeyFile(PathBuf),
    /// A token.
    Pkcs11(Arc<Hsm>),
    /// The key of 32 bytes that shares gave ([`crate::shares::combine`]), or of which shares are to
    /// be handed out.
    Shares(Secret),
}

impl Credential {
    /// The kind of slot it opens.
    pub fn kind(&self) -> SlotKind {
        match self {
            Self::Passphrase(_) => SlotKind::Passphrase,
            Self::KeyFile(_) => SlotKind::KeyFile,
            Self::Pkcs11(_) => SlotKind::Pkcs11,
            Self::Shares(_) => SlotKind::Shamir,
        }
    }
}

/// What is shown of a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotSummary {
    /// Its number.
    pub id: SlotId,
    /// What opens it.
    pub kind: SlotKind,
    /// Its name for people.
    pub label: String,
    /// Whether it is kept for recovery.
    pub recovery: bool,
    /// Whether this build can open it.
    pub supported: bool,
    /// Whether its credential was used or made in this run, so that the root can be renewed in it.
    pub held: bool,
}

/// Why a slot could not be made or used.
#[derive(Debug, thiserror::Error)]
pub enum SlotFault {
    /// Too few characters, too many bytes, or not UTF-8.
    #[error(
        "a passphrase has at least {PASSPHRASE_CHARACTERS_MIN} characters and at most \
         {PASSPHRASE_BYTES_MAX} bytes of UTF-8"
    )]
    Passphrase,
    /// Not a key that shares give.
    #[error("the key of a Shamir slot has {KEY_BYTES} bytes; this one has {0}")]
    SharedKey(usize),
    /// The label cannot be shown on one line.
    #[error("a slot label has 1 to {LABEL_BYTES_MAX} bytes and no control characters")]
    Label,
    /// The file cannot be read or written.
    #[error("the key file {} cannot be used: {source}", path.display())]
    KeyFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file exists but holds something else.
    #[error("{} is not a key file: it has {bytes} bytes instead of {KEY_BYTES}", path.display())]
    NotAKeyFile {
        /// The file.
        path: PathBuf,
        /// Its length, or more than a key file can have.
        bytes: usize,
    },
    /// A second slot would share the fate of the first when the file gets fresh bytes.
    #[error("{} exists already; each slot needs a key file of its own", .0.display())]
    KeyFileExists(PathBuf),
    /// The token of a removed slot was not used in this run.
    #[error("the token was not used in this run, so its key stays in it; delete it there")]
    TokenNotReached,
    /// The slot belongs to another token.
    #[error("the slot belongs to token {expected:?}; the settings name {given:?}")]
    WrongToken {
        /// In the slot.
        expected: String,
        /// In the settings.
        given: String,
    },
    /// The token did not answer as asked.
    #[error(transparent)]
    Hsm(#[from] HsmFault),
    /// The slot's own bytes are damaged or from a later version.
    #[error("{0} is unreadable: damaged, or written by a later version")]
    Unreadable(SlotId),
    /// This build cannot open slots of that kind.
    #[error("this build cannot open a {kind} slot ({id}); use another slot")]
    Unsupported {
        /// The slot.
        id: SlotId,
        /// Its kind.
        kind: SlotKind,
    },
    /// The provider refused.
    #[error(transparent)]
    Provider(#[from] ProviderFault),
}

/// A slot as the keys folder holds it. `lock` is the CBOR of its kind, opaque to other kinds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SlotRecord {
    pub(crate) id: SlotId,
    kind: u8,
    label: String,
    pub(crate) recovery: bool,
    #[serde(with = "serde_bytes")]
    lock: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
struct PassphraseLock {
    #[serde(with = "serde_bytes")]
    salt: [u8; SALT_BYTES],
    iterations: NonZeroU32,
    #[serde(with = "serde_bytes")]
    root: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
struct KeyFileLock {
    #[serde(with = "serde_bytes")]
    root: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
struct SharesLock {
    #[serde(with = "serde_bytes")]
    root: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
struct Pkcs11Lock {
    token_serial: String,
    #[serde(with = "serde_bytes")]
    key: TokenKeyId,
    #[serde(with = "serde_bytes")]
    iv: [u8; 12],
    #[serde(with = "serde_bytes")]
    root: Vec<u8>,
}

/// Whether a key file may be there before its slot is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyFileRule {
    MakeOnly,
    AdoptOrMake,
}

/// What a slot keeps in memory so that a new root can be wrapped in it.
pub(crate) enum Held {
    Passphrase { wrapping: Secret },
    KeyFile { path: PathBuf, wrapping: Secret },
    Pkcs11 { hsm: Arc<Hsm> },
    Shares { wrapping: Secret },
}

#[cfg(test)]
impl Held {
    pub(crate) fn danger_key(&self) -> Option<Vec<u8>> {
        match self {
            Self::Passphrase { wrapping }
            | Self::KeyFile { wrapping, .. }
            | Self::Shares { wrapping } => Some(wrapping.expose().to_vec()),
            Self::Pkcs11 { .. } => None,
        }
    }
}

/// A slot with the new root in it. Nothing that opens the old root is gone until [`finish`] is
/// called, after the keys folder holds the new record.
///
/// [`finish`]: Renewal::finish
pub(crate) struct Renewal {
    pub(crate) record: SlotRecord,
    pub(crate) held: Held,
    outdated: Outdated,
}

enum Outdated {
    Nothing,
    KeyFileBytes,
    TokenKey(TokenKeyId),
}

impl Renewal {
    /// Destroys what opened the old root.
    pub(crate) fn finish(self, disk: &dyn Disk) -> (SlotId, Held, Result<(), SlotFault>) {
        let outcome = match (&self.outdated, &self.held) {
            (Outdated::KeyFileBytes, Held::KeyFile { path, wrapping }) => {
                write_key_file(disk, path, &[wrapping])
            }
            (Outdated::TokenKey(key), Held::Pkcs11 { hsm }) => {
                hsm.destroy_key(*key).map_err(SlotFault::Hsm)
            }
            _ => Ok(()),
        };
        (self.record.id, self.held, outcome)
    }
}

impl SlotRecord {
    pub(crate) fn kind(&self) -> SlotKind {
        SlotKind::from_tag(self.kind)
    }

    pub(crate) fn summary(&self, held: bool) -> SlotSummary {
        SlotSummary {
            id: self.id,
            kind: self.kind(),
            label: self.label.clone(),
            recovery: self.recovery,
            supported: self.kind().is_supported(),
            held,
        }
    }

    /// A record of a kind that this version cannot make, for tests of forward compatibility.
    #[cfg(test)]
    pub(crate) fn of_another_version(id: SlotId, kind: u8) -> Self {
        Self {
            id,
            kind,
            label: "from elsewhere".into(),
            recovery: true,
            lock: vec![0xF6],
        }
    }

    fn lock<T: DeserializeOwned>(&self) -> Result<T, SlotFault> {
        codec::from_slice(&self.lock).map_err(|_| SlotFault::Unreadable(self.id))
    }

    /// Makes a slot for `root`.
    pub(crate) fn enrol(
        disk: &dyn Disk,
        new: NewSlot,
        id: SlotId,
        cluster: &ClusterId,
        root: &Secret,
        key_file: KeyFileRule,
    ) -> Result<(Self, Held), SlotFault> {
        let one_line = !new.label.chars().any(char::is_control);
        if !one_line || !(1..=LABEL_BYTES_MAX).contains(&new.label.len()) {
            return Err(SlotFault::Label);
        }
        let kind = new.credential.kind();
        let bind = Binding { cluster, id, kind };
        let (lock, held) = match new.credential {
            Credential::Passphrase(passphrase) => {
                enrol_passphrase(&bind, &passphrase, new.cost, root)?
            }
            Credential::KeyFile(path) => enrol_key_file(disk, &bind, path, root, key_file)?,
            Credential::Pkcs11(hsm) => {
                let lock = lock_in_token(&bind, &hsm, root)?;
                (codec::to_vec(&lock), Held::Pkcs11 { hsm })
            }
            Credential::Shares(wrapping) => enrol_shares(&bind, wrapping, root)?,
        };
        let record = Self {
            id,
            kind: kind.tag(),
            label: new.label,
            recovery: new.recovery,
            lock,
        };
        Ok((record, held))
    }

    /// Tries a credential of this slot's kind; `None` when it does not open the slot.
    pub(crate) fn open(
        &self,
        disk: &dyn Disk,
        cluster: &ClusterId,
        credential: &Credential,
    ) -> Result<Option<(Secret, Held)>, SlotFault> {
        let bind = Binding {
            cluster,
            id: self.id,
            kind: self.kind(),
        };
        match credential {
            _ if !self.kind().is_supported() => Err(SlotFault::Unsupported {
                id: self.id,
                kind: self.kind(),
            }),
            Credential::Passphrase(passphrase) => {
                let lock: PassphraseLock = self.lock()?;
                if lock.iterations.get() > PASSPHRASE_ITERATIONS_MAX {
                    return Err(SlotFault::Unreadable(self.id));
                }
                let wrapping = provider::stretch(passphrase, &lock.salt, lock.iterations);
                let root = bind.unwrap(&wrapping, &lock.root)?;
                Ok(root.map(|root| (root, Held::Passphrase { wrapping })))
            }
            Credential::KeyFile(path) => {
                let lock: KeyFileLock = self.lock()?;
                for wrapping in read_key_file(disk, path)?.unwrap_or_default() {
                    if let Some(root) = bind.unwrap(&wrapping, &lock.root)? {
                        return Ok(Some((
                            root,
                            Held::KeyFile {
                                path: path.clone(),
                                wrapping,
                            },
                        )));
                    }
                }
                Ok(None)
            }
            Credential::Pkcs11(hsm) => {
                let lock: Pkcs11Lock = self.lock()?;
                let root = open_in_token(&bind, hsm, lock)?;
                Ok(Some((root, Held::Pkcs11 { hsm: hsm.clone() })))
            }
            Credential::Shares(wrapping) => {
                let lock: SharesLock = self.lock()?;
                let root = bind.unwrap(wrapping, &lock.root)?;
                let wrapping = Secret::copy_of(wrapping.expose());
                Ok(root.map(|root| (root, Held::Shares { wrapping })))
            }
        }
    }

    /// Wraps a new root in the slot; the credential of the old one still works afterwards.
    pub(crate) fn renew(
        &self,
        disk: &dyn Disk,
        cluster: &ClusterId,
        held: &Held,
        root: &Secret,
    ) -> Result<Renewal, SlotFault> {
        let bind = Binding {
            cluster,
            id: self.id,
            kind: self.kind(),
        };
        let (lock, held, outdated) = match held {
            Held::Passphrase { wrapping } => {
                let old: PassphraseLock = self.lock()?;
                let lock = PassphraseLock {
                    root: bind.wrap(wrapping, root)?,
                    ..old
                };
                let wrapping = Secret::copy_of(wrapping.expose());
                (
                    codec::to_vec(&lock),
                    Held::Passphrase { wrapping },
                    Outdated::Nothing,
                )
            }
            Held::KeyFile {
                path,
                wrapping: old,
            } => {
                let wrapping = provider::random_secret(KEY_BYTES)?;
                write_key_file(disk, path, &[&wrapping, old])?;
                let lock = KeyFileLock {
                    root: bind.wrap(&wrapping, root)?,
                };
                let held = Held::KeyFile {
                    path: path.clone(),
                    wrapping,
                };
                (codec::to_vec(&lock), held, Outdated::KeyFileBytes)
            }
            Held::Pkcs11 { hsm } => {
                let old: Pkcs11Lock = self.lock()?;
                let lock = lock_in_token(&bind, hsm, root)?;
                let held = Held::Pkcs11 { hsm: hsm.clone() };
                (codec::to_vec(&lock), held, Outdated::TokenKey(old.key))
            }
            Held::Shares { wrapping } => {
                let wrapping = Secret::copy_of(wrapping.expose());
                let (lock, held) = enrol_shares(&bind, wrapping, root)?;
                (lock, held, Outdated::Nothing)
            }
        };
        Ok(Renewal {
            record: Self {
                lock,
                ..self.clone()
            },
            held,
            outdated,
        })
    }

    /// Ends a renewal that a crash interrupted: a key file keeps only the bytes that open the slot.
    pub(crate) fn tidy(&self, disk: &dyn Disk, held: &Held) -> Result<(), SlotFault> {
        let Held::KeyFile { path, wrapping } = held else {
            return Ok(());
        };
        let keys = read_key_file(disk, path)?.unwrap_or_default();
        if keys.len() > 1 {
            write_key_file(disk, path, &[wrapping])
        } else {
            Ok(())
        }
    }

    /// Takes a renewal back that never reached the keys folder.
    pub(crate) fn abandon(&self, disk: &dyn Disk, renewal: &Renewal, old: &Held) {
        // Best effort: what stays behind opens nothing, because no copy holds the new record.
        let _ = match &renewal.held {
            Held::Passphrase { .. } | Held::Shares { .. } => Ok(()),
            Held::KeyFile { .. } => self.tidy(disk, old),
            Held::Pkcs11 { .. } => renewal.record.discard(Some(&renewal.held)),
        };
    }

    /// Destroys what opened a slot that has been removed, as far as this run can reach it. A key
    /// file is left for its owner to delete: it opens nothing any more.
    pub(crate) fn discard(&self, held: Option<&Held>) -> Result<(), SlotFault> {
        match (self.kind(), held) {
            (SlotKind::Pkcs11, Some(Held::Pkcs11 { hsm })) => {
                Ok(hsm.destroy_key(self.lock::<Pkcs11Lock>()?.key)?)
            }
            (SlotKind::Pkcs11, _) => Err(SlotFault::TokenNotReached),
            _ => Ok(()),
        }
    }
}

/// Ties a wrapped root to its place, so that no slot's bytes work as another's.
struct Binding<'a> {
    cluster: &'a ClusterId,
    id: SlotId,
    kind: SlotKind,
}

impl Binding<'_> {
    fn bytes(&self) -> Vec<u8> {
        let id = self.id.0.to_be_bytes();
        [self.cluster.as_bytes().as_slice(), &id, &[self.kind.tag()]].concat()
    }

    fn wrap(&self, wrapping: &Secret, root: &Secret) -> Result<Vec<u8>, ProviderFault> {
        provider::wrap(&self.key(wrapping)?, root.expose())
    }

    fn unwrap(&self, wrapping: &Secret, wrapped: &[u8]) -> Result<Option<Secret>, ProviderFault> {
        let key = self.key(wrapping)?;
        Ok(provider::unwrap(&key, wrapped)
            .ok()
            .filter(|root| root.len() == KEY_BYTES))
    }

    fn key(&self, wrapping: &Secret) -> Result<Secret, ProviderFault> {
        provider::derive(wrapping, "strongroom slot", &[&self.bytes()])
    }
}

fn enrol_passphrase(
    bind: &Binding<'_>,
    passphrase: &Secret,
    cost: PassphraseCost,
    root: &Secret,
) -> Result<(Vec<u8>, Held), SlotFault> {
    let text = std::str::from_utf8(passphrase.expose()).map_err(|_| SlotFault::Passphrase)?;
    if text.chars().count() < PASSPHRASE_CHARACTERS_MIN || text.len() > PASSPHRASE_BYTES_MAX {
        return Err(SlotFault::Passphrase);
    }
    let salt: [u8; SALT_BYTES] = provider::random_array()?;
    let wrapping = provider::stretch(passphrase, &salt, cost.0);
    let root = bind.wrap(&wrapping, root)?;
    let lock = PassphraseLock {
        salt,
        iterations: cost.0,
        root,
    };
    Ok((codec::to_vec(&lock), Held::Passphrase { wrapping }))
}

fn enrol_key_file(
    disk: &dyn Disk,
    bind: &Binding<'_>,
    path: PathBuf,
    root: &Secret,
    rule: KeyFileRule,
) -> Result<(Vec<u8>, Held), SlotFault> {
    let wrapping = match read_key_file(disk, &path)?.and_then(|keys| keys.into_iter().next()) {
        Some(_) if rule == KeyFileRule::MakeOnly => return Err(SlotFault::KeyFileExists(path)),
        Some(wrapping) => wrapping,
        None => {
            let wrapping = provider::random_secret(KEY_BYTES)?;
            write_key_file(disk, &path, &[&wrapping])?;
            wrapping
        }
    };
    let lock = KeyFileLock {
        root: bind.wrap(&wrapping, root)?,
    };
    Ok((codec::to_vec(&lock), Held::KeyFile { path, wrapping }))
}

/// The shares themselves are nowhere in the slot, nor is how many there are.
fn enrol_shares(
    bind: &Binding<'_>,
    wrapping: Secret,
    root: &Secret,
) -> Result<(Vec<u8>, Held), SlotFault> {
    if wrapping.len() != KEY_BYTES {
        return Err(SlotFault::SharedKey(wrapping.len()));
    }
    let lock = SharesLock {
        root: bind.wrap(&wrapping, root)?,
    };
    Ok((codec::to_vec(&lock), Held::Shares { wrapping }))
}

/// A key file holds one key, or two while a new root is on its way: the new one and the old one.
fn read_key_file(disk: &dyn Disk, path: &Path) -> Result<Option<Vec<Secret>>, SlotFault> {
    let limit = 2 * KEY_BYTES as u64 + 1;
    let bytes = disk
        .read(path, limit)
        .map_err(|source| SlotFault::KeyFile {
            path: path.to_owned(),
            source,
        })?;
    let Some(bytes) = bytes.map(Secret::take) else {
        return Ok(None);
    };
    if bytes.len() != KEY_BYTES && bytes.len() != 2 * KEY_BYTES {
        return Err(SlotFault::NotAKeyFile {
            path: path.to_owned(),
            bytes: bytes.len(),
        });
    }
    Ok(Some(
        bytes
            .expose()
            .chunks_exact(KEY_BYTES)
            .map(Secret::copy_of)
            .collect(),
    ))
}

fn write_key_file(disk: &dyn Disk, path: &Path, keys: &[&Secret]) -> Result<(), SlotFault> {
    let keys: Vec<&[u8]> = keys.iter().map(|key| key.expose()).collect();
    let bytes = Secret::take(keys.concat());
    disk.replace(path, bytes.expose())
        .map_err(|source| SlotFault::KeyFile {
            path: path.to_owned(),
            source,
        })
}

fn lock_in_token(bind: &Binding<'_>, hsm: &Hsm, root: &Secret) -> Result<Pkcs11Lock, SlotFault> {
    let key: TokenKeyId = provider::random_array()?;
    hsm.make_key(key, format!("strongroom {} {}", bind.cluster, bind.id))?;
    let (iv, wrapped) = hsm.encrypt(key, bind.bytes(), root)?;
    let lock = Pkcs11Lock {
        token_serial: hsm.token_serial().to_owned(),
        key,
        iv,
        root: wrapped,
    };
    // Read back before anything depends on it: tokens that accept what they cannot decrypt exist.
    let back = hsm.decrypt(key, iv, bind.bytes(), lock.root.clone())?;
    if back.ct_eq(root) {
        return Ok(lock);
    }
    Err(HsmFault::Refused("the token did not give back what it had encrypted".into()).into())
}

fn open_in_token(bind: &Binding<'_>, hsm: &Hsm, lock: Pkcs11Lock) -> Result<Secret, SlotFault> {
    if lock.token_serial != hsm.token_serial() {
        let given = hsm.token_serial().to_owned();
        return Err(SlotFault::WrongToken {
            expected: lock.token_serial,
            given,
        });
    }
    Ok(hsm.decrypt(lock.key, lock.iv, bind.bytes(), lock.root)?)
}
