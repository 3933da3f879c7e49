//! The KMIP door: port 5696, TTLV over mutual TLS (DESIGN §7).
//!
//! * this file: the listener, its limits, and who a certificate stands for
//! * `session`: one connection, message by message
//! * `operations`: one batch item
//! * `present`, `translate`, `abilities`: objects, words and what the server can do

mod abilities;
mod operations;
mod present;
mod session;
mod translate;

use super::waiting_room::{Seats, Ticket, WaitingRoom};
use crate::counters::{Counters, Open};
use crate::engine::Engine;
use crate::open_sessions::Session;
use crate::selftest;
use crate::tls::Offer;
use domain::{Access, Actor, Fingerprint, Name};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, Notify, Semaphore, watch};
use tokio_rustls::server::TlsStream;

/// Connections in all; a session costs about 60 KiB (ABUSE A29).
const CONNECTIONS_MAX: usize = 4_096;

/// Unfinished handshakes (ABUSE A28, A29).
const HANDSHAKES: Seats = Seats {
    per_address: 64,
    all: 256,
};

/// Time for the TLS handshake: PyKMIP's server could be held for ever here (ABUSE A28).
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Rejected handshakes of one kind from one address become one record in this time (ABUSE A45).
const REJECTS_WINDOW: Duration = Duration::from_secs(5);

/// Kinds of rejected handshakes counted in one window; more are counted together.
const REJECT_KINDS_MAX: usize = 256;

/// Which field of a client certificate names the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum UserField {
    /// Common Name of the subject.
    #[value(name = "cn")]
    CommonName,
    /// First Organizational Unit of the subject.
    #[value(name = "ou")]
    OrganizationalUnit,
    /// User ID (UID) of the subject.
    #[value(name = "uid")]
    UserId,
    /// First e-mail address among the alternative names; the part before the `@`.
    #[value(name = "email")]
    Email,
}

/// The door, ready to open.
pub struct KmipDoor {
    engine: Arc<Engine>,
    tls: Offer,
    user_field: UserField,
    rejects: Mutex<BTreeMap<(String, String), u32>>,
    stop: watch::Receiver<bool>,
}

impl std::fmt::Debug for KmipDoor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KmipDoor")
            .field("user_field", &self.user_field)
            .finish_non_exhaustive()
    }
}

impl KmipDoor {
    /// Prepares the door; `stop` turning true closes it and ends its sessions.
    pub(crate) fn new(
        engine: Arc<Engine>,
        tls: Offer,
        user_field: UserField,
        stop: watch::Receiver<bool>,
    ) -> Arc<Self> {
        Arc::new(Self {
            engine,
            tls,
            user_field,
            rejects: Mutex::default(),
            stop,
        })
    }

    /// Serves until told to stop.
    pub async fn serve(self: Arc<Self>, listener: TcpListener) {
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let waiting_room = WaitingRoom::new(HANDSHAKES);
        let mut stop = self.stop.clone();
        tokio::spawn(self.clone().report_rejects());
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = stop.wait_for(|stop| *stop) => return,
                () = selftest::failed_while_running() => return,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(e) => {
                    // Out of file descriptors, mostly; sessions that end give some back.
                    tracing::warn!("KMIP port: {e}");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let Ok(place) = places.clone().try_acquire_owned() else {
                self.count_reject(peer, "all connections are in use").await;
                continue;
            };
            let door = self.clone();
            // Here and not in the task, for tasks begin in any order: the one that came last would
            // pass for the oldest.
            let waits = waiting_room.enter(peer.ip());
            tokio::spawn(async move {
                door.welcome(stream, peer, waits).await;
                drop(place);
            });
        }
    }

    /// Handshake, then the session.
    async fn welcome(&self, stream: TcpStream, peer: SocketAddr, waits: (Ticket, Arc<Notify>)) {
        let (ticket, evicted) = waits;
        // From before the handshake on: what it agrees on is of the mode of this moment.
        let switched = self.tls.switched();
        tokio::pin!(switched);
        let handshake = tokio::time::timeout(HANDSHAKE_TIMEOUT, self.handshake(stream));
        let handshake = tokio::select! {
            handshake = handshake => handshake,
            () = evicted.notified() => {
                self.count_reject(peer, "gave way to a newer connection").await;
                return;
            }
            () = &mut switched => return,
        };
        drop(ticket);
        let stream = match handshake {
            Ok(Ok(stream)) => stream,
            Ok(Err(e)) => return self.count_reject(peer, &e.to_string()).await,
            Err(_) => return self.count_reject(peer, "no TLS handshake in 10 s").await,
        };
        match self.identify(&stream, peer) {
            Ok(actor) => {
                let mut stop = self.stop.clone();
                let counters = self.engine.counters();
                Counters::add(&counters.sessions);
                let _open = Open::count(&counters.open);
                let _listed = self.engine.sessions().enter(session(&actor, &stream));
                tokio::select! {
                    () = session::serve(&self.engine, &actor, stream) => {}
                    () = &mut switched => {}
                    () = selftest::failed_while_running() => {}
                    _ = stop.wait_for(|stop| *stop) => {}
                }
            }
            Err(reason) => self.count_reject(peer, &reason).await,
        }
    }

