//! A KMIP client: rustls below, the `kmip` crate above, one connection.
//!
//! Each operation ends in one of three ways, and the difference is what the suites are about: an
//! answer, [`Trouble::Denied`] (the node said no), or [`Trouble::Unknown`] (the connection went
//! before an answer came, so that nobody but the node knows what happened).

use anyhow::{Context, Result, bail};
use kmip::attributes::{Attribute, AttributeName, Template, usage_mask};
use kmip::enumerations::{BatchErrorContinuationOption, RevocationReasonCode};
use kmip::objects::{KeyBlock, KeyMaterial, KeyValue, Object, SecretBytes};
use kmip::operations::{
    ActivateRequest, CreateRequest, DestroyRequest, GetAttributesRequest, GetRequest,
    LocateRequest, RegisterRequest, RequestPayload, ResponsePayload, RevokeRequest,
};
use kmip::{
    CryptographicAlgorithm, Failure, Limits, ObjectType, ProtocolVersion, Request, RequestHeader,
    RequestItem, Response, Tag, Value, ttlv,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion,
};
use std::fs::{self, File};
use std::io::{BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// No answer within this long counts as none. Longer than any pause of a busy test machine.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// A TLS stream that blocks.
pub type TlsStream = StreamOwned<ClientConnection, TcpStream>;

/// Why there is no good answer.
#[derive(Debug)]
pub enum Trouble {
    /// The node said no, and why.
    Denied(Failure),
    /// The connection went, or what came was no answer; the node may have done it or not.
    Unknown(anyhow::Error),
}

/// How an operation ended.
pub type Answer<T> = Result<T, Trouble>;

impl From<anyhow::Error> for Trouble {
    fn from(error: anyhow::Error) -> Self {
        Self::Unknown(error)
    }
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Denied(failure) => write!(f, "denied: {failure}"),
            Self::Unknown(error) => write!(f, "no answer: {error:#}"),
        }
    }
}

impl std::error::Error for Trouble {}

/// Whom the client is, and whom it trusts.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The Local CA.
    pub ca: PathBuf,
    /// Certificate and key of the client; none to come without.
    pub certificate: Option<(PathBuf, PathBuf)>,
}

impl Identity {
    /// A client whose files lie in a node's folder.
    pub fn of(dir: &Path, name: &str) -> Self {
        let clients = dir.join("clients");
        let file = |ending: &str| clients.join(format!("{name}.{ending}"));
        Self {
            ca: dir.join("ca.pem"),
            certificate: Some((file("pem"), file("key"))),
        }
    }

    /// Nobody: trusts the node's CA and shows no certificate.
    pub fn nobody(dir: &Path) -> Self {
        Self {
            ca: dir.join("ca.pem"),
            certificate: None,
        }
    }

    /// Files of a client as `strongroom dev` leaves them in `dir`, from what `client add` showed
    /// on a console: certificate, key and CA.
    pub fn from_screen(screen: &str, dir: &Path, name: &str) -> Result<Self> {
        let identity = Self::of(dir, name);
        let (certificate, key) = identity.certificate.clone().context("it has one")?;
        fs::create_dir_all(dir.join("clients"))?;
        let mut rest = screen;
        for file in [&certificate, &key, &identity.ca] {
            let missing = || format!("three PEM blocks are expected in:\n{screen}");
            let begin = rest.find("-----BEGIN").with_context(missing)?;
            let end = rest[begin..].find("-----END").with_context(missing)? + begin;
            let end = rest[end..]
                .find('\n')
                .map_or(rest.len(), |line| end + line + 1);
            fs::write(file, rest[begin..end].replace('\r', ""))?;
            rest = &rest[end..];
        }
        Ok(identity)
    }

