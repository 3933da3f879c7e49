//! One canonical form for each value, or a reason why a text is none.

use super::{COMMON_NAME_CHARS_MAX, Kind, RESOLVERS_MAX, TIME_SERVERS_MAX, VALUE_BYTES_MAX};
use crate::attribute::shape;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Longest label of a DNS name, in bytes (RFC 1035 §2.3.4).
const LABEL_BYTES_MAX: usize = 63;
/// Longest DNS name, in bytes.
const NAME_BYTES_MAX: usize = 253;
/// Longest domain, in bytes: a label and a dot stand before it.
const SUFFIX_BYTES_MAX: usize = NAME_BYTES_MAX - LABEL_BYTES_MAX - 1;
/// Longest name of a time zone; the tz database has none above 32.
const ZONE_BYTES_MAX: usize = 64;
/// Parts of the name of a time zone: `America/Argentina/Ushuaia`.
const ZONE_PARTS_MAX: usize = 3;
/// What says that a value is empty, where Enter alone means the default.
const NONE: &str = "none";

/// The canonical form of a value of a kind.
pub(super) fn check(kind: Kind, value: &str) -> Result<String, String> {
    if value.len() > VALUE_BYTES_MAX {
        let bytes = value.len();
        return Err(format!(
            "{bytes} bytes are too long; at most {VALUE_BYTES_MAX} are kept"
        ));
    }
    if let Some(c) = value.chars().find(|c| shape::is_forbidden(*c)) {
        let code = u32::from(c);
        return Err(format!(
            "character U+{code:04X} is not allowed; enter one line of plain text"
        ));
    }
    let value = value.trim();
    let empty = value.is_empty() || value.eq_ignore_ascii_case(NONE);
    if may_be_empty(kind) && empty {
        return Ok(String::new());
    }
    match kind {
        Kind::HostLabel => label(value, "keys-1"),
        Kind::DnsSuffix => suffix(value),
        Kind::Choice(words) => choice(value, words),
        Kind::Interface4 => interface4(value),
        Kind::Gateway4 => gateway4(value),
        Kind::Vlan => vlan(value),
        Kind::Interface6 => interface6(value),
        Kind::Gateway6 => gateway6(value),
        Kind::Resolvers => list(value, RESOLVERS_MAX, "192.0.2.53, 2001:db8::53", resolver),
        Kind::TimeZone => time_zone(value),
        Kind::TimeServers => list(
            value,
            TIME_SERVERS_MAX,
            "ntp1.example.org, 192.0.2.123",
            time_server,
        ),
        Kind::Listener | Kind::Door => listener(value),
        Kind::CommonName => common_name(value),
        Kind::Number(min, max) => between(value, min, max),
    }
}

const fn may_be_empty(kind: Kind) -> bool {
    match kind {
        Kind::DnsSuffix
        | Kind::Gateway4
        | Kind::Vlan
        | Kind::Gateway6
        | Kind::Resolvers
        | Kind::TimeServers
        | Kind::Door
        | Kind::CommonName => true,
        Kind::HostLabel
        | Kind::Choice(_)
        | Kind::Interface4
        | Kind::Interface6
        | Kind::TimeZone
        | Kind::Listener
        | Kind::Number(..) => false,
    }
}

/// One label of a name (RFC 1123 §2.1).
fn label(text: &str, example: &str) -> Result<String, String> {
    let why = if text.is_empty() {
        "a name is needed"
    } else if text.len() > LABEL_BYTES_MAX {
        "a label has at most 63 characters"
    } else if text.contains('.') && example.find('.').is_none() {
        "this is one label; the rest of the name is the domain"
    } else if !text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
        "only letters, digits and hyphens are allowed"
    } else if text.starts_with('-') || text.ends_with('-') {
        "a label neither begins nor ends with a hyphen"
    } else {
        return Ok(text.to_ascii_lowercase());
    };
    Err(format!("\"{text}\": {why}, for example {example}"))
}

