//! The node's place in the network: what its settings say, for this process and for the two that
//! set up interfaces and clock. They read a file; only the log decides what is in it.

use crate::layout::{Layout, write_file};
use crate::operator_clock;
use anyhow::Context;
use network::time::clock::SetClock;
use network::{Interface, Ipv4, Ipv6};
use std::collections::BTreeMap;
use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Where the settings of this node are written for others to read.
#[derive(Clone, Debug)]
pub(crate) struct PlaceInNetwork {
    layout: Layout,
    /// Read by the processes of network and time; none where there are no such processes.
    network: Option<PathBuf>,
}

impl PlaceInNetwork {
    /// Keeps a copy in the node's folder, because the log is closed until somebody unlocks it.
    pub(crate) fn new(layout: Layout, network: Option<PathBuf>) -> Self {
        Self { layout, network }
    }

    /// The copy of the last start; empty before the set-up.
    pub(crate) fn read(&self) -> anyhow::Result<BTreeMap<String, String>> {
        let file = self.layout.settings_copy();
        match std::fs::read(&file) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(BTreeMap::new()),
            Err(e) => Err(e).with_context(|| format!("reading {}", file.display())),
            // A copy that cannot be read is made again from the log.
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).unwrap_or_default()),
        }
    }

    /// Writes the copy, and what the other processes read.
    pub(crate) fn write(&self, get: impl Fn(&str) -> String) -> anyhow::Result<()> {
        let all: BTreeMap<&str, String> = domain::setting::TABLE
            .iter()
            .map(|setting| (setting.id, get(setting.id)))
            .collect();
        let bytes = serde_json::to_vec_pretty(&all)?;
        write_file(&self.layout.settings_copy(), &bytes, 0o600)?;
        self.publish(&get)
    }

    /// Tells the processes of network and time.
    pub(crate) fn publish(&self, get: &impl Fn(&str) -> String) -> anyhow::Result<()> {
        let Some(file) = &self.network else {
            return Ok(());
        };
        let settings = network_settings(get)?;
        let bytes = serde_json::to_vec_pretty(&settings)?;
        write_file(file, &bytes, 0o644).with_context(|| format!("writing {}", file.display()))
    }

    /// Whether there is a process that sets the clock.
    pub(crate) fn sets_clock(&self) -> bool {
        self.network.is_some()
    }

    /// Has the clock set to what an operator typed, and goes by it from now on.
    pub(crate) fn set_clock(&self, request: &SetClock) -> Result<(), String> {
        let network = self.network.as_deref();
        let network = network.ok_or("nothing here sets the clock; the operating system does")?;
        let file = network.with_file_name("clock.json");
        let bytes = serde_json::to_vec(request).map_err(|e| e.to_string())?;
        write_file(&file, &bytes, 0o644).map_err(|e| format!("{}: {e}", file.display()))?;
        operator_clock::follow(request);
        Ok(())
    }

    /// Takes back what the other processes were told: the appliance is to be as new, and has no
    /// address until somebody sets it up.
    pub(crate) fn withdraw(&self) -> anyhow::Result<()> {
        let Some(file) = &self.network else {
            return Ok(());
        };
        match std::fs::remove_file(file) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                Err(e).with_context(|| format!("removing {}", file.display()))
            }
            _ => Ok(()),
        }
    }
}

/// The addresses at which the doors listen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Listen {
    pub(crate) kmip: SocketAddr,
    pub(crate) web: SocketAddr,
    pub(crate) status: SocketAddr,
    pub(crate) peer: SocketAddr,
}

impl Listen {
    /// As the settings say. Other members dial the address of this node, so where its port is not
    /// tied to one, it is open to them only if the node has a fixed one.
    pub(crate) fn of(get: &impl Fn(&str) -> String) -> anyhow::Result<Self> {
        let at = |id: &str| -> anyhow::Result<SocketAddr> { value(id, &get(id)) };
        let mut peer = at("cluster.listen")?;
        if peer.ip().is_unspecified() {
            let fixed = (get("eth0.ipv4") == "static").then(|| get("eth0.address"));
            let fixed = fixed.and_then(|cidr| cidr.split('/').next()?.parse::<IpAddr>().ok());
            peer.set_ip(fixed.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)));
        }
        Ok(Self {
            kmip: at("kmip.listen")?,
            web: at("web.listen")?,
            status: at(domain::setting::STATUS_LISTEN)?,
            peer,
        })
    }
}

/// The settings in the form that the other processes read, checked as they check them.
pub(crate) fn network_settings(get: &impl Fn(&str) -> String) -> anyhow::Result<network::Settings> {
    let (hostname, domain) = (get("hostname"), get("domain"));
    let fqdn = (!domain.is_empty()).then(|| format!("{hostname}.{domain}"));
    let mut interfaces = Vec::new();
    for name in ["eth0", "eth1"] {
        interfaces.extend(interface(name, get)?);
    }
    let list = |id: &str| -> Vec<String> {
        let words = get(id);
        let words = words.split([',', ' ']).map(str::trim);
        words.filter(|w| !w.is_empty()).map(str::to_owned).collect()
    };
    let outgoing = get("outgoing");
    let is_up = interfaces
        .iter()
        .any(|one: &Interface| one.name == outgoing);
    let settings = network::Settings {
        version: network::settings::VERSION,
        hostname,
        fqdn,
        outgoing: is_up.then_some(outgoing),
        interfaces,
        dns: list("dns")
            .iter()
            .map(|address| value("dns", address))
            .collect::<Result<_, _>>()?,
        ntp: list("ntp"),
        time_zone: get("timezone"),
    };
    settings.check(Path::new(network::settings::ZONEINFO))?;
    Ok(settings)
}

/// One interface; none when it is off altogether.
fn interface(name: &str, get: &impl Fn(&str) -> String) -> anyhow::Result<Option<Interface>> {
    let of = |part: &str| get(&format!("{name}.{part}"));
    let given = |part: &str| Some(of(part)).filter(|text| !text.is_empty());
    let id = |part: &str| format!("{name}.{part}");
    let ipv4 = match of("ipv4").as_str() {
        "dhcp" => Ipv4::Dhcp,
        "static" => Ipv4::Static {
            address: value(&id("address"), &of("address"))?,
            gateway: given("gateway")
                .map(|text| value(&id("gateway"), &text))
                .transpose()?,
        },
        _ => Ipv4::Off,
    };
    let ipv6 = match of("ipv6").as_str() {
        "auto" => Ipv6::Auto,
        "static" => Ipv6::Static {
            address: value(&id("ipv6.address"), &of("ipv6.address"))?,
            gateway: given("ipv6.gateway")
                .map(|text| value(&id("ipv6.gateway"), &text))
                .transpose()?,
        },
        _ => Ipv6::Off,
    };
    if matches!((&ipv4, &ipv6), (Ipv4::Off, Ipv6::Off)) {
        return Ok(None);
    }
    let vlan = given("vlan")
        .map(|text| value(&id("vlan"), &text))
        .transpose()?;
    Ok(Some(Interface {
        name: name.to_owned(),
        mac: None,
        mtu: None,
        vlan,
        ipv4,
        ipv6,
    }))
}

fn value<T: FromStr<Err: Display>>(id: &str, text: &str) -> anyhow::Result<T> {
    text.parse()
        .map_err(|e| anyhow::anyhow!("{id} is {text:?}: {e}"))
}
