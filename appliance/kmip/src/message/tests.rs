//! Messages as real clients send them, and what is said about wrong ones.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use super::*;
use crate::attributes::{Attribute, AttributeName, Template};
use crate::enumerations::{ObjectType, QueryFunction};
use crate::objects::{KeyBlock, Object};
use crate::operations::{
    ActivateRequest, AddAttributeRequest, AddAttributeResponse, AttributeToDelete, CreateRequest,
    DeleteAttributeRequest, GetAttributesRequest, GetAttributesResponse, GetRequest, GetResponse,
    IdentifierResponse, LocateRequest, QueryRequest, QueryResponse,
};
use crate::ttlv::{Item, Value};

fn limits() -> Limits {
    Limits::default()
}

fn text(tag: Tag, value: &str) -> Item {
    Item::new(tag, Value::Text(value.to_owned()))
}

fn integer(tag: Tag, value: i32) -> Item {
    Item::new(tag, Value::Integer(value))
}

fn enumeration(tag: Tag, value: u32) -> Item {
    Item::new(tag, Value::Enumeration(value))
}

fn structure(tag: Tag, items: Vec<Item>) -> Item {
    Item::new(tag, Value::Structure(items))
}

fn header(version: ProtocolVersion, count: i32, more: Vec<Item>) -> Item {
    let mut items = vec![structure(
        Tag::PROTOCOL_VERSION,
        vec![
            integer(Tag::PROTOCOL_VERSION_MAJOR, version.major),
            integer(Tag::PROTOCOL_VERSION_MINOR, version.minor),
        ],
    )];
    items.extend(more);
    items.push(integer(Tag::BATCH_COUNT, count));
    structure(Tag::REQUEST_HEADER, items)
}

fn item(operation: Operation, payload: Vec<Item>) -> Item {
    let operation = enumeration(Tag::OPERATION, operation.0);
    structure(
        Tag::BATCH_ITEM,
        vec![operation, structure(Tag::REQUEST_PAYLOAD, payload)],
    )
}

fn bytes_of(parts: Vec<Item>) -> Vec<u8> {
    let mut out = Vec::new();
    structure(Tag::REQUEST_MESSAGE, parts).write(&mut Writer::new(&mut out));
    out
}

fn request(version: ProtocolVersion, items: Vec<Item>) -> Result<Request, RequestError> {
    let count = i32::try_from(items.len()).unwrap();
    let mut parts = vec![header(version, count, Vec::new())];
    parts.extend(items);
    Request::decode(&bytes_of(parts), &limits())
}

/// The one payload of a request that decodes.
fn payload(
    version: ProtocolVersion,
    operation: Operation,
    fields: Vec<Item>,
) -> Result<RequestPayload, ItemError> {
    request(version, vec![item(operation, fields)])
        .unwrap()
        .items
        .remove(0)
        .payload
}

fn response(version: ProtocolVersion, payload: ResponsePayload) -> Response {
    let operation = Some(payload.operation());
    let item = ResponseItem {
        operation,
        id: Some(vec![1]),
        result: Ok(payload),
    };
    Response {
        version,
        time_stamp: 1_700_000_000,
        client_correlation_value: Some("c-1".to_owned()),
        server_correlation_value: Some("s-1".to_owned()),
        items: vec![item],
    }
}

/// What a client of this version makes of a response.
fn seen(response: &Response) -> Response {
    let mut out = Vec::new();
    response.encode(&mut out);
    Response::decode(&out, &limits()).unwrap()
}

/// The fields of a response that the bytes contain, at any depth.
fn tags(bytes: &[u8]) -> Vec<Tag> {
    fn walk(value: &Value, found: &mut Vec<Tag>) {
        for item in value.as_structure().unwrap_or_default() {
            found.push(item.tag);
            walk(&item.value, found);
        }
    }
    let mut found = Vec::new();
    let root = ttlv::check(bytes, &limits()).unwrap();
    walk(&Value::read(&root).unwrap(), &mut found);
    found
}

