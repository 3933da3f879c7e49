//! The operations on attributes: Get Attributes, Get Attribute List, Add, Modify, Delete and Set
//! Attribute (KMIP 1.4 §4.12 to §4.16, KMIP 2.1 §6.1).
//!
//! 1.x points to an attribute by name and index; 2.x by reference or by its present value. The
//! structs here hold either.

use super::required_identifier;
use super::{Context, IdentifierResponse, Payload, place, read_only_identifier};
use crate::attributes::{
    Attribute, AttributeName, read_attributes, read_index, wire_index, write_attributes,
};
use crate::enumerations::ResultReason;
use crate::failure::Failure;
use crate::tags::Tag;
use crate::ttlv::{Field, Items, Writer, once, push, required, unexpected};
use crate::version::ProtocolVersion;

/// Asks for attributes of an object; for all of them if it names none.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct GetAttributesRequest {
    /// `None`: the ID Placeholder.
    pub unique_identifier: Option<String>,
    pub names: Vec<AttributeName>,
}

/// The attributes asked for that the object has.
#[derive(Debug, PartialEq, Eq)]
pub struct GetAttributesResponse {
    pub unique_identifier: String,
    pub attributes: Vec<Attribute>,
}

/// Asks which attributes an object has.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct GetAttributeListRequest {
    /// `None`: the ID Placeholder.
    pub unique_identifier: Option<String>,
}

/// The names of the attributes that an object has.
#[derive(Debug, PartialEq, Eq)]
pub struct GetAttributeListResponse {
    pub unique_identifier: String,
    pub names: Vec<AttributeName>,
}

/// Adds an instance of an attribute.
#[derive(Debug, PartialEq, Eq)]
pub struct AddAttributeRequest {
    /// `None`: the ID Placeholder.
    pub unique_identifier: Option<String>,
    pub attribute: Attribute,
}

/// Replaces the value of an instance of an attribute.
#[derive(Debug, PartialEq, Eq)]
pub struct ModifyAttributeRequest {
    /// `None`: the ID Placeholder.
    pub unique_identifier: Option<String>,
    /// The instance to replace, by its present value; 2.x only. In 1.x it is the one with the
    /// index of `new`.
    pub current: Option<Attribute>,
    pub new: Attribute,
}

/// Which instance of an attribute to delete.
#[derive(Debug, PartialEq, Eq)]
pub enum AttributeToDelete {
    /// By name and, in 1.x, index. Without an index: in 1.x the first instance, in 2.x all.
    Named {
        name: AttributeName,
        index: Option<u32>,
    },
    /// By its present value; 2.x only.
    Current(Attribute),
}

/// Deletes an attribute.
#[derive(Debug, PartialEq, Eq)]
pub struct DeleteAttributeRequest {
    /// `None`: the ID Placeholder.
    pub unique_identifier: Option<String>,
    pub attribute: AttributeToDelete,
}

/// Sets an attribute of one instance, whether or not the object has it; since 2.0.
#[derive(Debug, PartialEq, Eq)]
pub struct SetAttributeRequest {
    /// `None`: the ID Placeholder.
    pub unique_identifier: Option<String>,
    pub attribute: Attribute,
}

macro_rules! attribute_response {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, PartialEq, Eq)]
        pub struct $name {
            pub unique_identifier: String,
            /// The attribute with its index; required in 1.x and not sent in 2.x.
            pub attribute: Option<Attribute>,
        }

        impl Payload for $name {
            fn read(items: Items<'_>, with: &Context<'_>) -> Result<Self, Failure> {
                if !with.version.names_attributes() {
                    let IdentifierResponse { unique_identifier } =
                        IdentifierResponse::read(items, with)?;
                    return Ok($name { unique_identifier, attribute: None });
                }
                let place = place(&items);
                let (mut identifier, mut attribute) = (None, None);
                for field in items {
                    let field = field?;
                    match field.tag {
                        Tag::UNIQUE_IDENTIFIER => {
                            once(&mut identifier, &field, field.text()?.to_owned())?;
                        }
                        Tag::ATTRIBUTE => {
                            once(&mut attribute, &field, Attribute::read_named(&field)?)?;
                        }
                        _ => return Err(unexpected(&field, place.0).into()),
                    }
                }
                let unique_identifier = required_identifier(identifier, place)?;
                Ok($name { unique_identifier, attribute })
            }

            fn write(&self, w: &mut Writer<'_>, version: ProtocolVersion) {
                w.text(Tag::UNIQUE_IDENTIFIER, &self.unique_identifier);
                if let (Some(attribute), true) = (&self.attribute, version.names_attributes()) {
                    attribute.write_in(Tag::ATTRIBUTE, w, version);
                }
            }
        }
    };
}

