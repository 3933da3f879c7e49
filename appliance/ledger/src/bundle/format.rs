//! The texts of a bundle: how each is written, and the one form in which it is read.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::checkpoint::{NoteKey, SignatureKind};
use crate::tree::Hash;

/// What an export is signed for: `ssh-keygen -n`. A signature for another purpose does not count.
pub const NAMESPACE: &str = "strongroom-log-v1";

/// Namespace of the signatures over what a node says of itself.
pub const STATUS_NAMESPACE: &str = "strongroom-status-v1";

pub(super) const MANIFEST_NAME: &str = "SHA256SUMS";
pub(super) const STATEMENT_NAME: &str = "EXPORT.txt";
pub(super) const SIGNATURE_NAME: &str = "EXPORT.txt.sig";
pub(super) const KEYS_NAME: &str = "keys.json";
pub(super) const SIGNERS_NAME: &str = "allowed_signers";
pub(super) const GUIDE_NAME: &str = "VERIFY.md";
pub(super) const CHECKPOINT_NAME: &str = "checkpoint";
/// The files that the manifest does not list.
pub(super) const UNLISTED_NAMES: [&str; 3] = [MANIFEST_NAME, STATEMENT_NAME, SIGNATURE_NAME];

/// Lines of one part: an editor opens that, and 10 million records are 200 files.
pub(super) const PART_LINES_MAX: u64 = 50_000;
/// Bytes of one part before the next is begun: far under the 8 GiB a tar header can say.
pub(super) const PART_BYTES_MAX: u64 = 1 << 30;
/// Longest line, bytes: a record of 60 KiB is 80 KiB in base64, the rest is for its rendering.
pub(super) const LINE_BYTES_MAX: usize = 1 << 20;
/// Longest rendering that is exported, bytes; a longer one is replaced by a note, because an event
/// that is long to read must not make the log impossible to export.
const EVENT_BYTES_MAX: usize = 512 << 10;
/// Longest name of a log, and longest principal, bytes.
const NAME_BYTES_MAX: usize = 64;

const STATEMENT_TITLE: &str = "Strongroom log export, format 1";
const KEYS_FORMAT: &str = "strongroom-log-keys-1";

/// Whether this can be the name of a log: it becomes a folder.
pub(super) fn is_log_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (1..=NAME_BYTES_MAX).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(allowed)
}

/// Whether this can be a principal: it becomes part of a shell command.
pub(super) fn is_principal(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "@._-".contains(c);
    (1..=NAME_BYTES_MAX).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(allowed)
}

/// Path of the part of a log that begins with this record.
pub(super) fn part_path(log: &str, first: u64) -> String {
    format!("{log}/{first:012}.jsonl")
}

/// Reads [`part_path`] for a given log.
pub(super) fn part_first(log: &str, path: &str) -> Option<u64> {
    let name = path.strip_prefix(log)?.strip_prefix('/')?;
    let first = name.strip_suffix(".jsonl")?.parse().ok()?;
    (part_path(log, first) == path).then_some(first)
}

pub(super) fn checkpoint_path(log: &str) -> String {
    format!("{log}/{CHECKPOINT_NAME}")
}

/// The `event` of a line: the rendering, or what stands for it. Writer and verifier use this one.
pub(super) fn event_text(rendered: Result<Value, String>) -> String {
    let text = match rendered {
        Ok(value) => value.to_string(),
        Err(reason) => serde_json::json!({ "unrendered": reason }).to_string(),
    };
    if text.len() <= EVENT_BYTES_MAX {
        return text;
    }
    let reason = format!(
        "the rendering has {} bytes, over the limit of an export",
        text.len()
    );
    serde_json::json!({ "unrendered": reason }).to_string()
}

/// One line of a part, its line break included.
pub(super) fn line_text(n: u64, record: &[u8], event: &str) -> String {
    format!(
        "{{\"n\":{n},\"record\":\"{}\",\"event\":{event}}}\n",
        BASE64.encode(record)
    )
}

/// A line taken apart.
#[derive(Debug)]
pub(super) struct Line<'a> {
    pub(super) record: Vec<u8>,
    /// The JSON text of the event.
    pub(super) event: &'a str,
}

/// Number that a line claims; enough to say where it belongs when the rest is damaged.
pub(super) fn line_number(line: &str) -> Option<u64> {
    let (digits, _) = line.strip_prefix("{\"n\":")?.split_once(',')?;
    let n: u64 = digits.parse().ok()?;
    (n.to_string() == digits).then_some(n)
}

