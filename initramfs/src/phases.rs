//! The boot as two tables of named phases, and the loop that runs them.
//!
//! The first table runs from the initramfs and ends in the verified root; the second one runs
//! from the verified root and ends with the services. A phase either succeeds or the machine says
//! which one did not, and restarts: no phase is optional, and none has a way around it.
//!
//! The installer begins with the same phases as every boot ([`START`]); then a word of the signed
//! command line leads to its own table (`installer.rs`) instead of [`FIRST`].

use crate::command_line::{self, SignedRoot, to_hexadecimal};
use crate::data;
use crate::disks::Disk;
use crate::fault::{Fault, Naming, Outcome};
use crate::installer;
use crate::modules::{self, Modules};
use crate::power;
use crate::report;
use crate::services::{CONTROL_GROUP, CORE_USER};
use crate::setup;
use crate::verity::{self, Slot};
use crate::{hardening, mounts};
use serde::{Deserialize, Serialize};
use std::fs::{self, DirBuilder, File, Permissions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

/// The same program in the verified root.
pub(crate) const PROGRAM: &str = "/usr/lib/strongroom/init";

/// What the first half tells the second one. In memory, readable by root only, read once.
const HAND_OVER: &str = "/run/init.json";

/// Pause between two looks at the disks.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// One step of the boot.
pub(crate) struct Phase<S> {
    pub(crate) name: &'static str,
    /// What it does not let pass.
    pub(crate) refuses: &'static str,
    pub(crate) run: fn(&mut S) -> Outcome,
}

/// A phase that has run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Timed {
    pub(crate) name: String,
    pub(crate) milliseconds: u64,
}

/// What the boot found out: the status shows it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Facts {
    pub(crate) phases: Vec<Timed>,
    pub(crate) lockdown: String,
    pub(crate) secure_boot: Option<bool>,
    pub(crate) slot: String,
    pub(crate) root_hash: String,
    pub(crate) disk: String,
    pub(crate) modules: usize,
    pub(crate) set_up_from: Option<String>,
    pub(crate) data: data::Done,
}

/// State of the first half.
#[derive(Debug, Default)]
pub(crate) struct First {
    pub(crate) facts: Facts,
    signed: Option<SignedRoot>,
    pub(crate) modules: Modules,
    slot: Option<Slot>,
}

/// From the initramfs, of the system and of the installer alike.
pub(crate) const START: &[Phase<First>] = &[
    Phase {
        name: "mounts",
        refuses: "a kernel without one of the file systems of the mount table",
        run: |_| mounts::mount_table(),
    },
    Phase {
        name: "console",
        refuses: "nothing: a machine without a console still serves",
        run: |_| {
            open_console();
            Ok(())
        },
    },
    Phase {
        name: "kernel settings",
        refuses: "a setting that does not take",
        run: |_| hardening::apply(),
    },
    Phase {
        name: "lockdown",
        refuses: "a kernel that lets root change it",
        run: |first| {
            first.facts.lockdown = hardening::lockdown()?;
            first.facts.secure_boot = hardening::secure_boot();
            Ok(())
        },
    },
];

/// From there to the verified root.
pub(crate) const FIRST: &[Phase<First>] = &[
    Phase {
        name: "command line",
        refuses: "a missing, doubled or malformed root hash",
        run: read_command_line,
    },
    Phase {
        name: "modules",
        refuses: "a module that is missing, changed or not signed for this kernel",
        run: load_modules,
    },
    Phase {
        name: "root hash",
        refuses: "a disk of which no slot holds the signed root",
        run: find_slot,
    },
    Phase {
        name: "verity",
        refuses: "from here on every changed block, at the moment it is read",
        run: |first| {
            let (slot, signed) = (needed(&first.slot)?, needed(&first.signed)?);
            verity::open(slot, signed)?;
            verity::mount_root(mounts::NEW_ROOT)
        },
    },
];

/// From the verified root.
pub(crate) const SECOND: &[Phase<Facts>] = &[
    Phase {
        name: "modules closed",
        refuses: "a kernel that would still load modules",
        run: |_| modules::close(),
    },
    Phase {
        name: "folders",
        refuses: "a /run that was not empty",
        run: |_| make_folders(),
    },
    Phase {
        name: "partitions",
        refuses: "a disk without room for the data",
        run: |facts| data::partition(&disk_of(facts)?, &mut facts.data),
    },
    Phase {
        name: "file systems",
        refuses: "data that e2fsck -p cannot repair; it is never made anew",
        run: |facts| data::file_systems(&disk_of(facts)?, &mut facts.data),
    },
    Phase {
        name: "data",
        refuses: "a data partition that the kernel does not mount",
        run: |facts| data::mount_both(&disk_of(facts)?),
    },
    Phase {
        name: "set-up file",
        refuses: "nothing: the file is copied, the daemon judges it",
        run: |facts| {
            facts.set_up_from = setup::collect()?;
            Ok(())
        },
    },
    Phase {
        name: "mounts checked",
        refuses: "a mount that is writable and executable, swap, a setting that changed back",
        run: |_| check_mounts(),
    },
];

