//! A member comes back under a new number, because what it must not forget is damaged or went back
//! in time: its Raft log and its vote, or its whole folder.
//!
//! It shows the certificate that it had, so no operator has to approve it, and it becomes no more
//! than it was. It makes a new log key, because one key must not sign for two pasts. Its Raft
//! folder and its access log are kept beside the new ones. What it has of the cluster log and the
//! sealed store stays: both are checked against the others' before anything is added.
//!
//! The new place is written first and the folders are moved behind it ([`finish`]), so that a crash
//! in between never leaves an old number with an empty Raft log.

use super::join::keep;
use super::mend::Helpers;
use super::messages::{Admission, Answer, Question};
use super::place::Place;
use crate::layout::Layout;
use anyhow::{Context, bail};
use domain::{Candidate, Hash, MemberRole, NodeId};
use serde_bytes::ByteBuf;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use vault::Vault;

/// How long it asks; another change of the membership may be under way.
const REJOIN_TIMEOUT: Duration = Duration::from_secs(600);

/// Pause between tries.
const TRY_INTERVAL: Duration = Duration::from_secs(1);

/// Has the cluster take this node in under a new number; gives its place from then on.
pub(crate) async fn rejoin(layout: &Layout, vault: &Vault, place: &Place) -> anyhow::Result<Place> {
    let helpers = Helpers::of(vault, place)?;
    let identity = vault.node_identity().context("the keys of the node")?;
    let log_key = vault.renew_log_key().context("a new log key")?;
    let candidate = Candidate {
        key: identity.fingerprint,
        sealing_key: identity.sealing_key.clone(),
        log_key: Hash::from_bytes(log_key.public_key()),
        address: place.address.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        format: domain::FORMAT,
        // Whoever answers knows what this node was, and lets it be nothing else.
        role: MemberRole::Voter,
    };
    let question = Question::Rejoin {
        candidate,
        spki: ByteBuf::from(identity.spki),
    };
    let admission = ask(&helpers, &question, place.id()).await?;
    keep(vault, &admission)?;
    let others = admission.members.iter();
    let others = others.filter(|(id, _)| *id != NodeId(place.node) && *id != admission.node);
    let place = Place {
        node: admission.node.0,
        epoch: admission.epoch,
        lineage: admission.lineage,
        address: place.address.clone(),
        members: others
            .map(|(id, address)| (id.0, address.clone()))
            .collect(),
        replaces: Some(place.node),
    };
    place.write(&layout.place())?;
    finish(layout, &place)?;
    Ok(place)
}

/// Asks until there is a number after `old`: under the old one an empty Raft log would be a vote
/// forgotten.
async fn ask(helpers: &Helpers, question: &Question, old: NodeId) -> anyhow::Result<Admission> {
    let begun = Instant::now();
    let mut told = String::new();
    loop {
        let why = match helpers.ask_round(question).await {
            Ok(Answer::Admitted(admission)) if admission.node > old => return Ok(*admission),
            Ok(Answer::Admitted(_)) => "the member does not know of the new number yet".to_owned(),
            Ok(_) => "a member gave an answer to another question".to_owned(),
            Err(why) => why,
        };
        if begun.elapsed() > REJOIN_TIMEOUT {
            bail!("the cluster did not take this node in again: {why}");
        }
        if why != told {
            tracing::warn!("coming back to the cluster: {why}");
            told = why;
        }
        tokio::time::sleep(TRY_INTERVAL).await;
    }
}

/// Moves what belonged to the old number out of the way, unless that was done already.
pub(crate) fn finish(layout: &Layout, place: &Place) -> anyhow::Result<()> {
    let Some(old) = place.replaces else {
        return Ok(());
    };
    let evidence = layout.evidence();
    std::fs::create_dir_all(&evidence).with_context(|| format!("making {}", evidence.display()))?;
    let (cluster_log, access_log) = (layout.cluster_log(), layout.access_log());
    let of_old = |path: &Path| {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".node-{old}"));
        name
    };
    let moves: [(PathBuf, PathBuf); 4] = [
        // The checkpoints first: they are signed with the old key, which is gone.
        {
            let from = cluster_log.with_extension("checkpoint");
            let to = evidence.join(of_old(&from));
            (from, to)
        },
        {
            let from = access_log.with_extension("checkpoint");
            let to = from.with_file_name(of_old(&from));
            (from, to)
        },
        {
            let to = access_log.with_file_name(of_old(&access_log));
            (access_log, to)
        },
        {
            let from = layout.raft();
            let to = evidence.join(of_old(&from));
            (from, to)
        },
    ];
    for (from, to) in moves {
        // Where the old one lies already, what stands in its place is the new one.
        if from.exists() && !to.exists() {
            std::fs::rename(&from, &to)
                .with_context(|| format!("moving {} to {}", from.display(), to.display()))?;
        }
    }
    sync(&evidence)?;
    sync(evidence.parent().unwrap_or(&evidence))
}

fn sync(dir: &Path) -> anyhow::Result<()> {
    let folder = std::fs::File::open(dir);
    folder
        .and_then(|folder| folder.sync_all())
        .with_context(|| format!("syncing {}", dir.display()))
}
