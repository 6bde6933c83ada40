//! The connection's rules, one test each: what a stock server lets through, and what closes.

use super::*;

const START_MS: u64 = 1_000;

/// A connection whose clock stands still unless a test moves it.
struct Rig {
    connection: Connection,
    now_ms: u64,
}

impl Rig {
    fn new() -> Self {
        Self { connection: Connection::new(ConnectionConfig::default(), START_MS), now_ms: START_MS }
    }

    /// Joined to the root namespace.
    fn joined() -> Self {
        let mut rig = Self::new();
        rig.join("/");
        rig
    }

    fn join(&mut self, namespace: &str) {
        let text = if namespace == "/" { "40".to_owned() } else { format!("40{namespace},") };
        assert_eq!(self.frame(&text), Ok(()));
        assert_eq!(self.events(), [connect(namespace, None)]);
        assert!(self.connection.connect_accepted(namespace));
    }

    fn frame(&mut self, text: &str) -> Result<(), CloseReason> {
        let frame = Message::Text(Bytes::copy_from_slice(text.as_bytes()));
        self.connection.handle_packet(self.now_ms, Packet::from_websocket(frame).unwrap())
    }

    fn binary(&mut self, bytes: &'static [u8]) -> Result<(), CloseReason> {
        let message = Message::Binary(Bytes::from_static(bytes));
        self.connection.handle_packet(self.now_ms, Packet::Message(message))
    }

    fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.connection.poll_event()).collect()
    }

    /// Moves to the next deadline and acts on it; gives how long it took.
    fn expire(&mut self) -> u64 {
        let deadline_ms = self.connection.poll_timeout().expect("a deadline");
        self.connection.handle_timeout(deadline_ms - 1);
        assert_eq!(self.connection.poll_timeout(), Some(deadline_ms), "nothing happens before a deadline");
        let elapsed_ms = deadline_ms - self.now_ms;
        self.now_ms = deadline_ms;
        self.connection.handle_timeout(deadline_ms);
        elapsed_ms
    }

    /// The frames are accepted one after the other, but the last one closes for `reason`, and that is the last event.
    fn closes(mut self, frames: &[&str], reason: CloseReason) {
        let (last, before) = frames.split_last().unwrap();
        for frame in before {
            assert_eq!(self.frame(frame), Ok(()), "{frame}");
        }
        self.events();
        assert_eq!(self.frame(last), Err(reason), "{last}");
        assert_eq!(self.events(), [Event::Closed(reason)], "{last}");
        assert_eq!(self.connection.poll_timeout(), None);
        assert_eq!(self.frame("42[\"late\"]"), Err(reason), "input after the end is refused");
        assert_eq!(self.events(), []);
    }
}

fn connect(namespace: &str, auth: Option<&'static str>) -> Event {
    Event::Connect { namespace: namespace.into(), auth: auth.map(|auth| Bytes::from_static(auth.as_bytes())) }
}

fn event(namespace: &str, args: &'static str, ack_id: Option<u64>) -> Event {
    Event::Event {
        namespace: namespace.into(),
        args: Bytes::from_static(args.as_bytes()),
        attachments: Vec::new(),
        ack_id,
    }
}

// ---- Engine.IO ----

#[test]
fn the_server_pings_after_the_interval_and_not_at_once() {
    let mut rig = Rig::joined();
    assert_eq!(rig.connection.poll_transmit(), None);
    assert_eq!(rig.expire(), 25_000);
    assert_eq!(rig.connection.poll_transmit(), Some(Packet::PING));
    assert_eq!(rig.connection.poll_transmit(), None);
    rig.now_ms += 300;
    assert_eq!(rig.frame("3"), Ok(()));
    assert_eq!(rig.expire(), 25_000, "the interval runs from the pong");
    assert_eq!(rig.connection.poll_transmit(), Some(Packet::PING));
}

#[test]
fn a_missing_pong_ends_in_a_ping_timeout() {
    let mut rig = Rig::joined();
    rig.expire();
    assert_eq!(rig.frame("42[\"alive?\"]"), Ok(()), "only a pong answers a ping");
    assert_eq!(rig.expire(), 20_000);
    assert_eq!(rig.events(), [event("/", "[\"alive?\"]", None), Event::Closed(CloseReason::PingTimeout)]);
    assert_eq!(rig.connection.poll_transmit(), None, "nothing is sent after the end");
}

