//! What this server can do, as Query and Discover Versions tell it.

use kmip::enumerations::QueryFunction;
use kmip::operations::{
    DiscoverVersionsRequest, DiscoverVersionsResponse, QueryRequest, QueryResponse, READ_HERE,
};
use kmip::{ObjectType, ProtocolVersion};

/// Kinds of objects that can be kept.
const OBJECT_TYPES: [ObjectType; 4] = [
    ObjectType::CERTIFICATE,
    ObjectType::SYMMETRIC_KEY,
    ObjectType::SECRET_DATA,
    ObjectType::OPAQUE_OBJECT,
];

/// Answers Query (KMIP 2.1 §6.1.37): only what is asked for.
pub(super) fn query(request: &QueryRequest, _version: ProtocolVersion) -> QueryResponse {
    let mut answer = QueryResponse::default();
    for function in &request.functions {
        match *function {
            QueryFunction::QUERY_OPERATIONS => answer.operations = READ_HERE.to_vec(),
            QueryFunction::QUERY_OBJECTS => answer.object_types = OBJECT_TYPES.to_vec(),
            QueryFunction::QUERY_SERVER_INFORMATION => {
                let version = env!("CARGO_PKG_VERSION");
                answer.vendor_identification = Some(format!("Strongroom {version}"));
            }
            // The other functions have nothing to list here, and an empty list is left out.
            _ => {}
        }
    }
    answer
}

/// Answers Discover Versions (KMIP 2.1 §6.1.17): of the versions named those spoken here, in the
/// order of the client; all of them when it names none.
pub(super) fn versions(request: &DiscoverVersionsRequest) -> DiscoverVersionsResponse {
    let versions = if request.versions.is_empty() {
        ProtocolVersion::SUPPORTED.to_vec()
    } else {
        request
            .versions
            .iter()
            .copied()
            .filter(|v| v.is_supported())
            .collect()
    };
    DiscoverVersionsResponse { versions }
}
