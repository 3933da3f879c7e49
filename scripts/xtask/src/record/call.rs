//! Lines of strace(1) as calls.

use std::collections::BTreeMap;

/// Families of sockets and flags of open(2) as the kernel numbers them.
const AF_INET: u64 = 2;
const AF_INET6: u64 = 10;
/// Ports below need a capability (ip(7)).
const FREE_PORTS_MIN: u64 = 1024;

/// Calls that the filter allows with some arguments only: where strace writes the argument that
/// decides, and where the kernel has it.
const DECIDING: [(&str, usize, usize); 7] = [
    ("clone", 1, 0),
    ("ioctl", 1, 1),
    ("mmap", 2, 2),
    ("mprotect", 2, 2),
    ("prctl", 0, 0),
    ("socket", 0, 0),
    ("socketpair", 0, 0),
];

/// One call that has returned, or never did.
pub(crate) struct Call {
    pub(crate) thread: u32,
    pub(crate) number: String,
    pub(crate) name: String,
    pub(crate) arguments: Vec<String>,
    /// What it returned, without the comment.
    pub(crate) result: String,
    /// Such as `ENOENT`.
    pub(crate) error: Option<String>,
}

/// Puts the halves of a call together, between which strace has written of other threads.
#[derive(Default)]
pub(crate) struct Calls {
    begun: BTreeMap<u32, String>,
}

impl Calls {
    /// The call that this line completes.
    pub(crate) fn whole(&mut self, line: &str) -> Option<Call> {
        let (thread, rest) = line.split_once(' ')?;
        let thread = thread.parse().ok()?;
        let rest = rest.trim_start();
        if let Some(begin) = rest.strip_suffix(" <unfinished ...>") {
            self.begun.insert(thread, begin.to_owned());
            return None;
        }
        let Some((_, resumed)) = rest.split_once(" resumed>") else {
            return Call::read(thread, rest);
        };
        let begun = self.begun.remove(&thread)?;
        Call::read(thread, &format!("{begun}{resumed}"))
    }
}

impl Call {
    /// Reads `[ 257] openat(-100</>, "/etc/hosts", 0x80000) = 3</etc/hosts>`.
    fn read(thread: u32, text: &str) -> Option<Self> {
        let (number, rest) = text.strip_prefix('[')?.split_once(']')?;
        let (name, rest) = rest.split_once('(')?;
        let name = name.trim();
        // A thread that was ended in the middle of a call: `???(`.
        if !name.starts_with(|first: char| first.is_ascii_lowercase()) {
            return None;
        }
        let (arguments, rest) = split(rest);
        let mut result = rest.trim_start_matches([')', ' ', '=']).split(' ');
        let value = result.next().unwrap_or_default();
        let error = result.next().filter(|word| word.starts_with('E'));
        Some(Self {
            thread,
            number: number.trim().to_owned(),
            name: name.to_owned(),
            arguments,
            result: value.split('<').next().unwrap_or_default().to_owned(),
            error: error.map(str::to_owned),
        })
    }

    pub(crate) fn succeeded(&self) -> bool {
        self.error.is_none()
    }

    pub(crate) fn argument(&self, place: usize) -> &str {
        self.arguments.get(place).map_or("", String::as_str)
    }

    /// An argument as a number, whichever way it is written.
    pub(crate) fn value(&self, place: usize) -> u64 {
        value(self.argument(place))
    }

    /// Number and name, and what the filter or a capability hangs on.
    pub(crate) fn recorded(&self) -> String {
        let line = format!("{} {}", self.number, self.name);
        let deciding = DECIDING.iter().find(|(name, ..)| *name == self.name);
        match deciding {
            Some((_, written, place)) => {
                let argument = self.value_of_flags(*written);
                format!("{line} {place}={argument:#x}")
            }
            None => match self.needs_a_right() {
                Some(right) => format!("{line} {right}"),
                None => line,
            },
        }
    }

    /// strace names the arguments of clone.
    fn value_of_flags(&self, place: usize) -> u64 {
        let argument = self.argument(place);
        value(argument.strip_prefix("flags=").unwrap_or(argument))
    }

