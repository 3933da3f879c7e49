//! A line while it is typed: keys → the line, and what the terminal has to show for it.
//!
//! What is shown are characters, backspaces and blanks only: every terminal and every program that
//! is taken for one understands those.

use super::history::History;
use super::keys::Key;
use zeroize::Zeroizing;

/// Longest line that is taken; more is answered by a bell.
pub(crate) const LINE_BYTES_MAX: usize = 2048;

/// What came of a key.
pub(crate) enum Step {
    /// Show this; it may be nothing.
    Show(Zeroizing<String>),
    /// The line is whole.
    End,
    /// Ctrl-C, or Ctrl-D on an empty line.
    Interrupt,
    /// Tab: whoever knows the grammar completes the word before the cursor.
    Complete,
    /// `?`: whoever knows the grammar explains what may come.
    Explain,
    /// Prompt and line are to be shown anew.
    Redraw,
    /// A bell.
    Refuse,
}

/// The line and the place in it.
#[derive(Default)]
pub(crate) struct Editor {
    text: Zeroizing<String>,
    /// In bytes, between characters.
    cursor: usize,
    /// How far back in the history, 0 for the line itself.
    back: usize,
    /// The line itself while an older one is looked at.
    draft: Zeroizing<String>,
}

impl Editor {
    /// The line.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// What is before the cursor.
    pub(crate) fn before(&self) -> &str {
        self.text.get(..self.cursor).unwrap_or_default()
    }

    fn behind(&self) -> &str {
        self.text.get(self.cursor..).unwrap_or_default()
    }

    /// The line, at its end.
    pub(crate) fn into_line(self) -> Zeroizing<String> {
        self.text
    }

    /// Takes a key. A hidden line has no history and is explained by nobody.
    pub(crate) fn press(&mut self, key: Key, history: Option<&History>) -> Step {
        match key {
            Key::Char('?') if history.is_some() && !is_quoted(self.before()) => Step::Explain,
            Key::Char(character) => self.insert(character.encode_utf8(&mut [0; 4])),
            Key::Enter => Step::End,
            Key::Interrupt => Step::Interrupt,
            Key::EndOrDelete if self.text.is_empty() => Step::Interrupt,
            Key::Delete | Key::EndOrDelete => self.remove(self.cursor, self.right()),
            Key::Backspace => self.remove(self.left(), self.cursor),
            Key::KillBefore => self.remove(0, self.cursor),
            Key::KillBehind => self.remove(self.cursor, self.text.len()),
            Key::KillWord => self.remove(self.word(), self.cursor),
            Key::Left => self.go(self.left()),
            Key::Right => self.go(self.right()),
            Key::Home => self.go(0),
            Key::End => self.go(self.text.len()),
            Key::Up => self.look(history, self.back + 1),
            Key::Down => self.look(history, self.back.saturating_sub(1)),
            Key::Tab if history.is_some() => Step::Complete,
            Key::Redraw => Step::Redraw,
            Key::Tab | Key::Garbage => Step::Refuse,
        }
    }

    /// Puts text at the cursor.
    pub(crate) fn insert(&mut self, text: &str) -> Step {
        if self.text.len() + text.len() > LINE_BYTES_MAX {
            return Step::Refuse;
        }
        self.text.insert_str(self.cursor, text);
        self.cursor += text.len();
        let mut shown = Zeroizing::new(text.to_owned());
        shown.push_str(self.behind());
        back(&mut shown, self.behind());
        Step::Show(shown)
    }

    /// What shows the line again behind a new prompt.
    pub(crate) fn redrawn(&self) -> Zeroizing<String> {
        let mut shown = self.text.clone();
        back(&mut shown, self.behind());
        shown
    }

    fn remove(&mut self, from: usize, to: usize) -> Step {
        if from >= to {
            return Step::Refuse;
        }
        let mut shown = Zeroizing::default();
        back(
            &mut shown,
            self.text.get(from..self.cursor).unwrap_or_default(),
        );
        let gone = self.text.get(from..to).unwrap_or_default().chars().count();
        self.text.replace_range(from..to, "");
        self.cursor = from;
        shown.push_str(self.behind());
        shown.push_str(&" ".repeat(gone));
        shown.push_str(&"\x08".repeat(gone));
        back(&mut shown, self.behind());
        Step::Show(shown)
    }

    fn go(&mut self, to: usize) -> Step {
        let mut shown = Zeroizing::default();
        match self.text.get(to..self.cursor) {
            Some(before) => back(&mut shown, before),
            None => shown.push_str(self.text.get(self.cursor..to).unwrap_or_default()),
        }
        self.cursor = to;
        Step::Show(shown)
    }

    fn left(&self) -> usize {
        let last = self.before().chars().next_back();
        self.cursor - last.map_or(0, char::len_utf8)
    }

    fn right(&self) -> usize {
        let next = self.behind().chars().next();
        self.cursor + next.map_or(0, char::len_utf8)
    }

