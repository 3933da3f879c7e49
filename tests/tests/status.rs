//! Self-tests, approved-algorithms mode and the status port, as an operator and a stranger meet
//! them: with curl, openssl and ssh-keygen.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout)] // test code

use anyhow::{Context, Result, ensure};
use kmip::Failure;
use kmip::enumerations::{CryptographicAlgorithm, ResultReason};
use kmip::operations::ResponsePayload;
use serde_json::Value;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};
use tests::client::{Client, create_of_request};
use tests::is_full;
use tests::node::{Node, Site, build, profile_folder, strongroom};

/// Connections that the status port takes from one address.
const PER_ADDRESS_MAX: usize = 16;

/// Tests that every start runs; more may be added.
const SELF_TESTS_MIN: usize = 25;

/// Fetches something from the status port, as monitoring would.
fn fetch(node: &Node, path: &str) -> Result<Vec<u8>> {
    let output = curl(node, path, &["--fail"])?;
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{path}: {told}\n{}", node.tail());
    Ok(output.stdout)
}

fn curl(node: &Node, path: &str, more: &[&str]) -> Result<Output> {
    Command::new("curl")
        .args(["--silent", "--show-error", "--max-time", "20", "--cacert"])
        .arg(node.dir().join("ca.pem"))
        .args(more)
        .arg(format!("https://{}{path}", node.status()))
        .output()
        .context("curl (Debian: apt-get install curl)")
}

fn status(node: &Node) -> Result<Value> {
    // A nonce of its own, so that nothing of the last second is given again.
    static TURN: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let turn = TURN.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    Ok(serde_json::from_slice(&fetch(
        node,
        &format!("/status.json?nonce=t{turn}"),
    )?)?)
}

fn at<'v>(value: &'v Value, pointer: &str) -> Result<&'v str> {
    let text = value.pointer(pointer).and_then(Value::as_str);
    text.with_context(|| format!("no {pointer} in {value}"))
}

/// Whether ssh-keygen accepts a signature of a document.
fn verifies(
    signers: &Path,
    principal: &str,
    namespace: &str,
    of: &[u8],
    sig: &Path,
) -> Result<bool> {
    let mut keygen = Command::new("ssh-keygen")
        .args(["-Y", "verify", "-n", namespace, "-I", principal, "-f"])
        .arg(signers)
        .arg("-s")
        .arg(sig)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("ssh-keygen (Debian: apt-get install openssh-client)")?;
    keygen
        .stdin
        .take()
        .context("standard input")?
        .write_all(of)?;
    Ok(keygen.wait()?.success())
}

#[test]
fn a_stranger_verifies_the_status_with_ssh_keygen() -> Result<()> {
    let site = Site::new()?;
    let node = site.start()?;
    let bundle = site.beside("bundle");
    node.run(&["export", "--out", bundle.to_str().context("UTF-8")?])?;
    let signers = bundle.join("allowed_signers");
    let (document, sig) = (
        fetch(&node, "/status.json?nonce=mine-1")?,
        site.beside("sig"),
    );
    fs::write(&sig, fetch(&node, "/status.json.sig?nonce=mine-1")?)?;
    let told: Value = serde_json::from_slice(&document)?;
    ensure!(
        at(&told, "/nonce")? == "mine-1" && at(&told, "/state")? == "serving",
        "{told}"
    );
    ensure!(at(&told, "/approved_mode/mode")? == "off", "{told}");
    let principal = at(&told, "/signature/signer")?.to_owned();
    let namespace = "strongroom-status-v1";
    let verify = |namespace: &str, of: &[u8]| verifies(&signers, &principal, namespace, of, &sig);
    ensure!(
        verify(namespace, &document)?,
        "ssh-keygen refuses it:\n{told}"
    );
    // Controls: a bit of it, another namespace, the document of another nonce.
    let mut turned = document.clone();
    turned[10] ^= 1;
    ensure!(!verify(namespace, &turned)?, "a turned bit is not seen");
    ensure!(
        !verify("strongroom-log-v1", &document)?,
        "it passes for an export"
    );
    let other = fetch(&node, "/status.json?nonce=mine-2")?;
    ensure!(
        !verify(namespace, &other)?,
        "an old signature passes for a new document"
    );
    // Without a nonce, and with another document fetched in between.
    let plain = fetch(&node, "/status.json")?;
    fetch(&node, "/status.json?nonce=between")?;
    fs::write(&sig, fetch(&node, "/status.json.sig")?)?;
    ensure!(
        verify(namespace, &plain)?,
        "the signature is of another document"
    );
    // What was tested at power-up, each with its time.
    let tests = told
        .pointer("/self_tests/power_up/tests")
        .and_then(Value::as_array);
    let tests = tests.context("the tests")?;
    ensure!(tests.len() >= SELF_TESTS_MIN, "{} tests", tests.len());
    for test in tests {
        ensure!(at(test, "/result")? == "passed", "{test}");
        ensure!(at(test, "/time")?.starts_with("20"), "{test}");
    }
    node.terminate()
}

