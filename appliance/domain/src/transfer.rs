//! Closed logs and where they go: what a rotation closes, what a destination is, and what a
//! transfer comes to.
//!
//! *Warning:* the types that serialize stand in the ledger.

use crate::attribute::shape;
use crate::{Hash, NodeId, View};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use serde::{Deserialize, Serialize};

/// Closed logs of one kind that may wait for destinations. Nothing is lost beyond it: the log is
/// closed later, with more in it.
pub const CLOSED_WAITING_MAX: u64 = 4_096;

/// Destinations of one cluster: each closed log is sent to all of them.
pub const DESTINATIONS_MAX: usize = 16;

/// Longest directory at a destination, in bytes.
const DIRECTORY_BYTES_MAX: usize = 255;

/// Longest name of an account at a destination, in bytes.
const USER_BYTES_MAX: usize = 64;

/// `age` recipients of one destination: each adds a stanza to every file.
const RECIPIENTS_MAX: usize = 8;

/// `age1` and 58 characters of Bech32 (C2SP age, X25519 recipients).
const RECIPIENT_BYTES: usize = 62;

/// What every fingerprint of an SSH key begins with, as OpenSSH shows it.
const FINGERPRINT_PREFIX: &str = "SHA256:";

/// SHA-256 in base64 without padding.
const FINGERPRINT_DIGITS: usize = 43;

/// Characters of what a failed transfer says of itself.
const DETAIL_CHARS_MAX: usize = 200;

impl View {
    /// Whether it is a view of the cluster log; the others are views of each node's access log.
    pub const fn is_of_cluster(self) -> bool {
        matches!(self, Self::System | Self::Audit)
    }
}

/// The closed logs that follow one another: those of a view of the cluster log, or of a view of
/// one node's access log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stream {
    /// Which of the four logs.
    pub log: View,
    /// Whose access log; `None` for views of the cluster log.
    pub node: Option<NodeId>,
}

impl Stream {
    /// The one to which a log belongs at a node.
    pub fn of(log: View, node: NodeId) -> Self {
        let node = (!log.is_of_cluster()).then_some(node);
        Self { log, node }
    }
}

impl fmt::Display for Stream {
    /// As in names of files: `system`, `activity-node-2`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.log.name())?;
        match self.node {
            Some(node) => write!(f, "-node-{}", node.0),
            None => Ok(()),
        }
    }
}

/// Head of a node's access log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogHead {
    /// Records in it.
    pub size: u64,
    /// Merkle root over them.
    pub root: Hash,
}

/// Why a log was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum RotationCause {
    /// Its time came.
    Schedule,
    /// It was large enough.
    Size,
    /// An operator asked for it.
    Asked,
}

/// How a node shows a destination who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WayIn {
    /// With its own SSH key.
    Key,
    /// With a password, which is sealed in the vault; this is SHA-256(salt ‖ password).
    Password(Hash),
}

/// Where closed logs go, by SSH.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Destination {
    /// `host:port`.
    pub address: String,
    /// Account there.
    pub user: String,
    /// Folder there, absolute or below the account's own.
    pub directory: String,
    /// How the nodes sign in.
    pub way_in: WayIn,
    /// Fingerprint of its host key, `SHA256:` and 43 digits of base64.
    pub host_key: String,
    /// Public keys of `age`, `age1…`; what is sent is encrypted to them, if there are any.
    pub recipients: Vec<String>,
    /// Which of the four logs it gets, in their order.
    pub logs: Vec<View>,
    /// False while nothing is sent there; what is closed meanwhile waits.
    pub enabled: bool,
}

impl Destination {
    /// Whether what is sent there is encrypted first.
    pub fn encrypts(&self) -> bool {
        !self.recipients.is_empty()
    }

    /// Whether it is in its canonical form, and nothing in it can be taken for something else on
    /// the way (ABUSE A17).
    ///
    /// # Errors
    /// What is wrong and what is expected: one line for people.
    pub fn check(&self) -> Result<(), String> {
        crate::check_address(&self.address).map_err(|denial| denial.to_string())?;
        check_user(&self.user)?;
        check_directory(&self.directory)?;
        check_host_key(&self.host_key)?;
        if self.recipients.len() > RECIPIENTS_MAX {
            return Err(format!("at most {RECIPIENTS_MAX} age recipients are taken"));
        }
        for recipient in &self.recipients {
            check_recipient(recipient)?;
        }
        let ascends = |pair: &[View]| matches!(pair, [one, next] if one < next);
        if self.logs.is_empty() || !self.logs.windows(2).all(ascends) {
            return Err("name the logs that go there, each once".to_string());
        }
        Ok(())
    }
}

fn check_user(user: &str) -> Result<(), String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if (1..=USER_BYTES_MAX).contains(&user.len())
        && user.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && user.chars().all(allowed)
    {
        return Ok(());
    }
    Err(format!(
        "the account has 1 to {USER_BYTES_MAX} letters, digits, dots, underscores or hyphens and \
         begins with a letter, a digit or an underscore"
    ))
}

fn check_directory(directory: &str) -> Result<(), String> {
    if !(1..=DIRECTORY_BYTES_MAX).contains(&directory.len()) {
        return Err(format!(
            "the directory has 1 to {DIRECTORY_BYTES_MAX} characters"
        ));
    }
    let below = directory.strip_prefix('/').unwrap_or(directory);
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let is_part = |part: &str| {
        !part.is_empty() && part != ".." && !part.starts_with('-') && part.chars().all(allowed)
    };
    if directory == "/" || below.split('/').all(is_part) {
        return Ok(());
    }
    Err(
        "a directory is written like logs/strongroom or /srv/logs: letters, digits, dots, \
         underscores and hyphens between slashes, no part is .. or begins with a hyphen, and no \
         slash is at the end"
            .to_string(),
    )
}

