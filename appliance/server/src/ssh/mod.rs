//! The SSH door: the command line of an administrator at another machine. There is no shell, no
//! forwarding and no file transfer behind it.
//!
//! Like the console it has no rights of its own. It knows the key of this host, which it asks the
//! node for; who may come in, and what they may do, the node says for each request.
//!
//! * [`visitor`]: one connection, until somebody has signed in
//! * [`channel`]: what is typed and shown
//! * [`screen`]: the terminal at the other end

mod channel;
mod screen;
mod visitor;

use crate::doors::control::Request;
use crate::doors::waiting_room::{Seats, Ticket, WaitingRoom};
use crate::session::talk::Talk;
use anyhow::Context;
use nix::sys::socket::{Shutdown, shutdown};
use russh::server::{Config, run_stream};
use russh::{MethodKind, MethodSet, Preferred, SshId, compression};
use serde_json::Value;
use std::borrow::Cow;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinHandle;
use visitor::Visitor;
use zeroize::Zeroizing;

/// Connections at a time; more are closed at once.
const CONNECTIONS_MAX: usize = 64;

/// Connections at a time that nobody has signed in on, so that half of all are for who has.
const WAITING: Seats = Seats {
    per_address: 8,
    all: 32,
};

/// Within this time somebody has signed in, or the connection ends.
const GRACE: Duration = Duration::from_secs(60);

/// Ways in that are tried on one connection: a few keys of an agent, and three passwords.
const ATTEMPTS_MAX: usize = 8;

/// Whoever types nothing for so long is gone; the node's session ends then too.
const IDLE_MAX: Duration = Duration::from_secs(15 * 60);

/// A refusal takes as long whatever was wrong; the node lets the next try wait besides.
const REFUSAL: Duration = Duration::from_millis(500);

/// Pause when no connection can be taken, for want of file descriptors say.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// How often the node is asked where the door is to be, and by which key it is known.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// What the node says of the door.
#[derive(Debug, PartialEq, Eq)]
struct Terms {
    /// Nowhere, when the door is to be shut.
    listen: Option<SocketAddr>,
    host_key: String,
}

impl Terms {
    /// None while no node serves: it starts, waits for its set-up, or is sealed. `fixed` is where
    /// the door is to be whatever the settings say.
    async fn of(talk: &Arc<Talk>, fixed: Option<SocketAddr>) -> Option<anyhow::Result<Self>> {
        let talk = talk.clone();
        let asked = tokio::task::spawn_blocking(move || talk.ask(&Request::SshDoor));
        let answer = asked.await.ok()?.ok()?;
        let text = |field: &str| answer.get(field)?.as_str().map(str::to_owned);
        let is_on = answer.get("on").and_then(Value::as_bool) != Some(false);
        let listen = match fixed {
            Some(address) => Ok(Some(address)),
            None => {
                let listen = text("listen").filter(|listen| !listen.is_empty());
                let listen = listen.map(|listen| listen.parse().context("ssh.listen"));
                listen.transpose()
            }
        };
        Some(listen.map(|listen| Self {
            listen: listen.filter(|_| is_on),
            host_key: text("host_key").unwrap_or_default(),
        }))
    }
}

/// A door that is open, and by what it is known.
#[derive(Debug)]
pub(crate) struct Opened {
    terms: Terms,
    door: Option<JoinHandle<()>>,
    /// Where it stays.
    fixed: Option<SocketAddr>,
}

impl Opened {
    /// Serves a port that is open already, and stays there.
    ///
    /// # Errors
    /// The node does not answer.
    pub(crate) async fn at(listener: TcpListener, talk: &Arc<Talk>) -> anyhow::Result<Self> {
        let fixed = Some(listener.local_addr()?);
        let terms = Terms::of(talk, fixed).await;
        let terms = terms.context("the node does not say how it is known")??;
        let config = config(talk).await?;
        // A stopped service closes it again.
        let open = |_| tokio::spawn(serve(listener, config, talk.clone()));
        let door = terms.listen.map(open);
        Ok(Self { terms, door, fixed })
    }
}

/// The door as a process of its own: it follows what the node says of it, and stays when the node
/// starts anew. Sessions that are open go on when the door moves.
///
/// # Errors
/// The port cannot be had; whoever started the process starts it again.
pub(crate) async fn run(talk: Arc<Talk>) -> anyhow::Result<()> {
    follow(talk, None).await
}

