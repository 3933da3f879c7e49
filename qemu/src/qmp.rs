//! QEMU's control connection: commands, replies and events (QMP, docs/interop/qmp-spec of QEMU).

use crate::fault::Fault;
use parking_lot::{Condvar, Mutex};
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How long QEMU may take for a reply: commands answer in milliseconds, but a machine with more
/// guests than processors gets its turn late.
const REPLY_MAX: Duration = Duration::from_secs(30);

/// Events that are kept until somebody waits for them; the oldest go first.
const EVENTS_MAX: usize = 1024;

/// Something that QEMU reports on its own.
#[derive(Clone, Debug)]
pub struct Event {
    /// Its name, such as `RESET` or `SHUTDOWN`.
    pub name: String,
    /// What comes with it; `null` if nothing does.
    pub data: Value,
}

/// The control connection of one machine.
pub struct Qmp {
    writer: Mutex<UnixStream>,
    next: AtomicU64,
    inbox: Arc<Inbox>,
}

#[derive(Default)]
struct Inbox {
    mail: Mutex<Mail>,
    arrived: Condvar,
}

#[derive(Default)]
struct Mail {
    greeting: Option<Value>,
    replies: BTreeMap<u64, Value>,
    events: VecDeque<Event>,
    closed: bool,
}

impl Qmp {
    /// Waits for QEMU's greeting and leaves the negotiation mode.
    ///
    /// # Errors
    /// No greeting, or the connection breaks.
    pub(crate) fn new(stream: UnixStream) -> Result<Self, Fault> {
        let reader = stream
            .try_clone()
            .map_err(Fault::doing("read the control connection"))?;
        let inbox = Arc::new(Inbox::default());
        let inbox_of_reader = Arc::clone(&inbox);
        // The thread ends with the connection, that is with QEMU.
        thread::Builder::new()
            .name("qmp".to_owned())
            .spawn(move || inbox_of_reader.fill(reader))
            .map_err(Fault::doing("start a thread"))?;
        let qmp = Self {
            writer: Mutex::new(stream),
            next: AtomicU64::new(0),
            inbox,
        };
        qmp.wait("greeting of QEMU", REPLY_MAX, |mail| mail.greeting.take())?;
        qmp.execute("qmp_capabilities", json!({}))?;
        Ok(qmp)
    }

    /// Executes one command and gives what it returns.
    ///
    /// # Errors
    /// QEMU refuses it, does not answer, or has ended.
    pub fn execute(&self, command: &str, arguments: Value) -> Result<Value, Fault> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let line = json!({ "execute": command, "arguments": arguments, "id": id });
        let sent = writeln!(self.writer.lock(), "{line}");
        sent.map_err(Fault::doing(&format!("send {command} to QEMU")))?;
        let what = format!("reply to {command}");
        let mut reply = self.wait(&what, REPLY_MAX, |mail| mail.replies.remove(&id))?;
        match reply.get("error") {
            None => Ok(reply.get_mut("return").map(Value::take).unwrap_or_default()),
            Some(error) => Err(Fault::Refused {
                command: command.to_owned(),
                reason: error.to_string(),
            }),
        }
    }

    /// A line for the human monitor, for what QMP has no command of its own.
    ///
    /// # Errors
    /// As [`Self::execute`]. A line that the monitor does not understand is no error: its answer
    /// says so.
    pub fn monitor(&self, line: &str) -> Result<String, Fault> {
        let answer = self.execute("human-monitor-command", json!({ "command-line": line }))?;
        match answer.as_str() {
            Some(text) => Ok(text.to_owned()),
            None => Err(Fault::malformed("answer of the monitor", "no text")),
        }
    }

    /// Waits for an event, which may have come before the call; it and older events are forgotten.
    ///
    /// # Errors
    /// It does not come in time, or QEMU has ended.
    pub fn event(&self, name: &str, within: Duration) -> Result<Event, Fault> {
        self.wait(&format!("event {name}"), within, |mail| {
            let at = mail.events.iter().position(|event| event.name == name)?;
            mail.events.drain(..=at).next_back()
        })
    }

    /// Waits until `take` finds something in the mail.
    fn wait<T>(
        &self,
        what: &str,
        within: Duration,
        take: impl Fn(&mut Mail) -> Option<T>,
    ) -> Result<T, Fault> {
        let begin = Instant::now();
        let mut mail = self.inbox.mail.lock();
        loop {
            if let Some(found) = take(&mut mail) {
                return Ok(found);
            }
            if mail.closed {
                return Err(Fault::Closed {
                    line: "control connection".to_owned(),
                    what: what.to_owned(),
                    waited: begin.elapsed(),
                    tail: events_text(&mail.events),
                });
            }
            let timed_out = self.inbox.arrived.wait_until(&mut mail, begin + within);
            if timed_out.timed_out() && begin.elapsed() >= within {
                return Err(Fault::Deadline {
                    what: what.to_owned(),
                    waited: begin.elapsed(),
                    tail: events_text(&mail.events),
                });
            }
        }
    }
}

impl std::fmt::Debug for Qmp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Qmp").finish_non_exhaustive()
    }
}

impl Inbox {
    /// Sorts the lines that QEMU sends until it closes the connection.
    fn fill(&self, stream: UnixStream) {
        for line in BufReader::new(stream).lines() {
            let Ok(line) = line else { break };
            // QEMU speaks JSON only; a line that is none was cut off by its end.
            let Ok(message) = serde_json::from_str::<Value>(&line) else {
                break;
            };
            self.mail.lock().sort(message);
            self.arrived.notify_all();
        }
        self.mail.lock().closed = true;
        self.arrived.notify_all();
    }
}

impl Mail {
    fn sort(&mut self, mut message: Value) {
        if let Some(name) = message.get("event").and_then(Value::as_str) {
            let name = name.to_owned();
            let data = message.get_mut("data").map(Value::take);
            let data = data.unwrap_or_default();
            if self.events.len() == EVENTS_MAX {
                self.events.pop_front();
            }
            self.events.push_back(Event { name, data });
        } else if let Some(id) = message.get("id").and_then(Value::as_u64) {
            self.replies.insert(id, message);
        } else if message.get("QMP").is_some() {
            self.greeting = Some(message);
        }
    }
}

fn events_text(events: &VecDeque<Event>) -> String {
    let lines = events
        .iter()
        .map(|event| format!("  | event {} {}", event.name, event.data));
    let text: Vec<String> = lines.collect();
    match text.is_empty() {
        true => "  | (no events)".to_owned(),
        false => text.join("\n"),
    }
}
