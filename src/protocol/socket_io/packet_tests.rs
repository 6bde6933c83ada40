//! The packet codec against the examples of the Socket.IO protocol, and what it must refuse.

use super::super::attachment::ATTACHMENTS_MAX;
use super::*;

fn decode(text: &'static str) -> Result<Packet, PacketError> {
    Packet::decode(&Bytes::from_static(text.as_bytes()), ATTACHMENTS_MAX)
}

fn packet(namespace: &str, data: PacketData) -> Packet {
    Packet { namespace: namespace.into(), data }
}

fn event(args: &'static str, ack_id: Option<u64>, attachments: usize) -> PacketData {
    PacketData::Event { args: Bytes::from_static(args.as_bytes()), ack_id, attachments }
}

fn ack(args: &'static str, id: u64, attachments: usize) -> PacketData {
    PacketData::Ack { args: Bytes::from_static(args.as_bytes()), id, attachments }
}

fn json(text: &'static str) -> Option<Bytes> {
    Some(Bytes::from_static(text.as_bytes()))
}

#[test]
fn every_form_round_trips() {
    let table = [
        ("0", packet("/", PacketData::Connect(None))),
        (r#"0/admin,{"token":"123"}"#, packet("/admin", PacketData::Connect(json(r#"{"token":"123"}"#)))),
        ("1", packet("/", PacketData::Disconnect)),
        ("1/admin,", packet("/admin", PacketData::Disconnect)),
        (r#"2["foo"]"#, packet("/", event(r#"["foo"]"#, None, 0))),
        (r#"2/admin,["bar"]"#, packet("/admin", event(r#"["bar"]"#, None, 0))),
        (r#"212["foo",{"a":[1]}]"#, packet("/", event(r#"["foo",{"a":[1]}]"#, Some(12), 0))),
        (r#"20["foo"]"#, packet("/", event(r#"["foo"]"#, Some(0), 0))),
        ("3/admin,13[]", packet("/admin", ack("[]", 13, 0))),
        (r#"4/admin,{"message":"no"}"#, packet("/admin", PacketData::ConnectError(json(r#"{"message":"no"}"#)))),
        (
            r#"51-["baz",{"_placeholder":true,"num":0}]"#,
            packet("/", event(r#"["baz",{"_placeholder":true,"num":0}]"#, None, 1)),
        ),
        (
            r#"52-/admin,7["baz",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#,
            packet(
                "/admin",
                event(r#"["baz",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#, Some(7), 2),
            ),
        ),
        (
            r#"61-/admin,13[{"_placeholder":true,"num":0}]"#,
            packet("/admin", ack(r#"[{"_placeholder":true,"num":0}]"#, 13, 1)),
        ),
        ("29007199254740991[1]", packet("/", event("[1]", Some(9_007_199_254_740_991), 0))),
    ];
    for (text, packet) in table {
        assert_eq!(decode(text).as_ref(), Ok(&packet), "{text}");
        assert_eq!(packet.encode(), format!("4{text}"));
    }
}

#[test]
fn forms_that_only_clients_use() {
    assert_eq!(decode("0/admin"), Ok(packet("/admin", PacketData::Connect(None))));
    assert_eq!(decode("0/admin?token=1,{}"), Ok(packet("/admin", PacketData::Connect(json("{}")))));
    assert_eq!(decode("1/admin"), Ok(packet("/admin", PacketData::Disconnect)));
    assert_eq!(decode("313"), Ok(packet("/", ack("[]", 13, 0))));
    assert_eq!(decode("2 [\"a\"]\r\n"), Ok(packet("/", event("[\"a\"]", None, 0))));
    assert_eq!(decode(r#"51-["a"]"#), Ok(packet("/", event(r#"["a"]"#, None, 1))));
}

#[test]
fn malformed_packets_are_refused() {
    let malformed = [
        "",
        "7",
        "x",
        "é",
        "2",
        "2[]",
        "2{}",
        "2\"a\"",
        "2[\"a\"",
        "2[null]",
        "2[\"a\"]x",
        "2[\"connect\"]",
        "2 ",
        "0[]",
        "0null",
        "0\"a\"",
        "0{",
        "1{}",
        "1[]",
        "3[]",
        "3",
        "31{}",
        "5[\"a\"]",
        "5-[\"a\"]",
        "50-[\"a\"]",
        "5a-[\"a\"]",
        "51",
        "51-",
        "51[\"a\"]",
        "5-1-[\"a\"]",
        "511-[\"a\"]",
        "599999999999999999999-[\"a\"]",
        "5+1-[\"a\"]",
        "61-[]",
        "60-1[]",
        "51-[\"a\",{\"_placeholder\":true,\"num\":1}]",
        "51-[\"a\",{\"_placeholder\":true}]",
        "29007199254740992[\"a\"]",
        "2999999999999999999999999[\"a\"]",
        "2/admin[\"a\"]",
    ];
    for text in malformed {
        assert!(decode(text).is_err(), "{text:?} was read as {:?}", decode(text));
    }
    let not_utf8 = Packet::decode(&Bytes::from_static(b"2[\"\xff\"]"), 10);
    assert_eq!(not_utf8, Err(PacketError::NotUtf8));
    let long = Bytes::from(format!("0/{},", "a".repeat(300)));
    assert_eq!(Packet::decode(&long, 10), Err(PacketError::NamespaceTooLong(301)));
}

#[test]
fn attachments_are_bounded_at_ten() {
    assert!(decode("510-[\"a\"]").is_ok());
    assert_eq!(decode("511-[\"a\"]"), Err(PacketError::TooManyAttachments { attachments: 11, attachments_max: 10 }));
    assert_eq!(decode("50-[\"a\"]"), Err(PacketError::IllegalAttachments));
}

#[test]
fn arguments_are_slices_of_the_message() {
    let text = Bytes::from(br#"2/a,["x",1]"#.to_vec());
    let Packet { data: PacketData::Event { args, .. }, .. } = Packet::decode(&text, 10).unwrap() else {
        panic!("not an event");
    };
    assert_eq!(args.as_ptr(), text[4..].as_ptr());
}
