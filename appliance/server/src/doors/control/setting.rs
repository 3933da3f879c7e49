//! Settings as an operator sees and changes them, and what network and time report.

use super::{Answer, ControlDoor};
use crate::setup::{self, Answers};
use domain::setting::{self, LISTENERS, Setting};
use domain::{Actor, Ask, SettingValue, State};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::PathBuf;

/// Settings that the daemon reads when it starts; the others are followed at once.
const READ_AT_START: [&str; 5] = [
    "hostname",
    "domain",
    "kmip.listen",
    "web.listen",
    "cluster.listen",
];

/// What can be asked about settings.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "setting", rename_all = "kebab-case")]
#[expect(
    missing_docs,
    reason = "each variant is a command of the console, described there"
)]
pub enum SettingRequest {
    List,
    /// Each with its new value, or none for its default; all of them or none.
    Change {
        values: Vec<(String, Option<String>)>,
    },
    /// What the processes of network and time say.
    Network,
}

impl ControlDoor {
    pub(super) async fn settings(&self, actor: &Actor, request: SettingRequest) -> Answer {
        match request {
            SettingRequest::List => Ok(self.setting_list()),
            SettingRequest::Change { values } => self.change_settings(actor, &values).await,
            SettingRequest::Network => Ok(json!({
                "network": reported(self.layout.network_status())?,
                "time": reported(self.layout.time_status())?,
            })),
        }
    }

    fn setting_list(&self) -> Value {
        let state = self.engine.machine().state();
        let node = self.engine.node();
        let row = |setting: &Setting| {
            json!({
                "setting": setting.id,
                "value": state.setting_or_default(node, setting.id),
                "default": setting.default,
                "title": setting.title,
            })
        };
        setting::TABLE.iter().map(row).collect()
    }

    /// Changes settings of this node and of the cluster.
    async fn change_settings(&self, actor: &Actor, values: &[(String, Option<String>)]) -> Answer {
        let values = values
            .iter()
            .map(|(id, value)| wanted(id, value.as_deref()))
            .collect::<Result<Vec<_>, _>>()?;
        let node = self.engine.node();
        let before = {
            let state = self.engine.machine().state();
            let now = |value: &SettingValue| state.setting_or_default(node, &value.id);
            let before = values.iter().map(|v| now(v).map(str::to_owned));
            let before = before.collect::<Vec<_>>();
            let after = |id: &str| match values.iter().find(|value| value.id == id) {
                Some(value) => Some(value.value.as_str()),
                None => state.setting_or_default(node, id),
            };
            doors_stay_open(after)?;
            before
        };
        let ask = Ask::Configure {
            node,
            values: values.clone(),
        };
        self.change(actor, ask).await?;
        let differs = |(value, before): &(&SettingValue, &Option<String>)| {
            before.as_ref() != Some(&value.value)
        };
        let changed = values.iter().zip(&before).filter(differs);
        let waits = changed
            .clone()
            .filter(|(value, _)| READ_AT_START.contains(&value.id.as_str()))
            .map(|(value, _)| value.id.as_str())
            .collect::<Vec<_>>();
        let row = |(value, before): (&SettingValue, &Option<String>)| {
            let was = before.as_deref().map(read);
            json!({ "setting": value.id, "was": was, "is": read(&value.value) })
        };
        Ok(json!({
            "changed": changed.map(row).collect::<Vec<_>>(),
            "from_the_next_start_on": waits,
        }))
    }

    /// The set-up file that gives this configuration again, without secrets, and its digest: two
    /// appliances with the same settings have the same.
    pub(super) fn running_config(&self) -> Value {
        let (text, digest) = self.configuration(&self.engine.machine().state());
        json!({ "text": text, "digest": digest })
    }

    /// Text and digest of the configuration in a state.
    pub(super) fn configuration(&self, state: &State) -> (String, String) {
        let slots = self.engine.vault().slots();
        let text = setup::running_config(state, self.engine.node(), &slots);
        let digest = crate::render::hex(&vault::provider::sha256(&[text.as_bytes()]));
        (text, digest)
    }
}

/// A value as people read and type it.
fn read(value: &str) -> &str {
    if value.is_empty() { "none" } else { value }
}

/// A value in canonical form.
fn wanted(id: &str, value: Option<&str>) -> Result<SettingValue, String> {
    let setting = setting::find(id)
        .ok_or_else(|| format!("there is no setting {id:?}; `show settings` lists them"))?;
    let value = match (value, setting.default) {
        (Some(value), _) => {
            let mut answers = Answers::default();
            answers.set(id, value).map_err(|wrong| wrong.to_string())?;
            answers.get(id).to_owned()
        }
        (None, Some(default)) => default.to_owned(),
        (None, None) => return Err(format!("{id} has no default; give it a value")),
    };
    Ok(SettingValue {
        id: setting.id.to_owned(),
        value,
    })
}

