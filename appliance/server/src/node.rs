//! A node, from an empty folder to open doors, in the order in which things must happen.
//!
//! self-tests → unlock the vault → who this node is → what is damaged is mended (`member::mend`) →
//! log key → sealed store → cluster log and state → ways to the other members → Raft → access log →
//! search indexes → engine → the cluster's port → founding (first start of the first node only) →
//! jobs → status port → doors. Going down is the reverse.

use crate::access_log::AccessLog;
use crate::doors::control::{Control, ControlDoor, Speakers};
use crate::doors::kmip::{KmipDoor, UserField};
use crate::doors::services::{Keeper, Service};
use crate::doors::status::{StatusDoor, Subject};
use crate::doors::web::WebDoor;
use crate::engine::{Engine, Parts};
use crate::founding;
use crate::jobs::repairs::Repairs;
use crate::jobs::{self, cosign::Cosigner};
use crate::layout::{self, Layout};
use crate::machine::{LedgerMachine, OpenFault};
use crate::member::colleagues::Colleagues;
use crate::member::desk::Desk;
use crate::member::gate::Gate;
use crate::member::mend::{self, Mender};
use crate::member::place::Place;
use crate::notary::Notary;
use crate::place_in_network::PlaceInNetwork;
use crate::projections::Projections;
use crate::room::Room;
use crate::selftest;
use crate::sign_in::SignIn;
use crate::tls::{self, ServerIdentity};
use crate::transfer::courier::Courier;
use crate::transfer::shelf::Shelf;
use anyhow::{Context, bail};
use cluster::peers::{Listener, Net, PeerTls, Peers, TokioNet};
use cluster::{Cluster, ClusterConfig, Member, Role, Timing};
use domain::{Actor, Ask, NodeId};
use ledger::{Ledger, OpenError, SegmentsConfig, StdDisk};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use vault::store::SealedStore;
use vault::{Credential, KeysFileFault, UnlockFault, Vault};

/// Time that open requests get to finish when the node is told to stop.
const DRAIN_TIME: Duration = Duration::from_millis(300);

/// Time to say in the cluster log that the node starts or stops.
const ANNOUNCE_TIME: Duration = Duration::from_secs(1);

/// How a node is to run.
#[derive(Debug)]
pub struct Settings {
    /// Its folder.
    pub layout: Layout,
    /// Address of the KMIP port.
    pub kmip: SocketAddr,
    /// Address of the web port.
    pub web: SocketAddr,
    /// Address of the status port.
    pub status: SocketAddr,
    /// Address of the cluster port; with port 0 the port of the last start is used again, or a free
    /// one is taken at the first.
    pub peer: SocketAddr,
    /// Field of a client certificate that names the user.
    pub user_field: UserField,
    /// Users that the founding of a cluster makes, with certificates in the clients folder.
    pub first_users: Vec<domain::Name>,
    /// Names of the node, for its certificate.
    pub names: Vec<String>,
    /// Name of the Local CA that a founding makes; made from the cluster's identity if not given.
    pub ca_subject: Option<String>,
    /// The users that the console and the SSH door run as, where they are processes of their own.
    pub console: Option<u32>,
    /// See `console`.
    pub ssh: Option<u32>,
    /// The socket of PID 1; none where it is none of ours.
    pub init: Option<PathBuf>,
    /// The processes of network and time of an appliance; none where the machine is another's.
    pub(crate) place: Option<PlaceInNetwork>,
}

/// Addresses of the doors that clients use.
#[derive(Clone, Copy, Debug)]
pub struct Doors {
    /// KMIP.
    pub kmip: SocketAddr,
    /// Web.
    pub web: SocketAddr,
}