#[test]
fn an_unsupported_version_is_answered_in_one_the_client_reads() {
    for (asked, answer, reason) in [
        (
            ProtocolVersion::new(1, 5),
            ProtocolVersion::V1_4,
            ResultReason::INVALID_MESSAGE,
        ),
        (
            ProtocolVersion::new(0, 9),
            ProtocolVersion::V1_0,
            ResultReason::INVALID_MESSAGE,
        ),
        (
            ProtocolVersion::new(3, 0),
            ProtocolVersion::V2_1,
            ResultReason::UNSUPPORTED_PROTOCOL_VERSION,
        ),
    ] {
        // The rest of the header and the batch may be of any form: they are not looked at.
        let error = request(asked, vec![structure(Tag(0x540001), Vec::new())]).unwrap_err();
        assert_eq!(error, RequestError::UnsupportedVersion { requested: asked });
        let answered = seen(&error.answer(7));
        assert_eq!((answered.version, answered.time_stamp), (answer, 7));
        assert_eq!(answered.items[0].operation, None);
        assert_eq!(
            answered.items[0].result.as_ref().unwrap_err().reason,
            reason
        );
    }
}

#[test]
fn what_cannot_be_read_is_answered_as_invalid_message() {
    let error = Request::decode(b"GET / HTTP/1.1\r\n", &limits()).unwrap_err();
    let answered = seen(&error.answer(0));
    let failure = answered.items[0].result.as_ref().unwrap_err();
    assert_eq!(failure.reason, ResultReason::INVALID_MESSAGE);
    assert!(
        failure
            .message
            .starts_with("The request is malformed at byte 0:"),
        "{failure}"
    );
    let count = header(ProtocolVersion::V2_0, 2, Vec::new());
    let one = item(Operation::ACTIVATE, Vec::new());
    let error = Request::decode(&bytes_of(vec![count, one]), &limits()).unwrap_err();
    assert_eq!(error.version(), ProtocolVersion::V2_0);
}

#[test]
fn headers_are_held_to_their_fields() {
    let get = || item(Operation::GET, Vec::new());
    let with = |fields| {
        Request::decode(
            &bytes_of(vec![header(ProtocolVersion::V1_4, 1, fields), get()]),
            &limits(),
        )
    };
    assert!(with(Vec::new()).is_ok());
    let twice = vec![
        integer(Tag::MAXIMUM_RESPONSE_SIZE, 1),
        integer(Tag::MAXIMUM_RESPONSE_SIZE, 1),
    ];
    assert!(with(twice).is_err());
    assert!(with(vec![integer(Tag::KEY_FORMAT_TYPE, 1)]).is_err());
    assert!(with(vec![text(Tag::MAXIMUM_RESPONSE_SIZE, "1")]).is_err());
    let second = structure(Tag::PROTOCOL_VERSION, Vec::new());
    assert!(with(vec![second]).is_err());
    for count in [-1, 0, 2] {
        let parts = vec![header(ProtocolVersion::V1_4, count, Vec::new()), get()];
        assert!(
            Request::decode(&bytes_of(parts), &limits()).is_err(),
            "count {count}"
        );
    }
    let empty = vec![header(ProtocolVersion::V1_4, 0, Vec::new())];
    assert!(Request::decode(&bytes_of(empty), &limits()).is_err());
    assert!(Request::decode(&bytes_of(vec![get()]), &limits()).is_err());
}

#[test]
fn a_fault_in_one_item_leaves_the_others() {
    let items = vec![
        item(Operation::GET, vec![text(Tag::UNIQUE_IDENTIFIER, "1")]),
        item(Operation::GET, vec![integer(Tag::UNIQUE_IDENTIFIER, 1)]),
        item(Operation::CREATE, Vec::new()),
        item(Operation::LOCATE, vec![integer(Tag::LEASE_TIME, 1)]),
        item(Operation::ENCRYPT, vec![integer(Tag(0x777777), 1)]),
        item(Operation(0x77), Vec::new()),
    ];
    let request = request(ProtocolVersion::V1_2, items).unwrap();
    let reasons: Vec<_> = request
        .items
        .iter()
        .map(|item| item.payload.as_ref().err().map(|e| e.reason))
        .collect();
    let expected = [
        None,
        Some(ResultReason::INVALID_DATA_TYPE),
        Some(ResultReason::MISSING_DATA),
        Some(ResultReason::INVALID_FIELD),
        None,
        None,
    ];
    assert_eq!(reasons, expected);
    let unsupported = RequestPayload::Unsupported {
        operation: Operation(0x77),
    };
    assert_eq!(request.items[5].payload, Ok(unsupported));
}

