//! Both logs as they stand and as they go on, merged by time.

use super::{Answer, ControlDoor, Line, set};
use crate::render;
use domain::View;
use ledger::SegmentsReader;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::time::Duration;
use tokio::sync::mpsc;

/// How often a followed log is looked at.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(200);

impl ControlDoor {
    pub(super) async fn log_show(
        &self,
        view: Option<&str>,
        last: Option<u64>,
        follow: bool,
        lines: &mpsc::Sender<Line>,
    ) -> Answer {
        let view = match view {
            None => None,
            Some(name) => Some(self::view(name)?),
        };
        let cluster = self.engine.machine().reader();
        let access = self.engine.access().reader();
        let mut follower = Follower {
            cluster: Tail::new(cluster, last),
            access: Tail::new(access, last),
            view,
        };
        loop {
            follower.send_new(lines).await?;
            if !follow {
                return Ok(json!({}));
            }
            tokio::time::sleep(FOLLOW_INTERVAL).await;
        }
    }
}

/// The view of a name.
///
/// # Errors
/// There is none.
pub(super) fn view(name: &str) -> Result<View, String> {
    View::parse(name).ok_or_else(|| {
        format!("there is no log {name:?}; there are system, audit, activity and client")
    })
}

/// The new end of one log.
struct Tail {
    reader: SegmentsReader,
    next: u64,
}

impl Tail {
    fn new(reader: SegmentsReader, last: Option<u64>) -> Self {
        let next = last.map_or(0, |last| reader.size().saturating_sub(last));
        Self { reader, next }
    }

    /// The records that came since the last look, rendered, those of a view only.
    fn take(
        &mut self,
        view: Option<View>,
        render: fn(&[u8]) -> Result<Value, String>,
        until: u64,
    ) -> Result<Vec<(String, Value)>, String> {
        let mut lines = Vec::new();
        while self.next < until {
            let bytes = self.reader.read(self.next).map_err(|e| e.to_string())?;
            let mut shown = render(&bytes)?;
            set(&mut shown, "n", json!(self.next));
            self.next += 1;
            let of_view = text(&shown, "view");
            if view.is_none_or(|view| view.name() == of_view) {
                lines.push((text(&shown, "time").to_owned(), shown));
            }
        }
        Ok(lines)
    }
}

/// Both logs, merged by time.
struct Follower {
    cluster: Tail,
    access: Tail,
    view: Option<View>,
}

impl Follower {
    async fn send_new(&mut self, lines: &mpsc::Sender<Line>) -> Result<(), String> {
        let (cluster, access) = (self.cluster.reader.size(), self.access.reader.size());
        let mut of_cluster = self
            .cluster
            .take(self.view, render::record, cluster)?
            .into();
        let mut of_access = self.access.take(self.view, render::access, access)?.into();
        while let Some(record) = earlier(&mut of_cluster, &mut of_access) {
            lines
                .send(Line::Item(record))
                .await
                .map_err(|e| e.to_string())?;
        }
        Ok(())
    }
}

fn text<'v>(shown: &'v Value, field: &str) -> &'v str {
    shown.get(field).and_then(Value::as_str).unwrap_or_default()
}

type Shown = VecDeque<(String, Value)>;

/// Takes the earlier of two heads; each log keeps its own order.
fn earlier(one: &mut Shown, other: &mut Shown) -> Option<Value> {
    let from = match (one.front(), other.front()) {
        (Some((a, _)), Some((b, _))) if b < a => other,
        (Some(_), _) => one,
        (None, _) => other,
    };
    from.pop_front().map(|(_, record)| record)
}
