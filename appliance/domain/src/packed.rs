//! The attributes of one object in one small allocation.
//!
//! A million objects with six attributes each as `Vec<Attribute>` take 1 GiB; packed they take
//! some 90 bytes each. The form lives only in memory and in the state digest, never on disk, and
//! is written and read by this file alone, so reading it cannot meet foreign bytes; where it did,
//! iteration would end early and nothing would panic.
//!
//! Entry: length of the rest (varint), tag (3 bytes; 0 = custom, then vendor and name as strings),
//! instance number (varint), value. Value: item type (1 byte), then fixed-width big-endian numbers,
//! or length (varint) and bytes, or number of fields (varint) and for each tag and value.

use crate::{Attribute, AttributeName, Tag, Value};
use alloc::boxed::Box;
use alloc::string::ToString;
use alloc::vec::Vec;

/// One attribute instance with its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttributeInstance {
    /// The number by which KMIP 1.x calls it; it does not change while the instance is there.
    pub index: u32,
    /// What it is.
    pub attribute: Attribute,
}

/// Attribute instances, in the order in which they were added.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Packed(Box<[u8]>);

const CUSTOM: u32 = 0;

impl Packed {
    /// Packs instances in the order given.
    pub(crate) fn of<'a>(instances: impl IntoIterator<Item = &'a AttributeInstance>) -> Self {
        let mut out = Vec::new();
        let mut entry = Vec::new();
        for AttributeInstance { index, attribute } in instances {
            entry.clear();
            put_name(&mut entry, &attribute.name);
            put_varint(&mut entry, u64::from(*index));
            put_value(&mut entry, &attribute.value);
            put_bytes(&mut out, &entry);
        }
        Self(out.into_boxed_slice())
    }

    /// The bytes, for the state digest.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// All instances.
    pub(crate) fn iter(&self) -> impl Iterator<Item = AttributeInstance> + '_ {
        self.entries().filter_map(|mut entry| {
            let name = entry.name()?;
            let index = u32::try_from(entry.varint()?).ok()?;
            let value = entry.value()?;
            Some(AttributeInstance {
                index,
                attribute: Attribute { name, value },
            })
        })
    }

    /// The instances of one attribute of the standard.
    pub(crate) fn instances(&self, tag: Tag) -> impl Iterator<Item = (u32, Value)> + '_ {
        self.entries().filter_map(move |mut entry| {
            if entry.tag()? != tag.0 {
                return None;
            }
            Some((u32::try_from(entry.varint()?).ok()?, entry.value()?))
        })
    }

    /// The first instance of an attribute.
    pub(crate) fn first(&self, tag: Tag) -> Option<Value> {
        self.instances(tag).next().map(|(_, value)| value)
    }

    /// A Date-Time attribute.
    pub(crate) fn date(&self, tag: Tag) -> Option<i64> {
        match self.first(tag)? {
            Value::DateTime(seconds) => Some(seconds),
            _ => None,
        }
    }

    /// The instances of a Text attribute, without copying.
    pub(crate) fn texts(&self, tag: Tag) -> impl Iterator<Item = &str> + '_ {
        self.entries().filter_map(move |mut entry| {
            if entry.tag()? != tag.0 {
                return None;
            }
            entry.varint()?;
            entry.text_value()
        })
    }

    /// The values of the Name attribute, without copying.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> + '_ {
        use crate::attribute::tag::{NAME, NAME_VALUE};
        self.entries().filter_map(|mut entry| {
            if entry.tag()? != NAME.0 {
                return None;
            }
            entry.varint()?;
            if entry.byte()? != STRUCTURE {
                return None;
            }
            for _ in 0..entry.varint()? {
                if entry.tag()? == NAME_VALUE.0 {
                    return entry.text_value();
                }
                entry.value()?;
            }
            None
        })
    }

    fn entries(&self) -> impl Iterator<Item = Reader<'_>> {
        let mut rest = Reader(&self.0);
        core::iter::from_fn(move || rest.bytes().map(Reader))
    }
}

