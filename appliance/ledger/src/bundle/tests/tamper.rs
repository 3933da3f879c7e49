//! Tampering. The twelve cases of the specification come first; each has a finding of its own.

use std::collections::BTreeSet;

use super::*;

/// A fresh small bundle to tamper with, and the state after an earlier, smaller one.
struct Case {
    _dir: tempfile::TempDir,
    out: PathBuf,
    node: Node,
    state: VerifierState,
    earlier: PathBuf,
}

fn case() -> Case {
    let dir = tempfile::tempdir().unwrap();
    let mut node = Node::new(20, 4);
    let earlier = dir.path().join("earlier");
    node.write(&earlier, BundleFormat::Folder).unwrap();
    let state = verify_bundle(&earlier, options()).unwrap().state;
    node.grow(11);
    let out = dir.path().join("export");
    node.write(&out, BundleFormat::Folder).unwrap();
    verify_with_state(&out, &state).unwrap();
    Case {
        _dir: dir,
        out,
        node,
        state,
        earlier,
    }
}

impl Case {
    fn part(&self) -> PathBuf {
        self.out.join("cluster/000000000000.jsonl")
    }

    fn finding(&self) -> Finding {
        let found = verify_with_state(&self.out, &self.state).unwrap_err();
        // Without render and state it is refused as well, unless only they could tell.
        let plain = verify_bundle(&self.out, VerifyOptions::default());
        assert!(plain.is_err() || found.kind == FindingKind::RenderingDiffers);
        assert!(found.message.len() > 30, "{found}");
        found
    }

    fn sign_again(&self) {
        let statement = std::fs::read(self.out.join("EXPORT.txt")).unwrap();
        let signature = sshsig::sign(&self.node.export, &statement).unwrap();
        std::fs::write(self.out.join("EXPORT.txt.sig"), signature).unwrap();
    }
}

fn lines(text: &str) -> Vec<&str> {
    text.split_inclusive('\n').collect()
}

/// Base64 of the bytes of a record with one byte changed in place.
fn flipped_line(line: &str) -> String {
    line.replacen("\"record\":\"AXsi", "\"record\":\"AXsj", 1)
}

#[test]
fn the_twelve_tamper_cases_each_have_their_own_finding() {
    use FindingKind::*;
    type Tamper = fn(&Case);
    let cases: [(&str, Tamper, FindingKind, Option<u64>); 12] = [
        ("byte flip", byte_flip, FileAltered, Some(7)),
        ("dropped line", drop_line, RecordMissing, Some(7)),
        ("dropped last segment", drop_part, LastPartMissing, Some(0)),
        ("reordered", reorder, RecordsReordered, Some(7)),
        ("truncated", truncate, Truncated, Some(30)),
        (
            "swapped checkpoint",
            swap_checkpoint,
            CheckpointSwapped,
            None,
        ),
        ("older checkpoint with state", older, OlderThanState, None),
        ("wrong namespace", wrong_namespace, WrongNamespace, None),
        (
            "key out of its range",
            key_out_of_range,
            KeyOutOfRange,
            None,
        ),
        (
            "edited with recomputed hashes",
            edit_and_digest_again,
            RootDiffers,
            None,
        ),
        ("added file", add_file, FileAdded, None),
        (
            "path traversal in the manifest",
            traverse,
            PathTraversal,
            None,
        ),
    ];
    let mut kinds = BTreeSet::new();
    for (name, tamper, kind, record) in cases {
        let mut case = case();
        tamper(&case);
        if kind == OlderThanState {
            let newer = verify_bundle(&case.out, options()).unwrap();
            case.state = newer.state;
            case.out = case.earlier.clone();
            let found = verify_with_state(&case.out, &case.state).unwrap_err();
            assert_eq!(
                (found.kind, found.record),
                (kind, record),
                "{name}: {found}"
            );
        } else {
            let found = case.finding();
            assert_eq!(
                (found.kind, found.record),
                (kind, record),
                "{name}: {found}"
            );
        }
        assert!(kinds.insert(kind), "{name} has the finding of another case");
    }
}

