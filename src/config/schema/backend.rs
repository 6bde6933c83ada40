//! The backend proxy: handlers in any language.

use super::kind::{Boolean, Choice, FilePath, List, Number, Span, Text, WebAddress};
use super::{Setting, settings};
use crate::backend::ConnectFailure;

settings! {
    BACKEND_CONNECT_URL: WebAddress = Setting::new(
        "WEBSOCKET_BACKEND_CONNECT_URL",
        "backend-connect-url",
        WebAddress,
        "Who is asked whether a client may connect, and as whom (docs/backend.md)",
    )
    .secret()
    .unset("nobody");

    BACKEND_EVENT_URL: WebAddress = Setting::new(
        "WEBSOCKET_BACKEND_EVENT_URL",
        "backend-event-url",
        WebAddress,
        "Who is asked what a client's event does; the relay's handlers are off then",
    )
    .secret()
    .unset("nobody");

    BACKEND_SECRET: Text = Setting::new(
        "WEBSOCKET_BACKEND_SECRET",
        "backend-secret",
        Text::of("a shared secret", 4_096),
        "Key of the signature by which the backend knows us; needed in production mode",
    )
    .secret()
    .reloads();

    BACKEND_NAMESPACES: List<Text> = Setting::new(
        "WEBSOCKET_BACKEND_NAMESPACES",
        "backend-namespaces",
        List::of(Text::of("a namespace such as / or /admin", 256), 64),
        "Namespaces that clients find; the backend is asked about all of them",
    )
    .default("/");

    BACKEND_ALLOW_PRIVATE: Boolean = Setting::new(
        "WEBSOCKET_BACKEND_ALLOW_PRIVATE",
        "backend-allow-private",
        Boolean,
        "Whether the backend may be at a private, link-local or loopback address; http:// is for those only",
    )
    .default("false");

    BACKEND_CA_FILE: FilePath = Setting::new(
        "WEBSOCKET_BACKEND_CA_FILE",
        "backend-ca",
        FilePath::of("a PEM file with certificates of authorities"),
        "Whose certificates the backend may show",
    )
    .unset("the system's authorities");

    BACKEND_CONNECT_TIMEOUT: Span = Setting::new(
        "WEBSOCKET_BACKEND_CONNECT_TIMEOUT",
        "backend-connect-timeout",
        Span::milliseconds(50, 30_000),
        "How long the backend may take about a client that connects",
    )
    .default("5s");

    BACKEND_CONNECT_FAILURE: Choice<ConnectFailure> = Setting::new(
        "WEBSOCKET_BACKEND_CONNECT_FAILURE",
        "backend-connect-failure",
        Choice::of(&[
            ("retry", ConnectFailure::Retry),
            ("refuse", ConnectFailure::Refuse),
            ("allow", ConnectFailure::Allow),
        ]),
        "What becomes of a client that the backend does not decide about: it comes back by itself, it gets a connect_error, \
         or it is let in as nobody in particular",
    )
    .default("retry");

    BACKEND_EVENT_TIMEOUT: Span = Setting::new(
        "WEBSOCKET_BACKEND_EVENT_TIMEOUT",
        "backend-event-timeout",
        Span::milliseconds(50, 300_000),
        "How long the backend may take about an event; then the client's ack is an error, and its next event is sent",
    )
    .default("10s");

    BACKEND_REQUESTS_MAX: Number = Setting::new(
        "WEBSOCKET_BACKEND_REQUESTS_MAX",
        "backend-requests-max",
        Number::new(1, 65_536),
        "Requests of a node to the backend that are under way at once; eight times as many may wait",
    )
    .default("256");
}
