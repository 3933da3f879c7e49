//! The key by which SSH clients recognise this node. It is made once, at set-up, and sealed.

use anyhow::Context;
use ssh_key::private::Ed25519Keypair;
use ssh_key::public::KeyData;
use ssh_key::{HashAlg, PublicKey};
use vault::{Vault, provider};

/// Name of the seed among the sealed secrets.
const SECRET_NAME: &str = "ssh.host-key";

/// The fingerprint as OpenSSH shows it, `SHA256:…`; the key is made when there is none.
pub(crate) fn fingerprint(vault: &Vault) -> anyhow::Result<String> {
    let seed = match vault.secret_get(SECRET_NAME)? {
        Some(seed) => seed,
        None => {
            let seed = provider::random_secret(Ed25519Keypair::BYTE_SIZE / 2)?;
            vault.secret_put(SECRET_NAME, &seed)?;
            seed
        }
    };
    let bytes = seed
        .expose()
        .try_into()
        .context("the SSH host key is damaged")?;
    let pair = Ed25519Keypair::from_seed(bytes);
    let public = PublicKey::from(KeyData::from(pair.public));
    Ok(public.fingerprint(HashAlg::Sha256).to_string())
}
