//! The web admin: in Debian's Chromium, and against those who mean harm.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout)] // test code

#[allow(dead_code)] // some of it is for other suites
use anyhow::{Context, Result, ensure};
use kmip::CryptographicAlgorithm;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};
use tests::client::{Client, Identity, connect_tls};
use tests::node::{Node, Site};
use tests::python;
use tests::sshd::{Kind, Sshd};
use tests::web::{self, Visitor};

/// The password that the first administrator chooses; the script in the browser has the same.
const OWN: &str = "seven lamps under water";

/// Steps of the script in the browser; one that stops early must not pass.
const STEPS: usize = 103;

/// The same of the script of the operator.
const OPERATOR_STEPS: usize = 75;

/// A session that was open when its client was revoked ends within this (ABUSE A6).
const REVOKED_WITHIN: Duration = Duration::from_secs(5);

/// A node whose administrator has signed in for the first time.
fn moved_in(site: &Site) -> Result<(Node, Visitor)> {
    let node = site.start()?;
    let mut admin = Visitor::of(&node);
    admin.move_in(&node, OWN)?;
    Ok((node, admin))
}

/// Somebody else who signs in.
fn signed_in(node: &Node, name: &str, password: &str) -> Result<Visitor> {
    let mut visitor = Visitor::of(node);
    let answer = visitor.sign_in(name, password)?;
    ensure!(answer.status == 303, "{}", answer.text());
    visitor.page("/").map(|_| visitor)
}

#[test]
fn an_administrator_works_in_a_browser() -> Result<()> {
    let site = Site::new()?;
    let node = site.start()?;
    let folder = site.beside("browser");
    fs::create_dir_all(&folder)?;
    let shots = std::env::var("STRONGROOM_SHOTS").unwrap_or_default();
    let text = |path: &std::path::Path| path.to_string_lossy().into_owned();
    let script = python::script("pykmip_bundle.py");
    let arguments = [
        ("url", format!("https://{}", node.web())),
        ("password", text(&node.dir().join("admin-password"))),
        ("folder", text(&folder)),
        ("python", text(&python::interpreter()?)),
        ("script", text(&script)),
        ("kmip-port", node.kmip().port().to_string()),
        ("shots", shots),
    ];
    let arguments = arguments
        .each_ref()
        .map(|(name, value)| (*name, value.as_str()));
    let said = web::in_browser("admin_flow.mjs", &arguments).with_context(|| node.tail())?;
    println!("{said}");
    let steps = said.lines().filter(|line| line.starts_with("ok ")).count();
    ensure!(steps == STEPS, "{steps} steps:\n{said}");
    // What was done there stands in the log like anything else.
    let log = node.run(&["log", "show"])?;
    for line in [
        "admin (web) put user netapp-svm1 in storage",
        "Take Client Bundle netapp-svm1",
        "admin (web) activated",
        "admin (web) destroyed",
        "admin (web) exported",
        "admin (web) revoked the certificates of netapp-svm1",
    ] {
        ensure!(log.contains(line), "{line:?} is not in the log:\n{log}");
    }
    node.terminate()
}

