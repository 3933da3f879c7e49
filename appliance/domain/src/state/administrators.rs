//! The administrators, as the log says.

use super::State;
use crate::{Administrator, Event, Name, Permissions, Time};

impl State {
    /// An administrator by name.
    pub fn administrator(&self, name: &Name) -> Option<&Administrator> {
        self.administrators.get(name)
    }

    /// The same, with the name as the state has it.
    pub(crate) fn administrator_entry(&self, name: &Name) -> Option<(&Name, &Administrator)> {
        self.administrators.get_key_value(name)
    }

    /// All administrators, by name.
    pub fn administrators(&self) -> impl Iterator<Item = (&Name, &Administrator)> + '_ {
        self.administrators.iter()
    }

    /// `None` when the event does not fit; then nothing was changed.
    pub(super) fn apply_to_administrators(&mut self, event: &Event, time: Time) -> Option<()> {
        match event {
            Event::AdministratorPut {
                name,
                password,
                ssh_keys,
                permissions,
                must_change,
            } => {
                // A password that stays is as old as it was.
                let known = self.administrators.get(name);
                let same = known.filter(|known| known.password == *password);
                let administrator = Administrator {
                    password: *password,
                    ssh_keys: ssh_keys.clone(),
                    permissions: permissions.unwrap_or(Permissions::ALL_OF_FORMAT_4),
                    must_change: *must_change,
                    password_since: same.map_or(time, |known| known.password_since),
                };
                self.administrators.insert(name.clone(), administrator);
            }
            Event::PasswordChanged {
                name,
                password,
                must_change,
            } => {
                let administrator = self.administrators.get_mut(name)?;
                administrator.password = Some(*password);
                administrator.must_change = *must_change;
                administrator.password_since = time;
            }
            Event::SshKeysSet { name, ssh_keys } => {
                self.administrators.get_mut(name)?.ssh_keys = ssh_keys.clone();
            }
            Event::PermissionsSet { name, permissions } => {
                self.administrators.get_mut(name)?.permissions = *permissions;
            }
            Event::AdministratorRemoved { name } => {
                self.administrators.remove(name)?;
            }
            // The caller passes the events above only.
            _ => return None,
        }
        Some(())
    }
}
