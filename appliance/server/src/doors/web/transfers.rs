//! Transfer destinations: how they stand, a new one step by step, and what is done with one.
//!
//! A new destination is described first. Then its host key is looked up, and whoever adds it
//! compares the key with what the other machine shows; only a compared key is pinned. Nothing is
//! saved that was not tried.

use super::WebDoor;
use super::form::{Form, encoded};
use super::frame::{Confirm, Frame, Section};
use super::reply::{self, Reply};
use super::routes::{Refused, nowhere};
use super::visit::Visit;
use crate::doors::control::{Draft, Line, Request, SettingRequest, TransferRequest};
use askama::Template;
use domain::View;
use hyper::StatusCode;
use serde::Deserialize;
use serde_json::Value;

/// What the settings of rotation begin with.
const SETTINGS: &str = "log.";

/// Port of SSH.
const PORT: &str = "22";

/// How a destination stands.
#[derive(Clone, Deserialize)]
struct Row {
    name: String,
    to: String,
    directory: String,
    logs: Vec<String>,
    host_key: String,
    way_in: String,
    recipients: Vec<String>,
    on: bool,
    waiting: u64,
    oldest_since: Option<String>,
    sending: bool,
    next_try_seconds: Option<u64>,
    last_try: Option<String>,
    last_outcome: Option<String>,
    problem: Option<String>,
    alarms: Vec<String>,
}

/// A log that was closed at least once.
#[derive(Deserialize)]
struct Closed {
    log: String,
    number: u64,
    records: u64,
    closed: String,
    waiting: u64,
}

#[derive(Deserialize)]
struct Shown {
    destinations: Vec<Row>,
    logs: Vec<Closed>,
    ssh_key_of_this_node: String,
    allowed_signers: String,
}

/// A setting of rotation.
#[derive(Deserialize)]
struct Setting {
    setting: String,
    title: String,
    value: Option<String>,
}

#[derive(Template)]
#[template(path = "transfers.html")]
struct TransfersPage {
    frame: Frame,
    shown: Shown,
    settings: Vec<Setting>,
    views: Vec<&'static str>,
}

/// What a trial said.
#[derive(Default)]
struct Trial {
    steps: Vec<String>,
    /// Why it ended early.
    fault: Option<String>,
}

impl Trial {
    fn has_passed(&self) -> bool {
        self.fault.is_none() && !self.steps.is_empty()
    }

    /// Whether there is something to say.
    fn is_told(&self) -> bool {
        self.fault.is_some() || !self.steps.is_empty()
    }
}

#[derive(Template)]
#[template(path = "transfer.html")]
struct TransferPage {
    frame: Frame,
    row: Row,
    trial: Trial,
}

/// A log to choose.
struct Choice {
    name: &'static str,
    is_chosen: bool,
}

/// A destination as a form describes it. The password is never among what is shown again.
#[derive(Default)]
struct Described {
    name: String,
    user: String,
    host: String,
    port: String,
    directory: String,
    recipients: String,
    host_key: String,
    logs: Vec<String>,
    off: bool,
    /// Whether somebody has compared the host key, or has brought it along.
    compared: bool,
}

impl Described {
    fn of(form: &Form) -> Self {
        let text = |name: &str| form.text(name).unwrap_or_default();
        let logs = View::ALL.iter().map(|view| view.name());
        let logs = logs.filter(|log| form.get(&format!("log-{log}")) == "yes");
        Self {
            name: text("name"),
            user: text("user"),
            host: text("host"),
            port: text("port"),
            directory: text("directory"),
            recipients: text("recipients"),
            host_key: text("host_key"),
            logs: logs.map(str::to_owned).collect(),
            off: form.get("off") == "yes",
            compared: form.get("compared") == "yes",
        }
    }

    /// A saved one, to be changed. Its host key is looked up and compared again.
    fn saved(row: &Row) -> Self {
        let (user, address) = row.to.split_once('@').unwrap_or(("", &row.to));
        let (host, port) = address.rsplit_once(':').unwrap_or((address, PORT));
        Self {
            name: row.name.clone(),
            user: user.to_owned(),
            host: host.to_owned(),
            port: port.to_owned(),
            directory: row.directory.clone(),
            recipients: row.recipients.join(" "),
            logs: row.logs.clone(),
            off: !row.on,
            ..Self::default()
        }
    }

    /// An empty form.
    fn empty() -> Self {
        Self {
            port: PORT.to_owned(),
            directory: ".".to_owned(),
            logs: View::ALL
                .iter()
                .map(|view| view.name().to_owned())
                .collect(),
            ..Self::default()
        }
    }

    fn to(&self) -> String {
        let is_bare = self.host.contains(':') && !self.host.starts_with('[');
        let host = match is_bare {
            true => format!("[{}]", self.host),
            false => self.host.clone(),
        };
        let port = if self.port.is_empty() {
            PORT
        } else {
            &self.port
        };
        format!("{}@{host}:{port}", self.user)
    }

    fn choices(&self) -> Vec<Choice> {
        let choice = |view: View| Choice {
            name: view.name(),
            is_chosen: self.logs.iter().any(|log| log == view.name()),
        };
        View::ALL.into_iter().map(choice).collect()
    }

