//! One run: what a seed makes of a cluster, and the judgement.

use super::Broken;
use super::checkers::converged::{self, HEAL_WITHIN};
use super::checkers::{acked_never_lost, linearizable};
use super::chronicle::{Chronicle, Figures};
use super::member::Place;
use super::net::host;
use super::papers::papers;
use super::weather::{Hosts, Weather};
use crate::dice::Dice;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::{Arc, Once};
use std::time::Duration;
use turmoil::Sim;

/// Simulated time between two looks of turmoil at a host. The quickest message takes two of them,
/// so that cause and effect never share one.
const TICK: Duration = Duration::from_millis(2);

/// Time to found a cluster of five, with all handshakes.
const FOUND_WITHIN: Duration = Duration::from_secs(30);

/// Segments that a connection may hold. More than the calls that can be under way.
const SEGMENTS_MAX: usize = 65_536;

/// What a run is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The seed of everything.
    pub seed: u64,
    /// Founding voters.
    pub nodes: u64,
    /// Nodes that may take the place of others.
    pub spares: u64,
    /// Longest time between two faults, milliseconds.
    pub pause_ms: u64,
    /// How long the weather lasts.
    pub lasts: Duration,
    /// Nodes lose their power when they move to another term.
    pub nervous: bool,
    /// One node may lose bytes.
    pub rot: bool,
    /// Longest way of a message, milliseconds.
    pub latency_ms: u64,
    /// Only members change, while the leader does not hear all of its followers: what goes wrong
    /// when followers are counted.
    pub churn: bool,
}

impl Setting {
    /// The setting of a seed.
    pub fn of(seed: u64) -> Self {
        let mut dice = Dice::new(seed).child();
        let nodes = if dice.below(3) == 0 { 5 } else { 3 };
        Self {
            seed,
            nodes,
            spares: if dice.below(4) == 0 { 2 } else { 0 },
            pause_ms: 400 + dice.below(2_600),
            lasts: Duration::from_millis(6_000 + dice.below(8_000)),
            nervous: dice.below(3) == 0,
            rot: dice.below(2) == 0,
            latency_ms: 20,
            churn: false,
        }
    }

    /// The setting of a seed in which five voters are replaced one after the other under load.
    pub fn churning(seed: u64) -> Self {
        Self {
            seed,
            nodes: 5,
            spares: super::papers::NODES_MAX - 5,
            pause_ms: 700,
            lasts: Duration::from_secs(12),
            nervous: false,
            rot: false,
            latency_ms: 60,
            churn: true,
        }
    }
}

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Run {
    /// What it was made of.
    pub setting: Setting,
    /// What happened.
    pub trace: Vec<String>,
    /// The promise that was broken, if one was.
    pub broken: Option<Broken>,
    /// How much happened.
    pub figures: Figures,
}

impl Run {
    /// Demands that no promise was broken.
    ///
    /// # Errors
    /// Which was, the end of the trace, and how to see it again.
    pub fn demand(&self, again: &str) -> anyhow::Result<()> {
        let Some(broken) = &self.broken else {
            return Ok(());
        };
        let from = self.trace.len().saturating_sub(60);
        let tail = self.trace[from..].join("\n");
        let seed = self.setting.seed;
        anyhow::bail!(
            "{tail}\n{:?}\nseed {seed}: {broken}\nagain: {again}",
            self.setting
        )
    }
}

thread_local! {
    static PANICS: Cell<u64> = const { Cell::new(0) };
}

/// Counts panics on each thread: inside of a task nobody else would see them.
fn watch_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            PANICS.set(PANICS.get() + 1);
            before(panic);
        }));
    });
    PANICS.set(0);
}

/// Runs a setting from the founding to the judgement.
pub fn run(setting: Setting) -> Run {
    watch_panics();
    cluster::seed(setting.seed);
    // Made before anything that counts time.
    papers();
    let mut dice = Dice::new(setting.seed);
    let _of_the_setting = dice.child();
    let chronicle: Arc<Chronicle> = Arc::default();
    let all = setting.nodes + setting.spares;
    let places: BTreeMap<u64, Arc<Place>> = (1..=all)
        .map(|node| {
            (
                node,
                Place::new(node, setting.nodes, dice.roll(), chronicle.clone()),
            )
        })
        .collect();
    let mut sim = simulation(&setting);
    for (node, place) in &places {
        let place = place.clone();
        sim.host(host(*node), move || {
            let place = place.clone();
            async move {
                place.live().await;
                Ok(())
            }
        });
    }
    let mut world = World {
        sim,
        places,
        chronicle: chronicle.clone(),
    };
    let judged = world.play(setting, dice);
    world.end();
    let mut book = chronicle.book();
    let mut broken = book.broken.take().or(judged.err());
    if PANICS.get() > 0 {
        let what = format!("{} panics, see above", PANICS.get());
        broken = broken.or(Some(Broken::new("nothing panics", what)));
    }
    let (trace, figures) = (std::mem::take(&mut book.trace), book.figures);
    Run {
        setting,
        trace,
        broken,
        figures,
    }
}

