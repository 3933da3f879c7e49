//! Objects on the wire and objects in the vault: what is taken in at Register, and in which form
//! material leaves at Get.

use crate::engine::Released;
use domain::attribute::{SetBy, tag};
use domain::{ObjectType, Value};
use kmip::enumerations::{CertificateType, KeyFormatType, OpaqueDataType, SecretDataType};
use kmip::{
    Attribute, CryptographicAlgorithm, Failure, KeyBlock, KeyMaterial, KeyValue, Object,
    ResultReason, SecretBytes, Tag,
};
use vault::Secret;

/// An object that a client brings, taken apart.
pub(super) struct TakenIn {
    pub(super) object_type: ObjectType,
    pub(super) material: Secret,
    pub(super) attributes: Vec<Attribute>,
}

/// Takes an object apart into material and attributes. What the object says of itself and what the
/// client says of it must agree.
pub(super) fn take_in(object: Object, mut attributes: Vec<Attribute>) -> Result<TakenIn, Failure> {
    let (object_type, material, said) = match object {
        Object::SymmetricKey(block) => {
            let (material, said) = take_key(block)?;
            (ObjectType::SymmetricKey, material, said)
        }
        Object::SecretData {
            data_type,
            key_block,
        } => {
            let (material, mut said) = take_key(key_block)?;
            said.push((tag::SECRET_DATA_TYPE, kmip::Value::Enumeration(data_type.0)));
            (ObjectType::SecretData, material, said)
        }
        Object::OpaqueObject { data_type, value } => {
            let said = vec![(tag::OPAQUE_DATA_TYPE, kmip::Value::Enumeration(data_type.0))];
            (ObjectType::OpaqueObject, secret(value), said)
        }
        Object::Certificate {
            certificate_type,
            value,
        } => {
            let length = i32::try_from(value.len()).unwrap_or(i32::MAX);
            let said = vec![
                (
                    tag::CERTIFICATE_TYPE,
                    kmip::Value::Enumeration(certificate_type.0),
                ),
                (tag::CERTIFICATE_LENGTH, kmip::Value::Integer(length)),
            ];
            (ObjectType::Certificate, Secret::take(value), said)
        }
        Object::Other { object_type, .. } => {
            let message = format!(
                "Objects of type {object_type} are not kept yet; Symmetric Key, Secret Data, \
                 Opaque Object and Certificate are."
            );
            return Err(Failure::new(ResultReason::FEATURE_NOT_SUPPORTED, message));
        }
    };
    refuse_unproven(&attributes, &said)?;
    for (tag, value) in said {
        add(&mut attributes, Attribute::standard(Tag(tag.0), value))?;
    }
    Ok(TakenIn {
        object_type,
        material,
        attributes,
    })
}

/// Attributes that describe the object itself are taken from the object, not on a client's word.
fn refuse_unproven(attributes: &[Attribute], said: &Said) -> Result<(), Failure> {
    let proven = |tag: domain::Tag| said.iter().any(|(of_object, _)| *of_object == tag);
    let unproven = attributes.iter().find(|attribute| match attribute.name {
        kmip::AttributeName::Standard(tag) => {
            let tag = domain::Tag(tag.0);
            let rule = domain::attribute::rule(tag);
            rule.is_some_and(|rule| rule.set_by == SetBy::Door) && !proven(tag)
        }
        kmip::AttributeName::Vendor { .. } => false,
    });
    match unproven {
        None => Ok(()),
        Some(attribute) => {
            let message = format!(
                "Attribute {} is set by the server; leave it out.",
                attribute.name
            );
            Err(Failure::new(ResultReason::INVALID_FIELD, message))
        }
    }
}

fn secret(bytes: SecretBytes) -> Secret {
    Secret::copy_of(bytes.expose())
}

type Said = Vec<(domain::Tag, kmip::Value)>;

fn take_key(block: KeyBlock) -> Result<(Secret, Said), Failure> {
    let not_taken = |reason, message: &str| Err(Failure::new(reason, message));
    if block.wrapping.is_some() {
        let message = "Wrapped keys cannot be registered yet; send the key unwrapped, the \
                       connection is encrypted.";
        return not_taken(ResultReason::FEATURE_NOT_SUPPORTED, message);
    }
    if block.compression.is_some() {
        let message = "Compressed forms are for elliptic curve keys, which are not kept here.";
        return not_taken(ResultReason::KEY_COMPRESSION_TYPE_NOT_SUPPORTED, message);
    }
    let mut said = Said::new();
    if let Some(CryptographicAlgorithm(algorithm)) = block.algorithm {
        said.push((
            tag::CRYPTOGRAPHIC_ALGORITHM,
            kmip::Value::Enumeration(algorithm),
        ));
    }
    if let Some(length) = block.length {
        said.push((tag::CRYPTOGRAPHIC_LENGTH, kmip::Value::Integer(length)));
    }
    said.push((
        tag::KEY_FORMAT_TYPE,
        kmip::Value::Enumeration(kept_format(block.format).0),
    ));
    match block.value {
        Some(KeyValue::Plain {
            material: KeyMaterial::Bytes(bytes),
            attributes,
        }) => {
            let beside = attributes.into_iter().filter_map(|a| match a.name {
                kmip::AttributeName::Standard(tag) => Some((domain::Tag(tag.0), a.value)),
                kmip::AttributeName::Vendor { .. } => None,
            });
            said.extend(beside);
            Ok((secret(bytes), said))
        }
        Some(KeyValue::Plain { .. }) => {
            let message = "Of the transparent formats only Transparent Symmetric Key is taken.";
            not_taken(ResultReason::KEY_FORMAT_TYPE_NOT_SUPPORTED, message)
        }
        Some(KeyValue::Wrapped(_)) => {
            let message = "The key value is wrapped, and no Key Wrapping Data says how.";
            not_taken(ResultReason::INVALID_FIELD, message)
        }
        None => not_taken(
            ResultReason::INVALID_FIELD,
            "The key block has no key value.",
        ),
    }
}

