//! Which processes may ask, and for whom each may speak.

use crate::doors::threshold;
use crate::lockout::Source;
use std::net::IpAddr;

/// The users that processes without rights of their own run as.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Speakers {
    /// Of the console.
    pub(crate) console: Option<u32>,
    /// Of the SSH door.
    pub(crate) ssh: Option<u32>,
}

/// For whom a process speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Speaks {
    /// Root, or the user that runs the node.
    Itself,
    /// Whoever signs in at the console.
    Console,
    /// Whoever signs in over SSH.
    Ssh,
}

impl Speakers {
    /// Whether there are any.
    pub(super) fn are_some(self) -> bool {
        self.console.is_some() || self.ssh.is_some()
    }

    pub(super) fn may_ask(self, uid: u32) -> bool {
        threshold::may_ask(uid, self.console) || Some(uid) == self.ssh
    }

    pub(super) fn of(self, uid: u32) -> Speaks {
        match Some(uid) {
            console if console == self.console => Speaks::Console,
            ssh if ssh == self.ssh => Speaks::Ssh,
            _ => Speaks::Itself,
        }
    }
}

impl Speaks {
    /// Where somebody tries to sign in from; the console is no address, and SSH always has one.
    pub(super) fn source(self, from: Option<IpAddr>) -> Result<Source, String> {
        match (self, from) {
            (Self::Itself | Self::Console, None) => Ok(Source::Console),
            (Self::Itself | Self::Ssh, Some(address)) => Ok(Source::of(address)),
            (Self::Console, Some(_)) => Err("the console has no address".to_owned()),
            (Self::Ssh, None) => Err("an address is missing".to_owned()),
        }
    }
}
