//! `strongroom verify`: everything that can be checked of an export, offline.
//!
//! Beyond hashes, signatures and the tree (`ledger::bundle`): the readable form must be what the
//! recorded bytes say, and the two logs must make sense together: nothing is released after it was
//! destroyed, and nothing before it was created.

use super::args::Verify;
use crate::notary::{ACCESS_LOG, CLUSTER_LOG};
use crate::render;
use anyhow::Context;
use domain::{Access, AccessRecord, Event, Record, Uid, codec};
use ledger::{Report, Trust, VerifierState, VerifyOptions, verify_bundle};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::process::ExitCode;

/// Verifies and prints a summary, or the first thing that is wrong.
pub(super) fn run(options: &Verify) -> anyhow::Result<ExitCode> {
    let state = match &options.state {
        Some(path) if path.exists() => {
            let text = std::fs::read_to_string(path);
            let text = text.with_context(|| format!("reading {}", path.display()))?;
            let state = VerifierState::from_json(&text);
            Some(state.with_context(|| format!("state file {}", path.display()))?)
        }
        _ => None,
    };
    let trusted = match &options.trust {
        Some(path) => {
            let text = std::fs::read_to_string(path);
            Some(text.with_context(|| format!("reading {}", path.display()))?)
        }
        None => None,
    };
    let mut lives = Lives::default();
    let mut inspect = |log: &str, n: u64, bytes: &[u8], _: &Value| lives.see(log, n, bytes);
    let verified = verify_bundle(
        &options.bundle,
        VerifyOptions {
            state,
            trusted,
            render: Some(&rendered),
            inspect: Some(&mut inspect),
            ..VerifyOptions::default()
        },
    );
    let report = match verified {
        Ok(report) => report,
        Err(finding) => {
            if options.json {
                let text = json!({ "verified": false, "finding": finding.to_string() });
                writeln!(std::io::stdout(), "{text}")?;
            }
            eprintln!("NOT VERIFIED: {finding}");
            return Ok(ExitCode::FAILURE);
        }
    };
    if let Some(path) = &options.state {
        let text = report.state.to_json();
        crate::layout::write_file(path, text.as_bytes(), 0o644)
            .with_context(|| format!("writing {}", path.display()))?;
    }
    let mut out = std::io::stdout().lock();
    if options.json {
        writeln!(out, "{}", as_json(&report))?;
    } else {
        write!(out, "{}", as_text(&report, &lives))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn rendered(log: &str, bytes: &[u8]) -> Result<Value, String> {
    if log == ACCESS_LOG {
        render::access(bytes)
    } else {
        render::record(bytes)
    }
}

/// The life of every object, as far as it bears on what was released.
#[derive(Default)]
struct Lives {
    /// Record numbers of creation and destruction in the cluster log.
    lives: BTreeMap<Uid, (u64, Option<u64>)>,
    /// Releases that refer to records not seen yet: the access log may come first.
    released: Vec<(u64, Uid, u64)>,
    cluster_size: u64,
    releases: u64,
}

impl Lives {
    fn see(&mut self, log: &str, n: u64, bytes: &[u8]) -> Result<(), String> {
        match log {
            CLUSTER_LOG => self.see_cluster(n, bytes),
            ACCESS_LOG => self.see_access(n, bytes),
            _ => Ok(()),
        }
    }

    fn see_cluster(&mut self, n: u64, bytes: &[u8]) -> Result<(), String> {
        let record: Record = codec::from_slice(bytes).map_err(|e| e.to_string())?;
        self.cluster_size = n + 1;
        match record.event {
            Event::ObjectCreated { uid, .. } => match self.lives.insert(uid, (n, None)) {
                None => {}
                Some(_) => return Err(format!("object {uid} is created a second time")),
            },
            Event::ObjectDestroyed { uid, .. } => match self.lives.get_mut(&uid) {
                Some((_, destroyed @ None)) => *destroyed = Some(n),
                Some(_) => return Err(format!("object {uid} is destroyed a second time")),
                None => return Err(format!("object {uid} is destroyed and was never created")),
            },
            _ => {}
        }
        for (at, uid, seen) in std::mem::take(&mut self.released) {
            self.judge(at, uid, seen)?;
        }
        Ok(())
    }

    fn see_access(&mut self, n: u64, bytes: &[u8]) -> Result<(), String> {
        let record: AccessRecord = codec::from_slice(bytes).map_err(|e| e.to_string())?;
        if let Access::Released { uid, .. } = record.access {
            self.releases += 1;
            self.judge(n, uid, record.seen)?;
        }
        Ok(())
    }

    /// A release is sound if the object lived at the size of the cluster log it was decided on.
    fn judge(&mut self, at: u64, uid: Uid, seen: u64) -> Result<(), String> {
        if seen > self.cluster_size {
            self.released.push((at, uid, seen));
            return Ok(());
        }
        match self.lives.get(&uid) {
            Some((created, _)) if *created >= seen => Err(format!(
                "access record {at} releases {uid} before it was created (record {created})"
            )),
            Some((_, Some(destroyed))) if *destroyed < seen => Err(format!(
                "access record {at} releases {uid} after it was destroyed (record {destroyed})"
            )),
            Some(_) => Ok(()),
            None => Err(format!(
                "access record {at} releases {uid}, which was never created"
            )),
        }
    }
}

fn as_json(report: &Report) -> Value {
    let logs = report.logs.iter().map(|log| {
        json!({
            "log": log.name,
            "origin": log.origin,
            "size": log.size,
            "view": log.range.as_ref().map(|(view, _)| view),
            "from": log.range.as_ref().map_or(0, |(_, from)| *from),
            "root": log.root.to_string(),
            "signed_by": log.signed_by,
            "continues_state": log.continues_state,
        })
    });
    json!({
        "verified": true,
        "time": report.time,
        "principal": report.principal,
        "signer": report.signer,
        "trust": format!("{:?}", report.trust),
        "logs": logs.collect::<Vec<_>>(),
    })
}

fn as_text(report: &Report, lives: &Lives) -> String {
    use std::fmt::Write;
    let mut text = format!(
        "VERIFIED: export of {} by {}\n",
        report.time, report.principal
    );
    for log in &report.logs {
        // Writing into a String cannot fail.
        let _ = writeln!(
            text,
            "  {:<8} {} records, root {}",
            log.name, log.size, log.root
        );
        if let Some((view, from)) = &log.range {
            let _ = writeln!(text, "           closed log {view}, from record {from} on");
        }
        let _ = writeln!(
            text,
            "           {} (signed by {})",
            log.origin,
            log.signed_by.join(", ")
        );
        if log.continues_state {
            let _ = writeln!(text, "           continues what was verified before");
        }
    }
    let _ = writeln!(
        text,
        "  {} objects created, {} releases, none outside the life of its object",
        lives.lives.len(),
        lives.releases
    );
    let _ = writeln!(text, "  signing key {}", report.signer);
    match report.trust {
        Trust::Given | Trust::State => {}
        Trust::Bundle => text.push_str(
            "  The signing key was taken from the bundle itself: compare it with the one that the \
             appliance shows,\n  or give --trust or --state.\n",
        ),
    }
    text
}
