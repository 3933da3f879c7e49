//! The first-run dialogue, the operator's word at its end, and unlocking.
//!
//! Every prompt ends with the stable `[id]` of its item, so that a script can wait for it. `?` says
//! more, an empty line takes the default, Ctrl-C goes back one item; nothing that was answered is
//! lost by it.

use crate::doors::threshold::Early;
use crate::session::talk::Talk;
use crate::session::terminal::{Echo, Terminal, Typed};
use crate::setup::{Answers, Form, ONCE, Once};
use anyhow::Context;
use domain::setting::{self, Setting};
use serde_json::Value;
use std::io;
use zeroize::Zeroizing;

/// Shares that are typed again, to see that they were written down.
const SHARES_CHECKED: usize = 3;

/// One item of the dialogue.
#[derive(Clone, Copy)]
enum Item {
    Setting(&'static Setting),
    Once(&'static Once),
}

impl Item {
    fn all() -> Vec<Self> {
        let asked = setting::TABLE.iter().filter(|setting| setting.is_asked());
        let settings = asked.map(Self::Setting);
        settings.chain(ONCE.iter().map(Self::Once)).collect()
    }

    fn id(self) -> &'static str {
        match self {
            Self::Setting(setting) => setting.id,
            Self::Once(once) => once.id,
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Setting(setting) => setting.title,
            Self::Once(once) => once.title,
        }
    }

    fn help(self) -> &'static str {
        match self {
            Self::Setting(setting) => setting.help,
            Self::Once(once) => once.help,
        }
    }

    fn has_default(self) -> bool {
        match self {
            Self::Setting(setting) => setting.default.is_some(),
            Self::Once(once) => once.default.is_some(),
        }
    }

    fn is_secret(self) -> bool {
        matches!(
            self,
            Self::Once(Once {
                form: Form::Password | Form::Passphrase,
                ..
            })
        )
    }
}

/// How asking for an item ended.
enum Asked {
    Answered,
    Back,
}

/// Asks for everything, shows it, and has it carried out.
pub(super) fn set_up(terminal: &mut Terminal<'_>, talk: &Talk) -> anyhow::Result<()> {
    terminal.say(
        "\nStrongroom: first set-up of this appliance\n\n\
         An empty line takes what stands in (parentheses), ? explains, Ctrl-C goes back.\n\
         Nothing is made before you have seen all answers; a power cut starts over.\n",
    )?;
    let mut answers = Answers::default();
    ask_all(terminal, &mut answers)?;
    ask_clock(terminal, talk)?;
    loop {
        summary(terminal, &answers)?;
        if let Err(wrong) = answers.check() {
            for wrong in wrong {
                terminal.say(&format!("  {wrong}"))?;
            }
        }
        let prompt = "Carry this out? yes, all to go through it again, or an item to change \
                      [set-up.confirm]";
        let word = match terminal.ask(prompt, Echo::Shown)? {
            Typed::Line(word) => word,
            Typed::Interrupted => continue,
        };
        match word.trim() {
            // What does not work out loses no answer.
            "yes" if answers.check().is_ok() => {
                if let Some(made) = carry_out(terminal, talk, &answers)? {
                    return confirm(terminal, talk, &made);
                }
            }
            "yes" => terminal.say("Something is missing or does not fit; see above.")?,
            "all" => {
                ask_all(terminal, &mut answers)?;
                ask_clock(terminal, talk)?;
            }
            id => match Item::all().into_iter().find(|item| item.id() == id) {
                Some(item) => {
                    ask(terminal, &mut answers, item)?;
                }
                None => terminal.say("yes, all, or one of the names on the left")?,
            },
        }
    }
}

fn ask_all(terminal: &mut Terminal<'_>, answers: &mut Answers) -> anyhow::Result<()> {
    let items = Item::all();
    let mut at = 0;
    let mut been = Vec::new();
    while let Some(item) = items.get(at).copied() {
        if !answers.wants(item.id()) {
            at += 1;
            continue;
        }
        match ask(terminal, answers, item)? {
            Asked::Answered => {
                been.push(at);
                at += 1;
            }
            Asked::Back => at = been.pop().unwrap_or(at),
        }
    }
    Ok(())
}

