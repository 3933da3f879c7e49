//! Trying a destination before it is saved: each step says what it found.

use super::courier::Courier;
use super::credential;
use super::deliver::Line;
use super::fault::{Fault, local};
use super::source::Sent;
use super::ssh::{self, Credential};
use crate::doors::control;
use domain::{Destination, Name};
use serde_json::json;
use tokio::sync::mpsc;
use vault::provider;
use zeroize::Zeroizing;

const RANDOM_BYTES: usize = 8;

/// Where the steps are told.
pub(crate) struct Steps<'a>(pub(crate) &'a mpsc::Sender<control::Line>);

impl Steps<'_> {
    pub(crate) async fn say(&self, step: String) {
        // Whoever asked may have gone.
        drop(
            self.0
                .send(control::Line::Item(json!({ "step": step })))
                .await,
        );
    }
}

/// Fingerprint and type of the host key that a server shows.
pub(crate) async fn host_key(address: &str) -> Result<(String, String), Fault> {
    let key = ssh::host_key(address).await?;
    Ok((key.fingerprint, key.kind))
}

/// Connects, signs in, writes a small file and reads it back.
pub(crate) async fn run(
    courier: &Courier,
    name: &Name,
    to: &Destination,
    password: Option<Zeroizing<String>>,
    steps: &Steps<'_>,
) -> Result<(), Fault> {
    let credential = match password {
        Some(password) => Credential::Password(password),
        None => credential::of(courier.engine().vault(), name, &to.way_in)?,
    };
    let mut line = Line::open(to, &credential).await?;
    let address = &to.address;
    let met = format!("connected to {address}; the host key is the pinned one");
    steps.say(met).await;
    let protocol = line.protocol();
    let user = &to.user;
    let signed_in = format!("signed in as {user}; files go by {protocol}");
    steps.say(signed_in).await;
    let random = provider::random_array::<RANDOM_BYTES>().map_err(local)?;
    let file = format!("strongroom-test-{}.txt", crate::render::hex(&random));
    let path = courier.shelf().path(&file);
    let written = async {
        tokio::fs::create_dir_all(courier.shelf().path("")).await?;
        tokio::fs::write(&path, format!("A test of the destination {name}.\n")).await
    };
    let written = written.await;
    written.map_err(|e| local(format!("{}: {e}", path.display())))?;
    let delivered = async {
        let sent = Sent::of(&path, &file).await?;
        line.deliver(&sent).await
    };
    let delivered = delivered.await;
    // Nobody needs it any more, whatever came of it.
    drop(tokio::fs::remove_file(&path).await);
    delivered?;
    let folder = &to.directory;
    let wrote = format!("wrote {file} into {folder} and read it back");
    steps.say(wrote).await;
    let last = match line.remove(&file).await? {
        true => "removed it again",
        false => "it stays there: the scp protocol cannot remove it",
    };
    steps.say(last.to_owned()).await;
    line.close().await;
    Ok(())
}