/// Reads [`line_text`] without the line break; nothing but exactly that form.
pub(super) fn parse_line(line: &str) -> Option<Line<'_>> {
    let n = line_number(line)?;
    let (_, rest) = line.split_once(",\"record\":\"")?;
    let (record, rest) = rest.split_once("\",\"event\":")?;
    let event = rest.strip_suffix('}')?;
    // The strict decoder refuses missing padding and unused bits, so one record has one text.
    let record = BASE64.decode(record).ok()?;
    let is_whole = !record.is_empty() && line.starts_with(&format!("{{\"n\":{n},\"record\":\""));
    is_whole.then_some(Line { record, event })
}

/// What `EXPORT.txt` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Statement {
    /// RFC 3339, UTC.
    pub(super) time: String,
    pub(super) principal: String,
    pub(super) logs: Vec<LogStatement>,
    /// SHA-256 of the manifest.
    pub(super) manifest: Hash,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LogStatement {
    pub(super) name: String,
    pub(super) origin: String,
    pub(super) size: u64,
    pub(super) root: Hash,
    /// Only these of its records, in a closed log.
    pub(super) view: Option<ViewStatement>,
}

/// Which records of a log a closed log shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ViewStatement {
    pub(super) name: String,
    /// The first record of the range.
    pub(super) from: u64,
    /// Root over the records before it.
    pub(super) previous: Hash,
}

impl LogStatement {
    /// Under which name a verifier remembers it.
    pub(super) fn state_key(&self) -> String {
        match &self.view {
            None => self.origin.clone(),
            Some(view) => format!("{} {}", self.origin, view.name),
        }
    }
}

impl Statement {
    pub(super) fn to_text(&self) -> String {
        let mut text = format!("{STATEMENT_TITLE}\nTime: {}\n", self.time);
        text.push_str(&format!("Signer: {}\n", self.principal));
        for LogStatement {
            name,
            origin,
            size,
            root,
            view,
        } in &self.logs
        {
            let from = view.as_ref().map_or(0, |view| view.from);
            let records = match size.checked_sub(1) {
                None => "none".to_owned(),
                Some(last) => format!("{from} to {last}"),
            };
            text.push_str(&format!("Log: {name}\nOrigin: {origin}\nSize: {size}\n"));
            text.push_str(&format!("Root: {}\nRecords: {records}\n", root.to_base64()));
            if let Some(ViewStatement { name, previous, .. }) = view {
                let previous = previous.to_base64();
                text.push_str(&format!("View: {name}\nPrevious: {previous}\n"));
            }
        }
        // In the form of sha256sum, so that `grep` and `sha256sum --check` verify it.
        text.push_str(&format!("{}  {MANIFEST_NAME}\n", self.manifest));
        text
    }

    /// Reads [`Statement::to_text`]; `None` for anything else.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines().peekable();
        lines.next().filter(|title| *title == STATEMENT_TITLE)?;
        let time = lines.next()?.strip_prefix("Time: ")?.to_owned();
        OffsetDateTime::parse(&time, &Rfc3339).ok()?;
        let principal = lines.next()?.strip_prefix("Signer: ")?.to_owned();
        let mut logs: Vec<LogStatement> = Vec::new();
        while let Some(name) = lines.peek().and_then(|line| line.strip_prefix("Log: ")) {
            lines.next();
            let origin = lines.next()?.strip_prefix("Origin: ")?.to_owned();
            let size = lines.next()?.strip_prefix("Size: ")?.parse().ok()?;
            let root = Hash::from_base64(lines.next()?.strip_prefix("Root: ")?)?;
            let range = lines.next()?; // Compared with everything else below.
            let mut view = None;
            if let Some(name) = lines.peek().and_then(|line| line.strip_prefix("View: ")) {
                lines.next();
                let (from, _) = range.strip_prefix("Records: ")?.split_once(" to ")?;
                let from = from.parse().ok().filter(|from| *from < size)?;
                let previous = Hash::from_base64(lines.next()?.strip_prefix("Previous: ")?)?;
                view = Some(ViewStatement {
                    name: is_log_name(name).then(|| name.to_owned())?,
                    from,
                    previous,
                });
            }
            if !is_log_name(name) || logs.iter().any(|log| log.name == name) {
                return None;
            }
            logs.push(LogStatement {
                name: name.to_owned(),
                origin,
                size,
                root,
                view,
            });
        }
        let manifest = parse_digest(lines.next()?.split_once("  ")?.0)?;
        let statement = Self {
            time,
            principal,
            logs,
            manifest,
        };
        let is_whole = is_principal(&statement.principal) && statement.to_text() == text;
        is_whole.then_some(statement)
    }
}

/// Seconds since 1970 as RFC 3339; `None` beyond the year 9999.
pub(super) fn rfc3339(unix_seconds: i64) -> Option<String> {
    OffsetDateTime::from_unix_timestamp(unix_seconds)
        .ok()?
        .format(&Rfc3339)
        .ok()
}