#[test]
fn the_page_stands_alone_and_the_port_is_read_only() -> Result<()> {
    let site = Site::new()?;
    let node = site.start()?;
    let answer = String::from_utf8(curl(&node, "/status.html", &["--include"])?.stdout)?;
    let (head, page) = answer.split_once("\r\n\r\n").context("a header")?;
    let head = head.to_lowercase();
    for wanted in [
        "default-src 'none'",
        "nosniff",
        "no-store",
        "frame-ancestors 'none'",
    ] {
        ensure!(head.contains(wanted), "no {wanted} in:\n{head}");
    }
    for wanted in [
        "AES-256-KWP",
        "CAVS",
        "Argon2id",
        "Approved-algorithms mode",
        "Cluster log",
    ] {
        ensure!(page.contains(wanted), "no {wanted} on the page");
    }
    ensure!(
        !page.contains("<script") && !page.contains("style="),
        "{page}"
    );
    ensure!(
        !page.to_lowercase().contains("validated module source"),
        "{page}"
    );
    for (more, path, code) in [
        (vec!["-X", "POST"], "/status.json", "405"),
        (vec!["-X", "DELETE"], "/", "405"),
        (vec![], "/../etc/passwd", "404"),
        (vec![], "/status.json?nonce=%3Cb%3E", "400"),
        (vec![], "/status.json?x=1", "400"),
        (vec![], "/status.css", "200"),
        (vec![], "/status.svg", "200"),
        (vec![], "/", "200"),
    ] {
        let shown = [
            &more[..],
            &["--output", "/dev/null", "--write-out", "%{http_code}"],
        ]
        .concat();
        let got = String::from_utf8(curl(&node, path, &shown)?.stdout)?;
        ensure!(got == code, "{more:?} {path}: {got}");
    }
    crowd(&node)?;
    // And it says nothing that is secret.
    let told = status(&node)?.to_string();
    for secret in ["admin-password", "PRIVATE KEY", "unlock"] {
        ensure!(!told.contains(secret), "{secret} is in {told}");
    }
    node.terminate()
}

