//! An appliance as its operator has it: the image in a machine, its serial line, its doors.

use crate::client::{Client, Identity};
use crate::image;
use anyhow::{Context, Result, bail, ensure};
use qemu::{Boot, Builder, Disk, Format, Kernel, Machine, Nic};
use serde_json::Value;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Memory of the machine, in MiB: what the product promises to be enough.
const MEMORY_MIB: u32 = 1024;
/// The KMIP port in the machine.
const KMIP: u16 = 5696;
/// The web port in the machine.
const WEB: u16 = 9443;
/// The port of its SSH door in the machine.
const SSH: u16 = 22;
/// The status port in the machine.
const STATUS: u16 = 9081;
/// How long the guest may take to ask something; argon2id and the founding come in between, and
/// a processor that is emulated may have to share its core.
pub const PROMPT_WITHIN: Duration = Duration::from_secs(120);
/// How long it may take to end after `halt`.
const HALT_WITHIN: Duration = Duration::from_secs(60);
/// How long clients try until it serves.
const SERVING_WITHIN: Duration = Duration::from_secs(120);
/// Where the firmware hands over a set-up file.
const SETUP_ENTRY: &str = "opt/strongroom/setup";

/// Password of the first administrator in every suite.
pub const PASSWORD: &str = "correct horse battery";
/// Recovery passphrase in the set-up file of every suite.
const PASSPHRASE: &str = "a passphrase for this box";

/// Everything that the first dialogue may ask, in any order.
const ITEMS: [&str; 32] = [
    "hostname",
    "domain",
    "eth0.ipv4",
    "eth0.address",
    "eth0.gateway",
    "eth0.vlan",
    "eth0.ipv6",
    "eth1.ipv4",
    "dns",
    "timezone",
    "ntp",
    "approved",
    "kmip.listen",
    "web.listen",
    "cluster.listen",
    "ca.subject",
    "admin.name",
    "admin.password",
    "admin.password.again",
    "admin.ssh-key",
    "unlock",
    "unlock.passphrase",
    "unlock.passphrase.again",
    "recovery",
    "recovery.passphrase",
    "recovery.passphrase.again",
    "clock",
    "set-up.confirm",
    "share.1",
    "share.2",
    "share.3",
    "set-up.serve",
];

/// One disk, and the machine that runs from it, if it is switched on.
#[derive(Debug)]
pub struct Appliance {
    folder: TempDir,
    image: PathBuf,
    setup: Option<String>,
    first_card: Nic,
    second_card: Option<Nic>,
    clock: Option<String>,
    machine: Option<Machine>,
    /// When it was switched on last.
    on_since: Instant,
}

/// Set-up file of an appliance that starts by itself; `more` is appended.
pub fn setup_file(more: &str) -> String {
    format!(
        "# strongroom setup 1\nhostname = kms1\ndomain = example.org\neth0.ipv4 = dhcp\n\
         admin.password = {PASSWORD}\nunlock = disk\nrecovery = passphrase\n\
         recovery.passphrase = {PASSPHRASE}\n{more}"
    )
}

impl Appliance {
    /// A new disk with the image on it.
    pub fn new() -> Result<Self> {
        Self::of(image::folder()?)
    }

    /// A new disk with the image of that folder on it.
    pub fn of(image: PathBuf) -> Result<Self> {
        Ok(Self {
            folder: TempDir::with_prefix("appliance-")?,
            image,
            setup: None,
            first_card: Self::nic(),
            second_card: None,
            clock: None,
            machine: None,
            on_since: Instant::now(),
        })
    }

    /// From now on the firmware hands over this set-up file.
    pub fn hand_over(&mut self, setup: impl Into<String>) {
        self.setup = Some(setup.into());
    }

    /// From now on it reaches what this host reaches; the host is 10.0.2.2.
    pub fn let_out(&mut self) {
        self.first_card = Self::nic().open();
    }

    /// From now on it has a second network card.
    pub fn plug_in(&mut self, card: Nic) {
        self.second_card = Some(card);
    }

