//! What can go wrong with a machine, said so that the transcript of a failed test is enough.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Why something with a machine did not work.
///
/// `Debug` prints the message and its causes as text, because that is what a test shows when it
/// fails: an escaped transcript on one line would be unreadable.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The operating system refused something.
    #[error("cannot {action}")]
    Io {
        /// What was tried, with the name of the file.
        action: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// A program is missing or cannot be run.
    #[error("cannot start {program}; is {package} installed?")]
    Start {
        /// Name of the program.
        program: String,
        /// Where it comes from.
        package: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// A program ended when it should not have.
    #[error("{program} ended ({status}) while we waited for {waiting}; it said:\n{said}")]
    Ended {
        /// Name of the program.
        program: String,
        /// How it ended.
        status: String,
        /// What it was needed for.
        waiting: String,
        /// The last lines of its standard error.
        said: String,
    },
    /// A wait is over without what was waited for.
    #[error("no {what} within {} s; the last lines were:\n{tail}", seconds(*.waited))]
    Deadline {
        /// What was waited for.
        what: String,
        /// How long.
        waited: Duration,
        /// The last lines of the transcript.
        tail: String,
    },
    /// The other end closed a connection: the machine has ended, or the line was taken out.
    #[error("the {line} closed after {} s of waiting for {what}; the last lines were:\n{tail}",
        seconds(*.waited))]
    Closed {
        /// Which connection.
        line: String,
        /// What was waited for.
        what: String,
        /// How long.
        waited: Duration,
        /// The last lines of the transcript.
        tail: String,
    },
    /// QEMU did not want to do what it was asked.
    #[error("QEMU refused {command}: {reason}")]
    Refused {
        /// Name of the QMP command.
        command: String,
        /// Class and description as QEMU gave them.
        reason: String,
    },
    /// An answer or a file is not what its format says.
    #[error("{what} is malformed: {detail}")]
    Malformed {
        /// What was read.
        what: String,
        /// What is wrong with it.
        detail: String,
    },
    /// The machine was asked for in a way that cannot work.
    #[error("{0}")]
    Settings(String),
}

impl Fault {
    /// Names the action and the file of an error of the operating system.
    pub(crate) fn io(action: &str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let action = format!("{action} {}", path.display());
        move |source| Self::Io { action, source }
    }

    /// Names the action of an error of the operating system.
    pub(crate) fn doing(action: &str) -> impl FnOnce(io::Error) -> Self {
        let action = action.to_owned();
        move |source| Self::Io { action, source }
    }

    pub(crate) fn malformed(what: &str, detail: impl Into<String>) -> Self {
        Self::Malformed {
            what: what.to_owned(),
            detail: detail.into(),
        }
    }
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")?;
        let mut cause = std::error::Error::source(self);
        while let Some(source) = cause {
            write!(f, "\ncaused by: {source}")?;
            cause = source.source();
        }
        Ok(())
    }
}

/// Seconds with one decimal.
fn seconds(duration: Duration) -> String {
    format!("{:.1}", duration.as_secs_f64())
}

/// Lines of a transcript that an error shows: enough for a kernel panic with its stack.
const TAIL_LINES: usize = 40;

/// Bytes of a file that are read to find those lines: firmware paints its screen with them.
const TAIL_BYTES: u64 = 64 * 1024;

/// Characters of a line that are shown: QEMU repeats a whole option before it says what is wrong.
const TAIL_COLUMNS: usize = 1000;

/// The last lines of a file that are not blank. A file that cannot be read gives a line that says
/// so: it is only ever part of another error.
pub(crate) fn tail(path: &Path) -> String {
    let bytes = match last_bytes(path) {
        Ok(bytes) => bytes,
        Err(error) => return format!("(cannot read {}: {error})", path.display()),
    };
    let text = readable(&String::from_utf8_lossy(&bytes));
    let lines = text.lines().map(str::trim_end);
    let lines: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
    let first = lines.len().saturating_sub(TAIL_LINES);
    let shown = lines.iter().skip(first).map(|line| {
        let line: String = line.chars().take(TAIL_COLUMNS).collect();
        format!("  | {line}")
    });
    let shown: Vec<String> = shown.collect();
    if shown.is_empty() {
        return "  | (nothing)".to_owned();
    }
    shown.join("\n")
}

fn last_bytes(path: &Path) -> io::Result<Vec<u8>> {
    use std::io::{Read as _, Seek as _, SeekFrom};
    let mut file = std::fs::File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
    let mut bytes = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// What a terminal would show, more or less: sequences that move the cursor become ends of lines,
/// other sequences vanish, and the rest of what cannot be seen is spelled out.
fn readable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match c {
            '\u{1b}' if rest.as_str().starts_with('[') => {
                // A control sequence (ECMA-48, 5.4) ends with a byte from `@` to `~`.
                let end = rest.by_ref().skip(1).find(|c| ('@'..='~').contains(c));
                if end == Some('H') && !shown.ends_with('\n') {
                    shown.push('\n');
                }
            }
            '\n' => shown.push('\n'),
            '\r' => {}
            '\t' => shown.push(' '),
            c if c.is_control() => shown.extend(c.escape_default()),
            c => shown.push(c),
        }
    }
    shown
}

/// A path as text: QEMU's command line has no other form.
pub(crate) fn text(path: &Path) -> Result<&str, Fault> {
    path.to_str().ok_or_else(|| {
        Fault::Settings(format!(
            "{} is not UTF-8; rename it, QEMU's options are text",
            path.display()
        ))
    })
}

/// Longest path of a Unix socket, in bytes (`sun_path` of unix(7) less its NUL).
const SOCKET_PATH_BYTES_MAX: usize = 107;

/// Path of a socket in a folder, if the kernel can bind it.
pub(crate) fn socket(folder: &Path, name: &str) -> Result<PathBuf, Fault> {
    let path = folder.join(name);
    if path.as_os_str().len() > SOCKET_PATH_BYTES_MAX {
        return Err(Fault::Settings(format!(
            "{} is too long for a socket (at most {SOCKET_PATH_BYTES_MAX} bytes); set TMPDIR to a \
             shorter folder",
            path.display()
        )));
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn screen_of_firmware_is_readable() {
        let painted = "\u{1b}[2J\u{1b}[01;01H\u{1b}[=3hBoot\u{1b}[02;01HExit\r\r\nlast\u{7}";
        assert_eq!(readable(painted), "\nBoot\nExit\nlast\\u{7}");
        assert_eq!(readable("cut off \u{1b}["), "cut off ");
    }
}
