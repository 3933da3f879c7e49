//! Forgeries of a signed export: verifying never panics, and nothing verifies for somebody who
//! knows the signer but what was signed.
//!
//! The input is a list of edits (see `fuzz::edits` and `fuzz::export`) to a genuine export.
#![no_main]

use fuzz::export;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    match export::verify(&export::forged(input)) {
        Ok(report) => assert_eq!(report, export::genuine().report, "a forgery was accepted"),
        Err(finding) => assert!(!finding.to_string().is_empty()),
    }
    // The input as an archive by itself: reading it has its bounds.
    assert!(export::verify(input).is_err());
});