/// A node that serves.
#[derive(Debug)]
pub struct Node {
    /// Where KMIP is served and where the web port is; a witness has neither.
    pub doors: Option<Doors>,
    /// Where the status port is; `None` when it could not be opened, which keeps nobody's keys from
    /// being served.
    pub status: Option<SocketAddr>,
    /// This node's number.
    pub id: NodeId,
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
        // Nothing is computed before the primitives have shown that they compute what they should.
        selftest::must_have_passed()?;
        let layout = settings.layout.clone();
        layout
            .make()
            .with_context(|| format!("making {}", layout.root().display()))?;
        let lock = lock(&layout)?;
        let vault = Arc::new(unlock(&layout, credential)?);
        let (place, listener) = settle(&layout, settings.peer).await?;
        founding::member_identity(&vault, place.id())?;
        let repairs = Repairs::open(&layout);
        let mender = Mender {
            layout: &layout,
            vault: &vault,
            repairs: &repairs,
        };
        let place = mender.before_start(place).await?;
        if let Err(e) = layout::write_file(&layout.running(), b"", 0o600) {
            // On a full disk, too, existing keys are served; the next start looks less closely.
            tracing::warn!("{}: {e}", layout.running().display());
        }
        let parts = assemble(&layout, vault.clone(), &place).await?;
        selftest::record_power_up(&parts.engine);
        // With what was repaired while the log was opened.
        let repairs = Repairs::open(&layout);
        let (engine, notary) = (&parts.engine, &parts.notary);
        let (stop, stopped) = watch::channel(false);
        let desk = Arc::new(Desk::new(engine.clone(), parts.cosigner.clone()));
        let answerer = engine.cluster().answerer(desk);
        let peers = parts.colleagues.peers().clone();
        let serving = stopped.clone();
        tokio::spawn(async move { peers.serve(listener, answerer, serving).await });
        let founder = founding::Founder {
            engine,
            notary,
            layout: &layout,
            address: settings.kmip.ip(),
            names: &settings.names,
            ca_subject: settings.ca_subject.as_deref(),
        };
        founder.complete(&settings.first_users).await?;
        let tools = jobs::Tools {
            engine,
            notary,
            cosigner: &parts.cosigner,
            courier: &parts.courier,
            colleagues: &parts.colleagues,
            layout: &layout,
            repairs: &repairs,
            tls: &parts.tls,
            address: place.address.clone(),
        };
        let announced = jobs::start(&tools, &stopped);
        let opening = Opening::new(&settings, &parts, &stopped)?;
        let status = opening.status().await;
        let doors = opening.doors(status).await?;
        // Without a quorum it takes longer; the doors are open and say how old their answers are.
        drop(tokio::time::timeout(ANNOUNCE_TIME, announced).await);
        Ok(Self {
            doors,
            status,
            id: place.id(),
            engine: engine.clone(),
            layout,
            stop,
            _lock: lock,
        })
    }

    /// Returns when it is time to begin anew: the node has stopped writing and its disk works
    /// again, something is damaged that is put right only before a node takes part, or a self-test
    /// has failed.
    pub async fn must_begin_anew(&self) {
        tokio::select! {
            () = crate::recovery::disk_works_again(&self.engine, &self.layout) => {}
            () = self.engine.soundness().must_begin_anew() => {}
            () = selftest_failed() => {}
        }
    }

    /// Closes the doors, records the stop and leaves everything durable.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.stop.send_replace(true);
        tokio::time::sleep(DRAIN_TIME).await;
        let (node, actor) = (self.id, Actor::Node(self.id));
        let recorded = self.engine.change(&actor, Ask::StopNode { node }, None);
        match tokio::time::timeout(ANNOUNCE_TIME, recorded).await {
            Ok(Ok(_)) => {}
            Ok(Err(e)) => tracing::warn!("the stop was not recorded: {e}"),
            Err(_) => tracing::warn!("the stop was not recorded: no quorum answered"),
        }
        settle_down(&self.engine, &self.layout).await?;
        // Gone already when somebody tidied up; the next start replaces it in any case.
        drop(std::fs::remove_file(self.layout.control_socket()));
        Ok(())
    }
}

/// Returns when a self-test has failed and whoever asked for it was told; clients are served no
/// more from the failure on.
async fn selftest_failed() {
    selftest::failed_while_running().await;
    tokio::time::sleep(DRAIN_TIME).await;
}

/// Ends agreement on this node and leaves everything durable.
pub(crate) async fn settle_down(engine: &Engine, layout: &Layout) -> anyhow::Result<()> {
    engine.cluster().shutdown().await;
    let machine = engine.machine().clone();
    cluster::Machine::make_durable(&*machine).context("making the node durable")?;
    engine.projections().close(&layout.projections())?;
    // The next start need not look whether the end was an orderly one.
    match std::fs::remove_file(layout.running()) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e.into()),
        _ => Ok(()),
    }
}

