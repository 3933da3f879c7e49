//! Activate, Revoke and Destroy (KMIP 1.4 §4.19 to §4.21, KMIP 2.1 §6.1).

use super::{Context, Payload, place, read_only_identifier, required_identifier};
use crate::enumerations::RevocationReasonCode;
use crate::failure::Failure;
use crate::tags::Tag;
use crate::ttlv::{Field, Items, Writer, once, required, unexpected};
use crate::version::ProtocolVersion;

/// Makes a Pre-Active object Active.
#[derive(Debug, PartialEq, Eq)]
pub struct ActivateRequest {
    /// `None`: the ID Placeholder.
    pub unique_identifier: Option<String>,
}

/// Erases an object.
#[derive(Debug, PartialEq, Eq)]
pub struct DestroyRequest {
    /// `None`: the ID Placeholder.
    pub unique_identifier: Option<String>,
}

/// Deactivates an object, or declares it compromised.
#[derive(Debug, PartialEq, Eq)]
pub struct RevokeRequest {
    /// `None`: the ID Placeholder.
    pub unique_identifier: Option<String>,
    pub reason: RevocationReasonCode,
    pub message: Option<String>,
    /// Seconds since 1970; only with a reason that says compromised.
    pub compromise_occurrence_date: Option<i64>,
}

/// The answer of operations that have nothing to say but of which object.
#[derive(Debug, PartialEq, Eq)]
pub struct IdentifierResponse {
    pub unique_identifier: String,
}

impl Payload for ActivateRequest {
    fn read(items: Items<'_>, with: &Context<'_>) -> Result<Self, Failure> {
        Ok(ActivateRequest {
            unique_identifier: read_only_identifier(items, with)?,
        })
    }

    fn write(&self, w: &mut Writer<'_>, _: ProtocolVersion) {
        w.optional_text(Tag::UNIQUE_IDENTIFIER, self.unique_identifier.as_deref());
    }
}

impl Payload for DestroyRequest {
    fn read(items: Items<'_>, with: &Context<'_>) -> Result<Self, Failure> {
        Ok(DestroyRequest {
            unique_identifier: read_only_identifier(items, with)?,
        })
    }

    fn write(&self, w: &mut Writer<'_>, _: ProtocolVersion) {
        w.optional_text(Tag::UNIQUE_IDENTIFIER, self.unique_identifier.as_deref());
    }
}

impl Payload for RevokeRequest {
    fn read(items: Items<'_>, with: &Context<'_>) -> Result<Self, Failure> {
        let place = place(&items);
        let (mut identifier, mut reason, mut date) = (None, None, None);
        for field in items {
            let field = field?;
            match field.tag {
                Tag::UNIQUE_IDENTIFIER => {
                    once(&mut identifier, &field, with.identifier(&field)?)?;
                }
                Tag::REVOCATION_REASON => once(&mut reason, &field, read_reason(&field)?)?,
                Tag::COMPROMISE_OCCURRENCE_DATE => once(&mut date, &field, field.date_time()?)?,
                _ => return Err(unexpected(&field, place.0).into()),
            }
        }
        let (reason, message) = required(reason, Tag::REVOCATION_REASON, place)?;
        Ok(RevokeRequest {
            unique_identifier: identifier.flatten(),
            reason,
            message,
            compromise_occurrence_date: date,
        })
    }

    fn write(&self, w: &mut Writer<'_>, _: ProtocolVersion) {
        w.optional_text(Tag::UNIQUE_IDENTIFIER, self.unique_identifier.as_deref());
        w.structure(Tag::REVOCATION_REASON, |w| {
            w.enumeration(Tag::REVOCATION_REASON_CODE, self.reason.0);
            w.optional_text(Tag::REVOCATION_MESSAGE, self.message.as_deref());
        });
        if let Some(date) = self.compromise_occurrence_date {
            w.date_time(Tag::COMPROMISE_OCCURRENCE_DATE, date);
        }
    }
}

fn read_reason(field: &Field<'_>) -> Result<(RevocationReasonCode, Option<String>), Failure> {
    let (mut code, mut message) = (None, None);
    for inner in field.items()? {
        let inner = inner?;
        match inner.tag {
            Tag::REVOCATION_REASON_CODE => {
                once(
                    &mut code,
                    &inner,
                    RevocationReasonCode(inner.enumeration()?),
                )?;
            }
            Tag::REVOCATION_MESSAGE => once(&mut message, &inner, inner.text()?.to_owned())?,
            _ => return Err(unexpected(&inner, field.tag).into()),
        }
    }
    let code = required(code, Tag::REVOCATION_REASON_CODE, (field.tag, field.offset))?;
    Ok((code, message))
}

impl Payload for IdentifierResponse {
    fn read(items: Items<'_>, _: &Context<'_>) -> Result<Self, Failure> {
        let place = place(&items);
        let mut identifier = None;
        for field in items {
            let field = field?;
            match field.tag {
                Tag::UNIQUE_IDENTIFIER => {
                    once(&mut identifier, &field, field.text()?.to_owned())?;
                }
                _ => return Err(unexpected(&field, place.0).into()),
            }
        }
        Ok(IdentifierResponse {
            unique_identifier: required_identifier(identifier, place)?,
        })
    }

    fn write(&self, w: &mut Writer<'_>, _: ProtocolVersion) {
        w.text(Tag::UNIQUE_IDENTIFIER, &self.unique_identifier);
    }
}
