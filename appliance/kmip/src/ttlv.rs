//! TTLV, the binary encoding of KMIP: tag (3 bytes), type (1), length (4), value, padding to a
//! multiple of 8 (KMIP 1.4 §9.1, KMIP 2.1 §10). This file reads; [`Writer`] in `ttlv/write.rs`
//! writes; `ttlv/tree.rs` has the owned form for attribute values.
//!
//! Reading borrows from the message and allocates nothing. [`check`] walks a whole message once,
//! without recursion, and afterwards its frame is known to be sound; [`Items`] then pulls field
//! after field. No length that a peer declares is ever used to reserve memory.
//!
//! Padding must be zero. The specification says so, every client that talks to the reference
//! servers already complies because those refuse anything else, and with it an accepted message
//! has exactly one byte form.

use std::fmt;

use crate::tags::Tag;

mod tree;
mod write;

#[cfg(test)]
mod tests;

pub use tree::{Item, Value};
pub use write::Writer;

/// Bytes of tag, type and length in front of every value.
pub const HEADER_BYTES: usize = 8;

/// Bounds on what a peer may send. The defaults are far above what real clients need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest message in bytes, its own header included.
    pub message_bytes: usize,
    /// Deepest nesting; the message itself is level 1.
    pub depth: usize,
    /// Most fields directly inside one structure.
    pub items_per_structure: usize,
    /// Most fields in one message, counted over all levels.
    pub items_per_message: usize,
    /// Most batch items in one message.
    pub batch_items: usize,
    /// Most attributes, attribute names or references in one batch item.
    pub attributes: usize,
}

impl Limits {
    /// 1 MiB: certificates, wrapped keys and batches of 256 stay far below.
    pub const MESSAGE_BYTES_DEFAULT: usize = 1 << 20;
    /// The official conformance cases nest up to 9 levels; 32 leaves room for extensions.
    pub const DEPTH_MAX: usize = 32;
    /// An answer to Locate lists up to some thousand identifiers in one structure.
    pub const ITEMS_PER_STRUCTURE_MAX: usize = 8_192;
    /// Bounds the memory of owned trees, where the smallest field of 8 bytes takes some 50. The
    /// official cases have up to 94 fields in a message.
    pub const ITEMS_PER_MESSAGE_MAX: usize = 32_768;
    /// Storage arrays batch 4 or 5 operations; more than 256 is an attack or a mistake.
    pub const BATCH_ITEMS_MAX: usize = 256;
    /// The storage array profile asks for 20 vendor attributes on an object, NetApp sends 16.
    pub const ATTRIBUTES_MAX: usize = 256;
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            message_bytes: Self::MESSAGE_BYTES_DEFAULT,
            depth: Self::DEPTH_MAX,
            items_per_structure: Self::ITEMS_PER_STRUCTURE_MAX,
            items_per_message: Self::ITEMS_PER_MESSAGE_MAX,
            batch_items: Self::BATCH_ITEMS_MAX,
            attributes: Self::ATTRIBUTES_MAX,
        }
    }
}

/// The type byte of an item (KMIP 1.4 §9.1.1.2; 0x0B since 2.0).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ItemType {
    Structure = 1,
    Integer = 2,
    LongInteger = 3,
    BigInteger = 4,
    Enumeration = 5,
    Boolean = 6,
    TextString = 7,
    ByteString = 8,
    DateTime = 9,
    Interval = 10,
    DateTimeExtended = 11,
}

impl ItemType {
    /// The type with this number on the wire.
    #[must_use]
    pub fn from_number(number: u8) -> Option<ItemType> {
        Some(match number {
            1 => ItemType::Structure,
            2 => ItemType::Integer,
            3 => ItemType::LongInteger,
            4 => ItemType::BigInteger,
            5 => ItemType::Enumeration,
            6 => ItemType::Boolean,
            7 => ItemType::TextString,
            8 => ItemType::ByteString,
            9 => ItemType::DateTime,
            10 => ItemType::Interval,
            11 => ItemType::DateTimeExtended,
            _ => return None,
        })
    }

    /// Whether a value of this type may have this many bytes, padding not counted.
    fn allows(self, length: usize) -> bool {
        match self {
            ItemType::Structure => length.is_multiple_of(8),
            ItemType::Integer | ItemType::Enumeration | ItemType::Interval => length == 4,
            ItemType::LongInteger
            | ItemType::Boolean
            | ItemType::DateTime
            | ItemType::DateTimeExtended => length == 8,
            ItemType::BigInteger => length > 0 && length.is_multiple_of(8),
            ItemType::TextString | ItemType::ByteString => true,
        }
    }
}

/// Bytes that are no message, or a message that lacks or misstates a field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at byte {offset}: {fault}")]
pub struct Malformed {
    /// Where the field at fault begins, in bytes from the start of the message.
    pub offset: usize,
    /// What is wrong with it.
    pub fault: Fault,
}

