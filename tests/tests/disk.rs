//! A full disk and a sick one: a clear error to the client, no half event, existing keys served
//! while their access record can be written, and no hand work afterwards.
//!
//! The faults come from the preload shim (`tests/lossy`). A node that cannot persist may end its
//! process (law 9); then this harness does what init would do and starts it again.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout)] // test code

use anyhow::{Context, Result, bail, ensure};
use kmip::ResultReason;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tests::client::{Client, Trouble, create_request};
use tests::node::{Node, Site};
use tests::power::Fault;

/// Creates that may succeed after the disk is full, in space that was set aside before.
const CREATES_UNTIL_FULL_MAX: usize = 200_000;
/// How long a node has to recover, or to end, when the fault is over.
const RECOVER_WITHIN: Duration = Duration::from_secs(20);

struct Scene {
    site: Site,
    node: Option<Node>,
    /// Keys made before the fault, with their bytes.
    keys: Vec<(String, Vec<u8>)>,
}

impl Scene {
    fn new(fault: Fault, path_part: &str) -> Result<Self> {
        let mut site = Site::new()?;
        site.arm_fault(fault, path_part)?;
        let node = site.start()?;
        let mut client = node.client()?;
        let mut keys = Vec::new();
        for number in 0..20 {
            let uid = client.create(Some(&format!("before-{number}")), 256)?;
            let key = client.get(&uid)?;
            keys.push((uid, key));
        }
        Ok(Self {
            site,
            node: Some(node),
            keys,
        })
    }

    fn node(&self) -> Result<&Node> {
        self.node.as_ref().context("the node runs")
    }

    fn client(&self) -> Result<Client> {
        self.node()?.client()
    }

    /// All keys made before the fault are served, unchanged.
    fn keys_are_served(&self) -> Result<()> {
        let mut client = self.client()?;
        for (uid, key) in &self.keys {
            ensure!(client.get(uid)? == *key, "{uid}: other bytes");
        }
        Ok(())
    }

