//! A machine at the other end of the appliance's cable, made of frames: it answers for its own
//! addresses and for the time, and shows every frame that it hears.

use anyhow::Result;
use qemu::Leg;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::unix::net::UnixDatagram;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

/// Its hardware address.
const MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 0x01];
/// Its addresses; it is asked for the time at the first.
pub(crate) const V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);

/// Kinds of frames (IEEE 802 numbers).
const ARP: u16 = 0x0806;
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
/// In front of a tag (IEEE 802.1Q).
const TAGGED: u16 = 0x8100;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;
/// Port of time servers, and seconds between 1900 and 1970 (RFC 5905 §6, §7.2).
const NTP: u16 = 123;
const ERA: u64 = 2_208_988_800;

/// One frame, without its tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) to: [u8; 6],
    pub(crate) from: [u8; 6],
    pub(crate) tag: Option<u16>,
    kind: u16,
    content: Vec<u8>,
}

/// What the appliance answered for one of its addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answered<A> {
    pub(crate) address: A,
    pub(crate) mac: [u8; 6],
    pub(crate) tag: Option<u16>,
}

/// The station.
pub(crate) struct Station {
    socket: UnixDatagram,
    leg: Leg,
    heard: Receiver<Frame>,
}

impl Station {
    /// On a leg of a switch, with a clock that says `time` (since 1970) now.
    pub(crate) fn new(leg: Leg, time: Duration) -> Result<Self> {
        let socket = UnixDatagram::bind(leg.machine_socket())?;
        let (ear, mouth) = (socket.try_clone()?, leg.switch_socket().to_owned());
        let begun = Instant::now();
        let (sender, heard) = channel();
        // Ends with the switch, whose socket it sends to, or with the test.
        thread::spawn(move || {
            let mut buffer = [0; 2048];
            while let Ok(length) = ear.recv(&mut buffer) {
                let Some(frame) = Frame::read(&buffer[..length]) else {
                    continue;
                };
                if let Some(answer) = frame.answer(time + begun.elapsed()) {
                    // A machine that is off hears nothing.
                    drop(ear.send_to(&answer.bytes(), &mouth));
                }
                if sender.send(frame).is_err() {
                    return;
                }
            }
        });
        Ok(Self { socket, leg, heard })
    }

    /// Asks who has an IPv4 address.
    pub(crate) fn who_has(
        &self,
        address: Ipv4Addr,
        tag: Option<u16>,
        within: Duration,
    ) -> Result<Option<Answered<Ipv4Addr>>> {
        let mut content = vec![0, 1, 8, 0, 6, 4, 0, 1];
        content.extend([&MAC[..], &V4.octets(), &[0; 6], &address.octets()].concat());
        self.say([0xff; 6], tag, ARP, content)?;
        Ok(self.hear(within, |frame| {
            let is_reply = frame.kind == ARP && frame.content[6..8] == [0, 2];
            let from: [u8; 4] = frame.content.get(14..18)?.try_into().ok()?;
            (is_reply && from == address.octets()).then_some(Answered {
                address,
                mac: frame.from,
                tag: frame.tag,
            })
        }))
    }

    /// Asks who has an IPv6 address (RFC 4861 §4.3).
    pub(crate) fn solicit(
        &self,
        address: Ipv6Addr,
        tag: Option<u16>,
        within: Duration,
    ) -> Result<Option<Answered<Ipv6Addr>>> {
        let [.., a, b, c] = address.octets();
        let group = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | u16::from(a), be(b, c));
        let mut message = vec![135, 0, 0, 0, 0, 0, 0, 0];
        message.extend([&address.octets()[..], &[1, 1], &MAC].concat());
        let pseudo = [
            &V6.octets()[..],
            &group.octets(),
            &[0, 0, 0, 32, 0, 0, 0, ICMPV6],
        ]
        .concat();
        let sum = checksum(&[pseudo, message.clone()].concat());
        message[2..4].copy_from_slice(&sum);
        let header = [0x60, 0, 0, 0, 0, 32, ICMPV6, 255];
        let content = [&header[..], &V6.octets(), &group.octets(), &message].concat();
        self.say([0x33, 0x33, 0xff, a, b, c], tag, IPV6, content)?;
        Ok(self.hear(within, |frame| {
            let is_message = frame.kind == IPV6 && frame.content.get(6) == Some(&ICMPV6);
            let is_advertisement = is_message && frame.content.get(40) == Some(&136);
            let target: [u8; 16] = frame.content.get(48..64)?.try_into().ok()?;
            (is_advertisement && target == address.octets()).then_some(Answered {
                address,
                mac: frame.from,
                tag: frame.tag,
            })
        }))
    }

    fn say(&self, to: [u8; 6], tag: Option<u16>, kind: u16, content: Vec<u8>) -> Result<()> {
        let frame = Frame {
            to,
            from: MAC,
            tag,
            kind,
            content,
        };
        self.socket
            .send_to(&frame.bytes(), self.leg.switch_socket())?;
        Ok(())
    }

    /// The first thing of that sort that is heard, if it comes in time.
    fn hear<T>(&self, within: Duration, wanted: impl Fn(&Frame) -> Option<T>) -> Option<T> {
        let deadline = Instant::now() + within;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.heard.recv_timeout(left) {
                Ok(frame) => {
                    if let Some(found) = wanted(&frame) {
                        return Some(found);
                    }
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return None,
            }
        }
    }
}