/// More connections than it takes from one address; those that wait say nothing.
fn crowd(node: &Node) -> Result<()> {
    let mut waiting = Vec::new();
    for _ in 0..PER_ADDRESS_MAX * 3 {
        let stream = TcpStream::connect(node.status())?;
        stream.set_read_timeout(Some(Duration::from_millis(50)))?;
        waiting.push(stream);
    }
    std::thread::sleep(Duration::from_millis(300));
    let mut closed = 0;
    for stream in &mut waiting {
        closed += usize::from(matches!(stream.read(&mut [0; 1]), Ok(0)));
    }
    ensure!(closed == PER_ADDRESS_MAX * 2, "{closed} were turned away");
    // Clients do not notice.
    let mut client = node.client()?;
    let uid = client.create(None, 256)?;
    client.get(&uid)?;
    drop(waiting);
    let deadline = Instant::now() + Duration::from_secs(10);
    while fetch(node, "/status.json").is_err() {
        ensure!(Instant::now() < deadline, "it does not recover");
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// Creates a key of any algorithm.
fn create(
    client: &mut Client,
    algorithm: CryptographicAlgorithm,
    bits: i32,
) -> Result<Result<String, Failure>> {
    let request = create_of_request(algorithm, bits);
    let answer = client.batch(vec![request])?.pop().context("an answer")?;
    Ok(answer.map(|payload| match payload {
        ResponsePayload::Create(answer) => answer.unique_identifier,
        other => panic!("{other:?}"),
    }))
}

/// Whether openssl comes to terms with a port under some restriction.
fn shakes_hands(node: &Node, to: SocketAddr, more: &[&str]) -> Result<bool> {
    let clients = node.dir().join("clients");
    let output = Command::new("openssl")
        .args(["s_client", "-brief", "-connect", &to.to_string(), "-CAfile"])
        .arg(node.dir().join("ca.pem"))
        .arg("-cert")
        .arg(clients.join("demo.pem"))
        .arg("-key")
        .arg(clients.join("demo.key"))
        .args(more)
        .stdin(Stdio::null())
        .output()
        .context("openssl")?;
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    Ok(output.status.success() && told.contains("CONNECTION ESTABLISHED"))
}

/// Handshakes that approved-algorithms mode does not have, and some that it has.
fn handshakes(node: &Node, unapproved: bool) -> Result<()> {
    const OTHERS: &[&[&str]] = &[
        &["-tls1_3", "-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256"],
        &["-tls1_3", "-groups", "X25519"],
        &["-tls1_2", "-cipher", "ECDHE-ECDSA-CHACHA20-POLY1305"],
    ];
    const GOOD: &[&[&str]] = &[
        &[
            "-tls1_3",
            "-ciphersuites",
            "TLS_AES_256_GCM_SHA384",
            "-groups",
            "P-384",
        ],
        &[
            "-tls1_3",
            "-ciphersuites",
            "TLS_AES_128_GCM_SHA256",
            "-groups",
            "P-256",
        ],
        &["-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-GCM-SHA384"],
    ];
    for port in [node.kmip(), node.web(), node.status()] {
        for (list, expected) in [(OTHERS, unapproved), (GOOD, true)] {
            for restricted in list {
                let got = shakes_hands(node, port, restricted)?;
                ensure!(
                    got == expected,
                    "{port} {restricted:?}: {got}\n{}",
                    node.tail()
                );
            }
        }
    }
    Ok(())
}

#[test]
fn approved_mode_drops_sessions_and_refuses_the_rest() -> Result<()> {
    let site = Site::new()?;
    let node = site.start()?;
    let mut client = node.client()?;
    let aes = client.create(Some("good"), 256)?;
    let old = create(&mut client, CryptographicAlgorithm::DES3, 168)?.unwrap();
    client.get(&old)?;
    handshakes(&node, true)?;
    // The plan first. It changes nothing, and another word does not confirm it.
    let plan = node.json(&["fips", "compliant"])?;
    ensure!(plan["objects_of_other_algorithms"] == 1, "{plan}");
    ensure!(
        plan["objects"][0]["uid"] == old.as_str() && plan["sessions_dropped"] == 1,
        "{plan}"
    );
    ensure!(plan["sessions"][0]["user"] == "demo", "{plan}");
    let renewed = &plan["administrators_who_must_change_their_password"];
    ensure!(renewed[0] == "admin", "{plan}");
    let wrong = node.cli(&["fips", "compliant", "--confirm", "0123456789abcdef"])?;
    ensure!(!wrong.status.success(), "a wrong word confirms it");
    ensure!(status(&node)?["approved_mode"]["in_force"] == false);
    client.get(&aes)?;
    let word = at(&plan, "/confirm")?.to_owned();
    let shown = node.run(&["fips", "compliant", "--confirm", &word])?;
    ensure!(shown.contains("FIPS mode: enabled"), "{shown}");
    // At once: at 9081, and for the session that was open.
    let told = status(&node)?;
    ensure!(told["approved_mode"]["in_force"] == true, "{told}");
    ensure!(
        client.get(&aes).is_err(),
        "a session from before the switch goes on"
    );
    handshakes(&node, false)?;
    let mut client = node.client()?;
    client.get(&aes)?;
    client.create(Some("another"), 128)?;
    for (algorithm, bits) in [
        (CryptographicAlgorithm::DES3, 168),
        (CryptographicAlgorithm::CHA_CHA20, 256),
    ] {
        let refused = create(&mut client, algorithm, bits)?.unwrap_err();
        ensure!(refused.reason == ResultReason::INVALID_FIELD, "{refused:?}");
        ensure!(refused.message.contains("not approved"), "{refused:?}");
    }
    let refused = client.get(&old).unwrap_err().to_string();
    ensure!(refused.contains("3DES is not approved"), "{refused}");
    // It is on record: the switch, who asked, what was refused.
    let log = node.run(&["log", "show"])?;
    for wanted in ["approved", "3DES is not approved", "self-tests: all passed"] {
        ensure!(log.contains(wanted), "{wanted} is not in:\n{log}");
    }
    // The least of the parts: the administrator's password is still one of Argon2id.
    ensure!(at(&told, "/approved_mode/mode")? == "incomplete", "{told}");
    ensure!(node.run(&["fips", "status"])?.contains("by Argon2id"));
    off_again(&node, client, &old)
}

fn off_again(node: &Node, mut client: Client, old: &str) -> Result<()> {
    let plan = node.json(&["fips", "off"])?;
    let word = at(&plan, "/confirm")?.to_owned();
    node.run(&["fips", "off", "--confirm", &word])?;
    ensure!(
        client.get(old).is_err(),
        "a session from before the switch goes on"
    );
    node.client()?.get(old)?;
    handshakes(node, true)?;
    ensure!(status(node)?["approved_mode"]["mode"] == "off");
    let digest = node.replayed_digest()?;
    ensure!(!digest.is_empty());
    Ok(())
}

#[test]
fn self_tests_run_on_demand_and_are_recorded() -> Result<()> {
    let site = Site::new()?;
    let node = site.start()?;
    let shown = node.run(&["selftest", "run"])?;
    ensure!(shown.starts_with("result: passed"), "{shown}");
    ensure!(
        shown.contains("RFC 9106") && shown.contains("SP 800-90B"),
        "{shown}"
    );
    let told = status(&node)?;
    ensure!(
        at(&told, "/self_tests/on_demand/result")? == "passed",
        "{told}"
    );
    let pairs = told
        .pointer("/self_tests/conditional")
        .and_then(Value::as_array);
    ensure!(pairs.is_some_and(|pairs| pairs.len() >= 3), "{told}");
    let log = node.run(&["log", "show", "--view", "system"])?;
    ensure!(
        log.contains("node 1 ran") && log.contains("operator uid:"),
        "{log}"
    );
    node.terminate()
}

/// The program with a self-test that can be broken; a build of its own, so only a full run has the
/// time. `$STRONGROOM_BROKEN_BIN` names one that is there already.
fn breakable() -> Result<Option<PathBuf>> {
    if let Some(program) = std::env::var_os("STRONGROOM_BROKEN_BIN") {
        return Ok(Some(program.into()));
    }
    if !is_full() {
        println!("SKIPPED: STRONGROOM_FULL=1 builds a program whose self-tests can be broken");
        return Ok(None);
    }
    let profile = profile_folder()?;
    let target = profile.parent().context("a target folder")?.join("danger");
    let feature = "danger_broken_selftest";
    build(
        &["-p", "server", "--bin", "strongroom", "--features", feature],
        &target,
    )?;
    let name = profile.file_name().context("a profile")?;
    Ok(Some(target.join(name).join("strongroom")))
}

/// A node in the error state, which says so in place of READY.
struct Failed {
    child: std::process::Child,
    status: SocketAddr,
}

impl Drop for Failed {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn start_failing(site: &Site, program: &Path, kmip: SocketAddr) -> Result<Failed> {
    let out = site.beside("failed");
    let child = Command::new(program)
        .args([
            "dev",
            "--web-port",
            "0",
            "--kmip-port",
            &kmip.port().to_string(),
            "--dir",
        ])
        .arg(site.dir())
        .envs(site.variables().iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(fs::File::create(&out)?)
        .stderr(Stdio::null())
        .spawn()?;
    let mut failed = Failed {
        child,
        status: kmip,
    };
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let said = fs::read_to_string(&out)?;
        if let Some(rest) = said.split("ERROR-STATE status=https://").nth(1) {
            failed.status = rest.split(' ').next().unwrap_or_default().parse()?;
            return Ok(failed);
        }
        ensure!(!said.contains("READY"), "it serves: {said}");
        ensure!(Instant::now() < deadline, "it says nothing");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// What the status port of the error state says; its certificate is of this run only.
fn told_in_error(at: SocketAddr, path: &str) -> Result<(String, String)> {
    let output = Command::new("curl")
        .args([
            "--silent",
            "--insecure",
            "--max-time",
            "20",
            "--write-out",
            "\n%{http_code}",
        ])
        .arg(format!("https://{at}{path}"))
        .output()?;
    let text = String::from_utf8(output.stdout)?;
    let (body, code) = text.rsplit_once('\n').context("a code")?;
    Ok((body.to_owned(), code.to_owned()))
}

/// A start that fails the test of key wrapping: what is open, and what is told there.
fn says_so_in_error(site: &Site, program: &Path, kmip: SocketAddr) -> Result<()> {
    let failed = start_failing(site, program, kmip)?;
    ensure!(
        TcpStream::connect(kmip).is_err(),
        "the KMIP port is open in the error state"
    );
    let (document, _) = told_in_error(failed.status, "/status.json?nonce=n")?;
    let told: Value = serde_json::from_str(&document)?;
    ensure!(
        at(&told, "/state")? == "error" && at(&told, "/nonce")? == "n",
        "{told}"
    );
    ensure!(told["faults"].to_string().contains("AES-256-KWP"), "{told}");
    let (page, code) = told_in_error(failed.status, "/status.html")?;
    ensure!(
        code == "200" && page.contains("AES-256-KWP") && page.contains("failed"),
        "{page}"
    );
    ensure!(told_in_error(failed.status, "/status.json.sig")?.1 == "503");
    for command in [
        vec!["status"],
        vec!["key", "list"],
        vec!["client", "add", "eve"],
    ] {
        let refused = Command::new(program)
            .arg("--dir")
            .arg(site.dir())
            .args(&command)
            .output()?;
        let told = String::from_utf8_lossy(&refused.stderr).into_owned();
        ensure!(!refused.status.success(), "{command:?} was done");
        ensure!(
            told.contains("error state") && told.contains("AES-256-KWP"),
            "{told}"
        );
    }
    Ok(())
}

/// A copy of the program that has another known answer for key wrapping (NIST CAVS 21.4).
fn with_another_answer(site: &Site) -> Result<PathBuf> {
    const KNOWN: &[u8] = b"6974d7bae0221b4ed91336c26af77e32761f6024d8bbf292";
    let mut program = fs::read(strongroom()?)?;
    let mut found = Vec::new();
    for (place, bytes) in program.windows(KNOWN.len()).enumerate() {
        if bytes[0] == KNOWN[0] && bytes == KNOWN {
            found.push(place);
        }
    }
    ensure!(!found.is_empty(), "the known answer is not in the program");
    found.into_iter().for_each(|place| program[place] = b'7');
    let copy = site.beside("strongroom");
    fs::write(&copy, program)?;
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o755))?;
    Ok(copy)
}

#[test]
fn a_failed_known_answer_at_power_up_closes_the_key_ports() -> Result<()> {
    let site = Site::new()?;
    let node = site.start()?;
    let (kmip, uid) = (node.kmip(), node.client()?.create(None, 256)?);
    node.terminate()?;
    says_so_in_error(&site, &with_another_answer(&site)?, kmip)?;
    // The way out is a start that passes; nothing is lost.
    let node = site.start()?;
    node.client()?.get(&uid)?;
    node.terminate()
}

#[test]
fn a_broken_self_test_closes_the_key_ports() -> Result<()> {
    let Some(program) = breakable()? else {
        return Ok(());
    };
    let mut site = Site::new()?;
    let file = site.beside("broken");
    site.set(
        "STRONGROOM_BREAK_SELF_TEST",
        file.to_str().context("UTF-8")?,
    );
    let node = site.start_program(&program)?;
    let (kmip, uid) = (node.kmip(), node.client()?.create(None, 256)?);
    fs::write(&file, "AES-256-KWP\n")?;
    // While it runs: the command says what failed, and the node serves no more.
    let run = node.cli(&["selftest", "run", "--json"])?;
    let report: Value = serde_json::from_slice(&run.stdout)?;
    ensure!(report["result"] == "failed", "{report}");
    let deadline = Instant::now() + Duration::from_secs(20);
    while TcpStream::connect(kmip).is_ok() {
        ensure!(
            Instant::now() < deadline,
            "the KMIP port is still open\n{}",
            node.tail()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    let at_once = told_in_error(node.status(), "/status.json")?;
    ensure!(at_once.0.contains("AES-256-KWP"), "{at_once:?}");
    node.kill()?;
    // At power-up.
    says_so_in_error(&site, &program, kmip)?;
    // The way out is a start that passes; nothing is lost.
    fs::write(&file, "")?;
    let node = site.start_program(&program)?;
    node.client()?.get(&uid)?;
    let log = node.run(&["log", "show", "--view", "system"])?;
    ensure!(log.contains("FAILED AES-256-KWP"), "{log}");
    node.terminate()
}
