//! Administrators who have signed in at the console.

use super::{Answer, ControlDoor};
use crate::administrators;
use domain::Name;
use parking_lot::Mutex;
use serde_json::json;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use vault::Secret;

/// A session ends when nothing was asked in it for so long.
const IDLE_MAX: Duration = Duration::from_secs(15 * 60);

/// Most sessions at a time; the one that is idle for longest gives way.
const SESSIONS_MAX: usize = 16;

/// How long a wrong password costs whoever tries.
const WRONG_PAUSE: Duration = Duration::from_secs(2);

/// Bytes of a token.
const TOKEN_BYTES: usize = 32;

/// The sessions, by token.
#[derive(Default)]
pub(super) struct Sessions(Mutex<BTreeMap<String, (Name, Instant)>>);

impl Sessions {
    fn open(&self, name: Name) -> Result<String, String> {
        let token = vault::provider::random_array::<TOKEN_BYTES>().map_err(|e| e.to_string())?;
        let token = crate::render::hex(&token);
        let mut sessions = self.0.lock();
        if sessions.len() >= SESSIONS_MAX {
            let oldest = sessions.iter().min_by_key(|(_, (_, used))| *used);
            if let Some(oldest) = oldest.map(|(token, _)| token.clone()) {
                sessions.remove(&oldest);
            }
        }
        sessions.insert(token.clone(), (name, Instant::now()));
        Ok(token)
    }

    /// Whose session it is, if it is one.
    pub(super) fn who(&self, token: &str) -> Option<Name> {
        let mut sessions = self.0.lock();
        sessions.retain(|_, (_, used)| used.elapsed() < IDLE_MAX);
        let (name, used) = sessions.get_mut(token)?;
        *used = Instant::now();
        Some(name.clone())
    }
}

impl ControlDoor {
    /// Signs an administrator in by password.
    pub(super) async fn sign_in(&self, name: &str, password: String) -> Answer {
        let password = Secret::take(password.into_bytes());
        let wrong = || "this name and this password do not belong together".to_owned();
        let known = Name::parse(name).ok().filter(|name| {
            let state = self.engine.machine().state();
            state.administrator(name).is_some()
        });
        let vault = self.engine.vault().clone();
        let asked = known.clone().or_else(|| Name::parse("nobody").ok());
        let asked = asked.ok_or_else(wrong)?;
        let checked = tokio::task::spawn_blocking(move || {
            administrators::is_right(&vault, &asked, &password)
        });
        let checked = checked.await.map_err(|e| e.to_string())?;
        match (checked.map_err(|e| format!("{e:#}"))?, known) {
            (true, Some(name)) => Ok(json!({ "token": self.1.open(name)? })),
            _ => {
                tokio::time::sleep(WRONG_PAUSE).await;
                Err(wrong())
            }
        }
    }
}
