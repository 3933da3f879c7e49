//! What PID 1 does when an administrator wants it: the end of the machine, and of its services.

use super::{Answer, ControlDoor};
use crate::session::talk;
use crate::sign_in::settled;
use domain::{Actor, Name};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// How the machine ends.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MachineEnd {
    /// It is switched off.
    Halt,
    /// It starts anew.
    Reboot,
}

impl MachineEnd {
    /// The word of PID 1's socket, and of the command.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Halt => "halt",
            Self::Reboot => "reboot",
        }
    }

    /// What the log calls it.
    const fn operation(self) -> &'static str {
        match self {
            Self::Halt => "Halt",
            Self::Reboot => "Reboot",
        }
    }
}

impl ControlDoor {
    /// Has the machine end; the services end a moment later.
    pub(super) async fn power(&self, actor: &Actor, end: MachineEnd) -> Answer {
        let ask = json!({ "ask": end.word() });
        self.have_init(actor, end.operation(), ask).await
    }

    /// Has a process end and start again; it may be this one.
    pub(super) async fn restart_service(&self, actor: &Actor, service: String) -> Answer {
        // It stands in the log, whether there is such a service or not.
        let service = Name::parse(&service).map_err(|e| format!("{service:?}: {e}"))?;
        let ask = json!({ "ask": "restart", "service": service });
        let operation = format!("Restart Service {service}");
        self.have_init(actor, &operation, ask).await
    }

    /// Records who wanted it, then has PID 1 do it.
    pub(super) async fn have_init(&self, actor: &Actor, operation: &str, ask: Value) -> Answer {
        let Some(socket) = self.init.clone() else {
            return Err(talk::NO_INIT.to_owned());
        };
        let recorded = match self.engine.asked(actor, operation) {
            Ok(recorded) => recorded,
            Err(refusal) => return Err(settled(refusal).await),
        };
        recorded.settle().await.map_err(|e| e.to_string())?;
        let asked = tokio::task::spawn_blocking(move || talk::ask_init(&socket, &ask));
        let asked = asked.await.map_err(|e| e.to_string())?;
        asked.map(|_| json!({})).map_err(|e| format!("{e:#}"))
    }
}
