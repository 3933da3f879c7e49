//! Commands about administrators at the console. Passwords are typed at prompts that show nothing,
//! twice, and stand in no command.

use super::commands::{tell, with};
use super::talk::Talk;
use super::terminal::{Echo, Terminal, Typed};
use crate::doors::control::{AdminRequest, Request};
use crate::program::operate::Show;
use clap::Subcommand;
use zeroize::Zeroizing;

/// Columns of the table of administrators.
const COLUMNS: [&str; 5] = [
    "name",
    "permissions",
    "password_since",
    "must_change",
    "ssh_keys",
];

#[derive(Debug, Subcommand)]
pub(crate) enum AdminCommand {
    /// Add an administrator, who changes the password at the first sign-in.
    #[command(after_help = "Example:\n  admin add jane --permissions key-officer,serial")]
    Add {
        /// Name of the account.
        name: String,
        /// What they may do: permissions and sets of them (see: admin permissions).
        #[arg(long, value_name = "LIST")]
        permissions: String,
    },
    /// Remove an administrator; the last one with full access stays.
    Remove {
        /// Name of the account.
        name: String,
    },
    /// List the administrators.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Settle what an administrator may do; without a name, list all permissions.
    #[command(after_help = "Example:\n  admin permissions jane logging,web,ssh")]
    Permissions {
        /// Name of the account.
        #[arg(requires = "list")]
        name: Option<String>,
        /// All that they may do from now on.
        list: Option<String>,
    },
    /// Give an administrator another password, which must be changed at the next sign-in.
    Password {
        /// Name of the account.
        name: String,
    },
    /// Replace the SSH public keys of an administrator; without a key, there are none.
    SshKeys {
        /// Name of the account.
        name: String,
        /// Lines as in ~/.ssh/id_ed25519.pub, each in quotes.
        keys: Vec<String>,
    },
}

/// Carries one out.
pub(crate) fn carry_out(
    terminal: &mut Terminal<'_>,
    talk: &Talk,
    token: &str,
    command: AdminCommand,
) -> anyhow::Result<()> {
    let (request, show) = match command {
        AdminCommand::List { json } => return list(terminal, talk, token, json),
        AdminCommand::Permissions {
            name: Some(name),
            list: Some(permissions),
        } => (
            AdminRequest::SetPermissions { name, permissions },
            Show::Fields,
        ),
        AdminCommand::Permissions { .. } => {
            let columns = &["id", "title", "lets"];
            (AdminRequest::Permissions, Show::Table(columns))
        }
        AdminCommand::Remove { name } => (AdminRequest::Remove { name }, Show::Fields),
        AdminCommand::SshKeys { name, keys } => {
            (AdminRequest::SshKeys { name, keys }, Show::Fields)
        }
        AdminCommand::Add { name, permissions } => {
            let Some(password) = new_password(terminal)? else {
                return Ok(terminal.say("Nothing was done.")?);
            };
            let password = password.to_string();
            let add = AdminRequest::Add {
                name,
                permissions,
                password,
            };
            (add, Show::Fields)
        }
        AdminCommand::Password { name } => {
            let Some(password) = new_password(terminal)? else {
                return Ok(terminal.say("Nothing was done.")?);
            };
            let password = password.to_string();
            (AdminRequest::ResetPassword { name, password }, Show::Fields)
        }
    };
    tell(terminal, talk, &with(token, Request::Admin(request)), &show)
}

/// Lists the administrators.
pub(crate) fn list(
    terminal: &mut Terminal<'_>,
    talk: &Talk,
    token: &str,
    json: bool,
) -> anyhow::Result<()> {
    let show = match json {
        true => Show::Json,
        false => Show::Table(&COLUMNS),
    };
    let request = Request::Admin(AdminRequest::List);
    tell(terminal, talk, &with(token, request), &show)
}

/// How it ended when somebody was to change the password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Done,
    /// The node said why not.
    Refused,
    /// Ctrl-C at a prompt.
    GivenUp,
}

/// Changes the password of whoever is signed in; `old` when it was typed just now.
pub(crate) fn change_own(
    terminal: &mut Terminal<'_>,
    talk: &Talk,
    token: &str,
    old: Option<&str>,
) -> anyhow::Result<Change> {
    let typed;
    let old = match old {
        Some(old) => old,
        None => match terminal.ask("Present password [password.old]", Echo::Hidden)? {
            Typed::Line(line) => {
                typed = line;
                &typed
            }
            Typed::Interrupted => return Ok(Change::GivenUp),
        },
    };
    let Some(new) = new_password(terminal)? else {
        return Ok(Change::GivenUp);
    };
    let change = Request::Password {
        old: old.to_owned(),
        new: new.to_string(),
    };
    match talk.ask(&with(token, change)) {
        Ok(_) => {
            terminal.say("The password is changed.")?;
            Ok(Change::Done)
        }
        Err(e) => {
            terminal.say(&format!("{e:#}"))?;
            Ok(Change::Refused)
        }
    }
}

/// A password, typed twice alike; nothing when it was given up.
fn new_password(terminal: &mut Terminal<'_>) -> std::io::Result<Option<Zeroizing<String>>> {
    terminal.ask_twice(
        "New password [password.new]",
        "The same again [password.again]",
    )
}
