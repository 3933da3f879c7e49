//! Carrying out a set-up: founds the cluster with its first node, and unmakes it again when it was
//! not confirmed.

use super::answers::Answers;
use crate::layout::{Layout, write_file};
use crate::node::{Node, Settings};
use crate::place_in_network::PlaceInNetwork;
use crate::{administrators, founding};
use anyhow::Context;
use domain::{Actor, Ask, Door, Name, SettingValue};
use std::path::Path;
use std::sync::Arc;
use vault::shares::{self, Share};
use vault::{Credential, NewSlot, Secret, Vault};

/// A node that was made and waits for the operator's word.
pub(crate) struct Made {
    /// It serves already; nobody has a certificate yet.
    pub(crate) node: Node,
    /// What three of the shares must give, while they are not confirmed.
    pub(crate) recovery: Option<(Secret, Vec<Share>)>,
    /// By what operators will recognise it: what, and its fingerprint.
    pub(crate) fingerprints: Vec<(&'static str, String)>,
}

impl std::fmt::Debug for Made {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Made").finish_non_exhaustive()
    }
}

/// Takes away what an unconfirmed set-up has left, of which nothing was ever in use (no client has
/// a certificate before the operator's word), or what an administrator wants destroyed.
///
/// Says whether there was anything.
pub(crate) fn abandon_unfinished(layout: &Layout) -> anyhow::Result<bool> {
    let marker = layout.setup_begun();
    if !marker.exists() {
        return Ok(false);
    }
    tracing::warn!("there is no confirmed set-up; what was made is destroyed");
    // The keys first: without them the rest is worth nothing, should this be cut short too.
    let keys = layout.keys();
    vault::erase_files(&keys).with_context(|| format!("erasing {}", keys.display()))?;
    empty(&keys)?;
    for folder in [layout.root().join("data"), layout.clients()] {
        empty(&folder)?;
    }
    for file in [layout.ca_certificate(), layout.server_certificate()] {
        remove(&file)?;
    }
    remove(&marker)?;
    std::fs::File::open(layout.root())?.sync_all()?;
    Ok(true)
}

/// Removes what is in a folder, except what the file system itself keeps there.
fn empty(folder: &Path) -> anyhow::Result<()> {
    let entries = match std::fs::read_dir(folder) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        entries => entries.with_context(|| format!("reading {}", folder.display()))?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_name() == "lost+found" {
            continue;
        }
        let path = entry.path();
        let removed = match entry.file_type()?.is_dir() {
            true => std::fs::remove_dir_all(&path),
            false => std::fs::remove_file(&path),
        };
        removed.with_context(|| format!("removing {}", path.display()))?;
    }
    std::fs::File::open(folder)?.sync_all()?;
    Ok(())
}

fn remove(file: &Path) -> anyhow::Result<()> {
    match std::fs::remove_file(file) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(e).with_context(|| format!("removing {}", file.display()))
        }
        _ => Ok(()),
    }
}

/// Founds the cluster as the answers say. They were checked before.
pub(crate) async fn carry_out(
    answers: &Answers,
    layout: &Layout,
    place: &PlaceInNetwork,
    settings: Settings,
) -> anyhow::Result<Made> {
    layout.make()?;
    write_file(&layout.setup_begun(), b"", 0o600).context("beginning the set-up")?;
    let credential = match (answers.get("unlock"), answers.secret("unlock.passphrase")) {
        ("disk", _) => Credential::KeyFile(layout.unlock_key()),
        (_, Some(passphrase)) => Credential::Passphrase(Secret::copy_of(passphrase.expose())),
        (_, None) => anyhow::bail!("there is no passphrase to unlock with"),
    };
    let node = Node::start(settings, credential).await?;
    let recovery = add_recovery(answers, &node).await?;
    configure(answers, &node).await?;
    place.write(|id| answers.get(id).to_owned())?;
    let fingerprints = fingerprints(layout, node.engine.vault())?;
    Ok(Made {
        node,
        recovery,
        fingerprints,
    })
}