    async fn handshake(&self, stream: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
        // An answer is one write and must not wait for the client's acknowledgement.
        stream.set_nodelay(true)?;
        self.tls.accept(stream).await
    }

    /// Who the certificate stands for.
    fn identify(&self, stream: &TlsStream<TcpStream>, peer: SocketAddr) -> Result<Actor, String> {
        let certificates = stream.get_ref().1.peer_certificates();
        let leaf = certificates
            .and_then(<[_]>::first)
            .ok_or("no client certificate")?;
        let name = user_name(leaf, self.user_field)?;
        let digest: [u8; 32] = Sha256::digest(leaf).into();
        let certificate = Fingerprint::from_bytes(digest);
        Ok(Actor::User {
            name,
            certificate,
            source: peer.to_string(),
        })
    }

    async fn count_reject(&self, peer: SocketAddr, reason: &str) {
        Counters::add(&self.engine.counters().rejected);
        let mut rejects = self.rejects.lock().await;
        let mut key = (peer.ip().to_string(), reason.to_owned());
        if rejects.len() >= REJECT_KINDS_MAX && !rejects.contains_key(&key) {
            key = (
                "many addresses".to_owned(),
                "rejected handshakes".to_owned(),
            );
        }
        let count = rejects.entry(key).or_insert(0);
        *count = count.saturating_add(1);
    }

    /// Writes the rejected handshakes of each window into the access log, counted.
    async fn report_rejects(self: Arc<Self>) {
        let mut stop = self.stop.clone();
        loop {
            let stopping = tokio::select! {
                () = tokio::time::sleep(REJECTS_WINDOW) => false,
                _ = stop.wait_for(|stop| *stop) => true,
            };
            let rejects = std::mem::take(&mut *self.rejects.lock().await);
            for ((source, reason), count) in rejects {
                let actor = Actor::Unknown { source };
                let reason = format!("TLS: {reason}");
                let access = Access::Malformed { reason, count };
                let (seen, now) = (self.engine.seen(), self.engine.now());
                if let Err(e) = self.engine.record(&actor, seen, now, access) {
                    tracing::error!("{e}");
                }
            }
            if stopping {
                return;
            }
        }
    }
}

/// What a session is, for whoever asks which there are.
fn session(actor: &Actor, stream: &TlsStream<TcpStream>) -> Session {
    let (user, source) = match actor {
        Actor::User { name, source, .. } => (name.to_string(), source.clone()),
        _ => (String::new(), String::new()),
    };
    let tls = stream.get_ref().1;
    let suite = tls.negotiated_cipher_suite();
    let group = tls.negotiated_key_exchange_group();
    Session {
        user,
        source,
        suite: suite.map_or_else(String::new, |suite| format!("{:?}", suite.suite())),
        group: group.map_or_else(String::new, |group| format!("{:?}", group.name())),
    }
}

/// Reads the user's name off a certificate that rustls has verified.
fn user_name(der: &[u8], field: UserField) -> Result<Name, String> {
    use x509_parser::extensions::GeneralName;
    use x509_parser::oid_registry::OID_USERID;
    let (_, certificate) = x509_parser::parse_x509_certificate(der)
        .map_err(|e| format!("the client certificate cannot be read: {e}"))?;
    let subject = certificate.subject();
    let text = match field {
        UserField::CommonName => first_text(subject.iter_common_name()),
        UserField::OrganizationalUnit => first_text(subject.iter_organizational_unit()),
        UserField::UserId => first_text(subject.iter_by_oid(&OID_USERID)),
        UserField::Email => {
            let names = certificate.subject_alternative_name().ok().flatten();
            let names = names
                .map(|n| n.value.general_names.as_slice())
                .unwrap_or_default();
            names.iter().find_map(|name| match name {
                GeneralName::RFC822Name(mail) => mail.split('@').next().map(str::to_owned),
                _ => None,
            })
        }
    };
    let text = text.ok_or("the client certificate has no field that names the user")?;
    Name::parse(&text).map_err(|e| format!("the user's name in the client certificate: {e}"))
}

fn first_text<'a>(
    mut values: impl Iterator<Item = &'a x509_parser::x509::AttributeTypeAndValue<'a>>,
) -> Option<String> {
    values.next()?.as_str().ok().map(str::to_owned)
}
