//! `strongroom-network` in real network namespaces, against a real DHCP server, and
//! `strongroom-time` beside it, against a real time server that it finds by name.
//!
//! Needs root, `ip` (iproute2), `dnsmasq` (dnsmasq-base) and `chronyd` (chrony); where something is
//! missing each test says so and passes. `cargo xtask record` runs these tests to see what the two
//! programs do.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

mod world;

use network::status::{ClockState, SettingsState};
use network::{NetworkStatus, TimeStatus};
use serde_json::{Value, json};
use world::{World, until};

fn interface(name: &str, rest: Value) -> Value {
    let mut one = json!({ "name": name });
    for (key, value) in rest.as_object().unwrap() {
        one[key] = value.clone();
    }
    one
}

fn settings(interfaces: Value, outgoing: Option<&str>) -> Value {
    json!({
        "version": 1, "hostname": "kms1", "interfaces": interfaces, "outgoing": outgoing,
        "dns": ["192.0.2.53"], "ntp": [], "time_zone": "UTC",
    })
}

fn static_v4(address: &str, gateway: &str) -> Value {
    json!({ "static": { "address": address, "gateway": gateway } })
}

fn addresses(status: &NetworkStatus, name: &str) -> Vec<String> {
    let one = status.interfaces.iter().find(|one| one.name == name);
    one.map(|one| one.addresses.clone()).unwrap_or_default()
}

#[test]
fn nothing_is_up_without_settings() {
    let Some(world) = World::new("none", 2) else {
        return;
    };
    let status = world.wait(|status| status.interfaces.len() == 2);
    assert_eq!(status.settings, SettingsState::Missing);
    for one in &status.interfaces {
        assert!(!one.up && one.addresses.is_empty(), "{one:?}");
    }
    // The loopback is all there is, and nothing listens.
    let up = world.inside(&["ip", "-o", "link", "show", "up"]);
    assert_eq!(up.lines().count(), 1, "{up}");
    assert_eq!(world.inside(&["ss", "-Hlntuw"]), "");
}

#[test]
fn static_addresses_follow_the_settings() {
    let Some(world) = World::new("static", 1) else {
        return;
    };
    let v6 = json!({ "static": { "address": "2001:db8::10/64", "gateway": "2001:db8::1" } });
    let v4 = static_v4("192.0.2.10/24", "192.0.2.1");
    let one = interface("eth0", json!({ "ipv4": v4, "ipv6": v6, "mtu": 1400 }));
    world.outside(0, &["ip", "addr", "add", "192.0.2.1/24", "dev", "port0"]);
    world.outside(
        0,
        &[
            "ip",
            "-6",
            "addr",
            "add",
            "2001:db8::1/64",
            "dev",
            "port0",
            "nodad",
        ],
    );
    world.settings(&settings(json!([one]), None));
    let status = world.wait(|status| addresses(status, "eth0").len() == 3);
    assert_eq!(status.outgoing.as_deref(), Some("eth0"));
    let routes = world.inside(&["ip", "route", "show", "default"]);
    assert!(routes.contains("via 192.0.2.1 dev eth0"), "{routes}");
    let routes = world.inside(&["ip", "-6", "route", "show", "default"]);
    assert!(routes.contains("via 2001:db8::1 dev eth0"), "{routes}");
    world.inside(&["ping", "-c1", "-W5", "192.0.2.1"]);
    until("IPv6 answers", || {
        world.may(&["ping", "-6", "-c1", "-W1", "2001:db8::1"])
    });
    assert!(
        world
            .inside(&["ip", "link", "show", "eth0"])
            .contains("mtu 1400")
    );
    let resolv = std::fs::read_to_string(world.state("resolv.conf")).unwrap();
    assert!(resolv.contains("nameserver 192.0.2.53"), "{resolv}");

    another_address(&world);
    a_refused_file_changes_nothing(&world);
    what_is_taken_away_comes_back(&world);
    without_settings_nothing_is_left(&world);
}

fn another_address(world: &World) {
    // Another address in the same subnet, no IPv6, the default size.
    let v4 = static_v4("192.0.2.20/24", "192.0.2.1");
    world.settings(&settings(
        json!([interface("eth0", json!({ "ipv4": v4 }))]),
        None,
    ));
    world.wait(|status| addresses(status, "eth0") == ["192.0.2.20/24"]);
    until("the routes follow", || {
        let rules = world.inside(&["ip", "rule"]);
        rules.contains("192.0.2.20") && !rules.contains("192.0.2.10")
    });
    assert_eq!(
        world.inside(&["ip", "-6", "addr", "show", "dev", "eth0"]),
        ""
    );
    assert!(
        world
            .inside(&["ip", "link", "show", "eth0"])
            .contains("mtu 1500")
    );
    world.inside(&["ping", "-c1", "-W5", "192.0.2.1"]);
}

