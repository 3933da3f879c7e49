//! System calls for which no crate has a safe wrapper: link-layer addresses and the kernel's clock
//! discipline.
#![expect(
    unsafe_code,
    reason = "nix makes link-layer addresses only from pointers and has no clock_adjtime; tokio \
              wants a promise for each descriptor that is not its own"
)]

use nix::libc;
use nix::sys::socket::{AddressFamily, LinkAddr, SockFlag, SockType, SockaddrLike as _};
use nix::sys::socket::{MsgFlags, bind, sendto, socket};
use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd};
use tokio::io::unix::AsyncFd;

/// IPv4 in Ethernet frames (RFC 894), in the byte order of the wire.
const ETHERTYPE_IPV4: u16 = 0x0800_u16.to_be();

fn link_address(interface: u32, destination: [u8; 6]) -> io::Result<LinkAddr> {
    let mut octets = [0; 8];
    for (to, from) in octets.iter_mut().zip(destination) {
        *to = from;
    }
    let index = i32::try_from(interface).map_err(io::Error::other)?;
    let family = u16::try_from(libc::AF_PACKET).map_err(io::Error::other)?;
    let raw = libc::sockaddr_ll {
        sll_family: family,
        sll_protocol: ETHERTYPE_IPV4,
        sll_ifindex: index,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 6,
        sll_addr: octets,
    };
    let length = libc::socklen_t::try_from(size_of::<libc::sockaddr_ll>());
    let length = length.map_err(io::Error::other)?;
    // SAFETY: the pointer is to a whole sockaddr_ll whose family says so, and nix copies it.
    let address = unsafe { LinkAddr::from_raw((&raw const raw).cast(), Some(length)) };
    address.ok_or_else(|| io::Error::other("nix refused a link-layer address"))
}

/// A socket for the IPv4 packets of one interface (packet(7), without the Ethernet header).
/// Needs CAP_NET_RAW.
pub(crate) fn packet_socket(interface: u32) -> io::Result<OwnedFd> {
    // Protocol 0 receives nothing until the socket is bound to its interface.
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket(AddressFamily::Packet, SockType::Datagram, flags, None)?;
    bind(fd.as_raw_fd(), &link_address(interface, [0xff; 6])?)?;
    Ok(fd)
}

/// Lets the runtime wait for datagrams.
pub(crate) fn readable(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: the descriptor is owned by what is returned, so it stays open and the same one for as
    // long as it is registered.
    let registered = unsafe { AsyncFd::register(fd) };
    registered.map_err(io::Error::from)
}

/// Sends an IPv4 packet to all hosts on the link.
pub(crate) fn broadcast(fd: BorrowedFd<'_>, interface: u32, packet: &[u8]) -> io::Result<()> {
    let to = link_address(interface, [0xff; 6])?;
    sendto(fd.as_raw_fd(), packet, &to, MsgFlags::empty())?;
    Ok(())
}

/// What the kernel's clock is told (adjtimex(2)); the fields that `modes` does not name are
/// ignored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Adjustment {
    /// ADJ_* bits.
    pub(crate) modes: u32,
    /// Nanoseconds to slew, with ADJ_OFFSET and STA_NANO.
    pub(crate) offset: i64,
    /// STA_* bits, with ADJ_STATUS.
    pub(crate) status: i32,
    /// Time constant of the loop, with ADJ_TIMECONST.
    pub(crate) constant: i64,
    /// Seconds and nanoseconds to add at once, with ADJ_SETOFFSET | ADJ_NANO.
    pub(crate) add: (i64, i64),
}

/// Adjusts CLOCK_REALTIME. Needs CAP_SYS_TIME.
pub(crate) fn adjust(what: Adjustment) -> io::Result<()> {
    // SAFETY: timex is integers only, for which all bytes zero is a value.
    let mut timex: libc::timex = unsafe { std::mem::zeroed() };
    timex.modes = what.modes;
    timex.offset = what.offset;
    timex.status = what.status;
    timex.constant = what.constant;
    (timex.time.tv_sec, timex.time.tv_usec) = what.add;
    // SAFETY: the kernel reads and writes one timex, which lives on this stack.
    let result = unsafe { libc::clock_adjtime(libc::CLOCK_REALTIME, &raw mut timex) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
