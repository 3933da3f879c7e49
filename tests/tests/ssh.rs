//! The SSH door, with the stock client of OpenSSH.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout)] // test code

use anyhow::{Context, Result, ensure};
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use tests::desk::Desk;
use tests::node::{Node, Site, strongroom};
use tests::terminal::Terminal;
use tests::transcript;

/// The password that the first administrator chooses.
const OWN: &str = "seven lamps under water";

/// A passphrase for a slot.
const SLOT: &str = "a passphrase for the safe";

/// Connections on which nobody says a word: more than a node takes in all.
const SILENT: usize = 80;

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A node whose administrator has logged in for the first time, and put a key there.
fn moved_in(site: &Site) -> Result<(Node, Desk, Terminal)> {
    let node = site.start()?;
    let desk = Desk::new(node.ssh().port())?;
    let once = fs::read_to_string(node.dir().join("admin-password"))?;
    let mut ssh = desk.by_password("ssh", once.trim())?;
    ssh.args(["-tt", "admin@127.0.0.1"]);
    let mut terminal = Terminal::open(ssh)?;
    terminal.expect("The password must be changed first.")?;
    terminal.types_new_password("password1234567")?;
    terminal.expect("too easily guessed")?;
    terminal.types_new_password(OWN)?;
    terminal.expect("The password is changed.")?;
    terminal.expect("strongroom>")?;
    let key = fs::read_to_string(desk.key().with_extension("pub"))?;
    terminal.command(&format!("admin ssh-keys admin \"{}\"", key.trim()))?;
    Ok((node, desk, terminal))
}

fn mode_of(path: &Path) -> Result<u32> {
    Ok(fs::metadata(path)?.permissions().mode() & 0o777)
}

#[test]
fn an_administrator_moves_in() -> Result<()> {
    let site = Site::new()?;
    let (node, desk, mut terminal) = moved_in(&site)?;
    ensure!(mode_of(&node.dir().join("admin-password"))? == 0o600);
    ensure!(!terminal.seen.contains(OWN), "a password was shown");
    // A key that this door cannot verify is not kept.
    let rsa = desk.path("rsa");
    let mut keygen = Command::new("ssh-keygen");
    keygen.args(["-q", "-t", "rsa", "-b", "2048", "-N", "", "-f"]);
    ensure!(keygen.arg(&rsa).status()?.success());
    let rsa = fs::read_to_string(rsa.with_extension("pub"))?;
    let said = terminal.command(&format!("admin ssh-keys admin \"{}\"", rsa.trim()))?;
    ensure!(
        said.contains("nobody can sign in with an RSA key"),
        "{said}"
    );
    // The keys of the line editor, through the protocol.
    terminal.send("show r\t\r")?;
    let config = terminal.expect("strongroom>")?;
    ensure!(
        config.contains("show running-config"),
        "Tab did not complete: {config}"
    );
    terminal.send("log show ?")?;
    terminal.expect("--view")?;
    terminal.send("\x15nonsense\r")?;
    terminal.expect("unrecognized subcommand")?;
    terminal.expect("strongroom>")?;
    let log = terminal.command("log show --last 12")?;
    for line in [
        "operator admin (ssh) asked Sign In",
        "operator admin (ssh) changed the password of administrator admin",
    ] {
        ensure!(log.contains(line), "{line:?} is not in:\n{log}");
    }
    // A secret is asked for here, not where the node runs, and never shown.
    terminal.send("slot add-passphrase --recovery\r")?;
    terminal.answer("secret", SLOT)?;
    terminal.answer("secret.again", SLOT)?;
    terminal.expect("strongroom>")?;
    ensure!(
        terminal.command("slot list")?.contains("passphrase"),
        "{}",
        terminal.seen
    );
    ensure!(!terminal.seen.contains(SLOT), "a passphrase was shown");
    terminal.send("logout\r")?;
    let end = terminal.end()?;
    ensure!(end.success(), "logout ended with {end}");
    // By key, one line each: what the program prints on the machine itself.
    for line in ["client list", "slot list --json", "admin list"] {
        let by_ssh = desk.line(line)?;
        ensure!(by_ssh.status.success(), "{line}: {}", text(&by_ssh.stderr));
        let printed = text(&by_ssh.stdout);
        if line == "admin list" {
            ensure!(printed.contains("full"), "{printed}");
            continue;
        }
        let here = Command::new(strongroom()?)
            .arg("--dir")
            .arg(node.dir())
            .args(line.split(' '))
            .output()?;
        ensure!(
            printed == text(&here.stdout),
            "{line}:\n{printed}\n{}",
            text(&here.stdout)
        );
    }
    // A script gives a secret once, and gets no prompt.
    let mut ssh = desk.by_key("ssh");
    ssh.args(["admin@127.0.0.1", "slot add-passphrase"]);
    ssh.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut ssh = ssh.spawn()?;
    let typed = ssh.stdin.take().context("standard input")?;
    writeln!(&typed, "{SLOT}, another one")?;
    drop(typed);
    let added = ssh.wait_with_output()?;
    ensure!(
        added.status.success(),
        "slot add-passphrase: {}",
        added.status
    );
    ensure!(
        !text(&added.stdout).contains("secret"),
        "{}",
        text(&added.stdout)
    );
    // Errors on the other channel, with the exit codes of the program.
    for (line, code, why) in [
        (
            "key show 00000000-0000-0000-0000-000000000000",
            1,
            "there is no object",
        ),
        ("bash -c id", 2, "unrecognized subcommand"),
    ] {
        let refused = desk.line(line)?;
        ensure!(
            refused.status.code() == Some(code),
            "{line}: {:?}",
            refused.status
        );
        ensure!(
            text(&refused.stderr).contains(why),
            "{}",
            text(&refused.stderr)
        );
        ensure!(refused.stdout.is_empty(), "{}", text(&refused.stdout));
    }
    Ok(())
}

