//! Locate (KMIP 1.4 §4.9, KMIP 2.1 §6.1.27).

use super::{Context, Payload, place};
use crate::attributes::{Attribute, read_attributes, write_attributes};
use crate::enumerations::ObjectGroupMember;
use crate::failure::Failure;
use crate::tags::Tag;
use crate::ttlv::{Items, Writer, once, push, unexpected};
use crate::version::ProtocolVersion;

/// Asks for the identifiers of all objects that have all of these attributes.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct LocateRequest {
    pub maximum_items: Option<i32>,
    /// How many to skip; since 1.3.
    pub offset_items: Option<i32>,
    /// Bits of [`crate::attributes::storage_status`].
    pub storage_status_mask: Option<i32>,
    /// Since 1.1.
    pub object_group_member: Option<ObjectGroupMember>,
    pub attributes: Vec<Attribute>,
}

/// The identifiers found.
#[derive(Debug, PartialEq, Eq)]
pub struct LocateResponse {
    /// How many objects match in all; since 1.3.
    pub located_items: Option<i32>,
    pub unique_identifiers: Vec<String>,
}

impl Payload for LocateRequest {
    fn read(items: Items<'_>, with: &Context<'_>) -> Result<Self, Failure> {
        let parent = items.parent();
        let mut request = LocateRequest::default();
        let (list, mut seen) = (&mut request.attributes, None);
        let one_by_one = with.version.names_attributes();
        for field in items {
            let field = field?;
            match field.tag {
                Tag::MAXIMUM_ITEMS => once(&mut request.maximum_items, &field, field.integer()?)?,
                Tag::OFFSET_ITEMS => once(&mut request.offset_items, &field, field.integer()?)?,
                Tag::STORAGE_STATUS_MASK => {
                    once(&mut request.storage_status_mask, &field, field.integer()?)?;
                }
                Tag::OBJECT_GROUP_MEMBER => {
                    let value = ObjectGroupMember(field.enumeration()?);
                    once(&mut request.object_group_member, &field, value)?;
                }
                Tag::ATTRIBUTE if one_by_one => {
                    let attribute = Attribute::read_named(&field)?;
                    push(
                        list,
                        &field,
                        attribute,
                        "attributes",
                        with.limits.attributes,
                    )?;
                }
                Tag::ATTRIBUTES if !one_by_one => {
                    once(&mut seen, &field, ())?;
                    read_attributes(&field, list, with)?;
                }
                // Not to be skipped: a filter that is ignored widens what is found.
                _ => return Err(unexpected(&field, parent).into()),
            }
        }
        Ok(request)
    }

    fn write(&self, w: &mut Writer<'_>, version: ProtocolVersion) {
        w.optional_integer(Tag::MAXIMUM_ITEMS, self.maximum_items);
        if Tag::OFFSET_ITEMS.is_known_to(version) {
            w.optional_integer(Tag::OFFSET_ITEMS, self.offset_items);
        }
        w.optional_integer(Tag::STORAGE_STATUS_MASK, self.storage_status_mask);
        if Tag::OBJECT_GROUP_MEMBER.is_known_to(version) {
            let member = self.object_group_member.map(|member| member.0);
            w.optional_enumeration(Tag::OBJECT_GROUP_MEMBER, member);
        }
        write_attributes(&self.attributes, Tag::ATTRIBUTES, w, version);
    }
}

impl Payload for LocateResponse {
    fn read(items: Items<'_>, with: &Context<'_>) -> Result<Self, Failure> {
        let (parent, _) = place(&items);
        let (mut located_items, mut unique_identifiers) = (None, Vec::new());
        for field in items {
            let field = field?;
            match field.tag {
                Tag::LOCATED_ITEMS => once(&mut located_items, &field, field.integer()?)?,
                Tag::UNIQUE_IDENTIFIER => {
                    let (text, limit) = (field.text()?.to_owned(), with.limits.items_per_structure);
                    push(&mut unique_identifiers, &field, text, "identifiers", limit)?;
                }
                _ => return Err(unexpected(&field, parent).into()),
            }
        }
        Ok(LocateResponse {
            located_items,
            unique_identifiers,
        })
    }

    fn write(&self, w: &mut Writer<'_>, version: ProtocolVersion) {
        if Tag::LOCATED_ITEMS.is_known_to(version) {
            w.optional_integer(Tag::LOCATED_ITEMS, self.located_items);
        }
        for identifier in &self.unique_identifiers {
            w.text(Tag::UNIQUE_IDENTIFIER, identifier);
        }
    }
}
