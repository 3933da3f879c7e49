//! The lists of `services.rs` beside the recordings in `initramfs/data`: nothing is missing, and
//! nothing is there that nobody needs. README.md says how the recordings are made and read.

use super::*;
use crate::confine::rights;
use crate::syscalls::Rule;
use landlock::{AccessFs, BitFlags};
use std::path::Path;

/// What one service did on a development machine, where nothing was forbidden.
#[derive(Clone)]
struct Recording {
    service: &'static str,
    calls: Vec<Made>,
    paths: Vec<Touched>,
}

/// A call: `41 socket 0=0x10`.
#[derive(Clone)]
struct Made {
    line: &'static str,
    number: libc::c_long,
    /// What was recorded of its arguments: `0` for the first, and what capabilities ask about.
    detail: Option<(&'static str, u64)>,
}

/// A deed with a file: `make /data/lock`.
#[derive(Clone)]
struct Touched {
    line: &'static str,
    deed: &'static str,
    path: &'static Path,
}

/// Something that the recording and the table differ in, and why that is right.
struct Exception {
    service: &'static str,
    what: &'static str,
    #[expect(dead_code, reason = "for the reader")]
    reason: &'static str,
}

const fn of(service: &'static str, what: &'static str, reason: &'static str) -> Exception {
    Exception {
        service,
        what,
        reason,
    }
}

const OLDER_WAY: &str = "answered with ENOSYS; libc then uses clone, whose flags can be read";
const FROM_THE_PAGE: &str =
    "the clock is read without a call where the processor allows; waiting is rare";
const STACK_BOUNDS: &str =
    "the runtime asks where the main stack ends; unanswered, an overflow is just a fault";
const PID_1: &str = "PID 1 has mounted /data, so the daemon need not make it and flush its parent";
const NO_SWAP: &str = "buffers of keys are pinned where that is allowed; the appliance has no swap";
const MEMBERS: &str = "other members may have names; the suites have addresses only";
const THE_KERNEL_S: &str = "the kernel opens the loader, which strace does not see";
const PROCESSORS: &str = "the runtime counts processors; unanswered, it takes the kernel's mask";

/// Calls that were made while nothing was forbidden, and that the service does without.
const DOES_WITHOUT: &[Exception] = &[
    of("time", "435 clone3", OLDER_WAY),
    of("core", "435 clone3", OLDER_WAY),
    of("ssh", "435 clone3", OLDER_WAY),
    of("ssh", "149 mlock", NO_SWAP),
    of("ssh", "150 munlock", NO_SWAP),
    of(
        "core",
        "99 sysinfo",
        "the store of the projections compares its cache with the machine's memory, if it is told",
    ),
    of(
        "time",
        "41 socket 0=0x1",
        "the C library looks for a daemon that remembers names (nscd); the appliance has none",
    ),
];

/// Groups of which the recording has no call.
const UNSEEN: &[Exception] = &[
    of("network", "clocks", FROM_THE_PAGE),
    of("time", "clocks", FROM_THE_PAGE),
    of("core", "clocks", FROM_THE_PAGE),
    of("ssh", "clocks", FROM_THE_PAGE),
    of("core", "resolve", MEMBERS),
];

/// What was opened while nothing was forbidden, and the service does without.
const TURNED_AWAY: &[Exception] = &[
    of("network", "read /proc/self/maps", STACK_BOUNDS),
    of("time", "read /proc/self/maps", STACK_BOUNDS),
    of("core", "read /proc/self/maps", STACK_BOUNDS),
    of("ssh", "read /proc/self/maps", STACK_BOUNDS),
    of("console", "read /proc/self/maps", STACK_BOUNDS),
    of("core", "read /proc/self/cgroup", PROCESSORS),
    of("core", "read /proc/self/mountinfo", PROCESSORS),
    of("core", "read /sys/devices/system/cpu/online", PROCESSORS),
    of(
        "core",
        "read /sys/fs/cgroup/cpu/cpu.cfs_period_us",
        PROCESSORS,
    ),
    of(
        "core",
        "read /sys/fs/cgroup/cpu/cpu.cfs_quota_us",
        PROCESSORS,
    ),
    of(
        "core",
        "read /sys/fs/cgroup/memory/memory.limit_in_bytes",
        "the store of the projections asks for a limit of its memory; there is none",
    ),
    of("core", "make-folder /data", PID_1),
    of("core", "read /", PID_1),
];

/// Rules for paths that the recording does not need.
const NOT_RECORDED: &[Exception] = &[
    of("network", LOADER.path, THE_KERNEL_S),
    of("time", LOADER.path, THE_KERNEL_S),
    of("core", LOADER.path, THE_KERNEL_S),
    of("ssh", LOADER.path, THE_KERNEL_S),
    of("console", LOADER.path, THE_KERNEL_S),
    of("core", NAMES.path, MEMBERS),
];

fn recordings() -> Vec<Recording> {
    let read = |service, calls: &'static str, paths: &'static str| Recording {
        service,
        calls: calls.lines().map(made).collect(),
        paths: paths.lines().map(touched).collect(),
    };
    macro_rules! recording {
        ($name:literal) => {
            read(
                $name,
                include_str!(concat!("../../../data/calls-", $name, ".txt")),
                include_str!(concat!("../../../data/paths-", $name, ".txt")),
            )
        };
    }
    vec![
        recording!("network"),
        recording!("time"),
        recording!("core"),
        recording!("ssh"),
        recording!("console"),
    ]
}

fn made(line: &'static str) -> Made {
    let mut words = line.split(' ');
    let number = words.next().unwrap().parse().unwrap();
    let detail = words.nth(1).map(|detail| {
        let (key, value) = detail.split_once('=').unwrap();
        let hexadecimal = value.strip_prefix("0x");
        let value = hexadecimal.map_or_else(|| value.parse(), |hex| u64::from_str_radix(hex, 16));
        (key, value.unwrap())
    });
    Made {
        line,
        number,
        detail,
    }
}

fn touched(line: &'static str) -> Touched {
    let (deed, path) = line.split_once(' ').unwrap();
    Touched {
        line,
        deed,
        path: Path::new(path),
    }
}

fn exceptions(table: &[Exception], service: &str) -> BTreeSet<&'static str> {
    let ours = table.iter().filter(|one| one.service == service);
    ours.map(|one| one.what).collect()
}

