//! Signing an administrator in, whatever the door: lock-out, password, access, and a record of each
//! try that is on the disk before anybody is told how it went.

use crate::administrators;
use crate::clock;
use crate::engine::{Engine, Refusal};
use crate::lockout::{Lockout, Paused, Source};
use domain::{Access, Actor, Denial, Door, Hash, Name};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::{Duration, Instant};
use vault::Secret;

/// What the log calls it.
const OPERATION: &str = "Sign In";

/// Longest pause that is waited out at the console before the answer, so that nobody there is
/// refused for typing fast.
const WAITED_MAX: Duration = Duration::from_secs(60);

/// How long a member that has just come is given to fetch a password that was set elsewhere: it
/// looks once a second what it lacks (`jobs::secrets`).
const FETCHED_WITHIN: Duration = Duration::from_secs(5);
const FETCHED_POLL: Duration = Duration::from_millis(50);

/// An administrator who has come in.
#[derive(Debug)]
pub(crate) struct SignedIn {
    /// Who.
    pub(crate) name: Name,
    /// The password with which they did, as the log knows it.
    pub(crate) password: Option<Hash>,
    /// Whether they do nothing but change it now.
    pub(crate) must_change: bool,
}

/// The way in, shared by all doors of a node.
pub(crate) struct SignIn {
    engine: Arc<Engine>,
    lockout: Mutex<Lockout>,
}

impl std::fmt::Debug for SignIn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SignIn").finish_non_exhaustive()
    }
}

impl SignIn {
    pub(crate) fn new(engine: Arc<Engine>) -> Arc<Self> {
        Arc::new(Self {
            engine,
            lockout: Mutex::new(Lockout::default()),
        })
    }

    /// Signs an administrator in by password.
    ///
    /// # Errors
    /// Why not, for whoever tries. It does not say whether there is such an administrator.
    pub(crate) async fn by_password(
        &self,
        door: Door,
        source: Source,
        name: &str,
        password: Secret,
    ) -> Result<SignedIn, String> {
        self.engine.catch_up().await;
        let known = Name::parse(name).ok().and_then(|name| {
            let state = self.engine.machine().state();
            let password = state.administrator(&name)?.password;
            Some((name, password))
        });
        let account = known.as_ref().map(|(name, _)| name.clone());
        let begun = {
            let keepers: Vec<Name> = self.engine.machine().state().keepers().cloned().collect();
            let now = clock::since_boot();
            let mut lockout = self.lockout.lock();
            lockout.begin(account.as_ref(), source, &keepers, now)
        };
        if let Err(paused) = begun {
            return Err(self.refuse(account.as_ref(), source, denial(paused)).await);
        }
        match (self.is_right(known.as_ref(), password).await?, known) {
            (true, Some((name, password))) => {
                self.lockout.lock().succeeded(&name, source);
                self.come_in(door, source, name, password).await
            }
            _ => Err(self.wrong(account.as_ref(), source).await),
        }
    }

    /// Signs an administrator in by a public key, whose owner has just shown to have its other
    /// half. Nobody guesses a key, so a key that is not theirs costs the account nothing: an agent
    /// offers all keys that it has, one after the other.
    ///
    /// # Errors
    /// Why not, for whoever tries.
    pub(crate) async fn by_key(
        &self,
        door: Door,
        source: Source,
        name: &str,
        key: &str,
    ) -> Result<SignedIn, String> {
        self.engine.catch_up().await;
        let known = Name::parse(name).ok().and_then(|name| {
            let state = self.engine.machine().state();
            let administrator = state.administrator(&name)?;
            let mut keys = administrator.ssh_keys.iter();
            let theirs = keys.any(|line| bare_key(line) == bare_key(key));
            let password = administrator.password;
            Some((name, theirs.then_some(password)))
        });
        match known {
            Some((name, Some(password))) => self.come_in(door, source, name, password).await,
            Some((name, None)) => {
                let denial = Denial::SignInWrong;
                Err(self.refuse(Some(&name), source, denial).await)
            }
            None => Err(self.refuse(None, source, Denial::SignInWrong).await),
        }
    }

    /// Whether the password of an administrator is right who has come in already.
    pub(crate) async fn is_own_password(
        &self,
        name: &Name,
        source: Source,
        password: Secret,
    ) -> Result<(), String> {
        self.engine.catch_up().await;
        let committed = {
            let state = self.engine.machine().state();
            state.administrator(name).and_then(|known| known.password)
        };
        let begun = {
            let keepers: Vec<Name> = self.engine.machine().state().keepers().cloned().collect();
            let now = clock::since_boot();
            self.lockout.lock().begin(Some(name), source, &keepers, now)
        };
        if let Err(paused) = begun {
            return Err(self.refuse(Some(name), source, denial(paused)).await);
        }
        let known = (name.clone(), committed);
        if self.is_right(Some(&known), password).await? {
            self.lockout.lock().succeeded(name, source);
            return Ok(());
        }
        Err(self.wrong(Some(name), source).await)
    }

