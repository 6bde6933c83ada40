//! Properties of every codec: what is encoded decodes to itself, and no input whatever makes a decoder panic.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::connection::{Connection, ConnectionConfig, Event};
use crate::engine_io::packet::{Message, Packet};
use crate::engine_io::payload::{self, PayloadLimits};
use crate::engine_io::sid::EngineSid;
use crate::offset::{OffsetError, decode_offset, encode_offset};
use crate::socket_io::args::{check_event_bytes, elements, event_array, event_name};
use crate::socket_io::event::{encode_ack, encode_connect, encode_connect_error, encode_event};
use crate::socket_io::packet::{Packet as SocketPacket, PacketData};
use crate::socket_io::{attachment::ATTACHMENTS_MAX, auth::recovery_of, namespace};

fn bytes(length_max: usize) -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..length_max).prop_map(Bytes::from)
}

/// Text without the record separator, which polling cannot carry raw (JSON escapes it).
fn text() -> impl Strategy<Value = Bytes> {
    ".{0,40}".prop_map(|text: String| Bytes::from(text.replace('\x1e', "")))
}

fn engine_packet() -> impl Strategy<Value = Packet> {
    prop_oneof![
        text().prop_map(Packet::Open),
        Just(Packet::Close),
        text().prop_map(Packet::Ping),
        text().prop_map(Packet::Pong),
        text().prop_map(Packet::text),
        bytes(40).prop_map(|bytes| Packet::Message(Message::Binary(bytes))),
        Just(Packet::Upgrade),
        Just(Packet::Noop),
    ]
}

fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        ".{0,12}".prop_map(|text: String| text.into()),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Into::into),
            vec(("[a-z\"\\\\é]{0,6}", inner), 0..4)
                .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
        ]
    })
}

/// `["name",…]` whose name no rule reserves, and the placeholders of `attachments` at its end.
fn event_args(attachments: usize) -> impl Strategy<Value = Bytes> {
    ("x.{0,10}", vec(json(), 0..4)).prop_map(move |(name, arguments)| {
        let mut array = vec![serde_json::Value::from(name)];
        array.extend(arguments);
        array.extend((0..attachments).map(|num| serde_json::json!({"_placeholder": true, "num": num})));
        Bytes::from(serde_json::Value::from(array).to_string())
    })
}

fn namespace_name() -> impl Strategy<Value = String> {
    "/[^,?]{0,20}".prop_filter("one line", |name| namespace::is_valid(name))
}

fn event_and_attachments() -> impl Strategy<Value = (Bytes, Vec<Bytes>)> {
    vec(bytes(20), 0..=ATTACHMENTS_MAX).prop_flat_map(|attachments| (event_args(attachments.len()), Just(attachments)))
}

/// Something that looks like what a client sends, so that the walk gets past the first check.
fn frame() -> impl Strategy<Value = Message> {
    prop_oneof![
        bytes(30).prop_map(Message::Binary),
        ".{0,40}".prop_map(|text: String| Message::Text(Bytes::from(text))),
        "[0-6]?[0-6]([0-9]{1,2}-)?(/(a|b)?(\\?[a-z]=1)?,?)?[0-9]{0,3}.{0,12}"
            .prop_map(|text: String| Message::Text(Bytes::from(text))),
        ("(40|41|42|431|451-|462-)", "(/a,|/b,|)", event_args(1)).prop_map(|(kind, namespace, args)| {
            let args = if kind == "40" || kind == "41" { "" } else { std::str::from_utf8(&args).unwrap() };
            Message::Text(Bytes::from(format!("{kind}{namespace}{args}")))
        }),
        Just(Message::Text(Bytes::from_static(b"3"))),
    ]
}

