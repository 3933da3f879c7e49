//! The appliance as a whole: the image boots in a machine, is set up on its serial console, serves
//! clients from outside, and comes back after it was switched off. Times are printed, and kept for
//! `cargo xtask image report`.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout)] // test code

use anyhow::{Context, Result, ensure};
use image::report::{Boot, Phase};
use serde_json::Value;
use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::process::Command;
use std::time::{Duration, Instant};
use tests::appliance::{Appliance, PASSWORD, setup_file};
use tests::client::Client;
use tests::desk::Desk;
use tests::python;
use tests::transcript::visible;

/// Steps of the PyKMIP script.
const STEPS: usize = 32;
/// The promise for a boot under emulation.
const SERVING_WITHIN: Duration = Duration::from_secs(60);
/// Ports of an appliance that was set up with defaults: SSH, KMIP, cluster, status, web.
const LISTENING: [&str; 5] = ["tcp 22", "tcp 5696", "tcp 9001", "tcp 9081", "tcp 9443"];

#[test]
fn set_up_on_the_console_serves_and_comes_back() -> Result<()> {
    let begun = Instant::now();
    let mut appliance = Appliance::new()?;
    appliance.switch_on()?;
    appliance.answer("hostname", "?")?;
    let to_prompt = appliance.on_for();
    nothing_answers_a_break(&mut appliance)?;
    let asked = appliance.first_run(&[
        ("hostname", "kms1"),
        ("domain", "example.org"),
        ("admin.password", PASSWORD),
        ("admin.password.again", PASSWORD),
        ("unlock", "disk"),
        ("set-up.confirm", "yes"),
    ])?;
    ensure!(
        asked.contains(&"eth0.ipv4".to_owned()),
        "the network was asked for: {asked:?}"
    );
    appliance.sign_in()?;
    for name in ["demo", "demo2"] {
        appliance.add_client(name)?;
    }
    the_same_commands_from_another_machine(&mut appliance)?;
    // A stock client outside the machine.
    let port = appliance.kmip()?.port();
    let said = python::flow_at("pykmip_flow.py", port, &appliance.clients())?;
    let steps = said.lines().filter(|line| line.starts_with("ok ")).count();
    ensure!(steps == STEPS, "{steps} steps in place of {STEPS}:\n{said}");
    let identity = tests::client::Identity::of(&appliance.clients(), "demo");
    let mut client = Client::connect(appliance.kmip()?, &identity)?;
    let uid = client.create(Some("volume"), 256)?;
    let key = client.get(&uid)?;
    appliance.halt()?;

    appliance.switch_on()?;
    let mut client = appliance.await_client(&identity)?;
    let to_serving = appliance.on_for();
    ensure!(client.get(&uid)? == key, "another key after halt and start");
    ensure!(to_serving < SERVING_WITHIN, "serving after {to_serving:?}");
    appliance.sign_in()?;
    let health = appliance.json("show health --json")?;
    keep_times(&appliance, &health, to_prompt, to_serving)?;
    println!(
        "power-on to first prompt {:.1} s, power-on to serving {:.1} s, whole test {:.1} s",
        to_prompt.as_secs_f64(),
        to_serving.as_secs_f64(),
        begun.elapsed().as_secs_f64()
    );
    appliance.cut_power()
}

/// The SSH door of the machine, with a key that was given at the console.
fn the_same_commands_from_another_machine(appliance: &mut Appliance) -> Result<()> {
    let desk = Desk::new(appliance.ssh_port()?)?;
    let key = std::fs::read_to_string(desk.key().with_extension("pub"))?;
    appliance.command(&format!("admin ssh-keys admin \"{}\"", key.trim()))?;
    for line in [
        "client list",
        "slot list",
        "show settings",
        "show admins",
        "show running-config",
    ] {
        let (here, there) = (appliance.command(line)?, desk.line(line)?);
        ensure!(there.status.success(), "{line}: {there:?}");
        let there = String::from_utf8(there.stdout)?;
        ensure!(
            visible(&here) == visible(&there),
            "{line}:\n{here}\n{there}"
        );
    }
    // It knows how the machine is, and may not end it behind the daemon's back.
    let health = desk.line("show health --json")?;
    let health: Value = serde_json::from_slice(&health.stdout)?;
    let listening = health["listening"].as_array().context("ports")?;
    ensure!(listening.contains(&"tcp 22".into()), "{listening:?}");
    // A process that ends is started again, and so is the door.
    let restarted = desk.line("services restart ssh")?;
    let said = String::from_utf8_lossy(&restarted.stdout).into_owned();
    let begun = Instant::now();
    while !desk.line("show version")?.status.success() {
        ensure!(
            begun.elapsed() < SERVING_WITHIN,
            "SSH did not come back: {said}"
        );
    }
    let log = appliance.command("show log activity")?;
    ensure!(
        log.contains("operator admin (ssh) asked Restart Service ssh"),
        "{log}"
    );
    Ok(())
}

