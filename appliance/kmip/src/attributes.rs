//! Attributes: the one table of those the standard has, and the two forms in which they travel.
//!
//! 1.x names attributes by text and carries `Attribute { Attribute Name, Attribute Index,
//! Attribute Value }` (KMIP 1.4 §2.1.1); custom attributes are those whose name begins with `x-`
//! or `y-`. 2.x carries standard attributes as fields under their own tag and vendor attributes
//! as `Attribute { Vendor Identification, Attribute Name, Attribute Value }` (KMIP 2.1 §7.1).
//! Here both become [`Attribute`]; a custom attribute `x-Foo` of 1.x is the attribute `Foo` of
//! vendor `x` in 2.x (KMIP 2.0 §4.63), in both directions exactly.

use std::fmt;

pub use table::{STANDARD_ATTRIBUTES, StandardAttribute};

use crate::enumerations::ResultReason;
use crate::failure::Failure;
use crate::operations::Context;
use crate::tags::Tag;
use crate::ttlv::{
    Fault, Field, Item, ItemType, Malformed, Value, Writer, once, push, required, unexpected,
};
use crate::version::ProtocolVersion;

mod table;
#[cfg(test)]
mod tests;

/// Bits of the attribute Cryptographic Usage Mask (KMIP 1.4 §9.1.3.3.1, KMIP 2.1 §11.3).
pub mod usage_mask {
    /// Number and name of every bit, in ascending order.
    pub const TABLE: &[(i32, &str)] = &[
        (SIGN, "Sign"),
        (VERIFY, "Verify"),
        (ENCRYPT, "Encrypt"),
        (DECRYPT, "Decrypt"),
        (WRAP_KEY, "Wrap Key"),
        (UNWRAP_KEY, "Unwrap Key"),
        (EXPORT, "Export"),
        (MAC_GENERATE, "MAC Generate"),
        (MAC_VERIFY, "MAC Verify"),
        (DERIVE_KEY, "Derive Key"),
        (CONTENT_COMMITMENT, "Content Commitment"),
        (KEY_AGREEMENT, "Key Agreement"),
        (CERTIFICATE_SIGN, "Certificate Sign"),
        (CRL_SIGN, "CRL Sign"),
        (GENERATE_CRYPTOGRAM, "Generate Cryptogram"),
        (VALIDATE_CRYPTOGRAM, "Validate Cryptogram"),
        (TRANSLATE_ENCRYPT, "Translate Encrypt"),
        (TRANSLATE_DECRYPT, "Translate Decrypt"),
        (TRANSLATE_WRAP, "Translate Wrap"),
        (TRANSLATE_UNWRAP, "Translate Unwrap"),
        (AUTHENTICATE, "Authenticate"),
        (UNRESTRICTED, "Unrestricted"),
        (FPE_ENCRYPT, "FPE Encrypt"),
        (FPE_DECRYPT, "FPE Decrypt"),
    ];

    pub const SIGN: i32 = 0x01;
    pub const VERIFY: i32 = 0x02;
    pub const ENCRYPT: i32 = 0x04;
    pub const DECRYPT: i32 = 0x08;
    pub const WRAP_KEY: i32 = 0x10;
    pub const UNWRAP_KEY: i32 = 0x20;
    pub const EXPORT: i32 = 0x40;
    pub const MAC_GENERATE: i32 = 0x80;
    pub const MAC_VERIFY: i32 = 0x100;
    pub const DERIVE_KEY: i32 = 0x200;
    pub const CONTENT_COMMITMENT: i32 = 0x400;
    pub const KEY_AGREEMENT: i32 = 0x800;
    pub const CERTIFICATE_SIGN: i32 = 0x1000;
    pub const CRL_SIGN: i32 = 0x2000;
    pub const GENERATE_CRYPTOGRAM: i32 = 0x4000;
    pub const VALIDATE_CRYPTOGRAM: i32 = 0x8000;
    pub const TRANSLATE_ENCRYPT: i32 = 0x1_0000;
    pub const TRANSLATE_DECRYPT: i32 = 0x2_0000;
    pub const TRANSLATE_WRAP: i32 = 0x4_0000;
    pub const TRANSLATE_UNWRAP: i32 = 0x8_0000;
    /// Since KMIP 2.0, like those below.
    pub const AUTHENTICATE: i32 = 0x10_0000;
    pub const UNRESTRICTED: i32 = 0x20_0000;
    pub const FPE_ENCRYPT: i32 = 0x40_0000;
    pub const FPE_DECRYPT: i32 = 0x80_0000;
}