    /// What of a call capabilities(7) may ask for: a port of the lower ones, a message of netlink.
    fn needs_a_right(&self) -> Option<String> {
        let argument = self.argument(1);
        let field = |name: &str| {
            let (_, rest) = argument.split_once(name)?;
            let end = rest.find([',', ')', '}'])?;
            Some(value(rest.get(..end)?))
        };
        match self.name.as_str() {
            "bind" => {
                let family = field("sa_family=")?;
                let (_, port) = argument.split_once("_port=")?;
                let port = port.split(',').next().map(in_bytes)?;
                let is_low = (1..FREE_PORTS_MIN).contains(&port);
                let is_internet = [AF_INET, AF_INET6].contains(&family);
                (is_internet && is_low).then(|| format!("port={port}"))
            }
            "sendto" | "sendmsg" => Some(format!("netlink={:#x}", field("nlmsg_type=")?)),
            _ => None,
        }
    }
}

/// A number in decimal or hexadecimal; 0 for anything else.
fn value(text: &str) -> u64 {
    let text = text.split('<').next().unwrap_or_default();
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    }
    .unwrap_or(0)
}

/// A number that is written as the bytes of the wire: `"\x00\x44"` is 68.
fn in_bytes(text: &str) -> u64 {
    let digits: String = text.trim_matches('"').split("\\x").collect();
    u64::from_str_radix(&digits, 16).unwrap_or(0)
}

/// The arguments, and what is behind them; commas in strings and brackets separate nothing.
fn split(text: &str) -> (Vec<String>, &str) {
    let (mut arguments, mut argument) = (Vec::new(), String::new());
    let (mut depth, mut is_quoted, mut is_escaped) = (0_u32, false, false);
    for (at, character) in text.char_indices() {
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            _ if is_quoted => {}
            '(' | '[' | '{' => depth += 1,
            ')' if depth == 0 => {
                arguments.push(argument.trim().to_owned());
                return (arguments, text.get(at..).unwrap_or_default());
            }
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                arguments.push(argument.trim().to_owned());
                argument.clear();
                continue;
            }
            _ => {}
        }
        argument.push(character);
    }
    (arguments, "")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)] // test code
mod tests {
    use super::*;

    #[test]
    fn halves_become_one_call() {
        let mut calls = Calls::default();
        assert!(
            calls
                .whole("7 [ 257] openat(-100</>, \"/a, b\", 0x80000 <unfinished ...>")
                .is_none()
        );
        let other = calls.whole("8 [   3] close(4</x>) = 0").unwrap();
        assert_eq!((other.thread, other.recorded()), (8, "3 close".to_owned()));
        let call = calls
            .whole("7 [ 257] <... openat resumed>) = -1 ENOENT (No such file)")
            .unwrap();
        assert_eq!(call.arguments, ["-100</>", "\"/a, b\"", "0x80000"]);
        assert_eq!(call.error.as_deref(), Some("ENOENT"));
    }

    #[test]
    fn what_decides_is_recorded() {
        let recorded = |line: &str| Calls::default().whole(line).unwrap().recorded();
        for (line, wanted) in [
            ("1 [  41] socket(0x11, 0x80802, 0) = 5", "41 socket 0=0x11"),
            (
                "1 [  56] clone(child_stack=0x7f, flags=0x3d0f00, tls=1) = 9",
                "56 clone 0=0x3d0f00",
            ),
            (
                r#"1 [  49] bind(7, {sa_family=0x2, sin_port="\x00\x44", x="\x00"}, 16) = 0"#,
                "49 bind port=68",
            ),
            (
                r#"1 [  49] bind(7, {sa_family=0x2, sin_port="\x00\x00", x="\x00"}, 16) = 0"#,
                "49 bind",
            ),
            (
                "1 [  44] sendto(9<socket:[1]>, [{nlmsg_len=32, nlmsg_type=0x14, x=1}], 32) = 32",
                "44 sendto netlink=0x14",
            ),
        ] {
            assert_eq!(recorded(line), wanted);
        }
    }
}
