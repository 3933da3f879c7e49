//! The first run of an appliance as an operator meets it: `strongroom serve` beside
//! `strongroom console` on a terminal, without a machine around them. `cargo xtask record` runs
//! this suite to see what the two do.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout)] // test code

use anyhow::{Context, Result, ensure};
use nix::pty::{Winsize, openpty};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};
use tests::client::{Client, Identity};
use tests::node::strongroom;
use tests::standalone::{PASSPHRASE, PASSWORD, Standalone};

/// How long a prompt may take: PBKDF2, Argon2id and the founding come in between.
const PROMPT_WITHIN: Duration = Duration::from_secs(60);

/// The console on a terminal of its own.
struct Terminal {
    child: Child,
    keys: File,
    bytes: Receiver<Vec<u8>>,
    seen: String,
    read_to: usize,
}

impl Drop for Terminal {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Terminal {
    fn open(of: &Standalone) -> Result<Self> {
        // So tall that no answer waits for a key.
        let size = Winsize {
            ws_row: 1000,
            ws_col: 100,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        let pty = openpty(Some(&size), None)?;
        let end = || -> Result<Stdio> { Ok(Stdio::from(pty.slave.try_clone()?)) };
        let child = Command::new(strongroom()?)
            .arg("console")
            .arg("--sockets")
            .arg(of.path("sockets"))
            .arg("--init")
            .arg(of.path("init.sock"))
            .stdin(end()?)
            .stdout(end()?)
            .stderr(end()?)
            .spawn()?;
        let keys = File::from(pty.master);
        let mut screen = keys.try_clone()?;
        let (sender, bytes) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = screen.read(&mut buffer) {
                if sender.send(buffer[..length].to_vec()).is_err() {
                    return;
                }
            }
        });
        Ok(Self {
            child,
            keys,
            bytes,
            seen: String::new(),
            read_to: 0,
        })
    }

