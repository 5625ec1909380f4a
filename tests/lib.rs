//! The end-to-end tests; see `it/`.
