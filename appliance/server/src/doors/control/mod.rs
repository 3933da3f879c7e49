//! The Unix socket of a node: what `strongroom --dir DIR …` speaks with the running process.
//!
//! One request a connection, as a line of JSON; the answer is lines of JSON ([`Line`]). Only the
//! user that runs the node, and root, are let in; the log names them by their user id.

mod administrators;
mod certificates;
mod clients;
mod clock;
mod cluster;
mod copies;
mod desk;
mod fips;
mod identity;
mod integrity;
mod keys;
mod logs;
mod power;
mod records;
mod rights;
mod services;
mod sessions;
mod setting;
mod speakers;
mod transfer;
mod zeroize;

pub use administrators::AdminRequest;
pub use clients::ClientsRequest;
pub use clock::ClockRequest;
pub use cluster::ClusterRequest;
pub(crate) use desk::Visitor;
pub use identity::IdentityRequest;
pub use keys::KeysRequest;
pub use power::MachineEnd;
pub use records::RecordsRequest;
pub use services::ServicesRequest;
pub use setting::SettingRequest;
pub(crate) use speakers::Speakers;
pub use transfer::{Draft, TransferRequest};

use super::services::{Ports, Service};
use super::threshold;
use crate::approved;
use crate::engine::Engine;
use crate::founding;
use crate::jobs::cosign::Cosigner;
use crate::jobs::{epoch, export};
use crate::layout::Layout;
use crate::member::colleagues::Colleagues;
use crate::node::Doors;
use crate::notary::Notary;
use crate::place_in_network::PlaceInNetwork;
use crate::sign_in::{SignIn, settled};
use crate::tls::ServerIdentity;
use crate::transfer::courier::Courier;
use crate::{metrics, render, selftest};
use administrators::PasswordChange;
use domain::{Actor, Ask, Door, GroupRole, Membership, Name, State, codec};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sessions::{Person, Sessions};
use speakers::Speaks;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::OwnedWriteHalf;
use tokio::sync::{mpsc, watch};

/// Longest request line.
const REQUEST_BYTES_MAX: u64 = 64 * 1024;

/// Pause when no connection can be taken, for want of file descriptors say.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Lines on their way to a slow reader.
const LINES_WAITING_MAX: usize = 256;

/// What can be asked. Some of it is secret, so it shows nothing of itself.
#[derive(Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case")]
#[expect(
    missing_docs,
    reason = "each variant is a command of the program, described there"
)]
pub enum Request {
    Status {
        digest: bool,
    },
    Cluster(ClusterRequest),
    Admin(AdminRequest),
    Transfer(TransferRequest),
    /// The own password of whoever is signed in.
    Password {
        old: String,
        new: String,
    },
    /// End a process of the appliance and start it again.
    RestartService {
        service: String,
    },
    /// Whether one may end the machine, before the question whether one means it.
    MayPower,
    /// Switch the appliance off, or start it anew.
    Power {
        end: MachineEnd,
    },
    LogShow {
        view: Option<String>,
        last: Option<u64>,
        follow: bool,
    },
    ClientAdd {
        name: String,
        groups: Vec<String>,
    },
    ClientRevoke {
        name: String,
    },
    ClientList,
    KeyList {
        limit: u64,
    },
    KeyShow {
        uid: String,
    },
    EpochRotate,
    StateDigest {
        replay: bool,
    },
    Export {
        out: PathBuf,
    },
    SlotList,
    SlotAddPassphrase {
        passphrase: String,
        recovery: bool,
    },
    SlotAddPkcs11 {
        module: PathBuf,
        token_serial: String,
        pin: String,
    },
    SlotRemove {
        id: u32,
    },
    /// By password; from another address than the console's when SSH asks.
    SignIn {
        name: String,
        password: String,
        from: Option<IpAddr>,
    },
    /// By the key of a line as in `~/.ssh/id_ed25519.pub`, which SSH has seen to be at hand.
    SignInByKey {
        name: String,
        key: String,
        from: IpAddr,
    },
    /// The session in which it is asked ends.
    SignOut,
    /// Where the SSH door is to listen, and the fingerprint of its key.
    SshDoor,
    /// The private key by which SSH clients know this node, in OpenSSH's format.
    SshHostKey,
    As {
        token: String,
        request: Box<Request>,
    },
    /// Whether one may destroy everything, before the question whether one means it.
    MayZeroize,
    /// Destroy all keys and logs of this node; the recovery passphrase or three shares prove that
    /// whoever wants it has been trusted with them.
    Zeroize {
        secrets: Vec<String>,
    },
    Setting(SettingRequest),
    RunningConfig,
    ClientBundle {
        name: String,
    },
    /// Whether one may take logs away in a bundle.
    MayExport,
    Clients(ClientsRequest),
    Keys(KeysRequest),
    Records(RecordsRequest),
    /// Certificates of the node and of its clients, with their ends.
    Certificates {
        clients: bool,
    },
    /// What this node is recognised by at its doors.
    Identity(IdentityRequest),
    /// The ports that are stopped and started.
    Services(ServicesRequest),
    /// The time, and the clock of the machine.
    Clock(ClockRequest),
    /// Which copies there are of what this node holds.
    Copies,
    /// Approved-algorithms mode.
    Fips(FipsRequest),
    /// Run the self-tests now.
    SelfTest,
}

