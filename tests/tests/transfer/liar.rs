//! Somebody who speaks SSH well, lets everybody in, and then lies: behind the sign-in is an SFTP
//! or scp side that does what it should not.

#[path = "liar/scp.rs"]
mod scp;
#[path = "liar/sftp.rs"]
mod sftp;

use anyhow::{Context, Result};
use russh::keys::ssh_key::private::{Ed25519Keypair, KeypairData};
use russh::keys::{HashAlg, PrivateKey};
use russh::server::{Auth, ChannelOpenHandle, Config, Handle, Handler, Msg, Session};
use russh::server::{VerifiedPublicKey, run_stream};
use russh::{Channel, ChannelId};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};

/// What a server does instead of what it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lie {
    /// Nothing: it keeps what it gets, and gives it back.
    None,
    /// Answers without end, to nothing.
    Endless,
    /// An answer of 4 GiB.
    Giant,
    /// Answers to what was not asked.
    WrongIds,
    /// A word of 60,000 bytes for an open file.
    LongHandle,
    /// Says yes where it is to give the word for an open file.
    NoHandle,
    /// Other bytes than those that it got.
    OtherBytes,
    /// Says that it wrote, and did not.
    Forgets,
    /// Says that it renamed, and did not.
    KeepsTheName,
    /// Nothing any more.
    Silent,
    /// Its first answer, one byte a second.
    Drips,
    /// Goes away in the middle of the file.
    Leaves,
    /// Opens channels to whoever came.
    Intrudes,
    /// A warning of the scp protocol.
    Warns,
    /// Bytes that are in no protocol.
    Noise,
    /// An error whose text has no end.
    EndlessText,
    /// An error that says that its disk is full.
    Full,
}

/// Whether it has the SFTP subsystem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Sftp,
    Scp,
}

/// Files by path. In memory only: what is left over in the end is looked at by the test.
type Files = Arc<Mutex<BTreeMap<String, Vec<u8>>>>;

/// What the connections of one server share.
#[derive(Clone)]
struct Mind {
    side: Side,
    lie: Arc<Mutex<Lie>>,
    files: Files,
}

impl Mind {
    fn lie(&self) -> Lie {
        *self.lie.lock().unwrap()
    }
}

/// A running server; it ends with the runtime that it was started on.
pub(crate) struct Liar {
    address: String,
    fingerprint: String,
    mind: Mind,
}

impl Liar {
    /// Starts one; `seed` makes its host key, so that each has another.
    pub(crate) async fn start(side: Side, lie: Lie, seed: u8) -> Result<Self> {
        let pair = Ed25519Keypair::from_seed(&[seed; 32]);
        let key = PrivateKey::new(KeypairData::from(pair), "liar")?;
        let fingerprint = key.fingerprint(HashAlg::Sha256).to_string();
        let config = Arc::new(Config {
            keys: vec![key],
            auth_rejection_time: Duration::ZERO,
            inactivity_timeout: None,
            ..Config::default()
        });
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let mind = Mind {
            side,
            lie: Arc::new(Mutex::new(lie)),
            files: Files::default(),
        };
        tokio::spawn(serve(listener, config, mind.clone()));
        Ok(Self {
            address,
            fingerprint,
            mind,
        })
    }

    pub(crate) fn account(&self) -> String {
        format!("logs@{}", self.address)
    }

    pub(crate) fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// From now on it does what it should.
    pub(crate) fn repent(&self) {
        *self.mind.lie.lock().unwrap() = Lie::None;
    }

    /// The one whole file that it has, if it has one.
    pub(crate) fn kept(&self) -> Option<Vec<u8>> {
        let files = self.mind.files.lock().unwrap();
        let mut whole = files.iter().filter(|(path, _)| path.ends_with(".tar"));
        whole.next().map(|(_, bytes)| bytes.clone())
    }
}

async fn serve(listener: TcpListener, config: Arc<Config>, mind: Mind) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(connection(stream, config.clone(), mind.clone()));
    }
}

async fn connection(stream: TcpStream, config: Arc<Config>, mind: Mind) -> Result<()> {
    let host = Host {
        mind,
        channels: BTreeMap::new(),
    };
    run_stream(config, stream, host).await?.await
}

/// One connection.
struct Host {
    mind: Mind,
    channels: BTreeMap<ChannelId, Channel<Msg>>,
}

impl Host {
    fn take(&mut self, id: ChannelId) -> Result<Channel<Msg>> {
        self.channels.remove(&id).context("a channel twice")
    }
}

impl Handler for Host {
    type Error = anyhow::Error;

    async fn auth_publickey(&mut self, _: &str, _: VerifiedPublicKey<'_>) -> Result<Auth> {
        Ok(Auth::Accept)
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<()> {
        self.channels.insert(channel.id(), channel);
        reply.accept().await;
        Ok(())
    }

    async fn subsystem_request(
        &mut self,
        id: ChannelId,
        name: &str,
        session: &mut Session,
    ) -> Result<()> {
        let channel = self.take(id)?;
        if name != "sftp" || self.mind.side != Side::Sftp {
            return Ok(session.channel_failure(id)?);
        }
        session.channel_success(id)?;
        if self.mind.lie() == Lie::Intrudes {
            tokio::spawn(intrude(session.handle()));
        }
        let mind = self.mind.clone();
        tokio::spawn(async move {
            let mut stream = channel.into_stream();
            let ended = sftp::serve(&mut stream, &mind).await;
            drop(stream.shutdown().await);
            ended
        });
        Ok(())
    }

    async fn exec_request(
        &mut self,
        id: ChannelId,
        command: &[u8],
        session: &mut Session,
    ) -> Result<()> {
        let channel = self.take(id)?;
        session.channel_success(id)?;
        let (mind, handle) = (self.mind.clone(), session.handle());
        let command = String::from_utf8_lossy(command).into_owned();
        tokio::spawn(async move {
            let mut stream = channel.into_stream();
            let status = match scp::serve(&mut stream, &mind, &command).await {
                Ok(()) => 0,
                Err(_) => 1,
            };
            // It may be gone already.
            let _ = handle.exit_status_request(id, status).await;
            drop(stream.shutdown().await);
            let _ = handle.close(id).await;
        });
        Ok(())
    }
}

/// Opens channels until the connection ends, and closes none.
async fn intrude(handle: Handle) {
    let mut open = Vec::new();
    while let Ok(channel) = handle
        .channel_open_forwarded_tcpip("localhost", 22, "localhost", 22)
        .await
    {
        open.push(channel);
    }
}
