//! Keeps this node's own certificate under the CA that the cluster log names, and drops the CA
//! before it when nobody can need it any more.

use crate::engine::Engine;
use crate::founding;
use crate::member::colleagues::Colleagues;
use crate::member::messages::{Answer, Question};
use cluster::peers::PeerTls;
use domain::Fingerprint;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How often it is looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// How long the CA before stays trusted after this node has its new certificate: members that were
/// away for longer are certified by another member when they come back, by the key in the log.
const PREVIOUS_TRUSTED: Duration = Duration::from_secs(600);

/// Runs on every node.
pub(super) async fn run(engine: Arc<Engine>, colleagues: Colleagues, tls: PeerTls) {
    let mut ticks = super::ticks(LOOK_INTERVAL);
    let mut renewed: Option<Instant> = None;
    loop {
        ticks.tick().await;
        match renew(&engine, &colleagues, &tls).await {
            Ok(true) => renewed = Some(Instant::now()),
            Ok(false) => {}
            Err(e) => tracing::warn!("certificate of this node: {e:#}"),
        }
        if renewed.is_some_and(|at| at.elapsed() >= PREVIOUS_TRUSTED) {
            renewed = None;
            let dropped = engine.vault().drop_previous_cluster_ca();
            let configured = dropped.map_err(anyhow::Error::from).and_then(|_| {
                let (client, server) = engine.vault().peer_tls()?;
                tls.replace(client, server);
                Ok(())
            });
            if let Err(e) = configured {
                tracing::warn!("the previous cluster CA is still trusted: {e:#}");
            }
        }
    }
}

/// Takes up the CA of the log; true when this node has a new certificate.
async fn renew(engine: &Engine, colleagues: &Colleagues, tls: &PeerTls) -> anyhow::Result<bool> {
    let named = engine.machine().state().cluster_ca().copied();
    let Some(named) = named else {
        return Ok(false);
    };
    let vault = engine.vault();
    if current(vault)? != Some(named) {
        for node in colleagues.others() {
            if let Ok(Answer::Envelope(shared)) = colleagues.ask_node(node, &Question::Shared).await
            {
                vault.import_shared(&shared)?;
            }
            if current(vault)? == Some(named) {
                break;
            }
        }
    }
    if current(vault)? != Some(named) || vault.is_certified_by_current_ca()? {
        return Ok(false);
    }
    founding::certify_member(vault, engine.node())?;
    let (client, server) = vault.peer_tls()?;
    tls.replace(client, server);
    colleagues.peers().drop_connections(None);
    Ok(true)
}

/// The CA that this node holds as the current one.
fn current(vault: &vault::Vault) -> anyhow::Result<Option<Fingerprint>> {
    let authorities = vault.cluster_ca_certificates()?;
    let digest = |der: &Vec<u8>| Fingerprint::from_bytes(vault::provider::sha256(&[der]));
    Ok(authorities.first().map(digest))
}
