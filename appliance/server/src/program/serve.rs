//! `strongroom serve`: the node of an appliance, from its first start on.
//!
//! Without keys it waits for a set-up; with keys that nobody has opened, for a credential; then it
//! serves. Where it listens stands in its settings.

use super::args::Serve;
use crate::doors::services::Service;
use crate::doors::threshold::{self, Asked, Early};
use crate::layout::Layout;
use crate::node::{Node, Settings};
use crate::operator_clock;
use crate::place_in_network::{Listen, PlaceInNetwork};
use crate::setup::{self, Answers, Made};
use crate::{error_state, selftest};
use anyhow::Context;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;
use tokio::sync::mpsc;
use vault::shares::{self, Share};
use vault::{Credential, Secret};

/// How often the settings are looked at.
const SETTINGS_LOOK_INTERVAL: Duration = Duration::from_millis(500);

type Answer = Result<Value, String>;

/// Runs until SIGTERM, or until the node must begin anew; PID 1 then starts it again.
pub(super) fn run(options: &Serve) -> anyhow::Result<ExitCode> {
    super::dev::keep_secrets_in_memory();
    let threads = std::thread::available_parallelism().map_or(2, usize::from) + 1;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build()?;
    runtime.block_on(Appliance::new(options).run())?;
    Ok(ExitCode::SUCCESS)
}

struct Appliance<'a> {
    options: &'a Serve,
    layout: Layout,
    place: PlaceInNetwork,
}

impl<'a> Appliance<'a> {
    fn new(options: &'a Serve) -> Self {
        let mut layout = Layout::new(&options.dir).with_sockets(&options.sockets);
        // PID 1 gives the folders of network and time beside each other.
        let beside = options
            .network
            .as_deref()
            .and_then(|file| file.parent()?.parent());
        if let Some(folder) = beside {
            layout = layout.with_reports(folder);
        }
        let place = PlaceInNetwork::new(layout.clone(), options.network.clone());
        Self {
            options,
            layout,
            place,
        }
    }

    async fn run(&self) -> anyhow::Result<()> {
        if selftest::has_failed() {
            return self.stay_in_error_state().await;
        }
        if setup::abandon_unfinished(&self.layout)? {
            self.place.withdraw()?;
        }
        let mut requests = threshold::open(&self.layout, self.options.console_uid)
            .with_context(|| format!("opening {}", self.layout.threshold_socket().display()))?;
        let copy = self.place.read()?;
        if !copy.is_empty() {
            // The network comes up before anybody unlocks; without it the console is still there.
            if let Err(e) = self.place.publish(&|id| of(&copy, id)) {
                tracing::error!("the settings are not followed: {e:#}");
            }
        }
        let stopped = super::dev::await_signal();
        tokio::pin!(stopped);
        let node = tokio::select! {
            node = self.come_up(&copy, &mut requests) => node?,
            stopped = &mut stopped => return stopped,
        };
        tracing::info!("serving");
        tokio::select! {
            stopped = stopped => stopped?,
            () = node.must_begin_anew() => {}
            () = say_serving(&mut requests) => {}
            () = self.follow_settings(&node) => {}
        }
        if selftest::has_failed() {
            // What would be written now is written with primitives that failed.
            return Ok(());
        }
        node.stop().await
    }

    /// Says what failed, until it is told to end.
    async fn stay_in_error_state(&self) -> anyhow::Result<()> {
        let mut requests = threshold::open(&self.layout, self.options.console_uid)?;
        let copy = self.place.read().unwrap_or_default();
        if !copy.is_empty() {
            self.place.publish(&|id| of(&copy, id))?;
        }
        let address = of(&copy, domain::setting::STATUS_LISTEN).parse()?;
        match of(&copy, Service::Status.setting()).as_str() {
            "off" => tracing::error!("error state; the service status is stopped"),
            _ => match error_state::open_status(address).await {
                Ok(address) => tracing::error!("error state; status at {address}"),
                Err(e) => tracing::error!("error state; {e:#}"),
            },
        }
        error_state::open_socket(&self.layout)?;
        let answer_all = async {
            while let Some((early, answer)) = requests.recv().await {
                let failed = selftest::power_up().failed();
                drop(answer.send(match early {
                    Early::Phase => Ok(json!({ "phase": "error-state", "failed": failed })),
                    _ => Err(error_state::says()),
                }));
            }
        };
        tokio::select! {
            stopped = super::dev::await_signal() => stopped,
            () = answer_all => Ok(()),
        }
    }

