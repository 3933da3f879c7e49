//! Six nodes join a founder in an order that the dice choose, and each becomes what the others are.

use crate::checks;
use anyhow::{Context, Result, ensure};
use domain::Uid;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::Instant;
use tests::client::Trouble;
use tests::dice::Dice;
use tests::fleet::join::{JOIN_WITHIN, Joining, Role};
use tests::fleet::look::{Key, WITHIN, ensure_equal, wait_for};
use tests::fleet::{Fleet, Ground};
use vault::store::SealedStore;

/// The founder and six that join.
const NODES: u8 = 7;
/// What they are to be: with the founder five votes, one of them without keys.
const ROLES: [Role; 6] = [
    Role::Voter,
    Role::Voter,
    Role::Voter,
    Role::Witness,
    Role::Learner,
    Role::Learner,
];
/// Keys of the founder before anybody joins.
const KEYS: usize = 40;
/// Bytes by which sealed material is recognised in a file: too many for chance.
const MARK_BYTES: usize = 16;

/// How far a newcomer has come.
#[derive(Debug)]
enum Stage {
    Away,
    Ticketed(String),
    Asking(Joining),
    Admitted,
    Up,
}

struct Growth<'a> {
    fleet: Fleet,
    dice: &'a mut Dice,
    roles: BTreeMap<u8, Role>,
    /// The number of each machine's node.
    nodes: BTreeMap<u8, u64>,
    stages: BTreeMap<u8, Stage>,
    keys: Vec<Key>,
    destroyed: Vec<Key>,
    names: usize,
    /// The order, to be printed.
    told: String,
}

/// Has six nodes join in one order.
pub(crate) fn play(dice: &mut Dice) -> Result<()> {
    let mut growth = Growth::found(dice)?;
    let deadline = Instant::now() + 6 * JOIN_WITHIN;
    while !growth.waiting().is_empty() {
        let in_time = Instant::now() < deadline;
        ensure!(in_time, "not all joined: {}", growth.told);
        growth
            .step()
            .with_context(|| format!("{}\n{}", growth.told, growth.fleet.tails()))?;
    }
    println!("  {}", growth.told);
    growth
        .check()
        .with_context(|| format!("{}\n{}", growth.told, growth.fleet.tails()))
}

impl<'a> Growth<'a> {
    fn found(dice: &'a mut Dice) -> Result<Self> {
        let mut fleet = Fleet::empty(NODES, Ground::Loopback)?;
        fleet.found_first(1)?;
        let mut keys = fleet.make_keys(1, "before", KEYS)?;
        let destroyed = keys.split_off(KEYS * 3 / 4);
        let mut client = fleet.client(1)?;
        for key in &destroyed {
            client.destroy(&key.uid)?;
        }
        fleet.check_keys(1, &keys)?;
        // The Raft log forgets what it had, so newcomers have to ask for what they miss.
        fleet.run(1, &["epoch", "rotate"])?;
        let mut roles = ROLES.to_vec();
        let mut draw = |dice: &mut Dice| {
            let at = usize::try_from(dice.below(roles.len() as u64)).unwrap();
            roles.swap_remove(at)
        };
        let drawn = (2..=NODES).map(|number| (number, draw(dice))).collect();
        Ok(Self {
            fleet,
            roles: drawn,
            nodes: BTreeMap::from([(1, 1)]),
            stages: (2..=NODES).map(|number| (number, Stage::Away)).collect(),
            dice,
            keys,
            destroyed,
            names: 0,
            told: String::new(),
        })
    }

    /// Who does not run yet.
    fn waiting(&self) -> Vec<u8> {
        let waits = |(number, stage): (&u8, &Stage)| {
            let is_up = matches!(stage, Stage::Up);
            (!is_up).then_some(*number)
        };
        self.stages.iter().filter_map(waits).collect()
    }

