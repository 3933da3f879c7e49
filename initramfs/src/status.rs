//! What `{"ask":"status"}` answers: nothing is quoted from the tables where the kernel can be
//! asked instead.

use crate::hardening::Checked;
use crate::phases::Facts;
use crate::self_test::State;
use crate::services::Reach;
use crate::supervise::Run;
use crate::syscalls::Group;
use crate::watchdog::Watchdog;
use serde_json::{Value, json};
use std::fs;

/// The whole answer.
pub(crate) fn report(facts: &Facts, runs: &[Run], test: &State, settings: Vec<Checked>) -> Value {
    let self_test = serde_json::to_value(test).unwrap_or(Value::Null);
    json!({
        "phases": facts.phases,
        "services": runs.iter().map(service).collect::<Vec<_>>(),
        "processes": processes(),
        "listening": listening(),
        "core_dumps": core_dumps(),
        "root": {
            "slot": facts.slot,
            "disk": facts.disk,
            "roothash": facts.root_hash,
            "verified": true,
        },
        "secure_boot": facts.secure_boot,
        "lockdown": facts.lockdown,
        "modules": { "loaded": facts.modules, "closed": true },
        "data": facts.data,
        "set_up_file": facts.set_up_from,
        "self_test": self_test,
        "watchdog": Watchdog::status(),
        "settings": settings,
        "mounts": mounts(),
        "memory": memory(&fs::read_to_string("/proc/meminfo").unwrap_or_default()),
    })
}

/// A service as the kernel sees it.
fn service(run: &Run) -> Value {
    let status = run
        .pid
        .and_then(|pid| fs::read_to_string(format!("/proc/{pid}/status")).ok());
    let status = status.unwrap_or_default();
    let capabilities = capabilities(field(&status, "CapEff:"));
    let is_filtered = field(&status, "Seccomp:") == "2";
    let state = match (run.pid, is_filtered) {
        (None, _) => "waiting",
        // `confine` enters Landlock before the filter and starts the program after it.
        (Some(_), false) => "starting",
        (Some(_), true) => "running",
    };
    json!({
        "name": run.service.name,
        "pid": run.pid.map(|pid| pid.as_raw()),
        "state": state,
        "restarts": run.restarts,
        "last_end": run.last_end,
        "last_words": run.last_words,
        "user": field(&status, "Uid:").parse::<u32>().ok(),
        "wanted_user": run.service.user,
        "capabilities": capabilities,
        "no_new_privileges": field(&status, "NoNewPrivs:") == "1",
        "seccomp": seccomp(&status),
        "landlock": is_filtered,
        "reaches": run.service.reaches.iter().map(reach).collect::<Vec<_>>(),
        "calls": run.service.calls.iter().map(|group| calls(group)).collect::<Vec<_>>(),
        "memory_kib": field(&status, "VmRSS:").parse::<u64>().ok(),
    })
}

fn reach(reach: &Reach) -> Value {
    let access = format!("{:?}", reach.access).to_lowercase();
    json!({ "path": reach.path, "access": access, "reason": reach.reason })
}

fn calls(group: &Group) -> Value {
    json!({ "group": group.name, "reason": group.reason })
}

/// First word behind the name of a field.
fn field<'a>(status: &'a str, name: &str) -> &'a str {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_ascii_whitespace().next())
        .unwrap_or_default()
}

/// Every process that is no thread of the kernel, as the kernel sees it: none may be here that is
/// not in the table of services, but PID 1 itself.
fn processes() -> Vec<Value> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let mut numbers: Vec<u32> = entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    numbers.sort_unstable();
    numbers.into_iter().filter_map(process).collect()
}

/// None for a thread of the kernel, which has no memory of its own, and for what has just ended.
fn process(number: u32) -> Option<Value> {
    let status = fs::read_to_string(format!("/proc/{number}/status")).ok()?;
    let memory = field(&status, "VmRSS:").parse::<u64>().ok()?;
    let program = fs::read_link(format!("/proc/{number}/exe")).ok();
    Some(json!({
        "pid": number,
        "program": program,
        "user": field(&status, "Uid:").parse::<u32>().ok(),
        "capabilities": capabilities(field(&status, "CapEff:")),
        "no_new_privileges": field(&status, "NoNewPrivs:") == "1",
        "seccomp": seccomp(&status),
        "memory_kib": memory,
    }))
}

