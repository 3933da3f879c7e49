//! Settings as an operator sees them.

use super::ControlDoor;
use crate::setup;
use domain::State;
use serde_json::{Value, json};

impl ControlDoor {
    /// The set-up file that gives this configuration again, without secrets, and its digest: two
    /// appliances with the same settings have the same.
    pub(super) fn running_config(&self) -> Value {
        let (text, digest) = self.configuration(&self.engine.machine().state());
        json!({ "text": text, "digest": digest })
    }

    /// Text and digest of the configuration in a state.
    pub(super) fn configuration(&self, state: &State) -> (String, String) {
        let slots = self.engine.vault().slots();
        let text = setup::running_config(state, self.engine.node(), &slots);
        let digest = crate::render::hex(&vault::provider::sha256(&[text.as_bytes()]));
        (text, digest)
    }
}
