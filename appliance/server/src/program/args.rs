//! The command line. Each command's help shows an example.

use crate::doors::kmip::UserField;
use crate::session::configure::ConfigureCommand;
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// Keys that are listed when nobody says how many.
pub(crate) const KEYS_SHOWN: u64 = 1000;

/// Strongroom keeps other systems' encryption keys and proves what happened to them.
#[derive(Debug, Parser)]
#[command(name = "strongroom", version, max_term_width = 100)]
pub(super) struct Arguments {
    /// Folder of the node that a command is for.
    #[arg(
        long,
        global = true,
        default_value = "./strongroom-dev",
        value_name = "DIR"
    )]
    pub(super) dir: PathBuf,
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run an embedded appliance on loopback, for trying out and for tests: one node, or a cluster.
    #[command(
        after_help = "Examples:\n  strongroom dev --dir ./strongroom-dev --kmip-port 5696\n  \
        strongroom dev --dir ./strongroom-dev --nodes 3\n  \
        strongroom dev --dir ./strongroom-dev --nodes 3 --only 2\n\n\
        One node prints one line when it serves:\n  \
        READY kmip=127.0.0.1:5696 web=https://127.0.0.1:9443 ssh=127.0.0.1:2222 \
        status=https://127.0.0.1:9081 dir=./strongroom-dev\n\
        A cluster prints one for each node, which is a process of its own:\n  \
        READY node=1 kmip=127.0.0.1:5696 web=https://127.0.0.1:9443 ssh=127.0.0.1:2222 \
        status=https://127.0.0.1:9081 dir=./strongroom-dev/1 pid=4711\n\
        A node whose self-tests fail opens nothing for clients and prints instead:\n  \
        ERROR-STATE status=https://127.0.0.1:9081 dir=./strongroom-dev"
    )]
    Dev(Dev),
    /// Check an export bundle offline, with nothing but its files.
    #[command(
        after_help = "Example:\n  strongroom verify ./bundle --state ./verified.json\n\n\
        Exit code 0: everything holds. 1: it prints the first thing that is wrong."
    )]
    Verify(Verify),
    /// Run the node of an appliance: set-up, unlocking, service. Started by PID 1 of the image.
    #[command(after_help = "Example, beside an appliance of its own in ./box:\n  \
        mkdir -p box/sockets && strongroom serve --dir box/data --sockets box/sockets\n  \
        strongroom console --sockets box/sockets")]
    Serve(Serve),
    /// Be the console of an appliance on this terminal: first set-up, unlocking, commands.
    #[command(after_help = "Example:\n  strongroom console --sockets box/sockets")]
    Console(Places),
    /// Be the SSH door of an appliance: the commands of the console, from other machines.
    #[command(after_help = "Example:\n  strongroom ssh --sockets box/sockets")]
    Ssh(Places),
    /// The process that talks to a PKCS#11 library; started by the node itself.
    #[command(hide = true)]
    HsmWorker,
    /// Change settings of a running node, as at its console.
    #[command(
        after_help = "Example:\n  strongroom --dir ./strongroom-dev configure set log.size 50"
    )]
    Configure {
        #[command(subcommand)]
        line: ConfigureCommand,
    },
    #[command(flatten)]
    Node(NodeCommand),
}

