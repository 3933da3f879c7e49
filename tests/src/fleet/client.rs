//! A client that knows all nodes: when one does not answer it goes to the next, as storage arrays
//! do with their list of key servers. It notes what it asked, when, and how that ended.
//!
//! A request ends in one of four ways, and judging a cluster hangs on keeping them apart: answered;
//! refused by a rule; *certainly not carried out* (never sent, or the node says so), which leaves
//! no trace in the history; and *unknown*.

use crate::client::{Client, Identity, Trouble, create_request, destroy_request, get_request};
use crate::client::{TlsStream, key_of};
use crate::linear::key::{Answer, Ask, Refusal};
use crate::linear::{Operation, Outcome};
use crate::netns::Door;
use anyhow::{Context, Result, anyhow, bail};
use kmip::attributes::{Attribute, AttributeName};
use kmip::enumerations::RevocationReasonCode;
use kmip::operations::{
    ActivateRequest, AddAttributeRequest, GetAttributesRequest, LocateRequest,
    ModifyAttributeRequest, RequestPayload, ResponsePayload, RevokeRequest,
};
use kmip::{Failure, ProtocolVersion, ResultReason, Tag, Value};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};
use sha2::{Digest, Sha256};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// No connection within this long: the next node. Loopback answers in microseconds; a node that
/// is cut off never does.
const CONNECT_WITHIN: Duration = Duration::from_millis(500);
/// No answer within this long: unknown. A node without a quorum refuses within two seconds
/// (FAILURES.md), and gets twice that.
const ANSWER_WITHIN: Duration = Duration::from_secs(4);
/// The attribute that serves as a register: one value, any text, the client's own.
const REGISTER: Tag = Tag::DESCRIPTION;
/// What a node says when a change was certainly not carried out; matched without case.
pub const NOT_CARRIED_OUT: &str = "not ready";

/// One node as a client sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Number of the machine.
    pub node: u8,
    /// Where it serves KMIP.
    pub address: SocketAddr,
}

/// How a request ended, if it left a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// A node said this.
    Said(Answer),
    /// Certainly not carried out.
    NotCarriedOut,
    /// Nobody knows.
    Unknown,
}

/// What a client remembers of one request.
#[derive(Clone, Debug)]
pub struct Note {
    /// The name of the object.
    pub object: String,
    /// Its identifier, where that was asked by.
    pub uid: Option<String>,
    /// Which node was asked.
    pub node: u8,
    /// The operation, for the checker.
    pub operation: Operation<Ask, Answer>,
}

/// A client with several addresses.
#[derive(Debug)]
pub struct FailOver {
    number: u32,
    endpoints: Vec<Endpoint>,
    at: usize,
    config: Arc<ClientConfig>,
    began: Instant,
    connection: Option<Client>,
    /// What it remembers.
    pub notes: Vec<Note>,
    /// Answers that no model of a key has a place for; there should be none.
    pub surprises: Vec<String>,
    /// Why there was no answer, the last time that there was none.
    pub last_trouble: String,
}

impl FailOver {
    /// A client that begins at a node of its own, so that several spread out. `began` is when the
    /// history began.
    ///
    /// # Errors
    /// The identity's files cannot be read, or there are no endpoints.
    pub fn new(
        number: u32,
        endpoints: Vec<Endpoint>,
        identity: &Identity,
        began: Instant,
    ) -> Result<Self> {
        if endpoints.is_empty() {
            bail!("a client needs a node to talk to");
        }
        Ok(Self {
            number,
            at: number as usize % endpoints.len(),
            endpoints,
            config: Arc::new(identity.config(&[])?),
            began,
            connection: None,
            notes: Vec::new(),
            surprises: Vec::new(),
            last_trouble: String::new(),
        })
    }

