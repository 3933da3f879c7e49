//! The time: what servers say, whether to believe it, and what the clock is told.
//!
//! * [`ask`]: one question to one server (SNTP). [`judge`]: from all answers to one decision, pure.
//! * [`clock`]: the clock as a port, so that tests see what would be done; the kernel's behind it.
//! * [`Timekeeper`]: one round after the other.
//!
//! The clock is set only once after boot, by the first majority of servers, or when an operator
//! says so. After that it is slewed, and a time too far away is refused and shown: whoever owns the
//! network must not end the life of keys by it (docs/decisions/0017).

pub mod ask;
pub mod clock;
pub mod judge;

use crate::files::{self, Watched, since_boot};
use crate::say;
use crate::settings::{FILE_BYTES_MAX, NTP_MAX, Settings, ZONEINFO};
use crate::status::{ClockState, NetworkStatus, ServerStatus, TimeStatus, VERSION};
use ask::{AskError, Reading};
use clock::{Clock, SetClock};
use judge::{Decision, Sample};
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// UDP port of time servers (RFC 5905 §7.2).
pub const NTP_PORT: u16 = 123;
/// Between rounds before the first majority: a machine that boots waits for its time.
const ROUND_FIRST: Duration = Duration::from_secs(4);
/// Between rounds afterwards: the smallest interval public servers welcome (RFC 5905 §7.2).
const ROUND: Duration = Duration::from_secs(64);
/// How often the files are looked at between rounds.
const TICK: Duration = Duration::from_secs(1);
/// How long a server that complains about too many questions is left alone.
const RATE_PAUSE: Duration = Duration::from_secs(30 * 60);
/// Most of `clock.json`, `status.json`: a few hundred bytes each.
const STATE_BYTES_MAX: usize = 64 * 1024;

/// Where the files are.
#[derive(Clone, Debug)]
pub struct Paths {
    /// `network.json`, read.
    pub settings: PathBuf,
    /// `clock.json`, read: an operator sets the clock ([`SetClock`]).
    pub request: PathBuf,
    /// `status.json` of `strongroom-network`, read: servers that DHCP named.
    pub network: PathBuf,
    /// The folder of `time.json` and of what is remembered until the next boot, written.
    pub state: PathBuf,
    /// The database of time zones.
    pub zoneinfo: PathBuf,
    /// [`NTP_PORT`], another one in tests.
    pub port: u16,
}

impl Default for Paths {
    fn default() -> Paths {
        Paths {
            settings: "/run/strongroom/settings/network.json".into(),
            request: "/run/strongroom/settings/clock.json".into(),
            network: "/run/strongroom/network/status.json".into(),
            state: "/run/strongroom/time".into(),
            zoneinfo: ZONEINFO.into(),
            port: NTP_PORT,
        }
    }
}

/// One configured server.
#[derive(Clone, Debug)]
struct Server {
    name: String,
    /// Not asked before this moment since boot: it told us to go away.
    not_before: Duration,
}

/// The process `strongroom-time`.
#[derive(Debug)]
pub struct Timekeeper<C> {
    paths: Paths,
    clock: C,
    file: Watched,
    request: Watched,
    configured: Vec<String>,
    servers: Vec<Server>,
    /// Whether a majority was followed since boot: from then on the clock is only slewed.
    synchronised_once: bool,
    status: TimeStatus,
}

