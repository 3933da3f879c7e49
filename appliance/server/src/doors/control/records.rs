//! Records of both logs for people: pages from the newest back, and one record with the proof that
//! it stands in the log.

use super::{Answer, ControlDoor, set};
use crate::notary::{ACCESS_LOG, CLUSTER_LOG};
use crate::render;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::View;
use ledger::{Checkpoint, SegmentsReader};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Rows of one page at most.
const ROWS_MAX: usize = 200;

/// Time one search may take before it gives what it has, and where to go on.
const SEARCH_TIME: Duration = Duration::from_millis(30);

/// What can be asked about records.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "records", rename_all = "kebab-case")]
#[expect(
    missing_docs,
    reason = "each variant is an action of the pages, described there"
)]
pub enum RecordsRequest {
    /// Records of a view, newest first, of which the line for people holds a text.
    Page {
        view: Option<String>,
        text: Option<String>,
        /// `next` of the page before: where to go on in each log.
        before: Option<(u64, u64)>,
        limit: u64,
    },
    /// One record: `log` is `cluster` or `access`.
    One { log: String, n: u64 },
}

impl ControlDoor {
    pub(super) async fn records(&self, request: RecordsRequest) -> Answer {
        match request {
            RecordsRequest::Page {
                view,
                text,
                before,
                limit,
            } => {
                let view = view.filter(|name| !name.is_empty());
                let view = view.map(|name| super::logs::view(&name)).transpose()?;
                let text = text.unwrap_or_default().to_lowercase();
                let limit = usize::try_from(limit)
                    .unwrap_or(ROWS_MAX)
                    .clamp(1, ROWS_MAX);
                let mut backwards = self.backwards(before);
                let work = move || backwards.page(view, &text, limit);
                let page = tokio::task::spawn_blocking(work).await;
                page.map_err(|e| e.to_string())?
            }
            RecordsRequest::One { log, n } => self.record(&log, n).await,
        }
    }

    fn backwards(&self, before: Option<(u64, u64)>) -> Backwards {
        let cluster = self.engine.machine().reader();
        let access = self.engine.access().reader();
        let (at_cluster, at_access) = before.unwrap_or((u64::MAX, u64::MAX));
        let log = |name, reader: SegmentsReader, at: u64, render| Log {
            name,
            next: at.min(reader.size()),
            reader,
            render,
            head: None,
        };
        Backwards {
            cluster: log(CLUSTER_LOG, cluster, at_cluster, render::record),
            access: log(ACCESS_LOG, access, at_access, render::access),
        }
    }

    /// A record, its leaf, and the way from it to the root of the newest signed head.
    async fn record(&self, log: &str, n: u64) -> Answer {
        let (reader, render): (_, Render) = match log {
            CLUSTER_LOG => (self.engine.machine().reader(), render::record),
            ACCESS_LOG => (self.engine.access().reader(), render::access),
            _ => {
                return Err(format!(
                    "there is no log {log:?}; there are cluster and access"
                ));
            }
        };
        let size = reader.size();
        if n >= size {
            return Err(format!("the {log} log has {size} records, counted from 0"));
        }
        let bytes = reader.read(n).map_err(|e| e.to_string())?;
        let mut shown = render(&bytes)?;
        let note = self.signed_head(log, n).await?;
        let head = Checkpoint::parse_unverified(&note).map_err(|e| e.to_string())?;
        let proof = match log {
            CLUSTER_LOG => self.engine.machine().ledger().inclusion(n, head.size),
            _ => self
                .engine
                .access()
                .with_ledger(|l| l.inclusion(n, head.size)),
        };
        let proof = proof.map_err(|e| e.to_string())?;
        let leaf = ledger::leaf_hash(&bytes);
        ledger::verify_inclusion(&leaf, n, head.size, &proof, &head.root).map_err(|e| {
            format!("record {n} of the {log} log does not lead to the signed root ({e})")
        })?;
        let hashes: Vec<String> = proof.iter().map(ToString::to_string).collect();
        for (field, value) in [
            ("log", json!(log)),
            ("n", json!(n)),
            ("bytes", json!(STANDARD.encode(&bytes))),
            ("leaf", json!(leaf.to_string())),
            ("proof", json!(hashes)),
            ("size", json!(head.size)),
            ("root", json!(head.root.to_string())),
            ("note", json!(note)),
        ] {
            set(&mut shown, field, value);
        }
        Ok(shown)
    }

