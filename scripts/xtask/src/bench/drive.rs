//! The load: closed loops on TLS connections, each sending its next request when it has its answer.

use anyhow::{Context, Result, bail};
use rustls::pki_types::ServerName;
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

/// Kernel ticks per second in `/proc/PID/stat`.
const TICKS_PER_SECOND: f64 = 100.0;

/// Whom to ask, and what.
pub(crate) struct Target {
    pub(crate) to: SocketAddr,
    pub(crate) pid: u32,
    pub(crate) request: Vec<u8>,
    pub(crate) tls: rustls::ClientConfig,
}

/// What was reached.
pub(crate) struct Figures {
    pub(crate) per_second: f64,
    pub(crate) p50: Duration,
    p99: Duration,
    cpu_each: Duration,
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

/// One request after the other on connections that stay open.
pub(crate) fn keep_alive(target: &Target, connections: usize, time: Duration) -> Result<Figures> {
    measure(target, connections, time, Stay::Open)
}

/// A new connection, with a full handshake, for every request.
pub(crate) fn reconnect(target: &Target, time: Duration) -> Result<Figures> {
    measure(target, 1, time, Stay::Reconnect)
}

#[derive(Clone, Copy, PartialEq)]
enum Stay {
    Open,
    Reconnect,
}

fn measure(target: &Target, connections: usize, time: Duration, stay: Stay) -> Result<Figures> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut tls = target.tls.clone();
        // Every reconnect is a first visit; resumption would measure something else.
        tls.resumption = rustls::client::Resumption::disabled();
        let connector = TlsConnector::from(Arc::new(tls));
        let begin = Instant::now() + WARM_UP;
        let end = begin + time;
        let mut loops = JoinSet::new();
        for _ in 0..connections {
            let (to, request) = (target.to, target.request.clone());
            loops.spawn(one_loop(to, connector.clone(), request, begin, end, stay));
        }
        tokio::time::sleep_until(begin.into()).await;
        let cpu_before = cpu_time(target.pid)?;
        tokio::time::sleep_until(end.into()).await;
        let cpu = cpu_time(target.pid)?.saturating_sub(cpu_before);
        let mut times = Vec::new();
        while let Some(done) = loops.join_next().await {
            times.append(&mut done??);
        }
        figures(times, time, cpu)
    })
}

fn figures(mut times: Vec<Duration>, time: Duration, cpu: Duration) -> Result<Figures> {
    if times.is_empty() {
        bail!("nothing was answered within {time:?}");
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
    })
}

async fn connect(to: SocketAddr, connector: &TlsConnector) -> Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(to).await?;
    stream.set_nodelay(true)?;
    Ok(connector
        .connect(ServerName::try_from("localhost")?, stream)
        .await?)
}

async fn one_loop(
    to: SocketAddr,
    connector: TlsConnector,
    request: Vec<u8>,
    begin: Instant,
    end: Instant,
    stay: Stay,
) -> Result<Vec<Duration>> {
    let mut times = Vec::new();
    let mut stream = connect(to, &connector).await?;
    let mut answer = Vec::new();
    loop {
        let asked = Instant::now();
        if stay == Stay::Reconnect {
            stream = connect(to, &connector).await?;
        }
        exchange(&mut stream, &request, &mut answer).await?;
        let answered = Instant::now();
        if answered >= end {
            return Ok(times);
        }
        if asked >= begin {
            times.push(answered - asked);
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
fn cpu_time(pid: u32) -> Result<Duration> {
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
