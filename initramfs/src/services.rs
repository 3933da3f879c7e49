//! The services: which programs run, as whom, and everything each of them may do, with the reason
//! beside every entry. What is not in this table is not allowed.
//!
//! Started from first to last, ended from last to first.

use crate::syscalls::{self, Group};
use caps::Capability;

/// User and group of the daemon, owner of the data.
pub(crate) const CORE_USER: u32 = 900;
/// User and group of the serial console's dialogue.
pub(crate) const CONSOLE_USER: u32 = 901;
const NETWORK_USER: u32 = 902;
const TIME_USER: u32 = 903;
/// Group of those who may speak to the control sockets.
pub(crate) const CONTROL_GROUP: u32 = 910;

/// Where a service's standard streams go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Streams {
    /// Input is empty, output goes to PID 1's log.
    Log,
    /// The serial console, as controlling terminal of a session of its own.
    Terminal(&'static str),
}

/// What a service may do with files below a path (or with that file).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    /// Run this one file.
    Run,
    /// Read and write an existing device or setting, make nothing.
    Use,
    /// Everything but running and making devices.
    Own,
}

/// One rule for Landlock.
#[derive(Debug)]
pub(crate) struct Reach {
    pub(crate) path: &'static str,
    pub(crate) access: Access,
    pub(crate) reason: &'static str,
}

/// One program that PID 1 keeps running.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) name: &'static str,
    pub(crate) program: &'static str,
    pub(crate) arguments: &'static [&'static str],
    /// User and group have the same number.
    pub(crate) user: u32,
    /// Further groups.
    pub(crate) groups: &'static [u32],
    pub(crate) streams: Streams,
    /// Capabilities, each with its reason.
    pub(crate) capabilities: &'static [(Capability, &'static str)],
    /// Groups of system calls; their reasons stand with them.
    pub(crate) calls: &'static [&'static Group],
    pub(crate) reaches: &'static [Reach],
    /// Open files and sockets at most.
    pub(crate) files_max: u64,
    /// Threads at most.
    pub(crate) threads_max: u64,
    /// Bytes of memory that may be pinned.
    pub(crate) locked_bytes_max: u64,
    /// Whom the kernel ends first when memory runs out: -1000 never, 1000 first.
    pub(crate) out_of_memory: i32,
}

const fn reach(path: &'static str, access: Access, reason: &'static str) -> Reach {
    Reach {
        path,
        access,
        reason,
    }
}

const LOADER: Reach = reach(
    "/lib64/ld-linux-x86-64.so.2",
    Access::Run,
    "the loader of dynamic programs, which the kernel starts with them",
);
const LIBRARIES: Reach = reach(
    "/usr",
    Access::Read,
    "libraries and time zones, all verified",
);
const NAMES: Reach = reach("/etc", Access::Read, "users, resolver and time zone");
const RESOLVER: Reach = reach(
    "/run/strongroom/network",
    Access::Read,
    "resolv.conf of /etc points here; the state of the interfaces is shown",
);

