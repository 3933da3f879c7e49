//! The answers of a set-up, and whether they fit together.

use crate::administrators::Policy;
use crate::sign_in;
use domain::setting::{self, Setting};
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use vault::{PASSPHRASE_CHARACTERS_MIN, Secret};

/// Longest password, passphrase or SSH key line, in bytes.
const TEXT_BYTES_MAX: usize = 1024;

/// What an item that is used once looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// A secret, typed twice and never shown.
    Password,
    /// A secret that PBKDF2 stretches, typed twice and never shown.
    Passphrase,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// An account name.
    Account,
    /// A public key line of OpenSSH, or nothing.
    SshKey,
}

/// An item of the set-up that is no setting.
#[derive(Debug)]
pub(crate) struct Once {
    /// Its stable name: in the prompt, and in the file.
    pub(crate) id: &'static str,
    /// For people.
    pub(crate) title: &'static str,
    /// What `?` says.
    pub(crate) help: &'static str,
    /// What it looks like.
    pub(crate) form: Form,
    /// What an empty answer means.
    pub(crate) default: Option<&'static str>,
    /// Asked only if this other item has this value.
    pub(crate) only_if: Option<(&'static str, &'static str)>,
}

/// The items that are used once, in the order in which they are asked for after the settings.
pub(crate) const ONCE: &[Once] = &[
    Once {
        id: "admin.name",
        title: "Name of the first administrator",
        help: "The account that signs in at this console, by SSH and at the web pages.\n\
               Letters, digits, '.', '-' and '_'; for example: admin",
        form: Form::Account,
        default: Some("admin"),
        only_if: None,
    },
    Once {
        id: "admin.password",
        title: "Password of the first administrator",
        help: "At least 12 characters, all kinds, and hard to guess: length counts, not special\n\
               signs. Three words that have nothing to do with each other are good.\n\
               It is not shown while you type, and asked for twice.",
        form: Form::Password,
        default: None,
        only_if: None,
    },
    Once {
        id: "admin.ssh-key",
        title: "SSH public key of the first administrator",
        help: "One line as in ~/.ssh/id_ed25519.pub, for example:\n\
               ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI... jane@desk\n\
               Empty: no key, sign in by password.",
        form: Form::SshKey,
        default: Some(""),
        only_if: None,
    },
    Once {
        id: "unlock",
        title: "How the appliance is unlocked when it starts",
        help: "passphrase  somebody types a passphrase here at each start; a stolen disk is\n\
               \x20           worth nothing.\n\
               disk        it starts by itself with a key on its own disk. Whoever has the disk\n\
               \x20           has the keys: only where nobody can carry it away.\n\
               Either can be changed later, without making keys again.",
        form: Form::Choice(&["passphrase", "disk"]),
        default: Some("passphrase"),
        only_if: None,
    },
    Once {
        id: "unlock.passphrase",
        title: "Passphrase that unlocks the appliance",
        help: "At least 14 characters; a sentence is good. It is not shown, and asked for twice.\n\
               If it is lost, only the recovery shares or passphrase open the keys.",
        form: Form::Passphrase,
        default: None,
        only_if: Some(("unlock", "passphrase")),
    },
    Once {
        id: "recovery",
        title: "Second way in, kept in a safe",
        help: "shares      five shares are shown once; any three of them together unlock. Give\n\
               \x20           them to five people.\n\
               passphrase  one long passphrase in a safe.",
        form: Form::Choice(&["shares", "passphrase"]),
        default: Some("shares"),
        only_if: None,
    },
    Once {
        id: "recovery.passphrase",
        title: "Recovery passphrase",
        help: "At least 14 characters, another than the one that unlocks. Write it down and put\n\
               it into a safe. It is not shown, and asked for twice.",
        form: Form::Passphrase,
        default: None,
        only_if: Some(("recovery", "passphrase")),
    },
];

/// What was answered so far, in canonical form. Secrets are erased when it is dropped.
#[derive(Default)]
pub(crate) struct Answers {
    plain: BTreeMap<&'static str, String>,
    secret: BTreeMap<&'static str, Secret>,
}

