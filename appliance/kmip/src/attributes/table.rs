//! The attributes of the standard: tag, name, type and the versions that have each (KMIP 1.4 §3,
//! KMIP 2.1 §4).

use crate::tags::Tag;
use crate::ttlv::ItemType;
use crate::version::ProtocolVersion;

/// What the standard says about one of its attributes.
#[derive(Debug)]
pub struct StandardAttribute {
    pub tag: Tag,
    /// The name in 1.x messages and on screens.
    pub name: &'static str,
    /// The type its value has on the wire.
    pub item_type: ItemType,
    /// The first version that has it.
    pub since: ProtocolVersion,
    /// The last version that has it.
    pub until: ProtocolVersion,
}

impl StandardAttribute {
    /// The attribute with this tag.
    #[must_use]
    pub fn by_tag(tag: Tag) -> Option<&'static StandardAttribute> {
        let at = STANDARD_ATTRIBUTES
            .binary_search_by_key(&tag, |row| row.tag)
            .ok()?;
        STANDARD_ATTRIBUTES.get(at)
    }

    /// The attribute with this name in 1.x.
    #[must_use]
    pub fn by_name(name: &str) -> Option<&'static StandardAttribute> {
        STANDARD_ATTRIBUTES.iter().find(|row| row.name == name)
    }

    /// Whether a peer that speaks `version` knows the attribute.
    #[must_use]
    pub fn is_known_to(&self, version: ProtocolVersion) -> bool {
        self.since <= version && version <= self.until
    }
}

macro_rules! attributes {
    ($($tag:ident $name:literal $item_type:ident $since:ident $until:ident;)*) => {
        /// Every attribute of the standard, in ascending order of tags.
        pub const STANDARD_ATTRIBUTES: &[StandardAttribute] = &[
            $(StandardAttribute {
                tag: Tag::$tag,
                name: $name,
                item_type: ItemType::$item_type,
                since: ProtocolVersion::$since,
                until: ProtocolVersion::$until,
            },)*
        ];
    };
}

