//! A network of namespaces on one machine: a bridge in a hub, one namespace per node and one for
//! clients, and the ways in which networks fail.
//!
//! Everything is made with iproute2 and needs nothing of the kernel but network namespaces, veth
//! and a bridge. Who can hear whom is decided in the sender's neighbour table: every pair has a
//! permanent entry, and a link is *cut* by pointing that entry at a hardware address that nobody
//! has. Frames then go out and arrive nowhere, in this one direction, without an error for the
//! sender and without a word to established connections: what a broken switch does. (A blackhole
//! route would tell the sender at once; a link that is down tells both ends. The latter is a fault
//! of its own, [`Network::unplug`].)
//!
//! Loss and delay belong to traffic control. With the kernel's `netem` both are as asked for.
//! Without it, loss drops every 2^n-th packet of a connection (a `u32` match on the IP
//! identification, which counts packets, into a queue of length nothing), a slow line is a token
//! bucket, and delay is [`Unsupported`]; [`Support`] says which machine this is.
//!
//! Root is needed. Names begin with `srtest-` and the process id; what a killed test left behind is
//! cleared away by the next one.

use anyhow::{Context, Result, bail, ensure};
use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::File;
use std::io::Write;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;
use std::time::Duration;

/// All namespaces of tests begin so; the process id of the test follows.
const PREFIX: &str = "srtest-";
/// Where iproute2 keeps named namespaces.
const NAMESPACES: &str = "/var/run/netns";
/// Nodes in one network: an octet of addresses, less what clients need.
const NODES_MAX: u8 = 64;
/// Last octet of the clients' address.
const CLIENT_OCTET: u8 = 200;
/// The hardware address of nobody.
const NOBODY: &str = "02:77:ff:ff:ff:ff";
/// Rate of the class that is not limited, for queues that need a figure.
const UNLIMITED: &str = "10gbit";

/// One end of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// Node n, from 1.
    Node(u8),
    /// Where clients are.
    Client,
}

impl Place {
    fn octet(self) -> u8 {
        match self {
            Self::Node(n) => n,
            Self::Client => CLIENT_OCTET,
        }
    }

    fn name(self) -> String {
        match self {
            Self::Node(n) => format!("n{n}"),
            Self::Client => "client".to_owned(),
        }
    }
}

/// What this machine can do to a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Support {
    /// Delay with jitter, and random loss: the kernel has `netem`.
    pub netem: bool,
    /// Slow lines: the kernel has the token bucket `tbf`.
    pub token_bucket: bool,
    /// Loss of every 2^n-th packet: the kernel has `htb` and `u32`.
    pub periodic_loss: bool,
}

/// This machine cannot do that.
#[derive(Clone, Debug, thiserror::Error)]
#[error("this machine cannot {what}: its kernel lacks {lacks}")]
pub struct Unsupported {
    /// What was wanted.
    pub what: &'static str,
    /// What it would need.
    pub lacks: &'static str,
}

/// Namespaces on a bridge. Dropping it removes them; the processes inside are the fleet's to end.
#[derive(Debug)]
pub struct Network {
    prefix: String,
    third_octet: u8,
    places: Vec<Place>,
    support: Support,
}

impl Network {
    /// Whether this process may make networks at all; `Err` says what is missing.
    ///
    /// # Errors
    /// No iproute2, or no right to make namespaces.
    pub fn possible() -> Result<()> {
        let version = Command::new("ip").arg("-V").output();
        ensure!(
            version.is_ok_and(|output| output.status.success()),
            "network namespaces need `ip`: apt install iproute2"
        );
        ensure!(
            nix::unistd::geteuid().is_root(),
            "network namespaces need root: run the suite with sudo"
        );
        Ok(())
    }

    /// A network for nodes 1 to `nodes`, and clients; everybody hears everybody.
    ///
    /// # Errors
    /// What `ip` said.
    pub fn new(nodes: u8) -> Result<Self> {
        static NETWORKS: AtomicU8 = AtomicU8::new(1);
        Self::possible()?;
        ensure!(
            (1..=NODES_MAX).contains(&nodes),
            "1 to {NODES_MAX} nodes, not {nodes}"
        );
        clear_stale()?;
        let third_octet = NETWORKS.fetch_add(1, Ordering::Relaxed);
        let mut network = Self {
            prefix: format!("{PREFIX}{}-{third_octet}-", std::process::id()),
            third_octet,
            places: (1..=nodes)
                .map(Place::Node)
                .chain([Place::Client])
                .collect(),
            support: Support {
                netem: false,
                token_bucket: false,
                periodic_loss: false,
            },
        };
        network
            .build()
            .context("building a network of namespaces")?;
        network.support = network.probe()?;
        Ok(network)
    }

