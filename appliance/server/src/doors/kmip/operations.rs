//! One batch item: from what the wire asks to what the engine does, and back.

use super::present::{self, Form};
use super::translate::{attribute_in, attribute_out, failure, identify, name_in, name_out};
use crate::engine::{Engine, Pending, Refusal};
use crate::locate::Query;
use domain::attribute::tag;
use domain::{Access, Actor, Ask, AttributeInstance, Denial, Hash, Instance, Read, Time, Uid};
use kmip::attributes::storage_status;
use kmip::enumerations::{KeyWrapType, ObjectGroupMember};
use kmip::operations::{
    AddAttributeRequest, AddAttributeResponse, AttributeToDelete, CreateRequest, CreateResponse,
    DeleteAttributeRequest, DeleteAttributeResponse, GetAttributeListResponse,
    GetAttributesResponse, GetRequest, GetResponse, IdentifierResponse, LocateRequest,
    LocateResponse, ModifyAttributeRequest, ModifyAttributeResponse, RegisterRequest,
    RegisterResponse, RevokeRequest, SetAttributeRequest,
};
use kmip::{
    Attribute, AttributeName, Failure, Operation, ProtocolVersion, RequestPayload, ResponsePayload,
    ResultReason,
};

/// Protection Storage Mask bit for keys kept by software (KMIP 2.1 §12.6).
const PROTECTION_SOFTWARE: i32 = 1;

/// What one item of a batch came to. Nothing of it may leave before its record is on the disk.
pub(super) type Answer = Result<Pending<ResponsePayload>, Refused>;

/// Why an item was refused, and the record that must be durable before the client hears of it.
pub(super) struct Refused {
    pub(super) failure: Failure,
    pub(super) receipt: Option<crate::access_log::Receipt>,
}

/// A request being answered.
pub(super) struct Call<'a> {
    pub(super) engine: &'a Engine,
    pub(super) actor: &'a Actor,
    pub(super) version: ProtocolVersion,
    /// The object that the batch made or located last.
    pub(super) placeholder: Option<Uid>,
    /// Client Correlation Value of the message.
    pub(super) correlation: Option<&'a str>,
    /// Number of the item in the batch.
    pub(super) item: usize,
}

/// A Client Correlation Value (KMIP 1.4 §3.56) that begins so asks that the message be carried out
/// once, however often it is sent: a client whose connection broke sends it again, to any node, and
/// gets the outcome of the first. Other values are only for finding messages in logs, where one
/// value may stand for many.
const ONCE_PREFIX: &str = "once:";

