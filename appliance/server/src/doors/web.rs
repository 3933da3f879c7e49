//! The web port: `/health` for load balancers, `/metrics` for Prometheus. Read-only.

use crate::engine::Engine;
use crate::metrics;
use crate::tls::Offer;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

/// Connections at once: monitoring needs few, and they must not take room from KMIP.
const CONNECTIONS_MAX: usize = 64;

/// Time for handshake and request headers.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Time one connection may last.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(300);

/// The web port, ready to open.
pub struct WebDoor {
    engine: Arc<Engine>,
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
    pub(crate) fn new(engine: Arc<Engine>, tls: Offer, stop: watch::Receiver<bool>) -> Arc<Self> {
        Arc::new(Self { engine, tls, stop })
    }

    /// Serves until told to stop.
    pub async fn serve(self: Arc<Self>, listener: TcpListener) {
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let mut stop = self.stop.clone();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = stop.wait_for(|stop| *stop) => return,
            };
            let Ok((stream, _)) = accepted else {
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            let Ok(place) = places.clone().try_acquire_owned() else {
                continue;
            };
            let door = self.clone();
            tokio::spawn(async move {
                // Monitoring that hangs up early is nothing to report.
                let served = tokio::time::timeout(CONNECTION_TIMEOUT, door.connection(stream));
                tokio::select! {
                    served = served => drop(served),
                    () = door.tls.switched() => {}
                }
                drop(place);
            });
        }
    }

    async fn connection(
        &self,
        stream: TcpStream,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let stream = tokio::time::timeout(REQUEST_TIMEOUT, self.tls.accept(stream)).await??;
        let answer = service_fn(async |request| Ok::<_, Infallible>(self.answer(&request)));
        hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(REQUEST_TIMEOUT)
            .serve_connection(TokioIo::new(stream), answer)
            .await?;
        Ok(())
    }

    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        if request.method() != Method::GET && request.method() != Method::HEAD {
            let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, "GET or HEAD\n".into());
            answer
                .headers_mut()
                .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return answer;
        }
        match request.uri().path() {
            "/health" => {
                let health = metrics::health(&self.engine);
                let status = if health.serving {
                    StatusCode::OK
                } else {
                    StatusCode::SERVICE_UNAVAILABLE
                };
                let body = serde_json::to_string(&health).unwrap_or_default() + "\n";
                let mut answer = text(status, body);
                let json = HeaderValue::from_static("application/json");
                answer.headers_mut().insert(CONTENT_TYPE, json);
                answer
            }
            "/metrics" => text(StatusCode::OK, metrics::prometheus(&self.engine)),
            _ => text(
                StatusCode::NOT_FOUND,
                "Here are /health and /metrics.\n".into(),
            ),
        }
    }
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    *answer.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    answer.headers_mut().insert(CONTENT_TYPE, plain);
    answer
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let nosniff = HeaderValue::from_static("nosniff");
    answer
        .headers_mut()
        .insert("x-content-type-options", nosniff);
    answer
}
