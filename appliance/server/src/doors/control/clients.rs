//! Clients: the users of the KMIP door, and what they prove themselves with.

use super::{Answer, ControlDoor, group_text};
use crate::founding::client_files;
use crate::render;
use domain::{Actor, Name, Right, User};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Rows of one page at most.
const ROWS_MAX: usize = 200;

/// What can be asked about clients, beside the list of the command line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "clients", rename_all = "kebab-case")]
#[expect(
    missing_docs,
    reason = "each variant is an action of the pages, described there"
)]
pub enum ClientsRequest {
    /// Those whose name begins so, by name.
    Find {
        name: String,
        /// `next` of the page before.
        after: Option<String>,
        limit: u64,
    },
    Show {
        name: String,
    },
    /// A client, or a further certificate of one that is there.
    Add {
        name: String,
        groups: Vec<String>,
        is_new: bool,
    },
}

impl ClientsRequest {
    pub(super) fn right(&self) -> Right {
        match self {
            Self::Find { .. } | Self::Show { .. } => Right::SeeUsers,
            Self::Add { .. } => Right::AddClient,
        }
    }
}

impl ControlDoor {
    pub(super) async fn clients(&self, actor: &Actor, request: ClientsRequest) -> Answer {
        match request {
            ClientsRequest::Find { name, after, limit } => {
                Ok(self.client_find(&name, after.as_deref(), limit))
            }
            ClientsRequest::Show { name } => self.client_show(&name),
            ClientsRequest::Add {
                name,
                groups,
                is_new,
            } => {
                let parsed = Name::parse(&name).map_err(|e| format!("{name:?}: {e}"))?;
                let known = self.engine.machine().state().user(&parsed).is_some();
                if known && is_new {
                    return Err(format!("there is a client {name} already"));
                }
                self.client_add(actor, &name, &groups).await
            }
        }
    }

    fn client_find(&self, name: &str, after: Option<&str>, limit: u64) -> Value {
        let limit = usize::try_from(limit)
            .unwrap_or(ROWS_MAX)
            .clamp(1, ROWS_MAX);
        let state = self.engine.machine().state();
        let wanted = state.users().filter(|user| {
            let known = user.name().as_str();
            known.starts_with(name) && after.is_none_or(|after| known > after)
        });
        let mut rows: Vec<_> = wanted.take(limit + 1).map(|user| self.row(user)).collect();
        let next = (rows.len() > limit).then(|| {
            rows.truncate(limit);
            rows.last().map(|row| row["name"].clone())
        });
        let total = state.users().count();
        json!({ "rows": rows, "next": next.flatten(), "total": total })
    }

    fn row(&self, user: &User) -> Value {
        json!({
            "name": user.name(),
            "groups": user.groups().iter().map(group_text).collect::<Vec<_>>(),
            "certificates": user.certificates().len(),
            "revoked": user.revoked().map(render::moment),
            "objects": user.live_objects(),
            "files_wait": client_files(&self.layout, user.name()).1.exists(),
        })
    }

    fn client_show(&self, name: &str) -> Answer {
        let parsed = Name::parse(name).map_err(|e| format!("{name:?}: {e}"))?;
        let state = self.engine.machine().state();
        let user = state
            .user(&parsed)
            .ok_or_else(|| format!("there is no client {name}"))?;
        let issued = user.certificates().iter().rev().filter_map(|fingerprint| {
            let (_, certificate) = state.certificate(fingerprint)?;
            Some(json!({
                "serial": certificate.serial,
                "fingerprint": fingerprint.to_string(),
                "not_after": render::moment(certificate.not_after),
                "revoked": certificate.revoked,
            }))
        });
        let mut shown = self.row(user);
        super::set(&mut shown, "certificates", issued.collect());
        Ok(shown)
    }

    /// Certificate and key of a client that was just added; the key is erased from the disk. That
    /// it leaves is recorded before it does.
    pub(super) async fn client_bundle(&self, actor: &Actor, name: &str) -> Answer {
        let name = Name::parse(name).map_err(|e| e.to_string())?;
        let (certificate, key) = client_files(&self.layout, &name);
        if !key.exists() {
            return Err(format!(
                "the key of {name} is not here: it is given out once, on the node that made it. \
                 Issue another certificate to get another key"
            ));
        }
        let operation = format!("Take Client Bundle {name}");
        let recorded = self.engine.asked(actor, &operation);
        let recorded = recorded.map_err(|e| e.to_string())?.settle().await;
        recorded.map_err(|e| e.to_string())?;
        let read = |path: &std::path::Path| {
            std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))
        };
        let (certificate, ca) = (read(&certificate)?, read(&self.layout.ca_certificate())?);
        // Of two who take it at the same time, one gets it.
        let taken = key.with_extension("taken");
        std::fs::rename(&key, &taken).map_err(|e| format!("{}: {e}", key.display()))?;
        let bundle = json!({ "certificate": certificate, "key": read(&taken)?, "ca": ca });
        std::fs::remove_file(&taken).map_err(|e| format!("{}: {e}", taken.display()))?;
        Ok(bundle)
    }
}
