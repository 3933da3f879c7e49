//! Passwords of administrators: which are taken, what is kept of one, and whether one is right.
//!
//! The verifier is sealed in the vault; the cluster log has a commitment to it, so that a change
//! shows and nothing can be guessed from an exported log. Argon2id (RFC 9106) where the choice is
//! free, PBKDF2-HMAC-SHA-256 (SP 800-132) in approved-algorithms mode.
//!
//! The vault has a row of verifiers for each administrator, the newest first. The one whose
//! commitment stands in the log is the password; those behind it are earlier ones, and one before
//! it was sealed for a change that was refused, or that a power cut came before.

use anyhow::Context;
use argon2::{Algorithm, Argon2, Params, Version};
use domain::{Hash, Name, State, setting};
use std::num::NonZeroU32;
use vault::{Secret, Vault, provider};
use zeroize::Zeroizing;

/// Memory of Argon2id in KiB: more would not leave an appliance of 1 GiB room for its work.
const MEMORY_KIB: u32 = 64 * 1024;
/// Passes of Argon2id: with that memory 0.2 s, and 1.5 s under software emulation.
const PASSES: u32 = 3;
/// Iterations of PBKDF2, as for passphrases of slots.
const ITERATIONS: u32 = vault::PASSPHRASE_ITERATIONS_MIN;
/// Salt and hash, in bytes.
const SALT_BYTES: usize = 16;
const HASH_BYTES: usize = 32;

/// A byte that tells the method, the salt, the hash.
const VERIFIER_BYTES: usize = 1 + SALT_BYTES + HASH_BYTES;

/// Verifiers in a row: the longest history, the password, and one that waits for the log.
const VERIFIERS_MAX: usize = setting::PASSWORD_HISTORY_MAX as usize + 2;

/// Longest password, in bytes.
pub(crate) const PASSWORD_BYTES_MAX: usize = 1024;

/// Characters of a password that its strength is estimated from: zxcvbn takes longer than linear,
/// and what follows can only make it stronger.
const ESTIMATED_CHARACTERS_MAX: usize = 100;

/// First byte of a verifier.
const ARGON2ID: u8 = 1;
const PBKDF2: u8 = 2;

/// How a new password is verified.
const fn method(approved: bool) -> u8 {
    if approved { PBKDF2 } else { ARGON2ID }
}

/// What a new password must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Policy {
    /// Fewest characters.
    pub(crate) length: usize,
    /// Least score of zxcvbn, 0 to 4.
    pub(crate) strength: u8,
    /// Earlier passwords that are not taken again.
    pub(crate) history: usize,
}

impl Policy {
    /// Reads the settings; `get` gives what holds for an id.
    pub(crate) fn of<'a>(get: impl Fn(&str) -> Option<&'a str>) -> Self {
        // Values were checked when they were set; a number that is none asks for the most.
        let number = |id: &str, most: u8| get(id).map_or(most, |n| n.parse().unwrap_or(most));
        Self {
            length: usize::from(number("password.length", 128)),
            strength: number("password.strength", 4),
            history: usize::from(number("password.history", 24)),
        }
    }

    /// What holds in the cluster.
    pub(crate) fn of_cluster(state: &State) -> Self {
        Self::of(|id| state.cluster_setting(id))
    }

    /// Whether a password is long and strong enough for an administrator of that name.
    ///
    /// # Errors
    /// What is wrong with it, for people, without a part of it.
    pub(crate) fn check(&self, name: &str, password: &str) -> Result<(), String> {
        if password.len() > PASSWORD_BYTES_MAX {
            return Err(format!("at most {PASSWORD_BYTES_MAX} bytes are taken"));
        }
        if password.chars().any(char::is_control) {
            return Err("control characters cannot be part of it".to_owned());
        }
        let length = password.chars().count();
        if length < self.length {
            let least = self.length;
            return Err(format!("{length} characters are too few; at least {least}"));
        }
        let estimated = password.chars().take(ESTIMATED_CHARACTERS_MAX);
        let estimated = Zeroizing::new(estimated.collect::<String>());
        // What everybody would try first here.
        let estimate = zxcvbn::zxcvbn(&estimated, &[name, "strongroom"]);
        let score = u8::from(estimate.score());
        if score >= self.strength {
            return Ok(());
        }
        let why = estimate.feedback().and_then(|feedback| {
            let warning = feedback.warning().map(|warning| warning.to_string());
            warning.or_else(|| feedback.suggestions().first().map(ToString::to_string))
        });
        let why = why.map(|why| format!(" ({})", why.trim_end_matches('.')));
        let (why, least) = (why.unwrap_or_default(), self.strength);
        Err(format!(
            "it is too easily guessed: {score} of 4, and {least} is needed{why}"
        ))
    }
}

/// Why a password was not sealed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotSet {
    /// It was used before.
    #[error("this password was used before; choose another one")]
    UsedBefore,
    /// The vault failed.
    #[error("{0:#}")]
    Failed(#[from] anyhow::Error),
}

