//! A network switch inside this process: connects machines, and loses, delays, doubles or cuts.
//!
//! Each machine has a leg: two datagram sockets, one frame per datagram. Which frame of a pair is
//! lost depends only on the seed and the number of the frame, so a run can be repeated as far as
//! the guests send the same.

use crate::fault::{self, Fault};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Largest frame, in bytes: what QEMU's network layer passes on at once.
const FRAME_BYTES_MAX: usize = 68 * 1024;

/// Frames that wait for their time; more than this means that a guest floods a slow wire, where a
/// real one would drop too.
const WAITING_FRAMES_MAX: usize = 16 * 1024;

/// What happens to frames from one leg to another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wire {
    /// Nothing gets through.
    pub cut: bool,
    /// How many frames of a thousand are lost.
    pub lost_per_thousand: u16,
    /// How many frames of a thousand arrive twice.
    pub doubled_per_thousand: u16,
    /// How long each frame is on its way.
    pub delay: Duration,
}

/// How many frames went from one leg to another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Handed to the other machine, doubles included.
    pub passed: u64,
    /// Cut, lost, or not taken by a machine that is stopped or off.
    pub lost: u64,
}

/// One port of a switch, to be given to [`crate::Nic::switch`].
#[derive(Clone, Debug)]
pub struct Leg {
    number: usize,
    machine_socket: PathBuf,
    switch_socket: PathBuf,
}

impl Leg {
    /// Where the machine receives.
    #[must_use]
    pub fn machine_socket(&self) -> &Path {
        &self.machine_socket
    }

    /// Where the switch receives.
    #[must_use]
    pub fn switch_socket(&self) -> &Path {
        &self.switch_socket
    }
}

/// A switch; dropping it takes all machines off it.
pub struct Switch {
    folder: tempfile::TempDir,
    shared: Arc<Mutex<State>>,
    /// One byte has the thread look at what was changed.
    bell: UnixDatagram,
    thread: Option<JoinHandle<()>>,
}

struct Port {
    socket: Arc<UnixDatagram>,
    machine: PathBuf,
}

#[derive(Default)]
struct State {
    seed: u64,
    ports: Vec<Port>,
    wires: BTreeMap<(usize, usize), Wire>,
    /// Frames seen per direction, the input of chance.
    seen: BTreeMap<(usize, usize), u64>,
    counts: BTreeMap<(usize, usize), Count>,
    /// Which leg a hardware address was last seen at.
    learned: BTreeMap<[u8; 6], usize>,
    waiting: BTreeMap<(Instant, u64), (usize, usize, Vec<u8>)>,
    next: u64,
    ends: bool,
}

impl Switch {
    /// A switch without legs. `seed` decides which frames are lost where a wire loses some.
    ///
    /// # Errors
    /// No temporary folder, socket or thread can be made.
    pub fn new(seed: u64) -> Result<Self, Fault> {
        let folder = tempfile::Builder::new()
            .prefix("switch-")
            .tempdir()
            .map_err(Fault::doing("make a temporary folder"))?;
        let (bell, heard) = UnixDatagram::pair().map_err(Fault::doing("make a socket"))?;
        for end in [&bell, &heard] {
            end.set_nonblocking(true)
                .map_err(Fault::doing("make a socket that never blocks"))?;
        }
        let state = State {
            seed,
            ..State::default()
        };
        let shared = Arc::new(Mutex::new(state));
        let served = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("switch".to_owned())
            .spawn(move || serve(&served, &heard))
            .map_err(Fault::doing("start a thread"))?;
        Ok(Self {
            folder,
            shared,
            bell,
            thread: Some(thread),
        })
    }

