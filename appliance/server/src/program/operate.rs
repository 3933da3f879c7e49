//! Commands on a running node, spoken over its Unix socket.

pub(crate) use super::args::Client as ClientCommand;
pub(crate) use super::args::Confirmation;
pub(crate) use super::args::Fips as FipsCommand;
pub(crate) use super::args::KEYS_SHOWN;
pub(crate) use super::args::Log as LogCommand;
pub(crate) use super::args::Transfer as TransferCommand;
use super::args::{Client, ClusterCommand, Described, Epoch, Fips, Key, Log};
use super::args::{NodeCommand, Selftest, Slot, StateCommand, Transfer};
use crate::doors::control::TransferRequest;
use crate::doors::control::{ClusterRequest, Draft, FipsRequest, KeysRequest, Line, Request};
use crate::layout::Layout;
use anyhow::{Context, bail};
use serde_json::Value;
use std::io::{BufRead, BufReader, IsTerminal, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;
use zeroize::Zeroizing;

/// Longest passphrase that is read.
const PASSPHRASE_BYTES_MAX: u64 = 1024;

/// How an answer is shown.
pub(crate) enum Show {
    /// JSON: items a line each, or the result.
    Json,
    /// Records of the logs, a line each.
    Records,
    /// What was done, step by step.
    Steps,
    /// Transfer destinations and closed logs as tables, and the keys that go with them.
    Transfers,
    /// Items as a table with these columns.
    Table(&'static [&'static str]),
    /// The result, a field a line.
    Fields,
    /// The result: some parts of it as tables, after the rest.
    Parts(&'static [(&'static str, &'static [&'static str])]),
    /// The members of the cluster as a table, and how the cluster stands.
    Members,
}

/// Columns of the tables of clients, keys and slots.
pub(crate) const CLIENT_COLUMNS: &[&str] =
    &["name", "groups", "certificates", "objects", "revoked"];
pub(crate) const KEY_COLUMNS: &[&str] = &["uid", "type", "state", "owner", "name", "created"];
pub(crate) const SLOT_COLUMNS: &[&str] =
    &["id", "kind", "label", "recovery", "can_be_opened", "held"];

/// Columns of the table of members.
const MEMBER_COLUMNS: [&str; 10] = [
    "node",
    "leads",
    "role",
    "phase",
    "address",
    "version",
    "votes",
    "replicated_to",
    "agrees_to",
    "connected",
];

/// The tables of the transfer destinations and of what was closed last.
const TRANSFER_TABLES: [(&str, &[&str]); 2] = [
    (
        "destinations",
        &[
            "name",
            "to",
            "directory",
            "logs",
            "on",
            "waiting",
            "oldest_since",
            "problem",
        ],
    ),
    ("logs", &["log", "number", "records", "closed", "waiting"]),
];

fn send(dir: &Path, request: &Request) -> anyhow::Result<UnixStream> {
    let socket = Layout::new(dir).control_socket();
    let stream = UnixStream::connect(&socket).with_context(|| {
        let dir = dir.display();
        format!("no node answers in {dir} (start one with: strongroom dev --dir {dir})")
    })?;
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    (&stream).write_all(&line)?;
    Ok(stream)
}

/// Asks the node in a folder and gives the result.
pub(super) fn ask(dir: &Path, request: &Request) -> anyhow::Result<Value> {
    for line in BufReader::new(send(dir, request)?).lines() {
        match serde_json::from_str(&line?).context("the node's answer")? {
            Line::Done(done) => return Ok(done),
            Line::Error(error) => bail!(error),
            Line::Item(_) | Line::Progress(_) => {}
        }
    }
    bail!("the node ended before it answered")
}

/// Asks the node and shows its answer.
pub(super) fn run(dir: &Path, command: NodeCommand) -> anyhow::Result<ExitCode> {
    let (request, show) = request(command, &mut read_secret)?;
    let stream = send(dir, &request)?;
    let progress = match std::io::stderr().is_terminal() {
        true => Progress::Stderr,
        false => Progress::None,
    };
    let out = &mut std::io::stdout().lock();
    match print(BufReader::new(stream), &show, out, progress) {
        // `strongroom log show | head` ends the pipe, which is no error of ours.
        Err(e) if !is_broken_pipe(&e) => Err(e),
        _ => Ok(ExitCode::SUCCESS),
    }
}

pub(crate) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io = error.downcast_ref::<std::io::Error>();
    io.is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
}

