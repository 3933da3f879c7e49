//! Figures of a running node: health for load balancers, counters for Prometheus.

use crate::counters::Counters;
use crate::engine::Engine;
use crate::transfer::alarm;
use domain::LifecycleState;
use serde::Serialize;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};

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
    let expelled = engine.contact().is_expelled();
    if expelled {
        faults.push(crate::engine::Fault::Expelled.to_string());
    }
    let stopped = engine.cluster().status().stopped;
    if let Some(reason) = &stopped {
        faults.push(format!("no changes: {reason}"));
    }
    faults.extend(engine.soundness().faults());
    faults.extend(alarm::alarms(engine));
    let room = engine.room().for_new_objects();
    if let Err(e) = &room {
        faults.push(e.to_string());
    }
    Health {
        serving: access.is_none() && !expelled,
        writing: stopped.is_none() && room.is_ok() && !expelled,
        faults,
    }
}

/// The figures in the text format of Prometheus.
pub fn prometheus(engine: &Engine) -> String {
    let mut page = Page(String::new());
    page.health(engine);
    page.content(engine);
    page.door(engine.counters());
    page.transfers(engine);
    page.0
}

/// A page of figures in the making.
struct Page(String);

impl Page {
    fn figure<'v>(
        &mut self,
        name: &str,
        kind: &str,
        help: &str,
        values: impl IntoIterator<Item = (&'v str, u64)>,
    ) {
        // Writing into a String cannot fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (labels, value) in values {
            let _ = writeln!(self.0, "{name}{labels} {value}");
        }
    }

    fn gauge(&mut self, name: &str, help: &str, value: u64) {
        self.figure(name, "gauge", help, [("", value)]);
    }

    fn health(&mut self, engine: &Engine) {
        let health = health(engine);
        let serving = "Whether existing keys can be fetched.";
        self.gauge("strongroom_serving", serving, u64::from(health.serving));
        let writing = "Whether changes can be made.";
        self.gauge("strongroom_writing", writing, u64::from(health.writing));
        let (free, kept) = engine.room().reading();
        self.gauge(
            "strongroom_disk_free_bytes",
            "Free on the data partition.",
            free,
        );
        self.gauge(
            "strongroom_disk_reserve_bytes",
            "Kept back from new objects.",
            kept,
        );
    }

    fn content(&mut self, engine: &Engine) {
        let states = [
            ("{state=\"pre-active\"}", LifecycleState::PreActive),
            ("{state=\"active\"}", LifecycleState::Active),
            ("{state=\"deactivated\"}", LifecycleState::Deactivated),
            ("{state=\"compromised\"}", LifecycleState::Compromised),
            ("{state=\"destroyed\"}", LifecycleState::Destroyed),
            (
                "{state=\"destroyed-compromised\"}",
                LifecycleState::DestroyedCompromised,
            ),
        ];
        let counts = {
            let state = engine.machine().state();
            states.map(|(label, of)| (label, state.count(of)))
        };
        self.figure(
            "strongroom_objects",
            "gauge",
            "Managed objects by state.",
            counts,
        );
        let records = [
            ("{log=\"cluster\"}", engine.seen()),
            ("{log=\"access\"}", engine.access().head().0),
        ];
        self.figure(
            "strongroom_log_records",
            "counter",
            "Records in each log.",
            records,
        );
        let reflected = "Cluster log records reflected in the search indexes.";
        self.gauge(
            "strongroom_projection_records",
            reflected,
            engine.projections().reflected(),
        );
    }

    /// Nothing while there are no destinations.
    fn transfers(&mut self, engine: &Engine) {
        let rows = alarm::figures(engine);
        let label = |name: &domain::Name| format!("{{destination=\"{name}\"}}");
        let rows: Vec<_> = rows
            .iter()
            .map(|(name, waiting, fails)| (label(name), *waiting, *fails))
            .collect();
        if rows.is_empty() {
            return;
        }
        let waiting = rows
            .iter()
            .map(|(label, waiting, _)| (label.as_str(), *waiting));
        let help = "Closed logs that a transfer destination lacks.";
        self.figure("strongroom_log_transfer_waiting", "gauge", help, waiting);
        let failing = rows
            .iter()
            .map(|(label, _, fails)| (label.as_str(), u64::from(*fails)));
        let help = "Whether this node cannot deliver there now.";
        self.figure("strongroom_log_transfer_failing", "gauge", help, failing);
    }

    fn door(&mut self, counters: &Counters) {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let begun = [("", load(&counters.sessions))];
        self.figure(
            "strongroom_kmip_sessions_total",
            "counter",
            "KMIP sessions begun.",
            begun,
        );
        self.gauge(
            "strongroom_kmip_sessions",
            "KMIP sessions open now.",
            load(&counters.open),
        );
        let items = [
            ("{outcome=\"done\"}", load(&counters.done)),
            ("{outcome=\"refused\"}", load(&counters.refused)),
        ];
        let help = "KMIP batch items by outcome.";
        self.figure("strongroom_kmip_items_total", "counter", help, items);
        let rejected = [("", load(&counters.rejected))];
        let help = "TLS handshakes that came to nothing.";
        self.figure("strongroom_tls_rejected_total", "counter", help, rejected);
    }
}
