//! An OpenSSH server of the test's own, on loopback, and what a stranger does with the closed logs
//! that arrive there.

use anyhow::{Context, Result, ensure};
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Where Debian has it; it wants to be started by its whole name.
const SSHD: &str = "/usr/sbin/sshd";

/// What a server can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// With the SFTP subsystem.
    Sftp,
    /// No SFTP subsystem; the program scp is there.
    Scp,
}

/// A running server. Dropping it ends it.
#[derive(Debug)]
pub struct Sshd {
    folder: TempDir,
    port: u16,
    child: Option<Child>,
    has_accounts: bool,
}

/// The account that signs in with a password.
const ACCOUNT: &str = "logs-by-password";

/// A small file system over the inbox. Dropping it takes it away.
#[derive(Debug)]
pub struct Small(PathBuf);

impl Sshd {
    /// Starts one into which nobody is let yet.
    pub fn start(kind: Kind) -> Result<Self> {
        let mut server = Self::new(kind, "PasswordAuthentication no\n")?;
        server.restart()?;
        Ok(server)
    }

    /// One with an account that has a password. The account is in files of the test's own, which
    /// stand in the place of those of the machine for this server alone.
    pub fn with_password(password: &str) -> Result<Self> {
        let mut server = Self::new(Kind::Sftp, "PasswordAuthentication yes\n")?;
        server.has_accounts = true;
        let home = server.folder.path().display().to_string();
        let id = fs::metadata(&home)?;
        let (user, group) = (id.uid(), id.gid());
        let known = fs::read_to_string("/etc/passwd")?;
        let own = format!("{ACCOUNT}:x:{user}:{group}::{home}:/bin/sh\n");
        fs::write(server.path("passwd"), known + &own)?;
        server.set_password(password)?;
        server.restart()?;
        Ok(server)
    }

    /// From now on that account has this password.
    pub fn set_password(&self, password: &str) -> Result<()> {
        let made = Command::new("openssl")
            .args(["passwd", "-6", password])
            .output()?;
        let hash = String::from_utf8(made.stdout)?;
        let known = fs::read_to_string("/etc/shadow").context("this needs root")?;
        let own = format!("{ACCOUNT}:{}:20000:0:99999:7:::\n", hash.trim());
        // In place: a mounted file stays the same file.
        Ok(fs::write(self.path("shadow"), known + &own)?)
    }

    /// That account and where it is.
    pub fn account_with_password(&self) -> String {
        format!("{ACCOUNT}@{}", self.address())
    }

    fn new(kind: Kind, ways_in: &str) -> Result<Self> {
        let folder = TempDir::with_prefix("sshd-")?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let server = Self {
            folder,
            port,
            child: None,
            has_accounts: false,
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
             StrictModes no\nUsePAM no\nPermitRootLogin yes\n{ways_in}\
             KbdInteractiveAuthentication no\n{subsystem}",
            path("host"),
            path("pid"),
            path("authorized")
        );
        fs::write(server.path("config"), config)?;
        Ok(server)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Where closed logs arrive.
    pub fn inbox(&self) -> PathBuf {
        self.path("inbox")
    }

    /// Where it listens.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The account of whoever runs the test.
    pub fn account_at(&self, address: &str) -> String {
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
    pub fn fingerprint(&self) -> Result<String> {
        let shown = Command::new("ssh-keygen")
            .args(["-l", "-f"])
            .arg(self.path("host.pub"))
            .output()?;
        let shown = String::from_utf8(shown.stdout)?;
        Ok(shown.split(' ').nth(1).context("a fingerprint")?.to_owned())
    }

    /// The file of the keys that may sign in.
    pub fn authorized(&self) -> PathBuf {
        self.path("authorized")
    }

    /// Only this key may sign in.
    pub fn let_in(&self, line: &str) -> Result<()> {
        Ok(fs::write(self.authorized(), format!("{line}\n"))?)
    }

    /// Has another host key from now on.
    pub fn change_host_key(&mut self) -> Result<()> {
        fs::remove_file(self.path("host"))?;
        fs::remove_file(self.path("host.pub"))?;
        self.make_host_key()?;
        self.restart()
    }

    /// Ends it; connections that are open go on.
    pub fn stop(&mut self) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// The program, which has accounts of its own if there are some.
    fn command(&self) -> Command {
        if !self.has_accounts {
            return Command::new(SSHD);
        }
        let (passwd, shadow) = (self.path("passwd"), self.path("shadow"));
        let script = format!(
            "mount --bind '{}' /etc/passwd && mount --bind '{}' /etc/shadow && exec {SSHD} \"$@\"",
            passwd.display(),
            shadow.display()
        );
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", &script, "sshd"]);
        command
    }

    /// Starts it, after it was ended if it runs.
    pub fn restart(&mut self) -> Result<()> {
        self.stop()?;
        // Where it separates its privileges, when root runs it.
        drop(fs::create_dir_all("/run/sshd"));
        let log = fs::File::create(self.path("log"))?;
        let child = self
            .command()
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
    pub fn partial(&self) -> Result<Option<u64>> {
        for entry in fs::read_dir(self.inbox())? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().ends_with(".part") {
                return Ok(Some(entry.metadata()?.len()));
            }
        }
        Ok(None)
    }

    /// Puts a file system over the inbox on which no closed log fits.
    pub fn mount_small(&self) -> Result<Small> {
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

    /// Room for everything.
    pub fn enlarge(&self) -> Result<()> {
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

/// Verifies a closed log with what it holds, stock tools, and a trusted `allowed_signers`.
pub fn stranger_accepts(archive: &Path, trusted: &str) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let unpacked = Command::new("tar")
        .arg("-xf")
        .arg(archive)
        .arg("-C")
        .arg(folder.path())
        .status()?;
    ensure!(unpacked.success(), "tar: {unpacked}");
    let bundle = folder.path().join("strongroom-export");
    // What somebody has from the appliance itself, not from the bundle.
    let signers = folder.path().join("trusted");
    fs::write(&signers, trusted)?;
    let principal = trusted.split(' ').next().context("a principal")?;
    let verify = format!(
        "ssh-keygen -Y verify -f ../trusted -I {principal} -n strongroom-log-v1 \
         -s EXPORT.txt.sig < EXPORT.txt && grep '  SHA256SUMS$' EXPORT.txt | \
         sha256sum --check --strict && sha256sum --check --strict --quiet SHA256SUMS"
    );
    let output = Command::new("env")
        .args(["-i", "PATH=/usr/bin:/bin", "sh", "-c", &verify])
        .current_dir(&bundle)
        .output()?;
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "{}: {told}", archive.display());
    Ok(())
}
