//! The kernel's links, addresses, routes and rules: read, compared with a plan, and changed.
//!
//! Everything is compared before it is changed, so doing it again changes nothing; whatever happens
//! (a cable, a card, another program) the answer is to do it again. Routes and rules of ours carry
//! a protocol number of their own, and no others are touched. Addresses on our devices are ours.

mod read;

pub use read::{Address, Device};

use crate::plan::{Ipv6Mode, Link, Plan, Route, Rule};
use futures_util::StreamExt as _;
use ipnet::IpNet;
use nix::libc::EEXIST;
use rtnetlink::packet_route::route::{RouteProtocol, RouteScope};
use rtnetlink::packet_route::rule::{RuleAction, RuleAttribute};
use rtnetlink::{Handle, LinkUnspec, LinkVlan, MulticastGroup, RouteMessageBuilder};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::IpAddr;

/// The protocol number of our routes and rules; below 128 are the routing daemons' (rtnetlink(7)).
pub const PROTOCOL: u8 = 183;

/// Why the kernel did not do something.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// No netlink at all.
    #[error("no netlink socket: {0}")]
    Socket(io::Error),
    /// One request was refused.
    #[error("cannot {what}: {error}")]
    Request {
        /// What was asked for, with whose name.
        what: String,
        /// The kernel's words.
        error: rtnetlink::Error,
    },
    /// A switch under /proc/sys.
    #[error("cannot write {path}: {error}")]
    Switch {
        /// The file.
        path: String,
        /// The system's words.
        error: io::Error,
    },
}

/// What the kernel holds, at one moment.
#[derive(Debug, Default)]
pub struct Held {
    /// Devices by name.
    pub devices: BTreeMap<String, Device>,
    /// All addresses.
    pub addresses: Vec<Address>,
}

/// What went wrong, by interface; those with no name are about no interface.
pub type Problems = Vec<(String, String)>;

/// The netlink connection.
#[derive(Debug)]
pub struct Kernel {
    handle: Handle,
    /// The MTU of each interface before we changed it, by index: what "its own default" means.
    mtu: BTreeMap<u32, u32>,
}

/// Says when links or addresses changed.
pub type Changes = tokio::sync::mpsc::Receiver<()>;

impl Kernel {
    /// Connects. The second part says that something changed, once however much did.
    ///
    /// # Errors
    /// When there is no netlink.
    pub fn connect() -> Result<(Kernel, Changes), KernelError> {
        let (connection, handle, _) = rtnetlink::new_connection().map_err(KernelError::Socket)?;
        tokio::spawn(connection);
        let groups = [
            MulticastGroup::Link,
            MulticastGroup::Ipv4Ifaddr,
            MulticastGroup::Ipv6Ifaddr,
        ];
        let (connection, _, mut events) =
            rtnetlink::new_multicast_connection(&groups).map_err(KernelError::Socket)?;
        tokio::spawn(connection);
        // One waiting note is enough: who reads it looks at everything.
        let (notes, changes) = tokio::sync::mpsc::channel(1);
        tokio::spawn(async move {
            while events.next().await.is_some() {
                let _ = notes.try_send(());
            }
        });
        let kernel = Kernel {
            handle,
            mtu: BTreeMap::new(),
        };
        Ok((kernel, changes))
    }

    /// Calls the interfaces eth0, eth1, … in the order of their places in the machine.
    ///
    /// # Errors
    /// When the kernel refuses a name.
    pub async fn name_interfaces(&self) -> Result<(), KernelError> {
        let mut cards: Vec<Device> = self.devices().await?.into_values().collect();
        cards.retain(Device::is_card);
        cards.sort_by(|a, b| (&a.place, a.index).cmp(&(&b.place, b.index)));
        let misnamed = |(number, card): (usize, &Device)| {
            let wanted = format!("eth{number}");
            (card.name != wanted).then_some((card.index, wanted))
        };
        let moves: Vec<(u32, String)> = cards.iter().enumerate().filter_map(misnamed).collect();
        // Two steps, so that two interfaces can change names with each other.
        for (index, _) in &moves {
            self.rename(*index, &format!("moving{index}")).await?;
        }
        for (index, name) in &moves {
            self.rename(*index, name).await?;
        }
        Ok(())
    }

