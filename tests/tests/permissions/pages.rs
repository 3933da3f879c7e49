//! Every address of the web admin with its method, and what it needs; and the ways that pages show.

use anyhow::{Context, Result, ensure};
use domain::{Permissions, Right};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use tests::web::{Answer, Visitor};

/// Pages of one row that are looked through for links and forms, for one reader.
const PAGES_OF_ROW_MAX: usize = 2;

/// One address.
#[derive(Debug)]
pub(crate) struct Row {
    method: &'static str,
    /// A part `*` is a name.
    path: &'static str,
    /// What stands for it when it is tried.
    name: String,
    fields: &'static [(&'static str, &'static str)],
    right: Option<Right>,
    is_linked: bool,
}

/// A link or a form of a page.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Way {
    method: &'static str,
    path: String,
}

impl std::fmt::Display for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.method, self.path)
    }
}

/// Method, path, what stands for `*` there, what it needs, fields of its form.
type Line = (
    &'static str,
    &'static str,
    &'static str,
    Right,
    &'static [(&'static str, &'static str)],
);

/// No object has it.
const NO_UID: &str = "00000000-0000-0000-0000-000000000000";

/// What there is. Where something would be changed for good, what is tried is not there.
const LINES: &[Line] = &[
    ("GET", "/", "", Right::SeeStatus, &[]),
    ("GET", "/keys", "", Right::SeeKeys, &[]),
    ("GET", "/keys/new", "", Right::SeeKeys, &[]),
    (
        "POST",
        "/keys/new",
        "",
        Right::SeeKeys,
        &[("owner", "demo"), ("kind", "AES/256")],
    ),
    ("GET", "/keys/*", "UID", Right::SeeKeys, &[]),
    ("GET", "/keys/*/history", "UID", Right::SeeKeys, &[]),
    ("GET", "/keys/*/activate", "UID", Right::SeeKeys, &[]),
    ("GET", "/keys/*/revoke", "UID", Right::SeeKeys, &[]),
    ("GET", "/keys/*/destroy", "UID", Right::SeeKeys, &[]),
    ("POST", "/keys/*/activate", NO_UID, Right::SeeKeys, &[]),
    (
        "POST",
        "/keys/*/revoke",
        NO_UID,
        Right::SeeKeys,
        &[("reason", "6")],
    ),
    ("POST", "/keys/*/destroy", NO_UID, Right::SeeKeys, &[]),
    ("GET", "/clients", "", Right::SeeUsers, &[]),
    (
        "POST",
        "/clients",
        "",
        Right::AddClient,
        &[("name", "demo")],
    ),
    ("GET", "/clients/*", "demo", Right::SeeUsers, &[]),
    ("GET", "/clients/*/revoke", "demo", Right::SeeUsers, &[]),
    ("POST", "/clients/*/revoke", "nobody", Right::SeeUsers, &[]),
    (
        "POST",
        "/clients/*/files",
        "nobody",
        Right::TakeClientBundle,
        &[],
    ),
    ("GET", "/logs", "", Right::SeeLogs, &[]),
    ("GET", "/logs/cluster/*", "0", Right::SeeLogs, &[]),
    ("GET", "/logs/access/*", "0", Right::SeeLogs, &[]),
    ("GET", "/logs/export", "", Right::ExportLogs, &[]),
    ("POST", "/logs/export", "", Right::ExportLogs, &[]),
    (
        "GET",
        "/logs/export/*",
        "strongroom-export.tar",
        Right::ExportLogs,
        &[],
    ),
    ("GET", "/transfers", "", Right::SeeLogs, &[]),
    (
        "POST",
        "/transfers/rotate",
        "",
        Right::ChangeTransfer,
        &[("log", "none")],
    ),
    ("GET", "/transfers/new", "", Right::ChangeTransfer, &[]),
    ("POST", "/transfers/new", "", Right::ChangeTransfer, &[]),
    (
        "POST",
        "/transfers/save",
        "",
        Right::ChangeTransfer,
        &[("compared", "yes")],
    ),
    ("GET", "/transfers/to/*", "there", Right::SeeLogs, &[]),
    (
        "GET",
        "/transfers/to/*/remove",
        "there",
        Right::SeeLogs,
        &[],
    ),
    (
        "POST",
        "/transfers/to/*/test",
        "nobody",
        Right::ChangeTransfer,
        &[],
    ),
    (
        "POST",
        "/transfers/to/*/send",
        "nobody",
        Right::ChangeTransfer,
        &[],
    ),
    (
        "POST",
        "/transfers/to/*/remove",
        "nobody",
        Right::ChangeTransfer,
        &[],
    ),
    ("GET", "/algorithms", "", Right::SeeStatus, &[]),
    (
        "POST",
        "/algorithms/self-tests",
        "",
        Right::RunSelfTests,
        &[],
    ),
    ("GET", "/algorithms/switch-on", "", Right::ChangeSeals, &[]),
    ("GET", "/algorithms/switch-off", "", Right::ChangeSeals, &[]),
    (
        "POST",
        "/algorithms/switch-on",
        "",
        Right::ChangeSeals,
        &[("words", "x")],
    ),
    (
        "POST",
        "/algorithms/switch-off",
        "",
        Right::ChangeSeals,
        &[("words", "x")],
    ),
    ("GET", "/administrators", "", Right::SeeAdministrators, &[]),
    // What is about oneself alone. Signing out ends the session, so it is last.
    ("GET", "/password", "", Right::SeeStatus, &[]),
    (
        "POST",
        "/password",
        "",
        Right::SeeStatus,
        &[("old", crate::OWN), ("new", crate::OWN), ("again", "")],
    ),
    ("POST", "/sign-out", "", Right::SeeStatus, &[]),
];

