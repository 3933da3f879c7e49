//! `age` and approved-algorithms mode: the plan of the switch names what is in the way, the node
//! refuses both at once, and what waits is not lost by it.

use crate::{own_key, retry, standing, trusted};
use crate::{wait_for, wait_for_problem};
use anyhow::{Context, Result, ensure};
use std::process::Command;
use tests::node::{Node, Site};
use tests::sshd::{Kind, Sshd, stranger_accepts};

const NAMED: &str = "refused_while_these_destinations_have_age_recipients";

/// Describes the destination, encrypted or not; gives whether it was saved, and what was said.
fn describe(node: &Node, server: &Sshd, recipient: Option<&str>) -> Result<(bool, String)> {
    let (to, folder) = (server.account_at(&server.address()), server.inbox());
    let folder = folder.to_str().context("a path")?;
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
    let pin = server.fingerprint()?;
    let how = ["--host-key", &pin, "--logs", "audit", "--untested"];
    let mut line = [&put[..], &how].concat();
    line.extend(recipient.into_iter().flat_map(|age| ["--recipient", age]));
    let output = node.cli(&line)?;
    let told = [output.stdout, output.stderr].concat();
    Ok((output.status.success(), String::from_utf8(told)?))
}

#[test]
fn a_backlog_for_age_recipients_is_in_the_plan_of_approved_mode() -> Result<()> {
    let (site, mut server) = (Site::new()?, Sshd::start(Kind::Sftp)?);
    let node = site.start()?;
    server.let_in(&own_key(&node)?)?;
    let made = Command::new("age-keygen").output();
    let made = made.context("age-keygen (Debian: apt-get install age)")?;
    let said = String::from_utf8(made.stdout)?;
    let mut words = said.split_whitespace();
    let recipient = words.find(|word| word.starts_with("age1"));
    let recipient = recipient.context("a recipient")?;
    ensure!(describe(&node, &server, Some(recipient))?.0);
    server.stop()?;
    node.run(&["log", "rotate", "audit"])?;
    wait_for_problem(&node, "unreachable", "refused")?;
    // The plan says so, and the node holds to it whoever confirms.
    let plan = node.json(&["fips", "compliant"])?;
    ensure!(plan[NAMED] == serde_json::json!(["there"]), "{plan}");
    let also = plan["also"].to_string();
    ensure!(also.contains("what waits already too"), "{also}");
    let word = plan["confirm"].as_str().context("a word")?;
    let refused = node.cli(&["fips", "compliant", "--confirm", word])?;
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    ensure!(
        !refused.status.success() && told.contains("there encrypts with age"),
        "{told}"
    );
    ensure!(standing(&node)?["waiting"] == 1, "{}", standing(&node)?);
    // Without recipients it waits on, and leaves signed and not encrypted.
    ensure!(describe(&node, &server, None)?.0);
    let plan = node.json(&["fips", "compliant"])?;
    ensure!(plan[NAMED] == serde_json::json!([]), "{plan}");
    let word = plan["confirm"].as_str().context("a word")?;
    node.run(&["fips", "compliant", "--confirm", word])?;
    let (saved, told) = describe(&node, &server, Some(recipient))?;
    ensure!(!saved && told.contains("not approved"), "{told}");
    server.restart()?;
    retry(&node)?;
    let files = wait_for(&server.inbox(), 1)?;
    stranger_accepts(&files[0], &trusted(&node)?)?;
    node.terminate()
}