    async fn rename(&self, index: u32, name: &str) -> Result<(), KernelError> {
        // An interface that is up keeps its name in older kernels.
        let message = LinkUnspec::new_with_index(index).down().name(name);
        self.change(message.build(), || format!("call interface {index} {name}"))
            .await
    }

    /// Makes the kernel hold what the plan says; goes on after each refusal.
    ///
    /// # Errors
    /// When the kernel cannot even be read; refusals are in the list.
    pub async fn apply(&mut self, plan: &Plan) -> Result<Problems, KernelError> {
        let mut problems = Problems::new();
        let mut note = |name: &str, result: Result<(), KernelError>| {
            if let Err(error) = result {
                problems.push((name.to_owned(), error.to_string()));
            }
        };
        note("", self.loopback().await);
        let held = self.held().await?;
        for device in held.devices.values() {
            if device.is_card() && !plan.links.contains_key(&device.name) {
                note(&device.name, self.switch_off(device, &held).await);
            }
            if device.vlan.is_some() && !plan.links.values().any(|l| l.device == device.name) {
                let request = self.handle.link().del(device.index).execute();
                let result = request
                    .await
                    .map_err(refused(|| format!("remove {}", device.name)));
                note(&device.name, result);
            }
        }
        for (name, link) in &plan.links {
            if let Some(card) = held.devices.get(name) {
                note(name, self.link(card, link).await);
            }
        }
        // VLANs may be new, so what is there is read again.
        let held = self.held().await?;
        for (name, link) in &plan.links {
            note(name, self.addresses(name, link, &held).await);
        }
        self.rules(plan, &mut note).await?;
        self.routes(plan, &held, &mut note).await?;
        Ok(problems)
    }

    async fn loopback(&self) -> Result<(), KernelError> {
        let devices = self.devices().await?;
        match devices.get("lo") {
            Some(lo) if !lo.up => {
                let message = LinkUnspec::new_with_index(lo.index).up().build();
                self.change(message, || "switch lo on".to_owned()).await
            }
            _ => Ok(()),
        }
    }

    /// An interface that is not configured is down and has no address.
    async fn switch_off(&self, device: &Device, held: &Held) -> Result<(), KernelError> {
        for address in held.addresses.iter().filter(|a| a.index == device.index) {
            if !address.is_link_local() {
                self.remove(address, &device.name).await?;
            }
        }
        switch_ipv6(&device.name, Ipv6Mode::Off)?;
        if device.up {
            let message = LinkUnspec::new_with_index(device.index).down().build();
            self.change(message, || format!("switch {} off", device.name))
                .await?;
        }
        Ok(())
    }

    /// The interface, and its VLAN, up and with the right size and switches.
    async fn link(&mut self, card: &Device, link: &Link) -> Result<(), KernelError> {
        let own = *self.mtu.entry(card.index).or_insert(card.mtu);
        let mtu = link.mtu.unwrap_or(own);
        if link.vlan.is_none() {
            switch_ipv6(&card.name, link.ipv6)?;
            return self.bring_up(card, mtu).await;
        }
        switch_ipv6(&card.name, Ipv6Mode::Off)?;
        self.bring_up(card, mtu).await?;
        let tag = link.vlan.unwrap_or_default();
        let devices = self.devices().await?;
        let there = devices.get(&link.device);
        if !there.is_some_and(|d| d.vlan == Some(tag) && d.parent == Some(card.index)) {
            let message = LinkVlan::new(&link.device, card.index, tag).build();
            let request = self.handle.link().add(message).execute();
            request
                .await
                .map_err(refused(|| format!("make {}", link.device)))?;
        }
        switch_ipv6(&link.device, link.ipv6)?;
        match self.devices().await?.get(&link.device) {
            Some(device) => self.bring_up(device, mtu).await,
            None => Ok(()),
        }
    }

    async fn bring_up(&self, device: &Device, mtu: u32) -> Result<(), KernelError> {
        if device.up && device.mtu == mtu {
            return Ok(());
        }
        let message = LinkUnspec::new_with_index(device.index).mtu(mtu).up();
        self.change(message.build(), || {
            format!("switch {} on with {mtu} bytes", device.name)
        })
        .await
    }

