//! Frames between nodes: reading one never panics, and what was read can be sent on.
//!
//! Long texts are cut when they are sent, so it is the second time that must change nothing.
#![no_main]

use cluster::peers::frame::{Malformed, decode, encode};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let message = match decode(input) {
        Ok(message) => message,
        Err(malformed) => return assert!(!malformed.to_string().is_empty()),
    };
    let sent = match encode(&message) {
        Ok(sent) => sent,
        // Our own encoding of a greeting may be longer than the one that was read.
        Err(Malformed::TooLong { .. }) => return,
        Err(e) => panic!("{e}"),
    };
    let read = decode(&sent).expect("our own frame");
    assert_eq!(encode(&read), Ok(sent));
});