/// Keeps a second process out of the folder.
pub(crate) fn lock(layout: &Layout) -> anyhow::Result<nix::fcntl::Flock<std::fs::File>> {
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

/// Who this node is, and the cluster's port. Its address is kept, because the others have it.
async fn settle(layout: &Layout, wanted: SocketAddr) -> anyhow::Result<(Place, Box<dyn Listener>)> {
    let file = layout.place();
    let mut place = Place::read(&file).with_context(|| format!("reading {}", file.display()))?;
    let mut address = wanted.to_string();
    if wanted.port() == 0 && !place.address.is_empty() {
        address.clone_from(&place.address);
    }
    let listener = TokioNet.listen(&address).await;
    let listener = listener.with_context(|| format!("opening the cluster port at {address}"))?;
    if place.address != listener.local_address() {
        place.address = listener.local_address();
        place.write(&file)?;
    }
    Ok((place, listener))
}

pub(crate) fn notary(vault: &Vault, layout: &Layout, me: NodeId) -> anyhow::Result<Notary> {
    let signer = vault.log_signer().context("log key")?;
    let (cluster_log, access_log) = (layout.cluster_log(), layout.access_log());
    Ok(Notary::new(
        signer,
        vault.cluster(),
        me,
        &cluster_log,
        &access_log,
    )?)
}

/// The first member, as consensus knows it; its record is the first of the log.
fn founder(place: &Place) -> Member {
    Member {
        address: place.address.clone(),
        role: Role::Voter,
        epoch: 1,
    }
}

/// What a node is put together from.
pub(crate) struct Assembled {
    pub(crate) engine: Arc<Engine>,
    pub(crate) notary: Arc<Notary>,
    cosigner: Arc<Cosigner>,
    courier: Arc<Courier>,
    pub(crate) colleagues: Colleagues,
    tls: PeerTls,
}

/// Opens what stands on the disk and puts the engine together.
pub(crate) async fn assemble(
    layout: &Layout,
    vault: Arc<Vault>,
    place: &Place,
) -> anyhow::Result<Assembled> {
    let node = place.id();
    let notary = Arc::new(notary(&vault, layout, node)?);
    let store = Arc::new(SealedStore::open(&layout.sealed_store()).context("sealed store")?);
    let machine = Arc::new(open_machine(layout, &vault, place, &notary, store).await?);
    let gate = Arc::new(Gate::new(vault.cluster(), place.clone(), machine.clone()));
    let (client, server) = vault.peer_tls().context("keys of the cluster port")?;
    let tls = PeerTls::new(client, server);
    let peers = Peers::new(Arc::new(TokioNet), tls.clone(), gate.clone());
    for (other, address) in &place.members {
        peers.set_address(*other, address.clone());
    }
    let others = place.members.iter().map(|(other, _)| *other);
    let colleagues = Colleagues::new(node, peers.clone(), machine.clone(), others);
    machine.set_source(Arc::new(colleagues.clone()));
    let access = open_access_log(layout, &notary)?;
    gate.set_access(access.clone());
    let config = ClusterConfig {
        dir: layout.raft(),
        node: node.0,
        name: vault.cluster().to_string(),
        founding: (node == founding::FIRST_NODE).then(|| founder(place)),
        disk: Arc::new(StdDisk),
        timing: Timing::default(),
        log_end: gate.log_end(),
        inline_io: false,
    };
    let cluster = Cluster::start(config, machine.clone(), Some(peers)).await?;
    gate.set_cluster(cluster.clone());
    colleagues.set_cluster(cluster.clone());
    let projections = Projections::start(&layout.projections(), machine.clone())?;
    let room = Room::new(layout.root().join("data"));
    let engine = Arc::new(Engine::new(Parts {
        node,
        cluster,
        machine,
        vault,
        access,
        projections,
        room,
    }));
    if colleagues.everybody().is_empty() {
        // Nobody to compare it with.
        engine.trust_clock();
    }
    let cosigner = Cosigner::new(engine.clone(), notary.clone(), colleagues.clone(), layout);
    let shelf = Shelf::new(layout.closed_logs());
    Ok(Assembled {
        courier: Courier::new(engine.clone(), notary.clone(), shelf),
        engine,
        notary,
        cosigner: Arc::new(cosigner),
        colleagues,
        tls,
    })
}

/// Opens cluster log and state; what is damaged of the log comes from other members first.
async fn open_machine(
    layout: &Layout,
    vault: &Vault,
    place: &Place,
    notary: &Notary,
    store: Arc<SealedStore>,
) -> anyhow::Result<LedgerMachine> {
    let floor = notary.cluster_floor().context("cluster log")?;
    let floor = floor.as_ref();
    let repairs = Repairs::open(layout);
    let mender = Mender {
        layout,
        vault,
        repairs: &repairs,
    };
    let dir = layout.cluster_log();
    let open = || -> anyhow::Result<_> {
        let again = mend::carry_out_again(layout)?;
        let opened = LedgerMachine::open_again_after(&dir, floor, store.clone(), again);
        Ok(opened)
    };
    let mut machine = match open()? {
        Err(OpenFault::Log(OpenError::Corrupt(found))) => {
            mender.cluster_log(place, notary, floor, found).await?;
            open()??
        }
        opened => opened?,
    };
    if mender.fetch_store(&machine, place).await? {
        drop(machine);
        machine = open()??;
    }
    if place.replaces.is_some() {
        machine.start_over();
    }
    Ok(machine)
}

fn open_access_log(layout: &Layout, notary: &Notary) -> anyhow::Result<AccessLog> {
    let floor = notary.access_floor().context("access log")?;
    let disk = Arc::new(StdDisk);
    let dir = layout.access_log();
    let opened = Ledger::open(disk, &dir, SegmentsConfig::LEDGER, floor.as_ref());
    let (ledger, recovery) = opened.with_context(|| {
        let (dir, root) = (dir.display(), layout.root().display());
        format!(
            "the access log in {dir} cannot be opened; no other member has a copy of it. If it is \
             damaged, `strongroom --dir {root} cluster rejoin` brings the node back under a new \
             number and keeps the old log beside the new one"
        )
    })?;
    if let Some(torn) = recovery.torn_tail {
        tracing::warn!("access log: an unfinished write at the end was dropped: {torn:?}");
    }
    Ok(AccessLog::start(ledger))
}

/// Days for which the status port of a witness has a certificate; it is made anew at each start.
const WITNESS_CERTIFICATE_DAYS: i64 = 825;

/// What the opening of the doors needs.
struct Opening<'a> {
    settings: &'a Settings,
    parts: &'a Assembled,
    /// A witness has none: it holds no keys, so it has nothing to serve.
    identity: Option<Arc<ServerIdentity>>,
    keeper: Keeper,
}

