//! The connection to a destination: its host key must be the pinned one, every step has its time,
//! and nothing that the other side sends takes more memory than is said here.

use super::fault::{Fault, misbehaves, unreachable};
use super::gate::{Gate, HostKey, Seen};
use domain::{Destination, TransferFailure};
use nix::sys::socket::{Shutdown, shutdown};
use russh::client::{self, AuthResult, Handle, Msg};
use russh::keys::{PrivateKey, PrivateKeyWithHashAlg};
use russh::{Channel, ChannelMsg, Disconnect, Preferred, SshId, compression};
use std::borrow::Cow;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
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

/// The socket of a connection. Dropping it hangs up: the library's own task would go on for as long
/// as the other side keeps it busy.
struct Socket(OwnedFd);

impl Drop for Socket {
    fn drop(&mut self) {
        // It may be closed already.
        let _ = shutdown(self.0.as_raw_fd(), Shutdown::Both);
    }
}

/// A connection on which somebody has signed in.
pub(crate) struct Connection {
    handle: Handle<Gate>,
    seen: Seen,
    _socket: Socket,
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
    let seen = Seen::default();
    let met = timeout(OPENING_TIME, meet(address, None, seen.clone())).await;
    match (seen.host_key(), met) {
        (Some(key), _) => Ok(key),
        (None, Err(_)) => Err(too_slow("while connecting")),
        (None, Ok(Err(fault))) => Err(fault),
        (None, Ok(Ok(_))) => Err(misbehaves("it showed no host key")),
    }
}

async fn meet(
    address: &str,
    pinned: Option<&str>,
    seen: Seen,
) -> Result<(Handle<Gate>, Socket), Fault> {
    let failed = |e: &dyn std::fmt::Display| unreachable(format!("{address}: {e}"));
    let stream = TcpStream::connect(address).await.map_err(|e| failed(&e))?;
    let socket = stream
        .as_fd()
        .try_clone_to_owned()
        .map_err(|e| failed(&e))?;
    let socket = Socket(socket);
    let gate = Gate::new(pinned, seen);
    let handle = client::connect_stream(config(), stream, gate).await;
    Ok((handle.map_err(|e| failed(&e))?, socket))
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
        let seen = Seen::default();
        let met = meet(&to.address, Some(&to.host_key), seen.clone()).await;
        let (mut handle, socket) = match (met, seen.host_key()) {
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
            Ok(AuthResult::Success) => Ok(Self {
                handle,
                seen,
                _socket: socket,
            }),
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

    /// A fault in other words, where it is known better why the connection ended.
    pub(crate) fn explained(&self, fault: Fault) -> Fault {
        match self.seen.intruded() {
            true => misbehaves("it opens channels to this node, which nobody asked for"),
            false => fault,
        }
    }

    /// Says good-bye, shortly.
    pub(crate) async fn close(mut self) {
        let bye = async {
            let said = self.handle.disconnect(Disconnect::ByApplication, "", "");
            said.await?;
            (&mut self.handle).await
        };
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
        // What was taken makes room first: otherwise it stays for as long as the other side sees
        // to it that something is left over.
        self.received.drain(..self.taken.min(self.received.len()));
        self.taken = 0;
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
        let before = self.ready().len();
        for _ in 0..IDLE_MESSAGES_MAX {
            if self.has_ended {
                return Ok(false);
            }
            match self.message().await? {
                Some(message) => self.keep(message),
                None => self.has_ended = true,
            }
            if self.ready().len() > before {
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
