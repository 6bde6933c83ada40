//! Certificates as they are written and used.
