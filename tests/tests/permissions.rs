//! Every request of the control door and every page, for one administrator per permission: what the
//! tables say is what the doors do, and each denial stands in the log.
//!
//! `requests` has a sample of every request that the server knows; one without a sample fails here.
//! `pages` has every address of the web admin; a link or form that leads elsewhere fails here.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout)] // test code

#[path = "permissions/pages.rs"]
mod pages;
#[path = "permissions/requests.rs"]
mod requests;

use anyhow::{Context, Result, ensure};
use domain::{Actor, Door, PERMISSIONS, Permission, Permissions};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use tests::node::{Node, Site};
use tests::web::Visitor;

/// The password that each of them chooses.
const OWN: &str = "nine quiet harbours";

/// What every refusal for want of a permission says.
const REFUSAL: &str = "this needs the permission";

/// An administrator with one permission, besides the doors that are tried.
struct Officer {
    permission: Permission,
    name: String,
    permissions: Permissions,
    /// The session over SSH, as the SSH door opens it.
    token: String,
    denied: usize,
}

impl Officer {
    /// Adds one, who signs in and chooses a password.
    fn appoint(node: &Node, permission: Permission) -> Result<Self> {
        let name = format!("with-{}", permission.id());
        let permissions = Permissions::of(&[permission, Permission::Web, Permission::Ssh]);
        let first = "a first password of somebody";
        node.ask(&json!({
            "ask": "admin", "admin": "add", "name": name, "password": first,
            "permissions": permissions.to_string(),
        }))?;
        let token = sign_in(node, &name, first)?;
        let change = json!({ "ask": "password", "old": first, "new": OWN });
        node.ask(&json!({ "ask": "as", "token": token, "request": change }))?;
        Ok(Self {
            permission,
            permissions,
            token,
            name,
            denied: 0,
        })
    }

    /// Whether all of a set are theirs.
    fn has(&self, needs: Permissions) -> bool {
        needs.without(self.permissions).is_empty()
    }

    /// Says something in the session over SSH; gives the refusal, if it is one.
    fn says(&mut self, node: &Node, request: &Value) -> Result<Option<String>> {
        let line = json!({ "ask": "as", "token": self.token, "request": request });
        let refusal = asked(node, &line)?.err();
        let refusal = refusal.filter(|told| told.contains(REFUSAL));
        self.denied += usize::from(refusal.is_some());
        Ok(refusal)
    }
}

fn sign_in(node: &Node, name: &str, password: &str) -> Result<String> {
    let request = json!({
        "ask": "sign-in", "name": name, "password": password, "from": "127.0.0.1",
    });
    let told = node.ask(&request)?;
    Ok(told["token"].as_str().context("a token")?.to_owned())
}

/// What the socket answers: the result, or why not.
fn asked(node: &Node, request: &Value) -> Result<Result<Value, String>> {
    let mut socket = UnixStream::connect(node.dir().join("control.sock"))?;
    writeln!(socket, "{request}")?;
    let mut said = String::new();
    socket.read_to_string(&mut said)?;
    let last = said.lines().last().with_context(|| request.to_string())?;
    let mut end: Value = serde_json::from_str(last)?;
    Ok(match end.get_mut("error") {
        Some(error) => Err(error.as_str().unwrap_or_default().to_owned()),
        None => Ok(end["done"].take()),
    })
}

/// Refusals for want of a permission that the log has of somebody, at a door.
fn recorded(node: &Node, name: &str, door: &str) -> Result<usize> {
    let records = node.json_lines(&["log", "show"])?;
    let who = format!("{name} ({door})");
    let said = |record: &&Value| {
        let summary = record["summary"].as_str().unwrap_or_default();
        summary.contains(&who) && summary.contains(REFUSAL)
    };
    Ok(records.iter().filter(said).count())
}

#[test]
fn every_request_and_every_permission() -> Result<()> {
    let site = Site::new()?;
    let node = site.start()?;
    let uid = node.client()?.create(Some("matrix"), 256)?;
    requests::all_have_a_row()?;
    let rows = requests::rows(&uid)?;
    let mut wrong = Vec::new();
    let (mut tried, mut denied) = (0, 0);
    for row in PERMISSIONS {
        let mut officer = Officer::appoint(&node, row.permission)?;
        let actor = Actor::Operator {
            name: officer.name.clone(),
            door: Door::Ssh,
        };
        for row in &rows {
            let request = row.filled(&node)?;
            let needs = row.needs(&request, &actor)?;
            let refusal = officer.says(&node, &request)?;
            tried += 1;
            if officer.has(needs) != refusal.is_none() {
                let told = refusal.unwrap_or_else(|| "it was done".to_owned());
                wrong.push(format!("{}: {request}: {told}", officer.permission.id()));
            }
        }
        let kept = recorded(&node, &officer.name, "ssh")?;
        ensure!(
            kept == officer.denied,
            "{}: {} denials, {kept} in the log",
            officer.name,
            officer.denied
        );
        denied += officer.denied;
    }
    println!("{tried} requests tried, {denied} denied and recorded");
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    ensure!(denied > rows.len(), "hardly anything was denied");
    node.terminate()
}

