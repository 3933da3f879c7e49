//! The program: command line, `dev`, the commands on a running node, offline verification.

mod args;
mod dev;
mod first_admin;
mod fleet;
mod join;
pub(crate) mod operate;
mod recover;
mod serve;
mod verify;

use crate::session::configure::{self, ConfigureCommand};
use crate::session::talk::Talk;
use crate::{console, selftest, ssh};
pub(crate) use args::NodeCommand;
use args::{Arguments, ClusterCommand, Command};
use clap::Parser;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

/// Threads that serve SSH; a session has one of its own besides.
const SSH_THREADS: usize = 2;

/// Reads the command line and does what it says. Exit codes: 0 done, 1 not done or not verified,
/// 2 the command line was wrong.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    start_diagnostics();
    let done = match arguments.command {
        Command::Dev(options) => dev::run(&options),
        Command::Verify(options) => verify::run(&options),
        Command::Serve(options) => serve::run(&options),
        Command::Console(places) => run_console(places),
        Command::Ssh(places) => run_ssh(places),
        Command::HsmWorker => run_hsm_worker(),
        Command::Configure { line } => run_configure(&arguments.dir, line),
        Command::Node(NodeCommand::Cluster(command @ ClusterCommand::Join { .. })) => {
            selftest::must_have_passed().and_then(|()| join::run(&arguments.dir, command))
        }
        Command::Node(NodeCommand::Cluster(ClusterCommand::Rejoin)) => {
            recover::rejoin(&arguments.dir)
        }
        Command::Node(NodeCommand::Cluster(ClusterCommand::Recover {
            yes,
            passphrase,
            json,
        })) => recover::recover(&arguments.dir, yes, passphrase, json),
        Command::Node(command) => operate::run(&arguments.dir, command),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("strongroom: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Diagnostics go to stderr; `STRONGROOM_LOG` chooses how much (the audit log is the ledger).
fn start_diagnostics() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("STRONGROOM_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn,server=info,openraft=off"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .init();
}

fn run_console(places: args::Places) -> anyhow::Result<ExitCode> {
    console::run(&Talk::at(&places.sockets, places.init))?;
    Ok(ExitCode::SUCCESS)
}

fn run_ssh(places: args::Places) -> anyhow::Result<ExitCode> {
    dev::keep_secrets_in_memory();
    let talk = Arc::new(Talk::at(&places.sockets, places.init));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(SSH_THREADS)
        .enable_all()
        .build()?;
    runtime.block_on(ssh::run(talk))?;
    Ok(ExitCode::SUCCESS)
}

fn run_configure(dir: &Path, line: ConfigureCommand) -> anyhow::Result<ExitCode> {
    let answer = operate::ask(dir, &configure::request(line)?)?;
    configure::changed(&mut std::io::stdout().lock(), &answer)?;
    Ok(ExitCode::SUCCESS)
}

fn run_hsm_worker() -> anyhow::Result<ExitCode> {
    vault::hsm::worker::run(std::io::stdin().lock(), std::io::stdout().lock())?;
    Ok(ExitCode::SUCCESS)
}
