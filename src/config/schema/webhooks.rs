//! Webhooks: what happens to sessions and rooms, told to a receiver.

use super::kind::{Boolean, Choice, FilePath, List, Number, Span, Text, WebAddress};
use super::{Setting, settings};
use crate::webhooks::WebhookKind;

settings! {
    WEBHOOK_URL: WebAddress = Setting::new(
        "WEBSOCKET_WEBHOOK_URL",
        "webhook-url",
        WebAddress,
        "Who is told what happens to sessions and rooms (docs/backend.md); the same on every node",
    )
    .secret()
    .unset("nobody");

    WEBHOOK_SECRET: Text = Setting::new(
        "WEBSOCKET_WEBHOOK_SECRET",
        "webhook-secret",
        Text::of("a shared secret", 4_096),
        "Key of the signature by which the receiver knows us; needed in production mode",
    )
    .secret()
    .reloads();

    WEBHOOK_TYPES: List<Choice<WebhookKind>> = Setting::new(
        "WEBSOCKET_WEBHOOK_TYPES",
        "webhook-types",
        List::of(
            Choice::of(&[
                ("session.disconnected", WebhookKind::Disconnected),
                ("session.expired", WebhookKind::Expired),
                ("session.closed", WebhookKind::Closed),
                ("room.vacated", WebhookKind::Vacated),
                ("room.occupied", WebhookKind::Occupied),
            ]),
            16,
        ),
        "What it is told",
    )
    .default("session.disconnected,session.expired,session.closed,room.vacated");

    WEBHOOK_ALLOW_PRIVATE: Boolean = Setting::new(
        "WEBSOCKET_WEBHOOK_ALLOW_PRIVATE",
        "webhook-allow-private",
        Boolean,
        "Whether it may be at a private, link-local or loopback address; http:// is for those only",
    )
    .default("false");

    WEBHOOK_CA_FILE: FilePath = Setting::new(
        "WEBSOCKET_WEBHOOK_CA_FILE",
        "webhook-ca",
        FilePath::of("a PEM file with certificates of authorities"),
        "Whose certificates it may show",
    )
    .unset("the system's authorities");

    WEBHOOK_TIMEOUT: Span = Setting::new(
        "WEBSOCKET_WEBHOOK_TIMEOUT",
        "webhook-timeout",
        Span::milliseconds(50, 120_000),
        "How long one attempt may take",
    )
    .default("10s");

    WEBHOOK_ATTEMPTS: Number = Setting::new(
        "WEBSOCKET_WEBHOOK_ATTEMPTS",
        "webhook-attempts",
        Number::new(1, 1_000),
        "A message is a dead letter after so many failed attempts, the first half a second apart, then twice as long each \
         time, up to a minute",
    )
    .default("20");

    WEBHOOK_GIVE_UP_AFTER: Span = Setting::new(
        "WEBSOCKET_WEBHOOK_GIVE_UP_AFTER",
        "webhook-give-up-after",
        Span::seconds(1, 3_000),
        "And with the first failed attempt after this long since the event; events are kept for an hour",
    )
    .default("15m");

    WEBHOOK_REQUESTS_MAX: Number = Setting::new(
        "WEBSOCKET_WEBHOOK_REQUESTS_MAX",
        "webhook-requests-max",
        Number::new(1, 1_024),
        "Attempts that are under way at once, each of another session or room",
    )
    .default("32");
}
