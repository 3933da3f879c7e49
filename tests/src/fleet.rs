//! A cluster as its operators have it: one process per node, in namespaces of their own or on
//! loopback.
//!
//! The first node founds the cluster; each other one is brought in the way people do it: a ticket
//! from a member, `strongroom cluster join` on the new machine, approval on a member. After that
//! nodes are killed, stopped, started, cut off, rolled back; `await_agreement` says when they are
//! one again. `join` has the steps by which a node becomes a member, `look` what operators look at,
//! `client` is a client that knows all nodes, `work` a load of such clients with the history of
//! what they saw.

pub mod client;
pub mod join;
pub mod look;
pub mod work;

use self::client::Endpoint;
use crate::client::Identity;
use crate::netns::{Door, Network, Place};
use crate::node::{READY_WITHIN, Site, strongroom};
use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::fs::{self, OpenOptions};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// How long a command may take that asks a running node; a stopped one never answers.
const COMMAND_WITHIN: Duration = Duration::from_secs(10);
/// How long one may take that reads and writes both logs.
const EXPORT_WITHIN: Duration = Duration::from_secs(60);
/// Between two looks at something awaited.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// Ports of nodes in namespaces: those of the product.
const PORTS: Ports = Ports {
    kmip: 5696,
    web: 9443,
    peer: 9001,
};
/// Loopback ports are looked for from here on, below the range that the kernel gives out, so that
/// no outgoing connection sits on the port of a node that is down.
const LOOPBACK_PORT_FIRST: u16 = 20_000;
/// And below this one.
const LOOPBACK_PORT_END: u16 = 32_000;
/// Lines of each stream of a node in a report.
const TAIL_LINES: usize = 15;

/// Where a fleet lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ground {
    /// All on 127.0.0.1; the network has no faults.
    Loopback,
    /// Each node in a namespace of its own; needs root.
    Namespaces,
}

#[derive(Clone, Copy, Debug)]
struct Ports {
    kmip: u16,
    web: u16,
    peer: u16,
}

/// What all nodes agree on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreement {
    /// Records in the cluster log.
    pub size: u64,
    /// Its Merkle root.
    pub root: String,
    /// Digest of the state.
    pub state_digest: String,
}

/// A process of a node.
#[derive(Debug)]
struct Process {
    child: Child,
    stopped: bool,
}

/// One machine of the fleet, whatever node lives on it.
#[derive(Debug)]
struct Seat {
    site: Site,
    address: IpAddr,
    ports: Ports,
    process: Option<Process>,
    /// Whether the node on it belongs to the cluster.
    is_member: bool,
}

/// A cluster of processes. Dropping it kills them all.
#[derive(Debug)]
pub struct Fleet {
    program: PathBuf,
    seats: Vec<Seat>,
    // After the seats: namespaces go when nobody is in them any more.
    network: Option<Network>,
}

impl Fleet {
    /// Founds a cluster and brings it to `nodes` members, numbered from 1.
    ///
    /// # Errors
    /// No program, no right to make namespaces, or a node that does not come up.
    pub fn found(nodes: u8, ground: Ground) -> Result<Self> {
        let mut fleet = Self::empty(nodes, ground)?;
        fleet.seats[0].is_member = true;
        fleet.start(1)?;
        for number in 2..=nodes {
            fleet.join(number, 1)?;
        }
        Ok(fleet)
    }

    /// Machines without nodes; [`Fleet::found_first`] and [`Fleet::join`] put them there.
    pub fn empty(nodes: u8, ground: Ground) -> Result<Self> {
        let network = match ground {
            Ground::Loopback => None,
            Ground::Namespaces => Some(Network::new(nodes)?),
        };
        let seat = |number| -> Result<Seat> {
            let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
            let (address, ports) = match &network {
                None => (loopback, free_ports()?),
                Some(network) => (network.address(Place::Node(number)).into(), PORTS),
            };
            Ok(Seat {
                site: Site::new()?,
                address,
                ports,
                process: None,
                is_member: false,
            })
        };
        Ok(Self {
            program: strongroom()?,
            seats: (1..=nodes).map(seat).collect::<Result<_>>()?,
            network,
        })
    }

