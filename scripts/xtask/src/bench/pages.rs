//! How fast the pages of the web admin are at many keys, beside a static file of the same server in
//! the same run, over one connection as a browser keeps it.

use super::scale;
use anyhow::{Context, Result, ensure};
use std::time::{Duration, Instant};
use tests::node::Site;
use tests::web::Visitor;

/// Keys on the node.
const KEYS: usize = 100_000;

/// Requests for each page that count, and those before them that do not.
const REQUESTS: usize = 200;
const WARM_UP: usize = 20;

/// The aim for each page.
const AIM: Duration = Duration::from_millis(50);

/// What the pages are compared with.
const FILE: &str = "/assets/strongroom.css";

const PASSWORD: &str = "seven lamps under water";

/// Times of one page, in order.
struct Times(Vec<Duration>);

impl Times {
    fn of(visitor: &mut Visitor, path: &str) -> Result<Self> {
        let mut times = Vec::with_capacity(REQUESTS);
        for n in 0..WARM_UP + REQUESTS {
            let began = Instant::now();
            let answer = visitor.get(path)?;
            let took = began.elapsed();
            ensure!(answer.status == 200, "{path}: {}", answer.status);
            if n >= WARM_UP {
                times.push(took);
            }
        }
        times.sort_unstable();
        Ok(Self(times))
    }

    fn at(&self, part: usize) -> Duration {
        let found = self.0.get(self.0.len() * part / 100);
        found.copied().unwrap_or_default()
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Makes the keys, then asks for each page.
pub(crate) fn run() -> Result<()> {
    let site = Site::new()?;
    let node = site.start()?;
    println!("\nmaking {KEYS} keys");
    scale::fill(&node, 0, KEYS)?;
    let middle = scale::name(KEYS / 2);
    let found = node.client()?.locate(Some(&middle))?;
    let uid = found.first().context("a key is found by its name")?;
    let mut visitor = Visitor::of(&node);
    visitor.move_in(&node, PASSWORD)?;
    println!(
        "{:<44} {:>8} {:>8} {:>9} {:>9}",
        "page", "p50 ms", "p99 ms", "p50 x css", "p99 x css"
    );
    let file = Times::of(&mut visitor, FILE)?;
    let mut slow = 0;
    for path in [FILE.to_owned()].into_iter().chain(paths(uid, &middle)) {
        let times = Times::of(&mut visitor, &path)?;
        let (p50, p99) = (times.at(50), times.at(99));
        let ratio = |part| times.at(part).as_secs_f64() / file.at(part).as_secs_f64();
        let mark = if p99 < AIM { "" } else { "  over the aim" };
        slow += usize::from(p99 >= AIM);
        let shown = path.replace(uid, "UID");
        println!(
            "{shown:<44} {:>8.2} {:>8.2} {:>9.1} {:>9.1}{mark}",
            milliseconds(p50),
            milliseconds(p99),
            ratio(50),
            ratio(99),
        );
    }
    println!("{slow} pages are over {} ms at p99", AIM.as_millis());
    node.terminate()
}

/// The pages; searches that find much, one key and nothing.
fn paths(uid: &str, name: &str) -> Vec<String> {
    let fixed = [
        "/",
        "/keys",
        "/keys?name=scale-00",
        "/keys?name=no-such-name",
        "/keys?owner=demo&state=active",
        "/keys?owner=demo2",
        "/keys/new",
        "/clients",
        "/clients/demo",
        "/logs",
        "/logs?view=audit",
        "/logs?view=activity",
        "/logs?text=no+such+text",
        "/logs/cluster/1000",
        "/logs/export",
        "/transfers",
        "/transfers/new",
        "/algorithms",
        "/algorithms/switch-on",
        "/administrators",
        "/password",
    ];
    let of_key = [
        format!("/keys?name={name}"),
        format!("/keys?uid={uid}"),
        format!("/keys/{uid}"),
        format!("/keys/{uid}/destroy"),
    ];
    fixed.map(str::to_owned).into_iter().chain(of_key).collect()
}
