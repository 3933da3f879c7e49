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
/// User and group of the SSH door.
pub(crate) const SSH_USER: u32 = 904;
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

/// One rule for Landlock. What it does not restrict in version 2 has none: to connect to a socket
/// (owners, groups and modes decide), to look at a file's facts, to read a link.
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
const NAMES: Reach = reach("/etc", Access::Read, "how names of hosts are resolved");
const RESOLVER: Reach = reach(
    "/run/strongroom/network",
    Access::Read,
    "resolv.conf of /etc points here; status.json has the time servers that DHCP named",
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
            &syscalls::CLOCKS,
            &syscalls::READ_FILES,
            &syscalls::WRITE_STREAMS,
            &syscalls::WRITE_FILES,
            &syscalls::EVENTS,
            &syscalls::TALK,
            &syscalls::NON_BLOCKING,
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
            &syscalls::RESOLVE,
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
            "--ssh-uid=904",
            "--init=/run/init.sock",
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
            &syscalls::RESOLVE,
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
                "the set-up file, what time servers did; resolv.conf of /etc points here",
            ),
            reach("/run/strongroom/control", Access::Own, "its control socket"),
            reach(
                "/run/strongroom/settings",
                Access::Own,
                "settings for network and time",
            ),
            reach("/data", Access::Own, "ledger, stores and keys"),
        ],
        // As many clients as KMIP admits, and the cluster.
        files_max: 16_384,
        // The runtime's pool for blocking work has 512 threads at most.
        threads_max: 1_024,
        locked_bytes_max: 0,
        out_of_memory: -900,
    },
    Service {
        name: "ssh",
        program: "/usr/bin/strongroom",
        arguments: &["ssh", "--init=/run/init.sock"],
        user: SSH_USER,
        groups: &[CONTROL_GROUP],
        streams: Streams::Log,
        capabilities: &[(
            Capability::CAP_NET_BIND_SERVICE,
            "SSH is at port 22, below 1024",
        )],
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
            &syscalls::SERVE,
            &syscalls::LOCAL_SOCKETS,
            &syscalls::INTERNET_SOCKETS,
        ],
        reaches: &[
            reach("/usr/bin/strongroom", Access::Run, "the program itself"),
            LOADER,
            LIBRARIES,
        ],
        files_max: 256,
        // A session has a thread of its own, and one that asks the node for it.
        threads_max: 256,
        locked_bytes_max: 0,
        out_of_memory: 0,
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
            &syscalls::LOCAL_SOCKETS,
        ],
        reaches: &[
            reach("/usr/bin/strongroom", Access::Run, "the program itself"),
            LOADER,
            LIBRARIES,
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
mod tests;
