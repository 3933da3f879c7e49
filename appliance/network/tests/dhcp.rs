//! The DHCP client without a network: its states, what it believes, and bytes of all kinds.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

use dhcproto::v4::{DhcpOption, Message, MessageType, Opcode};
use dhcproto::{Decodable as _, Decoder, Encodable as _, Encoder};
use network::dhcp::client::{Client, Input, Output};
use network::dhcp::message::{Answer, Ignored, Lease, read};
use network::dhcp::{frame, message};
use network::settings::Mac;
use proptest::prelude::*;
use std::net::Ipv4Addr;
use std::time::Duration;

const MAC: Mac = Mac([0x52, 0x54, 0, 0x12, 0x34, 0x56]);
const SERVER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 100);
/// The lease of the server below, its T1 and T2 by RFC 2131 §4.4.5.
const LEASE: u64 = 1_000;
const T1: u64 = 500;
const T2: u64 = 875;

/// Everything a server says.
const KINDS: [MessageType; 3] = [MessageType::Offer, MessageType::Ack, MessageType::Nak];

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn client() -> Client {
    Client::new(MAC, Some("kms1".to_owned()), || 7)
}

/// An honest server's answer of this kind to a question.
fn answer(question: &[u8], kind: MessageType) -> Message {
    let asked = Message::decode(&mut Decoder::new(question)).unwrap();
    let zero = Ipv4Addr::UNSPECIFIED;
    let mut message = Message::new_with_id(asked.xid(), zero, ADDRESS, SERVER, zero, &MAC.0);
    message.set_opcode(Opcode::BootReply);
    let options = message.opts_mut();
    options.insert(DhcpOption::MessageType(kind));
    options.insert(DhcpOption::ServerIdentifier(SERVER));
    if kind != MessageType::Nak {
        options.insert(DhcpOption::SubnetMask(Ipv4Addr::new(255, 255, 255, 0)));
        options.insert(DhcpOption::Router(vec![SERVER]));
        options.insert(DhcpOption::DomainNameServer(vec![Ipv4Addr::new(
            192, 0, 2, 53,
        )]));
        options.insert(DhcpOption::NtpServers(vec![Ipv4Addr::new(192, 0, 2, 123)]));
        options.insert(DhcpOption::AddressLeaseTime(u32::try_from(LEASE).unwrap()));
        // Things that nobody asked for.
        options.insert(DhcpOption::DomainName("evil.example".to_owned()));
        options.insert(DhcpOption::Hostname("other".to_owned()));
    }
    message
}

fn bytes(message: &Message) -> Vec<u8> {
    let mut bytes = Vec::new();
    message.encode(&mut Encoder::new(&mut bytes)).unwrap();
    bytes
}

/// The question in the outputs, and to whom it goes.
fn question(outputs: &[Output]) -> (Vec<u8>, Option<Ipv4Addr>) {
    let asked = outputs.iter().find_map(|one| match one {
        Output::Broadcast(message) => Some((message.clone(), None)),
        Output::Udp { to, message, .. } => Some((message.clone(), Some(*to))),
        _ => None,
    });
    asked.unwrap_or_else(|| panic!("nothing is asked: {outputs:?}"))
}

fn kind(question: &[u8]) -> MessageType {
    let message = Message::decode(&mut Decoder::new(question)).unwrap();
    message.opts().msg_type().unwrap()
}

fn bound(outputs: &[Output]) -> Option<Lease> {
    outputs.iter().find_map(|one| match one {
        Output::Bound(lease) => Some(lease.clone()),
        _ => None,
    })
}

fn reply(client: &mut Client, now: u64, asked: &[u8], kind: MessageType) -> Vec<Output> {
    let answer = bytes(&answer(asked, kind));
    client.step(seconds(now), Input::Datagram(&answer))
}

/// A client that got its lease at second 100.
fn with_lease() -> Client {
    let mut client = client();
    let (discover, _) = question(&client.step(seconds(100), Input::Signal));
    assert_eq!(kind(&discover), MessageType::Discover);
    let (request, _) = question(&reply(&mut client, 100, &discover, MessageType::Offer));
    assert_eq!(kind(&request), MessageType::Request);
    let outputs = reply(&mut client, 100, &request, MessageType::Ack);
    let lease = bound(&outputs).unwrap();
    assert_eq!(lease.address.to_string(), "192.0.2.100/24");
    assert_eq!(lease.router, Some(SERVER));
    assert_eq!(lease.ntp, [Ipv4Addr::new(192, 0, 2, 123)]);
    client
}

