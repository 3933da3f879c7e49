//! One flipped bit in what the root is made of: its files, its hash tree, a block that no boot
//! reads.

use crate::bench::{Bench, End, Trial, VERIFIED};
use crate::disk::{BLOCK_BYTES, block_of};
use anyhow::{Context, Result};
use std::fs;

/// What the kernel says before it restarts the machine.
const PANIC: &str = "Kernel panic - not syncing: dm-verity device corrupted";

/// A hash block holds so many hashes of 32 bytes.
const HASHES_PER_BLOCK: u64 = BLOCK_BYTES / 32;

/// Block in which the hash tree begins with its top, behind the superblock of verity.
fn tree(bench: &Bench) -> Result<u64> {
    let cmdline = fs::read_to_string(bench.image.join("cmdline"))?;
    let verity = cmdline
        .split_ascii_whitespace()
        .find_map(|word| word.strip_prefix("strongroom.verity="));
    let offset = verity.and_then(|values| values.split(',').nth(1));
    let offset: u64 = offset.context("a verity offset")?.parse()?;
    Ok(offset / BLOCK_BYTES + 1)
}

/// The second half of PID 1 is the first program that the boot reads from the root.
#[test]
fn a_changed_program_is_refused() -> Result<()> {
    let bench = Bench::get()?;
    let disk = bench.disk()?;
    let block = block_of(&bench.image, "/usr/lib/strongroom/init")?;
    disk.flip("root-a", block * BLOCK_BYTES + 1000)?;
    let mut trial = Trial::start(bench.secure(&disk)?, disk)?;
    let words = format!("data block {block} is corrupted");
    trial.refused(&[&words, PANIC], End::Restart)?;
    trial.tell("one bit of a program in the root", "dm-verity", &words);
    Ok(())
}

/// A block of hashes in the middle of the tree: the hash above it does not match.
#[test]
fn a_changed_hash_is_refused() -> Result<()> {
    let bench = Bench::get()?;
    let disk = bench.disk()?;
    let program = block_of(&bench.image, "/usr/lib/strongroom/init")?;
    // Below the top stand the hashes of the data, in the order of the data.
    let block = tree(bench)? + 1 + program / HASHES_PER_BLOCK;
    disk.flip("root-a", block * BLOCK_BYTES + 1000)?;
    let mut trial = Trial::start(bench.secure(&disk)?, disk)?;
    let words = format!("metadata block {block} is corrupted");
    trial.refused(&[&words, PANIC], End::Restart)?;
    trial.tell("one bit of the hash tree", "dm-verity", &words);
    Ok(())
}

/// The top of the tree is what PID 1 tells the slots apart by.
#[test]
fn a_changed_top_of_the_hash_tree_is_refused() -> Result<()> {
    let bench = Bench::get()?;
    let disk = bench.disk()?;
    disk.flip("root-a", tree(bench)? * BLOCK_BYTES + 1000)?;
    let mut trial = Trial::start(bench.secure(&disk)?, disk)?;
    let phase = "boot phase 'root hash' refuses a disk of which no slot holds the signed root";
    let words = "check 'root hash' failed: no slot holds the signed root";
    trial.refused(&[phase, words], End::Restart)?;
    trial.tell("one bit of the hash tree's top", "PID 1", words);
    Ok(())
}

/// A boot never reads the bill of materials. So the machine comes up, and the self-test of the
/// whole device, which runs beside the services, finds the block and ends the machine.
#[test]
fn a_block_that_no_boot_reads_is_found_by_the_self_test() -> Result<()> {
    let bench = Bench::get()?;
    let disk = bench.disk()?;
    let block = block_of(&bench.image, "/usr/share/doc/strongroom/sbom.json")?;
    disk.flip("root-a", block * BLOCK_BYTES + 1000)?;
    let mut trial = Trial::start(bench.secure(&disk)?, disk)?;
    let words = format!("data block {block} is corrupted");
    // It boots; whether the first prompt or the self-test comes first is a race.
    trial.says(&[VERIFIED, &words, PANIC])?;
    trial.machine.wait_end(std::time::Duration::from_secs(60))?;
    trial.tell("one bit of a block that no boot reads", "self-test", &words);
    Ok(())
}
