//! What the console says to the node and to PID 1.

use crate::doors::control::{Line, Request};
use crate::doors::threshold::Early;
use crate::layout::Layout;
use anyhow::{Context, bail};
use serde::Serialize;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

/// The ways out of the console.
#[derive(Debug)]
pub(crate) struct Talk {
    layout: Layout,
    init: Option<PathBuf>,
}

impl Talk {
    pub(crate) fn new(layout: Layout, init: Option<PathBuf>) -> Self {
        Self { layout, init }
    }

    /// For a process that knows nothing of the node but the folder of its sockets.
    pub(crate) fn at(sockets: &Path, init: Option<PathBuf>) -> Self {
        Self::new(Layout::new("/nonexistent").with_sockets(sockets), init)
    }

    /// What the node waits for.
    pub(crate) fn phase(&self) -> anyhow::Result<Value> {
        self.early(&Early::Phase)
    }

    /// Asks a node that may not run yet.
    pub(crate) fn early(&self, early: &Early) -> anyhow::Result<Value> {
        let answer = exchange(&self.layout.threshold_socket(), early)?;
        last(answer)
    }

    /// Asks a node that runs; its lines as they come.
    pub(crate) fn control(&self, request: &Request) -> anyhow::Result<BufReader<UnixStream>> {
        exchange(&self.layout.control_socket(), request)
    }

    /// Asks a node that runs for one thing.
    pub(crate) fn ask(&self, request: &Request) -> anyhow::Result<Value> {
        last(self.control(request)?)
    }

    /// Asks PID 1.
    pub(crate) fn init(&self, ask: &str) -> anyhow::Result<Value> {
        let socket = self.init.as_deref().context(NO_INIT)?;
        ask_init(socket, &json!({ "ask": ask }))
    }
}

/// Where there is nobody to ask.
pub(crate) const NO_INIT: &str = "there is no PID 1 of an appliance here";

/// Asks PID 1 at its socket.
pub(crate) fn ask_init(socket: &Path, ask: &Value) -> anyhow::Result<Value> {
    let mut lines = exchange(socket, ask)?;
    let mut line = String::new();
    lines.read_line(&mut line)?;
    let answer: Value = serde_json::from_str(&line).context("the answer of PID 1")?;
    match answer.get("error").and_then(Value::as_str) {
        Some(error) => bail!("{error}"),
        None => Ok(answer),
    }
}

fn exchange(socket: &Path, request: &impl Serialize) -> anyhow::Result<BufReader<UnixStream>> {
    let stream = UnixStream::connect(socket)
        .with_context(|| format!("nobody answers at {}", socket.display()))?;
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    (&stream).write_all(&line)?;
    Ok(BufReader::new(stream))
}

fn last(lines: BufReader<UnixStream>) -> anyhow::Result<Value> {
    for line in lines.lines() {
        match serde_json::from_str(&line?).context("the node's answer")? {
            Line::Done(done) => return Ok(done),
            Line::Error(error) => bail!(error),
            Line::Item(_) | Line::Progress(_) => {}
        }
    }
    bail!("the node ended before it answered")
}