fn byte_flip(case: &Case) {
    edit(&case.part(), |text| {
        let all = lines(&text);
        text.replacen(all[7], &flipped_line(all[7]), 1)
    });
}

fn drop_line(case: &Case) {
    edit(&case.part(), |text| text.replacen(lines(&text)[7], "", 1));
}

fn drop_part(case: &Case) {
    std::fs::remove_file(case.part()).unwrap();
}

fn reorder(case: &Case) {
    edit(&case.part(), |text| {
        let mut all = lines(&text);
        all.swap(7, 9);
        all.concat()
    });
}

fn truncate(case: &Case) {
    edit(&case.part(), |text| text[..text.len() - 20].to_owned());
}

fn swap_checkpoint(case: &Case) {
    let older = std::fs::read_to_string(case.earlier.join("cluster/checkpoint")).unwrap();
    edit(&case.out.join("cluster/checkpoint"), |_| older);
    digest_again(&case.out);
}

fn older(_: &Case) {}

fn wrong_namespace(case: &Case) {
    let statement = std::fs::read(case.out.join("EXPORT.txt")).unwrap();
    let signature = sshsig::sign_for(&case.node.export, "file", &statement).unwrap();
    std::fs::write(case.out.join("EXPORT.txt.sig"), signature).unwrap();
}

fn key_out_of_range(case: &Case) {
    edit(&case.out.join("keys.json"), |_| {
        let keys = [
            case.node.log.log_key(0, Some(30)),
            case.node.peer.log_key(0, None),
        ];
        format::keys_text(&keys)
    });
    digest_again(&case.out);
    case.sign_again();
}

fn edit_and_digest_again(case: &Case) {
    edit(&case.part(), |text| {
        // Another key number in the record and in what is shown: consistent in itself.
        let forged = format::line_text(7, &record("cluster", 99), &{
            format::event_text(render(&record("cluster", 99)))
        });
        text.replacen(lines(&text)[7], &forged, 1)
    });
    digest_again(&case.out);
}

fn add_file(case: &Case) {
    std::fs::write(case.out.join("access/README"), "read me").unwrap();
}

fn traverse(case: &Case) {
    edit(&case.out.join("SHA256SUMS"), |text| {
        format!("{text}{}  ../../etc/passwd\n", "0".repeat(64))
    });
}

