//! The table of attributes, and names in both forms.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::enumerations;

#[test]
fn the_table_is_sorted_and_agrees_with_the_tags() {
    assert!(STANDARD_ATTRIBUTES.is_sorted_by(|a, b| a.tag < b.tag));
    for row in STANDARD_ATTRIBUTES {
        assert_eq!(row.tag.name(), Some(row.name));
        assert!(
            row.since >= row.tag.since().unwrap(),
            "{} is older than its tag",
            row.name
        );
        assert!(row.since <= row.until, "{}", row.name);
        let enumerated = enumerations::values_of(row.tag).is_some();
        let text_too = row.tag == Tag::UNIQUE_IDENTIFIER;
        assert_eq!(
            enumerated && !text_too,
            row.item_type == ItemType::Enumeration,
            "{}",
            row.name
        );
    }
}

#[test]
fn every_version_has_the_attributes_of_its_specification() {
    let count = |version| {
        STANDARD_ATTRIBUTES
            .iter()
            .filter(|r| r.is_known_to(version))
            .count()
    };
    // KMIP 1.0 §3 has 33 attributes, Custom Attribute among them; §3 of 1.1 adds 6, of 1.2 4, of
    // 1.3 1, of 1.4 7.
    assert_eq!(count(ProtocolVersion::V1_0), 32);
    assert_eq!(count(ProtocolVersion::V1_1), 38);
    assert_eq!(count(ProtocolVersion::V1_2), 42);
    assert_eq!(count(ProtocolVersion::V1_3), 43);
    assert_eq!(count(ProtocolVersion::V1_4), 50);
    assert!(
        StandardAttribute::by_name("Operation Policy Name")
            .unwrap()
            .until
            < ProtocolVersion::V2_0
    );
}

#[test]
fn names_of_1_x_go_there_and_back() {
    for row in STANDARD_ATTRIBUTES {
        let name = AttributeName::from_text(row.name).unwrap();
        assert_eq!(name, AttributeName::Standard(row.tag));
        assert_eq!(name.to_string(), row.name);
    }
    for text in [
        "x-Foo",
        "y-Foo",
        "x-",
        "x-a-b",
        "x- b",
        "x-x-Foo",
        "x-NETAPP-ClusterId",
    ] {
        assert_eq!(AttributeName::from_text(text).unwrap().to_string(), text);
    }
    assert_eq!(
        AttributeName::from_text("x-Foo"),
        Some(AttributeName::custom("Foo"))
    );
    for text in [
        "",
        "x",
        "X-Foo",
        "z-Foo",
        "state",
        "State ",
        "Custom Attribute",
        "-Foo",
    ] {
        assert_eq!(AttributeName::from_text(text), None, "{text:?}");
    }
}

#[test]
fn other_vendors_cannot_be_named_before_2_0() {
    let name = AttributeName::Vendor {
        vendor: "acme".to_owned(),
        name: "Foo".to_owned(),
    };
    assert!(!name.is_known_to(ProtocolVersion::V1_4));
    assert!(name.is_known_to(ProtocolVersion::V2_0));
    assert!(AttributeName::custom("Foo").is_known_to(ProtocolVersion::V1_0));
}
