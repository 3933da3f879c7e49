//! Passwords of administrators: what is kept of one, and whether one is right.
//!
//! The verifier is sealed in the vault; the cluster log has a commitment to it, so that a change
//! shows and nothing can be guessed from an exported log. Argon2id (RFC 9106) where the choice is
//! free, PBKDF2-HMAC-SHA-256 (SP 800-132) in approved-algorithms mode.

use anyhow::Context;
use argon2::{Algorithm, Argon2, Params, Version};
use domain::{Hash, Name};
use std::num::NonZeroU32;
use vault::{Secret, Vault, provider};

/// Memory of Argon2id in KiB: more would not leave an appliance of 1 GiB room for its work.
const MEMORY_KIB: u32 = 64 * 1024;
/// Passes of Argon2id: with that memory 0.2 s, and 1.5 s under software emulation.
const PASSES: u32 = 3;
/// Iterations of PBKDF2, as for passphrases of slots.
const ITERATIONS: u32 = vault::PASSPHRASE_ITERATIONS_MIN;
/// Salt and hash, in bytes.
const SALT_BYTES: usize = 16;
const HASH_BYTES: usize = 32;

/// First byte of a verifier.
const ARGON2ID: u8 = 1;
const PBKDF2: u8 = 2;

/// What a verifier is in the vault: a byte that tells the method, the salt, the hash.
fn secret_name(name: &Name) -> String {
    format!("administrator.{name}")
}

/// Makes and seals the verifier of a password; gives the commitment for the log. Takes a while:
/// not for a thread that serves.
pub(crate) fn set_password(
    vault: &Vault,
    name: &Name,
    password: &Secret,
    approved: bool,
) -> anyhow::Result<Hash> {
    let salt: [u8; SALT_BYTES] = provider::random_array().context("random numbers")?;
    let method = if approved { PBKDF2 } else { ARGON2ID };
    let verifier = verifier(method, &salt, password)?;
    vault.secret_put(&secret_name(name), &verifier)?;
    Ok(Hash::from_bytes(provider::sha256(&[verifier.expose()])))
}

/// Whether this is the password of that administrator. An unknown name takes as long as a wrong
/// password.
pub(crate) fn is_right(vault: &Vault, name: &Name, password: &Secret) -> anyhow::Result<bool> {
    let kept = vault.secret_get(&secret_name(name))?;
    let Some(kept) = kept else {
        verifier(ARGON2ID, &[0; SALT_BYTES], password)?;
        return Ok(false);
    };
    let parts = kept.expose().split_first();
    let parts = parts.and_then(|(method, rest)| Some((*method, rest.get(..SALT_BYTES)?)));
    let (method, salt) = parts.context("the stored verifier of a password is damaged")?;
    Ok(verifier(method, salt, password)?.ct_eq(&kept))
}

fn verifier(method: u8, salt: &[u8], password: &Secret) -> anyhow::Result<Secret> {
    let hash = match method {
        PBKDF2 => {
            let iterations = NonZeroU32::new(ITERATIONS).context("iterations")?;
            provider::stretch(password, salt, iterations)
        }
        ARGON2ID => {
            let params = Params::new(MEMORY_KIB, PASSES, 1, Some(HASH_BYTES))
                .map_err(|e| anyhow::anyhow!("Argon2id: {e}"))?;
            let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
            Secret::try_init_with(HASH_BYTES, |out| {
                argon2.hash_password_into(password.expose(), salt, out)
            })
            .map_err(|e| anyhow::anyhow!("Argon2id: {e}"))?
        }
        other => anyhow::bail!("a password is verified by method {other}, which is unknown here"),
    };
    Ok(Secret::take([&[method], salt, hash.expose()].concat()))
}
