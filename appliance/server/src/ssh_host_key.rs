//! The key by which SSH clients recognise this node. It is sealed, and made anew when an operator
//! wants it.

use anyhow::Context;
use ssh_key::private::{Ed25519Keypair, KeypairData};
use ssh_key::{HashAlg, LineEnding, PrivateKey};
use vault::{Secret, Vault, provider, selftest};
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

/// A key that is not in use yet.
pub(crate) struct Drawn {
    seed: Secret,
    /// Its fingerprint.
    pub(crate) fingerprint: String,
}

/// Makes a key; it is kept by [`keep`], once it stands in the log.
pub(crate) fn draw() -> anyhow::Result<Drawn> {
    let seed = provider::random_secret(Ed25519Keypair::BYTE_SIZE / 2)?;
    selftest::check_ed25519(&seed)?;
    let fingerprint = of(&seed)?.fingerprint(HashAlg::Sha256).to_string();
    Ok(Drawn { seed, fingerprint })
}

/// Keeps a key that was drawn, in place of an earlier one.
pub(crate) fn keep(vault: &Vault, drawn: &Drawn) -> anyhow::Result<()> {
    Ok(vault.secret_put(SECRET_NAME, &drawn.seed)?)
}

fn key(vault: &Vault) -> anyhow::Result<PrivateKey> {
    match vault.secret_get(SECRET_NAME)? {
        Some(seed) => of(&seed),
        None => {
            let drawn = draw()?;
            keep(vault, &drawn)?;
            of(&drawn.seed)
        }
    }
}

fn of(seed: &Secret) -> anyhow::Result<PrivateKey> {
    let bytes = seed
        .expose()
        .try_into()
        .context("the SSH host key is damaged")?;
    let pair = Ed25519Keypair::from_seed(bytes);
    Ok(PrivateKey::new(KeypairData::from(pair), "strongroom")?)
}
