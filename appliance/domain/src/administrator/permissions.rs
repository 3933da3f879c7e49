//! The permissions of administrators: one table of named bits, sets of them, and sets that have a
//! name.
//!
//! A set stands in records as the list of its names, so that a number never changes its meaning
//! and people can read an export. The bits are those of ESKM (requirements ESKM-31, -42, -52).

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use serde::de::{self, Deserialize, Deserializer};
use serde::ser::{Serialize, Serializer};

/// The format of records that knows permissions. Administrators recorded before have them all.
pub(crate) const PERMISSIONS_FORMAT: u32 = 4;

/// One thing that an administrator may be allowed to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Permission {
    /// Keys and authorization policies.
    Keys,
    /// Users and groups.
    Users,
    /// Certificates.
    Certificates,
    /// Certificate authorities.
    CertificateAuthorities,
    /// Advanced security.
    AdvancedSecurity,
    /// TLS.
    Tls,
    /// Cluster.
    Cluster,
    /// Network and time.
    Network,
    /// Logging.
    Logging,
    /// Backup of keys.
    BackupKeys,
    /// Backup of certificates and authorities.
    BackupCertificates,
    /// Backup of the configuration.
    BackupConfiguration,
    /// Restoring keys.
    RestoreKeys,
    /// Restoring certificates and authorities.
    RestoreCertificates,
    /// Restoring the configuration.
    RestoreConfiguration,
    /// Services.
    Services,
    /// Upgrade.
    Upgrade,
    /// High Access Administrator.
    HighAccess,
    /// Access by the web pages and REST.
    Web,
    /// Access by SSH.
    Ssh,
    /// Access at the serial console.
    Serial,
}

/// What is to be known of one permission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PermissionRow {
    /// Which.
    pub permission: Permission,
    /// Its name for ever, in records and commands.
    pub id: &'static str,
    /// What people call it.
    pub title: &'static str,
    /// What it lets one do.
    pub lets: &'static str,
}

const fn row(
    permission: Permission,
    id: &'static str,
    title: &'static str,
    lets: &'static str,
) -> PermissionRow {
    PermissionRow {
        permission,
        id,
        title,
        lets,
    }
}

/// Every permission, in the order of [`Permission`]: a new one stands at the end of both, and an
/// ask that names it needs a higher format ([`crate::Ask::format`]).
pub const PERMISSIONS: &[PermissionRow] = &[
    row(
        Permission::Keys,
        "keys",
        "Keys and authorization policies",
        "see keys and their history, set the limits for keys and how long they are served without \
         a quorum",
    ),
    row(
        Permission::Users,
        "users",
        "Users and groups",
        "add, change and revoke the users of the KMIP door",
    ),
    row(
        Permission::Certificates,
        "certificates",
        "Certificates",
        "issue certificates and take them away with their keys",
    ),
    row(
        Permission::CertificateAuthorities,
        "certificate-authorities",
        "Certificate authorities",
        "name and change the authorities that issue certificates",
    ),
    row(
        Permission::AdvancedSecurity,
        "advanced-security",
        "Advanced security",
        "seal slots, key-encryption keys, approved algorithms, the password policy",
    ),
    row(
        Permission::Tls,
        "tls",
        "TLS",
        "what the doors accept of TLS, and their certificates",
    ),
    row(
        Permission::Cluster,
        "cluster",
        "Cluster",
        "let members in and out, and decide when they differ",
    ),
    row(
        Permission::Network,
        "network",
        "Network and time",
        "names, addresses, routes, time zone and time servers",
    ),
    row(
        Permission::Logging,
        "logging",
        "Logging",
        "read and export the logs, and settle where they go",
    ),
    row(
        Permission::BackupKeys,
        "backup-keys",
        "Backup of keys",
        "make backups that hold keys",
    ),
    row(
        Permission::BackupCertificates,
        "backup-certificates",
        "Backup of certificates",
        "make backups that hold certificates and authorities",
    ),
    row(
        Permission::BackupConfiguration,
        "backup-configuration",
        "Backup of the configuration",
        "make backups that hold the configuration",
    ),
    row(
        Permission::RestoreKeys,
        "restore-keys",
        "Restoring keys",
        "take in keys from a backup or from the disk of an old member",
    ),
    row(
        Permission::RestoreCertificates,
        "restore-certificates",
        "Restoring certificates",
        "take in certificates and authorities from a backup",
    ),
    row(
        Permission::RestoreConfiguration,
        "restore-configuration",
        "Restoring the configuration",
        "take in the configuration from a backup",
    ),
    row(
        Permission::Services,
        "services",
        "Services",
        "start and stop services, settle where they listen, renew the SSH key, reboot and halt",
    ),
    row(
        Permission::Upgrade,
        "upgrade",
        "Upgrade",
        "install another version of the appliance",
    ),
    row(
        Permission::HighAccess,
        "high-access",
        "High Access Administrator",
        "add, change and remove other administrators, their passwords and permissions",
    ),
    row(
        Permission::Web,
        "web",
        "Web access",
        "sign in at the web pages and use the REST interface",
    ),
    row(Permission::Ssh, "ssh", "SSH access", "sign in over SSH"),
    row(
        Permission::Serial,
        "serial",
        "Serial access",
        "sign in at the serial console",
    ),
];

