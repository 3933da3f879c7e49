//! The clients of the cluster suites and their judge, against one node: what they see of a node
//! that crashes again and again is linearizable, and a node that loses what it acknowledged is
//! caught by it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout)] // test code

use anyhow::{Context, Result, ensure};
use std::fs;
use std::time::Duration;
use tests::bound;
use tests::dice::Dice;
use tests::fleet::client::Endpoint;
use tests::fleet::copy_folder;
use tests::fleet::work::{Counts, Work};
use tests::node::{Node, Site};

/// Work before a crash.
const ROUND: Duration = Duration::from_millis(700);

/// One node with the load that knows it. Its port differs at each start, so clients are told anew.
struct Trial {
    site: Site,
    work: Option<Work>,
}

impl Trial {
    fn round(&mut self, dice: &mut Dice) -> Result<Counts> {
        let node = self.site.start()?;
        let mut work = self.work_on(&node);
        let running = work.begin(dice)?;
        std::thread::sleep(ROUND);
        node.kill()?;
        work.end(running)?;
        let node = self.site.start()?;
        work.set_endpoints(endpoints(&node));
        let looked = work.look_at_all(&[1], dice, 20);
        let judged = looked
            .and_then(|()| work.judge())
            .with_context(|| node.tail());
        let counts = work.counts();
        self.work = Some(work);
        node.kill()?;
        judged.map(|()| counts)
    }

    fn work_on(&mut self, node: &Node) -> Work {
        let mut work = self
            .work
            .take()
            .unwrap_or_else(|| Work::new(endpoints(node), node.identity("demo"), None));
        work.set_endpoints(endpoints(node));
        work
    }
}

fn endpoints(node: &Node) -> Vec<Endpoint> {
    vec![Endpoint {
        node: 1,
        address: node.kmip(),
    }]
}

#[test]
fn one_node_is_linearizable_across_crashes() -> Result<()> {
    let (seed, rounds) = (Dice::seed_of_run(), bound("STRONGROOM_ROUNDS", 4, 20));
    let mut dice = Dice::new(seed);
    let mut trial = Trial {
        site: Site::new()?,
        work: None,
    };
    let mut counts = Counts::default();
    for round in 1..=rounds {
        counts = trial.round(&mut dice).with_context(|| {
            format!(
                "round {round}; REPEAT WITH STRONGROOM_SEED={seed} STRONGROOM_ROUNDS={rounds} \
                 cargo test -p tests --test cluster_load one_node"
            )
        })?;
    }
    println!("{rounds} rounds, seed {seed}: {counts:?}");
    let worked = counts.created > 5 * rounds && counts.served > 10 * rounds;
    ensure!(
        worked && counts.destroyed > 0,
        "the load hardly worked: {counts:?}"
    );
    Ok(())
}

/// The control: a node whose folder goes back in time while it is down has lost what it
/// acknowledged; the judge must say so.
#[test]
fn a_node_that_goes_back_in_time_is_caught() -> Result<()> {
    let mut dice = Dice::new(Dice::seed_of_run());
    let mut trial = Trial {
        site: Site::new()?,
        work: None,
    };
    trial.round(&mut dice)?;
    let (dir, old) = (trial.site.dir(), trial.site.beside("old"));
    copy_folder(&dir, &old)?;
    trial.round(&mut dice)?;
    fs::remove_dir_all(&dir)?;
    copy_folder(&old, &dir)?;
    let caught = trial
        .round(&mut dice)
        .err()
        .context("what was lost was not missed")?;
    let told = format!("{caught:#}");
    println!(
        "caught: {}",
        told.lines().take(40).collect::<Vec<_>>().join("\n")
    );
    ensure!(
        told.contains("no order explains"),
        "caught something else: {told}"
    );
    Ok(())
}
