//! Managed objects as they travel in Register and Get (KMIP 1.4 §2.2, KMIP 2.1 §2), and the
//! types that hold their secrets.

use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::attributes::{Attribute, read_attributes, write_attributes};
use crate::enumerations::{
    CertificateType, CryptographicAlgorithm, KeyCompressionType, KeyFormatType, ObjectType,
    OpaqueDataType, SecretDataType,
};
use crate::failure::Failure;
use crate::operations::Context;
use crate::tags::Tag;
use crate::ttlv::{
    Fault, Field, Item, ItemType, Malformed, Value, Writer, once, push, required, unexpected,
};
use crate::version::ProtocolVersion;

/// Bytes that are erased when they are dropped, never printed, and compared in a time that does
/// not tell where they differ. To see them takes a call of [`SecretBytes::expose`].
pub struct SecretBytes(Zeroizing<Vec<u8>>);

impl SecretBytes {
    /// Takes over bytes that nobody else keeps.
    #[must_use]
    pub fn new(bytes: Zeroizing<Vec<u8>>) -> SecretBytes {
        SecretBytes(bytes)
    }

    /// A copy of these bytes, made without intermediate memory.
    #[must_use]
    pub fn copy_of(bytes: &[u8]) -> SecretBytes {
        SecretBytes(Zeroizing::new(bytes.to_vec()))
    }

    /// The bytes in the clear.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Gives the bytes away; they are still erased when dropped.
    #[must_use]
    pub fn into_bytes(self) -> Zeroizing<Vec<u8>> {
        self.0
    }
}

impl From<Vec<u8>> for SecretBytes {
    fn from(bytes: Vec<u8>) -> Self {
        SecretBytes(Zeroizing::new(bytes))
    }
}

impl PartialEq for SecretBytes {
    fn eq(&self, other: &Self) -> bool {
        self.expose().ct_eq(other.expose()).into()
    }
}

impl Eq for SecretBytes {}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} secret bytes", self.0.len())
    }
}

/// Items that may hold secrets: erased when they are dropped, never printed, and compared in a time
/// that does not tell where they differ.
pub struct SecretItems(Zeroizing<Vec<Item>>);

impl SecretItems {
    /// Takes over items that nobody else keeps.
    #[must_use]
    pub fn new(items: Vec<Item>) -> SecretItems {
        SecretItems(Zeroizing::new(items))
    }

    /// The items in the clear.
    #[must_use]
    pub fn expose(&self) -> &[Item] {
        &self.0
    }

    /// The fields of a structure.
    pub(crate) fn read(field: &Field<'_>) -> Result<SecretItems, Malformed> {
        let mut items = Zeroizing::new(Vec::new());
        for inner in field.items()? {
            items.push(Item::read(&inner?)?);
        }
        Ok(SecretItems(items))
    }

    pub(crate) fn write(&self, tag: Tag, w: &mut Writer<'_>) {
        w.structure(tag, |w| self.0.iter().for_each(|item| item.write(w)));
    }
}

impl SecretItems {
    /// As they travel; equal items travel alike.
    fn encoded(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(Vec::new());
        let mut writer = Writer::new(&mut bytes);
        self.0.iter().for_each(|item| item.write(&mut writer));
        bytes
    }
}

impl PartialEq for SecretItems {
    fn eq(&self, other: &Self) -> bool {
        self.encoded().ct_eq(&other.encoded()).into()
    }
}

impl Eq for SecretItems {}

impl fmt::Debug for SecretItems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} secret items", self.0.len())
    }
}

/// The material of a key.
#[derive(Debug, PartialEq, Eq)]
pub enum KeyMaterial {
    /// A Byte String, in the format that [`KeyBlock::format`] names. The material of a
    /// Transparent Symmetric Key, on the wire a structure with the one field Key, is here too.
    Bytes(SecretBytes),
    /// The fields of any other transparent key.
    Transparent(SecretItems),
}