attribute_response! {
    /// The attribute as it was added.
    AddAttributeResponse
}
attribute_response! {
    /// The attribute as it is now.
    ModifyAttributeResponse
}
attribute_response! {
    /// The attribute as it was.
    DeleteAttributeResponse
}

/// The tag under which `version` carries names of attributes in lists.
fn name_tag(version: ProtocolVersion) -> Tag {
    if version.names_attributes() {
        Tag::ATTRIBUTE_NAME
    } else {
        Tag::ATTRIBUTE_REFERENCE
    }
}

fn read_name(field: &Field<'_>, version: ProtocolVersion) -> Result<AttributeName, Failure> {
    if version.names_attributes() {
        AttributeName::read_text(field)
    } else {
        AttributeName::read_reference(field)
    }
}

impl Payload for GetAttributesRequest {
    fn read(items: Items<'_>, with: &Context<'_>) -> Result<Self, Failure> {
        let parent = items.parent();
        let (mut identifier, mut names) = (None, Vec::new());
        for field in items {
            let field = field?;
            match field.tag {
                Tag::UNIQUE_IDENTIFIER => {
                    once(&mut identifier, &field, with.identifier(&field)?)?;
                }
                tag if tag == name_tag(with.version) => {
                    let name = read_name(&field, with.version)?;
                    push(
                        &mut names,
                        &field,
                        name,
                        "attribute names",
                        with.limits.attributes,
                    )?;
                }
                _ => return Err(unexpected(&field, parent).into()),
            }
        }
        Ok(GetAttributesRequest {
            unique_identifier: identifier.flatten(),
            names,
        })
    }

    fn write(&self, w: &mut Writer<'_>, version: ProtocolVersion) {
        w.optional_text(Tag::UNIQUE_IDENTIFIER, self.unique_identifier.as_deref());
        self.names.iter().for_each(|name| name.write(w, version));
    }
}

impl Payload for GetAttributesResponse {
    fn read(items: Items<'_>, with: &Context<'_>) -> Result<Self, Failure> {
        let place = place(&items);
        let (mut identifier, mut attributes, mut seen) = (None, Vec::new(), None);
        let one_by_one = with.version.names_attributes();
        for field in items {
            let field = field?;
            match field.tag {
                Tag::UNIQUE_IDENTIFIER => {
                    once(&mut identifier, &field, field.text()?.to_owned())?;
                }
                Tag::ATTRIBUTE if one_by_one => {
                    let attribute = Attribute::read_named(&field)?;
                    let limit = with.limits.attributes;
                    push(&mut attributes, &field, attribute, "attributes", limit)?;
                }
                Tag::ATTRIBUTES if !one_by_one => {
                    once(&mut seen, &field, ())?;
                    read_attributes(&field, &mut attributes, with)?;
                }
                _ => return Err(unexpected(&field, place.0).into()),
            }
        }
        let unique_identifier = required_identifier(identifier, place)?;
        Ok(GetAttributesResponse {
            unique_identifier,
            attributes,
        })
    }

    fn write(&self, w: &mut Writer<'_>, version: ProtocolVersion) {
        w.text(Tag::UNIQUE_IDENTIFIER, &self.unique_identifier);
        write_attributes(&self.attributes, Tag::ATTRIBUTES, w, version);
    }
}

