//! A port for HTTPS: who is inside at a time, and for how long. What is answered is for the door.

use crate::tls::Offer;
use hyper::body::{Body, Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

type Failed = Box<dyn std::error::Error + Send + Sync>;

/// Pause when no connection can be taken, for want of file descriptors say.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What a port takes; more is closed at once, so that it takes no room from KMIP (ABUSE A48).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Connections at once.
    pub(crate) connections: usize,
    /// Connections at once from one address.
    pub(crate) per_address: usize,
    /// Time for the handshake, for the headers of a request, and between two requests.
    pub(crate) request: Duration,
    /// Time one connection may last.
    pub(crate) connection: Duration,
    /// Bytes of the headers of a request.
    pub(crate) headers_bytes: usize,
}

/// What answers the requests of a port.
pub(crate) trait Answers: Send + Sync + 'static {
    /// The body of an answer.
    type Content: Body<Data = Bytes, Error: Into<Failed>> + Send + 'static;

    /// Answers a request from an address.
    fn answer(
        &self,
        request: Request<Incoming>,
        from: IpAddr,
    ) -> impl Future<Output = Response<Self::Content>> + Send;
}

/// Time for the answer under way when approved-algorithms mode is switched: to whoever switched it.
const LAST_ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// Serves until told to stop. Connections end then too, and when the mode of the node has changed
/// under which they came to be.
pub(crate) async fn serve<A: Answers>(
    listener: TcpListener,
    tls: Offer,
    limits: Limits,
    door: Arc<A>,
    mut stop: watch::Receiver<bool>,
) {
    let guests = Arc::new(Guests::new(limits));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        let Ok((stream, peer)) = accepted else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let Some(place) = guests.clone().enter(peer.ip()) else {
            continue;
        };
        let (door, tls, mut stop) = (door.clone(), tls.clone(), stop.clone());
        tokio::spawn(async move {
            let connection = connection(&*door, &tls, &limits, stream, peer);
            let served = tokio::time::timeout(limits.connection, connection);
            tokio::select! {
                // Who hangs up early is nothing to report.
                served = served => drop(served),
                _ = stop.wait_for(|stop| *stop) => {}
            }
            drop(place);
        });
    }
}

async fn connection(
    door: &impl Answers,
    tls: &Offer,
    limits: &Limits,
    stream: TcpStream,
    peer: SocketAddr,
) -> Result<(), Failed> {
    stream.set_nodelay(true)?;
    // From before the handshake on: what it agrees on is of the mode of this moment.
    let switched = tls.switched();
    let stream = tokio::time::timeout(limits.request, tls.accept(stream)).await??;
    let answer =
        service_fn(async |request| Ok::<_, Infallible>(door.answer(request, peer.ip()).await));
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.request)
        .max_buf_size(limits.headers_bytes)
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

/// Who is inside.
#[derive(Debug)]
struct Guests {
    connections: usize,
    per_address: usize,
    inside: Mutex<Inside>,
}

#[derive(Debug, Default)]
struct Inside {
    count: usize,
    by_address: BTreeMap<IpAddr, usize>,
}

/// The place of a connection; it is free again when this is dropped.
#[derive(Debug)]
struct Place {
    guests: Arc<Guests>,
    address: IpAddr,
}

impl Guests {
    fn new(limits: Limits) -> Self {
        Self {
            connections: limits.connections,
            per_address: limits.per_address,
            inside: Mutex::default(),
        }
    }

    fn enter(self: Arc<Self>, address: IpAddr) -> Option<Place> {
        {
            let mut inside = self.inside.lock();
            let of_address = inside.by_address.get(&address).copied().unwrap_or(0);
            if inside.count >= self.connections || of_address >= self.per_address {
                return None;
            }
            inside.count += 1;
            inside.by_address.insert(address, of_address + 1);
        }
        Some(Place {
            guests: self,
            address,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut inside = self.guests.inside.lock();
        inside.count = inside.count.saturating_sub(1);
        if let Some(count) = inside.by_address.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                inside.by_address.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([127, 0, 0, last])
    }

    #[test]
    fn places_are_few_and_are_given_back() {
        let guests = Arc::new(Guests {
            connections: 3,
            per_address: 2,
            inside: Mutex::default(),
        });
        let first = guests.clone().enter(address(1)).unwrap();
        let second = guests.clone().enter(address(1)).unwrap();
        assert!(guests.clone().enter(address(1)).is_none());
        let other = guests.clone().enter(address(2)).unwrap();
        assert!(guests.clone().enter(address(3)).is_none());
        drop(first);
        let third = guests.clone().enter(address(3)).unwrap();
        drop((second, third, other));
        let inside = guests.inside.lock();
        assert!(inside.count == 0 && inside.by_address.is_empty());
    }
}
