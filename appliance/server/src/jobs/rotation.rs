//! Closing logs: by their time and by their size.
//!
//! Each node looks after the views of its access log, the leader after those of the cluster log.
//! The rotation is a command like any other, so the points stand in the log; the files come after.

use super::ticks;
use crate::engine::{Engine, Refusal};
use domain::setting::rotation_id;
use domain::{AccessRecord, Actor, Ask, LogHead, Record, RotationCause, Stream};
use domain::{CLOSED_WAITING_MAX, DOORS_FORMAT, Hash, Time, View, codec};
use ledger::{Fault, SegmentsReader};
use std::sync::Arc;
use std::time::Duration;

/// How often it is asked whether a log is to be closed.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Records that are measured at a time, so that a long log does not keep its lock-free reader busy
/// without end after a start.
const MEASURED_MAX: u64 = 20_000;

/// Pause after a log could not be closed.
const FAILURE_PAUSE: Duration = Duration::from_secs(60);

const HOUR_MS: i64 = 3_600_000;

/// How much of each view has come since it was closed.
struct Meter {
    views: [View; 2],
    /// For each view: where its new records begin, and their bytes.
    open: [(u64, u64); 2],
    next: Option<u64>,
}

impl Meter {
    fn new(views: [View; 2]) -> Self {
        Self {
            views,
            open: [(0, 0); 2],
            next: None,
        }
    }

    /// Begins a view anew that was closed meanwhile.
    fn closed_at(&mut self, sizes: [u64; 2]) {
        for ((from, bytes), size) in self.open.iter_mut().zip(sizes) {
            if *from != size {
                (*from, *bytes) = (size, 0);
            }
        }
        // What was never measured begins with the one that was closed first.
        self.next
            .get_or_insert(sizes.into_iter().min().unwrap_or(0));
    }

    /// Reads on in the log.
    fn measure(
        &mut self,
        reader: &SegmentsReader,
        view_of: fn(&[u8]) -> Option<View>,
    ) -> Result<(), Fault> {
        let next = self.next.unwrap_or(0);
        let end = reader.size().min(next + MEASURED_MAX);
        for (n, record) in (next..end).zip(reader.range(next, end)) {
            let record = record?;
            let view = view_of(&record);
            for (own, (from, bytes)) in self.views.iter().zip(&mut self.open) {
                if n >= *from && view.is_none_or(|view| view == *own) {
                    *bytes += record.len() as u64;
                }
            }
            self.next = Some(n + 1);
        }
        Ok(())
    }
}

fn view_of(record: &[u8]) -> Option<View> {
    let record: Record = codec::from_slice(record).ok()?;
    Some(View::of(&record.event))
}

fn access_view_of(record: &[u8]) -> Option<View> {
    let record: AccessRecord = codec::from_slice(record).ok()?;
    Some(View::of_access(&record.access))
}

/// Milliseconds after which a log is closed; `None` when its time never comes.
fn period(rhythm: Option<&str>) -> Option<i64> {
    Some(match rhythm {
        Some("hourly") => HOUR_MS,
        Some("daily") => 24 * HOUR_MS,
        Some("weekly") => 7 * 24 * HOUR_MS,
        Some("monthly") => 30 * 24 * HOUR_MS,
        _ => return None,
    })
}

/// Runs until the node stops.
pub(crate) async fn run(engine: Arc<Engine>) {
    let mut meters = [
        Meter::new([View::System, View::Audit]),
        Meter::new([View::Activity, View::Client]),
    ];
    let mut ticks = ticks(LOOK_INTERVAL);
    let mut told = String::new();
    loop {
        ticks.tick().await;
        let can = engine.machine().state().format() >= DOORS_FORMAT;
        if !can || !engine.trusts_clock() {
            continue;
        }
        let looked = look(&engine, meters).await;
        let due = match looked {
            Ok((back, due)) => {
                meters = back;
                due
            }
            // The runtime ends.
            Err(_) => return,
        };
        let said = match due {
            Ok(due) => close(&engine, due).await,
            Err(fault) => Err(fault.to_string()),
        };
        match said {
            Ok(()) => told.clear(),
            Err(why) => {
                if why != told {
                    tracing::warn!("closing a log: {why}");
                    told = why;
                }
                // A refusal is a record: not one each second.
                tokio::time::sleep(FAILURE_PAUSE).await;
            }
        }
    }
}

type Due = Vec<(View, RotationCause)>;

