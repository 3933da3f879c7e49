//! The serial line on the terminal of whoever runs us.

use crate::fault::Fault;
use crate::machine::Machine;
use crate::serial::Serial;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::termios::{self, SetArg, Termios};
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::process::ExitStatus;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// Longest time between two looks at whether the session is over.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The same for poll(2), in milliseconds.
const LOOK_EVERY_MS: u16 = 100;

/// Keys that one read of the terminal takes at most.
const KEYS_MAX: usize = 256;

/// Ctrl-].
const END: u8 = 0x1d;

/// Ctrl-A, before another key: `x` ends, `b` sends a BREAK, Ctrl-A sends itself.
const ESCAPE: u8 = 0x01;

/// Why a session at the console is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// The person at the terminal left; the machine is still on.
    ByKey,
    /// The machine is off.
    Off(ExitStatus),
}

impl Machine {
    /// Gives the serial line to the terminal of this process (standard input and output) until
    /// the machine ends, or somebody types Ctrl-] or Ctrl-A x. If standard input is no terminal,
    /// its bytes are typed as they come, and its end changes nothing.
    ///
    /// # Errors
    /// The terminal cannot be read or written.
    pub fn interactive(&mut self) -> Result<Left, Fault> {
        let input = io::stdin()
            .as_fd()
            .try_clone_to_owned()
            .map_err(Fault::doing("read the terminal"))?;
        // The guard puts the terminal back when this function is left, in whatever way.
        let _terminal = Terminal::raw(&input)?;
        let over = AtomicBool::new(false);
        let by_key = thread::scope(|scope| {
            let serial = self.serial();
            let typing = scope.spawn(|| type_keys(serial, input, &over));
            let shown = show(serial, &over);
            over.store(true, Ordering::Relaxed);
            let typed = typing.join().unwrap_or(Ok(()));
            let left = shown?;
            typed.map(|()| left)
        })?;
        if by_key {
            return Ok(Left::ByKey);
        }
        // The line closes with QEMU, a moment before its end can be seen.
        self.wait_end(Duration::from_secs(5)).map(Left::Off)
    }
}

/// Shows what the guest prints. True: it was the person who left.
fn show(serial: &Serial, over: &AtomicBool) -> Result<bool, Fault> {
    let mut output = io::stdout().lock();
    while !over.load(Ordering::Relaxed) {
        let Some(bytes) = serial.take(LOOK_EVERY) else {
            return Ok(false);
        };
        let written = output.write_all(&bytes).and_then(|()| output.flush());
        written.map_err(Fault::doing("write to the terminal"))?;
    }
    Ok(true)
}

/// Types what the person types, until the session is over.
fn type_keys(serial: &Serial, input: OwnedFd, over: &AtomicBool) -> Result<(), Fault> {
    let mut input = File::from(input);
    let mut keys = Keys::default();
    let mut buffer = [0; KEYS_MAX];
    while !over.load(Ordering::Relaxed) {
        let mut ready = [PollFd::new(input.as_fd(), PollFlags::POLLIN)];
        match poll(&mut ready, PollTimeout::from(LOOK_EVERY_MS)) {
            Ok(0) | Err(nix::errno::Errno::EINTR) => continue,
            Ok(_) => {}
            Err(error) => return Err(Fault::doing("wait for the terminal")(error.into())),
        }
        let count = input
            .read(&mut buffer)
            .map_err(Fault::doing("read the terminal"))?;
        if count == 0 {
            return Ok(());
        }
        for &byte in buffer.iter().take(count) {
            match keys.press(byte) {
                Key::Nothing => {}
                // The line closes when the machine ends, which `show` finds out.
                Key::Byte(byte) => drop(serial.send([byte])),
                Key::Break => drop(serial.send_break()),
                Key::End => {
                    over.store(true, Ordering::Relaxed);
                    return Ok(());
                }
            }
        }
    }
    Ok(())
}

/// What a key means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    Nothing,
    Byte(u8),
    Break,
    End,
}

/// Remembers whether the last key was Ctrl-A.
#[derive(Default)]
struct Keys {
    escaped: bool,
}

impl Keys {
    fn press(&mut self, byte: u8) -> Key {
        if std::mem::take(&mut self.escaped) {
            return match byte {
                b'x' | b'X' => Key::End,
                b'b' | b'B' => Key::Break,
                ESCAPE => Key::Byte(ESCAPE),
                _ => Key::Nothing,
            };
        }
        match byte {
            END => Key::End,
            ESCAPE => {
                self.escaped = true;
                Key::Nothing
            }
            byte => Key::Byte(byte),
        }
    }
}

/// A terminal in raw mode; dropping it puts it back.
struct Terminal {
    before: Option<(OwnedFd, Termios)>,
}

impl Terminal {
    /// Every key comes at once, unechoed, Ctrl-C too. Nothing happens to what is no terminal.
    fn raw(input: &OwnedFd) -> Result<Self, Fault> {
        let Ok(before) = termios::tcgetattr(input) else {
            return Ok(Self { before: None });
        };
        let mut raw = before.clone();
        termios::cfmakeraw(&mut raw);
        let set = termios::tcsetattr(input, SetArg::TCSADRAIN, &raw);
        set.map_err(|error| Fault::doing("set the terminal to raw mode")(error.into()))?;
        let input = input
            .try_clone()
            .map_err(Fault::doing("keep the terminal"))?;
        Ok(Self {
            before: Some((input, before)),
        })
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if let Some((input, before)) = &self.before {
            // A terminal that is gone needs nothing put back.
            let _ = termios::tcsetattr(input, SetArg::TCSADRAIN, before);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_end_break_and_pass() {
        let mut keys = Keys::default();
        let meant: Vec<Key> = b"a\x01\x01\x01b\x01q\x03\x01x"
            .iter()
            .map(|&byte| keys.press(byte))
            .filter(|key| *key != Key::Nothing)
            .collect();
        let expected = [
            Key::Byte(b'a'),
            Key::Byte(ESCAPE),
            Key::Break,
            Key::Byte(3),
            Key::End,
        ];
        assert_eq!(meant, expected);
        assert_eq!(keys.press(END), Key::End);
    }
}
