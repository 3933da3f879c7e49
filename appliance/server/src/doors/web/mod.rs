//! The web port: the pages for administrators, `/health` for load balancers and `/metrics` for
//! Prometheus.
//!
//! * this file: the listener and its limits
//! * `visit`: what is let in: sessions, form tokens, the origin and the size of a form
//! * `routes`: which page answers which path
//! * `home`, `keys`, `clients`, `logs`, `exports`, `transfers`, `algorithms`: the pages; their text
//!   is in `templates/`
//! * `reply`, `form`, `archive`: answers, forms, files
//!
//! Pages ask the same requests as the Unix socket does (`doors/control/desk.rs`): no rule is here.

mod algorithms;
mod archive;
mod clients;
mod exports;
mod form;
mod frame;
mod home;
mod keys;
mod logs;
mod reply;
mod routes;
mod transfers;
mod visit;

use crate::doors::control::ControlDoor;
use crate::engine::Engine;
use crate::tls::Offer;
use exports::Exports;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

/// Connections at once: people and monitoring need few, and they must not take room from KMIP.
const CONNECTIONS_MAX: usize = 128;

/// Connections from one address: a browser takes six, and several people may sit behind one.
const CONNECTIONS_PER_ADDRESS_MAX: usize = 32;

/// Time for the handshake, for the headers of a request, and between two requests.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Time one connection may last: an export over a slow line is the longest use.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(3_600);

/// Time for the answer under way when approved-algorithms mode is switched: to whoever switched it.
const LAST_ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// Bytes of the headers of a request: ours are short, and so is the cookie.
const HEADERS_BYTES_MAX: usize = 16 * 1024;

/// Pause when no connection can be taken, for want of file descriptors say.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The web port, ready to open.
pub(crate) struct WebDoor {
    engine: Arc<Engine>,
    desk: Arc<ControlDoor>,
    exports: Exports,
    tls: Offer,
    stop: watch::Receiver<bool>,
    /// Open connections by address.
    guests: Mutex<BTreeMap<IpAddr, usize>>,
}

impl std::fmt::Debug for WebDoor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WebDoor").finish_non_exhaustive()
    }
}

/// The place of a connection; it is free again when this is dropped.
struct Place {
    door: Arc<WebDoor>,
    address: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut guests = self.door.guests.lock();
        if let Some(count) = guests.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                guests.remove(&self.address);
            }
        }
    }
}

impl WebDoor {
    /// Prepares the port.
    pub(crate) fn new(
        engine: Arc<Engine>,
        desk: Arc<ControlDoor>,
        tls: Offer,
        stop: watch::Receiver<bool>,
    ) -> Arc<Self> {
        let exports = Exports::new(&desk);
        Arc::new(Self {
            engine,
            desk,
            exports,
            tls,
            stop,
            guests: Mutex::new(BTreeMap::new()),
        })
    }

    /// Serves until told to stop.
    pub(crate) async fn serve(self: Arc<Self>, listener: TcpListener) {
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let mut stop = self.stop.clone();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = stop.wait_for(|stop| *stop) => return,
            };
            let Ok((stream, peer)) = accepted else {
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            };
            let Ok(permit) = places.clone().try_acquire_owned() else {
                continue;
            };
            let Some(place) = self.clone().place(peer.ip()) else {
                continue;
            };
            let mut stop = self.stop.clone();
            tokio::spawn(async move {
                let door = place.door.clone();
                let served =
                    tokio::time::timeout(CONNECTION_TIMEOUT, door.connection(stream, peer));
                tokio::select! {
                    // Who hangs up early is nothing to report.
                    served = served => drop(served),
                    _ = stop.wait_for(|stop| *stop) => {}
                }
                drop((permit, place));
            });
        }
    }

    fn place(self: Arc<Self>, address: IpAddr) -> Option<Place> {
        {
            let mut guests = self.guests.lock();
            let count = guests.entry(address).or_default();
            if *count >= CONNECTIONS_PER_ADDRESS_MAX {
                return None;
            }
            *count += 1;
        }
        Some(Place {
            door: self,
            address,
        })
    }

    async fn connection(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        stream.set_nodelay(true)?;
        let switched = self.tls.switched();
        let stream = tokio::time::timeout(REQUEST_TIMEOUT, self.tls.accept(stream)).await??;
        let answer = service_fn(async |request: hyper::Request<Incoming>| {
            Ok::<_, Infallible>(self.respond(request, peer.ip()).await)
        });
        let served = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(REQUEST_TIMEOUT)
            .max_buf_size(HEADERS_BYTES_MAX)
            .serve_connection(TokioIo::new(stream), answer);
        tokio::pin!(served);
        tokio::select! {
            served = served.as_mut() => return Ok(served?),
            () = switched => {}
        }
        // What is open ends, but for the one answer that somebody waits for.
        served.as_mut().graceful_shutdown();
        Ok(tokio::time::timeout(LAST_ANSWER_TIMEOUT, served).await??)
    }
}
