//! Answers what other members and newcomers ask.
//!
//! A newcomer is answered about joining and nothing else. Envelopes with keys go only to members in
//! good standing that may hold keys, sealed to the sealing key that the cluster log has for them.

use super::messages::{Admission, Answer, Question, SealedEntry};
use super::shared_secrets;
use super::ticket::secret_hash;
use crate::engine::{Engine, Refusal};
use crate::founding;
use crate::jobs::cosign::Cosigner;
use cluster::peers::{Answerer, BoxFuture, Caller, Lane};
use domain::state::Node;
use domain::{Actor, Ask, Candidate, Fingerprint, Hash, MemberPhase, MemberRole, NodeId, codec};
use serde_bytes::ByteBuf;
use std::sync::Arc;
use vault::store::StoreEntry;

/// Bytes of records or sealed entries in one answer: large enough that the round trip does not
/// count, small enough to be held many times.
const PAGE_BYTES: usize = 2 << 20;

/// Entries of the sealed store in one answer.
const PAGE_ENTRIES: usize = 5_000;

/// Records in one answer.
const PAGE_RECORDS: usize = 20_000;

/// Answers questions on one node.
#[derive(Debug)]
pub(crate) struct Desk {
    engine: Arc<Engine>,
    cosigner: Arc<Cosigner>,
}

impl Answerer for Desk {
    fn answer(
        &self,
        caller: Caller,
        _lane: Lane,
        body: Vec<u8>,
    ) -> BoxFuture<'_, Result<Vec<u8>, String>> {
        Box::pin(async move {
            let question: Question = codec::from_slice(&body).map_err(|e| e.to_string())?;
            let answer = match caller {
                Caller::Newcomer { key } => self.to_newcomer(key, question).await,
                Caller::Member { node } => self.to_member(NodeId(node), question).await,
            };
            let answer = answer.unwrap_or_else(Answer::Refused);
            Ok(codec::to_vec(&answer))
        })
    }
}

type Answered = Result<Answer, String>;

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

impl Desk {
    /// A desk in front of an engine.
    pub(crate) fn new(engine: Arc<Engine>, cosigner: Arc<Cosigner>) -> Self {
        Self { engine, cosigner }
    }

    async fn to_newcomer(&self, key: Option<[u8; 32]>, question: Question) -> Answered {
        match question {
            Question::Join {
                secret,
                candidate,
                spki,
            } => self.join(&secret, candidate, &spki).await,
            Question::JoinState { secret, spki } => self.join_state(&secret, &spki),
            Question::Rejoin { candidate, spki } => {
                let key = key.map(Fingerprint::from_bytes);
                let key = key.ok_or("show the certificate that you had as a member")?;
                self.rejoin(&key, candidate, &spki).await
            }
            Question::Records { .. }
            | Question::Consistency { .. }
            | Question::Head
            | Question::StorePage { .. }
            | Question::StoreEntry { .. } => self.to_one_in_repair(key, question).await,
            _ => Err("this is answered to members only".to_owned()),
        }
    }

    /// A member that is not whole takes no part, and so comes without its number; it shows its key.
    async fn to_one_in_repair(&self, key: Option<[u8; 32]>, question: Question) -> Answered {
        let key = key.map(Fingerprint::from_bytes);
        let key = key.ok_or("this is answered to members only; show a member's certificate")?;
        let member = {
            let state = self.engine.machine().state();
            let found = state.member_by_key(&key);
            found
                .filter(|(_, node)| node.phase != MemberPhase::Leaving)
                .map(|(id, _)| id)
        };
        let member = member.ok_or("no member of this cluster has this key")?;
        Box::pin(self.to_member(member, question)).await
    }

    async fn to_member(&self, caller: NodeId, question: Question) -> Answered {
        match question {
            Question::Keks => {
                let member = self.keeper(caller)?;
                let envelope = self.engine.vault().export_keks(&member.sealing_key);
                Ok(Answer::Envelope(ByteBuf::from(envelope.map_err(text)?)))
            }
            Question::Shared => {
                let member = self.keeper(caller)?;
                let envelope = self.engine.vault().export_shared(&member.sealing_key);
                Ok(Answer::Envelope(ByteBuf::from(envelope.map_err(text)?)))
            }
            Question::TakeKeks { envelope } => {
                self.keeper(caller)?;
                self.import(envelope, |vault, bytes| {
                    vault.import_keks(bytes).map(drop).map_err(text)
                })
                .await
            }
            Question::TakeShared { envelope } => {
                self.keeper(caller)?;
                self.import(envelope, |vault, bytes| {
                    vault.import_shared(bytes).map_err(text)
                })
                .await
            }
            Question::Secret { name } => self.secret(caller, name).await,
            Question::TakeSecret { envelope } => {
                self.import(envelope, shared_secrets::take_in).await
            }
            Question::Records { from, target } => self.records(from, target).await,
            Question::Consistency { old, new } => {
                let ledger = self.engine.machine().ledger();
                let proof = ledger.consistency(old, new).map_err(text)?;
                Ok(Answer::Proof(hashes(&proof)))
            }
            // A witness that catches up asks like everybody, and there is nothing that it misses.
            Question::StorePage { .. } if self.is_witness(caller) => {
                Ok(Answer::Entries(Vec::new()))
            }
            Question::StorePage { after, entry } => {
                self.keeper(caller)?;
                self.store_page(after, entry).await
            }
            Question::StoreEntry { uid } => {
                self.keeper(caller)?;
                let sealed = self.engine.machine().store().get(&uid).map_err(text)?;
                let sealed = sealed.map(ByteBuf::from);
                Ok(Answer::Entries(vec![SealedEntry { uid, sealed }]))
            }
            Question::Head => Ok(Answer::Note(self.cosigner.agreed())),
            Question::Cosign { note } => self.cosigner.answer(caller, note).await,
            Question::Cosigned { note } => {
                self.cosigner.take(&note).map_err(text)?;
                Ok(Answer::Done)
            }
            Question::Clock => Ok(Answer::Clock {
                now: crate::clock::now().0,
                compared: self.engine.trusts_clock(),
            }),
            Question::Certify { spki } => self.certify(caller, &spki),
            Question::Join { .. } | Question::JoinState { .. } | Question::Rejoin { .. } => {
                Err("this node is a member already".to_owned())
            }
        }
    }

