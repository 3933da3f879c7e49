//! The command line that administrators type, on whatever line they sit at: keys, the line while
//! it is typed, its completion from the grammar, and long answers a screen at a time. Nothing here
//! knows a terminal, a socket or a command; the doors bring those.
//!
//! * [`keys`]: bytes of a terminal → keys
//! * [`editor`]: keys → a line, and what to show for it
//! * [`history`]: lines that were typed before
//! * [`assist`]: Tab and `?`, from the same grammar that takes the line apart
//! * [`pager`]: a screen at a time

pub(crate) mod assist;
pub(crate) mod editor;
pub(crate) mod history;
pub(crate) mod keys;
pub(crate) mod pager;
