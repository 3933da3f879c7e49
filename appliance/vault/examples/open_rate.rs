//! Prints how long it takes to make, open and re-seal an object, and to read it from the store.
//!
//! `cargo run --release -p vault --example open_rate`
#![allow(clippy::print_stdout)]

use domain::{ClusterId, Uid};
use std::error::Error;
use std::time::Instant;
use vault::store::{SealedStore, StoreOp};
use vault::{Credential, NewSlot, Secret, Vault};

const ROUNDS: u32 = 100_000;
const THREADS: u32 = 2;

fn uid(n: u32) -> Uid {
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&n.to_be_bytes());
    Uid::from_bytes(bytes)
}

fn measure(what: &str, rounds: u32, mut act: impl FnMut(u32)) {
    let began = Instant::now();
    (0..rounds).for_each(&mut act);
    let each = began.elapsed() / rounds;
    println!("{what:<36} {:>9} ns", each.as_nanos());
}

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::temp_dir().join(format!("open-rate-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let slot = NewSlot::new(Credential::KeyFile(folder.join("unlock.key")));
    let vault = Vault::initialise(&folder.join("keys"), ClusterId::from_bytes([1; 16]), slot)?;

    let sealed = vault.generate(&uid(0), 256)?;
    measure("generate, 256 bits", ROUNDS, |n| {
        vault.generate(&uid(n), 256).expect("generate");
    });
    let open = |uid: &Uid, sealed: &vault::Sealed| {
        vault
            .open(uid, &sealed.bytes, &sealed.commitment)
            .expect("open");
    };
    measure("open, 32 bytes", ROUNDS, |_| open(&uid(0), &sealed));
    measure("reseal, 32 bytes, same epoch", ROUNDS, |_| {
        vault.reseal(&uid(0), &sealed.bytes).expect("reseal");
    });
    for (bytes, rounds) in [(1024, ROUNDS / 10), (4096, ROUNDS / 10), (512 * 1024, 200)] {
        let large = vault.seal(&uid(1), &Secret::init_with(bytes, |_| ()))?;
        measure(&format!("open, {bytes} bytes"), rounds, |_| {
            open(&uid(1), &large)
        });
    }
    let began = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| (0..ROUNDS).for_each(|_| open(&uid(0), &sealed)));
        }
    });
    let each = began.elapsed() / (ROUNDS * THREADS);
    println!(
        "{:<36} {:>9} ns",
        format!("open, 32 bytes, {THREADS} threads"),
        each.as_nanos()
    );
    store_rates(&folder, &sealed)?;
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}

fn store_rates(folder: &std::path::Path, sealed: &vault::Sealed) -> Result<(), Box<dyn Error>> {
    const BATCH: u32 = 100;
    let store = SealedStore::open(&folder.join("sealed.redb"))?;
    measure(
        "store: put, batches of 100 (per batch)",
        ROUNDS / BATCH,
        |n| {
            let ops: Vec<StoreOp> = (n * BATCH..(n + 1) * BATCH)
                .map(|n| StoreOp::Put {
                    uid: uid(n),
                    sealed: sealed.bytes.clone(),
                })
                .collect();
            store.apply(u64::from(n) + 1, &ops).expect("apply");
        },
    );
    measure("store: flush", 20, |n| {
        let index = u64::from(ROUNDS / BATCH + n) + 1;
        let op = StoreOp::Put {
            uid: uid(ROUNDS + n),
            sealed: sealed.bytes.clone(),
        };
        store.apply(index, &[op]).expect("apply");
        store.flush().expect("flush");
    });
    measure("store: get, of 100,000", ROUNDS, |n| {
        store
            .get(&uid(n.wrapping_mul(7919) % ROUNDS))
            .expect("get")
            .expect("is there");
    });
    measure("store: digest of 100,000", 3, |_| {
        store.digest().expect("digest");
    });
    Ok(())
}
