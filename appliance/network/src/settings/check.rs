//! The rules that settings keep, one function each, with the words of their refusals.

use super::{
    DNS_MAX, INTERFACES_MAX, Interface, Ipv4, Ipv6, NTP_MAX, Settings, SettingsError, VERSION,
};
use ipnet::{Ipv4Net, Ipv6Net};
use std::fs::File;
use std::io::Read as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Component, Path};

/// Bytes of a label of a host name (RFC 1035 §2.3.4); the kernel's own limit is 64.
const LABEL_BYTES_MAX: usize = 63;
/// Bytes of a whole name as people write it (RFC 1035 §2.3.4, without the length bytes).
const NAME_BYTES_MAX: usize = 253;
/// The smallest packet that every IPv4 host takes (RFC 791 §3.2).
const MTU_MIN: u32 = 576;
/// The smallest packet size of a link with IPv6 (RFC 8200 §5).
const MTU_IPV6_MIN: u32 = 1280;
/// Jumbo frames as switches carry them.
const MTU_MAX: u32 = 9216;
/// Tags 0 and 4095 are reserved (IEEE 802.1Q §9.6).
const VLANS: std::ops::RangeInclusive<u16> = 1..=4094;
/// The longest name in the database has 32 bytes.
const ZONE_BYTES_MAX: usize = 64;

/// Checks settings whole; see [`Settings::check`].
pub(super) fn settings(settings: &Settings, zoneinfo: &Path) -> Result<(), SettingsError> {
    if settings.version != VERSION {
        return Err(SettingsError::Version(settings.version));
    }
    let at = SettingsError::refused;
    hostname(&settings.hostname).map_err(|reason| at("hostname", reason))?;
    if let Some(name) = &settings.fqdn {
        fqdn(name).map_err(|reason| at("fqdn", reason))?;
    }
    interfaces(&settings.interfaces, settings.outgoing.as_deref())?;
    no_more_than(DNS_MAX, &settings.dns).map_err(|reason| at("dns", reason))?;
    for address in &settings.dns {
        server_address(*address).map_err(|reason| at("dns", reason))?;
    }
    no_more_than(NTP_MAX, &settings.ntp).map_err(|reason| at("ntp", reason))?;
    for server in &settings.ntp {
        ntp_server(server).map_err(|reason| at("ntp", reason))?;
    }
    time_zone(&settings.time_zone, zoneinfo).map_err(|reason| at("time_zone", reason))
}

/// The name of this machine: one label (RFC 1123 §2.1).
///
/// # Errors
/// Says what is wrong with it.
pub fn hostname(name: &str) -> Result<(), String> {
    if name.contains('.') {
        return Err(format!(
            "{name:?} has a dot; give the first label here and the whole name as FQDN"
        ));
    }
    label(name).map_err(|reason| format!("{name:?} is no host name: {reason}"))
}

/// A whole name of at least two labels, without a dot at its end.
///
/// # Errors
/// Says what is wrong with it.
pub fn fqdn(name: &str) -> Result<(), String> {
    if name.len() > NAME_BYTES_MAX {
        return Err(format!(
            "the name has {} bytes, more than {NAME_BYTES_MAX}",
            name.len()
        ));
    }
    let labels: Vec<&str> = name.split('.').collect();
    let wrong = |reason: &str| format!("{name:?} is no fully qualified name: {reason}");
    for part in &labels {
        label(part).map_err(|reason| wrong(&reason))?;
    }
    let numeric = |last: &&str| last.bytes().all(|b| b.is_ascii_digit());
    match labels.as_slice() {
        [] | [_] => Err(wrong("it has one label; write it like kms1.example.org")),
        // Something that only looks like an address must not be sent to a name server.
        [.., last] if numeric(last) => Err(wrong("its last label is a number")),
        _ => Ok(()),
    }
}

fn label(label: &str) -> Result<(), String> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    if label.is_empty() {
        return Err("a label is empty".to_owned());
    }
    if label.len() > LABEL_BYTES_MAX {
        return Err(format!(
            "a label has {} bytes, more than {LABEL_BYTES_MAX}",
            label.len()
        ));
    }
    if let Some(other) = label.chars().find(|c| !c.is_ascii() || !allowed(*c as u8)) {
        return Err(format!(
            "{other:?} is not allowed, only letters, digits and hyphens"
        ));
    }
    if label.starts_with('-') || label.ends_with('-') {
        return Err("a label begins or ends with a hyphen".to_owned());
    }
    Ok(())
}

