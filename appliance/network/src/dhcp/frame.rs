//! IPv4 and UDP headers around a DHCP message.
//!
//! Before there is an address the kernel's UDP cannot be used: it has no source to send from and
//! would drop what comes for an address that it does not have. So the first exchange goes through a
//! packet socket, and the two headers are made and read here.

use super::{CLIENT_PORT, SERVER_PORT};
use std::net::Ipv4Addr;

const IPV4_HEADER_BYTES: usize = 20;
const UDP_HEADER_BYTES: usize = 8;
/// The number of UDP among the protocols above IP.
const UDP: u8 = 17;
/// Hops: enough for a relay agent that forwards the packet as it is.
const TTL: u8 = 64;

/// A message from nobody to everybody: 0.0.0.0:68 to 255.255.255.255:67.
///
/// `None` if the message does not fit an IPv4 packet.
#[must_use]
pub fn wrap(message: &[u8]) -> Option<Vec<u8>> {
    let udp_bytes = u16::try_from(UDP_HEADER_BYTES + message.len()).ok()?;
    let ip_bytes = u16::try_from(IPV4_HEADER_BYTES + usize::from(udp_bytes)).ok()?;
    let (from, to) = (Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST);

    let mut header = Vec::with_capacity(usize::from(ip_bytes));
    header.extend([0x45, 0]); // version 4, five words, no service class
    header.extend(ip_bytes.to_be_bytes());
    header.extend([0, 0, 0, 0, TTL, UDP, 0, 0]); // no fragments; checksum below
    header.extend(from.octets());
    header.extend(to.octets());
    let sum = checksum(&[&header]);
    header.splice(10..12, sum.to_be_bytes());

    let mut udp = Vec::with_capacity(UDP_HEADER_BYTES);
    udp.extend(CLIENT_PORT.to_be_bytes());
    udp.extend(SERVER_PORT.to_be_bytes());
    udp.extend(udp_bytes.to_be_bytes());
    let length = udp_bytes.to_be_bytes();
    let pseudo: [&[u8]; 3] = [&from.octets(), &to.octets(), &[0, UDP]];
    let [source, destination, protocol] = pseudo;
    let sum = checksum(&[
        source,
        destination,
        protocol,
        &length,
        &udp,
        &[0, 0],
        message,
    ]);
    // Zero means "no checksum" (RFC 768).
    let sum = if sum == 0 { u16::MAX } else { sum };
    udp.extend(sum.to_be_bytes());

    header.extend(udp);
    header.extend(message);
    Some(header)
}

/// The message inside an IPv4 packet from a server's port to a client's; `None` for all others.
///
/// The UDP checksum is not looked at: between virtual machines it is left to hardware that is not
/// there, so a packet socket sees it unfinished. The transaction number and the hardware address
/// inside the message stand in for it.
#[must_use]
pub fn unwrap(packet: &[u8]) -> Option<&[u8]> {
    let (first, rest) = packet.split_first()?;
    let header_bytes = usize::from(first & 0x0f) * 4;
    if first >> 4 != 4 || header_bytes < IPV4_HEADER_BYTES || rest.len() + 1 < header_bytes {
        return None;
    }
    let header = packet.get(..header_bytes)?;
    let total = usize::from(word(packet, 2)?);
    // More fragments, or a later one: no DHCP server sends those to a client of 1472 bytes.
    let fragment = word(packet, 6)? & 0x3fff != 0;
    if checksum(&[header]) != 0 || fragment || *packet.get(9)? != UDP {
        return None;
    }
    let udp = packet.get(header_bytes..total)?;
    if word(udp, 0)? != SERVER_PORT || word(udp, 2)? != CLIENT_PORT {
        return None;
    }
    udp.get(UDP_HEADER_BYTES..usize::from(word(udp, 4)?))
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    let pair = bytes.get(at..at + 2)?;
    Some(u16::from_be_bytes(pair.try_into().ok()?))
}

/// The Internet checksum (RFC 1071) over parts, all but the last of which have an even length.
fn checksum(parts: &[&[u8]]) -> u16 {
    let mut sum: u64 = 0;
    for part in parts {
        for pair in part.chunks(2) {
            let high = pair.first().copied().unwrap_or(0);
            let low = pair.get(1).copied().unwrap_or(0);
            sum += u64::from(u16::from_be_bytes([high, low]));
        }
    }
    while sum > u64::from(u16::MAX) {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(u16::MAX)
}