#[test]
fn an_operator_settles_transfer_and_mode_in_a_browser() -> Result<()> {
    let site = Site::new()?;
    let (node, _) = moved_in(&site)?;
    let server = Sshd::start(Kind::Sftp)?;
    let account = server.account_at(&server.address());
    let (user, address) = account.split_once('@').context("an account")?;
    let port = address.rsplit_once(':').context("a port")?.1;
    // Something that approved-algorithms mode forbids.
    let mut client = node.client()?;
    let old = client.create_of(CryptographicAlgorithm::DES3, 168)?;
    let said = web::in_browser(
        "operator_flow.mjs",
        &[
            ("url", &format!("https://{}", node.web())),
            ("user", user),
            ("port", port),
            ("inbox", &server.inbox().to_string_lossy()),
            ("authorized", &server.authorized().to_string_lossy()),
            ("fingerprint", &server.fingerprint()?),
            (
                "shots",
                &std::env::var("STRONGROOM_SHOTS").unwrap_or_default(),
            ),
        ],
    );
    let said = said.with_context(|| node.tail())?;
    println!("{said}");
    let steps = said.lines().filter(|line| line.starts_with("ok ")).count();
    ensure!(steps == OPERATOR_STEPS, "{steps} steps:\n{said}");
    ensure!(client.get(&old).is_err(), "a session outlives the switch");
    node.client()?.get(&old)?;
    let log = node.run(&["log", "show"])?;
    for line in [
        "admin (web) put transfer destination vault",
        "admin (web) removed transfer destination vault",
        "approved",
        "self-tests: all passed",
    ] {
        ensure!(log.contains(line), "{line:?} is not in the log:\n{log}");
    }
    node.terminate()
}

#[test]
fn forms_of_others_do_nothing() -> Result<()> {
    let site = Site::new()?;
    let (node, mut admin) = moved_in(&site)?;
    let clients = || -> Result<usize> {
        Ok(node
            .json(&["client", "list"])?
            .as_array()
            .map_or(0, Vec::len))
    };
    let before = clients()?;
    let (own, token) = (admin.origin(), admin.token.clone());
    let other = signed_in(&node, "admin", OWN)?.token;
    ensure!(other != token, "each session has a token of its own");
    for (what, origin, token) in [
        ("no token", Some(own.as_str()), ""),
        ("the token of another session", Some(&own), other.as_str()),
        ("no origin", None, &token),
        ("no origin that counts", Some("null"), &token),
        ("another origin", Some("https://evil.example"), &token),
        ("another port", Some("https://127.0.0.1:1"), &token),
        ("no TLS", Some(&own.replace("https", "http")), &token),
    ] {
        let headers: Vec<_> = origin
            .map(|origin| ("Origin", origin))
            .into_iter()
            .collect();
        let fields = [("name", "mallory"), ("token", token)];
        let answer = admin.post_as("/clients", &fields, &headers)?;
        ensure!(answer.status == 403, "{what}: {}", answer.text());
        ensure!(
            answer.text().contains("othing was done"),
            "{what}: {}",
            answer.text()
        );
    }
    // As JSON, as a page of another site could send it, and without a session.
    let kind = ("Content-Type", "text/plain");
    let answer = admin.send(
        "POST",
        "/clients",
        &[("Origin", &own), kind],
        b"name=mallory",
    )?;
    ensure!(answer.status == 415, "{answer:?}");
    let mut nobody = Visitor::of(&node);
    nobody.token.clone_from(&token);
    let answer = nobody.post("/clients", &[("name", "mallory")])?;
    ensure!(
        answer.header("location") == Some("/sign-in?notice=ended-form"),
        "{answer:?}"
    );
    // A GET changes nothing, however it looks; other methods are refused.
    for path in [
        "/clients/demo/revoke",
        "/sign-out",
        "/clients/demo/files",
        "/logs/export",
    ] {
        admin.get(path)?;
    }
    for method in ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"] {
        let answer = admin.send(method, "/clients", &[], &[])?;
        ensure!(answer.status == 405, "{method}: {answer:?}");
    }
    ensure!(clients()? == before, "a client was added");
    let listed = node.json(&["client", "list"])?;
    let revoked = listed.as_array().context("a list")?.iter();
    ensure!(
        revoked
            .filter(|client| !client["revoked"].is_null())
            .count()
            == 0,
        "a client was revoked: {listed}"
    );
    // The same form from our own page is taken.
    admin.page("/clients")?;
    ensure!(admin.post("/clients", &[("name", "mallory")])?.status == 303);
    ensure!(clients()? == before + 1);
    node.terminate()
}

