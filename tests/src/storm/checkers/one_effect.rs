//! **At most one effect**: a command stands in at most one entry that counts, however often it was
//! sent.

use crate::storm::Broken;
use std::collections::BTreeMap;

/// An entry was applied that carries out these operations.
pub fn applied(
    effects: &mut BTreeMap<u64, u64>,
    entry: u64,
    operations: &[u64],
) -> Result<(), Broken> {
    for operation in operations {
        let first = *effects.entry(*operation).or_insert(entry);
        if first != entry {
            let what = format!("#{operation} took effect in entry {first} and in entry {entry}");
            return Err(Broken::new("at most one effect", what));
        }
    }
    Ok(())
}
