//! Rules about documents, and about words that may stand nowhere in the tree.

use crate::assert_none;
use crate::masked::mask;
use crate::tree::{self, Text};
use std::path::Path;

/// Traces of a place of work: absolute paths of somebody's machine, hosts of registries. Written
/// in two halves, because this file is searched too.
const WORKPLACE: &[&str] = &[
    concat!("/wo", "rk/"),
    concat!("/ho", "me/"),
    concat!("/ro", "ot/"),
    concat!("/opt/", "wheels"),
    concat!("artif", "actory"),
    concat!("index.", "crates.io"),
    concat!("pypi", ".org/simple"),
];

fn traces(text: &Text) -> Vec<String> {
    let mut findings = Vec::new();
    for (i, line) in text.text.lines().enumerate() {
        if let Some(word) = WORKPLACE.iter().find(|word| line.contains(**word)) {
            findings.push(format!("{}:{}: `{word}`", text.path, i + 1));
        }
    }
    findings
}

#[test]
fn nothing_names_a_place_of_work() {
    assert_none(&tree::texts().iter().flat_map(traces).collect::<Vec<_>>());
    let bad = format!("index = \"https://x/{}\"", WORKPLACE[4]);
    assert!(
        !traces(&Text {
            path: "x".to_owned(),
            text: bad
        })
        .is_empty()
    );
}

/// Links of a Markdown file to files that are not there.
fn broken_links(text: &Text, exists: &dyn Fn(&Path) -> bool) -> Vec<String> {
    let folder = Path::new(&text.path).parent().unwrap_or(Path::new(""));
    let mut findings = Vec::new();
    for (i, line) in text.text.lines().enumerate() {
        for rest in line.split("](").skip(1) {
            let link = rest.split([')', ' ']).next().unwrap_or_default();
            let file = link.split('#').next().unwrap_or_default();
            let is_elsewhere = file.contains("://") || file.starts_with("mailto:");
            if !file.is_empty() && !is_elsewhere && !exists(&folder.join(file)) {
                findings.push(format!("{}:{}: no file `{link}`", text.path, i + 1));
            }
        }
    }
    findings
}

#[test]
fn links_of_documents_lead_somewhere() {
    let exists = |path: &Path| tree::root().join(path).exists();
    let documents = tree::texts_ending(".md");
    assert_none(
        &documents
            .iter()
            .flat_map(|t| broken_links(t, &exists))
            .collect::<Vec<_>>(),
    );
    let bad = Text {
        path: "docs/x.md".to_owned(),
        text: "see [y](../gone.md#z)".to_owned(),
    };
    assert!(!broken_links(&bad, &exists).is_empty());
}

/// What a document in backticks calls a file, and whether it is one: `folder/file.rs`, or
/// `folder/file.rs::name` with an item of that name in it.
fn broken_pointers(text: &Text) -> Vec<String> {
    let mut findings = Vec::new();
    for (i, line) in text.text.lines().enumerate() {
        for quoted in line.split('`').skip(1).step_by(2) {
            let (file, item) = quoted.split_once("::").unwrap_or((quoted, ""));
            let endings = [".rs", ".md", ".toml", ".csv", ".py"];
            let folders = [
                "appliance/",
                "tests/",
                "scripts/",
                "docs/",
                "image/",
                "qemu/",
            ];
            let is_folder = folders.iter().any(|folder| file.starts_with(folder));
            let is_file = file.contains('/') && endings.iter().any(|e| file.ends_with(e));
            if file.contains([' ', '<', '*', '{']) || !(is_folder || is_file) {
                continue;
            }
            let path = tree::root().join(file);
            if !path.exists() {
                findings.push(format!("{}:{}: no `{file}`", text.path, i + 1));
            } else if !item.is_empty() && !has_item(&path, item) {
                findings.push(format!("{}:{}: no `{item}` in `{file}`", text.path, i + 1));
            }
        }
    }
    findings
}

/// Whether a Rust file, or one of those in its folder, has a function, type or module `item`.
fn has_item(path: &Path, item: &str) -> bool {
    let name = item.rsplit("::").next().unwrap_or(item);
    let code = mask(&std::fs::read_to_string(path).unwrap_or_default());
    let kinds = ["fn", "mod", "struct", "enum", "const", "trait", "type"];
    let is_end = |c: char| !(c.is_alphanumeric() || c == '_');
    kinds.iter().any(|kind| {
        let declared = format!("{kind} {name}");
        code.match_indices(&declared).any(|(at, _)| {
            code[at + declared.len()..]
                .chars()
                .next()
                .is_none_or(is_end)
        })
    }) || (code.contains("rule!(") && code.contains(name))
}

