//! Settings as an operator sees them, and the bundle of a new client.

use super::{Answer, ControlDoor};
use crate::founding::client_files;
use crate::setup;
use domain::{Name, State};
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

    /// Certificate and key of a client that was just added; the key is erased from the disk.
    pub(super) fn client_bundle(&self, name: &str) -> Answer {
        let name = Name::parse(name).map_err(|e| e.to_string())?;
        let (certificate, key) = client_files(&self.layout, &name);
        let read = |path: &std::path::Path| {
            std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))
        };
        let bundle = json!({
            "certificate": read(&certificate)?,
            "key": read(&key)?,
            "ca": read(&self.layout.ca_certificate())?,
        });
        std::fs::remove_file(&key).map_err(|e| format!("{}: {e}", key.display()))?;
        Ok(bundle)
    }
}