/// The second way in.
async fn add_recovery(
    answers: &Answers,
    node: &Node,
) -> anyhow::Result<Option<(Secret, Vec<Share>)>> {
    let (credential, made) = match answers.secret("recovery.passphrase") {
        Some(passphrase) => (
            Credential::Passphrase(Secret::copy_of(passphrase.expose())),
            None,
        ),
        None => {
            let (key, shares) = shares::recovery_shares()?;
            (
                Credential::Shares(Secret::copy_of(key.expose())),
                Some((key, shares)),
            )
        }
    };
    let vault = node.engine.vault().clone();
    let slot = NewSlot::new(credential).for_recovery();
    let id = tokio::task::spawn_blocking(move || vault.add_slot(slot)).await??;
    let slots = node.engine.vault().slots();
    let kind = slots.iter().find(|slot| slot.id == id);
    let ask = Ask::AddSlot {
        name: founding::slot_name(node.id, id),
        kind: kind.map(|slot| slot.kind.to_string()).unwrap_or_default(),
    };
    change(node, ask).await?;
    Ok(made)
}

/// Settings and the first administrator, into the log.
async fn configure(answers: &Answers, node: &Node) -> anyhow::Result<()> {
    let values: Vec<SettingValue> = answers
        .settings()
        .map(|(setting, value)| SettingValue {
            id: setting.id.to_owned(),
            value: value.to_owned(),
        })
        .collect();
    let (node_id, administrator) = (node.id, Name::parse(answers.get("admin.name"))?);
    change(
        node,
        Ask::Configure {
            node: node_id,
            values,
        },
    )
    .await?;
    let password = answers.secret("admin.password").context("a password")?;
    let (vault, name) = (node.engine.vault().clone(), administrator.clone());
    let (password, approved) = (
        Secret::copy_of(password.expose()),
        answers.get("approved") == "yes",
    );
    let made = tokio::task::spawn_blocking(move || {
        // There is no earlier one.
        administrators::set_password(&vault, &name, None, &password, approved, 0)
    });
    let ssh_key = answers.get("admin.ssh-key");
    let ask = Ask::PutAdministrator {
        name: administrator,
        password: Some(made.await??),
        ssh_keys: [ssh_key]
            .map(str::to_owned)
            .into_iter()
            .filter(|key| !key.is_empty())
            .collect(),
        // The first one has everything.
        permissions: None,
        must_change: false,
    };
    change(node, ask).await
}

async fn change(node: &Node, ask: Ask) -> anyhow::Result<()> {
    let actor = Actor::Operator {
        name: "set-up".to_owned(),
        door: Door::Console,
    };
    let done = node.engine.change(&actor, ask, None).await;
    done.map(drop)
        .map_err(|refusal| anyhow::anyhow!("{refusal}"))
}

/// What stays recognisable of this appliance: shown at the console, compared at the first visit.
fn fingerprints(
    layout: &Layout,
    vault: &Arc<Vault>,
) -> anyhow::Result<Vec<(&'static str, String)>> {
    let sha256 = |path: &Path| -> anyhow::Result<String> {
        let pem = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
        let (_, pem) = x509_parser::pem::parse_x509_pem(&pem)?;
        let digest = vault::provider::sha256(&[&pem.contents]);
        let hex: Vec<String> = digest.iter().map(|byte| format!("{byte:02X}")).collect();
        Ok(hex.join(":"))
    };
    Ok(vec![
        (
            "web and KMIP certificate, SHA-256",
            sha256(&layout.server_certificate())?,
        ),
        (
            "Local CA certificate, SHA-256",
            sha256(&layout.ca_certificate())?,
        ),
        (
            "node identity",
            vault.node_identity()?.fingerprint.to_string(),
        ),
        ("SSH host key", crate::ssh_host_key::fingerprint(vault)?),
    ])
}

/// The operator's word: from now on the set-up stands.
pub(crate) fn confirm(layout: &Layout) -> anyhow::Result<()> {
    remove(&layout.setup_begun())?;
    std::fs::File::open(layout.root())?.sync_all()?;
    Ok(())
}
