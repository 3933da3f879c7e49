//! How often this disk makes a small write durable: the limit of one writer without group commit.

use anyhow::Result;
use std::fmt;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

/// Bytes of one write: a few records.
const WRITE_BYTES: usize = 2048;

/// Writes that are measured.
const WRITES: usize = 2000;

/// What one writer reaches.
pub(crate) struct Disk {
    pub(crate) per_second: f64,
    p50: Duration,
    p99: Duration,
}

impl fmt::Display for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:.0} durable writes of {WRITE_BYTES} bytes per second by one writer \
             (fdatasync p50 {:.0} µs, p99 {:.0} µs)",
            self.per_second,
            self.p50.as_secs_f64() * 1e6,
            self.p99.as_secs_f64() * 1e6
        )
    }
}

/// Writes into a file whose blocks exist, as the segments of the ledger do.
pub(crate) fn durable_writes() -> Result<Disk> {
    let file = tempfile::tempfile()?;
    file.write_all_at(&vec![0; WRITES * WRITE_BYTES], 0)?;
    file.sync_all()?;
    let mut times = Vec::with_capacity(WRITES);
    let begun = Instant::now();
    for n in 0..WRITES {
        let at = Instant::now();
        file.write_all_at(&[7; WRITE_BYTES], (n * WRITE_BYTES) as u64)?;
        file.sync_data()?;
        times.push(at.elapsed());
    }
    let per_second = WRITES as f64 / begun.elapsed().as_secs_f64();
    times.sort_unstable();
    let at = |part: usize| times.get(WRITES * part / 100).copied().unwrap_or_default();
    Ok(Disk {
        per_second,
        p50: at(50),
        p99: at(99),
    })
}
