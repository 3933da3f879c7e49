//! An OpenSSH server of the test's own, on loopback.

use anyhow::{Context, Result, ensure};
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Where Debian has it; it wants to be started by its whole name.
const SSHD: &str = "/usr/sbin/sshd";

/// What a server can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Sftp,
    /// No SFTP subsystem; the program scp is there.
    Scp,
}

/// A running server. Dropping it ends it.
pub(crate) struct Sshd {
    folder: TempDir,
    port: u16,
    child: Option<Child>,
}

/// A small file system over the inbox. Dropping it takes it away.
pub(crate) struct Small(PathBuf);

impl Sshd {
    pub(crate) fn start(kind: Kind) -> Result<Self> {
        let folder = TempDir::with_prefix("sshd-")?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut server = Self {
            folder,
            port,
            child: None,
        };
        fs::create_dir(server.inbox())?;
        server.let_in("")?;
        server.make_host_key()?;
        let subsystem = match kind {
            Kind::Sftp => "Subsystem sftp internal-sftp\n",
            Kind::Scp => "",
        };
        let path = |name: &str| server.path(name).display().to_string();
        let config = format!(
            "ListenAddress 127.0.0.1:{port}\nHostKey {}\nPidFile {}\nAuthorizedKeysFile {}\n\
             StrictModes no\nUsePAM no\nPermitRootLogin yes\nPasswordAuthentication no\n\
             KbdInteractiveAuthentication no\n{subsystem}",
            path("host"),
            path("pid"),
            path("authorized")
        );
        fs::write(server.path("config"), config)?;
        server.restart()?;
        Ok(server)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Where closed logs arrive.
    pub(crate) fn inbox(&self) -> PathBuf {
        self.path("inbox")
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The account of whoever runs the test.
    pub(crate) fn account_at(&self, address: &str) -> String {
        let user = Command::new("id").arg("-un").output();
        let user = user.expect("id is everywhere").stdout;
        format!("{}@{address}", String::from_utf8_lossy(&user).trim())
    }

    fn make_host_key(&self) -> Result<()> {
        let made = Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-f"])
            .arg(self.path("host"))
            .status()?;
        ensure!(made.success(), "ssh-keygen: {made}");
        Ok(())
    }

    /// As `ssh-keygen -l` shows it.
    pub(crate) fn fingerprint(&self) -> Result<String> {
        let shown = Command::new("ssh-keygen")
            .args(["-l", "-f"])
            .arg(self.path("host.pub"))
            .output()?;
        let shown = String::from_utf8(shown.stdout)?;
        Ok(shown.split(' ').nth(1).context("a fingerprint")?.to_owned())
    }

    /// Only this key may sign in.
    pub(crate) fn let_in(&self, line: &str) -> Result<()> {
        Ok(fs::write(self.path("authorized"), format!("{line}\n"))?)
    }

    pub(crate) fn change_host_key(&mut self) -> Result<()> {
        fs::remove_file(self.path("host"))?;
        fs::remove_file(self.path("host.pub"))?;
        self.make_host_key()?;
        self.restart()
    }

    pub(crate) fn stop(&mut self) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    pub(crate) fn restart(&mut self) -> Result<()> {
        self.stop()?;
        // Where it separates its privileges, when root runs it.
        drop(fs::create_dir_all("/run/sshd"));
        let log = fs::File::create(self.path("log"))?;
        let child = Command::new(SSHD)
            .args(["-D", "-e", "-f"])
            .arg(self.path("config"))
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .context("sshd (Debian: apt-get install openssh-server)")?;
        self.child = Some(child);
        let deadline = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(self.address()).is_err() {
            let said = fs::read_to_string(self.path("log"))?;
            ensure!(Instant::now() < deadline, "sshd does not listen: {said}");
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Length of an unfinished file, if there is one.
    pub(crate) fn partial(&self) -> Result<Option<u64>> {
        for entry in fs::read_dir(self.inbox())? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().ends_with(".part") {
                return Ok(Some(entry.metadata()?.len()));
            }
        }
        Ok(None)
    }

    /// Puts a file system over the inbox on which no closed log fits.
    pub(crate) fn mount_small(&self) -> Result<Small> {
        let small = Small(self.inbox());
        small.mount("size=8k")?;
        Ok(small)
    }
}

impl Small {
    fn mount(&self, options: &str) -> Result<()> {
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "tmpfs"])
            .arg(&self.0)
            .status()?;
        ensure!(mounted.success(), "mounting needs root: {mounted}");
        Ok(())
    }

    pub(crate) fn enlarge(&self) -> Result<()> {
        self.mount("remount,size=64m")
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        unmount(&self.0);
    }
}

fn unmount(folder: &Path) {
    drop(Command::new("umount").arg("-l").arg(folder).status());
}

impl Drop for Sshd {
    fn drop(&mut self) {
        drop(self.stop());
    }
}
