//! Arbitrary messages that a version can express completely: what such a message is decoded to
//! must be what was encoded.

use kmip::attributes::{STANDARD_ATTRIBUTES, Template};
use kmip::enumerations as e;
use kmip::operations::*;
use kmip::ttlv::ItemType;
use kmip::*;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

pub(crate) fn version() -> impl Strategy<Value = ProtocolVersion> {
    proptest::sample::select(ProtocolVersion::SUPPORTED.to_vec())
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[ -~]{0,20}", "\\PC{0,8}", Just("ключ-鍵".to_owned())]
}

fn secret() -> impl Strategy<Value = SecretBytes> {
    vec(any::<u8>(), 0..40).prop_map(SecretBytes::from)
}

/// Tags that every version knows, so that nothing is left out.
fn old_tag() -> impl Strategy<Value = Tag> {
    let old = Tag::all().filter(|tag| tag.is_known_to(ProtocolVersion::V1_0));
    proptest::sample::select(old.collect::<Vec<_>>())
}

fn leaf(item_type: ItemType) -> BoxedStrategy<Value> {
    match item_type {
        ItemType::Structure => Just(Value::Structure(Vec::new())).boxed(),
        ItemType::Integer => any::<i32>().prop_map(Value::Integer).boxed(),
        ItemType::LongInteger => any::<i64>().prop_map(Value::LongInteger).boxed(),
        ItemType::BigInteger => (1_usize..4)
            .prop_flat_map(|words| vec(any::<u8>(), words * 8))
            .prop_map(Value::BigInteger)
            .boxed(),
        ItemType::Enumeration => any::<u32>().prop_map(Value::Enumeration).boxed(),
        ItemType::Boolean => any::<bool>().prop_map(Value::Boolean).boxed(),
        ItemType::TextString => text().prop_map(Value::Text).boxed(),
        ItemType::ByteString => vec(any::<u8>(), 0..20).prop_map(Value::Bytes).boxed(),
        ItemType::DateTime => any::<i64>().prop_map(Value::DateTime).boxed(),
        ItemType::Interval => any::<u32>().prop_map(Value::Interval).boxed(),
        ItemType::DateTimeExtended => any::<i64>().prop_map(Value::DateTimeExtended).boxed(),
    }
}

fn any_leaf() -> BoxedStrategy<Value> {
    let types = (1_u8..=11).filter_map(ItemType::from_number);
    proptest::sample::select(types.collect::<Vec<_>>())
        .prop_flat_map(leaf)
        .boxed()
}

/// A value of any type, up to four levels deep.
pub(crate) fn value() -> BoxedStrategy<Value> {
    any_leaf()
        .prop_recursive(3, 24, 6, |inner| {
            items_of(inner.boxed()).prop_map(Value::Structure)
        })
        .boxed()
}

fn items_of(value: BoxedStrategy<Value>) -> BoxedStrategy<Vec<Item>> {
    vec(
        (old_tag(), value).prop_map(|(tag, value)| Item::new(tag, value)),
        0..5,
    )
    .boxed()
}

fn items() -> BoxedStrategy<Vec<Item>> {
    items_of(value())
}

fn secret_items() -> impl Strategy<Value = SecretItems> {
    items().prop_map(SecretItems::new)
}

fn value_of(item_type: ItemType) -> BoxedStrategy<Value> {
    match item_type {
        ItemType::Structure => items().prop_map(Value::Structure).boxed(),
        other => leaf(other),
    }
}

fn vendor_name(version: ProtocolVersion) -> BoxedStrategy<AttributeName> {
    let vendor = if version.names_attributes() {
        proptest::sample::select(std::vec!["x".to_owned(), "y".to_owned()]).boxed()
    } else {
        text().boxed()
    };
    (vendor, text())
        .prop_map(|(vendor, name)| AttributeName::Vendor { vendor, name })
        .boxed()
}

fn name(version: ProtocolVersion) -> BoxedStrategy<AttributeName> {
    let known: Vec<_> = STANDARD_ATTRIBUTES
        .iter()
        .filter(|r| r.is_known_to(version))
        .collect();
    let standard = proptest::sample::select(known).prop_map(|r| AttributeName::Standard(r.tag));
    prop_oneof![standard, vendor_name(version)].boxed()
}

/// Indices exist in 1.x only.
fn index(version: ProtocolVersion) -> BoxedStrategy<Option<u32>> {
    if version.names_attributes() {
        option::of(0..=i32::MAX.unsigned_abs()).boxed()
    } else {
        Just(None).boxed()
    }
}

