//! The first run of an appliance as an operator meets it: `strongroom serve` beside
//! `strongroom console` on a terminal, without a machine around them. `cargo xtask record` runs
//! this suite to see what the two do.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout)] // test code

use anyhow::{Context, Result, ensure};
use std::fs;
use std::process::Command;
use tests::client::{Client, Identity};
use tests::node::strongroom;
use tests::standalone::{PASSPHRASE, PASSWORD, Standalone};
use tests::terminal::Terminal;

/// The console of an appliance, on a terminal of its own.
fn console(of: &Standalone) -> Result<Terminal> {
    Terminal::open(console_of(of)?)
}

fn console_of(of: &Standalone) -> Result<Command> {
    let mut console = Command::new(strongroom()?);
    console
        .args(["console", "--sockets"])
        .arg(of.path("sockets"))
        .arg("--init")
        .arg(of.path("init.sock"));
    Ok(console)
}

/// Takes the default of every prompt up to the one of an item, which it leaves open.
fn defaults_until(terminal: &mut Terminal, id: &str, ids: &[&str]) -> Result<()> {
    for other in ids {
        if *other == id {
            return Ok(());
        }
        terminal.answer(other, "")?;
    }
    anyhow::bail!("{id} is no item")
}

/// What a box without a network of its own is asked, in this order.
const ASKED: [&str; 16] = [
    "hostname",
    "domain",
    "eth0.ipv4",
    "eth0.vlan",
    "eth0.ipv6",
    "eth1.ipv4",
    "dns",
    "timezone",
    "ntp",
    "approved",
    "kmip.listen",
    "web.listen",
    "cluster.listen",
    "ca.subject",
    "admin.name",
    "admin.password",
];

#[test]
fn the_dialogue_makes_an_appliance_that_serves() -> Result<()> {
    let mut appliance = Standalone::new()?;
    appliance.start(None)?;
    let mut terminal = console(&appliance)?;
    let said = dialogue(&mut terminal, &appliance);
    said.with_context(|| format!("serve said:\n{}", appliance.said()))?;
    // An administrator makes a client, whose key is shown once and kept nowhere.
    sign_in(&mut terminal)?;
    terminal.answer_prompt("client add array-7")?;
    let printed = terminal.expect("strongroom>")?;
    let identity = Identity::from_screen(&printed, &appliance.path("client"), "array-7")?;
    let key_left = appliance.path("data/clients/array-7.key");
    ensure!(!key_left.exists(), "the client's key stayed on the disk");
    let mut client = Client::connect(appliance.kmip, &identity)?;
    let uid = client.create(Some("volume"), 256)?;
    let key = client.get(&uid)?;
    terminal.send("show running-config\r")?;
    let config = terminal.expect("strongroom>")?;
    ensure!(config.contains("hostname = kms1"), "{config}");
    terminal.send("show health\r")?;
    let health = terminal.expect("strongroom>")?;
    ensure!(health.contains("a word of PID 1"), "{health}");
    let network = fs::read_to_string(appliance.path("settings/network.json"))?;
    ensure!(network.contains("kms1"), "{network}");
    ensure!(!terminal.seen.contains(PASSWORD), "a password was echoed");
    ensure!(
        !terminal.seen.contains(PASSPHRASE),
        "a passphrase was echoed"
    );
    // A power cut: it comes back locked, opens to the passphrase, and has the key.
    appliance.kill()?;
    appliance.start(None)?;
    terminal.send("status\r")?;
    terminal.answer("unlock", "not the passphrase at all")?;
    terminal.answer("unlock", PASSPHRASE)?;
    terminal.expect("The appliance serves.")?;
    let mut client = Client::connect(appliance.kmip, &identity)?;
    ensure!(client.get(&uid)? == key, "another key after the power cut");
    Ok(())
}

fn sign_in(terminal: &mut Terminal) -> Result<()> {
    terminal.answer("login", "admin")?;
    terminal.answer("password", "a wrong password")?;
    terminal.answer("login", "admin")?;
    // Ctrl-L shows a line again; this one it must not.
    terminal.answer("password", &format!("{PASSWORD}\x0c"))?;
    Ok(())
}