impl fmt::Debug for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answers").finish_non_exhaustive()
    }
}

/// What is wrong with an answer, for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{id}: {why}")]
pub(crate) struct Wrong {
    /// Which item.
    pub(crate) id: String,
    /// What was wrong and what is expected.
    pub(crate) why: String,
}

impl Wrong {
    fn new(id: &str, why: impl Into<String>) -> Self {
        Self {
            id: id.to_owned(),
            why: why.into(),
        }
    }
}

impl Answers {
    /// Takes one answer.
    pub(crate) fn set(&mut self, id: &str, value: &str) -> Result<(), Wrong> {
        if let Some(setting) = setting::find(id) {
            let value = setting.check(value).map_err(|why| Wrong::new(id, why))?;
            if id == "timezone" {
                zone(&value).map_err(|why| Wrong::new(id, why))?;
            }
            self.plain.insert(setting.id, value);
            return Ok(());
        }
        let Some(once) = ONCE.iter().find(|once| once.id == id) else {
            return Err(Wrong::new(id, "there is no such item; see docs/setup.md"));
        };
        let value = value.trim_end_matches(['\r', '\n']);
        check_once(once, value).map_err(|why| Wrong::new(id, why))?;
        if once.form == Form::Password {
            let policy = Policy::of(|id| Some(self.get(id)));
            let checked = policy.check(self.get("admin.name"), value);
            checked.map_err(|why| Wrong::new(id, why))?;
        }
        if matches!(once.form, Form::Password | Form::Passphrase) {
            let secret = Secret::copy_of(value.as_bytes());
            self.secret.insert(once.id, secret);
        } else {
            self.plain.insert(once.id, value.trim().to_owned());
        }
        Ok(())
    }

    /// The answer, or what stands when there is none.
    pub(crate) fn get(&self, id: &str) -> &str {
        let given = self.plain.get(id).map(String::as_str);
        let default = || {
            let once = ONCE.iter().find(|once| once.id == id);
            let once = once.and_then(|once| once.default);
            once.or_else(|| setting::find(id).and_then(|setting| setting.default))
        };
        given.or_else(default).unwrap_or_default()
    }

    /// A secret answer.
    pub(crate) fn secret(&self, id: &str) -> Option<&Secret> {
        self.secret.get(id)
    }

    /// The settings that were answered, for the cluster log.
    pub(crate) fn settings(&self) -> impl Iterator<Item = (&'static Setting, &str)> {
        setting::TABLE
            .iter()
            .filter_map(|setting| Some((setting, self.plain.get(setting.id)?.as_str())))
    }

    /// Everything that is not secret, in the order of the tables.
    pub(crate) fn plain(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let ids = setting::TABLE.iter().map(|setting| setting.id);
        ids.chain(ONCE.iter().map(|once| once.id))
            .filter_map(|id| Some((id, self.plain.get(id)?.as_str())))
    }

    /// The secrets, by name.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = (&'static str, &Secret)> {
        self.secret.iter().map(|(id, secret)| (*id, secret))
    }

    /// Whether an item is to be asked for, given what was answered before.
    pub(crate) fn wants(&self, id: &str) -> bool {
        if let Some(once) = ONCE.iter().find(|once| once.id == id) {
            return once
                .only_if
                .is_none_or(|(other, value)| self.get(other) == value);
        }
        let Some((interface, part)) = id.split_once('.') else {
            return id != "outgoing" || self.get("eth1.ipv4") != "off";
        };
        let is = |what: &str, value: &str| self.get(&format!("{interface}.{what}")) == value;
        match part {
            "address" | "gateway" if interface.starts_with("eth") => is("ipv4", "static"),
            "ipv6.address" | "ipv6.gateway" => is("ipv6", "static"),
            "vlan" | "ipv6" => !is("ipv4", "off") || interface == "eth0",
            _ => true,
        }
    }

    /// Whether the answers are complete and fit together; all that is wrong, not only the first.
    pub(crate) fn check(&self) -> Result<(), Vec<Wrong>> {
        let mut wrong = Vec::new();
        for once in ONCE.iter().filter(|once| self.wants(once.id)) {
            let is_missing = once.default.is_none() && !self.secret.contains_key(once.id);
            if is_missing {
                wrong.push(Wrong::new(once.id, "is missing and has no default"));
            }
        }
        // Each answer was checked alone; these are about several.
        if let Err(why) = setting::check_together(|id| Some(self.get(id))) {
            let (id, why) = why.split_once(": ").unwrap_or(("settings", &why));
            wrong.push(Wrong::new(id, why));
        }
        let (one, other) = (
            self.secret("unlock.passphrase"),
            self.secret("recovery.passphrase"),
        );
        if let (Some(one), Some(other)) = (one, other)
            && one.ct_eq(other)
        {
            let why = "is the one that unlocks at each start; a second way in must be another";
            wrong.push(Wrong::new("recovery.passphrase", why));
        }
        if wrong.is_empty() { Ok(()) } else { Err(wrong) }
    }
}

