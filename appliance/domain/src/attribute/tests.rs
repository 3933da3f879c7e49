//! The table against the standard's own numbers and against itself.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use super::*;
use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

#[test]
fn tags_and_names_are_unique_and_lead_to_their_row() {
    let tags: BTreeSet<Tag> = ATTRIBUTES.iter().map(|row| row.tag).collect();
    let names: BTreeSet<&str> = ATTRIBUTES.iter().map(|row| row.name).collect();
    assert_eq!(
        (tags.len(), names.len()),
        (ATTRIBUTES.len(), ATTRIBUTES.len())
    );
    for (at, row) in ATTRIBUTES.iter().enumerate() {
        assert_eq!(position(row.tag), Some(at), "{}", row.name);
        let name = row.attribute_name();
        assert_eq!(
            AttributeName::parse(&name.to_string()),
            Some(name),
            "{}",
            row.name
        );
        assert!(!row.clause.is_empty());
    }
    for stranger in [
        0,
        0x41_ffff,
        0x42_0000,
        0x42_0008,
        0x42_0200,
        0x54_0001,
        u32::MAX,
    ] {
        assert_eq!(position(Tag(stranger)), None, "{stranger:#x}");
    }
}

#[test]
fn rows_do_not_contradict_themselves() {
    for row in ATTRIBUTES {
        let says = row.name;
        let derived = matches!(row.kept, Kept::Derived(_));
        assert!(
            !derived || row.set_by == SetBy::Server,
            "{says}: derived, but given"
        );
        let client = row.set_by == SetBy::Client;
        let changes = [row.add, row.modify, row.delete]
            .iter()
            .any(|s| *s != States::NONE);
        assert_eq!(
            client, changes,
            "{says}: only what clients set can be changed by them"
        );
        assert!(
            row.until.is_none() || row.since.unwrap() <= row.until.unwrap(),
            "{says}"
        );
        assert!(
            row.sticky.is_none() || matches!(row.shape, Shape::Boolean),
            "{says}"
        );
        let frozen = row.frozen_by_its_date;
        assert!(!frozen || matches!(row.shape, Shape::DateTime), "{says}");
        assert!(!row.required_to_create || row.applies.contains(ObjectType::SymmetricKey));
        assert!(!row.many || row.absent.is_none(), "{says}");
        for state in [
            LifecycleState::Destroyed,
            LifecycleState::DestroyedCompromised,
        ] {
            assert!(
                !row.add.contains(state) && !row.delete.contains(state),
                "{says}"
            );
            assert!(!row.modify.contains(state), "{says}");
        }
    }
}

/// Name, multiplicity, who sets it, and what a client may do later: the columns "multiple
/// instances permitted", "initially set by", "modifiable by client" and "deletable by client" of
/// the tables in KMIP 1.4 §3, for a row of each kind.
#[test]
fn rules_are_those_of_the_standard() {
    use SetBy::{Client, Creation, Door, Server};
    const NO: States = States::NONE;
    const LIVE: States = States::LIVE;
    const PRE: States = States::PRE_ACTIVE;
    const EARLY: States = States::BEFORE_DEACTIVATION;
    let rows = [
        // name, several, set by, modify, delete
        ("Unique Identifier", false, Server, NO, NO),
        ("Name", true, Client, LIVE, LIVE),
        ("Object Type", false, Server, NO, NO),
        ("Cryptographic Algorithm", false, Creation, NO, NO),
        ("Cryptographic Length", false, Creation, NO, NO),
        ("Cryptographic Parameters", true, Client, LIVE, LIVE),
        ("Certificate Length", false, Door, NO, NO),
        ("Digest", true, Server, NO, NO),
        ("Operation Policy Name", false, Creation, NO, NO),
        ("Cryptographic Usage Mask", false, Creation, NO, NO),
        ("Lease Time", false, Server, NO, NO),
        ("State", false, Server, NO, NO),
        ("Activation Date", false, Client, PRE, NO),
        ("Process Start Date", false, Client, EARLY, NO),
        ("Protect Stop Date", false, Client, EARLY, NO),
        ("Deactivation Date", false, Client, EARLY, NO),
        ("Destroy Date", false, Server, NO, NO),
        ("Revocation Reason", false, Server, NO, NO),
        ("Object Group", true, Client, LIVE, LIVE),
        ("Link", true, Client, LIVE, LIVE),
        ("Application Specific Information", true, Client, LIVE, LIVE),
        ("Contact Information", false, Client, LIVE, LIVE),
        ("Last Change Date", false, Server, NO, NO),
        ("Alternative Name", true, Client, LIVE, LIVE),
        ("Original Creation Date", false, Creation, NO, NO),
        ("Description", false, Client, LIVE, LIVE),
        ("Sensitive", false, Client, LIVE, NO),
        ("Always Sensitive", false, Server, NO, NO),
    ];
    for (name, many, set_by, modify, delete) in rows {
        let row = rule_named(name).unwrap();
        let is = (row.many, row.set_by, row.modify, row.delete);
        assert_eq!(is, (many, set_by, modify, delete), "{name}");
    }
}

