//! A program that understands only an older format than the cluster uses: what a rolling downgrade,
//! or a forgotten old machine, looks like to the others.
//!
//! There is one program, so the older one is played here: real keys, real certificates and TLS, and
//! in the greeting and the request the format of the first release.

use anyhow::{Context, Result, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cluster::peers::{CallFault, Hello, PROTOCOL, Refused, TokioNet, call_once, server_name};
use domain::{Candidate, ClusterId, FIRST_FORMAT, FORMAT, Fingerprint, Hash, MemberRole, codec};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use server::layout::Layout;
use std::sync::Arc;
use std::time::Duration;
use tests::fleet::look::{WITHIN, wait_for};
use tests::fleet::{Fleet, Ground};
use vault::{Credential, NewSlot, Vault};

/// For one question.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// What a ticket says, as every version writes it.
#[derive(Deserialize)]
struct Ticket {
    cluster: ClusterId,
    ca: Fingerprint,
    lineage: u32,
    addresses: Vec<String>,
    secret: ByteBuf,
}

/// What a newcomer asks.
#[derive(Serialize)]
enum Question {
    Join {
        secret: ByteBuf,
        candidate: Candidate,
        spki: ByteBuf,
    },
}

/// What it is answered.
#[derive(Debug, Deserialize)]
enum Answer {
    Waiting {
        #[serde(rename = "ca")]
        _ca: Fingerprint,
    },
    Refused(String),
}

pub(crate) fn play() -> Result<()> {
    let mut fleet = Fleet::found(2, Ground::Loopback)?;
    fleet.await_members(1, &[1, 2])?;
    wait_for("the cluster uses the newest format", || {
        let status = fleet.json(1, &["cluster", "status"])?;
        ensure!(status["format"] == FORMAT, "{status}");
        Ok(true)
    })?;
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(as_newcomer(&fleet))?;
    fleet.await_agreement(WITHIN)?;
    let address = fleet.json(2, &["cluster", "status"])?["members"][0]["address"].clone();
    let address = address.as_str().context("the address of node 1")?;
    fleet.kill(2)?;
    runtime.block_on(as_member(&fleet, address))
}

/// A newcomer of an older version is refused with the reason; the same newcomer of today waits.
async fn as_newcomer(fleet: &Fleet) -> Result<()> {
    let text = fleet.ticket(1)?;
    let (_, body) = text.split_once('.').context("a ticket has a prefix")?;
    let bytes = URL_SAFE_NO_PAD.decode(body)?;
    // The last four bytes are a checksum for people.
    let ticket: Ticket = codec::from_slice(&bytes[..bytes.len() - 4])?;
    let folder = tempfile::tempdir()?;
    let slot = NewSlot::new(Credential::KeyFile(folder.path().join("unlock.key")));
    let vault = Vault::initialise_member(folder.path(), ticket.cluster, slot)?;
    for (format, is_let_wait) in [(FIRST_FORMAT, false), (FORMAT, true)] {
        let answer = join(&ticket, &vault, format).await?;
        match answer {
            Answer::Waiting { .. } if is_let_wait => {}
            Answer::Refused(why) if !is_let_wait => {
                let names_both = why.contains(&format!("uses {FORMAT}"));
                let is_said = why.contains("start a newer version") && names_both;
                ensure!(is_said, "refused for another reason: {why}");
            }
            other => bail!("format {format}: {other:?}"),
        }
    }
    Ok(())
}

async fn join(ticket: &Ticket, vault: &Vault, format: u32) -> Result<Answer> {
    let identity = vault.node_identity()?;
    let candidate = Candidate {
        key: identity.fingerprint,
        sealing_key: identity.sealing_key,
        log_key: Hash::from_bytes(vault.log_signer()?.public_key()),
        address: "127.0.0.1:9".to_owned(),
        version: "0.0.1".to_owned(),
        format,
        role: MemberRole::Voter,
    };
    let question = Question::Join {
        secret: ticket.secret.clone(),
        candidate,
        spki: ByteBuf::from(identity.spki),
    };
    let hello = hello(&ticket.cluster, ticket.lineage, format);
    let tls = vault::newcomer_tls(ticket.ca)?;
    let address = ticket.addresses.first().context("an address")?;
    let name = format!("{}.strongroom", ticket.cluster);
    let body = codec::to_vec(&question);
    let answer = call_once(&TokioNet, address, tls, &name, hello, body, ANSWER_WITHIN).await?;
    Ok(codec::from_slice(&answer)?)
}

fn hello(cluster: &ClusterId, lineage: u32, format: u32) -> Hello {
    Hello {
        protocol: PROTOCOL,
        cluster: *cluster.as_bytes(),
        lineage,
        node: 0,
        member_epoch: 0,
        format,
        version: "0.0.1".to_owned(),
        log_end: None,
        cluster_log: None,
        access_log: None,
    }
}

/// A member that was started with an older version is not talked to; as the version that it had, it
/// is refused at most for what its greeting leaves out.
async fn as_member(fleet: &Fleet, address: &str) -> Result<()> {
    let layout = Layout::new(fleet.site(2).dir());
    let vault = Vault::unlock(&layout.keys(), &Credential::KeyFile(layout.unlock_key()))?;
    let place: serde_json::Value = serde_json::from_slice(&std::fs::read(layout.place())?)?;
    let (tls, _) = vault.peer_tls()?;
    for format in [FIRST_FORMAT, FORMAT] {
        let cluster = vault.cluster();
        let hello = Hello {
            node: 2,
            member_epoch: place["epoch"].as_u64().context("the epoch")?,
            ..hello(&cluster, 1, format)
        };
        let name = server_name(cluster.as_bytes(), 1);
        let tls = Arc::clone(&tls);
        let called = call_once(&TokioNet, address, tls, &name, hello, vec![], ANSWER_WITHIN).await;
        let is_too_old = matches!(
            &called,
            Err(CallFault::Refused(Refused::FormatTooOld {
                needed: FORMAT,
                theirs: FIRST_FORMAT
            }))
        );
        let is_right = is_too_old == (format == FIRST_FORMAT);
        ensure!(is_right, "format {format}: {called:?}");
    }
    Ok(())
}
