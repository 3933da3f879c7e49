//! The faults that a round can have, and how each is played on a fleet that is under load.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};
use tests::dice::Dice;
use tests::fleet::{Fleet, copy_folder};
use tests::netns::Place;
use tests::power;

/// Ten years, which no certificate of a test outlives.
const TEN_YEARS_SECONDS: i64 = 10 * 365 * 86_400;
/// Longer than a day, which is what the products that we replace survive.
const ABSENCE_SECONDS: i64 = 25 * 3_600;
/// Days that a fleet may be absent in all, so that its certificates stay valid.
const ABSENCES_MAX: i64 = 20;
/// How long the others may take to see that a node went back in time.
const REFUSED_WITHIN: Duration = Duration::from_secs(20);
/// Bits that go wrong at once.
const FLIPS_MAX: u64 = 3;

/// What goes wrong in a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The leader keeps a minority of the voters.
    LeaderInMinority,
    /// The leader keeps a bare majority.
    LeaderInMajority,
    /// Every node is alone; clients reach them all.
    EverybodyAlone,
    /// The leader is alone.
    IsolatedLeader,
    /// One other node is alone.
    IsolatedFollower,
    /// The leader hears, and is heard by nobody.
    MuteLeader,
    /// The leader is heard, and hears nobody.
    DeafLeader,
    /// One direction of one link is dead.
    OneWayLink,
    /// A link of the leader comes and goes.
    FlappingLink,
    /// The leader's cable is out: not even clients reach it.
    UnpluggedLeader,
    /// One packet of eight to and from the leader is lost.
    LossyLine,
    /// The leader's line has 256 kbit/s.
    SlowLine,
    /// `kill -9` of the leader.
    KilledLeader,
    /// `kill -9` of another node.
    KilledFollower,
    /// `kill -9` of all at once.
    KilledAll,
    /// SIGSTOP of the leader for longer than an election takes.
    StoppedLeader,
    /// SIGSTOP of another node.
    StoppedFollower,
    /// Each sync of the leader takes 150 ms more.
    SlowDisk,
    /// The leader's disk is full.
    FullDisk,
    /// The leader's disk fails.
    FailingDisk,
    /// The leader loses what it had not synced.
    PowerCut,
    /// All lose what they had not synced.
    PowerCutOfAll,
    /// One node's clock jumps ten years forward.
    ClockAhead,
    /// One node's clock jumps ten years back.
    ClockBehind,
    /// One node comes back with a clock that was set ten years ahead.
    WrongClockAtStart,
    /// A node is away for 25 hours.
    Absence,
    /// The folder of a node is put back as it was before the round.
    Rollback,
    /// Bits flip in a segment of the cluster log of one node.
    FlippedSegment,
    /// Bits flip in its Raft log.
    FlippedRaftLog,
    /// Bits flip in its sealed store.
    FlippedStore,
}

impl Fault {
    /// All of them.
    pub(crate) const ALL: [Self; 30] = [
        Self::LeaderInMinority,
        Self::LeaderInMajority,
        Self::EverybodyAlone,
        Self::IsolatedLeader,
        Self::IsolatedFollower,
        Self::MuteLeader,
        Self::DeafLeader,
        Self::OneWayLink,
        Self::FlappingLink,
        Self::UnpluggedLeader,
        Self::LossyLine,
        Self::SlowLine,
        Self::KilledLeader,
        Self::KilledFollower,
        Self::KilledAll,
        Self::StoppedLeader,
        Self::StoppedFollower,
        Self::SlowDisk,
        Self::FullDisk,
        Self::FailingDisk,
        Self::PowerCut,
        Self::PowerCutOfAll,
        Self::ClockAhead,
        Self::ClockBehind,
        Self::WrongClockAtStart,
        Self::Absence,
        Self::Rollback,
        Self::FlippedSegment,
        Self::FlippedRaftLog,
        Self::FlippedStore,
    ];

    /// Whether it needs a network that can be broken.
    pub(crate) fn needs_network(self) -> bool {
        matches!(
            self,
            Self::LeaderInMinority
                | Self::LeaderInMajority
                | Self::EverybodyAlone
                | Self::IsolatedLeader
                | Self::IsolatedFollower
                | Self::MuteLeader
                | Self::DeafLeader
                | Self::OneWayLink
                | Self::FlappingLink
                | Self::UnpluggedLeader
                | Self::LossyLine
                | Self::SlowLine
        )
    }
}

