//! Why an operation failed: a result reason and a sentence, and what each version of the protocol
//! can say of it.

use crate::enumerations::ResultReason;
use crate::ttlv::{Fault, Malformed};
use crate::version::ProtocolVersion;

/// The outcome of an operation that did not succeed (KMIP 1.4 §6.10, KMIP 2.1 §9.20).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {message}")]
pub struct Failure {
    /// For programs. Any reason of any version; see [`ResultReason::for_version`].
    pub reason: ResultReason,
    /// For people: what was wrong, with what, and what to do. It is sent to the client, so it
    /// never tells what a client is not to know.
    pub message: String,
}

/// Why one item of a request cannot be carried out although its message is sound.
pub type ItemError = Failure;

impl Failure {
    #[must_use]
    pub fn new(reason: ResultReason, message: impl Into<String>) -> Failure {
        Failure {
            reason,
            message: message.into(),
        }
    }
}

/// A payload that lacks or misstates a field, in a message whose frame is sound.
impl From<Malformed> for Failure {
    fn from(malformed: Malformed) -> Failure {
        let reason = match &malformed.fault {
            Fault::Missing { .. } => ResultReason::MISSING_DATA,
            Fault::WrongType { .. } => ResultReason::INVALID_DATA_TYPE,
            Fault::Unexpected { tag, .. } if tag.name().is_none() => ResultReason::UNKNOWN_TAG,
            Fault::Unexpected { .. }
            | Fault::Duplicate { .. }
            | Fault::NotBoolean { .. }
            | Fault::NotText { .. }
            | Fault::Value { .. } => ResultReason::INVALID_FIELD,
            _ => ResultReason::INVALID_MESSAGE,
        };
        Failure {
            reason,
            message: format!("The request is malformed {malformed}."),
        }
    }
}

impl ResultReason {
    /// The same reason as a peer of this version knows it. Versions before 2.0 have a third of
    /// the reasons; each newer one is told as what the older text names for the same case (KMIP
    /// 1.4 §11), and as General Failure where it has nothing closer. The two reasons that 2.1
    /// withdrew are told as what replaced them.
    #[must_use]
    pub fn for_version(self, version: ProtocolVersion) -> ResultReason {
        let withdrawn = version >= ProtocolVersion::V2_1;
        match self {
            ResultReason::ILLEGAL_OPERATION if withdrawn => return ResultReason::INVALID_FIELD,
            ResultReason::INDEX_OUT_OF_BOUNDS if withdrawn => {
                return ResultReason::ATTRIBUTE_INSTANCE_NOT_FOUND;
            }
            _ => {}
        }
        if self.is_known_to(version) {
            return self;
        }
        // Every replacement but those of 2.1 is a reason of 1.0.
        self.older().for_version_once(version)
    }

    fn for_version_once(self, version: ProtocolVersion) -> ResultReason {
        if self.is_known_to(version) {
            self
        } else {
            ResultReason::GENERAL_FAILURE
        }
    }

