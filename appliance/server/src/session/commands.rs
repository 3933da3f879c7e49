//! The commands of a signed-in administrator.

use super::administration::{self, AdminCommand, Change};
use super::configure::{self, ConfigureCommand};
use super::machine::{self, Recreate, Reset, Services, Ssh, Web};
use super::show::{self, Show};
use super::talk::Talk;
use super::terminal::{Echo, Terminal, Typed};
use crate::cli::assist;
use crate::cli::history::History;
use crate::doors::control::{IdentityRequest, MachineEnd, Request};
use crate::program::NodeCommand;
use crate::program::operate::{self, Progress};
use anyhow::Context;
use clap::{CommandFactory, Parser, Subcommand};
use operate::Show as Shown;
use serde_json::{Value, json};
use std::io::{self, Write};
use zeroize::Zeroizing;

/// What may be typed here.
#[derive(Debug, Parser)]
#[command(
    name = "",
    term_width = 80,
    no_binary_name = true,
    disable_version_flag = true,
    disable_help_flag = true,
    infer_subcommands = true
)]
pub(super) struct Line<C: Subcommand> {
    #[command(subcommand)]
    pub(super) command: C,
}

/// A line at the first prompt.
type ConsoleLine = Line<ConsoleCommand>;

#[derive(Debug, Subcommand)]
enum ConsoleCommand {
    /// Show what this appliance is and does.
    #[command(subcommand)]
    Show(Show),
    /// Add, change and remove administrators.
    #[command(subcommand)]
    Admin(AdminCommand),
    /// Change settings: one line, or without one a mode in which every line is one.
    #[command(
        after_help = "Examples:\n  configure ip address 192.0.2.10/24 eth0\n  \
        configure no ntp\n  configure"
    )]
    Configure {
        #[command(subcommand)]
        line: Option<ConfigureCommand>,
    },
    /// The services: processes of the appliance, and ports that can be stopped.
    #[command(subcommand)]
    Services(Services),
    /// What SSH clients recognise this node by.
    #[command(subcommand)]
    Ssh(Ssh),
    /// What browsers and KMIP clients recognise this node by.
    #[command(subcommand)]
    Web(Web),
    /// Leave a mode.
    #[command(subcommand)]
    No(No),
    /// Change your own password.
    Password,
    /// Switch the appliance off.
    Halt,
    /// Start it anew.
    Reboot,
    /// Destroy all keys, logs and settings of this node: it is as new afterwards.
    #[command(
        after_help = "It wants the recovery passphrase or three recovery shares, and the \
        word zeroize.\nNothing brings the keys back but another node. reset to factory is the \
        same."
    )]
    Zeroize,
    /// Make this node as new.
    #[command(subcommand)]
    Reset(Reset),
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
enum No {
    /// Approved-algorithms mode.
    #[command(subcommand)]
    Fips(NoFips),
}

#[derive(Debug, Subcommand)]
enum NoFips {
    /// Allow all algorithms again: shows what that does, and how to confirm it.
    #[command(after_help = "Example:\n  no fips compliant\n  \
        no fips compliant --confirm 0f1e2d3c4b5a6978\n\nfips off is the same.")]
    Compliant(operate::Confirmation),
}

#[derive(Debug, Subcommand)]
enum TerminalCommand {
    /// Lines of a long answer before it waits for a key; 0 never waits.
    Length {
        /// Lines.
        rows: u16,
    },
}

/// A grammar, for completion and help.
pub(super) fn grammar<L: CommandFactory>() -> clap::Command {
    let mut grammar = L::command();
    grammar.build();
    grammar
}

