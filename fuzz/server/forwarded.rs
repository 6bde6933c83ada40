//! `Forwarded` and the `X-` headers: who the client behind the proxies is.

use std::net::IpAddr;
use std::sync::LazyLock;

use vedfolnir::security::forwarded::elements_from_right;
use vedfolnir::security::proxy::{HOPS_MAX, ProxyTrust};
use vedfolnir::security::proxy_headers::{ProxyHeader, ProxyHeaders};
use vedfolnir_fuzz::Bound;
use vedfolnir_fuzz::input::Input;

use crate::headers;

/// A table of headers; elements of 72 bytes in lists of 32 at most, two at a time.
pub const MEMORY: Bound = Bound { base_bytes: 32 << 10, bytes_per_input_byte: 64 };
pub const INPUT_BYTES_MAX: usize = 1 << 10;

static TRUST: LazyLock<ProxyTrust> = LazyLock::new(|| {
    let ranges = "10.0.0.0/8, ::1, 2001:db8::/32".parse().expect("ranges");
    ProxyTrust::new(ranges, ProxyHeader::ALL.into_iter().fold(ProxyHeaders::default(), ProxyHeaders::with))
});

pub fn run(input: &[u8]) {
    let mut input = Input(input);
    let peer: IpAddr = [[10, 1, 2, 3].into(), [192, 0, 2, 1].into()][input.below(2)];
    let (tls, elements_max) = (input.below(2) == 1, input.below(HOPS_MAX + 1));
    let names = ProxyHeader::ALL.map(ProxyHeader::name);
    let headers = headers(&mut input, &names, 64);
    assert!(elements_from_right(&headers, elements_max.max(1)).len() <= elements_max.max(1));
    let client = TRUST.client(peer, tls, &headers);
    assert_eq!(client.trusted_hop, TRUST.trusts(peer));
    if !client.trusted_hop {
        assert_eq!((client.ip, client.https, client.host, client.port), (peer, tls, None, None), "a stranger's word");
    }
    assert_eq!(client.ip, client.ip.to_canonical());
}
