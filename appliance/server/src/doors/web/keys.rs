//! Keys: search, one key with its history, and its life.

use super::WebDoor;
use super::form::encoded;
use super::frame::{Confirm, Frame, Section};
use super::home::read;
use super::reply::{self, Reply};
use super::routes::{Refused, nowhere};
use super::visit::Visit;
use crate::doors::control::{KeysRequest, Request};
use askama::Template;
use domain::LifecycleState;
use domain::lifecycle::{self, Verb};
use hyper::StatusCode;
use serde::Deserialize;

/// Keys of one page.
const ROWS: u64 = 50;

/// Why a key is revoked (Revocation Reason Code, KMIP 1.4 §9.1.3.2.19).
const REASONS: [(u32, &str); 6] = [
    (6, "Cessation of operation: it is no longer needed"),
    (5, "Superseded: another key takes its place"),
    (2, "Key compromise: others may know it"),
    (4, "Affiliation changed: its owner has another task"),
    (7, "Privilege withdrawn: its owner may no longer use it"),
    (1, "Unspecified"),
];

#[derive(Deserialize)]
struct Row {
    uid: String,
    kind: String,
    algorithm: Option<String>,
    state: String,
    owner: Option<String>,
    name: Option<String>,
    created: String,
}

#[derive(Deserialize)]
struct Rows {
    rows: Vec<Row>,
    next: Option<String>,
    unfinished: bool,
    total: u64,
}

#[derive(Template)]
#[template(path = "keys.html")]
struct KeysPage {
    frame: Frame,
    /// What was searched for.
    name: String,
    uid: String,
    state: String,
    owner: String,
    /// The first page of this search, and whether this is it.
    first: String,
    is_first: bool,
    states: Vec<String>,
    found: Rows,
    /// Where the next page is.
    next: Option<String>,
}

#[derive(Deserialize)]
struct AttributeRow {
    name: String,
    index: u64,
    value: String,
    meaning: Option<String>,
}

#[derive(Deserialize)]
struct Told {
    record: u64,
    time: String,
    summary: String,
}

#[derive(Deserialize)]
struct Key {
    uid: String,
    name: Option<String>,
    kind: String,
    algorithm: Option<String>,
    state: String,
    owner: Option<String>,
    registered: bool,
    commitment: Option<String>,
    epoch: Option<u64>,
    destruction_final: Option<bool>,
    attributes: Vec<AttributeRow>,
    history: Vec<Told>,
    older: bool,
}

impl Key {
    fn title(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.uid)
    }

    /// Whether something may come next, by the table of the domain.
    fn may(&self, verb: Verb) -> bool {
        let mut states = LifecycleState::ALL.into_iter();
        let state = states.find(|state| state.to_string() == self.state);
        state.is_some_and(|state| lifecycle::next(state, verb).is_some())
    }

    fn may_activate(&self) -> bool {
        self.may(Verb::Activate)
    }

    fn may_revoke(&self) -> bool {
        !self.reasons().is_empty()
    }

    fn may_destroy(&self) -> bool {
        self.may(Verb::Destroy)
    }

    /// The reasons for which it may be revoked now.
    fn reasons(&self) -> Vec<(u32, &'static str)> {
        let reasons = REASONS.into_iter();
        reasons
            .filter(|(code, _)| self.may(Verb::of_revocation(*code)))
            .collect()
    }
}

#[derive(Template)]
#[template(path = "key.html")]
struct KeyPage {
    frame: Frame,
    key: Key,
    /// The oldest record that is shown.
    oldest: u64,
}

#[derive(Deserialize)]
struct Passage {
    history: Vec<Told>,
    older: bool,
}

#[derive(Template)]
#[template(path = "key_history.html")]
struct HistoryPage {
    frame: Frame,
    uid: String,
    passage: Passage,
    oldest: u64,
}

#[derive(Deserialize)]
struct Choice {
    algorithm: String,
    bits: u32,
}

#[derive(Template)]
#[template(path = "key_new.html")]
struct NewKeyPage {
    frame: Frame,
    choices: Vec<Choice>,
    owner: String,
}

impl WebDoor {
    pub(super) async fn key_pages(&self, visit: &Visit, rest: &[&str]) -> Result<Reply, Refused> {
        match (visit.is_post, rest) {
            (false, []) => self.find_keys(visit).await,
            (false, ["new"]) => self.new_key(visit).await,
            (true, ["new"]) => self.make_key(visit).await,
            (false, [uid]) => self.one_key(visit, uid).await,
            (false, [uid, "history"]) => self.key_history(visit, uid).await,
            (false, [uid, verb]) => self.confirm_key(visit, uid, verb).await,
            (true, [uid, verb]) => self.change_key(visit, uid, verb).await,
            _ => Ok(nowhere(visit)),
        }
    }

    async fn find_keys(&self, visit: &Visit) -> Result<Reply, Refused> {
        let search = ["name", "uid", "state", "owner"].map(|field| {
            let text = visit.query.text(field);
            text.unwrap_or_default()
        });
        let [name, uid, state, owner] = search.clone();
        let after = visit.query.text("after");
        let is_first = after.is_none();
        let request = KeysRequest::Find {
            name: Some(name),
            uid: Some(uid),
            state: Some(state),
            owner: Some(owner),
            after,
            limit: ROWS,
        };
        let found: Rows = self.reading(visit, Request::Keys(request)).await?;
        let [of_name, of_uid, of_state, of_owner] = search.each_ref().map(|text| encoded(text));
        let first = format!("/keys?name={of_name}&uid={of_uid}&state={of_state}&owner={of_owner}");
        let next = found.next.as_deref();
        let next = next.map(|after| format!("{first}&after={}", encoded(after)));
        let [name, uid, state, owner] = search;
        let page = KeysPage {
            frame: visit.frame("Keys", Section::Keys),
            name,
            uid,
            state,
            owner,
            first,
            is_first,
            states: LifecycleState::ALL
                .iter()
                .map(ToString::to_string)
                .collect(),
            found,
            next,
        };
        Ok(reply::page(StatusCode::OK, &page))
    }

