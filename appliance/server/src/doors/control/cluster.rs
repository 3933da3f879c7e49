//! The cluster commands of the Unix socket: tickets, joining, leaving, and how the members stand.

use super::{Answer, ControlDoor};
use crate::jobs::anchor;
use crate::member::messages::{self, Question};
use crate::member::ticket::{SECRET_BYTES, Ticket, secret_hash};
use crate::render;
use domain::{Actor, Ask, Fingerprint, MemberPhase, Name, NodeId, OfflineGet, Time};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Validity of a ticket: the walk from one console to the other.
const TICKET_MILLISECONDS: i64 = 15 * 60 * 1_000;

/// What can be asked about the cluster.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "cluster", rename_all = "kebab-case")]
#[expect(
    missing_docs,
    reason = "each variant is a command of the program, described there"
)]
pub enum ClusterRequest {
    Status,
    Ticket,
    Requests,
    Approve {
        key: Option<String>,
    },
    Deny {
        key: String,
    },
    Remove {
        node: u64,
    },
    Leave,
    RotateCa,
    OfflineGet {
        group: Option<String>,
        limit: String,
    },
    Resolve {
        reason: String,
    },
    Scrub,
    Salvage {
        from: PathBuf,
        carry_out: bool,
    },
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

impl ControlDoor {
    pub(super) async fn cluster(&self, actor: &Actor, request: ClusterRequest) -> Answer {
        match request {
            ClusterRequest::Status => Ok(self.members()),
            ClusterRequest::Ticket => self.ticket(actor).await,
            ClusterRequest::Requests => Ok(self.join_requests()),
            ClusterRequest::Approve { key } => self.approve(actor, key.as_deref()).await,
            ClusterRequest::Deny { key } => {
                let key = self.waiting(&key)?;
                self.change(actor, Ask::DenyJoin { key }).await?;
                Ok(json!({ "denied": key.to_string() }))
            }
            ClusterRequest::Remove { node } => self.remove(actor, NodeId(node)).await,
            ClusterRequest::Leave => self.leave(actor).await,
            ClusterRequest::RotateCa => self.rotate_ca(actor).await,
            ClusterRequest::OfflineGet { group, limit } => {
                let group = group.map(|group| Name::parse(&group).map_err(text));
                let (group, limit) = (group.transpose()?, offline_get(&limit)?);
                self.change(actor, Ask::SetOfflineGet { group, limit })
                    .await
            }
            ClusterRequest::Resolve { reason } => {
                self.change(actor, Ask::ResolveDivergence { reason }).await
            }
            ClusterRequest::Scrub => self.scrub(actor).await,
            ClusterRequest::Salvage { from, carry_out } => {
                self.salvage(actor, &from, carry_out).await
            }
        }
    }

    /// The members, a row each, and how far they agree.
    pub(super) fn members(&self) -> Value {
        let raft = self.engine.cluster().status();
        let health = self.colleagues.peers().health();
        let agreed = self.cosigner.last();
        let state = self.engine.machine().state();
        let me = self.engine.node();
        let row = |(id, node): (NodeId, &domain::state::Node)| {
            let in_raft = raft.members.iter().find(|m| m.node == id.0);
            let seen = health.iter().find(|peer| peer.node == id.0);
            let signed = agreed.as_ref().filter(|a| a.nodes.contains(&id));
            json!({
                "node": id.0,
                "this": id == me,
                "leads": raft.leader == Some(id.0),
                "role": node.role.name(),
                "phase": node.phase.name(),
                "address": node.address,
                "version": node.version,
                "key": node.key.map(|key| key.to_string()),
                "votes": in_raft.is_some_and(|m| m.voter),
                "replicated_to": in_raft.and_then(|m| m.matched),
                "connected": (id != me).then(|| seen.is_some_and(|peer| peer.connected)),
                "refused": seen.and_then(|peer| peer.last_refusal.clone()),
                "agrees_to": signed.map(|a| a.checkpoint.size),
            })
        };
        let rows: Vec<_> = state.members().map(row).collect();
        json!({
            "lineage": state.lineage(),
            "leader": raft.leader,
            "term": raft.term,
            "quorum_heard_seconds_ago": self.engine.contact().age_seconds(),
            "agreed": agreed.map(|agreed| json!({
                "size": agreed.checkpoint.size,
                "root": agreed.checkpoint.root.to_string(),
                "nodes": agreed.nodes.iter().map(|node| node.0).collect::<Vec<_>>(),
            })),
            "divergence": state.divergence().map(|found| format!("{found:?}")),
            "format": state.format(),
            "members": rows,
        })
    }

