//! What is let in: who asks, by which session, and whether a form comes from one of our own pages.
//!
//! A change needs all of it: the cookie of a session (which browsers send for requests of our own
//! pages alone), an `Origin` that is this very place, and the token that the session's pages carry
//! (ABUSE A13). Reading needs the cookie. What a form holds is read after that, and only as much as
//! our forms can have.

use super::WebDoor;
use super::form::Form;
use super::frame::{Frame, Section, Trouble};
use super::reply::{self, Reply};
use crate::doors::control::Visitor;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Method, Request, StatusCode};
use std::net::IpAddr;
use std::time::Duration;
use zeroize::Zeroizing;

/// The cookie of a session. Browsers keep a name with this prefix to this host, to TLS and to `/`.
const COOKIE: &str = "__Host-strongroom";

/// Bytes of a form.
const FORM_BYTES_MAX: usize = 64 * 1024;

/// Bytes of a body that is no form of ours, which are read and passed over before it is refused.
const PASSED_OVER_BYTES_MAX: usize = 1 << 20;

/// Time for a form to come in.
const FORM_TIMEOUT: Duration = Duration::from_secs(10);

/// Longest path with its query.
const TARGET_BYTES_MAX: usize = 4 * 1024;

/// A request of somebody who is signed in, and may be answered.
#[derive(Debug)]
pub(super) struct Visit {
    pub(super) visitor: Visitor,
    /// Whether something is to be done.
    pub(super) is_post: bool,
    /// The parts of the path, decoded names of ours: none is empty.
    pub(super) path: Vec<String>,
    pub(super) query: Form,
    pub(super) form: Form,
}

impl Visit {
    /// What stands round a page.
    pub(super) fn frame(&self, title: &str, section: Section) -> Frame {
        Frame::of(title, section, &self.visitor, &self.query)
    }
}

/// What a request brings before anything is read of it.
pub(super) struct Arrival {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) query: Form,
    pub(super) from: IpAddr,
    pub(super) token: Option<String>,
    headers: HeaderMap,
    body: Incoming,
}

impl Arrival {
    /// Takes a request apart.
    #[expect(
        clippy::result_large_err,
        reason = "the answer is on its way out, and is moved once"
    )]
    pub(super) fn of(request: Request<Incoming>, from: IpAddr) -> Result<Self, Reply> {
        let (parts, body) = request.into_parts();
        let target = parts.uri.path_and_query();
        if target.is_some_and(|target| target.as_str().len() > TARGET_BYTES_MAX) {
            let status = StatusCode::URI_TOO_LONG;
            return Err(refuse(
                status,
                "This address is too long. Use the links of the pages.",
            ));
        }
        Ok(Self {
            method: parts.method,
            path: parts.uri.path().to_owned(),
            query: Form::parse(parts.uri.query().unwrap_or_default().as_bytes()),
            from,
            token: cookie(&parts.headers),
            headers: parts.headers,
            body,
        })
    }

    /// Whether a form was sent by a page of this very place.
    #[expect(
        clippy::result_large_err,
        reason = "the answer is on its way out, and is moved once"
    )]
    pub(super) fn check_origin(&self) -> Result<(), Reply> {
        let text = |name| {
            self.headers
                .get(name)
                .and_then(|v: &HeaderValue| v.to_str().ok())
        };
        let (origin, host) = (text(header::ORIGIN), text(header::HOST));
        if is_own(origin, host) {
            return Ok(());
        }
        let why = "This form was sent by another page, so nothing was done. Open Strongroom by its \
                   own address, and send it from there.";
        Err(refuse(StatusCode::FORBIDDEN, why))
    }

    /// Reads the form.
    pub(super) async fn form(self) -> Result<Form, Reply> {
        let kind = self.headers.get(header::CONTENT_TYPE);
        let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if !kind.starts_with("application/x-www-form-urlencoded") {
            let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            let why = "This is not one of our forms. Nothing was done.";
            return Err(refuse(status, why));
        }
        let (status, why) = match tokio::time::timeout(FORM_TIMEOUT, received(self.body)).await {
            Ok(Ok(Some(bytes))) => return Ok(Form::parse(&bytes)),
            Ok(Ok(None)) => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "This form is larger than any of ours. Nothing was done.",
            ),
            Ok(Err(_)) => (
                StatusCode::BAD_REQUEST,
                "The form came in damaged. Nothing was done; send it again.",
            ),
            Err(_) => (
                StatusCode::REQUEST_TIMEOUT,
                "The form took too long to come in. Nothing was done; send it again.",
            ),
        };
        Err(refuse(status, why))
    }
}

/// The bytes of a form; nothing when they are too many. Some of what is too much is read all the
/// same: a browser shows no answer as long as it cannot send.
async fn received(mut body: Incoming) -> Result<Option<Zeroizing<Vec<u8>>>, hyper::Error> {
    // Room for all at once: a form that grows would leave a password behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(FORM_BYTES_MAX));
    let mut seen = 0;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else {
            continue;
        };
        seen += data.len();
        if seen <= FORM_BYTES_MAX {
            bytes.extend_from_slice(&data);
        } else if seen > PASSED_OVER_BYTES_MAX {
            break;
        }
    }
    Ok((seen <= FORM_BYTES_MAX).then_some(bytes))
}