impl Call<'_> {
    /// Carries out one item.
    pub(super) async fn answer(&mut self, payload: RequestPayload) -> Answer {
        match payload {
            RequestPayload::Create(request) => self.create(request).await,
            RequestPayload::Register(request) => self.register(request).await,
            RequestPayload::Get(request) => self.get(request).await,
            RequestPayload::GetAttributes(request) => {
                let id = request.unique_identifier;
                self.get_attributes(id.as_deref(), &request.names).await
            }
            RequestPayload::GetAttributeList(request) => {
                self.get_attribute_list(request.unique_identifier.as_deref())
                    .await
            }
            RequestPayload::AddAttribute(request) => self.add_attribute(request).await,
            RequestPayload::ModifyAttribute(request) => self.modify_attribute(request).await,
            RequestPayload::DeleteAttribute(request) => self.delete_attribute(request).await,
            RequestPayload::SetAttribute(request) => self.set_attribute(request).await,
            RequestPayload::Locate(request) => self.locate(request).await,
            RequestPayload::Activate(request) => {
                let id = request.unique_identifier;
                let activate = |uid| Ask::Activate { uid };
                self.lifecycle(Operation::ACTIVATE, id.as_deref(), activate)
                    .await
            }
            RequestPayload::Destroy(request) => {
                let id = request.unique_identifier;
                let destroy = |uid| Ask::Destroy { uid };
                self.lifecycle(Operation::DESTROY, id.as_deref(), destroy)
                    .await
            }
            RequestPayload::Revoke(request) => self.revoke(request).await,
            RequestPayload::Query(request) => {
                let answer = super::abilities::query(&request, self.version);
                self.about_us("Query", ResponsePayload::Query(answer)).await
            }
            RequestPayload::DiscoverVersions(request) => {
                let answer = super::abilities::versions(&request);
                self.about_us(
                    "Discover Versions",
                    ResponsePayload::DiscoverVersions(answer),
                )
                .await
            }
            RequestPayload::Unsupported { operation } => self.unsupported(operation).await,
        }
    }

    async fn create(&mut self, request: CreateRequest) -> Answer {
        if request.object_type != kmip::ObjectType::SYMMETRIC_KEY {
            let message = format!(
                "Create makes symmetric keys only, and {} was asked for; use Register to bring an \
                 object of another type.",
                request.object_type
            );
            return self
                .refuse(Failure::new(ResultReason::INVALID_FIELD, message))
                .await;
        }
        let unsuitable = check_template(&request.template)
            .and_then(|()| check_protection(&request.protection_storage_masks));
        if let Err(failure) = unsuitable {
            return self.refuse(failure).await;
        }
        let attributes = request
            .template
            .attributes
            .into_iter()
            .map(attribute_in)
            .collect();
        let uid = self
            .change_creating(Ask::Create { attributes }, None)
            .await?;
        Ok(Pending::committed(ResponsePayload::Create(
            CreateResponse {
                object_type: request.object_type,
                unique_identifier: uid.to_string(),
                attributes: Vec::new(),
            },
        )))
    }

    async fn register(&mut self, request: RegisterRequest) -> Answer {
        let taken = check_template(&request.template)
            .and_then(|()| check_protection(&request.protection_storage_masks))
            .and_then(|()| present::take_in(request.object, request.template.attributes));
        let object = match taken {
            Ok(object) => object,
            Err(failure) => return self.refuse(failure).await,
        };
        let attributes = object.attributes.into_iter().map(attribute_in).collect();
        let ask = Ask::Register {
            object_type: object.object_type,
            attributes,
        };
        let uid = self.change_creating(ask, Some(&object.material)).await?;
        Ok(Pending::committed(ResponsePayload::Register(
            RegisterResponse {
                unique_identifier: uid.to_string(),
                attributes: Vec::new(),
            },
        )))
    }

    async fn get(&mut self, request: GetRequest) -> Answer {
        let uid = self
            .identify(Operation::GET, request.unique_identifier.as_deref())
            .await?;
        if let Err(failure) = check_wrapping(&request) {
            return self.refuse(failure).await;
        }
        // The form is settled before the material is released, so the log never says that
        // something was released which was not.
        let mut no_form = None;
        let released = self
            .engine
            .get(self.actor, &uid, |object_type, attributes| {
                Form::choose(object_type, attributes, request.key_format_type).map_err(|failure| {
                    let denial = Denial::InvalidField {
                        reason: failure.message.clone(),
                    };
                    no_form = Some(failure);
                    denial
                })
            });
        match (released.await, no_form) {
            (Ok(released), _) => Ok(released.map(|(released, form)| {
                ResponsePayload::Get(GetResponse {
                    unique_identifier: released.uid.to_string(),
                    object: form.object(&released),
                })
            })),
            (Err(Refusal::Denied { receipt, .. }), Some(failure)) => {
                Err(Refused { failure, receipt })
            }
            (Err(refusal), _) => Err(self.refused(refusal)),
        }
    }

    async fn get_attributes(&mut self, id: Option<&str>, names: &[AttributeName]) -> Answer {
        let uid = self.identify(Operation::GET_ATTRIBUTES, id).await?;
        let wanted: Vec<_> = names.iter().cloned().map(name_in).collect();
        let read = self
            .engine
            .attributes(self.actor, Read::Attributes, &uid)
            .await;
        let held = read.map_err(|refusal| self.refused(refusal))?;
        Ok(held.map(|held| {
            let attributes = held
                .into_iter()
                .filter(|h| wanted.is_empty() || wanted.contains(&h.attribute.name))
                .map(attribute_out)
                .collect();
            let unique_identifier = uid.to_string();
            ResponsePayload::GetAttributes(GetAttributesResponse {
                unique_identifier,
                attributes,
            })
        }))
    }

    async fn get_attribute_list(&mut self, id: Option<&str>) -> Answer {
        let uid = self.identify(Operation::GET_ATTRIBUTE_LIST, id).await?;
        let read = self
            .engine
            .attributes(self.actor, Read::AttributeList, &uid)
            .await;
        let held = read.map_err(|refusal| self.refused(refusal))?;
        Ok(held.map(|held| {
            let mut names: Vec<_> = held
                .into_iter()
                .map(|h| name_out(h.attribute.name))
                .collect();
            names.dedup();
            let unique_identifier = uid.to_string();
            ResponsePayload::GetAttributeList(GetAttributeListResponse {
                unique_identifier,
                names,
            })
        }))
    }

    async fn add_attribute(&mut self, request: AddAttributeRequest) -> Answer {
        let id = request.unique_identifier.as_deref();
        let uid = self.identify(Operation::ADD_ATTRIBUTE, id).await?;
        let attribute = attribute_in(request.attribute);
        self.change(Ask::AddAttribute {
            uid,
            attribute: attribute.clone(),
        })
        .await?;
        let added = self.last_instance(&uid, |held| held.attribute == attribute);
        Ok(Pending::committed(ResponsePayload::AddAttribute(
            AddAttributeResponse {
                unique_identifier: uid.to_string(),
                attribute: added,
            },
        )))
    }

    async fn modify_attribute(&mut self, request: ModifyAttributeRequest) -> Answer {
        let id = request.unique_identifier.as_deref();
        let uid = self.identify(Operation::MODIFY_ATTRIBUTE, id).await?;
        let index = request.new.index;
        let attribute = attribute_in(request.new);
        let current = request.current.map(attribute_in);
        let ask = Ask::ModifyAttribute {
            uid,
            index,
            current,
            attribute: attribute.clone(),
        };
        self.change(ask).await?;
        let modified = self.last_instance(&uid, |held| held.attribute == attribute);
        Ok(Pending::committed(ResponsePayload::ModifyAttribute(
            ModifyAttributeResponse {
                unique_identifier: uid.to_string(),
                attribute: modified,
            },
        )))
    }

    async fn delete_attribute(&mut self, request: DeleteAttributeRequest) -> Answer {
        let id = request.unique_identifier.as_deref();
        let uid = self.identify(Operation::DELETE_ATTRIBUTE, id).await?;
        let all_without_index = !self.version.names_attributes();
        let (name, which) = match request.attribute {
            AttributeToDelete::Named {
                name,
                index: Some(index),
            } => (name_in(name), Instance::Index(index)),
            AttributeToDelete::Named { name, index: None } if all_without_index => {
                (name_in(name), Instance::All)
            }
            AttributeToDelete::Named { name, index: None } => (name_in(name), Instance::Index(0)),
            AttributeToDelete::Current(attribute) => {
                let attribute = attribute_in(attribute);
                (attribute.name, Instance::Equal(attribute.value))
            }
        };
        let doomed = self.last_instance(&uid, |held| {
            held.attribute.name == name
                && match &which {
                    Instance::Index(index) => held.index == *index,
                    Instance::Equal(value) => held.attribute.value == *value,
                    Instance::All => true,
                }
        });
        self.change(Ask::DeleteAttribute { uid, name, which })
            .await?;
        Ok(Pending::committed(ResponsePayload::DeleteAttribute(
            DeleteAttributeResponse {
                unique_identifier: uid.to_string(),
                attribute: doomed,
            },
        )))
    }

    async fn set_attribute(&mut self, request: SetAttributeRequest) -> Answer {
        let id = request.unique_identifier.as_deref();
        let uid = self.identify(Operation::SET_ATTRIBUTE, id).await?;
        let attribute = attribute_in(request.attribute);
        self.change(Ask::SetAttribute { uid, attribute }).await?;
        let unique_identifier = uid.to_string();
        let answer = ResponsePayload::SetAttribute(IdentifierResponse { unique_identifier });
        Ok(Pending::committed(answer))
    }

    async fn locate(&mut self, request: LocateRequest) -> Answer {
        let query = match query_of(request) {
            Ok(query) => query,
            Err(failure) => return self.refuse(failure).await,
        };
        let found = self.engine.locate(self.actor, &query).await;
        let found = found.map_err(|refusal| self.refused(refusal))?;
        // The placeholder is set by a search that finds one object, and emptied by any other.
        self.placeholder = match found.peek().uids.as_slice() {
            [uid] => Some(*uid),
            _ => None,
        };
        Ok(found.map(|found| {
            ResponsePayload::Locate(LocateResponse {
                located_items: found.total.and_then(|t| i32::try_from(t).ok()),
                unique_identifiers: found.uids.iter().map(ToString::to_string).collect(),
            })
        }))
    }

    async fn revoke(&mut self, request: RevokeRequest) -> Answer {
        let RevokeRequest {
            unique_identifier,
            reason,
            message,
            compromise_occurrence_date,
        } = request;
        let revoke = |uid| Ask::Revoke {
            uid,
            reason: reason.0,
            message,
            compromise_occurred: compromise_occurrence_date.map(Time::from_seconds),
        };
        self.lifecycle(Operation::REVOKE, unique_identifier.as_deref(), revoke)
            .await
    }

    /// Operations that name an object and answer with its name.
    async fn lifecycle(
        &mut self,
        operation: Operation,
        id: Option<&str>,
        ask: impl FnOnce(Uid) -> Ask,
    ) -> Answer {
        let uid = self.identify(operation, id).await?;
        self.change(ask(uid)).await?;
        let answer = IdentifierResponse {
            unique_identifier: uid.to_string(),
        };
        Ok(Pending::committed(match operation {
            Operation::ACTIVATE => ResponsePayload::Activate(answer),
            Operation::REVOKE => ResponsePayload::Revoke(answer),
            _ => ResponsePayload::Destroy(answer),
        }))
    }

    async fn about_us(&mut self, operation: &str, answer: ResponsePayload) -> Answer {
        let asked = self.engine.asked(self.actor, operation);
        Ok(asked
            .map_err(|refusal| self.refused(refusal))?
            .map(|()| answer))
    }

    async fn unsupported(&mut self, operation: Operation) -> Answer {
        let message = format!(
            "This server does not offer {operation}; Query (Query Operations) lists what it offers."
        );
        self.refuse(Failure::new(ResultReason::OPERATION_NOT_SUPPORTED, message))
            .await
    }

    /// What tells a repetition of this item, if the client asked for that. Another request under
    /// the same value is no repetition.
    fn once(&self, ask: &Ask) -> Option<Hash> {
        let value = self.correlation.filter(|c| c.starts_with(ONCE_PREFIX))?;
        let (item, ask) = (self.item.to_be_bytes(), domain::codec::to_vec(ask));
        let length = value.len().to_be_bytes();
        let parts: [&[u8]; 4] = [&length, value.as_bytes(), &item, &ask];
        Some(Hash::from_bytes(vault::provider::sha256(&parts)))
    }

    async fn change(&mut self, ask: Ask) -> Result<(), Refused> {
        let once = self.once(&ask);
        let changed = self.engine.change_once(self.actor, ask, None, once).await;
        changed.map(drop).map_err(|refusal| self.refused(refusal))
    }

    async fn change_creating(
        &mut self,
        ask: Ask,
        material: Option<&vault::Secret>,
    ) -> Result<Uid, Refused> {
        let once = self.once(&ask);
        let outcome = self
            .engine
            .change_once(self.actor, ask, material, once)
            .await;
        let outcome = outcome.map_err(|refusal| self.refused(refusal))?;
        self.placeholder = outcome.created;
        outcome.created.ok_or_else(|| Refused {
            failure: Failure::new(
                ResultReason::GENERAL_FAILURE,
                "The object was not created, and no rule says why; report this.",
            ),
            receipt: None,
        })
    }

    /// The object an item is about. A text that is no identifier of ours is answered, and
    /// recorded, like the identifier of an object that does not exist.
    async fn identify(&mut self, operation: Operation, id: Option<&str>) -> Result<Uid, Refused> {
        match identify(id, self.placeholder) {
            Ok(uid) => Ok(uid),
            Err(Some(failure)) => Err(self.refuse(failure).await.err().unwrap_or_else(unanswered)),
            Err(None) => {
                let denial = Denial::NotFound { forbidden: false };
                let name = operation.to_string();
                let denied = self.engine.deny_named(self.actor, &name, id, denial);
                Err(self.refused(denied.unwrap_or_else(Refusal::Fault)))
            }
        }
    }

    /// Refuses what the door itself cannot take, and records it.
    pub(super) async fn refuse(&self, failure: Failure) -> Answer {
        let access = Access::Malformed {
            reason: failure.message.clone(),
            count: 1,
        };
        let (seen, now) = (self.engine.seen(), self.engine.now());
        match self.engine.record(self.actor, seen, now, access) {
            Ok(receipt) => Err(Refused {
                failure,
                receipt: Some(receipt),
            }),
            Err(e) => Err(self.refused(e.into())),
        }
    }

    fn refused(&self, refusal: Refusal) -> Refused {
        let failure = failure(&refusal, self.version);
        let receipt = match refusal {
            Refusal::Denied { receipt, .. } => receipt,
            Refusal::Fault(_) => None,
        };
        Refused { failure, receipt }
    }

    /// The instance with the highest number among those that fit, as the object has it now.
    fn last_instance(
        &self,
        uid: &Uid,
        fits: impl Fn(&AttributeInstance) -> bool,
    ) -> Option<Attribute> {
        let state = self.engine.machine().state();
        let instances = state.object(uid)?.instances(self.engine.now());
        instances
            .into_iter()
            .filter(fits)
            .max_by_key(|held| held.index)
            .map(attribute_out)
    }
}

