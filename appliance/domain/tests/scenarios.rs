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
            ["get", key, "offline", seconds] => self.read_offline(key, seconds),
            ["members"] => self.members(),
            ["cluster"] => self.cluster(),
            [verb, rest @ .., "by", actor] => {
                let ask = self.ask(verb, rest);
                let events = self.world.ask(&self.actor(actor), ask);
                if let (
                    Some(Event::ObjectCreated { uid, .. } | Event::ObjectSalvaged { uid, .. }),
                    [key, ..],
                ) = (events.first(), rest)
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
            "node2" | "node3" | "node4" | "node5" => Actor::Node(node(&text[4..])),
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
            ("confirm-reseal", [n, of @ ..]) => Ask::ConfirmReseal {
                node: of.first().map_or(NODE, |n| node(n)),
                epoch: epoch(n),
            },
            ("confirm-retire", [n, of @ ..]) => Ask::ConfirmRetire {
                node: of.first().map_or(NODE, |n| node(n)),
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
            _ => self.membership_ask(verb, rest),
        }
    }

    /// Nodes are named by their number, keys and tickets by one of their own.
    fn membership_ask(&self, verb: &str, rest: &[&str]) -> Ask {
        match (verb, rest) {
            ("start", [n, format]) => Ask::StartNode {
                node: node(n),
                version: "0.3.0".to_string(),
                format: format.parse().unwrap(),
            },
            ("stop", [n]) => Ask::StopNode { node: node(n) },
            ("identify", [n, key, address]) => Ask::IdentifyNode {
                node: node(n),
                key: node_key(number(key)),
                sealing_key: vec![4; 97],
                address: (*address).to_string(),
            },
            ("ticket", [n, seconds]) => Ask::IssueTicket {
                ticket: ticket(n),
                expires: Time(self.world.now.0 + seconds.parse::<i64>().unwrap() * 1000),
            },
            ("request", [n, key, role, more @ ..]) => Ask::RequestJoin {
                ticket: ticket(n),
                candidate: spoilt(candidate(number(key), parse_role(role)), more),
            },
            ("approve", [key]) => Ask::ApproveJoin {
                key: node_key(number(key)),
            },
            ("deny", [key]) => Ask::DenyJoin {
                key: node_key(number(key)),
            },
            ("rejoin", [old, key, role, more @ ..]) => Ask::Rejoin {
                old: node(old),
                candidate: spoilt(candidate(number(key), parse_role(role)), more),
            },
            ("confirm", [n, role]) => Ask::ConfirmMember {
                node: node(n),
                role: parse_role(role),
            },
            ("remove", [n]) => Ask::RemoveNode { node: node(n) },
            ("confirm-removed", [n]) => Ask::ConfirmRemoved { node: node(n) },
            ("rotate-ca", [n]) => Ask::RotateClusterCa {
                ca: node_key(number(n)),
            },
            _ => self.agreement_ask(verb, rest),
        }
    }

    fn agreement_ask(&self, verb: &str, rest: &[&str]) -> Ask {
        match (verb, rest) {
            ("fork", [lineage, n, lost]) => Ask::ForkLineage {
                lineage: lineage.parse().unwrap(),
                node: node(n),
                origin: format!("strongroom/test/lineage-{lineage}"),
                lost: number(lost),
            },
            ("salvage", [n, state, owner, from, more @ ..]) => Ask::Salvage {
                uid: uid(number(n)),
                object_type: ObjectType::SymmetricKey,
                owner: name(owner),
                registered: false,
                initial: START,
                state: *LifecycleState::ALL
                    .iter()
                    .find(|s| s.to_string() == *state)
                    .unwrap(),
                attributes: cipher("aes256")
                    .into_iter()
                    .chain(more.iter().map(|text| self.attribute(text)))
                    .collect(),
                from: node(from),
            },
            ("scrub", []) => Ask::BeginScrub,
            ("digest", [scrub, n, digest]) => Ask::ReportDigest {
                node: node(n),
                scrub: number(scrub),
                state: hash(number(digest)),
                store: None,
            },
            ("differ", [size, one, two]) => Ask::ReportDivergence {
                size: number(size),
                node: node(one),
                root: hash(1),
                other: node(two),
                other_root: hash(2),
            },
            ("resolve", words) => Ask::ResolveDivergence {
                reason: words.join(" "),
            },
            ("repair", [n, what, items]) => Ask::RecordRepair {
                node: node(n),
                what: (*what).to_string(),
                items: number(items),
            },
            ("offline", [group, limit]) => Ask::SetOfflineGet {
                group: (*group != "all").then(|| name(group)),
                limit: match *limit {
                    "never" => OfflineGet::Never,
                    "always" => OfflineGet::Always,
                    seconds => OfflineGet::Seconds(number(seconds)),
                },
            },
            _ => panic!("cannot read: {verb} {rest:?}"),
        }
    }

    /// Who is in, each with its role and where it stands.
    fn members(&self) -> String {
        let told = self.world.state.nodes().map(|(id, node)| {
            let replaces = node.replaces.map(|old| format!(" for {}", old.0));
            let (role, phase) = (node.role.name(), node.phase.name());
            format!("{} {role} {phase}{}", id.0, replaces.unwrap_or_default())
        });
        told.collect::<Vec<_>>().join(", ")
    }

    fn cluster(&self) -> String {
        let state = &self.world.state;
        let due = if state.rotation_due() {
            ", rotation due"
        } else {
            ""
        };
        let waiting = state.join_requests(self.world.now).count();
        let stopped = match state.divergence() {
            Some(d) => format!(", nodes {} and {} differ", d.node.0, d.other.0),
            None => String::new(),
        };
        format!(
            "lineage {}, format {}, epoch {}, next node {}, {waiting} waiting{due}{stopped}",
            state.lineage(),
            state.format(),
            state.epoch().0,
            state.next_node().0,
        )
    }

    fn read_offline(&self, key: &str, seconds: &str) -> String {
        let state = &self.world.state;
        let object = state.object(&self.uid(key)).unwrap();
        match permit_offline(state, object, number(seconds)) {
            Ok(()) => "served".to_string(),
            Err(denial) => refusal(&denial),
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

fn number(text: &str) -> u64 {
    text.parse().unwrap_or_else(|_| panic!("no number: {text}"))
}

fn node(text: &str) -> NodeId {
    NodeId(number(text))
}

fn ticket(text: &str) -> Hash {
    hash(0x71_0000 + number(text))
}

fn parse_role(text: &str) -> MemberRole {
    match text {
        "voter" => MemberRole::Voter,
        "learner" => MemberRole::Learner,
        "witness" => MemberRole::Witness,
        other => panic!("no role: {other}"),
    }
}

/// A candidate with something else than usual: `format=1`, `key=2`, `log-key=2`, `address=nowhere`.
fn spoilt(mut candidate: Candidate, more: &[&str]) -> Candidate {
    for text in more {
        match text.split_once('=').unwrap() {
            ("format", n) => candidate.format = n.parse().unwrap(),
            ("key", n) => candidate.key = node_key(number(n)),
            ("log-key", n) => {
                candidate.log_key = world::candidate(number(n), candidate.role).log_key
            }
            ("address", address) => candidate.address = address.to_string(),
            ("sealing-key", n) => candidate.sealing_key = vec![4; n.parse().unwrap()],
            _ => panic!("cannot read: {text}"),
        }
    }
    candidate
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
        Event::NodeAdmitted { node, .. } => format!("let in as {}", node.0),
        Event::LogKeyAdded { node, .. } => format!("log key of {}", node.0),
        Event::MemberConfirmed { role, .. } => format!("is a {}", role.name()),
        Event::NodeLeaving { node } => format!("{} leaves", node.0),
        Event::NodeRemoved { node } => format!("{} is out", node.0),
        Event::LineageForked { lineage, .. } => format!("lineage {lineage}"),
        Event::ObjectSalvaged { state, .. } => format!("salvaged, {state}"),
        Event::ScrubBegun { scrub } => format!("scrub {scrub}"),
        Event::ScrubReported { .. } => "reported".to_string(),
        Event::DivergenceFound { node, other, .. } => {
            format!("{} and {} differ", node.0, other.0)
        }
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
    assert!(played >= 10, "the scenarios are gone");
}
