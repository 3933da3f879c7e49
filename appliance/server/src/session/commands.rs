//! The commands of a signed-in administrator.

use super::administration::{self, AdminCommand, Change};
use super::health;
use super::talk::Talk;
use super::terminal::{Echo, Terminal, Typed};
use crate::cli::assist;
use crate::cli::history::History;
use crate::doors::control::Request;
use crate::program::NodeCommand;
use crate::program::operate::{self, Progress};
use anyhow::Context;
use clap::{CommandFactory, Parser, Subcommand};
use operate::Show as Shown;
use serde_json::{Value, json};
use std::io::{self, Write};
use zeroize::Zeroizing;

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
    /// Add, change and remove administrators.
    #[command(subcommand)]
    Admin(AdminCommand),
    /// Change your own password.
    Password,
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
    /// The administrators and what they may do.
    Admins {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Approved-algorithms mode and self-tests.
    #[command(subcommand)]
    Fips(ShowFips),
    /// Boot, processes and their confinement, ports that listen, self-test, as the kernel tells.
    Health {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Subcommand)]
enum ShowFips {
    /// Mode, parts and self-tests.
    Status {
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

/// Asks for name and password, and takes commands until that administrator logs out.
pub(crate) fn sign_in_and_run(terminal: &mut Terminal<'_>, talk: &Talk) -> anyhow::Result<()> {
    let Some(session) = sign_in(terminal, talk)? else {
        return Ok(());
    };
    run(terminal, talk, &session)
}

/// Somebody who has signed in.
pub(crate) struct Session {
    /// What the node knows the session by.
    pub(crate) token: String,
    /// Whether nothing may be done before the password is changed.
    pub(crate) must_change: bool,
    /// The password, when it was typed just now.
    pub(crate) password: Option<Zeroizing<String>>,
}

impl Session {
    /// Reads the node's answer to a sign-in.
    ///
    /// # Errors
    /// It is none.
    pub(crate) fn of(answer: &Value, password: Option<Zeroizing<String>>) -> anyhow::Result<Self> {
        let token = text_of(answer, "token").context("the node gave no token")?;
        let must_change = answer.get("must_change").and_then(Value::as_bool);
        Ok(Self {
            token: token.to_owned(),
            must_change: must_change == Some(true),
            password,
        })
    }
}

/// Takes commands until the administrator logs out.
pub(crate) fn run(
    terminal: &mut Terminal<'_>,
    talk: &Talk,
    session: &Session,
) -> anyhow::Result<()> {
    if session.must_change && !change_password(terminal, talk, session)? {
        return Ok(());
    }
    let token = &session.token;
    terminal.say("Tab completes, ? says what may come next, help lists the commands.")?;
    let (grammar, mut history) = (grammar(), History::default());
    terminal.set_length(None);
    loop {
        let line = match terminal.command("strongroom>", &grammar, &mut history)? {
            Typed::Line(line) => line,
            Typed::Interrupted => continue,
        };
        let command = match parse(&line) {
            Ok(Some(command)) => command,
            Ok(None) => continue,
            Err(e) => {
                terminal.say(e.to_string().trim_end())?;
                continue;
            }
        };
        if let ConsoleCommand::Logout = command {
            return Ok(());
        }
        match carry_out(terminal, talk, token, &history, command) {
            Err(e) if !operate::is_broken_pipe(&e) => {
                terminal.say(&format!("{e:#}"))?;
                // Somebody else has to sign in after a restart of the node.
                let status = with(token, Request::Status { digest: false });
                if talk.ask(&status).is_err() {
                    return Ok(());
                }
            }
            // Done, or the rest was not wanted.
            _ => {}
        }
    }
}

/// What a line asks for; an empty one asks for nothing.
fn parse(line: &str) -> Result<Option<ConsoleCommand>, clap::Error> {
    let (mut words, last) = assist::words(line);
    words.extend(last);
    if words.is_empty() {
        return Ok(None);
    }
    ConsoleLine::try_parse_from(words).map(|line| Some(line.command))
}

/// Carries out one line, for somebody who gave it instead of asking for a prompt.
///
/// # Errors
/// It was not done, and why.
pub(crate) fn run_line(
    terminal: &mut Terminal<'_>,
    talk: &Talk,
    session: &Session,
    line: &str,
) -> Result<(), NotDone> {
    terminal.set_length(Some(0));
    match parse(line) {
        Ok(None) => Ok(()),
        Ok(Some(command)) => {
            let history = History::default();
            carry_out(terminal, talk, &session.token, &history, command).map_err(NotDone::Failed)
        }
        Err(e) if !e.use_stderr() => {
            let said = terminal.say(e.to_string().trim_end());
            said.map_err(|e| NotDone::Failed(e.into()))
        }
        Err(e) => Err(NotDone::NoCommand(e.to_string().trim_end().to_owned())),
    }
}

/// Why a line was not carried out.
pub(crate) enum NotDone {
    /// It is not in the grammar.
    NoCommand(String),
    /// The node refused it, or something failed.
    Failed(anyhow::Error),
}

/// True when it was changed; false when that was given up.
fn change_password(
    terminal: &mut Terminal<'_>,
    talk: &Talk,
    session: &Session,
) -> anyhow::Result<bool> {
    terminal.say("The password must be changed first.")?;
    let old = session.password.as_deref().map(String::as_str);
    loop {
        match administration::change_own(terminal, talk, &session.token, old)? {
            Change::Done => return Ok(true),
            Change::Refused => {}
            Change::GivenUp => return Ok(false),
        }
    }
}

fn sign_in(terminal: &mut Terminal<'_>, talk: &Talk) -> anyhow::Result<Option<Session>> {
    let name = match terminal.ask("\nStrongroom. Administrator [login]", Echo::Shown)? {
        Typed::Line(name) if !name.trim().is_empty() => name.trim().to_owned(),
        _ => return Ok(None),
    };
    let Typed::Line(password) = terminal.ask("Password [password]", Echo::Hidden)? else {
        return Ok(None);
    };
    let sign_in = Request::SignIn {
        name,
        password: password.to_string(),
        from: None,
    };
    match talk.ask(&sign_in) {
        Ok(answer) => Session::of(&answer, Some(password)).map(Some),
        Err(e) => {
            terminal.say(&format!("{e:#}"))?;
            Ok(None)
        }
    }
}

pub(crate) fn with(token: &str, request: Request) -> Request {
    Request::As {
        token: token.to_owned(),
        request: Box::new(request),
    }
}

fn carry_out(
    terminal: &mut Terminal<'_>,
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
            // Only administrators are told, and only who may do more than change the password.
            talk.ask(&with(token, Request::Status { digest: false }))?;
            let status = talk.init("status")?;
            match json {
                true => terminal.say(&status.to_string())?,
                false => health::show(&mut terminal.pager(), status)?,
            }
        }
        ConsoleCommand::Show(Show::Fips(ShowFips::Status { json })) => {
            let (request, show) = operate::fips_status(json);
            tell(terminal, talk, &with(token, request), &show)?;
        }
        ConsoleCommand::Show(Show::Admins { json }) => {
            administration::list(terminal, talk, token, json)?;
        }
        ConsoleCommand::Admin(command) => {
            administration::carry_out(terminal, talk, token, command)?;
        }
        ConsoleCommand::Password => {
            administration::change_own(terminal, talk, token, None)?;
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
    terminal: &mut Terminal<'_>,
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
            let mut secret = || ask_secret(terminal);
            let (request, show) = operate::request(command, &mut secret)?;
            tell(terminal, talk, &with(token, request), &show)
        }
    }
}

