//! Power cuts of the whole machine: under load, while it is set up for the first time, and in
//! every state that its disk may be left in. Nothing acknowledged is lost, nothing destroyed comes
//! back, and it serves again by itself.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout)] // test code

use anyhow::{Context, Result, ensure};
use qemu::{Disk, Format, WriteLog, copy_sparse};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};
use tests::appliance::{Appliance, PASSWORD, setup_file, take_out};
use tests::client::{Client, Identity};
use tests::dice::Dice;
use tests::load::Load;
use tests::node::{Node, Site, build, profile_folder};
use tests::{bound, image, is_full};

/// Older objects that are looked at again after each cut.
const SAMPLE: usize = 40;
/// A round works for up to this long before the cut.
const WORK_MILLIS_MAX: u64 = 3_000;
/// A first start is over by then, on a machine that has little else to do.
const FIRST_START_MILLIS_MAX: u64 = 12_000;
/// For how long writes are recorded.
const RECORDED: Duration = Duration::from_secs(8);
/// Crash states that are booted in a machine; the program alone starts from the others.
const BOOTED: u64 = 3;

/// An appliance that was set up without questions, with one client.
fn ready(image: PathBuf) -> Result<(Appliance, Identity)> {
    let mut appliance = Appliance::of(image)?;
    appliance.hand_over(setup_file(""));
    appliance.switch_on()?;
    appliance.sign_in()?;
    let identity = appliance.add_client("demo")?;
    Ok((appliance, identity))
}

#[test]
fn cut_under_load() -> Result<()> {
    let rounds = bound("STRONGROOM_ROUNDS", 10, 50);
    let seed = Dice::seed_of_run();
    cuts(image::folder()?, rounds, seed)
        .with_context(|| format!("REPEAT WITH STRONGROOM_SEED={seed}"))
}

fn cuts(image: PathBuf, rounds: u64, seed: u64) -> Result<()> {
    let mut dice = Dice::new(seed);
    let (mut appliance, identity) = ready(image)?;
    let mut load = Load::new("cut");
    let mut slowest = Duration::ZERO;
    for round in 1..=rounds {
        let told = || format!("round {round}");
        let running = load.begin(appliance.kmip()?, &identity, &mut dice);
        running.go_on_for(Duration::from_millis(50 + dice.below(WORK_MILLIS_MAX)));
        appliance.cut_power()?;
        load = running.collect().with_context(told)?;
        appliance.switch_on()?;
        let mut client = appliance.await_client(&identity).with_context(told)?;
        slowest = slowest.max(appliance.on_for());
        let sample = if round == rounds { usize::MAX } else { SAMPLE };
        load.judge(&mut client, &mut dice, sample)
            .with_context(told)?;
    }
    let counts = load.counts();
    ensure!(counts.denied == 0, "denied: {:?}", load.last_denial());
    ensure!(
        counts.created > rounds && counts.got > rounds,
        "hardly any load: {counts:?}"
    );
    appliance.cut_power()?;
    // The whole log, by the program outside, from the disk as the last cut left it.
    let raw = appliance.beside("raw");
    appliance.copy_disk(&raw)?;
    from_disk(&raw, |_| Ok(()))?;
    println!(
        "{rounds} cuts under load, seed {seed}: {counts:?}; serving again after {:.1} s at most",
        slowest.as_secs_f64()
    );
    Ok(())
}

/// A node from a disk keeps the cluster port that it had, which all appliances have alike.
static CLUSTER_PORT: Mutex<()> = Mutex::new(());

/// Starts the program from what a raw disk holds, has it prove its state and its log, and judges.
fn from_disk(raw: &Path, judge: impl FnOnce(&Node) -> Result<()>) -> Result<()> {
    let _alone = CLUSTER_PORT.lock().unwrap_or_else(PoisonError::into_inner);
    let site = Site::new()?;
    take_out(raw, &site.dir())?;
    let node = site.start()?;
    node.replayed_digest()?;
    node.verified_bundle(&site.beside("bundle"))?;
    judge(&node)?;
    node.terminate()
}

