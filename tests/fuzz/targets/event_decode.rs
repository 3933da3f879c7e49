//! Arbitrary bytes as a record of either log, or as a command: decoding never panics, showing it
//! to people never panics nor lets control characters through, and what was understood survives
//! encoding.
#![no_main]

use domain::{AccessRecord, Command, Record, State, access_summary, codec, summary};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    if let Ok(record) = codec::from_slice::<Record>(input) {
        let again = codec::from_slice::<Record>(&codec::to_vec(&record));
        assert_eq!(again.as_ref(), Ok(&record));
        assert!(!summary(&record).chars().any(char::is_control));
        // `evolve` is total: also for records that no `decide` would make.
        let mut state = fuzz::site::state().clone();
        state.evolve(&record);
        state.digest();
        State::default().evolve(&record);
    }
    if let Ok(record) = codec::from_slice::<AccessRecord>(input) {
        let again = codec::from_slice::<AccessRecord>(&codec::to_vec(&record));
        assert_eq!(again.as_ref(), Ok(&record));
        assert!(!access_summary(&record).chars().any(char::is_control));
    }
    if let Ok(command) = codec::from_slice::<Command>(input) {
        let again = codec::from_slice::<Command>(&codec::to_vec(&command));
        assert_eq!(again.as_ref(), Ok(&command));
    }
});