    async fn ticket(&self, actor: &Actor) -> Answer {
        let mut secret = [0u8; SECRET_BYTES];
        vault::provider::random(&mut secret).map_err(text)?;
        let now = self.engine.now();
        let expires = Time(now.0.saturating_add(TICKET_MILLISECONDS));
        let ask = Ask::IssueTicket {
            ticket: secret_hash(&secret),
            expires,
        };
        self.change(actor, ask).await?;
        let (addresses, lineage) = {
            let state = self.engine.machine().state();
            let members = state.members();
            // A witness cannot let anybody in: it has neither the cluster CA nor the keys.
            let hosts = members
                .filter(|(_, node)| node.phase == MemberPhase::Member && node.role.holds_keys());
            // This node first: it is up, and the operator is at it.
            let addresses: BTreeMap<bool, Vec<String>> =
                hosts.fold(BTreeMap::new(), |mut found, (id, node)| {
                    let list = found.entry(id != self.engine.node()).or_default();
                    list.push(node.address.clone());
                    found
                });
            let addresses: Vec<_> = addresses.into_values().flatten().collect();
            (addresses, state.lineage())
        };
        let ca = self.authority()?;
        let ticket = Ticket {
            cluster: self.engine.vault().cluster(),
            ca,
            lineage,
            addresses,
            secret: ByteBuf::from(secret.to_vec()),
        };
        Ok(json!({
            "ticket": ticket.to_text(),
            "expires": render::moment(expires),
            "cluster_ca": ca.to_string(),
        }))
    }

    /// SHA-256 of the certificate of the cluster CA.
    fn authority(&self) -> Result<Fingerprint, String> {
        let authorities = self
            .engine
            .vault()
            .cluster_ca_certificates()
            .map_err(text)?;
        let current = authorities.first().ok_or("this node has no cluster CA")?;
        Ok(Fingerprint::from_bytes(vault::provider::sha256(&[current])))
    }

    fn join_requests(&self) -> Value {
        let now = self.engine.now();
        let ca = self.authority().map(|ca| ca.to_string()).ok();
        let state = self.engine.machine().state();
        let request = |request: &domain::state::JoinRequest| {
            json!({
                "key": request.candidate.key.to_string(),
                "address": request.candidate.address,
                "role": request.candidate.role.name(),
                "version": request.candidate.version,
                "since": render::moment(request.since),
                "cluster_ca": ca,
            })
        };
        state.join_requests(now).map(request).collect()
    }

    /// The waiting node whose key begins with what the operator typed.
    fn waiting(&self, typed: &str) -> Result<Fingerprint, String> {
        let typed: String = typed.chars().filter(|c| *c != ':').collect();
        let typed = typed.to_lowercase();
        let state = self.engine.machine().state();
        let keys = state
            .join_requests(self.engine.now())
            .map(|r| r.candidate.key);
        let found: Vec<_> = keys
            .filter(|key| {
                key.to_string()
                    .replace(':', "")
                    .to_lowercase()
                    .starts_with(&typed)
            })
            .collect();
        match found.as_slice() {
            [key] => Ok(*key),
            [] => Err(format!(
                "no node with a key that begins with {typed:?} waits; `strongroom cluster \
                 requests` lists those that do"
            )),
            several => Err(format!("{} waiting nodes match {typed:?}", several.len())),
        }
    }

