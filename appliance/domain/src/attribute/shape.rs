//! What a value may look like: item types, ranges, fields of structures, and the characters that no
//! text may hold.

use crate::{Tag, Value};
use alloc::format;
use alloc::string::{String, ToString};

/// Characters of a Name Value, of a custom attribute's name and of its vendor are bounded as ABUSE
/// A31 asks, so that a name fits into a log line, a file name and a column.
pub(crate) const NAME_CHARS_MAX: usize = 255;

/// Depth of structures in a custom attribute: a structure of plain values (KMIP 1.4 §3.39 forbids
/// structures in structures; one more is allowed because arrays send an envelope around theirs).
const CUSTOM_DEPTH_MAX: u8 = 2;

/// Fields in one structure of a custom attribute; the largest of the standard has 20.
const CUSTOM_FIELDS_MAX: usize = 64;

/// The form of a value.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// Integer that counts something: not negative.
    Count,
    /// Integer used as a bit mask.
    Mask,
    /// Long Integer that counts something: not negative.
    LongCount,
    /// Enumeration from 1 to the given last value, or an extension (`8XXXXXXX`).
    Enumeration(u32),
    /// Enumeration from the first to the last value given, or an extension.
    EnumerationIn(u32, u32),
    /// Boolean.
    Boolean,
    /// Text String, perhaps empty.
    Text,
    /// Text String of 1 to 255 characters: something that people and indexes use as a name.
    Label,
    /// Byte String.
    Bytes,
    /// Date-Time, seconds since 1970.
    DateTime,
    /// Interval, seconds.
    Interval,
    /// Identifier of an object: text, or one of the placeholders that KMIP 2.0 adds.
    Identifier,
    /// Structure with these fields.
    Structure(&'static [Field]),
}

/// A field of a structure.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Its tag.
    pub tag: Tag,
    /// Its name, for messages.
    pub name: &'static str,
    /// Its form.
    pub shape: Shape,
    /// Whether it must be there.
    pub presence: Presence,
}

/// Whether a field of a structure must be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// Exactly once.
    Required,
    /// At most once.
    Optional,
    /// Any number of times.
    Repeated,
    /// At most once; when it is not given, it becomes a copy of another field.
    Copies(Tag),
}

/// Why a value does not have the form it must have.
pub(crate) type Misshapen = String;

/// Checks a value of an attribute of the standard. `bytes_max` bounds each text and byte string.
pub(crate) fn check(shape: &Shape, value: &Value, bytes_max: usize) -> Result<(), Misshapen> {
    match (shape, value) {
        (Shape::Count, Value::Integer(n)) if *n >= 0 => Ok(()),
        (Shape::Count, Value::Integer(n)) => Err(format!("{n} is negative")),
        (Shape::LongCount, Value::LongInteger(n)) if *n >= 0 => Ok(()),
        (Shape::LongCount, Value::LongInteger(n)) => Err(format!("{n} is negative")),
        (Shape::Mask, Value::Integer(_))
        | (Shape::Boolean, Value::Boolean(_))
        | (Shape::DateTime, Value::DateTime(_))
        | (Shape::Interval, Value::Interval(_)) => Ok(()),
        (Shape::Enumeration(last), Value::Enumeration(n)) => check_enumeration(*n, 1, *last),
        (Shape::EnumerationIn(first, last), Value::Enumeration(n)) => {
            check_enumeration(*n, *first, *last)
        }
        (Shape::Text, Value::Text(text)) => check_text(text, bytes_max),
        (Shape::Label, Value::Text(text)) => check_label(text),
        (Shape::Bytes, Value::Bytes(bytes)) => check_size(bytes.len(), bytes_max),
        (Shape::Identifier, Value::Text(text)) => check_label(text),
        (Shape::Identifier, Value::Enumeration(_) | Value::Integer(_)) => Ok(()),
        (Shape::Structure(fields), Value::Structure(given)) => {
            check_fields(fields, given, bytes_max)
        }
        (wanted, _) => Err(format!("it must be {}", describe(wanted))),
    }
}

fn check_enumeration(n: u32, first: u32, last: u32) -> Result<(), Misshapen> {
    if (first..=last).contains(&n) || n >= 0x8000_0000 {
        Ok(())
    } else {
        Err(format!("{n:#x} is not a value of its enumeration"))
    }
}

