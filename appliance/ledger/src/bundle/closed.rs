//! Closed logs: of one log, the records of one view in one range, and proof that the rest of the
//! range is other records and nothing was left out.
//!
//! The tree before the range is given by the roots of its complete subtrees (`<log>/frontier`), so
//! its root can be computed: it is the root of the closed log before. From there the lines go on:
//! a record of the view is shown whole, and records of other views in between stand as roots of
//! complete subtrees. All of it together must lead to the root of the signed checkpoint; a record
//! can be neither left out nor put in. The closed logs of the other views show what is hidden here.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::format::line_number;
use crate::tree::{Frontier, Hash, node_hash};

/// File of the subtree roots, beside the parts of the log.
const FRONTIER_NAME: &str = "frontier";

/// Path of the file with the tree before the range.
pub(super) fn frontier_path(log: &str) -> String {
    format!("{log}/{FRONTIER_NAME}")
}

/// One subtree root a line, in base64, the largest subtree first; nothing for the empty tree.
pub(super) fn frontier_text(frontier: &Frontier) -> String {
    let lines = frontier.subtrees().iter();
    lines.map(|root| root.to_base64() + "\n").collect()
}

/// Reads [`frontier_text`] for a tree of so many records; `None` for anything else.
pub(super) fn parse_frontier(text: &str, size: u64) -> Option<Frontier> {
    let roots = text.lines().map(Hash::from_base64);
    let frontier = Frontier::of_subtrees(size, roots.collect::<Option<_>>()?)?;
    (frontier_text(&frontier) == text).then_some(frontier)
}

/// Records side by side that are not shown, as the fewest complete subtrees.
#[derive(Debug)]
pub(super) struct Others {
    next: u64,
    /// Level and root; a subtree of level `k` has `2^k` records.
    subtrees: Vec<(u32, Hash)>,
}

impl Others {
    /// None yet; the next one has this number.
    pub(super) fn from(next: u64) -> Self {
        let subtrees = Vec::new();
        Self { next, subtrees }
    }

    pub(super) fn push(&mut self, leaf: Hash) {
        let (mut level, mut root, mut first) = (0, leaf, self.next);
        self.next += 1;
        // Two neighbours below one parent are its subtree.
        while (first >> level) & 1 == 1
            && let Some((_, left)) = self.subtrees.pop_if(|(left, _)| *left == level)
        {
            root = node_hash(&left, &root);
            first -= 1 << level;
            level += 1;
        }
        self.subtrees.push((level, root));
    }

    /// The lines that stand for them, each with its line break.
    pub(super) fn lines(&self) -> impl Iterator<Item = String> + '_ {
        let records: u64 = self.subtrees.iter().map(|(level, _)| 1 << level).sum();
        let mut n = self.next - records;
        self.subtrees.iter().map(move |(level, root)| {
            let (at, count) = (n, 1_u64 << level);
            n += count;
            let root = BASE64.encode(root.0);
            format!("{{\"n\":{at},\"others\":{count},\"root\":\"{root}\"}}\n")
        })
    }
}

/// Level and root of a line of [`Others::lines`], without its break; nothing but exactly that form.
pub(super) fn parse_others(line: &str) -> Option<(u32, Hash)> {
    let n = line_number(line)?;
    let (_, rest) = line.split_once(",\"others\":")?;
    let (count, rest) = rest.split_once(",\"root\":\"")?;
    let root = Hash::from_base64(rest.strip_suffix("\"}")?)?;
    let count: u64 = count.parse().ok().filter(|n: &u64| n.is_power_of_two())?;
    let text = root.to_base64();
    let is_whole = line == format!("{{\"n\":{n},\"others\":{count},\"root\":\"{text}\"}}");
    is_whole.then_some((count.trailing_zeros(), root))
}