    async fn secret(&self, caller: NodeId, name: String) -> Answered {
        let engine = self.engine.clone();
        let work = move || shared_secrets::seal_for(&engine, caller, &name);
        let sealed = tokio::task::spawn_blocking(work).await.map_err(text)??;
        Ok(Answer::Envelope(ByteBuf::from(sealed)))
    }

    /// The member, if it may hold keys.
    fn keeper(&self, node: NodeId) -> Result<Node, String> {
        let state = self.engine.machine().state();
        let member = state.member(node).filter(|member| member.keeps_keys());
        member
            .cloned()
            .ok_or_else(|| format!("node {} may not hold keys", node.0))
    }

    fn is_witness(&self, node: NodeId) -> bool {
        let state = self.engine.machine().state();
        let role = state.member(node).map(|member| member.role);
        role == Some(MemberRole::Witness)
    }

    async fn join(&self, secret: &[u8], candidate: Candidate, spki: &[u8]) -> Answered {
        check_key(&candidate, spki)?;
        let ask = Ask::RequestJoin {
            ticket: secret_hash(secret),
            candidate,
        };
        self.change(ask).await?;
        self.waiting()
    }

    async fn change(&self, ask: Ask) -> Result<(), String> {
        let actor = Actor::Node(self.engine.node());
        match self.engine.change(&actor, ask, None).await {
            Ok(_) => {}
            Err(Refusal::Denied { denial, .. }) => return Err(denial.to_string()),
            Err(Refusal::Fault(fault)) => return Err(fault.to_string()),
        }
        // The leader's word may be here before its entry; what is read next must know of it.
        let carried_out = self.engine.cluster().read_barrier().await;
        carried_out.map(drop).map_err(text)
    }

    fn waiting(&self) -> Answered {
        let authorities = self.engine.vault().cluster_ca_certificates();
        let current = authorities.map_err(text)?.into_iter().next();
        let current = current.ok_or("this node knows no cluster CA")?;
        let ca = Fingerprint::from_bytes(vault::provider::sha256(&[&current]));
        Ok(Answer::Waiting { ca })
    }

    fn join_state(&self, secret: &[u8], spki: &[u8]) -> Answered {
        let key = Fingerprint::from_bytes(vault::provider::sha256(&[spki]));
        let now = self.engine.now();
        let state = self.engine.machine().state();
        let ticket = state.ticket(&secret_hash(secret));
        if ticket.and_then(|ticket| ticket.used_by) != Some(key) {
            return Err("this ticket was not used with this key".to_owned());
        }
        let admitted = state
            .member_by_key(&key)
            .map(|(id, node)| (id, node.clone()));
        let waits = state.join_request(&key, now).is_some();
        drop(state);
        match admitted {
            Some((node, member)) => self.admission(node, &member, spki),
            None if waits => self.waiting(),
            None => Ok(Answer::Denied),
        }
    }

    async fn rejoin(&self, key: &Fingerprint, mut candidate: Candidate, spki: &[u8]) -> Answered {
        check_key(&candidate, spki)?;
        if candidate.key != *key {
            return Err("a member comes back with the key that it had".to_owned());
        }
        let log_key = candidate.log_key;
        let known = |engine: &Engine| {
            let state = engine.machine().state();
            let found = state
                .member_by_key(key)
                .map(|(id, node)| (id, node.clone()));
            let is_new = found
                .as_ref()
                .is_some_and(|(id, _)| state.log_key(*id).is_some_and(|k| k.public_key == log_key));
            found.map(|(id, node)| (id, node, is_new))
        };
        let (old, was, is_back) = known(&self.engine).ok_or("no member has this key")?;
        // It may not be able to read any more what it was.
        candidate.role = was.role;
        if !is_back {
            self.change(Ask::Rejoin { old, candidate }).await?;
        }
        let (node, member, _) = known(&self.engine).ok_or("no member has this key")?;
        self.admission(node, &member, spki)
    }

