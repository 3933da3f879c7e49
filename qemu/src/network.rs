//! Network cards: one leg into the host's loopback, one leg into a [`crate::Switch`].

use crate::fault::{self, Fault};
use crate::switch::Leg;
use serde_json::{Value, json};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

/// What the guest takes the card for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Model {
    /// For virtual machines.
    #[default]
    Virtio,
    /// Intel 82574: what servers have.
    E1000e,
}

/// A port of the guest that is reached through a port of this host's loopback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Forward {
    guest: u16,
    host: SocketAddr,
}

/// Third byte of the private network of a user card, unless it is said otherwise.
const SUBNET: u8 = 2;

#[derive(Clone, Debug)]
enum Wire {
    User { open: bool, subnet: u8 },
    Switch(Leg),
}

/// One network card of a machine.
#[derive(Clone, Debug)]
pub struct Nic {
    wire: Wire,
    forwards: Vec<Forward>,
    model: Model,
    address: Option<[u8; 6]>,
    capture: Option<PathBuf>,
    boots: bool,
}

impl Nic {
    /// A private network with this host as 10.0.2.2, which answers DHCP (the guest becomes
    /// 10.0.2.15) and lets nothing through but the forwarded ports.
    #[must_use]
    pub fn user() -> Self {
        Self::new(Wire::User {
            open: false,
            subnet: SUBNET,
        })
    }

    /// A port of a switch that other machines are on too.
    #[must_use]
    pub fn switch(leg: &Leg) -> Self {
        Self::new(Wire::Switch(leg.clone()))
    }

    fn new(wire: Wire) -> Self {
        Self {
            wire,
            forwards: Vec::new(),
            model: Model::default(),
            address: None,
            capture: None,
            boots: false,
        }
    }

    /// Forwards a free port of 127.0.0.1 to TCP port `guest`; [`crate::Machine::forwarded`] tells
    /// which. Only a [`Self::user`] card has forwards.
    #[must_use]
    pub fn forward(self, guest: u16) -> Self {
        self.forward_from(guest, (Ipv4Addr::LOCALHOST, 0).into())
    }

    /// Forwards `host`, an address of this host, to TCP port `guest`. Port 0 means a free one.
    #[must_use]
    pub fn forward_from(mut self, guest: u16, host: SocketAddr) -> Self {
        self.forwards.push(Forward { guest, host });
        self
    }

    /// Makes the private network of a [`Self::user`] card 10.0.`third`.0/24 instead of
    /// 10.0.2.0/24: two such cards in one machine need two networks.
    #[must_use]
    pub fn subnet(mut self, third: u8) -> Self {
        if let Wire::User { subnet, .. } = &mut self.wire {
            *subnet = third;
        }
        self
    }

    /// Lets the guest reach what this host reaches, as a [`Self::user`] card does not otherwise.
    #[must_use]
    pub fn open(mut self) -> Self {
        if let Wire::User { open, .. } = &mut self.wire {
            *open = true;
        }
        self
    }

    /// What the guest takes it for; virtio unless this says otherwise.
    #[must_use]
    pub fn model(mut self, model: Model) -> Self {
        self.model = model;
        self
    }

    /// Its hardware address; otherwise one is made of the machine's name and the card's number.
    #[must_use]
    pub fn address(mut self, address: [u8; 6]) -> Self {
        self.address = Some(address);
        self
    }

    /// Writes every frame that passes the card to a file (pcap).
    #[must_use]
    pub fn capture(mut self, file: impl Into<PathBuf>) -> Self {
        self.capture = Some(file.into());
        self
    }

    /// Keeps the card's boot program (PXE), with which a machine without a disk asks the network.
    #[must_use]
    pub fn booting(mut self) -> Self {
        self.boots = true;
        self
    }