/// What can be wrong with a field. Names of fields are those of the specification.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("a header of 8 bytes is needed and {available} are there")]
    HeaderCut { available: usize },
    #[error("{tag} has the unknown item type 0x{number:02X}")]
    UnknownType { tag: Tag, number: u8 },
    #[error("{tag} is a {item_type:?} of {length} bytes, which that type does not allow")]
    WrongLength {
        tag: Tag,
        item_type: ItemType,
        length: usize,
    },
    #[error("{tag} declares {length} bytes where {available} are left")]
    Overrun {
        tag: Tag,
        length: usize,
        available: usize,
    },
    #[error("{tag} is padded with bytes that are not zero")]
    Padding { tag: Tag },
    #[error("{tag} is nested deeper than {limit} levels")]
    TooDeep { tag: Tag, limit: usize },
    #[error("{tag} has more than {limit} fields")]
    TooManyFields { tag: Tag, limit: usize },
    #[error("the message has more than {limit} fields")]
    TooManyItems { limit: usize },
    #[error("more than {limit} {what}")]
    TooMany { what: &'static str, limit: usize },
    #[error("the message has {length} bytes; at most {limit} are accepted")]
    TooLong { length: usize, limit: usize },
    #[error("{extra} bytes follow the end of the message")]
    Trailing { extra: usize },
    #[error("expected {expected}, found {found}")]
    WrongTag { expected: Tag, found: Tag },
    #[error("{tag} is a {found:?}; it must be a {expected:?}")]
    WrongType {
        tag: Tag,
        expected: ItemType,
        found: ItemType,
    },
    #[error("{tag} is a Boolean that is neither 0 nor 1")]
    NotBoolean { tag: Tag },
    #[error("{tag} is a Text String that is not UTF-8")]
    NotText { tag: Tag },
    #[error("{tag} has a value that is not allowed here: {why}")]
    Value { tag: Tag, why: &'static str },
    #[error("{tag} is missing from {parent}")]
    Missing { tag: Tag, parent: Tag },
    #[error("{tag} occurs twice")]
    Duplicate { tag: Tag },
    #[error("{tag} does not belong into {parent}")]
    Unexpected { tag: Tag, parent: Tag },
}

/// One item of a message: its tag and type, and its value as bytes of the message.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    pub tag: Tag,
    pub item_type: ItemType,
    /// The value without padding; for a structure, the items inside it.
    bytes: &'a [u8],
    /// Bytes from the start of the message to this item's header.
    pub offset: usize,
}

impl fmt::Debug for Field<'_> {
    // Never the value: it may be key material.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {:?} of {} bytes",
            self.tag,
            self.item_type,
            self.bytes.len()
        )
    }
}

impl<'a> Field<'a> {
    /// An error about this field.
    pub(crate) fn malformed(&self, fault: Fault) -> Malformed {
        Malformed {
            offset: self.offset,
            fault,
        }
    }

    fn of_type(&self, expected: ItemType) -> Result<&'a [u8], Malformed> {
        if self.item_type == expected {
            return Ok(self.bytes);
        }
        let found = self.item_type;
        Err(self.malformed(Fault::WrongType {
            tag: self.tag,
            expected,
            found,
        }))
    }

    fn word<const N: usize>(&self, expected: ItemType) -> Result<[u8; N], Malformed> {
        let bytes = self.of_type(expected)?;
        // The length was held against the type when the header was read.
        bytes.try_into().map_err(|_| {
            let (tag, length) = (self.tag, bytes.len());
            self.malformed(Fault::WrongLength {
                tag,
                item_type: expected,
                length,
            })
        })
    }

    /// The fields of a structure.
    pub fn items(&self) -> Result<Items<'a>, Malformed> {
        let bytes = self.of_type(ItemType::Structure)?;
        Ok(Items {
            rest: bytes,
            offset: self.offset + HEADER_BYTES,
            parent: self.tag,
        })
    }

    pub fn integer(&self) -> Result<i32, Malformed> {
        self.word(ItemType::Integer).map(i32::from_be_bytes)
    }

    pub fn long_integer(&self) -> Result<i64, Malformed> {
        self.word(ItemType::LongInteger).map(i64::from_be_bytes)
    }

    /// Two's complement, most significant byte first, sign-extended to a multiple of 8 bytes.
    pub fn big_integer(&self) -> Result<&'a [u8], Malformed> {
        self.of_type(ItemType::BigInteger)
    }

    pub fn enumeration(&self) -> Result<u32, Malformed> {
        self.word(ItemType::Enumeration).map(u32::from_be_bytes)
    }

    pub fn boolean(&self) -> Result<bool, Malformed> {
        match u64::from_be_bytes(self.word(ItemType::Boolean)?) {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(self.malformed(Fault::NotBoolean { tag: self.tag })),
        }
    }

    pub fn text(&self) -> Result<&'a str, Malformed> {
        let bytes = self.of_type(ItemType::TextString)?;
        std::str::from_utf8(bytes).map_err(|_| self.malformed(Fault::NotText { tag: self.tag }))
    }

    pub fn bytes(&self) -> Result<&'a [u8], Malformed> {
        self.of_type(ItemType::ByteString)
    }

    /// Seconds since 1970-01-01T00:00:00Z.
    pub fn date_time(&self) -> Result<i64, Malformed> {
        self.word(ItemType::DateTime).map(i64::from_be_bytes)
    }

    /// Seconds.
    pub fn interval(&self) -> Result<u32, Malformed> {
        self.word(ItemType::Interval).map(u32::from_be_bytes)
    }

    /// Microseconds since 1970-01-01T00:00:00Z.
    pub fn date_time_extended(&self) -> Result<i64, Malformed> {
        self.word(ItemType::DateTimeExtended)
            .map(i64::from_be_bytes)
    }
}

