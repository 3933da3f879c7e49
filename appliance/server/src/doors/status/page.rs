//! The status for people: one page without script, readable light and dark and in a narrow window.

use serde_json::Value;
use std::fmt::Write;

/// Nothing is loaded from elsewhere, nothing stands in the page that could run.
pub(super) const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The sheet that goes with it.
pub(super) const STYLE: &str = include_str!("style.css");

/// The sign in the tab.
pub(super) const ICON: &str = "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 16 16\">\
    <path fill=\"#2f6f8f\" d=\"M8 0l7 3v5c0 4-3 7-7 8-4-1-7-4-7-8V3z\"/>\
    <path fill=\"none\" stroke=\"#fff\" stroke-width=\"2\" d=\"M4.5 8l2.5 2.5 4.5-5\"/></svg>";

/// The page of a document.
pub(super) fn page(document: &Value) -> String {
    let mut page = Page(String::with_capacity(16 * 1024));
    page.head(document);
    page.mode(document);
    page.tests(document);
    page.logs(document);
    page.signature(document);
    page.raw("</main>\n</body>\n</html>\n");
    page.0
}

/// Whether a word tells something good, for its colour; the word itself always stands there too.
fn tone(word: &str) -> &'static str {
    match word {
        "serving" | "passed" | "on" | "approved" => "good",
        "read-only" | "asked for" | "outside" => "warn",
        "error" | "not serving" | "failed" | "not approved" => "bad",
        _ => "plain",
    }
}

fn text<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or("")
}

fn list<'v>(value: &'v Value, pointer: &str) -> &'v [Value] {
    let list = value.pointer(pointer).and_then(Value::as_array);
    list.map_or(&[], Vec::as_slice)
}

/// A page in the making. What comes from outside goes through [`Page::text`].
struct Page(String);

impl Page {
    fn raw(&mut self, markup: &str) {
        self.0.push_str(markup);
    }

    /// Text, with everything escaped that means something in a page (ABUSE A14).
    fn text(&mut self, text: &str) {
        for c in text.chars() {
            match c {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                c => self.0.push(c),
            }
        }
    }

    fn badge(&mut self, word: &str) {
        let class = tone(word);
        let _ = write!(self.0, "<span class=\"badge {class}\">");
        self.text(word);
        self.raw("</span>");
    }

    /// A name and what it is.
    fn pair(&mut self, name: &str, value: &str) {
        self.raw("<dt>");
        self.text(name);
        self.raw("</dt><dd>");
        self.text(value);
        self.raw("</dd>\n");
    }

    fn head(&mut self, document: &Value) {
        self.raw(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n\
             <meta http-equiv=\"refresh\" content=\"30\">\n\
             <title>Strongroom status</title>\n\
             <link rel=\"icon\" type=\"image/svg+xml\" href=\"/status.svg\">\n\
             <link rel=\"stylesheet\" href=\"/status.css\">\n</head>\n<body>\n<header>\n\
             <h1>Strongroom <small>status</small></h1>\n<p class=\"state\">",
        );
        self.badge(text(document, "/state"));
        self.raw("</p>\n</header>\n<main>\n<section>\n<h2>Device</h2>\n");
        for fault in list(document, "/faults") {
            self.raw("<p class=\"fault\">");
            self.text(fault.as_str().unwrap_or_default());
            self.raw("</p>\n");
        }
        if text(document, "/state") == "error" {
            self.raw(
                "<p>A self-test has failed. Keys are not served and nothing is changed; the \
                 only way out is to start this node again, and pass.</p>\n",
            );
        }
        self.raw("<dl>\n");
        self.pair("Time", text(document, "/time"));
        self.pair("Version", text(document, "/version"));
        if let Some(node) = document.get("node") {
            self.pair("Node", &node.to_string());
            self.pair("Cluster", text(document, "/cluster"));
        }
        self.raw("</dl>\n</section>\n");
    }

    fn mode(&mut self, document: &Value) {
        let Some(mode) = document.get("approved_mode").filter(|mode| !mode.is_null()) else {
            return;
        };
        self.raw("<section>\n<h2>Approved-algorithms mode</h2>\n<p>");
        self.badge(text(mode, "/mode"));
        self.raw(" ");
        self.text(text(mode, "/says"));
        self.raw(
            "</p>\n<div class=\"scroll\">\n<table>\n<thead><tr><th>Part</th><th>Standing</th>\
             <th>Why</th></tr></thead>\n<tbody>\n",
        );
        for part in list(mode, "/parts") {
            self.raw("<tr><td>");
            self.text(text(part, "/name"));
            self.raw("</td><td>");
            self.badge(text(part, "/standing"));
            self.raw("</td><td>");
            self.text(text(part, "/why"));
            self.raw("</td></tr>\n");
        }
        self.raw("</tbody>\n</table>\n</div>\n</section>\n");
    }

