//! The way between a node and a server: it can be held up and cut, and at its end may be nobody
//! who speaks SSH.

use anyhow::Result;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// Bytes on their way at a time.
const PIECE_BYTES: usize = 4096;

struct Shared {
    /// Bytes that were let through towards the server.
    sent: AtomicU64,
    /// How many more are, before the rest is held back.
    left: AtomicU64,
    /// Whether connections that are held back end.
    is_cut: AtomicBool,
    /// Bytes a second, in each direction.
    pace: AtomicU64,
    /// Connections that are open.
    open: AtomicU64,
}

pub(crate) struct Way {
    address: String,
    shared: Arc<Shared>,
}

impl Way {
    fn with(serve: impl Fn(TcpStream, &Arc<Shared>) + Send + 'static) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?.to_string();
        let shared = Arc::new(Shared {
            sent: AtomicU64::new(0),
            left: AtomicU64::new(u64::MAX),
            is_cut: AtomicBool::new(false),
            pace: AtomicU64::new(u64::MAX),
            open: AtomicU64::new(0),
        });
        let own = shared.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                serve(stream, &own);
            }
        });
        Ok(Self { address, shared })
    }

    /// To a server.
    pub(crate) fn to(server: &str) -> Result<Self> {
        let server = server.to_owned();
        Self::with(move |near, shared| {
            let Ok(far) = TcpStream::connect(&server) else {
                return;
            };
            let (a, b) = (near.try_clone().unwrap(), far.try_clone().unwrap());
            let (there, back) = (shared.clone(), shared.clone());
            thread::spawn(move || pass(b, a, &back, false));
            thread::spawn(move || pass(near, far, &there, true));
        })
    }

    /// Somebody who takes everything and says nothing.
    pub(crate) fn silent() -> Result<Self> {
        Self::with(|stream, _| {
            thread::spawn(move || {
                let mut stream = stream;
                let mut piece = [0; PIECE_BYTES];
                while stream.read(&mut piece).is_ok_and(|read| read > 0) {}
            });
        })
    }

    /// Somebody who says his name without end.
    pub(crate) fn noisy() -> Result<Self> {
        Self::with(|stream, _| {
            thread::spawn(move || {
                let mut stream = stream;
                drop(stream.write_all(b"SSH-2.0-"));
                while stream.write_all(&[b'x'; PIECE_BYTES]).is_ok() {}
            });
        })
    }

    /// Somebody who says messages that mean nothing, and never goes on (RFC 4253, section 11.2).
    pub(crate) fn busy() -> Result<Self> {
        Self::with(|stream, shared| {
            let shared = shared.clone();
            shared.open.fetch_add(1, Ordering::SeqCst);
            thread::spawn(move || {
                let mut stream = stream;
                drop(stream.write_all(b"SSH-2.0-busy\r\n"));
                // Length, length of the padding, SSH_MSG_IGNORE, an empty text, the padding.
                let ignore = [&[0, 0, 0, 12, 6, 2][..], &[0; 10]].concat();
                while stream.write_all(&ignore).is_ok() {
                    thread::sleep(Duration::from_millis(200));
                }
                shared.open.fetch_sub(1, Ordering::SeqCst);
            });
        })
    }

    pub(crate) fn open_connections(&self) -> u64 {
        self.shared.open.load(Ordering::SeqCst)
    }

    /// So many bytes a second from here on.
    pub(crate) fn slow_down(&self, pace: u64) {
        self.shared.pace.store(pace, Ordering::SeqCst);
    }

    pub(crate) fn address(&self) -> String {
        self.address.clone()
    }

    /// Lets so many more bytes through towards the server, and holds back the rest.
    pub(crate) fn hold_after(&self, bytes: u64) {
        self.shared.left.store(bytes, Ordering::SeqCst);
    }

    /// Cuts what is held back, and every connection after it.
    pub(crate) fn cut(&self) {
        self.shared.is_cut.store(true, Ordering::SeqCst);
    }

    pub(crate) fn open(&self) {
        self.hold_after(u64::MAX);
        self.shared.is_cut.store(false, Ordering::SeqCst);
    }

    pub(crate) fn sent(&self) -> u64 {
        self.shared.sent.load(Ordering::SeqCst)
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, shared: &Shared, is_there: bool) {
    let mut piece = [0; PIECE_BYTES];
    loop {
        let pace = shared.pace.load(Ordering::SeqCst);
        // Ten pieces a second at most, where it is slow.
        let most = usize::try_from(pace / 10).unwrap_or(PIECE_BYTES);
        let most = most.clamp(1, PIECE_BYTES);
        let read = match from.read(piece.get_mut(..most).unwrap_or_default()) {
            Ok(0) | Err(_) => break,
            Ok(read) => read,
        };
        let count = read as u64;
        if is_there {
            let taken = shared
                .left
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                    left.checked_sub(count)
                });
            if taken.is_err() {
                while !shared.is_cut.load(Ordering::SeqCst) {
                    thread::sleep(Duration::from_millis(10));
                }
                break;
            }
            shared.sent.fetch_add(count, Ordering::SeqCst);
        }
        if to.write_all(piece.get(..read).unwrap_or_default()).is_err() {
            break;
        }
        thread::sleep(Duration::from_millis(count.saturating_mul(1000) / pace));
    }
    // Both ends see it, whichever direction ended.
    drop(from.shutdown(Shutdown::Both));
    drop(to.shutdown(Shutdown::Both));
}
