//! Who tried to sign in with a wrong password, and when the next try counts (ABUSE A11).
//!
//! A failed try is paid for by whoever made it: by the account *at* the address, and, against one
//! password that is tried at many accounts, by the address. Never by the account alone: whoever can
//! reach a door could then keep its owner out everywhere. Each wrong try doubles the pause before
//! the next one; the fifth locks the account at that address for a quarter of an hour. At the
//! serial console there is always an administrator with full access who is paused only: of those,
//! the last one that is not locked there never is.
//!
//! It is the node's own memory, not the cluster's: a lock that travelled through Raft would let
//! strangers write into the log of every member, and one that outlived a restart would keep people
//! out for longer than they were told. Time comes in as milliseconds of any clock that only goes
//! forward.

use domain::Name;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Failures of one account at one address before it is locked there.
const FAILURES_MAX: u32 = 5;

/// For how long.
const LOCK_MS: i64 = 15 * 60 * 1_000;

/// The pause after the first failure; each further one doubles it.
const FIRST_PAUSE_MS: i64 = 1_000;

/// The longest pause: at the console of the last administrator it is all there is.
const PAUSE_MS_MAX: i64 = 60 * 1_000;

/// Failures at one address, of any accounts, that cost the address nothing yet: a few people behind
/// one address mistype.
const FREE_FAILURES: u32 = 10;

/// After so long without a failure everything is forgotten.
const FORGET_MS: i64 = 15 * 60 * 1_000;

/// Accounts at addresses that are remembered; those that failed longest ago are forgotten first.
const ENTRIES_MAX: usize = 4_096;

/// Where somebody tries from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Source {
    /// The serial console: whoever stands before the machine.
    Console,
    /// A network address. An IPv6 host has a whole /64 to choose from, so it is that.
    Address(IpAddr),
}

impl Source {
    /// An address of a peer.
    pub(crate) fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::Address(address),
            IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
                Some(v4) => Self::Address(IpAddr::V4(v4)),
                None => {
                    let network = u128::from(v6) & !u128::from(u64::MAX);
                    Self::Address(IpAddr::V6(network.into()))
                }
            },
        }
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Console => f.write_str("console"),
            Self::Address(address) => write!(f, "{address}"),
        }
    }
}

/// The next try does not count yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Paused {
    /// How long it takes until it does.
    pub(crate) milliseconds: i64,
    /// Whether it is a lock.
    pub(crate) locked: bool,
}

impl Paused {
    /// In seconds, rounded up: nobody is told to come back too early.
    pub(crate) fn seconds(self) -> u64 {
        u64::try_from((self.milliseconds + 999) / 1_000).unwrap_or_default()
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    failures: u32,
    last: i64,
    until: i64,
    locked: bool,
}

impl Entry {
    fn paused(&self, now: i64) -> Option<Paused> {
        (now < self.until).then(|| Paused {
            milliseconds: self.until - now,
            locked: self.locked,
        })
    }

    /// Forgets what is long ago, and what was paid for by a lock.
    fn refresh(&mut self, now: i64) {
        let old = self.last.saturating_add(FORGET_MS) <= now;
        if now >= self.until && (old || self.locked) {
            *self = Self::default();
        }
    }