    /// Adds a leg. The same leg serves a machine again after a restart, but one at a time.
    ///
    /// # Errors
    /// Its socket cannot be made.
    pub fn leg(&self) -> Result<Leg, Fault> {
        let mut state = self.shared.lock();
        let number = state.ports.len();
        let machine_socket = fault::socket(self.folder.path(), &format!("machine{number}"))?;
        let switch_socket = fault::socket(self.folder.path(), &format!("switch{number}"))?;
        let socket =
            UnixDatagram::bind(&switch_socket).map_err(Fault::io("bind", &switch_socket))?;
        socket
            .set_nonblocking(true)
            .map_err(Fault::io("unblock", &switch_socket))?;
        state.ports.push(Port {
            socket: Arc::new(socket),
            machine: machine_socket.clone(),
        });
        drop(state);
        self.ring();
        Ok(Leg {
            number,
            machine_socket,
            switch_socket,
        })
    }

    /// Sets what happens to frames from one leg to another; the way back is a wire of its own.
    pub fn wire(&self, from: &Leg, to: &Leg, wire: Wire) {
        let mut state = self.shared.lock();
        state.wires.insert((from.number, to.number), wire);
    }

    /// Lets nothing through any more from one leg to another.
    pub fn cut(&self, from: &Leg, to: &Leg) {
        let cut = Wire {
            cut: true,
            ..Wire::default()
        };
        self.wire(from, to, cut);
    }

    /// Lets nothing through any more between two legs.
    pub fn cut_both_ways(&self, one: &Leg, other: &Leg) {
        self.cut(one, other);
        self.cut(other, one);
    }

    /// Makes all wires perfect again.
    pub fn heal(&self) {
        self.shared.lock().wires.clear();
    }

    /// How many frames went from one leg to another so far.
    #[must_use]
    pub fn count(&self, from: &Leg, to: &Leg) -> Count {
        let state = self.shared.lock();
        let count = state.counts.get(&(from.number, to.number));
        count.copied().unwrap_or_default()
    }

    fn ring(&self) {
        // A full queue means that the bell is ringing already.
        let _ = self.bell.send(&[0]);
    }
}

impl std::fmt::Debug for Switch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let legs = self.shared.lock().ports.len();
        f.debug_struct("Switch")
            .field("legs", &legs)
            .finish_non_exhaustive()
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        self.shared.lock().ends = true;
        self.ring();
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was printed when it happened.
            let _ = thread.join();
        }
    }
}

/// The thread of a switch: waits for frames, for the time of a waiting one, or for the bell.
fn serve(shared: &Mutex<State>, bell: &UnixDatagram) {
    let mut buffer = vec![0; FRAME_BYTES_MAX];
    loop {
        let (sockets, wait) = {
            let mut state = shared.lock();
            if state.ends {
                return;
            }
            let wait = state.deliver_due(Instant::now());
            let sockets: Vec<_> = state.ports.iter().map(|p| Arc::clone(&p.socket)).collect();
            (sockets, wait)
        };
        let ends = sockets.iter().map(|socket| socket.as_fd());
        let ends = std::iter::once(bell.as_fd()).chain(ends);
        let mut ends: Vec<_> = ends
            .map(|end| PollFd::new(end, PollFlags::POLLIN))
            .collect();
        // An interrupted wait is a short one; nothing else can fail with valid descriptors.
        let _ = poll(&mut ends, wait);
        while bell.recv(&mut buffer).is_ok() {}
        for (from, socket) in sockets.iter().enumerate() {
            while let Ok(length) = socket.recv(&mut buffer) {
                if let Some(frame) = buffer.get(..length) {
                    shared.lock().switch(from, frame, Instant::now());
                }
            }
        }
    }
}

