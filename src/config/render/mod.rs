//! The schema shown: what applies and why, templates, a JSON Schema, documentation. Nothing here knows a setting by name.

mod json_schema;
mod markdown;
mod show;
mod template;

pub use json_schema::json_schema;
pub use markdown::markdown;
pub use show::{Shown, ShownSetting};
pub use template::{Template, template};
