//! The machines that the tampered disks are put into, and what counts as refused.

use crate::disk::Copy;
use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use qemu::{Boot, Builder, Disk, Firmware, Format, Kernel, Keys, Machine};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, OnceLock};
use std::time::{Duration, Instant};
use tests::python;

/// Machines that are switched on at the same time: each has one processor to itself.
const MACHINES_MAX: usize = 2;
/// How long each expected text may take; ten seconds is usual on an idle host without KVM.
const WITHIN: Duration = Duration::from_secs(120);
/// How long a machine that restarts itself may take to do so, five seconds to read included.
const RESTART_WITHIN: Duration = Duration::from_secs(60);
/// A machine that was refused and does not restart: so long it must not go on after its last word.
const SILENCE: Duration = Duration::from_secs(3);

/// What PID 1 says when everything was verified: no refused machine may say it.
pub(crate) const VERIFIED: &str = "strongroom: verified root";

/// What firmware says when it has tried everything it could start.
pub(crate) const NOTHING_LEFT: &str = "No bootable option or device was found";

/// What the cases share: the image, and flash with the builder's keys enrolled.
pub(crate) struct Bench {
    pub(crate) image: PathBuf,
    keys: Keys,
    flash: PathBuf,
}

/// How a machine that was refused ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum End {
    /// It restarts by itself.
    Restart,
    /// It stands still until somebody comes.
    Stand,
}

/// A place among the machines that are on.
struct Slot;

static TAKEN: Mutex<usize> = Mutex::new(0);
static FREE: Condvar = Condvar::new();

impl Slot {
    fn take() -> Self {
        let taken = TAKEN.lock().unwrap();
        let mut taken = FREE
            .wait_while(taken, |taken| *taken >= MACHINES_MAX)
            .unwrap();
        *taken += 1;
        Self
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        *TAKEN.lock().unwrap() -= 1;
        FREE.notify_one();
    }
}

/// A machine that is on, and since when.
pub(crate) struct Trial {
    pub(crate) machine: Machine,
    _disk: Copy,
    since: Instant,
    _slot: Slot,
}

impl Bench {
    /// Made once for all cases; the files stay in cargo's folder for tests.
    pub(crate) fn get() -> Result<&'static Self> {
        static BENCH: OnceLock<Result<Bench, String>> = OnceLock::new();
        let bench = BENCH.get_or_init(|| Self::make().map_err(|fault| format!("{fault:#}")));
        bench.as_ref().map_err(|fault| anyhow::anyhow!("{fault}"))
    }

    fn make() -> Result<Self> {
        let image = tests::image::folder()?;
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("tamper");
        fs::create_dir_all(&folder)?;
        // The published certificates are enough: nothing here needs a private key of the builder.
        let certificate = |name: &str| -> Result<PathBuf> {
            let der = fs::read(image.join("enrol").join(format!("{name}.cer")))?;
            let pem = folder.join(format!("{name}.crt"));
            fs::write(&pem, armoured(&der))?;
            Ok(pem)
        };
        let keys = Keys {
            owner: image::keys::owner(),
            platform: certificate("PK")?,
            exchange: certificate("KEK")?,
            database: certificate("db")?,
            tool: Some(python::interpreter()?.with_file_name("virt-fw-vars")),
        };
        let flash = folder.join("flash");
        if flash.exists() {
            fs::remove_file(&flash)?;
        }
        let empty = Path::new("/usr/share/OVMF/OVMF_VARS_4M.fd");
        keys.enrol(empty, &flash, &folder)
            .context("ovmf (Debian: apt-get install ovmf)")?;
        Ok(Self { image, keys, flash })
    }

    /// A copy of the image's disk.
    pub(crate) fn disk(&self) -> Result<Copy> {
        Copy::of(&self.image)
    }

    /// Where the kernel image lies in the EFI system partition.
    pub(crate) fn uki_path(&self) -> Result<String> {
        let manifest = fs::read(self.image.join("MANIFEST.json"))?;
        let manifest: serde_json::Value = serde_json::from_slice(&manifest)?;
        let version = manifest["version"].as_str().context("a version")?;
        Ok(format!("EFI/Linux/strongroom-{version}.efi"))
    }

    /// A machine with that disk, Secure Boot on and the builder's keys enrolled.
    pub(crate) fn secure(&self, disk: &Copy) -> Result<Builder> {
        let flash = disk.beside("flash");
        fs::copy(&self.flash, &flash)?;
        let firmware = Firmware::enrolled(self.keys.clone()).flash(flash);
        Ok(builder(Boot::Firmware(firmware), disk))
    }

    /// The same without any key: it starts what nobody has signed.
    pub(crate) fn insecure(&self, disk: &Copy) -> Builder {
        builder(Boot::Firmware(Firmware::setup_mode()), disk)
    }

    /// A machine without firmware in between, with another initramfs than the signed one.
    pub(crate) fn direct(&self, disk: &Copy, initrd: &Path) -> Result<Builder> {
        let cmdline = fs::read_to_string(self.image.join("cmdline"))?;
        let kernel = Kernel {
            kernel: self.image.join("kernel"),
            initrd: Some(initrd.to_owned()),
            cmdline: cmdline.trim_end().to_owned(),
        };
        Ok(builder(Boot::Kernel(kernel), disk))
    }
}

