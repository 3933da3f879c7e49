//! The operator's commands about the node itself: what it is recognised by, its services, its time,
//! the lives of keys. Stock tools look on: ssh, ssh-keygen, openssl.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout)] // test code

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tests::desk::Desk;
use tests::node::{Node, Site, strongroom};
use tests::standalone::{PASSPHRASE, PASSWORD, Standalone};
use tests::terminal::Terminal;

/// The password that the first administrator chooses, and one of a second one.
const OWN: &str = "seven lamps under water";
const OTHER: &str = "nine kettles on a roof";

/// How long a door may take to open and to shut.
const MOVED_WITHIN: Duration = Duration::from_secs(20);

/// A node whose administrator has logged in for the first time, and put a key there.
fn moved_in(site: &Site) -> Result<(Node, Desk, Terminal)> {
    let node = site.start()?;
    let desk = Desk::new(node.ssh().port())?;
    let once = fs::read_to_string(node.dir().join("admin-password"))?;
    let mut terminal = over_ssh(&desk, "admin", once.trim(), OWN)?;
    let key = fs::read_to_string(desk.key().with_extension("pub"))?;
    terminal.command(&format!("admin ssh-keys admin \"{}\"", key.trim()))?;
    Ok((node, desk, terminal))
}

/// The first visit of an administrator, who has to choose another password.
fn over_ssh(desk: &Desk, name: &str, once: &str, own: &str) -> Result<Terminal> {
    let mut ssh = desk.by_password("ssh", once)?;
    ssh.args(["-tt", &format!("{name}@127.0.0.1")]);
    let mut terminal = Terminal::open(ssh)?;
    terminal.expect("The password must be changed first.")?;
    terminal.types_new_password(own)?;
    terminal.expect("strongroom>")?;
    Ok(terminal)
}

fn until(what: &str, is: impl Fn() -> Result<bool>) -> Result<()> {
    let begun = Instant::now();
    while !is()? {
        ensure!(begun.elapsed() < MOVED_WITHIN, "{what}");
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

fn is_open(address: SocketAddr) -> bool {
    TcpStream::connect(address).is_ok()
}

/// One line over SSH, which must be carried out.
fn line(desk: &Desk, line: &str) -> Result<String> {
    let output = desk.line(line)?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{line}: {said}");
    Ok(String::from_utf8(output.stdout)?)
}

fn json_of(desk: &Desk, command: &str) -> Result<Value> {
    Ok(serde_json::from_str(&line(desk, command)?)?)
}

fn part<'a>(answer: &'a str, name: &str) -> Result<&'a str> {
    let found = answer.lines().find_map(|line| line.strip_prefix(name));
    Ok(found
        .with_context(|| format!("no {name:?} in {answer}"))?
        .trim())
}

/// What OpenSSH's own tool says of the key that it knows the host by.
fn known_key(desk: &Desk) -> Result<String> {
    let output = Command::new("ssh-keygen")
        .args(["-l", "-f"])
        .arg(desk.path("known"))
        .output()?;
    let text = String::from_utf8(output.stdout)?;
    let key = text.split_whitespace().nth(1).context("a fingerprint")?;
    Ok(key.to_owned())
}

#[test]
fn the_ssh_host_key_is_made_anew() -> Result<()> {
    let site = Site::new()?;
    let (node, desk, mut terminal) = moved_in(&site)?;
    let before = known_key(&desk)?;
    let told = terminal.command("ssh key recreate")?;
    let (was, is) = (
        part(&told, "was:")?.to_owned(),
        part(&told, "is:")?.to_owned(),
    );
    ensure!(was == before && is != was, "{told}");
    // Whoever knows the old one is kept from the new one by their own client.
    until("the new key is not shown", || {
        let refused = desk.line("show version")?;
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        Ok(refused.status.code() == Some(255) && said.contains("HOST IDENTIFICATION HAS CHANGED"))
    })?;
    fs::remove_file(desk.path("known"))?;
    line(&desk, "show version")?;
    ensure!(known_key(&desk)? == is, "another key than was said");
    // The session that is open goes on, and the log has both.
    let log = terminal.command("show log system --last 20")?;
    let entry = format!("renewed the SSH host key of node 1: {is}, before {was}");
    ensure!(log.contains(&entry), "{log}");
    ensure!(line(&desk, "show cert")?.contains(&is));
    // It stays after a restart.
    node.kill()?;
    let node = site.start()?;
    let door = node.ask(&json!({ "ask": "ssh-door" }))?;
    ensure!(door["host_key"] == is, "{door}");
    Ok(())
}