/// To these no page leads that this suite opens: what follows a form, an export that is ready, the
/// switch of a mode that is not on.
const UNLINKED: [(&str, &str); 5] = [
    ("POST", "/transfers/save"),
    ("GET", "/logs/export/*"),
    ("GET", "/algorithms/switch-off"),
    ("POST", "/algorithms/switch-off"),
    ("GET", "/keys/*/history"),
];

/// Every address, with the uid of a key that is there.
pub(crate) fn rows(uid: &str) -> Vec<Row> {
    let row = |(method, path, name, right, fields): &Line| Row {
        method,
        path,
        name: name.replace("UID", uid),
        fields,
        right: Some(*right),
        is_linked: !UNLINKED.contains(&(*method, *path)),
    };
    LINES.iter().map(row).collect()
}

impl Row {
    /// What it needs.
    pub(crate) fn needs(&self) -> Permissions {
        self.right.map_or(Permissions::NONE, Right::needs)
    }

    /// Method and path, for people.
    pub(crate) fn pattern(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    /// Whether a page leads there.
    pub(crate) fn is_linked(&self) -> bool {
        self.is_linked
    }

    /// Whether a link or form leads there.
    pub(crate) fn is_at(&self, way: &Way) -> bool {
        let parts = |path: &str| path.split('/').map(str::to_owned).collect::<Vec<_>>();
        let (wanted, given) = (parts(self.path), parts(&way.path));
        let mut pairs = wanted.iter().zip(&given);
        self.method == way.method
            && wanted.len() == given.len()
            && pairs.all(|(wanted, given)| wanted == "*" || wanted == given)
    }

    /// Goes there.
    pub(crate) fn visit(&self, visitor: &mut Visitor) -> Result<Answer> {
        let path = self.path.replace('*', &self.name);
        match self.method {
            "POST" => visitor.post(&path, self.fields),
            _ => visitor.get(&path),
        }
    }
}

/// The row of a way: an address without a name goes before one with it.
pub(crate) fn row_of<'a>(rows: &'a [Row], way: &Way) -> Result<&'a Row> {
    let mut found = rows.iter().filter(|row| row.is_at(way));
    found
        .next()
        .with_context(|| format!("{way} is no address of the table"))
}

/// All links and forms that somebody meets who begins at the first page.
pub(crate) fn ways(visitor: &mut Visitor, rows: &[Row]) -> Result<BTreeSet<Way>> {
    let mut met = BTreeSet::new();
    let mut opened: BTreeMap<String, usize> = BTreeMap::new();
    let mut queue = VecDeque::from(["/".to_owned()]);
    while let Some(target) = queue.pop_front() {
        let page = visitor.get(&target)?;
        ensure!(
            page.status == 200,
            "{target} is shown, and answers {}",
            page.status
        );
        for (method, target) in shown(&page.text()) {
            let path = target.split('?').next().unwrap_or_default().to_owned();
            let way = Way { method, path };
            let row = row_of(rows, &way)?;
            let is_page = method == "GET" && !row.path.ends_with("export/*");
            if met.insert(way) && is_page {
                let count = opened.entry(row.pattern()).or_default();
                *count += 1;
                if *count <= PAGES_OF_ROW_MAX {
                    queue.push_back(target);
                }
            }
        }
    }
    Ok(met)
}

/// Links and forms of a page: method and target.
fn shown(page: &str) -> Vec<(&'static str, String)> {
    let attribute = |tag: &str, name: &str| {
        let (_, rest) = tag.split_once(&format!(" {name}=\""))?;
        let value = rest.split_once('"')?.0;
        Some(value.replace("&#38;", "&").replace("&amp;", "&"))
    };
    let tags = page.split('<').skip(1);
    let tags = tags.map(|tag| tag.split('>').next().unwrap_or_default());
    let mut shown = Vec::new();
    for tag in tags {
        let found = if tag.starts_with("a ") {
            attribute(tag, "href").map(|target| ("GET", target))
        } else if tag.starts_with("form ") {
            let is_post = attribute(tag, "method").is_some_and(|method| method == "post");
            let method = if is_post { "POST" } else { "GET" };
            attribute(tag, "action").map(|target| (method, target))
        } else {
            None
        };
        shown.extend(found.filter(|(_, target)| !target.starts_with('#')));
    }
    shown
}
