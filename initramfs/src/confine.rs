//! `init confine SERVICE`: makes itself as small as the table says, then becomes the service.
//!
//! The order matters. What needs privilege comes first (terminal, limits, capabilities), then the
//! user, then what nobody can take back (no new privileges, Landlock), last the filter of system
//! calls, which would forbid the steps before it. A step that fails ends the attempt: no service
//! ever runs half confined.

use crate::fault::{Fault, Naming, Outcome};
use crate::raw;
use crate::services::{self, Access, Service, Streams};
use crate::syscalls::{self, Call, Group, Rule};
use caps::{CapSet, CapsHashSet};
use landlock::{
    ABI, Access as _, AccessFs, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset,
    RulesetAttr, RulesetCreatedAttr, RulesetStatus,
};
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::SigSet;
use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid, setsid};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fs::{self, File};
use std::os::unix::fs::{OpenOptionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

/// Becomes the service of this name.
///
/// # Errors
/// Names the step that failed. On success the program runs instead and nothing returns.
pub(crate) fn become_service(name: &str) -> Outcome<Infallible> {
    let service = services::named(name)
        .ok_or_else(|| Fault::new(format!("confine: there is no service '{name}'")))?;
    let mut command = Command::new(service.program);
    command.args(service.arguments).env_clear();
    // Changing it in the command would be a system call behind the filter.
    std::env::set_current_dir("/").naming(|| format!("confine {name}: '/'"))?;
    if let Streams::Terminal(path) = service.streams {
        command.env("TERM", "vt100");
        take_terminal(path, service.user).naming(|| format!("confine {name}: {path}"))?;
    }
    let step = |what: &str| format!("confine {name}: {what}");
    limit(service).naming(|| step("limits"))?;
    // What was blocked for PID 1's signal thread must reach the service.
    SigSet::empty()
        .thread_set_mask()
        .naming(|| step("signals"))?;
    change_user(service).naming(|| step("user and capabilities"))?;
    nix::sys::prctl::set_no_new_privs().naming(|| step("no new privileges"))?;
    restrict_files(service).naming(|| step("files (Landlock)"))?;
    restrict_calls(service).naming(|| step("system calls (seccomp)"))?;
    let refused = command.exec();
    Err(Fault::new(format!(
        "confine {name}: starting {}: {refused}",
        service.program
    )))
}

/// Takes the terminal for a new session; the service's user may open it by name.
fn take_terminal(path: &str, user: u32) -> Outcome {
    setsid().naming(|| "session".into())?;
    chown(path, Some(user), Some(user)).naming(|| "owner".into())?;
    let terminal = File::options()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NOCTTY)
        .open(path)
        .naming(|| "opening".into())?;
    raw::take_terminal(&terminal).naming(|| "controlling terminal".into())?;
    nix::unistd::dup2_stdin(&terminal).naming(|| "input".into())?;
    nix::unistd::dup2_stdout(&terminal).naming(|| "output".into())?;
    nix::unistd::dup2_stderr(&terminal).naming(|| "errors".into())
}

fn limit(service: &Service) -> Outcome {
    let limits = [
        (Resource::RLIMIT_CORE, 0),
        (Resource::RLIMIT_NOFILE, service.files_max),
        (Resource::RLIMIT_NPROC, service.threads_max),
        (Resource::RLIMIT_MEMLOCK, service.locked_bytes_max),
        (Resource::RLIMIT_MSGQUEUE, 0),
    ];
    for (resource, value) in limits {
        setrlimit(resource, value, value).naming(|| format!("{resource:?}"))?;
    }
    fs::write(
        "/proc/self/oom_score_adj",
        service.out_of_memory.to_string(),
    )
    .naming(|| "order at memory shortage".into())
}

/// Drops every capability that the table does not name, changes the user, and makes what is left
/// survive the start of the program.
fn change_user(service: &Service) -> Outcome {
    let kept: CapsHashSet = service
        .capabilities
        .iter()
        .map(|(capability, _)| *capability)
        .collect();
    for capability in caps::all().difference(&kept) {
        // Not every kernel knows every capability; one that does not exist is not held either.
        if caps::has_cap(None, CapSet::Bounding, *capability).unwrap_or(false) {
            caps::drop(None, CapSet::Bounding, *capability).naming(|| "bounding set".into())?;
        }
    }
    let (uid, gid) = (Uid::from_raw(service.user), Gid::from_raw(service.user));
    let groups: Vec<_> = service
        .groups
        .iter()
        .map(|group| Gid::from_raw(*group))
        .collect();
    setgroups(&groups).naming(|| "groups".into())?;
    setresgid(gid, gid, gid).naming(|| "group".into())?;
    nix::sys::prctl::set_keepcaps(!kept.is_empty()).naming(|| "keeping capabilities".into())?;
    setresuid(uid, uid, uid).naming(|| "user".into())?;
    if kept.is_empty() {
        return Ok(());
    }
    for set in [CapSet::Effective, CapSet::Permitted, CapSet::Inheritable] {
        caps::set(None, set, &kept).naming(|| "capabilities".into())?;
    }
    for capability in &kept {
        caps::raise(None, CapSet::Ambient, *capability).naming(|| capability.to_string())?;
    }
    Ok(())
}

/// What Linux 6.1 checks; a kernel that checks less is refused.
const LANDLOCK: ABI = ABI::V2;