/// The answers are those of an appliance (suite `transcript`).
#[test]
fn a_node_for_trying_out_answers_as_an_appliance() -> Result<()> {
    let site = Site::new()?;
    let (_node, _desk, mut terminal) = moved_in(&site)?;
    let answers = transcript::transcript(|line| transcript::typed(&mut terminal, line))?;
    transcript::same("strongroom dev", &transcript::kept()?, &answers)
}

#[test]
fn who_is_nobody_stays_outside() -> Result<()> {
    let site = Site::new()?;
    let node = site.start()?;
    let desk = Desk::new(node.ssh().port())?;
    let once = fs::read_to_string(node.dir().join("admin-password"))?;
    let outside = |mut ssh: Command, who: &str| -> Result<()> {
        let tried = ssh.args([who, "status"]).stdin(Stdio::null()).output()?;
        let said = text(&tried.stderr);
        ensure!(
            tried.status.code() == Some(255),
            "{who}: {:?}",
            tried.status
        );
        ensure!(said.contains("Permission denied"), "{said}");
        ensure!(tried.stdout.is_empty(), "{}", text(&tried.stdout));
        Ok(())
    };
    outside(desk.by_key("ssh"), "admin@127.0.0.1")?;
    outside(desk.by_password("ssh", once.trim())?, "root@127.0.0.1")?;
    outside(
        desk.by_password("ssh", "a wrong password")?,
        "admin@127.0.0.1",
    )?;
    // The right one does not count while the pause for the wrong one lasts.
    outside(desk.by_password("ssh", once.trim())?, "admin@127.0.0.1")?;
    let log = Command::new(strongroom()?)
        .arg("--dir")
        .arg(node.dir())
        .args(["log", "show"])
        .output()?;
    let log = text(&log.stdout);
    for line in [
        "somebody at 127.0.0.1 was refused Sign In of admin: this name and this password",
        "somebody at 127.0.0.1 was refused Sign In of admin: too many",
        "somebody at 127.0.0.1 was refused Sign In: this name and this password",
    ] {
        ensure!(log.contains(line), "{line:?} is not in:\n{log}");
    }
    ensure!(
        !log.contains("a wrong password"),
        "a password is in the log"
    );
    Ok(())
}