fn builder(boot: Boot, disk: &Copy) -> Builder {
    let drive = Disk::snapshot(disk.file(), Format::Raw).ignoring_host_flushes();
    let machine = Machine::builder("tampered", boot).disk(drive);
    machine.ends_on_reboot()
}

/// A certificate in PEM (RFC 7468).
fn armoured(der: &[u8]) -> String {
    let digits = STANDARD.encode(der);
    let lines = digits.as_bytes().chunks(64).map(String::from_utf8_lossy);
    let lines: Vec<_> = lines.collect();
    format!(
        "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
        lines.join("\n")
    )
}

impl Trial {
    /// Switches a machine on when there is room for it.
    pub(crate) fn start(machine: Builder, disk: Copy) -> Result<Self> {
        let slot = Slot::take();
        Ok(Self {
            since: Instant::now(),
            machine: machine.start()?,
            _disk: disk,
            _slot: slot,
        })
    }

    /// Waits for each of the texts, in order.
    pub(crate) fn says(&self, words: &[&str]) -> Result<()> {
        for text in words {
            self.machine.serial().expect(text, WITHIN)?;
        }
        Ok(())
    }

    /// The machine says `words` in order, ends as it should, and never that its root is verified.
    pub(crate) fn refused(&mut self, words: &[&str], end: End) -> Result<()> {
        self.says(words)?;
        match end {
            End::Restart => {
                self.machine.wait_end(RESTART_WITHIN)?;
            }
            End::Stand => {
                self.machine.serial().until_quiet(SILENCE, RESTART_WITHIN)?;
                ensure!(self.machine.ended().is_none(), "the machine has ended");
            }
        }
        let transcript = self.machine.serial().transcript()?;
        ensure!(
            !transcript.contains(VERIFIED),
            "it was refused and booted all the same:\n{transcript}"
        );
        Ok(())
    }

    /// The machine boots as if nothing had been changed: verified, locked down, Secure Boot on,
    /// and it asks the first question of the set-up dialogue.
    pub(crate) fn boots(&self) -> Result<()> {
        self.says(&[VERIFIED])?;
        let line = self.machine.serial().expect(", booted in", WITHIN)?;
        let expected = " in slot a, lockdown confidentiality, Secure Boot on, booted in";
        ensure!(line == expected, "it says: verified root{line}");
        self.machine.serial().at_prompt("hostname", WITHIN)?;
        Ok(())
    }

    /// One line of the table: what was changed, who refused, with which words, seconds.
    pub(crate) fn tell(&self, changed: &str, who: &str, words: &str) {
        let seconds = self.since.elapsed().as_secs_f64();
        println!("{changed:<46} | {who:<12} | {words:<60} | {seconds:5.1} s");
    }
}
