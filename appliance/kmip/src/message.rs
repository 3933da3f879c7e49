//! Whole messages: a header and a batch of items, requests and responses, both directions (KMIP
//! 1.4 §6 and §7, KMIP 2.1 §8 and §9).
//!
//! A fault in the frame or the header makes the whole message an error. A fault in the payload of
//! one item makes that item an error and leaves the others alone, as the standard wants of a
//! batch.

use crate::enumerations::{
    AttestationType, BatchErrorContinuationOption, CredentialType, Operation, ResultReason,
    ResultStatus,
};
use crate::failure::{Failure, ItemError};
use crate::objects::{SecretBytes, SecretItems};
use crate::operations::{
    Context, RequestPayload, ResponsePayload, read_version, sets_placeholder, write_version,
};
use crate::tags::Tag;
use crate::ttlv::{
    self, Fault, Field, Limits, Malformed, Writer, once, push, required, unexpected,
};
use crate::version::ProtocolVersion;

#[cfg(test)]
mod tests;

/// At most this many credentials in one header; the standard foresees a few factors.
const CREDENTIALS_MAX: usize = 8;
/// At most this many Attestation Types in one header; the standard has three.
const ATTESTATION_TYPES_MAX: usize = 16;

/// A request with all items of its batch.
#[derive(Debug, PartialEq, Eq)]
pub struct Request {
    pub header: RequestHeader,
    pub items: Vec<RequestItem>,
}

/// Request Header. Batch Count is the number of items.
#[derive(Debug, PartialEq, Eq)]
pub struct RequestHeader {
    pub version: ProtocolVersion,
    /// Bytes.
    pub maximum_response_size: Option<i32>,
    /// Since 1.4.
    pub client_correlation_value: Option<String>,
    /// Since 1.4; sent by servers that forward.
    pub server_correlation_value: Option<String>,
    /// A Boolean in 1.x; in 2.x an enumeration of which Mandatory and Optional allow it.
    pub asynchronous_indicator: Option<bool>,
    /// Since 1.2.
    pub attestation_capable_indicator: Option<bool>,
    /// Since 1.2.
    pub attestation_types: Vec<AttestationType>,
    pub credentials: Vec<Credential>,
    pub batch_error_option: Option<BatchErrorContinuationOption>,
    pub batch_order: Option<bool>,
    /// Seconds since 1970.
    pub time_stamp: Option<i64>,
}

/// Who asks, besides the certificate of the connection.
#[derive(Debug, PartialEq, Eq)]
pub enum Credential {
    UsernameAndPassword {
        username: String,
        password: Option<SecretBytes>,
    },
    /// Any other, with the fields of its Credential Value.
    Other {
        credential_type: CredentialType,
        fields: SecretItems,
    },
}

/// One operation of a batch.
#[derive(Debug, PartialEq, Eq)]
pub struct RequestItem {
    /// Unique Batch Item ID, which goes back with the response.
    pub id: Option<Vec<u8>>,
    pub operation: Operation,
    /// What is asked for, or why it cannot be made out.
    pub payload: Result<RequestPayload, ItemError>,
}

/// Why a whole request cannot be read. [`RequestError::answer`] makes the response that the
/// standard asks for; after [`RequestError::Malformed`] the connection is closed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    #[error("the request is malformed {fault}")]
    Malformed {
        /// The version of its header, or 1.0 if that could not be read either.
        version: ProtocolVersion,
        fault: Malformed,
    },
    #[error("protocol version {requested} is not supported; use one of 2.1, 2.0 and 1.4 to 1.0")]
    UnsupportedVersion { requested: ProtocolVersion },
}

impl RequestError {
    /// The reason to give.
    #[must_use]
    pub fn reason(&self) -> ResultReason {
        match self {
            RequestError::Malformed { .. } => ResultReason::INVALID_MESSAGE,
            RequestError::UnsupportedVersion { .. } => ResultReason::UNSUPPORTED_PROTOCOL_VERSION,
        }
    }

    /// The version to answer in.
    #[must_use]
    pub fn version(&self) -> ProtocolVersion {
        match self {
            RequestError::Malformed { version, .. } => *version,
            RequestError::UnsupportedVersion { requested } => requested.nearest_supported(),
        }
    }

