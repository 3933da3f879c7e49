//! The engine and the doors.
