//! The storage under openraft's own suite, the double slot under torn writes, and a member alone.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod double_slot;
mod member;
mod suite;
