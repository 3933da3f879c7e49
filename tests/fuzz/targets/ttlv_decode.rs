//! Arbitrary bytes as one TTLV message: framing never panics, and what is accepted is encoded
//! again to the very same bytes. (The frame does not look into texts; reading one does.)
#![no_main]

use kmip::ttlv::{self, Item, Limits, Writer};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Ok(field) = ttlv::check(input, &Limits::default()) else {
        return;
    };
    let Ok(item) = Item::read(&field) else {
        return;
    };
    let mut again = Vec::new();
    item.write(&mut Writer::new(&mut again));
    assert_eq!(again, input, "encode(decode(b)) == b for every accepted b");
});
