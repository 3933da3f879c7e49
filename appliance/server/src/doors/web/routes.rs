//! Which page answers which path. Reading never changes anything; what changes something is a POST.

use super::WebDoor;
use super::form::Form;
use super::frame::{Frame, Section, Trouble};
use super::reply::{self, Reply};
use super::visit::{self, Arrival, Visit};
use crate::lockout::Source;
use crate::metrics;
use askama::Template;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CACHE_CONTROL, HeaderValue};
use hyper::{Method, Request, StatusCode};
use std::net::IpAddr;
use vault::Secret;

const STYLE: &str = include_str!("assets/strongroom.css");
const SCRIPT: &str = include_str!("assets/strongroom.js");
const ICON: &str = include_str!("assets/strongroom.svg");

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage {
    frame: Frame,
    name: String,
    wrong: Option<String>,
}

#[derive(Template)]
#[template(path = "password.html")]
struct PasswordPage {
    frame: Frame,
    must_change: bool,
    wrong: Option<String>,
}

impl WebDoor {
    /// Answers one request.
    pub(super) async fn respond(&self, request: Request<Incoming>, from: IpAddr) -> Reply {
        let arrival = match Arrival::of(request, from) {
            Ok(arrival) => arrival,
            Err(refusal) => return refusal,
        };
        let is_read = matches!(arrival.method, Method::GET | Method::HEAD);
        if !is_read && arrival.method != Method::POST {
            return only("GET, HEAD, POST");
        }
        if let Some(reply) = is_read.then(|| self.open_to_all(&arrival.path)).flatten() {
            return reply;
        }
        if arrival.path == "/sign-in" {
            return match is_read {
                true => sign_in_page(StatusCode::OK, &arrival.query, None),
                false => self.sign_in(arrival).await,
            };
        }
        match self.admit(arrival).await {
            Ok(visit) => self.visited(visit).await,
            Err(refusal) => refusal,
        }
    }

    /// What needs no session.
    fn open_to_all(&self, path: &str) -> Option<Reply> {
        Some(match path {
            "/health" => {
                let health = metrics::health(&self.engine);
                let status = match health.serving {
                    true => StatusCode::OK,
                    false => StatusCode::SERVICE_UNAVAILABLE,
                };
                let body = serde_json::to_string(&health).unwrap_or_default() + "\n";
                reply::bytes(status, "application/json", body)
            }
            "/metrics" => reply::text(StatusCode::OK, metrics::prometheus(&self.engine)),
            "/assets/strongroom.css" => asset("text/css; charset=utf-8", STYLE),
            "/assets/strongroom.js" => asset("text/javascript; charset=utf-8", SCRIPT),
            "/assets/strongroom.svg" => asset("image/svg+xml", ICON),
            _ => return None,
        })
    }

    async fn sign_in(&self, arrival: Arrival) -> Reply {
        if let Err(refusal) = arrival.check_origin() {
            return refusal;
        }
        let (source, old) = (Source::of(arrival.from), arrival.token.clone());
        let form = match arrival.form().await {
            Ok(form) => form,
            Err(refusal) => return refusal,
        };
        let password = Secret::take(form.get("password").as_bytes().to_vec());
        let name = form.get("name").trim();
        match self.desk.sign_in_web(name, password, source).await {
            Ok(token) => {
                // Whatever the browser had before is nobody's session any more.
                let old = old.and_then(|old| self.desk.visitor(&old));
                if let Some(old) = old {
                    self.desk.sign_out(&old);
                }
                let mut reply = reply::see("/");
                visit::set_cookie(&mut reply, Some(&token));
                reply
            }
            Err(why) => sign_in_page(StatusCode::UNAUTHORIZED, &form, Some(why)),
        }
    }

