//! The settings of an appliance: one table.
//!
//! A row is a prompt of the first-run dialogue, a key of the set-up file, a line of `show
//! running-config` and an event of the log, all under the same id. [`TABLE`] has them in the order
//! in which the dialogue asks ([`Setting::is_asked`]). Values are texts in one canonical form each,
//! so that equal settings are equal texts and two nodes that were set up from one file have the
//! same configuration.
//!
//! What is here knows texts only. Whether a time zone exists, or an address is free, shows on the
//! machine.
//!
//! *Warning:* members of different versions must decide alike. A new row, a new choice or another
//! canonical form needs a higher format of the ask that names it ([`Setting::format`]).

mod canonical;
#[cfg(test)]
mod tests;

use crate::Permission;
use crate::View;
use crate::administrator::PERMISSIONS_FORMAT;
use crate::member::DOORS_FORMAT;
use alloc::format;
use alloc::string::String;
use canonical::{Network, fits_network};
use serde::{Deserialize, Serialize};

/// Longest value, in bytes: the longest DNS name (253, RFC 1035 §2.3.4) and no more than a
/// terminal line or two.
pub const VALUE_BYTES_MAX: usize = 255;
/// Most resolvers: the C library asks no more than three (resolv.conf(5), MAXNS).
pub const RESOLVERS_MAX: usize = 3;
/// Most time servers: with four, one that lies is outvoted (RFC 5905 §11.2.1).
pub const TIME_SERVERS_MAX: usize = 4;
/// Most characters of a common name (X.520, ub-common-name).
pub const COMMON_NAME_CHARS_MAX: usize = 64;

/// One setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its name for ever, in files, prompts and records.
    pub id: &'static str,
    /// What a prompt calls it.
    pub title: &'static str,
    /// What `?` says at the prompt: what it does, and what may be entered.
    pub help: &'static str,
    /// What values it takes.
    pub kind: Kind,
    /// What holds while nothing is set; `None` where nothing sensible could.
    pub default: Option<&'static str>,
    /// Whose it is.
    pub scope: Scope,
    /// What an administrator needs to change it.
    pub permission: Permission,
    /// The format of records that brought it.
    pub format: u32,
}

impl Setting {
    /// Whether the first-run dialogue asks for it. What came later has a default that serves, and
    /// a dialogue that grows is not read; the set-up file takes every setting.
    pub const fn is_asked(&self) -> bool {
        self.format == FIRST_FORMAT
    }
}

/// The format that brought the first settings.
const FIRST_FORMAT: u32 = 3;

/// Setting of approved-algorithms mode.
pub const APPROVED: &str = "approved";

/// Where the status port listens.
pub const STATUS_LISTEN: &str = "status.listen";

/// The settings that say where a service listens.
pub const LISTENERS: [&str; 5] = [
    "kmip.listen",
    "web.listen",
    "cluster.listen",
    "ssh.listen",
    STATUS_LISTEN,
];

/// Whose a setting is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Each node has its own.
    Node,
    /// All nodes share one.
    Cluster,
}

/// What values a setting takes. *May be empty* means that `none` is understood too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One label of a host name (RFC 1123 §2.1), in lower case.
    HostLabel,
    /// Labels joined by dots, in lower case; may be empty.
    DnsSuffix,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// IPv4 address of a host with its prefix length, `192.0.2.10/24`.
    Interface4,
    /// IPv4 address of another host; may be empty.
    Gateway4,
    /// VLAN identifier 1 to 4094 (IEEE 802.1Q §9.6); may be empty.
    Vlan,
    /// IPv6 address of a host with its prefix length, `2001:db8::10/64`.
    Interface6,
    /// IPv6 address of another host; may be empty.
    Gateway6,
    /// Up to [`RESOLVERS_MAX`] addresses, joined by `, `; may be empty.
    Resolvers,
    /// Name of a zone of the tz database, or `UTC`.
    TimeZone,
    /// Up to [`TIME_SERVERS_MAX`] host names or addresses, joined by `, `; may be empty.
    TimeServers,
    /// Address and port on which a service listens.
    Listener,
    /// Address and port on which a service listens that may be off; may be empty.
    Door,
    /// Common name of a certificate authority; may be empty.
    CommonName,
    /// A whole number between two others, both included, without leading zeros.
    Number(u32, u32),
}

