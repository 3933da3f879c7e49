//! Abuse of port 5696 (ABUSE.md A1 to A6, A8, A28 to A31): each case must be answered or cut off
//! as promised, cost the node no memory, and leave it healthy: every case ends with a good Get of
//! somebody else.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout)] // test code

#[path = "hostile/crowds.rs"]
mod crowds;
#[path = "hostile/strangers.rs"]
mod strangers;

use anyhow::{Context, Result, bail, ensure};
use kmip::{Limits, ProtocolVersion, Response, ResultReason, Tag};
use std::io::Write;
use std::time::{Duration, Instant};
use tests::client::{Client, Trouble, create_request, get_request, read_message};
use tests::dice::Dice;
use tests::node::{Node, Site};

/// Growth of resident memory that a whole kind of abuse may leave behind (A2: under 2 MiB).
const GROWTH_BYTES_MAX: u64 = 2 << 20;
/// Slack on top of a promised time limit, for a busy machine.
const SLACK: Duration = Duration::from_secs(6);

const STRUCTURE: u8 = 1;
const INTEGER: u8 = 2;
const ENUMERATION: u8 = 5;
const TEXT: u8 = 7;
const BYTES: u8 = 8;

/// A TTLV item with its padding.
fn item(tag: u32, kind: u8, value: &[u8]) -> Vec<u8> {
    let mut bytes = tag.to_be_bytes()[1..].to_vec();
    bytes.push(kind);
    bytes.extend(u32::try_from(value.len()).expect("small").to_be_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes
}

fn structure(tag: Tag, parts: &[Vec<u8>]) -> Vec<u8> {
    item(tag.0, STRUCTURE, &parts.concat())
}

fn integer(tag: Tag, value: i32) -> Vec<u8> {
    item(tag.0, INTEGER, &value.to_be_bytes())
}

fn header(version: (i32, i32), count: i32) -> Vec<u8> {
    let version = structure(
        Tag::PROTOCOL_VERSION,
        &[
            integer(Tag::PROTOCOL_VERSION_MAJOR, version.0),
            integer(Tag::PROTOCOL_VERSION_MINOR, version.1),
        ],
    );
    structure(
        Tag::REQUEST_HEADER,
        &[version, integer(Tag::BATCH_COUNT, count)],
    )
}

fn batch_item(operation: u32, payload: &[Vec<u8>]) -> Vec<u8> {
    let operation = item(Tag::OPERATION.0, ENUMERATION, &operation.to_be_bytes());
    structure(
        Tag::BATCH_ITEM,
        &[operation, structure(Tag::REQUEST_PAYLOAD, payload)],
    )
}

fn message(header: Vec<u8>, items: &[Vec<u8>]) -> Vec<u8> {
    structure(Tag::REQUEST_MESSAGE, &[header, items.concat()])
}

/// A request of one operation, version 1.4.
fn request(operation: u32, payload: &[Vec<u8>]) -> Vec<u8> {
    message(header((1, 4), 1), &[batch_item(operation, payload)])
}

const CREATE: u32 = 0x01;
const LOCATE: u32 = 0x08;
const GET: u32 = 0x0A;
const QUERY: u32 = 0x18;

/// What came back for a hostile message.
#[derive(Debug)]
enum Reaction {
    /// A failure with this reason, and whether the connection goes on.
    Refused { reason: ResultReason, open: bool },
    /// A success.
    Accepted,
    /// The connection was closed without an answer.
    Closed,
}

struct Scene {
    site: Site,
    node: Node,
    uid: String,
    key: Vec<u8>,
}

impl Scene {
    fn new() -> Result<Self> {
        let site = Site::new()?;
        let node = site.start()?;
        let mut client = node.client()?;
        let uid = client.create(Some("healthy"), 256)?;
        let key = client.get(&uid)?;
        // Warm: thread stacks, TLS buffers and allocator arenas are there before anything is
        // measured.
        for _ in 0..16 {
            let mut client = node.client()?;
            (0..8).try_for_each(|_| client.get(&uid).map(drop))?;
        }
        Ok(Self {
            site,
            node,
            uid,
            key,
        })
    }

    /// A new client gets the right key, soon.
    fn is_healthy(&self) -> Result<()> {
        let began = Instant::now();
        ensure!(
            self.node.client()?.get(&self.uid)? == self.key,
            "a healthy Get: other bytes"
        );
        let took = began.elapsed();
        ensure!(took < Duration::from_secs(5), "a healthy Get took {took:?}");
        Ok(())
    }

    fn react(&self, hostile: &[u8]) -> Result<Reaction> {
        let mut client = self.node.client()?;
        let answer = match client.exchange(hostile) {
            Ok(answer) => answer,
            Err(_) => return Ok(Reaction::Closed),
        };
        let mut response = Response::decode(&answer, &Limits::default())?;
        let open = client.get(&self.uid).is_ok();
        match response.items.pop().context("an item")?.result {
            Ok(_) => Ok(Reaction::Accepted),
            Err(failure) => Ok(Reaction::Refused {
                reason: failure.reason,
                open,
            }),
        }
    }

    /// Does something many times and holds the node's memory against it.
    fn costs_no_memory(
        &self,
        what: &str,
        times: usize,
        mut act: impl FnMut() -> Result<()>,
    ) -> Result<()> {
        (0..times / 4 + 1).try_for_each(|_| act())?;
        let before = self.node.resident_bytes()?;
        (0..times).try_for_each(|_| act())?;
        let after = self.node.resident_bytes()?;
        let growth = after.saturating_sub(before);
        ensure!(
            growth < GROWTH_BYTES_MAX,
            "{what}: {before} -> {after} bytes resident"
        );
        self.is_healthy().with_context(|| format!("after {what}"))
    }

    /// The message is refused as Invalid Message, or cut off, and the connection ends.
    fn is_cut_off(&self, what: &str, hostile: &[u8]) -> Result<()> {
        match self.react(hostile).with_context(|| what.to_owned())? {
            Reaction::Closed => Ok(()),
            Reaction::Refused {
                reason: ResultReason::INVALID_MESSAGE,
                open: false,
            } => Ok(()),
            // 1.4 has a reason of its own for what is too large to answer.
            Reaction::Refused {
                reason: ResultReason::RESPONSE_TOO_LARGE,
                ..
            } => Ok(()),
            other => bail!("{what}: {other:?}"),
        }
    }
}

#[test]
fn bombs_of_nesting_length_and_number() -> Result<()> {
    let scene = Scene::new()?;
    let nested = (0..10_000).fold(Vec::new(), |inner: Vec<u8>, _| {
        // Built from the inside out; 8 bytes a level.
        let mut outer = vec![0x42, 0x00, 0x79, STRUCTURE];
        outer.extend(u32::try_from(inner.len()).expect("small").to_be_bytes());
        outer.extend(inner);
        outer
    });
    let just_too_deep = (0..33).fold(Vec::new(), |inner, _| {
        structure(Tag::REQUEST_PAYLOAD, &[inner])
    });
    let raw = |bytes: &[u8]| bytes.to_vec();
    let many = |count: usize| {
        let items: Vec<_> = (0..count).map(|_| batch_item(QUERY, &[])).collect();
        message(header((1, 4), i32::try_from(count).expect("small")), &items)
    };
    let child_beyond_parent = {
        let mut bytes = request(QUERY, &[]);
        bytes[15] = 0xF0; // length of the request header, beyond the message
        bytes
    };
    let bad_padding = {
        let mut bytes = request(GET, &[item(Tag::UNIQUE_IDENTIFIER.0, TEXT, b"abc")]);
        let last = bytes.len() - 1;
        bytes[last] = 0xFF;
        bytes
    };
    let attributes: Vec<_> = (0..5_000)
        .map(|n: u32| {
            let name = item(Tag::ATTRIBUTE_NAME.0, TEXT, format!("x-{n}").as_bytes());
            structure(
                Tag::ATTRIBUTE,
                &[name, item(Tag::ATTRIBUTE_VALUE.0, TEXT, b"v")],
            )
        })
        .collect();
    let bombs: Vec<(&str, Vec<u8>)> = vec![
        ("10,000 levels", request(QUERY, &[nested])),
        ("33 levels", request(QUERY, &[just_too_deep])),
        (
            "length 0xFFFFFFF8",
            raw(b"\x42\x00\x78\x01\xFF\xFF\xFF\xF8"),
        ),
        (
            "length 0x7FFFFFF8",
            raw(b"\x42\x00\x78\x01\x7F\xFF\xFF\xF8"),
        ),
        (
            "length no multiple of 8",
            raw(b"\x42\x00\x78\x01\x00\x00\x00\x09AAAAAAAAA"),
        ),
        ("length 0", raw(b"\x42\x00\x78\x01\x00\x00\x00\x00")),
        ("not KMIP", raw(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")),
        ("a response", raw(b"\x42\x00\x7b\x01\x00\x00\x00\x00")),
        ("child beyond its parent", child_beyond_parent),
        ("padding that is not zero", bad_padding),
        ("300 items", many(300)),
        ("10,000 items", many(10_000)),
        (
            "a count of 2^31-1",
            message(header((1, 4), i32::MAX), &[batch_item(QUERY, &[])]),
        ),
        (
            "a count of -1",
            message(header((1, 4), -1), &[batch_item(QUERY, &[])]),
        ),
        ("no items", message(header((1, 4), 0), &[])),
    ];
    for (what, bomb) in &bombs {
        scene.is_cut_off(what, bomb)?;
    }
    // A list of attributes is in one item: that item is refused, not the connection.
    let template = structure(Tag::TEMPLATE_ATTRIBUTE, &attributes);
    let kind = item(Tag::OBJECT_TYPE.0, ENUMERATION, &2_u32.to_be_bytes());
    let reaction = scene.react(&request(CREATE, &[kind, template]))?;
    ensure!(
        matches!(reaction, Reaction::Refused { .. } | Reaction::Closed),
        "{reaction:?}"
    );
    scene.costs_no_memory("bombs", 8, || {
        bombs
            .iter()
            .try_for_each(|(_, bomb)| scene.react(bomb).map(drop))
    })
}

#[test]
fn wrong_types_and_unknown_things_are_answered_precisely() -> Result<()> {
    let scene = Scene::new()?;
    let uid = |kind: u8, value: &[u8]| item(Tag::UNIQUE_IDENTIFIER.0, kind, value);
    let own = scene.uid.as_bytes();
    let cases: Vec<(&str, Vec<u8>)> = vec![
        (
            "identifier as Integer",
            request(GET, &[uid(INTEGER, &[0, 0, 0, 1])]),
        ),
        ("identifier as bytes", request(GET, &[uid(BYTES, own)])),
        (
            "identifier twice",
            request(GET, &[uid(TEXT, own), uid(TEXT, own)]),
        ),
        (
            "identifier that is no UTF-8",
            request(GET, &[uid(TEXT, b"\xFF\xFE\xFD")]),
        ),
        ("identifier empty", request(GET, &[uid(TEXT, b"")])),
        (
            "identifier of 64 KiB",
            request(GET, &[uid(TEXT, &vec![b'a'; 65536])]),
        ),
        (
            "identifier with a path",
            request(GET, &[uid(TEXT, b"../../../etc/shadow")]),
        ),
        (
            "identifier with SQL",
            request(GET, &[uid(TEXT, b"' OR 1=1 --")]),
        ),
        ("identifier with NUL", request(GET, &[uid(TEXT, b"a\0b")])),
        (
            "an unknown tag",
            request(GET, &[uid(TEXT, own), item(0x42FFFE, TEXT, b"x")]),
        ),
        ("an unknown operation", request(0x7777_7777, &[])),
        ("Create of nothing", request(CREATE, &[])),
        (
            "Create of an unknown type",
            request(
                CREATE,
                &[item(Tag::OBJECT_TYPE.0, ENUMERATION, &[0x7F, 0, 0, 1])],
            ),
        ),
        (
            "Locate of -1 items",
            request(
                LOCATE,
                &[item(Tag::MAXIMUM_ITEMS.0, INTEGER, &(-1_i32).to_be_bytes())],
            ),
        ),
        (
            "version 9.9",
            message(header((9, 9), 1), &[batch_item(QUERY, &[])]),
        ),
        (
            "version -1.0",
            message(header((-1, 0), 1), &[batch_item(QUERY, &[])]),
        ),
    ];
    for (what, hostile) in &cases {
        match scene.react(hostile).with_context(|| (*what).to_owned())? {
            Reaction::Refused { .. } | Reaction::Closed => {}
            Reaction::Accepted => bail!("{what} was accepted"),
        }
    }
    // Things that concern one item only must leave the connection alone, with the right reason.
    let lasting = [
        (
            &cases[0].1,
            vec![ResultReason::INVALID_DATA_TYPE, ResultReason::INVALID_FIELD],
        ),
        (&cases[6].1, vec![ResultReason::ITEM_NOT_FOUND]),
        (&cases[10].1, vec![ResultReason::OPERATION_NOT_SUPPORTED]),
    ];
    for (hostile, reasons) in lasting {
        match scene.react(hostile)? {
            Reaction::Refused { reason, open } => {
                let known = reasons.iter().map(|r| r.for_version(ProtocolVersion::V1_4));
                let right = reasons.contains(&reason) || known.into_iter().any(|r| r == reason);
                ensure!(
                    right && open,
                    "{reason}, open: {open}; expected {reasons:?}"
                );
            }
            other => bail!("{other:?} in place of {reasons:?}"),
        }
    }
    scene.is_healthy()
}

#[test]
fn thousands_of_mutants() -> Result<()> {
    let scene = Scene::new()?;
    let mut dice = Dice::new(Dice::seed_of_run());
    let client = scene.node.client()?;
    let seeds = [
        client.encode(vec![get_request(&scene.uid)]),
        client.encode(vec![create_request(Some("mutant"), 256)]),
        client.encode(vec![get_request(&scene.uid), create_request(None, 128)]),
    ];
    scene.costs_no_memory("mutants", 1_500, || {
        let mut bytes = dice.pick(&seeds).context("seeds")?.clone();
        for _ in 0..=dice.below(4) {
            let at = usize::try_from(dice.below(bytes.len() as u64))?;
            bytes[at] = u8::try_from(dice.below(256))?;
        }
        let mut stream = scene.node.client()?;
        stream
            .stream()
            .sock
            .set_read_timeout(Some(Duration::from_millis(300)))?;
        // An answer, a close or silence (a longer length was declared): anything but a crash.
        drop(stream.exchange(&bytes));
        Ok(())
    })
}

/// No existence oracle: what is somebody else's and what is not there are refused alike.
#[test]
fn guessing_identifiers_tells_nothing() -> Result<()> {
    let scene = Scene::new()?;
    let mut stranger = Client::connect(scene.node.kmip(), &scene.node.identity("demo2"))?;
    let mut absent = scene.uid.clone();
    let last = absent.pop().context("an identifier")?;
    absent.push(if last == '0' { '1' } else { '0' });
    type Try = fn(&mut Client, &str) -> Result<(), Trouble>;
    let tries: [(&str, Try); 5] = [
        ("Get", |client, uid| client.get(uid).map(drop)),
        ("Get Attributes", |client, uid| {
            client.attribute(uid, Tag::STATE).map(drop)
        }),
        ("Activate", |client, uid| client.activate(uid)),
        ("Revoke", |client, uid| client.revoke(uid)),
        ("Destroy", |client, uid| client.destroy(uid)),
    ];
    for (operation, attempt) in tries {
        let mut told = Vec::new();
        for uid in [&scene.uid, &absent] {
            match attempt(&mut stranger, uid) {
                Err(Trouble::Denied(failure)) => {
                    let reason = failure.reason;
                    ensure!(
                        reason == ResultReason::ITEM_NOT_FOUND,
                        "{operation}: {failure}"
                    );
                    told.push(failure.message.replace(uid.as_str(), "UID"));
                }
                other => bail!("{operation} by a stranger: {other:?}"),
            }
        }
        ensure!(told[0] == told[1], "{operation} tells them apart: {told:?}");
    }
    ensure!(
        stranger.locate(Some("healthy"))?.is_empty(),
        "Locate finds what is not theirs"
    );
    ensure!(
        stranger.locate(None)?.is_empty(),
        "Locate of all finds what is not theirs"
    );
    scene.is_healthy()
}

#[test]
fn locate_of_everything_is_bounded() -> Result<()> {
    let scene = Scene::new()?;
    let mut client = scene.node.client()?;
    for _ in 0..6 {
        let creates = (0..250).map(|_| create_request(None, 128)).collect();
        for answer in client.batch(creates)? {
            answer?;
        }
    }
    let began = Instant::now();
    let found = client.locate(None)?;
    ensure!(
        found.len() <= 1_000,
        "{} identifiers in one answer",
        found.len()
    );
    ensure!(
        found.len() >= 500,
        "only {} identifiers of 1,501",
        found.len()
    );
    ensure!(
        began.elapsed() < Duration::from_secs(2) + SLACK,
        "it took {:?}",
        began.elapsed()
    );
    scene.is_healthy()
}

#[test]
fn names_that_want_to_be_more_than_names() -> Result<()> {
    let scene = Scene::new()?;
    let mut client = scene.node.client()?;
    let long = "a".repeat(65_536);
    let refused = [
        "line\nbreak",
        "nul\0byte",
        "bell\x07",
        "esc\x1b[31m",
        "\u{202e}txt.exe",
        &long,
    ];
    for name in refused {
        match client.create(Some(name), 256) {
            Err(Trouble::Denied(failure)) => {
                ensure!(failure.message.len() > 10, "{name:?}: {failure}");
            }
            Err(other) => bail!("{name:?}: {other}"),
            Ok(uid) => bail!("{:?} became the name of {uid}", name.chars().take(20)),
        }
    }
    let kept = [
        "../../etc/passwd",
        "'; DROP TABLE keys; --",
        "=cmd|' /C calc'!A0",
        "Schlüssel ключ 鍵",
    ];
    for name in kept {
        let uid = client
            .create(Some(name), 256)
            .with_context(|| format!("{name:?}"))?;
        ensure!(
            client.locate(Some(name))? == [uid],
            "{name:?} is not found again"
        );
    }
    // One event a line, whatever the names; and nothing that a terminal would obey.
    let lines = scene.node.json_lines(&["log", "show", "--view", "audit"])?;
    ensure!(
        lines.len() > kept.len(),
        "{} lines in the audit view",
        lines.len()
    );
    let text = scene.node.run(&["log", "show", "--view", "audit"])?;
    ensure!(
        !text.contains('\x1b') && !text.contains('\u{202e}'),
        "the log shows what it was told"
    );
    scene.node.verified_bundle(&scene.site.beside("bundle"))?;
    scene.is_healthy()
}

#[test]
fn pieces_and_pipelines() -> Result<()> {
    let scene = Scene::new()?;
    let mut client = scene.node.client()?;
    let one = client.encode(vec![get_request(&scene.uid)]);
    // A message in three-byte pieces.
    for piece in one.chunks(3) {
        client.stream().write_all(piece)?;
        client.stream().flush()?;
    }
    let answer = read_message(client.stream())?;
    // Twenty messages at once are answered in order.
    let twenty = one.repeat(20);
    client.stream().write_all(&twenty)?;
    client.stream().flush()?;
    for _ in 0..20 {
        let next = read_message(client.stream())?;
        ensure!(next.len() == answer.len(), "another answer in a pipeline");
    }
    // A client that goes away in the middle of a message, again and again.
    scene.costs_no_memory("broken off", 60, || {
        let mut client = scene.node.client()?;
        client.stream().write_all(&one[..one.len() / 2])?;
        client.stream().flush()?;
        Ok(())
    })
}