pub(crate) fn attribute(version: ProtocolVersion) -> BoxedStrategy<Attribute> {
    let known: Vec<_> = STANDARD_ATTRIBUTES
        .iter()
        .filter(|r| r.is_known_to(version))
        .collect();
    let standard = proptest::sample::select(known).prop_flat_map(|row| {
        value_of(row.item_type).prop_map(|value| (AttributeName::Standard(row.tag), value))
    });
    let vendor = (vendor_name(version), value());
    (prop_oneof![standard, vendor], index(version))
        .prop_map(|((name, value), index)| Attribute { name, index, value })
        .boxed()
}

fn attributes(version: ProtocolVersion) -> BoxedStrategy<Vec<Attribute>> {
    vec(attribute(version), 0..5).boxed()
}

fn template(version: ProtocolVersion) -> BoxedStrategy<Template> {
    let most = if version.names_attributes() { 2 } else { 0 };
    let names = vec(items().prop_map(Value::Structure), 0..=most);
    (names, attributes(version))
        .prop_map(|(names, attributes)| Template { names, attributes })
        .boxed()
}

fn masks(version: ProtocolVersion) -> BoxedStrategy<Vec<i32>> {
    let most = if version.names_attributes() { 0 } else { 3 };
    vec(any::<i32>(), 0..=most).boxed()
}

fn key_value(version: ProtocolVersion) -> BoxedStrategy<(KeyFormatType, KeyValue)> {
    let format = any::<u32>().prop_map(KeyFormatType);
    let bytes = (format, secret(), attributes(version)).prop_map(|(format, bytes, attributes)| {
        (
            format,
            KeyValue::Plain {
                material: KeyMaterial::Bytes(bytes),
                attributes,
            },
        )
    });
    let symmetric = (secret(), attributes(version)).prop_map(|(bytes, attributes)| {
        let material = KeyMaterial::Bytes(bytes);
        (
            KeyFormatType::TRANSPARENT_SYMMETRIC_KEY,
            KeyValue::Plain {
                material,
                attributes,
            },
        )
    });
    let other = (secret_items(), attributes(version)).prop_map(|(items, attributes)| {
        let material = KeyMaterial::Transparent(items);
        (
            KeyFormatType::TRANSPARENT_RSA_PRIVATE_KEY,
            KeyValue::Plain {
                material,
                attributes,
            },
        )
    });
    let wrapped = secret().prop_map(|bytes| (KeyFormatType::RAW, KeyValue::Wrapped(bytes)));
    prop_oneof![bytes, symmetric, other, wrapped].boxed()
}

fn key_block(version: ProtocolVersion) -> BoxedStrategy<KeyBlock> {
    let value = prop_oneof![
        key_value(version).prop_map(|(format, value)| (format, Some(value))),
        Just(()).prop_map(|()| (KeyFormatType::RAW, None)),
    ];
    let compression = option::of(any::<u32>().prop_map(e::KeyCompressionType));
    let algorithm = option::of(any::<u32>().prop_map(CryptographicAlgorithm));
    (
        value,
        compression,
        algorithm,
        option::of(any::<i32>()),
        option::of(items()),
    )
        .prop_map(
            |((format, value), compression, algorithm, length, wrapping)| KeyBlock {
                format,
                compression,
                value,
                algorithm,
                length,
                wrapping,
            },
        )
        .boxed()
}

fn object(version: ProtocolVersion) -> BoxedStrategy<Object> {
    let other = [
        ObjectType::PUBLIC_KEY,
        ObjectType::PRIVATE_KEY,
        ObjectType::SPLIT_KEY,
        ObjectType::TEMPLATE,
        ObjectType::PGP_KEY,
    ];
    prop_oneof![
        key_block(version).prop_map(Object::SymmetricKey),
        (any::<u32>(), key_block(version)).prop_map(|(data_type, key_block)| {
            Object::SecretData {
                data_type: e::SecretDataType(data_type),
                key_block,
            }
        }),
        (any::<u32>(), secret()).prop_map(|(data_type, value)| {
            Object::OpaqueObject {
                data_type: e::OpaqueDataType(data_type),
                value,
            }
        }),
        (any::<u32>(), vec(any::<u8>(), 0..40)).prop_map(|(kind, value)| {
            Object::Certificate {
                certificate_type: e::CertificateType(kind),
                value,
            }
        }),
        (proptest::sample::select(other.to_vec()), secret_items()).prop_map(
            |(object_type, fields)| Object::Other {
                object_type,
                fields
            }
        ),
    ]
    .boxed()
}

fn identifier() -> BoxedStrategy<Option<String>> {
    option::of(text()).boxed()
}

