//! The terminal at the other end of an SSH channel, as a thread that waits for keys sees it.

use crate::session::terminal::Screen;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::mpsc::{Receiver, Sender};

/// What is written is sent when so many bytes are there, or when it is flushed.
const SENT_AT: usize = 8 * 1024;

/// Rows and columns, which change while somebody drags a corner of the window.
#[derive(Clone, Debug, Default)]
pub(super) struct Size(Arc<AtomicU64>);

impl Size {
    pub(super) fn set(&self, rows: u32, columns: u32) {
        let both = u64::from(rows) << 32 | u64::from(columns);
        self.0.store(both, Ordering::Relaxed);
    }

    fn get(&self) -> (usize, usize) {
        let both = self.0.load(Ordering::Relaxed);
        let part = |bits: u64| usize::try_from(bits & u64::from(u32::MAX)).unwrap_or_default();
        (part(both >> 32), part(both))
    }
}

/// What goes out.
#[derive(Debug)]
pub(super) enum Output {
    /// To be shown.
    Shown(Vec<u8>),
    /// An error, where output and errors are told apart.
    Error(Vec<u8>),
}

/// The terminal, or, without one, what stands in its place for one command.
pub(super) struct SshScreen {
    /// Bytes that were typed.
    keys: Receiver<Vec<u8>>,
    typed: std::vec::IntoIter<u8>,
    shown: Sender<Output>,
    unsent: Vec<u8>,
    /// None where there is no terminal.
    size: Option<Size>,
}

impl SshScreen {
    pub(super) fn new(keys: Receiver<Vec<u8>>, shown: Sender<Output>, size: Option<Size>) -> Self {
        Self {
            keys,
            typed: Vec::new().into_iter(),
            shown,
            unsent: Vec::new(),
            size,
        }
    }

    pub(super) fn is_terminal(&self) -> bool {
        self.size.is_some()
    }

    /// Shows why something was not done.
    pub(super) fn complain(&mut self, text: &str) -> io::Result<()> {
        if self.is_terminal() {
            writeln!(self, "{text}")?;
            return self.flush();
        }
        self.flush()?;
        self.send(Output::Error(format!("{text}\n").into_bytes()))
    }

    fn send(&self, output: Output) -> io::Result<()> {
        let sent = self.shown.blocking_send(output);
        sent.map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

impl Read for SshScreen {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(first) = buffer.first_mut() else {
            return Ok(0);
        };
        loop {
            if let Some(byte) = self.typed.next() {
                *first = byte;
                return Ok(1);
            }
            match self.keys.blocking_recv() {
                Some(bytes) => self.typed = bytes.into_iter(),
                None => return Ok(0),
            }
        }
    }
}

impl Write for SshScreen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A terminal goes down with LF and back to the margin with CR.
        let is_terminal = self.is_terminal();
        for byte in bytes {
            if is_terminal && *byte == b'\n' {
                self.unsent.push(b'\r');
            }
            self.unsent.push(*byte);
        }
        if self.unsent.len() >= SENT_AT {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.unsent.is_empty() {
            return Ok(());
        }
        let bytes = std::mem::take(&mut self.unsent);
        self.send(Output::Shown(bytes))
    }
}

impl Screen for SshScreen {
    fn is_seen(&self) -> bool {
        self.is_terminal()
    }

    fn size(&self) -> Option<(usize, usize)> {
        self.size.as_ref().map(Size::get)
    }
}
