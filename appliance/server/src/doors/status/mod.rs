//! The status port: what this node is and does, for anybody who can reach it. HTTPS, read-only, no
//! sign-in; it is open in the error state too, when nothing else is.
//!
//! * this file: the port, its limits, which address gives what
//! * `document`: what is told, as JSON
//! * `page`: the same for people

mod document;
mod page;

use crate::engine::Engine;
use crate::jobs::cosign::Cosigner;
use crate::notary::Notary;
use crate::tls::Offer;
use document::Served;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

/// Connections at once: monitoring needs few, and they must not take room from KMIP (ABUSE A48).
const CONNECTIONS_MAX: usize = 64;

/// Connections at once from one address.
const CONNECTIONS_PER_ADDRESS_MAX: usize = 16;

/// Time for handshake and request headers.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Time one connection may last.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(60);

/// Pause when no connection can be taken, for want of file descriptors say.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Longest nonce: a UUID or 32 random bytes in base64 fit well.
const NONCE_CHARS_MAX: usize = 64;

/// Whose state is told.
pub(crate) enum Subject {
    /// A node that serves, or would if it could.
    Node {
        engine: Arc<Engine>,
        notary: Arc<Notary>,
        cosigner: Arc<Cosigner>,
    },
    /// A process whose self-tests have failed. It opens no keys, so it signs nothing.
    ErrorState,
}

/// The status port, ready to open.
pub(crate) struct StatusDoor {
    subject: Subject,
    tls: Offer,
    served: Mutex<Served>,
    stop: watch::Receiver<bool>,
}

impl std::fmt::Debug for StatusDoor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StatusDoor").finish_non_exhaustive()
    }
}

impl StatusDoor {
    /// Prepares the port.
    pub(crate) fn new(subject: Subject, tls: Offer, stop: watch::Receiver<bool>) -> Arc<Self> {
        Arc::new(Self {
            subject,
            tls,
            served: Mutex::new(Served::default()),
            stop,
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
            let Ok(place) = places.clone().try_acquire_owned() else {
                continue;
            };
            if !self
                .served
                .lock()
                .enter(peer.ip(), CONNECTIONS_PER_ADDRESS_MAX)
            {
                continue;
            }
            let (door, mut stop) = (self.clone(), self.stop.clone());
            tokio::spawn(async move {
                // Monitoring that hangs up early is nothing to report.
                let connection = door.connection(stream, peer);
                let served = tokio::time::timeout(CONNECTION_TIMEOUT, connection);
                tokio::select! {
                    served = served => drop(served),
                    () = door.tls.switched() => {}
                    _ = stop.wait_for(|stop| *stop) => {}
                }
                door.served.lock().leave(peer.ip());
                drop(place);
            });
        }
    }

    async fn connection(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let stream = tokio::time::timeout(REQUEST_TIMEOUT, self.tls.accept(stream)).await??;
        let from = peer.ip();
        let answer = service_fn(async |request| Ok::<_, Infallible>(self.answer(&request, from)));
        hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(REQUEST_TIMEOUT)
            .serve_connection(TokioIo::new(stream), answer)
            .await?;
        Ok(())
    }

    fn answer(&self, request: &Request<Incoming>, from: IpAddr) -> Response<Full<Bytes>> {
        if request.method() != Method::GET && request.method() != Method::HEAD {
            let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, "GET or HEAD\n".to_owned());
            let allowed = HeaderValue::from_static("GET, HEAD");
            answer.headers_mut().insert(ALLOW, allowed);
            return answer;
        }
        let nonce = match nonce(request.uri().query()) {
            Ok(nonce) => nonce,
            Err(why) => return text(StatusCode::BAD_REQUEST, why),
        };
        match request.uri().path() {
            "/" | "/status.html" => {
                let page = page::page(&document::describe(&self.subject, nonce));
                answer(StatusCode::OK, "text/html; charset=utf-8", page)
            }
            "/status.json" => {
                let now = || document::describe(&self.subject, nonce);
                let json = self.served.lock().document(from, nonce, now);
                answer(StatusCode::OK, "application/json", json)
            }
            "/status.json.sig" => self.signature(from, nonce),
            "/status.css" => answer(StatusCode::OK, "text/css; charset=utf-8", page::STYLE),
            "/status.svg" => answer(StatusCode::OK, "image/svg+xml", page::ICON),
            _ => text(
                StatusCode::NOT_FOUND,
                "Here are /status.html, /status.json and /status.json.sig.\n".to_owned(),
            ),
        }
    }

    /// The signature of the document that this address was given last with this nonce.
    fn signature(&self, from: IpAddr, nonce: Option<&str>) -> Response<Full<Bytes>> {
        let Subject::Node { notary, .. } = &self.subject else {
            let why = "In the error state no key is opened, so nothing is signed.\n";
            return text(StatusCode::SERVICE_UNAVAILABLE, why.to_owned());
        };
        let now = || document::describe(&self.subject, nonce);
        let json = self.served.lock().given(from, nonce, now);
        match ledger::sign_status(&**notary, json.as_bytes()) {
            Ok(signature) => text(StatusCode::OK, signature),
            Err(e) => {
                tracing::error!("signing the status: {e}");
                let why = "The status could not be signed; the log of the node says why.\n";
                text(StatusCode::INTERNAL_SERVER_ERROR, why.to_owned())
            }
        }
    }
}

/// What `?nonce=` says: it comes back in the document, so that an old one is not taken for new.
fn nonce(query: Option<&str>) -> Result<Option<&str>, String> {
    let wrong = || {
        format!(
            "There is ?nonce= with up to {NONCE_CHARS_MAX} letters, digits, hyphens and \
             underscores, and nothing else.\n"
        )
    };
    let Some(query) = query else {
        return Ok(None);
    };
    let nonce = query.strip_prefix("nonce=").ok_or_else(wrong)?;
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if (1..=NONCE_CHARS_MAX).contains(&nonce.len()) && nonce.chars().all(fits) {
        return Ok(Some(nonce));
    }
    Err(wrong())
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    answer(status, "text/plain; charset=utf-8", body)
}

fn answer(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    for (name, value) in [
        ("content-security-policy", page::POLICY),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("strict-transport-security", "max-age=31536000"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_is_short_and_plain() {
        assert_eq!(nonce(None), Ok(None));
        assert_eq!(nonce(Some("nonce=a-Z_09")), Ok(Some("a-Z_09")));
        let longest = format!("nonce={}", "n".repeat(NONCE_CHARS_MAX));
        assert!(nonce(Some(&longest)).is_ok());
        for wrong in ["", "nonce=", "nonce=%41", "nonce=<b>", "x=1", "nonce=a&x=1"] {
            assert!(nonce(Some(wrong)).is_err(), "{wrong}");
        }
        assert!(nonce(Some(&format!("{longest}n"))).is_err());
    }
}