    /// One of those that run and are members in good standing.
    fn a_member(&mut self, may_be_witness: bool) -> Result<u8> {
        let standing: BTreeSet<u64> = self
            .fleet
            .phases(1)?
            .into_iter()
            .filter_map(|(node, phase)| (phase == "member").then_some(node))
            .collect();
        let serves = |number: &u8| {
            may_be_witness || self.roles.get(number).is_none_or(|role| role.holds_keys())
        };
        let up = self
            .nodes
            .iter()
            .filter(|(_, node)| standing.contains(node));
        let members: Vec<u8> = up.map(|(number, _)| *number).filter(serves).collect();
        let member = self.dice.pick(&members).context("somebody is a member")?;
        Ok(*member)
    }

    /// Any newcomer goes one step on; then a key is made, and now and then one destroyed.
    fn step(&mut self) -> Result<()> {
        let waiting = self.waiting();
        let number = *self.dice.pick(&waiting).context("somebody waits")?;
        let stage = self.stages.remove(&number).context("each has a stage")?;
        let stage = match stage {
            Stage::Away => {
                let sponsor = self.a_member(true)?;
                self.told += &format!("{number} ticket at {sponsor}, ");
                Stage::Ticketed(self.fleet.ticket(sponsor)?)
            }
            Stage::Ticketed(ticket) => self.ask(number, &ticket)?,
            Stage::Asking(joining) => self.approve(number, joining)?,
            Stage::Admitted => {
                self.told += &format!("{number} up as {}, ", self.roles[&number].name());
                self.fleet.start_admitted(number)?;
                let node = self.fleet.node_number(number)?;
                self.nodes.insert(number, node);
                Stage::Up
            }
            Stage::Up => Stage::Up,
        };
        self.stages.insert(number, stage);
        self.change()
    }

    fn ask(&mut self, number: u8, ticket: &str) -> Result<Stage> {
        self.told += &format!("{number} asks, ");
        let mut joining = self
            .fleet
            .ask_to_join(number, ticket, self.roles[&number])?;
        wait_for("the request at a member", || {
            ensure!(!joining.is_admitted()?, "nobody has approved it");
            self.fleet.waits_at(number, 1)
        })?;
        Ok(Stage::Asking(joining))
    }

    /// While another one is on its way in, an approval is refused and says so.
    fn approve(&mut self, number: u8, mut joining: Joining) -> Result<Stage> {
        let sponsor = self.a_member(true)?;
        wait_for("the request at the sponsor", || {
            self.fleet.waits_at(number, sponsor)
        })?;
        let is_busy = self.stages.values().any(|s| matches!(s, Stage::Admitted));
        let is_settling = self.fleet.phases(1)?.iter().any(|(_, p)| p == "joining");
        let approved = self.fleet.approve(number, sponsor)?;
        let said = String::from_utf8_lossy(&approved.stderr).into_owned();
        if !approved.status.success() {
            self.told += &format!("{number} not yet, ");
            let is_right = is_settling && said.contains("one at a time");
            ensure!(is_right, "{number} is not approved: {said}");
            return Ok(Stage::Asking(joining));
        }
        self.told += &format!("{number} in by {sponsor}, ");
        ensure!(!is_busy, "{number} was let in while another was on its way");
        wait_for("the newcomer is admitted", || joining.is_admitted())?;
        Ok(Stage::Admitted)
    }

    fn change(&mut self) -> Result<()> {
        let (here, there) = (self.a_member(false)?, self.a_member(false)?);
        self.names += 1;
        let made = self
            .fleet
            .make_keys(here, &format!("during {}", self.names), 1)?;
        self.keys.extend(made);
        if self.dice.below(3) == 0 {
            let at = usize::try_from(self.dice.below(self.keys.len() as u64))?;
            let key = self.keys.swap_remove(at);
            self.fleet.client(there)?.destroy(&key.uid)?;
            self.destroyed.push(key);
        }
        Ok(())
    }

