//! A cluster that grows, and one whose every node is replaced, while it has data and serves.
//!
//! **Growing**: six nodes join a founder that has keys, destroyed keys and an access log. Tickets,
//! requests, approvals and starts of all six are mixed at random, at random members, while keys are
//! made and destroyed. The cluster takes one node in at a time, so all 720 orders are permutations
//! of who is approved and started first; what differs between two orders is which of the roles
//! comes when and what waits meanwhile, and any bug in that needs a few neighbours, not all six. So
//! a run takes a seeded sample of orders: one in a plain run, twelve in a full one.
//!
//! **Replacing**: every node of three gives way to a new one, by `remove`, by `leave`, and dead,
//! under a load of changes. Clients that Get at the other nodes all the while must not see one
//! failure. Who was removed is refused with its old folder, and serves nothing.
//!
//! **Older programs**: a node that understands only an older format is told so and not let in.
//!
//! `$STRONGROOM_SEED` and `$STRONGROOM_ROUNDS` repeat a run.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout)] // test code

#[path = "cluster_faults/checks.rs"]
mod checks;
#[path = "cluster_grow/growth.rs"]
mod growth;
#[path = "cluster_grow/older.rs"]
mod older;
#[path = "cluster_grow/replace.rs"]
mod replace;

use anyhow::{Context, Result};
use std::time::Instant;
use tests::bound;
use tests::dice::Dice;

#[test]
fn six_nodes_join_in_any_order() -> Result<()> {
    let (seed, orders) = (Dice::seed_of_run(), bound("STRONGROOM_ROUNDS", 1, 12));
    println!("{orders} orders, seed {seed}");
    let mut dice = Dice::new(seed);
    for order in 1..=orders {
        let began = Instant::now();
        growth::play(&mut dice).with_context(|| {
            format!(
                "order {order}; REPEAT WITH STRONGROOM_SEED={seed} STRONGROOM_ROUNDS={orders} \
                 cargo test -p tests --test cluster_grow six_nodes -- --nocapture"
            )
        })?;
        println!("  order {order}: {:?}", began.elapsed());
    }
    Ok(())
}

#[test]
fn every_node_is_replaced_under_load() -> Result<()> {
    let seed = Dice::seed_of_run();
    println!("seed {seed}");
    replace::play(&mut Dice::new(seed)).with_context(|| {
        format!(
            "REPEAT WITH STRONGROOM_SEED={seed} \
             cargo test -p tests --test cluster_grow every_node -- --nocapture"
        )
    })
}

#[test]
fn an_older_program_is_refused_and_told_why() -> Result<()> {
    older::play()
}
