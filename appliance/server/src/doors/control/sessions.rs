//! Administrators who have signed in, at the console, over SSH or in a browser.

use super::{Answer, ControlDoor};
use crate::doors::services::Service;
use crate::lockout::Source;
use crate::sign_in::SignedIn;
use crate::ssh_host_key;
use domain::{Door, Hash, Name, Permissions, State};
use parking_lot::Mutex;
use serde_json::json;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use vault::Secret;

/// A session ends when nothing was asked in it for so long.
const IDLE_MAX: Duration = Duration::from_secs(15 * 60);

/// A session in a browser ends after so long, whatever is asked in it (ABUSE A15): browsers stay
/// open for weeks.
const WEB_SESSION_MAX: Duration = Duration::from_secs(8 * 60 * 60);

/// Most sessions at a time by one door; the one that is idle for longest gives way.
const SESSIONS_MAX: usize = 64;

/// Bytes of a token.
const TOKEN_BYTES: usize = 32;

struct Session {
    name: Name,
    door: Door,
    source: Source,
    /// The password that opened it: another one, set elsewhere, ends it.
    password: Option<Hash>,
    /// In a browser: other permissions end it. At a command line each command is judged by what
    /// holds then, which is enough there and here, but a page shows what one may do.
    permissions: Option<Permissions>,
    /// What the forms of a browser's pages carry.
    form_token: String,
    opened: Instant,
    used: Instant,
}

impl Session {
    fn has_ended(&self, state: &State) -> bool {
        let Some(known) = state.administrator(&self.name) else {
            return true;
        };
        let other = self.permissions.is_some_and(|had| had != known.permissions);
        let old = self.door == Door::Web && self.opened.elapsed() >= WEB_SESSION_MAX;
        other || old || known.password != self.password || self.used.elapsed() >= IDLE_MAX
    }
}

/// Who is signed in in a session.
#[derive(Clone, Debug)]
pub(crate) struct Person {
    pub(crate) name: Name,
    pub(crate) door: Door,
    pub(crate) source: Source,
    pub(crate) form_token: String,
}

/// The sessions, by SHA-256 of their token: how long a look takes says nothing of a token.
#[derive(Default)]
pub(super) struct Sessions(Mutex<BTreeMap<[u8; 32], Session>>);

fn key(token: &str) -> [u8; 32] {
    vault::provider::sha256(&[token.as_bytes()])
}

fn new_token() -> Result<String, String> {
    let token = vault::provider::random_array::<TOKEN_BYTES>().map_err(|e| e.to_string())?;
    Ok(crate::render::hex(&token))
}

impl Sessions {
    /// Opens one under a new token, whatever was shown before.
    pub(super) fn open(
        &self,
        signed_in: SignedIn,
        (door, source): (Door, Source),
        state: &State,
    ) -> Result<String, String> {
        let token = new_token()?;
        let known = state.administrator(&signed_in.name);
        let permissions = known.map(|known| known.permissions);
        let now = Instant::now();
        let session = Session {
            name: signed_in.name,
            door,
            source,
            password: signed_in.password,
            permissions: permissions.filter(|_| door == Door::Web),
            form_token: new_token()?,
            opened: now,
            used: now,
        };
        let mut sessions = self.0.lock();
        sessions.retain(|_, session| !session.has_ended(state));
        let of_door = || sessions.iter().filter(|(_, session)| session.door == door);
        if of_door().count() >= SESSIONS_MAX {
            let oldest = of_door().min_by_key(|(_, session)| session.used);
            if let Some(oldest) = oldest.map(|(key, _)| *key) {
                sessions.remove(&oldest);
            }
        }
        sessions.insert(key(&token), session);
        Ok(token)
    }

    /// Whose session it is and from where, if it is one.
    pub(super) fn who(&self, token: &str, state: &State) -> Option<Person> {
        let mut sessions = self.0.lock();
        sessions.retain(|_, session| !session.has_ended(state));
        let session = sessions.get_mut(&key(token))?;
        session.used = Instant::now();
        Some(Person {
            name: session.name.clone(),
            door: session.door,
            source: session.source,
            form_token: session.form_token.clone(),
        })
    }

    /// The session in which somebody changed the own password goes on.
    pub(super) fn renew(&self, token: &str, password: Hash) {
        if let Some(session) = self.0.lock().get_mut(&key(token)) {
            session.password = Some(password);
        }
    }

    /// Ends one.
    pub(super) fn end(&self, token: &str) {
        self.0.lock().remove(&key(token));
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
        let state = self.engine.machine().state();
        let token = self
            .sessions
            .open(signed_in, (door_of(source), source), &state)?;
        Ok(json!({ "token": token, "must_change": must_change }))
    }

    /// Where the SSH door is to listen, and by which key it is to be known.
    pub(super) fn ssh_door(&self) -> Answer {
        let key = ssh_host_key::fingerprint(self.engine.vault());
        let key = key.map_err(|e| format!("{e:#}"))?;
        let is_on = Service::Ssh.is_on(&self.engine);
        let state = self.engine.machine().state();
        let listen = state.setting_or_default(self.engine.node(), "ssh.listen");
        Ok(json!({ "listen": listen, "on": is_on, "host_key": key }))
    }

