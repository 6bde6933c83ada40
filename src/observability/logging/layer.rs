//! The `tracing` layer: makes records of events and of the spans they are in.

use std::sync::Arc;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record as SpanRecord};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::classify::classify;
use super::emitter::Emitter;
use super::record::Record;
use super::value::Value;
use super::worker::is_sink_thread;
use crate::observability::traces;

/// Fields of a span that every record in it shows.
const SPAN_FIELDS_MAX: usize = 32;

/// See the module. Made by [`start`](super::start).
#[derive(Debug)]
pub struct LogLayer {
    pub(crate) emitter: Arc<Emitter>,
}

/// What a span said, kept with it.
#[derive(Default)]
struct SpanFields(Vec<(&'static str, Value)>);

impl SpanFields {
    fn set(&mut self, name: &'static str, value: Value) {
        if let Some((_, old)) = self.0.iter_mut().find(|(known, _)| *known == name) {
            *old = value;
        } else if self.0.len() < SPAN_FIELDS_MAX {
            self.0.push((name, value));
        }
    }
}

/// Hands fields on as values.
struct Fields<F: FnMut(&'static str, Value)>(F);

impl<F: FnMut(&'static str, Value)> Visit for Fields<F> {
    fn record_str(&mut self, field: &Field, value: &str) {
        (self.0)(field.name(), value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        (self.0)(field.name(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        (self.0)(field.name(), value.into());
    }

    fn record_i128(&mut self, field: &Field, value: i128) {
        (self.0)(field.name(), i64::try_from(value).map_or_else(|_| Value::Text(value.to_string()), Value::from));
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        (self.0)(field.name(), u64::try_from(value).map_or_else(|_| Value::Text(value.to_string()), Value::from));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        (self.0)(field.name(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        (self.0)(field.name(), value.into());
    }

    fn record_bytes(&mut self, field: &Field, value: &[u8]) {
        (self.0)(field.name(), Value::Text(format!("{} bytes", value.len())));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        const CHAIN_MAX: usize = 8;
        let chain = std::iter::successors(Some(value), |error| error.source()).take(CHAIN_MAX);
        let texts: Vec<_> = chain.map(|error| Value::written(format_args!("{error}")).into_text()).collect();
        (self.0)(field.name(), Value::Text(texts.join(": ")));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        (self.0)(field.name(), Value::written(format_args!("{value:?}")));
    }
}

impl<S> Layer<S> for LogLayer
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = SpanFields::default();
        attributes.record(&mut Fields(|name, value| fields.set(name, value)));
        span.extensions_mut().insert(fields);
    }

    fn on_record(&self, id: &Id, values: &SpanRecord<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut said = Vec::new();
        // Values are formatted before the span is locked: their `Debug` may log.
        values.record(&mut Fields(|name, value| said.push((name, value))));
        let mut extensions = span.extensions_mut();
        if let Some(fields) = extensions.get_mut::<SpanFields>() {
            said.into_iter().for_each(|(name, value)| fields.set(name, value));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        if is_sink_thread() {
            return;
        }
        let class = classify(event);
        let destinations = self.emitter.filter.destinations(event.metadata(), class.category, class.level);
        if !destinations.log && !destinations.error_file {
            return;
        }
        let mut record: Record = self.emitter.record(class.event, class.level, class.category);
        if let Some(scope) = context.event_scope(event) {
            for span in scope.from_root() {
                if let Some(SpanFields(fields)) = span.extensions().get() {
                    for (name, value) in fields {
                        record.set(*name, value.clone());
                    }
                }
            }
        }
        if let Some(context) = traces::current() {
            record.set("trace_id", Value::Text(traces::text(&context.trace_id)));
            record.set("span_id", Value::Text(traces::text(&context.span_id)));
        }
        // What came through the `log` crate says by fields where it comes from.
        let mut target = event.metadata().target().to_owned();
        event.record(&mut Fields(|name, value| match name {
            "log.target" => target = value.into_text(),
            "log.module_path" | "log.file" | "log.line" => {}
            "event_type" if class.is_unknown => record.set("unknown_event_type", value),
            _ => record.set(name, value),
        }));
        if matches!(class.event.name, "log" | "error") {
            record.set("target", Value::Text(target));
        }
        self.emitter.emit(record, destinations, class.is_unknown);
    }
}
