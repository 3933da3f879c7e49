//! The face of this crate: a vault that is unlocked, and what the rest of the program may ask it.
//!
//! Opening an object takes a shared lock for as long as it takes to count up a reference, so
//! callers on many threads do not wait for each other; changes to the keys folder go one after the
//! other behind a lock of their own. Lock order: keys folder, then ring.

mod epochs;
mod faults;
mod secrets;
mod transfer;

pub use epochs::{NotRenewed, RetireReport};
pub use faults::{ChangeFault, EpochFault, InitialiseFault, SecretFault, UnlockFault};
pub use secrets::{SECRET_BYTES_MAX, SECRETS_MAX};
pub use transfer::TransferFault;

use crate::disk::{Disk, NodeDisk};
use crate::keys_file::{Body, KeysFolder, KeysWriteFault, WholeCopy};
use crate::log_key::SEED_BYTES;
use crate::provider::{self, ProviderFault, Standing};
use crate::ring::{Config, Ring, Root};
use crate::seal::{MATERIAL_BYTES_MAX, OpenFault, SealFault, Sealed};
use crate::secret::Secret;
use crate::selftest;
use crate::slots::{
    Credential, Held, KeyFileRule, NewSlot, SLOTS_MAX, SlotFault, SlotId, SlotRecord, SlotSummary,
};
use domain::{ClusterId, Epoch, Uid};
use parking_lot::{Mutex, RwLock};
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

pub(crate) use secrets::LOG_KEY_NAME;

/// What an operator should know about the slots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotHealth {
    /// Whether there are two slots that this version can open, one of them for recovery.
    pub meets_policy: bool,
    /// Slots whose credential was not used in this run: while there are any, the root is not
    /// renewed when an epoch is retired. `Vault::present` takes a slot off this list.
    pub stale: Vec<SlotId>,
    /// The second copy of the keys, or a key file, still holds an earlier state.
    pub unsettled: bool,
}

/// An unlocked vault. Share it in an `Arc`.
pub struct Vault {
    cluster: ClusterId,
    ring: RwLock<Arc<Ring>>,
    keys: Mutex<Keys>,
}

/// What belongs to the keys folder.
struct Keys {
    folder: KeysFolder,
    body: Body,
    root: Root,
    config: Config,
    held: BTreeMap<SlotId, Held>,
    /// A key file may still hold bytes of an interrupted renewal.
    untidy: bool,
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault")
            .field("cluster", &self.cluster)
            .finish_non_exhaustive()
    }
}

impl Vault {
    /// Founds a vault for a new cluster: root, first epoch, config KEK and log key, with one slot.
    pub fn initialise(
        keys_dir: &Path,
        cluster: ClusterId,
        first_slot: NewSlot,
    ) -> Result<Self, InitialiseFault> {
        std::fs::create_dir_all(keys_dir)?;
        let ring = Ring::found(cluster)?;
        Self::initialise_on(Box::new(NodeDisk), keys_dir, ring, first_slot)
    }

    /// Founds the vault of a node that joins a cluster: a root, a config KEK and a log key of its
    /// own, and an empty ring. Until the ring is imported the current epoch is 0, nothing can be
    /// sealed, and opening says that the epoch is not held; on a witness that is for ever.
    pub fn initialise_member(
        keys_dir: &Path,
        cluster: ClusterId,
        first_slot: NewSlot,
    ) -> Result<Self, InitialiseFault> {
        std::fs::create_dir_all(keys_dir)?;
        let ring = Ring::empty(cluster);
        Self::initialise_on(Box::new(NodeDisk), keys_dir, ring, first_slot)
    }

