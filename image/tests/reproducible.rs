//! Two builds from the same commit give the same bytes.
//!
//! The programs are small stand-ins, made once with the machine's own compiler: cargo's
//! reproducibility is cargo's. All that this package does stands between them and the artifacts.
#![allow(
    clippy::unwrap_used,
    reason = "a test that meets the unexpected has failed"
)]

use image::{Options, build, manifest};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Compiles a stand-in for each program into `folder`.
fn stand_ins(folder: &Path) {
    let source = folder.join("stand_in.c");
    std::fs::write(&source, "int main(void) { return 0; }\n").unwrap();
    for name in [
        "init",
        "strongroom",
        "strongroom-network",
        "strongroom-time",
    ] {
        let mut compile = Command::new("cc");
        // The daemon needs this library; a profile may not list packages that nothing is taken of.
        if name == "strongroom" {
            compile.arg("-Wl,--no-as-needed,-lgcc_s");
        } else if name == "init" {
            compile.arg("-static");
        }
        let status = compile
            .arg("-o")
            .arg(folder.join(name))
            .arg(&source)
            .status()
            .unwrap();
        assert!(status.success(), "cc {name}: {status}");
    }
}

fn built(room: &Path, output: &str) -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let workspace = here.parent().unwrap().to_owned();
    let output = room.join(output);
    let built = build(&Options {
        // The cache of packages is shared with real builds; they are checked by their checksums.
        target: workspace.join("target"),
        workspace,
        profile: "virt".to_owned(),
        output: Some(output.clone()),
        programs: Some(room.to_owned()),
        keys: Some(room.join("keys")),
        update_lock: false,
        progress: &|line| eprintln!("{line}"),
    });
    built.unwrap_or_else(|fault| panic!("{fault}"));
    output
}

#[test]
fn two_builds_are_the_same() {
    let room = tempfile::tempdir().unwrap();
    stand_ins(room.path());
    let one = built(room.path(), "one");
    let two = built(room.path(), "two");
    assert_eq!(
        manifest::differences(&one, &two).unwrap(),
        Vec::<String>::new()
    );
    let listed = manifest::Manifest::read(&one).unwrap();
    assert_eq!(listed.profile, "virt");
    // No private key is in any artifact: neither its file nor its text.
    for artifact in &listed.artifacts {
        assert!(!artifact.name.ends_with(".key"), "{}", artifact.name);
    }
    for name in ["PK", "KEK", "db"] {
        let key = std::fs::read_to_string(room.path().join(format!("keys/{name}.key"))).unwrap();
        let line = key.lines().nth(1).unwrap();
        for artifact in listed.artifacts.iter().filter(|a| a.name != "disk.raw") {
            let bytes = std::fs::read(one.join(&artifact.name)).unwrap();
            let found = bytes
                .windows(line.len())
                .any(|window| window == line.as_bytes());
            assert!(!found, "{name}.key stands in {}", artifact.name);
        }
    }
}
