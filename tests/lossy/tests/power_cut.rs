//! Whole processes under the shim: what was synced is there after the cut, what was not is gone,
//! and a program that acknowledges too early is caught.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout)]

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("root")).unwrap();
        Self { folder }
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    fn journal(&self) -> PathBuf {
        self.folder.path().join("journal")
    }

    fn start(&self, mode: &str, variables: &[(&str, &str)]) -> Child {
        Command::new(built("examples/victim"))
            .arg(self.root())
            .arg(mode)
            .env("LD_PRELOAD", shim())
            .env("LOSSY_ROOT", self.root())
            .env("LOSSY_JOURNAL", self.journal())
            .envs(variables.iter().copied())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// Runs a single-step mode to its end, kills it, cuts; gives what it printed.
    fn step(&self, mode: &str, variables: &[(&str, &str)]) -> String {
        let mut child = self.start(mode, variables);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut said = String::new();
        while let Some(line) = lines.next().transpose().unwrap() {
            if line == "done" {
                break;
            }
            said += &line;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        said
    }

    fn cut(&self, seed: u64) -> Result<String, String> {
        let output = Command::new(env!("CARGO_BIN_EXE_lossy-cut"))
            .arg(self.root())
            .arg(self.journal())
            .arg(seed.to_string())
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match output.status.success() {
            true => Ok(text(&output.stdout)),
            false => Err(text(&output.stderr)),
        }
    }

    fn file(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.root().join(name)).ok()
    }

    /// Puts a file there that has been durable for long.
    fn old(&self, text: &str) {
        fs::write(self.root().join("file"), text).unwrap();
    }
}

fn profile_folder() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_lossy-cut")).parent().unwrap()
}

fn built(name: &str) -> PathBuf {
    profile_folder().join(name)
}

fn shim() -> PathBuf {
    built("examples/liblossy.so")
}

#[test]
fn what_was_synced_stays_and_what_was_not_goes() {
    type Case<'a> = (&'a str, Option<&'a str>, Option<&'a str>);
    let cases: [Case<'_>; 10] = [
        ("write", None, None),
        ("sync-file-only", None, None), // strict: its name was not synced
        ("sync-both", None, Some("kept")),
        ("overwrite", Some("old"), Some("old")),
        ("truncate", Some("old"), Some("old")),
        ("set-len", Some("old"), Some("old")),
        ("unlink", Some("old"), Some("old")),
        ("unlink-durably", Some("old"), None),
        ("replace", Some("old"), Some("old")),
        ("replace-durably", Some("old"), Some("replacement")),
    ];
    for (mode, before, after) in cases {
        let bench = Bench::new();
        if let Some(text) = before {
            bench.old(text);
        }
        bench.step(mode, &[]);
        let report = bench.cut(0).unwrap();
        assert_eq!(bench.file("file").as_deref(), after, "{mode}: {report}");
        assert!(
            bench
                .file("file.new")
                .is_none_or(|text| text == "replacement"),
            "{mode}"
        );
    }
}

#[test]
fn names_follow_the_strictness_asked_for() {
    for (strict, kept) in [("1", false), ("0", true)] {
        let bench = Bench::new();
        bench.step("sync-file-only", &[("LOSSY_STRICT_DIRS", strict)]);
        bench.cut(0).unwrap();
        assert_eq!(
            bench.file("file").is_some(),
            kept,
            "LOSSY_STRICT_DIRS={strict}"
        );
    }
    let bench = Bench::new();
    bench.step("folder", &[]);
    bench.cut(0).unwrap();
    assert_eq!(
        bench.file("sub/file"),
        None,
        "the folder's own name was never synced"
    );
}

#[test]
fn copies_are_seen_and_what_is_not_modelled_is_refused() {
    let bench = Bench::new();
    bench.old("old");
    bench.step("copy", &[]);
    bench.cut(0).unwrap();
    assert_eq!(bench.file("copy"), None);
    let bench = Bench::new();
    bench.old("old");
    bench.step("link", &[]);
    let refusal = bench.cut(0).unwrap_err();
    assert!(refusal.contains("hard link"), "{refusal}");
}

/// Lines that are acknowledged in each round at least.
const LINES_MIN: usize = 15;

/// Runs an appending mode for a while, kills and cuts it: the lines acknowledged and those there.
fn append_round(mode: &str, seed: u64) -> (Vec<String>, Vec<String>) {
    let bench = Bench::new();
    let mut child = bench.start(mode, &[]);
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut said = String::new();
    // However slow the machine is, it has to have said something.
    for _ in 0..LINES_MIN {
        output.read_line(&mut said).unwrap();
    }
    std::thread::sleep(Duration::from_millis(seed * 7 % 50));
    child.kill().unwrap();
    output.read_to_string(&mut said).unwrap();
    child.wait().unwrap();
    bench.cut(seed).unwrap();
    let complete = |text: &str| {
        let end = text.rfind('\n').map_or(0, |end| end + 1);
        text[..end].lines().map(String::from).collect::<Vec<_>>()
    };
    (
        complete(&said),
        complete(&bench.file("log").unwrap_or_default()),
    )
}

