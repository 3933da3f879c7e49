//! The only room where a key is plaintext.
//!
//! ```text
//! seal slots (passphrase | key file | PKCS#11 token | shares)   slots.rs, hsm/, shares/
//!  └ root key of the cluster
//!     ├ object KEK of each live epoch                            ring.rs
//!     │   └ per object: K = KBKDF(KEK, cluster ‖ uid ‖ form)     seal.rs
//!     │       └ sealed bytes, kept by the sealed store           store.rs
//!     └ config KEK                                               ring.rs
//!         └ named secrets: log key, CA keys, TLS keys            log_key.rs, ca.rs, cluster_ca.rs,
//!                                                                tls.rs, node_identity.rs
//! between members: KEKs and CA keys in an envelope               envelope.rs, vault/transfer.rs
//! ```
//!
//! The slots, the ring and the named secrets live in the *keys folder* (`keys_file`), the sealed
//! bytes in the *data folder* ([`store`]); a copy of either alone yields nothing. Read `vault` for
//! the face, then `seal` for what an object looks like on disk, then `keys_file`.
//!
//! What is deliberately absent: no sockets, no clock (times are arguments), no policy about who may
//! ask, and no way to print, clone, compare or serialise a [`Secret`].
#![warn(missing_docs)]

mod ca;
mod cluster_ca;
mod disk;
mod envelope;
pub mod hsm;
mod keys_file;
mod log_key;
mod member;
mod node_identity;
mod peer_tls;
mod pem;
pub mod provider;
mod ring;
mod seal;
mod secret;
pub mod selftest;
pub mod shares;
mod slots;
mod spki;
pub mod store;
#[cfg(test)]
mod testing;
mod tls;
mod vault;

pub use ca::{
    CaFault, ClientCredential, IssuedCertificate, LocalCa, ServerProfile, SubjectName, Validity,
};
pub use cluster_ca::{ClusterCa, member_dns_name};
pub use disk::erase_files;
pub use envelope::{EnvelopeFault, EnvelopePurpose};
pub use keys_file::{KeysFileFault, KeysWriteFault};
pub use log_key::LogSigner;
pub use member::{MemberCertificate, MemberCertificateFault};
pub use node_identity::NodeIdentity;
pub use peer_tls::{PeerTlsFault, newcomer_tls};
pub use seal::{MATERIAL_BYTES_MAX, OpenFault, SealFault, Sealed, sealed_epoch};
pub use secret::Secret;
pub use slots::{
    Credential, NewSlot, PASSPHRASE_CHARACTERS_MIN, PASSPHRASE_ITERATIONS_MIN, PassphraseCost,
    SLOTS_MAX, SlotFault, SlotId, SlotKind, SlotSummary,
};
pub use spki::{SpkiFault, check_spki};
pub use tls::{DrawnIdentity, TlsFault, passing_identity};
pub use vault::{
    ChangeFault, EpochFault, InitialiseFault, NotRenewed, RetireReport, SECRET_BYTES_MAX,
    SECRETS_MAX, SecretFault, SlotHealth, TransferFault, UnlockFault, Vault,
};