    /// The response: a header and one item without Operation (KMIP 1.4 §7.2, §11.1). Before 2.0
    /// an unsupported version is told as Invalid Message.
    #[must_use]
    pub fn answer(&self, time_stamp: i64) -> Response {
        let mut message = self.to_string();
        if let Some(first) = message.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        let failure = Failure::new(self.reason(), message + ".");
        Response::refusing(self.version(), time_stamp, failure)
    }
}

impl From<Malformed> for RequestError {
    fn from(fault: Malformed) -> Self {
        RequestError::Malformed {
            version: ProtocolVersion::V1_0,
            fault,
        }
    }
}

impl Request {
    /// Reads a whole request.
    ///
    /// # Errors
    /// When the frame, the header or the batch as such is unsound, or its version is none of
    /// [`ProtocolVersion::SUPPORTED`]. Faults inside the payload of an item are in that item.
    pub fn decode(message: &[u8], limits: &Limits) -> Result<Request, RequestError> {
        let root = ttlv::check(message, limits)?;
        let mut parts = root_items(&root, Tag::REQUEST_MESSAGE)?;
        let header = parts.next().transpose()?;
        let header = required(header, Tag::REQUEST_HEADER, (root.tag, root.offset))?;
        expect_tag(&header, Tag::REQUEST_HEADER)?;
        let version = header_version(&header)?;
        if !version.is_supported() {
            return Err(RequestError::UnsupportedVersion { requested: version });
        }
        read_request(version, &header, parts, limits)
            .map_err(|fault| RequestError::Malformed { version, fault })
    }

    /// Writes the request for the version in its header, without what that version does not
    /// know. Items whose payload is an error get an empty payload.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let version = self.header.version;
        Writer::new(out).structure(Tag::REQUEST_MESSAGE, |w| {
            self.header.write(self.items.len(), w);
            for item in &self.items {
                w.structure(Tag::BATCH_ITEM, |w| {
                    w.enumeration(Tag::OPERATION, item.operation.0);
                    if let Some(id) = &item.id {
                        w.bytes(Tag::UNIQUE_BATCH_ITEM_ID, id);
                    }
                    w.structure(Tag::REQUEST_PAYLOAD, |w| {
                        if let Ok(payload) = &item.payload {
                            payload.write(w, version);
                        }
                    });
                });
            }
        });
    }

    /// A request of one operation, with nothing in its header but the version.
    #[must_use]
    pub fn of(version: ProtocolVersion, payload: RequestPayload) -> Request {
        Request {
            header: RequestHeader::of(version),
            items: vec![RequestItem::of(payload)],
        }
    }
}

impl RequestItem {
    /// An item without a Unique Batch Item ID.
    #[must_use]
    pub fn of(payload: RequestPayload) -> RequestItem {
        RequestItem {
            id: None,
            operation: payload.operation(),
            payload: Ok(payload),
        }
    }
}

fn root_items<'a>(root: &Field<'a>, tag: Tag) -> Result<ttlv::Items<'a>, Malformed> {
    expect_tag(root, tag)?;
    root.items()
}

fn expect_tag(field: &Field<'_>, expected: Tag) -> Result<(), Malformed> {
    if field.tag == expected {
        return Ok(());
    }
    Err(field.malformed(Fault::WrongTag {
        expected,
        found: field.tag,
    }))
}

/// The version alone, so that a header of an unknown version can be answered.
fn header_version(header: &Field<'_>) -> Result<ProtocolVersion, Malformed> {
    for field in header.items()? {
        let field = field?;
        if field.tag == Tag::PROTOCOL_VERSION {
            return read_version(&field);
        }
    }
    required(None, Tag::PROTOCOL_VERSION, (header.tag, header.offset))
}

fn read_request(
    version: ProtocolVersion,
    header: &Field<'_>,
    parts: ttlv::Items<'_>,
    limits: &Limits,
) -> Result<Request, Malformed> {
    let (header, count) = RequestHeader::read(header, version)?;
    let mut items = Vec::new();
    let mut with = Context {
        version,
        limits,
        placeholder: None,
    };
    let end = parts.offset();
    for part in parts {
        let part = part?;
        expect_tag(&part, Tag::BATCH_ITEM)?;
        let item = read_request_item(&part, &with)?;
        if sets_placeholder(item.operation) {
            let index = i32::try_from(items.len()).unwrap_or(i32::MAX);
            with.placeholder = Some((item.operation, index));
        }
        push(&mut items, &part, item, "batch items", limits.batch_items)?;
    }
    check_count(count, items.len(), end)?;
    Ok(Request { header, items })
}