/// What openssl sees at a port, checked against the CA of the node.
fn seen_at(port: SocketAddr, node: &Node, options: &[&str]) -> Result<String> {
    let ca = node.dir().join("ca.pem");
    let identity = ["demo.pem", "demo.key"].map(|file| node.dir().join("clients").join(file));
    let shown = Command::new("openssl")
        .args([
            "s_client",
            "-verify_return_error",
            "-connect",
            &port.to_string(),
        ])
        .arg("-CAfile")
        .arg(&ca)
        .arg("-cert")
        .arg(&identity[0])
        .arg("-key")
        .arg(&identity[1])
        .stdin(Stdio::null())
        .output()?;
    let text = String::from_utf8_lossy(&shown.stdout).into_owned();
    ensure!(
        text.contains("Verify return code: 0 (ok)"),
        "{port}: {text}"
    );
    let at = text.find("-----BEGIN").context("a certificate")?;
    let mut openssl = Command::new("openssl");
    openssl.args(["x509", "-noout"]).args(options);
    openssl.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut openssl = openssl.spawn()?;
    let mut input = openssl.stdin.take().context("standard input")?;
    std::io::Write::write_all(&mut input, &text.as_bytes()[at..])?;
    drop(input);
    let output = openssl.wait_with_output()?;
    let text = String::from_utf8(output.stdout)?;
    Ok(text
        .trim()
        .replace("sha256 Fingerprint=", "")
        .to_lowercase())
}

const FINGERPRINT: &[&str] = &["-fingerprint", "-sha256"];

fn plain(fingerprint: &str) -> String {
    fingerprint.replace(':', "").to_lowercase()
}

#[test]
fn the_certificate_of_the_ports_is_made_anew() -> Result<()> {
    let site = Site::new()?;
    let (node, desk, _terminal) = moved_in(&site)?;
    let before = seen_at(node.web(), &node, FINGERPRINT)?;
    let mut client = node.client()?;
    let uid = client.create(Some("kept"), 256)?;
    let told = line(&desk, "web cert recreate")?;
    let is = part(&told, "is:")?;
    ensure!(plain(part(&told, "was:")?) == plain(&before), "{told}");
    ensure!(plain(is) != plain(&before), "{told}");
    for port in [node.web(), node.kmip(), node.status()] {
        let now = seen_at(port, &node, FINGERPRINT)?;
        ensure!(plain(&now) == plain(is), "{port} shows {now}, not {is}");
    }
    // Sessions that are open go on; new ones trust the CA as before.
    client.get(&uid)?;
    node.client()?.get(&uid)?;
    // What `show cert` says is what openssl reads off it.
    let certificates = json_of(&desk, "show cert --json")?;
    let rows = certificates["certificates"].as_array().context("rows")?;
    let row = |what: &str| {
        rows.iter()
            .find(|row| row["for"] == what)
            .context(what.to_owned())
    };
    let own = row("KMIP, web and status")?;
    ensure!(plain(own["sha256"].as_str().unwrap()) == plain(is), "{own}");
    let serial = seen_at(node.web(), &node, &["-serial"])?;
    let wanted = format!("serial={}", own["serial"].as_str().unwrap());
    ensure!(serial == wanted, "{serial} {wanted}");
    let end = seen_at(node.web(), &node, &["-enddate", "-dateopt", "iso_8601"])?;
    let wanted = own["not_after"]
        .as_str()
        .unwrap()
        .replace('T', " ")
        .to_lowercase();
    ensure!(end == format!("notafter={wanted}"), "{end} {wanted}");
    ensure!(own["days_left"].as_i64() > Some(820), "{own}");
    for what in [
        "Local CA",
        "Cluster CA",
        "this member",
        "client",
        "SSH host key",
    ] {
        row(what)?;
    }
    let log = line(&desk, "show log system --last 20")?;
    ensure!(
        log.contains("renewed the certificate of the KMIP, web and status ports of node 1"),
        "{log}"
    );
    // It stays after a restart, in the file that clients are given too.
    let is = is.to_owned();
    node.kill()?;
    let node = site.start()?;
    ensure!(plain(&seen_at(node.kmip(), &node, FINGERPRINT)?) == plain(&is));
    Ok(())
}