/// The fields of one structure, or of any run of bytes, pulled one at a time. After an error it
/// ends.
#[derive(Clone)]
pub struct Items<'a> {
    rest: &'a [u8],
    offset: usize,
    parent: Tag,
}

impl fmt::Debug for Items<'_> {
    // Never the bytes: they may be key material.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} bytes of {} from {}",
            self.rest.len(),
            self.parent,
            self.offset
        )
    }
}

impl<'a> Items<'a> {
    /// The tag of the structure whose fields these are.
    #[must_use]
    pub fn parent(&self) -> Tag {
        self.parent
    }

    /// Bytes from the start of the message to the next field.
    #[must_use]
    pub fn offset(&self) -> usize {
        self.offset
    }

    fn pull(&mut self) -> Result<Field<'a>, Malformed> {
        let (tag, item_type, length) = read_header(self.rest, self.offset)?;
        let malformed = |fault| Malformed {
            offset: self.offset,
            fault,
        };
        if !item_type.allows(length) {
            return Err(malformed(Fault::WrongLength {
                tag,
                item_type,
                length,
            }));
        }
        let available = self.rest.len() - HEADER_BYTES;
        // Neither sum can wrap: length came from a u32 and usize has at least as many bits; on a
        // 32-bit machine the first comparison refuses what the second could not hold.
        let overrun = || {
            malformed(Fault::Overrun {
                tag,
                length,
                available,
            })
        };
        let padded = length.checked_next_multiple_of(8).ok_or_else(overrun)?;
        let body = self.rest.get(HEADER_BYTES..).unwrap_or_default();
        let (value, rest) = body.split_at_checked(padded).ok_or_else(overrun)?;
        let (bytes, padding) = value.split_at_checked(length).ok_or_else(overrun)?;
        if padding.iter().any(|byte| *byte != 0) {
            return Err(malformed(Fault::Padding { tag }));
        }
        let field = Field {
            tag,
            item_type,
            bytes,
            offset: self.offset,
        };
        self.rest = rest;
        self.offset += HEADER_BYTES + padded;
        Ok(field)
    }
}

impl<'a> Iterator for Items<'a> {
    type Item = Result<Field<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let pulled = self.pull();
        if pulled.is_err() {
            self.rest = &[];
        }
        Some(pulled)
    }
}

/// Tag, type and length of the item that begins with these bytes.
fn read_header(bytes: &[u8], offset: usize) -> Result<(Tag, ItemType, usize), Malformed> {
    let Some(&[t0, t1, t2, number, l0, l1, l2, l3]) = bytes.first_chunk::<HEADER_BYTES>() else {
        let fault = Fault::HeaderCut {
            available: bytes.len(),
        };
        return Err(Malformed { offset, fault });
    };
    let tag = Tag(u32::from_be_bytes([0, t0, t1, t2]));
    let item_type = ItemType::from_number(number).ok_or(Malformed {
        offset,
        fault: Fault::UnknownType { tag, number },
    })?;
    let length = usize::try_from(u32::from_be_bytes([l0, l1, l2, l3])).unwrap_or(usize::MAX);
    Ok((tag, item_type, length))
}

