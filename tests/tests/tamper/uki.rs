//! Changes of a unified kernel image: its sections, and signatures of somebody else.

use crate::disk::{number, run};
use anyhow::{Context, Result};
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Bytes of a PE file that a section has (Microsoft, PE Format, "Section Table").
pub(crate) fn section(pe: &[u8], name: &str) -> Result<Range<usize>> {
    let field = |at, length| Ok::<_, anyhow::Error>(usize::try_from(number(pe, at, length)?)?);
    let header = field(0x3c, 4)?;
    let table = header + 24 + field(header + 20, 2)?;
    for entry in 0..field(header + 6, 2)? {
        let at = table + entry * 40;
        let called = pe.get(at..at + 8).context("a torn section table")?;
        if called.split(|byte| *byte == 0).next() == Some(name.as_bytes()) {
            let begin = field(at + 20, 4)?;
            // The size in memory is that of the content; the one in the file is rounded up.
            return Ok(begin..begin + field(at + 8, 4)?);
        }
    }
    anyhow::bail!("no section {name}")
}

/// Replaces a text in a section by another one of the same length.
pub(crate) fn replace(pe: &mut [u8], name: &str, old: &str, new: &str) -> Result<()> {
    assert_eq!(old.len(), new.len(), "a section keeps its length");
    let range = section(pe, name)?;
    let section = &mut pe[range];
    let at = section
        .windows(old.len())
        .position(|window| window == old.as_bytes())
        .with_context(|| format!("no {old} in {name}"))?;
    section[at..at + old.len()].copy_from_slice(new.as_bytes());
    Ok(())
}

/// Signs a program with a key that nobody has enrolled.
pub(crate) fn sign_as_stranger(program: &Path, folder: &Path) -> Result<Vec<u8>> {
    let at = |name: &str| -> PathBuf { folder.join(name) };
    let mut request = Command::new("openssl");
    request.args(["req", "-x509", "-new", "-nodes", "-newkey", "rsa:2048"]);
    request.args(["-subj", "/CN=Somebody else", "-keyout"]);
    request
        .arg(at("stranger.key"))
        .arg("-out")
        .arg(at("stranger.crt"));
    run(&mut request).context("openssl (Debian: apt-get install openssl)")?;
    let mut sign = Command::new("sbsign");
    sign.arg("--key").arg(at("stranger.key"));
    sign.arg("--cert").arg(at("stranger.crt"));
    sign.arg("--output").arg(at("stranger.efi")).arg(program);
    run(&mut sign).context("sbsign (Debian: apt-get install sbsigntool)")?;
    Ok(fs::read(at("stranger.efi"))?)
}

/// Takes all signatures off a signed program.
pub(crate) fn strip(program: &Path, folder: &Path) -> Result<Vec<u8>> {
    let bare = folder.join("stripped.efi");
    fs::copy(program, &bare)?;
    let mut strip = Command::new("sbattach");
    run(strip.arg("--remove").arg(&bare)).context("sbattach (Debian: sbsigntool)")?;
    Ok(fs::read(bare)?)
}
