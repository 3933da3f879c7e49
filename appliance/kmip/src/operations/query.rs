//! What a server can do: Query and Discover Versions (KMIP 1.4 §4.25 and §4.26, KMIP 2.1
//! §6.1.37 and §6.1.15).

use super::{Context, Payload, place};
use crate::enumerations::{ObjectType, Operation, QueryFunction};
use crate::failure::Failure;
use crate::tags::Tag;
use crate::ttlv::{Field, Item, Items, Malformed, Writer, once, push, required, unexpected};
use crate::version::ProtocolVersion;

/// At most this many Query Functions; the standard has 14.
const QUERY_FUNCTIONS_MAX: usize = 64;
/// At most this many versions in a Discover Versions; the standard has 8.
const VERSIONS_MAX: usize = 64;

/// Asks which of these versions the server speaks; for all it speaks if there are none.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct DiscoverVersionsRequest {
    pub versions: Vec<ProtocolVersion>,
}

/// The versions that the server speaks, the preferred one first.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct DiscoverVersionsResponse {
    pub versions: Vec<ProtocolVersion>,
}

/// Asks what the server can do.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct QueryRequest {
    pub functions: Vec<QueryFunction>,
}

/// What the server can do. Operations and types of objects that the version of the request does
/// not have are left out when this is written.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct QueryResponse {
    pub operations: Vec<Operation>,
    pub object_types: Vec<ObjectType>,
    pub vendor_identification: Option<String>,
    /// The fields of Server Information; 2.0 defines some, before it is up to the vendor.
    pub server_information: Option<Vec<Item>>,
    pub application_namespaces: Vec<String>,
    /// What follows, in the order of the specification: Extension Information, Attestation Type,
    /// RNG Parameters, Profile Information, Validation Information, Capability Information,
    /// Client Registration Method, Defaults Information, Protection Storage Masks.
    pub further: Vec<Item>,
}

/// The fields of [`QueryResponse::further`].
const FURTHER: [Tag; 9] = [
    Tag::EXTENSION_INFORMATION,
    Tag::ATTESTATION_TYPE,
    Tag::RNG_PARAMETERS,
    Tag::PROFILE_INFORMATION,
    Tag::VALIDATION_INFORMATION,
    Tag::CAPABILITY_INFORMATION,
    Tag::CLIENT_REGISTRATION_METHOD,
    Tag::DEFAULTS_INFORMATION,
    Tag::PROTECTION_STORAGE_MASKS,
];

/// Reads Protocol Version, here and in the headers of messages.
pub(crate) fn read_version(field: &Field<'_>) -> Result<ProtocolVersion, Malformed> {
    let (mut major, mut minor) = (None, None);
    for inner in field.items()? {
        let inner = inner?;
        match inner.tag {
            Tag::PROTOCOL_VERSION_MAJOR => once(&mut major, &inner, inner.integer()?)?,
            Tag::PROTOCOL_VERSION_MINOR => once(&mut minor, &inner, inner.integer()?)?,
            _ => return Err(unexpected(&inner, field.tag)),
        }
    }
    let place = (field.tag, field.offset);
    Ok(ProtocolVersion {
        major: required(major, Tag::PROTOCOL_VERSION_MAJOR, place)?,
        minor: required(minor, Tag::PROTOCOL_VERSION_MINOR, place)?,
    })
}

/// Writes Protocol Version.
pub(crate) fn write_version(version: ProtocolVersion, w: &mut Writer<'_>) {
    w.structure(Tag::PROTOCOL_VERSION, |w| {
        w.integer(Tag::PROTOCOL_VERSION_MAJOR, version.major);
        w.integer(Tag::PROTOCOL_VERSION_MINOR, version.minor);
    });
}

fn read_versions(items: Items<'_>) -> Result<Vec<ProtocolVersion>, Failure> {
    let parent = items.parent();
    let mut versions = Vec::new();
    for field in items {
        let field = field?;
        if field.tag != Tag::PROTOCOL_VERSION {
            return Err(unexpected(&field, parent).into());
        }
        let version = read_version(&field)?;
        push(
            &mut versions,
            &field,
            version,
            "protocol versions",
            VERSIONS_MAX,
        )?;
    }
    Ok(versions)
}

