//! `cargo xtask image`: builds the image of the appliance and says what is in it.

use anyhow::{Context as _, Result, ensure};
use clap::{Args, Subcommand};
use std::path::PathBuf;

#[derive(Subcommand)]
pub(crate) enum Job {
    /// Builds all artifacts of a profile; they are in `target/image/PROFILE` then.
    Build(Build),
    /// Prints sizes, packages and, once a machine has booted the image, times.
    Report {
        /// A file in image/profiles, without `.toml`.
        #[arg(long, default_value = "virt")]
        profile: String,
    },
    /// Compares two folders of artifacts and names what is not the same, byte for byte.
    Compare {
        /// One folder that an image was built in.
        one: PathBuf,
        /// The other one.
        other: PathBuf,
    },
}

#[derive(Args)]
pub(crate) struct Build {
    /// A file in image/profiles, without `.toml`.
    #[arg(long, default_value = "virt")]
    profile: String,
    /// Where artifacts go instead of `target/image/PROFILE`.
    #[arg(long)]
    output: Option<PathBuf>,
    /// Folder with our programs, built already: init (static), strongroom, strongroom-network,
    /// strongroom-time.
    #[arg(long)]
    programs: Option<PathBuf>,
    /// Folder with the keys of Secure Boot, made there if it is empty [default: target/image/keys].
    #[arg(long)]
    keys: Option<PathBuf>,
    /// Take the newest Debian packages and write them to image/packages.lock.
    #[arg(long)]
    update_lock: bool,
}

/// Runs one job.
///
/// # Errors
/// When the job fails; the message says what to do.
pub(crate) fn run(job: &Job) -> Result<()> {
    match job {
        Job::Build(options) => build(options),
        Job::Report { profile } => {
            let folder = crate::target_folder().join("image").join(profile);
            let table = image::report::table(&folder).with_context(|| {
                format!("build it: cargo xtask image build --profile {profile}")
            })?;
            print!("{table}");
            Ok(())
        }
        Job::Compare { one, other } => {
            let differing = image::manifest::differences(one, other)?;
            for name in &differing {
                println!("{name} differs");
            }
            ensure!(differing.is_empty(), "the two builds are not the same");
            println!("the same, byte for byte");
            Ok(())
        }
    }
}

fn build(options: &Build) -> Result<()> {
    let built = image::build(&image::Options {
        workspace: crate::root(),
        profile: options.profile.clone(),
        target: crate::target_folder(),
        output: options.output.clone(),
        programs: options.programs.clone(),
        keys: options.keys.clone(),
        update_lock: options.update_lock,
        progress: &|line| println!("{line}"),
    })?;
    println!(
        "{} with root hash {}",
        built.folder.display(),
        built.root_hash
    );
    Ok(())
}
