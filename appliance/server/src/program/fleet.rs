//! `strongroom dev --nodes N`: a whole cluster on one machine, each node a process of its own.
//!
//! This process starts the nodes, has new ones join (with the same tickets, approvals and
//! certificates as anywhere), passes on their READY lines, and ends them when it ends.

use super::args::Dev;
use super::{dev, operate};
use crate::doors::control::{ClusterRequest, Request};
use crate::layout::Layout;
use crate::member::join::{Newcomer, Step, join};
use crate::member::ticket::Ticket;
use anyhow::{Context, bail};
use domain::MemberRole;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;

/// How often a new member is asked whether it has caught up.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

/// Time for a node to come up; a node that replays a long log takes some.
const START_TIMEOUT: Duration = Duration::from_secs(120);

/// Time for a node to end by itself.
const END_TIMEOUT: Duration = Duration::from_secs(20);

/// Lines of nodes on their way to stdout.
const LINES_MAX: usize = 64;

/// The options of one node of the cluster.
pub(super) fn node_options(options: &Dev, node: u16) -> Dev {
    let port = |first: u16| if first == 0 { 0 } else { first + (node - 1) };
    Dev {
        dir: options.dir.join(node.to_string()),
        nodes: None,
        only: None,
        ordinal: Some(node),
        kmip_port: port(options.kmip_port),
        web_port: port(options.web_port),
        ssh_port: port(options.ssh_port),
        status_port: port(options.status_port),
        peer_port: port(options.peer_port),
        address: options.address,
        user_field: options.user_field,
        hsm_module: None,
        hsm_serial: None,
        hsm_pin_file: None,
    }
}

/// A node ends when the process that looks after it does.
pub(super) fn end_with_parent() {
    if let Err(e) = nix::sys::prctl::set_pdeathsig(Signal::SIGTERM) {
        tracing::warn!("this node will not end with its parent: {e}");
    }
}

/// Runs the cluster until SIGTERM or SIGINT.
pub(super) fn run(options: &Dev, nodes: u16) -> anyhow::Result<ExitCode> {
    // One thread: a node ends with the thread that started it.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut fleet = Fleet::new(options);
        let run = fleet.run(nodes).await;
        fleet.end().await;
        run
    })?;
    Ok(ExitCode::SUCCESS)
}

struct Fleet<'a> {
    options: &'a Dev,
    children: Vec<(u16, Child)>,
    say: mpsc::Sender<(u16, String)>,
    said: mpsc::Receiver<(u16, String)>,
}

impl<'a> Fleet<'a> {
    fn new(options: &'a Dev) -> Self {
        let (say, said) = mpsc::channel(LINES_MAX);
        Self {
            options,
            children: Vec::new(),
            say,
            said,
        }
    }

    async fn run(&mut self, nodes: u16) -> anyhow::Result<()> {
        let signal = dev::await_signal();
        tokio::pin!(signal);
        tokio::select! {
            up = self.bring_up(nodes) => up?,
            signal = &mut signal => return signal,
        }
        eprint!("{}", self.welcome(nodes));
        loop {
            tokio::select! {
                signal = &mut signal => return signal,
                line = self.said.recv() => if let Some((_, line)) = line {
                    pass_on(&line)?;
                },
                () = tokio::time::sleep(LOOK_INTERVAL) => self.look()?,
            }
        }
    }

    /// Starts what is there already together, for it takes a majority; then new nodes one by one.
    async fn bring_up(&mut self, nodes: u16) -> anyhow::Result<()> {
        let dir = &self.options.dir;
        share_clients(dir, nodes)?;
        let is_there = |node: u16| {
            let layout = Layout::new(dir.join(node.to_string()));
            node == 1 || layout.place().exists()
        };
        let (old, new): (Vec<u16>, Vec<u16>) = (1..=nodes).partition(|node| is_there(*node));
        for node in &old {
            self.start(*node)?;
        }
        for _ in &old {
            self.await_ready().await?;
        }
        for node in new {
            self.join(node).await?;
            self.start(node)?;
            self.await_ready().await?;
            self.await_member(node).await?;
        }
        Ok(())
    }