/// Bits of Storage Status Mask (KMIP 1.4 §9.1.3.3.2).
pub mod storage_status {
    pub const ON_LINE: i32 = 0x01;
    pub const ARCHIVAL: i32 = 0x02;
    /// Since KMIP 2.0.
    pub const DESTROYED: i32 = 0x04;
}

/// The vendors that stand for the prefixes of custom attributes in 1.x: `x` those that clients
/// set, `y` those that servers set.
const CUSTOM_VENDORS: [&str; 2] = ["x", "y"];

/// Which attribute.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AttributeName {
    /// One of [`STANDARD_ATTRIBUTES`], by its tag.
    Standard(Tag),
    /// One that a vendor made. In 1.x only the vendors `x` and `y` can be named.
    Vendor { vendor: String, name: String },
}

impl AttributeName {
    /// A client's own attribute: `x-` and the name in 1.x, vendor `x` in 2.x.
    #[must_use]
    pub fn custom(name: &str) -> AttributeName {
        AttributeName::Vendor {
            vendor: "x".to_owned(),
            name: name.to_owned(),
        }
    }

    /// The attribute that 1.x calls by this name: "Cryptographic Algorithm", "x-Foo".
    #[must_use]
    pub fn from_text(text: &str) -> Option<AttributeName> {
        if let Some(standard) = StandardAttribute::by_name(text) {
            return Some(AttributeName::Standard(standard.tag));
        }
        let (vendor, name) = text.split_once('-')?;
        CUSTOM_VENDORS
            .contains(&vendor)
            .then(|| AttributeName::Vendor {
                vendor: vendor.to_owned(),
                name: name.to_owned(),
            })
    }

    /// Whether a peer that speaks `version` can be told of this attribute.
    #[must_use]
    pub fn is_known_to(&self, version: ProtocolVersion) -> bool {
        match self {
            AttributeName::Standard(tag) => {
                StandardAttribute::by_tag(*tag).is_some_and(|row| row.is_known_to(version))
            }
            AttributeName::Vendor { vendor, .. } => {
                !version.names_attributes() || CUSTOM_VENDORS.contains(&vendor.as_str())
            }
        }
    }

    /// Reads a field Attribute Name of 1.x.
    pub(crate) fn read_text(field: &Field<'_>) -> Result<AttributeName, Failure> {
        let text = field.text()?;
        AttributeName::from_text(text).ok_or_else(|| {
            Failure::new(
                ResultReason::UNSUPPORTED_ATTRIBUTE,
                format!(
                    "There is no attribute named \"{text}\"; names of custom attributes begin \
                     with x- or y-."
                ),
            )
        })
    }

    /// Reads a field Attribute Reference of 2.x: the tag of a standard attribute as an
    /// Enumeration, or the two names of a vendor attribute in a Structure.
    pub(crate) fn read_reference(field: &Field<'_>) -> Result<AttributeName, Failure> {
        if field.item_type == ItemType::Enumeration {
            let tag = Tag(field.enumeration()?);
            return standard(tag).map(|row| AttributeName::Standard(row.tag));
        }
        let (mut vendor, mut name) = (None, None);
        let items = field.items()?;
        let place = (items.parent(), field.offset);
        for inner in items {
            let inner = inner?;
            match inner.tag {
                Tag::VENDOR_IDENTIFICATION => {
                    once(&mut vendor, &inner, inner.text()?.to_owned())?;
                }
                Tag::ATTRIBUTE_NAME => once(&mut name, &inner, inner.text()?.to_owned())?,
                _ => return Err(unexpected(&inner, place.0).into()),
            }
        }
        Ok(AttributeName::Vendor {
            vendor: required(vendor, Tag::VENDOR_IDENTIFICATION, place)?,
            name: required(name, Tag::ATTRIBUTE_NAME, place)?,
        })
    }

