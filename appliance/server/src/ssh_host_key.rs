//! The key by which SSH clients recognise this node. It is made once, and sealed.

use anyhow::Context;
use ssh_key::private::{Ed25519Keypair, KeypairData};
use ssh_key::{HashAlg, LineEnding, PrivateKey};
use vault::{Vault, provider, selftest};
use zeroize::Zeroizing;

/// Name of the seed among the sealed secrets.
const SECRET_NAME: &str = "ssh.host-key";

/// The fingerprint as OpenSSH shows it, `SHA256:…`; the key is made when there is none.
pub(crate) fn fingerprint(vault: &Vault) -> anyhow::Result<String> {
    let key = key(vault)?;
    Ok(key.fingerprint(HashAlg::Sha256).to_string())
}

/// The key itself, in the format of OpenSSH; made when there is none.
pub(crate) fn private(vault: &Vault) -> anyhow::Result<Zeroizing<String>> {
    Ok(key(vault)?.to_openssh(LineEnding::LF)?)
}

fn key(vault: &Vault) -> anyhow::Result<PrivateKey> {
    let seed = match vault.secret_get(SECRET_NAME)? {
        Some(seed) => seed,
        None => {
            let seed = provider::random_secret(Ed25519Keypair::BYTE_SIZE / 2)?;
            selftest::check_ed25519(&seed)?;
            vault.secret_put(SECRET_NAME, &seed)?;
            seed
        }
    };
    let bytes = seed
        .expose()
        .try_into()
        .context("the SSH host key is damaged")?;
    let pair = Ed25519Keypair::from_seed(bytes);
    Ok(PrivateKey::new(KeypairData::from(pair), "strongroom")?)
}
