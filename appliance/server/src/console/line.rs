//! The terminal of the console. It is raw, so that nothing is echoed that must not be, and Ctrl-C
//! is a key like any other.

use crate::cli::assist::{self, Completion};
use crate::cli::editor::{Editor, Step};
use crate::cli::history::History;
use crate::cli::keys::{Key, Keys};
use crate::cli::pager::{More, Pager};
use nix::sys::termios::{self, InputFlags, LocalFlags, OutputFlags, SetArg, Termios};
use std::io::{self, Read, Stdin, Stdout, Write};
use zeroize::Zeroizing;

/// A serial line does not know how large the screen at its other end is; this is what one has at
/// least (VT100).
const ROWS: usize = 24;
const COLUMNS: usize = 80;

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
    keys: Keys,
    /// Rows of a screen of an answer; 0 shows it without a stop, `None` asks the terminal.
    length: Option<usize>,
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
            keys: Keys::default(),
            length: None,
        })
    }

    /// Shows a line.
    pub(super) fn say(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.output, "{text}")?;
        self.output.flush()
    }

    /// Rows of a screen; 0 for no stops, `None` for those of the terminal.
    pub(super) fn set_length(&mut self, rows: Option<usize>) {
        self.length = rows;
    }

    /// A writer that shows a long answer a screen at a time.
    pub(super) fn pager(&mut self) -> impl Write {
        let size = terminal_size::terminal_size_of(&self.output);
        let size = size.map(|(width, height)| (usize::from(height.0), usize::from(width.0)));
        let size = size.filter(|(rows, columns)| *rows > 0 && *columns > 0);
        let (rows, columns) = size.unwrap_or((ROWS, COLUMNS));
        let rows = self.length.unwrap_or(rows);
        let (input, keys) = (&mut self.input, &mut self.keys);
        let ask = move || {
            loop {
                match key(input, keys)? {
                    Key::Char(' ') | Key::Right | Key::Down => return Ok(More::Screen),
                    Key::Enter => return Ok(More::Line),
                    Key::Char('q' | 'Q') | Key::Interrupt | Key::EndOrDelete => {
                        return Ok(More::Stop);
                    }
                    _ => {}
                }
            }
        };
        Pager::new(&mut self.output, rows, columns, ask)
    }

    /// Shows a prompt and reads one line.
    ///
    /// # Errors
    /// The line is gone.
    pub(super) fn ask(&mut self, prompt: &str, echo: Echo) -> io::Result<Typed> {
        let mut editor = Editor::default();
        self.begin(prompt, &editor)?;
        loop {
            let key = key(&mut self.input, &mut self.keys)?;
            let step = editor.press(key, None);
            match step {
                // Ctrl-L would show all of it again.
                Step::Show(_) | Step::Redraw if echo == Echo::Hidden => {}
                step => {
                    if let Some(end) = self.go_on(prompt, &editor, &step)? {
                        return Ok(end.typed(editor));
                    }
                }
            }
        }
    }

    /// Reads a command: with older lines, Tab and `?`.
    ///
    /// # Errors
    /// The line is gone.
    pub(super) fn command(
        &mut self,
        prompt: &str,
        grammar: &clap::Command,
        history: &mut History,
    ) -> io::Result<Typed> {
        let mut editor = Editor::default();
        self.begin(prompt, &editor)?;
        loop {
            let key = key(&mut self.input, &mut self.keys)?;
            let step = match editor.press(key, Some(history)) {
                Step::Complete => match assist::complete(grammar, editor.before()) {
                    Completion::Insert(text) => editor.insert(&text),
                    Completion::Choose(choices) => self.explain(&assist::explain(&choices))?,
                    Completion::None => Step::Refuse,
                },
                Step::Explain => {
                    let choices = assist::choices(grammar, editor.before());
                    self.explain(&assist::explain(&choices))?
                }
                step => step,
            };
            if let Some(end) = self.go_on(prompt, &editor, &step)? {
                if let End::Line = end {
                    history.put(editor.text());
                }
                return Ok(end.typed(editor));
            }
        }
    }

    fn begin(&mut self, prompt: &str, editor: &Editor) -> io::Result<()> {
        write!(self.output, "{prompt} {}", editor.redrawn().as_str())?;
        self.output.flush()
    }

    fn explain(&mut self, text: &str) -> io::Result<Step> {
        write!(self.output, "\n{text}")?;
        Ok(Step::Redraw)
    }

    /// Shows what a step shows; gives the end of the line, if it is one.
    fn go_on(&mut self, prompt: &str, editor: &Editor, step: &Step) -> io::Result<Option<End>> {
        let end = match step {
            Step::End => Some(End::Line),
            Step::Interrupt => Some(End::Interrupted),
            _ => None,
        };
        match step {
            Step::Show(text) => self.output.write_all(text.as_bytes())?,
            Step::End => self.output.write_all(b"\n")?,
            Step::Interrupt => self.output.write_all(b"^C\n")?,
            // A prompt may be several lines; only its last is shown anew.
            Step::Redraw => {
                let last = prompt.lines().last().unwrap_or_default();
                write!(self.output, "\r{last} {}", editor.redrawn().as_str())?;
            }
            Step::Refuse | Step::Complete | Step::Explain => self.output.write_all(b"\x07")?,
        }
        self.output.flush()?;
        Ok(end)
    }
}

/// How a line ended.
enum End {
    Line,
    Interrupted,
}

impl End {
    fn typed(self, editor: Editor) -> Typed {
        match self {
            Self::Line => Typed::Line(editor.into_line()),
            Self::Interrupted => Typed::Interrupted,
        }
    }
}

/// The next key.
fn key(input: &mut Stdin, keys: &mut Keys) -> io::Result<Key> {
    loop {
        let mut byte = [0; 1];
        if input.read(&mut byte)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let [byte] = byte;
        if let Some(key) = keys.take(byte) {
            return Ok(key);
        }
    }
}
