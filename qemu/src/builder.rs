//! What a machine is made of, and how that is said to QEMU.

use crate::accel::{Accel, CPU};
use crate::boot::{Boot, Kernel};
use crate::disk::Disk;
use crate::fault::{self, Fault};
use crate::network::Nic;
use crate::serial;
use std::fs;
use std::path::{Path, PathBuf};

/// Memory of a machine unless it is said otherwise, in MiB: what the appliance is promised to run
/// with.
const MEMORY_MIB: u32 = 1024;

/// Most network cards of a machine: what the appliance supports.
const NICS_MAX: usize = 2;

/// Most disks of a machine: the ports of q35's SATA controller.
const DISKS_MAX: usize = 6;

/// Where the content of a firmware configuration entry comes from.
#[derive(Clone, Debug)]
enum Content {
    Text(String),
    File(PathBuf),
}

/// A machine that is being put together; [`Builder::start`] switches it on.
#[derive(Clone, Debug)]
pub struct Builder {
    pub(crate) name: String,
    pub(crate) boot: Boot,
    vcpus: u8,
    memory_mib: u32,
    accel: Option<Accel>,
    disks: Vec<Disk>,
    pub(crate) nics: Vec<Nic>,
    pub(crate) tpm: Option<PathBuf>,
    rng: bool,
    entries: Vec<(String, Content)>,
    smbios_texts: Vec<String>,
    watchdog: bool,
    screen: bool,
    clock: Option<String>,
    ends_on_reboot: bool,
    pub(crate) transcript: Option<PathBuf>,
    pub(crate) saved: Option<PathBuf>,
}

impl Builder {
    pub(crate) fn new(name: &str, boot: Boot) -> Self {
        Self {
            name: name.to_owned(),
            boot,
            vcpus: 1,
            memory_mib: MEMORY_MIB,
            accel: None,
            disks: Vec::new(),
            nics: Vec::new(),
            tpm: None,
            rng: true,
            entries: Vec::new(),
            smbios_texts: Vec::new(),
            watchdog: false,
            screen: false,
            clock: None,
            ends_on_reboot: false,
            transcript: None,
            saved: None,
        }
    }

    /// Number of processors: 1 unless this says otherwise. More of them boot slower under TCG.
    #[must_use]
    pub fn vcpus(mut self, count: u8) -> Self {
        self.vcpus = count;
        self
    }

    /// Size of the memory: 1024 MiB unless this says otherwise.
    #[must_use]
    pub fn memory_mib(mut self, mib: u32) -> Self {
        self.memory_mib = mib;
        self
    }

    /// How instructions are executed; otherwise [`Accel::detect`] finds out.
    #[must_use]
    pub fn accel(mut self, accel: Accel) -> Self {
        self.accel = Some(accel);
        self
    }

    /// Adds a disk, at most six.
    #[must_use]
    pub fn disk(mut self, disk: Disk) -> Self {
        self.disks.push(disk);
        self
    }

    /// Adds a network card, at most two.
    #[must_use]
    pub fn nic(mut self, nic: Nic) -> Self {
        self.nics.push(nic);
        self
    }

    /// Adds a TPM 2.0 whose state is kept in this folder, which is made if it is not there.
    #[must_use]
    pub fn tpm(mut self, state: impl Into<PathBuf>) -> Self {
        self.tpm = Some(state.into());
        self
    }

    /// Takes the source of randomness (virtio-rng) out.
    #[must_use]
    pub fn without_rng(mut self) -> Self {
        self.rng = false;
        self
    }

    /// Gives the guest a text under a name (fw_cfg), such as `opt/strongroom/setup`.
    #[must_use]
    pub fn entry_text(mut self, name: &str, text: impl Into<String>) -> Self {
        let content = Content::Text(text.into());
        self.entries.push((name.to_owned(), content));
        self
    }

    /// Gives the guest a file under a name (fw_cfg), as it is at start.
    #[must_use]
    pub fn entry_file(mut self, name: &str, file: impl Into<PathBuf>) -> Self {
        let content = Content::File(file.into());
        self.entries.push((name.to_owned(), content));
        self
    }

    /// Adds a text to the OEM strings (SMBIOS type 11), by which hosts hand settings to guests.
    #[must_use]
    pub fn smbios_text(mut self, text: impl Into<String>) -> Self {
        self.smbios_texts.push(text.into());
        self
    }

    /// Adds a watchdog (Intel 6300ESB), which resets the machine when it is not petted.
    #[must_use]
    pub fn watchdog(mut self) -> Self {
        self.watchdog = true;
        self
    }

    /// Adds a screen, of which [`crate::Machine::screendump`] takes pictures.
    #[must_use]
    pub fn screen(mut self) -> Self {
        self.screen = true;
        self
    }

    /// What the clock shows at power-on, in UTC: `2030-01-31T12:00:00`.
    #[must_use]
    pub fn clock(mut self, utc: &str) -> Self {
        self.clock = Some(utc.to_owned());
        self
    }

    /// The machine ends when the guest restarts it, instead of booting again.
    #[must_use]
    pub fn ends_on_reboot(mut self) -> Self {
        self.ends_on_reboot = true;
        self
    }

    /// Keeps the transcript of the serial line in this file, which outlives the machine.
    #[must_use]
    pub fn transcript(mut self, file: impl Into<PathBuf>) -> Self {
        self.transcript = Some(file.into());
        self
    }

