//! A real bundle with real keys, verified by this program and by the stock tools; and every way to
//! tamper with one, each with its own finding.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod bundle_on_disk;
mod closed;
mod hostile;
mod tamper;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use ed25519_dalek::{Signer as _, SigningKey};
use serde_json::{Value, json};

use super::*;
use crate::checkpoint::{Checkpoint, NoteKey, NoteSigner, SignFault, SignatureKind};
use crate::disk::MemDisk;
use crate::ledger::Ledger;
use crate::segments::SegmentsConfig;

const TIME: i64 = 1_790_000_000;
const CLUSTER_ORIGIN: &str = "strongroom/7c1d/lineage-1";
const ACCESS_ORIGIN: &str = "strongroom/7c1d/access-1";

/// A signer of notes and of exports.
struct TestSigner {
    key: NoteKey,
    secret: SigningKey,
    principal: String,
}

impl TestSigner {
    fn new(name: &str, kind: SignatureKind, seed: u8) -> Self {
        let secret = SigningKey::from_bytes(&[seed; 32]);
        let key = NoteKey::new(name, kind, secret.verifying_key().to_bytes()).unwrap();
        Self {
            key,
            secret,
            principal: "node-1".to_owned(),
        }
    }

    fn log_key(&self, from: u64, to: Option<u64>) -> LogKey {
        let range = SizeRange {
            valid_from_size: from,
            valid_to_size: to,
        };
        let ranges = ["cluster", "access"].map(|log| (log.to_owned(), range));
        LogKey {
            node: 1,
            key: self.key.clone(),
            ranges: ranges.into(),
        }
    }
}

impl NoteSigner for TestSigner {
    fn key(&self) -> &NoteKey {
        &self.key
    }
    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignFault> {
        Ok(self.secret.sign(message).to_bytes())
    }
}

impl ExportSigner for TestSigner {
    fn principal(&self) -> &str {
        &self.principal
    }
    fn public(&self) -> [u8; 32] {
        self.key.public()
    }
    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignFault> {
        Ok(self.secret.sign(message).to_bytes())
    }
}

/// Records are JSON text here; the first byte only makes them opaque.
fn record(log: &str, n: u64) -> Vec<u8> {
    format!("\u{1}{{\"log\":\"{log}\",\"event\":\"Created\",\"key\":{n}}}").into_bytes()
}

fn render(bytes: &[u8]) -> Result<Value, String> {
    serde_json::from_slice(bytes.get(1..).unwrap_or_default()).map_err(|error| error.to_string())
}

fn render_named(_: &str, bytes: &[u8]) -> Result<Value, String> {
    render(bytes)
}

/// A node with its two logs and its keys.
struct Node {
    cluster: Ledger,
    access: Ledger,
    log: TestSigner,
    peer: TestSigner,
    export: TestSigner,
    keys: Vec<LogKey>,
}

impl Node {
    fn new(cluster_records: u64, access_records: u64) -> Self {
        let log = TestSigner::new("strongroom/7c1d/node-1", SignatureKind::Log, 1);
        let peer = TestSigner::new("strongroom/7c1d/node-2", SignatureKind::Cosignature, 2);
        let keys = vec![log.log_key(0, None), peer.log_key(0, None)];
        let ledger = |name: &str, count| {
            let disk = Arc::new(MemDisk::new());
            let opened = Ledger::open(disk, Path::new("log"), SegmentsConfig::LEDGER, None);
            let mut ledger = opened.unwrap().0;
            let records: Vec<_> = (0..count).map(|n| record(name, n)).collect();
            ledger.append(&records).unwrap();
            ledger
        };
        Self {
            cluster: ledger("cluster", cluster_records),
            access: ledger("access", access_records),
            log,
            peer,
            export: TestSigner::new("export", SignatureKind::Log, 3),
            keys,
        }
    }

    fn grow(&mut self, count: u64) {
        let size = self.cluster.size();
        let records: Vec<_> = (size..size + count).map(|n| record("cluster", n)).collect();
        self.cluster.append(&records).unwrap();
    }

    fn note(&self, ledger: &Ledger, origin: &str) -> String {
        let note = ledger.checkpoint(origin).sign(&[&self.log]).unwrap();
        Checkpoint::cosign(&note, &self.peer, 1_790_000_000).unwrap()
    }

    fn write(&self, out: &Path, format: BundleFormat) -> Result<Written, ExportError> {
        let cluster = self.note(&self.cluster, CLUSTER_ORIGIN);
        let access = self.note(&self.access, ACCESS_ORIGIN);
        let log = |name, ledger: &Ledger, checkpoint| LogSource {
            name,
            reader: ledger.reader(),
            checkpoint,
            render: &render,
            part: None,
        };
        let source = BundleSource {
            logs: vec![
                log("cluster", &self.cluster, &cluster),
                log("access", &self.access, &access),
            ],
            keys: self.keys.clone(),
            signer: &self.export,
            unix_seconds: TIME,
        };
        let mut last = (0, 0);
        let written = write_bundle(out, format, &source, &mut |done, total| {
            last = (done, total)
        })?;
        assert_eq!(last, (written.records, written.records));
        Ok(written)
    }
}

fn options<'a>() -> VerifyOptions<'a> {
    VerifyOptions {
        render: Some(&render_named),
        ..VerifyOptions::default()
    }
}

fn verify_with_state(path: &Path, state: &VerifierState) -> Result<Report, Finding> {
    verify_bundle(
        path,
        VerifyOptions {
            state: Some(state.clone()),
            ..options()
        },
    )
}

/// Runs a shell command in a folder; tells whether it ended with status 0.
fn shell(folder: &Path, command: &str) -> bool {
    let mut shell = Command::new("sh");
    shell
        .args(["-c", command])
        .current_dir(folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    shell.status().unwrap().success()
}

/// Changes a text file.
fn edit(path: &Path, change: impl FnOnce(String) -> String) {
    let text = std::fs::read_to_string(path).unwrap();
    let changed = change(text.clone());
    assert_ne!(changed, text, "{} was not changed", path.display());
    let mut permissions = std::fs::metadata(path).unwrap().permissions();
    #[allow(clippy::permissions_set_readonly_false)]
    permissions.set_readonly(false);
    std::fs::set_permissions(path, permissions).unwrap();
    std::fs::write(path, changed).unwrap();
}

/// What somebody does who can change everything but has no key: compute the digests again.
fn digest_again(bundle: &Path) {
    let command = "find . -type f ! -name 'EXPORT.txt*' ! -name SHA256SUMS | cut -c3- | \
                   LC_ALL=C sort | xargs sha256sum > ../sums && mv ../sums SHA256SUMS";
    assert!(shell(bundle, command));
    let command = "sed -i \"s/^[0-9a-f]*  SHA256SUMS$/$(sha256sum SHA256SUMS)/\" EXPORT.txt";
    assert!(shell(bundle, command));
}
