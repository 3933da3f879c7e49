//! What stands round every page, and pages that say what went wrong.

use super::form::Form;
use super::visit::Visit;
use crate::doors::control::Visitor;
use askama::Template;

/// The part of the appliance that a page is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    Home,
    Keys,
    Clients,
    Logs,
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
}

/// What a page that somebody is sent to says first. The address names one of these; it brings no
/// text of its own.
const NOTICES: [(&str, &str); 11] = [
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
        }
    }

    /// The navigation.
    pub(super) fn links(&self) -> Vec<Link> {
        let links = [
            (Section::Home, "/", "Home"),
            (Section::Keys, "/keys", "Keys"),
            (Section::Clients, "/clients", "Clients"),
            (Section::Logs, "/logs", "Logs"),
            (Section::Administrators, "/administrators", "Administrators"),
        ];
        let shown = links.into_iter().filter(|_| !self.is_bound);
        shown
            .map(|(section, path, text)| Link {
                path,
                text,
                is_here: section == self.section,
            })
            .collect()
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
