//! Approved-algorithms mode as it is computed from the parts of the node, its switch with what that
//! would do, and the self-tests.

use super::WebDoor;
use super::frame::{Frame, Section};
use super::home::read;
use super::reply::{self, Reply};
use super::routes::{Refused, nowhere};
use super::visit::Visit;
use crate::doors::control::{FipsRequest, Request};
use askama::Template;
use hyper::StatusCode;
use serde::Deserialize;

/// A part of the node, and what can be claimed for it.
#[derive(Deserialize)]
struct Part {
    name: String,
    standing: String,
    why: String,
}

/// A self-test that was run.
#[derive(Deserialize)]
struct Test {
    name: String,
    kind: String,
    result: String,
    time: String,
    microseconds: u64,
    source: String,
    fault: Option<String>,
}

impl Test {
    fn has_passed(&self) -> bool {
        self.fault.is_none()
    }

    fn took(&self) -> String {
        format!(
            "{}.{:03}",
            self.microseconds / 1_000,
            self.microseconds % 1_000
        )
    }
}

/// A test that runs whenever its occasion comes.
#[derive(Deserialize)]
struct Conditional {
    name: String,
    result: String,
    passed: u64,
    failed: u64,
    time: String,
}

#[derive(Deserialize)]
struct Mode {
    #[serde(rename = "Approved-algorithms mode")]
    mode: String,
    #[serde(rename = "What this means")]
    says: String,
    #[serde(rename = "What can be claimed")]
    claim: String,
    #[serde(rename = "Self-tests")]
    result: String,
    #[serde(rename = "Self-tests at power-up")]
    time: String,
    parts: Vec<Part>,
    tests: Vec<Test>,
    conditional: Vec<Conditional>,
}

impl Mode {
    /// Which way the switch goes: on, when it is neither on nor asked for.
    fn turns_on(&self) -> bool {
        self.mode == "off"
    }
}

#[derive(Template)]
#[template(path = "algorithms.html")]
struct AlgorithmsPage {
    frame: Frame,
    mode: Mode,
}

/// All self-tests, run because somebody asked.
#[derive(Deserialize)]
struct Report {
    result: String,
    time: String,
    tests: Vec<Test>,
}

#[derive(Template)]
#[template(path = "selftest.html")]
struct SelfTestPage {
    frame: Frame,
    report: Report,
}

/// An open connection that the switch ends.
#[derive(Deserialize)]
struct Session {
    user: String,
    from: String,
    tls: String,
    may_come_back_as_it_is: bool,
}

/// An object of an algorithm that is not approved.
#[derive(Deserialize)]
struct Listed {
    uid: String,
    algorithm: String,
    owner: Option<String>,
    name: Option<String>,
}

/// What a switch would do.
#[derive(Deserialize)]
struct Plan {
    is_so_already: bool,
    sessions_dropped: u64,
    sessions: Vec<Session>,
    objects_of_other_algorithms: u64,
    objects: Vec<Listed>,
    administrators_who_must_change_their_password: Vec<String>,
    also: Vec<String>,
    confirm: String,
}

impl Plan {
    /// Those who must change their password.
    fn renewed(&self) -> &[String] {
        &self.administrators_who_must_change_their_password
    }
}

#[derive(Template)]
#[template(path = "switch.html")]
struct SwitchPage {
    frame: Frame,
    on: bool,
    plan: Plan,
    wrong: Option<String>,
}

/// What somebody types who means it.
const fn words(on: bool) -> &'static str {
    if on { "switch on" } else { "switch off" }
}

impl SwitchPage {
    fn words(&self) -> &'static str {
        words(self.on)
    }
}

impl WebDoor {
    pub(super) async fn algorithm_pages(
        &self,
        visit: &Visit,
        rest: &[&str],
    ) -> Result<Reply, Refused> {
        match (visit.is_post, rest) {
            (false, []) => {
                let request = Request::Fips(FipsRequest::Status);
                let page = AlgorithmsPage {
                    frame: visit.frame("Approved algorithms and self-tests", Section::Algorithms),
                    mode: self.reading(visit, request).await?,
                };
                Ok(reply::page(StatusCode::OK, &page))
            }
            (true, ["self-tests"]) => {
                let report = self.change(visit, Request::SelfTest).await?;
                let page = SelfTestPage {
                    frame: visit.frame("Self-tests", Section::Algorithms),
                    report: read(report)?,
                };
                Ok(reply::page(StatusCode::OK, &page))
            }
            (false, ["switch-on"]) => self.plan_page(visit, true, None).await,
            (false, ["switch-off"]) => self.plan_page(visit, false, None).await,
            (true, ["switch-on"]) => self.switch(visit, true).await,
            (true, ["switch-off"]) => self.switch(visit, false).await,
            _ => Ok(nowhere(visit)),
        }
    }

    /// What the switch would do, and the form that does it.
    async fn plan_page(
        &self,
        visit: &Visit,
        on: bool,
        wrong: Option<String>,
    ) -> Result<Reply, Refused> {
        let status = match wrong {
            Some(_) => StatusCode::CONFLICT,
            None => StatusCode::OK,
        };
        let title = match on {
            true => "Switch approved-algorithms mode on",
            false => "Switch approved-algorithms mode off",
        };
        let request = Request::Fips(FipsRequest::Plan { on });
        let page = SwitchPage {
            frame: visit.frame(title, Section::Algorithms),
            on,
            plan: self.reading(visit, request).await?,
            wrong,
        };
        Ok(reply::page(status, &page))
    }

    async fn switch(&self, visit: &Visit, on: bool) -> Result<Reply, Refused> {
        let typed = visit.form.get("words").trim().to_lowercase();
        if typed != words(on) {
            let why = format!("the words are {:?}; {typed:?} was typed", words(on));
            return self.plan_page(visit, on, Some(why)).await;
        }
        let plan = visit.form.get("plan").to_owned();
        let request = Request::Fips(FipsRequest::Switch { on, plan });
        match self.desk.ask(&visit.visitor, request).await {
            Ok(_) => Ok(reply::see(match on {
                true => "/algorithms?notice=mode-on",
                false => "/algorithms?notice=mode-off",
            })),
            Err(why) => self.plan_page(visit, on, Some(why)).await,
        }
    }
}
