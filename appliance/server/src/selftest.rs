//! The self-tests of this process: run before any port opens and whenever somebody asks, and what
//! they gave. A process in which one has failed computes nothing any more (`error_state`); the way
//! out is to start anew and pass.
//!
//! The tests of the vault's primitives are in `vault::selftest`; those of what this room computes
//! by itself are here.

use crate::clock;
use crate::engine::Engine;
use crate::render;
use anyhow::ensure;
use argon2::{Algorithm, Argon2, AssociatedData, ParamsBuilder, Version};
use domain::{Access, Actor, Time};
use parking_lot::Mutex;
use serde_json::{Value, json};
use sha2::{Digest, Sha256, Sha512};
use std::collections::BTreeMap;
use std::sync::{LazyLock, OnceLock};
use std::time::Instant;
use tokio::sync::watch;
use vault::selftest::{Check, Kind, SelfTest, SelfTestFault};

/// Tests of what is computed outside the vault.
const OWN: &[SelfTest] = &[
    SelfTest::new("Argon2id", Kind::KnownAnswer, "RFC 9106 §5.3", argon2id),
    SelfTest::new(
        "SHA-256 of the logs",
        Kind::KnownAnswer,
        "FIPS 180-4, example \"abc\"",
        |check| {
            let known = [
                0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41, 0x40, 0xde, 0x5d, 0xae,
                0x22, 0x23, 0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17, 0x7a, 0x9c, 0xb4, 0x10, 0xff, 0x61,
                0xf2, 0x00, 0x15, 0xad,
            ];
            check.same("SHA-256", &Sha256::digest(b"abc"), &known)
        },
    ),
    SelfTest::new(
        "SHA-512 of SSH signatures",
        Kind::KnownAnswer,
        "FIPS 180-4, example \"abc\"",
        |check| {
            let known = [
                0xdd, 0xaf, 0x35, 0xa1, 0x93, 0x61, 0x7a, 0xba, 0xcc, 0x41, 0x73, 0x49, 0xae, 0x20,
                0x41, 0x31, 0x12, 0xe6, 0xfa, 0x4e, 0x89, 0xa9, 0x7e, 0xa2, 0x0a, 0x9e, 0xee, 0xe6,
                0x4b, 0x55, 0xd3, 0x9a, 0x21, 0x92, 0x99, 0x2a, 0x27, 0x4f, 0xc1, 0xa8, 0x36, 0xba,
                0x3c, 0x23, 0xa3, 0xfe, 0xeb, 0xbd, 0x45, 0x4d, 0x44, 0x23, 0x64, 0x3c, 0xe8, 0x0e,
                0x2a, 0x9a, 0xc9, 0x4f, 0xa5, 0x4c, 0xa4, 0x9f,
            ];
            check.same("SHA-512", &Sha512::digest(b"abc"), &known)
        },
    ),
];

fn argon2id(check: &Check) -> Result<(), SelfTestFault> {
    let refused = |e: argon2::Error| SelfTestFault::new(format!("Argon2id: {e}"));
    let known = [
        0x0d, 0x64, 0x0d, 0xf5, 0x8d, 0x78, 0x76, 0x6c, 0x08, 0xc0, 0x37, 0xa3, 0x4a, 0x8b, 0x53,
        0xc9, 0xd0, 0x1e, 0xf0, 0x45, 0x2d, 0x75, 0xb6, 0x5e, 0xb5, 0x25, 0x20, 0xe9, 0x6b, 0x01,
        0xe6, 0x59,
    ];
    let params = ParamsBuilder::new()
        .m_cost(32)
        .t_cost(3)
        .p_cost(4)
        .data(AssociatedData::new(&[4; 12]).map_err(refused)?)
        .output_len(known.len())
        .build()
        .map_err(refused)?;
    let secret = [3; 8];
    let argon2 = Argon2::new_with_secret(&secret, Algorithm::Argon2id, Version::V0x13, params);
    let mut out = [0; 32];
    argon2
        .map_err(refused)?
        .hash_password_into(&[1; 32], &[2; 16], &mut out)
        .map_err(refused)?;
    check.same("Argon2id", &out, &known)
}

/// Every self-test of this program, in the order in which they run.
fn all() -> impl Iterator<Item = &'static SelfTest> {
    vault::selftest::all().chain(OWN)
}

/// One test that was run.
#[derive(Clone, Debug)]
pub(crate) struct Ran {
    /// Its name.
    pub(crate) name: &'static str,
    /// What it looks at.
    pub(crate) kind: &'static str,
    /// Where its answer is from.
    pub(crate) source: &'static str,
    /// When it began.
    pub(crate) time: Time,
    /// How long it took.
    pub(crate) microseconds: u64,
    /// Why it did not pass, if it did not.
    pub(crate) fault: Option<String>,
}

/// All tests, run once.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    /// When the first began.
    pub(crate) time: Time,
    /// In the order in which they ran.
    pub(crate) tests: Vec<Ran>,
}

impl Report {
    /// Names of the tests that did not pass, each with the reason.
    pub(crate) fn failed(&self) -> Vec<String> {
        let of = |ran: &Ran| Some(format!("{}: {}", ran.name, ran.fault.as_ref()?));
        self.tests.iter().filter_map(of).collect()
    }

    /// For screens and scripts.
    pub(crate) fn json(&self) -> Value {
        let test = |ran: &Ran| {
            json!({
                "name": ran.name,
                "kind": ran.kind,
                "result": result(ran.fault.is_none()),
                "time": render::moment(ran.time),
                "microseconds": ran.microseconds,
                "source": ran.source,
                "fault": ran.fault,
            })
        };
        json!({
            "result": result(self.failed().is_empty()),
            "time": render::moment(self.time),
            "tests": self.tests.iter().map(test).collect::<Vec<_>>(),
        })
    }

