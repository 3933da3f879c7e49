//! What this node is recognised by at its doors: its certificates, and making them and the SSH host
//! key anew. What is new stands in the log before it is in use.

use super::certificates::days_left;
use super::{Answer, ControlDoor};
use crate::layout::write_file;
use crate::tls::server_identity;
use crate::{founding, render, ssh_host_key};
use domain::{Actor, Ask, DoorIdentity, Fingerprint, Right, State, Time};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use x509_parser::parse_x509_certificate;

/// What can be asked about it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "identity", rename_all = "kebab-case")]
#[expect(
    missing_docs,
    reason = "each variant is a command of the console, described there"
)]
pub enum IdentityRequest {
    Certificates,
    RenewHostKey,
    RenewCertificate,
}

impl IdentityRequest {
    pub(super) fn right(&self) -> Right {
        match self {
            Self::Certificates => Right::SeeStatus,
            Self::RenewHostKey => Right::RenewHostKey,
            Self::RenewCertificate => Right::RenewCertificate,
        }
    }
}

/// What is said with what is new.
const KEY_RENEWED: &str = "Connections from now on see the new key; sessions that are open go on. \
    Clients that know the old one refuse to connect: have them forget it, and compare the new \
    fingerprint.";
const CERTIFICATE_RENEWED: &str = "Connections to KMIP, web and status from now on see the new \
    certificate; those that are open go on. Clients that trust the Local CA notice nothing.";

impl ControlDoor {
    pub(super) async fn identity(&self, actor: &Actor, request: IdentityRequest) -> Answer {
        match request {
            IdentityRequest::Certificates => self.all_certificates(actor),
            IdentityRequest::RenewHostKey => self.renew_host_key(actor).await,
            IdentityRequest::RenewCertificate => self.renew_certificate(actor).await,
        }
    }

    async fn renew_host_key(&self, actor: &Actor) -> Answer {
        let vault = self.engine.vault();
        let was = ssh_host_key::fingerprint(vault).map_err(|e| format!("{e:#}"))?;
        let drawn = ssh_host_key::draw().map_err(|e| format!("{e:#}"))?;
        let is = drawn.fingerprint.clone();
        let ask = Ask::RenewIdentity {
            node: self.engine.node(),
            identity: DoorIdentity::SshHostKey {
                was: was.clone(),
                is: is.clone(),
            },
        };
        self.change(actor, ask).await?;
        let kept = ssh_host_key::keep(vault, &drawn);
        kept.map_err(|e| format!("the new key stands in the log, but the old one stays: {e:#}"))?;
        Ok(json!({ "was": was, "is": is, "note": KEY_RENEWED }))
    }

    async fn renew_certificate(&self, actor: &Actor) -> Answer {
        let (Some(identity), Some(doors)) = (&self.server_identity, self.doors) else {
            return Err("this node is a witness: it serves no clients".to_owned());
        };
        let (node, now) = (self.engine.node(), self.engine.now());
        let names = self.names();
        let profile = founding::server_profile(doors.kmip.ip(), &names, now);
        let vault = self.engine.vault();
        let was = self.server_certificate()?;
        let drawn = vault.draw_server_identity(&profile);
        let drawn = drawn.map_err(|e| e.to_string())?;
        let issued = &drawn.certificate;
        let ask = Ask::RenewIdentity {
            node,
            identity: DoorIdentity::ServerCertificate {
                certificate: issued.fingerprint,
                serial: render::hex(&issued.serial),
                not_after: issued.validity.not_after,
            },
        };
        self.change(actor, ask).await?;
        let put = || -> anyhow::Result<()> {
            vault.keep_server_identity(&server_identity(), &drawn)?;
            identity.renew(vault)?;
            let file = self.layout.server_certificate();
            Ok(write_file(&file, issued.pem.as_bytes(), 0o644)?)
        };
        put().map_err(|e| format!("the new certificate stands in the log, but: {e:#}"))?;
        let is = described("KMIP, web and status", &issued.der, now)?;
        Ok(json!({ "was": was.get("sha256"), "is": is, "note": CERTIFICATE_RENEWED }))
    }

    /// The names that the settings give this node, the full one first. A node for trying out has
    /// none but those that it was given.
    fn names(&self) -> Vec<String> {
        let (state, node) = (self.engine.machine().state(), self.engine.node());
        let value = |id| match self.place.is_some() {
            true => state.setting_or_default(node, id),
            false => state.setting(node, id),
        };
        let given = |id| value(id).filter(|text| !text.is_empty());
        let Some(host) = given("hostname") else {
            return Vec::new();
        };
        let full = given("domain").map(|domain| format!("{host}.{domain}"));
        full.into_iter().chain([host.to_owned()]).collect()
    }

