//! The image for machines of their own, on what such a machine has: UEFI firmware, an NVMe disk, an
//! adapter of Intel, a watchdog, and a second disk with the set-up file. Only in a full run: it is
//! an image of its own, and its kernel brings more along.
#![allow(clippy::print_stdout)] // test code

use anyhow::{Context, Result, ensure};
use qemu::{Boot, Builder, Bus, Disk, Firmware, Format, Machine, Model};
use std::fs;
use std::thread::sleep;
use std::time::Duration;
use tests::appliance::{Appliance, setup_file};
use tests::{image, is_full};

/// What the smallest server has and more than is promised to be enough.
const MEMORY_MIB: u32 = 1024;
/// Longer than the watchdog waits.
const LONGER_THAN_THE_WATCHDOG: Duration = Duration::from_secs(40);

fn machine(appliance: &Appliance) -> Result<Builder> {
    let system = appliance.image().join("disk.raw");
    let system = Disk::overlay(system, Format::Raw, appliance.disk());
    let stick = appliance.beside("stick.raw");
    let mut text = setup_file("").into_bytes();
    text.resize(1 << 20, 0);
    fs::write(&stick, text)?;
    let builder = Machine::builder("metal", Boot::Firmware(Firmware::plain()));
    Ok(builder
        .memory_mib(MEMORY_MIB)
        .disk(system.ignoring_host_flushes().on(Bus::Nvme))
        .disk(Disk::snapshot(stick, Format::Raw).on(Bus::Sata))
        .nic(Appliance::nic().model(Model::E1000e))
        .watchdog()
        .ends_on_reboot())
}

#[test]
fn it_serves_on_a_machine_of_its_own() -> Result<()> {
    if !is_full() {
        println!("SKIPPED: STRONGROOM_FULL=1 starts the image of `image build --profile metal`");
        return Ok(());
    }
    let mut appliance = Appliance::of(image::folder_of("metal")?)?;
    appliance.switch_on_machine(machine(&appliance)?)?;
    appliance.sign_in()?;
    println!("serving after {:.1} s", appliance.on_for().as_secs_f64());
    let identity = appliance.add_client("array")?;
    let mut client = appliance.await_client(&identity)?;
    let uid = client.create(Some("volume"), 256)?;
    let key = client.get(&uid)?;
    let health = appliance.json("show health --json")?;
    let is = |part: &str, field: &str, value: &str| -> Result<()> {
        let found = health.get(part).and_then(|part| part.get(field)?.as_str());
        let found = found.with_context(|| format!("no {field} of {part} in {health}"))?;
        ensure!(found == value, "{field} of {part} is {found}, not {value}");
        Ok(())
    };
    is("root", "disk", "nvme0n1")?;
    is("watchdog", "identity", "i6300ESB timer")?;
    is("watchdog", "state", "active")?;
    // A reset would end the machine, and with it this connection.
    sleep(LONGER_THAN_THE_WATCHDOG);
    ensure!(client.get(&uid)? == key, "another key");
    appliance.halt()?;
    appliance.switch_on_machine(machine(&appliance)?)?;
    let mut client = appliance.await_client(&identity)?;
    ensure!(client.get(&uid)? == key, "another key after the restart");
    appliance.cut_power()
}
