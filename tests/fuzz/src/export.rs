//! A small genuine export, and forgeries of it.
//!
//! An input is a list of edits to its files, of the form that `edits` describes. With the first
//! byte odd, the forger is a good one: `SHA256SUMS` and its digest in `EXPORT.txt` are made anew,
//! so that what lies behind the checksums is reached; only the signatures cannot be made anew.

use crate::edits;
use ed25519_dalek::{Signer, SigningKey};
use ledger::{
    BundleFormat, BundleSource, ExportSigner, Ledger, LogKey, LogSource, MemDisk, NoteKey,
    NoteSigner, Report, SegmentsConfig, SignFault, SignatureKind, SizeRange, Trust, VerifyOptions,
    verify_tar_bytes, write_bundle,
};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, OnceLock};

const ORIGIN: &str = "strongroom/fuzz/lineage-1";
const TAR_BLOCK_BYTES: usize = 512;
const TOP_FOLDER: &str = "strongroom-export/";

/// The key that signs checkpoints, or exports.
struct Key {
    secret: SigningKey,
    note: NoteKey,
}

impl Key {
    fn new(seed: u8) -> Self {
        let secret = SigningKey::from_bytes(&[seed; 32]);
        let public = secret.verifying_key().to_bytes();
        let note = NoteKey::new("node-1", SignatureKind::Log, public).expect("a plain name");
        Self { secret, note }
    }
}

impl NoteSigner for Key {
    fn key(&self) -> &NoteKey {
        &self.note
    }
    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignFault> {
        Ok(self.secret.sign(message).to_bytes())
    }
}

impl ExportSigner for Key {
    fn principal(&self) -> &str {
        "node-1"
    }
    fn public(&self) -> [u8; 32] {
        self.secret.verifying_key().to_bytes()
    }
    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignFault> {
        Ok(self.secret.sign(message).to_bytes())
    }
}

/// The export, its files, and what verifying it says.
pub struct Export {
    /// As an archive.
    pub tar: Vec<u8>,
    files: BTreeMap<String, Vec<u8>>,
    /// What the genuine one is found to be.
    pub report: Report,
}

/// The genuine export.
pub fn genuine() -> &'static Export {
    static EXPORT: OnceLock<Export> = OnceLock::new();
    EXPORT.get_or_init(|| {
        let tar = write();
        let files = unpack(&tar);
        let report = verify_tar_bytes(&tar, options(&files)).expect("the genuine export verifies");
        assert_eq!(report.trust, Trust::Given);
        let ours = verify_tar_bytes(&pack(&files), options(&files));
        assert_eq!(
            ours.as_ref(),
            Ok(&report),
            "an archive of our own form verifies as well"
        );
        Export { tar, files, report }
    })
}

/// Whom to trust: the signer of the genuine export, known from elsewhere.
fn options(files: &BTreeMap<String, Vec<u8>>) -> VerifyOptions<'static> {
    let signers = files.get("allowed_signers").cloned().unwrap_or_default();
    let trusted = String::from_utf8(signers).expect("allowed_signers is text");
    VerifyOptions {
        trusted: Some(trusted),
        ..VerifyOptions::default()
    }
}

/// Verifies as somebody who knows the signer.
pub fn verify(tar: &[u8]) -> Result<Report, ledger::Finding> {
    verify_tar_bytes(tar, options(&genuine().files))
}

