//! Why a rule said no. A denial is audited like a success and answered, it is never a fault.

use crate::{AttributeName, Epoch, LifecycleState, NodeId, OfflineGet, Permission};
use alloc::string::String;
use core::fmt;
use serde::{Deserialize, Serialize};

/// A rule said no.
///
/// *Warning:* stored in the ledger.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Denial {
    /// No such object, or none that this actor may know of: the two are told apart only in the log
    /// (ABUSE A8).
    NotFound {
        /// True when the object exists and the actor has no right to it.
        forbidden: bool,
    },
    /// The actor sees the object but may not do this to it.
    NotPermitted,
    /// The actor is no user of this appliance.
    UnknownUser,
    /// The certificate was not issued here, was revoked or has expired.
    CertificateNotAccepted,
    /// The object is in a state in which this cannot be done.
    WrongState {
        /// The state it is in.
        state: LifecycleState,
    },
    /// The object was destroyed.
    Destroyed,
    /// Something of that name, or that very thing, is there already.
    AlreadyExists {
        /// What exists: `name`, `attribute`, `unique identifier`, `certificate`, `slot`,
        /// `log key`, `cluster`, `node key`, `ticket`, `KEK`.
        what: String,
    },
    /// The attribute is not one that clients may set, change or delete (now).
    AttributeReadOnly {
        /// Which.
        name: AttributeName,
    },
    /// The object has no such attribute instance.
    AttributeNotFound {
        /// Which.
        name: AttributeName,
    },
    /// A second instance of a single-instance attribute.
    AttributeSingleInstance {
        /// Which.
        name: AttributeName,
    },
    /// Set Attribute on an attribute that may have several instances (KMIP 2.1 §6.1.54).
    AttributeMultiInstance {
        /// Which.
        name: AttributeName,
    },
    /// No attribute of that tag is known here.
    AttributeUnknown {
        /// Which.
        name: AttributeName,
    },
    /// A required attribute is missing.
    AttributeMissing {
        /// Which.
        name: AttributeName,
    },
    /// A value has the wrong type or lies outside what is allowed.
    InvalidField {
        /// What was wrong, with what.
        reason: String,
    },
    /// The object is Sensitive: its material leaves only wrapped (KMIP 1.4 §3.48).
    Sensitive,
    /// The object is not Extractable: its material never leaves (KMIP 1.4 §3.50).
    NotExtractable,
    /// Quantum Safe was asked for, and the algorithm and length asked for are not.
    NotQuantumSafe,
    /// Approved-algorithms mode is on, and this is not approved.
    NotApproved {
        /// What is not: an algorithm, with its length where that matters.
        what: String,
    },
    /// A site limit is reached.
    LimitReached {
        /// Which limit, with its value.
        limit: String,
    },
    /// Sealed under an epoch that is no longer current; the node seals again and retries.
    StaleEpoch {
        /// The current one.
        current: Epoch,
    },
    /// Asked out of order (epoch, slot and membership commands).
    OutOfOrder {
        /// What was expected.
        reason: String,
    },
    /// Two members differ where they must agree; nothing changes until an operator has looked.
    Diverged,
    /// Some member's program does not understand what was asked.
    NeedsNewerMembers {
        /// Format that was needed.
        needs: u32,
        /// The member with the oldest program.
        node: NodeId,
        /// Format that it understands.
        has: u32,
    },
    /// The program is older than what the cluster already uses.
    Downgrade {
        /// Newest format that the program understands.
        format: u32,
        /// Format that the cluster uses.
        needs: u32,
    },
    /// The node has heard from no quorum for too long to serve this.
    TooStale {
        /// Seconds since the last word of a quorum.
        age_seconds: u64,
        /// For how long it may be served.
        limit: OfflineGet,
    },
    /// The administrator may not do this.
    PermissionMissing {
        /// The first permission that is missing.
        permission: Permission,
    },
    /// The administrator does nothing but change the password.
    PasswordMustChange,
    /// There is no such administrator.
    UnknownAdministrator,
    /// Nobody would be left who can sign in at the serial console and has high access.
    LastAdministrator,
    /// Name and password do not belong together.
    SignInWrong,
    /// Too many tries with a wrong password.
    SignInPaused {
        /// Seconds until the next one counts.
        seconds: u64,
        /// True when this is a lock, not the pause that grows with each wrong try.
        locked: bool,
    },
}

