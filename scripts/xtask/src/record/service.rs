//! Which service a process is, and its paths as they would be on the appliance.

use super::call::Call;
use std::path::{Path, PathBuf};

/// The services, as package `init` calls them.
pub(crate) const NAMES: [&str; 5] = ["network", "time", "core", "ssh", "console"];

/// Flags of open(2).
const O_ACCMODE: u64 = 0o3;
const O_RDONLY: u64 = 0;
const O_RDWR: u64 = 2;
const O_CREAT: u64 = 0o100;
const O_DIRECTORY: u64 = 0o200_000;
const O_PATH: u64 = 0o10_000_000;
/// Flag of unlinkat(2).
const AT_REMOVEDIR: u64 = 0x200;

/// What is elsewhere on the appliance than on a development machine.
const ELSEWHERE: [(&str, &str); 4] = [
    ("/lib", "/usr/lib"),
    ("/lib64", "/usr/lib64"),
    // A link there.
    ("/etc/resolv.conf", "/run/strongroom/network/resolv.conf"),
    // The console's terminal in a suite is made for it.
    ("/dev/pts", "/dev/ttyS0"),
];

/// What the appliance does not have, so that nobody opens it there.
const NOT_THERE: [&str; 2] = [
    // The image is made without ldconfig: its libraries are in one folder.
    "/etc/ld.so.cache",
    "/etc/ld.so.preload",
];

/// A process of a service.
pub(crate) struct Instance {
    pub(crate) name: &'static str,
    /// Where something is here and there; the first that fits counts.
    places: Vec<(PathBuf, PathBuf)>,
}

impl Instance {
    /// The service that this call has started, if it is one.
    pub(crate) fn started_by(call: &Call) -> Option<Self> {
        let program = PathBuf::from(quoted(call.argument(0))?);
        let line: Vec<&str> = call
            .argument(1)
            .trim_matches(['[', ']'])
            .split(", ")
            .filter_map(quoted)
            .collect();
        let behind = |option: &str| {
            let at = line.iter().position(|word| *word == option)?;
            line.get(at + 1).map(PathBuf::from)
        };
        let is = |word: &str| line.get(1) == Some(&word);
        let (settings, state) = (
            line.get(1).map(PathBuf::from),
            line.get(2).map(PathBuf::from),
        );
        let file = program.file_name()?.to_str()?;
        let (name, places) = match file {
            "strongroom-network" => (
                "network",
                [
                    (settings, "/run/strongroom/settings/network.json"),
                    (state, "/run/strongroom/network"),
                ],
            ),
            "strongroom-time" => (
                "time",
                [
                    (folder_of(settings), "/run/strongroom/settings"),
                    (state, "/run/strongroom/time"),
                ],
            ),
            "strongroom" if is("serve") => (
                "core",
                [
                    (folder_of(behind("--network")), "/run/strongroom/settings"),
                    (behind("--setup"), "/run/strongroom/setup"),
                ],
            ),
            "strongroom" if is("dev") => ("core", [(None, ""), (None, "")]),
            "strongroom" if is("console") => ("console", [(None, ""), (None, "")]),
            "strongroom" if is("ssh") => ("ssh", [(None, ""), (None, "")]),
            _ => return None,
        };
        // Other services report beside the folder of their settings.
        let reports = |name: &str| Some(folder_of(folder_of(behind("--network")))?.join(name));
        let more = [
            (behind("--init"), "/run/init.sock"),
            (reports("network"), "/run/strongroom/network"),
            (reports("time"), "/run/strongroom/time"),
            (behind("--sockets"), "/run/strongroom/control"),
            (folder_of(behind("--dir")), "/"),
            (behind("--dir"), "/data"),
        ];
        let itself = (program.clone(), Path::new("/usr/bin").join(file));
        let places = places.into_iter().chain(more);
        let places = places.filter_map(|(here, there)| Some((here?, PathBuf::from(there))));
        let mut places: Vec<_> = places.chain([itself]).collect();
        places.retain(|(here, _)| here.is_absolute());
        // What lies deeper is something of its own.
        places.sort_by_key(|(here, _)| std::cmp::Reverse(here.components().count()));
        Some(Self { name, places })
    }