fn a_refused_file_changes_nothing(world: &World) {
    // A file that cannot be: what was there stays, and the reason is shown.
    let wrong = static_v4("192.0.2.20/24", "198.51.100.1");
    world.settings(&settings(
        json!([interface("eth0", json!({ "ipv4": wrong }))]),
        None,
    ));
    let status = world.wait(|status| status.settings == SettingsState::Refused);
    assert!(
        status
            .problem
            .unwrap()
            .contains("interfaces.eth0.ipv4.gateway")
    );
    assert_eq!(
        world.wait(|_| true).interfaces[0].addresses,
        ["192.0.2.20/24"]
    );
}

fn what_is_taken_away_comes_back(world: &World) {
    // A lost cable, and what somebody removed by hand, come back by themselves.
    world.inside(&["ip", "link", "set", "eth0", "down"]);
    until("the link is up again", || {
        let routes = world.inside(&["ip", "route", "show", "table", "100"]);
        routes.contains("default via 192.0.2.1") && routes.contains("192.0.2.0/24")
    });
}

fn without_settings_nothing_is_left(world: &World) {
    // No settings any more: nothing is left.
    world.no_settings();
    world.wait(|status| {
        status
            .interfaces
            .iter()
            .all(|one| !one.up && one.addresses.is_empty())
    });
    let rules = world.inside(&["ip", "rule"]);
    assert_eq!(rules.lines().count(), 3, "{rules}");
}

#[test]
fn a_card_that_was_changed_stays_down() {
    let Some(world) = World::new("mac", 1) else {
        return;
    };
    let v4 = static_v4("192.0.2.10/24", "192.0.2.1");
    let mut one = interface("eth0", json!({ "ipv4": v4, "mac": "02:00:00:00:00:01" }));
    world.settings(&settings(json!([one.clone()]), None));
    let status = world.wait(|status| status.interfaces[0].problem.is_some());
    let card = &status.interfaces[0];
    assert!(!card.up && card.addresses.is_empty(), "{card:?}");
    // With the address that it has, it is used; eth1 does not exist and is said to be missing.
    one["mac"] = json!(card.mac.unwrap().to_string());
    let two = interface("eth1", json!({ "ipv4": "dhcp" }));
    world.settings(&settings(json!([one, two]), Some("eth0")));
    let status = world.wait(|status| addresses(status, "eth0") == ["192.0.2.10/24"]);
    let missing = status
        .interfaces
        .iter()
        .find(|one| one.name == "eth1")
        .unwrap();
    let problem = missing.problem.clone().unwrap();
    assert!(
        !missing.present && problem.contains("no such interface"),
        "{missing:?}"
    );
}

#[test]
fn router_advertisements_are_heard_only_where_they_are_wanted() {
    let Some(world) = World::new("auto", 1) else {
        return;
    };
    world.outside(
        0,
        &[
            "ip",
            "-6",
            "addr",
            "add",
            "2001:db8::1/64",
            "dev",
            "port0",
            "nodad",
        ],
    );
    let Some(_router) = world.router() else {
        return;
    };
    world.settings(&settings(
        json!([interface("eth0", json!({ "ipv6": "auto" }))]),
        None,
    ));
    let global = |status: &NetworkStatus| {
        let all = addresses(status, "eth0");
        all.iter().any(|address| address.starts_with("2001:db8:"))
    };
    let status = world.wait(|status| global(status) && !status.interfaces[0].gateways.is_empty());
    assert!(
        status.interfaces[0].gateways[0].starts_with("fe80:"),
        "{status:?}"
    );

    // With an address of ours, what the router said is gone and is not listened to again.
    let v6 = json!({ "static": { "address": "2001:db8:1::10/64" } });
    world.settings(&settings(
        json!([interface("eth0", json!({ "ipv6": v6 }))]),
        None,
    ));
    let status =
        world.wait(|status| addresses(status, "eth0").contains(&"2001:db8:1::10/64".into()));
    assert_eq!(addresses(&status, "eth0").len(), 2, "{status:?}");
    until("the router's route is gone", || {
        world
            .inside(&["ip", "-6", "route", "show", "default"])
            .is_empty()
    });
    std::thread::sleep(std::time::Duration::from_secs(5));
    assert_eq!(world.inside(&["ip", "-6", "route", "show", "default"]), "");
    assert!(
        !world
            .inside(&["ip", "-6", "addr", "show"])
            .contains("2001:db8::")
    );
}