/// The value of a key.
#[derive(Debug, PartialEq, Eq)]
pub enum KeyValue {
    /// In the clear, with attributes that the sender put beside it.
    Plain {
        material: KeyMaterial,
        attributes: Vec<Attribute>,
    },
    /// Encrypted by the sender as [`KeyBlock::wrapping`] says.
    Wrapped(SecretBytes),
}

/// Key Block (KMIP 1.4 §2.1.3, KMIP 2.1 §3.1).
#[derive(Debug, PartialEq, Eq)]
pub struct KeyBlock {
    pub format: KeyFormatType,
    pub compression: Option<KeyCompressionType>,
    /// Missing when the key is kept elsewhere (Key Value Location, since 1.2).
    pub value: Option<KeyValue>,
    /// May be missing for secrets that are no keys, and for wrapped keys.
    pub algorithm: Option<CryptographicAlgorithm>,
    /// Bits.
    pub length: Option<i32>,
    /// The fields of Key Wrapping Data. They name keys and methods and hold no secrets.
    pub wrapping: Option<Vec<Item>>,
}

impl KeyBlock {
    /// Unwrapped bytes in the format Raw.
    #[must_use]
    pub fn raw(
        material: SecretBytes,
        algorithm: Option<CryptographicAlgorithm>,
        length: Option<i32>,
    ) -> KeyBlock {
        KeyBlock {
            format: KeyFormatType::RAW,
            compression: None,
            value: Some(KeyValue::Plain {
                material: KeyMaterial::Bytes(material),
                attributes: Vec::new(),
            }),
            algorithm,
            length,
            wrapping: None,
        }
    }

    fn read(field: &Field<'_>, with: &Context<'_>) -> Result<KeyBlock, Failure> {
        let (mut format, mut compression, mut value) = (None, None, None);
        let (mut algorithm, mut length, mut wrapping) = (None, None, None);
        for inner in field.items()? {
            let inner = inner?;
            match inner.tag {
                Tag::KEY_FORMAT_TYPE => {
                    once(&mut format, &inner, KeyFormatType(inner.enumeration()?))?;
                }
                Tag::KEY_COMPRESSION_TYPE => {
                    once(
                        &mut compression,
                        &inner,
                        KeyCompressionType(inner.enumeration()?),
                    )?;
                }
                Tag::KEY_VALUE => once(&mut value, &inner, KeyValue::read(&inner, with)?)?,
                Tag::CRYPTOGRAPHIC_ALGORITHM => {
                    once(
                        &mut algorithm,
                        &inner,
                        CryptographicAlgorithm(inner.enumeration()?),
                    )?;
                }
                Tag::CRYPTOGRAPHIC_LENGTH => once(&mut length, &inner, inner.integer()?)?,
                Tag::KEY_WRAPPING_DATA => {
                    let items = inner.items()?.map(|item| Item::read(&item?));
                    once(&mut wrapping, &inner, items.collect::<Result<_, _>>()?)?;
                }
                _ => return Err(unexpected(&inner, field.tag).into()),
            }
        }
        let format = required(format, Tag::KEY_FORMAT_TYPE, (field.tag, field.offset))?;
        let mut block = KeyBlock {
            format,
            compression,
            value,
            algorithm,
            length,
            wrapping,
        };
        block.normalise_symmetric(field)?;
        Ok(block)
    }

    /// Makes the structure of a Transparent Symmetric Key the bytes that it holds.
    fn normalise_symmetric(&mut self, field: &Field<'_>) -> Result<(), Failure> {
        if self.format != KeyFormatType::TRANSPARENT_SYMMETRIC_KEY {
            return Ok(());
        }
        let Some(KeyValue::Plain { material, .. }) = &mut self.value else {
            return Ok(());
        };
        let KeyMaterial::Transparent(items) = material else {
            let (tag, expected) = (Tag::KEY_MATERIAL, ItemType::Structure);
            let fault = Fault::WrongType {
                tag,
                expected,
                found: ItemType::ByteString,
            };
            return Err(field.malformed(fault).into());
        };
        let [
            Item {
                tag: Tag::KEY,
                value: Value::Bytes(bytes),
            },
        ] = items.expose()
        else {
            let why = "a Transparent Symmetric Key has the one field Key, a Byte String";
            return Err(field
                .malformed(Fault::Value {
                    tag: Tag::KEY_MATERIAL,
                    why,
                })
                .into());
        };
        *material = KeyMaterial::Bytes(SecretBytes::copy_of(bytes));
        Ok(())
    }

