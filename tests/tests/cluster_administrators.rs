//! Administrators of a cluster: a password counts at every node, wherever it was set and whoever
//! was away meanwhile.
#![allow(clippy::unwrap_used, clippy::print_stdout)] // test code

use anyhow::{Context, Result, ensure};
use serde_json::json;
use std::fs;
use std::time::{Duration, Instant};
use tests::fleet::{Fleet, Ground};
use tests::node::ask;
use tests::web::Visitor;

/// How long a fleet may take to be one again.
const AGREE_WITHIN: Duration = Duration::from_secs(30);

const FIRST: &str = "seven lamps under water";
const SECOND: &str = "eleven bells over sand";
const HERS: &str = "a kettle of copper fish";

fn visitor(fleet: &Fleet, node: u8) -> Visitor {
    Visitor::at(fleet.web(node), &fleet.site(node).dir())
}

/// Whether somebody comes in at a node.
fn comes_in(fleet: &Fleet, node: u8, name: &str, password: &str) -> Result<bool> {
    let answer = visitor(fleet, node).sign_in(name, password)?;
    match answer.status {
        303 => Ok(true),
        401 => Ok(false),
        _ => anyhow::bail!("node {node}: {answer:?}\n{}", fleet.tail(node)),
    }
}

/// Signs in at a node and changes the password there.
fn change(fleet: &Fleet, node: u8, name: &str, old: &str, new: &str) -> Result<()> {
    let mut visitor = visitor(fleet, node);
    let answer = visitor.sign_in(name, old)?;
    ensure!(answer.status == 303, "node {node}: {}", answer.text());
    visitor.page("/password")?;
    let fields = [("old", old), ("new", new), ("again", new)];
    let answer = visitor.post("/password", &fields)?;
    ensure!(answer.status == 303, "node {node}: {}", answer.text());
    Ok(())
}

#[test]
fn a_password_counts_at_every_node() -> Result<()> {
    let mut fleet = Fleet::found(3, Ground::Loopback)?;
    fleet.await_agreement(AGREE_WITHIN)?;
    let once = fs::read_to_string(fleet.site(1).dir().join("admin-password"))
        .context("the founder's one-time password")?;
    // A member that joined has what was set before it came; set at one, it counts at all at once.
    change(&fleet, 2, "admin", once.trim(), FIRST)?;
    fleet.await_agreement(AGREE_WITHIN)?;
    for node in fleet.numbers() {
        ensure!(comes_in(&fleet, node, "admin", FIRST)?, "at node {node}");
    }
    ensure!(
        !comes_in(&fleet, 3, "admin", once.trim())?,
        "the one before"
    );

    // One is away while the password changes, and while somebody new comes.
    fleet.kill(3)?;
    fleet.leader(AGREE_WITHIN)?;
    change(&fleet, 1, "admin", FIRST, SECOND)?;
    let jane = json!({
        "ask": "admin", "admin": "add", "name": "jane", "permissions": "keys,web",
        "password": HERS,
    });
    ask(&fleet.site(1).dir(), &jane)?;
    fleet.start(3)?;
    // At once: whoever comes late does not take a right password for a wrong one.
    let begun = Instant::now();
    for (name, password) in [("jane", HERS), ("admin", SECOND)] {
        let came_in = comes_in(&fleet, 3, name, password)?;
        ensure!(came_in, "{name}\n{}", fleet.tail(3));
    }
    println!("both came in {:?} after the node was back", begun.elapsed());
    for name in [("admin", FIRST), ("jane", SECOND)] {
        ensure!(!comes_in(&fleet, 2, name.0, name.1)?, "{name:?}");
    }
    Ok(())
}