    fn tests(&mut self, document: &Value) {
        self.raw("<section>\n<h2>Self-tests</h2>\n");
        for (part, heading) in [
            ("power_up", "At power-up"),
            ("on_demand", "On demand, last"),
        ] {
            let report = document.pointer(&format!("/self_tests/{part}"));
            let Some(report) = report.filter(|report| !report.is_null()) else {
                continue;
            };
            self.raw("<h3>");
            self.text(heading);
            self.raw(" ");
            self.badge(text(report, "/result"));
            self.raw("</h3>\n");
            self.test_table(list(report, "/tests"));
        }
        let conditional = list(document, "/self_tests/conditional");
        if !conditional.is_empty() {
            self.raw(
                "<h3>Of the pairs of keys made since</h3>\n<div class=\"scroll\">\n<table>\n\
                 <thead><tr><th>Test</th><th>Result</th><th>Last</th><th>Times</th></tr></thead>\n\
                 <tbody>\n",
            );
            for test in conditional {
                self.raw("<tr><td>");
                self.text(text(test, "/name"));
                self.raw("</td><td>");
                self.badge(text(test, "/result"));
                self.raw("</td><td class=\"time\">");
                self.text(text(test, "/time"));
                self.raw("</td><td>");
                self.text(&test.get("passed").map(Value::to_string).unwrap_or_default());
                self.raw("</td></tr>\n");
            }
            self.raw("</tbody>\n</table>\n</div>\n");
        }
        self.raw("</section>\n");
    }

    fn test_table(&mut self, tests: &[Value]) {
        self.raw(
            "<div class=\"scroll\">\n<table>\n<thead><tr><th>Test</th><th>Result</th><th>Time</th>\
             <th>Kind</th><th>Source</th></tr></thead>\n<tbody>\n",
        );
        for test in tests {
            self.raw("<tr><td>");
            self.text(text(test, "/name"));
            self.raw("</td><td>");
            self.badge(text(test, "/result"));
            let fault = text(test, "/fault");
            if !fault.is_empty() {
                self.raw(" ");
                self.text(fault);
            }
            self.raw("</td><td class=\"time\">");
            self.text(text(test, "/time"));
            for field in ["/kind", "/source"] {
                self.raw("</td><td>");
                self.text(text(test, field));
            }
            self.raw("</td></tr>\n");
        }
        self.raw("</tbody>\n</table>\n</div>\n");
    }

    fn logs(&mut self, document: &Value) {
        let Some(logs) = document.get("logs").filter(|logs| !logs.is_null()) else {
            return;
        };
        self.raw("<section>\n<h2>Log heads</h2>\n<dl>\n");
        for (part, name) in [("cluster", "Cluster log"), ("access", "Access log")] {
            let size = logs.pointer(&format!("/{part}/size"));
            let size = size.map(Value::to_string).unwrap_or_default();
            let root = text(logs, &format!("/{part}/root"));
            self.pair(name, &format!("{size} records, root {root}"));
        }
        if let Some(size) = logs.pointer("/agreed/size") {
            let nodes = list(logs, "/agreed/nodes").iter().map(Value::to_string);
            let nodes = nodes.collect::<Vec<_>>().join(", ");
            self.pair("Signed by", &format!("nodes {nodes}, up to {size} records"));
        }
        self.raw("</dl>\n</section>\n");
    }

    fn signature(&mut self, document: &Value) {
        self.raw("<section>\n<h2>Checking this from afar</h2>\n");
        let signer = text(document, "/signature/signer");
        if signer.is_empty() {
            self.raw("<p>In the error state no key is opened, so nothing here is signed.</p>\n");
        } else {
            self.raw("<p>");
            self.raw(
                "The same as <a href=\"/status.json\">status.json</a>, signed by the log key ",
            );
            self.raw("of this node: fetch both with a nonce of your own, then compare with the ");
            self.raw("<code>allowed_signers</code> of an export that you trust.</p>\n<pre>");
            let namespace = text(document, "/signature/namespace");
            self.text("curl -o status.json     'https://HOST:9081/status.json?nonce=NONCE'\n");
            self.text("curl -o status.json.sig 'https://HOST:9081/status.json.sig?nonce=NONCE'\n");
            self.text(&format!(
                "ssh-keygen -Y verify -f allowed_signers -I {signer} \\\n  -n {namespace} \
                 -s status.json.sig < status.json\n"
            ));
            self.raw("</pre>\n<dl>\n");
            self.pair("Signer", signer);
            self.pair("Key", text(document, "/signature/key"));
            self.raw("</dl>\n");
        }
        self.raw("</section>\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn nothing_of_a_document_becomes_markup() {
        let evil = "<script>alert('x')</script>\"&";
        let page = page(&json!({
            "state": evil, "faults": [evil], "time": evil, "version": evil, "node": 1,
            "cluster": evil,
            "approved_mode": { "mode": evil, "says": evil,
                "parts": [{ "name": evil, "standing": evil, "why": evil }] },
            "self_tests": {
                "power_up": { "result": evil, "tests": [{ "name": evil, "fault": evil }] },
                "conditional": [{ "name": evil }],
            },
            "logs": { "cluster": { "size": 1, "root": evil } },
            "signature": { "signer": evil, "namespace": evil, "key": evil },
        }));
        assert!(!page.contains("<script"), "{page}");
        assert!(page.contains("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&quot;&amp;"));
        assert!(!page.contains("style="), "{page}");
    }

    #[test]
    fn the_error_state_says_what_to_do() {
        let page = page(&json!({ "state": "error", "faults": ["AES-256-KWP: wrong"] }));
        assert!(page.contains("AES-256-KWP") && page.contains("start this node again"));
        assert!(page.contains("nothing here is signed"));
    }
}