#[test]
fn acknowledged_after_fsync_survives_every_cut() {
    let mut acknowledged = 0;
    for seed in 0..8 {
        let (said, there) = append_round("append-then-say", seed);
        acknowledged += said.len();
        assert!(
            there.starts_with(&said),
            "seed {seed}: {} said, {} there",
            said.len(),
            there.len()
        );
    }
    assert!(
        acknowledged > 100,
        "the victim hardly ran: {acknowledged} lines"
    );
}

#[test]
fn acknowledged_before_fsync_is_caught() {
    let caught = (0..8).filter(|seed| {
        let (said, there) = append_round("say-then-append", *seed);
        !there.starts_with(&said)
    });
    let caught = caught.count();
    assert!(
        caught >= 2,
        "only {caught} of 8 cuts caught a program that lies"
    );
}

#[test]
fn many_threads_keep_their_order() {
    for seed in 0..4 {
        let bench = Bench::new();
        let mut child = bench.start("threads", &[]);
        std::thread::sleep(Duration::from_millis(60));
        child.kill().unwrap();
        let mut said = String::new();
        child
            .stdout
            .take()
            .unwrap()
            .read_to_string(&mut said)
            .unwrap();
        child.wait().unwrap();
        bench.cut(seed).unwrap();
        let end = said.rfind('\n').expect("nothing was acknowledged");
        for line in said[..end].lines() {
            let (file, number) = line.split_once(' ').unwrap();
            let number: u64 = number.parse().unwrap();
            let bytes = fs::read(bench.root().join(format!("file-{file}"))).unwrap();
            let at = usize::try_from(number).unwrap() * 8;
            assert_eq!(
                bytes.get(at..at + 8),
                Some(&number.to_le_bytes()[..]),
                "seed {seed}"
            );
        }
    }
}

#[test]
fn faults_come_and_go_with_their_control_file() {
    let (enospc, eio) = (libc::ENOSPC.to_string(), libc::EIO.to_string());
    let cases = [
        ("enospc", format!("grow={enospc} over=ok")),
        ("enospc-all", format!("grow={enospc} over={enospc}")),
        ("eio", format!("grow={eio} over={eio}")),
        ("eio-sync", format!("grow={eio} over=ok")),
    ];
    for (kind, expected) in cases {
        for (on, path_part) in [(true, ""), (false, ""), (true, "elsewhere")] {
            let bench = Bench::new();
            bench.old("old");
            let control = bench.folder.path().join("fail-now");
            if on {
                fs::write(&control, "").unwrap();
            }
            let control = control.to_str().unwrap().to_owned();
            let said = bench.step(
                "write-and-report",
                &[
                    ("LOSSY_FAIL", kind),
                    ("LOSSY_FAIL_WHEN", &control),
                    ("LOSSY_FAIL_PATH", path_part),
                ],
            );
            let hit = on && path_part.is_empty();
            let wanted = if hit {
                expected.as_str()
            } else {
                "grow=ok over=ok"
            };
            assert_eq!(said, wanted, "{kind} on={on} path={path_part}");
        }
    }
}

#[test]
fn a_slow_disk_takes_its_time_and_loses_nothing() {
    let took = |on: bool| {
        let bench = Bench::new();
        let control = bench.folder.path().join("slow-now");
        if on {
            fs::write(&control, "").unwrap();
        }
        let control = control.to_str().unwrap().to_owned();
        let began = std::time::Instant::now();
        let variables = [
            ("LOSSY_FAIL", "slow"),
            ("LOSSY_FAIL_WHEN", control.as_str()),
        ];
        bench.step("sync-both", &variables);
        let took = began.elapsed();
        bench.cut(0).unwrap();
        assert_eq!(bench.file("file").as_deref(), Some("kept"));
        took
    };
    let (slow, quick) = (took(true), took(false));
    let extra = slow.saturating_sub(quick);
    assert!(extra.as_millis() >= 150, "slow {slow:?}, else {quick:?}");
}

#[test]
fn a_lying_sync_makes_nothing_durable() {
    for (part, left) in [("/file", None), ("elsewhere", Some("kept"))] {
        let bench = Bench::new();
        bench.step("sync-both", &[("LOSSY_LIE", part)]);
        bench.cut(0).unwrap();
        // The folder was synced, so the name stays; of the content nothing does.
        assert_eq!(
            bench.file("file").as_deref(),
            left.or(Some("")),
            "LOSSY_LIE={part}"
        );
    }
}

#[test]
fn the_process_can_be_ended_at_a_chosen_change() {
    let bench = Bench::new();
    let mut child = bench.start("append-then-say", &[("LOSSY_KILL_AT", "25")]);
    let status = child.wait().unwrap();
    assert!(!status.success());
    let mut said = String::new();
    child
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut said)
        .unwrap();
    // Create, folder sync, then two calls a line: the 25th is a write, not yet done.
    assert_eq!(said.lines().count(), 11, "{said}");
}
