//! **One reign, one life**: in each reign (term and node; openraft orders them so) there is one
//! leader, which leads it without an interruption. A node that was down has to be elected again, in
//! a later term: it may have lost what it had not yet synced.

use crate::storm::Broken;
use std::collections::BTreeMap;

/// Which life of the node led in each reign.
pub type Reigns = BTreeMap<(u64, u64), u64>;

/// A node says that it leads.
pub fn leads(reigns: &mut Reigns, term: u64, node: u64, life: u64) -> Result<bool, Broken> {
    let is_new = !reigns.contains_key(&(term, node));
    let first = *reigns.entry((term, node)).or_insert(life);
    if first != life {
        let what = format!("node {node} leads term {term} in its lives {first} and {life}");
        return Err(Broken::new("one reign, one life", what));
    }
    Ok(is_new)
}
