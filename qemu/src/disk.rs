//! Disks: files of the host as virtio, NVMe or SATA drives of the guest.

use crate::child;
use crate::fault::{self, Fault};
use serde_json::{Value, json};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// How the bytes of a disk are kept in its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// As they are.
    Raw,
    /// QEMU's format of images.
    Qcow2,
}

/// What the guest takes the disk for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Bus {
    /// `/dev/vda`: for virtual machines.
    #[default]
    Virtio,
    /// `/dev/nvme0n1`: what servers have.
    Nvme,
    /// `/dev/sda` behind an AHCI controller.
    Sata,
}

/// Where writes of the guest go.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Writes {
    File,
    /// Into a qcow2 file above the disk's; made at start if it is not there.
    Overlay(PathBuf),
    /// Into an overlay that is deleted with the machine.
    Nowhere,
    Refused,
}

/// One disk of a machine.
#[derive(Clone, Debug)]
pub struct Disk {
    file: PathBuf,
    format: Format,
    writes: Writes,
    bus: Bus,
    write_log: Option<PathBuf>,
    flushes: bool,
}

impl Disk {
    /// The guest writes into the file.
    #[must_use]
    pub fn writable(file: impl Into<PathBuf>, format: Format) -> Self {
        Self::new(file.into(), format, Writes::File)
    }

    /// What the guest writes is forgotten when the machine ends; the file stays as it is.
    #[must_use]
    pub fn snapshot(file: impl Into<PathBuf>, format: Format) -> Self {
        Self::new(file.into(), format, Writes::Nowhere)
    }

    /// What the guest writes goes into `overlay`, which is made if it is not there: several
    /// machines share one image, and each goes on where its last power cut left it.
    #[must_use]
    pub fn overlay(file: impl Into<PathBuf>, format: Format, overlay: impl Into<PathBuf>) -> Self {
        Self::new(file.into(), format, Writes::Overlay(overlay.into()))
    }

    /// The guest cannot write.
    #[must_use]
    pub fn read_only(file: impl Into<PathBuf>, format: Format) -> Self {
        Self::new(file.into(), format, Writes::Refused)
    }

    fn new(file: PathBuf, format: Format, writes: Writes) -> Self {
        Self {
            file,
            format,
            writes,
            bus: Bus::default(),
            write_log: None,
            flushes: true,
        }
    }

    /// What the guest takes it for; virtio unless this says otherwise.
    #[must_use]
    pub fn on(mut self, bus: Bus) -> Self {
        self.bus = bus;
        self
    }

    /// Records every write and flush in a file, from which [`crate::WriteLog`] makes the states
    /// that a power cut could have left. The log begins anew with each start.
    #[must_use]
    pub fn logging_writes(mut self, log: impl Into<PathBuf>) -> Self {
        self.write_log = Some(log.into());
        self
    }

    /// Flushes of the guest do not reach the host's disk. Safe against the end of QEMU, by
    /// whatever signal, but not against that of the host; five times faster.
    #[must_use]
    pub fn ignoring_host_flushes(mut self) -> Self {
        self.flushes = false;
        self
    }

    /// Makes the overlay and the empty log; gives QEMU's options.
    pub(crate) fn prepare(&self, number: usize, work: &Path) -> Result<Vec<String>, Fault> {
        let (file, format) = match &self.writes {
            Writes::File | Writes::Refused => (self.file.clone(), self.format),
            Writes::Overlay(overlay) => (self.overlaid(overlay, work)?, Format::Qcow2),
            Writes::Nowhere => {
                let overlay = work.join(format!("disk{number}.qcow2"));
                (self.overlaid(&overlay, work)?, Format::Qcow2)
            }
        };
        if let Some(log) = &self.write_log {
            File::create(log).map_err(Fault::io("create", log))?;
        }
        let mut options = self.layers(number, &file, format)?;
        options.extend(self.drive(number));
        Ok(options)
    }

    fn overlaid(&self, overlay: &Path, work: &Path) -> Result<PathBuf, Fault> {
        if !overlay.exists() {
            make_overlay(&self.file, self.format, overlay, work)?;
        }
        Ok(overlay.to_owned())
    }

    /// The block layers, the lowest first; the top one is named `disk<number>`.
    fn layers(&self, number: usize, file: &Path, format: Format) -> Result<Vec<String>, Fault> {
        let top = format!("disk{number}");
        let image = match self.write_log {
            Some(_) => format!("{top}-image"),
            None => top.clone(),
        };
        let read_only = self.writes == Writes::Refused;
        let mut options = blockdev(&json!({
            "driver": format.driver(), "node-name": image, "read-only": read_only,
            "discard": "unmap",
            "cache": { "direct": false, "no-flush": !self.flushes },
            "file": { "driver": "file", "filename": fault::text(file)? },
        }));
        if let Some(log) = &self.write_log {
            options.extend(blockdev(&json!({
                "driver": "blklogwrites", "node-name": top, "file": image,
                // The count of entries is rewritten after each one: a killed QEMU leaves a whole
                // log.
                "log-super-update-interval": 1,
                "log": { "driver": "file", "filename": fault::text(log)? },
            })));
        }
        Ok(options)
    }

    /// The drive that the guest sees.
    fn drive(&self, number: usize) -> Vec<String> {
        let (driver, bus) = match self.bus {
            Bus::Virtio => ("virtio-blk-pci", None),
            Bus::Nvme => ("nvme", None),
            // The controller of q35 has six ports, one drive each.
            Bus::Sata => ("ide-hd", Some(format!("ide.{number}"))),
        };
        let mut device = serde_json::Map::new();
        device.insert("driver".to_owned(), json!(driver));
        device.insert("id".to_owned(), json!(format!("drive{number}")));
        device.insert("drive".to_owned(), json!(format!("disk{number}")));
        device.insert("serial".to_owned(), json!(format!("disk-{number}")));
        if let Some(bus) = bus {
            device.insert("bus".to_owned(), json!(bus));
        }
        let device = Value::Object(device);
        vec!["-device".to_owned(), device.to_string()]
    }
}

impl Format {
    fn driver(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
        }
    }
}

fn blockdev(options: &Value) -> Vec<String> {
    vec!["-blockdev".to_owned(), options.to_string()]
}

/// How long qemu-img may take to write an empty overlay.
const OVERLAY_MAX: Duration = Duration::from_secs(30);

/// Makes an empty qcow2 file above `base`, whose path is kept as an absolute one.
fn make_overlay(base: &Path, format: Format, overlay: &Path, work: &Path) -> Result<(), Fault> {
    let base = base.canonicalize().map_err(Fault::io("find", base))?;
    let mut command = Command::new("qemu-img");
    command.args(["create", "-q", "-f", "qcow2", "-F", format.driver(), "-b"]);
    command.arg(fault::text(&base)?).arg(overlay);
    child::run(command, "qemu-utils", &work.join("qemu-img"), OVERLAY_MAX)
}
