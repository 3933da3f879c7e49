//! What a machine runs first: a kernel, UEFI firmware with or without Secure Boot, or its disk.

use crate::child;
use crate::fault::{self, Fault};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// What a machine runs first.
#[derive(Clone, Debug)]
pub enum Boot {
    /// A kernel that QEMU puts into memory itself: the fastest way.
    Kernel(Kernel),
    /// UEFI firmware, which looks for a loader on the disks.
    Firmware(Firmware),
    /// A BIOS (SeaBIOS), which runs the first sector of the first disk, or asks the network if
    /// there is no disk.
    Disk,
}

/// A Linux kernel and what it is given.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// The kernel (bzImage).
    pub kernel: PathBuf,
    /// Its first file system (cpio), if it has one.
    pub initrd: Option<PathBuf>,
    /// Its command line.
    pub cmdline: String,
}

/// Where Debian's `ovmf` puts the firmware and its variables.
const OVMF: &str = "/usr/share/OVMF";

/// Firmware that keeps its variables in flash which the guest can write at will.
const CODE: &str = "OVMF_CODE_4M.fd";

/// Firmware that guards its variables by system management mode, as Secure Boot needs.
const CODE_SECURE: &str = "OVMF_CODE_4M.secboot.fd";

/// Variables without any key: set-up mode.
const VARS: &str = "OVMF_VARS_4M.fd";

/// UEFI firmware (OVMF) and the flash that it keeps its variables in.
#[derive(Clone, Debug)]
pub struct Firmware {
    secure: bool,
    keys: Option<Keys>,
    flash: Option<PathBuf>,
}

impl Firmware {
    /// Without Secure Boot.
    #[must_use]
    pub fn plain() -> Self {
        Self {
            secure: false,
            keys: None,
            flash: None,
        }
    }

    /// With Secure Boot in set-up mode: it starts anything until somebody enrols keys.
    #[must_use]
    pub fn setup_mode() -> Self {
        Self {
            secure: true,
            ..Self::plain()
        }
    }

    /// With Secure Boot on and these keys enrolled: it starts only what they have signed.
    #[must_use]
    pub fn enrolled(keys: Keys) -> Self {
        Self {
            keys: Some(keys),
            ..Self::setup_mode()
        }
    }

    /// Keeps the variables in this file, which is made if it is not there. Otherwise they are
    /// forgotten with the machine.
    #[must_use]
    pub fn flash(mut self, file: impl Into<PathBuf>) -> Self {
        self.flash = Some(file.into());
        self
    }

    pub(crate) fn is_secure(&self) -> bool {
        self.secure
    }

    /// Makes the variables, if they are not there; gives QEMU's options.
    pub(crate) fn prepare(&self, work: &Path) -> Result<Vec<String>, Fault> {
        let flash = self.flash.clone().unwrap_or_else(|| work.join("flash"));
        if !flash.exists() {
            self.make_flash(&flash, work)?;
        }
        let code = Path::new(OVMF).join(if self.secure { CODE_SECURE } else { CODE });
        let drive = |unit, read_only, file: &Path| -> Result<String, Fault> {
            Ok(format!(
                "if=pflash,format=raw,unit={unit},readonly={read_only},file={}",
                fault::text(file)?.replace(',', ",,")
            ))
        };
        let mut options = vec!["-drive".to_owned(), drive(0, "on", &code)?];
        options.extend(["-drive".to_owned(), drive(1, "off", &flash)?]);
        if self.secure {
            options.extend(
                [
                    "-global",
                    "driver=cfi.pflash01,property=secure,value=on",
                    // OVMF's lock box for sleep would open system management memory.
                    "-global",
                    "ICH9-LPC.disable_s3=1",
                ]
                .map(str::to_owned),
            );
        }
        Ok(options)
    }

    fn make_flash(&self, flash: &Path, work: &Path) -> Result<(), Fault> {
        let empty = Path::new(OVMF).join(VARS);
        if let Some(keys) = &self.keys {
            return keys.enrol(&empty, flash, work);
        }
        fs::copy(&empty, flash).map_err(Fault::io("copy OVMF's variables to", flash))?;
        Ok(())
    }
}

/// Name of the program that writes keys into OVMF's variables (PyPI: virt-firmware).
const ENROL: &str = "virt-fw-vars";

/// How long that program may take; it needs one second of processor time.
const ENROL_MAX: Duration = Duration::from_secs(60);

/// The certificates of Secure Boot, as PEM files.
#[derive(Clone, Debug)]
pub struct Keys {
    /// Who the keys belong to: a GUID, as signature lists name their owner.
    pub owner: String,
    /// The platform key, which may change the next.
    pub platform: PathBuf,
    /// The key exchange key, which may change the database.
    pub exchange: PathBuf,
    /// What signs loaders and kernels.
    pub database: PathBuf,
    /// Where `virt-fw-vars` is; `None` looks for it on the PATH.
    pub tool: Option<PathBuf>,
}

impl Keys {
    /// Writes a copy of `empty` with the keys and Secure Boot on.
    ///
    /// # Errors
    /// `virt-fw-vars` is missing or refuses.
    pub fn enrol(&self, empty: &Path, flash: &Path, work: &Path) -> Result<(), Fault> {
        let program = self.tool.clone().unwrap_or_else(|| PathBuf::from(ENROL));
        let mut command = Command::new(program);
        let mut arguments: Vec<OsString> = vec!["--input".into(), empty.into()];
        // A failed run must not leave a file that the next start would take for enrolled.
        let unfinished = flash.with_extension("unfinished");
        arguments.extend(["--output".into(), unfinished.clone().into()]);
        let kinds = [
            ("--set-pk", &self.platform),
            ("--add-kek", &self.exchange),
            ("--add-db", &self.database),
        ];
        for (option, certificate) in kinds {
            arguments.extend([option.into(), self.owner.clone().into(), certificate.into()]);
        }
        arguments.push("--secure-boot".into());
        command.args(arguments);
        let package = "virt-firmware of PyPI";
        child::run(command, package, &work.join("virt-fw-vars"), ENROL_MAX)?;
        fs::rename(&unfinished, flash).map_err(Fault::io("rename", &unfinished))
    }
}
