//! PID 1's own socket: one question as a JSON line, one answer as a JSON line.
//!
//! Only root, the daemon, the console and, for the status alone, the SSH door may ask; the kernel
//! says who does (SO_PEERCRED). The questions: `{"ask":"status"}`, `{"ask":"halt"}`,
//! `{"ask":"reboot"}`, `{"ask":"log","service":"core"}`, `{"ask":"restart","service":"core"}`.

use crate::fault::{Naming, Outcome};
use crate::report;
use crate::services::{CONSOLE_USER, CONTROL_GROUP, CORE_USER, SSH_USER};
use crate::supervise::{Event, Events};
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use serde::Deserialize;
use serde_json::{Value, json};
use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Duration;

const PATH: &str = "/run/init.sock";
/// A question is a short line; more is not one of ours.
const QUESTION_BYTES_MAX: u64 = 4096;
/// For the question and for the answer: who is slower does not hold the socket.
const PATIENCE: Duration = Duration::from_secs(2);
/// Users that may ask for everything: an administrator's wish comes from the daemon, which has
/// judged it, and somebody at the console has the machine's own switch.
const MAY_ASK_ALL: &[u32] = &[0, CORE_USER, CONSOLE_USER];
/// Users that may ask how the machine is.
const MAY_LOOK: &[u32] = &[SSH_USER];

/// What can be asked.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "ask", rename_all = "lowercase", deny_unknown_fields)]
pub(crate) enum Ask {
    Status,
    Log { service: String },
    Restart { service: String },
    Halt,
    Reboot,
}

/// Opens the socket and answers from a thread of its own, one question after the other: there
/// are two clients, and an answer takes a millisecond.
///
/// # Errors
/// The socket cannot be made.
pub(crate) fn open(events: Events) -> Outcome {
    let listener = UnixListener::bind(PATH).naming(|| PATH.into())?;
    chown(PATH, Some(0), Some(CONTROL_GROUP)).naming(|| PATH.into())?;
    fs::set_permissions(PATH, Permissions::from_mode(0o660)).naming(|| PATH.into())?;
    let serve = move || {
        for stream in listener.incoming() {
            let outcome = stream
                .naming(|| "accept".into())
                .and_then(|s| serve_one(s, &events));
            if let Err(fault) = outcome {
                report::note(&format!("{PATH}: {fault}"));
                // An error of accept itself must not make this loop spin.
                thread::sleep(Duration::from_millis(10));
            }
        }
    };
    let thread = thread::Builder::new().name("control".into()).spawn(serve);
    thread
        .map(drop)
        .naming(|| "starting the control thread".into())
}

fn serve_one(mut stream: UnixStream, events: &Events) -> Outcome {
    stream
        .set_read_timeout(Some(PATIENCE))
        .naming(|| "time limit".into())?;
    stream
        .set_write_timeout(Some(PATIENCE))
        .naming(|| "time limit".into())?;
    let peer = getsockopt(&stream, PeerCredentials).naming(|| "who asks".into())?;
    let answer = answer_to(peer.uid(), &stream, events);
    let line = format!("{answer}\n");
    stream.write_all(line.as_bytes()).naming(|| "answer".into())
}

fn may_ask(user: u32, ask: &Ask) -> bool {
    MAY_ASK_ALL.contains(&user) || (MAY_LOOK.contains(&user) && *ask == Ask::Status)
}

fn answer_to(user: u32, stream: &UnixStream, events: &Events) -> Value {
    let mut line = String::new();
    let read = BufReader::new(stream.take(QUESTION_BYTES_MAX)).read_line(&mut line);
    let ask = match read
        .naming(|| "reading the question".into())
        .and_then(|_| parse(&line))
    {
        Ok(ask) if may_ask(user, &ask) => ask,
        Ok(_) => return json!({ "error": format!("user {user} may not ask PID 1 for this") }),
        Err(fault) => return json!({ "error": fault.to_string() }),
    };
    let (answer, wait) = sync_channel(1);
    if events.send(Event::Asked(ask, answer)).is_err() {
        return json!({ "error": "PID 1 is ending" });
    }
    wait.recv_timeout(PATIENCE)
        .unwrap_or_else(|_| json!({ "error": "PID 1 is busy; ask again" }))
}

fn parse(line: &str) -> Outcome<Ask> {
    serde_json::from_str(line).naming(|| {
        "not understood; ask status, log, restart, halt or reboot as one JSON line".into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_reached_from_afar_may_only_look() {
        for user in [0, CORE_USER, CONSOLE_USER] {
            assert!(may_ask(user, &Ask::Halt) && may_ask(user, &Ask::Status));
        }
        assert!(may_ask(SSH_USER, &Ask::Status));
        let log = Ask::Log {
            service: "core".into(),
        };
        for ask in [Ask::Halt, Ask::Reboot, log] {
            assert!(!may_ask(SSH_USER, &ask), "{ask:?}");
        }
        assert!(!may_ask(902, &Ask::Status));
    }

    #[test]
    fn questions_are_understood() {
        assert_eq!(parse("{\"ask\":\"status\"}\n"), Ok(Ask::Status));
        let restart = Ask::Restart {
            service: "core".into(),
        };
        assert_eq!(
            parse("{\"ask\":\"restart\",\"service\":\"core\"}"),
            Ok(restart)
        );
        for wrong in [
            "",
            "{}",
            "{\"ask\":\"shell\"}",
            "{\"ask\":\"restart\"}",
            "[\"status\"]x",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
