//! Create and Register (KMIP 1.4 §4.1 and §4.3, KMIP 2.1 §6.1.8 and §6.1.43).

use super::get::check_declared;
use super::{Context, Payload, place, required_identifier};
use crate::attributes::{Attribute, Template};
use crate::enumerations::ObjectType;
use crate::failure::Failure;
use crate::objects::Object;
use crate::tags::Tag;
use crate::ttlv::{Field, Items, Writer, once, push, required, unexpected};
use crate::version::ProtocolVersion;

/// Asks the server to make a symmetric key (or another secret of its own making).
#[derive(Debug, PartialEq, Eq)]
pub struct CreateRequest {
    pub object_type: ObjectType,
    pub template: Template,
    /// Where the key may be kept, in the order of preference; since 2.0.
    pub protection_storage_masks: Vec<i32>,
}

/// Which object was made.
#[derive(Debug, PartialEq, Eq)]
pub struct CreateResponse {
    pub object_type: ObjectType,
    pub unique_identifier: String,
    /// Attributes the server set of its own; 1.x only.
    pub attributes: Vec<Attribute>,
}

/// Hands an object over to the server.
#[derive(Debug, PartialEq, Eq)]
pub struct RegisterRequest {
    pub object: Object,
    pub template: Template,
    /// Where the key may be kept, in the order of preference; since 2.0.
    pub protection_storage_masks: Vec<i32>,
}

/// The identifier under which the object is kept.
#[derive(Debug, PartialEq, Eq)]
pub struct RegisterResponse {
    pub unique_identifier: String,
    /// Attributes the server set of its own; 1.x only.
    pub attributes: Vec<Attribute>,
}

/// At most this many Protection Storage Masks; the standard defines 14 bits.
const STORAGE_MASKS_MAX: usize = 32;

impl Payload for CreateRequest {
    fn read(items: Items<'_>, with: &Context<'_>) -> Result<Self, Failure> {
        let place = place(&items);
        let (mut object_type, mut template, mut masks) = (None, None, None);
        for field in items {
            let field = field?;
            match field.tag {
                Tag::OBJECT_TYPE => {
                    once(&mut object_type, &field, ObjectType(field.enumeration()?))?;
                }
                Tag::PROTECTION_STORAGE_MASKS => once(&mut masks, &field, read_masks(&field)?)?,
                _ if Template::is_field(&field, with.version) => {
                    once(&mut template, &field, Template::read(&field, with)?)?;
                }
                _ => return Err(unexpected(&field, place.0).into()),
            }
        }
        Ok(CreateRequest {
            object_type: required(object_type, Tag::OBJECT_TYPE, place)?,
            template: required(template, Template::tag(with.version), place)?,
            protection_storage_masks: masks.unwrap_or_default(),
        })
    }

    fn write(&self, w: &mut Writer<'_>, version: ProtocolVersion) {
        w.enumeration(Tag::OBJECT_TYPE, self.object_type.0);
        self.template.write(w, version);
        write_masks(&self.protection_storage_masks, w, version);
    }
}

impl Payload for CreateResponse {
    fn read(items: Items<'_>, with: &Context<'_>) -> Result<Self, Failure> {
        let place = place(&items);
        let (mut object_type, mut identifier, mut template) = (None, None, None);
        for field in items {
            let field = field?;
            match field.tag {
                Tag::OBJECT_TYPE => {
                    once(&mut object_type, &field, ObjectType(field.enumeration()?))?;
                }
                Tag::UNIQUE_IDENTIFIER => {
                    once(&mut identifier, &field, field.text()?.to_owned())?;
                }
                Tag::TEMPLATE_ATTRIBUTE if with.version.names_attributes() => {
                    once(&mut template, &field, Template::read(&field, with)?)?;
                }
                _ => return Err(unexpected(&field, place.0).into()),
            }
        }
        Ok(CreateResponse {
            object_type: required(object_type, Tag::OBJECT_TYPE, place)?,
            unique_identifier: required_identifier(identifier, place)?,
            attributes: template.unwrap_or_default().attributes,
        })
    }

