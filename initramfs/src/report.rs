//! Where PID 1 writes: the console while nobody else owns it, and the kernel's log.
//!
//! Nothing here can fail outwards: a machine whose console is gone still has to boot.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;

/// Bytes of one kernel log line; the kernel itself cuts at about 1,000.
const LINE_BYTES_MAX: usize = 700;

/// Facility "daemon" (3 << 3), severity "informational": below what `quiet` lets on the console.
const INFORMATION: u8 = 30;

/// Facility "daemon", severity "critical": on the console even with `quiet`.
const CRITICAL: u8 = 26;

/// A line for the person at the console, before the console service has it, and for the log.
pub(crate) fn say(text: &str) {
    write_to(
        "/dev/console",
        &format!("strongroom: {}\r\n", printable(text)),
    );
    note(text);
}

/// A line for the kernel's log only.
pub(crate) fn note(text: &str) {
    log(INFORMATION, &format!("init: {text}"));
}

/// A line that has to be seen: the kernel prints it on every console.
pub(crate) fn alarm(text: &str) {
    log(CRITICAL, &format!("init: {text}"));
}

/// A line that a service wrote, under its name.
pub(crate) fn service_line(service: &str, text: &str) {
    log(INFORMATION, &format!("{service}: {text}"));
}

fn log(priority: u8, text: &str) {
    write_to("/dev/kmsg", &format!("<{priority}>{}\n", printable(text)));
}

fn write_to(path: &str, line: &str) {
    // Without O_NOCTTY the console would become PID 1's controlling terminal, and Ctrl-C would
    // be a signal to it.
    let file = OpenOptions::new()
        .write(true)
        .custom_flags(libc::O_NOCTTY)
        .open(path);
    if let Ok(mut file) = file {
        // There is no second place to tell that the first one is gone.
        let _ = file.write_all(line.as_bytes());
    }
}

/// The text without control characters (a service could forge lines or move the cursor) and not
/// longer than [`LINE_BYTES_MAX`].
pub(crate) fn printable(text: &str) -> String {
    let mut line = String::new();
    for character in text.chars().map(|c| if c.is_control() { ' ' } else { c }) {
        if line.len() + character.len_utf8() > LINE_BYTES_MAX {
            break;
        }
        line.push(character);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_cannot_forge_a_line() {
        assert_eq!(printable("a\n<0>b\x1b[2J\r"), "a <0>b [2J ");
        assert!(printable(&"ü".repeat(2_000)).len() <= LINE_BYTES_MAX);
    }
}