impl Payload for DiscoverVersionsRequest {
    fn read(items: Items<'_>, _: &Context<'_>) -> Result<Self, Failure> {
        Ok(DiscoverVersionsRequest {
            versions: read_versions(items)?,
        })
    }

    fn write(&self, w: &mut Writer<'_>, _: ProtocolVersion) {
        self.versions
            .iter()
            .for_each(|version| write_version(*version, w));
    }
}

impl Payload for DiscoverVersionsResponse {
    fn read(items: Items<'_>, _: &Context<'_>) -> Result<Self, Failure> {
        Ok(DiscoverVersionsResponse {
            versions: read_versions(items)?,
        })
    }

    fn write(&self, w: &mut Writer<'_>, _: ProtocolVersion) {
        self.versions
            .iter()
            .for_each(|version| write_version(*version, w));
    }
}

impl Payload for QueryRequest {
    fn read(items: Items<'_>, _: &Context<'_>) -> Result<Self, Failure> {
        let parent = items.parent();
        let mut functions = Vec::new();
        for field in items {
            let field = field?;
            if field.tag != Tag::QUERY_FUNCTION {
                return Err(unexpected(&field, parent).into());
            }
            let function = QueryFunction(field.enumeration()?);
            push(
                &mut functions,
                &field,
                function,
                "query functions",
                QUERY_FUNCTIONS_MAX,
            )?;
        }
        Ok(QueryRequest { functions })
    }

    fn write(&self, w: &mut Writer<'_>, _: ProtocolVersion) {
        for function in &self.functions {
            w.enumeration(Tag::QUERY_FUNCTION, function.0);
        }
    }
}

impl Payload for QueryResponse {
    fn read(items: Items<'_>, with: &Context<'_>) -> Result<Self, Failure> {
        let (parent, _) = place(&items);
        let limit = with.limits.items_per_structure;
        let mut response = QueryResponse::default();
        for field in items {
            let field = field?;
            match field.tag {
                Tag::OPERATION => {
                    let value = Operation(field.enumeration()?);
                    push(&mut response.operations, &field, value, "operations", limit)?;
                }
                Tag::OBJECT_TYPE => {
                    let value = ObjectType(field.enumeration()?);
                    push(
                        &mut response.object_types,
                        &field,
                        value,
                        "object types",
                        limit,
                    )?;
                }
                Tag::VENDOR_IDENTIFICATION => {
                    let value = field.text()?.to_owned();
                    once(&mut response.vendor_identification, &field, value)?;
                }
                Tag::SERVER_INFORMATION => {
                    let fields = field.items()?.map(|item| Item::read(&item?));
                    let fields = fields.collect::<Result<_, _>>()?;
                    once(&mut response.server_information, &field, fields)?;
                }
                Tag::APPLICATION_NAMESPACE => {
                    let (list, value) = (&mut response.application_namespaces, field.text()?);
                    push(
                        list,
                        &field,
                        value.to_owned(),
                        "application namespaces",
                        limit,
                    )?;
                }
                tag if FURTHER.contains(&tag) => response.further.push(Item::read(&field)?),
                _ => return Err(unexpected(&field, parent).into()),
            }
        }
        Ok(response)
    }

    fn write(&self, w: &mut Writer<'_>, version: ProtocolVersion) {
        for operation in self
            .operations
            .iter()
            .filter(|known| known.is_known_to(version))
        {
            w.enumeration(Tag::OPERATION, operation.0);
        }
        for object_type in self
            .object_types
            .iter()
            .filter(|known| known.is_known_to(version))
        {
            w.enumeration(Tag::OBJECT_TYPE, object_type.0);
        }
        w.optional_text(
            Tag::VENDOR_IDENTIFICATION,
            self.vendor_identification.as_deref(),
        );
        if let Some(fields) = &self.server_information {
            w.structure(Tag::SERVER_INFORMATION, |w| {
                fields
                    .iter()
                    .for_each(|field| field.write_known(w, version));
            });
        }
        for namespace in &self.application_namespaces {
            w.text(Tag::APPLICATION_NAMESPACE, namespace);
        }
        self.further
            .iter()
            .for_each(|item| item.write_known(w, version));
    }
}
