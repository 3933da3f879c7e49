//! Rules about one Rust file at a time.

use crate::masked::{closing, line_of, mask, without_tests};
use crate::tree::Text;
use crate::{assert_none, tree};

/// A Rust file in the three forms that rules look at.
struct Source {
    /// Path from the root of the tree.
    path: String,
    /// As it is.
    text: String,
    /// Without comments and literals.
    code: String,
    /// `code` without anything that only tests see; empty for a file of tests.
    product: String,
}

impl Source {
    fn new(path: &str, text: &str) -> Self {
        let code = mask(text);
        let is_test = ["/tests/", "/examples/", "/benches/"]
            .iter()
            .any(|f| path.contains(f))
            || path.starts_with("tests/")
            || path.ends_with("/tests.rs")
            || path.ends_with("_tests.rs");
        let product = if is_test {
            String::new()
        } else {
            without_tests(&code)
        };
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
            code,
            product,
        }
    }

    fn is_in(&self, folders: &[&str]) -> bool {
        folders.iter().any(|folder| self.path.starts_with(folder))
    }

    /// One finding per line of `of` that `wrong` says something about.
    fn lines(&self, of: &str, wrong: impl Fn(&str) -> Option<String>) -> Vec<String> {
        of.lines()
            .enumerate()
            .filter_map(|(i, line)| Some(format!("{}:{}: {}", self.path, i + 1, wrong(line)?)))
            .collect()
    }

    /// One finding per line of `of` that has one of the words.
    fn words(&self, of: &str, words: &[&str], why: &str) -> Vec<String> {
        self.lines(of, |line| {
            let word = words.iter().find(|word| has_word(line, word))?;
            Some(format!("`{word}`: {why}"))
        })
    }
}

/// Whether `line` has `word`, and not as a part of a longer name.
fn has_word(line: &str, word: &str) -> bool {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(i, _)| {
        let before = line[..i].chars().next_back().is_some_and(is_name);
        let after = line[i + word.len()..].chars().next().is_some_and(is_name);
        !(before || after && word.ends_with(is_name))
    })
}