fn restrict_files(service: &Service) -> Outcome {
    let ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(LANDLOCK))
        .naming(|| "rights".into())?;
    let mut ruleset = ruleset.create().naming(|| "rules".into())?;
    for reach in service.reaches {
        let folder = PathFd::new(reach.path).naming(|| reach.path.into())?;
        let rule = PathBeneath::new(folder, rights(reach.access, Path::new(reach.path).is_dir()));
        ruleset = ruleset
            .add_rule(rule)
            .naming(|| format!("{} ({})", reach.path, reach.reason))?;
    }
    let status = ruleset.restrict_self().naming(|| "entering".into())?;
    match status.ruleset {
        RulesetStatus::FullyEnforced => Ok(()),
        other => Err(Fault::new(format!(
            "the kernel enforces it only so far: {other:?}"
        ))),
    }
}

/// Rights of Landlock for a folder or a single file.
pub(crate) fn rights(access: Access, is_folder: bool) -> BitFlags<AccessFs> {
    let file = match access {
        Access::Read => AccessFs::ReadFile.into(),
        Access::Run => AccessFs::ReadFile | AccessFs::Execute,
        Access::Use | Access::Own => AccessFs::ReadFile | AccessFs::WriteFile,
    };
    let folder = match access {
        Access::Read | Access::Use => AccessFs::ReadDir.into(),
        Access::Run => BitFlags::empty(),
        Access::Own => {
            AccessFs::ReadDir
                | AccessFs::RemoveDir
                | AccessFs::RemoveFile
                | AccessFs::MakeDir
                | AccessFs::MakeReg
                | AccessFs::MakeSock
                | AccessFs::Refer
        }
    };
    if is_folder { file | folder } else { file }
}

fn restrict_calls(service: &Service) -> Outcome {
    for program in programs(service)? {
        seccompiler::apply_filter(&program).naming(|| "entering".into())?;
    }
    Ok(())
}

/// Two filters, of which the kernel takes the stricter answer: the deadly list, and the allowed
/// one.
fn programs(service: &Service) -> Outcome<[BpfProgram; 2]> {
    let fatal = rules(&syscalls::FATAL)?;
    let mut allowed: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    for group in service.calls {
        // A call that several groups name under conditions may be made under any of them.
        for (number, more) in rules(group).naming(|| group.name.into())? {
            allowed.entry(number).or_default().extend(more);
        }
    }
    let missing = SeccompAction::Errno(libc::ENOSYS.unsigned_abs());
    Ok([
        compile(fatal, SeccompAction::Allow, SeccompAction::KillProcess)?,
        compile(allowed, missing, SeccompAction::Allow)?,
    ])
}

fn compile(
    rules: BTreeMap<i64, Vec<SeccompRule>>,
    otherwise: SeccompAction,
    found: SeccompAction,
) -> Outcome<BpfProgram> {
    let filter = SeccompFilter::new(rules, otherwise, found, TargetArch::x86_64);
    let filter = filter.naming(|| "filter".into())?;
    filter.try_into().naming(|| "filter".into())
}

/// Rules by number; none for a call that may be made with any arguments.
fn rules(group: &Group) -> Outcome<BTreeMap<i64, Vec<SeccompRule>>> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    for call in group.calls {
        let of_call = rules.entry(call.number()).or_default();
        if let Call::When(_, conditions) = call {
            for condition in *conditions {
                of_call.push(rule(condition)?);
            }
        }
    }
    Ok(rules)
}

fn rule(rule: &Rule) -> Outcome<SeccompRule> {
    let operator = SeccompCmpOp::MaskedEq(rule.mask);
    let condition =
        SeccompCondition::new(rule.argument, SeccompCmpArgLen::Qword, operator, rule.value);
    SeccompRule::new(vec![condition.naming(|| "condition".into())?]).naming(|| "rule".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::SERVICES;

    #[test]
    fn every_service_s_filters_compile_within_the_kernel_s_limit() {
        /// Instructions of one filter at most (BPF_MAXINSNS).
        const INSTRUCTIONS_MAX: usize = 4096;
        for service in SERVICES {
            let programs = programs(service).unwrap();
            assert!(
                programs
                    .iter()
                    .all(|p| (20..INSTRUCTIONS_MAX).contains(&p.len()))
            );
        }
    }

    #[test]
    fn a_call_is_not_named_with_and_without_conditions() {
        // A number without rules would let the call pass whatever another group asks for.
        for service in SERVICES {
            let calls: Vec<_> = service.calls.iter().flat_map(|g| g.calls).collect();
            for call in &calls {
                let same = calls.iter().filter(|other| other.number() == call.number());
                let plain = same
                    .clone()
                    .filter(|other| matches!(other, Call::Any(_)))
                    .count();
                assert!(
                    plain == 0 || same.count() == 1,
                    "{}: {call:?}",
                    service.name
                );
            }
        }
    }

    #[test]
    fn only_run_gives_the_right_to_run() {
        for access in [Access::Read, Access::Use, Access::Own] {
            assert!(!rights(access, true).contains(AccessFs::Execute));
        }
        assert!(!rights(Access::Use, true).intersects(AccessFs::MakeReg | AccessFs::MakeSock));
        assert!(!rights(Access::Own, true).intersects(AccessFs::MakeChar | AccessFs::MakeBlock));
        assert!(
            rights(Access::Own, false).bits() == (AccessFs::ReadFile | AccessFs::WriteFile).bits()
        );
    }
}
