//! The bytes of every record and command, frozen.
//!
//! Ledgers are kept for ever and the Raft log outlives an upgrade, so what was written once must be
//! read for ever, and equal values must have equal bytes on every node. `tests/golden/*.cbor` are
//! those bytes; the `.txt` beside each shows them to people. A kind without a file fails here. With
//! `REGENERATE=1` *missing* files are written; a file that is there is never changed.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod samples;
mod world;

use domain::*;
use samples::*;
use serde::{Serialize, de::DeserializeOwned};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::PathBuf;
use world::*;

/// Compares a value with its golden file, both ways, and the text beside it.
fn check<T>(file: &str, value: &T)
where
    T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug,
{
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let (bytes_file, text_file) = (
        folder.join(format!("{file}.cbor")),
        folder.join(format!("{file}.txt")),
    );
    let bytes = codec::to_vec(value);
    let shown = annotate(&bytes);
    if std::env::var_os("REGENERATE").is_some() && !bytes_file.exists() {
        std::fs::write(&bytes_file, &bytes).unwrap();
        std::fs::write(&text_file, &shown).unwrap();
    }
    let golden = std::fs::read(&bytes_file)
        .unwrap_or_else(|_| panic!("{file}: no golden file; REGENERATE=1 writes a new one"));
    assert_eq!(
        bytes, golden,
        "{file}: the bytes changed; old ledgers have the old ones\n{shown}"
    );
    assert_eq!(&codec::from_slice::<T>(&golden).unwrap(), value, "{file}");
    assert_eq!(
        std::fs::read_to_string(&text_file).unwrap(),
        shown,
        "{file}.txt"
    );
}

fn count<K: Ord>(kinds: impl Iterator<Item = K>) -> usize {
    kinds.collect::<BTreeSet<_>>().len()
}

#[test]
fn every_event_has_its_golden_record() {
    assert_eq!(count(events().iter().map(event_kind)), EVENT_KINDS);
    let actors = [
        user("alice"),
        operator(),
        Actor::Node(NODE),
        Actor::Unknown {
            source: "203.0.113.9:1".to_string(),
        },
    ];
    for (event, actor) in events().into_iter().zip(actors.into_iter().cycle()) {
        let file = format!("event-{}", event_kind(&event));
        check(
            &file,
            &Record {
                v: 1,
                entry: 300,
                time: START,
                actor,
                event,
                once: None,
            },
        );
    }
}

#[test]
fn every_access_has_its_golden_record() {
    assert_eq!(count(accesses().iter().map(access_kind)), ACCESS_KINDS);
    for access in accesses() {
        let file = format!("access-{}", access_kind(&access));
        let actor = user("alice");
        check(
            &file,
            &AccessRecord {
                v: 1,
                time: START,
                actor,
                seen: 1_000_000,
                access,
            },
        );
    }
}

#[test]
fn every_denial_has_its_golden_form() {
    assert_eq!(count(denials().iter().map(denial_kind)), DENIAL_KINDS);
    for denial in denials() {
        check(&format!("denial-{}", denial_kind(&denial)), &denial);
    }
}

#[test]
fn every_ask_has_its_golden_command() {
    assert_eq!(count(asks().iter().map(ask_kind)), ASK_KINDS);
    let facts = Facts {
        uid: Some(uid(1)),
        material: Some(material()),
        ..Facts::default()
    };
    for (ask, facts) in asks()
        .into_iter()
        .zip([facts, Facts::default()].into_iter().cycle())
    {
        let file = format!("ask-{}", ask_kind(&ask));
        check(
            &file,
            &Command {
                actor: user("alice"),
                time: START,
                ask,
                facts,
            },
        );
    }
}