/// The same, from a door that is open on.
///
/// # Errors
/// As there.
pub(crate) async fn follow(talk: Arc<Talk>, mut now: Option<Opened>) -> anyhow::Result<()> {
    let fixed = now.as_ref().and_then(|now| now.fixed);
    loop {
        if let Some(terms) = Terms::of(&talk, fixed).await.transpose()?
            && now.as_ref().is_none_or(|before| before.terms != terms)
        {
            if let Some(door) = now.take().and_then(|before| before.door) {
                door.abort();
                // The port is free when the task is gone.
                drop(door.await);
            }
            let door = match terms.listen {
                Some(address) => Some(open(address, &talk).await?),
                None => None,
            };
            now = Some(Opened { terms, door, fixed });
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

async fn open(address: SocketAddr, talk: &Arc<Talk>) -> anyhow::Result<JoinHandle<()>> {
    let listener = TcpListener::bind(address).await;
    let listener = listener.with_context(|| format!("opening the SSH port at {address}"))?;
    let config = config(talk).await?;
    tracing::info!("SSH at {address}");
    Ok(tokio::spawn(serve(listener, config, talk.clone())))
}

/// Asks the node for the key of this host.
///
/// # Errors
/// The node does not answer, or does not trust this process.
async fn config(talk: &Arc<Talk>) -> anyhow::Result<Arc<Config>> {
    let asked = talk.clone();
    let answer = tokio::task::spawn_blocking(move || asked.ask(&Request::SshHostKey));
    let answer = answer.await?.context("the SSH host key")?;
    let key = answer.get("key").and_then(|key| key.as_str());
    let key = Zeroizing::new(key.context("the node gave no SSH host key")?.to_owned());
    let key = russh::keys::decode_secret_key(&key, None).context("the SSH host key is damaged")?;
    let preferred = Preferred {
        // A few bytes that unfold into very many are a way to fill somebody's memory.
        compression: Cow::Borrowed(&[compression::NONE]),
        ..Preferred::default()
    };
    Ok(Arc::new(Config {
        server_id: SshId::Standard(Cow::Borrowed("SSH-2.0-Strongroom")),
        methods: methods(),
        keys: vec![key],
        preferred,
        max_auth_attempts: ATTEMPTS_MAX,
        auth_rejection_time: REFUSAL,
        // Every client asks first which ways in there are.
        auth_rejection_time_initial: Some(Duration::ZERO),
        inactivity_timeout: Some(IDLE_MAX),
        nodelay: true,
        ..Config::default()
    }))
}

/// The ways in.
fn methods() -> MethodSet {
    MethodSet::from(&[MethodKind::PublicKey, MethodKind::Password][..])
}

/// Serves the door; ends only with the process.
async fn serve(listener: TcpListener, config: Arc<Config>, talk: Arc<Talk>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let waiting_room = WaitingRoom::new(WAITING);
    loop {
        let Ok((stream, from)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let Ok(place) = places.clone().try_acquire_owned() else {
            // One that gets no place is told so by the end of the connection.
            continue;
        };
        let (config, talk) = (config.clone(), talk.clone());
        let waits = waiting_room.enter(from.ip());
        tokio::spawn(async move {
            if let Err(e) = attend(stream, from, waits, config, talk).await {
                tracing::debug!("SSH from {from}: {e:#}");
            }
            drop(place);
        });
    }
}

/// One connection to its end.
async fn attend(
    stream: TcpStream,
    from: SocketAddr,
    (ticket, evicted): (Ticket, Arc<Notify>),
    config: Arc<Config>,
    talk: Arc<Talk>,
) -> anyhow::Result<()> {
    // Closing the socket itself ends whatever the library is waiting for.
    let stream = stream.into_std()?;
    let socket = OwnedFd::from(stream.try_clone()?);
    let stream = TcpStream::from_std(stream)?;
    let is_in = Arc::new(AtomicBool::new(false));
    let visitor = Visitor::new(talk, from.ip(), is_in.clone(), ticket);
    let connection = async {
        let running = run_stream(config, stream, visitor).await?;
        running.await
    };
    tokio::pin!(connection);
    tokio::select! {
        ended = &mut connection => return ended,
        () = tokio::time::sleep(GRACE) => {}
        () = evicted.notified() => {}
    }
    if !is_in.load(Ordering::Acquire) {
        // It may be closed already.
        let _ = shutdown(socket.as_raw_fd(), Shutdown::Both);
    }
    connection.await
}
