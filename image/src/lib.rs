//! Turns a profile into the artifacts of one image.
//!
//! Read `build.rs` first: it is the list of steps, from Debian packages to a signed disk. Nothing
//! here runs a program that goes into the image, and nothing needs root or a loop device.
//! Two builds from the same commit, lock and keys give the same bytes.

pub mod archive;
pub mod bill;
mod build;
pub mod cpio;
pub mod disk;
pub mod esp;
mod fault;
mod hash;
pub mod installer;
pub mod kernel;
pub mod keys;
pub mod libraries;
pub mod manifest;
pub mod profile;
pub mod programs;
pub mod report;
pub mod root;
mod tool;
pub mod tree;
pub mod uki;
pub mod verity;

pub use build::{Built, Options, build};
pub use fault::Fault;
pub use hash::of_file as sha256_of_file;