/// Fields that came later to kinds that were there before.
#[test]
fn later_fields_have_their_golden_forms() {
    let record = |event, once| Record {
        v: 1,
        entry: 300,
        time: START,
        actor: user("alice"),
        event,
        once,
    };
    let started = Event::NodeStarted {
        node: NODE,
        version: "0.3.0".to_string(),
        format: 2,
    };
    check("later-node-started-format", &record(started, None));
    let opened = Event::EpochOpened {
        epoch: Epoch(2),
        kek: Some(hash(9)),
    };
    check("later-epoch-opened-kek", &record(opened, None));
    let destroyed = Event::ObjectDestroyed {
        uid: uid(1),
        state: LifecycleState::Destroyed,
    };
    check("later-record-once", &record(destroyed, Some(hash(10))));

    let command = |ask, facts| Command {
        actor: user("alice"),
        time: START,
        ask,
        facts,
    };
    let open = Ask::OpenEpoch {
        epoch: Epoch(2),
        kek: Some(hash(9)),
    };
    check("later-ask-open-epoch-kek", &command(open, Facts::default()));
    let started = Ask::StartNode {
        node: NODE,
        version: "0.3.0".to_string(),
        format: 2,
    };
    check(
        "later-ask-start-node-format",
        &command(started, Facts::default()),
    );
    let permissions = Some(Permissions::parse("key-officer, serial").unwrap());
    let put = Event::AdministratorPut {
        name: name("eve"),
        password: Some(hash(11)),
        ssh_keys: vec![],
        permissions,
        must_change: true,
    };
    check("later-administrator-put-permissions", &record(put, None));
    let put = Ask::PutAdministrator {
        name: name("eve"),
        password: Some(hash(11)),
        ssh_keys: vec![],
        permissions,
        must_change: true,
    };
    let put = command(put, Facts::default());
    check("later-ask-put-administrator-permissions", &put);
    let facts = Facts {
        uid: Some(uid(1)),
        material: Some(material()),
        once: Some(hash(10)),
        node: Some(NODE),
    };
    check("later-facts-once-node", &command(aes256(&[]), facts));

    let stale = Some(Stale { age_seconds: 60 });
    let accesses = [
        Access::Released { uid: uid(1), stale },
        Access::AttributesRead { uid: uid(1), stale },
        Access::Located { found: 3, stale },
    ];
    for access in accesses {
        let file = format!("later-access-{}-stale", access_kind(&access));
        let record = AccessRecord {
            v: 1,
            time: START,
            actor: user("alice"),
            seen: 1_000_000,
            access,
        };
        assert!(access_summary(&record).ends_with(", 60 s after the last quorum"));
        check(&file, &record);
    }
}

/// Golden files of the test above.
const LATER_FORMS: usize = 11;

#[test]
fn no_golden_file_is_left_over() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let files = std::fs::read_dir(folder).unwrap().count();
    assert_eq!(
        files,
        2 * (EVENT_KINDS + ACCESS_KINDS + DENIAL_KINDS + ASK_KINDS + LATER_FORMS)
    );
}