/// A field that only versions from `since` on have.
fn since<T: std::fmt::Debug + Clone + 'static>(
    since: ProtocolVersion,
    version: ProtocolVersion,
    value: impl Strategy<Value = T> + 'static,
) -> BoxedStrategy<Option<T>> {
    if version >= since {
        option::of(value).boxed()
    } else {
        Just(None).boxed()
    }
}

fn get(version: ProtocolVersion) -> BoxedStrategy<RequestPayload> {
    let wrap_type = since(
        ProtocolVersion::V1_4,
        version,
        any::<u32>().prop_map(e::KeyWrapType),
    );
    let format = option::of(any::<u32>().prop_map(KeyFormatType));
    let compression = option::of(any::<u32>().prop_map(e::KeyCompressionType));
    (
        identifier(),
        format,
        wrap_type,
        compression,
        option::of(items()),
    )
        .prop_map(
            |(unique_identifier, format, wrap_type, compression, specification)| {
                RequestPayload::Get(GetRequest {
                    unique_identifier,
                    key_format_type: format,
                    key_wrap_type: wrap_type,
                    key_compression_type: compression,
                    key_wrapping_specification: specification,
                })
            },
        )
        .boxed()
}

fn locate(version: ProtocolVersion) -> BoxedStrategy<RequestPayload> {
    let offset = since(ProtocolVersion::V1_3, version, any::<i32>());
    let member = any::<u32>().prop_map(e::ObjectGroupMember);
    let member = since(ProtocolVersion::V1_1, version, member);
    let number = || option::of(any::<i32>());
    (number(), offset, number(), member, attributes(version))
        .prop_map(
            |(maximum_items, offset_items, storage_status_mask, member, attributes)| {
                RequestPayload::Locate(LocateRequest {
                    maximum_items,
                    offset_items,
                    storage_status_mask,
                    object_group_member: member,
                    attributes,
                })
            },
        )
        .boxed()
}

fn attribute_request(version: ProtocolVersion) -> BoxedStrategy<RequestPayload> {
    let current = if version.names_attributes() {
        Just(None).boxed()
    } else {
        option::of(attribute(version)).boxed()
    };
    let named = (name(version), index(version))
        .prop_map(|(name, index)| AttributeToDelete::Named { name, index });
    let delete = if version.names_attributes() {
        named.boxed()
    } else {
        prop_oneof![
            named,
            attribute(version).prop_map(AttributeToDelete::Current)
        ]
        .boxed()
    };
    prop_oneof![
        (identifier(), attribute(version)).prop_map(|(unique_identifier, attribute)| {
            RequestPayload::AddAttribute(AddAttributeRequest {
                unique_identifier,
                attribute,
            })
        }),
        (identifier(), attribute(version)).prop_map(|(unique_identifier, attribute)| {
            RequestPayload::SetAttribute(SetAttributeRequest {
                unique_identifier,
                attribute,
            })
        }),
        (identifier(), current, attribute(version)).prop_map(
            |(unique_identifier, current, new)| {
                let request = ModifyAttributeRequest {
                    unique_identifier,
                    current,
                    new,
                };
                RequestPayload::ModifyAttribute(request)
            }
        ),
        (identifier(), delete).prop_map(|(unique_identifier, attribute)| {
            RequestPayload::DeleteAttribute(DeleteAttributeRequest {
                unique_identifier,
                attribute,
            })
        }),
        (identifier(), vec(name(version), 0..6)).prop_map(|(unique_identifier, names)| {
            RequestPayload::GetAttributes(GetAttributesRequest {
                unique_identifier,
                names,
            })
        }),
        identifier().prop_map(|unique_identifier| {
            RequestPayload::GetAttributeList(GetAttributeListRequest { unique_identifier })
        }),
    ]
    .boxed()
}

