//! A JSON Schema of the configuration file, for editors.

use serde_json::{Map, Value, json};

use crate::config::schema::{Mode, Preset, all};

/// JSON Schema, draft 2020-12: keys are those of the TOML file without tables.
#[must_use]
pub fn json_schema() -> Value {
    let mut properties = Map::new();
    for setting in all() {
        let about = setting.about();
        let mut schema = setting.json_schema();
        if let Value::Object(schema) = &mut schema {
            schema.insert("description".to_owned(), Value::from(about.help));
            schema.insert("x-env".to_owned(), Value::from(about.name));
            schema.insert("x-option".to_owned(), Value::from(format!("--{}", about.option)));
            schema.insert("x-default".to_owned(), Value::from(about.default.in_words()));
            schema.insert("x-default-text".to_owned(), Value::from(about.default.text(Mode::default())));
            schema.insert("x-accepted".to_owned(), Value::from(setting.accepted()));
            schema.insert("x-reload".to_owned(), Value::from(about.reload));
            schema.insert("x-secret".to_owned(), Value::from(about.secret));
            schema.insert("x-value-file".to_owned(), Value::from(about.in_file));
            schema.insert("x-other-names".to_owned(), Value::from(about.other_names.to_vec()));
            schema.insert("x-not-in-this-version".to_owned(), Value::from(about.later));
            schema.insert("x-derived".to_owned(), Value::from(matches!(about.default, Preset::Unset(_))));
        }
        properties.insert(about.key(), schema);
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Vedfolnir's configuration file",
        "type": "object",
        "properties": properties,
    })
}
