//! Writing and verifying what is right.

use super::*;

#[test]
fn a_bundle_verifies_here_and_with_stock_tools() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("export");
    let written = Node::new(321, 12)
        .write(&out, BundleFormat::Folder)
        .unwrap();
    assert_eq!((written.records, written.unrendered), (333, 0));
    let report = verify_bundle(&out, options()).unwrap();
    assert_eq!(
        (report.time.as_str(), report.trust),
        ("2026-09-21T14:13:20Z", Trust::Bundle)
    );
    let sizes: Vec<_> = report
        .logs
        .iter()
        .map(|log| (log.name.as_str(), log.size))
        .collect();
    assert_eq!(sizes, [("cluster", 321), ("access", 12)]);
    assert_eq!(report.logs[0].signed_by, ["strongroom/7c1d/node-1"]);
    assert_eq!(
        report.logs[0].cosigned_by,
        [("strongroom/7c1d/node-2".to_owned(), 1_790_000_000)]
    );
    let guide = std::fs::read_to_string(out.join("VERIFY.md")).unwrap();
    for command in verify_commands("node-1") {
        assert!(
            guide.lines().any(|line| line == command),
            "{command} is not in VERIFY.md"
        );
        assert!(shell(&out, &command), "{command}");
    }
    assert!(!dir.path().join("export.partial").exists());
}

/// Each of the four commands fails when what it guards is changed.
#[test]
fn the_stock_tools_notice_changes() {
    let dir = tempfile::tempdir().unwrap();
    let changes: [(&str, &str); 4] = [
        ("EXPORT.txt", "sed -i s/Size/size/ EXPORT.txt"),
        ("SHA256SUMS", "sed -i s/keys/kyes/ SHA256SUMS"),
        ("a line", "sed -i 3d cluster/000000000000.jsonl"),
        ("an added file", "touch cluster/more.jsonl"),
    ];
    for (position, (what, change)) in changes.into_iter().enumerate() {
        let out = dir.path().join(position.to_string());
        Node::new(9, 3).write(&out, BundleFormat::Folder).unwrap();
        assert!(shell(&out, &format!("chmod -R u+w . && {change}")));
        let passed = verify_commands("node-1").map(|command| shell(&out, &command));
        assert!(!passed[position], "{what}: {passed:?}");
    }
}

#[test]
fn an_archive_is_the_same_bundle() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::new(40, 0);
    let (one, two) = (dir.path().join("one.tar"), dir.path().join("two.tar"));
    node.write(&one, BundleFormat::Tar).unwrap();
    node.write(&two, BundleFormat::Tar).unwrap();
    let bytes = std::fs::read(&one).unwrap();
    assert_eq!(bytes, std::fs::read(&two).unwrap(), "not deterministic");
    let report = verify_bundle(&one, options()).unwrap();
    assert_eq!(verify_tar_bytes(&bytes, options()).unwrap(), report);
    // The tar of the system reads it, and what it unpacks is the same bundle again.
    assert!(shell(dir.path(), "tar xf one.tar"));
    let unpacked = dir.path().join("strongroom-export");
    assert_eq!(verify_bundle(&unpacked, options()).unwrap(), report);
    assert!(
        verify_commands("node-1")
            .iter()
            .all(|command| shell(&unpacked, command))
    );
    // Packed by that tar, which pads differently, it verifies as well.
    let packed = "tar cf again.tar --format=ustar strongroom-export";
    assert!(shell(dir.path(), packed));
    assert_eq!(
        verify_bundle(&dir.path().join("again.tar"), options()).unwrap(),
        report
    );
}

#[test]
fn the_state_follows_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let mut node = Node::new(0, 5);
    let mut state = VerifierState::default();
    for round in 0..4 {
        let out = dir.path().join(round.to_string());
        node.write(&out, BundleFormat::Folder).unwrap();
        let report = verify_with_state(&out, &state).unwrap();
        assert_eq!(report.logs[0].continues_state, round > 0);
        assert_eq!(
            report.trust,
            if round > 0 {
                Trust::State
            } else {
                Trust::Bundle
            }
        );
        state = VerifierState::from_json(&report.state.to_json()).unwrap();
        assert_eq!(state.logs[CLUSTER_ORIGIN].size, node.cluster.size());
        // The same export again is no news, and no finding.
        assert_eq!(verify_with_state(&out, &state).unwrap().state, state);
        node.grow(13);
    }
    for bad in ["", "{}", "{\"format\":\"x\",\"logs\":{},\"signers\":[]}"] {
        assert!(VerifierState::from_json(bad).is_err(), "{bad}");
    }
}

