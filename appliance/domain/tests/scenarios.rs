//! Readable scenarios: each line of `tests/scenarios/*.txt` is one ask and its outcome.
//!
//! ```text
//! create K1 aes256 by alice -> created, pre-active
//! destroy K1 by alice -> denied: the object is active
//! ```
//!
//! `#` begins a comment. `wait N` moves the clock by N seconds. What stands behind `->` is compared
//! word for word; with `REGENERATE=1` it is written anew, to be read before it is committed.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod world;

use domain::*;
use std::collections::BTreeMap;
use std::path::Path;
use world::*;

struct Play {
    world: World,
    keys: BTreeMap<String, Uid>,
}

impl Play {
    fn uid(&self, key: &str) -> Uid {
        *self.keys.get(key).unwrap_or_else(|| panic!("no key {key}"))
    }

    /// Carries out one line; gives what happened.
    fn line(&mut self, line: &str) -> String {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["wait", seconds] => {
                self.world.wait(seconds.parse().unwrap());
                "ok".to_string()
            }
            ["show", key] => self.show(key),
            ["attributes", key] => self.attributes(key),
            ["get", key, "by", actor] => self.read(key, actor),
            [verb, rest @ .., "by", actor] => {
                let ask = self.ask(verb, rest);
                let events = self.world.ask(&self.actor(actor), ask);
                if let (Some(Event::ObjectCreated { uid, .. }), [key, ..]) = (events.first(), rest)
                {
                    self.keys.insert((*key).to_string(), *uid);
                }
                outcome(&events)
            }
            _ => panic!("cannot read: {line}"),
        }
    }

    fn actor(&self, text: &str) -> Actor {
        match text {
            "operator" => operator(),
            "node" => Actor::Node(NODE),
            "nobody" => Actor::Unknown {
                source: "203.0.113.9:1".to_string(),
            },
            other => user(other),
        }
    }

    fn ask(&self, verb: &str, rest: &[&str]) -> Ask {
        match (verb, rest) {
            ("create", [_, kind, more @ ..]) => {
                let mut attributes = cipher(kind);
                attributes.extend(more.iter().map(|text| self.attribute(text)));
                Ask::Create { attributes }
            }
            ("register", [_, kind, more @ ..]) => {
                let (object_type, mut attributes) = match *kind {
                    "secret" => (ObjectType::SecretData, vec![]),
                    "opaque" => (ObjectType::OpaqueObject, vec![]),
                    "certificate" => (ObjectType::Certificate, vec![]),
                    other => (ObjectType::SymmetricKey, cipher(other)),
                };
                attributes.extend(more.iter().map(|text| self.attribute(text)));
                Ask::Register {
                    object_type,
                    attributes,
                }
            }
            ("activate", [key]) => Ask::Activate { uid: self.uid(key) },
            ("destroy", [key]) => Ask::Destroy { uid: self.uid(key) },
            ("revoke", [key, reason]) => Ask::Revoke {
                uid: self.uid(key),
                reason: match *reason {
                    "unspecified" => 1,
                    "compromised" => 2,
                    "ca-compromised" => 3,
                    "superseded" => 5,
                    other => other.parse().unwrap(),
                },
                message: None,
                compromise_occurred: None,
            },
            ("add", [key, text]) => Ask::AddAttribute {
                uid: self.uid(key),
                attribute: self.attribute(text),
            },
            ("modify", [key, text]) => Ask::ModifyAttribute {
                uid: self.uid(key),
                index: None,
                current: None,
                attribute: self.attribute(text),
            },
            ("modify", [key, index, text]) => Ask::ModifyAttribute {
                uid: self.uid(key),
                index: Some(index.parse().unwrap()),
                current: None,
                attribute: self.attribute(text),
            },
            ("set", [key, text]) => Ask::SetAttribute {
                uid: self.uid(key),
                attribute: self.attribute(text),
            },
            ("delete", [key, text]) => {
                let (text, index) = text.split_once('/').unwrap_or((text, "0"));
                Ask::DeleteAttribute {
                    uid: self.uid(key),
                    name: named(text),
                    which: match index {
                        "all" => Instance::All,
                        number => Instance::Index(number.parse().unwrap()),
                    },
                }
            }
            ("schedule", []) => Ask::ApplySchedule,
            ("open-epoch", [n]) => Ask::OpenEpoch {
                epoch: epoch(n),
                kek: None,
            },
            ("retire-epoch", [n]) => Ask::RetireEpoch { epoch: epoch(n) },
            ("confirm-reseal", [n]) => Ask::ConfirmReseal {
                node: NODE,
                epoch: epoch(n),
            },
            ("confirm-retire", [n]) => Ask::ConfirmRetire {
                node: NODE,
                epoch: epoch(n),
            },
            ("add-slot", [slot]) => Ask::AddSlot {
                name: name(slot),
                kind: "passphrase".into(),
            },
            ("remove-slot", [slot]) => Ask::RemoveSlot { name: name(slot) },
            ("revoke-user", [user]) => Ask::RevokeUser { name: name(user) },
            ("put-user", [user, groups @ ..]) => Ask::PutUser {
                name: name(user),
                groups: groups
                    .iter()
                    .flat_map(|g| member(g, GroupRole::Use))
                    .collect(),
            },
            _ => panic!("cannot read: {verb} {rest:?}"),
        }
    }

    /// `tag=value`; dates are seconds from now.
    fn attribute(&self, text: &str) -> Attribute {
        let (key, value) = text.split_once('=').unwrap();
        let seconds = || self.world.now.seconds() + value.parse::<i64>().unwrap();
        let wrapped = match key {
            "name" => return Attribute::named(value),
            "activation" | "deactivation" | "process-start" | "protect-stop" | "initial" => {
                Value::DateTime(seconds())
            }
            "sensitive" | "extractable" | "quantum-safe" | "fresh" => {
                Value::Boolean(value == "true")
            }
            "state" | "opaque-type" => Value::Enumeration(value.parse().unwrap()),
            "length" | "certificate-length" | "mask" => Value::Integer(value.parse().unwrap()),
            _ => Value::Text(value.to_string()),
        };
        Attribute {
            name: named(key),
            value: wrapped,
        }
    }

    fn show(&self, key: &str) -> String {
        let object = self.world.state.object(&self.uid(key)).unwrap();
        let now = object.state_at(self.world.now);
        let last = if self.world.state.is_final(object.uid()) {
            ", final"
        } else {
            ""
        };
        format!("{now}{last}")
    }

    /// All attributes that a test can foresee, as the answer lists them.
    fn attributes(&self, key: &str) -> String {
        let object = self.world.state.object(&self.uid(key)).unwrap();
        let start = START.seconds();
        let shown = object
            .instances(self.world.now)
            .into_iter()
            .filter_map(|held| {
                let name = held.attribute.name.to_string();
                let index = if held.index == 0 {
                    String::new()
                } else {
                    format!("/{}", held.index)
                };
                let value = match held.attribute.value {
                    Value::Text(text) => text,
                    Value::DateTime(date) => format!("{:+}s", date - start),
                    Value::Boolean(value) => value.to_string(),
                    Value::Enumeration(n) => n.to_string(),
                    Value::Integer(n) => n.to_string(),
                    Value::Interval(n) => n.to_string(),
                    Value::Structure(fields) => format!("{} fields", fields.len()),
                    other => format!("{other:?}"),
                };
                let foreseen = !name.contains("Unique Identifier");
                foreseen.then(|| format!("{name}{index} {value}"))
            });
        shown.collect::<Vec<_>>().join("; ")
    }

    fn read(&self, key: &str, actor: &str) -> String {
        let (state, now, uid) = (&self.world.state, self.world.now, self.uid(key));
        match permit(state, &self.actor(actor), Read::Material, &uid, now) {
            Ok(object) => format!("{} bytes", object.material().unwrap().length_bytes),
            Err(denial) => refusal(&denial),
        }
    }
}

