//! The operations: which payload belongs to which, and what they share. Each file under
//! `operations/` has one family, requests and responses, both directions.

use crate::enumerations::{Operation, ResultReason, UniqueIdentifierForm};
use crate::failure::Failure;
use crate::objects::SecretItems;
use crate::tags::Tag;
use crate::ttlv::{Field, ItemType, Items, Limits, Malformed, Writer, once, required, unexpected};
use crate::version::ProtocolVersion;

mod attribute;
mod create;
mod get;
mod lifecycle;
mod locate;
mod query;

pub use attribute::{
    AddAttributeRequest, AddAttributeResponse, AttributeToDelete, DeleteAttributeRequest,
    DeleteAttributeResponse, GetAttributeListRequest, GetAttributeListResponse,
    GetAttributesRequest, GetAttributesResponse, ModifyAttributeRequest, ModifyAttributeResponse,
    SetAttributeRequest,
};
pub use create::{CreateRequest, CreateResponse, RegisterRequest, RegisterResponse};
pub use get::{GetRequest, GetResponse};
pub use lifecycle::{ActivateRequest, DestroyRequest, IdentifierResponse, RevokeRequest};
pub use locate::{LocateRequest, LocateResponse};
pub use query::{DiscoverVersionsRequest, DiscoverVersionsResponse, QueryRequest, QueryResponse};
pub(crate) use query::{read_version, write_version};

/// What reading a payload depends on besides its bytes.
#[derive(Debug)]
pub(crate) struct Context<'l> {
    pub(crate) version: ProtocolVersion,
    pub(crate) limits: &'l Limits,
    /// The last item of the batch so far that sets the ID Placeholder: its operation and its
    /// index from 0.
    pub(crate) placeholder: Option<(Operation, i32)>,
}

/// One direction of one operation.
pub(crate) trait Payload: Sized {
    /// Reads the fields of a payload. `items` has not been pulled yet.
    fn read(items: Items<'_>, with: &Context<'_>) -> Result<Self, Failure>;