    async fn come_up(
        &self,
        copy: &BTreeMap<String, String>,
        requests: &mut mpsc::Receiver<Asked>,
    ) -> anyhow::Result<Node> {
        if !has_files(&self.layout.keys())? && !self.layout.cluster_log().exists() {
            return self.set_up(requests).await;
        }
        let get = |id: &str| of(copy, id);
        if self.layout.unlock_key().exists() {
            let credential = Credential::KeyFile(self.layout.unlock_key());
            return Node::start(self.settings(&get)?, credential).await;
        }
        self.unlock(&get, requests).await
    }

    fn settings(&self, get: &impl Fn(&str) -> String) -> anyhow::Result<Settings> {
        let listen = Listen::of(get)?;
        let host = get("hostname");
        let names = match get("domain") {
            domain if domain.is_empty() => vec![host],
            domain => vec![format!("{host}.{domain}"), host],
        };
        Ok(Settings {
            layout: self.layout.clone(),
            kmip: listen.kmip,
            web: listen.web,
            status: listen.status,
            peer: listen.peer,
            user_field: self.options.user_field,
            first_users: Vec::new(),
            names,
            ca_subject: Some(get("ca.subject")).filter(|subject| !subject.is_empty()),
            console: self.options.console_uid,
            ssh: self.options.ssh_uid,
            init: self.options.init.clone(),
            place: Some(self.place.clone()),
        })
    }

    /// Waits for a set-up that is confirmed.
    async fn set_up(&self, requests: &mut mpsc::Receiver<Asked>) -> anyhow::Result<Node> {
        if let Some(file) = self.options.setup.as_deref().filter(|file| file.exists()) {
            return self.set_up_unattended(file).await;
        }
        let mut made: Option<Made> = None;
        loop {
            let (early, answer) = requests
                .recv()
                .await
                .context("the console's socket ended")?;
            let answered = match (early, &made) {
                (Early::Phase, None) => {
                    let clock = self.place.sets_clock().then(operator_clock::now);
                    Ok(json!({ "phase": "set-up", "clock": clock }))
                }
                (Early::SetClock { utc }, None) => {
                    let set = operator_clock::request(&utc, None);
                    set.and_then(|request| self.place.set_clock(&request))
                        .map(|()| json!({}))
                }
                (Early::Phase, Some(made)) => Ok(shown(made)),
                (Early::SetUp { items }, None) => match self.begin(&items).await {
                    Ok(new) => {
                        let shown = shown(&new);
                        made = Some(new);
                        Ok(shown)
                    }
                    Err(e) => Err(e),
                },
                (Early::CheckShares { shares }, Some(made)) => check_shares(made, &shares),
                (Early::Confirm, Some(_)) => {
                    setup::confirm(&self.layout)?;
                    // Nobody waits for the answer if the console is gone; the set-up stands.
                    drop(answer.send(Ok(json!({}))));
                    let made = made.take().context("a node was made")?;
                    return Ok(made.node);
                }
                _ => Err("this is not what the set-up waits for; ask for its phase".to_owned()),
            };
            drop(answer.send(answered));
        }
    }

    async fn begin(&self, items: &[(String, String)]) -> Result<Made, String> {
        let mut answers = Answers::default();
        for (id, value) in items {
            answers.set(id, value).map_err(|wrong| wrong.to_string())?;
        }
        answers.check().map_err(|wrong| listed(&wrong))?;
        let made = self.carry_out(&answers).await;
        made.map_err(|e| {
            // What is left on the disk goes at the next start, which PID 1 makes of this.
            tracing::error!("set-up: {e:#}");
            format!("{e:#}")
        })
    }

    async fn carry_out(&self, answers: &Answers) -> anyhow::Result<Made> {
        let settings = self.settings(&|id: &str| answers.get(id).to_owned())?;
        setup::carry_out(answers, &self.layout, &self.place, settings).await
    }

    async fn set_up_unattended(&self, file: &Path) -> anyhow::Result<Node> {
        let bytes = std::fs::read(file).with_context(|| format!("reading {}", file.display()))?;
        let answers = setup::parse(&bytes).map_err(|wrong| anyhow::anyhow!(listed(&wrong)))?;
        answers
            .check()
            .map_err(|wrong| anyhow::anyhow!(listed(&wrong)))?;
        anyhow::ensure!(
            answers.secret("recovery.passphrase").is_some(),
            "recovery: shares can only be shown at the console; say recovery = passphrase, and \
             recovery.passphrase"
        );
        let made = self.carry_out(&answers).await?;
        for (what, fingerprint) in &made.fingerprints {
            tracing::info!("{what}: {fingerprint}");
        }
        setup::confirm(&self.layout)?;
        Ok(made.node)
    }

