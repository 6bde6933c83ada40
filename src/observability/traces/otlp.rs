//! Spans in OpenTelemetry's protocol (OTLP 1.x, opentelemetry/proto/trace/v1/trace.proto): the fields that are used, by their
//! numbers.

use prost::Message;

use super::span::{Attribute, Kind, Span};

/// `Status.code` of what failed.
const STATUS_ERROR: i32 = 2;
/// `Span.flags`: the sampled bit, and that it is known whether the parent is remote.
const FLAGS_SAMPLED: u32 = 0x01;
const FLAGS_HAS_IS_REMOTE: u32 = 0x100;
const FLAGS_IS_REMOTE: u32 = 0x200;

#[derive(Clone, PartialEq, Message)]
struct ExportTraceServiceRequest {
    #[prost(message, repeated, tag = "1")]
    resource_spans: Vec<ResourceSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct ResourceSpans {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    scope_spans: Vec<ScopeSpans>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Resource {
    #[prost(message, repeated, tag = "1")]
    attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct ScopeSpans {
    #[prost(message, optional, tag = "1")]
    scope: Option<InstrumentationScope>,
    #[prost(message, repeated, tag = "2")]
    spans: Vec<ProtoSpan>,
}

#[derive(Clone, PartialEq, Message)]
struct InstrumentationScope {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    version: String,
}

#[derive(Clone, PartialEq, Message)]
struct ProtoSpan {
    #[prost(bytes = "vec", tag = "1")]
    trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    span_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    parent_span_id: Vec<u8>,
    #[prost(string, tag = "5")]
    name: String,
    #[prost(int32, tag = "6")]
    kind: i32,
    #[prost(fixed64, tag = "7")]
    start_time_unix_nano: u64,
    #[prost(fixed64, tag = "8")]
    end_time_unix_nano: u64,
    #[prost(message, repeated, tag = "9")]
    attributes: Vec<KeyValue>,
    #[prost(message, optional, tag = "15")]
    status: Option<Status>,
    #[prost(fixed32, tag = "16")]
    flags: u32,
}

#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(string, tag = "2")]
    message: String,
    #[prost(int32, tag = "3")]
    code: i32,
}

#[derive(Clone, PartialEq, Message)]
struct KeyValue {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<AnyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct AnyValue {
    #[prost(oneof = "Value", tags = "1, 3")]
    value: Option<Value>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Value {
    #[prost(string, tag = "1")]
    Text(String),
    #[prost(int64, tag = "3")]
    Number(i64),
}

#[derive(Clone, PartialEq, Message)]
struct ExportTraceServiceResponse {
    #[prost(message, optional, tag = "1")]
    partial_success: Option<PartialSuccess>,
}

#[derive(Clone, PartialEq, Message)]
struct PartialSuccess {
    #[prost(int64, tag = "1")]
    rejected_spans: i64,
    #[prost(string, tag = "2")]
    error_message: String,
}

/// Who tells the spans.
pub(super) fn resource(attributes: impl IntoIterator<Item = (String, String)>) -> Resource {
    Resource { attributes: attributes.into_iter().map(|(key, text)| pair(key, Value::Text(text))).collect() }
}

/// A request's body.
pub(super) fn request(resource: &Resource, spans: &[Span]) -> Vec<u8> {
    let scope = InstrumentationScope { name: "vedfolnir".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() };
    let spans = spans.iter().map(proto).collect();
    let scope_spans = vec![ScopeSpans { scope: Some(scope), spans }];
    let resource_spans = vec![ResourceSpans { resource: Some(resource.clone()), scope_spans }];
    ExportTraceServiceRequest { resource_spans }.encode_to_vec()
}

/// How many spans a receiver that took the request threw away all the same, and why. `None`: none, as far as it says.
pub(super) fn rejected(answer: &[u8]) -> Option<(u64, String)> {
    let partial = ExportTraceServiceResponse::decode(answer).ok()?.partial_success?;
    let count = u64::try_from(partial.rejected_spans).ok().filter(|count| *count > 0)?;
    Some((count, partial.error_message))
}

fn proto(span: &Span) -> ProtoSpan {
    let of = |attribute: &Attribute| match attribute {
        Attribute::Text(text) => Value::Text(text.clone()),
        Attribute::Number(number) => Value::Number(*number),
    };
    // What a client sent, or another node put in the log.
    let is_remote = span.parent.is_some() && matches!(span.kind, Kind::Server | Kind::Consumer | Kind::Internal);
    ProtoSpan {
        trace_id: span.context.trace_id.to_vec(),
        span_id: span.context.span_id.to_vec(),
        parent_span_id: span.parent.map(|parent| parent.to_vec()).unwrap_or_default(),
        name: span.name.clone().into_owned(),
        kind: span.kind as i32,
        start_time_unix_nano: span.began_unix_ns,
        end_time_unix_nano: span.ended_unix_ns,
        attributes: span.attributes.iter().map(|(key, value)| pair((*key).to_owned(), of(value))).collect(),
        status: span.error.clone().map(|message| Status { message, code: STATUS_ERROR }),
        flags: FLAGS_SAMPLED | FLAGS_HAS_IS_REMOTE | if is_remote { FLAGS_IS_REMOTE } else { 0 },
    }
}

const fn pair(key: String, value: Value) -> KeyValue {
    KeyValue { key, value: Some(AnyValue { value: Some(value) }) }
}

#[cfg(test)]
#[path = "otlp_tests.rs"]
mod tests;