    /// Writes the fields of a payload, without what `version` does not know.
    fn write(&self, w: &mut Writer<'_>, version: ProtocolVersion);
}

macro_rules! operations {
    ($($name:ident: $constant:ident, $request:ty => $response:ty;)*) => {
        /// What a client asks for.
        #[derive(Debug, PartialEq, Eq)]
        pub enum RequestPayload {
            $($name($request),)*
            /// An operation that is not read here, of the standard or not. Its payload was
            /// skipped; the answer is Operation Not Supported.
            Unsupported { operation: Operation },
        }

        impl RequestPayload {
            /// The operation this asks for.
            #[must_use]
            pub fn operation(&self) -> Operation {
                match self {
                    $(RequestPayload::$name(_) => Operation::$constant,)*
                    RequestPayload::Unsupported { operation } => *operation,
                }
            }

            pub(crate) fn read(
                operation: Operation,
                items: Items<'_>,
                with: &Context<'_>,
            ) -> Result<RequestPayload, Failure> {
                Ok(match operation {
                    $(Operation::$constant => {
                        RequestPayload::$name(<$request>::read(items, with)?)
                    })*
                    operation => RequestPayload::Unsupported { operation },
                })
            }

            pub(crate) fn write(&self, w: &mut Writer<'_>, version: ProtocolVersion) {
                match self {
                    $(RequestPayload::$name(payload) => payload.write(w, version),)*
                    RequestPayload::Unsupported { .. } => {}
                }
            }
        }

        /// What a server answers on success.
        #[derive(Debug, PartialEq, Eq)]
        pub enum ResponsePayload {
            $($name($response),)*
            /// The answer to an operation that is not read here, field by field.
            Other { operation: Operation, fields: SecretItems },
        }

        impl ResponsePayload {
            /// The operation this answers.
            #[must_use]
            pub fn operation(&self) -> Operation {
                match self {
                    $(ResponsePayload::$name(_) => Operation::$constant,)*
                    ResponsePayload::Other { operation, .. } => *operation,
                }
            }

            pub(crate) fn read(
                operation: Operation,
                field: &Field<'_>,
                with: &Context<'_>,
            ) -> Result<ResponsePayload, Failure> {
                Ok(match operation {
                    $(Operation::$constant => {
                        ResponsePayload::$name(<$response>::read(field.items()?, with)?)
                    })*
                    operation => {
                        let fields = SecretItems::read(field)?;
                        ResponsePayload::Other { operation, fields }
                    }
                })
            }

            pub(crate) fn write(&self, w: &mut Writer<'_>, version: ProtocolVersion) {
                match self {
                    $(ResponsePayload::$name(payload) => payload.write(w, version),)*
                    ResponsePayload::Other { fields, .. } => {
                        fields.expose().iter().for_each(|item| item.write(w));
                    }
                }
            }
        }

        /// The operations whose payloads are read and written here, in the order of their
        /// numbers; what of it a server offers is up to the server.
        pub const READ_HERE: &[Operation] = &[$(Operation::$constant,)*];
    };
}

operations! {
    Create: CREATE, CreateRequest => CreateResponse;
    Register: REGISTER, RegisterRequest => RegisterResponse;
    Locate: LOCATE, LocateRequest => LocateResponse;
    Get: GET, GetRequest => GetResponse;
    GetAttributes: GET_ATTRIBUTES, GetAttributesRequest => GetAttributesResponse;
    GetAttributeList: GET_ATTRIBUTE_LIST, GetAttributeListRequest => GetAttributeListResponse;
    AddAttribute: ADD_ATTRIBUTE, AddAttributeRequest => AddAttributeResponse;
    ModifyAttribute: MODIFY_ATTRIBUTE, ModifyAttributeRequest => ModifyAttributeResponse;
    DeleteAttribute: DELETE_ATTRIBUTE, DeleteAttributeRequest => DeleteAttributeResponse;
    Activate: ACTIVATE, ActivateRequest => IdentifierResponse;
    Revoke: REVOKE, RevokeRequest => IdentifierResponse;
    Destroy: DESTROY, DestroyRequest => IdentifierResponse;
    Query: QUERY, QueryRequest => QueryResponse;
    DiscoverVersions: DISCOVER_VERSIONS, DiscoverVersionsRequest => DiscoverVersionsResponse;
    SetAttribute: SET_ATTRIBUTE, SetAttributeRequest => IdentifierResponse;
}

/// The operations that set the ID Placeholder, each with the form of Unique Identifier that
/// points to its result since 2.0 (KMIP 1.4 §4, KMIP 2.1 §11.62).
const PLACEHOLDER_SETTERS: [(Operation, UniqueIdentifierForm); 11] = [
    (Operation::CREATE, UniqueIdentifierForm::CREATE),
    (
        Operation::CREATE_KEY_PAIR,
        UniqueIdentifierForm::CREATE_KEY_PAIR,
    ),
    (Operation::REGISTER, UniqueIdentifierForm::REGISTER),
    (Operation::RE_KEY, UniqueIdentifierForm::RE_KEY),
    (Operation::DERIVE_KEY, UniqueIdentifierForm::DERIVE_KEY),
    (Operation::CERTIFY, UniqueIdentifierForm::CERTIFY),
    (Operation::RE_CERTIFY, UniqueIdentifierForm::RE_CERTIFY),
    (Operation::LOCATE, UniqueIdentifierForm::LOCATE),
    (
        Operation::RE_KEY_KEY_PAIR,
        UniqueIdentifierForm::RE_KEY_KEY_PAIR,
    ),
    (
        Operation::CREATE_SPLIT_KEY,
        UniqueIdentifierForm::CREATE_SPLIT_KEY,
    ),
    (
        Operation::JOIN_SPLIT_KEY,
        UniqueIdentifierForm::JOIN_SPLIT_KEY,
    ),
];

/// Whether a successful operation sets the ID Placeholder of its batch.
#[must_use]
pub fn sets_placeholder(operation: Operation) -> bool {
    PLACEHOLDER_SETTERS.iter().any(|row| row.0 == operation)
}

impl Context<'_> {
    /// Reads Unique Identifier in a request. `None` is the ID Placeholder: a field left out, the
    /// value ID Placeholder of 2.x, and a 2.x reference to the last item of the batch that sets
    /// the placeholder, by operation or by number, which is the same thing.
    pub(crate) fn identifier(&self, field: &Field<'_>) -> Result<Option<String>, Failure> {
        if field.item_type == ItemType::TextString || self.version.names_attributes() {
            return Ok(Some(field.text()?.to_owned()));
        }
        let same = match field.item_type {
            ItemType::Enumeration => {
                let form = UniqueIdentifierForm(field.enumeration()?);
                form == UniqueIdentifierForm::ID_PLACEHOLDER
                    || self.placeholder.is_some_and(|(operation, _)| {
                        PLACEHOLDER_SETTERS.contains(&(operation, form))
                    })
            }
            ItemType::Integer => {
                let item = field.integer()?;
                self.placeholder.is_some_and(|(_, index)| index == item)
            }
            _ => return Ok(Some(field.text()?.to_owned())),
        };
        if same {
            return Ok(None);
        }
        Err(Failure::new(
            ResultReason::FEATURE_NOT_SUPPORTED,
            "A Unique Identifier that is no text can only mean the result of the last item of \
             the batch that made or located an object; send the identifier as text.",
        ))
    }
}

/// A request that has nothing but Unique Identifier.
fn read_only_identifier(items: Items<'_>, with: &Context<'_>) -> Result<Option<String>, Failure> {
    let parent = items.parent();
    let mut identifier = None;
    for field in items {
        let field = field?;
        match field.tag {
            Tag::UNIQUE_IDENTIFIER => once(&mut identifier, &field, with.identifier(&field)?)?,
            _ => return Err(unexpected(&field, parent).into()),
        }
    }
    Ok(identifier.flatten())
}

/// Where a payload begins, for errors about fields it lacks.
fn place(items: &Items<'_>) -> (Tag, usize) {
    (items.parent(), items.offset())
}

/// Unique Identifier in a response, which is always a text.
fn required_identifier(slot: Option<String>, place: (Tag, usize)) -> Result<String, Malformed> {
    required(slot, Tag::UNIQUE_IDENTIFIER, place)
}
