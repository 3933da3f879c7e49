//! What each request needs before anything is read or made for it. What is one ask and nothing else
//! has no row: the ask is judged by itself.

use super::SettingRequest;
use super::{ClockRequest, ClusterRequest, ControlDoor, FipsRequest, Request, ServicesRequest};
use crate::sign_in::settled;
use domain::{Actor, Right};

impl Request {
    /// What it needs before anything is done for it; nothing when it is one ask, which is judged by
    /// itself.
    pub fn right(&self, actor: &Actor) -> Option<Right> {
        Some(match self {
            // Nobody is signed in yet, or only the own password is at stake.
            Self::SignIn { .. }
            | Self::SignInByKey { .. }
            | Self::SignOut
            | Self::SshDoor
            | Self::SshHostKey
            | Self::As { .. }
            | Self::Password { .. } => return None,
            Self::ClientRevoke { .. }
            | Self::Services(ServicesRequest::Switch { .. })
            | Self::Clock(ClockRequest::Set { .. })
            | Self::Setting(SettingRequest::Change { .. })
            | Self::Fips(FipsRequest::Switch { .. }) => return None,
            Self::Cluster(request) => return request.right(),
            Self::Admin(request) => request.right(actor),
            Self::Transfer(request) => request.right(),
            Self::Status { .. }
            | Self::StateDigest { .. }
            | Self::Setting(SettingRequest::List | SettingRequest::Network)
            | Self::RunningConfig
            | Self::Services(ServicesRequest::List)
            | Self::Clock(ClockRequest::Show)
            // What may not be seen of it is left out, and said to be.
            | Self::Copies
            | Self::Fips(FipsRequest::Status) => Right::SeeStatus,
            Self::Identity(request) => request.right(),
            // It lists keys and who is connected.
            Self::Fips(FipsRequest::Plan { .. }) => Right::ChangeSeals,
            Self::SelfTest => Right::RunSelfTests,
            Self::LogShow { .. } => Right::SeeLogs,
            Self::ClientAdd { .. } => Right::AddClient,
            Self::ClientList => Right::SeeUsers,
            Self::ClientBundle { .. } => Right::TakeClientBundle,
            Self::KeyList { .. } | Self::KeyShow { .. } => Right::SeeKeys,
            Self::Export { .. } | Self::MayExport => Right::ExportLogs,
            Self::Clients(request) => request.right(),
            Self::Keys(request) => return request.right(),
            Self::Records(_) => Right::SeeLogs,
            Self::Certificates { clients: true } => Right::SeeUsers,
            Self::Certificates { clients: false } => Right::SeeStatus,
            Self::SlotList => Right::SeeSlots,
            Self::EpochRotate
            | Self::SlotAddPassphrase { .. }
            | Self::SlotAddPkcs11 { .. }
            | Self::SlotRemove { .. } => Right::ChangeSeals,
            Self::MayZeroize | Self::Zeroize { .. } => Right::Zeroize,
            Self::MayPower | Self::Power { .. } | Self::RestartService { .. } => Right::Power,
        })
    }
}

impl ClusterRequest {
    fn right(&self) -> Option<Right> {
        Some(match self {
            Self::Status => Right::SeeStatus,
            Self::Requests => Right::SeeJoinRequests,
            Self::Approve { .. } | Self::Deny { .. } | Self::Leave | Self::RotateCa => {
                Right::ChangeCluster
            }
            Self::Salvage { .. } => Right::Salvage,
            Self::Ticket
            | Self::Remove { .. }
            | Self::OfflineGet { .. }
            | Self::Resolve { .. }
            | Self::Scrub => return None,
        })
    }
}

impl ControlDoor {
    /// Whether somebody may have this done at all.
    ///
    /// # Errors
    /// The refusal, recorded.
    pub(super) async fn permit(&self, actor: &Actor, request: &Request) -> Result<(), String> {
        let Some(right) = request.right(actor) else {
            return Ok(());
        };
        match self.engine.permit_operator(actor, right) {
            Ok(()) => Ok(()),
            Err(refusal) => Err(settled(refusal).await),
        }
    }
}
