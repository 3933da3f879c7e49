//! The web port: the pages for administrators, `/health` for load balancers and `/metrics` for
//! Prometheus.
//!
//! * this file: the port and its limits
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
use crate::doors::https::{self, Answers, Limits};
use crate::engine::Engine;
use crate::tls::Offer;
use exports::Exports;
use hyper::Request;
use hyper::body::Incoming;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// People and monitoring need few connections. A browser takes six, and several people may sit
/// behind one address; an export over a slow line is the longest use; our headers are short, and so
/// is the cookie.
const LIMITS: Limits = Limits {
    connections: 128,
    per_address: 32,
    request: Duration::from_secs(10),
    connection: Duration::from_secs(3_600),
    headers_bytes: 16 * 1024,
};

/// The web port, ready to open.
pub(crate) struct WebDoor {
    engine: Arc<Engine>,
    desk: Arc<ControlDoor>,
    exports: Exports,
    tls: Offer,
    stop: watch::Receiver<bool>,
}

impl std::fmt::Debug for WebDoor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WebDoor").finish_non_exhaustive()
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
        })
    }

    /// Serves until told to stop.
    pub(crate) async fn serve(self: Arc<Self>, listener: TcpListener) {
        let (tls, stop) = (self.tls.clone(), self.stop.clone());
        https::serve(listener, tls, LIMITS, self, stop).await;
    }
}

impl Answers for WebDoor {
    type Content = reply::Content;

    async fn answer(&self, request: Request<Incoming>, from: IpAddr) -> reply::Reply {
        self.respond(request, from).await
    }
}
