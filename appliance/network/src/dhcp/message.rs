//! DHCP messages: what this client sends, and what it takes from an answer.
//!
//! The library's lazy reader gives the options one by one, so that only those that are wanted are
//! decoded at all: names, routes, boot files and vendor data of a hostile server stay bytes.

use crate::settings::{self, Mac};
use dhcproto::v4::borrowed;
use dhcproto::v4::{self, DhcpOption, Flags, HType, MessageType, OptionCode};
use dhcproto::{Encodable as _, Encoder};
use ipnet::Ipv4Net;
use std::net::Ipv4Addr;
use std::time::Duration;

/// The largest message we say we take (option 57): one unfragmented Ethernet packet.
pub const MESSAGE_BYTES_MAX: usize = 1472;
/// Fixed part of a message up to its magic cookie (RFC 2131 §2); the library's reader needs it.
const FIXED_BYTES: usize = 240;
/// Ethernet addresses have this many bytes.
const MAC_BYTES: u8 = 6;
/// Where the client's hardware address stands.
const CHADDR: std::ops::Range<usize> = 28..34;
/// A shorter lease is refused: both ends would do nothing but renew it.
const LEASE_SECONDS_MIN: u32 = 10;
/// The value for a lease without an end (RFC 2131 §3.3).
const FOREVER: u32 = u32::MAX;

/// What a client says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// Who has an address for me?
    Discover,
    /// I take this offer.
    Request {
        /// The address that was offered.
        address: Ipv4Addr,
        /// The server that offered it.
        server: Ipv4Addr,
    },
    /// May I still use this address? (INIT-REBOOT: after a lost link.)
    Reboot {
        /// The address of the lease.
        address: Ipv4Addr,
    },
    /// A longer lease for the address I use.
    Renew {
        /// The address of the lease.
        address: Ipv4Addr,
    },
    /// I do not need this address any more.
    Release {
        /// The address of the lease.
        address: Ipv4Addr,
        /// The server it is from.
        server: Ipv4Addr,
    },
}

/// What a server gave us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Our address with the prefix of its subnet.
    pub address: Ipv4Net,
    /// The server.
    pub server: Ipv4Addr,
    /// The first router inside the subnet.
    pub router: Option<Ipv4Addr>,
    /// At most [`settings::DNS_MAX`].
    pub dns: Vec<Ipv4Addr>,
    /// At most [`settings::NTP_MAX`].
    pub ntp: Vec<Ipv4Addr>,
    /// When to ask the same server (T1), when to ask any (T2), and when it ends; `None` for a lease
    /// without end.
    pub times: Option<Times>,
}

/// Times of a lease, counted from the moment of the question; always T1 < T2 < end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// T1.
    pub renew: Duration,
    /// T2.
    pub rebind: Duration,
    /// The end.
    pub expire: Duration,
}

/// An answer to one of our questions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// An offer, to be requested.
    Offer(Lease),
    /// The lease is ours.
    Ack(Lease),
    /// It is not.
    Nak,
}

/// Why a datagram is no answer to us.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ignored {
    /// Not a DHCP message at all.
    #[error("the answer is no DHCP message: {0}")]
    Malformed(&'static str),
    /// A message for somebody else, or an answer to an old question.
    #[error("the answer is for another client or an older question")]
    NotForUs,
    /// A message that would give us something that cannot be.
    #[error("the answer is refused: {0}")]
    Refused(String),
}

