//! Arbitrary bytes as a KMIP request or response: decoding never panics, and what we write of what
//! we understood is understood again, to the byte.
#![no_main]

use kmip::{Limits, Request, Response};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let limits = Limits::default();
    match Request::decode(input, &limits) {
        Ok(request) => {
            // Encoding leaves out what the version does not know, so the second time is the test.
            let first = encoded(|out| request.encode(out));
            let again = Request::decode(&first, &limits).expect("what we encode, we decode");
            // An item that was not understood is written with an empty payload, which may be one.
            if request.items.iter().all(|item| item.payload.is_ok()) {
                assert_eq!(encoded(|out| again.encode(out)), first);
            }
        }
        Err(error) => {
            let _ = encoded(|out| error.answer(0).encode(out));
        }
    }
    if let Ok(response) = Response::decode(input, &limits) {
        let first = encoded(|out| response.encode(out));
        let again = Response::decode(&first, &limits).expect("what we encode, we decode");
        assert_eq!(encoded(|out| again.encode(out)), first);
    }
});

fn encoded(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(&mut bytes);
    bytes
}
