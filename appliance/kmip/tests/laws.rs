//! The laws of the codec: what was written is read again, what was read is written again, and no
//! bytes whatever make it panic.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use kmip::ttlv::{self, Writer};
use kmip::{Item, Limits, ProtocolVersion, Request, Response, Tag, Value};
use proptest::prelude::*;

#[path = "laws/any.rs"]
mod any;

fn limits() -> Limits {
    Limits::default()
}

fn request_bytes(request: &Request) -> Vec<u8> {
    let mut out = Vec::new();
    request.encode(&mut out);
    out
}

fn response_bytes(response: &Response) -> Vec<u8> {
    let mut out = Vec::new();
    response.encode(&mut out);
    out
}

/// Accepted or not, nothing panics. What is accepted can be written for its version and read
/// again; what that version does not know falls away in the first pass, nothing in the second.
fn read_anyhow(bytes: &[u8]) {
    if let Ok(root) = ttlv::check(bytes, &limits())
        && let Ok(item) = Item::read(&root)
    {
        let mut again = Vec::new();
        item.write(&mut Writer::new(&mut again));
        assert_eq!(again, bytes, "an accepted tree has one byte form");
    }
    if let Ok(request) = Request::decode(bytes, &limits())
        && request.items.iter().all(|item| item.payload.is_ok())
    {
        let told = Request::decode(&request_bytes(&request), &limits()).unwrap();
        let again = Request::decode(&request_bytes(&told), &limits());
        assert_eq!(again, Ok(told));
    }
    if let Ok(response) = Response::decode(bytes, &limits()) {
        let told = Response::decode(&response_bytes(&response), &limits()).unwrap();
        let again = Response::decode(&response_bytes(&told), &limits());
        assert_eq!(again, Ok(told));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_024, ..ProptestConfig::default() })]

    #[test]
    fn trees_come_back(value in any::value(), number in 0_u32..0x100_0000) {
        let item = Item::new(Tag(number), value);
        let mut out = Vec::new();
        item.write(&mut Writer::new(&mut out));
        let root = ttlv::check(&out, &limits()).unwrap();
        prop_assert_eq!(Item::read(&root).unwrap(), item);
    }

    #[test]
    fn requests_come_back(request in any::version().prop_flat_map(any::request)) {
        let bytes = request_bytes(&request);
        prop_assert_eq!(Request::decode(&bytes, &limits()), Ok(request));
    }

    #[test]
    fn responses_come_back(response in any::version().prop_flat_map(any::response)) {
        let bytes = response_bytes(&response);
        prop_assert_eq!(Response::decode(&bytes, &limits()), Ok(response));
    }

    /// A response made for the newest version is written for any older one: it reads well there,
    /// and nothing more falls away when it is written again.
    #[test]
    fn older_clients_are_told_what_they_know(
        response in any::response(ProtocolVersion::V2_1),
        version in any::version(),
    ) {
        let older = Response { version, ..response };
        let bytes = response_bytes(&older);
        let read = Response::decode(&bytes, &limits());
        prop_assert!(read.is_ok(), "{:?}", read);
        prop_assert_eq!(response_bytes(&read.unwrap()), bytes);
    }

    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        read_anyhow(&bytes);
    }

    /// Bytes that were a message before some of them were changed, cut out or doubled.
    #[test]
    fn damaged_messages_are_survived(
        request in any::version().prop_flat_map(any::request),
        response in any::version().prop_flat_map(any::response),
        damage in proptest::collection::vec((any::<u16>(), any::<u8>(), 0_u8..4), 1..6),
    ) {
        for mut bytes in [request_bytes(&request), response_bytes(&response)] {
            for (at, with, kind) in &damage {
                if bytes.is_empty() {
                    break;
                }
                let at = usize::from(*at) % bytes.len();
                match kind {
                    0 => bytes[at] = *with,
                    1 => bytes[at] ^= 1 << (with % 8),
                    2 => drop(bytes.drain(at..(at + usize::from(*with)).min(bytes.len()))),
                    _ => bytes.insert(at, *with),
                }
            }
            read_anyhow(&bytes);
        }
    }

    /// Messages of a sound frame in which fields were changed, dropped, doubled or moved: this
    /// reaches every reader of every structure.
    #[test]
    fn damaged_fields_are_survived(
        request in any::version().prop_flat_map(any::request),
        response in any::version().prop_flat_map(any::response),
        damage in proptest::collection::vec((any::<u16>(), 0_u8..5, any::value()), 1..5),
    ) {
        for bytes in [request_bytes(&request), response_bytes(&response)] {
            let mut tree = Item::read(&ttlv::check(&bytes, &limits()).unwrap()).unwrap();
            for (at, kind, value) in &damage {
                let mut fields = usize::from(*at) % count(&tree).max(1);
                disturb(&mut tree, &mut fields, *kind, value);
            }
            let mut damaged = Vec::new();
            tree.write(&mut Writer::new(&mut damaged));
            read_anyhow(&damaged);
        }
    }
}

/// Fields below an item, at any depth.
fn count(item: &Item) -> usize {
    item.value
        .as_structure()
        .unwrap_or_default()
        .iter()
        .map(|inner| 1 + count(inner))
        .sum()
}

/// Damages the field that `ahead` fields precede; true when it has done so.
fn disturb(item: &mut Item, ahead: &mut usize, kind: u8, value: &Value) -> bool {
    let Value::Structure(fields) = &mut item.value else {
        return false;
    };
    for at in 0..fields.len() {
        if *ahead == 0 {
            match kind {
                0 => fields[at].value = value.clone(),
                1 => fields[at].tag = Tag(fields[at].tag.0 ^ 1),
                2 => drop(fields.remove(at)),
                3 => fields.insert(at, fields[at].clone()),
                _ => fields.swap(at, 0),
            }
            return true;
        }
        *ahead -= 1;
        if disturb(&mut fields[at], ahead, kind, value) {
            return true;
        }
    }
    false
}