#[test]
fn a_service_stops_and_starts() -> Result<()> {
    let site = Site::new()?;
    let (node, desk, mut terminal) = moved_in(&site)?;
    let state = |name: &str| -> Result<String> {
        let services = json_of(&desk, "show services --json")?;
        let rows = services["doors"].as_array().context("doors")?;
        let row = rows.iter().find(|row| row["service"] == name);
        Ok(row.context("a row")?["state"].as_str().unwrap().to_owned())
    };
    let mut client = node.client()?;
    let uid = client.create(Some("kept"), 256)?;
    // Nothing happens without the word.
    terminal.send("services stop kmip\r")?;
    terminal.answer("services.confirm", "no")?;
    terminal.expect("Nothing was done.")?;
    terminal.expect("strongroom>")?;
    client.get(&uid)?;
    for (name, address) in [
        ("kmip", node.kmip()),
        ("web", node.web()),
        ("status", node.status()),
    ] {
        ensure!(is_open(address) && state(name)? == "open", "{name}");
        terminal.send(&format!("services stop {name}\r"))?;
        terminal.answer("services.confirm", "yes")?;
        terminal.expect(&format!("{name} is stopped on this node"))?;
        terminal.expect("strongroom>")?;
        until("the port stays open", || Ok(!is_open(address)))?;
        ensure!(state(name)? == "stopped", "{name}");
    }
    // Whoever was in is out.
    ensure!(client.get(&uid).is_err(), "the session goes on");
    ensure!(node.json(&["status"])?["kmip"].is_null());
    let config = terminal.command("show running-config")?;
    ensure!(config.contains("services.kmip = off"), "{config}");
    let log = terminal.command("show log system --last 20")?;
    ensure!(
        log.contains("set services.kmip of node 1 to \"off\""),
        "{log}"
    );
    // One by one: each is opened where it was, and serves.
    for (name, address) in [
        ("kmip", node.kmip()),
        ("web", node.web()),
        ("status", node.status()),
    ] {
        let told = terminal.command(&format!("services start {name}"))?;
        ensure!(
            told.contains(&format!("{name} is open at {address}")),
            "{told}"
        );
        ensure!(is_open(address), "{name}");
    }
    ensure!(
        terminal
            .command("services start web")?
            .contains("is open already")
    );
    node.client()?.get(&uid)?;
    // SSH: who is in stays, nobody else comes in.
    terminal.send("services stop ssh\r")?;
    terminal.answer("services.confirm", "yes")?;
    terminal.expect("sessions that are open go on")?;
    terminal.expect("strongroom>")?;
    until("SSH stays open", || Ok(!is_open(node.ssh())))?;
    ensure!(terminal.command("show services")?.contains("stopped"));
    terminal.command("services start ssh")?;
    until("SSH stays shut", || Ok(is_open(node.ssh())))?;
    line(&desk, "show services")?;
    for (wrong, why) in [
        (
            "services stop console",
            "possible values: kmip, web, ssh, status",
        ),
        (
            "services start core",
            "possible values: kmip, web, ssh, status",
        ),
    ] {
        let told = terminal.command(wrong)?;
        ensure!(told.contains(why), "{wrong}: {told}");
    }
    Ok(())
}