#[test]
fn a_vlan_carries_the_addresses_alone() {
    let Some(world) = World::new("vlan", 1) else {
        return;
    };
    let v4 = static_v4("192.0.2.10/24", "192.0.2.1");
    let one = interface("eth0", json!({ "ipv4": v4, "vlan": 42 }));
    if !world.outside_may(
        0,
        &[
            "ip", "link", "add", "link", "port0", "name", "v42", "type", "vlan", "id", "42",
        ],
    ) {
        eprintln!("skipped: this kernel has no VLANs (8021q)");
        return;
    }
    world.outside(0, &["ip", "addr", "add", "192.0.2.1/24", "dev", "v42"]);
    world.outside(0, &["ip", "link", "set", "v42", "up"]);
    world.settings(&settings(json!([one]), None));
    world.wait(|status| addresses(status, "eth0") == ["192.0.2.10/24"]);
    world.inside(&["ping", "-c1", "-W5", "192.0.2.1"]);
    assert_eq!(
        world.inside(&["ip", "-4", "addr", "show", "dev", "eth0"]),
        ""
    );
    let v4 = static_v4("192.0.2.10/24", "192.0.2.1");
    world.settings(&settings(
        json!([interface("eth0", json!({ "ipv4": v4 }))]),
        None,
    ));
    until("the VLAN is gone", || {
        !world.may(&["ip", "link", "show", "eth0.42"])
    });
}

#[test]
fn answers_leave_by_the_interface_they_came_in_on() {
    let Some(world) = World::new("two", 2) else {
        return;
    };
    // Two routers, each with a far client behind it; both clients have addresses that only the
    // default route of that side reaches.
    for (side, net, far) in [
        (0, "192.0.2", "203.0.113.1"),
        (1, "198.51.100", "203.0.113.2"),
    ] {
        world.outside(
            side,
            &["ip", "addr", "add", &format!("{net}.1/24"), "dev", "port0"],
        );
        world.outside(
            side,
            &["ip", "addr", "add", &format!("{far}/32"), "dev", "lo"],
        );
        world.outside(side, &["ip", "link", "set", "lo", "up"]);
    }
    let first = interface(
        "eth0",
        json!({ "ipv4": static_v4("192.0.2.10/24", "192.0.2.1") }),
    );
    let second = interface(
        "eth1",
        json!({ "ipv4": static_v4("198.51.100.10/24", "198.51.100.1") }),
    );
    world.settings(&settings(json!([first, second]), Some("eth0")));
    world.wait(|status| {
        addresses(status, "eth0").len() == 1 && addresses(status, "eth1").len() == 1
    });
    until("both tables have their gateway", || {
        let table = |number| world.inside(&["ip", "route", "show", "table", number]);
        table("100").contains("default") && table("101").contains("default")
    });
    only_its_own_side_answers(&world);
}

fn only_its_own_side_answers(world: &World) {
    // One default route for what this machine begins, and it is the outgoing one.
    let routes = world.inside(&["ip", "route", "show", "default"]);
    assert_eq!(routes.lines().count(), 1, "{routes}");
    assert!(routes.contains("dev eth0"), "{routes}");
    // The client behind the second router is answered there: the first does not know it.
    world.outside(
        1,
        &["ping", "-c1", "-W5", "-I", "203.0.113.2", "198.51.100.10"],
    );
    world.outside(
        0,
        &["ping", "-c1", "-W5", "-I", "203.0.113.1", "192.0.2.10"],
    );
    let before = world.sent(0);
    world.outside(
        1,
        &[
            "ping",
            "-c5",
            "-i0.2",
            "-W5",
            "-I",
            "203.0.113.2",
            "198.51.100.10",
        ],
    );
    let after = world.sent(0);
    assert!(
        after - before < 5,
        "{before} -> {after} packets left by the first interface"
    );
}