/// Asks what time it is, where this appliance sets its clock. A time server would correct it later,
/// but certificates begin with the time of the set-up.
fn ask_clock(terminal: &mut Terminal<'_>, talk: &Talk) -> anyhow::Result<()> {
    loop {
        let phase = talk.phase()?;
        let Some(now) = phase.get("clock").and_then(Value::as_str) else {
            return Ok(());
        };
        let prompt = format!("Date and time in UTC ({now}) [clock]");
        let typed = match terminal.ask(&prompt, Echo::Shown)? {
            Typed::Line(typed) => typed.trim().to_owned(),
            Typed::Interrupted => return Ok(()),
        };
        match typed.as_str() {
            "" => return Ok(()),
            "?" => terminal.say(
                "  An empty line if it is right to a few seconds; time servers correct the rest.\n\
                 \x20 For example: 2026-11-23 05:30:00",
            )?,
            utc => match talk.early(&Early::SetClock {
                utc: utc.to_owned(),
            }) {
                Ok(_) => return Ok(terminal.say("  The clock is set.")?),
                Err(e) => terminal.say(&format!("  {e:#}"))?,
            },
        }
    }
}

fn ask(terminal: &mut Terminal<'_>, answers: &mut Answers, item: Item) -> anyhow::Result<Asked> {
    let id = item.id();
    loop {
        let typed = if item.is_secret() {
            ask_secret(terminal, item)?
        } else {
            let shown = answers.get(id);
            let default = if shown.is_empty() { "none" } else { shown };
            let default = if item.has_default() || !shown.is_empty() {
                format!(" ({default})")
            } else {
                String::new()
            };
            let prompt = format!("{}{default} [{id}]", item.title());
            match terminal.ask(&prompt, Echo::Shown)? {
                Typed::Line(line) => Some(line),
                Typed::Interrupted => None,
            }
        };
        let Some(typed) = typed else {
            return Ok(Asked::Back);
        };
        if typed.trim() == "?" {
            terminal.say(&indented(item.help()))?;
            continue;
        }
        let current = answers.get(id).to_owned();
        let value: &str = match typed.trim() {
            "" if !item.is_secret() => &current,
            // How to say "nothing" where something stands.
            "none" if !item.is_secret() => "",
            _ => &typed,
        };
        match answers.set(id, value) {
            Ok(()) => return Ok(Asked::Answered),
            Err(wrong) => terminal.say(&format!("  {}", wrong.why))?,
        }
    }
}

/// A secret, twice; `None` after Ctrl-C.
fn ask_secret(terminal: &mut Terminal<'_>, item: Item) -> io::Result<Option<Zeroizing<String>>> {
    let (title, id) = (item.title(), item.id());
    loop {
        let first = match terminal.ask(&format!("{title} [{id}]"), Echo::Hidden)? {
            Typed::Line(first) => first,
            Typed::Interrupted => return Ok(None),
        };
        // What cannot be right need not be typed again.
        if first.trim() == "?" || Answers::default().set(id, &first).is_err() {
            return Ok(Some(first));
        }
        match terminal.ask(&format!("The same again [{id}.again]"), Echo::Hidden)? {
            Typed::Line(again) if again == first => return Ok(Some(first)),
            Typed::Line(_) => terminal.say("  The two differ; once more.")?,
            Typed::Interrupted => return Ok(None),
        }
    }
}

fn summary(terminal: &mut Terminal<'_>, answers: &Answers) -> io::Result<()> {
    terminal.say("\nYour answers:")?;
    for item in Item::all() {
        let id = item.id();
        if !answers.wants(id) {
            continue;
        }
        let value = match item.is_secret() {
            true if answers.secret(id).is_some() => "(given)",
            true => "(missing)",
            false => answers.get(id),
        };
        terminal.say(&format!("  {id:<22} {value}"))?;
    }
    Ok(())
}

/// What was made; `None` if the node refused, which was said.
fn carry_out(
    terminal: &mut Terminal<'_>,
    talk: &Talk,
    answers: &Answers,
) -> anyhow::Result<Option<Value>> {
    terminal.say("\nMaking keys, certificates and the log; this takes some seconds.")?;
    let plain = answers
        .plain()
        .map(|(id, value)| (id.to_owned(), value.to_owned()));
    let secrets = answers.secrets().map(|(id, secret)| {
        let text = String::from_utf8_lossy(secret.expose()).into_owned();
        (id.to_owned(), text)
    });
    let items = plain.chain(secrets).collect();
    match talk.early(&Early::SetUp { items }) {
        Ok(made) => Ok(Some(made)),
        Err(e) => {
            terminal.say(&format!("The set-up was not carried out: {e:#}"))?;
            Ok(None)
        }
    }
}

