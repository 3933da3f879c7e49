//! The list of steps of a run as a file: one JSON value a line, the setting first.

use super::plant::Plant;
use super::run::Run;
use super::step::Step;
use super::world::Setting;
use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The first line.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    seed: u64,
    nodes: usize,
    planted: Option<String>,
}

/// Writes a run down.
///
/// # Errors
/// The file cannot be written.
pub fn write(path: &Path, run: &Run) -> Result<()> {
    let head = Head {
        seed: run.setting.seed,
        nodes: run.setting.nodes,
        planted: run.setting.planted.map(|plant| plant.name().to_owned()),
    };
    let mut text = serde_json::to_string(&head)?;
    for step in &run.steps {
        text.push('\n');
        text.push_str(&serde_json::to_string(step)?);
    }
    text.push('\n');
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// Reads a run back.
///
/// # Errors
/// The file cannot be read, or a line is none of a run.
pub fn read(path: &Path) -> Result<(Setting, Vec<Step>)> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {shown}"))?;
    let mut lines = text.lines().enumerate();
    let (_, head) = lines.next().with_context(|| format!("{shown} is empty"))?;
    let head: Head = serde_json::from_str(head).with_context(|| format!("{shown}, line 1"))?;
    let planted = match head.planted.as_deref() {
        None => None,
        Some(name) => Some(Plant::parse(name).with_context(|| format!("no planted bug {name}"))?),
    };
    let setting = Setting {
        seed: head.seed,
        nodes: head.nodes,
        planted,
    };
    let steps = lines.map(|(n, line)| {
        serde_json::from_str(line).with_context(|| format!("{shown}, line {}", n + 1))
    });
    Ok((setting, steps.collect::<Result<_>>()?))
}