/// More ways, with what they are called.
#[test]
fn other_tampering_is_named_too() {
    use FindingKind::*;
    type Tamper = fn(&Case);
    let cases: [(&str, Tamper, FindingKind); 23] = [
        ("one record more", one_more, RecordsBeyondCheckpoint),
        (
            "absolute path",
            |c| manifest_path(c, "/etc/passwd"),
            PathTraversal,
        ),
        (
            "backslashes",
            |c| manifest_path(c, "..\\..\\x"),
            PathTraversal,
        ),
        (
            "hidden climb",
            |c| manifest_path(c, "cluster/../../x"),
            PathTraversal,
        ),
        ("foreign file", |c| manifest_path(c, "zz"), FileForeign),
        (
            "manifest twice",
            |c| edit(&c.out.join("SHA256SUMS"), |t| t.clone() + &t),
            ManifestMalformed,
        ),
        ("no manifest", |c| remove(c, "SHA256SUMS"), FileMissing),
        ("no signature", |c| remove(c, "EXPORT.txt.sig"), FileMissing),
        ("no keys", |c| remove(c, "keys.json"), FileMissing),
        (
            "statement",
            |c| edit(&c.out.join("EXPORT.txt"), |t| t + "\n"),
            StatementMalformed,
        ),
        (
            "signature",
            |c| edit(&c.out.join("EXPORT.txt.sig"), |t| t[9..].to_owned()),
            SignatureMalformed,
        ),
        (
            "time",
            |c| edit(&c.out.join("EXPORT.txt"), |t| t.replace("2026", "2025")),
            SignatureWrong,
        ),
        (
            "empty folder",
            |c| std::fs::create_dir(c.out.join("more")).unwrap(),
            FileAdded,
        ),
        ("link", replace_by_link, NotPlainFile),
        ("shown otherwise", shown_otherwise, RenderingDiffers),
        (
            "duplicated line",
            |c| edit(&c.part(), |t| t.clone() + lines(&t)[0]),
            RecordsReordered,
        ),
        (
            "line of another form",
            |c| {
                edit(&c.part(), |t| t.replacen("\"event\":", "\"event\": ", 1));
                digest_again(&c.out);
            },
            RenderingDiffers,
        ),
        (
            "cut between lines",
            |c| edit(&c.part(), |t| lines(&t)[..25].concat()),
            Truncated,
        ),
        (
            "guide",
            |c| edit(&c.out.join("VERIFY.md"), |t| t + "rm -rf /\n"),
            FileAltered,
        ),
        (
            "keys",
            |c| {
                edit(&c.out.join("keys.json"), |t| {
                    t.replace("strongroom-log-keys-1", "x")
                });
                digest_again(&c.out);
            },
            KeysMalformed,
        ),
        (
            "manifest only",
            |c| {
                edit(&c.out.join("VERIFY.md"), |t| t + "more\n");
                let statement = std::fs::read(c.out.join("EXPORT.txt")).unwrap();
                digest_again(&c.out);
                std::fs::write(c.out.join("EXPORT.txt"), statement).unwrap();
            },
            ManifestAltered,
        ),
        ("other signer", other_signer, SignerChanged),
        (
            "unlisted signer",
            |c| {
                edit(&c.out.join("allowed_signers"), |t| {
                    t.replace("node-1", "node-2")
                });
                digest_again(&c.out);
                c.sign_again();
            },
            SignerNotListed,
        ),
    ];
    for (name, tamper, kind) in cases {
        let case = case();
        tamper(&case);
        let found = verify_with_state(&case.out, &case.state).unwrap_err();
        assert_eq!(found.kind, kind, "{name}: {found}");
    }
}

fn one_more(case: &Case) {
    let more = record("cluster", 31);
    let line = format::line_text(31, &more, &format::event_text(render(&more)));
    edit(&case.part(), |text| text + &line);
    digest_again(&case.out);
}

fn manifest_path(case: &Case, path: &str) {
    edit(&case.out.join("SHA256SUMS"), |text| {
        format!("{text}{}  {path}\n", "0".repeat(64))
    });
}

fn remove(case: &Case, path: &str) {
    std::fs::remove_file(case.out.join(path)).unwrap();
    if path == "keys.json" {
        digest_again(&case.out);
    }
}

fn replace_by_link(case: &Case) {
    let moved = case.out.with_extension("moved");
    std::fs::rename(case.part(), &moved).unwrap();
    std::os::unix::fs::symlink(moved, case.part()).unwrap();
}

fn shown_otherwise(case: &Case) {
    edit(&case.part(), |text| {
        text.replacen("\"key\":7", "\"key\":8", 1)
    });
    digest_again(&case.out);
    case.sign_again();
}

fn other_signer(case: &Case) {
    let mut other = TestSigner::new("other", SignatureKind::Log, 77);
    other.principal = "node-1".to_owned();
    edit(&case.out.join("allowed_signers"), |_| {
        sshsig::allowed_signers(&other)
    });
    digest_again(&case.out);
    let statement = std::fs::read(case.out.join("EXPORT.txt")).unwrap();
    let signature = sshsig::sign(&other, &statement).unwrap();
    std::fs::write(case.out.join("EXPORT.txt.sig"), signature).unwrap();
}

