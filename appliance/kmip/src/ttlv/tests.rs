//! The frame: the examples of the specification, and every way to get it wrong.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use super::*;

/// A tag whose name says nothing, as in the examples of the specification.
const TAG: Tag = Tag(0x420020);

fn written(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    value.write(TAG, &mut Writer::new(&mut out));
    out
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(pair).collect()
}

/// KMIP 1.4 §9.1.2.
#[test]
fn examples_of_the_specification() {
    let inner = vec![
        Item::new(Tag(0x420004), Value::Enumeration(254)),
        Item::new(Tag(0x420005), Value::Integer(255)),
    ];
    let big = hex("0000000003FD35EB6BC2DF4618080000");
    let cases = [
        (Value::Integer(8), "42002002 00000004 0000000800000000"),
        (
            Value::LongInteger(123_456_789_000_000_000),
            "42002003 00000008 01B69B4BA5749200",
        ),
        (
            Value::BigInteger(big),
            "42002004 00000010 0000000003FD35EB6BC2DF4618080000",
        ),
        (
            Value::Enumeration(255),
            "42002005 00000004 000000FF00000000",
        ),
        (Value::Boolean(true), "42002006 00000008 0000000000000001"),
        (
            Value::Text("Hello World".to_owned()),
            "42002007 0000000B 48656C6C6F20576F726C640000000000",
        ),
        (
            Value::Bytes(vec![1, 2, 3]),
            "42002008 00000003 0102030000000000",
        ),
        (
            Value::DateTime(0x47DA_67F8),
            "42002009 00000008 0000000047DA67F8",
        ),
        (
            Value::Interval(864_000),
            "4200200A 00000004 000D2F0000000000",
        ),
        (
            Value::Structure(inner),
            "42002001 00000020 42000405 00000004 000000FE00000000 42000502 00000004 \
             000000FF00000000",
        ),
        (
            Value::DateTimeExtended(-1),
            "4200200B 00000008 FFFFFFFFFFFFFFFF",
        ),
    ];
    for (value, bytes) in cases {
        let bytes = hex(bytes);
        assert_eq!(written(&value), bytes, "{value:?}");
        let field = check(&bytes, &Limits::default()).unwrap();
        assert_eq!(Item::read(&field).unwrap(), Item::new(TAG, value));
    }
}

#[test]
fn faults_of_the_frame_have_names_and_places() {
    let available = |available| Fault::HeaderCut { available };
    let length = |item_type, length| Fault::WrongLength {
        tag: TAG,
        item_type,
        length,
    };
    let overrun = |length, available| Fault::Overrun {
        tag: TAG,
        length,
        available,
    };
    let parent = Tag(0x420020);
    let cases = [
        ("", 0, available(0)),
        ("42002002 000000", 0, available(7)),
        (
            "42002000 00000000",
            0,
            Fault::UnknownType {
                tag: TAG,
                number: 0,
            },
        ),
        (
            "4200200C 00000000",
            0,
            Fault::UnknownType {
                tag: TAG,
                number: 12,
            },
        ),
        (
            "42002002 00000008 0000000000000000",
            0,
            length(ItemType::Integer, 8),
        ),
        (
            "42002003 00000004 0000000000000000",
            0,
            length(ItemType::LongInteger, 4),
        ),
        ("42002004 00000000", 0, length(ItemType::BigInteger, 0)),
        (
            "42002004 00000009 0000000000000000",
            0,
            length(ItemType::BigInteger, 9),
        ),
        (
            "42002006 00000001 0000000000000000",
            0,
            length(ItemType::Boolean, 1),
        ),
        (
            "42002001 00000004 00000000",
            0,
            length(ItemType::Structure, 4),
        ),
        ("42002008 FFFFFFF8", 0, overrun(0xFFFF_FFF8, 0)),
        ("42002008 FFFFFFFF", 0, overrun(0xFFFF_FFFF, 0)),
        ("42002007 00000003 41424300", 0, overrun(3, 4)),
        (
            "42002007 00000003 4142430000000001",
            0,
            Fault::Padding { tag: TAG },
        ),
        (
            "42002002 00000004 0000000100000001",
            0,
            Fault::Padding { tag: TAG },
        ),
        (
            "42002008 00000000 0000000000000000",
            8,
            Fault::Trailing { extra: 8 },
        ),
        // A child that reaches beyond its parent into its parent's sibling.
        (
            "42002001 00000018 42002001 00000008 42002002 00000004 0000000000000000",
            16,
            overrun(4, 0),
        ),
        (
            "42002001 00000010 42002002 00000004 0000000000000001",
            8,
            Fault::Padding { tag: parent },
        ),
    ];
    for (bytes, offset, fault) in cases {
        let wrong = check(&hex(bytes), &Limits::default()).unwrap_err();
        assert_eq!(wrong, Malformed { offset, fault }, "{bytes}");
    }
}

