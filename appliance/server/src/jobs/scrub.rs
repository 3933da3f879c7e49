//! Scrubs: once an hour all members say the digest of their state at the same record, and each one
//! reads its own logs and sealed bytes again (DESIGN §2, law 6, law 9).
//!
//! What is damaged in the sealed store is put right at once from another member. A log is put right
//! only before a node takes part: a node that finds one of its segments damaged begins anew, and
//! `member::mend` repairs it then. A node alone has nobody to ask: it goes on serving what it can
//! and says what is wrong.

use crate::engine::{Engine, Refusal};
use crate::jobs::repairs::Repairs;
use crate::layout::{Layout, write_file};
use crate::machine::Begun;
use crate::member::colleagues::Colleagues;
use crate::member::store_care::{self, CareFault};
use crate::soundness::Findings;
use domain::{Actor, Ask, Denial, Hash, Time};
use ledger::{Fault, Frontier, SegmentsReader, leaf_hash};
use std::sync::Arc;
use std::time::Duration;
use vault::store::SealedStore;

/// Between two scrubs (issue 3: at least hourly).
const SCRUB_INTERVAL_MS: i64 = 3_600 * 1_000;

/// How often it is looked whether one is due.
const DUE_LOOK_INTERVAL: Duration = Duration::from_secs(10);

/// Pause between tries to say a digest.
const TRY_INTERVAL: Duration = Duration::from_secs(1);

/// Tries to say a digest. A scrub that was overtaken by the next one is over anyway.
const TRIES_MAX: u32 = 600;

/// Bytes of a log that are read before others get the disk…
const BYTES_PER_STEP: usize = 4 << 20;

/// …for this long: a scrub reads at most some 200 MB/s.
const STEP_PAUSE: Duration = Duration::from_millis(20);

/// Begins a scrub when the last one is an hour old; the leader does, so that one node does.
pub(super) async fn begin(engine: Arc<Engine>) {
    let me = Actor::Node(engine.node());
    let started = engine.now();
    let mut ticks = super::ticks(DUE_LOOK_INTERVAL);
    loop {
        ticks.tick().await;
        let leads = engine.cluster().status().leader == Some(engine.node().0);
        let last = {
            let state = engine.machine().state();
            state.scrub().map_or(started, |scrub| scrub.time)
        };
        let Time(now) = engine.now();
        if !leads || now.saturating_sub(last.0) < SCRUB_INTERVAL_MS {
            continue;
        }
        if let Err(e) = engine.change(&me, Ask::BeginScrub, None).await {
            tracing::debug!("scrub: {e}");
        }
    }
}

/// Does this node's part of every scrub. What was repaired before the start is looked at first.
pub(super) async fn run(
    engine: Arc<Engine>,
    colleagues: Colleagues,
    repairs: Repairs,
    layout: Layout,
) {
    if !repairs.is_empty() {
        settle(&engine, &layout).await;
        look(&engine, &colleagues, &repairs, &layout, None).await;
    }
    settle(&engine, &layout).await;
    let mut progress = engine.machine().progress();
    loop {
        if let Some(begun) = engine.machine().take_scrub() {
            let number = begun.number;
            report(&engine, begun).await;
            look(&engine, &colleagues, &repairs, &layout, Some(number)).await;
        }
        if progress.changed().await.is_err() {
            return;
        }
    }
}

/// Waits until the end of a log that was replaced is surely complete: every entry that the sealed
/// store had seen is carried out again and durable.
async fn settle(engine: &Arc<Engine>, layout: &Layout) {
    let seen = engine.machine().store().durable_index();
    while layout.again().exists() {
        if engine.machine().entry() >= seen && make_durable(engine).await {
            drop(std::fs::remove_file(layout.again()));
        }
        tokio::time::sleep(TRY_INTERVAL).await;
    }
}

/// Makes what was repaired durable; false when that failed.
async fn make_durable(engine: &Arc<Engine>) -> bool {
    let machine = engine.machine().clone();
    let work = move || cluster::Machine::make_durable(&*machine);
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(_)) => true,
        Ok(Err(e)) => {
            tracing::error!("what was repaired is not durable yet: {e}");
            false
        }
        Err(_) => false,
    }
}

/// Reads everything of this node's own again, and has put right what can be.
pub(super) async fn look(
    engine: &Arc<Engine>,
    colleagues: &Colleagues,
    repairs: &Repairs,
    layout: &Layout,
    scrub: Option<u64>,
) {
    let mut findings = Findings {
        scrub,
        ..Findings::default()
    };
    findings.records += cluster_log(engine, colleagues).await;
    findings.records += access_log(engine).await;
    match store_care::look(engine, colleagues).await {
        Ok(cared) => {
            findings.objects = cared.sound;
            findings.repaired = cared.repaired;
            if cared.repaired > 0 {
                make_durable(engine).await;
            }
            repairs.add("sealed store", cared.repaired);
            let fault = (!cared.lost.is_empty()).then(|| cared.complaint());
            engine.soundness().set_fault("sealed store", fault);
            if cared.strangers > 0 {
                let why = format!("{} entries of objects that never were", cared.strangers);
                fetch_store_anew(engine, colleagues, layout, &why);
            }
        }
        Err(CareFault::Store(e)) if SealedStore::is_damaged(&e) => {
            fetch_store_anew(engine, colleagues, layout, &e.to_string());
        }
        Err(e) => engine
            .soundness()
            .set_fault("sealed store", Some(e.to_string())),
    }
    tracing::info!(
        "looked through the node's own data: {} records and {} objects are right, {} repaired",
        findings.records,
        findings.objects,
        findings.repaired
    );
    engine.soundness().found(findings);
}