/// A setting and what it is to be.
///
/// *Warning:* stored in the Raft log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingValue {
    /// Which.
    pub id: String,
    /// In canonical form ([`Setting::check`]).
    pub value: String,
}

/// Every setting, in the order in which the first-run dialogue asks for those that it asks for.
pub const TABLE: &[Setting] = &[
    Setting {
        id: "hostname",
        title: "Host name",
        help: "Name of this node, one label: letters, digits and hyphens, at most 63.\n\
               With the domain it is the fully qualified name in certificates.\n\
               Example: keys-1",
        kind: Kind::HostLabel,
        default: Some("strongroom"),
        scope: Scope::Node,
        permission: Permission::Network,
        format: FIRST_FORMAT,
    },
    Setting {
        id: "domain",
        title: "DNS domain",
        help: "Domain of this node; host name and domain together are its full name.\n\
               Example: example.org; none leaves it empty.",
        kind: Kind::DnsSuffix,
        default: Some(""),
        scope: Scope::Node,
        permission: Permission::Network,
        format: FIRST_FORMAT,
    },
    ipv4("eth0.ipv4", "dhcp"),
    address4("eth0.address"),
    gateway4("eth0.gateway"),
    vlan("eth0.vlan"),
    ipv6("eth0.ipv6"),
    address6("eth0.ipv6.address"),
    gateway6("eth0.ipv6.gateway"),
    ipv4("eth1.ipv4", "off"),
    address4("eth1.address"),
    gateway4("eth1.gateway"),
    vlan("eth1.vlan"),
    ipv6("eth1.ipv6"),
    address6("eth1.ipv6.address"),
    gateway6("eth1.ipv6.gateway"),
    Setting {
        id: "outgoing",
        title: "Outgoing interface",
        help: "The interface whose gateway is the default route. The gateway of the other one\n\
               serves answers to what came in there.\n\
               eth0 or eth1",
        kind: Kind::Choice(&["eth0", "eth1"]),
        default: Some("eth0"),
        scope: Scope::Node,
        permission: Permission::Network,
        format: FIRST_FORMAT,
    },
    Setting {
        id: "dns",
        title: "DNS servers",
        help: "Up to three addresses, with commas or spaces between them.\n\
               Empty: those that DHCP gives, if any. none leaves it empty.\n\
               Example: 192.0.2.53, 2001:db8::53",
        kind: Kind::Resolvers,
        default: Some(""),
        scope: Scope::Node,
        permission: Permission::Network,
        format: FIRST_FORMAT,
    },
    Setting {
        id: "timezone",
        title: "Time zone",
        help: "Zone in which the console shows times; records and logs are in UTC always.\n\
               Area/City as in the tz database, or UTC. Example: Europe/Berlin",
        kind: Kind::TimeZone,
        default: Some("UTC"),
        scope: Scope::Node,
        permission: Permission::Network,
        format: FIRST_FORMAT,
    },
    Setting {
        id: "ntp",
        title: "Time servers (NTP)",
        help: "Up to four host names or addresses, with commas or spaces between them.\n\
               Empty: the clock of the machine is trusted. none leaves it empty.\n\
               Example: ntp1.example.org, 192.0.2.123",
        kind: Kind::TimeServers,
        default: Some(""),
        scope: Scope::Node,
        permission: Permission::Network,
        format: FIRST_FORMAT,
    },
    Setting {
        id: APPROVED,
        title: "Approved algorithms only",
        help: "yes refuses every algorithm that FIPS 140-3 does not approve, on all nodes.\n\
               yes or no",
        kind: Kind::Choice(&["yes", "no"]),
        default: Some("no"),
        scope: Scope::Cluster,
        permission: Permission::AdvancedSecurity,
        format: FIRST_FORMAT,
    },
    listener("kmip.listen", "KMIP listens on", "0.0.0.0:5696"),
    listener("web.listen", "Web and REST listen on", "0.0.0.0:9443"),
    listener("cluster.listen", "Other nodes are heard on", "0.0.0.0:9001"),
    Setting {
        id: "ssh.listen",
        title: "SSH listens on",
        help: "Address and port of the command line for administrators at other machines.\n\
               0.0.0.0 is every IPv4 address of this node, [::] every address; none keeps the\n\
               door shut. Sessions that are open go on when it changes.\n\
               Example: 192.0.2.10:22, or [2001:db8::10]:22",
        kind: Kind::Door,
        default: Some("0.0.0.0:22"),
        scope: Scope::Node,
        permission: Permission::Services,
        format: DOORS_FORMAT,
    },
    Setting {
        id: "ca.subject",
        title: "Name of the Local CA",
        help: "Common name of the authority that issues the certificates of clients, at most 64\n\
               characters. Empty: made from the identity of the cluster. none leaves it empty.\n\
               Example: Example Ltd key management CA",
        kind: Kind::CommonName,
        default: Some(""),
        scope: Scope::Cluster,
        permission: Permission::CertificateAuthorities,
        format: FIRST_FORMAT,
    },
    password(
        "password.length",
        "Fewest characters of a password",
        "Passwords of administrators have so many characters at least. Length counts for more\n\
         than special signs.\n\
         8 to 128",
        Kind::Number(8, 128),
        "12",
    ),
    password(
        "password.strength",
        "Strength of a password",
        "What a password of an administrator must reach on the scale of zxcvbn, which tries\n\
         words, names, dates and patterns as somebody who guesses would: 3 withstands 10^8\n\
         guesses, 4 withstands 10^10.\n\
         0 to 4",
        Kind::Number(0, 4),
        "3",
    ),
    password(
        "password.history",
        "Earlier passwords that are not taken again",
        "An administrator's new password is none of so many earlier ones, nor the present one.\n\
         0 to 24",
        Kind::Number(0, PASSWORD_HISTORY_MAX),
        "5",
    ),
    password(
        "password.age",
        "Days until a password must be changed",
        "After so many days an administrator changes the password before anything else. 0 is\n\
         never, as NIST SP 800-63B advises.\n\
         0 to 3650",
        Kind::Number(0, 3_650),
        "0",
    ),
    rotation(View::System, "The log System is closed", "weekly"),
    rotation(View::Audit, "The log Audit is closed", "weekly"),
    rotation(View::Activity, "The log Activity is closed", "daily"),
    rotation(View::Client, "The log Client Event is closed", "daily"),
    log_number(
        "log.size",
        "MiB of records after which a log is closed",
        "A log is closed early when its new records have so many MiB together.\n\
         1 to 1024",
        Kind::Number(1, 1_024),
        "20",
    ),
    log_number(
        "log.keep",
        "Closed logs that are kept",
        "So many closed logs of each kind stay on the node after every destination has them; the\n\
         oldest goes first. The records themselves stay in the log for ever.\n\
         1 to 1000",
        Kind::Number(1, 1_000),
        "10",
    ),
    log_number(
        "log.backlog",
        "Closed logs that may wait before the alarm",
        "When more closed logs of one kind wait for a destination, health and figures say so.\n\
         1 to 4096",
        Kind::Number(1, 4_096),
        "3",
    ),
    Setting {
        format: DOORS_FORMAT,
        ..listener(STATUS_LISTEN, "Status port listens on", "0.0.0.0:9081")
    },
    service("services.kmip", "KMIP port"),
    service("services.web", "Web port"),
    service("services.ssh", "SSH port"),
    service("services.status", "Status port"),
];

