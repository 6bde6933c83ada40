//! Who the client is: spoofed, hidden and broken headers.

use http::HeaderValue;
use proptest::prelude::*;

use super::*;

type Pairs<'a> = &'a [(&'static str, &'a str)];

const ALL: &str = "X-Forwarded-For,X-Forwarded-Proto,X-Forwarded-Host,X-Forwarded-Port,X-Real-IP,Forwarded";
const X_ONLY: &str = "X-Forwarded-For,X-Forwarded-Proto,X-Forwarded-Host,X-Real-IP";

fn trust(ranges: &str, headers: &str) -> ProxyTrust {
    ProxyTrust::new(ranges.parse().unwrap(), headers.parse().unwrap())
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn map(pairs: Pairs<'_>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(*name, HeaderValue::from_str(value).unwrap());
    }
    headers
}

#[test]
fn the_first_untrusted_address_from_the_right_is_the_client() {
    let xff = "x-forwarded-for";
    let table: [(&str, &str, Pairs, &str); 16] = [
        ("127.0.0.1", "127.0.0.1", &[(xff, "6.6.6.6, 10.0.0.9")], "10.0.0.9"),
        ("127.0.0.1,10.0.0.0/8", "127.0.0.1", &[(xff, "6.6.6.6, 10.0.0.9")], "6.6.6.6"),
        ("127.0.0.1,10.0.0.0/8", "127.0.0.1", &[(xff, "1.1.1.1, 6.6.6.6, 10.0.0.9")], "6.6.6.6"),
        ("127.0.0.1,10.0.0.0/8", "127.0.0.1", &[(xff, "6.6.6.6"), (xff, "10.0.0.9")], "6.6.6.6"),
        ("127.0.0.1", "127.0.0.1", &[(xff, "6.6.6.6"), (xff, "7.7.7.7")], "7.7.7.7"),
        ("127.0.0.1,10.0.0.0/8", "127.0.0.1", &[(xff, "10.0.0.1, 10.0.0.2")], "10.0.0.1"),
        ("127.0.0.1", "::ffff:127.0.0.1", &[(xff, "6.6.6.6")], "6.6.6.6"),
        ("127.0.0.1", "127.0.0.1", &[(xff, "::ffff:6.6.6.6")], "6.6.6.6"),
        ("127.0.0.1", "127.0.0.1", &[(xff, "[2001:db8::1]:4711")], "2001:db8::1"),
        ("127.0.0.1", "127.0.0.1", &[(xff, "6.6.6.6:4711,")], "6.6.6.6"),
        ("127.0.0.1", "127.0.0.1", &[(xff, "6.6.6.6"), ("x-real-ip", "7.7.7.7")], "6.6.6.6"),
        ("127.0.0.1", "127.0.0.1", &[("x-real-ip", "7.7.7.7")], "7.7.7.7"),
        ("127.0.0.1", "127.0.0.1", &[("x-real-ip", "7.7.7.7"), ("x-real-ip", "8.8.8.8")], "127.0.0.1"),
        ("127.0.0.1", "127.0.0.1", &[("x-real-ip", "7.7.7.7, 8.8.8.8")], "127.0.0.1"),
        ("127.0.0.1", "127.0.0.1", &[], "127.0.0.1"),
        ("127.0.0.1", "192.0.2.1", &[(xff, "6.6.6.6"), ("x-real-ip", "7.7.7.7")], "192.0.2.1"),
    ];
    for (ranges, peer, pairs, expected) in table {
        let headers = map(pairs);
        assert_eq!(
            trust(ranges, X_ONLY).client(ip(peer), false, &headers).ip,
            ip(expected),
            "{ranges} {peer} {pairs:?}"
        );
    }
}

