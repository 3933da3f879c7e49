//! Closed logs: each shows its view of a range, goes on from the one before, and hides nothing that
//! cannot be accounted for.

use super::*;
use crate::tree::Hash;
use proptest::prelude::*;

/// Every third record is of the view `audit`.
fn view_of(n: u64) -> &'static str {
    if n.is_multiple_of(3) {
        "audit"
    } else {
        "system"
    }
}

fn number(record: &[u8]) -> u64 {
    render(record).unwrap()["key"].as_u64().unwrap()
}

fn render_view(record: &[u8]) -> Result<Value, String> {
    Ok(json!({ "view": view_of(number(record)), "key": number(record) }))
}

fn render_view_named(_: &str, record: &[u8]) -> Result<Value, String> {
    render_view(record)
}

impl Node {
    fn close(&self, out: &Path, view: &str, from: u64) -> Result<Written, ExportError> {
        let note = self.note(&self.cluster, CLUSTER_ORIGIN);
        let shows = |record: &[u8]| view_of(number(record)) == view;
        let log = LogSource {
            name: "cluster",
            reader: self.cluster.reader(),
            checkpoint: &note,
            render: &render_view,
            part: Some(ViewRange {
                view,
                before: self.cluster.frontier_at(from).unwrap(),
                shows: &shows,
            }),
        };
        let source = BundleSource {
            logs: vec![log],
            keys: self.keys.clone(),
            signer: &self.export,
            unix_seconds: TIME,
        };
        write_bundle(out, BundleFormat::Folder, &source, &mut |_, _| ())
    }
}

fn verify(path: &Path, state: Option<&VerifierState>) -> Result<Report, Finding> {
    let options = VerifyOptions {
        render: Some(&render_view_named),
        state: state.cloned(),
        ..VerifyOptions::default()
    };
    verify_bundle(path, options)
}

/// Numbers of the records that a closed log shows.
fn shown(bundle: &Path) -> Vec<u64> {
    let mut shown = Vec::new();
    for part in std::fs::read_dir(bundle.join("cluster")).unwrap() {
        let path = part.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "jsonl") {
            let text = std::fs::read_to_string(path).unwrap();
            let lines = text.lines().filter(|line| line.contains("\"record\""));
            shown.extend(lines.map(|line| {
                let line: Value = serde_json::from_str(line).unwrap();
                line["n"].as_u64().unwrap()
            }));
        }
    }
    shown
}

#[test]
fn two_closed_logs_verify_with_stock_tools_and_continue_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let mut node = Node::new(100, 0);
    let written = node.close(&path("a"), "audit", 0).unwrap();
    assert_eq!((written.records, written.shown), (100, 34));
    node.grow(57);
    node.close(&path("b"), "audit", 100).unwrap();
    node.close(&path("s"), "system", 100).unwrap();
    for bundle in ["a", "b", "s"] {
        for command in verify_commands("node-1") {
            assert!(shell(&path(bundle), &command), "{bundle}: {command}");
        }
    }
    let first = verify(&path("a"), None).unwrap();
    let log = &first.logs[0];
    assert_eq!(
        (log.size, log.range.clone()),
        (100, Some(("audit".into(), 0)))
    );
    let second = verify(&path("b"), Some(&first.state)).unwrap();
    assert!(second.logs[0].continues_state);
    // The other view of the same range shows what is hidden here, and nothing twice.
    let mut all = [shown(&path("b")), shown(&path("s"))].concat();
    all.sort_unstable();
    assert_eq!(all, (100..157).collect::<Vec<_>>());
    // A root in the statement is the previous root of the next.
    let text = |name: &str| std::fs::read_to_string(path(name).join("EXPORT.txt")).unwrap();
    let line = |text: String, start: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(start));
        line.unwrap().to_owned()
    };
    assert_eq!(line(text("a"), "Root: "), line(text("b"), "Previous: "));
}

