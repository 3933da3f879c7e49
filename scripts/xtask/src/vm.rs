//! A virtual machine with the image in it, on this terminal: `cargo xtask vm run`.

use anyhow::{Context as _, Result, ensure};
use clap::{Args, Subcommand};
use qemu::{Boot, Disk, Firmware, Format, Kernel, Keys, Left, Machine, Nic};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Memory of the machine in MiB: what the product promises to be enough.
const MEMORY_MIB: u32 = 1024;

/// Doors of the appliance: port there, port on this machine unless told otherwise, what it is.
/// Below 1024 a port here would need root, and 22 is taken.
const DOORS: [(u16, u16, &str); 4] = [
    (5696, 5696, "KMIP"),
    (9443, 9443, "web admin"),
    (9081, 9081, "status"),
    (22, 2222, "SSH"),
];

/// How long the machine gets to end after Ctrl-].
const END_WITHIN: Duration = Duration::from_secs(20);

#[derive(Subcommand)]
pub(crate) enum Job {
    /// Boots the image, with its serial line on this terminal and its doors on loopback.
    Run(Run),
}

#[derive(Args)]
pub(crate) struct Run {
    /// The profile whose image is run.
    #[arg(long, default_value = "virt")]
    profile: String,
    /// A set-up file: the first start asks nothing.
    #[arg(long, value_name = "FILE")]
    setup: Option<PathBuf>,
    /// Boot through UEFI firmware with Secure Boot and the keys of the builder.
    #[arg(long)]
    secure_boot: bool,
    /// Give the machine a TPM 2.0.
    #[arg(long)]
    tpm: bool,
    /// Disk of the machine, made at the first start; what it keeps stays there.
    #[arg(long, value_name = "FILE", default_value = "strongroom-vm.qcow2")]
    disk: PathBuf,
    /// Added to the port numbers on this machine: 10000 makes KMIP appear at 15696.
    #[arg(long, default_value_t = 0, value_name = "N")]
    port_offset: u16,
}

/// Runs one job.
///
/// # Errors
/// The image is missing, or the machine does not start.
pub(crate) fn run(job: &Job) -> Result<()> {
    let Job::Run(options) = job;
    boot(options)
}

fn boot(options: &Run) -> Result<()> {
    let folder = crate::target_folder().join("image").join(&options.profile);
    let image = folder.join("disk.raw");
    ensure!(
        image.exists(),
        "{} is not there; make it with: cargo xtask image build --profile {}",
        image.display(),
        options.profile
    );
    let boot = if options.secure_boot {
        let flash = std::path::absolute(beside(&options.disk, "flash"))?;
        Boot::Firmware(Firmware::enrolled(keys()).flash(flash))
    } else {
        direct(&folder)?
    };
    let image = std::path::absolute(&image)?;
    let disk = Disk::overlay(image, Format::Raw, std::path::absolute(&options.disk)?);
    let mut nic = Nic::user().open();
    for (port, here, what) in DOORS {
        let here = here.checked_add(options.port_offset);
        let here = here.context("--port-offset leads beyond port 65535; take a smaller one")?;
        let host = SocketAddr::from((Ipv4Addr::LOCALHOST, here));
        println!("{what:<10} {host}");
        nic = nic.forward_from(port, host);
    }
    let mut machine = Machine::builder("strongroom", boot)
        .memory_mib(MEMORY_MIB)
        .disk(disk)
        .nic(nic);
    if options.tpm {
        let state = std::path::absolute(beside(&options.disk, "tpm"))?;
        std::fs::create_dir_all(&state)?;
        machine = machine.tpm(state);
    }
    if let Some(file) = &options.setup {
        machine = machine.entry_file("opt/strongroom/setup", file);
    }
    println!("Ctrl-] ends the machine as if its power were cut.\n");
    let mut machine = machine.start()?;
    match machine.interactive()? {
        Left::Off(_) => println!("\nthe machine is off"),
        Left::ByKey => {
            machine.power_cut();
            drop(machine.wait_end(END_WITHIN));
            println!(
                "\nthe power was cut; the next start goes on with {}",
                options.disk.display()
            );
        }
    }
    Ok(())
}

/// Kernel, initrd and command line as files: no firmware in between.
fn direct(folder: &Path) -> Result<Boot> {
    let cmdline = folder.join("cmdline");
    let cmdline = std::fs::read_to_string(&cmdline)
        .with_context(|| format!("reading {}", cmdline.display()))?;
    Ok(Boot::Kernel(Kernel {
        kernel: folder.join("kernel"),
        initrd: Some(folder.join("initrd")),
        cmdline: cmdline.trim_end().to_owned(),
    }))
}

/// The keys that the builder signs with.
fn keys() -> Keys {
    let folder = crate::target_folder().join("image/keys");
    let certificate = |name: &str| folder.join(format!("{name}.crt"));
    Keys {
        owner: image::keys::owner(),
        platform: certificate("PK"),
        exchange: certificate("KEK"),
        database: certificate("db"),
        tool: None,
    }
}

fn beside(disk: &Path, ending: &str) -> PathBuf {
    disk.with_extension(ending)
}
