//! The enumerations of KMIP as newtypes over the 32-bit number on the wire: a number that this
//! program does not know stays itself, so it can be refused by name or passed on unchanged.
//! Written by `tables/generate.py`; a new version of the standard is taken up there.

use std::fmt;

use crate::tags::Tag;
use crate::version::ProtocolVersion;

pub use algorithms::*;

macro_rules! enumeration {
    ($(#[$doc:meta])* $kind:ident $($number:literal $constant:ident $name:literal;)*) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $kind(pub u32);

        impl $kind {
            $(#[doc = $name] pub const $constant: $kind = $kind($number);)*

            /// Number and name of every value of the standard, in ascending order.
            pub const TABLE: &'static [(u32, &'static str)] = &[$(($number, $name),)*];

            /// The name in the specification; `None` for numbers it does not have.
            #[must_use]
            pub fn name(self) -> Option<&'static str> {
                let at = Self::TABLE.binary_search_by_key(&self.0, |row| row.0).ok()?;
                Self::TABLE.get(at).map(|row| row.1)
            }

            /// The value with this name as the specification spells it.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                Self::TABLE.iter().find(|row| row.1 == name).map(|row| $kind(row.0))
            }
        }

        impl fmt::Display for $kind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self.name() {
                    Some(name) => f.write_str(name),
                    None => write!(f, "0x{:08X}", self.0),
                }
            }
        }

        impl fmt::Debug for $kind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

// After the macro, which it uses.
mod algorithms;

