//! Checkpoints: the signed statement "this log has this many records and this root".
//!
//! The text is a C2SP tlog-checkpoint, the envelope a C2SP signed note: Ed25519 signatures of the
//! log (type 0x01) and timestamped cosignatures of those who agree (`cosignature/v1`, type 0x04).
//! A checkpoint read from outside becomes a [`Verified`] one only by [`Checkpoint::open`].

mod file;
mod note;
#[cfg(test)]
mod tests;

pub use file::{CheckpointFile, CheckpointFileError};
pub use note::{NoteError, NoteKey, NoteKeyError, NoteSigner, SignFault, SignatureKind, Signed};

use crate::tree::Hash;
use note::Note;

/// Size and root of a log at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Name of the log: `strongroom/<cluster-id>/lineage-<n>`. Not empty, no line breaks.
    pub origin: String,
    /// Number of records.
    pub size: u64,
    /// RFC 6962 root over them.
    pub root: Hash,
}

/// A checkpoint whose signatures were checked against known keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified<T> {
    value: T,
    signatures: Vec<Signed>,
}

impl<T> Verified<T> {
    /// What was signed.
    #[must_use]
    pub fn get(&self) -> &T {
        &self.value
    }

    /// Who signed it, of the keys that were given: at least one log key.
    #[must_use]
    pub fn signatures(&self) -> &[Signed] {
        &self.signatures
    }

    /// Gives up the proof and keeps the value.
    #[must_use]
    pub fn into_inner(self) -> T {
        self.value
    }
}

impl Checkpoint {
    /// The text that is signed: origin, size in decimal, root in base64; each line ended.
    #[must_use]
    pub fn text(&self) -> String {
        format!(
            "{}\n{}\n{}\n",
            self.origin,
            self.size,
            self.root.to_base64()
        )
    }

    /// Reads [`Checkpoint::text`]; nothing but exactly that text is accepted. Extension lines are
    /// refused: this appliance makes none, and what is not understood must not be certified.
    ///
    /// # Errors
    /// [`NoteError::Checkpoint`] naming the line.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        let mut lines = text.split_inclusive('\n');
        let mut line = || lines.next().and_then(|line| line.strip_suffix('\n'));
        let origin = line().filter(|origin| !origin.is_empty());
        let origin = origin
            .ok_or(NoteError::Checkpoint("the origin line is missing"))?
            .to_owned();
        let size = line().and_then(|line| line.parse().ok());
        let size = size.ok_or(NoteError::Checkpoint(
            "the size line is not a decimal number",
        ))?;
        let root = line().and_then(Hash::from_base64);
        let root = root.ok_or(NoteError::Checkpoint(
            "the root line is not a base64 SHA-256",
        ))?;
        let checkpoint = Self { origin, size, root };
        // Catches "+1", "01", odd base64 and extension lines at once.
        if checkpoint.text() != text {
            return Err(NoteError::Checkpoint(
                "the text is not in the one allowed form",
            ));
        }
        Ok(checkpoint)
    }

    /// Reads a signed checkpoint **without** checking a signature: to say what it claims, never to
    /// rely on it.
    ///
    /// # Errors
    /// [`NoteError`] when it is no signed checkpoint.
    pub fn parse_unverified(note: &str) -> Result<Self, NoteError> {
        Self::parse(Note::parse(note)?.text)
    }

    /// Signs with each of the log keys and returns the signed note.
    ///
    /// # Errors
    /// [`SignFault`] when a signer fails, is a cosigner (see [`Checkpoint::cosign`]), or the origin
    /// cannot stand in a note.
    pub fn sign(&self, signers: &[&dyn NoteSigner]) -> Result<String, SignFault> {
        let text = self.text();
        if Self::parse(&text).is_err() || text.chars().any(note::is_forbidden) {
            return Err(SignFault::Unsignable(
                "the origin is empty or holds control characters",
            ));
        }
        if signers.is_empty() {
            return Err(SignFault::Unsignable("there is no signer"));
        }
        let mut signed = format!("{text}\n");
        for signer in signers {
            signed.push_str(&note::log_signature_line(&text, *signer)?);
        }
        Ok(signed)
    }

    /// Adds a `cosignature/v1` line to a signed note: the signer has seen this checkpoint, found it
    /// consistent with all earlier ones, and says so at `unix_seconds`.
    ///
    /// # Errors
    /// [`SignFault`] when the signer fails or is a log key, or `note` is no checkpoint.
    pub fn cosign(
        note: &str,
        signer: &dyn NoteSigner,
        unix_seconds: u64,
    ) -> Result<String, SignFault> {
        Self::parse_unverified(note)
            .map_err(|_| SignFault::Unsignable("it is no signed checkpoint"))?;
        let parsed =
            Note::parse(note).map_err(|_| SignFault::Unsignable("it is no signed note"))?;
        let line = note::cosignature_line(parsed.text, signer, unix_seconds)?;
        Ok(format!("{note}{line}"))
    }

    /// Reads a signed note and checks it: every signature made by one of `keys` must be right, and
    /// one of them at least must be a log key. Signatures of unknown keys are passed over, as the
    /// standard asks.
    ///
    /// # Errors
    /// [`NoteError`].
    pub fn open(note: &str, keys: &[NoteKey]) -> Result<Verified<Self>, NoteError> {
        let parsed = Note::parse(note)?;
        let signatures = parsed.verify(keys)?;
        if !signatures
            .iter()
            .any(|signed| signed.key.kind() == SignatureKind::Log)
        {
            return Err(NoteError::NoKnownKey);
        }
        Ok(Verified {
            value: Self::parse(parsed.text)?,
            signatures,
        })
    }

    /// The keys of `keys` that appear as signers on a note, without checking their signatures.
    pub(crate) fn claimed_keys<'k>(
        note: &str,
        keys: &'k [NoteKey],
    ) -> Result<Vec<&'k NoteKey>, NoteError> {
        let parsed = Note::parse(note)?;
        Ok(keys.iter().filter(|key| parsed.is_signed_as(key)).collect())
    }
}