proptest! {
    #[test]
    fn engine_packets_round_trip_over_websocket(packet in engine_packet()) {
        prop_assert_eq!(Packet::from_websocket(packet.to_websocket()), Ok(packet));
    }

    #[test]
    fn payloads_round_trip(packets in vec(engine_packet(), 1..12)) {
        let body = payload::encode(&packets);
        prop_assert_eq!(payload::decode(body, PayloadLimits::default()), Ok(packets));
    }

    #[test]
    fn payload_bounds_hold_for_any_body(body in bytes(200), payload_bytes_max in 0_usize..200, packets_max in 0_usize..4) {
        let limits = PayloadLimits { payload_bytes_max, packets_max };
        if let Ok(packets) = payload::decode(body.clone(), limits) {
            prop_assert!(packets.len() <= packets_max && body.len() <= payload_bytes_max);
        }
    }

    #[test]
    fn offsets_round_trip(history: u64, index: u64, ordinal: u32) {
        let text = encode_offset(history, index, ordinal);
        prop_assert_eq!(decode_offset(&text, history), Ok((index, ordinal)));
    }

    #[test]
    fn offsets_of_another_history_are_refused(history: u64, other: u64, index: u64, ordinal: u32) {
        prop_assume!(history != other);
        prop_assert!(decode_offset(&encode_offset(history, index, ordinal), other).is_err());
    }

    #[test]
    fn no_text_is_an_offset_by_chance_of_form(text in ".{0,40}", history: u64) {
        if let Ok((index, ordinal)) = decode_offset(&text, history) {
            prop_assert!(encode_offset(history, index, ordinal).as_str() == text);
        }
    }

    #[test]
    fn changed_offsets_are_refused(history: u64, index: u64, ordinal: u32, at: prop::sample::Index, with in "[A-Za-z0-9_-]") {
        let mut text = encode_offset(history, index, ordinal).to_string();
        let at = at.index(text.len());
        prop_assume!(text[at..=at] != with);
        text.replace_range(at..=at, &with);
        prop_assert!(matches!(decode_offset(&text, history), Err(OffsetError::Garbage | OffsetError::Foreign)));
    }

    #[test]
    fn sids_round_trip_and_have_one_form(node: u64, generation: u64, random: [u8; 12], tag: [u8; 10], text in ".{0,60}") {
        let sid = EngineSid { node, generation, random, tag };
        prop_assert_eq!(sid.to_string().parse(), Ok(sid));
        if let Ok(sid) = text.parse::<EngineSid>() {
            prop_assert_eq!(sid.to_string(), text);
        }
    }

    #[test]
    fn events_round_trip(
        namespace in namespace_name(),
        (args, attachments) in event_and_attachments(),
        ack_id in prop::option::of(0_u64..1 << 53),
    ) {
        prop_assert_eq!(check_event_bytes(&args, attachments.len()), Ok(()));
        let encoded = encode_event(&namespace, &args, &attachments, ack_id, None);
        let packet = SocketPacket::decode(&encoded.text.slice(1..), ATTACHMENTS_MAX).unwrap();
        prop_assert_eq!(packet.encode(), encoded.text);
        prop_assert_eq!(&*packet.namespace, namespace);
        prop_assert_eq!(packet.data, PacketData::Event { args, ack_id, attachments: attachments.len() });
    }

    #[test]
    fn an_offset_is_the_last_argument(args in event_args(0), offset in ".{0,30}") {
        let encoded = encode_event("/", &args, &[], None, Some(&offset));
        let mut expected: Vec<serde_json::Value> = serde_json::from_slice(&args).unwrap();
        expected.push(offset.into());
        let array: Vec<serde_json::Value> = serde_json::from_slice(&encoded.text[2..]).unwrap();
        prop_assert_eq!(array, expected);
    }

    #[test]
    fn acks_round_trip(namespace in namespace_name(), (args, attachments) in event_and_attachments(), id in 0_u64..1 << 53) {
        let encoded = encode_ack(&namespace, id, &args, &attachments);
        let packet = SocketPacket::decode(&encoded.text.slice(1..), ATTACHMENTS_MAX).unwrap();
        prop_assert_eq!(&*packet.namespace, namespace);
        prop_assert_eq!(packet.data, PacketData::Ack { args, id, attachments: attachments.len() });
    }

    #[test]
    fn connect_answers_are_json_of_what_was_said(namespace in namespace_name(), sid in ".{0,30}", pid in ".{0,30}") {
        let decode = |text: Bytes| SocketPacket::decode(&text.slice(1..), ATTACHMENTS_MAX).unwrap();
        let connect = decode(encode_connect(&namespace, &sid, Some(&pid)));
        prop_assert_eq!(&*connect.namespace, namespace.as_str());
        let PacketData::Connect(Some(json)) = connect.data else { panic!("no CONNECT") };
        prop_assert_eq!(serde_json::from_slice::<serde_json::Value>(&json).unwrap(), serde_json::json!({"sid": sid, "pid": pid}));
        let PacketData::ConnectError(Some(json)) = decode(encode_connect_error(&namespace, &pid, None)).data else {
            panic!("no CONNECT_ERROR")
        };
        prop_assert_eq!(serde_json::from_slice::<serde_json::Value>(&json).unwrap(), serde_json::json!({"message": pid}));
    }

    #[test]
    fn arrays_come_apart_and_together(args in event_args(0)) {
        let name = event_name(&args).unwrap();
        let elements = elements(&args).unwrap();
        prop_assert_eq!(
            serde_json::from_slice::<serde_json::Value>(&event_array(&name, elements[1..].iter().copied())).unwrap(),
            serde_json::from_slice::<serde_json::Value>(&args).unwrap()
        );
    }

    #[test]
    fn recovery_is_found_beside_anything(mut auth in vec(("[a-o]{1,4}", json()), 0..4), pid in ".{0,30}", offset in ".{0,30}") {
        auth.push(("pid".to_owned(), pid.clone().into()));
        auth.push(("offset".to_owned(), offset.clone().into()));
        let auth = serde_json::Value::Object(auth.into_iter().collect()).to_string();
        prop_assert_eq!(recovery_of(auth.as_bytes()), (Some(pid), Some(offset)));
    }

    #[test]
    fn no_bytes_make_a_decoder_panic(bytes in bytes(200), history: u64) {
        let _ = Packet::from_websocket(Message::Text(bytes.clone()));
        let _ = SocketPacket::decode(&bytes, ATTACHMENTS_MAX);
        let _ = check_event_bytes(&bytes, 1);
        let _ = event_name(&bytes);
        let _ = elements(&bytes);
        let _ = recovery_of(&bytes);
        let _ = encode_event("/", &bytes, &[], None, Some("offset"));
        let text = String::from_utf8_lossy(&bytes);
        let _ = decode_offset(&text, history);
        let _ = text.parse::<EngineSid>();
        let _ = namespace::split(&text);
    }

    #[test]
    fn no_text_makes_a_decoder_panic(text in "\\PC{0,80}", json in "[\\[\\]{}\",:0-9a-z_\\\\ ]{0,60}") {
        for text in [text, json] {
            let bytes = Bytes::from(text);
            let _ = SocketPacket::decode(&bytes, ATTACHMENTS_MAX);
            let _ = check_event_bytes(&bytes, 2);
            let _ = event_name(&bytes);
            let _ = recovery_of(&bytes);
            let _ = payload::decode(bytes, PayloadLimits::default());
        }
    }

    /// Whatever comes in whichever order: no panic, `Closed` is the last event and comes exactly when input is refused,
    /// and every event belongs to a namespace that is joined.
    #[test]
    fn a_connection_survives_any_conversation(frames in vec((frame(), 0_u64..9_000, any::<bool>(), any::<bool>()), 0..40)) {
        let mut connection = Connection::new(ConnectionConfig::default(), 0);
        let mut now_ms = 0;
        let mut joined: Vec<Box<str>> = Vec::new();
        for (frame, elapsed_ms, accept, leave) in frames {
            now_ms += elapsed_ms;
            let result = match Packet::from_websocket(frame) {
                Ok(packet) => connection.handle_packet(now_ms, packet),
                Err(_) => continue,
            };
            connection.handle_timeout(now_ms);
            let mut closed = false;
            while let Some(event) = connection.poll_event() {
                prop_assert!(!closed, "an event after Closed");
                match event {
                    Event::Connect { namespace, .. } if connection.closed().is_some() => drop(namespace),
                    Event::Connect { namespace, .. } if accept => {
                        prop_assert!(connection.connect_accepted(&namespace));
                        joined.push(namespace);
                    }
                    Event::Connect { namespace, .. } => prop_assert!(connection.connect_refused(&namespace)),
                    Event::Event { namespace, .. } | Event::Ack { namespace, .. } => {
                        prop_assert!(joined.contains(&namespace), "{namespace} is not joined");
                        if leave && connection.closed().is_none() {
                            prop_assert!(connection.namespace_closed(&namespace));
                            joined.retain(|name| *name != namespace);
                        }
                    }
                    Event::Disconnect { namespace } => {
                        prop_assert!(joined.contains(&namespace));
                        joined.retain(|name| *name != namespace);
                    }
                    Event::Closed(reason) => {
                        prop_assert_eq!(connection.closed(), Some(reason));
                        closed = true;
                    }
                }
            }
            if result.is_err() {
                prop_assert!(closed);
            }
            prop_assert_eq!(closed, connection.closed().is_some());
            if closed {
                prop_assert_eq!(connection.poll_timeout(), None);
                break;
            }
            prop_assert!(connection.poll_timeout().is_some());
            while connection.poll_transmit().is_some() {}
        }
    }
}
