//! The files of the repository: everything that is written by people, nothing that is built.

use std::fs;
use std::path::{Path, PathBuf};

/// A text file: its path from the root, with `/`, and what is in it.
#[derive(Debug)]
pub(crate) struct Text {
    pub(crate) path: String,
    pub(crate) text: String,
}

/// Folders with results of builds, runs and tools; `.gitignore` names the same.
const BUILT: &[&str] = &[
    "target",
    ".git",
    "strongroom-dev",
    "corpus",
    "artifacts",
    "__pycache__",
    ".venv",
];

/// The folder of the workspace's `Cargo.toml`.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

/// Every text file of the tree, sorted by path.
pub(crate) fn texts() -> Vec<Text> {
    let root = root();
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.is_symlink() || BUILT.contains(&name) {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(text) = fs::read_to_string(&path) {
                let path = path
                    .strip_prefix(&root)
                    .unwrap()
                    .to_str()
                    .unwrap()
                    .to_owned();
                found.push(Text { path, text });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// Those with this ending.
pub(crate) fn texts_ending(ending: &str) -> Vec<Text> {
    let found: Vec<Text> = texts()
        .into_iter()
        .filter(|t| t.path.ends_with(ending))
        .collect();
    assert!(
        !found.is_empty(),
        "no {ending} file was found: the rules look in the wrong place"
    );
    found
}
