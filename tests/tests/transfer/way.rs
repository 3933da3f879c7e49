//! The way between a node and a server: it can be cut in the middle, and at its end may be nobody
//! who speaks SSH.

use anyhow::Result;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

/// Bytes on their way at a time.
const PIECE_BYTES: usize = 4096;

struct Shared {
    /// Bytes that were let through towards the server.
    sent: AtomicU64,
    /// How many more are.
    left: AtomicU64,
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
            thread::spawn(move || pass(b, a, None));
            let shared = shared.clone();
            thread::spawn(move || pass(near, far, Some(shared)));
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

    pub(crate) fn address(&self) -> String {
        self.address.clone()
    }

    /// Cuts the connection after so many more bytes towards the server, and every one after it.
    pub(crate) fn cut_after(&self, bytes: u64) {
        self.shared.left.store(bytes, Ordering::SeqCst);
    }

    pub(crate) fn open(&self) {
        self.cut_after(u64::MAX);
    }

    pub(crate) fn sent(&self) -> u64 {
        self.shared.sent.load(Ordering::SeqCst)
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, shared: Option<Arc<Shared>>) {
    let mut piece = [0; PIECE_BYTES];
    while let Ok(read) = from.read(&mut piece) {
        if read == 0 {
            break;
        }
        if let Some(shared) = &shared {
            let count = read as u64;
            let taken = shared
                .left
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                    left.checked_sub(count)
                });
            if taken.is_err() {
                break;
            }
            shared.sent.fetch_add(count, Ordering::SeqCst);
        }
        if to.write_all(piece.get(..read).unwrap_or_default()).is_err() {
            break;
        }
    }
    // Both ends see it, whichever direction ended.
    drop(from.shutdown(Shutdown::Both));
    drop(to.shutdown(Shutdown::Both));
}