impl Frame {
    fn read(bytes: &[u8]) -> Option<Self> {
        let kind = |at: usize| Some(be(*bytes.get(at)?, *bytes.get(at + 1)?));
        let (tag, at) = match kind(12)? {
            TAGGED => (Some(kind(14)? & 0x0fff), 16),
            _ => (None, 12),
        };
        Some(Self {
            to: bytes.get(..6)?.try_into().ok()?,
            from: bytes.get(6..12)?.try_into().ok()?,
            tag,
            kind: kind(at)?,
            content: bytes.get(at + 2..)?.to_vec(),
        })
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = [self.to, self.from].concat();
        if let Some(tag) = self.tag {
            bytes.extend([TAGGED.to_be_bytes(), tag.to_be_bytes()].concat());
        }
        bytes.extend(self.kind.to_be_bytes());
        bytes.extend(&self.content);
        // The shortest frame of Ethernet.
        bytes.resize(bytes.len().max(60), 0);
        bytes
    }

    /// What the station says to it.
    fn answer(&self, time: Duration) -> Option<Self> {
        let content = match self.kind {
            ARP => self.arp()?,
            IPV4 => self.time(time)?,
            _ => return None,
        };
        Some(Self {
            to: self.from,
            from: MAC,
            tag: self.tag,
            kind: self.kind,
            content,
        })
    }

    fn arp(&self) -> Option<Vec<u8>> {
        let asked = self.content.get(..28)?;
        if asked[6..8] != [0, 1] || asked[24..28] != V4.octets() {
            return None;
        }
        let reply = [0, 1, 8, 0, 6, 4, 0, 2];
        Some([&reply[..], &MAC, &V4.octets(), &asked[8..18]].concat())
    }

    /// The answer of an honest server to a question about the time (RFC 5905 §7.3).
    fn time(&self, time: Duration) -> Option<Vec<u8>> {
        let (header, rest) = self.content.split_at_checked(20)?;
        let question = rest.get(8..56)?;
        let to = be(rest[2], rest[3]);
        if header[9] != UDP || header[16..20] != V4.octets() || to != NTP {
            return None;
        }
        let mut answer = vec![0; 48];
        answer[0] = 4 << 3 | 4; // version 4, from a server
        answer[1] = 2;
        answer[3] = 0xec; // microseconds
        answer[16..24].copy_from_slice(&stamp(time - Duration::from_secs(10)));
        answer[24..32].copy_from_slice(&question[40..48]);
        answer[32..40].copy_from_slice(&stamp(time));
        answer[40..48].copy_from_slice(&stamp(time));
        // Without a checksum of its own, which IPv4 allows.
        let datagram = [&rest[2..4], &rest[..2], &[0, 56, 0, 0], &answer].concat();
        let mut reply = vec![0x45, 0, 0, 76, 0, 0, 0x40, 0, 64, UDP, 0, 0];
        reply.extend([&header[16..20], &header[12..16]].concat());
        let sum = checksum(&reply);
        reply[10..12].copy_from_slice(&sum);
        Some([reply, datagram].concat())
    }
}

fn be(high: u8, low: u8) -> u16 {
    u16::from_be_bytes([high, low])
}

fn stamp(time: Duration) -> [u8; 8] {
    let seconds = (time.as_secs() + ERA) & u64::from(u32::MAX);
    let fraction = (u64::from(time.subsec_nanos()) << 32) / 1_000_000_000;
    (seconds << 32 | fraction).to_be_bytes()
}

/// The Internet's checksum (RFC 1071).
fn checksum(bytes: &[u8]) -> [u8; 2] {
    let words = bytes
        .chunks(2)
        .map(|pair| u32::from(be(pair[0], *pair.get(1).unwrap_or(&0))));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!u16::try_from(sum).unwrap()).to_be_bytes()
}