const MAP: &str = "ARCHITECTURE.md";

#[test]
fn documents_point_at_files_and_items_that_exist() {
    let documents = tree::texts_ending(".md");
    assert_none(
        &documents
            .iter()
            .flat_map(broken_pointers)
            .collect::<Vec<_>>(),
    );
    for bad in ["`appliance/gone/src/x.rs`", "`tests/tests/rules.rs::gone`"] {
        let bad = Text {
            path: "x.md".to_owned(),
            text: bad.to_owned(),
        };
        assert!(!broken_pointers(&bad).is_empty(), "the rule has gone blind");
    }
    let good = "`tests/tests/rules/documents.rs::documents_point_at_files_and_items_that_exist`";
    assert_none(&broken_pointers(&Text {
        path: "x.md".to_owned(),
        text: good.to_owned(),
    }));
}

/// Laws that a map does not name, or names without a test.
fn laws_without_test(map: &str) -> Vec<String> {
    let mut findings = Vec::new();
    for law in 1..=9 {
        let heading = format!("**Law {law}:");
        match map.split_once(&heading) {
            None => findings.push(format!("{MAP}: law {law} is not there")),
            Some((_, rest)) => {
                let section = rest.split("**Law ").next().unwrap_or_default();
                let section = section.split("\n## ").next().unwrap_or_default();
                if !section.contains(".rs::") {
                    findings.push(format!("{MAP}: law {law} names no test that holds it"));
                }
            }
        }
    }
    findings
}

#[test]
fn every_law_has_a_test() {
    let map = std::fs::read_to_string(tree::root().join(MAP)).unwrap();
    assert_none(&laws_without_test(&map));
    assert_eq!(
        laws_without_test("**Law 1: a** `x.rs::y`\n**Law 2: b** none").len(),
        8
    );
}

/// Decisions that miss one of their four parts.
fn incomplete_decisions(text: &Text) -> Vec<String> {
    let parts = [
        "## Context",
        "## Decision",
        "## Consequences",
        "## How we would notice",
    ];
    let missing = parts.iter().filter(|part| !text.text.contains(**part));
    missing
        .map(|part| format!("{}: no `{part}`", text.path))
        .collect()
}

#[test]
fn decisions_are_numbered_and_whole() {
    let decisions: Vec<Text> = tree::texts_ending(".md")
        .into_iter()
        .filter(|t| t.path.starts_with("docs/decisions/0"))
        .collect();
    assert_none(
        &decisions
            .iter()
            .flat_map(incomplete_decisions)
            .collect::<Vec<_>>(),
    );
    for (i, decision) in decisions.iter().enumerate() {
        let expected = format!("docs/decisions/{:04}-", i + 1);
        assert!(
            decision.path.starts_with(&expected),
            "{} is out of order",
            decision.path
        );
    }
    let bad = Text {
        path: "x".to_owned(),
        text: "## Context\n## Decision".to_owned(),
    };
    assert_eq!(incomplete_decisions(&bad).len(), 2);
}

/// Mentions of decisions by number that do not exist.
fn unknown_decisions(text: &Text, known: &[String]) -> Vec<String> {
    let mut findings = Vec::new();
    for (i, line) in text.text.lines().enumerate() {
        for rest in line.split("docs/decisions/").skip(1) {
            let number: String = rest.chars().take_while(char::is_ascii_digit).collect();
            if number.len() == 4 && !known.contains(&number) {
                findings.push(format!("{}:{}: no decision {number}", text.path, i + 1));
            }
        }
    }
    findings
}

#[test]
fn decisions_that_are_cited_exist() {
    let texts = tree::texts();
    let prefix = "docs/decisions/";
    let known: Vec<String> = texts
        .iter()
        .filter_map(|t| Some(t.path.strip_prefix(prefix)?.get(..4)?.to_owned()))
        .collect();
    assert_none(
        &texts
            .iter()
            .flat_map(|t| unknown_decisions(t, &known))
            .collect::<Vec<_>>(),
    );
    let bad = Text {
        path: "x".to_owned(),
        text: format!("see {prefix}{}", "9".repeat(4)),
    };
    assert!(!unknown_decisions(&bad, &known).is_empty());
}
