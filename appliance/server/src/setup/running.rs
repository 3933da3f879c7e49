//! The configuration as it is, in the form of a set-up file.

use super::file::print;
use super::{Answers, ONCE};
use domain::setting::TABLE;
use domain::{NodeId, State};
use vault::{SlotKind, SlotSummary};

/// The set-up file that makes an appliance like this one. Secrets are named in comments, so that
/// whoever uses the file knows what to add.
pub(crate) fn running_config(state: &State, node: NodeId, slots: &[SlotSummary]) -> String {
    let mut answers = Answers::default();
    // What was decided is canonical; a value that this version does not know stays out.
    let mut put = |id: &str, value: &str| drop(answers.set(id, value));
    for setting in TABLE {
        if let Some(value) = state.setting_or_default(node, setting.id) {
            put(setting.id, value);
        }
    }
    let mut administrators = state.administrators();
    if let Some((name, first)) = administrators.next() {
        put("admin.name", name.as_str());
        put(
            "admin.ssh-key",
            first.ssh_keys.first().map_or("", String::as_str),
        );
    }
    for slot in slots {
        let id = if slot.recovery { "recovery" } else { "unlock" };
        put(id, word(slot.kind));
    }
    let mut text = print(answers.plain().filter(|(id, _)| answers.wants(id)));
    for (name, _) in administrators {
        text += &format!("# another administrator: {name}\n");
    }
    let secret = |id: &&str| answers.get(id).is_empty() && answers.wants(id);
    let asked = ONCE.iter().filter(|once| once.default.is_none());
    for id in asked.map(|once| once.id).filter(secret) {
        text += &format!("# to be added: {id}\n");
    }
    text
}

/// What the set-up calls a slot of this kind; no word of it for what was added later.
fn word(kind: SlotKind) -> &'static str {
    match kind {
        SlotKind::Passphrase => "passphrase",
        SlotKind::KeyFile => "disk",
        SlotKind::Shamir => "shares",
        SlotKind::Pkcs11 | SlotKind::Tpm2 | SlotKind::Unknown(_) => "",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use domain::setting::Scope;
    use std::path::Path;

    /// A row for each item, as in docs/setup.md.
    fn table() -> String {
        let mut table = String::from("| item | what it is | default | |\n|---|---|---|---|\n");
        let mut row = |id: &str, title: &str, default: Option<&str>, help: &str, scope: &str| {
            let default = match default {
                Some("") => "empty".to_owned(),
                Some(value) => format!("`{value}`"),
                None => "–".to_owned(),
            };
            let help: Vec<&str> = help.lines().map(str::trim).collect();
            let help = help.join("<br>");
            table += &format!("| `{id}` | {title}{scope} | {default} | {help} |\n");
        };
        for setting in TABLE {
            let of = match setting.scope {
                Scope::Node => "",
                Scope::Cluster => ", of the whole cluster",
            };
            row(setting.id, setting.title, setting.default, setting.help, of);
        }
        for once in ONCE {
            row(once.id, once.title, once.default, once.help, "");
        }
        table
    }

    #[test]
    fn the_guide_names_every_item() {
        let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/setup.md");
        let text = std::fs::read_to_string(guide).unwrap();
        let table = table();
        assert!(
            text.ends_with(&table),
            "the end of docs/setup.md is to be:\n{table}"
        );
    }
}