    fn start(&mut self, node: u16) -> anyhow::Result<()> {
        let options = node_options(self.options, node);
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("dev").arg("--dir").arg(&options.dir);
        command
            .arg("--kmip-port")
            .arg(options.kmip_port.to_string());
        command.arg("--web-port").arg(options.web_port.to_string());
        command.arg("--ssh-port").arg(options.ssh_port.to_string());
        command
            .arg("--status-port")
            .arg(options.status_port.to_string());
        command
            .arg("--peer-port")
            .arg(options.peer_port.to_string());
        command.args(options.carried_on()).stdout(Stdio::piped());
        let mut child = command
            .spawn()
            .with_context(|| format!("starting node {node}"))?;
        let lines = child.stdout.take().context("the output of a node")?;
        let say = self.say.clone();
        tokio::spawn(async move {
            let mut lines = BufReader::new(lines).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                if say.send((node, line)).await.is_err() {
                    return;
                }
            }
        });
        self.children.push((node, child));
        Ok(())
    }

    /// Waits for the READY line of one node.
    async fn await_ready(&mut self) -> anyhow::Result<()> {
        let begun = tokio::time::Instant::now();
        loop {
            tokio::select! {
                line = self.said.recv() => if let Some((_, line)) = line {
                    pass_on(&line)?;
                    return Ok(());
                },
                () = tokio::time::sleep(LOOK_INTERVAL) => {
                    let ended = self.children.iter_mut().find_map(|(node, child)| {
                        let status = child.try_wait().ok().flatten()?;
                        Some((*node, status))
                    });
                    if let Some((node, status)) = ended {
                        bail!("node {node} ended before it served ({status})");
                    }
                }
            }
            if begun.elapsed() > START_TIMEOUT {
                bail!("a node did not serve within {} s", START_TIMEOUT.as_secs());
            }
        }
    }

    /// Has a new node join: ticket from node 1, request, approval of exactly that key.
    async fn join(&self, node: u16) -> anyhow::Result<()> {
        let first = self.options.dir.join("1");
        let options = node_options(self.options, node);
        let ticket = ask(&first, Request::Cluster(ClusterRequest::Ticket)).await?;
        let ticket = ticket.get("ticket").and_then(Value::as_str);
        let ticket = ticket.context("the ticket")?;
        let layout = Layout::new(&options.dir);
        let address = SocketAddr::from((options.address, options.peer_port));
        let credential = vault::Credential::KeyFile(layout.unlock_key());
        let newcomer = Newcomer {
            layout,
            ticket: Ticket::parse(ticket)?,
            address: super::join::reachable(address)?,
            role: MemberRole::Voter,
        };
        let (tell, mut told) = mpsc::channel(1);
        let mut waiting = move |step: Step| {
            let Step::Waiting { key, .. } = step;
            drop(tell.try_send(key.to_string()));
        };
        let joining = join(&newcomer, credential, &mut waiting);
        let approving = async {
            let key = told.recv().await;
            let request = Request::Cluster(ClusterRequest::Approve { key });
            ask(&first, request).await
        };
        let (joined, approved) = tokio::join!(joining, approving);
        approved.context("approving the new node")?;
        joined.with_context(|| format!("node {node} joining"))?;
        Ok(())
    }

    /// Waits until a new node has caught up and counts.
    async fn await_member(&self, node: u16) -> anyhow::Result<()> {
        let dir = self.options.dir.join(node.to_string());
        let begun = tokio::time::Instant::now();
        loop {
            let status = ask(&dir, Request::Cluster(ClusterRequest::Status)).await?;
            let members = status.get("members").and_then(Value::as_array);
            let is_me = |member: &&Value| member.get("this") == Some(&Value::Bool(true));
            let me = members.and_then(|members| members.iter().find(is_me));
            let phase = me.and_then(|me| me.get("phase")).and_then(Value::as_str);
            if phase == Some("member") {
                return Ok(());
            }
            if begun.elapsed() > START_TIMEOUT {
                bail!(
                    "node {node} did not catch up within {} s",
                    START_TIMEOUT.as_secs()
                );
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }

    /// Says which nodes have ended; the others go on.
    fn look(&mut self) -> anyhow::Result<()> {
        let dir = self.options.dir.display();
        let mut error = None;
        let mut ended = |node: u16, child: &mut Child| match child.try_wait() {
            Ok(Some(status)) => {
                eprintln!(
                    "strongroom: node {node} has ended ({status}); bring it back with: \
                     strongroom dev --dir {dir} --nodes 3 --only {node}"
                );
                false
            }
            Ok(None) => true,
            Err(e) => {
                error = Some(e);
                true
            }
        };
        self.children
            .retain_mut(|(node, child)| ended(*node, child));
        error.map_or(Ok(()), |e| Err(e.into()))
    }

    /// Ends the nodes.
    async fn end(&mut self) {
        for (_, child) in &self.children {
            let pid = child.id().and_then(|id| i32::try_from(id).ok());
            if let Some(pid) = pid {
                // It may have ended by itself meanwhile.
                let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
            }
        }
        for (node, child) in &mut self.children {
            if tokio::time::timeout(END_TIMEOUT, child.wait())
                .await
                .is_err()
            {
                eprintln!("strongroom: node {node} did not end; it is killed");
                drop(child.kill().await);
            }
        }
    }

    fn welcome(&self, nodes: u16) -> String {
        let dir = self.options.dir.display();
        format!(
            "\nA cluster of {nodes} nodes in {dir}. Every node takes every request.\n\
             \n\
             CA:    {dir}/1/ca.pem (the same in every folder)\n\
             User:  {dir}/1/clients/demo.pem and demo.key (likewise)\n\
             \n\
             Try:   strongroom --dir {dir}/1 cluster status\n\
             \x20      kill a node by its pid, and look again; bring it back with\n\
             \x20      strongroom dev --dir {dir} --nodes {nodes} --only 2\n"
        )
    }
}

fn pass_on(line: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

async fn ask(dir: &Path, request: Request) -> anyhow::Result<Value> {
    let dir: PathBuf = dir.to_owned();
    tokio::task::spawn_blocking(move || operate::ask(&dir, &request)).await?
}

/// One folder of clients for all nodes, so that what one node issues is found beside each.
fn share_clients(dir: &Path, nodes: u16) -> anyhow::Result<()> {
    let make = |path: &Path| {
        let mut builder = std::fs::DirBuilder::new();
        let made = builder.recursive(true).mode(0o700).create(path);
        made.with_context(|| format!("making {}", path.display()))
    };
    make(&dir.join("clients"))?;
    for node in 1..=nodes {
        let folder = dir.join(node.to_string());
        make(&folder)?;
        let clients = Layout::new(&folder).clients();
        if std::fs::symlink_metadata(&clients).is_err() {
            std::os::unix::fs::symlink("../clients", &clients)
                .with_context(|| format!("making {}", clients.display()))?;
        }
    }
    Ok(())
}