/// The bytes of a question.
#[must_use]
pub fn ask(question: &Question, mac: Mac, xid: u32, hostname: Option<&str>) -> Vec<u8> {
    let zero = Ipv4Addr::UNSPECIFIED;
    let (kind, used) = match question {
        Question::Discover => (MessageType::Discover, zero),
        Question::Request { .. } | Question::Reboot { .. } => (MessageType::Request, zero),
        Question::Renew { address } => (MessageType::Request, *address),
        Question::Release { address, .. } => (MessageType::Release, *address),
    };
    let mut message = v4::Message::new_with_id(xid, used, zero, zero, zero, &mac.0);
    message.set_htype(HType::Eth);
    if used == zero {
        // We have no address yet, so answers come to all (RFC 2131 §4.1).
        message.set_flags(Flags::default().set_broadcast());
    }
    let options = message.opts_mut();
    options.insert(DhcpOption::MessageType(kind));
    // The hardware type before the address (RFC 2132 §9.14).
    let identifier = std::iter::once(1).chain(mac.0).collect();
    options.insert(DhcpOption::ClientIdentifier(identifier));
    match question {
        Question::Request { address, server } => {
            options.insert(DhcpOption::RequestedIpAddress(*address));
            options.insert(DhcpOption::ServerIdentifier(*server));
        }
        Question::Reboot { address } => {
            options.insert(DhcpOption::RequestedIpAddress(*address));
        }
        Question::Release { server, .. } => {
            options.insert(DhcpOption::ServerIdentifier(*server));
        }
        Question::Discover | Question::Renew { .. } => {}
    }
    if !matches!(question, Question::Release { .. }) {
        let most = u16::try_from(MESSAGE_BYTES_MAX).unwrap_or(u16::MAX);
        options.insert(DhcpOption::MaxMessageSize(most));
        options.insert(DhcpOption::ParameterRequestList(vec![
            OptionCode::SubnetMask,
            OptionCode::Router,
            OptionCode::DomainNameServer,
            OptionCode::NtpServers,
            OptionCode::AddressLeaseTime,
            OptionCode::Renewal,
            OptionCode::Rebinding,
        ]));
        if let Some(name) = hostname {
            options.insert(DhcpOption::Hostname(name.to_owned()));
        }
    }
    let mut bytes = Vec::new();
    // Writing to memory fails for nothing that is above.
    let _ = message.encode(&mut Encoder::new(&mut bytes));
    bytes
}

/// The options that are wanted, as they stand in the answer.
#[derive(Default)]
struct Wanted {
    kind: Option<MessageType>,
    server: Option<Ipv4Addr>,
    mask: Option<Ipv4Addr>,
    routers: Vec<Ipv4Addr>,
    dns: Vec<Ipv4Addr>,
    ntp: Vec<Ipv4Addr>,
    lease: Option<u32>,
    renew: Option<u32>,
    rebind: Option<u32>,
}

/// Reads an answer to question `xid` of the client `mac`.
///
/// # Errors
/// [`Ignored`]: nothing of it is believed.
pub fn read(bytes: &[u8], mac: Mac, xid: u32) -> Result<Answer, Ignored> {
    if bytes.len() < FIXED_BYTES || bytes.len() > MESSAGE_BYTES_MAX {
        return Err(Ignored::Malformed("its length cannot be"));
    }
    let message =
        borrowed::Message::new(bytes).map_err(|_| Ignored::Malformed("it is too short"))?;
    if message.opcode() != v4::Opcode::BootReply || message.htype() != HType::Eth {
        return Err(Ignored::Malformed("it is no reply over Ethernet"));
    }
    // The library's own accessor believes the length that the message claims.
    let ours = message.hlen() == MAC_BYTES && bytes.get(CHADDR) == Some(mac.0.as_slice());
    if !ours || message.xid() != xid {
        return Err(Ignored::NotForUs);
    }
    let wanted = wanted(&message)?;
    match wanted.kind {
        Some(MessageType::Offer) => lease(message.yiaddr(), &wanted).map(Answer::Offer),
        Some(MessageType::Ack) => lease(message.yiaddr(), &wanted).map(Answer::Ack),
        Some(MessageType::Nak) => Ok(Answer::Nak),
        _ => Err(Ignored::Malformed("it is neither offer, ack nor nak")),
    }
}

