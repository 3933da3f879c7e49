//! The command line as an operator types it: what works, what is refused and with which words.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout)] // test code

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};
use tests::client::{Client, Identity, https_get};
use tests::node::{Site, strongroom};

fn type_in(arguments: &[&str]) -> Result<Output> {
    Ok(Command::new(strongroom()?)
        .args(arguments)
        .stdin(Stdio::null())
        .output()?)
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn help_tells_every_command() -> Result<()> {
    let help = type_in(&["--help"])?;
    ensure!(help.status.success(), "{}", err(&help));
    let commands = [
        "dev", "status", "log", "client", "key", "epoch", "state", "export", "verify",
    ];
    for command in commands {
        ensure!(
            out(&help).contains(command),
            "--help does not name {command}:\n{}",
            out(&help)
        );
        let own = type_in(&[command, "--help"])?;
        ensure!(
            own.status.success() && out(&own).len() > 80,
            "{command} --help: {}",
            out(&own)
        );
    }
    let version = type_in(&["--version"])?;
    ensure!(
        out(&version).contains(env!("CARGO_PKG_VERSION")),
        "{}",
        out(&version)
    );
    Ok(())
}

#[test]
fn bad_input_is_refused_with_words() -> Result<()> {
    let site = Site::new()?;
    let nowhere = site.beside("nowhere").display().to_string();
    let garbage = site.beside("garbage");
    std::fs::write(&garbage, "no bundle")?;
    let garbage = garbage.display().to_string();
    let cases: Vec<(Vec<&str>, &[&str])> = vec![
        (vec![], &["usage", "Usage"]),
        (vec!["frobnicate"], &["frobnicate"]),
        (
            vec!["--dir", &nowhere, "status"],
            &["nowhere", "not running", "control.sock"],
        ),
        (vec!["--dir", &nowhere, "export"], &["--out"]),
        (
            vec!["dev", "--dir", &nowhere, "--kmip-port", "99999"],
            &["99999"],
        ),
        (vec!["verify"], &["BUNDLE", "bundle"]),
        (vec!["verify", &nowhere], &["nowhere"]),
        (vec!["verify", &garbage], &["garbage", "archive", "tar"]),
    ];
    for (arguments, words) in cases {
        let output = type_in(&arguments)?;
        let told = err(&output);
        ensure!(!output.status.success(), "{arguments:?} succeeded");
        ensure!(
            output.status.code().is_some(),
            "{arguments:?} died of a signal"
        );
        ensure!(
            words.iter().any(|word| told.contains(word)),
            "{arguments:?}: {told}"
        );
        ensure!(!told.contains("panicked"), "{arguments:?}: {told}");
    }
    ensure!(
        !site.beside("nowhere").exists(),
        "a refused command made a folder"
    );
    Ok(())
}

#[test]
fn an_operators_morning() -> Result<()> {
    let site = Site::new()?;
    let node = site.start()?;
    let status = node.run(&["status"])?;
    ensure!(status.lines().count() >= 4, "status:\n{status}");
    let status = node.json(&["status"])?;
    ensure!(status.is_object(), "status --json: {status}");

    // A new client: its files work at once.
    node.run(&["client", "add", "array-7", "--group", "storage"])?;
    let mut client = Client::connect(node.kmip(), &node.identity("array-7"))?;
    let uid = client.create(Some("lun-0"), 256)?;
    let key = client.get(&uid)?;
    ensure!(key.len() == 32, "{} bytes", key.len());

    // A second certificate for the same user sees the same keys.
    node.run(&["client", "add", "array-7", "--group", "storage"])?;
    let mut again = Client::connect(node.kmip(), &node.identity("array-7"))?;
    ensure!(
        again.get(&uid)? == key && client.get(&uid)? == key,
        "after a further certificate"
    );

    let keys = node.run(&["key", "list"])?;
    ensure!(keys.contains(&uid), "key list does not show {uid}:\n{keys}");
    ensure!(
        node.json(&["key", "list"])?.to_string().contains(&uid),
        "key list --json"
    );
    let shown = node.run(&["key", "show", &uid])?;
    for word in ["lun-0", "array-7", "256"] {
        ensure!(
            shown.contains(word),
            "key show does not say {word}:\n{shown}"
        );
    }
    ensure!(
        node.json(&["key", "show", &uid])?.is_object(),
        "key show --json"
    );

    let digest = node.run(&["state", "digest"])?;
    ensure!(
        digest.split_whitespace().any(|word| word.len() >= 43),
        "state digest: {digest}"
    );
    node.replayed_digest()?;
    node.run(&["epoch", "rotate"])?;
    ensure!(client.get(&uid)? == key, "the key after a rotation");
    node.replayed_digest()?;

    let bundle = site.beside("bundle");
    node.verified_bundle(&bundle)?;
    let verified = type_in(&["verify", &bundle.display().to_string()])?;
    ensure!(
        out(&verified).lines().count() >= 2,
        "verify says: {}",
        out(&verified)
    );
    node.terminate()
}

#[test]
fn the_four_logs() -> Result<()> {
    let site = Site::new()?;
    let node = site.start()?;
    let mut client = node.client()?;
    let uid = client.create(Some("seen"), 256)?;
    client.get(&uid)?;
    let mut stranger = Client::connect(node.kmip(), &node.identity("demo2"))?;
    ensure!(stranger.get(&uid).is_err(), "demo2 got the key of demo");
    drop(Client::connect(node.kmip(), &Identity::nobody(node.dir())).map(|mut c| c.locate(None)));
    let cases = [
        ("system", "started"),
        ("audit", uid.as_str()),
        ("activity", uid.as_str()),
        ("client", "demo2"),
    ];
    for (view, word) in cases {
        let text = node.run(&["log", "show", "--view", view])?;
        let has = text.to_lowercase().contains(&word.to_lowercase());
        ensure!(has, "the {view} log does not say {word}:\n{text}");
        let lines = node.json_lines(&["log", "show", "--view", view])?;
        ensure!(
            !lines.is_empty() && lines.iter().all(Value::is_object),
            "{view} --json"
        );
    }
    let all = node.json_lines(&["log", "show"])?;
    ensure!(all.len() >= 8, "log show has {} lines", all.len());
    in_order(&all)?;
    node.terminate()
}

/// Oldest first: within each log the numbers rise.
fn in_order(records: &[Value]) -> Result<()> {
    for log in ["event", "access"] {
        let of_log = records.iter().filter(|record| record.get(log).is_some());
        let numbers: Vec<_> = of_log.map(|record| record["n"].as_u64()).collect();
        ensure!(
            numbers.iter().all(Option::is_some),
            "a record without its number"
        );
        ensure!(
            numbers.is_sorted(),
            "records with {log} are not in order: {numbers:?}"
        );
    }
    Ok(())
}

/// A revoked client is out: new connections are refused at once, one that lives is cut within 5 s.
#[test]
fn a_revoked_client_is_out() -> Result<()> {
    const OUT_WITHIN: Duration = Duration::from_secs(5);
    let site = Site::new()?;
    let node = site.start()?;
    node.run(&["client", "add", "array-8"])?;
    let mut client = Client::connect(node.kmip(), &node.identity("array-8"))?;
    let uid = client.create(Some("lun"), 256)?;
    let mut idle = Client::connect(node.kmip(), &node.identity("array-8"))?;
    idle.get(&uid)?;
    node.run(&["client", "revoke", "array-8"])?;
    ensure!(
        client.get(&uid).is_err(),
        "a revoked client is served on its old connection"
    );
    let again = Client::connect(node.kmip(), &node.identity("array-8"));
    let served = again.is_ok_and(|mut client| client.get(&uid).is_ok());
    ensure!(!served, "a revoked client is served on a new connection");
    // One that only sits there is cut off as well.
    idle.stream()
        .sock
        .set_read_timeout(Some(OUT_WITHIN + Duration::from_secs(1)))?;
    let began = Instant::now();
    let end = idle.stream().read(&mut [0_u8; 64]);
    let waited = began.elapsed();
    let cut = end
        .as_ref()
        .map_or_else(|error| error.kind() != ErrorKind::WouldBlock, |n| *n == 0);
    ensure!(
        cut,
        "an idle connection of a revoked client lives on: {end:?}"
    );
    ensure!(waited <= OUT_WITHIN, "it took {waited:?}");
    ensure!(node.client()?.locate(None).is_ok(), "the others are served");
    node.terminate()
}

#[test]
fn following_the_log() -> Result<()> {
    let site = Site::new()?;
    let node = site.start()?;
    let mut follower = Command::new(strongroom()?)
        .arg("--dir")
        .arg(node.dir())
        .args(["log", "show", "--view", "audit", "--json", "--follow"])
        .stdout(Stdio::piped())
        .spawn()?;
    let lines = BufReader::new(follower.stdout.take().context("its output")?).lines();
    let (hand_over, seen) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            if hand_over.send(line).is_err() {
                return;
            }
        }
    });
    let uid = node.client()?.create(Some("followed"), 256)?;
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let Ok(line) = seen.recv_timeout(left) else {
            bail!("{uid} was not shown in 10 s")
        };
        if line.contains(&uid) {
            break;
        }
    }
    // The node ends, and so does the follower; it does not hang.
    node.terminate()?;
    let deadline = Instant::now() + Duration::from_secs(10);
    while follower.try_wait()?.is_none() {
        if Instant::now() > deadline {
            follower.kill()?;
            bail!("--follow does not end with its node");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

#[test]
fn what_is_refused_on_a_running_node() -> Result<()> {
    let site = Site::new()?;
    let node = site.start()?;
    let bundle = site.beside("bundle").display().to_string();
    node.run(&["export", "--out", &bundle])?;
    let cases: [(&[&str], &[&str]); 7] = [
        (&["log", "show", "--view", "gossip"], &["gossip"]),
        (&["client", "add", "../../evil"], &["name", "letters"]),
        (&["client", "add", "a b"], &["name", "letters"]),
        (&["client", "add", ""], &["name", "empty", "value"]),
        (
            &["key", "show", "no-such-key"],
            &["no-such-key", "no object", "not"],
        ),
        (&["export", "--out", &bundle], &["already there"]),
        (
            &["export", "--out", "/proc/nothing/here"],
            &["/proc/nothing"],
        ),
    ];
    for (arguments, words) in cases {
        let output = node.cli(arguments)?;
        let told = err(&output);
        ensure!(!output.status.success(), "{arguments:?} succeeded");
        ensure!(
            words.iter().any(|word| told.contains(word)),
            "{arguments:?}: {told}"
        );
        ensure!(!told.contains("panicked"), "{arguments:?}: {told}");
    }
    ensure!(!site.beside("evil.pem").exists(), "a name became a path");
    // A second node on the same folder is refused, and the first goes on.
    let second = type_in(&[
        "dev",
        "--kmip-port",
        "0",
        "--web-port",
        "0",
        "--dir",
        &node.dir().display().to_string(),
    ])?;
    ensure!(!second.status.success(), "two nodes on one folder");
    node.client()?.create(Some("still here"), 256)?;
    node.terminate()
}

#[test]
fn health_and_metrics() -> Result<()> {
    let site = Site::new()?;
    let node = site.start()?;
    let nobody = Identity::nobody(node.dir());
    node.client()?.create(Some("counted"), 256)?;
    let (status, _) = https_get(node.web(), &nobody, "/health")?;
    ensure!(status == 200, "/health: {status}");
    let (status, metrics) = https_get(node.web(), &nobody, "/metrics")?;
    ensure!(status == 200, "/metrics: {status}");
    let is_sample = |line: &str| {
        line.starts_with('#')
            || line.is_empty()
            || line
                .rsplit_once(' ')
                .is_some_and(|(_, value)| value.parse::<f64>().is_ok())
    };
    let odd = metrics.lines().find(|line| !is_sample(line));
    ensure!(odd.is_none(), "not Prometheus text: {odd:?}");
    ensure!(metrics.lines().count() > 10, "{metrics}");
    for path in [
        "/admin",
        "/nothing",
        "/../ca.pem",
        "/metrics/../../keys/unlock.key",
    ] {
        // A stranger is sent to sign in wherever he points, and learns of no page whether it is
        // there.
        let (status, body) = https_get(node.web(), &nobody, path)?;
        let to_sign_in = status == 303 && body.is_empty();
        ensure!(
            to_sign_in || (400..500).contains(&status),
            "{path}: {status} {body}"
        );
    }
    node.terminate()
}

#[test]
fn ready_is_said_once_and_later_starts_go_on() -> Result<()> {
    let site = Site::new()?;
    let node = site.start()?;
    let uid = node.client()?.create(Some("lasting"), 256)?;
    let key = node.client()?.get(&uid)?;
    let ca = std::fs::read(node.dir().join("ca.pem"))?;
    node.terminate()?;
    let node = site.start()?;
    ensure!(node.client()?.get(&uid)? == key, "the key after a restart");
    ensure!(
        std::fs::read(node.dir().join("ca.pem"))? == ca,
        "another CA after a restart"
    );
    let mut said = String::new();
    std::fs::File::open(site.beside("stdout"))?.read_to_string(&mut said)?;
    let ready = said
        .lines()
        .filter(|line| line.starts_with("READY "))
        .count();
    ensure!(
        ready == 2,
        "READY was said {ready} times in two starts:\n{said}"
    );
    // Private keys are for their owner.
    use std::os::unix::fs::PermissionsExt;
    for file in ["clients/demo.key", "clients/demo2.key"] {
        let mode = std::fs::metadata(node.dir().join(file))?
            .permissions()
            .mode();
        ensure!(mode & 0o077 == 0, "{file} can be read by others: {mode:o}");
    }
    node.terminate()
}
