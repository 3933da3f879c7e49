//! Approved-algorithms mode and self-tests, as an operator asks for them.

use super::{Answer, ControlDoor};
use crate::{approved, selftest};
use serde_json::{Value, json};

impl ControlDoor {
    /// Mode, parts and tests.
    pub(super) fn fips_status(&self) -> Value {
        let (mode, tests) = (approved::json(&self.engine), selftest::json());
        let part = |of: &Value, pointer: &str| of.pointer(pointer).cloned();
        let enabled = match mode.pointer("/mode").and_then(Value::as_str) {
            Some("on") => "enabled",
            Some("incomplete") => "enabled, incomplete",
            Some("asked for") => "disabled, asked for",
            _ => "disabled",
        };
        json!({
            "FIPS mode": enabled,
            "Approved-algorithms mode": part(&mode, "/mode"),
            "What this means": part(&mode, "/says"),
            "What can be claimed": part(&mode, "/claim"),
            "Self-tests": part(&tests, "/result"),
            "Self-tests at power-up": part(&tests, "/power_up/time"),
            "parts": part(&mode, "/parts"),
            "tests": part(&tests, "/power_up/tests"),
            "conditional": part(&tests, "/conditional"),
        })
    }

    /// What a switch would do; it looks at every object.
    pub(super) async fn fips_plan(&self, on: bool) -> Answer {
        let engine = self.engine.clone();
        let planned = tokio::task::spawn_blocking(move || approved::plan(&engine, on)).await;
        planned.map_err(|e| e.to_string())
    }
}