    /// First what goes, then what comes: the kernel drops the younger addresses of a subnet
    /// together with its first.
    async fn addresses(&self, name: &str, link: &Link, held: &Held) -> Result<(), KernelError> {
        let Some(device) = held.devices.get(&link.device) else {
            return Ok(());
        };
        let card = held.devices.get(name).map(|card| card.index);
        let theirs = matches!(link.ipv6, Ipv6Mode::Auto { .. });
        for one in &held.addresses {
            let on_device = one.index == device.index;
            let stale = on_device && !link.addresses.contains(&one.net);
            let untagged = link.vlan.is_some() && card == Some(one.index);
            let kernels = one.is_link_local() || (theirs && one.net.addr().is_ipv6());
            if (stale && !kernels) || (untagged && !one.is_link_local()) {
                self.remove(one, &link.device).await?;
            }
        }
        for net in &link.addresses {
            let there = |a: &Address| a.index == device.index && a.net == *net;
            if !held.addresses.iter().any(there) {
                let request = self.handle.address();
                let request = request.add(device.index, net.addr(), net.prefix_len());
                // Another look may have come between.
                tolerate(request.execute().await, EEXIST).map_err(refused(|| {
                    format!("give {} the address {net}", link.device)
                }))?;
            }
        }
        Ok(())
    }

    async fn remove(&self, address: &Address, device: &str) -> Result<(), KernelError> {
        let request = self.handle.address().del(address.message.clone()).execute();
        let what = || format!("take the address {} from {device}", address.net);
        request.await.map_err(refused(what))
    }

    async fn rules(
        &self,
        plan: &Plan,
        note: &mut impl FnMut(&str, Result<(), KernelError>),
    ) -> Result<(), KernelError> {
        let held = self.our_rules().await?;
        for (rule, message) in &held {
            if !plan.rules.contains(rule) {
                let request = self.handle.rule().del(message.clone()).execute();
                note(
                    "",
                    request
                        .await
                        .map_err(refused(|| rule_words("remove", rule))),
                );
            }
        }
        for rule in &plan.rules {
            if !held.iter().any(|(there, _)| there == rule) {
                let result = tolerate(self.add_rule(rule).await, EEXIST);
                note("", result.map_err(refused(|| rule_words("add", rule))));
            }
        }
        Ok(())
    }

    async fn add_rule(&self, rule: &Rule) -> Result<(), rtnetlink::Error> {
        let protocol = RuleAttribute::Protocol(RouteProtocol::from(PROTOCOL));
        let request = self.handle.rule().add().table_id(rule.table);
        let request = request
            .action(RuleAction::ToTable)
            .priority(crate::plan::RULE_PRIORITY);
        match rule.from {
            IpAddr::V4(from) => {
                let mut request = request.v4().source_prefix(from, 32);
                request.message_mut().attributes.push(protocol);
                request.execute().await
            }
            IpAddr::V6(from) => {
                let mut request = request.v6().source_prefix(from, 128);
                request.message_mut().attributes.push(protocol);
                request.execute().await
            }
        }
    }

    async fn routes(
        &self,
        plan: &Plan,
        held: &Held,
        note: &mut impl FnMut(&str, Result<(), KernelError>),
    ) -> Result<(), KernelError> {
        let there = self.our_routes(&held.devices).await?;
        for (route, message) in &there {
            if !plan.routes.contains(route) {
                let request = self.handle.route().del(message.clone()).execute();
                let what = || route_words("remove", route);
                note(&route.device, request.await.map_err(refused(what)));
            }
        }
        // Routes through a gateway need the route to its link first.
        let mut wanted: Vec<&Route> = plan.routes.iter().collect();
        wanted.sort_by_key(|route| route.gateway.is_some());
        for route in wanted {
            let Some(device) = held.devices.get(&route.device) else {
                continue;
            };
            // A link that is down takes no route; it gets them when it comes up.
            if device.up && !there.iter().any(|(one, _)| one == route) {
                let what = || route_words("add", route);
                let added = self.add_route(route, device.index).await;
                note(
                    &route.device,
                    tolerate(added, EEXIST).map_err(refused(what)),
                );
            }
        }
        Ok(())
    }

