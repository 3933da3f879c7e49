//! The first page, and who the administrators are.

use super::WebDoor;
use super::frame::{Frame, Section};
use super::reply::{self, Reply};
use super::routes::Refused;
use super::visit::Visit;
use crate::doors::control::{AdminRequest, FipsRequest, Request, ServicesRequest};
use askama::Template;
use domain::LifecycleState;
use hyper::StatusCode;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Certificates on the first page: those that end first.
const CERTIFICATES_MAX: usize = 10;

/// Days before its end when a certificate is pointed at.
const DAYS_TO_WARN: i64 = 30;

/// What a page takes of an answer of the node.
pub(super) fn read<T: DeserializeOwned>(value: Value) -> Result<T, Refused> {
    let read = serde_json::from_value(value);
    read.map_err(|e| Refused::reading(format!("The answer does not read: {e}.")))
}

#[derive(Deserialize)]
struct Head {
    size: u64,
    root: String,
}

#[derive(Deserialize)]
struct Signed {
    size: u64,
    root: String,
    time: String,
}

#[derive(Deserialize)]
struct Agreed {
    size: u64,
    nodes: Vec<u64>,
    of: u64,
}

#[derive(Deserialize)]
struct Disk {
    free_bytes: u64,
}

impl Disk {
    fn gibibytes(&self) -> String {
        let tenths =
            self.free_bytes / (1 << 30) * 10 + self.free_bytes % (1 << 30) * 10 / (1 << 30);
        format!("{}.{}", tenths / 10, tenths % 10)
    }
}

#[derive(Deserialize)]
struct Status {
    version: String,
    cluster: Option<String>,
    node: u64,
    time: String,
    serving: bool,
    writing: bool,
    faults: Vec<String>,
    cluster_log: Head,
    access_log: Head,
    signed: Option<Signed>,
    agreed: Option<Agreed>,
    users: u64,
    objects: u64,
    awaiting_final_destruction: u64,
    disk: Disk,
}

/// A port for those outside.
#[derive(Deserialize)]
struct Service {
    service: String,
    state: String,
    address: Option<String>,
    problem: Option<String>,
}

/// Approved-algorithms mode, in a word.
#[derive(Deserialize)]
struct Mode {
    #[serde(rename = "Approved-algorithms mode")]
    mode: String,
}

#[derive(Deserialize)]
struct Certificate {
    name: String,
    not_after: String,
    days_left: i64,
}

impl Certificate {
    /// The day of its end.
    fn day(&self) -> &str {
        self.not_after.get(..10).unwrap_or(&self.not_after)
    }

    fn is_near(&self) -> bool {
        self.days_left < DAYS_TO_WARN
    }
}

#[derive(Template)]
#[template(path = "home.html")]
struct HomePage {
    frame: Frame,
    status: Status,
    mode: Mode,
    services: Vec<Service>,
    states: Vec<(String, u64)>,
    certificates: Vec<Certificate>,
    /// Certificates of clients that are not shown.
    more_certificates: usize,
}

#[derive(Deserialize)]
struct Administrator {
    name: String,
    permissions: String,
    password_since: Option<String>,
    must_change: bool,
    ssh_keys: u64,
}

#[derive(Template)]
#[template(path = "administrators.html")]
struct AdministratorsPage {
    frame: Frame,
    rows: Vec<Administrator>,
}

impl WebDoor {
    /// Asks for something that is shown.
    pub(super) async fn reading<T: DeserializeOwned>(
        &self,
        visit: &Visit,
        request: Request,
    ) -> Result<T, Refused> {
        let told = self.desk.ask(&visit.visitor, request).await;
        read(told.map_err(Refused::reading)?)
    }

    /// Has something changed.
    pub(super) async fn change(&self, visit: &Visit, request: Request) -> Result<Value, Refused> {
        let told = self.desk.ask(&visit.visitor, request).await;
        told.map_err(Refused::change)
    }

    pub(super) async fn home(&self, visit: &Visit) -> Result<Reply, Refused> {
        let status = self
            .reading(visit, Request::Status { digest: false })
            .await?;
        let mode = Request::Fips(FipsRequest::Status);
        let mode = self.reading(visit, mode).await?;
        let services = Request::Services(ServicesRequest::List);
        let services = self.reading(visit, services).await?;
        let request = Request::Certificates {
            clients: visit.visitor.may(domain::Right::SeeUsers),
        };
        let mut certificates: Vec<Certificate> = self.reading(visit, request).await?;
        let more_certificates = certificates.len().saturating_sub(CERTIFICATES_MAX);
        certificates.truncate(CERTIFICATES_MAX);
        let states = {
            let state = self.engine.machine().state();
            let count = |of: LifecycleState| (of.to_string(), state.count(of));
            LifecycleState::ALL.into_iter().map(count).collect()
        };
        let page = HomePage {
            frame: visit.frame("Home", Section::Home),
            status,
            mode,
            services,
            states,
            certificates,
            more_certificates,
        };
        Ok(reply::page(StatusCode::OK, &page))
    }

    pub(super) async fn administrators(&self, visit: &Visit) -> Result<Reply, Refused> {
        let request = Request::Admin(AdminRequest::List);
        let page = AdministratorsPage {
            rows: self.reading(visit, request).await?,
            frame: visit.frame("Administrators", Section::Administrators),
        };
        Ok(reply::page(StatusCode::OK, &page))
    }
}
