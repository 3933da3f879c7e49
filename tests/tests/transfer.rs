//! Closed logs at real OpenSSH servers: by SFTP and by the old scp protocol, verified there with
//! stock tools; and what happens when something is wrong there or on the way.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout)] // test code

#[path = "transfer/approved.rs"]
mod approved;
#[path = "transfer/hostile.rs"]
mod hostile;
#[path = "transfer/hour.rs"]
mod hour;
#[path = "transfer/liar.rs"]
mod liar;
#[path = "transfer/way.rs"]
mod way;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use tests::node::{Node, Site, strongroom};
use tests::sshd::{Kind, Sshd, stranger_accepts};
use way::Way;

/// In what time a closed log arrives, on a machine that may be busy with other suites.
const ARRIVES_WITHIN: Duration = Duration::from_secs(60);

/// Waits until something is so.
fn wait(what: &str, mut is_so: impl FnMut() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + ARRIVES_WITHIN;
    while !is_so()? {
        ensure!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// A node whose key lets it into the server, and a destination that was tried and saved.
fn connected(site: &Site, server: &Sshd, address: &str, logs: &str) -> Result<Node> {
    let node = site.start()?;
    server.let_in(&own_key(&node)?)?;
    put(&node, server, address, logs)?;
    Ok(node)
}

fn own_key(node: &Node) -> Result<String> {
    let shown = node.json(&["log", "transfer", "show"])?;
    let key = shown["ssh_key_of_this_node"].as_str();
    Ok(key.context("no key")?.to_owned())
}

fn put(node: &Node, server: &Sshd, address: &str, logs: &str) -> Result<String> {
    let (to, folder) = (server.account_at(address), server.inbox());
    node.run(&[
        "log",
        "transfer",
        "put",
        "there",
        "--to",
        &to,
        "--directory",
        folder.to_str().unwrap(),
        "--host-key",
        &server.fingerprint()?,
        "--logs",
        logs,
    ])
}

/// The closed logs that stand in a folder, whole.
fn arrived(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "tar") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn wait_for(folder: &Path, count: usize) -> Result<Vec<PathBuf>> {
    wait(&format!("{count} closed logs"), || {
        Ok(arrived(folder)?.len() >= count)
    })?;
    arrived(folder)
}

fn trusted(node: &Node) -> Result<String> {
    let shown = node.json(&["log", "transfer", "show"])?;
    let line = shown["allowed_signers"].as_str();
    Ok(line.context("no allowed_signers")?.to_owned() + "\n")
}

/// The one destination, as `log transfer show` has it.
fn standing(node: &Node) -> Result<Value> {
    let mut shown = node.json(&["log", "transfer", "show"])?;
    let first = shown["destinations"].get_mut(0);
    Ok(first.map(Value::take).unwrap_or_default())
}

fn problem(node: &Node) -> Result<String> {
    let problem = standing(node)?["problem"].as_str().map(str::to_owned);
    Ok(problem.unwrap_or_default())
}

/// Waits until a failure is shown, and sees that it is recorded once and is an alarm.
fn wait_for_problem(node: &Node, why: &str, words: &str) -> Result<()> {
    wait(why, || Ok(problem(node)?.starts_with(why)))?;
    let told = problem(node)?;
    ensure!(told.contains(words), "{told}");
    let records = node.json_lines(&["log", "show", "--view", "system"])?;
    let marker = format!("({why})");
    let said = |record: &Value| record["summary"].as_str().unwrap_or_default().to_owned();
    let count = records
        .iter()
        .filter(|record| said(record).contains(&marker));
    ensure!(count.count() == 1, "{why} is recorded once");
    let faults = node.json(&["status"])?["faults"].to_string();
    ensure!(faults.contains(why), "no alarm of {why}: {faults}");
    Ok(())
}

fn retry(node: &Node) -> Result<()> {
    node.run(&["log", "transfer", "retry", "there"]).map(drop)
}

/// Closed logs of a server kind, verified where they arrive.
fn arrive_and_verify(kind: Kind) -> Result<()> {
    let (site, server) = (Site::new()?, Sshd::start(kind)?);
    let node = site.start()?;
    server.let_in(&own_key(&node)?)?;
    let said = put(
        &node,
        &server,
        &server.address(),
        "system,audit,activity,clientevent",
    )?;
    let protocol = if kind == Kind::Sftp {
        "by SFTP"
    } else {
        "by scp"
    };
    ensure!(
        said.contains(protocol) && said.contains("read it back"),
        "{said}"
    );
    let mut client = node.client()?;
    let uid = client.create(Some("kept"), 256)?;
    (0..20).try_for_each(|_| client.get(&uid).map(drop))?;
    ensure!(client.get("00000000-0000-0000-0000-000000000000").is_err());
    node.run(&["log", "rotate"])?;
    wait_for(&server.inbox(), 4)?;
    (0..5).try_for_each(|_| client.get(&uid).map(drop))?;
    node.run(&["log", "rotate", "activity"])?;
    let files = wait_for(&server.inbox(), 5)?;
    wait("every receipt", || Ok(standing(&node)?["waiting"] == 0))?;
    let trusted = trusted(&node)?;
    let state = site.beside("state");
    fs::write(site.beside("trusted"), &trusted)?;
    for file in &files {
        stranger_accepts(file, &trusted)?;
        let verified = Command::new(strongroom()?)
            .args(["verify", "--trust"])
            .arg(site.beside("trusted"))
            .arg("--state")
            .arg(&state)
            .arg(file)
            .output()?;
        let told = String::from_utf8_lossy(&verified.stderr).into_owned();
        ensure!(verified.status.success(), "{}: {told}", file.display());
    }
    // Nothing unfinished is left there.
    let all = fs::read_dir(server.inbox())?.count();
    let test_files = if kind == Kind::Sftp { 0 } else { 1 };
    ensure!(
        all == files.len() + test_files,
        "{all} files for {}",
        files.len()
    );
    node.terminate()
}

#[test]
fn closed_logs_arrive_by_sftp_and_a_stranger_verifies_them() -> Result<()> {
    arrive_and_verify(Kind::Sftp)
}

#[test]
fn closed_logs_arrive_by_the_old_scp_protocol() -> Result<()> {
    arrive_and_verify(Kind::Scp)
}

#[test]
fn what_leaves_is_encrypted_to_the_recipients() -> Result<()> {
    let (site, server) = (Site::new()?, Sshd::start(Kind::Sftp)?);
    let node = site.start()?;
    server.let_in(&own_key(&node)?)?;
    let key = site.beside("age-key");
    let made = Command::new("age-keygen").arg("-o").arg(&key).output();
    let made = made.context("age-keygen (Debian: apt-get install age)")?;
    let said = String::from_utf8_lossy(&made.stderr).into_owned();
    let recipient = said.split_whitespace().last().context("a recipient")?;
    let (to, folder) = (server.account_at(&server.address()), server.inbox());
    let (folder, pin) = (folder.to_str().unwrap(), server.fingerprint()?);
    let put = |recipient: &str| {
        let put = [
            "log",
            "transfer",
            "put",
            "there",
            "--to",
            &to,
            "--directory",
            folder,
        ];
        node.cli(&[&put[..], &["--host-key", &pin, "--recipient", recipient]].concat())
    };
    let mut wrong = recipient.to_owned();
    wrong.pop();
    wrong.push(if recipient.ends_with('q') { 'p' } else { 'q' });
    ensure!(!put(&wrong)?.status.success(), "a wrong digit was taken");
    let output = put(recipient)?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    node.run(&["log", "rotate", "audit"])?;
    wait("the receipt", || Ok(standing(&node)?["waiting"] == 0))?;
    let files = fs::read_dir(server.inbox())?.map(|entry| Ok(entry?.path()));
    let files = files.collect::<Result<Vec<_>>>()?;
    ensure!(
        files.len() == 1 && files[0].to_string_lossy().ends_with(".tar.age"),
        "{files:?}"
    );
    let plain = site.beside("plain.tar");
    let opened = Command::new("age")
        .args(["-d", "-i"])
        .arg(&key)
        .arg("-o")
        .arg(&plain)
        .arg(&files[0])
        .output()?;
    ensure!(
        opened.status.success(),
        "{}",
        String::from_utf8_lossy(&opened.stderr)
    );
    stranger_accepts(&plain, &trusted(&node)?)?;
    node.terminate()
}

#[test]
fn a_host_key_is_pinned_by_people_and_another_one_gets_nothing() -> Result<()> {
    let (site, mut server) = (Site::new()?, Sshd::start(Kind::Sftp)?);
    let node = site.start()?;
    server.let_in(&own_key(&node)?)?;
    // Without a pinned key it is shown, and nothing else happens.
    let to = server.account_at(&server.address());
    let output = node.cli(&["log", "transfer", "put", "there", "--to", &to])?;
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(
        !output.status.success() && told.contains(&server.fingerprint()?),
        "{told}"
    );
    ensure!(standing(&node)?.is_null(), "it was saved");
    put(&node, &server, &server.address(), "audit")?;
    node.run(&["log", "rotate", "audit"])?;
    wait_for(&server.inbox(), 1)?;
    server.change_host_key()?;
    node.run(&["log", "rotate", "audit"])?;
    wait_for_problem(&node, "host-key", &server.fingerprint()?)?;
    ensure!(arrived(&server.inbox())?.len() == 1, "something was sent");
    // Who has looked pins the new one, and what waited arrives.
    put(&node, &server, &server.address(), "audit")?;
    wait_for(&server.inbox(), 2)?;
    node.terminate()
}

#[test]
fn a_key_that_is_not_accepted_is_named_and_nothing_is_lost() -> Result<()> {
    let (site, server) = (Site::new()?, Sshd::start(Kind::Sftp)?);
    let node = connected(&site, &server, &server.address(), "audit")?;
    server.let_in("")?;
    node.run(&["log", "rotate", "audit"])?;
    wait_for_problem(&node, "sign-in", "does not accept the key of this node")?;
    server.let_in(&own_key(&node)?)?;
    retry(&node)?;
    wait_for(&server.inbox(), 1)?;
    wait("no problem", || Ok(problem(&node)?.is_empty()))?;
    node.terminate()
}

#[test]
fn a_full_disk_there_is_named_and_what_waits_arrives_later() -> Result<()> {
    let (site, server) = (Site::new()?, Sshd::start(Kind::Sftp)?);
    let node = connected(&site, &server, &server.address(), "audit")?;
    let small = server.mount_small()?;
    node.run(&["log", "rotate", "audit"])?;
    wait_for_problem(&node, "no-room", "bytes are free")?;
    // A crash of the node meanwhile changes nothing.
    node.kill()?;
    let node = site.start()?;
    ensure!(
        standing(&node)?["waiting"] == 1,
        "it does not wait any more"
    );
    small.enlarge()?;
    retry(&node)?;
    let files = wait_for(&server.inbox(), 1)?;
    stranger_accepts(&files[0], &trusted(&node)?)?;
    node.terminate()
}

#[test]
fn a_cut_connection_is_resumed_where_it_was_cut() -> Result<()> {
    let (site, server) = (Site::new()?, Sshd::start(Kind::Sftp)?);
    let way = Way::to(&server.address())?;
    let node = connected(&site, &server, &way.address(), "activity")?;
    let mut client = node.client()?;
    let uid = client.create(Some("kept"), 256)?;
    (0..1_500).try_for_each(|_| client.get(&uid).map(drop))?;
    way.hold_after(300_000);
    node.run(&["log", "rotate", "activity"])?;
    // A server that is cut off may drop what it has not written yet.
    let written = || -> Result<u64> { Ok(server.partial()?.unwrap_or_default()) };
    wait("a part to be written", || Ok(written()? > 100_000))?;
    way.cut();
    wait_for_problem(&node, "unreachable", "connection")?;
    ensure!(arrived(&server.inbox())?.is_empty(), "it was not cut");
    let partial = written()?;
    let before = way.sent();
    way.open();
    retry(&node)?;
    let files = wait_for(&server.inbox(), 1)?;
    let whole = fs::metadata(&files[0])?.len();
    let sent = way.sent() - before;
    ensure!(
        sent < whole,
        "{sent} bytes were sent for {whole}, and {partial} were there"
    );
    stranger_accepts(&files[0], &trusted(&node)?)?;
    node.terminate()
}

#[test]
fn silent_and_hostile_servers_are_left_in_time() -> Result<()> {
    let site = Site::new()?;
    let (silent, noisy) = (Way::silent()?, Way::noisy()?);
    let node = site.start()?;
    let to = |way: &Way| format!("logs@{}", way.address());
    for (way, words) in [(&silent, "slowly"), (&noisy, "")] {
        let began = Instant::now();
        let output = node.cli(&["log", "transfer", "test", "x", "--to", &to(way)])?;
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(!output.status.success() && told.contains(words), "{told}");
        ensure!(
            began.elapsed() < Duration::from_secs(45),
            "{:?}",
            began.elapsed()
        );
    }
    // It serves as before, in little memory.
    ensure!(node.resident_bytes()? < 400 << 20);
    node.client()?.create(Some("k"), 256)?;
    node.terminate()
}

#[test]
fn logs_are_closed_by_size_and_by_schedule() -> Result<()> {
    let (site, server) = (Site::new()?, Sshd::start(Kind::Sftp)?);
    let node = connected(&site, &server, &server.address(), "activity,audit")?;
    node.run(&["configure", "set", "log.size", "1"])?;
    let made = tests::load::fill(node.kmip(), &node.identity("demo"), 6_000)?;
    println!("{made} events");
    wait_for(&server.inbox(), 1)?;
    node.run(&["configure", "set", "log.size", "1024"])?;
    node.run(&["configure", "set", "log.audit.rotate", "daily"])?;
    let before = arrived(&server.inbox())?.len();
    let output = node.cli(&["configure", "set", "log.audit.rotate", "sometimes"])?;
    ensure!(!output.status.success(), "sometimes is no rhythm");
    // A log in which nothing is new is not closed.
    node.client()?.create(Some("later"), 256)?;
    // Two days later.
    node.terminate()?;
    fs::write(site.dir().join("clock-offset"), format!("{}", 2 * 86_400))?;
    let node = site.start()?;
    let files = wait_for(&server.inbox(), before + 1)?;
    for file in &files {
        stranger_accepts(file, &trusted(&node)?)?;
    }
    let records = node.run(&["log", "show", "--view", "system"])?;
    ensure!(records.contains("its time came") && records.contains("it was large enough"));
    node.terminate()
}
