//! Naming a token: its library runs in a process of its own, which is this program again.

use std::path::PathBuf;
use std::sync::Arc;
use vault::hsm::{ANSWER_TIME_MAX, Hsm, HsmSettings, WorkerCommand};
use vault::{Credential, Secret};

/// Variables that libraries need to find their settings; nothing else is handed on.
const ENVIRONMENT: [&str; 2] = ["SOFTHSM2_CONF", "PATH"];

/// A token as a credential of the vault. Nothing is started before it is used.
pub(crate) fn token(
    module: PathBuf,
    token_serial: String,
    pin: Secret,
) -> Result<Credential, String> {
    let program = std::env::current_exe().map_err(|e| format!("this program's own path: {e}"))?;
    let environment = ENVIRONMENT
        .into_iter()
        .filter_map(|name| Some((name.into(), std::env::var_os(name)?)))
        .collect();
    let worker = WorkerCommand {
        program,
        arguments: vec!["hsm-worker".into()],
        environment,
    };
    let answer_time_max = ANSWER_TIME_MAX;
    let settings = HsmSettings {
        module,
        token_serial,
        pin,
        worker,
        answer_time_max,
    };
    Ok(Credential::Pkcs11(Arc::new(Hsm::new(settings))))
}
