//! The states of a DHCP client (RFC 2131 §4.4), without a socket and without a clock.
//!
//! Who owns one calls [`Client::step`] with what happened and the time since boot, and does what
//! it says. Nothing is kept but the lease and the question that is open, so the same inputs always
//! give the same outputs.
//!
//! ```text
//! down -signal-> selecting -offer-> requesting -ack-> bound -T1-> renewing -T2-> rebinding
//!                    ^                  |nak                                        |end
//!                    +------------------+-------------------------------------------+
//! down -signal, lease still good-> rebooting -ack-> bound
//! ```

use super::message::{Answer, Ignored, Lease, Question};
use super::message::{ask, read};
use crate::settings::Mac;
use crate::status::DhcpStatus;
use std::net::Ipv4Addr;
use std::time::Duration;

/// First wait for an answer; doubled each time. RFC 2131 §4.1 says 4 s, made for networks of its
/// day; a server on the same link answers in milliseconds.
const RESEND_FIRST: Duration = Duration::from_secs(2);
/// Longest wait for an answer (RFC 2131 §4.1).
const RESEND_LAST: Duration = Duration::from_secs(64);
/// Questions for one offer, and for the lease of before, until we look for another server.
const REQUESTS_MAX: u32 = 4;
/// A lease that is renewed or rebound is asked for again after half the rest of the time, but not
/// more often than this (RFC 2131 §4.4.5 says 60 s; a short lease would end before that).
const RENEW_AGAIN_MIN: Duration = Duration::from_secs(5);

/// What happened.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// The cable has a signal.
    Signal,
    /// It has none any more.
    Silence,
    /// Nothing but time.
    Tick,
    /// A datagram for port 68.
    Datagram(&'a [u8]),
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send to all, from nobody, and listen for the answer below the kernel's UDP.
    Broadcast(Vec<u8>),
    /// Send from the leased address to this server, or to all while rebinding.
    Udp {
        /// The leased address.
        from: Ipv4Addr,
        /// A server, or 255.255.255.255.
        to: Ipv4Addr,
        /// The message.
        message: Vec<u8>,
    },
    /// The interface has this address now, and no other.
    Bound(Lease),
    /// The interface has no address any more.
    Lost,
    /// For the log.
    Say(String),
}

/// A lease and when it was asked for.
#[derive(Clone, Debug)]
struct Held {
    lease: Lease,
    since: Duration,
}

/// An open question.
#[derive(Clone, Debug)]
struct Open {
    xid: u32,
    sent: Duration,
    /// When to ask again.
    again: Duration,
    /// How often it was asked.
    asked: u32,
}

#[derive(Clone, Debug)]
enum State {
    Down(Option<Held>),
    Selecting(Open),
    Requesting(Open, Lease),
    Rebooting(Open, Held),
    Bound(Held),
    Renewing(Open, Held),
    Rebinding(Open, Held),
}

/// One client, for one interface.
#[derive(Debug)]
pub struct Client {
    mac: Mac,
    hostname: Option<String>,
    state: State,
    problem: Option<String>,
    /// Numbers of questions, and the jitter of their repetition.
    random: fn() -> u32,
}

impl Held {
    fn ended(&self, now: Duration) -> bool {
        self.passed(now, |times| times.expire)
    }

    fn passed(&self, now: Duration, which: fn(&super::message::Times) -> Duration) -> bool {
        let times = self.lease.times.as_ref();
        times.is_some_and(|times| now >= self.since.saturating_add(which(times)))
    }
}

impl Client {
    /// A client whose cable has no signal yet. `random` gives the numbers of its questions.
    #[must_use]
    pub fn new(mac: Mac, hostname: Option<String>, random: fn() -> u32) -> Client {
        Client {
            mac,
            hostname,
            state: State::Down(None),
            problem: None,
            random,
        }
    }

