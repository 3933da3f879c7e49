//! SSHSIG (OpenSSH `PROTOCOL.sshsig`) over the export statement, and `allowed_signers`
//! (ssh-keygen(1), "ALLOWED SIGNERS").

use ed25519_dalek::VerifyingKey;
use ssh_key::public::{Ed25519PublicKey, KeyData};
use ssh_key::{Algorithm, HashAlg, LineEnding, PublicKey, Signature, SshSig};

use super::finding::{Finding, FindingKind};
use super::format::{NAMESPACE, SIGNERS_NAME, STATUS_NAMESPACE, is_principal};
use crate::checkpoint::SignFault;

/// Whoever holds the private key that signs exports. The key never enters this crate.
pub trait ExportSigner {
    /// The name of the signer in `allowed_signers`: letters, digits and `@._-`.
    fn principal(&self) -> &str;
    /// The Ed25519 public key.
    fn public(&self) -> [u8; 32];
    /// Pure Ed25519 over `message`, which is the SSHSIG signed data.
    ///
    /// # Errors
    /// [`SignFault::Signer`] when the key cannot be used now.
    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignFault>;
}

/// The public key as OpenSSH writes it: `ssh-ed25519 AAAA…`.
pub fn openssh_text(public: [u8; 32]) -> String {
    let key = PublicKey::from(KeyData::Ed25519(Ed25519PublicKey(public)));
    key.to_openssh()
        .expect("an Ed25519 key without comment has a text")
}

/// The one line of `allowed_signers` of a bundle, for whoever is to trust this signer: the key
/// signs exports, and what the node says of itself; neither passes for the other.
#[must_use]
pub fn allowed_signers(signer: &dyn ExportSigner) -> String {
    let key = openssh_text(signer.public());
    let (principal, namespaces) = (signer.principal(), [NAMESPACE, STATUS_NAMESPACE].join(","));
    format!("{principal} namespaces=\"{namespaces}\" {key}\n")
}

/// Signs the statement; the result is the text of `EXPORT.txt.sig`.
pub(super) fn sign(signer: &dyn ExportSigner, statement: &[u8]) -> Result<String, SignFault> {
    sign_for(signer, NAMESPACE, statement)
}

/// Signs what a node says of itself; `ssh-keygen -Y verify -n` [`STATUS_NAMESPACE`] checks it.
///
/// # Errors
/// The key cannot be used now.
pub fn sign_status(signer: &dyn ExportSigner, document: &[u8]) -> Result<String, SignFault> {
    sign_for(signer, STATUS_NAMESPACE, document)
}

pub(super) fn sign_for(
    signer: &dyn ExportSigner,
    namespace: &str,
    statement: &[u8],
) -> Result<String, SignFault> {
    if !is_principal(signer.principal()) {
        return Err(SignFault::Unsignable(
            "the principal holds characters that are not allowed",
        ));
    }
    let broken = || SignFault::Broken(signer.principal().to_owned());
    let message = SshSig::signed_data(namespace, HashAlg::Sha512, statement);
    let message = message.map_err(|_| SignFault::Unsignable("the namespace is empty"))?;
    let bytes = signer.sign(&message)?;
    let verifying = VerifyingKey::from_bytes(&signer.public()).map_err(|_| broken())?;
    let signature = ed25519_dalek::Signature::from_bytes(&bytes);
    verifying
        .verify_strict(&message, &signature)
        .map_err(|_| broken())?;
    let signature = Signature::new(Algorithm::Ed25519, bytes).map_err(|_| broken())?;
    let key = KeyData::Ed25519(Ed25519PublicKey(signer.public()));
    let envelope = SshSig::new(key, namespace, HashAlg::Sha512, signature);
    envelope
        .and_then(|envelope| envelope.to_pem(LineEnding::LF))
        .map_err(|_| broken())
}