/// What the names of rows begin with in the vault.
const PREFIX: &str = "administrator.";

/// What a row of verifiers is called in the vault.
pub(crate) fn secret_name(name: &Name) -> String {
    format!("{PREFIX}{name}")
}

/// Whether a secret is a row of verifiers.
pub(crate) fn is_verifiers(secret: &str) -> bool {
    secret.starts_with(PREFIX)
}

/// A row as it is after another member sent its own, if that changes it: two nodes may each have
/// made a verifier for the same administrator, and the log says later which one counts.
pub(crate) fn merged(held: Option<&Secret>, sent: &Secret) -> Option<Secret> {
    let held = held.map_or(&[][..], Secret::expose);
    let held: Vec<&[u8]> = held.chunks_exact(VERIFIER_BYTES).collect();
    let sent = sent.expose().chunks_exact(VERIFIER_BYTES);
    // What is new is later than what is here, and the earlier ones keep their order behind it.
    let mut row: Vec<&[u8]> = sent.filter(|verifier| !held.contains(verifier)).collect();
    if row.is_empty() {
        return None;
    }
    row.extend(held);
    row.truncate(VERIFIERS_MAX);
    Some(Secret::take(row.concat()))
}

/// Whether the verifier that the log names is here.
pub(crate) fn is_held(vault: &Vault, name: &Name, committed: &Hash) -> bool {
    // One that cannot be read counts as one that is not there.
    let kept = vault.secret_get(&secret_name(name)).ok().flatten();
    !row(kept.as_ref(), Some(committed)).is_empty()
}

fn commitment(verifier: &[u8]) -> Hash {
    Hash::from_bytes(provider::sha256(&[verifier]))
}

/// The verifiers of an administrator from the one that the log names on; none when there is none.
fn row<'a>(kept: Option<&'a Secret>, committed: Option<&Hash>) -> Vec<&'a [u8]> {
    let all = kept.map_or(&[][..], Secret::expose);
    let all = all.chunks_exact(VERIFIER_BYTES);
    all.skip_while(|verifier| Some(&commitment(verifier)) != committed)
        .collect()
}

/// Makes and seals the verifier of a password that is to replace the one that the log names; gives
/// the commitment for the log. Until it stands there, the old password is the right one. Takes a
/// while: not for a thread that serves.
pub(crate) fn set_password(
    vault: &Vault,
    name: &Name,
    committed: Option<&Hash>,
    password: &Secret,
    approved: bool,
    history: usize,
) -> Result<Hash, NotSet> {
    let kept = vault.secret_get(&secret_name(name)).context("the vault")?;
    let earlier = row(kept.as_ref(), committed);
    let compared = history.saturating_add(1);
    for verifier in earlier.iter().take(compared) {
        if matches_password(verifier, password)? {
            return Err(NotSet::UsedBefore);
        }
    }
    let salt: [u8; SALT_BYTES] = provider::random_array().context("random numbers")?;
    let made = verifier(method(approved), &salt, password)?;
    let row = std::iter::once(made.expose()).chain(earlier);
    let row: Vec<&[u8]> = row.take(VERIFIERS_MAX).collect();
    let row = Secret::take(row.concat());
    vault
        .secret_put(&secret_name(name), &row)
        .context("the vault")?;
    Ok(commitment(made.expose()))
}

/// Whether this is the password of that administrator, whose commitment the log has. An unknown
/// name takes as long as a wrong password.
pub(crate) fn is_right(
    vault: &Vault,
    name: &Name,
    committed: Option<&Hash>,
    password: &Secret,
    approved: bool,
) -> anyhow::Result<bool> {
    let kept = vault.secret_get(&secret_name(name))?;
    match row(kept.as_ref(), committed).first() {
        Some(verifier) => matches_password(verifier, password),
        None => {
            verifier(method(approved), &[0; SALT_BYTES], password)?;
            Ok(false)
        }
    }
}

/// Forgets the passwords of an administrator who is gone.
pub(crate) fn forget(vault: &Vault, name: &Name) -> anyhow::Result<()> {
    vault.secret_remove(&secret_name(name))?;
    Ok(())
}

