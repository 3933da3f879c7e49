//! What the kernel should hold: addresses, routes and rules, computed from settings and leases.
//!
//! Answers leave by the interface they came in on. So each interface has a routing table of its
//! own, with its subnet and its gateway, and a rule leads packets *from* its address there. The
//! main table holds one default route, that of the outgoing interface, for what this machine begins
//! itself. Router advertisements (IPv6 `auto`) are the kernel's business: it keeps their addresses
//! and routes, in the main table, and a default route from them only for the outgoing interface.

use crate::dhcp::message::Lease;
use crate::settings::{Interface, Ipv4, Ipv6, Settings};
use ipnet::IpNet;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// The kernel's table for everything without a rule (RT_TABLE_MAIN).
pub const TABLE_MAIN: u32 = 254;
/// Table of eth0; eth1 has the next. Below 256, so that every tool shows them.
pub const TABLE_FIRST: u32 = 100;
/// Preference of our rules: after the kernel's local table (0), before its main table (32766).
pub const RULE_PRIORITY: u32 = 1000;

/// Everything that is wanted of the kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Interfaces by name, `eth0` and `eth1`; those that are not here are to be down.
    pub links: BTreeMap<String, Link>,
    /// Routes of ours.
    pub routes: BTreeSet<Route>,
    /// Rules of ours.
    pub rules: BTreeSet<Rule>,
}

/// One interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The device that carries the addresses: the interface itself or its VLAN.
    pub device: String,
    /// The tag of that VLAN.
    pub vlan: Option<u16>,
    /// Bytes, if not the interface's own default.
    pub mtu: Option<u32>,
    /// Addresses with their prefix.
    pub addresses: BTreeSet<IpNet>,
    /// How IPv6 is.
    pub ipv6: Ipv6Mode,
}

/// The kernel's switches for IPv6 on a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ipv6Mode {
    /// Switched off.
    Off,
    /// Only addresses that we set.
    Fixed,
    /// Router advertisements; a default route from them or not.
    Auto {
        /// Whether this is the outgoing interface.
        default_route: bool,
    },
}

/// A route of ours.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Route {
    /// Where it stands.
    pub table: u32,
    /// Where it leads; prefix 0 is everywhere else.
    pub destination: IpNet,
    /// Through whom; `None` on the link itself.
    pub gateway: Option<IpAddr>,
    /// By which device.
    pub device: String,
}

/// A rule of ours: packets from an address use a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rule {
    /// Our address.
    pub from: IpAddr,
    /// The table of its interface.
    pub table: u32,
}

/// The plan for these settings and the leases of the interfaces with DHCP, by name.
#[must_use]
pub fn plan(settings: &Settings, leases: &BTreeMap<String, Lease>) -> Plan {
    let mut plan = Plan::default();
    let outgoing = settings.outgoing().map(|one| one.name.as_str());
    for one in &settings.interfaces {
        let leads_outside = outgoing == Some(one.name.as_str());
        let device = one.device();
        let mut addresses = BTreeSet::new();
        for (address, gateway) in wanted(one, leases.get(&one.name)) {
            addresses.insert(address);
            reach(&mut plan, one, &device, address, gateway, leads_outside);
        }
        let link = Link {
            device,
            vlan: one.vlan,
            mtu: one.mtu,
            addresses,
            ipv6: match one.ipv6 {
                Ipv6::Off => Ipv6Mode::Off,
                Ipv6::Static { .. } => Ipv6Mode::Fixed,
                Ipv6::Auto => Ipv6Mode::Auto {
                    default_route: leads_outside,
                },
            },
        };
        plan.links.insert(one.name.clone(), link);
    }
    plan
}

/// Addresses of an interface, each with its gateway.
fn wanted(one: &Interface, lease: Option<&Lease>) -> Vec<(IpNet, Option<IpAddr>)> {
    let mut all = Vec::new();
    match &one.ipv4 {
        Ipv4::Off => {}
        Ipv4::Dhcp => all.extend(lease.map(|lease| {
            let router = lease.router.map(IpAddr::V4);
            (IpNet::V4(lease.address), router)
        })),
        Ipv4::Static { address, gateway } => {
            all.push((IpNet::V4(*address), gateway.map(IpAddr::V4)));
        }
    }
    if let Ipv6::Static { address, gateway } = &one.ipv6 {
        all.push((IpNet::V6(*address), gateway.map(IpAddr::V6)));
    }
    all
}

/// The routes and the rule of one address.
fn reach(
    plan: &mut Plan,
    one: &Interface,
    device: &str,
    address: IpNet,
    gateway: Option<IpAddr>,
    leads_outside: bool,
) {
    let table = table(&one.name);
    plan.rules.insert(Rule {
        from: address.addr(),
        table,
    });
    let mut add = |table, destination, gateway| {
        plan.routes.insert(Route {
            table,
            destination,
            gateway,
            device: device.to_owned(),
        });
    };
    add(table, address.trunc(), None);
    if let Some(gateway) = gateway {
        add(table, everywhere(address), Some(gateway));
        if leads_outside {
            add(TABLE_MAIN, everywhere(address), Some(gateway));
        }
    }
}

fn everywhere(like: IpNet) -> IpNet {
    match like {
        IpNet::V4(_) => IpNet::V4(ipnet::Ipv4Net::default()),
        IpNet::V6(_) => IpNet::V6(ipnet::Ipv6Net::default()),
    }
}

/// The table of an interface, by the number in its name.
fn table(name: &str) -> u32 {
    let number = name.trim_start_matches(|c: char| !c.is_ascii_digit());
    TABLE_FIRST + number.parse::<u32>().unwrap_or(0)
}

/// Name servers in the order in which they are asked: those of the settings, else those of the
/// leases, the outgoing interface first.
#[must_use]
pub fn dns(settings: &Settings, leases: &BTreeMap<String, Lease>) -> Vec<IpAddr> {
    if !settings.dns.is_empty() {
        return settings.dns.clone();
    }
    let most = crate::settings::DNS_MAX;
    ranked(settings, leases, |lease| &lease.dns, most)
}

/// Time servers that the leases name, the outgoing interface first.
#[must_use]
pub fn dhcp_ntp(settings: &Settings, leases: &BTreeMap<String, Lease>) -> Vec<IpAddr> {
    let most = crate::settings::NTP_MAX;
    ranked(settings, leases, |lease| &lease.ntp, most)
}

fn ranked(
    settings: &Settings,
    leases: &BTreeMap<String, Lease>,
    which: fn(&Lease) -> &Vec<std::net::Ipv4Addr>,
    most: usize,
) -> Vec<IpAddr> {
    let outgoing = settings.outgoing().map(|one| one.name.as_str());
    let first = outgoing.and_then(|name| leases.get(name));
    let others = leases
        .iter()
        .filter(|(name, _)| Some(name.as_str()) != outgoing);
    let mut all = Vec::new();
    for lease in first.into_iter().chain(others.map(|(_, lease)| lease)) {
        for address in which(lease) {
            if all.len() < most && !all.contains(&IpAddr::V4(*address)) {
                all.push(IpAddr::V4(*address));
            }
        }
    }
    all
}
