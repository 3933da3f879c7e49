//! Get (KMIP 1.4 §4.11, KMIP 2.1 §6.1.19).

use super::{Context, Payload, place, required_identifier};
use crate::enumerations::{KeyCompressionType, KeyFormatType, KeyWrapType, ObjectType};
use crate::failure::Failure;
use crate::objects::Object;
use crate::tags::Tag;
use crate::ttlv::{Fault, Item, Items, Writer, once, required, unexpected};
use crate::version::ProtocolVersion;

/// Asks for an object with its value.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct GetRequest {
    /// `None`: the ID Placeholder.
    pub unique_identifier: Option<String>,
    pub key_format_type: Option<KeyFormatType>,
    /// Since 1.4.
    pub key_wrap_type: Option<KeyWrapType>,
    pub key_compression_type: Option<KeyCompressionType>,
    /// The fields of Key Wrapping Specification, unread.
    pub key_wrapping_specification: Option<Vec<Item>>,
}

/// An object with its value.
#[derive(Debug, PartialEq, Eq)]
pub struct GetResponse {
    pub unique_identifier: String,
    pub object: Object,
}

impl Payload for GetRequest {
    fn read(items: Items<'_>, with: &Context<'_>) -> Result<Self, Failure> {
        let parent = items.parent();
        let (mut identifier, mut request) = (None, GetRequest::default());
        for field in items {
            let field = field?;
            match field.tag {
                Tag::UNIQUE_IDENTIFIER => {
                    once(&mut identifier, &field, with.identifier(&field)?)?;
                }
                Tag::KEY_FORMAT_TYPE => {
                    let value = KeyFormatType(field.enumeration()?);
                    once(&mut request.key_format_type, &field, value)?;
                }
                Tag::KEY_WRAP_TYPE => {
                    let value = KeyWrapType(field.enumeration()?);
                    once(&mut request.key_wrap_type, &field, value)?;
                }
                Tag::KEY_COMPRESSION_TYPE => {
                    let value = KeyCompressionType(field.enumeration()?);
                    once(&mut request.key_compression_type, &field, value)?;
                }
                Tag::KEY_WRAPPING_SPECIFICATION => {
                    let fields = field.items()?.map(|item| Item::read(&item?));
                    let fields = fields.collect::<Result<_, _>>()?;
                    once(&mut request.key_wrapping_specification, &field, fields)?;
                }
                _ => return Err(unexpected(&field, parent).into()),
            }
        }
        request.unique_identifier = identifier.flatten();
        Ok(request)
    }

    fn write(&self, w: &mut Writer<'_>, version: ProtocolVersion) {
        w.optional_text(Tag::UNIQUE_IDENTIFIER, self.unique_identifier.as_deref());
        w.optional_enumeration(Tag::KEY_FORMAT_TYPE, self.key_format_type.map(|t| t.0));
        if Tag::KEY_WRAP_TYPE.is_known_to(version) {
            w.optional_enumeration(Tag::KEY_WRAP_TYPE, self.key_wrap_type.map(|t| t.0));
        }
        w.optional_enumeration(
            Tag::KEY_COMPRESSION_TYPE,
            self.key_compression_type.map(|t| t.0),
        );
        if let Some(fields) = &self.key_wrapping_specification {
            w.structure(Tag::KEY_WRAPPING_SPECIFICATION, |w| {
                fields
                    .iter()
                    .for_each(|field| field.write_known(w, version));
            });
        }
    }
}

impl Payload for GetResponse {
    fn read(items: Items<'_>, with: &Context<'_>) -> Result<Self, Failure> {
        let place = place(&items);
        let (mut declared, mut identifier, mut object) = (None, None, None);
        for field in items {
            let field = field?;
            match (field.tag, Object::type_of(field.tag)) {
                (Tag::OBJECT_TYPE, _) => {
                    once(&mut declared, &field, ObjectType(field.enumeration()?))?;
                }
                (Tag::UNIQUE_IDENTIFIER, _) => {
                    once(&mut identifier, &field, field.text()?.to_owned())?;
                }
                (_, Some(found)) => {
                    once(&mut object, &field, Object::read(&field, found, with)?)?;
                }
                _ => return Err(unexpected(&field, place.0).into()),
            }
        }
        let object = required(object, Tag::KEY_BLOCK, place)?;
        check_declared(
            required(declared, Tag::OBJECT_TYPE, place)?,
            &object,
            place.1,
        )?;
        let unique_identifier = required_identifier(identifier, place)?;
        Ok(GetResponse {
            unique_identifier,
            object,
        })
    }

    fn write(&self, w: &mut Writer<'_>, version: ProtocolVersion) {
        w.enumeration(Tag::OBJECT_TYPE, self.object.object_type().0);
        w.text(Tag::UNIQUE_IDENTIFIER, &self.unique_identifier);
        self.object.write(w, version);
    }
}

/// The Object Type that a payload declares must be the type of the object that it carries.
pub(super) fn check_declared(
    declared: ObjectType,
    object: &Object,
    offset: usize,
) -> Result<(), Failure> {
    if declared == object.object_type() {
        return Ok(());
    }
    let why = "the object that follows is of another type";
    let fault = Fault::Value {
        tag: Tag::OBJECT_TYPE,
        why,
    };
    Err(crate::ttlv::Malformed { offset, fault }.into())
}
