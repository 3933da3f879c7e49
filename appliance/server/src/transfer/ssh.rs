//! The connection to a destination: its host key must be the pinned one, every step has its time,
//! and nothing that the other side sends takes more memory than is said here.

use super::fault::{Fault, misbehaves, unreachable};
use domain::{Destination, TransferFailure};
use parking_lot::Mutex;
use russh::client::{self, AuthResult, Handle, Msg};
use russh::keys::{HashAlg, PrivateKey, PrivateKeyWithHashAlg, PublicKeyOrCertificate};
use russh::{Channel, ChannelMsg, Disconnect, Preferred, SshId, compression};
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;
use zeroize::Zeroizing;

/// Time for name, connection, keys and sign-in together.
const OPENING_TIME: Duration = Duration::from_secs(30);

/// Time in which the other side takes or gives something, once it is connected.
const STEP_TIME: Duration = Duration::from_secs(30);

/// Bytes that the other side may send ahead.
const WINDOW_BYTES: u32 = 256 * 1024;

/// Messages of the other side that wait for us.
const WAITING_MESSAGES: usize = 16;

/// Most that is kept of what a command says on its error output.
const ERROR_BYTES_MAX: usize = 512;

/// Most messages in a row that bring nothing, before that is no answer.
const IDLE_MESSAGES_MAX: usize = 64;

/// With what a node signs in.
pub(crate) enum Credential {
    Key(Arc<PrivateKey>),
    Password(Zeroizing<String>),
}

/// What the host key was, as the other side showed it.
#[derive(Clone, Debug, Default)]
struct Shown(Arc<Mutex<Option<HostKey>>>);

/// A host key.
#[derive(Clone, Debug)]
pub(crate) struct HostKey {
    /// `SHA256:…`
    pub(crate) fingerprint: String,
    /// Its type, `ssh-ed25519`.
    pub(crate) kind: String,
}

/// Lets the pinned key in and no other.
struct Gate {
    pinned: Option<String>,
    shown: Shown,
}

impl client::Handler for Gate {
    type Error = russh::Error;

    async fn check_server_key(
        &mut self,
        presented: &PublicKeyOrCertificate,
    ) -> Result<bool, Self::Error> {
        let PublicKeyOrCertificate::PublicKey { key, .. } = presented else {
            return Ok(false);
        };
        let fingerprint = key.fingerprint(HashAlg::Sha256).to_string();
        let is_pinned = self.pinned.as_ref() == Some(&fingerprint);
        *self.shown.0.lock() = Some(HostKey {
            fingerprint,
            kind: key.algorithm().as_str().to_owned(),
        });
        Ok(is_pinned)
    }
}

/// A connection on which somebody has signed in.
pub(crate) struct Connection {
    handle: Handle<Gate>,
}

fn config() -> Arc<client::Config> {
    let preferred = Preferred {
        // A few bytes that unfold into very many are a way to fill somebody's memory.
        compression: Cow::Borrowed(&[compression::NONE]),
        ..Preferred::default()
    };
    Arc::new(client::Config {
        client_id: SshId::Standard(Cow::Borrowed("SSH-2.0-Strongroom")),
        preferred,
        window_size: WINDOW_BYTES,
        channel_buffer_size: WAITING_MESSAGES,
        inactivity_timeout: Some(STEP_TIME * 2),
        nodelay: true,
        ..client::Config::default()
    })
}

/// The host key that a server shows, without signing in.
pub(crate) async fn host_key(address: &str) -> Result<HostKey, Fault> {
    let shown = Shown::default();
    let met = timeout(OPENING_TIME, meet(address, None, shown.clone())).await;
    let key = shown.0.lock().take();
    match (key, met) {
        (Some(key), _) => Ok(key),
        (None, Err(_)) => Err(too_slow("while connecting")),
        (None, Ok(Err(fault))) => Err(fault),
        (None, Ok(Ok(_))) => Err(misbehaves("it showed no host key")),
    }
}

async fn meet(address: &str, pinned: Option<&str>, shown: Shown) -> Result<Handle<Gate>, Fault> {
    let stream = TcpStream::connect(address).await;
    let stream = stream.map_err(|e| unreachable(format!("{address}: {e}")))?;
    let gate = Gate {
        pinned: pinned.map(str::to_owned),
        shown,
    };
    client::connect_stream(config(), stream, gate)
        .await
        .map_err(|e| unreachable(format!("{address}: {e}")))
}

