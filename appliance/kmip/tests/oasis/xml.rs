//! Reads the XML of the conformance cases and turns messages into TTLV (KMIP Profiles 2.1 §5.4).
//! Only what those files contain: elements with attributes, comments, and text to be skipped.

use kmip::attributes::{AttributeName, STANDARD_ATTRIBUTES, usage_mask};
use kmip::ttlv::Writer;
use kmip::{Item, Tag, Value, enumerations};

/// An element with its attributes and the elements inside it.
#[derive(Debug, Default)]
pub(crate) struct Element {
    pub(crate) name: String,
    attributes: Vec<(String, String)>,
    pub(crate) children: Vec<Element>,
}

impl Element {
    fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes
            .iter()
            .find(|pair| pair.0 == name)
            .map(|pair| pair.1.as_str())
    }

    /// The first element of this name, at any depth.
    pub(crate) fn find(&self, name: &str) -> Option<&Element> {
        self.children.iter().find_map(|child| {
            if child.name == name {
                Some(child)
            } else {
                child.find(name)
            }
        })
    }

    pub(crate) fn value(&self) -> Option<&str> {
        self.attribute("value")
    }

    /// All elements of this name that are direct children.
    pub(crate) fn each<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Element> {
        self.children.iter().filter(move |child| child.name == name)
    }
}

/// The root element of a document.
pub(crate) fn parse(text: &str) -> Result<Element, String> {
    let mut open = vec![Element::default()];
    let mut rest = text;
    while let Some(at) = rest.find('<') {
        rest = &rest[at..];
        if let Some(comment) = rest.strip_prefix("<!--") {
            rest = comment.split_once("-->").ok_or("a comment does not end")?.1;
            continue;
        }
        let (tag, after) = rest[1..].split_once('>').ok_or("a tag does not end")?;
        rest = after;
        if tag.starts_with('?') {
            continue;
        }
        if tag.starts_with('/') {
            let done = open.pop().ok_or("one end tag too many")?;
            open.last_mut()
                .ok_or("one end tag too many")?
                .children
                .push(done);
            continue;
        }
        let (tag, empty) = tag
            .strip_suffix('/')
            .map_or((tag, false), |tag| (tag, true));
        let element = element(tag)?;
        if empty {
            open.last_mut()
                .ok_or("no element is open")?
                .children
                .push(element);
        } else {
            open.push(element);
        }
    }
    match <[Element; 1]>::try_from(open) {
        Ok([mut top]) if top.children.len() == 1 => Ok(top.children.remove(0)),
        _ => Err("elements are left open".to_owned()),
    }
}

fn element(tag: &str) -> Result<Element, String> {
    let (name, mut rest) = tag.split_once(char::is_whitespace).unwrap_or((tag, ""));
    let mut attributes = Vec::new();
    while let Some((key, after)) = rest.trim_start().split_once("=\"") {
        let (value, after) = after.split_once('"').ok_or("an attribute does not end")?;
        // Some files were taken from web pages that broke lines inside values.
        let value = value.split_whitespace().collect::<Vec<_>>().join(" ");
        attributes.push((key.trim().to_owned(), unescape(&value)));
        rest = after;
    }
    Ok(Element {
        name: name.to_owned(),
        attributes,
        children: Vec::new(),
    })
}

fn unescape(text: &str) -> String {
    let text = text
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"");
    text.replace("&apos;", "'").replace("&amp;", "&")
}

/// A message as TTLV bytes.
pub(crate) fn encode(message: &Element) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    item(message, None)?.write(&mut Writer::new(&mut bytes));
    Ok(bytes)
}

/// `class` is the attribute whose value an Attribute Value is.
fn item(element: &Element, class: Option<Tag>) -> Result<Item, String> {
    let tag = tag_of(&element.name)?;
    let about = class.unwrap_or(tag);
    let text = element.value().unwrap_or_default();
    let kind = element.attribute("type").unwrap_or("Structure");
    let value = match kind {
        "Structure" => structure(element)?,
        "Integer" => Value::Integer(integer(text, about)?),
        "LongInteger" => Value::LongInteger(text.parse().map_err(|_| bad(element))?),
        "BigInteger" => Value::BigInteger(big_integer(text).ok_or_else(|| bad(element))?),
        "Enumeration" => Value::Enumeration(enumeration(text, about)?),
        "Boolean" => Value::Boolean(text.parse().map_err(|_| bad(element))?),
        "TextString" => Value::Text(text.to_owned()),
        "ByteString" => Value::Bytes(byte_string(text).ok_or_else(|| bad(element))?),
        "DateTime" => Value::DateTime(date_time(text).ok_or_else(|| bad(element))?),
        "Interval" => Value::Interval(text.parse().map_err(|_| bad(element))?),
        other => return Err(format!("the type {other}")),
    };
    Ok(Item::new(tag, value))
}

fn bad(element: &Element) -> String {
    format!("the value {:?} of {}", element.value(), element.name)
}

fn structure(element: &Element) -> Result<Value, String> {
    let mut class = None;
    let mut items = Vec::new();
    for child in &element.children {
        if child.name == "AttributeName" {
            class = child
                .value()
                .and_then(AttributeName::from_text)
                .and_then(|name| match name {
                    AttributeName::Standard(tag) => Some(tag),
                    AttributeName::Vendor { .. } => None,
                });
        }
        items.push(item(
            child,
            class.filter(|_| child.name == "AttributeValue"),
        )?);
    }
    Ok(Value::Structure(items))
}