fn epoch(text: &str) -> Epoch {
    Epoch(text.parse().unwrap())
}

fn cipher(text: &str) -> Vec<Attribute> {
    let kind = text.trim_end_matches(|c: char| c.is_ascii_digit());
    let bits = &text[kind.len()..];
    let code = match kind {
        "aes" => AES,
        "3des" => 2,
        "hmac" => 9,
        other => panic!("no cipher {other}"),
    };
    algorithm(code, bits.parse().unwrap())
}

fn named(text: &str) -> AttributeName {
    let title = match text {
        "name" => "Name",
        "activation" => "Activation Date",
        "deactivation" => "Deactivation Date",
        "process-start" => "Process Start Date",
        "protect-stop" => "Protect Stop Date",
        "initial" => "Initial Date",
        "sensitive" => "Sensitive",
        "extractable" => "Extractable",
        "quantum-safe" => "Quantum Safe",
        "fresh" => "Fresh",
        "state" => "State",
        "mask" => "Cryptographic Usage Mask",
        "opaque-type" => "Opaque Data Type",
        "length" => "Cryptographic Length",
        "certificate-length" => "Certificate Length",
        "description" => "Description",
        "contact" => "Contact Information",
        "group" => "Object Group",
        other => other,
    };
    AttributeName::parse(title).unwrap_or_else(|| panic!("no attribute {text}"))
}

