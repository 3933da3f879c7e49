//! Health of the random numbers: the two tests of SP 800-90B §4.4, on what the generator gives.
//!
//! They are made for a noise source. Behind a generator that mixes, as CTR_DRBG does, they see what
//! is left to see: a generator that is stuck, repeats itself, or favours a value.

use super::{Check, Kind, SelfTest, SelfTestFault};
use crate::provider;

pub(super) const TABLE: &[SelfTest] = &[
    SelfTest::new(
        "CTR_DRBG, repetition count",
        Kind::RandomHealth,
        "SP 800-90B §4.4.1",
        |check| repetition_count(&samples(check)?),
    ),
    SelfTest::new(
        "CTR_DRBG, adaptive proportion",
        Kind::RandomHealth,
        "SP 800-90B §4.4.2",
        |check| adaptive_proportion(&samples(check)?),
    ),
];

/// Samples of one byte in a look: four times what SP 800-90B §4.3 asks for at the start.
const SAMPLES: usize = 4_096;

/// Equal samples in a row that a sound source shows once in 2^40 places: 1 + ⌈40 / H⌉ with H = 8
/// bits of a sample (§4.4.1). No node fails by chance: 2^-28 for each look.
const REPETITIONS_MAX: usize = 6;

/// Samples that are compared with the first of them (§4.4.2: 512 where samples are not bits).
const WINDOW: usize = 512;

/// Times that the first sample may come in a window, itself included: 1 + CRITBINOM(512, 2^-8,
/// 1 - 2^-40) (§4.4.2).
const PROPORTION_MAX: usize = 19;

fn samples(check: &Check) -> Result<Vec<u8>, SelfTestFault> {
    let mut samples = vec![0; SAMPLES];
    if !check.is_stuck() {
        provider::random(&mut samples).map_err(|e| SelfTestFault::new(e.to_string()))?;
    }
    Ok(samples)
}

pub(super) fn repetition_count(samples: &[u8]) -> Result<(), SelfTestFault> {
    let runs = samples.chunk_by(|a, b| a == b);
    let longest = runs.map(<[u8]>::len).max().unwrap_or(0);
    if longest < REPETITIONS_MAX {
        return Ok(());
    }
    let what = format!("{longest} equal bytes in a row; {REPETITIONS_MAX} are too many");
    Err(SelfTestFault::new(what))
}

pub(super) fn adaptive_proportion(samples: &[u8]) -> Result<(), SelfTestFault> {
    for window in samples.chunks_exact(WINDOW) {
        let first = window.first();
        let times = window.iter().filter(|sample| Some(*sample) == first);
        let times = times.count();
        if times >= PROPORTION_MAX {
            let what = format!("one byte came {times} times among {WINDOW}");
            return Err(SelfTestFault::new(what));
        }
    }
    Ok(())
}
