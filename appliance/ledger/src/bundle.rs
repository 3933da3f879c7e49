//! The export bundle: a log as files that anybody can check offline with stock tools.
//!
//! ```text
//! <log>/<first record, 12 digits>.jsonl   lines {"n":…,"record":"<base64>","event":{…}}
//! <log>/checkpoint                        C2SP signed note over size and root of the log
//! keys.json                               log keys: node, name, and for which sizes each is valid
//! allowed_signers                         who may sign exports, for ssh-keygen
//! VERIFY.md                               the shell commands, one line each
//! SHA256SUMS                              digest of every file above
//! EXPORT.txt                              origin, size, root and range of each log; time; digest
//!                                         of SHA256SUMS
//! EXPORT.txt.sig                          SSHSIG over EXPORT.txt, namespace strongroom-log-v1
//! ```
//!
//! `SHA256SUMS` lists every file but itself, `EXPORT.txt` and `EXPORT.txt.sig`: the statement holds
//! its digest, and the signature holds the statement, so the three bind all others.
//! As a `.tar`, the same files are under the folder `strongroom-export/`.
//!
//! A *closed log* is a bundle of one view over a range of one log: in its statement the log has a
//! `View` and the root `Previous` to the range, and `<log>/frontier` holds the tree before it. What
//! belongs to other views stands as lines `{"n":…,"others":…,"root":"…"}` (see `bundle/closed.rs`).
//!
//! `record` is the truth: the tree is computed over its bytes. `event` is the same for people, and
//! a verifier that knows how to render compares it.

mod closed;
mod files;
mod finding;
mod format;
mod sink;
mod sshsig;
mod state;
mod tar;
#[cfg(test)]
mod tests;
mod verify;
mod write;

pub use finding::{Finding, FindingKind};
pub use format::{LogKey, NAMESPACE, STATUS_NAMESPACE, SizeRange, verify_commands};
pub use sshsig::{ExportSigner, allowed_signers, openssh_text as openssh_public_key, sign_status};
pub use state::{LogState, StateError, VerifierState};
pub use verify::{
    Inspect, LogReport, RenderNamed, Report, Trust, VerifyOptions, verify_bundle, verify_tar_bytes,
};
pub use write::{
    BundleFormat, BundleSource, ExportError, LogSource, Render, ViewRange, Written, write_bundle,
};
