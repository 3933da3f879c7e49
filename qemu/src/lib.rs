//! A virtual machine as a library.
