//! What the machine does meanwhile: figures from a machine that does something else say little.

use super::super::drive::{TICKS_PER_SECOND, cpu_time};
use anyhow::{Context, Result};
use std::fs;
use std::time::{Duration, Instant};

/// The beginning of a measurement.
pub(super) struct Watch {
    began: Instant,
    nodes: Vec<u32>,
    before: Used,
}

/// CPU time used so far.
struct Used {
    machine: Duration,
    nodes: Duration,
    load: Duration,
}

/// Cores in use on average while it was measured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cores {
    /// By the nodes.
    pub(super) nodes: f64,
    /// By everything but nodes and load, as a part of all cores.
    pub(super) others: f64,
}

impl Watch {
    /// Begins to watch; `nodes` are the processes that are measured.
    pub(super) fn begin(nodes: &[u32]) -> Result<Self> {
        Ok(Self {
            began: Instant::now(),
            nodes: nodes.to_vec(),
            before: Used::now(nodes)?,
        })
    }

    /// What was used since.
    pub(super) fn end(self) -> Result<Cores> {
        let now = Used::now(&self.nodes)?;
        let wall = self.began.elapsed().as_secs_f64();
        let used = |now: Duration, was: Duration| now.saturating_sub(was).as_secs_f64() / wall;
        let nodes = used(now.nodes, self.before.nodes);
        let load = used(now.load, self.before.load);
        let machine = used(now.machine, self.before.machine);
        Ok(Cores {
            nodes,
            // Ticks are coarse: a difference of nearly nothing may come out below it.
            others: (machine - nodes - load).max(0.0) / cores() as f64,
        })
    }
}

impl Used {
    fn now(nodes: &[u32]) -> Result<Self> {
        Ok(Self {
            machine: machine()?,
            nodes: nodes.iter().map(|pid| cpu_time(*pid)).sum::<Result<_>>()?,
            load: cpu_time(std::process::id())?,
        })
    }
}

/// CPU time that all cores have worked: every column of `/proc/stat` but idle and iowait.
fn machine() -> Result<Duration> {
    let stat = fs::read_to_string("/proc/stat")?;
    let line = stat.lines().next().context("/proc/stat is empty")?;
    let columns = line.split_whitespace().skip(1).take(8);
    let worked = columns
        .enumerate()
        .filter(|(n, _)| ![3, 4].contains(n))
        .map(|(_, ticks)| ticks.parse::<f64>());
    let ticks: f64 = worked.sum::<Result<f64, _>>().context("/proc/stat")?;
    Ok(Duration::from_secs_f64(ticks / TICKS_PER_SECOND))
}

/// Cores of this machine.
pub(super) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Processes that wanted to run during the last minute, on average.
pub(super) fn load_average() -> Result<f64> {
    let load = fs::read_to_string("/proc/loadavg")?;
    let first = load.split(' ').next().context("/proc/loadavg is empty")?;
    Ok(first.parse()?)
}