    /// Where the word before the cursor begins.
    fn word(&self) -> usize {
        let before = self.before().trim_end();
        before.rfind(char::is_whitespace).map_or(0, |at| {
            at + before
                .get(at..)
                .and_then(|rest| rest.chars().next())
                .map_or(1, char::len_utf8)
        })
    }

    /// Shows the line that was typed so many lines ago.
    fn look(&mut self, history: Option<&History>, back: usize) -> Step {
        let older = history.and_then(|history| history.back(back));
        let line = match older {
            _ if back == self.back => return Step::Refuse,
            None if back == 0 => std::mem::take(&mut self.draft),
            None => return Step::Refuse,
            Some(older) => Zeroizing::new(older.to_owned()),
        };
        if self.back == 0 {
            self.draft = self.text.clone();
        }
        self.back = back;
        let mut shown = Zeroizing::default();
        self::back(&mut shown, self.before());
        shown.push_str(&line);
        let (was, is) = (self.text.chars().count(), line.chars().count());
        let rest = was.saturating_sub(is);
        shown.push_str(&" ".repeat(rest));
        shown.push_str(&"\x08".repeat(rest));
        self.cursor = line.len();
        self.text = line;
        Step::Show(shown)
    }
}

/// Moves the cursor of the terminal before a text that it stands behind.
fn back(shown: &mut String, text: &str) {
    shown.push_str(&"\x08".repeat(text.chars().count()));
}

/// Whether the end of a line is inside quotes.
fn is_quoted(line: &str) -> bool {
    line.matches('"').count() % 2 == 1
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::cli::keys::Keys;
    use proptest::prelude::*;

    /// A terminal of one endless line.
    #[derive(Default)]
    struct Paper {
        cells: Vec<char>,
        at: usize,
    }

    impl Paper {
        fn show(&mut self, text: &str) {
            for character in text.chars() {
                if character == '\x08' {
                    self.at = self.at.checked_sub(1).unwrap();
                    continue;
                }
                if self.at == self.cells.len() {
                    self.cells.push(' ');
                }
                self.cells[self.at] = character;
                self.at += 1;
            }
        }

        fn text(&self) -> String {
            self.cells.iter().collect()
        }
    }

    fn history() -> History {
        let mut history = History::default();
        for line in ["show health", "status"] {
            history.put(line);
        }
        history
    }

    /// Types bytes; what the paper shows must be the line and the cursor, after every key.
    fn typed(bytes: &[u8]) -> Editor {
        let (mut editor, mut paper) = (Editor::default(), Paper::default());
        let (mut keys, history) = (Keys::default(), history());
        for key in bytes.iter().filter_map(|byte| keys.take(*byte)) {
            if let Step::Show(shown) = editor.press(key, Some(&history)) {
                paper.show(&shown);
            }
            assert_eq!(paper.text().trim_end(), editor.text().trim_end());
            assert_eq!(paper.at, editor.before().chars().count());
        }
        editor
    }

    #[test]
    fn a_line_can_be_mended_anywhere() {
        for (bytes, line) in [
            (&b"hxo\x08\x7fello"[..], "hello"),
            (b"wrong\x15right", "right"),
            (b"stus\x1b[D\x1b[Dat", "status"),
            (b"tatus\x01s", "status"),
            (b"show all keys\x17\x17key", "show key"),
            (
                b"status --json\x1b[D\x1b[D\x1b[D\x1b[D\x1b[D\x1b[D\x0b",
                "status ",
            ),
            (b"xstatus\x01\x1b[3~", "status"),
            ("gr\u{fc}n\x08\x08".as_bytes(), "gr"),
        ] {
            assert_eq!(typed(bytes).text(), line, "{bytes:?}");
        }
    }

    #[test]
    fn older_lines_come_back_and_the_draft_too() {
        assert_eq!(typed(b"\x1b[A").text(), "status");
        assert_eq!(typed(b"\x1b[A\x1b[A").text(), "show health");
        assert_eq!(typed(b"\x1b[A\x1b[A\x1b[A\x1b[B").text(), "status");
        assert_eq!(typed(b"lo\x1b[A\x1b[B").text(), "lo");
    }

    #[test]
    fn a_secret_has_neither_history_nor_help() {
        let mut editor = Editor::default();
        for key in [Key::Char('?'), Key::Up, Key::Tab] {
            editor.press(key, None);
        }
        assert_eq!(editor.text(), "?");
    }

    #[test]
    fn a_line_has_an_end() {
        let editor = typed(&vec![b'x'; LINE_BYTES_MAX + 1]);
        assert_eq!(editor.text().len(), LINE_BYTES_MAX);
    }

    proptest! {
        #[test]
        fn what_is_shown_is_the_line(bytes in proptest::collection::vec(
            prop_oneof![
                3 => 32u8..127,
                1 => prop::sample::select(vec![1u8, 2, 5, 6, 8, 11, 14, 16, 21, 23]),
            ], 0..60)) {
            typed(&bytes);
        }
    }
}