impl<'a> Opening<'a> {
    fn new(
        settings: &'a Settings,
        parts: &'a Assembled,
        stop: &watch::Receiver<bool>,
    ) -> anyhow::Result<Self> {
        let vault = parts.engine.vault();
        Ok(Self {
            settings,
            parts,
            identity: match founding::holds_local_ca(vault)? {
                true => Some(ServerIdentity::of(vault)?),
                false => None,
            },
            keeper: Keeper {
                engine: parts.engine.clone(),
                ports: Arc::default(),
                stop: stop.clone(),
            },
        })
    }

    /// Opens the ports and the socket.
    async fn doors(&self, status: Option<SocketAddr>) -> anyhow::Result<Option<Doors>> {
        let (settings, parts) = (self.settings, self.parts);
        let ports = match &self.identity {
            Some(_) => Some(Ports::open(settings).await?),
            None => None,
        };
        let doors = ports.as_ref().map(|ports| ports.doors);
        let control = ControlDoor::new(Control {
            engine: parts.engine.clone(),
            notary: parts.notary.clone(),
            cosigner: parts.cosigner.clone(),
            courier: parts.courier.clone(),
            colleagues: parts.colleagues.clone(),
            layout: settings.layout.clone(),
            doors,
            status,
            sign_in: SignIn::new(parts.engine.clone()),
            speakers: Speakers {
                console: settings.console,
                ssh: settings.ssh,
            },
            init: settings.init.clone(),
            server_identity: self.identity.clone(),
            ports: self.keeper.ports.clone(),
            place: settings.place.clone(),
        });
        tokio::spawn(control.clone().open(self.keeper.stop.clone())?);
        if let (Some(ports), Some(identity)) = (ports, &self.identity) {
            self.serve(ports, identity, &control)?;
        }
        Ok(doors)
    }

