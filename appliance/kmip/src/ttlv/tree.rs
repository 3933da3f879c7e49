//! Items that own their value: attribute values, which live on after the message, and the parts
//! of messages that are passed on unread.

use std::fmt;

use zeroize::Zeroize;

use super::{Field, ItemType, Malformed, Writer};
use crate::tags::Tag;
use crate::version::ProtocolVersion;

/// A tag and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    pub tag: Tag,
    pub value: Value,
}

/// A value of any of the types of TTLV. Not for key material: see [`crate::objects::SecretItems`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Structure(Vec<Item>),
    Integer(i32),
    LongInteger(i64),
    /// Two's complement, most significant byte first, a multiple of 8 bytes and at least 8.
    BigInteger(Vec<u8>),
    Enumeration(u32),
    Boolean(bool),
    Text(String),
    Bytes(Vec<u8>),
    /// Seconds since 1970-01-01T00:00:00Z.
    DateTime(i64),
    /// Seconds.
    Interval(u32),
    /// Microseconds since 1970-01-01T00:00:00Z; since KMIP 2.0.
    DateTimeExtended(i64),
}

impl Value {
    /// Reads the value of a field. The recursion is as deep as the message, which
    /// [`super::check`] has bounded.
    pub fn read(field: &Field<'_>) -> Result<Value, Malformed> {
        Ok(match field.item_type {
            ItemType::Structure => Value::Structure(
                field
                    .items()?
                    .map(|inner| Item::read(&inner?))
                    .collect::<Result<_, _>>()?,
            ),
            ItemType::Integer => Value::Integer(field.integer()?),
            ItemType::LongInteger => Value::LongInteger(field.long_integer()?),
            ItemType::BigInteger => Value::BigInteger(field.big_integer()?.to_vec()),
            ItemType::Enumeration => Value::Enumeration(field.enumeration()?),
            ItemType::Boolean => Value::Boolean(field.boolean()?),
            ItemType::TextString => Value::Text(field.text()?.to_owned()),
            ItemType::ByteString => Value::Bytes(field.bytes()?.to_vec()),
            ItemType::DateTime => Value::DateTime(field.date_time()?),
            ItemType::Interval => Value::Interval(field.interval()?),
            ItemType::DateTimeExtended => Value::DateTimeExtended(field.date_time_extended()?),
        })
    }

    /// Writes the value under a tag.
    pub fn write(&self, tag: Tag, w: &mut Writer<'_>) {
        self.write_if(tag, w, &|_| true);
    }

    /// Writes the value under a tag for a peer that speaks `version`: fields inside it that the
    /// peer does not know are left out.
    pub(crate) fn write_known(&self, tag: Tag, w: &mut Writer<'_>, version: ProtocolVersion) {
        self.write_if(tag, w, &|tag| tag.is_known_to(version));
    }

    fn write_if(&self, tag: Tag, w: &mut Writer<'_>, keep: &dyn Fn(Tag) -> bool) {
        match self {
            Value::Structure(items) => w.structure(tag, |w| {
                for item in items.iter().filter(|item| keep(item.tag)) {
                    item.value.write_if(item.tag, w, keep);
                }
            }),
            Value::Integer(value) => w.integer(tag, *value),
            Value::LongInteger(value) => w.long_integer(tag, *value),
            Value::BigInteger(value) => w.big_integer(tag, value),
            Value::Enumeration(value) => w.enumeration(tag, *value),
            Value::Boolean(value) => w.boolean(tag, *value),
            Value::Text(value) => w.text(tag, value),
            Value::Bytes(value) => w.bytes(tag, value),
            Value::DateTime(value) => w.date_time(tag, *value),
            Value::Interval(value) => w.interval(tag, *value),
            Value::DateTimeExtended(value) => w.date_time_extended(tag, *value),
        }
    }