#[test]
fn versions_gate_what_a_client_is_shown() {
    let shown = |name: &str, version| rule_named(name).unwrap().in_version(version);
    for (name, in_1_0, in_1_4, in_2_0, in_2_1) in [
        ("Name", true, true, true, true),
        ("Operation Policy Name", true, true, false, false),
        ("Certificate Identifier", true, true, false, false),
        ("Fresh", false, true, true, true),
        ("Sensitive", false, true, true, true),
        ("Certificate Subject CN", false, false, true, true),
        ("Short Unique Identifier", false, false, true, true),
        ("Rotate Interval", false, false, false, true),
        ("Secret Data Type", false, false, false, false),
    ] {
        let is = [Version(1, 0), Version(1, 4), Version(2, 0), Version(2, 1)]
            .map(|version| shown(name, version));
        assert_eq!(is, [in_1_0, in_1_4, in_2_0, in_2_1], "{name}");
    }
}

fn text(text: &str) -> Value {
    Value::Text(text.into())
}

#[test]
fn values_of_the_wrong_form_are_refused_with_the_reason() {
    let named = |fields: Vec<(Tag, Value)>| Value::Structure(fields);
    let kind = (tag::NAME_TYPE, Value::Enumeration(1));
    let cases = [
        (
            tag::CRYPTOGRAPHIC_LENGTH,
            Value::Integer(-1),
            "Cryptographic Length: -1 is negative",
        ),
        (
            tag::CRYPTOGRAPHIC_LENGTH,
            text("256"),
            "Cryptographic Length: it must be an Integer",
        ),
        (
            tag::CRYPTOGRAPHIC_ALGORITHM,
            Value::Enumeration(0x39),
            "Cryptographic Algorithm: 0x39 is not a value of its enumeration",
        ),
        (
            tag::DESCRIPTION,
            text("a\nb"),
            "Description: character U+000A is not allowed",
        ),
        (
            tag::DESCRIPTION,
            text("a\u{202e}b"),
            "Description: character U+202E is not allowed",
        ),
        (
            tag::DESCRIPTION,
            text(&"x".repeat(101)),
            "Description: 101 bytes; the limit is 100",
        ),
        (tag::NAME, text("k"), "Name: it must be a Structure"),
        (
            tag::NAME,
            named(vec![kind.clone()]),
            "Name: Name Value is missing",
        ),
        (
            tag::NAME,
            named(vec![(tag::NAME_VALUE, text("")), kind.clone()]),
            "Name: Name Value: it is empty",
        ),
        (
            tag::NAME,
            named(vec![
                (tag::NAME_VALUE, text(&"n".repeat(256))),
                kind.clone(),
            ]),
            "Name: Name Value: it has more than 255 characters",
        ),
        (
            tag::NAME,
            named(vec![
                (tag::NAME_VALUE, text("k")),
                kind.clone(),
                kind.clone(),
            ]),
            "Name: Name Type is given 2 times",
        ),
        (
            tag::NAME,
            named(vec![
                (tag::NAME_VALUE, text("k")),
                kind,
                (tag::STATE, text("x")),
            ]),
            "Name: it has no field 0x42008d",
        ),
        (
            tag::LINK,
            named(vec![
                (tag::LINK_TYPE, Value::Enumeration(0x100)),
                (tag::LINKED_OBJECT_IDENTIFIER, text("a")),
            ]),
            "Link: Link Type: 0x100 is not a value of its enumeration",
        ),
        (
            tag::CERTIFICATE_LENGTH,
            Value::Integer(1),
            "Certificate Length does not apply to a Symmetric Key",
        ),
    ];
    for (tag, value, says) in cases {
        let attribute = Attribute::standard(tag, value);
        let denial = check_value(
            rule(tag).unwrap(),
            &attribute,
            ObjectType::SymmetricKey,
            100,
        )
        .unwrap_err();
        assert_eq!(denial.to_string(), format!("attribute {says}"));
    }
}

