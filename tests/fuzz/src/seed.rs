//! Writes the seed inputs of every target: `seed CORPUS-FOLDER`. They come from our own encoders,
//! so a change of a format changes them too.

// Coverage feedback calls into the engine, so every program of this package links it.
extern crate libfuzzer_sys as _;

use std::path::Path;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let Some(corpus) = env::args_os().nth(1) else {
        return Err(io::Error::other("usage: seed CORPUS-FOLDER"));
    };
    let corpus = Path::new(&corpus);
    write(corpus, "ledger_recover", &fuzz::edits::seeds())?;
    write(corpus, "bundle_verify", &fuzz::edits::seeds())?;
    write(corpus, "event_decode", &fuzz::site::record_seeds())?;
    write(corpus, "command_decide", &fuzz::site::command_seeds())?;
    write(corpus, "ttlv_decode", &fuzz::messages::seeds())?;
    write(corpus, "kmip_request", &fuzz::messages::seeds())?;
    write(corpus, "peer_message", &fuzz::frames::seeds())?;
    Ok(())
}

fn write(corpus: &Path, target: &str, seeds: &[Vec<u8>]) -> io::Result<()> {
    let folder = corpus.join(target);
    fs::create_dir_all(&folder)?;
    for (i, seed) in seeds.iter().enumerate() {
        fs::write(folder.join(format!("seed-{i:02}")), seed)?;
    }
    Ok(())
}