    fn write(&self, w: &mut Writer<'_>, version: ProtocolVersion) {
        w.structure(Tag::KEY_BLOCK, |w| {
            w.enumeration(Tag::KEY_FORMAT_TYPE, self.format.0);
            w.optional_enumeration(Tag::KEY_COMPRESSION_TYPE, self.compression.map(|c| c.0));
            if let Some(value) = &self.value {
                value.write(self.format, w, version);
            }
            w.optional_enumeration(Tag::CRYPTOGRAPHIC_ALGORITHM, self.algorithm.map(|a| a.0));
            w.optional_integer(Tag::CRYPTOGRAPHIC_LENGTH, self.length);
            if let Some(items) = &self.wrapping {
                w.structure(Tag::KEY_WRAPPING_DATA, |w| {
                    items.iter().for_each(|item| item.write_known(w, version));
                });
            }
        });
    }
}

impl KeyValue {
    fn read(field: &Field<'_>, with: &Context<'_>) -> Result<KeyValue, Failure> {
        if field.item_type == ItemType::ByteString {
            return Ok(KeyValue::Wrapped(SecretBytes::copy_of(field.bytes()?)));
        }
        let (mut material, mut attributes) = (None, Vec::new());
        for inner in field.items()? {
            let inner = inner?;
            match inner.tag {
                Tag::KEY_MATERIAL => once(&mut material, &inner, KeyMaterial::read(&inner)?)?,
                Tag::ATTRIBUTE if with.version.names_attributes() => {
                    let attribute = Attribute::read_named(&inner)?;
                    let limit = with.limits.attributes;
                    push(&mut attributes, &inner, attribute, "attributes", limit)?;
                }
                Tag::ATTRIBUTES if !with.version.names_attributes() => {
                    read_attributes(&inner, &mut attributes, with)?;
                }
                _ => return Err(unexpected(&inner, field.tag).into()),
            }
        }
        let material = required(material, Tag::KEY_MATERIAL, (field.tag, field.offset))?;
        Ok(KeyValue::Plain {
            material,
            attributes,
        })
    }

    fn write(&self, format: KeyFormatType, w: &mut Writer<'_>, version: ProtocolVersion) {
        let (material, attributes) = match self {
            KeyValue::Wrapped(bytes) => return w.bytes(Tag::KEY_VALUE, bytes.expose()),
            KeyValue::Plain {
                material,
                attributes,
            } => (material, attributes),
        };
        w.structure(Tag::KEY_VALUE, |w| {
            match material {
                KeyMaterial::Bytes(bytes) if format == KeyFormatType::TRANSPARENT_SYMMETRIC_KEY => {
                    w.structure(Tag::KEY_MATERIAL, |w| w.bytes(Tag::KEY, bytes.expose()));
                }
                KeyMaterial::Bytes(bytes) => w.bytes(Tag::KEY_MATERIAL, bytes.expose()),
                KeyMaterial::Transparent(items) => items.write(Tag::KEY_MATERIAL, w),
            }
            if !attributes.is_empty() {
                write_attributes(attributes, Tag::ATTRIBUTES, w, version);
            }
        });
    }
}

impl KeyMaterial {
    fn read(field: &Field<'_>) -> Result<KeyMaterial, Malformed> {
        if field.item_type == ItemType::Structure {
            return Ok(KeyMaterial::Transparent(SecretItems::read(field)?));
        }
        Ok(KeyMaterial::Bytes(SecretBytes::copy_of(field.bytes()?)))
    }
}

