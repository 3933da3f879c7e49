//! The commands of the Unix socket about closed logs and where they go. Passwords become
//! commitments here, and nothing is saved that was not tried, unless somebody says so.

use super::{Answer, ControlDoor, Line};
use crate::jobs::rotation;
use crate::member::shared_secrets;
use crate::transfer::trial::{self, Steps};
use crate::transfer::{age, credential, shelf};
use domain::{Actor, Ask, Destination, Hash, Name, Right, RotationCause, Stream, View, WayIn};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;
use zeroize::Zeroizing;

/// How long a change that the leader made may take to be known here.
const KNOWN_WITHIN: Duration = Duration::from_secs(2);

/// How often that is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// Port of SSH.
const PORT: &str = "22";

/// What can be asked about closed logs. Some of it is secret, so it shows nothing of itself.
#[derive(Serialize, Deserialize)]
#[serde(tag = "transfer", rename_all = "kebab-case")]
#[expect(
    missing_docs,
    reason = "each variant is a command of the console, described there"
)]
pub enum TransferRequest {
    /// Closes one log, or all four.
    Rotate {
        log: Option<String>,
    },
    Show,
    Put {
        draft: Draft,
        untested: bool,
    },
    Remove {
        name: String,
    },
    /// The host key that a server shows, for people to compare; `user@host` or `user@host:port`.
    HostKey {
        to: String,
    },
    /// A saved destination, or one that is described.
    Test {
        name: String,
        draft: Option<Draft>,
    },
    /// Tries again at once.
    Retry {
        name: Option<String>,
    },
}

/// A destination as somebody describes it.
#[derive(Clone, Serialize, Deserialize)]
pub struct Draft {
    /// Its name.
    pub name: String,
    /// `user@host` or `user@host:port`.
    pub to: String,
    /// Folder there.
    pub directory: String,
    /// Fingerprint of the host key, or the key as a line.
    pub host_key: Option<String>,
    /// `age1…`.
    pub recipients: Vec<String>,
    /// Names of logs; all four when there are none.
    pub logs: Vec<String>,
    /// Whether nothing is sent there yet.
    pub off: bool,
    /// The password there; without one the key of the node is shown.
    pub password: Option<String>,
}

impl std::fmt::Debug for TransferRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TransferRequest")
    }
}

impl std::fmt::Debug for Draft {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Draft")
    }
}

impl TransferRequest {
    /// What it needs before anything is done for it.
    pub(super) fn right(&self) -> Right {
        match self {
            Self::Show => Right::SeeLogs,
            Self::Rotate { .. }
            | Self::Put { .. }
            | Self::Remove { .. }
            | Self::HostKey { .. }
            | Self::Test { .. }
            | Self::Retry { .. } => Right::ChangeTransfer,
        }
    }
}

fn parsed(name: &str) -> Result<Name, String> {
    Name::parse(name).map_err(|e| format!("{name:?}: {e}"))
}

fn views(names: &[String]) -> Result<Vec<View>, String> {
    if names.is_empty() {
        return Ok(View::ALL.to_vec());
    }
    let known = |name: &String| {
        View::parse(name).ok_or_else(|| {
            format!("there is no log {name:?}; there are system, audit, activity and clientevent")
        })
    };
    let mut views = names.iter().map(known).collect::<Result<Vec<_>, _>>()?;
    views.sort_unstable();
    views.dedup();
    Ok(views)
}

/// Account and address of `user@host` or `user@host:port`.
fn account(to: &str) -> Result<(String, String), String> {
    let parts = to.split_once('@');
    let (user, host) = parts.ok_or("write the destination like logs@192.0.2.7:22")?;
    let has_port = match host.rsplit_once(':') {
        Some((before, _)) => !before.contains(':') || before.ends_with(']'),
        None => false,
    };
    let address = match has_port {
        true => host.to_owned(),
        false => format!("{host}:{PORT}"),
    };
    domain::check_address(&address).map_err(|denial| denial.to_string())?;
    Ok((user.to_owned(), address))
}

