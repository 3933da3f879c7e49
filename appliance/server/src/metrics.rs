//! Figures of a running node: health for load balancers, counters for Prometheus.

use crate::engine::Engine;
use domain::LifecycleState;
use serde::Serialize;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counters of the KMIP door.
#[derive(Debug, Default)]
pub struct Counters {
    /// Sessions begun.
    pub sessions: AtomicU64,
    /// Sessions open now.
    pub open: AtomicU64,
    /// Batch items carried out.
    pub done: AtomicU64,
    /// Batch items refused or failed.
    pub refused: AtomicU64,
    /// Handshakes that came to nothing.
    pub rejected: AtomicU64,
}

impl Counters {
    /// Counts one.
    pub fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// Counts one more of something that is open, until it is dropped.
#[derive(Debug)]
pub struct Open<'a>(&'a AtomicU64);

impl<'a> Open<'a> {
    /// One more.
    pub fn count(gauge: &'a AtomicU64) -> Self {
        Counters::add(gauge);
        Self(gauge)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whether the node does its work.
#[derive(Debug, Serialize)]
pub struct Health {
    /// Existing keys can be fetched.
    pub serving: bool,
    /// Changes can be made.
    pub writing: bool,
    /// What is wrong, if something is.
    pub faults: Vec<String>,
}

/// Looks whether the node does its work.
pub fn health(engine: &Engine) -> Health {
    let mut faults = Vec::new();
    let access = engine.access().fault();
    if let Some(fault) = &access {
        faults.push(format!(
            "access log: {fault}; no key is released without its record"
        ));
    }
    let stopped = engine.cluster().status().stopped;
    if let Some(reason) = &stopped {
        faults.push(format!("no changes: {reason}"));
    }
    let room = engine.room().for_new_objects();
    if let Err(e) = &room {
        faults.push(e.to_string());
    }
    Health {
        serving: access.is_none(),
        writing: stopped.is_none() && room.is_ok(),
        faults,
    }
}

/// The figures in the text format of Prometheus.
pub fn prometheus(engine: &Engine) -> String {
    let mut out = String::new();
    let mut figure = |name: &str, kind: &str, help: &str, values: &[(String, u64)]| {
        // Writing into a String cannot fail.
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (labels, value) in values {
            let _ = writeln!(out, "{name}{labels} {value}");
        }
    };
    let one = |value: u64| vec![(String::new(), value)];
    let health = health(engine);
    let up = "Whether existing keys can be fetched.";
    figure(
        "strongroom_serving",
        "gauge",
        up,
        &one(u64::from(health.serving)),
    );
    let up = "Whether changes can be made.";
    figure(
        "strongroom_writing",
        "gauge",
        up,
        &one(u64::from(health.writing)),
    );
    let objects: Vec<_> = {
        let state = engine.machine().state();
        let states = [
            LifecycleState::PreActive,
            LifecycleState::Active,
            LifecycleState::Deactivated,
            LifecycleState::Compromised,
            LifecycleState::Destroyed,
            LifecycleState::DestroyedCompromised,
        ];
        states
            .map(|s| (format!("{{state=\"{s}\"}}"), state.count(s)))
            .into()
    };
    figure(
        "strongroom_objects",
        "gauge",
        "Managed objects by state.",
        &objects,
    );
    let logs = [
        ("{log=\"cluster\"}".to_owned(), engine.seen()),
        ("{log=\"access\"}".to_owned(), engine.access().head().0),
    ];
    figure(
        "strongroom_log_records",
        "counter",
        "Records in each log.",
        &logs,
    );
    let counters = engine.counters();
    let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let sessions = "KMIP sessions begun.";
    figure(
        "strongroom_kmip_sessions_total",
        "counter",
        sessions,
        &one(load(&counters.sessions)),
    );
    let open = "KMIP sessions open now.";
    figure(
        "strongroom_kmip_sessions",
        "gauge",
        open,
        &one(load(&counters.open)),
    );
    let items = [
        ("{outcome=\"done\"}".to_owned(), load(&counters.done)),
        ("{outcome=\"refused\"}".to_owned(), load(&counters.refused)),
    ];
    figure(
        "strongroom_kmip_items_total",
        "counter",
        "KMIP batch items by outcome.",
        &items,
    );
    let rejected = "TLS handshakes that came to nothing.";
    figure(
        "strongroom_tls_rejected_total",
        "counter",
        rejected,
        &one(load(&counters.rejected)),
    );
    let (free, kept) = engine.room().reading();
    figure(
        "strongroom_disk_free_bytes",
        "gauge",
        "Free on the data partition.",
        &one(free),
    );
    let help = "Kept back from new objects.";
    figure("strongroom_disk_reserve_bytes", "gauge", help, &one(kept));
    let reflected = "Cluster log records reflected in the search indexes.";
    let size = engine.projections().reflected();
    figure(
        "strongroom_projection_records",
        "gauge",
        reflected,
        &one(size),
    );
    out
}
