//! The load: closed loops on TLS connections, each sending its next request when it has its answer.

use anyhow::{Context, Result, bail};
use rustls::pki_types::ServerName;
use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Time before the counting begins: connections, caches, first growth of files.
const WARM_UP: Duration = Duration::from_millis(500);

/// Kernel ticks per second in `/proc/PID/stat` and `/proc/stat`.
pub(crate) const TICKS_PER_SECOND: f64 = 100.0;

/// In the answer to a single operation that succeeded: Result Status (0x42007f), an Enumeration of
/// four bytes, Success (KMIP 1.4 §9.1.3.2.28).
pub(crate) const SUCCESS: &[u8] = &[0x42, 0x00, 0x7f, 0x05, 0, 0, 0, 4, 0, 0, 0, 0];

/// Whom to ask, and what.
pub(crate) struct Target {
    pub(crate) to: SocketAddr,
    /// The processes whose CPU time is counted.
    pub(crate) pids: Vec<u32>,
    pub(crate) request: Vec<u8>,
    pub(crate) tls: rustls::ClientConfig,
    /// What a good answer contains; any answer is good when it is empty.
    pub(crate) good: &'static [u8],
}

/// What was reached.
pub(crate) struct Figures {
    pub(crate) per_second: f64,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    pub(crate) cpu_each: Duration,
    /// Answers that were no success; they count as nothing else.
    pub(crate) refused: usize,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:>10.0} {:>9.3} {:>9.3} {:>11.1}",
            self.per_second,
            self.p50.as_secs_f64() * 1e3,
            self.p99.as_secs_f64() * 1e3,
            self.cpu_each.as_secs_f64() * 1e6
        )
    }
}

/// One request after the other on connections that stay open. Every answer must be good.
pub(crate) fn keep_alive(target: &Target, connections: usize, time: Duration) -> Result<Figures> {
    none_refused(spread(std::slice::from_ref(target), connections, time)?)
}

/// As [`keep_alive`], with the connections dealt out to several targets in turn; refusals are
/// counted, for a cluster may refuse while it elects.
pub(crate) fn spread(targets: &[Target], connections: usize, time: Duration) -> Result<Figures> {
    measure(targets, connections, time, Stay::Open)
}

/// A new connection, with a full handshake, for every request. Every answer must be good.
pub(crate) fn reconnect(target: &Target, time: Duration) -> Result<Figures> {
    let figures = measure(std::slice::from_ref(target), 1, time, Stay::Reconnect)?;
    none_refused(figures)
}

fn none_refused(figures: Figures) -> Result<Figures> {
    if figures.refused > 0 {
        bail!("{} requests were refused", figures.refused);
    }
    Ok(figures)
}

#[derive(Clone, Copy, PartialEq)]
enum Stay {
    Open,
    Reconnect,
}

fn measure(targets: &[Target], connections: usize, time: Duration, stay: Stay) -> Result<Figures> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let pids: BTreeSet<u32> = targets.iter().flat_map(|t| t.pids.clone()).collect();
    let cpu_of_all = || {
        pids.iter()
            .map(|pid| cpu_time(*pid))
            .sum::<Result<Duration>>()
    };
    runtime.block_on(async {
        let begin = Instant::now() + WARM_UP;
        let end = begin + time;
        let mut loops = JoinSet::new();
        for target in targets.iter().cycle().take(connections) {
            loops.spawn(one_loop(Visitor::of(target, stay), begin, end));
        }
        tokio::time::sleep_until(begin.into()).await;
        let cpu_before = cpu_of_all()?;
        tokio::time::sleep_until(end.into()).await;
        let cpu = cpu_of_all()?.saturating_sub(cpu_before);
        let mut seen = Seen::default();
        while let Some(done) = loops.join_next().await {
            let Seen { mut times, refused } = done??;
            seen.times.append(&mut times);
            seen.refused += refused;
        }
        figures(seen, time, cpu)
    })
}

/// What one loop, or all, have seen.
#[derive(Default)]
struct Seen {
    times: Vec<Duration>,
    refused: usize,
}

fn figures(seen: Seen, time: Duration, cpu: Duration) -> Result<Figures> {
    let Seen { mut times, refused } = seen;
    if times.is_empty() {
        bail!("nothing was answered within {time:?}, {refused} requests refused");
    }
    times.sort_unstable();
    let at = |part: usize| {
        times
            .get(times.len() * part / 100)
            .copied()
            .unwrap_or_default()
    };
    Ok(Figures {
        per_second: times.len() as f64 / time.as_secs_f64(),
        p50: at(50),
        p99: at(99),
        cpu_each: cpu.div_f64(times.len() as f64),
        refused,
    })
}

async fn connect(to: SocketAddr, connector: &TlsConnector) -> Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(to).await?;
    stream.set_nodelay(true)?;
    Ok(connector
        .connect(ServerName::try_from("localhost")?, stream)
        .await?)
}

/// What one loop needs of its target.
struct Visitor {
    to: SocketAddr,
    connector: TlsConnector,
    request: Vec<u8>,
    good: &'static [u8],
    stay: Stay,
}

impl Visitor {
    fn of(target: &Target, stay: Stay) -> Self {
        let mut tls = target.tls.clone();
        // Every reconnect is a first visit; resumption would measure something else.
        tls.resumption = rustls::client::Resumption::disabled();
        Self {
            to: target.to,
            connector: TlsConnector::from(Arc::new(tls)),
            request: target.request.clone(),
            good: target.good,
            stay,
        }
    }

    fn is_good(&self, answer: &[u8]) -> bool {
        self.good.is_empty()
            || answer
                .windows(self.good.len())
                .any(|part| part == self.good)
    }
}

async fn one_loop(visitor: Visitor, begin: Instant, end: Instant) -> Result<Seen> {
    let mut seen = Seen::default();
    let mut stream = connect(visitor.to, &visitor.connector).await?;
    let mut answer = Vec::new();
    loop {
        let asked = Instant::now();
        if visitor.stay == Stay::Reconnect {
            stream = connect(visitor.to, &visitor.connector).await?;
        }
        exchange(&mut stream, &visitor.request, &mut answer).await?;
        let answered = Instant::now();
        if answered >= end {
            return Ok(seen);
        }
        if asked < begin {
            continue;
        }
        if visitor.is_good(&answer) {
            seen.times.push(answered - asked);
        } else {
            seen.refused += 1;
        }
    }
}

/// Sends a request and reads its whole answer.
pub(crate) async fn exchange(
    stream: &mut TlsStream<TcpStream>,
    request: &[u8],
    answer: &mut Vec<u8>,
) -> Result<()> {
    stream.write_all(request).await?;
    stream.flush().await?;
    answer.resize(8, 0);
    stream.read_exact(answer).await?;
    let length = answer
        .get(4..8)
        .and_then(|b| b.try_into().ok())
        .map(u32::from_be_bytes);
    let length = length.context("header")? as usize;
    answer.resize(8 + length, 0);
    stream
        .read_exact(answer.get_mut(8..).context("body")?)
        .await?;
    Ok(())
}

/// CPU time that a process has used, all threads.
pub(crate) fn cpu_time(pid: u32) -> Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields = stat.rsplit_once(')').context("stat")?.1;
    let field = |n: usize| {
        fields
            .split_whitespace()
            .nth(n)
            .and_then(|f| f.parse::<f64>().ok())
    };
    let ticks = field(11).context("utime")? + field(12).context("stime")?;
    Ok(Duration::from_secs_f64(ticks / TICKS_PER_SECOND))
}
