//! Commands of a signed-in administrator at the console.

use super::health;
use super::line::{Echo, Terminal, Typed};
use super::talk::Talk;
use crate::cli::assist;
use crate::cli::history::History;
use crate::doors::control::Request;
use crate::program::{NodeCommand, operate};
use clap::{CommandFactory, Parser, Subcommand};
use operate::Show as Shown;
use serde_json::{Value, json};
use std::io::{self, Write};

/// A line typed at the console.
#[derive(Debug, Parser)]
#[command(
    name = "",
    no_binary_name = true,
    disable_version_flag = true,
    disable_help_flag = true,
    infer_subcommands = true
)]
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
    /// The lines that were typed in this session.
    History,
    /// How this terminal is used.
    #[command(subcommand)]
    Terminal(TerminalCommand),
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

#[derive(Debug, Subcommand)]
enum TerminalCommand {
    /// Lines of a long answer before it waits for a key; 0 never waits.
    Length {
        /// Lines.
        rows: u16,
    },
}

/// The grammar, for completion and help.
fn grammar() -> clap::Command {
    let mut grammar = ConsoleLine::command();
    grammar.build();
    grammar
}

/// Signs an administrator in and takes commands until they log out.
pub(super) fn session(terminal: &mut Terminal, talk: &Talk) -> anyhow::Result<()> {
    let Some(token) = sign_in(terminal, talk)? else {
        return Ok(());
    };
    terminal.say("Tab completes, ? says what may come next, help lists the commands.")?;
    let (grammar, mut history) = (grammar(), History::default());
    terminal.set_length(None);
    loop {
        let line = match terminal.command("strongroom>", &grammar, &mut history)? {
            Typed::Line(line) => line,
            Typed::Interrupted => continue,
        };
        let (mut words, last) = assist::words(&line);
        words.extend(last);
        if words.is_empty() {
            continue;
        }
        let command = match ConsoleLine::try_parse_from(words) {
            Ok(line) => line.command,
            Err(e) => {
                terminal.say(e.to_string().trim_end())?;
                continue;
            }
        };
        if let ConsoleCommand::Logout = command {
            return Ok(());
        }
        match carry_out(terminal, talk, &token, &history, command) {
            Err(e) if !operate::is_broken_pipe(&e) => {
                terminal.say(&format!("{e:#}"))?;
                // Somebody else has to sign in after a restart of the node.
                let status = with(&token, Request::Status { digest: false });
                if talk.ask(&status).is_err() {
                    return Ok(());
                }
            }
            // Done, or the rest was not wanted.
            _ => {}
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
    history: &History,
    command: ConsoleCommand,
) -> anyhow::Result<()> {
    match command {
        ConsoleCommand::Show(Show::RunningConfig) => {
            let config = talk.ask(&with(token, Request::RunningConfig))?;
            let text = text_of(&config, "text").unwrap_or_default();
            writeln!(terminal.pager(), "{}", text.trim_end())?;
        }
        ConsoleCommand::Show(Show::Health { json }) => {
            // Only administrators are told.
            talk.ask(&with(token, Request::Status { digest: false }))?;
            let status = talk.init("status")?;
            match json {
                true => terminal.say(&status.to_string())?,
                false => health::show(&mut terminal.pager(), status)?,
            }
        }
        ConsoleCommand::Halt => end(terminal, talk, token, "halt")?,
        ConsoleCommand::Reboot => end(terminal, talk, token, "reboot")?,
        ConsoleCommand::Logout => {}
        ConsoleCommand::History => {
            let mut pager = terminal.pager();
            for line in history.lines() {
                writeln!(pager, "  {line}")?;
            }
        }
        ConsoleCommand::Terminal(TerminalCommand::Length { rows }) => {
            terminal.set_length(Some(usize::from(rows)));
        }
        ConsoleCommand::Node(command) => node_command(terminal, talk, token, command)?,
    }
    Ok(())
}

/// A command that the program has too, where it is typed in a shell.
fn node_command(
    terminal: &mut Terminal,
    talk: &Talk,
    token: &str,
    command: NodeCommand,
) -> anyhow::Result<()> {
    match command {
        NodeCommand::Client(operate::ClientCommand::Add { name, groups, json }) => {
            add_client(terminal, talk, token, name, groups, json)
        }
        NodeCommand::Log(log) if log.follows() => {
            anyhow::bail!("the console shows a log as it stands; leave out --follow")
        }
        command => {
            let (request, show) = operate::request(command)?;
            let answer = talk.control(&with(token, request))?;
            // What a script reads is never stopped for a key.
            match show {
                Shown::Json => operate::print(answer, &show, &mut io::stdout())?,
                _ => operate::print(answer, &show, &mut terminal.pager())?,
            };
            Ok(())
        }
    }
}

/// Adds a client and shows what it needs: there are no files that somebody could fetch.
fn add_client(
    terminal: &mut Terminal,
    talk: &Talk,
    token: &str,
    name: String,
    groups: Vec<String>,
    json: bool,
) -> anyhow::Result<()> {
    let request = Request::ClientAdd {
        name: name.clone(),
        groups: groups.clone(),
    };
    talk.ask(&with(token, request))?;
    let bundle = talk.ask(&with(token, Request::ClientBundle { name: name.clone() }))?;
    if json {
        return Ok(terminal.say(&bundle.to_string())?);
    }
    let added = json!({ "client": name, "groups": groups });
    operate::fields(&mut io::stdout(), &added, 0)?;
    Ok(show_bundle(terminal, &bundle)?)
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_line_is_a_command_of_the_program() {
        for line in [
            "show running-config",
            "status",
            "client add demo",
            "halt",
            "log show",
        ] {
            let words = line.split(' ');
            assert!(ConsoleLine::try_parse_from(words).is_ok(), "{line}");
        }
        assert!(ConsoleLine::try_parse_from(["rm", "-rf", "/"]).is_err());
    }

    #[test]
    fn the_grammar_explains_itself() {
        let grammar = grammar();
        let offered = |before: &str| {
            let choices = assist::choices(&grammar, before);
            choices
                .into_iter()
                .map(|choice| choice.word)
                .collect::<Vec<_>>()
        };
        assert_eq!(offered("show r"), ["running-config"]);
        assert_eq!(offered("log show --view a"), ["audit", "activity"]);
        assert!(offered("").contains(&"halt".to_owned()));
        for choice in assist::choices(&grammar, "") {
            assert!(!choice.about.is_empty(), "{choice:?} is not explained");
        }
    }
}