    /// What a new member needs. Asked for again it is made again: the certificate is new, the rest
    /// is as the cluster is now.
    fn admission(&self, node: NodeId, member: &Node, spki: &[u8]) -> Answered {
        let vault = self.engine.vault();
        let certificate = self.issue(node, spki)?;
        let (members, lineage) = {
            let state = self.engine.machine().state();
            let reachable = |phase| matches!(phase, MemberPhase::Member | MemberPhase::Joining);
            let members = state.members().filter(|(_, m)| reachable(m.phase));
            let members = members.map(|(id, m)| (id, m.address.clone())).collect();
            (members, state.lineage())
        };
        let keeps = member.keeps_keys();
        let keks = keeps.then(|| vault.export_keks(&member.sealing_key));
        let shared = keeps.then(|| vault.export_shared(&member.sealing_key));
        let authorities = vault.cluster_ca_certificates().map_err(text)?;
        Ok(Answer::Admitted(Box::new(Admission {
            node,
            epoch: member.epoch,
            certificate: ByteBuf::from(certificate),
            authorities: authorities.into_iter().map(ByteBuf::from).collect(),
            members,
            keks: keks.transpose().map_err(text)?.map(ByteBuf::from),
            shared: shared.transpose().map_err(text)?.map(ByteBuf::from),
            lineage,
        })))
    }

    fn issue(&self, node: NodeId, spki: &[u8]) -> Result<Vec<u8>, String> {
        let ca = self.engine.vault().cluster_ca().map_err(text)?;
        let issued = ca.issue_member(spki, node, founding::member_validity());
        Ok(issued.map_err(text)?.der)
    }

    fn certify(&self, caller: NodeId, spki: &[u8]) -> Answered {
        let key = Fingerprint::from_bytes(vault::provider::sha256(&[spki]));
        let known = {
            let state = self.engine.machine().state();
            state.member(caller).and_then(|member| member.key)
        };
        if known != Some(key) {
            return Err(format!(
                "the cluster log has another key for node {}",
                caller.0
            ));
        }
        Ok(Answer::Certificate(ByteBuf::from(
            self.issue(caller, spki)?,
        )))
    }

    async fn import(
        &self,
        envelope: ByteBuf,
        import: fn(&vault::Vault, &[u8]) -> Result<(), String>,
    ) -> Answered {
        let vault = self.engine.vault().clone();
        let work = tokio::task::spawn_blocking(move || import(&vault, &envelope));
        work.await.map_err(text)??;
        Ok(Answer::Done)
    }

    async fn records(&self, from: u64, target: u64) -> Answered {
        let machine = self.engine.machine().clone();
        let work = move || -> Answered {
            let reader = machine.reader();
            let end = target.min(reader.size());
            let (mut records, mut bytes) = (Vec::new(), 0);
            for record in reader.range(from, end).take(PAGE_RECORDS) {
                let record = record.map_err(text)?;
                bytes += record.len();
                records.push(ByteBuf::from(record));
                if bytes >= PAGE_BYTES {
                    break;
                }
            }
            if records.is_empty() {
                return Err(format!("this node has no record {from} of {target}"));
            }
            let to = from + records.len() as u64;
            let proof = machine.ledger().consistency(to, target).map_err(text)?;
            let proof = hashes(&proof);
            Ok(Answer::Records { records, proof })
        };
        tokio::task::spawn_blocking(work).await.map_err(text)?
    }

    async fn store_page(&self, after: Option<domain::Uid>, entry: u64) -> Answered {
        let machine = self.engine.machine().clone();
        if machine.entry() < entry {
            return Err(format!("this node has not come to entry {entry} itself"));
        }
        let work = move || -> Answered {
            let page = machine
                .store()
                .page(after.as_ref(), PAGE_ENTRIES, PAGE_BYTES);
            let entries = page.map_err(text)?.into_iter().map(|entry| match entry {
                StoreEntry::Live { uid, sealed } => SealedEntry {
                    uid,
                    sealed: Some(ByteBuf::from(sealed)),
                },
                StoreEntry::Tombstone { uid, .. } => SealedEntry { uid, sealed: None },
            });
            Ok(Answer::Entries(entries.collect()))
        };
        tokio::task::spawn_blocking(work).await.map_err(text)?
    }
}

/// A candidate must be the owner of the key that is to be certified.
fn check_key(candidate: &Candidate, spki: &[u8]) -> Result<(), String> {
    vault::check_spki(spki).map_err(text)?;
    let key = Fingerprint::from_bytes(vault::provider::sha256(&[spki]));
    if candidate.key == key {
        return Ok(());
    }
    Err("the key to be certified is not the one that the request names".to_owned())
}

fn hashes(proof: &[ledger::Hash]) -> Vec<Hash> {
    proof.iter().map(|hash| Hash::from_bytes(hash.0)).collect()
}
