//! The Unix socket that answers before a node runs: what the console needs for set-up and for
//! unlocking. One request a connection, a line of JSON; the answer is one [`Line`].
//!
//! Only root, the user that runs the program and the console's user are let in. Secrets pass
//! through it, so requests and answers show nothing of themselves.

use super::control::Line;
use crate::layout::Layout;
use nix::unistd::geteuid;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};

/// Longest request: a whole set-up.
const REQUEST_BYTES_MAX: u64 = 128 * 1024;

/// How long a request may take to arrive: it comes from a process beside us.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// What can be asked.
#[derive(Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case")]
pub(crate) enum Early {
    /// What is waited for.
    Phase,
    /// The time is this, as `2026-11-23 05:30:00` in UTC.
    SetClock { utc: String },
    /// Carry out a set-up: items as in the set-up file.
    SetUp { items: Vec<(String, String)> },
    /// Are these three recovery shares right?
    CheckShares { shares: Vec<String> },
    /// The operator has seen the fingerprints.
    Confirm,
    /// Unlock by a passphrase.
    Unlock { passphrase: String },
    /// Unlock by recovery shares.
    UnlockByShares { shares: Vec<String> },
}

impl std::fmt::Debug for Early {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Early")
    }
}

/// A request, and where its answer goes.
pub(crate) type Asked = (Early, oneshot::Sender<Result<Value, String>>);

/// Opens the socket; requests come out one after the other.
pub(crate) fn open(layout: &Layout, console: Option<u32>) -> io::Result<mpsc::Receiver<Asked>> {
    let listener = bind(&layout.threshold_socket(), console.is_some())?;
    let (asked, requests) = mpsc::channel(1);
    tokio::spawn(async move {
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                tokio::time::sleep(Duration::from_millis(200)).await;
                continue;
            };
            let asked = asked.clone();
            tokio::spawn(async move {
                // Who went away wants no answer.
                drop(serve(stream, console, &asked).await);
            });
        }
    });
    Ok(requests)
}

/// Binds a socket that its owner may use, and where there is a console also the group of its
/// folder.
pub(crate) fn bind(path: &Path, for_group: bool) -> io::Result<UnixListener> {
    // The node's folder is locked by this process, so a socket found here is left from a crash.
    if path.exists() {
        std::fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    let mut mode = 0o600;
    if for_group {
        let folder = path.parent().unwrap_or(Path::new("."));
        let group = std::fs::metadata(folder)?.gid();
        // In a folder that hands its group down it has it already.
        if std::fs::metadata(path)?.gid() != group {
            std::os::unix::fs::chown(path, None, Some(group))?;
        }
        mode = 0o660;
    }
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    Ok(listener)
}

/// Whether a process of this user may ask.
pub(super) fn may_ask(uid: u32, console: Option<u32>) -> bool {
    uid == 0 || uid == geteuid().as_raw() || Some(uid) == console
}

async fn serve(
    stream: UnixStream,
    console: Option<u32>,
    asked: &mpsc::Sender<Asked>,
) -> io::Result<()> {
    let uid = stream.peer_cred()?.uid();
    let (read, mut write) = stream.into_split();
    let answer = if may_ask(uid, console) {
        let mut line = String::new();
        let mut reader = BufReader::new(read.take(REQUEST_BYTES_MAX));
        tokio::time::timeout(READ_TIMEOUT, reader.read_line(&mut line)).await??;
        match serde_json::from_str::<Early>(&line) {
            Ok(early) => ask(early, asked).await,
            Err(e) => Err(format!("bad request: {e}")),
        }
    } else {
        Err("only the console, the user that runs the node, and root, may ask".to_owned())
    };
    let line = match answer {
        Ok(done) => Line::Done(done),
        Err(error) => Line::Error(error),
    };
    let mut bytes = serde_json::to_vec(&line)?;
    bytes.push(b'\n');
    write.write_all(&bytes).await
}

async fn ask(early: Early, asked: &mpsc::Sender<Asked>) -> Result<Value, String> {
    let gone = || "the program is ending; try again in a moment".to_owned();
    let (answer, answered) = oneshot::channel();
    asked.send((early, answer)).await.map_err(|_| gone())?;
    answered.await.map_err(|_| gone())?
}
