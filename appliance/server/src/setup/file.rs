//! The set-up file: the answers of the dialogue, an item a line.
//!
//! ```text
//! # strongroom setup 1
//! hostname = kms1
//! eth0.ipv4 = static
//! eth0.address = 192.0.2.10/24
//! admin.password = …
//! ```
//! Empty lines and lines that begin with `#` are passed over; a value begins after the first `=`
//! and ends with the line, spaces around it removed. The first line must be as shown: it is how a
//! disk that holds such a file is recognised.

use super::answers::{Answers, Wrong};
use std::collections::BTreeSet;
use std::fmt::Write;

/// First line of a set-up file of this version.
pub(crate) const FIRST_LINE: &str = "# strongroom setup 1";

/// Longest set-up file, in bytes.
pub(crate) const BYTES_MAX: usize = 64 * 1024;

/// Reads a file; NUL bytes at its end, which a disk adds, are no part of it.
///
/// # Errors
/// Everything that is wrong, each with its line.
pub(crate) fn parse(bytes: &[u8]) -> Result<Answers, Vec<Wrong>> {
    let one = |id: &str, why: String| {
        vec![Wrong {
            id: id.to_owned(),
            why,
        }]
    };
    let text = std::str::from_utf8(bytes).map_err(|e| one("set-up file", e.to_string()))?;
    let text = text.trim_end_matches('\0');
    if text.len() > BYTES_MAX {
        return Err(one(
            "set-up file",
            format!("is longer than {BYTES_MAX} bytes"),
        ));
    }
    let mut lines = text.lines().enumerate();
    if lines
        .next()
        .is_none_or(|(_, first)| first.trim_end() != FIRST_LINE)
    {
        let why = format!("its first line must be: {FIRST_LINE}");
        return Err(one("set-up file", why));
    }
    let (mut answers, mut wrong, mut seen) = (Answers::default(), Vec::new(), BTreeSet::new());
    for (number, line) in lines {
        let (number, line) = (number + 1, line.trim());
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let place = format!("line {number}");
        let Some((id, value)) = line.split_once('=') else {
            wrong.extend(one(
                &place,
                "is no item; one looks like: hostname = kms1".to_owned(),
            ));
            continue;
        };
        let (id, value) = (id.trim(), value.trim());
        if !seen.insert(id.to_owned()) {
            wrong.extend(one(&place, format!("{id} was given before")));
        } else if let Err(e) = answers.set(id, value) {
            wrong.push(Wrong {
                id: format!("{place}, {}", e.id),
                why: e.why,
            });
        }
    }
    if wrong.is_empty() {
        Ok(answers)
    } else {
        Err(wrong)
    }
}

/// The same file again, from items that are not secret.
pub(crate) fn print<'a, 'b>(items: impl IntoIterator<Item = (&'a str, &'b str)>) -> String {
    let mut text = format!("{FIRST_LINE}\n");
    for (id, value) in items {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{id} = {value}");
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_printed_reads_back() {
        let text = format!("{FIRST_LINE}\n\n# mine\nhostname = kms1\nunlock=disk\n\0\0\0");
        let answers = parse(text.as_bytes()).unwrap();
        let printed = print(answers.plain());
        assert_eq!(
            printed,
            format!("{FIRST_LINE}\nhostname = kms1\nunlock = disk\n")
        );
        let again = parse(printed.as_bytes()).unwrap();
        assert!(answers.plain().eq(again.plain()));
    }

    #[test]
    fn every_mistake_is_named_with_its_line() {
        let text = format!("{FIRST_LINE}\nhostname = -\nnonsense\nunlock = disk\nunlock = disk\n");
        let wrong = parse(text.as_bytes()).unwrap_err();
        let places: Vec<&str> = wrong.iter().map(|wrong| wrong.id.as_str()).collect();
        assert_eq!(places, ["line 2, hostname", "line 3", "line 5"]);
        assert!(parse(b"hostname = kms1\n").is_err());
        assert!(parse(&[0xff; 8]).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            drop(parse(&bytes));
            let with_head = [FIRST_LINE.as_bytes(), b"\n", &bytes].concat();
            drop(parse(&with_head));
        }
    }
}
