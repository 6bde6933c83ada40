//! The public listener's certificates.

use super::Families;
use crate::tls::ListenerTls;

/// The public listener's certificates: the first that expires; 0 without TLS.
pub(super) fn of_tls(families: &mut Families, tls: Option<&ListenerTls>) {
    let status = tls.map(ListenerTls::status);
    let expiry = status.as_ref().and_then(|status| status.certificates.iter().map(|report| report.not_after).min());
    families.gauge(
        "websocket_tls_certificate_expiry_timestamp_seconds",
        "When the first certificate in use expires, since the Unix epoch; 0 without TLS",
        expiry.unwrap_or(0) as f64,
    );
    let (ok, failed) = status.map_or((0, 0), |status| (status.reloads_ok, status.reloads_failed));
    families.counters(
        "websocket_tls_reloads_total",
        "Times that the certificates' files were read again",
        &[("outcome", "ok", ok as f64), ("outcome", "failed", failed as f64)],
    );
}
