//! Named secrets: the program's settings, and what the vault itself keeps under reserved names.

use super::{Keys, SecretFault, Vault};
use crate::log_key::{LogSigner, SEED_BYTES};
use crate::provider;
use crate::secret::Secret;

/// Longest named secret, in bytes: a TLS chain with its key, an SCP key, a password.
pub const SECRET_BYTES_MAX: usize = 16 * 1024;
/// Most named secrets: the Local CA, TLS identities, a row of verifiers per administrator, and a
/// credential per external system. With [`SECRET_BYTES_MAX`] the largest set does not fit the keys
/// folder, which then says so.
pub const SECRETS_MAX: usize = 2_048;
/// Names that belong to the vault itself.
pub(super) const RESERVED_PREFIX: &str = "strongroom.";
pub(crate) const LOG_KEY_NAME: &str = "strongroom.log-key";

impl Vault {
    /// Stores a secret of the program's settings under a name, in place of an earlier one.
    pub fn secret_put(&self, name: &str, secret: &Secret) -> Result<(), SecretFault> {
        check_public_name(name)?;
        self.own_secret_put(name, secret)
    }

    /// A secret of the program's settings.
    pub fn secret_get(&self, name: &str) -> Result<Option<Secret>, SecretFault> {
        check_public_name(name)?;
        self.own_secret_get(name)
    }

    /// Removes a secret of the program's settings; says whether there was one.
    pub fn secret_remove(&self, name: &str) -> Result<bool, SecretFault> {
        check_public_name(name)?;
        let mut keys = self.keys.lock();
        let mut body = keys.body.clone();
        if body.secrets.remove(name).is_none() {
            return Ok(false);
        }
        keys.commit(body, None)?;
        Ok(true)
    }

    /// Names of the secrets of the program's settings that begin like this.
    pub fn secret_names(&self, beginning: &str) -> Vec<String> {
        let keys = self.keys.lock();
        let names = keys.body.secrets.keys();
        let public = names.filter(|name| !name.starts_with(RESERVED_PREFIX));
        let meant = public.filter(|name| name.starts_with(beginning));
        meant.cloned().collect()
    }

    /// The node's log key, as a signer.
    pub fn log_signer(&self) -> Result<LogSigner, SecretFault> {
        let seed = self.own_secret_get(LOG_KEY_NAME)?;
        seed.as_ref()
            .and_then(LogSigner::from_seed)
            .ok_or_else(|| SecretFault::Damaged(LOG_KEY_NAME.to_owned()))
    }

    /// Makes a new log key in place of the old one, which is erased: for a node that comes back
    /// under a new number, because one key must not sign for two pasts.
    pub fn renew_log_key(&self) -> Result<LogSigner, SecretFault> {
        let seed = provider::random_secret(SEED_BYTES)?;
        self.own_secret_put(LOG_KEY_NAME, &seed)?;
        self.log_signer()
    }

    pub(crate) fn own_secret_put(&self, name: &str, secret: &Secret) -> Result<(), SecretFault> {
        self.keys.lock().put_secrets(&[(name, secret)])
    }

    pub(crate) fn own_secret_get(&self, name: &str) -> Result<Option<Secret>, SecretFault> {
        self.keys.lock().secret(name)
    }

    /// Stores a secret unless there is one of that name; says whether it did.
    pub(crate) fn own_secret_put_new(
        &self,
        name: &str,
        secret: &Secret,
    ) -> Result<bool, SecretFault> {
        let mut keys = self.keys.lock();
        if keys.body.secrets.contains_key(name) {
            return Ok(false);
        }
        keys.put_secrets(&[(name, secret)])?;
        Ok(true)
    }

    /// Reads a secret and, if `change` gives another, stores that, with nobody in between.
    pub(crate) fn own_secret_change<T, E: From<SecretFault>>(
        &self,
        name: &str,
        change: impl FnOnce(Option<Secret>) -> Result<(Option<Secret>, T), E>,
    ) -> Result<T, E> {
        let mut keys = self.keys.lock();
        let (secret, outcome) = change(keys.secret(name)?)?;
        if let Some(secret) = secret {
            keys.put_secrets(&[(name, &secret)])?;
        }
        Ok(outcome)
    }
}

impl Keys {
    pub(super) fn secret(&self, name: &str) -> Result<Option<Secret>, SecretFault> {
        let Some(sealed) = self.body.secrets.get(name) else {
            return Ok(None);
        };
        let secret = self.config.open(name, sealed);
        secret
            .map(Some)
            .map_err(|_| SecretFault::Damaged(name.to_owned()))
    }

    /// Stores secrets under their names, all of them or none.
    pub(super) fn put_secrets(&mut self, secrets: &[(&str, &Secret)]) -> Result<(), SecretFault> {
        let mut body = self.body.clone();
        for (name, secret) in secrets {
            if !(1..=SECRET_BYTES_MAX).contains(&secret.len()) {
                return Err(SecretFault::Length(secret.len()));
            }
            let sealed = self.config.seal(name, secret)?;
            body.secrets.insert((*name).to_owned(), sealed.into());
        }
        if body.secrets.len() > SECRETS_MAX {
            return Err(SecretFault::TooMany);
        }
        Ok(self.commit(body, None)?)
    }
}

pub(super) fn check_public_name(name: &str) -> Result<(), SecretFault> {
    if name.starts_with(RESERVED_PREFIX) {
        return Err(SecretFault::Reserved);
    }
    domain::Name::parse(name).map_err(|_| SecretFault::Name(name.to_owned()))?;
    Ok(())
}
