//! What time servers can do to the clock, seen at a clock made of numbers.
//!
//! The servers are sockets on the loopback; the last test asks a real `chronyd`, in a network
//! namespace and with `-x`, so that it leaves this machine's clock alone.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test may panic"
)]

use network::settings::Settings;
use network::status::ClockState;
use network::time::clock::{Clock, SetClock};
use network::time::judge::{Decision, Sample, judge};
use network::time::{Paths, Timekeeper};
use proptest::prelude::*;
use serde_json::json;
use std::io;
use std::net::UdpSocket;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// When the clock made of numbers begins: 2026-01-01.
const BEGIN: Duration = Duration::from_secs(1_767_225_600);
/// Seconds between 1900 and 1970 (RFC 5905 §6).
const ERA: u64 = 2_208_988_800;

/// A clock that runs like any other but is only turned in memory, and remembers by how much.
#[derive(Clone)]
struct Numbers {
    begin: Instant,
    turned: Arc<Mutex<Vec<(&'static str, i64)>>>,
    ahead: Arc<Mutex<i64>>,
    broken: bool,
}

impl Numbers {
    fn new() -> Numbers {
        Numbers {
            begin: Instant::now(),
            turned: Arc::default(),
            ahead: Arc::default(),
            broken: false,
        }
    }

    fn turned(&self) -> Vec<(&'static str, i64)> {
        self.turned.lock().unwrap().clone()
    }

    fn turn(&self, how: &'static str, microseconds: i64) -> io::Result<()> {
        if self.broken {
            return Err(io::Error::from(io::ErrorKind::PermissionDenied));
        }
        self.turned.lock().unwrap().push((how, microseconds));
        *self.ahead.lock().unwrap() += microseconds;
        Ok(())
    }

    /// The true time: what honest servers say.
    fn truth(&self) -> Duration {
        BEGIN + self.begin.elapsed()
    }
}

impl Clock for Numbers {
    fn now(&self) -> Duration {
        let ahead = *self.ahead.lock().unwrap();
        let micros = i64::try_from(self.truth().as_micros()).unwrap() + ahead;
        Duration::from_micros(u64::try_from(micros).unwrap())
    }

    fn slew(&mut self, microseconds: i64) -> io::Result<()> {
        self.turn("slew", microseconds)
    }