/// All services.
pub(crate) const SERVICES: &[Service] = &[
    Service {
        name: "network",
        program: "/usr/bin/strongroom-network",
        arguments: &[],
        user: NETWORK_USER,
        groups: &[],
        streams: Streams::Log,
        capabilities: &[
            (
                Capability::CAP_NET_ADMIN,
                "sets addresses, routes and links",
            ),
            (Capability::CAP_NET_RAW, "DHCP before there is an address"),
            (
                Capability::CAP_NET_BIND_SERVICE,
                "DHCP's client port is not ours to choose",
            ),
        ],
        calls: &[
            &syscalls::START,
            &syscalls::MEMORY,
            &syscalls::PROCESS,
            &syscalls::THREADS,
            &syscalls::CLOCKS,
            &syscalls::READ_FILES,
            &syscalls::WRITE_STREAMS,
            &syscalls::WRITE_FILES,
            &syscalls::EVENTS,
            &syscalls::TALK,
            &syscalls::NON_BLOCKING,
            &syscalls::LOCAL_SOCKETS,
            &syscalls::INTERNET_SOCKETS,
            &syscalls::NETWORK_SETTINGS,
        ],
        reaches: &[
            reach(
                "/usr/bin/strongroom-network",
                Access::Run,
                "the program itself",
            ),
            LOADER,
            LIBRARIES,
            NAMES,
            reach(
                "/sys",
                Access::Read,
                "interfaces by their place on the PCI bus",
            ),
            reach(
                "/proc/sys/net",
                Access::Use,
                "switches of IPv6 for each interface",
            ),
            reach(
                "/run/strongroom/settings",
                Access::Read,
                "what the daemon wants configured",
            ),
            reach(
                "/run/strongroom/network",
                Access::Own,
                "its state and resolv.conf",
            ),
        ],
        files_max: 256,
        threads_max: 64,
        locked_bytes_max: 0,
        out_of_memory: 0,
    },
    Service {
        name: "time",
        program: "/usr/bin/strongroom-time",
        arguments: &[],
        user: TIME_USER,
        groups: &[],
        streams: Streams::Log,
        capabilities: &[(Capability::CAP_SYS_TIME, "sets the clock")],
        calls: &[
            &syscalls::START,
            &syscalls::MEMORY,
            &syscalls::PROCESS,
            &syscalls::THREADS,
            &syscalls::CLOCKS,
            &syscalls::SET_CLOCK,
            &syscalls::READ_FILES,
            &syscalls::WRITE_STREAMS,
            &syscalls::WRITE_FILES,
            &syscalls::EVENTS,
            &syscalls::TALK,
            &syscalls::MANY_MESSAGES,
            &syscalls::NON_BLOCKING,
            &syscalls::LOCAL_SOCKETS,
            &syscalls::INTERNET_SOCKETS,
        ],
        reaches: &[
            reach(
                "/usr/bin/strongroom-time",
                Access::Run,
                "the program itself",
            ),
            LOADER,
            LIBRARIES,
            NAMES,
            RESOLVER,
            reach(
                "/run/strongroom/settings",
                Access::Read,
                "which servers are to be asked",
            ),
            reach("/run/strongroom/time", Access::Own, "its state"),
        ],
        files_max: 256,
        threads_max: 64,
        locked_bytes_max: 0,
        out_of_memory: 0,
    },
    Service {
        name: "core",
        program: "/usr/bin/strongroom",
        arguments: &[
            "serve",
            "--console-uid=901",
            "--network=/run/strongroom/settings/network.json",
            "--setup=/run/strongroom/setup",
        ],
        user: CORE_USER,
        groups: &[CONTROL_GROUP],
        streams: Streams::Log,
        capabilities: &[],
        calls: &[
            &syscalls::START,
            &syscalls::MEMORY,
            &syscalls::PROCESS,
            &syscalls::THREADS,
            &syscalls::CLOCKS,
            &syscalls::READ_FILES,
            &syscalls::WRITE_STREAMS,
            &syscalls::WRITE_FILES,
            &syscalls::KEEP_STORES,
            &syscalls::EVENTS,
            &syscalls::TALK,
            &syscalls::SERVE,
            &syscalls::NON_BLOCKING,
            &syscalls::LOCAL_SOCKETS,
            &syscalls::INTERNET_SOCKETS,
        ],
        reaches: &[
            reach("/usr/bin/strongroom", Access::Run, "the program itself"),
            LOADER,
            LIBRARIES,
            NAMES,
            reach(
                "/run/strongroom",
                Access::Read,
                "state of network and time, set-up file",
            ),
            reach("/run/strongroom/control", Access::Own, "its control socket"),
            reach(
                "/run/strongroom/settings",
                Access::Own,
                "settings for network and time",
            ),
            reach("/data", Access::Own, "ledger, stores and keys"),
            reach(
                "/usr/share/zoneinfo",
                Access::Read,
                "whether a time zone exists",
            ),
        ],
        // As many clients as KMIP admits, and the cluster.
        files_max: 16_384,
        // The runtime's pool for blocking work has 512 threads at most.
        threads_max: 1_024,
        locked_bytes_max: 0,
        out_of_memory: -900,
    },
    Service {
        name: "console",
        program: "/usr/bin/strongroom",
        arguments: &["console", "--init=/run/init.sock"],
        user: CONSOLE_USER,
        groups: &[CONTROL_GROUP],
        streams: Streams::Terminal("/dev/ttyS0"),
        capabilities: &[],
        calls: &[
            &syscalls::START,
            &syscalls::MEMORY,
            &syscalls::PROCESS,
            &syscalls::THREADS,
            &syscalls::CLOCKS,
            &syscalls::READ_FILES,
            &syscalls::WRITE_STREAMS,
            &syscalls::EVENTS,
            &syscalls::TALK,
            &syscalls::TERMINAL,
            &syscalls::NON_BLOCKING,
            &syscalls::LOCAL_SOCKETS,
        ],
        reaches: &[
            reach("/usr/bin/strongroom", Access::Run, "the program itself"),
            LOADER,
            LIBRARIES,
            NAMES,
            reach(
                "/run/strongroom/control",
                Access::Use,
                "the daemon's control socket",
            ),
            RESOLVER,
            reach(
                "/dev/ttyS0",
                Access::Use,
                "its terminal, when opened by name",
            ),
        ],
        files_max: 64,
        threads_max: 64,
        locked_bytes_max: 0,
        out_of_memory: -500,
    },
];

