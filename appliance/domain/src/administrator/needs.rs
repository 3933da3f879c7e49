//! Which permission is needed for what: everything that can be asked for, and everything that the
//! doors do besides. Nothing else decides it; a new ask or right does not compile without its row.
//!
//! The approvals of a later version have their place behind this table: whether one administrator
//! alone may say it is asked after whether this one may say it at all, in `decide::plan`.

use super::Permissions;
use super::permissions::Permission;
use crate::{Ask, DoorIdentity, Name, setting};

/// Something that a door does for an administrator and that is no [`Ask`], or that prepares one:
/// what it needs is settled before anything is read or made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Right {
    /// See that the appliance works, its members, its configuration, one's own account.
    SeeStatus,
    /// List objects and see their attributes and history.
    SeeKeys,
    /// List the users of the KMIP door.
    SeeUsers,
    /// Add a user with a certificate of the Local CA.
    AddClient,
    /// Take away a client's certificate and key.
    TakeClientBundle,
    /// Read the logs.
    SeeLogs,
    /// Write the logs out as a bundle.
    ExportLogs,
    /// Close logs, and change where closed logs go.
    ChangeTransfer,
    /// List the seal slots.
    SeeSlots,
    /// Add and remove seal slots, change key-encryption keys.
    ChangeSeals,
    /// See the nodes that wait to join.
    SeeJoinRequests,
    /// Change who belongs to the cluster, its CA, and what is done when members differ.
    ChangeCluster,
    /// Take in what an old member's disk still has.
    Salvage,
    /// Switch off or start anew.
    Power,
    /// Destroy all keys and logs of a node.
    Zeroize,
    /// Have the primitives tested now; a failure closes the node.
    RunSelfTests,
    /// Make a new SSH host key.
    RenewHostKey,
    /// Make a new certificate for the doors.
    RenewCertificate,
    /// List the other administrators.
    SeeAdministrators,
    /// Change the other administrators.
    ChangeAdministrators,
}

impl Right {
    /// Every right.
    pub const ALL: [Self; 20] = [
        Self::SeeStatus,
        Self::SeeKeys,
        Self::SeeUsers,
        Self::AddClient,
        Self::TakeClientBundle,
        Self::SeeLogs,
        Self::ExportLogs,
        Self::ChangeTransfer,
        Self::SeeSlots,
        Self::ChangeSeals,
        Self::SeeJoinRequests,
        Self::ChangeCluster,
        Self::Salvage,
        Self::Power,
        Self::Zeroize,
        Self::RunSelfTests,
        Self::RenewHostKey,
        Self::RenewCertificate,
        Self::SeeAdministrators,
        Self::ChangeAdministrators,
    ];

    /// Its name, as refusals and log lines give it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SeeStatus => "See Status",
            Self::SeeKeys => "See Keys",
            Self::SeeUsers => "See Users",
            Self::AddClient => "Add Client",
            Self::TakeClientBundle => "Take Client Bundle",
            Self::SeeLogs => "See Logs",
            Self::ExportLogs => "Export Logs",
            Self::ChangeTransfer => "Change Transfer",
            Self::SeeSlots => "See Slots",
            Self::ChangeSeals => "Change Seals",
            Self::SeeJoinRequests => "See Join Requests",
            Self::ChangeCluster => "Change Cluster",
            Self::Salvage => "Salvage",
            Self::Power => "Power",
            Self::Zeroize => "Zeroize",
            Self::RunSelfTests => "Run Self-Tests",
            Self::RenewHostKey => "Renew Host Key",
            Self::RenewCertificate => "Renew Certificate",
            Self::SeeAdministrators => "See Administrators",
            Self::ChangeAdministrators => "Change Administrators",
        }
    }

    /// What it needs.
    pub const fn needs(self) -> Permissions {
        const fn of(list: &[Permission]) -> Permissions {
            Permissions::of(list)
        }
        match self {
            Self::SeeStatus => Permissions::NONE,
            Self::SeeKeys => of(&[Permission::Keys]),
            Self::SeeUsers => of(&[Permission::Users]),
            Self::AddClient => of(&[Permission::Users, Permission::Certificates]),
            Self::TakeClientBundle => of(&[Permission::Certificates]),
            Self::SeeLogs | Self::ExportLogs | Self::ChangeTransfer => of(&[Permission::Logging]),
            Self::SeeSlots | Self::ChangeSeals | Self::RunSelfTests => {
                of(&[Permission::AdvancedSecurity])
            }
            Self::SeeJoinRequests | Self::ChangeCluster => of(&[Permission::Cluster]),
            Self::Salvage => of(&[Permission::RestoreKeys]),
            Self::Power | Self::RenewHostKey => of(&[Permission::Services]),
            Self::RenewCertificate => of(&[Permission::Tls]),
            Self::Zeroize | Self::SeeAdministrators | Self::ChangeAdministrators => {
                of(&[Permission::HighAccess])
            }
        }
    }
}

