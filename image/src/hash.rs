//! SHA-256 of files and bytes, in lower-case hex.

use crate::{Fault, fault};
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

/// Bytes read at once: large enough that the hash, not the system call, takes the time.
const CHUNK_BYTES: usize = 1 << 20;

/// Lower-case hex of `bytes`.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// SHA-256 of `bytes`.
pub(crate) fn of_bytes(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// SHA-256 of the file at `path`.
///
/// # Errors
/// When it cannot be read.
pub fn of_file(path: &Path) -> Result<String, Fault> {
    let mut file = File::open(path).map_err(fault::file("open", path))?;
    let mut hash = Sha256::new();
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let length = file.read(&mut chunk).map_err(fault::file("read", path))?;
        if length == 0 {
            return Ok(hex(&hash.finalize()));
        }
        hash.update(chunk.get(..length).unwrap_or_default());
    }
}

/// A version-8 UUID (RFC 9562) made of `name`: the same name gives the same UUID in every build.
pub(crate) fn uuid(name: &str) -> String {
    let digest = Sha256::digest(name.as_bytes());
    let mut bytes: Vec<u8> = digest.iter().copied().take(16).collect();
    // RFC 9562: version 8 (custom) in the high half of octet 6, variant 10 in octet 8.
    if let Some(octet) = bytes.get_mut(6) {
        *octet = (*octet & 0x0f) | 0x80;
    }
    if let Some(octet) = bytes.get_mut(8) {
        *octet = (*octet & 0x3f) | 0x80;
    }
    let text = hex(&bytes);
    let part = |range: std::ops::Range<usize>| text.get(range).unwrap_or_default().to_owned();
    [
        part(0..8),
        part(8..12),
        part(12..16),
        part(16..20),
        part(20..32),
    ]
    .join("-")
}

#[cfg(test)]
mod tests {
    //! Known answers, and the shape of a UUID.
    #![allow(
        clippy::unwrap_used,
        reason = "a test that meets the unexpected has failed"
    )]
    use super::*;

    #[test]
    fn known_answers() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(of_bytes(b""), empty);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        std::fs::write(&path, vec![7; CHUNK_BYTES + 1]).unwrap();
        assert_eq!(of_file(&path).unwrap(), of_bytes(&vec![7; CHUNK_BYTES + 1]));
    }

    #[test]
    fn uuids_are_stable_and_well_formed() {
        let uuid = uuid("root-a");
        assert_eq!(uuid, super::uuid("root-a"));
        assert_ne!(uuid, super::uuid("root-b"));
        assert_eq!(uuid.len(), 36);
        assert_eq!(uuid.as_bytes().get(14), Some(&b'8'));
        assert!(
            uuid.get(19..20)
                .is_some_and(|variant| "89ab".contains(variant))
        );
    }
}