/// Everything that an operator does wrong on the way, and then right.
fn dialogue(terminal: &mut Terminal, appliance: &Standalone) -> Result<()> {
    terminal.answer("hostname", "-no-")?;
    terminal.answer("hostname", "?")?;
    let help = terminal.answer("hostname", "wrong\x15kms1")?;
    ensure!(help.contains("Example"), "? explains nothing: {help}");
    // Ctrl-C goes back, and what was answered stands.
    terminal.expect("[domain]")?;
    terminal.send("\x03")?;
    let prompt = terminal.answer("hostname", "")?;
    ensure!(prompt.contains("kms1"), "Ctrl-C lost an answer: {prompt}");
    terminal.answer("domain", "")?;
    terminal.answer("eth0.ipv4", "off")?;
    for id in ["kmip.listen", "web.listen", "cluster.listen"] {
        let before = match id {
            "kmip.listen" => &[
                "eth0.vlan",
                "eth0.ipv6",
                "eth1.ipv4",
                "dns",
                "timezone",
                "ntp",
                "approved",
            ][..],
            _ => &[],
        };
        for other in before {
            if *other == "timezone" {
                terminal.answer(other, "Mars/Olympus")?;
            }
            terminal.answer(other, "")?;
        }
        let address = match id {
            "kmip.listen" => appliance.kmip,
            "web.listen" => appliance.web,
            _ => appliance.cluster,
        };
        terminal.answer(id, &address.to_string())?;
    }
    terminal.answer("ca.subject", "Example Local CA")?;
    terminal.answer("admin.name", "")?;
    terminal.answer("admin.password", "short")?;
    terminal.answer("admin.password", PASSWORD)?;
    terminal.answer("admin.password.again", "something else")?;
    terminal.answer("admin.password", PASSWORD)?;
    terminal.answer("admin.password.again", PASSWORD)?;
    terminal.answer("admin.ssh-key", "")?;
    terminal.answer("unlock", "")?;
    terminal.answer("unlock.passphrase", PASSPHRASE)?;
    terminal.answer("unlock.passphrase.again", PASSPHRASE)?;
    terminal.answer("recovery", "")?;
    // The time that the machine has.
    terminal.answer("clock", "")?;
    terminal.answer("set-up.confirm", "yes")?;
    let shown = terminal.expect("type 3 of them")?;
    let shares: Vec<String> = shown
        .lines()
        .filter_map(|line| Some(line.split_once(" of 5:")?.1.trim().to_owned()))
        .collect();
    ensure!(shares.len() == 5, "five shares are expected in:\n{shown}");
    for (number, typed) in [(1, "nonsense"), (2, &shares[1]), (3, &shares[2])] {
        terminal.answer(&format!("share.{number}"), typed)?;
    }
    for (number, share) in [4, 0, 2].into_iter().enumerate() {
        terminal.answer(&format!("share.{}", number + 1), &shares[share])?;
    }
    let recognised = terminal.answer("set-up.serve", "yes")?;
    ensure!(
        recognised.contains("SHA256:"),
        "no SSH fingerprint in:\n{recognised}"
    );
    terminal.expect("The appliance serves.")?;
    Ok(())
}

/// A serial line knows no size, and there is somebody at it all the same.
#[test]
fn a_line_without_a_size_is_asked_too() -> Result<()> {
    let mut appliance = Standalone::new()?;
    appliance.start(None)?;
    let mut terminal = Terminal::open_serial(console_of(&appliance)?)?;
    terminal.answer("hostname", "kms1")?;
    terminal.expect("[domain]")?;
    Ok(())
}

/// A power cut before the operator's word starts over: nothing of the first try is left.
#[test]
fn an_unconfirmed_set_up_starts_over() -> Result<()> {
    let mut appliance = Standalone::new()?;
    appliance.start(None)?;
    let mut terminal = console(&appliance)?;
    defaults_until(&mut terminal, "kmip.listen", &ASKED)?;
    terminal.answer("kmip.listen", &appliance.kmip.to_string())?;
    terminal.answer("web.listen", &appliance.web.to_string())?;
    terminal.answer("cluster.listen", &appliance.cluster.to_string())?;
    for id in ["ca.subject", "admin.name"] {
        terminal.answer(id, "")?;
    }
    for id in ["admin.password", "admin.password.again"] {
        terminal.answer(id, PASSWORD)?;
    }
    terminal.answer("admin.ssh-key", "")?;
    terminal.answer("unlock", "disk")?;
    terminal.answer("recovery", "")?;
    // The time that the machine has.
    terminal.answer("clock", "")?;
    terminal.answer("set-up.confirm", "yes")?;
    terminal.expect("type 3 of them")?;
    let ca = fs::read(appliance.path("data/ca.pem"))?;
    appliance.kill()?;
    drop(terminal);
    appliance.start(None)?;
    let mut terminal = console(&appliance)?;
    terminal.expect("[hostname]")?;
    ensure!(
        !appliance.path("data/ca.pem").exists(),
        "the first CA is still there"
    );
    ensure!(!ca.is_empty(), "there was one");
    Ok(())
}