/// The first start without questions, cut at any moment, and then at rest.
#[test]
fn cut_during_the_first_start() -> Result<()> {
    let seed = Dice::seed_of_run();
    let mut dice = Dice::new(seed);
    let cuts = bound("STRONGROOM_CUTS", 4, 30);
    let mut appliance = Appliance::new()?;
    appliance.hand_over(setup_file(""));
    for cut in 0..cuts {
        // A disk that one of the cuts came too late for begins anew.
        if dice.below(3) == 0 {
            appliance = Appliance::new()?;
            appliance.hand_over(setup_file(""));
        }
        appliance.switch_on()?;
        let after = 300 + dice.below(FIRST_START_MILLIS_MAX);
        sleep(Duration::from_millis(after));
        println!("cut {cut} after {after} ms");
        appliance.cut_power()?;
    }
    appliance.switch_on()?;
    serves_a_new_client(&mut appliance)
        .with_context(|| format!("REPEAT WITH STRONGROOM_SEED={seed}"))?;
    appliance.cut_power()
}

fn serves_a_new_client(appliance: &mut Appliance) -> Result<()> {
    appliance.sign_in()?;
    let identity = appliance.add_client("demo")?;
    let mut client = Client::connect(appliance.kmip()?, &identity)?;
    let uid = client.create(Some("first"), 256)?;
    client.get(&uid)?;
    Ok(())
}

/// Every part of the first start in order: a disk is laid as a cut in that part may leave it, and
/// the machine comes up from it and serves. Partitions, file systems, keys, log and settings are
/// each made in some part.
#[test]
fn a_cut_in_each_part_of_the_first_start() -> Result<()> {
    let parts = usize::try_from(bound("STRONGROOM_PARTS", 8, 60))?;
    let seed = Dice::seed_of_run();
    let mut appliance = Appliance::new()?;
    let base = appliance.image().join("disk.raw");
    let recorded = Disk::overlay(&base, Format::Raw, appliance.disk()).ignoring_host_flushes();
    let log = appliance.beside("writes");
    appliance.hand_over(setup_file(""));
    appliance.switch_on_with(recorded.logging_writes(&log))?;
    appliance.sign_in()?;
    appliance.cut_power()?;
    let log = WriteLog::open(&log)?;
    ensure!(log.flushes() >= 2 * parts, "only {} flushes", log.flushes());
    for part in 0..parts {
        let cuts = log.len() * part / parts..=log.len() * (part + 1) / parts;
        let state = log.crash_state(cuts, seed + u64::try_from(part)?);
        let disk = appliance.beside("state.raw");
        copy_sparse(&base, &disk)?;
        log.lay(&state, &disk)?;
        let disk = Disk::writable(disk, Format::Raw).ignoring_host_flushes();
        appliance.switch_on_with(disk)?;
        serves_a_new_client(&mut appliance).with_context(|| {
            format!("part {part} of {parts}; REPEAT WITH STRONGROOM_SEED={seed}")
        })?;
        appliance.cut_power()?;
    }
    let (writes, flushes) = (log.len(), log.flushes());
    println!("a cut in each of {parts} parts of a first start: {writes} writes, {flushes} flushes");
    Ok(())
}

/// The dialogue, cut at prompts before and after something was made; a full run cuts at each.
#[test]
fn cut_at_a_prompt() -> Result<()> {
    let answers = [
        ("admin.password", PASSWORD),
        ("admin.password.again", PASSWORD),
        ("unlock", "disk"),
        ("set-up.confirm", "yes"),
    ];
    let mut prompts = [
        "hostname",
        "admin.password",
        "set-up.confirm",
        "share.1",
        "set-up.serve",
    ]
    .map(str::to_owned)
    .to_vec();
    if is_full() {
        let mut appliance = Appliance::new()?;
        appliance.switch_on()?;
        prompts = appliance.first_run(&answers)?;
    }
    let mut appliance = Appliance::new()?;
    for prompt in &prompts {
        appliance.switch_on()?;
        appliance
            .dialogue_until(prompt, &answers)
            .with_context(|| format!("on the way to {prompt}"))?;
        appliance.cut_power()?;
    }
    appliance.switch_on()?;
    let asked = appliance.first_run(&answers)?;
    ensure!(asked[0] == "hostname", "it did not start over: {asked:?}");
    appliance.sign_in()?;
    println!("cut at {} prompts", prompts.len());
    appliance.cut_power()
}

