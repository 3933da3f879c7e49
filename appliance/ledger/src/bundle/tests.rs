//! Export bundles (filled below).
