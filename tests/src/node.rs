//! One node as its user has it: the program `strongroom dev` in a folder of its own.
//!
//! The program is looked for beside the test executable (`target/<profile>/strongroom`), or where
//! `$STRONGROOM_BIN` says. It is never built from here: a suite without a program fails and says
//! how to build it.

use crate::client::{Client, Identity};
use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long a node may take to say READY. A first start makes a CA and four certificates, on a
/// machine that may be busy with other suites.
pub const READY_WITHIN: Duration = Duration::from_secs(60);
/// How long a node may take to end after SIGTERM (the promise of the command line).
pub const END_WITHIN: Duration = Duration::from_secs(5);
/// Lines of a node's output shown when a suite fails.
const TAIL_LINES: usize = 12;

/// The folder of this build's profile, in which the programs lie: `target/release`.
pub fn profile_folder() -> Result<PathBuf> {
    let test = std::env::current_exe()?;
    let folder = test.parent().context("a program lies in a folder")?;
    // Tests lie one deeper than the programs.
    let profile = if folder.ends_with("deps") {
        folder.parent()
    } else {
        Some(folder)
    };
    Ok(profile
        .context("a test executable lies in a profile's folder")?
        .to_owned())
}

/// The program under test.
pub fn strongroom() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("STRONGROOM_BIN") {
        return Ok(PathBuf::from(path));
    }
    let profile = profile_folder()?;
    let path = profile.join("strongroom");
    let flag = if profile.ends_with("release") {
        " --release"
    } else {
        ""
    };
    ensure!(
        path.exists(),
        "{} is not there; `cargo build{flag} -p server` makes it, or name one in $STRONGROOM_BIN",
        path.display(),
    );
    Ok(path)
}

/// Has cargo build something of this workspace in the profile of this test; `extra` is the rest of
/// the command line. Used for what only tests need: the shim, and a program that lies.
pub fn build(extra: &[&str], target: &Path) -> Result<()> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .arg("build")
        .arg("--quiet")
        .arg("--target-dir")
        .arg(target)
        .args(extra);
    if profile_folder()?.ends_with("release") {
        cargo.arg("--release");
    }
    let output = cargo
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .context("cargo")?;
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{cargo:?}: {told}");
    Ok(())
}

/// A temporary folder in which a node lives, with room beside it for what the test needs.
#[derive(Debug)]
pub struct Site {
    folder: TempDir,
    variables: Vec<(String, String)>,
}

impl Site {
    /// A new, empty site.
    pub fn new() -> Result<Self> {
        Ok(Self {
            folder: TempDir::with_prefix("strongroom-")?,
            variables: Vec::new(),
        })
    }

    /// The node's folder, `DIR`.
    pub fn dir(&self) -> PathBuf {
        self.folder.path().join("node")
    }

    /// A path beside the node's folder, on the same file system.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Sets an environment variable for nodes started from here on.
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        self.variables.retain(|(known, _)| known != name);
        self.variables.push((name.to_owned(), value.into()));
    }

    /// Takes a variable away again.
    pub fn unset(&mut self, name: &str) {
        self.variables.retain(|(known, _)| known != name);
    }

    /// The environment of nodes started from here on.
    pub fn variables(&self) -> &[(String, String)] {
        &self.variables
    }

    /// Starts a node and waits until it serves.
    pub fn start(&self) -> Result<Node> {
        self.start_program(&strongroom()?)
    }

    /// As [`Site::start`], with another build of the program.
    pub fn start_program(&self, program: &Path) -> Result<Node> {
        let (out, err) = (self.beside("stdout"), self.beside("stderr"));
        let append = |path: &Path| OpenOptions::new().create(true).append(true).open(path);
        let (stdout, stderr) = (append(&out)?, append(&err)?);
        let said_before = usize::try_from(stdout.metadata()?.len())?;
        let child = Command::new(program)
            .args(["dev", "--kmip-port", "0", "--web-port", "0", "--dir"])
            .arg(self.dir())
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(stderr)
            .spawn()
            .with_context(|| format!("starting {}", program.display()))?;
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut node = Node {
            child,
            program: program.to_owned(),
            dir: self.dir(),
            kmip: nowhere,
            web: nowhere,
            ssh: nowhere,
            status: nowhere,
            out,
            err,
        };
        node.wait_ready(said_before)?;
        Ok(node)
    }
}

