//! Kernel settings, each with its reason, and what the kernel says about its own state.
//!
//! The list follows the Kernel Self Protection Project and goes beyond it where nothing on the
//! appliance needs the feature. A setting that cannot be made refuses the boot: a machine that
//! looks hardened and is not would be worse than one that stops.

use crate::fault::{Fault, Naming, Outcome};
use serde::Serialize;
use std::fs;

/// One file below /proc/sys.
#[derive(Debug)]
pub(crate) struct Setting {
    pub(crate) name: &'static str,
    pub(crate) value: &'static str,
    pub(crate) reason: &'static str,
}

const fn setting(name: &'static str, value: &'static str, reason: &'static str) -> Setting {
    Setting {
        name,
        value,
        reason,
    }
}

/// All settings, in the order in which they are made.
pub(crate) const SETTINGS: &[Setting] = &[
    // -- the console and the kernel's own tongue --
    setting(
        "kernel.sysrq",
        "0",
        "a BREAK on the serial line must not command the kernel",
    ),
    setting(
        "kernel.kptr_restrict",
        "2",
        "addresses of the kernel help an exploit only",
    ),
    setting(
        "kernel.dmesg_restrict",
        "1",
        "the log has addresses and lines of other services",
    ),
    setting(
        "dev.tty.ldisc_autoload",
        "0",
        "line disciplines are old code that nobody needs",
    ),
    setting(
        "kernel.ctrl-alt-del",
        "0",
        "a keyboard must not restart the machine",
    ),
    // -- what processes may do to each other and to the kernel --
    setting(
        "kernel.yama.ptrace_scope",
        "3",
        "nobody looks into a process, not even root",
    ),
    setting(
        "kernel.perf_event_paranoid",
        "3",
        "performance counters are a side channel",
    ),
    setting(
        "kernel.unprivileged_bpf_disabled",
        "1",
        "programs in the kernel, for nobody",
    ),
    setting(
        "net.core.bpf_jit_harden",
        "2",
        "constants of filters are blinded",
    ),
    setting(
        "kernel.kexec_load_disabled",
        "1",
        "no other kernel replaces the verified one",
    ),
    setting(
        "kernel.unprivileged_userns_clone",
        "0",
        "namespaces open paths that need root",
    ),
    setting(
        "user.max_user_namespaces",
        "0",
        "the same, for every kernel",
    ),
    setting(
        "vm.unprivileged_userfaultfd",
        "0",
        "it stretches races in the kernel",
    ),
    setting(
        "kernel.modprobe",
        "",
        "the kernel must not start a program to load modules",
    ),
    setting(
        "kernel.randomize_va_space",
        "2",
        "addresses differ at every start",
    ),
    setting(
        "vm.mmap_min_addr",
        "65536",
        "a null pointer points at nothing",
    ),
    setting(
        "vm.mmap_rnd_bits",
        "32",
        "as many random bits as the architecture has",
    ),
    // -- secrets do not leave memory --
    setting(
        "fs.suid_dumpable",
        "0",
        "no image of a process that changed its user",
    ),
    setting(
        "kernel.core_pattern",
        "",
        "no image of any process: an empty name cannot be opened",
    ),
    setting("kernel.core_uses_pid", "0", "a number would be a name"),
    setting(
        "vm.swappiness",
        "0",
        "there is no swap; nothing may be prepared for it",
    ),
    // -- files --
    setting(
        "fs.protected_symlinks",
        "1",
        "links of others in shared folders are not followed",
    ),
    setting(
        "fs.protected_hardlinks",
        "1",
        "no second name for a file of somebody else",
    ),
    setting(
        "fs.protected_fifos",
        "2",
        "no pipe of somebody else is opened by mistake",
    ),
    setting(
        "fs.protected_regular",
        "2",
        "no file of somebody else is opened by mistake",
    ),
    // -- a broken kernel stops --
    setting(
        "kernel.panic_on_oops",
        "1",
        "after a fault in the kernel nothing is certain",
    ),
    setting(
        "kernel.panic",
        "5",
        "the machine comes back by itself, after the line was read",
    ),
    // -- the network --
    setting(
        "net.ipv4.ip_unprivileged_port_start",
        "22",
        "the daemon serves 22 without a privilege",
    ),
    setting("net.ipv4.ip_forward", "0", "the appliance is no router"),
    setting(
        "net.ipv4.conf.all.rp_filter",
        "1",
        "no packets from where they cannot come from",
    ),
    setting(
        "net.ipv4.conf.default.rp_filter",
        "1",
        "the same for interfaces to come",
    ),
    setting(
        "net.ipv4.conf.all.accept_redirects",
        "0",
        "a neighbour must not change routes",
    ),
    setting(
        "net.ipv4.conf.default.accept_redirects",
        "0",
        "the same for interfaces to come",
    ),
    setting(
        "net.ipv4.conf.all.secure_redirects",
        "0",
        "the same, from gateways",
    ),
    setting(
        "net.ipv4.conf.default.secure_redirects",
        "0",
        "the same for interfaces to come",
    ),
    setting(
        "net.ipv4.conf.all.send_redirects",
        "0",
        "only routers send them",
    ),
    setting(
        "net.ipv4.conf.default.send_redirects",
        "0",
        "the same for interfaces to come",
    ),
    setting(
        "net.ipv4.conf.all.accept_source_route",
        "0",
        "the sender must not choose the way",
    ),
    setting(
        "net.ipv4.conf.default.accept_source_route",
        "0",
        "the same for interfaces to come",
    ),
    setting(
        "net.ipv4.conf.all.arp_ignore",
        "1",
        "an interface answers for its own address only",
    ),
    setting(
        "net.ipv4.conf.all.arp_announce",
        "2",
        "and names no address of the other interface",
    ),
    setting(
        "net.ipv4.icmp_echo_ignore_broadcasts",
        "1",
        "no part in echo floods",
    ),
    setting(
        "net.ipv4.icmp_ignore_bogus_error_responses",
        "1",
        "no log lines at others' will",
    ),
    setting(
        "net.ipv4.tcp_syncookies",
        "1",
        "half-open connections cannot fill the queue",
    ),
    setting(
        "net.ipv4.tcp_rfc1337",
        "1",
        "old segments cannot close a connection",
    ),
    setting(
        "net.ipv6.conf.all.forwarding",
        "0",
        "the appliance is no router",
    ),
    setting(
        "net.ipv6.conf.all.accept_redirects",
        "0",
        "a neighbour must not change routes",
    ),
    setting(
        "net.ipv6.conf.default.accept_redirects",
        "0",
        "the same for interfaces to come",
    ),
    setting(
        "net.ipv6.conf.all.accept_source_route",
        "0",
        "the sender must not choose the way",
    ),
    setting(
        "net.ipv6.conf.default.accept_source_route",
        "0",
        "the same for interfaces to come",
    ),
    setting(
        "net.ipv6.conf.all.accept_ra",
        "0",
        "addresses come from the settings only",
    ),
    setting(
        "net.ipv6.conf.default.accept_ra",
        "0",
        "the network service opens it where asked",
    ),
];