fn lifecycle_request(version: ProtocolVersion) -> BoxedStrategy<RequestPayload> {
    let versions = vec((any::<i32>(), any::<i32>()), 0..4);
    let template_of_create = (any::<u32>(), template(version), masks(version));
    prop_oneof![
        identifier().prop_map(|unique_identifier| {
            RequestPayload::Activate(ActivateRequest { unique_identifier })
        }),
        identifier().prop_map(|unique_identifier| {
            RequestPayload::Destroy(DestroyRequest { unique_identifier })
        }),
        (
            identifier(),
            any::<u32>(),
            option::of(text()),
            option::of(any::<i64>())
        )
            .prop_map(
                |(unique_identifier, reason, message, date)| RequestPayload::Revoke(
                    RevokeRequest {
                        unique_identifier,
                        reason: e::RevocationReasonCode(reason),
                        message,
                        compromise_occurrence_date: date,
                    }
                )
            ),
        template_of_create.prop_map(|(object_type, template, protection_storage_masks)| {
            let object_type = ObjectType(object_type);
            let request = CreateRequest {
                object_type,
                template,
                protection_storage_masks,
            };
            RequestPayload::Create(request)
        }),
        (object(version), template(version), masks(version)).prop_map(
            |(object, template, protection_storage_masks)| {
                let request = RegisterRequest {
                    object,
                    template,
                    protection_storage_masks,
                };
                RequestPayload::Register(request)
            }
        ),
        vec(any::<u32>(), 0..20).prop_map(|functions| {
            let functions = functions.into_iter().map(e::QueryFunction).collect();
            RequestPayload::Query(QueryRequest { functions })
        }),
        versions.prop_map(|versions| {
            let versions = versions
                .into_iter()
                .map(|(a, i)| ProtocolVersion::new(a, i))
                .collect();
            RequestPayload::DiscoverVersions(DiscoverVersionsRequest { versions })
        }),
        proptest::sample::select(std::vec![Operation::ENCRYPT, Operation(0x8000_0001)])
            .prop_map(|operation| RequestPayload::Unsupported { operation }),
    ]
    .boxed()
}

fn credential() -> impl Strategy<Value = Credential> {
    prop_oneof![
        (text(), option::of(text())).prop_map(|(username, password)| {
            let password = password.map(|text| SecretBytes::from(text.into_bytes()));
            Credential::UsernameAndPassword { username, password }
        }),
        (2_u32.., secret_items()).prop_map(|(credential_type, fields)| {
            Credential::Other {
                credential_type: e::CredentialType(credential_type),
                fields,
            }
        }),
    ]
}

fn header(version: ProtocolVersion) -> BoxedStrategy<RequestHeader> {
    let (v1_2, v1_4) = (ProtocolVersion::V1_2, ProtocolVersion::V1_4);
    let types = if version >= v1_2 { 3 } else { 0 };
    let correlation = (since(v1_4, version, text()), since(v1_4, version, text()));
    let attestation = (
        since(v1_2, version, any::<bool>()),
        vec(any::<u32>(), 0..=types),
    );
    let options = (
        option::of(any::<u32>()),
        option::of(any::<bool>()),
        option::of(any::<bool>()),
    );
    let times = (option::of(any::<i64>()), option::of(any::<i32>()));
    (
        correlation,
        attestation,
        options,
        times,
        vec(credential(), 0..3),
    )
        .prop_map(
            move |(correlation, attestation, options, times, credentials)| {
                let kinds = attestation.1.into_iter().map(e::AttestationType);
                RequestHeader {
                    version,
                    maximum_response_size: times.1,
                    client_correlation_value: correlation.0,
                    server_correlation_value: correlation.1,
                    asynchronous_indicator: options.2,
                    attestation_capable_indicator: attestation.0,
                    attestation_types: kinds.collect(),
                    credentials,
                    batch_error_option: options.0.map(e::BatchErrorContinuationOption),
                    batch_order: options.1,
                    time_stamp: times.0,
                }
            },
        )
        .boxed()
}

fn id() -> impl Strategy<Value = Option<Vec<u8>>> {
    option::of(vec(any::<u8>(), 0..12))
}

pub(crate) fn request(version: ProtocolVersion) -> BoxedStrategy<Request> {
    let payload = prop_oneof![
        get(version),
        locate(version),
        attribute_request(version),
        lifecycle_request(version)
    ];
    let item = (id(), payload).prop_map(|(id, payload)| RequestItem {
        id,
        operation: payload.operation(),
        payload: Ok(payload),
    });
    (header(version), vec(item, 1..4))
        .prop_map(|(header, items)| Request { header, items })
        .boxed()
}

