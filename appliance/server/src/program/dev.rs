//! `strongroom dev`: an embedded one-node appliance on loopback.

use super::args::Dev;
use super::{first_admin, fleet};
use crate::layout::Layout;
use crate::node::{Node, Settings};
use crate::session::talk::Talk;
use anyhow::Context;
use domain::Name;
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use vault::Credential;

/// How often the file that turns the clock is looked at.
const CLOCK_LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// Users of a new `dev` node.
const USERS: [&str; 2] = ["demo", "demo2"];

/// Runs until SIGTERM or SIGINT.
pub(super) fn run(options: &Dev) -> anyhow::Result<ExitCode> {
    match (options.nodes, options.only) {
        (Some(nodes), None) => return fleet::run(options, nodes),
        (Some(_), Some(only)) => return run_node(&fleet::node_options(options, only)),
        (None, _) => {}
    }
    run_node(options)
}

/// Runs one node in this process.
fn run_node(options: &Dev) -> anyhow::Result<ExitCode> {
    keep_secrets_in_memory();
    if options.ordinal.is_some() {
        fleet::end_with_parent();
    }
    // One thread more than cores: one may be waiting for an fsync of the access log.
    let threads = std::thread::available_parallelism().map_or(2, usize::from) + 1;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build()?;
    runtime.block_on(serve(options))?;
    Ok(ExitCode::SUCCESS)
}

/// No core dumps and no ptrace: memory holds keys (ABUSE A27).
pub(super) fn keep_secrets_in_memory() {
    use nix::sys::resource::{Resource, setrlimit};
    if let Err(e) = setrlimit(Resource::RLIMIT_CORE, 0, 0) {
        tracing::warn!("core dumps could not be switched off: {e}");
    }
    if let Err(e) = nix::sys::prctl::set_dumpable(false) {
        tracing::warn!("the process could not be closed to ptrace: {e}");
    }
}

async fn serve(options: &Dev) -> anyhow::Result<()> {
    let layout = Layout::new(&options.dir);
    let at = |port| SocketAddr::from((options.address, port));
    let users = USERS.map(|name| Name::parse(name).expect("letters and digits are a name"));
    let is_new = !layout.ca_certificate().exists();
    // Before anything has looked at the clock: the self-tests note their time.
    turn_clock(&layout.clock_offset());
    if crate::selftest::has_failed() {
        return stay_in_error_state(options, &layout, at(options.status_port)).await;
    }
    let credential = credential(options, &layout)?;
    let settings = Settings {
        layout: layout.clone(),
        kmip: at(options.kmip_port),
        web: at(options.web_port),
        status: at(options.status_port),
        peer: at(options.peer_port),
        user_field: options.user_field,
        first_users: users.into(),
        names: Vec::new(),
        ca_subject: None,
        console: None,
        ssh: None,
        init: None,
        place: None,
    };
    tokio::spawn(keep_turning_clock(layout.clock_offset()));
    let node = Node::start(settings, credential).await?;
    // Members that join have the administrators of the others.
    if matches!(options.ordinal, None | Some(1))
        && let Err(e) = first_admin::make(&node, &layout).await
    {
        tracing::warn!("{e:#}");
    }
    let ssh = open_ssh(&layout, at(options.ssh_port)).await?;
    if is_new
        && options.ordinal.is_none()
        && let Some(doors) = node.doors
    {
        eprint!("{}", welcome(&layout, doors.kmip, ssh));
    }
    let dir = options.dir.display();
    // A witness has no doors for clients.
    let shown = |address: Option<String>| address.unwrap_or_else(|| "-".to_owned());
    let kmip = shown(node.doors.map(|doors| doors.kmip.to_string()));
    let web = shown(node.doors.map(|doors| format!("https://{}", doors.web)));
    let status = shown(node.status.map(|status| format!("https://{status}")));
    let ports = format!("kmip={kmip} web={web} ssh={ssh} status={status}");
    let mut out = std::io::stdout();
    match options.ordinal {
        None => writeln!(out, "READY {ports} dir={dir}")?,
        Some(n) => {
            let pid = std::process::id();
            writeln!(out, "READY node={n} {ports} dir={dir} pid={pid}")?;
        }
    }
    out.flush()?;
    tokio::select! {
        signal = await_signal() => signal?,
        () = node.must_begin_anew() => return begin_anew(options, &node, ssh.port()),
    }
    node.stop().await
}

