//! Programs of the build machine: started with a fixed environment, their errors passed on.

use crate::Fault;
use std::ffi::OsStr;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// A program of the build machine, about to be run.
#[derive(Debug)]
pub(crate) struct Tool {
    command: Command,
    package: &'static str,
}

impl Tool {
    /// `program`, which the Debian package `package` installs.
    pub(crate) fn new(program: &str, package: &'static str) -> Self {
        let mut command = Command::new(program);
        // Nothing in an artifact may hang on where and in which language it was built.
        command.env("LC_ALL", "C").env("TZ", "UTC");
        command.stdin(Stdio::null());
        Self { command, package }
    }

    /// Adds an argument.
    pub(crate) fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    /// Adds arguments.
    pub(crate) fn args<A: AsRef<OsStr>>(mut self, all: impl IntoIterator<Item = A>) -> Self {
        self.command.args(all);
        self
    }

    /// Sets an environment variable.
    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Removes an environment variable.
    pub(crate) fn without_env(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    /// Runs in `folder`.
    pub(crate) fn inside(mut self, folder: &Path) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// Runs the program to its end.
    ///
    /// # Errors
    /// When it is not installed or ends with another status than 0.
    pub(crate) fn run(self) -> Result<(), Fault> {
        self.output().map(drop)
    }

    /// Runs the program to its end and gives its standard output.
    ///
    /// # Errors
    /// Like [`Tool::run`].
    pub(crate) fn output(self) -> Result<String, Fault> {
        self.finish(b"")
    }

    /// Like [`Tool::output`], with `input` as the program's standard input.
    ///
    /// # Errors
    /// Like [`Tool::run`].
    pub(crate) fn output_for(mut self, input: &[u8]) -> Result<String, Fault> {
        self.command.stdin(Stdio::piped());
        self.finish(input)
    }

    fn finish(mut self, input: &[u8]) -> Result<String, Fault> {
        let words = std::iter::once(self.command.get_program()).chain(self.command.get_args());
        let words: Vec<_> = words.map(OsStr::to_string_lossy).collect();
        let line = words.join(" ");
        let missing = |source| Fault::ToolMissing {
            program: line.split(' ').next().unwrap_or_default().to_owned(),
            package: self.package,
            source,
        };
        self.command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.command.spawn().map_err(missing)?;
        let failed = |status: String, errors: String| Fault::ToolFailed {
            command: line.clone(),
            status,
            errors,
        };
        if let Some(mut pipe) = child.stdin.take() {
            // The inputs are short scripts: they fit into the pipe before the program reads.
            let written = pipe.write_all(input);
            written.map_err(|e| failed("its input closed".to_owned(), e.to_string()))?;
        }
        let Output {
            status,
            stdout,
            stderr,
        } = child
            .wait_with_output()
            .map_err(|e| failed("no status".to_owned(), e.to_string()))?;
        if !status.success() {
            let errors = String::from_utf8_lossy(&stderr).trim().to_owned();
            return Err(failed(status.to_string(), errors));
        }
        Ok(String::from_utf8_lossy(&stdout).into_owned())
    }
}