#[derive(Debug, Args)]
pub(super) struct Dev {
    /// Folder of the node; made at the first start.
    #[arg(long, value_name = "DIR", default_value = "./strongroom-dev")]
    pub(super) dir: PathBuf,
    /// Run a cluster of so many nodes; node K has the folder DIR/K.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=7),
        conflicts_with_all = ["hsm_module"])]
    pub(super) nodes: Option<u16>,
    /// Run only this node of the cluster.
    #[arg(long, value_name = "K", requires = "nodes")]
    pub(super) only: Option<u16>,
    /// This process is node K of a cluster that another process looks after.
    #[arg(long, hide = true)]
    pub(super) ordinal: Option<u16>,
    /// Address of all ports.
    #[arg(long, value_name = "IP", default_value = "127.0.0.1")]
    pub(super) address: std::net::IpAddr,
    /// Port at which the other members reach this node; 0 keeps the port that it had, or takes a
    /// free one at the first start.
    #[arg(long, default_value_t = 0, value_name = "PORT")]
    pub(super) peer_port: u16,
    /// KMIP port; 0 takes a free one. Node K of a cluster has this port and K - 1 more.
    #[arg(long, default_value_t = 5696, value_name = "PORT")]
    pub(super) kmip_port: u16,
    /// Web port; 0 takes a free one. Node K of a cluster has this port and K - 1 more.
    #[arg(long, default_value_t = 9443, value_name = "PORT")]
    pub(super) web_port: u16,
    /// SSH port; 0 takes a free one. Node K of a cluster has this port and K - 1 more.
    #[arg(long, default_value_t = 0, value_name = "PORT")]
    pub(super) ssh_port: u16,
    /// Status port; 0 takes a free one. Node K of a cluster has this port and K - 1 more.
    #[arg(long, default_value_t = 0, value_name = "PORT")]
    pub(super) status_port: u16,
    /// Field of a client certificate that names the user.
    #[arg(long, value_enum, default_value = "cn")]
    pub(super) user_field: UserField,
    /// Unlock by a token instead of the key file: its PKCS#11 library.
    #[arg(long, value_name = "FILE", requires_all = ["hsm_serial", "hsm_pin_file"])]
    pub(super) hsm_module: Option<PathBuf>,
    /// Serial number of the token.
    #[arg(long, value_name = "SERIAL", requires = "hsm_module")]
    pub(super) hsm_serial: Option<String>,
    /// File with the PIN of the token.
    #[arg(long, value_name = "FILE", requires = "hsm_module")]
    pub(super) hsm_pin_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct Serve {
    /// Folder of the node; its keys lie below in `keys`.
    #[arg(long, value_name = "DIR", default_value = "/data")]
    pub(super) dir: PathBuf,
    /// Folder of the Unix sockets.
    #[arg(long, value_name = "DIR", default_value = "/run/strongroom/control")]
    pub(super) sockets: PathBuf,
    /// User id of the console, which may ask for what its administrator may.
    #[arg(long, value_name = "UID")]
    pub(super) console_uid: Option<u32>,
    /// User id of the SSH door, which may ask for what those may who sign in there.
    #[arg(long, value_name = "UID")]
    pub(super) ssh_uid: Option<u32>,
    /// The socket of PID 1, which ends the machine when an administrator wants it.
    #[arg(long, value_name = "FILE")]
    pub(super) init: Option<PathBuf>,
    /// File that the processes of network and time read.
    #[arg(long, value_name = "FILE")]
    pub(super) network: Option<PathBuf>,
    /// Set-up file for an unattended first start.
    #[arg(long, value_name = "FILE")]
    pub(super) setup: Option<PathBuf>,
    /// Field of a client certificate that names the user.
    #[arg(long, value_enum, default_value = "cn")]
    pub(super) user_field: UserField,
}

/// Where a process without rights of its own finds those whom it asks.
#[derive(Debug, Args)]
pub(super) struct Places {
    /// Folder of the Unix sockets of the node.
    #[arg(long, value_name = "DIR", default_value = "/run/strongroom/control")]
    pub(super) sockets: PathBuf,
    /// The socket of PID 1.
    #[arg(long, value_name = "FILE")]
    pub(super) init: Option<PathBuf>,
}