    /// Writes the name as `version` does, or nothing if it cannot say it.
    pub(crate) fn write(&self, w: &mut Writer<'_>, version: ProtocolVersion) {
        if !self.is_known_to(version) {
            return;
        }
        if version.names_attributes() {
            return w.text(Tag::ATTRIBUTE_NAME, &self.to_string());
        }
        match self {
            AttributeName::Standard(tag) => w.enumeration(Tag::ATTRIBUTE_REFERENCE, tag.0),
            AttributeName::Vendor { vendor, name } => {
                w.structure(Tag::ATTRIBUTE_REFERENCE, |w| {
                    w.text(Tag::VENDOR_IDENTIFICATION, vendor);
                    w.text(Tag::ATTRIBUTE_NAME, name);
                });
            }
        }
    }
}

/// The name in 1.x, which is also the one for people: "State", "x-Foo".
impl fmt::Display for AttributeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AttributeName::Standard(tag) => match StandardAttribute::by_tag(*tag) {
                Some(row) => f.write_str(row.name),
                None => write!(f, "{tag}"),
            },
            AttributeName::Vendor { vendor, name } => write!(f, "{vendor}-{name}"),
        }
    }
}

impl fmt::Debug for AttributeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One instance of an attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribute {
    pub name: AttributeName,
    /// Which of several instances; only 1.x carries it, and it may be left out for the first.
    pub index: Option<u32>,
    pub value: Value,
}

impl Attribute {
    /// An instance of a standard attribute, without an index.
    #[must_use]
    pub fn standard(tag: Tag, value: Value) -> Attribute {
        Attribute {
            name: AttributeName::Standard(tag),
            index: None,
            value,
        }
    }

    /// A client's own attribute of type Text String.
    #[must_use]
    pub fn custom(name: &str, text: &str) -> Attribute {
        let value = Value::Text(text.to_owned());
        Attribute {
            name: AttributeName::custom(name),
            index: None,
            value,
        }
    }

    /// The attribute Name with an uninterpreted text.
    #[must_use]
    pub fn name(text: &str) -> Attribute {
        Attribute::standard(
            Tag::NAME,
            Value::Structure(vec![
                Item::new(Tag::NAME_VALUE, Value::Text(text.to_owned())),
                Item::new(Tag::NAME_TYPE, Value::Enumeration(1)),
            ]),
        )
    }

    /// Reads the structure Attribute of 1.x.
    pub(crate) fn read_named(field: &Field<'_>) -> Result<Attribute, Failure> {
        let (mut name, mut index, mut value) = (None, None, None);
        let place = (field.tag, field.offset);
        for inner in field.items()? {
            let inner = inner?;
            match inner.tag {
                Tag::ATTRIBUTE_NAME => {
                    once(&mut name, &inner, AttributeName::read_text(&inner)?)?;
                }
                Tag::ATTRIBUTE_INDEX => once(&mut index, &inner, read_index(&inner)?)?,
                Tag::ATTRIBUTE_VALUE => once(&mut value, &inner, inner)?,
                _ => return Err(unexpected(&inner, field.tag).into()),
            }
        }
        let name = required(name, Tag::ATTRIBUTE_NAME, place)?;
        let value = required(value, Tag::ATTRIBUTE_VALUE, place)?;
        if let AttributeName::Standard(tag) = &name {
            expect_type(&value, *tag)?;
        }
        Ok(Attribute {
            name,
            index,
            value: Value::read(&value)?,
        })
    }

