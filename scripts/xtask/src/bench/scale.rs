//! The same questions with few and with many objects.

use super::drive::{self, Figures, Target};
use super::message;
use anyhow::{Context, Result};
use kmip::operations::LocateRequest;
use kmip::{Attribute, RequestPayload};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use tests::client::{Client, create_request, get_request};
use tests::node::{Node, Site};

/// Sizes that are measured, as far as they are asked for.
const SIZES: [usize; 3] = [1_000, 100_000, 1_000_000];

/// Connections that make objects, and that ask.
const FILLERS: usize = 64;
const ASKERS: usize = 8;

/// Creates in one message.
const BATCH: usize = 200;

/// Time for each figure.
const TIME: Duration = Duration::from_secs(2);

/// Measures at every size up to `objects`.
pub(crate) fn run(objects: usize) -> Result<()> {
    let site = Site::new()?;
    let mut node = site.start()?;
    let mut held = 0;
    let mut first: Option<(Figures, Figures)> = None;
    println!(
        "\n{:>9} {:>10} {:>8} {:>10} {:>8} {:>9} {:>10}",
        "objects", "Get/s", "of first", "Locate/s", "of first", "RSS MiB", "start-up s"
    );
    for size in SIZES.into_iter().filter(|size| *size <= objects) {
        let making = Instant::now();
        fill(&node, held, size)?;
        let made_per_second = (size - held) as f64 / making.elapsed().as_secs_f64();
        held = size;
        let (get, locate) = ask(&node, size)?;
        let resident = node.resident_bytes()? >> 20;
        node.terminate()?;
        let begun = Instant::now();
        node = site.start()?;
        let started = begun.elapsed().as_secs_f64();
        let (first_get, first_locate) = first
            .as_ref()
            .map_or((get.per_second, locate.per_second), |(g, l)| {
                (g.per_second, l.per_second)
            });
        println!(
            "{size:>9} {:>10.0} {:>7.0}% {:>10.0} {:>7.0}% {resident:>9} {started:>10.2}   \
             (filled at {made_per_second:.0}/s)",
            get.per_second,
            100.0 * get.per_second / first_get,
            locate.per_second,
            100.0 * locate.per_second / first_locate,
        );
        first.get_or_insert((get, locate));
    }
    Ok(())
}

/// Name of an object.
pub(super) fn name(number: usize) -> String {
    format!("scale-{number:07}")
}

/// Makes the objects from `from` up to `to`.
pub(super) fn fill(node: &Node, from: usize, to: usize) -> Result<()> {
    let next = AtomicUsize::new(from);
    let (address, identity) = (node.kmip(), node.identity("demo"));
    thread::scope(|scope| {
        let work = || -> Result<()> {
            let mut client = Client::connect(address, &identity)?;
            loop {
                let at = next.fetch_add(BATCH, Ordering::Relaxed);
                if at >= to {
                    return Ok(());
                }
                let names = (at..to.min(at + BATCH)).map(name);
                let batch = names.map(|name| create_request(Some(&name), 256)).collect();
                for answer in client.batch(batch)? {
                    answer.map_err(|failure| anyhow::anyhow!("Create: {failure}"))?;
                }
            }
        };
        let workers: Vec<_> = (0..FILLERS).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .try_for_each(|w| w.join().expect("a filler panicked"))
    })
}

/// Get and Locate by name of one object in the middle.
fn ask(node: &Node, size: usize) -> Result<(Figures, Figures)> {
    let identity = node.identity("demo");
    let mut client = Client::connect(node.kmip(), &identity)?;
    let wanted = name(size / 2);
    let found = client.locate(Some(&wanted))?;
    let uid = found
        .first()
        .with_context(|| format!("{wanted} is not found"))?;
    let locate = RequestPayload::Locate(LocateRequest {
        attributes: vec![Attribute::name(&wanted)],
        ..LocateRequest::default()
    });
    let target = |request| -> Result<Target> {
        Ok(Target {
            to: node.kmip(),
            pids: vec![node.pid()],
            request,
            tls: identity.config(&[])?,
            good: drive::SUCCESS,
        })
    };
    let get = drive::keep_alive(&target(message(get_request(uid)))?, ASKERS, TIME)?;
    let locate = drive::keep_alive(&target(message(locate))?, ASKERS, TIME)?;
    Ok((get, locate))
}
