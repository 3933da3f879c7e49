//! Set-up of a new appliance: the answers, whoever gives them, and what is done with them.
//!
//! The answers come from the dialogue on the serial console or from one file, and are the same: a
//! table of items, most of them settings of the cluster log (`domain::setting`), the rest secrets
//! and choices that are used once ([`ONCE`]). Nothing is made before all answers are there and
//! fit together, and nothing counts before the operator has confirmed: a power cut at any moment
//! before that starts over.

mod answers;
mod carry_out;
mod file;
mod running;

pub(crate) use answers::{Answers, Form, ONCE, Once};
pub(crate) use carry_out::{Made, abandon_unfinished, carry_out, confirm};
pub(crate) use file::parse;
pub(crate) use running::running_config;
