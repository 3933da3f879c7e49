//! The services of this node: which are open, and stopping and starting them. A stop is a setting
//! like any other: it stands in the log, and holds after a restart.

use super::{Answer, ControlDoor};
use crate::doors::services::Service;
use domain::{Actor, Ask, SettingValue};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;

/// How long a port may take to open or to close after the setting is changed.
const DONE_WITHIN: Duration = Duration::from_secs(2);

/// How often that is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// What can be asked about services.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "services", rename_all = "kebab-case")]
#[expect(
    missing_docs,
    reason = "each variant is a command of the console, described there"
)]
pub enum ServicesRequest {
    List,
    Switch { service: Service, on: bool },
}

impl ControlDoor {
    pub(super) async fn services(&self, actor: &Actor, request: ServicesRequest) -> Answer {
        match request {
            ServicesRequest::List => Ok(self.service_rows()),
            ServicesRequest::Switch { service, on } => self.switch(actor, service, on).await,
        }
    }

    fn service_rows(&self) -> Value {
        let row = |service: Service| {
            let is_on = service.is_on(&self.engine);
            let port = self.ports.of(service);
            let state = match (&port, is_on) {
                (_, false) => "stopped",
                (Some(port), true) if port.is_open => "open",
                (Some(_), true) => "cannot open",
                // The SSH door looks for itself; a witness has no doors for clients.
                (None, true) if service == Service::Ssh => "open",
                (None, true) => "not on this node",
            };
            let listens = match (service, &port) {
                (Service::Ssh, _) => self.ssh_listens(),
                (_, port) => port.as_ref().map(|port| port.address.to_string()),
            };
            json!({
                "service": service.name(),
                "state": state,
                "address": listens,
                "problem": port.and_then(|port| port.problem),
            })
        };
        Service::ALL.into_iter().map(row).collect()
    }

    /// Where the SSH door listens; in `strongroom dev` its READY line says it.
    fn ssh_listens(&self) -> Option<String> {
        self.place.as_ref()?;
        let state = self.engine.machine().state();
        let listen = state.setting_or_default(self.engine.node(), "ssh.listen");
        listen.filter(|text| !text.is_empty()).map(str::to_owned)
    }

    async fn switch(&self, actor: &Actor, service: Service, on: bool) -> Answer {
        let was = service.is_on(&self.engine);
        let ask = Ask::Configure {
            node: self.engine.node(),
            values: vec![SettingValue {
                id: service.setting().to_owned(),
                value: if on { "on" } else { "off" }.to_owned(),
            }],
        };
        // Also when it is so already: who may not say it is told so.
        self.change(actor, ask).await?;
        let name = service.name();
        let done = |says: &str| Ok(json!({ "service": name, "says": format!("{name} {says}") }));
        if was == on {
            return done(if on {
                "is open already."
            } else {
                "is stopped already."
            });
        }
        let Some(port) = self.settled(service, on).await else {
            return done(match (service, on) {
                (Service::Ssh, true) => "opens within a second.",
                (Service::Ssh, false) => {
                    "closes within a second; sessions that are open go on until they end. \
                     services start ssh opens it again."
                }
                _ => "is not on this node: it is a witness.",
            });
        };
        match (on, port.is_open, port.problem) {
            (true, true, _) => done(&format!("is open at {}.", port.address)),
            (true, false, problem) => Err(format!(
                "{name} is to be open, but it is not: {}",
                problem.unwrap_or_else(|| "it takes longer than usual".to_owned())
            )),
            (false, ..) => done(&format!(
                "is stopped on this node, also after a restart; services start {name} opens it \
                 again."
            )),
        }
    }

    /// How a port stands when it has done what its setting says, or has had the time to.
    async fn settled(&self, service: Service, on: bool) -> Option<crate::doors::services::Port> {
        let deadline = Instant::now() + DONE_WITHIN;
        loop {
            let port = self.ports.of(service)?;
            if port.is_open == on || Instant::now() >= deadline {
                return Some(port);
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }
}