    fn build(&self) -> Result<()> {
        let hub = self.hub();
        ip(&["netns", "add", &hub])?;
        let mut in_hub = String::from("link add br0 type bridge\nlink set br0 up\n");
        for place in &self.places {
            let namespace = self.namespace(*place);
            ip(&["netns", "add", &namespace])?;
            let (port, mac) = (port(*place), self.mac(*place));
            in_hub += &format!(
                "link add {port} type veth peer name eth0 address {mac} netns {namespace}\n\
                 link set {port} master br0\nlink set {port} up\n"
            );
        }
        ip_batch(&hub, &in_hub)?;
        for place in &self.places {
            let address = self.address(*place);
            let lines =
                format!("link set lo up\nlink set eth0 up\naddr add {address}/24 dev eth0\n");
            ip_batch(&self.namespace(*place), &lines)?;
        }
        self.heal_links()
    }

    /// Tries each kind of queue on the clients' interface.
    fn probe(&self) -> Result<Support> {
        let namespace = self.namespace(Place::Client);
        let works = |queue: &[&str]| -> Result<bool> {
            let add = [&["qdisc", "add", "dev", "eth0", "root"], queue].concat();
            let works = tc(&namespace, &add).is_ok();
            if works {
                tc(&namespace, &["qdisc", "del", "dev", "eth0", "root"])?;
            }
            Ok(works)
        };
        Ok(Support {
            netem: works(&["netem", "delay", "1ms"])?,
            token_bucket: works(&["tbf", "rate", "1mbit", "burst", "4kb", "latency", "50ms"])?,
            periodic_loss: works(&["handle", "1:", "htb", "default", "1"])?,
        })
    }

    /// What this machine can do.
    pub fn support(&self) -> Support {
        self.support
    }

    /// The places of the network: its nodes, then the clients.
    pub fn places(&self) -> &[Place] {
        &self.places
    }

    /// The address of a place.
    pub fn address(&self, place: Place) -> Ipv4Addr {
        Ipv4Addr::new(10, 77, self.third_octet, place.octet())
    }

    fn mac(&self, place: Place) -> String {
        format!("02:77:00:00:{:02x}:{:02x}", self.third_octet, place.octet())
    }

    fn namespace(&self, place: Place) -> String {
        format!("{}{}", self.prefix, place.name())
    }

    fn hub(&self) -> String {
        format!("{}hub", self.prefix)
    }

    /// A command that will run `program` at a place. `ip` replaces itself by the program, so that
    /// signals to the child reach it.
    pub fn command(&self, place: Place, program: &Path) -> Command {
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", &self.namespace(place)])
            .arg(program);
        command
    }

    /// Does something at a place, on a thread of its own; sockets opened there stay there.
    ///
    /// # Errors
    /// The namespace cannot be entered.
    pub fn inside<T: Send>(&self, place: Place, work: impl FnOnce() -> T + Send) -> Result<T> {
        let door = self.door(place);
        thread::scope(|scope| {
            let thread = scope.spawn(|| {
                door.enter()?;
                Ok(work())
            });
            thread.join().expect("the work at a place panicked")
        })
    }

    /// The way into a place for threads that outlive a borrow of the network.
    pub fn door(&self, place: Place) -> Door {
        Door(Path::new(NAMESPACES).join(self.namespace(place)))
    }

    /// Nobody of the two hears the other.
    ///
    /// # Errors
    /// What `ip` said; so for every fault below.
    pub fn cut(&self, a: Place, b: Place) -> Result<()> {
        self.cut_one_way(a, b)?;
        self.cut_one_way(b, a)
    }

    /// `to` hears nothing of `from` any more; the other way goes on.
    pub fn cut_one_way(&self, from: Place, to: Place) -> Result<()> {
        ip_batch(&self.namespace(from), &self.neighbour(to, NOBODY))
    }

    /// Both hear each other again.
    pub fn mend(&self, a: Place, b: Place) -> Result<()> {
        for (from, to) in [(a, b), (b, a)] {
            ip_batch(&self.namespace(from), &self.neighbour(to, &self.mac(to)))?;
        }
        Ok(())
    }