/// Where a secret comes from that belongs to a command and must not stand in it.
pub(crate) type SecretSource<'s> = &'s mut dyn FnMut() -> anyhow::Result<Zeroizing<String>>;

/// What to ask the node for a command, and how to show the answer.
///
/// # Errors
/// The command is for a node that does not run, or there is no secret.
pub(crate) fn request(
    command: NodeCommand,
    secret: SecretSource<'_>,
) -> anyhow::Result<(Request, Show)> {
    let either = |json: bool, show| if json { Show::Json } else { show };
    Ok(match command {
        NodeCommand::Status { digest, json } => {
            (Request::Status { digest }, either(json, Show::Fields))
        }
        NodeCommand::Cluster(command) => cluster_request(command)?,
        NodeCommand::Log(Log::Rotate { log, json }) => {
            let request = Request::Transfer(TransferRequest::Rotate { log });
            let columns = &["log", "number", "from", "to", "file"];
            (request, either(json, Show::Table(columns)))
        }
        NodeCommand::Log(Log::Transfer(command)) => transfer_request(command, secret)?,
        NodeCommand::Log(Log::Show {
            view,
            last,
            json,
            follow,
        }) => (
            Request::LogShow { view, last, follow },
            either(json, Show::Records),
        ),
        NodeCommand::Client(Client::Add { name, groups, json }) => (
            Request::ClientAdd { name, groups },
            either(json, Show::Fields),
        ),
        NodeCommand::Client(Client::Revoke { name }) => {
            (Request::ClientRevoke { name }, Show::Fields)
        }
        NodeCommand::Client(Client::List { json }) => (
            Request::ClientList,
            either(json, Show::Table(CLIENT_COLUMNS)),
        ),
        NodeCommand::Key(command) => key_request(command)?,
        NodeCommand::Epoch(Epoch::Rotate { json }) => {
            (Request::EpochRotate, either(json, Show::Fields))
        }
        NodeCommand::State(StateCommand::Digest { replay, json }) => {
            (Request::StateDigest { replay }, either(json, Show::Fields))
        }
        NodeCommand::Export { out, json } => {
            let out = std::path::absolute(out)?;
            (Request::Export { out }, either(json, Show::Fields))
        }
        NodeCommand::Slot(command) => slot_request(command, secret)?,
        NodeCommand::Fips(command) => fips_request(command),
        NodeCommand::Selftest(Selftest::Run { json }) => {
            (Request::SelfTest, either(json, Show::Parts(TEST_PARTS)))
        }
    })
}

/// Columns of the tables of self-tests and parts.
const TEST_COLUMNS: &[&str] = &["name", "result", "time", "kind", "source", "fault"];
const TEST_PARTS: &[(&str, &[&str])] = &[("tests", TEST_COLUMNS)];
const FIPS_PARTS: &[(&str, &[&str])] = &[
    ("parts", &["name", "standing", "why"]),
    ("tests", TEST_COLUMNS),
    (
        "conditional",
        &["name", "result", "time", "passed", "failed"],
    ),
];
const PLAN_PARTS: &[(&str, &[&str])] = &[
    (
        "sessions",
        &["user", "from", "tls", "may_come_back_as_it_is"],
    ),
    ("objects", &["uid", "algorithm", "owner", "name"]),
    ("also", &[]),
];

/// What `fips status` asks, and how it is shown.
pub(crate) fn fips_status(json: bool) -> (Request, Show) {
    let show = match json {
        true => Show::Json,
        false => Show::Parts(FIPS_PARTS),
    };
    (Request::Fips(FipsRequest::Status), show)
}

fn fips_request(command: Fips) -> (Request, Show) {
    let (on, confirmation) = match command {
        Fips::Status { json } => return fips_status(json),
        Fips::Compliant(confirmation) => (true, confirmation),
        Fips::Off(confirmation) => (false, confirmation),
    };
    let Confirmation { confirm, json } = confirmation;
    let (request, parts) = match confirm {
        Some(plan) => (FipsRequest::Switch { on, plan }, FIPS_PARTS),
        None => (FipsRequest::Plan { on }, PLAN_PARTS),
    };
    let show = match json {
        true => Show::Json,
        false => Show::Parts(parts),
    };
    (Request::Fips(request), show)
}

