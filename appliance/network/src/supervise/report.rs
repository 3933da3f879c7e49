//! What `strongroom-network` writes: `status.json` and `resolv.conf`.

use super::Network;
use crate::dhcp::message::Lease;
use crate::kernel::{Device, Held};
use crate::plan;
use crate::settings::Settings;
use crate::status::{InterfaceStatus, NetworkStatus, VERSION};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::IpAddr;

/// The file of resolv.conf(5).
pub(super) fn resolv(settings: Option<&Settings>, leases: &BTreeMap<String, Lease>) -> String {
    let mut text = "# Written by strongroom-network.\n".to_owned();
    for address in settings
        .map(|all| plan::dns(all, leases))
        .unwrap_or_default()
    {
        let _ = writeln!(text, "nameserver {address}");
    }
    text
}

impl Network {
    pub(super) fn status(&self, held: &Held, gateways: &[(u32, IpAddr)]) -> NetworkStatus {
        let leases = self.leases();
        let settings = self.settings.as_ref();
        let words = |all: Vec<IpAddr>| all.iter().map(IpAddr::to_string).collect();
        let cards = held.devices.values().filter(|device| device.is_card());
        let mut names: BTreeSet<String> = cards.map(|card| card.name.clone()).collect();
        if let Some(settings) = settings {
            names.extend(settings.interfaces.iter().map(|one| one.name.clone()));
        }
        let names = names.iter();
        NetworkStatus {
            version: VERSION,
            settings: self.state,
            problem: self.refusal.clone().or_else(|| self.problem("")),
            interfaces: names
                .map(|name| self.interface(name, held, gateways))
                .collect(),
            outgoing: settings
                .and_then(Settings::outgoing)
                .map(|one| one.name.clone()),
            dns: words(
                settings
                    .map(|all| plan::dns(all, &leases))
                    .unwrap_or_default(),
            ),
            dhcp_ntp: words(
                settings
                    .map(|all| plan::dhcp_ntp(all, &leases))
                    .unwrap_or_default(),
            ),
        }
    }

    fn interface(&self, name: &str, held: &Held, gateways: &[(u32, IpAddr)]) -> InterfaceStatus {
        let settings = self.settings.as_ref();
        let configured = settings.and_then(|all| all.interfaces.iter().find(|i| i.name == name));
        let card = held.devices.get(name);
        let vlan = configured.and_then(|one| one.vlan);
        let device = match configured {
            Some(one) => held.devices.get(&one.device()),
            None => card,
        };
        let index = device.map(|device| device.index);
        let addresses = held.addresses.iter().filter(|a| Some(a.index) == index);
        let gateways = gateways.iter().filter(|(i, _)| Some(*i) == index);
        InterfaceStatus {
            name: name.to_owned(),
            present: card.is_some(),
            configured: configured.is_some(),
            mac: card.and_then(|card| card.mac),
            place: card.and_then(|card| card.place.clone()),
            up: card.is_some_and(|card| card.up),
            carrier: card.is_some_and(|card| card.carrier),
            mtu: device.or(card).map_or(0, |device: &Device| device.mtu),
            vlan,
            addresses: addresses.map(|a| a.net.to_string()).collect(),
            gateways: gateways.map(|(_, gateway)| gateway.to_string()).collect(),
            dhcp: self.clients.status(name),
            problem: self.problem(name),
        }
    }

    /// What went wrong with an interface, or, without a name, with none of them.
    fn problem(&self, name: &str) -> Option<String> {
        let its = self.problems.iter().filter(|(of, _)| of == name);
        let all: Vec<&str> = its.map(|(_, problem)| problem.as_str()).collect();
        (!all.is_empty()).then(|| all.join("; "))
    }
}
