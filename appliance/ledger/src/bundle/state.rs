//! What a verifier remembers from one export to the next, so that a shorter or rewritten log shows.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

const STATE_FORMAT: &str = "strongroom-verifier-state-1";

/// The state file of `strongroom verify --state`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VerifierState {
    format: String,
    /// By origin.
    pub logs: BTreeMap<String, LogState>,
    /// Public keys that signed exports, as `ssh-ed25519 AAAA…`.
    pub signers: Vec<String>,
}

/// What was last seen of one log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogState {
    /// Name of the log in the bundle.
    pub log: String,
    /// Number of records.
    pub size: u64,
    /// Root over them, base64.
    pub root: String,
    /// Keys that have signed its checkpoints so far, as verifier keys.
    pub keys: Vec<String>,
}

/// The text is no state file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this is no verifier state: {0}; restore the file, or leave it out to begin anew")]
pub struct StateError(String);

impl Default for VerifierState {
    fn default() -> Self {
        let (logs, signers) = (BTreeMap::new(), Vec::new());
        Self {
            format: STATE_FORMAT.to_owned(),
            logs,
            signers,
        }
    }
}

impl VerifierState {
    /// Reads a state file.
    ///
    /// # Errors
    /// [`StateError`] when it is damaged or of another format.
    pub fn from_json(text: &str) -> Result<Self, StateError> {
        let state: Self = serde_json::from_str(text).map_err(|e| StateError(e.to_string()))?;
        if state.format != STATE_FORMAT {
            return Err(StateError(format!("its format is {:?}", state.format)));
        }
        let is_bad = |log: &LogState| crate::tree::Hash::from_base64(&log.root).is_none();
        if state.logs.values().any(is_bad) {
            return Err(StateError("a root is no base64 SHA-256".to_owned()));
        }
        Ok(state)
    }

    /// The text of the state file.
    #[must_use]
    pub fn to_json(&self) -> String {
        let text = serde_json::to_string_pretty(self).expect("string keys and plain values only");
        text + "\n"
    }
}