/// Batch Count must be the number of items that follow; a request has at least one.
fn check_count(declared: i32, found: usize, offset: usize) -> Result<(), Malformed> {
    if found > 0 && usize::try_from(declared) == Ok(found) {
        return Ok(());
    }
    let why = "it must be the number of batch items that follow, at least one";
    Err(Malformed {
        offset,
        fault: Fault::Value {
            tag: Tag::BATCH_COUNT,
            why,
        },
    })
}

/// An item of which the frame is known to be sound.
fn read_request_item(part: &Field<'_>, with: &Context<'_>) -> Result<RequestItem, Malformed> {
    let (mut operation, mut id, mut payload, mut refused) = (None, None, None, None);
    for field in part.items()? {
        let field = field?;
        match field.tag {
            Tag::OPERATION => once(&mut operation, &field, Operation(field.enumeration()?))?,
            Tag::UNIQUE_BATCH_ITEM_ID => once(&mut id, &field, field.bytes()?.to_vec())?,
            Tag::REQUEST_PAYLOAD => once(&mut payload, &field, field)?,
            Tag::MESSAGE_EXTENSION => {
                if extension_is_critical(&field)? {
                    refused = Some(Failure::new(
                        ResultReason::FEATURE_NOT_SUPPORTED,
                        "The Message Extension is marked critical and is not known here; send \
                         the request without it, or mark it as not critical.",
                    ));
                }
            }
            Tag::EPHEMERAL if with.version >= ProtocolVersion::V2_0 => {
                if field.boolean()? {
                    refused = Some(Failure::new(
                        ResultReason::FEATURE_NOT_SUPPORTED,
                        "Ephemeral items are not supported; leave the field out.",
                    ));
                }
            }
            _ => return Err(unexpected(&field, part.tag)),
        }
    }
    let place = (part.tag, part.offset);
    let operation = required(operation, Tag::OPERATION, place)?;
    let payload = required(payload, Tag::REQUEST_PAYLOAD, place)?;
    let payload = match refused {
        Some(failure) => Err(failure),
        None => RequestPayload::read(operation, payload.items()?, with),
    };
    Ok(RequestItem {
        id,
        operation,
        payload,
    })
}

/// Message Extension (KMIP 1.4 §6.16): vendor, criticality, and what the vendor likes.
fn extension_is_critical(field: &Field<'_>) -> Result<bool, Malformed> {
    let mut critical = None;
    for inner in field.items()? {
        let inner = inner?;
        if inner.tag == Tag::CRITICALITY_INDICATOR {
            once(&mut critical, &inner, inner.boolean()?)?;
        }
    }
    required(
        critical,
        Tag::CRITICALITY_INDICATOR,
        (field.tag, field.offset),
    )
}

/// The three values of Asynchronous Indicator in 2.x; a Boolean before.
fn read_asynchronous(field: &Field<'_>, version: ProtocolVersion) -> Result<bool, Malformed> {
    use crate::enumerations::AsynchronousIndicator as Indicator;
    if version.names_attributes() {
        return field.boolean();
    }
    match Indicator(field.enumeration()?) {
        Indicator::MANDATORY => Ok(true),
        // Optional leaves it to the server, which answers at once.
        Indicator::OPTIONAL | Indicator::PROHIBITED => Ok(false),
        _ => {
            let why = "it is Mandatory, Optional or Prohibited";
            Err(field.malformed(Fault::Value {
                tag: field.tag,
                why,
            }))
        }
    }
}

impl RequestHeader {
    /// A header with nothing but the version.
    #[must_use]
    pub fn of(version: ProtocolVersion) -> RequestHeader {
        RequestHeader {
            version,
            maximum_response_size: None,
            client_correlation_value: None,
            server_correlation_value: None,
            asynchronous_indicator: None,
            attestation_capable_indicator: None,
            attestation_types: Vec::new(),
            credentials: Vec::new(),
            batch_error_option: None,
            batch_order: None,
            time_stamp: None,
        }
    }