#[test]
fn a_lease_is_taken_renewed_and_asked_for_again_after_a_lost_cable() {
    let Some(world) = World::new("dhcp", 1) else {
        return;
    };
    let Some(_server) = world.dhcp_server() else {
        return;
    };
    let mut dhcp = settings(json!([interface("eth0", json!({ "ipv4": "dhcp" }))]), None);
    dhcp["dns"] = json!([]);
    world.settings(&dhcp);
    let status = world.wait(|status| addresses(status, "eth0").len() == 1);
    let lease = status.interfaces[0].dhcp.clone().unwrap();
    assert!(
        lease.address.as_deref().unwrap().starts_with("192.0.2.1"),
        "{lease:?}"
    );
    assert_eq!(lease.server.as_deref(), Some("192.0.2.1"));
    let status = world.wait(|status| !status.interfaces[0].gateways.is_empty());
    assert_eq!(status.interfaces[0].gateways, ["192.0.2.1"]);
    assert_eq!(status.dns, ["192.0.2.53"]);
    assert_eq!(status.dhcp_ntp, ["192.0.2.123"]);
    let resolv = std::fs::read_to_string(world.state("resolv.conf")).unwrap();
    assert!(resolv.contains("nameserver 192.0.2.53"), "{resolv}");
    // Bound: nothing listens until it is time to renew.
    assert_eq!(world.inside(&["ss", "-Hlntuw"]), "");

    // T1 is 6 s: the end of the lease moves on, the address stays.
    let end = lease.expires_at_seconds.unwrap();
    let status = world.wait(|status| {
        let dhcp = status.interfaces[0].dhcp.as_ref();
        dhcp.and_then(|dhcp| dhcp.expires_at_seconds) > Some(end)
    });
    let renewed = status.interfaces[0].dhcp.clone().unwrap();
    assert_eq!(renewed.address, lease.address);
    assert!(world.server_log().contains("DHCPACK"));
    assert!(!world.log().contains("cannot"), "{}", world.log());

    // The cable goes and comes: the same address is confirmed (INIT-REBOOT, no new discover).
    let discovers = || world.server_log().matches("DHCPDISCOVER").count();
    let (before, end) = (discovers(), renewed.expires_at_seconds.unwrap());
    world.outside(0, &["ip", "link", "set", "port0", "down"]);
    world.wait(|status| !status.interfaces[0].carrier);
    world.outside(0, &["ip", "link", "set", "port0", "up"]);
    let status = world.wait(|status| {
        let dhcp = status.interfaces[0].dhcp.as_ref();
        dhcp.is_some_and(|dhcp| dhcp.state == "bound" && dhcp.expires_at_seconds > Some(end))
    });
    assert_eq!(addresses(&status, "eth0").len(), 1);
    assert_eq!(discovers(), before);

    // Off again: the address is given back.
    world.settings(&settings(json!([]), None));
    world.wait(|status| addresses(status, "eth0").is_empty());
    until("the lease is released", || {
        world.server_log().contains("DHCPRELEASE")
    });
}

/// The whole way but its last step: a name, a question, an answer, a judgement. The clock of this
/// machine is safe, since the program holds no capability at all; that shows as a failure.
#[test]
fn the_time_is_asked_for_by_name_and_the_clock_is_left_to_whoever_may_set_it() {
    let Some(world) = World::new("time", 1) else {
        return;
    };
    world.outside(0, &["ip", "addr", "add", "192.0.2.1/24", "dev", "port0"]);
    let (Some(_names), Some(_server)) = (world.name_server(), world.time_server()) else {
        return;
    };
    let v4 = static_v4("192.0.2.10/24", "192.0.2.1");
    let mut wanted = settings(json!([interface("eth0", json!({ "ipv4": v4 }))]), None);
    wanted["dns"] = json!(["192.0.2.1"]);
    wanted["ntp"] = json!(["time.example.org"]);
    world.settings(&wanted);
    world.wait(|status| status.dns == ["192.0.2.1"] && addresses(status, "eth0").len() == 1);
    let now = network::files::since_boot().as_millis();
    let request = json!({
        "id": "a", "milliseconds": 1_893_456_000_000_u64, "since_boot_milliseconds": now,
    });
    std::fs::write(world.state("clock.json"), request.to_string()).unwrap();
    let keeper = world.timekeeper();
    until("it has judged an answer", || {
        let json = std::fs::read(world.state("time/time.json")).unwrap_or_default();
        let status: Option<TimeStatus> = serde_json::from_slice(&json).ok();
        eprintln!("{status:?}\n{}", world.said_of_time());
        status.is_some_and(|status| {
            let server = status.servers.first();
            let answered = server.is_some_and(|one| one.used && one.stratum == Some(10));
            answered && status.state == ClockState::Failed
        })
    });
    assert_eq!(keeper.capabilities(), 0);
    let said = world.said_of_time();
    for refused in [
        "an operator's time cannot be set",
        "the clock cannot be adjusted",
    ] {
        assert!(said.contains(refused), "{said}");
    }
}