fn write() -> Vec<u8> {
    let folder = std::env::temp_dir().join(format!("strongroom-fuzz-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a temporary folder");
    let out = folder.join("export.tar");
    let disk = Arc::new(MemDisk::new());
    let opened = Ledger::open(disk, Path::new("/log"), SegmentsConfig::LEDGER, None);
    let (mut log, _) = opened.expect("an empty folder is a ledger");
    log.append(&(0..9).map(|n| format!("record {n}")).collect::<Vec<_>>())
        .expect("it fits");
    log.sync().expect("this disk does not fail");
    let key = Key::new(7);
    let checkpoint = log
        .checkpoint(ORIGIN)
        .sign(&[&key])
        .expect("the key is there");
    let ranges = BTreeMap::from([(
        "cluster".to_owned(),
        SizeRange {
            valid_from_size: 0,
            valid_to_size: None,
        },
    )]);
    let source = BundleSource {
        logs: vec![LogSource {
            name: "cluster",
            reader: log.reader(),
            checkpoint: &checkpoint,
            render: &|record| Ok(String::from_utf8_lossy(record).into_owned().into()),
            part: None,
        }],
        keys: vec![LogKey {
            node: 1,
            key: key.note.clone(),
            ranges,
        }],
        signer: &key,
        unix_seconds: 1_700_000_000,
    };
    write_bundle(&out, BundleFormat::Tar, &source, &mut |_, _| {}).expect("there is room");
    let tar = std::fs::read(&out).expect("it was just written");
    std::fs::remove_dir_all(&folder).expect("it is ours");
    tar
}

/// The files of an archive that we wrote ourselves.
fn unpack(tar: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut rest = tar;
    while rest.first().is_some_and(|byte| *byte != 0) {
        let (header, body) = rest.split_at(TAR_BLOCK_BYTES);
        let text = |range: std::ops::Range<usize>| {
            let bytes = &header[range];
            let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
            String::from_utf8_lossy(&bytes[..end]).into_owned()
        };
        let size = usize::from_str_radix(text(124..136).trim(), 8).expect("an octal size");
        let name = text(0..100).trim_start_matches(TOP_FOLDER).to_owned();
        files.insert(name, body[..size].to_vec());
        rest = &body[size.next_multiple_of(TAR_BLOCK_BYTES)..];
    }
    files
}

/// An archive of the files.
fn pack(files: &BTreeMap<String, Vec<u8>>) -> Vec<u8> {
    let mut tar = Vec::new();
    for (path, bytes) in files {
        let mut header = [0; TAR_BLOCK_BYTES];
        let mut put = |at: usize, text: &str| {
            header[at..at + text.len()].copy_from_slice(text.as_bytes());
        };
        put(0, &format!("{TOP_FOLDER}{path}"));
        put(100, "0000444\0000000000\0000000000\0");
        put(
            124,
            &format!("{:011o}\000000000000\0        0", bytes.len()),
        );
        put(257, "ustar\000");
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        tar.extend(header);
        tar.extend(bytes);
        tar.resize(tar.len().next_multiple_of(TAR_BLOCK_BYTES), 0);
    }
    tar.resize(tar.len() + 2 * TAR_BLOCK_BYTES, 0);
    tar
}

/// The export after the edits of `input`: to the archive itself, or to its files; and then, for an
/// odd first byte, with the checksums made anew.
pub fn forged(input: &[u8]) -> Vec<u8> {
    let genuine = genuine();
    let (first, edits) = input.split_first().unwrap_or((&0, &[]));
    if first & 2 != 0 {
        let mut archive = BTreeMap::from([(String::new(), genuine.tar.clone())]);
        edits::apply(&mut archive, edits, |_| String::new());
        return archive.into_values().next().unwrap_or_default();
    }
    let mut files = genuine.files.clone();
    edits::apply(&mut files, edits, |place| {
        format!("cluster/{place:012}.jsonl")
    });
    if first & 1 != 0 {
        renew_checksums(&mut files);
    }
    pack(&files)
}

/// What a forger can make anew without a key.
fn renew_checksums(files: &mut BTreeMap<String, Vec<u8>>) {
    let hex = |bytes: &[u8]| -> String {
        Sha256::digest(bytes)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    };
    let unlisted = ["SHA256SUMS", "EXPORT.txt", "EXPORT.txt.sig"];
    let listed = files
        .iter()
        .filter(|(path, _)| !unlisted.contains(&path.as_str()));
    let manifest: String = listed
        .map(|(path, b)| format!("{}  {path}\n", hex(b)))
        .collect();
    if let Some(statement) = files.get_mut("EXPORT.txt") {
        let text = String::from_utf8_lossy(statement);
        let kept: String = text
            .lines()
            .filter(|l| !l.ends_with("  SHA256SUMS"))
            .fold(String::new(), |text, line| text + line + "\n");
        let digest = hex(manifest.as_bytes());
        *statement = format!("{kept}{digest}  SHA256SUMS\n").into_bytes();
    }
    files.insert("SHA256SUMS".to_owned(), manifest.into_bytes());
}
