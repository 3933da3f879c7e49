//! The end of everything that a node keeps, for a machine that is given away.
//!
//! A marker goes to the disk first; from then on the next start finds an appliance that is not set
//! up, whatever happens in between. The daemon starts anew at once, erases the keys, then the rest.

use super::{Answer, ControlDoor};
use crate::layout::write_file;
use domain::Actor;
use serde_json::json;
use vault::shares::{self, Share};
use vault::{Credential, Secret};

impl ControlDoor {
    pub(super) async fn zeroize(&self, actor: &Actor, secrets: &[String]) -> Answer {
        if self.init.is_none() {
            return Err("this is no appliance; end the program and remove its folder".to_owned());
        }
        let credential = credential(secrets)?;
        let vault = self.engine.vault().clone();
        let opened = tokio::task::spawn_blocking(move || {
            let slot = vault.present(&credential)?;
            let slots = vault.slots();
            Ok::<_, vault::UnlockFault>(slots.iter().any(|s| s.id == slot && s.recovery))
        });
        let opened = opened.await.map_err(|e| e.to_string())?;
        let operation = match opened {
            Ok(true) => "Zeroize",
            _ => "Zeroize with a secret that opens no recovery slot",
        };
        let recorded = self.engine.asked(actor, operation);
        let recorded = recorded.map_err(|e| e.to_string())?.settle().await;
        recorded.map_err(|e| e.to_string())?;
        match opened {
            Ok(true) => {}
            Ok(false) => return Err("this opens another slot than one for recovery".to_owned()),
            Err(e) => return Err(format!("nothing was destroyed: {e}")),
        }
        let marker = self.layout.setup_begun();
        write_file(&marker, b"", 0o600).map_err(|e| format!("{}: {e}", marker.display()))?;
        tracing::warn!("an administrator has all keys and logs of this node destroyed");
        let ask = json!({ "ask": "restart", "service": "core" });
        self.have_init(actor, "Restart Service core", ask).await
    }
}

/// A passphrase, or recovery shares.
fn credential(secrets: &[String]) -> Result<Credential, String> {
    match secrets {
        [passphrase] => Ok(Credential::Passphrase(Secret::copy_of(
            passphrase.as_bytes(),
        ))),
        typed => {
            let parsed = typed.iter().map(|text| text.parse::<Share>());
            let parsed: Vec<Share> = parsed
                .collect::<Result<_, _>>()
                .map_err(|e| e.to_string())?;
            let key = shares::combine(&parsed).map_err(|e| e.to_string())?;
            Ok(Credential::Shares(key))
        }
    }
}