    /// Goes on where [`crate::Machine::save`] has left a machine that was put together alike, with
    /// its disks as they were at that moment: what a [`Disk::snapshot`] had taken up is gone, so a
    /// machine to be saved writes to a [`Disk::overlay`], of which each resumed one gets a copy.
    #[must_use]
    pub fn resume(mut self, saved: impl Into<PathBuf>) -> Self {
        self.saved = Some(saved.into());
        self
    }

    /// Everything that QEMU is told except for sockets; makes the files that go with it.
    pub(crate) fn prepare(&self, work: &Path) -> Result<Vec<String>, Fault> {
        self.check()?;
        let accel = self.accel.map_or_else(Accel::detect, Ok)?;
        let smm = match &self.boot {
            Boot::Firmware(firmware) if firmware.is_secure() => "on",
            _ => "off",
        };
        let mut o = Options::default();
        o.pair("-name", format!("guest={}", self.name.replace(',', ",,")));
        o.pair("-accel", accel.name());
        o.pair("-machine", format!("q35,smm={smm}"));
        o.pair("-cpu", CPU);
        o.pair("-smp", self.vcpus.to_string());
        o.pair("-m", format!("{}M", self.memory_mib));
        o.flags(&["-nodefaults", "-no-user-config"]);
        o.pair("-display", "none");
        // Tells a guest that it was resumed from a saved state, so that it mixes new randomness in.
        o.pair("-device", "vmgenid,guid=auto");
        o.extend(self.prepare_boot(work)?);
        for (number, disk) in self.disks.iter().enumerate() {
            o.extend(disk.prepare(number, work)?);
        }
        for (number, nic) in self.nics.iter().enumerate() {
            o.extend(nic.options(number, &self.name)?);
        }
        for (number, (name, content)) in self.entries.iter().enumerate() {
            let file = content.prepare(&work.join(format!("entry{number}")))?;
            let file = fault::text(&file)?.replace(',', ",,");
            o.pair("-fw_cfg", format!("name={name},file={file}"));
        }
        for text in &self.smbios_texts {
            o.pair(
                "-smbios",
                format!("type=11,value={}", text.replace(',', ",,")),
            );
        }
        if self.rng {
            o.pair("-device", "virtio-rng-pci");
        }
        if self.watchdog {
            o.pair("-device", "i6300esb");
            o.pair("-action", "watchdog=reset");
        }
        if self.screen {
            o.pair("-device", "VGA");
        }
        if let Some(clock) = &self.clock {
            o.pair("-rtc", format!("base={clock}"));
        }
        if self.ends_on_reboot {
            o.flags(&["-no-reboot"]);
        }
        Ok(o.0)
    }

    fn prepare_boot(&self, work: &Path) -> Result<Vec<String>, Fault> {
        match &self.boot {
            Boot::Kernel(kernel) => kernel.options(),
            Boot::Firmware(firmware) => firmware.prepare(work),
            Boot::Disk => Ok(Vec::new()),
        }
    }

    /// Refuses what QEMU would refuse later and less clearly.
    fn check(&self) -> Result<(), Fault> {
        let too_many = |what: &str, count: usize, max: usize| {
            let text = format!("{count} {what}; a machine has at most {max}");
            Err(Fault::Settings(text))
        };
        if self.nics.len() > NICS_MAX {
            return too_many("network cards", self.nics.len(), NICS_MAX);
        }
        if self.disks.len() > DISKS_MAX {
            return too_many("disks", self.disks.len(), DISKS_MAX);
        }
        Ok(())
    }
}

impl Kernel {
    fn options(&self) -> Result<Vec<String>, Fault> {
        let mut o = Options::default();
        o.pair("-kernel", fault::text(&self.kernel)?);
        o.pair("-append", self.cmdline.as_str());
        if let Some(initrd) = &self.initrd {
            o.pair("-initrd", fault::text(initrd)?);
        }
        Ok(o.0)
    }
}

impl Content {
    /// The file with the content.
    fn prepare(&self, place: &Path) -> Result<PathBuf, Fault> {
        match self {
            Self::File(file) => Ok(file.clone()),
            Self::Text(text) => {
                fs::write(place, text).map_err(Fault::io("write", place))?;
                Ok(place.to_owned())
            }
        }
    }
}

/// Options of QEMU.
#[derive(Default)]
pub(crate) struct Options(pub(crate) Vec<String>);

impl Options {
    pub(crate) fn pair(&mut self, name: &str, value: impl Into<String>) {
        self.0.extend([name.to_owned(), value.into()]);
    }

    pub(crate) fn flags(&mut self, names: &[&str]) {
        self.0.extend(names.iter().map(|name| (*name).to_owned()));
    }

    fn extend(&mut self, options: Vec<String>) {
        self.0.extend(options);
    }

    /// The serial line, recorded in `log`, and the control connection. The processor waits until
    /// both are connected, so that not one byte is missed.
    pub(crate) fn lines(&mut self, serial: &Path, log: &Path, control: &Path) -> Result<(), Fault> {
        let value = |path| Ok::<_, Fault>(fault::text(path)?.replace(',', ",,"));
        let (serial, log, control) = (value(serial)?, value(log)?, value(control)?);
        let line = format!(
            "socket,id={},path={serial},server=on,wait=off,logfile={log}",
            serial::CHARDEV
        );
        self.pair("-chardev", line);
        self.pair("-serial", format!("chardev:{}", serial::CHARDEV));
        let control = format!("socket,id=control,path={control},server=on,wait=off");
        self.pair("-chardev", control);
        self.pair("-mon", "chardev=control,mode=control");
        self.flags(&["-S"]);
        Ok(())
    }
}