/// A signature whose form and namespace are right, but which is not checked yet.
#[derive(Debug)]
pub(super) struct Envelope {
    public: [u8; 32],
    signature: [u8; 64],
    hash: HashAlg,
}

impl Envelope {
    pub(super) fn parse(pem: &str) -> Result<Self, Finding> {
        let malformed = || {
            let message = "EXPORT.txt.sig is no Ed25519 SSH signature; ask for the export again";
            Finding::new(FindingKind::SignatureMalformed, message)
        };
        let envelope = SshSig::from_pem(pem).map_err(|_| malformed())?;
        if envelope.namespace() != NAMESPACE {
            let message = format!(
                "EXPORT.txt.sig was made for the namespace {:?}, not for {NAMESPACE}: a signature \
                 for another purpose was put here; do not accept this export",
                envelope.namespace()
            );
            return Err(Finding::new(FindingKind::WrongNamespace, message));
        }
        let KeyData::Ed25519(Ed25519PublicKey(public)) = envelope.public_key() else {
            return Err(malformed());
        };
        let signature = envelope
            .signature_bytes()
            .try_into()
            .map_err(|_| malformed())?;
        // The armor has one form, so that no bit of the file can be changed without being noticed.
        let is_canonical = envelope
            .to_pem(LineEnding::LF)
            .is_ok_and(|text| text == pem);
        let is_ed25519 = envelope.algorithm() == Algorithm::Ed25519;
        if !is_canonical
            || !is_ed25519
            || !envelope.reserved().is_empty()
            || envelope.version() != 1
        {
            return Err(malformed());
        }
        Ok(Self {
            public: *public,
            signature,
            hash: envelope.hash_alg(),
        })
    }

    /// The signer's key, `ssh-ed25519 AAAA…`.
    pub(super) fn signer(&self) -> String {
        openssh_text(self.public)
    }

    pub(super) fn is_right(&self, statement: &[u8]) -> bool {
        let message = SshSig::signed_data(NAMESPACE, self.hash, statement);
        let key = VerifyingKey::from_bytes(&self.public);
        let signature = ed25519_dalek::Signature::from_bytes(&self.signature);
        match (message, key) {
            (Ok(message), Ok(key)) => key.verify_strict(&message, &signature).is_ok(),
            _ => false,
        }
    }
}

/// Whether `allowed_signers` lets this principal sign exports with this key.
///
/// Lines with options other than `namespaces` are passed over: a restriction that is not understood
/// must not be ignored. Patterns in principals are not expanded.
pub(super) fn is_allowed(allowed_signers: &str, principal: &str, signer: &str) -> bool {
    allowed_signers
        .lines()
        .any(|line| allows(line, principal, signer).unwrap_or(false))
}

/// The keys of an `allowed_signers` file may stand with any principal the caller chose.
pub(super) fn is_trusted(allowed_signers: &str, signer: &str) -> bool {
    allowed_signers.lines().any(|line| {
        let principals = line.split_whitespace().next().unwrap_or_default();
        let first = principals.split(',').next().unwrap_or_default();
        allows(line, first, signer).unwrap_or(false)
    })
}

fn allows(line: &str, principal: &str, signer: &str) -> Option<bool> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    let (principals, rest) = line.split_once(char::is_whitespace)?;
    let rest = rest.trim_start();
    let key = match rest.strip_prefix("namespaces=\"") {
        None => rest,
        Some(rest) => {
            let (namespaces, key) = rest.split_once('"')?;
            if namespaces
                .split(',')
                .all(|namespace| namespace != NAMESPACE)
            {
                return None;
            }
            key.strip_prefix(char::is_whitespace)?.trim_start()
        }
    };
    // What follows the two words of the key is a comment.
    let is_key = key.split_whitespace().take(2).eq(signer.split_whitespace());
    Some(is_key && principals.split(',').any(|allowed| allowed == principal))
}

/// Name of the file that a finding about signers points to.
pub(super) const SIGNERS_FILE: &str = SIGNERS_NAME;
