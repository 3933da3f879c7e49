//! The error state: a self-test has failed at power-up, so this process opens no keys, no log and
//! no port for clients. It says what failed, on the status port and on the socket of the commands,
//! until it is started again; only a start that passes all tests serves.

use crate::doors::control::Line;
use crate::doors::status::{StatusDoor, Subject};
use crate::doors::threshold;
use crate::layout::Layout;
use crate::selftest;
use crate::tls;
use anyhow::Context;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::sync::watch;

/// Longest request line that is read before it is answered that nothing is done.
const REQUEST_BYTES_MAX: u64 = 64 * 1024;

/// Time for it to come.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Pause when no connection can be taken.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Days for which the certificate of this run is valid.
const CERTIFICATE_DAYS: i64 = 7;

/// What every command is told.
pub(crate) fn says() -> String {
    let failed = selftest::power_up().failed().join("; ");
    format!(
        "this node is in the error state: self-test failed ({failed}). No keys are served and \
         nothing is changed. Start it again; if that does not help, the machine or the program is \
         damaged"
    )
}

/// Opens the status port of the error state. Its certificate is made for this run, because no key
/// of the node is opened.
pub(crate) async fn open_status(address: SocketAddr) -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("opening the status port at {address}"))?;
    let address = listener.local_addr()?;
    let offer = tls::Offer::of_passing_identity(CERTIFICATE_DAYS, None)?;
    let (stop, stopped) = watch::channel(false);
    let door = StatusDoor::new(Subject::ErrorState, offer, stopped);
    tokio::spawn(async move {
        // Nobody tells it to stop, and a door whose `stop` is gone would close: it is held here.
        let _stop = stop;
        door.serve(listener).await;
    });
    Ok(address)
}

/// Answers every command with what failed.
pub(crate) fn open_socket(layout: &Layout) -> anyhow::Result<()> {
    let path = layout.control_socket();
    let listener = threshold::bind(&path, false);
    let listener = listener.with_context(|| format!("opening {}", path.display()))?;
    tokio::spawn(answer_all(listener));
    Ok(())
}

async fn answer_all(listener: UnixListener) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        // Who went away wants no answer.
        tokio::spawn(async move { drop(answer(stream).await) });
    }
}

async fn answer(stream: UnixStream) -> std::io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut reader = BufReader::new(read.take(REQUEST_BYTES_MAX));
    let mut line = String::new();
    tokio::time::timeout(REQUEST_TIMEOUT, reader.read_line(&mut line)).await??;
    let mut bytes = serde_json::to_vec(&Line::Error(says()))?;
    bytes.push(b'\n');
    write.write_all(&bytes).await
}