    /// Goes to where clients are; for the thread that will use this client.
    ///
    /// # Errors
    /// The namespace is gone.
    pub fn enter(door: Option<&Door>) -> Result<()> {
        door.map_or(Ok(()), Door::enter)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).expect("a test takes less than 500 years")
    }

    /// Asks one node once and notes it. `uid` is the identifier, for everything but Create and
    /// Locate, which go by the name `object`.
    pub fn ask(&mut self, object: &str, uid: Option<&str>, ask: Ask) -> Ended {
        let node = self.endpoints[self.at].node;
        let call = self.now();
        let ended = match self.attempt(object, uid, &ask) {
            Ok(answer) => Ended::Said(answer),
            Err(Failed::NotSent(why)) => {
                self.last_trouble = why;
                Ended::NotCarriedOut
            }
            Err(Failed::Trouble(trouble)) => self.judge(&ask, trouble),
        };
        let at = self.now();
        if !matches!(ended, Ended::Said(_)) {
            self.connection = None;
            self.at = (self.at + 1) % self.endpoints.len();
        }
        let outcome = match &ended {
            Ended::Said(answer) => Outcome::Returned {
                at,
                answer: answer.clone(),
            },
            Ended::Unknown => Outcome::Unknown,
            Ended::NotCarriedOut => return ended,
        };
        self.notes.push(Note {
            object: object.to_owned(),
            uid: uid.map(str::to_owned),
            node,
            operation: Operation {
                client: self.number,
                place: format!("node {node}"),
                call,
                ask,
                outcome,
            },
        });
        ended
    }

    fn attempt(&mut self, object: &str, uid: Option<&str>, ask: &Ask) -> Result<Answer, Failed> {
        if self.connection.is_none() {
            let connected = connect(self.endpoints[self.at].address, &self.config);
            self.connection = Some(connected.map_err(Failed::not_sent)?);
        }
        let none = || Failed::NotSent("no connection".to_owned());
        let client = self.connection.as_mut().ok_or_else(none)?;
        let uid = uid.unwrap_or_default();
        let mut answers = client
            .batch(vec![payload(object, uid, ask)])
            .map_err(|error| Failed::Trouble(Trouble::Unknown(error)))?;
        let empty = || Trouble::Unknown(anyhow!("the answer has no item"));
        let answer = answers.pop().ok_or_else(|| Failed::Trouble(empty()))?;
        let answer = answer.map_err(|failure| Failed::Trouble(Trouble::Denied(failure)))?;
        said(ask, answer).map_err(|error| Failed::Trouble(Trouble::Unknown(error)))
    }

    fn judge(&mut self, ask: &Ask, trouble: Trouble) -> Ended {
        self.last_trouble = trouble.to_string();
        let Trouble::Denied(failure) = trouble else {
            return Ended::Unknown;
        };
        if let Some(refusal) = refusal(ask, &failure) {
            return Ended::Said(Answer::Refused(refusal));
        }
        if failure.message.to_lowercase().contains(NOT_CARRIED_OUT) {
            return Ended::NotCarriedOut;
        }
        if failure.reason != ResultReason::GENERAL_FAILURE {
            self.surprises.push(format!("{ask:?}: {failure}"));
        }
        Ended::Unknown
    }
}

/// Why there is no answer.
enum Failed {
    /// Nothing left this client, and why.
    NotSent(String),
    /// A refusal or an unknown outcome.
    Trouble(Trouble),
}

impl Failed {
    fn not_sent(error: anyhow::Error) -> Self {
        Self::NotSent(format!("no connection: {error:#}"))
    }
}

fn connect(to: SocketAddr, config: &Arc<ClientConfig>) -> Result<Client> {
    let mut socket = TcpStream::connect_timeout(&to, CONNECT_WITHIN)?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(ANSWER_WITHIN))?;
    socket.set_write_timeout(Some(ANSWER_WITHIN))?;
    let name = ServerName::try_from("localhost")?;
    let mut connection = ClientConnection::new(config.clone(), name)?;
    while connection.is_handshaking() {
        connection
            .complete_io(&mut socket)
            .context("TLS handshake")?;
    }
    let mut client = Client::over(TlsStream::new(connection, socket));
    // The first version that tells apart what the checker wants told apart.
    client.speak(ProtocolVersion::V2_1);
    Ok(client)
}