    /// The private key by which SSH clients know this node.
    pub(super) fn ssh_host_key(&self) -> Answer {
        let key = ssh_host_key::private(self.engine.vault());
        let key = key.map_err(|e| format!("{e:#}"))?;
        Ok(json!({ "key": key.as_str() }))
    }
}

/// Through which door of a command line somebody comes from there.
fn door_of(source: Source) -> Door {
    match source {
        Source::Console => Door::Console,
        Source::Address(_) => Door::Ssh,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use domain::{Actor, Ask, Command, Facts, NodeId, Record};

    fn name() -> Name {
        Name::parse("eve").unwrap()
    }

    /// A state with one administrator.
    fn state_with(permissions: Permissions, password: u8) -> State {
        let actor = Actor::Operator {
            name: "uid:0".into(),
            door: Door::Socket,
        };
        let mut state = State::default();
        let found = Ask::FoundCluster {
            cluster: domain::ClusterId::from_bytes([7; 16]),
            origin: "o".into(),
            node: NodeId(1),
        };
        let start = Ask::StartNode {
            node: NodeId(1),
            version: "1".into(),
            format: domain::FORMAT,
        };
        let put = Ask::PutAdministrator {
            name: name(),
            password: Some(Hash::from_bytes([password; 32])),
            ssh_keys: vec![],
            permissions: Some(Permissions::ALL_OF_FORMAT_4),
            must_change: false,
        };
        let narrow = Ask::SetPermissions {
            name: name(),
            permissions,
        };
        // One who is always left.
        let other = Ask::PutAdministrator {
            name: Name::parse("root").unwrap(),
            password: Some(Hash::from_bytes([1; 32])),
            ssh_keys: vec![],
            permissions: Some(Permissions::ALL_OF_FORMAT_4),
            must_change: false,
        };
        for ask in [found, start, put, other, narrow] {
            let command = Command {
                actor: actor.clone(),
                time: domain::Time(0),
                ask,
                facts: Facts::default(),
            };
            for event in domain::decide(&state, &command) {
                state.evolve(&Record::new(1, &command, event));
            }
        }
        state
    }

    fn opened(sessions: &Sessions, door: Door, state: &State) -> String {
        let signed_in = SignedIn {
            name: name(),
            password: state.administrator(&name()).unwrap().password,
            must_change: false,
        };
        sessions
            .open(signed_in, (door, Source::Console), state)
            .unwrap()
    }

    #[test]
    fn other_permissions_end_a_browser_session_and_another_password_ends_all() {
        let before = state_with(Permissions::ALL_OF_FORMAT_4, 2);
        let after = state_with(Permissions::parse("web,ssh").unwrap(), 2);
        let sessions = Sessions::default();
        let (web, ssh) = (
            opened(&sessions, Door::Web, &before),
            opened(&sessions, Door::Ssh, &before),
        );
        assert_ne!(web, ssh);
        assert_eq!(sessions.who(&web, &before).unwrap().door, Door::Web);
        assert!(sessions.who(&ssh, &after).is_some());
        assert!(sessions.who(&web, &after).is_none());
        // Ended for good, not hidden.
        assert!(sessions.who(&web, &before).is_none());
        let reset = state_with(Permissions::ALL_OF_FORMAT_4, 3);
        assert!(sessions.who(&ssh, &reset).is_none());
        let web = opened(&sessions, Door::Web, &before);
        sessions.renew(&web, Hash::from_bytes([3; 32]));
        assert!(sessions.who(&web, &reset).is_some());
        sessions.end(&web);
        assert!(sessions.who(&web, &reset).is_none());
        let web = opened(&sessions, Door::Web, &before);
        assert!(sessions.who(&web, &State::default()).is_none());
    }

    #[test]
    fn sessions_of_a_browser_end_after_hours_and_when_idle() {
        let state = state_with(Permissions::ALL_OF_FORMAT_4, 2);
        let sessions = Sessions::default();
        let turn_back = |idle: Duration, age: Duration| {
            for session in sessions.0.lock().values_mut() {
                session.used = Instant::now().checked_sub(idle).unwrap();
                session.opened = Instant::now().checked_sub(age).unwrap();
            }
        };
        let second = Duration::from_secs(1);
        for (door, idle, age, goes_on) in [
            (Door::Web, IDLE_MAX - second, WEB_SESSION_MAX - second, true),
            (Door::Web, IDLE_MAX, second, false),
            (Door::Web, second, WEB_SESSION_MAX, false),
            (Door::Ssh, second, WEB_SESSION_MAX, true),
        ] {
            let token = opened(&sessions, door, &state);
            turn_back(idle, age);
            assert_eq!(sessions.who(&token, &state).is_some(), goes_on, "{door:?}");
        }
    }

    #[test]
    fn one_door_does_not_take_the_sessions_of_another() {
        let state = state_with(Permissions::ALL_OF_FORMAT_4, 2);
        let sessions = Sessions::default();
        let ssh = opened(&sessions, Door::Ssh, &state);
        let first = opened(&sessions, Door::Web, &state);
        for _ in 0..SESSIONS_MAX {
            opened(&sessions, Door::Web, &state);
        }
        assert!(sessions.who(&ssh, &state).is_some());
        assert!(sessions.who(&first, &state).is_none());
    }
}
