//! Keys of Secure Boot: who may replace keys (PK), who may change lists (KEK), who may sign what
//! the firmware starts (db). They are made on first use in a folder of the build machine and never
//! copied into an artifact; certificates and signed lists are.

use crate::tool::Tool;
use crate::{Fault, fault, hash};
use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// The three keys: name, UEFI variable it goes into, and the key that signs the change.
const KEYS: [(&str, &str); 3] = [("PK", "PK"), ("KEK", "PK"), ("db", "KEK")];
/// RSA-2048 with SHA-256 is the one signature that all UEFI firmware knows.
const KEY_KIND: &str = "rsa:2048";
/// Firmware does not look at the date; a certificate has to have one all the same.
const DAYS: &str = "7300";

/// Attributes of the variables, which are signed with the content. All but `APPEND_WRITE`, which
/// sbvarsign would add: firmware would then find another signature than it expects.
const ATTRIBUTES: &str =
    "NON_VOLATILE,RUNTIME_ACCESS,BOOTSERVICE_ACCESS,TIME_BASED_AUTHENTICATED_WRITE_ACCESS";

/// A folder of keys.
#[derive(Debug, Clone)]
pub struct Keys {
    folder: PathBuf,
}

/// Who the keys belong to, as signature lists say it: a GUID of this product.
#[must_use]
pub fn owner() -> String {
    hash::uuid("strongroom secure boot")
}

impl Keys {
    /// The keys in `folder`, made if there are none.
    ///
    /// # Errors
    /// When only some are there, others can read them, or they cannot be made.
    pub fn open(folder: &Path) -> Result<Self, Fault> {
        let keys = Self {
            folder: folder.to_owned(),
        };
        let files = KEYS
            .iter()
            .flat_map(|(name, _)| [keys.key(name), keys.certificate(name)]);
        let there: Vec<_> = files.filter(|file| file.exists()).collect();
        match there.len() {
            0 => keys.make()?,
            length if length == KEYS.len() * 2 => {}
            _ => {
                return Err(Fault::Keys {
                    folder: folder.to_owned(),
                    reason: format!("holds only {there:?}; restore the others, or empty it"),
                });
            }
        }
        keys.check_private()?;
        Ok(keys)
    }

    /// File of a private key.
    fn key(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.key"))
    }

    /// File of a certificate in PEM.
    pub fn certificate(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.crt"))
    }

    /// Makes all keys with their certificates, readable for their owner only.
    fn make(&self) -> Result<(), Fault> {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder
            .create(&self.folder)
            .map_err(fault::file("make", &self.folder))?;
        for (name, _) in KEYS {
            // openssl makes the file of a key with mode 0600.
            let request = Tool::new("openssl", "openssl").args(["req", "-x509", "-new", "-sha256"]);
            let request = request.args(["-nodes", "-newkey", KEY_KIND, "-days", DAYS, "-subj"]);
            let request = request.arg(format!("/O=Strongroom/CN=Strongroom Secure Boot {name}"));
            let request = request.arg("-keyout").arg(self.key(name));
            request.arg("-out").arg(self.certificate(name)).run()?;
        }
        Ok(())
    }

    /// Refuses keys that others can read: whoever has them signs what all appliances start.
    fn check_private(&self) -> Result<(), Fault> {
        for (name, _) in KEYS {
            let path = self.key(name);
            let mode = fs::metadata(&path).map_err(fault::file("examine", &path))?;
            if mode.permissions().mode() & 0o077 != 0 {
                return Err(Fault::Keys {
                    folder: self.folder.clone(),
                    reason: format!("{name}.key can be read by others; chmod 600 it"),
                });
            }
        }
        Ok(())
    }

    /// Writes `program`, signed for Secure Boot, to `target`. The signature carries the date
    /// `seconds` after 1970, so that it too is the same in every build.
    ///
    /// # Errors
    /// When signing fails or the result does not verify.
    pub fn sign(&self, program: &Path, target: &Path, seconds: u64) -> Result<(), Fault> {
        let certificate = self.certificate("db");
        // sbsign writes the time of day into the signature and has no option for another one.
        let sign = Tool::new("faketime", "faketime")
            .arg("-f")
            .arg(date(seconds));
        let sign = sign
            .args(["sbsign", "--key"])
            .arg(self.key("db"))
            .arg("--cert");
        sign.arg(&certificate)
            .arg("--output")
            .arg(target)
            .arg(program)
            .run()?;
        let verify = Tool::new("sbverify", "sbsigntool")
            .arg("--cert")
            .arg(certificate);
        verify.arg(target).run()
    }

    /// Writes for each UEFI variable the signed update (`NAME.auth`) that fills it, and the
    /// certificate in DER (`NAME.cer`) for firmware menus, to `target`.
    ///
    /// # Errors
    /// When a tool fails.
    pub fn enrolment(&self, target: &Path, work: &Path, seconds: u64) -> Result<(), Fault> {
        fs::create_dir_all(target).map_err(fault::file("make", target))?;
        let owner = owner();
        for (name, signer) in KEYS {
            let der = target.join(format!("{name}.cer"));
            let convert = Tool::new("openssl", "openssl").args(["x509", "-outform", "DER", "-in"]);
            convert
                .arg(self.certificate(name))
                .arg("-out")
                .arg(&der)
                .run()?;
            let list = work.join(format!("{name}.esl"));
            let wrap = Tool::new("sbsiglist", "sbsigntool").args(["--owner", &owner]);
            let wrap = wrap.args(["--type", "x509", "--output"]);
            wrap.arg(&list).arg(&der).run()?;
            let sign = Tool::new("faketime", "faketime").arg("-f");
            let sign = sign
                .arg(date(seconds))
                .args(["sbvarsign", "--attr", ATTRIBUTES, "--key"]);
            let sign = sign
                .arg(self.key(signer))
                .arg("--cert")
                .arg(self.certificate(signer));
            let sign = sign
                .arg("--output")
                .arg(target.join(format!("{name}.auth")));
            sign.arg(name).arg(&list).run()?;
        }
        Ok(())
    }
}

/// A date as faketime(1) reads it to stop the clock there: `YYYY-MM-DD hh:mm:ss`, in UTC, which is
/// the time zone that our tools run in.
fn date(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", civil_from_days.
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (rest / 3_600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
}

#[cfg(test)]
mod tests {
    //! Keys are made once, kept private, and missing ones are not replaced silently.
    #![allow(
        clippy::unwrap_used,
        reason = "a test that meets the unexpected has failed"
    )]
    use super::*;

    #[test]
    fn keys_are_made_once_and_stay_private() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("keys");
        let keys = Keys::open(&place).unwrap();
        let made = fs::read(keys.key("db")).unwrap();
        Keys::open(&place).unwrap();
        assert_eq!(fs::read(keys.key("db")).unwrap(), made);
        assert_eq!(
            fs::metadata(&place).unwrap().permissions().mode() & 0o777,
            0o700
        );
        fs::set_permissions(keys.key("PK"), fs::Permissions::from_mode(0o644)).unwrap();
        let said = Keys::open(&place).unwrap_err().to_string();
        assert!(said.contains("PK.key can be read by others"), "{said}");
        fs::remove_file(keys.key("KEK")).unwrap();
        assert!(
            Keys::open(&place)
                .unwrap_err()
                .to_string()
                .contains("holds only")
        );
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(date(0), "1970-01-01 00:00:00");
        assert_eq!(date(951_782_400), "2000-02-29 00:00:00");
        assert_eq!(date(1_795_392_399), "2026-11-23 00:06:39");
    }
}