fn payload(object: &str, uid: &str, ask: &Ask) -> RequestPayload {
    let unique_identifier = Some(uid.to_owned());
    let register = |text: &str| Attribute::standard(REGISTER, Value::Text(text.to_owned()));
    match ask {
        Ask::Create => create_request(Some(object), 256),
        Ask::Activate => RequestPayload::Activate(ActivateRequest { unique_identifier }),
        Ask::Revoke => RequestPayload::Revoke(RevokeRequest {
            unique_identifier,
            reason: RevocationReasonCode::CESSATION_OF_OPERATION,
            message: None,
            compromise_occurrence_date: None,
        }),
        Ask::Destroy => destroy_request(uid),
        Ask::Get | Ask::StaleGet => get_request(uid),
        Ask::Locate | Ask::StaleLocate => RequestPayload::Locate(LocateRequest {
            maximum_items: None,
            offset_items: None,
            storage_status_mask: None,
            object_group_member: None,
            attributes: vec![Attribute::name(object)],
        }),
        Ask::AddAttribute(text) => RequestPayload::AddAttribute(AddAttributeRequest {
            unique_identifier,
            attribute: register(text),
        }),
        Ask::ModifyAttribute(text) => RequestPayload::ModifyAttribute(ModifyAttributeRequest {
            unique_identifier,
            current: None,
            new: register(text),
        }),
        Ask::ReadAttribute | Ask::StaleReadAttribute => {
            RequestPayload::GetAttributes(GetAttributesRequest {
                unique_identifier,
                names: vec![AttributeName::Standard(REGISTER)],
            })
        }
    }
}

fn said(ask: &Ask, answer: ResponsePayload) -> Result<Answer> {
    Ok(match (ask, answer) {
        (Ask::Create, ResponsePayload::Create(answer)) => Answer::Created(answer.unique_identifier),
        (Ask::Locate, ResponsePayload::Locate(answer)) => {
            Answer::Located(answer.unique_identifiers)
        }
        (Ask::Get | Ask::StaleGet, answer) => Answer::Key(digest(&key_of(answer)?)),
        (Ask::ReadAttribute, ResponsePayload::GetAttributes(answer)) => {
            let mut values = answer
                .attributes
                .into_iter()
                .map(|attribute| attribute.value);
            match (values.next(), values.next()) {
                (None, _) => Answer::Attribute(None),
                (Some(Value::Text(text)), None) => Answer::Attribute(Some(text)),
                (first, second) => bail!("the register has values {first:?} and {second:?}"),
            }
        }
        (Ask::Create | Ask::Locate | Ask::ReadAttribute, answer) => {
            bail!("the answer to {ask:?} is one to {}", answer.operation())
        }
        _ => Answer::Done,
    })
}

/// The first eight bytes of SHA-256: enough to tell keys apart, nothing to leak.
fn digest(key: &[u8]) -> u64 {
    let hash: [u8; 32] = Sha256::digest(key).into();
    u64::from_be_bytes(*hash.first_chunk().expect("32 bytes begin with 8"))
}

fn refusal(ask: &Ask, failure: &Failure) -> Option<Refusal> {
    Some(match failure.reason {
        ResultReason::ITEM_NOT_FOUND | ResultReason::OBJECT_NOT_FOUND => Refusal::NotFound,
        ResultReason::OBJECT_DESTROYED => Refusal::Destroyed,
        ResultReason::WRONG_KEY_LIFECYCLE_STATE => Refusal::WrongState,
        ResultReason::NON_UNIQUE_NAME_ATTRIBUTE if *ask == Ask::Create => Refusal::NameTaken,
        ResultReason::ATTRIBUTE_SINGLE_VALUED => Refusal::AttributeExists,
        ResultReason::ATTRIBUTE_NOT_FOUND => Refusal::NoAttribute,
        _ => return None,
    })
}
