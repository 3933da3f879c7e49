//! The table itself, and the table beside what the services were seen to do ([`recorded`]).

mod recorded;

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
    assert_eq!(serving, ["core", "ssh"]);
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
