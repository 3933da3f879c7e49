//! Closed logs on their way to the transfer destinations.
//!
//! What is closed and who lacks what stands in the cluster log (`domain::state`): a crash at any
//! point loses nothing, and another node can go on. The files here are made from the logs again
//! when they are not there.

//!
//! * [`shelf`]: the files, made and put away
//! * [`courier`]: the job, who is sent what when
//! * [`deliver`]: one file to one destination, with its receipt; over [`sftp`] or [`scp`]
//! * [`age`]: encryption to the recipients of a destination
//! * [`ssh`]: the connection and its limits; [`gate`]: its host key, and nobody comes in by it
//! * [`trial`]: a destination is tried before it is saved

pub(crate) mod age;
pub(crate) mod alarm;
pub(crate) mod courier;
pub(crate) mod credential;
mod deliver;
mod fault;
mod gate;
mod scp;
mod sftp;
pub(crate) mod shelf;
mod source;
mod ssh;
pub(crate) mod trial;