/// Refuses what would leave a service without its address at the next start: nobody could sign in
/// then to mend it.
fn doors_stay_open<'a>(after: impl Fn(&str) -> Option<&'a str>) -> Result<(), String> {
    let is = |id: &str, word: &str| after(id) == Some(word);
    let fixed = ["eth0", "eth1"].iter().flat_map(|nic| {
        let of = |mode: &str, address: &str| {
            let address = after(&format!("{nic}.{address}"))?.split('/').next()?;
            let is_used = is(&format!("{nic}.{mode}"), "static");
            is_used.then(|| address.parse::<IpAddr>().ok())?
        };
        [of("ipv4", "address"), of("ipv6", "ipv6.address")]
    });
    let fixed: Vec<IpAddr> = fixed.flatten().collect();
    let moves = ["eth0.ipv4", "eth1.ipv4"].iter().any(|id| is(id, "dhcp"))
        || ["eth0.ipv6", "eth1.ipv6"].iter().any(|id| is(id, "auto"));
    for id in LISTENERS {
        let Some(Ok(address)) = after(id).map(str::parse::<SocketAddr>) else {
            continue;
        };
        let ip = address.ip();
        let stays = ip.is_unspecified() || ip.is_loopback() || fixed.contains(&ip);
        let has_now = || moves && TcpListener::bind((ip, 0)).is_ok();
        if !stays && !has_now() {
            return Err(format!(
                "{id}: this node would not have the address {ip} and could not start; give it \
                 that address, or have {id} at 0.0.0.0:{port}",
                port = address.port()
            ));
        }
    }
    Ok(())
}

/// What another process has written about itself; null where there is no such process.
fn reported(file: Option<PathBuf>) -> Answer {
    let Some(file) = file else {
        return Ok(Value::Null);
    };
    let bytes = match std::fs::read(&file) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Value::Null),
        bytes => bytes.map_err(|e| format!("{}: {e}", file.display()))?,
    };
    serde_json::from_slice(&bytes).map_err(|e| format!("{}: {e}", file.display()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// What is said when these values hold, and the default elsewhere.
    fn said(values: &[(&str, &str)]) -> Result<(), String> {
        doors_stay_open(|id| {
            let given = values.iter().find(|(of, _)| *of == id);
            let default = || setting::find(id).and_then(|setting| setting.default);
            given.map(|(_, value)| *value).or_else(default)
        })
    }

    #[test]
    fn a_service_keeps_an_address() {
        let fixed = [("eth0.ipv4", "static"), ("eth0.address", "192.0.2.10/24")];
        let [mode, address] = fixed;
        assert_eq!(said(&[]), Ok(()));
        assert_eq!(
            said(&[mode, address, ("kmip.listen", "192.0.2.10:5696")]),
            Ok(())
        );
        assert_eq!(said(&[("ssh.listen", "127.0.0.1:22")]), Ok(()));
        assert_eq!(said(&[("ssh.listen", "")]), Ok(()));
        let why = "kmip.listen: this node would not have the address 192.0.2.11 and could not \
                   start; give it that address, or have kmip.listen at 0.0.0.0:5696";
        for lost in [
            vec![mode, address, ("kmip.listen", "192.0.2.11:5696")],
            vec![("kmip.listen", "192.0.2.11:5696")],
            vec![("eth0.ipv4", "off"), ("kmip.listen", "192.0.2.11:5696")],
        ] {
            assert_eq!(said(&lost), Err(why.to_owned()));
        }
    }

    #[test]
    fn values_are_read_as_in_a_set_up_file() {
        let value = |id, value| wanted(id, value).map(|wanted| wanted.value);
        assert_eq!(
            value("dns", Some("192.0.2.53 192.0.2.54")).unwrap(),
            "192.0.2.53, 192.0.2.54"
        );
        assert_eq!(value("ntp", None).unwrap(), "");
        assert!(
            value("eth0.address", None)
                .unwrap_err()
                .contains("no default")
        );
        assert!(
            value("colour", Some("red"))
                .unwrap_err()
                .contains("show settings")
        );
        // What the table calls no setting is none here, though a set-up file has it.
        assert!(value("admin.password", Some("correct horse battery")).is_err());
    }
}
