//! System calls in groups, each with its reason; a service's list (`services.rs`) is made of
//! groups, so that a reader sees what a service may do and not how libc does it.
//!
//! What no group names answers "no such call" (ENOSYS): libraries then take the older way, and
//! the older way is the one that can be checked (`clone3` hides its flags behind a pointer, the
//! filter cannot read them; `clone` shows them). What [`FATAL`] names ends the process at once:
//! no part of the appliance asks for it, so whoever asks is not ours.

use libc::{c_int, c_long};

/// One call, as it is allowed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Call {
    /// With any arguments.
    Any(c_long),
    /// When, for one of the rules, `argument & mask == value` holds.
    When(c_long, &'static [Rule]),
}

/// A condition on one argument, by position from 0.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rule {
    pub(crate) argument: u8,
    pub(crate) mask: u64,
    pub(crate) value: u64,
}

/// Calls that are allowed for one reason.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) name: &'static str,
    pub(crate) reason: &'static str,
    pub(crate) calls: &'static [Call],
}

impl Call {
    /// The kernel's number.
    pub(crate) fn number(self) -> c_long {
        match self {
            Self::Any(number) | Self::When(number, _) => number,
        }
    }
}

/// The argument is this number. The kernel hands over 64 bits; those above an `int` are noise.
const fn is(argument: u8, value: c_int) -> Rule {
    Rule {
        argument,
        mask: u32::MAX as u64,
        value: bits_of(value),
    }
}

const fn without(argument: u8, bits: c_int) -> Rule {
    Rule {
        argument,
        mask: bits_of(bits),
        value: 0,
    }
}

const fn with(argument: u8, bits: c_int) -> Rule {
    Rule {
        argument,
        mask: bits_of(bits),
        value: bits_of(bits),
    }
}

#[expect(
    clippy::cast_sign_loss,
    reason = "flags and families of the kernel's headers, all positive"
)]
const fn bits_of(value: c_int) -> u64 {
    value as u64
}

/// The ioctl is this one.
const fn request(number: libc::Ioctl) -> Rule {
    Rule {
        argument: 1,
        mask: u32::MAX as u64,
        value: number,
    }
}

/// Never both writable and executable, so that data cannot become a program.
const WRITE_XOR_EXECUTE: &[Rule] = &[without(2, libc::PROT_WRITE), without(2, libc::PROT_EXEC)];

pub(crate) const START: Group = Group {
    name: "start",
    reason: "exec of the program by PID 1's `confine`, and what the loader and libc do before main",
    calls: &[
        Call::Any(libc::SYS_execve),
        Call::Any(libc::SYS_access),
        Call::Any(libc::SYS_arch_prctl),
        Call::Any(libc::SYS_prlimit64),
        Call::Any(libc::SYS_set_tid_address),
        Call::Any(libc::SYS_set_robust_list),
        Call::Any(libc::SYS_rseq),
        Call::Any(libc::SYS_sched_getaffinity),
    ],
};

pub(crate) const MEMORY: Group = Group {
    name: "memory",
    reason: "the heap, stacks and libraries; nothing writable and executable at once",
    calls: &[
        Call::Any(libc::SYS_brk),
        Call::When(libc::SYS_mmap, WRITE_XOR_EXECUTE),
        Call::When(libc::SYS_mprotect, WRITE_XOR_EXECUTE),
        Call::Any(libc::SYS_mremap),
        Call::Any(libc::SYS_munmap),
        Call::Any(libc::SYS_madvise),
    ],
};

pub(crate) const PROCESS: Group = Group {
    name: "process",
    reason: "the process itself: signals, names, randomness, its end (abort sends to itself)",
    calls: &[
        Call::Any(libc::SYS_rt_sigaction),
        Call::Any(libc::SYS_rt_sigprocmask),
        Call::Any(libc::SYS_rt_sigreturn),
        Call::Any(libc::SYS_sigaltstack),
        Call::Any(libc::SYS_restart_syscall),
        Call::When(
            libc::SYS_prctl,
            &[
                is(0, libc::PR_SET_NAME),
                is(0, libc::PR_SET_DUMPABLE),
                is(0, libc::PR_GET_DUMPABLE),
            ],
        ),
        Call::Any(libc::SYS_getpid),
        Call::Any(libc::SYS_gettid),
        Call::Any(libc::SYS_getuid),
        Call::Any(libc::SYS_geteuid),
        Call::Any(libc::SYS_getrandom),
        Call::Any(libc::SYS_tgkill),
        Call::Any(libc::SYS_exit),
        Call::Any(libc::SYS_exit_group),
    ],
};