#[test]
fn junk_never_becomes_an_address() {
    let long = "a".repeat(10_000);
    let table = [
        ("\"; drop", "127.0.0.1"),
        ("\"6.6.6.6\"", "127.0.0.1"),
        ("unknown", "127.0.0.1"),
        ("_hidden", "127.0.0.1"),
        ("6.6.6.6, unknown", "127.0.0.1"),
        ("6.6.6.6, unknown, 10.0.0.9", "10.0.0.9"),
        ("6.6.6.6 10.0.0.9", "127.0.0.1"),
        (&long, "127.0.0.1"),
    ];
    for (value, expected) in table {
        let headers = map(&[("x-forwarded-for", value)]);
        let client = trust("127.0.0.1,10.0.0.0/8", X_ONLY).client(ip("127.0.0.1"), false, &headers);
        assert_eq!((client.ip, client.note), (ip(expected), ProxyNote::Opaque), "{value}");
    }
    let mut headers = HeaderMap::new();
    headers.append("x-forwarded-for", HeaderValue::from_bytes(b"\xff\xfe, 6.6.6.6").unwrap());
    assert_eq!(trust("127.0.0.1", X_ONLY).client(ip("127.0.0.1"), false, &headers).ip, ip("6.6.6.6"));
    for commas in [",", ", ,, ", &",".repeat(10_000)] {
        let headers = map(&[("x-forwarded-for", commas)]);
        assert_eq!(trust("127.0.0.1", X_ONLY).client(ip("127.0.0.1"), false, &headers).ip, ip("127.0.0.1"));
    }
}

#[test]
fn an_untrusted_peer_is_not_listened_to() {
    let headers = map(&[
        ("x-forwarded-for", "6.6.6.6"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "evil.org"),
        ("forwarded", "for=6.6.6.6;proto=https;host=evil.org"),
    ]);
    let client = trust("10.0.0.0/8", ALL).client(ip("192.0.2.1"), false, &headers);
    let expected = Client {
        ip: ip("192.0.2.1"),
        https: false,
        host: None,
        port: None,
        trusted_hop: false,
        note: ProxyNote::Untrusted,
    };
    assert_eq!(client, expected);
    let client = ProxyTrust::default().client(ip("192.0.2.1"), true, &headers);
    assert_eq!(client, Client { https: true, note: ProxyNote::None, ..expected });
    let plain = HeaderMap::new();
    let silent = trust("10.0.0.0/8", ALL).client(ip("192.0.2.1"), false, &plain);
    assert_eq!(silent.note, ProxyNote::None);
}

#[test]
fn headers_that_are_not_listed_are_not_listened_to() {
    let headers = map(&[
        ("x-forwarded-for", "6.6.6.6"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "a.example"),
        ("forwarded", "for=7.7.7.7"),
    ]);
    let peer = ip("127.0.0.1");
    let client = trust("127.0.0.1", "X-Forwarded-Proto").client(peer, false, &headers);
    assert_eq!((client.ip, client.https, client.host, client.trusted_hop), (peer, true, None, true));
    let client = trust("127.0.0.1", "X-Forwarded-For").client(peer, false, &headers);
    assert_eq!((client.ip, client.https, client.note), (ip("6.6.6.6"), false, ProxyNote::None));
    let client = trust("127.0.0.1", "").client(peer, false, &headers);
    assert_eq!((client.ip, client.https, client.host), (peer, false, None));
}