/// 64 lower-case hexadecimal digits.
pub(super) fn parse_digest(hex: &str) -> Option<Hash> {
    let mut hash = Hash::default();
    if hex.len() != 64 || !hex.is_ascii() {
        return None;
    }
    for (byte, at) in hash.0.iter_mut().zip((0..64).step_by(2)) {
        *byte = u8::from_str_radix(hex.get(at..at + 2)?, 16).ok()?;
    }
    (hash.to_string() == hex).then_some(hash)
}

/// For which sizes of a log a key may sign its checkpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SizeRange {
    /// Smallest size of a checkpoint, records.
    pub valid_from_size: u64,
    /// Largest size of a checkpoint, records; `None` while the key is in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_to_size: Option<u64>,
}

impl SizeRange {
    pub(super) fn holds(&self, size: u64) -> bool {
        self.valid_from_size <= size && self.valid_to_size.is_none_or(|to| size <= to)
    }
}

/// A key that signs or cosigns checkpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogKey {
    /// Id of the node that holds the key.
    pub node: u64,
    /// The public key and its name.
    pub key: NoteKey,
    /// For each log it signs, by name.
    pub ranges: BTreeMap<String, SizeRange>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyFile {
    format: String,
    keys: Vec<KeyEntry>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyEntry {
    node: u64,
    name: String,
    /// `log` or `cosignature`.
    kind: String,
    algorithm: String,
    /// 32 bytes in base64.
    public: String,
    logs: BTreeMap<String, SizeRange>,
}

fn kind_name(kind: SignatureKind) -> &'static str {
    match kind {
        SignatureKind::Log => "log",
        SignatureKind::Cosignature => "cosignature",
    }
}

/// The text of `keys.json`.
pub(super) fn keys_text(keys: &[LogKey]) -> String {
    let entry = |key: &LogKey| KeyEntry {
        node: key.node,
        name: key.key.name().to_owned(),
        kind: kind_name(key.key.kind()).to_owned(),
        algorithm: "ed25519".to_owned(),
        public: BASE64.encode(key.key.public()),
        logs: key.ranges.clone(),
    };
    let keys = keys.iter().map(entry).collect();
    let file = KeyFile {
        format: KEYS_FORMAT.to_owned(),
        keys,
    };
    let text = serde_json::to_string_pretty(&file).expect("string keys and plain values only");
    text + "\n"
}

/// Reads [`keys_text`].
pub(super) fn parse_keys(text: &str) -> Result<Vec<LogKey>, String> {
    let file: KeyFile = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if file.format != KEYS_FORMAT {
        return Err(format!(
            "its format is {:?}, expected {KEYS_FORMAT:?}",
            file.format
        ));
    }
    let mut keys: Vec<LogKey> = Vec::new();
    for entry in file.keys {
        let kinds = [SignatureKind::Log, SignatureKind::Cosignature];
        let kind = kinds
            .into_iter()
            .find(|kind| kind_name(*kind) == entry.kind);
        let public = BASE64
            .decode(&entry.public)
            .ok()
            .and_then(|key| key.try_into().ok());
        let (Some(kind), Some(public), "ed25519") = (kind, public, entry.algorithm.as_str()) else {
            return Err(format!("the key {:?} is not of a known kind", entry.name));
        };
        let key = NoteKey::new(&entry.name, kind, public).map_err(|error| error.to_string())?;
        if keys.iter().any(|other| other.key == key) {
            return Err(format!("the key {:?} is listed twice", entry.name));
        }
        keys.push(LogKey {
            node: entry.node,
            key,
            ranges: entry.logs,
        });
    }
    Ok(keys)
}

/// The shell commands that verify a bundle, to be run in its folder in this order; each succeeds
/// with exit status 0.
#[must_use]
pub fn verify_commands(principal: &str) -> [String; 4] {
    [
        format!(
            "ssh-keygen -Y verify -f {SIGNERS_NAME} -I {principal} -n {NAMESPACE} \
             -s {SIGNATURE_NAME} < {STATEMENT_NAME}"
        ),
        format!("grep '  {MANIFEST_NAME}$' {STATEMENT_NAME} | sha256sum --check --strict"),
        format!("sha256sum --check --strict --quiet {MANIFEST_NAME}"),
        format!(
            "test $(find . ! -type d | wc -l) -eq $(( $(wc -l < {MANIFEST_NAME}) + {} ))",
            UNLISTED_NAMES.len()
        ),
    ]
}

