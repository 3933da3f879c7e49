//! The attributes of KMIP 1.0 to 2.1 for certificates, symmetric keys, secret data and opaque
//! objects: one row each, in the order in which an answer lists them. The rules are those of the
//! attribute tables in KMIP 1.4 §3 and KMIP 2.1 §4.

use super::shape::{Field, Presence, Shape};
use super::{Absent, AttributeRule, Kept, SetBy, Source, States, Types, Version, tag};
use crate::Tag;

const V1_0: Version = Version(1, 0);
const V1_1: Version = Version(1, 1);
const V1_2: Version = Version(1, 2);
const V1_3: Version = Version(1, 3);
const V1_4: Version = Version(1, 4);
const V2_0: Version = Version(2, 0);
const V2_1: Version = Version(2, 1);

const fn required(tag: Tag, name: &'static str, shape: Shape) -> Field {
    Field {
        tag,
        name,
        shape,
        presence: Presence::Required,
    }
}

const fn optional(tag: u32, name: &'static str, shape: Shape) -> Field {
    Field {
        tag: Tag(tag),
        name,
        shape,
        presence: Presence::Optional,
    }
}

const fn repeated(tag: u32, name: &'static str, shape: Shape) -> Field {
    Field {
        tag: Tag(tag),
        name,
        shape,
        presence: Presence::Repeated,
    }
}

// Last values of the enumerations of KMIP 2.1 §11.
const ALGORITHMS: Shape = Shape::Enumeration(0x38);
const HASHES: Shape = Shape::Enumeration(0x11);
const NAME_KINDS: Shape = Shape::Enumeration(2);

const NAME_FIELDS: Shape = Shape::Structure(&[
    required(tag::NAME_VALUE, "Name Value", Shape::Label),
    required(tag::NAME_TYPE, "Name Type", NAME_KINDS),
]);

const CRYPTOGRAPHIC_PARAMETERS: Shape = Shape::Structure(&[
    optional(0x420011, "Block Cipher Mode", Shape::Enumeration(0x12)),
    optional(0x42005F, "Padding Method", Shape::Enumeration(0x0A)),
    optional(0x420038, "Hashing Algorithm", HASHES),
    optional(0x420083, "Key Role Type", Shape::Enumeration(0x18)),
    optional(
        0x4200AE,
        "Digital Signature Algorithm",
        Shape::Enumeration(0x13),
    ),
    optional(0x420028, "Cryptographic Algorithm", ALGORITHMS),
    optional(0x4200C5, "Random IV", Shape::Boolean),
    optional(0x4200CD, "IV Length", Shape::Count),
    optional(0x4200CE, "Tag Length", Shape::Count),
    optional(0x4200CF, "Fixed Field Length", Shape::Count),
    optional(0x4200D2, "Invocation Field Length", Shape::Count),
    optional(0x4200D0, "Counter Length", Shape::Count),
    optional(0x4200D1, "Initial Counter Value", Shape::Count),
    optional(0x420100, "Salt Length", Shape::Count),
    optional(0x420101, "Mask Generator", Shape::Enumeration(1)),
    optional(0x420102, "Mask Generator Hashing Algorithm", HASHES),
    optional(0x420103, "P Source", Shape::Bytes),
    optional(0x420104, "Trailer Field", Shape::Count),
]);

const DOMAIN_PARAMETERS: Shape = Shape::Structure(&[
    optional(0x420073, "Qlength", Shape::Count),
    optional(0x420075, "Recommended Curve", Shape::Enumeration(0x46)),
]);

const CERTIFICATE_IDENTIFIER: Shape = Shape::Structure(&[
    required(Tag(0x4200B2), "Issuer Distinguished Name", Shape::Bytes),
    required(Tag(0x4200AF), "Certificate Serial Number", Shape::Bytes),
]);

const CERTIFICATE_SUBJECT: Shape = Shape::Structure(&[
    required(Tag(0x4200B4), "Subject Distinguished Name", Shape::Bytes),
    repeated(0x4200B3, "Subject Alternative Name", Shape::Bytes),
]);

const CERTIFICATE_ISSUER: Shape = Shape::Structure(&[
    required(Tag(0x4200B2), "Issuer Distinguished Name", Shape::Bytes),
    repeated(0x4200B1, "Issuer Alternative Name", Shape::Bytes),
]);