    async fn visited(&self, visit: Visit) -> Reply {
        let path: Vec<&str> = visit.path.iter().map(String::as_str).collect();
        let answered = match (visit.is_post, path.as_slice()) {
            (true, ["sign-out"]) => {
                self.desk.sign_out(&visit.visitor);
                let mut reply = reply::see("/sign-in?notice=signed-out");
                visit::set_cookie(&mut reply, None);
                Ok(reply)
            }
            (false, ["password"]) => Ok(password_page(StatusCode::OK, &visit, None)),
            (true, ["password"]) => Ok(self.change_password(&visit).await),
            (false, []) => self.home(&visit).await,
            (false, ["administrators"]) => self.administrators(&visit).await,
            (_, ["keys", rest @ ..]) => self.key_pages(&visit, rest).await,
            (_, ["clients", rest @ ..]) => self.client_pages(&visit, rest).await,
            (_, ["logs", rest @ ..]) => self.log_pages(&visit, rest).await,
            (_, ["transfers", rest @ ..]) => self.transfer_pages(&visit, rest).await,
            (_, ["algorithms", rest @ ..]) => self.algorithm_pages(&visit, rest).await,
            _ => Ok(nowhere(&visit)),
        };
        answered.unwrap_or_else(|refused| refused.reply(&visit))
    }

    async fn change_password(&self, visit: &Visit) -> Reply {
        let text = |name: &str| visit.form.get(name).to_owned();
        let (old, new) = (text("old"), text("new"));
        let wrong = if new != visit.form.get("again") {
            "The new password was not typed twice alike.".to_owned()
        } else {
            match self.desk.change_password(&visit.visitor, old, new).await {
                Ok(()) => return reply::see("/?notice=password"),
                Err(why) => why,
            }
        };
        password_page(StatusCode::CONFLICT, visit, Some(wrong))
    }
}

/// Why a page was not shown, or nothing was done.
pub(super) struct Refused {
    status: StatusCode,
    why: String,
}

impl Refused {
    /// A reading that was refused.
    pub(super) fn reading(why: String) -> Self {
        let status = StatusCode::FORBIDDEN;
        Self { status, why }
    }

    /// A change that was not made.
    pub(super) fn change(why: String) -> Self {
        let status = StatusCode::CONFLICT;
        Self { status, why }
    }

    fn reply(self, visit: &Visit) -> Reply {
        let title = match visit.is_post {
            true => "Not done",
            false => "Not shown",
        };
        reply::page(self.status, &Trouble::inside(visit, title, &self.why))
    }
}

/// There is no such page.
pub(super) fn nowhere(visit: &Visit) -> Reply {
    let why = "There is no page at this address. The pages are linked above.";
    let trouble = Trouble::inside(visit, "No such page", why);
    reply::page(StatusCode::NOT_FOUND, &trouble)
}

fn only(methods: &'static str) -> Reply {
    let status = StatusCode::METHOD_NOT_ALLOWED;
    let mut reply = visit::refuse(
        status,
        "Pages are read with GET and forms are sent with POST.",
    );
    reply
        .headers_mut()
        .insert(ALLOW, HeaderValue::from_static(methods));
    reply
}

/// A file of this version of the program. The address has the version, so it is kept for long.
fn asset(kind: &'static str, text: &'static str) -> Reply {
    let mut reply = reply::bytes(StatusCode::OK, kind, text);
    let kept = HeaderValue::from_static("max-age=86400");
    reply.headers_mut().insert(CACHE_CONTROL, kept);
    reply
}

fn sign_in_page(status: StatusCode, form: &Form, wrong: Option<String>) -> Reply {
    let page = SignInPage {
        frame: Frame::outside("Sign in", form),
        name: form.get("name").to_owned(),
        wrong,
    };
    reply::page(status, &page)
}

fn password_page(status: StatusCode, visit: &Visit, wrong: Option<String>) -> Reply {
    let page = PasswordPage {
        frame: visit.frame("Change your password", Section::Account),
        must_change: visit.visitor.must_change,
        wrong,
    };
    reply::page(status, &page)
}