/// One file gives the same configuration as often as it is used, and comes back without secrets.
#[test]
fn one_file_sets_up_two_alike() -> Result<()> {
    let mut first = Standalone::new()?;
    let secrets = format!("admin.password = {PASSWORD}\nrecovery.passphrase = {PASSPHRASE}\n");
    let plain = format!(
        "# strongroom setup 1\nhostname = kms1\ndomain = example.org\neth0.ipv4 = off\n{}\
         unlock = disk\nrecovery = passphrase\n",
        first.addresses()
    );
    let mut configs = Vec::new();
    let (mut second, mut third) = (Standalone::new()?, Standalone::new()?);
    for appliance in [&mut first, &mut second, &mut third] {
        // The third is set up by what the second printed, and the secrets.
        let text = match configs.get(1) {
            Some(printed) => format!("{printed}\n{secrets}"),
            None => format!("{plain}{secrets}"),
        };
        appliance.start(Some(&text))?;
        let mut terminal = console(appliance)?;
        terminal.answer("login", "admin")?;
        terminal.answer("password", PASSWORD)?;
        terminal.answer_prompt("show running-config")?;
        let config = terminal.expect("strongroom>")?;
        let config = config.trim_end_matches("strongroom>");
        let file = config.find("# strongroom").context("a set-up file")?;
        configs.push(config[file..].trim().replace('\r', ""));
        drop(terminal);
        appliance.kill()?;
    }
    ensure!(configs[0] == configs[1], "{configs:#?}");
    ensure!(configs[1] == configs[2], "{configs:#?}");
    for secret in [PASSWORD, PASSPHRASE] {
        ensure!(
            !configs[0].contains(secret),
            "a secret in the configuration"
        );
    }
    for line in plain.lines().chain(["# to be added: admin.password"]) {
        ensure!(configs[0].contains(line), "no {line:?} in {}", configs[0]);
    }
    Ok(())
}

/// What an administrator with few permissions meets, and what the one with all cannot do.
#[test]
fn a_second_administrator_does_what_is_permitted() -> Result<()> {
    let mut appliance = Standalone::new()?;
    let text = format!(
        "# strongroom setup 1\nhostname = kms1\neth0.ipv4 = off\n{}\
         admin.password = {PASSWORD}\nunlock = disk\nrecovery = passphrase\n\
         recovery.passphrase = {PASSPHRASE}\n",
        appliance.addresses()
    );
    appliance.start(Some(&text))?;
    let mut terminal = console(&appliance)?;
    let said = second_administrator(&mut terminal);
    said.with_context(|| format!("serve said:\n{}", appliance.said()))?;
    for secret in [PASSWORD, FIRST_OF_EVE, OWN_OF_EVE, TOO_EASY] {
        ensure!(!terminal.seen.contains(secret), "a password was shown");
    }
    Ok(())
}

/// Passwords of the second administrator: the one that the first chose, the own one, and one that
/// is long and the first that anybody would try.
const FIRST_OF_EVE: &str = "seven lamps under water";
const OWN_OF_EVE: &str = "green elephants eat no ledger";
const TOO_EASY: &str = "password1234567";

fn second_administrator(terminal: &mut Terminal) -> Result<()> {
    let refused = |printed: &str, why: &str| -> Result<()> {
        ensure!(printed.contains(why), "{why:?} is not in: {printed}");
        Ok(())
    };
    terminal.signs_in("admin", PASSWORD)?;
    terminal.expect("strongroom>")?;
    for (password, why) in [(TOO_EASY, "too easily guessed"), (FIRST_OF_EVE, "")] {
        terminal.send("admin add eve --permissions logging,serial\r")?;
        terminal.types_new_password(password)?;
        refused(&terminal.expect("strongroom>")?, why)?;
    }
    refused(&terminal.command("show admins")?, "logging, serial")?;
    // Nobody else has high access: the first one cannot go, nor give it up.
    let last = "one administrator with high-access and serial and with a password must be left";
    refused(&terminal.command("admin remove admin")?, last)?;
    refused(&terminal.command("admin permissions admin auditor")?, last)?;
    terminal.send("logout\r")?;
    // A password that another one knows lets its owner change it and nothing else.
    terminal.signs_in("eve", FIRST_OF_EVE)?;
    terminal.expect("The password must be changed first.")?;
    terminal.types_new_password(FIRST_OF_EVE)?;
    terminal.expect("was used before")?;
    terminal.types_new_password(OWN_OF_EVE)?;
    terminal.expect("The password is changed.")?;
    terminal.expect("strongroom>")?;
    for (command, permission) in [
        ("client add array-7", "users (Users and groups)"),
        ("key list", "keys (Keys and authorization policies)"),
        ("epoch rotate", "advanced-security (Advanced security)"),
        ("cluster scrub", "cluster (Cluster)"),
        ("show admins", "high-access (High Access Administrator)"),
        (
            "admin remove admin",
            "high-access (High Access Administrator)",
        ),
        ("halt", "services (Services)"),
    ] {
        let why = format!("this needs the permission {permission}");
        refused(&terminal.command(command)?, &why)?;
    }
    terminal.send("logout\r")?;
    // A wrong password costs a moment, and is in the log like every refusal.
    terminal.signs_in("eve", FIRST_OF_EVE)?;
    terminal.expect("do not belong together")?;
    terminal.signs_in("eve", OWN_OF_EVE)?;
    terminal.expect("strongroom>")?;
    let log = terminal.command("log show --last 40")?;
    for line in [
        "operator admin (console) put administrator eve with a password",
        "operator admin (console) was refused Remove Administrator: one administrator",
        "operator eve (console) changed the password of administrator eve",
        "operator eve (console) was refused Add Client: this needs the permission users",
        "operator eve (console) was refused Begin Scrub: this needs the permission cluster",
        "somebody at console was refused Sign In of eve: this name and this password",
        "operator eve (console) asked Sign In",
    ] {
        refused(&log, line)?;
    }
    Ok(())
}