    fn access(&self) -> Access {
        let failed = self.tests.iter().filter(|ran| ran.fault.is_some());
        Access::SelfTested {
            tests: u32::try_from(self.tests.len()).unwrap_or(u32::MAX),
            failed: failed.map(|ran| ran.name.to_owned()).collect(),
        }
    }
}

const fn result(passed: bool) -> &'static str {
    if passed { "passed" } else { "failed" }
}

/// Conditional tests of one kind: those of the pairs of keys that this process has made.
#[derive(Clone, Copy, Debug, Default)]
struct Conditional {
    passed: u64,
    failed: u64,
    last: Time,
}

static POWER_UP: OnceLock<Report> = OnceLock::new();
static ON_DEMAND: Mutex<Option<Report>> = Mutex::new(None);
static CONDITIONAL: Mutex<BTreeMap<&'static str, Conditional>> = Mutex::new(BTreeMap::new());
/// Turns true when a test fails in a process that had passed.
static FAILED: LazyLock<watch::Sender<bool>> = LazyLock::new(|| watch::Sender::new(false));

/// The tests at power-up; the first call runs them.
pub(crate) fn power_up() -> &'static Report {
    POWER_UP.get_or_init(|| {
        vault::selftest::observe(note_conditional);
        run()
    })
}

/// Nothing is computed by a process in which a test has failed.
///
/// # Errors
/// Which tests, and why.
pub(crate) fn must_have_passed() -> anyhow::Result<()> {
    let failed = power_up().failed().join("; ");
    ensure!(
        failed.is_empty(),
        "self-test failed ({failed}); nothing was done. Start it again; if that does not help, \
         the machine or the program is damaged"
    );
    Ok(())
}

fn note_conditional(name: &'static str, outcome: &Result<(), SelfTestFault>) {
    let mut all = CONDITIONAL.lock();
    let kept = all.entry(name).or_default();
    kept.last = clock::now();
    if outcome.is_ok() {
        kept.passed = kept.passed.saturating_add(1);
    } else {
        kept.failed = kept.failed.saturating_add(1);
        FAILED.send_replace(true);
    }
}

fn run() -> Report {
    let time = clock::now();
    let ran = |test: &SelfTest| {
        let (time, began) = (clock::now(), Instant::now());
        let outcome = test.run();
        let microseconds = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        if let Err(fault) = &outcome {
            tracing::error!("self-test {}: {fault}", test.name);
        }
        Ran {
            name: test.name,
            kind: test.kind.name(),
            source: test.source,
            time,
            microseconds,
            fault: outcome.err().map(|fault| fault.to_string()),
        }
    };
    Report {
        time,
        tests: all().map(ran).collect(),
    }
}

/// Records the tests at power-up, now that there is a log.
pub(crate) fn record_power_up(engine: &Engine) {
    let actor = Actor::Node(engine.node());
    let access = power_up().access();
    // It reaches the disk with the records that follow; nothing waits for it.
    if let Err(e) = engine.record(&actor, engine.seen(), engine.now(), access) {
        tracing::error!("{e}");
    }
}

/// Runs the tests because somebody asked. When one fails, the process is to end.
///
/// # Errors
/// They could not be run or recorded.
pub(crate) async fn run_for(engine: &Engine, actor: &Actor) -> Result<Value, String> {
    let report = tokio::task::spawn_blocking(run).await;
    let report = report.map_err(|e| e.to_string())?;
    let (shown, failed) = (report.json(), !report.failed().is_empty());
    let access = report.access();
    *ON_DEMAND.lock() = Some(report);
    let recorded = match engine.record(actor, engine.seen(), engine.now(), access) {
        Ok(receipt) => receipt.recorded().await.map(drop),
        Err(e) => Err(e),
    };
    if failed {
        FAILED.send_replace(true);
    }
    recorded.map_err(|e| e.to_string())?;
    Ok(shown)
}

/// Returns when a test has failed in this process, which had passed before.
pub(crate) async fn failed_while_running() {
    let mut failed = FAILED.subscribe();
    if failed.wait_for(|failed| *failed).await.is_err() {
        // The sender lives as long as the process.
        std::future::pending::<()>().await;
    }
}

/// Whether a test has failed in this process.
pub(crate) fn has_failed() -> bool {
    *FAILED.borrow() || !power_up().failed().is_empty()
}

/// All that is known of the tests of this process.
pub(crate) fn json() -> Value {
    let conditional: Vec<Value> = CONDITIONAL
        .lock()
        .iter()
        .map(|(name, kept)| {
            json!({
                "name": name,
                "result": result(kept.failed == 0),
                "passed": kept.passed,
                "failed": kept.failed,
                "time": render::moment(kept.last),
            })
        })
        .collect();
    json!({
        "result": result(!has_failed()),
        "power_up": power_up().json(),
        "on_demand": ON_DEMAND.lock().as_ref().map(Report::json),
        "conditional": conditional,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn own_tests_pass_and_notice_a_turned_bit() {
        for test in OWN {
            assert_eq!(test.run(), Ok(()), "{}", test.name);
            assert!(test.run_control().is_err(), "{} sees nothing", test.name);
        }
    }

    #[test]
    fn a_report_names_what_failed() {
        let mut report = run();
        assert_eq!(report.failed(), Vec::<String>::new());
        report.tests.first_mut().unwrap().fault = Some("another answer".to_owned());
        assert_eq!(report.failed(), ["SHA-256: another answer"]);
        assert_eq!(report.json().get("result"), Some(&json!("failed")));
        let failed = vec!["SHA-256".to_owned()];
        assert!(matches!(report.access(), Access::SelfTested { failed: f, .. } if f == failed));
    }
}