    /// Reads a field of a structure Attributes of 2.x: a standard attribute under its own tag, or
    /// the structure Attribute of a vendor attribute.
    fn read_tagged(field: &Field<'_>) -> Result<Attribute, Failure> {
        if field.tag != Tag::ATTRIBUTE {
            let row = standard(field.tag)?;
            expect_type(field, row.tag)?;
            return Ok(Attribute::standard(row.tag, Value::read(field)?));
        }
        let (mut vendor, mut name, mut value) = (None, None, None);
        let place = (field.tag, field.offset);
        for inner in field.items()? {
            let inner = inner?;
            match inner.tag {
                Tag::VENDOR_IDENTIFICATION => {
                    once(&mut vendor, &inner, inner.text()?.to_owned())?;
                }
                Tag::ATTRIBUTE_NAME => once(&mut name, &inner, inner.text()?.to_owned())?,
                Tag::ATTRIBUTE_VALUE => once(&mut value, &inner, Value::read(&inner)?)?,
                _ => return Err(unexpected(&inner, field.tag).into()),
            }
        }
        Ok(Attribute {
            name: AttributeName::Vendor {
                vendor: required(vendor, Tag::VENDOR_IDENTIFICATION, place)?,
                name: required(name, Tag::ATTRIBUTE_NAME, place)?,
            },
            index: None,
            value: required(value, Tag::ATTRIBUTE_VALUE, place)?,
        })
    }

    /// Writes the structure Attribute of 1.x.
    fn write_named(&self, w: &mut Writer<'_>, version: ProtocolVersion) {
        w.structure(Tag::ATTRIBUTE, |w| {
            w.text(Tag::ATTRIBUTE_NAME, &self.name.to_string());
            w.optional_integer(Tag::ATTRIBUTE_INDEX, self.index.map(wire_index));
            self.write_value(Tag::ATTRIBUTE_VALUE, w, version);
        });
    }

    /// Writes the field of 2.x.
    fn write_tagged(&self, w: &mut Writer<'_>, version: ProtocolVersion) {
        match &self.name {
            AttributeName::Standard(tag) => self.write_value(*tag, w, version),
            AttributeName::Vendor { vendor, name } => w.structure(Tag::ATTRIBUTE, |w| {
                w.text(Tag::VENDOR_IDENTIFICATION, vendor);
                w.text(Tag::ATTRIBUTE_NAME, name);
                self.value.write(Tag::ATTRIBUTE_VALUE, w);
            }),
        }
    }

    /// The value; inside standard structures only what `version` knows.
    fn write_value(&self, tag: Tag, w: &mut Writer<'_>, version: ProtocolVersion) {
        match self.name {
            AttributeName::Standard(_) => self.value.write_known(tag, w, version),
            AttributeName::Vendor { .. } => self.value.write(tag, w),
        }
    }

    /// Writes one attribute where a payload has exactly one: `Attribute` in 1.x, a structure
    /// `wrapper` (New Attribute, Current Attribute) in 2.x. It is written even if `version` does
    /// not have it, because the payload is nothing without it, and in a response it is the
    /// attribute that the client itself named.
    pub(crate) fn write_in(&self, wrapper: Tag, w: &mut Writer<'_>, version: ProtocolVersion) {
        if version.names_attributes() {
            self.write_named(w, version);
        } else {
            w.structure(wrapper, |w| self.write_tagged(w, version));
        }
    }

    /// Reads New Attribute or Current Attribute of 2.x: a structure with exactly one attribute.
    pub(crate) fn read_wrapped(field: &Field<'_>) -> Result<Attribute, Failure> {
        let mut only = None;
        for inner in field.items()? {
            let inner = inner?;
            once(&mut only, &inner, Attribute::read_tagged(&inner)?)?;
        }
        Ok(required(only, Tag::ATTRIBUTE, (field.tag, field.offset))?)
    }
}

/// Reads Attribute Index.
pub(crate) fn read_index(field: &Field<'_>) -> Result<u32, Malformed> {
    let why = "an index is not negative";
    u32::try_from(field.integer()?).map_err(|_| {
        field.malformed(Fault::Value {
            tag: field.tag,
            why,
        })
    })
}

/// Attribute Index is a signed Integer on the wire. Indices are handed out by servers, one for
/// each instance, so none comes near the bound.
pub(crate) fn wire_index(index: u32) -> i32 {
    i32::try_from(index).unwrap_or(i32::MAX)
}

fn standard(tag: Tag) -> Result<&'static StandardAttribute, Failure> {
    StandardAttribute::by_tag(tag).ok_or_else(|| {
        Failure::new(
            ResultReason::UNSUPPORTED_ATTRIBUTE,
            format!(
                "{tag} (0x{:06X}) is not an attribute of the standard.",
                tag.0
            ),
        )
    })
}

