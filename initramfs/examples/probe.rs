//! Stands in for the daemon and the console in a trial machine, and tries what must not work.
//!
//! Put into a test image as `/usr/bin/strongroom`. As `serve` and as `ssh` it makes its attempts
//! from inside the daemon's and the SSH door's confinement and writes one line each; as `console`
//! it asks PID 1 for the status and for those lines, prints both on the serial line, does what the
//! line that it then reads says (`halt`, `reboot`, `status`), and so shows that the terminal works.

#![expect(clippy::print_stdout, reason = "the serial line is where it speaks")]

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, UdpSocket};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::{io, thread, time::Duration};

fn main() -> io::Result<()> {
    match std::env::args().nth(1).as_deref() {
        Some("serve") => serve(),
        Some("ssh") => ssh(),
        Some("console") => console(),
        _ => Err(io::Error::other("serve, ssh or console")),
    }
}

/// One attempt, and whether it ended as it must.
fn attempt<T>(what: &str, must_work: bool, outcome: io::Result<T>) {
    let verdict = if outcome.is_ok() == must_work {
        "right"
    } else {
        "WRONG"
    };
    let said = outcome
        .err()
        .map_or_else(|| "worked".to_owned(), |error| error.to_string());
    eprintln!("{verdict}: {what}: {said}");
}

fn serve() -> io::Result<()> {
    attempt("write to the data", true, fs::write("/data/probe", "x"));
    attempt(
        "write to the keys",
        true,
        fs::write("/data/keys/probe", "x"),
    );
    attempt(
        "write to the settings",
        true,
        fs::write("/run/strongroom/settings/probe", "x"),
    );
    attempt(
        "write to the network's folder",
        false,
        fs::write("/run/strongroom/network/p", "x"),
    );
    attempt("write to the root", false, fs::write("/usr/probe", "x"));
    attempt(
        "write a kernel setting",
        false,
        fs::write("/proc/sys/kernel/sysrq", "1"),
    );
    attempt("read the root's device", false, File::open("/dev/dm-0"));
    attempt("read the disk", false, File::open("/dev/vda"));
    attempt("read the kernel's log", false, File::open("/dev/kmsg"));
    attempt("read another process", false, File::open("/proc/1/status"));
    attempt(
        "run a program of the root",
        false,
        Command::new("/usr/sbin/mke2fs").spawn(),
    );
    attempt(
        "run the own program",
        false,
        Command::new("/usr/bin/strongroom").spawn(),
    );
    attempt("listen at 22", true, TcpListener::bind("127.0.0.1:22"));
    attempt("listen at 21", false, TcpListener::bind("127.0.0.1:21"));
    attempt("a datagram socket", true, UdpSocket::bind("127.0.0.1:0"));
    attempt("start a thread", true, thread::Builder::new().spawn(|| ()));
    if fs::metadata("/data/fatal").is_err() {
        fs::write("/data/fatal", "x")?;
        eprintln!("a deadly system call comes next");
        // mount(2) through nothing but std is not possible; chroot is on the same list.
        let _ = std::os::unix::fs::chroot("/");
        eprintln!("WRONG: survived it");
    }
    loop {
        thread::sleep(Duration::from_secs(60));
    }
}

fn ssh() -> io::Result<()> {
    attempt(
        "ssh: the port of the daemon's clients",
        true,
        TcpListener::bind("127.0.0.1:22"),
    );
    attempt("ssh: read the data", false, fs::read_dir("/data"));
    attempt(
        "ssh: read the settings",
        false,
        fs::read_dir("/run/strongroom/settings"),
    );
    attempt(
        "ssh: run a program",
        false,
        Command::new("/usr/bin/strongroom").spawn(),
    );
    for (question, must_work) in [("status", true), ("halt", false), ("reboot", false)] {
        let answer = ask(&format!("{{\"ask\":\"{question}\"}}"))?;
        let refused = answer.contains("may not ask");
        let outcome = if refused {
            Err(io::Error::other(answer))
        } else {
            Ok(())
        };
        attempt(&format!("ssh: ask PID 1: {question}"), must_work, outcome);
    }
    loop {
        thread::park();
    }
}

fn console() -> io::Result<()> {
    thread::sleep(Duration::from_secs(6));
    println!("probe: {}", ask("{\"ask\":\"status\"}")?);
    for service in ["core", "ssh"] {
        let question = format!("{{\"ask\":\"log\",\"service\":\"{service}\"}}");
        println!("probe: {}", ask(&question)?);
    }
    attempt(
        "console: an internet socket",
        false,
        UdpSocket::bind("127.0.0.1:0"),
    );
    attempt("console: read the data", false, fs::read_dir("/data"));
    attempt(
        "console: read the settings",
        false,
        fs::read_dir("/run/strongroom/settings"),
    );
    print!("probe> [probe] ");
    io::stdout().flush()?;
    for line in io::stdin().lines() {
        println!(
            "probe: {}",
            ask(&format!("{{\"ask\":\"{}\"}}", line?.trim()))?
        );
        print!("probe> [probe] ");
        io::stdout().flush()?;
    }
    Ok(())
}

/// PID 1's answer to one question.
fn ask(question: &str) -> io::Result<String> {
    let mut stream = UnixStream::connect("/run/init.sock")?;
    stream.write_all(format!("{question}\n").as_bytes())?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer)?;
    Ok(answer.trim_end().to_owned())
}