fn unanswered() -> Refused {
    let failure = Failure::new(ResultReason::GENERAL_FAILURE, "The request was refused.");
    Refused {
        failure,
        receipt: None,
    }
}

fn check_template(template: &kmip::attributes::Template) -> Result<(), Failure> {
    if template.names.is_empty() {
        return Ok(());
    }
    let message = "Templates are not kept here (KMIP deprecated them in 1.3); send the attributes \
                   themselves.";
    Err(Failure::new(ResultReason::ITEM_NOT_FOUND, message))
}

fn check_protection(masks: &[i32]) -> Result<(), Failure> {
    if masks.is_empty() || masks.iter().any(|mask| mask & PROTECTION_SOFTWARE != 0) {
        return Ok(());
    }
    let message = "This server keeps keys sealed by software; none of the Protection Storage Masks \
                   allows that.";
    Err(Failure::new(ResultReason::INVALID_FIELD, message))
}

fn check_wrapping(request: &GetRequest) -> Result<(), Failure> {
    if request.key_wrapping_specification.is_some() {
        let message = "Wrapped export is not offered yet; Get the key without a Key Wrapping \
                       Specification.";
        return Err(Failure::new(ResultReason::FEATURE_NOT_SUPPORTED, message));
    }
    if request.key_compression_type.is_some() {
        let message = "Compressed forms are for elliptic curve keys, which are not kept here.";
        return Err(Failure::new(
            ResultReason::KEY_COMPRESSION_TYPE_NOT_SUPPORTED,
            message,
        ));
    }
    match request.key_wrap_type {
        None | Some(KeyWrapType::NOT_WRAPPED | KeyWrapType::AS_REGISTERED) => Ok(()),
        Some(other) => {
            let message = format!("Key Wrap Type {other} is not supported.");
            Err(Failure::new(
                ResultReason::KEY_WRAP_TYPE_NOT_SUPPORTED,
                message,
            ))
        }
    }
}