/// A secret that belongs to a command, typed twice where nothing shows it; a script gives it once.
fn ask_secret(terminal: &mut Terminal<'_>) -> anyhow::Result<Zeroizing<String>> {
    const PROMPT: &str = "Secret for this command [secret]";
    if !terminal.is_seen() {
        return match terminal.ask(PROMPT, Echo::Hidden)? {
            Typed::Line(secret) => Ok(secret),
            Typed::Interrupted => anyhow::bail!("nothing was done: no secret was given"),
        };
    }
    let typed = terminal.ask_twice(PROMPT, "The same again [secret.again]")?;
    typed.context("nothing was done: no secret was given")
}

/// Has the node carry out a request, and shows the answer.
pub(crate) fn tell(
    terminal: &mut Terminal<'_>,
    talk: &Talk,
    request: &Request,
    show: &Shown,
) -> anyhow::Result<()> {
    let answer = talk.control(request)?;
    let progress = match terminal.is_seen() {
        true => Progress::Out,
        false => Progress::None,
    };
    // What a script reads is never stopped for a key.
    match show {
        Shown::Json => operate::print(answer, show, &mut terminal.plain(), Progress::None),
        _ => operate::print(answer, show, &mut terminal.pager(), progress),
    }
}

/// Adds a client and shows what it needs: there are no files that somebody could fetch.
fn add_client(
    terminal: &mut Terminal<'_>,
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
    operate::fields(&mut terminal.plain(), &added, 0)?;
    Ok(show_bundle(terminal, &bundle)?)
}

/// Certificate and key, for copying from the terminal.
fn show_bundle(terminal: &mut Terminal<'_>, bundle: &Value) -> io::Result<()> {
    terminal.say("\nThe private key is shown this once and is kept nowhere.\n")?;
    for part in ["certificate", "key", "ca"] {
        terminal.say(text_of(bundle, part).unwrap_or_default().trim_end())?;
    }
    Ok(())
}

fn end(terminal: &mut Terminal<'_>, talk: &Talk, token: &str, ask: &str) -> anyhow::Result<()> {
    talk.ask(&with(token, Request::MayPower))?;
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
            "password",
            "show admins --json",
            "show fips status",
            "fips compliant --confirm 0123456789abcdef",
            "selftest run",
            "admin add jane --permissions auditor,serial",
            "admin permissions",
            "admin permissions jane logging,web",
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
