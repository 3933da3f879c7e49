//! Encryption of closed logs to the `age` recipients of a destination, before they leave.
//!
//! Encrypting twice gives other bytes, so the encrypted file is kept until it has arrived: what was
//! cut off goes on with the same one.

use super::fault::{Fault, local};
use age::Encryptor;
use age::x25519::Recipient;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use vault::provider;

/// What is appended to the name.
pub(crate) const ENDING: &str = ".age";

/// Hexadecimal digits that tell one set of recipients from another.
const RECIPIENTS_DIGITS: usize = 16;

fn parsed(recipient: &str) -> Result<Recipient, String> {
    let parsed = recipient.parse::<Recipient>();
    parsed.map_err(|why| format!("{recipient} is no age recipient: {why}"))
}

/// Whether a text is a recipient, its check digits included.
///
/// # Errors
/// Why not.
pub(crate) fn check(recipient: &str) -> Result<(), String> {
    parsed(recipient).map(drop)
}

/// The encrypted form of a file in a folder; it is made when it is not there.
pub(super) fn encrypted(
    plain: &Path,
    folder: &Path,
    recipients: &[String],
) -> Result<PathBuf, Fault> {
    let name = plain.file_name().unwrap_or_default().to_string_lossy();
    let digest = provider::sha256(&[recipients.join(" ").as_bytes()]);
    let digits: String = crate::render::hex(&digest)
        .chars()
        .take(RECIPIENTS_DIGITS)
        .collect();
    let path = folder.join(format!("{name}.{digits}{ENDING}"));
    if path.exists() {
        return Ok(path);
    }
    let recipients = recipients.iter().map(|text| parsed(text));
    let recipients = recipients.collect::<Result<Vec<_>, _>>().map_err(local)?;
    let those = recipients
        .iter()
        .map(|recipient| recipient as &dyn age::Recipient);
    let encryptor = Encryptor::with_recipients(those).map_err(local)?;
    let written = write(encryptor, plain, &path);
    written.map_err(|e| local(format!("encrypting {name}: {e}")))?;
    Ok(path)
}

fn write(encryptor: Encryptor, plain: &Path, path: &Path) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let partial = path.with_extension("partial");
    let mut out = encryptor.wrap_output(File::create(&partial)?)?;
    io::copy(&mut File::open(plain)?, &mut out)?;
    out.finish()?.sync_all()?;
    std::fs::rename(&partial, path)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use std::io::Read;

    #[test]
    fn only_the_recipient_reads_it_and_it_is_made_once() {
        let folder = tempfile::tempdir().unwrap();
        let plain = folder.path().join("x.tar");
        std::fs::write(&plain, b"a closed log").unwrap();
        let identity = age::x25519::Identity::generate();
        let recipients = vec![identity.to_public().to_string()];
        check(&recipients[0]).unwrap();
        let path = encrypted(&plain, folder.path(), &recipients).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        assert!(!bytes.windows(8).any(|some| some == b"a closed"));
        let again = encrypted(&plain, folder.path(), &recipients).unwrap();
        assert_eq!(std::fs::read(again).unwrap(), bytes);
        let decryptor = age::Decryptor::new(&bytes[..]).unwrap();
        let mut reader = decryptor
            .decrypt(std::iter::once(&identity as &dyn age::Identity))
            .unwrap();
        let mut text = Vec::new();
        reader.read_to_end(&mut text).unwrap();
        assert_eq!(text, b"a closed log");
        // A wrong digit is noticed before anything is encrypted to nobody.
        let (rest, last) = recipients[0].split_at(recipients[0].len() - 1);
        let wrong = format!("{rest}{}", if last == "q" { "p" } else { "q" });
        assert!(check(&wrong).is_err() && encrypted(&plain, folder.path(), &[wrong]).is_err());
    }
}
