//! With what this node signs in at destinations: its own SSH key, or a password that was given
//! here. Both are sealed in the vault of this node.

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

fn password_name(name: &Name) -> String {
    // As long as the longest name and a prefix may be.
    let digest = provider::sha256(&[name.as_str().as_bytes()]);
    format!(
        "transfer.{}",
        crate::render::hex(digest.get(..16).unwrap_or_default())
    )
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
    let kept = vault.secret_get(&password_name(name));
    let kept = kept.map_err(|e| failed(e.into()))?;
    let kept = kept.filter(|kept| {
        let known = provider::sha256(&[kept.expose()]);
        Hash::from_bytes(known) == *committed
    });
    let password = kept
        .as_ref()
        .and_then(|kept| kept.expose().get(SALT_BYTES..));
    let password = password.and_then(|bytes| std::str::from_utf8(bytes).ok());
    let password = password.ok_or_else(|| {
        lacking("this node has not the password of this destination; give it here again".into())
    })?;
    Ok(Credential::Password(Zeroizing::new(password.to_owned())))
}
