//! What reading leaves in the access log, and every denial.

use super::text;
use crate::world::*;
use domain::*;

pub(crate) fn access_kind(access: &Access) -> &'static str {
    match access {
        Access::Released { .. } => "released",
        Access::AttributesRead { .. } => "attributes-read",
        Access::Located { .. } => "located",
        Access::Asked { .. } => "asked",
        Access::Refused { .. } => "refused",
        Access::Malformed { .. } => "malformed",
        Access::SelfTested { .. } => "self-tested",
        Access::Failed { .. } => "failed",
    }
}

/// Kinds of access records: the arms above.
pub(crate) const ACCESS_KINDS: usize = 8;

pub(crate) fn accesses() -> Vec<Access> {
    vec![
        Access::Released {
            uid: uid(1),
            stale: None,
        },
        Access::AttributesRead {
            uid: uid(1),
            stale: None,
        },
        Access::Located {
            found: 3,
            stale: None,
        },
        Access::Asked {
            operation: "Query".to_string(),
        },
        Access::Refused {
            operation: "Get".to_string(),
            object: Some("no-such-key".to_string()),
            denial: Denial::NotFound { forbidden: true },
        },
        Access::Malformed {
            reason: "length beyond the message".to_string(),
            count: 2,
        },
        Access::SelfTested {
            tests: 25,
            failed: vec!["AES-256-KWP".to_string()],
        },
        Access::Failed {
            operation: "Get".to_string(),
            reason: "disk".to_string(),
        },
    ]
}

pub(crate) fn denial_kind(denial: &Denial) -> &'static str {
    match denial {
        Denial::NotFound { .. } => "not-found",
        Denial::NotPermitted => "not-permitted",
        Denial::UnknownUser => "unknown-user",
        Denial::CertificateNotAccepted => "certificate-not-accepted",
        Denial::WrongState { .. } => "wrong-state",
        Denial::Destroyed => "destroyed",
        Denial::AlreadyExists { .. } => "already-exists",
        Denial::AttributeReadOnly { .. } => "attribute-read-only",
        Denial::AttributeNotFound { .. } => "attribute-not-found",
        Denial::AttributeSingleInstance { .. } => "attribute-single-instance",
        Denial::AttributeMultiInstance { .. } => "attribute-multi-instance",
        Denial::AttributeUnknown { .. } => "attribute-unknown",
        Denial::AttributeMissing { .. } => "attribute-missing",
        Denial::InvalidField { .. } => "invalid-field",
        Denial::Sensitive => "sensitive",
        Denial::NotExtractable => "not-extractable",
        Denial::NotQuantumSafe => "not-quantum-safe",
        Denial::NotApproved { .. } => "not-approved",
        Denial::LimitReached { .. } => "limit-reached",
        Denial::StaleEpoch { .. } => "stale-epoch",
        Denial::OutOfOrder { .. } => "out-of-order",
        Denial::Diverged => "diverged",
        Denial::NeedsNewerMembers { .. } => "needs-newer-members",
        Denial::Downgrade { .. } => "downgrade",
        Denial::TooStale { .. } => "too-stale",
        Denial::PermissionMissing { .. } => "permission-missing",
        Denial::PasswordMustChange => "password-must-change",
        Denial::UnknownAdministrator => "unknown-administrator",
        Denial::LastAdministrator => "last-administrator",
        Denial::SignInWrong => "sign-in-wrong",
        Denial::SignInPaused { .. } => "sign-in-paused",
    }
}

/// Kinds of denials: the arms above.
pub(crate) const DENIAL_KINDS: usize = 31;

pub(crate) fn denials() -> Vec<Denial> {
    let name = AttributeName::Standard(tag::NAME);
    let reason = "because".to_string();
    vec![
        Denial::NotFound { forbidden: false },
        Denial::NotPermitted,
        Denial::UnknownUser,
        Denial::CertificateNotAccepted,
        Denial::WrongState {
            state: LifecycleState::Deactivated,
        },
        Denial::Destroyed,
        Denial::AlreadyExists {
            what: "name".to_string(),
        },
        Denial::AttributeReadOnly { name: name.clone() },
        Denial::AttributeNotFound {
            name: AttributeName::Vendor {
                vendor: "x".to_string(),
                name: "Slot".to_string(),
            },
        },
        Denial::AttributeSingleInstance { name: name.clone() },
        Denial::AttributeMultiInstance { name: name.clone() },
        Denial::AttributeUnknown { name: name.clone() },
        Denial::AttributeMissing { name },
        Denial::InvalidField {
            reason: reason.clone(),
        },
        Denial::Sensitive,
        Denial::NotExtractable,
        Denial::NotQuantumSafe,
        Denial::NotApproved {
            what: "3DES".to_string(),
        },
        Denial::LimitReached {
            limit: "1 objects of one owner".to_string(),
        },
        Denial::StaleEpoch { current: Epoch(2) },
        Denial::OutOfOrder { reason },
        Denial::Diverged,
        Denial::NeedsNewerMembers {
            needs: 2,
            node: NODE,
            has: 1,
        },
        Denial::Downgrade {
            format: 1,
            needs: 2,
        },
        Denial::TooStale {
            age_seconds: 90_000,
            limit: OfflineGet::Seconds(86_400),
        },
        Denial::PermissionMissing {
            permission: Permission::BackupKeys,
        },
        Denial::PasswordMustChange,
        Denial::UnknownAdministrator,
        Denial::LastAdministrator,
        Denial::SignInWrong,
        Denial::SignInPaused {
            seconds: 900,
            locked: true,
        },
    ]
}