/// A fault with its victims.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) fault: Fault,
    /// Who led when the round began.
    leader: u8,
    /// The node that it is about.
    pub(crate) victim: u8,
    /// All others.
    others: Vec<u8>,
    /// How long it lasts.
    hold: Duration,
    /// The folder as it was, for a rollback.
    old: Option<PathBuf>,
    /// Number of the victim's node before the round.
    number: u64,
}

impl Case {
    /// Picks victims and length.
    pub(crate) fn new(fault: Fault, fleet: &mut Fleet, dice: &mut Dice) -> Result<Self> {
        let leader = fleet.leader(Duration::from_secs(20))?;
        let mut followers = fleet.members();
        followers.retain(|node| *node != leader);
        let victim = match fault {
            Fault::IsolatedFollower
            | Fault::KilledFollower
            | Fault::StoppedFollower
            | Fault::ClockAhead
            | Fault::ClockBehind
            | Fault::WrongClockAtStart
            | Fault::Absence
            | Fault::Rollback
            | Fault::FlippedSegment
            | Fault::FlippedRaftLog
            | Fault::FlippedStore => *dice.pick(&followers).context("a cluster has followers")?,
            _ => leader,
        };
        let mut others = fleet.members();
        others.retain(|node| *node != victim);
        Ok(Self {
            fault,
            leader,
            victim,
            others,
            hold: Duration::from_millis(1_500 + dice.below(2_000)),
            old: None,
            number: fleet.node_number(victim)?,
        })
    }

    /// What must be there before the load begins: a shim beneath the program, a copy of a folder.
    pub(crate) fn prepare(&mut self, fleet: &mut Fleet) -> Result<()> {
        let disk = match self.fault {
            Fault::SlowDisk => Some(power::Fault::Slow),
            Fault::FullDisk => Some(power::Fault::NoSpaceAtAll),
            Fault::FailingDisk => Some(power::Fault::InputOutput),
            _ => None,
        };
        if let Some(fault) = disk {
            fleet.kill(self.victim)?;
            fleet.site_mut(self.victim).arm_fault(fault, "data/")?;
            fleet.start(self.victim)?;
        }
        if matches!(self.fault, Fault::PowerCut | Fault::PowerCutOfAll) {
            for node in self.cut_off() {
                fleet.kill(node)?;
                fleet.site_mut(node).watch_power()?;
                fleet.start(node)?;
            }
        }
        if self.fault == Fault::Rollback {
            fleet.kill(self.victim)?;
            let old = fleet.site(self.victim).beside("old");
            copy_folder(&fleet.site(self.victim).dir(), &old)?;
            self.old = Some(old);
            fleet.start(self.victim)?;
        }
        Ok(())
    }

    /// Who loses power.
    fn cut_off(&self) -> Vec<u8> {
        match self.fault {
            Fault::PowerCut => vec![self.victim],
            _ => self.others.iter().copied().chain([self.victim]).collect(),
        }
    }

    /// Lets it happen and lasts as long as it does. What [`Fleet::heal`] cannot undo is undone
    /// here.
    pub(crate) fn play(&self, fleet: &mut Fleet, dice: &mut Dice, clock: &mut i64) -> Result<()> {
        if self.fault.needs_network() {
            return self.play_on_network(fleet, dice);
        }
        let victim = self.victim;
        match self.fault {
            Fault::KilledLeader | Fault::KilledFollower => {
                fleet.kill(victim)?;
                sleep(self.hold);
            }
            Fault::KilledAll => {
                for node in fleet.members() {
                    fleet.kill(node)?;
                }
                sleep(Duration::from_millis(200));
            }
            Fault::StoppedLeader | Fault::StoppedFollower => {
                fleet.stop(victim)?;
                sleep(self.hold);
                fleet.go_on(victim)?;
            }
            Fault::SlowDisk | Fault::FullDisk | Fault::FailingDisk => self.play_disk(fleet)?,
            Fault::PowerCut | Fault::PowerCutOfAll => self.play_power_cut(fleet, dice)?,
            Fault::ClockAhead => self.turn(fleet, *clock + TEN_YEARS_SECONDS, *clock)?,
            Fault::ClockBehind => self.turn(fleet, *clock - TEN_YEARS_SECONDS, *clock)?,
            Fault::WrongClockAtStart => self.play_wrong_start(fleet, *clock)?,
            Fault::Absence => self.play_absence(fleet, clock)?,
            Fault::Rollback => self.play_rollback(fleet)?,
            _ => self.play_flips(fleet, dice)?,
        }
        Ok(())
    }