/// A name of one or more labels. The last one is not all digits, or it would be half an address.
fn dns_name(text: &str, bytes_max: usize, example: &str) -> Result<String, String> {
    let text = text.strip_suffix('.').unwrap_or(text);
    if text.len() > bytes_max {
        return Err(format!(
            "a name has at most {bytes_max} characters, for example {example}"
        ));
    }
    let labels: Vec<String> = text
        .split('.')
        .map(|part| label(part, example))
        .collect::<Result<_, _>>()?;
    let digits = |label: &String| label.chars().all(|c| c.is_ascii_digit());
    if labels.last().is_some_and(digits) {
        return Err(format!(
            "\"{text}\": no name ends with a number, for example {example}"
        ));
    }
    Ok(labels.join("."))
}

fn suffix(text: &str) -> Result<String, String> {
    dns_name(text, SUFFIX_BYTES_MAX, "example.org")
}

/// One of some words; their beginning is enough when only one begins so.
fn choice(text: &str, words: &[&str]) -> Result<String, String> {
    let lower = text.to_ascii_lowercase();
    let mut fitting = words.iter().filter(|word| word.starts_with(&lower));
    match (lower.is_empty(), fitting.next(), fitting.next()) {
        (false, Some(word), None) => Ok((*word).to_string()),
        _ => Err(format!("\"{text}\": choose {}", words.join(" or "))),
    }
}

/// What no host can have as its own or as a neighbour's address.
fn check_host4(address: Ipv4Addr) -> Result<(), &'static str> {
    match address.octets() {
        [0, ..] => Err("addresses that begin with 0 are no hosts"),
        [127, ..] => Err("this is a loopback address"),
        [224..=239, ..] => Err("this is a multicast address"),
        [240..=255, ..] => Err("this is a reserved or broadcast address"),
        _ => Ok(()),
    }
}

fn check_host6(address: Ipv6Addr) -> Result<(), &'static str> {
    if address.is_unspecified() {
        Err(":: is no host")
    } else if address.is_loopback() {
        Err("this is a loopback address")
    } else if address.is_multicast() {
        Err("this is a multicast address")
    } else if address.to_ipv4_mapped().is_some() {
        Err("this is an IPv4 address in IPv6 form")
    } else {
        Ok(())
    }
}

fn check_host(address: IpAddr) -> Result<(), &'static str> {
    match address {
        IpAddr::V4(v4) => check_host4(v4),
        IpAddr::V6(v6) => check_host6(v6),
    }
}

/// Digits only: `parse` would take a plus sign too.
fn number(text: &str) -> Option<u16> {
    let digits = !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

/// The prefix length that a mask stands for.
fn prefix_of_mask(text: &str) -> Option<u16> {
    let mask = u32::from(text.parse::<Ipv4Addr>().ok()?);
    let ones = mask.leading_ones();
    (mask.count_ones() == ones).then(|| u16::try_from(ones).ok())?
}

/// An address with the network it lies in.
pub(super) struct Network {
    address: u128,
    /// Bits of the address that number the host.
    host_bits: u32,
    is_v6: bool,
}

impl Network {
    fn new(address: IpAddr, prefix: u16) -> Self {
        let (bits, width, is_v6) = match address {
            IpAddr::V4(v4) => (u128::from(u32::from(v4)), 32, false),
            IpAddr::V6(v6) => (u128::from(v6), 128, true),
        };
        Self {
            address: bits,
            host_bits: u32::saturating_sub(width, u32::from(prefix)),
            is_v6,
        }
    }

    /// Reads a canonical address with prefix.
    fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = text.split_once('/')?;
        Some(Self::new(address.parse().ok()?, number(prefix)?))
    }

    /// Ones where the host is numbered.
    fn host_mask(&self) -> u128 {
        1u128
            .checked_shl(self.host_bits)
            .map_or(u128::MAX, |bit| bit - 1)
    }

    /// Whether the host part is all zeros: the network itself, or any router of it (RFC 4291
    /// §2.6.1).
    fn is_network(&self) -> bool {
        self.address & self.host_mask() == 0
    }

    fn is_broadcast(&self) -> bool {
        self.address & self.host_mask() == self.host_mask()
    }

    fn contains(&self, other: &Self) -> bool {
        self.is_v6 == other.is_v6 && (self.address ^ other.address) & !self.host_mask() == 0
    }

    /// Whether two listeners want the same port of the same address. A wildcard is every address:
    /// of both families when it is `[::]`.
    pub(super) fn listeners_meet(one: &str, other: &str) -> bool {
        let (Ok(one), Ok(other)) = (one.parse::<SocketAddr>(), other.parse::<SocketAddr>()) else {
            return false;
        };
        let covers = |wild: &SocketAddr, other: &SocketAddr| {
            wild.ip().is_unspecified() && (wild.is_ipv6() || other.is_ipv4())
        };
        one.port() == other.port()
            && (one.ip() == other.ip() || covers(&one, &other) || covers(&other, &one))
    }
}

