//! Connections of nobody in particular yet: few per address, and the oldest gives way.
//!
//! Refusing the newest would let one address with silent connections lock everybody behind it out;
//! whoever means it needs little time here (ABUSE A28, A29).

use parking_lot::Mutex;
use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use tokio::sync::Notify;

/// How many may wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seats {
    /// From one address.
    pub(crate) per_address: usize,
    /// In all.
    pub(crate) all: usize,
}

/// Those who are connected and have not proven who they are.
#[derive(Debug)]
pub(crate) struct WaitingRoom {
    seats: Seats,
    inside: Arc<Mutex<Inside>>,
}

#[derive(Debug, Default)]
struct Inside {
    next: u64,
    count: usize,
    by_address: BTreeMap<IpAddr, VecDeque<(u64, Arc<Notify>)>>,
}

/// A place in the waiting room, given back when dropped.
#[derive(Debug)]
pub(crate) struct Ticket {
    inside: Arc<Mutex<Inside>>,
    address: IpAddr,
    number: u64,
}

impl WaitingRoom {
    pub(crate) fn new(seats: Seats) -> Self {
        Self {
            seats,
            inside: Arc::default(),
        }
    }

    /// Enters; the notification tells that the place was given to somebody else.
    pub(crate) fn enter(&self, address: IpAddr) -> (Ticket, Arc<Notify>) {
        let mut inside = self.inside.lock();
        let of_address = inside.by_address.get(&address).map_or(0, VecDeque::len);
        if of_address >= self.seats.per_address {
            inside.evict_oldest(address);
        } else if inside.count >= self.seats.all {
            let crowded = inside.by_address.iter().max_by_key(|(_, of)| of.len());
            if let Some(crowded) = crowded.map(|(address, _)| *address) {
                inside.evict_oldest(crowded);
            }
        }
        let number = inside.next;
        inside.next += 1;
        inside.count += 1;
        let evicted = Arc::new(Notify::new());
        inside
            .by_address
            .entry(address)
            .or_default()
            .push_back((number, evicted.clone()));
        (
            Ticket {
                inside: self.inside.clone(),
                address,
                number,
            },
            evicted,
        )
    }
}

impl Inside {
    fn evict_oldest(&mut self, address: IpAddr) {
        let oldest = self
            .by_address
            .get_mut(&address)
            .and_then(VecDeque::pop_front);
        if let Some((_, evicted)) = oldest {
            self.count -= 1;
            // The waiter may not be listening yet; a stored permit reaches it all the same.
            evicted.notify_one();
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut inside = self.inside.lock();
        let Some(of_address) = inside.by_address.get_mut(&self.address) else {
            return;
        };
        let before = of_address.len();
        of_address.retain(|(number, _)| *number != self.number);
        let left = before - of_address.len();
        if of_address.is_empty() {
            inside.by_address.remove(&self.address);
        }
        inside.count -= left;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const SEATS: Seats = Seats {
        per_address: 8,
        all: 32,
    };

    fn address(last: u8) -> IpAddr {
        IpAddr::from([127, 0, 0, last])
    }

    fn is_evicted(evicted: &Notify) -> bool {
        let mut waiting = Box::pin(evicted.notified());
        waiting.as_mut().enable()
    }

    #[test]
    fn the_oldest_of_an_address_gives_way_and_no_other() {
        let room = WaitingRoom::new(SEATS);
        let other = room.enter(address(2));
        let first = room.enter(address(1));
        let later: Vec<_> = (1..SEATS.per_address)
            .map(|_| room.enter(address(1)))
            .collect();
        assert!(!is_evicted(&first.1));
        let _newest = room.enter(address(1));
        assert!(is_evicted(&first.1));
        assert!(!is_evicted(&other.1) && later.iter().all(|(_, e)| !is_evicted(e)));
    }

    #[test]
    fn places_are_given_back() {
        let room = WaitingRoom::new(SEATS);
        for n in 0..10_000u32 {
            let (ticket, _) = room.enter(address((n % 7) as u8));
            drop(ticket);
        }
        assert_eq!(room.inside.lock().count, 0);
        assert!(room.inside.lock().by_address.is_empty());
    }
}
