//! A share as people copy it: from a serial console to paper, and back under pressure.
//!
//! ```text
//! SR1-XXXXX-XXXXX-…   15 groups of 5 characters of Crockford's base32 (no I, L, O, U): 375 bits
//! bits                set[3] ‖ index[1] ‖ threshold[1] ‖ values[36] ‖ check[5] ‖ 7 zero bits
//! check               CRC-40 of GSM (3GPP TS 45.003 §4.1.2) over the 41 bytes before it
//! ```
//!
//! Case, spaces, hyphens and line breaks do not matter, O is read as 0, I and L as 1. The check is
//! linear, so what is wrong in *one* group, however much, has its own traces: the group is named.
//! A share with errors in several groups is refused all the same, without a name.

use super::{SET_BYTES, Share, VALUE_BYTES};
use crate::secret::Secret;
use std::fmt;
use std::str::FromStr;

/// Groups of a share, `SR1` not counted.
pub const SHARE_GROUPS: usize = 15;
/// Characters of a group: what one keeps in mind between two looks.
const GROUP_CHARACTERS: usize = 5;
/// Bits of a character.
const CHARACTER_BITS: usize = 5;
const CHARACTERS: usize = SHARE_GROUPS * GROUP_CHARACTERS;
/// Bits of a group.
const GROUP_BITS: usize = GROUP_CHARACTERS * CHARACTER_BITS;
/// Bytes that the check is over.
const BODY_BYTES: usize = SET_BYTES + 2 + VALUE_BYTES;
/// Bytes of the check.
const CHECK_BYTES: usize = 5;
/// Bytes of all bits; the last byte is padding.
const ALL_BYTES: usize = BODY_BYTES + CHECK_BYTES + 1;
/// What a share of this form begins with, and of no other.
const PREFIX: [char; 3] = ['S', 'R', '1'];
/// Crockford's base32.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// x⁴⁰ + x²⁶ + x²³ + x¹⁷ + x³ + 1, the leading term left out.
const CHECK_POLYNOMIAL: u64 = 0x00_0482_0009;
/// What CRC-40/GSM turns its result around with, so that all zeros are no share.
const CHECK_FINAL: u64 = 0xff_ffff_ffff;

/// Why a text is no share. Groups are counted from 1, `SR1` not counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShareTextFault {
    /// It begins otherwise.
    #[error("a share begins with SR1 and has {SHARE_GROUPS} groups of 5 characters")]
    Prefix,
    /// Something is missing or too much.
    #[error("{0} characters after SR1; a share has {SHARE_GROUPS} groups of 5: {CHARACTERS}")]
    Length(usize),
    /// Something is missing or too much there.
    #[error("group {group} has {characters} characters instead of 5")]
    GroupLength {
        /// Which.
        group: usize,
        /// How many were given.
        characters: usize,
    },
    /// A character that no share has.
    #[error("group {group}: {character:?} stands in no share; they have digits and letters but U")]
    Character {
        /// Which.
        group: usize,
        /// The character.
        character: char,
    },
    /// One group is wrong.
    #[error("group {0} is not as it was printed; compare it and enter the share again")]
    Group(usize),
    /// More than one group is wrong.
    #[error("more than one group is not as it was printed; compare them and enter the share again")]
    Groups,
    /// It is whole and makes no sense: made by something else.
    #[error("this share was made by something else")]
    Foreign,
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = Secret::init_with(ALL_BYTES, |all| {
            let head = [&self.set[..], &[self.index, self.threshold]].concat();
            let body = head.iter().chain(self.values.expose());
            all.iter_mut().zip(body).for_each(|(byte, of)| *byte = *of);
            let check = (remainder(all.get(..BODY_BYTES).unwrap_or_default()) ^ CHECK_FINAL) << 24;
            let tail = all.iter_mut().skip(BODY_BYTES).take(CHECK_BYTES);
            tail.zip(check.to_be_bytes())
                .for_each(|(byte, of)| *byte = of);
        });
        f.write_str("SR1")?;
        for at in 0..CHARACTERS {
            if at % GROUP_CHARACTERS == 0 {
                f.write_str("-")?;
            }
            let bits = at * CHARACTER_BITS..(at + 1) * CHARACTER_BITS;
            let symbol = bits.fold(0, |symbol, bit| (symbol << 1) | get(bytes.expose(), bit));
            let letter = ALPHABET
                .get(usize::from(symbol))
                .copied()
                .unwrap_or_default();
            write!(f, "{}", char::from(letter))?;
        }
        Ok(())
    }
}

impl FromStr for Share {
    type Err = ShareTextFault;

    fn from_str(text: &str) -> Result<Self, ShareTextFault> {
        let mut written = text.char_indices().filter(|(_, c)| !is_separator(*c));
        for expected in PREFIX {
            match written.next() {
                Some((_, c)) if canonical(c) == expected => {}
                _ => return Err(ShareTextFault::Prefix),
            }
        }
        let start = written.clone().next().map_or(text.len(), |(at, _)| at);
        let rest = text.get(start..).unwrap_or_default();
        check_lengths(rest)?;
        let bytes = Secret::try_init_with(ALL_BYTES, |bytes| read(rest, bytes))?;
        let found = syndrome(bytes.expose()) ^ (CHECK_FINAL << 7);
        if found != 0 {
            return Err(match damaged_group(found) {
                Some(group) => ShareTextFault::Group(group),
                None => ShareTextFault::Groups,
            });
        }
        let body = bytes.expose().get(..BODY_BYTES).unwrap_or_default();
        match body.split_first_chunk::<5>() {
            Some(([a, b, c, index, threshold], values)) if *index > 0 && *threshold > 1 => {
                Ok(Self {
                    set: [*a, *b, *c],
                    index: *index,
                    threshold: *threshold,
                    values: Secret::copy_of(values),
                })
            }
            _ => Err(ShareTextFault::Foreign),
        }
    }
}

