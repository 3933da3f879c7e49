//! A DHCPv4 client (RFC 2131) that asks for an address and believes little.
//!
//! * [`message`]: what is sent and what is read: only address, mask, router, name servers, time
//!   servers and the times of the lease. Everything else an answer holds is not even decoded.
//! * [`client`]: the states of the protocol, without a socket and without a clock.
//! * [`frame`]: IPv4 and UDP headers, for the time before there is an address.
//! * [`port`]: the sockets.

pub mod client;
pub mod frame;
pub mod message;
pub mod port;

/// UDP port of servers.
pub const SERVER_PORT: u16 = 67;
/// UDP port of clients.
pub const CLIENT_PORT: u16 = 68;
