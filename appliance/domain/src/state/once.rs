//! Which commands were carried out lately, so that a repetition is not carried out again.
//!
//! A client that heard no answer cannot know whether its Create happened. It asks again with the
//! same token, and gets the object of the first time. The memory is part of the state, so every
//! member answers alike after any fail-over.

use super::State;
use crate::object::UserIndex;
use crate::{Actor, Event, Hash, Record, Time, Uid};
use alloc::collections::{BTreeMap, VecDeque};

/// How long a command is remembered, in milliseconds of record time: a day, longer than any client
/// goes on trying.
pub const ONCE_LIFE_MS: i64 = 24 * 60 * 60 * 1000;

/// Commands that are remembered: at most 15 MB of memory. The oldest go first.
pub const ONCE_MAX: usize = 100_000;

/// Who asked (`None` is the staff: operators and nodes), and the token. A user cannot learn or use
/// up the tokens of another.
pub(super) type Speaker = Option<UserIndex>;
type Key = (Speaker, Hash);

/// The tokens that are remembered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tokens {
    /// What each created.
    created: BTreeMap<Key, Option<Uid>>,
    /// In the order in which they came, with the time.
    order: VecDeque<(Time, Key)>,
}

impl Tokens {
    fn put(&mut self, key: Key, created: Option<Uid>, now: Time) {
        match self.created.get_mut(&key) {
            // A later record of the same command.
            Some(known) => *known = created.or(*known),
            None => {
                self.created.insert(key, created);
                self.order.push_back((now, key));
            }
        }
    }

    /// Forgets what is too old or too much.
    fn expire(&mut self, now: Time) {
        while let Some((time, key)) = self.order.front() {
            let old = time.0.saturating_add(ONCE_LIFE_MS) <= now.0;
            if !old && self.order.len() <= ONCE_MAX {
                break;
            }
            self.created.remove(key);
            self.order.pop_front();
        }
    }

    /// Each with its time and what it created, oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Time, Speaker, &Hash, Option<Uid>)> + '_ {
        self.order.iter().map(|(time, key)| {
            let created = self.created.get(key).copied().flatten();
            (*time, key.0, &key.1, created)
        })
    }

    pub(super) fn len(&self) -> usize {
        self.order.len()
    }
}

impl State {
    /// Whether a command of this actor with this token ([`crate::Facts::once`]) was carried out
    /// lately: `Some(uid)` with what it created, if it created something. The actor must have been
    /// authenticated.
    pub fn repeated(&self, actor: &Actor, once: &Hash) -> Option<Option<Uid>> {
        let key = (self.speaker(actor)?, *once);
        self.once.created.get(&key).copied()
    }

    fn speaker(&self, actor: &Actor) -> Option<Speaker> {
        match actor {
            Actor::User { name, .. } => self.user_index(name).map(Some),
            Actor::Operator { .. } | Actor::Node(_) => Some(None),
            Actor::Unknown { .. } => None,
        }
    }

    /// Remembers the command of a record.
    pub(super) fn remember(&mut self, record: &Record) {
        let now = self.latest_time;
        let refused = matches!(record.event, Event::Refused { .. });
        if let (Some(once), false) = (record.once, refused)
            && let Some(speaker) = self.speaker(&record.actor)
        {
            let created = match &record.event {
                Event::ObjectCreated { uid, .. } | Event::ObjectSalvaged { uid, .. } => Some(*uid),
                _ => None,
            };
            self.once.put((speaker, once), created, now);
        }
        self.once.expire(now);
    }
}
