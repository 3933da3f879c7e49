//! Which copies there are of what this node holds: the other members, and closed logs at transfer
//! destinations. Backups to a file come later; until then this says so.

use super::{ControlDoor, set};
use crate::render;
use domain::{Actor, Right, State, Stream};
use serde_json::{Value, json};

/// What stands beside the tables, so that nobody takes them for backups.
const NO_BACKUP: &str = "There are no backups yet. Keys are in no file and at no destination: the \
    members that hold keys have them, sealed, and nobody else. Lose those members, and the keys \
    are lost.";

impl ControlDoor {
    /// The copies that there are.
    pub(super) fn copies(&self, actor: &Actor) -> Value {
        let members = self.members();
        let members = members.get("members").and_then(Value::as_array);
        let member = |row: &Value| {
            json!({
                "node": row["node"],
                "role": row["role"],
                "phase": row["phase"],
                "holds_keys": row["role"] != "witness",
                "durable_to": row["replicated_to"],
                "agrees_to": row["agrees_to"],
                "connected": row["connected"],
            })
        };
        let members: Vec<Value> = members.into_iter().flatten().map(member).collect();
        let now = self.engine.now();
        let state = self.engine.machine().state();
        let seen = domain::permit_operator(&state, actor, Right::SeeLogs, now).is_ok();
        let logs = match seen {
            true => closed_logs(&state),
            false => Vec::new(),
        };
        let keepers = members.iter().filter(|row| row["holds_keys"] == true);
        let mut copies = json!({
            "copies_of_the_keys": keepers.count(),
            "records": state.records(),
            "members": members,
            "destinations": logs,
            "note": NO_BACKUP,
        });
        let instead = match (seen, state.destinations().next()) {
            (false, _) => "not shown: the permission logging is missing",
            (true, None) => "there is no transfer destination: no other machine has closed logs",
            (true, Some(_)) => return copies,
        };
        set(&mut copies, "closed_logs", json!(instead));
        copies
    }
}

/// How far each destination has each log that it gets.
fn closed_logs(state: &State) -> Vec<Value> {
    let mut rows = Vec::new();
    for (name, standing) in state.destinations() {
        for stream in state.streams().filter(|stream| standing.gets(*stream)) {
            rows.push(row(
                state,
                name.as_str(),
                stream,
                standing.delivered(stream),
            ));
        }
    }
    rows
}

fn row(state: &State, destination: &str, stream: Stream, confirmed: u64) -> Value {
    let last = state.last_closed(stream);
    let known = state.closed_log(stream, confirmed);
    json!({
        "destination": destination,
        "log": stream.to_string(),
        "confirmed": (confirmed > 0).then_some(confirmed),
        "closed": last.map(|closed| closed.number),
        "records_to": known.map(|closed| closed.size.saturating_sub(1)),
        "closed_on": known.map(|closed| render::moment(closed.time)),
    })
}