    /// Roots, certificate chain and private key, to build another TLS side from.
    pub fn material(
        &self,
    ) -> Result<(
        RootCertStore,
        Vec<CertificateDer<'static>>,
        PrivateKeyDer<'static>,
    )> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(&self.ca)? {
            roots.add(certificate)?;
        }
        let (chain, key) = self
            .certificate
            .as_ref()
            .context("this identity shows no certificate")?;
        Ok((roots, certificates(chain)?, private_key(key)?))
    }

    /// The TLS side of this identity, in the versions given (rustls' own when empty).
    pub fn config(&self, versions: &[&'static SupportedProtocolVersion]) -> Result<ClientConfig> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(&self.ca)? {
            roots.add(certificate)?;
        }
        let versions = if versions.is_empty() {
            rustls::DEFAULT_VERSIONS
        } else {
            versions
        };
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)?
            .with_root_certificates(roots);
        Ok(match &self.certificate {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => {
                builder.with_client_auth_cert(certificates(chain)?, private_key(key)?)?
            }
        })
    }
}

fn open(path: &Path) -> Result<BufReader<File>> {
    let file = File::open(path).with_context(|| format!("opening {}", path.display()))?;
    Ok(BufReader::new(file))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    Ok(rustls_pemfile::certs(&mut open(path)?).collect::<Result<_, _>>()?)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>> {
    let key = rustls_pemfile::private_key(&mut open(path)?)?;
    key.with_context(|| format!("{} holds no private key", path.display()))
}

/// Connects and finishes the handshake.
pub fn connect_tls(to: SocketAddr, config: ClientConfig) -> Result<TlsStream> {
    let mut socket = TcpStream::connect_timeout(&to, ANSWER_WITHIN).context("TCP")?;
    socket.set_read_timeout(Some(ANSWER_WITHIN))?;
    socket.set_write_timeout(Some(ANSWER_WITHIN))?;
    socket.set_nodelay(true)?;
    let name = ServerName::try_from("localhost")?;
    let mut connection = ClientConnection::new(Arc::new(config), name)?;
    while connection.is_handshaking() {
        connection
            .complete_io(&mut socket)
            .context("TLS handshake")?;
    }
    Ok(StreamOwned::new(connection, socket))
}

/// Reads one whole KMIP message.
pub fn read_message(from: &mut impl Read) -> Result<Vec<u8>> {
    let mut message = vec![0_u8; 8];
    from.read_exact(&mut message)
        .context("reading the header of an answer")?;
    let header = message.first_chunk().context("8 bytes")?;
    let length = ttlv::message_length(header, 64 << 20)?;
    message.resize(length, 0);
    from.read_exact(&mut message[8..])
        .context("reading the rest of an answer")?;
    Ok(message)
}

/// One HTTPS GET: status and body.
pub fn https_get(to: SocketAddr, identity: &Identity, path: &str) -> Result<(u16, String)> {
    let mut stream = connect_tls(to, identity.config(&[])?)?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    )?;
    stream.flush()?;
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Ok(_) => {}
        // A server may close TCP without TLS' own farewell; the body's length tells.
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {}
        Err(error) => return Err(error.into()),
    }
    let answer = String::from_utf8(answer)?;
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .context("no end of the HTTP header")?;
    let status = head.split(' ').nth(1).context("no HTTP status")?.parse()?;
    Ok((status, body.to_owned()))
}

/// A connection of a KMIP client.
#[derive(Debug)]
pub struct Client {
    stream: TlsStream,
    version: ProtocolVersion,
    limits: Limits,
}

impl Client {
    /// Connects; KMIP 1.4 until [`Client::speak`] says otherwise.
    pub fn connect(to: SocketAddr, identity: &Identity) -> Result<Self> {
        Ok(Self::over(connect_tls(to, identity.config(&[])?)?))
    }

    /// Over a stream that is there already.
    pub fn over(stream: TlsStream) -> Self {
        let limits = Limits {
            message_bytes: 64 << 20,
            ..Limits::default()
        };
        Self {
            stream,
            version: ProtocolVersion::V1_4,
            limits,
        }
    }

    /// Changes the version of the messages.
    pub fn speak(&mut self, version: ProtocolVersion) {
        self.version = version;
    }

    /// The stream, for messages that no client would send.
    pub fn stream(&mut self) -> &mut TlsStream {
        &mut self.stream
    }

