//! Signed exports for a browser: made in the background with their progress on a page, then taken
//! away as one file. One is made at a time, and the last of each person is kept for an hour.

use super::WebDoor;
use super::frame::{Frame, Section};
use super::reply::{self, Content, Reply};
use super::routes::{Refused, nowhere};
use super::visit::Visit;
use crate::doors::control::{ControlDoor, Line, Request, Visitor};
use askama::Template;
use domain::Name;
use hyper::StatusCode;
use hyper::body::Bytes;
use parking_lot::Mutex;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// For how long an export can be taken away.
const KEPT: Duration = Duration::from_secs(3_600);

/// Bytes that are read at a time, and parts that wait for a slow browser.
const CHUNK_BYTES: usize = 64 * 1024;
const CHUNKS_WAITING_MAX: usize = 8;

/// Time for a browser to take one part.
const CHUNK_TIMEOUT: Duration = Duration::from_secs(60);

/// Seconds between two looks of a browser at the progress.
const REFRESH_SECONDS: u32 = 2;

/// How the export of a person stands.
#[derive(Clone, Debug)]
enum Stage {
    /// `n of m records`, once the first was written.
    Working(String),
    Ready(Ready),
    Failed(String),
}

/// An export that can be taken away.
#[derive(Clone, Debug)]
struct Ready {
    file: PathBuf,
    bytes: u64,
    records: u64,
    digest: String,
}

impl Ready {
    /// Its size as people read it.
    fn size(&self) -> String {
        match self.bytes {
            0..1_024 => format!("{} bytes", self.bytes),
            1_024..1_048_576 => format!("{} KiB", self.bytes / 1_024),
            _ => format!("{} MiB", self.bytes / 1_048_576),
        }
    }
}

/// The exports of all who are signed in.
pub(super) struct Exports {
    folder: PathBuf,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    made: u64,
    stages: BTreeMap<Name, Stage>,
}

#[derive(Deserialize)]
struct Done {
    records: u64,
    digest: String,
}

#[derive(Template)]
#[template(path = "export.html")]
struct ExportPage {
    frame: Frame,
    stage: Option<Stage>,
}

impl ExportPage {
    /// What is said of one that is being made.
    fn working(&self) -> Option<&str> {
        match &self.stage {
            Some(Stage::Working(text)) => Some(text),
            _ => None,
        }
    }

    /// How far it is, for a bar: parts done and all.
    fn parts(&self) -> Option<(u64, u64)> {
        let mut words = self.working()?.split(' ');
        let done = words.next()?.parse().ok()?;
        let all = words.nth(1)?.parse().ok()?;
        Some((done, all))
    }

    fn ready(&self) -> Option<&Ready> {
        match &self.stage {
            Some(Stage::Ready(ready)) => Some(ready),
            _ => None,
        }
    }

    fn failed(&self) -> Option<&str> {
        match &self.stage {
            Some(Stage::Failed(why)) => Some(why),
            _ => None,
        }
    }

    /// What a new one is asked for with; none as long as one is made.
    fn button(&self) -> Option<&'static str> {
        match &self.stage {
            None => Some("Make an export"),
            Some(Stage::Working(_)) => None,
            Some(_) => Some("Make a new export"),
        }
    }
}

impl Exports {
    /// Forgets what an earlier run left.
    pub(super) fn new(desk: &ControlDoor) -> Self {
        let folder = desk.layout.root().join("data/web-exports");
        if let Err(e) = std::fs::remove_dir_all(&folder)
            && e.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!("{}: {e}", folder.display());
        }
        Self {
            folder,
            state: Arc::default(),
        }
    }

    fn stage(&self, who: &Name) -> Option<Stage> {
        self.state.lock().stages.get(who).cloned()
    }

    /// Takes the turn; gives where the export goes.
    fn begin(&self, who: &Name) -> Result<PathBuf, String> {
        let mut state = self.state.lock();
        let mut stages = state.stages.iter();
        let working = stages.find(|(_, stage)| matches!(stage, Stage::Working(_)));
        if let Some((other, _)) = working {
            return Err(format!(
                "an export of {other} is being made; wait for its end"
            ));
        }
        if let Some(Stage::Ready(ready)) = state.stages.get(who) {
            drop(std::fs::remove_file(&ready.file));
        }
        let made = std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.folder);
        made.map_err(|e| format!("{}: {e}", self.folder.display()))?;
        state.made += 1;
        let file = self.folder.join(format!("export-{}.tar", state.made));
        state
            .stages
            .insert(who.clone(), Stage::Working(String::new()));
        Ok(file)
    }
}