    /// The newest signed head that covers a record. One that is younger than the last signature has
    /// the head signed now.
    async fn signed_head(&self, log: &str, n: u64) -> Result<String, String> {
        let agreed = self.cosigner.last().filter(|_| log == CLUSTER_LOG);
        if let Some(agreed) = agreed.filter(|agreed| agreed.checkpoint.size > n) {
            return Ok(agreed.note);
        }
        let (engine, notary) = (self.engine.clone(), self.notary.clone());
        let is_cluster = log == CLUSTER_LOG;
        let sign = move || match is_cluster {
            true => notary.note_cluster(engine.machine()).map(|(_, note)| note),
            false => notary.note_access(engine.access()).map(|(_, note)| note),
        };
        let signed = tokio::task::spawn_blocking(sign).await;
        signed
            .map_err(|e| e.to_string())?
            .map_err(|e| e.to_string())
    }
}

type Render = fn(&[u8]) -> Result<Value, String>;

/// One log, read from its end.
struct Log {
    name: &'static str,
    reader: SegmentsReader,
    /// Records not yet read.
    next: u64,
    render: Render,
    /// The one that was read last and not taken yet.
    head: Option<Value>,
}

impl Log {
    /// Time of the next record; it is read when it was not.
    fn time(&mut self) -> Result<Option<&str>, String> {
        if self.head.is_none() && self.next > 0 {
            let bytes = self.reader.read(self.next - 1).map_err(|e| e.to_string())?;
            let mut shown = (self.render)(&bytes)?;
            set(&mut shown, "n", json!(self.next - 1));
            set(&mut shown, "log", json!(self.name));
            self.head = Some(shown);
        }
        Ok(self.head.as_ref().map(|shown| field(shown, "time")))
    }

    fn take(&mut self) -> Option<Value> {
        self.next = self.next.saturating_sub(1);
        self.head.take()
    }
}

fn field<'v>(shown: &'v Value, name: &str) -> &'v str {
    shown.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// Both logs, merged by time, from the newest record back.
struct Backwards {
    cluster: Log,
    access: Log,
}

impl Backwards {
    fn page(&mut self, view: Option<View>, text: &str, limit: usize) -> Answer {
        let begun = Instant::now();
        let mut rows = Vec::new();
        let mut is_over = false;
        while rows.len() < limit {
            if begun.elapsed() >= SEARCH_TIME {
                is_over = true;
                break;
            }
            let Some(shown) = self.next()? else { break };
            let of_view = view.is_none_or(|view| field(&shown, "view") == view.name());
            if of_view && field(&shown, "summary").to_lowercase().contains(text) {
                rows.push(shown);
            }
        }
        let more = self.cluster.next > 0 || self.access.next > 0;
        let next = more.then_some((self.cluster.next, self.access.next));
        Ok(json!({ "rows": rows, "next": next, "unfinished": is_over && more }))
    }

    /// The later of both heads.
    fn next(&mut self) -> Result<Option<Value>, String> {
        let cluster = self.cluster.time()?.map(str::to_owned);
        let access = self.access.time()?;
        let is_access = match (cluster, access) {
            (Some(cluster), Some(access)) => cluster.as_str() < access,
            (cluster, _) => cluster.is_none(),
        };
        let log = if is_access {
            &mut self.access
        } else {
            &mut self.cluster
        };
        Ok(log.take())
    }
}
