//! **One order explains everything**: what the clients saw of each key, at whatever node they
//! asked, is what one key would have done that obeys one operation at a time. Reads count as much
//! as writes; an operation without an answer may have happened at any time after it was asked, or
//! never.

use crate::linear;
use crate::storm::Broken;
use crate::storm::chronicle::Book;
use crate::storm::site::KeyLife;

/// Judges a whole run.
pub fn check(book: &Book) -> Result<(), Broken> {
    let verdict = linear::check(&KeyLife, &book.history());
    verdict
        .demand()
        .map_err(|e| Broken::new("linearizable", e.to_string()))
}
