//! What attackers send: every truncation and every flipped bit of real messages, and messages
//! made to cost memory or stack. Memory is counted by the allocator itself.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use kmip::operations::*;
use kmip::ttlv::{self, Writer};
use kmip::*;

/// Counts what this thread holds and the most it ever held.
struct Counting;

thread_local! {
    static HELD: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
}

/// JUSTIFICATION: a test of "no memory from declared lengths" has to see every allocation.
/// SAFETY: both functions hand their arguments on to the system allocator unchanged, and the
/// counter beside it neither allocates nor unwinds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = HELD.try_with(|held| {
            let (now, most) = held.get();
            let now = now.saturating_add(layout.size());
            held.set((now, most.max(now)));
        });
        // SAFETY: the caller keeps the contract of GlobalAlloc::alloc.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, bytes: *mut u8, layout: Layout) {
        let _ = HELD.try_with(|held| {
            let (now, most) = held.get();
            held.set((now.saturating_sub(layout.size()), most));
        });
        // SAFETY: the caller keeps the contract of GlobalAlloc::dealloc.
        unsafe { System.dealloc(bytes, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The most bytes that were held at once during a call, beyond what was held before.
fn peak<T>(call: impl FnOnce() -> T) -> (T, usize) {
    let before = HELD.with(|held| {
        let (now, _) = held.get();
        held.set((now, now));
        now
    });
    let result = call();
    (result, HELD.with(|held| held.get().1) - before)
}

fn written(item: &Item) -> Vec<u8> {
    let mut out = Vec::new();
    item.write(&mut Writer::new(&mut out));
    out
}

/// The messages that MongoDB, PyKMIP, VMware and storage arrays exchange with a server.
fn messages() -> Vec<Vec<u8>> {
    let key = || {
        let block = KeyBlock::raw(
            vec![0x5A; 32].into(),
            Some(CryptographicAlgorithm::AES),
            Some(256),
        );
        Object::SymmetricKey(block)
    };
    let attributes = || {
        vec![
            Attribute::name("volume-7"),
            Attribute::standard(Tag::CRYPTOGRAPHIC_LENGTH, Value::Integer(256)),
            Attribute::custom("Product", "vSphere"),
        ]
    };
    let template = attributes::Template::of(attributes());
    let requests = [
        (
            ProtocolVersion::V1_0,
            RequestPayload::Register(RegisterRequest {
                object: key(),
                template: template.clone(),
                protection_storage_masks: Vec::new(),
            }),
        ),
        (
            ProtocolVersion::V2_1,
            RequestPayload::Create(CreateRequest {
                object_type: ObjectType::SYMMETRIC_KEY,
                template,
                protection_storage_masks: vec![3],
            }),
        ),
        (
            ProtocolVersion::V1_4,
            RequestPayload::Locate(LocateRequest {
                maximum_items: Some(1),
                attributes: attributes(),
                ..LocateRequest::default()
            }),
        ),
    ];
    let mut messages = Vec::new();
    for (version, payload) in requests {
        let mut request = Request::of(version, payload);
        request
            .header
            .credentials
            .push(Credential::password("array", "secret"));
        let mut out = Vec::new();
        request.encode(&mut out);
        messages.push(out);
    }
    for version in [ProtocolVersion::V1_1, ProtocolVersion::V2_0] {
        let get = GetResponse {
            unique_identifier: "a-1".to_owned(),
            object: key(),
        };
        let list = GetAttributesResponse {
            unique_identifier: "a-1".to_owned(),
            attributes: attributes(),
        };
        let mut out = Vec::new();
        let item = |payload: ResponsePayload| ResponseItem {
            operation: Some(payload.operation()),
            id: Some(vec![1]),
            result: Ok(payload),
        };
        let response = Response {
            version,
            time_stamp: 1_700_000_000,
            client_correlation_value: None,
            server_correlation_value: None,
            items: vec![
                item(ResponsePayload::Get(get)),
                item(ResponsePayload::GetAttributes(list)),
            ],
        };
        response.encode(&mut out);
        messages.push(out);
    }
    messages
}

/// Reads the bytes as both kinds of message; true when either accepts them.
fn accepted(bytes: &[u8]) -> bool {
    let request = Request::decode(bytes, &Limits::default()).is_ok();
    Response::decode(bytes, &Limits::default()).is_ok() || request
}

/// What a message may cost in memory: the structs are a few times larger than their bytes.
fn budget(bytes: &[u8]) -> usize {
    16 * bytes.len() + 16_384
}

#[test]
fn every_truncation_is_refused() {
    for message in messages() {
        assert!(accepted(&message));
        for length in 0..message.len() {
            let (accepted, held) = peak(|| accepted(&message[..length]));
            assert!(
                !accepted,
                "{length} of {} bytes were accepted",
                message.len()
            );
            assert!(held <= budget(&message), "{length} bytes took {held}");
        }
        // And with the outermost length corrected, so that the cut is somewhere inside.
        for length in (8..message.len()).step_by(8) {
            let mut cut = message[..length].to_vec();
            cut[4..8].copy_from_slice(&u32::try_from(length - 8).unwrap().to_be_bytes());
            assert!(
                !accepted(&cut),
                "{length} of {} bytes were accepted",
                message.len()
            );
        }
    }
}

#[test]
fn every_flipped_bit_is_survived() {
    let mut flips = 0;
    for message in messages() {
        for bit in 0..message.len() * 8 {
            let mut flipped = message.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let (_, held) = peak(|| accepted(&flipped));
            assert!(held <= budget(&message), "bit {bit} took {held} bytes");
            flips += 1;
        }
    }
    assert!(flips > 10_000, "{flips}");
}

/// A2: a header that declares 4 GiB costs nothing.
#[test]
fn declared_lengths_reserve_nothing() {
    for declared in [0xFFFF_FFF8_u32, 0x7FFF_FFF8, 0x0010_0000] {
        let mut bytes = vec![0x42, 0x00, 0x78, 0x01];
        bytes.extend(declared.to_be_bytes());
        let (outcome, held) = peak(|| Request::decode(&bytes, &Limits::default()).is_ok());
        assert!(!outcome && held < 1_024, "{declared:#X} took {held} bytes");
    }
}

/// A1: as deep as 1 MiB can nest.
#[test]
fn a_nesting_bomb_is_refused_in_constant_memory() {
    let levels = (1 << 17) - 1;
    let mut bomb = Vec::new();
    for level in 0..levels {
        bomb.extend([0x42, 0x00, 0x78, 0x01]);
        bomb.extend(
            u32::try_from((levels - level - 1) * 8)
                .unwrap()
                .to_be_bytes(),
        );
    }
    let (outcome, held) = peak(|| ttlv::check(&bomb, &Limits::default()).map(|_| ()));
    assert!(matches!(
        outcome.unwrap_err().fault,
        ttlv::Fault::TooDeep { .. }
    ));
    assert!(held < 1_024, "{held} bytes");
    assert!(!accepted(&bomb));
}

/// A3: 1 MiB of the smallest fields, in one structure and spread over many.
#[test]
fn a_field_bomb_is_bounded() {
    let smallest = || Item::new(Tag::ATTRIBUTE_VALUE, Value::Structure(Vec::new()));
    let wide = Item::new(
        Tag::REQUEST_MESSAGE,
        Value::Structure((0..100_000).map(|_| smallest()).collect()),
    );
    let spread = Item::new(
        Tag::REQUEST_MESSAGE,
        Value::Structure(
            (0..250)
                .map(|_| {
                    let fields = (0..500).map(|_| smallest()).collect();
                    Item::new(Tag::BATCH_ITEM, Value::Structure(fields))
                })
                .collect(),
        ),
    );
    for bomb in [wide, spread] {
        let bytes = written(&bomb);
        assert!(bytes.len() < Limits::MESSAGE_BYTES_DEFAULT);
        let (outcome, held) = peak(|| ttlv::check(&bytes, &Limits::default()).is_ok());
        assert!(!outcome && held < 1_024, "{held} bytes");
    }
}

/// The most that an accepted message can make of its bytes: a vendor attribute that is one great
/// tree of the smallest fields.
#[test]
fn the_dearest_accepted_message_stays_under_two_mebibytes() {
    let smallest = || Item::new(Tag::NAME, Value::Structure(Vec::new()));
    let branch = || {
        Item::new(
            Tag::NAME,
            Value::Structure((0..2_000).map(|_| smallest()).collect()),
        )
    };
    let value = Value::Structure((0..16).map(|_| branch()).collect());
    let attribute = Attribute {
        name: AttributeName::custom("tree"),
        index: None,
        value,
    };
    let add = AddAttributeRequest {
        unique_identifier: None,
        attribute,
    };
    let request = Request::of(ProtocolVersion::V1_4, RequestPayload::AddAttribute(add));
    let mut bytes = Vec::new();
    request.encode(&mut bytes);
    let (read, held) = peak(|| Request::decode(&bytes, &Limits::default()));
    assert_eq!(read, Ok(request));
    assert!(
        held < 2 << 20,
        "{held} bytes for a message of {}",
        bytes.len()
    );
}
