//! What members hand on to each other: the ring with its candidates, the keys of the CAs, and named
//! secrets of the program's settings.
//!
//! Importing adds and never replaces: an epoch that is held with another KEK is a contradiction
//! that is named and leaves everything as it was, and an epoch that was retired here stays away,
//! also when a member that was long absent still has it. So importing the same envelope again, or
//! an older one, changes nothing. Whatever an import adds is durable before it returns.

use super::secrets::check_public_name;
use super::{KeysWriteFault, SecretFault, Vault};
use crate::ca::{Authority, CaFault, LOCAL_CA_NAME, StoredCa};
use crate::cluster_ca::{CLUSTER_CA_NAME, StoredClusterCa, check_certificates};
use crate::envelope::{self, Entry, EnvelopeFault, EnvelopePurpose, Opened};
use crate::provider::{KEY_BYTES, ProviderFault};
use crate::ring::{Kek, Ring};
use crate::secret::Secret;
use domain::{ClusterId, Epoch, codec};
use std::cmp::Ordering;

/// Tags of entries. A tag is never given another meaning.
const EPOCH_TAG: u8 = 1;
const CANDIDATE_TAG: u8 = 2;
const LOCAL_CA_TAG: u8 = 3;
const CLUSTER_CA_TAG: u8 = 4;
/// Length of the name, the name, the secret.
const SECRET_TAG: u8 = 5;
const EPOCH_BYTES: usize = 4;

