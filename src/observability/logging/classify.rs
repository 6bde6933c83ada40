//! What an event is: its category, type and level, by what it says of itself and by the catalogue.

use tracing::Event;
use tracing::field::{Field, Visit};

use super::catalogue::{self, EventType};
use super::level::{Category, Level};

/// Where an event goes that does not say it.
pub(crate) const fn usual_category(level: Level) -> Category {
    match level {
        Level::Error | Level::Critical => Category::Error,
        _ => Category::System,
    }
}

/// What an event is, by what it says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Class {
    pub(crate) event: &'static EventType,
    pub(crate) category: Category,
    pub(crate) level: Level,
    /// Whether it named a type that is not in the catalogue.
    pub(crate) is_unknown: bool,
}

/// Looks for what an event says of itself.
#[derive(Default)]
struct Classifier {
    category: Option<Category>,
    event: Option<&'static EventType>,
    level: Option<Level>,
    is_unknown: bool,
}

impl Visit for Classifier {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "category" => self.category = Category::parse(value),
            "event_type" => {
                self.event = EventType::find(value);
                self.is_unknown = self.event.is_none();
            }
            "level" => self.level = Level::parse(value),
            _ => {}
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if matches!(field.name(), "category" | "event_type" | "level") {
            let text = super::value::bounded(format_args!("{value:?}"), 64);
            self.record_str(field, text.trim_matches('"'));
        }
    }
}

/// What an event is.
pub(crate) fn classify(event: &Event<'_>) -> Class {
    let mut said = Classifier::default();
    event.record(&mut said);
    class(said.event, said.category, said.level, Level::from(event.metadata().level()), said.is_unknown)
}

/// The same from what was said.
fn class(
    event: Option<&'static EventType>,
    category: Option<Category>,
    own_level: Option<Level>,
    level: Level,
    is_unknown: bool,
) -> Class {
    let level = own_level.unwrap_or(match event {
        Some(event) if level == Level::Error && event.level == Level::Critical => Level::Critical,
        _ => level,
    });
    let category = category.or(event.map(|event| event.category)).unwrap_or(usual_category(level));
    let fallback = if category == Category::Error { *catalogue::ERROR } else { *catalogue::LOG };
    Class { event: event.unwrap_or(fallback), category, level, is_unknown }
}
