//! The serial line: expectation, BREAK, a cable that is pulled, and what a failure shows.

use crate::guest::{ask, builder, started};
use crate::{NEVER, SOON};
use qemu::Fault;
use std::time::Duration;

#[test]
fn guest_is_talked_to() {
    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().join("kept");
    let builder = builder(folder.path());
    let builder = builder.entry_text("opt/test/entry", "what it is given");
    let mut machine = started(builder.transcript(&kept));
    assert_eq!(ask(&machine, "e out loud"), "out loud");
    assert_eq!(ask(&machine, "f"), "what it is given");
    assert_eq!(ask(&machine, "?"), "what?");
    machine.serial().send_line("o").unwrap();
    assert!(machine.wait_end(SOON).unwrap().success());
    let transcript = machine.serial().transcript().unwrap();
    for text in ["hello from the guest", "e out loud", "what it is given"] {
        assert!(transcript.contains(text), "no {text:?} in {transcript}");
    }
    drop(machine);
    assert_eq!(std::fs::read_to_string(kept).unwrap(), transcript);
}

#[test]
fn first_of_several_texts_wins() {
    let folder = tempfile::tempdir().unwrap();
    let machine = started(builder(folder.path()));
    machine.serial().send_line("e panic then prompt").unwrap();
    let texts = ["prompt", "panic"];
    let (number, until) = machine.serial().expect_any(&texts, SOON).unwrap();
    assert_eq!((number, until.as_str()), (1, "e panic"));
    let quiet = Duration::from_millis(300);
    let rest = machine.serial().until_quiet(quiet, SOON).unwrap();
    assert!(rest.ends_with("[command]: "), "{rest}");
}

#[test]
fn wait_in_vain_shows_the_transcript_and_how_long() {
    let folder = tempfile::tempdir().unwrap();
    let machine = started(builder(folder.path()));
    let error = machine.serial().expect("goodbye", NEVER).unwrap_err();
    assert!(matches!(&error, Fault::Deadline { waited, .. } if *waited >= NEVER));
    let shown = error.to_string();
    let expected = "no text \"goodbye\" within 0.7 s; the last lines were:\n";
    assert!(shown.starts_with(expected), "{shown}");
    assert!(
        shown.contains("\n  | hello from the guest\n  | Command [command]:"),
        "{shown}"
    );
    assert_eq!(
        shown,
        format!("{error:?}"),
        "what unwrap prints is for people too"
    );
    let error = machine.serial().at_prompt("password", NEVER).unwrap_err();
    assert!(error.to_string().starts_with("no prompt [password] within"));
}

#[test]
fn end_of_the_machine_ends_a_wait_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut machine = started(builder(folder.path()));
    machine.power_cut();
    let begin = std::time::Instant::now();
    let error = machine.serial().expect("goodbye", SOON).unwrap_err();
    assert!(matches!(error, Fault::Closed { .. }), "{error}");
    assert!(begin.elapsed() < SOON / 2);
    assert!(error.to_string().contains("hello from the guest"));
}

#[test]
fn break_reaches_the_guest() {
    let folder = tempfile::tempdir().unwrap();
    let machine = started(builder(folder.path()));
    machine.serial().send_break().unwrap();
    machine.serial().expect("BREAK", SOON).unwrap();
    assert_eq!(ask(&machine, "e after"), "after");
}

#[test]
fn lost_line_loses_nothing_in_the_guest() {
    let folder = tempfile::tempdir().unwrap();
    let machine = started(builder(folder.path()));
    let serial = machine.serial();
    serial.send_line("p").unwrap();
    serial.expect("p\r\n", SOON).unwrap();
    serial.detach();
    let error = serial.expect("pong", SOON).unwrap_err();
    assert!(matches!(error, Fault::Closed { .. }), "{error}");
    assert!(serial.send("lost").is_err());
    // The guest goes on without the line.
    let begin = std::time::Instant::now();
    while !serial.transcript().unwrap().contains("pong") {
        assert!(begin.elapsed() < SOON, "no pong in the transcript");
        std::thread::sleep(Duration::from_millis(20));
    }
    serial.attach().unwrap();
    assert_eq!(ask(&machine, "e back"), "back");
}
