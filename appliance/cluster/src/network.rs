//! The way to peers.
//!
//! A cluster of one has none: openraft asks for a connection only when the membership names
//! another node, and is then told that no way to it is known.

use crate::types::TypeConfig;
use openraft::error::{InstallSnapshotError, RPCError, RaftError, Unreachable};
use openraft::network::{RPCOption, RaftNetwork, RaftNetworkFactory};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, InstallSnapshotRequest, InstallSnapshotResponse,
    VoteRequest, VoteResponse,
};
use openraft::{AnyError, BasicNode};

/// Makes connections to members.
#[derive(Debug)]
pub(crate) struct Peers;

/// A connection to one member.
#[derive(Debug)]
pub(crate) struct Peer {
    target: u64,
}

impl RaftNetworkFactory<TypeConfig> for Peers {
    type Network = Peer;

    async fn new_client(&mut self, target: u64, _node: &BasicNode) -> Peer {
        Peer { target }
    }
}

impl Peer {
    fn unreachable(&self) -> Unreachable {
        let target = self.target;
        Unreachable::new(&AnyError::error(format!(
            "this node knows no way to node {target}"
        )))
    }
}

type Answer<T, E = openraft::error::Infallible> =
    Result<T, RPCError<u64, BasicNode, RaftError<u64, E>>>;

impl RaftNetwork<TypeConfig> for Peer {
    async fn append_entries(
        &mut self,
        _request: AppendEntriesRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Answer<AppendEntriesResponse<u64>> {
        Err(self.unreachable().into())
    }

    async fn install_snapshot(
        &mut self,
        _request: InstallSnapshotRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Answer<InstallSnapshotResponse<u64>, InstallSnapshotError> {
        Err(self.unreachable().into())
    }

    async fn vote(
        &mut self,
        _request: VoteRequest<u64>,
        _option: RPCOption,
    ) -> Answer<VoteResponse<u64>> {
        Err(self.unreachable().into())
    }
}