/// A setting as the kernel has it now.
#[derive(Debug, Clone, Serialize, PartialEq, Eq)]
pub(crate) struct Checked {
    pub(crate) name: &'static str,
    pub(crate) value: String,
    pub(crate) wanted: &'static str,
    pub(crate) ok: bool,
    pub(crate) reason: &'static str,
}

/// Makes every setting and reads it back.
///
/// # Errors
/// Names each one that did not take.
pub(crate) fn apply() -> Outcome {
    let refused: Vec<String> = SETTINGS.iter().filter_map(refusal).collect();
    if refused.is_empty() {
        return Ok(());
    }
    Err(Fault::new(format!(
        "kernel settings that did not take: {}",
        refused.join("; ")
    )))
}

fn refusal(setting: &Setting) -> Option<String> {
    // A line end is written even for an empty value: a write of nothing changes nothing.
    let written = fs::write(path(setting.name), format!("{}\n", setting.value));
    let now = check(setting);
    // What is as wanted counts, even when it can only be written once a boot.
    (!now.ok).then(|| {
        let reason = written
            .err()
            .map_or_else(|| "no error".into(), |error| error.to_string());
        format!(
            "{} is '{}', not '{}' ({reason})",
            setting.name, now.value, setting.value
        )
    })
}

/// Every setting with what the kernel says.
pub(crate) fn check_all() -> Vec<Checked> {
    SETTINGS.iter().map(check).collect()
}

