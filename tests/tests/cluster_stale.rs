//! Reads of a node that hears from no quorum: served for as long as the policy says, marked in the
//! access log with their age, always the right bytes; and refused when the policy says never.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout)] // test code

use anyhow::{Result, ensure};
use std::time::{Duration, Instant};
use tests::fleet::client::{Ended, Endpoint, FailOver};
use tests::fleet::{Fleet, Ground};
use tests::linear::key::{Answer, Ask};
use tests::netns::{Network, Place};

/// A node that is cut off knows it after this long: leases and elections are over.
const CUT_OFF_AFTER: Duration = Duration::from_secs(4);
/// Longer than a node asks without telling the operator that it is alone.
const ALONE_FOR: Duration = Duration::from_secs(35);
/// How long a fleet may take to be one again.
const AGREE_WITHIN: Duration = Duration::from_secs(30);

/// One client of one node.
fn client(fleet: &Fleet, node: u8) -> Result<FailOver> {
    let address = fleet.kmip(node);
    let endpoints = vec![Endpoint { node, address }];
    FailOver::new(1, endpoints, &fleet.identity("demo"), Instant::now())
}

/// Asks one node once, from where clients are.
fn ask(fleet: &Fleet, node: u8, name: &str, uid: Option<&str>, ask: Ask) -> Result<Ended> {
    let mut client = client(fleet, node)?;
    let network = fleet.network().expect("this suite has a network");
    network.inside(Place::Client, || client.ask(name, uid, ask))
}

#[test]
fn a_node_cut_off_serves_what_it_may_and_says_so() -> Result<()> {
    if let Err(why) = Network::possible() {
        println!("SKIPPED: {why:#}");
        return Ok(());
    }
    let mut fleet = Fleet::found(3, Ground::Namespaces)?;
    let Ended::Said(Answer::Created(uid)) = ask(&fleet, 1, "kept", None, Ask::Create)? else {
        anyhow::bail!("no key on a healthy cluster\n{}", fleet.tails());
    };
    let get = |fleet: &Fleet, node| ask(fleet, node, "kept", Some(&uid), Ask::Get);
    let fresh = get(&fleet, 3)?;
    ensure!(matches!(fresh, Ended::Said(Answer::Key(_))), "{fresh:?}");
    for (policy, is_served) in [("always", true), ("never", false)] {
        fleet.run(1, &["cluster", "offline-get", policy])?;
        fleet.await_agreement(AGREE_WITHIN)?;
        for other in [1, 2] {
            let network = fleet.network().expect("namespaces were asked for");
            network.cut(Place::Node(3), Place::Node(other))?;
        }
        std::thread::sleep(CUT_OFF_AFTER);
        let stale = get(&fleet, 3)?;
        let is_right = if is_served {
            stale == fresh
        } else {
            !matches!(stale, Ended::Said(_))
        };
        ensure!(is_right, "policy {policy}: {stale:?}\n{}", fleet.tail(3));
        let began = Instant::now();
        let change = ask(&fleet, 3, "other", None, Ask::Create)?;
        ensure!(
            change == Ended::NotCarriedOut,
            "a change without a quorum: {change:?}"
        );
        let took = began.elapsed();
        ensure!(
            took < Duration::from_secs(3),
            "refused after {took:?}, not within two seconds"
        );
        let with_quorum = ask(&fleet, 1, policy, None, Ask::Create)?;
        let made = matches!(with_quorum, Ended::Said(Answer::Created(_)));
        ensure!(
            made,
            "the majority goes on: {with_quorum:?}\n{}",
            fleet.tails()
        );
        let network = fleet.network().expect("namespaces were asked for");
        network.heal()?;
        fleet.await_agreement(AGREE_WITHIN)?;
    }
    let log = fleet.run(3, &["log", "show", "--view", "activity", "--json"])?;
    let marked = log
        .lines()
        .filter(|line| line.contains(&uid) && line.contains("\"stale\""));
    ensure!(
        marked.count() == 1,
        "one Get was answered from the past, the log says:\n{log}"
    );
    Ok(())
}