/// What may stand between characters.
fn is_separator(c: char) -> bool {
    c.is_whitespace() || matches!(c, '-' | '_' | '.' | '\u{2010}'..='\u{2015}')
}

/// The character that is meant.
fn canonical(c: char) -> char {
    match c.to_ascii_uppercase() {
        'O' => '0',
        'I' | 'L' => '1',
        other => other,
    }
}

/// Checks the number of characters. Where exactly one of all groups is too short or too long, the
/// fault names it.
fn check_lengths(rest: &str) -> Result<(), ShareTextFault> {
    let characters = rest.chars().filter(|c| !is_separator(*c)).count();
    if characters == CHARACTERS {
        return Ok(());
    }
    let groups = rest.split(is_separator).map(|group| group.chars().count());
    let groups: Vec<usize> = groups.filter(|count| *count > 0).collect();
    let mut odd = (1..).zip(&groups).filter(|(_, n)| **n != GROUP_CHARACTERS);
    match (groups.len(), odd.next(), odd.next()) {
        (SHARE_GROUPS, Some((group, characters)), None) => Err(ShareTextFault::GroupLength {
            group,
            characters: *characters,
        }),
        _ => Err(ShareTextFault::Length(characters)),
    }
}

/// Writes the bits of characters into bytes that are zero.
fn read(rest: &str, bytes: &mut [u8]) -> Result<(), ShareTextFault> {
    for (at, c) in rest.chars().filter(|c| !is_separator(*c)).enumerate() {
        let wanted = canonical(c);
        let symbol = (0u8..)
            .zip(ALPHABET)
            .find(|(_, letter)| char::from(**letter) == wanted)
            .map(|(symbol, _)| symbol)
            .ok_or(ShareTextFault::Character {
                group: at / GROUP_CHARACTERS + 1,
                character: c,
            })?;
        for bit in 0..CHARACTER_BITS {
            let value = (symbol >> (CHARACTER_BITS - 1 - bit)) & 1;
            set(bytes, at * CHARACTER_BITS + bit, value);
        }
    }
    Ok(())
}

/// A bit, counted from the highest of the first byte.
fn get(bytes: &[u8], bit: usize) -> u8 {
    let byte = bytes.get(bit / 8).copied().unwrap_or_default();
    (byte >> (7 - bit % 8)) & 1
}

/// Sets a bit that is zero.
fn set(bytes: &mut [u8], bit: usize, value: u8) {
    if let Some(byte) = bytes.get_mut(bit / 8) {
        *byte |= value << (7 - bit % 8);
    }
}

/// The remainder of bytes, taken as a polynomial, times x⁴⁰: the linear part of the CRC.
fn remainder(bytes: &[u8]) -> u64 {
    let step = |rest: u64, bit: usize| {
        let out = ((rest >> 39) & 1) ^ u64::from(get(bytes, bit));
        ((rest << 1) & CHECK_FINAL) ^ (CHECK_POLYNOMIAL & 0u64.wrapping_sub(out))
    };
    (0..bytes.len() * 8).fold(0, step)
}

/// What the check finds: zero in a whole share, but for the final turn. It is linear: of a share
/// with errors it is what it would be of the errors alone. 40 bits of check, then the padding.
fn syndrome(all: &[u8]) -> u64 {
    let body = remainder(all.get(..BODY_BYTES).unwrap_or_default());
    let tail = all.get(BODY_BYTES..).unwrap_or_default();
    let tail = tail.iter().fold(0, |n, byte| (n << 8) | u64::from(*byte));
    // The padding has 7 bits; the lowest bit of the last byte is not in the text.
    (body << 7) ^ (tail >> 1)
}

/// The one group in which errors can have left these traces.
fn damaged_group(found: u64) -> Option<usize> {
    let mut fitting = (0..SHARE_GROUPS).filter(|group| {
        let bits = group * GROUP_BITS..(group + 1) * GROUP_BITS;
        let traces = bits.map(|bit| {
            let mut alone = [0; ALL_BYTES];
            set(&mut alone, bit, 1);
            syndrome(&alone)
        });
        is_sum(found, traces)
    });
    match (fitting.next(), fitting.next()) {
        (Some(group), None) => Some(group + 1),
        _ => None,
    }
}

/// Whether a value is the XOR of some of these (Gaussian elimination).
fn is_sum(value: u64, of: impl Iterator<Item = u64>) -> bool {
    /// Takes out of a value what leads with the same bit as one of the rows.
    fn reduce(value: u64, rows: &[u64]) -> u64 {
        rows.iter().fold(value, |value, row| value.min(value ^ row))
    }
    let mut rows: Vec<u64> = Vec::new();
    for one in of {
        let rest = reduce(one, &rows);
        if rest != 0 {
            rows.push(rest);
        }
    }
    reduce(value, &rows) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_is_crc_40_of_gsm() {
        // The check value of the catalogue of parametrised CRC algorithms.
        assert_eq!(remainder(b"123456789") ^ CHECK_FINAL, 0xd4_164f_c646);
    }

    #[test]
    fn sums_are_told_from_others() {
        let rows = [0b0110, 0b0011, 0b0101];
        assert!(is_sum(0b0101, rows.into_iter()));
        assert!(is_sum(0, rows.into_iter()));
        assert!(!is_sum(0b0100, rows.into_iter()));
        assert!(!is_sum(0b1000, rows.into_iter()));
    }
}
