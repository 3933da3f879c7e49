//! The records of one log: line by line, in order, hashed into the tree.
//!
//! Memory is bounded by one line. When a line is wrong, the rest of its file is still read, because
//! whether the file has its digest decides what the finding is called.

use std::io::{self, BufRead, BufReader, Read};

use sha2::{Digest as _, Sha256};

use super::{Bundle, Finding, FindingKind, VerifyOptions, altered};
use crate::bundle::closed::parse_others;
use crate::bundle::format::{self, LINE_BYTES_MAX, LogStatement, event_text};
use crate::tree::{Frontier, Hash, leaf_hash};

/// The root at the size that the state knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Watched {
    /// The state does not know this log.
    Unknown,
    /// The log has fewer records than the state knows.
    TooShort,
    /// The root at that size.
    Root(Hash),
}

/// Reads all parts of a log and compares with its statement.
pub(super) fn check_log(
    bundle: &mut Bundle<'_>,
    log: &LogStatement,
    before: Frontier,
    options: &mut VerifyOptions<'_>,
    watch: Option<u64>,
) -> Result<Watched, Finding> {
    let parts = bundle.parts(&log.name);
    let mut reading = LogReading {
        log,
        options,
        tree: before,
        watch,
        watched: None,
    };
    reading.look();
    for (position, (first, path)) in parts.iter().enumerate() {
        let end = parts.get(position + 1).map_or(log.size, |(next, _)| *next);
        let listed = bundle.listed_digest(path);
        if *first != reading.tree.size() {
            return Err(reading.missing_until(*first));
        }
        let file = bundle.files.read(path)?;
        let (outcome, digest) = reading.check_part(file, end);
        let is_altered = digest != listed;
        judge_part(path, outcome, is_altered).map_err(|finding| finding.in_log(&log.name))?;
    }
    if reading.tree.size() < log.size {
        return Err(reading.missing_until(log.size));
    }
    if reading.tree.root() != log.root {
        let message = format!(
            "the records have the root {}, the checkpoint says {}: records were edited and the \
             digests computed again; do not accept this export",
            reading.tree.root(),
            log.root
        );
        return Err(Finding::new(FindingKind::RootDiffers, message).in_log(&log.name));
    }
    Ok(match (watch, reading.watched) {
        (None, _) => Watched::Unknown,
        (Some(_), None) => Watched::TooShort,
        (Some(_), Some(root)) => Watched::Root(root),
    })
}

/// A finding in an altered file is named by what was done to the lines, where that can be seen.
fn judge_part(path: &str, outcome: Result<(), Finding>, is_altered: bool) -> Result<(), Finding> {
    use FindingKind::{RecordMissing, RecordsReordered, Truncated, Unreadable};
    match outcome {
        Err(finding) if matches!(finding.kind, Unreadable) => Err(finding),
        Err(finding) if !is_altered => Err(finding),
        Err(finding) if matches!(finding.kind, RecordMissing | RecordsReordered | Truncated) => {
            Err(finding)
        }
        Err(Finding {
            record, message, ..
        }) => Err(Finding {
            record,
            ..altered(path, &format!(" ({message})"))
        }),
        Ok(()) if is_altered => Err(altered(path, "")),
        Ok(()) => Ok(()),
    }
}

struct LogReading<'a, 'o> {
    log: &'a LogStatement,
    options: &'a mut VerifyOptions<'o>,
    tree: Frontier,
    watch: Option<u64>,
    watched: Option<Hash>,
}

impl LogReading<'_, '_> {
    /// Keeps the root when the size is the one the state knows.
    fn look(&mut self) {
        if self.watch == Some(self.tree.size()) {
            self.watched = Some(self.tree.root());
        }
    }

    fn missing_until(&self, end: u64) -> Finding {
        let next = self.tree.size();
        let message = if end < next {
            format!("a part begins with record {end} again; do not accept this export")
        } else {
            format!(
                "the log ends before record {next}, {end} records should be there: it was cut \
                 short; do not accept this export"
            )
        };
        let kind = if end < next {
            FindingKind::RecordsReordered
        } else {
            FindingKind::Truncated
        };
        Finding::new(kind, message).in_log(&self.log.name).at(next)
    }

    /// Reads one part, which must end before record `end`. Returns its digest as well.
    fn check_part(&mut self, file: Box<dyn Read + '_>, end: u64) -> (Result<(), Finding>, Hash) {
        let mut lines = Lines::new(file);
        let mut outcome = Ok(());
        while outcome.is_ok() {
            outcome = match lines.next() {
                Ok(None) => break,
                Ok(Some(())) => self.check_line(&mut lines, end),
                Err(error) => Err(unreadable(&error)),
            };
        }
        if outcome.is_ok() && self.tree.size() < end {
            outcome = Err(self.missing_until(end));
        }
        if let Err(finding) = &mut outcome {
            let gap = finding.kind == FindingKind::RecordMissing;
            // Is the line really gone, or does it come later?
            let wanted = gap.then_some(self.tree.size());
            match lines.drain(wanted) {
                Ok(true) => {
                    let n = self.tree.size();
                    finding.kind = FindingKind::RecordsReordered;
                    finding.message = format!(
                        "the line of record {n} stands further down: lines were put into another \
                         order; do not accept this export"
                    );
                }
                Ok(false) => {}
                Err(error) => outcome = Err(unreadable(&error)),
            }
        }
        (outcome, lines.digest())
    }

