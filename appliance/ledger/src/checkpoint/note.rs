//! The C2SP signed note: text, an empty line, and one line per signature,
//! `— <name> <base64(key id[4] ‖ signature)>`.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ed25519_dalek::{Signature, VerifyingKey};
use sha2::{Digest, Sha256};

/// Longest note that is read, bytes: a checkpoint is 200 bytes and a signature line 150.
const NOTE_BYTES_MAX: usize = 64 << 10;
/// Most signature lines that are read: five voters, far sites and some witnesses are 20.
const SIGNATURES_MAX: usize = 100;
/// Begins each signature line: em dash and space.
const SIGNATURE_PREFIX: &str = "— ";
/// Bytes of a key id.
const KEY_ID_BYTES: usize = 4;

/// What a key signs; the first byte of its encoded form (C2SP signed-note, "Signature types").
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SignatureKind {
    /// Ed25519 over the text, 0x01: the log itself.
    Log,
    /// Timestamped Ed25519 `cosignature/v1`, 0x04: somebody who follows the log.
    Cosignature,
}

impl SignatureKind {
    fn byte(self) -> u8 {
        match self {
            Self::Log => 0x01,
            Self::Cosignature => 0x04,
        }
    }

    fn from_byte(byte: u8) -> Option<Self> {
        [Self::Log, Self::Cosignature]
            .into_iter()
            .find(|kind| kind.byte() == byte)
    }
}

/// Why something is no key for notes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteKeyError {
    /// The name is empty or holds spaces, `+` or control characters.
    #[error("the key name {0:?} must not be empty nor hold spaces, plus or control characters")]
    Name(String),
    /// The bytes are no Ed25519 public key, or one of small order.
    #[error("the key {0:?} is no valid Ed25519 public key")]
    Point(String),
    /// The text is not `name+hash+key`.
    #[error("the verifier key must have the form name+hash+base64")]
    Form,
}

/// A public key with the name under which it signs notes.
#[derive(Clone, PartialEq, Eq)]
pub struct NoteKey {
    name: String,
    kind: SignatureKind,
    public: VerifyingKey,
}

impl fmt::Debug for NoteKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NoteKey({})", self.to_vkey())
    }
}

impl NoteKey {
    /// Names a 32-byte Ed25519 public key.
    ///
    /// # Errors
    /// [`NoteKeyError`] for a bad name or key.
    pub fn new(name: &str, kind: SignatureKind, public: [u8; 32]) -> Result<Self, NoteKeyError> {
        let is_bad = |c: char| c.is_whitespace() || c == '+' || is_forbidden(c);
        if name.is_empty() || name.chars().any(is_bad) {
            return Err(NoteKeyError::Name(name.to_owned()));
        }
        let point = VerifyingKey::from_bytes(&public)
            .ok()
            .filter(|key| !key.is_weak());
        let public = point.ok_or_else(|| NoteKeyError::Point(name.to_owned()))?;
        Ok(Self {
            name: name.to_owned(),
            kind,
            public,
        })
    }

    /// The name on signature lines.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the key signs.
    #[must_use]
    pub fn kind(&self) -> SignatureKind {
        self.kind
    }

    /// The Ed25519 public key.
    #[must_use]
    pub fn public(&self) -> [u8; 32] {
        self.public.to_bytes()
    }

    /// First four bytes of SHA-256(name ‖ 0x0A ‖ type ‖ public key).
    #[must_use]
    pub fn key_id(&self) -> [u8; KEY_ID_BYTES] {
        let mut hasher = Sha256::new();
        hasher.update(self.name.as_bytes());
        hasher.update([0x0A, self.kind.byte()]);
        hasher.update(self.public.as_bytes());
        let digest: [u8; 32] = hasher.finalize().into();
        let [a, b, c, d, ..] = digest;
        [a, b, c, d]
    }

    /// The usual text form: `name+hex(key id)+base64(type ‖ public key)`.
    #[must_use]
    pub fn to_vkey(&self) -> String {
        let id = u32::from_be_bytes(self.key_id());
        let key = [&[self.kind.byte()][..], self.public.as_bytes()].concat();
        format!("{}+{id:08x}+{}", self.name, BASE64.encode(key))
    }

