//! A target with a bug on purpose: `cargo xtask fuzz` fails when it is not found. Four bytes have
//! to be right one after the other, so that only a fuzzer that sees coverage gets there in time.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let [first, second, third, fourth, ..] = input else {
        return;
    };
    if *first == b'b' && *second == b'i' && *third == b'r' && *fourth == b'd' {
        panic!("the canary was found");
    }
});
