//! The bytes of frames: golden, round trips, and whatever else may come.

use super::world::hello;
use crate::peers::frame::{HEADER_BYTES, Header, Malformed, Message, decode};
use crate::peers::health::Record;
use crate::peers::limits::READ_BYTES;
use crate::peers::wire::{End, FrameReader, room};
use crate::peers::{FRAME_BYTES_MAX, Hello, Lane, Refused};
use proptest::prelude::*;
use std::time::Duration;

fn encoded(message: &Message) -> Vec<u8> {
    let mut bytes = Vec::new();
    message.encode(&mut bytes).unwrap();
    bytes
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Nodes of different releases must understand each other's first frames for ever.
#[test]
fn golden_frames() {
    assert_eq!(
        hex(&encoded(&Message::Accept)),
        "00000000020000000000000000"
    );
    assert_eq!(
        hex(&encoded(&Message::Heartbeat)),
        "00000000070000000000000000"
    );
    let request = Message::Request(0x0102, b"abc".to_vec());
    assert_eq!(hex(&encoded(&request)), "00000003040000000000000102616263");
    let failure = Message::Failure(3, "no".into());
    assert_eq!(hex(&encoded(&failure)), "000000020600000000000000036e6f");
    let said = Hello {
        cluster_log: None,
        ..hello([1; 16], 2)
    };
    let body = concat!(
        "a2646c616e65016568656c6c6faa6870726f746f636f6c0167636c7573746572",
        "9001010101010101010101010101010101676c696e6561676501646e6f646502",
        "6c6d656d6265725f65706f63680266666f726d6174016776657273696f6e6530",
        "2e312e30676c6f675f656e64076b636c75737465725f6c6f67f66a6163636573",
        "735f6c6f67f6"
    );
    let bytes = encoded(&Message::Hello(Lane::Raft, Box::new(said)));
    assert_eq!(hex(&bytes[HEADER_BYTES..]), body);
    let refusal = encoded(&Message::Refusal(Box::new(Refused::ForeignCluster)));
    let reason = concat!("66726561736f6e", "4f", "6e466f726569676e436c7573746572");
    assert!(hex(&refusal).ends_with(reason), "{}", hex(&refusal));
}

/// A field or a reason that a later release adds must not shut this one out.
#[test]
fn later_releases_are_understood() {
    let mut bytes = encoded(&Message::Refusal(Box::new(Refused::ForeignCluster)));
    let at = bytes
        .windows(14)
        .position(|w| w == b"ForeignCluster")
        .unwrap();
    bytes[at] = b'X';
    let Ok(Message::Refusal(refused)) = decode(&bytes) else {
        panic!("an unknown reason is unreadable");
    };
    let Refused::Other { code, text } = *refused else {
        panic!("{refused} is known");
    };
    assert_eq!(code, "foreign_cluster");
    assert_eq!(text, Refused::ForeignCluster.to_string());
    // `access_log` becomes `zccess_log`: one field unknown, one missing.
    let mut bytes = encoded(&Message::Hello(Lane::Raft, Box::new(hello([1; 16], 2))));
    let at = bytes.windows(10).position(|w| w == b"access_log").unwrap();
    bytes[at] = b'z';
    let Ok(Message::Hello(_, said)) = decode(&bytes) else {
        panic!("an unknown field is unreadable");
    };
    assert_eq!(*said, hello([1; 16], 2));
}

#[test]
fn a_refusal_always_fits() {
    let refused = Refused::NotReady {
        why: "\u{1b}é".repeat(100_000),
    };
    let Ok(Message::Refusal(read)) = decode(&encoded(&Message::Refusal(Box::new(refused)))) else {
        panic!("too long");
    };
    let Refused::Other { code, text } = *read else {
        panic!("the reason is too long to stand alone");
    };
    assert_eq!(code, "not_ready");
    assert!(text.starts_with("not ready to talk") && !text.contains('\u{1b}'));
}

fn text() -> impl Strategy<Value = String> {
    "[ -~äß€]{0,40}"
}

fn refused() -> impl Strategy<Value = Refused> {
    let (n, m) = (any::<u64>(), any::<u32>());
    prop_oneof![
        Just(Refused::ForeignCluster),
        any::<(u16, u16)>().prop_map(|(ours, theirs)| Refused::OtherProtocol { ours, theirs }),
        (m, m).prop_map(|(ours, theirs)| Refused::OtherLineage { ours, theirs }),
        n.prop_map(|node| Refused::UnknownMember { node }),
        n.prop_map(|node| Refused::RemovedMember { node }),
        n.prop_map(|node| Refused::WrongKey { node }),
        (n, n, n).prop_map(|(node, ours, theirs)| Refused::WrongEpoch { node, ours, theirs }),
        (n, n).prop_map(|(asked, answered)| Refused::WrongNode { asked, answered }),
        (n, n, n, text()).prop_map(|(node, had, has, what)| {
            Refused::LogReversion {
                node,
                had,
                has,
                what,
            }
        }),
        (n, n).prop_map(|(node, size)| Refused::DoesNotFit { node, size }),
        (m, m).prop_map(|(needed, theirs)| Refused::FormatTooOld { needed, theirs }),
        text().prop_map(|lane| Refused::MembersOnly { lane }),
        text().prop_map(|why| Refused::NotReady { why }),
        text().prop_map(|what| Refused::Malformed { what }),
        (text(), text()).prop_map(|(code, text)| Refused::Other { code, text }),
    ]
}

fn message() -> impl Strategy<Value = Message> {
    let body = prop::collection::vec(any::<u8>(), 0..300);
    let said = (
        any::<([u8; 16], u32, u64, u64)>(),
        any::<Option<u64>>(),
        text(),
    )
        .prop_map(
            |((cluster, lineage, node, member_epoch), log_end, version)| Hello {
                lineage,
                member_epoch,
                log_end,
                version,
                access_log: log_end.map(|size| (size, [size.to_le_bytes()[0]; 32])),
                ..hello(cluster, node)
            },
        );
    let lane = prop::sample::select(Lane::ALL.to_vec());
    prop_oneof![
        (lane, said).prop_map(|(lane, said)| Message::Hello(lane, Box::new(said))),
        Just(Message::Accept),
        Just(Message::Heartbeat),
        refused().prop_map(|r| Message::Refusal(Box::new(r))),
        (any::<u64>(), body.clone()).prop_map(|(n, body)| Message::Request(n, body)),
        (any::<u64>(), body).prop_map(|(n, body)| Message::Answer(n, body)),
        (any::<u64>(), text()).prop_map(|(n, text)| Message::Failure(n, text)),
    ]
}

/// Everything that comes out of a connection which delivers these bytes, in pieces of `step`.
fn read_all(bytes: Vec<u8>, step: usize, limit: usize) -> (Vec<Message>, End) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(async move {
        let (mut there, here) = tokio::io::duplex(step);
        tokio::spawn(async move {
            use tokio::io::AsyncWriteExt;
            // The reader may have had enough before the end.
            drop(there.write_all(&bytes).await);
        });
        let silence_max = Duration::from_secs(5);
        let mut reader = FrameReader::new(here, limit, silence_max, Record::default());
        let mut messages = Vec::new();
        loop {
            let frame = async {
                let header = reader.header().await?;
                reader.body(header).await
            };
            match frame.await {
                Ok(message) => messages.push(message),
                Err(end) => return (messages, end),
            }
        }
    })
}

