//! Compares this node's clock with the other members'.
//!
//! Whatever time a member puts into a command is the time of the whole cluster from then on, and
//! what a date has ended stays ended. A clock that was set wrong while a node was down must not do
//! that, and at a start there is nothing on the node itself to tell. So until the others have been
//! asked, however long that takes, a node acts by the time of the last record and what has passed
//! since; then it goes with the majority.

use crate::clock;
use crate::engine::Engine;
use crate::layout::Layout;
use crate::member::colleagues::Colleagues;
use crate::member::messages::{Answer, Question};
use domain::NodeId;
use network::status::TimeStatus;
use network::time::judge::PANIC_MICROSECONDS;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Difference to the others that is a wrong clock and not a tolerable one, in milliseconds. Dates
/// of keys have the resolution of a second; NTP keeps far below this.
const DIFFERENCE_MS_MAX: i64 = 60_000;

/// After this time without an answer the operator is told, and the others are asked less often.
const PATIENCE: Duration = Duration::from_secs(30);

/// Pause before those are asked again that did not answer.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(200);

/// The same when patience has ended.
const ASK_SELDOM: Duration = Duration::from_secs(1);

/// How often the clocks are compared later.
const COMPARE_INTERVAL: Duration = Duration::from_secs(60);

/// How often it is looked whether time servers have set the clock.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// How far they may have set it, in milliseconds: what `strongroom-time` takes from them.
const SERVERS_MS_MAX: i64 = PANIC_MICROSECONDS / 1_000;

/// What an operator is told of a node that is alone after its start.
const NOT_COMPARED: &str = "not compared with another member's yet; until one answers, dates are \
    judged by the time of the last record; check the network between the nodes";

/// How another clock stands to this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Reading {
    /// Milliseconds that it is ahead.
    ahead: i64,
    /// Whether it was compared with others itself.
    compared: bool,
}

/// Compares at the start, says so through `settled`, and goes on comparing.
pub(super) async fn run(
    engine: Arc<Engine>,
    colleagues: Colleagues,
    layout: Layout,
    settled: watch::Sender<bool>,
) {
    let begun = Instant::now();
    loop {
        if let Some(ahead) = compare(&colleagues).await {
            if ahead.abs() > DIFFERENCE_MS_MAX {
                clock::step(ahead);
            }
            break;
        }
        let is_patient = begun.elapsed() <= PATIENCE;
        if !is_patient {
            engine
                .soundness()
                .set_fault("clock", Some(NOT_COMPARED.to_owned()));
        }
        tokio::time::sleep(if is_patient {
            ASK_AGAIN_AFTER
        } else {
            ASK_SELDOM
        })
        .await;
    }
    engine.trust_clock();
    settled.send_replace(true);
    let mut ticks = super::ticks(LOOK_INTERVAL);
    let (mut has_followed, mut compared) = (false, None::<Instant>);
    loop {
        ticks.tick().await;
        if !has_followed && colleagues.voters().is_empty() && follow_servers(&layout) {
            (has_followed, compared) = (true, None);
        }
        if compared.is_none_or(|at| at.elapsed() >= COMPARE_INTERVAL) {
            let ahead = compare(&colleagues).await.unwrap_or(0);
            engine.soundness().set_fault("clock", complaint(ahead));
            compared = Some(Instant::now());
        }
    }
}

/// Goes with the time servers that have set the machine's clock, which they do once after boot and
/// by a quarter of an hour at most; says whether they have. A node that is alone would have
/// believed the same clock, had it started a moment later. One with others goes by theirs.
fn follow_servers(layout: &Layout) -> bool {
    let Some(jump) = clock::jump() else {
        return false;
    };
    let status = layout.time_status().map(std::fs::read);
    let Some(Ok(bytes)) = status else {
        return false;
    };
    let status = serde_json::from_slice::<TimeStatus>(&bytes).unwrap_or_default();
    if !status.synchronised || !status.stepped || jump.abs() > SERVERS_MS_MAX {
        return false;
    }
    clock::step(jump);
    tracing::warn!("time servers have set the clock by {jump} ms; this is followed once");
    true
}

/// What an operator should know of the clock of this machine.
fn complaint(ahead: i64) -> Option<String> {
    if let Some(jump) = clock::jump() {
        let seconds = jump / 1_000;
        return Some(format!(
            "the clock of this machine is off by {seconds} s and is not followed; set it right"
        ));
    }
    (ahead.abs() > DIFFERENCE_MS_MAX).then(|| {
        let seconds = ahead / 1_000;
        format!("the other members' clocks are {seconds} s ahead of this one; set it right")
    })
}

/// How far this node's clock is behind the others'; `None` when too few answer to tell.
async fn compare(colleagues: &Colleagues) -> Option<i64> {
    let voters = colleagues.voters();
    let readings = ask(colleagues, &voters).await;
    judge(&readings, voters.len())
}