fn too_slow(when: &str) -> Fault {
    misbehaves(format!("it answered too slowly {when}"))
}

impl Connection {
    /// Connects and signs in.
    pub(crate) async fn open(to: &Destination, credential: &Credential) -> Result<Self, Fault> {
        let opened = timeout(OPENING_TIME, Self::open_at_leisure(to, credential));
        opened.await.unwrap_or_else(|_| {
            let address = &to.address;
            Err(unreachable(format!("{address}: no answer in time")))
        })
    }

    async fn open_at_leisure(to: &Destination, credential: &Credential) -> Result<Self, Fault> {
        let shown = Shown::default();
        let met = meet(&to.address, Some(&to.host_key), shown.clone()).await;
        let mut handle = match (met, shown.0.lock().take()) {
            (Err(_), Some(key)) if key.fingerprint != to.host_key => {
                let HostKey { fingerprint, kind } = key;
                let pinned = &to.host_key;
                let detail = format!(
                    "the host key is {fingerprint} ({kind}), and {pinned} is pinned; nothing was \
                     sent"
                );
                return Err(Fault::new(TransferFailure::HostKey, detail));
            }
            (met, _) => met?,
        };
        let user = to.user.as_str();
        let outcome = match credential {
            Credential::Key(key) => {
                let key = PrivateKeyWithHashAlg::new(key.clone(), None);
                handle.authenticate_publickey(user, key).await
            }
            Credential::Password(password) => {
                handle.authenticate_password(user, password.as_str()).await
            }
        };
        match outcome {
            Ok(AuthResult::Success) => Ok(Self { handle }),
            Ok(AuthResult::Failure { .. }) => {
                let with = match credential {
                    Credential::Key(_) => "the key of this node",
                    Credential::Password(_) => "the password",
                };
                let detail = format!("the account {user} does not accept {with}");
                Err(Fault::new(TransferFailure::SignIn, detail))
            }
            Err(e) => Err(unreachable(format!("while signing in: {e}"))),
        }
    }

    /// Begins the SFTP subsystem; `None` when the server has none.
    pub(crate) async fn sftp(&self) -> Result<Option<Pipe>, Fault> {
        let pipe = Pipe::new(self.channel().await?);
        let asked = pipe.channel.request_subsystem(true, "sftp").await;
        asked.map_err(unreachable)?;
        pipe.granted().await
    }

    /// Runs a command.
    pub(crate) async fn exec(&self, command: String) -> Result<Pipe, Fault> {
        let pipe = Pipe::new(self.channel().await?);
        let asked = pipe.channel.exec(true, command).await;
        asked.map_err(unreachable)?;
        let granted = pipe.granted().await?;
        granted.ok_or_else(|| super::fault::refused("it runs no commands for this account"))
    }

    async fn channel(&self) -> Result<Channel<Msg>, Fault> {
        let opened = timeout(STEP_TIME, self.handle.channel_open_session()).await;
        let opened = opened.map_err(|_| too_slow("to a new channel"))?;
        opened.map_err(|e| unreachable(format!("opening a channel: {e}")))
    }

    /// Says good-bye, shortly.
    pub(crate) async fn close(self) {
        let bye = self.handle.disconnect(Disconnect::ByApplication, "", "");
        // The other side may be gone already.
        drop(timeout(Duration::from_secs(1), bye).await);
    }
}

/// Both directions of a channel as bytes.
pub(crate) struct Pipe {
    channel: Channel<Msg>,
    received: Vec<u8>,
    /// How much of `received` was taken.
    taken: usize,
    errors: Vec<u8>,
    exit: Option<u32>,
    has_ended: bool,
}

impl Pipe {
    fn new(channel: Channel<Msg>) -> Self {
        Self {
            channel,
            received: Vec::new(),
            taken: 0,
            errors: Vec::new(),
            exit: None,
            has_ended: false,
        }
    }

