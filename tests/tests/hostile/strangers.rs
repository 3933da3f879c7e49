//! Who must not get in: without a certificate, with a foreign or an expired one, with old TLS.

use super::Scene;
use anyhow::{Context, Result, ensure};
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, KeyPair};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tests::client::{Client, Identity};
use tests::node::{Node, Site};

#[test]
fn strangers_are_turned_away() -> Result<()> {
    let scene = Scene::new()?;
    let dir = scene.node.dir();
    let nobody = Identity::nobody(dir);
    ensure!(
        !is_served(&scene.node, &nobody),
        "without a certificate one is served"
    );
    let foreign = foreign_identity(&scene.site, dir)?;
    ensure!(
        !is_served(&scene.node, &foreign),
        "a certificate of a foreign CA is accepted"
    );
    scene.is_healthy()?;
    // Old versions and old suites, by a stock client; "(NONE)" is its word for no handshake.
    let old = [
        "-tls1 -cipher ALL:@SECLEVEL=0",
        "-tls1_1 -cipher ALL:@SECLEVEL=0",
    ];
    let suites = [
        "AES128-SHA",
        "AES256-SHA256",
        "DHE-RSA-AES128-SHA",
        "ECDHE-ECDSA-AES128-SHA",
    ];
    let suites = suites.map(|suite| format!("-tls1_2 -cipher {suite}:@SECLEVEL=0"));
    for arguments in old.into_iter().chain(suites.iter().map(String::as_str)) {
        let refused = openssl(&scene.node, arguments)?;
        ensure!(
            refused.contains("Cipher is (NONE)"),
            "{arguments}: {refused}"
        );
    }
    for arguments in ["-tls1_2", "-tls1_3"] {
        let served = openssl(&scene.node, arguments)?;
        let good = served.contains("Verify return code: 0") && !served.contains("(NONE)");
        ensure!(good, "{arguments} must work: {served}");
    }
    // Hellos that are none.
    for hello in [
        &b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10"[..],
        b"GET / HTTP/1.0\r\n\r\n",
    ] {
        let mut stream = TcpStream::connect(scene.node.kmip())?;
        stream.write_all(hello)?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        let mut answer = Vec::new();
        drop(stream.read_to_end(&mut answer));
        ensure!(answer.len() < 64, "a long answer to no hello");
    }
    scene.is_healthy()
}

/// Whether this identity gets through to a Locate.
fn is_served(node: &Node, identity: &Identity) -> bool {
    Client::connect(node.kmip(), identity).is_ok_and(|mut client| client.locate(None).is_ok())
}

/// A client certificate for the user `demo`, from a CA of its own with the Local CA's name.
fn foreign_identity(site: &Site, dir: &std::path::Path) -> Result<Identity> {
    let mut authority = CertificateParams::new(Vec::new())?;
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    authority
        .distinguished_name
        .push(rcgen::DnType::CommonName, "Strongroom Local CA");
    let issuer = rcgen::Issuer::new(authority, KeyPair::generate()?);
    let key = KeyPair::generate()?;
    let mut client = CertificateParams::new(Vec::new())?;
    client
        .distinguished_name
        .push(rcgen::DnType::CommonName, "demo");
    client.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let certificate = client.signed_by(&key, &issuer)?;
    let (certificate_path, key_path) = (site.beside("foreign.pem"), site.beside("foreign.key"));
    fs::write(&certificate_path, certificate.pem())?;
    fs::write(&key_path, key.serialize_pem())?;
    Ok(Identity {
        ca: dir.join("ca.pem"),
        certificate: Some((certificate_path, key_path)),
    })
}

fn openssl(node: &Node, arguments: &str) -> Result<String> {
    let client = node.dir().join("clients/demo");
    let output = Command::new("openssl")
        .args(["s_client", "-connect", &node.kmip().to_string(), "-CAfile"])
        .arg(node.dir().join("ca.pem"))
        .arg("-cert")
        .arg(client.with_extension("pem"))
        .arg("-key")
        .arg(client.with_extension("key"))
        .args(arguments.split(' '))
        .stdin(Stdio::null())
        .output()
        .context("openssl (Debian: apt-get install openssl)")?;
    Ok(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

/// A certificate ends with its date as the node counts time (ABUSE A23): a clock that jumps ends
/// none, a node that starts later than that date takes it no more.
#[test]
fn certificates_end_by_the_time_of_the_node() -> Result<()> {
    const AFTER_THE_END: Duration = Duration::from_secs(826 * 86_400);
    let scene = Scene::new()?;
    let Scene { site, node, .. } = scene;
    let demo = node.identity("demo");
    let turned = site.dir().join("clock-offset");
    fs::write(&turned, AFTER_THE_END.as_secs().to_string())?;
    let deadline = Instant::now() + Duration::from_secs(10);
    while node.json(&["status"])?["clock_jumped_milliseconds"].is_null() {
        ensure!(Instant::now() < deadline, "the jump does not show");
        std::thread::sleep(Duration::from_millis(50));
    }
    ensure!(is_served(&node, &demo), "a jump ended a certificate");
    node.kill()?;
    let node = site.start()?;
    ensure!(!is_served(&node, &demo), "an expired certificate is taken");
    // Who is let in by a new one is the same user.
    node.run(&["client", "add", "demo"])?;
    ensure!(is_served(&node, &demo), "the new certificate is not taken");
    Ok(())
}