/// Why keys were not exported or not imported.
#[derive(Debug, thiserror::Error)]
pub enum TransferFault {
    /// This node was not given what it is asked for.
    #[error("this node holds no {0} to hand on; ask another member")]
    NothingHeld(EnvelopePurpose),
    /// The envelope.
    #[error(transparent)]
    Envelope(#[from] EnvelopeFault),
    /// What was in the envelope is not what a member sends.
    #[error("the envelope opened, but its content is not what a member of this release sends")]
    Content,
    /// Two KEKs for one epoch: one of the two nodes is not what it claims to be.
    #[error(
        "epoch {} has another KEK here than at the sender; nothing was imported; find out which \
         of the two belongs to the cluster log, remove the other node and let it join again",
        .0.0
    )]
    Conflict(Epoch),
    /// Two CAs where there can be one.
    #[error(
        "the {0} here is not the sender's; nothing was imported; remove this node from the cluster \
         and let it join again"
    )]
    ConflictingCa(&'static str),
    /// A CA that cannot be used.
    #[error(transparent)]
    Ca(#[from] CaFault),
    /// A named secret.
    #[error(transparent)]
    Secret(#[from] SecretFault),
    /// The keys folder.
    #[error(transparent)]
    Write(#[from] KeysWriteFault),
    /// The provider refused.
    #[error(transparent)]
    Provider(#[from] ProviderFault),
}

impl Vault {
    /// Seals the KEKs of all held epochs, and the candidates, for the node with this sealing key
    /// ([`NodeIdentity::sealing_key`](crate::NodeIdentity)).
    pub fn export_keks(&self, recipient_sealing_key: &[u8]) -> Result<Vec<u8>, TransferFault> {
        let purpose = EnvelopePurpose::Keks;
        let ring = self.ring();
        let tagged = |tag| move |(epoch, kek): (Epoch, _)| (tag, epoch.0.to_be_bytes(), kek);
        let held = ring.keks().map(tagged(EPOCH_TAG));
        let held: Vec<(u8, [u8; EPOCH_BYTES], &Kek)> = held
            .chain(ring.candidates().map(tagged(CANDIDATE_TAG)))
            .collect();
        if held.is_empty() {
            return Err(TransferFault::NothingHeld(purpose));
        }
        let entries = held.iter().map(|(tag, epoch, kek)| Entry {
            tag: *tag,
            parts: [epoch, kek.key().expose()],
        });
        let entries: Vec<_> = entries.collect();
        Ok(envelope::seal(
            purpose,
            &self.cluster,
            recipient_sealing_key,
            &entries,
        )?)
    }

    /// Takes in what another member exported for this node. Gives the epochs that are new here,
    /// oldest first; candidates are taken in as well ([`Vault::holds_candidate`]).
    pub fn import_keks(&self, envelope: &[u8]) -> Result<Vec<Epoch>, TransferFault> {
        let own = self.node_keys()?.sealing;
        let opened = envelope::open(EnvelopePurpose::Keks, &self.cluster, &own, envelope)?;
        let sent = SentKeks::read(&self.cluster, &opened)?;
        let mut keys = self.keys.lock();
        keys.settle()?;
        let merged = merge(&self.ring(), sent, keys.body.retired_to())?;
        if let Some(ring) = merged.changed {
            self.write_ring(&mut keys, ring)?;
        }
        Ok(merged.new_epochs)
    }

    /// Seals the Local CA and the cluster CA with their keys for the node with this sealing key.
    /// A CA that this node does not have is left out.
    pub fn export_shared(&self, recipient_sealing_key: &[u8]) -> Result<Vec<u8>, TransferFault> {
        let purpose = EnvelopePurpose::Shared;
        let (local, cluster) = {
            let keys = self.keys.lock();
            (keys.secret(LOCAL_CA_NAME)?, keys.secret(CLUSTER_CA_NAME)?)
        };
        let local = local.as_ref().map(|local| (LOCAL_CA_TAG, local));
        let cluster = cluster.as_ref().map(|ca| (CLUSTER_CA_TAG, ca));
        let entries: Vec<Entry<'_>> = local
            .into_iter()
            .chain(cluster)
            .map(|(tag, ca)| Entry {
                tag,
                parts: [ca.expose(), &[]],
            })
            .collect();
        if entries.is_empty() {
            return Err(TransferFault::NothingHeld(purpose));
        }
        Ok(envelope::seal(
            purpose,
            &self.cluster,
            recipient_sealing_key,
            &entries,
        )?)
    }

    /// Takes in the CAs that another member exported for this node. A Local CA must be the same as
    /// one that is here; of the cluster CA the later rotation counts, and a node that has only its
    /// certificates gets the key of the current one.
    pub fn import_shared(&self, envelope: &[u8]) -> Result<(), TransferFault> {
        let own = self.node_keys()?.sealing;
        let opened = envelope::open(EnvelopePurpose::Shared, &self.cluster, &own, envelope)?;
        let mut keys = self.keys.lock();
        keys.settle()?;
        let mut put: Vec<(&str, Secret)> = Vec::new();
        for (tag, bytes) in opened.entries()? {
            let sent = Secret::copy_of(bytes);
            match tag {
                LOCAL_CA_TAG => {
                    let held = keys.secret(LOCAL_CA_NAME)?;
                    put.extend(newer_local_ca(held, sent)?.map(|ca| (LOCAL_CA_NAME, ca)));
                }
                CLUSTER_CA_TAG => {
                    let held = keys.secret(CLUSTER_CA_NAME)?;
                    put.extend(newer_cluster_ca(held, sent)?.map(|ca| (CLUSTER_CA_NAME, ca)));
                }
                _ => return Err(TransferFault::Content),
            }
        }
        if !put.is_empty() {
            let put: Vec<_> = put.iter().map(|(name, ca)| (*name, ca)).collect();
            keys.put_secrets(&put)?;
        }
        Ok(())
    }

    /// Seals a secret of the program's settings, with its name, for the node with this sealing key.
    pub fn export_secret(
        &self,
        name: &str,
        recipient_sealing_key: &[u8],
    ) -> Result<Vec<u8>, TransferFault> {
        let purpose = EnvelopePurpose::Secret;
        let secret = self.secret_get(name)?;
        let secret = secret.ok_or(TransferFault::NothingHeld(purpose))?;
        let length = u8::try_from(name.len()).map_err(|_| TransferFault::Content)?;
        let name = [&[length], name.as_bytes()].concat();
        let entry = Entry {
            tag: SECRET_TAG,
            parts: [&name, secret.expose()],
        };
        Ok(envelope::seal(
            purpose,
            &self.cluster,
            recipient_sealing_key,
            &[entry],
        )?)
    }

    /// Opens what another member exported for this node. `take` is given the name, what is held
    /// under it and what was sent, and gives what is to be held from now on, if that is another.
    /// Says whether something was stored.
    pub fn import_secret(
        &self,
        envelope: &[u8],
        take: impl FnOnce(&str, Option<&Secret>, &Secret) -> Option<Secret>,
    ) -> Result<bool, TransferFault> {
        let own = self.node_keys()?.sealing;
        let opened = envelope::open(EnvelopePurpose::Secret, &self.cluster, &own, envelope)?;
        let entries = opened.entries()?;
        let [(SECRET_TAG, bytes)] = entries.as_slice() else {
            return Err(TransferFault::Content);
        };
        let split = bytes.split_first();
        let split = split.and_then(|(length, rest)| rest.split_at_checked(usize::from(*length)));
        let (name, sent) = split.ok_or(TransferFault::Content)?;
        let name = std::str::from_utf8(name).map_err(|_| TransferFault::Content)?;
        check_public_name(name)?;
        let mut keys = self.keys.lock();
        keys.settle()?;
        let held = keys.secret(name)?;
        let Some(kept) = take(name, held.as_ref(), &Secret::copy_of(sent)) else {
            return Ok(false);
        };
        keys.put_secrets(&[(name, &kept)])?;
        Ok(true)
    }
}

/// The KEKs of an envelope.
struct SentKeks {
    epochs: Vec<(Epoch, Kek)>,
    candidates: Vec<(Epoch, Kek)>,
}

impl SentKeks {
    fn read(cluster: &ClusterId, opened: &Opened) -> Result<Self, TransferFault> {
        let mut sent = Self {
            epochs: Vec::new(),
            candidates: Vec::new(),
        };
        for (tag, bytes) in opened.entries()? {
            let (epoch, key) = bytes
                .split_first_chunk::<EPOCH_BYTES>()
                .filter(|(_, key)| key.len() == KEY_BYTES)
                .ok_or(TransferFault::Content)?;
            let epoch = Epoch(u32::from_be_bytes(*epoch));
            let kek = Kek::new(cluster, epoch, Secret::copy_of(key))?;
            match tag {
                _ if epoch == Epoch(0) => return Err(TransferFault::Content),
                EPOCH_TAG => sent.epochs.push((epoch, kek)),
                CANDIDATE_TAG => sent.candidates.push((epoch, kek)),
                _ => return Err(TransferFault::Content),
            }
        }
        Ok(sent)
    }
}

/// What an import comes to.
struct Merged {
    /// The ring with what is new, or `None` when nothing is.
    changed: Option<Ring>,
    new_epochs: Vec<Epoch>,
}

/// Adds to the ring what was sent, except for what was retired here.
fn merge(held: &Ring, sent: SentKeks, retired_to: Epoch) -> Result<Merged, TransferFault> {
    let mut ring = held.clone();
    let mut new_epochs = Vec::new();
    let mut changed = false;
    for (epoch, kek) in sent.epochs {
        match ring.kek(epoch) {
            Some(held) if held.key().ct_eq(kek.key()) => {}
            Some(_) => return Err(TransferFault::Conflict(epoch)),
            None if epoch <= retired_to => {}
            None => {
                ring.hold(epoch, kek);
                new_epochs.push(epoch);
                changed = true;
            }
        }
    }
    for (epoch, kek) in sent.candidates {
        let needed = epoch > retired_to && !ring.holds(epoch);
        if needed && ring.candidate(epoch, &kek.check()).is_none() {
            ring.nominate(epoch, kek);
            changed = true;
        }
    }
    new_epochs.sort_unstable();
    Ok(Merged {
        changed: changed.then_some(ring),
        new_epochs,
    })
}

/// The Local CA to store, if it is new here.
fn newer_local_ca(held: Option<Secret>, sent: Secret) -> Result<Option<Secret>, TransferFault> {
    let read = |ca: &Secret| codec::from_slice::<StoredCa>(ca.expose());
    let offered = read(&sent).map_err(|_| TransferFault::Content)?;
    Authority::from_stored(&offered)?;
    let Some(held) = held else {
        return Ok(Some(sent));
    };
    let held = read(&held).map_err(|_| SecretFault::Damaged(LOCAL_CA_NAME.to_owned()))?;
    if held.certificate == offered.certificate {
        Ok(None)
    } else {
        Err(TransferFault::ConflictingCa("Local CA"))
    }
}

/// The cluster CA to store, if what was sent is newer or has the key that is missing here.
fn newer_cluster_ca(held: Option<Secret>, sent: Secret) -> Result<Option<Secret>, TransferFault> {
    let offered = StoredClusterCa::from_secret(&sent).map_err(|_| TransferFault::Content)?;
    let certificates: Vec<Vec<u8>> = offered
        .trusted
        .iter()
        .map(|der| der.clone().into_vec())
        .collect();
    check_certificates(&certificates)?;
    if let Some(ca) = &offered.ca {
        Authority::from_stored(ca)?;
        if ca.certificate != offered.current() {
            return Err(TransferFault::Content);
        }
    }
    let Some(held) = held else {
        return Ok(Some(sent));
    };
    let mut held = StoredClusterCa::from_secret(&held)?;
    if held.current() == offered.current() {
        // Which previous CA is still trusted is settled here; only the key may be missing.
        if held.ca.is_some() || offered.ca.is_none() {
            return Ok(None);
        }
        held.generation = held.generation.max(offered.generation);
        held.ca = offered.ca;
        return Ok(Some(held.to_secret()));
    }
    // Where only certificates are known, the cluster log said which one is current, and whoever
    // sends another is behind it or ahead of us.
    if held.ca.is_none() {
        return Ok(None);
    }
    match offered.generation.cmp(&held.generation) {
        Ordering::Greater => Ok(Some(sent)),
        Ordering::Less => Ok(None),
        Ordering::Equal => Err(TransferFault::ConflictingCa("cluster CA")),
    }
}