/// A port that was stopped is not open for a moment after a start.
#[test]
fn a_stopped_service_stays_stopped_over_a_restart() -> Result<()> {
    let site = Site::new()?;
    let node = site.start()?;
    let switch = |node: &Node, on: bool| {
        node.ask(&json!({
            "ask": "services", "services": "switch", "service": "kmip", "on": on,
        }))
    };
    switch(&node, false)?;
    node.terminate()?;
    let node = site.start()?;
    until("it is open", || Ok(!is_open(node.kmip())))?;
    std::thread::sleep(Duration::from_secs(1));
    ensure!(!is_open(node.kmip()), "it opened later");
    switch(&node, true)?;
    node.client()?.create(None, 256)?;
    // Another program took the port meanwhile: said, and opened when it is free.
    switch(&node, false)?;
    until("it is open", || Ok(!is_open(node.kmip())))?;
    let taken = std::net::TcpListener::bind(node.kmip())?;
    let refused = switch(&node, true);
    ensure!(
        format!("{refused:?}").contains("opening the kmip port"),
        "{refused:?}"
    );
    drop(taken);
    until("it stays shut", || Ok(node.client().is_ok()))?;
    node.terminate()
}

/// Administrators who may not are told what they lack, and it stands in the log.
#[test]
fn who_may_not_is_told() -> Result<()> {
    let site = Site::new()?;
    let (node, desk, mut terminal) = moved_in(&site)?;
    terminal.send("admin add jane --permissions auditor\r")?;
    terminal.types_new_password("a first one for jane to change")?;
    terminal.expect("strongroom>")?;
    let mut jane = over_ssh(&desk, "jane", "a first one for jane to change", OTHER)?;
    let uid = node.client()?.create(None, 256)?;
    for (line, permission) in [
        ("ssh key recreate".to_owned(), "services"),
        ("web cert recreate".to_owned(), "tls"),
        ("services stop kmip".to_owned(), "services"),
        ("services start kmip".to_owned(), "services"),
        ("configure time 2030-01-01T00:00:00Z".to_owned(), "network"),
        ("reset to factory".to_owned(), "high-access"),
        ("no fips compliant".to_owned(), "advanced-security"),
        ("key create demo".to_owned(), "keys"),
        (format!("key activate {uid}"), "keys"),
        (format!("key revoke {uid}"), "keys"),
        (format!("key destroy {uid} --yes"), "keys"),
    ] {
        let told = jane.command(&line)?;
        let why = format!("this needs the permission {permission} ");
        ensure!(told.contains(&why), "{line}: {told}");
    }
    // What may be seen by everybody has no more in it than they may see.
    let certificates = jane.command("show cert")?;
    ensure!(certificates.contains("Local CA") && !certificates.contains("CN=demo"));
    ensure!(
        certificates.contains("the permission users is missing"),
        "{certificates}"
    );
    ensure!(terminal.command("show cert")?.contains("CN=demo"));
    let log = terminal.command("show log clientevent --last 30")?;
    for what in [
        "Renew Host Key",
        "Renew Certificate",
        "Set Clock",
        "Destroy of",
    ] {
        let entry = format!("operator jane (ssh) was refused {what}");
        ensure!(log.contains(&entry), "{entry} is not in:\n{log}");
    }
    Ok(())
}