fn put_varint(out: &mut Vec<u8>, mut n: u64) {
    loop {
        let [.., low] = n.to_be_bytes();
        n >>= 7;
        if n == 0 {
            out.push(low & 0x7f);
            return;
        }
        out.push(low | 0x80);
    }
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn put_tag(out: &mut Vec<u8>, tag: u32) {
    let [_, high, middle, low] = tag.to_be_bytes();
    out.extend_from_slice(&[high, middle, low]);
}

fn put_name(out: &mut Vec<u8>, name: &AttributeName) {
    match name {
        AttributeName::Standard(tag) => put_tag(out, tag.0),
        AttributeName::Vendor { vendor, name } => {
            put_tag(out, CUSTOM);
            put_bytes(out, vendor.as_bytes());
            put_bytes(out, name.as_bytes());
        }
    }
}

// Item types: those of KMIP 2.1 §11.24.
const STRUCTURE: u8 = 1;
const INTEGER: u8 = 2;
const LONG_INTEGER: u8 = 3;
const BIG_INTEGER: u8 = 4;
const ENUMERATION: u8 = 5;
const BOOLEAN: u8 = 6;
const TEXT: u8 = 7;
const BYTES: u8 = 8;
const DATE_TIME: u8 = 9;
const INTERVAL: u8 = 10;
const DATE_TIME_EXTENDED: u8 = 11;

fn put_value(out: &mut Vec<u8>, value: &Value) {
    let mut fixed = |kind: u8, bytes: &[u8]| {
        out.push(kind);
        out.extend_from_slice(bytes);
    };
    match value {
        Value::Integer(n) => fixed(INTEGER, &n.to_be_bytes()),
        Value::LongInteger(n) => fixed(LONG_INTEGER, &n.to_be_bytes()),
        Value::Enumeration(n) => fixed(ENUMERATION, &n.to_be_bytes()),
        Value::Boolean(b) => fixed(BOOLEAN, &[u8::from(*b)]),
        Value::DateTime(n) => fixed(DATE_TIME, &n.to_be_bytes()),
        Value::Interval(n) => fixed(INTERVAL, &n.to_be_bytes()),
        Value::DateTimeExtended(n) => fixed(DATE_TIME_EXTENDED, &n.to_be_bytes()),
        Value::BigInteger(bytes) => {
            fixed(BIG_INTEGER, &[]);
            put_bytes(out, bytes);
        }
        Value::Bytes(bytes) => {
            fixed(BYTES, &[]);
            put_bytes(out, bytes);
        }
        Value::Text(text) => {
            fixed(TEXT, &[]);
            put_bytes(out, text.as_bytes());
        }
        Value::Structure(fields) => {
            fixed(STRUCTURE, &[]);
            put_varint(out, fields.len() as u64);
            for (tag, value) in fields {
                put_tag(out, tag.0);
                put_value(out, value);
            }
        }
    }
}

/// Reads what the functions above wrote.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(len)?;
        self.0 = tail;
        Some(head)
    }

    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn varint(&mut self) -> Option<u64> {
        let mut n = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            n |= u64::from(byte & 0x7f).checked_shl(shift)?;
            if byte < 0x80 {
                return Some(n);
            }
        }
        None
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let len = usize::try_from(self.varint()?).ok()?;
        self.take(len)
    }

    fn text(&mut self) -> Option<&'a str> {
        core::str::from_utf8(self.bytes()?).ok()
    }

    fn text_value(&mut self) -> Option<&'a str> {
        if self.byte()? == TEXT {
            self.text()
        } else {
            None
        }
    }

    fn tag(&mut self) -> Option<u32> {
        let [high, middle, low] = self.array()?;
        Some(u32::from_be_bytes([0, high, middle, low]))
    }

    fn name(&mut self) -> Option<AttributeName> {
        let tag = self.tag()?;
        if tag != CUSTOM {
            return Some(AttributeName::Standard(Tag(tag)));
        }
        let vendor = self.text()?.to_string();
        let name = self.text()?.to_string();
        Some(AttributeName::Vendor { vendor, name })
    }

    fn value(&mut self) -> Option<Value> {
        Some(match self.byte()? {
            INTEGER => Value::Integer(i32::from_be_bytes(self.array()?)),
            LONG_INTEGER => Value::LongInteger(i64::from_be_bytes(self.array()?)),
            ENUMERATION => Value::Enumeration(u32::from_be_bytes(self.array()?)),
            BOOLEAN => Value::Boolean(self.byte()? != 0),
            DATE_TIME => Value::DateTime(i64::from_be_bytes(self.array()?)),
            INTERVAL => Value::Interval(u32::from_be_bytes(self.array()?)),
            DATE_TIME_EXTENDED => Value::DateTimeExtended(i64::from_be_bytes(self.array()?)),
            BIG_INTEGER => Value::BigInteger(self.bytes()?.to_vec()),
            BYTES => Value::Bytes(self.bytes()?.to_vec()),
            TEXT => Value::Text(self.text()?.to_string()),
            STRUCTURE => {
                let mut fields = Vec::new();
                for _ in 0..self.varint()? {
                    fields.push((Tag(self.tag()?), self.value()?));
                }
                Value::Structure(fields)
            }
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attribute::tag;
    use alloc::string::String;
    use alloc::vec;
    use proptest::prelude::*;

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<i32>().prop_map(Value::Integer),
            any::<i64>().prop_map(Value::LongInteger),
            any::<Vec<u8>>().prop_map(Value::BigInteger),
            any::<u32>().prop_map(Value::Enumeration),
            any::<bool>().prop_map(Value::Boolean),
            any::<String>().prop_map(Value::Text),
            any::<Vec<u8>>().prop_map(Value::Bytes),
            any::<i64>().prop_map(Value::DateTime),
            any::<u32>().prop_map(Value::Interval),
            any::<i64>().prop_map(Value::DateTimeExtended),
        ];
        leaf.prop_recursive(3, 24, 6, |inner| {
            prop::collection::vec(((1u32..0x0100_0000).prop_map(Tag), inner), 0..6)
                .prop_map(Value::Structure)
        })
    }

    fn any_name() -> impl Strategy<Value = AttributeName> {
        prop_oneof![
            (1u32..0x0100_0000).prop_map(|tag| AttributeName::Standard(Tag(tag))),
            any::<(String, String)>()
                .prop_map(|(vendor, name)| AttributeName::Vendor { vendor, name }),
        ]
    }

    fn any_instance() -> impl Strategy<Value = AttributeInstance> {
        (any::<u32>(), any_name(), any_value()).prop_map(|(index, name, value)| AttributeInstance {
            index,
            attribute: Attribute { name, value },
        })
    }

    proptest! {
        #[test]
        fn unpacking_gives_back_what_was_packed(
            instances in prop::collection::vec(any_instance(), 0..12),
        ) {
            let packed = Packed::of(&instances);
            prop_assert_eq!(packed.iter().collect::<Vec<_>>(), instances);
        }

        #[test]
        fn foreign_bytes_end_the_reading_and_never_panic(bytes: Vec<u8>) {
            let packed = Packed(bytes.into_boxed_slice());
            let _ = packed.iter().count() + packed.names().count()
                + packed.texts(tag::OBJECT_GROUP).count() + packed.instances(tag::NAME).count();
        }
    }

    #[test]
    fn names_groups_and_dates_are_found_without_unpacking_the_rest() {
        let instance = |index, attribute| AttributeInstance { index, attribute };
        let group = |text: &str| Attribute::standard(tag::OBJECT_GROUP, Value::Text(text.into()));
        let packed = Packed::of(&vec![
            instance(0, Attribute::custom("Slot", Value::Integer(7))),
            instance(0, Attribute::named("alpha")),
            instance(3, Attribute::named("beta")),
            instance(0, group("tape")),
            instance(1, group("disk")),
            instance(
                0,
                Attribute::standard(tag::ACTIVATION_DATE, Value::DateTime(9)),
            ),
        ]);
        assert_eq!(packed.names().collect::<Vec<_>>(), ["alpha", "beta"]);
        assert_eq!(
            packed.texts(tag::OBJECT_GROUP).collect::<Vec<_>>(),
            ["tape", "disk"]
        );
        assert_eq!(packed.date(tag::ACTIVATION_DATE), Some(9));
        assert_eq!(packed.date(tag::DEACTIVATION_DATE), None);
        let numbers = packed
            .instances(tag::NAME)
            .map(|(index, _)| index)
            .collect::<Vec<_>>();
        assert_eq!(numbers, [0, 3]);
    }
}