#[test]
fn a_session_is_new_at_sign_in_and_ends_with_what_it_stands_on() -> Result<()> {
    let site = Site::new()?;
    let (node, _) = moved_in(&site)?;
    // Somebody has set a cookie in the victim's browser: it becomes nobody's session.
    let mut victim = Visitor::of(&node);
    victim.cookie = Some(format!("__Host-strongroom={}", "a".repeat(64)));
    let fixed = victim.cookie.clone();
    ensure!(victim.sign_in("admin", OWN)?.status == 303);
    ensure!(
        victim.cookie != fixed,
        "the session has the token that was set before"
    );
    let mut thief = Visitor::of(&node);
    thief.cookie = fixed;
    ensure!(thief.get("/")?.header("location") == Some("/sign-in"));
    // A second sign-in in the same browser ends the first session.
    let first = victim.cookie.clone();
    ensure!(victim.sign_in("admin", OWN)?.status == 303);
    thief.cookie = first;
    ensure!(thief.get("/")?.status == 303, "the old session goes on");
    // A session of a browser is no pass at the socket.
    let cookie = victim.cookie.clone().context("signed in")?;
    let token = cookie.split('=').nth(1).context("a value")?;
    let pass = serde_json::json!({
        "ask": "as", "token": token, "request": { "ask": "client-list" },
    });
    ensure!(
        node.ask(&pass).is_err(),
        "the cookie opens the socket's door"
    );
    // What somebody may do changes: the session ends, and the next one shows less.
    let mut jane = add_administrator(&node, "jane", "keys,logging,web")?;
    ensure!(jane.get("/clients")?.status == 403, "she sees clients");
    ensure!(jane.get("/logs")?.status == 200);
    node.ask(&serde_json::json!({
        "ask": "admin", "admin": "set-permissions", "name": "jane", "permissions": "keys,web",
    }))?;
    let answer = jane.get("/logs")?;
    ensure!(
        answer.header("location") == Some("/sign-in?notice=ended"),
        "{answer:?}"
    );
    let mut jane = signed_in(&node, "jane", "nine quiet harbours")?;
    ensure!(jane.get("/logs")?.status == 403);
    let mut elsewhere = signed_in(&node, "jane", "nine quiet harbours")?;
    jane.page("/password")?;
    let new = [
        ("old", "nine quiet harbours"),
        ("new", "ten loud harbours"),
        ("again", "ten loud harbours"),
    ];
    let changed = jane.post("/password", &new)?;
    ensure!(changed.status == 303, "{}", changed.text());
    ensure!(
        jane.get("/")?.status == 200,
        "the session in which it was changed goes on"
    );
    ensure!(
        elsewhere.get("/")?.status == 303,
        "another session goes on with the old password"
    );
    // Signing out ends it for whoever has kept the cookie.
    thief.cookie = jane.cookie.clone();
    jane.page("/")?;
    ensure!(jane.post("/sign-out", &[])?.status == 303);
    ensure!(
        thief.get("/")?.status == 303,
        "signing out leaves the session"
    );
    node.terminate()
}

/// Adds an administrator at the command line, who signs in here and chooses a password.
fn add_administrator(node: &Node, name: &str, permissions: &str) -> Result<Visitor> {
    let first = "a first password of somebody";
    let request = serde_json::json!({
        "ask": "admin", "admin": "add", "name": name, "permissions": permissions,
        "password": first,
    });
    node.ask(&request)?;
    let mut visitor = Visitor::of(node);
    ensure!(visitor.sign_in(name, first)?.status == 303);
    visitor.page("/password")?;
    let own = "nine quiet harbours";
    let answer = visitor.post("/password", &[("old", first), ("new", own), ("again", own)])?;
    ensure!(answer.status == 303, "{}", answer.text());
    visitor.page("/")?;
    Ok(visitor)
}