/// What can be asked about approved-algorithms mode.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "fips", rename_all = "kebab-case")]
#[expect(missing_docs, reason = "each variant is a command of the program")]
pub enum FipsRequest {
    Status,
    /// What a switch would do.
    Plan {
        on: bool,
    },
    /// The switch, by the word of its plan.
    Switch {
        on: bool,
        plan: String,
    },
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Request")
    }
}

/// One line of an answer.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Line {
    /// One of several things asked for.
    Item(Value),
    /// What is being done.
    Progress(String),
    /// The end, with the result.
    Done(Value),
    /// The end: it was not done, and why.
    Error(String),
}

/// What the door opens onto.
pub(crate) struct Control {
    pub(crate) engine: Arc<Engine>,
    pub(crate) notary: Arc<Notary>,
    pub(crate) cosigner: Arc<Cosigner>,
    pub(crate) colleagues: Colleagues,
    pub(crate) layout: Layout,
    /// Addresses of the doors for clients; a witness has none.
    pub(crate) doors: Option<Doors>,
    /// The job that sends closed logs.
    pub(crate) courier: Arc<Courier>,
    /// Address of the status port.
    pub(crate) status: Option<SocketAddr>,
    /// The way in for administrators.
    pub(crate) sign_in: Arc<SignIn>,
    /// The users that the console and SSH run as, where there are such.
    pub(crate) speakers: Speakers,
    /// The socket of PID 1; none where it is none of ours.
    pub(crate) init: Option<PathBuf>,
    /// What the ports for clients show of this node; a witness has no such ports.
    pub(crate) server_identity: Option<Arc<ServerIdentity>>,
    /// How the ports stand that are stopped and started.
    pub(crate) ports: Arc<Ports>,
    /// The processes of network and time of an appliance.
    pub(crate) place: Option<PlaceInNetwork>,
}

/// The door, ready to open.
pub(crate) struct ControlDoor {
    control: Control,
    sessions: Sessions,
}

impl std::fmt::Debug for ControlDoor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ControlDoor").finish_non_exhaustive()
    }
}

impl std::ops::Deref for ControlDoor {
    type Target = Control;

    fn deref(&self) -> &Control {
        &self.control
    }
}

type Answer = Result<Value, String>;

/// How long a command waits for members that are away, before it says which.
const ROTATION_PATIENCE: Duration = Duration::from_secs(30);

impl ControlDoor {
    /// Prepares the door.
    pub(crate) fn new(control: Control) -> Arc<Self> {
        let sessions = Sessions::default();
        Arc::new(Self { control, sessions })
    }

