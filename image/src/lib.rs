//! Turns a profile into a disk image.