    /// Lets in the node with this key, or all that wait.
    async fn approve(&self, actor: &Actor, key: Option<&str>) -> Answer {
        let keys = match key {
            Some(key) => vec![self.waiting(key)?],
            None => {
                let state = self.engine.machine().state();
                let now = self.engine.now();
                state.join_requests(now).map(|r| r.candidate.key).collect()
            }
        };
        let mut approved = Vec::new();
        for key in keys {
            self.change(actor, Ask::ApproveJoin { key }).await?;
            approved.push(key.to_string());
        }
        Ok(json!({ "approved": approved }))
    }

    /// Removes this node, with the end of its access log in the cluster log: nobody can ask it
    /// later.
    async fn leave(&self, actor: &Actor) -> Answer {
        let anchored = anchor::now(&self.engine, &self.notary).await;
        let records = anchored.map_err(|e| format!("nothing was changed: {e}"))?;
        let mut left = self.remove(actor, self.engine.node()).await?;
        if let Some(left) = left.as_object_mut() {
            left.insert("access_records_anchored".into(), records.into());
        }
        Ok(left)
    }

    async fn remove(&self, actor: &Actor, node: NodeId) -> Answer {
        self.change(actor, Ask::RemoveNode { node }).await?;
        Ok(json!({
            "node": node.0,
            "next": "its word no longer counts; the removal is complete when the key-encryption \
                     key has been rotated (see: strongroom cluster status)",
        }))
    }

    /// Makes a new cluster CA, gives it to the others, and has this node certified by it.
    async fn rotate_ca(&self, actor: &Actor) -> Answer {
        let vault = self.engine.vault().clone();
        let others = self.colleagues.others();
        let keys: Vec<(NodeId, Vec<u8>)> = {
            let state = self.engine.machine().state();
            let keepers = state.key_keepers().filter(|(id, _)| others.contains(id));
            keepers
                .map(|(id, node)| (id, node.sealing_key.clone()))
                .collect()
        };
        let name = format!(
            "Strongroom Cluster CA {}",
            &vault.cluster().to_string()[..8]
        );
        let ca = vault.rotate_cluster_ca(&name, crate::founding::member_validity());
        let ca = ca.map_err(text)?.certificate().fingerprint;
        let mut missed = Vec::new();
        for (node, sealing_key) in keys {
            let envelope = ByteBuf::from(vault.export_shared(&sealing_key).map_err(text)?);
            let question = Question::TakeShared { envelope };
            let told = self.colleagues.ask_node(node, &question).await;
            if !matches!(told, Ok(messages::Answer::Done)) {
                missed.push(node.0);
            }
        }
        self.change(actor, Ask::RotateClusterCa { ca }).await?;
        Ok(json!({ "cluster_ca": ca.to_string(), "to_be_told": missed }))
    }
}

/// `never`, `always`, or a number of seconds, minutes, hours or days: `90s`, `30m`, `24h`, `2d`.
fn offline_get(limit: &str) -> Result<OfflineGet, String> {
    let unit = |n: &str, seconds: u64| {
        let n = n.parse::<u64>().ok()?;
        n.checked_mul(seconds).map(OfflineGet::Seconds)
    };
    let parsed = match limit {
        "never" => Some(OfflineGet::Never),
        "always" => Some(OfflineGet::Always),
        _ => [("s", 1), ("m", 60), ("h", 3_600), ("d", 86_400)]
            .into_iter()
            .find_map(|(ending, seconds)| unit(limit.strip_suffix(ending)?, seconds)),
    };
    parsed.ok_or_else(|| format!("{limit:?}: write never, always, or a time such as 90s, 24h, 2d"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_written_as_people_write_them() {
        let cases = [
            ("never", Some(OfflineGet::Never)),
            ("always", Some(OfflineGet::Always)),
            ("90s", Some(OfflineGet::Seconds(90))),
            ("24h", Some(OfflineGet::Seconds(86_400))),
            ("2d", Some(OfflineGet::Seconds(172_800))),
            ("5", None),
            ("h", None),
            ("-1h", None),
            ("99999999999999999999d", None),
            ("999999999999999999d", None),
        ];
        for (written, meant) in cases {
            assert_eq!(offline_get(written).ok(), meant, "{written}");
        }
    }
}
