//! Category 2: TLS of the public listener. (That between the nodes is the cluster's own.)

use super::kind::{Boolean, Choice, FilePath, Number, Parsed, Text};
use super::{Setting, settings};
use crate::config::TlsReload;
use crate::tls::ClientAuth;
use crate::tls::cipher_string::{CIPHER_STRING_BYTES_MAX, CIPHER_STRING_FORMS};
use crate::tls::version::{MINIMUM_VERSION_FORMS, MinimumVersion};

settings! {
    SSL_CERT_FILE: FilePath = Setting::new(
        "WEBSOCKET_SSL_CERT_FILE",
        "ssl-cert-file",
        FilePath::of("a PEM file: this server's certificate, then its intermediates"),
        "The certificate; with it and its key the TLS listener opens",
    )
    .production("/path/to/certificate.pem");

    SSL_KEY_FILE: FilePath = Setting::new(
        "WEBSOCKET_SSL_KEY_FILE",
        "ssl-key-file",
        FilePath::of("a PEM file: PKCS#8, PKCS#1 or SEC1, not encrypted, not readable by others"),
        "Its private key",
    )
    .production("/path/to/private_key.pem");

    SSL_CERT_CHAIN_FILE: FilePath = Setting::new(
        "WEBSOCKET_SSL_CERT_CHAIN_FILE",
        "ssl-cert-chain-file",
        FilePath::of("a PEM file of intermediate certificates"),
        "Intermediates, when they are not in the certificate's file",
    )
    .or(&["SSL_CERT_CHAIN_FILE"]);

    SSL_CA_FILE: FilePath = Setting::new(
        "WEBSOCKET_SSL_CA_FILE",
        "ssl-ca-file",
        FilePath::of("a PEM file of authorities"),
        "Authorities of the clients' certificates",
    )
    .production("/path/to/ca_bundle.pem");

    SSL_CLIENT_AUTH: Choice<ClientAuth> = Setting::new(
        "WEBSOCKET_SSL_CLIENT_AUTH",
        "ssl-client-auth",
        Choice::of(&[
            ("none", ClientAuth::None),
            ("optional", ClientAuth::Optional),
            ("required", ClientAuth::Required),
            ("CERT_NONE", ClientAuth::None),
            ("CERT_OPTIONAL", ClientAuth::Optional),
            ("CERT_REQUIRED", ClientAuth::Required),
        ]),
        "Whether clients show certificates",
    )
    .or(&["WEBSOCKET_SSL_VERIFY_MODE", "SSL_VERIFY_MODE"])
    .default("none")
    .production("none");

    SSL_CHECK_HOSTNAME: Boolean = Setting::new(
        "WEBSOCKET_SSL_CHECK_HOSTNAME",
        "ssl-check-hostname",
        Boolean,
        "Whether the certificate must name the public URL's host: a mistake is found before the start",
    )
    .or(&["SSL_CHECK_HOSTNAME"])
    .default("true")
    .production("true");

    SSL_VERSION: Parsed<MinimumVersion> = Setting::new(
        "WEBSOCKET_SSL_VERSION",
        "ssl-version",
        Parsed { read: version, what: MINIMUM_VERSION_FORMS },
        "The lowest version that is spoken",
    )
    .default("TLSv1_2")
    .production("TLSv1_2");

    SSL_CIPHERS: Text = Setting::new(
        "WEBSOCKET_SSL_CIPHERS",
        "ssl-ciphers",
        Text::of(CIPHER_STRING_FORMS, CIPHER_STRING_BYTES_MAX),
        "Suites of TLS 1.2; those of 1.3 are fixed",
    )
    .default("intermediate")
    .production("ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:DHE+CHACHA20:!aNULL:!MD5:!DSS");

    SSL_RELOAD: Choice<TlsReload> = Setting::new(
        "WEBSOCKET_SSL_RELOAD",
        "ssl-reload",
        Choice::of(&[("auto", TlsReload::Auto), ("sighup", TlsReload::Sighup)]),
        "When changed certificate files are read again: by themselves, or at SIGHUP only",
    )
    .default("auto")
    .production("auto");

    FORCE_HTTPS: Boolean = Setting::new(
        "WEBSOCKET_FORCE_HTTPS",
        "force-https",
        Boolean,
        "Plain requests are refused, or redirected; health checks and metrics are not meant",
    )
    .default("false")
    .production("true");

    HTTPS_REDIRECT: Boolean = Setting::new(
        "WEBSOCKET_HTTPS_REDIRECT",
        "https-redirect",
        Boolean,
        "With forced HTTPS: GET requests are redirected (308) instead of refused; WebSockets never are",
    )
    .default("false")
    .production("true");

    HSTS_ENABLED: Boolean = Setting::new(
        "WEBSOCKET_HSTS_ENABLED",
        "hsts",
        Boolean,
        "Answers over HTTPS tell browsers to use nothing else (RFC 6797)",
    )
    .by_mode("false", "true")
    .reloads()
    .production("true");

    HSTS_MAX_AGE: Number = Setting::new(
        "WEBSOCKET_HSTS_MAX_AGE",
        "hsts-max-age",
        Number::new(0, 3_153_600_000),
        "For how many seconds; 0 takes it back",
    )
    .default("31536000")
    .reloads()
    .production("31536000");

    HSTS_INCLUDE_SUBDOMAINS: Boolean = Setting::new(
        "WEBSOCKET_HSTS_INCLUDE_SUBDOMAINS",
        "hsts-include-subdomains",
        Boolean,
        "For all hosts below this one as well: think twice",
    )
    .default("false")
    .reloads()
    .production("true");

    HSTS_PRELOAD: Boolean = Setting::new(
        "WEBSOCKET_HSTS_PRELOAD",
        "hsts-preload",
        Boolean,
        "Consent to the browsers' preload lists; needs subdomains and a year",
    )
    .default("false")
    .reloads()
    .production("false");
}

fn version(text: &str) -> Result<MinimumVersion, String> {
    text.parse::<MinimumVersion>().map_err(|error| super::reason_of(&error))
}
