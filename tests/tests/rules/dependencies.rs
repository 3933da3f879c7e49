//! Rules about who depends on whom, and on what from outside.

use crate::{assert_none, tree};
use std::collections::BTreeSet;
use std::fs;
use std::process::Command;
use std::sync::OnceLock;

/// The arrows of the house: a room and the rooms of ours that it may depend on. A room that is not
/// named here may not exist: a new crate is a decision (docs/decisions/0001).
const ARROWS: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("ledger", &[]),
    ("kmip", &[]),
    ("vault", &["domain"]),
    ("cluster", &["ledger"]),
    // Processes of their own: what they may do, no other may (docs/decisions/0018).
    ("network", &[]),
    ("init", &[]),
    (
        "server",
        &["domain", "ledger", "kmip", "vault", "cluster", "network"],
    ),
    // What builds and runs machines knows nothing of what is inside.
    ("image", &[]),
    ("qemu", &[]),
    // Development jobs drive the product the way the suites do.
    ("xtask", &["image", "kmip", "qemu", "tests"]),
    ("lossy", &[]),
    (
        "tests",
        &[
            "domain", "ledger", "kmip", "vault", "cluster", "server", "lossy", "image", "qemu",
        ],
    ),
];

/// What the law, the memory and the wire may not even reach through something else: sockets,
/// runtimes, databases, TLS.
const WORLD: &[&str] = &[
    "tokio", "nix", "hyper", "sled", "redb", "rustls", "openraft", "mio", "socket2",
];

/// What the law and the wire may not reach either: randomness.
const CHANCE: &[&str] = &["getrandom", "rand", "aws-lc-rs"];

/// Runs cargo in the root of the tree and gives its standard output.
fn cargo(arguments: &[&str]) -> String {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let output = Command::new(cargo)
        .args(arguments)
        .current_dir(tree::root())
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "cargo {}: {errors}",
        arguments.join(" ")
    );
    String::from_utf8(output.stdout).unwrap()
}

/// `cargo metadata` of our own packages.
fn packages() -> &'static [serde_json::Value] {
    static METADATA: OnceLock<serde_json::Value> = OnceLock::new();
    let metadata = METADATA.get_or_init(|| {
        let json = cargo(&["metadata", "--no-deps", "--locked", "--format-version=1"]);
        serde_json::from_str(&json).unwrap()
    });
    metadata["packages"].as_array().unwrap()
}

/// Arrows of `package` that the table does not allow. Arrows that only its tests have count too.
fn forbidden_arrows(package: &str, dependencies: &[&str]) -> Vec<String> {
    let Some((_, allowed)) = ARROWS.iter().find(|(room, _)| *room == package) else {
        return vec![format!("{package}: a room that ARROWS does not know")];
    };
    let ours = |name: &&&str| ARROWS.iter().any(|(room, _)| *room == **name);
    dependencies
        .iter()
        .filter(ours)
        .filter(|name| !allowed.contains(name))
        .map(|name| format!("{package} -> {name} is no arrow of the house"))
        .collect()
}

#[test]
fn arrows_point_where_the_house_says() {
    let mut findings = Vec::new();
    for package in packages() {
        let dependencies = package["dependencies"].as_array().unwrap();
        let names: Vec<_> = dependencies
            .iter()
            .map(|d| d["name"].as_str().unwrap())
            .collect();
        findings.extend(forbidden_arrows(package["name"].as_str().unwrap(), &names));
    }
    assert_none(&findings);
    assert!(!forbidden_arrows("domain", &["serde", "vault"]).is_empty());
    assert!(!forbidden_arrows("cluster", &["domain"]).is_empty());
    assert!(!forbidden_arrows("helpers", &[]).is_empty());
}