    /// QEMU's options for the card with this number.
    pub(crate) fn options(&self, number: usize, machine: &str) -> Result<Vec<String>, Fault> {
        let wire = wire_name(number);
        let address = self
            .address
            .unwrap_or_else(|| made_address(machine, number));
        let address = address.map(|byte| format!("{byte:02x}")).join(":");
        let driver = match self.model {
            Model::Virtio => "virtio-net-pci",
            Model::E1000e => "e1000e",
        };
        let mut card = json!({
            "driver": driver, "id": card_name(number), "netdev": wire, "mac": address,
        });
        if !self.boots {
            card.as_object_mut()
                .map(|card| card.insert("romfile".to_owned(), json!("")));
        }
        let mut options = vec!["-netdev".to_owned(), self.netdev(&wire)?.to_string()];
        options.extend(["-device".to_owned(), card.to_string()]);
        if let Some(file) = &self.capture {
            let filter = json!({
                "qom-type": "filter-dump", "id": format!("capture{number}"),
                "netdev": wire, "file": fault::text(file)?,
            });
            options.extend(["-object".to_owned(), filter.to_string()]);
        }
        Ok(options)
    }

    fn netdev(&self, name: &str) -> Result<Value, Fault> {
        let unix = |path| -> Result<Value, Fault> {
            Ok(json!({ "type": "unix", "path": fault::text(path)? }))
        };
        Ok(match &self.wire {
            Wire::User { open, subnet } => {
                let rule = |f: &Forward| json!({ "str": format!("tcp:{}-:{}", f.host, f.guest) });
                let rules: Vec<Value> = self.forwards.iter().map(rule).collect();
                json!({
                    "type": "user", "id": name, "restrict": !open, "hostfwd": rules,
                    "net": format!("10.0.{subnet}.0/24"),
                })
            }
            Wire::Switch(_) if !self.forwards.is_empty() => {
                return Err(Fault::Settings(
                    "only a user card forwards ports; this one is on a switch".to_owned(),
                ));
            }
            Wire::Switch(leg) => json!({
                "type": "dgram", "id": name,
                "local": unix(leg.machine_socket())?, "remote": unix(leg.switch_socket())?,
            }),
        })
    }

    /// Whether the card forwards ports.
    pub(crate) fn forwards(&self) -> bool {
        !self.forwards.is_empty()
    }
}

/// Name of a card for QMP.
pub(crate) fn card_name(number: usize) -> String {
    format!("nic{number}")
}

fn wire_name(number: usize) -> String {
    format!("wire{number}")
}

/// QEMU's own prefix; the rest is a hash (FNV-1a) of who it is for, the same in every run.
fn made_address(machine: &str, number: usize) -> [u8; 6] {
    let mut hash: u32 = 0x811c_9dc5;
    for byte in machine.bytes().chain(number.to_le_bytes()) {
        hash = (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    }
    let [a, b, c, _] = hash.to_le_bytes();
    [0x52, 0x54, 0x00, a, b, c]
}

/// One line of the monitor's `info usernet` that is a forward: the host's address and port, and
/// the guest's port.
pub(crate) fn parse_forward(line: &str) -> Option<(SocketAddr, u16)> {
    let mut words = line.split_whitespace();
    if words.next()? != "TCP[HOST_FORWARD]" {
        return None;
    }
    let mut words = words.skip(1);
    let address: Ipv4Addr = words.next()?.parse().ok()?;
    let host = words.next()?.parse().ok()?;
    let guest = words.nth(1)?.parse().ok()?;
    Some(((address, host).into(), guest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forward_is_read_from_the_monitor() {
        let line =
            "  TCP[HOST_FORWARD]  13       127.0.0.1 38521       10.0.2.15    22     0     0";
        let expected: SocketAddr = ([127, 0, 0, 1], 38521).into();
        assert_eq!(parse_forward(line), Some((expected, 22)));
        assert_eq!(parse_forward("Hub 0 (net0):"), None);
        assert_eq!(
            parse_forward("TCP[ESTABLISHED] 13 127.0.0.1 1 1.1.1.1 2 0 0"),
            None
        );
    }

    #[test]
    fn made_addresses_differ_and_repeat() {
        let all = [("a", 0), ("a", 1), ("b", 0), ("b", 1)].map(|(m, n)| made_address(m, n));
        let different: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(different.len(), all.len());
        assert_eq!(made_address("a", 0), made_address("a", 0));
    }
}