    /// Serves the ports for clients, while their settings say so.
    fn serve(
        &self,
        ports: Ports,
        identity: &Arc<ServerIdentity>,
        control: &Arc<ControlDoor>,
    ) -> anyhow::Result<()> {
        let (engine, field) = (self.parts.engine.clone(), self.settings.user_field);
        let tls = tls::Configs::of(&engine, identity)?;
        let (proven, server_only) = (tls.clients_proven, tls.server_only);
        let kmip = {
            let engine = engine.clone();
            move |listener, stop| {
                let door = KmipDoor::new(engine.clone(), proven.clone(), field, stop);
                drop(tokio::spawn(door.serve(listener)));
            }
        };
        let control = control.clone();
        let web = move |listener, stop| {
            let (engine, control) = (engine.clone(), control.clone());
            let door = WebDoor::new(engine, control, server_only.clone(), stop);
            drop(tokio::spawn(door.serve(listener)));
        };
        let Ports {
            kmip: kmip_port,
            web: web_port,
            doors,
        } = ports;
        let keeper = || self.keeper.clone();
        keeper().begin(Service::Kmip, doors.kmip, Some(kmip_port), kmip);
        keeper().begin(Service::Web, doors.web, Some(web_port), web);
        Ok(())
    }

    /// Opens the status port. What may go wrong with it is told and keeps no key from being served.
    async fn status(&self) -> Option<SocketAddr> {
        let opened = async {
            let engine = &self.parts.engine;
            let offer = match &self.identity {
                Some(identity) => tls::Configs::of(engine, identity)?.server_only,
                None => {
                    let machine = Some(engine.machine().clone());
                    tls::Offer::of_passing_identity(WITNESS_CERTIFICATE_DAYS, machine)?
                }
            };
            let (notary, cosigner) = (self.parts.notary.clone(), self.parts.cosigner.clone());
            let engine = engine.clone();
            let serve = move |listener, stop| {
                let subject = Subject::Node {
                    engine: engine.clone(),
                    notary: notary.clone(),
                    cosigner: cosigner.clone(),
                };
                let door = StatusDoor::new(subject, offer.clone(), stop);
                drop(tokio::spawn(door.serve(listener)));
            };
            let wanted = self.settings.status;
            let listener = listen("status", "--status-port", wanted).await;
            let address = match &listener {
                Ok(listener) => listener.local_addr()?,
                // It is tried again there.
                Err(_) => wanted,
            };
            let (listener, failed) = match listener {
                Ok(listener) => (Some(listener), None),
                Err(e) => (None, Some(e)),
            };
            let keeper = self.keeper.clone();
            keeper.begin(Service::Status, address, listener, serve);
            match failed {
                Some(e) => Err(e),
                None => anyhow::Ok(address),
            }
        };
        match opened.await {
            Ok(address) => Some(address),
            Err(e) => {
                tracing::error!("{e:#}");
                None
            }
        }
    }
}

/// Opens a port; the error says by which option another one is named.
pub(crate) async fn listen(
    name: &str,
    option: &str,
    address: SocketAddr,
) -> anyhow::Result<TcpListener> {
    let opening = || format!("opening the {name} port at {address}");
    match TcpListener::bind(address).await {
        Err(e) if e.kind() == std::io::ErrorKind::AddrInUse => anyhow::bail!(
            "{}: another program listens there; end it, or take another port (`strongroom dev` \
             has {option}; 0 takes one that is free)",
            opening()
        ),
        listener => listener.with_context(opening),
    }
}

/// The ports of a node that serves clients, open and not yet served.
struct Ports {
    kmip: TcpListener,
    web: TcpListener,
    doors: Doors,
}

impl Ports {
    async fn open(settings: &Settings) -> anyhow::Result<Self> {
        let kmip = listen("KMIP", "--kmip-port", settings.kmip).await?;
        let web = listen("web", "--web-port", settings.web).await?;
        let doors = Doors {
            kmip: kmip.local_addr()?,
            web: web.local_addr()?,
        };
        Ok(Self { kmip, web, doors })
    }
}