/// A node whose keys are destroyed is as new, and what was on the blocks of its keys is zeros.
#[test]
fn everything_is_destroyed_on_demand() -> Result<()> {
    let mut appliance = Standalone::new()?;
    let text = format!(
        "# strongroom setup 1\nhostname = kms1\neth0.ipv4 = off\n{}\
         admin.password = {PASSWORD}\nunlock = disk\nrecovery = passphrase\n\
         recovery.passphrase = {PASSPHRASE}\n",
        appliance.addresses()
    );
    appliance.start(Some(&text))?;
    let mut terminal = console(&appliance)?;
    terminal.signs_in("admin", PASSWORD)?;
    terminal.expect("strongroom>")?;
    let keys = appliance.path("data/keys");
    let mut remnants = Vec::new();
    for entry in fs::read_dir(&keys)? {
        let entry = entry?;
        let remnant = appliance.path("").join(entry.file_name());
        fs::hard_link(entry.path(), &remnant)?;
        remnants.push(remnant);
    }
    ensure!(
        remnants.len() > 1,
        "keys are in two files at least: {remnants:?}"
    );
    for (secret, word, why) in [
        ("a wrong passphrase", "zeroize", "nothing was destroyed"),
        (PASSPHRASE, "yes", "Nothing was done."),
    ] {
        terminal.send("zeroize\r")?;
        terminal.answer("zeroize.secret", secret)?;
        terminal.answer("zeroize.confirm", word)?;
        terminal.expect(why)?;
        terminal.expect("strongroom>")?;
    }
    let log = terminal.command("show log activity --last 20")?;
    ensure!(
        log.contains("asked Zeroize with a secret that opens no"),
        "{log}"
    );
    // The other name of the same.
    terminal.send("reset to factory\r")?;
    terminal.answer("zeroize.secret", PASSPHRASE)?;
    terminal.answer("zeroize.confirm", "zeroize")?;
    terminal.expect("Everything is destroyed")?;
    ensure!(!terminal.seen.contains(PASSPHRASE), "a secret was shown");
    let network = appliance.path("settings/network.json");
    ensure!(network.exists(), "the network has its settings until then");
    // PID 1 would start it again.
    appliance.kill()?;
    fs::remove_file(appliance.path("setup"))?;
    appliance.start(None)?;
    terminal.answer("hostname", "kms2")?;
    for remnant in remnants {
        let bytes = fs::read(&remnant)?;
        ensure!(bytes.iter().all(|byte| *byte == 0), "{}", remnant.display());
    }
    for folder in ["data/keys", "data/data", "data/clients"] {
        let left = fs::read_dir(appliance.path(folder))?.count();
        ensure!(left == 0, "{left} files are left in {folder}");
    }
    // A machine without settings has no address.
    ensure!(!network.exists(), "the network goes on as it was set up");
    Ok(())
}

#[test]
fn a_bad_file_is_refused_with_its_lines() -> Result<()> {
    let mut appliance = Standalone::new()?;
    appliance.start(Some(
        "# strongroom setup 1\nhostname = -\nunlock = perhaps\n",
    ))?;
    let status = appliance.wait()?;
    let said = appliance.said();
    ensure!(!status.success(), "it was taken: {said}");
    for place in ["line 2, hostname", "line 3, unlock"] {
        ensure!(said.contains(place), "no {place} in: {said}");
    }
    ensure!(!appliance.path("data/keys").exists(), "something was made");
    Ok(())
}
