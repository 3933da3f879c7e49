//! The person at the console: text out, one line in. The kernel's own line editing (backspace,
//! Ctrl-U) is used; no key has a meaning to the kernel beyond that.

use crate::fault::{Naming, Outcome};
use crate::report;
use nix::sys::termios::{self, FlushArg, InputFlags, LocalFlags, OutputFlags, SetArg};
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::thread;
use std::time::Duration;

/// The console that the signed command line names last: the first serial line.
const CONSOLE: &str = "/dev/console";

/// The kernel's line editor gives no longer lines.
const LINE_BYTES_MAX: usize = 4096;

/// Before asking again on a line that gives an error at once, for example a pulled-out adapter.
const PAUSE: Duration = Duration::from_secs(1);

/// The console.
#[derive(Debug)]
pub(super) struct Terminal {
    console: File,
}

impl Terminal {
    /// Opens the console and lets it edit lines.
    ///
    /// # Errors
    /// There is none: nobody could be asked.
    pub(super) fn open() -> Outcome<Self> {
        let mut options = File::options();
        // Without O_NOCTTY Ctrl-C would be a signal to PID 1.
        options.read(true).write(true).custom_flags(libc::O_NOCTTY);
        let console = options
            .open(CONSOLE)
            .naming(|| format!("{CONSOLE}: the installer needs one to ask on"))?;
        let mut settings = termios::tcgetattr(&console).naming(|| CONSOLE.into())?;
        settings.input_flags |= InputFlags::ICRNL | InputFlags::IGNBRK;
        // Ctrl-S would hold the output, and with it the writing, for ever.
        settings.input_flags &= !(InputFlags::IXON | InputFlags::IXOFF);
        settings.output_flags |= OutputFlags::OPOST | OutputFlags::ONLCR;
        settings.local_flags |= LocalFlags::ICANON | LocalFlags::ECHO | LocalFlags::ECHOE;
        settings.local_flags &= !LocalFlags::ISIG;
        termios::tcsetattr(&console, SetArg::TCSANOW, &settings).naming(|| CONSOLE.into())?;
        Ok(Self { console })
    }

    /// Prints a text.
    pub(super) fn print(&self, text: &str) {
        // Nobody else could be told that the console is gone; the next question waits for it.
        let _ = (&self.console).write_all(text.as_bytes());
    }

    /// Asks a question and gives the line that was typed, without blanks around it. What was typed
    /// before the question does not count: it cannot be an answer to it.
    pub(super) fn ask(&self, id: &str, question: &str) -> String {
        // A line that cannot be flushed cannot be read either, which is seen below.
        let _ = termios::tcflush(&self.console, FlushArg::TCIFLUSH);
        self.print(&format!("{question} [{id}]: "));
        let mut line = [0; LINE_BYTES_MAX];
        match (&self.console).read(&mut line) {
            Ok(length) if length > 0 => {
                let typed = line.get(..length).unwrap_or_default();
                report::printable(&String::from_utf8_lossy(typed))
                    .trim()
                    .to_owned()
            }
            _ => {
                thread::sleep(PAUSE);
                self.print("\n");
                String::new()
            }
        }
    }
}
