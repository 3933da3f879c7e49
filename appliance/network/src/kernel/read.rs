//! Reading what the kernel holds.

use super::{Held, Kernel, KernelError, PROTOCOL, refused};
use crate::plan::{Route, Rule};
use crate::settings::Mac;
use futures_util::TryStreamExt as _;
use ipnet::IpNet;
use rtnetlink::packet_route::address::{AddressAttribute, AddressMessage};
use rtnetlink::packet_route::link::{
    InfoData, InfoKind, InfoVlan, LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage,
};
use rtnetlink::packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteProtocol};
use rtnetlink::packet_route::rule::{RuleAttribute, RuleMessage};
use rtnetlink::{IpVersion, RouteMessageBuilder};
use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A network device.
#[derive(Clone, Debug, Default)]
pub struct Device {
    /// The kernel's number.
    pub index: u32,
    /// The kernel's name.
    pub name: String,
    /// Its hardware address.
    pub mac: Option<Mac>,
    /// Whether it is switched on.
    pub up: bool,
    /// Whether it has a signal.
    pub carrier: bool,
    /// How often the signal went away: a short loss is not missed.
    pub losses: u32,
    /// Bytes of its largest packet.
    pub mtu: u32,
    /// The tag, if it is a VLAN.
    pub vlan: Option<u16>,
    /// The device it is a VLAN of.
    pub parent: Option<u32>,
    /// Its place in the machine: the folder of sysfs without the name.
    pub place: Option<String>,
    ethernet: bool,
    virtual_kind: bool,
}

impl Device {
    /// Whether it is a network card: Ethernet, and not made by software. A pair of virtual ports
    /// counts as cards, since namespaces have no others.
    #[must_use]
    pub fn is_card(&self) -> bool {
        self.ethernet && !self.virtual_kind
    }
}

/// An address on a device.
#[derive(Clone, Debug)]
pub struct Address {
    /// The device.
    pub index: u32,
    /// With its prefix.
    pub net: IpNet,
    /// As the kernel said it, to take it back.
    pub(super) message: AddressMessage,
}

impl Address {
    /// Whether the kernel made it for the link itself (IPv6).
    #[must_use]
    pub fn is_link_local(&self) -> bool {
        matches!(self.net.addr(), IpAddr::V6(a) if a.is_unicast_link_local())
    }
}

impl Kernel {
    /// All devices, by name.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub async fn devices(&self) -> Result<BTreeMap<String, Device>, KernelError> {
        let list = self.handle.link().get().execute().try_collect::<Vec<_>>();
        let list = list.await.map_err(refused(|| "list devices".to_owned()))?;
        let devices = list.iter().map(device);
        Ok(devices.map(|one| (one.name.clone(), one)).collect())
    }

    /// Devices and addresses.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub async fn held(&self) -> Result<Held, KernelError> {
        let list = self
            .handle
            .address()
            .get()
            .execute()
            .try_collect::<Vec<_>>();
        let list = list
            .await
            .map_err(refused(|| "list addresses".to_owned()))?;
        Ok(Held {
            devices: self.devices().await?,
            addresses: list.into_iter().filter_map(address).collect(),
        })
    }

    /// Gateways by the number of their device, in whatever table.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub async fn gateways(&self) -> Result<Vec<(u32, IpAddr)>, KernelError> {
        let mut gateways = Vec::new();
        for message in self.all_routes().await? {
            if message.header.destination_prefix_length == 0
                && let Some(gateway) = gateway(&message)
                && let Some(index) = output(&message)
                && !gateways.contains(&(index, gateway))
            {
                gateways.push((index, gateway));
            }
        }
        Ok(gateways)
    }

    async fn all_routes(&self) -> Result<Vec<RouteMessage>, KernelError> {
        let mut all = Vec::new();
        let v4 = RouteMessageBuilder::<Ipv4Addr>::new().build();
        let v6 = RouteMessageBuilder::<Ipv6Addr>::new().build();
        for request in [v4, v6] {
            let list = self.handle.route().get(request).execute();
            let list = list.try_collect::<Vec<_>>().await;
            all.extend(list.map_err(refused(|| "list routes".to_owned()))?);
        }
        Ok(all)
    }

    pub(super) async fn our_routes(
        &self,
        devices: &BTreeMap<String, Device>,
    ) -> Result<Vec<(Route, RouteMessage)>, KernelError> {
        let all = self.all_routes().await?;
        let ours = all
            .into_iter()
            .filter(|one| one.header.protocol == RouteProtocol::from(PROTOCOL));
        Ok(ours
            .filter_map(|message| Some((route(&message, devices)?, message)))
            .collect())
    }

    pub(super) async fn our_rules(&self) -> Result<Vec<(Rule, RuleMessage)>, KernelError> {
        let mut ours = Vec::new();
        for version in [IpVersion::V4, IpVersion::V6] {
            let list = self.handle.rule().get(version).execute();
            let list = list.try_collect::<Vec<_>>().await;
            let list = list.map_err(refused(|| "list rules".to_owned()))?;
            ours.extend(list.into_iter().filter_map(rule));
        }
        Ok(ours)
    }
}