#[test]
fn message_extensions_matter_only_when_critical() {
    let extended = |critical| {
        let mut whole = item(Operation::GET, Vec::new());
        let extension = structure(
            Tag::MESSAGE_EXTENSION,
            vec![
                text(Tag::VENDOR_IDENTIFICATION, "acme"),
                Item::new(Tag::CRITICALITY_INDICATOR, Value::Boolean(critical)),
                structure(Tag::VENDOR_EXTENSION, vec![integer(Tag(0x540001), 1)]),
            ],
        );
        if let Value::Structure(fields) = &mut whole.value {
            fields.push(extension);
        }
        request(ProtocolVersion::V1_1, vec![whole])
            .unwrap()
            .items
            .remove(0)
            .payload
    };
    assert_eq!(
        extended(false),
        Ok(RequestPayload::Get(GetRequest::default()))
    );
    assert_eq!(
        extended(true).unwrap_err().reason,
        ResultReason::FEATURE_NOT_SUPPORTED
    );
}

/// The batch that storage arrays send in 1.0: Locate with custom attributes, then Get without an
/// identifier, with a user's name and password.
#[test]
fn a_batch_with_the_placeholder_and_a_password() {
    let credential = structure(
        Tag::AUTHENTICATION,
        vec![structure(
            Tag::CREDENTIAL,
            vec![
                enumeration(Tag::CREDENTIAL_TYPE, 1),
                structure(
                    Tag::CREDENTIAL_VALUE,
                    vec![text(Tag::USERNAME, "array"), text(Tag::PASSWORD, "secret")],
                ),
            ],
        )],
    );
    let attribute = structure(
        Tag::ATTRIBUTE,
        vec![
            text(Tag::ATTRIBUTE_NAME, "x-NETAPP-ClusterId"),
            text(Tag::ATTRIBUTE_VALUE, "8f0c"),
        ],
    );
    let parts = vec![
        header(ProtocolVersion::V1_0, 2, vec![credential]),
        item(
            Operation::LOCATE,
            vec![integer(Tag::MAXIMUM_ITEMS, 1), attribute],
        ),
        item(Operation::GET, Vec::new()),
    ];
    let request = Request::decode(&bytes_of(parts), &limits()).unwrap();
    assert_eq!(
        request.header.credentials,
        [Credential::password("array", "secret")]
    );
    assert!(
        !format!("{request:?}").contains("secret\""),
        "a password was printed"
    );
    let Ok(RequestPayload::Locate(locate)) = &request.items[0].payload else {
        panic!("{:?}", request.items[0]);
    };
    assert_eq!(
        locate.attributes,
        [Attribute::custom("NETAPP-ClusterId", "8f0c")]
    );
    assert_eq!(
        request.items[1].payload,
        Ok(RequestPayload::Get(GetRequest::default()))
    );
}

#[test]
fn forms_of_the_identifier_in_2_x_become_the_placeholder() {
    let form = |form| enumeration(Tag::UNIQUE_IDENTIFIER, form);
    let activate = |identifier| item(Operation::ACTIVATE, vec![identifier]);
    let create = item(Operation::LOCATE, Vec::new());
    let items = vec![
        create,
        activate(form(1)),
        activate(form(0x0B)),
        activate(form(3)),
        activate(integer(Tag::UNIQUE_IDENTIFIER, 0)),
        activate(integer(Tag::UNIQUE_IDENTIFIER, 1)),
        activate(text(Tag::UNIQUE_IDENTIFIER, "7")),
    ];
    let request = request(ProtocolVersion::V2_1, items).unwrap();
    let of = |unique_identifier: Option<&str>| {
        let unique_identifier = unique_identifier.map(str::to_owned);
        RequestPayload::Activate(ActivateRequest { unique_identifier })
    };
    let payload = |at: usize| request.items[at].payload.as_ref();
    assert_eq!(payload(1), Ok(&of(None)));
    assert_eq!(payload(2), Ok(&of(None)));
    assert_eq!(
        payload(3).unwrap_err().reason,
        ResultReason::FEATURE_NOT_SUPPORTED
    );
    assert_eq!(payload(4), Ok(&of(None)));
    assert_eq!(
        payload(5).unwrap_err().reason,
        ResultReason::FEATURE_NOT_SUPPORTED
    );
    assert_eq!(payload(6), Ok(&of(Some("7"))));
}

