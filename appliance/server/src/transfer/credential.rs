//! With what this node signs in at destinations: its own SSH key, or a password that was given to
//! one of the nodes. Both are sealed in the vault; the password is shared with the other members.

use super::fault::Fault;
use super::ssh::Credential;
use anyhow::Context;
use domain::{Hash, Name, TransferFailure, WayIn};
use russh::keys::ssh_key::private::{Ed25519Keypair, KeypairData};
use russh::keys::{PrivateKey, PublicKey};
use std::sync::Arc;
use vault::{Secret, Vault, provider};
use zeroize::Zeroizing;

/// Name of the seed of the key among the sealed secrets.
const KEY_NAME: &str = "transfer.ssh-key";

/// What the public key is called where it is pasted.
const COMMENT: &str = "strongroom";

const SALT_BYTES: usize = 16;

/// Longest password, in bytes.
pub(crate) const PASSWORD_BYTES_MAX: usize = 1024;

/// What the names of passwords begin with in the vault.
const PREFIX: &str = "transfer.";

/// Whether a secret is the password of a destination.
pub(crate) fn is_password(secret: &str) -> bool {
    secret.starts_with(PREFIX) && secret != KEY_NAME
}

/// What the password of a destination is called in the vault.
pub(crate) fn password_name(name: &Name) -> String {
    // As long as the longest name and a prefix may be.
    let digest = provider::sha256(&[name.as_str().as_bytes()]);
    let digest = crate::render::hex(digest.get(..16).unwrap_or_default());
    format!("{PREFIX}{digest}")
}

/// Seals the password of a destination; gives what the log may know of it.
pub(crate) fn keep_password(vault: &Vault, name: &Name, password: &str) -> anyhow::Result<Hash> {
    let salt = provider::random_array::<SALT_BYTES>()?;
    let mut kept = Zeroizing::new(salt.to_vec());
    kept.extend_from_slice(password.as_bytes());
    vault.secret_put(&password_name(name), &Secret::copy_of(&kept))?;
    Ok(Hash::from_bytes(provider::sha256(&[&kept])))
}

/// Forgets the password of a destination that is gone.
pub(crate) fn forget_password(vault: &Vault, name: &Name) -> anyhow::Result<()> {
    vault.secret_remove(&password_name(name))?;
    Ok(())
}

/// The password of a destination, if it is here: salt and text.
fn kept_password(vault: &Vault, name: &Name, committed: &Hash) -> anyhow::Result<Option<Secret>> {
    let kept = vault.secret_get(&password_name(name))?;
    let counts = |kept: &Secret| Hash::from_bytes(provider::sha256(&[kept.expose()])) == *committed;
    Ok(kept.filter(counts))
}

/// Whether the password that the log names is here.
pub(crate) fn is_held(vault: &Vault, name: &Name, committed: &Hash) -> bool {
    // One that cannot be read counts as one that is not there.
    kept_password(vault, name, committed).is_ok_and(|kept| kept.is_some())
}

/// The line for `authorized_keys` there; the key is made when there is none.
pub(crate) fn public_line(vault: &Vault) -> anyhow::Result<String> {
    let mut public = PublicKey::from(key(vault)?.public_key().key_data().clone());
    public.set_comment(COMMENT);
    Ok(public.to_openssh()?)
}

fn key(vault: &Vault) -> anyhow::Result<PrivateKey> {
    let seed = match vault.secret_get(KEY_NAME)? {
        Some(seed) => seed,
        None => {
            let seed = provider::random_secret(Ed25519Keypair::BYTE_SIZE / 2)?;
            vault.secret_put(KEY_NAME, &seed)?;
            seed
        }
    };
    let bytes = seed.expose().try_into();
    let bytes = bytes.context("the SSH key for transfers is damaged")?;
    let pair = Ed25519Keypair::from_seed(bytes);
    Ok(PrivateKey::new(KeypairData::from(pair), COMMENT)?)
}

/// What a destination wants to see.
pub(super) fn of(vault: &Vault, name: &Name, way_in: &WayIn) -> Result<Credential, Fault> {
    let lacking = |words: String| Fault::new(TransferFailure::NoCredential, words);
    let failed = |e: anyhow::Error| lacking(format!("{e:#}"));
    let WayIn::Password(committed) = way_in else {
        return Ok(Credential::Key(Arc::new(key(vault).map_err(failed)?)));
    };
    let kept = kept_password(vault, name, committed).map_err(failed)?;
    let password = kept
        .as_ref()
        .and_then(|kept| kept.expose().get(SALT_BYTES..));
    let password = password.and_then(|bytes| std::str::from_utf8(bytes).ok());
    let password = password.ok_or_else(|| {
        let words = "this node has not the password of this destination, and no other gave it; \
                     give it again";
        lacking(words.into())
    })?;
    Ok(Credential::Password(Zeroizing::new(password.to_owned())))
}
