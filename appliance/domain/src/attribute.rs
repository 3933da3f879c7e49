//! The rules of attributes: what they look like, who may set, change and delete them, and when.
//!
//! There is one table, [`ATTRIBUTES`]; the code reads it and knows no attribute by itself, but for
//! the few whose value *is* a field of the object ([`Source`]). To add an attribute of the
//! standard, add a row.

pub(crate) mod shape;
mod table;
pub mod tag;

#[cfg(test)]
mod tests;

pub use shape::{Field, Presence, Shape};
pub use table::ATTRIBUTES;

use crate::{Attribute, AttributeName, Denial, LifecycleState, ObjectType, Tag, Value};
use alloc::format;
use alloc::string::ToString;
use core::fmt;

/// Seconds after which a client should ask again whether it may use an object; the value the KMIP
/// profiles show (TL-M-3). Nothing here depends on it.
pub const LEASE_SECONDS: u32 = 3_600;

/// Protection Storage Mask of what is kept by this program: Software (KMIP 2.1 §12).
pub const PROTECTION_SOFTWARE: i32 = 1;

/// Characters in the name of a custom attribute, and in its vendor: what SASED-M-1 asks for.
pub const CUSTOM_NAME_CHARS_MAX: usize = 128;

/// A version of the protocol: major, minor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u8, pub u8);

/// A set of states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct States(u8);

impl States {
    /// No state: never.
    pub const NONE: Self = Self(0);
    /// Pre-Active only.
    pub const PRE_ACTIVE: Self = Self(1 << LifecycleState::PreActive as u8);
    /// Pre-Active and Active.
    pub const BEFORE_DEACTIVATION: Self =
        Self(Self::PRE_ACTIVE.0 | 1 << LifecycleState::Active as u8);
    /// Every state in which the material exists.
    pub const LIVE: Self = Self(
        Self::BEFORE_DEACTIVATION.0
            | 1 << LifecycleState::Deactivated as u8
            | 1 << LifecycleState::Compromised as u8,
    );

    /// Whether a state is in the set.
    pub const fn contains(self, state: LifecycleState) -> bool {
        self.0 & (1 << state as u8) != 0
    }
}

/// A set of object types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Types(u8);

impl Types {
    /// No kind.
    pub const NONE: Self = Self(0);
    /// Certificates.
    pub const CERTIFICATE: Self = Self(1 << ObjectType::Certificate as u8);
    /// Symmetric keys.
    pub const SYMMETRIC_KEY: Self = Self(1 << ObjectType::SymmetricKey as u8);
    /// Secret data.
    pub const SECRET_DATA: Self = Self(1 << ObjectType::SecretData as u8);
    /// Opaque objects.
    pub const OPAQUE_OBJECT: Self = Self(1 << ObjectType::OpaqueObject as u8);
    /// Objects that have a key block or are a certificate: all but opaque ones.
    pub const CRYPTOGRAPHIC: Self =
        Self(Self::CERTIFICATE.0 | Self::SYMMETRIC_KEY.0 | Self::SECRET_DATA.0);
    /// Every kind.
    pub const ALL: Self = Self(Self::CRYPTOGRAPHIC.0 | Self::OPAQUE_OBJECT.0);

    /// Whether a kind is in the set.
    pub const fn contains(self, object_type: ObjectType) -> bool {
        self.0 & (1 << object_type as u8) != 0
    }
}

/// Who sets an attribute first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetBy {
    /// The appliance alone.
    Server,
    /// The door that takes in a registered object reads it off the object.
    Door,
    /// The client, when it creates or registers the object, and not later.
    Creation,
    /// The client, then or later.
    Client,
}

/// Where the value of an attribute comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// It is stored with the object.
    Stored,
    /// It is a field of the object.
    Derived(Source),
    /// It is not known to the law: the server adds it when the attribute is read. (A value that
    /// the client gave at creation is stored.)
    OnReading,
}

/// The fields of an object that are attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The identifier as text.
    UniqueIdentifier,
    /// The identifier as 16 bytes.
    ShortUniqueIdentifier,
    /// The kind.
    ObjectType,
    /// The effective state.
    State,
    /// When it came to be.
    InitialDate,
    /// When it last changed.
    LastChangeDate,
    /// Whether it was sensitive from its beginning and without a break.
    AlwaysSensitive,
    /// Whether it was never extractable.
    NeverExtractable,
}