/// A machine whose clock is wrong and that has no time server goes by what the operator types, and
/// by its log when the wrong clock is back after a restart.
#[test]
fn the_clock_is_set_by_hand() -> Result<()> {
    let mut appliance = Appliance::new()?;
    appliance.switch_on()?;
    appliance.first_run(&[
        ("admin.password", PASSWORD),
        ("admin.password.again", PASSWORD),
        ("unlock", "disk"),
        ("clock", "2031-05-06 07:08"),
        ("set-up.confirm", "yes"),
    ])?;
    for _ in 0..2 {
        appliance.sign_in()?;
        let status = appliance.json("status --json")?;
        let time = status["time"].as_str().context("the time")?;
        ensure!(time.starts_with("2031-05-06T07:"), "{time}");
        appliance.halt()?;
        appliance.switch_on()?;
    }
    appliance.cut_power()
}

/// A BREAK and a letter are magic SysRq on a serial line: `h` would list what it can do, `b` would
/// reset the machine.
fn nothing_answers_a_break(appliance: &mut Appliance) -> Result<()> {
    let serial = appliance.machine()?.serial();
    for letter in ["h", "b"] {
        serial.send_break()?;
        serial.send(letter)?;
    }
    let said = serial.until_quiet(Duration::from_secs(1), Duration::from_secs(20))?;
    ensure!(
        !said.to_lowercase().contains("sysrq"),
        "SysRq answers: {said}"
    );
    // What was typed is text at the prompt like any other; Ctrl-U takes it away.
    serial.send("\x15?\r")?;
    Ok(())
}

/// Writes the record that `cargo xtask image report` shows.
fn keep_times(
    appliance: &Appliance,
    health: &Value,
    to_prompt: Duration,
    to_serving: Duration,
) -> Result<()> {
    let phases = health["phases"].as_array().context("phases")?;
    let phase = |value: &Value| -> Option<Phase> {
        Some(Phase {
            name: value["name"].as_str()?.to_owned(),
            milliseconds: value["milliseconds"].as_u64()?,
        })
    };
    let kib = |name: &str| health["memory"][name].as_u64().context("memory");
    let record = Boot {
        root_hash: health["root"]["roothash"]
            .as_str()
            .context("root hash")?
            .to_owned(),
        phases: phases.iter().filter_map(phase).collect(),
        milliseconds_to_prompt: u64::try_from(to_prompt.as_millis())?,
        milliseconds_to_serving: u64::try_from(to_serving.as_millis())?,
        memory_bytes_at_rest: (kib("total_kib")? - kib("available_kib")?) * 1024,
    };
    ensure!(record.phases.len() > 5, "phases are missing: {health}");
    Ok(record.write(appliance.image())?)
}

/// One file sets two machines up alike, unattended; what runs in them is what the design says.
#[test]
fn a_set_up_file_gives_the_same_appliance_twice() -> Result<()> {
    let mut found = Vec::new();
    for _ in 0..2 {
        let mut appliance = Appliance::new()?;
        appliance.hand_over(setup_file(""));
        appliance.switch_on()?;
        appliance.sign_in()?;
        let config = appliance.command("show running-config")?;
        ensure!(!config.contains(PASSWORD), "a secret in the configuration");
        let status = appliance.json("status --json")?;
        let digest = status["configuration"]
            .as_str()
            .context("configuration digest")?;
        found.push((config, digest.to_owned()));
        if found.len() == 2 {
            let health = appliance.json("show health --json")?;
            confined(&health)?;
            read_only(&health)?;
        }
        appliance.cut_power()?;
    }
    ensure!(found[0] == found[1], "{found:#?}");
    Ok(())
}

/// All programs of the verified root.
const PROGRAMS: [&str; 8] = [
    "usr/bin/strongroom",
    "usr/bin/strongroom-network",
    "usr/bin/strongroom-time",
    "usr/lib/strongroom/init",
    // The loader of dynamic programs, which the kernel starts with them.
    "usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
    // PID 1 makes, checks and grows the file systems of data and keys.
    "usr/sbin/e2fsck",
    "usr/sbin/mke2fs",
    "usr/sbin/resize2fs",
];