fn key_request(command: Key) -> anyhow::Result<(Request, Show)> {
    let either = |json: bool, show| if json { Show::Json } else { show };
    let (request, show) = match command {
        Key::List { limit, json } => {
            let show = either(json, Show::Table(KEY_COLUMNS));
            return Ok((Request::KeyList { limit }, show));
        }
        Key::Show { uid, json } => {
            let show = either(json, Show::Fields);
            return Ok((Request::KeyShow { uid }, show));
        }
        Key::Create {
            owner,
            name,
            algorithm,
            bits,
            group,
            activate,
            json,
        } => {
            let create = KeysRequest::Create {
                owner,
                name,
                algorithm,
                bits,
                group,
                activate,
            };
            (create, either(json, Show::Fields))
        }
        Key::Activate { uid } => (KeysRequest::Activate { uid }, Show::Fields),
        Key::Revoke {
            uid,
            reason,
            message,
        } => {
            let reason = reason.code();
            let revoke = KeysRequest::Revoke {
                uid,
                reason,
                message,
            };
            (revoke, Show::Fields)
        }
        Key::Destroy { uid, yes } => {
            anyhow::ensure!(
                yes,
                "nothing brings a destroyed key back; say --yes if it is meant"
            );
            (KeysRequest::Destroy { uid }, Show::Fields)
        }
    };
    Ok((Request::Keys(request), show))
}

fn cluster_request(command: ClusterCommand) -> anyhow::Result<(Request, Show)> {
    let either = |json: bool, show| if json { Show::Json } else { show };
    let (request, show) = match command {
        ClusterCommand::Status { json } => (ClusterRequest::Status, either(json, Show::Members)),
        ClusterCommand::Ticket { json } => (ClusterRequest::Ticket, either(json, Show::Fields)),
        ClusterCommand::Requests { json } => {
            let columns = &["key", "cluster_ca", "address", "role", "version", "since"];
            (ClusterRequest::Requests, either(json, Show::Table(columns)))
        }
        ClusterCommand::Approve { key, .. } => (ClusterRequest::Approve { key }, Show::Fields),
        ClusterCommand::Deny { key } => (ClusterRequest::Deny { key }, Show::Fields),
        ClusterCommand::Remove { node } => (ClusterRequest::Remove { node }, Show::Fields),
        ClusterCommand::Leave => (ClusterRequest::Leave, Show::Fields),
        ClusterCommand::RotateCa { json } => (ClusterRequest::RotateCa, either(json, Show::Fields)),
        ClusterCommand::OfflineGet { limit, group } => {
            (ClusterRequest::OfflineGet { group, limit }, Show::Fields)
        }
        ClusterCommand::Resolve { reason } => (ClusterRequest::Resolve { reason }, Show::Fields),
        ClusterCommand::Scrub { json } => (ClusterRequest::Scrub, either(json, Show::Fields)),
        ClusterCommand::Salvage { from, yes, json } => {
            let columns = &["uid", "type", "state", "owner", "name", "outcome"];
            let from = std::path::absolute(from)?;
            let request = ClusterRequest::Salvage {
                from,
                carry_out: yes,
            };
            (request, either(json, Show::Table(columns)))
        }
        ClusterCommand::Join { .. } => bail!("a node that runs is a member already"),
        ClusterCommand::Rejoin | ClusterCommand::Recover { .. } => {
            bail!("this is done on a node that does not run")
        }
    };
    Ok((Request::Cluster(request), show))
}

/// A destination as it is described on the command line; none when it is not.
fn draft(
    name: &str,
    described: Described,
    off: bool,
    secret: SecretSource<'_>,
) -> anyhow::Result<Option<Draft>> {
    let Some(to) = described.to else {
        return Ok(None);
    };
    let password = match described.password {
        true => Some(secret()?.to_string()),
        false => None,
    };
    Ok(Some(Draft {
        name: name.to_owned(),
        to,
        directory: described.directory,
        host_key: described.host_key,
        recipients: described.recipients,
        logs: described.logs,
        off,
        password,
    }))
}

fn transfer_request(
    command: Transfer,
    secret: SecretSource<'_>,
) -> anyhow::Result<(Request, Show)> {
    let (request, show) = match command {
        Transfer::Show { json } => {
            let show = if json { Show::Json } else { Show::Transfers };
            (TransferRequest::Show, show)
        }
        Transfer::Put {
            name,
            described,
            off,
            untested,
        } => {
            let draft = draft(&name, described, off, secret)?;
            let draft = draft.context("say where to: --to USER@HOST")?;
            (TransferRequest::Put { draft, untested }, Show::Steps)
        }
        Transfer::Remove { name } => (TransferRequest::Remove { name }, Show::Fields),
        Transfer::Test { name, described } => {
            let draft = draft(&name, described, false, secret)?;
            (TransferRequest::Test { name, draft }, Show::Steps)
        }
        Transfer::Retry { name } => (TransferRequest::Retry { name }, Show::Fields),
    };
    Ok((Request::Transfer(request), show))
}

