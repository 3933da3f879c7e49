//! What clients and nodes ask for: changes, reads, and the steps of a rotation.

use super::checkers;
use super::plant::Plant;
use super::site;
use super::step::Change;
use super::world::{Note, World};
use domain::state::{EpochPhase, EpochRecord};
use domain::{Access, AccessRecord, Actor, Ask, Epoch, Hash, Read, Time, Uid};
use std::fmt;

/// Re-sealing failed for an object.
#[derive(Debug)]
struct NotResealed(String);

impl fmt::Display for NotResealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NotResealed {}

/// What is to be released, decided and not yet recorded.
struct Permitted {
    seen: u64,
    material: Vec<u8>,
}

impl World {
    /// The time that a node acts by.
    fn time_of(&mut self, node: usize) -> Time {
        let node = &mut self.nodes[node];
        let life = node.life.as_ref();
        let latest = life.map_or(Time(0), |life| life.machine.state().latest_time());
        node.clock.now(self.now, latest)
    }

    /// A client asks a node for a change.
    pub(super) fn change(&mut self, node: usize, user: u8, what: Change, pick: u32) -> Note {
        let now = self.time_of(node);
        let Some(life) = &self.nodes[node].life else {
            return Ok("down".into());
        };
        let asked = match what {
            Change::Anchor => {
                let (size, root) = (life.access.durable(), life.access.root());
                let anchor = Ask::AnchorAccessLog {
                    node: self.nodes[node].id,
                    size,
                    root: Hash::from_bytes(root.0),
                };
                (size == life.access.size()).then(|| (Actor::Node(self.nodes[node].id), anchor))
            }
            Change::OpenEpoch => return self.open_epoch(node),
            _ => site::ask(&life.machine.state(), user, what, pick, now),
        };
        let Some((actor, ask)) = asked else {
            return Ok("nothing to ask about".into());
        };
        self.ask(node, actor, ask)
    }

    /// The way of a change through a node: admit, supply, propose.
    pub(super) fn ask(&mut self, node: usize, actor: Actor, ask: Ask) -> Note {
        let now = self.time_of(node);
        let Some(life) = &self.nodes[node].life else {
            return Ok("down".into());
        };
        let seen = life.machine.state().records();
        let admitted = domain::admit(&life.machine.state(), &actor, &ask, now);
        let needs = match admitted {
            Ok(needs) => needs,
            Err(denial) => {
                let operation = ask.name().to_owned();
                let note = format!("{operation}: {denial}");
                let access = Access::Refused {
                    operation,
                    object: None,
                    denial,
                };
                return self.record(node, actor, seen, now, access, note);
            }
        };
        match self.supplied(node, actor, ask, now, &needs) {
            Ok((command, payload, aim)) => self.propose(node, aim, &command, payload),
            Err(why) => Ok(why),
        }
    }

    fn record(
        &mut self,
        node: usize,
        actor: Actor,
        seen: u64,
        time: Time,
        access: Access,
        note: String,
    ) -> Note {
        let record = AccessRecord {
            v: 1,
            time,
            actor,
            seen,
            access,
        };
        let sync = self.setting.planted != Some(Plant::ReleaseBeforeRecord);
        match self.nodes[node].record(&record, sync) {
            Ok(_) => Ok(note),
            Err(why) => self.stop(node, &why),
        }
    }

