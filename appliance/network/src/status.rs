//! What is so: the files `status.json` and `time.json`, for screens and for the daemon.
//!
//! Moments are seconds since boot by CLOCK_BOOTTIME where they are about leases, so that a reader
//! need not believe the wall clock, and milliseconds since 1970 where a server said them.

use crate::settings::Mac;
use serde::{Deserialize, Serialize};

/// The layout of both files.
pub const VERSION: u32 = 1;

/// Written by `strongroom-network`, whenever it changes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkStatus {
    /// [`VERSION`].
    pub version: u32,
    /// What became of the settings.
    pub settings: SettingsState,
    /// Why they are refused, or what the kernel did not take.
    pub problem: Option<String>,
    /// Every interface of the machine and every one that is configured, in the order of names.
    pub interfaces: Vec<InterfaceStatus>,
    /// The interface whose gateway is the default route.
    pub outgoing: Option<String>,
    /// Name servers in use: the lines of resolv.conf.
    pub dns: Vec<String>,
    /// Time servers that DHCP named (option 42); those of the settings come before them.
    pub dhcp_ntp: Vec<String>,
}

/// What became of `network.json`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SettingsState {
    /// There is no file: the machine is not set up, and no interface is up.
    #[default]
    Missing,
    /// The file was refused; what was applied before stays.
    Refused,
    /// The kernel holds what they say, except for what `problem` says.
    Applied,
}

/// One interface.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceStatus {
    /// `eth0`, `eth1`.
    pub name: String,
    /// Whether the machine has it.
    pub present: bool,
    /// Whether the settings name it.
    pub configured: bool,
    /// The address of its card.
    pub mac: Option<Mac>,
    /// Its place in the machine, such as `pci0000:00/0000:00:03.0/virtio1`.
    pub place: Option<String>,
    /// Whether it is switched on.
    pub up: bool,
    /// Whether there is a signal on the cable.
    pub carrier: bool,
    /// Bytes of its largest packet.
    pub mtu: u32,
    /// The tagged network that carries the addresses.
    pub vlan: Option<u16>,
    /// Addresses with prefix, as the kernel holds them; link-local ones too.
    pub addresses: Vec<String>,
    /// Gateways of this interface.
    pub gateways: Vec<String>,
    /// Only with DHCP.
    pub dhcp: Option<DhcpStatus>,
    /// Why it is not as configured.
    pub problem: Option<String>,
}

/// The DHCP client of one interface.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DhcpStatus {
    /// `down`, `selecting`, `requesting`, `rebooting`, `bound`, `renewing`, `rebinding` (RFC 2131).
    pub state: String,
    /// The server the lease is from.
    pub server: Option<String>,
    /// The address that is leased, with prefix.
    pub address: Option<String>,
    /// When the lease is renewed and when it ends, in seconds since boot.
    pub renew_at_seconds: Option<u64>,
    /// When it ends, in seconds since boot; no entry for a lease without end.
    pub expires_at_seconds: Option<u64>,
    /// The last reason why there is no address.
    pub problem: Option<String>,
}

/// Written by `strongroom-time`, after every round of questions.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TimeStatus {
    /// [`VERSION`].
    pub version: u32,
    /// What the clock does.
    pub state: ClockState,
    /// Whether the clock follows the servers; the same as `state == synchronised`.
    pub synchronised: bool,
    /// How far the servers were ahead of the clock in the last round, in milliseconds.
    pub offset_milliseconds: Option<f64>,
    /// When a server last answered, in milliseconds since 1970 by this machine's clock.
    pub last_answer: Option<u64>,
    /// Whether the clock was set since boot, rather than slewed.
    pub stepped: bool,
    /// Why the servers are not followed, and what to do.
    pub problem: Option<String>,
    /// Each server that is asked.
    pub servers: Vec<ServerStatus>,
}

/// What the clock does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClockState {
    /// No server is configured: the clock runs free.
    #[default]
    Off,
    /// No answer yet, or no majority among the answers.
    Waiting,
    /// The clock follows the servers.
    Synchronised,
    /// The servers agree on a time too far away to follow; an operator has to set the clock.
    Refused,
    /// Operation of the clock failed: this process may not set it.
    Failed,
}

/// One time server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ServerStatus {
    /// As configured.
    pub name: String,
    /// The address that was asked.
    pub address: Option<String>,
    /// How far it is ahead of the clock, in milliseconds.
    pub offset_milliseconds: Option<f64>,
    /// The way there and back, in milliseconds.
    pub delay_milliseconds: Option<f64>,
    /// Its distance from a reference clock.
    pub stratum: Option<u8>,
    /// Whether it answered in the last round.
    pub reachable: bool,
    /// Whether its answer counted.
    pub used: bool,
    /// Why not.
    pub problem: Option<String>,
}
