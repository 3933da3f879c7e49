//! Arbitrary bytes as a KMIP request or response: decoding never panics, and what we write of what
//! we understood is understood again, to the byte.
#![no_main]

use kmip::{Limits, Request, Response};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let limits = Limits::default();
    match Request::decode(input, &limits) {
        Ok(request) => {
            let first = encoded(|out| request.encode(out));
            let again = Request::decode(&first, &limits).expect("what we encode, we decode");
            // Encoding leaves out what the version does not know, an attribute that an item is all
            // about too; such an item, and one that was not understood, comes back as another.
            if understood(&request) && understood(&again) {
                assert_eq!(encoded(|out| again.encode(out)), first);
            }
        }
        Err(error) => {
            let _ = encoded(|out| error.answer(0).encode(out));
        }
    }
    if let Ok(response) = Response::decode(input, &limits) {
        let first = encoded(|out| response.encode(out));
        if let Ok(again) = Response::decode(&first, &limits) {
            assert_eq!(encoded(|out| again.encode(out)), first);
        }
    }
});

fn understood(request: &Request) -> bool {
    request.items.iter().all(|item| item.payload.is_ok())
}

fn encoded(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(&mut bytes);
    bytes
}