    /// Nobody hears anybody of another group; places in no group are cut from all that are in one.
    pub fn split(&self, groups: &[&[Place]]) -> Result<()> {
        let group = |place: &Place| groups.iter().position(|group| group.contains(place));
        for from in &self.places {
            let far = self.places.iter().filter(|to| group(to) != group(from));
            let lines: String = far.map(|to| self.neighbour(*to, NOBODY)).collect();
            ip_batch(&self.namespace(*from), &lines)?;
        }
        Ok(())
    }

    /// A place hears nobody and is heard by nobody.
    pub fn isolate(&self, place: Place) -> Result<()> {
        for other in self.places.iter().filter(|other| **other != place) {
            self.cut(place, *other)?;
        }
        Ok(())
    }

    /// Pulls the cable: as [`Network::isolate`], and the place's own interface knows it.
    pub fn unplug(&self, place: Place) -> Result<()> {
        ip_batch(&self.hub(), &format!("link set {} down\n", port(place)))
    }

    /// Cuts and mends a link `times` times; blocks meanwhile, ends mended.
    pub fn flap(&self, a: Place, b: Place, down: Duration, up: Duration, times: u32) -> Result<()> {
        for _ in 0..times {
            self.cut(a, b)?;
            thread::sleep(down);
            self.mend(a, b)?;
            thread::sleep(up);
        }
        Ok(())
    }

    /// Everything sent to and by a place takes `delay`, give or take `jitter`, each way.
    ///
    /// # Errors
    /// [`Unsupported`] without `netem`.
    pub fn delay(&self, place: Place, delay: Duration, jitter: Duration) -> Result<()> {
        if !self.support.netem {
            bail!(Unsupported {
                what: "delay packets",
                lacks: "netem (CONFIG_NET_SCH_NETEM)",
            });
        }
        let (delay, jitter) = (
            format!("{}us", delay.as_micros()),
            format!("{}us", jitter.as_micros()),
        );
        self.queue(place, &["netem", "delay", &delay, &jitter])
    }

    /// Of what is sent to and by a place, one packet of 2^`exponent` is lost each way: at random
    /// with `netem`, else the n-th of each connection (never the answer to a connection request,
    /// whose identification is always 0).
    ///
    /// # Errors
    /// [`Unsupported`] with neither `netem` nor `htb`.
    pub fn lose(&self, place: Place, exponent: u32) -> Result<()> {
        ensure!(
            (1..=8).contains(&exponent),
            "one packet of 2 to 256, not 2^{exponent}"
        );
        let one_of = 1_u32 << exponent;
        if self.support.netem {
            let percent = format!("{:.3}%", 100.0 / f64::from(one_of));
            return self.queue(place, &["netem", "loss", &percent]);
        }
        if !self.support.periodic_loss {
            bail!(Unsupported {
                what: "lose packets",
                lacks: "netem and htb (CONFIG_NET_SCH_HTB)",
            });
        }
        self.queue(place, &["handle", "1:", "htb", "default", "1"])?;
        let mask = format!("{:#x}", one_of - 1);
        for (namespace, device) in self.both_ends(place) {
            let class = |id: &str| {
                let add = ["class", "add", "dev", &device, "parent", "1:"];
                // The quantum only quiets a warning about so high a rate.
                let class = ["classid", id, "htb", "rate", UNLIMITED, "quantum", "60000"];
                tc(&namespace, &[&add[..], &class[..]].concat())
            };
            class("1:1")?;
            class("1:2")?;
            let dead_end = [
                "qdisc", "add", "dev", &device, "parent", "1:2", "pfifo", "limit", "0",
            ];
            tc(&namespace, &dead_end)?;
            let filter = [
                "filter", "add", "dev", &device, "parent", "1:", "protocol", "ip",
            ];
            let rule = [
                "u32", "match", "u16", "0x1", &mask, "at", "4", "flowid", "1:2",
            ];
            tc(&namespace, &[&filter[..], &rule[..]].concat())?;
        }
        Ok(())
    }

    /// A slow line: so many kilobits a second each way, with up to 400 ms of queue.
    ///
    /// # Errors
    /// [`Unsupported`] without `tbf`.
    pub fn throttle(&self, place: Place, kilobits: u32) -> Result<()> {
        if !self.support.token_bucket {
            bail!(Unsupported {
                what: "slow down a line",
                lacks: "the token bucket (CONFIG_NET_SCH_TBF)",
            });
        }
        let rate = format!("{kilobits}kbit");
        self.queue(
            place,
            &["tbf", "rate", &rate, "burst", "4kb", "latency", "400ms"],
        )
    }

