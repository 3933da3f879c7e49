//! `strongroom cluster join`: makes the folder of a new node of a running cluster.

use super::args::{ClusterCommand, JoinRole};
use crate::layout::Layout;
use crate::member::join::{Newcomer, Step, join};
use crate::member::ticket::Ticket;
use anyhow::{Context, bail};
use domain::MemberRole;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::ExitCode;
use vault::Credential;

/// Joins and says what to do next.
pub(super) fn run(dir: &Path, command: ClusterCommand) -> anyhow::Result<ExitCode> {
    let ClusterCommand::Join {
        ticket,
        address,
        peer_port,
        role,
    } = command
    else {
        bail!("this is no join");
    };
    super::dev::keep_secrets_in_memory();
    let layout = Layout::new(dir);
    let credential = Credential::KeyFile(layout.unlock_key());
    let newcomer = Newcomer {
        layout,
        ticket: Ticket::parse(&ticket)?,
        address: reachable(SocketAddr::from((address, peer_port)))?,
        role: match role {
            JoinRole::Voter => MemberRole::Voter,
            JoinRole::Learner => MemberRole::Learner,
            JoinRole::Witness => MemberRole::Witness,
        },
    };
    let runtime = tokio::runtime::Runtime::new()?;
    let node = runtime.block_on(join(&newcomer, credential, &mut |step| {
        eprint!("{}", tell(&step));
    }))?;
    let dir = dir.display();
    // The members of a cluster on one machine have the usual ports.
    println_done(&format!(
        "node {} is admitted; start it with: strongroom dev --dir {dir} --kmip-port 0 --web-port 0",
        node.0
    ))?;
    Ok(ExitCode::SUCCESS)
}

fn println_done(text: &str) -> std::io::Result<()> {
    use std::io::Write;
    writeln!(std::io::stdout(), "{text}")
}

/// What an operator compares.
fn tell(step: &Step) -> String {
    match step {
        Step::Waiting { key, ca } => format!(
            "This node waits for approval. Compare both on a member, then approve there:\n\
             \n\
             key of this node:  {key}\n\
             CA of the cluster: {ca}\n\
             \n\
             on a member:       strongroom cluster requests\n\
             \x20                  strongroom cluster approve {key}\n"
        ),
    }
}

/// The address with a port that is free now, if none was given.
pub(super) fn reachable(wanted: SocketAddr) -> anyhow::Result<String> {
    if wanted.port() != 0 {
        return Ok(wanted.to_string());
    }
    let trial = TcpListener::bind(wanted).with_context(|| format!("a free port at {wanted}"))?;
    Ok(trial.local_addr()?.to_string())
}
