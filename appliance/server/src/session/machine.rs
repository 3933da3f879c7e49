//! Commands about this node as a machine: its services, what it is recognised by, and its end.

use super::commands::with;
use super::show;
use super::talk::Talk;
use super::terminal::{Echo, Terminal, Typed};
use crate::doors::control::{IdentityRequest, MachineEnd, Request, ServicesRequest};
use crate::doors::services::Service;
use crate::program::operate::fields;
use clap::Subcommand;
use serde_json::Value;
use vault::shares::Share;

#[derive(Debug, Subcommand)]
pub(super) enum Services {
    /// End a process of the appliance and start it again.
    #[command(after_help = "Example:\n  services restart core\n\n`show services` names them.")]
    Restart {
        /// Its name.
        service: String,
    },
    /// Close a port of this node, also after a restart; what came in there loses it.
    #[command(
        after_help = "Example:\n  services stop web\n\nThe serial console is always open. \
        A stop is a setting (services.web) and stands in the log."
    )]
    Stop {
        /// Which.
        service: Service,
    },
    /// Open a port again that was stopped.
    #[command(after_help = "Example:\n  services start web")]
    Start {
        /// Which.
        service: Service,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum Ssh {
    /// The key by which SSH clients recognise this node.
    #[command(subcommand)]
    Key(Recreate),
}

#[derive(Debug, Subcommand)]
pub(super) enum Web {
    /// The certificate of the web, KMIP and status ports, which is one.
    #[command(subcommand)]
    Cert(Recreate),
}

#[derive(Clone, Copy, Debug, Subcommand)]
pub(super) enum Recreate {
    /// Make it anew. Connections from now on see the new one; those that are open go on.
    Recreate,
}

#[derive(Debug, Subcommand)]
pub(super) enum Reset {
    /// Back to a new appliance.
    #[command(subcommand)]
    To(ResetTo),
}

#[derive(Clone, Copy, Debug, Subcommand)]
pub(super) enum ResetTo {
    /// Destroy all keys, logs, settings and accounts of this node: the first set-up comes next.
    #[command(
        after_help = "The same as zeroize: the keys are overwritten, then everything else is \
        removed.\nIt wants the recovery passphrase or three recovery shares, and the word \
        zeroize.\nNothing brings the keys back but another node."
    )]
    Factory,
}

/// Restarts, stops or starts a service.
pub(super) fn services(
    terminal: &mut Terminal<'_>,
    talk: &Talk,
    token: &str,
    command: Services,
) -> anyhow::Result<()> {
    let (service, on) = match command {
        Services::Restart { service } => {
            let restart = Request::RestartService {
                service: service.clone(),
            };
            talk.ask(&with(token, restart))?;
            return Ok(terminal.say(&format!("{service} ends and starts again."))?);
        }
        Services::Stop { service } => {
            talk.ask(&with(token, Request::MayPower))?;
            let prompt = format!("{} yes [services.confirm]", loses(service));
            match terminal.ask(&prompt, Echo::Shown)? {
                Typed::Line(typed) if typed.trim() == "yes" => {}
                _ => return Ok(terminal.say("Nothing was done.")?),
            }
            (service, false)
        }
        Services::Start { service } => (service, true),
    };
    let switch = ServicesRequest::Switch { service, on };
    let answer = &talk.ask(&with(token, Request::Services(switch)))?;
    Ok(terminal.say(answer["says"].as_str().unwrap_or_default())?)
}

/// Who loses what when a service stops.
fn loses(service: Service) -> &'static str {
    match service {
        Service::Kmip => "Clients get no keys from this node any more, and lose their sessions.",
        Service::Web => "The web pages of this node are closed, to whoever is signed in there too.",
        Service::Ssh => {
            "Nobody comes in by SSH any more; whoever is in, you perhaps, stays until logging out."
        }
        Service::Status => "Monitoring gets no answer from this node any more.",
    }
}

/// Makes anew what this node is recognised by.
pub(super) fn renew(
    terminal: &mut Terminal<'_>,
    talk: &Talk,
    token: &str,
    request: IdentityRequest,
) -> anyhow::Result<()> {
    let answer = &talk.ask(&with(token, Request::Identity(request)))?;
    let mut out = terminal.plain();
    for part in ["was", "is"] {
        let value: &Value = &answer[part];
        match value.as_str() {
            Some(text) => terminal_line(&mut out, part, text)?,
            None => {
                terminal_line(&mut out, part, value["sha256"].as_str().unwrap_or_default())?;
                let shown = show::without(value, &["sha256", "for"]);
                fields(&mut out, &shown, 0)?;
            }
        }
    }
    terminal_line(
        &mut out,
        "note",
        answer["note"].as_str().unwrap_or_default(),
    )
}

fn terminal_line(out: &mut impl std::io::Write, name: &str, text: &str) -> anyhow::Result<()> {
    Ok(writeln!(out, "{name}: {text}")?)
}

/// Ends the machine.
pub(super) fn power(
    terminal: &mut Terminal<'_>,
    talk: &Talk,
    token: &str,
    end: MachineEnd,
) -> anyhow::Result<()> {
    talk.ask(&with(token, Request::MayPower))?;
    let word = end.word();
    let prompt = format!("The appliance will {word}; clients lose it. yes [{word}.confirm]");
    match terminal.ask(&prompt, Echo::Shown)? {
        Typed::Line(typed) if typed.trim() == "yes" => {
            talk.ask(&with(token, Request::Power { end }))?;
            Ok(terminal.say("Ending the services.")?)
        }
        _ => Ok(terminal.say("Nothing was done.")?),
    }
}

/// True when nothing is left to be signed in to.
pub(super) fn zeroize(
    terminal: &mut Terminal<'_>,
    talk: &Talk,
    token: &str,
) -> anyhow::Result<bool> {
    talk.ask(&with(token, Request::MayZeroize))?;
    terminal.say(
        "All keys, logs and settings of this node are destroyed. Clients lose every key that\n\
         no other node has.",
    )?;
    let mut secrets = Vec::new();
    let mut prompt = "Recovery passphrase, or the first share [zeroize.secret]".to_owned();
    loop {
        let Typed::Line(secret) = terminal.ask(&prompt, Echo::Hidden)? else {
            terminal.say("Nothing was done.")?;
            return Ok(false);
        };
        let share = secret.trim().parse::<Share>();
        let share = share.ok().map(|share| usize::from(share.threshold()));
        secrets.push(secret);
        match share {
            Some(needed) if secrets.len() < needed => {
                let next = secrets.len() + 1;
                prompt = format!("Share {next} of {needed} [zeroize.share.{next}]");
            }
            _ => break,
        }
    }
    match terminal.ask("Type the word zeroize [zeroize.confirm]", Echo::Shown)? {
        Typed::Line(word) if word.trim() == "zeroize" => {
            let secrets = secrets.iter().map(|secret| secret.to_string()).collect();
            talk.ask(&with(token, Request::Zeroize { secrets }))?;
            terminal.say("Everything is destroyed; the set-up begins in a moment.")?;
            Ok(true)
        }
        _ => {
            terminal.say("Nothing was done.")?;
            Ok(false)
        }
    }
}