    /// The header and its Batch Count.
    fn read(header: &Field<'_>, version: ProtocolVersion) -> Result<(Self, i32), Malformed> {
        let mut h = RequestHeader::of(version);
        let (mut seen_version, mut count, mut authentication) = (None, None, None);
        for field in header.items()? {
            let f = field?;
            match f.tag {
                Tag::PROTOCOL_VERSION => once(&mut seen_version, &f, ())?,
                Tag::MAXIMUM_RESPONSE_SIZE => {
                    once(&mut h.maximum_response_size, &f, f.integer()?)?;
                }
                Tag::CLIENT_CORRELATION_VALUE => {
                    once(&mut h.client_correlation_value, &f, f.text()?.to_owned())?;
                }
                Tag::SERVER_CORRELATION_VALUE => {
                    once(&mut h.server_correlation_value, &f, f.text()?.to_owned())?;
                }
                Tag::ASYNCHRONOUS_INDICATOR => {
                    once(
                        &mut h.asynchronous_indicator,
                        &f,
                        read_asynchronous(&f, version)?,
                    )?;
                }
                Tag::ATTESTATION_CAPABLE_INDICATOR => {
                    once(&mut h.attestation_capable_indicator, &f, f.boolean()?)?;
                }
                Tag::ATTESTATION_TYPE => {
                    let (list, value) = (&mut h.attestation_types, f.enumeration()?);
                    let value = AttestationType(value);
                    push(list, &f, value, "attestation types", ATTESTATION_TYPES_MAX)?;
                }
                Tag::AUTHENTICATION => {
                    once(&mut authentication, &f, ())?;
                    read_credentials(&f, &mut h.credentials)?;
                }
                Tag::BATCH_ERROR_CONTINUATION_OPTION => {
                    let value = BatchErrorContinuationOption(f.enumeration()?);
                    once(&mut h.batch_error_option, &f, value)?;
                }
                Tag::BATCH_ORDER_OPTION => once(&mut h.batch_order, &f, f.boolean()?)?,
                Tag::TIME_STAMP => once(&mut h.time_stamp, &f, f.date_time()?)?,
                Tag::BATCH_COUNT => once(&mut count, &f, f.integer()?)?,
                _ => return Err(unexpected(&f, header.tag)),
            }
        }
        let count = required(count, Tag::BATCH_COUNT, (header.tag, header.offset))?;
        Ok((h, count))
    }

    fn write(&self, count: usize, w: &mut Writer<'_>) {
        use crate::enumerations::AsynchronousIndicator as Indicator;
        let version = self.version;
        let known = |tag: Tag| tag.is_known_to(version);
        w.structure(Tag::REQUEST_HEADER, |w| {
            write_version(version, w);
            w.optional_integer(Tag::MAXIMUM_RESPONSE_SIZE, self.maximum_response_size);
            if known(Tag::CLIENT_CORRELATION_VALUE) {
                let value = self.client_correlation_value.as_deref();
                w.optional_text(Tag::CLIENT_CORRELATION_VALUE, value);
                let value = self.server_correlation_value.as_deref();
                w.optional_text(Tag::SERVER_CORRELATION_VALUE, value);
            }
            if version.names_attributes() {
                w.optional_boolean(Tag::ASYNCHRONOUS_INDICATOR, self.asynchronous_indicator);
            } else {
                let indicator = self.asynchronous_indicator.map(|wanted| {
                    if wanted {
                        Indicator::MANDATORY.0
                    } else {
                        Indicator::PROHIBITED.0
                    }
                });
                w.optional_enumeration(Tag::ASYNCHRONOUS_INDICATOR, indicator);
            }
            if known(Tag::ATTESTATION_TYPE) {
                let value = self.attestation_capable_indicator;
                w.optional_boolean(Tag::ATTESTATION_CAPABLE_INDICATOR, value);
                for kind in &self.attestation_types {
                    w.enumeration(Tag::ATTESTATION_TYPE, kind.0);
                }
            }
            write_credentials(&self.credentials, w);
            let option = self.batch_error_option.map(|option| option.0);
            w.optional_enumeration(Tag::BATCH_ERROR_CONTINUATION_OPTION, option);
            w.optional_boolean(Tag::BATCH_ORDER_OPTION, self.batch_order);
            if let Some(time) = self.time_stamp {
                w.date_time(Tag::TIME_STAMP, time);
            }
            write_count(count, w);
        });
    }
}