/// Holds the type of a value against the table.
fn expect_type(value: &Field<'_>, attribute: Tag) -> Result<(), Failure> {
    let expected = standard(attribute)?.item_type;
    let found = value.item_type;
    if expected == found {
        return Ok(());
    }
    Err(value
        .malformed(Fault::WrongType {
            tag: attribute,
            expected,
            found,
        })
        .into())
}

/// Reads the fields of Attributes (2.x) onto a list.
pub(crate) fn read_attributes(
    field: &Field<'_>,
    list: &mut Vec<Attribute>,
    with: &Context<'_>,
) -> Result<(), Failure> {
    for inner in field.items()? {
        let inner = inner?;
        let attribute = Attribute::read_tagged(&inner)?;
        push(
            list,
            &inner,
            attribute,
            "attributes",
            with.limits.attributes,
        )?;
    }
    Ok(())
}

/// Writes attributes one after the other in 1.x, in a structure `wrapper` in 2.x.
pub(crate) fn write_attributes(
    attributes: &[Attribute],
    wrapper: Tag,
    w: &mut Writer<'_>,
    version: ProtocolVersion,
) {
    if version.names_attributes() {
        write_each(attributes, w, version);
    } else {
        w.structure(wrapper, |w| write_each(attributes, w, version));
    }
}

/// The attributes an object is to get, and in 1.x the templates to take more from (KMIP 1.4
/// §2.1.8; templates are deprecated since 1.3 and gone in 2.0).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Template {
    /// Names of registered templates, each a Name structure.
    pub names: Vec<Value>,
    pub attributes: Vec<Attribute>,
}

impl Template {
    /// Only attributes.
    #[must_use]
    pub fn of(attributes: Vec<Attribute>) -> Template {
        Template {
            names: Vec::new(),
            attributes,
        }
    }

    /// Whether this field is a Template-Attribute in 1.x or Attributes in 2.x.
    pub(crate) fn is_field(field: &Field<'_>, version: ProtocolVersion) -> bool {
        field.tag == Self::tag(version)
    }

    /// The tag under which `version` carries it.
    pub(crate) fn tag(version: ProtocolVersion) -> Tag {
        if version.names_attributes() {
            Tag::TEMPLATE_ATTRIBUTE
        } else {
            Tag::ATTRIBUTES
        }
    }

    pub(crate) fn read(field: &Field<'_>, with: &Context<'_>) -> Result<Template, Failure> {
        let mut template = Template::default();
        if !with.version.names_attributes() {
            read_attributes(field, &mut template.attributes, with)?;
            return Ok(template);
        }
        for inner in field.items()? {
            let inner = inner?;
            match inner.tag {
                Tag::NAME => {
                    expect_type(&inner, Tag::NAME)?;
                    let (value, limit) = (Value::read(&inner)?, with.limits.attributes);
                    push(&mut template.names, &inner, value, "template names", limit)?;
                }
                Tag::ATTRIBUTE => {
                    let (value, limit) = (Attribute::read_named(&inner)?, with.limits.attributes);
                    push(&mut template.attributes, &inner, value, "attributes", limit)?;
                }
                _ => return Err(unexpected(&inner, field.tag).into()),
            }
        }
        Ok(template)
    }

    pub(crate) fn write(&self, w: &mut Writer<'_>, version: ProtocolVersion) {
        w.structure(Self::tag(version), |w| {
            if version.names_attributes() {
                self.names.iter().for_each(|name| name.write(Tag::NAME, w));
            }
            write_each(&self.attributes, w, version);
        });
    }

    /// Writes attributes without template names.
    pub(crate) fn write_attributes(
        attributes: &[Attribute],
        w: &mut Writer<'_>,
        version: ProtocolVersion,
    ) {
        w.structure(Self::tag(version), |w| write_each(attributes, w, version));
    }
}

fn write_each(attributes: &[Attribute], w: &mut Writer<'_>, version: ProtocolVersion) {
    for attribute in attributes
        .iter()
        .filter(|attribute| attribute.name.is_known_to(version))
    {
        if version.names_attributes() {
            attribute.write_named(w, version);
        } else {
            attribute.write_tagged(w, version);
        }
    }
}
