//! Writes TTLV into a byte vector that its owner reuses from message to message.

use zeroize::Zeroize;

use super::{HEADER_BYTES, ItemType};
use crate::tags::Tag;

/// Appends items to a vector. Lengths of structures are filled in when they close.
///
/// When the vector has to grow, the old memory is erased before it is given back, because it may
/// hold key material; erasing the vector itself after it was sent is up to its owner.
#[derive(Debug)]
pub struct Writer<'a> {
    out: &'a mut Vec<u8>,
}

impl<'a> Writer<'a> {
    /// A writer that appends to `out`.
    pub fn new(out: &'a mut Vec<u8>) -> Self {
        Writer { out }
    }

    fn reserve(&mut self, more: usize) {
        if self.out.capacity() - self.out.len() >= more {
            return;
        }
        let needed = self.out.len() + more;
        let mut grown = Vec::with_capacity(needed.max(self.out.capacity() * 2));
        grown.extend_from_slice(self.out);
        self.out.zeroize();
        *self.out = grown;
    }

    /// `value` without padding; a value of no multiple of 8 bytes is padded with zeros.
    fn put(&mut self, tag: Tag, item_type: ItemType, value: &[u8]) {
        let padded = value.len().next_multiple_of(8);
        self.reserve(HEADER_BYTES + padded);
        self.out
            .extend_from_slice(&header(tag, item_type, value.len()));
        self.out.extend_from_slice(value);
        self.out.resize(self.out.len() + padded - value.len(), 0);
    }

    /// A structure; `inside` writes its fields.
    pub fn structure(&mut self, tag: Tag, inside: impl FnOnce(&mut Writer<'_>)) {
        self.reserve(HEADER_BYTES);
        let start = self.out.len() + HEADER_BYTES;
        self.out
            .extend_from_slice(&header(tag, ItemType::Structure, 0));
        inside(&mut Writer { out: self.out });
        let length = wire_length(self.out.len() - start).to_be_bytes();
        if let Some(slot) = self.out.get_mut(start - length.len()..start) {
            slot.copy_from_slice(&length);
        }
    }

    pub fn integer(&mut self, tag: Tag, value: i32) {
        self.put(tag, ItemType::Integer, &value.to_be_bytes());
    }

    pub fn long_integer(&mut self, tag: Tag, value: i64) {
        self.put(tag, ItemType::LongInteger, &value.to_be_bytes());
    }

    /// `value` is two's complement, most significant byte first; it is sign-extended here.
    pub fn big_integer(&mut self, tag: Tag, value: &[u8]) {
        let length = value.len().next_multiple_of(8).max(8);
        let sign = value
            .first()
            .map_or(0, |byte| if byte & 0x80 == 0 { 0x00 } else { 0xFF });
        self.reserve(HEADER_BYTES + length);
        self.out
            .extend_from_slice(&header(tag, ItemType::BigInteger, length));
        self.out.resize(self.out.len() + length - value.len(), sign);
        self.out.extend_from_slice(value);
    }

    pub fn enumeration(&mut self, tag: Tag, value: u32) {
        self.put(tag, ItemType::Enumeration, &value.to_be_bytes());
    }

    pub fn boolean(&mut self, tag: Tag, value: bool) {
        self.put(tag, ItemType::Boolean, &u64::from(value).to_be_bytes());
    }

    pub fn text(&mut self, tag: Tag, value: &str) {
        self.put(tag, ItemType::TextString, value.as_bytes());
    }

    /// A Text String of bytes that are known to be UTF-8.
    pub(crate) fn text_bytes(&mut self, tag: Tag, value: &[u8]) {
        self.put(tag, ItemType::TextString, value);
    }

    pub fn bytes(&mut self, tag: Tag, value: &[u8]) {
        self.put(tag, ItemType::ByteString, value);
    }

    /// Seconds since 1970-01-01T00:00:00Z.
    pub fn date_time(&mut self, tag: Tag, value: i64) {
        self.put(tag, ItemType::DateTime, &value.to_be_bytes());
    }

    /// Seconds.
    pub fn interval(&mut self, tag: Tag, value: u32) {
        self.put(tag, ItemType::Interval, &value.to_be_bytes());
    }

    /// Microseconds since 1970-01-01T00:00:00Z.
    pub fn date_time_extended(&mut self, tag: Tag, value: i64) {
        self.put(tag, ItemType::DateTimeExtended, &value.to_be_bytes());
    }

    // The same for fields that may be left out.

    pub(crate) fn optional_text(&mut self, tag: Tag, value: Option<&str>) {
        if let Some(value) = value {
            self.text(tag, value);
        }
    }

    pub(crate) fn optional_integer(&mut self, tag: Tag, value: Option<i32>) {
        if let Some(value) = value {
            self.integer(tag, value);
        }
    }

    pub(crate) fn optional_enumeration(&mut self, tag: Tag, value: Option<u32>) {
        if let Some(value) = value {
            self.enumeration(tag, value);
        }
    }

    pub(crate) fn optional_boolean(&mut self, tag: Tag, value: Option<bool>) {
        if let Some(value) = value {
            self.boolean(tag, value);
        }
    }
}

fn header(tag: Tag, item_type: ItemType, length: usize) -> [u8; HEADER_BYTES] {
    let [_, t0, t1, t2] = tag.0.to_be_bytes();
    let [l0, l1, l2, l3] = wire_length(length).to_be_bytes();
    [t0, t1, t2, item_type as u8, l0, l1, l2, l3]
}

fn wire_length(length: usize) -> u32 {
    u32::try_from(length).expect("a value written by this program is below 4 GiB")
}