fn write_count(count: usize, w: &mut Writer<'_>) {
    // Batches are bounded far below 2^31 wherever they are made.
    w.integer(Tag::BATCH_COUNT, i32::try_from(count).unwrap_or(i32::MAX));
}

/// Authentication (KMIP 1.4 §6.6): one credential before 1.2, several since.
fn read_credentials(field: &Field<'_>, list: &mut Vec<Credential>) -> Result<(), Malformed> {
    for inner in field.items()? {
        let inner = inner?;
        expect_tag(&inner, Tag::CREDENTIAL)?;
        push(
            list,
            &inner,
            Credential::read(&inner)?,
            "credentials",
            CREDENTIALS_MAX,
        )?;
    }
    Ok(())
}

fn write_credentials(credentials: &[Credential], w: &mut Writer<'_>) {
    if credentials.is_empty() {
        return;
    }
    w.structure(Tag::AUTHENTICATION, |w| {
        credentials
            .iter()
            .for_each(|credential| credential.write(w));
    });
}

impl Credential {
    /// A user's name and password.
    #[must_use]
    pub fn password(username: &str, password: &str) -> Credential {
        Credential::UsernameAndPassword {
            username: username.to_owned(),
            password: Some(SecretBytes::copy_of(password.as_bytes())),
        }
    }

    fn read(field: &Field<'_>) -> Result<Credential, Malformed> {
        let (mut credential_type, mut value) = (None, None);
        for inner in field.items()? {
            let inner = inner?;
            match inner.tag {
                Tag::CREDENTIAL_TYPE => {
                    once(
                        &mut credential_type,
                        &inner,
                        CredentialType(inner.enumeration()?),
                    )?;
                }
                Tag::CREDENTIAL_VALUE => once(&mut value, &inner, inner)?,
                _ => return Err(unexpected(&inner, field.tag)),
            }
        }
        let place = (field.tag, field.offset);
        let credential_type = required(credential_type, Tag::CREDENTIAL_TYPE, place)?;
        let value = required(value, Tag::CREDENTIAL_VALUE, place)?;
        if credential_type == CredentialType::USERNAME_AND_PASSWORD {
            return Credential::read_password(&value);
        }
        Ok(Credential::Other {
            credential_type,
            fields: SecretItems::read(&value)?,
        })
    }

    fn read_password(value: &Field<'_>) -> Result<Credential, Malformed> {
        let (mut username, mut password) = (None, None);
        for inner in value.items()? {
            let inner = inner?;
            match inner.tag {
                Tag::USERNAME => once(&mut username, &inner, inner.text()?.to_owned())?,
                Tag::PASSWORD => {
                    let secret = SecretBytes::copy_of(inner.text()?.as_bytes());
                    once(&mut password, &inner, secret)?;
                }
                _ => return Err(unexpected(&inner, value.tag)),
            }
        }
        let username = required(username, Tag::USERNAME, (value.tag, value.offset))?;
        Ok(Credential::UsernameAndPassword { username, password })
    }

    fn write(&self, w: &mut Writer<'_>) {
        w.structure(Tag::CREDENTIAL, |w| match self {
            Credential::UsernameAndPassword { username, password } => {
                w.enumeration(
                    Tag::CREDENTIAL_TYPE,
                    CredentialType::USERNAME_AND_PASSWORD.0,
                );
                w.structure(Tag::CREDENTIAL_VALUE, |w| {
                    w.text(Tag::USERNAME, username);
                    if let Some(password) = password {
                        w.text_bytes(Tag::PASSWORD, password.expose());
                    }
                });
            }
            Credential::Other {
                credential_type,
                fields,
            } => {
                w.enumeration(Tag::CREDENTIAL_TYPE, credential_type.0);
                fields.write(Tag::CREDENTIAL_VALUE, w);
            }
        });
    }
}