    /// Starts the founder on a machine.
    pub fn found_first(&mut self, number: u8) -> Result<()> {
        self.seat_mut(number).is_member = true;
        self.start(number)
    }

    /// The network, when there is one to break.
    pub fn network(&self) -> Option<&Network> {
        self.network.as_ref()
    }

    /// The numbers of all machines.
    pub fn numbers(&self) -> impl Iterator<Item = u8> + use<> {
        1..=u8::try_from(self.seats.len()).expect("a fleet has at most 64 machines")
    }

    /// Machines whose node belongs to the cluster.
    pub fn members(&self) -> Vec<u8> {
        self.numbers().filter(|n| self.seat(*n).is_member).collect()
    }

    fn seat(&self, number: u8) -> &Seat {
        &self.seats[usize::from(number) - 1]
    }

    fn seat_mut(&mut self, number: u8) -> &mut Seat {
        &mut self.seats[usize::from(number) - 1]
    }

    /// The folder of a node, and what lies beside it.
    pub fn site(&self, number: u8) -> &Site {
        &self.seat(number).site
    }

    /// As [`Fleet::site`], to set the environment of the next start.
    pub fn site_mut(&mut self, number: u8) -> &mut Site {
        &mut self.seat_mut(number).site
    }

    /// Where a node serves KMIP.
    pub fn kmip(&self, number: u8) -> SocketAddr {
        let seat = self.seat(number);
        SocketAddr::new(seat.address, seat.ports.kmip)
    }

    /// Where a node serves `/health` and `/metrics`.
    pub fn web(&self, number: u8) -> SocketAddr {
        let seat = self.seat(number);
        SocketAddr::new(seat.address, seat.ports.web)
    }

    /// Every member, as a client finds it.
    pub fn endpoints(&self) -> Vec<Endpoint> {
        let endpoint = |node| Endpoint {
            node,
            address: self.kmip(node),
        };
        self.members().into_iter().map(endpoint).collect()
    }

    /// A client that every node knows.
    pub fn identity(&self, name: &str) -> Identity {
        Identity::of(&self.seat(1).site.dir(), name)
    }

    /// The way into the namespace of clients; none on loopback.
    pub fn client_door(&self) -> Option<Door> {
        self.network
            .as_ref()
            .map(|network| network.door(Place::Client))
    }

    /// Whether the process of a node runs (stopped counts as running).
    pub fn runs(&mut self, number: u8) -> bool {
        let process = self.seat_mut(number).process.as_mut();
        process.is_some_and(|process| matches!(process.child.try_wait(), Ok(None)))
    }

    /// The program at a machine's place in the network.
    fn command(&self, number: u8) -> Command {
        match &self.network {
            None => Command::new(&self.program),
            Some(network) => network.command(Place::Node(number), &self.program),
        }
    }

    /// Starts the node of a machine and waits until it serves.
    ///
    /// # Errors
    /// It ended or said nothing in time; with what it said last.
    pub fn start(&mut self, number: u8) -> Result<()> {
        self.begin(number)?;
        self.await_ready(number)
    }

    /// Starts the node of a machine, without waiting.
    pub fn begin(&mut self, number: u8) -> Result<()> {
        ensure!(!self.runs(number), "node {number} runs already");
        let seat = self.seat(number);
        let mut command = self.command(number);
        let ports = seat.ports;
        command
            .args(["dev", "--address", &seat.address.to_string()])
            .args(["--kmip-port", &ports.kmip.to_string()])
            .args(["--web-port", &ports.web.to_string()])
            .args(["--peer-port", &ports.peer.to_string()])
            .arg("--dir")
            .arg(seat.site.dir())
            .envs(
                seat.site
                    .variables()
                    .iter()
                    .map(|(name, value)| (name, value)),
            )
            .stdin(Stdio::null())
            .stdout(self.stream(number, "stdout", true)?)
            .stderr(self.stream(number, "stderr", false)?);
        let child = command.spawn().with_context(|| format!("{command:?}"))?;
        self.seat_mut(number).process = Some(Process {
            child,
            stopped: false,
        });
        Ok(())
    }