    /// A client asks a node for key material.
    pub(super) fn get(&mut self, node: usize, user: u8, pick: u32, stale: bool) -> Note {
        let now = self.time_of(node);
        let Some(life) = &self.nodes[node].life else {
            return Ok("down".into());
        };
        if !stale && !self.barrier(node) {
            return Ok("not ready".into());
        }
        let Some(uid) = site::picked(&life.machine.state(), pick) else {
            return Ok("nothing to ask about".into());
        };
        let actor = site::user(user);
        let permitted = match self.permitted(node, &actor, &uid, now) {
            Ok(permitted) => permitted,
            Err(Ok(denial)) => {
                let note = format!("Get {uid}: {denial}");
                let access = Access::Refused {
                    operation: "Get".into(),
                    object: Some(uid.to_string()),
                    denial,
                };
                let seen = life.machine.state().records();
                return self.record(node, actor, seen, now, access, note);
            }
            Err(Err(what)) => {
                return checkers::released_key_is_right::not_released(self, node, &uid, &what);
            }
        };
        // How old an answer may be is the door's question; here it is only said that it may be.
        let stale = stale.then_some(domain::Stale { age_seconds: 0 });
        let access = Access::Released { uid, stale };
        let note = format!("Get {uid}");
        let before = self.nodes[node].pins.len();
        let note = self.record(node, actor, permitted.seen, now, access, note)?;
        if self.nodes[node].pins.len() > before {
            // The record is durable: now the bytes leave.
            checkers::audit_before_key::check(self, node)?;
            checkers::released_key_is_right::check(
                self,
                node,
                &uid,
                &permitted.material,
                stale.is_some(),
            )?;
        }
        Ok(note)
    }

    /// Whether a read at this node sees everything that was acknowledged before it: its leader can
    /// reach a quorum, and the node has carried out what that leader knows to be committed.
    fn barrier(&self, node: usize) -> bool {
        if self.setting.planted == Some(Plant::ReadWithoutBarrier) {
            return true;
        }
        let Some(leader) = self.order.leader_for(&self.nodes, node) else {
            return false;
        };
        let (Some(theirs), Some(ours)) = (&self.nodes[leader].life, &self.nodes[node].life) else {
            return false;
        };
        // A leader that has committed nothing of its own term may be behind (Raft §8).
        theirs.raft.term_of(theirs.commit) == Some(self.order.term)
            && self.order.has_quorum(&self.nodes, leader)
            && ours.applied >= theirs.commit
    }

    /// What a node may release: `Err(Ok(denial))` when a rule says no, `Err(Err(what))` when it
    /// cannot be opened.
    fn permitted(
        &self,
        node: usize,
        actor: &Actor,
        uid: &Uid,
        now: Time,
    ) -> Result<Permitted, Result<domain::Denial, String>> {
        let node = &self.nodes[node];
        let life = node.life.as_ref().ok_or_else(|| Err("down".to_owned()))?;
        let (seen, material) = {
            let state = life.machine.state();
            let object = domain::permit(&state, actor, Read::Material, uid, now).map_err(Ok)?;
            let material = object.material().copied();
            let material = material.ok_or_else(|| Err("living, without material".to_owned()))?;
            (state.records(), material)
        };
        let sealed = life.machine.store().get(uid);
        let sealed = sealed.map_err(|e| Err(e.to_string()))?;
        let sealed = sealed.ok_or_else(|| Err("no entry in the sealed store".to_owned()))?;
        let opened = self
            .keys
            .open(&node.ring, uid, &sealed, &material.commitment);
        let material = opened.map_err(Err)?;
        Ok(Permitted { seen, material })
    }

    /// An operator begins a rotation: the new KEK goes to a quorum before the log names it.
    fn open_epoch(&mut self, node: usize) -> Note {
        let Some(life) = &self.nodes[node].life else {
            return Ok("down".into());
        };
        let next = Epoch(life.machine.state().epoch().0 + 1);
        let reached: Vec<usize> = (0..self.nodes.len())
            .filter(|n| self.nodes[*n].is_up() && !self.order.is_cut(*n, node))
            .filter(|n| self.is_sound(*n))
            .collect();
        if reached.len() < self.order.quorum() {
            return Ok("too few nodes to keep a new KEK".into());
        }
        for n in reached {
            self.nodes[n].ring.insert(next);
        }
        let ask = Ask::OpenEpoch {
            epoch: next,
            kek: Some(self.keys.check_value(next)),
        };
        self.ask(node, site::operator(), ask)
    }