/// A response with all items of its batch.
#[derive(Debug, PartialEq, Eq)]
pub struct Response {
    /// The version of the request, in which this is written.
    pub version: ProtocolVersion,
    /// Seconds since 1970.
    pub time_stamp: i64,
    /// The value of the request, if it had one; since 1.4.
    pub client_correlation_value: Option<String>,
    /// A value to find this exchange again in the server's log; since 1.4.
    pub server_correlation_value: Option<String>,
    pub items: Vec<ResponseItem>,
}

/// The outcome of one operation.
#[derive(Debug, PartialEq, Eq)]
pub struct ResponseItem {
    /// `None` only where the request could not be read.
    pub operation: Option<Operation>,
    /// Unique Batch Item ID of the request.
    pub id: Option<Vec<u8>>,
    pub result: Result<ResponsePayload, Failure>,
}

impl Response {
    /// A response of one item that refuses the whole request.
    #[must_use]
    pub fn refusing(version: ProtocolVersion, time_stamp: i64, failure: Failure) -> Response {
        let item = ResponseItem {
            operation: None,
            id: None,
            result: Err(failure),
        };
        Response {
            version,
            time_stamp,
            client_correlation_value: None,
            server_correlation_value: None,
            items: vec![item],
        }
    }

    /// Writes the response for its version, without what that version does not know. `out` is
    /// appended to; it may hold key material afterwards, and erasing it is up to its owner.
    pub fn encode(&self, out: &mut Vec<u8>) {
        Writer::new(out).structure(Tag::RESPONSE_MESSAGE, |w| {
            w.structure(Tag::RESPONSE_HEADER, |w| {
                write_version(self.version, w);
                w.date_time(Tag::TIME_STAMP, self.time_stamp);
                if Tag::CLIENT_CORRELATION_VALUE.is_known_to(self.version) {
                    let value = self.client_correlation_value.as_deref();
                    w.optional_text(Tag::CLIENT_CORRELATION_VALUE, value);
                    let value = self.server_correlation_value.as_deref();
                    w.optional_text(Tag::SERVER_CORRELATION_VALUE, value);
                }
                write_count(self.items.len(), w);
            });
            for item in &self.items {
                w.structure(Tag::BATCH_ITEM, |w| item.write(w, self.version));
            }
        });
    }

    /// Reads a whole response, as a client does.
    ///
    /// # Errors
    /// When any part of it is unsound, its version is not supported, or an item is neither a
    /// success nor a failure but pending or undone, which only asynchronous requests bring about.
    pub fn decode(message: &[u8], limits: &Limits) -> Result<Response, ResponseError> {
        let root = ttlv::check(message, limits)?;
        let mut parts = root_items(&root, Tag::RESPONSE_MESSAGE)?;
        let header = parts.next().transpose()?;
        let header = required(header, Tag::RESPONSE_HEADER, (root.tag, root.offset))?;
        expect_tag(&header, Tag::RESPONSE_HEADER)?;
        let version = header_version(&header)?;
        if !version.is_supported() {
            return Err(ResponseError::UnsupportedVersion { found: version });
        }
        let (mut response, count) = read_response_header(&header, version)?;
        let with = Context {
            version,
            limits,
            placeholder: None,
        };
        let end = parts.offset();
        for part in parts {
            let part = part?;
            expect_tag(&part, Tag::BATCH_ITEM)?;
            let item = ResponseItem::read(&part, &with)?;
            push(
                &mut response.items,
                &part,
                item,
                "batch items",
                limits.batch_items,
            )?;
        }
        check_count(count, response.items.len(), end)?;
        Ok(response)
    }
}

/// Why a response cannot be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResponseError {
    #[error("the response is malformed {0}")]
    Malformed(#[from] Malformed),
    #[error("the response has protocol version {found}, which is not supported")]
    UnsupportedVersion { found: ProtocolVersion },
    #[error("the payload of {operation} cannot be read: {failure}")]
    Payload {
        operation: Operation,
        failure: Failure,
    },
    #[error("the status is {status}; only success and failure are expected")]
    Status { status: ResultStatus },
}