/// A transparent symmetric key is kept as its bytes.
fn kept_format(format: KeyFormatType) -> KeyFormatType {
    if format == KeyFormatType::TRANSPARENT_SYMMETRIC_KEY {
        KeyFormatType::RAW
    } else {
        format
    }
}

/// Adds what the object says of itself, unless the client said the same.
fn add(attributes: &mut Vec<Attribute>, said: Attribute) -> Result<(), Failure> {
    match attributes.iter().find(|a| a.name == said.name) {
        None => attributes.push(said),
        Some(given) if given.value == said.value => {}
        Some(given) => {
            let message = format!(
                "Attribute {} says {:?}, and the object itself {:?}; make them agree.",
                given.name, given.value, said.value
            );
            return Err(Failure::new(ResultReason::INVALID_FIELD, message));
        }
    }
    Ok(())
}

/// In which form an object leaves.
#[derive(Debug)]
pub(super) enum Form {
    Key {
        format: KeyFormatType,
        algorithm: Option<u32>,
        length: Option<i32>,
    },
    SecretData {
        data_type: u32,
        format: KeyFormatType,
    },
    Opaque {
        data_type: u32,
    },
    Certificate {
        certificate_type: u32,
    },
}

impl Form {
    /// Chooses the form that the client asks for, if the object has it.
    pub(super) fn choose(
        object_type: ObjectType,
        attributes: &[domain::Attribute],
        wanted: Option<KeyFormatType>,
    ) -> Result<Self, Failure> {
        let enumeration = |tag| match value(attributes, tag) {
            Some(Value::Enumeration(v)) => Some(*v),
            _ => None,
        };
        let length = match value(attributes, tag::CRYPTOGRAPHIC_LENGTH) {
            Some(Value::Integer(bits)) => Some(*bits),
            _ => None,
        };
        let kept = enumeration(tag::KEY_FORMAT_TYPE).map_or(KeyFormatType::RAW, KeyFormatType);
        match object_type {
            ObjectType::SymmetricKey => Ok(Self::Key {
                format: symmetric_format(kept, wanted)?,
                algorithm: enumeration(tag::CRYPTOGRAPHIC_ALGORITHM),
                length,
            }),
            ObjectType::SecretData => {
                let format = wanted.unwrap_or(kept);
                if format != kept {
                    return Err(no_such_format(kept, format));
                }
                let data_type = enumeration(tag::SECRET_DATA_TYPE);
                let data_type = data_type.unwrap_or(SecretDataType::PASSWORD.0);
                Ok(Self::SecretData { data_type, format })
            }
            ObjectType::OpaqueObject => {
                let data_type = enumeration(tag::OPAQUE_DATA_TYPE);
                Ok(Self::Opaque {
                    data_type: data_type.unwrap_or(0x8000_0000),
                })
            }
            ObjectType::Certificate => {
                let certificate_type = enumeration(tag::CERTIFICATE_TYPE);
                let certificate_type = certificate_type.unwrap_or(CertificateType::X_509.0);
                Ok(Self::Certificate { certificate_type })
            }
        }
    }

    /// The object with its material.
    pub(super) fn object(&self, released: &Released) -> Object {
        let material = SecretBytes::copy_of(released.material.expose());
        match *self {
            Self::Key {
                format,
                algorithm,
                length,
            } => {
                let algorithm = algorithm.map(CryptographicAlgorithm);
                let mut block = KeyBlock::raw(material, algorithm, length);
                block.format = format;
                Object::SymmetricKey(block)
            }
            Self::SecretData { data_type, format } => {
                let mut key_block = KeyBlock::raw(material, None, None);
                key_block.format = format;
                Object::SecretData {
                    data_type: SecretDataType(data_type),
                    key_block,
                }
            }
            Self::Opaque { data_type } => Object::OpaqueObject {
                data_type: OpaqueDataType(data_type),
                value: material,
            },
            Self::Certificate { certificate_type } => Object::Certificate {
                certificate_type: CertificateType(certificate_type),
                value: released.material.expose().to_vec(),
            },
        }
    }
}

fn value(attributes: &[domain::Attribute], tag: domain::Tag) -> Option<&Value> {
    let name = domain::AttributeName::Standard(tag);
    attributes.iter().find(|a| a.name == name).map(|a| &a.value)
}

fn symmetric_format(
    kept: KeyFormatType,
    wanted: Option<KeyFormatType>,
) -> Result<KeyFormatType, Failure> {
    match wanted {
        None => Ok(kept),
        Some(wanted) if wanted == kept => Ok(kept),
        Some(wanted @ (KeyFormatType::RAW | KeyFormatType::TRANSPARENT_SYMMETRIC_KEY)) => {
            Ok(wanted)
        }
        Some(wanted) => Err(no_such_format(kept, wanted)),
    }
}

fn no_such_format(kept: KeyFormatType, wanted: KeyFormatType) -> Failure {
    let message = format!("The object is kept as {kept} and cannot be given as {wanted}.");
    Failure::new(ResultReason::KEY_FORMAT_TYPE_NOT_SUPPORTED, message)
}