fn tag_of(name: &str) -> Result<Tag, String> {
    if let Some(hex) = name.strip_prefix("0x") {
        return u32::from_str_radix(hex, 16)
            .map(Tag)
            .map_err(|_| format!("the tag {name}"));
    }
    Tag::all()
        .find(|tag| normal(tag.name().unwrap_or_default()) == name)
        .ok_or_else(|| format!("the tag {name}"))
}

fn enumeration(text: &str, about: Tag) -> Result<u32, String> {
    if let Some(hex) = text.strip_prefix("0x") {
        return u32::from_str_radix(hex, 16).map_err(|_| format!("the number {text}"));
    }
    if let Ok(number) = text.parse() {
        return Ok(number);
    }
    if about == Tag::ATTRIBUTE_REFERENCE {
        let named = STANDARD_ATTRIBUTES
            .iter()
            .find(|row| normal(row.name) == text);
        return named
            .map(|row| row.tag.0)
            .ok_or_else(|| format!("the attribute {text}"));
    }
    let values = enumerations::values_of(about).unwrap_or_default();
    // Link types are written with and without the word at their end.
    let same = |name: &str| normal(name) == text || normal(name) == format!("{text}Link");
    let found = values.iter().find(|row| same(row.1)).map(|row| row.0);
    found.ok_or_else(|| format!("the {about} {text}"))
}

fn integer(text: &str, about: Tag) -> Result<i32, String> {
    if let Ok(number) = text.parse() {
        return Ok(number);
    }
    if let Some(hex) = text.strip_prefix("0x") {
        return u32::from_str_radix(hex, 16)
            .map(u32::cast_signed)
            .map_err(|_| format!("the number {text}"));
    }
    let storage = [
        (1, "On-line storage"),
        (2, "Archival storage"),
        (4, "Destroyed storage"),
    ];
    let protection = [(1, "Software"), (2, "Hardware")];
    let table = match about {
        Tag::CRYPTOGRAPHIC_USAGE_MASK => usage_mask::TABLE,
        Tag::STORAGE_STATUS_MASK => &storage,
        Tag::PROTECTION_STORAGE_MASK => &protection,
        _ => return Err(format!("the {about} {text}")),
    };
    text.split_whitespace().try_fold(0, |mask, word| {
        let bit = table
            .iter()
            .find(|row| normal(row.1) == word)
            .map(|row| row.0);
        bit.map(|bit| mask | bit)
            .ok_or_else(|| format!("the bit {word} of {about}"))
    })
}

/// Hexadecimal digits; any other text stands for a variable, which gets fixed bytes.
fn byte_string(text: &str) -> Option<Vec<u8>> {
    if text.starts_with('$') {
        return Some(b"bytes of a variable".to_vec());
    }
    let digits = text.as_bytes().chunks(2);
    digits
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

fn big_integer(text: &str) -> Option<Vec<u8>> {
    let bytes = byte_string(text)?;
    let sign = if bytes.first()? & 0x80 == 0 {
        0x00
    } else {
        0xFF
    };
    let mut padded = vec![sign; bytes.len().next_multiple_of(8) - bytes.len()];
    padded.extend(bytes);
    Some(padded)
}

/// ISO 8601 with an offset of zero, or `$NOW`, `$NOW-3600`.
fn date_time(text: &str) -> Option<i64> {
    const NOW: i64 = 1_700_000_000;
    if let Some(offset) = text.strip_prefix("$NOW") {
        let offset = offset.replace(' ', "");
        return if offset.is_empty() {
            Some(NOW)
        } else {
            Some(NOW + offset.parse::<i64>().ok()?)
        };
    }
    if let Some(hex) = text.strip_prefix("0x") {
        return i64::from_str_radix(hex, 16).ok();
    }
    let number = |from: usize, to: usize| text.get(from..to)?.parse::<i64>().ok();
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    // Days since 1970 of a date of the Gregorian calendar, with March as the first month.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let days =
        365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 719_469;
    Some(((days * 24 + hour) * 60 + minute) * 60 + second)
}

/// The name of an element or value: letters of the name in the specification, joined.
pub(crate) fn normal(name: &str) -> String {
    let letters: Vec<char> = name.chars().collect();
    let mut spaced = String::new();
    for (at, letter) in letters.iter().enumerate() {
        let next = |n: usize| letters.get(at + n).copied().unwrap_or(' ');
        match letter {
            '(' | ')' | ' ' => spaced.push(' '),
            c if c.is_alphanumeric() || *c == '_' => spaced.push(*c),
            _ if next(1).is_alphabetic() && next(2).is_lowercase() => spaced.push(' '),
            _ => spaced.push('_'),
        }
    }
    let mut joined = String::new();
    for (at, word) in spaced.split_whitespace().enumerate() {
        let word = if at == 0 {
            let digits = word.chars().take_while(char::is_ascii_digit).count();
            format!("{}{}", &word[digits..], &word[..digits])
        } else {
            word.to_owned()
        };
        let mut letters = word.chars();
        joined.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        joined.extend(letters);
    }
    joined
}