proptest! {
    #[test]
    fn every_message_comes_back(message in message()) {
        prop_assert_eq!(decode(&encoded(&message)), Ok(message));
    }

    #[test]
    fn a_stream_of_messages_comes_back_however_it_is_cut(
        messages in prop::collection::vec(message(), 0..8),
        step in 1usize..2_000,
        short in 1usize..14,
    ) {
        let mut bytes: Vec<u8> = messages.iter().flat_map(encoded).collect();
        let (read, end) = read_all(bytes.clone(), step, FRAME_BYTES_MAX);
        prop_assert_eq!(&read, &messages);
        prop_assert_eq!(end, End::Closed);
        // Without its last bytes, the last one is not there, and nothing else changes.
        bytes.truncate(bytes.len().saturating_sub(short.min(HEADER_BYTES)));
        let (read, end) = read_all(bytes, step, FRAME_BYTES_MAX);
        prop_assert_eq!(&read[..], &messages[..messages.len().saturating_sub(1)]);
        prop_assert_eq!(end, End::Closed);
    }

    /// No bytes make the decoder panic, and what it makes is never larger than what it was given.
    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..400), kind in 0u8..9) {
        let decode_one = |bytes: &[u8]| {
            if let Ok(Message::Request(_, body) | Message::Answer(_, body)) = decode(bytes) {
                assert_eq!(body.len() + HEADER_BYTES, bytes.len());
            }
        };
        decode_one(&bytes);
        // The same as the body of each kind, so that more than headers is tried.
        let mut framed = u32::try_from(bytes.len()).unwrap().to_be_bytes().to_vec();
        framed.push(kind);
        framed.extend_from_slice(&[0; 8]);
        framed.extend_from_slice(&bytes);
        decode_one(&framed);
        let (_, end) = read_all(framed, 64, 100);
        prop_assert!(matches!(end, End::Closed | End::Malformed(_)));
    }

    /// A frame of which any byte was changed is another frame or none; it is never misread beyond
    /// its own bytes.
    #[test]
    fn any_damage(message in message(), at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let mut bytes = encoded(&message);
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        match decode(&bytes) {
            Ok(other) => prop_assert!(encoded(&other).len() <= bytes.len() + 2_048),
            Err(malformed) => prop_assert!(!malformed.to_string().is_empty()),
        }
    }

    /// Room is never made for more than twice what has come, or one read, or the whole body.
    #[test]
    fn a_length_that_only_promises_gets_no_room(
        length in 0usize..=FRAME_BYTES_MAX,
        reads in prop::collection::vec(1usize..100_000, 1..200),
    ) {
        let mut has = 0usize;
        for read in reads {
            if has == length {
                break;
            }
            let room = room(length - has, has);
            prop_assert!(room > 0, "a read without room never ends");
            prop_assert!(has + room <= length.min((2 * has).max(has + READ_BYTES)));
            has += read.min(room);
        }
    }
}

#[test]
fn limits_of_each_kind() {
    let header = |length: u32, kind: u8| {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..4].copy_from_slice(&length.to_be_bytes());
        bytes[4] = kind;
        Header::decode(bytes, 10)
    };
    let limits = [
        (1, 4096),
        (2, 0),
        (3, 4096),
        (4, 10),
        (5, 10),
        (6, 1024),
        (7, 0),
    ];
    for (kind, limit) in limits {
        assert_eq!(header(limit, kind).unwrap().length, limit as usize);
        for above in [limit + 1, u32::MAX] {
            let too_long = Malformed::TooLong {
                length: above.into(),
                limit: limit as usize,
            };
            assert_eq!(header(above, kind), Err(too_long));
        }
    }
    for kind in [0, 8, 255] {
        assert_eq!(header(0, kind), Err(Malformed::UnknownKind(kind)));
    }
}
