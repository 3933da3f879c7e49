//! A machine under test in a network namespace, and what is at the other end of its cables.

use network::NetworkStatus;
use nix::unistd::chown;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Longest wait for anything: the machine that runs the tests may be busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// The users of the programs in the image.
const USER: u32 = 902;
const TIME_USER: u32 = 903;

/// Namespaces `srN-NAME` (the machine, with the program) and `srN-NAME-0`, … (the far ends).
pub(crate) struct World {
    name: String,
    ports: usize,
    folder: tempfile::TempDir,
    program: Child,
}

/// A program that ends with the test.
pub(crate) struct Running(Child);

impl Running {
    /// What it may do beyond any user, as the kernel says it (CapEff in proc(5)).
    pub(crate) fn capabilities(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap();
        let held = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
        u64::from_str_radix(held.unwrap().trim(), 16).unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn command(line: &[&str]) -> Output {
    let (program, arguments) = line.split_first().unwrap();
    let output = Command::new(program).args(arguments).output();
    output.unwrap_or_else(|error| panic!("{line:?}: {error}"))
}

fn run(line: &[&str]) -> String {
    let output = command(line);
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{line:?}: {words}");
    String::from_utf8(output.stdout).unwrap()
}

/// Waits for something that will be so.
pub(crate) fn until(what: &str, mut so: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !so() {
        assert!(begin.elapsed() < PATIENCE, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

impl World {
    /// A machine with so many interfaces, or `None`, said aloud, where that cannot be.
    pub(crate) fn new(test: &str, ports: usize) -> Option<World> {
        let name = format!("sr{}-{test}", std::process::id());
        let made = Command::new("ip").args(["netns", "add", &name]).output();
        if !made.is_ok_and(|output| output.status.success()) {
            eprintln!("skipped: no network namespace can be made (needs root and iproute2)");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        // The second interface is made first, and neither has its final name.
        for port in 0..ports {
            let far = format!("{name}-{port}");
            run(&["ip", "netns", "add", &far]);
            run(&[
                "ip",
                "link",
                "add",
                "port0",
                "netns",
                &far,
                "type",
                "veth",
                "peer",
                "name",
                &format!("card{port}"),
                "netns",
                &name,
            ]);
            run(&["ip", "-n", &far, "link", "set", "port0", "up"]);
        }
        let log = fs::File::create(folder.path().join("log")).unwrap();
        // As in the image: its own user, no more than these capabilities.
        let capabilities = "-all,+net_admin,+net_raw,+net_bind_service";
        chown(folder.path(), Some(USER.into()), Some(USER.into())).unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let program = Command::new("ip")
            .args([
                "netns",
                "exec",
                &name,
                "setpriv",
                "--clear-groups",
                "--no-new-privs",
            ])
            .args([format!("--reuid={USER}"), format!("--regid={USER}")])
            .arg(format!("--inh-caps={capabilities}"))
            .arg(format!("--ambient-caps={capabilities}"))
            .arg(format!("--bounding-set={capabilities}"))
            .arg(env!("CARGO_BIN_EXE_strongroom-network"))
            .args([folder.path().join("network.json"), folder.path().to_owned()])
            .stderr(log)
            .spawn()
            .unwrap();
        Some(World {
            name,
            ports,
            folder,
            program,
        })
    }

    /// The operator's choice; replaced at once, as the daemon does.
    pub(crate) fn settings(&self, settings: &Value) {
        let new = self.folder.path().join("network.json.new");
        fs::write(&new, settings.to_string()).unwrap();
        fs::rename(new, self.state("network.json")).unwrap();
    }

    pub(crate) fn no_settings(&self) {
        fs::remove_file(self.state("network.json")).unwrap();
    }

    pub(crate) fn state(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    /// The status as soon as it is as wanted.
    pub(crate) fn wait(&self, wanted: impl Fn(&NetworkStatus) -> bool) -> NetworkStatus {
        let begin = Instant::now();
        loop {
            let bytes = fs::read(self.state("status.json")).unwrap_or_default();
            let status: Option<NetworkStatus> = serde_json::from_slice(&bytes).ok();
            if let Some(status) = status.filter(&wanted) {
                return status;
            }
            if begin.elapsed() > PATIENCE {
                let log = fs::read_to_string(self.state("log")).unwrap();
                let status = String::from_utf8_lossy(&bytes).into_owned();
                panic!("waited in vain; it said:\n{log}\nand wrote:\n{status}");
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn line<'a>(namespace: &'a str, line: &[&'a str]) -> Vec<&'a str> {
        let mut whole = vec!["ip", "netns", "exec", namespace];
        whole.extend(line);
        whole
    }

    /// Runs a command on the machine.
    pub(crate) fn inside(&self, line: &[&str]) -> String {
        run(&World::line(&self.name, line))
    }

    /// Runs a command on the machine that may fail.
    pub(crate) fn may(&self, line: &[&str]) -> bool {
        command(&World::line(&self.name, line)).status.success()
    }

    /// Runs a command at the far end of a cable.
    pub(crate) fn outside(&self, port: usize, line: &[&str]) -> String {
        run(&World::line(&format!("{}-{port}", self.name), line))
    }

    /// Runs a command at the far end of a cable that may fail.
    pub(crate) fn outside_may(&self, port: usize, line: &[&str]) -> bool {
        let far = format!("{}-{port}", self.name);
        command(&World::line(&far, line)).status.success()
    }

    /// Packets that the machine has sent by an interface.
    pub(crate) fn sent(&self, interface: usize) -> u64 {
        let path = format!("/sys/class/net/eth{interface}/statistics/tx_packets");
        self.inside(&["cat", &path]).trim().parse().unwrap()
    }

    /// dnsmasq at the far end of the first cable, with leases that are renewed after 6 s.
    pub(crate) fn dhcp_server(&self) -> Option<Running> {
        self.outside(0, &["ip", "addr", "add", "192.0.2.1/24", "dev", "port0"]);
        self.dnsmasq(&[
            "--port=0",
            "--dhcp-range=192.0.2.100,192.0.2.150,2m",
            "--dhcp-authoritative",
            "--dhcp-option=3,192.0.2.1",
            "--dhcp-option=6,192.0.2.53",
            "--dhcp-option=42,192.0.2.123",
            "--dhcp-option=58,6",
            "--dhcp-option=59,60",
        ])
    }

    /// dnsmasq as a router that advertises itself every four seconds.
    pub(crate) fn router(&self) -> Option<Running> {
        self.dnsmasq(&[
            "--port=0",
            "--enable-ra",
            "--dhcp-range=2001:db8::,ra-only",
            "--ra-param=port0,4,60",
        ])
    }

    /// dnsmasq as a name server that knows one name.
    pub(crate) fn name_server(&self) -> Option<Running> {
        self.dnsmasq(&[
            "--no-resolv",
            "--no-hosts",
            "--address=/time.example.org/192.0.2.1",
        ])
    }

    /// chronyd at the far end of the first cable; `-x` leaves the clock of this machine alone.
    pub(crate) fn time_server(&self) -> Option<Running> {
        let (conf, pid) = (self.state("chrony.conf"), self.state("chrony.pid"));
        let lines = format!(
            "local stratum 10\nallow 192.0.2.0/24\nbindaddress 192.0.2.1\ncmdport 0\n\
             bindcmdaddress /\npidfile {}\n",
            pid.display()
        );
        fs::write(&conf, lines).unwrap();
        let there = Command::new("chronyd").arg("--version").output();
        if !there.is_ok_and(|output| output.status.success()) {
            eprintln!("skipped: there is no chronyd (chrony)");
            return None;
        }
        let server = Command::new("ip")
            .args(["netns", "exec", &format!("{}-0", self.name), "chronyd"])
            .args(["-x", "-d", "-u", "root", "-f"])
            .arg(&conf)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Some(Running(server.unwrap()))
    }

    /// `strongroom-time` on the machine, without any capability, with the machine's name servers;
    /// its files are in `time`, what it says in `time.log`.
    pub(crate) fn timekeeper(&self) -> Running {
        let state = self.state("time");
        fs::create_dir(&state).unwrap();
        chown(&state, Some(TIME_USER.into()), Some(TIME_USER.into())).unwrap();
        let log = fs::File::create(self.state("time.log")).unwrap();
        // A link in the image, and `ip netns exec` gives a process file systems of its own.
        let resolver = "mount --bind \"$0\" /etc/resolv.conf && exec \"$@\"";
        let program = Command::new("ip")
            .args(["netns", "exec", &self.name, "sh", "-c", resolver])
            .arg(self.state("resolv.conf"))
            .args(["setpriv", "--clear-groups", "--no-new-privs"])
            .args([
                format!("--reuid={TIME_USER}"),
                format!("--regid={TIME_USER}"),
            ])
            .args([
                "--inh-caps=-all",
                "--ambient-caps=-all",
                "--bounding-set=-all",
            ])
            .arg(env!("CARGO_BIN_EXE_strongroom-time"))
            .args([self.state("network.json"), state])
            .stderr(log)
            .spawn();
        Running(program.unwrap())
    }

    fn dnsmasq(&self, options: &[&str]) -> Option<Running> {
        let there = Command::new("dnsmasq").arg("--version").output();
        if !there.is_ok_and(|output| output.status.success()) {
            eprintln!("skipped: there is no dnsmasq (dnsmasq-base)");
            return None;
        }
        let log = fs::File::create(self.state("dnsmasq.log")).unwrap();
        let leases = self.state("leases");
        let server = Command::new("ip")
            .args(["netns", "exec", &format!("{}-0", self.name), "dnsmasq"])
            .args(["--no-daemon", "--conf-file=/dev/null", "--log-dhcp"])
            .arg("--user=root")
            .args(options)
            .arg(format!("--dhcp-leasefile={}", leases.display()))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Some(Running(server))
    }

    /// What the program said.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.state("log")).unwrap()
    }

    /// What the timekeeper said.
    pub(crate) fn said_of_time(&self) -> String {
        fs::read_to_string(self.state("time.log")).unwrap()
    }

    pub(crate) fn server_log(&self) -> String {
        fs::read_to_string(self.state("dnsmasq.log")).unwrap()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
        for port in 0..self.ports {
            command(&["ip", "netns", "del", &format!("{}-{port}", self.name)]);
        }
        command(&["ip", "netns", "del", &self.name]);
    }
}
