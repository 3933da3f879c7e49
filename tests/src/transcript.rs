//! Lines at the command line and their answers, through whatever door.
//!
//! What they print is kept in `tests/tests/transcript/transcript.txt`; `STRONGROOM_BLESS=1` has
//! suite `transcript` write it anew, for a reader to compare.

use crate::desk::Desk;
use crate::terminal::Terminal;
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};

/// Lines that say the same whatever the node; what is changed is changed back.
const LINES: &[&str] = &[
    "help",
    "help configure",
    "help configure ip address",
    "configure ntp ntp1.example.org 192.0.2.123",
    "configure ntp ntp1.example.org, 192.0.2.123",
    "configure no ntp",
    "configure dns 192.0.2.53 2001:db8::53",
    "configure no set dns",
    "configure hostname two.labels",
    "configure ip address 192.0.2.256/24",
    "configure gateway nonsense",
    "configure set eth0.ipv4 static",
    "configure set kmip.listen 192.0.2.99:5696",
    "configure set web.listen 0.0.0.0:5696 kmip.listen 127.0.0.1:5696",
    "configure set colour red",
    "configure set dns",
    "configure no set eth0.address",
    "configure set password.length 7",
    "show key 00000000-0000-0000-0000-000000000000",
    "show key ../../etc/passwd",
    "show log nonsense",
    "log show --follow",
    "client revoke nobody",
    "client add ../../etc",
    "admin permissions",
    "admin permissions nobody logging",
    "admin remove admin",
    "cluster approve 00:00",
    "slot remove 99",
    "services restart ../core",
    "help services",
    "help services stop",
    "services stop console",
    "services start kmip",
    "help ssh key",
    "help web cert",
    "help no fips compliant",
    "help reset to factory",
    "help key",
    "help key create",
    "help key revoke",
    "key create nobody",
    "key create nobody --algorithm ROT13",
    "key activate 00000000-0000-0000-0000-000000000000",
    "key revoke 00000000-0000-0000-0000-000000000000 --reason nonsense",
    "key revoke 00000000-0000-0000-0000-000000000000 --reason cessation",
    "key destroy 00000000-0000-0000-0000-000000000000",
    "key destroy 00000000-0000-0000-0000-000000000000 --yes",
    "help configure time",
    "configure time yesterday",
    "configure time 1999-01-01T00:00:00Z",
    "no fips compliant --confirm 0000000000000000",
    "help show cert",
    "help show backups",
    "help show time",
    "log rotation",
    "configure set log.size 0",
    "nonsense",
    "show",
    "rm -rf /",
    "\"",
];

/// Where it is kept.
pub fn kept_at() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcript/transcript.txt")
}

/// The one that is kept.
pub fn kept() -> Result<String> {
    let file = kept_at();
    fs::read_to_string(&file).with_context(|| file.display().to_string())
}

/// The answer to a line as it stands on a screen, without the line itself.
pub fn typed(terminal: &mut Terminal, line: &str) -> Result<String> {
    let shown = terminal.command(line)?;
    let shown = shown.split_once('\n').map_or("", |(_, answer)| answer);
    Ok(visible(shown))
}

/// The answer to a line that is given instead of asking for a prompt; errors are on a channel of
/// their own.
pub fn given(desk: &Desk, line: &str) -> Result<String> {
    let output = desk.line(line)?;
    let code = output.status.code().context("an exit code")?;
    let (out, err) = (&output.stdout, &output.stderr);
    ensure!(code != 255, "{line}: {}", String::from_utf8_lossy(err));
    ensure!(
        (code == 0) == err.is_empty(),
        "{line} ended with {code}: {}",
        String::from_utf8_lossy(err)
    );
    Ok(visible(&String::from_utf8_lossy(
        &[&out[..], &err[..]].concat(),
    )))
}

/// Lines as somebody sees them.
pub fn visible(text: &str) -> String {
    let mut seen = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("\x1b[") {
        seen.push_str(&rest[..at]);
        let sequence = &rest[at + 2..];
        let end = sequence.find(|c: char| c.is_ascii_alphabetic());
        rest = end.map_or("", |end| &sequence[end + 1..]);
    }
    seen.push_str(rest);
    let lines = seen.lines().map(|line| line.trim_end_matches(['\r', ' ']));
    let lines: Vec<&str> = lines.collect();
    lines.join("\n").trim_matches('\n').to_owned()
}

/// The lines with their answers.
pub fn transcript(mut answer: impl FnMut(&str) -> Result<String>) -> Result<String> {
    let mut text = String::new();
    for line in LINES {
        let answer = answer(line).with_context(|| format!("{line:?}"))?;
        text += &format!("strongroom> {line}\n{answer}\n");
    }
    Ok(text)
}

/// Says where two of them differ.
pub fn same(what: &str, kept: &str, now: &str) -> Result<()> {
    let differs = kept
        .lines()
        .zip(now.lines())
        .find(|(kept, now)| kept != now);
    ensure!(
        kept == now,
        "{what}: first difference {differs:#?}\n\nnow:\n{now}"
    );
    Ok(())
}