impl Permission {
    /// Its name in records and commands.
    pub fn id(self) -> &'static str {
        self.row().map_or("", |row| row.id)
    }

    /// What people call it.
    pub fn title(self) -> &'static str {
        self.row().map_or("", |row| row.title)
    }

    /// The permission of a name.
    pub fn find(id: &str) -> Option<Self> {
        let row = PERMISSIONS.iter().find(|row| row.id == id)?;
        Some(row.permission)
    }

    fn row(self) -> Option<&'static PermissionRow> {
        PERMISSIONS.get(self as usize)
    }
}

impl Serialize for Permission {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.id())
    }
}

impl<'de> Deserialize<'de> for Permission {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let id = String::deserialize(deserializer)?;
        Self::find(&id).ok_or_else(|| de::Error::custom("an unknown permission"))
    }
}

/// A set of permissions.
///
/// *Warning:* stored in the ledger and in the Raft log, as the list of names in the order of
/// [`PERMISSIONS`]; any other order, a name twice and an unknown name are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Permissions(u32);

impl Permissions {
    /// None.
    pub const NONE: Self = Self(0);

    /// Everything that format 4 knows: what administrators have who were recorded before. It must
    /// not grow with the table, or old records would have another meaning in a newer program.
    pub const ALL_OF_FORMAT_4: Self = Self((1 << (Permission::Serial as u32 + 1)) - 1);

    /// Those of a list.
    pub const fn of(list: &[Permission]) -> Self {
        let (mut bits, mut rest) = (0, list);
        while let [first, others @ ..] = rest {
            bits |= 1 << *first as u32;
            rest = others;
        }
        Self(bits)
    }

    /// Whether one is among them.
    pub const fn has(self, permission: Permission) -> bool {
        self.0 & (1 << permission as u32) != 0
    }

    /// With one more.
    #[must_use]
    pub const fn with(self, permission: Permission) -> Self {
        Self(self.0 | (1 << permission as u32))
    }

    /// With all of another set.
    #[must_use]
    pub const fn and(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// Without those of another set.
    #[must_use]
    pub const fn without(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// All of them, in the order of the table.
    pub fn iter(self) -> impl Iterator<Item = Permission> {
        let all = PERMISSIONS.iter().map(|row| row.permission);
        all.filter(move |permission| self.has(*permission))
    }

    /// Reads what people write: names of permissions and of [`PRESETS`], with commas or spaces
    /// between them.
    ///
    /// # Errors
    /// Which name is none, and which there are: one line for people.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut set = Self::NONE;
        for id in text.split([',', ' ']).filter(|id| !id.is_empty()) {
            let preset = PRESETS.iter().find(|preset| preset.id == id);
            let one = Permission::find(id).map(|one| Self::of(&[one]));
            let named = one.or_else(|| preset.map(|preset| preset.permissions));
            let Some(named) = named else {
                let shown: String = id.chars().take(64).flat_map(char::escape_default).collect();
                let known: Vec<&str> = PERMISSIONS.iter().map(|row| row.id).collect();
                let presets: Vec<&str> = PRESETS.iter().map(|preset| preset.id).collect();
                return Err(format!(
                    "\"{shown}\" is no permission; there are {}, and the sets {}",
                    known.join(", "),
                    presets.join(", ")
                ));
            };
            set = set.and(named);
        }
        Ok(set)
    }
}

/// The names, with commas between them.
impl fmt::Display for Permissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, permission) in self.iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            write!(f, "{comma}{}", permission.id())?;
        }
        Ok(())
    }
}

