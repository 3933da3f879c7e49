//! The law of Strongroom: what may happen to a key, to a user and to a setting.
//!
//! Everything here is a value or a pure function. [`decide`] looks at a [`State`] and a [`Command`]
//! and says which [`Event`]s follow; [`State::evolve`] turns a recorded event into the next state;
//! [`permit`] answers whether something may be read. Time, randomness, identifiers and the
//! commitments to key material come in as inputs: this crate opens nothing, asks no clock and never
//! sees a key byte. Read `command` and `event` first, then `lifecycle` and `attribute`.
#![no_std]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

extern crate alloc;

mod administrator;
pub mod algorithm;
pub mod attribute;
pub mod codec;
mod command;
mod decide;
mod denial;
mod event;
mod ids;
pub mod lifecycle;
mod machine;
mod member;
mod object;
mod offline;
mod packed;
mod permission;
pub mod setting;
pub mod state;
mod transfer;
mod value;
mod view;

pub use administrator::{Administrator, SSH_KEY_BYTES_MAX, SSH_KEYS_MAX, check_ssh_key};
pub use administrator::{PERMISSIONS, PRESETS, Permission, PermissionRow, Permissions, Preset};
pub use administrator::{Right, permit_operator, permit_sign_in};
pub use algorithm::approved_algorithms;
pub use attribute::{ATTRIBUTES, AttributeRule, tag};
pub use command::{
    Actor, Ask, Command, Door, Facts, GroupRole, Instance, KeyPolicy, Material, Membership, Read,
};
pub use decide::{Needs, SCHEDULED_PER_COMMAND_MAX, admit, decide};
pub use denial::Denial;
pub use event::{Access, AccessRecord, Cause, Event, RECORD_BYTES_MAX, Record};
pub use ids::{ClusterId, Epoch, Fingerprint, Hash, InvalidName, Name, NodeId, Time, Uid};
pub use lifecycle::LifecycleState;
pub use machine::DoorIdentity;
pub use member::{Candidate, DOORS_FORMAT, FIRST_FORMAT, FORMAT, MemberPhase, MemberRole};
pub use member::{SEALING_KEY_BYTES_MAX, check_address};
pub use object::Object;
pub use offline::{OfflineGet, Stale, permit_offline};
pub use packed::AttributeInstance;
pub use permission::{authenticate, may_see, permit};
pub use setting::{Setting, SettingValue};
pub use state::{State, User};
pub use transfer::{
    CLOSED_WAITING_MAX, DESTINATIONS_MAX, Destination, LogHead, RotationCause, Stream,
    TransferFailure, TransferOutcome, WayIn, transfer_detail,
};
pub use value::{Attribute, AttributeName, ObjectType, Tag, Value};
pub use view::{View, access_summary, summary};
