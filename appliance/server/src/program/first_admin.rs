//! The first administrator of a `dev` node, with a password for one use. An appliance asks for
//! name and password when it is set up.

use crate::administrators;
use crate::layout::{Layout, write_file};
use crate::node::Node;
use anyhow::Context;
use domain::{Actor, Ask, Door, Name};
use vault::{Secret, provider};
use zeroize::Zeroizing;

/// Who it is.
const NAME: &str = "admin";

/// Bytes of chance in the password, which is twice as many characters.
const PASSWORD_BYTES: usize = 10;

/// Makes the administrator of a cluster that has none; the password is in a file of the node's
/// folder and must be changed at the first login.
pub(super) async fn make(node: &Node, layout: &Layout) -> anyhow::Result<()> {
    let machine = node.engine.machine().clone();
    if machine.state().administrators().next().is_some() {
        return Ok(());
    }
    let name = Name::parse(NAME).context("the name of the administrator")?;
    // The file first: an administrator whose password nobody knows would be worse than a file
    // without an administrator, which the next start makes good.
    let file = layout.admin_password();
    let bytes: [u8; PASSWORD_BYTES] = provider::random_array().context("random numbers")?;
    let password = Zeroizing::new(crate::render::hex(&bytes));
    write_file(&file, format!("{}\n", *password).as_bytes(), 0o600)
        .with_context(|| format!("writing {}", file.display()))?;
    let password = Secret::copy_of(password.as_bytes());
    let approved = machine.state().wants_approved();
    let (vault, of) = (node.engine.vault().clone(), name.clone());
    let made = tokio::task::spawn_blocking(move || {
        administrators::set_password(&vault, &of, None, &password, approved, 0)
    });
    let ask = Ask::PutAdministrator {
        name,
        password: Some(made.await??),
        ssh_keys: Vec::new(),
        // The first one has everything.
        permissions: None,
        must_change: true,
    };
    let actor = Actor::Operator {
        name: "dev".to_owned(),
        door: Door::Socket,
    };
    let done = node.engine.change(&actor, ask, None).await;
    done.map(drop)
        .map_err(|refusal| anyhow::anyhow!("the first administrator: {refusal}"))
}
