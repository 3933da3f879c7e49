//! The installer: PID 1 of the image that writes the system to a disk and enrols its keys.
//!
//! It begins as every boot does (`phases.rs`, [`crate::phases::START`]) and closes what the system
//! closes: modules, /sys, and its own root in memory. Then it asks on the console which disk to
//! write, and that is all it can do: there is no shell, no network and no other program in it.
//! What it writes came with it, under the signature that the firmware checked.
//!
//! `disks.rs` says which disks may be written, `payload.rs` writes and checks, `firmware.rs`
//! enrols, `terminal.rs` asks.

mod disks;
mod firmware;
mod payload;
mod terminal;

use crate::fault::{Fault, Outcome};
use crate::modules;
use crate::mounts;
use crate::phases::{self, First, Phase, Timed};
use crate::power::{self, End};
use crate::report;
use disks::{Candidate, Refusal, gibibytes};
use firmware::Firmware;
use payload::Payload;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};
use terminal::Terminal;

/// Disks behind USB and SAS answer late; after a second without a new one or a new module there is
/// none to wait for, and after half a minute in any case.
const QUIET: Duration = Duration::from_secs(1);
const DISKS_WITHIN: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// From the shared phases to the first question.
const TABLE: &[Phase<First>] = &[
    Phase {
        name: "modules",
        refuses: "a module that is missing, changed or not signed for this kernel",
        run: load_modules,
    },
    Phase {
        name: "modules closed",
        refuses: "a kernel that would still load modules",
        run: |_| modules::close(),
    },
    Phase {
        name: "firmware's variables",
        refuses: "nothing: without them no keys are enrolled, and the installer says so",
        run: |_| {
            firmware::mount_variables();
            Ok(())
        },
    },
    Phase {
        name: "mounts checked",
        refuses: "a mount that is writable and executable, swap, a setting that changed back",
        run: |_| {
            mounts::close_initramfs()?;
            phases::check_mounts()
        },
    },
];

/// What stays the same during the dialogue.
struct Installer {
    terminal: Terminal,
    payload: Payload,
    /// Partition that the firmware started this installer from, if it says so.
    medium: Option<[u8; 16]>,
}

/// From the shared phases to the end of the machine.
pub(crate) fn run(mut first: First) -> ! {
    phases::run(TABLE, &mut first, |first| &mut first.facts.phases);
    let installer = power::or_fatal(Installer::new());
    installer.greet(&first.facts.phases);
    let disk = installer.install();
    let enrolled = installer.enrol();
    installer.end(&disk, enrolled)
}

/// Loads what the devices ask for until no new one appears, and the file system of the firmware's
/// variables. Then forgets the files, of which nobody has any use.
fn load_modules(first: &mut First) -> Outcome {
    phases::load_modules(first)?;
    first.modules.load_named("efivarfs")?;
    let started = Instant::now();
    let mut quiet_since = started;
    let mut known = 0;
    while quiet_since.elapsed() < QUIET && started.elapsed() < DISKS_WITHIN {
        let disks = crate::disks::all().len();
        if first.modules.load_for_devices()? > 0 || disks != known {
            known = disks;
            quiet_since = Instant::now();
        }
        // A machine without any disk to write to may have a slow one.
        if known == 0 {
            quiet_since = Instant::now();
        }
        thread::sleep(LOOK_AGAIN);
    }
    // The kernel has what was loaded; the files would only take memory.
    fs::remove_dir_all("/lib/modules")
        .map_err(|e| Fault::new(format!("forgetting the modules: {e}")))
}

impl Installer {
    fn new() -> Outcome<Self> {
        Ok(Self {
            terminal: Terminal::open()?,
            payload: Payload::open()?,
            medium: firmware::started_from(),
        })
    }

    fn greet(&self, phases: &[Timed]) {
        let milliseconds: u64 = phases.iter().map(|phase| phase.milliseconds).sum();
        report::note(&format!("installer ready after {milliseconds} ms"));
        let about = &self.payload.about;
        self.terminal.print(&format!(
            "\nStrongroom {} ({}): installer\n\n\
             It writes the system ({}) to one disk of this machine. Everything that the\n\
             disk holds is lost.\n\n\
             Secure Boot: {}\n",
            about.version,
            about.profile,
            gibibytes(about.bytes),
            Firmware::now().before()
        ));
    }