fn check(setting: &Setting) -> Checked {
    let read = fs::read_to_string(path(setting.name));
    let ok = read.as_ref().is_ok_and(|text| text.trim() == setting.value);
    let value = read.map_or_else(|e| format!("not readable: {e}"), |t| t.trim().to_owned());
    Checked {
        name: setting.name,
        value,
        wanted: setting.value,
        ok,
        reason: setting.reason,
    }
}

fn path(name: &str) -> String {
    format!("/proc/sys/{}", name.replace('.', "/"))
}

/// How far root is kept out of the kernel: `integrity` or `confidentiality`.
///
/// # Errors
/// Not at all, which the signed command line would not allow.
pub(crate) fn lockdown() -> Outcome<String> {
    let path = "/sys/kernel/security/lockdown";
    let text = fs::read_to_string(path).naming(|| format!("check 'lockdown': {path}"))?;
    match chosen(&text) {
        Some("none") | None => Err(Fault::new(format!(
            "check 'lockdown' failed: the kernel says '{}'; boot with lockdown=confidentiality",
            text.trim()
        ))),
        Some(level) => Ok(level.to_owned()),
    }
}

/// The word in brackets: `none integrity [confidentiality]`.
fn chosen(text: &str) -> Option<&str> {
    text.split_once('[')?
        .1
        .split_once(']')
        .map(|(word, _)| word)
}

/// Whether the firmware checked signatures. Nothing when there was no UEFI boot.
pub(crate) fn secure_boot() -> Option<bool> {
    // The EFI stub left its finding in `struct boot_params`; reading it here needs no module.
    secure_boot_of(&fs::read("/sys/kernel/boot_params/data").ok()?)
}

/// `secure_boot` of Documentation/x86/zero-page.rst: 2 is off, 3 is on.
fn secure_boot_of(boot_params: &[u8]) -> Option<bool> {
    const AT: usize = 0x1ec;
    match boot_params.get(AT)? {
        2 => Some(false),
        3 => Some(true),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_setting_stands_once_and_has_a_reason() {
        let names: BTreeSet<_> = SETTINGS.iter().map(|s| s.name).collect();
        assert_eq!(names.len(), SETTINGS.len());
        assert!(
            SETTINGS.iter().all(|s| s.reason.len() > 10),
            "a reason is a sentence"
        );
    }

    #[test]
    fn a_setting_that_does_not_exist_is_refused() {
        let refused = refusal(&setting("kernel.no_such_setting", "1", "a test")).unwrap();
        assert!(refused.contains("not readable"), "{refused}");
    }

    #[test]
    fn the_kernel_s_words_are_understood() {
        assert_eq!(
            chosen("none integrity [confidentiality]\n"),
            Some("confidentiality")
        );
        assert_eq!(chosen("none"), None);
        let mut params = vec![0; 4096];
        assert_eq!(secure_boot_of(&params), None);
        params[0x1ec] = 2;
        assert_eq!(secure_boot_of(&params), Some(false));
        params[0x1ec] = 3;
        assert_eq!(secure_boot_of(&params), Some(true));
    }
}