/// Whether the filter lets it through.
fn allows(group: &Group, made: &Made) -> bool {
    let meets = |rule: &Rule| {
        let (argument, value) = made.detail.unwrap_or_default();
        assert_eq!(
            argument,
            rule.argument.to_string(),
            "not recorded: {}",
            made.line
        );
        value & rule.mask == rule.value
    };
    group.calls.iter().any(|call| match call {
        Call::Any(number) => *number == made.number,
        Call::When(number, rules) => *number == made.number && rules.iter().any(meets),
    })
}

/// Calls that no group allows.
fn not_allowed(groups: &[&Group], recording: &Recording) -> BTreeSet<&'static str> {
    let refused = |made: &&Made| !groups.iter().any(|group| allows(group, made));
    recording
        .calls
        .iter()
        .filter(refused)
        .map(|made| made.line)
        .collect()
}

/// Groups of which nothing was called.
fn not_called(groups: &[&Group], recording: &Recording) -> BTreeSet<&'static str> {
    let unseen = |group: &&&Group| !recording.calls.iter().any(|made| allows(group, made));
    groups
        .iter()
        .filter(unseen)
        .map(|group| group.name)
        .collect()
}

#[test]
fn each_service_s_calls_are_allowed_and_no_group_more() {
    for recording in recordings() {
        let name = recording.service;
        let groups = named(name).unwrap().calls;
        assert_eq!(
            not_allowed(groups, &recording),
            exceptions(DOES_WITHOUT, name),
            "{name}: a rule is missing, or an exception is not needed"
        );
        assert_eq!(
            not_called(groups, &recording),
            exceptions(UNSEEN, name),
            "{name}: a group is no longer needed, or is seen now"
        );
    }
}

