//! Backups: where they are kept and as what.

pub mod json;
pub mod s3;