#[test]
fn every_record_has_one_line_for_people() {
    for event in events() {
        let record = Record {
            v: 1,
            entry: 1,
            time: START,
            actor: user("alice"),
            event,
            once: None,
        };
        let line = summary(&record);
        assert!(
            line.starts_with("alice ") && line.len() > "alice ".len() + 4,
            "{line}"
        );
    }
    let line = |event: &Event| {
        summary(&Record {
            v: 1,
            entry: 1,
            time: START,
            actor: user("alice"),
            event: event.clone(),
            once: None,
        })
    };
    let lines: Vec<String> = object_events().iter().map(line).collect();
    let id = uid(1);
    assert_eq!(
        lines,
        [
            format!("alice created {id}, Symmetric Key AES-256 \"db-1\", pre-active"),
            format!("alice activated {id}"),
            format!("alice deactivated {id}, its date came"),
            format!("alice revoked {id} (Key Compromise), now compromised: lost"),
            format!("alice destroyed {id}, now destroyed (compromised)"),
            format!("alice added Name \"db-2\" to {id}"),
            format!("alice modified {id}: Object Group \"tape\""),
            format!("alice deleted Name (1) of {id}"),
        ]
    );
    let key = |n| node_key(n).to_string();
    let lines: Vec<String> = cluster_events().iter().map(line).collect();
    let told = [
        format!(
            "alice stated that node 1 at node-1.example:9001 has key {}",
            key(1)
        ),
        format!("alice issued join ticket {}", hash(5)),
        format!(
            "alice asked with ticket {} to let in the voter at node-2.example:9001 with key {}",
            hash(5),
            key(2)
        ),
        format!("alice turned away the node with key {}", key(2)),
        format!(
            "alice let in node 2 in place of node 1, a witness at node-2.example:9001 \
             with key {}",
            key(2)
        ),
        "alice confirmed that node 2 is a learner".to_string(),
        "alice began to remove node 2".to_string(),
        "alice removed node 2".to_string(),
        format!("alice rotated the cluster CA to {}", key(9)),
        "alice began lineage 2 with node 2 alone; 3 records may be lost".to_string(),
        format!("alice salvaged {id} of alice from node 1, Symmetric Key AES-256 \"db-1\", active"),
        "alice began scrub 1".to_string(),
        format!("alice reported state {} of node 2 for scrub 1", hash(6)),
        "alice found that nodes 2 and 1 differ at size 1000: changes stop".to_string(),
        "alice resolved the divergence: node 2 had a bad disk".to_string(),
        "alice repaired 2 pieces of segment on node 2".to_string(),
        "alice set Get without a quorum for group tape: 3600 s".to_string(),
    ];
    assert_eq!(lines, told);
    let lines: Vec<String> = appliance_events().iter().map(line).collect();
    let told = [
        "alice set eth0.address of node 1 to \"192.0.2.10/24\"",
        "alice put administrator root with a password and 1 SSH key",
    ];
    assert_eq!(lines, told);
    let lines: Vec<String> = administrator_events().iter().map(line).collect();
    let told = [
        "alice reset the password of administrator eve",
        "alice set 1 SSH key of administrator eve",
        "alice set the permissions of administrator eve: logging, web",
        "alice removed administrator eve",
    ];
    assert_eq!(lines, told);
    for access in accesses() {
        let view = View::of_access(&access);
        let expected = match access_kind(&access) {
            "refused" | "malformed" | "failed" => View::Client,
            "self-tested" => View::System,
            _ => View::Activity,
        };
        assert_eq!(view, expected);
        let record = AccessRecord {
            v: 1,
            time: START,
            actor: user("alice"),
            seen: 1,
            access,
        };
        assert!(access_summary(&record).starts_with("alice "));
    }
}

/// CBOR as people read it: one item a line, indented, with its bytes.
fn annotate(bytes: &[u8]) -> String {
    let mut out = String::new();
    let rest = item(bytes, 0, &mut out);
    assert!(rest.is_empty(), "bytes after the value");
    out
}

fn item<'a>(bytes: &'a [u8], depth: usize, out: &mut String) -> &'a [u8] {
    let (major, info) = (bytes[0] >> 5, bytes[0] & 0x1f);
    let width = match info {
        0..=23 => 0,
        24..=27 => 1usize << (info - 24),
        _ => panic!("indefinite lengths are not deterministic"),
    };
    let argument = match width {
        0 => u64::from(info),
        _ => bytes[1..=width]
            .iter()
            .fold(0, |n, b| n << 8 | u64::from(*b)),
    };
    let (head, mut rest) = bytes.split_at(1 + width);
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    let mut line = |bytes: &[u8], meaning: String| {
        writeln!(
            out,
            "{:indent$}{}  # {meaning}",
            "",
            hex(bytes),
            indent = depth * 2
        )
        .unwrap();
    };
    match major {
        0 => line(head, format!("{argument}")),
        1 => line(head, format!("-{}", argument + 1)),
        2 | 3 => {
            let (content, after) = rest.split_at(usize::try_from(argument).unwrap());
            let meaning = match major {
                2 => format!("{argument} bytes"),
                _ => format!("{:?}", std::str::from_utf8(content).unwrap()),
            };
            line(&[head, content].concat(), meaning);
            rest = after;
        }
        4 => {
            line(head, format!("list of {argument}"));
            for _ in 0..argument {
                rest = item(rest, depth + 1, out);
            }
        }
        5 => {
            line(head, format!("map of {argument}"));
            for _ in 0..2 * argument {
                rest = item(rest, depth + 1, out);
            }
        }
        7 => line(
            head,
            match argument {
                20 => "false".to_string(),
                21 => "true".to_string(),
                22 => "nothing".to_string(),
                other => panic!("simple value {other}"),
            },
        ),
        _ => panic!("tags are not used"),
    }
    rest
}
