//! KMIP messages as our own encoder writes them, one per operation and version: what the fuzzer
//! begins with.

use kmip::attributes::Template;
use kmip::enumerations::{RevocationReasonCode, SecretDataType};
use kmip::operations::{
    ActivateRequest, AddAttributeRequest, AttributeToDelete, CreateRequest, DeleteAttributeRequest,
    DestroyRequest, DiscoverVersionsRequest, GetAttributeListRequest, GetAttributesRequest,
    GetRequest, GetResponse, LocateRequest, LocateResponse, ModifyAttributeRequest, QueryRequest,
    RegisterRequest, RevokeRequest, SetAttributeRequest,
};
use kmip::{
    Attribute, AttributeName, Credential, CryptographicAlgorithm, Failure, KeyBlock, Object,
    ObjectType, ProtocolVersion, Request, RequestItem, RequestPayload, Response, ResponseItem,
    ResponsePayload, ResultReason, SecretBytes, Tag, Value,
};

const UID: &str = "0192aaaa-0000-7000-8000-000000000001";

fn uid() -> Option<String> {
    Some(UID.to_owned())
}

fn aes_key() -> KeyBlock {
    let material = SecretBytes::copy_of(&[7; 32]);
    KeyBlock::raw(material, Some(CryptographicAlgorithm::AES), Some(256))
}

fn attributes() -> Vec<Attribute> {
    vec![
        Attribute::standard(Tag::CRYPTOGRAPHIC_ALGORITHM, Value::Enumeration(3)),
        Attribute::standard(Tag::CRYPTOGRAPHIC_LENGTH, Value::Integer(256)),
        Attribute::standard(Tag::CRYPTOGRAPHIC_USAGE_MASK, Value::Integer(12)),
        Attribute::name("payroll"),
        Attribute::custom("Owner", "blue team"),
    ]
}

fn objects() -> Vec<(ObjectType, Object)> {
    let secret = Object::SecretData {
        data_type: SecretDataType::PASSWORD,
        key_block: aes_key(),
    };
    let certificate = Object::Certificate {
        certificate_type: kmip::enumerations::CertificateType::X_509,
        value: vec![0x30, 0x03, 0x02, 0x01, 0x00],
    };
    vec![
        (ObjectType::SYMMETRIC_KEY, Object::SymmetricKey(aes_key())),
        (ObjectType::SECRET_DATA, secret),
        (ObjectType::CERTIFICATE, certificate),
    ]
}

/// One payload of every operation that changes or reads something.
fn payloads() -> Vec<RequestPayload> {
    let attribute = || Attribute::custom("Owner", "red team");
    let name = || AttributeName::custom("Owner");
    let mut payloads = vec![
        RequestPayload::DiscoverVersions(DiscoverVersionsRequest {
            versions: ProtocolVersion::SUPPORTED.to_vec(),
        }),
        RequestPayload::Query(QueryRequest::default()),
        RequestPayload::Create(CreateRequest {
            object_type: ObjectType::SYMMETRIC_KEY,
            template: Template::of(attributes()),
            protection_storage_masks: Vec::new(),
        }),
        RequestPayload::Get(GetRequest {
            unique_identifier: uid(),
            ..GetRequest::default()
        }),
        RequestPayload::GetAttributes(GetAttributesRequest {
            unique_identifier: uid(),
            names: vec![name(), AttributeName::Standard(Tag::STATE)],
        }),
        RequestPayload::GetAttributeList(GetAttributeListRequest {
            unique_identifier: None,
        }),
        RequestPayload::AddAttribute(AddAttributeRequest {
            unique_identifier: uid(),
            attribute: attribute(),
        }),
        RequestPayload::ModifyAttribute(ModifyAttributeRequest {
            unique_identifier: uid(),
            current: Some(Attribute::custom("Owner", "blue team")),
            new: attribute(),
        }),
        RequestPayload::SetAttribute(SetAttributeRequest {
            unique_identifier: uid(),
            attribute: attribute(),
        }),
        RequestPayload::DeleteAttribute(DeleteAttributeRequest {
            unique_identifier: uid(),
            attribute: AttributeToDelete::Named {
                name: name(),
                index: Some(1),
            },
        }),
        RequestPayload::Locate(LocateRequest {
            maximum_items: Some(10),
            attributes: attributes(),
            ..LocateRequest::default()
        }),
        RequestPayload::Activate(ActivateRequest {
            unique_identifier: uid(),
        }),
        RequestPayload::Revoke(RevokeRequest {
            unique_identifier: uid(),
            reason: RevocationReasonCode::KEY_COMPROMISE,
            message: Some("found in a repository".to_owned()),
            compromise_occurrence_date: Some(1_700_000_000),
        }),
        RequestPayload::Destroy(DestroyRequest {
            unique_identifier: uid(),
        }),
    ];
    payloads.extend(objects().into_iter().map(|(_, object)| {
        RequestPayload::Register(RegisterRequest {
            object,
            template: Template::of(attributes()),
            protection_storage_masks: Vec::new(),
        })
    }));
    payloads
}

fn responses(version: ProtocolVersion) -> Vec<Response> {
    let answer = |result| Response {
        version,
        time_stamp: 1_700_000_000,
        client_correlation_value: Some("c-1".to_owned()),
        server_correlation_value: None,
        items: vec![ResponseItem {
            operation: None,
            id: Some(vec![1]),
            result,
        }],
    };
    let mut responses = vec![
        answer(Err(Failure::new(
            ResultReason::ITEM_NOT_FOUND,
            "No such object.".to_owned(),
        ))),
        answer(Ok(ResponsePayload::Locate(LocateResponse {
            located_items: Some(1),
            unique_identifiers: vec![UID.to_owned()],
        }))),
    ];
    responses.extend(objects().into_iter().map(|(_, object)| {
        let found = GetResponse {
            unique_identifier: UID.to_owned(),
            object,
        };
        answer(Ok(ResponsePayload::Get(found)))
    }));
    responses
}

/// Encoded messages: every operation alone in the oldest and the newest version of each form of
/// attributes, one batch of all, and answers.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    let mut push = |encode: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = Vec::new();
        encode(&mut bytes);
        seeds.push(bytes);
    };
    for version in [
        ProtocolVersion::V1_0,
        ProtocolVersion::V1_4,
        ProtocolVersion::V2_1,
    ] {
        for payload in payloads() {
            let request = Request::of(version, payload);
            push(&|out| request.encode(out));
        }
        let mut batch = Request::of(version, payloads().swap_remove(0));
        batch
            .header
            .credentials
            .push(Credential::password("demo", "swordfish"));
        batch.header.maximum_response_size = Some(65_536);
        batch.items = payloads().into_iter().map(RequestItem::of).collect();
        for (n, item) in batch.items.iter_mut().enumerate() {
            item.id = Some(vec![n as u8]);
        }
        push(&|out| batch.encode(out));
        for response in responses(version) {
            push(&|out| response.encode(out));
        }
    }
    seeds
}
