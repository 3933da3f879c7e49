//! The services `network` and `time` of the appliance in their confinement, seen from the other
//! end of a cable: addresses of both families on a VLAN and nowhere else, and a clock that follows
//! a time server on it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout)] // test code

#[path = "appliance_network/station.rs"]
mod station;

use anyhow::{Context, Result, ensure};
use qemu::{Nic, Switch};
use station::Station;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};
use tests::appliance::{Appliance, setup_file};

const V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);
const V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x10);
const VLAN: u16 = 42;
/// The appliance's second card.
const MAC: [u8; 6] = [0x52, 0x54, 0, 0, 0x10, 0x01];

/// How long anything may take on a busy machine.
const WITHIN: Duration = Duration::from_secs(120);
/// How long one answer may take, and how long none is waited for.
const ANSWER: Duration = Duration::from_secs(2);

/// What the machine's clock says when it is switched on, and the same since 1970.
const SWITCHED_ON: &str = "2031-05-06T07:00:00";
const SWITCHED_ON_SECONDS: u64 = 1_935_817_200;
/// How far the server is ahead: less than what `time` refuses.
const AHEAD: Duration = Duration::from_secs(15 * 60);
/// What the server's clock says then.
const SERVER_SAYS: &str = "2031-05-06T07:15:00";

#[test]
fn addresses_are_on_the_vlan_and_the_clock_follows_its_server() -> Result<()> {
    let switch = Switch::new(0)?;
    let (ours, its) = (switch.leg()?, switch.leg()?);
    let mut appliance = Appliance::new()?;
    appliance.plug_in(Nic::switch(&its).address(MAC));
    appliance.begin_at(SWITCHED_ON);
    appliance.hand_over(setup_file(&format!(
        "eth1.ipv4 = static\neth1.address = {V4}/24\neth1.vlan = {VLAN}\n\
         eth1.ipv6 = static\neth1.ipv6.address = {V6}/64\nntp = {}\n",
        station::V4
    )));
    let server_says = Duration::from_secs(SWITCHED_ON_SECONDS) + AHEAD;
    let station = Station::new(ours, server_says)?;
    appliance.switch_on()?;
    appliance.sign_in()?;
    it_answers_on_its_vlan_only(&station)?;
    the_clock_was_set(&mut appliance)?;
    both_services_are_well(&mut appliance)?;
    println!("after {:?}", appliance.on_for());
    appliance.cut_power()
}

fn it_answers_on_its_vlan_only(station: &Station) -> Result<()> {
    let answered = until("an answer to ARP", || {
        station.who_has(V4, Some(VLAN), ANSWER)
    })?;
    ensure!(
        answered.mac == MAC && answered.tag == Some(VLAN),
        "{answered:?}"
    );
    let answered = until("an advertisement", || {
        station.solicit(V6, Some(VLAN), ANSWER)
    })?;
    ensure!(
        answered.mac == MAC && answered.tag == Some(VLAN),
        "{answered:?}"
    );
    for tag in [None, Some(VLAN + 1)] {
        let v4 = station.who_has(V4, tag, ANSWER)?;
        let v6 = station.solicit(V6, tag, ANSWER)?;
        ensure!(
            v4.is_none() && v6.is_none(),
            "with tag {tag:?}: {v4:?}, {v6:?}"
        );
    }
    // It had not just fallen silent.
    until("an answer to ARP", || {
        station.who_has(V4, Some(VLAN), ANSWER)
    })?;
    Ok(())
}

/// What is done now is recorded under the server's time: so `time` has set the kernel's clock
/// through its filter, and the daemon, which follows no clock that jumps, has gone with this one.
fn the_clock_was_set(appliance: &mut Appliance) -> Result<()> {
    let mut number = 0;
    until("a record under the time of the server", || {
        number += 1;
        appliance.command(&format!("client add c{number}"))?;
        let record = appliance.json("log show --view audit --last 1 --json")?;
        let time = record["time"].as_str().context("a time")?.to_owned();
        Ok((time.as_str() >= SERVER_SAYS).then_some(()))
    })?;
    let status = appliance.json("status --json")?;
    let jumped = &status["clock_jumped_milliseconds"];
    ensure!(jumped.is_null(), "still {jumped} ms apart");
    Ok(())
}

fn both_services_are_well(appliance: &mut Appliance) -> Result<()> {
    let health = appliance.json("show health --json")?;
    for (name, capabilities) in [("network", 3), ("time", 1)] {
        let services = health["services"].as_array().context("services")?;
        let service = services.iter().find(|service| service["name"] == name);
        let service = service.with_context(|| format!("{name} in {health}"))?;
        let held = service["capabilities"].as_array().map_or(0, Vec::len);
        ensure!(
            service["state"] == "running"
                && service["restarts"] == 0
                && service["seccomp"] == "filter"
                && held == capabilities,
            "{service}"
        );
    }
    Ok(())
}

fn until<T>(what: &str, mut attempt: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let begun = Instant::now();
    loop {
        if let Some(found) = attempt()? {
            return Ok(found);
        }
        ensure!(begun.elapsed() < WITHIN, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(500));
    }
}
