//! One grammar: the same lines give the same answers at the serial console, over SSH at a terminal
//! and line by line (and in `strongroom dev`: suite `ssh`). `cargo xtask record` runs this suite.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout)] // test code

use anyhow::{Result, ensure};
use std::fs;
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};
use tests::desk::Desk;
use tests::node::strongroom;
use tests::standalone::{PASSPHRASE, PASSWORD, Standalone};
use tests::terminal::Terminal;
use tests::transcript::{given, kept, kept_at, same, transcript, typed};

/// How long the door may take to open and to shut.
const MOVED_WITHIN: Duration = Duration::from_secs(20);

/// Lines whose answers are this appliance's own.
const OWN_LINES: &[&str] = &[
    "show settings",
    "show running-config",
    "show clients",
    "show keys",
    "show slots",
    "show admins",
    "show network",
    "show services --json",
    "show version",
];

fn appliance(desk: &Desk) -> Result<Standalone> {
    let mut appliance = Standalone::new()?;
    let key = fs::read_to_string(desk.key().with_extension("pub"))?;
    let setup = format!(
        "# strongroom setup 1\nhostname = kms1\neth0.ipv4 = off\n{}admin.password = {PASSWORD}\n\
         admin.ssh-key = {key}unlock = disk\nrecovery = passphrase\n\
         recovery.passphrase = {PASSPHRASE}\n",
        appliance.addresses()
    );
    appliance.start(Some(&setup))?;
    appliance.start_ssh()?;
    let begun = Instant::now();
    while TcpStream::connect(appliance.ssh).is_err() {
        ensure!(begun.elapsed() < MOVED_WITHIN, "{}", appliance.said());
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(appliance)
}

/// Its serial console, where the administrator has signed in.
fn console(of: &Standalone) -> Result<Terminal> {
    let mut console = Command::new(strongroom()?);
    console
        .args(["console", "--sockets"])
        .arg(of.path("sockets"));
    console.arg("--init").arg(of.path("init.sock"));
    let mut terminal = Terminal::open(console)?;
    terminal.signs_in("admin", PASSWORD)?;
    terminal.expect("strongroom>")?;
    Ok(terminal)
}

/// A terminal over SSH.
fn over_ssh(desk: &Desk) -> Result<Terminal> {
    let mut ssh = desk.by_key("ssh");
    ssh.args(["-tt", "admin@127.0.0.1"]);
    let mut terminal = Terminal::open(ssh)?;
    terminal.expect("strongroom>")?;
    Ok(terminal)
}

#[test]
fn every_door_answers_alike() -> Result<()> {
    let desk = Desk::new(0)?;
    let appliance = appliance(&desk)?;
    let desk = desk.moved_to(appliance.ssh.port());
    let mut at_console = console(&appliance)?;
    let now = transcript(|line| typed(&mut at_console, line))?;
    if std::env::var_os("STRONGROOM_BLESS").is_some() {
        fs::write(kept_at(), &now)?;
    }
    let kept = kept()?;
    same("the serial console", &kept, &now)?;
    let mut by_ssh = over_ssh(&desk)?;
    same("SSH", &kept, &transcript(|line| typed(&mut by_ssh, line))?)?;
    same(
        "SSH, line by line",
        &kept,
        &transcript(|line| given(&desk, line))?,
    )?;
    for line in OWN_LINES {
        let here = typed(&mut at_console, line)?;
        ensure!(!here.is_empty(), "{line} says nothing");
        same(line, &here, &typed(&mut by_ssh, line)?)?;
        same(line, &here, &given(&desk, line)?)?;
    }
    let seen = format!("{}{}", at_console.seen, by_ssh.seen);
    for secret in [PASSWORD, PASSPHRASE] {
        ensure!(!seen.contains(secret), "a secret was shown");
    }
    Ok(())
}

/// Settings are followed while the node runs, by the network and by the SSH door.
#[test]
fn a_setting_is_in_force_at_once() -> Result<()> {
    let desk = Desk::new(0)?;
    let appliance = appliance(&desk)?;
    let desk = desk.moved_to(appliance.ssh.port());
    let mut terminal = console(&appliance)?;
    terminal.send("configure\r")?;
    terminal.expect("strongroom(config)>")?;
    terminal.send("ntp 192.0.2.123\r")?;
    terminal.expect("strongroom(config)>")?;
    terminal.send("ip addr?")?;
    terminal.expect("A fixed address")?;
    terminal.send("\x15hostname kms2\r")?;
    terminal.expect("services restart core")?;
    terminal.expect("strongroom(config)>")?;
    terminal.send("exit\r")?;
    terminal.expect("strongroom>")?;
    let network = appliance.path("settings/network.json");
    let until = |is: &dyn Fn() -> Result<bool>, what: &str| -> Result<()> {
        let begun = Instant::now();
        while !is()? {
            ensure!(
                begun.elapsed() < MOVED_WITHIN,
                "{what}\n{}",
                appliance.said()
            );
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    };
    let follows = || -> Result<bool> {
        let text = fs::read_to_string(&network)?;
        Ok(text.contains("192.0.2.123") && text.contains("kms2"))
    };
    until(&follows, "network.json stays as it was")?;
    let is_open = || -> Result<bool> { Ok(desk.line("show version")?.status.success()) };
    until(&is_open, "SSH is not open")?;
    let mut by_ssh = over_ssh(&desk)?;
    terminal.command("configure set ssh.listen none")?;
    until(&|| Ok(!is_open()?), "SSH stays open")?;
    // Whoever is in goes on, and opens it again.
    by_ssh.command(&format!("configure set ssh.listen {}", appliance.ssh))?;
    until(&is_open, "SSH stays shut")?;
    let log = terminal.command("show log system")?;
    ensure!(log.contains("ssh.listen"), "{log}");
    // A machine that ends was told so by somebody.
    by_ssh.send("reboot\r")?;
    by_ssh.answer("reboot.confirm", "yes")?;
    by_ssh.expect("Ending the services.")?;
    let log = terminal.command("show log activity --last 10")?;
    ensure!(log.contains("operator admin (ssh) asked Reboot"), "{log}");
    Ok(())
}