    /// What is to be done about what happened at `now`, the time since boot.
    pub fn step(&mut self, now: Duration, input: Input<'_>) -> Vec<Output> {
        let state = std::mem::replace(&mut self.state, State::Down(None));
        let (state, outputs) = match input {
            Input::Signal => self.signal(now, state),
            Input::Silence => (State::Down(state.into_held()), Vec::new()),
            Input::Tick => self.tick(now, state),
            Input::Datagram(bytes) => self.datagram(now, state, bytes),
        };
        self.state = state;
        outputs
    }

    /// What to say to the server when the client is not needed any more.
    #[must_use]
    pub fn release(&self) -> Option<Output> {
        let held = self.state.held()?;
        let (address, server) = (held.lease.address.addr(), held.lease.server);
        Some(Output::Udp {
            from: address,
            to: server,
            message: self.ask(&Question::Release { address, server }, (self.random)()),
        })
    }

    /// Whether answers come below the kernel's UDP.
    #[must_use]
    pub fn listens_below(&self) -> bool {
        matches!(
            self.state,
            State::Selecting(_) | State::Requesting(..) | State::Rebooting(..)
        )
    }

    /// The address from which a renewal is asked for, while its answer is waited for.
    #[must_use]
    pub fn listens_on(&self) -> Option<Ipv4Addr> {
        match &self.state {
            State::Renewing(_, held) | State::Rebinding(_, held) => Some(held.lease.address.addr()),
            _ => None,
        }
    }

    /// For `status.json`.
    #[must_use]
    pub fn status(&self) -> DhcpStatus {
        let state = match &self.state {
            State::Down(_) => "down",
            State::Selecting(_) => "selecting",
            State::Requesting(..) => "requesting",
            State::Rebooting(..) => "rebooting",
            State::Bound(_) => "bound",
            State::Renewing(..) => "renewing",
            State::Rebinding(..) => "rebinding",
        };
        let held = self.state.held();
        let at = |which: fn(&super::message::Times) -> Duration| {
            let held = held?;
            Some((held.since + which(held.lease.times.as_ref()?)).as_secs())
        };
        DhcpStatus {
            state: state.to_owned(),
            server: held.map(|held| held.lease.server.to_string()),
            address: held.map(|held| held.lease.address.to_string()),
            renew_at_seconds: at(|times| times.renew),
            expires_at_seconds: at(|times| times.expire),
            problem: self.problem.clone(),
        }
    }

    fn ask(&self, question: &Question, xid: u32) -> Vec<u8> {
        ask(question, self.mac, xid, self.hostname.as_deref())
    }

    /// A wait of about `base`: up to a quarter more, so that machines that were switched on
    /// together do not ask together for ever.
    fn about(&self, base: Duration) -> Duration {
        let quarter = u32::try_from(base.as_millis() / 4)
            .unwrap_or(u32::MAX)
            .max(1);
        base + Duration::from_millis(u64::from((self.random)() % quarter))
    }

    fn open(&self, now: Duration) -> Open {
        Open {
            xid: (self.random)(),
            sent: now,
            again: now + self.about(RESEND_FIRST),
            asked: 1,
        }
    }

    /// The same question once more, after a longer wait.
    fn reopen(&self, now: Duration, open: &Open) -> Open {
        let doubled = RESEND_FIRST.saturating_mul(1 << open.asked.min(5));
        Open {
            xid: open.xid,
            sent: now,
            again: now + self.about(doubled.min(RESEND_LAST)),
            asked: open.asked.saturating_add(1),
        }
    }

    fn select(&self, now: Duration) -> (State, Vec<Output>) {
        let open = self.open(now);
        let message = self.ask(&Question::Discover, open.xid);
        (State::Selecting(open), vec![Output::Broadcast(message)])
    }

    fn signal(&mut self, now: Duration, state: State) -> (State, Vec<Output>) {
        match state {
            // The cable may be in another network now: ask whether the lease is good here.
            State::Down(Some(held)) if !held.ended(now) => {
                let open = self.open(now);
                let address = held.lease.address.addr();
                let message = self.ask(&Question::Reboot { address }, open.xid);
                (
                    State::Rebooting(open, held),
                    vec![Output::Broadcast(message)],
                )
            }
            State::Down(Some(_)) => self.lost(now, "the lease ended while there was no signal"),
            State::Down(None) => self.select(now),
            other => (other, Vec::new()),
        }
    }