pub(crate) const THREADS: Group = Group {
    name: "threads",
    reason: "threads of the own process; no second process, no namespaces",
    calls: &[
        Call::When(
            libc::SYS_clone,
            &[with(0, libc::CLONE_THREAD | libc::CLONE_VM)],
        ),
        Call::Any(libc::SYS_futex),
        Call::Any(libc::SYS_sched_yield),
    ],
};

pub(crate) const CLOCKS: Group = Group {
    name: "clocks",
    reason: "time is read in the process; these are the fall-back and the waiting",
    calls: &[
        Call::Any(libc::SYS_clock_gettime),
        Call::Any(libc::SYS_clock_getres),
        Call::Any(libc::SYS_clock_nanosleep),
        Call::Any(libc::SYS_nanosleep),
    ],
};

pub(crate) const SET_CLOCK: Group = Group {
    name: "set the clock",
    reason: "time follows the configured servers; the capability is CAP_SYS_TIME",
    calls: &[Call::Any(libc::SYS_clock_adjtime)],
};

pub(crate) const READ_FILES: Group = Group {
    name: "read files",
    reason: "libraries, settings, time zones; which ones is Landlock's list",
    calls: &[
        Call::Any(libc::SYS_openat),
        Call::Any(libc::SYS_close),
        Call::Any(libc::SYS_read),
        Call::Any(libc::SYS_readv),
        Call::Any(libc::SYS_pread64),
        Call::Any(libc::SYS_lseek),
        Call::Any(libc::SYS_fstat),
        Call::Any(libc::SYS_newfstatat),
        Call::Any(libc::SYS_statx),
        Call::Any(libc::SYS_getdents64),
        Call::Any(libc::SYS_readlink),
        Call::Any(libc::SYS_getcwd),
        Call::Any(libc::SYS_fcntl),
    ],
};

pub(crate) const WRITE_STREAMS: Group = Group {
    name: "write streams",
    reason: "the log on stderr, sockets, and files that may be written",
    calls: &[Call::Any(libc::SYS_write), Call::Any(libc::SYS_writev)],
};

pub(crate) const WRITE_FILES: Group = Group {
    name: "write files",
    reason: "a file is written beside the old one, flushed and renamed",
    calls: &[
        Call::Any(libc::SYS_pwrite64),
        Call::Any(libc::SYS_fsync),
        Call::Any(libc::SYS_fdatasync),
        Call::Any(libc::SYS_ftruncate),
        Call::Any(libc::SYS_rename),
        Call::Any(libc::SYS_unlink),
        Call::Any(libc::SYS_mkdir),
        Call::Any(libc::SYS_chmod),
        Call::Any(libc::SYS_fchmod),
    ],
};

pub(crate) const KEEP_STORES: Group = Group {
    name: "keep stores",
    reason: "the ledger and the two databases: locks, room, folders, ordered write-out",
    calls: &[
        Call::Any(libc::SYS_flock),
        Call::Any(libc::SYS_fallocate),
        Call::Any(libc::SYS_sync_file_range),
        Call::Any(libc::SYS_statfs),
        Call::Any(libc::SYS_fstatfs),
        Call::Any(libc::SYS_rmdir),
        Call::Any(libc::SYS_unlinkat),
        Call::Any(libc::SYS_copy_file_range),
        Call::Any(libc::SYS_sendfile),
    ],
};

pub(crate) const EVENTS: Group = Group {
    name: "events",
    reason: "one thread waits for many sockets",
    calls: &[
        Call::Any(libc::SYS_epoll_create1),
        Call::Any(libc::SYS_epoll_ctl),
        Call::Any(libc::SYS_epoll_wait),
        Call::Any(libc::SYS_eventfd2),
        Call::Any(libc::SYS_poll),
        Call::Any(libc::SYS_ppoll),
        Call::When(libc::SYS_socketpair, &[is(0, libc::AF_UNIX)]),
    ],
};

pub(crate) const TALK: Group = Group {
    name: "talk",
    reason: "what is done with a socket that one of the families below gave",
    calls: &[
        Call::Any(libc::SYS_connect),
        Call::Any(libc::SYS_bind),
        Call::Any(libc::SYS_getsockname),
        Call::Any(libc::SYS_getpeername),
        Call::Any(libc::SYS_getsockopt),
        Call::Any(libc::SYS_setsockopt),
        Call::Any(libc::SYS_sendto),
        Call::Any(libc::SYS_sendmsg),
        Call::Any(libc::SYS_recvfrom),
        Call::Any(libc::SYS_recvmsg),
        Call::Any(libc::SYS_shutdown),
    ],
};

pub(crate) const SERVE: Group = Group {
    name: "serve",
    reason: "doors that others connect to",
    calls: &[Call::Any(libc::SYS_listen), Call::Any(libc::SYS_accept4)],
};

