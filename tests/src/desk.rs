//! The machine of an administrator: the stock client of OpenSSH, with a key and known hosts of its
//! own.

use anyhow::{Context, Result, ensure};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

/// The machine of an administrator.
#[derive(Debug)]
pub struct Desk {
    folder: TempDir,
    port: u16,
}

impl Desk {
    /// A desk with a key of its own, and the port at which SSH is reached.
    pub fn new(port: u16) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let desk = Self { folder, port };
        let made = Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-C", "jane@desk", "-f"])
            .arg(desk.key())
            .status()
            .context("ssh-keygen (Debian: apt-get install openssh-client)")?;
        ensure!(made.success(), "ssh-keygen: {made}");
        // OpenSSH has a program ask for passwords.
        let ask = desk.path("ask");
        fs::write(
            &ask,
            format!("#!/bin/sh\ncat {}\n", desk.path("typed").display()),
        )?;
        fs::set_permissions(&ask, fs::Permissions::from_mode(0o700))?;
        Ok(desk)
    }

    /// The same desk, when the port is another one.
    pub fn moved_to(self, port: u16) -> Self {
        Self { port, ..self }
    }

    /// A path of its folder; `known` has the hosts that it knows.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The private key; the public one is beside it.
    pub fn key(&self) -> PathBuf {
        self.path("key")
    }

    /// The client, with a password that it is given when it asks.
    pub fn by_password(&self, program: &str, password: &str) -> Result<Command> {
        fs::write(self.path("typed"), password)?;
        let mut command = self.client(program);
        command
            .args([
                "-o",
                "PubkeyAuthentication=no",
                "-o",
                "NumberOfPasswordPrompts=1",
            ])
            .env("SSH_ASKPASS", self.path("ask"))
            .env("SSH_ASKPASS_REQUIRE", "force");
        Ok(command)
    }

    /// The client, with the key of this desk.
    pub fn by_key(&self, program: &str) -> Command {
        let mut command = self.client(program);
        command.args(["-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-i"]);
        command.arg(self.key());
        command
    }

    fn client(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let known = format!("UserKnownHostsFile={}", self.path("known").display());
        command
            .args([
                "-F",
                "/dev/null",
                "-o",
                "StrictHostKeyChecking=accept-new",
                "-o",
                &known,
            ])
            .args(["-o", "LogLevel=ERROR", "-o", &format!("Port={}", self.port)])
            .env_remove("SSH_AUTH_SOCK");
        command
    }

    /// Has one line carried out.
    pub fn line(&self, line: &str) -> Result<Output> {
        let mut ssh = self.by_key("ssh");
        Ok(ssh
            .args(["admin@127.0.0.1", line])
            .stdin(Stdio::null())
            .output()?)
    }
}
