//! The export bundle of both logs (DESIGN §2 "Export").

use super::cosign::Cosigner;
use crate::engine::{Engine, Refusal};
use crate::notary::{ACCESS_LOG, CLUSTER_LOG, Notary, NotaryFault};
use crate::render;
use domain::{Actor, Ask, Hash, NodeId};
use ledger::{
    BundleFormat, BundleSource, Checkpoint, ExportError, LogSource, Written, write_bundle,
};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// No export was made.
#[derive(Debug, thiserror::Error)]
pub enum ExportFault {
    /// The head of a log could not be signed.
    #[error("{0}")]
    Notary(#[from] NotaryFault),
    /// The bundle could not be written.
    #[error("{0}")]
    Bundle(#[from] ExportError),
    /// The export could not be recorded; the bundle stands.
    #[error("the bundle is written, but its record is not: {0}")]
    Record(Refusal),
    /// The work was cut short.
    #[error("the export was cut short: {0}")]
    Aborted(String),
}

/// What was exported.
#[derive(Debug)]
pub struct Exported {
    /// Where it stands.
    pub out: PathBuf,
    /// Counts.
    pub written: Written,
    /// Head of the cluster log in it.
    pub cluster: Checkpoint,
    /// The nodes that have signed that head.
    pub nodes: Vec<NodeId>,
}

/// Writes a bundle: a folder, or one archive when the name ends in `.tar`.
pub async fn export(
    engine: &Arc<Engine>,
    notary: &Arc<Notary>,
    cosigner: &Cosigner,
    actor: &Actor,
    out: &Path,
    progress: impl FnMut(u64, u64) + Send + 'static,
) -> Result<Exported, ExportFault> {
    let (e, n) = (engine.clone(), notary.clone());
    let heads = tokio::task::spawn_blocking(move || heads(&e, &n)).await;
    let mut heads = heads.map_err(|e| ExportFault::Aborted(e.to_string()))??;
    // How many agree is part of what is exported.
    heads.cluster = cosigner.gather(&heads.cluster).await;
    let (e, n, to) = (engine.clone(), notary.clone(), out.to_owned());
    let work = tokio::task::spawn_blocking(move || write(&e, &n, &heads, &to, progress));
    let exported = work
        .await
        .map_err(|e| ExportFault::Aborted(e.to_string()))??;
    let ask = Ask::RecordExport {
        size: exported.cluster.size,
        root: Hash::from_bytes(exported.cluster.root.0),
        digest: Hash::from_bytes(exported.written.manifest.0),
    };
    engine
        .change(actor, ask, None)
        .await
        .map_err(ExportFault::Record)?;
    Ok(exported)
}

/// The signed heads of both logs.
struct Heads {
    cluster: String,
    access: String,
}

fn heads(engine: &Engine, notary: &Notary) -> Result<Heads, ExportFault> {
    // The access log first: what it refers to in the cluster log is then in the bundle as well.
    let (_, access) = notary.note_access(engine.access())?;
    let (_, cluster) = notary.note_cluster(engine.machine())?;
    Ok(Heads { cluster, access })
}

fn write(
    engine: &Engine,
    notary: &Notary,
    heads: &Heads,
    out: &Path,
    mut progress: impl FnMut(u64, u64),
) -> Result<Exported, ExportFault> {
    let log = |name, reader, checkpoint, render| LogSource {
        name,
        reader,
        checkpoint,
        render,
        part: None,
    };
    let source = BundleSource {
        logs: vec![
            log(
                CLUSTER_LOG,
                engine.machine().reader(),
                heads.cluster.as_str(),
                &render::record,
            ),
            log(
                ACCESS_LOG,
                engine.access().reader(),
                heads.access.as_str(),
                &render::access,
            ),
        ],
        keys: notary.log_keys(&engine.machine().state())?,
        signer: notary,
        unix_seconds: engine.now().seconds(),
    };
    let tar = out.extension().is_some_and(|ending| ending == "tar");
    let format = if tar {
        BundleFormat::Tar
    } else {
        BundleFormat::Folder
    };
    let written = write_bundle(out, format, &source, &mut progress)?;
    let cluster = notary.open(&heads.cluster, &engine.machine().state())?;
    let nodes = notary.signers(&cluster);
    Ok(Exported {
        out: out.to_owned(),
        written,
        cluster: cluster.into_inner(),
        nodes,
    })
}
