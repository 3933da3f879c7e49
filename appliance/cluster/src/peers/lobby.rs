//! Connections that have proven nothing yet: few per address, and the oldest gives way.
//!
//! Refusing the newest would let one address with silent connections lock everybody behind it out;
//! a node that means it needs milliseconds here (ABUSE A28, A29).

use parking_lot::Mutex;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use tokio::sync::Notify;

/// A room with a limit per address and one in all.
#[derive(Debug)]
pub(super) struct Lobby {
    inside: Arc<Mutex<Inside>>,
}

#[derive(Debug)]
struct Inside {
    per_address_max: usize,
    all_max: usize,
    next: u64,
    count: usize,
    by_address: BTreeMap<String, VecDeque<(u64, Arc<Notify>)>>,
}

/// A place in the lobby, given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    inside: Arc<Mutex<Inside>>,
    address: String,
    number: u64,
    evicted: Arc<Notify>,
}

impl Lobby {
    /// An empty one.
    pub(super) fn new(per_address_max: usize, all_max: usize) -> Self {
        let inside = Inside {
            per_address_max,
            all_max,
            next: 0,
            count: 0,
            by_address: BTreeMap::new(),
        };
        Self {
            inside: Arc::new(Mutex::new(inside)),
        }
    }

    /// Enters. `from` is `host:port`; all ports of a host share its places.
    pub(super) fn enter(&self, from: &str) -> Place {
        let address = from.rsplit_once(':').map_or(from, |(host, _)| host);
        let mut inside = self.inside.lock();
        let of_address = inside.by_address.get(address).map_or(0, VecDeque::len);
        if of_address >= inside.per_address_max {
            inside.evict_oldest(address);
        } else if inside.count >= inside.all_max {
            let crowded = inside.by_address.iter().max_by_key(|(_, of)| of.len());
            if let Some(crowded) = crowded.map(|(address, _)| address.clone()) {
                inside.evict_oldest(&crowded);
            }
        }
        let number = inside.next;
        inside.next = inside.next.wrapping_add(1);
        inside.count = inside.count.saturating_add(1);
        let evicted = Arc::new(Notify::new());
        let of_address = inside.by_address.entry(address.to_owned()).or_default();
        of_address.push_back((number, evicted.clone()));
        Place {
            inside: self.inside.clone(),
            address: address.to_owned(),
            number,
            evicted,
        }
    }
}

impl Inside {
    fn evict_oldest(&mut self, address: &str) {
        let of_address = self.by_address.get_mut(address);
        if let Some((_, evicted)) = of_address.and_then(VecDeque::pop_front) {
            self.count = self.count.saturating_sub(1);
            // The waiter may not be listening yet; a stored permit reaches it all the same.
            evicted.notify_one();
        }
    }
}

impl Place {
    /// Waits until the place is given to somebody else.
    pub(super) async fn evicted(&self) {
        self.evicted.notified().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut inside = self.inside.lock();
        let Some(of_address) = inside.by_address.get_mut(&self.address) else {
            return;
        };
        let before = of_address.len();
        of_address.retain(|(number, _)| *number != self.number);
        let left = before.saturating_sub(of_address.len());
        if of_address.is_empty() {
            inside.by_address.remove(&self.address);
        }
        inside.count = inside.count.saturating_sub(left);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_evicted(place: &Place) -> bool {
        let mut waiting = Box::pin(place.evicted.notified());
        waiting.as_mut().enable()
    }

    #[test]
    fn the_oldest_of_an_address_gives_way_and_no_other() {
        let lobby = Lobby::new(3, 100);
        let other = lobby.enter("10.0.0.2:1");
        let first = lobby.enter("10.0.0.1:1");
        let later = [lobby.enter("10.0.0.1:2"), lobby.enter("10.0.0.1:3")];
        assert!(!is_evicted(&first));
        let _newest = lobby.enter("10.0.0.1:4");
        assert!(is_evicted(&first));
        assert!(!is_evicted(&other) && !later.iter().any(is_evicted));
    }

    #[test]
    fn the_most_crowded_address_gives_way_when_the_room_is_full() {
        let lobby = Lobby::new(3, 4);
        let lone = lobby.enter("[::1]:1");
        let crowd: Vec<_> = (0..3)
            .map(|n| lobby.enter(&format!("10.0.0.1:{n}")))
            .collect();
        let _newest = lobby.enter("10.0.0.3:1");
        assert!(!is_evicted(&lone));
        let evicted: Vec<_> = crowd.iter().map(is_evicted).collect();
        assert_eq!(evicted, [true, false, false]);
    }

    #[test]
    fn places_are_given_back() {
        let lobby = Lobby::new(2, 5);
        for n in 0..10_000 {
            let places = [0, 1, 2].map(|m| lobby.enter(&format!("10.0.0.{}:{m}", n % 7)));
            drop(places);
        }
        assert_eq!(lobby.inside.lock().count, 0);
        assert!(lobby.inside.lock().by_address.is_empty());
    }
}
