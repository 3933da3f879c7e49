//! The console: a person at the serial line of an appliance. It first asks for what a new appliance
//! needs to know, then for what unlocks one that was switched off, then takes commands.
//!
//! It is a process of its own without rights: everything it wants, it asks the node for, over Unix
//! sockets.

mod dialogue;
mod line;

use crate::session::commands;
use crate::session::talk::Talk;
use crate::session::terminal::Terminal;
use anyhow::Context;
use line::Tty;
use serde_json::Value;
use std::time::Duration;

/// Pause before the node is looked for again.
const LOOK_AGAIN: Duration = Duration::from_millis(300);

/// Runs until the line is gone.
pub(crate) fn run(talk: &Talk) -> anyhow::Result<()> {
    let mut screen = Tty::open().context("the console is no terminal")?;
    let mut terminal = Terminal::new(&mut screen);
    let mut said = None;
    loop {
        let Ok(phase) = talk.phase() else {
            let now = waiting(talk);
            if said.as_ref() != Some(&now) {
                terminal.say(&now)?;
                said = Some(now);
            }
            std::thread::sleep(LOOK_AGAIN);
            continue;
        };
        said = None;
        match phase.get("phase").and_then(Value::as_str) {
            Some("set-up") => dialogue::set_up(&mut terminal, talk)?,
            Some("confirm") => dialogue::confirm(&mut terminal, talk, &phase)?,
            Some("sealed") => dialogue::unlock(&mut terminal, talk)?,
            Some("error-state") => dialogue::error_state(&mut terminal, talk, &phase)?,
            _ => commands::sign_in_and_run(&mut terminal, talk)?,
        }
    }
}

/// What there is to say while nobody answers: why the node ended, if it did.
fn waiting(talk: &Talk) -> String {
    let last_words = || -> Option<String> {
        let status = talk.init("status").ok()?;
        let services = status.get("services")?.as_array()?;
        let core = services.iter().find(|service| service["name"] == "core")?;
        Some(core.get("last_words")?.as_str()?.to_owned())
    };
    match last_words() {
        Some(words) if !words.is_empty() => {
            format!("Strongroom did not start, and is started again. It said:\n{words}")
        }
        _ => "Strongroom is starting.".to_owned(),
    }
}