/// What was acknowledged while writes were recorded, and how many there were then.
#[derive(Default)]
struct Promises {
    /// Recorded writes at the answer, identifier, key.
    created: Vec<(usize, String, Vec<u8>)>,
    /// Recorded writes before the request, at the answer, identifier.
    destroyed: Vec<(usize, usize, String)>,
}

impl Promises {
    fn make(client: &mut Client, log: &Path) -> Result<Self> {
        let mut promises = Self::default();
        let begun = Instant::now();
        while begun.elapsed() < RECORDED {
            let name = format!("state-{}", promises.created.len());
            let uid = client.create(Some(&name), 256)?;
            let key = client.get(&uid)?;
            promises
                .created
                .push((WriteLog::entries_so_far(log)?, uid.clone(), key));
            if promises.created.len().is_multiple_of(3) {
                let before = WriteLog::entries_so_far(log)?;
                client.destroy(&uid)?;
                promises
                    .destroyed
                    .push((before, WriteLog::entries_so_far(log)?, uid));
            }
        }
        Ok(promises)
    }

    /// Whether a node that has the writes before `cut` keeps what was promised by then.
    fn judge(&self, client: &mut Client, cut: usize) -> Result<()> {
        for (at, uid, key) in self.created.iter().filter(|(at, ..)| *at <= cut) {
            let gone = self
                .destroyed
                .iter()
                .find(|(.., destroyed)| destroyed == uid);
            match gone {
                Some((_, answered, _)) if *answered <= cut => {
                    ensure!(
                        client.get(uid).is_err(),
                        "{uid} is served, and was destroyed"
                    );
                }
                // Asked for and not answered: either is right.
                Some((asked, ..)) if *asked <= cut => {}
                _ => {
                    let got = client.get(uid);
                    let got = got.with_context(|| format!("{uid} is gone, promised at {at}"))?;
                    ensure!(got == *key, "{uid} is another key");
                }
            }
        }
        Ok(())
    }
}

/// A disk before clients worked, what they were promised, and every write while they did.
struct Recording {
    appliance: Appliance,
    identity: Identity,
    promises: Promises,
    log: WriteLog,
    /// Writes before the first promise.
    from: usize,
}

impl Recording {
    fn make(image: PathBuf) -> Result<Self> {
        let (mut appliance, identity) = ready(image)?;
        appliance.halt()?;
        let base = appliance.beside("base.raw");
        appliance.copy_disk(&base)?;
        let recorded = appliance.beside("recorded.qcow2");
        let disk = Disk::overlay(&base, Format::Raw, recorded).ignoring_host_flushes();
        let log = appliance.beside("writes");
        appliance.switch_on_with(disk.logging_writes(&log))?;
        let mut client = appliance.await_client(&identity)?;
        let from = WriteLog::entries_so_far(&log)?;
        let promises = Promises::make(&mut client, &log)?;
        appliance.cut_power()?;
        let log = WriteLog::open(&log)?;
        println!(
            "{} keys and {} destructions in {} writes with {} flushes",
            promises.created.len(),
            promises.destroyed.len(),
            log.len() - from,
            log.flushes()
        );
        ensure!(promises.created.len() > 20, "too little happened");
        Ok(Self {
            appliance,
            identity,
            promises,
            log,
            from,
        })
    }

    /// The disk of the state that was made last.
    fn disk(&self) -> PathBuf {
        self.appliance.beside("state.raw")
    }

    /// Makes the disk that a cut may leave; gives where the cut fell.
    fn lay(&self, seed: u64) -> Result<usize> {
        let state = self.log.crash_state(self.from..=self.log.len(), seed);
        copy_sparse(&self.appliance.beside("base.raw"), &self.disk())?;
        self.log.lay(&state, &self.disk())?;
        Ok(state.cut)
    }

    /// Has the program outside start from such a disk.
    fn explore(&self, seed: u64) -> Result<()> {
        let cut = self.lay(seed)?;
        from_disk(&self.disk(), |node| {
            let mut client = Client::connect(node.kmip(), &self.identity)?;
            self.promises.judge(&mut client, cut)
        })
    }

