//! After the boot: keeps the services running, answers the control socket, ends the machine.
//!
//! One loop, one owner of all state. Threads of their own only wait (for signals, for lines of a
//! service, for questions) and send what came as an [`Event`]; the loop does the rest.

use crate::control::{self, Ask};
use crate::fault::{Naming, Outcome};
use crate::hardening;
use crate::log::{self, Log};
use crate::phases::{Facts, PROGRAM};
use crate::power::{self, End};
use crate::report;
use crate::self_test;
use crate::services::{SERVICES, Service};
use crate::status;
use crate::watchdog::{self, Watchdog};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use serde_json::{Value, json};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};
use std::{io, thread};

/// Events that may wait. Small: a service that writes faster than PID 1 reads waits for itself.
const EVENTS_MAX: usize = 256;
/// First pause before a service is started again; doubles with every quick end.
const PAUSE_MIN: Duration = Duration::from_millis(200);
/// Longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// A service that ran so long has recovered: the next pause is short again.
const RECOVERED_AFTER: Duration = Duration::from_secs(60);
/// For an orderly end of all services; the daemon flushes within a second.
const ORDERLY: Duration = Duration::from_secs(10);
/// For the kernel to take away what SIGKILL ended.
const KILLED: Duration = Duration::from_secs(2);

/// What the loop hears.
#[derive(Debug)]
pub(crate) enum Event {
    /// A child, ours or an orphan, has ended.
    ChildEnded,
    /// The service of this position wrote a line.
    Line(usize, String),
    /// Somebody asks, and waits for the answer.
    Asked(Ask, SyncSender<Value>),
}

/// Where threads send what they heard.
pub(crate) type Events = SyncSender<Event>;

/// Pauses between restarts.
#[derive(Debug, Default)]
struct BackOff {
    next: Option<Duration>,
}

impl BackOff {
    /// How long to wait after an end that came `up` after the start.
    fn after(&mut self, up: Duration) -> Duration {
        let recovered = up >= RECOVERED_AFTER;
        let pause = self.next.filter(|_| !recovered).unwrap_or(PAUSE_MIN);
        self.next = Some((pause * 2).min(PAUSE_MAX));
        pause
    }
}

/// One service and its present life.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) service: &'static Service,
    pub(crate) pid: Option<Pid>,
    pub(crate) restarts: u32,
    pub(crate) last_end: Option<String>,
    /// What it wrote last before that end.
    pub(crate) last_words: Option<String>,
    pub(crate) log: Log,
    started: Instant,
    /// When to start it again.
    due: Option<Instant>,
    back_off: BackOff,
}

/// The services are told to end.
#[derive(Debug)]
struct Ending {
    end: End,
    deadline: Instant,
    is_killed: bool,
}

/// All state of the loop.
#[derive(Debug)]
struct Supervisor {
    facts: Facts,
    runs: Vec<Run>,
    self_test: self_test::Shared,
    events: Events,
    ending: Option<Ending>,
    watchdog: Option<Watchdog>,
}

/// Runs the services until the machine ends.
pub(crate) fn run(facts: Facts) -> ! {
    let (events, heard) = sync_channel(EVENTS_MAX);
    power::or_fatal(listen(&events));
    let self_test = power::or_fatal(self_test::start());
    let now = Instant::now();
    let run_of = |service| Run {
        service,
        pid: None,
        restarts: 0,
        last_end: None,
        last_words: None,
        log: Log::default(),
        started: now,
        due: Some(now),
        back_off: BackOff::default(),
    };
    let runs = SERVICES.iter().map(run_of).collect();
    let mut supervisor = Supervisor {
        facts,
        runs,
        self_test,
        events,
        ending: None,
        watchdog: Watchdog::arm(),
    };
    loop {
        supervisor.step(&heard);
    }
}

