//! Epochs: opening one alone or with a cluster, retiring one, and renewing the root with it.
//!
//! A cluster opens an epoch in three steps. One node calls `draw_kek` and hands the candidate to a
//! majority ([`export_keks`](Vault::export_keks)). The cluster log then says which candidate the
//! epoch gets. Every node calls `adopt_epoch` for that one when it comes to the entry; a node that
//! was away asks another member first.

use super::{EpochFault, Keys, Vault};
use crate::keys_file::KeysWriteFault;
use crate::provider::{self, KEY_BYTES, ProviderFault};
use crate::ring::{Kek, Ring, Root};
use crate::slots::{Renewal, SlotId};
use domain::Epoch;
use std::sync::Arc;

/// A slot that kept the root from being renewed, or something that could not be destroyed with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotRenewed {
    /// The slot.
    pub slot: SlotId,
    /// Why, for the operator.
    pub reason: String,
}

/// What became of a retired epoch. Its KEK is in neither copy of the keys folder any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetireReport {
    /// The epoch.
    pub epoch: Epoch,
    /// Whether there is a new root key, so that an old wrapped KEK found elsewhere opens nothing.
    pub root_renewed: bool,
    /// Why not, slot by slot.
    pub not_renewed: Vec<NotRenewed>,
    /// Old credentials of renewed slots that could not be destroyed.
    pub left_behind: Vec<NotRenewed>,
}

/// Whether the root can be renewed.
enum Staged {
    Ready(Root, Vec<Renewal>),
    Impossible(Vec<NotRenewed>),
}

impl Vault {
    /// Opens the next epoch with a fresh KEK, as the only node of a cluster may; from now on
    /// objects are sealed in it.
    pub fn open_epoch(&self) -> Result<Epoch, EpochFault> {
        let mut keys = self.keys.lock();
        let next = next_epoch(&self.ring())?;
        let ring = self.ring().with_fresh(next)?;
        self.write_ring(&mut keys, ring)?;
        Ok(next)
    }

    /// Makes a fresh KEK for the epoch after the current one and keeps it as a candidate, beside
    /// others for the same epoch; it seals nothing yet. Gives its check value: not secret, and
    /// equal wherever the KEK is. When there are 64 candidates the oldest is destroyed.
    pub fn draw_kek(&self, epoch: Epoch) -> Result<[u8; KEY_BYTES], EpochFault> {
        let mut keys = self.keys.lock();
        let mut ring = (*self.ring()).clone();
        let next = next_epoch(&ring)?;
        if epoch != next {
            return Err(EpochFault::NotNext { asked: epoch, next });
        }
        let kek = provider::random_secret(KEY_BYTES)?;
        let kek = Kek::new(&self.cluster, epoch, kek)?;
        let check = kek.check();
        ring.nominate(epoch, kek);
        self.write_ring(&mut keys, ring)?;
        Ok(check)
    }

    /// Whether a candidate for `epoch` with this check value is held, durably.
    pub fn holds_candidate(&self, epoch: Epoch, check: &[u8; KEY_BYTES]) -> bool {
        self.ring().candidate(epoch, check).is_some()
    }

    /// The check value of an epoch's KEK, if it is held.
    pub fn kek_check(&self, epoch: Epoch) -> Option<[u8; KEY_BYTES]> {
        self.ring().kek(epoch).map(Kek::check)
    }

    /// Makes the candidate with this check value the KEK of `epoch` and destroys the others of that
    /// epoch. Adopting what is adopted already makes sure that both copies of the keys hold it.
    pub fn adopt_epoch(&self, epoch: Epoch, check: &[u8; KEY_BYTES]) -> Result<(), EpochFault> {
        let mut keys = self.keys.lock();
        keys.settle()?;
        let mut ring = (*self.ring()).clone();
        match ring.kek(epoch) {
            Some(held) if held.check() == *check => return Ok(()),
            Some(_) => return Err(EpochFault::Conflict(epoch)),
            None => {}
        }
        if epoch <= keys.body.retired_to() {
            return Err(EpochFault::Retired(epoch));
        }
        let kek = ring.candidate(epoch, check).cloned();
        ring.hold(epoch, kek.ok_or(EpochFault::NoCandidate(epoch))?);
        Ok(self.write_ring(&mut keys, ring)?)
    }

