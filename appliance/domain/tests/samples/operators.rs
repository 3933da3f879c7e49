//! What operators brought: settings, administrators, and where closed logs go.

use crate::world::*;
use domain::*;

/// What the appliance brought: format 3.
pub(crate) fn appliance_events() -> Vec<Event> {
    vec![
        Event::SettingChanged {
            node: Some(NODE),
            id: "eth0.address".to_string(),
            value: "192.0.2.10/24".to_string(),
        },
        Event::AdministratorPut {
            name: name("root"),
            password: Some(hash(11)),
            ssh_keys: vec![SSH_KEY.to_string()],
            permissions: None,
            must_change: false,
        },
    ]
}

/// What permissions brought: format 4.
pub(crate) fn administrator_events() -> Vec<Event> {
    vec![
        Event::PasswordChanged {
            name: name("eve"),
            password: hash(12),
            must_change: true,
        },
        Event::SshKeysSet {
            name: name("eve"),
            ssh_keys: vec![SSH_KEY.to_string()],
        },
        Event::PermissionsSet {
            name: name("eve"),
            permissions: Permissions::parse("logging, web").unwrap(),
        },
        Event::AdministratorRemoved { name: name("eve") },
    ]
}

/// What permissions brought: format 4.
pub(crate) fn administrator_asks() -> Vec<Ask> {
    vec![
        Ask::ChangePassword { password: hash(12) },
        Ask::ResetPassword {
            name: name("eve"),
            password: hash(12),
        },
        Ask::SetSshKeys {
            name: name("eve"),
            ssh_keys: vec![SSH_KEY.to_string()],
        },
        Ask::SetPermissions {
            name: name("eve"),
            permissions: Permissions::ALL_OF_FORMAT_4,
        },
        Ask::RemoveAdministrator { name: name("eve") },
    ]
}

/// A destination with everything in it.
pub(crate) fn destination() -> Destination {
    Destination {
        address: "logs.example:22".to_string(),
        user: "strongroom".to_string(),
        directory: "/srv/logs".to_string(),
        way_in: WayIn::Password(hash(13)),
        host_key: format!("SHA256:{}", "A".repeat(43)),
        recipients: vec![format!("age1{}", "q".repeat(58))],
        logs: vec![View::System, View::Audit],
        enabled: true,
    }
}

/// What transfer brought: format 5.
pub(crate) fn transfer_events() -> Vec<Event> {
    vec![
        Event::LogRotated {
            node: NODE,
            log: View::Activity,
            number: 2,
            from: 10,
            size: 1000,
            root: Some(hash(14)),
            cause: RotationCause::Schedule,
        },
        Event::DestinationPut {
            name: name("vault-b"),
            destination: destination(),
        },
        Event::DestinationRemoved {
            name: name("vault-b"),
        },
        Event::LogTransferred {
            node: NODE,
            destination: name("vault-b"),
            log: View::Activity,
            number: 2,
            outcome: TransferOutcome::Failed {
                why: TransferFailure::HostKey,
                detail: "it shows SHA256:B".to_string(),
            },
        },
    ]
}

/// What transfer brought: format 5.
pub(crate) fn transfer_asks() -> Vec<Ask> {
    vec![
        Ask::RotateLog {
            node: NODE,
            log: View::Activity,
            head: Some(LogHead {
                size: 1000,
                root: hash(14),
            }),
            cause: RotationCause::Size,
        },
        Ask::PutDestination {
            name: name("vault-b"),
            destination: destination(),
        },
        Ask::RemoveDestination {
            name: name("vault-b"),
        },
        Ask::RecordTransfer {
            node: NODE,
            destination: name("vault-b"),
            log: View::System,
            number: 1,
            outcome: TransferOutcome::Delivered {
                digest: hash(15),
                bytes: 70_000,
            },
        },
    ]
}

/// What the appliance brought: format 3.
pub(crate) fn appliance_asks() -> Vec<Ask> {
    let value = |id: &str, value: &str| SettingValue {
        id: id.to_string(),
        value: value.to_string(),
    };
    vec![
        Ask::Configure {
            node: NODE,
            values: vec![
                value("hostname", "keys-1"),
                value("ca.subject", "Grüße CA"),
                value("domain", ""),
            ],
        },
        Ask::PutAdministrator {
            name: name("root"),
            password: Some(hash(11)),
            ssh_keys: vec![SSH_KEY.to_string()],
            permissions: None,
            must_change: false,
        },
    ]
}

/// What a node is recognised by, and its clock: format 5.
pub(crate) fn machine_events() -> Vec<Event> {
    vec![
        Event::IdentityRenewed {
            node: NODE,
            identity: DoorIdentity::SshHostKey {
                was: format!("SHA256:{}", "A".repeat(43)),
                is: format!("SHA256:{}", "B".repeat(43)),
            },
        },
        Event::ClockSet {
            node: NODE,
            was: START,
            is: Time(START.0 + 3_600_000),
        },
    ]
}

/// What a node is recognised by, and its clock: format 5.
pub(crate) fn machine_asks() -> Vec<Ask> {
    vec![
        Ask::RenewIdentity {
            node: NODE,
            identity: DoorIdentity::ServerCertificate {
                certificate: certificate("web"),
                serial: "1f".to_string(),
                not_after: START,
            },
        },
        Ask::SetClock {
            node: NODE,
            to: START,
        },
    ]
}