// The forms of KMIP 1.0, which 1.1 replaced: text instead of DER.
const CERTIFICATE_IDENTIFIER_1_0: Shape = Shape::Structure(&[
    required(Tag(0x42003B), "Issuer", Shape::Text),
    optional(0x420087, "Serial Number", Shape::Text),
]);

const CERTIFICATE_SUBJECT_1_0: Shape = Shape::Structure(&[
    required(
        Tag(0x42001C),
        "Certificate Subject Distinguished Name",
        Shape::Text,
    ),
    repeated(
        0x42001B,
        "Certificate Subject Alternative Name",
        Shape::Text,
    ),
]);

const CERTIFICATE_ISSUER_1_0: Shape = Shape::Structure(&[
    required(
        Tag(0x420017),
        "Certificate Issuer Distinguished Name",
        Shape::Text,
    ),
    repeated(0x420016, "Certificate Issuer Alternative Name", Shape::Text),
]);

const DIGEST: Shape = Shape::Structure(&[
    required(Tag(0x420038), "Hashing Algorithm", HASHES),
    optional(0x420035, "Digest Value", Shape::Bytes),
    optional(0x420042, "Key Format Type", Shape::Enumeration(0x17)),
]);

const USAGE_LIMITS: Shape = Shape::Structure(&[
    required(
        tag::USAGE_LIMITS_TOTAL,
        "Usage Limits Total",
        Shape::LongCount,
    ),
    Field {
        tag: tag::USAGE_LIMITS_COUNT,
        name: "Usage Limits Count",
        shape: Shape::LongCount,
        presence: Presence::Copies(tag::USAGE_LIMITS_TOTAL),
    },
    required(
        tag::USAGE_LIMITS_UNIT,
        "Usage Limits Unit",
        Shape::Enumeration(2),
    ),
]);

const REVOCATION_REASON: Shape = Shape::Structure(&[
    required(
        tag::REVOCATION_REASON_CODE,
        "Revocation Reason Code",
        Shape::Enumeration(7),
    ),
    optional(0x420080, "Revocation Message", Shape::Text),
]);

const LINK: Shape = Shape::Structure(&[
    required(
        tag::LINK_TYPE,
        "Link Type",
        Shape::EnumerationIn(0x101, 0x10E),
    ),
    required(
        tag::LINKED_OBJECT_IDENTIFIER,
        "Linked Object Identifier",
        Shape::Identifier,
    ),
]);

const APPLICATION_SPECIFIC: Shape = Shape::Structure(&[
    required(
        tag::APPLICATION_NAMESPACE,
        "Application Namespace",
        Shape::Text,
    ),
    optional(0x420002, "Application Data", Shape::Text),
]);

const ALTERNATIVE_NAME: Shape = Shape::Structure(&[
    required(Tag(0x4200C0), "Alternative Name Value", Shape::Text),
    required(
        Tag(0x4200C1),
        "Alternative Name Type",
        Shape::Enumeration(7),
    ),
]);

const KEY_VALUE_LOCATION: Shape = Shape::Structure(&[
    required(Tag(0x4200B9), "Key Value Location Value", Shape::Text),
    required(
        Tag(0x4200BA),
        "Key Value Location Type",
        Shape::Enumeration(2),
    ),
]);

const ROTATE_NAME: Shape = Shape::Structure(&[
    required(Tag(0x420170), "Rotate Name Value", Shape::Label),
    required(Tag(0x420171), "Rotate Name Type", NAME_KINDS),
]);

const RNG_PARAMETERS: Shape = Shape::Structure(&[
    required(Tag(0x4200DA), "RNG Algorithm", Shape::Enumeration(6)),
    optional(0x420028, "Cryptographic Algorithm", ALGORITHMS),
    optional(0x42002A, "Cryptographic Length", Shape::Count),
    optional(0x420038, "Hashing Algorithm", HASHES),
    optional(0x4200DB, "DRBG Algorithm", Shape::Enumeration(5)),
    optional(0x420075, "Recommended Curve", Shape::Enumeration(0x46)),
    optional(0x4200DC, "FIPS186 Variation", Shape::Enumeration(7)),
    optional(0x4200DD, "Prediction Resistance", Shape::Boolean),
]);

