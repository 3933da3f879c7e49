//! A node, from an empty folder to open doors, in the order in which things must happen.
//!
//! unlock the vault → log key → sealed store → cluster log and state → Raft → access log → search
//! indexes → engine → founding (first start only) → jobs → doors. Going down is the reverse.

use crate::access_log::AccessLog;
use crate::doors::control::ControlDoor;
use crate::doors::kmip::{KmipDoor, UserField};
use crate::doors::web::WebDoor;
use crate::engine::{Engine, Parts};
use crate::founding::{self, FIRST_NODE};
use crate::jobs;
use crate::layout::Layout;
use crate::machine::LedgerMachine;
use crate::notary::Notary;
use crate::projections::Projections;
use crate::room::Room;
use crate::tls;
use anyhow::{Context, bail};
use cluster::{Cluster, ClusterConfig};
use domain::{Actor, Ask};
use ledger::{Ledger, SegmentsConfig, StdDisk};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use vault::store::SealedStore;
use vault::{Credential, KeysFileFault, UnlockFault, Vault};

/// Time that open requests get to finish when the node is told to stop.
const DRAIN_TIME: Duration = Duration::from_millis(300);

/// How a node is to run.
#[derive(Debug)]
pub struct Settings {
    /// Its folder.
    pub layout: Layout,
    /// Address of the KMIP port.
    pub kmip: SocketAddr,
    /// Address of the web port.
    pub web: SocketAddr,
    /// Field of a client certificate that names the user.
    pub user_field: UserField,
    /// Users that the founding of a cluster makes, with certificates in the clients folder.
    pub first_users: Vec<domain::Name>,
}

/// A node that serves.
#[derive(Debug)]
pub struct Node {
    /// Where KMIP is served.
    pub kmip: SocketAddr,
    /// Where the web port is.
    pub web: SocketAddr,
    /// The engine, for the program around it.
    pub engine: Arc<Engine>,
    layout: Layout,
    stop: watch::Sender<bool>,
    // Held to keep a second process out; unlocked when the process ends.
    _lock: nix::fcntl::Flock<std::fs::File>,
}

impl Node {
    /// Brings a node up; returns when its doors are open.
    pub async fn start(settings: Settings, credential: Credential) -> anyhow::Result<Self> {
        let layout = settings.layout.clone();
        layout
            .make()
            .with_context(|| format!("making {}", layout.root().display()))?;
        let lock = lock(&layout)?;
        let vault = Arc::new(unlock(&layout, credential)?);
        let notary = Arc::new(notary(&vault, &layout)?);
        let engine = Arc::new(assemble(&layout, vault, &notary).await?);
        let founder = founding::Founder {
            engine: &engine,
            notary: &notary,
            layout: &layout,
        };
        founder.complete(&settings.first_users).await?;
        let (stop, stopped) = watch::channel(false);
        jobs::start(&engine, &notary, &stopped);
        let (kmip, web) = open_doors(&settings, &engine, &notary, &stopped).await?;
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let started = Ask::StartNode {
            node: FIRST_NODE,
            version,
            format: domain::FORMAT,
        };
        engine
            .change(&Actor::Node(FIRST_NODE), started, None)
            .await?;
        Ok(Self {
            kmip,
            web,
            engine,
            layout,
            stop,
            _lock: lock,
        })
    }

    /// Returns when the node has stopped writing and its disk works again: time to begin anew.
    pub async fn disk_works_again(&self) {
        crate::recovery::disk_works_again(&self.engine, &self.layout).await;
    }

    /// Closes the doors, records the stop and leaves everything durable.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.stop.send_replace(true);
        tokio::time::sleep(DRAIN_TIME).await;
        let node = Actor::Node(FIRST_NODE);
        let recorded = self
            .engine
            .change(&node, Ask::StopNode { node: FIRST_NODE }, None)
            .await;
        if let Err(e) = recorded {
            tracing::warn!("the stop was not recorded: {e}");
        }
        self.engine.cluster().shutdown().await;
        let machine = self.engine.machine().clone();
        cluster::Machine::make_durable(&*machine).context("making the node durable")?;
        self.engine
            .projections()
            .close(&self.layout.projections())?;
        // Gone already when somebody tidied up; the next start replaces it in any case.
        drop(std::fs::remove_file(self.layout.control_socket()));
        Ok(())
    }
}

