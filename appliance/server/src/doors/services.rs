//! The services that an operator stops and starts: the KMIP, web, SSH and status ports. Each has a
//! setting, and is open while that says `on`. The SSH door is a process of its own and asks the
//! node (`doors/control/sessions.rs`); the others are opened and closed here.

use crate::engine::Engine;
use clap::ValueEnum;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// How often the settings are looked at, and a port is tried again that could not be opened.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// A service with a port of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Service {
    /// Keys for clients.
    Kmip,
    /// The web pages.
    Web,
    /// The command line from other machines.
    Ssh,
    /// What the node says of itself to anybody.
    Status,
}

impl Service {
    /// Every service.
    pub(crate) const ALL: [Self; 4] = [Self::Kmip, Self::Web, Self::Ssh, Self::Status];

    /// Its name in commands.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Kmip => "kmip",
            Self::Web => "web",
            Self::Ssh => "ssh",
            Self::Status => "status",
        }
    }

    /// The setting that says whether it is open.
    pub(crate) const fn setting(self) -> &'static str {
        match self {
            Self::Kmip => "services.kmip",
            Self::Web => "services.web",
            Self::Ssh => "services.ssh",
            Self::Status => "services.status",
        }
    }

    /// Whether its setting says that it is to be open on this node.
    pub(crate) fn is_on(self, engine: &Engine) -> bool {
        let state = engine.machine().state();
        state.setting_or_default(engine.node(), self.setting()) != Some("off")
    }
}

/// How a port stands.
#[derive(Clone, Debug)]
pub(crate) struct Port {
    /// Where it is, or was.
    pub(crate) address: SocketAddr,
    /// Whether somebody can come in.
    pub(crate) is_open: bool,
    /// Why it is shut although it is to be open.
    pub(crate) problem: Option<String>,
}

/// How the ports of this node stand.
#[derive(Debug, Default)]
pub(crate) struct Ports(Mutex<BTreeMap<Service, Port>>);

impl Ports {
    /// One of them; none on a node that has it not.
    pub(crate) fn of(&self, service: Service) -> Option<Port> {
        self.0.lock().get(&service).cloned()
    }

    fn set(&self, service: Service, port: Port) {
        self.0.lock().insert(service, port);
    }
}

/// Opens and closes ports as the settings say.
#[derive(Clone)]
pub(crate) struct Keeper {
    pub(crate) engine: Arc<Engine>,
    pub(crate) ports: Arc<Ports>,
    pub(crate) stop: watch::Receiver<bool>,
}

impl std::fmt::Debug for Keeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keeper").finish_non_exhaustive()
    }
}

impl Keeper {
    /// Keeps one port, until the node stops. `serve` begins to serve it, until what it is given
    /// says stop. `listener` is the port as it was opened when the node started.
    pub(crate) fn begin(
        self,
        service: Service,
        address: SocketAddr,
        listener: Option<TcpListener>,
        serve: impl Fn(TcpListener, watch::Receiver<bool>) + Send + 'static,
    ) {
        // Who connects from now on waits in the queue of the port until it is served.
        match listener.is_some() && service.is_on(&self.engine) {
            true => self.note(service, address, None),
            false => self.shut(service, address),
        }
        tokio::spawn(self.keep(service, address, listener, serve));
    }

    async fn keep(
        mut self,
        service: Service,
        address: SocketAddr,
        mut listener: Option<TcpListener>,
        serve: impl Fn(TcpListener, watch::Receiver<bool>) + Send + 'static,
    ) {
        let mut open: Option<watch::Sender<bool>> = None;
        loop {
            match (service.is_on(&self.engine), &open) {
                (true, None) => {
                    let bound = match listener.take() {
                        Some(listener) => Ok(listener),
                        None => TcpListener::bind(address).await,
                    };
                    let problem = match bound {
                        Ok(listener) => {
                            let (stop, stopped) = watch::channel(false);
                            serve(listener, stopped);
                            open = Some(stop);
                            None
                        }
                        Err(e) => Some(self.complain(service, address, &e)),
                    };
                    self.note(service, address, problem);
                }
                (false, _) => {
                    // A port that was opened only to learn which one it is closes again.
                    drop(listener.take());
                    if let Some(stop) = open.take() {
                        stop.send_replace(true);
                        tracing::warn!("the service {} is stopped", service.name());
                    }
                    self.shut(service, address);
                }
                (true, Some(_)) => {}
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK_INTERVAL) => {}
                _ = self.stop.wait_for(|stop| *stop) => break,
            }
        }
        if let Some(stop) = open {
            stop.send_replace(true);
        }
    }

    /// Says once why a port cannot be opened.
    fn complain(&self, service: Service, address: SocketAddr, error: &std::io::Error) -> String {
        let name = service.name();
        let problem = format!("opening the {name} port at {address}: {error}");
        let said = self.ports.of(service).and_then(|port| port.problem);
        if said.as_ref() != Some(&problem) {
            tracing::error!("{problem}");
        }
        problem
    }

    fn note(&self, service: Service, address: SocketAddr, problem: Option<String>) {
        let port = Port {
            address,
            is_open: problem.is_none(),
            problem,
        };
        self.ports.set(service, port);
    }

    fn shut(&self, service: Service, address: SocketAddr) {
        let port = Port {
            address,
            is_open: false,
            problem: None,
        };
        self.ports.set(service, port);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_service_has_its_setting() {
        for service in Service::ALL {
            let setting = domain::setting::find(service.setting()).unwrap();
            assert_eq!(setting.default, Some("on"), "{}", service.name());
            let word = service.to_possible_value().unwrap();
            assert_eq!(word.get_name(), service.name());
        }
        let settings = domain::setting::TABLE.iter();
        let count = settings.filter(|row| row.id.starts_with("services."));
        assert_eq!(count.count(), Service::ALL.len());
    }
}
