//! PROXY headers, whole and in pieces, and everything that is none.

use proptest::prelude::*;

use super::*;

fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let mut bytes = V2_START.to_vec();
    bytes.extend([command, family]);
    bytes.extend(u16::try_from(rest.len()).unwrap().to_be_bytes());
    bytes.extend(rest);
    bytes
}

const V4: [u8; 12] = [192, 0, 2, 1, 10, 0, 0, 1, 0x11, 0x5c, 0x01, 0xbb];

fn v6() -> Vec<u8> {
    let mut rest = "2001:db8::1".parse::<Ipv6Addr>().unwrap().octets().to_vec();
    rest.extend("2001:db8::2".parse::<Ipv6Addr>().unwrap().octets());
    rest.extend([0x11, 0x5c, 0x01, 0xbb]);
    rest
}

fn tlv(kind: u8, value: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind];
    bytes.extend(u16::try_from(value.len()).unwrap().to_be_bytes());
    bytes.extend(value);
    bytes
}

fn joined(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

fn with_checksum(mut header: Vec<u8>) -> Vec<u8> {
    let at = header.len() - 4;
    let sum = crc32c_with_zeros(&header, at);
    header[at..].copy_from_slice(&sum.to_be_bytes());
    header
}

fn source(text: &str) -> Option<SocketAddr> {
    Some(text.parse().unwrap())
}

fn valid() -> Vec<(Vec<u8>, Option<SocketAddr>)> {
    let long =
        "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:fff1 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n";
    let unknown =
        "PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n";
    assert_eq!(unknown.len(), V1_BYTES_MAX);
    vec![
        (b"PROXY TCP4 192.0.2.1 10.0.0.1 4444 443\r\n".to_vec(), source("192.0.2.1:4444")),
        (b"PROXY TCP4 1.1.1.1 2.2.2.2 0 1\r\n".to_vec(), source("1.1.1.1:0")),
        (b"PROXY TCP6 2001:db8::1 ::1 4444 443\r\n".to_vec(), source("[2001:db8::1]:4444")),
        (b"PROXY TCP6 ::ffff:192.0.2.1 ::1 4444 443\r\n".to_vec(), source("192.0.2.1:4444")),
        (b"PROXY TCP6 :: :: 1 1\r\n".to_vec(), source("[::]:1")),
        (long.into(), source("[ffff:ffff:ffff:ffff:ffff:ffff:ffff:fff1]:65535")),
        (b"PROXY UNKNOWN\r\n".to_vec(), None),
        (b"PROXY UNKNOWN x\r\n".to_vec(), None),
        (unknown.into(), None),
        (v2(0x21, 0x11, &V4), source("192.0.2.1:4444")),
        (v2(0x21, 0x21, &v6()), source("[2001:db8::1]:4444")),
        (v2(0x21, 0x12, &V4), None),
        (v2(0x21, 0x31, &[7; 216]), None),
        (v2(0x21, 0x00, b""), None),
        (v2(0x20, 0x00, b""), None),
        (v2(0x20, 0x11, &V4), None),
        (v2(0x20, 0xff, b"whatever"), None),
        (v2(0x21, 0x11, &joined(&[&V4, &tlv(0x01, b"h2"), &tlv(0x04, &[0; 3000])])), source("192.0.2.1:4444")),
        (
            with_checksum(v2(0x21, 0x11, &joined(&[&V4, &tlv(0x02, b"a.example"), &tlv(TLV_CRC32C, &[0; 4])]))),
            source("192.0.2.1:4444"),
        ),
    ]
}

#[test]
fn whole_headers_are_read() {
    for (bytes, expected) in valid() {
        let header = Header { source: expected, client_tls: false, consumed: bytes.len() };
        for rest in [&b""[..], b"GET / HTTP/1.1\r\n", b"\x16\x03\x01", b"\r\n"] {
            assert_eq!(parse(Mode::Auto, &joined(&[&bytes, rest])), Parsed::Header(header), "{bytes:?}");
        }
        let (own, other) = if bytes[0] == b'P' { (Mode::V1, Mode::V2) } else { (Mode::V2, Mode::V1) };
        assert_eq!(parse(own, &bytes), Parsed::Header(header));
        assert_eq!(parse(other, &bytes), Parsed::NotThere);
        assert_eq!(parse(Mode::Off, &bytes), Parsed::NotThere);
    }
}

#[test]
fn reading_what_is_asked_for_never_reads_past_the_header() {
    for (bytes, expected) in valid() {
        let mode = if bytes[0] == b'P' { Mode::V1 } else { Mode::V2 };
        for mode in [mode, Mode::Auto] {
            let mut read = 0;
            let mut reads = 0;
            let header = loop {
                match parse(mode, &bytes[..read]) {
                    Parsed::NeedMore { at_most } => {
                        assert!(at_most >= 1 && read + at_most <= bytes.len(), "{at_most} after {read} of {bytes:?}");
                        read += at_most;
                    }
                    Parsed::Header(header) => break header,
                    refused => panic!("{refused:?}"),
                }
                reads += 1;
            };
            assert_eq!((header.source, header.consumed, read), (expected, bytes.len(), bytes.len()));
            assert!(reads < 60, "{reads}");
        }
    }
}

#[test]
fn what_is_no_header_is_told_apart_at_its_first_wrong_byte() {
    for bytes in
        [&b"GET / HTTP/1.1\r\n"[..], b"POST", b"PRI * HTTP/2.0", b"PROXI", b"\x16\x03\x01", b"\r\n\r\nX", b"proxy "]
    {
        assert_eq!(parse(Mode::Auto, bytes), Parsed::NotThere, "{bytes:?}");
    }
    assert_eq!(parse(Mode::Auto, b""), Parsed::NeedMore { at_most: 15 });
    assert_eq!(parse(Mode::V1, b"PR"), Parsed::NeedMore { at_most: 13 });
    assert_eq!(parse(Mode::V2, b""), Parsed::NeedMore { at_most: 16 });
    assert_eq!(parse(Mode::Auto, b"\r\n\r\n"), Parsed::NeedMore { at_most: 12 });
}

#[test]
fn broken_lines_are_refused() {
    let line = [
        "PROXY TCP4 192.0.2.1 10.0.0.1 4444\r\n",
        "PROXY TCP4 192.0.2.1 10.0.0.1 4444 443 \r\n",
        "PROXY TCP4  192.0.2.1 10.0.0.1 4444 443\r\n",
        "PROXY TCP4 192.0.2.01 10.0.0.1 4444 443\r\n",
        "PROXY TCP4 192.0.2.1 10.0.0.1 04444 443\r\n",
        "PROXY TCP4 192.0.2.1 10.0.0.1 +444 443\r\n",
        "PROXY TCP4 192.0.2.1 10.0.0.1 65536 443\r\n",
        "PROXY TCP4 192.0.2.1 10.0.0.1 4444 \r\n",
        "PROXY TCP4 2001:db8::1 ::1 4444 443\r\n",
        "PROXY TCP6 192.0.2.1 10.0.0.1 4444 443\r\n",
        "PROXY TCP6 [::1] ::1 4444 443\r\n",
        "PROXY TCP4 unknown 10.0.0.1 4444 443\r\n",
        "PROXY TCP4 192.0.2.1 junk 4444 443\r\n",
        "PROXY UDP4 192.0.2.1 10.0.0.1 4444 443\r\n",
        "PROXY UNKNOWNX\r\n",
        "PROXY  UNKNOWN\r\n",
        "PROXY aaaaaaa\r\n",
        "PROXY \r\n",
    ];
    for bytes in line {
        assert_eq!(parse(Mode::Auto, bytes.as_bytes()), Parsed::Invalid(ProxyProtocolError::Line), "{bytes}");
    }
    assert_eq!(parse(Mode::V1, b"PROXY TCP4 \xff\xff\xff\xff\r\n"), Parsed::Invalid(ProxyProtocolError::Line));
    let long = format!("PROXY UNKNOWN {}\r\n", "a".repeat(92));
    for bytes in ["PROXY UNKNOWN\n", "PROXY UNKNOWN \rX", "PROXY UNKNOWN\n\r", &long, &long[..107], &long[..106]] {
        assert_eq!(parse(Mode::Auto, bytes.as_bytes()), Parsed::Invalid(ProxyProtocolError::LineEnd), "{bytes}");
    }
}

#[test]
fn broken_binary_headers_are_refused() {
    let long = u16::try_from(HEADER_BYTES_MAX - V2_FIXED_BYTES + 1).unwrap();
    let mut wrong_sum = with_checksum(v2(0x21, 0x11, &joined(&[&V4, &tlv(TLV_CRC32C, &[0; 4])])));
    wrong_sum[V2_FIXED_BYTES] ^= 1;
    let table = [
        (v2(0x11, 0x11, &V4), ProxyProtocolError::VersionOrCommand(0x11)),
        (v2(0x22, 0x11, &V4), ProxyProtocolError::VersionOrCommand(0x22)),
        (v2(0x21, 0x13, &V4), ProxyProtocolError::Family(0x13)),
        (v2(0x21, 0x41, &V4), ProxyProtocolError::Family(0x41)),
        (v2(0x21, 0x10, &V4), ProxyProtocolError::Family(0x10)),
        (v2(0x21, 0x11, &V4[..11]), ProxyProtocolError::TooShort(11)),
        (v2(0x21, 0x21, &V4), ProxyProtocolError::TooShort(12)),
        (v2(0x21, 0x11, &vec![0; long.into()]), ProxyProtocolError::TooLong(long)),
        (v2(0x21, 0x11, &joined(&[&V4, &[4, 0]])), ProxyProtocolError::Extensions),
        (v2(0x21, 0x11, &joined(&[&V4, &[4, 0, 2, 7]])), ProxyProtocolError::Extensions),
        (v2(0x21, 0x11, &joined(&[&V4, &tlv(TLV_CRC32C, &[0; 3])])), ProxyProtocolError::Extensions),
        (v2(0x21, 0x11, &joined(&[&V4, &tlv(TLV_SSL, b"")])), ProxyProtocolError::Extensions),
        (wrong_sum, ProxyProtocolError::Checksum),
    ];
    for (bytes, expected) in table {
        assert_eq!(parse(Mode::V2, &bytes), Parsed::Invalid(expected), "{bytes:?}");
    }
}

#[test]
fn the_checksum_is_the_published_one() {
    // RFC 3720, appendix B.4: 32 bytes of zeros, of which four count as zeros anyway.
    assert_eq!(crc32c_with_zeros(&[0; 32], 3), 0x8A91_36AA);
    // The check value of CRC-32C, with nothing taken for zeros.
    assert_eq!(crc32c_with_zeros(b"123456789", 100), 0xE306_9283);
}

#[test]
fn tls_in_front_is_told() {
    let header = |first| v2(0x21, 0x11, &joined(&[&V4, &tlv(TLV_SSL, &[first, 0, 0, 0, 0])]));
    let tls = |bytes: &[u8]| match parse(Mode::V2, bytes) {
        Parsed::Header(header) => header.client_tls,
        refused => panic!("{refused:?}"),
    };
    assert!(tls(&header(0x01)) && tls(&header(0x07)));
    assert!(!tls(&header(0x00)));
    assert!(!tls(&header(0x02)));
}

proptest! {
    #[test]
    fn bytes_that_come_in_pieces_come_to_the_same(
        which in 0..valid().len(), rest in prop::collection::vec(any::<u8>(), 0..20), cut in 0_usize..5000
    ) {
        let (bytes, _) = &valid()[which];
        let all = joined(&[bytes, &rest]);
        let cut = cut % bytes.len();
        let is_part = matches!(parse(Mode::Auto, &all[..cut]), Parsed::NeedMore { .. });
        prop_assert!(is_part, "{} of {:?}", cut, bytes);
        prop_assert_eq!(parse(Mode::Auto, &all), parse(Mode::Auto, bytes));
    }

    #[test]
    fn no_bytes_make_it_panic_or_wait_without_end(
        start in 0_usize..3,
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        text in "(TCP[46]|UNKNOWN)?[ 0-9a-f:.\r\n]{0,120}"
    ) {
        let start: &[u8] = [&b""[..], V1_START, V2_START][start];
        for tail in [&bytes[..], text.as_bytes()] {
            let all = joined(&[start, tail]);
            for mode in [Mode::Off, Mode::V1, Mode::V2, Mode::Auto] {
                match parse(mode, &all) {
                    Parsed::Header(header) => prop_assert!(header.consumed <= all.len()),
                    Parsed::NeedMore { at_most } => {
                        prop_assert!(at_most >= 1 && all.len() + at_most <= HEADER_BYTES_MAX);
                    }
                    Parsed::NotThere | Parsed::Invalid(_) => {}
                }
            }
        }
    }

    #[test]
    fn a_refusal_is_final(start in 0_usize..3, bytes in prop::collection::vec(any::<u8>(), 0..40), cut in 0_usize..60) {
        let start: &[u8] = [&b""[..], V1_START, V2_START][start];
        let all = joined(&[start, &bytes]);
        let early = parse(Mode::Auto, &all[..cut.min(all.len())]);
        if matches!(early, Parsed::NotThere | Parsed::Invalid(_) | Parsed::Header(_)) {
            prop_assert_eq!(parse(Mode::Auto, &all), early);
        }
    }
}