    async fn add_route(&self, route: &Route, index: u32) -> Result<(), rtnetlink::Error> {
        let invalid = |error| rtnetlink::Error::InvalidNla(format!("{error:?}"));
        let (to, length) = (route.destination.addr(), route.destination.prefix_len());
        let mut builder = RouteMessageBuilder::<IpAddr>::new()
            .destination_prefix(to, length)
            .map_err(invalid)?
            .output_interface(index)
            .table_id(route.table)
            .protocol(RouteProtocol::from(PROTOCOL));
        builder = match route.gateway {
            Some(gateway) => builder.gateway(gateway).map_err(invalid)?,
            None => builder.scope(RouteScope::Link),
        };
        // A gateway on the link that no prefix of ours covers (IPv6 link-local) is on the link.
        if matches!((route.gateway, route.destination), (Some(_), IpNet::V6(_))) {
            builder = builder.onlink();
        }
        self.handle.route().add(builder.build()).execute().await
    }

    async fn change(
        &self,
        message: rtnetlink::packet_route::link::LinkMessage,
        what: impl FnOnce() -> String,
    ) -> Result<(), KernelError> {
        let request = self.handle.link().change(message).execute();
        request.await.map_err(refused(what))
    }
}

fn refused(what: impl FnOnce() -> String) -> impl FnOnce(rtnetlink::Error) -> KernelError {
    |error| KernelError::Request {
        what: what(),
        error,
    }
}

/// An error that says that it is already so is none.
fn tolerate(result: Result<(), rtnetlink::Error>, code: i32) -> Result<(), rtnetlink::Error> {
    match result {
        Err(rtnetlink::Error::NetlinkError(error)) if error.raw_code() == -code => Ok(()),
        other => other,
    }
}

fn rule_words(verb: &str, rule: &Rule) -> String {
    format!("{verb} the rule from {} to table {}", rule.from, rule.table)
}

fn route_words(verb: &str, route: &Route) -> String {
    let Route {
        table, destination, ..
    } = route;
    let via = route.gateway.map(|gateway| format!(" by {gateway}"));
    let via = via.unwrap_or_default();
    format!(
        "{verb} the route to {destination}{via} on {} in table {table}",
        route.device
    )
}

/// Sets the kernel's IPv6 switches of a device, if they are not so already.
fn switch_ipv6(device: &str, mode: Ipv6Mode) -> Result<(), KernelError> {
    let (off, accept, default_route) = match mode {
        Ipv6Mode::Off => ("1", "0", "0"),
        Ipv6Mode::Fixed => ("0", "0", "0"),
        Ipv6Mode::Auto { default_route } => ("0", "1", if default_route { "1" } else { "0" }),
    };
    let folder = format!("/proc/sys/net/ipv6/conf/{device}");
    if !fs::exists(&folder).unwrap_or(false) {
        // A kernel without IPv6 has it switched off.
        return Ok(());
    }
    let switches = [
        ("accept_ra", accept),
        ("autoconf", accept),
        ("accept_ra_defrtr", default_route),
    ];
    let differs = |(name, value): &(&str, &str)| {
        let now = fs::read_to_string(format!("{folder}/{name}"));
        now.map_or(true, |now| now.trim() != *value)
    };
    if switches.iter().any(differs) {
        // Off and on again drops what advertisements of before left.
        switch(&folder, "disable_ipv6", "1")?;
        for (name, value) in switches {
            switch(&folder, name, value)?;
        }
    }
    if differs(&("disable_ipv6", off)) {
        switch(&folder, "disable_ipv6", off)?;
    }
    Ok(())
}

fn switch(folder: &str, name: &str, value: &str) -> Result<(), KernelError> {
    let path = format!("{folder}/{name}");
    fs::write(&path, value).map_err(|error| KernelError::Switch { path, error })
}

/// Makes IPv6 off the beginning of every interface that appears later.
///
/// # Errors
/// When this process may not (CAP_NET_ADMIN).
pub fn ipv6_off_by_default() -> Result<(), KernelError> {
    switch_ipv6("default", Ipv6Mode::Off)
}