/// A row that only the server sets and nobody changes.
const fn row(tag: u32, name: &'static str, shape: Shape, clause: &'static str) -> AttributeRule {
    AttributeRule {
        tag: Tag(tag),
        name,
        shape,
        clause,
        since: Some(V1_0),
        until: None,
        many: false,
        set_by: SetBy::Server,
        required_to_create: false,
        required_to_register: Types::NONE,
        add: States::NONE,
        modify: States::NONE,
        delete: States::NONE,
        frozen_by_its_date: false,
        owner_only: false,
        sticky: None,
        applies: Types::ALL,
        kept: Kept::Stored,
        absent: None,
    }
}

impl AttributeRule {
    /// First protocol version that has it.
    const fn since(mut self, version: Version) -> Self {
        self.since = Some(version);
        self
    }

    /// Last protocol version that has it.
    const fn until(mut self, version: Version) -> Self {
        self.until = Some(version);
        self
    }

    /// No attribute of any version: a field of the object that a door needs for Get.
    const fn internal(mut self) -> Self {
        self.since = None;
        self
    }

    /// Several instances are allowed.
    const fn many(mut self) -> Self {
        self.many = true;
        self
    }

    /// The client sets, changes and deletes it while the object lives.
    const fn free(mut self) -> Self {
        self.set_by = SetBy::Client;
        self.add = States::LIVE;
        self.modify = States::LIVE;
        self.delete = States::LIVE;
        self
    }

    /// Who sets it first.
    const fn set_by(mut self, set_by: SetBy) -> Self {
        self.set_by = set_by;
        self
    }

    /// States in which a client may add and modify (not delete) it.
    const fn change_in(mut self, states: States) -> Self {
        self.add = states;
        self.modify = states;
        self
    }

    /// Not changed any more once the date that is its value has come.
    const fn frozen_by_its_date(mut self) -> Self {
        self.frozen_by_its_date = true;
        self
    }

    /// Only the owner of the object may set, change or delete it.
    const fn owner_only(mut self) -> Self {
        self.owner_only = true;
        self
    }

    /// Once it has this value, it keeps it.
    const fn sticky(mut self, value: bool) -> Self {
        self.sticky = Some(value);
        self
    }

    /// Create refuses without it, and Register of these kinds.
    const fn required(mut self, register: Types) -> Self {
        self.required_to_create = true;
        self.required_to_register = register;
        self
    }

    /// Kinds of objects that have it.
    const fn only(mut self, types: Types) -> Self {
        self.applies = types;
        self
    }

    /// Where its value comes from.
    const fn kept(mut self, kept: Kept) -> Self {
        self.kept = kept;
        self
    }

    /// Its value when none is stored.
    const fn or(mut self, absent: Absent) -> Self {
        self.absent = Some(absent);
        self
    }
}

/// A text field of the subject or the issuer that KMIP 2.0 reads off a certificate.
const fn certificate_text(tag: u32, name: &'static str) -> AttributeRule {
    row(tag, name, Shape::Text, "2.1 §4 Certificate Attributes")
        .since(V2_0)
        .many()
        .set_by(SetBy::Door)
        .only(Types::CERTIFICATE)
}