/// A managed object with its value.
#[derive(Debug, PartialEq, Eq)]
pub enum Object {
    SymmetricKey(KeyBlock),
    SecretData {
        data_type: SecretDataType,
        key_block: KeyBlock,
    },
    OpaqueObject {
        data_type: OpaqueDataType,
        value: SecretBytes,
    },
    Certificate {
        certificate_type: CertificateType,
        value: Vec<u8>,
    },
    /// A kind that is recognised and passed on unread: public, private and split keys, PGP keys,
    /// templates, certificate requests.
    Other {
        object_type: ObjectType,
        fields: SecretItems,
    },
}

/// The tag under which each type of object travels.
const OBJECT_TAGS: [(Tag, ObjectType); 10] = [
    (Tag::CERTIFICATE, ObjectType::CERTIFICATE),
    (Tag::SYMMETRIC_KEY, ObjectType::SYMMETRIC_KEY),
    (Tag::PUBLIC_KEY, ObjectType::PUBLIC_KEY),
    (Tag::PRIVATE_KEY, ObjectType::PRIVATE_KEY),
    (Tag::SPLIT_KEY, ObjectType::SPLIT_KEY),
    (Tag::TEMPLATE, ObjectType::TEMPLATE),
    (Tag::SECRET_DATA, ObjectType::SECRET_DATA),
    (Tag::OPAQUE_OBJECT, ObjectType::OPAQUE_OBJECT),
    (Tag::PGP_KEY, ObjectType::PGP_KEY),
    (Tag::CERTIFICATE_REQUEST, ObjectType::CERTIFICATE_REQUEST),
];

impl Object {
    /// What kind of object this is.
    #[must_use]
    pub fn object_type(&self) -> ObjectType {
        match self {
            Object::SymmetricKey(_) => ObjectType::SYMMETRIC_KEY,
            Object::SecretData { .. } => ObjectType::SECRET_DATA,
            Object::OpaqueObject { .. } => ObjectType::OPAQUE_OBJECT,
            Object::Certificate { .. } => ObjectType::CERTIFICATE,
            Object::Other { object_type, .. } => *object_type,
        }
    }

    /// The type of object that travels under this tag.
    pub(crate) fn type_of(tag: Tag) -> Option<ObjectType> {
        OBJECT_TAGS.iter().find(|row| row.0 == tag).map(|row| row.1)
    }

    /// The tag under which this type of object travels; for types of no version, the tag of the
    /// field that every object of the standard but three has.
    pub(crate) fn tag_of(object_type: ObjectType) -> Tag {
        let row = OBJECT_TAGS.iter().find(|row| row.1 == object_type);
        row.map_or(Tag::KEY_BLOCK, |row| row.0)
    }

    /// Reads the field under the tag of a type of object.
    pub(crate) fn read(
        field: &Field<'_>,
        object_type: ObjectType,
        with: &Context<'_>,
    ) -> Result<Object, Failure> {
        match object_type {
            ObjectType::SYMMETRIC_KEY => read_symmetric_key(field, with),
            ObjectType::SECRET_DATA => read_secret_data(field, with),
            ObjectType::OPAQUE_OBJECT => read_opaque_object(field),
            ObjectType::CERTIFICATE => read_certificate(field),
            _ => Ok(Object::Other {
                object_type,
                fields: SecretItems::read(field)?,
            }),
        }
    }