    /// The type this value has on the wire.
    #[must_use]
    pub fn item_type(&self) -> ItemType {
        match self {
            Value::Structure(_) => ItemType::Structure,
            Value::Integer(_) => ItemType::Integer,
            Value::LongInteger(_) => ItemType::LongInteger,
            Value::BigInteger(_) => ItemType::BigInteger,
            Value::Enumeration(_) => ItemType::Enumeration,
            Value::Boolean(_) => ItemType::Boolean,
            Value::Text(_) => ItemType::TextString,
            Value::Bytes(_) => ItemType::ByteString,
            Value::DateTime(_) => ItemType::DateTime,
            Value::Interval(_) => ItemType::Interval,
            Value::DateTimeExtended(_) => ItemType::DateTimeExtended,
        }
    }

    /// The text of a Text String.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The number of an Enumeration.
    #[must_use]
    pub fn as_enumeration(&self) -> Option<u32> {
        match self {
            Value::Enumeration(number) => Some(*number),
            _ => None,
        }
    }

    /// The number of an Integer.
    #[must_use]
    pub fn as_integer(&self) -> Option<i32> {
        match self {
            Value::Integer(number) => Some(*number),
            _ => None,
        }
    }

    /// The fields of a Structure.
    #[must_use]
    pub fn as_structure(&self) -> Option<&[Item]> {
        match self {
            Value::Structure(items) => Some(items),
            _ => None,
        }
    }

    /// The first field with this tag in a Structure.
    #[must_use]
    pub fn field(&self, tag: Tag) -> Option<&Value> {
        self.as_structure()?
            .iter()
            .find(|item| item.tag == tag)
            .map(|item| &item.value)
    }
}

impl Item {
    #[must_use]
    pub fn new(tag: Tag, value: Value) -> Item {
        Item { tag, value }
    }

    /// Reads a field with everything inside it.
    pub fn read(field: &Field<'_>) -> Result<Item, Malformed> {
        Ok(Item {
            tag: field.tag,
            value: Value::read(field)?,
        })
    }

    /// Writes the item.
    pub fn write(&self, w: &mut Writer<'_>) {
        self.value.write(self.tag, w);
    }

    /// Writes the item for a peer that speaks `version`, or nothing if it does not know the tag.
    pub(crate) fn write_known(&self, w: &mut Writer<'_>, version: ProtocolVersion) {
        if self.tag.is_known_to(version) {
            self.value.write_known(self.tag, w, version);
        }
    }
}

impl Zeroize for Item {
    fn zeroize(&mut self) {
        self.value.zeroize();
    }
}

impl Zeroize for Value {
    fn zeroize(&mut self) {
        match self {
            Value::Structure(items) => items.zeroize(),
            Value::Integer(value) => value.zeroize(),
            Value::LongInteger(value) | Value::DateTime(value) | Value::DateTimeExtended(value) => {
                value.zeroize();
            }
            Value::BigInteger(value) | Value::Bytes(value) => value.zeroize(),
            Value::Enumeration(value) | Value::Interval(value) => value.zeroize(),
            Value::Boolean(value) => value.zeroize(),
            Value::Text(value) => value.zeroize(),
        }
    }
}

/// A value as a person reads it, without knowledge of what the field means.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Structure(items) => {
                for (at, item) in items.iter().enumerate() {
                    let comma = if at == 0 { "" } else { ", " };
                    write!(f, "{comma}{}: {}", item.tag, item.value)?;
                }
                Ok(())
            }
            Value::Integer(value) => write!(f, "{value}"),
            Value::LongInteger(value) | Value::DateTime(value) | Value::DateTimeExtended(value) => {
                write!(f, "{value}")
            }
            Value::BigInteger(value) | Value::Bytes(value) => {
                value.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
            Value::Enumeration(value) => write!(f, "0x{value:08X}"),
            Value::Boolean(value) => write!(f, "{value}"),
            Value::Text(value) => f.write_str(value),
            Value::Interval(value) => write!(f, "{value} s"),
        }
    }
}