/// Defines a rule: it holds in the tree, and it catches the bad example.
macro_rules! rule {
    ($(#[$doc:meta])* $name:ident, $check:expr, bad: $path:literal, $text:expr) => {
        $(#[$doc])*
        mod $name {
            use super::*;

            #[test]
            fn holds() {
                let check: fn(&Source) -> Vec<String> = $check;
                let sources = tree::texts_ending(".rs");
                let sources = sources.iter().map(|t| Source::new(&t.path, &t.text));
                assert_none(&sources.flat_map(|s| check(&s)).collect::<Vec<_>>());
            }

            #[test]
            fn catches_its_bad_example() {
                let check: fn(&Source) -> Vec<String> = $check;
                assert!(!check(&Source::new($path, $text)).is_empty());
            }
        }
    };
}

rule!(
    /// A newcomer learns from the first line what a file is for (habit 19).
    every_file_begins_with_its_purpose,
    |s| if s.text.starts_with("//!") { vec![] } else { vec![format!("{}: no `//!`", s.path)] },
    bad: "appliance/domain/src/x.rs", "use core::fmt;\n"
);

rule!(
    lines_have_at_most_100_columns,
    |s| s.lines(&s.text, |l| {
        let columns = l.chars().count();
        (columns > 100).then(|| format!("{columns} columns"))
    }),
    bad: "appliance/domain/src/x.rs", &"x".repeat(101)
);

/// Longest file, in lines: what one reads in a sitting. Tables written by a program are longer.
const FILE_LINES_MAX: usize = 900;

rule!(
    files_have_at_most_900_lines,
    |s| {
        let lines = s.text.lines().count();
        let generated = s.text.contains("Written by `tables/generate.py`");
        let too_long = lines > FILE_LINES_MAX && !generated;
        too_long.then(|| format!("{}: {lines} lines", s.path)).into_iter().collect()
    },
    bad: "appliance/domain/src/x.rs", &"\n".repeat(901)
);

/// Longest function, in lines from `fn` to its closing brace: one screen.
const FUNCTION_LINES_MAX: usize = 70;

/// Functions of the product that are longer than a screen.
fn long_functions(s: &Source) -> Vec<String> {
    let mut findings = Vec::new();
    for (i, _) in s.product.match_indices("fn ") {
        let is_name = |c: char| c.is_alphanumeric() || c == '_';
        if s.product[..i].chars().next_back().is_some_and(is_name) {
            continue;
        }
        let name: String = s.product[i + 3..]
            .chars()
            .take_while(|&c| is_name(c))
            .collect();
        let Some(end) = body(&s.product, i).and_then(|open| closing(&s.product, open)) else {
            continue;
        };
        let lines = line_of(&s.product, end) - line_of(&s.product, i) + 1;
        if lines > FUNCTION_LINES_MAX && !name.is_empty() {
            let line = line_of(&s.product, i);
            findings.push(format!("{}:{line}: `{name}` has {lines} lines", s.path));
        }
    }
    findings
}

/// Where the body of the function at `begin` opens; `None` for one without a body.
fn body(code: &str, begin: usize) -> Option<usize> {
    let mut depth = 0i32;
    for (i, c) in code[begin..].char_indices() {
        match c {
            '(' | '[' => depth += 1,
            ')' | ']' => depth -= 1,
            '{' if depth == 0 => return Some(begin + i),
            ';' if depth == 0 => return None,
            _ => {}
        }
    }
    None
}

rule!(
    functions_have_at_most_70_lines,
    long_functions,
    bad: "appliance/domain/src/x.rs", &format!("fn f(a: [u8; 4]) {{\n{}}}\n", "g();\n".repeat(70))
);

rule!(
    nothing_is_left_for_later,
    |s| {
        let later = concat!("FIX", "ME");
        let mut findings = s.words(&s.text, &[later], "do it, or open an issue");
        let macros = &["todo!", "unimplemented!", "dbg!"];
        findings.extend(s.words(&s.code, macros, "not in what is committed"));
        findings
    },
    bad: "appliance/domain/src/x.rs", "fn f() { todo!() }"
);

rule!(
    /// Order of iteration is part of what is hashed and replicated (law 6).
    replicated_code_has_no_hash_maps,
    |s| {
        let replicated =
            s.is_in(&["appliance/domain/src", "appliance/ledger/src", "appliance/cluster/src"]);
        let product = if replicated { s.product.as_str() } else { "" };
        s.words(product, &["HashMap", "HashSet"], "its order differs from node to node")
    },
    bad: "appliance/domain/src/x.rs", "use std::collections::HashMap;"
);

rule!(
    /// The law, the memory and the wire take time as an input (habit 1, law 6).
    inner_rooms_ask_no_clock,
    |s| {
        let rooms = ["appliance/domain/src", "appliance/ledger/src", "appliance/kmip/src"];
        let inner = s.is_in(&rooms);
        let product = if inner { s.product.as_str() } else { "" };
        let clocks = &["SystemTime", "Instant", "now_utc", "now_local", "UtcDateTime::now"];
        s.words(product, clocks, "take the time as an argument")
    },
    bad: "appliance/ledger/src/x.rs", "let t = SystemTime::now();"
);

rule!(
    /// A certificate's dates come from the node; only the deadline of a hung HSM is measured.
    vault_asks_no_wall_clock,
    |s| {
        let product = if s.is_in(&["appliance/vault/src"]) { s.product.as_str() } else { "" };
        let mut findings = s.words(product, &["SystemTime", "now_utc"], "take it as an argument");
        if !s.is_in(&["appliance/vault/src/hsm"]) {
            findings.extend(s.words(product, &["Instant"], "only hsm/ measures a deadline"));
        }
        findings
    },
    bad: "appliance/vault/src/ca.rs", "let t = Instant::now();"
);

rule!(
    /// docs/decisions/0002: sled loses what it said it flushed.
    only_projections_use_sled,
    |s| {
        let allowed = s.path.starts_with("appliance/server/src/projections");
        let code = if allowed { "" } else { s.code.as_str() };
        s.words(code, &["sled"], "only server's projections may")
    },
    bad: "appliance/vault/src/store.rs", "let db = sled::open(path)?;"
);

rule!(
    /// docs/decisions/0003: an archived crate behind one door per room.
    only_codec_modules_use_serde_cbor,
    |s| {
        let allowed = s.path.ends_with("/codec.rs") || s.path.contains("/codec/");
        let code = if allowed { "" } else { s.product.as_str() };
        s.words(code, &["serde_cbor"], "go through the room's codec module")
    },
    bad: "appliance/vault/src/ring.rs", "serde_cbor::to_vec(&x)"
);

rule!(
    /// An unattributed change cannot be written by forgetting a field (habit 6).
    who_acted_has_no_default,
    |s| {
        let mut findings = s.words(&s.code, &["Default for Actor"], "name the actor");
        findings.extend(derives(s, |name| name == "Actor", &["Default"]));
        findings
    },
    bad: "appliance/domain/src/x.rs", "#[derive(Clone, Default)]\npub enum Actor { A }"
);

rule!(
    /// Secrets are not printed, copied, compared or stored by accident (habit 16). `SecretData` is
    /// KMIP's name of a kind of object and says nothing about where its bytes are; a `Fault` only
    /// tells what went wrong.
    secrets_derive_nothing_that_leaks,
    |s| {
        let is_secret = |name: &str| {
            name.contains("Secret") && !name.starts_with("SecretData") && !name.ends_with("Fault")
        };
        derives(s, is_secret, &["Clone", "Copy", "Debug", "PartialEq", "Serialize", "Hash"])
    },
    bad: "appliance/vault/src/x.rs", "#[derive(Debug)]\n/// Key.\npub struct RootSecret([u8; 32]);"
);

/// Findings for types whose name `is_meant` and that derive one of `traits`. Enumerations that
/// hold no data of their own are fieldless and leak nothing, but no exception is made for them.
fn derives(s: &Source, is_meant: impl Fn(&str) -> bool, traits: &[&str]) -> Vec<String> {
    let mut findings = Vec::new();
    for (i, _) in s.product.match_indices("#[derive(") {
        let rest = &s.product[i..];
        let Some((list, after)) = rest["#[derive(".len()..].split_once(")]") else {
            continue;
        };
        let words = after.split(|c: char| !(c.is_alphanumeric() || c == '_'));
        let mut words = words.skip_while(|w| !matches!(*w, "struct" | "enum"));
        let name = words.nth(1).unwrap_or_default();
        let derived = traits
            .iter()
            .find(|t| list.split(',').any(|d| d.trim() == **t));
        if let (true, Some(derived)) = (is_meant(name), derived) {
            let line = line_of(&s.product, i);
            findings.push(format!("{}:{line}: `{name}` derives {derived}", s.path));
        }
    }
    findings
}

rule!(
    /// A queue without a bound is a way to use up memory (habit 12).
    every_queue_has_a_named_bound,
    |s| s.lines(&s.product, |line| {
        let unbounded = ["unbounded_channel", "mpsc::channel()"];
        let unbounded = unbounded.iter().find(|word| line.contains(**word));
        let literal = line.split("channel(").skip(1).any(|rest| {
            let digits: String = rest.chars().take_while(|c| c.is_ascii_digit()).collect();
            digits.parse::<u64>().is_ok_and(|bound| bound > 1)
        });
        if let Some(word) = unbounded {
            return Some(format!("`{word}`: bound it"));
        }
        literal.then(|| "name the bound of this queue, with its unit and reason".to_owned())
    }),
    bad: "appliance/server/src/x.rs", "let (tx, rx) = mpsc::channel(1024);"
);

rule!(
    /// Other programs are started in named places only; foreign code runs apart (habit 18).
    programs_are_started_only_where_meant,
    |s| {
        let meant = s.is_in(&[
            "appliance/vault/src/hsm",
            // `dev` replaces itself by itself when its disk works again, and a cluster of `dev`
            // nodes is one process each.
            "appliance/server/src/program/dev.rs",
            "appliance/server/src/program/fleet.rs",
            "scripts/",
            "qemu/",
            "image/",
            // PID 1 starts the services, and makes and checks file systems.
            "initramfs/src/confine.rs",
            "initramfs/src/data.rs",
            "initramfs/src/phases.rs",
            "initramfs/src/supervise.rs",
        ]);
        let product = if meant { "" } else { s.product.as_str() };
        s.words(product, &["process::Command", "Command::new"], "start no programs here")
    },
    bad: "appliance/server/src/x.rs", "std::process::Command::new(\"sh\")"
);

#[test]
fn the_law_is_no_std_and_has_no_unsafe_code() {
    let text = std::fs::read_to_string(tree::root().join("appliance/domain/src/lib.rs")).unwrap();
    let code = mask(&text);
    assert!(
        code.contains("#![no_std]"),
        "domain must not be able to do I/O"
    );
    assert!(code.contains("#![forbid(unsafe_code)]"));
    assert!(
        !has_word(&code, "std::"),
        "`extern crate std` would undo it"
    );
}

/// A file that no `mod` names is not compiled, and nobody notices.
fn dead_files(sources: &[Source], manifests: &[Text]) -> Vec<String> {
    let mut findings = Vec::new();
    for s in sources {
        let Some((package, rest)) = s.path.split_once("/src/") else {
            continue;
        };
        let stem = rest
            .rsplit('/')
            .next()
            .unwrap_or(rest)
            .trim_end_matches(".rs");
        let is_root = !rest.contains('/') && matches!(stem, "lib" | "main");
        let folder = rest.rsplit('/').nth(1).unwrap_or_default();
        // Cargo finds programs in `bin` by itself, others by their path in the manifest.
        let (manifest, quoted) = (format!("{package}/Cargo.toml"), format!("\"src/{rest}\""));
        let is_declared = manifests
            .iter()
            .any(|m| m.path == manifest && m.text.contains(&quoted));
        if is_root || folder == "bin" || is_declared {
            continue;
        }
        let name = if stem == "mod" { folder } else { stem };
        let named = sources.iter().any(|o| {
            o.path.starts_with(&format!("{package}/src/"))
                && has_word(&o.code, &format!("mod {name}"))
        });
        if !named {
            findings.push(format!("{}: no `mod {name}` in its package", s.path));
        }
    }
    findings
}

#[test]
fn every_file_is_compiled() {
    let texts = tree::texts_ending(".rs");
    let sources: Vec<_> = texts
        .iter()
        .map(|t| Source::new(&t.path, &t.text))
        .collect();
    assert_none(&dead_files(&sources, &tree::texts_ending("Cargo.toml")));
    let lost = [
        Source::new("a/src/lib.rs", "mod used;"),
        Source::new("a/src/lost.rs", ""),
    ];
    assert!(
        !dead_files(&lost, &[]).is_empty(),
        "the rule has gone blind"
    );
}
