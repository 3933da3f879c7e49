//! Sorted lists of objects in sled, many objects to a key.
//!
//! sled spends about as much on a key of 24 bytes as on a value of some kilobytes, so a list is cut
//! into blocks: key = prefix of the list ‖ uid (16), not after the first object of the block;
//! value = for each object, ascending: uid (16) ‖ n (u32, big-endian) ‖ n marks of 8 bytes. A block
//! that grows too long is cut, and its second part gets a key of its own. Uids begin with the time,
//! so new objects lengthen the last block, and it is rare that one is moved to another.

use super::{QueryFault, fault};
use domain::Uid;
use std::collections::BTreeMap;
use std::iter::Peekable;
use std::ops::Bound;

/// Objects in a block at most. A change rewrites the block, and a search reads it whole.
const BLOCK_OBJECTS_MAX: usize = 256;

/// What a list says of one object.
pub(super) type Marks = Vec<[u8; 8]>;

/// What becomes of objects in a list: new marks, or `None` for those that leave it.
pub(super) type Changes = BTreeMap<Uid, Option<Marks>>;

/// Objects with their marks.
pub(super) type Block = BTreeMap<Uid, Marks>;

/// The writes that bring lists of one tree up to date.
#[derive(Default)]
pub(super) struct Writes {
    pub(super) batch: sled::Batch,
    /// Objects go from one block to another: who walks along the list meanwhile may miss them.
    pub(super) moves: bool,
}

/// Plans the changes of one list. Each list may be planned once before the writes are applied.
///
/// # Errors
/// sled failed, or a block does not read as one.
pub(super) fn change(
    tree: &sled::Tree,
    prefix: &[u8],
    changes: Changes,
    writes: &mut Writes,
) -> Result<(), QueryFault> {
    let mut changes = changes.into_iter().peekable();
    while let Some((first, _)) = changes.peek() {
        let place = Place::of(tree, prefix, first)?;
        change_block(place, prefix, &mut changes, writes);
    }
    Ok(())
}

/// What the list says of one object; `None` when it is not in it.
///
/// # Errors
/// As [`change`].
pub(super) fn marks_of(
    tree: &sled::Tree,
    prefix: &[u8],
    uid: &Uid,
    last: &mut Option<Place>,
) -> Result<Option<Marks>, QueryFault> {
    if !last.as_ref().is_some_and(|place| place.is_of(prefix, uid)) {
        *last = Some(Place::of(tree, prefix, uid)?);
    }
    Ok(last
        .as_ref()
        .and_then(|place| place.block.get(uid).cloned()))
}

/// A block, and for which objects it is the right one: from its key on, up to the next block's.
pub(super) struct Place {
    key: Option<sled::IVec>,
    block: Block,
    next: Option<sled::IVec>,
}

impl Place {
    fn of(tree: &sled::Tree, prefix: &[u8], uid: &Uid) -> Result<Self, QueryFault> {
        let at = key(prefix, uid.as_bytes());
        let (low, high) = (key(prefix, &[0; 16]), key(prefix, &[0xFF; 16]));
        let before = tree.range(low.as_slice()..=at.as_slice()).next_back();
        // What comes before every block goes into the first.
        let found = before.or_else(|| tree.range(low.as_slice()..=high.as_slice()).next());
        let Some((found, value)) = found.transpose().map_err(fault)? else {
            return Ok(Self {
                key: None,
                block: Block::new(),
                next: None,
            });
        };
        let after = (
            Bound::Excluded(found.as_ref()),
            Bound::Included(high.as_slice()),
        );
        let next = tree.range::<&[u8], _>(after).next();
        let next = next.transpose().map_err(fault)?;
        Ok(Self {
            block: decode(&value)?,
            key: Some(found),
            next: next.map(|(key, _)| key),
        })
    }

    fn is_of(&self, prefix: &[u8], uid: &Uid) -> bool {
        let at = key(prefix, uid.as_bytes());
        let begins = self
            .key
            .as_ref()
            .is_some_and(|key| key.as_ref() <= at.as_slice());
        begins && self.is_before_next(&at)
    }

    fn is_before_next(&self, at: &[u8]) -> bool {
        self.next.as_ref().is_none_or(|next| at < next.as_ref())
    }
}

/// Takes the changes that belong to one block and writes it.
fn change_block(
    mut place: Place,
    prefix: &[u8],
    changes: &mut Peekable<impl Iterator<Item = (Uid, Option<Marks>)>>,
    writes: &mut Writes,
) {
    let last = place.block.keys().next_back().copied();
    let mut grows_at_the_end = true;
    loop {
        let next = changes.next_if(|(uid, _)| place.is_before_next(&key(prefix, uid.as_bytes())));
        let Some((uid, marks)) = next else { break };
        match marks {
            Some(marks) => {
                let is_new = place.block.insert(uid, marks).is_none();
                grows_at_the_end &= !is_new || Some(uid) > last;
            }
            None => drop(place.block.remove(&uid)),
        }
    }
    let mut rest: Vec<(Uid, Marks)> = place.block.into_iter().collect();
    let first = rest.first().map(|(uid, _)| key(prefix, uid.as_bytes()));
    let mut old = place.key;
    // A key after its first object would put two parts of the block in the wrong order.
    if let Some(gone) = old.take_if(|old| first.as_deref().is_none_or(|first| first < old.as_ref()))
    {
        writes.moves |= first.is_some();
        writes.batch.remove(gone);
    }
    // At the end a full block stays as it is; elsewhere all parts get room to grow.
    let parts = rest.len().div_ceil(BLOCK_OBJECTS_MAX).max(1);
    let length = if grows_at_the_end {
        BLOCK_OBJECTS_MAX
    } else {
        rest.len().div_ceil(parts)
    };
    writes.moves |= !grows_at_the_end && parts > 1;
    while let Some((uid, _)) = rest.first() {
        let key = old.take();
        let key = key.unwrap_or_else(|| key_of(prefix, uid));
        let later = rest.split_off(length.min(rest.len()));
        writes.batch.insert(key, encode(&rest));
        rest = later;
    }
}

fn key(prefix: &[u8], uid: &[u8]) -> Vec<u8> {
    [prefix, uid].concat()
}

fn key_of(prefix: &[u8], uid: &Uid) -> sled::IVec {
    key(prefix, uid.as_bytes()).into()
}

fn encode(block: &[(Uid, Marks)]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(block.len() * 24);
    for (uid, marks) in block {
        bytes.extend(uid.as_bytes());
        let count = u32::try_from(marks.len()).unwrap_or(u32::MAX);
        bytes.extend(count.to_be_bytes());
        bytes.extend(marks.iter().take(count as usize).flatten());
    }
    bytes
}

/// Reads a block.
///
/// # Errors
/// It is none.
pub(super) fn decode(bytes: &[u8]) -> Result<Block, QueryFault> {
    let damaged = || fault("a block of a list does not read as one");
    let mut block = Block::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let (uid, after) = rest.split_first_chunk::<16>().ok_or_else(damaged)?;
        let (count, after) = after.split_first_chunk::<4>().ok_or_else(damaged)?;
        let length = u32::from_be_bytes(*count) as usize * 8;
        let (marks, after) = after.split_at_checked(length).ok_or_else(damaged)?;
        let marks = marks
            .chunks_exact(8)
            .filter_map(|mark| mark.try_into().ok());
        block.insert(Uid::from_bytes(*uid), marks.collect());
        rest = after;
    }
    Ok(block)
}

#[cfg(test)]
mod tests;
