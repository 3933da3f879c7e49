//! The nodes that are measured, each a process that ends with this one.

use super::super::drive::{SUCCESS, Target};
use crate::tied;
use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tests::client::Identity;
use tests::node::strongroom;

/// Nodes of the cluster.
pub(super) const NODES: u16 = 3;

/// Time for a node to serve; one that has to replay a long log on a busy machine takes some.
const READY_WITHIN: Duration = Duration::from_secs(120);

/// Time for three nodes to be founded, joined and started.
const FOUNDED_WITHIN: Duration = Duration::from_secs(180);

/// Time for a node to end in order.
const END_WITHIN: Duration = Duration::from_secs(30);

/// Between two looks at what a node has said or how far it is. A look costs a process.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Bytes of a node's last words in a failure.
const LAST_WORDS_BYTES: usize = 2_000;

/// A running node. Dropping it kills it.
#[derive(Debug)]
pub(super) struct Node {
    child: Child,
    program: PathBuf,
    /// Its folder.
    pub(super) dir: PathBuf,
    /// Where it serves KMIP.
    pub(super) kmip: SocketAddr,
}

/// How far a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    /// Records in its cluster log.
    pub(super) size: u64,
    /// The last Raft entry on its disk.
    pub(super) last_entry: u64,
    /// The last Raft entry that is only in its snapshot.
    pub(super) purged_entry: u64,
}

impl Node {
    /// Starts a node and waits for its READY line. `arguments` are those of `strongroom dev`.
    fn start(dir: &Path, arguments: &[&str], root: &Path) -> Result<Self> {
        let mut node = Self::begin(dir, arguments, root)?;
        node.await_ready()?;
        Ok(node)
    }

    /// Starts a node without waiting.
    fn begin(dir: &Path, arguments: &[&str], root: &Path) -> Result<Self> {
        let program = strongroom()?;
        let mut command = dev(&program, root)?;
        let out = File::create(said_in(dir, "out"))?;
        let err = File::options()
            .create(true)
            .append(true)
            .open(said_in(dir, "err"))?;
        command.args(arguments).stdout(out).stderr(err);
        let child = command.spawn().with_context(|| format!("{command:?}"))?;
        Ok(Self {
            child,
            program,
            dir: dir.to_owned(),
            kmip: SocketAddr::from(([127, 0, 0, 1], 0)),
        })
    }

    pub(super) fn await_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            let said = fs::read_to_string(said_in(&self.dir, "out"))?;
            let ready = said.lines().find(|line| line.starts_with("READY "));
            if let Some(line) = ready.filter(|_| said.ends_with('\n')) {
                let kmip = line.split(' ').find_map(|word| word.strip_prefix("kmip="));
                let kmip = kmip.with_context(|| format!("no kmip= in: {line}"))?;
                self.kmip = kmip.parse().with_context(|| line.to_owned())?;
                return Ok(());
            }
            let runs = self.child.try_wait()?.is_none();
            let goes_on = runs && Instant::now() < deadline;
            ensure!(goes_on, "a node did not serve: {}", self.last_words());
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    fn last_words(&self) -> String {
        let said = fs::read(said_in(&self.dir, "err")).unwrap_or_default();
        let from = said.len().saturating_sub(LAST_WORDS_BYTES);
        String::from_utf8_lossy(said.get(from..).unwrap_or_default()).into_owned()
    }

    /// Its process.
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The client `demo` of its cluster.
    pub(super) fn identity(&self) -> Identity {
        Identity::of(&self.dir, "demo")
    }

    /// Whom to send `request` to; the CPU time is that of `pids`.
    pub(super) fn target(&self, request: &[u8], pids: &[u32]) -> Result<Target> {
        Ok(Target {
            to: self.kmip,
            pids: pids.to_vec(),
            request: request.to_vec(),
            tls: self.identity().config(&[])?,
            good: SUCCESS,
        })
    }