impl Draft {
    /// The fingerprint to pin, of what was typed.
    fn pin(&self) -> Result<Option<String>, String> {
        let Some(typed) = self.host_key.as_deref().map(str::trim) else {
            return Ok(None);
        };
        if typed.starts_with("SHA256:") {
            return Ok(Some(typed.trim_end_matches('=').to_owned()));
        }
        let line = domain::check_ssh_key(typed)?;
        let key = russh::keys::PublicKey::from_openssh(&line).map_err(|e| e.to_string())?;
        Ok(Some(
            key.fingerprint(russh::keys::HashAlg::Sha256).to_string(),
        ))
    }

    fn destination(&self, pin: String, way_in: WayIn) -> Result<Destination, String> {
        let (user, address) = account(&self.to)?;
        let destination = Destination {
            address,
            user,
            directory: self.directory.clone(),
            way_in,
            host_key: pin,
            recipients: self.recipients.clone(),
            logs: views(&self.logs)?,
            enabled: !self.off,
        };
        destination.check()?;
        Ok(destination)
    }
}

impl ControlDoor {
    pub(super) async fn transfer(
        &self,
        actor: &Actor,
        request: TransferRequest,
        lines: &mpsc::Sender<Line>,
    ) -> Answer {
        match request {
            TransferRequest::Rotate { log } => self.rotate_logs(actor, log.as_deref()).await,
            TransferRequest::Show => self.transfers(),
            TransferRequest::Put { draft, untested } => {
                self.put_destination(actor, draft, untested, lines).await
            }
            TransferRequest::Remove { name } => {
                let name = parsed(&name)?;
                let ask = Ask::RemoveDestination { name: name.clone() };
                let done = self.change(actor, ask).await?;
                let forgotten = credential::forget_password(self.engine.vault(), &name);
                forgotten.map_err(|e| format!("{name} is removed, but: {e:#}"))?;
                Ok(done)
            }
            TransferRequest::HostKey { to } => {
                let (_, address) = account(&to)?;
                let shown = trial::host_key(&address).await;
                let (fingerprint, kind) = shown.map_err(|fault| fault.to_string())?;
                Ok(json!({ "address": address, "fingerprint": fingerprint, "kind": kind }))
            }
            TransferRequest::Test { name, draft } => {
                let name = parsed(&name)?;
                let (destination, password) = match draft {
                    Some(draft) => self.drafted(&draft).await?,
                    None => {
                        let state = self.engine.machine().state();
                        let known = state.destination(&name);
                        let known = known.ok_or_else(|| {
                            format!("there is no transfer destination {name}; say --to as well")
                        })?;
                        (known.destination.clone(), None)
                    }
                };
                self.try_out(&name, &destination, password, lines).await?;
                Ok(json!({}))
            }
            TransferRequest::Retry { name } => {
                let name = name.as_deref().map(parsed).transpose()?;
                self.courier.now(name.as_ref());
                Ok(json!({}))
            }
        }
    }

    /// Closes one log, or all of them.
    async fn rotate_logs(&self, actor: &Actor, log: Option<&str>) -> Answer {
        let names: Vec<String> = log.into_iter().map(str::to_owned).collect();
        let mut closed = Vec::new();
        for view in views(&names)? {
            let cause = RotationCause::Asked;
            let last = self.last_number(view);
            match rotation::rotate(&self.engine, actor, view, cause).await {
                Ok(()) => closed.push(self.closed_now(view, last).await),
                // All four were meant, and this one is empty.
                Err(refusal) if log.is_none() => {
                    let said = crate::sign_in::settled(refusal).await;
                    closed.push(json!({ "log": view.name(), "file": said }));
                }
                Err(refusal) => return Err(crate::sign_in::settled(refusal).await),
            }
        }
        self.courier.now(None);
        Ok(Value::Array(closed))
    }

    fn last_number(&self, view: View) -> u64 {
        let stream = Stream::of(view, self.engine.node());
        let state = self.engine.machine().state();
        state.last_closed(stream).map_or(0, |closed| closed.number)
    }

