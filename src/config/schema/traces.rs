//! Category 5: traces, under the names that OpenTelemetry gives its settings everywhere.

use super::kind::{Boolean, Choice, FilePath, Number, Parsed, Span, Text, WebAddress};
use super::{Setting, settings};
use crate::observability::traces::SamplerKind;

settings! {
    OTLP_ENDPOINT: WebAddress = Setting::new(
        "WEBSOCKET_OTEL_EXPORTER_OTLP_ENDPOINT",
        "otel-exporter-otlp-endpoint",
        WebAddress,
        "A receiver of traces (OTLP over HTTP); /v1/traces is appended. Traces are off without one",
    )
    .or(&["OTEL_EXPORTER_OTLP_ENDPOINT"])
    .in_file();

    OTLP_TRACES_ENDPOINT: WebAddress = Setting::new(
        "WEBSOCKET_OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        "otel-exporter-otlp-traces-endpoint",
        WebAddress,
        "The same as the whole address, nothing appended; wins",
    )
    .or(&["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"])
    .in_file();

    OTLP_HEADERS: Text = Setting::new(
        "WEBSOCKET_OTEL_EXPORTER_OTLP_HEADERS",
        "otel-exporter-otlp-headers",
        Text::of("NAME=VALUE[,NAME=VALUE…], values percent-encoded", 8_192),
        "Headers of each request, such as what the receiver authenticates us by",
    )
    .or(&["OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"])
    .secret();

    OTLP_PROTOCOL: Choice<()> = Setting::new(
        "WEBSOCKET_OTEL_EXPORTER_OTLP_PROTOCOL",
        "otel-exporter-otlp-protocol",
        Choice::of(&[("http/protobuf", ())]),
        "How the receiver is spoken to",
    )
    .or(&["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"])
    .unset("http/protobuf");

    OTLP_COMPRESSION: Choice<bool> = Setting::new(
        "WEBSOCKET_OTEL_EXPORTER_OTLP_COMPRESSION",
        "otel-exporter-otlp-compression",
        Choice::of(&[("gzip", true), ("none", false)]),
        "Whether requests are compressed",
    )
    .or(&["OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "OTEL_EXPORTER_OTLP_COMPRESSION"])
    .default("gzip");

    OTLP_TIMEOUT: Parsed<std::time::Duration> = Setting::new(
        "WEBSOCKET_OTEL_EXPORTER_OTLP_TIMEOUT",
        "otel-exporter-otlp-timeout",
        Parsed { read: timeout, what: "milliseconds from 100 to 60000, or a duration such as 10s" },
        "How long one request may take",
    )
    .or(&["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"])
    .default("10000");

    OTLP_CERTIFICATE: FilePath = Setting::new(
        "WEBSOCKET_OTEL_EXPORTER_OTLP_CERTIFICATE",
        "otel-exporter-otlp-certificate",
        FilePath::of("a PEM file"),
        "The authority of the receiver's certificate, in place of the system's",
    )
    .or(&["OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", "OTEL_EXPORTER_OTLP_CERTIFICATE"]);

    SERVICE_NAME: Text = Setting::new(
        "WEBSOCKET_OTEL_SERVICE_NAME",
        "otel-service-name",
        Text::of("a name", 256),
        "service.name of the spans",
    )
    .or(&["OTEL_SERVICE_NAME"])
    .default("vedfolnir");

    RESOURCE_ATTRIBUTES: Text = Setting::new(
        "WEBSOCKET_OTEL_RESOURCE_ATTRIBUTES",
        "otel-resource-attributes",
        Text::of("KEY=VALUE[,KEY=VALUE…], values percent-encoded", 4_096),
        "Further attributes of the spans' resource",
    )
    .or(&["OTEL_RESOURCE_ATTRIBUTES"]);

    TRACES_SAMPLER: Choice<SamplerKind> = Setting::new(
        "WEBSOCKET_OTEL_TRACES_SAMPLER",
        "otel-traces-sampler",
        Choice::of(&[
            ("parentbased_always_on", SamplerKind::ParentOrAlwaysOn),
            ("parentbased_always_off", SamplerKind::ParentOrAlwaysOff),
            ("parentbased_traceidratio", SamplerKind::ParentOrRatio),
            ("always_on", SamplerKind::AlwaysOn),
            ("always_off", SamplerKind::AlwaysOff),
            ("traceidratio", SamplerKind::Ratio),
        ]),
        "Which events of clients are told: with parentbased_ as the client's traceparent says",
    )
    .or(&["OTEL_TRACES_SAMPLER"])
    .default("parentbased_always_on");

    TRACES_SAMPLER_ARG: Parsed<f64> = Setting::new(
        "WEBSOCKET_OTEL_TRACES_SAMPLER_ARG",
        "otel-traces-sampler-arg",
        Parsed { read: ratio, what: "a number from 0 to 1" },
        "The share of a sampler with traceidratio",
    )
    .or(&["OTEL_TRACES_SAMPLER_ARG"])
    .default("1");

    TRACES_PER_SECOND: Number = Setting::new(
        "WEBSOCKET_OTEL_TRACES_PER_SECOND",
        "otel-traces-per-second",
        Number::new(1, 100_000),
        "Events that are told in a second at most, on each node, whoever asks for it",
    )
    .default("100");

    SDK_DISABLED: Boolean = Setting::new(
        "WEBSOCKET_OTEL_SDK_DISABLED",
        "otel-sdk-disabled",
        Boolean,
        "Traces are off, whatever else is set",
    )
    .or(&["OTEL_SDK_DISABLED"])
    .default("false");
}

/// A bare number is in milliseconds, as everywhere with OpenTelemetry.
fn timeout(text: &str) -> Result<std::time::Duration, String> {
    let bounds = Span::milliseconds(100, 60_000);
    let given = if text.bytes().all(|byte| byte.is_ascii_digit()) { format!("{text}ms") } else { text.to_owned() };
    super::kind::Kind::parse(&bounds, &given)
}

fn ratio(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(ratio) if (0.0..=1.0).contains(&ratio) => Ok(ratio),
        Ok(_) => Err("out of range".to_owned()),
        Err(_) => Err("not a number".to_owned()),
    }
}
