//! The serial line: read by expectation, written like a keyboard, recorded from the first byte.

use crate::fault::{self, Fault};
use crate::qmp::Qmp;
use parking_lot::{Condvar, Mutex};
use serde_json::json;
use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// Name of the character device behind the line, for QMP.
pub(crate) const CHARDEV: &str = "serial0";

/// Output that nobody expected and that is kept, in bytes: a kernel that prints all it can while a
/// test looks elsewhere. The transcript has everything.
const UNREAD_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Bytes that one read of the line takes at most.
const READ_BYTES: usize = 4096;

/// How long the guest may leave its receiver full. 16 characters fit into a 16550.
const SEND_MAX: Duration = Duration::from_secs(30);

/// How long QEMU may take to accept the line again: its main loop answers in milliseconds.
const REATTACH_MAX: Duration = Duration::from_secs(20);

/// The first serial line of a machine (ttyS0).
///
/// Output is consumed in order: each `expect` begins where the last one ended.
pub struct Serial {
    socket: PathBuf,
    log: PathBuf,
    qmp: Arc<Qmp>,
    line: Mutex<Option<UnixStream>>,
    output: Arc<Output>,
}

#[derive(Default)]
struct Output {
    heard: Mutex<Heard>,
    arrived: Condvar,
}

#[derive(Default)]
struct Heard {
    /// What arrived and was not consumed.
    unread: Vec<u8>,
    /// Counts the times the line was attached, so that a late reader of an earlier time does not
    /// close the present one.
    times: u64,
    open: bool,
}

impl Serial {
    /// Takes over a connected line. `log` is where QEMU writes the transcript.
    pub(crate) fn new(
        stream: UnixStream,
        socket: PathBuf,
        log: PathBuf,
        qmp: Arc<Qmp>,
    ) -> Result<Self, Fault> {
        let serial = Self {
            socket,
            log,
            qmp,
            line: Mutex::new(None),
            output: Arc::default(),
        };
        serial.adopt(stream)?;
        Ok(serial)
    }

    /// Waits for a text and gives everything up to its end.
    ///
    /// # Errors
    /// It does not come in time, or the line closes first. The error has the last lines of the
    /// transcript.
    pub fn expect(&self, text: &str, within: Duration) -> Result<String, Fault> {
        Ok(self.expect_any(&[text], within)?.1)
    }

    /// Waits for the first of several texts. Gives its number in `texts` and everything up to its
    /// end. The text that begins first in the output wins.
    ///
    /// # Errors
    /// As [`Self::expect`].
    pub fn expect_any(&self, texts: &[&str], within: Duration) -> Result<(usize, String), Fault> {
        let what = match texts {
            [text] => format!("text {text:?}"),
            texts => format!("text out of {texts:?}"),
        };
        self.wait(&what, within, |unread| {
            let places = texts.iter().enumerate().filter_map(|(number, text)| {
                let begin = find(unread, text.as_bytes())?;
                Some((begin, number, begin + text.len()))
            });
            let (_, number, end) = places.min()?;
            Some((end, number))
        })
    }

    /// Waits until the guest asks for something: a line that ends with `[id]`, or with `[id]` and
    /// a colon, `>`, `?` or `#`. Gives everything up to there.
    ///
    /// # Errors
    /// As [`Self::expect`].
    pub fn at_prompt(&self, id: &str, within: Duration) -> Result<String, Fault> {
        let mark = format!("[{id}]");
        let found = self.wait(&format!("prompt {mark}"), within, |unread| {
            Some((prompt_end(unread, mark.as_bytes())?, ()))
        })?;
        Ok(found.1)
    }

