//! The command line. Each command's help shows an example.

use crate::doors::kmip::UserField;
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

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
    /// Run an embedded one-node appliance on loopback, for trying out and for tests.
    #[command(
        after_help = "Example:\n  strongroom dev --dir ./strongroom-dev --kmip-port 5696\n\n\
        It prints one line when it serves:\n  \
        READY kmip=127.0.0.1:5696 web=https://127.0.0.1:9443 dir=./strongroom-dev"
    )]
    Dev(Dev),
    /// Check an export bundle offline, with nothing but its files.
    #[command(
        after_help = "Example:\n  strongroom verify ./bundle --state ./verified.json\n\n\
        Exit code 0: everything holds. 1: it prints the first thing that is wrong."
    )]
    Verify(Verify),
    /// The process that talks to a PKCS#11 library; started by the node itself.
    #[command(hide = true)]
    HsmWorker,
    #[command(flatten)]
    Node(NodeCommand),
}

#[derive(Debug, Args)]
pub(super) struct Dev {
    /// Folder of the node; made at the first start.
    #[arg(long, value_name = "DIR", default_value = "./strongroom-dev")]
    pub(super) dir: PathBuf,
    /// KMIP port on 127.0.0.1; 0 takes a free one.
    #[arg(long, default_value_t = 5696, value_name = "PORT")]
    pub(super) kmip_port: u16,
    /// Web port on 127.0.0.1; 0 takes a free one.
    #[arg(long, default_value_t = 9443, value_name = "PORT")]
    pub(super) web_port: u16,
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

impl Dev {
    /// The options, ports and folder aside, for a process that carries on in place of this one.
    pub(super) fn carried_on(&self) -> Vec<std::ffi::OsString> {
        use clap::ValueEnum;
        let mut arguments = Vec::new();
        if let Some(field) = self.user_field.to_possible_value() {
            arguments.extend(["--user-field".into(), field.get_name().into()]);
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
pub(super) enum NodeCommand {
    /// Show whether the node serves, and its figures.
    #[command(after_help = "Example:\n  strongroom --dir ./strongroom-dev status")]
    Status {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
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

#[derive(Debug, Subcommand)]
pub(super) enum Log {
    /// Show records, oldest first.
    #[command(after_help = "Examples:\n  strongroom log show --view audit\n  \
        strongroom log show --view activity --json --follow")]
    Show {
        /// One log only: system, audit, activity or client.
        #[arg(long)]
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

#[derive(Debug, Subcommand)]
pub(super) enum Client {
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
pub(super) enum Key {
    /// List objects, oldest first.
    List {
        /// At most so many.
        #[arg(long, default_value_t = 1000, value_name = "N")]
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
}

#[derive(Debug, Subcommand)]
pub(super) enum Epoch {
    /// Make a new key-encryption key, seal all objects under it, destroy the old one.
    Rotate {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum Slot {
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
pub(super) enum StateCommand {
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