#[test]
fn the_scheme_is_the_one_at_the_clients_entry() {
    let table: [(&str, Pairs, bool, bool); 14] = [
        ("6.6.6.6", &[("x-forwarded-proto", "https")], false, true),
        ("6.6.6.6", &[("x-forwarded-proto", "WSS")], false, true),
        ("6.6.6.6", &[("x-forwarded-proto", "http")], true, false),
        ("6.6.6.6", &[("x-forwarded-proto", "ws")], true, false),
        ("6.6.6.6", &[], true, true),
        ("6.6.6.6", &[("x-forwarded-proto", "gopher")], false, false),
        ("6.6.6.6", &[("x-forwarded-proto", "\"https\"")], false, false),
        // The client wrote the first value, its proxy appended what it saw.
        ("6.6.6.6", &[("x-forwarded-proto", "https, http")], false, false),
        ("1.1.1.1, 6.6.6.6", &[("x-forwarded-proto", "https, http")], false, false),
        ("6.6.6.6", &[("x-forwarded-proto", "https"), ("x-forwarded-proto", "http")], false, false),
        // HTTPS to the outer proxy, plain HTTP from there to the inner one.
        ("6.6.6.6, 10.0.0.9", &[("x-forwarded-proto", "https, http")], false, true),
        ("6.6.6.6, 10.0.0.9", &[("x-forwarded-proto", "https")], false, true),
        ("6.6.6.6, 10.0.0.9", &[("x-forwarded-proto", "https, http, http")], false, false),
        ("unknown", &[("x-forwarded-proto", "https")], false, true),
    ];
    for (chain, pairs, tls, expected) in table {
        let mut headers = map(pairs);
        headers.append("x-forwarded-for", HeaderValue::from_str(chain).unwrap());
        let client = trust("127.0.0.1,10.0.0.0/8", X_ONLY).client(ip("127.0.0.1"), tls, &headers);
        assert_eq!(client.https, expected, "{chain} {pairs:?}");
    }
}

#[test]
fn host_and_port_come_from_a_trusted_proxy() {
    let client = |pairs: Pairs<'_>| {
        let headers = map(pairs);
        let client = trust("127.0.0.1", ALL).client(ip("127.0.0.1"), false, &headers);
        (client.host.map(str::to_owned), client.port)
    };
    let some = |host: &str| Some(host.to_owned());
    assert_eq!(
        client(&[("x-forwarded-host", "a.example"), ("x-forwarded-port", "8443")]),
        (some("a.example"), Some(8443))
    );
    assert_eq!(client(&[("x-forwarded-host", "evil.org, a.example")]), (some("a.example"), None));
    assert_eq!(client(&[("x-forwarded-host", "")]), (some(""), None));
    assert_eq!(client(&[("x-forwarded-port", "0")]), (None, None));
    assert_eq!(client(&[("x-forwarded-port", "99999")]), (None, None));
    assert_eq!(client(&[("forwarded", "for=6.6.6.6;host=\"a.example:8443\"")]), (some("a.example:8443"), None));
    assert_eq!(client(&[("forwarded", "host=evil.org, host=a.example")]), (some("a.example"), None));
}

#[test]
fn forwarded_is_walked_in_the_same_way() {
    let table = [
        ("for=6.6.6.6;proto=https, for=10.0.0.9;proto=http", "6.6.6.6", true),
        ("for=1.1.1.1;proto=https, for=6.6.6.6;proto=http", "6.6.6.6", false),
        ("for=\"[2001:db8::1]:4711\";proto=https", "2001:db8::1", true),
        ("for=6.6.6.6, for=unknown;proto=https", "127.0.0.1", true),
        ("for=6.6.6.6, for=unknown, for=10.0.0.9", "10.0.0.9", false),
        ("for=6.6.6.6;proto=https, for=\"10.0.0.9", "127.0.0.1", false),
        ("for=6.6.6.6, proto=https", "127.0.0.1", true),
    ];
    for (value, expected, https) in table {
        let headers = map(&[("forwarded", value)]);
        let client = trust("127.0.0.1,10.0.0.0/8", "Forwarded").client(ip("127.0.0.1"), false, &headers);
        assert_eq!((client.ip, client.https), (ip(expected), https), "{value}");
    }
}

