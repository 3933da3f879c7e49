//! Commands of a signed-in administrator at the console.

use super::health;
use super::line::{Echo, Terminal, Typed};
use super::talk::Talk;
use crate::doors::control::Request;
use crate::program::{NodeCommand, operate};
use clap::{Parser, Subcommand};
use serde_json::Value;
use std::io;

/// A line typed at the console.
#[derive(Debug, Parser)]
#[command(name = "", no_binary_name = true, disable_version_flag = true)]
struct ConsoleLine {
    #[command(subcommand)]
    command: ConsoleCommand,
}

#[derive(Debug, Subcommand)]
enum ConsoleCommand {
    /// Show what this appliance is and does.
    #[command(subcommand)]
    Show(Show),
    /// Switch the appliance off.
    Halt,
    /// Start it anew.
    Reboot,
    /// End this session.
    Logout,
    #[command(flatten)]
    Node(NodeCommand),
}

#[derive(Debug, Subcommand)]
enum Show {
    /// The set-up file that gives this configuration again, without secrets.
    RunningConfig,
    /// Boot, processes and their confinement, ports that listen, self-test, as the kernel tells.
    Health {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

/// Signs an administrator in and takes commands until they log out.
pub(super) fn session(terminal: &mut Terminal, talk: &Talk) -> anyhow::Result<()> {
    let Some(token) = sign_in(terminal, talk)? else {
        return Ok(());
    };
    terminal.say("Type help for the commands.")?;
    loop {
        let line = match terminal.ask("strongroom>", Echo::Shown)? {
            Typed::Line(line) => line,
            Typed::Interrupted => continue,
        };
        let words = words(&line);
        if words.is_empty() {
            continue;
        }
        match ConsoleLine::try_parse_from(words) {
            Ok(line) => {
                if let ConsoleCommand::Logout = line.command {
                    return Ok(());
                }
                if let Err(e) = carry_out(terminal, talk, &token, line.command) {
                    terminal.say(&format!("{e:#}"))?;
                    // Somebody else has to sign in after a restart of the node.
                    if talk
                        .ask(&with(&token, Request::Status { digest: false }))
                        .is_err()
                    {
                        return Ok(());
                    }
                }
            }
            Err(e) => terminal.say(&e.to_string())?,
        }
    }
}

fn sign_in(terminal: &mut Terminal, talk: &Talk) -> io::Result<Option<String>> {
    let name = match terminal.ask("\nStrongroom. Administrator [login]", Echo::Shown)? {
        Typed::Line(name) if !name.trim().is_empty() => name.trim().to_owned(),
        _ => return Ok(None),
    };
    let password = match terminal.ask("Password [password]", Echo::Hidden)? {
        Typed::Line(password) => password.to_string(),
        Typed::Interrupted => return Ok(None),
    };
    match talk.ask(&Request::SignIn { name, password }) {
        Ok(session) => Ok(text_of(&session, "token").map(str::to_owned)),
        Err(e) => {
            terminal.say(&format!("{e:#}"))?;
            Ok(None)
        }
    }
}

fn with(token: &str, request: Request) -> Request {
    Request::As {
        token: token.to_owned(),
        request: Box::new(request),
    }
}

fn carry_out(
    terminal: &mut Terminal,
    talk: &Talk,
    token: &str,
    command: ConsoleCommand,
) -> anyhow::Result<()> {
    let command = match command {
        ConsoleCommand::Show(Show::RunningConfig) => {
            let config = talk.ask(&with(token, Request::RunningConfig))?;
            let text = text_of(&config, "text").unwrap_or_default();
            return Ok(terminal.say(text.trim_end())?);
        }
        ConsoleCommand::Show(Show::Health { json }) => {
            // Only administrators are told.
            talk.ask(&with(token, Request::Status { digest: false }))?;
            let status = talk.init("status")?;
            let shown = match json {
                true => terminal.say(&status.to_string()),
                false => health::show(&mut io::stdout().lock(), status),
            };
            return Ok(shown?);
        }
        ConsoleCommand::Halt => return end(terminal, talk, token, "halt"),
        ConsoleCommand::Reboot => return end(terminal, talk, token, "reboot"),
        ConsoleCommand::Logout => return Ok(()),
        ConsoleCommand::Node(command) => command,
    };
    let client = match &command {
        NodeCommand::Client(operate::ClientCommand::Add { name, .. }) => Some(name.clone()),
        NodeCommand::Log(log) if log.follows() => {
            anyhow::bail!("the console shows a log as it stands; leave out --follow")
        }
        _ => None,
    };
    let (request, show) = operate::request(command)?;
    operate::print(talk.control(&with(token, request))?, &show)?;
    if let Some(name) = client {
        let bundle = talk.ask(&with(token, Request::ClientBundle { name }))?;
        show_bundle(terminal, &bundle)?;
    }
    Ok(())
}

/// Certificate and key, for copying from the terminal.
fn show_bundle(terminal: &mut Terminal, bundle: &Value) -> io::Result<()> {
    terminal.say("\nThe private key is shown this once and is kept nowhere.\n")?;
    for part in ["certificate", "key", "ca"] {
        terminal.say(text_of(bundle, part).unwrap_or_default().trim_end())?;
    }
    Ok(())
}

fn end(terminal: &mut Terminal, talk: &Talk, token: &str, ask: &str) -> anyhow::Result<()> {
    talk.ask(&with(token, Request::Status { digest: false }))?;
    let prompt = format!("The appliance will {ask}; clients lose it. yes [{ask}.confirm]");
    match terminal.ask(&prompt, Echo::Shown)? {
        Typed::Line(word) if word.trim() == "yes" => {
            talk.init(ask)?;
            Ok(terminal.say("Ending the services.")?)
        }
        _ => Ok(terminal.say("Nothing was done.")?),
    }
}

fn text_of<'a>(answer: &'a Value, key: &str) -> Option<&'a str> {
    answer.get(key)?.as_str()
}

/// Words of a line; quotes keep spaces together.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted, mut begun) = (Vec::new(), String::new(), false, false);
    for character in line.chars() {
        match character {
            '"' => {
                quoted = !quoted;
                begun = true;
            }
            c if c.is_whitespace() && !quoted => {
                if begun {
                    words.push(std::mem::take(&mut word));
                    begun = false;
                }
            }
            c => {
                word.push(c);
                begun = true;
            }
        }
    }
    if begun {
        words.push(word);
    }
    words
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_line_is_a_command_of_the_program() {
        assert_eq!(words("  client add \"a b\" "), ["client", "add", "a b"]);
        assert_eq!(words("\"\""), [""]);
        for line in [
            "show running-config",
            "status",
            "client add demo",
            "halt",
            "log show",
        ] {
            assert!(ConsoleLine::try_parse_from(words(line)).is_ok(), "{line}");
        }
        assert!(ConsoleLine::try_parse_from(words("rm -rf /")).is_err());
    }
}
