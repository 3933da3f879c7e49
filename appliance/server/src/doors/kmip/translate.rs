//! Between the wire's words and the law's words, one to one.

use crate::engine::{Fault, Refusal};
use domain::{Denial, Tag, Uid};
use kmip::{Failure, ProtocolVersion, ResultReason};

/// An attribute from the wire.
pub(super) fn attribute_in(attribute: kmip::Attribute) -> domain::Attribute {
    domain::Attribute {
        name: name_in(attribute.name),
        value: value_in(attribute.value),
    }
}

/// The name of an attribute from the wire.
pub(super) fn name_in(name: kmip::AttributeName) -> domain::AttributeName {
    match name {
        kmip::AttributeName::Standard(tag) => domain::AttributeName::Standard(Tag(tag.0)),
        kmip::AttributeName::Vendor { vendor, name } => {
            domain::AttributeName::Vendor { vendor, name }
        }
    }
}

fn value_in(value: kmip::Value) -> domain::Value {
    use domain::Value as To;
    use kmip::Value as From;
    match value {
        From::Integer(v) => To::Integer(v),
        From::LongInteger(v) => To::LongInteger(v),
        From::BigInteger(v) => To::BigInteger(v),
        From::Enumeration(v) => To::Enumeration(v),
        From::Boolean(v) => To::Boolean(v),
        From::Text(v) => To::Text(v),
        From::Bytes(v) => To::Bytes(v),
        From::DateTime(v) => To::DateTime(v),
        From::Interval(v) => To::Interval(v),
        From::DateTimeExtended(v) => To::DateTimeExtended(v),
        From::Structure(items) => {
            let fields = items.into_iter().map(|i| (Tag(i.tag.0), value_in(i.value)));
            To::Structure(fields.collect())
        }
    }
}

/// An instance of an attribute for the wire, with its number.
pub(super) fn attribute_out(held: domain::AttributeInstance) -> kmip::Attribute {
    let domain::Attribute { name, value } = held.attribute;
    kmip::Attribute {
        name: name_out(name),
        index: Some(held.index),
        value: value_out(value),
    }
}

/// The name of an attribute for the wire.
pub(super) fn name_out(name: domain::AttributeName) -> kmip::AttributeName {
    match name {
        domain::AttributeName::Standard(tag) => kmip::AttributeName::Standard(kmip::Tag(tag.0)),
        domain::AttributeName::Vendor { vendor, name } => {
            kmip::AttributeName::Vendor { vendor, name }
        }
    }
}

fn value_out(value: domain::Value) -> kmip::Value {
    use domain::Value as From;
    use kmip::Value as To;
    match value {
        From::Integer(v) => To::Integer(v),
        From::LongInteger(v) => To::LongInteger(v),
        From::BigInteger(v) => To::BigInteger(v),
        From::Enumeration(v) => To::Enumeration(v),
        From::Boolean(v) => To::Boolean(v),
        From::Text(v) => To::Text(v),
        From::Bytes(v) => To::Bytes(v),
        From::DateTime(v) => To::DateTime(v),
        From::Interval(v) => To::Interval(v),
        From::DateTimeExtended(v) => To::DateTimeExtended(v),
        From::Structure(fields) => {
            let items = fields.into_iter();
            To::Structure(
                items
                    .map(|(t, v)| kmip::Item::new(kmip::Tag(t.0), value_out(v)))
                    .collect(),
            )
        }
    }
}

/// What a client is told of a refusal. Nothing in it lets a stranger learn that an object exists.
pub(super) fn failure(refusal: &Refusal, version: ProtocolVersion) -> Failure {
    match refusal {
        Refusal::Denied { denial, .. } => Failure::new(reason(denial, version), sentence(denial)),
        Refusal::Fault(fault) => fault_failure(fault),
    }
}

/// What a client is told when the world failed.
pub(super) fn fault_failure(fault: &Fault) -> Failure {
    Failure::new(
        ResultReason::GENERAL_FAILURE,
        capitalised(&fault.to_string()),
    )
}

fn sentence(denial: &Denial) -> String {
    capitalised(&denial.to_string())
}

fn capitalised(text: &str) -> String {
    let mut text = text.to_owned();
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    text.push('.');
    text
}

/// The result reason of a denial (KMIP 2.1 §11.50; older versions are told its older form when the
/// answer is written). The wrong state was Permission Denied until 2.1 gave it a reason.
fn reason(denial: &Denial, version: ProtocolVersion) -> ResultReason {
    match denial {
        Denial::NotFound { .. } => ResultReason::ITEM_NOT_FOUND,
        // Clients before 2.0 are told Item Not Found: they know no other word for it.
        Denial::Destroyed => ResultReason::OBJECT_DESTROYED,
        Denial::NotPermitted
        | Denial::PermissionMissing { .. }
        | Denial::PasswordMustChange
        | Denial::LastAdministrator => ResultReason::PERMISSION_DENIED,
        Denial::UnknownUser
        | Denial::CertificateNotAccepted
        | Denial::UnknownAdministrator
        | Denial::SignInWrong
        | Denial::SignInPaused { .. } => ResultReason::AUTHENTICATION_NOT_SUCCESSFUL,
        Denial::WrongState { .. } if version >= ProtocolVersion::V2_1 => {
            ResultReason::WRONG_KEY_LIFECYCLE_STATE
        }
        Denial::WrongState { .. } => ResultReason::PERMISSION_DENIED,
        Denial::AlreadyExists { what } if what == "name" => ResultReason::NON_UNIQUE_NAME_ATTRIBUTE,
        Denial::AlreadyExists { .. } => ResultReason::ILLEGAL_OPERATION,
        Denial::AttributeReadOnly { .. } => ResultReason::ATTRIBUTE_READ_ONLY,
        Denial::AttributeNotFound { .. } => ResultReason::ATTRIBUTE_NOT_FOUND,
        Denial::AttributeSingleInstance { .. } => ResultReason::ATTRIBUTE_SINGLE_VALUED,
        Denial::AttributeMultiInstance { .. } => ResultReason::MULTI_VALUED_ATTRIBUTE,
        Denial::AttributeUnknown { .. } => ResultReason::UNSUPPORTED_ATTRIBUTE,
        Denial::AttributeMissing { .. } => ResultReason::INVALID_FIELD,
        Denial::InvalidField { .. } => ResultReason::INVALID_FIELD,
        Denial::Sensitive => ResultReason::SENSITIVE,
        Denial::NotExtractable => ResultReason::NOT_EXTRACTABLE,
        Denial::NotQuantumSafe | Denial::NotApproved { .. } => ResultReason::INVALID_FIELD,
        Denial::LimitReached { .. } => ResultReason::SERVER_LIMIT_EXCEEDED,
        Denial::StaleEpoch { .. }
        | Denial::OutOfOrder { .. }
        | Denial::Diverged
        | Denial::NeedsNewerMembers { .. }
        | Denial::Downgrade { .. }
        | Denial::TooStale { .. } => ResultReason::GENERAL_FAILURE,
    }
}

/// Which object an item is about: the one it names, or the one the batch made last.
pub(super) fn identify(
    named: Option<&str>,
    placeholder: Option<Uid>,
) -> Result<Uid, Option<Failure>> {
    match named {
        // A text that is no identifier of ours names an object that does not exist.
        Some(text) => Uid::parse(text).ok_or(None),
        None => placeholder.ok_or_else(|| {
            Some(Failure::new(
                ResultReason::ITEM_NOT_FOUND,
                "No Unique Identifier was given, and no item of the batch before this one made or \
                 located an object.",
            ))
        }),
    }
}