fn attribute_response(version: ProtocolVersion) -> BoxedStrategy<ResponsePayload> {
    let told = || {
        let told = if version.names_attributes() {
            option::of(attribute(version)).boxed()
        } else {
            Just(None).boxed()
        };
        (text(), told)
    };
    prop_oneof![
        told().prop_map(|(unique_identifier, attribute)| {
            let response = AddAttributeResponse {
                unique_identifier,
                attribute,
            };
            ResponsePayload::AddAttribute(response)
        }),
        told().prop_map(|(unique_identifier, attribute)| {
            let response = ModifyAttributeResponse {
                unique_identifier,
                attribute,
            };
            ResponsePayload::ModifyAttribute(response)
        }),
        told().prop_map(|(unique_identifier, attribute)| {
            let response = DeleteAttributeResponse {
                unique_identifier,
                attribute,
            };
            ResponsePayload::DeleteAttribute(response)
        }),
        (text(), attributes(version)).prop_map(|(unique_identifier, attributes)| {
            let response = GetAttributesResponse {
                unique_identifier,
                attributes,
            };
            ResponsePayload::GetAttributes(response)
        }),
        (text(), vec(name(version), 0..6)).prop_map(|(unique_identifier, names)| {
            let response = GetAttributeListResponse {
                unique_identifier,
                names,
            };
            ResponsePayload::GetAttributeList(response)
        }),
    ]
    .boxed()
}

fn query_response(version: ProtocolVersion) -> BoxedStrategy<ResponsePayload> {
    let known = |table: &[(u32, &str)], keep: fn(u32, ProtocolVersion) -> bool| {
        let numbers = table.iter().map(|row| row.0).filter(|n| keep(*n, version));
        vec(proptest::sample::select(numbers.collect::<Vec<_>>()), 0..6)
    };
    let operations = known(Operation::TABLE, |n, version| {
        Operation(n).is_known_to(version)
    });
    let types = known(ObjectType::TABLE, |n, version| {
        ObjectType(n).is_known_to(version)
    });
    let namespaces = vec(text(), 0..3);
    (
        operations,
        types,
        option::of(text()),
        option::of(items()),
        namespaces,
    )
        .prop_map(
            |(operations, types, vendor, server_information, namespaces)| {
                ResponsePayload::Query(QueryResponse {
                    operations: operations.into_iter().map(Operation).collect(),
                    object_types: types.into_iter().map(ObjectType).collect(),
                    vendor_identification: vendor,
                    server_information,
                    application_namespaces: namespaces,
                    further: Vec::new(),
                })
            },
        )
        .boxed()
}

fn object_response(version: ProtocolVersion) -> BoxedStrategy<ResponsePayload> {
    let most = if version.names_attributes() { 4 } else { 0 };
    let set = move || vec(attribute(version), 0..=most);
    let located = since(ProtocolVersion::V1_3, version, any::<i32>());
    prop_oneof![
        (any::<u32>(), text(), set()).prop_map(|(object_type, unique_identifier, attributes)| {
            let object_type = ObjectType(object_type);
            let response = CreateResponse {
                object_type,
                unique_identifier,
                attributes,
            };
            ResponsePayload::Create(response)
        }),
        (text(), set()).prop_map(|(unique_identifier, attributes)| {
            ResponsePayload::Register(RegisterResponse {
                unique_identifier,
                attributes,
            })
        }),
        (text(), object(version)).prop_map(|(unique_identifier, object)| {
            ResponsePayload::Get(GetResponse {
                unique_identifier,
                object,
            })
        }),
        (located, vec(text(), 0..9)).prop_map(|(located_items, unique_identifiers)| {
            ResponsePayload::Locate(LocateResponse {
                located_items,
                unique_identifiers,
            })
        }),
        text().prop_map(|unique_identifier| {
            ResponsePayload::Destroy(IdentifierResponse { unique_identifier })
        }),
        secret_items().prop_map(|fields| {
            ResponsePayload::Other {
                operation: Operation::ENCRYPT,
                fields,
            }
        }),
    ]
    .boxed()
}

pub(crate) fn response(version: ProtocolVersion) -> BoxedStrategy<Response> {
    let payload = prop_oneof![
        attribute_response(version),
        query_response(version),
        object_response(version)
    ];
    let success = (id(), payload).prop_map(|(id, payload)| ResponseItem {
        operation: Some(payload.operation()),
        id,
        result: Ok(payload),
    });
    let reasons = ResultReason::TABLE
        .iter()
        .map(|row| ResultReason(row.0).for_version(version));
    let reason = proptest::sample::select(reasons.collect::<Vec<_>>());
    let failure = (id(), option::of(any::<u32>()), reason, text()).prop_map(
        |(id, operation, reason, message)| ResponseItem {
            operation: operation.map(Operation),
            id,
            result: Err(Failure::new(reason, message)),
        },
    );
    let correlation = || since(ProtocolVersion::V1_4, version, text());
    (
        any::<i64>(),
        correlation(),
        correlation(),
        vec(prop_oneof![3 => success, 1 => failure], 1..4),
    )
        .prop_map(move |(time_stamp, client, server, items)| Response {
            version,
            time_stamp,
            client_correlation_value: client,
            server_correlation_value: server,
            items,
        })
        .boxed()
}
