//! Three nodes beside one: what agreement costs, and how long its failures last.
//!
//! * `nodes`: the processes that are measured
//! * `machine`: what else the machine did meanwhile
//! * `fail_over`: the leader dies
//! * `catch_up`: a node was away
//!
//! One node and three run side by side, and each question is put to one after the other in several
//! rounds, of which the median counts: what else the machine does is then in both sides of a
//! ratio. All nodes share the cores and the disk of one machine, which three appliances do not:
//! where one node uses all cores, three on the same cores cannot keep up with it.

mod catch_up;
mod fail_over;
mod machine;
mod nodes;

use super::drive::{self, Figures, Target};
use super::{disk, message};
use anyhow::{Context, Result, ensure};
use catch_up::Way;
use machine::{Cores, Watch};
use nodes::{Cluster, Node, Single};
use std::time::{Duration, Instant};
use tests::client::{Client, Trouble, create_request, get_request};

/// Aims of the issue that asked for the cluster.
const AIM_CREATE: f64 = 0.60;
const AIM_FAIL_OVER: Duration = Duration::from_secs(3);
const AIM_CATCH_UP: f64 = 20_000.0;

/// Connections of a load that keeps all busy.
const CONNECTIONS: usize = 64;

/// Rounds of each question; an odd number has a median.
const ROUNDS: usize = 3;

/// Events that a node misses, for each second that is given to a line: 100,000 for three.
const MISSED_PER_SECOND: u64 = 33_334;

/// What to measure.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Seconds for each line and round; also scales what a node has to catch up with.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Only this part.
    #[arg(long, value_enum)]
    only: Option<Part>,
}

/// A part of the benchmark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    Rates,
    Replication,
    FailOver,
    CatchUp,
}

impl Options {
    /// The command line that gives these options again.
    pub(super) fn arguments(&self) -> Vec<String> {
        use clap::ValueEnum;
        let mut arguments = vec!["--seconds".to_owned(), self.seconds.to_string()];
        let only = self.only.and_then(|part| part.to_possible_value());
        arguments.extend(only.map(|part| format!("--only={}", part.get_name())));
        arguments
    }
}

/// Runs the benchmark and prints its tables.
pub(super) fn run(options: &Options) -> Result<()> {
    let (load, cores) = (machine::load_average()?, machine::cores());
    println!("machine    {cores} cores, load average {load:.2} before this began");
    if load > cores as f64 * 0.5 {
        println!("           BUSY with something else: trust ratios before figures");
    }
    let disk = disk::durable_writes()?;
    println!("disk       {disk}");
    let mut cluster = Cluster::found()?;
    let time = Duration::from_secs(options.seconds);
    let wanted = |part| options.only.is_none_or(|only| only == part);
    if wanted(Part::Rates) || wanted(Part::Replication) {
        let single = Single::found()?;
        if wanted(Part::Rates) {
            rates(&single.node, &cluster, time, disk.per_second)?;
        }
        if wanted(Part::Replication) {
            replication(&single.node, &cluster, time)?;
        }
    }
    if wanted(Part::FailOver) {
        fail_overs(&mut cluster)?;
    }
    if wanted(Part::CatchUp) {
        catch_ups(&mut cluster, options.seconds * MISSED_PER_SECOND)?;
    }
    Ok(())
}

/// One line of the table of rates.
struct Line<'a> {
    what: &'a str,
    connections: usize,
    targets: Vec<Target>,
    /// The line, by its number, that this is a ratio to.
    beside: Option<usize>,
    aim: Option<f64>,
    is_durable: bool,
    /// One for each round.
    measured: Vec<(Figures, Cores)>,
}

/// Create and Get, on one node and on three.
fn rates(single: &Node, cluster: &Cluster, time: Duration, disk: f64) -> Result<()> {
    let (leader, followers) = cluster.roles()?;
    let mut lines = lines(single, cluster, leader, &followers)?;
    for _ in 0..ROUNDS {
        for line in &mut lines {
            let pids = line.targets.first().map(|t| t.pids.clone());
            let watch = Watch::begin(&pids.unwrap_or_default())?;
            let figures = drive::spread(&line.targets, line.connections, time)
                .with_context(|| format!("{} at {}", line.what, line.connections))?;
            line.measured.push((figures, watch.end()?));
        }
    }
    ensure!(
        cluster.roles()?.0 == leader,
        "the leader changed while rates were measured: the machine is too busy for figures"
    );
    println!(
        "\n{:<26} {:>5} {:>10} {:>9} {:>9} {:>11} {:>8} {:>8} {:>7} {:>7}",
        "operation",
        "conns",
        "per second",
        "p50 ms",
        "p99 ms",
        "CPU µs each",
        "of one",
        "of disk",
        "cores",
        "others"
    );
    for line in &lines {
        print_line(line, &lines, disk);
    }
    println!(
        "  of one: to the same on one node, round by round (aim for Create at {CONNECTIONS}: \
         {:.0} %). of disk: to its one writer.\n  cores: used by the nodes, of {}. others: part of \
         all cores that neither nodes nor load used.",
        100.0 * AIM_CREATE,
        machine::cores()
    );
    Ok(())
}