    /// What operators do once the fault is over. A node whose folder went back must have been
    /// refused, and told how to come back; whoever came back has a new number and a new access log.
    /// True when the victim did.
    pub(crate) fn settle(&self, fleet: &mut Fleet) -> Result<bool> {
        let victim = self.victim;
        if self.fault == Fault::Rollback {
            let deadline = Instant::now() + REFUSED_WITHIN;
            while !fleet
                .run(victim, &["status", "--json"])?
                .contains("cluster rejoin")
            {
                let in_time = Instant::now() < deadline;
                ensure!(
                    in_time,
                    "node {victim} went back in time and is not refused"
                );
                sleep(Duration::from_millis(100));
            }
            fleet.terminate(victim)?;
            fleet.run(victim, &["cluster", "rejoin"])?;
            fleet.start(victim)?;
        }
        Ok(fleet.node_number(victim)? != self.number)
    }

    fn play_on_network(&self, fleet: &Fleet, dice: &mut Dice) -> Result<()> {
        let network = fleet.network().context("this fault needs a network")?;
        let (leader, nodes) = (Place::Node(self.leader), &self.others);
        let others: Vec<Place> = nodes.iter().copied().map(Place::Node).collect();
        let minority = others.len() / 2;
        let away = |count: usize| &others[..others.len().min(count)];
        match self.fault {
            Fault::LeaderInMinority => self.part(fleet, away(others.len() + 1 - minority))?,
            Fault::LeaderInMajority => self.part(fleet, away(minority))?,
            Fault::EverybodyAlone => {
                for node in &others {
                    self.part(fleet, &[*node])?;
                }
            }
            Fault::IsolatedLeader => self.part(fleet, &others)?,
            Fault::IsolatedFollower => self.part(fleet, &[Place::Node(self.victim)])?,
            Fault::MuteLeader => others
                .iter()
                .try_for_each(|other| network.cut_one_way(leader, *other))?,
            Fault::DeafLeader => others
                .iter()
                .try_for_each(|other| network.cut_one_way(*other, leader))?,
            Fault::OneWayLink => {
                let (one, other) = (leader, *dice.pick(&others).context("others")?);
                let (from, to) = if dice.below(2) == 0 {
                    (one, other)
                } else {
                    (other, one)
                };
                network.cut_one_way(from, to)?;
            }
            Fault::FlappingLink => {
                let other = *dice.pick(&others).context("others")?;
                let phase = Duration::from_millis(100 + dice.below(300));
                network.flap(leader, other, phase, phase, 5)?;
                return Ok(());
            }
            Fault::UnpluggedLeader => network.unplug(leader)?,
            Fault::LossyLine => network.lose(leader, 3)?,
            _ => network.throttle(leader, 256)?,
        }
        sleep(self.hold);
        network.heal()
    }

    /// Cuts these nodes from all others, not from clients and not from each other.
    fn part(&self, fleet: &Fleet, away: &[Place]) -> Result<()> {
        let network = fleet.network().context("this fault needs a network")?;
        let nodes = fleet.members().into_iter().map(Place::Node);
        for here in nodes.filter(|node| !away.contains(node)) {
            for there in away {
                network.cut(here, *there)?;
            }
        }
        Ok(())
    }

    fn play_disk(&self, fleet: &mut Fleet) -> Result<()> {
        fleet.site(self.victim).switch_fault(true)?;
        sleep(self.hold);
        fleet.site(self.victim).switch_fault(false)?;
        // It may have ended itself, which is one right answer to a disk that fails; the shim goes.
        fleet.kill(self.victim)?;
        fleet.site_mut(self.victim).without_shim();
        Ok(())
    }