#[test]
fn there_is_nothing_but_the_command_line() -> Result<()> {
    let site = Site::new()?;
    let (node, desk, terminal) = moved_in(&site)?;
    drop(terminal);
    // Files, by both protocols.
    let (file, there) = (desk.key(), "admin@127.0.0.1:file");
    for protocol in ["-O", "-s"] {
        let mut scp = desk.by_key("scp");
        let copied = scp.arg(protocol).arg(&file).arg(there).output()?;
        ensure!(!copied.status.success(), "scp {protocol} copied a file");
    }
    // Ports: the way to the KMIP port is asked for, and refused.
    let free = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let way = format!("127.0.0.1:{free}:127.0.0.1:{}", node.kmip().port());
    let mut forwarding = desk.by_key("ssh");
    let forwarding = forwarding.args(["-N", "-L", &way, "admin@127.0.0.1"]);
    let mut forwarding = forwarding.stdin(Stdio::null()).spawn()?;
    let mut stream = loop {
        match TcpStream::connect(("127.0.0.1", free)) {
            Ok(stream) => break stream,
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    };
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    // The client closes what the node refuses.
    let read = stream.read(&mut [0; 1]);
    forwarding.kill()?;
    forwarding.wait()?;
    ensure!(
        matches!(read, Ok(0)) || is_reset(&read),
        "the way was opened: {read:?}"
    );
    let mut backwards = desk.by_key("ssh");
    backwards.args([
        "-N",
        "-o",
        "ExitOnForwardFailure=yes",
        "-R",
        "0:127.0.0.1:9",
        "admin@127.0.0.1",
    ]);
    let backwards = backwards.stdin(Stdio::null()).output()?;
    ensure!(!backwards.status.success(), "a port was opened on the node");
    // No terminal and no line: said, instead of waiting for ever.
    let mut ssh = desk.by_key("ssh");
    let silent = ssh
        .args(["-T", "admin@127.0.0.1"])
        .stdin(Stdio::null())
        .output()?;
    ensure!(
        text(&silent.stderr).contains("give a command"),
        "{}",
        text(&silent.stderr)
    );
    // Who connects and says nothing takes no place from others: the first of them has to go.
    let address = node.ssh();
    let mut idle: Vec<TcpStream> = Vec::new();
    for _ in 0..SILENT {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        let mut greeting = [0; 8];
        stream.read_exact(&mut greeting)?;
        ensure!(&greeting == b"SSH-2.0-");
        idle.push(stream);
    }
    let told = idle[0].read_to_end(&mut Vec::new());
    ensure!(told.is_ok() || is_reset(&told), "it stays: {told:?}");
    let mut ssh = desk.by_key("ssh");
    let said = ssh.args(["admin@127.0.0.1", "show version"]).output()?;
    ensure!(said.status.success(), "{}", text(&said.stderr));
    drop(idle);
    // The host is the same after a restart: the client would refuse another key.
    node.kill()?;
    let node = site.start()?;
    let desk = desk.moved_to(node.ssh().port());
    let known = fs::read_to_string(desk.path("known"))?;
    let known = known.split_once(' ').context("a known host")?.1;
    fs::write(
        desk.path("known"),
        format!("[127.0.0.1]:{} {known}", node.ssh().port()),
    )?;
    let mut ssh = desk.by_key("ssh");
    let again = ssh
        .args([
            "-o",
            "StrictHostKeyChecking=yes",
            "admin@127.0.0.1",
            "status",
        ])
        .output()?;
    ensure!(again.status.success(), "{}", text(&again.stderr));
    Ok(())
}

/// Writes something after the node's greeting, and waits for the end of the connection.
fn is_sent_away(node: &Node, parts: &[&[u8]]) -> Result<()> {
    let mut stream = TcpStream::connect(node.ssh())?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    stream.set_write_timeout(Some(Duration::from_secs(20)))?;
    for part in parts {
        // It may be closed before everything is written.
        if stream.write_all(part).is_err() {
            return Ok(());
        }
    }
    let mut told = Vec::new();
    match stream.take(1 << 20).read_to_end(&mut told) {
        Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {
            anyhow::bail!("the connection is still open, after {} bytes", told.len())
        }
        _ => Ok(()),
    }
}

#[test]
fn oversize_and_endless_input_is_cut_off() -> Result<()> {
    let site = Site::new()?;
    let (node, desk, terminal) = moved_in(&site)?;
    drop(terminal);
    let before = node.resident_bytes()?;
    let hello: &[u8] = b"SSH-2.0-OpenSSH_9.2\r\n";
    let endless = vec![b'x'; 4 << 20];
    let noise: Vec<u8> = (0..1_u32 << 16).flat_map(u32::to_be_bytes).collect();
    for parts in [
        // A greeting without an end; no greeting; a packet of 4 GiB; one of no bytes; noise.
        &[b"SSH-2.0-" as &[u8], &endless] as &[&[u8]],
        &[b"GET / HTTP/1.1\r\n\r\n"],
        &[hello, &u32::MAX.to_be_bytes(), &endless],
        &[hello, &[0; 64]],
        &[hello, &noise],
    ] {
        is_sent_away(&node, parts)?;
    }
    let grown = node.resident_bytes()?.saturating_sub(before) >> 20;
    ensure!(grown < 64, "{grown} MiB more");
    let by_ssh = desk.line("status")?;
    ensure!(by_ssh.status.success(), "{}", text(&by_ssh.stderr));
    node.client()?.create(Some("k"), 256)?;
    node.terminate()
}

fn is_reset(read: &std::io::Result<usize>) -> bool {
    read.as_ref()
        .is_err_and(|e| e.kind() == std::io::ErrorKind::ConnectionReset)
}