    fn draft(&self, password: Option<String>) -> Draft {
        let recipients = self.recipients.split([',', ' ', '\r', '\n']);
        Draft {
            name: self.name.clone(),
            to: self.to(),
            directory: self.directory.clone(),
            host_key: Some(self.host_key.clone()),
            recipients: recipients
                .filter(|one| !one.is_empty())
                .map(str::to_owned)
                .collect(),
            logs: self.logs.clone(),
            off: self.off,
            password,
        }
    }
}

/// The first step: which machine, which folder, which logs.
#[derive(Template)]
#[template(path = "transfer_new.html")]
struct DescribePage {
    frame: Frame,
    of: Described,
    wrong: Option<String>,
}

/// The second step: the host key is compared, and the way in is tried.
#[derive(Template)]
#[template(path = "transfer_compare.html")]
struct ComparePage {
    frame: Frame,
    of: Described,
    /// Type of the key, when it was looked up just now.
    kind: Option<String>,
    own_key: String,
    trial: Trial,
}

#[derive(Deserialize)]
struct HostKey {
    fingerprint: String,
    kind: String,
}

impl WebDoor {
    pub(super) async fn transfer_pages(
        &self,
        visit: &Visit,
        rest: &[&str],
    ) -> Result<Reply, Refused> {
        match (visit.is_post, rest) {
            (false, []) => self.destinations(visit).await,
            (true, ["rotate"]) => self.close_logs(visit).await,
            (false, ["new"]) => self.new_destination(visit).await,
            (true, ["new"]) => self.look_up(visit).await,
            (true, ["save"]) => self.try_and_save(visit).await,
            (false, ["to", name]) => {
                let row = self.row(visit, name).await?;
                Ok(destination_page(visit, row, Trial::default()))
            }
            (true, ["to", name, "test"]) => {
                let row = self.row(visit, name).await?;
                let request = TransferRequest::Test {
                    name: row.name.clone(),
                    draft: None,
                };
                let trial = self.trial(visit, request).await;
                Ok(destination_page(visit, row, trial))
            }
            (true, ["to", name, "send"]) => {
                let name = (*name).to_owned();
                let path = format!("/transfers/to/{}?notice=transfer-now", encoded(&name));
                let request = TransferRequest::Retry { name: Some(name) };
                self.change(visit, Request::Transfer(request)).await?;
                Ok(reply::see(&path))
            }
            (false, ["to", name, "remove"]) => self.confirm_removal(visit, name).await,
            (true, ["to", name, "remove"]) => {
                let name = (*name).to_owned();
                let request = TransferRequest::Remove { name };
                self.change(visit, Request::Transfer(request)).await?;
                Ok(reply::see("/transfers?notice=transfer-removed"))
            }
            _ => Ok(nowhere(visit)),
        }
    }

    async fn shown(&self, visit: &Visit) -> Result<Shown, Refused> {
        let request = Request::Transfer(TransferRequest::Show);
        self.reading(visit, request).await
    }

    async fn destinations(&self, visit: &Visit) -> Result<Reply, Refused> {
        let settings = Request::Setting(SettingRequest::List);
        let mut settings: Vec<Setting> = self.reading(visit, settings).await?;
        settings.retain(|setting| setting.setting.starts_with(SETTINGS));
        let page = TransfersPage {
            frame: visit.frame("Log transfer", Section::Transfers),
            shown: self.shown(visit).await?,
            settings,
            views: View::ALL.iter().map(|view| view.name()).collect(),
        };
        Ok(reply::page(StatusCode::OK, &page))
    }

    async fn close_logs(&self, visit: &Visit) -> Result<Reply, Refused> {
        let log = visit.form.text("log");
        let request = TransferRequest::Rotate { log };
        self.change(visit, Request::Transfer(request)).await?;
        Ok(reply::see("/transfers?notice=logs-closed"))
    }

    async fn row(&self, visit: &Visit, name: &str) -> Result<Row, Refused> {
        let mut rows = self.shown(visit).await?.destinations.into_iter();
        let row = rows.find(|row| row.name == name);
        row.ok_or_else(|| Refused::reading(format!("There is no transfer destination {name}.")))
    }

    async fn confirm_removal(&self, visit: &Visit, name: &str) -> Result<Reply, Refused> {
        let row = self.row(visit, name).await?;
        let path = format!("/transfers/to/{}", encoded(&row.name));
        let waiting = match row.waiting {
            0 => "Nothing waits for it.".to_owned(),
            n => format!(
                "Closed logs that wait for it: {n}. They stay here until every other destination \
                 has them, and are not sent to this one."
            ),
        };
        let what = format!(
            "Nothing more is sent to {} in {}. What stands there stays there.",
            row.to, row.directory
        );
        let page = Confirm {
            frame: visit.frame(
                &format!("Remove destination {}", row.name),
                Section::Transfers,
            ),
            says: vec![what, waiting],
            action: format!("{path}/remove"),
            verb: "Remove the destination",
            back: path,
            reasons: Vec::new(),
        };
        Ok(reply::page(StatusCode::OK, &page))
    }