/// Says what failed, until it is told to end.
async fn stay_in_error_state(options: &Dev, layout: &Layout, at: SocketAddr) -> anyhow::Result<()> {
    layout.make()?;
    let _lock = crate::node::lock(layout)?;
    crate::error_state::open_socket(layout)?;
    let status = crate::error_state::open_status(at).await?;
    eprintln!("strongroom: {}", crate::error_state::says());
    let (mut out, dir) = (std::io::stdout(), options.dir.display());
    writeln!(out, "ERROR-STATE status=https://{status} dir={dir}")?;
    out.flush()?;
    await_signal().await
}

/// Opens the SSH door, which asks the node over its socket as the one of an appliance does.
async fn open_ssh(layout: &Layout, at: SocketAddr) -> anyhow::Result<SocketAddr> {
    let listener = crate::node::listen("SSH", "--ssh-port", at).await?;
    let address = listener.local_addr()?;
    let talk = Arc::new(Talk::new(layout.clone(), None));
    let door = crate::ssh::Opened::at(listener, &talk).await?;
    tokio::spawn(async move {
        if let Err(e) = crate::ssh::follow(talk, Some(door)).await {
            tracing::error!("the SSH door: {e:#}");
        }
    });
    Ok(address)
}

/// Turns the clock of this process by the seconds in a file, so that a test can do to one node what
/// a wrong time server does.
fn turn_clock(file: &std::path::Path) {
    let turned = std::fs::read_to_string(file).ok();
    let seconds = turned.and_then(|text| text.trim().parse::<i64>().ok());
    crate::clock::turn(seconds.unwrap_or(0).saturating_mul(1_000));
}

async fn keep_turning_clock(file: std::path::PathBuf) {
    loop {
        tokio::time::sleep(CLOCK_LOOK_INTERVAL).await;
        turn_clock(&file);
    }
}

/// Replaces this process by itself, on the same ports: what an appliance's PID 1 would do.
fn begin_anew(options: &Dev, node: &Node, ssh: u16) -> anyhow::Result<()> {
    eprintln!("strongroom: starting anew from what is on the disk");
    let mut again = std::process::Command::new(std::env::current_exe()?);
    again.arg("dev").arg("--dir").arg(&options.dir);
    let (kmip, web) = node.doors.map_or((0, 0), |d| (d.kmip.port(), d.web.port()));
    again.arg("--kmip-port").arg(kmip.to_string());
    again.arg("--web-port").arg(web.to_string());
    again.arg("--ssh-port").arg(ssh.to_string());
    let status = node.status.map_or(0, |status| status.port());
    again.arg("--status-port").arg(status.to_string());
    again.args(options.carried_on());
    // Only a failure comes back.
    Err(again.exec()).context("starting anew")
}

/// The unlock key file, or a token when one is named.
fn credential(options: &Dev, layout: &Layout) -> anyhow::Result<Credential> {
    let (Some(module), Some(serial), Some(pin)) = (
        &options.hsm_module,
        &options.hsm_serial,
        &options.hsm_pin_file,
    ) else {
        return Ok(Credential::KeyFile(layout.unlock_key()));
    };
    let pin = std::fs::read(pin).with_context(|| format!("reading {}", pin.display()))?;
    let pin = pin.trim_ascii_end().to_vec();
    let token = crate::hsm::token(module.clone(), serial.clone(), vault::Secret::take(pin));
    token.map_err(anyhow::Error::msg)
}

pub(super) async fn await_signal() -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT")?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// How to use a new node.
fn welcome(layout: &Layout, kmip: SocketAddr, ssh: SocketAddr) -> String {
    let dir = layout.root().display();
    let (port, ssh) = (kmip.port(), ssh.port());
    format!(
        "A new node in {dir}: cluster, Local CA, users demo and demo2.\n\
         \n\
         KMIP:  127.0.0.1:{port}, TLS 1.2 or 1.3 with a client certificate\n\
         CA:    {dir}/ca.pem\n\
         User:  {dir}/clients/demo.pem and {dir}/clients/demo.key (demo2 likewise)\n\
         SSH:   ssh -p {ssh} admin@127.0.0.1, first password in {dir}/admin-password\n\
         \n\
         Try:   strongroom --dir {dir} status\n\
         \x20      strongroom --dir {dir} log show --follow\n\
         \x20      strongroom --dir {dir} export --out bundle && strongroom verify bundle\n\
         \n\
         The unlock key lies beside the keys in {dir}/keys: this is for development only.\n"
    )
}