/// The value of an attribute that is not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absent {
    /// A Boolean.
    Boolean(bool),
    /// An Interval, seconds.
    Interval(u32),
    /// A mask.
    Mask(i32),
    /// Key Format Type Raw, for symmetric keys.
    RawKey,
    /// The Initial Date, when the material was made here.
    InitialDateIfMadeHere,
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct AttributeRule {
    /// Its tag in KMIP 2.1.
    pub tag: Tag,
    /// Its name, as KMIP 1.x writes it on the wire.
    pub name: &'static str,
    /// The form of its value.
    pub shape: Shape,
    /// The clause of the standard.
    pub clause: &'static str,
    /// First protocol version that has it; `None` for a field that only doors read.
    pub since: Option<Version>,
    /// Last protocol version that has it.
    pub until: Option<Version>,
    /// Whether an object may have several instances.
    pub many: bool,
    /// Who sets it first.
    pub set_by: SetBy,
    /// Whether Create refuses without it.
    pub required_to_create: bool,
    /// The kinds whose Register refuses without it.
    pub required_to_register: Types,
    /// States in which a client may add it.
    pub add: States,
    /// States in which a client may modify it.
    pub modify: States,
    /// States in which a client may delete it.
    pub delete: States,
    /// Whether it stays as it is once the date that is its value has come.
    pub frozen_by_its_date: bool,
    /// Whether only the owner may set, change and delete it (it grants rights to others).
    pub owner_only: bool,
    /// A Boolean value that it does not lose again.
    pub sticky: Option<bool>,
    /// The kinds that have it.
    pub applies: Types,
    /// Where its value comes from.
    pub kept: Kept,
    /// Its value when none is stored.
    pub absent: Option<Absent>,
}

impl AttributeRule {
    /// Whether a protocol version knows it.
    pub fn in_version(&self, version: Version) -> bool {
        self.since.is_some_and(|since| since <= version)
            && self.until.is_none_or(|until| version <= until)
    }

    /// Its name.
    pub const fn attribute_name(&self) -> AttributeName {
        AttributeName::Standard(self.tag)
    }
}

/// Row numbers by the low bits of the tag; 0xff where there is none.
#[allow(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "evaluated by rustc"
)]
const BY_TAG: [u8; 0x200] = {
    let mut rows = [0xff; 0x200];
    let mut at = 0;
    while at < ATTRIBUTES.len() {
        // Constant evaluation stops the build when the table outgrows this index.
        assert!(at < 0xff);
        rows[(ATTRIBUTES[at].tag.0 & 0x1ff) as usize] = at as u8;
        at += 1;
    }
    rows
};

/// The place of an attribute of the standard in [`ATTRIBUTES`].
pub(crate) fn position(tag: Tag) -> Option<usize> {
    let low = usize::try_from(tag.0.checked_sub(0x0042_0000)?).ok()?;
    let at = usize::from(*BY_TAG.get(low)?);
    (at < ATTRIBUTES.len()).then_some(at)
}

/// The rule of an attribute of the standard.
pub fn rule(tag: Tag) -> Option<&'static AttributeRule> {
    ATTRIBUTES.get(position(tag)?)
}

/// The rule of an attribute by its KMIP 1.x name (`Cryptographic Algorithm`).
pub fn rule_named(name: &str) -> Option<&'static AttributeRule> {
    ATTRIBUTES.iter().find(|row| row.name == name)
}

impl AttributeName {
    /// Reads the name as people and KMIP 1.x write it: a name of the standard, or `x-Foo` (vendor,
    /// hyphen, name).
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(row) = rule_named(text) {
            return Some(row.attribute_name());
        }
        let (vendor, name) = text.split_once('-')?;
        let named = Self::Vendor {
            vendor: vendor.to_string(),
            name: name.to_string(),
        };
        check_name(&named).is_ok().then_some(named)
    }
}

impl fmt::Display for AttributeName {
    /// The name in the standard, or the custom name in its KMIP 1.x form.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Standard(tag) => match rule(*tag) {
                Some(row) => f.write_str(row.name),
                None => write!(f, "{:#08x}", tag.0),
            },
            Self::Vendor { vendor, name } => write!(f, "{vendor}-{name}"),
        }
    }
}

