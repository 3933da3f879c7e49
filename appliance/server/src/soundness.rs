//! What this node knows of the soundness of its own data: what scrubs found, what could not be
//! repaired, and whether it has to begin anew to be whole again.

use parking_lot::Mutex;
use serde::Serialize;
use std::collections::BTreeMap;
use tokio::sync::watch;

/// What the last look at the node's own data found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Findings {
    /// Number of the scrub; `None` for a look that the node took by itself.
    pub scrub: Option<u64>,
    /// Records of both logs that were read and found right.
    pub records: u64,
    /// Objects whose sealed bytes were opened and found right.
    pub objects: u64,
    /// Objects that were put right from other members.
    pub repaired: u64,
}

/// The findings, and what is still wrong.
#[derive(Debug)]
pub struct Soundness {
    last: Mutex<Option<Findings>>,
    /// By part: what is wrong with it.
    faults: Mutex<BTreeMap<&'static str, String>>,
    anew: watch::Sender<bool>,
}

impl Default for Soundness {
    fn default() -> Self {
        Self {
            last: Mutex::default(),
            faults: Mutex::default(),
            anew: watch::Sender::new(false),
        }
    }
}

impl Soundness {
    /// What the last look found; `None` before the first.
    pub fn last(&self) -> Option<Findings> {
        self.last.lock().clone()
    }

    pub(crate) fn found(&self, findings: Findings) {
        *self.last.lock() = Some(findings);
    }

    /// What is wrong and was not put right.
    pub fn faults(&self) -> Vec<String> {
        let faults = self.faults.lock();
        let text = |(part, fault): (&&str, &String)| format!("{part}: {fault}");
        faults.iter().map(text).collect()
    }

    /// Says that a part is damaged, or sound again.
    pub(crate) fn set_fault(&self, part: &'static str, fault: Option<String>) {
        let mut faults = self.faults.lock();
        match fault {
            Some(fault) => {
                if faults.get(part) != Some(&fault) {
                    tracing::error!("{part}: {fault}");
                }
                faults.insert(part, fault);
            }
            None => drop(faults.remove(part)),
        }
    }

    /// The node must begin anew: what is damaged is put right only before it takes part.
    pub(crate) fn begin_anew(&self) {
        self.anew.send_replace(true);
    }

    /// Returns when the node must begin anew.
    pub(crate) async fn must_begin_anew(&self) {
        let mut anew = self.anew.subscribe();
        if anew.wait_for(|anew| *anew).await.is_err() {
            // The engine is gone, and with it everything that could begin anew.
            std::future::pending::<()>().await;
        }
    }
}