/// Runs a table, or ends the machine with the name of the phase that refused.
pub(crate) fn run<S>(table: &[Phase<S>], state: &mut S, timed: fn(&mut S) -> &mut Vec<Timed>) {
    for phase in table {
        let started = Instant::now();
        if let Err(fault) = (phase.run)(state) {
            let (name, refuses) = (phase.name, phase.refuses);
            report::say(&format!("boot phase '{name}' refuses {refuses}"));
            power::fatal(&format!("boot phase '{name}': {fault}"));
        }
        let milliseconds = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        timed(state).push(Timed {
            name: phase.name.to_owned(),
            milliseconds,
        });
    }
}

/// From the kernel's start of PID 1 to the verified root, or to the end of an installation.
pub(crate) fn first() -> ! {
    let mut first = First::default();
    run(START, &mut first, |first| &mut first.facts.phases);
    let line = fs::read_to_string("/proc/cmdline").naming(|| "/proc/cmdline".into());
    if command_line::asks_for_installer(&power::or_fatal(line)) {
        installer::run(first);
    }
    run(FIRST, &mut first, |first| &mut first.facts.phases);
    first.facts.phases.insert(
        0,
        Timed {
            name: "kernel".into(),
            milliseconds: 0,
        },
    );
    power::or_fatal(hand_over(first.facts));
    let refused = Command::new(PROGRAM).arg("second").env_clear().exec();
    power::fatal(&format!(
        "starting {PROGRAM} of the verified root: {refused}"
    ));
}

/// From the verified root to the moment before the services start.
pub(crate) fn second() -> Facts {
    let text = fs::read_to_string(HAND_OVER).naming(|| HAND_OVER.into());
    let text = power::or_fatal(text);
    let facts = serde_json::from_str::<Facts>(&text).naming(|| HAND_OVER.into());
    let mut facts = power::or_fatal(facts);
    power::or_fatal(fs::remove_file(HAND_OVER).naming(|| HAND_OVER.into()));
    run(SECOND, &mut facts, |facts| &mut facts.phases);
    let all: u64 = facts.phases.iter().map(|phase| phase.milliseconds).sum();
    report::say(&format!(
        "verified root in slot {}, lockdown {}, {}, booted in {}.{:03} s",
        facts.slot,
        facts.lockdown,
        secure_boot(facts.secure_boot),
        all / 1000,
        all % 1000
    ));
    facts
}

/// What the console says about the firmware: whether it checked what it started.
fn secure_boot(found: Option<bool>) -> &'static str {
    match found {
        Some(true) => "Secure Boot on",
        Some(false) => "Secure Boot off",
        None => "no Secure Boot without UEFI",
    }
}

fn needed<T>(fact: &Option<T>) -> Outcome<&T> {
    fact.as_ref()
        .ok_or_else(|| Fault::new("the phases are in the wrong order"))
}

fn disk_of(facts: &Facts) -> Outcome<Disk> {
    let gone = || Fault::new(format!("the disk {} is gone", facts.disk));
    Disk::named(&facts.disk).ok_or_else(gone)
}

/// Standard streams of PID 1. The ones that the kernel opened are on the initramfs' own node.
fn open_console() {
    let mut options = File::options();
    options.read(true).write(true).custom_flags(libc::O_NOCTTY);
    if let Ok(console) = options.open("/dev/console") {
        // A stream that stays on the old node is as good.
        let _ = nix::unistd::dup2_stdin(&console);
        let _ = nix::unistd::dup2_stdout(&console);
        let _ = nix::unistd::dup2_stderr(&console);
    }
}

fn read_command_line(first: &mut First) -> Outcome {
    let line = fs::read_to_string("/proc/cmdline").naming(|| "/proc/cmdline".into())?;
    let signed = SignedRoot::parse(&line)?;
    first.facts.root_hash = to_hexadecimal(&signed.hash);
    first.signed = Some(signed);
    Ok(())
}

pub(crate) fn load_modules(first: &mut First) -> Outcome {
    let names = nix::sys::utsname::uname().naming(|| "name of the kernel".into())?;
    first.modules = Modules::read(&names.release().to_string_lossy())?;
    first.modules.load_always()?;
    // A bus driver finds devices that ask for further modules.
    while first.modules.load_for_devices()? > 0 {}
    first.facts.modules = first.modules.count();
    Ok(())
}