/// Checks that a gateway, if there is one, is a neighbour of an address with prefix.
pub(super) fn fits_network(gateway: &str, address: &str) -> Result<(), String> {
    let (Ok(router), Some(own)) = (gateway.parse::<IpAddr>(), Network::parse(address)) else {
        return Ok(());
    };
    // A router may be known by its link-local address alone (RFC 4861 §4.2).
    if matches!(router, IpAddr::V6(v6) if v6.is_unicast_link_local()) {
        return Ok(());
    }
    let prefix = if own.is_v6 { 128 } else { 32 };
    let neighbour = Network::new(router, prefix);
    if neighbour.address == own.address {
        return Err(format!(
            "{gateway} is the address of this node; enter its router's"
        ));
    }
    if !own.contains(&neighbour) {
        return Err(format!("{gateway} is not in the network of {address}"));
    }
    Ok(())
}

fn interface4(text: &str) -> Result<String, String> {
    let wrong = |why: &str| {
        Err(format!(
            "\"{text}\": {why}; enter address and prefix length, for example 192.0.2.10/24"
        ))
    };
    let (address, length) = match text.split_once('/') {
        Some((address, prefix)) => (address, number(prefix)),
        None => match text.split_once(' ') {
            Some((address, mask)) => (address, prefix_of_mask(mask.trim())),
            None => return wrong("the prefix length is missing"),
        },
    };
    let Ok(address) = address.trim().parse::<Ipv4Addr>() else {
        return wrong("this is no IPv4 address");
    };
    let Some(prefix @ 1..=30) = length else {
        return wrong("the prefix length is no number from 1 to 30, nor a mask of such");
    };
    if let Err(why) = check_host4(address) {
        return wrong(why);
    }
    let network = Network::new(IpAddr::V4(address), prefix);
    if network.is_network() {
        return wrong("this is the address of the network, not of a host");
    }
    if network.is_broadcast() {
        return wrong("this is the broadcast address of the network");
    }
    Ok(format!("{address}/{prefix}"))
}

fn interface6(text: &str) -> Result<String, String> {
    let wrong = |why: &str| {
        let example = "2001:db8::10/64";
        Err(format!(
            "\"{text}\": {why}; enter address and prefix length, for example {example}"
        ))
    };
    let Some((address, prefix)) = text.split_once('/') else {
        return wrong("the prefix length is missing");
    };
    let Ok(address) = address.trim().parse::<Ipv6Addr>() else {
        return wrong("this is no IPv6 address");
    };
    let Some(prefix @ 1..=127) = number(prefix.trim()) else {
        return wrong("the prefix length is no number from 1 to 127");
    };
    if let Err(why) = check_host6(address) {
        return wrong(why);
    }
    if address.is_unicast_link_local() {
        return wrong("link-local addresses are made by the interface itself");
    }
    // Between two routers /127 has no address for all routers (RFC 6164 §6).
    if prefix < 127 && Network::new(IpAddr::V6(address), prefix).is_network() {
        return wrong("this is the address of the network, not of a host");
    }
    Ok(format!("{address}/{prefix}"))
}

fn gateway4(text: &str) -> Result<String, String> {
    let wrong = |why: &str| Err(format!("\"{text}\": {why}, for example 192.0.2.1, or none"));
    match text.parse::<Ipv4Addr>() {
        Err(_) => wrong("enter an IPv4 address"),
        Ok(address) => match check_host4(address) {
            Err(why) => wrong(why),
            Ok(()) => Ok(address.to_string()),
        },
    }
}

