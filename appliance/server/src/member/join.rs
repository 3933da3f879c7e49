//! How a newcomer becomes a member: ticket in hand it asks a member, waits until an operator has
//! approved it there, and leaves a folder from which a node of the cluster can be started.
//!
//! Every step may be repeated: keys that were made stay, so a join that was cut short goes on.

use super::messages::{Admission, Answer, Question};
use super::place::Place;
use super::ticket::Ticket;
use crate::layout::Layout;
use anyhow::{Context, bail};
use cluster::peers::{CallFault, Hello, PROTOCOL, TokioNet, call_once};
use domain::{Candidate, ClusterId, Fingerprint, Hash, MemberRole, NodeId, codec};
use serde_bytes::ByteBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use vault::{Credential, KeysFileFault, NewSlot, UnlockFault, Vault};

/// How often it is asked whether an operator has approved.
const ASK_INTERVAL: Duration = Duration::from_millis(500);

/// Time for one answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a newcomer waits for an operator: as long as the cluster keeps its request.
const APPROVAL_TIMEOUT: Duration = Duration::from_secs(3_600);

/// How long the members may all be out of reach.
const REACH_TIMEOUT: Duration = Duration::from_secs(30);

/// What a newcomer is to become.
pub(crate) struct Newcomer {
    /// Its folder; no node may be in it.
    pub(crate) layout: Layout,
    /// The ticket.
    pub(crate) ticket: Ticket,
    /// Where the others will reach it, `host:port`.
    pub(crate) address: String,
    /// What it is to be.
    pub(crate) role: MemberRole,
}

/// What is told while it goes on.
pub(crate) enum Step {
    /// It waits for an operator, who compares these.
    Waiting {
        /// Fingerprint of the newcomer's key.
        key: Fingerprint,
        /// Fingerprint of the cluster CA.
        ca: Fingerprint,
    },
}

/// Joins; gives the number of the new node. `credential` opens its vault from now on.
pub(crate) async fn join(
    newcomer: &Newcomer,
    credential: Credential,
    told: &mut (dyn FnMut(Step) + Send),
) -> anyhow::Result<NodeId> {
    let layout = &newcomer.layout;
    if layout.place().exists() || layout.cluster_log().exists() {
        let dir = layout.root().display();
        bail!("{dir} holds a node already; give the new node a folder of its own");
    }
    layout
        .make()
        .with_context(|| format!("making {}", layout.root().display()))?;
    let vault = vault(newcomer, credential)?;
    let identity = vault
        .node_identity()
        .context("making the keys of the node")?;
    let candidate = Candidate {
        key: identity.fingerprint,
        sealing_key: identity.sealing_key.clone(),
        log_key: Hash::from_bytes(vault.log_signer().context("log key")?.public_key()),
        address: newcomer.address.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        format: domain::FORMAT,
        role: newcomer.role,
    };
    let line = Line {
        ticket: &newcomer.ticket,
        tls: vault::newcomer_tls(newcomer.ticket.ca)?,
    };
    let secret = newcomer.ticket.secret.clone();
    let spki = ByteBuf::from(identity.spki.clone());
    let question = Question::Join {
        secret: secret.clone(),
        candidate,
        spki: spki.clone(),
    };
    let state = Question::JoinState { secret, spki };
    let mut answer = line.ask(&question).await?;
    let begun = Instant::now();
    let mut waiting_told = false;
    loop {
        match answer {
            Answer::Waiting { ca } => {
                if !waiting_told {
                    let key = identity.fingerprint;
                    told(Step::Waiting { key, ca });
                    waiting_told = true;
                }
            }
            Answer::Admitted(admission) => return admit(newcomer, &vault, &admission),
            Answer::Denied => bail!("an operator has turned this node away"),
            Answer::Refused(why) => bail!("the cluster does not let this node in: {why}"),
            _ => bail!("the member gave an answer to another question"),
        }
        if begun.elapsed() > APPROVAL_TIMEOUT {
            bail!("nobody approved this node within an hour; ask with a new ticket");
        }
        tokio::time::sleep(ASK_INTERVAL).await;
        answer = line.ask(&state).await?;
    }
}