    fn fail(&mut self, free: u32, now: i64) {
        self.failures = self.failures.saturating_add(1);
        self.last = now;
        if let Some(over) = self.failures.checked_sub(free + 1) {
            let pause = FIRST_PAUSE_MS
                .checked_shl(over.min(16))
                .unwrap_or(PAUSE_MS_MAX);
            self.until = now.saturating_add(pause.min(PAUSE_MS_MAX));
        }
    }
}

/// The memory of failed tries of one node.
#[derive(Debug, Default)]
pub(crate) struct Lockout {
    /// By account and address. Unknown names are one account: they cannot fill the memory.
    accounts: BTreeMap<(Option<Name>, Source), Entry>,
    addresses: BTreeMap<Source, Entry>,
}

impl Lockout {
    /// Begins a try. It counts as failed until [`Lockout::succeeded`] says otherwise, so that many
    /// tries at the same time are not cheaper than one after the other. `keepers` are the
    /// administrators with full access who can sign in at the serial console.
    ///
    /// # Errors
    /// It does not count, and nothing may be compared.
    pub(crate) fn begin(
        &mut self,
        account: Option<&Name>,
        source: Source,
        keepers: &[Name],
        now: i64,
    ) -> Result<(), Paused> {
        let kept_open = self.is_kept_open(account, source, keepers, now);
        let key = (account.cloned(), source);
        for entry in [self.accounts.get_mut(&key), self.addresses.get_mut(&source)] {
            let Some(entry) = entry else { continue };
            entry.refresh(now);
            if let Some(paused) = entry.paused(now) {
                return Err(paused);
            }
        }
        forget_oldest(&mut self.accounts);
        let entry = self.accounts.entry(key).or_default();
        entry.fail(0, now);
        if entry.failures >= FAILURES_MAX && !kept_open {
            (entry.locked, entry.until) = (true, now.saturating_add(LOCK_MS));
        }
        // At the console there is one person at a time, who pays by account.
        if source != Source::Console {
            forget_oldest(&mut self.addresses);
            self.addresses
                .entry(source)
                .or_default()
                .fail(FREE_FAILURES, now);
        }
        Ok(())
    }

    /// What holds after a try that failed.
    pub(crate) fn failed(&self, account: Option<&Name>, source: Source, now: i64) -> Paused {
        let of_account = self.accounts.get(&(account.cloned(), source));
        let entries = [of_account, self.addresses.get(&source)];
        let paused = entries.into_iter().flatten().filter_map(|e| e.paused(now));
        paused
            .max_by_key(|paused| paused.milliseconds)
            .unwrap_or(Paused {
                milliseconds: 0,
                locked: false,
            })
    }

    /// The password was right. What others did at that address stays counted: one's own account
    /// must not buy tries at those of others.
    pub(crate) fn succeeded(&mut self, account: &Name, source: Source) {
        self.accounts.remove(&(Some(account.clone()), source));
        if let Some(entry) = self.addresses.get_mut(&source) {
            entry.failures = entry.failures.saturating_sub(1);
            entry.until = 0;
        }
    }

