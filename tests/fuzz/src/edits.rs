//! Damage to a set of files, as a disk or a forger does it.
//!
//! An edit is 6 bytes and its payload: which file, what to do, where (u16 LE), length of the
//! payload and a spare byte. So the fuzzer changes something valid in a few places, instead of
//! having to guess a whole one.

use std::collections::BTreeMap;

/// Edits that one input makes at most: more damage is no other damage.
const EDITS_MAX: usize = 8;

/// Applies the edits of `input`; a file number beyond the last makes the new file `fresh(place)`.
/// Returns whether an edit wrote more than one byte, and so may have brought something valid of its
/// own.
pub fn apply<K: Ord + Clone>(
    files: &mut BTreeMap<K, Vec<u8>>,
    input: &[u8],
    fresh: impl Fn(usize) -> K,
) -> bool {
    let mut rest = input;
    let mut forged = false;
    for _ in 0..EDITS_MAX {
        let Some((&[file, action, low, high, length, _], after)) = rest.split_first_chunk() else {
            break;
        };
        let (payload, after) = after.split_at(usize::from(length).min(after.len()));
        rest = after;
        let index = usize::from(file) % (files.len() + 1);
        let place = usize::from(u16::from_le_bytes([low, high]));
        let Some(path) = files.keys().nth(index).cloned() else {
            files.insert(fresh(place), payload.to_vec());
            forged = true;
            continue;
        };
        if action == u8::MAX {
            files.remove(&path);
        } else if let Some(bytes) = files.get_mut(&path) {
            forged |= edit(bytes, action, place, payload);
        }
    }
    forged
}

/// Changes one file: cuts it, flips bits of a byte, overwrites, or inserts.
fn edit(bytes: &mut Vec<u8>, action: u8, place: usize, payload: &[u8]) -> bool {
    let at = place % (bytes.len() + 1);
    match action % 4 {
        0 => bytes.truncate(at),
        1 => {
            if let (Some(byte), Some(mask)) = (bytes.get_mut(at), payload.first()) {
                *byte ^= mask;
            }
        }
        2 => {
            let end = (at + payload.len()).min(bytes.len());
            bytes[at..end].copy_from_slice(&payload[..end - at]);
            return true;
        }
        _ => {
            bytes.splice(at..at, payload.iter().copied());
            return true;
        }
    }
    false
}

/// Inputs that show each kind of edit, after a first byte that the target reads.
pub fn seeds() -> Vec<Vec<u8>> {
    vec![
        vec![0],
        vec![12],
        vec![3, 0, 0, 40, 0, 0, 0],
        vec![0, 1, 1, 30, 0, 1, 0, 0x80],
        vec![5, 2, 2, 20, 0, 4, 0, 1, 2, 3, 4],
        vec![1, 2, 2, 20, 0, 4, 0, b'0', b'1', b'}', b'\n'],
        vec![0, 1, 3, 16, 0, 4, 0, 0, 0, 0, 0],
        vec![1, 3, 3, 16, 0, 1, 0, b' '],
        vec![0, 1, 255, 0, 0, 0, 0],
        vec![12, 3, 0, 50, 0, 0, 0, 2, 1, 90, 0, 1, 0, 1],
    ]
}