#[test]
fn both_forms_of_deleting_become_one() {
    let delete = |version, fields| payload(version, Operation::DELETE_ATTRIBUTE, fields);
    let named = |name, index| {
        let attribute = AttributeToDelete::Named { name, index };
        let request = DeleteAttributeRequest {
            unique_identifier: None,
            attribute,
        };
        Ok(RequestPayload::DeleteAttribute(request))
    };
    let fields = vec![
        text(Tag::ATTRIBUTE_NAME, "x-ID"),
        integer(Tag::ATTRIBUTE_INDEX, 2),
    ];
    let expected = named(AttributeName::custom("ID"), Some(2));
    assert_eq!(delete(ProtocolVersion::V1_4, fields), expected);
    let fields = vec![enumeration(Tag::ATTRIBUTE_REFERENCE, Tag::STATE.0)];
    let expected = named(AttributeName::Standard(Tag::STATE), None);
    assert_eq!(delete(ProtocolVersion::V2_0, fields), expected);
    let reference = vec![
        text(Tag::VENDOR_IDENTIFICATION, "acme"),
        text(Tag::ATTRIBUTE_NAME, "n"),
    ];
    let fields = vec![structure(Tag::ATTRIBUTE_REFERENCE, reference)];
    let name = AttributeName::Vendor {
        vendor: "acme".to_owned(),
        name: "n".to_owned(),
    };
    assert_eq!(delete(ProtocolVersion::V2_1, fields), named(name, None));
    let negative = vec![
        text(Tag::ATTRIBUTE_NAME, "x-ID"),
        integer(Tag::ATTRIBUTE_INDEX, -1),
    ];
    assert!(delete(ProtocolVersion::V1_4, negative).is_err());
    assert!(delete(ProtocolVersion::V2_1, Vec::new()).is_err());
}

#[test]
fn attributes_are_held_to_the_table() {
    let named = |name: &str, value: Value| {
        let fields = vec![
            text(Tag::ATTRIBUTE_NAME, name),
            Item::new(Tag::ATTRIBUTE_VALUE, value),
        ];
        let fields = vec![structure(Tag::ATTRIBUTE, fields)];
        payload(ProtocolVersion::V1_0, Operation::ADD_ATTRIBUTE, fields).map_err(|e| e.reason)
    };
    assert!(named("Cryptographic Length", Value::Integer(256)).is_ok());
    let wrong = named("Cryptographic Length", Value::Enumeration(256));
    assert_eq!(wrong, Err(ResultReason::INVALID_DATA_TYPE));
    let unknown = named("Cryptographic Size", Value::Integer(256));
    assert_eq!(unknown, Err(ResultReason::UNSUPPORTED_ATTRIBUTE));
    let tagged = |field| {
        let fields = vec![structure(Tag::NEW_ATTRIBUTE, vec![field])];
        payload(ProtocolVersion::V2_0, Operation::ADD_ATTRIBUTE, fields).map_err(|e| e.reason)
    };
    assert!(tagged(integer(Tag::CRYPTOGRAPHIC_LENGTH, 256)).is_ok());
    assert!(tagged(text(Tag::CRYPTOGRAPHIC_LENGTH, "256")).is_err());
    let no_attribute = tagged(integer(Tag::BATCH_COUNT, 1));
    assert_eq!(no_attribute, Err(ResultReason::UNSUPPORTED_ATTRIBUTE));
}

#[test]
fn limits_on_batches_and_attributes() {
    let get = || item(Operation::GET, Vec::new());
    let many = |n| request(ProtocolVersion::V1_4, (0..n).map(|_| get()).collect());
    assert_eq!(many(256).unwrap().items.len(), 256);
    assert!(
        many(257)
            .unwrap_err()
            .to_string()
            .contains("more than 256 batch items")
    );
    let names = |n| {
        let name = || text(Tag::ATTRIBUTE_NAME, "State");
        let fields = (0..n).map(|_| name()).collect();
        payload(ProtocolVersion::V1_4, Operation::GET_ATTRIBUTES, fields)
    };
    assert!(names(256).is_ok());
    assert_eq!(
        names(257).unwrap_err().reason,
        ResultReason::INVALID_MESSAGE
    );
}