fn find_slot(first: &mut First) -> Outcome {
    let started = Instant::now();
    let slot = loop {
        match verity::find(needed(&first.signed)?) {
            Ok(slot) => break slot,
            Err(missing) if started.elapsed() > missing.patience => return Err(missing.fault),
            Err(_) => thread::sleep(LOOK_AGAIN),
        }
        first.modules.load_for_devices()?;
    };
    first.facts.modules = first.modules.count();
    first.facts.slot = slot.name.to_owned();
    first.facts.disk = slot.disk.name.clone();
    first.slot = Some(slot);
    Ok(())
}

/// Leaves what is known in /run, gives the modules' memory back and enters the verified root.
fn hand_over(mut facts: Facts) -> Outcome {
    let uptime = fs::read_to_string("/proc/uptime").naming(|| "/proc/uptime".into())?;
    let ours: u64 = facts.phases.iter().map(|phase| phase.milliseconds).sum();
    if let Some(kernel) = facts.phases.first_mut() {
        kernel.milliseconds = milliseconds_of(&uptime).saturating_sub(ours);
    }
    let json = serde_json::to_string(&facts).naming(|| "what was found".into())?;
    fs::write(HAND_OVER, json).naming(|| HAND_OVER.into())?;
    fs::set_permissions(HAND_OVER, Permissions::from_mode(0o600)).naming(|| HAND_OVER.into())?;
    fs::remove_dir_all("/lib/modules").naming(|| "forgetting the modules".into())?;
    mounts::enter_root()
}

/// `12.34 …` seconds since the kernel started.
fn milliseconds_of(uptime: &str) -> u64 {
    let first = uptime.split_ascii_whitespace().next().unwrap_or_default();
    let (seconds, hundredths) = first.split_once('.').unwrap_or((first, "0"));
    let number = |text: &str| text.parse::<u64>().unwrap_or(0);
    number(seconds) * 1000 + number(hundredths) * 10
}

/// Folders of /run: path, owner, group, mode.
const FOLDERS: &[(&str, u32, u32, u32)] = &[
    ("/run/strongroom", 0, 0, 0o755),
    // The group sticks to the sockets made inside, so that the console may connect.
    ("/run/strongroom/control", CORE_USER, CONTROL_GROUP, 0o2750),
    ("/run/strongroom/settings", CORE_USER, CORE_USER, 0o755),
    ("/run/strongroom/network", 902, 902, 0o755),
    ("/run/strongroom/time", 903, 903, 0o755),
];

fn make_folders() -> Outcome {
    for (path, user, group, mode) in FOLDERS {
        DirBuilder::new()
            .mode(0o700)
            .create(path)
            .naming(|| format!("folder {path}"))?;
        chown(path, Some(*user), Some(*group)).naming(|| format!("folder {path}"))?;
        let mode = Permissions::from_mode(*mode);
        fs::set_permissions(path, mode).naming(|| format!("folder {path}"))?;
    }
    Ok(())
}

pub(crate) fn check_mounts() -> Outcome {
    mounts::close_sys()?;
    let read = |path: &str| fs::read_to_string(path).naming(|| path.to_owned());
    let wrong = mounts::writable_and_executable(&read("/proc/self/mountinfo")?);
    if !wrong.is_empty() {
        let wrong = wrong.join(", ");
        return Err(Fault::new(format!(
            "check 'mounts' failed: writable and executable: {wrong}"
        )));
    }
    if read("/proc/swaps")?.lines().count() > 1 {
        return Err(Fault::new(
            "check 'swap' failed: the kernel has a swap device",
        ));
    }
    let changed: Vec<_> = hardening::check_all()
        .into_iter()
        .filter(|c| !c.ok)
        .map(|c| c.name)
        .collect();
    if changed.is_empty() {
        return Ok(());
    }
    Err(Fault::new(format!(
        "check 'kernel settings' failed: {}",
        changed.join(", ")
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn phases_have_names_and_say_what_they_refuse() {
        let first = START.iter().chain(FIRST);
        let first = first.map(|phase| (phase.name, phase.refuses));
        let second = SECOND.iter().map(|phase| (phase.name, phase.refuses));
        let all: Vec<_> = first.chain(second).collect();
        let names: BTreeSet<_> = all.iter().map(|(name, _)| name).collect();
        assert_eq!(names.len(), all.len());
        assert!(all.iter().all(|(_, refuses)| refuses.len() > 10));
    }

    #[test]
    fn the_kernel_s_clock_is_read() {
        assert_eq!(milliseconds_of("12.34 5.00\n"), 12_340);
        assert_eq!(milliseconds_of(""), 0);
    }
}