fn read_response_header(
    header: &Field<'_>,
    version: ProtocolVersion,
) -> Result<(Response, i32), Malformed> {
    let (mut seen_version, mut time_stamp, mut count) = (None, None, None);
    let (mut client, mut server) = (None, None);
    for field in header.items()? {
        let f = field?;
        match f.tag {
            Tag::PROTOCOL_VERSION => once(&mut seen_version, &f, ())?,
            Tag::TIME_STAMP => once(&mut time_stamp, &f, f.date_time()?)?,
            Tag::CLIENT_CORRELATION_VALUE => once(&mut client, &f, f.text()?.to_owned())?,
            Tag::SERVER_CORRELATION_VALUE => once(&mut server, &f, f.text()?.to_owned())?,
            // For attestation and hashed passwords, which no client here uses.
            Tag::NONCE | Tag::ATTESTATION_TYPE | Tag::SERVER_HASHED_PASSWORD => {}
            Tag::BATCH_COUNT => once(&mut count, &f, f.integer()?)?,
            _ => return Err(unexpected(&f, header.tag)),
        }
    }
    let place = (header.tag, header.offset);
    let response = Response {
        version,
        time_stamp: required(time_stamp, Tag::TIME_STAMP, place)?,
        client_correlation_value: client,
        server_correlation_value: server,
        items: Vec::new(),
    };
    Ok((response, required(count, Tag::BATCH_COUNT, place)?))
}

impl ResponseItem {
    fn write(&self, w: &mut Writer<'_>, version: ProtocolVersion) {
        w.optional_enumeration(Tag::OPERATION, self.operation.map(|operation| operation.0));
        if let Some(id) = &self.id {
            w.bytes(Tag::UNIQUE_BATCH_ITEM_ID, id);
        }
        match &self.result {
            Ok(payload) => {
                w.enumeration(Tag::RESULT_STATUS, ResultStatus::SUCCESS.0);
                w.structure(Tag::RESPONSE_PAYLOAD, |w| payload.write(w, version));
            }
            Err(failure) => {
                w.enumeration(Tag::RESULT_STATUS, ResultStatus::OPERATION_FAILED.0);
                w.enumeration(Tag::RESULT_REASON, failure.reason.for_version(version).0);
                if !failure.message.is_empty() {
                    w.text(Tag::RESULT_MESSAGE, &failure.message);
                }
            }
        }
    }

    fn read(part: &Field<'_>, with: &Context<'_>) -> Result<ResponseItem, ResponseError> {
        let (mut operation, mut id, mut payload) = (None, None, None);
        let (mut status, mut reason, mut message) = (None, None, None);
        for field in part.items()? {
            let f = field?;
            match f.tag {
                Tag::OPERATION => once(&mut operation, &f, Operation(f.enumeration()?))?,
                Tag::UNIQUE_BATCH_ITEM_ID => once(&mut id, &f, f.bytes()?.to_vec())?,
                Tag::RESULT_STATUS => once(&mut status, &f, ResultStatus(f.enumeration()?))?,
                Tag::RESULT_REASON => once(&mut reason, &f, ResultReason(f.enumeration()?))?,
                Tag::RESULT_MESSAGE => once(&mut message, &f, f.text()?.to_owned())?,
                Tag::RESPONSE_PAYLOAD => once(&mut payload, &f, f)?,
                Tag::ASYNCHRONOUS_CORRELATION_VALUE | Tag::MESSAGE_EXTENSION => {}
                _ => return Err(unexpected(&f, part.tag).into()),
            }
        }
        let place = (part.tag, part.offset);
        let result = match required(status, Tag::RESULT_STATUS, place)? {
            ResultStatus::SUCCESS => {
                let operation = required(operation, Tag::OPERATION, place)?;
                let payload = required(payload, Tag::RESPONSE_PAYLOAD, place)?;
                Ok(ResponsePayload::read(operation, &payload, with)
                    .map_err(|failure| ResponseError::Payload { operation, failure })?)
            }
            ResultStatus::OPERATION_FAILED => Err(Failure {
                reason: required(reason, Tag::RESULT_REASON, place)?,
                message: message.unwrap_or_default(),
            }),
            status => return Err(ResponseError::Status { status }),
        };
        Ok(ResponseItem {
            operation,
            id,
            result,
        })
    }
}
