//! An appliance without a machine: the process that serves, as PID 1 would start it, in folders of
//! its own.

use crate::node::strongroom;
use anyhow::{Context, Result};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};

/// Password of its administrator.
pub const PASSWORD: &str = "correct horse battery";
/// A passphrase of its slots.
pub const PASSPHRASE: &str = "a passphrase for this box";

/// An appliance without a machine: a folder, and the process that serves it.
#[derive(Debug)]
pub struct Standalone {
    dir: tempfile::TempDir,
    /// Where clients reach it.
    pub kmip: SocketAddr,
    /// Where its web door is, and where other nodes reach it.
    pub web: SocketAddr,
    pub status: SocketAddr,
    pub cluster: SocketAddr,
    /// Where its SSH door is.
    pub ssh: SocketAddr,
    serve: Option<Child>,
    ssh_door: Option<Child>,
}

impl Drop for Standalone {
    fn drop(&mut self) {
        for mut child in self.serve.take().into_iter().chain(self.ssh_door.take()) {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

fn free_port() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// A free one of those that not everybody may have, as SSH has; one of the others for a user who
/// may not.
fn free_low_port() -> Result<SocketAddr> {
    /// Nobody else takes them in between, but for the tests beside this one.
    static NEXT: AtomicU16 = AtomicU16::new(600);
    let low = std::iter::from_fn(|| Some(NEXT.fetch_add(1, Ordering::Relaxed)));
    let low = low.take_while(|port| *port < 1024);
    let addresses = low.map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
    let free = addresses
        .filter_map(|address| TcpListener::bind(address).ok())
        .next();
    free.map_or_else(free_port, |listener| Ok(listener.local_addr()?))
}

/// Answers every question as PID 1 would answer one about the state of the machine.
fn answer_for_pid_1(socket: UnixListener) {
    std::thread::spawn(move || {
        for stream in socket.incoming() {
            let mut stream = stream.unwrap();
            let mut question = String::new();
            BufReader::new(&stream).read_line(&mut question).unwrap();
            // Who asked may be gone.
            drop(stream.write_all(b"{\"lockdown\":\"a word of PID 1\"}\n"));
        }
    });
}

impl Standalone {
    /// Folders and ports; nothing runs yet.
    pub fn new() -> Result<Self> {
        let dir = tempfile::tempdir()?;
        // Those that PID 1 makes.
        for folder in ["data", "settings", "sockets"] {
            fs::create_dir(dir.path().join(folder))?;
        }
        answer_for_pid_1(UnixListener::bind(dir.path().join("init.sock"))?);
        Ok(Self {
            dir,
            kmip: free_port()?,
            web: free_port()?,
            status: free_port()?,
            cluster: free_port()?,
            ssh: free_low_port()?,
            serve: None,
            ssh_door: None,
        })
    }

    /// A path of its folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Has it serve, with a set-up file or without.
    pub fn start(&mut self, setup: Option<&str>) -> Result<()> {
        let mut serve = Command::new(strongroom()?);
        serve.arg("serve").arg("--dir").arg(self.path("data"));
        serve.arg("--sockets").arg(self.path("sockets"));
        serve.arg("--console-uid").arg("901");
        serve.arg("--ssh-uid").arg("904");
        serve.arg("--init").arg(self.path("init.sock"));
        serve
            .arg("--network")
            .arg(self.path("settings/network.json"));
        if let Some(text) = setup {
            fs::write(self.path("setup"), text)?;
            serve.arg("--setup").arg(self.path("setup"));
        }
        self.serve = Some(serve.stdin(Stdio::null()).stderr(self.log()?).spawn()?);
        Ok(())
    }

    /// Has its SSH door run, which is a process of its own.
    pub fn start_ssh(&mut self) -> Result<()> {
        let mut door = Command::new(strongroom()?);
        door.arg("ssh").arg("--sockets").arg(self.path("sockets"));
        door.arg("--init").arg(self.path("init.sock"));
        self.ssh_door = Some(door.stdin(Stdio::null()).stderr(self.log()?).spawn()?);
        Ok(())
    }

    fn log(&self) -> Result<File> {
        let mut options = File::options();
        Ok(options.create(true).append(true).open(self.path("said"))?)
    }

    /// What it wrote to its log.
    pub fn said(&self) -> String {
        fs::read_to_string(self.path("said")).unwrap_or_default()
    }

    /// Waits until it ends by itself.
    pub fn wait(&mut self) -> Result<ExitStatus> {
        let mut serve = self.serve.take().context("it runs")?;
        Ok(serve.wait()?)
    }

    /// Ends it as a power cut does.
    pub fn kill(&mut self) -> Result<()> {
        let mut serve = self.serve.take().context("it runs")?;
        serve.kill()?;
        serve.wait()?;
        Ok(())
    }

    /// The addresses, as lines of a set-up file.
    pub fn addresses(&self) -> String {
        format!(
            "kmip.listen = {}\nweb.listen = {}\nstatus.listen = {}\ncluster.listen = {}\n\
             ssh.listen = {}\n",
            self.kmip, self.web, self.status, self.cluster, self.ssh
        )
    }
}
