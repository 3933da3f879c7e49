//! The rules of this repository, as ordinary tests.
//!
//! What a reviewer would otherwise have to remember: which crate may depend on which, what may not
//! be called where, how long a function may be, that every document points at something that
//! exists. Each rule stands beside a bad example that it has to catch, so that a rule that has
//! gone blind fails too. Rules about one source file are in `rules/source.rs`, those about
//! dependencies in `rules/dependencies.rs`, those about documents in `rules/documents.rs`.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a rule that cannot read the tree has to fail loudly"
)]

#[path = "rules/dependencies.rs"]
mod dependencies;
#[path = "rules/documents.rs"]
mod documents;
#[path = "rules/masked.rs"]
mod masked;
#[path = "rules/source.rs"]
mod source;
#[path = "rules/tree.rs"]
mod tree;

/// Fails with one line per finding.
fn assert_none(findings: &[String]) {
    assert!(
        findings.is_empty(),
        "{} finding(s):\n{}",
        findings.len(),
        findings.join("\n")
    );
}
