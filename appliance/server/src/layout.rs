//! Where things lie below the folder of a node.
//!
//! `keys/` is the appliance's keys partition: seal slots and the KEK ring. `data/` is everything
//! else, and is unreadable without it. The two are apart so that a copy of `data/` taken before an
//! epoch was retired is worth nothing afterwards.

use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Pieces of evidence of one kind that are kept; a node with more has a disk that must be replaced.
const EVIDENCE_MAX: u32 = 10_000;

/// The folder of one node.
#[derive(Clone, Debug)]
pub struct Layout {
    root: PathBuf,
    /// Folder of the Unix sockets; the node's own folder when there is no other.
    sockets: Option<PathBuf>,
    /// Folder in which the processes of network and time report; none where there are none.
    reports: Option<PathBuf>,
}

impl Layout {
    /// Names the folder; nothing is touched.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            sockets: None,
            reports: None,
        }
    }

    /// The same on a machine with processes that set up network and clock, and report below this
    /// folder.
    pub(crate) fn with_reports(mut self, folder: impl Into<PathBuf>) -> Self {
        self.reports = Some(folder.into());
        self
    }

    /// The file in which the process that sets the clock says what it did.
    pub(crate) fn time_status(&self) -> Option<PathBuf> {
        Some(self.reports.as_ref()?.join("time/time.json"))
    }

    /// The file in which the process that sets up the network says what is so.
    pub(crate) fn network_status(&self) -> Option<PathBuf> {
        Some(self.reports.as_ref()?.join("network/status.json"))
    }

    /// The same with the Unix sockets in a folder of their own, so that who may reach them need not
    /// reach the rest.
    pub(crate) fn with_sockets(mut self, folder: impl Into<PathBuf>) -> Self {
        self.sockets = Some(folder.into());
        self
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Seal slots and KEK ring.
    pub fn keys(&self) -> PathBuf {
        self.root.join("keys")
    }

    /// The unlock key of `strongroom dev`.
    pub fn unlock_key(&self) -> PathBuf {
        self.keys().join("unlock.key")
    }

    /// The cluster log.
    pub fn cluster_log(&self) -> PathBuf {
        self.root.join("data/cluster-log")
    }

    /// The access log of this node.
    pub fn access_log(&self) -> PathBuf {
        self.root.join("data/access-log")
    }

    /// Closed logs, on their way to the transfer destinations.
    pub(crate) fn closed_logs(&self) -> PathBuf {
        self.root.join("data/closed-logs")
    }

    /// Raft log, vote and snapshot pointer.
    pub fn raft(&self) -> PathBuf {
        self.root.join("data/raft")
    }

    /// The sealed store.
    pub fn sealed_store(&self) -> PathBuf {
        self.root.join("data/sealed.redb")
    }

    /// Query indexes; may be deleted while the node is down.
    pub fn projections(&self) -> PathBuf {
        self.root.join("data/projections")
    }

    /// Who this node is and where the others are.
    pub fn place(&self) -> PathBuf {
        self.root.join("data/place.json")
    }

    /// There while the node runs; found at a start, it says that the end before was no orderly one.
    pub fn running(&self) -> PathBuf {
        self.root.join("data/running")
    }

    /// There while the sealed store is damaged and its content must come from another member.
    pub fn store_is_missing(&self) -> PathBuf {
        self.root.join("data/sealed.missing")
    }

    /// There when entries of the sealed store stand where none should: it is fetched anew at the
    /// next start.
    pub fn store_is_doubtful(&self) -> PathBuf {
        self.root.join("data/sealed.doubtful")
    }

    /// How often in a row opening the sealed store has not come to its end.
    pub fn store_is_opening(&self) -> PathBuf {
        self.root.join("data/sealed.opening")
    }

    /// Repairs that the cluster log does not know yet.
    pub fn repairs(&self) -> PathBuf {
        self.root.join("data/repairs.json")
    }

    /// There while the end of the cluster log came from other members: entries are carried out
    /// again from the one in it, until the log is surely complete.
    pub fn again(&self) -> PathBuf {
        self.root.join("data/carry-out-again.json")
    }

    /// The newest head of the cluster log that a majority has signed.
    pub fn agreed(&self) -> PathBuf {
        self.root.join("data/agreed.note")
    }

    /// Makes a folder for one more piece of evidence.
    pub fn new_evidence(&self, what: &str) -> io::Result<PathBuf> {
        let evidence = self.evidence();
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&evidence)?;
        for n in 1..=EVIDENCE_MAX {
            let folder = evidence.join(format!("{what}-{n}"));
            match std::fs::create_dir(&folder) {
                Ok(()) => return Ok(folder),
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(e),
            }
        }
        let text = format!(
            "{} is full: look at what is there and move it away",
            evidence.display()
        );
        Err(io::Error::other(text))
    }

    /// What is kept when logs differ.
    pub fn evidence(&self) -> PathBuf {
        self.root.join("data/evidence")
    }

    /// Turns the clock of a `dev` node by so many seconds, for tests.
    pub fn clock_offset(&self) -> PathBuf {
        self.root.join("clock-offset")
    }

    /// The password of the first administrator of a `dev` node, until it is changed.
    pub(crate) fn admin_password(&self) -> PathBuf {
        self.root.join("admin-password")
    }

    /// Certificate of the Local CA.
    pub fn ca_certificate(&self) -> PathBuf {
        self.root.join("ca.pem")
    }

    /// Certificate of the server.
    pub fn server_certificate(&self) -> PathBuf {
        self.root.join("server.pem")
    }

    /// Certificates and private keys made for clients.
    pub fn clients(&self) -> PathBuf {
        self.root.join("clients")
    }

    /// The Unix socket of the running node.
    pub fn control_socket(&self) -> PathBuf {
        self.sockets().join("control.sock")
    }

    /// The Unix socket that answers before a node runs: set-up and unlocking.
    pub(crate) fn threshold_socket(&self) -> PathBuf {
        self.sockets().join("threshold.sock")
    }

    fn sockets(&self) -> &Path {
        self.sockets.as_deref().unwrap_or(&self.root)
    }

    /// There while a set-up is not confirmed, and from the moment on in which everything is to be
    /// destroyed: what is found with it is emptied at the next start.
    pub(crate) fn setup_begun(&self) -> PathBuf {
        self.root.join("setup-begun")
    }

    /// What the settings of this node were when the log was open last.
    pub(crate) fn settings_copy(&self) -> PathBuf {
        self.root.join("data/settings.json")
    }

    /// Held locked by the process that runs the node.
    pub fn lock(&self) -> PathBuf {
        self.root.join("lock")
    }

    /// Makes the folders, readable by their owner only, and their names durable.
    pub fn make(&self) -> io::Result<()> {
        for dir in [
            self.root.clone(),
            self.keys(),
            self.root.join("data"),
            self.clients(),
        ] {
            std::fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&dir)?;
            std::fs::File::open(&dir)?.sync_all()?;
            if let Some(parent) = dir.parent().filter(|p| !p.as_os_str().is_empty()) {
                match std::fs::File::open(parent) {
                    // Above the root of a partition, which a confined process cannot make.
                    Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {}
                    parent => parent?.sync_all()?,
                }
            }
        }
        Ok(())
    }
}

/// Writes a small file so that it is there whole or not at all, even after a power cut.
pub fn write_file(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    use io::Write;
    let partial = path.with_extension("partial");
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(&partial)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&partial, path)?;
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty());
    std::fs::File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}
