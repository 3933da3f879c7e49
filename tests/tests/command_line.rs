//! The command line in a real terminal: tmux draws it, and what a person would see is read back.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout)] // test code

use anyhow::{Context, Result, bail, ensure};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};
use tests::node::strongroom;
use tests::standalone::{PASSPHRASE, PASSWORD, Standalone};

/// How long something may take to stand on the screen.
const SHOWN_WITHIN: Duration = Duration::from_secs(60);
/// Rows and columns of the screen.
const ROWS: usize = 24;
const COLUMNS: usize = 80;

/// A screen, drawn by tmux.
struct Screen {
    socket: String,
}

impl Drop for Screen {
    fn drop(&mut self) {
        drop(self.tmux(&["kill-server"]));
    }
}

impl Screen {
    /// A terminal in which the console of an appliance runs.
    fn open(of: &Standalone) -> Result<Self> {
        let socket = of.path("tmux").display().to_string();
        let screen = Self { socket };
        let (program, sockets) = (strongroom()?, of.path("sockets"));
        let console = format!(
            "exec {} console --sockets {}",
            program.display(),
            sockets.display()
        );
        let (columns, rows) = (COLUMNS.to_string(), ROWS.to_string());
        screen.tmux(&[
            "-f",
            "/dev/null",
            "new-session",
            "-d",
            "-x",
            &columns,
            "-y",
            &rows,
            &console,
        ])?;
        Ok(screen)
    }

    fn tmux(&self, arguments: &[&str]) -> Result<String> {
        let mut tmux = Command::new("tmux");
        tmux.args(["-S", &self.socket])
            .args(arguments)
            .env("LC_ALL", "C.UTF-8");
        let output = tmux
            .output()
            .context("tmux (Debian: apt-get install tmux)")?;
        let told = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{tmux:?}: {told}");
        Ok(String::from_utf8(output.stdout)?)
    }

    /// What stands on the screen, without empty lines at its end.
    fn text(&self) -> Result<String> {
        Ok(self.tmux(&["capture-pane", "-p"])?.trim_end().to_owned())
    }

    /// Waits until the last line of the screen is this.
    fn last_line(&self, wanted: &str) -> Result<String> {
        let begun = Instant::now();
        loop {
            let text = self.text()?;
            if text
                .lines()
                .last()
                .is_some_and(|line| line.trim_end() == wanted.trim_end())
            {
                return Ok(text);
            }
            if begun.elapsed() > SHOWN_WITHIN {
                bail!("the last line is not {wanted:?}:\n{text}");
            }
            sleep(Duration::from_millis(20));
        }
    }

    fn type_text(&self, text: &str) -> Result<()> {
        self.tmux(&["send-keys", "-l", text]).map(drop)
    }

    fn press(&self, key: &str) -> Result<()> {
        self.tmux(&["send-keys", key]).map(drop)
    }

    /// Presses Space as often as more is to come, until the last line is this.
    fn space_until(&self, wanted: &str, more: &str) -> Result<String> {
        let begun = Instant::now();
        while begun.elapsed() < SHOWN_WITHIN {
            let text = self.text()?;
            match text.lines().last().map(str::trim_end) {
                Some(last) if last == wanted => return Ok(text),
                Some(last) if last == more => self.press("Space")?,
                _ => {}
            }
            sleep(Duration::from_millis(200));
        }
        bail!("the last line is not {wanted:?}:\n{}", self.text()?)
    }

    /// Types a line at a prompt and waits for the next prompt; gives the screen.
    fn command(&self, line: &str) -> Result<String> {
        self.press("C-l")?;
        self.type_text(line)?;
        self.last_line(&format!("strongroom> {line}"))?;
        self.press("Enter")?;
        self.last_line("strongroom>")
    }
}