/// Names of `forbidden` crates among the lines `name version ...` that cargo tree prints.
fn reached(package: &str, tree: &str, forbidden: &[&str]) -> Vec<String> {
    let names: BTreeSet<_> = tree
        .lines()
        .filter_map(|l| l.split_whitespace().next())
        .collect();
    let found = forbidden.iter().filter(|f| names.contains(**f));
    found.map(|f| format!("{package} reaches {f}")).collect()
}

/// Everything that a package is built with, except for tests.
fn built_with(package: &str) -> String {
    let package = format!("--package={package}");
    cargo(&[
        "tree",
        "--locked",
        &package,
        "--edges=normal,build",
        "--prefix=none",
    ])
}

#[test]
fn inner_rooms_do_not_reach_the_world() {
    let mut findings = Vec::new();
    for room in ["domain", "ledger", "kmip"] {
        findings.extend(reached(room, &built_with(room), WORLD));
    }
    for room in ["domain", "kmip"] {
        findings.extend(reached(room, &built_with(room), CHANCE));
    }
    assert_none(&findings);
    let server = built_with("server");
    assert!(
        !reached("server", &server, WORLD).is_empty(),
        "the rule has gone blind"
    );
}

#[test]
fn libraries_have_errors_of_their_own() {
    let mut findings = Vec::new();
    for package in packages()
        .iter()
        .filter(|p| !["server", "xtask", "tests", "lossy"].contains(&name(p)))
    {
        let dependencies = package["dependencies"].as_array().unwrap();
        let normal = dependencies.iter().filter(|d| d["kind"].is_null());
        let names: Vec<_> = normal.map(name).collect();
        if names.contains(&"anyhow") {
            findings.push(format!("{}: anyhow hides what can go wrong", name(package)));
        }
    }
    assert_none(&findings);
}

fn name(value: &serde_json::Value) -> &str {
    value["name"].as_str().unwrap()
}

/// Entries of `[workspace.dependencies]` without a comment above that says what they are for.
/// Our own rooms need none.
fn without_reason(manifest: &str) -> Vec<String> {
    let (_, section) = manifest.split_once("[workspace.dependencies]\n").unwrap();
    let section = section.split("\n[").next().unwrap();
    let mut findings = Vec::new();
    let mut reasoned = false;
    for line in section.lines() {
        let is_comment = line.starts_with('#') && !line.starts_with("# --");
        let entry = line.split_once(" = ").filter(|_| !line.starts_with('#'));
        if let Some((name, value)) = entry
            && !(reasoned || value.contains("path = "))
        {
            findings.push(format!(
                "Cargo.toml: why `{name}`? Say it in a comment above"
            ));
        }
        reasoned = is_comment;
    }
    findings
}

#[test]
fn every_dependency_has_its_reason() {
    assert_none(&without_reason(
        &fs::read_to_string(tree::root().join("Cargo.toml")).unwrap(),
    ));
    let bad = "[workspace.dependencies]\n# Good.\na = \"1\"\nb = \"1\"\n\n[profile.dev]\n";
    assert_eq!(without_reason(bad).len(), 1);
}

/// Dependencies of a member that do not come from the workspace table, and missing lints.
fn outside_the_workspace(path: &str, manifest: &str) -> Vec<String> {
    let mut findings = Vec::new();
    if !manifest.contains("[lints]\nworkspace = true") {
        findings.push(format!("{path}: does not take the lints of the workspace"));
    }
    let mut in_dependencies = false;
    for line in manifest.lines() {
        if line.starts_with('[') {
            in_dependencies = line.trim_end_matches(']').ends_with("dependencies");
        } else if in_dependencies && line.contains('=') && !line.starts_with('#') {
            let shared = line.contains(".workspace = true") || line.contains("workspace = true");
            if !shared && !line.starts_with(' ') {
                findings.push(format!("{path}: `{line}` belongs into the workspace table"));
            }
        }
    }
    findings
}

