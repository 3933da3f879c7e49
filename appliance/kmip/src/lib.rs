//! The wire language: KMIP 1.0 to 1.4, 2.0 and 2.1 in TTLV.
//!
//! A server reads 8 bytes, asks [`ttlv::message_length`] how many follow, and gives the whole to
//! [`Request::decode`]. It answers with a [`Response`], which [`Response::encode`] writes for the
//! version of the request: nothing that a peer of that version does not know is sent. Clients use
//! the two other directions, [`Request::encode`] and [`Response::decode`].
//!
//! No sockets, no clock, no policy: what a request asks for is decided elsewhere. The clauses of
//! the standard are cited as "KMIP 1.4 §x" (Key Management Interoperability Protocol
//! Specification Version 1.4) and "KMIP 2.1 §x".
//!
//! Where to look: a new operation is a pair of structs under `operations/` and one line in
//! `operations.rs`; attributes are the table in `attributes.rs`; what an older client is told in
//! place of a newer result reason is in `failure.rs`.
#![forbid(unsafe_code)]

pub mod attributes;
pub mod enumerations;
pub mod failure;
pub mod message;
pub mod objects;
pub mod operations;
pub mod tags;
pub mod ttlv;
pub mod version;

pub use attributes::{Attribute, AttributeName};
pub use enumerations::{
    CryptographicAlgorithm, KeyFormatType, ObjectType, Operation, ResultReason, ResultStatus, State,
};
pub use failure::{Failure, ItemError};
pub use message::{
    Credential, Request, RequestError, RequestHeader, RequestItem, Response, ResponseItem,
};
pub use objects::{KeyBlock, KeyMaterial, KeyValue, Object, SecretBytes, SecretItems};
pub use operations::{RequestPayload, ResponsePayload};
pub use tags::Tag;
pub use ttlv::{Item, Limits, Malformed, Value};
pub use version::ProtocolVersion;