#[test]
fn whoever_guesses_passwords_is_kept_out() -> Result<()> {
    let site = Site::new()?;
    let (node, mut admin) = moved_in(&site)?;
    let mut guesser = Visitor::of(&node);
    let mut said = Vec::new();
    let deadline = Instant::now() + Duration::from_secs(40);
    while !said.iter().any(|text: &String| text.contains("locked")) {
        ensure!(Instant::now() < deadline, "no lock: {said:?}");
        let answer = guesser.sign_in("admin", "not the password")?;
        ensure!(
            answer.status == 401 && answer.header("set-cookie").is_none(),
            "{answer:?}"
        );
        said.push(answer.text());
        std::thread::sleep(Duration::from_millis(900));
    }
    // The right password does not help there; who is in stays in, and the log has it all.
    ensure!(guesser.sign_in("admin", OWN)?.status == 401);
    ensure!(admin.get("/")?.status == 200);
    let log = admin.page("/logs?view=client&text=sign+in")?;
    ensure!(log.contains("locked here"), "{log}");
    // An unknown name is told the same as a known one.
    let unknown = Visitor::of(&node).sign_in("nobody", "x")?.text();
    ensure!(unknown.contains("do not belong together"), "{unknown}");
    node.terminate()
}

#[test]
fn large_forms_and_slow_clients_are_sent_away() -> Result<()> {
    let site = Site::new()?;
    let (node, mut admin) = moved_in(&site)?;
    let long = "x".repeat(70_000);
    let answer = admin.post("/clients", &[("name", &long)])?;
    ensure!(answer.status == 413, "{answer:?}");
    // The same without saying how long it is.
    let origin = admin.origin();
    let cookie = admin.cookie.clone().context("signed in")?;
    let config = || Identity::nobody(node.dir()).config(&[]);
    let head = format!(
        "POST /clients HTTP/1.1\r\nHost: {}\r\nOrigin: {origin}\r\nCookie: {cookie}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\n",
        node.web()
    );
    let mut stream = connect_tls(node.web(), config()?)?;
    write!(stream, "{head}Transfer-Encoding: chunked\r\n\r\n")?;
    for _ in 0..80 {
        // The answer may come, and the connection end, before all is sent.
        if write!(stream, "400\r\n{}\r\n", "x".repeat(0x400)).is_err() {
            break;
        }
    }
    // An end that can no longer be sent is none.
    drop(write!(stream, "0\r\n\r\n"));
    ensure!(first_line(&mut stream)?.contains(" 413 "));
    let answer = admin.get(&format!("/keys?name={}", "x".repeat(6_000)))?;
    ensure!(answer.status == 414, "{answer:?}");
    let mut admin = signed_in(&node, "admin", OWN)?;
    let cookie = format!(
        "{}; {}",
        admin.cookie.clone().context("in")?,
        "y=".repeat(20_000)
    );
    let huge = admin.send("GET", "/", &[("X-Long", &cookie)], &[]);
    ensure!(huge.is_err() || huge?.status == 431);
    // Silent and slow ones, at each stage, are gone within seconds; others are served meanwhile.
    let began = Instant::now();
    let silent = TcpStream::connect(node.web())?;
    let mut no_request = connect_tls(node.web(), config()?)?;
    let mut half_a_head = connect_tls(node.web(), config()?)?;
    write!(half_a_head, "GET / HTTP/1.1\r\nHost: x\r\n")?;
    half_a_head.flush()?;
    let mut half_a_form = connect_tls(node.web(), config()?)?;
    write!(half_a_form, "{head}Content-Length: 100\r\n\r\nname=")?;
    half_a_form.flush()?;
    let mut admin = signed_in(&node, "admin", OWN)?;
    ensure!(admin.get("/")?.status == 200);
    ensure!(first_line(&mut half_a_form)?.contains(" 408 "));
    ensure!(
        read_to_end(&mut no_request),
        "a connection without a request stays"
    );
    ensure!(
        read_to_end(&mut half_a_head),
        "a connection with half a head stays"
    );
    silent.set_read_timeout(Some(Duration::from_secs(15)))?;
    ensure!(read_to_end(&mut &silent), "a connection without TLS stays");
    ensure!(
        began.elapsed() < Duration::from_secs(25),
        "{:?}",
        began.elapsed()
    );
    // One address does not take all places.
    let crowd: Vec<_> = (0..100)
        .filter_map(|_| TcpStream::connect(node.web()).ok())
        .collect();
    std::thread::sleep(Duration::from_millis(300));
    let open = crowd.iter().filter(|stream| is_open(stream)).count();
    ensure!(open <= 32, "{open} connections of one address are open");
    drop(crowd);
    node.terminate()
}