    /// Whether an account must not be locked: it is the last one with full access that is not
    /// locked at the console.
    fn is_kept_open(
        &self,
        account: Option<&Name>,
        source: Source,
        keepers: &[Name],
        now: i64,
    ) -> bool {
        let Some(account) = account else { return false };
        let locked = |keeper: &Name| {
            let entry = self.accounts.get(&(Some(keeper.clone()), source));
            entry
                .and_then(|entry| entry.paused(now))
                .is_some_and(|paused| paused.locked)
        };
        source == Source::Console
            && keepers.contains(account)
            && keepers
                .iter()
                .all(|keeper| keeper == account || locked(keeper))
    }
}

/// Makes room for one more.
fn forget_oldest<K: Ord + Clone>(entries: &mut BTreeMap<K, Entry>) {
    if entries.len() < ENTRIES_MAX {
        return;
    }
    let oldest = entries
        .iter()
        .min_by_key(|(_, entry)| (entry.until, entry.last));
    if let Some(key) = oldest.map(|(key, _)| key.clone()) {
        entries.remove(&key);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    fn address(n: u8) -> Source {
        Source::of(IpAddr::from([192, 0, 2, n]))
    }

    /// Tries as soon as it counts; gives the pauses in seconds, with `!` for a lock.
    fn tries(lockout: &mut Lockout, who: &str, source: Source, keepers: &[Name]) -> Vec<String> {
        let (who, mut now) = (name(who), 0);
        let mut said = Vec::new();
        for _ in 0..8 {
            lockout.begin(Some(&who), source, keepers, now).unwrap();
            let paused = lockout.failed(Some(&who), source, now);
            let mark = if paused.locked { "!" } else { "" };
            said.push(format!("{}{mark}", paused.seconds()));
            let early = now + paused.milliseconds - 1;
            assert!(lockout.begin(Some(&who), source, keepers, early).is_err());
            now += paused.milliseconds;
        }
        said
    }

    #[test]
    fn pauses_double_and_the_fifth_failure_locks_for_a_while() {
        let mut lockout = Lockout::default();
        let said = tries(&mut lockout, "root", address(1), &[name("root")]);
        assert_eq!(said, ["1", "2", "4", "8", "900!", "1", "2", "4"]);
        // Elsewhere, and for others there, nothing has happened.
        assert_eq!(
            lockout.begin(Some(&name("root")), address(2), &[], 0),
            Ok(())
        );
        assert_eq!(
            lockout.begin(Some(&name("eve")), address(1), &[], 0),
            Ok(())
        );
        assert_eq!(
            lockout.begin(Some(&name("root")), Source::Console, &[], 0),
            Ok(())
        );
    }

    #[test]
    fn the_last_with_full_access_is_never_locked_at_the_console() {
        let mut lockout = Lockout::default();
        let both = [name("eve"), name("root")];
        let said = tries(&mut lockout, "root", Source::Console, &both[1..]);
        assert_eq!(said, ["1", "2", "4", "8", "16", "32", "60", "60"]);
        // Of two, one is locked, and then the other is the last.
        let mut lockout = Lockout::default();
        for n in 0..5 {
            let now = n * 20_000;
            lockout
                .begin(Some(&both[0]), Source::Console, &both, now)
                .unwrap();
        }
        assert!(
            lockout
                .failed(Some(&both[0]), Source::Console, 80_000)
                .locked
        );
        for n in 5..12 {
            let now = n * 61_000;
            lockout
                .begin(Some(&both[1]), Source::Console, &both, now)
                .unwrap();
            assert!(!lockout.failed(Some(&both[1]), Source::Console, now).locked);
        }
        // Who has no full access is locked there too.
        let said = tries(&mut Lockout::default(), "kim", Source::Console, &both);
        assert_eq!(said.get(4).unwrap(), "900!");
    }

    #[test]
    fn one_password_at_many_accounts_is_paid_for_by_the_address() {
        let mut lockout = Lockout::default();
        let mut refused = 0;
        for n in 0..40 {
            let who = name(&format!("a{n}"));
            let begun = lockout.begin(Some(&who), address(1), &[], n * 100);
            refused += u32::from(begun.is_err());
        }
        assert!(refused > 25, "{refused} of 40 refused");
        assert!(lockout.begin(None, address(1), &[], 3_999).is_err());
        assert_eq!(lockout.begin(None, address(2), &[], 4_000), Ok(()));
    }

    #[test]
    fn many_tries_at_once_are_no_cheaper() {
        let mut lockout = Lockout::default();
        let root = name("root");
        assert_eq!(lockout.begin(Some(&root), address(1), &[], 5), Ok(()));
        // The first one is still being compared.
        assert!(lockout.begin(Some(&root), address(1), &[], 5).is_err());
    }

    #[test]
    fn success_and_time_forget_failures() {
        let mut lockout = Lockout::default();
        let root = name("root");
        for n in 0..4 {
            lockout
                .begin(Some(&root), address(1), &[], n * 10_000)
                .unwrap();
        }
        lockout.succeeded(&root, address(1));
        lockout.begin(Some(&root), address(1), &[], 40_000).unwrap();
        assert_eq!(lockout.failed(Some(&root), address(1), 40_000).seconds(), 1);
        let later = 40_000 + FORGET_MS;
        lockout.begin(Some(&root), address(1), &[], later).unwrap();
        assert_eq!(lockout.failed(Some(&root), address(1), later).seconds(), 1);
    }

    #[test]
    fn strangers_cannot_fill_the_memory() {
        let mut lockout = Lockout::default();
        for n in 0..10_000u32 {
            let [_, a, b, c] = n.to_be_bytes();
            let source = Source::of(IpAddr::from([10, a, b, c]));
            lockout.begin(None, source, &[], i64::from(n)).unwrap();
        }
        assert!(lockout.accounts.len() <= ENTRIES_MAX);
        assert!(lockout.addresses.len() <= ENTRIES_MAX);
        let network = |text: &str| Source::of(text.parse().unwrap());
        assert_eq!(network("2001:db8::1"), network("2001:db8::ffff:2"));
        assert_ne!(network("2001:db8::1"), network("2001:db8:0:1::1"));
        assert_eq!(network("::ffff:192.0.2.1"), address(1));
    }
}