fn gateway6(text: &str) -> Result<String, String> {
    let wrong = |why: &str| Err(format!("\"{text}\": {why}, for example fe80::1, or none"));
    if text.contains('%') {
        return wrong("enter it without the name of the interface");
    }
    match text.parse::<Ipv6Addr>() {
        Err(_) => wrong("enter an IPv6 address"),
        Ok(address) => match check_host6(address) {
            Err(why) => wrong(why),
            Ok(()) => Ok(address.to_string()),
        },
    }
}

fn vlan(text: &str) -> Result<String, String> {
    match number(text) {
        Some(id @ 1..=4094) => Ok(id.to_string()),
        _ => Err(format!(
            "\"{text}\": enter a number from 1 to 4094, for example 120, or none"
        )),
    }
}

/// Several items with commas or spaces between them, each once.
fn list(
    text: &str,
    max: usize,
    example: &str,
    item: fn(&str) -> Result<String, String>,
) -> Result<String, String> {
    let parts = text.split([',', ' ']).filter(|part| !part.is_empty());
    let mut items: Vec<String> = Vec::new();
    for part in parts {
        let item = item(part).map_err(|why| format!("{why}, for example {example}, or none"))?;
        if items.contains(&item) {
            return Err(format!("{item} is given twice; give each once"));
        }
        items.push(item);
    }
    match items.len() {
        0 => Err(format!(
            "\"{text}\": nothing is named, for example {example}, or none"
        )),
        n if n > max => Err(format!("{n} are too many; at most {max} are asked")),
        _ => Ok(items.join(", ")),
    }
}

fn resolver(text: &str) -> Result<String, String> {
    let Ok(address) = text.parse::<IpAddr>() else {
        return Err(format!("\"{text}\": this is no address"));
    };
    check_host(address).map_err(|why| format!("\"{text}\": {why}"))?;
    Ok(address.to_string())
}

fn time_server(text: &str) -> Result<String, String> {
    match text.parse::<IpAddr>() {
        Ok(_) => resolver(text),
        Err(_) => dns_name(text, NAME_BYTES_MAX, "ntp1.example.org")
            .map_err(|_| format!("\"{text}\": this is neither a host name nor an address")),
    }
}

fn time_zone(text: &str) -> Result<String, String> {
    if text.eq_ignore_ascii_case("utc") {
        return Ok("UTC".to_string());
    }
    let parts: Vec<&str> = text.split('/').collect();
    let part = |part: &&str| {
        part.starts_with(|c: char| c.is_ascii_alphabetic())
            && part
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '+'))
    };
    let count = (2..=ZONE_PARTS_MAX).contains(&parts.len());
    if count && text.len() <= ZONE_BYTES_MAX && parts.iter().all(part) {
        return Ok(text.to_string());
    }
    Err(format!(
        "\"{text}\": enter Area/City, for example Europe/Berlin, or UTC"
    ))
}

fn listener(text: &str) -> Result<String, String> {
    let wrong = |why: &str| {
        let example = "0.0.0.0:5696, or [::]:5696";
        Err(format!(
            "\"{text}\": {why}; enter address and port, for example {example}"
        ))
    };
    let Ok(address) = text.parse::<SocketAddr>() else {
        return wrong("this is no address with a port");
    };
    if matches!(address, SocketAddr::V6(v6) if v6.scope_id() != 0) {
        return wrong("the number of an interface cannot be given");
    }
    if address.port() == 0 {
        return wrong("the port is a number from 1 to 65535");
    }
    let ip = address.ip();
    let is_host = !ip.is_unspecified() && !ip.is_loopback();
    if let (true, Err(why)) = (is_host, check_host(ip)) {
        return wrong(why);
    }
    Ok(address.to_string())
}

fn common_name(text: &str) -> Result<String, String> {
    let chars = text.chars().count();
    if chars > COMMON_NAME_CHARS_MAX {
        return Err(format!(
            "{chars} characters are too many; at most {COMMON_NAME_CHARS_MAX}, \
             for example Example Ltd key management CA, or none"
        ));
    }
    Ok(text.to_string())
}

fn between(text: &str, min: u32, max: u32) -> Result<String, String> {
    match number(text).map(u32::from) {
        Some(number) if (min..=max).contains(&number) => Ok(number.to_string()),
        _ => Err(format!("\"{text}\": enter a number from {min} to {max}")),
    }
}