    /// Opens the socket; the future serves it until told to stop.
    pub(crate) fn open(
        self: Arc<Self>,
        mut stop: watch::Receiver<bool>,
    ) -> io::Result<impl Future<Output = ()> + Send + 'static> {
        let listener = threshold::bind(&self.layout.control_socket(), self.speakers.are_some())?;
        Ok(async move {
            loop {
                let accepted = tokio::select! {
                    accepted = listener.accept() => accepted,
                    _ = stop.wait_for(|stop| *stop) => return,
                };
                let Ok((stream, _)) = accepted else {
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                };
                let door = self.clone();
                let mut stop = stop.clone();
                tokio::spawn(async move {
                    tokio::select! {
                        // A reader that went away wants no answer.
                        served = door.serve(stream) => drop(served),
                        _ = stop.wait_for(|stop| *stop) => {}
                    }
                });
            }
        })
    }

    async fn serve(&self, stream: UnixStream) -> io::Result<()> {
        let peer = stream.peer_cred()?;
        let (read, mut write) = stream.into_split();
        if !self.speakers.may_ask(peer.uid()) {
            let line = Line::Error("only the user that runs the node, and root, may ask".into());
            return send(&mut write, &line).await;
        }
        let mut line = String::new();
        BufReader::new(read.take(REQUEST_BYTES_MAX))
            .read_line(&mut line)
            .await?;
        let request = match serde_json::from_str::<Request>(&line) {
            Ok(request) => request,
            Err(e) => return send(&mut write, &Line::Error(format!("bad request: {e}"))).await,
        };
        let (lines, mut queue) = mpsc::channel(LINES_WAITING_MAX);
        let work = async {
            let end = match self.admitted(peer.uid(), request, &lines).await {
                Ok(done) => Line::Done(done),
                Err(error) => Line::Error(error),
            };
            drop(lines.send(end).await);
            drop(lines);
        };
        let print = async {
            while let Some(line) = queue.recv().await {
                send(&mut write, &line).await?;
            }
            Ok(())
        };
        tokio::pin!(work, print);
        tokio::select! {
            () = &mut work => print.await,
            // The reader went away: work that only reads ends here, a change stands.
            printed = &mut print => printed,
        }
    }

    /// Root and the user that runs the node speak for themselves; at the console and over SSH an
    /// administrator signs in first.
    async fn admitted(&self, uid: u32, request: Request, lines: &mpsc::Sender<Line>) -> Answer {
        let speaks = self.speakers.of(uid);
        match request {
            Request::SignIn {
                name,
                password,
                from,
            } => {
                let source = speaks.source(from)?;
                self.sign_in(&name, password, source).await
            }
            Request::SignInByKey { name, key, from } => {
                let source = speaks.source(Some(from))?;
                self.sign_in_by_key(&name, &key, source).await
            }
            Request::SshDoor if speaks != Speaks::Console => self.ssh_door(),
            Request::SshHostKey if speaks != Speaks::Console => self.ssh_host_key(),
            Request::As { token, request } => {
                let who = {
                    let state = self.engine.machine().state();
                    self.sessions.who(&token, &state)
                };
                // A browser's session is no pass at the socket.
                let who = who.filter(|person| person.door != Door::Web);
                let Person {
                    name, door, source, ..
                } = who.ok_or("sign in first, or again")?;
                let actor = Actor::Operator {
                    name: name.to_string(),
                    door,
                };
                match *request {
                    Request::SignOut => {
                        self.sessions.end(&token);
                        Ok(json!({}))
                    }
                    Request::Password { old, new } => {
                        let change = PasswordChange { old, new };
                        self.own_password(&name, source, &actor, &token, change)
                            .await
                    }
                    request => self.answer(&actor, request, lines).await,
                }
            }
            _ if speaks != Speaks::Itself => Err("sign in first".to_owned()),
            request => {
                let actor = Actor::Operator {
                    name: format!("uid:{uid}"),
                    door: Door::Socket,
                };
                self.answer(&actor, request, lines).await
            }
        }
    }

    async fn answer(&self, actor: &Actor, request: Request, lines: &mpsc::Sender<Line>) -> Answer {
        self.permit(actor, &request).await?;
        match request {
            Request::SignIn { .. } | Request::SignInByKey { .. } | Request::As { .. } => {
                Err("sign in once".to_owned())
            }
            Request::SshDoor | Request::SshHostKey => {
                Err("this is for the SSH door alone".to_owned())
            }
            Request::Password { .. } | Request::SignOut => Err("sign in first".to_owned()),
            Request::MayPower | Request::MayZeroize | Request::MayExport => Ok(json!({})),
            Request::Zeroize { secrets } => self.zeroize(actor, &secrets).await,
            Request::RestartService { service } => self.restart_service(actor, service).await,
            Request::Power { end } => self.power(actor, end).await,
            Request::Admin(request) => self.administration(actor, request).await,
            Request::Setting(request) => self.settings(actor, request).await,
            Request::Transfer(request) => self.transfer(actor, request, lines).await,
            Request::RunningConfig => Ok(self.running_config()),
            Request::ClientBundle { name } => self.client_bundle(actor, &name).await,
            Request::SelfTest => selftest::run_for(&self.engine, actor).await,
            Request::Fips(FipsRequest::Status) => Ok(self.fips_status()),
            Request::Fips(FipsRequest::Plan { on }) => self.fips_plan(on).await,
            Request::Fips(FipsRequest::Switch { on, plan }) => {
                approved::switch(&self.engine, actor, on, &plan).await?;
                Ok(self.fips_status())
            }
            Request::Status { digest } => self.status(digest).await,
            Request::Cluster(request) => self.cluster(actor, request).await,
            Request::LogShow { view, last, follow } => {
                self.log_show(view.as_deref(), last, follow, lines).await
            }
            Request::ClientAdd { name, groups } => self.client_add(actor, &name, &groups).await,
            Request::ClientRevoke { name } => self.client_revoke(actor, &name).await,
            Request::ClientList => Ok(self.client_list()),
            Request::KeyList { limit } => self.key_list(limit, lines).await,
            Request::KeyShow { uid } => self.key_show(&uid).await,
            Request::Clients(request) => self.clients(actor, request).await,
            Request::Keys(request) => self.keys(actor, request).await,
            Request::Records(request) => self.records(request).await,
            Request::Certificates { clients } => self.certificates(clients),
            Request::Identity(request) => self.identity(actor, request).await,
            Request::Services(request) => self.services(actor, request).await,
            Request::Clock(request) => self.clock(actor, request).await,
            Request::Copies => Ok(self.copies(actor)),
            Request::EpochRotate => self.epoch_rotate(actor, lines).await,
            Request::StateDigest { replay } => self.state_digest(replay).await,
            Request::Export { out } => self.export(actor, out, lines).await,
            Request::SlotList => Ok(self.slot_list()),
            Request::SlotAddPassphrase {
                passphrase,
                recovery,
            } => {
                let passphrase = vault::Secret::take(passphrase.into_bytes());
                let slot = vault::NewSlot::new(vault::Credential::Passphrase(passphrase));
                let slot = if recovery { slot.for_recovery() } else { slot };
                self.slot_add(actor, slot).await
            }
            Request::SlotAddPkcs11 {
                module,
                token_serial,
                pin,
            } => {
                let pin = vault::Secret::take(pin.into_bytes());
                let token = crate::hsm::token(module, token_serial, pin)?;
                self.slot_add(actor, vault::NewSlot::new(token)).await
            }
            Request::SlotRemove { id } => self.slot_remove(actor, id).await,
        }
    }

    async fn change(&self, actor: &Actor, ask: Ask) -> Answer {
        match self.engine.change(actor, ask, None).await {
            Ok(_) => Ok(json!({})),
            Err(refusal) => Err(settled(refusal).await),
        }
    }

    async fn status(&self, digest: bool) -> Answer {
        let digest = match digest {
            true => Some(self.state_digest(false).await?),
            false => None,
        };
        let mut status = self.status_now();
        if let Some(digest) = digest {
            set(&mut status, "state", digest);
        }
        Ok(status)
    }

    fn status_now(&self) -> Value {
        let health = metrics::health(&self.engine);
        let cluster = self.engine.cluster().status();
        let ledger = self.engine.machine().ledger();
        let (size, root) = (ledger.size(), ledger.root().to_string());
        drop(ledger);
        let (access_size, access_root) = self.engine.access().head();
        let agreed = self.cosigner.last();
        // Before the state is held: who asks for it twice waits for a writer that waits for him.
        let mode = approved::json(&self.engine);
        let state = self.engine.machine().state();
        let (free, kept) = self.engine.room().reading();
        let slots = self.engine.vault().slot_health();
        // A port that is shut is none to send anybody to.
        let is_open = |service| self.ports.of(service).is_some_and(|port| port.is_open);
        let doors = |service| self.doors.filter(|_| is_open(service));
        let web = doors(Service::Web).map(|doors| format!("https://{}", doors.web));
        let status = self.status.filter(|_| is_open(Service::Status));
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "dir": self.layout.root(),
            "cluster": state.cluster().map(|c| c.to_string()),
            "node": self.engine.node().0,
            "time": render::moment(self.engine.now()),
            "kmip": doors(Service::Kmip).map(|doors| doors.kmip.to_string()),
            "web": web,
            "status": status.map(|status| format!("https://{status}")),
            "serving": health.serving,
            "writing": health.writing,
            "faults": health.faults,
            "refused_by": self.refusals(),
            "last_look_at_own_data": self.engine.soundness().last(),
            "cluster_log": { "size": size, "root": root },
            "signed": self.notary.signed().map(|(head, time)| json!({
                "size": head.size,
                "root": head.root.to_string(),
                "time": render::moment(time),
            })),
            "access_log": { "size": access_size, "root": access_root.to_string() },
            "quorum_heard_seconds_ago": self.engine.contact().age_seconds(),
            "clock_jumped_milliseconds": crate::clock::jump(),
            "agreed": agreed.map(|agreed| json!({
                "size": agreed.checkpoint.size,
                "nodes": agreed.nodes.iter().map(|node| node.0).collect::<Vec<_>>(),
                "of": state.members().count(),
            })),
            "raft": {
                "leader": cluster.leader,
                "term": cluster.term,
                "last_entry": cluster.last_entry,
                "applied_entry": cluster.applied_entry,
                "purged_entry": cluster.purged_entry,
            },
            "epoch": state.epoch().0,
            "configuration": self.configuration(&state).1,
            "objects": state.object_count(),
            "awaiting_final_destruction": state.awaiting_final().count(),
            "users": state.users().count(),
            "slots": {
                "two_with_one_for_recovery": slots.meets_policy,
                "credential_not_shown_since_start":
                    slots.stale.iter().map(|slot| slot.0).collect::<Vec<_>>(),
                "copies_differ": slots.unsettled,
            },
            "algorithms": approved::claimed(self.engine.vault().approved()),
            "approved_mode": mode.get("mode"),
            "search_indexes": { "reflected": self.engine.projections().reflected() },
            "disk": { "free_bytes": free, "kept_for_administration_bytes": kept },
        })
    }

    async fn client_add(&self, actor: &Actor, name: &str, groups: &[String]) -> Answer {
        let name = Name::parse(name).map_err(|e| format!("{name:?}: {e}"))?;
        let groups = groups
            .iter()
            .map(|g| membership(g))
            .collect::<Result<Vec<_>, _>>()?;
        let made = founding::add_client(&self.engine, &self.layout, actor, &name, groups).await;
        let made = made.map_err(|e| format!("{e:#}"))?;
        Ok(json!({
            "name": name,
            "certificate": made.certificate,
            "key": made.key,
            "fingerprint": made.fingerprint.to_string(),
            "not_after": render::moment(made.not_after),
        }))
    }

    async fn client_revoke(&self, actor: &Actor, name: &str) -> Answer {
        let name = Name::parse(name).map_err(|e| e.to_string())?;
        self.change(actor, Ask::RevokeUser { name }).await
    }

    fn client_list(&self) -> Value {
        let state = self.engine.machine().state();
        let client = |user: &domain::User| {
            json!({
                "name": user.name(),
                "groups": user.groups().iter().map(group_text).collect::<Vec<_>>(),
                "certificates": user.certificates().len(),
                "revoked": user.revoked().map(render::moment),
                "objects": user.live_objects(),
            })
        };
        state.users().map(client).collect()
    }

    async fn epoch_rotate(&self, actor: &Actor, lines: &mpsc::Sender<Line>) -> Answer {
        let report = lines.clone();
        let mut progress = move |text: String| {
            // A reader that is slow misses a line of progress, nothing else.
            drop(report.try_send(Line::Progress(text)));
        };
        let (engine, colleagues) = (&self.engine, &self.colleagues);
        let rotated =
            epoch::rotate(engine, colleagues, actor, ROTATION_PATIENCE, &mut progress).await;
        let rotated = rotated.map_err(|e| e.to_string())?;
        let retired = rotated.retired.as_ref();
        let reasons = retired.map(|report| {
            let reason =
                |slot: &vault::NotRenewed| format!("slot {}: {}", slot.slot.0, slot.reason);
            report.not_renewed.iter().map(reason).collect::<Vec<_>>()
        });
        Ok(json!({
            "epoch": rotated.epoch.0,
            "resealed": rotated.resealed,
            "finalised": rotated.finalised,
            "root_renewed": retired.is_some_and(|report| report.root_renewed),
            "root_not_renewed_because": reasons.unwrap_or_default(),
            "waiting_for_nodes": rotated.awaited.iter().map(|node| node.0).collect::<Vec<_>>(),
        }))
    }

    async fn state_digest(&self, replay: bool) -> Answer {
        let machine = self.engine.machine().clone();
        let work = move || -> Answer {
            let (records, digest) = {
                let state = machine.state();
                (state.records(), state.digest())
            };
            if !replay {
                return Ok(json!({ "records": records, "digest": digest.to_string() }));
            }
            let reader = machine.reader();
            let mut replayed = State::default();
            for n in 0..records {
                let bytes = reader.read(n).map_err(|e| e.to_string())?;
                let record = codec::from_slice(&bytes).map_err(|e| format!("record {n}: {e}"))?;
                replayed.evolve(&record);
            }
            let again = replayed.digest();
            Ok(json!({
                "records": records,
                "digest": digest.to_string(),
                "replay": again.to_string(),
                "equal": digest == again,
            }))
        };
        tokio::task::spawn_blocking(work)
            .await
            .map_err(|e| e.to_string())?
    }

    async fn export(&self, actor: &Actor, out: PathBuf, lines: &mpsc::Sender<Line>) -> Answer {
        let report = lines.clone();
        let progress = move |done: u64, total: u64| {
            let text = format!("{done} of {total} records");
            drop(report.try_send(Line::Progress(text)));
        };
        let (engine, notary, cosigner) = (&self.engine, &self.notary, &self.cosigner);
        let exported = export::export(engine, notary, cosigner, actor, &out, progress).await;
        let exported = exported.map_err(|e| e.to_string())?;
        Ok(json!({
            "out": exported.out,
            "records": exported.written.records,
            "bytes": exported.written.bytes,
            "cluster_log": {
                "size": exported.cluster.size,
                "root": exported.cluster.root.to_string(),
            },
            "digest": exported.written.manifest.to_string(),
            "signed_by_nodes": exported.nodes.iter().map(|node| node.0).collect::<Vec<_>>(),
        }))
    }

    fn slot_list(&self) -> Value {
        let slot = |slot: vault::SlotSummary| {
            json!({
                "id": slot.id.0,
                "kind": slot.kind.to_string(),
                "label": slot.label,
                "recovery": slot.recovery,
                "can_be_opened": slot.supported,
                "held": slot.held,
            })
        };
        self.engine.vault().slots().into_iter().map(slot).collect()
    }

    async fn slot_add(&self, actor: &Actor, slot: vault::NewSlot) -> Answer {
        let vault = self.engine.vault().clone();
        let added = tokio::task::spawn_blocking(move || vault.add_slot(slot)).await;
        let id = added
            .map_err(|e| e.to_string())?
            .map_err(|e| e.to_string())?;
        let slots = self.engine.vault().slots();
        let kind = slots
            .iter()
            .find(|slot| slot.id == id)
            .map(|slot| slot.kind.to_string());
        let (name, kind) = (
            founding::slot_name(self.engine.node(), id),
            kind.unwrap_or_default(),
        );
        self.change(actor, Ask::AddSlot { name, kind }).await?;
        Ok(json!({ "id": id.0 }))
    }

    async fn slot_remove(&self, actor: &Actor, id: u32) -> Answer {
        let id = vault::SlotId(id);
        let left = self
            .engine
            .vault()
            .remove_slot(id)
            .map_err(|e| e.to_string())?;
        self.change(
            actor,
            Ask::RemoveSlot {
                name: founding::slot_name(self.engine.node(), id),
            },
        )
        .await?;
        Ok(json!({ "id": id.0, "left_behind": left.map(|e| e.to_string()) }))
    }
}

/// A group as the command line writes it: `name` or `name:manage`.
fn membership(text: &str) -> Result<Membership, String> {
    let (group, role) = match text.split_once(':') {
        None | Some((_, "use")) => (text.split(':').next().unwrap_or(text), GroupRole::Use),
        Some((group, "manage")) => (group, GroupRole::Manage),
        Some((_, role)) => {
            return Err(format!(
                "{role:?} is no role in a group; there are use and manage"
            ));
        }
    };
    let group = Name::parse(group).map_err(|e| format!("group {group:?}: {e}"))?;
    Ok(Membership { group, role })
}

fn group_text(membership: &Membership) -> String {
    match membership.role {
        GroupRole::Use => membership.group.to_string(),
        GroupRole::Manage => format!("{}:manage", membership.group),
    }
}

async fn send(write: &mut OwnedWriteHalf, line: &Line) -> io::Result<()> {
    let mut text = serde_json::to_string(line)?;
    text.push('\n');
    write.write_all(text.as_bytes()).await
}

fn set(shown: &mut Value, field: &str, value: Value) {
    if let Some(fields) = shown.as_object_mut() {
        fields.insert(field.to_owned(), value);
    }
}