    /// Reads [`NoteKey::to_vkey`].
    ///
    /// # Errors
    /// [`NoteKeyError`].
    pub fn parse_vkey(text: &str) -> Result<Self, NoteKeyError> {
        let mut parts = text.splitn(3, '+');
        let (name, _, key) = (parts.next(), parts.next(), parts.next());
        let (name, key) = (name.unwrap_or_default(), key.ok_or(NoteKeyError::Form)?);
        let bytes = BASE64.decode(key).map_err(|_| NoteKeyError::Form)?;
        let (kind, public) = bytes.split_first().ok_or(NoteKeyError::Form)?;
        let kind = SignatureKind::from_byte(*kind).ok_or(NoteKeyError::Form)?;
        let public = public.try_into().map_err(|_| NoteKeyError::Form)?;
        let key = Self::new(name, kind, public)?;
        if key.to_vkey() == text {
            Ok(key)
        } else {
            Err(NoteKeyError::Form)
        }
    }
}

/// Whoever holds a private key for notes: the vault, a module in hardware.
pub trait NoteSigner {
    /// The public key and its name.
    fn key(&self) -> &NoteKey;
    /// Pure Ed25519 (RFC 8032 §5.1.6) over `message`.
    ///
    /// # Errors
    /// [`SignFault::Signer`] when the key cannot be used now.
    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignFault>;
}

/// Why something was not signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignFault {
    /// The key cannot be used; the signer's own words.
    #[error("the signing key cannot be used: {0}")]
    Signer(String),
    /// It must not be signed as it is.
    #[error("this cannot be signed: {0}")]
    Unsignable(&'static str),
    /// A log key was asked to cosign, or a cosigner to sign for the log.
    #[error("the key {0} is of the wrong kind for this signature")]
    Kind(String),
    /// The signature does not fit the public key: a broken signer, caught before it is published.
    #[error("the signature made by {0} does not verify; the signer is broken")]
    Broken(String),
}

/// Why a note is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// It is not in the form of a signed note.
    #[error("this is no signed note: {0}")]
    Form(&'static str),
    /// The text in the note is no checkpoint.
    #[error("this is no checkpoint: {0}")]
    Checkpoint(&'static str),
    /// The signature under a known key is wrong.
    #[error("the signature of {0} is wrong: the text was changed after signing, or forged")]
    BadSignature(String),
    /// None of the known log keys has signed it.
    #[error("none of the known log keys has signed this checkpoint")]
    NoKnownKey,
}

/// One signature that was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// The key that made it.
    pub key: NoteKey,
    /// For a cosignature, when; seconds since 1970.
    pub unix_seconds: Option<u64>,
}

/// A note taken apart.
#[derive(Debug)]
pub(super) struct Note<'a> {
    /// Up to and with the last line break before the empty line.
    pub(super) text: &'a str,
    signatures: Vec<SignatureLine<'a>>,
}

#[derive(Debug)]
struct SignatureLine<'a> {
    name: &'a str,
    key_id: [u8; KEY_ID_BYTES],
    signature: Vec<u8>,
}

impl<'a> Note<'a> {
    pub(super) fn parse(note: &'a str) -> Result<Self, NoteError> {
        if note.len() > NOTE_BYTES_MAX {
            return Err(NoteError::Form("it is longer than 64 KiB"));
        }
        if note.chars().any(is_forbidden) {
            return Err(NoteError::Form("it holds control characters"));
        }
        let end = note
            .rfind("\n\n")
            .ok_or(NoteError::Form("there is no empty line"))?;
        let text = note.get(..=end).unwrap_or_default();
        let lines = note.get(end + 2..).unwrap_or_default();
        let lines = lines
            .strip_suffix('\n')
            .ok_or(NoteError::Form("the last line is cut off"))?;
        let parsed: Option<Vec<_>> = lines.split('\n').map(SignatureLine::parse).collect();
        let signatures = parsed.ok_or(NoteError::Form("a signature line is not in its form"))?;
        if signatures.len() > SIGNATURES_MAX {
            return Err(NoteError::Form("it has more than 100 signatures"));
        }
        Ok(Self { text, signatures })
    }