fn check_fields(
    fields: &[Field],
    given: &[(Tag, Value)],
    bytes_max: usize,
) -> Result<(), Misshapen> {
    for (tag, value) in given {
        let Some(field) = fields.iter().find(|f| f.tag == *tag) else {
            return Err(format!("it has no field {:#08x}", tag.0));
        };
        check(&field.shape, value, bytes_max).map_err(|why| format!("{}: {why}", field.name))?;
    }
    for field in fields {
        let times = given.iter().filter(|(tag, _)| *tag == field.tag).count();
        match (field.presence, times) {
            (Presence::Required, 0) => return Err(format!("{} is missing", field.name)),
            (Presence::Repeated, _) | (_, 0 | 1) => {}
            _ => return Err(format!("{} is given {times} times", field.name)),
        }
    }
    Ok(())
}

/// Adds what [`Presence::Copies`] says to a value that passed [`check`].
pub(crate) fn complete(shape: &Shape, value: &mut Value) {
    let (Shape::Structure(fields), Value::Structure(given)) = (shape, value) else {
        return;
    };
    for field in *fields {
        let Presence::Copies(source) = field.presence else {
            continue;
        };
        if given.iter().any(|(tag, _)| *tag == field.tag) {
            continue;
        }
        let copied = given
            .iter()
            .find(|(tag, _)| *tag == source)
            .map(|(_, value)| value.clone());
        if let Some(value) = copied {
            given.push((field.tag, value));
        }
    }
}

/// Checks the value of a custom attribute: any item type, structures only of bounded depth.
pub(crate) fn check_custom(value: &Value, bytes_max: usize) -> Result<(), Misshapen> {
    check_custom_at(value, bytes_max, CUSTOM_DEPTH_MAX)
}

fn check_custom_at(value: &Value, bytes_max: usize, depth: u8) -> Result<(), Misshapen> {
    match value {
        Value::Text(text) => check_text(text, bytes_max),
        Value::Bytes(bytes) | Value::BigInteger(bytes) => check_size(bytes.len(), bytes_max),
        Value::Structure(_) if depth == 0 => Err("structures are nested too deep".to_string()),
        Value::Structure(fields) if fields.len() > CUSTOM_FIELDS_MAX => Err(format!(
            "{} fields; at most {CUSTOM_FIELDS_MAX} are kept",
            fields.len()
        )),
        Value::Structure(fields) => fields
            .iter()
            .try_for_each(|(_, v)| check_custom_at(v, bytes_max, depth - 1)),
        Value::Integer(_)
        | Value::LongInteger(_)
        | Value::Enumeration(_)
        | Value::Boolean(_)
        | Value::DateTime(_)
        | Value::Interval(_)
        | Value::DateTimeExtended(_) => Ok(()),
    }
}

fn check_size(bytes: usize, bytes_max: usize) -> Result<(), Misshapen> {
    if bytes <= bytes_max {
        Ok(())
    } else {
        Err(format!("{bytes} bytes; the limit is {bytes_max}"))
    }
}

/// Checks a text: its size, and that it holds nothing that could forge a log line or turn the
/// reading direction (ABUSE A31).
pub(crate) fn check_text(text: &str, bytes_max: usize) -> Result<(), Misshapen> {
    check_size(text.len(), bytes_max)?;
    match text.chars().find(|c| is_forbidden(*c)) {
        Some(c) => Err(format!("character U+{:04X} is not allowed", u32::from(c))),
        None => Ok(()),
    }
}

/// Checks a text that serves as a name: like any text, and 1 to 255 characters.
pub(crate) fn check_label(text: &str) -> Result<(), Misshapen> {
    let chars = text.chars().take(NAME_CHARS_MAX + 1).count();
    if chars == 0 {
        return Err("it is empty".to_string());
    }
    if chars > NAME_CHARS_MAX {
        return Err(format!("it has more than {NAME_CHARS_MAX} characters"));
    }
    check_text(text, usize::MAX)
}

/// Control characters, line and paragraph separators, and marks that turn the reading direction.
pub(crate) fn is_forbidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn describe(shape: &Shape) -> &'static str {
    match shape {
        Shape::Count | Shape::Mask => "an Integer",
        Shape::LongCount => "a Long Integer",
        Shape::Enumeration(_) | Shape::EnumerationIn(..) => "an Enumeration",
        Shape::Boolean => "a Boolean",
        Shape::Text | Shape::Label => "a Text String",
        Shape::Bytes => "a Byte String",
        Shape::DateTime => "a Date-Time",
        Shape::Interval => "an Interval",
        Shape::Identifier => "a Text String, an Enumeration or an Integer",
        Shape::Structure(_) => "a Structure",
    }
}

/// A field of a structure.
pub(crate) fn field(value: &Value, wanted: Tag) -> Option<&Value> {
    match value {
        Value::Structure(fields) => fields
            .iter()
            .find(|(tag, _)| *tag == wanted)
            .map(|(_, v)| v),
        _ => None,
    }
}
