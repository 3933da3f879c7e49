//! An export as a stranger gets it: verified by the shell commands of its own VERIFY.md in a bare
//! environment, verified by the program, and refused after each of twelve kinds of tampering.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout)] // test code

use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};
use tests::bound;
use tests::load::fill;
use tests::node::{Node, Site, strongroom};

/// What the shell may take for 100,000 events (DESIGN.md §2: seconds).
const SHELL_WITHIN: Duration = Duration::from_secs(10);

/// Events of the large export: the figure of the promise in a release build, a tenth otherwise.
fn events() -> usize {
    let plain = if cfg!(debug_assertions) {
        10_000
    } else {
        100_000
    };
    usize::try_from(bound("STRONGROOM_EVENTS", plain, 100_000)).expect("fits")
}

/// The commands that VERIFY.md tells a stranger to type: the lines of its code blocks.
fn commands(guide: &str) -> Vec<&str> {
    let mut inside = false;
    let mut commands = Vec::new();
    for line in guide.lines() {
        if line.trim_start().starts_with("```") {
            inside = !inside;
        } else if inside && !line.trim().is_empty() {
            commands.push(line.trim());
        }
    }
    commands
}

fn shell(bundle: &Path) -> Result<(bool, String)> {
    let guide = fs::read_to_string(bundle.join("VERIFY.md"))?;
    let commands = commands(&guide);
    let all = commands.join("\n");
    for tool in ["ssh-keygen", "sha256sum"] {
        ensure!(all.contains(tool), "VERIFY.md does not use {tool}: {all}");
    }
    ensure!(
        !all.contains("strongroom verify"),
        "the shell commands must not need the program"
    );
    let mut told = String::new();
    for command in commands {
        let output = Command::new("env")
            .args(["-i", "PATH=/usr/bin:/bin", "sh", "-c", command])
            .current_dir(bundle)
            .output()?;
        told += &format!("$ {command}\n{}", String::from_utf8_lossy(&output.stdout));
        told += &String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            return Ok((false, told));
        }
    }
    Ok((true, told))
}

fn verify(arguments: &[&str]) -> Result<Output> {
    Ok(Command::new(strongroom()?)
        .arg("verify")
        .args(arguments)
        .output()?)
}

fn text(path: &Path) -> &str {
    path.to_str().expect("test paths are UTF-8")
}

/// A node with some history, and an export of it.
fn small_export(site: &Site) -> Result<(Node, PathBuf)> {
    let node = site.start()?;
    fill(node.kmip(), &node.identity("demo"), 320)?;
    let mut client = node.client()?;
    let uid = client.create(Some("kept"), 256)?;
    (0..20).try_for_each(|_| client.get(&uid).map(drop))?;
    let bundle = site.beside("export");
    node.verified_bundle(&bundle)?;
    Ok((node, bundle))
}

#[test]
fn a_stranger_verifies_many_events_in_seconds() -> Result<()> {
    let site = Site::new()?;
    let node = site.start()?;
    let began = Instant::now();
    let made = fill(node.kmip(), &node.identity("demo"), events())?;
    println!("{made} events in {:?}", began.elapsed());
    let bundle = site.beside("export");
    let began = Instant::now();
    node.run(&["export", "--out", text(&bundle)])?;
    println!("exported in {:?}", began.elapsed());
    let began = Instant::now();
    let (good, told) = shell(&bundle)?;
    let took = began.elapsed();
    println!("shell: {took:?}\n{told}");
    ensure!(good, "the shell commands of VERIFY.md fail:\n{told}");
    ensure!(took < SHELL_WITHIN, "the shell took {took:?}");
    let began = Instant::now();
    let output = verify(&[text(&bundle)])?;
    println!(
        "verify: {:?}\n{}",
        began.elapsed(),
        String::from_utf8_lossy(&output.stdout)
    );
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let lines = lines_of(&bundle)?;
    ensure!(
        lines >= made,
        "{lines} lines in the bundle of {made} events"
    );
    // The control: one flipped byte, and the shell says no.
    let part = parts(&bundle)?.pop().context("a part")?;
    flip(&part, fs::metadata(&part)?.len() / 2)?;
    let (good, told) = shell(&bundle)?;
    ensure!(!good, "the shell accepts a flipped byte:\n{told}");
    node.terminate()
}

/// The parts (JSON Lines) of all logs, the longest last.
fn parts(bundle: &Path) -> Result<Vec<PathBuf>> {
    let mut parts = Vec::new();
    for path in files(bundle)? {
        if path.extension().is_some_and(|ending| ending == "jsonl") {
            parts.push(path);
        }
    }
    parts.sort_by_key(|path| fs::metadata(path).map(|found| found.len()).unwrap_or(0));
    Ok(parts)
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            all.extend(files(&path)?);
        } else {
            all.push(path);
        }
    }
    Ok(all)
}

