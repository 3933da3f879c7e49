//! The tags of KMIP: number, name and the version that brought each (KMIP 2.1 §11.61, earlier
//! versions §9.1.3.1). Written by `tables/generate.py`; a new version of the standard is taken up
//! there.

use std::fmt;

use crate::version::ProtocolVersion;

/// The three-byte tag that names a field (KMIP 1.4 §9.1.1.1). Any number can occur on the wire;
/// the constants are those of the standard.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(pub u32);

/// One row of the table of tags.
#[derive(Debug)]
struct Row {
    tag: u32,
    name: &'static str,
    since: ProtocolVersion,
}

impl Tag {
    fn row(self) -> Option<&'static Row> {
        let at = TABLE.binary_search_by_key(&self.0, |row| row.tag).ok()?;
        TABLE.get(at)
    }

    /// The name in the specification, "Unique Identifier"; `None` for tags it does not have.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        self.row().map(|row| row.name)
    }

    /// The tag with this name as the specification spells it.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Tag> {
        TABLE
            .iter()
            .find(|row| row.name == name)
            .map(|row| Tag(row.tag))
    }

    /// The first version that has this tag; `None` for tags of no version.
    #[must_use]
    pub fn since(self) -> Option<ProtocolVersion> {
        self.row().map(|row| row.since)
    }

    /// Whether a peer that speaks `version` knows this tag. Extension tags (0x54....) are known
    /// to whoever agreed on them, so they count as known.
    #[must_use]
    pub fn is_known_to(self, version: ProtocolVersion) -> bool {
        self.is_extension() || self.since().is_some_and(|since| since <= version)
    }

    /// Tags 0x540000 to 0x54FFFF are for agreements outside the standard.
    #[must_use]
    pub fn is_extension(self) -> bool {
        self.0 >> 16 == 0x54
    }

    /// All tags of the standard in ascending order.
    pub fn all() -> impl Iterator<Item = Tag> {
        TABLE.iter().map(|row| Tag(row.tag))
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "tag 0x{:06X}", self.0),
        }
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