impl Attribute {
    /// An attribute of the standard.
    pub const fn standard(tag: Tag, value: Value) -> Self {
        Self {
            name: AttributeName::Standard(tag),
            value,
        }
    }

    /// A custom attribute of a client: vendor `x`.
    pub fn custom(name: &str, value: Value) -> Self {
        let name = AttributeName::Vendor {
            vendor: "x".to_string(),
            name: name.to_string(),
        };
        Self { name, value }
    }

    /// A Name with the type Uninterpreted Text String.
    pub fn named(text: &str) -> Self {
        let fields = [
            (tag::NAME_VALUE, Value::Text(text.to_string())),
            (tag::NAME_TYPE, Value::Enumeration(1)),
        ];
        Self::standard(tag::NAME, Value::Structure(fields.into()))
    }
}

/// The rule that a custom attribute of any vendor follows (KMIP 1.4 §3.39, KMIP 2.1 §4 Vendor
/// Attribute). Its shape is not looked at.
pub const CUSTOM: AttributeRule = AttributeRule {
    tag: Tag(0x42_0008),
    name: "Custom Attribute",
    shape: Shape::Bytes,
    clause: "1.4 §3.39",
    since: Some(Version(1, 0)),
    until: None,
    many: true,
    set_by: SetBy::Client,
    required_to_create: false,
    required_to_register: Types::NONE,
    add: States::LIVE,
    modify: States::LIVE,
    delete: States::LIVE,
    frozen_by_its_date: false,
    owner_only: false,
    sticky: None,
    applies: Types::ALL,
    kept: Kept::Stored,
    absent: None,
};

/// Vendor of the custom attributes that only a server sets (KMIP 1.4 §3.39: `y-`).
const SERVER_VENDOR: &str = "y";

/// The rule that holds for a name, or why nothing can be done under it.
pub(crate) fn rule_for(name: &AttributeName) -> Result<&'static AttributeRule, Denial> {
    match name {
        AttributeName::Standard(tag) => {
            rule(*tag).ok_or_else(|| Denial::AttributeUnknown { name: name.clone() })
        }
        AttributeName::Vendor { vendor, .. } => {
            check_name(name)?;
            if vendor == SERVER_VENDOR {
                return Err(Denial::AttributeReadOnly { name: name.clone() });
            }
            Ok(&CUSTOM)
        }
    }
}

/// Checks vendor and name of a custom attribute before anything repeats them in a record.
pub(crate) fn check_name(name: &AttributeName) -> Result<(), Denial> {
    let AttributeName::Vendor { vendor, name } = name else {
        return Ok(());
    };
    for (what, text) in [("vendor", vendor), ("name", name)] {
        let wrong = |why| Denial::InvalidField {
            reason: format!("the {what} of the custom attribute: {why}"),
        };
        shape::check_label(text).map_err(wrong)?;
        if text.chars().count() > CUSTOM_NAME_CHARS_MAX {
            return Err(wrong(format!(
                "it has more than {CUSTOM_NAME_CHARS_MAX} characters"
            )));
        }
    }
    Ok(())
}

/// Checks the form of a value, and that this kind of object has the attribute. The name was
/// accepted by [`rule_for`].
pub(crate) fn check_value(
    rule: &AttributeRule,
    attribute: &Attribute,
    object_type: ObjectType,
    bytes_max: usize,
) -> Result<(), Denial> {
    let name = &attribute.name;
    if !rule.applies.contains(object_type) {
        let reason = format!("attribute {name} does not apply to a {object_type}");
        return Err(Denial::InvalidField { reason });
    }
    let checked = match name {
        AttributeName::Standard(_) => shape::check(&rule.shape, &attribute.value, bytes_max),
        AttributeName::Vendor { .. } => shape::check_custom(&attribute.value, bytes_max),
    };
    checked.map_err(|why| Denial::InvalidField {
        reason: format!("attribute {name}: {why}"),
    })
}

/// Adds the fields of a value that the table derives from others.
pub(crate) fn complete(rule: &AttributeRule, attribute: &mut Attribute) {
    shape::complete(&rule.shape, &mut attribute.value);
}
