//! What can go wrong while an image is built, each with what to do about it.

use std::io;
use std::path::{Path, PathBuf};

/// A build that stopped.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The file system said no.
    #[error("cannot {verb} {}: {source}", path.display())]
    File {
        /// What was tried: `read`, `write`, ...
        verb: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A program of the build machine is missing.
    #[error("cannot start `{program}`: {source}; install the Debian package `{package}`")]
    ToolMissing {
        /// The program.
        program: String,
        /// The Debian package that holds it.
        package: &'static str,
        /// Why it did not start.
        source: io::Error,
    },
    /// A program of the build machine failed.
    #[error("`{command}` ended with {status}:\n{errors}")]
    ToolFailed {
        /// The whole command line.
        command: String,
        /// Its exit status.
        status: String,
        /// What it wrote to standard error.
        errors: String,
    },
    /// A data file of this package cannot be understood.
    #[error("{} is not understood: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where and why.
        reason: String,
    },
    /// The profile asks for something that does not fit together.
    #[error("profile `{profile}`: {reason}")]
    Profile {
        /// Name of the profile.
        profile: String,
        /// What does not fit, and what to change.
        reason: String,
    },
    /// A package is not in the lock.
    #[error(
        "image/packages.lock does not name `{package}`; run \
         `cargo xtask image build --update-lock`, look at the change and commit it"
    )]
    NotLocked {
        /// The package.
        package: String,
    },
    /// The archive does not know a package.
    #[error("the archive has no package `{package}`; correct the profile, or run `apt-get update`")]
    Unknown {
        /// The package.
        package: String,
    },
    /// The archive does not have the locked version any more.
    #[error(
        "the archive has no `{package}` {locked} any more (it has {offered}); run \
         `cargo xtask image build --update-lock`, look at the change and commit it"
    )]
    Outdated {
        /// The package.
        package: String,
        /// The version that the lock names.
        locked: String,
        /// Name and version of what the archive has instead.
        offered: String,
    },
    /// A package is not the one that was locked.
    #[error(
        "{} has SHA-256 {found}, but image/packages.lock says {expected}: delete the file to have \
         it fetched again; if it stays so, the archive was changed under its version number",
        path.display()
    )]
    Checksum {
        /// The downloaded file.
        path: PathBuf,
        /// What the lock says, in hex.
        expected: String,
        /// What was found, in hex.
        found: String,
    },
    /// A program needs a library that no package of the profile holds.
    #[error(
        "`{needed_by}` needs the library `{library}`, which no package of the profile holds; \
         add the package (`apt-file search {library}` names it) to the profile"
    )]
    Library {
        /// The library's file name.
        library: String,
        /// Path of the file that needs it.
        needed_by: String,
    },
    /// A file is not an ELF file or PE file that we can read.
    #[error("{file} cannot be read as a program: {reason}")]
    Program {
        /// Name of the file.
        file: String,
        /// Why not.
        reason: String,
    },
    /// Two sources give the same path.
    #[error("/{path} comes from {first} and from {second}; leave one of them out")]
    Twice {
        /// The path in the image, without its leading slash.
        path: String,
        /// Who put it there.
        first: String,
        /// Who wanted to put it there as well.
        second: String,
    },
    /// Something is larger than the place made for it.
    #[error("{what} takes {bytes} bytes, but its place has {limit}; enlarge it in the profile")]
    TooLarge {
        /// The thing.
        what: String,
        /// Its size in bytes.
        bytes: u64,
        /// The room for it in bytes.
        limit: u64,
    },
    /// The keys of Secure Boot are not in order.
    #[error("the folder of keys {}: {reason}", folder.display())]
    Keys {
        /// The folder.
        folder: PathBuf,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// A rule about what may be in an image is broken.
    #[error("/{path} may not be in the image: {reason}")]
    Forbidden {
        /// The path in the image, without its leading slash.
        path: String,
        /// The rule.
        reason: String,
    },
}

/// Turns an I/O error into a fault that says what was tried on which file.
pub(crate) fn file(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Fault {
    let path = path.to_owned();
    move |source| Fault::File { verb, path, source }
}