    /// Waits until nothing has been printed for `quiet` and gives what came until then.
    ///
    /// # Errors
    /// The guest goes on printing for `within`, or the line closes.
    pub fn until_quiet(&self, quiet: Duration, within: Duration) -> Result<String, Fault> {
        let begin = Instant::now();
        let mut heard = self.output.heard.lock();
        loop {
            let length = heard.unread.len();
            let since = Instant::now();
            while heard.open && heard.unread.len() == length && since.elapsed() < quiet {
                self.output.arrived.wait_until(&mut heard, since + quiet);
            }
            if heard.unread.len() == length && heard.open {
                return Ok(text(&std::mem::take(&mut heard.unread)));
            }
            let open = heard.open;
            if begin.elapsed() >= within || !open {
                drop(heard);
                return Err(self.missed("silence", begin, open));
            }
        }
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// The line is not attached, or the guest takes nothing for half a minute.
    pub fn send(&self, bytes: impl AsRef<[u8]>) -> Result<(), Fault> {
        let mut line = self.line.lock();
        let Some(stream) = line.as_mut() else {
            return Err(Fault::Settings(
                "the serial line is detached; attach it before sending".to_owned(),
            ));
        };
        stream
            .write_all(bytes.as_ref())
            .map_err(Fault::doing("write to the serial line"))
    }

    /// Sends a text and the key Enter (a carriage return, as terminals send it).
    ///
    /// # Errors
    /// As [`Self::send`].
    pub fn send_line(&self, text: &str) -> Result<(), Fault> {
        self.send(format!("{text}\r"))
    }

    /// Sends a BREAK: the line held low for longer than a character.
    ///
    /// # Errors
    /// QEMU does not answer.
    pub fn send_break(&self) -> Result<(), Fault> {
        let id = json!({ "id": CHARDEV });
        self.qmp.execute("chardev-send-break", id)?;
        Ok(())
    }

    /// Pulls the cable out. What the guest prints from now on is only in the transcript.
    pub fn detach(&self) {
        if let Some(stream) = self.line.lock().take() {
            // An error means that the machine has ended: the line is out all the more.
            let _ = stream.shutdown(Shutdown::Both);
        }
        let mut heard = self.output.heard.lock();
        heard.open = false;
        self.output.arrived.notify_all();
    }

    /// Plugs the cable in again; output that was unread before is forgotten.
    ///
    /// # Errors
    /// The machine has ended.
    pub fn attach(&self) -> Result<(), Fault> {
        self.detach();
        let deadline = Instant::now() + REATTACH_MAX;
        let stream = loop {
            match UnixStream::connect(&self.socket) {
                Ok(stream) => break stream,
                Err(error) if Instant::now() >= deadline => {
                    return Err(Fault::io("connect to", &self.socket)(error));
                }
                Err(_) => thread::sleep(crate::child::LOOK_EVERY),
            }
        };
        self.adopt(stream)
    }

    /// Everything that the guest has printed since power-on, detached or not.
    ///
    /// # Errors
    /// The file of the transcript cannot be read.
    pub fn transcript(&self) -> Result<String, Fault> {
        let bytes = std::fs::read(&self.log).map_err(Fault::io("read", &self.log))?;
        Ok(text(&bytes))
    }

    /// Where QEMU writes the transcript.
    #[must_use]
    pub fn transcript_path(&self) -> &Path {
        &self.log
    }

    /// Takes what has arrived, waiting at most `within` for the first byte. `None`: the line is
    /// closed and everything was taken.
    pub(crate) fn take(&self, within: Duration) -> Option<Vec<u8>> {
        let mut heard = self.output.heard.lock();
        if heard.unread.is_empty() && heard.open {
            self.output.arrived.wait_for(&mut heard, within);
        }
        let taken = std::mem::take(&mut heard.unread);
        (heard.open || !taken.is_empty()).then_some(taken)
    }

    /// Makes `stream` the line and starts its reader.
    fn adopt(&self, stream: UnixStream) -> Result<(), Fault> {
        let reader = stream
            .try_clone()
            .and_then(|reader| stream.set_write_timeout(Some(SEND_MAX)).map(|()| reader))
            .map_err(Fault::doing("read the serial line"))?;
        let mut heard = self.output.heard.lock();
        heard.unread.clear();
        heard.times += 1;
        heard.open = true;
        let time = heard.times;
        drop(heard);
        let output = Arc::clone(&self.output);
        // The thread ends with the line.
        thread::Builder::new()
            .name("serial".to_owned())
            .spawn(move || output.fill(reader, time))
            .map_err(Fault::doing("start a thread"))?;
        *self.line.lock() = Some(stream);
        Ok(())
    }

    /// Waits until `search` finds in the unread output where something ends, and consumes up to
    /// there.
    fn wait<T>(
        &self,
        what: &str,
        within: Duration,
        search: impl Fn(&[u8]) -> Option<(usize, T)>,
    ) -> Result<(T, String), Fault> {
        let begin = Instant::now();
        let mut heard = self.output.heard.lock();
        loop {
            if let Some((end, found)) = search(&heard.unread) {
                let consumed: Vec<u8> = heard.unread.drain(..end).collect();
                return Ok((found, text(&consumed)));
            }
            let open = heard.open;
            if !open || begin.elapsed() >= within {
                drop(heard);
                return Err(self.missed(what, begin, open));
            }
            self.output.arrived.wait_until(&mut heard, begin + within);
        }
    }

    /// The fault of a wait in vain.
    fn missed(&self, what: &str, begin: Instant, open: bool) -> Fault {
        let (what, waited, tail) = (what.to_owned(), begin.elapsed(), fault::tail(&self.log));
        if open {
            return Fault::Deadline { what, waited, tail };
        }
        Fault::Closed {
            line: "serial line".to_owned(),
            what,
            waited,
            tail,
        }
    }
}

impl std::fmt::Debug for Serial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Serial")
            .field("transcript", &self.log)
            .finish_non_exhaustive()
    }
}