impl<C: Clock> Timekeeper<C> {
    /// Remembers from before a restart whether the clock was synchronised since boot.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn new(paths: Paths, clock: C) -> io::Result<Timekeeper<C>> {
        let marker = paths.state.join("synchronised");
        let marked = files::read(&marker, STATE_BYTES_MAX)?.is_some();
        Ok(Timekeeper {
            file: Watched::new(&paths.settings, FILE_BYTES_MAX),
            request: Watched::new(&paths.request, STATE_BYTES_MAX),
            paths,
            clock,
            configured: Vec::new(),
            servers: Vec::new(),
            synchronised_once: marked,
            status: TimeStatus {
                version: VERSION,
                ..TimeStatus::default()
            },
        })
    }

    /// Runs for ever.
    ///
    /// # Errors
    /// When the folder cannot be written: PID 1 starts the process again.
    pub async fn run(mut self) -> io::Result<()> {
        let mut next = since_boot();
        self.write()?;
        loop {
            if self.look()? {
                next = since_boot();
            }
            if since_boot() >= next {
                self.round().await?;
                let followed = self.status.state == ClockState::Synchronised;
                next = since_boot() + if followed { ROUND } else { ROUND_FIRST };
            }
            tokio::time::sleep(TICK).await;
        }
    }

    /// Reads the files that others write; says whether there are other servers now.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn look(&mut self) -> io::Result<bool> {
        if let Some(Some(bytes)) = self.request.changed()? {
            self.operator_sets(&bytes)?;
        }
        if let Some(contents) = self.file.changed()? {
            let bytes = contents.unwrap_or_default();
            match Settings::parse(&bytes, &self.paths.zoneinfo) {
                Ok(settings) => self.configured = settings.ntp,
                Err(_) if bytes.is_empty() => self.configured.clear(),
                // The process `strongroom-network` says why; the servers of before stay.
                Err(error) => say!("settings refused: {error}"),
            }
        }
        let names = match self.configured.is_empty() {
            false => self.configured.clone(),
            true => self.named_by_dhcp()?,
        };
        if self.servers.iter().map(|one| &one.name).eq(&names) {
            return Ok(false);
        }
        say!("time servers: {}", names.join(", "));
        let fresh = |name| Server {
            name,
            not_before: Duration::ZERO,
        };
        self.servers = names.into_iter().map(fresh).collect();
        Ok(true)
    }

    fn named_by_dhcp(&self) -> io::Result<Vec<String>> {
        // Without settings the machine has no network, so what an old file says is nothing.
        let Some(bytes) = files::read(&self.paths.network, STATE_BYTES_MAX)? else {
            return Ok(Vec::new());
        };
        let status: Option<NetworkStatus> = serde_json::from_slice(&bytes).ok();
        let mut named = status.map(|one| one.dhcp_ntp).unwrap_or_default();
        named.retain(|one| one.parse::<std::net::IpAddr>().is_ok());
        named.truncate(NTP_MAX);
        Ok(named)
    }

    /// Asks every server and does what the answers decide.
    ///
    /// # Errors
    /// When the status cannot be written.
    pub async fn round(&mut self) -> io::Result<()> {
        let mut heard = Vec::new();
        for server in &self.servers {
            heard.push(self.hear(server).await);
        }
        for (server, heard) in self.servers.iter_mut().zip(&heard) {
            if let Some(pause) = heard.leave_alone {
                server.not_before = since_boot().saturating_add(pause);
            }
        }
        let samples: Vec<Option<Sample>> = heard.iter().map(|one| one.sample).collect();
        let verdict = judge::judge(&samples, self.synchronised_once);
        for (heard, used) in heard.iter_mut().zip(&verdict.used) {
            heard.status.used = *used;
            if heard.sample.is_some() && !used {
                let problem = "its time is not that of the majority";
                heard.status.problem = Some(problem.to_owned());
            }
        }
        if samples.iter().any(Option::is_some) {
            let now = self.clock.now().as_millis();
            self.status.last_answer = u64::try_from(now).ok();
        }
        self.status.servers = heard.into_iter().map(|one| one.status).collect();
        self.status.offset_milliseconds = verdict.offset.map(milliseconds);
        self.obey(verdict.decision)?;
        self.write()
    }

    async fn hear(&self, server: &Server) -> Heard {
        let mut heard = Heard::default();
        heard.status.name.clone_from(&server.name);
        if since_boot() < server.not_before {
            heard.status.problem = Some("it asked to be left alone".to_owned());
            return heard;
        }
        let address = match resolve(&server.name, self.paths.port).await {
            Ok(address) => address,
            Err(error) => {
                heard.status.problem = Some(format!("its name is not found: {error}"));
                return heard;
            }
        };
        heard.status.address = Some(address.ip().to_string());
        match ask::ask(address, &self.clock).await {
            Ok(reading) => heard.believe(&reading),
            Err(error) => {
                heard.leave_alone = match error {
                    AskError::TooOften => Some(RATE_PAUSE),
                    AskError::Denied => Some(Duration::MAX),
                    _ => None,
                };
                heard.status.problem = Some(error.to_string());
            }
        }
        heard
    }

    /// Tells the clock, and remembers.
    fn obey(&mut self, decision: Decision) -> io::Result<()> {
        let before = self.status.state;
        let done = match &decision {
            Decision::Slew { microseconds } => self.clock.slew(*microseconds),
            Decision::Step { microseconds } => self.clock.step(*microseconds),
            Decision::Off | Decision::Wait { .. } | Decision::Refuse { .. } => Ok(()),
        };
        let (state, problem) = match (&decision, done) {
            (_, Err(error)) => (
                ClockState::Failed,
                Some(format!("the clock cannot be adjusted: {error}")),
            ),
            (Decision::Off, _) => (ClockState::Off, None),
            (Decision::Wait { why }, _) => (ClockState::Waiting, Some((*why).to_owned())),
            (Decision::Refuse { microseconds }, _) => (
                ClockState::Refused,
                Some(format!(
                    "the servers are {} s away, more than is followed; if they are right, set \
                     the clock",
                    microseconds / 1_000_000
                )),
            ),
            (Decision::Slew { .. } | Decision::Step { .. }, Ok(())) => {
                (ClockState::Synchronised, None)
            }
        };
        if let Decision::Step { microseconds } = decision
            && state == ClockState::Synchronised
        {
            say!("the clock was set by {} ms", microseconds / 1_000);
            self.status.stepped = true;
        }
        if state == ClockState::Synchronised && !self.synchronised_once {
            files::replace(&self.paths.state.join("synchronised"), b"since boot\n")?;
            self.synchronised_once = true;
        }
        if state != before {
            let words = problem.as_deref().unwrap_or_default();
            say!("clock: {before:?} -> {state:?} {words}");
        }
        self.status.state = state;
        self.status.synchronised = state == ClockState::Synchronised;
        self.status.problem = problem;
        Ok(())
    }

    /// Sets the clock to what an operator said, once for each request.
    fn operator_sets(&mut self, bytes: &[u8]) -> io::Result<()> {
        let request: SetClock = match serde_json::from_slice(bytes) {
            Ok(request) => request,
            Err(error) => {
                say!("clock.json is refused: {error}");
                return Ok(());
            }
        };
        let marker = self.paths.state.join("clock-set");
        let done = files::read(&marker, STATE_BYTES_MAX)?;
        if done.as_deref() == Some(request.id.as_bytes()) {
            return Ok(());
        }
        let by = request.difference(self.clock.now(), since_boot());
        match by.and_then(|by| self.clock.step(by).map(|()| by)) {
            Ok(by) => {
                say!("an operator set the clock by {} ms", by / 1_000);
                self.status.stepped = true;
                files::replace(&marker, request.id.as_bytes())
            }
            Err(error) => {
                say!("an operator's time cannot be set: {error}");
                Ok(())
            }
        }
    }

    /// What is so.
    #[must_use]
    pub fn status(&self) -> &TimeStatus {
        &self.status
    }

    fn write(&self) -> io::Result<()> {
        let mut json = serde_json::to_vec_pretty(&self.status).map_err(io::Error::other)?;
        json.push(b'\n');
        files::replace(&self.paths.state.join("time.json"), &json)
    }
}

/// What one server said in a round.
#[derive(Default)]
struct Heard {
    status: ServerStatus,
    sample: Option<Sample>,
    /// It does not want to be asked for this long.
    leave_alone: Option<Duration>,
}

impl Heard {
    fn believe(&mut self, reading: &Reading) {
        let delay = i64::try_from(reading.delay_microseconds).unwrap_or(i64::MAX);
        self.status.reachable = true;
        self.status.offset_milliseconds = Some(milliseconds(reading.offset_microseconds));
        self.status.delay_milliseconds = Some(milliseconds(delay));
        self.status.stratum = Some(reading.stratum);
        self.sample = Some(Sample {
            offset: reading.offset_microseconds,
        });
    }
}

async fn resolve(name: &str, port: u16) -> io::Result<SocketAddr> {
    let found = tokio::net::lookup_host((name, port)).await?.next();
    found.ok_or_else(|| io::Error::other("it has no address"))
}

/// Microseconds as milliseconds, for people.
#[expect(clippy::cast_precision_loss, reason = "a double is exact to 285 years")]
fn milliseconds(microseconds: i64) -> f64 {
    microseconds as f64 / 1_000.0
}