impl State {
    /// Sends what is due. Gives how long nothing else will be.
    fn deliver_due(&mut self, now: Instant) -> PollTimeout {
        while let Some(entry) = self.waiting.first_entry() {
            let due = entry.key().0;
            if due > now {
                // Rounded up, so that the next look does not come too early.
                let millis = (due - now).as_millis().saturating_add(1);
                return PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX);
            }
            let (from, to, frame) = entry.remove();
            self.deliver(from, to, &frame);
        }
        PollTimeout::NONE
    }

    /// Decides where a frame goes, as a switch does: to the leg where its destination was seen,
    /// else to all others.
    fn switch(&mut self, from: usize, frame: &[u8], now: Instant) {
        let Some((destination, rest)) = frame.split_first_chunk::<6>() else {
            return;
        };
        let Some(source) = rest.first_chunk::<6>() else {
            return;
        };
        self.learned.insert(*source, from);
        match self.learned.get(destination) {
            Some(&to) if to == from => {}
            Some(&to) => self.carry(from, to, frame, now),
            None => {
                let others = (0..self.ports.len()).filter(|&to| to != from);
                for to in others {
                    self.carry(from, to, frame, now);
                }
            }
        }
    }

    /// Puts a frame on one wire.
    fn carry(&mut self, from: usize, to: usize, frame: &[u8], now: Instant) {
        let pair = (from, to);
        let wire = self.wires.get(&pair).copied().unwrap_or_default();
        let seen = self.seen.entry(pair).or_default();
        *seen += 1;
        let chance = chance(self.seed, pair, *seen);
        let lost = chance % 1000 < u64::from(wire.lost_per_thousand);
        if wire.cut || lost {
            self.counts.entry(pair).or_default().lost += 1;
            return;
        }
        let doubled = chance / 1000 % 1000 < u64::from(wire.doubled_per_thousand);
        for _ in 0..=u8::from(doubled) {
            if wire.delay.is_zero() {
                self.deliver(from, to, frame);
            } else if self.waiting.len() == WAITING_FRAMES_MAX {
                self.counts.entry(pair).or_default().lost += 1;
            } else {
                self.next += 1;
                let due = (now + wire.delay, self.next);
                self.waiting.insert(due, (from, to, frame.to_vec()));
            }
        }
    }

    /// Hands a frame to a machine, unless that takes nothing now.
    fn deliver(&mut self, from: usize, to: usize, frame: &[u8]) {
        let sent: io::Result<usize> = match self.ports.get(to) {
            Some(port) => port.socket.send_to(frame, &port.machine),
            None => return,
        };
        let count = self.counts.entry((from, to)).or_default();
        match sent {
            Ok(_) => count.passed += 1,
            Err(_) => count.lost += 1,
        }
    }
}

/// A number that depends on nothing but its arguments (SplitMix64).
fn chance(seed: u64, (from, to): (usize, usize), frame: u64) -> u64 {
    let mix = |state: u64, input: u64| {
        let z = (state ^ input).wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    let pair = (from as u64) << 32 | to as u64;
    mix(mix(mix(0, seed), pair), frame)
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test without its sockets has to fail"
)]
mod tests {
    use super::*;

    /// How long a frame may take that is to come, and that is not to come.
    const SOON: Duration = Duration::from_secs(10);
    const NEVER: Duration = Duration::from_millis(150);

    /// A machine's end of a leg.
    struct Card {
        leg: Leg,
        socket: UnixDatagram,
    }

    impl Card {
        fn new(switch: &Switch) -> Self {
            let leg = switch.leg().unwrap();
            let socket = UnixDatagram::bind(leg.machine_socket()).unwrap();
            Self { leg, socket }
        }

        /// Sends a frame with two addresses and a number.
        fn send(&self, to: u8, from: u8, number: u8) {
            let mut frame = vec![to; 6];
            frame.extend([from; 6]);
            frame.push(number);
            let to = self.leg.switch_socket();
            self.socket.send_to(&frame, to).unwrap();
        }

        /// The number of the next frame, if one comes.
        fn receive(&self, within: Duration) -> Option<u8> {
            let mut buffer = [0; 64];
            self.socket.set_read_timeout(Some(within)).unwrap();
            let length = self.socket.recv(&mut buffer).ok()?;
            assert_eq!(length, 13);
            Some(buffer[12])
        }
    }

    const ALL: u8 = 0xff;