#[test]
fn custom_attributes_take_any_plain_value_and_bounded_structures() {
    let accepted = |value: Value| {
        let attribute = Attribute::custom("Slot", value);
        check_value(&CUSTOM, &attribute, ObjectType::OpaqueObject, 100).map_err(|d| d.to_string())
    };
    let nested = |depth: usize| {
        (0..depth).fold(Value::Integer(1), |inner, _| {
            Value::Structure(vec![(Tag(1), inner)])
        })
    };
    assert_eq!(accepted(text("v")), Ok(()));
    assert_eq!(accepted(Value::Bytes(vec![0; 100])), Ok(()));
    assert_eq!(accepted(nested(2)), Ok(()));
    let too_deep = "attribute x-Slot: structures are nested too deep";
    assert_eq!(accepted(nested(3)), Err(too_deep.into()));
    assert_eq!(accepted(nested(60)), Err(too_deep.into()));
    assert!(accepted(Value::Bytes(vec![0; 101])).is_err());
    let wide = Value::Structure(vec![(Tag(1), Value::Integer(1)); 65]);
    assert!(accepted(wide).unwrap_err().contains("65 fields"));
}

#[test]
fn custom_names_are_bounded_before_anything_repeats_them() {
    let vendor = |vendor: &str, name: &str| AttributeName::Vendor {
        vendor: vendor.into(),
        name: name.into(),
    };
    assert!(rule_for(&vendor("x", &"n".repeat(128))).is_ok());
    for bad in [
        vendor("x", &"n".repeat(129)),
        vendor("x", &"n".repeat(100_000)),
        vendor("x", ""),
        vendor("", "n"),
        vendor("x", "a\tb"),
    ] {
        let denial = rule_for(&bad).unwrap_err();
        assert!(matches!(denial, Denial::InvalidField { .. }), "{denial:?}");
        assert!(denial.to_string().len() < 200);
    }
    let read_only = rule_for(&vendor("y", "Serial")).unwrap_err();
    assert_eq!(
        read_only.to_string(),
        "attribute y-Serial cannot be set, changed or deleted by a client now"
    );
    let unknown = rule_for(&AttributeName::Standard(Tag(0x42_0123 + 0x80))).unwrap_err();
    assert_eq!(unknown.to_string(), "attribute 0x4201a3 is not supported");
}

#[test]
fn names_of_people_read_back() {
    let parse = |text: &str| AttributeName::parse(text).map(|name| name.to_string());
    for known in [
        "Cryptographic Algorithm",
        "X.509 Certificate Subject",
        "x-NETAPP-uuid",
    ] {
        assert_eq!(parse(known), Some(String::from(known)));
    }
    for unknown in ["", "cryptographic algorithm", "Foo", "-x", "x-"] {
        assert_eq!(parse(unknown), None, "{unknown}");
    }
}

#[test]
fn usage_limits_start_with_the_total_as_count() {
    let limits = |count: Option<i64>| {
        let mut fields = vec![(tag::USAGE_LIMITS_TOTAL, Value::LongInteger(9))];
        fields.push((tag::USAGE_LIMITS_UNIT, Value::Enumeration(1)));
        fields.extend(count.map(|n| (tag::USAGE_LIMITS_COUNT, Value::LongInteger(n))));
        Attribute::standard(tag::USAGE_LIMITS, Value::Structure(fields))
    };
    let row = rule(tag::USAGE_LIMITS).unwrap();
    for (given, then) in [(None, 9), (Some(4), 4)] {
        let mut attribute = limits(given);
        complete(row, &mut attribute);
        let count = shape::field(&attribute.value, tag::USAGE_LIMITS_COUNT);
        assert_eq!(count, Some(&Value::LongInteger(then)));
    }
}