    /// The address is given up and a new one looked for.
    fn lost(&mut self, now: Duration, why: &str) -> (State, Vec<Output>) {
        self.problem = Some(why.to_owned());
        let (state, outputs) = self.select(now);
        let first = [Output::Say(why.to_owned()), Output::Lost];
        (state, first.into_iter().chain(outputs).collect())
    }

    fn tick(&mut self, now: Duration, state: State) -> (State, Vec<Output>) {
        if state.held().is_some_and(|held| held.ended(now)) {
            return match state {
                State::Down(_) => (State::Down(None), vec![Output::Lost]),
                _ => self.lost(now, "the lease ended and no server renewed it"),
            };
        }
        match state {
            State::Bound(held) if held.passed(now, |times| times.renew) => self.renew(now, held),
            State::Renewing(_, held) if held.passed(now, |times| times.rebind) => {
                let mut open = self.open(now);
                open.again = now + again_in(now, &held, |times| times.expire);
                let outputs = self.extend(&open, &held, Ipv4Addr::BROADCAST);
                (State::Rebinding(open, held), outputs)
            }
            State::Selecting(ref open)
            | State::Requesting(ref open, _)
            | State::Rebooting(ref open, _)
            | State::Renewing(ref open, _)
            | State::Rebinding(ref open, _)
                if now >= open.again =>
            {
                self.again(now, state)
            }
            other => (other, Vec::new()),
        }
    }

    fn renew(&mut self, now: Duration, held: Held) -> (State, Vec<Output>) {
        let mut open = self.open(now);
        open.again = now + again_in(now, &held, |times| times.rebind);
        let outputs = self.extend(&open, &held, held.lease.server);
        (State::Renewing(open, held), outputs)
    }

    fn extend(&self, open: &Open, held: &Held, to: Ipv4Addr) -> Vec<Output> {
        let from = held.lease.address.addr();
        let message = self.ask(&Question::Renew { address: from }, open.xid);
        vec![Output::Udp { from, to, message }]
    }

    /// Nobody answered in time.
    fn again(&mut self, now: Duration, state: State) -> (State, Vec<Output>) {
        match state {
            State::Selecting(open) => {
                self.problem = Some(format!("no DHCP server answered {} times", open.asked));
                let open = self.reopen(now, &open);
                let message = self.ask(&Question::Discover, open.xid);
                (State::Selecting(open), vec![Output::Broadcast(message)])
            }
            State::Requesting(open, _) if open.asked >= REQUESTS_MAX => {
                self.problem = Some("the server offered an address and then fell silent".into());
                self.select(now)
            }
            State::Requesting(open, offer) => {
                let open = self.reopen(now, &open);
                let message = self.ask(&request(&offer), open.xid);
                (
                    State::Requesting(open, offer),
                    vec![Output::Broadcast(message)],
                )
            }
            // Nobody contradicts, so the lease may be used to its end (RFC 2131 §3.2).
            State::Rebooting(open, held) if open.asked >= REQUESTS_MAX => {
                self.problem = Some("no DHCP server answered after the cable came back".into());
                (State::Bound(held), Vec::new())
            }
            State::Rebooting(open, held) => {
                let open = self.reopen(now, &open);
                let address = held.lease.address.addr();
                let message = self.ask(&Question::Reboot { address }, open.xid);
                (
                    State::Rebooting(open, held),
                    vec![Output::Broadcast(message)],
                )
            }
            State::Renewing(_, held) => self.renew(now, held),
            State::Rebinding(open, held) => {
                let mut open = self.reopen(now, &open);
                open.again = now + again_in(now, &held, |times| times.expire);
                let outputs = self.extend(&open, &held, Ipv4Addr::BROADCAST);
                (State::Rebinding(open, held), outputs)
            }
            other @ (State::Down(_) | State::Bound(_)) => (other, Vec::new()),
        }
    }