/// The interfaces together, and which of them leads outside.
///
/// # Errors
/// The first value that cannot be.
pub fn interfaces(all: &[Interface], outgoing: Option<&str>) -> Result<(), SettingsError> {
    let at = SettingsError::refused;
    no_more_than(INTERFACES_MAX, all).map_err(|reason| at("interfaces", reason))?;
    for (place, one) in all.iter().enumerate() {
        if all.iter().take(place).any(|other| other.name == one.name) {
            let reason = format!("{} is configured twice; remove one", one.name);
            return Err(at("interfaces", reason));
        }
        interface(one).map_err(|(field, reason)| {
            SettingsError::refused(format!("interfaces.{}.{field}", one.name), reason)
        })?;
    }
    if let [first, second] = all {
        apart(first, second).map_err(|reason| at("interfaces", reason))?;
    }
    outgoing_gateway(all, outgoing).map_err(|reason| at("outgoing", reason))
}

fn interface(one: &Interface) -> Result<(), (&'static str, String)> {
    if !(0..INTERFACES_MAX).any(|place| one.name == format!("eth{place}")) {
        let reason = format!("{:?} is no interface; they are eth0 and eth1", one.name);
        return Err(("name", reason));
    }
    if let Some(id) = one.vlan {
        vlan(id).map_err(|reason| ("vlan", reason))?;
    }
    if let Some(bytes) = one.mtu {
        mtu(bytes, one.ipv6 != Ipv6::Off).map_err(|reason| ("mtu", reason))?;
    }
    if one
        .mac
        .is_some_and(|mac| mac.0 == [0; 6] || mac.0[0] & 1 == 1)
    {
        return Err((
            "mac",
            "it is a group address, not that of a card".to_owned(),
        ));
    }
    if let Ipv4::Static { address, gateway } = &one.ipv4 {
        host_v4(*address).map_err(|reason| ("ipv4.address", reason))?;
        if let Some(gateway) = gateway {
            gateway_v4(*address, *gateway).map_err(|reason| ("ipv4.gateway", reason))?;
        }
    }
    if let Ipv6::Static { address, gateway } = &one.ipv6 {
        host_v6(*address).map_err(|reason| ("ipv6.address", reason))?;
        if let Some(gateway) = gateway {
            gateway_v6(*address, *gateway).map_err(|reason| ("ipv6.gateway", reason))?;
        }
    }
    Ok(())
}

/// The tag of a VLAN.
///
/// # Errors
/// When it is reserved.
pub fn vlan(id: u16) -> Result<(), String> {
    if VLANS.contains(&id) {
        return Ok(());
    }
    Err(format!("VLAN {id} does not exist; they are 1 to 4094"))
}

/// The size of the largest packet in bytes.
///
/// # Errors
/// When hosts or switches would not carry it.
pub fn mtu(bytes: u32, ipv6: bool) -> Result<(), String> {
    let least = if ipv6 { MTU_IPV6_MIN } else { MTU_MIN };
    if (least..=MTU_MAX).contains(&bytes) {
        return Ok(());
    }
    Err(format!("{bytes} bytes; it can be {least} to {MTU_MAX}"))
}

/// An address that a host can have, in a subnet that has room for it.
pub(crate) fn host_v4(net: Ipv4Net) -> Result<(), String> {
    let address = net.addr();
    unicast(IpAddr::V4(address))?;
    if net.prefix_len() == 0 {
        return Err(format!("{net} has prefix 0, which is the whole internet"));
    }
    // A subnet of two (RFC 3021) or one address has no address of its own.
    if net.prefix_len() <= 30 && (address == net.network() || address == net.broadcast()) {
        let which = if address == net.network() {
            "network"
        } else {
            "broadcast"
        };
        return Err(format!(
            "{address} is the {which} address of {}",
            net.trunc()
        ));
    }
    Ok(())
}

fn host_v6(net: Ipv6Net) -> Result<(), String> {
    let address = net.addr();
    unicast(IpAddr::V6(address))?;
    if net.prefix_len() == 0 {
        return Err(format!("{net} has prefix 0, which is the whole internet"));
    }
    if address.is_unicast_link_local() {
        return Err(format!(
            "{address} is link-local; the kernel makes that one"
        ));
    }
    Ok(())
}

/// A gateway that the interface reaches without another gateway.
pub(crate) fn gateway_v4(net: Ipv4Net, gateway: Ipv4Addr) -> Result<(), String> {
    if gateway == net.addr() {
        return Err(format!("{gateway} is this machine's own address"));
    }
    if !net.contains(&gateway) {
        let subnet = net.trunc();
        return Err(format!(
            "{gateway} is not in the subnet {subnet} of this interface"
        ));
    }
    host_v4(Ipv4Net::new_assert(gateway, net.prefix_len()))
}