    /// Compares, away from the threads that serve.
    async fn is_right(
        &self,
        known: Option<&(Name, Option<Hash>)>,
        password: Secret,
    ) -> Result<bool, String> {
        let vault = self.engine.vault().clone();
        let approved = self.engine.machine().state().wants_approved();
        // An unknown name takes as long as a known one.
        let nobody = || Name::parse("nobody").ok().map(|name| (name, None));
        let Some((name, committed)) = known.cloned().or_else(nobody) else {
            return Ok(false);
        };
        if let Some(committed) = &committed {
            let deadline = Instant::now() + FETCHED_WITHIN;
            while !administrators::is_held(&vault, &name, committed) && Instant::now() < deadline {
                tokio::time::sleep(FETCHED_POLL).await;
            }
        }
        let compared = tokio::task::spawn_blocking(move || {
            administrators::is_right(&vault, &name, committed.as_ref(), &password, approved)
        });
        let compared = compared.await.map_err(|e| e.to_string())?;
        compared.map_err(|e| format!("{e:#}"))
    }

    /// The password was right; the door may still be closed to this one.
    async fn come_in(
        &self,
        door: Door,
        source: Source,
        name: Name,
        password: Option<Hash>,
    ) -> Result<SignedIn, String> {
        let now = self.engine.now();
        let permitted = {
            let state = self.engine.machine().state();
            domain::permit_sign_in(&state, &name, door, now)
        };
        let must_change = match permitted {
            Ok(must_change) => must_change,
            Err(denial) => return Err(self.refuse(Some(&name), source, denial).await),
        };
        let actor = Actor::Operator {
            name: name.to_string(),
            door,
        };
        let recorded = self.engine.asked(&actor, OPERATION);
        let recorded = recorded.map_err(|e| e.to_string())?.settle().await;
        recorded.map_err(|e| e.to_string())?;
        Ok(SignedIn {
            name,
            password,
            must_change,
        })
    }

    /// Records a wrong password, and the lock that it brought.
    async fn wrong(&self, account: Option<&Name>, source: Source) -> String {
        let now = clock::since_boot();
        let paused = self.lockout.lock().failed(account, source, now);
        let said = self.refuse(account, source, Denial::SignInWrong).await;
        if paused.locked {
            return self.refuse(account, source, denial(paused)).await;
        }
        if source == Source::Console {
            let pause = u64::try_from(paused.milliseconds).unwrap_or_default();
            tokio::time::sleep(Duration::from_millis(pause).min(WAITED_MAX)).await;
        }
        said
    }

    /// Records a refusal and gives what to say. A name that is no administrator's is not recorded:
    /// people type their password there.
    async fn refuse(&self, account: Option<&Name>, source: Source, denial: Denial) -> String {
        let actor = Actor::Unknown {
            source: source.to_string(),
        };
        let said = denial.to_string();
        let access = Access::Refused {
            operation: OPERATION.to_owned(),
            object: account.map(ToString::to_string),
            denial,
        };
        let (seen, now) = (self.engine.seen(), self.engine.now());
        let recorded = match self.engine.record(&actor, seen, now, access) {
            Ok(receipt) => receipt.recorded().await.map(drop),
            Err(e) => Err(e),
        };
        recorded.map_or_else(|e| e.to_string(), |()| said)
    }
}

/// Whether somebody can sign in with a key, given as a line of an `.pub` file; gives the line as it
/// is kept.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn check_ssh_key(line: &str) -> Result<String, String> {
    let line = domain::check_ssh_key(line)?;
    // Signatures of RSA would take a library that leaks private keys by its timing
    // (RUSTSEC-2023-0071), for a type of key that OpenSSH makes no more by itself.
    match line.starts_with("ssh-rsa ") {
        true => Err(
            "nobody can sign in with an RSA key here; make one that fits with: \
                     ssh-keygen -t ed25519"
                .to_owned(),
        ),
        false => Ok(line),
    }
}

/// Type and key of a public key line, without its comment.
fn bare_key(line: &str) -> Option<(&str, &str)> {
    let mut words = line.split_ascii_whitespace();
    Some((words.next()?, words.next()?))
}

fn denial(paused: Paused) -> Denial {
    Denial::SignInPaused {
        seconds: paused.seconds(),
        locked: paused.locked,
    }
}

/// What a refusal says, once its record is on the disk.
pub(crate) async fn settled(refusal: Refusal) -> String {
    match refusal {
        Refusal::Denied { denial, receipt } => {
            let recorded = match receipt {
                Some(receipt) => receipt.recorded().await.map(drop),
                None => Ok(()),
            };
            recorded.map_or_else(|e| e.to_string(), |()| denial.to_string())
        }
        Refusal::Fault(fault) => fault.to_string(),
    }
}