    /// Asks and writes until one disk holds the whole system, and gives that disk's name.
    fn install(&self) -> String {
        loop {
            let chosen = self.choose();
            if !self.confirm(&chosen) {
                continue;
            }
            match self.payload.install(&chosen.disk, &self.terminal) {
                Ok(()) => return chosen.disk.name,
                Err(fault) => {
                    report::note(&fault.to_string());
                    self.terminal.print(&format!(
                        "\nNot installed: {fault}\nThe disk holds no system now. Write it again, \
                         or choose another one.\n"
                    ));
                }
            }
        }
    }

    /// Shows the disks and asks for one until an allowed one is named.
    fn choose(&self) -> Candidate {
        loop {
            let candidates = disks::all(self.medium);
            self.terminal.print(&format!(
                "\n{}\n",
                disks::table(&candidates, self.payload.about.bytes)
            ));
            let answer = self.terminal.ask(
                "install.disk",
                "Disk to write: its name, nothing to look again, halt or reboot",
            );
            match answer.as_str() {
                "" => continue,
                "halt" => power::end(End::Halt),
                "reboot" => power::end(End::Restart),
                _ => {}
            }
            match disks::chosen(candidates, &answer, self.payload.about.bytes) {
                Ok(candidate) => return candidate,
                Err(refusal) => self.refuse(&refusal),
            }
        }
    }

    /// Whether the person means it.
    fn confirm(&self, chosen: &Candidate) -> bool {
        let word = disks::confirmation(chosen);
        self.terminal.print(&format!(
            "\n{} ({}, {}) holds: {}.\nAll of it will be overwritten.\n",
            chosen.disk.name,
            gibibytes(chosen.bytes()),
            chosen.model,
            chosen.holds
        ));
        if chosen.holds.has_strongroom_data() {
            self.terminal.print(
                "With it go the keys and the log of a Strongroom. Nothing brings them back but a\n\
                 backup or another member of its cluster.\n",
            );
        }
        if Firmware::now() == Firmware::SetUp {
            self.terminal.print(
                "Then the keys of Secure Boot are enrolled: this machine starts nothing else any\n\
                 more until somebody clears them in the firmware's menu.\n",
            );
        }
        loop {
            let question = format!("To write it type {word}; to choose another disk type back");
            let answer = self.terminal.ask("install.confirm", &question);
            if answer == word {
                return true;
            }
            if answer == "back" {
                return false;
            }
            self.refuse(&Refusal::new(format!(
                "that is neither {word} nor back; nothing was written"
            )));
        }
    }

    /// Enrols the keys where the firmware takes them, and says how it went. False: something was
    /// tried and did not work.
    fn enrol(&self) -> bool {
        let state = Firmware::now();
        if state != Firmware::SetUp {
            self.terminal
                .print(&format!("Secure Boot: {}\n", state.before()));
            return true;
        }
        match firmware::enrol() {
            Ok(()) => {
                report::note("enrolled the keys of Secure Boot");
                self.terminal
                    .print("Secure Boot: enrolled db, KEK and PK. It is on from the next start.\n");
                true
            }
            Err(fault) => {
                report::note(&fault.to_string());
                self.terminal.print(&format!(
                    "Secure Boot: NOT enrolled: {fault}\n\
                     The disk is whole. Enrol in the firmware's menu, or start the disk and take\n\
                     the entry `Enroll Secure Boot keys` of its boot menu.\n"
                ));
                false
            }
        }
    }

    fn end(&self, disk: &str, enrolled: bool) -> ! {
        let but = if enrolled {
            ""
        } else {
            ", without keys of Secure Boot"
        };
        self.terminal.print(&format!(
            "\nStrongroom is installed on {disk}{but}. Take the installer's medium out.\n"
        ));
        loop {
            match self
                .terminal
                .ask("install.end", "Now type reboot or halt")
                .as_str()
            {
                "reboot" => power::end(End::Restart),
                "halt" => power::end(End::Halt),
                _ => self.refuse(&Refusal::new("that is neither reboot nor halt")),
            }
        }
    }

    fn refuse(&self, refusal: &Refusal) {
        self.terminal.print(&format!("  Refused: {refusal}.\n"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn phases_say_what_they_refuse_and_modules_close_before_the_first_question() {
        let shared = phases::START.iter().map(|phase| phase.name);
        let names: Vec<_> = shared.chain(TABLE.iter().map(|phase| phase.name)).collect();
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
        assert!(TABLE.iter().all(|phase| phase.refuses.len() > 10));
        for closed in [
            "kernel settings",
            "lockdown",
            "modules closed",
            "mounts checked",
        ] {
            assert!(names.contains(&closed), "{closed}");
        }
    }
}