    /// What the call does with which paths, as lines of the record.
    pub(crate) fn paths(&self, call: &Call) -> Vec<String> {
        let mut lines = Vec::new();
        // What is not there is not opened; whoever waits for it would open it one day.
        if call.error.as_deref().is_some_and(|error| error != "ENOENT") {
            return lines;
        }
        let mut add = |deed: &str, path: Option<PathBuf>| {
            if let Some(path) = path.filter(|path| self.counts(call, path)) {
                lines.push(format!("{deed} {}", without_numbers(&path)));
            }
        };
        let one = self.path(call, None, 0);
        match call.name.as_str() {
            "execve" => add("run", one),
            "openat" => {
                let path = self.path(call, Some(0), 1);
                for deed in opening(call.value(2), path.as_deref()) {
                    add(deed, path.clone());
                }
            }
            "rename" => renaming(one, self.path(call, None, 1), &mut add),
            "renameat" | "renameat2" => {
                renaming(
                    self.path(call, Some(0), 1),
                    self.path(call, Some(2), 3),
                    &mut add,
                );
            }
            "unlink" => add("remove", one),
            "unlinkat" if call.value(2) == AT_REMOVEDIR => {
                add("remove-folder", self.path(call, Some(0), 1));
            }
            "unlinkat" => add("remove", self.path(call, Some(0), 1)),
            "rmdir" => add("remove-folder", one),
            "mkdir" => add("make-folder", one),
            "mkdirat" => add("make-folder", self.path(call, Some(0), 1)),
            "bind" => add("make-socket", self.socket(call)),
            "connect" => add("connect", self.socket(call)),
            _ => {}
        }
        lines
    }

    /// Something that is not there counts where only the appliance would have it.
    fn counts(&self, call: &Call, path: &Path) -> bool {
        let ours = ["/run/strongroom", "/run/init.sock", "/data"];
        let is_ours = ours.iter().any(|folder| path.starts_with(folder));
        let is_there = !NOT_THERE.iter().any(|absent| path == Path::new(absent));
        is_there && (call.succeeded() || is_ours)
    }

    /// A path in an argument, below the folder in another one.
    fn path(&self, call: &Call, folder: Option<usize>, place: usize) -> Option<PathBuf> {
        let path = PathBuf::from(quoted(call.argument(place))?);
        if path.is_absolute() {
            return Some(self.there(&path));
        }
        let folder = call.argument(folder?);
        let (_, folder) = folder.split_once('<')?;
        Some(self.there(&Path::new(folder.trim_end_matches('>')).join(path)))
    }

    /// The path of a Unix socket's address.
    fn socket(&self, call: &Call) -> Option<PathBuf> {
        let (_, path) = call.argument(1).split_once("sun_path=")?;
        let (path, _) = path.split_once('}')?;
        Some(self.there(Path::new(quoted(path)?)))
    }

    /// The path as it would be on the appliance.
    fn there(&self, path: &Path) -> PathBuf {
        let fixed = ELSEWHERE.map(|(here, there)| (PathBuf::from(here), PathBuf::from(there)));
        for (here, there) in self.places.iter().chain(&fixed) {
            if let Ok(rest) = path.strip_prefix(here) {
                let is_file = rest.as_os_str().is_empty() || there.ends_with("ttyS0");
                return if is_file {
                    there.clone()
                } else {
                    there.join(rest)
                };
            }
        }
        path.to_owned()
    }
}

/// What opening with these flags asks for.
fn opening(flags: u64, path: Option<&Path>) -> Vec<&'static str> {
    if flags & O_PATH != 0 {
        return Vec::new();
    }
    let mut deeds = match flags & O_ACCMODE {
        O_RDONLY if flags & O_DIRECTORY == O_DIRECTORY => vec!["list"],
        O_RDONLY => vec!["read"],
        O_RDWR => vec!["read", "write"],
        _ => vec!["write"],
    };
    // Nobody makes files there, however they are opened.
    let made_by_kernel = ["/proc", "/sys", "/dev"];
    let is_kernels = path.is_some_and(|path| made_by_kernel.iter().any(|f| path.starts_with(f)));
    if flags & O_CREAT != 0 && !is_kernels {
        deeds.push("make");
    }
    deeds
}

fn renaming(
    from: Option<PathBuf>,
    to: Option<PathBuf>,
    add: &mut impl FnMut(&str, Option<PathBuf>),
) {
    let parent = |path: &Option<PathBuf>| path.as_deref().and_then(Path::parent).map(PathBuf::from);
    if parent(&from) != parent(&to) {
        add("move", from.clone());
        add("move", to.clone());
    }
    add("remove", from);
    add("make", to);
}

fn folder_of(file: Option<PathBuf>) -> Option<PathBuf> {
    file?.parent().map(PathBuf::from)
}

/// What stands in quotation marks.
fn quoted(text: &str) -> Option<&str> {
    text.trim().strip_prefix('"')?.split('"').next()
}

/// The path with `N` for every number in what the daemon calls its files.
fn without_numbers(path: &Path) -> String {
    let text = path.display().to_string();
    if !path.starts_with("/data") {
        return text;
    }
    let mut out = String::new();
    for character in text.chars() {
        match character.is_ascii_digit() {
            true if out.ends_with('N') => {}
            true => out.push('N'),
            false => out.push(character),
        }
    }
    out
}
