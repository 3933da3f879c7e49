//! Settings: what is taken comes back as it was, what cannot be is refused with its place.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

use network::settings::{self, Interface, Ipv4, Ipv6, Mac, Settings, SettingsError};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::Path;

/// A small database of time zones, so that the tests need no package.
fn zoneinfo() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("Europe")).unwrap();
    std::fs::write(folder.path().join("Europe/Berlin"), b"TZif2").unwrap();
    std::fs::write(folder.path().join("UTC"), b"TZif2").unwrap();
    std::fs::write(folder.path().join("zone.tab"), b"# text").unwrap();
    folder
}

fn example() -> Value {
    json!({
        "version": 1,
        "hostname": "kms1",
        "fqdn": "kms1.example.org",
        "interfaces": [
            {
                "name": "eth0", "mac": "52:54:00:12:34:56", "mtu": 1500, "vlan": 42,
                "ipv4": {"static": {"address": "192.0.2.10/24", "gateway": "192.0.2.1"}},
                "ipv6": {"static": {"address": "2001:db8::10/64", "gateway": "fe80::1"}},
            },
            {"name": "eth1", "ipv4": "dhcp", "ipv6": "off"},
        ],
        "outgoing": "eth0",
        "dns": ["192.0.2.53", "2001:db8::53"],
        "ntp": ["192.0.2.123", "ntp.example.org"],
        "time_zone": "Europe/Berlin",
    })
}

fn parse(value: &Value) -> Result<Settings, SettingsError> {
    let zones = zoneinfo();
    Settings::parse(value.to_string().as_bytes(), zones.path())
}

/// The words with which the example is refused after `change`.
fn refusal(change: impl FnOnce(&mut Value)) -> String {
    let mut value = example();
    change(&mut value);
    parse(&value).unwrap_err().to_string()
}

#[test]
fn the_example_is_taken_and_comes_back() {
    let settings = parse(&example()).unwrap();
    assert_eq!(settings.outgoing().unwrap().name, "eth0");
    assert_eq!(settings.interfaces[0].device(), "eth0.42");
    let zones = zoneinfo();
    assert_eq!(
        Settings::parse(&settings.to_json(), zones.path()),
        Ok(settings)
    );
}

type Change = fn(&mut Value);

/// Changes of the example and words with which each is refused.
const REFUSED: &[(&str, Change)] = &[
    ("version 2", |v| v["version"] = json!(2)),
    ("unknown field `colour`", |v| v["colour"] = json!("red")),
    ("unknown field `speed`", |v| {
        v["interfaces"][0]["speed"] = json!(1)
    }),
    ("unknown field `mask`", |v| {
        v["interfaces"][0]["ipv4"]["static"]["mask"] = json!(1);
    }),
    ("hostname: \"kms1.example\" has a dot", |v| {
        v["hostname"] = json!("kms1.example")
    }),
    ("'_' is not allowed", |v| v["hostname"] = json!("kms_1")),
    ("'ü' is not allowed", |v| {
        v["hostname"] = json!("schlüssel")
    }),
    ("a label is empty", |v| v["hostname"] = json!("")),
    ("begins or ends with a hyphen", |v| {
        v["hostname"] = json!("kms-")
    }),
    ("64 bytes, more than 63", |v| {
        v["hostname"] = json!("a".repeat(64))
    }),
    ("fqdn: \"kms1\"", |v| v["fqdn"] = json!("kms1")),
    ("fqdn: \"kms1.example.org.\"", |v| {
        v["fqdn"] = json!("kms1.example.org.")
    }),
    ("254 bytes, more than 253", |v| {
        v["fqdn"] = json!("a.".repeat(126) + "ab")
    }),
    ("its last label is a number", |v| {
        v["fqdn"] = json!("10.0.0.1")
    }),
    ("3 entries, at most 2", |v| {
        let one = v["interfaces"][1].clone();
        v["interfaces"].as_array_mut().unwrap().push(one);
    }),
    ("eth0 is configured twice", |v| {
        v["interfaces"][1]["name"] = json!("eth0")
    }),
    ("\"eth7\" is no interface", |v| {
        v["interfaces"][1]["name"] = json!("eth7")
    }),
    ("VLAN 0 does not exist", |v| {
        v["interfaces"][0]["vlan"] = json!(0)
    }),
    ("VLAN 4095 does not exist", |v| {
        v["interfaces"][0]["vlan"] = json!(4095)
    }),
    ("1279 bytes; it can be 1280", |v| {
        v["interfaces"][0]["mtu"] = json!(1279)
    }),
    ("575 bytes; it can be 576", |v| {
        v["interfaces"][1]["mtu"] = json!(575)
    }),
    ("it is a group address", |v| {
        v["interfaces"][0]["mac"] = json!("01:00:5e:00:00:01");
    }),
    ("is not a hardware address", |v| {
        v["interfaces"][0]["mac"] = json!("52:54:00:12:34")
    }),
    ("more than one interface may have a gateway", |v| {
        v["outgoing"] = json!(null)
    }),
    ("\"eth2\" is not among", |v| v["outgoing"] = json!("eth2")),
    ("eth1 has no gateway", |v| {
        v["interfaces"][1]["ipv4"] = json!("off");
        v["outgoing"] = json!("eth1");
    }),
    ("4 entries, at most 3", |v| {
        v["dns"] = json!(["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"]);
    }),
    ("an entry is there twice", |v| {
        v["dns"] = json!(["10.0.0.1", "10.0.0.1"])
    }),
    ("dns: 127.0.0.53 is a loopback address", |v| {
        v["dns"] = json!(["127.0.0.53"])
    }),
    ("ntp: 224.0.1.1 is a multicast address", |v| {
        v["ntp"] = json!(["224.0.1.1"])
    }),
    ("ntp: \"clock\" is no fully", |v| {
        v["ntp"] = json!(["clock"])
    }),
    ("5 entries, at most 4", |v| {
        v["ntp"] = json!(["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5"]);
    }),
    ("no time zone \"Mars/Olympus\"", |v| {
        v["time_zone"] = json!("Mars/Olympus")
    }),
    ("no time zone \"../UTC\"", |v| {
        v["time_zone"] = json!("../UTC")
    }),
    ("no time zone \"/etc/passwd\"", |v| {
        v["time_zone"] = json!("/etc/passwd")
    }),
    ("no time zone \"zone.tab\"", |v| {
        v["time_zone"] = json!("zone.tab")
    }),
    ("no time zone \"Europe\"", |v| {
        v["time_zone"] = json!("Europe")
    }),
    ("overlap", |v| {
        v["interfaces"][1]["ipv4"] = json!({"static": {"address": "192.0.2.200/25"}});
    }),
];