#[test]
fn the_check_of_the_calls_can_fail() {
    for recording in recordings() {
        let name = recording.service;
        let groups = named(name).unwrap().calls;
        for (i, removed) in groups.iter().enumerate() {
            let mut less = groups.to_vec();
            less.remove(i);
            let is_unseen = exceptions(UNSEEN, name).contains(removed.name);
            assert!(
                is_unseen || not_allowed(&less, &recording) != not_allowed(groups, &recording),
                "{name} does as much without '{}'",
                removed.name
            );
        }
        let foreign = [
            &syscalls::TERMINAL,
            &syscalls::SET_CLOCK,
            &syscalls::NETWORK_SETTINGS,
        ];
        for more in foreign
            .iter()
            .filter(|f| groups.iter().all(|g| g.name != f.name))
        {
            let groups = [groups, &[*more]].concat();
            assert!(
                not_called(&groups, &recording).contains(more.name),
                "{name}"
            );
        }
    }
}

/// Landlock's rights that a deed needs at its path.
fn needs(deed: &str) -> BitFlags<AccessFs> {
    match deed {
        "run" => AccessFs::Execute | AccessFs::ReadFile,
        "read" => AccessFs::ReadFile.into(),
        "list" => AccessFs::ReadDir.into(),
        "write" => AccessFs::WriteFile.into(),
        "make" => AccessFs::MakeReg.into(),
        "make-folder" => AccessFs::MakeDir.into(),
        "make-socket" => AccessFs::MakeSock.into(),
        "remove" => AccessFs::RemoveFile.into(),
        "remove-folder" => AccessFs::RemoveDir.into(),
        "move" => AccessFs::Refer.into(),
        // Landlock does not restrict it in version 2; the addresses are checked below.
        "connect" => BitFlags::empty(),
        other => panic!("an unknown deed: {other}"),
    }
}

/// A rule as Landlock has it: a path and rights.
type Right = (&'static str, Access);

fn rights_of(service: &Service) -> Vec<Right> {
    service.reaches.iter().map(|r| (r.path, r.access)).collect()
}

/// Deeds that the rules do not reach.
fn not_reached(reaches: &[Right], recording: &Recording) -> BTreeSet<&'static str> {
    let refused = |touched: &&Touched| {
        let above = reaches
            .iter()
            .filter(|(path, _)| touched.path.starts_with(path));
        let have = above
            .map(|(path, access)| rights(*access, touched.path != Path::new(path)))
            .fold(BitFlags::empty(), |all, more| all | more);
        !have.contains(needs(touched.deed))
    };
    recording
        .paths
        .iter()
        .filter(refused)
        .map(|touched| touched.line)
        .collect()
}

/// Paths of rules without which, or with less than which, as much is reached.
fn not_needed(reaches: &[Right], recording: &Recording) -> BTreeSet<&'static str> {
    let reached = not_reached(reaches, recording);
    let lesser = |access: Access| match access {
        Access::Read => vec![],
        Access::Run | Access::Use => vec![Access::Read],
        Access::Own => vec![Access::Read, Access::Use],
    };
    let mut spare = BTreeSet::new();
    for (i, (path, access)) in reaches.iter().enumerate() {
        let others = || reaches.iter().enumerate().filter(move |(j, _)| *j != i);
        let others: Vec<Right> = others().map(|(_, right)| *right).collect();
        let less = lesser(*access).into_iter().map(|less| vec![(*path, less)]);
        for instead in less.chain([Vec::new()]) {
            if not_reached(&[others.clone(), instead].concat(), recording) == reached {
                spare.insert(*path);
            }
        }
    }
    spare
}

#[test]
fn each_service_reaches_what_it_opens_and_no_rule_more() {
    for recording in recordings() {
        let name = recording.service;
        let reaches = rights_of(named(name).unwrap());
        assert_eq!(
            not_reached(&reaches, &recording),
            exceptions(TURNED_AWAY, name),
            "{name}: a rule is missing, or an exception is not needed"
        );
        assert_eq!(
            not_needed(&reaches, &recording),
            exceptions(NOT_RECORDED, name),
            "{name}: a rule is no longer needed or gives too much, or is needed now"
        );
    }
}