/// Which logs are to be closed now.
async fn look(
    engine: &Arc<Engine>,
    mut meters: [Meter; 2],
) -> Result<([Meter; 2], Result<Due, Fault>), tokio::task::JoinError> {
    let engine = engine.clone();
    let work = move || {
        let due = due(&engine, &mut meters);
        (meters, due)
    };
    tokio::task::spawn_blocking(work).await
}

fn due(engine: &Engine, meters: &mut [Meter; 2]) -> Result<Due, Fault> {
    let leads = engine.cluster().status().leader == Some(engine.node().0);
    let mut due = Vec::new();
    for (of_cluster, meter) in [true, false].into_iter().zip(meters) {
        if of_cluster && !leads {
            // Who leads later measures from where the log was closed.
            meter.next = None;
            continue;
        }
        let (reader, view_of) = match of_cluster {
            true => (engine.machine().reader(), view_of as fn(&[u8]) -> _),
            false => (engine.access().reader(), access_view_of as fn(&[u8]) -> _),
        };
        let closed = meter.views.map(|view| closed_size(engine, view));
        if meter.next.is_none() {
            meter.open = [(u64::MAX, 0); 2];
        }
        meter.closed_at(closed);
        meter.measure(&reader, view_of)?;
        for (view, (from, bytes)) in meter.views.into_iter().zip(meter.open) {
            if let Some(cause) = cause(engine, &reader, view, from, bytes)? {
                due.push((view, cause));
            }
        }
    }
    Ok(due)
}

fn closed_size(engine: &Engine, view: View) -> u64 {
    let stream = Stream::of(view, engine.node());
    let state = engine.machine().state();
    state.last_closed(stream).map_or(0, |closed| closed.size)
}

fn cause(
    engine: &Engine,
    reader: &SegmentsReader,
    view: View,
    from: u64,
    bytes: u64,
) -> Result<Option<RotationCause>, Fault> {
    let (period, size_max) = {
        let state = engine.machine().state();
        // What cannot be closed now is in the next one; a refusal each second helps nobody.
        if state.closed_waiting(Stream::of(view, engine.node())) >= CLOSED_WAITING_MAX {
            return Ok(None);
        }
        let mebibytes = state.cluster_setting("log.size");
        let mebibytes: u64 = mebibytes.and_then(|n| n.parse().ok()).unwrap_or(1);
        let rhythm = state.cluster_setting(rotation_id(view));
        (period(rhythm), mebibytes << 20)
    };
    if bytes >= size_max {
        return Ok(Some(RotationCause::Size));
    }
    let Some(period) = period.filter(|_| from < reader.size()) else {
        return Ok(None);
    };
    let first = reader.read(from)?;
    let begun = match view.is_of_cluster() {
        true => codec::from_slice::<Record>(&first).map(|record| record.time),
        false => codec::from_slice::<AccessRecord>(&first).map(|record| record.time),
    };
    let Ok(Time(begun)) = begun else {
        return Ok(None);
    };
    let is_due = engine.now().0 >= begun.saturating_add(period);
    Ok(is_due.then_some(RotationCause::Schedule))
}

async fn close(engine: &Engine, due: Due) -> Result<(), String> {
    let node = Actor::Node(engine.node());
    for (view, cause) in due {
        let closed = rotate(engine, &node, view, cause).await;
        closed.map_err(|e| format!("{}: {e}", view.name()))?;
    }
    Ok(())
}

/// Closes a log of this node now.
pub(crate) async fn rotate(
    engine: &Engine,
    actor: &Actor,
    log: View,
    cause: RotationCause,
) -> Result<(), Refusal> {
    let head = match log.is_of_cluster() {
        true => None,
        false => Some(access_head(engine).map_err(|e| crate::engine::Fault::Vault(e.to_string()))?),
    };
    let ask = Ask::RotateLog {
        node: engine.node(),
        log,
        head,
        cause,
    };
    engine.change(actor, ask, None).await.map(drop)
}

/// Head of the access log, on the disk.
fn access_head(engine: &Engine) -> Result<LogHead, Fault> {
    engine.access().with_ledger(|ledger| {
        ledger.sync()?;
        Ok(LogHead {
            size: ledger.size(),
            root: Hash::from_bytes(ledger.root().0),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rhythm_of_the_settings_has_its_period() {
        for view in View::ALL {
            let setting = domain::setting::find(rotation_id(view)).expect("a row of the table");
            let domain::setting::Kind::Choice(words) = setting.kind else {
                panic!("{} is no choice", setting.id);
            };
            for word in words {
                assert_eq!(period(Some(word)).is_none(), *word == "never", "{word}");
            }
        }
    }
}
