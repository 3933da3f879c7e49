#!/usr/bin/env python3
"""Writes the tags and enumerations of ../src from the tables of the KMIP specifications.

Output: ../src/tags.rs, ../src/enumerations.rs, ../src/enumerations/algorithms.rs.

Input: a folder with the tag and enumeration tables of KMIP 1.2, 1.4, 2.0 and 2.1:
  kmip-spec-enumerations-v1.2-os_enumerations.csv   (category, name, value)
  kmip-spec-enumerations-v2.1-os_enumerations.csv   (category, name, value)
  kmip_1_4.json, kmip_2_0_additions.json            ({tags, enums, masks})
The tables are not part of this repository; the Rust files they gave are, and are what is built.
Run it only when a new version of the standard is taken up:
  python3 generate.py FOLDER && cargo fmt -p kmip

Two things are not in the tables and stand here, from the text of the specifications:
  * in which of 1.0, 1.1 and 1.3 a tag, operation or result reason appeared;
  * the bits of Cryptographic Usage Mask, which are written by hand in attributes.rs.
"""
import csv
import json
import pathlib
import re
import sys

# Last tag of each version: tags were always added at the end (KMIP 1.0 to 1.4 section 9.1.3.1,
# KMIP 2.0 and 2.1 section 11).
LAST_TAG = [("V1_0", 0x4200A1), ("V1_1", 0x4200B7), ("V1_2", 0x4200D3), ("V1_3", 0x4200F7),
            ("V1_4", 0x420124), ("V2_0", 0x420165), ("V2_1", 0x42FFFF)]
# Last value of each version, likewise, for the enumerations whose version matters on the wire.
LAST_VALUE = {
    "Operation": [("V1_0", 0x1C), ("V1_1", 0x1E), ("V1_2", 0x29), ("V1_4", 0x2B),
                  ("V2_0", 0x35), ("V2_1", 0x3B)],
    "Object Type": [("V1_0", 0x08), ("V1_2", 0x09), ("V2_0", 0x0A)],
    "Query Function": [("V1_0", 0x04), ("V1_1", 0x06), ("V1_2", 0x07), ("V1_3", 0x0C),
                       ("V2_0", 0x0E)],
    "Result Reason": [("V1_0", 0x11), ("V1_1", 0x12), ("V1_2", 0x15), ("V1_4", 0x18),
                      ("V2_0", 0x47), ("V2_1", 0x4C)],
}
SINCE_OVERRIDE = {("Result Reason", 0x100): "V1_0",
                  # The conformance cases of 2.0 still expect Permission Denied here.
                  ("Result Reason", 0x43): "V2_1"}
# Long lists that no message built here carries, and names that are no enumerations of messages.
SKIPPED = {"Tag", "Item Type", "Data", "PKCS#11 Function", "PKCS#11 Return Code",
           "Asynchronous Request", "Profile Name", "Extensions"}
# What goes to enumerations/algorithms.rs: how keys are made and used, not how messages are built.
ALGORITHMS = {"Block Cipher Mode", "Cryptographic Algorithm", "DRBG Algorithm", "Derivation Method",
              "Digital Signature Algorithm", "FIPS186 Variation", "Hashing Algorithm",
              "Key Role Type", "Mask Generator", "NIST Key Type", "Padding Method",
              "RNG Algorithm", "RNG Mode", "Recommended Curve", "Shredding Algorithm"}
# Enumerations of which the standard fixes no value: all are extensions.
OPEN = ["Opaque Data Type"]
# Names that differ between the sources, of which the later specification wins, and misspellings.
SPELLING = {"MFG1": "MGF1", "Not Authorized": "Not Authorised", "Object archived": "Object Archived",
            "AuthenticatedEncryption Additional Data": "Authenticated Encryption Additional Data"}


def number(text):
    return text if isinstance(text, int) else int(text.strip().split("(")[0], 16)


def constant(name):
    """'X.509 Certificate' -> X_509_CERTIFICATE; a leading digit moves back ('3DES' -> DES3)."""
    name = re.sub(r"([a-z])([A-Z][a-z])", r"\1 \2", name)
    name = re.sub(r"([A-Z]{2})([A-Z][a-z])", r"\1 \2", name)
    words = [w for w in re.split(r"[^A-Za-z0-9]+", name) if w]
    leading = re.match(r"^([0-9]+)([A-Za-z].*)$", words[0])
    if leading:
        words[0] = leading.group(2) + leading.group(1)
    return "_".join(words).upper()