impl Dev {
    /// The options, ports and folder aside, for a process that carries on in place of this one.
    pub(super) fn carried_on(&self) -> Vec<std::ffi::OsString> {
        use clap::ValueEnum;
        let mut arguments = Vec::new();
        if let Some(field) = self.user_field.to_possible_value() {
            arguments.extend(["--user-field".into(), field.get_name().into()]);
        }
        arguments.extend(["--address".into(), self.address.to_string().into()]);
        if let Some(ordinal) = self.ordinal {
            arguments.extend(["--ordinal".into(), ordinal.to_string().into()]);
        }
        let mut option = |name: &str, value: Option<&std::ffi::OsStr>| {
            arguments.extend(value.into_iter().flat_map(|v| [name.into(), v.to_owned()]));
        };
        option(
            "--hsm-module",
            self.hsm_module.as_deref().map(AsRef::as_ref),
        );
        option(
            "--hsm-serial",
            self.hsm_serial.as_deref().map(AsRef::as_ref),
        );
        option(
            "--hsm-pin-file",
            self.hsm_pin_file.as_deref().map(AsRef::as_ref),
        );
        arguments
    }
}

#[derive(Debug, Args)]
pub(super) struct Verify {
    /// The bundle: a folder, or a .tar file.
    pub(super) bundle: PathBuf,
    /// Remember what was verified, and prove that the next bundle continues it.
    #[arg(long, value_name = "FILE")]
    pub(super) state: Option<PathBuf>,
    /// Accept only signers that this allowed_signers file names.
    #[arg(long, value_name = "FILE")]
    pub(super) trust: Option<PathBuf>,
    /// Print the report as JSON.
    #[arg(long)]
    pub(super) json: bool,
}