#[test]
fn a_key_lives_at_the_command_line() -> Result<()> {
    let site = Site::new()?;
    let (node, desk, _terminal) = moved_in(&site)?;
    let made = json_of(&desk, "key create demo --name disk-7 --activate --json")?;
    let uid = made["uid"].as_str().context("a uid")?.to_owned();
    ensure!(node.client()?.get(&uid)?.len() == 32);
    ensure!(node.client()?.locate(Some("disk-7"))?.contains(&uid));
    let shown = json_of(&desk, &format!("show key {uid} --json"))?;
    ensure!(shown["state"] == "active", "{shown}");
    let refused = desk.line(&format!("key destroy {uid}"))?;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    ensure!(
        refused.status.code() == Some(1) && said.contains("say --yes"),
        "{said}"
    );
    let refused = desk.line(&format!("key destroy {uid} --yes"))?;
    ensure!(
        refused.status.code() == Some(1),
        "an active key was destroyed"
    );
    line(
        &desk,
        &format!("key revoke {uid} --reason compromise --message \"ticket 4711\""),
    )?;
    let shown = json_of(&desk, &format!("show key {uid} --json"))?;
    ensure!(shown["state"] == "compromised", "{shown}");
    line(&desk, &format!("key destroy {uid} --yes"))?;
    ensure!(
        node.client()?.get(&uid).is_err(),
        "a destroyed key was given out"
    );
    // The other way into life, and the same from the shell of the node.
    let made = node.json(&["key", "create", "demo", "--algorithm", "HMAC-SHA256"])?;
    let uid = made["uid"].as_str().context("a uid")?.to_owned();
    node.run(&["key", "activate", &uid])?;
    ensure!(node.json(&["key", "show", &uid])?["state"] == "active");
    let log = line(&desk, "show log audit --last 12")?;
    ensure!(log.contains("operator admin (ssh)"), "{log}");
    for (wrong, why) in [
        ("key create nobody", "there is no such user"),
        ("key create demo --algorithm ROT13", "no algorithm"),
        ("key create demo --bits 17", "17"),
    ] {
        let output = desk.line(wrong)?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(
            !output.status.success() && said.contains(why),
            "{wrong}: {said}"
        );
    }
    Ok(())
}

/// The mode is left as it is entered: consequences first, then by their word.
#[test]
fn approved_mode_is_left_by_no_fips_compliant() -> Result<()> {
    let site = Site::new()?;
    let (_node, desk, _terminal) = moved_in(&site)?;
    let word = |command: &str| -> Result<String> {
        let plan = json_of(&desk, &format!("{command} --json"))?;
        let word = plan["confirm"].as_str().or(plan["plan"].as_str());
        Ok(word.with_context(|| plan.to_string())?.to_owned())
    };
    let on = word("fips compliant")?;
    line(&desk, &format!("fips compliant --confirm {on}"))?;
    // A password that was hashed otherwise is changed before anything else.
    let mut ssh = desk.by_key("ssh");
    ssh.args(["-tt", "admin@127.0.0.1"]);
    let mut terminal = Terminal::open(ssh)?;
    terminal.answer("password.old", OWN)?;
    terminal.types_new_password(OTHER)?;
    terminal.expect("strongroom>")?;
    ensure!(json_of(&desk, "show fips status --json")?["Approved-algorithms mode"] == "on");
    let refused = desk.line("no fips compliant --confirm 0000000000000000")?;
    ensure!(refused.status.code() == Some(1), "{refused:?}");
    let off = word("no fips compliant")?;
    line(&desk, &format!("no fips compliant --confirm {off}"))?;
    let mode = json_of(&desk, "show fips status --json")?;
    ensure!(mode["Approved-algorithms mode"] == "off", "{mode}");
    Ok(())
}

#[test]
fn what_copies_there_are_is_said_as_it_is() -> Result<()> {
    let site = Site::new()?;
    let (_node, desk, _terminal) = moved_in(&site)?;
    let copies = json_of(&desk, "show backups --json")?;
    ensure!(copies["copies_of_the_keys"] == 1, "{copies}");
    ensure!(copies["members"][0]["holds_keys"] == true, "{copies}");
    ensure!(copies["members"][0]["durable_to"].is_u64(), "{copies}");
    let table = line(&desk, "show backups")?;
    for words in [
        "There are no backups yet",
        "no transfer destination",
        "HOLDS KEYS",
    ] {
        ensure!(table.contains(words), "{words}: {table}");
    }
    Ok(())
}

/// `2026-11-23T05:30:00Z`, so many seconds from now.
fn moment(seconds: i64) -> Result<String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let then = i64::try_from(now)? + seconds;
    let output = Command::new("date")
        .args(["-u", "-d", &format!("@{then}"), "+%Y-%m-%dT%H:%M:%SZ"])
        .output()?;
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