impl core::error::Error for Denial {}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound { .. } => f.write_str("no object with that unique identifier"),
            Self::NotPermitted => f.write_str("not permitted"),
            Self::UnknownUser => f.write_str("there is no such user of this appliance"),
            Self::CertificateNotAccepted => {
                f.write_str("the client certificate is not accepted (revoked or not issued here)")
            }
            Self::WrongState { state } => write!(f, "the object is {state}"),
            Self::Destroyed => f.write_str("the object is destroyed"),
            Self::AlreadyExists { what } => write!(f, "that {what} exists already"),
            Self::AttributeReadOnly { name } => {
                write!(
                    f,
                    "attribute {name} cannot be set, changed or deleted by a client now"
                )
            }
            Self::AttributeNotFound { name } => write!(f, "the object has no attribute {name}"),
            Self::AttributeSingleInstance { name } => {
                write!(
                    f,
                    "attribute {name} has one instance only, and it is there already"
                )
            }
            Self::AttributeMultiInstance { name } => {
                write!(
                    f,
                    "attribute {name} may have several instances and cannot be set as one"
                )
            }
            Self::AttributeUnknown { name } => write!(f, "attribute {name} is not supported"),
            Self::Sensitive => f.write_str("the object is sensitive and leaves only wrapped"),
            Self::NotExtractable => f.write_str("the object is not extractable"),
            Self::NotQuantumSafe => {
                f.write_str("the algorithm and length asked for are not quantum safe")
            }
            Self::NotApproved { what } => {
                write!(
                    f,
                    "approved-algorithms mode is on, and {what} is not approved"
                )
            }
            Self::AttributeMissing { name } => write!(f, "attribute {name} is required"),
            Self::InvalidField { reason } => f.write_str(reason),
            Self::LimitReached { limit } => write!(f, "limit reached: {limit}"),
            Self::StaleEpoch { current } => {
                write!(f, "sealed under an old epoch; {} is current", current.0)
            }
            Self::OutOfOrder { reason } => f.write_str(reason),
            Self::Diverged => f.write_str(
                "members of the cluster disagree about the log; an operator has to resolve it",
            ),
            Self::NeedsNewerMembers { needs, node, has } => write!(
                f,
                "node {} understands format {has} and this needs {needs}; upgrade that node first",
                node.0
            ),
            Self::Downgrade { format, needs } => write!(
                f,
                "this program understands format {format} and the cluster uses {needs}; \
                 start a newer version"
            ),
            Self::TooStale { age_seconds, limit } => write!(
                f,
                "no quorum has answered for {age_seconds} s; without one this is served: {limit}"
            ),
            _ => self.fmt_sign_in(f),
        }
    }
}

impl Denial {
    /// The ones about administrators.
    fn fmt_sign_in(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PermissionMissing { permission } => write!(
                f,
                "this needs the permission {} ({})",
                permission.id(),
                permission.title()
            ),
            Self::PasswordMustChange => {
                f.write_str("the password must be changed first; the command is password")
            }
            Self::UnknownAdministrator => f.write_str("there is no such administrator"),
            Self::LastAdministrator => f.write_str(
                "one administrator with high-access and serial and with a password must be left",
            ),
            Self::SignInWrong => f.write_str("this name and this password do not belong together"),
            Self::SignInPaused { seconds, locked } => {
                let why = if *locked {
                    "this account is locked here"
                } else {
                    "too many wrong passwords"
                };
                write!(f, "{why}; try again in {seconds} s")
            }
            // All others are told by the caller.
            _ => Ok(()),
        }
    }
}
