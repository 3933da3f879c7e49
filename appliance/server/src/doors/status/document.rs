//! What the status port tells, as JSON, and which document each address was given last: the
//! signature that it fetches next is of exactly those bytes.

use super::Subject;
use crate::approved;
use crate::{clock, metrics, render, selftest};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Format of the document; a reader that knows this number understands every later document that
/// bears it.
const FORMAT: u32 = 1;

/// Documents without a nonce are made anew after this time (ABUSE A48).
const FRESH_FOR: Duration = Duration::from_secs(1);

/// Documents that are kept until their signature is fetched: some kibibytes each.
const DOCUMENTS_MAX: usize = 256;

/// What is told of a subject.
pub(super) fn describe(subject: &Subject, nonce: Option<&str>) -> Value {
    let tests = selftest::json();
    let mut told = match subject {
        Subject::ErrorState => json!({
            "state": "error",
            "faults": selftest::power_up().failed(),
            "time": render::moment(clock::now()),
            "approved_mode": Value::Null,
            "logs": Value::Null,
            "signature": Value::Null,
        }),
        Subject::Node {
            engine,
            notary,
            cosigner,
        } => {
            let health = metrics::health(engine);
            let state = match (selftest::has_failed(), health.serving, health.writing) {
                (true, _, _) => "error",
                (false, true, true) => "serving",
                (false, true, false) => "read-only",
                (false, false, _) => "not serving",
            };
            let cluster_log = {
                let ledger = engine.machine().ledger();
                json!({ "size": ledger.size(), "root": ledger.root().to_string() })
            };
            let (size, root) = engine.access().head();
            let agreed = cosigner.last();
            json!({
                "state": state,
                "faults": health.faults,
                "time": render::moment(engine.now()),
                "cluster": engine.vault().cluster().to_string(),
                "node": engine.node().0,
                "approved_mode": approved::json(engine),
                "logs": {
                    "cluster": cluster_log,
                    "access": { "size": size, "root": root.to_string() },
                    "agreed": agreed.map(|agreed| json!({
                        "size": agreed.checkpoint.size,
                        "nodes": agreed.nodes.iter().map(|node| node.0).collect::<Vec<_>>(),
                    })),
                },
                "signature": {
                    "signer": ledger::ExportSigner::principal(&**notary),
                    "namespace": ledger::STATUS_NAMESPACE,
                    "key": ledger::openssh_public_key(notary.public_key()),
                },
            })
        }
    };
    if let Some(told) = told.as_object_mut() {
        told.insert("format".to_owned(), json!(FORMAT));
        told.insert("product".to_owned(), json!("Strongroom"));
        told.insert("version".to_owned(), json!(env!("CARGO_PKG_VERSION")));
        told.insert("nonce".to_owned(), json!(nonce));
        told.insert("self_tests".to_owned(), tests);
    }
    told
}

/// A document as it was given out.
struct Given {
    text: String,
    made: Instant,
}

/// What each address was given.
#[derive(Default)]
pub(super) struct Served {
    documents: BTreeMap<(IpAddr, Option<String>), Given>,
}

impl Served {
    /// The document for an address: the one of this second, or a new one.
    pub(super) fn document(
        &mut self,
        from: IpAddr,
        nonce: Option<&str>,
        describe: impl FnOnce() -> Value,
    ) -> String {
        let key = (from, nonce.map(str::to_owned));
        let fresh = self.documents.get(&key);
        if let Some(given) = fresh.filter(|given| given.made.elapsed() < FRESH_FOR) {
            return given.text.clone();
        }
        while self.documents.len() >= DOCUMENTS_MAX && !self.documents.contains_key(&key) {
            let oldest = self.documents.iter().min_by_key(|(_, given)| given.made);
            let Some(oldest) = oldest.map(|(key, _)| key.clone()) else {
                break;
            };
            self.documents.remove(&oldest);
        }
        let text = format!("{}\n", describe());
        let made = Instant::now();
        let given = Given {
            text: text.clone(),
            made,
        };
        self.documents.insert(key, given);
        text
    }

    /// The document that an address was given last; who fetches the signature first, is given the
    /// same document after it.
    pub(super) fn given(
        &mut self,
        from: IpAddr,
        nonce: Option<&str>,
        describe: impl FnOnce() -> Value,
    ) -> String {
        let key = (from, nonce.map(str::to_owned));
        match self.documents.get(&key) {
            Some(given) => given.text.clone(),
            None => self.document(from, nonce, describe),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn address(n: u8) -> IpAddr {
        IpAddr::V4(Ipv4Addr::new(192, 0, 2, n))
    }

    #[test]
    fn a_signature_is_of_what_the_same_address_was_given() {
        let mut served = Served::default();
        let document = |n: u32| move || json!({ "n": n });
        let one = served.document(address(1), None, document(1));
        let two = served.document(address(2), None, document(2));
        let nonce = served.document(address(1), Some("x"), document(3));
        assert_eq!(served.given(address(1), None, document(9)), one);
        assert_eq!(served.given(address(2), None, document(9)), two);
        assert_eq!(served.given(address(1), Some("x"), document(9)), nonce);
        // Within the same second it is not made anew; a new nonce is another document.
        assert_eq!(served.document(address(1), None, document(9)), one);
        assert_eq!(
            served.given(address(1), Some("y"), document(4)),
            "{\"n\":4}\n"
        );
    }

    #[test]
    fn what_is_kept_has_a_limit() {
        let mut served = Served::default();
        for n in 0..DOCUMENTS_MAX + 10 {
            served.document(address(1), Some(&n.to_string()), || json!({}));
        }
        assert_eq!(served.documents.len(), DOCUMENTS_MAX);
    }
}