/// The verified root, file by file, as anybody finds it who takes the image apart.
#[test]
fn the_root_holds_no_shell_no_script_and_nothing_setuid() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut tool = Command::new("fsck.erofs");
    tool.arg(format!("--extract={}", folder.path().display()));
    let root = tests::image::folder()?.join("root.erofs");
    let output = tool.arg("--overwrite").arg(root).output()?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let (mut programs, mut files, mut folders) =
        (BTreeSet::new(), 0, vec![folder.path().to_owned()]);
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next)? {
            let path = entry?.path();
            let facts = path.symlink_metadata()?;
            let name = path.strip_prefix(folder.path())?.display().to_string();
            ensure!(facts.mode() & 0o6000 == 0, "{name} changes who runs it");
            if facts.is_dir() {
                folders.push(path);
            } else if facts.is_file() {
                files += 1;
                ensure!(
                    !std::fs::read(&path)?.starts_with(b"#!"),
                    "{name} is a script"
                );
                if facts.mode() & 0o111 != 0 {
                    programs.insert(name);
                }
            }
        }
    }
    ensure!(files > 50, "only {files} files came out");
    let meant = PROGRAMS.map(str::to_owned).into_iter().collect();
    ensure!(
        programs == meant,
        "other programs than meant: {programs:#?}"
    );
    Ok(())
}

/// Every process but PID 1 is a service in its own confinement.
fn confined(health: &Value) -> Result<()> {
    let listening: Vec<&str> = health["listening"]
        .as_array()
        .context("ports")?
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let unexpected: Vec<_> = listening
        .iter()
        .filter(|port| !LISTENING.contains(port))
        .collect();
    // The DHCP client hears answers at its port.
    ensure!(
        unexpected.iter().all(|port| **port == "udp 68"),
        "ports that nobody configured: {unexpected:?}"
    );
    ensure!(
        LISTENING.iter().all(|port| listening.contains(port)),
        "a port is missing in {listening:?}"
    );
    let services = health["services"].as_array().context("services")?;
    for service in services {
        let told = || format!("{service}");
        ensure!(service["state"] == "running", "{}", told());
        ensure!(
            service["user"] == service["wanted_user"] && service["user"] != 0,
            "{}",
            told()
        );
        ensure!(
            service["seccomp"] == "filter" && service["landlock"] == true,
            "{}",
            told()
        );
        ensure!(service["no_new_privileges"] == true, "{}", told());
    }
    let pids: BTreeSet<_> = services
        .iter()
        .map(|service| service["pid"].as_u64())
        .collect();
    let processes = health["processes"].as_array().context("processes")?;
    ensure!(processes.len() == services.len() + 1, "{processes:#?}");
    for process in processes {
        let is_first = process["pid"] == 1;
        ensure!(
            is_first || pids.contains(&process["pid"].as_u64()),
            "a stranger: {process}"
        );
    }
    println!(
        "{} processes, all but PID 1 confined; ports {listening:?}",
        processes.len()
    );
    Ok(())
}

/// Nothing can be written and run; no core is dumped.
fn read_only(health: &Value) -> Result<()> {
    let mounts = health["mounts"].as_array().context("mounts")?;
    let flags = |mount: &Value| -> BTreeSet<String> {
        let flags = mount["flags"].as_str().unwrap_or_default();
        flags.split(',').map(str::to_owned).collect()
    };
    for mount in mounts {
        let flags = flags(mount);
        ensure!(
            flags.contains("ro") || flags.contains("noexec"),
            "writable and runs: {mount}"
        );
        ensure!(
            flags.contains("nosuid") || flags.contains("ro"),
            "setuid counts: {mount}"
        );
    }
    let root = mounts
        .iter()
        .find(|mount| mount["target"] == "/")
        .context("a root")?;
    ensure!(
        root["kind"] == "erofs" && flags(root).contains("ro"),
        "{root}"
    );
    ensure!(health["root"]["verified"] == true && health["lockdown"] == "confidentiality");
    ensure!(
        health["core_dumps"]["bytes_max"] == "0",
        "{}",
        health["core_dumps"]
    );
    let settings = health["settings"].as_array().context("settings")?;
    let wrong: Vec<_> = settings
        .iter()
        .filter(|setting| setting["ok"] != true)
        .collect();
    ensure!(settings.len() > 10 && wrong.is_empty(), "{wrong:#?}");
    Ok(())
}