    fn play_power_cut(&self, fleet: &mut Fleet, dice: &mut Dice) -> Result<()> {
        sleep(self.hold);
        let nodes = self.cut_off();
        for node in &nodes {
            fleet.kill(*node)?;
        }
        for node in nodes {
            // Every third cut loses all that may be lost, the others a random part.
            let seed = if dice.below(3) == 0 {
                0
            } else {
                dice.roll() | 1
            };
            fleet.site(node).cut_power(seed)?;
            fleet.site_mut(node).without_shim();
        }
        Ok(())
    }

    fn turn(&self, fleet: &Fleet, wrong: i64, right: i64) -> Result<()> {
        fleet.turn_clock(self.victim, wrong)?;
        sleep(self.hold);
        fleet.turn_clock(self.victim, right)
    }

    /// A node goes with the others' time until its clock is set right.
    fn play_wrong_start(&self, fleet: &mut Fleet, right: i64) -> Result<()> {
        let victim = self.victim;
        fleet.kill(victim)?;
        fleet.turn_clock(victim, right + TEN_YEARS_SECONDS)?;
        fleet.start(victim)?;
        sleep(self.hold);
        let year = |node: u8| -> Result<String> {
            let status: Value = serde_json::from_str(&fleet.run(node, &["status", "--json"])?)?;
            let time = status["time"].as_str().context("a status has a time")?;
            Ok(time.chars().take(4).collect())
        };
        let (here, there) = (year(victim)?, year(self.leader)?);
        ensure!(
            here == there,
            "node {victim} lives in {here}, others in {there}"
        );
        fleet.turn_clock(victim, right)
    }

    /// The clock of a running node does not jump, and a starting one believes those that run, so
    /// the day passes for those that stay while all are down for a moment.
    fn play_absence(&self, fleet: &mut Fleet, clock: &mut i64) -> Result<()> {
        fleet.kill(self.victim)?;
        if *clock < ABSENCES_MAX * ABSENCE_SECONDS {
            *clock += ABSENCE_SECONDS;
        }
        for node in &self.others {
            fleet.turn_clock(*node, *clock)?;
            fleet.kill(*node)?;
        }
        for node in &self.others {
            fleet.start(*node)?;
        }
        sleep(self.hold);
        fleet.turn_clock(self.victim, *clock)
    }

    fn play_rollback(&self, fleet: &mut Fleet) -> Result<()> {
        sleep(self.hold);
        fleet.kill(self.victim)?;
        let old = self
            .old
            .as_ref()
            .context("the folder was copied before the round")?;
        let dir = fleet.site(self.victim).dir();
        fs::remove_dir_all(&dir)?;
        copy_folder(old, &dir)?;
        fs::remove_dir_all(old)?;
        Ok(())
    }

    fn play_flips(&self, fleet: &mut Fleet, dice: &mut Dice) -> Result<()> {
        fleet.kill(self.victim)?;
        sleep(self.hold / 2);
        let data = fleet.site(self.victim).dir().join("data");
        let files = match self.fault {
            Fault::FlippedSegment => segments(&data.join("cluster-log"))?,
            Fault::FlippedRaftLog => segments(&data.join("raft/log"))?,
            _ => vec![data.join("sealed.redb")],
        };
        let file = dice.pick(&files).context("there is something to damage")?;
        for _ in 0..=dice.below(FLIPS_MAX) {
            flip_a_bit(file, dice)?;
        }
        Ok(())
    }
}

fn segments(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "seg") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Flips a bit of a byte that is not zero: room kept for later may hold anything.
fn flip_a_bit(file: &Path, dice: &mut Dice) -> Result<()> {
    let mut bytes = fs::read(file).with_context(|| file.display().to_string())?;
    ensure!(
        bytes.iter().any(|byte| *byte != 0),
        "{} is empty",
        file.display()
    );
    let length = bytes.len() as u64;
    loop {
        let at = usize::try_from(dice.below(length))?;
        if bytes[at] != 0 {
            bytes[at] ^= 1 << dice.below(8);
            println!("a bit of byte {at} of {} flipped", file.display());
            fs::write(file, bytes)?;
            return Ok(());
        }
    }
}
