//! What each setting takes, and in which form it keeps it.

#![allow(clippy::unwrap_used)]

use super::*;
use alloc::collections::BTreeMap;
use alloc::string::ToString;

fn check(id: &str, value: &str) -> Result<String, String> {
    find(id).unwrap().check(value)
}

/// Each accepted value is kept as the text beside it, and that text is kept as it is.
fn accepts(id: &str, values: &[(&str, &str)]) {
    for (value, canonical) in values {
        assert_eq!(check(id, value).as_deref(), Ok(*canonical), "{id}: {value}");
        assert_eq!(check(id, canonical).as_deref(), Ok(*canonical), "{id}");
    }
}

/// Each refused value has a reason that holds the text beside it.
fn refuses(id: &str, values: &[(&str, &str)]) {
    for (value, reason) in values {
        let said = check(id, value).unwrap_err();
        assert!(said.contains(reason), "{id}: {value}: {said}");
        assert!(!said.contains('\n'), "{said}");
    }
}

#[test]
fn the_table_is_sound() {
    for setting in TABLE {
        assert_eq!(find(setting.id), Some(setting), "{} twice", setting.id);
        if let Some(default) = setting.default {
            accepts(setting.id, &[(default, default)]);
        }
        assert!(!setting.title.is_empty() && !setting.title.ends_with('.'));
        for line in setting.help.lines() {
            assert!(line.len() <= 90, "{}: {line}", setting.id);
            assert_eq!(line, line.trim(), "{}", setting.id);
        }
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '.';
        assert!(setting.id.chars().all(allowed), "{}", setting.id);
    }
    assert_eq!(find("nonsense"), None);
    check_together(|id| find(id).and_then(|setting| setting.default)).unwrap();
}

#[test]
fn names() {
    let long = "a".repeat(63);
    accepts(
        "hostname",
        &[
            ("keys-1", "keys-1"),
            (" KEYS ", "keys"),
            ("9", "9"),
            (&long, &long),
        ],
    );
    let longer = "a".repeat(64);
    refuses(
        "hostname",
        &[
            ("", "a name is needed"),
            ("a.b", "one label"),
            ("-a", "hyphen"),
            ("a-", "hyphen"),
            ("a_b", "only letters"),
            ("schlüssel", "only letters"),
            (&longer, "63"),
            ("a\u{7}", "U+0007"),
            ("a\u{202e}b", "U+202E"),
        ],
    );
    accepts(
        "domain",
        &[
            ("", ""),
            ("none", ""),
            ("Example.ORG.", "example.org"),
            ("b.example", "b.example"),
        ],
    );
    let deep = ["a"; 96].join(".");
    refuses(
        "domain",
        &[
            (".example", "a name is needed"),
            ("a..b", "a name is needed"),
            ("192.0.2.1", "number"),
            ("exa mple", "only letters"),
            (&deep, "189"),
            (&"a".repeat(256), "255"),
        ],
    );
}

#[test]
fn choices() {
    accepts("approved", &[("yes", "yes"), ("N", "no"), ("YES", "yes")]);
    refuses(
        "approved",
        &[
            ("", "yes or no"),
            ("true", "yes or no"),
            ("yess", "yes or no"),
        ],
    );
    accepts(
        "eth0.ipv4",
        &[("Static", "static"), ("d", "dhcp"), ("off", "off")],
    );
    accepts("eth0.ipv6", &[("auto", "auto")]);
    refuses("eth0.ipv6", &[("dhcp", "off or auto or static")]);
    refuses(
        "outgoing",
        &[("eth", "eth0 or eth1"), ("eth2", "eth0 or eth1")],
    );
}