fn matches_password(kept: &[u8], password: &Secret) -> anyhow::Result<bool> {
    let parts = kept.split_first();
    let parts = parts.and_then(|(method, rest)| Some((*method, rest.get(..SALT_BYTES)?)));
    let (method, salt) = parts.context("the stored verifier of a password is damaged")?;
    Ok(verifier(method, salt, password)?.ct_eq(&Secret::copy_of(kept)))
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use domain::ClusterId;
    use vault::{Credential, NewSlot};

    const POLICY: Policy = Policy {
        length: 12,
        strength: 3,
        history: 2,
    };

    #[test]
    fn the_defaults_are_those_of_the_settings() {
        let default = |id: &str| setting::find(id).and_then(|setting| setting.default);
        let policy = Policy::of(default);
        assert_eq!((policy.length, policy.strength, policy.history), (12, 3, 5));
    }

    #[test]
    fn passwords_are_long_and_hard_to_guess() {
        for good in [
            "correct horse battery",
            "zweiundvierzig grüne Elche",
            "kX7!pQ9#vL2m",
        ] {
            assert_eq!(POLICY.check("admin", good), Ok(()), "{good}");
        }
        for (bad, why) in [
            ("kX7!pQ9#vL2", "11 characters are too few"),
            ("ééééééééééé", "11 characters"),
            ("passwordpassword", "easily guessed"),
            ("aaaaaaaaaaaaaaaa", "easily guessed"),
            ("123456789012345", "easily guessed"),
            ("strongroom2026", "easily guessed"),
            ("tab\tis no letter here", "control characters"),
        ] {
            let said = POLICY.check("admin", bad).unwrap_err();
            assert!(said.contains(why), "{bad}: {said}");
            assert!(!said.contains(bad), "{said}");
        }
        // A name is no secret.
        let named = POLICY.check("margarethe.schmidtbauer", "margarethe.schmidtbauer");
        assert!(named.is_err());
        let long = "correct horse battery ".repeat(60);
        assert!(POLICY.check("admin", &long).unwrap_err().contains("1024"));
        assert_eq!(POLICY.check("admin", long.get(..1_000).unwrap()), Ok(()));
    }

    #[test]
    fn the_log_says_which_password_counts() {
        let folder = tempfile::tempdir().unwrap();
        let credential = Credential::Passphrase(Secret::copy_of(b"a passphrase for tests"));
        let id = ClusterId::from_bytes([7; 16]);
        let vault = Vault::initialise(folder.path(), id, NewSlot::new(credential)).unwrap();
        let eve = Name::parse("eve").unwrap();
        let secret = |text: &str| Secret::copy_of(text.as_bytes());
        let set = |committed: Option<&Hash>, text: &str| {
            set_password(&vault, &eve, committed, &secret(text), true, POLICY.history)
        };
        let right = |committed: Option<&Hash>, text: &str| {
            is_right(&vault, &eve, committed, &secret(text), true).unwrap()
        };
        let first = set(None, "first").unwrap();
        assert!(right(Some(&first), "first") && !right(Some(&first), "other"));
        assert!(!right(None, "first"), "it is not in the log");
        // Sealed, but the log did not take it: the old one counts, and this one is forgotten.
        let refused = set(Some(&first), "refused").unwrap();
        assert!(right(Some(&first), "first") && !right(Some(&first), "refused"));
        let second = set(Some(&first), "second").unwrap();
        assert!(!right(Some(&refused), "refused"));
        assert!(right(Some(&second), "second") && !right(Some(&second), "first"));
        // Two earlier ones and the present one are not taken again.
        let third = set(Some(&second), "third").unwrap();
        for used in ["first", "second", "third"] {
            assert!(matches!(set(Some(&third), used), Err(NotSet::UsedBefore)));
        }
        let fourth = set(Some(&third), "fourth").unwrap();
        assert!(set(Some(&fourth), "first").is_ok());
        forget(&vault, &eve).unwrap();
        assert!(!right(Some(&fourth), "fourth"));
    }

    #[test]
    fn rows_of_two_nodes_become_one() {
        let verifier = |n: u8| vec![n; VERIFIER_BYTES];
        let row = |of: &[u8]| Secret::take(of.iter().flat_map(|n| verifier(*n)).collect());
        let merge = |held: &[u8], sent: &[u8]| {
            let held = (!held.is_empty()).then(|| row(held));
            let merged = merged(held.as_ref(), &row(sent))?;
            let heads = merged.expose().chunks_exact(VERIFIER_BYTES);
            Some(heads.map(|verifier| verifier[0]).collect::<Vec<u8>>())
        };
        assert_eq!(merge(&[], &[1]), Some(vec![1]));
        assert_eq!(merge(&[1], &[1]), None, "nothing new");
        assert_eq!(merge(&[2, 1], &[3, 1]), Some(vec![3, 2, 1]));
        assert_eq!(merge(&[2, 1], &[]), None, "nothing is taken away");
        let long: Vec<u8> = (1..=27).collect();
        let merged = merge(&long, &[99]).unwrap();
        assert_eq!((merged.len(), merged[0]), (VERIFIERS_MAX, 99));
    }

    #[test]
    fn both_methods_verify() {
        for method in [ARGON2ID, PBKDF2] {
            let made = verifier(method, &[7; SALT_BYTES], &Secret::copy_of(b"p")).unwrap();
            assert_eq!(made.len(), VERIFIER_BYTES);
            assert!(matches_password(made.expose(), &Secret::copy_of(b"p")).unwrap());
            assert!(!matches_password(made.expose(), &Secret::copy_of(b"q")).unwrap());
        }
        assert!(matches_password(&[9; VERIFIER_BYTES], &Secret::copy_of(b"p")).is_err());
    }
}