    /// Waits for a text; gives what stood before it since the last one.
    fn expect(&mut self, text: &str) -> Result<String> {
        let deadline = Instant::now() + PROMPT_WITHIN;
        loop {
            let new = &self.seen[self.read_to..];
            if let Some(at) = new.find(text) {
                let before = new[..at].to_owned();
                self.read_to += at + text.len();
                return Ok(before);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let bytes = self.bytes.recv_timeout(left);
            let bytes = bytes.with_context(|| format!("no {text:?} in:\n{}", self.seen))?;
            self.seen.push_str(&String::from_utf8_lossy(&bytes));
        }
    }

    fn send(&mut self, text: &str) -> Result<()> {
        Ok(self.keys.write_all(text.as_bytes())?)
    }

    /// Answers the prompt of an item.
    fn answer(&mut self, id: &str, text: &str) -> Result<String> {
        let before = self.expect(&format!("[{id}]"))?;
        self.send(&format!("{text}\r"))?;
        Ok(before)
    }

    /// Takes the default of every prompt up to the one of an item, which it leaves open.
    fn defaults_until(&mut self, id: &str, ids: &[&str]) -> Result<()> {
        for other in ids {
            if *other == id {
                return Ok(());
            }
            self.answer(other, "")?;
        }
        anyhow::bail!("{id} is no item")
    }
}

/// What a box without a network of its own is asked, in this order.
const ASKED: [&str; 16] = [
    "hostname",
    "domain",
    "eth0.ipv4",
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
];

#[test]
fn the_dialogue_makes_an_appliance_that_serves() -> Result<()> {
    let mut appliance = Standalone::new()?;
    appliance.start(None)?;
    let mut terminal = Terminal::open(&appliance)?;
    let said = dialogue(&mut terminal, &appliance);
    said.with_context(|| format!("serve said:\n{}", appliance.said()))?;
    // An administrator makes a client, whose key is shown once and kept nowhere.
    sign_in(&mut terminal)?;
    terminal.answer_prompt("client add array-7")?;
    let printed = terminal.expect("strongroom>")?;
    let identity = Identity::from_screen(&printed, &appliance.path("client"), "array-7")?;
    let key_left = appliance.path("data/clients/array-7.key");
    ensure!(!key_left.exists(), "the client's key stayed on the disk");
    let mut client = Client::connect(appliance.kmip, &identity)?;
    let uid = client.create(Some("volume"), 256)?;
    let key = client.get(&uid)?;
    terminal.send("show running-config\r")?;
    let config = terminal.expect("strongroom>")?;
    ensure!(config.contains("hostname = kms1"), "{config}");
    terminal.send("show health\r")?;
    let health = terminal.expect("strongroom>")?;
    ensure!(health.contains("a word of PID 1"), "{health}");
    let network = fs::read_to_string(appliance.path("settings/network.json"))?;
    ensure!(network.contains("kms1"), "{network}");
    ensure!(!terminal.seen.contains(PASSWORD), "a password was echoed");
    ensure!(
        !terminal.seen.contains(PASSPHRASE),
        "a passphrase was echoed"
    );
    // A power cut: it comes back locked, opens to the passphrase, and has the key.
    appliance.kill()?;
    appliance.start(None)?;
    terminal.send("status\r")?;
    terminal.answer("unlock", "not the passphrase at all")?;
    terminal.answer("unlock", PASSPHRASE)?;
    terminal.expect("The appliance serves.")?;
    let mut client = Client::connect(appliance.kmip, &identity)?;
    ensure!(client.get(&uid)? == key, "another key after the power cut");
    Ok(())
}

fn sign_in(terminal: &mut Terminal) -> Result<()> {
    terminal.answer("login", "admin")?;
    terminal.answer("password", "a wrong password")?;
    terminal.answer("login", "admin")?;
    // Ctrl-L shows a line again; this one it must not.
    terminal.answer("password", &format!("{PASSWORD}\x0c"))?;
    Ok(())
}

impl Terminal {
    /// Types a command at the prompt.
    fn answer_prompt(&mut self, command: &str) -> Result<()> {
        self.expect("strongroom>")?;
        self.send(&format!("{command}\r"))
    }
}

/// Everything that an operator does wrong on the way, and then right.
fn dialogue(terminal: &mut Terminal, appliance: &Standalone) -> Result<()> {
    terminal.answer("hostname", "-no-")?;
    terminal.answer("hostname", "?")?;
    let help = terminal.answer("hostname", "wrong\x15kms1")?;
    ensure!(help.contains("Example"), "? explains nothing: {help}");
    // Ctrl-C goes back, and what was answered stands.
    terminal.expect("[domain]")?;
    terminal.send("\x03")?;
    let prompt = terminal.answer("hostname", "")?;
    ensure!(prompt.contains("kms1"), "Ctrl-C lost an answer: {prompt}");
    terminal.answer("domain", "")?;
    terminal.answer("eth0.ipv4", "off")?;
    for id in ["kmip.listen", "web.listen", "cluster.listen"] {
        let before = match id {
            "kmip.listen" => &[
                "eth0.vlan",
                "eth0.ipv6",
                "eth1.ipv4",
                "dns",
                "timezone",
                "ntp",
                "approved",
            ][..],
            _ => &[],
        };
        for other in before {
            if *other == "timezone" {
                terminal.answer(other, "Mars/Olympus")?;
            }
            terminal.answer(other, "")?;
        }
        let address = match id {
            "kmip.listen" => appliance.kmip,
            "web.listen" => appliance.web,
            _ => appliance.cluster,
        };
        terminal.answer(id, &address.to_string())?;
    }
    terminal.answer("ca.subject", "Example Local CA")?;
    terminal.answer("admin.name", "")?;
    terminal.answer("admin.password", "short")?;
    terminal.answer("admin.password", PASSWORD)?;
    terminal.answer("admin.password.again", "something else")?;
    terminal.answer("admin.password", PASSWORD)?;
    terminal.answer("admin.password.again", PASSWORD)?;
    terminal.answer("admin.ssh-key", "")?;
    terminal.answer("unlock", "")?;
    terminal.answer("unlock.passphrase", PASSPHRASE)?;
    terminal.answer("unlock.passphrase.again", PASSPHRASE)?;
    terminal.answer("recovery", "")?;
    // The time that the machine has.
    terminal.answer("clock", "")?;
    terminal.answer("set-up.confirm", "yes")?;
    let shown = terminal.expect("type 3 of them")?;
    let shares: Vec<String> = shown
        .lines()
        .filter_map(|line| Some(line.split_once(" of 5:")?.1.trim().to_owned()))
        .collect();
    ensure!(shares.len() == 5, "five shares are expected in:\n{shown}");
    for (number, typed) in [(1, "nonsense"), (2, &shares[1]), (3, &shares[2])] {
        terminal.answer(&format!("share.{number}"), typed)?;
    }
    for (number, share) in [4, 0, 2].into_iter().enumerate() {
        terminal.answer(&format!("share.{}", number + 1), &shares[share])?;
    }
    let recognised = terminal.answer("set-up.serve", "yes")?;
    ensure!(
        recognised.contains("SHA256:"),
        "no SSH fingerprint in:\n{recognised}"
    );
    terminal.expect("The appliance serves.")?;
    Ok(())
}

/// A power cut before the operator's word starts over: nothing of the first try is left.
#[test]
fn an_unconfirmed_set_up_starts_over() -> Result<()> {
    let mut appliance = Standalone::new()?;
    appliance.start(None)?;
    let mut terminal = Terminal::open(&appliance)?;
    terminal.defaults_until("kmip.listen", &ASKED)?;
    terminal.answer("kmip.listen", &appliance.kmip.to_string())?;
    terminal.answer("web.listen", &appliance.web.to_string())?;
    terminal.answer("cluster.listen", &appliance.cluster.to_string())?;
    for id in ["ca.subject", "admin.name"] {
        terminal.answer(id, "")?;
    }
    for id in ["admin.password", "admin.password.again"] {
        terminal.answer(id, PASSWORD)?;
    }
    terminal.answer("admin.ssh-key", "")?;
    terminal.answer("unlock", "disk")?;
    terminal.answer("recovery", "")?;
    // The time that the machine has.
    terminal.answer("clock", "")?;
    terminal.answer("set-up.confirm", "yes")?;
    terminal.expect("type 3 of them")?;
    let ca = fs::read(appliance.path("data/ca.pem"))?;
    appliance.kill()?;
    drop(terminal);
    appliance.start(None)?;
    let mut terminal = Terminal::open(&appliance)?;
    terminal.expect("[hostname]")?;
    ensure!(
        !appliance.path("data/ca.pem").exists(),
        "the first CA is still there"
    );
    ensure!(!ca.is_empty(), "there was one");
    Ok(())
}

/// One file gives the same configuration as often as it is used, and comes back without secrets.
#[test]
fn one_file_sets_up_two_alike() -> Result<()> {
    let mut first = Standalone::new()?;
    let secrets = format!("admin.password = {PASSWORD}\nrecovery.passphrase = {PASSPHRASE}\n");
    let plain = format!(
        "# strongroom setup 1\nhostname = kms1\ndomain = example.org\neth0.ipv4 = off\n{}\
         unlock = disk\nrecovery = passphrase\n",
        first.addresses()
    );
    let mut configs = Vec::new();
    let (mut second, mut third) = (Standalone::new()?, Standalone::new()?);
    for appliance in [&mut first, &mut second, &mut third] {
        // The third is set up by what the second printed, and the secrets.
        let text = match configs.get(1) {
            Some(printed) => format!("{printed}\n{secrets}"),
            None => format!("{plain}{secrets}"),
        };
        appliance.start(Some(&text))?;
        let mut terminal = Terminal::open(appliance)?;
        terminal.answer("login", "admin")?;
        terminal.answer("password", PASSWORD)?;
        terminal.answer_prompt("show running-config")?;
        let config = terminal.expect("strongroom>")?;
        let config = config.trim_end_matches("strongroom>");
        let file = config.find("# strongroom").context("a set-up file")?;
        configs.push(config[file..].trim().replace('\r', ""));
        drop(terminal);
        appliance.kill()?;
    }
    ensure!(configs[0] == configs[1], "{configs:#?}");
    ensure!(configs[1] == configs[2], "{configs:#?}");
    for secret in [PASSWORD, PASSPHRASE] {
        ensure!(
            !configs[0].contains(secret),
            "a secret in the configuration"
        );
    }
    for line in plain.lines().chain(["# to be added: admin.password"]) {
        ensure!(configs[0].contains(line), "no {line:?} in {}", configs[0]);
    }
    Ok(())
}

#[test]
fn a_bad_file_is_refused_with_its_lines() -> Result<()> {
    let mut appliance = Standalone::new()?;
    appliance.start(Some(
        "# strongroom setup 1\nhostname = -\nunlock = perhaps\n",
    ))?;
    let status = appliance.wait()?;
    let said = appliance.said();
    ensure!(!status.success(), "it was taken: {said}");
    for place in ["line 2, hostname", "line 3, unlock"] {
        ensure!(said.contains(place), "no {place} in: {said}");
    }
    ensure!(!appliance.path("data/keys").exists(), "something was made");
    Ok(())
}