fn first_line(stream: &mut impl Read) -> Result<String> {
    let mut bytes = [0; 64];
    let read = stream.read(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes[..read]).into_owned())
}

/// Whether the other side has ended the connection, sooner or later.
fn read_to_end(stream: &mut impl Read) -> bool {
    let mut rest = Vec::new();
    match stream.read_to_end(&mut rest) {
        Ok(_) => true,
        Err(e) => !matches!(
            e.kind(),
            std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
        ),
    }
}

fn is_open(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    let mut byte = [0];
    matches!((&*stream).read(&mut byte), Err(e) if e.kind() == std::io::ErrorKind::WouldBlock)
}

#[test]
fn a_revoked_client_loses_its_open_sessions() -> Result<()> {
    let site = Site::new()?;
    let (node, mut admin) = moved_in(&site)?;
    let mut idle = Client::connect(node.kmip(), &node.identity("demo"))?;
    let mut busy = Client::connect(node.kmip(), &node.identity("demo"))?;
    let mut other = Client::connect(node.kmip(), &node.identity("demo2"))?;
    let uid = idle.create(Some("kept"), 256)?;
    let theirs = other.create(Some("theirs"), 256)?;
    admin.page("/clients/demo/revoke")?;
    ensure!(admin.post("/clients/demo/revoke", &[])?.status == 303);
    let began = Instant::now();
    ensure!(busy.get(&uid).is_err(), "a revoked client is served");
    ensure!(read_to_end(idle.stream()), "an idle session stays open");
    let took = began.elapsed();
    println!("an idle session ended {took:?} after its client was revoked");
    ensure!(took < REVOKED_WITHIN, "{took:?}");
    ensure!(other.get(&theirs)?.len() == 32, "another client is served");
    node.terminate()
}

#[test]
fn every_answer_says_what_browsers_may_do() -> Result<()> {
    let site = Site::new()?;
    let (node, mut admin) = moved_in(&site)?;
    for path in [
        "/",
        "/keys",
        "/nowhere",
        "/health",
        "/metrics",
        "/assets/strongroom.css",
    ] {
        let answer = admin.get(path)?;
        let policy = answer.header("content-security-policy").unwrap_or_default();
        for part in [
            "default-src 'none'",
            "script-src 'self'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
        ] {
            ensure!(policy.contains(part), "{path}: {policy}");
        }
        ensure!(!policy.contains("unsafe"), "{path}: {policy}");
        ensure!(
            answer.header("x-content-type-options") == Some("nosniff"),
            "{path}"
        );
        ensure!(
            answer.header("referrer-policy") == Some("same-origin"),
            "{path}"
        );
        let kept = answer.header("cache-control");
        ensure!(
            kept == Some("no-store") || path.starts_with("/assets/"),
            "{path}: {kept:?}"
        );
    }
    // Nothing but the sign-in page and its files for who is not signed in.
    let mut nobody = Visitor::of(&node);
    for path in [
        "/",
        "/keys",
        "/keys/new",
        "/clients",
        "/logs",
        "/logs/export",
        "/administrators",
        "/password",
        "/logs/cluster/0",
        "/logs/export/strongroom-export.tar",
        "/..",
        "//evil.example",
    ] {
        let answer = nobody.get(path)?;
        let to = answer.header("location").unwrap_or_default();
        ensure!(
            answer.status == 303 && to.starts_with("/sign-in"),
            "{path}: {answer:?}"
        );
    }
    node.terminate()
}