    /// Waits for a credential that opens the keys.
    async fn unlock(
        &self,
        get: &impl Fn(&str) -> String,
        requests: &mut mpsc::Receiver<Asked>,
    ) -> anyhow::Result<Node> {
        loop {
            let (early, answer) = requests
                .recv()
                .await
                .context("the console's socket ended")?;
            let credential = match early {
                Early::Phase => {
                    drop(answer.send(Ok(json!({ "phase": "sealed" }))));
                    continue;
                }
                Early::Unlock { passphrase } => Ok(Credential::Passphrase(Secret::take(
                    passphrase.into_bytes(),
                ))),
                Early::UnlockByShares { shares } => combine(&shares).map(Credential::Shares),
                _ => Err("the appliance is set up; it waits for a passphrase or for shares".into()),
            };
            let started = match credential {
                Ok(credential) => Node::start(self.settings(get)?, credential)
                    .await
                    .map_err(|e| format!("{e:#}")),
                Err(e) => Err(e),
            };
            let said = started.as_ref().map(|_| json!({})).map_err(Clone::clone);
            drop(answer.send(said));
            if let Ok(node) = started {
                return Ok(node);
            }
        }
    }

    /// Keeps what the log says of this node's settings, for the next start and for the network.
    async fn follow_settings(&self, node: &Node) {
        let (mut seen, mut is_kept) = (BTreeMap::new(), false);
        loop {
            let now = settings_of(node);
            let is_new = now != seen;
            if is_new || !is_kept {
                let get = |id: &str| now.get(id).cloned().unwrap_or_default();
                let written = self.place.write(get);
                is_kept = written.is_ok();
                if let (Err(e), true) = (written, is_new) {
                    // The console must go on: there it is mended.
                    tracing::error!("the settings are not followed: {e:#}");
                }
                seen = now;
            }
            tokio::time::sleep(SETTINGS_LOOK_INTERVAL).await;
        }
    }
}

/// What the log says of a node's settings.
fn settings_of(node: &Node) -> BTreeMap<&'static str, String> {
    let state = node.engine.machine().state();
    let value = |id: &str| state.setting_or_default(node.id, id).unwrap_or_default();
    let all = domain::setting::TABLE.iter();
    all.map(|setting| (setting.id, value(setting.id).to_owned()))
        .collect()
}

/// A setting of the copy, or its default.
fn of(copy: &BTreeMap<String, String>, id: &str) -> String {
    let default = || domain::setting::find(id).and_then(|setting| setting.default);
    let value = copy.get(id).map(String::as_str).or_else(default);
    value.unwrap_or_default().to_owned()
}

/// Answers who asks at the threshold of a node that serves.
async fn say_serving(requests: &mut mpsc::Receiver<Asked>) {
    while let Some((early, answer)) = requests.recv().await {
        let answered = match early {
            Early::Phase => Ok(json!({ "phase": "serving" })),
            _ => Err("the appliance serves already".to_owned()),
        };
        drop(answer.send(answered));
    }
}

/// What the operator has to see before confirming.
fn shown(made: &Made) -> Value {
    let shares = made.recovery.as_ref().map(|(_, shares)| shares);
    let shares = shares.map(|shares| shares.iter().map(Share::to_string).collect::<Vec<_>>());
    json!({
        "phase": "confirm",
        "fingerprints": made.fingerprints,
        "shares": shares,
    })
}

fn check_shares(made: &Made, typed: &[String]) -> Answer {
    let Some((key, _)) = &made.recovery else {
        return Err("there are no recovery shares".to_owned());
    };
    match combine(typed)?.ct_eq(key) {
        true => Ok(json!({})),
        false => Err("these shares are whole, but not those of this appliance".to_owned()),
    }
}

fn combine(typed: &[String]) -> Result<Secret, String> {
    let mut parsed = Vec::new();
    for (number, text) in typed.iter().enumerate() {
        let share = text.parse::<Share>();
        parsed.push(share.map_err(|e| format!("share {}: {e}", number + 1))?);
    }
    shares::combine(&parsed).map_err(|e| e.to_string())
}

fn listed<T: ToString>(wrong: &[T]) -> String {
    let lines: Vec<String> = wrong.iter().map(T::to_string).collect();
    lines.join("\n")
}

/// Whether somebody has put files there; what a file system keeps for itself does not count.
fn has_files(folder: &Path) -> anyhow::Result<bool> {
    let entries = match std::fs::read_dir(folder) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        entries => entries.with_context(|| format!("reading {}", folder.display()))?,
    };
    for entry in entries {
        if entry?.file_name() != "lost+found" {
            return Ok(true);
        }
    }
    Ok(false)
}