    /// From now on its clock says that it is this time in UTC when it is switched on.
    pub fn begin_at(&mut self, clock: impl Into<String>) {
        self.clock = Some(clock.into());
    }

    /// The disk: what differs from the image.
    pub fn disk(&self) -> PathBuf {
        self.beside("disk.qcow2")
    }

    /// A path beside the disk.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Folder of the image.
    pub fn image(&self) -> &Path {
        &self.image
    }

    /// Switches it on: kernel, initrd and command line without firmware in between.
    pub fn switch_on(&mut self) -> Result<()> {
        let disk = Disk::overlay(self.image.join("disk.raw"), Format::Raw, self.disk());
        let disk = disk.ignoring_host_flushes();
        self.switch_on_with(disk)
    }

    /// As [`Appliance::switch_on`], from another disk.
    pub fn switch_on_with(&mut self, disk: Disk) -> Result<()> {
        let cmdline = fs::read_to_string(self.image.join("cmdline"))?;
        let boot = Boot::Kernel(Kernel {
            kernel: self.image.join("kernel"),
            initrd: Some(self.image.join("initrd")),
            cmdline: cmdline.trim_end().to_owned(),
        });
        let nic = self.first_card.clone();
        let mut machine = Machine::builder("strongroom", boot)
            .memory_mib(MEMORY_MIB)
            .disk(disk)
            .nic(nic);
        if let Some(card) = &self.second_card {
            machine = machine.nic(card.clone());
        }
        if let Some(clock) = &self.clock {
            machine = machine.clock(clock);
        }
        if let Some(setup) = &self.setup {
            machine = machine.entry_text(SETUP_ENTRY, setup.clone());
        }
        self.switch_on_machine(machine)
    }

    /// Switches on a machine that the caller has put together.
    pub fn switch_on_machine(&mut self, machine: Builder) -> Result<()> {
        self.on_since = Instant::now();
        self.machine = Some(machine.start()?);
        Ok(())
    }

    /// A network adapter whose ports for clients and operators are reached from here.
    pub fn nic() -> Nic {
        let nic = Nic::user().forward(KMIP).forward(WEB);
        nic.forward(SSH).forward(STATUS)
    }

    /// Since when it is on.
    pub fn on_for(&self) -> Duration {
        self.on_since.elapsed()
    }

    /// The machine.
    ///
    /// # Errors
    /// It is off.
    pub fn machine(&mut self) -> Result<&mut Machine> {
        self.machine.as_mut().context("the appliance is off")
    }

    /// Where clients reach its KMIP port.
    pub fn kmip(&self) -> Result<SocketAddr> {
        let machine = self.machine.as_ref().context("the appliance is off")?;
        machine.forwarded(KMIP).context("KMIP is forwarded")
    }

    /// Where browsers reach its web port.
    pub fn web(&self) -> Result<SocketAddr> {
        let machine = self.machine.as_ref().context("the appliance is off")?;
        machine.forwarded(WEB).context("the web port is forwarded")
    }

    /// Where anybody reaches its status port.
    pub fn status(&self) -> Result<SocketAddr> {
        let machine = self.machine.as_ref().context("the appliance is off")?;
        let address = machine.forwarded(STATUS);
        address.context("the status port is forwarded")
    }

    /// At which port SSH is reached from here.
    pub fn ssh_port(&self) -> Result<u16> {
        let machine = self.machine.as_ref().context("the appliance is off")?;
        let address = machine.forwarded(SSH).context("SSH is forwarded")?;
        Ok(address.port())
    }

    /// Waits for a prompt and answers it; gives what was printed before.
    pub fn answer(&mut self, id: &str, text: &str) -> Result<String> {
        let serial = self.machine()?.serial();
        let before = serial.at_prompt(id, PROMPT_WITHIN)?;
        serial.send_line(text)?;
        Ok(before)
    }

