//! Arbitrary commands against a rich state: the law is total, agrees with its own preview, forgets
//! nothing in replay and brings nothing back from the dead.
#![no_main]

use domain::{Command, Event, LifecycleState, RECORD_BYTES_MAX, State, admit, codec, decide};
use fuzz::site;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((&aim, bytes)) = input.split_first() else {
        return;
    };
    let Ok(mut commands) = codec::from_slice::<Vec<Command>>(bytes) else {
        return;
    };
    let mut state = site::state().clone();
    let mut records = Vec::new();
    for (entry, command) in (1_000..).zip(&mut commands) {
        // Even numbers leave the identifiers as they are, so that unknown ones are tried too.
        if aim % 2 == 1 {
            site::aim(command, aim / 2);
        }
        // What was carried out before is not judged again (the token is no part of the ask).
        let repeated = command
            .facts
            .once
            .is_some_and(|once| state.repeated(&command.actor, &once).is_some());
        let admitted = admit(&state, &command.actor, &command.ask, command.time);
        if let (Err(denial), false) = (admitted, repeated) {
            let events = decide(&state, command);
            let same = |e: &Event| matches!(e, Event::Refused { denial: d, .. } if *d == denial);
            assert!(
                events.len() == 1 && events.iter().all(same),
                "{denial:?}: {events:?}"
            );
        }
        records.extend(site::carry_out(&mut state, entry, command));
    }
    let mut replayed = site::state().clone();
    for record in &records {
        let bytes = codec::to_vec(record);
        assert!(
            bytes.len() <= RECORD_BYTES_MAX,
            "a record of {} bytes",
            bytes.len()
        );
        let read = codec::from_slice(&bytes).expect("what we encode, we decode");
        replayed.evolve(&read);
        assert!(!domain::summary(record).chars().any(char::is_control));
    }
    assert_eq!(replayed.digest(), state.digest(), "replay is the state");
    assert_dead_stay_dead(&state);
});

/// Tombstones are monotone.
fn assert_dead_stay_dead(after: &State) {
    let dead = [
        LifecycleState::Destroyed,
        LifecycleState::DestroyedCompromised,
    ];
    let now = domain::Time(i64::MAX);
    for object in site::state()
        .objects()
        .filter(|o| dead.contains(&o.state_at(now)))
    {
        let later = after.object(object.uid()).expect("a tombstone stays");
        assert!(dead.contains(&later.state_at(now)), "{later:?}");
    }
}