    fn step(&mut self, microseconds: i64) -> io::Result<()> {
        self.turn("step", microseconds)
    }
}

fn stamp(time: Duration) -> [u8; 8] {
    let seconds = (time.as_secs() + ERA) & u64::from(u32::MAX);
    let fraction = (u64::from(time.subsec_nanos()) << 32) / 1_000_000_000;
    (seconds << 32 | fraction).to_be_bytes()
}

/// The answer of an honest server of stratum 2 at this time.
fn honest(question: &[u8], time: Duration) -> Vec<u8> {
    let mut answer = vec![0; 48];
    answer[0] = 4 << 3 | 4; // version 4, from a server
    answer[1] = 2;
    answer[3] = 0xec; // microseconds
    answer[16..24].copy_from_slice(&stamp(time - Duration::from_secs(10)));
    answer[24..32].copy_from_slice(&question[40..48]);
    answer[32..40].copy_from_slice(&stamp(time));
    answer[40..48].copy_from_slice(&stamp(time));
    answer
}

/// A server on one address of the loopback, all on one port so that the settings name addresses.
fn serve(
    address: &str,
    port: u16,
    clock: &Numbers,
    answers: impl Fn(&[u8], Duration) -> Vec<Vec<u8>> + Send + 'static,
) -> u16 {
    let socket = UdpSocket::bind((address, port)).unwrap();
    let port = socket.local_addr().unwrap().port();
    let clock = clock.clone();
    std::thread::spawn(move || {
        let mut question = [0; 100];
        while let Ok((length, from)) = socket.recv_from(&mut question) {
            assert_eq!(length, 48);
            for answer in answers(&question[..length], clock.truth()) {
                socket.send_to(&answer, from).unwrap();
            }
        }
    });
    port
}

/// A server that is so many milliseconds ahead of the truth.
fn ahead(address: &str, port: u16, clock: &Numbers, milliseconds: i64) -> u16 {
    serve(address, port, clock, move |question, time| {
        let micros = i64::try_from(time.as_micros()).unwrap() + milliseconds * 1_000;
        let time = Duration::from_micros(u64::try_from(micros).unwrap());
        vec![honest(question, time)]
    })
}

/// A timekeeper whose configuration came from DHCP, since the settings refuse loopback addresses.
fn keeper(folder: &Path, servers: &[&str], port: u16, clock: &Numbers) -> Timekeeper<Numbers> {
    let status = json!({
        "version": 1, "settings": "applied", "problem": null, "interfaces": [],
        "outgoing": null, "dns": [], "dhcp_ntp": servers,
    });
    std::fs::write(folder.join("status.json"), status.to_string()).unwrap();
    let paths = Paths {
        settings: folder.join("network.json"),
        request: folder.join("clock.json"),
        network: folder.join("status.json"),
        state: folder.to_owned(),
        port,
        ..Paths::default()
    };
    let mut keeper = Timekeeper::new(paths, clock.clone()).unwrap();
    keeper.look().unwrap();
    keeper
}

/// Within what scheduling on a busy machine adds.
fn about(wanted: i64, is: i64) -> bool {
    (wanted - is).abs() < 100_000
}

#[tokio::test]
async fn the_first_majority_sets_the_clock_and_the_next_only_slew_it() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), Numbers::new());
    let port = ahead("127.0.1.1", 0, &clock, 90_000);
    ahead("127.0.1.2", port, &clock, 90_010);
    ahead("127.0.1.3", port, &clock, 500_000_000);
    let servers = ["127.0.1.1", "127.0.1.2", "127.0.1.3"];
    let mut one = keeper(folder.path(), &servers, port, &clock);
    one.round().await.unwrap();
    let turned = clock.turned();
    assert!(turned.len() == 1 && turned[0].0 == "step", "{turned:?}");
    assert!(about(90_000_000, turned[0].1), "{turned:?}");
    let used: Vec<bool> = one.status().servers.iter().map(|s| s.used).collect();
    assert_eq!(
        used,
        [true, true, false],
        "the liar is seen and not followed"
    );
    assert!(one.status().synchronised && one.status().stepped);

    // A process that was started anew sets nothing, however far the servers are now.
    *clock.ahead.lock().unwrap() -= 30_000_000;
    let mut again = keeper(folder.path(), &servers, port, &clock);
    again.round().await.unwrap();
    assert_eq!(clock.turned().last(), Some(&("slew", 500_000)));
}

#[tokio::test]
async fn a_jump_beyond_a_thousand_seconds_is_refused_and_shown() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), Numbers::new());
    let port = ahead("127.0.2.1", 0, &clock, 10 * 365 * 86_400_000);
    let mut one = keeper(folder.path(), &["127.0.2.1"], port, &clock);
    one.round().await.unwrap();
    assert_eq!(clock.turned(), []);
    assert_eq!(one.status().state, ClockState::Refused);
    assert!(
        one.status()
            .problem
            .as_deref()
            .unwrap()
            .contains("set the clock")
    );
    let json = std::fs::read_to_string(folder.path().join("time.json")).unwrap();
    assert!(json.contains("\"refused\""), "{json}");
}

#[tokio::test]
async fn hostile_answers_do_not_turn_the_clock() {
    type Lie = fn(&[u8], Duration) -> Vec<Vec<u8>>;
    let lies: &[(&str, Lie)] = &[
        ("garbage", |_, _| {
            vec![vec![0xff; 48], vec![0; 48], Vec::new(), vec![1; 90]]
        }),
        ("another question's time", |question, time| {
            let mut answer = honest(question, time + Duration::from_secs(60));
            answer[31] ^= 1;
            vec![answer]
        }),
        ("too short", |question, time| {
            vec![honest(question, time)[..47].to_vec()]
        }),
        ("from a client", |question, time| {
            let mut answer = honest(question, time + Duration::from_secs(60));
            answer[0] = 4 << 3 | 3;
            vec![answer]
        }),
        ("not synchronised", |question, time| {
            let mut answer = honest(question, time + Duration::from_secs(60));
            answer[0] |= 3 << 6;
            vec![answer]
        }),
        ("stratum 16", |question, time| {
            let mut answer = honest(question, time + Duration::from_secs(60));
            answer[1] = 16;
            vec![answer]
        }),
        ("kiss of death", |question, time| {
            let mut answer = honest(question, time + Duration::from_secs(60));
            answer[1] = 0;
            answer[12..16].copy_from_slice(b"DENY");
            vec![answer]
        }),
        ("a reference of the future", |question, time| {
            let mut answer = honest(question, time + Duration::from_secs(60));
            answer[16..24].copy_from_slice(&stamp(time + Duration::from_secs(600)));
            vec![answer]
        }),
    ];
    for (name, lie) in lies {
        let (folder, clock) = (tempfile::tempdir().unwrap(), Numbers::new());
        let port = serve("127.0.3.1", 0, &clock, *lie);
        let mut one = keeper(folder.path(), &["127.0.3.1"], port, &clock);
        one.round().await.unwrap();
        assert_eq!(clock.turned(), [], "{name}");
        assert_eq!(one.status().state, ClockState::Waiting, "{name}");
        assert!(one.status().servers[0].problem.is_some(), "{name}");
    }
}