    /// The whole first dialogue: these answers where they are asked for, the default elsewhere,
    /// shares typed back as they were shown. Gives the ids that were asked for.
    pub fn first_run(&mut self, answers: &[(&str, &str)]) -> Result<Vec<String>> {
        let asked = self.dialogue_until("set-up.serve", answers)?;
        let serial = self.machine()?.serial();
        serial.send_line("yes")?;
        serial.expect("The appliance serves.", PROMPT_WITHIN)?;
        Ok(asked)
    }

    /// As [`Appliance::first_run`], up to a prompt that is left open.
    pub fn dialogue_until(&mut self, last: &str, answers: &[(&str, &str)]) -> Result<Vec<String>> {
        let mut asked = Vec::new();
        let marks: Vec<String> = ITEMS.iter().map(|id| format!("[{id}]")).collect();
        let marks: Vec<&str> = marks.iter().map(String::as_str).collect();
        let mut shares = Vec::new();
        loop {
            let serial = self.machine()?.serial();
            let (number, shown) = serial.expect_any(&marks, PROMPT_WITHIN)?;
            let id = ITEMS[number];
            asked.push(id.to_owned());
            if id == "share.1" {
                shares = shares_in(&shown)?;
            }
            if id == "set-up.serve" {
                ensure!(shown.contains("SHA256:"), "no fingerprints in:\n{shown}");
            }
            if id == last {
                return Ok(asked);
            }
            let answer = answers.iter().find(|(of, _)| *of == id);
            let typed = match id.strip_prefix("share.") {
                // Any three will do, in any order.
                Some(number) => &shares[[4, 0, 2][number.parse::<usize>()? - 1]],
                None => answer.map_or("", |(_, text)| text),
            };
            serial.send_line(typed)?;
        }
    }

    /// Signs the first administrator in.
    pub fn sign_in(&mut self) -> Result<()> {
        self.answer("login", "admin")?;
        self.answer("password", PASSWORD)?;
        self.prompt()?;
        // No answer waits for a key.
        self.command("terminal length 0")?;
        Ok(())
    }

    /// Waits until the console takes a command; gives what was printed before.
    fn prompt(&mut self) -> Result<String> {
        let serial = self.machine()?.serial();
        Ok(serial.expect("strongroom>", PROMPT_WITHIN)?)
    }

    /// Has a command carried out; gives what it printed.
    pub fn command(&mut self, line: &str) -> Result<String> {
        self.machine()?.serial().send_line(line)?;
        let printed = self.prompt()?;
        let printed = printed.trim_end_matches("strongroom>");
        // The first line is the echo.
        let (_, printed) = printed.split_once('\n').unwrap_or(("", printed));
        Ok(printed.replace('\r', ""))
    }

    /// Makes a client and keeps its files as `strongroom dev` does, in [`Appliance::clients`].
    pub fn add_client(&mut self, name: &str) -> Result<Identity> {
        let printed = self.command(&format!("client add {name}"))?;
        Identity::from_screen(&printed, &self.clients(), name)
    }

