//! Frames of every kind, as nodes send them to each other.

use cluster::peers::frame::{Message, encode};
use cluster::peers::{Hello, Lane, PROTOCOL, Refused};

/// One frame of each kind.
pub fn seeds() -> Vec<Vec<u8>> {
    let hello = Hello {
        protocol: PROTOCOL,
        cluster: [7; 16],
        lineage: 1,
        node: 2,
        member_epoch: 9,
        format: 2,
        version: "0.1.0".into(),
        log_end: Some(1_000),
        cluster_log: Some((800, [1; 32])),
        access_log: None,
    };
    let refused = Refused::Other {
        code: "unheard_of".into(),
        text: "something that a later version says".into(),
    };
    let messages = [
        Message::Hello(Lane::Raft, Box::new(hello)),
        Message::Accept,
        Message::Refusal(Box::new(refused)),
        Message::Request(3, vec![0xA1; 40]),
        Message::Answer(3, vec![0xF6]),
        Message::Failure(4, "no such entry".into()),
        Message::Heartbeat,
    ];
    messages
        .iter()
        .map(|message| encode(message).expect("a seed fits"))
        .collect()
}
