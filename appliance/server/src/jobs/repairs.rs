//! Tells the cluster log what was repaired on this node. What is to be told lies in a small file
//! until the log has it, so that a repair before the node took part is told as well.

use crate::engine::{Engine, Refusal};
use crate::layout::{Layout, write_file};
use domain::{Actor, Ask};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How often it is looked whether something is to be told.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// Repairs that the cluster log does not know yet: how many pieces of what.
#[derive(Clone, Debug)]
pub(crate) struct Repairs {
    file: PathBuf,
    untold: Arc<Mutex<BTreeMap<String, u64>>>,
}

impl Repairs {
    /// Those that an earlier life of the node could not tell, if any.
    pub(crate) fn open(layout: &Layout) -> Self {
        let file = layout.repairs();
        let untold = read(&file).unwrap_or_else(|e| {
            tracing::warn!("{}: {e}; repairs in it are not told", file.display());
            BTreeMap::new()
        });
        let untold = Arc::new(Mutex::new(untold));
        Self { file, untold }
    }

    /// Whether nothing waits to be told.
    pub(crate) fn is_empty(&self) -> bool {
        self.untold.lock().is_empty()
    }

    /// Adds `items` pieces of `what`.
    pub(crate) fn add(&self, what: &str, items: u64) {
        if items == 0 {
            return;
        }
        tracing::warn!("repaired from other members: {what}, {items}");
        let mut untold = self.untold.lock();
        let count = untold.entry(what.to_owned()).or_default();
        *count = count.saturating_add(items);
        self.keep(&untold);
    }

    fn told(&self, what: &str, items: u64) {
        let mut untold = self.untold.lock();
        let left = untold.get(what).map(|count| count.saturating_sub(items));
        match left {
            Some(left) if left > 0 => drop(untold.insert(what.to_owned(), left)),
            _ => drop(untold.remove(what)),
        }
        self.keep(&untold);
    }

    fn keep(&self, untold: &BTreeMap<String, u64>) {
        let text = serde_json::to_vec(untold).map_err(io::Error::other);
        let kept = text.and_then(|text| write_file(&self.file, &text, 0o600));
        if let Err(e) = kept {
            tracing::warn!("{}: {e}", self.file.display());
        }
    }

    fn next(&self) -> Option<(String, u64)> {
        let untold = self.untold.lock();
        let first = untold.first_key_value();
        first.map(|(what, items)| (what.clone(), *items))
    }
}

fn read(file: &Path) -> io::Result<BTreeMap<String, u64>> {
    match std::fs::read(file) {
        Ok(text) => Ok(serde_json::from_slice(&text)?),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(BTreeMap::new()),
        Err(e) => Err(e),
    }
}

/// Tells what there is to tell, until the log has it.
pub(super) async fn tell(engine: Arc<Engine>, repairs: Repairs) {
    let node = engine.node();
    let mut ticks = super::ticks(LOOK_INTERVAL);
    loop {
        ticks.tick().await;
        let Some((what, items)) = repairs.next() else {
            continue;
        };
        let ask = Ask::RecordRepair {
            node,
            what: what.clone(),
            items,
        };
        match engine.change(&Actor::Node(node), ask, None).await {
            Ok(_) => repairs.told(&what, items),
            // A node that comes back is told of its admission by the log first.
            Err(Refusal::Denied { denial, .. }) => tracing::debug!("repair of {what}: {denial}"),
            Err(e) => tracing::debug!("repair of {what}: {e}"),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn what_was_not_told_is_told_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::new(folder.path());
        layout.make().unwrap();
        let repairs = Repairs::open(&layout);
        assert!(repairs.is_empty());
        repairs.add("sealed store", 0);
        assert!(repairs.is_empty(), "a repair of nothing is none");
        repairs.add("sealed store", 2);
        repairs.add("sealed store", 1);
        repairs.add("cluster log", 1);
        let again = Repairs::open(&layout);
        assert_eq!(again.next(), Some(("cluster log".to_owned(), 1)));
        again.told("cluster log", 1);
        assert_eq!(again.next(), Some(("sealed store".to_owned(), 3)));
        again.told("sealed store", 2);
        let last = Repairs::open(&layout);
        assert_eq!(last.next(), Some(("sealed store".to_owned(), 1)));
        last.told("sealed store", 1);
        assert!(Repairs::open(&layout).is_empty());
    }
}