def read(folder):
    """Returns tags {value: name} and enumerations {category: ({value: name}, clause)}."""
    tags, enums = {}, {}
    sources = []
    for name in ["kmip_1_4.json", "kmip_2_0_additions.json"]:
        table = json.loads((folder / name).read_text())
        tags.update({number(v): k for k, v in table["tags"].items()})
        for e in table["enums"]:
            sources += [(e["name"], k.strip(), number(v), e.get("comment", ""))
                        for k, v in e.get("values", {}).items()]
    for version in ["v1.2", "v2.1"]:
        path = folder / f"kmip-spec-enumerations-{version}-os_enumerations.csv"
        for category, name, value in list(csv.reader(path.open()))[1:]:
            value = value.strip()
            if name.startswith("(") or not re.match(r"^(0x)?[0-9A-F]{6,8}(\(|$)", value):
                continue
            if category == "Tag":
                tags[number(value)] = name
            else:
                sources.append((category, name, number(value), ""))
    for category, name, value, clause in sources:
        values, old = enums.get(category, ({}, ""))
        values[value] = SPELLING.get(name, name)
        enums[category] = (values, old or clause.split(" ")[0])
    for category in OPEN:
        enums.setdefault(category, ({}, ""))
    tags = {t: SPELLING.get(n, n) for t, n in tags.items()
            if n != "Reserved" and not n.startswith("(")}
    return tags, enums


def since(table, value):
    return next((v for v, last in table if value <= last), table[-1][0])


def write_tags(path, tags):
    rows = "\n".join(
        f'    0x{t:06X} {constant(n)} "{n}" {since(LAST_TAG, t)};' for t, n in sorted(tags.items()))
    # The project's lines end at column 100.
    rows = "\n".join(r if len(r) <= 100 else r.replace(' "', '\n        "', 1)
                     for r in rows.split("\n"))
    path.write_text(TAGS_HEAD + rows + "\n}\n")


def type_name(category):
    """'DRBG Algorithm' -> DrbgAlgorithm. Unique Identifier is a text with this as a second form."""
    words = [w for w in re.split(r"[^A-Za-z0-9]+", category) if w]
    kind = "".join(w[0].upper() + w[1:].lower() for w in words)
    return {"UniqueIdentifier": "UniqueIdentifierForm"}.get(kind, kind)


def block(category, values, clause):
    """The Rust text of one enumeration."""
    where = f"KMIP 1.4 §{clause}" if clause.startswith("9") else "KMIP 2.1 §11"
    last = LAST_VALUE.get(category)
    rows = []
    for v, n in sorted(values.items()):
        version = SINCE_OVERRIDE.get((category, v)) or (since(last, v) if last else "")
        rows.append(f'    0x{v:02X} {constant(n)} "{n}" {version};\n'.replace(" ;", ";"))
    macro = "dated_enumeration" if last else "enumeration"
    return (f"{macro}! {{\n    /// {category} ({where}).\n    {type_name(category)}\n"
            + "".join(rows) + "}\n")


def write_enumerations(source, enums):
    messages, algorithms, registry = [], [], []
    for category in sorted(set(enums) - SKIPPED):
        (algorithms if category in ALGORITHMS else messages).append(
            block(category, *enums[category]))
        tag_names = [category] + (["Mask Generator Hashing Algorithm"]
                                  if category == "Hashing Algorithm" else [])
        registry += [f"        Tag::{constant(tag)} => {type_name(category)}::TABLE,\n"
                     for tag in tag_names]
    (source / "enumerations.rs").write_text(
        ENUMS_HEAD + "\n".join(messages)
        + REGISTRY_HEAD + "".join(sorted(registry)) + REGISTRY_TAIL)
    (source / "enumerations").mkdir(exist_ok=True)
    (source / "enumerations" / "algorithms.rs").write_text(
        ALGORITHMS_HEAD + "\n".join(algorithms))