#[test]
fn a_rewritten_history_shows_with_the_state() {
    let case = case();
    // A node with the same keys and names, but another record 3; everything signed as it should.
    let mut forger = Node::new(3, 4);
    forger.cluster.append(&[record("cluster", 1_000)]).unwrap();
    forger.grow(40);
    let out = case.out.with_extension("forged");
    forger.write(&out, BundleFormat::Folder).unwrap();
    verify_bundle(&out, options()).unwrap();
    let finding = verify_with_state(&out, &case.state).unwrap_err();
    assert_eq!(finding.kind, FindingKind::HistoryDiffers);
    let mut foreign = case.state.clone();
    foreign.logs = [(
        "strongroom/other".to_owned(),
        case.state.logs[CLUSTER_ORIGIN].clone(),
    )]
    .into();
    let finding = verify_with_state(&case.out, &foreign).unwrap_err();
    assert_eq!(finding.kind, FindingKind::ForeignLog);
}

#[test]
fn only_trusted_signers_and_enough_cosigners_are_accepted() {
    let case = case();
    let own = std::fs::read_to_string(case.out.join("allowed_signers")).unwrap();
    let other = sshsig::allowed_signers(&case.node.log);
    let trusting = |text: &str| VerifyOptions {
        trusted: Some(text.to_owned()),
        ..options()
    };
    let report = verify_bundle(&case.out, trusting(&own)).unwrap();
    assert_eq!(report.trust, Trust::Given);
    let renamed = own.replace("node-1", "auditor,another");
    assert_eq!(
        verify_bundle(&case.out, trusting(&renamed)).unwrap().trust,
        Trust::Given
    );
    for text in [
        other,
        own.replace("log-v1", "other"),
        own.replace("names", "cert"),
        String::new(),
    ] {
        let finding = verify_bundle(&case.out, trusting(&text)).unwrap_err();
        assert_eq!(finding.kind, FindingKind::SignerNotTrusted, "{text}");
    }
    let asking = |cosigners_min| VerifyOptions {
        cosigners_min,
        ..options()
    };
    verify_bundle(&case.out, asking(1)).unwrap();
    let finding = verify_bundle(&case.out, asking(2)).unwrap_err();
    assert_eq!(finding.kind, FindingKind::CosignersMissing);
    let mut inspect = |_: &str, n: u64, _: &[u8], _: &Value| {
        if n == 5 {
            Err("a key was got after Destroy".to_owned())
        } else {
            Ok(())
        }
    };
    let inspecting = VerifyOptions {
        inspect: Some(&mut inspect),
        ..options()
    };
    let finding = verify_bundle(&case.out, inspecting).unwrap_err();
    assert_eq!(
        (finding.kind, finding.record),
        (FindingKind::Inspection, Some(5))
    );
}

/// A bundle that somebody makes up without any key of ours, signed with keys of his own in every
/// place, is whole; only trust or state can tell.
#[test]
fn checkpoints_need_the_keys_of_the_list() {
    let case = case();
    let forged = TestSigner::new("strongroom/7c1d/node-1", SignatureKind::Log, 66);
    let note = case
        .node
        .cluster
        .checkpoint(CLUSTER_ORIGIN)
        .sign(&[&forged])
        .unwrap();
    edit(&case.out.join("cluster/checkpoint"), |_| note);
    digest_again(&case.out);
    case.sign_again();
    assert_eq!(case.finding().kind, FindingKind::CheckpointUnsigned);
    let good = case.node.note(&case.node.cluster, CLUSTER_ORIGIN);
    // A signature line of the right key over another text.
    let other = case
        .node
        .access
        .checkpoint(CLUSTER_ORIGIN)
        .sign(&[&case.node.log])
        .unwrap();
    let line = |note: &str| {
        note.split_once("\n\n")
            .unwrap()
            .1
            .split_inclusive('\n')
            .next()
            .unwrap()
            .to_owned()
    };
    edit(&case.out.join("cluster/checkpoint"), |_| {
        good.replacen(&line(&good), &line(&other), 1)
    });
    digest_again(&case.out);
    case.sign_again();
    assert_eq!(case.finding().kind, FindingKind::CheckpointSignature);
}