fn wanted(message: &borrowed::Message<'_>) -> Result<Wanted, Ignored> {
    let mut wanted = Wanted::default();
    for option in message.opts() {
        let known = matches!(
            option.code(),
            OptionCode::MessageType
                | OptionCode::ServerIdentifier
                | OptionCode::SubnetMask
                | OptionCode::Router
                | OptionCode::DomainNameServer
                | OptionCode::NtpServers
                | OptionCode::AddressLeaseTime
                | OptionCode::Renewal
                | OptionCode::Rebinding
        );
        if !known {
            continue;
        }
        let option = option
            .into_option()
            .map_err(|_| Ignored::Malformed("an option has the wrong length"))?;
        match option {
            DhcpOption::MessageType(kind) => wanted.kind = Some(kind),
            DhcpOption::ServerIdentifier(server) => wanted.server = Some(server),
            DhcpOption::SubnetMask(mask) => wanted.mask = Some(mask),
            DhcpOption::Router(routers) => wanted.routers = routers,
            DhcpOption::DomainNameServer(dns) => wanted.dns = dns,
            DhcpOption::NtpServers(ntp) => wanted.ntp = ntp,
            DhcpOption::AddressLeaseTime(seconds) => wanted.lease = Some(seconds),
            DhcpOption::Renewal(seconds) => wanted.renew = Some(seconds),
            DhcpOption::Rebinding(seconds) => wanted.rebind = Some(seconds),
            _ => {}
        }
    }
    Ok(wanted)
}

fn lease(address: Ipv4Addr, wanted: &Wanted) -> Result<Lease, Ignored> {
    let missing = |what: &str| Ignored::Refused(format!("it has no {what}"));
    let server = wanted.server.ok_or_else(|| missing("server identifier"))?;
    let mask = wanted.mask.ok_or_else(|| missing("subnet mask"))?;
    let seconds = wanted.lease.ok_or_else(|| missing("lease time"))?;
    let address = Ipv4Net::with_netmask(address, mask)
        .map_err(|_| Ignored::Refused(format!("{mask} is no subnet mask")))?;
    settings::host_v4(address).map_err(Ignored::Refused)?;
    let host = |one: &Ipv4Addr| settings::unicast((*one).into()).is_ok();
    if !host(&server) {
        return Err(Ignored::Refused(format!("{server} is no server")));
    }
    if seconds < LEASE_SECONDS_MIN {
        return Err(Ignored::Refused(format!("its lease is {seconds} s long")));
    }
    let inside = |one: &Ipv4Addr| settings::gateway_v4(address, *one).is_ok();
    Ok(Lease {
        address,
        server,
        router: wanted.routers.iter().copied().find(inside),
        dns: some(&wanted.dns, host, settings::DNS_MAX),
        ntp: some(&wanted.ntp, host, settings::NTP_MAX),
        times: times(seconds, wanted.renew, wanted.rebind),
    })
}

fn some(list: &[Ipv4Addr], good: impl Fn(&Ipv4Addr) -> bool, most: usize) -> Vec<Ipv4Addr> {
    let mut kept: Vec<Ipv4Addr> = Vec::new();
    for one in list.iter().filter(|one| good(one)) {
        if kept.len() < most && !kept.contains(one) {
            kept.push(*one);
        }
    }
    kept
}

/// The server's T1 and T2 where they make sense, else those of RFC 2131 §4.4.5.
fn times(lease: u32, renew: Option<u32>, rebind: Option<u32>) -> Option<Times> {
    if lease == FOREVER {
        return None;
    }
    let rebind = rebind
        .filter(|t2| *t2 < lease && *t2 > 1)
        .unwrap_or(lease / 8 * 7 + lease % 8 * 7 / 8);
    let renew = renew
        .filter(|t1| *t1 < rebind && *t1 > 0)
        .unwrap_or_else(|| (lease / 2).min(rebind - 1));
    let seconds = |count: u32| Duration::from_secs(u64::from(count));
    Some(Times {
        renew: seconds(renew),
        rebind: seconds(rebind),
        expire: seconds(lease),
    })
}
