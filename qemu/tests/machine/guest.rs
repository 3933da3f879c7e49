//! The guest of the tests (`guest.s`), assembled when it is first needed.

use crate::SOON;
use qemu::{Boot, Builder, Disk, Format, Machine};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

/// Bytes of the guest's disk: SeaBIOS wants at least a cylinder.
const DISK_BYTES: usize = 1 << 20;

/// The guest's disk, of which each test takes a copy.
static IMAGE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let [object, program] = ["guest.o", "guest"].map(|name| folder.path().join(name));
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/machine/guest.s");
    let mut assemble = Command::new("as");
    assemble.arg("-o").arg(&object).arg(source);
    let mut link = Command::new("ld");
    link.args(["-melf_x86_64", "-estart", "-Ttext=0x7c00"]);
    link.arg("--oformat=binary").arg("-o").arg(&program);
    link.arg(&object);
    for step in [&mut assemble, &mut link] {
        let output = step.output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
    let mut image = fs::read(&program).unwrap();
    image.resize(DISK_BYTES, 0);
    image
});

/// A disk with the guest on it, in a folder.
pub(crate) fn disk_file(folder: &Path) -> PathBuf {
    let file = folder.join("guest.raw");
    fs::write(&file, &*IMAGE).unwrap();
    file
}

/// A machine that will boot the guest from a disk that forgets.
pub(crate) fn builder(folder: &Path) -> Builder {
    let disk = Disk::snapshot(disk_file(folder), Format::Raw);
    bare().disk(disk)
}

/// A machine without a disk.
pub(crate) fn bare() -> Builder {
    Machine::builder("guest", Boot::Disk).memory_mib(32)
}

/// Starts a machine and waits until the guest asks for its first command.
pub(crate) fn started(builder: Builder) -> Machine {
    let machine = builder.start().unwrap();
    machine
        .serial()
        .expect("hello from the guest", SOON)
        .unwrap();
    // To its last character: the guest does not hear a BREAK while it prints.
    machine
        .serial()
        .expect("Command [command]: ", SOON)
        .unwrap();
    machine
}

/// Gives the guest a command; gives what it answers, up to the next prompt.
pub(crate) fn ask(machine: &Machine, command: &str) -> String {
    machine.serial().send_line(command).unwrap();
    // The guest echoes what is typed.
    machine.serial().expect(command, SOON).unwrap();
    let answer = machine.serial().at_prompt("command", SOON).unwrap();
    let (answer, _) = answer.split_once("Command [command]").unwrap();
    answer.trim().to_owned()
}