#[tokio::test]
async fn a_forged_answer_before_the_true_one_is_passed_over() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), Numbers::new());
    let port = serve("127.0.4.1", 0, &clock, |question, time| {
        let mut forged = honest(question, time + Duration::from_secs(60));
        forged[24] ^= 0x80;
        vec![forged, honest(question, time)]
    });
    let mut one = keeper(folder.path(), &["127.0.4.1"], port, &clock);
    one.round().await.unwrap();
    let turned = clock.turned();
    assert!(turned.len() == 1 && about(0, turned[0].1), "{turned:?}");
}

#[tokio::test]
async fn a_server_that_denies_is_left_alone() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), Numbers::new());
    let asked = Arc::new(Mutex::new(0));
    let count = Arc::clone(&asked);
    let port = serve("127.0.5.1", 0, &clock, move |question, time| {
        *count.lock().unwrap() += 1;
        let mut answer = honest(question, time);
        answer[1] = 0;
        answer[12..16].copy_from_slice(b"RSTR");
        vec![answer]
    });
    let mut one = keeper(folder.path(), &["127.0.5.1"], port, &clock);
    for _ in 0..3 {
        one.round().await.unwrap();
    }
    assert_eq!(*asked.lock().unwrap(), 1);
}

#[tokio::test]
async fn a_clock_that_cannot_be_set_is_shown() {
    let (folder, mut clock) = (tempfile::tempdir().unwrap(), Numbers::new());
    clock.broken = true;
    let port = ahead("127.0.6.1", 0, &clock, 2_000);
    let mut one = keeper(folder.path(), &["127.0.6.1"], port, &clock);
    one.round().await.unwrap();
    assert_eq!(one.status().state, ClockState::Failed);
    assert!(
        !folder.path().join("synchronised").exists(),
        "it may still be set later"
    );
}

#[tokio::test]
async fn an_operator_sets_the_clock_once_and_by_any_amount() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), Numbers::new());
    let mut one = keeper(folder.path(), &[], 9, &clock);
    let year = Duration::from_secs(365 * 86_400);
    let request = SetClock {
        id: "a".to_owned(),
        milliseconds: u64::try_from((clock.now() + year).as_millis()).unwrap(),
        since_boot_milliseconds: u64::try_from(network::files::since_boot().as_millis()).unwrap(),
    };
    let json = serde_json::to_vec(&request).unwrap();
    std::fs::write(folder.path().join("clock.json"), &json).unwrap();
    one.look().unwrap();
    let turned = clock.turned();
    let micros = i64::try_from(year.as_micros()).unwrap();
    assert!(
        turned.len() == 1 && about(micros, turned[0].1),
        "{turned:?}"
    );
    // The same request again, after a restart: nothing.
    keeper(folder.path(), &[], 9, &clock);
    assert_eq!(clock.turned().len(), 1);
}

#[test]
fn two_that_disagree_are_no_majority() {
    let sample = |offset| Some(Sample { offset });
    let verdict = judge(&[sample(0), sample(1_000_000)], true);
    assert!(matches!(verdict.decision, Decision::Wait { .. }));
    assert_eq!(judge(&[], true).decision, Decision::Off);
    assert!(matches!(
        judge(&[None], true).decision,
        Decision::Wait { .. }
    ));
}

