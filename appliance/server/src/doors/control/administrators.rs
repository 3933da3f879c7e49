//! The commands of the Unix socket about administrators. Who may say them is for the domain; here
//! passwords become commitments.

use super::{Answer, ControlDoor};
use crate::administrators::{self, NotSet, Policy};
use crate::lockout::Source;
use crate::member::shared_secrets;
use crate::render;
use crate::sign_in;
use domain::{Actor, Ask, Hash, Name, PERMISSIONS, PRESETS, Permissions, Right};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use vault::Secret;

/// What can be asked about administrators. Some of it is secret, so it shows nothing of itself.
#[derive(Serialize, Deserialize)]
#[serde(tag = "admin", rename_all = "kebab-case")]
#[expect(
    missing_docs,
    reason = "each variant is a command of the console, described there"
)]
pub enum AdminRequest {
    List,
    Permissions,
    Add {
        name: String,
        permissions: String,
        password: String,
    },
    Remove {
        name: String,
    },
    SetPermissions {
        name: String,
        permissions: String,
    },
    ResetPassword {
        name: String,
        password: String,
    },
    SshKeys {
        name: String,
        keys: Vec<String>,
    },
}

impl std::fmt::Debug for AdminRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AdminRequest")
    }
}

impl AdminRequest {
    /// What it needs before anything is done for it.
    pub(super) fn right(&self, actor: &Actor) -> Right {
        let own = |name: &str| matches!(actor, Actor::Operator { name: own, .. } if own == name);
        match self {
            Self::Permissions => Right::SeeStatus,
            Self::SshKeys { name, .. } if own(name) => Right::SeeStatus,
            Self::List => Right::SeeAdministrators,
            Self::Add { .. }
            | Self::Remove { .. }
            | Self::SetPermissions { .. }
            | Self::ResetPassword { .. }
            | Self::SshKeys { .. } => Right::ChangeAdministrators,
        }
    }
}

/// What somebody types who changes the own password.
pub(super) struct PasswordChange {
    pub(super) old: String,
    pub(super) new: String,
}

fn parsed(name: &str) -> Result<Name, String> {
    Name::parse(name).map_err(|e| format!("{name:?}: {e}"))
}

impl ControlDoor {
    pub(super) async fn administration(&self, actor: &Actor, request: AdminRequest) -> Answer {
        match request {
            AdminRequest::List => Ok(self.administrators()),
            AdminRequest::Permissions => Ok(permissions()),
            AdminRequest::Add {
                name,
                permissions,
                password,
            } => {
                let (name, permissions) = (parsed(&name)?, Permissions::parse(&permissions)?);
                if self.engine.machine().state().administrator(&name).is_some() {
                    return Err(format!("there is an administrator {name} already"));
                }
                let password = Some(self.seal(&name, password).await?);
                let ask = Ask::PutAdministrator {
                    name,
                    password,
                    ssh_keys: Vec::new(),
                    permissions: Some(permissions),
                    must_change: true,
                };
                self.change(actor, ask).await
            }
            AdminRequest::Remove { name } => {
                let name = parsed(&name)?;
                let ask = Ask::RemoveAdministrator { name: name.clone() };
                let done = self.change(actor, ask).await?;
                let forgotten = administrators::forget(self.engine.vault(), &name);
                forgotten.map_err(|e| format!("{name} is removed, but: {e:#}"))?;
                Ok(done)
            }
            AdminRequest::SetPermissions { name, permissions } => {
                let (name, permissions) = (parsed(&name)?, Permissions::parse(&permissions)?);
                let ask = Ask::SetPermissions { name, permissions };
                self.change(actor, ask).await
            }
            AdminRequest::ResetPassword { name, password } => {
                let name = parsed(&name)?;
                if self.engine.machine().state().administrator(&name).is_none() {
                    return Err(domain::Denial::UnknownAdministrator.to_string());
                }
                let password = self.seal(&name, password).await?;
                self.change(actor, Ask::ResetPassword { name, password })
                    .await
            }
            AdminRequest::SshKeys { name, keys } => {
                let keys = keys.iter().map(|key| sign_in::check_ssh_key(key));
                let ssh_keys = keys.collect::<Result<_, _>>()?;
                let name = parsed(&name)?;
                self.change(actor, Ask::SetSshKeys { name, ssh_keys }).await
            }
        }
    }

    /// Changes the password of whoever is signed in, who says the old one again.
    pub(super) async fn own_password(
        &self,
        name: &Name,
        source: Source,
        actor: &Actor,
        token: &str,
        change: PasswordChange,
    ) -> Answer {
        let old = Secret::take(change.old.into_bytes());
        self.sign_in.is_own_password(name, source, old).await?;
        let password = self.seal(name, change.new).await?;
        let done = self.change(actor, Ask::ChangePassword { password }).await?;
        self.sessions.renew(token, password);
        Ok(done)
    }

    /// Checks a new password by the policy, seals it, here and on the other nodes; gives its
    /// commitment.
    async fn seal(&self, name: &Name, password: String) -> Result<Hash, String> {
        let (policy, approved, committed) = {
            let state = self.engine.machine().state();
            let approved = state.wants_approved();
            let known = state.administrator(name).and_then(|known| known.password);
            (Policy::of_cluster(&state), approved, known)
        };
        let checked = policy.check(name.as_str(), &password);
        let password = Secret::take(password.into_bytes());
        checked.map_err(|why| format!("this password is not taken: {why}"))?;
        let (vault, of) = (self.engine.vault().clone(), name.clone());
        let sealed = tokio::task::spawn_blocking(move || {
            let committed = committed.as_ref();
            administrators::set_password(
                &vault,
                &of,
                committed,
                &password,
                approved,
                policy.history,
            )
        });
        let sealed = sealed.await.map_err(|e| e.to_string())?;
        let sealed = sealed.map_err(|e: NotSet| e.to_string())?;
        let secret = administrators::secret_name(name);
        shared_secrets::hand_out(&self.engine, &self.colleagues, &secret).await?;
        Ok(sealed)
    }

    fn administrators(&self) -> Value {
        let now = self.engine.now();
        let state = self.engine.machine().state();
        let row = |(name, known): (&Name, &domain::Administrator)| {
            json!({
                "name": name,
                "permissions": named(known.permissions),
                "password_since": known.password.map(|_| render::moment(known.password_since)),
                "must_change": state.must_change_password(known, now),
                "ssh_keys": known.ssh_keys.len(),
            })
        };
        state.administrators().map(row).collect()
    }
}

/// A set by its name, where it has one.
fn named(permissions: Permissions) -> String {
    let mut presets = PRESETS.iter();
    let preset = presets.find(|preset| preset.permissions == permissions);
    preset.map_or_else(|| permissions.to_string(), |preset| preset.id.to_owned())
}

/// The table of permissions, and the sets that have a name.
fn permissions() -> Value {
    let bits = PERMISSIONS
        .iter()
        .map(|row| json!({ "id": row.id, "title": row.title, "lets": row.lets }));
    let sets = PRESETS.iter().map(|preset| {
        let lets = preset.permissions.to_string();
        json!({ "id": preset.id, "title": preset.title, "lets": lets })
    });
    bits.chain(sets).collect()
}