#[test]
fn long_logs_are_split_into_parts() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("export");
    Node::new(100_001, 0)
        .write(&out, BundleFormat::Folder)
        .unwrap();
    let names = ["000000000000", "000000050000", "000000100000"];
    for name in names {
        assert!(out.join(format!("cluster/{name}.jsonl")).exists(), "{name}");
    }
    let mut seen = 0;
    let mut inspect = |log: &str, n: u64, bytes: &[u8], event: &Value| {
        assert_eq!((log, n), ("cluster", seen));
        assert_eq!(event["key"], json!(n));
        assert_eq!(bytes, record("cluster", n));
        seen += 1;
        Ok(())
    };
    let with_inspection = VerifyOptions {
        inspect: Some(&mut inspect),
        ..options()
    };
    verify_bundle(&out, with_inspection).unwrap();
    assert_eq!(seen, 100_001);
    assert!(
        verify_commands("node-1")
            .iter()
            .all(|command| shell(&out, command))
    );
    std::fs::remove_file(out.join("cluster/000000050000.jsonl")).unwrap();
    let finding = verify_bundle(&out, options()).unwrap_err();
    assert_eq!(
        (finding.kind, finding.record),
        (FindingKind::PartMissing, Some(50_000))
    );
}

#[test]
fn nothing_is_overwritten_and_nothing_is_left_behind() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("export");
    let node = Node::new(3, 3);
    for format in [BundleFormat::Folder, BundleFormat::Tar] {
        std::fs::write(&out, "mine").unwrap();
        assert!(matches!(
            node.write(&out, format),
            Err(ExportError::Exists(_))
        ));
        assert_eq!(std::fs::read_to_string(&out).unwrap(), "mine");
        std::fs::remove_file(&out).unwrap();
        std::os::unix::fs::symlink("/nowhere", &out).unwrap();
        assert!(matches!(
            node.write(&out, format),
            Err(ExportError::Exists(_))
        ));
        std::fs::remove_file(&out).unwrap();
    }
    let mut node = Node::new(3, 3);
    node.export.secret = SigningKey::from_bytes(&[9; 32]);
    for format in [BundleFormat::Folder, BundleFormat::Tar] {
        let failed = node.write(&out, format);
        assert!(
            matches!(failed, Err(ExportError::Sign(SignFault::Broken(_)))),
            "{failed:?}"
        );
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
    let nowhere = dir.path().join("no/such/folder");
    assert!(matches!(
        node.write(&nowhere, BundleFormat::Tar),
        Err(ExportError::Io { .. })
    ));
}

#[test]
fn an_export_that_would_not_verify_is_not_written() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("export");
    let mut node = Node::new(3, 3);
    node.keys[0] = node.log.log_key(0, Some(2));
    assert!(matches!(
        node.write(&out, BundleFormat::Folder),
        Err(ExportError::Checkpoint { .. })
    ));
    let node = Node::new(3, 3);
    let wrong = Checkpoint {
        size: 2,
        ..node.cluster.checkpoint(CLUSTER_ORIGIN)
    };
    let note = wrong.sign(&[&node.log]).unwrap();
    let source = |name, checkpoint| BundleSource {
        logs: vec![LogSource {
            name,
            reader: node.cluster.reader(),
            checkpoint,
            render: &render,
            part: None,
        }],
        keys: node.keys.clone(),
        signer: &node.export,
        unix_seconds: TIME,
    };
    let write = |source: &BundleSource<'_>| {
        write_bundle(&out, BundleFormat::Folder, source, &mut |_, _| ()).unwrap_err()
    };
    assert!(matches!(
        write(&source("cluster", &note)),
        ExportError::Root { .. }
    ));
    let good = node.note(&node.cluster, CLUSTER_ORIGIN);
    for name in ["", "Cluster", "../up", "a/b"] {
        assert!(
            matches!(write(&source(name, &good)), ExportError::LogName(_)),
            "{name}"
        );
    }
    assert!(!out.exists());
}

/// A record that cannot be shown is exported all the same, and verifies.
#[test]
fn records_that_cannot_be_shown_are_exported() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("export");
    let mut node = Node::new(3, 3);
    node.cluster.append(&[b"\x01not JSON"]).unwrap();
    let written = node.write(&out, BundleFormat::Folder).unwrap();
    assert_eq!(written.unrendered, 1);
    verify_bundle(&out, options()).unwrap();
}