/// How many bytes the message has whose first 8 bytes these are, those 8 included. This is what
/// a connection asks before it reads on.
///
/// # Errors
/// When the bytes do not begin a KMIP message (an HTTP request, a TLS hello), or begin one of
/// more than `max` bytes.
pub fn message_length(header: &[u8; HEADER_BYTES], max: usize) -> Result<usize, Malformed> {
    let malformed = |fault| Malformed { offset: 0, fault };
    let [t0, t1, t2, ..] = *header;
    let found = Tag(u32::from_be_bytes([0, t0, t1, t2]));
    if found != Tag::REQUEST_MESSAGE && found != Tag::RESPONSE_MESSAGE {
        return Err(malformed(Fault::WrongTag {
            expected: Tag::REQUEST_MESSAGE,
            found,
        }));
    }
    let (tag, item_type, length) = read_header(header, 0)?;
    if item_type != ItemType::Structure {
        let expected = ItemType::Structure;
        return Err(malformed(Fault::WrongType {
            tag,
            expected,
            found: item_type,
        }));
    }
    if !item_type.allows(length) {
        return Err(malformed(Fault::WrongLength {
            tag,
            item_type,
            length,
        }));
    }
    let total = length.saturating_add(HEADER_BYTES);
    if total > max {
        return Err(malformed(Fault::TooLong {
            length: total,
            limit: max,
        }));
    }
    Ok(total)
}

/// Checks the frame of a whole message: every header, length, padding and nesting at every
/// level. Returns the outermost field. Values (text, Booleans) are checked when they are read.
///
/// # Errors
/// The first fault in byte order. Memory used is constant, whatever the message says.
pub fn check<'a>(message: &'a [u8], limits: &Limits) -> Result<Field<'a>, Malformed> {
    let malformed = |offset, fault| Malformed { offset, fault };
    if message.len() > limits.message_bytes {
        let (length, limit) = (message.len(), limits.message_bytes);
        return Err(malformed(0, Fault::TooLong { length, limit }));
    }
    let mut outer = Items {
        rest: message,
        offset: 0,
        parent: Tag(0),
    };
    let root = outer.pull()?;
    if !outer.rest.is_empty() {
        let extra = outer.rest.len();
        return Err(malformed(outer.offset, Fault::Trailing { extra }));
    }
    if root.item_type == ItemType::Structure {
        check_levels(root, limits)?;
    }
    Ok(root)
}

/// The walk of [`check`] below the outermost structure, with the open structures on a stack of
/// fixed size.
fn check_levels(root: Field<'_>, limits: &Limits) -> Result<(), Malformed> {
    let deepest = limits.depth.min(Limits::DEPTH_MAX);
    let mut open: [Option<(Items<'_>, usize)>; Limits::DEPTH_MAX] =
        [const { None }; Limits::DEPTH_MAX];
    let mut level = 0;
    let mut total = 1;
    if let Some(slot) = open.first_mut() {
        *slot = Some((root.items()?, 0));
    }
    while let Some(Some((items, count))) = open.get_mut(level) {
        let parent = items.parent;
        let Some(field) = items.next() else {
            if level == 0 {
                return Ok(());
            }
            level -= 1;
            continue;
        };
        let field = field?;
        *count += 1;
        total += 1;
        if *count > limits.items_per_structure {
            let limit = limits.items_per_structure;
            return Err(field.malformed(Fault::TooManyFields { tag: parent, limit }));
        }
        if total > limits.items_per_message {
            let limit = limits.items_per_message;
            return Err(field.malformed(Fault::TooManyItems { limit }));
        }
        if field.item_type == ItemType::Structure {
            level += 1;
            match open.get_mut(level) {
                Some(slot) if level < deepest => *slot = Some((field.items()?, 0)),
                _ => {
                    let fault = Fault::TooDeep {
                        tag: field.tag,
                        limit: deepest,
                    };
                    return Err(field.malformed(fault));
                }
            }
        }
    }
    Ok(())
}

/// Puts a value into the slot of a field that may occur once.
pub(crate) fn once<T>(slot: &mut Option<T>, field: &Field<'_>, value: T) -> Result<(), Malformed> {
    if slot.replace(value).is_some() {
        return Err(field.malformed(Fault::Duplicate { tag: field.tag }));
    }
    Ok(())
}

/// Pushes onto the list of a field that may occur often, up to a limit.
pub(crate) fn push<T>(
    list: &mut Vec<T>,
    field: &Field<'_>,
    value: T,
    what: &'static str,
    limit: usize,
) -> Result<(), Malformed> {
    if list.len() >= limit {
        return Err(field.malformed(Fault::TooMany { what, limit }));
    }
    list.push(value);
    Ok(())
}

/// The value of a field that must be there.
pub(crate) fn required<T>(
    slot: Option<T>,
    tag: Tag,
    (parent, offset): (Tag, usize),
) -> Result<T, Malformed> {
    slot.ok_or(Malformed {
        offset,
        fault: Fault::Missing { tag, parent },
    })
}

/// The error for a field that has no place in its structure.
pub(crate) fn unexpected(field: &Field<'_>, parent: Tag) -> Malformed {
    field.malformed(Fault::Unexpected {
        tag: field.tag,
        parent,
    })
}