/// An enumeration whose values carry the version that brought them.
macro_rules! dated_enumeration {
    ($(#[$doc:meta])* $kind:ident
        $($number:literal $constant:ident $name:literal $since:ident;)*) => {
        enumeration! { $(#[$doc])* $kind $($number $constant $name;)* }

        impl $kind {
            /// The first version that has this value; `None` for values of no version.
            #[must_use]
            pub fn since(self) -> Option<ProtocolVersion> {
                match self.0 {
                    $($number => Some(ProtocolVersion::$since),)*
                    _ => None,
                }
            }

            /// Whether a peer that speaks `version` knows this value.
            #[must_use]
            pub fn is_known_to(self, version: ProtocolVersion) -> bool {
                self.since().is_some_and(|since| since <= version)
            }
        }
    };
}

enumeration! {
    /// Adjustment Type (KMIP 2.1 §11).
    AdjustmentType
    0x01 INCREMENT "Increment";
    0x02 DECREMENT "Decrement";
    0x03 NEGATE "Negate";
}

enumeration! {
    /// Alternative Name Type (KMIP 1.4 §9.1.3.2.34).
    AlternativeNameType
    0x01 UNINTERPRETED_TEXT_STRING "Uninterpreted Text String";
    0x02 URI "URI";
    0x03 OBJECT_SERIAL_NUMBER "Object Serial Number";
    0x04 EMAIL_ADDRESS "Email Address";
    0x05 DNS_NAME "DNS Name";
    0x06 X_500_DISTINGUISHED_NAME "X.500 Distinguished Name";
    0x07 IP_ADDRESS "IP Address";
}

enumeration! {
    /// Asynchronous Indicator (KMIP 2.1 §11).
    AsynchronousIndicator
    0x01 MANDATORY "Mandatory";
    0x02 OPTIONAL "Optional";
    0x03 PROHIBITED "Prohibited";
}

enumeration! {
    /// Attestation Type (KMIP 1.4 §9.1.3.2.36).
    AttestationType
    0x01 TPM_QUOTE "TPM Quote";
    0x02 TCG_INTEGRITY_REPORT "TCG Integrity Report";
    0x03 SAML_ASSERTION "SAML Assertion";
}

enumeration! {
    /// Batch Error Continuation Option (KMIP 1.4 §9.1.3.2.30).
    BatchErrorContinuationOption
    0x01 CONTINUE "Continue";
    0x02 STOP "Stop";
    0x03 UNDO "Undo";
}

enumeration! {
    /// Cancellation Result (KMIP 1.4 §9.1.3.2.25).
    CancellationResult
    0x01 CANCELED "Canceled";
    0x02 UNABLE_TO_CANCEL "Unable to Cancel";
    0x03 COMPLETED "Completed";
    0x04 FAILED "Failed";
    0x05 UNAVAILABLE "Unavailable";
}

enumeration! {
    /// Certificate Request Type (KMIP 1.4 §9.1.3.2.22).
    CertificateRequestType
    0x01 CRMF "CRMF";
    0x02 PKCS_10 "PKCS#10";
    0x03 PEM "PEM";
    0x04 PGP "PGP";
}

enumeration! {
    /// Certificate Type (KMIP 1.4 §9.1.3.2.6).
    CertificateType
    0x01 X_509 "X.509";
    0x02 PGP "PGP";
}

enumeration! {
    /// Client Registration Method (KMIP 1.4 §9.1.3.2.47).
    ClientRegistrationMethod
    0x01 UNSPECIFIED "Unspecified";
    0x02 SERVER_PRE_GENERATED "Server Pre-Generated";
    0x03 SERVER_ON_DEMAND "Server On-Demand";
    0x04 CLIENT_GENERATED "Client Generated";
    0x05 CLIENT_REGISTERED "Client Registered";
}

enumeration! {
    /// Credential Type (KMIP 1.4 §9.1.3.2.1).
    CredentialType
    0x01 USERNAME_AND_PASSWORD "Username and Password";
    0x02 DEVICE "Device";
    0x03 ATTESTATION "Attestation";
    0x04 ONE_TIME_PASSWORD "One Time Password";
    0x05 HASHED_PASSWORD "Hashed Password";
    0x06 TICKET "Ticket";
}

enumeration! {
    /// Destroy Action (KMIP 1.4 §9.1.3.2.44).
    DestroyAction
    0x01 UNSPECIFIED "Unspecified";
    0x02 KEY_MATERIAL_DELETED "Key Material Deleted";
    0x03 KEY_MATERIAL_SHREDDED "Key Material Shredded";
    0x04 META_DATA_DELETED "Meta Data Deleted";
    0x05 META_DATA_SHREDDED "Meta Data Shredded";
    0x06 DELETED "Deleted";
    0x07 SHREDDED "Shredded";
}

enumeration! {
    /// Encoding Option (KMIP 1.4 §9.1.3.2.32).
    EncodingOption
    0x01 NO_ENCODING "No Encoding";
    0x02 TTLV_ENCODING "TTLV Encoding";
}

enumeration! {
    /// Endpoint Role (KMIP 2.1 §11).
    EndpointRole
    0x01 CLIENT "Client";
    0x02 SERVER "Server";
}

enumeration! {
    /// Interop Function (KMIP 2.1 §11).
    InteropFunction
    0x01 BEGIN "Begin";
    0x02 END "End";
    0x03 RESET "Reset";
}

enumeration! {
    /// Key Compression Type (KMIP 1.4 §9.1.3.2.2).
    KeyCompressionType
    0x01 EC_PUBLIC_KEY_TYPE_UNCOMPRESSED "EC Public Key Type Uncompressed";
    0x02 EC_PUBLIC_KEY_TYPE_X9_62_COMPRESSED_PRIME "EC Public Key Type X9.62 Compressed Prime";
    0x03 EC_PUBLIC_KEY_TYPE_X9_62_COMPRESSED_CHAR2 "EC Public Key Type X9.62 Compressed Char2";
    0x04 EC_PUBLIC_KEY_TYPE_X9_62_HYBRID "EC Public Key Type X9.62 Hybrid";
}

enumeration! {
    /// Key Format Type (KMIP 1.4 §9.1.3.2.3).
    KeyFormatType
    0x01 RAW "Raw";
    0x02 OPAQUE "Opaque";
    0x03 PKCS_1 "PKCS#1";
    0x04 PKCS_8 "PKCS#8";
    0x05 X_509 "X.509";
    0x06 EC_PRIVATE_KEY "ECPrivateKey";
    0x07 TRANSPARENT_SYMMETRIC_KEY "Transparent Symmetric Key";
    0x08 TRANSPARENT_DSA_PRIVATE_KEY "Transparent DSA Private Key";
    0x09 TRANSPARENT_DSA_PUBLIC_KEY "Transparent DSA Public Key";
    0x0A TRANSPARENT_RSA_PRIVATE_KEY "Transparent RSA Private Key";
    0x0B TRANSPARENT_RSA_PUBLIC_KEY "Transparent RSA Public Key";
    0x0C TRANSPARENT_DH_PRIVATE_KEY "Transparent DH Private Key";
    0x0D TRANSPARENT_DH_PUBLIC_KEY "Transparent DH Public Key";
    0x0E TRANSPARENT_ECDSA_PRIVATE_KEY "Transparent ECDSA Private Key";
    0x0F TRANSPARENT_ECDSA_PUBLIC_KEY "Transparent ECDSA Public Key";
    0x10 TRANSPARENT_ECDH_PRIVATE_KEY "Transparent ECDH Private Key";
    0x11 TRANSPARENT_ECDH_PUBLIC_KEY "Transparent ECDH Public Key";
    0x12 TRANSPARENT_ECMQV_PRIVATE_KEY "Transparent ECMQV Private Key";
    0x13 TRANSPARENT_ECMQV_PUBLIC_KEY "Transparent ECMQV Public Key";
    0x14 TRANSPARENT_EC_PRIVATE_KEY "Transparent EC Private Key";
    0x15 TRANSPARENT_EC_PUBLIC_KEY "Transparent EC Public Key";
    0x16 PKCS_12 "PKCS#12";
    0x17 PKCS_10 "PKCS#10";
}

enumeration! {
    /// Key Value Location Type (KMIP 1.4 §9.1.3.2.35).
    KeyValueLocationType
    0x01 UNINTERPRETED_TEXT_STRING "Uninterpreted Text String";
    0x02 URI "URI";
}

enumeration! {
    /// Key Wrap Type (KMIP 1.4 §9.1.3.2.48).
    KeyWrapType
    0x01 NOT_WRAPPED "Not Wrapped";
    0x02 AS_REGISTERED "As Registered";
}

enumeration! {
    /// Link Type (KMIP 1.4 §9.1.3.2.20).
    LinkType
    0x101 CERTIFICATE_LINK "Certificate Link";
    0x102 PUBLIC_KEY_LINK "Public Key Link";
    0x103 PRIVATE_KEY_LINK "Private Key Link";
    0x104 DERIVATION_BASE_OBJECT_LINK "Derivation Base Object Link";
    0x105 DERIVED_KEY_LINK "Derived Key Link";
    0x106 REPLACEMENT_OBJECT_LINK "Replacement Object Link";
    0x107 REPLACED_OBJECT_LINK "Replaced Object Link";
    0x108 PARENT_LINK "Parent Link";
    0x109 CHILD_LINK "Child Link";
    0x10A PREVIOUS_LINK "Previous Link";
    0x10B NEXT_LINK "Next Link";
    0x10C PKCS_12_CERTIFICATE_LINK "PKCS#12 Certificate Link";
    0x10D PKCS_12_PASSWORD_LINK "PKCS#12 Password Link";
    0x10E WRAPPING_KEY_LINK "Wrapping Key Link";
}

enumeration! {
    /// Name Type (KMIP 1.4 §9.1.3.2.11).
    NameType
    0x01 UNINTERPRETED_TEXT_STRING "Uninterpreted Text String";
    0x02 URI "URI";
}

enumeration! {
    /// Object Group Member (KMIP 1.4 §9.1.3.2.33).
    ObjectGroupMember
    0x01 GROUP_MEMBER_FRESH "Group Member Fresh";
    0x02 GROUP_MEMBER_DEFAULT "Group Member Default";
}

dated_enumeration! {
    /// Object Type (KMIP 1.4 §9.1.3.2.12).
    ObjectType
    0x01 CERTIFICATE "Certificate" V1_0;
    0x02 SYMMETRIC_KEY "Symmetric Key" V1_0;
    0x03 PUBLIC_KEY "Public Key" V1_0;
    0x04 PRIVATE_KEY "Private Key" V1_0;
    0x05 SPLIT_KEY "Split Key" V1_0;
    0x06 TEMPLATE "Template" V1_0;
    0x07 SECRET_DATA "Secret Data" V1_0;
    0x08 OPAQUE_OBJECT "Opaque Object" V1_0;
    0x09 PGP_KEY "PGP Key" V1_2;
    0x0A CERTIFICATE_REQUEST "Certificate Request" V2_0;
}

enumeration! {
    /// Opaque Data Type (KMIP 2.1 §11).
    OpaqueDataType
}

dated_enumeration! {
    /// Operation (KMIP 1.4 §9.1.3.2.27).
    Operation
    0x01 CREATE "Create" V1_0;
    0x02 CREATE_KEY_PAIR "Create Key Pair" V1_0;
    0x03 REGISTER "Register" V1_0;
    0x04 RE_KEY "Re-key" V1_0;
    0x05 DERIVE_KEY "Derive Key" V1_0;
    0x06 CERTIFY "Certify" V1_0;
    0x07 RE_CERTIFY "Re-certify" V1_0;
    0x08 LOCATE "Locate" V1_0;
    0x09 CHECK "Check" V1_0;
    0x0A GET "Get" V1_0;
    0x0B GET_ATTRIBUTES "Get Attributes" V1_0;
    0x0C GET_ATTRIBUTE_LIST "Get Attribute List" V1_0;
    0x0D ADD_ATTRIBUTE "Add Attribute" V1_0;
    0x0E MODIFY_ATTRIBUTE "Modify Attribute" V1_0;
    0x0F DELETE_ATTRIBUTE "Delete Attribute" V1_0;
    0x10 OBTAIN_LEASE "Obtain Lease" V1_0;
    0x11 GET_USAGE_ALLOCATION "Get Usage Allocation" V1_0;
    0x12 ACTIVATE "Activate" V1_0;
    0x13 REVOKE "Revoke" V1_0;
    0x14 DESTROY "Destroy" V1_0;
    0x15 ARCHIVE "Archive" V1_0;
    0x16 RECOVER "Recover" V1_0;
    0x17 VALIDATE "Validate" V1_0;
    0x18 QUERY "Query" V1_0;
    0x19 CANCEL "Cancel" V1_0;
    0x1A POLL "Poll" V1_0;
    0x1B NOTIFY "Notify" V1_0;
    0x1C PUT "Put" V1_0;
    0x1D RE_KEY_KEY_PAIR "Re-key Key Pair" V1_1;
    0x1E DISCOVER_VERSIONS "Discover Versions" V1_1;
    0x1F ENCRYPT "Encrypt" V1_2;
    0x20 DECRYPT "Decrypt" V1_2;
    0x21 SIGN "Sign" V1_2;
    0x22 SIGNATURE_VERIFY "Signature Verify" V1_2;
    0x23 MAC "MAC" V1_2;
    0x24 MAC_VERIFY "MAC Verify" V1_2;
    0x25 RNG_RETRIEVE "RNG Retrieve" V1_2;
    0x26 RNG_SEED "RNG Seed" V1_2;
    0x27 HASH "Hash" V1_2;
    0x28 CREATE_SPLIT_KEY "Create Split Key" V1_2;
    0x29 JOIN_SPLIT_KEY "Join Split Key" V1_2;
    0x2A IMPORT "Import" V1_4;
    0x2B EXPORT "Export" V1_4;
    0x2C LOG "Log" V2_0;
    0x2D LOGIN "Login" V2_0;
    0x2E LOGOUT "Logout" V2_0;
    0x2F DELEGATED_LOGIN "Delegated Login" V2_0;
    0x30 ADJUST_ATTRIBUTE "Adjust Attribute" V2_0;
    0x31 SET_ATTRIBUTE "Set Attribute" V2_0;
    0x32 SET_ENDPOINT_ROLE "Set Endpoint Role" V2_0;
    0x33 PKCS_11 "PKCS#11" V2_0;
    0x34 INTEROP "Interop" V2_0;
    0x35 RE_PROVISION "Re-Provision" V2_0;
    0x36 SET_DEFAULTS "Set Defaults" V2_1;
    0x37 SET_CONSTRAINTS "Set Constraints" V2_1;
    0x38 GET_CONSTRAINTS "Get Constraints" V2_1;
    0x39 QUERY_ASYNCHRONOUS_REQUESTS "Query Asynchronous Requests" V2_1;
    0x3A PROCESS "Process" V2_1;
    0x3B PING "Ping" V2_1;
}

enumeration! {
    /// Processing Stage (KMIP 2.1 §11).
    ProcessingStage
    0x01 SUBMITTED "Submitted";
    0x02 IN_PROCESS "In Process";
    0x03 COMPLETED "Completed";
}

enumeration! {
    /// Protection Level (KMIP 2.1 §11).
    ProtectionLevel
    0x01 HIGH "High";
    0x02 LOW "Low";
}

enumeration! {
    /// Put Function (KMIP 1.4 §9.1.3.2.26).
    PutFunction
    0x01 NEW "New";
    0x02 REPLACE "Replace";
}

dated_enumeration! {
    /// Query Function (KMIP 1.4 §9.1.3.2.24).
    QueryFunction
    0x01 QUERY_OPERATIONS "Query Operations" V1_0;
    0x02 QUERY_OBJECTS "Query Objects" V1_0;
    0x03 QUERY_SERVER_INFORMATION "Query Server Information" V1_0;
    0x04 QUERY_APPLICATION_NAMESPACES "Query Application Namespaces" V1_0;
    0x05 QUERY_EXTENSION_LIST "Query Extension List" V1_1;
    0x06 QUERY_EXTENSION_MAP "Query Extension Map" V1_1;
    0x07 QUERY_ATTESTATION_TYPES "Query Attestation Types" V1_2;
    0x08 QUERY_RN_GS "Query RNGs" V1_3;
    0x09 QUERY_VALIDATIONS "Query Validations" V1_3;
    0x0A QUERY_PROFILES "Query Profiles" V1_3;
    0x0B QUERY_CAPABILITIES "Query Capabilities" V1_3;
    0x0C QUERY_CLIENT_REGISTRATION_METHODS "Query Client Registration Methods" V1_3;
    0x0D QUERY_DEFAULTS_INFORMATION "Query Defaults Information" V2_0;
    0x0E QUERY_STORAGE_PROTECTION_MASKS "Query Storage Protection Masks" V2_0;
}

dated_enumeration! {
    /// Result Reason (KMIP 1.4 §9.1.3.2.29).
    ResultReason
    0x01 ITEM_NOT_FOUND "Item Not Found" V1_0;
    0x02 RESPONSE_TOO_LARGE "Response Too Large" V1_0;
    0x03 AUTHENTICATION_NOT_SUCCESSFUL "Authentication Not Successful" V1_0;
    0x04 INVALID_MESSAGE "Invalid Message" V1_0;
    0x05 OPERATION_NOT_SUPPORTED "Operation Not Supported" V1_0;
    0x06 MISSING_DATA "Missing Data" V1_0;
    0x07 INVALID_FIELD "Invalid Field" V1_0;
    0x08 FEATURE_NOT_SUPPORTED "Feature Not Supported" V1_0;
    0x09 OPERATION_CANCELED_BY_REQUESTER "Operation Canceled By Requester" V1_0;
    0x0A CRYPTOGRAPHIC_FAILURE "Cryptographic Failure" V1_0;
    0x0B ILLEGAL_OPERATION "Illegal Operation" V1_0;
    0x0C PERMISSION_DENIED "Permission Denied" V1_0;
    0x0D OBJECT_ARCHIVED "Object Archived" V1_0;
    0x0E INDEX_OUT_OF_BOUNDS "Index Out of Bounds" V1_0;
    0x0F APPLICATION_NAMESPACE_NOT_SUPPORTED "Application Namespace Not Supported" V1_0;
    0x10 KEY_FORMAT_TYPE_NOT_SUPPORTED "Key Format Type Not Supported" V1_0;
    0x11 KEY_COMPRESSION_TYPE_NOT_SUPPORTED "Key Compression Type Not Supported" V1_0;
    0x12 ENCODING_OPTION_ERROR "Encoding Option Error" V1_1;
    0x13 KEY_VALUE_NOT_PRESENT "Key Value Not Present" V1_2;
    0x14 ATTESTATION_REQUIRED "Attestation Required" V1_2;
    0x15 ATTESTATION_FAILED "Attestation Failed" V1_2;
    0x16 SENSITIVE "Sensitive" V1_4;
    0x17 NOT_EXTRACTABLE "Not Extractable" V1_4;
    0x18 OBJECT_ALREADY_EXISTS "Object Already Exists" V1_4;
    0x19 INVALID_TICKET "Invalid Ticket" V2_0;
    0x1A USAGE_LIMIT_EXCEEDED "Usage Limit Exceeded" V2_0;
    0x1B NUMERIC_RANGE "Numeric Range" V2_0;
    0x1C INVALID_DATA_TYPE "Invalid Data Type" V2_0;
    0x1D READ_ONLY_ATTRIBUTE "Read Only Attribute" V2_0;
    0x1E MULTI_VALUED_ATTRIBUTE "Multi Valued Attribute" V2_0;
    0x1F UNSUPPORTED_ATTRIBUTE "Unsupported Attribute" V2_0;
    0x20 ATTRIBUTE_INSTANCE_NOT_FOUND "Attribute Instance Not Found" V2_0;
    0x21 ATTRIBUTE_NOT_FOUND "Attribute Not Found" V2_0;
    0x22 ATTRIBUTE_READ_ONLY "Attribute Read Only" V2_0;
    0x23 ATTRIBUTE_SINGLE_VALUED "Attribute Single Valued" V2_0;
    0x24 BAD_CRYPTOGRAPHIC_PARAMETERS "Bad Cryptographic Parameters" V2_0;
    0x25 BAD_PASSWORD "Bad Password" V2_0;
    0x26 CODEC_ERROR "Codec Error" V2_0;
    0x28 ILLEGAL_OBJECT_TYPE "Illegal Object Type" V2_0;
    0x29 INCOMPATIBLE_CRYPTOGRAPHIC_USAGE_MASK "Incompatible Cryptographic Usage Mask" V2_0;
    0x2A INTERNAL_SERVER_ERROR "Internal Server Error" V2_0;
    0x2B INVALID_ASYNCHRONOUS_CORRELATION_VALUE "Invalid Asynchronous Correlation Value" V2_0;
    0x2C INVALID_ATTRIBUTE "Invalid Attribute" V2_0;
    0x2D INVALID_ATTRIBUTE_VALUE "Invalid Attribute Value" V2_0;
    0x2E INVALID_CORRELATION_VALUE "Invalid Correlation Value" V2_0;
    0x2F INVALID_CSR "Invalid CSR" V2_0;
    0x30 INVALID_OBJECT_TYPE "Invalid Object Type" V2_0;
    0x32 KEY_WRAP_TYPE_NOT_SUPPORTED "Key Wrap Type Not Supported" V2_0;
    0x34 MISSING_INITIALIZATION_VECTOR "Missing Initialization Vector" V2_0;
    0x35 NON_UNIQUE_NAME_ATTRIBUTE "Non Unique Name Attribute" V2_0;
    0x36 OBJECT_DESTROYED "Object Destroyed" V2_0;
    0x37 OBJECT_NOT_FOUND "Object Not Found" V2_0;
    0x39 NOT_AUTHORISED "Not Authorised" V2_0;
    0x3A SERVER_LIMIT_EXCEEDED "Server Limit Exceeded" V2_0;
    0x3B UNKNOWN_ENUMERATION "Unknown Enumeration" V2_0;
    0x3C UNKNOWN_MESSAGE_EXTENSION "Unknown Message Extension" V2_0;
    0x3D UNKNOWN_TAG "Unknown Tag" V2_0;
    0x3E UNSUPPORTED_CRYPTOGRAPHIC_PARAMETERS "Unsupported Cryptographic Parameters" V2_0;
    0x3F UNSUPPORTED_PROTOCOL_VERSION "Unsupported Protocol Version" V2_0;
    0x40 WRAPPING_OBJECT_ARCHIVED "Wrapping Object Archived" V2_0;
    0x41 WRAPPING_OBJECT_DESTROYED "Wrapping Object Destroyed" V2_0;
    0x42 WRAPPING_OBJECT_NOT_FOUND "Wrapping Object Not Found" V2_0;
    0x43 WRONG_KEY_LIFECYCLE_STATE "Wrong Key Lifecycle State" V2_1;
    0x44 PROTECTION_STORAGE_UNAVAILABLE "Protection Storage Unavailable" V2_0;
    0x45 PKCS_11_CODEC_ERROR "PKCS#11 Codec Error" V2_0;
    0x46 PKCS_11_INVALID_FUNCTION "PKCS#11 Invalid Function" V2_0;
    0x47 PKCS_11_INVALID_INTERFACE "PKCS#11 Invalid Interface" V2_0;
    0x48 PRIVATE_PROTECTION_STORAGE_UNAVAILABLE "Private Protection Storage Unavailable" V2_1;
    0x49 PUBLIC_PROTECTION_STORAGE_UNAVAILABLE "Public Protection Storage Unavailable" V2_1;
    0x4A UNKNOWN_OBJECT_GROUP "Unknown Object Group" V2_1;
    0x4B CONSTRAINT_VIOLATION "Constraint Violation" V2_1;
    0x4C DUPLICATE_PROCESS_REQUEST "Duplicate Process Request" V2_1;
    0x100 GENERAL_FAILURE "General Failure" V1_0;
}

enumeration! {
    /// Result Status (KMIP 1.4 §9.1.3.2.28).
    ResultStatus
    0x00 SUCCESS "Success";
    0x01 OPERATION_FAILED "Operation Failed";
    0x02 OPERATION_PENDING "Operation Pending";
    0x03 OPERATION_UNDONE "Operation Undone";
}

enumeration! {
    /// Revocation Reason Code (KMIP 1.4 §9.1.3.2.19).
    RevocationReasonCode
    0x01 UNSPECIFIED "Unspecified";
    0x02 KEY_COMPROMISE "Key Compromise";
    0x03 CA_COMPROMISE "CA Compromise";
    0x04 AFFILIATION_CHANGED "Affiliation Changed";
    0x05 SUPERSEDED "Superseded";
    0x06 CESSATION_OF_OPERATION "Cessation of Operation";
    0x07 PRIVILEGE_WITHDRAWN "Privilege Withdrawn";
}

enumeration! {
    /// Rotate Name Type (KMIP 2.1 §11).
    RotateNameType
    0x01 UNINTERPRETED_TEXT_STRING "Uninterpreted Text String";
    0x02 URI "URI";
}

enumeration! {
    /// Secret Data Type (KMIP 1.4 §9.1.3.2.9).
    SecretDataType
    0x01 PASSWORD "Password";
    0x02 SEED "Seed";
}

enumeration! {
    /// Split Key Method (KMIP 1.4 §9.1.3.2.8).
    SplitKeyMethod
    0x01 XOR "XOR";
    0x02 POLYNOMIAL_SHARING_GF_216 "Polynomial Sharing GF (216)";
    0x03 POLYNOMIAL_SHARING_PRIME_FIELD "Polynomial Sharing Prime Field";
    0x04 POLYNOMIAL_SHARING_GF_28 "Polynomial Sharing GF (28)";
}

enumeration! {
    /// State (KMIP 1.4 §9.1.3.2.18).
    State
    0x01 PRE_ACTIVE "Pre-Active";
    0x02 ACTIVE "Active";
    0x03 DEACTIVATED "Deactivated";
    0x04 COMPROMISED "Compromised";
    0x05 DESTROYED "Destroyed";
    0x06 DESTROYED_COMPROMISED "Destroyed Compromised";
}

enumeration! {
    /// Ticket Type (KMIP 2.1 §11).
    TicketType
    0x01 LOGIN "Login";
}

enumeration! {
    /// Unique Identifier (KMIP 2.1 §11).
    UniqueIdentifierForm
    0x01 ID_PLACEHOLDER "ID Placeholder";
    0x02 CERTIFY "Certify";
    0x03 CREATE "Create";
    0x04 CREATE_KEY_PAIR "Create Key Pair";
    0x05 CREATE_KEY_PAIR_PRIVATE_KEY "Create Key Pair Private Key";
    0x06 CREATE_KEY_PAIR_PUBLIC_KEY "Create Key Pair Public Key";
    0x07 CREATE_SPLIT_KEY "Create Split Key";
    0x08 DERIVE_KEY "Derive Key";
    0x09 IMPORT "Import";
    0x0A JOIN_SPLIT_KEY "Join Split Key";
    0x0B LOCATE "Locate";
    0x0C REGISTER "Register";
    0x0D RE_KEY "Re-key";
    0x0E RE_CERTIFY "Re-certify";
    0x0F RE_KEY_KEY_PAIR "Re-key Key Pair";
    0x10 RE_KEY_KEY_PAIR_PRIVATE_KEY "Re-key Key Pair Private Key";
    0x11 RE_KEY_KEY_PAIR_PUBLIC_KEY "Re-key Key Pair Public Key";
}

enumeration! {
    /// Unwrap Mode (KMIP 1.4 §9.1.3.2.43).
    UnwrapMode
    0x01 UNSPECIFIED "Unspecified";
    0x02 PROCESSED "Processed";
    0x03 NOT_PROCESSED "Not Processed";
}

enumeration! {
    /// Usage Limits Unit (KMIP 1.4 §9.1.3.2.31).
    UsageLimitsUnit
    0x01 BYTE "Byte";
    0x02 OBJECT "Object";
}

enumeration! {
    /// Validation Authority Type (KMIP 1.4 §9.1.3.2.40).
    ValidationAuthorityType
    0x01 UNSPECIFIED "Unspecified";
    0x02 NIST_CMVP "NIST CMVP";
    0x03 COMMON_CRITERIA "Common Criteria";
}

enumeration! {
    /// Validation Type (KMIP 1.4 §9.1.3.2.41).
    ValidationType
    0x01 UNSPECIFIED "Unspecified";
    0x02 HARDWARE "Hardware";
    0x03 SOFTWARE "Software";
    0x04 FIRMWARE "Firmware";
    0x05 HYBRID "Hybrid";
}

enumeration! {
    /// Validity Indicator (KMIP 1.4 §9.1.3.2.23).
    ValidityIndicator
    0x01 VALID "Valid";
    0x02 INVALID "Invalid";
    0x03 UNKNOWN "Unknown";
}

enumeration! {
    /// Wrapping Method (KMIP 1.4 §9.1.3.2.4).
    WrappingMethod
    0x01 ENCRYPT "Encrypt";
    0x02 MAC_SIGN "MAC/sign";
    0x03 ENCRYPT_THEN_MAC_SIGN "Encrypt then MAC/sign";
    0x04 MAC_SIGN_THEN_ENCRYPT "MAC/sign then encrypt";
    0x05 TR_31 "TR-31";
}

/// Number and name of the values that a field with this tag can have, in ascending order; `None`
/// when the field is no enumeration. This is what prints attribute values for people and reads
/// them in the XML and JSON encodings.
#[must_use]
pub fn values_of(tag: Tag) -> Option<&'static [(u32, &'static str)]> {
    let table = match tag {
        Tag::ADJUSTMENT_TYPE => AdjustmentType::TABLE,
        Tag::ALTERNATIVE_NAME_TYPE => AlternativeNameType::TABLE,
        Tag::ASYNCHRONOUS_INDICATOR => AsynchronousIndicator::TABLE,
        Tag::ATTESTATION_TYPE => AttestationType::TABLE,
        Tag::BATCH_ERROR_CONTINUATION_OPTION => BatchErrorContinuationOption::TABLE,
        Tag::BLOCK_CIPHER_MODE => BlockCipherMode::TABLE,
        Tag::CANCELLATION_RESULT => CancellationResult::TABLE,
        Tag::CERTIFICATE_REQUEST_TYPE => CertificateRequestType::TABLE,
        Tag::CERTIFICATE_TYPE => CertificateType::TABLE,
        Tag::CLIENT_REGISTRATION_METHOD => ClientRegistrationMethod::TABLE,
        Tag::CREDENTIAL_TYPE => CredentialType::TABLE,
        Tag::CRYPTOGRAPHIC_ALGORITHM => CryptographicAlgorithm::TABLE,
        Tag::DERIVATION_METHOD => DerivationMethod::TABLE,
        Tag::DESTROY_ACTION => DestroyAction::TABLE,
        Tag::DIGITAL_SIGNATURE_ALGORITHM => DigitalSignatureAlgorithm::TABLE,
        Tag::DRBG_ALGORITHM => DrbgAlgorithm::TABLE,
        Tag::ENCODING_OPTION => EncodingOption::TABLE,
        Tag::ENDPOINT_ROLE => EndpointRole::TABLE,
        Tag::FIPS186_VARIATION => Fips186Variation::TABLE,
        Tag::HASHING_ALGORITHM => HashingAlgorithm::TABLE,
        Tag::INTEROP_FUNCTION => InteropFunction::TABLE,
        Tag::KEY_COMPRESSION_TYPE => KeyCompressionType::TABLE,
        Tag::KEY_FORMAT_TYPE => KeyFormatType::TABLE,
        Tag::KEY_ROLE_TYPE => KeyRoleType::TABLE,
        Tag::KEY_VALUE_LOCATION_TYPE => KeyValueLocationType::TABLE,
        Tag::KEY_WRAP_TYPE => KeyWrapType::TABLE,
        Tag::LINK_TYPE => LinkType::TABLE,
        Tag::MASK_GENERATOR => MaskGenerator::TABLE,
        Tag::MASK_GENERATOR_HASHING_ALGORITHM => HashingAlgorithm::TABLE,
        Tag::NAME_TYPE => NameType::TABLE,
        Tag::NIST_KEY_TYPE => NistKeyType::TABLE,
        Tag::OBJECT_GROUP_MEMBER => ObjectGroupMember::TABLE,
        Tag::OBJECT_TYPE => ObjectType::TABLE,
        Tag::OPAQUE_DATA_TYPE => OpaqueDataType::TABLE,
        Tag::OPERATION => Operation::TABLE,
        Tag::PADDING_METHOD => PaddingMethod::TABLE,
        Tag::PROCESSING_STAGE => ProcessingStage::TABLE,
        Tag::PROTECTION_LEVEL => ProtectionLevel::TABLE,
        Tag::PUT_FUNCTION => PutFunction::TABLE,
        Tag::QUERY_FUNCTION => QueryFunction::TABLE,
        Tag::RECOMMENDED_CURVE => RecommendedCurve::TABLE,
        Tag::RESULT_REASON => ResultReason::TABLE,
        Tag::RESULT_STATUS => ResultStatus::TABLE,
        Tag::REVOCATION_REASON_CODE => RevocationReasonCode::TABLE,
        Tag::RNG_ALGORITHM => RngAlgorithm::TABLE,
        Tag::RNG_MODE => RngMode::TABLE,
        Tag::ROTATE_NAME_TYPE => RotateNameType::TABLE,
        Tag::SECRET_DATA_TYPE => SecretDataType::TABLE,
        Tag::SHREDDING_ALGORITHM => ShreddingAlgorithm::TABLE,
        Tag::SPLIT_KEY_METHOD => SplitKeyMethod::TABLE,
        Tag::STATE => State::TABLE,
        Tag::TICKET_TYPE => TicketType::TABLE,
        Tag::UNIQUE_IDENTIFIER => UniqueIdentifierForm::TABLE,
        Tag::UNWRAP_MODE => UnwrapMode::TABLE,
        Tag::USAGE_LIMITS_UNIT => UsageLimitsUnit::TABLE,
        Tag::VALIDATION_AUTHORITY_TYPE => ValidationAuthorityType::TABLE,
        Tag::VALIDATION_TYPE => ValidationType::TABLE,
        Tag::VALIDITY_INDICATOR => ValidityIndicator::TABLE,
        Tag::WRAPPING_METHOD => WrappingMethod::TABLE,
        _ => return None,
    };
    Some(table)
}