/// Keeps a second process out of the folder.
fn lock(layout: &Layout) -> anyhow::Result<nix::fcntl::Flock<std::fs::File>> {
    let path = layout.lock();
    let file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .with_context(|| format!("opening {}", path.display()))?;
    nix::fcntl::Flock::lock(file, nix::fcntl::FlockArg::LockExclusiveNonblock).map_err(|(_, e)| {
        let dir = layout.root().display();
        anyhow::anyhow!("another process runs the node in {dir} ({e}); stop it first")
    })
}

/// Opens the vault, or founds it when the folder has never held one.
fn unlock(layout: &Layout, credential: Credential) -> anyhow::Result<Vault> {
    match Vault::unlock(&layout.keys(), &credential) {
        Ok(vault) => Ok(vault),
        Err(UnlockFault::Folder(KeysFileFault::Absent(_))) => {
            if layout.cluster_log().exists() {
                let (keys, data) = (layout.keys(), layout.cluster_log());
                bail!(
                    "{} holds no keys, but {} holds a log: the keys folder was lost or not \
                     mounted; put it back, nothing was changed",
                    keys.display(),
                    data.display()
                );
            }
            founding::found_vault(layout, credential)
        }
        Err(e) => Err(e).with_context(|| format!("unlocking {}", layout.keys().display())),
    }
}

fn notary(vault: &Vault, layout: &Layout) -> anyhow::Result<Notary> {
    let signer = vault.log_signer().context("log key")?;
    let (cluster_log, access_log) = (layout.cluster_log(), layout.access_log());
    Ok(Notary::new(
        signer,
        vault.cluster(),
        FIRST_NODE,
        &cluster_log,
        &access_log,
    )?)
}

/// Opens what stands on the disk and puts the engine together.
async fn assemble(layout: &Layout, vault: Arc<Vault>, notary: &Notary) -> anyhow::Result<Engine> {
    let store = Arc::new(SealedStore::open(&layout.sealed_store()).context("sealed store")?);
    let floor = notary.cluster_floor().context("cluster log")?;
    let machine = LedgerMachine::open(&layout.cluster_log(), floor.as_ref(), store)?;
    let machine = Arc::new(machine);
    let name = vault.cluster().to_string();
    let config = ClusterConfig {
        dir: layout.raft(),
        node: FIRST_NODE.0,
        name,
    };
    let cluster = Cluster::start(config, machine.clone()).await?;
    let access = open_access_log(layout, notary)?;
    let projections = Projections::start(&layout.projections(), machine.clone())?;
    let room = Room::new(layout.root().join("data"));
    let node = FIRST_NODE;
    Ok(Engine::new(Parts {
        node,
        cluster,
        machine,
        vault,
        access,
        projections,
        room,
    }))
}

fn open_access_log(layout: &Layout, notary: &Notary) -> anyhow::Result<AccessLog> {
    let floor = notary.access_floor().context("access log")?;
    let disk = Arc::new(StdDisk);
    let dir = layout.access_log();
    let opened = Ledger::open(disk, &dir, SegmentsConfig::LEDGER, floor.as_ref());
    let (ledger, recovery) = opened.context("access log")?;
    if let Some(torn) = recovery.torn_tail {
        tracing::warn!("access log: an unfinished write at the end was dropped: {torn:?}");
    }
    Ok(AccessLog::start(ledger))
}

/// Opens the ports and the socket.
async fn open_doors(
    settings: &Settings,
    engine: &Arc<Engine>,
    notary: &Arc<Notary>,
    stop: &watch::Receiver<bool>,
) -> anyhow::Result<(SocketAddr, SocketAddr)> {
    let listen = async |name: &str, address: SocketAddr| {
        let listener = TcpListener::bind(address).await;
        listener.with_context(|| format!("opening the {name} port at {address}"))
    };
    let kmip = listen("KMIP", settings.kmip).await?;
    let web = listen("web", settings.web).await?;
    let addresses = (kmip.local_addr()?, web.local_addr()?);
    let tls = tls::Configs::of(engine.vault())?;
    let door = KmipDoor::new(
        engine.clone(),
        tls.clients_proven,
        settings.user_field,
        stop.clone(),
    );
    tokio::spawn(door.clone().serve(kmip));
    tokio::spawn(WebDoor::new(engine.clone(), tls.server_only, stop.clone()).serve(web));
    let layout = &settings.layout;
    let control = ControlDoor::new(engine.clone(), notary.clone(), layout.clone(), addresses);
    tokio::spawn(control.open(stop.clone())?);
    Ok(addresses)
}