/// The settings that say how often a log is closed, by view.
pub const fn rotation_id(view: View) -> &'static str {
    match view {
        View::System => "log.system.rotate",
        View::Audit => "log.audit.rotate",
        View::Activity => "log.activity.rotate",
        View::Client => "log.client.rotate",
    }
}

/// Whether a service is open to those outside. The serial console has no such setting: there it is
/// mended.
const fn service(id: &'static str, title: &'static str) -> Setting {
    Setting {
        id,
        title,
        help: "off closes it on this node, also after a restart; services stop and services start\n\
               set it. The serial console is always open.\n\
               on or off",
        kind: Kind::Choice(&["on", "off"]),
        default: Some("on"),
        scope: Scope::Node,
        permission: Permission::Services,
        format: DOORS_FORMAT,
    }
}

/// How often a log is closed.
const RHYTHMS: &[&str] = &["hourly", "daily", "weekly", "monthly", "never"];

const fn rotation(view: View, title: &'static str, default: &'static str) -> Setting {
    Setting {
        id: rotation_id(view),
        title,
        help: "A closed log is signed and sent to the transfer destinations. never leaves it to\n\
               its size, and to log rotate.\n\
               hourly, daily, weekly, monthly or never",
        kind: Kind::Choice(RHYTHMS),
        default: Some(default),
        scope: Scope::Cluster,
        permission: Permission::Logging,
        format: DOORS_FORMAT,
    }
}