pub(crate) fn check_host_key(fingerprint: &str) -> Result<(), String> {
    let digits = fingerprint.strip_prefix(FINGERPRINT_PREFIX);
    let is_digit = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/');
    if digits.is_some_and(|d| d.len() == FINGERPRINT_DIGITS && d.chars().all(is_digit)) {
        return Ok(());
    }
    Err(format!(
        "the host key is given by its fingerprint as ssh-keygen -l shows it: {FINGERPRINT_PREFIX} \
         and {FINGERPRINT_DIGITS} characters"
    ))
}

fn check_recipient(recipient: &str) -> Result<(), String> {
    let is_digit = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let fits = recipient.len() == RECIPIENT_BYTES
        && recipient.starts_with("age1")
        && recipient.chars().all(is_digit);
    match fits {
        true => Ok(()),
        false => Err("an age recipient is written age1 and 58 small letters and digits".into()),
    }
}

/// What kind of failure kept a closed log from arriving. A new one is recorded when it is another
/// kind than the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TransferFailure {
    /// Nobody answers there, or the connection broke.
    Unreachable,
    /// The host key is not the pinned one.
    HostKey,
    /// The account or its key or password is not accepted.
    SignIn,
    /// This node has not what it needs to sign in.
    NoCredential,
    /// No room is left there, or a quota is reached.
    NoRoom,
    /// The folder or the file cannot be written there.
    Refused,
    /// What stands there is not what was sent.
    Receipt,
    /// It answered too slowly, too much, or against the protocol.
    Misbehaves,
    /// The closed log could not be made or read here.
    Local,
    /// `age` is not among the approved algorithms.
    NotApproved,
}

impl TransferFailure {
    /// Every kind.
    pub const ALL: [Self; 10] = [
        Self::Unreachable,
        Self::HostKey,
        Self::SignIn,
        Self::NoCredential,
        Self::NoRoom,
        Self::Refused,
        Self::Receipt,
        Self::Misbehaves,
        Self::Local,
        Self::NotApproved,
    ];

    /// Its name in lists and figures.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::HostKey => "host-key",
            Self::SignIn => "sign-in",
            Self::NoCredential => "no-credential",
            Self::NoRoom => "no-room",
            Self::Refused => "refused",
            Self::Receipt => "receipt",
            Self::Misbehaves => "misbehaves",
            Self::Local => "local",
            Self::NotApproved => "not-approved",
        }
    }
}

/// What a transfer came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TransferOutcome {
    /// It stands there, and was read back.
    Delivered {
        /// SHA-256 of the file there.
        digest: Hash,
        /// Its length.
        bytes: u64,
    },
    /// It does not, yet.
    Failed {
        /// Why.
        why: TransferFailure,
        /// The same in words, for people.
        detail: String,
    },
}

/// A text from outside as the detail of a failure.
pub fn transfer_detail(text: &str) -> String {
    let shown = text.chars().map(|c| match shape::is_forbidden(c) {
        true => '?',
        false => c,
    });
    let shown: String = shown.take(DETAIL_CHARS_MAX).collect();
    match shown.is_empty() {
        true => "no reason was given".to_string(),
        false => shown,
    }
}

/// Whether a text is in the form of [`transfer_detail`].
pub(crate) fn is_detail(text: &str) -> bool {
    transfer_detail(text) == text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Destination {
        Destination {
            address: "logs.example:22".to_string(),
            user: "strongroom".to_string(),
            directory: "/srv/logs".to_string(),
            way_in: WayIn::Key,
            host_key: format!("SHA256:{}", "A".repeat(43)),
            recipients: Vec::new(),
            logs: View::ALL.to_vec(),
            enabled: true,
        }
    }

    #[test]
    fn a_destination_has_one_form() {
        assert_eq!(good().check(), Ok(()));
        for directory in ["logs", "/", ".", "a/b.c/d-e", "/srv/logs"] {
            let directory = directory.to_string();
            assert_eq!(
                Destination {
                    directory,
                    ..good()
                }
                .check(),
                Ok(())
            );
        }
        for directory in [
            "", "a//b", "a/", "../x", "/a/../b", "-r", "a/-b", "a b", "a;b", "$(x)",
        ] {
            let bad = Destination {
                directory: directory.to_string(),
                ..good()
            };
            assert!(bad.check().is_err(), "{directory}");
        }
        for user in ["", "-oProxyCommand=x", ".x", "a b", "a@b", "a'b", "root\n"] {
            let bad = Destination {
                user: user.to_string(),
                ..good()
            };
            assert!(bad.check().is_err(), "{user}");
        }
        let wrong = |change: fn(&mut Destination)| {
            let mut bad = good();
            change(&mut bad);
            assert!(bad.check().is_err(), "{bad:?}");
        };
        wrong(|d| d.address = "-oX:22".replace(':', ""));
        wrong(|d| d.host_key.push('='));
        wrong(|d| d.host_key = "MD5:00".to_string());
        wrong(|d| d.recipients.push("ssh-ed25519 AAAA".to_string()));
        wrong(|d| d.logs.clear());
        wrong(|d| d.logs.reverse());
        wrong(|d| d.logs.push(View::Client));
    }

    #[test]
    fn details_are_one_short_line() {
        assert_eq!(transfer_detail("a\nb\u{202e}"), "a?b?");
        assert_eq!(transfer_detail(&"x".repeat(999)).len(), DETAIL_CHARS_MAX);
        assert!(is_detail(&transfer_detail("")) && !is_detail("a\u{1b}[2J"));
    }
}
