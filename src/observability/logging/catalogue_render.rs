//! The catalogue of event types for people and programs: Markdown, plain text, JSON.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::catalogue::EVENT_TYPES;
use super::level::Category;

/// `docs/events.md`.
#[must_use]
pub fn markdown() -> String {
    let mut out = String::from(
        "# Event types\n\n\
         Every log line has one of these in `event_type`; a name that is not here is never written. Made from the catalogue of \
         the program: `vedfolnir config events` prints the same. The level is the usual one.\n",
    );
    for category in Category::ALL {
        // Writing into a string cannot fail.
        let _ =
            write!(out, "\n## {}\n\n| event type | level | meaning | fields |\n|---|---|---|---|\n", category.name());
        for event in EVENT_TYPES.iter().filter(|event| event.category == category) {
            let fields: Vec<_> = event.fields.iter().map(|field| format!("`{field}`")).collect();
            let (level, fields) = (event.level.name(), fields.join(", "));
            let _ = writeln!(out, "| `{}` | {level} | {} | {fields} |", event.name, event.meaning);
        }
    }
    out
}

/// A table for a terminal.
#[must_use]
pub fn text() -> String {
    let width = EVENT_TYPES.iter().map(|event| event.name.len()).max().unwrap_or(0);
    let mut out = String::new();
    for event in EVENT_TYPES {
        let (name, category, level) = (event.name, event.category.name(), event.level.name());
        let _ = writeln!(out, "{name:width$}  {category:11}  {level:8}  {}", event.meaning);
    }
    out
}

/// An array of objects.
#[must_use]
pub fn json() -> Value {
    let event = |event: &super::catalogue::EventType| {
        json!({
            "event_type": event.name,
            "category": event.category.name(),
            "level": event.level.name(),
            "meaning": event.meaning,
            "fields": event.fields,
        })
    };
    EVENT_TYPES.iter().map(event).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_has_every_type_once() {
        let (markdown, text, json) = (markdown(), text(), json());
        assert_eq!(text.lines().count(), EVENT_TYPES.len());
        assert_eq!(json.as_array().unwrap().len(), EVENT_TYPES.len());
        for event in EVENT_TYPES {
            assert_eq!(markdown.matches(&format!("| `{}` |", event.name)).count(), 1, "{}", event.name);
            assert_eq!(text.lines().filter(|line| line.split(' ').next() == Some(event.name)).count(), 1);
        }
    }

    #[test]
    fn the_markdown_is_a_table_of_four_columns() {
        for line in markdown().lines().filter(|line| line.starts_with('|')) {
            assert_eq!(line.matches('|').count(), 5, "{line}");
        }
    }
}