#[test]
fn the_clock_is_set_by_hand_where_nothing_else_does() -> Result<()> {
    let mut appliance = Standalone::new()?;
    let setup = format!(
        "# strongroom setup 1\nhostname = kms1\neth0.ipv4 = off\n{}admin.password = {PASSWORD}\n\
         unlock = disk\nrecovery = passphrase\nrecovery.passphrase = {PASSPHRASE}\n",
        appliance.addresses()
    );
    appliance.start(Some(&setup))?;
    let mut console = Command::new(strongroom()?);
    console
        .args(["console", "--sockets"])
        .arg(appliance.path("sockets"));
    console.arg("--init").arg(appliance.path("init.sock"));
    let mut terminal = Terminal::open(console)?;
    terminal.signs_in("admin", PASSWORD)?;
    terminal.expect("strongroom>")?;
    let file = appliance.path("settings/clock.json");
    // Time servers rule.
    fs::create_dir(appliance.path("time"))?;
    let status = |state: &str, synchronised: bool| {
        json!({
            "version": 1, "state": state, "synchronised": synchronised, "stepped": false,
            "offset_milliseconds": 0.25, "last_answer": null, "problem": null,
            "servers": [{
                "name": "ntp1.example.org", "address": "192.0.2.123", "reachable": true,
                "offset_milliseconds": 0.25, "delay_milliseconds": 1.5, "stratum": 2,
                "used": true, "problem": null,
            }],
        })
    };
    let write = |status: &Value| fs::write(appliance.path("time/time.json"), status.to_string());
    write(&status("synchronised", true))?;
    let shown = terminal.command("show time")?;
    for words in [
        "time servers",
        "ntp1.example.org",
        "0.25",
        "refused: the clock follows",
    ] {
        ensure!(shown.contains(words), "{words}: {shown}");
    }
    let told = terminal.command(&format!("configure time {}", moment(5)?))?;
    ensure!(
        told.contains("follows time servers (ntp1.example.org)"),
        "{told}"
    );
    ensure!(!file.exists(), "the clock was set");
    // They are away: a small step is made at once, a large one when it is meant.
    write(&status("waiting", false))?;
    let told = terminal.command(&format!("configure time {}", moment(20)?))?;
    ensure!(told.contains("was:") && told.contains("is:"), "{told}");
    let asked: Value = serde_json::from_str(&fs::read_to_string(&file)?)?;
    ensure!(asked["milliseconds"].is_u64(), "{asked}");
    let hour = moment(3_600)?;
    terminal.send(&format!("configure time {hour}\r"))?;
    terminal.answer("time.confirm", "no")?;
    terminal.expect("Nothing was done.")?;
    terminal.expect("strongroom>")?;
    terminal.send(&format!("configure time {hour}\r"))?;
    terminal.expect("goes forward by")?;
    terminal.answer("time.confirm", "yes")?;
    terminal.expect("strongroom>")?;
    let shown = terminal.command("show time --json")?;
    let at = shown.find('{').context("JSON")?;
    let shown: Value = serde_json::from_str(shown[at..].trim())?;
    let utc = shown["utc"].as_str().context("utc")?;
    ensure!(utc >= hour.trim_end_matches('Z'), "{utc} is before {hour}");
    // Never back behind the log.
    let told = terminal.command(&format!("configure time {}", moment(0)?))?;
    ensure!(told.contains("time does not go back behind it"), "{told}");
    for wrong in [
        "yesterday",
        "1999-01-01T00:00:00Z",
        "2026-11-23T05:30:00+01:00",
    ] {
        let told = terminal.command(&format!("configure time {wrong}"))?;
        ensure!(!told.contains("is:"), "{wrong}: {told}");
    }
    let log = terminal.command("show log system --last 20")?;
    ensure!(
        log.contains("set the clock of node 1 forward by 35"),
        "{log}"
    );
    if log.contains("yesterday") {
        bail!("what is no time stands in the log: {log}");
    }
    Ok(())
}
