//! `show`: what the appliance is and does, one thing at a time.

use super::commands::{node_command, tell, text_of, with};
use super::talk::Talk;
use super::terminal::Terminal;
use super::{administration, configure, health};
use crate::doors::control::ServicesRequest;
use crate::doors::control::{ClockRequest, ClusterRequest, IdentityRequest, Request};
use crate::program::NodeCommand;
use crate::program::operate::{self, Show as Shown, fields, table};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::io::Write;

/// Records that `show log` shows when it is not told how many.
const RECORDS: u64 = 40;

/// How certificates are shown.
const CERTIFICATES: Shown = Shown::Parts(&[(
    "certificates",
    &[
        "for",
        "subject",
        "serial",
        "not_before",
        "not_after",
        "days_left",
        "sha256",
    ],
)]);

/// How copies are shown.
const COPIES: Shown = Shown::Parts(&[
    (
        "members",
        &[
            "node",
            "role",
            "phase",
            "holds_keys",
            "durable_to",
            "agrees_to",
            "connected",
        ],
    ),
    (
        "destinations",
        &[
            "destination",
            "log",
            "confirmed",
            "closed",
            "records_to",
            "closed_on",
        ],
    ),
]);

/// How the time is shown.
const TIME: Shown = Shown::Parts(&[(
    "servers",
    &[
        "name",
        "address",
        "reachable",
        "used",
        "offset_milliseconds",
        "delay_milliseconds",
        "stratum",
        "problem",
    ],
)]);

/// What can be shown.
#[derive(Debug, Subcommand)]
pub(super) enum Show {
    /// Whether the node serves, and its figures.
    Status(AsJson),
    /// The version of the program, and the verified system that it runs in.
    Version(AsJson),
    /// The processes of the appliance, and the ports that listen.
    Services(AsJson),
    /// Interfaces, name servers and time servers, as they are.
    Network(AsJson),
    /// The time, what this node goes by, and its time servers.
    Time(AsJson),
    /// All settings, with their defaults.
    Settings(AsJson),
    /// The set-up file that gives this configuration again, without secrets.
    RunningConfig,
    /// The latest records of one of the four logs, or where closed logs go.
    #[command(subcommand)]
    Log(ShowLog),
    /// The members of the cluster, and how far they agree.
    Cluster(AsJson),
    /// Every certificate and key that this node shows, signs with or has issued, with its end.
    Cert(AsJson),
    /// Which copies there are of keys and logs.
    Backups(AsJson),
    /// The clients and their certificates.
    Clients(AsJson),
    /// The keys and other objects.
    Keys(AsJson),
    /// One key or other object: attributes and history.
    Key {
        /// Its unique identifier.
        uid: String,
        #[command(flatten)]
        json: AsJson,
    },
    /// What opens the vault at start.
    Slots(AsJson),
    /// Approved-algorithms mode and self-tests.
    #[command(subcommand)]
    Fips(ShowFips),
    /// The administrators and what they may do.
    Admins(AsJson),
    /// Boot, processes and their confinement, ports that listen, self-test, as the kernel tells.
    Health(AsJson),
}

