//! A list in blocks says what a map would say, whatever is done to it and in which order.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use super::*;
use proptest::prelude::*;

const LISTS: [&[u8]; 2] = [b"aaaaaaaa", b"aaaaaaab"];

fn tree() -> sled::Tree {
    let config = sled::Config::new().temporary(true).cache_capacity(1 << 20);
    config.open().unwrap().open_tree("list").unwrap()
}

/// A uid in the middle of the range, so that others come before and after it.
fn uid(n: u16) -> Uid {
    let mut bytes = [7; 16];
    bytes[..2].copy_from_slice(&n.to_be_bytes());
    Uid::from_bytes(bytes)
}

fn apply(tree: &sled::Tree, prefix: &[u8], changes: Changes) -> bool {
    let mut writes = Writes::default();
    change(tree, prefix, changes, &mut writes).unwrap();
    tree.apply_batch(writes.batch).unwrap();
    writes.moves
}

/// The blocks of a list, in order of their keys.
fn blocks(tree: &sled::Tree, prefix: &[u8]) -> Vec<Block> {
    let range = key(prefix, &[0; 16])..=key(prefix, &[0xFF; 16]);
    let values = tree.range(range).map(|entry| entry.unwrap().1);
    values.map(|value| decode(&value).unwrap()).collect()
}

fn all(blocks: &[Block]) -> Vec<(Uid, Marks)> {
    blocks
        .iter()
        .flatten()
        .map(|(u, m)| (*u, m.clone()))
        .collect()
}

/// Some changes of one list at once: many new ones in a row, or single ones anywhere.
fn changes() -> impl Strategy<Value = Changes> {
    let marks = || prop::option::weighted(0.6, prop::collection::vec(any::<[u8; 8]>(), 0..4));
    let single = prop::collection::btree_map(any::<u16>().prop_map(uid), marks(), 0..40);
    let row = (any::<u16>(), 1u16..900).prop_map(|(from, count)| {
        let row = (0..count).map(|n| (uid(from.saturating_add(n)), Some(Vec::new())));
        row.collect()
    });
    prop_oneof![3 => single, 1 => row]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_list_is_a_map(steps in prop::collection::vec((0..2usize, changes()), 1..12)) {
        let tree = tree();
        let mut model = [Block::new(), Block::new()];
        for (which, changes) in steps {
            let before = blocks(&tree, LISTS[which]);
            for (uid, marks) in &changes {
                match marks {
                    Some(marks) => drop(model[which].insert(*uid, marks.clone())),
                    None => drop(model[which].remove(uid)),
                }
            }
            let touched: Vec<Uid> = changes.keys().copied().collect();
            let moves = apply(&tree, LISTS[which], changes);
            for (list, model) in LISTS.iter().zip(&model) {
                let blocks = blocks(&tree, list);
                // Also in the order of the blocks, so that newest first is a walk from the end.
                prop_assert_eq!(all(&blocks), model.clone().into_iter().collect::<Vec<_>>());
                let lengths = blocks.iter().map(BTreeMap::len);
                prop_assert!(lengths.clone().all(|n| (1..=BLOCK_OBJECTS_MAX).contains(&n)));
            }
            let mut place = None;
            for uid in touched {
                let marks = marks_of(&tree, LISTS[which], &uid, &mut place).unwrap();
                prop_assert_eq!(marks.as_ref(), model[which].get(&uid));
            }
            if !moves {
                let after = blocks(&tree, LISTS[which]);
                let stays = |block: &Block| {
                    let left = block.keys().filter(|uid| model[which].contains_key(uid));
                    let left: Vec<_> = left.collect();
                    left.is_empty() || after.iter().any(|b| left.iter().all(|u| b.contains_key(u)))
                };
                prop_assert!(before.iter().all(stays), "moved, and not said");
            }
        }
    }
}

#[test]
fn new_objects_fill_blocks_and_move_nothing() {
    let tree = tree();
    for n in 0..2_000 {
        let moves = apply(&tree, b"", Changes::from([(uid(n), Some(vec![[1; 8]; 3]))]));
        assert!(!moves, "{n}");
    }
    let blocks = blocks(&tree, b"");
    assert_eq!(blocks.len(), 2_000usize.div_ceil(BLOCK_OBJECTS_MAX));
    assert_eq!(all(&blocks).len(), 2_000);
}

#[test]
fn a_cut_block_is_refused() {
    let whole = encode(&[(uid(1), vec![[2; 8]]), (uid(2), Vec::new())]);
    let cuts = (1..whole.len()).filter(|at| decode(&whole[..*at]).is_err());
    // All but the one between the two objects.
    assert_eq!(cuts.count(), whole.len() - 2);
}