#[test]
fn ipv4_addresses() {
    accepts(
        "eth0.address",
        &[
            ("192.0.2.10/24", "192.0.2.10/24"),
            ("192.0.2.10 255.255.255.0", "192.0.2.10/24"),
            ("10.0.0.1  255.0.0.0", "10.0.0.1/8"),
            ("192.0.2.129/30", "192.0.2.129/30"),
            ("128.0.0.1/1", "128.0.0.1/1"),
            ("192.0.2.10/024", "192.0.2.10/24"),
        ],
    );
    refuses(
        "eth1.address",
        &[
            ("", "prefix length is missing"),
            ("192.0.2.10", "prefix length is missing"),
            ("192.0.2.300/24", "no IPv4 address"),
            ("192.0.2.010/24", "no IPv4 address"),
            ("2001:db8::1/64", "no IPv4 address"),
            ("192.0.2.10/31", "1 to 30"),
            ("192.0.2.10/0", "1 to 30"),
            ("192.0.2.10/+8", "1 to 30"),
            ("192.0.2.10/", "1 to 30"),
            ("192.0.2.10 255.0.255.0", "1 to 30"),
            ("192.0.2.10 255.255.255.255", "1 to 30"),
            ("192.0.2.0/24", "of the network"),
            ("192.0.2.255/24", "broadcast"),
            ("127.0.0.1/8", "loopback"),
            ("224.0.0.5/8", "multicast"),
            ("255.255.255.254/24", "reserved"),
            ("0.0.0.1/8", "begin with 0"),
        ],
    );
    accepts(
        "eth0.gateway",
        &[("192.0.2.1", "192.0.2.1"), ("", ""), ("None", "")],
    );
    refuses(
        "eth0.gateway",
        &[
            ("192.0.2.1/24", "IPv4 address"),
            ("router", "192.0.2.1"),
            ("239.1.1.1", "multicast"),
            ("0.0.0.0", "no hosts"),
        ],
    );
}

#[test]
fn ipv6_addresses() {
    accepts(
        "eth0.ipv6.address",
        &[
            ("2001:DB8:0::10/64", "2001:db8::10/64"),
            ("2001:db8::/127", "2001:db8::/127"),
            ("fd00::1/8", "fd00::1/8"),
        ],
    );
    refuses(
        "eth0.ipv6.address",
        &[
            ("", "missing"),
            ("2001:db8::10", "missing"),
            ("192.0.2.1/24", "no IPv6 address"),
            ("2001:db8::10/128", "1 to 127"),
            ("2001:db8::/64", "of the network"),
            ("fe80::1/64", "link-local"),
            ("ff02::1/64", "multicast"),
            ("::1/64", "loopback"),
            ("::/64", "no host"),
            ("::ffff:192.0.2.1/96", "IPv4 address in IPv6 form"),
        ],
    );
    accepts(
        "eth1.ipv6.gateway",
        &[("FE80::1", "fe80::1"), ("2001:db8::1", "2001:db8::1")],
    );
    refuses(
        "eth1.ipv6.gateway",
        &[
            ("fe80::1%eth0", "without"),
            ("192.0.2.1", "IPv6"),
            ("ff02::2", "multicast"),
        ],
    );
}

#[test]
fn numbers_and_lists() {
    accepts(
        "eth0.vlan",
        &[("", ""), ("none", ""), ("1", "1"), ("04094", "4094")],
    );
    refuses(
        "eth0.vlan",
        &[
            ("0", "1 to 4094"),
            ("4095", "4094"),
            ("-1", "4094"),
            ("1.5", "4094"),
        ],
    );
    accepts(
        "dns",
        &[
            ("", ""),
            ("192.0.2.53", "192.0.2.53"),
            (
                "192.0.2.53,2001:DB8::53 192.0.2.54",
                "192.0.2.53, 2001:db8::53, 192.0.2.54",
            ),
        ],
    );
    refuses(
        "dns",
        &[
            ("resolver.example", "no address"),
            (",", "nothing"),
            ("192.0.2.1 192.0.2.1", "twice"),
            ("192.0.2.1 192.0.2.2 192.0.2.3 192.0.2.4", "at most 3"),
            ("127.0.0.53", "loopback"),
        ],
    );
    accepts(
        "ntp",
        &[
            ("none", ""),
            (
                "NTP1.Example.org , 192.0.2.123",
                "ntp1.example.org, 192.0.2.123",
            ),
            ("a b c d", "a, b, c, d"),
        ],
    );
    refuses(
        "ntp",
        &[
            ("a b c d e", "at most 4"),
            ("192.0.2", "neither"),
            ("time_server", "neither"),
            ("a,A", "twice"),
        ],
    );
    assert_eq!(items("a, b").count(), 2);
    assert_eq!(items("").count(), 0);
}

