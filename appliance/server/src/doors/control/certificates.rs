//! Certificates and when they end: those of the node, and of its clients.

use super::{Answer, ControlDoor};
use crate::render;
use domain::Time;
use serde_json::{Value, json};
use x509_parser::pem::parse_x509_pem;

/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;

impl ControlDoor {
    /// The certificates with their days left, those that end first in front. A client stands there
    /// with the one that was issued to it last.
    pub(super) fn certificates(&self, clients: bool) -> Answer {
        let now = self.engine.now();
        let mut ends = self.own_certificates()?;
        if clients {
            let state = self.engine.machine().state();
            for user in state.users().filter(|user| user.revoked().is_none()) {
                let issued = user.certificates().iter().filter_map(|print| {
                    let (_, certificate) = state.certificate(print)?;
                    (!certificate.revoked).then_some(certificate.not_after)
                });
                if let Some(end) = issued.max() {
                    ends.push((format!("client {}", user.name()), end));
                }
            }
        }
        ends.sort_by_key(|(_, end)| *end);
        let row = |(name, end): (String, Time)| {
            json!({
                "name": name,
                "not_after": render::moment(end),
                "days_left": days_left(end, now),
            })
        };
        Ok(ends.into_iter().map(row).collect::<Value>())
    }

    fn own_certificates(&self) -> Result<Vec<(String, Time)>, String> {
        let ca = self.engine.vault().local_ca().map_err(|e| e.to_string())?;
        let mut ends = vec![("Local CA".to_owned(), ca.certificate().validity.not_after)];
        let path = self.layout.server_certificate();
        let pem = std::fs::read(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        let unreadable = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
        let (_, pem) = parse_x509_pem(&pem).map_err(|e| unreadable(&e))?;
        let server = pem.parse_x509().map_err(|e| unreadable(&e))?;
        let end = server.validity().not_after.timestamp();
        ends.push(("KMIP and web server".to_owned(), Time::from_seconds(end)));
        Ok(ends)
    }
}

/// Whole days until an end; negative after it.
pub(super) fn days_left(end: Time, now: Time) -> i64 {
    (end.0 - now.0).div_euclid(DAY_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_that_has_begun_to_be_missing_is_missing() {
        for (end, days) in [(DAY_MS, 1), (DAY_MS - 1, 0), (0, 0), (-1, -1)] {
            assert_eq!(days_left(Time(end), Time(0)), days);
        }
    }
}
