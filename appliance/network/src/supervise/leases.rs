//! The DHCP clients of the interfaces that have one, with their sockets and leases.

use crate::dhcp::client::{Client, Input, Output};
use crate::dhcp::message::Lease;
use crate::dhcp::port::Port;
use crate::files::since_boot;
use crate::kernel::{Device, Held};
use crate::say;
use crate::settings::{Ipv4, Mac, Settings};
use crate::status::DhcpStatus;
use std::collections::BTreeMap;
use std::io;

/// All clients, by the name of their interface.
#[derive(Debug, Default)]
pub(super) struct Clients {
    all: BTreeMap<String, One>,
}

/// What a client was made for; when it changes, there is another client.
#[derive(Clone, Debug, PartialEq, Eq)]
struct For {
    device: String,
    index: u32,
    mac: Mac,
    hostname: String,
}

#[derive(Debug)]
struct One {
    made_for: For,
    client: Client,
    port: Port,
    lease: Option<Lease>,
    /// Whether the cable has a signal, and how often it had none.
    signal: bool,
    losses: u32,
}

/// Numbers that nobody can guess, from the library's own source of transaction numbers.
fn random() -> u32 {
    dhcproto::v4::Message::default().xid()
}

impl Clients {
    /// The leases that are held.
    pub(super) fn leases(&self) -> BTreeMap<String, Lease> {
        let held = |(name, one): (&String, &One)| Some((name.clone(), one.lease.clone()?));
        self.all.iter().filter_map(held).collect()
    }

    /// The states of all clients.
    pub(super) fn statuses(&self) -> BTreeMap<String, DhcpStatus> {
        let status = |(name, one): (&String, &One)| (name.clone(), one.client.status());
        self.all.iter().map(status).collect()
    }

    /// For `status.json`.
    pub(super) fn status(&self, name: &str) -> Option<DhcpStatus> {
        Some(self.all.get(name)?.client.status())
    }

    /// Makes and drops clients as the settings say, and tells them about their cables.
    pub(super) fn follow(&mut self, settings: Option<&Settings>, held: &Held) {
        let wanted = wanted(settings, held);
        self.all.retain(|name, one| {
            let stays = wanted
                .get(name)
                .is_some_and(|(new, _)| *new == one.made_for);
            if !stays {
                one.give_up();
            }
            stays
        });
        for (name, (made_for, device)) in wanted {
            let one = self.all.entry(name).or_insert_with(|| One::new(made_for));
            one.cable(device);
        }
    }

    /// Time passes; says whether a lease changed.
    pub(super) fn tick(&mut self) -> bool {
        let mut changed = false;
        for one in self.all.values_mut() {
            changed |= one.step(Input::Tick);
        }
        changed
    }

    /// A datagram came in for the client of an interface; says whether its lease changed.
    pub(super) fn datagram(&mut self, name: &str, datagram: io::Result<Vec<u8>>) -> bool {
        let Some(one) = self.all.get_mut(name) else {
            return false;
        };
        match datagram {
            Ok(bytes) => one.step(Input::Datagram(&bytes)),
            // ENETDOWN when the cable goes; the next look at the links says so too.
            Err(error) => {
                say!("{name}: DHCP: {error}");
                one.port = Port::new(&one.made_for.device, one.made_for.index);
                false
            }
        }
    }

    /// The next datagram for any client, with the name of its interface.
    pub(super) async fn receive(&self) -> (String, io::Result<Vec<u8>>) {
        let waiting: Vec<_> = self
            .all
            .iter()
            .map(|(name, one)| Box::pin(async { (name.clone(), one.port.receive().await) }))
            .collect();
        if waiting.is_empty() {
            return std::future::pending().await;
        }
        let (first, _, _) = futures_util::future::select_all(waiting).await;
        first
    }
}

fn wanted<'a>(settings: Option<&Settings>, held: &'a Held) -> BTreeMap<String, (For, &'a Device)> {
    let mut wanted = BTreeMap::new();
    let Some(settings) = settings else {
        return wanted;
    };
    for one in settings
        .interfaces
        .iter()
        .filter(|one| one.ipv4 == Ipv4::Dhcp)
    {
        // A VLAN's device is made by the first look, so its client begins with the second.
        let device = held.devices.get(&one.device());
        if let Some(device) = device.filter(|device| device.vlan == one.vlan)
            && let Some(mac) = device.mac
        {
            let made_for = For {
                device: device.name.clone(),
                index: device.index,
                mac,
                hostname: settings.hostname.clone(),
            };
            wanted.insert(one.name.clone(), (made_for, device));
        }
    }
    wanted
}

impl One {
    fn new(made_for: For) -> One {
        One {
            client: Client::new(made_for.mac, Some(made_for.hostname.clone()), random),
            port: Port::new(&made_for.device, made_for.index),
            made_for,
            lease: None,
            signal: false,
            losses: 0,
        }
    }

    fn cable(&mut self, device: &Device) {
        let signal = device.up && device.carrier;
        if self.signal && (!signal || device.losses != self.losses) {
            say!("{}: no signal", device.name);
            self.step(Input::Silence);
            self.signal = false;
        }
        if signal && !self.signal {
            self.step(Input::Signal);
            self.signal = true;
        }
        self.losses = device.losses;
    }

    /// Lets the client do its step; says whether the lease changed.
    fn step(&mut self, input: Input<'_>) -> bool {
        let before = self.lease.clone();
        let outputs = self.client.step(since_boot(), input);
        let device = self.made_for.device.clone();
        // Listening before asking, so that no answer is missed.
        if let Err(error) = self.port.follow(&self.client) {
            say!("{device}: DHCP: {error}");
        }
        for output in outputs {
            match output {
                Output::Bound(lease) => {
                    if self.lease.as_ref() != Some(&lease) {
                        say!("{device}: {} from {}", lease.address, lease.server);
                    }
                    self.lease = Some(lease);
                }
                Output::Lost => self.lease = None,
                Output::Say(words) => say!("{device}: DHCP: {words}"),
                send => {
                    if let Err(error) = self.port.send(&send) {
                        say!("{device}: DHCP: cannot send: {error}");
                    }
                }
            }
        }
        self.lease != before
    }

    /// The address is not needed any more, so others may have it.
    fn give_up(&self) {
        if let Some(release) = self.client.release()
            && let Err(error) = self.port.send(&release)
        {
            say!(
                "{}: cannot give back the lease: {error}",
                self.made_for.device
            );
        }
    }
}