/// A running node. Dropping it kills it.
#[derive(Debug)]
pub struct Node {
    child: Child,
    program: PathBuf,
    dir: PathBuf,
    kmip: SocketAddr,
    web: SocketAddr,
    ssh: SocketAddr,
    status: SocketAddr,
    out: PathBuf,
    err: PathBuf,
}

impl Node {
    /// Where it serves KMIP.
    pub fn kmip(&self) -> SocketAddr {
        self.kmip
    }

    /// Where it serves `/health` and `/metrics`.
    pub fn web(&self) -> SocketAddr {
        self.web
    }

    /// Where administrators reach it by SSH.
    pub fn ssh(&self) -> SocketAddr {
        self.ssh
    }

    /// Where it says how it is.
    pub fn status(&self) -> SocketAddr {
        self.status
    }

    /// Its folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The certificate and key of a client that the node knows.
    pub fn identity(&self, name: &str) -> Identity {
        Identity::of(&self.dir, name)
    }

    /// A connection as user `demo`.
    pub fn client(&self) -> Result<Client> {
        Client::connect(self.kmip, &self.identity("demo")).with_context(|| self.tail())
    }

    fn wait_ready(&mut self, said_before: usize) -> Result<()> {
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            let said = fs::read(&self.out)?;
            let said = String::from_utf8_lossy(said.get(said_before..).unwrap_or_default());
            let ready = said.lines().find(|line| line.starts_with("READY "));
            if let Some(line) = ready.filter(|_| said.ends_with('\n')) {
                [self.kmip, self.web, self.ssh, self.status] = addresses(line)?;
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                bail!(
                    "the node ended before it was ready: {status}\n{}",
                    self.tail()
                );
            }
            ensure!(
                Instant::now() < deadline,
                "not ready in {READY_WITHIN:?}\n{}",
                self.tail()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The last lines that the node said, for failures.
    pub fn tail(&self) -> String {
        let mut text = String::new();
        for (what, path) in [("stdout", &self.out), ("stderr", &self.err)] {
            let said = fs::read(path).unwrap_or_default();
            let said = String::from_utf8_lossy(&said).into_owned();
            let lines: Vec<&str> = said.lines().collect();
            let from = lines.len().saturating_sub(TAIL_LINES);
            text += &format!("--- {what} of the node ---\n{}\n", lines[from..].join("\n"));
        }
        text
    }

    /// Everything the node has said so far, both streams.
    pub fn said(&self) -> Vec<u8> {
        [&self.out, &self.err]
            .iter()
            .flat_map(|path| fs::read(path).unwrap_or_default())
            .collect()
    }

    /// Ends it as a crash does.
    pub fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Ends it as an operator does, and holds it to its five seconds.
    pub fn terminate(mut self) -> Result<()> {
        let began = Instant::now();
        kill(self.process(), Signal::SIGTERM)?;
        let status = self
            .wait_end(END_WITHIN)
            .with_context(|| format!("SIGTERM\n{}", self.tail()))?;
        ensure!(
            status.success(),
            "SIGTERM ended it with {status}\n{}",
            self.tail()
        );
        ensure!(
            began.elapsed() <= END_WITHIN,
            "SIGTERM took {:?}",
            began.elapsed()
        );
        Ok(())
    }

    fn process(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap())
    }

    /// Waits until the process has ended by itself.
    pub fn wait_end(&mut self, within: Duration) -> Result<ExitStatus> {
        let deadline = Instant::now() + within;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            ensure!(
                Instant::now() < deadline,
                "the node did not end within {within:?}"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Whether the process has ended; a node that cannot persist may do that.
    pub fn has_ended(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    /// Resident memory in bytes.
    pub fn resident_bytes(&self) -> Result<u64> {
        let statm = fs::read_to_string(format!("/proc/{}/statm", self.pid()))?;
        let pages: u64 = statm.split(' ').nth(1).context("statm")?.parse()?;
        Ok(pages * 4096)
    }

    /// Runs a command of the program on this node's folder, as its operator would.
    pub fn cli(&self, arguments: &[&str]) -> Result<Output> {
        let output = Command::new(&self.program)
            .arg("--dir")
            .arg(&self.dir)
            .args(arguments)
            .stdin(Stdio::null())
            .output()?;
        Ok(output)
    }

    /// As [`Node::cli`], with something on its standard input.
    pub fn cli_with(&self, arguments: &[&str], input: &str) -> Result<Output> {
        let mut child = Command::new(&self.program)
            .arg("--dir")
            .arg(&self.dir)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut stdin = child.stdin.take().context("stdin")?;
        stdin.write_all(input.as_bytes())?;
        drop(stdin);
        Ok(child.wait_with_output()?)
    }

    /// As [`Node::cli`], which must succeed; gives what was printed.
    pub fn run(&self, arguments: &[&str]) -> Result<String> {
        let output = self.cli(arguments)?;
        let told = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "strongroom {} failed: {told}\n{}",
            arguments.join(" "),
            self.tail()
        );
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Asks over its socket, as who runs the node may; gives the result.
    pub fn ask(&self, request: &serde_json::Value) -> Result<serde_json::Value> {
        ask(&self.dir, request)
    }

    /// As [`Node::run`] with `--json`, parsed.
    pub fn json(&self, arguments: &[&str]) -> Result<serde_json::Value> {
        let text = self.run(&[arguments, &["--json"]].concat())?;
        serde_json::from_str(&text)
            .with_context(|| format!("strongroom {} --json printed: {text}", arguments.join(" ")))
    }

    /// As [`Node::run`] with `--json`, one document a line.
    pub fn json_lines(&self, arguments: &[&str]) -> Result<Vec<serde_json::Value>> {
        let text = self.run(&[arguments, &["--json"]].concat())?;
        let parse = |line: &str| {
            serde_json::from_str(line).with_context(|| format!("not a line of JSON: {line}"))
        };
        text.lines().map(parse).collect()
    }

    /// The state digest, which must be that of a full replay of the ledger.
    pub fn replayed_digest(&self) -> Result<String> {
        let answer = self.json(&["state", "digest", "--replay"])?;
        let part = |name: &str| {
            let value = answer.get(name).and_then(serde_json::Value::as_str);
            value
                .map(str::to_owned)
                .with_context(|| format!("no {name} in {answer}"))
        };
        let (live, replay) = (part("digest")?, part("replay")?);
        ensure!(
            live == replay,
            "state digest {live} is not that of a replay, {replay}"
        );
        Ok(live)
    }

    /// Exports a bundle and has the program verify it.
    pub fn verified_bundle(&self, to: &Path) -> Result<()> {
        let name = to.to_str().context("a path in UTF-8")?;
        self.run(&["export", "--out", name])?;
        let output = Command::new(&self.program).arg("verify").arg(to).output()?;
        let told = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "its own bundle does not verify: {told}"
        );
        Ok(())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Reads `READY kmip=127.0.0.1:PORT web=https://127.0.0.1:PORT ssh=127.0.0.1:PORT
/// status=https://127.0.0.1:PORT dir=DIR`.
fn addresses(line: &str) -> Result<[SocketAddr; 4]> {
    let field = |name: &str| {
        let found = line.split(' ').find_map(|word| word.strip_prefix(name));
        found.with_context(|| format!("no {name} in: {line}"))
    };
    let address = |name: &str| -> Result<SocketAddr> {
        let text = field(name)?;
        text.parse().with_context(|| format!("{name} of: {line}"))
    };
    let all = [
        address("kmip=")?,
        address("web=https://")?,
        address("ssh=")?,
        address("status=https://")?,
    ];
    field("dir=")?;
    Ok(all)
}

/// Asks over the socket in the folder of a node, as who runs it may; gives the result.
pub fn ask(dir: &Path, request: &serde_json::Value) -> Result<serde_json::Value> {
    let mut socket = UnixStream::connect(dir.join("control.sock"))?;
    writeln!(socket, "{request}")?;
    let mut said = String::new();
    socket.read_to_string(&mut said)?;
    let last = said.lines().last().context("no answer")?;
    let mut end: serde_json::Value = serde_json::from_str(last)?;
    ensure!(end.get("done").is_some(), "{request}: {last}");
    Ok(end["done"].take())
}