/// The vault of the new node, or the one that an earlier try has made.
fn vault(newcomer: &Newcomer, credential: Credential) -> anyhow::Result<Vault> {
    let keys = newcomer.layout.keys();
    let vault = match Vault::unlock(&keys, &credential) {
        Ok(vault) => vault,
        Err(UnlockFault::Folder(KeysFileFault::Absent(_))) => {
            let slot = NewSlot::new(credential);
            Vault::initialise_member(&keys, newcomer.ticket.cluster, slot)?
        }
        Err(e) => return Err(e).with_context(|| format!("unlocking {}", keys.display())),
    };
    if vault.cluster() != newcomer.ticket.cluster {
        bail!(
            "the keys in {} belong to cluster {}, and the ticket is for {}",
            keys.display(),
            vault.cluster(),
            newcomer.ticket.cluster
        );
    }
    Ok(vault)
}

/// Keeps what the cluster gave. The place comes last: with it the folder is a node.
fn admit(newcomer: &Newcomer, vault: &Vault, admission: &Admission) -> anyhow::Result<NodeId> {
    keep(vault, admission)?;
    let place = Place {
        node: admission.node.0,
        epoch: admission.epoch,
        lineage: admission.lineage,
        address: newcomer.address.clone(),
        members: admission
            .members
            .iter()
            .map(|(id, address)| (id.0, address.clone()))
            .collect(),
        replaces: None,
    };
    place.write(&newcomer.layout.place())?;
    Ok(admission.node)
}

/// Puts certificate, CAs and keys into the vault.
pub(crate) fn keep(vault: &Vault, admission: &Admission) -> anyhow::Result<()> {
    let authorities = admission
        .authorities
        .iter()
        .map(|der| der.to_vec())
        .collect();
    vault.install_cluster_ca_certificates(authorities)?;
    vault.install_member_certificate(&admission.certificate)?;
    if let Some(shared) = &admission.shared {
        vault.import_shared(shared)?;
    }
    if let Some(keks) = &admission.keks {
        vault.import_keks(keks)?;
    }
    Ok(())
}

/// What somebody who is no member says of itself.
pub(crate) fn newcomer_hello(cluster: ClusterId, lineage: u32) -> Hello {
    Hello {
        protocol: PROTOCOL,
        cluster: *cluster.as_bytes(),
        lineage,
        node: 0,
        member_epoch: 0,
        format: domain::FORMAT,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        log_end: None,
        cluster_log: None,
        access_log: None,
    }
}

/// The way to the members that a ticket names.
struct Line<'a> {
    ticket: &'a Ticket,
    tls: Arc<rustls::ClientConfig>,
}

impl Line<'_> {
    /// Asks each member in turn, again and again for a while.
    async fn ask(&self, question: &Question) -> anyhow::Result<Answer> {
        let begun = Instant::now();
        loop {
            let mut faults = Vec::new();
            for address in &self.ticket.addresses {
                match self.ask_at(address, question).await {
                    Ok(answer) => return Ok(answer),
                    Err(fault) => faults.push(format!("{address}: {fault}")),
                }
            }
            if begun.elapsed() > REACH_TIMEOUT {
                bail!(
                    "no member could be asked ({}); is port 9001 open to them, and is the ticket \
                     of this cluster?",
                    faults.join("; ")
                );
            }
            tokio::time::sleep(ASK_INTERVAL).await;
        }
    }

    async fn ask_at(&self, address: &str, question: &Question) -> Result<Answer, CallFault> {
        let hello = newcomer_hello(self.ticket.cluster, self.ticket.lineage);
        // Which node answers is not known yet: the pinned CA proves that it is a member.
        let name = format!("{}.strongroom", self.ticket.cluster);
        let tls = self.tls.clone();
        let body = codec::to_vec(question);
        let answer = call_once(&TokioNet, address, tls, &name, hello, body, ANSWER_TIMEOUT).await?;
        codec::from_slice(&answer).map_err(|e| CallFault::Answered(e.to_string()))
    }
}