impl Output {
    /// Reads until the line closes.
    fn fill(&self, mut line: UnixStream, time: u64) {
        let mut buffer = [0; READ_BYTES];
        while let Ok(count) = line.read(&mut buffer) {
            let mut heard = self.heard.lock();
            if count == 0 || heard.times != time {
                break;
            }
            heard.unread.extend(buffer.iter().take(count));
            let excess = heard.unread.len().saturating_sub(UNREAD_BYTES_MAX);
            heard.unread.drain(..excess);
            self.arrived.notify_all();
        }
        let mut heard = self.heard.lock();
        if heard.times == time {
            heard.open = false;
            self.arrived.notify_all();
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Where `needle` begins.
fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    if needle.is_empty() {
        return Some(0);
    }
    bytes
        .windows(needle.len())
        .position(|window| window == needle)
}

/// Where the first prompt ends: `mark` with nothing behind it on its line but what closes a
/// prompt. A message of the kernel may have come after it, on a line of its own.
fn prompt_end(unread: &[u8], mark: &[u8]) -> Option<usize> {
    let mut line_begin = 0;
    for line in unread.split_inclusive(|&byte| byte == b'\n') {
        let closes = |rest: &[u8]| rest.iter().all(|byte| b" :>?#\r\n".contains(byte));
        let after = find(line, mark).map(|begin| begin + mark.len());
        if let Some(after) = after
            && line.get(after..).is_some_and(closes)
        {
            let end = line.trim_ascii_end().len().max(after);
            let spaces = line.iter().skip(end).take_while(|&&byte| byte == b' ');
            return Some(line_begin + end + spaces.count());
        }
        line_begin += line.len();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompt_is_the_end_of_a_line() {
        let end = |text: &str| prompt_end(text.as_bytes(), b"[name]");
        assert_eq!(end("Host name [name] "), Some(17));
        assert_eq!(end("a\r\nHost name [name]: "), Some(21));
        assert_eq!(end("Host name [name] alpha"), None);
        assert_eq!(end("Host name [name] alpha\r\nAddress [address] "), None);
        assert_eq!(end("Host name [nam"), None);
        assert_eq!(
            end("Host name [name]: \r\n[ 1.2] random: ready\r\n"),
            Some(18)
        );
        assert_eq!(end("[name]"), Some(6));
    }

    #[test]
    fn needle_is_found_where_it_begins() {
        assert_eq!(find(b"abc", b"bc"), Some(1));
        assert_eq!(find(b"abc", b"bd"), None);
        assert_eq!(find(b"a", b"abc"), None);
    }
}
