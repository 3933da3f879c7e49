//! **Acknowledged means durable**: what a client was told is done stands in an entry, and in the
//! end every member has applied that entry; what a client was told will never happen has no effect.

use crate::storm::Broken;
use crate::storm::chronicle::{Book, Knows};
use crate::storm::site::Wish;

const PROMISE: &str = "acked never lost";

/// A client is told that its change was made: then it was applied before.
pub fn answered(book: &Book, number: u64) -> Result<(), Broken> {
    match book.effects.contains_key(&number) {
        true => Ok(()),
        false => Err(Broken::new(
            PROMISE,
            format!("#{number} was answered and applied nowhere"),
        )),
    }
}

/// At the end: `applied` is the last entry of each node that runs.
pub fn at_the_end(book: &Book, applied: &[(u64, u64)]) -> Result<(), Broken> {
    for (number, asked) in book.asked.iter().enumerate() {
        if asked.operation.ask == Wish::Read {
            continue;
        }
        let entry = book.effects.get(&(number as u64)).copied();
        match (asked.knows, entry) {
            (Knows::Never, Some(entry)) => {
                let what = format!("#{number} was to happen never and stands in entry {entry}");
                return Err(Broken::new(PROMISE, what));
            }
            (Knows::Answered, Some(entry)) => {
                if let Some((node, end)) = applied.iter().find(|(_, end)| *end < entry) {
                    let what = format!("#{number} is entry {entry}; node {node} ends at {end}");
                    return Err(Broken::new(PROMISE, what));
                }
            }
            (Knows::Answered, None) => {
                return Err(Broken::new(
                    PROMISE,
                    format!("#{number} was applied nowhere"),
                ));
            }
            _ => {}
        }
    }
    Ok(())
}