    /// Has the machine start from such a disk.
    fn boot(&self, machine: &mut Appliance, seed: u64) -> Result<()> {
        let cut = self.lay(seed)?;
        let disk = Disk::writable(self.disk(), Format::Raw).ignoring_host_flushes();
        machine.switch_on_with(disk)?;
        self.promises
            .judge(&mut machine.await_client(&self.identity)?, cut)?;
        machine.cut_power()
    }

    /// The first loss among so many states.
    fn first_loss(&self, seed: u64, states: u64) -> Option<(u64, anyhow::Error)> {
        (0..states).find_map(|number| Some((number, self.explore(seed + number).err()?)))
    }
}

#[test]
fn every_state_that_a_cut_may_leave() -> Result<()> {
    let states = bound("STRONGROOM_STATES", 100, 300);
    let seed = Dice::seed_of_run();
    let mut recording = Recording::make(image::folder()?)?;
    if let Some((number, loss)) = recording.first_loss(seed, states) {
        let kept = profile_folder()?.join(format!("crash-state-{seed}-{number}.raw"));
        copy_sparse(&recording.disk(), &kept)?;
        // What the machine does depends on the moment; the seed alone does not bring it back.
        let told = format!("state {number} of seed {seed}, kept in {}", kept.display());
        return Err(loss.context(told));
    }
    // Of some, that the machine comes up from them by itself.
    let mut machine = Appliance::of(image::folder()?)?;
    for number in 0..BOOTED {
        recording.boot(&mut machine, seed + number)?;
    }
    // The control: on a disk that lies about its flushes the same must find a loss.
    recording.log = recording.log.without_flushes();
    let (_, caught) = recording
        .first_loss(seed, states)
        .context("a disk that lies about flushes was not caught")?;
    let caught = caught.to_string();
    let caught = caught.lines().next().unwrap_or_default();
    println!("{states} states, {BOOTED} of them booted; a lying disk is caught: {caught}");
    Ok(())
}

/// The other control: an image with a program that answers before its fsync must fail both suites.
/// It is a build of its own, so only a full run has the time.
#[test]
fn an_image_that_answers_too_early_is_caught() -> Result<()> {
    if !is_full() {
        println!("SKIPPED: STRONGROOM_FULL=1 builds an image that lies and tries to catch it");
        return Ok(());
    }
    let lying = lying_image()?;
    let seed = Dice::seed_of_run();
    let cut = cuts(lying.clone(), bound("STRONGROOM_ROUNDS", 10, 50), seed);
    let cut = cut.err().context("cuts under load did not catch it")?;
    println!("caught under load: {cut:#}");
    let (number, state) = Recording::make(lying)?
        .first_loss(seed, 100)
        .context("no state of the disk caught it")?;
    println!("caught in state {number}: {state:#}");
    Ok(())
}

/// An image of which only the daemon differs: it acknowledges before it syncs.
fn lying_image() -> Result<PathBuf> {
    let profile = profile_folder()?;
    let target = profile.parent().context("a target folder")?;
    let danger = target.join("danger");
    let feature = "danger_ack_before_fsync";
    let program = ["-p", "server", "--bin", "strongroom", "--features", feature];
    build(&program, &danger)?;
    let programs = tempfile::tempdir()?;
    let name = profile.file_name().context("a profile")?;
    let built = danger.join(name).join("strongroom");
    std::fs::copy(built, programs.path().join("strongroom"))?;
    for (from, name) in [
        ("release", "strongroom-network"),
        ("release", "strongroom-time"),
        ("image/cargo/x86_64-unknown-linux-gnu/release", "init"),
    ] {
        let from = target.join(from).join(name);
        std::fs::copy(&from, programs.path().join(name))
            .with_context(|| format!("{}: cargo xtask image build", from.display()))?;
    }
    let output = danger.join("image");
    ::image::build(&::image::Options {
        workspace: Path::new(env!("CARGO_MANIFEST_DIR")).join(".."),
        profile: "virt".into(),
        target: target.to_owned(),
        output: Some(output.clone()),
        programs: Some(programs.path().to_owned()),
        keys: None,
        update_lock: false,
        progress: &|_| {},
    })?;
    Ok(output)
}