#[test]
fn zones_listeners_and_subjects() {
    accepts(
        "timezone",
        &[
            ("utc", "UTC"),
            ("Europe/Berlin", "Europe/Berlin"),
            ("America/Argentina/Ushuaia", "America/Argentina/Ushuaia"),
            ("Etc/GMT+5", "Etc/GMT+5"),
        ],
    );
    refuses(
        "timezone",
        &[
            ("", "Area/City"),
            ("Berlin", "Area/City"),
            ("../etc/passwd", "Area/City"),
            ("Europe/../Berlin", "Area/City"),
            ("Europe//Berlin", "Area/City"),
            ("/Europe", "Area/City"),
            ("a/b/c/d", "Area/City"),
        ],
    );
    accepts(
        "kmip.listen",
        &[
            ("0.0.0.0:5696", "0.0.0.0:5696"),
            ("[::]:05696", "[::]:5696"),
            ("127.0.0.1:1", "127.0.0.1:1"),
            ("[2001:DB8::1]:65535", "[2001:db8::1]:65535"),
        ],
    );
    accepts(
        "ssh.listen",
        &[("none", ""), ("", ""), ("[::]:22", "[::]:22")],
    );
    refuses("ssh.listen", &[("22", "no address with a port")]);
    refuses(
        "web.listen",
        &[
            ("", "no address with a port"),
            ("9443", "no address with a port"),
            ("0.0.0.0", "no address with a port"),
            ("host:9443", "no address with a port"),
            ("0.0.0.0:0", "1 to 65535"),
            ("0.0.0.0:65536", "no address with a port"),
            ("[fe80::1%2]:9443", "interface"),
            ("224.0.0.1:9443", "multicast"),
        ],
    );
    let long = "é".repeat(64);
    accepts(
        "ca.subject",
        &[("", ""), ("  Example CA ", "Example CA"), (&long, &long)],
    );
    refuses("ca.subject", &[(&"x".repeat(65), "64"), ("a\nb", "U+000A")]);
}

/// Values that must fit each other: the changes to the defaults, and what is said of them.
#[test]
fn values_fit_each_other() {
    let said = |changes: &[(&'static str, &'static str)]| {
        let changes: BTreeMap<_, _> = changes.iter().copied().collect();
        check_together(|id| match changes.get(id) {
            Some(value) => Some(*value),
            None => find(id).and_then(|setting| setting.default),
        })
    };
    let fixed = [("eth0.ipv4", "static"), ("eth0.address", "192.0.2.10/24")];
    let with = |more: (&'static str, &'static str)| said(&[fixed[0], fixed[1], more]);
    assert_eq!(said(&fixed), Ok(()));
    assert_eq!(with(("eth0.gateway", "192.0.2.1")), Ok(()));
    // What is not in use may be anything.
    assert_eq!(said(&[("eth0.gateway", "203.0.113.1")]), Ok(()));
    assert_eq!(said(&[("eth0.ipv4", "off")]), Ok(()));
    let six = [
        ("eth0.ipv6", "static"),
        ("eth0.ipv6.address", "2001:db8::10/64"),
    ];
    assert_eq!(
        said(&[six[0], six[1], ("eth0.ipv6.gateway", "fe80::1")]),
        Ok(())
    );
    let reasons = [
        (
            said(&fixed[..1]),
            "eth0.address: eth0.ipv4 is static and needs an address",
        ),
        (
            said(&six[..1]),
            "eth0.ipv6.address: eth0.ipv6 is static and needs an address",
        ),
        (
            with(("eth0.gateway", "198.51.100.1")),
            "eth0.gateway: 198.51.100.1 is not in the network of 192.0.2.10/24",
        ),
        (
            with(("eth0.gateway", "192.0.2.10")),
            "eth0.gateway: 192.0.2.10 is the address of this node; enter its router's",
        ),
        (
            said(&[six[0], six[1], ("eth0.ipv6.gateway", "2001:db8:1::1")]),
            "eth0.ipv6.gateway: 2001:db8:1::1 is not in the network of 2001:db8::10/64",
        ),
        (
            said(&[("outgoing", "eth1")]),
            "outgoing: eth1 is off; choose the other one",
        ),
        (
            said(&[("web.listen", "192.0.2.10:5696")]),
            "web.listen: 192.0.2.10:5696 is taken by kmip.listen (0.0.0.0:5696); \
             choose another port or address",
        ),
        (
            said(&[("kmip.listen", "[::]:9001")]),
            "cluster.listen: 0.0.0.0:9001 is taken by kmip.listen ([::]:9001); \
             choose another port or address",
        ),
        (
            said(&[("ssh.listen", "192.0.2.10:9443")]),
            "ssh.listen: 192.0.2.10:9443 is taken by web.listen (0.0.0.0:9443); \
             choose another port or address",
        ),
    ];
    for (said, reason) in reasons {
        assert_eq!(said, Err(reason.to_string()));
    }
    // Different addresses may share a port, and IPv4's wildcard leaves IPv6 alone.
    assert_eq!(
        said(&[
            ("kmip.listen", "192.0.2.1:1"),
            ("web.listen", "192.0.2.2:1")
        ]),
        Ok(())
    );
    assert_eq!(said(&[("web.listen", "[2001:db8::1]:5696")]), Ok(()));
}
