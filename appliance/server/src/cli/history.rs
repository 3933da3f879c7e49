//! Lines that were typed before, for as long as somebody is signed in.

use std::collections::VecDeque;

/// Lines that are kept.
const LINES_MAX: usize = 200;

/// The lines of one session, latest first.
#[derive(Debug, Default)]
pub(crate) struct History(VecDeque<String>);

impl History {
    /// Keeps a line, unless it is blank or the one before.
    pub(crate) fn put(&mut self, line: &str) {
        let line = line.trim();
        if line.is_empty() || self.back(1) == Some(line) {
            return;
        }
        self.0.push_front(line.to_owned());
        self.0.truncate(LINES_MAX);
    }

    /// The line that was typed so many lines ago; 1 is the latest.
    pub(crate) fn back(&self, lines: usize) -> Option<&str> {
        let at = lines.checked_sub(1)?;
        self.0.get(at).map(String::as_str)
    }

    /// All, oldest first.
    pub(crate) fn lines(&self) -> impl Iterator<Item = &str> {
        self.0.iter().rev().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_keeps_what_differs_and_forgets_the_oldest() {
        let mut history = History::default();
        for line in ["a", "a", " ", "b"] {
            history.put(line);
        }
        assert_eq!(history.lines().collect::<Vec<_>>(), ["a", "b"]);
        for number in 0..LINES_MAX {
            history.put(&number.to_string());
        }
        assert_eq!(history.lines().count(), LINES_MAX);
        assert_eq!(history.back(1), Some("199"));
        assert_eq!(history.back(LINES_MAX + 1), None);
    }
}