/// What `VERIFY.md` says of a closed log besides.
const CLOSED_GUIDE: &str = "\
    \nThis is a closed log: of the records in the range that `EXPORT.txt` names, it shows those\n\
    of one view. Lines with `others` stand for records of other views, by the root of their\n\
    subtree; `frontier` is the tree before the range. The root `Previous` is the `Root` of the\n\
    closed log of this view before this one.\n";

/// The text of `VERIFY.md`.
pub(super) fn guide_text(principal: &str, is_closed: bool) -> String {
    let [signature, manifest, files, added] = verify_commands(principal);
    let closed = match is_closed {
        true => CLOSED_GUIDE,
        false => "",
    };
    format!(
        "# How to verify this export\n\
         \n\
         Run these commands in this folder. Each must end with exit status 0; they need nothing\n\
         but OpenSSH (8.2 or later) and the tools that every Linux has, and no network.\n\
         \n\
         1. The statement `{STATEMENT_NAME}` was signed by the appliance. For the key, compare\n\
            `{SIGNERS_NAME}` with a copy got from the appliance itself, or use that copy.\n\
         \n\
         ```sh\n{signature}\n```\n\
         \n\
         2. The list of files is the one in the statement:\n\
         \n\
         ```sh\n{manifest}\n```\n\
         \n\
         3. Every file is as listed (no output is good):\n\
         \n\
         ```sh\n{files}\n```\n\
         \n\
         4. No file was added (no output; the exit status counts):\n\
         \n\
         ```sh\n{added}\n```\n\
         \n\
         `strongroom verify` does the same and more: it computes the Merkle root of each log from\n\
         the records, checks the signatures of the checkpoint, compares what each line shows with\n\
         the bytes of its record, and with `--state FILE` proves that this export continues the\n\
         one before.\n{closed}"
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn lines_have_one_form() {
        let line = line_text(7, b"\x01\x02", "{\"a\":\"x\"}");
        assert_eq!(
            line,
            "{\"n\":7,\"record\":\"AQI=\",\"event\":{\"a\":\"x\"}}\n"
        );
        let parsed = parse_line(line.trim_end()).unwrap();
        assert_eq!(
            (line_number(&line), parsed.record.as_slice()),
            (Some(7), &b"\x01\x02"[..])
        );
        assert_eq!(parsed.event, "{\"a\":\"x\"}");
        for bad in [
            "",
            "{\"n\":07,\"record\":\"AQI=\",\"event\":{}}",
            "{\"n\":7,\"record\":\"AQI\",\"event\":{}}",
            "{\"n\":7,\"record\":\"AQJ=\",\"event\":{}}",
            "{\"n\":7,\"record\":\"\",\"event\":{}}",
            "{\"n\":7, \"record\":\"AQI=\",\"event\":{}}",
            "{\"n\":7,\"x\":1,\"record\":\"AQI=\",\"event\":{}}",
            "{\"n\":7,\"record\":\"AQI=\",\"event\":{}",
        ] {
            let parsed = parse_line(bad);
            assert!(parsed.is_none_or(|line| line.event == "{"), "{bad}");
        }
    }

    #[test]
    fn a_statement_reads_back_and_nothing_else_is_one() {
        let log = |name: &str, size| LogStatement {
            name: name.to_owned(),
            origin: format!("strongroom/x/{name}"),
            size,
            root: Hash([5; 32]),
            view: None,
        };
        let statement = Statement {
            time: rfc3339(1_700_000_000).unwrap(),
            principal: "node-1".to_owned(),
            logs: vec![log("cluster", 3), log("access", 0)],
            manifest: Hash([9; 32]),
        };
        let text = statement.to_text();
        assert_eq!(Statement::parse(&text), Some(statement));
        for (from, to) in [
            ("format 1", "format 2"),
            ("Size: 3", "Size: 03"),
            ("0 to 2", "0 to 3"),
            ("Log: access", "Log: cluster"),
            ("Log: access", "Log: ../x"),
            ("node-1", "node 1"),
            ("node-1", "-I"),
            ("2023", "9"),
            ("  SHA", " SHA"),
        ] {
            let changed = text.replacen(from, to, 1);
            assert_ne!(changed, text);
            assert_eq!(Statement::parse(&changed), None, "{from} -> {to}");
        }
        assert_eq!(Statement::parse(&format!("{text}\n")), None);
    }

    #[test]
    fn too_long_or_failing_renderings_are_replaced_not_fatal() {
        assert_eq!(
            event_text(Err("kind 9".to_owned())),
            "{\"unrendered\":\"kind 9\"}"
        );
        let long = event_text(Ok(Value::String("x".repeat(EVENT_BYTES_MAX))));
        assert!(long.starts_with("{\"unrendered\"") && long.len() < 200);
    }
}