    pub(super) fn is_signed_as(&self, key: &NoteKey) -> bool {
        self.signatures.iter().any(|line| line.is_of(key))
    }

    /// Checks each signature made under a key of `keys`.
    pub(super) fn verify(&self, keys: &[NoteKey]) -> Result<Vec<Signed>, NoteError> {
        let mut verified: Vec<Signed> = Vec::new();
        for line in &self.signatures {
            let Some(key) = keys.iter().find(|key| line.is_of(key)) else {
                continue;
            };
            let bad = || NoteError::BadSignature(key.name.clone());
            let (message, bytes, unix_seconds) = match key.kind {
                SignatureKind::Log => (self.text.to_owned(), line.signature.as_slice(), None),
                SignatureKind::Cosignature => {
                    let (time, rest) = line.signature.split_first_chunk::<8>().ok_or_else(bad)?;
                    let time = u64::from_be_bytes(*time);
                    (cosigned_message(self.text, time), rest, Some(time))
                }
            };
            let signature = Signature::from_slice(bytes).map_err(|_| bad())?;
            let checked = key.public.verify_strict(message.as_bytes(), &signature);
            checked.map_err(|_| bad())?;
            // A line given twice is still one signer.
            if verified.iter().all(|signed| signed.key != *key) {
                verified.push(Signed {
                    key: key.clone(),
                    unix_seconds,
                });
            }
        }
        Ok(verified)
    }
}

impl<'a> SignatureLine<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let (name, encoded) = line.strip_prefix(SIGNATURE_PREFIX)?.split_once(' ')?;
        let bytes = BASE64.decode(encoded).ok()?;
        let (key_id, signature) = bytes.split_first_chunk::<KEY_ID_BYTES>()?;
        let is_whole = !name.is_empty() && !signature.is_empty();
        is_whole.then(|| Self {
            name,
            key_id: *key_id,
            signature: signature.to_vec(),
        })
    }

    fn is_of(&self, key: &NoteKey) -> bool {
        self.name == key.name && self.key_id == key.key_id()
    }
}

/// No control characters are allowed in a note but line breaks.
pub(super) fn is_forbidden(c: char) -> bool {
    c != '\n' && c.is_control()
}

pub(super) fn log_signature_line(text: &str, signer: &dyn NoteSigner) -> Result<String, SignFault> {
    let signature = checked_signature(signer, SignatureKind::Log, text.as_bytes())?;
    Ok(signature_line(signer.key(), &signature))
}

pub(super) fn cosignature_line(
    text: &str,
    signer: &dyn NoteSigner,
    unix_seconds: u64,
) -> Result<String, SignFault> {
    let message = cosigned_message(text, unix_seconds);
    let signature = checked_signature(signer, SignatureKind::Cosignature, message.as_bytes())?;
    let stamped = [&unix_seconds.to_be_bytes()[..], &signature].concat();
    Ok(signature_line(signer.key(), &stamped))
}

/// What a cosigner signs (C2SP tlog-cosignature, "cosignature/v1").
fn cosigned_message(text: &str, unix_seconds: u64) -> String {
    format!("cosignature/v1\ntime {unix_seconds}\n{text}")
}

/// Has a message signed and checks the signature, so that a broken signer is noticed here.
fn checked_signature(
    signer: &dyn NoteSigner,
    kind: SignatureKind,
    message: &[u8],
) -> Result<[u8; 64], SignFault> {
    let key = signer.key();
    if key.kind != kind {
        return Err(SignFault::Kind(key.name.clone()));
    }
    let signature = signer.sign(message)?;
    let checked = key
        .public
        .verify_strict(message, &Signature::from_bytes(&signature));
    checked.map_err(|_| SignFault::Broken(key.name.clone()))?;
    Ok(signature)
}

fn signature_line(key: &NoteKey, signature: &[u8]) -> String {
    let bytes = [&key.key_id()[..], signature].concat();
    format!("{SIGNATURE_PREFIX}{} {}\n", key.name, BASE64.encode(bytes))
}