/// What a refusal says; for NotFound also what only the log may say.
fn refusal(denial: &Denial) -> String {
    match denial {
        Denial::NotFound { forbidden: true } => format!("denied: {denial} (forbidden)"),
        _ => format!("denied: {denial}"),
    }
}

fn outcome(events: &[Event]) -> String {
    if events.is_empty() {
        return "nothing".to_string();
    }
    events.iter().map(told).collect::<Vec<_>>().join("; ")
}

fn told(event: &Event) -> String {
    let by = |cause: &Cause| {
        if *cause == Cause::Schedule {
            " by schedule"
        } else {
            ""
        }
    };
    match event {
        Event::ObjectCreated {
            state,
            registered: false,
            ..
        } => format!("created, {state}"),
        Event::ObjectCreated {
            state,
            registered: true,
            ..
        } => format!("registered, {state}"),
        Event::ObjectActivated { cause, .. } => format!("activated{}", by(cause)),
        Event::ObjectDeactivated { cause, .. } => format!("deactivated{}", by(cause)),
        Event::ObjectRevoked { state, .. } => format!("revoked, {state}"),
        Event::ObjectDestroyed { state, .. } => state.to_string(),
        Event::AttributeAdded { index, .. } => format!("added as {index}"),
        Event::AttributeModified { index, .. } => format!("modified {index}"),
        Event::AttributeDeleted { .. } => "deleted".to_string(),
        Event::DestroyFinal { objects, nodes, .. } => {
            format!("final: {} objects on {} nodes", objects.len(), nodes.len())
        }
        Event::Refused { denial, .. } => refusal(denial),
        Event::EpochOpened { .. } => "opened".to_string(),
        Event::EpochRetired { .. } => "retired".to_string(),
        Event::ResealConfirmed { .. } | Event::RetireConfirmed { .. } => "confirmed".to_string(),
        _ => "done".to_string(),
    }
}

/// Plays a file; gives it with the outcomes that came.
fn play(script: &str) -> String {
    let mut play = Play {
        world: World::new(),
        keys: BTreeMap::new(),
    };
    let mut transcript = String::new();
    for line in script.lines() {
        let said = line.split(" -> ").next().unwrap().trim_end();
        if said.is_empty() || said.starts_with('#') {
            transcript.push_str(line);
        } else if said.starts_with("wait") {
            play.line(said);
            transcript.push_str(said);
        } else {
            transcript.push_str(&format!("{said} -> {}", play.line(said)));
        }
        transcript.push('\n');
    }
    assert_eq!(play.world.replayed(), play.world.state, "replay");
    transcript
}

#[test]
fn scenarios_end_as_they_are_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut played = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let written = std::fs::read_to_string(&path).unwrap();
        let happened = play(&written);
        played += 1;
        if std::env::var_os("REGENERATE").is_some() {
            std::fs::write(&path, &happened).unwrap();
            continue;
        }
        for (number, (written, happened)) in written.lines().zip(happened.lines()).enumerate() {
            assert_eq!(written, happened, "{}:{}", path.display(), number + 1);
        }
    }
    assert!(played >= 6, "the scenarios are gone");
}
