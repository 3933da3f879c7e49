//! Whole files: written so that a reader sees the old one or the new one, read with a limit.

use nix::time::{ClockId, clock_gettime};
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Replaces a file at once. Nothing is flushed: the folders of this package are in memory.
///
/// # Errors
/// Those of the file system, with the path.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = path.with_file_name(name);
    let written = File::create(&new)
        .and_then(|mut file| file.write_all(bytes))
        .and_then(|()| fs::rename(&new, path));
    written.map_err(|error| named("write", path, &error))
}

/// Reads a file of at most `most` bytes; one byte more is given when it has more, so that a parser
/// with the same limit refuses it. `None` when there is no file.
///
/// # Errors
/// Those of the file system, with the path.
pub fn read(path: &Path, most: usize) -> io::Result<Option<Vec<u8>>> {
    let limit = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    match File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes)) {
        Ok(_) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(named("read", path, &error)),
    }
}

fn named(verb: &str, path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(
        error.kind(),
        format!("cannot {verb} {}: {error}", path.display()),
    )
}

/// A file that somebody else replaces, looked at now and then.
#[derive(Debug)]
pub struct Watched {
    path: PathBuf,
    most: usize,
    last: Option<Option<Vec<u8>>>,
}

impl Watched {
    /// Nothing is read yet.
    #[must_use]
    pub fn new(path: &Path, most: usize) -> Watched {
        Watched {
            path: path.to_owned(),
            most,
            last: None,
        }
    }

    /// What the file holds, if that is something else than at the last look. The contents are
    /// compared, not the times: they are small, and a clock that is set must not hide a change.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn changed(&mut self) -> io::Result<Option<Option<Vec<u8>>>> {
        let now = read(&self.path, self.most)?;
        if self.last.as_ref() == Some(&now) {
            return Ok(None);
        }
        self.last = Some(now.clone());
        Ok(Some(now))
    }
}

/// Time since the machine was switched on, suspensions included: a lease ends while a virtual
/// machine is paused.
///
/// # Panics
/// Never: Linux has had this clock since 2.6.39.
#[must_use]
pub fn since_boot() -> Duration {
    clock_gettime(ClockId::CLOCK_BOOTTIME)
        .map(Duration::from)
        .expect("the kernel counts the time since boot")
}
