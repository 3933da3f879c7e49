//! What the word of an operator counts: who it is, by which door, and what they may.

use super::needs::{Right, needed};
use super::permissions::PERMISSIONS_FORMAT;
use super::{Administrator, Permission, Permissions};
use crate::{Actor, Ask, Denial, Door, Name, State, Time};

/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;

/// Setting with the age in days at which a password must be changed; 0 is never.
const AGE_SETTING: &str = "password.age";

impl Door {
    /// What an administrator needs to come in by this door; `None` where none comes in.
    pub const fn access(self) -> Option<Permission> {
        match self {
            Self::Console => Some(Permission::Serial),
            Self::Ssh => Some(Permission::Ssh),
            Self::Web => Some(Permission::Web),
            Self::Kmip | Self::Socket | Self::Scheduler => None,
        }
    }
}

impl Administrator {
    /// Whether they may do everything about administrators and get in where nobody can be kept
    /// out: by password at the serial console. One of them is always left.
    pub const fn is_keeper(&self) -> bool {
        self.password.is_some()
            && self.permissions.has(Permission::HighAccess)
            && self.permissions.has(Permission::Serial)
    }

    /// When the password must be changed, if ever, given the age in days that is allowed.
    fn expires(&self, days: i64) -> Option<Time> {
        let since = self.password_since.0;
        (days > 0 && self.password.is_some())
            .then(|| Time(since.saturating_add(days.saturating_mul(DAY_MS))))
    }
}

impl State {
    /// Whether an administrator does nothing but change the password now: it was set by somebody
    /// else, is too old, or is verified by a method that approved-algorithms mode does not have.
    pub fn must_change_password(&self, administrator: &Administrator, now: Time) -> bool {
        let days = self.cluster_setting(AGE_SETTING);
        let days = days.and_then(|days| days.parse().ok()).unwrap_or(0);
        let expired = administrator.expires(days).is_some_and(|end| end <= now);
        let must_change = administrator.must_change || expired || self.is_unapproved(administrator);
        administrator.password.is_some() && must_change
    }

    /// Whether a password was set before approved-algorithms mode, and so is verified by Argon2id.
    pub fn is_unapproved(&self, administrator: &Administrator) -> bool {
        let since = self.approved_mode_since();
        let before = |since| administrator.password_since < since;
        administrator.password.is_some() && since.is_some_and(before)
    }

    /// The High Access Administrators who can sign in at the serial console by password.
    pub fn keepers(&self) -> impl Iterator<Item = &Name> + '_ {
        let keepers = self.administrators().filter(|(_, a)| a.is_keeper());
        keepers.map(|(name, _)| name)
    }

    /// Whether the members know permissions; before that every operator may do everything.
    pub(crate) fn knows_permissions(&self) -> bool {
        self.format() >= PERMISSIONS_FORMAT
    }
}

/// The administrator who speaks, when an operator speaks; `None` when it is somebody who may do
/// everything: who has the machine itself (the Unix socket is for root and the user that runs the
/// node), or who sets it up at its console while there is no administrator.
///
/// # Errors
/// [`Denial::UnknownAdministrator`], and [`Denial::PermissionMissing`] for the door.
pub(crate) fn speaker<'a>(
    state: &'a State,
    name: &str,
    door: Door,
) -> Result<Option<(&'a Name, &'a Administrator)>, Denial> {
    if !state.knows_permissions() || door == Door::Socket {
        return Ok(None);
    }
    if door == Door::Console && state.administrators().next().is_none() {
        return Ok(None);
    }
    let access = door.access().ok_or(Denial::UnknownAdministrator)?;
    let name = Name::parse(name).map_err(|_| Denial::UnknownAdministrator)?;
    let known = state.administrator_entry(&name);
    let (name, administrator) = known.ok_or(Denial::UnknownAdministrator)?;
    has(administrator, Permissions::of(&[access]))?;
    Ok(Some((name, administrator)))
}

fn has(administrator: &Administrator, needs: Permissions) -> Result<(), Denial> {
    match needs.without(administrator.permissions).iter().next() {
        Some(permission) => Err(Denial::PermissionMissing { permission }),
        None => Ok(()),
    }
}

/// Whether an actor's permissions let them ask for something. Actors that are no operators have
/// none and need none: what they may ask is said elsewhere.
pub(crate) fn check_ask(state: &State, actor: &Actor, ask: &Ask, now: Time) -> Result<(), Denial> {
    let Actor::Operator { name, door } = actor else {
        return Ok(());
    };
    let Some((name, administrator)) = speaker(state, name, *door)? else {
        return Ok(());
    };
    let is_change = matches!(ask, Ask::ChangePassword { .. });
    if !is_change && state.must_change_password(administrator, now) {
        return Err(Denial::PasswordMustChange);
    }
    has(administrator, needed(ask, name))
}

/// Whether an operator may have a door do something that is no [`Ask`], or that prepares one.
///
/// # Errors
/// [`Denial::UnknownAdministrator`], [`Denial::PasswordMustChange`],
/// [`Denial::PermissionMissing`]; [`Denial::NotPermitted`] to actors that are no operators.
pub fn permit_operator(
    state: &State,
    actor: &Actor,
    right: Right,
    now: Time,
) -> Result<(), Denial> {
    let Actor::Operator { name, door } = actor else {
        return Err(Denial::NotPermitted);
    };
    let Some((_, administrator)) = speaker(state, name, *door)? else {
        return Ok(());
    };
    if state.must_change_password(administrator, now) {
        return Err(Denial::PasswordMustChange);
    }
    has(administrator, right.needs())
}

/// Whether an administrator, whose password or key was found right, may come in by a door. Says
/// whether they do nothing but change the password then.
///
/// # Errors
/// [`Denial::UnknownAdministrator`], [`Denial::PermissionMissing`].
pub fn permit_sign_in(state: &State, name: &Name, door: Door, now: Time) -> Result<bool, Denial> {
    let administrator = state.administrator(name);
    let administrator = administrator.ok_or(Denial::UnknownAdministrator)?;
    speaker(state, name.as_str(), door)?;
    Ok(state.must_change_password(administrator, now))
}