fn slot_request(command: Slot, secret: SecretSource<'_>) -> anyhow::Result<(Request, Show)> {
    let either = |json: bool, show| if json { Show::Json } else { show };
    Ok(match command {
        Slot::List { json } => (Request::SlotList, either(json, Show::Table(SLOT_COLUMNS))),
        Slot::AddPassphrase { recovery } => {
            let passphrase = secret()?.to_string();
            (
                Request::SlotAddPassphrase {
                    passphrase,
                    recovery,
                },
                Show::Fields,
            )
        }
        Slot::AddPkcs11 {
            module,
            token_serial,
        } => {
            let pin = secret()?.to_string();
            (
                Request::SlotAddPkcs11 {
                    module,
                    token_serial,
                    pin,
                },
                Show::Fields,
            )
        }
        Slot::Remove { id } => (Request::SlotRemove { id }, Show::Fields),
    })
}

/// The secret that a script or a file gives to the program.
fn read_secret() -> anyhow::Result<Zeroizing<String>> {
    let input = std::io::stdin();
    if input.is_terminal() {
        bail!(
            "give the secret on standard input, from a file or a pipe, so that no screen shows it"
        );
    }
    let mut text = Zeroizing::new(String::new());
    input
        .lock()
        .take(PASSPHRASE_BYTES_MAX)
        .read_to_string(&mut text)?;
    let length = text.trim_end_matches(['\r', '\n']).len();
    text.truncate(length);
    Ok(text)
}

/// Where it is shown how far something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    None,
    Stderr,
    /// On the line on which the answer will stand.
    Out,
}

impl Progress {
    /// Shows a line in place of the last one; an empty one takes it away.
    fn show(self, out: &mut impl Write, text: &str) -> std::io::Result<()> {
        match self {
            Self::None => return Ok(()),
            Self::Stderr => eprint!("\r\x1b[K{text}"),
            Self::Out => write!(out, "\r\x1b[K{text}")?,
        }
        out.flush()
    }
}

/// Shows an answer as it comes.
///
/// # Errors
/// What was refused and why, or the answer or the reader has ended too early.
pub(crate) fn print(
    answer: impl BufRead,
    show: &Show,
    out: &mut impl Write,
    progress: Progress,
) -> anyhow::Result<()> {
    let (mut rows, mut has_progress) = (Vec::new(), false);
    for line in answer.lines() {
        match serde_json::from_str(&line?).context("the node's answer")? {
            Line::Item(item) => match show {
                Show::Json => writeln!(out, "{item}")?,
                Show::Records => writeln!(out, "{}", record_line(&item))?,
                Show::Steps => {
                    let step = item.get("step").map(cell);
                    writeln!(out, "{}", step.unwrap_or_default())?;
                }
                Show::Table(_)
                | Show::Fields
                | Show::Parts(_)
                | Show::Members
                | Show::Transfers => rows.push(item),
            },
            Line::Progress(text) => {
                progress.show(out, &text)?;
                has_progress = true;
            }
            end => {
                if has_progress {
                    progress.show(out, "")?;
                }
                match end {
                    Line::Error(error) => bail!(error),
                    Line::Done(done) => return finish(out, &done, rows, show),
                    Line::Item(_) | Line::Progress(_) => {}
                }
            }
        }
    }
    bail!("the node ended before it answered")
}