impl Serialize for Permissions {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // By a list: the length must stand before the items.
        let all: Vec<Permission> = self.iter().collect();
        all.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Permissions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let all = Vec::<Permission>::deserialize(deserializer)?;
        if !all.is_sorted_by(|one, next| one < next) {
            return Err(de::Error::custom("permissions are not in their order"));
        }
        Ok(Self::of(&all))
    }
}

/// A set with a name, for the usual tasks. Only the permissions are recorded, never the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preset {
    /// What one types.
    pub id: &'static str,
    /// For whom it is.
    pub title: &'static str,
    /// What it stands for.
    pub permissions: Permissions,
}

/// The sets that have a name.
pub const PRESETS: &[Preset] = &[
    Preset {
        id: "full",
        title: "Full access; two or three people at most (ESKM-42)",
        permissions: Permissions::ALL_OF_FORMAT_4,
    },
    Preset {
        id: "key-officer",
        title: "Keys, clients and their certificates",
        permissions: Permissions::of(&[
            Permission::Keys,
            Permission::Users,
            Permission::Certificates,
            Permission::Web,
            Permission::Ssh,
        ]),
    },
    Preset {
        id: "backup-operator",
        title: "Makes backups of every kind, and restores none",
        permissions: Permissions::of(&[
            Permission::BackupKeys,
            Permission::BackupCertificates,
            Permission::BackupConfiguration,
            Permission::Web,
            Permission::Ssh,
        ]),
    },
    Preset {
        id: "auditor",
        title: "Reads and exports the logs",
        permissions: Permissions::of(&[Permission::Logging, Permission::Web, Permission::Ssh]),
    },
    Preset {
        id: "technician",
        title: "Network, services and upgrades; nothing about keys",
        permissions: Permissions::of(&[
            Permission::Network,
            Permission::Services,
            Permission::Upgrade,
            Permission::Web,
            Permission::Ssh,
            Permission::Serial,
        ]),
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec;

    #[test]
    fn the_table_stands_in_the_order_of_the_bits() {
        for (at, row) in PERMISSIONS.iter().enumerate() {
            assert_eq!(row.permission as usize, at);
            assert_eq!(Permission::find(row.id), Some(row.permission));
            assert_eq!(row.permission.id(), row.id);
            assert!(PRESETS.iter().all(|preset| preset.id != row.id));
        }
        let all: Vec<Permission> = PERMISSIONS.iter().map(|row| row.permission).collect();
        assert_eq!(Permissions::of(&all), Permissions::ALL_OF_FORMAT_4);
    }

    #[test]
    fn people_write_names_of_permissions_and_of_sets() {
        let some = Permissions::of(&[Permission::Logging, Permission::Serial]);
        assert_eq!(Permissions::parse("serial, logging"), Ok(some));
        assert_eq!(Permissions::parse("serial logging,serial"), Ok(some));
        assert_eq!(Permissions::parse(""), Ok(Permissions::NONE));
        let auditor = some.with(Permission::Web).with(Permission::Ssh);
        assert_eq!(Permissions::parse("auditor,serial"), Ok(auditor));
        assert_eq!(format!("{auditor}"), "logging, web, ssh, serial");
        let said = Permissions::parse("keys,root\n").err().unwrap_or_default();
        assert!(said.starts_with("\"root\\n\" is no permission; there are keys, "));
        assert!(said.ends_with("full, key-officer, backup-operator, auditor, technician"));
    }

    #[test]
    fn a_record_has_one_form_for_a_set() {
        let some = Permissions::of(&[Permission::Serial, Permission::Keys]);
        let bytes = codec::to_vec(&some);
        assert_eq!(bytes, b"\x82\x64keys\x66serial");
        assert_eq!(codec::from_slice::<Permissions>(&bytes), Ok(some));
        for bad in [
            &b"\x82\x66serial\x64keys"[..],
            b"\x82\x64keys\x64keys",
            b"\x81\x64kays",
            b"\x81\x60",
            b"\x01",
        ] {
            assert!(codec::from_slice::<Permissions>(bad).is_err(), "{bad:?}");
        }
    }
}