impl WebDoor {
    pub(super) async fn export_pages(
        &self,
        visit: &Visit,
        rest: &[&str],
    ) -> Result<Reply, Refused> {
        let may = self.desk.ask(&visit.visitor, Request::MayExport).await;
        may.map_err(Refused::reading)?;
        match (visit.is_post, rest) {
            (false, []) => Ok(self.export_page(visit)),
            (true, []) => {
                self.start_export(&visit.visitor).map_err(Refused::change)?;
                Ok(reply::see("/logs/export"))
            }
            (false, ["strongroom-export.tar"]) => self.export_file(visit),
            _ => Ok(nowhere(visit)),
        }
    }

    fn export_page(&self, visit: &Visit) -> Reply {
        let stage = self.exports.stage(&visit.visitor.person.name);
        let mut frame = visit.frame("Signed export", Section::Logs);
        if let Some(Stage::Working(_)) = stage {
            frame.refresh = Some(REFRESH_SECONDS);
        }
        reply::page(StatusCode::OK, &ExportPage { frame, stage })
    }

    fn start_export(&self, visitor: &Visitor) -> Result<(), String> {
        self.engine
            .room()
            .for_new_objects()
            .map_err(|e| e.to_string())?;
        let who = visitor.person.name.clone();
        let file = self.exports.begin(&who)?;
        let (desk, state, visitor) = (
            self.desk.clone(),
            self.exports.state.clone(),
            visitor.clone(),
        );
        tokio::spawn(async move {
            let request = Request::Export { out: file.clone() };
            let progress = |line: Line| {
                if let Line::Progress(text) = line {
                    let working = Stage::Working(text);
                    state.lock().stages.insert(who.clone(), working);
                }
            };
            let made = desk.ask_telling(&visitor, request, progress).await;
            let stage = match made.and_then(|done| ready(&file, done)) {
                Ok(stage) => stage,
                Err(why) => Stage::Failed(why),
            };
            state.lock().stages.insert(who.clone(), stage);
            tokio::time::sleep(KEPT).await;
            // A newer one of the same person has replaced it, and removed the file.
            drop(std::fs::remove_file(&file));
            let mut state = state.lock();
            let is_this =
                |stage: &Stage| matches!(stage, Stage::Ready(ready) if ready.file == file);
            if state.stages.get(&who).is_some_and(is_this) {
                state.stages.remove(&who);
            }
        });
        Ok(())
    }

    fn export_file(&self, visit: &Visit) -> Result<Reply, Refused> {
        let stage = self.exports.stage(&visit.visitor.person.name);
        let Some(Stage::Ready(Ready { file, bytes, .. })) = stage else {
            return Ok(reply::see("/logs/export"));
        };
        let opened = std::fs::File::open(&file);
        let opened = opened.map_err(|e| Refused::reading(format!("{}: {e}", file.display())))?;
        let content = stream(opened, bytes);
        Ok(reply::file(
            "application/x-tar",
            "strongroom-export.tar",
            content,
        ))
    }
}

fn ready(file: &Path, done: serde_json::Value) -> Result<Stage, String> {
    let done: Done = serde_json::from_value(done).map_err(|e| e.to_string())?;
    let bytes = std::fs::metadata(file).map_err(|e| format!("{}: {e}", file.display()))?;
    Ok(Stage::Ready(Ready {
        file: file.to_owned(),
        bytes: bytes.len(),
        records: done.records,
        digest: done.digest,
    }))
}

/// Reads a file as the browser takes it.
fn stream(mut file: std::fs::File, bytes: u64) -> Content {
    let (sender, chunks) = mpsc::channel(CHUNKS_WAITING_MAX);
    tokio::spawn(async move {
        loop {
            let read = tokio::task::spawn_blocking(move || {
                let mut chunk = Vec::with_capacity(CHUNK_BYTES);
                let read = (&mut file).take(CHUNK_BYTES as u64).read_to_end(&mut chunk);
                (file, read.map(|_| Bytes::from(chunk)))
            });
            let Ok((same, chunk)) = read.await else {
                return;
            };
            file = same;
            let is_end = chunk.as_ref().map_or(true, Bytes::is_empty);
            if chunk.as_ref().is_ok_and(Bytes::is_empty) {
                return;
            }
            let sent = tokio::time::timeout(CHUNK_TIMEOUT, sender.send(chunk)).await;
            if is_end || !matches!(sent, Ok(Ok(()))) {
                return;
            }
        }
    });
    Content::Stream {
        chunks,
        left: bytes,
    }
}