pub(crate) const RESOLVE: Group = Group {
    name: "resolve",
    reason: "the C library asks for both address families at once, how long an answer is, and for \
             the domain in the host's name",
    calls: &[
        Call::Any(libc::SYS_sendmmsg),
        Call::When(libc::SYS_ioctl, &[request(libc::FIONREAD)]),
        Call::Any(libc::SYS_uname),
    ],
};

pub(crate) const LOCAL_SOCKETS: Group = Group {
    name: "local sockets",
    reason: "the control sockets of the daemon and of PID 1",
    calls: &[Call::When(libc::SYS_socket, &[is(0, libc::AF_UNIX)])],
};

pub(crate) const INTERNET_SOCKETS: Group = Group {
    name: "internet sockets",
    reason: "TCP and UDP, no raw packets",
    calls: &[Call::When(
        libc::SYS_socket,
        &[is(0, libc::AF_INET), is(0, libc::AF_INET6)],
    )],
};

pub(crate) const NETWORK_SETTINGS: Group = Group {
    name: "network settings",
    reason: "netlink sets addresses and routes, packet sockets carry DHCP before there is one",
    calls: &[Call::When(
        libc::SYS_socket,
        &[is(0, libc::AF_NETLINK), is(0, libc::AF_PACKET)],
    )],
};

pub(crate) const TERMINAL: Group = Group {
    name: "terminal",
    reason: "echo off for passphrases, how large a screen is, the terminal again as it was",
    calls: &[Call::When(
        libc::SYS_ioctl,
        &[
            request(libc::TCGETS),
            request(libc::TCSETS),
            request(libc::TIOCGWINSZ),
        ],
    )],
};

pub(crate) const NON_BLOCKING: Group = Group {
    name: "non-blocking",
    reason: "the standard library switches sockets with an ioctl",
    calls: &[Call::When(libc::SYS_ioctl, &[request(libc::FIONBIO)])],
};

/// Ends the process at once, whatever a group says.
pub(crate) const FATAL: Group = Group {
    name: "fatal",
    reason: "looking into processes, changing the kernel, other roots, other users: never ours",
    calls: &[
        Call::Any(libc::SYS_ptrace),
        Call::Any(libc::SYS_process_vm_readv),
        Call::Any(libc::SYS_process_vm_writev),
        Call::Any(libc::SYS_process_madvise),
        Call::Any(libc::SYS_kcmp),
        Call::Any(libc::SYS_pidfd_getfd),
        Call::Any(libc::SYS_bpf),
        Call::Any(libc::SYS_perf_event_open),
        Call::Any(libc::SYS_userfaultfd),
        Call::Any(libc::SYS_io_uring_setup),
        Call::Any(libc::SYS_io_uring_enter),
        Call::Any(libc::SYS_io_uring_register),
        Call::Any(libc::SYS_init_module),
        Call::Any(libc::SYS_finit_module),
        Call::Any(libc::SYS_delete_module),
        Call::Any(libc::SYS_kexec_load),
        Call::Any(libc::SYS_kexec_file_load),
        Call::Any(libc::SYS_mount),
        Call::Any(libc::SYS_umount2),
        Call::Any(libc::SYS_move_mount),
        Call::Any(libc::SYS_open_tree),
        Call::Any(libc::SYS_fsopen),
        Call::Any(libc::SYS_fsmount),
        Call::Any(libc::SYS_mount_setattr),
        Call::Any(libc::SYS_pivot_root),
        Call::Any(libc::SYS_chroot),
        Call::Any(libc::SYS_unshare),
        Call::Any(libc::SYS_setns),
        Call::Any(libc::SYS_swapon),
        Call::Any(libc::SYS_swapoff),
        Call::Any(libc::SYS_reboot),
        Call::Any(libc::SYS_iopl),
        Call::Any(libc::SYS_ioperm),
        Call::Any(libc::SYS_modify_ldt),
        Call::Any(libc::SYS_personality),
        Call::Any(libc::SYS_acct),
        Call::Any(libc::SYS_quotactl),
        Call::Any(libc::SYS_syslog),
        Call::Any(libc::SYS_add_key),
        Call::Any(libc::SYS_request_key),
        Call::Any(libc::SYS_keyctl),
        Call::Any(libc::SYS_open_by_handle_at),
        Call::Any(libc::SYS_name_to_handle_at),
        Call::Any(libc::SYS_setuid),
        Call::Any(libc::SYS_setgid),
        Call::Any(libc::SYS_setresuid),
        Call::Any(libc::SYS_setresgid),
        Call::Any(libc::SYS_setgroups),
        Call::Any(libc::SYS_capset),
        Call::Any(libc::SYS_mknod),
        Call::Any(libc::SYS_mknodat),
        Call::Any(libc::SYS_execveat),
        Call::Any(libc::SYS_memfd_create),
        Call::Any(libc::SYS_memfd_secret),
    ],
};
