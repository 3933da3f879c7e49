//! What stands round every page, and pages that say what went wrong.

use super::form::Form;
use super::visit::Visit;
use crate::doors::control::Visitor;
use askama::Template;
use domain::Right;

/// The part of the appliance that a page is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    Home,
    Keys,
    Clients,
    Logs,
    Transfers,
    Algorithms,
    Administrators,
    Account,
    None,
}

/// A link of the navigation.
pub(super) struct Link {
    pub(super) path: &'static str,
    pub(super) text: &'static str,
    pub(super) is_here: bool,
}

/// What stands round a page.
pub(super) struct Frame {
    pub(super) title: String,
    section: Section,
    /// Who is signed in, with what their forms carry.
    pub(super) name: Option<String>,
    pub(super) token: String,
    /// What has just been done.
    pub(super) notice: Option<&'static str>,
    /// Seconds until the page is asked for again.
    pub(super) refresh: Option<u32>,
    /// Whether nothing else can be done now.
    is_bound: bool,
    /// What the reader may do.
    rights: Vec<Right>,
}

/// What a page that somebody is sent to says first. The address names one of these; it brings no
/// text of its own.
const NOTICES: [(&str, &str); 17] = [
    ("ended", "You are not signed in, or your session has ended."),
    (
        "ended-form",
        "Your session has ended, so nothing was done. Sign in again.",
    ),
    ("signed-out", "You are signed out."),
    (
        "password",
        "Your password is changed. Your other sessions have ended.",
    ),
    ("key-made", "The key is made."),
    ("key-activated", "The key is active."),
    ("key-revoked", "The key is revoked."),
    (
        "key-destroyed",
        "The key is destroyed. Its record stays for ever.",
    ),
    (
        "client-added",
        "The client is added. Take its files now: they are given out once.",
    ),
    (
        "client-renewed",
        "The client has a new certificate. Take its files now: they are given out once.",
    ),
    (
        "client-revoked",
        "The client is revoked. Its open connections end within 5 seconds.",
    ),
    (
        "logs-closed",
        "What was in the logs is closed; each closed log is on its way.",
    ),
    (
        "transfer-saved",
        "The destination was tried, and is saved. Logs that are closed from now on go there.",
    ),
    (
        "transfer-removed",
        "The destination is removed. Nothing more is sent there.",
    ),
    (
        "transfer-now",
        "What waits is sent now. Look again in a moment for how it went.",
    ),
    (
        "mode-on",
        "Approved-algorithms mode is switched on. What was open before has ended, on every node.",
    ),
    (
        "mode-off",
        "Approved-algorithms mode is switched off. What was open before has ended, on every node.",
    ),
];

impl Frame {
    pub(super) fn of(title: &str, section: Section, visitor: &Visitor, query: &Form) -> Self {
        Self {
            title: title.to_owned(),
            section,
            name: Some(visitor.person.name.to_string()),
            token: visitor.person.form_token.clone(),
            notice: notice(query),
            refresh: None,
            is_bound: visitor.must_change,
            rights: visitor.rights().to_vec(),
        }
    }

    /// For somebody who is not signed in.
    pub(super) fn outside(title: &str, query: &Form) -> Self {
        Self {
            title: title.to_owned(),
            section: Section::None,
            name: None,
            token: String::new(),
            notice: notice(query),
            refresh: None,
            is_bound: true,
            rights: Vec::new(),
        }
    }

    /// The navigation: what would be refused is not offered.
    pub(super) fn links(&self) -> Vec<Link> {
        use Right::{SeeAdministrators, SeeKeys, SeeLogs, SeeStatus, SeeUsers};
        let links = [
            (Section::Home, SeeStatus, "/", "Home"),
            (Section::Keys, SeeKeys, "/keys", "Keys"),
            (Section::Clients, SeeUsers, "/clients", "Clients"),
            (Section::Logs, SeeLogs, "/logs", "Logs"),
            (Section::Transfers, SeeLogs, "/transfers", "Transfers"),
            (Section::Algorithms, SeeStatus, "/algorithms", "Algorithms"),
            (
                Section::Administrators,
                SeeAdministrators,
                "/administrators",
                "Administrators",
            ),
        ];
        let shown = links.into_iter().filter(|_| !self.is_bound);
        shown
            .filter(|(_, right, ..)| self.may(*right))
            .map(|(section, _, path, text)| Link {
                path,
                text,
                is_here: section == self.section,
            })
            .collect()
    }

    fn may(&self, right: Right) -> bool {
        self.rights.contains(&right)
    }

    /// Whether the reader sees keys, and may lead them through their life.
    pub(super) fn keys(&self) -> bool {
        self.may(Right::SeeKeys)
    }

    /// Whether the reader sees clients.
    pub(super) fn clients(&self) -> bool {
        self.may(Right::SeeUsers)
    }

    /// Whether the reader may add clients and give them certificates.
    pub(super) fn adds_clients(&self) -> bool {
        self.may(Right::AddClient)
    }

    /// Whether the reader may take the files of a client away.
    pub(super) fn takes_files(&self) -> bool {
        self.may(Right::TakeClientBundle)
    }

    /// Whether the reader sees the logs.
    pub(super) fn logs(&self) -> bool {
        self.may(Right::SeeLogs)
    }

    /// Whether the reader may switch approved-algorithms mode.
    pub(super) fn switches_mode(&self) -> bool {
        self.may(Right::ChangeSeals)
    }

    /// Whether the reader may have the self-tests run.
    pub(super) fn runs_tests(&self) -> bool {
        self.may(Right::RunSelfTests)
    }

    /// Files of one version are kept by browsers.
    pub(super) fn version(&self) -> &'static str {
        env!("CARGO_PKG_VERSION")
    }
}

fn notice(query: &Form) -> Option<&'static str> {
    let wanted = query.get("notice");
    let found = NOTICES.iter().find(|(id, _)| *id == wanted);
    found.map(|(_, text)| *text)
}

/// A page that says what went wrong, and what to do.
#[derive(Template)]
#[template(path = "trouble.html")]
pub(super) struct Trouble {
    frame: Frame,
    why: String,
}

impl Trouble {
    pub(super) fn outside(why: &str) -> Self {
        Self {
            frame: Frame::outside("Not done", &Form::default()),
            why: why.to_owned(),
        }
    }

    pub(super) fn inside(visit: &Visit, title: &str, why: &str) -> Self {
        Self {
            frame: visit.frame(title, Section::None),
            why: why.to_owned(),
        }
    }
}

/// A page that asks once more before something that cannot be taken back.
#[derive(Template)]
#[template(path = "confirm.html")]
pub(super) struct Confirm {
    pub(super) frame: Frame,
    /// What will happen, a paragraph each.
    pub(super) says: Vec<String>,
    /// Where the form goes.
    pub(super) action: String,
    /// What the button says.
    pub(super) verb: &'static str,
    /// Where to go instead.
    pub(super) back: String,
    /// Reasons to choose from, with their codes.
    pub(super) reasons: Vec<(u32, &'static str)>,
}