async fn ask(colleagues: &Colleagues, others: &[NodeId]) -> Vec<Reading> {
    let mut asked = JoinSet::new();
    for node in others {
        let (colleagues, node) = (colleagues.clone(), *node);
        asked.spawn(async move {
            let before = clock::now().0;
            let answer = colleagues.ask_node(node, &Question::Clock).await;
            let after = clock::now().0;
            match answer {
                Ok(Answer::Clock { now, compared }) => Some(Reading {
                    ahead: now.saturating_sub(before.midpoint(after)),
                    compared,
                }),
                _ => None,
            }
        });
    }
    let mut readings = Vec::new();
    while let Some(done) = asked.join_next().await {
        readings.extend(done.ok().flatten());
        // One that knows is enough; members that are away need not be waited for.
        if readings
            .last()
            .is_some_and(|reading: &Reading| reading.compared)
        {
            break;
        }
    }
    readings
}

/// How far this node's clock must be set forward; `None` when too few have answered to tell.
///
/// Those that were compared before know better than those that have just started. Among those that
/// have not, half of all must agree, and of two in the middle the earlier counts: what it delays
/// can be made up for, what the later one ends cannot be undone.
fn judge(readings: &[Reading], others: usize) -> Option<i64> {
    let compared: Vec<i64> = readings
        .iter()
        .filter(|reading| reading.compared)
        .map(|reading| reading.ahead)
        .collect();
    if !compared.is_empty() {
        return earlier_middle(compared);
    }
    let members = others + 1;
    let all: Vec<i64> = std::iter::once(0)
        .chain(readings.iter().map(|reading| reading.ahead))
        .collect();
    (all.len() * 2 > members)
        .then(|| earlier_middle(all))
        .flatten()
}

fn earlier_middle(mut values: Vec<i64>) -> Option<i64> {
    values.sort_unstable();
    values.get(values.len().checked_sub(1)? / 2).copied()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn reading(ahead: i64, compared: bool) -> Reading {
        Reading { ahead, compared }
    }

    /// What `strongroom-time` says, in its own form.
    fn said(synchronised: bool, stepped: bool) -> Vec<u8> {
        let status = TimeStatus {
            synchronised,
            stepped,
            ..TimeStatus::default()
        };
        serde_json::to_vec(&status).unwrap()
    }

    #[test]
    fn a_clock_that_servers_have_set_is_followed_and_no_other() {
        let _alone = clock::TURNING.lock();
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::new(folder.path()).with_reports(folder.path());
        let file = layout.time_status().unwrap();
        std::fs::create_dir(file.parent().unwrap()).unwrap();
        let before = clock::now().0;
        clock::turn(SERVERS_MS_MAX - 10_000);
        assert!(!follow_servers(&layout), "there is no file");
        for (text, why) in [
            (said(false, true), "the servers are not followed"),
            (said(true, false), "they have not set the clock"),
            (b"{".to_vec(), "it is damaged"),
        ] {
            std::fs::write(&file, text).unwrap();
            assert!(!follow_servers(&layout), "{why}");
        }
        std::fs::write(&file, said(true, true)).unwrap();
        clock::turn(SERVERS_MS_MAX + 10_000);
        assert!(!follow_servers(&layout), "no server may set it so far");
        clock::turn(SERVERS_MS_MAX - 10_000);
        assert!(clock::jump().is_some());
        assert!(follow_servers(&layout));
        assert_eq!(clock::jump(), None);
        assert!(clock::now().0 - before > SERVERS_MS_MAX - 20_000);
        // Back to where other tests expect it.
        clock::turn(0);
        clock::step(-(SERVERS_MS_MAX - 10_000));
        assert_eq!(clock::jump(), None);
    }

    #[test]
    fn a_cluster_of_one_believes_its_clock() {
        assert_eq!(judge(&[], 0), Some(0));
    }

    #[test]
    fn those_that_run_know_better_than_those_that_start() {
        let readings = [reading(-9_000_000, true), reading(5, false)];
        assert_eq!(judge(&readings, 2), Some(-9_000_000));
    }

    #[test]
    fn of_three_that_start_the_one_that_differs_gives_way() {
        let (year, same) = (31_536_000_000, [reading(3, false), reading(-2, false)]);
        assert_eq!(judge(&same, 2), Some(0));
        assert_eq!(
            judge(&[reading(year, false), reading(4, false)], 2),
            Some(4)
        );
        let both = [reading(-year, false), reading(-year, false)];
        assert_eq!(judge(&both, 2), Some(-year));
    }

    #[test]
    fn of_two_the_earlier_counts_on_both_sides() {
        assert_eq!(judge(&[reading(500_000, false)], 1), Some(0));
        assert_eq!(judge(&[reading(-500_000, false)], 1), Some(-500_000));
    }

    #[test]
    fn too_few_tell_nothing() {
        assert_eq!(judge(&[], 2), None);
        assert_eq!(judge(&[reading(0, false)], 4), None);
    }
}