    async fn key(&self, visit: &Visit, uid: &str) -> Result<Key, Refused> {
        let uid = uid.to_owned();
        self.reading(visit, Request::KeyShow { uid }).await
    }

    async fn one_key(&self, visit: &Visit, uid: &str) -> Result<Reply, Refused> {
        let key = self.key(visit, uid).await?;
        let page = KeyPage {
            frame: visit.frame(&format!("Key {}", key.title()), Section::Keys),
            oldest: key.history.first().map_or(0, |told| told.record),
            key,
        };
        Ok(reply::page(StatusCode::OK, &page))
    }

    async fn key_history(&self, visit: &Visit, uid: &str) -> Result<Reply, Refused> {
        let before = visit.query.get("before").parse().unwrap_or(u64::MAX);
        let uid = uid.to_owned();
        let request = KeysRequest::History {
            uid: uid.clone(),
            before,
        };
        let passage: Passage = self.reading(visit, Request::Keys(request)).await?;
        let page = HistoryPage {
            frame: visit.frame("Earlier history", Section::Keys),
            uid,
            oldest: passage.history.first().map_or(0, |told| told.record),
            passage,
        };
        Ok(reply::page(StatusCode::OK, &page))
    }

    async fn new_key(&self, visit: &Visit) -> Result<Reply, Refused> {
        let request = Request::Keys(KeysRequest::Choices);
        let page = NewKeyPage {
            choices: self.reading(visit, request).await?,
            owner: visit.query.get("owner").to_owned(),
            frame: visit.frame("New key", Section::Keys),
        };
        Ok(reply::page(StatusCode::OK, &page))
    }

    async fn make_key(&self, visit: &Visit) -> Result<Reply, Refused> {
        #[derive(Deserialize)]
        struct Made {
            uid: Option<String>,
        }
        let form = &visit.form;
        let (algorithm, bits) = form.get("kind").rsplit_once('/').unwrap_or_default();
        let request = KeysRequest::Create {
            owner: form.text("owner").unwrap_or_default(),
            name: form.text("name"),
            algorithm: algorithm.to_owned(),
            bits: bits.parse().unwrap_or(0),
            group: form.text("group"),
            activate: form.get("activate") == "yes",
        };
        let made: Made = read(self.change(visit, Request::Keys(request)).await?)?;
        let uid = made.uid.unwrap_or_default();
        Ok(reply::see(&format!(
            "/keys/{}?notice=key-made",
            encoded(&uid)
        )))
    }

    /// Says what would happen, and asks once more.
    async fn confirm_key(&self, visit: &Visit, uid: &str, verb: &str) -> Result<Reply, Refused> {
        let (title, button, says) = match verb {
            "activate" => (
                "Activate",
                "Activate the key",
                "Its owner may use it from now on. It cannot become pre-active again.",
            ),
            "revoke" => (
                "Revoke",
                "Revoke the key",
                "It is no longer for protecting anything. What it protected can still be read, and \
                 it can be destroyed. This cannot be taken back.",
            ),
            "destroy" => (
                "Destroy",
                "Destroy the key",
                "Its material is gone for good: what only this key protects can never be read \
                 again. No backup and no other node brings it back.",
            ),
            _ => return Ok(nowhere(visit)),
        };
        let key = self.key(visit, uid).await?;
        let owner = key.owner.as_deref().unwrap_or("nobody");
        let what = format!(
            "{} ({}, {}) of {owner} is {}.",
            key.title(),
            key.uid,
            key.algorithm.as_deref().unwrap_or(&key.kind),
            key.state
        );
        let path = format!("/keys/{}", encoded(&key.uid));
        let page = Confirm {
            frame: visit.frame(&format!("{title} key {}", key.title()), Section::Keys),
            says: vec![what, says.to_owned()],
            action: format!("{path}/{verb}"),
            verb: button,
            back: path,
            reasons: match verb {
                "revoke" => key.reasons(),
                _ => Vec::new(),
            },
        };
        Ok(reply::page(StatusCode::OK, &page))
    }

    async fn change_key(&self, visit: &Visit, uid: &str, verb: &str) -> Result<Reply, Refused> {
        let uid = uid.to_owned();
        let path = format!("/keys/{}", encoded(&uid));
        let (request, notice) = match verb {
            "activate" => (KeysRequest::Activate { uid }, "key-activated"),
            "revoke" => {
                let reason = visit.form.get("reason").parse().unwrap_or(0);
                let message = visit.form.text("message");
                let revoke = KeysRequest::Revoke {
                    uid,
                    reason,
                    message,
                };
                (revoke, "key-revoked")
            }
            "destroy" => (KeysRequest::Destroy { uid }, "key-destroyed"),
            _ => return Ok(nowhere(visit)),
        };
        self.change(visit, Request::Keys(request)).await?;
        Ok(reply::see(&format!("{path}?notice={notice}")))
    }
}