    #[test]
    fn frames_go_where_their_address_was_seen() {
        let switch = Switch::new(0).unwrap();
        let [a, b, c] = [(); 3].map(|()| Card::new(&switch));
        a.send(ALL, 0xa, 1);
        assert_eq!(b.receive(SOON), Some(1));
        assert_eq!(c.receive(SOON), Some(1));
        b.send(0xa, 0xb, 2);
        assert_eq!(a.receive(SOON), Some(2));
        assert_eq!(
            c.receive(NEVER),
            None,
            "a frame for A is none of C's business"
        );
        assert_eq!(a.receive(NEVER), None, "nobody hears himself");
    }

    #[test]
    fn wires_are_cut_one_way_and_heal() {
        let switch = Switch::new(0).unwrap();
        let [a, b, c] = [(); 3].map(|()| Card::new(&switch));
        switch.cut(&a.leg, &b.leg);
        a.send(ALL, 0xa, 1);
        assert_eq!(c.receive(SOON), Some(1));
        assert_eq!(b.receive(NEVER), None);
        b.send(0xa, 0xb, 2);
        assert_eq!(a.receive(SOON), Some(2));
        let count = switch.count(&a.leg, &b.leg);
        assert_eq!(count, Count { passed: 0, lost: 1 });
        switch.cut_both_ways(&a.leg, &b.leg);
        b.send(0xa, 0xb, 3);
        assert_eq!(a.receive(NEVER), None);
        switch.heal();
        b.send(0xa, 0xb, 4);
        assert_eq!(a.receive(SOON), Some(4));
    }

    /// The frames out of a hundred that get through.
    fn survivors(seed: u64, wire: Wire) -> Vec<u8> {
        let switch = Switch::new(seed).unwrap();
        let [a, b] = [(); 2].map(|()| Card::new(&switch));
        switch.wire(&a.leg, &b.leg, wire);
        let mut received = Vec::new();
        for number in 0..100 {
            a.send(ALL, 0xa, number);
            // One at a time: a socket holds few datagrams.
            while switch.shared.lock().seen.values().sum::<u64>() <= u64::from(number) {
                thread::sleep(Duration::from_micros(200));
            }
            while let Some(number) = b.receive(Duration::from_millis(1)) {
                received.push(number);
            }
        }
        received
    }

    #[test]
    fn same_seed_loses_and_doubles_the_same_frames() {
        let lossy = Wire {
            lost_per_thousand: 300,
            ..Wire::default()
        };
        let first = survivors(1, lossy);
        assert_eq!(first, survivors(1, lossy));
        assert_ne!(first, survivors(2, lossy));
        assert!((50..90).contains(&first.len()), "{} of 100", first.len());
        let doubling = Wire {
            doubled_per_thousand: 300,
            ..Wire::default()
        };
        let count = survivors(1, doubling).len();
        assert!((110..150).contains(&count), "{count} of 100");
    }

    #[test]
    fn delayed_frames_come_late_and_in_order() {
        let switch = Switch::new(0).unwrap();
        let [a, b] = [(); 2].map(|()| Card::new(&switch));
        let delay = Duration::from_millis(200);
        let slow = Wire {
            delay,
            ..Wire::default()
        };
        switch.wire(&a.leg, &b.leg, slow);
        let begin = Instant::now();
        a.send(ALL, 0xa, 1);
        a.send(ALL, 0xa, 2);
        assert_eq!(b.receive(SOON), Some(1));
        assert!(begin.elapsed() >= delay);
        assert_eq!(b.receive(SOON), Some(2));
    }

    #[test]
    fn machine_that_is_off_loses_frames_and_nobody_waits() {
        let switch = Switch::new(0).unwrap();
        let [a, b] = [(); 2].map(|()| Card::new(&switch));
        let off = switch.leg().unwrap();
        a.send(ALL, 0xa, 1);
        assert_eq!(b.receive(SOON), Some(1));
        assert_eq!(switch.count(&a.leg, &off), Count { passed: 0, lost: 1 });
    }
}