#[test]
fn faults_of_values_have_names() {
    let text = hex("42002007 00000002 C328000000000000");
    let field = check(&text, &Limits::default()).unwrap();
    assert_eq!(field.text().unwrap_err().fault, Fault::NotText { tag: TAG });
    let found = ItemType::TextString;
    let fault = Fault::WrongType {
        tag: TAG,
        expected: ItemType::Integer,
        found,
    };
    assert_eq!(field.integer().unwrap_err().fault, fault);
    let boolean = hex("42002006 00000008 0000000000000002");
    let field = check(&boolean, &Limits::default()).unwrap();
    assert_eq!(
        field.boolean().unwrap_err().fault,
        Fault::NotBoolean { tag: TAG }
    );
}

fn nested(levels: usize) -> Vec<u8> {
    let mut value = Value::Structure(Vec::new());
    for _ in 1..levels {
        value = Value::Structure(vec![Item::new(TAG, value)]);
    }
    written(&value)
}

#[test]
fn nesting_ends_at_the_limit() {
    let limits = Limits::default();
    assert!(check(&nested(limits.depth), &limits).is_ok());
    let wrong = check(&nested(limits.depth + 1), &limits).unwrap_err();
    assert_eq!(
        wrong.fault,
        Fault::TooDeep {
            tag: TAG,
            limit: 32
        }
    );
    let shallow = Limits { depth: 3, ..limits };
    assert!(check(&nested(3), &shallow).is_ok());
    assert!(check(&nested(4), &shallow).is_err());
    let beyond_the_stack = Limits {
        depth: 1_000,
        ..limits
    };
    assert!(check(&nested(33), &beyond_the_stack).is_err());
}

#[test]
fn fields_end_at_the_limits() {
    let fields = |n| {
        let one = Item::new(TAG, Value::Structure(Vec::new()));
        Value::Structure(vec![one; n])
    };
    let limits = Limits {
        items_per_structure: 4,
        items_per_message: 9,
        ..Limits::default()
    };
    assert!(check(&written(&fields(4)), &limits).is_ok());
    let fault = check(&written(&fields(5)), &limits).unwrap_err().fault;
    assert_eq!(fault, Fault::TooManyFields { tag: TAG, limit: 4 });
    let two = |n| Value::Structure(vec![Item::new(TAG, fields(3)), Item::new(TAG, fields(n))]);
    assert!(check(&written(&two(3)), &limits).is_ok());
    let fault = check(&written(&two(4)), &limits).unwrap_err().fault;
    assert_eq!(fault, Fault::TooManyItems { limit: 9 });
}

#[test]
fn the_first_bytes_tell_the_length() {
    let header = |text| <[u8; 8]>::try_from(hex(text)).unwrap();
    assert_eq!(
        message_length(&header("42007801 00000090"), 1 << 20),
        Ok(152)
    );
    assert_eq!(message_length(&header("42007B01 00000000"), 1 << 20), Ok(8));
    let too_long = message_length(&header("42007801 FFFFFFF8"), 1 << 20).unwrap_err();
    assert!(matches!(
        too_long.fault,
        Fault::TooLong {
            limit: 1_048_576,
            ..
        }
    ));
    for (header_bytes, what) in [
        (*b"GET / HT", "an HTTP request"),
        (header("16030100 F4010000"), "a TLS hello"),
        (
            header("42007802 00000004"),
            "a request that is no structure",
        ),
        (header("42007801 00000091"), "a length of no multiple of 8"),
    ] {
        assert!(message_length(&header_bytes, 1 << 20).is_err(), "{what}");
    }
    let exactly = message_length(&header("42007801 00000018"), 32);
    assert_eq!(exactly, Ok(32));
    assert!(message_length(&header("42007801 00000018"), 31).is_err());
}

#[test]
fn big_integers_are_extended_with_their_sign() {
    let mut out = Vec::new();
    let mut w = Writer::new(&mut out);
    w.big_integer(TAG, &[0x80, 0x01]);
    w.big_integer(TAG, &[0x7F]);
    w.big_integer(TAG, &[]);
    let expected = "42002004 00000008 FFFFFFFFFFFF8001 42002004 00000008 000000000000007F \
                    42002004 00000008 0000000000000000";
    assert_eq!(out, hex(expected));
}

#[test]
fn growing_keeps_what_was_written() {
    let mut out = Vec::new();
    let mut w = Writer::new(&mut out);
    w.structure(TAG, |w| (0..100).for_each(|_| w.bytes(TAG, &[7; 30])));
    assert_eq!(out.len(), 8 + 100 * 40);
    let root = check(&out, &Limits::default()).unwrap();
    let sound = root
        .items()
        .unwrap()
        .filter(|field| field.as_ref().unwrap().bytes().is_ok());
    assert_eq!(sound.count(), 100);
}