    fn datagram(&mut self, now: Duration, state: State, bytes: &[u8]) -> (State, Vec<Output>) {
        let Some(xid) = state.open().map(|open| open.xid) else {
            return (state, Vec::new());
        };
        match read(bytes, self.mac, xid) {
            Ok(answer) => self.answer(now, state, answer),
            // Broadcasts for other clients are all day's bread; the rest is worth a line.
            Err(Ignored::NotForUs) => (state, Vec::new()),
            Err(ignored) => {
                self.problem = Some(ignored.to_string());
                (state, vec![Output::Say(ignored.to_string())])
            }
        }
    }

    fn answer(&mut self, now: Duration, state: State, answer: Answer) -> (State, Vec<Output>) {
        match (state, answer) {
            // The first offer is taken: a network has one server, or several that agree.
            (State::Selecting(_), Answer::Offer(offer)) => {
                let open = self.open(now);
                let message = self.ask(&request(&offer), open.xid);
                (
                    State::Requesting(open, offer),
                    vec![Output::Broadcast(message)],
                )
            }
            (State::Requesting(open, offer), Answer::Ack(lease))
                if lease.server == offer.server && lease.address == offer.address =>
            {
                self.bound(&open, lease)
            }
            (State::Rebooting(open, held), Answer::Ack(lease))
            | (State::Renewing(open, held), Answer::Ack(lease))
            | (State::Rebinding(open, held), Answer::Ack(lease))
                if lease.address.addr() == held.lease.address.addr() =>
            {
                self.bound(&open, lease)
            }
            (State::Requesting(..), Answer::Nak) => {
                self.problem = Some("the server took its offer back".to_owned());
                self.select(now)
            }
            (State::Rebooting(..) | State::Renewing(..) | State::Rebinding(..), Answer::Nak) => {
                self.lost(now, "the server says the address is not ours any more")
            }
            (state, _) => (state, Vec::new()),
        }
    }

    fn bound(&mut self, open: &Open, lease: Lease) -> (State, Vec<Output>) {
        self.problem = None;
        let held = Held {
            lease: lease.clone(),
            // From the question on, not from the answer: never longer than the server counts.
            since: open.sent,
        };
        (State::Bound(held), vec![Output::Bound(lease)])
    }
}

fn request(offer: &Lease) -> Question {
    Question::Request {
        address: offer.address.addr(),
        server: offer.server,
    }
}

/// Half of what is left until `end`, but not too soon.
fn again_in(now: Duration, held: &Held, end: fn(&super::message::Times) -> Duration) -> Duration {
    let times = held.lease.times.as_ref();
    let end = times.map_or(now, |times| held.since.saturating_add(end(times)));
    (end.saturating_sub(now) / 2).max(RENEW_AGAIN_MIN)
}

impl State {
    fn held(&self) -> Option<&Held> {
        match self {
            State::Down(held) => held.as_ref(),
            State::Selecting(_) | State::Requesting(..) => None,
            State::Rebooting(_, held)
            | State::Bound(held)
            | State::Renewing(_, held)
            | State::Rebinding(_, held) => Some(held),
        }
    }

    fn into_held(self) -> Option<Held> {
        match self {
            State::Down(held) => held,
            State::Selecting(_) | State::Requesting(..) => None,
            State::Rebooting(_, held)
            | State::Bound(held)
            | State::Renewing(_, held)
            | State::Rebinding(_, held) => Some(held),
        }
    }

    fn open(&self) -> Option<&Open> {
        match self {
            State::Down(_) | State::Bound(_) => None,
            State::Selecting(open)
            | State::Requesting(open, _)
            | State::Rebooting(open, _)
            | State::Renewing(open, _)
            | State::Rebinding(open, _) => Some(open),
        }
    }
}
