//! The last lines of each service, kept in memory for the status and for last words.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::time::{Duration, Instant};

/// Bytes kept for each service: the story of its last minutes.
const KEPT_BYTES_MAX: usize = 64 * 1024;
/// Bytes of one line; what is longer becomes several.
const LINE_BYTES_MAX: u64 = 1024;
/// Lines of one service that go on to the kernel's log in one [`WINDOW`]: it is small and shared.
const LINES_PER_WINDOW: u32 = 20;
const WINDOW: Duration = Duration::from_secs(1);

/// What a service wrote.
#[derive(Debug, Default)]
pub(crate) struct Log {
    lines: VecDeque<String>,
    bytes: usize,
    window: Option<Instant>,
    in_window: u32,
}

impl Log {
    /// Keeps a line, and says whether it may go on to the kernel's log.
    pub(crate) fn push(&mut self, line: String, now: Instant) -> bool {
        self.bytes += line.len();
        self.lines.push_back(line);
        while self.bytes > KEPT_BYTES_MAX
            && let Some(old) = self.lines.pop_front()
        {
            self.bytes -= old.len();
        }
        if self
            .window
            .is_none_or(|began| now.duration_since(began) >= WINDOW)
        {
            self.window = Some(now);
            self.in_window = 0;
        }
        self.in_window += 1;
        self.in_window <= LINES_PER_WINDOW
    }

    /// All lines kept, oldest first.
    pub(crate) fn lines(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(String::as_str)
    }

    /// The last line that says something.
    pub(crate) fn last_words(&self) -> Option<&str> {
        self.lines
            .iter()
            .rev()
            .map(|line| line.trim())
            .find(|line| !line.is_empty())
    }
}

/// Gives each line of `stream` to `take` until the stream ends or `take` says no.
pub(crate) fn read_lines(stream: impl Read, mut take: impl FnMut(String) -> bool) {
    let mut stream = BufReader::new(stream);
    loop {
        let mut line = Vec::new();
        match stream
            .by_ref()
            .take(LINE_BYTES_MAX)
            .read_until(b'\n', &mut line)
        {
            Ok(0) | Err(_) => return,
            Ok(_) => {
                let text = String::from_utf8_lossy(&line);
                if !take(text.trim_end_matches(['\r', '\n']).to_owned()) {
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_lines_go_and_last_words_stay() {
        let mut log = Log::default();
        let now = Instant::now();
        for i in 0..200 {
            log.push(format!("{i} {}", "x".repeat(1000)), now);
        }
        log.push("the disk is full".into(), now);
        log.push(String::new(), now);
        assert!(log.bytes <= KEPT_BYTES_MAX && log.lines().count() > 50);
        assert_eq!(log.last_words(), Some("the disk is full"));
    }

    #[test]
    fn a_talkative_service_is_cut_in_the_kernel_s_log_only() {
        let mut log = Log::default();
        let now = Instant::now();
        let passed = (0..100).filter(|i| log.push(i.to_string(), now)).count();
        assert_eq!(passed, LINES_PER_WINDOW as usize);
        assert!(log.push("later".into(), now + WINDOW));
        assert_eq!(log.lines().count(), 101);
    }

    #[test]
    fn a_line_without_end_becomes_several() {
        let text = [vec![b'a'; 2500], b"\r\nb".to_vec()].concat();
        let mut lines = Vec::new();
        read_lines(text.as_slice(), |line| {
            lines.push(line);
            true
        });
        assert_eq!(
            lines.iter().map(String::len).collect::<Vec<_>>(),
            [1024, 1024, 452, 1]
        );
    }
}