    /// Sends bytes as they are and reads one message.
    pub fn exchange(&mut self, request: &[u8]) -> Result<Vec<u8>> {
        self.stream.write_all(request).context("sending")?;
        self.stream.flush().context("sending")?;
        read_message(&mut self.stream)
    }

    /// The bytes of a request for these operations, each with an identifier in the batch.
    pub fn encode(&self, payloads: Vec<RequestPayload>) -> Vec<u8> {
        let mut header = RequestHeader::of(self.version);
        header.batch_error_option = Some(BatchErrorContinuationOption::CONTINUE);
        let mut items: Vec<_> = payloads.into_iter().map(RequestItem::of).collect();
        if items.len() > 1 {
            for (number, item) in items.iter_mut().enumerate() {
                item.id = Some(number.to_be_bytes().to_vec());
            }
        }
        let mut bytes = Vec::new();
        Request { header, items }.encode(&mut bytes);
        bytes
    }

    /// Carries a batch out; the outcomes are in the order of the operations.
    pub fn batch(
        &mut self,
        payloads: Vec<RequestPayload>,
    ) -> Result<Vec<Result<ResponsePayload, Failure>>> {
        let count = payloads.len();
        let request = self.encode(payloads);
        let answer = self.exchange(&request)?;
        let response = Response::decode(&answer, &self.limits)?;
        if response.items.len() != count && count > 1 {
            bail!("{count} operations, {} answers", response.items.len());
        }
        Ok(response.items.into_iter().map(|item| item.result).collect())
    }

    fn one(&mut self, payload: RequestPayload) -> Answer<ResponsePayload> {
        let outcome = self
            .batch(vec![payload])?
            .pop()
            .context("an answer without an item")?;
        outcome.map_err(Trouble::Denied)
    }

    /// Creates an AES key.
    pub fn create(&mut self, name: Option<&str>, bits: i32) -> Answer<String> {
        match self.one(create_request(name, bits))? {
            ResponsePayload::Create(answer) => Ok(answer.unique_identifier),
            other => Err(unexpected(&other)),
        }
    }

    /// Creates a symmetric key of any algorithm.
    pub fn create_of(&mut self, algorithm: CryptographicAlgorithm, bits: i32) -> Answer<String> {
        match self.one(create_of_request(algorithm, bits))? {
            ResponsePayload::Create(answer) => Ok(answer.unique_identifier),
            other => Err(unexpected(&other)),
        }
    }

    /// Registers an AES key.
    pub fn register(&mut self, name: &str, key: &[u8]) -> Answer<String> {
        match self.one(register_request(name, key))? {
            ResponsePayload::Register(answer) => Ok(answer.unique_identifier),
            other => Err(unexpected(&other)),
        }
    }

    /// Gets the bytes of a key.
    pub fn get(&mut self, uid: &str) -> Answer<Vec<u8>> {
        let answer = self.one(get_request(uid))?;
        key_of(answer).map_err(Trouble::Unknown)
    }

    /// Gets one attribute's values.
    pub fn attribute(&mut self, uid: &str, tag: Tag) -> Answer<Vec<Value>> {
        let request = GetAttributesRequest {
            unique_identifier: Some(uid.to_owned()),
            names: vec![AttributeName::Standard(tag)],
        };
        match self.one(RequestPayload::GetAttributes(request))? {
            ResponsePayload::GetAttributes(answer) => Ok(answer
                .attributes
                .into_iter()
                .map(|attribute| attribute.value)
                .collect()),
            other => Err(unexpected(&other)),
        }
    }

    /// Activates an object.
    pub fn activate(&mut self, uid: &str) -> Answer<()> {
        let request = ActivateRequest {
            unique_identifier: Some(uid.to_owned()),
        };
        self.one(RequestPayload::Activate(request)).map(drop)
    }

    /// Revokes an object: Cessation of Operation.
    pub fn revoke(&mut self, uid: &str) -> Answer<()> {
        let request = RevokeRequest {
            unique_identifier: Some(uid.to_owned()),
            reason: RevocationReasonCode::CESSATION_OF_OPERATION,
            message: None,
            compromise_occurrence_date: None,
        };
        self.one(RequestPayload::Revoke(request)).map(drop)
    }