/// The service of this name.
pub(crate) fn named(name: &str) -> Option<&'static Service> {
    SERVICES.iter().find(|service| service.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syscalls::{Call, FATAL};
    use std::collections::BTreeSet;

    #[test]
    fn every_entry_has_a_reason_and_stands_once() {
        for service in SERVICES {
            let paths: BTreeSet<_> = service.reaches.iter().map(|r| r.path).collect();
            assert_eq!(paths.len(), service.reaches.len(), "{}", service.name);
            assert!(
                service
                    .reaches
                    .iter()
                    .all(|r| r.reason.len() > 5 && r.path.starts_with('/'))
            );
            assert!(
                service
                    .capabilities
                    .iter()
                    .all(|(_, reason)| reason.len() > 5)
            );
            let groups: BTreeSet<_> = service.calls.iter().map(|group| group.name).collect();
            assert_eq!(groups.len(), service.calls.len(), "{}", service.name);
            assert!(
                service
                    .calls
                    .iter()
                    .all(|g| g.reason.len() > 5 && !g.calls.is_empty())
            );
        }
    }

    #[test]
    fn users_and_names_differ_and_nobody_is_root() {
        let users: BTreeSet<_> = SERVICES.iter().map(|s| s.user).collect();
        let names: BTreeSet<_> = SERVICES.iter().map(|s| s.name).collect();
        assert_eq!((users.len(), names.len()), (SERVICES.len(), SERVICES.len()));
        assert!(!users.contains(&0) && SERVICES.iter().all(|s| !s.groups.contains(&0)));
    }

    #[test]
    fn a_service_runs_its_own_program_and_the_loader_only() {
        for service in SERVICES {
            let runs: BTreeSet<_> = service
                .reaches
                .iter()
                .filter(|r| r.access == Access::Run)
                .map(|r| r.path)
                .collect();
            assert_eq!(
                runs,
                BTreeSet::from([service.program, LOADER.path]),
                "{}",
                service.name
            );
        }
    }

    #[test]
    fn only_the_daemon_reaches_the_data() {
        let reaching = |s: &&Service| s.reaches.iter().any(|r| "/data".starts_with(r.path));
        let names: Vec<_> = SERVICES.iter().filter(reaching).map(|s| s.name).collect();
        assert_eq!(names, ["core"]);
    }

    #[test]
    fn capabilities_are_those_of_network_and_time() {
        let of = |name| named(name).unwrap().capabilities.len();
        assert_eq!(["network", "time", "core", "console"].map(of), [3, 1, 0, 0]);
    }

    #[test]
    fn the_console_has_no_internet_and_only_doors_listen() {
        let has = |name, group: &Group| {
            named(name)
                .unwrap()
                .calls
                .iter()
                .any(|g| g.name == group.name)
        };
        assert!(!has("console", &syscalls::INTERNET_SOCKETS));
        assert!(!has("console", &syscalls::NETWORK_SETTINGS));
        let serving: Vec<_> = SERVICES
            .iter()
            .map(|s| s.name)
            .filter(|n| has(n, &syscalls::SERVE))
            .collect();
        assert_eq!(serving, ["core"]);
    }

    #[test]
    fn no_group_allows_what_is_fatal() {
        let fatal: BTreeSet<_> = FATAL.calls.iter().map(|call| call.number()).collect();
        assert_eq!(fatal.len(), FATAL.calls.len());
        for call in SERVICES
            .iter()
            .flat_map(|s| s.calls)
            .flat_map(|group| group.calls)
        {
            assert!(!fatal.contains(&call.number()), "{call:?}");
        }
        let clone = syscalls::THREADS
            .calls
            .iter()
            .find(|c| c.number() == libc::SYS_clone);
        assert!(
            matches!(clone, Some(Call::When(..))),
            "clone must not make processes"
        );
    }

    /// Calls that were recorded while the filter was off, and what they become under it.
    const TAKES_THE_OLDER_WAY: &[(&str, &str)] = &[(
        "clone3",
        "answered with ENOSYS, libc then uses clone, whose flags can be read",
    )];

    /// Groups of the daemon of which the recording has no call.
    const UNSEEN: &[(&str, &str)] = &[
        (
            "clocks",
            "the clock is read without a call where the processor allows; waiting is rare",
        ),
        (
            "non-blocking",
            "sockets of the standard library, at the control socket",
        ),
    ];

    /// `data/calls-core.txt`: number and name of each call that the daemon made on a development
    /// machine without filter, recorded by the procedure in README.md.
    fn recorded() -> Vec<(libc::c_long, &'static str)> {
        let lines = include_str!("../data/calls-core.txt").lines();
        lines
            .map(|line| line.split_once(' ').unwrap())
            .map(|(number, name)| (number.parse().unwrap(), name))
            .collect()
    }

    /// Names of the calls that no group allows.
    fn not_allowed(groups: &[&Group]) -> Vec<&'static str> {
        let allowed: BTreeSet<_> = groups
            .iter()
            .flat_map(|group| group.calls)
            .map(|call| call.number())
            .collect();
        let missing = recorded()
            .into_iter()
            .filter(|(number, _)| !allowed.contains(number));
        missing.map(|(_, name)| name).collect()
    }

    /// Names of the groups of which nothing was called.
    fn not_called(groups: &[&Group]) -> Vec<&'static str> {
        let called: BTreeSet<_> = recorded().into_iter().map(|(number, _)| number).collect();
        let unseen = |group: &&&Group| group.calls.iter().all(|c| !called.contains(&c.number()));
        groups
            .iter()
            .filter(unseen)
            .map(|group| group.name)
            .collect()
    }

    #[test]
    fn the_daemon_s_list_allows_what_it_does_and_no_group_more() {
        let groups = named("core").unwrap().calls;
        let older: Vec<_> = TAKES_THE_OLDER_WAY.iter().map(|(name, _)| *name).collect();
        assert_eq!(not_allowed(groups), older, "a rule is missing");
        let unseen: Vec<_> = UNSEEN.iter().map(|(name, _)| *name).collect();
        assert_eq!(
            not_called(groups),
            unseen,
            "a group is no longer needed, or is seen now"
        );
    }

    #[test]
    fn the_check_of_the_list_can_fail() {
        let groups = named("core").unwrap().calls;
        for (i, removed) in groups.iter().enumerate() {
            let mut less = groups.to_vec();
            less.remove(i);
            let is_unseen = UNSEEN.iter().any(|(name, _)| *name == removed.name);
            let shared = removed.calls.iter().all(|call| {
                less.iter()
                    .flat_map(|g| g.calls)
                    .any(|other| other.number() == call.number())
            });
            assert!(is_unseen || shared || not_allowed(&less) != not_allowed(groups));
        }
        let more = [groups, &[&syscalls::TERMINAL, &syscalls::SET_CLOCK]].concat();
        assert!(not_called(&more).contains(&"set the clock"));
    }
}