    /// An empty form, or one with what a saved destination has.
    async fn new_destination(&self, visit: &Visit) -> Result<Reply, Refused> {
        let of = match visit.query.text("of") {
            Some(name) => Described::saved(&self.row(visit, &name).await?),
            None => {
                // Whoever may not save one is told so here, not at the end.
                self.shown(visit).await?;
                Described::empty()
            }
        };
        Ok(describe_page(visit, StatusCode::OK, of, None))
    }

    /// Asks the described machine for its host key, if nobody has brought it along.
    async fn look_up(&self, visit: &Visit) -> Result<Reply, Refused> {
        let mut of = Described::of(&visit.form);
        let own_key = self.shown(visit).await?.ssh_key_of_this_node;
        let mut kind = None;
        of.compared = !of.host_key.is_empty();
        if !of.compared {
            let request = Request::Transfer(TransferRequest::HostKey { to: of.to() });
            let told = self.desk.ask(&visit.visitor, request).await;
            let read = told.and_then(|told| {
                serde_json::from_value::<HostKey>(told).map_err(|e| e.to_string())
            });
            match read {
                Ok(key) => (of.host_key, kind) = (key.fingerprint, Some(key.kind)),
                Err(why) => {
                    return Ok(describe_page(visit, StatusCode::CONFLICT, of, Some(why)));
                }
            }
        }
        let page = ComparePage {
            frame: visit.frame("Compare and try", Section::Transfers),
            of,
            kind,
            own_key,
            trial: Trial::default(),
        };
        Ok(reply::page(StatusCode::OK, &page))
    }

    /// Tries a described destination, and saves it if that was asked for.
    async fn try_and_save(&self, visit: &Visit) -> Result<Reply, Refused> {
        let of = Described::of(&visit.form);
        let own_key = self.shown(visit).await?.ssh_key_of_this_node;
        let password = Some(visit.form.get("password").to_owned());
        let draft = of.draft(password.filter(|password| !password.is_empty()));
        let name = of.name.clone();
        let saves = visit.form.get("do") == "save";
        let request = match saves {
            true => TransferRequest::Put {
                draft,
                untested: false,
            },
            false => TransferRequest::Test {
                name: name.clone(),
                draft: Some(draft),
            },
        };
        let trial = match of.compared {
            true => self.trial(visit, request).await,
            false => Trial {
                steps: Vec::new(),
                fault: Some("Compare the host key first, and say that you did.".to_owned()),
            },
        };
        if saves && trial.has_passed() {
            let path = format!("/transfers/to/{}?notice=transfer-saved", encoded(&name));
            return Ok(reply::see(&path));
        }
        let status = match trial.fault {
            Some(_) => StatusCode::CONFLICT,
            None => StatusCode::OK,
        };
        let page = ComparePage {
            frame: visit.frame("Compare and try", Section::Transfers),
            of,
            kind: None,
            own_key,
            trial,
        };
        Ok(reply::page(status, &page))
    }

    async fn trial(&self, visit: &Visit, request: TransferRequest) -> Trial {
        let mut steps = Vec::new();
        let tell = |line: Line| {
            if let Line::Item(item) = line {
                let step = item.get("step").and_then(Value::as_str);
                steps.extend(step.map(str::to_owned));
            }
        };
        let request = Request::Transfer(request);
        let told = self.desk.ask_telling(&visit.visitor, request, tell).await;
        Trial {
            fault: told.err(),
            steps,
        }
    }
}

fn destination_page(visit: &Visit, row: Row, trial: Trial) -> Reply {
    let status = match trial.fault {
        Some(_) => StatusCode::CONFLICT,
        None => StatusCode::OK,
    };
    let page = TransferPage {
        frame: visit.frame(&format!("Destination {}", row.name), Section::Transfers),
        row,
        trial,
    };
    reply::page(status, &page)
}

fn describe_page(visit: &Visit, status: StatusCode, of: Described, wrong: Option<String>) -> Reply {
    let page = DescribePage {
        frame: visit.frame("A transfer destination", Section::Transfers),
        of,
        wrong,
    };
    reply::page(status, &page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_becomes_what_the_command_line_says() {
        let form = b"name=vault&user=logs&host=2001%3Adb8%3A%3A7&port=&directory=in&log-audit=yes\
                     &recipients=age1a%0D%0Aage1b%2C+age1c&off=yes&host_key=+SHA256%3Ax+";
        let described = Described::of(&Form::parse(form));
        let draft = described.draft(None);
        assert_eq!(draft.to, "logs@[2001:db8::7]:22");
        assert_eq!(draft.recipients, ["age1a", "age1b", "age1c"]);
        assert_eq!(draft.logs, ["audit"]);
        assert_eq!(draft.host_key.as_deref(), Some("SHA256:x"));
        assert!(draft.off && !described.compared);
        let form = b"user=logs&host=%5B2001%3Adb8%3A%3A7%5D&port=2222";
        let to = Described::of(&Form::parse(form)).to();
        assert_eq!(to, "logs@[2001:db8::7]:2222");
    }
}
