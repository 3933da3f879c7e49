//! Changing settings: `configure`, and the same lines one after the other in a mode of their own.
//! Every line is a change of some settings of the table, all of them or none.

use super::commands::{Line, go_on, grammar, next, tell, text_of, with};
use super::talk::Talk;
use super::terminal::{Echo, Terminal, Typed};
use crate::cli::history::History;
use crate::doors::control::{ClockRequest, Request, SettingRequest};
use crate::program::operate::{Show, fields, table};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::Value;
use std::io::Write;
use std::net::IpAddr;

/// A line in the mode in which settings are changed.
type ConfigureLine = Line<InMode>;

#[derive(Debug, Subcommand)]
enum InMode {
    /// Leave this mode; everything is in force already.
    Exit,
    #[command(flatten)]
    Change(ConfigureCommand),
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigureCommand {
    /// Name of this node.
    #[command(after_help = "Example:\n  hostname keys-1")]
    Hostname {
        /// One label.
        name: String,
    },
    /// Domain of this node.
    #[command(after_help = "Example:\n  domain example.org")]
    Domain {
        /// Labels joined by dots.
        name: String,
    },
    /// Addresses of the interfaces.
    #[command(subcommand)]
    Ip(Ip),
    /// Router of an interface's network, for IPv4 or IPv6.
    #[command(after_help = "Example:\n  gateway 192.0.2.1 eth0")]
    Gateway {
        /// Its address.
        address: IpAddr,
        #[command(flatten)]
        on: On,
    },
    /// Which gateway is the default route.
    #[command(subcommand)]
    Outgoing(Outgoing),
    /// Servers that resolve names.
    #[command(after_help = "Example:\n  dns 192.0.2.53 2001:db8::53")]
    Dns {
        /// Up to three addresses.
        #[arg(required = true)]
        servers: Vec<String>,
    },
    /// Servers that say the time.
    #[command(after_help = "Example:\n  ntp ntp1.example.org 192.0.2.123")]
    Ntp {
        /// Up to four names or addresses.
        #[arg(required = true)]
        servers: Vec<String>,
    },
    /// Set the clock of the machine, where no time server does.
    #[command(
        after_help = "Example:\n  time 2026-11-23T05:30:00Z\n\n`show time` says what the \
        node goes by."
    )]
    Time {
        /// In UTC.
        utc: String,
    },
    /// Zone in which the console shows times.
    #[command(after_help = "Example:\n  timezone Europe/Berlin")]
    Timezone {
        /// Area/City, or UTC.
        zone: String,
    },
    /// Any setting, by the name that `show settings` gives it.
    #[command(after_help = "Example:\n  set password.length 14\n  \
        set eth0.ipv4 static eth0.address 192.0.2.10/24")]
    Set {
        /// Name and value, and more of them.
        #[arg(required = true, num_args = 2.., value_names = ["SETTING", "VALUE"])]
        pairs: Vec<String>,
    },
    /// Give a setting its default again.
    #[command(subcommand)]
    No(No),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Ip {
    /// A fixed address, for IPv4 or IPv6.
    #[command(after_help = "Examples:\n  ip address 192.0.2.10/24 eth0\n  \
        ip address 2001:db8::10/64 eth0")]
    Address {
        /// With the length of the prefix.
        address: String,
        #[command(flatten)]
        on: On,
    },
    /// An IPv4 address from a DHCP server.
    Dhcp {
        #[command(flatten)]
        on: On,
    },
    /// IPv6 addresses as routers announce them.
    Auto {
        #[command(flatten)]
        on: On,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Outgoing {
    /// That of this interface.
    #[command(after_help = "Example:\n  outgoing gateway eth1")]
    Gateway {
        /// The interface.
        interface: Interface,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum No {
    /// No domain.
    Domain,
    /// No addresses of an interface.
    #[command(subcommand)]
    Ip(NoIp),
    /// No gateways of an interface.
    Gateway {
        #[command(flatten)]
        on: On,
    },
    /// The servers that DHCP names, if any.
    Dns,
    /// The clock of the machine.
    Ntp,
    /// Times in UTC.
    Timezone,
    /// The default of these settings.
    Set {
        /// Their names.
        #[arg(required = true)]
        settings: Vec<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum NoIp {
    /// Neither IPv4 nor IPv6.
    Address {
        #[command(flatten)]
        on: On,
    },
}

#[derive(Debug, Args)]
pub(crate) struct On {
    /// The interface.
    #[arg(default_value = "eth0")]
    interface: Interface,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Interface {
    /// The first.
    Eth0,
    /// The second.
    Eth1,
}

impl Interface {
    const fn name(self) -> &'static str {
        match self {
            Self::Eth0 => "eth0",
            Self::Eth1 => "eth1",
        }
    }

    /// A setting of it.
    fn of(self, part: &str) -> String {
        format!("{}.{part}", self.name())
    }
}

/// Settings with their new values, or with none for the default.
type Values = Vec<(String, Option<String>)>;

impl ConfigureCommand {
    /// What the line changes.
    fn values(self) -> anyhow::Result<Values> {
        let one = |id: &str, value: String| vec![(id.to_owned(), Some(value))];
        Ok(match self {
            Self::Hostname { name } => one("hostname", name),
            Self::Domain { name } => one("domain", name),
            Self::Ip(ip) => ip.values(),
            Self::Gateway { address, on } => {
                let part = if address.is_ipv6() {
                    "ipv6.gateway"
                } else {
                    "gateway"
                };
                one(&on.interface.of(part), address.to_string())
            }
            Self::Outgoing(Outgoing::Gateway { interface }) => {
                one("outgoing", interface.name().to_owned())
            }
            Self::Dns { servers } => one("dns", servers.join(" ")),
            Self::Ntp { servers } => one("ntp", servers.join(" ")),
            Self::Timezone { zone } => one("timezone", zone),
            Self::Set { pairs } => {
                let (pairs, odd) = pairs.as_chunks();
                anyhow::ensure!(
                    odd.is_empty(),
                    "{} has no value; names and values come in turns",
                    odd.join(" ")
                );
                let pair = |[id, value]: &[String; 2]| (id.clone(), Some(value.clone()));
                pairs.iter().map(pair).collect()
            }
            Self::No(no) => no.values(),
            Self::Time { .. } => {
                anyhow::bail!("the clock is set at the console or over SSH: configure time")
            }
        })
    }
}

impl Ip {
    fn values(self) -> Values {
        let (mode, word, address) = match &self {
            Self::Address { address, .. } if address.contains(':') => {
                ("ipv6", "static", Some(("ipv6.address", address.clone())))
            }
            Self::Address { address, .. } => ("ipv4", "static", Some(("address", address.clone()))),
            Self::Dhcp { .. } => ("ipv4", "dhcp", None),
            Self::Auto { .. } => ("ipv6", "auto", None),
        };
        let (Self::Address { on, .. } | Self::Dhcp { on } | Self::Auto { on }) = &self;
        let mut values = vec![(on.interface.of(mode), Some(word.to_owned()))];
        values.extend(address.map(|(part, value)| (on.interface.of(part), Some(value))));
        values
    }
}

impl No {
    fn values(self) -> Values {
        let one = |id: &str| vec![(id.to_owned(), None)];
        match self {
            Self::Domain => one("domain"),
            Self::Ip(NoIp::Address { on }) => {
                let off = |part: &str| (on.interface.of(part), Some("off".to_owned()));
                vec![off("ipv4"), off("ipv6")]
            }
            Self::Gateway { on } => {
                let none = |part: &str| (on.interface.of(part), None);
                vec![none("gateway"), none("ipv6.gateway")]
            }
            Self::Dns => one("dns"),
            Self::Ntp => one("ntp"),
            Self::Timezone => one("timezone"),
            Self::Set { settings } => settings.into_iter().map(|id| (id, None)).collect(),
        }
    }
}

/// Takes lines until somebody has changed enough.
pub(super) fn lines(
    terminal: &mut Terminal<'_>,
    talk: &Talk,
    token: &str,
    history: &mut History,
) -> anyhow::Result<()> {
    let grammar = grammar::<ConfigureLine>();
    terminal.say("Each line is in force at once; exit leaves.")?;
    loop {
        let line = next::<ConfigureLine>(terminal, "strongroom(config)>", &grammar, history)?;
        let done = match line.map(|line| line.command) {
            None => continue,
            Some(InMode::Exit) => return Ok(()),
            Some(InMode::Change(command)) => carry_out(terminal, talk, token, command),
        };
        if !go_on(terminal, talk, token, done)? {
            return Ok(());
        }
    }
}

/// Carries one line out.
pub(super) fn carry_out(
    terminal: &mut Terminal<'_>,
    talk: &Talk,
    token: &str,
    command: ConfigureCommand,
) -> anyhow::Result<()> {
    if let ConfigureCommand::Time { utc } = command {
        return set_clock(terminal, talk, token, utc);
    }
    let answer = &talk.ask(&with(token, request(command)?))?;
    changed(&mut terminal.plain(), answer)
}

/// What to ask the node for a line.
///
/// # Errors
/// It changes no setting.
pub(crate) fn request(command: ConfigureCommand) -> anyhow::Result<Request> {
    let values = command.values()?;
    Ok(Request::Setting(SettingRequest::Change { values }))
}

/// Shows what was changed.
///
/// # Errors
/// The reader is gone.
pub(crate) fn changed(out: &mut impl Write, answer: &Value) -> anyhow::Result<()> {
    let rows = answer["changed"].as_array().map_or(&[][..], Vec::as_slice);
    if rows.is_empty() {
        return Ok(writeln!(out, "It was so already.")?);
    }
    table(out, &["setting", "was", "is"], rows)?;
    let waits = answer["from_the_next_start_on"].as_array();
    let waits: Vec<&str> = waits
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    if !waits.is_empty() {
        let which = waits.join(", ");
        writeln!(
            out,
            "In force from the next start of the daemon on: {which}. Clients lose it for a few \
             seconds then: services restart core"
        )?;
    }
    Ok(())
}

/// Sets the clock of the machine; asks first when it is set far away.
fn set_clock(
    terminal: &mut Terminal<'_>,
    talk: &Talk,
    token: &str,
    utc: String,
) -> anyhow::Result<()> {
    let set = |typed_at| {
        let utc = utc.clone();
        talk.ask(&with(
            token,
            Request::Clock(ClockRequest::Set { utc, typed_at }),
        ))
    };
    let mut answer = set(None)?;
    if let Some(consequences) = text_of(&answer, "confirm") {
        let prompt = format!("{consequences} yes [time.confirm]");
        match terminal.ask(&prompt, Echo::Shown)? {
            Typed::Line(typed) if typed.trim() == "yes" => {
                answer = set(answer.get("typed_at").and_then(Value::as_i64))?;
            }
            _ => return Ok(terminal.say("Nothing was done.")?),
        }
    }
    Ok(fields(&mut terminal.plain(), &answer, 0)?)
}

/// Lists all settings.
pub(super) fn list(
    terminal: &mut Terminal<'_>,
    talk: &Talk,
    token: &str,
    json: bool,
) -> anyhow::Result<()> {
    let show = match json {
        true => Show::Json,
        false => Show::Table(&["setting", "value", "default", "title"]),
    };
    tell(
        terminal,
        talk,
        &with(token, Request::Setting(SettingRequest::List)),
        &show,
    )
}

/// Shows what the processes of network and time say.
pub(super) fn network(
    terminal: &mut Terminal<'_>,
    talk: &Talk,
    token: &str,
    json: bool,
) -> anyhow::Result<()> {
    let answer = &talk.ask(&with(token, Request::Setting(SettingRequest::Network)))?;
    if json {
        return Ok(terminal.say(&answer.to_string())?);
    }
    if answer["network"].is_null() {
        return Ok(terminal.say("The operating system around this program sets up the network.")?);
    }
    let mut out = terminal.pager();
    let interfaces = answer
        .pointer("/network/interfaces")
        .and_then(Value::as_array);
    let columns = [
        "name",
        "up",
        "carrier",
        "mac",
        "vlan",
        "addresses",
        "gateways",
        "problem",
    ];
    table(
        &mut out,
        &columns,
        interfaces.map_or(&[][..], Vec::as_slice),
    )?;
    writeln!(out)?;
    for part in ["network", "time"] {
        let mut rest = answer[part].clone();
        if let Some(map) = rest.as_object_mut() {
            map.retain(|key, value| key != "interfaces" && key != "version" && !value.is_null());
            writeln!(out, "{part}:")?;
        }
        fields(&mut out, &rest, 1)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use clap::Parser;

    fn values(line: &str) -> Values {
        let line = Line::<ConfigureCommand>::try_parse_from(line.split(' '));
        line.unwrap().command.values().unwrap()
    }

    fn is(id: &str, value: &str) -> (String, Option<String>) {
        (id.to_owned(), Some(value.to_owned()))
    }

    #[test]
    fn a_line_is_settings_of_the_table() {
        for (line, wanted) in [
            ("hostname keys-2", vec![is("hostname", "keys-2")]),
            (
                "ip address 192.0.2.10/24",
                vec![
                    is("eth0.ipv4", "static"),
                    is("eth0.address", "192.0.2.10/24"),
                ],
            ),
            (
                "ip address 2001:db8::10/64 eth1",
                vec![
                    is("eth1.ipv6", "static"),
                    is("eth1.ipv6.address", "2001:db8::10/64"),
                ],
            ),
            ("ip dhcp eth1", vec![is("eth1.ipv4", "dhcp")]),
            ("ip auto", vec![is("eth0.ipv6", "auto")]),
            ("gateway 192.0.2.1", vec![is("eth0.gateway", "192.0.2.1")]),
            (
                "gateway fe80::1 eth1",
                vec![is("eth1.ipv6.gateway", "fe80::1")],
            ),
            ("outgoing gateway eth1", vec![is("outgoing", "eth1")]),
            (
                "dns 192.0.2.53 192.0.2.54",
                vec![is("dns", "192.0.2.53 192.0.2.54")],
            ),
            ("no ntp", vec![("ntp".to_owned(), None)]),
            (
                "set dns none ntp a.example",
                vec![is("dns", "none"), is("ntp", "a.example")],
            ),
        ] {
            assert_eq!(values(line), wanted, "{line}");
            for (id, _) in values(line) {
                assert!(domain::setting::find(&id).is_some(), "{id}");
            }
        }
        let odd = Line::<ConfigureCommand>::try_parse_from(["set", "dns", "none", "ntp"]);
        assert!(odd.unwrap().command.values().is_err());
    }
}
