//! What fuzz targets and the program that writes their seeds share.

pub mod log;
pub mod messages;