    pub(crate) fn write(&self, w: &mut Writer<'_>, version: ProtocolVersion) {
        match self {
            Object::SymmetricKey(block) => {
                w.structure(Tag::SYMMETRIC_KEY, |w| block.write(w, version));
            }
            Object::SecretData {
                data_type,
                key_block,
            } => w.structure(Tag::SECRET_DATA, |w| {
                w.enumeration(Tag::SECRET_DATA_TYPE, data_type.0);
                key_block.write(w, version);
            }),
            Object::OpaqueObject { data_type, value } => w.structure(Tag::OPAQUE_OBJECT, |w| {
                w.enumeration(Tag::OPAQUE_DATA_TYPE, data_type.0);
                w.bytes(Tag::OPAQUE_DATA_VALUE, value.expose());
            }),
            Object::Certificate {
                certificate_type,
                value,
            } => {
                w.structure(Tag::CERTIFICATE, |w| {
                    w.enumeration(Tag::CERTIFICATE_TYPE, certificate_type.0);
                    w.bytes(Tag::CERTIFICATE_VALUE, value);
                });
            }
            Object::Other {
                object_type,
                fields,
            } => fields.write(Self::tag_of(*object_type), w),
        }
    }
}

fn read_symmetric_key(field: &Field<'_>, with: &Context<'_>) -> Result<Object, Failure> {
    let mut block = None;
    for inner in field.items()? {
        let inner = inner?;
        match inner.tag {
            Tag::KEY_BLOCK => once(&mut block, &inner, KeyBlock::read(&inner, with)?)?,
            _ => return Err(unexpected(&inner, field.tag).into()),
        }
    }
    Ok(Object::SymmetricKey(required(
        block,
        Tag::KEY_BLOCK,
        (field.tag, field.offset),
    )?))
}

fn read_secret_data(field: &Field<'_>, with: &Context<'_>) -> Result<Object, Failure> {
    let (mut data_type, mut block) = (None, None);
    for inner in field.items()? {
        let inner = inner?;
        match inner.tag {
            Tag::SECRET_DATA_TYPE => {
                once(&mut data_type, &inner, SecretDataType(inner.enumeration()?))?;
            }
            Tag::KEY_BLOCK => once(&mut block, &inner, KeyBlock::read(&inner, with)?)?,
            _ => return Err(unexpected(&inner, field.tag).into()),
        }
    }
    let place = (field.tag, field.offset);
    Ok(Object::SecretData {
        data_type: required(data_type, Tag::SECRET_DATA_TYPE, place)?,
        key_block: required(block, Tag::KEY_BLOCK, place)?,
    })
}

fn read_opaque_object(field: &Field<'_>) -> Result<Object, Failure> {
    let (mut data_type, mut value) = (None, None);
    for inner in field.items()? {
        let inner = inner?;
        match inner.tag {
            Tag::OPAQUE_DATA_TYPE => {
                once(&mut data_type, &inner, OpaqueDataType(inner.enumeration()?))?;
            }
            Tag::OPAQUE_DATA_VALUE => {
                once(&mut value, &inner, SecretBytes::copy_of(inner.bytes()?))?;
            }
            _ => return Err(unexpected(&inner, field.tag).into()),
        }
    }
    let place = (field.tag, field.offset);
    Ok(Object::OpaqueObject {
        data_type: required(data_type, Tag::OPAQUE_DATA_TYPE, place)?,
        value: required(value, Tag::OPAQUE_DATA_VALUE, place)?,
    })
}

fn read_certificate(field: &Field<'_>) -> Result<Object, Failure> {
    let (mut certificate_type, mut value) = (None, None);
    for inner in field.items()? {
        let inner = inner?;
        match inner.tag {
            Tag::CERTIFICATE_TYPE => {
                once(
                    &mut certificate_type,
                    &inner,
                    CertificateType(inner.enumeration()?),
                )?;
            }
            Tag::CERTIFICATE_VALUE => once(&mut value, &inner, inner.bytes()?.to_vec())?,
            _ => return Err(unexpected(&inner, field.tag).into()),
        }
    }
    let place = (field.tag, field.offset);
    Ok(Object::Certificate {
        certificate_type: required(certificate_type, Tag::CERTIFICATE_TYPE, place)?,
        value: required(value, Tag::CERTIFICATE_VALUE, place)?,
    })
}
