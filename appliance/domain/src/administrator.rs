//! Administrators: the people who sign in at the console, over SSH and in the browser.
//!
//! The log knows of a password only a commitment; the verifier itself lies sealed in the vault, so
//! that an exported log gives nothing to guess at.

mod needs;
mod permissions;
mod standing;

pub use needs::Right;
pub(crate) use needs::needed;
pub(crate) use permissions::PERMISSIONS_FORMAT;
pub use permissions::{PERMISSIONS, PRESETS, Permission, PermissionRow, Permissions, Preset};
pub(crate) use standing::{check_ask, speaker};
pub use standing::{permit_operator, permit_sign_in};

use crate::{Hash, Time};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// Most SSH keys of one administrator: a few machines each, and room to exchange one.
pub const SSH_KEYS_MAX: usize = 8;
/// Longest line of an SSH public key, in bytes: RSA of 4096 bits takes 730 and a comment.
pub const SSH_KEY_BYTES_MAX: usize = 1024;

/// Kinds of keys that may sign in, as they stand in the line and in the key itself. DSA and
/// certificates are not among them.
const SSH_KEY_TYPES: [&str; 7] = [
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "ssh-rsa",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
];

/// What is known of an administrator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Administrator {
    /// SHA-256(salt ‖ verifier) of the password; `None` where there is none to sign in with.
    pub password: Option<Hash>,
    /// Lines of OpenSSH public keys.
    pub ssh_keys: Vec<String>,
    /// What they may do.
    pub permissions: Permissions,
    /// Whether somebody else set the password.
    pub must_change: bool,
    /// When the password was set.
    pub password_since: Time,
}

/// The canonical form of the line of an OpenSSH public key: type, key and comment with one space
/// between them. Options before the type are not taken.
///
/// # Errors
/// What is wrong with it: one line for people.
pub fn check_ssh_key(line: &str) -> Result<String, String> {
    if line.len() > SSH_KEY_BYTES_MAX {
        let bytes = line.len();
        return Err(format!(
            "the SSH key has {bytes} bytes; at most {SSH_KEY_BYTES_MAX} are kept"
        ));
    }
    if let Some(c) = line
        .chars()
        .find(|c| crate::attribute::shape::is_forbidden(*c))
    {
        let code = u32::from(c);
        return Err(format!(
            "the SSH key holds U+{code:04X}; enter it in one line"
        ));
    }
    let mut words = line.split_whitespace();
    let (Some(kind), Some(key)) = (words.next(), words.next()) else {
        return Err("an SSH key has a type and a key, as in an .pub file".into());
    };
    if !SSH_KEY_TYPES.contains(&kind) {
        let known = SSH_KEY_TYPES.join(", ");
        return Err(format!(
            "SSH keys of type \"{kind}\" are not taken; these are: {known}"
        ));
    }
    // A key begins with the name of its type again (RFC 4253 §6.6), which tells a cut or an
    // exchanged line from a whole one better than its letters alone.
    let bytes = decode_base64(key).ok_or("the SSH key is damaged: it is not base64")?;
    let named = bytes
        .split_first_chunk::<4>()
        .and_then(|(length, rest)| rest.get(..usize::try_from(u32::from_be_bytes(*length)).ok()?));
    if named != Some(kind.as_bytes()) {
        return Err(format!("the SSH key is damaged: it is not of type {kind}"));
    }
    if !fields_fill(&bytes) {
        return Err("the SSH key is damaged: a part of it is missing".into());
    }
    let comment: Vec<&str> = words.collect();
    Ok(match comment.is_empty() {
        true => format!("{kind} {key}"),
        false => format!("{kind} {key} {}", comment.join(" ")),
    })
}

/// Whether bytes are a row of fields, each with its length (RFC 4251 §5), and nothing else.
fn fields_fill(mut bytes: &[u8]) -> bool {
    while let Some((length, rest)) = bytes.split_first_chunk::<4>() {
        let after = usize::try_from(u32::from_be_bytes(*length))
            .ok()
            .and_then(|length| rest.get(length..));
        match after {
            Some([]) => return true,
            Some(after) => bytes = after,
            None => return false,
        }
    }
    false
}

