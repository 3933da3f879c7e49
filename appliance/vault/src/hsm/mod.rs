//! Hardware security modules: a client of the worker process that holds the vendor library.
//!
//! [`Hsm`] starts the worker when it is first needed and again whenever it has died, waits no
//! longer than a deadline for any answer (a hung worker is killed), and remembers a refused PIN so
//! that no restart can use up the token's counter. A fault here is a value like any other: a vault
//! that is unlocked goes on without its token.

mod protocol;
pub mod worker;

pub(crate) use protocol::TokenKeyId;
use protocol::{Crypt, Request, Response, WorkerFailure, receive, send};

use crate::provider::{self, ProviderFault};
use crate::secret::Secret;
use parking_lot::Mutex;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;
use std::{fmt, io, thread};

/// Longest wait for an answer of a token unless told otherwise. A key made inside a slow token or a
/// network HSM after a fail-over takes seconds; a human waiting at the console gives up after that.
pub const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);

/// How to start the worker process.
#[derive(Clone, Debug)]
pub struct WorkerCommand {
    /// The program; usually the appliance's own.
    pub program: PathBuf,
    /// Its arguments; usually the hidden subcommand.
    pub arguments: Vec<OsString>,
    /// Its whole environment: nothing is inherited, vendor libraries read what they find there.
    pub environment: Vec<(OsString, OsString)>,
}

/// Which token to use, and how.
pub struct HsmSettings {
    /// The vendor's PKCS#11 library.
    pub module: PathBuf,
    /// Serial number of the token; another token in the same reader is refused.
    pub token_serial: String,
    /// PIN of the token's user.
    pub pin: Secret,
    /// How to start the worker.
    pub worker: WorkerCommand,
    /// Longest wait for one answer; [`ANSWER_TIME_MAX`] is a good value.
    pub answer_time_max: Duration,
}

/// Why the token did not answer as asked.
#[derive(Debug, thiserror::Error)]
pub enum HsmFault {
    /// The worker process could not be started.
    #[error("the HSM worker {} could not be started: {source}", program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The worker ended or sent something else than an answer; the next call starts it again.
    #[error("the HSM worker died during the call; try again")]
    WorkerDied,
    /// The worker did not answer in time and was killed; the next call starts it again.
    #[error("the HSM did not answer within {0:?}; check its connection")]
    Deadline(Duration),
    /// The library could not be loaded.
    #[error("the PKCS#11 library could not be loaded: {0}")]
    Library(String),
    /// Another token is plugged in, or none.
    #[error("no token with serial number {expected:?}; present: {present:?}")]
    WrongToken {
        /// What the settings name.
        expected: String,
        /// What is there.
        present: Vec<String>,
    },
    /// The PIN is wrong. It is not tried again until new settings are given.
    #[error("the token refused the PIN; it is not tried again: correct the PIN first")]
    PinRefused,
    /// The token has locked its user PIN, or the next wrong one would lock it.
    #[error("the token's PIN is locked or one try from it: reset it with the security officer PIN")]
    PinLocked,
    /// The key of this slot is gone from the token.
    #[error("the token does not hold the key of this slot")]
    NoSuchKey,
    /// The token or its library refused.
    #[error("the token refused: {0}")]
    Refused(String),
    /// No initialisation vector could be drawn.
    #[error(transparent)]
    Provider(#[from] ProviderFault),
}

/// A token behind a worker process. Cheap to share in an `Arc`; calls go one after the other.
pub struct Hsm {
    settings: HsmSettings,
    link: Mutex<Link>,
}

struct Link {
    worker: Option<Worker>,
    pin_refused: bool,
}

impl fmt::Debug for Hsm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hsm")
            .field("token_serial", &self.settings.token_serial)
            .finish()
    }
}

impl fmt::Debug for HsmSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HsmSettings")
            .field("module", &self.module)
            .field("token_serial", &self.token_serial)
            .finish_non_exhaustive()
    }
}

impl Hsm {
    /// Names a token; nothing is started yet.
    pub fn new(settings: HsmSettings) -> Self {
        Self {
            settings,
            link: Mutex::new(Link {
                worker: None,
                pin_refused: false,
            }),
        }
    }

    /// Serial number of the token in the settings.
    pub fn token_serial(&self) -> &str {
        &self.settings.token_serial
    }

    /// Process id of the worker while one runs, for supervision and tests.
    pub fn worker_pid(&self) -> Option<u32> {
        self.link
            .lock()
            .worker
            .as_ref()
            .map(|worker| worker.child.id())
    }

    /// Makes a non-extractable AES-256 key in the token.
    pub(crate) fn make_key(&self, id: TokenKeyId, label: String) -> Result<(), HsmFault> {
        self.call(&Request::MakeKey { id, label }).map(drop)
    }

    /// Destroys a key in the token.
    pub(crate) fn destroy_key(&self, id: TokenKeyId) -> Result<(), HsmFault> {
        self.call(&Request::DestroyKey { id }).map(drop)
    }