#[test]
fn a_missing_or_old_closed_log_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let mut node = Node::new(10, 0);
    node.close(&path("1"), "audit", 0).unwrap();
    let state = verify(&path("1"), None).unwrap().state;
    node.grow(10);
    node.close(&path("2"), "audit", 10).unwrap();
    node.grow(10);
    node.close(&path("3"), "audit", 20).unwrap();
    let kind =
        |name: &str, state: &VerifierState| verify(&path(name), Some(state)).unwrap_err().kind;
    assert_eq!(kind("3", &state), FindingKind::ClosedLogMissing);
    assert_eq!(kind("1", &state), FindingKind::OlderThanState);
    let state = verify(&path("2"), Some(&state)).unwrap().state;
    verify(&path("3"), Some(&state)).unwrap();
    // The first of another view of the same log needs no other state.
    node.close(&path("s"), "system", 0).unwrap();
    verify(&path("s"), Some(&state)).unwrap();
    let forked = Node::new(11, 0);
    let mut other = Node::new(9, 0);
    other.cluster.append(&[record("cluster", 99)]).unwrap();
    other.grow(10);
    other.close(&path("4"), "audit", 10).unwrap();
    let first = verify(&path("1"), None).unwrap().state;
    assert_eq!(kind("4", &first), FindingKind::HistoryDiffers);
    let empty = forked.close(&path("5"), "audit", 11).unwrap_err();
    assert!(matches!(empty, ExportError::Range { .. }), "{empty}");
}

#[test]
fn what_is_done_to_a_closed_log_is_seen() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let node = Node::new(41, 0);
    let tampered = |name: &str, change: &dyn Fn(&Path)| {
        node.close(&path(name), "audit", 13).unwrap();
        change(&path(name));
        digest_again(&path(name));
        verify(&path(name), None).unwrap_err().kind
    };
    let part = |bundle: &Path| bundle.join("cluster/000000000013.jsonl");
    // A record is hidden behind its own leaf hash: honest tools notice by the other views; nobody
    // without the key can do it, because the files are signed.
    let kind = tampered("hidden", &|bundle| {
        edit(&part(bundle), |text| {
            text.lines()
                .filter(|line| !line.contains("\"n\":15,"))
                .map(|line| format!("{line}\n"))
                .collect()
        });
    });
    assert_eq!(kind, FindingKind::RecordMissing);
    let kind = tampered("root", &|bundle| {
        edit(&part(bundle), |text| {
            let root = text.split("\"root\":\"").nth(1).unwrap();
            let root = root.split('"').next().unwrap().to_owned();
            text.replacen(&root, &Hash([7; 32]).to_base64(), 1)
        });
    });
    assert_eq!(kind, FindingKind::RootDiffers);
    let kind = tampered("frontier", &|bundle| {
        edit(&bundle.join("cluster/frontier"), |text| {
            let first = text.lines().next().unwrap().to_owned();
            text.replacen(&first, &Hash([7; 32]).to_base64(), 1)
        });
    });
    assert_eq!(kind, FindingKind::PreviousDiffers);
    let kind = tampered("count", &|bundle| {
        edit(&part(bundle), |text| {
            text.replacen("\"others\":1", "\"others\":64", 1)
        });
    });
    assert!(matches!(
        kind,
        FindingKind::LineMalformed | FindingKind::RecordsBeyondCheckpoint
    ));
    // A record of another view is not shown as one of this.
    node.close(&path("view"), "audit", 13).unwrap();
    edit(&path("view").join("EXPORT.txt"), |text| {
        text.replace("View: audit", "View: system")
    });
    let kind = verify(&path("view"), None).unwrap_err().kind;
    assert_eq!(kind, FindingKind::ViewDiffers);
    // And any change without new digests.
    node.close(&path("plain"), "audit", 13).unwrap();
    edit(&part(&path("plain")), |text| {
        text.replacen("others\":2", "others\":4", 1)
    });
    assert!(verify(&path("plain"), None).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever the range, the subtrees of the others lead to the same root as the records do.
    #[test]
    fn every_range_closes(from in 0_u64..200, more in 1_u64..100) {
        let folder = tempfile::tempdir().unwrap();
        let node = Node::new(from + more, 0);
        let out = folder.path().join("x");
        let written = node.close(&out, "audit", from).unwrap();
        prop_assert_eq!(written.records, more);
        verify(&out, None).unwrap();
        let wanted: Vec<u64> = (from..from + more).filter(|n| view_of(*n) == "audit").collect();
        prop_assert_eq!(shown(&out), wanted);
    }
}
