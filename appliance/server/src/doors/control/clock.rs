//! The time of this node: what it goes by, and setting the clock of the machine by hand where
//! nothing else does.

use super::{Answer, ControlDoor};
use crate::{clock, operator_clock, render};
use domain::{Actor, Ask};
use network::status::{ClockState, TimeStatus};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// A clock that is set farther than this is asked about first, in milliseconds.
const SMALL_MS_MAX: i64 = 60_000;

/// What can be asked about the time.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "clock", rename_all = "kebab-case")]
#[expect(
    missing_docs,
    reason = "each variant is a command of the console, described there"
)]
pub enum ClockRequest {
    Show,
    Set {
        utc: String,
        /// Milliseconds since boot when it was that time, which the first answer gives; without it
        /// nothing far away is set.
        typed_at: Option<i64>,
    },
}

impl ControlDoor {
    pub(super) async fn clock(&self, actor: &Actor, request: ClockRequest) -> Answer {
        match request {
            ClockRequest::Show => self.time(),
            ClockRequest::Set { utc, typed_at } => self.set_clock(actor, &utc, typed_at).await,
        }
    }

    fn time(&self) -> Answer {
        let status = self.time_status()?;
        let set_by_hand = match self.who_sets(status.as_ref()) {
            Ok(()) => "possible: configure time 2026-11-23T05:30:00Z".to_owned(),
            Err(why) => format!("refused: {why}"),
        };
        let now = self.engine.now();
        let (state, node) = (self.engine.machine().state(), self.engine.node());
        let goes_by = match &status {
            _ if state.members().count() > 1 => "the clocks of the other members",
            Some(status) if status.synchronised => "time servers",
            _ => "the clock of this machine",
        };
        let told = status.unwrap_or_default();
        Ok(json!({
            "utc": render::moment(now),
            "zone": state.setting_or_default(node, "timezone"),
            "goes_by": goes_by,
            "compared_with_other_members": self.engine.trusts_clock(),
            "clock_of_the_machine_differs_milliseconds": clock::jump(),
            "last_record": render::moment(state.latest_time()),
            "time_servers": told.state,
            "offset_milliseconds": told.offset_milliseconds,
            "problem": told.problem,
            "set_by_hand": set_by_hand,
            "servers": told.servers,
        }))
    }

    /// What the process says that sets the clock; none where there is no such process.
    fn time_status(&self) -> Result<Option<TimeStatus>, String> {
        let Some(file) = self.layout.time_status() else {
            return Ok(None);
        };
        let bytes = match std::fs::read(&file) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            bytes => bytes.map_err(|e| format!("{}: {e}", file.display()))?,
        };
        let read = serde_json::from_slice(&bytes);
        read.map(Some)
            .map_err(|e| format!("{}: {e}", file.display()))
    }

    /// Whether people set this clock.
    ///
    /// # Errors
    /// Who does instead.
    fn who_sets(&self, status: Option<&TimeStatus>) -> Result<(), String> {
        if !self.place.as_ref().is_some_and(|place| place.sets_clock()) {
            return Err("nothing here sets the clock; the operating system does".to_owned());
        }
        match status.filter(|status| status.state == ClockState::Synchronised) {
            None => Ok(()),
            Some(status) => {
                let names: Vec<&str> = status.servers.iter().map(|one| one.name.as_str()).collect();
                Err(format!(
                    "the clock follows time servers ({}); it is set by hand when none is \
                     followed: configure no ntp, or other servers",
                    names.join(", ")
                ))
            }
        }
    }

    async fn set_clock(&self, actor: &Actor, utc: &str, typed_at: Option<i64>) -> Answer {
        let request = operator_clock::request(utc, typed_at)?;
        let to = operator_clock::now_by(&request);
        let (now, node) = (self.engine.now(), self.engine.node());
        let ask = Ask::SetClock { node, to };
        let refused = {
            let state = self.engine.machine().state();
            domain::admit(&state, actor, &ask, now).is_err()
        };
        // Who may not is told that, and it stands in the log, whoever sets the clock.
        if refused {
            return self.change(actor, ask).await;
        }
        self.who_sets(self.time_status()?.as_ref())?;
        let moved = to.0.saturating_sub(now.0);
        if typed_at.is_none() && moved.saturating_abs() > SMALL_MS_MAX {
            return Ok(json!({
                "confirm": consequences(moved),
                "typed_at": request.since_boot_milliseconds,
            }));
        }
        self.change(actor, ask).await?;
        if let Some(place) = &self.place {
            place.set_clock(&request)?;
        }
        Ok(json!({ "was": render::moment(now), "is": render::moment(to) }))
    }
}

/// What somebody should know who sets the clock far away.
fn consequences(moved: i64) -> Value {
    let seconds = moved.unsigned_abs() / 1_000;
    let text = match moved > 0 {
        true => format!(
            "The clock goes forward by {seconds} s. Dates of keys and certificates that lie in \
             between are past then, which cannot be undone: time never goes back behind a record \
             of the log."
        ),
        false => format!(
            "The clock goes back by {seconds} s; the node stands still in time until that has \
             passed, because time never goes back behind a record of the log."
        ),
    };
    Value::String(text)
}
