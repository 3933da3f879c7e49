//! Bundles from an enemy: no bit may be changed unnoticed, nothing may make the verifier panic.

use super::*;

fn archive() -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("export.tar");
    Node::new(3, 1).write(&out, BundleFormat::Tar).unwrap();
    std::fs::read(out).unwrap()
}

/// Which bytes of an archive are contents, by name.
fn contents(archive: &[u8]) -> BTreeMap<String, std::ops::Range<usize>> {
    let (mut at, mut found) = (0, BTreeMap::new());
    loop {
        let block = archive[at..].first_chunk::<512>().unwrap();
        at += 512;
        match tar::parse(block).unwrap() {
            tar::Header::File { path, bytes } => {
                let end = at + usize::try_from(bytes).unwrap();
                found.insert(path, at..end);
                at = end + tar::padding(bytes);
            }
            _ => return found,
        }
    }
}

/// One bit of every byte of every content, the signature and its armor included.
#[test]
fn no_bit_of_a_bundle_can_be_flipped() {
    let good = archive();
    verify_tar_bytes(&good, options()).unwrap();
    let mut flips = 0;
    for (path, range) in contents(&good) {
        // All eight bits get their turn over the positions.
        for (position, at) in range.enumerate() {
            let mut bad = good.clone();
            bad[at] ^= 1 << (position % 8);
            assert!(
                verify_tar_bytes(&bad, options()).is_err(),
                "{path}, byte {position}"
            );
            flips += 1;
        }
    }
    assert!(flips > 3_000, "{flips}");
}

#[test]
fn no_truncated_archive_is_accepted() {
    let good = archive();
    let end = good.len() - tar::END_BYTES;
    for length in (0..end).step_by(97).chain(end - 600..end) {
        assert!(
            verify_tar_bytes(&good[..length], options()).is_err(),
            "{length}"
        );
    }
}

/// An archive of these entries: name as it stands, type, content.
fn archive_of(entries: &[(&str, char, &[u8])]) -> Vec<u8> {
    let mut archive = Vec::new();
    for (name, kind, content) in entries {
        let mut block = tar::header("x", content.len() as u64).unwrap();
        block[..100].fill(0);
        block[..name.len()].copy_from_slice(name.as_bytes());
        block[156] = u8::try_from(*kind).unwrap();
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        archive.extend_from_slice(&block);
        archive.extend_from_slice(content);
        archive.resize(archive.len() + tar::padding(content.len() as u64), 0);
    }
    archive.resize(archive.len() + tar::END_BYTES, 0);
    archive
}

#[test]
fn archives_cannot_reach_out_or_smuggle() {
    use FindingKind::*;
    let top = "strongroom-export";
    let path = |name: &str| format!("{top}/{name}");
    for (name, kind, expected) in [
        (path("../../etc/cron.d/x"), '0', PathTraversal),
        (path("cluster/../../x"), '0', PathTraversal),
        ("/etc/passwd".to_owned(), '0', PathTraversal),
        ("../x".to_owned(), '0', PathTraversal),
        (path("../up"), '5', PathTraversal),
        ("elsewhere/x".to_owned(), '0', FileAdded),
        (path("checkpoint"), '2', NotPlainFile),
        (path("checkpoint"), '1', NotPlainFile),
        (path("checkpoint"), '3', NotPlainFile),
        (path("a/b/c"), '0', FileForeign),
        (path("a//c"), '0', FileForeign),
        (path("a\u{7}"), '0', FileForeign),
        (path("EXPORT.txt"), '0', FileMissing),
    ] {
        let finding = verify_tar_bytes(&archive_of(&[(&name, kind, b"")]), options()).unwrap_err();
        assert_eq!(finding.kind, expected, "{name:?} of type {kind}: {finding}");
    }
    let name = path("EXPORT.txt");
    let twice = archive_of(&[(&name, '0', b"one"), (&name, '0', b"two")]);
    assert_eq!(
        verify_tar_bytes(&twice, options()).unwrap_err().kind,
        DuplicateFile
    );
    let more = [archive(), b"more".to_vec()].concat();
    assert_eq!(
        verify_tar_bytes(&more, options()).unwrap_err().kind,
        FileAdded
    );
}

#[test]
fn no_folder_no_bundle() {
    let dir = tempfile::tempdir().unwrap();
    for (path, kind) in [
        (dir.path().join("none"), FindingKind::Unreadable),
        (dir.path().to_path_buf(), FindingKind::FileMissing),
    ] {
        assert_eq!(verify_bundle(&path, options()).unwrap_err().kind, kind);
    }
    let text = dir.path().join("text");
    std::fs::write(&text, "no archive").unwrap();
    assert_eq!(
        verify_bundle(&text, options()).unwrap_err().kind,
        FindingKind::Unreadable
    );
}

/// A line without end is bounded, not read into memory; and it is a finding.
#[test]
fn endless_lines_are_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("export");
    Node::new(3, 1).write(&out, BundleFormat::Folder).unwrap();
    edit(&out.join("cluster/000000000000.jsonl"), |text| {
        text.replacen(
            "\"event\":{",
            &format!("\"event\":{{\"x\":\"{}\",", "x".repeat(3 << 20)),
            1,
        )
    });
    digest_again(&out);
    let finding = verify_bundle(&out, VerifyOptions::default()).unwrap_err();
    assert_eq!(
        (finding.kind, finding.record),
        (FindingKind::LineMalformed, Some(0))
    );
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(300))]
    #[test]
    fn mangled_archives_never_panic(
        edits in proptest::collection::vec((0_usize..1 << 20, 0_u8..=255, 0_usize..40), 1..8),
    ) {
        thread_local!(static GOOD: Vec<u8> = archive());
        let mut bytes = GOOD.with(Clone::clone);
        for (place, byte, count) in edits {
            let at = place % bytes.len();
            let end = (at + count).min(bytes.len());
            bytes[at..end].fill(byte);
        }
        let _ = verify_tar_bytes(&bytes, options());
    }
}
