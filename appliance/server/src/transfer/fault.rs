//! Why a closed log has not arrived: a kind, which is recorded once, and words for people.

use domain::{TransferFailure, transfer_detail};
use std::fmt;

/// A transfer failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) why: TransferFailure,
    pub(crate) detail: String,
}

impl Fault {
    /// What comes from outside is cut and cleaned.
    pub(crate) fn new(why: TransferFailure, detail: impl fmt::Display) -> Self {
        let detail = transfer_detail(&detail.to_string());
        Self { why, detail }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.why.name(), self.detail)
    }
}

pub(crate) fn unreachable(detail: impl fmt::Display) -> Fault {
    Fault::new(TransferFailure::Unreachable, detail)
}

pub(crate) fn misbehaves(detail: impl fmt::Display) -> Fault {
    Fault::new(TransferFailure::Misbehaves, detail)
}

pub(crate) fn refused(detail: impl fmt::Display) -> Fault {
    Fault::new(TransferFailure::Refused, detail)
}

pub(crate) fn local(detail: impl fmt::Display) -> Fault {
    Fault::new(TransferFailure::Local, detail)
}

/// A refusal in the words of the other side, where they say that its disk is full.
pub(crate) fn refusal(words: &str) -> Fault {
    let lower = words.to_ascii_lowercase();
    let full = [
        "no space left",
        "quota exceeded",
        "disk full",
        "file too large",
    ];
    let why = match full.iter().any(|said| lower.contains(said)) {
        true => TransferFailure::NoRoom,
        false => TransferFailure::Refused,
    };
    Fault::new(why, words.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_from_other_refusals() {
        let why = |words: &str| refusal(words).why;
        assert_eq!(
            why("scp: x: No space left on device\n"),
            TransferFailure::NoRoom
        );
        assert_eq!(why("write: Disk quota exceeded"), TransferFailure::NoRoom);
        assert_eq!(why("Permission denied"), TransferFailure::Refused);
        assert_eq!(refusal("a\u{1b}[2Jb\n").detail, "a?[2Jb");
    }
}
