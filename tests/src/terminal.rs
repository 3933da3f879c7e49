//! A program on a terminal of its own, used as a person would: wait for a prompt, type.

use anyhow::{Context, Result};
use nix::pty::{Winsize, openpty};
use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// How long a prompt may take: PBKDF2, Argon2id and the founding come in between.
const PROMPT_WITHIN: Duration = Duration::from_secs(60);

/// A program, and the terminal on which it runs.
#[derive(Debug)]
pub struct Terminal {
    child: Child,
    keys: File,
    bytes: Receiver<Vec<u8>>,
    /// Everything that stood on it.
    pub seen: String,
    read_to: usize,
}

impl Drop for Terminal {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Terminal {
    /// Starts a program on a screen so tall that no answer waits for a key.
    pub fn open(program: Command) -> Result<Self> {
        Self::of_size(program, 1000, 100)
    }

    /// Starts a program on a line that does not know how large the screen at its end is.
    pub fn open_serial(program: Command) -> Result<Self> {
        Self::of_size(program, 0, 0)
    }

    fn of_size(mut program: Command, rows: u16, columns: u16) -> Result<Self> {
        let size = Winsize {
            ws_row: rows,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        let pty = openpty(Some(&size), None)?;
        let end = || -> Result<Stdio> { Ok(Stdio::from(pty.slave.try_clone()?)) };
        program.stdin(end()?).stdout(end()?).stderr(end()?);
        let child = program.spawn()?;
        drop(program);
        let keys = File::from(pty.master);
        let mut screen = keys.try_clone()?;
        let (sender, bytes) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = screen.read(&mut buffer) {
                if sender.send(buffer[..length].to_vec()).is_err() {
                    return;
                }
            }
        });
        Ok(Self {
            child,
            keys,
            bytes,
            seen: String::new(),
            read_to: 0,
        })
    }

    /// Waits for a text; gives what stood before it since the last one.
    pub fn expect(&mut self, text: &str) -> Result<String> {
        let deadline = Instant::now() + PROMPT_WITHIN;
        loop {
            let new = &self.seen[self.read_to..];
            if let Some(at) = new.find(text) {
                let before = new[..at].to_owned();
                self.read_to += at + text.len();
                return Ok(before);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let bytes = self.bytes.recv_timeout(left);
            let bytes = bytes.with_context(|| format!("no {text:?} in:\n{}", self.seen))?;
            self.seen.push_str(&String::from_utf8_lossy(&bytes));
        }
    }

    pub fn send(&mut self, text: &str) -> Result<()> {
        Ok(self.keys.write_all(text.as_bytes())?)
    }

    /// Answers the prompt of an item.
    pub fn answer(&mut self, id: &str, text: &str) -> Result<String> {
        let before = self.expect(&format!("[{id}]"))?;
        self.send(&format!("{text}\r"))?;
        Ok(before)
    }

    /// Types a command when the prompt is there.
    pub fn answer_prompt(&mut self, command: &str) -> Result<()> {
        self.expect("strongroom>")?;
        self.send(&format!("{command}\r"))
    }

    /// Types a command and gives what it printed; the prompt is there again.
    pub fn command(&mut self, command: &str) -> Result<String> {
        self.send(&format!("{command}\r"))?;
        self.expect("strongroom>")
    }

    /// Types name and password.
    pub fn signs_in(&mut self, name: &str, password: &str) -> Result<()> {
        self.answer("login", name)?;
        self.answer("password", password)?;
        Ok(())
    }

    /// Types a new password twice.
    pub fn types_new_password(&mut self, password: &str) -> Result<()> {
        self.answer("password.new", password)?;
        self.answer("password.again", password)?;
        Ok(())
    }

    /// Waits for the end of the program.
    pub fn end(&mut self) -> Result<ExitStatus> {
        let deadline = Instant::now() + PROMPT_WITHIN;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            anyhow::ensure!(Instant::now() < deadline, "it goes on:\n{}", self.seen);
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
