//! The screen of the console: what standard input and output are.

use crate::session::terminal::Screen;
use nix::sys::termios::{self, InputFlags, LocalFlags, OutputFlags, SetArg, Termios};
use std::io::{self, Read, Stdin, Stdout, Write};

/// The terminal that standard input and output are.
pub(super) struct Tty {
    input: Stdin,
    output: Stdout,
    before: Termios,
}

impl Drop for Tty {
    fn drop(&mut self) {
        // Best effort: the process ends.
        let _ = termios::tcsetattr(&self.input, SetArg::TCSANOW, &self.before);
    }
}

impl Tty {
    /// Takes the terminal over until it is dropped.
    pub(super) fn open() -> nix::Result<Self> {
        let (input, output) = (io::stdin(), io::stdout());
        let before = termios::tcgetattr(&input)?;
        let mut raw = before.clone();
        termios::cfmakeraw(&mut raw);
        // New lines begin at the margin; a BREAK is nothing.
        raw.output_flags |= OutputFlags::OPOST | OutputFlags::ONLCR;
        raw.input_flags |= InputFlags::IGNBRK;
        raw.local_flags &= !(LocalFlags::ECHO | LocalFlags::ISIG);
        termios::tcsetattr(&input, SetArg::TCSANOW, &raw)?;
        Ok(Self {
            input,
            output,
            before,
        })
    }
}

impl Read for Tty {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.input.read(buffer)
    }
}

impl Write for Tty {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.output.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}

impl Screen for Tty {
    fn is_seen(&self) -> bool {
        true
    }

    fn size(&self) -> Option<(usize, usize)> {
        let (width, height) = terminal_size::terminal_size_of(&self.output)?;
        Some((usize::from(height.0), usize::from(width.0)))
    }
}