#[test]
fn a_client_of_1_0_sees_nothing_newer() {
    let query = QueryResponse {
        operations: vec![
            Operation::CREATE,
            Operation::DISCOVER_VERSIONS,
            Operation::SET_ATTRIBUTE,
        ],
        object_types: vec![ObjectType::SYMMETRIC_KEY, ObjectType::PGP_KEY],
        vendor_identification: Some("v".to_owned()),
        server_information: Some(vec![text(Tag::SERVER_NAME, "s"), text(Tag(0x540001), "x")]),
        application_namespaces: Vec::new(),
        further: vec![enumeration(Tag::ATTESTATION_TYPE, 1)],
    };
    let old = seen(&response(
        ProtocolVersion::V1_0,
        ResponsePayload::Query(query),
    ));
    assert_eq!(
        (&old.client_correlation_value, &old.server_correlation_value),
        (&None, &None)
    );
    let Ok(ResponsePayload::Query(query)) = &old.items[0].result else {
        panic!("{old:?}")
    };
    assert_eq!(query.operations, [Operation::CREATE]);
    assert_eq!(query.object_types, [ObjectType::SYMMETRIC_KEY]);
    assert_eq!(
        query.server_information,
        Some(vec![text(Tag(0x540001), "x")])
    );
    assert_eq!(query.further, []);
    let attributes = || {
        let vendor = AttributeName::Vendor {
            vendor: "acme".to_owned(),
            name: "n".to_owned(),
        };
        vec![
            Attribute::name("n"),
            Attribute::standard(Tag::FRESH, Value::Boolean(true)),
            Attribute {
                name: vendor,
                index: None,
                value: Value::Integer(1),
            },
            Attribute::standard(
                Tag::CRYPTOGRAPHIC_PARAMETERS,
                Value::Structure(vec![
                    enumeration(Tag::BLOCK_CIPHER_MODE, 1),
                    integer(Tag::TAG_LENGTH, 12),
                ]),
            ),
        ]
    };
    let answer = |version| {
        let unique_identifier = "1".to_owned();
        let payload = GetAttributesResponse {
            unique_identifier,
            attributes: attributes(),
        };
        let mut out = Vec::new();
        response(version, ResponsePayload::GetAttributes(payload)).encode(&mut out);
        out
    };
    for version in ProtocolVersion::SUPPORTED {
        for tag in tags(&answer(version)) {
            assert!(tag.is_known_to(version), "{version} was told of {tag}");
        }
    }
    let full = Response::decode(&answer(ProtocolVersion::V2_1), &limits()).unwrap();
    let Ok(ResponsePayload::GetAttributes(full)) = &full.items[0].result else {
        panic!()
    };
    assert_eq!(full.attributes, attributes());
}

#[test]
fn an_added_attribute_is_told_to_1_x_only() {
    let added = || {
        let attribute = Some(Attribute::custom("n", "v"));
        let payload = AddAttributeResponse {
            unique_identifier: "1".to_owned(),
            attribute,
        };
        ResponsePayload::AddAttribute(payload)
    };
    let old = seen(&response(ProtocolVersion::V1_4, added()));
    assert_eq!(old.items[0].result, Ok(added()));
    let new = seen(&response(ProtocolVersion::V2_0, added()));
    let Ok(ResponsePayload::AddAttribute(new)) = &new.items[0].result else {
        panic!("{new:?}")
    };
    assert_eq!(new.attribute, None);
}

/// A client of 1.4 that names an attribute of 2.0 is told of that one, and of no other.
#[test]
fn an_attribute_that_the_client_named_is_told_to_it() {
    let newer = || Attribute::standard(Tag::KEY_FORMAT_TYPE, Value::Enumeration(1));
    let payload = ResponsePayload::AddAttribute(AddAttributeResponse {
        unique_identifier: "1".to_owned(),
        attribute: Some(newer()),
    });
    let told = seen(&response(ProtocolVersion::V1_4, payload));
    let Ok(ResponsePayload::AddAttribute(told)) = &told.items[0].result else {
        panic!()
    };
    assert_eq!(told.attribute, Some(newer()));
    let (unique_identifier, attributes) = ("1".to_owned(), vec![newer()]);
    let payload = GetAttributesResponse {
        unique_identifier,
        attributes,
    };
    let told = seen(&response(
        ProtocolVersion::V1_4,
        ResponsePayload::GetAttributes(payload),
    ));
    let Ok(ResponsePayload::GetAttributes(told)) = &told.items[0].result else {
        panic!()
    };
    assert_eq!(told.attributes, []);
}

