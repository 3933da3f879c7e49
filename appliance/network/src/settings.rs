//! What the operator chose for network and time: the file `network.json`.
//!
//! The daemon writes it after the first run and on every change; the processes of this package only
//! read it. [`Settings::parse`] is the one way in, so whoever holds a `Settings` that came from a
//! file knows that it was checked whole. The parts are checked by functions of their own
//! ([`hostname`], [`time_zone`], …), so that a dialogue can refuse one answer at a time with the
//! same words.

mod check;

pub use check::{fqdn, hostname, interfaces, mtu, ntp_server, server_address, time_zone, vlan};
pub(crate) use check::{gateway_v4, host_v4, unicast};

use ipnet::{Ipv4Net, Ipv6Net};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::str::FromStr;

/// The layout of the file. A file of another version is refused, never guessed at.
pub const VERSION: u32 = 1;
/// Bytes of the file: whole settings need about 1 KiB, and this much is read into memory.
pub const FILE_BYTES_MAX: usize = 64 * 1024;
/// Network interfaces the appliance uses: one towards its clients, one towards the other members.
pub const INTERFACES_MAX: usize = 2;
/// The resolver of the C library reads no more `nameserver` lines than this (resolv.conf(5)).
pub const DNS_MAX: usize = 3;
/// Four servers outvote one that lies; more only add traffic (RFC 8633 §3.2).
pub const NTP_MAX: usize = 4;
/// Where the time zones are in the image.
pub const ZONEINFO: &str = "/usr/share/zoneinfo";

/// Everything about network and time that an operator decides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// [`VERSION`].
    pub version: u32,
    /// One label (RFC 1123), such as `kms1`.
    pub hostname: String,
    /// The whole name, such as `kms1.example.org`; no entry when the machine has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fqdn: Option<String>,
    /// At most [`INTERFACES_MAX`], each name once. An interface that is not named stays down.
    pub interfaces: Vec<Interface>,
    /// Whose gateway leads to everywhere else. Needed when more than one interface may have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outgoing: Option<String>,
    /// Name servers, at most [`DNS_MAX`]. When there is none, those that DHCP names are used.
    #[serde(default)]
    pub dns: Vec<IpAddr>,
    /// Time servers by address or name, at most [`NTP_MAX`]. When there is none, those of DHCP.
    #[serde(default)]
    pub ntp: Vec<String>,
    /// A name of the time zone database, such as `Europe/Berlin`. Only screens use it.
    pub time_zone: String,
}

/// One network interface, by its place: `eth0` is the first in the order of PCI addresses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interface {
    /// `eth0` or `eth1`.
    pub name: String,
    /// If given, an interface with another address is left down and reported: a card was moved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<Mac>,
    /// Bytes of the largest packet; without it the interface's own default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// IEEE 802.1Q: the addresses are on this tagged network and none on the untagged one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vlan: Option<u16>,
    /// Off unless said.
    #[serde(default)]
    pub ipv4: Ipv4,
    /// Off unless said: no address, not even a link-local one.
    #[serde(default)]
    pub ipv6: Ipv6,
}

/// How an interface gets its IPv4 address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum Ipv4 {
    /// No IPv4 on this interface.
    #[default]
    Off,
    /// From a DHCP server (RFC 2131).
    Dhcp,
    /// As written here.
    Static {
        /// With its prefix, such as `192.0.2.10/24`.
        #[serde(deserialize_with = "prefix_v4")]
        address: Ipv4Net,
        /// Inside that subnet.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        gateway: Option<Ipv4Addr>,
    },
}

/// How an interface gets its IPv6 addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum Ipv6 {
    /// IPv6 is switched off on this interface.
    #[default]
    Off,
    /// By router advertisements (RFC 4862).
    Auto,
    /// As written here; router advertisements are not listened to.
    Static {
        /// With its prefix, such as `2001:db8::10/64`.
        #[serde(deserialize_with = "prefix_v6")]
        address: Ipv6Net,
        /// Inside that subnet, or a link-local address.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        gateway: Option<Ipv6Addr>,
    },
}

/// A hardware address, written `52:54:00:12:34:56`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mac(pub [u8; 6]);

