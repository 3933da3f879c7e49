//! Speed, as ratios: everything is measured against a baseline of the same run.
//!
//! * `echo`: a bare rustls echo server with the same request and answer sizes, in a process of its
//!   own: what TLS, sockets and this machine cost with no key management at all
//! * `drive`: the load, the same for both servers
//! * `disk`: how often this disk can make a small write durable
//! * `scale`: the same questions at 1,000, 100,000 and 1,000,000 objects
//! * `pages`: the web admin at 100,000 keys, beside a static file of the same server
//! * `cluster`: three nodes beside one: `cargo xtask bench cluster`
//!
//! Client and servers share the machine's cores, as they do for the baseline.

mod cluster;
mod disk;
mod drive;
pub(crate) mod echo;
mod pages;
mod scale;

use anyhow::{Result, ensure};
use drive::{Figures, Target};
use kmip::{ProtocolVersion, Request, RequestPayload};
use std::process::Command;
use std::time::Duration;
use tests::client::{Client, Identity, create_request, get_request};
use tests::node::{Node, Site};

/// Connections at once.
const CONNECTIONS: [usize; 3] = [1, 8, 64];

/// What to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Seconds for each line of the table.
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// Also measure with up to so many objects (1,000, 100,000, 1,000,000).
    #[arg(long, default_value_t = 0, value_name = "OBJECTS")]
    scale: usize,
    /// Measure the pages of the web admin at 100,000 keys instead.
    #[arg(long)]
    pages: bool,
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Measures three nodes beside one: rates, replication, fail-over, catch-up.
    Cluster(cluster::Options),
}

/// Runs the benchmark and prints its tables.
pub(crate) fn run(options: &Options) -> Result<()> {
    if cfg!(debug_assertions) {
        return in_release(options);
    }
    if let Some(What::Cluster(options)) = &options.what {
        return cluster::run(options);
    }
    if options.pages {
        return pages::run();
    }
    println!("disk       {}", disk::durable_writes()?);
    let site = Site::new()?;
    let node = site.start()?;
    traffic(&node, Duration::from_secs(options.seconds))?;
    drop(node);
    if options.scale > 0 {
        scale::run(options.scale)?;
    }
    Ok(())
}

/// Figures of a debug build would mislead: builds for release and goes on there.
fn in_release(options: &Options) -> Result<()> {
    println!("building for release");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args([
            "build",
            "--release",
            "--quiet",
            "--package",
            "server",
            "--package",
            "xtask",
        ])
        .current_dir(crate::root())
        .status()?;
    ensure!(built.success(), "the release build failed");
    let mut bench = Command::new(crate::target_folder().join("release/xtask"));
    bench.arg("bench");
    match &options.what {
        None => bench
            .args(["--seconds", &options.seconds.to_string()])
            .args(["--scale", &options.scale.to_string()])
            .args(options.pages.then_some("--pages")),
        Some(What::Cluster(cluster)) => bench.arg("cluster").args(cluster.arguments()),
    };
    let measured = bench.status()?;
    ensure!(measured.success(), "the benchmark did not come to its end");
    Ok(())
}

/// A request as bytes.
fn message(payload: RequestPayload) -> Vec<u8> {
    let mut bytes = Vec::new();
    Request::of(ProtocolVersion::V1_4, payload).encode(&mut bytes);
    bytes
}

fn traffic(node: &Node, time: Duration) -> Result<()> {
    let identity = node.identity("demo");
    let mut client = Client::connect(node.kmip(), &identity)?;
    let uid = client.create(Some("bench"), 256)?;
    let get = message(get_request(&uid));
    let answer = client.exchange(&get)?;
    let create = message(create_request(None, 256));
    let created = client.exchange(&create)?;
    let echo_get = echo::Server::start(node.dir(), get.len(), answer.len())?;
    let echo_create = echo::Server::start(node.dir(), create.len(), created.len())?;
    let target = |to, pid, who: &Identity, request: &[u8]| -> Result<Target> {
        Ok(Target {
            to,
            pids: vec![pid],
            request: request.to_vec(),
            tls: who.config(&[])?,
            good: &[],
        })
    };
    let ours = |request: &[u8]| -> Result<Target> {
        let good = drive::SUCCESS;
        let ours = target(node.kmip(), node.pid(), &identity, request)?;
        Ok(Target { good, ..ours })
    };
    let base = |echo: &echo::Server, request: &[u8]| {
        target(echo.address, echo.pid(), &echo.identity(&identity), request)
    };
    println!(
        "\n{:<22} {:>6} {:>10} {:>9} {:>9} {:>11} {:>10}",
        "operation", "conns", "per second", "p50 ms", "p99 ms", "CPU µs each", "of echo"
    );
    let line = |what: &str, connections: usize, figures: &Figures, base: Option<&Figures>| {
        let ratio = base.map_or("".to_owned(), |base| {
            format!("{:.0} %", 100.0 * figures.per_second / base.per_second)
        });
        println!("{what:<22} {connections:>6} {figures} {ratio:>10}");
    };
    for (what, request, echo) in [
        ("Get", &get, &echo_get),
        ("Create (durable)", &create, &echo_create),
    ] {
        for connections in CONNECTIONS {
            let of_echo = drive::keep_alive(&base(echo, request)?, connections, time)?;
            line(&format!("echo of {what}"), connections, &of_echo, None);
            let figures = drive::keep_alive(&ours(request)?, connections, time)?;
            line(what, connections, &figures, Some(&of_echo));
        }
    }
    let of_echo = drive::reconnect(&base(&echo_get, &get)?, time)?;
    line("echo, reconnect each", 1, &of_echo, None);
    let figures = drive::reconnect(&ours(&get)?, time)?;
    line("Get, reconnect each", 1, &figures, Some(&of_echo));
    Ok(())
}