    /// After the fault, Create and Get work again without hand work: the node recovers, or ends so
    /// that init starts it again. One that lives on and refuses for ever is a finding; then the
    /// rest is looked at after a kill, to say how much is wrong.
    fn recovers(&mut self) -> Result<()> {
        self.site.switch_fault(false)?;
        let deadline = Instant::now() + RECOVER_WITHIN;
        while Instant::now() < deadline {
            let mut node = self.node.take().context("the node runs")?;
            self.node = Some(if node.has_ended()? {
                self.site.start()?
            } else {
                node
            });
            if self.works().is_ok() {
                return self.consistent();
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        let node = self.node.take().context("the node runs")?;
        let tail = node.tail();
        node.kill()?;
        self.node = Some(
            self.site
                .start()
                .context("killed by hand, it does not start")?,
        );
        self.works().context("killed by hand and started again")?;
        self.consistent()
            .context("killed by hand and started again")?;
        bail!("works again only after a kill by hand ({RECOVER_WITHIN:?} waited)\n{tail}")
    }

    /// Names differ from try to try: a Create may be carried out while a Get is still refused.
    fn works(&self) -> Result<()> {
        let moment = SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros();
        let name = format!("after-{moment}");
        self.client()?.create(Some(&name), 256)?;
        self.keys_are_served()
    }

    /// No half event: state as replayed, bundle good, and every Create counted once.
    fn consistent(&self) -> Result<()> {
        let node = self.node()?;
        node.replayed_digest()?;
        node.verified_bundle(&self.site.beside("bundle"))?;
        Ok(())
    }

    /// Creates until the node refuses; gives its words. `None` when it ended instead.
    fn create_until_refused(&mut self) -> Result<Option<kmip::Failure>> {
        let Ok(mut client) = self.client() else {
            return Ok(None);
        };
        let mut made = 0;
        while made < CREATES_UNTIL_FULL_MAX {
            let creates = (0..100).map(|_| create_request(None, 256)).collect();
            match client.batch(creates) {
                Ok(answers) => {
                    for answer in answers {
                        made += 1;
                        if let Err(failure) = answer {
                            return Ok(Some(failure));
                        }
                    }
                }
                Err(_) => return Ok(None),
            }
        }
        bail!("{made} Creates succeeded on a disk that takes nothing")
    }
}

fn is_clear(failure: &kmip::Failure) -> Result<()> {
    let reason = failure.reason;
    let wrong = [ResultReason::ITEM_NOT_FOUND, ResultReason::INVALID_MESSAGE];
    ensure!(!wrong.contains(&reason), "a full disk is told as {failure}");
    ensure!(
        failure.message.len() > 20,
        "this tells an operator nothing: {failure}"
    );
    Ok(())
}

/// The folders in which a Create has to write.
const CREATE_PATHS: [&str; 2] = ["data/raft", "data/cluster-log"];

#[test]
fn full_disk_refuses_create_and_serves_get() -> Result<()> {
    for path in CREATE_PATHS {
        let mut scene = Scene::new(Fault::NoSpaceAtAll, path)?;
        scene.site.switch_fault(true)?;
        let refused = scene
            .create_until_refused()
            .with_context(|| path.to_owned())?;
        match &refused {
            Some(failure) => is_clear(failure).with_context(|| path.to_owned())?,
            None => ensure!(
                scene
                    .node
                    .as_mut()
                    .context("node")?
                    .wait_end(RECOVER_WITHIN)
                    .is_ok()
            ),
        }
        if refused.is_some() {
            // The access log is elsewhere and can be written: keys go on being served.
            scene
                .keys_are_served()
                .with_context(|| format!("Get while {path} is full"))?;
            scene
                .node()?
                .run(&["status"])
                .context("status while the disk is full")?;
        }
        scene.recovers().with_context(|| path.to_owned())?;
    }
    Ok(())
}

#[test]
fn space_that_runs_out_slowly() -> Result<()> {
    // Only what needs new space fails, as on ext4: the logs' zero-filled tails are used up first.
    let mut scene = Scene::new(Fault::NoSpace, "data/")?;
    scene.site.switch_fault(true)?;
    if let Some(failure) = scene.create_until_refused()? {
        is_clear(&failure)?;
    }
    scene.recovers()
}

#[test]
fn no_audit_no_key() -> Result<()> {
    for fault in [
        Fault::NoSpaceAtAll,
        Fault::InputOutput,
        Fault::InputOutputOnSync,
    ] {
        let mut scene = Scene::new(fault, "data/access-log")?;
        scene.site.switch_fault(true)?;
        let mut refused = 0;
        for (uid, _) in &scene.keys {
            match scene.client().map(|mut client| client.get(uid)) {
                Ok(Ok(_)) => bail!("{fault:?}: {uid} was released without its record"),
                Ok(Err(Trouble::Denied(failure))) => {
                    is_clear(&failure).with_context(|| format!("{fault:?}"))?;
                    refused += 1;
                }
                // The process has ended: nothing is released either.
                Ok(Err(Trouble::Unknown(_))) | Err(_) => {}
            }
        }
        let ended = scene.node.as_mut().context("node")?.has_ended()?;
        ensure!(refused > 0 || ended, "{fault:?}: neither refused nor ended");
        scene.recovers().with_context(|| format!("{fault:?}"))?;
    }
    Ok(())
}

#[test]
fn a_sick_disk_stops_writes_and_loses_nothing() -> Result<()> {
    for fault in [Fault::InputOutput, Fault::InputOutputOnSync] {
        for path in CREATE_PATHS {
            let case = format!("{fault:?} in {path}");
            let mut scene = Scene::new(fault, path)?;
            scene.site.switch_fault(true)?;
            let acknowledged = match scene.client()?.create(Some("during"), 256) {
                // What is acknowledged is on the disk in the Raft log; the cluster log may be late.
                Ok(_) if path.contains("raft") => bail!("{case}: acknowledged and not synced"),
                Ok(uid) => Some(uid),
                Err(Trouble::Denied(failure)) => {
                    is_clear(&failure).context(case.clone())?;
                    None
                }
                Err(Trouble::Unknown(_)) => None,
            };
            scene.recovers().with_context(|| case.clone())?;
            // Unknown or denied: the Create of that moment made one object or none.
            let found = scene.client()?.locate(Some("during"))?;
            match acknowledged {
                Some(uid) => ensure!(found == [uid], "{case}: acknowledged, then {found:?}"),
                None => ensure!(found.len() <= 1, "{case}: one Create made {found:?}"),
            }
        }
    }
    Ok(())
}

#[test]
fn a_sick_sealed_store_is_not_ignored() -> Result<()> {
    let mut scene = Scene::new(Fault::InputOutput, "sealed.redb")?;
    scene.site.switch_fault(true)?;
    // Commits of the store may be behind the Raft log, so some Creates may be acknowledged: those
    // must be there afterwards.
    let mut acknowledged = Vec::new();
    for number in 0..200 {
        let Ok(mut client) = scene.client() else {
            break;
        };
        match client.create(Some(&format!("during-{number}")), 256) {
            Ok(uid) => acknowledged.push(uid),
            Err(_) => break,
        }
    }
    scene.recovers()?;
    let mut client = scene.client()?;
    for uid in acknowledged {
        client
            .get(&uid)
            .with_context(|| format!("{uid} was acknowledged"))?;
    }
    Ok(())
}