/// Starts the threads that wait. Signals first: a thread inherits what is blocked.
fn listen(events: &Events) -> Outcome {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGCHLD);
    signals
        .thread_block()
        .naming(|| "blocking signals".into())?;
    // Ctrl-Alt-Del would restart the machine at once; as a signal, PID 1 does not listen to it.
    let keyboard = nix::sys::reboot::set_cad_enabled(false);
    keyboard.naming(|| "switching Ctrl-Alt-Del off".into())?;
    let sender = events.clone();
    let wait = move || {
        while signals.wait().is_ok() && sender.send(Event::ChildEnded).is_ok() {}
    };
    let thread = thread::Builder::new().name("signals".into()).spawn(wait);
    thread.naming(|| "starting the signal thread".into())?;
    control::open(events.clone())
}

impl Supervisor {
    fn step(&mut self, heard: &Receiver<Event>) {
        if let Some(watchdog) = &mut self.watchdog {
            watchdog.feed();
        }
        let now = Instant::now();
        self.start_due(now);
        self.go_on_ending(now);
        match heard.recv_timeout(self.next_wake(now)) {
            Ok(Event::ChildEnded) => {}
            Ok(Event::Line(position, line)) => self.keep_line(position, line),
            Ok(Event::Asked(ask, answer)) => {
                // Whoever asked may have gone; that is no matter of ours.
                let _ = answer.try_send(self.answer(ask));
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => power::fatal("every thread of PID 1 has ended"),
        }
        // Also after other events: signals of the same kind merge.
        self.reap();
    }

    /// Until the next restart, the end's deadline or the watchdog's hunger.
    fn next_wake(&self, now: Instant) -> Duration {
        let due = self.runs.iter().filter_map(|run| run.due);
        let next = due
            .chain(self.ending.as_ref().map(|ending| ending.deadline))
            .min();
        let wake = next.map_or(PAUSE_MAX, |at| at.saturating_duration_since(now));
        match self.watchdog {
            Some(_) => wake.min(watchdog::FEED),
            None => wake,
        }
    }

    fn start_due(&mut self, now: Instant) {
        if self.ending.is_some() {
            return;
        }
        for (position, run) in self.runs.iter_mut().enumerate() {
            if run.due.is_none_or(|due| due > now) {
                continue;
            }
            run.due = None;
            run.started = now;
            if let Some(end) = &run.last_end {
                run.restarts = run.restarts.saturating_add(1);
                // Only now: its last lines may have come after the signal of its end.
                run.last_words = run.log.last_words().map(str::to_owned);
                let words = run.last_words.as_deref().unwrap_or("nothing");
                let name = run.service.name;
                report::note(&format!(
                    "{name} is started again; {end}, its last words: {words}"
                ));
            }
            match start(run.service, position, &self.events) {
                Ok(pid) => run.pid = Some(pid),
                Err(fault) => run.has_ended(fault.to_string(), now),
            }
        }
    }

    fn keep_line(&mut self, position: usize, line: String) {
        let Some(run) = self.runs.get_mut(position) else {
            return;
        };
        let text = report::printable(&line);
        if run.log.push(line, Instant::now()) {
            report::service_line(run.service.name, &text);
        }
    }

    /// Takes every ended child, ours or orphaned.
    fn reap(&mut self) {
        loop {
            let (pid, how) = match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) => (pid, format!("it ended with code {code}")),
                Ok(WaitStatus::Signaled(pid, signal, _)) => (pid, describe(signal)),
                Ok(WaitStatus::StillAlive) | Err(_) => return,
                Ok(_) => continue,
            };
            if let Some(run) = self.runs.iter_mut().find(|run| run.pid == Some(pid)) {
                report::note(&format!("{} (process {pid}): {how}", run.service.name));
                run.has_ended(how, Instant::now());
            }
        }
    }

    fn answer(&mut self, ask: Ask) -> Value {
        match ask {
            Ask::Status => {
                let test = self_test::state(&self.self_test);
                status::report(&self.facts, &self.runs, &test, hardening::check_all())
            }
            Ask::Log { service } => match self.run_of(&service) {
                Some(run) => json!({ "log": run.log.lines().collect::<Vec<_>>() }),
                None => unknown(&service),
            },
            Ask::Restart { service } => match self.run_of(&service) {
                Some(run) => run.restart(),
                None => unknown(&service),
            },
            Ask::Halt => self.begin_ending(End::Halt),
            Ask::Reboot => self.begin_ending(End::Restart),
        }
    }

    fn run_of(&mut self, name: &str) -> Option<&mut Run> {
        self.runs.iter_mut().find(|run| run.service.name == name)
    }

    fn begin_ending(&mut self, end: End) -> Value {
        report::note(&format!("the machine was asked to end: {end:?}"));
        let deadline = Instant::now() + ORDERLY;
        self.ending.get_or_insert(Ending {
            end,
            deadline,
            is_killed: false,
        });
        self.signal_all(Signal::SIGTERM);
        json!({ "done": true })
    }

    fn signal_all(&mut self, signal: Signal) {
        for run in self.runs.iter_mut().rev() {
            run.due = None;
            run.signal(signal);
        }
    }

    /// Ends the machine when the services have ended or had their time.
    fn go_on_ending(&mut self, now: Instant) {
        let Some(ending) = &mut self.ending else {
            return;
        };
        let end = ending.end;
        if self.runs.iter().all(|run| run.pid.is_none()) {
            power::end(end);
        }
        if now < ending.deadline {
            return;
        }
        if ending.is_killed {
            power::end(end);
        }
        ending.is_killed = true;
        ending.deadline = now + KILLED;
        let alive = self
            .runs
            .iter()
            .filter(|run| run.pid.is_some())
            .map(|run| run.service.name);
        report::note(&format!("killed: {}", alive.collect::<Vec<_>>().join(", ")));
        self.signal_all(Signal::SIGKILL);
    }
}