#[test]
fn a_lease_is_renewed_rebound_and_lost_at_its_times() {
    let mut client = with_lease();
    assert_eq!(client.step(seconds(100 + T1 - 1), Input::Tick), []);
    let (_, to) = question(&client.step(seconds(100 + T1), Input::Tick));
    assert_eq!(to, Some(SERVER), "T1 asks the server of the lease");
    let (_, to) = question(&client.step(seconds(100 + T2), Input::Tick));
    assert_eq!(to, Some(Ipv4Addr::BROADCAST), "T2 asks any server");
    let outputs = client.step(seconds(100 + LEASE), Input::Tick);
    assert!(outputs.contains(&Output::Lost), "{outputs:?}");
    assert_eq!(kind(&question(&outputs).0), MessageType::Discover);
}

#[test]
fn a_renewal_counts_from_its_question() {
    let mut client = with_lease();
    let (request, _) = question(&client.step(seconds(600), Input::Tick));
    assert!(bound(&reply(&mut client, 603, &request, MessageType::Ack)).is_some());
    assert_eq!(client.status().expires_at_seconds, Some(600 + LEASE));
    assert_eq!(client.status().state, "bound");
}

#[test]
fn a_nak_takes_the_address_at_once() {
    let mut client = with_lease();
    let (request, _) = question(&client.step(seconds(600), Input::Tick));
    let outputs = reply(&mut client, 601, &request, MessageType::Nak);
    assert!(outputs.contains(&Output::Lost), "{outputs:?}");
    assert_eq!(client.status().state, "selecting");
}

#[test]
fn after_a_lost_cable_the_old_address_is_asked_for() {
    let mut client = with_lease();
    assert_eq!(client.step(seconds(200), Input::Silence), []);
    let (request, to) = question(&client.step(seconds(210), Input::Signal));
    assert_eq!((kind(&request), to), (MessageType::Request, None));
    assert!(bound(&reply(&mut client, 211, &request, MessageType::Ack)).is_some());

    // Another network: the server there says no.
    client.step(seconds(300), Input::Silence);
    let (request, _) = question(&client.step(seconds(301), Input::Signal));
    let outputs = reply(&mut client, 301, &request, MessageType::Nak);
    assert!(outputs.contains(&Output::Lost), "{outputs:?}");
}

#[test]
fn a_lease_that_ends_without_a_cable_is_gone() {
    let mut client = with_lease();
    client.step(seconds(200), Input::Silence);
    assert_eq!(
        client.step(seconds(100 + LEASE), Input::Tick),
        [Output::Lost]
    );
    let (discover, _) = question(&client.step(seconds(2_000), Input::Signal));
    assert_eq!(kind(&discover), MessageType::Discover);
}

#[test]
fn silence_is_answered_by_longer_and_longer_waits() {
    let mut client = client();
    client.step(seconds(0), Input::Signal);
    let asked = (1..=600).filter(|now| !client.step(seconds(*now), Input::Tick).is_empty());
    let asked: Vec<u64> = asked.collect();
    assert_eq!(asked.len(), 13, "{asked:?}");
    let last = asked
        .windows(2)
        .map(|pair| pair[1] - pair[0])
        .max()
        .unwrap();
    assert!((64..=80).contains(&last), "{asked:?}");
}

#[test]
fn what_a_server_may_not_give_is_refused() {
    type Change = fn(&mut Message);
    let cases: &[(&str, Change)] = &[
        ("no server identifier", |m| {
            m.opts_mut()
                .remove(dhcproto::v4::OptionCode::ServerIdentifier);
        }),
        ("no subnet mask", |m| {
            m.opts_mut().remove(dhcproto::v4::OptionCode::SubnetMask);
        }),
        ("no lease time", |m| {
            m.opts_mut()
                .remove(dhcproto::v4::OptionCode::AddressLeaseTime);
        }),
        ("255.0.255.0 is no subnet mask", |m| {
            m.opts_mut()
                .insert(DhcpOption::SubnetMask(Ipv4Addr::new(255, 0, 255, 0)));
        }),
        ("its lease is 1 s long", |m| {
            m.opts_mut().insert(DhcpOption::AddressLeaseTime(1));
        }),
        ("is a loopback address", |m| {
            m.set_yiaddr(Ipv4Addr::LOCALHOST);
        }),
        ("is the broadcast address", |m| {
            m.set_yiaddr(Ipv4Addr::new(192, 0, 2, 255));
        }),
        ("is the unspecified address", |m| {
            m.set_yiaddr(Ipv4Addr::UNSPECIFIED);
        }),
    ];
    let asked = message::ask(&message::Question::Discover, MAC, 7, None);
    for (words, change) in cases {
        let mut offer = answer(&asked, MessageType::Offer);
        change(&mut offer);
        match read(&bytes(&offer), MAC, 7) {
            Err(Ignored::Refused(why)) => assert!(why.contains(words), "{why} / {words}"),
            other => panic!("{words}: {other:?}"),
        }
    }
}