const fn log_number(
    id: &'static str,
    title: &'static str,
    help: &'static str,
    kind: Kind,
    default: &'static str,
) -> Setting {
    Setting {
        id,
        title,
        help,
        kind,
        default: Some(default),
        scope: Scope::Cluster,
        permission: Permission::Logging,
        format: DOORS_FORMAT,
    }
}

/// Most earlier passwords that are kept to compare with: each costs a try of Argon2id when a
/// password is changed, 0.2 s.
pub const PASSWORD_HISTORY_MAX: u32 = 24;

const fn password(
    id: &'static str,
    title: &'static str,
    help: &'static str,
    kind: Kind,
    default: &'static str,
) -> Setting {
    Setting {
        id,
        title,
        help,
        kind,
        default: Some(default),
        scope: Scope::Cluster,
        permission: Permission::AdvancedSecurity,
        format: PERMISSIONS_FORMAT,
    }
}

const fn ipv4(id: &'static str, default: &'static str) -> Setting {
    Setting {
        id,
        title: "IPv4",
        help: "How this interface gets its IPv4 address: dhcp asks a server, static takes what\n\
               is entered next, off has none.\n\
               dhcp, static or off",
        kind: Kind::Choice(&["dhcp", "static", "off"]),
        default: Some(default),
        scope: Scope::Node,
        permission: Permission::Network,
        format: FIRST_FORMAT,
    }
}

const fn address4(id: &'static str) -> Setting {
    Setting {
        id,
        title: "IPv4 address and prefix length",
        help: "Address of this node with the length of the network prefix (1 to 30) or the mask.\n\
               Example: 192.0.2.10/24, or 192.0.2.10 255.255.255.0",
        kind: Kind::Interface4,
        default: None,
        scope: Scope::Node,
        permission: Permission::Network,
        format: FIRST_FORMAT,
    }
}

const fn gateway4(id: &'static str) -> Setting {
    Setting {
        id,
        title: "IPv4 gateway",
        help: "Router of the network of this interface; none when there is none.\n\
               Example: 192.0.2.1",
        kind: Kind::Gateway4,
        default: Some(""),
        scope: Scope::Node,
        permission: Permission::Network,
        format: FIRST_FORMAT,
    }
}

const fn vlan(id: &'static str) -> Setting {
    Setting {
        id,
        title: "VLAN",
        help: "Number of the tagged VLAN, 1 to 4094; none for untagged frames.\n\
               Example: 120",
        kind: Kind::Vlan,
        default: Some(""),
        scope: Scope::Node,
        permission: Permission::Network,
        format: FIRST_FORMAT,
    }
}

const fn ipv6(id: &'static str) -> Setting {
    Setting {
        id,
        title: "IPv6",
        help: "How this interface gets its IPv6 address: auto listens to routers, static takes\n\
               what is entered next, off has none.\n\
               off, auto or static",
        kind: Kind::Choice(&["off", "auto", "static"]),
        default: Some("off"),
        scope: Scope::Node,
        permission: Permission::Network,
        format: FIRST_FORMAT,
    }
}

