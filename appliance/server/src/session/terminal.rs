//! A terminal, whatever is between it and us: prompts, lines, commands, long answers.

use crate::cli::assist::{self, Completion};
use crate::cli::editor::{Editor, Step};
use crate::cli::history::History;
use crate::cli::keys::{Key, Keys};
use crate::cli::pager::{More, Pager};
use std::io::{self, Read, Write};
use zeroize::Zeroizing;

/// A line may not know how large the screen at its other end is; this is what one has at least
/// (VT100).
const ROWS: usize = 24;
const COLUMNS: usize = 80;

/// What a terminal is to us: bytes of keys, bytes to show, a size. It is raw: nothing is echoed
/// that must not be, and Ctrl-C is a key like any other. A line that is shown ends with a line
/// feed alone; a screen that needs more adds it.
pub(crate) trait Screen: Read + Write {
    /// Whether somebody sees it, or a script takes it.
    fn is_seen(&self) -> bool;

    /// Rows and columns, where they are known; a serial line does not know them.
    fn size(&self) -> Option<(usize, usize)>;
}

/// What was typed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Typed {
    /// A line, without its end.
    Line(Zeroizing<String>),
    /// Ctrl-C, or Ctrl-D on an empty line.
    Interrupted,
}

/// Whether typing is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Echo {
    Shown,
    Hidden,
}

/// A terminal in use.
pub(crate) struct Terminal<'s> {
    screen: &'s mut dyn Screen,
    keys: Keys,
    /// Rows of a screen of an answer; 0 shows it without a stop, `None` asks the terminal.
    length: Option<usize>,
}

impl<'s> Terminal<'s> {
    /// Takes a screen.
    pub(crate) fn new(screen: &'s mut dyn Screen) -> Self {
        Self {
            screen,
            keys: Keys::default(),
            length: None,
        }
    }

    /// Whether somebody sees it, or a script takes it.
    pub(crate) fn is_seen(&self) -> bool {
        self.screen.is_seen()
    }

    /// Shows what a script reads, and never stops for a key.
    pub(crate) fn plain(&mut self) -> impl Write {
        &mut self.screen
    }

    /// Shows a line.
    pub(crate) fn say(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.screen, "{text}")?;
        self.screen.flush()
    }

    /// Rows of a screen; 0 for no stops, `None` for those of the terminal.
    pub(crate) fn set_length(&mut self, rows: Option<usize>) {
        self.length = rows;
    }

    /// A writer that shows a long answer a screen at a time.
    pub(crate) fn pager(&mut self) -> impl Write {
        let size = self.screen.size();
        let size = size.filter(|(rows, columns)| *rows > 0 && *columns > 0);
        let (rows, columns) = size.unwrap_or((ROWS, COLUMNS));
        let rows = self.length.unwrap_or(rows);
        let keys = &mut self.keys;
        let ask = move |screen: &mut _| {
            loop {
                match key(screen, keys)? {
                    Key::Char(' ') | Key::Right | Key::Down => return Ok(More::Screen),
                    Key::Enter => return Ok(More::Line),
                    Key::Char('q' | 'Q') | Key::Interrupt | Key::EndOrDelete => {
                        return Ok(More::Stop);
                    }
                    _ => {}
                }
            }
        };
        Pager::new(&mut *self.screen, rows, columns, ask)
    }

    /// Shows a prompt and reads one line; a script is shown no prompt.
    ///
    /// # Errors
    /// The line is gone.
    pub(crate) fn ask(&mut self, prompt: &str, echo: Echo) -> io::Result<Typed> {
        let mut editor = Editor::default();
        let is_seen = self.is_seen();
        if is_seen {
            self.begin(prompt, &editor)?;
        }
        loop {
            let key = key(self.screen, &mut self.keys)?;
            let step = editor.press(key, None);
            match step {
                // A script knows what it is asked.
                Step::End if !is_seen => return Ok(End::Line.typed(editor)),
                Step::Interrupt if !is_seen => return Ok(End::Interrupted.typed(editor)),
                _ if !is_seen => {}
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

    /// Asks for something that nothing shows, twice, until both are alike; `None` when that was
    /// given up.
    ///
    /// # Errors
    /// The line is gone.
    pub(crate) fn ask_twice(
        &mut self,
        prompt: &str,
        again: &str,
    ) -> io::Result<Option<Zeroizing<String>>> {
        loop {
            let Typed::Line(first) = self.ask(prompt, Echo::Hidden)? else {
                return Ok(None);
            };
            match self.ask(again, Echo::Hidden)? {
                Typed::Line(second) if second == first => return Ok(Some(first)),
                Typed::Line(_) => self.say("These are two different ones.")?,
                Typed::Interrupted => return Ok(None),
            }
        }
    }

    /// Reads a command: with older lines, Tab and `?`.
    ///
    /// # Errors
    /// The line is gone.
    pub(crate) fn command(
        &mut self,
        prompt: &str,
        grammar: &clap::Command,
        history: &mut History,
    ) -> io::Result<Typed> {
        let mut editor = Editor::default();
        self.begin(prompt, &editor)?;
        loop {
            let key = key(self.screen, &mut self.keys)?;
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
        write!(self.screen, "{prompt} {}", editor.redrawn().as_str())?;
        self.screen.flush()
    }

    fn explain(&mut self, text: &str) -> io::Result<Step> {
        write!(self.screen, "\n{text}")?;
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
            Step::Show(text) => self.screen.write_all(text.as_bytes())?,
            Step::End => self.screen.write_all(b"\n")?,
            Step::Interrupt => self.screen.write_all(b"^C\n")?,
            // A prompt may be several lines; only its last is shown anew.
            Step::Redraw => {
                let last = prompt.lines().last().unwrap_or_default();
                write!(self.screen, "\r{last} {}", editor.redrawn().as_str())?;
            }
            Step::Refuse | Step::Complete | Step::Explain => self.screen.write_all(b"\x07")?,
        }
        self.screen.flush()?;
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
fn key(input: &mut (impl Read + ?Sized), keys: &mut Keys) -> io::Result<Key> {
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