attributes! {
    ACTIVATION_DATE "Activation Date" DateTime V1_0 V2_1;
    APPLICATION_SPECIFIC_INFORMATION "Application Specific Information" Structure V1_0 V2_1;
    ARCHIVE_DATE "Archive Date" DateTime V1_0 V2_1;
    CERTIFICATE_IDENTIFIER "Certificate Identifier" Structure V1_0 V1_4;
    CERTIFICATE_ISSUER "Certificate Issuer" Structure V1_0 V1_4;
    CERTIFICATE_SUBJECT "Certificate Subject" Structure V1_0 V1_4;
    CERTIFICATE_TYPE "Certificate Type" Enumeration V1_0 V2_1;
    COMPROMISE_DATE "Compromise Date" DateTime V1_0 V2_1;
    COMPROMISE_OCCURRENCE_DATE "Compromise Occurrence Date" DateTime V1_0 V2_1;
    CONTACT_INFORMATION "Contact Information" TextString V1_0 V2_1;
    CREDENTIAL_TYPE "Credential Type" Enumeration V2_0 V2_1;
    CRYPTOGRAPHIC_ALGORITHM "Cryptographic Algorithm" Enumeration V1_0 V2_1;
    CRYPTOGRAPHIC_DOMAIN_PARAMETERS "Cryptographic Domain Parameters" Structure V1_0 V2_1;
    CRYPTOGRAPHIC_LENGTH "Cryptographic Length" Integer V1_0 V2_1;
    CRYPTOGRAPHIC_PARAMETERS "Cryptographic Parameters" Structure V1_0 V2_1;
    CRYPTOGRAPHIC_USAGE_MASK "Cryptographic Usage Mask" Integer V1_0 V2_1;
    DEACTIVATION_DATE "Deactivation Date" DateTime V1_0 V2_1;
    DESTROY_DATE "Destroy Date" DateTime V1_0 V2_1;
    DIGEST "Digest" Structure V1_0 V2_1;
    INITIAL_DATE "Initial Date" DateTime V1_0 V2_1;
    KEY_FORMAT_TYPE "Key Format Type" Enumeration V2_0 V2_1;
    LAST_CHANGE_DATE "Last Change Date" DateTime V1_0 V2_1;
    LEASE_TIME "Lease Time" Interval V1_0 V2_1;
    LINK "Link" Structure V1_0 V2_1;
    NAME "Name" Structure V1_0 V2_1;
    OBJECT_GROUP "Object Group" TextString V1_0 V2_1;
    OBJECT_TYPE "Object Type" Enumeration V1_0 V2_1;
    OPAQUE_DATA_TYPE "Opaque Data Type" Enumeration V2_0 V2_1;
    OPERATION_POLICY_NAME "Operation Policy Name" TextString V1_0 V1_4;
    PROCESS_START_DATE "Process Start Date" DateTime V1_0 V2_1;
    PROTECT_STOP_DATE "Protect Stop Date" DateTime V1_0 V2_1;
    REVOCATION_REASON "Revocation Reason" Structure V1_0 V2_1;
    SECRET_DATA_TYPE "Secret Data Type" Enumeration V2_0 V2_1;
    STATE "State" Enumeration V1_0 V2_1;
    UNIQUE_IDENTIFIER "Unique Identifier" TextString V1_0 V2_1;
    USAGE_LIMITS "Usage Limits" Structure V1_0 V2_1;
    FRESH "Fresh" Boolean V1_1 V2_1;
    OBJECT_GROUP_MEMBER "Object Group Member" Enumeration V2_0 V2_1;
    CERTIFICATE_LENGTH "Certificate Length" Integer V1_1 V2_1;
    DIGITAL_SIGNATURE_ALGORITHM "Digital Signature Algorithm" Enumeration V1_1 V2_1;
    X_509_CERTIFICATE_IDENTIFIER "X.509 Certificate Identifier" Structure V1_1 V2_1;
    X_509_CERTIFICATE_ISSUER "X.509 Certificate Issuer" Structure V1_1 V2_1;
    X_509_CERTIFICATE_SUBJECT "X.509 Certificate Subject" Structure V1_1 V2_1;
    KEY_VALUE_LOCATION "Key Value Location" Structure V1_2 V2_1;
    KEY_VALUE_PRESENT "Key Value Present" Boolean V1_2 V2_1;
    ORIGINAL_CREATION_DATE "Original Creation Date" DateTime V1_2 V2_1;
    ALTERNATIVE_NAME "Alternative Name" Structure V1_2 V2_1;
    RANDOM_NUMBER_GENERATOR "Random Number Generator" Structure V1_3 V2_1;
    PKCS_12_FRIENDLY_NAME "PKCS#12 Friendly Name" TextString V1_4 V2_1;
    DESCRIPTION "Description" TextString V1_4 V2_1;
    COMMENT "Comment" TextString V1_4 V2_1;
    CERTIFICATE_SUBJECT_CN "Certificate Subject CN" TextString V2_0 V2_1;
    CERTIFICATE_SUBJECT_O "Certificate Subject O" TextString V2_0 V2_1;
    CERTIFICATE_SUBJECT_OU "Certificate Subject OU" TextString V2_0 V2_1;
    CERTIFICATE_SUBJECT_EMAIL "Certificate Subject Email" TextString V2_0 V2_1;
    CERTIFICATE_SUBJECT_C "Certificate Subject C" TextString V2_0 V2_1;
    CERTIFICATE_SUBJECT_ST "Certificate Subject ST" TextString V2_0 V2_1;
    CERTIFICATE_SUBJECT_L "Certificate Subject L" TextString V2_0 V2_1;
    CERTIFICATE_SUBJECT_UID "Certificate Subject UID" TextString V2_0 V2_1;
    CERTIFICATE_SUBJECT_SERIAL_NUMBER "Certificate Subject Serial Number" TextString V2_0 V2_1;
    CERTIFICATE_SUBJECT_TITLE "Certificate Subject Title" TextString V2_0 V2_1;
    CERTIFICATE_SUBJECT_DC "Certificate Subject DC" TextString V2_0 V2_1;
    CERTIFICATE_SUBJECT_DN_QUALIFIER "Certificate Subject DN Qualifier" TextString V2_0 V2_1;
    CERTIFICATE_ISSUER_CN "Certificate Issuer CN" TextString V2_0 V2_1;
    CERTIFICATE_ISSUER_O "Certificate Issuer O" TextString V2_0 V2_1;
    CERTIFICATE_ISSUER_OU "Certificate Issuer OU" TextString V2_0 V2_1;
    CERTIFICATE_ISSUER_EMAIL "Certificate Issuer Email" TextString V2_0 V2_1;
    CERTIFICATE_ISSUER_C "Certificate Issuer C" TextString V2_0 V2_1;
    CERTIFICATE_ISSUER_ST "Certificate Issuer ST" TextString V2_0 V2_1;
    CERTIFICATE_ISSUER_L "Certificate Issuer L" TextString V2_0 V2_1;
    CERTIFICATE_ISSUER_UID "Certificate Issuer UID" TextString V2_0 V2_1;
    CERTIFICATE_ISSUER_SERIAL_NUMBER "Certificate Issuer Serial Number" TextString V2_0 V2_1;
    CERTIFICATE_ISSUER_TITLE "Certificate Issuer Title" TextString V2_0 V2_1;
    CERTIFICATE_ISSUER_DC "Certificate Issuer DC" TextString V2_0 V2_1;
    CERTIFICATE_ISSUER_DN_QUALIFIER "Certificate Issuer DN Qualifier" TextString V2_0 V2_1;
    SENSITIVE "Sensitive" Boolean V1_4 V2_1;
    ALWAYS_SENSITIVE "Always Sensitive" Boolean V1_4 V2_1;
    EXTRACTABLE "Extractable" Boolean V1_4 V2_1;
    NEVER_EXTRACTABLE "Never Extractable" Boolean V1_4 V2_1;
    SHORT_UNIQUE_IDENTIFIER "Short Unique Identifier" ByteString V2_0 V2_1;
    NIST_KEY_TYPE "NIST Key Type" Enumeration V2_0 V2_1;
    PROTECTION_LEVEL "Protection Level" Enumeration V2_0 V2_1;
    PROTECTION_PERIOD "Protection Period" Interval V2_0 V2_1;
    QUANTUM_SAFE "Quantum Safe" Boolean V2_0 V2_1;
    PROTECTION_STORAGE_MASK "Protection Storage Mask" Integer V2_0 V2_1;
    ROTATE_INTERVAL "Rotate Interval" Interval V2_1 V2_1;
    ROTATE_AUTOMATIC "Rotate Automatic" Boolean V2_1 V2_1;
    ROTATE_OFFSET "Rotate Offset" Interval V2_1 V2_1;
    ROTATE_DATE "Rotate Date" DateTime V2_1 V2_1;
    ROTATE_GENERATION "Rotate Generation" Integer V2_1 V2_1;
    ROTATE_NAME "Rotate Name" Structure V2_1 V2_1;
    ROTATE_LATEST "Rotate Latest" Boolean V2_1 V2_1;
}