#[test]
fn members_take_versions_and_lints_from_the_workspace() {
    let mut findings = Vec::new();
    for package in packages() {
        let path = package["manifest_path"].as_str().unwrap();
        findings.extend(outside_the_workspace(
            path,
            &fs::read_to_string(path).unwrap(),
        ));
    }
    assert_none(&findings);
    assert_eq!(
        outside_the_workspace("x", "[dependencies]\nserde = \"1\"\n").len(),
        2
    );
}

#[test]
fn a_broken_invariant_stops_the_node() {
    let manifest = fs::read_to_string(tree::root().join("Cargo.toml")).unwrap();
    let (_, release) = manifest.split_once("[profile.release]\n").unwrap();
    let release = release.split("\n[").next().unwrap();
    assert!(
        release.contains("panic = \"abort\""),
        "habit 14: stop and be started again"
    );
}

/// Features that make the program worse on purpose, for a suite that must notice: each is built by
/// name, and nothing else turns one on.
const DANGER: &str = "danger_";

fn turned_on(package: &serde_json::Value) -> Vec<String> {
    let of = name(package);
    let mut findings = Vec::new();
    let features = package["features"].as_object().unwrap();
    for (feature, needs) in features.iter().filter(|(f, _)| !f.starts_with(DANGER)) {
        if needs.to_string().contains(DANGER) {
            findings.push(format!("{of}: feature {feature} turns on {needs}"));
        }
    }
    for dependency in package["dependencies"].as_array().unwrap() {
        if dependency["features"].to_string().contains(DANGER) {
            findings.push(format!("{of}: its dependency {} has one", name(dependency)));
        }
    }
    findings
}

/// What builds images and releases: scripts and the packages behind `cargo xtask`.
const BUILDERS: &[&str] = &["scripts/", "image/", "initramfs/", "qemu/", ".cargo/"];

/// Puts bugs back into the simulator, and builds no program.
const SIMULATOR: &str = "scripts/xtask/src/storm.rs";

#[test]
fn nothing_that_is_shipped_has_a_dangerous_feature() {
    let mut findings: Vec<String> = packages().iter().flat_map(turned_on).collect();
    for file in tree::texts() {
        let builds = BUILDERS.iter().any(|folder| file.path.starts_with(folder));
        if builds && file.path != SIMULATOR && file.text.contains(DANGER) {
            findings.push(format!("{}: builds with a feature {DANGER}*", file.path));
        }
    }
    assert_none(&findings);
    let bad = serde_json::json!({
        "name": "server",
        "features": { "default": ["danger_x"], "danger_x": ["vault/danger_x"] },
        "dependencies": [{ "name": "vault", "features": ["danger_x"] }],
    });
    assert_eq!(turned_on(&bad).len(), 2);
}

/// The strings between `start` and the `]` that ends the list, as deny.toml has them.
fn list<'a>(deny: &'a str, start: &str) -> Vec<&'a str> {
    let (_, rest) = deny.split_once(start).unwrap();
    let rest = rest.split("\n]").next().unwrap();
    let lines = rest.lines().map(str::trim).filter(|l| !l.starts_with('#'));
    lines.filter_map(|l| l.split('"').nth(1)).collect()
}

/// Whether an SPDX expression can be met with `allowed`. Old manifests write `/` for OR.
fn licence_allowed(expression: &str, allowed: &[&str]) -> bool {
    let spaced = expression
        .replace('/', " OR ")
        .replace('(', " ( ")
        .replace(')', " ) ");
    let tokens: Vec<&str> = spaced.split_whitespace().collect();
    let mut at = 0;
    alternatives(&tokens, &mut at, allowed) && at == tokens.len()
}

/// `a OR b`, each side of which is `c AND d`.
fn alternatives(tokens: &[&str], at: &mut usize, allowed: &[&str]) -> bool {
    let mut any = conjunction(tokens, at, allowed);
    while tokens.get(*at) == Some(&"OR") {
        *at += 1;
        any |= conjunction(tokens, at, allowed);
    }
    any
}