    pub(crate) fn initialise_on(
        disk: Box<dyn Disk>,
        keys_dir: &Path,
        ring: Ring,
        first_slot: NewSlot,
    ) -> Result<Self, InitialiseFault> {
        let cluster = ring.cluster();
        if KeysFolder::is_occupied(&*disk, keys_dir)? {
            return Err(InitialiseFault::Occupied(keys_dir.display().to_string()));
        }
        let root = Root::generate(cluster)?;
        let config = Config::generate(cluster)?;
        let id = SlotId(1);
        let rule = KeyFileRule::AdoptOrMake;
        let (slot, held) = SlotRecord::enrol(&*disk, first_slot, id, &cluster, root.key(), rule)?;
        let log_key = provider::random_secret(SEED_BYTES)?;
        selftest::check_ed25519(&log_key)?;
        let log_key = config.seal(LOG_KEY_NAME, &log_key)?;
        let mut body = Body {
            cluster,
            next_slot: 2,
            slots: vec![slot],
            ring: BTreeMap::new(),
            config: root.wrap_config(&config)?,
            secrets: BTreeMap::from([(LOG_KEY_NAME.to_owned(), log_key.into())]),
            candidates: Vec::new(),
            retired_to: Some(0),
            awaits_ring: ring.is_empty(),
        };
        body.set_ring(&ring, &root)?;
        let folder = KeysFolder::found(disk, keys_dir, &body, &root.folder_key()?)?;
        let held = BTreeMap::from([(id, held)]);
        let keys = Keys {
            folder,
            body,
            root,
            config,
            held,
            untidy: false,
        };
        Ok(Self {
            cluster,
            ring: RwLock::new(Arc::new(ring)),
            keys: Mutex::new(keys),
        })
    }

    /// Opens a vault with the credential of any of its slots.
    ///
    /// A passphrase costs one PBKDF2 per passphrase slot. A change of the keys folder that a crash
    /// cut short is finished here.
    pub fn unlock(keys_dir: &Path, credential: &Credential) -> Result<Self, UnlockFault> {
        Self::unlock_on(Box::new(NodeDisk), keys_dir, credential)
    }

    pub(crate) fn unlock_on(
        disk: Box<dyn Disk>,
        keys_dir: &Path,
        credential: &Credential,
    ) -> Result<Self, UnlockFault> {
        let (folder, copy) = KeysFolder::load(disk, keys_dir)?;
        let cluster = copy.body.cluster;
        let slots = &copy.body.slots;
        let (id, key, held) = open_slot(folder.disk(), &cluster, slots, credential)?;
        let root = Root::from_key(cluster, key);
        let (ring, config) = unwrap_body(&copy, &root)?;
        let held = BTreeMap::from([(id, held)]);
        let mut keys = Keys {
            folder,
            body: copy.body,
            root,
            config,
            held,
            untidy: true,
        };
        // A disk that cannot be written must not keep the keys from being served.
        // What could not be finished shows in `slot_health`, and the next change tries again.
        let _ = keys.settle();
        Ok(Self {
            cluster,
            ring: RwLock::new(Arc::new(ring)),
            keys: Mutex::new(keys),
        })
    }

    /// The cluster this vault belongs to.
    pub fn cluster(&self) -> ClusterId {
        self.cluster
    }

    /// What can be claimed for this vault: the least of its primitives and its slots.
    pub fn approved(&self) -> Standing {
        let slots = self.slots().into_iter().map(|slot| slot.kind.standing());
        provider::least(slots.chain([provider::approved()]))
    }

    /// Fills a buffer from the DRBG.
    pub fn random(&self, out: &mut [u8]) -> Result<(), ProviderFault> {
        provider::random(out)
    }

    /// Makes a key of `bits` bits (a multiple of 8) inside the vault and gives it sealed.
    pub fn generate(&self, uid: &Uid, bits: u32) -> Result<Sealed, SealFault> {
        let bytes = usize::try_from(bits / 8).unwrap_or(usize::MAX);
        if bits == 0 || !bits.is_multiple_of(8) {
            return Err(SealFault::Length { bits });
        }
        if bytes > MATERIAL_BYTES_MAX {
            return Err(SealFault::TooLong { bytes });
        }
        self.seal(uid, &provider::random_secret(bytes)?)
    }

    /// Seals material in the current epoch.
    pub fn seal(&self, uid: &Uid, material: &Secret) -> Result<Sealed, SealFault> {
        self.ring().seal(uid, material)
    }

    /// Opens sealed bytes and checks them against the commitment in the ledger.
    pub fn open(
        &self,
        uid: &Uid,
        sealed: &[u8],
        commitment: &[u8; 32],
    ) -> Result<Secret, OpenFault> {
        self.ring().open(uid, sealed, commitment)
    }

    /// Moves sealed bytes to the current epoch; every node gets the same bytes.
    pub fn reseal(&self, uid: &Uid, sealed: &[u8]) -> Result<Vec<u8>, OpenFault> {
        self.ring().reseal(uid, sealed)
    }

    /// The epoch that new objects are sealed in; epoch 0 before the ring is imported.
    pub fn epoch(&self) -> Epoch {
        self.ring().current()
    }

    /// The epochs whose KEK is held, oldest first.
    pub fn epochs(&self) -> Vec<Epoch> {
        self.ring().epochs()
    }

