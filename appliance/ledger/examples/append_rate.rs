//! How fast the ledger appends, opens, exports and verifies on this machine, in the folder given
//! (default: a temporary one): `cargo run --release -p ledger --example append_rate [DIR]`.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::indexing_slicing)]

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use ed25519_dalek::{Signer as _, SigningKey};
use ledger::{
    BundleFormat, BundleSource, ExportSigner, Ledger, LogKey, LogSource, NoteKey, NoteSigner,
    SegmentsConfig, SignFault, SignatureKind, SizeRange, StdDisk, VerifyOptions, verify_bundle,
    write_bundle,
};

/// Length of a typical event, bytes.
const RECORD_BYTES: usize = 300;
const RECORDS: u64 = 1_000_000;
const EXPORTED: u64 = 100_000;
const SYNCS: u64 = 1_000;

struct Key(NoteKey, SigningKey);

impl NoteSigner for Key {
    fn key(&self) -> &NoteKey {
        &self.0
    }
    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignFault> {
        Ok(self.1.sign(message).to_bytes())
    }
}

impl ExportSigner for Key {
    fn principal(&self) -> &'static str {
        "bench"
    }
    fn public(&self) -> [u8; 32] {
        self.0.public()
    }
    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignFault> {
        Ok(self.1.sign(message).to_bytes())
    }
}

fn rate<T>(what: &str, count: u64, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = work();
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{what:<44} {:>10.0} records/s  {seconds:>8.3} s",
        count as f64 / seconds
    );
    result
}

fn open(dir: &Path) -> Ledger {
    Ledger::open(Arc::new(StdDisk), dir, SegmentsConfig::LEDGER, None)
        .unwrap()
        .0
}

fn main() {
    let temporary = tempfile::tempdir().unwrap();
    let base = std::env::args()
        .nth(1)
        .map_or(temporary.path().to_path_buf(), Into::into);
    let dir = base.join("ledger");
    let record: Vec<u8> = (0..RECORD_BYTES)
        .map(|i| u8::try_from(i % 251).unwrap())
        .collect();
    let mut ledger = open(&dir);
    let batch = vec![record.as_slice(); 1_000];
    rate(
        "append 1,000 at a time, one sync at the end",
        RECORDS,
        || {
            for _ in 0..RECORDS / 1_000 {
                ledger.append(&batch).unwrap();
            }
            ledger.sync().unwrap();
        },
    );
    for size in [1_usize, 8, 64] {
        let what = format!("append {size}, sync, {SYNCS} times");
        rate(&what, SYNCS * size as u64, || {
            for _ in 0..SYNCS {
                ledger.append(&batch[..size]).unwrap();
                ledger.sync().unwrap();
            }
        });
    }
    let size = ledger.size();
    drop(ledger);
    let ledger = rate("open", size, || open(&dir));
    rate("random reads", 100_000, || {
        let mut index = 1;
        for _ in 0..100_000 {
            index = (index * 6_364_136_223 + 1_442_695) % size;
            ledger.record(index).unwrap();
        }
    });
    rate("iterate", size, || {
        assert_eq!(ledger.reader().iter_from(0).count() as u64, size)
    });
    rate("inclusion proofs", 10_000, || {
        for index in 0..10_000 {
            ledger.inclusion(index * 97, size).unwrap();
        }
    });
    export(&base);
}

fn export(base: &Path) {
    let mut ledger = open(&base.join("exported"));
    let record = [0x5a; RECORD_BYTES];
    ledger
        .append(&vec![record; usize::try_from(EXPORTED).unwrap()])
        .unwrap();
    let secret = SigningKey::from_bytes(&[7; 32]);
    let public = secret.verifying_key().to_bytes();
    let key = Key(
        NoteKey::new("bench", SignatureKind::Log, public).unwrap(),
        secret,
    );
    let note = ledger.checkpoint("bench").sign(&[&key]).unwrap();
    let show = |bytes: &[u8]| Ok(serde_json::json!({ "kind": "Bench", "bytes": bytes.len() }));
    let range = SizeRange {
        valid_from_size: 0,
        valid_to_size: None,
    };
    let source = BundleSource {
        logs: vec![LogSource {
            name: "cluster",
            reader: ledger.reader(),
            checkpoint: &note,
            render: &show,
            part: None,
        }],
        keys: vec![LogKey {
            node: 1,
            key: key.0.clone(),
            ranges: [("cluster".to_owned(), range)].into(),
        }],
        signer: &key,
        unix_seconds: 1_790_000_000,
    };
    let out = base.join("export");
    rate("export", EXPORTED, || {
        write_bundle(&out, BundleFormat::Folder, &source, &mut |_, _| ()).unwrap()
    });
    rate("verify", EXPORTED, || {
        verify_bundle(&out, VerifyOptions::default()).unwrap()
    });
}