macro_rules! tags {
    ($($number:literal $constant:ident $name:literal $since:ident;)*) => {
        impl Tag {
            $(#[doc = $name] pub const $constant: Tag = Tag($number);)*
        }
        const TABLE: &[Row] = &[
            $(Row { tag: $number, name: $name, since: ProtocolVersion::$since },)*
        ];
    };
}

tags! {
    0x420001 ACTIVATION_DATE "Activation Date" V1_0;
    0x420002 APPLICATION_DATA "Application Data" V1_0;
    0x420003 APPLICATION_NAMESPACE "Application Namespace" V1_0;
    0x420004 APPLICATION_SPECIFIC_INFORMATION "Application Specific Information" V1_0;
    0x420005 ARCHIVE_DATE "Archive Date" V1_0;
    0x420006 ASYNCHRONOUS_CORRELATION_VALUE "Asynchronous Correlation Value" V1_0;
    0x420007 ASYNCHRONOUS_INDICATOR "Asynchronous Indicator" V1_0;
    0x420008 ATTRIBUTE "Attribute" V1_0;
    0x420009 ATTRIBUTE_INDEX "Attribute Index" V1_0;
    0x42000A ATTRIBUTE_NAME "Attribute Name" V1_0;
    0x42000B ATTRIBUTE_VALUE "Attribute Value" V1_0;
    0x42000C AUTHENTICATION "Authentication" V1_0;
    0x42000D BATCH_COUNT "Batch Count" V1_0;
    0x42000E BATCH_ERROR_CONTINUATION_OPTION "Batch Error Continuation Option" V1_0;
    0x42000F BATCH_ITEM "Batch Item" V1_0;
    0x420010 BATCH_ORDER_OPTION "Batch Order Option" V1_0;
    0x420011 BLOCK_CIPHER_MODE "Block Cipher Mode" V1_0;
    0x420012 CANCELLATION_RESULT "Cancellation Result" V1_0;
    0x420013 CERTIFICATE "Certificate" V1_0;
    0x420014 CERTIFICATE_IDENTIFIER "Certificate Identifier" V1_0;
    0x420015 CERTIFICATE_ISSUER "Certificate Issuer" V1_0;
    0x420016 CERTIFICATE_ISSUER_ALTERNATIVE_NAME "Certificate Issuer Alternative Name" V1_0;
    0x420017 CERTIFICATE_ISSUER_DISTINGUISHED_NAME "Certificate Issuer Distinguished Name" V1_0;
    0x420018 CERTIFICATE_REQUEST "Certificate Request" V1_0;
    0x420019 CERTIFICATE_REQUEST_TYPE "Certificate Request Type" V1_0;
    0x42001A CERTIFICATE_SUBJECT "Certificate Subject" V1_0;
    0x42001B CERTIFICATE_SUBJECT_ALTERNATIVE_NAME "Certificate Subject Alternative Name" V1_0;
    0x42001C CERTIFICATE_SUBJECT_DISTINGUISHED_NAME "Certificate Subject Distinguished Name" V1_0;
    0x42001D CERTIFICATE_TYPE "Certificate Type" V1_0;
    0x42001E CERTIFICATE_VALUE "Certificate Value" V1_0;
    0x42001F COMMON_TEMPLATE_ATTRIBUTE "Common Template-Attribute" V1_0;
    0x420020 COMPROMISE_DATE "Compromise Date" V1_0;
    0x420021 COMPROMISE_OCCURRENCE_DATE "Compromise Occurrence Date" V1_0;
    0x420022 CONTACT_INFORMATION "Contact Information" V1_0;
    0x420023 CREDENTIAL "Credential" V1_0;
    0x420024 CREDENTIAL_TYPE "Credential Type" V1_0;
    0x420025 CREDENTIAL_VALUE "Credential Value" V1_0;
    0x420026 CRITICALITY_INDICATOR "Criticality Indicator" V1_0;
    0x420027 CRT_COEFFICIENT "CRT Coefficient" V1_0;
    0x420028 CRYPTOGRAPHIC_ALGORITHM "Cryptographic Algorithm" V1_0;
    0x420029 CRYPTOGRAPHIC_DOMAIN_PARAMETERS "Cryptographic Domain Parameters" V1_0;
    0x42002A CRYPTOGRAPHIC_LENGTH "Cryptographic Length" V1_0;
    0x42002B CRYPTOGRAPHIC_PARAMETERS "Cryptographic Parameters" V1_0;
    0x42002C CRYPTOGRAPHIC_USAGE_MASK "Cryptographic Usage Mask" V1_0;
    0x42002D CUSTOM_ATTRIBUTE "Custom Attribute" V1_0;
    0x42002E D "D" V1_0;
    0x42002F DEACTIVATION_DATE "Deactivation Date" V1_0;
    0x420030 DERIVATION_DATA "Derivation Data" V1_0;
    0x420031 DERIVATION_METHOD "Derivation Method" V1_0;
    0x420032 DERIVATION_PARAMETERS "Derivation Parameters" V1_0;
    0x420033 DESTROY_DATE "Destroy Date" V1_0;
    0x420034 DIGEST "Digest" V1_0;
    0x420035 DIGEST_VALUE "Digest Value" V1_0;
    0x420036 ENCRYPTION_KEY_INFORMATION "Encryption Key Information" V1_0;
    0x420037 G "G" V1_0;
    0x420038 HASHING_ALGORITHM "Hashing Algorithm" V1_0;
    0x420039 INITIAL_DATE "Initial Date" V1_0;
    0x42003A INITIALIZATION_VECTOR "Initialization Vector" V1_0;
    0x42003B ISSUER "Issuer" V1_0;
    0x42003C ITERATION_COUNT "Iteration Count" V1_0;
    0x42003D IV_COUNTER_NONCE "IV/Counter/Nonce" V1_0;
    0x42003E J "J" V1_0;
    0x42003F KEY "Key" V1_0;
    0x420040 KEY_BLOCK "Key Block" V1_0;
    0x420041 KEY_COMPRESSION_TYPE "Key Compression Type" V1_0;
    0x420042 KEY_FORMAT_TYPE "Key Format Type" V1_0;
    0x420043 KEY_MATERIAL "Key Material" V1_0;
    0x420044 KEY_PART_IDENTIFIER "Key Part Identifier" V1_0;
    0x420045 KEY_VALUE "Key Value" V1_0;
    0x420046 KEY_WRAPPING_DATA "Key Wrapping Data" V1_0;
    0x420047 KEY_WRAPPING_SPECIFICATION "Key Wrapping Specification" V1_0;
    0x420048 LAST_CHANGE_DATE "Last Change Date" V1_0;
    0x420049 LEASE_TIME "Lease Time" V1_0;
    0x42004A LINK "Link" V1_0;
    0x42004B LINK_TYPE "Link Type" V1_0;
    0x42004C LINKED_OBJECT_IDENTIFIER "Linked Object Identifier" V1_0;
    0x42004D MAC_SIGNATURE "MAC/Signature" V1_0;
    0x42004E MAC_SIGNATURE_KEY_INFORMATION "MAC/Signature Key Information" V1_0;
    0x42004F MAXIMUM_ITEMS "Maximum Items" V1_0;
    0x420050 MAXIMUM_RESPONSE_SIZE "Maximum Response Size" V1_0;
    0x420051 MESSAGE_EXTENSION "Message Extension" V1_0;
    0x420052 MODULUS "Modulus" V1_0;
    0x420053 NAME "Name" V1_0;
    0x420054 NAME_TYPE "Name Type" V1_0;
    0x420055 NAME_VALUE "Name Value" V1_0;
    0x420056 OBJECT_GROUP "Object Group" V1_0;
    0x420057 OBJECT_TYPE "Object Type" V1_0;
    0x420058 OFFSET "Offset" V1_0;
    0x420059 OPAQUE_DATA_TYPE "Opaque Data Type" V1_0;
    0x42005A OPAQUE_DATA_VALUE "Opaque Data Value" V1_0;
    0x42005B OPAQUE_OBJECT "Opaque Object" V1_0;
    0x42005C OPERATION "Operation" V1_0;
    0x42005D OPERATION_POLICY_NAME "Operation Policy Name" V1_0;
    0x42005E P "P" V1_0;
    0x42005F PADDING_METHOD "Padding Method" V1_0;
    0x420060 PRIME_EXPONENT_P "Prime Exponent P" V1_0;
    0x420061 PRIME_EXPONENT_Q "Prime Exponent Q" V1_0;
    0x420062 PRIME_FIELD_SIZE "Prime Field Size" V1_0;
    0x420063 PRIVATE_EXPONENT "Private Exponent" V1_0;
    0x420064 PRIVATE_KEY "Private Key" V1_0;
    0x420065 PRIVATE_KEY_TEMPLATE_ATTRIBUTE "Private Key Template-Attribute" V1_0;
    0x420066 PRIVATE_KEY_UNIQUE_IDENTIFIER "Private Key Unique Identifier" V1_0;
    0x420067 PROCESS_START_DATE "Process Start Date" V1_0;
    0x420068 PROTECT_STOP_DATE "Protect Stop Date" V1_0;
    0x420069 PROTOCOL_VERSION "Protocol Version" V1_0;
    0x42006A PROTOCOL_VERSION_MAJOR "Protocol Version Major" V1_0;
    0x42006B PROTOCOL_VERSION_MINOR "Protocol Version Minor" V1_0;
    0x42006C PUBLIC_EXPONENT "Public Exponent" V1_0;
    0x42006D PUBLIC_KEY "Public Key" V1_0;
    0x42006E PUBLIC_KEY_TEMPLATE_ATTRIBUTE "Public Key Template-Attribute" V1_0;
    0x42006F PUBLIC_KEY_UNIQUE_IDENTIFIER "Public Key Unique Identifier" V1_0;
    0x420070 PUT_FUNCTION "Put Function" V1_0;
    0x420071 Q "Q" V1_0;
    0x420072 Q_STRING "Q String" V1_0;
    0x420073 QLENGTH "Qlength" V1_0;
    0x420074 QUERY_FUNCTION "Query Function" V1_0;
    0x420075 RECOMMENDED_CURVE "Recommended Curve" V1_0;
    0x420076 REPLACED_UNIQUE_IDENTIFIER "Replaced Unique Identifier" V1_0;
    0x420077 REQUEST_HEADER "Request Header" V1_0;
    0x420078 REQUEST_MESSAGE "Request Message" V1_0;
    0x420079 REQUEST_PAYLOAD "Request Payload" V1_0;
    0x42007A RESPONSE_HEADER "Response Header" V1_0;
    0x42007B RESPONSE_MESSAGE "Response Message" V1_0;
    0x42007C RESPONSE_PAYLOAD "Response Payload" V1_0;
    0x42007D RESULT_MESSAGE "Result Message" V1_0;
    0x42007E RESULT_REASON "Result Reason" V1_0;
    0x42007F RESULT_STATUS "Result Status" V1_0;
    0x420080 REVOCATION_MESSAGE "Revocation Message" V1_0;
    0x420081 REVOCATION_REASON "Revocation Reason" V1_0;
    0x420082 REVOCATION_REASON_CODE "Revocation Reason Code" V1_0;
    0x420083 KEY_ROLE_TYPE "Key Role Type" V1_0;
    0x420084 SALT "Salt" V1_0;
    0x420085 SECRET_DATA "Secret Data" V1_0;
    0x420086 SECRET_DATA_TYPE "Secret Data Type" V1_0;
    0x420087 SERIAL_NUMBER "Serial Number" V1_0;
    0x420088 SERVER_INFORMATION "Server Information" V1_0;
    0x420089 SPLIT_KEY "Split Key" V1_0;
    0x42008A SPLIT_KEY_METHOD "Split Key Method" V1_0;
    0x42008B SPLIT_KEY_PARTS "Split Key Parts" V1_0;
    0x42008C SPLIT_KEY_THRESHOLD "Split Key Threshold" V1_0;
    0x42008D STATE "State" V1_0;
    0x42008E STORAGE_STATUS_MASK "Storage Status Mask" V1_0;
    0x42008F SYMMETRIC_KEY "Symmetric Key" V1_0;
    0x420090 TEMPLATE "Template" V1_0;
    0x420091 TEMPLATE_ATTRIBUTE "Template-Attribute" V1_0;
    0x420092 TIME_STAMP "Time Stamp" V1_0;
    0x420093 UNIQUE_BATCH_ITEM_ID "Unique Batch Item ID" V1_0;
    0x420094 UNIQUE_IDENTIFIER "Unique Identifier" V1_0;
    0x420095 USAGE_LIMITS "Usage Limits" V1_0;
    0x420096 USAGE_LIMITS_COUNT "Usage Limits Count" V1_0;
    0x420097 USAGE_LIMITS_TOTAL "Usage Limits Total" V1_0;
    0x420098 USAGE_LIMITS_UNIT "Usage Limits Unit" V1_0;
    0x420099 USERNAME "Username" V1_0;
    0x42009A VALIDITY_DATE "Validity Date" V1_0;
    0x42009B VALIDITY_INDICATOR "Validity Indicator" V1_0;
    0x42009C VENDOR_EXTENSION "Vendor Extension" V1_0;
    0x42009D VENDOR_IDENTIFICATION "Vendor Identification" V1_0;
    0x42009E WRAPPING_METHOD "Wrapping Method" V1_0;
    0x42009F X "X" V1_0;
    0x4200A0 Y "Y" V1_0;
    0x4200A1 PASSWORD "Password" V1_0;
    0x4200A2 DEVICE_IDENTIFIER "Device Identifier" V1_1;
    0x4200A3 ENCODING_OPTION "Encoding Option" V1_1;
    0x4200A4 EXTENSION_INFORMATION "Extension Information" V1_1;
    0x4200A5 EXTENSION_NAME "Extension Name" V1_1;
    0x4200A6 EXTENSION_TAG "Extension Tag" V1_1;
    0x4200A7 EXTENSION_TYPE "Extension Type" V1_1;
    0x4200A8 FRESH "Fresh" V1_1;
    0x4200A9 MACHINE_IDENTIFIER "Machine Identifier" V1_1;
    0x4200AA MEDIA_IDENTIFIER "Media Identifier" V1_1;
    0x4200AB NETWORK_IDENTIFIER "Network Identifier" V1_1;
    0x4200AC OBJECT_GROUP_MEMBER "Object Group Member" V1_1;
    0x4200AD CERTIFICATE_LENGTH "Certificate Length" V1_1;
    0x4200AE DIGITAL_SIGNATURE_ALGORITHM "Digital Signature Algorithm" V1_1;
    0x4200AF CERTIFICATE_SERIAL_NUMBER "Certificate Serial Number" V1_1;
    0x4200B0 DEVICE_SERIAL_NUMBER "Device Serial Number" V1_1;
    0x4200B1 ISSUER_ALTERNATIVE_NAME "Issuer Alternative Name" V1_1;
    0x4200B2 ISSUER_DISTINGUISHED_NAME "Issuer Distinguished Name" V1_1;
    0x4200B3 SUBJECT_ALTERNATIVE_NAME "Subject Alternative Name" V1_1;
    0x4200B4 SUBJECT_DISTINGUISHED_NAME "Subject Distinguished Name" V1_1;
    0x4200B5 X_509_CERTIFICATE_IDENTIFIER "X.509 Certificate Identifier" V1_1;
    0x4200B6 X_509_CERTIFICATE_ISSUER "X.509 Certificate Issuer" V1_1;
    0x4200B7 X_509_CERTIFICATE_SUBJECT "X.509 Certificate Subject" V1_1;
    0x4200B8 KEY_VALUE_LOCATION "Key Value Location" V1_2;
    0x4200B9 KEY_VALUE_LOCATION_VALUE "Key Value Location Value" V1_2;
    0x4200BA KEY_VALUE_LOCATION_TYPE "Key Value Location Type" V1_2;
    0x4200BB KEY_VALUE_PRESENT "Key Value Present" V1_2;
    0x4200BC ORIGINAL_CREATION_DATE "Original Creation Date" V1_2;
    0x4200BD PGP_KEY "PGP Key" V1_2;
    0x4200BE PGP_KEY_VERSION "PGP Key Version" V1_2;
    0x4200BF ALTERNATIVE_NAME "Alternative Name" V1_2;
    0x4200C0 ALTERNATIVE_NAME_VALUE "Alternative Name Value" V1_2;
    0x4200C1 ALTERNATIVE_NAME_TYPE "Alternative Name Type" V1_2;
    0x4200C2 DATA "Data" V1_2;
    0x4200C3 SIGNATURE_DATA "Signature Data" V1_2;
    0x4200C4 DATA_LENGTH "Data Length" V1_2;
    0x4200C5 RANDOM_IV "Random IV" V1_2;
    0x4200C6 MAC_DATA "MAC Data" V1_2;
    0x4200C7 ATTESTATION_TYPE "Attestation Type" V1_2;
    0x4200C8 NONCE "Nonce" V1_2;
    0x4200C9 NONCE_ID "Nonce ID" V1_2;
    0x4200CA NONCE_VALUE "Nonce Value" V1_2;
    0x4200CB ATTESTATION_MEASUREMENT "Attestation Measurement" V1_2;
    0x4200CC ATTESTATION_ASSERTION "Attestation Assertion" V1_2;
    0x4200CD IV_LENGTH "IV Length" V1_2;
    0x4200CE TAG_LENGTH "Tag Length" V1_2;
    0x4200CF FIXED_FIELD_LENGTH "Fixed Field Length" V1_2;
    0x4200D0 COUNTER_LENGTH "Counter Length" V1_2;
    0x4200D1 INITIAL_COUNTER_VALUE "Initial Counter Value" V1_2;
    0x4200D2 INVOCATION_FIELD_LENGTH "Invocation Field Length" V1_2;
    0x4200D3 ATTESTATION_CAPABLE_INDICATOR "Attestation Capable Indicator" V1_2;
    0x4200D4 OFFSET_ITEMS "Offset Items" V1_3;
    0x4200D5 LOCATED_ITEMS "Located Items" V1_3;
    0x4200D6 CORRELATION_VALUE "Correlation Value" V1_3;
    0x4200D7 INIT_INDICATOR "Init Indicator" V1_3;
    0x4200D8 FINAL_INDICATOR "Final Indicator" V1_3;
    0x4200D9 RNG_PARAMETERS "RNG Parameters" V1_3;
    0x4200DA RNG_ALGORITHM "RNG Algorithm" V1_3;
    0x4200DB DRBG_ALGORITHM "DRBG Algorithm" V1_3;
    0x4200DC FIPS186_VARIATION "FIPS186 Variation" V1_3;
    0x4200DD PREDICTION_RESISTANCE "Prediction Resistance" V1_3;
    0x4200DE RANDOM_NUMBER_GENERATOR "Random Number Generator" V1_3;
    0x4200DF VALIDATION_INFORMATION "Validation Information" V1_3;
    0x4200E0 VALIDATION_AUTHORITY_TYPE "Validation Authority Type" V1_3;
    0x4200E1 VALIDATION_AUTHORITY_COUNTRY "Validation Authority Country" V1_3;
    0x4200E2 VALIDATION_AUTHORITY_URI "Validation Authority URI" V1_3;
    0x4200E3 VALIDATION_VERSION_MAJOR "Validation Version Major" V1_3;
    0x4200E4 VALIDATION_VERSION_MINOR "Validation Version Minor" V1_3;
    0x4200E5 VALIDATION_TYPE "Validation Type" V1_3;
    0x4200E6 VALIDATION_LEVEL "Validation Level" V1_3;
    0x4200E7 VALIDATION_CERTIFICATE_IDENTIFIER "Validation Certificate Identifier" V1_3;
    0x4200E8 VALIDATION_CERTIFICATE_URI "Validation Certificate URI" V1_3;
    0x4200E9 VALIDATION_VENDOR_URI "Validation Vendor URI" V1_3;
    0x4200EA VALIDATION_PROFILE "Validation Profile" V1_3;
    0x4200EB PROFILE_INFORMATION "Profile Information" V1_3;
    0x4200EC PROFILE_NAME "Profile Name" V1_3;
    0x4200ED SERVER_URI "Server URI" V1_3;
    0x4200EE SERVER_PORT "Server Port" V1_3;
    0x4200EF STREAMING_CAPABILITY "Streaming Capability" V1_3;
    0x4200F0 ASYNCHRONOUS_CAPABILITY "Asynchronous Capability" V1_3;
    0x4200F1 ATTESTATION_CAPABILITY "Attestation Capability" V1_3;
    0x4200F2 UNWRAP_MODE "Unwrap Mode" V1_3;
    0x4200F3 DESTROY_ACTION "Destroy Action" V1_3;
    0x4200F4 SHREDDING_ALGORITHM "Shredding Algorithm" V1_3;
    0x4200F5 RNG_MODE "RNG Mode" V1_3;
    0x4200F6 CLIENT_REGISTRATION_METHOD "Client Registration Method" V1_3;
    0x4200F7 CAPABILITY_INFORMATION "Capability Information" V1_3;
    0x4200F8 KEY_WRAP_TYPE "Key Wrap Type" V1_4;
    0x4200F9 BATCH_UNDO_CAPABILITY "Batch Undo Capability" V1_4;
    0x4200FA BATCH_CONTINUE_CAPABILITY "Batch Continue Capability" V1_4;
    0x4200FB PKCS_12_FRIENDLY_NAME "PKCS#12 Friendly Name" V1_4;
    0x4200FC DESCRIPTION "Description" V1_4;
    0x4200FD COMMENT "Comment" V1_4;
    0x4200FE AUTHENTICATED_ENCRYPTION_ADDITIONAL_DATA
        "Authenticated Encryption Additional Data" V1_4;
    0x4200FF AUTHENTICATED_ENCRYPTION_TAG "Authenticated Encryption Tag" V1_4;
    0x420100 SALT_LENGTH "Salt Length" V1_4;
    0x420101 MASK_GENERATOR "Mask Generator" V1_4;
    0x420102 MASK_GENERATOR_HASHING_ALGORITHM "Mask Generator Hashing Algorithm" V1_4;
    0x420103 P_SOURCE "P Source" V1_4;
    0x420104 TRAILER_FIELD "Trailer Field" V1_4;
    0x420105 CLIENT_CORRELATION_VALUE "Client Correlation Value" V1_4;
    0x420106 SERVER_CORRELATION_VALUE "Server Correlation Value" V1_4;
    0x420107 DIGESTED_DATA "Digested Data" V1_4;
    0x420108 CERTIFICATE_SUBJECT_CN "Certificate Subject CN" V1_4;
    0x420109 CERTIFICATE_SUBJECT_O "Certificate Subject O" V1_4;
    0x42010A CERTIFICATE_SUBJECT_OU "Certificate Subject OU" V1_4;
    0x42010B CERTIFICATE_SUBJECT_EMAIL "Certificate Subject Email" V1_4;
    0x42010C CERTIFICATE_SUBJECT_C "Certificate Subject C" V1_4;
    0x42010D CERTIFICATE_SUBJECT_ST "Certificate Subject ST" V1_4;
    0x42010E CERTIFICATE_SUBJECT_L "Certificate Subject L" V1_4;
    0x42010F CERTIFICATE_SUBJECT_UID "Certificate Subject UID" V1_4;
    0x420110 CERTIFICATE_SUBJECT_SERIAL_NUMBER "Certificate Subject Serial Number" V1_4;
    0x420111 CERTIFICATE_SUBJECT_TITLE "Certificate Subject Title" V1_4;
    0x420112 CERTIFICATE_SUBJECT_DC "Certificate Subject DC" V1_4;
    0x420113 CERTIFICATE_SUBJECT_DN_QUALIFIER "Certificate Subject DN Qualifier" V1_4;
    0x420114 CERTIFICATE_ISSUER_CN "Certificate Issuer CN" V1_4;
    0x420115 CERTIFICATE_ISSUER_O "Certificate Issuer O" V1_4;
    0x420116 CERTIFICATE_ISSUER_OU "Certificate Issuer OU" V1_4;
    0x420117 CERTIFICATE_ISSUER_EMAIL "Certificate Issuer Email" V1_4;
    0x420118 CERTIFICATE_ISSUER_C "Certificate Issuer C" V1_4;
    0x420119 CERTIFICATE_ISSUER_ST "Certificate Issuer ST" V1_4;
    0x42011A CERTIFICATE_ISSUER_L "Certificate Issuer L" V1_4;
    0x42011B CERTIFICATE_ISSUER_UID "Certificate Issuer UID" V1_4;
    0x42011C CERTIFICATE_ISSUER_SERIAL_NUMBER "Certificate Issuer Serial Number" V1_4;
    0x42011D CERTIFICATE_ISSUER_TITLE "Certificate Issuer Title" V1_4;
    0x42011E CERTIFICATE_ISSUER_DC "Certificate Issuer DC" V1_4;
    0x42011F CERTIFICATE_ISSUER_DN_QUALIFIER "Certificate Issuer DN Qualifier" V1_4;
    0x420120 SENSITIVE "Sensitive" V1_4;
    0x420121 ALWAYS_SENSITIVE "Always Sensitive" V1_4;
    0x420122 EXTRACTABLE "Extractable" V1_4;
    0x420123 NEVER_EXTRACTABLE "Never Extractable" V1_4;
    0x420124 REPLACE_EXISTING "Replace Existing" V1_4;
    0x420125 ATTRIBUTES "Attributes" V2_0;
    0x420126 COMMON_ATTRIBUTES "Common Attributes" V2_0;
    0x420127 PRIVATE_KEY_ATTRIBUTES "Private Key Attributes" V2_0;
    0x420128 PUBLIC_KEY_ATTRIBUTES "Public Key Attributes" V2_0;
    0x420129 EXTENSION_ENUMERATION "Extension Enumeration" V2_0;
    0x42012A EXTENSION_ATTRIBUTE "Extension Attribute" V2_0;
    0x42012B EXTENSION_PARENT_STRUCTURE_TAG "Extension Parent Structure Tag" V2_0;
    0x42012C EXTENSION_DESCRIPTION "Extension Description" V2_0;
    0x42012D SERVER_NAME "Server Name" V2_0;
    0x42012E SERVER_SERIAL_NUMBER "Server Serial Number" V2_0;
    0x42012F SERVER_VERSION "Server Version" V2_0;
    0x420130 SERVER_LOAD "Server Load" V2_0;
    0x420131 PRODUCT_NAME "Product Name" V2_0;
    0x420132 BUILD_LEVEL "Build Level" V2_0;
    0x420133 BUILD_DATE "Build Date" V2_0;
    0x420134 CLUSTER_INFO "Cluster Info" V2_0;
    0x420135 ALTERNATE_FAILOVER_ENDPOINTS "Alternate Failover Endpoints" V2_0;
    0x420136 SHORT_UNIQUE_IDENTIFIER "Short Unique Identifier" V2_0;
    0x420138 TAG "Tag" V2_0;
    0x420139 CERTIFICATE_REQUEST_UNIQUE_IDENTIFIER "Certificate Request Unique Identifier" V2_0;
    0x42013A NIST_KEY_TYPE "NIST Key Type" V2_0;
    0x42013B ATTRIBUTE_REFERENCE "Attribute Reference" V2_0;
    0x42013C CURRENT_ATTRIBUTE "Current Attribute" V2_0;
    0x42013D NEW_ATTRIBUTE "New Attribute" V2_0;
    0x420140 CERTIFICATE_REQUEST_VALUE "Certificate Request Value" V2_0;
    0x420141 LOG_MESSAGE "Log Message" V2_0;
    0x420142 PROFILE_VERSION "Profile Version" V2_0;
    0x420143 PROFILE_VERSION_MAJOR "Profile Version Major" V2_0;
    0x420144 PROFILE_VERSION_MINOR "Profile Version Minor" V2_0;
    0x420145 PROTECTION_LEVEL "Protection Level" V2_0;
    0x420146 PROTECTION_PERIOD "Protection Period" V2_0;
    0x420147 QUANTUM_SAFE "Quantum Safe" V2_0;
    0x420148 QUANTUM_SAFE_CAPABILITY "Quantum Safe Capability" V2_0;
    0x420149 TICKET "Ticket" V2_0;
    0x42014A TICKET_TYPE "Ticket Type" V2_0;
    0x42014B TICKET_VALUE "Ticket Value" V2_0;
    0x42014C REQUEST_COUNT "Request Count" V2_0;
    0x42014D RIGHTS "Rights" V2_0;
    0x42014E OBJECTS "Objects" V2_0;
    0x42014F OPERATIONS "Operations" V2_0;
    0x420150 RIGHT "Right" V2_0;
    0x420151 ENDPOINT_ROLE "Endpoint Role" V2_0;
    0x420152 DEFAULTS_INFORMATION "Defaults Information" V2_0;
    0x420153 OBJECT_DEFAULTS "Object Defaults" V2_0;
    0x420154 EPHEMERAL "Ephemeral" V2_0;
    0x420155 SERVER_HASHED_PASSWORD "Server Hashed Password" V2_0;
    0x420156 ONE_TIME_PASSWORD "One Time Password" V2_0;
    0x420157 HASHED_PASSWORD "Hashed Password" V2_0;
    0x420158 ADJUSTMENT_TYPE "Adjustment Type" V2_0;
    0x420159 PKCS_11_INTERFACE "PKCS#11 Interface" V2_0;
    0x42015A PKCS_11_FUNCTION "PKCS#11 Function" V2_0;
    0x42015B PKCS_11_INPUT_PARAMETERS "PKCS#11 Input Parameters" V2_0;
    0x42015C PKCS_11_OUTPUT_PARAMETERS "PKCS#11 Output Parameters" V2_0;
    0x42015D PKCS_11_RETURN_CODE "PKCS#11 Return Code" V2_0;
    0x42015E PROTECTION_STORAGE_MASK "Protection Storage Mask" V2_0;
    0x42015F PROTECTION_STORAGE_MASKS "Protection Storage Masks" V2_0;
    0x420160 INTEROP_FUNCTION "Interop Function" V2_0;
    0x420161 INTEROP_IDENTIFIER "Interop Identifier" V2_0;
    0x420162 ADJUSTMENT_VALUE "Adjustment Value" V2_0;
    0x420163 COMMON_PROTECTION_STORAGE_MASKS "Common Protection Storage Masks" V2_0;
    0x420164 PRIVATE_PROTECTION_STORAGE_MASKS "Private Protection Storage Masks" V2_0;
    0x420165 PUBLIC_PROTECTION_STORAGE_MASKS "Public Protection Storage Masks" V2_0;
    0x420166 OBJECT_GROUPS "Object Groups" V2_1;
    0x420167 OBJECT_TYPES "Object Types" V2_1;
    0x420168 CONSTRAINTS "Constraints" V2_1;
    0x420169 CONSTRAINT "Constraint" V2_1;
    0x42016A ROTATE_INTERVAL "Rotate Interval" V2_1;
    0x42016B ROTATE_AUTOMATIC "Rotate Automatic" V2_1;
    0x42016C ROTATE_OFFSET "Rotate Offset" V2_1;
    0x42016D ROTATE_DATE "Rotate Date" V2_1;
    0x42016E ROTATE_GENERATION "Rotate Generation" V2_1;
    0x42016F ROTATE_NAME "Rotate Name" V2_1;
    0x420170 ROTATE_NAME_VALUE "Rotate Name Value" V2_1;
    0x420171 ROTATE_NAME_TYPE "Rotate Name Type" V2_1;
    0x420172 ROTATE_LATEST "Rotate Latest" V2_1;
    0x420173 ASYNCHRONOUS_REQUEST "Asynchronous Request" V2_1;
    0x420174 SUBMISSION_DATE "Submission Date" V2_1;
    0x420175 PROCESSING_STAGE "Processing Stage" V2_1;
    0x420176 ASYNCHRONOUS_CORRELATION_VALUES "Asynchronous Correlation Values" V2_1;
}
