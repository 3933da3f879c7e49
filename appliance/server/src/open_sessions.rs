//! The KMIP sessions that are open on this node, and what each has agreed on.

use parking_lot::Mutex;
use std::collections::BTreeMap;

/// One session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Session {
    /// Its user.
    pub(crate) user: String,
    /// Where the user is.
    pub(crate) source: String,
    /// Cipher suite of TLS.
    pub(crate) suite: String,
    /// Group of the key exchange.
    pub(crate) group: String,
}

/// All of them; the KMIP door limits how many there are.
#[derive(Debug, Default)]
pub(crate) struct OpenSessions(Mutex<(u64, BTreeMap<u64, Session>)>);

/// A session stands in the list until this is dropped.
#[derive(Debug)]
pub(crate) struct Listed<'a> {
    list: &'a OpenSessions,
    number: u64,
}

impl OpenSessions {
    pub(crate) fn enter(&self, session: Session) -> Listed<'_> {
        let mut inner = self.0.lock();
        let number = inner.0;
        inner.0 += 1;
        inner.1.insert(number, session);
        Listed { list: self, number }
    }

    /// Those that are open now, the oldest first.
    pub(crate) fn all(&self) -> Vec<Session> {
        self.0.lock().1.values().cloned().collect()
    }
}

impl Drop for Listed<'_> {
    fn drop(&mut self) {
        self.list.0.lock().1.remove(&self.number);
    }
}