/// Asks for name and password, and takes commands until that administrator logs out.
pub(crate) fn sign_in_and_run(terminal: &mut Terminal<'_>, talk: &Talk) -> anyhow::Result<()> {
    let Some(session) = sign_in(terminal, talk)? else {
        return Ok(());
    };
    let ended = run(terminal, talk, &session);
    sign_out(talk, &session);
    ended
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

/// Tells the node that nobody will ask in this session any more: another's would have to give way.
pub(crate) fn sign_out(talk: &Talk, session: &Session) {
    // A node that has ended in between knows it no more.
    drop(talk.ask(&with(&session.token, Request::SignOut)));
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
    let (grammar, mut history) = (grammar::<ConsoleLine>(), History::default());
    terminal.set_length(None);
    loop {
        let Some(line) = next::<ConsoleLine>(terminal, "strongroom>", &grammar, &mut history)?
        else {
            continue;
        };
        let done = match line.command {
            ConsoleCommand::Logout => return Ok(()),
            ConsoleCommand::Zeroize | ConsoleCommand::Reset(_) => {
                match machine::zeroize(terminal, talk, token) {
                    Ok(true) => return Ok(()),
                    kept => kept.map(drop),
                }
            }
            ConsoleCommand::Configure { line: None } => {
                configure::lines(terminal, talk, token, &mut history)
            }
            command => carry_out(terminal, talk, token, &history, command),
        };
        if !go_on(terminal, talk, token, done)? {
            return Ok(());
        }
    }
}

/// Says why a line was not carried out; false when somebody has to sign in again, as after a
/// restart of the node.
pub(super) fn go_on(
    terminal: &mut Terminal<'_>,
    talk: &Talk,
    token: &str,
    done: anyhow::Result<()>,
) -> io::Result<bool> {
    match done {
        Err(e) if !operate::is_broken_pipe(&e) => {
            terminal.say(&format!("{e:#}"))?;
            let status = with(token, Request::Status { digest: false });
            Ok(talk.ask(&status).is_ok())
        }
        // Done, or the rest was not wanted.
        _ => Ok(true),
    }
}

/// Reads the next line and says what is wrong with it, if it is; an empty one is none.
///
/// # Errors
/// The line is gone.
pub(super) fn next<L: Parser>(
    terminal: &mut Terminal<'_>,
    prompt: &str,
    grammar: &clap::Command,
    history: &mut History,
) -> io::Result<Option<L>> {
    let Typed::Line(line) = terminal.command(prompt, grammar, history)? else {
        return Ok(None);
    };
    match parse(&line) {
        Ok(parsed) => Ok(parsed),
        Err(e) => {
            terminal.say(e.to_string().trim_end())?;
            Ok(None)
        }
    }
}

/// What a line asks for; an empty one asks for nothing.
fn parse<L: Parser>(line: &str) -> Result<Option<L>, clap::Error> {
    let (mut words, last) = assist::words(line);
    words.extend(last);
    match words.is_empty() {
        true => Ok(None),
        false => L::try_parse_from(words).map(Some),
    }
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
    match parse::<ConsoleLine>(line) {
        Ok(None) => Ok(()),
        Ok(Some(line)) => {
            let (token, history) = (&session.token, History::default());
            carry_out(terminal, talk, token, &history, line.command).map_err(NotDone::Failed)
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
        ConsoleCommand::Show(show) => show::carry_out(terminal, talk, token, show)?,
        ConsoleCommand::Configure { line: Some(line) } => {
            configure::carry_out(terminal, talk, token, line)?;
        }
        ConsoleCommand::Configure { line: None } => {
            anyhow::bail!("say what is to be changed, as in: configure ntp 192.0.2.123")
        }
        ConsoleCommand::Services(command) => {
            machine::services(terminal, talk, token, command)?;
        }
        ConsoleCommand::Ssh(Ssh::Key(Recreate::Recreate)) => {
            machine::renew(terminal, talk, token, IdentityRequest::RenewHostKey)?;
        }
        ConsoleCommand::Web(Web::Cert(Recreate::Recreate)) => {
            machine::renew(terminal, talk, token, IdentityRequest::RenewCertificate)?;
        }
        ConsoleCommand::No(No::Fips(NoFips::Compliant(confirmation))) => {
            let off = NodeCommand::Fips(operate::FipsCommand::Off(confirmation));
            node_command(terminal, talk, token, off)?;
        }
        ConsoleCommand::Admin(command) => {
            administration::carry_out(terminal, talk, token, command)?;
        }
        ConsoleCommand::Password => {
            administration::change_own(terminal, talk, token, None)?;
        }
        ConsoleCommand::Halt => machine::power(terminal, talk, token, MachineEnd::Halt)?,
        ConsoleCommand::Reboot => machine::power(terminal, talk, token, MachineEnd::Reboot)?,
        ConsoleCommand::Zeroize | ConsoleCommand::Reset(_) => {
            machine::zeroize(terminal, talk, token).map(drop)?;
        }
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
pub(super) fn node_command(
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

pub(super) fn text_of<'a>(answer: &'a Value, key: &str) -> Option<&'a str> {
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
            "configure",
            "configure ip address 192.0.2.10/24 eth1",
            "configure no dns",
            "services restart ssh",
            "services stop kmip",
            "services start status",
            "ssh key recreate",
            "web cert recreate",
            "no fips compliant --confirm 0123456789abcdef",
            "reset to factory",
            "show cert --json",
            "show backups",
            "show time",
            "configure time 2026-11-23T05:30:00Z",
            "key create demo --name disk-7 --algorithm AES --bits 256 --activate",
            "key activate 0192d3a4-0000-7000-8000-000000000000",
            "key revoke 0192d3a4-0000-7000-8000-000000000000 --reason cessation",
            "key destroy 0192d3a4-0000-7000-8000-000000000000",
            "show log clientevent --last 5",
        ] {
            let words = line.split(' ');
            assert!(ConsoleLine::try_parse_from(words).is_ok(), "{line}");
        }
        for line in ["rm -rf /", "services stop console", "services stop core"] {
            let words = line.split(' ');
            assert!(ConsoleLine::try_parse_from(words).is_err(), "{line}");
        }
    }

    #[test]
    fn the_grammar_explains_itself() {
        let grammar = grammar::<ConsoleLine>();
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