fn lines_of(bundle: &Path) -> Result<usize> {
    let count = |path: &PathBuf| -> Result<usize> {
        Ok(fs::read(path)?
            .iter()
            .filter(|byte| **byte == b'\n')
            .count())
    };
    parts(bundle)?.iter().map(count).sum()
}

fn flip(path: &Path, at: u64) -> Result<()> {
    let mut bytes = fs::read(path)?;
    let byte = bytes
        .get_mut(usize::try_from(at)?)
        .context("inside the file")?;
    *byte ^= 0x01;
    Ok(fs::write(path, bytes)?)
}

fn edit_lines(path: &Path, edit: impl FnOnce(&mut Vec<String>)) -> Result<()> {
    let text = fs::read_to_string(path)?;
    let mut lines: Vec<String> = text.lines().map(|line| format!("{line}\n")).collect();
    edit(&mut lines);
    Ok(fs::write(path, lines.concat())?)
}

/// What a forger without the signing key can still do: make all digests fit again.
fn compute_hashes_again(bundle: &Path) -> Result<()> {
    let manifest = bundle.join("SHA256SUMS");
    let mut lines = String::new();
    for line in fs::read_to_string(&manifest)?.lines() {
        let (_, name) = line.split_once("  ").context("a line of SHA256SUMS")?;
        if let Ok(bytes) = fs::read(bundle.join(name)) {
            lines += &format!("{:x}  {name}\n", Sha256::digest(bytes));
        }
    }
    fs::write(&manifest, &lines)?;
    let digest = format!("{:x}", Sha256::digest(&lines));
    edit_lines(&bundle.join("EXPORT.txt"), |statement| {
        for line in statement
            .iter_mut()
            .filter(|line| line.ends_with("  SHA256SUMS\n"))
        {
            *line = format!("{digest}  SHA256SUMS\n");
        }
    })
}

/// Signs EXPORT.txt anew with a key of the forger's, listed as the signer, for a namespace.
fn sign_as_forger(bundle: &Path, namespace: &str) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let key = folder.path().join("key");
    run(Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(&key))?;
    let statement = bundle.join("EXPORT.txt");
    fs::remove_file(bundle.join("EXPORT.txt.sig"))?;
    let mut sign = Command::new("ssh-keygen");
    sign.args(["-q", "-Y", "sign", "-n", namespace, "-f"])
        .arg(&key)
        .arg(&statement);
    run(&mut sign)
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.output()?;
    ensure!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

/// One kind of tampering with a copy of a good bundle.
type Tamper = fn(&Path, &Path) -> Result<()>;

/// The cluster log's first part.
fn cluster_part(bundle: &Path) -> Result<PathBuf> {
    let mut found = parts(bundle)?;
    found.retain(|path| path.starts_with(bundle.join("cluster")));
    found.sort();
    found
        .into_iter()
        .next()
        .context("the cluster log has a part")
}

/// The twelve cases of the promise. The second argument is a later export of the same log.
const TAMPERS: [(&str, Tamper); 12] = [
    ("byte flip", |bundle, _| {
        let part = cluster_part(bundle)?;
        let line = fs::read_to_string(&part)?
            .lines()
            .next()
            .context("a line")?
            .len();
        // Inside the base64 of the first record.
        flip(&part, u64::try_from(line / 4)?)
    }),
    ("dropped line", |bundle, _| {
        edit_lines(&cluster_part(bundle)?, |lines| drop(lines.remove(7)))?;
        compute_hashes_again(bundle)
    }),
    ("dropped last segment", |bundle, _| {
        Ok(fs::remove_file(cluster_part(bundle)?)?)
    }),
    ("reordered", |bundle, _| {
        edit_lines(&cluster_part(bundle)?, |lines| lines.swap(5, 6))?;
        compute_hashes_again(bundle)
    }),
    ("truncated", |bundle, _| {
        edit_lines(&cluster_part(bundle)?, |lines| {
            lines.truncate(lines.len() - 3)
        })?;
        compute_hashes_again(bundle)
    }),
    ("swapped checkpoint", |bundle, later| {
        fs::copy(
            later.join("cluster/checkpoint"),
            bundle.join("cluster/checkpoint"),
        )?;
        compute_hashes_again(bundle)
    }),
    ("older with --state", |_, _| Ok(())), // the state is of the later export
    ("wrong namespace", |bundle, _| {
        sign_as_forger(bundle, "file")
    }),
    ("key out of its range", |bundle, _| {
        let path = bundle.join("keys.json");
        let keys = fs::read_to_string(&path)?;
        let from = keys
            .find("\"valid_from_size\"")
            .context("valid_from_size")?;
        let digits = keys[from..]
            .find(|c: char| c.is_ascii_digit())
            .context("a number")?
            + from;
        let end = keys[digits..]
            .find(|c: char| !c.is_ascii_digit())
            .context("its end")?
            + digits;
        fs::write(
            &path,
            format!("{}99999999{}", &keys[..digits], &keys[end..]),
        )?;
        compute_hashes_again(bundle)
    }),
    ("edited, hashes computed again", |bundle, _| {
        edit_record(&cluster_part(bundle)?)?;
        compute_hashes_again(bundle)
    }),
    ("added file", |bundle, _| {
        Ok(fs::write(bundle.join("cluster/notes.txt"), "trust me")?)
    }),
    ("path traversal in the manifest", |bundle, _| {
        let manifest = bundle.join("SHA256SUMS");
        let more = format!("{:x}  ../../etc/passwd\n", Sha256::digest(b"x"));
        let text = fs::read_to_string(&manifest)? + &more;
        fs::write(&manifest, text)?;
        Ok(())
    }),
];

