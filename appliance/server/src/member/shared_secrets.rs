//! Secrets that somebody gave to one node and that every node needs: verifiers of administrators'
//! passwords, and passwords of transfer destinations.
//!
//! Each lies sealed in a node's own vault; the cluster log has the commitment to the one that
//! counts. A new secret is with a majority of the voters before the log says that it counts, so no
//! single disk has it alone; a member that was away finds in the log what it lacks, and asks.

use super::colleagues::Colleagues;
use super::messages::{Answer, Question};
use crate::administrators;
use crate::engine::Engine;
use crate::transfer::credential;
use domain::{Hash, MemberPhase, Name, NodeId, State, WayIn};
use serde_bytes::ByteBuf;
use std::collections::BTreeMap;
use tokio::task::JoinSet;
use vault::{Secret, SecretFault, Vault};

/// Whether a named secret may leave its node, for another member.
pub(crate) fn is_shared(name: &str) -> bool {
    administrators::is_verifiers(name) || credential::is_password(name)
}

/// The members that take in secrets, with the key that they are sealed to. A witness is one of
/// them: it has a console like the others, and none of this opens a client's key.
fn takers(state: &State) -> impl Iterator<Item = (NodeId, &domain::state::Node)> {
    let standing = |phase| matches!(phase, MemberPhase::Joining | MemberPhase::Member);
    state
        .members()
        .filter(move |(_, node)| standing(node.phase) && !node.sealing_key.is_empty())
}

/// Seals a secret of this node for a member.
///
/// # Errors
/// Why it gets none.
pub(crate) fn seal_for(engine: &Engine, caller: NodeId, name: &str) -> Result<Vec<u8>, String> {
    if !is_shared(name) {
        return Err(format!("{name} stays on the node that has it"));
    }
    let key = {
        let state = engine.machine().state();
        let found = takers(&state).find(|(id, _)| *id == caller);
        found.map(|(_, node)| node.sealing_key.clone())
    };
    let key = key.ok_or_else(|| format!("node {} is no member in good standing", caller.0))?;
    let sealed = engine.vault().export_secret(name, &key);
    sealed.map_err(|e| e.to_string())
}

/// Takes in what another member sealed for this node.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn take_in(vault: &Vault, envelope: &[u8]) -> Result<(), String> {
    let taken = vault.import_secret(envelope, |name, held, sent| {
        if administrators::is_verifiers(name) {
            return administrators::merged(held, sent);
        }
        let is_new = held.is_none_or(|held| !held.ct_eq(sent));
        (is_shared(name) && is_new).then(|| Secret::copy_of(sent.expose()))
    });
    taken.map(drop).map_err(|e| e.to_string())
}

/// Hands a secret of this node to the other members, before the log says that it counts.
///
/// # Errors
/// Too few of those who vote have it, and why.
pub(crate) async fn hand_out(
    engine: &Engine,
    colleagues: &Colleagues,
    name: &str,
) -> Result<(), String> {
    let (here, others): (usize, Vec<(NodeId, bool, Vec<u8>)>) = {
        let state = engine.machine().state();
        let me = state.member(engine.node());
        let others = takers(&state).filter(|(id, _)| *id != engine.node());
        let others = others.map(|(id, node)| (id, node.role.votes(), node.sealing_key.clone()));
        let votes = me.is_some_and(|me| me.role.votes());
        (usize::from(votes), others.collect())
    };
    let mut asked = JoinSet::new();
    let (mut have, mut of, mut missing) = (here, here, Vec::new());
    for (node, votes, key) in others {
        of += usize::from(votes);
        let envelope = engine.vault().export_secret(name, &key);
        let envelope = ByteBuf::from(envelope.map_err(|e| e.to_string())?);
        let colleagues = colleagues.clone();
        asked.spawn(async move {
            let question = Question::TakeSecret { envelope };
            let why = match colleagues.ask_node(node, &question).await {
                Ok(Answer::Done) => None,
                Ok(Answer::Refused(why)) => Some(why),
                Ok(_) => Some("it answered something else".to_owned()),
                Err(e) => Some(e.to_string()),
            };
            (node, votes, why)
        });
    }
    while let Some(told) = asked.join_next().await {
        match told.map_err(|e| e.to_string())? {
            (_, votes, None) => have += usize::from(votes),
            (node, _, Some(why)) => missing.push(format!("node {}: {why}", node.0)),
        }
    }
    let missing = missing.join("; ");
    if have * 2 > of {
        if !missing.is_empty() {
            tracing::info!("a new secret comes later to those who are away: {missing}");
        }
        return Ok(());
    }
    Err(format!(
        "it is on {have} of {of} voting members, and a majority must have it before it counts: \
         nothing was changed; try again when they are there ({missing})"
    ))
}

/// A secret that the log names.
#[derive(Clone, PartialEq, Eq)]
enum Wanted {
    Verifier(Name, Hash),
    Password(Name, Hash),
}

