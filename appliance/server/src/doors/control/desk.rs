//! The same requests for the web door: who is signed in there, and what is answered to them. What
//! they may do is settled where it is for the socket, so refusals and records are the same.

use super::administrators::PasswordChange;
use super::sessions::Person;
use super::{ControlDoor, LINES_WAITING_MAX, Line, Request};
use crate::lockout::Source;
use domain::{Actor, Door, Right};
use serde_json::Value;
use tokio::sync::mpsc;
use vault::Secret;

/// Somebody who is signed in in a browser.
#[derive(Clone, Debug)]
pub(crate) struct Visitor {
    pub(crate) person: Person,
    token: String,
    pub(crate) must_change: bool,
    /// What they may do, so that a page shows no way to what would be refused.
    rights: Vec<Right>,
}

impl Visitor {
    pub(crate) fn actor(&self) -> Actor {
        Actor::Operator {
            name: self.person.name.to_string(),
            door: Door::Web,
        }
    }

    /// Whether something would be done for them; nothing is settled by that.
    pub(crate) fn may(&self, right: Right) -> bool {
        self.rights.contains(&right)
    }

    /// All that they may do.
    pub(crate) fn rights(&self) -> &[Right] {
        &self.rights
    }
}

impl ControlDoor {
    /// Signs an administrator in by password; gives the token of the new session.
    ///
    /// # Errors
    /// Why not, for whoever tries.
    pub(crate) async fn sign_in_web(
        &self,
        name: &str,
        password: Secret,
        source: Source,
    ) -> Result<String, String> {
        let signed_in = self.sign_in.by_password(Door::Web, source, name, password);
        let signed_in = signed_in.await?;
        let state = self.engine.machine().state();
        self.sessions.open(signed_in, (Door::Web, source), &state)
    }

    /// Whose session a browser shows, if it is one of a browser.
    pub(crate) fn visitor(&self, token: &str) -> Option<Visitor> {
        let now = self.engine.now();
        let state = self.engine.machine().state();
        let person = self.sessions.who(token, &state)?;
        if person.door != Door::Web {
            return None;
        }
        let known = state.administrator(&person.name)?;
        let mut visitor = Visitor {
            must_change: state.must_change_password(known, now),
            token: token.to_owned(),
            person,
            rights: Vec::new(),
        };
        let actor = visitor.actor();
        let may = |right: &Right| domain::permit_operator(&state, &actor, *right, now).is_ok();
        visitor.rights = Right::ALL.into_iter().filter(may).collect();
        Some(visitor)
    }

    /// Ends a session.
    pub(crate) fn sign_out(&self, visitor: &Visitor) {
        self.sessions.end(&visitor.token);
    }

    /// Answers a request of somebody who is signed in.
    ///
    /// # Errors
    /// Why it was not done, for people.
    pub(crate) async fn ask(&self, visitor: &Visitor, request: Request) -> Result<Value, String> {
        self.ask_telling(visitor, request, drop).await
    }

    /// As [`ControlDoor::ask`], telling the lines before the end: what is being done.
    pub(crate) async fn ask_telling(
        &self,
        visitor: &Visitor,
        request: Request,
        mut tell: impl FnMut(Line),
    ) -> Result<Value, String> {
        let (lines, mut queue) = mpsc::channel(LINES_WAITING_MAX);
        let actor = visitor.actor();
        let work = async {
            let done = self.answer(&actor, request, &lines).await;
            drop(lines);
            done
        };
        let take = async {
            while let Some(line) = queue.recv().await {
                tell(line);
            }
        };
        let (done, ()) = tokio::join!(work, take);
        done
    }

    /// Changes the own password; all other sessions of theirs end with the old one.
    ///
    /// # Errors
    /// Why it was not changed.
    pub(crate) async fn change_password(
        &self,
        visitor: &Visitor,
        old: String,
        new: String,
    ) -> Result<(), String> {
        let Person { name, source, .. } = &visitor.person;
        let (actor, change) = (visitor.actor(), PasswordChange { old, new });
        let changed = self.own_password(name, *source, &actor, &visitor.token, change);
        changed.await.map(drop)
    }
}
