//! What a destination may do on a connection besides answering: show the pinned host key, and
//! nothing else. The library would take every channel that the other side opens, without end.

use parking_lot::Mutex;
use russh::client::{self, ChannelOpenHandle, Msg, Session};
use russh::keys::{HashAlg, PublicKeyOrCertificate};
use russh::{Channel, Error};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A host key.
#[derive(Clone, Debug)]
pub(crate) struct HostKey {
    /// `SHA256:…`
    pub(crate) fingerprint: String,
    /// Its type, `ssh-ed25519`.
    pub(crate) kind: String,
}

/// What the other side did that the connection itself does not tell.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    host_key: Arc<Mutex<Option<HostKey>>>,
    intruded: Arc<AtomicBool>,
}

impl Seen {
    /// The host key that it showed.
    pub(super) fn host_key(&self) -> Option<HostKey> {
        self.host_key.lock().clone()
    }

    /// Whether it opened a channel to this node, which ended the connection.
    pub(super) fn intruded(&self) -> bool {
        self.intruded.load(Ordering::Acquire)
    }
}

/// Lets the pinned key in and no other.
pub(super) struct Gate {
    pinned: Option<String>,
    seen: Seen,
}

impl Gate {
    pub(super) fn new(pinned: Option<&str>, seen: Seen) -> Self {
        let pinned = pinned.map(str::to_owned);
        Self { pinned, seen }
    }

    fn intruded(&self) -> Result<(), Error> {
        self.seen.intruded.store(true, Ordering::Release);
        Err(Error::WrongChannel)
    }
}

impl client::Handler for Gate {
    type Error = Error;

    async fn check_server_key(
        &mut self,
        presented: &PublicKeyOrCertificate,
    ) -> Result<bool, Error> {
        let PublicKeyOrCertificate::PublicKey { key, .. } = presented else {
            return Ok(false);
        };
        let fingerprint = key.fingerprint(HashAlg::Sha256).to_string();
        let is_pinned = self.pinned.as_ref() == Some(&fingerprint);
        *self.seen.host_key.lock() = Some(HostKey {
            fingerprint,
            kind: key.algorithm().as_str().to_owned(),
        });
        Ok(is_pinned)
    }

    async fn server_channel_open_session(
        &mut self,
        _: Channel<Msg>,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Error> {
        self.intruded()
    }

    async fn server_channel_open_agent_forward(
        &mut self,
        _: Channel<Msg>,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Error> {
        self.intruded()
    }

    async fn server_channel_open_forwarded_streamlocal(
        &mut self,
        _: Channel<Msg>,
        _path: &str,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Error> {
        self.intruded()
    }

    async fn server_channel_open_direct_streamlocal(
        &mut self,
        _: Channel<Msg>,
        _path: &str,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Error> {
        self.intruded()
    }

    async fn server_channel_open_x11(
        &mut self,
        _: Channel<Msg>,
        _from: &str,
        _port: u32,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Error> {
        self.intruded()
    }

    async fn server_channel_open_forwarded_tcpip(
        &mut self,
        _: Channel<Msg>,
        _to: &str,
        _to_port: u32,
        _from: &str,
        _from_port: u32,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Error> {
        self.intruded()
    }

    async fn server_channel_open_direct_tcpip(
        &mut self,
        _: Channel<Msg>,
        _to: &str,
        _to_port: u32,
        _from: &str,
        _from_port: u32,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Error> {
        self.intruded()
    }
}