#[test]
fn the_check_of_the_paths_can_fail() {
    for recording in recordings() {
        let name = recording.service;
        let reaches = rights_of(named(name).unwrap());
        for (i, (path, _)) in reaches.iter().enumerate() {
            let mut less = reaches.clone();
            less.remove(i);
            let is_known = exceptions(NOT_RECORDED, name).contains(path);
            let is_missed = not_reached(&less, &recording) != not_reached(&reaches, &recording);
            assert!(is_known || is_missed, "{name} opens as much without {path}");
        }
        let more = [reaches.clone(), vec![("/root", Access::Read)]].concat();
        assert!(not_needed(&more, &recording).contains("/root"), "{name}");
        // The same rule, but with more than it takes.
        let mut wider = reaches;
        let libraries = wider.iter_mut().find(|(path, _)| *path == LIBRARIES.path);
        libraries.unwrap().1 = Access::Own;
        assert!(
            not_needed(&wider, &recording).contains(LIBRARIES.path),
            "{name}"
        );
    }
}

/// Sockets that services call at: no rule of Landlock says so, the folders' owners do.
const CALLS_AT: &[(&str, &str)] = &[
    // Of `strongroom dev`, whose SSH door is in its own process.
    ("core", "/data/control.sock"),
    ("core", "/run/init.sock"),
    ("ssh", "/run/init.sock"),
    ("ssh", "/run/strongroom/control/control.sock"),
    ("console", "/run/init.sock"),
    ("console", "/run/strongroom/control/control.sock"),
    ("console", "/run/strongroom/control/threshold.sock"),
];

#[test]
fn who_calls_at_which_sockets() {
    let mut seen = Vec::new();
    for recording in recordings() {
        let connects = recording
            .paths
            .iter()
            .filter(|touched| touched.deed == "connect");
        seen.extend(connects.map(|touched| (recording.service, touched.path.to_str().unwrap())));
    }
    assert_eq!(seen, CALLS_AT);
}

/// Messages of netlink that change something (rtnetlink(7)).
const CHANGES: [u16; 6] = [
    libc::RTM_NEWLINK,
    libc::RTM_DELLINK,
    libc::RTM_NEWADDR,
    libc::RTM_DELADDR,
    libc::RTM_NEWROUTE,
    libc::RTM_NEWRULE,
];

/// The capability without which the kernel refuses the call (capabilities(7)).
fn capability_for(made: &Made) -> Option<Capability> {
    match (made.number, made.detail) {
        (libc::SYS_clock_adjtime, _) => Some(Capability::CAP_SYS_TIME),
        (libc::SYS_socket, Some((_, family))) if family == libc::AF_PACKET as u64 => {
            Some(Capability::CAP_NET_RAW)
        }
        (libc::SYS_bind, Some(("port", _))) => Some(Capability::CAP_NET_BIND_SERVICE),
        (libc::SYS_sendto, Some(("netlink", message)))
            if CHANGES.iter().any(|change| u64::from(*change) == message) =>
        {
            Some(Capability::CAP_NET_ADMIN)
        }
        _ => None,
    }
}

fn needed(recording: &Recording) -> BTreeSet<String> {
    let needed = recording.calls.iter().filter_map(capability_for);
    needed.map(|capability| capability.to_string()).collect()
}

#[test]
fn each_service_holds_the_capabilities_that_its_calls_need() {
    for recording in recordings() {
        let held = named(recording.service).unwrap().capabilities;
        let held: BTreeSet<_> = held.iter().map(|(one, _)| one.to_string()).collect();
        assert_eq!(held, needed(&recording), "{}", recording.service);
    }
}

#[test]
fn the_check_of_the_capabilities_can_fail() {
    let recordings = recordings();
    let seen: usize = recordings
        .iter()
        .map(|recording| needed(recording).len())
        .sum();
    assert_eq!(seen, 5, "each is seen where it is needed");
    for recording in recordings {
        let mut silent = recording.clone();
        silent.calls.retain(|made| capability_for(made).is_none());
        assert_eq!(needed(&silent), BTreeSet::new());
    }
}