    fn check(&mut self) -> Result<()> {
        let members: Vec<u64> = (1..=u64::from(NODES)).collect();
        self.fleet.await_members(1, &members)?;
        self.check_votes()?;
        let agreement = self.fleet.await_agreement(WITHIN)?;
        println!("  {agreement:?}");
        for number in self.fleet.numbers() {
            if self.roles.get(&number).is_some_and(|r| !r.holds_keys()) {
                continue;
            }
            self.fleet.check_keys(number, &self.keys)?;
            let mut client = self.fleet.client(number)?;
            for key in &self.destroyed {
                let got = client.get(&key.uid);
                let is_refused = matches!(got, Err(Trouble::Denied(_)));
                ensure!(is_refused, "node {number}, destroyed {}: {got:?}", key.uid);
            }
        }
        ensure_equal(&self.fleet.scrub(1)?, usize::from(NODES))?;
        self.check_cosigned()?;
        // A stranger finds each node's log whole, and each the continuation of the one before.
        checks::bundles(&self.fleet, tempfile::tempdir()?.path())?;
        self.check_witnesses()
    }

    /// Who votes is who was to vote.
    fn check_votes(&self) -> Result<()> {
        let status = self.fleet.json(1, &["cluster", "status"])?;
        let rows = status["members"].as_array().context("members")?;
        let voting = rows.iter().filter(|row| row["votes"] == true).count();
        let roles = rows.iter().all(|row| {
            let votes = row["role"] != Role::Learner.name();
            row["votes"] == votes
        });
        ensure!(voting == 5 && roles, "{status:#}");
        Ok(())
    }

    /// All sign one head of the log, the witness among them.
    fn check_cosigned(&self) -> Result<()> {
        wait_for("all agree on one record", || {
            let status = self.fleet.json(1, &["cluster", "status"])?;
            let signed = status["agreed"]["nodes"].as_array().map_or(0, Vec::len);
            ensure!(signed == usize::from(NODES), "{}", status["agreed"]);
            Ok(true)
        })
    }

    /// Nothing sealed is anywhere in the folder of a witness; the same look finds it elsewhere.
    fn check_witnesses(&mut self) -> Result<()> {
        self.fleet.terminate(1)?;
        let store = |fleet: &Fleet, number| {
            let file = fleet.site(number).dir().join("data/sealed.redb");
            // A copy: to open is to write.
            let copy = tempfile::tempdir()?;
            let path = copy.path().join("sealed.redb");
            fs::copy(&file, &path)?;
            Ok::<_, anyhow::Error>((SealedStore::open(&path)?, copy))
        };
        let (sealed, _copy) = store(&self.fleet, 1)?;
        let mut marks = BTreeSet::new();
        for key in &self.keys {
            let uid = Uid::parse(&key.uid).context("a uid")?;
            let bytes = sealed.get(&uid)?.context("the founder has each key")?;
            // The look passes over zeros, of which segments have many.
            let middle = (bytes.len() / 2..).find(|at| bytes[*at] != 0);
            let middle = middle.context("it is not all zeros")?;
            marks.insert(bytes[middle..middle + MARK_BYTES].to_vec());
        }
        let at_founder = found_in(&self.fleet.site(1).dir(), &marks)?;
        ensure!(at_founder == marks.len(), "the look itself finds nothing");
        let witnesses: Vec<u8> = self
            .roles
            .iter()
            .filter(|(_, r)| !r.holds_keys())
            .map(|(n, _)| *n)
            .collect();
        ensure!(!witnesses.is_empty(), "a witness was to join");
        for number in witnesses {
            self.fleet.terminate(number)?;
            let (sealed, _copy) = store(&self.fleet, number)?;
            ensure!(sealed.is_empty()?, "witness {number} has a sealed object");
            let found = found_in(&self.fleet.site(number).dir(), &marks)?;
            ensure!(found == 0, "witness {number} has {found} sealed keys");
        }
        Ok(())
    }
}

/// How many of the marks stand in the files below a folder.
fn found_in(folder: &Path, marks: &BTreeSet<Vec<u8>>) -> Result<usize> {
    let mut found = BTreeSet::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() {
                let bytes = fs::read(entry.path())?;
                let windows = bytes.windows(MARK_BYTES).filter(|w| w[0] != 0);
                found.extend(windows.filter(|w| marks.contains(*w)).map(<[u8]>::to_vec));
            }
        }
    }
    Ok(found.len())
}
