//! A line of typing on a terminal: what a serial console needs, and no more. The terminal is raw,
//! so that nothing is echoed that must not be, and Ctrl-C is a key like any other.

use nix::sys::termios::{self, InputFlags, LocalFlags, OutputFlags, SetArg, Termios};
use std::io::{self, Read, Stdin, Stdout, Write};
use zeroize::Zeroizing;

/// Longest line that is taken; more is not echoed and answered by a bell.
const LINE_BYTES_MAX: usize = 2048;

/// What was typed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Typed {
    /// A line, without its end.
    Line(Zeroizing<String>),
    /// Ctrl-C, or Ctrl-D on an empty line.
    Interrupted,
}

/// Whether typing is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Echo {
    Shown,
    Hidden,
}

/// The terminal that standard input and output are.
pub(super) struct Terminal {
    input: Stdin,
    output: Stdout,
    before: Termios,
    /// The last line ended with CR, so that an LF behind it belongs to it.
    after_return: bool,
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Best effort: the process ends.
        let _ = termios::tcsetattr(&self.input, SetArg::TCSANOW, &self.before);
    }
}

impl Terminal {
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
            after_return: false,
        })
    }

    /// Shows a line.
    pub(super) fn say(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.output, "{text}")?;
        self.output.flush()
    }

    /// Shows a prompt and reads one line.
    ///
    /// # Errors
    /// The line is gone.
    pub(super) fn ask(&mut self, prompt: &str, echo: Echo) -> io::Result<Typed> {
        write!(self.output, "{prompt} ")?;
        self.output.flush()?;
        let mut editor = Editor::default();
        loop {
            let mut byte = [0; 1];
            if self.input.read(&mut byte)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let [byte] = byte;
            let belongs_to_last = self.after_return && byte == b'\n';
            self.after_return = byte == b'\r';
            if belongs_to_last {
                continue;
            }
            let step = editor.take(byte);
            self.show(&step, echo)?;
            match step {
                Step::End => return Ok(Typed::Line(editor.into_line())),
                Step::Interrupt => return Ok(Typed::Interrupted),
                _ => {}
            }
        }
    }

    fn show(&mut self, step: &Step, echo: Echo) -> io::Result<()> {
        match step {
            Step::End => self.output.write_all(b"\n")?,
            Step::Interrupt => self.output.write_all(b"^C\n")?,
            Step::Refused => self.output.write_all(b"\x07")?,
            Step::Grown(bytes) if echo == Echo::Shown => self.output.write_all(bytes)?,
            Step::Shrunk(characters) if echo == Echo::Shown => {
                self.output.write_all(&b"\x08 \x08".repeat(*characters))?;
            }
            Step::Grown(_) | Step::Shrunk(_) | Step::Nothing => {}
        }
        self.output.flush()
    }
}

/// What a byte did to the line.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Grown(Zeroizing<Vec<u8>>),
    Shrunk(usize),
    End,
    Interrupt,
    Refused,
    Nothing,
}

/// A line while it is typed.
#[derive(Default)]
struct Editor {
    line: Zeroizing<String>,
    /// Bytes of a character that is not whole yet.
    partial: Zeroizing<Vec<u8>>,
    escape: Escape,
}

/// Cursor keys and the like send sequences, which are passed over whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Escape {
    #[default]
    None,
    Begun,
    Sequence,
}

impl Editor {
    fn take(&mut self, byte: u8) -> Step {
        if self.escape != Escape::None {
            self.escape = match (self.escape, byte) {
                (Escape::Begun, b'[' | b'O') => Escape::Sequence,
                (Escape::Sequence, 0x20..=0x3f) => Escape::Sequence,
                _ => Escape::None,
            };
            return Step::Nothing;
        }
        match byte {
            b'\r' | b'\n' => Step::End,
            0x03 => Step::Interrupt,
            0x04 if self.line.is_empty() => Step::Interrupt,
            0x08 | 0x7f => Step::Shrunk(usize::from(self.line.pop().is_some())),
            0x15 => {
                let characters = self.line.chars().count();
                self.line = Zeroizing::default();
                Step::Shrunk(characters)
            }
            0x1b => {
                self.escape = Escape::Begun;
                Step::Nothing
            }
            0x00..=0x1f => Step::Nothing,
            _ => self.grow(byte),
        }
    }

    fn grow(&mut self, byte: u8) -> Step {
        if self.line.len() + self.partial.len() >= LINE_BYTES_MAX {
            return Step::Refused;
        }
        self.partial.push(byte);
        match std::str::from_utf8(&self.partial) {
            Ok(text) => {
                self.line.push_str(text);
                Step::Grown(std::mem::take(&mut self.partial))
            }
            Err(e) if e.error_len().is_none() => Step::Nothing,
            Err(_) => {
                self.partial = Zeroizing::default();
                Step::Refused
            }
        }
    }

    fn into_line(self) -> Zeroizing<String> {
        self.line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(bytes: &[u8]) -> (String, Vec<Step>) {
        let mut editor = Editor::default();
        let steps = bytes.iter().map(|byte| editor.take(*byte)).collect();
        (editor.into_line().to_string(), steps)
    }

    #[test]
    fn a_line_can_be_mended() {
        assert_eq!(typed("hxo\x08\x7fello".as_bytes()).0, "hello");
        assert_eq!(typed(b"wrong\x15right").0, "right");
        assert_eq!(typed("gr\u{fc}n\x08\x08".as_bytes()).0, "gr");
        assert_eq!(typed(b"\x7f").1, [Step::Shrunk(0)]);
    }

    #[test]
    fn cursor_keys_and_garbage_are_passed_over() {
        assert_eq!(typed(b"a\x1b[Ab\x1b[1;5Cc\x1bOPd").0, "abcd");
        let (line, steps) = typed(b"a\xff\x00b");
        assert_eq!(line, "ab");
        assert!(steps.contains(&Step::Refused));
    }

    #[test]
    fn a_line_has_an_end() {
        let (line, steps) = typed(&vec![b'x'; LINE_BYTES_MAX + 1]);
        assert_eq!(line.len(), LINE_BYTES_MAX);
        assert_eq!(steps.last(), Some(&Step::Refused));
    }
}
