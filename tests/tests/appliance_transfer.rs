//! The appliance sends its closed logs to an OpenSSH server outside of the machine, through its
//! confinement: by an address and by a name; and its ports for people answer from there.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout)] // test code

use anyhow::{Context, Result, ensure};
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};
use tests::appliance::{Appliance, setup_file};
use tests::sshd::{Kind, Sshd, stranger_accepts};

/// What the machine calls this host (QEMU's network for users).
const HOST: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);
/// A name that only the server of names of this test knows.
const NAME: &str = "vault-b.example";
/// How long anything may take on a busy machine.
const WITHIN: Duration = Duration::from_secs(120);

/// Bytes of the header of a message (RFC 1035, section 4.1.1).
const HEADER_BYTES: usize = 12;
const TYPE_A: [u8; 2] = [0, 1];
/// A response, recursion desired and available.
const RESPONSE: [u8; 2] = [0x81, 0x80];

#[test]
fn closed_logs_leave_the_machine_and_its_doors_answer() -> Result<()> {
    let server = Sshd::start(Kind::Sftp)?;
    answer_names()?;
    let mut appliance = Appliance::new()?;
    appliance.let_out();
    appliance.hand_over(setup_file(&format!("dns = {HOST}\n")));
    appliance.switch_on()?;
    appliance.sign_in()?;
    let shown = appliance.json("log transfer show --json")?;
    let key = shown["ssh_key_of_this_node"].as_str().context("a key")?;
    server.let_in(key)?;
    let signers = shown["allowed_signers"].as_str().context("signers")?;
    let trusted = format!("{signers}\n");
    let port: SocketAddr = server.address().parse()?;
    for (count, host) in [(1, HOST.to_string()), (2, NAME.to_owned())] {
        let to = server.account_at(&format!("{host}:{}", port.port()));
        let folder = server.inbox();
        let said = appliance.command(&format!(
            "log transfer put outside --to {to} --directory {} --host-key {} --logs audit",
            folder.display(),
            server.fingerprint()?
        ))?;
        ensure!(
            said.contains("read it back") && said.contains("is saved"),
            "{said}"
        );
        appliance.command("log rotate audit")?;
        let files = arrived(&server, count)?;
        stranger_accepts(files.last().context("a file")?, &trusted)?;
    }
    the_doors_answer(&appliance)?;
    the_daemon_is_well(&mut appliance)?;
    println!("after {:?}", appliance.on_for());
    appliance.cut_power()
}

fn arrived(server: &Sshd, count: usize) -> Result<Vec<PathBuf>> {
    let begun = Instant::now();
    loop {
        let entries = fs::read_dir(server.inbox())?.map(|entry| Ok(entry?.path()));
        let mut files = entries.collect::<Result<Vec<_>>>()?;
        files.retain(|path| path.extension().is_some_and(|ending| ending == "tar"));
        files.sort();
        if files.len() >= count {
            return Ok(files);
        }
        ensure!(
            begun.elapsed() < WITHIN,
            "{count} closed logs; there are {files:?}"
        );
        thread::sleep(Duration::from_millis(100));
    }
}

/// Answers each question for an address with that of this host, as the machine calls it. Nothing
/// is told of other types.
fn answer_names() -> Result<()> {
    let socket = UdpSocket::bind("127.0.0.1:53");
    let socket = socket.context("the port of DNS on loopback has to be free, and needs root")?;
    thread::spawn(move || {
        let mut question = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut question) {
            if let Some(answer) = answer(&question[..length]) {
                drop(socket.send_to(&answer, from));
            }
        }
    });
    Ok(())
}

fn answer(question: &[u8]) -> Option<Vec<u8>> {
    let name = question.get(HEADER_BYTES..)?;
    let end = name.iter().position(|byte| *byte == 0)? + 1;
    let (asked, rest) = (name.get(..end + 4)?, name.get(end..end + 2)?);
    let is_ours = String::from_utf8_lossy(asked).contains("vault-b");
    let count = u8::from(is_ours && *rest == TYPE_A);
    let counts = [0, 1, 0, count, 0, 0, 0, 0];
    let mut answer = [&question[..2], &RESPONSE, &counts, asked].concat();
    if count == 1 {
        // The name is where the question has it; class IN, 60 s, four bytes.
        answer.extend([0xC0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
        answer.extend(HOST.octets());
    }
    Some(answer)
}

/// What curl gets there, headers and all. The certificate is of a CA that this host does not know.
fn fetched(address: SocketAddr, path: &str) -> Result<String> {
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--insecure", "--include"])
        .args(["--max-time", "60", &format!("https://{address}{path}")])
        .output()
        .context("curl (Debian: apt-get install curl)")?;
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{path}: {told}");
    Ok(String::from_utf8(output.stdout)?)
}

/// The page to sign in and the status port, as a stranger sees them.
fn the_doors_answer(appliance: &Appliance) -> Result<()> {
    let page = fetched(appliance.web()?, "/sign-in")?;
    ensure!(
        page.starts_with("HTTP/1.1 200") && page.contains("password"),
        "{page}"
    );
    let lower = page.to_lowercase();
    ensure!(
        lower.contains("content-security-policy: default-src"),
        "{page}"
    );
    let told = fetched(appliance.status()?, "/status.json")?;
    ensure!(told.starts_with("HTTP/1.1 200"), "{told}");
    let (_, body) = told.split_once("\r\n\r\n").context("a body")?;
    let told: serde_json::Value = serde_json::from_str(body)?;
    ensure!(told["approved_mode"]["mode"] == "off", "{told}");
    Ok(())
}

/// Nothing that it did was refused: a call outside its filter ends it.
fn the_daemon_is_well(appliance: &mut Appliance) -> Result<()> {
    let health = appliance.json("show health --json")?;
    let services = health["services"].as_array().context("services")?;
    let core = services.iter().find(|service| service["name"] == "core");
    let core = core.with_context(|| format!("core in {health}"))?;
    ensure!(
        core["state"] == "running" && core["restarts"] == 0 && core["seccomp"] == "filter",
        "{core}"
    );
    ensure!(
        core["capabilities"].as_array().map_or(0, Vec::len) == 0,
        "{core}"
    );
    Ok(())
}