impl Payload for GetAttributeListRequest {
    fn read(items: Items<'_>, with: &Context<'_>) -> Result<Self, Failure> {
        Ok(GetAttributeListRequest {
            unique_identifier: read_only_identifier(items, with)?,
        })
    }

    fn write(&self, w: &mut Writer<'_>, _: ProtocolVersion) {
        w.optional_text(Tag::UNIQUE_IDENTIFIER, self.unique_identifier.as_deref());
    }
}

impl Payload for GetAttributeListResponse {
    fn read(items: Items<'_>, with: &Context<'_>) -> Result<Self, Failure> {
        let place = place(&items);
        let (mut identifier, mut names) = (None, Vec::new());
        for field in items {
            let field = field?;
            match field.tag {
                Tag::UNIQUE_IDENTIFIER => {
                    once(&mut identifier, &field, field.text()?.to_owned())?;
                }
                tag if tag == name_tag(with.version) => {
                    let name = read_name(&field, with.version)?;
                    push(
                        &mut names,
                        &field,
                        name,
                        "attribute names",
                        with.limits.attributes,
                    )?;
                }
                _ => return Err(unexpected(&field, place.0).into()),
            }
        }
        let unique_identifier = required_identifier(identifier, place)?;
        Ok(GetAttributeListResponse {
            unique_identifier,
            names,
        })
    }

    fn write(&self, w: &mut Writer<'_>, version: ProtocolVersion) {
        w.text(Tag::UNIQUE_IDENTIFIER, &self.unique_identifier);
        self.names.iter().for_each(|name| name.write(w, version));
    }
}

/// The fields of Add, Modify and Set Attribute: Unique Identifier, the present and the new value.
struct Change {
    unique_identifier: Option<String>,
    current: Option<Attribute>,
    new: Attribute,
}

impl Change {
    fn read(items: Items<'_>, with: &Context<'_>, replaces: bool) -> Result<Change, Failure> {
        let place = place(&items);
        let (mut identifier, mut current, mut new) = (None, None, None);
        let named = with.version.names_attributes();
        for field in items {
            let field = field?;
            match field.tag {
                Tag::UNIQUE_IDENTIFIER => {
                    once(&mut identifier, &field, with.identifier(&field)?)?;
                }
                Tag::ATTRIBUTE if named => {
                    once(&mut new, &field, Attribute::read_named(&field)?)?;
                }
                Tag::NEW_ATTRIBUTE if !named => {
                    once(&mut new, &field, Attribute::read_wrapped(&field)?)?;
                }
                Tag::CURRENT_ATTRIBUTE if !named && replaces => {
                    once(&mut current, &field, Attribute::read_wrapped(&field)?)?;
                }
                _ => return Err(unexpected(&field, place.0).into()),
            }
        }
        let tag = if named {
            Tag::ATTRIBUTE
        } else {
            Tag::NEW_ATTRIBUTE
        };
        let new = required(new, tag, place)?;
        Ok(Change {
            unique_identifier: identifier.flatten(),
            current,
            new,
        })
    }
}

fn write_change(
    (unique_identifier, current, new): (Option<&str>, Option<&Attribute>, &Attribute),
    w: &mut Writer<'_>,
    version: ProtocolVersion,
) {
    w.optional_text(Tag::UNIQUE_IDENTIFIER, unique_identifier);
    if let (Some(current), false) = (current, version.names_attributes()) {
        current.write_in(Tag::CURRENT_ATTRIBUTE, w, version);
    }
    new.write_in(Tag::NEW_ATTRIBUTE, w, version);
}

impl Payload for AddAttributeRequest {
    fn read(items: Items<'_>, with: &Context<'_>) -> Result<Self, Failure> {
        let Change {
            unique_identifier,
            new,
            ..
        } = Change::read(items, with, false)?;
        Ok(AddAttributeRequest {
            unique_identifier,
            attribute: new,
        })
    }