/// How the system calls of a process are restricted (seccomp(2), the mode in proc(5)).
fn seccomp(status: &str) -> &'static str {
    match field(status, "Seccomp:") {
        "2" => "filter",
        "1" => "strict",
        _ => "none",
    }
}

/// Tables of sockets and the state in which one takes what comes: TCP_LISTEN, and for UDP, which
/// has no connections, TCP_CLOSE of a socket that is bound.
const SOCKETS: [(&str, &str, &str); 4] = [
    ("tcp", "/proc/net/tcp", "0A"),
    ("tcp", "/proc/net/tcp6", "0A"),
    ("udp", "/proc/net/udp", "07"),
    ("udp", "/proc/net/udp6", "07"),
];

/// Every port that listens, as `tcp 5696`, in order.
fn listening() -> Vec<String> {
    let mut ports: Vec<(&str, u16)> = SOCKETS
        .iter()
        .flat_map(|(kind, table, state)| {
            let text = fs::read_to_string(table).unwrap_or_default();
            ports_in(&text, state).into_iter().map(|port| (*kind, port))
        })
        .collect();
    ports.sort_unstable();
    ports.dedup();
    ports
        .into_iter()
        .map(|(kind, port)| format!("{kind} {port}"))
        .collect()
}

/// Local ports of the sockets in a state (proc(5), /proc/net/tcp).
fn ports_in(table: &str, state: &str) -> Vec<u16> {
    let port = |line: &str| {
        let mut words = line.split_ascii_whitespace().skip(1);
        let (local, _, is) = (words.next()?, words.next()?, words.next()?);
        let (_, port) = local.rsplit_once(':')?;
        (is == state).then(|| u16::from_str_radix(port, 16).ok())?
    };
    table.lines().skip(1).filter_map(port).collect()
}

/// Where a core dump would go: nowhere, if the pattern is empty and the limit of PID 1, which all
/// inherit, is 0.
fn core_dumps() -> Value {
    let pattern = fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap_or_default();
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    json!({
        "pattern": pattern.trim(),
        "bytes_max": field(&limits, "Max core file size"),
    })
}

/// Names of the capabilities in a hexadecimal mask.
fn capabilities(mask: &str) -> Vec<String> {
    let mask = u64::from_str_radix(mask, 16).unwrap_or(0);
    let mut names: Vec<_> = caps::all()
        .into_iter()
        .filter(|capability| mask & capability.bitmask() != 0)
        .map(|capability| capability.to_string())
        .collect();
    names.sort();
    names
}

/// Target, kind and flags of every mount.
fn mounts() -> Vec<Value> {
    let text = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let words = text.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    words
        .filter_map(|words| match words.as_slice() {
            [_, target, kind, flags, ..] => {
                Some(json!({ "target": target, "kind": kind, "flags": flags }))
            }
            _ => None,
        })
        .collect()
}

fn memory(meminfo: &str) -> Value {
    let number = |name: &str| field(meminfo, name).parse::<u64>().ok();
    json!({ "total_kib": number("MemTotal:"), "available_kib": number("MemAvailable:") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_s_words_are_read() {
        let status = "Name:\tx\nUid:\t902\t902\nSeccomp:\t2\nSeccomp_filters:\t3\nCapEff:\t3400\n";
        assert_eq!(field(status, "Uid:"), "902");
        assert_eq!(field(status, "Seccomp:"), "2");
        let names = ["CAP_NET_ADMIN", "CAP_NET_BIND_SERVICE", "CAP_NET_RAW"];
        assert_eq!(capabilities(field(status, "CapEff:")), names);
        assert_eq!(memory("MemTotal: 12 kB\n")["total_kib"], 12);
        let sockets = "  sl  local_address rem_address   st\n\
             0: 00000000:1640 00000000:0000 0A 00000000:00000000\n\
             1: 0F02000A:1640 0202000A:A2B4 01 00000000:00000000\n";
        assert_eq!(ports_in(sockets, "0A"), [5696]);
    }
}