    /// AES-256-GCM under a key of the token; gives the vector and `ciphertext ‖ tag`. GCM with
    /// `C_Encrypt` is what every token computes alike; the key wrap mechanisms differ by vendor.
    pub(crate) fn encrypt(
        &self,
        key: TokenKeyId,
        aad: Vec<u8>,
        plain: &Secret,
    ) -> Result<([u8; 12], Vec<u8>), HsmFault> {
        let iv = provider::random_array()?;
        let crypt = Crypt {
            key,
            iv,
            aad,
            text: plain.expose().to_vec(),
        };
        Ok((iv, self.call(&Request::Encrypt(crypt))?))
    }

    /// The inverse of [`Hsm::encrypt`].
    pub(crate) fn decrypt(
        &self,
        key: TokenKeyId,
        iv: [u8; 12],
        aad: Vec<u8>,
        text: Vec<u8>,
    ) -> Result<Secret, HsmFault> {
        self.call(&Request::Decrypt(Crypt { key, iv, aad, text }))
            .map(Secret::take)
    }

    /// One request and its answer. A call that fails in transport leaves no worker behind; it is
    /// not repeated here, because only the caller knows whether that is safe.
    fn call(&self, request: &Request) -> Result<Vec<u8>, HsmFault> {
        let mut link = self.link.lock();
        if link.pin_refused {
            return Err(HsmFault::PinRefused);
        }
        let mut worker = match link.worker.take().and_then(Worker::if_running) {
            Some(worker) => worker,
            None => self.start(&mut link)?,
        };
        let answer = worker.exchange(request, self.settings.answer_time_max);
        if !matches!(answer, Err(HsmFault::WorkerDied | HsmFault::Deadline(_))) {
            link.worker = Some(worker);
        }
        match answer? {
            Response::Done => Ok(Vec::new()),
            Response::Text(text) => Ok(text),
            Response::Failed(failure) => Err(self.fault_of(failure)),
        }
    }

    /// Starts a worker and logs in: the one try of this start.
    fn start(&self, link: &mut Link) -> Result<Worker, HsmFault> {
        let command = &self.settings.worker;
        let mut worker = Worker::spawn(command).map_err(|source| HsmFault::Start {
            program: command.program.clone(),
            source,
        })?;
        let open = Request::Open {
            module: self.settings.module.display().to_string(),
            serial: self.settings.token_serial.clone(),
            pin: self.settings.pin.expose().to_vec(),
        };
        match worker.exchange(&open, self.settings.answer_time_max)? {
            Response::Failed(failure) => {
                let fault = self.fault_of(failure);
                link.pin_refused = matches!(fault, HsmFault::PinRefused);
                Err(fault)
            }
            Response::Done | Response::Text(_) => Ok(worker),
        }
    }

    fn fault_of(&self, failure: WorkerFailure) -> HsmFault {
        match failure {
            WorkerFailure::Library { detail } => HsmFault::Library(detail),
            WorkerFailure::NoSuchToken { present } => HsmFault::WrongToken {
                expected: self.settings.token_serial.clone(),
                present,
            },
            WorkerFailure::PinRefused | WorkerFailure::AlreadyTried => HsmFault::PinRefused,
            WorkerFailure::PinLocked | WorkerFailure::PinFinalTry => HsmFault::PinLocked,
            WorkerFailure::NotOpen => HsmFault::WorkerDied,
            WorkerFailure::NoSuchKey => HsmFault::NoSuchKey,
            WorkerFailure::Mechanism { detail } | WorkerFailure::Token { detail } => {
                HsmFault::Refused(detail)
            }
        }
    }
}

/// A running worker process. Dropping it kills the process: it holds nothing worth saving.
struct Worker {
    child: Child,
    requests: ChildStdin,
    answers: Receiver<Response>,
}

impl Worker {
    fn spawn(command: &WorkerCommand) -> io::Result<Self> {
        let mut child = Command::new(&command.program)
            .args(&command.arguments)
            .env_clear()
            .envs(
                command
                    .environment
                    .iter()
                    .map(|(name, value)| (name, value)),
            )
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Vendor libraries print to it, and nobody has checked what.
            .stderr(Stdio::null())
            .spawn()?;
        let pipes = child.stdin.take().zip(child.stdout.take());
        let (requests, mut output) = pipes.ok_or_else(|| io::Error::other("no pipes"))?;
        // One answer per request, so one place; the thread ends when the worker or the node does.
        let (sender, answers) = sync_channel(1);
        thread::Builder::new()
            .name("hsm-answers".into())
            .spawn(move || {
                while let Ok(Some(answer)) = receive(&mut output) {
                    if sender.send(answer).is_err() {
                        break;
                    }
                }
            })?;
        Ok(Self {
            child,
            requests,
            answers,
        })
    }

    fn exchange(&mut self, request: &Request, deadline: Duration) -> Result<Response, HsmFault> {
        send(&mut self.requests, request).map_err(|_| HsmFault::WorkerDied)?;
        self.answers.recv_timeout(deadline).map_err(|e| match e {
            RecvTimeoutError::Timeout => HsmFault::Deadline(deadline),
            RecvTimeoutError::Disconnected => HsmFault::WorkerDied,
        })
    }

    fn if_running(mut self) -> Option<Self> {
        matches!(self.child.try_wait(), Ok(None)).then_some(self)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Both fail only when the process is already gone, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
