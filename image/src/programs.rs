//! Our own programs: built by cargo, or taken from a folder where they were built already.

use crate::tool::Tool;
use crate::tree::{Node, Origin, Tree};
use crate::{Fault, fault, libraries};
use std::fs;
use std::path::Path;

/// The target that everything in the image is built for.
const TARGET: &str = "x86_64-unknown-linux-gnu";
/// PID 1 needs no library, so that it runs before there is a root; its code still moves about in
/// memory from start to start.
const INIT_FLAGS: &str = "-C target-feature=+crt-static -C relocation-model=pie";
/// Programs that services are made of: name, and the package of the workspace that builds it.
const SERVICES: [(&str, &str); 3] = [
    ("strongroom", "server"),
    ("strongroom-network", "network"),
    ("strongroom-time", "network"),
];

/// Our programs without their symbols.
#[derive(Debug)]
pub struct Programs {
    /// PID 1.
    pub init: Vec<u8>,
    /// Services in the order of [`SERVICES`].
    services: Vec<Vec<u8>>,
}

impl Programs {
    /// Builds all programs, unless the folder `built` holds them. `cargo` is the folder that PID 1
    /// is built in, `target` that of the services, `work` one for copies.
    ///
    /// # Errors
    /// When cargo fails, a program is not in `built`, or PID 1 is not static.
    pub fn gather(
        workspace: &Path,
        built: Option<&Path>,
        cargo: &Path,
        target: &Path,
        work: &Path,
        seconds: u64,
    ) -> Result<Self, Fault> {
        let build = || {
            let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
            let tool = Tool::new(&cargo, "rustup").inside(workspace);
            let tool = tool.args(["build", "--locked", "--quiet", "--profile=release"]);
            // Flags of the caller would change the bytes; those of cargo come from its own files.
            let tool = tool
                .without_env("RUSTFLAGS")
                .without_env("CARGO_ENCODED_RUSTFLAGS");
            tool.env("SOURCE_DATE_EPOCH", seconds.to_string())
        };
        let init = cargo.join(TARGET).join("release");
        if built.is_none() {
            let pid_1 = build().args(["--package=init", "--target", TARGET, "--target-dir"]);
            pid_1.arg(cargo).env("RUSTFLAGS", INIT_FLAGS).run()?;
            let packages = [
                "--package=server",
                "--package=network",
                "--bins",
                "--target-dir",
            ];
            build().args(packages).arg(target).run()?;
        }
        let init = stripped(&built.unwrap_or(&init).join("init"), work)?;
        libraries::refuse_dynamic("init", &init)?;
        let release = target.join("release");
        let folder = built.unwrap_or(&release);
        let services = SERVICES.map(|(name, _)| stripped(&folder.join(name), work));
        Ok(Self {
            init,
            services: services.into_iter().collect::<Result<_, _>>()?,
        })
    }

    /// Puts the programs into the tree of the root file system.
    ///
    /// # Errors
    /// When something else stands at their paths.
    pub fn put(&self, tree: &mut Tree) -> Result<(), Fault> {
        for ((name, package), bytes) in SERVICES.iter().zip(&self.services) {
            let path = format!("usr/bin/{name}");
            tree.put(&path, Node::Program(bytes.clone()), &Origin::Ours(package))?;
        }
        let init = Node::Program(self.init.clone());
        tree.put("usr/lib/strongroom/init", init, &Origin::Ours("init"))
    }

    /// Packages of the workspace that the programs are built from.
    pub fn packages() -> Vec<&'static str> {
        let mut packages: Vec<_> = SERVICES.iter().map(|(_, package)| *package).collect();
        packages.push("init");
        packages.dedup();
        packages
    }
}

/// The program at `path` without symbols and without notes on its build.
fn stripped(path: &Path, work: &Path) -> Result<Vec<u8>, Fault> {
    let name = path.file_name().unwrap_or_default();
    let copy = work.join(name);
    fs::copy(path, &copy).map_err(fault::file("take", path))?;
    let strip = Tool::new("strip", "binutils").args(["--strip-all", "--remove-section=.comment"]);
    strip.arg(&copy).run()?;
    fs::read(&copy).map_err(fault::file("read", &copy))
}