impl Run {
    fn has_ended(&mut self, how: String, now: Instant) {
        self.pid = None;
        self.last_end = Some(how);
        self.due = Some(now + self.back_off.after(now.duration_since(self.started)));
    }

    /// Asked for by a person: no pause.
    fn restart(&mut self) -> Value {
        self.back_off = BackOff::default();
        if self.pid.is_none() {
            self.due = Some(Instant::now());
        }
        self.signal(Signal::SIGTERM);
        json!({ "done": true })
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = self.pid {
            // Ended meanwhile: the reaper is about to see it.
            let _ = kill(pid, signal);
        }
    }
}

fn unknown(service: &str) -> Value {
    let names: Vec<_> = SERVICES.iter().map(|service| service.name).collect();
    json!({ "error": format!("there is no service '{service}', only {}", names.join(", ")) })
}

fn describe(signal: Signal) -> String {
    match signal {
        Signal::SIGSYS => "it was killed for a system call that is deadly for it".into(),
        other => format!("it was ended by {other}"),
    }
}

/// Starts a service; its output goes to the loop.
fn start(service: &'static Service, position: usize, events: &Events) -> Outcome<Pid> {
    let mut command = Command::new(PROGRAM);
    command
        .args(["confine", service.name])
        .env_clear()
        .stdin(Stdio::null());
    // PID 1 keeps no end for writing, so the reader's thread ends with the service.
    let (reader, writer) = io::pipe().naming(|| "pipe".into())?;
    let second = writer.try_clone().naming(|| "pipe".into())?;
    command.stdout(writer).stderr(second);
    let child = command.spawn().naming(|| format!("starting {PROGRAM}"))?;
    drop(command);
    // A service on a terminal leaves this pipe once it is confined; until then its complaints
    // come here like everybody's.
    let sender = events.clone();
    let send = move |line| sender.send(Event::Line(position, line)).is_ok();
    let read = move || log::read_lines(reader, send);
    let thread = thread::Builder::new().name(service.name.into()).spawn(read);
    thread.naming(|| "starting a reader".into())?;
    let pid = i32::try_from(child.id()).naming(|| "process number".into())?;
    Ok(Pid::from_raw(pid))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_to_their_limit_and_recover() {
        let mut back_off = BackOff::default();
        let quick = Duration::from_secs(1);
        let pauses: Vec<_> = (0..10).map(|_| back_off.after(quick).as_millis()).collect();
        assert_eq!(
            pauses,
            [
                200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 30_000, 30_000
            ]
        );
        assert_eq!(back_off.after(RECOVERED_AFTER), PAUSE_MIN);
        assert_eq!(back_off.after(quick), PAUSE_MIN * 2);
    }
}