/// The file itself is in doubt: the node begins anew and fetches it whole.
fn fetch_store_anew(engine: &Engine, colleagues: &Colleagues, layout: &Layout, why: &str) {
    let soundness = engine.soundness();
    if colleagues.others().is_empty() {
        let text = format!("{why}; this cluster has no other node to fetch it from");
        return soundness.set_fault("sealed store", Some(text));
    }
    let marked = write_file(&layout.store_is_doubtful(), why.as_bytes(), 0o600);
    let text = match marked {
        Ok(()) => format!("{why}; the node begins anew to fetch it from the other members"),
        Err(e) => format!("{why}; and {}: {e}", layout.store_is_doubtful().display()),
    };
    soundness.set_fault("sealed store", Some(text));
    soundness.begin_anew();
}

/// Says the digests of this node, until the log has taken them.
async fn report(engine: &Arc<Engine>, begun: Begun) {
    let node = engine.node();
    let holds_keys = {
        let state = engine.machine().state();
        state.node(node).is_some_and(|me| me.role.holds_keys())
    };
    let view = begun.store.filter(|_| holds_keys);
    let digest = tokio::task::spawn_blocking(move || view.map(|view| view.digest()).transpose());
    let store = match digest.await {
        Ok(Ok(digest)) => digest.map(Hash::from_bytes),
        Ok(Err(e)) => {
            tracing::error!("scrub: the sealed store: {e}");
            None
        }
        Err(_) => return,
    };
    let ask = Ask::ReportDigest {
        node,
        scrub: begun.number,
        state: begun.state,
        store,
    };
    for _ in 0..TRIES_MAX {
        match engine.change(&Actor::Node(node), ask.clone(), None).await {
            Ok(_) => return compare_stores(engine, begun.number),
            Err(Refusal::Denied {
                denial: Denial::OutOfOrder { .. },
                ..
            }) => return,
            Err(e) => tracing::debug!("scrub {}: {e}", begun.number),
        }
        tokio::time::sleep(TRY_INTERVAL).await;
    }
}

/// Stores that differ are no disagreement about what happened; each node looks through its own.
fn compare_stores(engine: &Engine, number: u64) {
    let state = engine.machine().state();
    let Some(scrub) = state.scrub().filter(|scrub| scrub.number == number) else {
        return;
    };
    let mine = scrub.reports.get(&engine.node()).and_then(|r| r.store);
    let differing = scrub
        .reports
        .iter()
        .find(|(_, report)| report.store.is_some() && mine.is_some() && report.store != mine);
    if let Some((other, _)) = differing {
        tracing::warn!(
            "scrub {number}: the sealed stores of this node and of node {} differ; each is looked \
             through against the log",
            other.0
        );
    }
}

/// Records of the cluster log that are as they were written.
async fn cluster_log(engine: &Arc<Engine>, colleagues: &Colleagues) -> u64 {
    let (reader, size, root) = {
        let ledger = engine.machine().ledger();
        (ledger.reader(), ledger.size(), ledger.root())
    };
    let found = read_again(reader, size, root).await;
    let soundness = engine.soundness();
    let Err(fault) = &found else {
        soundness.set_fault("cluster log", None);
        return size;
    };
    if colleagues.everybody().is_empty() {
        let text = format!(
            "{fault}; this cluster has no other node to fetch it from: restore the folder from a \
             backup, and make no changes until then"
        );
        soundness.set_fault("cluster log", Some(text));
        return 0;
    }
    let text = format!("{fault}; the node begins anew to fetch it from the other members");
    soundness.set_fault("cluster log", Some(text));
    soundness.begin_anew();
    0
}

/// Records of the access log that are as they were written. Nobody else has it.
async fn access_log(engine: &Arc<Engine>) -> u64 {
    let (size, root) = engine.access().head();
    let found = read_again(engine.access().reader(), size, root).await;
    let text = found.as_ref().err().map(|fault| {
        format!(
            "{fault}; no other node has this log: the records before and after stay provable by \
             the anchors in the cluster log; restore the folder from a backup"
        )
    });
    engine.soundness().set_fault("access log", text);
    found.map_or(0, |()| size)
}

/// Reads the first `size` records of a log from the disk and compares their tree with `root`.
async fn read_again(reader: SegmentsReader, size: u64, root: ledger::Hash) -> Result<(), String> {
    let work = move || -> Result<(), String> {
        let (mut tree, mut read) = (Frontier::new(), 0);
        for record in reader.range(0, size) {
            let record = record.map_err(|e: Fault| e.to_string())?;
            tree.push(leaf_hash(&record), &mut |_| ());
            read += record.len();
            if read >= BYTES_PER_STEP {
                read = 0;
                std::thread::sleep(STEP_PAUSE);
            }
        }
        if tree.root() == root {
            return Ok(());
        }
        Err(format!(
            "the {size} records on the disk have another root than when they were written"
        ))
    };
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|e| Err(e.to_string()))
}
