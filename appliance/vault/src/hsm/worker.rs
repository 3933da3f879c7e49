//! The process that loads the vendor's PKCS#11 library.
//!
//! A vendor library may hang, leak, call `exit` or crash; here that costs one process, which the
//! node starts again at the next call. The worker knows nothing of vaults: it opens one token,
//! makes and destroys AES keys in it, and encrypts and decrypts under them. It logs in at most once
//! in its life, so that a wrong PIN in the settings costs one try of the token's counter per start.

use super::protocol::{Crypt, Request, Response, TokenKeyId, WorkerFailure, receive, send};
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::aead::GcmParams;
use cryptoki::object::{Attribute, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;
use std::io::{self, Read, Write};

/// Bits of the GCM tag: the longest there is (SP 800-38D §5.2.1.2).
const TAG_BITS: u64 = 128;

/// Serves requests until the node closes the pipe.
///
/// The program calls this for a hidden subcommand, with its standard input and output. Nothing else
/// may write to that output.
pub fn run(mut input: impl Read, mut output: impl Write) -> io::Result<()> {
    let mut worker = Worker::Fresh;
    while let Some(request) = receive::<Request>(&mut input)? {
        let response = worker.answer(request).unwrap_or_else(Response::Failed);
        send(&mut output, &response)?;
    }
    Ok(())
}

enum Worker {
    Fresh,
    Tried,
    Open(Session),
}

impl Worker {
    fn answer(&mut self, mut request: Request) -> Result<Response, WorkerFailure> {
        match &mut request {
            Request::Open {
                module,
                serial,
                pin,
            } => {
                if !matches!(self, Self::Fresh) {
                    return Err(WorkerFailure::AlreadyTried);
                }
                *self = Self::Tried;
                *self = Self::Open(open(module, serial, pin)?);
                Ok(Response::Done)
            }
            Request::MakeKey { id, label } => make_key(self.session()?, id, label),
            Request::Encrypt(crypt) => encrypt(self.session()?, crypt),
            Request::Decrypt(crypt) => decrypt(self.session()?, crypt),
            Request::DestroyKey { id } => destroy_key(self.session()?, id),
        }
    }

    fn session(&self) -> Result<&Session, WorkerFailure> {
        match self {
            Self::Open(session) => Ok(session),
            Self::Fresh | Self::Tried => Err(WorkerFailure::NotOpen),
        }
    }
}

fn open(module: &str, serial: &str, pin: &[u8]) -> Result<Session, WorkerFailure> {
    let library = |e: Error| WorkerFailure::Library {
        detail: e.to_string(),
    };
    let context = Pkcs11::new(module).map_err(library)?;
    let flags = CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK);
    context.initialize(flags).map_err(library)?;
    let slot = find_token(&context, serial)?;
    let token = context.get_token_info(slot).map_err(token_fault)?;
    // The last try belongs to a person who can read the PIN, not to a program that was given one.
    if token.user_pin_locked() {
        return Err(WorkerFailure::PinLocked);
    }
    if token.user_pin_final_try() {
        return Err(WorkerFailure::PinFinalTry);
    }
    let session = context.open_rw_session(slot).map_err(token_fault)?;
    let pin = std::str::from_utf8(pin).map_err(|_| WorkerFailure::PinRefused)?;
    session
        .login(UserType::User, Some(&AuthPin::new(pin.into())))
        .map_err(|e| match e {
            Error::Pkcs11(
                RvError::PinIncorrect
                | RvError::PinInvalid
                | RvError::PinLenRange
                | RvError::PinExpired,
                _,
            ) => WorkerFailure::PinRefused,
            Error::Pkcs11(RvError::PinLocked, _) => WorkerFailure::PinLocked,
            other => token_fault(other),
        })?;
    Ok(session)
}

/// Tokens are found by serial number alone: labels and slot numbers can be given to another token.
fn find_token(context: &Pkcs11, serial: &str) -> Result<Slot, WorkerFailure> {
    let mut present = Vec::new();
    for slot in context.get_slots_with_token().map_err(token_fault)? {
        let Ok(token) = context.get_token_info(slot) else {
            continue;
        };
        let found = token.serial_number().trim();
        if token.token_initialized() && found == serial {
            return Ok(slot);
        }
        present.push(found.to_owned());
    }
    Err(WorkerFailure::NoSuchToken { present })
}

fn make_key(session: &Session, id: &TokenKeyId, label: &str) -> Result<Response, WorkerFailure> {
    let template = [
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::KeyType(KeyType::AES),
        Attribute::ValueLen(32.into()),
        Attribute::Token(true),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Encrypt(true),
        Attribute::Decrypt(true),
        Attribute::Wrap(false),
        Attribute::Unwrap(false),
        Attribute::Id(id.to_vec()),
        Attribute::Label(label.as_bytes().to_vec()),
    ];
    session
        .generate_key(&Mechanism::AesKeyGen, &template)
        .map_err(mechanism_fault)?;
    Ok(Response::Done)
}

fn encrypt(session: &Session, crypt: &Crypt) -> Result<Response, WorkerFailure> {
    let key = find_key(session, &crypt.key)?;
    let mut iv = crypt.iv;
    let gcm = GcmParams::new(&mut iv, &crypt.aad, TAG_BITS.into()).map_err(mechanism_fault)?;
    let text = session.encrypt(&Mechanism::AesGcm(gcm), key, &crypt.text);
    text.map(Response::Text).map_err(mechanism_fault)
}

fn decrypt(session: &Session, crypt: &Crypt) -> Result<Response, WorkerFailure> {
    let key = find_key(session, &crypt.key)?;
    let mut iv = crypt.iv;
    let gcm = GcmParams::new(&mut iv, &crypt.aad, TAG_BITS.into()).map_err(mechanism_fault)?;
    let text = session.decrypt(&Mechanism::AesGcm(gcm), key, &crypt.text);
    text.map(Response::Text).map_err(mechanism_fault)
}

fn destroy_key(session: &Session, id: &TokenKeyId) -> Result<Response, WorkerFailure> {
    session
        .destroy_object(find_key(session, id)?)
        .map_err(token_fault)?;
    Ok(Response::Done)
}

fn find_key(session: &Session, id: &TokenKeyId) -> Result<ObjectHandle, WorkerFailure> {
    let template = [
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::Id(id.to_vec()),
    ];
    let found = session.find_objects(&template).map_err(token_fault)?;
    found.first().copied().ok_or(WorkerFailure::NoSuchKey)
}

fn mechanism_fault(e: Error) -> WorkerFailure {
    WorkerFailure::Mechanism {
        detail: e.to_string(),
    }
}

fn token_fault(e: Error) -> WorkerFailure {
    WorkerFailure::Token {
        detail: e.to_string(),
    }
}
