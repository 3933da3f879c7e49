//! What fuzz targets and the program that writes their seeds share.

pub mod edits;
pub mod export;
pub mod frames;
pub mod log;
pub mod messages;
pub mod site;