fn simulation<'a>(setting: &Setting) -> Sim<'a> {
    let mut builder = turmoil::Builder::new();
    builder
        .rng_seed(setting.seed)
        .tick_duration(TICK)
        .min_message_latency(TICK * 2)
        .max_message_latency(Duration::from_millis(setting.latency_ms))
        .simulation_duration(Duration::from_secs(3_600))
        .tcp_capacity(SEGMENTS_MAX);
    builder.build()
}

struct World<'a> {
    sim: Sim<'a>,
    places: BTreeMap<u64, Arc<Place>>,
    chronicle: Arc<Chronicle>,
}

impl World<'_> {
    /// Goes on by one tick.
    fn step(&mut self) -> Result<(), Broken> {
        let stepped = self.sim.step();
        stepped
            .map(drop)
            .map_err(|e| Broken::new("the simulation goes on", e.to_string()))?;
        match &self.chronicle.book().broken {
            Some(broken) => Err(broken.clone()),
            None => Ok(()),
        }
    }

    fn play(&mut self, setting: Setting, mut dice: Dice) -> Result<(), Broken> {
        while !self.chronicle.book().founded {
            self.step()?;
            if self.sim.elapsed() > FOUND_WITHIN {
                return Err(Broken::new(
                    "founding",
                    "the cluster was not founded in time",
                ));
            }
        }
        let begun = self.sim.elapsed();
        let mut weather = Weather::new(setting, dice.child(), begun);
        while self.sim.elapsed() < begun + setting.lasts {
            let mut hosts = Hosts {
                sim: &mut self.sim,
                places: &self.places,
            };
            weather.blow(&mut hosts);
            weather.supervise(&mut hosts);
            self.step()?;
        }
        weather.clear(&mut Hosts {
            sim: &mut self.sim,
            places: &self.places,
        });
        {
            let mut book = self.chronicle.book();
            book.calm = true;
            book.figures.faults = weather.faults;
        }
        self.heal(&mut weather)?;
        let book = self.chronicle.book();
        linearizable::check(&book)
    }

    /// Waits until the cluster has healed; nothing more goes wrong.
    fn heal(&mut self, weather: &mut Weather) -> Result<(), Broken> {
        const LOOK_EVERY_STEPS: u64 = 50;
        let deadline = self.sim.elapsed() + HEAL_WITHIN;
        for step in 0_u64.. {
            weather.supervise(&mut Hosts {
                sim: &mut self.sim,
                places: &self.places,
            });
            self.step()?;
            if step % LOOK_EVERY_STEPS != 0 {
                continue;
            }
            let (standings, served) = self.standings();
            if converged::is_healed(&standings, &served) {
                let applied = standings
                    .iter()
                    .filter_map(|(n, s)| Some((*n, s.as_ref()?.applied?)));
                let applied: Vec<_> = applied.collect();
                let mut book = self.chronicle.book();
                book.note(self.sim.elapsed(), format_args!("healed at {applied:?}"));
                return acked_never_lost::at_the_end(&book, &applied);
            }
            if self.sim.elapsed() > deadline {
                return converged::demand(&standings, &served);
            }
        }
        Ok(())
    }

    /// Where the members stand that are not damaged.
    fn standings(
        &mut self,
    ) -> (
        Vec<(u64, Option<converged::Standing>)>,
        std::collections::BTreeSet<u64>,
    ) {
        let latest = self.places.values().filter_map(|place| {
            let term = place.now().status.as_ref()?.applied_entry?;
            Some((term, place.voters()?))
        });
        let voters = latest.max().map(|(_, voters)| voters).unwrap_or_default();
        let sound =
            |place: &&Arc<Place>| voters.contains(&place.node) && place.now().damaged.is_none();
        let standings = self.places.values().filter(sound);
        let standings = standings
            .map(|place| (place.node, place.standing()))
            .collect();
        (standings, self.chronicle.book().served.clone())
    }

    /// Ends all lives inside of the simulation, where their files can be closed.
    fn end(&mut self) {
        let mut hosts = Hosts {
            sim: &mut self.sim,
            places: &self.places,
        };
        for node in self.places.keys() {
            hosts.power_off(*node, &mut Dice::new(0));
        }
    }
}