/// Shows what the operator has to write down, has it proven, and takes the final word.
pub(super) fn confirm(
    terminal: &mut Terminal<'_>,
    talk: &Talk,
    made: &Value,
) -> anyhow::Result<()> {
    if let Some(shares) = made["shares"].as_array() {
        confirm_shares(terminal, talk, shares)?;
    }
    terminal.say("\nWrite these down; they are how you recognise this appliance from afar:")?;
    for pair in made["fingerprints"].as_array().into_iter().flatten() {
        let (what, fingerprint) = (pair[0].as_str(), pair[1].as_str());
        let line = format!(
            "  {}:\n    {}",
            what.unwrap_or("?"),
            fingerprint.unwrap_or("?")
        );
        terminal.say(&line)?;
    }
    loop {
        let prompt = "\nIs this appliance to serve from now on? yes [set-up.serve]";
        match terminal.ask(prompt, Echo::Shown)? {
            Typed::Line(word) if word.trim() == "yes" => break,
            _ => terminal.say("Type yes; to start over instead, switch the power off and on.")?,
        }
    }
    talk.early(&Early::Confirm).context("ending the set-up")?;
    terminal.say("The appliance serves.")?;
    Ok(())
}

fn confirm_shares(
    terminal: &mut Terminal<'_>,
    talk: &Talk,
    shares: &[Value],
) -> anyhow::Result<()> {
    let all = shares.len();
    terminal.say(&format!(
        "\nRecovery shares. They are shown this once: give each to another person. Any \
         {SHARES_CHECKED} of the {all} unlock the appliance when nothing else does.\n"
    ))?;
    for (number, share) in shares.iter().enumerate() {
        let text = share.as_str().unwrap_or("?");
        terminal.say(&format!("  share {} of {all}:  {text}", number + 1))?;
    }
    loop {
        terminal.say(&format!(
            "\nTo see that they were written down, type {SHARES_CHECKED} of them."
        ))?;
        let Some(typed) = ask_shares(terminal)? else {
            continue;
        };
        match talk.early(&Early::CheckShares { shares: typed }) {
            Ok(_) => return Ok(terminal.say("  They are right.")?),
            Err(e) => terminal.say(&format!("  {e:#}"))?,
        }
    }
}

/// Shares as people type them; `None` after Ctrl-C.
fn ask_shares(terminal: &mut Terminal<'_>) -> io::Result<Option<Vec<String>>> {
    let mut typed = Vec::new();
    for number in 1..=SHARES_CHECKED {
        match terminal.ask(&format!("Share [share.{number}]"), Echo::Shown)? {
            Typed::Line(share) => typed.push(share.to_string()),
            Typed::Interrupted => return Ok(None),
        }
    }
    Ok(Some(typed))
}

/// Says which self-tests failed. Nobody can sign in, because nothing is opened; whoever is at the
/// machine may start it again or switch it off, as its power switch would.
pub(super) fn error_state(
    terminal: &mut Terminal<'_>,
    talk: &Talk,
    phase: &Value,
) -> anyhow::Result<()> {
    terminal.say("\nERROR STATE. These self-tests failed:")?;
    for failed in phase["failed"].as_array().into_iter().flatten() {
        terminal.say(&format!("  {}", failed.as_str().unwrap_or("?")))?;
    }
    terminal.say(
        "No keys are served and nothing is changed. If a restart does not help, the machine or\n\
         the system on it is damaged.",
    )?;
    match terminal.ask("reboot or halt [error-state]", Echo::Shown)? {
        Typed::Line(word) if matches!(word.trim(), "reboot" | "halt") => {
            match talk.init(word.trim()) {
                Ok(_) => terminal.say("Ending the services.")?,
                Err(e) => terminal.say(&format!("  {e:#}"))?,
            }
        }
        _ => {}
    }
    Ok(())
}

/// Asks for what opens the keys.
pub(super) fn unlock(terminal: &mut Terminal<'_>, talk: &Talk) -> anyhow::Result<()> {
    let prompt = "The appliance is locked. Passphrase, or the word shares [unlock]";
    let typed = match terminal.ask(prompt, Echo::Hidden)? {
        Typed::Line(typed) => typed,
        Typed::Interrupted => return Ok(()),
    };
    let early = if typed.trim() == "shares" {
        match ask_shares(terminal)? {
            Some(shares) => Early::UnlockByShares { shares },
            None => return Ok(()),
        }
    } else {
        Early::Unlock {
            passphrase: typed.to_string(),
        }
    };
    terminal.say("Unlocking.")?;
    match talk.early(&early) {
        Ok(_) => terminal.say("The appliance serves.")?,
        Err(e) => terminal.say(&format!("  {e:#}"))?,
    }
    Ok(())
}

fn indented(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(|line| format!("  {line}")).collect();
    lines.join("\n")
}
