//! Logs: four views of both, and one record with its proof.

use super::WebDoor;
use super::form::encoded;
use super::frame::{Frame, Section};
use super::reply::{self, Reply};
use super::routes::{Refused, nowhere};
use super::visit::Visit;
use crate::doors::control::{RecordsRequest, Request};
use askama::Template;
use domain::View;
use hyper::StatusCode;
use serde::Deserialize;
use serde_json::Value;

/// Records of one page.
const ROWS: u64 = 50;

/// What stands in which view, for people.
const VIEWS: [(View, &str, &str); 4] = [
    (View::System, "System", "nodes, members, epochs, slots"),
    (
        View::Audit,
        "Audit",
        "keys, users, administrators, settings",
    ),
    (
        View::Activity,
        "Activity",
        "keys that were read or searched for",
    ),
    (View::Client, "Client Event", "what clients were refused"),
];

#[derive(Deserialize)]
struct Row {
    log: String,
    n: u64,
    time: String,
    view: String,
    summary: String,
}

#[derive(Deserialize)]
struct Rows {
    rows: Vec<Row>,
    next: Option<(u64, u64)>,
    unfinished: bool,
}

/// A link to a view.
struct Tab {
    path: String,
    title: &'static str,
    is_here: bool,
}

#[derive(Template)]
#[template(path = "logs.html")]
struct LogsPage {
    frame: Frame,
    tabs: Vec<Tab>,
    view: String,
    about: &'static str,
    text: String,
    /// The newest records of this search, and whether these are they.
    first: String,
    is_first: bool,
    found: Rows,
    next: Option<String>,
}

#[derive(Deserialize)]
struct Record {
    log: String,
    n: u64,
    time: String,
    view: String,
    summary: String,
    actor: Value,
    event: Option<Value>,
    access: Option<Value>,
    bytes: String,
    leaf: String,
    proof: Vec<String>,
    size: u64,
    root: String,
    note: String,
}

impl Record {
    /// What it holds, as an export has it.
    fn content(&self) -> String {
        let content = self.event.as_ref().or(self.access.as_ref());
        let of = |value: &Value| serde_json::to_string_pretty(value).unwrap_or_default();
        let told = content.map(of).unwrap_or_default();
        format!("actor: {}\n{told}", of(&self.actor))
    }
}

#[derive(Template)]
#[template(path = "record.html")]
struct RecordPage {
    frame: Frame,
    record: Record,
}

impl WebDoor {
    pub(super) async fn log_pages(&self, visit: &Visit, rest: &[&str]) -> Result<Reply, Refused> {
        match (visit.is_post, rest) {
            (false, []) => self.records(visit).await,
            (_, ["export", rest @ ..]) => self.export_pages(visit, rest).await,
            (false, [log @ ("cluster" | "access"), n]) => self.record(visit, log, n).await,
            _ => Ok(nowhere(visit)),
        }
    }

    async fn records(&self, visit: &Visit) -> Result<Reply, Refused> {
        let view = visit.query.get("view").to_owned();
        let text = visit.query.text("text").unwrap_or_default();
        let before = visit.query.get("before").split_once('-');
        let before = before.and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
        let request = RecordsRequest::Page {
            view: Some(view.clone()),
            text: Some(text.clone()),
            before,
            limit: ROWS,
        };
        let found: Rows = self.reading(visit, Request::Records(request)).await?;
        let query = encoded(&text);
        let path = |view: &str| format!("/logs?view={}&text={query}", encoded(view));
        let next = found.next;
        let next = next.map(|(a, b)| format!("{}&before={a}-{b}", path(&view)));
        let all = Tab {
            path: path(""),
            title: "All",
            is_here: view.is_empty(),
        };
        let of_view = |(of, title, _): (View, &'static str, &str)| Tab {
            path: path(of.name()),
            title,
            is_here: of.name() == view,
        };
        let about = VIEWS.iter().find(|(of, ..)| of.name() == view);
        let page = LogsPage {
            frame: visit.frame("Logs", Section::Logs),
            tabs: std::iter::once(all).chain(VIEWS.map(of_view)).collect(),
            about: about.map_or("everything, of both logs", |(_, _, about)| about),
            first: path(&view),
            view,
            text,
            is_first: before.is_none(),
            found,
            next,
        };
        Ok(reply::page(StatusCode::OK, &page))
    }

    async fn record(&self, visit: &Visit, log: &str, n: &str) -> Result<Reply, Refused> {
        let Ok(n) = n.parse() else {
            return Ok(nowhere(visit));
        };
        let request = RecordsRequest::One {
            log: log.to_owned(),
            n,
        };
        let page = RecordPage {
            record: self.reading(visit, Request::Records(request)).await?,
            frame: visit.frame(&format!("Record {n} of the {log} log"), Section::Logs),
        };
        Ok(reply::page(StatusCode::OK, &page))
    }
}