fn lines<'a>(
    single: &Node,
    cluster: &Cluster,
    leader: u16,
    followers: &[u16],
) -> Result<Vec<Line<'a>>> {
    let create = message(create_request(None, 256));
    let get_of = |node: &Node| -> Result<Vec<u8>> {
        let mut client = Client::connect(node.kmip, &node.identity())?;
        Ok(message(get_request(&client.create(None, 256)?)))
    };
    let (get, get_single) = (get_of(cluster.node(leader)?)?, get_of(single)?);
    let pids = cluster.pids();
    let at = |numbers: &[u16], request: &[u8]| -> Result<Vec<Target>> {
        let target = |n: &u16| cluster.node(*n)?.target(request, &pids);
        numbers.iter().map(target).collect()
    };
    let one = |request: &[u8]| -> Result<Vec<Target>> {
        Ok(vec![single.target(request, &[single.pid()])?])
    };
    let follower = followers.get(..1).context("no follower runs")?;
    let all = cluster.running();
    let mut lines: Vec<Line<'a>> = Vec::new();
    for (requests, names, is_durable, few) in [
        ((&create, &create), CREATE, true, true),
        ((&get_single, &get), GET, false, false),
    ] {
        for connections in [1, CONNECTIONS].into_iter().skip(usize::from(!few)) {
            let beside = lines.len();
            let aim = (is_durable && connections == CONNECTIONS).then_some(AIM_CREATE);
            let asked = [
                one(requests.0)?,
                at(&[leader], requests.1)?,
                at(follower, requests.1)?,
                at(&all, requests.1)?,
            ];
            // One connection cannot be spread.
            let kinds = if connections == 1 { 3 } else { 4 };
            for (kind, (what, targets)) in names.into_iter().zip(asked).take(kinds).enumerate() {
                lines.push(Line {
                    what,
                    connections,
                    targets,
                    beside: (kind > 0).then_some(beside),
                    aim: aim.filter(|_| kind > 0),
                    is_durable,
                    measured: Vec::new(),
                });
            }
        }
    }
    Ok(lines)
}

const CREATE: [&str; 4] = [
    "Create, one node",
    "Create, three: leader",
    "Create, three: follower",
    "Create, three: spread",
];
const GET: [&str; 4] = [
    "Get, one node",
    "Get, three: leader",
    "Get, three: follower",
    "Get, three: spread",
];

fn print_line(line: &Line<'_>, lines: &[Line<'_>], disk: f64) {
    let measured =
        |of: &dyn Fn(&(Figures, Cores)) -> f64| median(line.measured.iter().map(of).collect());
    let rate = measured(&|(figures, _)| figures.per_second);
    let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
    let base = line.beside.and_then(|n| lines.get(n));
    let of_one = base.map(|base| {
        let pairs = line.measured.iter().zip(&base.measured);
        median(
            pairs
                .map(|(a, b)| a.0.per_second / b.0.per_second)
                .collect(),
        )
    });
    let percent =
        |ratio: Option<f64>| ratio.map_or(String::new(), |ratio| format!("{:.0} %", 100.0 * ratio));
    let met = line
        .aim
        .zip(of_one)
        .map_or("", |(aim, is)| verdict(is >= aim));
    let refused: usize = line.measured.iter().map(|(f, _)| f.refused).sum();
    let refused = match refused {
        0 => String::new(),
        n => format!("  {n} refused"),
    };
    println!(
        "{:<26} {:>5} {rate:>10.0} {:>9.3} {:>9.3} {:>11.1} {:>8} {:>8} {:>7.2} \
         {:>6.0} %{met}{refused}",
        line.what,
        line.connections,
        measured(&|(figures, _)| milliseconds(figures.p50)),
        measured(&|(figures, _)| milliseconds(figures.p99)),
        measured(&|(figures, _)| figures.cpu_each.as_secs_f64() * 1e6),
        percent(of_one),
        percent(line.is_durable.then_some(rate / disk)),
        measured(&|(_, cores)| cores.nodes),
        measured(&|(_, cores)| 100.0 * cores.others),
    );
}