fn device(message: &LinkMessage) -> Device {
    let flags = message.header.flags;
    let mut device = Device {
        index: message.header.index,
        up: flags.contains(LinkFlags::Up),
        carrier: flags.contains(LinkFlags::LowerUp),
        ethernet: message.header.link_layer_type == LinkLayerType::Ether,
        ..Device::default()
    };
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => device.name.clone_from(name),
            LinkAttribute::Mtu(bytes) => device.mtu = *bytes,
            LinkAttribute::Link(index) => device.parent = Some(*index),
            LinkAttribute::CarrierDownCount(count) => device.losses = *count,
            LinkAttribute::Address(bytes) => {
                device.mac = <[u8; 6]>::try_from(bytes.as_slice()).ok().map(Mac);
            }
            LinkAttribute::LinkInfo(infos) => infos.iter().for_each(|one| info(one, &mut device)),
            _ => {}
        }
    }
    device.place = place(&device.name);
    device
}

fn info(info: &LinkInfo, device: &mut Device) {
    match info {
        LinkInfo::Kind(kind) => device.virtual_kind = *kind != InfoKind::Veth,
        LinkInfo::Data(InfoData::Vlan(data)) => {
            for one in data {
                if let InfoVlan::Id(id) = one {
                    device.vlan = Some(*id);
                }
            }
        }
        _ => {}
    }
}

/// `pci0000:00/0000:00:03.0/virtio1` of `../../devices/pci0000:00/0000:00:03.0/virtio1/net/eth0`.
fn place(name: &str) -> Option<String> {
    let link = fs::read_link(format!("/sys/class/net/{name}")).ok()?;
    let (_, place) = link.to_str()?.split_once("devices/")?;
    let (place, _) = place.rsplit_once("/net/")?;
    Some(place.to_owned())
}

fn address(message: AddressMessage) -> Option<Address> {
    // IPv4 has both, and Local is this end; IPv6 often has only Address.
    let local = message.attributes.iter().find_map(|one| match one {
        AddressAttribute::Local(address) => Some(*address),
        _ => None,
    });
    let either = message.attributes.iter().find_map(|one| match one {
        AddressAttribute::Address(address) => Some(*address),
        _ => None,
    });
    let net = IpNet::new(local.or(either)?, message.header.prefix_len).ok()?;
    Some(Address {
        index: message.header.index,
        net,
        message,
    })
}

fn route(message: &RouteMessage, devices: &BTreeMap<String, Device>) -> Option<Route> {
    let table = message.attributes.iter().find_map(|one| match one {
        RouteAttribute::Table(table) => Some(*table),
        _ => None,
    });
    let to = message.attributes.iter().find_map(|one| match one {
        RouteAttribute::Destination(to) => address_of(to),
        _ => None,
    });
    let everywhere = match message.header.address_family {
        rtnetlink::packet_route::AddressFamily::Inet => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        _ => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let length = message.header.destination_prefix_length;
    let index = output(message)?;
    let device = devices.values().find(|device| device.index == index)?;
    Some(Route {
        table: table.unwrap_or_else(|| u32::from(message.header.table)),
        destination: IpNet::new(to.unwrap_or(everywhere), length).ok()?,
        gateway: gateway(message),
        device: device.name.clone(),
    })
}

fn rule(message: RuleMessage) -> Option<(Rule, RuleMessage)> {
    let mut table = u32::from(message.header.table);
    let mut from = None;
    let mut ours = false;
    for attribute in &message.attributes {
        match attribute {
            RuleAttribute::Table(number) => table = *number,
            RuleAttribute::Source(address) => from = Some(*address),
            RuleAttribute::Protocol(protocol) => ours = *protocol == RouteProtocol::from(PROTOCOL),
            _ => {}
        }
    }
    let rule = Rule { from: from?, table };
    ours.then_some((rule, message))
}

fn gateway(message: &RouteMessage) -> Option<IpAddr> {
    message.attributes.iter().find_map(|one| match one {
        RouteAttribute::Gateway(address) => address_of(address),
        _ => None,
    })
}

fn output(message: &RouteMessage) -> Option<u32> {
    message.attributes.iter().find_map(|one| match one {
        RouteAttribute::Oif(index) => Some(*index),
        _ => None,
    })
}

fn address_of(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(address) => Some(IpAddr::V4(*address)),
        RouteAddress::Inet6(address) => Some(IpAddr::V6(*address)),
        _ => None,
    }
}
