//! Answers: their bodies, and the headers that each of them has.

use askama::Template;
use hyper::body::{Body, Bytes, Frame, SizeHint};
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::mpsc;

/// An answer.
pub(super) type Reply = Response<Content>;

/// What a page may do: nothing but what comes from here as a file of its own. No text that somebody
/// put into a name can run (ABUSE A14), and no other page can frame this one.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; \
    form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// Headers of every answer. There is no Strict-Transport-Security (docs/decisions/0021). The
/// referrer is kept for our own pages: without it browsers give `null` as the origin of a form.
const HEADERS: [(&str, &str); 6] = [
    ("content-security-policy", POLICY),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
];

/// A body: bytes at hand, or those of a file as they are read.
#[derive(Debug)]
pub(crate) enum Content {
    Whole(Option<Bytes>),
    Stream {
        chunks: mpsc::Receiver<io::Result<Bytes>>,
        /// Bytes that are still to come.
        left: u64,
    },
}

impl Body for Content {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Stream { chunks, left } => chunks.poll_recv(context).map(|chunk| match chunk {
                Some(Ok(bytes)) => {
                    *left = left.saturating_sub(bytes.len() as u64);
                    Some(Ok(Frame::data(bytes)))
                }
                Some(Err(e)) => Some(Err(e)),
                None if *left == 0 => None,
                // A part must not pass for the whole.
                None => Some(Err(io::ErrorKind::UnexpectedEof.into())),
            }),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_none(),
            Self::Stream { left, .. } => *left == 0,
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(match self {
            Self::Whole(bytes) => bytes.as_ref().map_or(0, |bytes| bytes.len() as u64),
            Self::Stream { left, .. } => *left,
        })
    }
}

fn with(status: StatusCode, kind: &'static str, content: Content) -> Reply {
    let mut reply = Response::new(content);
    *reply.status_mut() = status;
    let headers = reply.headers_mut();
    for (name, value) in HEADERS {
        let name = HeaderName::from_static(name);
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    let fresh = HeaderValue::from_static("no-store");
    headers.insert(header::CACHE_CONTROL, fresh);
    reply
}

/// Bytes of a kind.
pub(super) fn bytes(status: StatusCode, kind: &'static str, bytes: impl Into<Bytes>) -> Reply {
    with(status, kind, Content::Whole(Some(bytes.into())))
}

/// Plain text, as Prometheus reads it.
pub(super) fn text(status: StatusCode, text: String) -> Reply {
    bytes(status, "text/plain; version=0.0.4; charset=utf-8", text)
}

/// A page.
pub(super) fn page(status: StatusCode, page: &impl Template) -> Reply {
    match page.render() {
        Ok(html) => bytes(status, "text/html; charset=utf-8", html),
        // Writing into a String fails for want of memory only.
        Err(e) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{e}\n")),
    }
}

/// Another page is to be asked for.
pub(super) fn see(path: &str) -> Reply {
    let mut reply = bytes(StatusCode::SEE_OTHER, "text/plain; charset=utf-8", "");
    // Our own paths, with everything else encoded.
    if let Ok(path) = HeaderValue::from_str(path) {
        reply.headers_mut().insert(header::LOCATION, path);
    }
    reply
}

/// A file to be kept under a name of letters, digits, dots, underscores and hyphens.
pub(super) fn file(kind: &'static str, name: &str, content: Content) -> Reply {
    let mut reply = with(StatusCode::OK, kind, content);
    let named = HeaderValue::from_str(&format!("attachment; filename=\"{name}\""));
    let named = named.unwrap_or(HeaderValue::from_static("attachment"));
    reply
        .headers_mut()
        .insert(header::CONTENT_DISPOSITION, named);
    reply
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use http_body_util::BodyExt;

    async fn received(chunks: &[&'static str], left: u64) -> io::Result<Bytes> {
        let (sender, receiver) = mpsc::channel(8);
        for chunk in chunks {
            sender
                .send(Ok(Bytes::from_static(chunk.as_bytes())))
                .await
                .unwrap();
        }
        drop(sender);
        let stream = Content::Stream {
            chunks: receiver,
            left,
        };
        stream
            .collect()
            .await
            .map(http_body_util::Collected::to_bytes)
    }

    #[tokio::test]
    async fn a_part_of_a_file_does_not_pass_for_the_whole() {
        assert_eq!(received(&["ab", "c"], 3).await.unwrap(), "abc");
        assert!(received(&["ab"], 3).await.is_err());
    }

    #[test]
    fn every_answer_has_the_headers() {
        for reply in [
            text(StatusCode::OK, String::new()),
            see("/"),
            file("application/x-tar", "a.tar", Content::Whole(None)),
        ] {
            let policy = reply.headers()[header::CONTENT_SECURITY_POLICY].to_str();
            assert!(policy.unwrap().starts_with("default-src 'none';"));
            assert_eq!(reply.headers()[header::CACHE_CONTROL], "no-store");
            assert_eq!(reply.headers()[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        }
    }
}