proptest! {
    /// While fewer than half of the servers lie, the clock goes where some honest one says.
    #[test]
    fn a_minority_of_liars_moves_nothing(
        truth in -400_000_i64..400_000,
        jitter in proptest::collection::vec(-20_000_i64..20_000, 1..4),
        lies in proptest::collection::vec(any::<i64>(), 0..3),
        once: bool,
    ) {
        let lies: Vec<i64> = lies.into_iter().take(jitter.len() - 1).collect();
        let honest: Vec<i64> = jitter.iter().map(|j| truth + j).collect();
        let all: Vec<_> = lies.iter().chain(&honest).map(|o| Some(Sample { offset: *o })).collect();
        let verdict = judge(&all, once);
        let offset = verdict.offset.unwrap();
        // A lie inside the honest window may count: it does no harm there.
        prop_assert!((offset - truth).abs() <= 20_000 + 128_000, "{:?}", verdict);
        match verdict.decision {
            Decision::Step { .. } => prop_assert!(!once),
            Decision::Slew { microseconds } => prop_assert!(microseconds.abs() <= 500_000),
            other => prop_assert!(false, "{:?}", other),
        }
    }

    #[test]
    fn no_answers_turn_the_clock_by_more_than_a_thousand_seconds(
        offsets in proptest::collection::vec(proptest::option::of(any::<i64>()), 0..5),
        once: bool,
    ) {
        let all: Vec<_> = offsets.iter().map(|o| o.map(|offset| Sample { offset })).collect();
        match judge(&all, once).decision {
            Decision::Step { microseconds } => {
                prop_assert!(!once && microseconds.abs() <= 1_000_000_000);
            }
            Decision::Slew { microseconds } => prop_assert!(microseconds.abs() <= 500_000),
            _ => {}
        }
    }
}

/// chronyd answers on a port of its own on the loopback; `-x` leaves the clock alone.
#[tokio::test]
async fn chronyd_is_understood() {
    let folder = tempfile::tempdir().unwrap();
    let conf = folder.path().join("chrony.conf");
    let pid = folder.path().join("pid");
    // Inside our folder, and no command socket.
    let lines = format!(
        "local stratum 10\nallow 127.0.0.0/8\nport 11123\nbindaddress 127.0.7.1\ncmdport 0\n\
         bindcmdaddress /\npidfile {}\n",
        pid.display()
    );
    std::fs::write(&conf, lines).unwrap();
    let server = Command::new("chronyd")
        .args(["-x", "-d", "-u", "root", "-f"])
        .arg(&conf)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let Ok(mut server) = server else {
        eprintln!("skipped: there is no chronyd");
        return;
    };
    // chronyd says this machine's time, so the clock made of numbers is set to that first.
    let clock = Numbers::new();
    let system = nix::time::clock_gettime(nix::time::ClockId::CLOCK_REALTIME).unwrap();
    let gap = Duration::from(system).as_micros() as i64 - clock.now().as_micros() as i64;
    *clock.ahead.lock().unwrap() += gap + 2_000_000;
    let mut one = keeper(folder.path(), &["127.0.7.1"], 11_123, &clock);
    let begin = Instant::now();
    while !one.status().synchronised && begin.elapsed() < Duration::from_secs(60) {
        one.round().await.unwrap();
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    server.kill().unwrap();
    server.wait().unwrap();
    let turned = clock.turned();
    assert!(
        turned.len() == 1 && turned[0].0 == "step",
        "{:?} {turned:?}",
        one.status()
    );
    assert!(about(-2_000_000, turned[0].1), "{turned:?}");
    assert_eq!(one.status().servers[0].stratum, Some(10));
}

#[test]
fn servers_of_the_settings_come_before_those_of_dhcp() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), Numbers::new());
    if !Path::new("/usr/share/zoneinfo/UTC").exists() {
        eprintln!("skipped: there is no time zone database (tzdata)");
        return;
    }
    let mut one = keeper(folder.path(), &["192.0.2.1"], 9, &clock);
    let settings = json!({
        "version": 1, "hostname": "kms1", "interfaces": [], "ntp": ["192.0.2.123"],
        "time_zone": "UTC",
    });
    let bytes = settings.to_string().into_bytes();
    Settings::parse(&bytes, Path::new("/usr/share/zoneinfo")).unwrap();
    std::fs::write(folder.path().join("network.json"), &bytes).unwrap();
    assert!(one.look().unwrap(), "there are other servers now");
    std::fs::remove_file(folder.path().join("network.json")).unwrap();
    assert!(one.look().unwrap(), "and those of DHCP again");
}