fn gateway_v6(net: Ipv6Net, gateway: Ipv6Addr) -> Result<(), String> {
    if gateway == net.addr() {
        return Err(format!("{gateway} is this machine's own address"));
    }
    unicast(IpAddr::V6(gateway))?;
    if !net.contains(&gateway) && !gateway.is_unicast_link_local() {
        let subnet = net.trunc();
        return Err(format!(
            "{gateway} is neither in the subnet {subnet} of this interface nor link-local"
        ));
    }
    Ok(())
}

/// An address that one machine can have on a network.
pub(crate) fn unicast(address: IpAddr) -> Result<(), String> {
    let kind = match address {
        a if a.is_unspecified() => "the unspecified address",
        a if a.is_loopback() => "a loopback address",
        a if a.is_multicast() => "a multicast address",
        IpAddr::V4(a) if a.is_broadcast() => "the broadcast address",
        // 0/8 is "this network", 240/4 was never given out (RFC 6890).
        IpAddr::V4(a) if a.octets()[0] == 0 || a.octets()[0] >= 240 => "a reserved address",
        IpAddr::V6(a) if a.to_ipv4_mapped().is_some() => "an IPv4 address written as IPv6",
        _ => return Ok(()),
    };
    Err(format!(
        "{address} is {kind}; give the address of one machine"
    ))
}

/// Two interfaces in one subnet: nobody could say by which of them an answer leaves.
fn apart(first: &Interface, second: &Interface) -> Result<(), String> {
    if let (Ipv4::Static { address: a, .. }, Ipv4::Static { address: b, .. }) =
        (&first.ipv4, &second.ipv4)
        && (a.contains(&b.network()) || b.contains(&a.network()))
    {
        return Err(overlap(first, second, &a.trunc(), &b.trunc()));
    }
    if let (Ipv6::Static { address: a, .. }, Ipv6::Static { address: b, .. }) =
        (&first.ipv6, &second.ipv6)
        && (a.contains(&b.network()) || b.contains(&a.network()))
    {
        return Err(overlap(first, second, &a.trunc(), &b.trunc()));
    }
    Ok(())
}

fn overlap(
    first: &Interface,
    second: &Interface,
    a: &dyn std::fmt::Display,
    b: &dyn std::fmt::Display,
) -> String {
    format!(
        "the subnets {a} of {} and {b} of {} overlap; give each interface its own",
        first.name, second.name
    )
}

fn outgoing_gateway(all: &[Interface], outgoing: Option<&str>) -> Result<(), String> {
    let able = all.iter().filter(|one| one.may_have_gateway()).count();
    match outgoing {
        None if able > 1 => Err(
            "more than one interface may have a gateway; name the one that leads outside"
                .to_owned(),
        ),
        None => Ok(()),
        Some(name) => match all.iter().find(|one| one.name == name) {
            None => Err(format!("{name:?} is not among the configured interfaces")),
            Some(one) if !one.may_have_gateway() => Err(format!(
                "{name} has no gateway; give it one or name another interface"
            )),
            Some(_) => Ok(()),
        },
    }
}

fn no_more_than<T: PartialEq>(most: usize, list: &[T]) -> Result<(), String> {
    if list.len() > most {
        return Err(format!("{} entries, at most {most} are used", list.len()));
    }
    let twice = |(place, one)| list.iter().take(place).any(|other| other == one);
    if list.iter().enumerate().any(twice) {
        return Err("an entry is there twice; remove one".to_owned());
    }
    Ok(())
}

/// The address of a server that this machine asks.
///
/// # Errors
/// When no other machine can have it.
pub fn server_address(address: IpAddr) -> Result<(), String> {
    unicast(address)
}

/// A time server: an address, or a name for the name servers.
///
/// # Errors
/// Says what is wrong with it.
pub fn ntp_server(server: &str) -> Result<(), String> {
    match server.parse() {
        Ok(address) => server_address(address),
        Err(_) => fqdn(server).map_err(|reason| format!("{reason}; or give its address")),
    }
}

/// A time zone of the database in the folder `zoneinfo`.
///
/// # Errors
/// When it is not there; the name never leads out of the folder.
pub fn time_zone(name: &str, zoneinfo: &Path) -> Result<(), String> {
    let wrong = || format!("there is no time zone {name:?}; they are like UTC or Europe/Berlin");
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"_+-/".contains(&b);
    let plain = Path::new(name)
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    if name.is_empty() || name.len() > ZONE_BYTES_MAX || !plain || !name.bytes().all(allowed) {
        return Err(wrong());
    }
    // RFC 8536 §3.1: the first four bytes. Other files live in that folder too.
    let mut magic = [0; 4];
    let read = File::open(zoneinfo.join(name)).and_then(|mut file| file.read_exact(&mut magic));
    match read {
        Ok(()) if magic == *b"TZif" => Ok(()),
        _ => Err(wrong()),
    }
}