    fn write(&self, w: &mut Writer<'_>, version: ProtocolVersion) {
        w.enumeration(Tag::OBJECT_TYPE, self.object_type.0);
        w.text(Tag::UNIQUE_IDENTIFIER, &self.unique_identifier);
        write_set_by_server(&self.attributes, w, version);
    }
}

impl Payload for RegisterRequest {
    fn read(items: Items<'_>, with: &Context<'_>) -> Result<Self, Failure> {
        let place = place(&items);
        let (mut declared, mut template, mut object, mut masks) = (None, None, None, None);
        for field in items {
            let field = field?;
            match (field.tag, Object::type_of(field.tag)) {
                (Tag::OBJECT_TYPE, _) => {
                    once(&mut declared, &field, ObjectType(field.enumeration()?))?;
                }
                (Tag::PROTECTION_STORAGE_MASKS, _) => {
                    once(&mut masks, &field, read_masks(&field)?)?;
                }
                (_, Some(found)) => {
                    once(&mut object, &field, Object::read(&field, found, with)?)?;
                }
                _ if Template::is_field(&field, with.version) => {
                    once(&mut template, &field, Template::read(&field, with)?)?;
                }
                _ => return Err(unexpected(&field, place.0).into()),
            }
        }
        let declared = required(declared, Tag::OBJECT_TYPE, place)?;
        let object = required(object, Object::tag_of(declared), place)?;
        check_declared(declared, &object, place.1)?;
        Ok(RegisterRequest {
            object,
            template: required(template, Template::tag(with.version), place)?,
            protection_storage_masks: masks.unwrap_or_default(),
        })
    }

    fn write(&self, w: &mut Writer<'_>, version: ProtocolVersion) {
        w.enumeration(Tag::OBJECT_TYPE, self.object.object_type().0);
        self.template.write(w, version);
        self.object.write(w, version);
        write_masks(&self.protection_storage_masks, w, version);
    }
}

impl Payload for RegisterResponse {
    fn read(items: Items<'_>, with: &Context<'_>) -> Result<Self, Failure> {
        let place = place(&items);
        let (mut identifier, mut template) = (None, None);
        for field in items {
            let field = field?;
            match field.tag {
                Tag::UNIQUE_IDENTIFIER => {
                    once(&mut identifier, &field, field.text()?.to_owned())?;
                }
                Tag::TEMPLATE_ATTRIBUTE if with.version.names_attributes() => {
                    once(&mut template, &field, Template::read(&field, with)?)?;
                }
                _ => return Err(unexpected(&field, place.0).into()),
            }
        }
        Ok(RegisterResponse {
            unique_identifier: required_identifier(identifier, place)?,
            attributes: template.unwrap_or_default().attributes,
        })
    }

    fn write(&self, w: &mut Writer<'_>, version: ProtocolVersion) {
        w.text(Tag::UNIQUE_IDENTIFIER, &self.unique_identifier);
        write_set_by_server(&self.attributes, w, version);
    }
}

/// Template-Attribute in responses of 1.x; 2.x has no place for it.
fn write_set_by_server(attributes: &[Attribute], w: &mut Writer<'_>, version: ProtocolVersion) {
    if version.names_attributes() && !attributes.is_empty() {
        Template::write_attributes(attributes, w, version);
    }
}

fn read_masks(field: &Field<'_>) -> Result<Vec<i32>, Failure> {
    let mut masks = Vec::new();
    for inner in field.items()? {
        let inner = inner?;
        if inner.tag != Tag::PROTECTION_STORAGE_MASK {
            return Err(unexpected(&inner, field.tag).into());
        }
        let what = "Protection Storage Masks";
        push(
            &mut masks,
            &inner,
            inner.integer()?,
            what,
            STORAGE_MASKS_MAX,
        )?;
    }
    Ok(masks)
}

fn write_masks(masks: &[i32], w: &mut Writer<'_>, version: ProtocolVersion) {
    if !masks.is_empty() && Tag::PROTECTION_STORAGE_MASKS.is_known_to(version) {
        w.structure(Tag::PROTECTION_STORAGE_MASKS, |w| {
            masks
                .iter()
                .for_each(|mask| w.integer(Tag::PROTECTION_STORAGE_MASK, *mask));
        });
    }
}