    /// What was closed, once this node knows it too; `last` is the number before.
    async fn closed_now(&self, view: View, last: u64) -> Value {
        let deadline = Instant::now() + KNOWN_WITHIN;
        while self.last_number(view) == last && Instant::now() < deadline {
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
        let stream = Stream::of(view, self.engine.node());
        let state = self.engine.machine().state();
        let Some(closed) = state.last_closed(stream) else {
            return json!({ "log": view.name() });
        };
        json!({
            "log": view.name(),
            "number": closed.number,
            "from": closed.from,
            "to": closed.size.saturating_sub(1),
            "file": shelf::file_name(&state, stream, closed.number),
        })
    }

    /// Destinations, what was closed last, and what others need to let this node in and to verify.
    fn transfers(&self) -> Answer {
        let key = credential::public_line(self.engine.vault()).map_err(|e| format!("{e:#}"))?;
        let destinations = self.courier.standing();
        let state = self.engine.machine().state();
        let streams = state.streams().filter_map(|stream| {
            let closed = state.last_closed(stream)?;
            Some(json!({
                "log": stream.to_string(),
                "number": closed.number,
                "records": closed.size,
                "closed": crate::render::moment(closed.time),
                "waiting": state.closed_waiting(stream),
            }))
        });
        Ok(json!({
            "destinations": destinations,
            "logs": streams.collect::<Vec<_>>(),
            "ssh_key_of_this_node": key,
            "allowed_signers": ledger::allowed_signers(&**self.courier.notary()).trim_end(),
        }))
    }

    /// A described destination, whose host key is pinned; otherwise the key is shown, and no more.
    async fn drafted(
        &self,
        draft: &Draft,
    ) -> Result<(Destination, Option<Zeroizing<String>>), String> {
        let (_, address) = account(&draft.to)?;
        let Some(pin) = draft.pin()? else {
            let key = trial::host_key(&address).await;
            let (fingerprint, kind) = key.map_err(|fault| fault.to_string())?;
            return Err(format!(
                "{address} shows the host key {fingerprint} ({kind}). Compare it with what \
                 ssh-keygen -l -f on that machine shows, then say: --host-key {fingerprint}"
            ));
        };
        draft
            .recipients
            .iter()
            .try_for_each(|one| age::check(one))?;
        let password = draft.password.clone().map(Zeroizing::new);
        if password.as_ref().is_some_and(|password| {
            password.is_empty() || password.len() > credential::PASSWORD_BYTES_MAX
        }) {
            return Err("this is no password".to_owned());
        }
        let way_in = match password {
            Some(_) => WayIn::Password(Hash::from_bytes([0; 32])),
            None => WayIn::Key,
        };
        Ok((draft.destination(pin, way_in)?, password))
    }

    async fn try_out(
        &self,
        name: &Name,
        destination: &Destination,
        password: Option<Zeroizing<String>>,
        lines: &mpsc::Sender<Line>,
    ) -> Result<(), String> {
        let steps = Steps(lines);
        let tried = trial::run(&self.courier, name, destination, password, &steps).await;
        tried.map_err(|fault| fault.to_string())
    }

    async fn put_destination(
        &self,
        actor: &Actor,
        draft: Draft,
        untested: bool,
        lines: &mpsc::Sender<Line>,
    ) -> Answer {
        let name = parsed(&draft.name)?;
        let (mut destination, password) = self.drafted(&draft).await?;
        if !untested {
            let tried = self
                .try_out(&name, &destination, password.clone(), lines)
                .await;
            tried.map_err(|why| format!("{why}; nothing was saved"))?;
        }
        if let Some(password) = password {
            let (vault, sealed) = (self.engine.vault().clone(), name.clone());
            let kept = tokio::task::spawn_blocking(move || {
                credential::keep_password(&vault, &sealed, &password)
            });
            let kept = kept.await.map_err(|e| e.to_string())?;
            destination.way_in = WayIn::Password(kept.map_err(|e| format!("{e:#}"))?);
            let secret = credential::password_name(&name);
            shared_secrets::hand_out(&self.engine, &self.colleagues, &secret).await?;
        }
        let ask = Ask::PutDestination {
            name: name.clone(),
            destination,
        };
        self.change(actor, ask).await?;
        self.courier.now(Some(&name));
        Steps(lines).say(format!("{name} is saved")).await;
        Ok(json!({}))
    }
}