/// A refusal before anybody is signed in.
pub(super) fn refuse(status: StatusCode, why: &str) -> Reply {
    reply::page(status, &Trouble::outside(why))
}

fn is_own(origin: Option<&str>, host: Option<&str>) -> bool {
    let origin = origin.and_then(|origin| origin.strip_prefix("https://"));
    origin.is_some_and(|origin| host.is_some_and(|host| host.eq_ignore_ascii_case(origin)))
}

/// The token of the session, when the browser shows exactly one.
fn cookie(headers: &HeaderMap) -> Option<String> {
    let lines = headers.get_all(header::COOKIE).iter();
    let pairs = lines.filter_map(|line| line.to_str().ok());
    let pairs = pairs.flat_map(|line| line.split(';'));
    let named = pairs.filter_map(|pair| pair.trim().split_once('='));
    let mut ours = named.filter(|(name, _)| *name == COOKIE);
    let (_, token) = ours.next()?;
    // Two of them are no browser's doing.
    ours.next().is_none().then(|| token.to_owned())
}

/// Has the browser keep a session, or forget it.
pub(super) fn set_cookie(reply: &mut Reply, token: Option<&str>) {
    let (token, end) = match token {
        Some(token) => (token, ""),
        None => ("", "; Max-Age=0"),
    };
    let line = format!("{COOKIE}={token}; Secure; HttpOnly; SameSite=Strict; Path=/{end}");
    // Hexadecimal digits only.
    if let Ok(line) = HeaderValue::from_str(&line) {
        reply.headers_mut().insert(header::SET_COOKIE, line);
    }
}

impl WebDoor {
    /// Lets in who is signed in; sends others to sign in.
    pub(super) async fn admit(&self, arrival: Arrival) -> Result<Visit, Reply> {
        let visitor = arrival.token.as_deref();
        let visitor = visitor.and_then(|token| self.desk.visitor(token));
        let is_post = arrival.method == Method::POST;
        if is_post {
            arrival.check_origin()?;
        }
        let Some(visitor) = visitor else {
            return Err(match is_post {
                true => reply::see("/sign-in?notice=ended-form"),
                false if arrival.path == "/" => reply::see("/sign-in"),
                false => reply::see("/sign-in?notice=ended"),
            });
        };
        let path = arrival.path.split('/').filter(|part| !part.is_empty());
        let path: Vec<String> = path.map(str::to_owned).collect();
        let is_way_out = matches!(
            path.first().map(String::as_str),
            Some("password" | "sign-out")
        );
        if visitor.must_change && !is_way_out {
            return Err(reply::see("/password"));
        }
        let mut visit = Visit {
            visitor,
            is_post,
            path,
            query: Form::default(),
            form: Form::default(),
        };
        if is_post {
            visit.form = arrival.form().await?;
            let shown = visit.form.get("token");
            if !is_same(shown, &visit.visitor.person.form_token) {
                let why = "This form is of another session, so nothing was done. Go back, load the \
                           page again and send it from there.";
                let trouble = Trouble::inside(&visit, "Not done", why);
                return Err(reply::page(StatusCode::FORBIDDEN, &trouble));
            }
        } else {
            visit.query = arrival.query;
        }
        Ok(visit)
    }
}

/// Compares without telling by time where two texts differ.
fn is_same(one: &str, other: &str) -> bool {
    let digest = |text: &str| vault::provider::sha256(&[text.as_bytes()]);
    digest(one) == digest(other)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn forms_come_from_this_very_place() {
        for (origin, host, own) in [
            (Some("https://keys:9443"), Some("keys:9443"), true),
            (Some("https://KEYS:9443"), Some("keys:9443"), true),
            (Some("https://keys"), Some("keys:9443"), false),
            (Some("http://keys:9443"), Some("keys:9443"), false),
            (
                Some("https://keys:9443.evil.example"),
                Some("keys:9443"),
                false,
            ),
            (Some("null"), Some("keys:9443"), false),
            (None, Some("keys:9443"), false),
            (Some("https://keys:9443"), None, false),
            (Some("https://"), Some(""), true),
        ] {
            assert_eq!(is_own(origin, host), own, "{origin:?} {host:?}");
        }
    }

    #[test]
    fn one_cookie_of_our_name_is_a_session() {
        let of = |lines: &[&str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(header::COOKIE, HeaderValue::from_str(line).unwrap());
            }
            cookie(&headers)
        };
        assert_eq!(of(&["a=b; __Host-strongroom=12; c"]).as_deref(), Some("12"));
        assert_eq!(of(&["__Host-strongroom=1; __Host-strongroom=2"]), None);
        assert_eq!(of(&["__Host-strongroom=1", "__Host-strongroom=2"]), None);
        assert_eq!(of(&["strongroom=1"]), None);
        assert_eq!(of(&[]), None);
    }
}
