//! A small program to be killed under the shim: it does one thing, says how far it got, and waits.
//!
//! `victim FOLDER MODE`; each mode is a sentence in `tests/power_cut.rs`.
#![allow(clippy::print_stdout)] // talks to its test by stdout

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, mode] = arguments.as_slice() else {
        return Err(io::Error::other("usage: victim FOLDER MODE"));
    };
    let folder = Path::new(folder);
    match mode.as_str() {
        "append-then-say" => append(folder, false),
        "say-then-append" => append(folder, true),
        "threads" => threads(folder),
        other => {
            once(folder, other)?;
            println!("done");
            loop {
                std::thread::park();
            }
        }
    }
}

/// Appends lines for ever; a line is acknowledged on stdout after its fsync, or (the bug that the
/// harness must catch) before it.
fn append(folder: &Path, too_early: bool) -> io::Result<()> {
    let mut log = File::create(folder.join("log"))?;
    sync_folder(folder)?;
    for line in 0_u64.. {
        log.write_all(format!("{line}\n").as_bytes())?;
        if too_early {
            println!("{line}");
            if line % 16 != 0 {
                continue;
            }
        }
        log.sync_data()?;
        if !too_early {
            println!("{line}");
        }
    }
    Ok(())
}

/// Eight threads, a file each, all acknowledging after fsync.
fn threads(folder: &Path) -> io::Result<()> {
    std::thread::scope(|scope| {
        for number in 0..8 {
            scope.spawn(move || -> io::Result<()> {
                let file = File::create(folder.join(format!("file-{number}")))?;
                sync_folder(folder)?;
                for line in 0_u64.. {
                    file.write_all_at(&line.to_le_bytes(), line * 8)?;
                    file.sync_data()?;
                    println!("{number} {line}");
                }
                Ok(())
            });
        }
    });
    Ok(())
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// The single steps: something durable, then something that is not.
fn once(folder: &Path, mode: &str) -> io::Result<()> {
    let path = folder.join("file");
    let new = folder.join("file.new");
    match mode {
        "write" => fs::write(&path, "lost")?,
        "sync-file-only" => File::create(&path)?.sync_all()?,
        "sync-both" => {
            let mut file = File::create(&path)?;
            file.write_all(b"kept")?;
            file.sync_all()?;
            sync_folder(folder)?;
            file.write_all(b" lost")?;
        }
        "overwrite" => OpenOptions::new()
            .write(true)
            .open(&path)?
            .write_all_at(b"NEW", 0)?,
        "truncate" => drop(File::create(&path)?),
        "set-len" => OpenOptions::new().write(true).open(&path)?.set_len(2)?,
        "unlink" => fs::remove_file(&path)?,
        "unlink-durably" => {
            fs::remove_file(&path)?;
            sync_folder(folder)?;
        }
        "replace" | "replace-durably" => {
            let mut file = File::create(&new)?;
            file.write_all(b"replacement")?;
            file.sync_all()?;
            fs::rename(&new, &path)?;
            if mode == "replace-durably" {
                sync_folder(folder)?;
            }
        }
        "folder" => {
            fs::create_dir(folder.join("sub"))?;
            let mut file = File::create(folder.join("sub/file"))?;
            file.write_all(b"kept?")?;
            file.sync_all()?;
            sync_folder(&folder.join("sub"))?;
        }
        "copy" => drop(fs::copy(&path, folder.join("copy"))?),
        "link" => fs::hard_link(&path, folder.join("second"))?,
        "write-and-report" => {
            let mut file = OpenOptions::new().append(true).open(&path)?;
            let grown = file.write_all(b"more").and_then(|()| file.sync_all());
            let over = OpenOptions::new()
                .write(true)
                .open(&path)?
                .write_all_at(b"O", 0);
            println!("grow={} over={}", word(grown), word(over));
        }
        other => return Err(io::Error::other(format!("no mode {other}"))),
    }
    Ok(())
}

fn word(outcome: io::Result<()>) -> String {
    match outcome {
        Ok(()) => "ok".into(),
        Err(error) => error
            .raw_os_error()
            .map_or("?".into(), |errno| errno.to_string()),
    }
}