fn conjunction(tokens: &[&str], at: &mut usize, allowed: &[&str]) -> bool {
    let mut all = licence(tokens, at, allowed);
    while tokens.get(*at) == Some(&"AND") {
        *at += 1;
        all &= licence(tokens, at, allowed);
    }
    all
}

fn licence(tokens: &[&str], at: &mut usize, allowed: &[&str]) -> bool {
    let Some(&token) = tokens.get(*at) else {
        return false;
    };
    *at += 1;
    if token == "(" {
        let inside = alternatives(tokens, at, allowed);
        *at += 1;
        return inside;
    }
    let mut name = token.to_owned();
    if let (Some(&"WITH"), Some(exception)) = (tokens.get(*at), tokens.get(*at + 1)) {
        name = format!("{token} WITH {exception}");
        *at += 2;
    }
    allowed.contains(&name.as_str())
}

/// What is wrong with the crates of a tree printed as `name version|licence|`.
fn not_let_in(tree: &str, deny: &str) -> Vec<String> {
    let (licences, banned) = (list(deny, "\nallow = [\n"), list(deny, "\ndeny = [\n"));
    let mut findings = BTreeSet::new();
    for line in tree.lines().filter(|l| !l.is_empty()) {
        let mut fields = line.split('|');
        let (package, licence) = (fields.next().unwrap(), fields.next().unwrap_or_default());
        let name = package.split_whitespace().next().unwrap_or_default();
        if banned.contains(&name) {
            findings.insert(format!("{package}: banned by deny.toml"));
        }
        if !licence_allowed(licence, &licences) {
            findings.insert(format!(
                "{package}: licence `{licence}` is not in deny.toml"
            ));
        }
    }
    findings.into_iter().collect()
}

#[test]
fn licences_and_bans_are_those_of_deny_toml() {
    let deny = fs::read_to_string(tree::root().join("deny.toml")).unwrap();
    let format = "--format={p}|{l}|";
    let built = cargo(&["tree", "--locked", "--workspace", "--prefix=none", format]);
    assert_none(&not_let_in(&built, &deny));
    let bad = "openssl v0.10.0|Apache-2.0|\nx v1.0.0|GPL-3.0-only|\ny v1.0.0|MIT AND SSPL-1.0|";
    assert_eq!(not_let_in(bad, &deny).len(), 3);
}

#[test]
fn licence_expressions_are_read_as_spdx_means_them() {
    let allowed = &["MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception"];
    for good in [
        "MIT",
        "MIT/GPL-2.0",
        "GPL-2.0 OR MIT",
        "(MIT OR X) AND Apache-2.0",
    ] {
        assert!(licence_allowed(good, allowed), "{good}");
    }
    assert!(licence_allowed("Apache-2.0 WITH LLVM-exception", allowed));
    for bad in [
        "GPL-2.0",
        "MIT AND GPL-2.0",
        "(MIT OR X) AND Y",
        "",
        "Apache-2.0 WITH X",
    ] {
        assert!(!licence_allowed(bad, allowed), "{bad}");
    }
}

/// Crates that come from anywhere but crates.io, in a Cargo.lock.
fn foreign_sources(path: &str, lock: &str) -> Vec<String> {
    let official = "registry+https://github.com/rust-lang/crates.io-index";
    let sources = lock.lines().filter_map(|l| l.strip_prefix("source = "));
    let foreign = sources.filter(|s| s.trim_matches('"') != official);
    foreign.map(|s| format!("{path}: {s}")).collect()
}

#[test]
fn everything_comes_from_crates_io() {
    for path in ["Cargo.lock", "tests/fuzz/Cargo.lock"] {
        let lock = fs::read_to_string(tree::root().join(path)).unwrap();
        assert_none(&foreign_sources(path, &lock));
    }
    assert!(!foreign_sources("x", "source = \"git+https://example.org/x\"").is_empty());
}