/// From the request at the leader to the reply, and until a Get at a follower has the key.
fn replication(single: &Node, cluster: &Cluster, time: Duration) -> Result<()> {
    let (leader, followers) = cluster.roles()?;
    let leader = cluster.node(leader)?;
    let follower = cluster.node(*followers.first().context("no follower runs")?)?;
    let watch = Watch::begin(&cluster.pids())?;
    let mut alone = Replicated::measure(single, single, time)?;
    let mut three = Replicated::measure(leader, follower, time)?;
    let cores = watch.end()?;
    println!(
        "\n{:<44} {:>9} {:>9} {:>9} {:>8}",
        "replication, one connection", "p50 ms", "p99 ms", "one: p50", "of one"
    );
    for (what, three, alone) in [
        (
            "Create at the leader: reply",
            &mut three.reply,
            &mut alone.reply,
        ),
        (
            "Create, then Get at a follower: key there",
            &mut three.served,
            &mut alone.served,
        ),
    ] {
        let (p50, p99) = (part(three, 50), part(three, 99));
        let base = part(alone, 50);
        println!(
            "{what:<44} {p50:>9.3} {p99:>9.3} {base:>9.3} {:>7.1}x",
            p50 / base
        );
    }
    println!(
        "  {} pairs; the follower did not have it at once in {} of them. others: {:.0} %",
        three.reply.len(),
        three.late,
        100.0 * cores.others
    );
    Ok(())
}

/// Pairs of Create and Get.
#[derive(Default)]
struct Replicated {
    reply: Vec<Duration>,
    served: Vec<Duration>,
    /// Gets that were refused at first, after an acknowledged Create: none may be.
    late: usize,
}

impl Replicated {
    fn measure(write: &Node, read: &Node, time: Duration) -> Result<Self> {
        let mut writer = Client::connect(write.kmip, &write.identity())?;
        let mut reader = Client::connect(read.kmip, &read.identity())?;
        let mut replicated = Self::default();
        let until = Instant::now() + time;
        while Instant::now() < until {
            let asked = Instant::now();
            let uid = writer.create(None, 256)?;
            replicated.reply.push(asked.elapsed());
            let mut is_late = false;
            loop {
                match reader.get(&uid) {
                    Ok(_) => break,
                    Err(Trouble::Denied(_)) if asked.elapsed() < time => is_late = true,
                    Err(trouble) => return Err(trouble.into()),
                }
            }
            replicated.served.push(asked.elapsed());
            replicated.late += usize::from(is_late);
        }
        Ok(replicated)
    }
}

/// The percentile `percent`, in milliseconds.
fn part(times: &mut [Duration], percent: usize) -> f64 {
    times.sort_unstable();
    let time = times.get(times.len() * percent / 100);
    time.copied().unwrap_or_default().as_secs_f64() * 1e3
}

/// The leader dies several times.
fn fail_overs(cluster: &mut Cluster) -> Result<()> {
    println!(
        "\n{:<26} {:>16} {:>16} {:>16}",
        "fail-over (kill -9)", "first write ms", "longest wait ms", "node is back ms"
    );
    let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
    let mut worst = Duration::ZERO;
    for n in 1..=fail_over::TIMES {
        let watch = Watch::begin(&[])?;
        let died = fail_over::once(cluster)?;
        let others = 100.0 * watch.end()?.others;
        worst = worst.max(died.first_write);
        println!(
            "{n:<26} {:>16.0} {:>16.0} {:>16.0}   (machine {others:.0} % busy)",
            milliseconds(died.first_write),
            milliseconds(died.longest_wait),
            milliseconds(died.back),
        );
    }
    println!(
        "  worst {:.0} ms, aim under {:.0} ms{}",
        milliseconds(worst),
        milliseconds(AIM_FAIL_OVER),
        verdict(worst < AIM_FAIL_OVER)
    );
    Ok(())
}

/// A follower was away.
fn catch_ups(cluster: &mut Cluster, events: u64) -> Result<()> {
    println!(
        "\n{:<14} {:>9} {:>8} {:>10} {:>9} {:>8} {:>10} {:>13} {:>9} {:>11}",
        "catch-up",
        "events",
        "entries",
        "made per s",
        "answers s",
        "takes s",
        "events/s",
        "after start",
        "own CPU s",
        "leader's s"
    );
    for way in [Way::Log, Way::Snapshot] {
        let done = catch_up::once(cluster, way, events)?;
        let what = match done.went {
            Way::Log => "by log",
            Way::Snapshot => "by snapshot",
        };
        println!(
            "{what:<14} {:>9} {:>8} {:>10.0} {:>9.2} {:>8.2} {:>10.0} {:>13.0} {:>9.2} {:>11.2}{}",
            done.events,
            done.entries,
            done.made_per_second,
            done.answered.as_secs_f64(),
            done.took.as_secs_f64(),
            done.per_second(),
            done.per_second_running(),
            done.own_cpu.as_secs_f64(),
            done.leader_cpu.as_secs_f64(),
            verdict(done.per_second() >= AIM_CATCH_UP)
        );
    }
    println!(
        "  events/s: from the start of its process, aim {AIM_CATCH_UP:.0}. after start: from its \
         first answer on, and without what it had by then."
    );
    Ok(())
}

fn verdict(met: bool) -> &'static str {
    if met { "  aim met" } else { "  AIM MISSED" }
}

/// The middle one.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
