//! The doors: what speaks to the outside. They translate; they decide nothing.

pub mod control;
pub(crate) mod https;
pub mod kmip;
pub mod services;
pub(crate) mod status;
pub(crate) mod threshold;
pub(crate) mod waiting_room;
pub mod web;