TAGS_HEAD = '''//! The tags of KMIP: number, name and the version that brought each (KMIP 2.1 §11.61, earlier
//! versions §9.1.3.1). Written by `tables/generate.py`; a new version of the standard is taken up
//! there.

use std::fmt;

use crate::version::ProtocolVersion;

/// The three-byte tag that names a field (KMIP 1.4 §9.1.1.1). Any number can occur on the wire;
/// the constants are those of the standard.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(pub u32);

/// One row of the table of tags.
#[derive(Debug)]
struct Row {
    tag: u32,
    name: &'static str,
    since: ProtocolVersion,
}

impl Tag {
    fn row(self) -> Option<&'static Row> {
        let at = TABLE.binary_search_by_key(&self.0, |row| row.tag).ok()?;
        TABLE.get(at)
    }

    /// The name in the specification, "Unique Identifier"; `None` for tags it does not have.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        self.row().map(|row| row.name)
    }

    /// The tag with this name as the specification spells it.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Tag> {
        TABLE.iter().find(|row| row.name == name).map(|row| Tag(row.tag))
    }

    /// The first version that has this tag; `None` for tags of no version.
    #[must_use]
    pub fn since(self) -> Option<ProtocolVersion> {
        self.row().map(|row| row.since)
    }

    /// Whether a peer that speaks `version` knows this tag. Extension tags (0x54....) are known
    /// to whoever agreed on them, so they count as known.
    #[must_use]
    pub fn is_known_to(self, version: ProtocolVersion) -> bool {
        self.is_extension() || self.since().is_some_and(|since| since <= version)
    }

    /// Tags 0x540000 to 0x54FFFF are for agreements outside the standard.
    #[must_use]
    pub fn is_extension(self) -> bool {
        self.0 >> 16 == 0x54
    }

    /// All tags of the standard in ascending order.
    pub fn all() -> impl Iterator<Item = Tag> {
        TABLE.iter().map(|row| Tag(row.tag))
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "tag 0x{:06X}", self.0),
        }
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

macro_rules! tags {
    ($($number:literal $constant:ident $name:literal $since:ident;)*) => {
        impl Tag {
            $(#[doc = $name] pub const $constant: Tag = Tag($number);)*
        }
        const TABLE: &[Row] = &[
            $(Row { tag: $number, name: $name, since: ProtocolVersion::$since },)*
        ];
    };
}

tags! {
'''
ENUMS_HEAD = '''//! The enumerations of KMIP as newtypes over the 32-bit number on the wire: a number that this
//! program does not know stays itself, so it can be refused by name or passed on unchanged.
//! Written by `tables/generate.py`; a new version of the standard is taken up there.

use std::fmt;

use crate::tags::Tag;
use crate::version::ProtocolVersion;

pub use algorithms::*;

macro_rules! enumeration {
    ($(#[$doc:meta])* $kind:ident $($number:literal $constant:ident $name:literal;)*) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $kind(pub u32);

        impl $kind {
            $(#[doc = $name] pub const $constant: $kind = $kind($number);)*

            /// Number and name of every value of the standard, in ascending order.
            pub const TABLE: &'static [(u32, &'static str)] = &[$(($number, $name),)*];

            /// The name in the specification; `None` for numbers it does not have.
            #[must_use]
            pub fn name(self) -> Option<&'static str> {
                let at = Self::TABLE.binary_search_by_key(&self.0, |row| row.0).ok()?;
                Self::TABLE.get(at).map(|row| row.1)
            }

            /// The value with this name as the specification spells it.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                Self::TABLE.iter().find(|row| row.1 == name).map(|row| $kind(row.0))
            }
        }

        impl fmt::Display for $kind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self.name() {
                    Some(name) => f.write_str(name),
                    None => write!(f, "0x{:08X}", self.0),
                }
            }
        }

        impl fmt::Debug for $kind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

// After the macro, which it uses.
mod algorithms;

/// An enumeration whose values carry the version that brought them.
macro_rules! dated_enumeration {
    ($(#[$doc:meta])* $kind:ident
        $($number:literal $constant:ident $name:literal $since:ident;)*) => {
        enumeration! { $(#[$doc])* $kind $($number $constant $name;)* }

        impl $kind {
            /// The first version that has this value; `None` for values of no version.
            #[must_use]
            pub fn since(self) -> Option<ProtocolVersion> {
                match self.0 {
                    $($number => Some(ProtocolVersion::$since),)*
                    _ => None,
                }
            }

            /// Whether a peer that speaks `version` knows this value.
            #[must_use]
            pub fn is_known_to(self, version: ProtocolVersion) -> bool {
                self.since().is_some_and(|since| since <= version)
            }
        }
    };
}

'''
ALGORITHMS_HEAD = '''//! The enumerations that say how keys are made and used. Written by `tables/generate.py`.

use std::fmt;

'''
REGISTRY_HEAD = '''
/// Number and name of the values that a field with this tag can have, in ascending order; `None`
/// when the field is no enumeration. This is what prints attribute values for people and reads
/// them in the XML and JSON encodings.
#[must_use]
pub fn values_of(tag: Tag) -> Option<&'static [(u32, &'static str)]> {
    let table = match tag {
'''
REGISTRY_TAIL = '''        _ => return None,
    };
    Some(table)
}
'''

if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    source = pathlib.Path(__file__).resolve().parent.parent / "src"
    all_tags, all_enums = read(pathlib.Path(sys.argv[1]))
    write_tags(source / "tags.rs", all_tags)
    write_enumerations(source, all_enums)