#[test]
fn what_cannot_be_is_refused_with_its_place() {
    for (words, change) in REFUSED {
        let refused = refusal(change);
        assert!(
            refused.contains(words),
            "{refused:?} does not say {words:?}"
        );
    }
}

/// An address, a gateway, and words with which they are refused.
const REFUSED_V4: &[(&str, &str, &str)] = &[
    (
        "192.0.2.10",
        "192.0.2.1",
        "is not an IPv4 address with its prefix",
    ),
    (
        "192.0.2.10/33",
        "192.0.2.1",
        "is not an IPv4 address with its prefix",
    ),
    (
        "192.0.2.0/24",
        "192.0.2.1",
        "192.0.2.0 is the network address",
    ),
    (
        "192.0.2.255/24",
        "192.0.2.1",
        "192.0.2.255 is the broadcast address",
    ),
    ("127.0.0.1/8", "127.0.0.2", "is a loopback address"),
    ("0.1.2.3/8", "0.1.2.4", "is a reserved address"),
    ("240.0.0.1/8", "240.0.0.2", "is a reserved address"),
    ("224.0.0.1/24", "224.0.0.2", "is a multicast address"),
    ("192.0.2.10/0", "192.0.2.1", "the whole internet"),
    (
        "192.0.2.10/24",
        "192.0.3.1",
        "is not in the subnet 192.0.2.0/24",
    ),
    (
        "192.0.2.10/24",
        "192.0.2.10",
        "is this machine's own address",
    ),
    ("192.0.2.10/24", "192.0.2.255", "is the broadcast address"),
];

/// The same for IPv6.
const REFUSED_V6: &[(&str, &str, &str)] = &[
    ("fe80::10/64", "fe80::1", "fe80::10 is link-local"),
    ("::1/128", "fe80::1", "is a loopback address"),
    (
        "::ffff:192.0.2.1/96",
        "fe80::1",
        "is an IPv4 address written as IPv6",
    ),
    ("ff02::1/64", "fe80::1", "is a multicast address"),
    (
        "2001:db8::10/64",
        "2001:db9::1",
        "is neither in the subnet 2001:db8::/64",
    ),
    (
        "2001:db8::10/64",
        "2001:db8::10",
        "is this machine's own address",
    ),
];