    /// Adds a slot; it opens the vault from the next unlock on.
    pub fn add_slot(&self, new: NewSlot) -> Result<SlotId, ChangeFault> {
        let mut keys = self.keys.lock();
        if keys.body.slots.len() >= SLOTS_MAX {
            return Err(ChangeFault::TooManySlots);
        }
        let id = SlotId(keys.body.next_slot);
        let (record, held) = SlotRecord::enrol(
            keys.folder.disk(),
            new,
            id,
            &self.cluster,
            keys.root.key(),
            KeyFileRule::MakeOnly,
        )?;
        let mut body = keys.body.clone();
        body.next_slot = body.next_slot.saturating_add(1);
        body.slots.push(record);
        let written = keys.commit(body, None);
        if written
            .as_ref()
            .err()
            .is_none_or(KeysWriteFault::is_in_force)
        {
            keys.held.insert(id, held);
        }
        written?;
        Ok(id)
    }

    /// Removes a slot. The value says what of it could not be destroyed: a key inside a token that
    /// was not reached opens nothing any more, but is still there.
    pub fn remove_slot(&self, id: SlotId) -> Result<Option<SlotFault>, ChangeFault> {
        let mut keys = self.keys.lock();
        let mut body = keys.body.clone();
        let position = body.slots.iter().position(|slot| slot.id == id);
        let removed = body
            .slots
            .remove(position.ok_or(ChangeFault::NoSuchSlot(id))?);
        if !body.slots.iter().any(|slot| slot.kind().is_supported()) {
            return Err(ChangeFault::LastSlot(id));
        }
        keys.commit(body, None)?;
        let held = keys.held.remove(&id);
        Ok(removed.discard(held.as_ref()).err())
    }

    /// The slots, in order of their numbers.
    pub fn slots(&self) -> Vec<SlotSummary> {
        let keys = self.keys.lock();
        let held = |slot: &SlotRecord| keys.held.contains_key(&slot.id);
        keys.body
            .slots
            .iter()
            .map(|slot| slot.summary(held(slot)))
            .collect()
    }

    /// Whether the slots are as an appliance needs them; a `dev` node may have one only.
    pub fn slot_health(&self) -> SlotHealth {
        let slots = self.slots();
        let usable = slots.iter().filter(|slot| slot.supported).count();
        let recovery = slots.iter().any(|slot| slot.supported && slot.recovery);
        let keys = self.keys.lock();
        SlotHealth {
            meets_policy: usable >= 2 && recovery,
            stale: slots
                .iter()
                .filter(|slot| !slot.held)
                .map(|slot| slot.id)
                .collect(),
            unsettled: keys.folder.is_unsettled() || keys.untidy,
        }
    }

    /// Shows a running vault the credential of one of its slots: proves that the slot works (a
    /// recovery drill) and lets the root be renewed in it. Gives the slot that it opened.
    pub fn present(&self, credential: &Credential) -> Result<SlotId, UnlockFault> {
        // The stretching of a passphrase takes long; the folder is not locked meanwhile.
        let slots = self.keys.lock().body.slots.clone();
        let (id, key, held) = open_slot(&NodeDisk, &self.cluster, &slots, credential)?;
        let mut keys = self.keys.lock();
        let still_there = keys.body.slots.iter().any(|slot| slot.id == id);
        if !still_there || !key.ct_eq(keys.root.key()) {
            return Err(UnlockFault::Refused(credential.kind()));
        }
        keys.held.insert(id, held);
        Ok(id)
    }

    /// Writes both copies of the keys again if one of them may hold an earlier state.
    pub fn settle(&self) -> Result<(), KeysWriteFault> {
        self.keys.lock().settle()
    }

    fn ring(&self) -> Arc<Ring> {
        self.ring.read().clone()
    }

    #[cfg(test)]
    pub(crate) fn danger_kek(&self, epoch: Epoch) -> Option<Vec<u8>> {
        self.ring().danger_kek(epoch)
    }

    /// Every key this vault holds in memory, for the attacker of the canary test.
    #[cfg(test)]
    pub(crate) fn danger_all_keys(&self) -> Vec<Vec<u8>> {
        let keys = self.keys.lock();
        let ring = self.ring();
        let keks = ring.keks().chain(ring.candidates());
        let mut all: Vec<Vec<u8>> = keks.map(|(_, kek)| kek.key().expose().to_vec()).collect();
        all.push(keys.root.key().expose().to_vec());
        all.push(keys.config.danger_kek());
        for (name, sealed) in &keys.body.secrets {
            let secret = keys
                .config
                .open(name, sealed)
                .expect("the vault opens its own secrets");
            all.push(secret.expose().to_vec());
        }
        all.extend(keys.held.values().filter_map(Held::danger_key));
        all
    }