    /// A node does the next thing that a rotation wants of it.
    pub(super) fn job(&mut self, node: usize, batch: u8) -> Note {
        let Some(life) = &self.nodes[node].life else {
            return Ok("down".into());
        };
        let (current, leaving, is_member) = {
            let state = life.machine.state();
            let leaving = state.epochs().find(|(_, record)| {
                matches!(
                    record.phase,
                    EpochPhase::Leaving | EpochPhase::AwaitingRetire
                )
            });
            let leaving = leaving.map(|(epoch, record)| (epoch, record.clone()));
            let is_member = state.node(self.nodes[node].id).is_some();
            (state.epoch(), leaving, is_member)
        };
        if !self.nodes[node].ring.contains(&current) {
            return Ok(self.fetch_kek(node, current));
        }
        match leaving {
            Some((epoch, record)) if is_member => self.leave(node, epoch, &record, current, batch),
            _ => self.drop_retired(node, current, batch),
        }
    }

    /// Drops KEKs of epochs that are over. A node that was sent everything by one which had not
    /// retired yet holds such a KEK, although it may have confirmed in an earlier life.
    fn drop_retired(&mut self, node: usize, current: Epoch, batch: u8) -> Note {
        let old = self.nodes[node].ring.range(..current).copied().next();
        let Some(old) = old else {
            return Ok("nothing to do".into());
        };
        match self.reseal(node, current, batch) {
            Ok(0) => {}
            Ok(left) => return Ok(format!("{left} objects left under epoch {}", old.0)),
            Err(why) => return self.stop(node, &why),
        }
        if let Err(why) = self.nodes[node].snapshot(0, true) {
            return self.stop(node, &why);
        }
        self.nodes[node].ring = self.nodes[node].ring.split_off(&current);
        Ok(format!("dropped KEKs before epoch {}", current.0))
    }

    /// Gets a KEK from any node that has it and can be reached.
    fn fetch_kek(&mut self, node: usize, epoch: Epoch) -> String {
        let found = (0..self.nodes.len()).any(|n| {
            let other = &self.nodes[n];
            other.is_up() && !self.order.is_cut(n, node) && other.ring.contains(&epoch)
        });
        if found {
            self.nodes[node].ring.insert(epoch);
        }
        format!("KEK of epoch {}: {found}", epoch.0)
    }

    fn leave(
        &mut self,
        node: usize,
        epoch: Epoch,
        record: &EpochRecord,
        current: Epoch,
        batch: u8,
    ) -> Note {
        let id = self.nodes[node].id;
        let actor = Actor::Node(id);
        let hasty = self.setting.planted == Some(Plant::ConfirmBeforeFlush);
        let retiring = record.phase == EpochPhase::AwaitingRetire;
        if retiring && record.retired_by.contains(&id) {
            return Ok("waits for the others".into());
        }
        // Also when this node has confirmed before: a crash or a snapshot from another node may
        // have brought back what was sealed under the old epoch.
        let confirmed = record.resealed.contains(&id);
        if !(hasty && (confirmed || retiring)) {
            match self.reseal(node, current, batch) {
                Ok(0) => {}
                Ok(left) => return Ok(format!("{left} objects left under epoch {}", epoch.0)),
                Err(why) => return self.stop(node, &why),
            }
        }
        if retiring {
            // Entries in the log hold bytes sealed under the epoch; what they brought is durable.
            if let Err(why) = self.nodes[node].snapshot(0, true) {
                return self.stop(node, &why);
            }
            self.nodes[node].ring.remove(&epoch);
            return self.ask(node, actor, Ask::ConfirmRetire { node: id, epoch });
        }
        if !confirmed {
            if !hasty && let Err(why) = self.nodes[node].snapshot(u64::MAX, false) {
                return self.stop(node, &why);
            }
            return self.ask(node, actor, Ask::ConfirmReseal { node: id, epoch });
        }
        self.ask(node, actor, Ask::RetireEpoch { epoch })
    }

    /// Seals one batch again; gives how many objects remain.
    fn reseal(&mut self, node: usize, current: Epoch, batch: u8) -> Result<u64, String> {
        let node = &self.nodes[node];
        let life = node.life.as_ref().ok_or("down")?;
        let (keys, ring) = (self.keys, &node.ring);
        let progress = life
            .machine
            .store()
            .reseal_batch(current, usize::from(batch), |uid, sealed| {
                keys.reseal(ring, current, uid, sealed).map_err(NotResealed)
            })
            .map_err(|e| e.to_string())?;
        Ok(progress.remaining)
    }
}
