//! Bytes of a terminal → keys. What is no key of ours is passed over whole.

use zeroize::Zeroizing;

/// A key, as the editor knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    Char(char),
    Enter,
    Backspace,
    Delete,
    Left,
    Right,
    Home,
    End,
    Up,
    Down,
    Tab,
    /// Ctrl-U: everything before the cursor.
    KillBefore,
    /// Ctrl-K: everything behind it.
    KillBehind,
    /// Ctrl-W: the word before it.
    KillWord,
    /// Ctrl-C.
    Interrupt,
    /// Ctrl-D: the end of typing on an empty line, else [`Key::Delete`].
    EndOrDelete,
    /// Ctrl-L.
    Redraw,
    /// A byte that is no text.
    Garbage,
}

/// Takes keys out of a row of bytes.
#[derive(Default)]
pub(crate) struct Keys {
    /// Bytes of a character that is not whole yet.
    partial: Zeroizing<Vec<u8>>,
    escape: Escape,
    /// The last key was CR, so that an LF behind it belongs to it.
    after_return: bool,
}

/// Cursor keys and the like send sequences (ECMA-48 §5.4, and SS3 of older terminals).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Escape {
    #[default]
    None,
    Begun,
    /// With the number that was read so far, as in `ESC [ 3 ~`.
    Sequence(u8),
}

impl Keys {
    /// The key that ends with this byte, if one does.
    pub(crate) fn take(&mut self, byte: u8) -> Option<Key> {
        if self.escape != Escape::None {
            return self.go_on(byte);
        }
        let belongs_to_last = std::mem::replace(&mut self.after_return, byte == b'\r');
        Some(match byte {
            b'\n' if belongs_to_last => return None,
            b'\r' | b'\n' => Key::Enter,
            0x01 => Key::Home,
            0x02 => Key::Left,
            0x03 => Key::Interrupt,
            0x04 => Key::EndOrDelete,
            0x05 => Key::End,
            0x06 => Key::Right,
            0x08 | 0x7f => Key::Backspace,
            b'\t' => Key::Tab,
            0x0b => Key::KillBehind,
            0x0c => Key::Redraw,
            0x0e => Key::Down,
            0x10 => Key::Up,
            0x15 => Key::KillBefore,
            0x17 => Key::KillWord,
            0x1b => {
                self.escape = Escape::Begun;
                return None;
            }
            0x00..=0x1f => return None,
            _ => return self.text(byte),
        })
    }

    fn go_on(&mut self, byte: u8) -> Option<Key> {
        let was = std::mem::take(&mut self.escape);
        match (was, byte) {
            (Escape::Begun, b'[' | b'O') => self.escape = Escape::Sequence(0),
            (Escape::Sequence(number), b'0'..=b'9') => {
                let digit = byte - b'0';
                self.escape = Escape::Sequence(number.saturating_mul(10).saturating_add(digit));
            }
            (Escape::Sequence(_), 0x20..=0x3f) => self.escape = Escape::Sequence(0),
            (Escape::Sequence(number), last) => {
                return match (last, number) {
                    (b'A', _) => Some(Key::Up),
                    (b'B', _) => Some(Key::Down),
                    (b'C', _) => Some(Key::Right),
                    (b'D', _) => Some(Key::Left),
                    (b'H', _) | (b'~', 1 | 7) => Some(Key::Home),
                    (b'F', _) | (b'~', 4 | 8) => Some(Key::End),
                    (b'~', 3) => Some(Key::Delete),
                    _ => None,
                };
            }
            _ => {}
        }
        None
    }

    fn text(&mut self, byte: u8) -> Option<Key> {
        self.partial.push(byte);
        match std::str::from_utf8(&self.partial) {
            Ok(text) => {
                let character = text.chars().next();
                self.partial = Zeroizing::default();
                character.map(Key::Char)
            }
            Err(e) if e.error_len().is_none() => None,
            Err(_) => {
                self.partial = Zeroizing::default();
                Some(Key::Garbage)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn keys(bytes: &[u8]) -> Vec<Key> {
        let mut keys = Keys::default();
        bytes.iter().filter_map(|byte| keys.take(*byte)).collect()
    }

    #[test]
    fn cursor_keys_of_any_terminal_are_keys() {
        for (bytes, key) in [
            (&b"\x1b[A"[..], Key::Up),
            (b"\x1bOB", Key::Down),
            (b"\x1b[D", Key::Left),
            (b"\x1b[1;5C", Key::Right),
            (b"\x1b[3~", Key::Delete),
            (b"\x1b[1~", Key::Home),
            (b"\x1bOF", Key::End),
            (b"\x7f", Key::Backspace),
        ] {
            assert_eq!(keys(bytes), [key], "{bytes:?}");
        }
        assert_eq!(keys(b"\x1b[15~a"), [Key::Char('a')], "F5 is passed over");
    }

    #[test]
    fn a_return_is_one_whatever_the_terminal_sends() {
        assert_eq!(keys(b"\r\n\n\r"), [Key::Enter; 3]);
    }

    #[test]
    fn characters_come_whole_or_not_at_all() {
        assert_eq!(keys("grün".as_bytes()).len(), 4);
        assert_eq!(
            keys(b"a\xffb"),
            [Key::Char('a'), Key::Garbage, Key::Char('b')]
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(keys(&bytes).len() <= bytes.len());
        }
    }
}