#[test]
fn a_router_outside_the_subnet_is_not_used() {
    let asked = message::ask(&message::Question::Discover, MAC, 7, None);
    let mut offer = answer(&asked, MessageType::Offer);
    let far = Ipv4Addr::new(203, 0, 113, 1);
    offer.opts_mut().insert(DhcpOption::Router(vec![far]));
    let Ok(Answer::Offer(lease)) = read(&bytes(&offer), MAC, 7) else {
        panic!("the offer is good but for its router");
    };
    assert_eq!(lease.router, None);
}

#[test]
fn answers_to_others_are_not_ours() {
    let asked = message::ask(&message::Question::Discover, MAC, 7, None);
    let offer = bytes(&answer(&asked, MessageType::Offer));
    assert_eq!(read(&offer, MAC, 8), Err(Ignored::NotForUs));
    assert_eq!(read(&offer, Mac([2; 6]), 7), Err(Ignored::NotForUs));
    // A length of the hardware address beyond the message.
    let mut long = offer.clone();
    long[2] = 255;
    assert_eq!(read(&long[..240], MAC, 7), Err(Ignored::NotForUs));
}

#[test]
fn frames_are_read_back_only_from_server_to_client() {
    let frame = frame::wrap(b"message").unwrap();
    assert_eq!(frame::unwrap(&frame), None, "our own question is no answer");
    assert_eq!(frame::wrap(&[0; 65_536]), None);
    let mut answer = frame;
    answer.swap(20, 22);
    answer.swap(21, 23);
    assert_eq!(frame::unwrap(&answer), Some(b"message".as_slice()));
    answer[8] ^= 1;
    assert_eq!(frame::unwrap(&answer), None, "the header's checksum");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// A true answer with some bytes changed, cut or added never panics, in any state, and never
    /// gives an address that a host cannot have.
    #[test]
    fn mutated_answers_never_panic(
        changes in proptest::collection::vec((0_usize..400, any::<u8>()), 0..8),
        cut in 200_usize..400,
        kind in (0_usize..3).prop_map(|kind| KINDS[kind]),
    ) {
        let asked = message::ask(&message::Question::Discover, MAC, 7, None);
        let mut mutated = bytes(&answer(&asked, kind));
        for (at, value) in changes {
            if let Some(byte) = mutated.get_mut(at) {
                *byte = value;
            }
        }
        mutated.truncate(cut);
        if let Ok(Answer::Offer(lease) | Answer::Ack(lease)) = read(&mutated, MAC, 7) {
            prop_assert!(!lease.address.addr().is_unspecified());
            prop_assert!(lease.dns.len() <= 3 && lease.ntp.len() <= 4);
            if let Some(times) = lease.times {
                prop_assert!(times.renew < times.rebind && times.rebind < times.expire);
            }
        }
        for mut client in [client(), with_lease()] {
            client.step(seconds(600), Input::Tick);
            client.step(seconds(600), Input::Signal);
            client.step(seconds(601), Input::Datagram(&mutated));
            client.step(seconds(602), Input::Tick);
        }
    }

    #[test]
    fn bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = read(&bytes, MAC, 7);
        let _ = frame::unwrap(&bytes);
    }

    /// Whatever comes in whatever order, a client that is not down asks again some time.
    #[test]
    fn a_client_never_falls_asleep(
        steps in proptest::collection::vec((0_u64..900, 0_u8..6), 0..40),
    ) {
        let mut client = client();
        let (mut now, mut asked) = (0, Vec::new());
        for (later, what) in steps {
            now += later;
            let outputs = match what {
                0 => client.step(seconds(now), Input::Signal),
                1 => client.step(seconds(now), Input::Silence),
                2 if !asked.is_empty() => reply(&mut client, now, &asked, MessageType::Offer),
                3 if !asked.is_empty() => reply(&mut client, now, &asked, MessageType::Ack),
                4 if !asked.is_empty() => reply(&mut client, now, &asked, MessageType::Nak),
                _ => client.step(seconds(now), Input::Tick),
            };
            if outputs.iter().any(|o| matches!(o, Output::Broadcast(_) | Output::Udp { .. })) {
                asked = question(&outputs).0;
            }
        }
        client.step(seconds(now), Input::Signal);
        let later = (1..=2 * LEASE).any(|s| {
            !client.step(seconds(now + s), Input::Tick).is_empty()
        });
        prop_assert!(later);
    }
}