#[test]
fn both_forms_of_each_attribute_operation() {
    let attribute = || Attribute::custom("n", "v");
    for version in ProtocolVersion::SUPPORTED {
        for payload in [
            RequestPayload::AddAttribute(AddAttributeRequest {
                unique_identifier: None,
                attribute: attribute(),
            }),
            RequestPayload::GetAttributes(GetAttributesRequest {
                unique_identifier: Some("1".to_owned()),
                names: vec![
                    AttributeName::Standard(Tag::STATE),
                    AttributeName::custom("n"),
                ],
            }),
            RequestPayload::Locate(LocateRequest {
                attributes: vec![Attribute::name("k"), attribute()],
                ..LocateRequest::default()
            }),
            RequestPayload::Create(CreateRequest {
                object_type: ObjectType::SYMMETRIC_KEY,
                template: Template::of(vec![attribute()]),
                protection_storage_masks: Vec::new(),
            }),
            RequestPayload::Query(QueryRequest {
                functions: vec![QueryFunction(1)],
            }),
        ] {
            let request = Request::of(version, payload);
            let mut out = Vec::new();
            request.encode(&mut out);
            assert_eq!(Request::decode(&out, &limits()), Ok(request), "{version}");
            for tag in tags(&out) {
                assert!(tag.is_known_to(version), "{version} was told of {tag}");
            }
        }
    }
}

#[test]
fn a_transparent_symmetric_key_becomes_its_bytes() {
    let key = structure(
        Tag::KEY_MATERIAL,
        vec![Item::new(Tag::KEY, Value::Bytes(vec![7; 16]))],
    );
    let block = |material| {
        let fields = vec![
            enumeration(Tag::KEY_FORMAT_TYPE, 7),
            structure(Tag::KEY_VALUE, vec![material]),
        ];
        let key = structure(Tag::SYMMETRIC_KEY, vec![structure(Tag::KEY_BLOCK, fields)]);
        let template = structure(Tag::TEMPLATE_ATTRIBUTE, Vec::new());
        let fields = vec![enumeration(Tag::OBJECT_TYPE, 2), template, key];
        payload(ProtocolVersion::V1_2, Operation::REGISTER, fields)
    };
    let Ok(RequestPayload::Register(register)) = block(key) else {
        panic!()
    };
    let Object::SymmetricKey(found) = &register.object else {
        panic!()
    };
    let mut expected = KeyBlock::raw(vec![7; 16].into(), None, None);
    expected.format = crate::enumerations::KeyFormatType::TRANSPARENT_SYMMETRIC_KEY;
    assert_eq!(*found, expected);
    assert!(block(Item::new(Tag::KEY_MATERIAL, Value::Bytes(vec![7; 16]))).is_err());
    assert!(block(structure(Tag::KEY_MATERIAL, Vec::new())).is_err());
}

#[test]
fn the_declared_type_must_be_that_of_the_object() {
    let certificate = structure(
        Tag::CERTIFICATE,
        vec![
            enumeration(Tag::CERTIFICATE_TYPE, 1),
            Item::new(Tag::CERTIFICATE_VALUE, Value::Bytes(vec![0x30])),
        ],
    );
    let register = |declared| {
        let fields = vec![
            enumeration(Tag::OBJECT_TYPE, declared),
            structure(Tag::ATTRIBUTES, Vec::new()),
            certificate.clone(),
        ];
        payload(ProtocolVersion::V2_1, Operation::REGISTER, fields).map_err(|e| e.reason)
    };
    assert!(register(1).is_ok());
    assert_eq!(register(2), Err(ResultReason::INVALID_FIELD));
}

#[test]
fn nothing_prints_key_material() {
    let material = vec![0xAB; 16];
    let block = KeyBlock::raw(material.into(), None, Some(128));
    let object = Object::SymmetricKey(block);
    let payload = GetResponse {
        unique_identifier: "1".to_owned(),
        object,
    };
    let printed = format!(
        "{:?}",
        response(ProtocolVersion::V1_4, ResponsePayload::Get(payload))
    );
    assert!(printed.contains("16 secret bytes"), "{printed}");
    assert!(
        !printed.contains("171") && !printed.to_lowercase().contains("abab"),
        "{printed}"
    );
}

#[test]
fn pending_and_undone_are_no_success() {
    let payload = IdentifierResponse {
        unique_identifier: "1".to_owned(),
    };
    let mut out = Vec::new();
    response(ProtocolVersion::V1_4, ResponsePayload::Activate(payload)).encode(&mut out);
    let at = out
        .windows(4)
        .position(|bytes| bytes == [0x42, 0x00, 0x7F, 0x05])
        .unwrap();
    for (status, sound) in [(0, true), (2, false), (3, false)] {
        out[at + 11] = status;
        assert_eq!(
            Response::decode(&out, &limits()).is_ok(),
            sound,
            "status {status}"
        );
    }
}