/// An appliance that serves, and a screen on which its administrator has signed in.
fn signed_in() -> Result<(Standalone, Screen)> {
    let mut appliance = Standalone::new()?;
    let setup = format!(
        "# strongroom setup 1\nhostname = kms1\neth0.ipv4 = off\n{}admin.password = {PASSWORD}\n\
         unlock = disk\nrecovery = passphrase\nrecovery.passphrase = {PASSPHRASE}\n",
        appliance.addresses()
    );
    appliance.start(Some(&setup))?;
    let screen = Screen::open(&appliance)?;
    screen.last_line("Strongroom. Administrator [login]")?;
    screen.type_text("admin")?;
    screen.press("Enter")?;
    screen.last_line("Password [password]")?;
    screen.type_text(PASSWORD)?;
    screen.press("Enter")?;
    let text = screen.last_line("strongroom>")?;
    ensure!(!text.contains(PASSWORD), "the password was echoed:\n{text}");
    Ok((appliance, screen))
}

#[test]
fn tab_and_question_mark_know_the_grammar() -> Result<()> {
    let (_appliance, screen) = signed_in()?;
    screen.type_text("sh")?;
    screen.press("Tab")?;
    screen.last_line("strongroom> show")?;
    screen.type_text("ru")?;
    screen.press("Tab")?;
    screen.last_line("strongroom> show running-config")?;
    screen.press("C-u")?;
    screen.last_line("strongroom>")?;
    // What may come next is explained, and the line stays as it was.
    screen.type_text("log show --view ?")?;
    let text = screen.last_line("strongroom> log show --view")?;
    for word in ["system", "audit", "activity", "client"] {
        ensure!(
            text.contains(&format!("\n  {word}")),
            "no {word} in:\n{text}"
        );
    }
    screen.press("C-u")?;
    screen.type_text("nonsense ?")?;
    let text = screen.last_line("strongroom> nonsense")?;
    ensure!(text.contains("nothing that is known"), "{text}");
    screen.press("C-c")?;
    screen.last_line("strongroom>")?;
    // Between quotes it is a letter like any other.
    screen.type_text("client add \"who?\"")?;
    screen.last_line("strongroom> client add \"who?\"")?;
    screen.press("Enter")?;
    let text = screen.last_line("strongroom>")?;
    ensure!(
        text.contains("who?"),
        "the reason does not name it:\n{text}"
    );
    Ok(())
}

#[test]
fn a_line_is_mended_and_comes_back() -> Result<()> {
    let (_appliance, screen) = signed_in()?;
    screen.command("terminal length 0")?;
    screen.type_text("stutus")?;
    for _ in 0..4 {
        screen.press("Left")?;
    }
    screen.press("Delete")?;
    screen.press("BSpace")?;
    screen.type_text("ta")?;
    screen.press("Delete")?;
    screen.type_text("t")?;
    screen.press("Enter")?;
    let text = screen.last_line("strongroom>")?;
    ensure!(
        text.contains("serving:"),
        "no status on the screen:\n{text}"
    );
    screen.command("history")?;
    screen.press("Up")?;
    screen.last_line("strongroom> history")?;
    screen.press("Up")?;
    screen.last_line("strongroom> status")?;
    screen.press("Down")?;
    screen.press("Down")?;
    screen.last_line("strongroom>")?;
    Ok(())
}

#[test]
fn a_long_answer_waits_for_a_key() -> Result<()> {
    let (_appliance, screen) = signed_in()?;
    screen.command("terminal length 10")?;
    screen.type_text("show running-config")?;
    screen.press("Enter")?;
    let more = "-- more: space for a screen, Enter for a line, q to stop --";
    let first = screen.last_line(more)?;
    let shown = first.split("show running-config").last();
    let lines = shown.unwrap_or_default().trim().lines().count();
    ensure!(lines == 10, "{lines} lines:\n{first}");
    screen.press("Enter")?;
    sleep(Duration::from_millis(200));
    let second = screen.last_line(more)?;
    ensure!(first != second, "Enter shows one line more");
    let end = screen.space_until("strongroom>", more)?;
    ensure!(end.contains("recovery = passphrase"), "{end}");
    screen.type_text("show running-config")?;
    screen.press("Enter")?;
    screen.last_line(more)?;
    screen.press("q")?;
    let stopped = screen.last_line("strongroom>")?;
    let shown = stopped.split("show running-config").last();
    let went_on = shown.is_some_and(|shown| shown.contains("recovery = passphrase"));
    ensure!(!went_on, "{stopped}");
    screen.command("terminal length 0")?;
    let whole = screen.command("show running-config")?;
    ensure!(whole.contains("recovery = passphrase"), "{whole}");
    Ok(())
}
