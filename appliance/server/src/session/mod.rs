//! A signed-in administrator at a command line: the grammar, what each command asks the node, and
//! how the answer is shown. The same for the serial console and SSH, which bring a
//! [`terminal::Screen`] and somebody who has signed in.

mod administration;
pub(crate) mod commands;
pub(crate) mod configure;
mod health;
mod machine;
mod show;
pub(crate) mod talk;
pub(crate) mod terminal;