    /// Destroys an object.
    pub fn destroy(&mut self, uid: &str) -> Answer<()> {
        self.one(destroy_request(uid)).map(drop)
    }

    /// Locates by name, or everything.
    pub fn locate(&mut self, name: Option<&str>) -> Answer<Vec<String>> {
        let request = LocateRequest {
            maximum_items: None,
            offset_items: None,
            storage_status_mask: None,
            object_group_member: None,
            attributes: name.map(Attribute::name).into_iter().collect(),
        };
        match self.one(RequestPayload::Locate(request))? {
            ResponsePayload::Locate(answer) => Ok(answer.unique_identifiers),
            other => Err(unexpected(&other)),
        }
    }
}

fn unexpected(payload: &ResponsePayload) -> Trouble {
    Trouble::Unknown(anyhow::anyhow!(
        "the answer is one to {}",
        payload.operation()
    ))
}

fn template(name: Option<&str>, bits: i32) -> Template {
    template_of(CryptographicAlgorithm::AES, name, bits)
}

fn template_of(algorithm: CryptographicAlgorithm, name: Option<&str>, bits: i32) -> Template {
    let mask = usage_mask::ENCRYPT | usage_mask::DECRYPT;
    let algorithm = Value::Enumeration(algorithm.0);
    let mut attributes = vec![
        Attribute::standard(Tag::CRYPTOGRAPHIC_ALGORITHM, algorithm),
        Attribute::standard(Tag::CRYPTOGRAPHIC_LENGTH, Value::Integer(bits)),
        Attribute::standard(Tag::CRYPTOGRAPHIC_USAGE_MASK, Value::Integer(mask)),
    ];
    attributes.extend(name.map(Attribute::name));
    Template::of(attributes)
}

/// Create of an AES key.
pub fn create_request(name: Option<&str>, bits: i32) -> RequestPayload {
    RequestPayload::Create(CreateRequest {
        object_type: ObjectType::SYMMETRIC_KEY,
        template: template(name, bits),
        protection_storage_masks: Vec::new(),
    })
}

/// Create of a symmetric key of any algorithm.
pub fn create_of_request(algorithm: CryptographicAlgorithm, bits: i32) -> RequestPayload {
    RequestPayload::Create(CreateRequest {
        object_type: ObjectType::SYMMETRIC_KEY,
        template: template_of(algorithm, None, bits),
        protection_storage_masks: Vec::new(),
    })
}

/// Register of an AES key.
pub fn register_request(name: &str, key: &[u8]) -> RequestPayload {
    let bits = i32::try_from(key.len() * 8).unwrap();
    let secret = SecretBytes::copy_of(key);
    let block = KeyBlock::raw(secret, Some(CryptographicAlgorithm::AES), Some(bits));
    RequestPayload::Register(RegisterRequest {
        object: Object::SymmetricKey(block),
        template: template(Some(name), bits),
        protection_storage_masks: Vec::new(),
    })
}

/// Get without any wish about the form.
pub fn get_request(uid: &str) -> RequestPayload {
    RequestPayload::Get(GetRequest {
        unique_identifier: Some(uid.to_owned()),
        key_format_type: None,
        key_wrap_type: None,
        key_compression_type: None,
        key_wrapping_specification: None,
    })
}

/// Destroy.
pub fn destroy_request(uid: &str) -> RequestPayload {
    RequestPayload::Destroy(DestroyRequest {
        unique_identifier: Some(uid.to_owned()),
    })
}

/// The bytes in the answer to a Get.
pub fn key_of(answer: ResponsePayload) -> Result<Vec<u8>> {
    let ResponsePayload::Get(answer) = answer else {
        bail!("the answer to Get is one to {}", answer.operation());
    };
    let (Object::SymmetricKey(block)
    | Object::SecretData {
        key_block: block, ..
    }) = answer.object
    else {
        bail!("the object has no key block");
    };
    match block.value {
        Some(KeyValue::Plain {
            material: KeyMaterial::Bytes(bytes),
            ..
        }) => Ok(bytes.expose().to_vec()),
        _ => bail!("the key is not plain bytes"),
    }
}