/// Changes who did something, in the record and in what is shown of it, in the same way.
fn edit_record(part: &Path) -> Result<()> {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    let mut edited = false;
    let text = fs::read_to_string(part)?;
    let mut result = String::new();
    for line in text.lines() {
        let (head, rest) = line.split_once("\"record\":\"").context("a record")?;
        let (record, event) = rest.split_once('"').context("its end")?;
        let mut bytes = STANDARD.decode(record)?;
        let places: Vec<_> = (0..bytes.len())
            .filter(|at| bytes[*at..].starts_with(b"demo"))
            .collect();
        if edited || places.is_empty() {
            result += &format!("{line}\n");
            continue;
        }
        places
            .iter()
            .for_each(|at| bytes[*at..at + 4].copy_from_slice(b"evil"));
        let event = event.replace("demo", "evil");
        result += &format!("{head}\"record\":\"{}\"{event}\n", STANDARD.encode(bytes));
        edited = true;
    }
    ensure!(edited, "no record names demo");
    Ok(fs::write(part, result)?)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    run(Command::new("cp").arg("-a").arg(from).arg(to))
}

/// A message without what differs from run to run, to tell kinds of messages apart.
fn kind_of(message: &str) -> String {
    let word = |word: &str| {
        let is_name = word.len() > 24 || word.contains('/') || word.contains('=');
        let plain = word
            .chars()
            .filter(|c| c.is_alphabetic())
            .collect::<String>();
        if is_name { String::new() } else { plain }
    };
    message
        .split_whitespace()
        .map(word)
        .collect::<Vec<_>>()
        .join(" ")
}

#[test]
fn twelve_kinds_of_tampering_are_named() -> Result<()> {
    let site = Site::new()?;
    let (node, bundle) = small_export(&site)?;
    fill(node.kmip(), &node.identity("demo"), 100)?;
    let later = site.beside("later");
    let state = site.beside("verifier-state");
    node.run(&["export", "--out", text(&later)])?;
    node.terminate()?;
    let output = verify(&[text(&bundle), "--state", text(&state)])?;
    ensure!(
        output.status.success(),
        "the first export, with a new state"
    );
    let output = verify(&[text(&later), "--state", text(&state)])?;
    ensure!(
        output.status.success(),
        "the later export, with the state of the first"
    );
    let mut kinds: BTreeMap<String, &str> = BTreeMap::new();
    let mut problems = Vec::new();
    for (name, tamper) in TAMPERS {
        let forged = site.beside("forged");
        copy(&bundle, &forged)?;
        tamper(&forged, &later).with_context(|| format!("making the case {name}"))?;
        let with_state = name.contains("--state");
        let extra = if with_state {
            vec!["--state", text(&state)]
        } else {
            vec![]
        };
        let output = verify(&[&[text(&forged)], &extra[..]].concat())?;
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        println!("{name}: {told}");
        if output.status.code() != Some(1) {
            problems.push(format!("{name}: {} {told}", output.status));
        } else if told.trim().len() < 30 {
            problems.push(format!("{name}: no sentence: {told:?}"));
        } else if let Some(other) = kinds.insert(kind_of(&told), name) {
            problems.push(format!("{name} has the same message as {other}: {told}"));
        }
        fs::remove_dir_all(&forged)?;
    }
    ensure!(problems.is_empty(), "{}", problems.join("\n"));
    Ok(())
}

#[test]
fn every_flipped_byte_of_a_sample_is_found() -> Result<()> {
    let site = Site::new()?;
    let (node, bundle) = small_export(&site)?;
    node.terminate()?;
    let mut dice = tests::dice::Dice::new(7);
    for path in files(&bundle)? {
        let length = fs::metadata(&path)?.len();
        for _ in 0..6 {
            let at = dice.below(length);
            flip(&path, at)?;
            let output = verify(&[text(&bundle)])?;
            let name = path.strip_prefix(&bundle)?.display();
            ensure!(
                output.status.code() == Some(1),
                "{name}: byte {at} flipped is not found"
            );
            flip(&path, at)?;
        }
    }
    ensure!(
        verify(&[text(&bundle)])?.status.success(),
        "flipped back, it is good again"
    );
    Ok(())
}
