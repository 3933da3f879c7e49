//! A few small files in one archive: POSIX ustar (IEEE Std 1003.1, pax, "ustar Interchange
//! Format").

/// Everything in an archive comes in blocks of this many bytes.
const BLOCK_BYTES: usize = 512;

/// A file in an archive.
pub(super) struct File<'a> {
    /// At most 99 bytes.
    pub(super) name: String,
    pub(super) content: &'a str,
    /// As `chmod` takes it: who may read it once it is unpacked.
    pub(super) mode: u32,
}

/// An archive of these files; what is too large for it stays out.
pub(super) fn tar(files: &[File<'_>]) -> Vec<u8> {
    let mut archive = Vec::new();
    for file in files {
        let Some(header) = header(file) else { continue };
        archive.extend(header);
        archive.extend(file.content.as_bytes());
        let end = archive.len().next_multiple_of(BLOCK_BYTES);
        archive.resize(end, 0);
    }
    archive.resize(archive.len() + 2 * BLOCK_BYTES, 0);
    archive
}

fn header(file: &File<'_>) -> Option<[u8; BLOCK_BYTES]> {
    let (name, bytes) = (&file.name, file.content.len());
    if name.len() > 99 || bytes >= 1 << 33 {
        return None;
    }
    let mut block = [0; BLOCK_BYTES];
    let mut put = |at: usize, text: &str| {
        for (to, from) in block.iter_mut().skip(at).zip(text.as_bytes()) {
            *to = *from;
        }
    };
    put(0, name);
    put(100, &format!("{:07o}\0", file.mode & 0o777));
    put(108, "0000000\0"); // user id
    put(116, "0000000\0"); // group id
    put(124, &format!("{bytes:011o}\0"));
    put(136, "00000000000\0"); // time of change
    put(148, "        "); // checksum, as spaces while it is computed
    put(156, "0"); // plain file
    put(257, "ustar\0");
    put(263, "00");
    let sum: u32 = block.iter().map(|byte: &u8| u32::from(*byte)).sum();
    let sum = format!("{sum:06o}\0 ");
    for (to, from) in block.iter_mut().skip(148).zip(sum.as_bytes()) {
        *to = *from;
    }
    Some(block)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn stock_tar_unpacks_it() {
        let folder = tempfile::tempdir().unwrap();
        let long = "x".repeat(1_000);
        let file = |name: &str, content, mode| File {
            name: name.to_owned(),
            content,
            mode,
        };
        let archive = tar(&[
            file("a.key", "secret\n", 0o600),
            file("b.pem", &long, 0o644),
            file("empty", "", 0o644),
        ]);
        std::fs::write(folder.path().join("a.tar"), archive).unwrap();
        let unpacked = std::process::Command::new("tar")
            .args(["-x", "-f", "a.tar"])
            .current_dir(folder.path())
            .output()
            .unwrap();
        assert!(
            unpacked.status.success() && unpacked.stderr.is_empty(),
            "{unpacked:?}"
        );
        let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!(
            (read("a.key"), read("b.pem"), read("empty")),
            ("secret\n".into(), long, String::new())
        );
        let mode = std::fs::metadata(folder.path().join("a.key")).unwrap();
        assert_eq!(mode.permissions().mode() & 0o777, 0o600);
    }
}