#[test]
fn a_late_timer_pings_before_it_judges() {
    let mut rig = Rig::joined();
    rig.connection.handle_timeout(START_MS + 10_000_000);
    assert_eq!(rig.connection.poll_transmit(), Some(Packet::PING));
    assert_eq!(rig.connection.closed(), None);
    assert_eq!(rig.connection.poll_timeout(), Some(START_MS + 10_000_000 + 20_000));
}

#[test]
fn stray_pongs_noops_and_upgrades_are_ignored() {
    let mut rig = Rig::joined();
    let deadline = rig.connection.poll_timeout();
    rig.now_ms += 5_000;
    for frame in ["3", "3probe", "6", "5", "0{}"] {
        assert_eq!(rig.frame(frame), Ok(()), "{frame}");
    }
    assert_eq!(rig.connection.poll_timeout(), deadline);
    assert_eq!(rig.events(), []);
}

#[test]
fn a_ping_from_the_client_closes() {
    Rig::joined().closes(&["2"], CloseReason::TransportError);
    Rig::joined().closes(&["2probe"], CloseReason::TransportError);
}

#[test]
fn a_close_packet_closes() {
    Rig::joined().closes(&["42[\"bye\"]", "1"], CloseReason::TransportClose);
}

#[test]
fn a_message_larger_than_max_payload_closes() {
    let config = ConnectionConfig { max_payload: 16, ..ConnectionConfig::default() };
    let mut connection = Connection::new(config, START_MS);
    assert_eq!(
        connection.handle_message(START_MS, Message::Text(Bytes::from(vec![b' '; 17]))),
        Err(CloseReason::ParseError)
    );
}

#[test]
fn the_driver_may_close_and_only_the_first_reason_counts() {
    let mut rig = Rig::joined();
    assert_eq!(rig.connection.close(CloseReason::ServerShuttingDown), CloseReason::ServerShuttingDown);
    assert_eq!(rig.connection.close(CloseReason::TransportClose), CloseReason::ServerShuttingDown);
    assert_eq!(rig.events(), [Event::Closed(CloseReason::ServerShuttingDown)]);
    rig.connection.handle_timeout(u64::MAX);
    assert_eq!(rig.events(), []);
    assert!(!rig.connection.connect_accepted("/"));
}

// ---- CONNECT ----

