//! Administrators who have signed in, at the console or over SSH.

use super::{Answer, ControlDoor};
use crate::lockout::Source;
use crate::sign_in::SignedIn;
use crate::ssh_host_key;
use domain::{Door, Hash, Name, State};
use parking_lot::Mutex;
use serde_json::json;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use vault::Secret;

/// A session ends when nothing was asked in it for so long.
const IDLE_MAX: Duration = Duration::from_secs(15 * 60);

/// Most sessions at a time; the one that is idle for longest gives way.
const SESSIONS_MAX: usize = 64;

/// Bytes of a token.
const TOKEN_BYTES: usize = 32;

struct Session {
    name: Name,
    source: Source,
    /// The password that opened it: another one, set elsewhere, ends it.
    password: Option<Hash>,
    used: Instant,
}

/// The sessions, by token.
#[derive(Default)]
pub(super) struct Sessions(Mutex<BTreeMap<String, Session>>);

impl Sessions {
    fn open(&self, signed_in: SignedIn, source: Source) -> Result<String, String> {
        let token = vault::provider::random_array::<TOKEN_BYTES>().map_err(|e| e.to_string())?;
        let token = crate::render::hex(&token);
        let mut sessions = self.0.lock();
        if sessions.len() >= SESSIONS_MAX {
            let oldest = sessions.iter().min_by_key(|(_, session)| session.used);
            if let Some(oldest) = oldest.map(|(token, _)| token.clone()) {
                sessions.remove(&oldest);
            }
        }
        let session = Session {
            name: signed_in.name,
            source,
            password: signed_in.password,
            used: Instant::now(),
        };
        sessions.insert(token.clone(), session);
        Ok(token)
    }

    /// Whose session it is and from where, if it is one.
    pub(super) fn who(&self, token: &str, state: &State) -> Option<(Name, Source)> {
        let mut sessions = self.0.lock();
        sessions.retain(|_, session| {
            let administrator = state.administrator(&session.name);
            let same = administrator.is_some_and(|known| known.password == session.password);
            same && session.used.elapsed() < IDLE_MAX
        });
        let session = sessions.get_mut(token)?;
        session.used = Instant::now();
        Some((session.name.clone(), session.source))
    }

    /// Ends one.
    pub(super) fn close(&self, token: &str) {
        self.0.lock().remove(token);
    }

    /// The session in which somebody changed the own password goes on.
    pub(super) fn renew(&self, token: &str, password: Hash) {
        if let Some(session) = self.0.lock().get_mut(token) {
            session.password = Some(password);
        }
    }
}

impl ControlDoor {
    /// Signs an administrator in by password.
    pub(super) async fn sign_in(&self, name: &str, password: String, source: Source) -> Answer {
        let door = door_of(source);
        let password = Secret::take(password.into_bytes());
        let signed_in = self.sign_in.by_password(door, source, name, password);
        self.begin_session(signed_in.await?, source)
    }

    /// Signs an administrator in by a key of theirs.
    pub(super) async fn sign_in_by_key(&self, name: &str, key: &str, source: Source) -> Answer {
        let door = door_of(source);
        let signed_in = self.sign_in.by_key(door, source, name, key);
        self.begin_session(signed_in.await?, source)
    }

    fn begin_session(&self, signed_in: SignedIn, source: Source) -> Answer {
        let must_change = signed_in.must_change;
        let token = self.1.open(signed_in, source)?;
        Ok(json!({ "token": token, "must_change": must_change }))
    }

    /// Where the SSH door is to listen, and by which key it is to be known.
    pub(super) fn ssh_door(&self) -> Answer {
        let key = ssh_host_key::fingerprint(self.engine.vault());
        let key = key.map_err(|e| format!("{e:#}"))?;
        let state = self.engine.machine().state();
        let listen = state.setting_or_default(self.engine.node(), "ssh.listen");
        Ok(json!({ "listen": listen, "host_key": key }))
    }

    /// The private key by which SSH clients know this node.
    pub(super) fn ssh_host_key(&self) -> Answer {
        let key = ssh_host_key::private(self.engine.vault());
        let key = key.map_err(|e| format!("{e:#}"))?;
        Ok(json!({ "key": key.as_str() }))
    }
}

/// Through which door somebody comes from there.
pub(super) fn door_of(source: Source) -> Door {
    match source {
        Source::Console => Door::Console,
        Source::Address(_) => Door::Ssh,
    }
}
