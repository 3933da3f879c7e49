//! The judge, judged: histories that a real object made must pass, spoilt ones must not, and the
//! verdict is that of trying every order wherever that can be done.

use super::key::{Answer, Ask, KeyLife, Refusal};
use super::{Model, Operation, Outcome, Verdict, check, check_one};
use crate::dice::Dice;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

type KeyOperation = Operation<Ask, Answer>;

fn returned(client: u32, call: u64, at: u64, ask: Ask, answer: Answer) -> KeyOperation {
    let outcome = Outcome::Returned { at, answer };
    Operation {
        client,
        place: String::new(),
        call,
        ask,
        outcome,
    }
}

fn unknown(client: u32, call: u64, ask: Ask) -> KeyOperation {
    Operation {
        client,
        place: String::new(),
        call,
        ask,
        outcome: Outcome::Unknown,
    }
}

fn created() -> KeyOperation {
    returned(0, 0, 10, Ask::Create, Answer::Created("u".into()))
}

fn attribute(value: &str) -> Answer {
    Answer::Attribute(Some(value.into()))
}

const NOT_FOUND: Answer = Answer::Refused(Refusal::NotFound);
const GONE: Answer = Answer::Refused(Refusal::Destroyed);

/// Name, what the verdict is, and the operations.
type Case = (&'static str, bool, Vec<KeyOperation>);

fn register_cases() -> Vec<Case> {
    let add = |v: &str| Ask::AddAttribute(v.into());
    let modify = |v: &str| Ask::ModifyAttribute(v.into());
    let read = Ask::ReadAttribute;
    let start = || vec![created(), returned(0, 11, 20, add("a"), Answer::Done)];
    let with = |more: Vec<KeyOperation>| [start(), more].concat();
    vec![
        (
            "a read overlapping a write may see the old value, then the new",
            true,
            with(vec![
                returned(1, 30, 90, modify("b"), Answer::Done),
                returned(2, 40, 50, read.clone(), attribute("a")),
                returned(2, 60, 70, read.clone(), attribute("b")),
            ]),
        ),
        (
            "but not the new, then the old",
            false,
            with(vec![
                returned(1, 30, 90, modify("b"), Answer::Done),
                returned(2, 40, 50, read.clone(), attribute("b")),
                returned(3, 60, 70, read.clone(), attribute("a")),
            ]),
        ),
        (
            "a stale read after the write returned",
            false,
            with(vec![
                returned(1, 30, 40, modify("b"), Answer::Done),
                returned(2, 50, 60, read.clone(), attribute("a")),
            ]),
        ),
        (
            "touching intervals count as overlapping",
            true,
            with(vec![
                returned(1, 30, 40, modify("b"), Answer::Done),
                returned(2, 40, 60, read.clone(), attribute("a")),
            ]),
        ),
        (
            "a lost update",
            false,
            with(vec![
                returned(1, 30, 40, modify("b"), Answer::Done),
                returned(1, 50, 60, modify("c"), Answer::Done),
                returned(2, 70, 80, read.clone(), attribute("b")),
            ]),
        ),
        (
            "an unknown write may come late",
            true,
            with(vec![
                unknown(1, 30, modify("b")),
                returned(2, 40, 50, read.clone(), attribute("a")),
                returned(2, 60, 70, modify("c"), Answer::Done),
                returned(2, 80, 90, read.clone(), attribute("b")),
            ]),
        ),
        (
            "but only once",
            false,
            with(vec![
                unknown(1, 30, modify("b")),
                returned(2, 40, 50, read.clone(), attribute("b")),
                returned(2, 60, 70, modify("c"), Answer::Done),
                returned(2, 80, 90, read.clone(), attribute("b")),
            ]),
        ),
        (
            "twice when it was sent twice",
            true,
            with(vec![
                unknown(1, 30, modify("b")),
                unknown(3, 31, modify("b")),
                returned(2, 40, 50, read.clone(), attribute("b")),
                returned(2, 60, 70, modify("c"), Answer::Done),
                returned(2, 80, 90, read.clone(), attribute("b")),
            ]),
        ),
        (
            "and not before it was sent",
            false,
            with(vec![
                returned(2, 21, 25, read.clone(), attribute("b")),
                unknown(1, 30, modify("b")),
            ]),
        ),
        (
            "two adds cannot both win",
            false,
            vec![
                created(),
                returned(1, 20, 40, add("x"), Answer::Done),
                returned(2, 20, 40, add("y"), Answer::Done),
            ],
        ),
        (
            "one of two adds is refused, and the value is the other's",
            true,
            vec![
                created(),
                returned(
                    1,
                    20,
                    40,
                    add("x"),
                    Answer::Refused(Refusal::AttributeExists),
                ),
                returned(2, 20, 40, add("y"), Answer::Done),
                returned(2, 50, 60, read.clone(), attribute("y")),
            ],
        ),
        (
            "a value that nobody wrote",
            false,
            with(vec![returned(2, 40, 50, read, attribute("z"))]),
        ),
    ]
}

fn life_cases() -> Vec<Case> {
    let done = |client, call, at, ask| returned(client, call, at, ask, Answer::Done);
    let get = |call, at, digest| returned(7, call, at, Ask::Get, Answer::Key(digest));
    vec![
        ("nothing happened", true, vec![]),
        (
            "a key before its Create was sent",
            false,
            vec![
                returned(0, 5, 10, Ask::Create, Answer::Created("u".into())),
                returned(1, 1, 4, Ask::Get, Answer::Key(1)),
            ],
        ),
        (
            "a created key is lost",
            false,
            vec![created(), returned(1, 20, 30, Ask::Get, NOT_FOUND)],
        ),
        (
            "the tombstone of a destroyed key is lost",
            false,
            vec![
                created(),
                done(1, 20, 30, Ask::Destroy),
                returned(1, 40, 50, Ask::Get, NOT_FOUND),
            ],
        ),
        (
            "other bytes",
            false,
            vec![created(), get(20, 30, 1), get(40, 50, 2)],
        ),
        (
            "a destroyed key comes back",
            false,
            vec![created(), done(1, 20, 30, Ask::Destroy), get(40, 50, 1)],
        ),
        (
            "gone, then back, around an unknown Destroy",
            false,
            vec![
                created(),
                unknown(1, 20, Ask::Destroy),
                returned(2, 40, 50, Ask::Get, GONE),
                get(60, 70, 1),
            ],
        ),
        (
            "an unknown Destroy that comes late",
            true,
            vec![
                created(),
                unknown(1, 20, Ask::Destroy),
                get(40, 50, 1),
                returned(2, 60, 70, Ask::Get, GONE),
            ],
        ),
        (
            "an unknown Destroy of an active key does nothing, then something",
            true,
            vec![
                created(),
                done(1, 12, 14, Ask::Activate),
                unknown(1, 20, Ask::Destroy),
                done(2, 30, 40, Ask::Revoke),
                returned(2, 60, 70, Ask::Get, GONE),
            ],
        ),
        (
            "Destroy of an active key is refused",
            false,
            vec![
                created(),
                done(1, 20, 30, Ask::Activate),
                done(1, 40, 50, Ask::Destroy),
            ],
        ),
        (
            "activated twice",
            false,
            vec![
                created(),
                done(1, 20, 90, Ask::Activate),
                done(2, 20, 90, Ask::Activate),
            ],
        ),
        (
            "an unknown Create may have been",
            true,
            vec![
                unknown(0, 0, Ask::Create),
                returned(0, 10, 20, Ask::Locate, Answer::Located(vec![])),
                returned(0, 30, 40, Ask::Locate, Answer::Located(vec!["u".into()])),
                get(50, 60, 1),
            ],
        ),
        (
            "a repeated Create made two objects",
            false,
            vec![
                unknown(0, 0, Ask::Create),
                returned(0, 10, 20, Ask::Locate, Answer::Located(vec!["u".into()])),
                returned(0, 30, 40, Ask::Create, Answer::Created("v".into())),
            ],
        ),
        (
            "a repeated Create is told that the name is taken",
            true,
            vec![
                unknown(0, 0, Ask::Create),
                returned(0, 30, 40, Ask::Create, Answer::Refused(Refusal::NameTaken)),
                returned(0, 50, 60, Ask::Locate, Answer::Located(vec!["u".into()])),
            ],
        ),
        (
            "one name, two objects",
            false,
            vec![
                created(),
                returned(
                    0,
                    30,
                    40,
                    Ask::Locate,
                    Answer::Located(vec!["u".into(), "v".into()]),
                ),
            ],
        ),
        (
            "the identifier changes",
            false,
            vec![
                created(),
                returned(0, 30, 40, Ask::Locate, Answer::Located(vec!["v".into()])),
            ],
        ),
        (
            "a bounded-stale Get may serve the past",
            true,
            vec![
                created(),
                done(1, 20, 30, Ask::Destroy),
                returned(2, 40, 50, Ask::StaleGet, Answer::Key(1)),
            ],
        ),
        (
            "a node that is behind may not find or know it yet",
            true,
            vec![
                created(),
                returned(1, 12, 14, Ask::StaleLocate, Answer::Located(vec![])),
                returned(1, 15, 16, Ask::StaleGet, NOT_FOUND),
                returned(1, 17, 18, Ask::StaleReadAttribute, NOT_FOUND),
                returned(1, 19, 20, Ask::StaleReadAttribute, attribute("once")),
            ],
        ),
        (
            "but may not find another object",
            false,
            vec![
                created(),
                returned(
                    1,
                    12,
                    14,
                    Ask::StaleLocate,
                    Answer::Located(vec!["v".into()]),
                ),
            ],
        ),
        (
            "but no other bytes",
            false,
            vec![
                created(),
                get(12, 14, 1),
                returned(2, 40, 50, Ask::StaleGet, Answer::Key(2)),
            ],
        ),
    ]
}

#[test]
fn known_histories_have_their_verdicts() {
    for (name, expected, operations) in register_cases().into_iter().chain(life_cases()) {
        let verdict = check_one(&KeyLife, name, &operations);
        assert_eq!(verdict.is_linearizable(), expected, "{name}: {verdict:?}");
        assert_eq!(
            every_order(&operations),
            expected,
            "{name}: by trying every order"
        );
    }
}

/// Tries every order, and for every unknown operation whether it happened: the definition itself.
fn every_order(operations: &[KeyOperation]) -> bool {
    fn place(state: &<KeyLife as Model>::State, left: &[&KeyOperation]) -> bool {
        let returned = |o: &KeyOperation| o.returned_at();
        if left.iter().all(|o| returned(o).is_none()) {
            return true;
        }
        let earliest = left.iter().filter_map(|o| returned(o)).min().unwrap();
        (0..left.len()).any(|n| {
            let operation = left[n];
            if operation.call > earliest {
                return false;
            }
            let mut rest = left.to_vec();
            rest.remove(n);
            match &operation.outcome {
                Outcome::Returned { answer, .. } => KeyLife
                    .step(state, &operation.ask, answer)
                    .is_some_and(|after| place(&after, &rest)),
                Outcome::Unknown => place(&KeyLife.effect(state, &operation.ask), &rest),
            }
        })
    }
    place(&KeyLife.initial(), &operations.iter().collect::<Vec<_>>())
}

/// A real object, asked by several clients at once: each operation takes effect at an instant
/// between its call and its return, and some answers get lost.
struct World {
    dice: Dice,
    state: <KeyLife as Model>::State,
    material: u64,
    /// Of 100 operations, so many are never answered.
    lost_percent: u64,
    operations: Vec<KeyOperation>,
    writes: u64,
}

impl World {
    fn new(seed: u64, lost_percent: u64) -> Self {
        Self {
            dice: Dice::new(seed),
            state: None,
            material: seed | 1,
            lost_percent,
            operations: Vec::new(),
            writes: 0,
        }
    }

    /// `count` operations of `clients` clients. Destroy is rare, or nothing else would happen.
    fn run(mut self, clients: u32, count: usize) -> Vec<KeyOperation> {
        // Per client: what it asked and when, and when that takes effect and returns.
        let mut asked: BTreeMap<(u64, u32), (u64, Ask)> = BTreeMap::new();
        let mut busy_until: Vec<u64> = vec![0; clients as usize];
        let mut first = true;
        while self.operations.len() < count {
            let client = (0..clients)
                .min_by_key(|c| busy_until[*c as usize])
                .unwrap();
            let call = busy_until[client as usize] + 1 + self.dice.below(20);
            let effect = call + self.dice.below(50);
            let at = effect + self.dice.below(50);
            busy_until[client as usize] = at;
            let ask = if std::mem::take(&mut first) {
                Ask::Create
            } else {
                self.ask()
            };
            // Effects are played in the order of time, so this one waits for earlier ones.
            asked.insert((effect, client), (call, ask));
            let horizon = busy_until.iter().min().copied().unwrap();
            while let Some(entry) = asked.first_entry() {
                if entry.key().0 >= horizon {
                    break;
                }
                let ((effect, client), (call, ask)) = entry.remove_entry();
                let at = busy_until[client as usize].max(effect);
                self.play(client, call, at, ask);
            }
        }
        self.operations
    }

    fn ask(&mut self) -> Ask {
        match self.dice.below(200) {
            0 => Ask::Destroy,
            1..=3 => Ask::Activate,
            4..=5 => Ask::Revoke,
            6..=9 => Ask::Create,
            10..=60 => Ask::ModifyAttribute(self.value()),
            61..=70 => Ask::AddAttribute(self.value()),
            71..=90 => Ask::Locate,
            91..=130 => Ask::Get,
            _ => Ask::ReadAttribute,
        }
    }

    fn value(&mut self) -> String {
        self.writes += 1;
        format!("v{}", self.writes)
    }

    fn play(&mut self, client: u32, call: u64, at: u64, ask: Ask) {
        if self.dice.below(100) < self.lost_percent {
            if self.dice.below(2) == 0 {
                self.state = KeyLife.effect(&self.state, &ask);
            }
            self.operations.push(unknown(client, call, ask));
            return;
        }
        let answer = self.answer(&ask);
        let after = KeyLife.step(&self.state, &ask, &answer);
        self.state = after.expect("the world answers by the model");
        self.operations
            .push(returned(client, call, at, ask, answer));
    }

    fn answer(&self, ask: &Ask) -> Answer {
        let refusals = [
            Refusal::NotFound,
            Refusal::Destroyed,
            Refusal::WrongState,
            Refusal::NameTaken,
            Refusal::AttributeExists,
            Refusal::NoAttribute,
        ];
        let register = self.state.as_ref().and_then(|key| key.attribute.clone());
        let mut answers = vec![
            Answer::Done,
            Answer::Created("u".into()),
            Answer::Key(self.material),
            Answer::Located(vec!["u".into()]),
            Answer::Located(vec![]),
            Answer::Attribute(register),
        ];
        answers.extend(refusals.map(Answer::Refused));
        let fits = |answer: &Answer| KeyLife.step(&self.state, ask, answer).is_some();
        answers
            .into_iter()
            .find(fits)
            .expect("every ask has an answer")
    }
}

#[test]
fn what_a_real_object_did_is_linearizable() {
    for seed in 0..400 {
        let operations = World::new(seed, seed % 12).run(1 + (seed % 6) as u32, 120);
        let verdict = check_one(&KeyLife, "k", &operations);
        assert!(verdict.is_linearizable(), "seed {seed}: {verdict:?}");
    }
}

/// Small histories with answers drawn at random, most of them impossible: the walk and the
/// definition agree on each.
#[test]
fn the_verdict_is_that_of_every_order() {
    let (mut possible, mut impossible) = (0, 0);
    for seed in 0..4_000 {
        let mut operations = World::new(seed, 25).run(3, 7);
        let mut dice = Dice::new(!seed);
        if seed % 3 != 0 {
            spoil(&mut operations, &mut dice);
        }
        let expected = every_order(&operations);
        let verdict = check_one(&KeyLife, "k", &operations);
        assert_eq!(
            verdict.is_linearizable(),
            expected,
            "seed {seed}: {verdict:?}"
        );
        *(if expected {
            &mut possible
        } else {
            &mut impossible
        }) += 1;
    }
    assert!(
        possible > 800 && impossible > 800,
        "{possible} possible, {impossible} not"
    );
}

/// Makes one answer another operation's, or moves an operation in time.
fn spoil(operations: &mut [KeyOperation], dice: &mut Dice) {
    let count = operations.len() as u64;
    let a = usize::try_from(dice.below(count)).unwrap();
    let b = usize::try_from(dice.below(count)).unwrap();
    let taken = operations[b].outcome.clone();
    let spoilt = &mut operations[a];
    match (&mut spoilt.outcome, taken) {
        (Outcome::Returned { answer, .. }, Outcome::Returned { answer: other, .. }) => {
            *answer = other;
        }
        (Outcome::Returned { at, .. }, Outcome::Unknown) => {
            spoilt.call += 60;
            *at += 60;
        }
        (Outcome::Unknown, _) => spoilt.call += 60,
    }
}

/// Which of the three classic sins to commit.
#[derive(Clone, Copy, Debug)]
enum Sin {
    StaleRead,
    LostUpdate,
    Resurrection,
}

/// Adds at the end of a good history what a broken cluster would do; alone in time, so that no
/// order can excuse it.
fn commit_sin(operations: &mut Vec<KeyOperation>, sin: Sin) {
    let end = operations
        .iter()
        .filter_map(Operation::returned_at)
        .max()
        .unwrap();
    let mut push = |n: u64, ask, answer| {
        operations.push(returned(9, end + 10 * n, end + 10 * n + 5, ask, answer));
    };
    let modify = |v: &str| Ask::ModifyAttribute(v.into());
    match sin {
        Sin::StaleRead => {
            push(1, modify("new"), Answer::Done);
            push(2, Ask::ReadAttribute, attribute("never written"));
        }
        Sin::LostUpdate => {
            push(1, modify("one"), Answer::Done);
            push(2, modify("two"), Answer::Done);
            push(3, Ask::ReadAttribute, attribute("one"));
        }
        Sin::Resurrection => {
            push(1, Ask::Destroy, Answer::Done);
            push(2, Ask::Get, Answer::Key(1));
        }
    }
}

#[test]
fn sins_at_the_end_of_long_histories_are_seen() {
    for seed in 0..60 {
        for sin in [Sin::StaleRead, Sin::LostUpdate, Sin::Resurrection] {
            let mut operations = World::new(seed, 3).run(4, 200);
            commit_sin(&mut operations, sin);
            let verdict = check_one(&KeyLife, "k", &operations);
            let Verdict::Impossible(violation) = verdict else {
                panic!("seed {seed}: {sin:?} passed: {verdict:?}");
            };
            let told = violation.to_string();
            assert!(told.contains("\n! "), "no marked line: {told}");
            assert!(
                violation.operations.len() < operations.len(),
                "nothing left out"
            );
        }
    }
}

/// A small violation in a long history comes out small, and says what state it contradicts.
#[test]
fn a_report_leaves_out_what_does_not_matter() {
    let mut operations = vec![created()];
    let get = |n: u64| returned(1, 100 * n, 100 * n + 50, Ask::Get, Answer::Key(1));
    operations.extend((1..2_000).map(get));
    operations.push(returned(2, 300_000, 300_010, Ask::Destroy, Answer::Done));
    operations.push(returned(3, 300_020, 300_030, Ask::Get, Answer::Key(1)));
    operations.extend((4_000..4_100).map(get));
    let Verdict::Impossible(violation) = check_one(&KeyLife, "key 7", &operations) else {
        panic!("a destroyed key was served");
    };
    assert_eq!(violation.operations.len(), 3, "{violation}");
    let told = violation.to_string();
    let last = told.lines().find(|line| line.starts_with('!')).unwrap();
    assert!(
        last.contains("client 3") && last.contains("Get -> Key(1)"),
        "{told}"
    );
    assert!(
        told.contains("key 7") && told.contains("phase: Destroyed"),
        "{told}"
    );
}

#[test]
fn objects_are_judged_one_by_one() {
    let mut history = BTreeMap::new();
    for n in 0..20 {
        history.insert(format!("k{n}"), World::new(n, 5).run(3, 60));
    }
    assert!(check(&KeyLife, &history).is_linearizable());
    commit_sin(history.get_mut("k7").unwrap(), Sin::Resurrection);
    let told = check(&KeyLife, &history).demand().unwrap_err().to_string();
    assert!(told.contains("k7"), "{told}");
}

/// Ten thousand operations on one key by four clients: well under a second where it runs alone;
/// the bound leaves room for a busy machine and a build without optimisation.
#[test]
fn ten_thousand_operations_are_quick() {
    let operations = World::new(5, 0).run(4, 10_000);
    let began = Instant::now();
    assert!(check_one(&KeyLife, "k", &operations).is_linearizable());
    assert!(
        began.elapsed() < Duration::from_secs(3),
        "{:?}",
        began.elapsed()
    );
}

/// Unknown writes stay open for ever; those that cannot matter do not multiply.
#[test]
fn many_unknown_operations_stay_bounded() {
    let add = returned(0, 11, 20, Ask::AddAttribute("0".into()), Answer::Done);
    let mut operations = vec![created(), add];
    let mut now = 30;
    for n in 0..60_u64 {
        operations.push(unknown(1, now, Ask::ModifyAttribute(format!("lost {n}"))));
        operations.push(unknown(2, now, Ask::Revoke));
        let modify = Ask::ModifyAttribute(format!("{n}"));
        operations.push(returned(0, now + 1, now + 5, modify, Answer::Done));
        let seen = if n % 10 == 0 {
            format!("lost {n}")
        } else {
            n.to_string()
        };
        operations.push(returned(
            0,
            now + 6,
            now + 9,
            Ask::ReadAttribute,
            attribute(&seen),
        ));
        now += 10;
    }
    let began = Instant::now();
    let verdict = check_one(&KeyLife, "k", &operations);
    assert!(verdict.is_linearizable(), "{verdict:?}");
    // One of them twice: the same history with one more read is impossible.
    operations.push(returned(
        0,
        now,
        now + 1,
        Ask::ModifyAttribute("z".into()),
        Answer::Done,
    ));
    operations.push(returned(
        0,
        now + 2,
        now + 3,
        Ask::ReadAttribute,
        attribute("lost 0"),
    ));
    let verdict = check_one(&KeyLife, "k", &operations);
    assert!(matches!(verdict, Verdict::Impossible(_)), "{verdict:?}");
    assert!(
        began.elapsed() < Duration::from_secs(20),
        "{:?}",
        began.elapsed()
    );
}
