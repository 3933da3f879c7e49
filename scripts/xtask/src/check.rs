//! The list of checks, in order of cost: what is cheap and often wrong comes first.

use crate::step::{self, Step};
use anyhow::{Context as _, Result};
use std::time::Duration;

/// Seconds per fuzz target in a full check (issue "what it must show", 6).
const FUZZ_SECONDS_FULL: u32 = 60;

/// Time limit of the end-to-end suites in a plain check, on a machine that does other things too;
/// a plain check as a whole is to end within 45 minutes on two cores, from nothing.
const SUITES_LIMIT: Duration = Duration::from_secs(45 * 60);

/// The same in a full check: 70 crash rounds take as long as they take.
const SUITES_LIMIT_FULL: Duration = Duration::from_secs(3 * 60 * 60);

/// Runs every check.
///
/// # Errors
/// When a check failed, or a command could not be started.
pub(crate) fn check(full: bool) -> Result<()> {
    let fuzz_seconds = if full {
        FUZZ_SECONDS_FULL
    } else {
        crate::fuzz::SMOKE_SECONDS
    };
    let me = std::env::current_exe()?;
    let me = me.to_str().context("the path of xtask is not UTF-8")?;
    let mut steps = vec![
        Step::new("format", "cargo", &["fmt", "--all", "--check"]),
        Step::new(
            "format (fuzz)",
            "cargo",
            &["fmt", "--check", "--manifest-path", FUZZ_MANIFEST],
        ),
        Step::new(
            "rules",
            "cargo",
            &["test", "--locked", "--package=tests", "--test=rules"],
        ),
        Step::new("clippy", "cargo", CLIPPY),
        Step::new("unit tests and laws", "cargo", UNIT_TESTS),
        Step::new("fuzz", me, &["fuzz", "--seconds"]).argument(fuzz_seconds.to_string()),
        // Builds the program that the suites run, too.
        Step::new("image", me, &["image", "build"]),
    ];
    if full {
        let metal = &["image", "build", "--profile", "metal"];
        steps.push(Step::new("image (metal)", me, metal));
    }
    steps.push(suites(full)?);
    if full {
        steps.push(simulators());
        steps.push(Step::new("simulated bugs", me, &["storm", "--bugs"]));
        steps.push(Step::new("cargo deny", "cargo", DENY));
    }
    step::run_all(&steps)
}

const FUZZ_MANIFEST: &str = "tests/fuzz/Cargo.toml";
const CLIPPY: &[&str] = &[
    "clippy",
    "--workspace",
    "--all-targets",
    "--locked",
    "--",
    "--deny=warnings",
];
const UNIT_TESTS: &[&str] = &[
    "test",
    "--workspace",
    "--exclude=tests",
    "--locked",
    "--no-fail-fast",
];
// Advisories need a database from the network at each run; see deny.toml.
const DENY: &[&str] = &[
    "deny",
    "--all-features",
    "check",
    "bans",
    "licenses",
    "sources",
];

/// Suites of simulated clusters; a full check has a step for them.
const SIMULATORS: [&str; 2] = ["sim", "storm"];

/// Every end-to-end suite: all of `tests/tests` but the rules, which came first.
fn suites(full: bool) -> Result<Step> {
    let folder = crate::root().join("tests/tests");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&folder)? {
        let path = entry?.path();
        let is_rust = path.extension().is_some_and(|e| e == "rs");
        if let (true, Some(stem)) = (is_rust, path.file_stem().and_then(|s| s.to_str())) {
            names.push(stem.to_owned());
        }
    }
    names.retain(|name| name != "rules" && !(full && SIMULATORS.contains(&name.as_str())));
    names.sort();
    // The suites themselves are built as the unit tests were, which saves a build of everything;
    // what they run is the program that is in the image.
    let arguments = &["test", "--locked", "--package=tests", "--no-fail-fast"];
    let program = std::path::absolute(crate::target_folder().join("release/strongroom"))?;
    let program = program.to_str().context("the target folder is not UTF-8")?;
    let step = Step::new("end-to-end suites", "cargo", arguments)
        .requires("image")
        .environment("STRONGROOM_BIN", program);
    let step = names
        .iter()
        .fold(step, |step, name| step.argument(format!("--test={name}")));
    Ok(if full {
        step.environment("STRONGROOM_FULL", "1")
            .limit(SUITES_LIMIT_FULL)
    } else {
        step.limit(SUITES_LIMIT)
    })
}

/// The simulators once more, many seeds of them, with every assertion of the product in force. A
/// plain check runs them among the suites, without the build of a profile of their own.
fn simulators() -> Step {
    let arguments = &[
        "test",
        "--profile=sim",
        "--locked",
        "--package=tests",
        "--no-fail-fast",
        "--test=sim",
        "--test=storm",
    ];
    Step::new("simulators", "cargo", arguments)
        .environment("STRONGROOM_FULL", "1")
        .limit(SUITES_LIMIT_FULL)
}

/// Formats the tree and applies the suggestions of clippy that need no thought.
///
/// # Errors
/// When a command failed.
pub(crate) fn fix() -> Result<()> {
    step::run_all(&[
        Step::new("format", "cargo", &["fmt", "--all"]),
        Step::new(
            "format (fuzz)",
            "cargo",
            &["fmt", "--manifest-path", FUZZ_MANIFEST],
        ),
        Step::new(
            "clippy",
            "cargo",
            &[
                "clippy",
                "--fix",
                "--allow-dirty",
                "--workspace",
                "--all-targets",
            ],
        ),
    ])
}