    /// Waits for the word on a request.
    async fn granted(mut self) -> Result<Option<Self>, Fault> {
        for _ in 0..IDLE_MESSAGES_MAX {
            match self.message().await? {
                Some(ChannelMsg::Success) => return Ok(Some(self)),
                Some(ChannelMsg::Failure) => return Ok(None),
                // Something may be said before the word on the request.
                Some(other) => self.keep(other),
                None => return Err(unreachable("the connection was closed")),
            }
        }
        Err(misbehaves("it does not answer a request"))
    }

    async fn message(&mut self) -> Result<Option<ChannelMsg>, Fault> {
        let message = timeout(STEP_TIME, self.channel.wait()).await;
        message.map_err(|_| too_slow(""))
    }

    fn keep(&mut self, message: ChannelMsg) {
        match message {
            ChannelMsg::Data { data } => self.received.extend_from_slice(&data),
            ChannelMsg::ExtendedData { data, .. } => {
                let room = ERROR_BYTES_MAX.saturating_sub(self.errors.len());
                let some = data.get(..data.len().min(room)).unwrap_or_default();
                self.errors.extend_from_slice(some);
            }
            ChannelMsg::ExitStatus { exit_status } => self.exit = Some(exit_status),
            ChannelMsg::Eof | ChannelMsg::Close => self.has_ended = true,
            _ => {}
        }
    }

    /// Waits for more; false at the end.
    async fn fill(&mut self) -> Result<bool, Fault> {
        let before = self.received.len();
        for _ in 0..IDLE_MESSAGES_MAX {
            if self.has_ended {
                return Ok(false);
            }
            match self.message().await? {
                Some(message) => self.keep(message),
                None => self.has_ended = true,
            }
            if self.received.len() > before {
                return Ok(true);
            }
        }
        Err(misbehaves("it sends messages without end that say nothing"))
    }

    fn ready(&self) -> &[u8] {
        self.received.get(self.taken..).unwrap_or_default()
    }

    fn take(&mut self, count: usize) -> Vec<u8> {
        let taken = self
            .ready()
            .iter()
            .take(count)
            .copied()
            .collect::<Vec<u8>>();
        self.taken += taken.len();
        if self.taken == self.received.len() {
            self.received.clear();
            self.taken = 0;
        }
        taken
    }

    /// Exactly so many bytes.
    pub(crate) async fn read(&mut self, count: usize) -> Result<Vec<u8>, Fault> {
        while self.ready().len() < count {
            if !self.fill().await? {
                return Err(self.ended());
            }
        }
        Ok(self.take(count))
    }

    /// What is there, at most so many bytes; none at the end.
    pub(crate) async fn read_some(&mut self, most: usize) -> Result<Vec<u8>, Fault> {
        if self.ready().is_empty() && !self.fill().await? {
            return Ok(Vec::new());
        }
        Ok(self.take(most))
    }

    /// Sends bytes, when the other side takes them.
    pub(crate) async fn write(&mut self, bytes: Vec<u8>) -> Result<(), Fault> {
        let sent = timeout(STEP_TIME, self.channel.data_bytes(bytes)).await;
        let sent = sent.map_err(|_| too_slow("and takes nothing any more"))?;
        sent.map_err(|e| unreachable(format!("the connection broke: {e}")))
    }

    /// Says that no more is sent.
    pub(crate) async fn finish(&mut self) {
        // It may be gone already.
        drop(timeout(STEP_TIME, self.channel.eof()).await);
    }

    /// Why nothing more comes.
    pub(crate) fn ended(&self) -> Fault {
        let said = String::from_utf8_lossy(&self.errors);
        match (said.trim(), self.exit) {
            ("", Some(code)) if code != 0 => {
                super::fault::refused(format!("the command ended with status {code}"))
            }
            ("", _) => unreachable("the connection was closed in the middle"),
            (said, _) => super::fault::refusal(said),
        }
    }

    /// Exit status of the command, if it said one.
    pub(crate) fn exit(&self) -> Option<u32> {
        self.exit
    }

    /// Waits until the command has ended.
    pub(crate) async fn drain(&mut self, most: usize) -> Result<(), Fault> {
        let mut left = most;
        while !self.has_ended || self.exit.is_none() {
            match self.message().await? {
                Some(message) => self.keep(message),
                None => break,
            }
            let some = self.take(left + 1).len();
            left = left
                .checked_sub(some)
                .ok_or_else(|| misbehaves("it sends more than was asked for"))?;
        }
        Ok(())
    }
}
