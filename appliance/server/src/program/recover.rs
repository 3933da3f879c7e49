//! `strongroom cluster recover` and `strongroom cluster rejoin`: what is done on a stopped node.

use crate::jobs::repairs::Repairs;
use crate::layout::Layout;
use crate::member::place::Place;
use crate::member::recover::{Prospect, Survivor};
use crate::member::rejoin;
use crate::{node, render};
use anyhow::{Context, bail};
use domain::{Actor, Door};
use serde_json::{Value, json};
use std::io::{IsTerminal, Read, Write};
use std::path::Path;
use std::process::ExitCode;
use vault::{Credential, Secret, Vault};

/// Characters of the cluster's name that an operator types to say yes.
const CONFIRMATION_CHARS: usize = 8;

/// Longest line of an operator, in bytes.
const LINE_BYTES_MAX: u64 = 1024;

/// Goes on with one node alone.
pub(super) fn recover(
    dir: &Path,
    yes: bool,
    passphrase: bool,
    as_json: bool,
) -> anyhow::Result<ExitCode> {
    super::dev::keep_secrets_in_memory();
    let layout = Layout::new(dir);
    let credential = match passphrase {
        true => Credential::Passphrase(Secret::take(read_line()?.into_bytes())),
        false => Credential::KeyFile(layout.unlock_key()),
    };
    let survivor = Survivor::look(layout, &credential)?;
    let prospect = survivor.prospect();
    let shown = show(prospect);
    eprint!("{shown}");
    let name = prospect.cluster.to_string();
    if !yes && !confirmed(&name)? {
        bail!("nothing was changed");
    }
    let operator = Actor::Operator {
        name: format!("uid:{}", nix::unistd::geteuid().as_raw()),
        // Whoever can stop the node and read its disk; the administrators are in the log.
        door: Door::Socket,
    };
    let runtime = tokio::runtime::Runtime::new()?;
    let done = runtime.block_on(survivor.go_on(&operator))?;
    let told = json!({
        "lineage": done.lineage,
        "cluster_log_size": done.records,
        "cluster_ca": done.ca.to_string(),
        "old_key_encryption_key_is_gone": done.rotated,
    });
    say(&told, as_json)?;
    eprintln!(
        "\nStart this node, wipe the folders of the old members, and let them join again with \
         tickets.\nWhat only an old folder has: strongroom cluster salvage --from FOLDER, before \
         it is wiped."
    );
    Ok(ExitCode::SUCCESS)
}

fn show(prospect: &Prospect) -> String {
    let lost: Vec<_> = prospect
        .lost
        .iter()
        .map(|node| node.0.to_string())
        .collect();
    let lost = match lost.is_empty() {
        true => "none".to_owned(),
        false => lost.join(", "),
    };
    let missing = match prospect.missing {
        0 => "not known; what the others answered after the last record here is lost".to_owned(),
        n => format!("at least {n} records that a majority had signed"),
    };
    let last_entry = prospect
        .last_entry
        .map_or("-".to_owned(), |n| n.to_string());
    format!(
        "Going on with node {} of cluster {} alone, as lineage {}:\n\
         \n\
         records in its log:   {}\n\
         last of them:         {}\n\
         last Raft entry:      {last_entry} (all up to it are carried out)\n\
         objects:              {}\n\
         members given up:     {lost}\n\
         may be missing:       {missing}\n\
         \n\
         The members given up are never let in again as they are. If one of them still runs, stop\n\
         it first: clients would be served by two clusters.\n\n",
        prospect.node.0,
        prospect.cluster,
        prospect.lineage.saturating_add(1),
        prospect.records,
        render::moment(prospect.last),
        prospect.objects,
    )
}

fn confirmed(name: &str) -> anyhow::Result<bool> {
    let wanted: String = name.chars().take(CONFIRMATION_CHARS).collect();
    if !std::io::stdin().is_terminal() {
        eprintln!("[recover-confirm] the first {CONFIRMATION_CHARS} characters of the cluster:");
    } else {
        eprint!("[recover-confirm] type {wanted} to go on: ");
    }
    Ok(read_line()? == wanted)
}

fn read_line() -> anyhow::Result<String> {
    let mut text = String::new();
    let input = std::io::stdin().lock();
    std::io::BufRead::read_line(&mut input.take(LINE_BYTES_MAX), &mut text)?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

fn say(done: &Value, as_json: bool) -> std::io::Result<()> {
    let mut out = std::io::stdout();
    if as_json {
        return writeln!(out, "{done}");
    }
    for (key, value) in done.as_object().into_iter().flatten() {
        let value = value.as_str().map_or(value.to_string(), str::to_owned);
        writeln!(out, "{:<32} {value}", format!("{}:", key.replace('_', " ")))?;
    }
    Ok(())
}

/// Comes back to the cluster under a new number.
pub(super) fn rejoin(dir: &Path) -> anyhow::Result<ExitCode> {
    super::dev::keep_secrets_in_memory();
    let layout = Layout::new(dir);
    let _lock = node::lock(&layout)?;
    let credential = Credential::KeyFile(layout.unlock_key());
    let vault = Vault::unlock(&layout.keys(), &credential)
        .with_context(|| format!("unlocking {}", layout.keys().display()))?;
    let place = Place::read(&layout.place())?;
    if place.members.is_empty() {
        bail!("this node knows of no other member: there is no cluster to come back to");
    }
    let runtime = tokio::runtime::Runtime::new()?;
    let now = runtime.block_on(rejoin::rejoin(&layout, &vault, &place))?;
    Repairs::open(&layout).add("raft log", 1);
    let dir = dir.display();
    writeln!(
        std::io::stdout(),
        "node {} is node {} from now on; start it with: strongroom dev --dir {dir}",
        place.node,
        now.node
    )?;
    Ok(ExitCode::SUCCESS)
}