#[derive(Clone, Copy, Debug, Args)]
pub(super) struct AsJson {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum ShowFips {
    /// Mode, parts and self-tests.
    Status(AsJson),
}

#[derive(Debug, Subcommand)]
pub(super) enum ShowLog {
    /// Nodes, settings, epochs, closed logs.
    System(Records),
    /// What people and clients changed, and what was refused of that.
    Audit(Records),
    /// What clients read.
    Activity(Records),
    /// Refusals and failures that clients met.
    Clientevent(Records),
    /// The transfer destinations and what waits for them.
    Transfer(AsJson),
}

#[derive(Debug, Args)]
pub(super) struct Records {
    /// So many of the latest records of each log.
    #[arg(long, value_name = "N", default_value_t = RECORDS)]
    last: u64,
    #[command(flatten)]
    json: AsJson,
}

impl ShowLog {
    /// The same as the program has it.
    fn command(self) -> NodeCommand {
        let (view, records) = match self {
            Self::System(records) => ("system", records),
            Self::Audit(records) => ("audit", records),
            Self::Activity(records) => ("activity", records),
            Self::Clientevent(records) => ("client", records),
            Self::Transfer(AsJson { json }) => {
                let show = operate::TransferCommand::Show { json };
                return NodeCommand::Log(operate::LogCommand::Transfer(show));
            }
        };
        NodeCommand::Log(operate::LogCommand::Show {
            view: Some(view.to_owned()),
            last: Some(records.last),
            json: records.json.json,
            follow: false,
        })
    }
}

/// Shows it.
pub(super) fn carry_out(
    terminal: &mut Terminal<'_>,
    talk: &Talk,
    token: &str,
    show: Show,
) -> anyhow::Result<()> {
    let (request, AsJson { json }, shown) = match show {
        Show::RunningConfig => {
            let config = talk.ask(&with(token, Request::RunningConfig))?;
            let text = text_of(&config, "text").unwrap_or_default();
            return Ok(writeln!(terminal.pager(), "{}", text.trim_end())?);
        }
        Show::Version(json) => return version(terminal, talk, token, json),
        Show::Services(json) => return services(terminal, talk, token, json),
        Show::Network(AsJson { json }) => return configure::network(terminal, talk, token, json),
        Show::Time(json) => (Request::Clock(ClockRequest::Show), json, TIME),
        Show::Cert(json) => (
            Request::Identity(IdentityRequest::Certificates),
            json,
            CERTIFICATES,
        ),
        Show::Backups(json) => (Request::Copies, json, COPIES),
        Show::Settings(AsJson { json }) => return configure::list(terminal, talk, token, json),
        Show::Admins(AsJson { json }) => return administration::list(terminal, talk, token, json),
        Show::Health(AsJson { json }) => {
            let status = machine(talk, token)?;
            match json {
                true => terminal.say(&status.to_string())?,
                false => health::show(&mut terminal.pager(), status)?,
            }
            return Ok(());
        }
        Show::Fips(ShowFips::Status(AsJson { json })) => {
            let (request, shown) = operate::fips_status(json);
            return tell(terminal, talk, &with(token, request), &shown);
        }
        Show::Log(log) => return node_command(terminal, talk, token, log.command()),
        Show::Status(json) => (Request::Status { digest: false }, json, Shown::Fields),
        Show::Cluster(json) => (
            Request::Cluster(ClusterRequest::Status),
            json,
            Shown::Members,
        ),
        Show::Clients(json) => {
            let columns = operate::CLIENT_COLUMNS;
            (Request::ClientList, json, Shown::Table(columns))
        }
        Show::Keys(json) => {
            let limit = operate::KEYS_SHOWN;
            let columns = operate::KEY_COLUMNS;
            (Request::KeyList { limit }, json, Shown::Table(columns))
        }
        Show::Key { uid, json } => (Request::KeyShow { uid }, json, Shown::Fields),
        Show::Slots(json) => {
            let columns = operate::SLOT_COLUMNS;
            (Request::SlotList, json, Shown::Table(columns))
        }
    };
    let shown = if json { Shown::Json } else { shown };
    tell(terminal, talk, &with(token, request), &shown)
}

/// What PID 1 says of the machine. Only administrators are told, and only who may do more than
/// change the password.
fn machine(talk: &Talk, token: &str) -> anyhow::Result<Value> {
    talk.ask(&with(token, Request::Status { digest: false }))?;
    talk.init("status")
}

fn version(
    terminal: &mut Terminal<'_>,
    talk: &Talk,
    token: &str,
    AsJson { json }: AsJson,
) -> anyhow::Result<()> {
    let status = &talk.ask(&with(token, Request::Status { digest: false }))?;
    let mut version = json!({ "strongroom": status["version"] });
    // Without a PID 1 of ours the operating system around the program is somebody else's.
    if let Ok(machine) = &talk.init("status")
        && let Some(fields) = version.as_object_mut()
    {
        fields.insert("kernel".to_owned(), machine["kernel"].clone());
        fields.insert("root".to_owned(), machine["root"].clone());
    }
    match json {
        true => terminal.say(&version.to_string())?,
        false => fields(&mut terminal.pager(), &version, 0)?,
    }
    Ok(())
}

fn services(
    terminal: &mut Terminal<'_>,
    talk: &Talk,
    token: &str,
    AsJson { json }: AsJson,
) -> anyhow::Result<()> {
    let status = &talk.ask(&with(token, Request::Status { digest: false }))?;
    let machine = &talk.init("status").unwrap_or_default();
    let doors = talk.ask(&with(token, Request::Services(ServicesRequest::List)))?;
    if json {
        let services = json!({
            "kmip": status["kmip"], "web": status["web"], "doors": doors,
            "services": machine["services"], "listening": machine["listening"],
        });
        return Ok(terminal.say(&services.to_string())?);
    }
    let mut out = terminal.pager();
    let rows = doors.as_array().map_or(&[][..], Vec::as_slice);
    table(&mut out, &["service", "state", "address", "problem"], rows)?;
    writeln!(out)?;
    if let Some(rows) = machine["services"].as_array() {
        table(
            &mut out,
            &["name", "state", "user", "restarts", "last_words"],
            rows,
        )?;
        writeln!(out)?;
    }
    if !machine["listening"].is_null() {
        fields(&mut out, &json!({ "listening": machine["listening"] }), 0)?;
    }
    Ok(())
}

/// What is left of an object without some of its fields.
pub(super) fn without(value: &Value, fields: &[&str]) -> Value {
    let mut rest = value.clone();
    if let Some(map) = rest.as_object_mut() {
        map.retain(|key, _| !fields.contains(&key.as_str()));
    }
    rest
}
