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
    let folder = match std::env::var_os(VARIABLE) {
        Some(folder) => PathBuf::from(folder),
        None => {
            let profile = node::profile_folder()?;
            let target = profile
                .parent()
                .context("a profile lies in a target folder")?;
            target.join("image/virt")
        }
    };
    // The build writes the manifest last: an image without it is not finished.
    ensure!(
        folder.join("MANIFEST.json").exists(),
        "{} holds no finished image; `cargo xtask image build` makes one, or name a folder in \
         ${VARIABLE}",
        folder.display(),
    );
    Ok(folder.canonicalize()?)
}