/// What is to be seen on the pages: a destination, and a client whose files wait.
fn furnished(site: &Site) -> Result<(Node, Vec<pages::Row>)> {
    let node = site.start()?;
    let uid = node.client()?.create(Some("matrix"), 256)?;
    node.ask(&json!({
        "ask": "clients", "clients": "add", "name": "waiting", "groups": [], "is_new": true,
    }))?;
    let pin = format!("SHA256:{}", "A".repeat(43));
    node.ask(&json!({
        "ask": "transfer", "transfer": "put", "untested": true, "draft": {
            "name": "there", "to": "logs@127.0.0.1:1", "directory": ".", "host_key": pin,
            "recipients": [], "logs": [], "off": true, "password": null,
        },
    }))?;
    Ok((node, pages::rows(&uid)))
}

/// What was found on the pages of one administrator.
#[derive(Default)]
struct Found {
    wrong: Vec<String>,
    tried: usize,
    denied: usize,
    seen: BTreeSet<String>,
}

impl Found {
    /// Whatever a page shows is allowed; whatever is tried is answered as the table says.
    fn look(
        &mut self,
        (name, permissions): (&str, Permissions),
        visitor: &mut Visitor,
        rows: &[pages::Row],
    ) -> Result<()> {
        let has = |row: &pages::Row| row.needs().without(permissions).is_empty();
        for way in pages::ways(visitor, rows).with_context(|| name.to_owned())? {
            let row = pages::row_of(rows, &way)?;
            if !has(row) {
                self.wrong
                    .push(format!("{name}: shown, and refused: {way}"));
            }
            self.seen.insert(row.pattern());
        }
        for row in rows {
            let answer = row.visit(visitor)?;
            // The lines of a log may tell of refusals as well.
            let is_told = matches!(answer.status, 403 | 409);
            let is_refused = is_told && answer.text().contains(REFUSAL);
            self.tried += 1;
            self.denied += usize::from(is_refused);
            if has(row) == is_refused {
                let (pattern, status) = (row.pattern(), answer.status);
                self.wrong
                    .push(format!("{name}: {pattern} answers {status}"));
            }
        }
        Ok(())
    }
}

#[test]
fn every_page_and_every_permission() -> Result<()> {
    let site = Site::new()?;
    let (node, rows) = furnished(&site)?;
    let mut found = Found::default();
    for row in PERMISSIONS {
        let officer = Officer::appoint(&node, row.permission)?;
        let before = found.denied;
        let mut visitor = signed_in(&node, &officer.name)?;
        found.look((&officer.name, officer.permissions), &mut visitor, &rows)?;
        let (kept, denied) = (
            recorded(&node, &officer.name, "web")?,
            found.denied - before,
        );
        ensure!(
            kept == denied,
            "{}: {denied} denials, {kept} in the log",
            officer.name
        );
    }
    // Who may everything meets every link and every form, and no refusal.
    let mut admin = Visitor::of(&node);
    admin.move_in(&node, OWN)?;
    found.look(("admin", Permissions::ALL_OF_FORMAT_4), &mut admin, &rows)?;
    let (tried, denied, seen) = (found.tried, found.denied, found.seen.len());
    println!("{tried} pages tried, {denied} denied and recorded, {seen} linked");
    ensure!(found.wrong.is_empty(), "{}", found.wrong.join("\n"));
    let linked = rows
        .iter()
        .filter(|row| row.is_linked())
        .map(pages::Row::pattern);
    let unseen: Vec<_> = linked.filter(|row| !found.seen.contains(row)).collect();
    ensure!(unseen.is_empty(), "no page leads to {unseen:?}");
    ensure!(denied > rows.len(), "hardly anything was denied");
    node.terminate()
}

fn signed_in(node: &Node, name: &str) -> Result<Visitor> {
    let mut visitor = Visitor::of(node);
    let answer = visitor.sign_in(name, OWN)?;
    ensure!(answer.status == 303, "{}", answer.text());
    visitor.page("/").map(|_| visitor)
}

#[test]
fn each_door_lets_in_who_may_come_by_it() -> Result<()> {
    let site = Site::new()?;
    let node = site.start()?;
    let doors = BTreeMap::from([
        (Permission::Ssh, json!("127.0.0.1")),
        (Permission::Serial, Value::Null),
    ]);
    for row in PERMISSIONS {
        let (name, password) = (format!("only-{}", row.id), "a first password of somebody");
        node.ask(&json!({
            "ask": "admin", "admin": "add", "name": name, "password": password,
            "permissions": row.id,
        }))?;
        for (door, from) in &doors {
            let request =
                json!({ "ask": "sign-in", "name": name, "password": password, "from": from });
            let told = asked(&node, &request)?;
            ensure!(
                told.is_ok() == (row.permission == *door),
                "{name}: {told:?}"
            );
        }
        let answer = Visitor::of(&node).sign_in(&name, password)?;
        let is_in = answer.status == 303;
        ensure!(
            is_in == (row.permission == Permission::Web),
            "{name}: {answer:?}"
        );
    }
    node.terminate()
}