/// Whether the time zone exists. The table of settings cannot say so: it sees no files.
fn zone(name: &str) -> Result<(), String> {
    let zones = Path::new("/usr/share/zoneinfo");
    if !zones.exists() {
        return Ok(());
    }
    network::settings::time_zone(name, zones)
}

fn check_once(once: &Once, value: &str) -> Result<(), String> {
    if value.len() > TEXT_BYTES_MAX {
        let given = value.len();
        return Err(format!(
            "{given} bytes are too long; at most {TEXT_BYTES_MAX}"
        ));
    }
    if value.chars().any(char::is_control) {
        return Err("control characters cannot be part of it".to_owned());
    }
    let length = value.chars().count();
    match once.form {
        Form::Passphrase if length < PASSPHRASE_CHARACTERS_MIN => Err(format!(
            "{length} characters are too few; at least {PASSPHRASE_CHARACTERS_MIN}"
        )),
        Form::Password | Form::Passphrase => Ok(()),
        Form::Choice(words) if words.contains(&value.trim()) => Ok(()),
        Form::Choice(words) => Err(format!("{value:?} is none of: {}", words.join(", "))),
        Form::Account => domain::Name::parse(value.trim())
            .map(drop)
            .map_err(|e| e.to_string()),
        Form::SshKey if value.trim().is_empty() => Ok(()),
        Form::SshKey => {
            ssh_key::PublicKey::from_openssh(value.trim()).map_err(|e| {
                format!(
                    "this is no OpenSSH public key ({e}); one looks like: ssh-ed25519 AAAA… name"
                )
            })?;
            sign_in::check_ssh_key(value).map(drop)
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_wrong_is_said_before_anything_is_made() {
        let mut answers = Answers::default();
        assert!(answers.set("admin.password", "too short").is_err());
        assert!(answers.set("admin.password", "administrator").is_err());
        assert!(answers.set("unlock", "magic").is_err());
        assert!(answers.set("no.such.item", "1").is_err());
        assert!(answers.set("admin.ssh-key", "ssh-rsa nonsense").is_err());
        let missing = answers.check().unwrap_err();
        let ids: Vec<&str> = missing.iter().map(|wrong| wrong.id.as_str()).collect();
        assert_eq!(ids, ["admin.password", "unlock.passphrase"]);
        answers
            .set("admin.password", "correct horse battery")
            .unwrap();
        answers.set("unlock", "disk").unwrap();
        assert_eq!(answers.check(), Ok(()));
    }

    #[test]
    fn the_second_way_in_is_another_one() {
        let mut answers = Answers::default();
        answers
            .set("admin.password", "correct horse battery")
            .unwrap();
        answers
            .set("unlock.passphrase", "one and the same way")
            .unwrap();
        answers.set("recovery", "passphrase").unwrap();
        answers
            .set("recovery.passphrase", "one and the same way")
            .unwrap();
        let wrong = answers.check().unwrap_err();
        assert_eq!(wrong.len(), 1);
    }
}