/// Base64 with padding (RFC 4648 §4); `None` when the text is not the one that encodes its bytes.
fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=');
    if !text.len().is_multiple_of(4) || text.len() - digits.len() > 2 {
        return None;
    }
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut count) = (0u32, 0u32);
    for c in digits.bytes() {
        let digit = match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(digit);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from(bits >> count & 0xff).ok()?);
            bits &= (1 << count) - 1;
        }
    }
    // What is left over stands for nothing and is zero.
    (bits == 0 && count < 6).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by ssh-keygen for this test.
    const KEY: &str = "ssh-ed25519 \
        AAAAC3NzaC1lZDI1NTE5AAAAIK5D2T/VE0xu5IhSdoeLzbi6Ekw1zVOxT0azFNrlXXMB alice@desk";

    #[test]
    fn a_line_of_a_public_key_is_taken() {
        let plain = KEY.rsplit_once(' ').map_or(KEY, |(plain, _)| plain);
        for (line, kept) in [
            (KEY, KEY),
            (plain, plain),
            (&format!("  {}  ", KEY.replace(' ', "  ")), KEY),
        ] {
            assert_eq!(check_ssh_key(line).as_deref(), Ok(kept));
        }
        let rsa = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQDq+X/P1ICoIkQ2SO12o4fIKTy+e3xFQ4zaIevwQVW8\
                   ITzrIMGZbirK7G0f6fHmXfDptkahg/ixX+/tGF3vBzRvzVR+lk5hkp5nZFRGg/8F48VvDyVwbvvYr5My\
                   AyhZKSGl+TuqXUtRzTyMKLFO8z1ipT87edtcntDASbYC57ku8AQzNftPZC4TlVleGpUB4U8M0uWWF0vo\
                   8mDb8nVUkW9IpDo7SbMppOp5xwRdpdVeuYCqZfm38NR/eGaArS3TvY7w5AikHjHr0a1DdrGhxbVDNFLp\
                   wkTDzJ1txfSgfjPRGqQxWqvHIJ3ODjyuoLIjD8abA7gJ/KFtOuftKZur6PON r";
        assert_eq!(check_ssh_key(rsa).as_deref(), Ok(rsa));
    }

    #[test]
    fn anything_else_is_refused_with_the_reason() {
        let (kind, key) = KEY.split_once(' ').unwrap_or_default();
        let key = key.split(' ').next().unwrap_or_default();
        let long = format!("{KEY} {}", "x".repeat(1024));
        let refused = [
            (String::new(), "a type and a key"),
            (kind.into(), "a type and a key"),
            (format!("no-pty {KEY}"), "\"no-pty\""),
            (format!("ssh-dss {key}"), "\"ssh-dss\""),
            (format!("ssh-rsa {key}"), "not of type ssh-rsa"),
            (
                format!("{kind} {}", key.get(..64).unwrap_or_default()),
                "missing",
            ),
            (
                format!("{kind} {}", key.get(..63).unwrap_or_default()),
                "not base64",
            ),
            (format!("{kind} {key}AAAA"), "missing"),
            (format!("{kind} AAAA"), "not of type"),
            (format!("{kind} {}", key.replace('A', "!")), "not base64"),
            (format!("{KEY}\n{KEY}"), "U+000A"),
            (long, "at most 1024"),
        ];
        for (line, reason) in refused {
            let said = check_ssh_key(&line).err().unwrap_or_default();
            assert!(said.contains(reason), "{line}: {said}");
        }
    }

    #[test]
    fn base64_is_what_rfc_4648_shows() {
        for (text, bytes) in [
            ("", Some(&b""[..])),
            ("Zg==", Some(b"f")),
            ("Zm8=", Some(b"fo")),
            ("Zm9v", Some(b"foo")),
            ("Zm9vYmFy", Some(b"foobar")),
            ("Zh==", None),
            ("Zg=", None),
            ("Zg", None),
            ("Z===", None),
            ("=Zg=", None),
        ] {
            assert_eq!(decode_base64(text).as_deref(), bytes, "{text}");
        }
    }
}
