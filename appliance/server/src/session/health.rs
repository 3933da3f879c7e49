//! What PID 1 knows of the machine, as tables for the person at the console.

use crate::program::operate;
use serde_json::Value;
use std::io::{self, Write};

/// Parts of the answer that are lists, each with its heading and columns.
const TABLES: [(&str, &str, &[&str]); 5] = [
    ("phases", "Boot, milliseconds", &["name", "milliseconds"]),
    (
        "services",
        "Services, and what the kernel lets them do",
        &[
            "name",
            "state",
            "user",
            "capabilities",
            "seccomp",
            "landlock",
            "restarts",
            "last_words",
        ],
    ),
    (
        "processes",
        "All processes",
        &[
            "pid",
            "program",
            "user",
            "seccomp",
            "no_new_privileges",
            "memory_kib",
        ],
    ),
    (
        "settings",
        "Settings of the kernel",
        &["name", "value", "ok"],
    ),
    ("mounts", "File systems", &["target", "kind", "flags"]),
];

/// Writes all of it.
pub(crate) fn show(out: &mut impl Write, mut status: Value) -> io::Result<()> {
    for (part, heading, columns) in TABLES {
        let Some(rows) = status.get_mut(part).map(Value::take) else {
            continue;
        };
        writeln!(out, "{heading}:")?;
        operate::table(out, columns, rows.as_array().map_or(&[], Vec::as_slice))?;
        writeln!(out)?;
    }
    if let Some(parts) = status.as_object_mut() {
        parts.retain(|_, value| !value.is_null());
    }
    operate::fields(out, &status, 0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn every_part_is_shown_once() {
        let status = json!({
            "phases": [{ "name": "verity", "milliseconds": 42 }],
            "services": [{ "name": "core", "state": "running", "user": 900, "capabilities": [] }],
            "listening": ["tcp 5696", "tcp 9443"],
            "set_up_file": null,
        });
        let mut shown = Vec::new();
        show(&mut shown, status).unwrap();
        let shown = String::from_utf8(shown).unwrap();
        assert_eq!(shown.matches("verity").count(), 1, "{shown}");
        assert!(shown.contains("core  running  900"), "{shown}");
        assert!(
            shown.contains("tcp 9443") && !shown.contains("set up file"),
            "{shown}"
        );
    }
}