    /// What versions before the one that brought this reason say in its case.
    fn older(self) -> ResultReason {
        match self {
            ResultReason::ENCODING_OPTION_ERROR => ResultReason::CRYPTOGRAPHIC_FAILURE,
            ResultReason::KEY_VALUE_NOT_PRESENT
            | ResultReason::ATTRIBUTE_INSTANCE_NOT_FOUND
            | ResultReason::ATTRIBUTE_NOT_FOUND
            | ResultReason::OBJECT_DESTROYED
            | ResultReason::OBJECT_NOT_FOUND
            | ResultReason::UNKNOWN_OBJECT_GROUP
            | ResultReason::WRAPPING_OBJECT_DESTROYED
            | ResultReason::WRAPPING_OBJECT_NOT_FOUND => ResultReason::ITEM_NOT_FOUND,
            ResultReason::WRAPPING_OBJECT_ARCHIVED => ResultReason::OBJECT_ARCHIVED,
            ResultReason::ATTESTATION_REQUIRED
            | ResultReason::ATTESTATION_FAILED
            | ResultReason::INVALID_TICKET
            | ResultReason::BAD_PASSWORD => ResultReason::AUTHENTICATION_NOT_SUCCESSFUL,
            ResultReason::SENSITIVE
            | ResultReason::NOT_EXTRACTABLE
            | ResultReason::USAGE_LIMIT_EXCEEDED
            | ResultReason::READ_ONLY_ATTRIBUTE
            | ResultReason::ATTRIBUTE_READ_ONLY
            | ResultReason::INCOMPATIBLE_CRYPTOGRAPHIC_USAGE_MASK
            | ResultReason::NOT_AUTHORISED
            | ResultReason::WRONG_KEY_LIFECYCLE_STATE
            | ResultReason::CONSTRAINT_VIOLATION
            | ResultReason::SERVER_LIMIT_EXCEEDED => ResultReason::PERMISSION_DENIED,
            ResultReason::OBJECT_ALREADY_EXISTS
            | ResultReason::MULTI_VALUED_ATTRIBUTE
            | ResultReason::ATTRIBUTE_SINGLE_VALUED
            | ResultReason::NON_UNIQUE_NAME_ATTRIBUTE
            | ResultReason::DUPLICATE_PROCESS_REQUEST => ResultReason::ILLEGAL_OPERATION,
            ResultReason::NUMERIC_RANGE
            | ResultReason::INVALID_DATA_TYPE
            | ResultReason::UNSUPPORTED_ATTRIBUTE
            | ResultReason::BAD_CRYPTOGRAPHIC_PARAMETERS
            | ResultReason::ILLEGAL_OBJECT_TYPE
            | ResultReason::INVALID_ASYNCHRONOUS_CORRELATION_VALUE
            | ResultReason::INVALID_ATTRIBUTE
            | ResultReason::INVALID_ATTRIBUTE_VALUE
            | ResultReason::INVALID_CORRELATION_VALUE
            | ResultReason::INVALID_CSR
            | ResultReason::INVALID_OBJECT_TYPE
            | ResultReason::UNKNOWN_ENUMERATION
            | ResultReason::UNKNOWN_TAG
            | ResultReason::UNSUPPORTED_CRYPTOGRAPHIC_PARAMETERS => ResultReason::INVALID_FIELD,
            ResultReason::MISSING_INITIALIZATION_VECTOR
            | ResultReason::CODEC_ERROR
            | ResultReason::UNSUPPORTED_PROTOCOL_VERSION => ResultReason::INVALID_MESSAGE,
            ResultReason::KEY_WRAP_TYPE_NOT_SUPPORTED
            | ResultReason::UNKNOWN_MESSAGE_EXTENSION
            | ResultReason::PROTECTION_STORAGE_UNAVAILABLE
            | ResultReason::PRIVATE_PROTECTION_STORAGE_UNAVAILABLE
            | ResultReason::PUBLIC_PROTECTION_STORAGE_UNAVAILABLE => {
                ResultReason::FEATURE_NOT_SUPPORTED
            }
            _ => ResultReason::GENERAL_FAILURE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Failure, ResultReason};
    use crate::tags::Tag;
    use crate::ttlv::{Fault, Malformed};
    use crate::version::ProtocolVersion;

    #[test]
    fn every_reason_is_told_in_words_the_version_has() {
        for version in ProtocolVersion::SUPPORTED {
            for (number, name) in ResultReason::TABLE {
                let told = ResultReason(*number).for_version(version);
                assert!(
                    told.is_known_to(version),
                    "{name} for {version} became {told}"
                );
                let same = ResultReason(*number).is_known_to(version) && told.0 == *number;
                let newer = !ResultReason(*number).is_known_to(version);
                let withdrawn = matches!(number, 0x0B | 0x0E);
                assert!(
                    same || newer || withdrawn,
                    "{name} for {version} became {told}"
                );
            }
        }
    }

    #[test]
    fn the_conformance_cases_get_the_reasons_they_expect() {
        let state = ResultReason::WRONG_KEY_LIFECYCLE_STATE;
        assert_eq!(state.for_version(ProtocolVersion::V2_1), state);
        for version in ProtocolVersion::SUPPORTED.into_iter().skip(1) {
            assert_eq!(
                state.for_version(version),
                ResultReason::PERMISSION_DENIED,
                "{version}"
            );
        }
        let version = ResultReason::UNSUPPORTED_PROTOCOL_VERSION;
        assert_eq!(
            version.for_version(ProtocolVersion::V1_4),
            ResultReason::INVALID_MESSAGE
        );
        assert_eq!(version.for_version(ProtocolVersion::V2_0), version);
        let unknown = ResultReason(0x7777);
        assert_eq!(
            unknown.for_version(ProtocolVersion::V2_1),
            ResultReason::GENERAL_FAILURE
        );
    }

    #[test]
    fn a_fault_says_where_and_what() {
        let (tag, parent) = (Tag::OBJECT_TYPE, Tag::REQUEST_PAYLOAD);
        let fault = Fault::Missing { tag, parent };
        let failure = Failure::from(Malformed { offset: 88, fault });
        assert_eq!(failure.reason, ResultReason::MISSING_DATA);
        assert_eq!(
            failure.message,
            "The request is malformed at byte 88: Object Type is missing from Request Payload."
        );
    }
}