    /// Folder with `ca.pem` and `clients/`.
    pub fn clients(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    /// Has a command carried out that prints one JSON object.
    pub fn json(&mut self, line: &str) -> Result<Value> {
        let printed = self.command(line)?;
        // Before it the line editor clears the rest of its line.
        let object = printed.find('{').zip(printed.rfind('}'));
        let (begin, end) = object.with_context(|| format!("no JSON in:\n{printed}"))?;
        Ok(serde_json::from_str(&printed[begin..=end])?)
    }

    /// Waits until a client is served.
    pub fn await_client(&self, identity: &Identity) -> Result<Client> {
        let begun = Instant::now();
        loop {
            let tried = Client::connect(self.kmip()?, identity)
                .and_then(|mut client| client.locate(None).map(|_| client).map_err(Into::into));
            match tried {
                Ok(client) => return Ok(client),
                Err(_) if begun.elapsed() < SERVING_WITHIN => {
                    std::thread::sleep(Duration::from_millis(50));
                }
                Err(e) => bail!("{e:#}\n{}", self.transcript()),
            }
        }
    }

    /// Halts it from the console, where somebody is signed in, and waits for the end.
    pub fn halt(&mut self) -> Result<()> {
        self.machine()?.serial().send_line("halt")?;
        self.answer("halt.confirm", "yes")?;
        let mut machine = self.machine.take().context("the appliance is off")?;
        machine.wait_end(HALT_WITHIN)?;
        Ok(())
    }

    /// Writes the disk as it is now into a raw file; the appliance is to be off.
    pub fn copy_disk(&self, to: &Path) -> Result<()> {
        let mut tool = Command::new("qemu-img");
        tool.args(["convert", "-O", "raw"]).arg(self.disk()).arg(to);
        succeeded(&mut tool, 0).map(drop)
    }

    /// Pulls the plug.
    pub fn cut_power(&mut self) -> Result<()> {
        self.machine()?.power_cut();
        self.machine = None;
        Ok(())
    }

    /// The end of what was printed on the serial line.
    fn transcript(&self) -> String {
        let machine = self.machine.as_ref();
        let text = machine.and_then(|machine| machine.serial().transcript().ok());
        text.unwrap_or_default()
    }
}

/// The five shares in what the console shows.
fn shares_in(shown: &str) -> Result<Vec<String>> {
    let shares: Vec<String> = shown
        .lines()
        .filter_map(|line| Some(line.split_once(" of 5:")?.1.trim().to_owned()))
        .collect();
    ensure!(shares.len() == 5, "five shares are expected in:\n{shown}");
    Ok(shares)
}

/// Copies what the data and keys partitions of a raw disk hold into a node's folder, after the
/// recovery of the file systems: what a node finds that starts from that disk.
pub fn take_out(disk: &Path, to: &Path) -> Result<()> {
    let listed = succeeded(Command::new("sfdisk").arg("--json").arg(disk), 0)?;
    let table: Value = serde_json::from_str(&listed)?;
    let table = &table["partitiontable"];
    let sector = table["sectorsize"].as_u64().context("sector size")?;
    for (name, place) in [("data", to.to_owned()), ("keys", to.join("keys"))] {
        let partitions = table["partitions"].as_array().context("partitions")?;
        let found = partitions
            .iter()
            .find(|partition| partition["name"] == name);
        let found = found.with_context(|| format!("no partition {name} in {listed}"))?;
        let number = |field: &str| found[field].as_u64().context("a number of sectors");
        let (start, size) = (number("start")? * sector, number("size")? * sector);
        // A file of its own: e2fsck does not find its way back to an offset.
        let part = disk.with_extension(name);
        let mut copy = Command::new("dd");
        copy.args(["bs=1M", "conv=sparse", "status=none"]);
        copy.args([
            "iflag=skip_bytes,count_bytes".to_owned(),
            format!("skip={start}"),
        ]);
        copy.arg(format!("count={size}"))
            .arg(format!("if={}", disk.display()));
        succeeded(copy.arg(format!("of={}", part.display())), 0)?;
        // As PID 1 does; 1 means that something was mended.
        succeeded(Command::new("e2fsck").arg("-p").arg(&part), 1)?;
        fs::create_dir_all(&place)?;
        let copy = format!("rdump / {}", place.display());
        succeeded(Command::new("debugfs").args(["-R", &copy]).arg(&part), 0)?;
        fs::remove_file(part)?;
    }
    Ok(())
}

/// What the tool printed, if it ended with no code above `code_max`.
fn succeeded(tool: &mut Command, code_max: i32) -> Result<String> {
    let output = tool
        .output()
        .with_context(|| format!("starting {tool:?}"))?;
    let told = String::from_utf8_lossy(&output.stderr);
    let is_well = output.status.code().is_some_and(|code| code <= code_max);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(is_well, "{tool:?}: {}\n{said}{told}", output.status);
    Ok(said)
}