    /// Destroys the KEK of an epoch that is not the current one, and renews the root key if every
    /// slot allows it. What was sealed in the epoch and not re-sealed cannot be opened afterwards,
    /// and no import brings the KEK back.
    ///
    /// Retiring an epoch that is already gone makes sure that neither copy of the keys holds it.
    pub fn retire_epoch(&self, epoch: Epoch) -> Result<RetireReport, EpochFault> {
        let mut keys = self.keys.lock();
        let ring = self.ring();
        if epoch == ring.current() {
            return Err(EpochFault::Current(epoch));
        }
        if epoch > ring.current() || epoch == Epoch(0) {
            return Err(EpochFault::Unknown(epoch));
        }
        // Before new credentials are staged, both copies must need only the present ones.
        keys.settle()?;
        let mut report = RetireReport {
            epoch,
            root_renewed: false,
            not_renewed: Vec::new(),
            left_behind: Vec::new(),
        };
        let retired_to = keys.body.retired_to();
        if !ring.holds(epoch) && epoch <= retired_to {
            return Ok(report);
        }
        let ring = ring.without(epoch);
        let mut body = keys.body.clone();
        body.retired_to = Some(retired_to.max(epoch).0);
        match keys.stage_renewal()? {
            Staged::Ready(root, renewals) => {
                body.slots = renewals
                    .iter()
                    .map(|renewal| renewal.record.clone())
                    .collect();
                body.set_ring(&ring, &root)?;
                body.config = root.wrap_config(&keys.config)?;
                let written = keys.commit(body, Some(root));
                self.put_in_force(ring, written)?;
                report.root_renewed = true;
                report.left_behind = keys.finish_renewal(renewals);
            }
            Staged::Impossible(reasons) => {
                report.not_renewed = reasons;
                body.set_ring(&ring, &keys.root)?;
                let written = keys.commit(body, None);
                self.put_in_force(ring, written)?;
            }
        }
        Ok(report)
    }

    /// Writes a changed ring under the present root, and uses it from then on.
    pub(super) fn write_ring(&self, keys: &mut Keys, ring: Ring) -> Result<(), KeysWriteFault> {
        let mut body = keys.body.clone();
        body.set_ring(&ring, &keys.root)?;
        let written = keys.commit(body, None);
        self.put_in_force(ring, written)
    }

    /// Makes the ring that was just written the one in use, if it is in force.
    fn put_in_force(
        &self,
        ring: Ring,
        written: Result<(), KeysWriteFault>,
    ) -> Result<(), KeysWriteFault> {
        if written
            .as_ref()
            .err()
            .is_none_or(KeysWriteFault::is_in_force)
        {
            *self.ring.write() = Arc::new(ring);
        }
        written
    }
}

fn next_epoch(ring: &Ring) -> Result<Epoch, EpochFault> {
    if ring.is_empty() {
        return Err(EpochFault::NoRing);
    }
    let next = ring.current().0.checked_add(1);
    next.map(Epoch).ok_or(EpochFault::Exhausted)
}

impl Keys {
    /// A new root wrapped in every slot, or the slots that do not allow it. Nothing in the keys
    /// folder has changed yet, and every old credential still works.
    fn stage_renewal(&self) -> Result<Staged, ProviderFault> {
        let mut slots = Vec::new();
        let mut missing = Vec::new();
        for slot in &self.body.slots {
            match self.held.get(&slot.id) {
                Some(held) => slots.push((slot, held)),
                None => {
                    let reason = "its credential was not used in this run; present it".to_owned();
                    missing.push(NotRenewed {
                        slot: slot.id,
                        reason,
                    });
                }
            }
        }
        if !missing.is_empty() {
            return Ok(Staged::Impossible(missing));
        }
        let root = Root::generate(self.body.cluster)?;
        let disk = self.folder.disk();
        let mut renewals: Vec<Renewal> = Vec::new();
        for (slot, held) in &slots {
            match slot.renew(disk, &self.body.cluster, held, root.key()) {
                Ok(renewal) => renewals.push(renewal),
                Err(fault) => {
                    for ((slot, held), renewal) in slots.iter().zip(&renewals) {
                        slot.abandon(disk, renewal, held);
                    }
                    let reason = fault.to_string();
                    return Ok(Staged::Impossible(vec![NotRenewed {
                        slot: slot.id,
                        reason,
                    }]));
                }
            }
        }
        Ok(Staged::Ready(root, renewals))
    }

    /// Destroys the old credentials; gives those that resisted.
    fn finish_renewal(&mut self, renewals: Vec<Renewal>) -> Vec<NotRenewed> {
        let mut left_behind = Vec::new();
        for renewal in renewals {
            let (slot, held, outcome) = renewal.finish(self.folder.disk());
            self.held.insert(slot, held);
            if let Err(fault) = outcome {
                left_behind.push(NotRenewed {
                    slot,
                    reason: fault.to_string(),
                });
            }
        }
        self.untidy |= !left_behind.is_empty();
        left_behind
    }
}
