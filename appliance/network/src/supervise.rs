//! The loop of `strongroom-network`: looks at the settings, the cables and the leases, makes the
//! kernel follow, and writes what is so.
//!
//! There is one task and no state but what a look around finds again, so every change has one path:
//! [`Network::look`]. It runs when a cable or an address changes, when a lease does, when the file
//! of settings does, and every few seconds in case something was missed.

mod leases;
mod report;

use crate::dhcp::message::Lease;
use crate::files::{self, Watched};
use crate::kernel::{self, Changes, Held, Kernel, KernelError, Problems};
use crate::settings::{FILE_BYTES_MAX, Settings, ZONEINFO};
use crate::status::{DhcpStatus, NetworkStatus, SettingsState};
use crate::{plan, say};
use leases::Clients;
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior};

/// How often time passes for the DHCP clients and the file of settings is looked at.
const TICK: Duration = Duration::from_millis(500);
/// How often everything is compared although nothing was heard: notes of the kernel can be lost.
const LOOK_AGAIN: Duration = Duration::from_secs(10);
/// Changes come in bursts (a link comes up, gets addresses, routes); one look serves them all.
const BURST: Duration = Duration::from_millis(50);

/// Where the files are.
#[derive(Clone, Debug)]
pub struct Paths {
    /// `network.json`, read.
    pub settings: PathBuf,
    /// The folder of `status.json` and `resolv.conf`, written.
    pub state: PathBuf,
    /// The database of time zones.
    pub zoneinfo: PathBuf,
}

impl Default for Paths {
    fn default() -> Paths {
        Paths {
            settings: "/run/strongroom/settings/network.json".into(),
            state: "/run/strongroom/network".into(),
            zoneinfo: ZONEINFO.into(),
        }
    }
}

/// Why the process ends.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// The kernel gives no answer.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] io::Error),
}

/// The process.
#[derive(Debug)]
pub struct Network {
    paths: Paths,
    file: Watched,
    kernel: Kernel,
    settings: Option<Settings>,
    state: SettingsState,
    /// Why the settings were refused.
    refusal: Option<String>,
    clients: Clients,
    problems: Problems,
    /// The states of the clients as they were last reported.
    dhcp: BTreeMap<String, DhcpStatus>,
    status: Option<NetworkStatus>,
    resolv: Option<String>,
}

/// Runs for ever.
///
/// # Errors
/// When there is no netlink, or the folder cannot be written: PID 1 starts the process again.
pub async fn run(paths: Paths) -> Result<(), NetworkError> {
    let (kernel, changes) = Kernel::connect()?;
    kernel::ipv6_off_by_default()?;
    kernel.name_interfaces().await?;
    let network = Network {
        file: Watched::new(&paths.settings, FILE_BYTES_MAX),
        paths,
        kernel,
        settings: None,
        state: SettingsState::Missing,
        refusal: None,
        clients: Clients::default(),
        problems: Problems::new(),
        dhcp: BTreeMap::new(),
        status: None,
        resolv: None,
    };
    network.follow(changes).await
}

impl Network {
    async fn follow(mut self, mut changes: Changes) -> Result<(), NetworkError> {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.read_settings()?;
        self.look().await?;
        let mut looked = Instant::now();
        loop {
            let look = tokio::select! {
                _ = tick.tick() => {
                    let settings = self.read_settings()?;
                    let leases = self.clients.tick();
                    settings || leases || looked.elapsed() >= LOOK_AGAIN
                }
                Some(()) = changes.recv() => {
                    tokio::time::sleep(BURST).await;
                    let _ = changes.try_recv();
                    true
                }
                (name, datagram) = self.clients.receive() => {
                    self.clients.datagram(&name, datagram)
                }
            };
            if look {
                self.look().await?;
                looked = Instant::now();
            } else if self.clients.statuses() != self.dhcp {
                self.report().await?;
            }
        }
    }

    /// Reads the file if it changed; says whether it did.
    fn read_settings(&mut self) -> Result<bool, NetworkError> {
        let Some(contents) = self.file.changed()? else {
            return Ok(false);
        };
        let Some(bytes) = contents else {
            self.state = SettingsState::Missing;
            self.refusal = None;
            self.settings = None;
            return Ok(true);
        };
        match Settings::parse(&bytes, &self.paths.zoneinfo) {
            Ok(settings) => {
                say!("settings of {} are in force", settings.hostname);
                self.state = SettingsState::Applied;
                self.refusal = None;
                self.settings = Some(settings);
            }
            // What was in force stays: a bad file must not cut a machine off.
            Err(error) => {
                say!("settings refused: {error}");
                self.state = SettingsState::Refused;
                self.refusal = Some(error.to_string());
            }
        }
        Ok(true)
    }

    /// Looks at everything and makes the kernel follow.
    async fn look(&mut self) -> Result<(), NetworkError> {
        self.kernel.name_interfaces().await?;
        let held = self.kernel.held().await?;
        let (settings, mut problems) = self.usable(&held);
        self.clients.follow(settings.as_ref(), &held);
        let plan = settings
            .as_ref()
            .map(|all| plan::plan(all, &self.clients.leases()));
        let plan = plan.unwrap_or_default();
        problems.extend(self.kernel.apply(&plan).await?);
        // Links may have come up, so clients may begin.
        let held = self.kernel.held().await?;
        self.clients.follow(settings.as_ref(), &held);
        if problems != self.problems {
            for (name, problem) in &problems {
                say!("{name}: {problem}");
            }
            self.problems = problems;
        }
        self.report().await
    }

    /// The settings without the interfaces that cannot be used, and why they cannot.
    fn usable(&self, held: &Held) -> (Option<Settings>, Problems) {
        let mut problems = Problems::new();
        let Some(mut settings) = self.settings.clone() else {
            return (None, problems);
        };
        settings.interfaces.retain(|one| {
            let problem = match (held.devices.get(&one.name), one.mac) {
                (None, _) => "the machine has no such interface".to_owned(),
                (Some(card), Some(mac)) if card.mac != Some(mac) => format!(
                    "its address is {:?}, the settings are for {mac}; correct them if the card \
                     was changed",
                    card.mac
                ),
                _ => return true,
            };
            problems.push((one.name.clone(), problem));
            false
        });
        (Some(settings), problems)
    }

    fn leases(&self) -> BTreeMap<String, Lease> {
        self.clients.leases()
    }

    /// Writes the files whose contents changed.
    async fn report(&mut self) -> Result<(), NetworkError> {
        let resolv = report::resolv(self.settings.as_ref(), &self.leases());
        if self.resolv.as_ref() != Some(&resolv) {
            files::replace(&self.paths.state.join("resolv.conf"), resolv.as_bytes())?;
            self.resolv = Some(resolv);
        }
        self.dhcp = self.clients.statuses();
        let held = self.kernel.held().await?;
        let gateways = self.kernel.gateways().await?;
        let status = self.status(&held, &gateways);
        if self.status.as_ref() != Some(&status) {
            let mut json = serde_json::to_vec_pretty(&status).map_err(io::Error::other)?;
            json.push(b'\n');
            files::replace(&self.paths.state.join("status.json"), &json)?;
            self.status = Some(status);
        }
        Ok(())
    }
}
