//! How the node of a machine becomes a member, in the steps that people take: a ticket from a
//! member, a request on the new machine, approval on a member, the start of the new node.

use super::{Fleet, LOOK_AGAIN};
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::process::{Child, Output, Stdio};
use std::time::{Duration, Instant};

/// How long a node may take to become a member once it has its ticket.
pub const JOIN_WITHIN: Duration = Duration::from_secs(60);

/// What a node is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Holds keys and votes.
    Voter,
    /// Holds keys.
    Learner,
    /// Votes.
    Witness,
}

impl Role {
    /// Whether it holds keys, and so serves clients.
    pub fn holds_keys(self) -> bool {
        self != Self::Witness
    }

    /// As the program writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Voter => "voter",
            Self::Learner => "learner",
            Self::Witness => "witness",
        }
    }
}

/// A node that waits to be let in. Dropping it kills the process that asks.
#[derive(Debug)]
pub struct Joining(Child);

impl Joining {
    /// Whether it was let in; false while it waits.
    ///
    /// # Errors
    /// It was turned away, or gave up.
    pub fn is_admitted(&mut self) -> Result<bool> {
        let Some(status) = self.0.try_wait()? else {
            return Ok(false);
        };
        ensure!(status.success(), "it ended with {status}");
        Ok(true)
    }
}

impl Drop for Joining {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

impl Fleet {
    /// Makes the node of a machine a member that votes, and starts it.
    ///
    /// # Errors
    /// Any step failed, with what was said.
    pub fn join(&mut self, number: u8, sponsor: u8) -> Result<()> {
        let ticket = self.ticket(sponsor)?;
        let mut joining = self.ask_to_join(number, &ticket, Role::Voter)?;
        self.approve_until_admitted(&mut joining, sponsor)
            .with_context(|| format!("node {number} joins\n{}", self.tails()))?;
        self.start_admitted(number)
    }

    /// A ticket from a member.
    ///
    /// # Errors
    /// It gives none.
    pub fn ticket(&self, sponsor: u8) -> Result<String> {
        let answer = self.json(sponsor, &["cluster", "ticket"])?;
        let ticket = answer.get("ticket").and_then(Value::as_str);
        let ticket = ticket.with_context(|| format!("no ticket in {answer}"))?;
        Ok(ticket.to_owned())
    }

    /// Has the node of a machine ask to be let in.
    ///
    /// # Errors
    /// The program cannot be started.
    pub fn ask_to_join(&self, number: u8, ticket: &str, role: Role) -> Result<Joining> {
        let seat = self.seat(number);
        let mut command = self.command(number);
        command
            .args(["cluster", "join", ticket, "--role", role.name()])
            .args(["--address", &seat.address.to_string()])
            .args(["--peer-port", &seat.ports.peer.to_string()])
            .arg("--dir")
            .arg(seat.site.dir())
            .stdin(Stdio::null())
            .stdout(self.stream(number, "stdout", true)?)
            .stderr(self.stream(number, "stderr", false)?);
        let joining = command.spawn().with_context(|| format!("{command:?}"))?;
        Ok(Joining(joining))
    }

    /// Whether the request of a machine's node has come to a member.
    ///
    /// # Errors
    /// The member does not answer.
    pub fn waits_at(&self, number: u8, sponsor: u8) -> Result<bool> {
        Ok(self.key_waiting(number, sponsor)?.is_some())
    }

    /// Lets the node of a machine in, by its key, as an operator does; gives what was said.
    ///
    /// # Errors
    /// It does not wait there.
    pub fn approve(&self, number: u8, sponsor: u8) -> Result<Output> {
        let key = self.key_waiting(number, sponsor)?;
        let key = key.with_context(|| format!("node {number} does not wait at {sponsor}"))?;
        self.cli(sponsor, &["cluster", "approve", &key])
    }

    /// The key of a machine's node, if that waits to be let in.
    fn key_waiting(&self, number: u8, sponsor: u8) -> Result<Option<String>> {
        let requests = self.json(sponsor, &["cluster", "requests"])?;
        let requests = requests.as_array();
        let requests = requests.context("requests to join are a list")?;
        let seat = self.seat(number);
        let address = format!("{}:{}", seat.address, seat.ports.peer);
        let is_its = |request: &&Value| request["address"].as_str() == Some(&address);
        let key = requests.iter().find(is_its).map(|request| &request["key"]);
        Ok(key.and_then(Value::as_str).map(str::to_owned))
    }

    /// Starts the node of a machine once it was let in.
    ///
    /// # Errors
    /// It does not come up.
    pub fn start_admitted(&mut self, number: u8) -> Result<()> {
        self.seat_mut(number).is_member = true;
        self.start(number)
    }

    fn approve_until_admitted(&self, joining: &mut Joining, sponsor: u8) -> Result<()> {
        let deadline = Instant::now() + JOIN_WITHIN;
        let mut approved = String::new();
        while !joining
            .is_admitted()
            .with_context(|| format!("the approval said: {approved}"))?
        {
            if Instant::now() > deadline {
                bail!("not joined in time; approval said: {approved}");
            }
            // Until the request has come there is nothing to approve.
            let output = self.cli(sponsor, &["cluster", "approve", "--all"])?;
            approved = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into();
            std::thread::sleep(LOOK_AGAIN);
        }
        Ok(())
    }
}