/// A search as the wire asks for it. What is not understood is refused: to leave a condition out
/// would widen the result.
fn query_of(request: LocateRequest) -> Result<Query, Failure> {
    let count = |number: Option<i32>, what: &str| match number.map(u32::try_from) {
        None => Ok(None),
        Some(Ok(number)) => Ok(Some(number)),
        Some(Err(_)) => {
            let message = format!("{what} must not be negative.");
            Err(Failure::new(ResultReason::INVALID_FIELD, message))
        }
    };
    let mut attributes: Vec<_> = request.attributes.into_iter().map(attribute_in).collect();
    match request.object_group_member {
        None => {}
        Some(ObjectGroupMember::GROUP_MEMBER_FRESH) => attributes.push(
            domain::Attribute::standard(tag::FRESH, domain::Value::Boolean(true)),
        ),
        Some(other) => {
            let message = format!("Object Group Member {other} is not supported; leave it out.");
            return Err(Failure::new(ResultReason::FEATURE_NOT_SUPPORTED, message));
        }
    }
    let mask = request
        .storage_status_mask
        .unwrap_or(storage_status::ON_LINE);
    Ok(Query {
        attributes,
        maximum_items: count(request.maximum_items, "Maximum Items")?,
        offset_items: count(request.offset_items, "Offset Items")?.unwrap_or(0),
        live: mask & storage_status::ON_LINE != 0,
        destroyed: mask & storage_status::DESTROYED != 0,
    })
}