    /// The two interfaces of a place's line: its own, and the bridge's port.
    fn both_ends(&self, place: Place) -> [(String, String); 2] {
        [
            (self.namespace(place), "eth0".to_owned()),
            (self.hub(), port(place)),
        ]
    }

    /// Puts a queue at both ends of a place's line, in place of any that is there.
    fn queue(&self, place: Place, queue: &[&str]) -> Result<()> {
        for (namespace, device) in self.both_ends(place) {
            // There may be none.
            drop(tc(&namespace, &["qdisc", "del", "dev", &device, "root"]));
            let add = [&["qdisc", "add", "dev", &device, "root"], queue].concat();
            tc(&namespace, &add)?;
        }
        Ok(())
    }

    /// Ends every fault of the network.
    pub fn heal(&self) -> Result<()> {
        let plug = |place: &Place| format!("link set {} up\n", port(*place));
        ip_batch(
            &self.hub(),
            &self.places.iter().map(plug).collect::<String>(),
        )?;
        for place in &self.places {
            for (namespace, device) in self.both_ends(*place) {
                // There may be none.
                drop(tc(&namespace, &["qdisc", "del", "dev", &device, "root"]));
            }
        }
        self.heal_links()
    }

    fn heal_links(&self) -> Result<()> {
        for from in &self.places {
            let others = self.places.iter().filter(|to| *to != from);
            let lines: String = others
                .map(|to| self.neighbour(*to, &self.mac(*to)))
                .collect();
            ip_batch(&self.namespace(*from), &lines)?;
        }
        Ok(())
    }

    fn neighbour(&self, to: Place, mac: &str) -> String {
        let address = self.address(to);
        format!("neigh replace {address} lladdr {mac} nud permanent dev eth0\n")
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for place in &self.places {
            drop(ip(&["netns", "del", &self.namespace(*place)]));
        }
        drop(ip(&["netns", "del", &self.hub()]));
    }
}

/// A way into a namespace.
#[derive(Clone, Debug)]
pub struct Door(PathBuf);

impl Door {
    /// Moves the calling thread there, with every thread that it starts from then on.
    ///
    /// # Errors
    /// The namespace is gone, or root is missing.
    pub fn enter(&self) -> Result<()> {
        let file = File::open(&self.0).with_context(|| format!("{}", self.0.display()))?;
        setns(file, CloneFlags::CLONE_NEWNET)
            .with_context(|| format!("entering {}", self.0.display()))
    }
}

fn port(place: Place) -> String {
    format!("p-{}", place.name())
}

fn ip(arguments: &[&str]) -> Result<String> {
    run(Command::new("ip").args(arguments))
}

fn tc(namespace: &str, arguments: &[&str]) -> Result<String> {
    run(Command::new("tc").args(["-n", namespace]).args(arguments))
}

fn run(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("{command:?}"))?;
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {}", told.trim());
    Ok(String::from_utf8(output.stdout)?)
}

/// Several commands of `ip` in one namespace and one process.
fn ip_batch(namespace: &str, lines: &str) -> Result<()> {
    let mut child = Command::new("ip")
        .args(["-n", namespace, "-batch", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("ip -batch")?;
    let mut input = child.stdin.take().context("a pipe was asked for")?;
    input.write_all(lines.as_bytes())?;
    drop(input);
    let output = child.wait_with_output()?;
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "ip -n {namespace}: {}\n{lines}",
        told.trim()
    );
    Ok(())
}

/// Removes the namespaces of tests that are no more, and ends what still runs inside them.
fn clear_stale() -> Result<()> {
    let all = ip(&["netns", "list"])?;
    let names = all.lines().filter_map(|line| line.split(' ').next());
    for name in names.filter(|name| is_stale(name)) {
        let inside = ip(&["netns", "pids", name]).unwrap_or_default();
        for pid in inside.lines().filter_map(|line| line.trim().parse().ok()) {
            // It may have ended meanwhile.
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        // Another test may clear away the same at the same time.
        drop(ip(&["netns", "del", name]));
    }
    Ok(())
}

fn is_stale(name: &str) -> bool {
    let pid = name
        .strip_prefix(PREFIX)
        .and_then(|rest| rest.split('-').next());
    pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists())
}

#[cfg(test)]
mod tests;
