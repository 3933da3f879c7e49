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
use crate::session::talk::Talk;
use anyhow::Context;
use nix::sys::socket::{Shutdown, shutdown};
use russh::server::{Config, run_stream};
use russh::{MethodKind, MethodSet, Preferred, SshId, compression};
use std::borrow::Cow;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use visitor::Visitor;
use zeroize::Zeroizing;

/// Connections at a time; more are closed at once.
const CONNECTIONS_MAX: usize = 32;

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

/// Asks the node for the key of this host.
///
/// # Errors
/// The node does not answer, or does not trust this process.
pub(crate) async fn config(talk: &Arc<Talk>) -> anyhow::Result<Arc<Config>> {
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
pub(crate) async fn serve(listener: TcpListener, config: Arc<Config>, talk: Arc<Talk>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
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
        tokio::spawn(async move {
            if let Err(e) = attend(stream, from, place, config, talk).await {
                tracing::debug!("SSH from {from}: {e:#}");
            }
        });
    }
}

/// One connection to its end.
async fn attend(
    stream: TcpStream,
    from: SocketAddr,
    _place: OwnedSemaphorePermit,
    config: Arc<Config>,
    talk: Arc<Talk>,
) -> anyhow::Result<()> {
    // Closing the socket itself ends whatever the library is waiting for.
    let stream = stream.into_std()?;
    let socket = OwnedFd::from(stream.try_clone()?);
    let stream = TcpStream::from_std(stream)?;
    let is_in = Arc::new(AtomicBool::new(false));
    let visitor = Visitor::new(talk, from.ip(), is_in.clone());
    let connection = async {
        let running = run_stream(config, stream, visitor).await?;
        running.await
    };
    tokio::pin!(connection);
    tokio::select! {
        ended = &mut connection => return ended,
        () = tokio::time::sleep(GRACE) => {}
    }
    if !is_in.load(Ordering::Acquire) {
        // It may be closed already.
        let _ = shutdown(socket.as_raw_fd(), Shutdown::Both);
    }
    connection.await
}
