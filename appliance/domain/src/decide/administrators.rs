//! Decisions about who administers the appliance, and what they may do.
//!
//! One who has high access and can sign in at the serial console by password is always left
//! (ESKM-42): no ask, whoever says it, takes the last one away. Whether an administrator may ask
//! at all was looked at before (`administrator::needs`).

use super::settings::invalid;
use crate::administrator::{SSH_KEYS_MAX, check_ssh_key, speaker};
use crate::{Actor, Administrator, Ask, Denial, Event, Hash, Name, Permissions, State};
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// Administrators of one cluster: more people than any site lets near its keys.
const ADMINISTRATORS_MAX: usize = 1_000;

/// The event that follows; `None` when it is so already.
pub(super) fn administrators(
    state: &State,
    actor: &Actor,
    ask: &Ask,
) -> Result<Option<Event>, Denial> {
    match ask {
        Ask::PutAdministrator {
            name,
            password,
            ssh_keys,
            permissions,
            must_change,
        } => {
            let put = Put {
                name,
                password: *password,
                ssh_keys,
                permissions: *permissions,
                must_change: *must_change,
            };
            put_administrator(state, actor, &put)
        }
        Ask::ChangePassword { password } => change_password(state, actor, *password),
        Ask::ResetPassword { name, password } => {
            known(state, name)?;
            Ok(Some(Event::PasswordChanged {
                name: name.clone(),
                password: *password,
                must_change: true,
            }))
        }
        Ask::SetSshKeys { name, ssh_keys } => {
            let administrator = known(state, name)?;
            check_ssh_keys(ssh_keys)?;
            let is_so = administrator.ssh_keys == *ssh_keys;
            Ok((!is_so).then(|| Event::SshKeysSet {
                name: name.clone(),
                ssh_keys: ssh_keys.clone(),
            }))
        }
        Ask::SetPermissions { name, permissions } => {
            let administrator = known(state, name)?;
            if administrator.permissions == *permissions {
                return Ok(None);
            }
            let after = Administrator {
                permissions: *permissions,
                ..administrator.clone()
            };
            check_keeper_left(state, name, Some(&after))?;
            Ok(Some(Event::PermissionsSet {
                name: name.clone(),
                permissions: *permissions,
            }))
        }
        Ask::RemoveAdministrator { name } => {
            known(state, name)?;
            check_keeper_left(state, name, None)?;
            Ok(Some(Event::AdministratorRemoved { name: name.clone() }))
        }
        // The caller passes the asks above only.
        _ => Err(Denial::NotPermitted),
    }
}

fn known<'a>(state: &'a State, name: &Name) -> Result<&'a Administrator, Denial> {
    let administrator = state.administrator(name);
    administrator.ok_or(Denial::UnknownAdministrator)
}

/// Whether a keeper is left when one administrator is as given, or gone.
fn check_keeper_left(
    state: &State,
    name: &Name,
    after: Option<&Administrator>,
) -> Result<(), Denial> {
    let stays = after.is_some_and(Administrator::is_keeper);
    if stays || state.keepers().any(|keeper| keeper != name) {
        return Ok(());
    }
    Err(Denial::LastAdministrator)
}

fn check_ssh_keys(ssh_keys: &[String]) -> Result<(), Denial> {
    if ssh_keys.len() > SSH_KEYS_MAX {
        let limit = format!("{SSH_KEYS_MAX} SSH keys of one administrator");
        return Err(Denial::LimitReached { limit });
    }
    let mut seen = BTreeSet::new();
    for line in ssh_keys {
        let canonical = check_ssh_key(line).map_err(invalid)?;
        if canonical != *line {
            return Err(invalid(format!("the SSH key is written \"{canonical}\"")));
        }
        // The comment does not make another key of it.
        let key: Vec<&str> = line.split(' ').take(2).collect();
        if !seen.insert(key) {
            return Err(invalid("an SSH key is given twice".into()));
        }
    }
    Ok(())
}

/// What Put Administrator says.
struct Put<'a> {
    name: &'a Name,
    password: Option<Hash>,
    ssh_keys: &'a [String],
    permissions: Option<Permissions>,
    must_change: bool,
}

fn put_administrator(state: &State, actor: &Actor, put: &Put<'_>) -> Result<Option<Event>, Denial> {
    check_ssh_keys(put.ssh_keys)?;
    let known = state.administrator(put.name);
    if known.is_none() && state.administrators().count() >= ADMINISTRATORS_MAX {
        let limit = format!("{ADMINISTRATORS_MAX} administrators");
        return Err(Denial::LimitReached { limit });
    }
    let event = |permissions, must_change| Event::AdministratorPut {
        name: put.name.clone(),
        password: put.password,
        ssh_keys: put.ssh_keys.into(),
        permissions,
        must_change,
    };
    let same_way_in =
        known.filter(|known| known.password == put.password && known.ssh_keys == put.ssh_keys);
    // As long as a member of format 3 decides it too, it is decided as there.
    if !state.knows_permissions() {
        return Ok(same_way_in.is_none().then(|| event(None, false)));
    }
    let first = state.administrators().next().is_none();
    let held = known.map(|known| known.permissions);
    let permissions = put
        .permissions
        .or(held)
        .or(first.then_some(Permissions::ALL_OF_FORMAT_4));
    let permissions = permissions
        .ok_or_else(|| invalid(format!("say which permissions {} is to have", put.name)))?;
    // Whoever sets another's password knows it.
    let same_password = known.is_some_and(|known| known.password == put.password);
    let told = put.password.is_some() && !same_password && is_another(state, actor, put.name)?;
    let kept = same_password && known.is_some_and(|known| known.must_change);
    let must_change = put.must_change || told || kept;
    let after = Administrator {
        password: put.password,
        ssh_keys: put.ssh_keys.into(),
        permissions,
        must_change,
        password_since: known.map(|known| known.password_since).unwrap_or_default(),
    };
    if known == Some(&after) {
        return Ok(None);
    }
    check_keeper_left(state, put.name, Some(&after))?;
    Ok(Some(event(Some(permissions), must_change)))
}

/// Whether an administrator asks, and is another one.
fn is_another(state: &State, actor: &Actor, name: &Name) -> Result<bool, Denial> {
    let Actor::Operator { name: own, door } = actor else {
        return Ok(false);
    };
    let speaker = speaker(state, own, *door)?;
    Ok(speaker.is_some_and(|(own, _)| own != name))
}

fn change_password(state: &State, actor: &Actor, password: Hash) -> Result<Option<Event>, Denial> {
    let Actor::Operator { name, door } = actor else {
        return Err(Denial::NotPermitted);
    };
    let (name, administrator) = speaker(state, name, *door)?.ok_or(Denial::UnknownAdministrator)?;
    if administrator.password == Some(password) {
        return Err(invalid("this is the password already".into()));
    }
    Ok(Some(Event::PasswordChanged {
        name: name.clone(),
        password,
        must_change: false,
    }))
}