/// Commands on a running node.
#[derive(Debug, Subcommand)]
pub(crate) enum NodeCommand {
    /// Show whether the node serves, and its figures.
    #[command(after_help = "Example:\n  strongroom --dir ./strongroom-dev status")]
    Status {
        /// With the digest of the state, which takes a second for a million keys.
        #[arg(long)]
        digest: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// The cluster: its members, how nodes join and leave.
    #[command(subcommand)]
    Cluster(ClusterCommand),
    /// The four logs.
    #[command(subcommand)]
    Log(Log),
    /// KMIP clients: users and their certificates.
    #[command(subcommand)]
    Client(Client),
    /// Keys and other objects; their material is never shown here.
    #[command(subcommand)]
    Key(Key),
    /// The epoch of the key-encryption key.
    #[command(subcommand)]
    Epoch(Epoch),
    /// What opens the vault at start.
    #[command(subcommand)]
    Slot(Slot),
    /// The state that follows from the cluster log.
    #[command(subcommand)]
    State(StateCommand),
    /// Approved-algorithms mode: what holds, and switching it after its consequences were shown.
    #[command(subcommand)]
    Fips(Fips),
    /// The self-tests of the primitives.
    #[command(subcommand)]
    Selftest(Selftest),
    /// Write both logs as a signed bundle that anybody can verify.
    #[command(
        after_help = "Examples:\n  strongroom --dir ./strongroom-dev export --out ./bundle\n  \
        strongroom --dir ./strongroom-dev export --out ./bundle.tar"
    )]
    Export {
        /// Where to; must not exist. A name that ends in .tar makes one archive.
        #[arg(long, value_name = "BUNDLE")]
        out: PathBuf,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

/// Approved-algorithms mode.
#[derive(Debug, Subcommand)]
pub(crate) enum Fips {
    /// Show mode, parts and self-tests.
    Status {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Allow approved algorithms only, on all nodes: shows what that does, and how to confirm it.
    #[command(after_help = "Example:\n  strongroom fips compliant\n  \
        strongroom fips compliant --confirm 0f1e2d3c4b5a6978")]
    Compliant(Confirmation),
    /// Allow all algorithms again: shows what that does, and how to confirm it.
    Off(Confirmation),
}

/// How a plan is confirmed.
#[derive(Debug, Args)]
pub(crate) struct Confirmation {
    /// The word that the plan gives; without it the plan is shown and nothing is done.
    #[arg(long, value_name = "WORD")]
    pub(crate) confirm: Option<String>,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// The self-tests.
#[derive(Debug, Subcommand)]
pub(crate) enum Selftest {
    /// Run all of them now. A node in which one fails stops serving.
    Run {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

/// What a new node is to be.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum JoinRole {
    /// Holds keys and votes.
    Voter,
    /// Holds keys and does not vote: a far site.
    Learner,
    /// Votes and holds events, never keys.
    Witness,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ClusterCommand {
    /// Show the members and how far they agree.
    Status {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Make a ticket with which one new node may ask to join, once, within 15 minutes.
    #[command(after_help = "Example:\n  strongroom --dir ./node-1 cluster ticket")]
    Ticket {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Make the folder of a new node of the cluster that a ticket is from, and wait until an
    /// operator has approved it there.
    #[command(after_help = "Example:\n  \
        strongroom --dir ./node-2 cluster join strongroom-ticket-1.pGdjbHVzdGVyU...\n\n\
        Then approve it on a member (strongroom cluster approve), and start the new node.")]
    Join {
        /// The ticket.
        ticket: String,
        /// Address at which the other members will reach the new node.
        #[arg(long, value_name = "IP", default_value = "127.0.0.1")]
        address: std::net::IpAddr,
        /// Its port; 0 takes a free one.
        #[arg(long, default_value_t = 0, value_name = "PORT")]
        peer_port: u16,
        /// What it is to be.
        #[arg(long, value_enum, default_value = "voter")]
        role: JoinRole,
    },
    /// List the nodes that wait to be let in.
    Requests {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Let a waiting node in, after comparing the fingerprints shown here and there.
    #[command(after_help = "Example:\n  strongroom --dir ./node-1 cluster approve 4f:22:a1")]
    Approve {
        /// Beginning of the fingerprint of its key.
        #[arg(required_unless_present = "all")]
        key: Option<String>,
        /// All that wait.
        #[arg(long, conflicts_with = "key")]
        all: bool,
    },
    /// Turn a waiting node away.
    Deny {
        /// Beginning of the fingerprint of its key.
        key: String,
    },
    /// Remove a member: its word no longer counts at once, and the removal is complete when the
    /// key-encryption key has been rotated.
    Remove {
        /// Its number.
        node: u64,
    },
    /// Have this node leave the cluster.
    Leave,
    /// Replace the CA that the members know each other by.
    RotateCa {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Set how long a node that hears from no quorum may go on serving keys.
    #[command(after_help = "Examples:\n  strongroom cluster offline-get 24h\n  \
        strongroom cluster offline-get never --group tape")]
    OfflineGet {
        /// never, always, or a time such as 90s, 30m, 24h, 2d.
        limit: String,
        /// For the keys of this group only.
        #[arg(long, value_name = "G")]
        group: Option<String>,
    },
    /// Compare all members at one record, and have each look through its own data: logs, and every
    /// sealed key. It is done once an hour anyway.
    Scrub {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// On a stopped node that the others refuse because its data went back in time: come back to
    /// the cluster under a new number. Never on two copies of one node.
    #[command(after_help = "Example:\n  strongroom --dir ./node-3 cluster rejoin")]
    Rejoin,
    /// On a stopped node, when most members are lost for good: go on with this one alone, as a new
    /// lineage. The old members are never let in again as they are.
    #[command(
        after_help = "Example:\n  strongroom --dir ./node-1 cluster recover\n\n\
        It shows what may be missing and wants the first 8 characters of the cluster's name, or \
        --yes."
    )]
    Recover {
        /// Ask nothing.
        #[arg(long)]
        yes: bool,
        /// Unlock with a passphrase, read from standard input, instead of the key file.
        #[arg(long, requires = "yes")]
        passphrase: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// List the objects that only an old member's folder still has, and take them in with --yes.
    /// Nothing is overwritten, and what was destroyed stays destroyed.
    #[command(after_help = "Example:\n  \
        strongroom --dir ./node-1 cluster salvage --from ./old-node-3 --yes")]
    Salvage {
        /// Folder of the old member; its node must not run.
        #[arg(long, value_name = "DIR")]
        from: PathBuf,
        /// Take them in.
        #[arg(long)]
        yes: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Let changes go on after two members' logs differed.
    Resolve {
        /// What was found and done; it stands in the log.
        reason: String,
    },
}

/// A transfer destination, described.
#[derive(Debug, Args)]
pub(crate) struct Described {
    /// Account, host and port; port 22 if not given.
    #[arg(long, value_name = "USER@HOST[:PORT]")]
    pub(crate) to: Option<String>,
    /// Folder there.
    #[arg(long, value_name = "DIR", default_value = ".", requires = "to")]
    pub(crate) directory: String,
    /// Fingerprint of the host key, SHA256:...; without it the key is shown, and that is all.
    #[arg(long, value_name = "FINGERPRINT", requires = "to")]
    pub(crate) host_key: Option<String>,
    /// Sign in with a password, which is asked for; otherwise with the key of this node.
    #[arg(long, requires = "to")]
    pub(crate) password: bool,
    /// The logs that go there; all four if not given.
    #[arg(long, value_name = "LIST", value_delimiter = ',', requires = "to")]
    pub(crate) logs: Vec<String>,
    /// Encrypt to this age recipient, age1...; may be given several times.
    #[arg(long = "recipient", value_name = "AGE", requires = "to")]
    pub(crate) recipients: Vec<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Transfer {
    /// Show the destinations, what waits for them, and the keys that they need.
    Show {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Send closed logs to a place by SSH. It is tried first, and saved when that went well.
    #[command(
        after_help = "Example:\n  log transfer put vault-b --to logs@192.0.2.7 \
        --directory /srv/logs --host-key SHA256:4vxq... --logs system,audit"
    )]
    Put {
        /// Name of the destination.
        name: String,
        #[command(flatten)]
        described: Described,
        /// Send nothing there yet; what is closed meanwhile waits.
        #[arg(long)]
        off: bool,
        /// Save it without trying.
        #[arg(long)]
        untested: bool,
    },
    /// Send nothing there any more, and forget what waited.
    Remove {
        /// Name of the destination.
        name: String,
    },
    /// Try a destination, saved or described: connect, sign in, write a small file, read it back.
    Test {
        /// Name of the destination.
        name: String,
        #[command(flatten)]
        described: Described,
    },
    /// Do not wait for the next try.
    Retry {
        /// Name of the destination; all if not given.
        name: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Log {
    /// Close a log now, or all four: what is new becomes a signed bundle for the destinations.
    #[command(after_help = "Example:\n  log rotate audit")]
    Rotate {
        /// Which one.
        #[arg(value_parser = ["system", "audit", "activity", "clientevent"])]
        log: Option<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Where closed logs go.
    #[command(subcommand)]
    Transfer(Transfer),
    /// Show records, oldest first.
    #[command(after_help = "Examples:\n  strongroom log show --view audit\n  \
        strongroom log show --view activity --json --follow")]
    Show {
        /// One log only.
        #[arg(long, value_parser = ["system", "audit", "activity", "client"])]
        view: Option<String>,
        /// Only so many of the latest records of each log.
        #[arg(long, value_name = "N")]
        last: Option<u64>,
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
        /// Go on with what is recorded from now on.
        #[arg(long)]
        follow: bool,
    },
}

impl Log {
    /// Whether it goes on until it is stopped.
    pub(crate) fn follows(&self) -> bool {
        matches!(self, Self::Show { follow: true, .. })
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Client {
    /// Add a user, or issue a further certificate to one.
    #[command(
        after_help = "Example:\n  strongroom client add array-7 --group storage\n\n\
        A group may be followed by :manage, which lets the user change what others share."
    )]
    Add {
        /// Name; it becomes the common name of the certificate.
        name: String,
        /// Key sharing group, `G` or `G:manage`; may be given several times.
        #[arg(long = "group", value_name = "G")]
        groups: Vec<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Make every certificate of a user useless at once.
    Revoke {
        /// Name.
        name: String,
    },
    /// List users.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Key {
    /// List objects, oldest first.
    List {
        /// At most so many.
        #[arg(long, default_value_t = KEYS_SHOWN, value_name = "N")]
        limit: u64,
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// Show one object: attributes and history.
    Show {
        /// Its unique identifier.
        uid: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Make a key for a client, who owns it. Nobody but clients can read it.
    #[command(
        after_help = "Example:\n  key create array-7 --name disk-7 --activate\n\n\
        Algorithms: AES (128, 192, 256 bits), HMAC-SHA256, HMAC-SHA384, HMAC-SHA512."
    )]
    Create {
        /// The client.
        owner: String,
        /// Name by which the client finds it.
        #[arg(long)]
        name: Option<String>,
        /// Algorithm.
        #[arg(long, default_value = "AES")]
        algorithm: String,
        /// Length in bits.
        #[arg(long, default_value_t = 256)]
        bits: u32,
        /// Key sharing group whose members may have it too.
        #[arg(long, value_name = "G")]
        group: Option<String>,
        /// It may be used at once.
        #[arg(long)]
        activate: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Let a key be used from now on.
    Activate {
        /// Its unique identifier.
        uid: String,
    },
    /// Have a key used no more for what is new. A compromised one is marked for ever.
    #[command(
        after_help = "Example:\n  key revoke 0192d3a4-0000-7000-8000-000000000000 \
        --reason superseded --message \"see ticket 4711\""
    )]
    Revoke {
        /// Its unique identifier.
        uid: String,
        /// Why.
        #[arg(long, value_enum, default_value = "unspecified")]
        reason: RevocationReason,
        /// In words, for the log.
        #[arg(long, value_name = "TEXT")]
        message: Option<String>,
    },
    /// Destroy a key for good, on all nodes; an active one must be revoked before. Nothing brings
    /// it back.
    #[command(after_help = "Example:\n  key destroy 0192d3a4-0000-7000-8000-000000000000 --yes")]
    Destroy {
        /// Its unique identifier.
        uid: String,
        /// It is meant; without this nothing is done.
        #[arg(long)]
        yes: bool,
    },
}

/// Why a key is revoked (KMIP 2.1 §11.49).
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum RevocationReason {
    /// No reason given.
    Unspecified,
    /// Somebody may have the key who must not.
    Compromise,
    /// The CA that vouches for it is compromised.
    CaCompromise,
    /// What it stood for has changed.
    AffiliationChanged,
    /// Another key took its place.
    Superseded,
    /// It is needed no more.
    Cessation,
    /// Whoever had it may use it no more.
    Privilege,
}

impl RevocationReason {
    /// Its number in KMIP.
    pub(crate) const fn code(self) -> u32 {
        match self {
            Self::Unspecified => 1,
            Self::Compromise => 2,
            Self::CaCompromise => 3,
            Self::AffiliationChanged => 4,
            Self::Superseded => 5,
            Self::Cessation => 6,
            Self::Privilege => 7,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Epoch {
    /// Make a new key-encryption key, seal all objects under it, destroy the old one.
    Rotate {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Slot {
    /// List seal slots.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Add a passphrase slot; the passphrase is read from standard input.
    #[command(
        after_help = "Example:\n  strongroom slot add-passphrase --recovery < passphrase.txt"
    )]
    AddPassphrase {
        /// The slot is kept elsewhere, for recovery.
        #[arg(long)]
        recovery: bool,
    },
    /// Add a slot in a hardware security module; the PIN is read from standard input.
    #[command(after_help = "Example:\n  strongroom slot add-pkcs11 --module \
        /usr/lib/softhsm/libsofthsm2.so --token-serial 1a2b3c < pin.txt")]
    AddPkcs11 {
        /// The vendor's PKCS#11 library.
        #[arg(long, value_name = "FILE")]
        module: PathBuf,
        /// Serial number of the token.
        #[arg(long, value_name = "SERIAL")]
        token_serial: String,
    },
    /// Remove a slot; the last one stays.
    Remove {
        /// Its number.
        id: u32,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum StateCommand {
    /// Print the digest of the state.
    Digest {
        /// Replay the whole log from an empty start and compare.
        #[arg(long)]
        replay: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}