/// A clock that is wrong at the start of a node that reaches nobody must move neither the node nor,
/// when the line is whole again, the cluster: keys and certificates would end by it.
#[test]
fn a_wrong_clock_of_a_lonely_start_moves_nobody() -> Result<()> {
    const TEN_YEARS_SECONDS: i64 = 10 * 365 * 86_400;
    if let Err(why) = Network::possible() {
        println!("SKIPPED: {why:#}");
        return Ok(());
    }
    let mut fleet = Fleet::found(3, Ground::Namespaces)?;
    let Ended::Said(Answer::Created(uid)) = ask(&fleet, 1, "kept", None, Ask::Create)? else {
        anyhow::bail!("no key on a healthy cluster\n{}", fleet.tails());
    };
    fleet.run(1, &["cluster", "offline-get", "always"])?;
    fleet.await_agreement(AGREE_WITHIN)?;
    let year = |fleet: &Fleet, node| -> Result<String> {
        let status = fleet.json(node, &["status"])?;
        let time = status["time"].as_str().unwrap_or_default();
        Ok(time.chars().take(4).collect())
    };
    let right = year(&fleet, 1)?;
    // What a node knows alone after a crash is what it had made durable, a second later at most.
    std::thread::sleep(Duration::from_secs(2));
    fleet.kill(3)?;
    fleet.turn_clock(3, TEN_YEARS_SECONDS)?;
    for other in [1, 2] {
        let network = fleet.network().expect("namespaces were asked for");
        network.cut(Place::Node(3), Place::Node(other))?;
    }
    fleet.start(3)?;
    std::thread::sleep(ALONE_FOR);
    ensure!(
        year(&fleet, 3)? == right,
        "alone, its clock is believed\n{}",
        fleet.run(3, &["status"])?
    );
    let served = ask(&fleet, 3, "kept", Some(&uid), Ask::Get)?;
    ensure!(
        matches!(served, Ended::Said(Answer::Key(_))),
        "certificates or dates ended by a wrong clock: {served:?}\n{}",
        fleet.tail(3)
    );
    // The other two start anew, with nobody left who has compared clocks but the one that is wrong.
    fleet.network().expect("namespaces").heal()?;
    for other in [1, 2] {
        fleet.kill(other)?;
    }
    for other in [1, 2] {
        fleet.start(other)?;
    }
    fleet.await_agreement(AGREE_WITHIN)?;
    let made = ask(&fleet, 1, "later", None, Ask::Create)?;
    ensure!(
        matches!(made, Ended::Said(Answer::Created(_))),
        "{made:?}\n{}",
        fleet.tails()
    );
    for node in [1, 2, 3] {
        ensure!(year(&fleet, node)? == right, "node {node} went along");
    }
    Ok(())
}

#[test]
fn who_was_enrolled_meanwhile_is_no_stranger() -> Result<()> {
    if let Err(why) = Network::possible() {
        println!("SKIPPED: {why:#}");
        return Ok(());
    }
    let mut fleet = Fleet::found(3, Ground::Namespaces)?;
    fleet.await_agreement(AGREE_WITHIN)?;
    let network = fleet.network().expect("namespaces were asked for");
    for other in [1, 2] {
        network.cut(Place::Node(3), Place::Node(other))?;
    }
    std::thread::sleep(CUT_OFF_AFTER);
    fleet.run(1, &["client", "add", "late"])?;
    let (node, address) = (3, fleet.kmip(3));
    let identity = fleet.identity("late");
    let endpoints = vec![Endpoint { node, address }];
    let mut late = FailOver::new(1, endpoints, &identity, Instant::now())?;
    let network = fleet.network().expect("namespaces were asked for");
    // Another node may know this client: a word of this one that it is nobody would end the search.
    let alone = network.inside(Place::Client, || late.ask("first", None, Ask::Create))?;
    let why = &late.last_trouble;
    let is_put_off = matches!(alone, Ended::Unknown) && why.contains("up to date");
    ensure!(is_put_off, "{alone:?}: {why}\n{}", fleet.tail(3));
    network.heal()?;
    let began = Instant::now();
    while !matches!(
        network.inside(Place::Client, || late.ask("first", None, Ask::Create))?,
        Ended::Said(Answer::Created(_))
    ) {
        let waited = began.elapsed();
        ensure!(waited < AGREE_WITHIN, "{waited:?}\n{}", fleet.tail(3));
    }
    let surprises = &late.surprises;
    ensure!(surprises.is_empty(), "{surprises:?}");
    println!("known {:?} after the network was whole", began.elapsed());
    Ok(())
}
