//! The installer, from a stick in a machine without keys to a machine that starts only what is
//! signed; with wrong answers, and with a power cut while it writes.
//!
//! `cargo test -p tests --test installer -- --nocapture` prints how long each step took. The image
//! is looked for in `$STRONGROOM_IMAGE`, or where `cargo xtask image build` leaves it.
#![allow(clippy::print_stdout, clippy::indexing_slicing)] // test code

use anyhow::{Context, Result, ensure};
use qemu::{Boot, Disk, Firmware, Format, Machine, Serial};
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Firmware, boot loader, kernel and PID 1 need 15 s of processor time; a busy machine has less.
const BOOT_WITHIN: Duration = Duration::from_secs(180);
/// An answer of the dialogue.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
/// One gibibyte, written and hashed by an emulated processor.
const WRITE_WITHIN: Duration = Duration::from_secs(400);
/// From `halt` to the machine being off.
const OFF_WITHIN: Duration = Duration::from_secs(30);

/// What is promised to be enough memory.
const MEMORY_MIB: u32 = 1024;

/// Disks of the machine: the medium is the first.
const TARGET: &str = "vdb";
const TARGET_BYTES: u64 = 4 << 30;
const TOO_SMALL: &str = "vdc";
const TOO_SMALL_BYTES: u64 = 512 << 20;

/// Something inside the signed kernel image of the medium.
const INSIDE_BYTES: u64 = 20 << 20;

/// A machine's disks and its firmware's memory.
struct Room {
    folder: TempDir,
    medium: PathBuf,
}

impl Room {
    fn new() -> Result<Self> {
        let room = Self {
            folder: TempDir::with_prefix("installer-")?,
            medium: tests::image::folder()?.join("installer.img"),
        };
        for (name, bytes) in [(TARGET, TARGET_BYTES), (TOO_SMALL, TOO_SMALL_BYTES)] {
            File::create(room.file(name))?.set_len(bytes)?;
        }
        Ok(room)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A machine with these disks, whose firmware remembers what it was told.
    fn machine(&self, name: &str, disks: Vec<Disk>) -> Result<Machine> {
        // Set-up mode is what an empty flash is in; the keys that come into it stay.
        let firmware = Firmware::setup_mode().flash(self.file("flash"));
        let builder = Machine::builder(name, Boot::Firmware(firmware)).memory_mib(MEMORY_MIB);
        let builder = disks.into_iter().fold(builder, qemu::Builder::disk);
        Ok(builder.ends_on_reboot().start()?)
    }

    /// The machine started from `medium`, at the question for the disk; and what it said so far.
    fn installer(&self, name: &str, medium: &Path) -> Result<(Machine, String)> {
        let begun = Instant::now();
        let machine = self.machine(
            name,
            vec![
                Disk::read_only(medium, Format::Raw),
                Disk::writable(self.file(TARGET), Format::Raw),
                Disk::writable(self.file(TOO_SMALL), Format::Raw),
            ],
        )?;
        let said = machine.serial().at_prompt("install.disk", BOOT_WITHIN)?;
        tell(&format!("{name}: first question"), begun);
        Ok((machine, said))
    }
}

fn tell(what: &str, since: Instant) {
    println!("{:6.1} s  {what}", since.elapsed().as_secs_f64());
}

/// Types an answer and expects `words` on the way to the next question `id`.
fn answer(serial: &Serial, text: &str, words: &[&str], id: &str) -> Result<String> {
    serial.send_line(text)?;
    let said = serial.at_prompt(id, ANSWER_WITHIN)?;
    for word in words {
        ensure!(
            said.contains(word),
            "{text:?} was not answered by {word:?} but by\n{said}"
        );
    }
    Ok(said)
}

/// The line of the list that is about this disk.
fn line_of<'a>(said: &'a str, disk: &str) -> Result<&'a str> {
    let mut lines = said.lines().map(str::trim_start);
    let found = lines.find(|line| line.split(' ').next() == Some(disk));
    found.with_context(|| format!("{disk} is not listed:\n{said}"))
}

/// Everything that may not be taken, and every way back.
fn answer_wrongly(serial: &Serial) -> Result<()> {
    let disk = "install.disk";
    answer(serial, "sh", &["Refused: there is no disk `sh`"], disk)?;
    answer(
        serial,
        "vda",
        &["Refused: vda: an installer's own medium"],
        disk,
    )?;
    answer(
        serial,
        TOO_SMALL,
        &["Refused: vdc: too small: it has 512 MiB"],
        disk,
    )?;
    answer(serial, "", &["name", "size", "model"], disk)?;
    // Ctrl-C is a character like any other, and Ctrl-U takes everything back.
    answer(serial, "\x03vdb\x15vdx", &["there is no disk `vdx`"], disk)?;
    let confirm = "install.confirm";
    answer(
        serial,
        TARGET,
        &["vdb (4.0 GiB", "holds: nothing", "Secure Boot"],
        confirm,
    )?;
    for wrong in ["yes", "", "vdc", "vdb vdb", "VDB"] {
        let words = ["Refused: that is neither vdb nor back; nothing was written"];
        answer(serial, wrong, &words, confirm)?;
    }
    answer(serial, "back", &["name", "size", "model"], disk)?;
    answer(serial, TARGET, &[], confirm)?;
    Ok(())
}