/// What an ask needs of the administrator of a name.
pub(crate) fn needed(ask: &Ask, speaker: &Name) -> Permissions {
    let one = match ask {
        // One's own way in needs nothing but being in.
        Ask::ChangePassword { .. } => return Permissions::NONE,
        Ask::SetSshKeys { name, .. } if name == speaker => return Permissions::NONE,
        Ask::Configure { values, .. } => {
            // What there is no row for is refused for that, by whomever it is asked.
            let rows = values.iter().filter_map(|value| setting::find(&value.id));
            return rows.fold(Permissions::NONE, |all, row| all.with(row.permission));
        }
        Ask::Create { .. }
        | Ask::CreateFor { .. }
        | Ask::Register { .. }
        | Ask::Activate { .. }
        | Ask::Revoke { .. }
        | Ask::Destroy { .. }
        | Ask::AddAttribute { .. }
        | Ask::ModifyAttribute { .. }
        | Ask::SetAttribute { .. }
        | Ask::DeleteAttribute { .. }
        | Ask::ApplySchedule
        | Ask::SetKeyPolicy { .. }
        | Ask::SetOfflineGet { .. } => Permission::Keys,
        Ask::PutUser { .. } | Ask::RevokeUser { .. } => Permission::Users,
        Ask::IssueCertificate { .. } => Permission::Certificates,
        Ask::OpenEpoch { .. }
        | Ask::ConfirmReseal { .. }
        | Ask::RetireEpoch { .. }
        | Ask::ConfirmRetire { .. }
        | Ask::AddSlot { .. }
        | Ask::RemoveSlot { .. }
        | Ask::AddLogKey { .. } => Permission::AdvancedSecurity,
        Ask::AnchorAccessLog { .. }
        | Ask::RecordExport { .. }
        | Ask::RotateLog { .. }
        | Ask::PutDestination { .. }
        | Ask::RemoveDestination { .. }
        | Ask::RecordTransfer { .. } => Permission::Logging,
        Ask::StartNode { .. } | Ask::StopNode { .. } => Permission::Services,
        Ask::RenewIdentity { identity, .. } => match identity {
            DoorIdentity::SshHostKey { .. } => Permission::Services,
            DoorIdentity::ServerCertificate { .. } => Permission::Tls,
        },
        Ask::SetClock { .. } => Permission::Network,
        Ask::FoundCluster { .. }
        | Ask::IdentifyNode { .. }
        | Ask::IssueTicket { .. }
        | Ask::RequestJoin { .. }
        | Ask::ApproveJoin { .. }
        | Ask::DenyJoin { .. }
        | Ask::Rejoin { .. }
        | Ask::ConfirmMember { .. }
        | Ask::RemoveNode { .. }
        | Ask::ConfirmRemoved { .. }
        | Ask::RotateClusterCa { .. }
        | Ask::ForkLineage { .. }
        | Ask::BeginScrub
        | Ask::ReportDigest { .. }
        | Ask::ReportDivergence { .. }
        | Ask::ResolveDivergence { .. }
        | Ask::RecordRepair { .. } => Permission::Cluster,
        Ask::Salvage { .. } => Permission::RestoreKeys,
        Ask::PutAdministrator { .. }
        | Ask::ResetPassword { .. }
        | Ask::SetSshKeys { .. }
        | Ask::SetPermissions { .. }
        | Ask::RemoveAdministrator { .. } => Permission::HighAccess,
    };
    Permissions::of(&[one])
}
