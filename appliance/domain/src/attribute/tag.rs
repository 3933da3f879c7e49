//! Tags of KMIP 2.1 §11.58 that the law or a door names. Attributes that only the table knows are
//! given there by number.

use crate::Tag;

macro_rules! tags {
    ($($name:ident = $value:literal, $text:literal;)*) => {
        $(#[doc = $text] pub const $name: Tag = Tag($value);)*
    };
}

tags! {
    ACTIVATION_DATE = 0x420001, "Activation Date.";
    APPLICATION_DATA = 0x420002, "Application Data.";
    APPLICATION_NAMESPACE = 0x420003, "Application Namespace.";
    APPLICATION_SPECIFIC_INFORMATION = 0x420004, "Application Specific Information.";
    CERTIFICATE_LENGTH = 0x4200AD, "Certificate Length.";
    CERTIFICATE_TYPE = 0x42001D, "Certificate Type.";
    COMPROMISE_DATE = 0x420020, "Compromise Date.";
    COMPROMISE_OCCURRENCE_DATE = 0x420021, "Compromise Occurrence Date.";
    CONTACT_INFORMATION = 0x420022, "Contact Information.";
    CRYPTOGRAPHIC_ALGORITHM = 0x420028, "Cryptographic Algorithm.";
    CRYPTOGRAPHIC_LENGTH = 0x42002A, "Cryptographic Length.";
    CRYPTOGRAPHIC_PARAMETERS = 0x42002B, "Cryptographic Parameters.";
    CRYPTOGRAPHIC_USAGE_MASK = 0x42002C, "Cryptographic Usage Mask.";
    DEACTIVATION_DATE = 0x42002F, "Deactivation Date.";
    DESCRIPTION = 0x4200FC, "Description.";
    DESTROY_DATE = 0x420033, "Destroy Date.";
    DIGEST = 0x420034, "Digest.";
    DIGEST_VALUE = 0x420035, "Digest Value.";
    EXTRACTABLE = 0x420122, "Extractable.";
    FRESH = 0x4200A8, "Fresh.";
    HASHING_ALGORITHM = 0x420038, "Hashing Algorithm.";
    INITIAL_DATE = 0x420039, "Initial Date.";
    KEY_FORMAT_TYPE = 0x420042, "Key Format Type.";
    LAST_CHANGE_DATE = 0x420048, "Last Change Date.";
    LEASE_TIME = 0x420049, "Lease Time.";
    LINK = 0x42004A, "Link.";
    LINK_TYPE = 0x42004B, "Link Type.";
    LINKED_OBJECT_IDENTIFIER = 0x42004C, "Linked Object Identifier.";
    NAME = 0x420053, "Name.";
    NAME_TYPE = 0x420054, "Name Type.";
    NAME_VALUE = 0x420055, "Name Value.";
    OBJECT_GROUP = 0x420056, "Object Group.";
    OBJECT_TYPE = 0x420057, "Object Type.";
    OPAQUE_DATA_TYPE = 0x420059, "Opaque Data Type.";
    ORIGINAL_CREATION_DATE = 0x4200BC, "Original Creation Date.";
    PROCESS_START_DATE = 0x420067, "Process Start Date.";
    PROTECT_STOP_DATE = 0x420068, "Protect Stop Date.";
    PROTECTION_STORAGE_MASK = 0x42015E, "Protection Storage Mask.";
    QUANTUM_SAFE = 0x420147, "Quantum Safe.";
    RANDOM_NUMBER_GENERATOR = 0x4200DE, "Random Number Generator.";
    REVOCATION_MESSAGE = 0x420080, "Revocation Message.";
    REVOCATION_REASON = 0x420081, "Revocation Reason.";
    REVOCATION_REASON_CODE = 0x420082, "Revocation Reason Code.";
    SECRET_DATA_TYPE = 0x420086, "Secret Data Type.";
    SENSITIVE = 0x420120, "Sensitive.";
    SHORT_UNIQUE_IDENTIFIER = 0x420136, "Short Unique Identifier.";
    STATE = 0x42008D, "State.";
    UNIQUE_IDENTIFIER = 0x420094, "Unique Identifier.";
    USAGE_LIMITS = 0x420095, "Usage Limits.";
    USAGE_LIMITS_COUNT = 0x420096, "Usage Limits Count.";
    USAGE_LIMITS_TOTAL = 0x420097, "Usage Limits Total.";
    USAGE_LIMITS_UNIT = 0x420098, "Usage Limits Unit.";
}