/// Writes until a fifth is on the disk, and pulls the plug.
fn cut_while_writing(room: &Room) -> Result<()> {
    let (mut machine, said) = room.installer("with a power cut", &room.medium)?;
    ensure!(said.contains("set-up mode"), "no set-up mode:\n{said}");
    ensure!(line_of(&said, "vda")?.contains("not possible: an installer's own medium"));
    ensure!(line_of(&said, TARGET)?.ends_with("nothing"), "{said}");
    ensure!(
        line_of(&said, TOO_SMALL)?.contains("not possible: too small"),
        "{said}"
    );
    answer_wrongly(machine.serial())?;
    let begun = Instant::now();
    machine.serial().send_line(TARGET)?;
    machine.serial().expect("writing  20 %", WRITE_WITHIN)?;
    machine.power_cut();
    machine.wait_end(OFF_WITHIN)?;
    tell("written to 20 %, then cut", begun);
    let mut start = vec![1; 1 << 20];
    File::open(room.file(TARGET))?.read_exact_at(&mut start, 0)?;
    ensure!(
        start.iter().all(|byte| *byte == 0),
        "half a system has a partition table"
    );
    Ok(())
}

/// The second try, to its end.
fn install(room: &Room) -> Result<()> {
    let (mut machine, said) = room.installer("once more", &room.medium)?;
    ensure!(line_of(&said, TARGET)?.ends_with("nothing"), "{said}");
    let serial = machine.serial();
    answer(serial, "/dev/vdb", &[], "install.confirm")?;
    let begun = Instant::now();
    serial.send_line(TARGET)?;
    serial.expect("writing 100 %", WRITE_WITHIN)?;
    tell("written", begun);
    let begun = Instant::now();
    let said = serial.expect("as it shall be", WRITE_WITHIN)?;
    ensure!(said.contains("checking 100 %"), "{said}");
    tell("read back, with the SHA-256 that it shall have", begun);
    let said = serial.at_prompt("install.end", ANSWER_WITHIN)?;
    ensure!(
        said.contains("enrolled db, KEK and PK"),
        "no keys were enrolled:\n{said}"
    );
    answer(serial, "sh", &["Refused"], "install.end")?;
    serial.send_line("reboot")?;
    machine.wait_end(OFF_WITHIN)?;
    Ok(())
}

/// The installed disk alone.
fn boots_verified(room: &Room) -> Result<()> {
    let begun = Instant::now();
    let disk = Disk::writable(room.file(TARGET), Format::Raw);
    let mut machine = room.machine("installed", vec![disk])?;
    let serial = machine.serial();
    serial.expect(
        "verified root in slot a, lockdown confidentiality",
        BOOT_WITHIN,
    )?;
    tell("installed: verified root", begun);
    machine.power_cut();
    machine.wait_end(OFF_WITHIN)?;
    Ok(())
}

/// The installer again: Secure Boot is on, and what is on the disk takes a second word to lose.
fn guards_what_is_there(room: &Room) -> Result<()> {
    let (mut machine, said) = room.installer("with keys", &room.medium)?;
    ensure!(
        said.contains("Secure Boot: on"),
        "Secure Boot is not on:\n{said}"
    );
    ensure!(
        line_of(&said, TARGET)?.contains("a Strongroom with its data"),
        "{said}"
    );
    let serial = machine.serial();
    let confirm = "install.confirm";
    answer(
        serial,
        TARGET,
        &["the keys and the log", "type vdb erase"],
        confirm,
    )?;
    answer(serial, TARGET, &["Refused"], confirm)?;
    answer(serial, "back", &[], "install.disk")?;
    serial.send_line("halt")?;
    machine.wait_end(OFF_WITHIN)?;
    Ok(())
}

/// One changed byte in the medium, and the firmware does not start it any more.
fn refuses_a_changed_medium(room: &Room) -> Result<()> {
    let changed = room.file("changed");
    fs::copy(&room.medium, &changed)?;
    let file = File::options().read(true).write(true).open(&changed)?;
    let mut byte = [0];
    file.read_exact_at(&mut byte, INSIDE_BYTES)?;
    file.write_all_at(&[!byte[0]], INSIDE_BYTES)?;
    let begun = Instant::now();
    let machine = room.machine("changed", vec![Disk::read_only(&changed, Format::Raw)])?;
    machine.serial().expect("Access Denied", BOOT_WITHIN)?;
    tell("changed medium: refused by the firmware", begun);
    Ok(())
}

#[test]
fn a_machine_without_keys_is_installed_and_starts_only_what_is_signed() -> Result<()> {
    let room = Room::new()?;
    cut_while_writing(&room)?;
    install(&room)?;
    boots_verified(&room)?;
    guards_what_is_there(&room)?;
    refuses_a_changed_medium(&room)
}