    /// A file that takes a stream of a node; a new start says READY anew, so stdout begins empty.
    fn stream(&self, number: u8, name: &str, anew: bool) -> Result<fs::File> {
        let path = self.seat(number).site.beside(name);
        let mut options = OpenOptions::new();
        options.create(true).write(true);
        options.append(!anew).truncate(anew);
        options
            .open(&path)
            .with_context(|| path.display().to_string())
    }

    /// Waits until a started node says READY.
    pub fn await_ready(&mut self, number: u8) -> Result<()> {
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            let said = fs::read_to_string(self.seat(number).site.beside("stdout"))?;
            if said.lines().any(|line| line.starts_with("READY ")) && said.ends_with('\n') {
                return Ok(());
            }
            let runs = self.runs(number);
            ensure!(
                runs,
                "node {number} ended before READY\n{}",
                self.tail(number)
            );
            let in_time = Instant::now() < deadline;
            ensure!(
                in_time,
                "node {number}: no READY in time\n{}",
                self.tail(number)
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Kills a node as a crash does. Nothing happens when it does not run.
    pub fn kill(&mut self, number: u8) -> Result<()> {
        if let Some(mut process) = self.seat_mut(number).process.take() {
            process.child.kill()?;
            process.child.wait()?;
        }
        Ok(())
    }

    /// Ends a node as an operator does.
    pub fn terminate(&mut self, number: u8) -> Result<()> {
        self.signal(number, Signal::SIGTERM)?;
        let deadline = Instant::now() + COMMAND_WITHIN;
        while self.runs(number) {
            ensure!(
                Instant::now() < deadline,
                "SIGTERM did not end it\n{}",
                self.tail(number)
            );
            std::thread::sleep(Duration::from_millis(10));
        }
        self.seat_mut(number).process = None;
        Ok(())
    }

    /// From now on the node of this machine does not belong to the cluster.
    pub fn give_up(&mut self, number: u8) {
        self.seat_mut(number).is_member = false;
    }

    /// Stops a node in its tracks: it holds its sockets and answers nobody.
    pub fn stop(&mut self, number: u8) -> Result<()> {
        self.signal(number, Signal::SIGSTOP)?;
        self.set_stopped(number, true);
        Ok(())
    }

    /// Lets a stopped node go on.
    pub fn go_on(&mut self, number: u8) -> Result<()> {
        self.signal(number, Signal::SIGCONT)?;
        self.set_stopped(number, false);
        Ok(())
    }

    fn set_stopped(&mut self, number: u8, stopped: bool) {
        if let Some(process) = &mut self.seat_mut(number).process {
            process.stopped = stopped;
        }
    }

    fn signal(&self, number: u8, signal: Signal) -> Result<()> {
        let process = self.seat(number).process.as_ref();
        let process = process.with_context(|| format!("node {number} does not run"))?;
        let pid = Pid::from_raw(i32::try_from(process.child.id())?);
        kill(pid, signal).with_context(|| format!("{signal} to node {number}"))
    }

    /// Ends every fault of processes and network and brings every member up, retrying for
    /// `within` with those that do not come up at once.
    ///
    /// # Errors
    /// A node that does not come up, with what it says.
    pub fn heal(&mut self, within: Duration) -> Result<()> {
        if let Some(network) = &self.network {
            network.heal()?;
        }
        let deadline = Instant::now() + within;
        for number in self.members() {
            if self.runs(number) {
                if self.is_stopped(number) {
                    self.go_on(number)?;
                }
                continue;
            }
            self.begin(number)?;
        }
        for number in self.members() {
            while let Err(error) = self.await_ready(number) {
                if Instant::now() > deadline {
                    return Err(error);
                }
                self.kill(number)?;
                self.approve_whoever_waits();
                self.begin(number)?;
            }
        }
        Ok(())
    }

    /// A node that lost its memory may have to be let in anew, under a new number.
    fn approve_whoever_waits(&mut self) {
        for sponsor in self.running() {
            let approved = self.cli(sponsor, &["cluster", "approve", "--all"]);
            if approved.is_ok_and(|output| output.status.success()) {
                break;
            }
        }
        std::thread::sleep(LOOK_AGAIN);
    }

    fn is_stopped(&self, number: u8) -> bool {
        let process = self.seat(number).process.as_ref();
        process.is_some_and(|process| process.stopped)
    }

    /// Runs a command of the program on a node's folder, as its operator would.
    ///
    /// # Errors
    /// It does not end within ten seconds: the node is stopped or hangs.
    pub fn cli(&self, number: u8, arguments: &[&str]) -> Result<Output> {
        let mut command = self.command(number);
        command
            .arg("--dir")
            .arg(self.seat(number).site.dir())
            .args(arguments);
        let within = match arguments {
            ["export", ..] => EXPORT_WITHIN,
            _ => COMMAND_WITHIN,
        };
        run_within(&mut command, within)
    }

    /// As [`Fleet::cli`], which must succeed; gives what was printed.
    pub fn run(&self, number: u8, arguments: &[&str]) -> Result<String> {
        let output = self.cli(number, arguments)?;
        let told = String::from_utf8_lossy(&output.stderr);
        let succeeded = output.status.success();
        ensure!(
            succeeded,
            "node {number}: strongroom {}: {told}",
            arguments.join(" ")
        );
        Ok(String::from_utf8(output.stdout)?)
    }

    /// As [`Fleet::run`] with `--json`, parsed.
    pub fn json(&self, number: u8, arguments: &[&str]) -> Result<Value> {
        let text = self.run(number, &[arguments, &["--json"]].concat())?;
        serde_json::from_str(&text).with_context(|| format!("not JSON: {text}"))
    }

    /// The machine whose node leads, as most running nodes say.
    ///
    /// # Errors
    /// Nobody says who leads within `within`.
    pub fn leader(&mut self, within: Duration) -> Result<u8> {
        let deadline = Instant::now() + within;
        loop {
            for number in self.running() {
                if let Some(leader) = self.leads(number) {
                    return Ok(leader);
                }
            }
            ensure!(
                Instant::now() < deadline,
                "no leader within {within:?}\n{}",
                self.tails()
            );
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    /// The machine, if the node of it says that it leads itself.
    fn leads(&self, number: u8) -> Option<u8> {
        let status = self.json(number, &["status"]).ok()?;
        let node = status.get("node")?.as_u64()?;
        (status.pointer("/raft/leader")?.as_u64()? == node).then_some(number)
    }

    /// The number that a node has in the cluster; it changes when the node comes back.
    ///
    /// # Errors
    /// The node does not answer.
    pub fn node_number(&self, number: u8) -> Result<u64> {
        let status = self.json(number, &["status"])?;
        let node = status.get("node").and_then(Value::as_u64);
        node.with_context(|| format!("no node in the status: {status}"))
    }

    /// Machines whose node runs and is not stopped.
    pub fn running(&mut self) -> Vec<u8> {
        let members = self.members();
        let running = members
            .into_iter()
            .filter(|n| self.runs(*n) && !self.is_stopped(*n));
        running.collect()
    }

    /// Waits until every member runs and all have the same log and the same state.
    ///
    /// # Errors
    /// They do not within `within`; with what each said last.
    pub fn await_agreement(&mut self, within: Duration) -> Result<Agreement> {
        let deadline = Instant::now() + within;
        loop {
            let mut views = Vec::new();
            for number in self.members() {
                views.push((number, self.view(number)));
            }
            let first = views
                .first()
                .and_then(|(_, view)| view.as_ref().ok())
                .cloned();
            let agree = |(_, view): &(u8, Result<Agreement>)| view.as_ref().ok() == first.as_ref();
            if let Some(agreement) = first.clone().filter(|_| views.iter().all(agree)) {
                return Ok(agreement);
            }
            if Instant::now() > deadline {
                let views = views
                    .into_iter()
                    .map(|(n, view)| format!("node {n}: {view:?}\n"));
                let views: String = views.collect();
                bail!("no agreement within {within:?}\n{views}{}", self.tails());
            }
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    fn view(&mut self, number: u8) -> Result<Agreement> {
        ensure!(self.runs(number), "it does not run");
        let status = self.json(number, &["status", "--digest"])?;
        let text = |pointer: &str| {
            let value = status.pointer(pointer).and_then(Value::as_str);
            let value = value.map(str::to_owned);
            value.with_context(|| format!("no {pointer} in the status: {status}"))
        };
        let number = |pointer: &str| {
            let value = status.pointer(pointer).and_then(Value::as_u64);
            value.with_context(|| format!("no {pointer} in the status: {status}"))
        };
        let (size, digested) = (number("/cluster_log/size")?, number("/state/records")?);
        ensure!(
            size == digested,
            "the log grew while the state was digested: {status}"
        );
        Ok(Agreement {
            size,
            root: text("/cluster_log/root")?,
            state_digest: text("/state/digest")?,
        })
    }

    /// Turns the clock of a node by so many seconds.
    pub fn turn_clock(&self, number: u8, seconds: i64) -> Result<()> {
        let file = self.seat(number).site.dir().join("clock-offset");
        fs::write(&file, seconds.to_string()).with_context(|| file.display().to_string())
    }

    /// The last lines that a node said.
    pub fn tail(&self, number: u8) -> String {
        let mut text = String::new();
        for stream in ["stdout", "stderr"] {
            let said = fs::read(self.seat(number).site.beside(stream)).unwrap_or_default();
            let said = String::from_utf8_lossy(&said).into_owned();
            let lines: Vec<&str> = said.lines().collect();
            let from = lines.len().saturating_sub(TAIL_LINES);
            text += &format!(
                "--- node {number}, {stream} ---\n{}\n",
                lines[from..].join("\n")
            );
        }
        text
    }

    /// The last lines that each node said.
    pub fn tails(&self) -> String {
        self.numbers().map(|number| self.tail(number)).collect()
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for number in self.numbers() {
            drop(self.kill(number));
        }
    }
}

/// Runs a command to its end, or kills it.
pub(crate) fn run_within(command: &mut Command, within: Duration) -> Result<Output> {
    let folder = tempfile::tempdir()?;
    let (out, err) = (folder.path().join("out"), folder.path().join("err"));
    let mut child = command
        .stdin(Stdio::null())
        .stdout(fs::File::create(&out)?)
        .stderr(fs::File::create(&err)?)
        .spawn()
        .with_context(|| format!("{command:?}"))?;
    let deadline = Instant::now() + within;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if Instant::now() > deadline {
            child.kill()?;
            child.wait()?;
            let told = fs::read_to_string(&err).unwrap_or_default();
            bail!("{command:?} did not end within {within:?}: {told}");
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    Ok(Output {
        status,
        stdout: fs::read(&out)?,
        stderr: fs::read(&err)?,
    })
}

/// Three loopback ports that nobody listens on, different for each process of tests.
fn free_ports() -> Result<Ports> {
    use std::sync::atomic::{AtomicU16, Ordering};
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let range = LOOPBACK_PORT_END - LOOPBACK_PORT_FIRST;
    let start = u16::try_from(std::process::id() % u32::from(range) / 64 * 64)?;
    let free = || {
        for _ in 0..range {
            let step = start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
            let port = LOOPBACK_PORT_FIRST + step % range;
            if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
                return Ok(port);
            }
        }
        bail!("no free port from {LOOPBACK_PORT_FIRST} to {LOOPBACK_PORT_END}");
    };
    Ok(Ports {
        kmip: free()?,
        web: free()?,
        peer: free()?,
    })
}

/// Copies a folder with everything in it; sockets are left out.
pub fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        let kind = entry.file_type()?;
        if kind.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else if kind.is_file() {
            fs::copy(entry.path(), &target)?;
        }
    }
    fs::set_permissions(to, fs::metadata(from)?.permissions())?;
    Ok(())
}
