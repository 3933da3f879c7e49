//! Power: reset, cut, stop, save and resume.

use crate::guest::{ask, builder, started};
use crate::{NEVER, SOON};
use qemu::Nic;
use std::time::Instant;

#[test]
fn reset_boots_again() {
    let folder = tempfile::tempdir().unwrap();
    let machine = started(builder(folder.path()));
    machine.reset().unwrap();
    machine.qmp().event("RESET", SOON).unwrap();
    machine
        .serial()
        .expect("hello from the guest", SOON)
        .unwrap();
    machine.serial().at_prompt("command", SOON).unwrap();
    // The same by the guest itself.
    machine.serial().send_line("b").unwrap();
    machine
        .serial()
        .expect("hello from the guest", SOON)
        .unwrap();
}

#[test]
fn reboot_ends_a_machine_that_is_told_so() {
    let folder = tempfile::tempdir().unwrap();
    let mut machine = started(builder(folder.path()).ends_on_reboot());
    machine.serial().send_line("b").unwrap();
    assert!(machine.wait_end(SOON).unwrap().success());
    let transcript = machine.serial().transcript().unwrap();
    assert_eq!(transcript.matches("hello from the guest").count(), 1);
}

#[test]
fn quit_ends_and_cut_kills() {
    let folder = tempfile::tempdir().unwrap();
    let mut machine = started(builder(folder.path()));
    assert!(machine.ended().is_none());
    assert!(machine.quit().unwrap().success());
    let mut machine = started(builder(folder.path()));
    machine.power_cut();
    assert!(machine.ended().is_some_and(|status| !status.success()));
    assert!(machine.reset().is_err(), "nobody is there to reset");
}

#[test]
fn machine_that_stays_on_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let mut machine = started(builder(folder.path()));
    let error = machine.wait_end(NEVER).unwrap_err();
    let shown = error.to_string();
    assert!(
        shown.starts_with("no end of the machine within 0.7 s"),
        "{shown}"
    );
    assert!(shown.contains("Command [command]:"), "{shown}");
}

#[test]
fn stopped_guest_says_nothing_until_it_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let machine = started(builder(folder.path()));
    machine.serial().send_line("t").unwrap();
    machine.serial().expect("tick", SOON).unwrap();
    machine.stop().unwrap();
    machine.serial().until_quiet(NEVER, SOON).unwrap();
    machine.serial().expect("tick", NEVER).unwrap_err();
    machine.cont().unwrap();
    machine.serial().expect("tick", SOON).unwrap();
}

#[test]
fn saved_machine_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let saved = folder.path().join("a saved 'state'");
    let tpm = folder.path().join("tpm");
    let builder = || {
        let nic = Nic::user().forward(22);
        builder(folder.path()).tpm(&tpm).nic(nic)
    };
    let machine = started(builder());
    machine.serial().send("e half a li").unwrap();
    machine.serial().expect("half a li", SOON).unwrap();
    let begin = Instant::now();
    machine.save(&saved, SOON).unwrap();
    println!("saved in {:?}", begin.elapsed());
    drop(machine);
    for _ in 0..2 {
        let begin = Instant::now();
        let machine = builder().resume(&saved).start().unwrap();
        assert!(machine.forwarded(22).is_some());
        machine.serial().send_line("ne").unwrap();
        machine.serial().expect("half a line\r\n", SOON).unwrap();
        println!("answers {:?} after its resumption", begin.elapsed());
        machine.serial().at_prompt("command", SOON).unwrap();
        assert_eq!(ask(&machine, "e on"), "on");
    }
}

#[test]
fn broken_state_is_not_resumed() {
    let folder = tempfile::tempdir().unwrap();
    let saved = folder.path().join("saved");
    std::fs::write(&saved, b"no state of a machine").unwrap();
    let error = builder(folder.path()).resume(&saved).start().unwrap_err();
    assert!(
        error.to_string().contains("Not a migration stream"),
        "{error}"
    );
}

#[test]
fn screen_is_pictured() {
    let folder = tempfile::tempdir().unwrap();
    let machine = started(builder(folder.path()).screen());
    let picture = folder.path().join("screen.png");
    machine.screendump(&picture).unwrap();
    assert!(std::fs::read(&picture).unwrap().starts_with(b"\x89PNG"));
    let machine = started(builder(folder.path()));
    machine.screendump(&picture).unwrap_err();
}