    /// What `strongroom status --json` says.
    fn status(&self) -> Result<Value> {
        let output = Command::new(&self.program)
            .arg("--dir")
            .arg(&self.dir)
            .args(["status", "--json"])
            .stdin(Stdio::null())
            .output()?;
        let told = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "status: {told}");
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// How far it is.
    ///
    /// # Errors
    /// It does not answer, as one that is just starting.
    pub(super) fn position(&self) -> Result<Position> {
        let status = self.status()?;
        let size = status.pointer("/cluster_log/size").and_then(Value::as_u64);
        let entry = |name: &str| {
            let entry = status.pointer(name).and_then(Value::as_u64);
            entry.unwrap_or_default()
        };
        Ok(Position {
            size: size.with_context(|| format!("no size of the log in {status}"))?,
            last_entry: entry("/raft/last_entry"),
            purged_entry: entry("/raft/purged_entry"),
        })
    }

    /// Whether it says that it leads.
    fn leads(&self) -> bool {
        self.status().is_ok_and(|status| {
            let leader = status.pointer("/raft/leader").and_then(Value::as_u64);
            leader.is_some() && leader == status.get("node").and_then(Value::as_u64)
        })
    }

    /// Waits until its log has at least so many records; gives the first position that was seen,
    /// how long after the call, and how long it took in all.
    ///
    /// # Errors
    /// It is not there within the time.
    pub(super) fn await_size(&self, size: u64, within: Duration) -> Result<Awaited> {
        let begun = Instant::now();
        let mut first = None;
        loop {
            let position = self.position();
            let now = begun.elapsed();
            if let Ok(position) = position {
                let (first, answered) = *first.get_or_insert((position, now));
                if position.size >= size {
                    return Ok(Awaited {
                        first,
                        answered,
                        took: now,
                    });
                }
            }
            ensure!(
                now < within,
                "{:?} instead of {size} records after {within:?}: {}",
                self.position(),
                self.last_words()
            );
            std::thread::sleep(LOOK_AGAIN);
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may have ended by itself; nothing hangs on what these say.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// How a wait for a node went; times are from its beginning.
pub(super) struct Awaited {
    pub(super) first: Position,
    pub(super) answered: Duration,
    pub(super) took: Duration,
}

/// `strongroom dev --dir ROOT`, tied to this process, on free ports.
fn dev(program: &Path, root: &Path) -> Result<Command> {
    let mut command = tied::command(program)?;
    command
        .args(["dev", "--kmip-port", "0", "--web-port", "0", "--dir"])
        .arg(root)
        .stdin(Stdio::null());
    Ok(command)
}

/// Where the output of the node in `dir` goes: beside its folder.
fn said_in(dir: &Path, stream: &str) -> PathBuf {
    dir.with_extension(stream)
}

/// One node without a cluster.
pub(super) struct Single {
    pub(super) node: Node,
    _folder: TempDir,
}

impl Single {
    /// Founds it.
    pub(super) fn found() -> Result<Self> {
        let folder = TempDir::with_prefix("strongroom-bench-")?;
        let dir = folder.path().join("one");
        Ok(Self {
            node: Node::start(&dir, &[], &dir)?,
            _folder: folder,
        })
    }
}

/// Three nodes; node K has the folder `DIR/K`.
pub(super) struct Cluster {
    nodes: Vec<Option<Node>>,
    folder: TempDir,
}

impl Cluster {
    /// Founds it with `strongroom dev --nodes 3`, and then runs each node as a process of its own.
    pub(super) fn found() -> Result<Self> {
        let folder = TempDir::with_prefix("strongroom-bench-")?;
        let mut cluster = Self {
            nodes: (0..NODES).map(|_| None).collect(),
            folder,
        };
        cluster.bring_together()?;
        for number in 1..=NODES {
            cluster.begin(number)?;
        }
        for number in 1..=NODES {
            cluster.node_mut(number)?.await_ready()?;
        }
        Ok(cluster)
    }

    fn bring_together(&self) -> Result<()> {
        let root = self.folder.path();
        let (out, err) = (root.join("found.out"), root.join("found.err"));
        let mut child = dev(&strongroom()?, root)?
            .args(["--nodes", &NODES.to_string()])
            .stdout(File::create(&out)?)
            .stderr(File::create(&err)?)
            .spawn()?;
        let deadline = Instant::now() + FOUNDED_WITHIN;
        loop {
            // The line of a node comes before it is a voter; the welcome after the last of them is.
            let told = fs::read_to_string(&err)?;
            if told.contains("A cluster of") {
                break;
            }
            let goes_on = child.try_wait()?.is_none() && Instant::now() < deadline;
            if !goes_on {
                drop(terminate(&mut child));
            }
            ensure!(goes_on, "the cluster was not founded: {told}");
            std::thread::sleep(LOOK_AGAIN);
        }
        terminate(&mut child)
    }

    /// Starts a node without waiting for it.
    pub(super) fn begin(&mut self, number: u16) -> Result<()> {
        let dir = self.folder.path().join(number.to_string());
        let only = ["--nodes", &NODES.to_string(), "--only", &number.to_string()];
        let node = Node::begin(&dir, &only, self.folder.path())?;
        let seat = self.nodes.get_mut(usize::from(number) - 1);
        *seat.context("no such node")? = Some(node);
        Ok(())
    }

    /// Starts a node and waits until it serves and its log has at least `size` records.
    pub(super) fn bring_back(&mut self, number: u16, size: u64, within: Duration) -> Result<()> {
        self.begin(number)?;
        self.node_mut(number)?.await_ready()?;
        self.node(number)?.await_size(size, within)?;
        Ok(())
    }

    /// As after a crash: `kill -9`, and the time just before.
    pub(super) fn kill(&mut self, number: u16) -> Result<Instant> {
        let mut node = self.take(number)?;
        let at = Instant::now();
        node.child.kill()?;
        node.child.wait()?;
        Ok(at)
    }

    /// Ends a node in order.
    pub(super) fn stop(&mut self, number: u16) -> Result<()> {
        terminate(&mut self.take(number)?.child)
    }

    fn take(&mut self, number: u16) -> Result<Node> {
        let seat = self.nodes.get_mut(usize::from(number) - 1);
        let node = seat.and_then(Option::take);
        node.with_context(|| format!("node {number} does not run"))
    }

    /// A running node, numbered from 1.
    pub(super) fn node(&self, number: u16) -> Result<&Node> {
        let node = self.nodes.get(usize::from(number) - 1);
        let node = node.and_then(Option::as_ref);
        node.with_context(|| format!("node {number} does not run"))
    }

    /// As [`Cluster::node`], to wait for READY after [`Cluster::begin`].
    pub(super) fn node_mut(&mut self, number: u16) -> Result<&mut Node> {
        let node = self.nodes.get_mut(usize::from(number) - 1);
        let node = node.and_then(Option::as_mut);
        node.with_context(|| format!("node {number} does not run"))
    }

    /// The nodes that run.
    pub(super) fn running(&self) -> Vec<u16> {
        (1..=NODES).filter(|n| self.node(*n).is_ok()).collect()
    }

    /// Their processes.
    pub(super) fn pids(&self) -> Vec<u32> {
        self.nodes.iter().flatten().map(Node::pid).collect()
    }

    /// The node that leads, and the others that run.
    pub(super) fn roles(&self) -> Result<(u16, Vec<u16>)> {
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            let mut running = self.running();
            let leads = |n: &u16| self.node(*n).is_ok_and(Node::leads);
            if let Some(at) = running.iter().position(leads) {
                let leader = running.swap_remove(at);
                running.sort_unstable();
                return Ok((leader, running));
            }
            ensure!(Instant::now() < deadline, "no node says that it leads");
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    /// Waits until all that run have the same log; gives its size.
    pub(super) fn await_agreement(&self) -> Result<u64> {
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            let mut sizes = Vec::new();
            for number in self.running() {
                sizes.push(self.node(number)?.position()?.size);
            }
            if let Some(first) = sizes
                .first()
                .filter(|first| sizes.iter().all(|s| s == *first))
            {
                return Ok(*first);
            }
            ensure!(Instant::now() < deadline, "the logs differ: {sizes:?}");
            std::thread::sleep(LOOK_AGAIN);
        }
    }
}

/// SIGTERM, and the wait for the end.
fn terminate(child: &mut Child) -> Result<()> {
    let deadline = Instant::now() + END_WITHIN;
    if child.try_wait()?.is_none() {
        kill(Pid::from_raw(i32::try_from(child.id())?), Signal::SIGTERM)?;
    }
    while child.try_wait()?.is_none() {
        if Instant::now() > deadline {
            child.kill()?;
            child.wait()?;
            anyhow::bail!("SIGTERM did not end it within {END_WITHIN:?}");
        }
        std::thread::sleep(LOOK_AGAIN);
    }
    Ok(())
}