fn finish(out: &mut impl Write, done: &Value, rows: Vec<Value>, show: &Show) -> anyhow::Result<()> {
    match show {
        Show::Json if done.as_object().is_some_and(serde_json::Map::is_empty) => {}
        // The count behind a list is for people; scripts count lines.
        Show::Json if done.get("shown").is_some() => {}
        Show::Json => writeln!(out, "{done}")?,
        Show::Records | Show::Steps => {}
        Show::Fields => fields(out, done, 0)?,
        Show::Parts(parts) => in_parts(out, done, parts)?,
        Show::Members => {
            let mut done = done.clone();
            let members = done.get_mut("members").map(Value::take);
            let members = members.unwrap_or_default();
            table(
                out,
                &MEMBER_COLUMNS,
                members.as_array().map_or(&[], Vec::as_slice),
            )?;
            writeln!(out)?;
            if let Some(map) = done.as_object_mut() {
                map.retain(|key, value| key != "members" && !value.is_null());
            }
            fields(out, &done, 0)?;
        }
        Show::Transfers => {
            for (part, columns) in TRANSFER_TABLES {
                table(
                    out,
                    columns,
                    done[part].as_array().map_or(&[], Vec::as_slice),
                )?;
                writeln!(out)?;
            }
            let mut done = done.clone();
            if let Some(map) = done.as_object_mut() {
                map.retain(|_, value| value.is_string());
            }
            fields(out, &done, 0)?;
        }
        Show::Table(columns) => {
            let rows = done.as_array().cloned().unwrap_or(rows);
            table(out, columns, &rows)?;
            if let (Some(shown), Some(total)) = (done["shown"].as_u64(), done["total"].as_u64())
                && shown < total
            {
                writeln!(out, "({shown} of {total}; --limit shows more)")?;
            }
        }
    }
    Ok(())
}

/// A line for each field, then the parts that are lists, each under its name.
fn in_parts(out: &mut impl Write, done: &Value, parts: &[(&str, &[&str])]) -> std::io::Result<()> {
    for (key, value) in done.as_object().into_iter().flatten() {
        if parts.iter().all(|(part, _)| part != key) {
            writeln!(out, "{}: {}", key.replace('_', " "), cell(value))?;
        }
    }
    for (part, columns) in parts {
        let rows = done.get(*part).and_then(Value::as_array);
        let rows = rows.map_or(&[][..], Vec::as_slice);
        if rows.is_empty() {
            continue;
        }
        writeln!(out, "\n{}:", part.replace('_', " "))?;
        if columns.is_empty() {
            for row in rows {
                writeln!(out, "  {}", cell(row))?;
            }
        } else {
            table(out, columns, rows)?;
        }
    }
    Ok(())
}

fn record_line(record: &Value) -> String {
    let text = |key: &str| record[key].as_str().unwrap_or_default().to_owned();
    let log = if record.get("access").is_some() {
        "a"
    } else {
        "c"
    };
    let n = record["n"].as_u64().unwrap_or_default();
    format!(
        "{:<24} {log}{n:<8} {:<8} {}",
        text("time"),
        text("view"),
        text("summary")
    )
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) if items.is_empty() => "-".to_owned(),
        Value::Array(items) => items.iter().map(cell).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

pub(crate) fn table(out: &mut impl Write, columns: &[&str], rows: &[Value]) -> std::io::Result<()> {
    let heads: Vec<String> = columns
        .iter()
        .map(|c| c.to_uppercase().replace('_', " "))
        .collect();
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|row| columns.iter().map(|c| cell(&row[c])).collect())
        .collect();
    let width = |at: usize| {
        let of_rows = cells
            .iter()
            .filter_map(|row| row.get(at))
            .map(|c| c.chars().count());
        of_rows
            .chain(heads.get(at).map(|h| h.chars().count()))
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    for row in std::iter::once(&heads).chain(&cells) {
        let padded = row
            .iter()
            .zip(&widths)
            .map(|(text, width)| format!("{text:<width$}"));
        writeln!(out, "{}", padded.collect::<Vec<_>>().join("  ").trim_end())?;
    }
    Ok(())
}

/// A field a line; structures indented below their name.
pub(crate) fn fields(out: &mut impl Write, value: &Value, depth: usize) -> std::io::Result<()> {
    let Some(map) = value.as_object() else {
        return writeln!(out, "{}{}", "  ".repeat(depth), cell(value));
    };
    let indent = "  ".repeat(depth);
    let width = map.keys().map(|k| k.len()).max().unwrap_or(0);
    for (key, value) in map {
        let name = key.replace('_', " ");
        match value {
            Value::Object(_) => {
                writeln!(out, "{indent}{name}:")?;
                fields(out, value, depth + 1)?;
            }
            Value::Array(items) if items.iter().any(Value::is_object) => {
                writeln!(out, "{indent}{name}:")?;
                for item in items {
                    let parts = item.as_object().into_iter().flatten();
                    let parts: Vec<_> = parts.map(|(_, v)| cell(v)).collect();
                    writeln!(out, "{indent}  {}", parts.join("  "))?;
                }
            }
            _ => writeln!(
                out,
                "{indent}{:<width$}  {}",
                format!("{name}:"),
                cell(value),
                width = width + 1
            )?,
        }
    }
    Ok(())
}
