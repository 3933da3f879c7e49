//! The built image of the appliance: where its artifacts are.
//!
//! It is looked for in `$STRONGROOM_IMAGE`, else in `image/virt` of the target folder that this
//! test was built in. It is never built from here, because that takes minutes.

use crate::node;
use anyhow::{Context, Result, ensure};
use std::path::PathBuf;

/// Names the folder of the artifacts.
const VARIABLE: &str = "STRONGROOM_IMAGE";

/// The folder of the artifacts: `disk.raw`, `strongroom.efi`, `kernel`, `initrd`, `cmdline`,
/// `root.erofs`, `MANIFEST.json`, `enrol/` and the others that the build lists.
///
/// # Errors
/// The image is not there; the message says how to build it.
pub fn folder() -> Result<PathBuf> {
    match std::env::var_os(VARIABLE) {
        Some(folder) => finished(PathBuf::from(folder)),
        None => folder_of("virt"),
    }
}

/// The same of another profile, where the build leaves it.
///
/// # Errors
/// As [`folder`].
pub fn folder_of(profile: &str) -> Result<PathBuf> {
    let built = node::profile_folder()?;
    let target = built
        .parent()
        .context("a profile lies in a target folder")?;
    finished(target.join("image").join(profile))
}

fn finished(folder: PathBuf) -> Result<PathBuf> {
    // The build writes the manifest last: an image without it is not finished.
    ensure!(
        folder.join("MANIFEST.json").exists(),
        "{} holds no finished image; `cargo xtask image build` makes one, or name a folder in \
         ${VARIABLE}",
        folder.display(),
    );
    Ok(folder.canonicalize()?)
}