impl Wanted {
    fn is_held(&self, vault: &Vault) -> bool {
        match self {
            Self::Verifier(name, committed) => administrators::is_held(vault, name, committed),
            Self::Password(name, committed) => credential::is_held(vault, name, committed),
        }
    }
}

/// What the log wants to be held, by the names of the secrets.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Wants(BTreeMap<String, Wanted>);

impl Wants {
    /// Reads the state.
    pub(crate) fn of(state: &State) -> Self {
        let verifiers = state.administrators().filter_map(|(name, known)| {
            let wanted = Wanted::Verifier(name.clone(), known.password?);
            Some((administrators::secret_name(name), wanted))
        });
        let passwords = state.destinations().filter_map(|(name, standing)| {
            let WayIn::Password(committed) = standing.destination.way_in else {
                return None;
            };
            let wanted = Wanted::Password(name.clone(), committed);
            Some((credential::password_name(name), wanted))
        });
        Self(verifiers.chain(passwords).collect())
    }

    /// Asks the others for what this node lacks; gives how many it did not get.
    pub(crate) async fn fetch(&self, vault: &Vault, colleagues: &Colleagues) -> usize {
        let mut lacking = 0;
        for (name, wanted) in &self.0 {
            if wanted.is_held(vault) || fetched(vault, colleagues, name, wanted).await {
                continue;
            }
            lacking += 1;
        }
        lacking
    }

    /// Forgets what was wanted before, is no longer, and has not changed since: another secret of
    /// that name is one that is on its way into the log.
    pub(crate) fn forget(&self, vault: &Vault, before: Kept) {
        let unwanted = before.0.into_iter();
        let mut unwanted = unwanted.filter(|(name, _)| !self.0.contains_key(name));
        let forgotten = unwanted.try_for_each(|(name, digest)| {
            if digest_of(vault, &name)? == Some(digest) {
                vault.secret_remove(&name)?;
            }
            Ok::<(), SecretFault>(())
        });
        if let Err(e) = forgotten {
            tracing::warn!("a secret that nobody needs any more is still here: {e}");
        }
    }

    /// What is held of it now.
    pub(crate) fn kept(&self, vault: &Vault) -> Kept {
        Kept::of(vault, self.0.keys().cloned())
    }
}

/// Secrets as they were at one time.
#[derive(Default)]
pub(crate) struct Kept(BTreeMap<String, Hash>);

impl Kept {
    /// Every shared secret that is here.
    pub(crate) fn all(vault: &Vault) -> Self {
        let names = vault.secret_names("").into_iter();
        Self::of(vault, names.filter(|name| is_shared(name)))
    }

    fn of(vault: &Vault, names: impl Iterator<Item = String>) -> Self {
        // One that is damaged is fetched again, and not forgotten.
        let digest = |name: String| Some((digest_of(vault, &name).ok()??, name));
        let kept = names.filter_map(digest);
        Self(kept.map(|(digest, name)| (name, digest)).collect())
    }
}

fn digest_of(vault: &Vault, name: &str) -> Result<Option<Hash>, SecretFault> {
    let held = vault.secret_get(name)?;
    Ok(held.map(|held| Hash::from_bytes(vault::provider::sha256(&[held.expose()]))))
}

async fn fetched(vault: &Vault, colleagues: &Colleagues, name: &str, wanted: &Wanted) -> bool {
    for node in colleagues.everybody() {
        let question = Question::Secret {
            name: name.to_owned(),
        };
        let told = match colleagues.ask_node(node, &question).await {
            Ok(Answer::Envelope(envelope)) => take_in(vault, &envelope),
            Ok(Answer::Refused(why)) => Err(why),
            Ok(_) => Err("it answered something else".to_owned()),
            Err(e) => Err(e.to_string()),
        };
        if let Err(why) = told {
            tracing::debug!("node {} gives no {name}: {why}", node.0);
        }
        if wanted.is_held(vault) {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use domain::ClusterId;
    use vault::{Credential, NewSlot};

    #[test]
    fn only_what_nobody_needs_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let credential = Credential::Passphrase(Secret::copy_of(b"a passphrase for tests"));
        let id = ClusterId::from_bytes([7; 16]);
        let vault = Vault::initialise(folder.path(), id, NewSlot::new(credential)).unwrap();
        let put = |name: &str, text: &str| {
            let secret = Secret::copy_of(text.as_bytes());
            vault.secret_put(name, &secret).unwrap();
        };
        put("administrator.eve", "verifiers");
        put("administrator.jane", "verifiers");
        put("transfer.ssh-key", "of this node");
        put("console", "of this node");
        let before = Kept::all(&vault);
        // Somebody gives Jane's name to another, while she is gone from the log.
        put("administrator.jane", "verifiers of another");
        Wants::default().forget(&vault, before);
        let names = vault.secret_names("");
        assert_eq!(names, ["administrator.jane", "console", "transfer.ssh-key"]);
        assert!(!is_shared("console") && !is_shared("transfer.ssh-key"));
    }
}