    fn check_line(&mut self, lines: &mut Lines<'_>, end: u64) -> Result<(), Finding> {
        let n = self.tree.size();
        let finding = |kind, message: String| Err(Finding::new(kind, message).at(n));
        let Some(text) = lines.line() else {
            let message = if lines.is_cut {
                return finding(
                    FindingKind::Truncated,
                    format!("the file ends within the line of record {n}: it was cut short"),
                );
            } else {
                format!("the line of record {n} is too long or no text")
            };
            return finding(FindingKind::LineMalformed, message);
        };
        match format::line_number(text) {
            Some(found) if found > n && n < end => {
                let message = format!(
                    "the line of record {n} is missing, record {found} stands in its place: it was \
                     removed; do not accept this export"
                );
                return finding(FindingKind::RecordMissing, message);
            }
            Some(found) if found != n => {
                let message = format!("where record {n} belongs, there is record {found}");
                return finding(FindingKind::RecordsReordered, message);
            }
            _ => {}
        }
        if self.log.view.is_some()
            && let Some((level, root)) = parse_others(text)
        {
            return self.pass_others(n, end, level, root);
        }
        let Some(line) = format::parse_line(text) else {
            let message = format!("the line of record {n} is not in its form");
            return finding(FindingKind::LineMalformed, message);
        };
        if n >= end {
            let message = format!("there are lines after record {end}, where this part must end");
            return finding(FindingKind::RecordsBeyondCheckpoint, message);
        }
        self.check_event(n, &line)?;
        self.tree.push(leaf_hash(&line.record), &mut |_| ());
        self.look();
        Ok(())
    }

    /// Goes over records that belong to other views.
    fn pass_others(&mut self, n: u64, end: u64, level: u32, root: Hash) -> Result<(), Finding> {
        if !self.tree.push_subtree(level, root) {
            let message = format!("the line of the others from record {n} on is not in its form");
            return Err(Finding::new(FindingKind::LineMalformed, message).at(n));
        }
        if self.tree.size() > end {
            let message = format!("the others from record {n} on go beyond record {end}");
            return Err(Finding::new(FindingKind::RecordsBeyondCheckpoint, message).at(n));
        }
        self.look();
        Ok(())
    }

    fn check_event(&mut self, n: u64, line: &format::Line<'_>) -> Result<(), Finding> {
        if let Some(render) = self.options.render
            && event_text(render(&self.log.name, &line.record)) != line.event
        {
            let message = "what the line shows is not what its record says; believe the record, \
                           not the line, and ask where the export was changed";
            return Err(Finding::new(FindingKind::RenderingDiffers, message).at(n));
        }
        let event: Result<serde_json::Value, _> = serde_json::from_str(line.event);
        let event = event.map_err(|error| {
            let message = format!("the event in the line is no JSON: {error}");
            Finding::new(FindingKind::LineMalformed, message).at(n)
        })?;
        if let Some(view) = &self.log.view {
            let shown = event.get("view").and_then(serde_json::Value::as_str);
            if shown != Some(&view.name) && event.get("unrendered").is_none() {
                let message = format!("the record is not one of the log {}", view.name);
                return Err(Finding::new(FindingKind::ViewDiffers, message).at(n));
            }
            return Ok(());
        }
        if let Some(inspect) = &mut self.options.inspect {
            inspect(&self.log.name, n, &line.record, &event)
                .map_err(|message| Finding::new(FindingKind::Inspection, message).at(n))?;
        }
        Ok(())
    }
}

fn unreadable(error: &io::Error) -> Finding {
    Finding::new(
        FindingKind::Unreadable,
        format!("a part cannot be read: {error}"),
    )
}

/// Lines of bounded length, with the digest of everything read.
struct Lines<'f> {
    file: BufReader<Box<dyn Read + 'f>>,
    hasher: Sha256,
    buffer: Vec<u8>,
    /// The last line has no line break.
    is_cut: bool,
}

impl<'f> Lines<'f> {
    fn new(file: Box<dyn Read + 'f>) -> Self {
        let file = BufReader::with_capacity(256 << 10, file);
        Self {
            file,
            hasher: Sha256::new(),
            buffer: Vec::new(),
            is_cut: false,
        }
    }

    /// Reads the next line; `None` at the end.
    fn next(&mut self) -> io::Result<Option<()>> {
        self.buffer.clear();
        let mut bounded = self.file.by_ref().take(LINE_BYTES_MAX as u64);
        let read = bounded.read_until(b'\n', &mut self.buffer)?;
        self.hasher.update(&self.buffer);
        let has_break = self.buffer.last() == Some(&b'\n');
        self.is_cut = !has_break && read < LINE_BYTES_MAX;
        Ok((read > 0).then_some(()))
    }

    /// The line without its break; `None` when it is cut off, too long or no text.
    fn line(&self) -> Option<&str> {
        std::str::from_utf8(self.buffer.strip_suffix(b"\n")?).ok()
    }

    /// Reads to the end; tells whether the line of record `wanted` was among the rest.
    fn drain(&mut self, wanted: Option<u64>) -> io::Result<bool> {
        let mut is_found = false;
        while self.next()?.is_some() {
            let number = self.line().and_then(format::line_number);
            is_found |= wanted.is_some() && number == wanted;
        }
        Ok(is_found)
    }

    fn digest(self) -> Hash {
        Hash(self.hasher.finalize().into())
    }
}