#[test]
fn two_families_must_agree() {
    let client = |x: &str, forwarded: &str| {
        let headers = map(&[
            ("x-forwarded-for", x),
            ("x-forwarded-proto", "http"),
            ("x-forwarded-host", "a.example"),
            ("forwarded", forwarded),
        ]);
        let client = trust("127.0.0.1", ALL).client(ip("127.0.0.1"), true, &headers);
        (client.ip, client.https, client.host.map(str::to_owned), client.note)
    };
    let (good, peer) = (ip("6.6.6.6"), ip("127.0.0.1"));
    let host = |host: &str| Some(host.to_owned());
    assert_eq!(client("6.6.6.6", "for=6.6.6.6;host=A.example"), (good, false, host("A.example"), ProxyNote::None));
    assert_eq!(client("6.6.6.6", "for=7.7.7.7"), (peer, false, host("a.example"), ProxyNote::Conflict));
    assert_eq!(client("6.6.6.6", "for=6.6.6.6;proto=https"), (good, false, host("a.example"), ProxyNote::Conflict));
    assert_eq!(client("6.6.6.6", "for=6.6.6.6;host=evil.org"), (good, false, host(""), ProxyNote::Conflict));
    // One that says nothing of the address contradicts none.
    assert_eq!(client("6.6.6.6", "proto=http"), (good, false, host("a.example"), ProxyNote::None));
}

#[test]
fn the_walk_has_an_end() {
    let chain = |hops: usize| format!("6.6.6.6{}", ", 10.0.0.1".repeat(hops));
    let client = |hops| {
        let headers = map(&[("x-forwarded-for", &chain(hops))]);
        let client = trust("127.0.0.1,10.0.0.0/8", X_ONLY).client(ip("127.0.0.1"), false, &headers);
        (client.ip, client.note)
    };
    assert_eq!(client(HOPS_MAX - 1), (ip("6.6.6.6"), ProxyNote::None));
    assert_eq!(client(HOPS_MAX), (ip("10.0.0.1"), ProxyNote::TooManyHops));
    let headers = map(&[("forwarded", &format!("for=6.6.6.6{}", ", for=10.0.0.1".repeat(HOPS_MAX)))]);
    let client = trust("127.0.0.1,10.0.0.0/8", ALL).client(ip("127.0.0.1"), false, &headers);
    assert_eq!((client.ip, client.note), (ip("10.0.0.1"), ProxyNote::TooManyHops));
}

/// Bytes that a header's value may hold.
fn header_bytes(len_max: usize) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop_oneof![0x20_u8..0x7f, 0x80_u8..=0xff], 0..len_max)
}

proptest! {
    #[test]
    fn nothing_that_a_client_writes_changes_what_its_proxy_appends(junk in "[ -~]{0,60}", lines in any::<bool>()) {
        let mut headers = HeaderMap::new();
        if lines {
            headers.append("x-forwarded-for", HeaderValue::from_str(&junk).unwrap());
            headers.append("x-forwarded-for", HeaderValue::from_static("203.0.113.7"));
            headers.append("x-forwarded-proto", HeaderValue::from_str(&junk).unwrap());
            headers.append("x-forwarded-proto", HeaderValue::from_static("http"));
        } else {
            headers.append("x-forwarded-for", HeaderValue::from_str(&format!("{junk}, 203.0.113.7")).unwrap());
            headers.append("x-forwarded-proto", HeaderValue::from_str(&format!("{junk}, http")).unwrap());
        }
        let client = trust("127.0.0.1", X_ONLY).client(ip("127.0.0.1"), true, &headers);
        prop_assert_eq!((client.ip, client.https, client.note), (ip("203.0.113.7"), false, ProxyNote::None));
    }

    #[test]
    fn no_header_makes_it_panic(
        values in prop::collection::vec((0_usize..6, header_bytes(40)), 0..8)
    ) {
        let mut headers = HeaderMap::new();
        for (header, value) in values {
            headers.append(ProxyHeader::ALL[header].name(), HeaderValue::from_bytes(&value).unwrap());
        }
        let _ = trust("127.0.0.0/8", ALL).client(ip("127.0.0.1"), false, &headers);
    }
}
