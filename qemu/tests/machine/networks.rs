//! Networks: forwarded ports, a cable that is pulled, and a switch between machines.
//!
//! The guests here are machines without a disk, whose network cards ask for an address to boot
//! with: each sends broadcasts by itself.

use crate::guest::bare;
use crate::{NEVER, SOON};
use qemu::{Boot, Builder, Fault, Leg, Machine, Nic, Probe, Switch, Wire, await_answer};
use std::io::{BufRead as _, BufReader};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Hardware addresses of the two machines.
const A: [u8; 6] = [0x52, 0x54, 0, 1, 1, 1];
const B: [u8; 6] = [0x52, 0x54, 0, 2, 2, 2];

/// A machine that asks the switch for an address.
fn asking(leg: &Leg, address: [u8; 6], capture: &Path) -> Builder {
    let nic = Nic::switch(leg).address(address).booting().capture(capture);
    Machine::builder("asking", Boot::Disk)
        .memory_mib(64)
        .nic(nic)
}

/// Waits until something holds.
fn until(what: &str, holds: impl Fn() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < SOON, "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Whether a capture has a broadcast from an address.
fn heard(capture: &Path, from: [u8; 6]) -> bool {
    let frame = [[0xff; 6], from].concat();
    let bytes = std::fs::read(capture).unwrap();
    bytes.windows(frame.len()).any(|window| window == frame)
}

#[test]
fn accepted_connection_is_no_answer() {
    let machine = bare()
        .nic(Nic::user().forward(22).forward(5696))
        .start()
        .unwrap();
    let (ssh, kmip) = (
        machine.forwarded(22).unwrap(),
        machine.forwarded(5696).unwrap(),
    );
    assert_ne!(ssh, kmip);
    assert_eq!(machine.forwarded(80), None);
    // The trap: QEMU accepts although nothing listens in the guest.
    drop(TcpStream::connect(ssh).unwrap());
    let error = await_answer(ssh, &Probe::Greeting, NEVER).unwrap_err();
    assert!(
        error.to_string().contains("no answer from 127.0.0.1"),
        "{error}"
    );
    let error = await_answer(kmip, &Probe::Tls, NEVER).unwrap_err();
    assert!(error.to_string().contains("the last try ended"), "{error}");
}

#[test]
fn every_tls_server_answers_the_hello() {
    let folder = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| {
        let mut command = Command::new("openssl");
        command.args(arguments).current_dir(folder.path());
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        command.stderr(Stdio::null()).spawn().unwrap()
    };
    let key = [
        "-keyout",
        "key",
        "-out",
        "certificate",
        "-subj",
        "/CN=x",
        "-newkey",
        "rsa:2048",
    ];
    let made = run(&[&["req", "-x509", "-nodes"], &key[..]].concat());
    assert!(made.wait_with_output().unwrap().status.success());
    // A server with TLS 1.2 says hello (22), one without it says why not (21).
    for (version, kind) in [("-tls1_2", 22), ("-tls1_3", 21)] {
        let listen = [
            "s_server",
            "-accept",
            "127.0.0.1:0",
            "-cert",
            "certificate",
            "-key",
            "key",
        ];
        let mut server = run(&[&listen[..], &[version]].concat());
        let output = BufReader::new(server.stdout.take().unwrap());
        let address = output.lines().find_map(|line| {
            let line = line.unwrap();
            Some(line.strip_prefix("ACCEPT ")?.parse().unwrap())
        });
        let answer = await_answer(address.unwrap(), &Probe::Tls, SOON).unwrap();
        server.kill().unwrap();
        server.wait().unwrap();
        assert_eq!(answer[..2], [kind, 3], "{version}: {answer:?}");
    }
}

#[test]
fn chosen_port_is_forwarded() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    let nic = Nic::user().forward_from(22, address);
    let error = bare().nic(nic.clone()).start().unwrap_err();
    assert!(
        error
            .to_string()
            .contains("Could not set up host forwarding rule"),
        "{error}"
    );
    drop(free);
    let second = Nic::user().subnet(3).forward(22);
    let machine = bare().nic(nic).nic(second).start().unwrap();
    assert_eq!(machine.forwarded(22), Some(address));
    let usernet = machine.qmp().monitor("info usernet").unwrap();
    assert!(
        usernet.contains("10.0.2.15") && usernet.contains("10.0.3.15"),
        "{usernet}"
    );
    let switch = Switch::new(0).unwrap();
    let wrong = Nic::switch(&switch.leg().unwrap()).forward(22);
    let error = bare().nic(wrong).start().unwrap_err();
    assert!(matches!(error, Fault::Settings(_)), "{error}");
}

#[test]
fn pulled_cable_carries_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let switch = Switch::new(1).unwrap();
    let (leg, other) = (switch.leg().unwrap(), switch.leg().unwrap());
    let machine = asking(&leg, A, &folder.path().join("a")).start().unwrap();
    machine.set_link(0, false).unwrap();
    // The machine at the other leg is off, so all that arrives is lost there.
    std::thread::sleep(NEVER);
    assert_eq!(switch.count(&leg, &other).lost, 0);
    machine.set_link(0, true).unwrap();
    until("a frame after the cable is back", || {
        switch.count(&leg, &other).lost > 0
    });
    machine.set_link(1, true).unwrap_err();
}

#[test]
fn switch_connects_two_machines_and_cuts_one_way() {
    let folder = tempfile::tempdir().unwrap();
    let [at_a, at_b] = ["a", "b"].map(|name| folder.path().join(name));
    let switch = Switch::new(1).unwrap();
    let (a, b) = (switch.leg().unwrap(), switch.leg().unwrap());
    switch.cut(&b, &a);
    let wire = Wire {
        delay: Duration::from_millis(50),
        ..Wire::default()
    };
    switch.wire(&a, &b, wire);
    let one = asking(&a, A, &at_a).start().unwrap();
    let other = asking(&b, B, &at_b).start().unwrap();
    until("A's broadcast at B", || heard(&at_b, A));
    until("B's broadcast at the switch", || {
        switch.count(&b, &a).lost > 0
    });
    assert!(!heard(&at_a, B), "a frame passed a wire that is cut");
    switch.heal();
    other.reset().unwrap();
    until("B's broadcast at A", || heard(&at_a, B));
    assert!(switch.count(&b, &a).passed > 0);
    // A machine that was switched off and on again is on its leg again.
    drop(one);
    let again = folder.path().join("again");
    let one = asking(&a, A, &again).start().unwrap();
    other.reset().unwrap();
    until("B's broadcast at A's successor", || heard(&again, B));
    drop(one);
}