const fn address6(id: &'static str) -> Setting {
    Setting {
        id,
        title: "IPv6 address and prefix length",
        help: "Address of this node with the length of the network prefix (1 to 127).\n\
               Example: 2001:db8::10/64",
        kind: Kind::Interface6,
        default: None,
        scope: Scope::Node,
        permission: Permission::Network,
        format: FIRST_FORMAT,
    }
}

const fn gateway6(id: &'static str) -> Setting {
    Setting {
        id,
        title: "IPv6 gateway",
        help: "Router of the network of this interface; none when there is none.\n\
               Example: 2001:db8::1, or fe80::1",
        kind: Kind::Gateway6,
        default: Some(""),
        scope: Scope::Node,
        permission: Permission::Network,
        format: FIRST_FORMAT,
    }
}

const fn listener(id: &'static str, title: &'static str, default: &'static str) -> Setting {
    Setting {
        id,
        title,
        help: "Address and port. 0.0.0.0 is every IPv4 address of this node, [::] every address.\n\
               Example: 192.0.2.10:5696, or [2001:db8::10]:5696",
        kind: Kind::Listener,
        default: Some(default),
        scope: Scope::Node,
        permission: Permission::Services,
        format: FIRST_FORMAT,
    }
}

/// The setting of an id.
pub fn find(id: &str) -> Option<&'static Setting> {
    TABLE.iter().find(|setting| setting.id == id)
}

/// The parts of a canonical value that lists several.
pub fn items(value: &str) -> impl Iterator<Item = &str> {
    value.split(", ").filter(|item| !item.is_empty())
}

impl Setting {
    /// The canonical form of a value.
    ///
    /// # Errors
    /// What is wrong with it and what is expected, with an example: one line for people, without
    /// the id.
    pub fn check(&self, value: &str) -> Result<String, String> {
        canonical::check(self.kind, value)
    }
}

/// Checks values that must fit each other; each alone was checked before. `get` gives the value of
/// an id, or its default.
///
/// # Errors
/// The id at fault and what is wrong: one line for people.
pub fn check_together<'a>(get: impl Fn(&str) -> Option<&'a str>) -> Result<(), String> {
    let value = |id: &str| get(id).unwrap_or_default();
    for [mode, address, gateway] in [
        ["eth0.ipv4", "eth0.address", "eth0.gateway"],
        ["eth0.ipv6", "eth0.ipv6.address", "eth0.ipv6.gateway"],
        ["eth1.ipv4", "eth1.address", "eth1.gateway"],
        ["eth1.ipv6", "eth1.ipv6.address", "eth1.ipv6.gateway"],
    ] {
        if value(mode) != "static" {
            continue;
        }
        if value(address).is_empty() {
            return Err(format!("{address}: {mode} is static and needs an address"));
        }
        fits_network(value(gateway), value(address)).map_err(|why| format!("{gateway}: {why}"))?;
    }
    let is_off = |nic: &str| {
        let off = |family: &str| value(&format!("{nic}.{family}")) == "off";
        off("ipv4") && off("ipv6")
    };
    let outgoing = value("outgoing");
    if is_off(outgoing) && !(is_off("eth0") && is_off("eth1")) {
        return Err(format!("outgoing: {outgoing} is off; choose the other one"));
    }
    check_listeners(get)
}

/// Two services cannot listen on one port of one address. One whose address is not given is not
/// known to all members yet.
fn check_listeners<'a>(get: impl Fn(&str) -> Option<&'a str>) -> Result<(), String> {
    let mut ids = LISTENERS.as_slice();
    while let Some((one, others)) = ids.split_first() {
        for other in others {
            let (Some(a), Some(b)) = (get(one), get(other)) else {
                continue;
            };
            if Network::listeners_meet(a, b) {
                return Err(format!(
                    "{other}: {b} is taken by {one} ({a}); choose another port or address"
                ));
            }
        }
        ids = others;
    }
    Ok(())
}