/// All attributes of the standard.
pub const ATTRIBUTES: &[AttributeRule] = &[
    row(0x420094, "Unique Identifier", Shape::Label, "1.4 §3.1")
        .kept(Kept::Derived(Source::UniqueIdentifier)),
    row(
        0x420136,
        "Short Unique Identifier",
        Shape::Bytes,
        "2.1 §4 Short Unique Identifier",
    )
    .since(V2_0)
    .kept(Kept::Derived(Source::ShortUniqueIdentifier)),
    row(0x420053, "Name", NAME_FIELDS, "1.4 §3.2").many().free(),
    row(0x420057, "Object Type", Shape::Enumeration(9), "1.4 §3.3")
        .kept(Kept::Derived(Source::ObjectType)),
    row(0x420028, "Cryptographic Algorithm", ALGORITHMS, "1.4 §3.4")
        .set_by(SetBy::Creation)
        .required(Types::SYMMETRIC_KEY),
    row(0x42002A, "Cryptographic Length", Shape::Count, "1.4 §3.5")
        .set_by(SetBy::Creation)
        .required(Types::SYMMETRIC_KEY),
    row(
        0x42002B,
        "Cryptographic Parameters",
        CRYPTOGRAPHIC_PARAMETERS,
        "1.4 §3.6",
    )
    .many()
    .free(),
    row(
        0x420029,
        "Cryptographic Domain Parameters",
        DOMAIN_PARAMETERS,
        "1.4 §3.7",
    )
    .set_by(SetBy::Creation)
    // Only key pairs have them, and those are not kept yet.
    .only(Types::NONE),
    row(
        0x42001D,
        "Certificate Type",
        Shape::Enumeration(2),
        "1.4 §3.8",
    )
    .set_by(SetBy::Door)
    .only(Types::CERTIFICATE),
    row(0x4200AD, "Certificate Length", Shape::Count, "1.4 §3.9")
        .since(V1_1)
        .set_by(SetBy::Door)
        .only(Types::CERTIFICATE),
    row(
        0x4200B5,
        "X.509 Certificate Identifier",
        CERTIFICATE_IDENTIFIER,
        "1.4 §3.10",
    )
    .since(V1_1)
    .set_by(SetBy::Door)
    .only(Types::CERTIFICATE),
    row(
        0x4200B7,
        "X.509 Certificate Subject",
        CERTIFICATE_SUBJECT,
        "1.4 §3.11",
    )
    .since(V1_1)
    .set_by(SetBy::Door)
    .only(Types::CERTIFICATE),
    row(
        0x4200B6,
        "X.509 Certificate Issuer",
        CERTIFICATE_ISSUER,
        "1.4 §3.12",
    )
    .since(V1_1)
    .set_by(SetBy::Door)
    .only(Types::CERTIFICATE),
    row(
        0x420014,
        "Certificate Identifier",
        CERTIFICATE_IDENTIFIER_1_0,
        "1.4 §3.13",
    )
    .until(V1_4)
    .set_by(SetBy::Door)
    .only(Types::CERTIFICATE),
    row(
        0x42001A,
        "Certificate Subject",
        CERTIFICATE_SUBJECT_1_0,
        "1.4 §3.14",
    )
    .until(V1_4)
    .set_by(SetBy::Door)
    .only(Types::CERTIFICATE),
    row(
        0x420015,
        "Certificate Issuer",
        CERTIFICATE_ISSUER_1_0,
        "1.4 §3.15",
    )
    .until(V1_4)
    .set_by(SetBy::Door)
    .only(Types::CERTIFICATE),
    certificate_text(0x420108, "Certificate Subject CN"),
    certificate_text(0x420109, "Certificate Subject O"),
    certificate_text(0x42010A, "Certificate Subject OU"),
    certificate_text(0x42010B, "Certificate Subject Email"),
    certificate_text(0x42010C, "Certificate Subject C"),
    certificate_text(0x42010D, "Certificate Subject ST"),
    certificate_text(0x42010E, "Certificate Subject L"),
    certificate_text(0x42010F, "Certificate Subject UID"),
    certificate_text(0x420110, "Certificate Subject Serial Number"),
    certificate_text(0x420111, "Certificate Subject Title"),
    certificate_text(0x420112, "Certificate Subject DC"),
    certificate_text(0x420113, "Certificate Subject DN Qualifier"),
    certificate_text(0x420114, "Certificate Issuer CN"),
    certificate_text(0x420115, "Certificate Issuer O"),
    certificate_text(0x420116, "Certificate Issuer OU"),
    certificate_text(0x420117, "Certificate Issuer Email"),
    certificate_text(0x420118, "Certificate Issuer C"),
    certificate_text(0x420119, "Certificate Issuer ST"),
    certificate_text(0x42011A, "Certificate Issuer L"),
    certificate_text(0x42011B, "Certificate Issuer UID"),
    certificate_text(0x42011C, "Certificate Issuer Serial Number"),
    certificate_text(0x42011D, "Certificate Issuer Title"),
    certificate_text(0x42011E, "Certificate Issuer DC"),
    certificate_text(0x42011F, "Certificate Issuer DN Qualifier"),
    row(
        0x4200AE,
        "Digital Signature Algorithm",
        Shape::Enumeration(0x13),
        "1.4 §3.16",
    )
    .since(V1_1)
    .set_by(SetBy::Door)
    .only(Types::CERTIFICATE),
    // A hash of the material, made from the unsealed material when it is asked for. It is not in
    // the log: an unsalted hash lets a reader of the log guess short secrets (law 3).
    row(0x420034, "Digest", DIGEST, "1.4 §3.17")
        .many()
        .kept(Kept::OnReading),
    row(0x42005D, "Operation Policy Name", Shape::Label, "1.4 §3.18")
        .until(V1_4)
        .set_by(SetBy::Creation),
    // The profiles register opaque objects with a usage mask (BL-M-5-21), so every kind has it.
    row(
        0x42002C,
        "Cryptographic Usage Mask",
        Shape::Mask,
        "1.4 §3.19",
    )
    .set_by(SetBy::Creation)
    .required(Types::SYMMETRIC_KEY),
    row(0x420049, "Lease Time", Shape::Interval, "1.4 §3.20")
        .only(Types::CRYPTOGRAPHIC)
        .or(Absent::Interval(super::LEASE_SECONDS)),
    row(0x420095, "Usage Limits", USAGE_LIMITS, "1.4 §3.21")
        .free()
        .only(Types::SYMMETRIC_KEY),
    row(0x42008D, "State", Shape::Enumeration(6), "1.4 §3.22").kept(Kept::Derived(Source::State)),
    row(0x420039, "Initial Date", Shape::DateTime, "1.4 §3.23")
        .kept(Kept::Derived(Source::InitialDate)),
    row(0x420001, "Activation Date", Shape::DateTime, "1.4 §3.24")
        .set_by(SetBy::Client)
        .change_in(States::PRE_ACTIVE),
    // The standard speaks of symmetric keys; the profiles give them to secret data (BL-M-4-21).
    row(0x420067, "Process Start Date", Shape::DateTime, "1.4 §3.25")
        .set_by(SetBy::Client)
        .change_in(States::BEFORE_DEACTIVATION)
        .frozen_by_its_date(),
    row(0x420068, "Protect Stop Date", Shape::DateTime, "1.4 §3.26")
        .set_by(SetBy::Client)
        .change_in(States::BEFORE_DEACTIVATION)
        .frozen_by_its_date(),
    row(0x42002F, "Deactivation Date", Shape::DateTime, "1.4 §3.27")
        .set_by(SetBy::Client)
        .change_in(States::BEFORE_DEACTIVATION),
    row(0x420033, "Destroy Date", Shape::DateTime, "1.4 §3.28"),
    row(
        0x420021,
        "Compromise Occurrence Date",
        Shape::DateTime,
        "1.4 §3.29",
    ),
    row(0x420020, "Compromise Date", Shape::DateTime, "1.4 §3.30"),
    row(
        0x420081,
        "Revocation Reason",
        REVOCATION_REASON,
        "1.4 §3.31",
    ),
    row(0x420005, "Archive Date", Shape::DateTime, "1.4 §3.32"),
    row(0x420056, "Object Group", Shape::Label, "1.4 §3.33")
        .many()
        .free()
        .owner_only(),
    row(0x4200A8, "Fresh", Shape::Boolean, "1.4 §3.34")
        .since(V1_1)
        .set_by(SetBy::Creation)
        // What was served stands in the access logs of the nodes, not here.
        .kept(Kept::OnReading),
    row(0x42004A, "Link", LINK, "1.4 §3.35").many().free(),
    row(
        0x420004,
        "Application Specific Information",
        APPLICATION_SPECIFIC,
        "1.4 §3.36",
    )
    .many()
    .free(),
    row(0x420022, "Contact Information", Shape::Text, "1.4 §3.37").free(),
    row(0x420048, "Last Change Date", Shape::DateTime, "1.4 §3.38")
        .kept(Kept::Derived(Source::LastChangeDate)),
    row(0x4200BF, "Alternative Name", ALTERNATIVE_NAME, "1.4 §3.40")
        .since(V1_2)
        .many()
        .free(),
    // Objects without a key value here are not kept, so both of these stay empty.
    row(0x4200BB, "Key Value Present", Shape::Boolean, "1.4 §3.41").since(V1_2),
    row(
        0x4200B8,
        "Key Value Location",
        KEY_VALUE_LOCATION,
        "1.4 §3.42",
    )
    .since(V1_2)
    .many(),
    row(
        0x4200BC,
        "Original Creation Date",
        Shape::DateTime,
        "1.4 §3.43",
    )
    .since(V1_3)
    .set_by(SetBy::Creation)
    .or(Absent::InitialDateIfMadeHere),
    row(
        0x4200DE,
        "Random Number Generator",
        RNG_PARAMETERS,
        "1.4 §3.44",
    )
    .since(V1_3)
    .only(Types::SYMMETRIC_KEY)
    .kept(Kept::OnReading),
    row(0x4200FB, "PKCS#12 Friendly Name", Shape::Text, "1.4 §3.45")
        .since(V1_4)
        .free(),
    row(0x4200FC, "Description", Shape::Text, "1.4 §3.46")
        .since(V1_4)
        .free(),
    row(0x4200FD, "Comment", Shape::Text, "1.4 §3.47")
        .since(V1_4)
        .free(),
    row(0x420120, "Sensitive", Shape::Boolean, "1.4 §3.48")
        .since(V1_4)
        .set_by(SetBy::Client)
        .change_in(States::LIVE)
        .sticky(true)
        .or(Absent::Boolean(false)),
    row(0x420121, "Always Sensitive", Shape::Boolean, "1.4 §3.49")
        .since(V1_4)
        .kept(Kept::Derived(Source::AlwaysSensitive)),
    row(0x420122, "Extractable", Shape::Boolean, "1.4 §3.50")
        .since(V1_4)
        .set_by(SetBy::Client)
        .change_in(States::LIVE)
        .sticky(false)
        .or(Absent::Boolean(true)),
    row(0x420123, "Never Extractable", Shape::Boolean, "1.4 §3.51")
        .since(V1_4)
        .kept(Kept::Derived(Source::NeverExtractable)),
    row(
        0x420042,
        "Key Format Type",
        Shape::Enumeration(0x17),
        "2.1 §4 Key Format Type",
    )
    .since(V2_0)
    .set_by(SetBy::Creation)
    .only(Types::CRYPTOGRAPHIC)
    .or(Absent::RawKey),
    row(
        0x42013A,
        "NIST Key Type",
        Shape::Enumeration(0x13),
        "2.1 §4 NIST Key Type",
    )
    .since(V2_0)
    .free(),
    row(
        0x420145,
        "Protection Level",
        Shape::Enumeration(2),
        "2.1 §4 Protection Level",
    )
    .since(V2_0)
    .free(),
    row(
        0x420146,
        "Protection Period",
        Shape::Interval,
        "2.1 §4 Protection Period",
    )
    .since(V2_0)
    .free(),
    row(
        0x42015E,
        "Protection Storage Mask",
        Shape::Mask,
        "2.1 §4 Protection Storage Masks",
    )
    .since(V2_0)
    .or(Absent::Mask(super::PROTECTION_SOFTWARE)),
    row(
        0x420147,
        "Quantum Safe",
        Shape::Boolean,
        "2.1 §4 Quantum Safe",
    )
    .since(V2_0)
    .free(),
    row(
        0x42016A,
        "Rotate Interval",
        Shape::Interval,
        "2.1 §4 Rotate Interval",
    )
    .since(V2_1)
    .free()
    .only(Types::SYMMETRIC_KEY),
    row(
        0x42016B,
        "Rotate Automatic",
        Shape::Boolean,
        "2.1 §4 Rotate Automatic",
    )
    .since(V2_1)
    .free()
    .only(Types::SYMMETRIC_KEY),
    row(
        0x42016C,
        "Rotate Offset",
        Shape::Interval,
        "2.1 §4 Rotate Offset",
    )
    .since(V2_1)
    .free()
    .only(Types::SYMMETRIC_KEY),
    row(
        0x42016D,
        "Rotate Date",
        Shape::DateTime,
        "2.1 §4 Rotate Date",
    )
    .since(V2_1)
    .only(Types::SYMMETRIC_KEY),
    row(
        0x42016E,
        "Rotate Generation",
        Shape::Count,
        "2.1 §4 Rotate Generation",
    )
    .since(V2_1)
    .only(Types::SYMMETRIC_KEY),
    row(0x42016F, "Rotate Name", ROTATE_NAME, "2.1 §4 Rotate Name")
        .since(V2_1)
        .free()
        .only(Types::SYMMETRIC_KEY),
    row(
        0x420172,
        "Rotate Latest",
        Shape::Boolean,
        "2.1 §4 Rotate Latest",
    )
    .since(V2_1)
    .only(Types::SYMMETRIC_KEY),
    row(
        0x420059,
        "Opaque Data Type",
        Shape::Enumeration(0),
        "2.1 §4 Opaque Data Type",
    )
    .since(V2_0)
    .set_by(SetBy::Door)
    .only(Types::OPAQUE_OBJECT),
    row(
        0x420086,
        "Secret Data Type",
        Shape::Enumeration(2),
        "1.4 §2.2.7",
    )
    .internal()
    .set_by(SetBy::Door)
    .only(Types::SECRET_DATA),
];