    /// Puts a slot of a kind that this version cannot make into the folder.
    #[cfg(test)]
    pub(crate) fn danger_add_foreign_slot(&self, kind: u8) -> SlotId {
        let mut keys = self.keys.lock();
        let mut body = keys.body.clone();
        let id = SlotId(body.next_slot);
        body.next_slot += 1;
        body.slots.push(SlotRecord::of_another_version(id, kind));
        keys.commit(body, None).expect("the test's disk works");
        id
    }
}

impl Keys {
    /// Writes `body` (under a renewed root, if there is one) and makes it the state in memory as
    /// soon as it is in force.
    fn commit(&mut self, body: Body, renewed: Option<Root>) -> Result<(), KeysWriteFault> {
        let folder_key = renewed.as_ref().unwrap_or(&self.root).folder_key()?;
        let written = self.folder.write(&body, &folder_key);
        if written
            .as_ref()
            .err()
            .is_none_or(KeysWriteFault::is_in_force)
        {
            self.body = body;
            if let Some(root) = renewed {
                self.root = root;
            }
        }
        written
    }

    /// Finishes what an earlier change left undone: first the copies, then the key files, because a
    /// copy that may yet win needs its key.
    fn settle(&mut self) -> Result<(), KeysWriteFault> {
        let folder_key = self.root.folder_key()?;
        self.folder.settle(&self.body, &folder_key)?;
        if self.untidy {
            let disk = self.folder.disk();
            let tidy = |slot: &SlotRecord| {
                self.held
                    .get(&slot.id)
                    .is_none_or(|held| slot.tidy(disk, held).is_ok())
            };
            self.untidy = !self.body.slots.iter().all(tidy);
        }
        Ok(())
    }
}

/// Finds the slot that a credential opens.
fn open_slot(
    disk: &dyn Disk,
    cluster: &ClusterId,
    slots: &[SlotRecord],
    credential: &Credential,
) -> Result<(SlotId, Secret, Held), UnlockFault> {
    let kind = credential.kind();
    let mut tried = false;
    let mut fault = None;
    for slot in slots.iter().filter(|slot| slot.kind() == kind) {
        tried = true;
        match slot.open(disk, cluster, credential) {
            Ok(Some((key, held))) => return Ok((slot.id, key, held)),
            Ok(None) => {}
            Err(found) => fault = fault.or(Some(found)),
        }
    }
    match fault {
        Some(fault) => Err(fault.into()),
        None if tried => Err(UnlockFault::Refused(kind)),
        None => {
            let present = slots.iter().map(SlotRecord::kind).collect();
            Err(UnlockFault::NoSlotOfKind { kind, present })
        }
    }
}

/// Checks that the folder is what this program wrote, and unwraps what hangs off the root.
fn unwrap_body(copy: &WholeCopy, root: &Root) -> Result<(Ring, Config), UnlockFault> {
    let folder_key = root
        .folder_key()
        .map_err(|_| UnlockFault::Damaged("folder key"))?;
    if !copy.is_authentic(&folder_key) {
        return Err(UnlockFault::Altered);
    }
    let config = root
        .unwrap_config(&copy.body.config)
        .map_err(|_| UnlockFault::Damaged("configuration KEK"))?;
    let mut ring = Ring::empty(copy.body.cluster);
    for (epoch, wrapped) in &copy.body.ring {
        let kek = root.unwrap_kek(Epoch(*epoch), wrapped);
        ring.hold(
            Epoch(*epoch),
            kek.map_err(|_| UnlockFault::Damaged("object KEK"))?,
        );
    }
    for (epoch, wrapped) in &copy.body.candidates {
        let kek = root.unwrap_candidate(Epoch(*epoch), wrapped);
        ring.nominate(
            Epoch(*epoch),
            kek.map_err(|_| UnlockFault::Damaged("candidate KEK"))?,
        );
    }
    if ring.is_empty() && !copy.body.awaits_ring {
        return Err(UnlockFault::Damaged("ring of object KEKs"));
    }
    Ok((ring, config))
}

#[cfg(test)]
mod tests;