/// Why settings are refused. Each says what was wrong, with what, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// Not the JSON of a `Settings`.
    #[error("the settings cannot be read: {0}")]
    Malformed(String),
    /// The file is larger than any settings are.
    #[error("the settings have {bytes} bytes, more than the {FILE_BYTES_MAX} that are read")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// Written by another release.
    #[error("the settings have version {0}, this program reads version {VERSION}")]
    Version(u32),
    /// A value that cannot be; `field` is its place in the file.
    #[error("{field}: {reason}")]
    Refused {
        /// Such as `interfaces.eth0.ipv4.gateway`.
        field: String,
        /// What is wrong with it and what would be right.
        reason: String,
    },
}

impl SettingsError {
    fn refused(field: impl Into<String>, reason: impl Into<String>) -> SettingsError {
        SettingsError::Refused {
            field: field.into(),
            reason: reason.into(),
        }
    }
}

impl Settings {
    /// Reads and checks the bytes of the file; time zones are looked up in the folder `zoneinfo`
    /// (in the image [`ZONEINFO`]).
    ///
    /// # Errors
    /// The first thing that is wrong with them.
    pub fn parse(bytes: &[u8], zoneinfo: &Path) -> Result<Settings, SettingsError> {
        if bytes.len() > FILE_BYTES_MAX {
            return Err(SettingsError::TooLarge { bytes: bytes.len() });
        }
        // The version first: a later layout should be refused by its number, not by its new fields.
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        let malformed = |error: serde_json::Error| SettingsError::Malformed(error.to_string());
        let Versioned { version } = serde_json::from_slice(bytes).map_err(malformed)?;
        if version != VERSION {
            return Err(SettingsError::Version(version));
        }
        let settings: Settings = serde_json::from_slice(bytes).map_err(malformed)?;
        settings.check(zoneinfo)?;
        Ok(settings)
    }

    /// The bytes of the file.
    ///
    /// # Panics
    /// Never: every field has a form in JSON.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }

    /// Checks everything that a type cannot.
    ///
    /// # Errors
    /// The first value that cannot be.
    pub fn check(&self, zoneinfo: &Path) -> Result<(), SettingsError> {
        check::settings(self, zoneinfo)
    }

    /// The interface whose gateway is the default route: the one that is named, or the only one
    /// that may have a gateway.
    #[must_use]
    pub fn outgoing(&self) -> Option<&Interface> {
        match &self.outgoing {
            Some(name) => self.interfaces.iter().find(|one| one.name == *name),
            None => self.interfaces.iter().find(|one| one.may_have_gateway()),
        }
    }
}

impl Interface {
    /// Whether a default route can come from this interface.
    #[must_use]
    pub fn may_have_gateway(&self) -> bool {
        let v4 = match &self.ipv4 {
            Ipv4::Off => false,
            Ipv4::Dhcp => true,
            Ipv4::Static { gateway, .. } => gateway.is_some(),
        };
        let v6 = match &self.ipv6 {
            Ipv6::Off => false,
            Ipv6::Auto => true,
            Ipv6::Static { gateway, .. } => gateway.is_some(),
        };
        v4 || v6
    }

    /// The kernel's name of the device that carries the addresses: `eth0`, with a VLAN `eth0.42`.
    #[must_use]
    pub fn device(&self) -> String {
        match self.vlan {
            None => self.name.clone(),
            Some(id) => format!("{}.{id}", self.name),
        }
    }
}

fn prefix_v4<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Ipv4Net, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(|_| {
        D::Error::custom(format!(
            "{text:?} is not an IPv4 address with its prefix, such as 192.0.2.10/24"
        ))
    })
}

fn prefix_v6<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Ipv6Net, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(|_| {
        D::Error::custom(format!(
            "{text:?} is not an IPv6 address with its prefix, such as 2001:db8::10/64"
        ))
    })
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Mac {
    type Err = String;

    fn from_str(text: &str) -> Result<Mac, String> {
        let wrong = || format!("{text:?} is not a hardware address such as 52:54:00:12:34:56");
        let mut bytes = [0; 6];
        let mut parts = text.split(':');
        for byte in &mut bytes {
            let part = parts.next().ok_or_else(wrong)?;
            let hexadecimal = part.len() == 2 && part.bytes().all(|b| b.is_ascii_hexdigit());
            if !hexadecimal {
                return Err(wrong());
            }
            *byte = u8::from_str_radix(part, 16).map_err(|_| wrong())?;
        }
        match parts.next() {
            None => Ok(Mac(bytes)),
            Some(_) => Err(wrong()),
        }
    }
}

impl Serialize for Mac {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Mac {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Mac, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}