    fn write(&self, w: &mut Writer<'_>, version: ProtocolVersion) {
        write_change(
            (self.unique_identifier.as_deref(), None, &self.attribute),
            w,
            version,
        );
    }
}

impl Payload for SetAttributeRequest {
    fn read(items: Items<'_>, with: &Context<'_>) -> Result<Self, Failure> {
        let Change {
            unique_identifier,
            new,
            ..
        } = Change::read(items, with, false)?;
        Ok(SetAttributeRequest {
            unique_identifier,
            attribute: new,
        })
    }

    fn write(&self, w: &mut Writer<'_>, version: ProtocolVersion) {
        write_change(
            (self.unique_identifier.as_deref(), None, &self.attribute),
            w,
            version,
        );
    }
}

impl Payload for ModifyAttributeRequest {
    fn read(items: Items<'_>, with: &Context<'_>) -> Result<Self, Failure> {
        let Change {
            unique_identifier,
            current,
            new,
        } = Change::read(items, with, true)?;
        Ok(ModifyAttributeRequest {
            unique_identifier,
            current,
            new,
        })
    }

    fn write(&self, w: &mut Writer<'_>, version: ProtocolVersion) {
        let identifier = self.unique_identifier.as_deref();
        write_change((identifier, self.current.as_ref(), &self.new), w, version);
    }
}

impl Payload for DeleteAttributeRequest {
    fn read(items: Items<'_>, with: &Context<'_>) -> Result<Self, Failure> {
        let place = place(&items);
        let (mut identifier, mut name, mut index, mut current) = (None, None, None, None);
        let named = with.version.names_attributes();
        for field in items {
            let field = field?;
            match field.tag {
                Tag::UNIQUE_IDENTIFIER => {
                    once(&mut identifier, &field, with.identifier(&field)?)?;
                }
                tag if tag == name_tag(with.version) => {
                    once(&mut name, &field, read_name(&field, with.version)?)?;
                }
                Tag::ATTRIBUTE_INDEX if named => once(&mut index, &field, read_index(&field)?)?,
                Tag::CURRENT_ATTRIBUTE if !named => {
                    once(&mut current, &field, Attribute::read_wrapped(&field)?)?;
                }
                _ => return Err(unexpected(&field, place.0).into()),
            }
        }
        let attribute = match (name, current) {
            (Some(name), None) => AttributeToDelete::Named { name, index },
            (None, Some(current)) => AttributeToDelete::Current(current),
            (Some(_), Some(_)) => {
                return Err(Failure::new(
                    ResultReason::INVALID_FIELD,
                    "Delete Attribute has both a Current Attribute and an Attribute Reference; \
                     send the one that names what to delete.",
                ));
            }
            (None, None) => return Err(missing_name(with.version, place)),
        };
        Ok(DeleteAttributeRequest {
            unique_identifier: identifier.flatten(),
            attribute,
        })
    }

    fn write(&self, w: &mut Writer<'_>, version: ProtocolVersion) {
        w.optional_text(Tag::UNIQUE_IDENTIFIER, self.unique_identifier.as_deref());
        match &self.attribute {
            AttributeToDelete::Named { name, index } => {
                name.write(w, version);
                if version.names_attributes() {
                    w.optional_integer(Tag::ATTRIBUTE_INDEX, index.map(wire_index));
                }
            }
            // 1.x cannot point to a value; the name and index are all it can say.
            AttributeToDelete::Current(current) if version.names_attributes() => {
                current.name.write(w, version);
                w.optional_integer(Tag::ATTRIBUTE_INDEX, current.index.map(wire_index));
            }
            AttributeToDelete::Current(current) => {
                current.write_in(Tag::CURRENT_ATTRIBUTE, w, version);
            }
        }
    }
}

fn missing_name(version: ProtocolVersion, (parent, offset): (Tag, usize)) -> Failure {
    let fault = crate::ttlv::Fault::Missing {
        tag: name_tag(version),
        parent,
    };
    crate::ttlv::Malformed { offset, fault }.into()
}