#[test]
fn connect_hands_over_the_auth_object() {
    let mut rig = Rig::new();
    assert_eq!(rig.frame(r#"40/ns?a=1,{"pid":"p"}"#), Ok(()));
    assert_eq!(rig.frame("40"), Ok(()));
    assert_eq!(rig.events(), [connect("/ns", Some(r#"{"pid":"p"}"#)), connect("/", None)]);
}

#[test]
fn an_event_before_the_connect_reply_closes_even_in_the_same_payload() {
    Rig::new().closes(&["42[\"a\"]"], CloseReason::ForcedServerClose);
    Rig::new().closes(&["40", "42[\"a\"]"], CloseReason::ForcedServerClose);
    Rig::new().closes(&["40", "430[]"], CloseReason::ForcedServerClose);
    Rig::new().closes(&["40", "41"], CloseReason::ForcedServerClose);
    Rig::new().closes(&["40", "451-[\"a\"]"], CloseReason::ForcedServerClose);
    let mut rig = Rig::new();
    let body = Bytes::from_static(b"40\x1e42[\"a\"]");
    let packets = crate::engine_io::payload::decode(body, Default::default()).unwrap();
    let results: Vec<_> = packets.into_iter().map(|packet| rig.connection.handle_packet(START_MS, packet)).collect();
    assert_eq!(results, [Ok(()), Err(CloseReason::ForcedServerClose)]);
    assert_eq!(rig.events(), [connect("/", None), Event::Closed(CloseReason::ForcedServerClose)]);
}

#[test]
fn a_second_connect_closes() {
    Rig::new().closes(&["40", "40"], CloseReason::ForcedServerClose);
    Rig::joined().closes(&["40"], CloseReason::ForcedServerClose);
    Rig::joined().closes(&["40/ns?a,", "40/ns?b,"], CloseReason::ForcedServerClose);
}

#[test]
fn packets_for_a_namespace_that_is_not_joined_close() {
    Rig::joined().closes(&["42/ns,[\"a\"]"], CloseReason::ForcedServerClose);
    Rig::joined().closes(&["43/ns,1[]"], CloseReason::ForcedServerClose);
    Rig::joined().closes(&["41/ns,"], CloseReason::ForcedServerClose);
}

#[test]
fn a_connect_error_from_a_client_closes() {
    Rig::joined().closes(&["44{\"message\":\"x\"}"], CloseReason::ForcedServerClose);
    Rig::joined().closes(&["44/ns,"], CloseReason::ForcedServerClose);
}

#[test]
fn a_refused_namespace_leaves_the_connection_until_the_connect_timeout() {
    let mut rig = Rig::new();
    assert_eq!(rig.frame("40/foo,"), Ok(()));
    assert!(rig.connection.connect_refused("/foo"));
    assert!(!rig.connection.connect_refused("/foo"));
    assert_eq!(rig.frame("40/foo,"), Ok(()), "it may try again");
    assert_eq!(rig.expire(), 25_000);
    assert_eq!(rig.connection.poll_transmit(), Some(Packet::PING));
    rig.frame("3").unwrap();
    assert_eq!(rig.expire(), 20_000);
    assert_eq!(rig.events().last(), Some(&Event::Closed(CloseReason::ForcedServerClose)));
}

#[test]
fn the_connect_timeout_is_over_with_the_first_namespace() {
    let mut rig = Rig::joined();
    for _ in 0..4 {
        rig.expire();
        assert_eq!(rig.frame("3"), Ok(()));
    }
    assert_eq!(rig.frame("41"), Ok(()));
    rig.expire();
    assert_eq!(rig.connection.closed(), None, "it does not start again when the last namespace is left");
}

#[test]
fn a_connect_that_waits_does_not_stop_the_timeout() {
    let mut rig = Rig::new();
    assert_eq!(rig.frame("40"), Ok(()));
    rig.connection.handle_timeout(START_MS + 45_000);
    assert_eq!(rig.connection.closed(), Some(CloseReason::ForcedServerClose));
}

#[test]
fn namespaces_are_bounded() {
    let mut rig = Rig::new();
    for number in 0..crate::socket_io::namespace::NAMESPACES_MAX {
        rig.join(&format!("/{number}"));
    }
    rig.closes(&["40/more,"], CloseReason::ForcedServerClose);
}

#[test]
fn answers_that_nobody_waits_for_change_nothing() {
    let mut rig = Rig::joined();
    assert!(!rig.connection.connect_accepted("/"));
    assert!(!rig.connection.connect_refused("/"));
    assert!(!rig.connection.namespace_closed("/ns"));
    assert!(rig.connection.is_connected("/"));
    assert_eq!(rig.connection.namespaces().collect::<Vec<_>>(), ["/"]);
}

// ---- DISCONNECT ----

#[test]
fn after_a_disconnect_an_event_closes_and_a_new_connect_works() {
    let mut rig = Rig::joined();
    assert_eq!(rig.frame("41"), Ok(()));
    assert_eq!(rig.events(), [Event::Disconnect { namespace: "/".into() }]);
    rig.join("/");
    rig.closes(&["41", "42[\"a\"]"], CloseReason::ForcedServerClose);
}

#[test]
fn after_the_servers_disconnect_what_is_in_flight_is_dropped() {
    let mut rig = Rig::joined();
    rig.join("/ns");
    assert!(rig.connection.namespace_closed("/ns"));
    assert_eq!(rig.frame("42/ns,[\"a\"]"), Ok(()));
    assert_eq!(rig.frame("451-/ns,[\"a\"]"), Ok(()));
    assert_eq!(rig.binary(b"x"), Ok(()));
    assert_eq!(rig.frame("43/ns,1[]"), Ok(()));
    assert_eq!(rig.events(), []);
    assert!(rig.connection.is_connected("/") && !rig.connection.is_connected("/ns"));
    rig.join("/ns");
    assert!(rig.connection.namespace_closed("/ns"));
    assert_eq!(rig.frame("41/ns,"), Ok(()), "both left at once");
    assert_eq!(rig.events(), []);
    rig.closes(&["42/ns,[\"a\"]"], CloseReason::ForcedServerClose);
}

// ---- EVENT and ACK ----

#[test]
fn events_and_acks_of_a_joined_namespace_come_out_in_order() {
    let mut rig = Rig::joined();
    rig.join("/ns");
    for frame in ["42[\"a\",1]", "42/ns,7[\"b\"]", "43/ns,9007199254740991[\"ok\"]", "42[\"error\"]", "42[5]"] {
        assert_eq!(rig.frame(frame), Ok(()), "{frame}");
    }
    let ack = Event::Ack {
        namespace: "/ns".into(),
        id: 9_007_199_254_740_991,
        args: Bytes::from_static(b"[\"ok\"]"),
        attachments: Vec::new(),
    };
    assert_eq!(
        rig.events(),
        [
            event("/", "[\"a\",1]", None),
            event("/ns", "[\"b\"]", Some(7)),
            ack,
            event("/", "[\"error\"]", None),
            event("/", "[5]", None),
        ]
    );
}

#[test]
fn reserved_event_names_close() {
    for name in ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"] {
        Rig::joined().closes(&[&format!("42[\"{name}\"]")], CloseReason::ParseError);
        Rig::joined().closes(&[&format!("451-[\"{name}\"]")], CloseReason::ParseError);
    }
}

#[test]
fn malformed_packets_close() {
    for frame in [
        "4",
        "49",
        "42[]",
        "42",
        "42{}",
        "42[\"a\"",
        "40[]",
        "41{}",
        "43[]",
        "450-[\"a\"]",
        "4511-[\"a\"]",
        "45[\"a\"]",
    ] {
        Rig::joined().closes(&[frame], CloseReason::ParseError);
    }
}

// ---- attachments ----

#[test]
fn attachments_join_the_packet_that_announced_them() {
    let mut rig = Rig::joined();
    let args = r#"["a",{"_placeholder":true,"num":1},{"_placeholder":true,"num":0}]"#;
    assert_eq!(rig.frame(&format!("452-3{args}")), Ok(()));
    assert_eq!(rig.events(), []);
    assert_eq!(rig.binary(b"zero"), Ok(()));
    assert_eq!(rig.frame("3"), Ok(()), "other Engine.IO packets may come in between");
    assert_eq!(rig.binary(b""), Ok(()));
    assert_eq!(rig.frame("461-0[{\"_placeholder\":true,\"num\":0}]"), Ok(()));
    assert_eq!(rig.binary(b"\xff"), Ok(()));
    assert_eq!(
        rig.events(),
        [
            Event::Event {
                namespace: "/".into(),
                args: Bytes::from_static(args.as_bytes()),
                attachments: vec![Bytes::from_static(b"zero"), Bytes::new()],
                ack_id: Some(3),
            },
            Event::Ack {
                namespace: "/".into(),
                id: 0,
                args: Bytes::from_static(b"[{\"_placeholder\":true,\"num\":0}]"),
                attachments: vec![Bytes::from_static(b"\xff")],
            },
        ]
    );
}

#[test]
fn unexpected_binary_closes() {
    let mut rig = Rig::joined();
    assert_eq!(rig.binary(b"x"), Err(CloseReason::ParseError));
    assert_eq!(rig.events(), [Event::Closed(CloseReason::ParseError)]);
    let mut rig = Rig::joined();
    assert_eq!(rig.frame("451-[\"a\"]"), Ok(()));
    assert_eq!(rig.binary(b"x"), Ok(()));
    assert_eq!(rig.binary(b"y"), Err(CloseReason::ParseError));
}

#[test]
fn text_while_attachments_are_due_closes() {
    Rig::joined().closes(&["451-[\"a\"]", "42[\"b\"]"], CloseReason::ParseError);
}

#[test]
fn a_placeholder_out_of_range_closes() {
    Rig::joined().closes(&[r#"451-["a",{"_placeholder":true,"num":1}]"#], CloseReason::ParseError);
    Rig::joined().closes(&[r#"451-["a",{"_placeholder":true,"num":-1}]"#], CloseReason::ParseError);
    Rig::joined().closes(&[r#"461-1[{"_placeholder":true,"num":"0"}]"#], CloseReason::ParseError);
}

#[test]
fn the_attachment_limit_is_the_configurations() {
    let config = ConnectionConfig { attachments_max: 1, ..ConnectionConfig::default() };
    let mut rig = Rig { connection: Connection::new(config, START_MS), now_ms: START_MS };
    rig.join("/");
    rig.closes(&["452-[\"a\"]"], CloseReason::ParseError);
}

// ---- bounds ----

#[test]
fn a_driver_that_never_drains_is_stopped() {
    let mut rig = Rig::joined();
    for _ in 0..EVENTS_QUEUED_MAX {
        assert_eq!(rig.frame("42[\"a\"]"), Ok(()));
    }
    assert_eq!(rig.frame("42[\"a\"]"), Err(CloseReason::ForcedServerClose));
    assert_eq!(rig.events().len(), EVENTS_QUEUED_MAX + 1);
}

#[test]
fn an_idle_connection_is_small() {
    let rig = Rig::joined();
    assert!(size_of::<Connection>() <= 288, "{} bytes", size_of::<Connection>());
    assert_eq!(rig.connection.events.rest.capacity(), 0);
}