    /// The certificate that the ports show.
    fn server_certificate(&self) -> Answer {
        let path = self.layout.server_certificate();
        let pem = std::fs::read(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        let pem = x509_parser::pem::parse_x509_pem(&pem);
        let (_, pem) = pem.map_err(|e| format!("{}: {e}", path.display()))?;
        described("KMIP, web and status", &pem.contents, self.engine.now())
    }

    /// Every certificate that this node shows, signs with, knows its members by or has issued.
    fn all_certificates(&self, actor: &Actor) -> Answer {
        let (vault, now) = (self.engine.vault(), self.engine.now());
        let mut rows = Vec::new();
        if self.server_identity.is_some() {
            rows.push(self.server_certificate()?);
            let ca = vault.local_ca().map_err(|e| e.to_string())?;
            rows.push(described("Local CA", &ca.certificate().der, now)?);
        }
        let authorities = vault.cluster_ca_certificates().map_err(|e| e.to_string())?;
        // The current one, and while members move over the one of before.
        let names = ["Cluster CA", "Cluster CA of before"];
        for (name, der) in names.into_iter().zip(&authorities) {
            rows.push(described(name, der, now)?);
        }
        if let Some(own) = vault.member_certificate().map_err(|e| e.to_string())? {
            rows.push(described("this member", &own.der, now)?);
        }
        let log_key = vault::provider::sha256(&[&self.notary.public_key()]);
        let log_key = Fingerprint::from_bytes(log_key).to_string();
        rows.push(bare_key("signatures of logs and status", &log_key));
        let host_key = ssh_host_key::fingerprint(vault).map_err(|e| format!("{e:#}"))?;
        rows.push(bare_key("SSH host key", &host_key));
        let state = self.engine.machine().state();
        for (id, node) in state.members().filter(|(id, _)| *id != self.engine.node()) {
            if let Some(key) = node.key {
                rows.push(bare_key(
                    &format!("key of member {}", id.0),
                    &key.to_string(),
                ));
            }
        }
        let seen = domain::permit_operator(&state, actor, Right::SeeUsers, now).is_ok();
        if seen {
            rows.extend(of_clients(&state, now));
            return Ok(json!({ "certificates": rows }));
        }
        let instead = "not shown: the permission users is missing";
        Ok(json!({ "certificates": rows, "clients": instead }))
    }
}

/// A certificate of which this node has all of it.
fn described(what: &str, der: &[u8], now: Time) -> Answer {
    let (_, certificate) = parse_x509_certificate(der).map_err(|e| format!("{what}: {e}"))?;
    let validity = certificate.validity();
    let (from, to) = (
        Time::from_seconds(validity.not_before.timestamp()),
        Time::from_seconds(validity.not_after.timestamp()),
    );
    Ok(json!({
        "for": what,
        "subject": certificate.subject().to_string(),
        "serial": render::hex(certificate.raw_serial()),
        "not_before": day(from),
        "not_after": day(to),
        "days_left": days_left(to, now),
        "sha256": Fingerprint::from_bytes(vault::provider::sha256(&[der])).to_string(),
    }))
}

/// A key that nobody certifies: it has no end.
fn bare_key(what: &str, fingerprint: &str) -> Value {
    json!({ "for": what, "sha256": fingerprint })
}

/// Certificates of clients that are accepted still. The log keeps of them what it needs to know
/// them by.
fn of_clients(state: &State, now: Time) -> Vec<Value> {
    let users = state.users().filter(|user| user.revoked().is_none());
    let certificates = users.flat_map(|user| {
        let prints = user.certificates().iter();
        prints.filter_map(move |print| {
            let (_, certificate) = state.certificate(print)?;
            (!certificate.revoked).then(|| {
                json!({
                    "for": "client",
                    "subject": format!("CN={}", user.name()),
                    "serial": certificate.serial,
                    "not_after": day(certificate.not_after),
                    "days_left": days_left(certificate.not_after, now),
                    "sha256": print.to_string(),
                })
            })
        })
    });
    certificates.collect()
}

/// To the second, as certificates have it.
fn day(time: Time) -> String {
    let moment = render::moment(time);
    moment.replace(".000Z", "Z")
}