#[test]
fn addresses_and_gateways_that_cannot_be_are_refused() {
    for (address, gateway, words) in REFUSED_V4 {
        let refused = refusal(|v| {
            v["interfaces"][0]["ipv4"]["static"] = json!({"address": address, "gateway": gateway});
        });
        assert!(
            refused.contains(words),
            "{refused:?} does not say {words:?}"
        );
    }
    for (address, gateway, words) in REFUSED_V6 {
        let refused = refusal(|v| {
            v["interfaces"][0]["ipv6"]["static"] = json!({"address": address, "gateway": gateway});
        });
        assert!(
            refused.contains(words),
            "{refused:?} does not say {words:?}"
        );
    }
    // A subnet of two has no address of its own (RFC 3021).
    let mut value = example();
    value["interfaces"][0]["ipv4"]["static"] =
        json!({"address": "192.0.2.0/31", "gateway": "192.0.2.1"});
    parse(&value).unwrap();
}

#[test]
fn a_file_of_any_length_is_refused_by_its_length() {
    let long = vec![b' '; settings::FILE_BYTES_MAX + 1];
    let error = Settings::parse(&long, Path::new("/"));
    assert!(matches!(error, Err(SettingsError::TooLarge { .. })));
}

fn any_v4() -> impl Strategy<Value = Ipv4> {
    let fixed = (any::<u32>(), 1_u8..=32, any::<Option<u32>>());
    let fixed = fixed.prop_map(|(address, length, gateway)| Ipv4::Static {
        address: ipnet::Ipv4Net::new_assert(Ipv4Addr::from(address), length),
        gateway: gateway.map(Ipv4Addr::from),
    });
    prop_oneof![Just(Ipv4::Off), Just(Ipv4::Dhcp), fixed]
}

fn any_v6() -> impl Strategy<Value = Ipv6> {
    let fixed = (any::<u128>(), 1_u8..=128, any::<Option<u128>>());
    let fixed = fixed.prop_map(|(address, length, gateway)| Ipv6::Static {
        address: ipnet::Ipv6Net::new_assert(Ipv6Addr::from(address), length),
        gateway: gateway.map(Ipv6Addr::from),
    });
    prop_oneof![Just(Ipv6::Off), Just(Ipv6::Auto), fixed]
}

fn any_interface() -> impl Strategy<Value = Interface> {
    let rest = (
        "eth[0-2]",
        any::<Option<[u8; 6]>>(),
        proptest::option::of(500_u32..10_000),
        proptest::option::of(0_u16..4100),
    );
    (rest, any_v4(), any_v6()).prop_map(|((name, mac, mtu, vlan), ipv4, ipv6)| Interface {
        name,
        mac: mac.map(Mac),
        mtu,
        vlan,
        ipv4,
        ipv6,
    })
}

fn any_settings() -> impl Strategy<Value = Settings> {
    (
        "[a-z][a-z0-9-]{0,5}",
        proptest::option::of("[a-z]{1,3}\\.[a-z]{1,3}"),
        proptest::collection::vec(any_interface(), 0..3),
        proptest::option::of("eth[0-1]"),
        proptest::collection::vec(any::<std::net::IpAddr>(), 0..4),
        proptest::collection::vec("[a-z]{1,3}(\\.[a-z]{1,3})?", 0..4),
    )
        .prop_map(
            |(hostname, fqdn, interfaces, outgoing, dns, ntp)| Settings {
                version: settings::VERSION,
                hostname,
                fqdn,
                interfaces,
                outgoing,
                dns,
                ntp,
                time_zone: "UTC".to_owned(),
            },
        )
}

proptest! {
    #[test]
    fn whatever_is_taken_comes_back_and_whatever_is_refused_stays_refused(one in any_settings()) {
        let zones = zoneinfo();
        let again = Settings::parse(&one.to_json(), zones.path());
        match one.check(zones.path()) {
            Ok(()) => prop_assert_eq!(again, Ok(one)),
            Err(error) => prop_assert_eq!(again, Err(error)),
        }
    }

    #[test]
    fn accepted_settings_can_be_planned(one in any_settings()) {
        let zones = zoneinfo();
        if one.check(zones.path()).is_ok() {
            let plan = network::plan::plan(&one, &std::collections::BTreeMap::new());
            // One outgoing gateway of each family at most.
            let defaults = plan.routes.iter().filter(|route| {
                route.table == network::plan::TABLE_MAIN && route.destination.prefix_len() == 0
            });
            let defaults: Vec<_> = defaults.collect();
            let v4 = defaults.iter().filter(|route| route.destination.addr().is_ipv4()).count();
            prop_assert!(v4 <= 1 && defaults.len() <= 2);
            let device = one.outgoing().map(Interface::device);
            prop_assert!(defaults.iter().all(|route| Some(&route.device) == device.as_ref()));
        }
    }

    #[test]
    fn bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Settings::parse(&bytes, Path::new("/usr/share/zoneinfo"));
    }

    #[test]
    fn hardware_addresses_come_back(bytes: [u8; 6]) {
        let mac = Mac(bytes);
        prop_assert_eq!(mac.to_string().parse(), Ok(mac));
    }
}
