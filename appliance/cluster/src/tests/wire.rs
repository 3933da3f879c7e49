//! Messages: nothing that another node sends can be more than a fault.

use crate::types::{Batch, Command, Reign, TypeConfig};
use crate::wire::{Reply, Request, decode, encode, is_ours};
use openraft::raft::AppendEntriesRequest;
use openraft::{Entry, EntryPayload, LogId, Vote};
use proptest::prelude::*;

fn reign() -> Reign {
    Reign::new(3, 2)
}

fn append(commands: Vec<Command>) -> Request {
    let batch = Batch {
        reign: reign(),
        ids: commands
            .iter()
            .map(|_| serde_bytes::ByteArray::new([9; 16]))
            .collect(),
        commands: commands.into(),
    };
    Request::Append(AppendEntriesRequest::<TypeConfig> {
        vote: Vote::new_committed(3, 2),
        prev_log_id: Some(LogId::new(reign(), 6)),
        entries: vec![Entry {
            log_id: LogId::new(reign(), 7),
            payload: EntryPayload::Normal(batch),
        }],
        leader_commit: Some(LogId::new(reign(), 5)),
    })
}

#[test]
fn a_message_is_never_taken_for_another_body_nor_the_other_way() {
    let ours = encode(&Request::Ping).unwrap();
    assert!(is_ours(&ours));
    for first in 0..0xFFu8 {
        assert!(!is_ours(&[first, 1, 2]));
    }
    // Whatever CBOR a service sends, its first byte is no break.
    let theirs = crate::codec::to_vec(&(1, "join")).unwrap();
    assert!(!is_ours(&theirs));
    assert!(decode::<Request>(&theirs).is_err());
    assert!(decode::<Request>(&[]).is_err());
}

#[test]
fn sealed_bytes_take_their_own_size_on_the_wire() {
    let sealed = Command {
        bytes: vec![1; 100],
        payload: Some(vec![0xEE; 100_000]),
    };
    let bytes = encode(&append(vec![sealed])).unwrap();
    // As an array of numbers it would be twice that.
    assert!(bytes.len() < 100_600, "{}", bytes.len());
}

proptest! {
    #[test]
    fn entries_come_out_as_they_went_in(
        commands in prop::collection::vec(
            (any::<Vec<u8>>(), any::<Option<Vec<u8>>>()), 0..5
        )
    ) {
        let commands = commands.into_iter().map(|(bytes, payload)| Command { bytes, payload });
        let commands: Vec<Command> = commands.collect();
        let bytes = encode(&append(commands.clone())).unwrap();
        let Request::Append(append) = decode(&bytes).unwrap() else {
            panic!("another message");
        };
        let EntryPayload::Normal(batch) = &append.entries[0].payload else {
            panic!("another entry");
        };
        prop_assert_eq!(&*batch.commands, commands.as_slice());
        let bare = batch.without_payloads();
        prop_assert!(!bare.has_payload());
        prop_assert_eq!(&bare.ids, &batch.ids);
    }

    #[test]
    fn any_bytes_decode_or_are_refused(mut bytes in any::<Vec<u8>>()) {
        bytes.insert(0, 0xFF);
        drop(decode::<Request>(&bytes));
        drop(decode::<Reply>(&bytes));
    }

    #[test]
    fn a_damaged_message_decodes_or_is_refused(at in 1usize..60, byte in any::<u8>()) {
        let mut bytes = encode(&append(vec![Command::default()])).unwrap();
        bytes[at] = byte;
        drop(decode::<Request>(&bytes));
    }
}
