//! Long answers, a screen at a time.

use std::io::{self, Write};

/// What is asked at the end of a screen.
const MORE: &str = "-- more: space for a screen, Enter for a line, q to stop --";

/// What somebody wants at the end of a screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum More {
    Screen,
    Line,
    Stop,
}

/// A writer that stops after each screen and asks. After [`More::Stop`] every write fails with
/// [`io::ErrorKind::BrokenPipe`], as for a reader that went away.
pub(crate) struct Pager<W, A> {
    out: W,
    ask: A,
    /// Lines of a screen, without the one of the question; 0 never asks.
    rows: usize,
    columns: usize,
    left: usize,
    /// Characters of the line that is being written.
    column: usize,
    is_stopped: bool,
}

impl<W: Write, A: FnMut(&mut W) -> io::Result<More>> Pager<W, A> {
    /// A screen of so many rows and columns; 0 rows never ask.
    pub(crate) fn new(out: W, rows: usize, columns: usize, ask: A) -> Self {
        let rows = rows.saturating_sub(1);
        Self {
            out,
            ask,
            rows,
            columns: columns.max(1),
            left: rows,
            column: 0,
            is_stopped: false,
        }
    }

    fn line_ended(&mut self) -> io::Result<()> {
        // A long line takes several of the screen.
        let taken = 1 + self.column.saturating_sub(1) / self.columns;
        self.column = 0;
        if self.rows == 0 {
            return Ok(());
        }
        self.left = self.left.saturating_sub(taken);
        Ok(())
    }

    /// Before more is written: the screen is full.
    fn wait(&mut self) -> io::Result<()> {
        if self.rows == 0 || self.left > 0 {
            return Ok(());
        }
        write!(self.out, "{MORE}")?;
        self.out.flush()?;
        let more = (self.ask)(&mut self.out)?;
        write!(self.out, "\r{}\r", " ".repeat(MORE.len()))?;
        self.left = match more {
            More::Screen => self.rows,
            More::Line => 1,
            More::Stop => {
                self.is_stopped = true;
                return Err(io::ErrorKind::BrokenPipe.into());
            }
        };
        Ok(())
    }
}

impl<W: Write, A: FnMut(&mut W) -> io::Result<More>> Write for Pager<W, A> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.is_stopped {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        if bytes.is_empty() {
            return Ok(0);
        }
        self.wait()?;
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let part = bytes.get(..end.map_or(bytes.len(), |end| end + 1));
        let part = part.unwrap_or(bytes);
        self.out.write_all(part)?;
        // Bytes that begin a character.
        self.column += part.iter().filter(|byte| **byte & 0xc0 != 0x80).count();
        if end.is_some() {
            self.line_ended()?;
        }
        Ok(part.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// What is shown of ten lines on a screen of five rows, with these answers.
    fn shown(answers: &[More]) -> (String, io::Result<()>) {
        let (mut out, mut answers) = (Vec::new(), answers.iter());
        let mut pager = Pager::new(&mut out, 5, 20, |_: &mut _| Ok(*answers.next().unwrap()));
        let text: String = (0..10).map(|n| format!("line {n}\n")).collect();
        let end = pager.write_all(text.as_bytes());
        assert!(answers.next().is_none(), "fewer questions than expected");
        (String::from_utf8(out).unwrap(), end)
    }

    #[test]
    fn a_screen_is_as_long_as_it_is() {
        let (text, end) = shown(&[More::Screen, More::Screen]);
        end.unwrap();
        assert_eq!(text.matches("line ").count(), 10);
        assert_eq!(text.matches(MORE).count(), 2);
        let (text, end) = shown(&[More::Line, More::Stop]);
        assert_eq!(end.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        assert!(
            text.contains("line 4") && !text.contains("line 5"),
            "{text}"
        );
    }

    #[test]
    fn a_long_line_takes_several() {
        let (mut out, mut asked) = (Vec::new(), 0);
        let ask = |_: &mut _| {
            asked += 1;
            Ok(More::Screen)
        };
        let mut pager = Pager::new(&mut out, 5, 20, ask);
        pager.write_all("x".repeat(75).as_bytes()).unwrap();
        pager.write_all(b"\nnext\n").unwrap();
        assert_eq!(asked, 1);
    }

    #[test]
    fn nothing_is_asked_without_rows() {
        let mut out = Vec::new();
        let ask = |_: &mut &mut Vec<u8>| -> io::Result<More> { unreachable!() };
        let mut pager = Pager::new(&mut out, 0, 80, ask);
        pager.write_all(&b"x\n".repeat(500)).unwrap();
    }
}
